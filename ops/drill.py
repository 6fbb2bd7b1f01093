"""The drill of a dying channel: it answers nothing for a while, then it is well again, and routing must do right by both.

`dying_channel` drives the sandbox and pays orders at a steady rate through the public API of a running deployment. Its
report says how soon the breaker opened, how few orders were sent to the dead channel, and how soon it was back in full.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

import grpc

from protos.paydesk.v1 import (
    channels_pb2,
    channels_pb2_grpc,
    common_pb2,
    payments_pb2,
    payments_pb2_grpc,
    simulator_pb2,
    simulator_pb2_grpc,
)

# The promises.
OPEN_S_MAX = 5.0
SETTLE_S = 10.0
SENT_SHARE_MAX = 0.01
RECOVER_S_MAX = 60.0
FLAPS_MAX = 1
# Longer than promised, so that a broken promise is measured.
PATIENCE_S = 90.0
CALL_TIMEOUT_S = 15.0
LOOK_S = 0.2
NO_FUNDS_SHARE = 0.6

_Health = channels_pb2.ChannelHealth
_IN_USE = frozenset({_Health.STATE_HEALTHY, _Health.STATE_DEGRADED})
_AWAY = frozenset({_Health.STATE_OPEN, _Health.STATE_HALF_OPEN})


class Scene(NamedTuple):
    """Who dies, and who has poor payers meanwhile; orders of `method` may go to either, those of `poor_method` may not."""

    dying: str
    method: int
    poor: str
    poor_method: int
    product_code: str
    rate_per_s: float = 50.0
    warm_s: float = 3.0
    dead_s: float = 20.0


class Sent(NamedTuple):
    """One order: when it was made (monotonic seconds), when it was answered, where it went, what was said."""

    made_s: float
    answered_s: float
    channel_id: str
    state: int


class Report(NamedTuple):
    """What happened. Seconds; `opened_s` from the first time-out, `recovered_s` from the healing."""

    opened_s: float
    recovered_s: float
    orders_later: int
    sent_later: int
    flaps: int
    poor_declined: int
    poor_openings: int
    changes: tuple[str, ...]

    @property
    def sent_share(self) -> float:
        """Return the share of orders that was sent to the dead channel once routing had settled."""
        return self.sent_later / max(self.orders_later, 1)

    def broken(self) -> list[str]:
        """Name the promises that were not kept."""
        promises = {
            f"the breaker opened {self.opened_s:.1f} s after the first time-out": self.opened_s <= OPEN_S_MAX,
            f"{self.sent_share:.1%} of later orders were sent there": self.sent_share < SENT_SHARE_MAX,
            f"it was back {self.recovered_s:.1f} s after it was healed": self.recovered_s <= RECOVER_S_MAX,
            f"it flapped {self.flaps} times": self.flaps <= FLAPS_MAX,
            f"payers without funds opened a breaker {self.poor_openings} times": not self.poor_openings,
            f"{self.poor_declined} orders were declined for lack of funds": self.poor_declined > 0,
        }
        return [f"{promise}: {', '.join(self.changes)}" for promise, kept in promises.items() if not kept]


class _Api:
    """The calls that the drill makes, with a key."""

    def __init__(self, channel: grpc.aio.Channel, key: str) -> None:
        self._payments = payments_pb2_grpc.PaymentsStub(channel)
        self._channels = channels_pb2_grpc.ChannelsStub(channel)
        self._simulator = simulator_pb2_grpc.SimulatorStub(channel)
        self._metadata = (("authorization", f"Bearer {key}"),)
        self._run = f"drill-{time.time_ns() // 1_000_000:x}"
        self._count = 0

    async def pay(self, scene: Scene, method: int, sent: list[Sent]) -> None:
        self._count += 1
        number = f"{self._run}-{self._count}"
        request = payments_pb2.CreatePaymentRequest(
            request_id=number, order_no=number, product_code=scene.product_code, terminal=common_pb2.TERMINAL_APP,
            amount=common_pb2.Money(amount_minor=1800, currency_code="CNY"), subject="drill", payer_ref=f"payer-{self._count}",
            method=common_pb2.Method.Name(method),
        )  # fmt: skip
        made_s, channel_id, state = time.monotonic(), "", payments_pb2.Payment.STATE_UNSPECIFIED
        try:
            payment = await self._payments.CreatePayment(request, timeout=CALL_TIMEOUT_S, metadata=self._metadata)
            channel_id, state = payment.channel_id, payment.state
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise
        sent.append(Sent(made_s, time.monotonic(), channel_id, state))

    async def fault(self, channel_id: str, kind: str, share: float) -> None:
        fault = simulator_pb2.Fault(channel_id=channel_id, kind=f"KIND_{kind}", share=share)
        await self._simulator.InjectFault(
            simulator_pb2.InjectFaultRequest(fault=fault), timeout=CALL_TIMEOUT_S, metadata=self._metadata
        )

    async def health(self, channel_id: str) -> channels_pb2.ChannelHealth:
        request = channels_pb2.GetChannelHealthRequest(channel_id=channel_id)
        health: channels_pb2.ChannelHealth = await self._channels.GetChannelHealth(
            request, timeout=CALL_TIMEOUT_S, metadata=self._metadata
        )
        return health


async def dying_channel(
    *, target: str, key: str, scene: Scene, told: Callable[[str], object] = str
) -> Report:
    """Play the scene, and leave the channels as they were. `told` hears what happens, for people who watch."""
    main: list[Sent] = []
    poor: list[Sent] = []
    begin = time.time()
    async with grpc.aio.insecure_channel(target) as channel:
        api = _Api(channel, key)
        async with (
            _Orders(lambda: api.pay(scene, scene.method, main), scene.rate_per_s),
            _Orders(lambda: api.pay(scene, scene.poor_method, poor), scene.rate_per_s / 5),
        ):
            await api.fault(scene.poor, "DECLINE_NO_FUNDS", NO_FUNDS_SHARE)
            try:
                moments = await _die_and_return(api, scene, main, told)
            finally:
                await api.fault(scene.poor, "DECLINE_NO_FUNDS", 0.0)
        changes = await _changes(api, scene.dying, begin)
        poor_changes = await _changes(api, scene.poor, begin)
    return _report(scene, moments, main, poor, changes, poor_changes)


class _Moments(NamedTuple):
    """When it died, was found out, was healed, and was back, in monotonic seconds."""

    dead_s: float
    opened_s: float
    healed_s: float
    back_s: float


async def _die_and_return(api: _Api, scene: Scene, main: list[Sent], told: Callable[[str], object]) -> _Moments:
    await asyncio.sleep(scene.warm_s)
    told(f"{scene.dying} dies")
    await api.fault(scene.dying, "TIMEOUT_NOT_TAKEN", 1.0)
    dead_s = time.monotonic()
    try:
        opened_s = await _when(lambda: _is_away(api, scene.dying))
        told(f"{scene.dying} is out of service")
        await asyncio.sleep(max(0.0, dead_s + scene.dead_s - time.monotonic()))
    finally:
        await api.fault(scene.dying, "TIMEOUT_NOT_TAKEN", 0.0)
    healed_s = time.monotonic()
    told(f"{scene.dying} is healed")
    back_s = await _when(lambda: _is_back(api, scene.dying, main))
    told(f"{scene.dying} is back in full")
    return _Moments(dead_s, opened_s, healed_s, back_s)


def _report(
    scene: Scene, at: _Moments, main: list[Sent], poor: list[Sent], changes: list[int], poor_changes: list[int]
) -> Report:
    silences = [
        one.answered_s
        for one in main
        if one.channel_id == scene.dying and one.made_s >= at.dead_s and one.state == payments_pb2.Payment.STATE_UNKNOWN
    ]
    later = [one for one in main if at.dead_s + SETTLE_S <= one.made_s < at.healed_s]
    return Report(
        opened_s=max(0.0, at.opened_s - min(silences, default=at.dead_s)),
        recovered_s=at.back_s - at.healed_s,
        orders_later=len(later),
        sent_later=sum(one.channel_id == scene.dying for one in later),
        flaps=max(0, _openings(changes) - 1),
        poor_declined=sum(one.state == payments_pb2.Payment.STATE_FAILED for one in poor),
        poor_openings=_openings(poor_changes),
        changes=tuple(_Health.State.Name(state).removeprefix("STATE_") for state in changes),
    )


class _Orders(AbstractAsyncContextManager[None]):
    """Makes orders at a steady rate, whatever the answers do, until the block ends; then waits for the answers."""

    def __init__(self, pay: Callable[[], Coroutine[None, None, None]], rate_per_s: float) -> None:
        self._pay = pay
        self._rate_per_s = rate_per_s
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def __aexit__(self, *_: object) -> None:
        self._ended.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        begin_s, number = time.monotonic(), 0
        async with asyncio.TaskGroup() as group:
            while not self._ended.is_set():
                number += 1
                await asyncio.sleep(max(0.0, begin_s + number / self._rate_per_s - time.monotonic()))
                group.create_task(self._pay())


async def _when(happened: Callable[[], Awaitable[bool]]) -> float:
    """Return when something happened first, in monotonic seconds; after the patience is used up, now."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        if await happened():
            break
        await asyncio.sleep(LOOK_S)
    return time.monotonic()


async def _is_away(api: _Api, channel_id: str) -> bool:
    return (await api.health(channel_id)).state in _AWAY


async def _is_back(api: _Api, channel_id: str, sent: list[Sent]) -> bool:
    """Tell whether a channel may get all of its traffic, and was paid by within the last second."""
    health = await api.health(channel_id)
    recent = time.monotonic() - 1.0
    used = any(one.channel_id == channel_id and one.state == payments_pb2.Payment.STATE_SUCCEEDED
               for one in sent[-200:] if one.made_s >= recent)  # fmt: skip
    return health.state in _IN_USE and health.admit_share == 1.0 and used


async def _changes(api: _Api, channel_id: str, begin: float) -> list[int]:
    """Return the states that a channel went through since a moment, oldest first."""
    changes = (await api.health(channel_id)).changes
    return [change.state for change in reversed(changes) if change.time.seconds + change.time.nanos / 1e9 >= begin]


def _openings(states: list[int]) -> int:
    """Count how often the breaker opened while the channel was in use."""
    before: int = _Health.STATE_HEALTHY
    count = 0
    for state in states:
        count += before in _IN_USE and state == _Health.STATE_OPEN
        before = state
    return count
