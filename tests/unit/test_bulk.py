"""Batches take their share of a router and no more: slices, turns, pauses, and refusals before anything is written."""

import asyncio
from typing import Any

import pytest

from actors.messages import Accepted, NewPayment
from domain.refusals import Kind, Refusal, Refused
from servers.bulk import GAP_S_MAX, SLICE, SLICE_ALONE, BulkLane, Shares
from tests.harness import new_payment


def wishes(tenant_id: str, count: int) -> list[NewPayment]:
    return [new_payment(f"{tenant_id}-{number}", tenant_id=tenant_id) for number in range(count)]


class Lane:
    """A lane whose router takes `work_s` for each slice."""

    def __init__(self, *, work_s: float = 0.0, busy: bool = False, share: float = 0.25) -> None:
        self.sent: list[list[NewPayment]] = []
        self.work_s = work_s
        self.lane = BulkLane(self._send, share=share, is_busy=lambda: busy)

    async def _send(self, orders: list[NewPayment]) -> list[Accepted]:
        self.sent.append(orders)
        await asyncio.sleep(self.work_s)
        return [Accepted() for _ in orders]

    async def put(self, orders: list[NewPayment]) -> list[Any]:
        return await asyncio.gather(*self.lane.put(orders), return_exceptions=True)


async def test_a_batch_goes_in_slices_and_tenants_take_turns() -> None:
    house = Lane(busy=True, share=1)
    answers = await asyncio.gather(house.put(wishes("big", 5 * SLICE)), house.put(wishes("small", 3)))
    assert [len(answer) for answer in answers] == [5 * SLICE, 3]
    assert [(orders[0].tenant_id, len(orders)) for orders in house.sent[:3]] == [("big", SLICE), ("small", 3), ("big", SLICE)]
    assert [order.order_no for orders in house.sent if orders[0].tenant_id == "big" for order in orders] == [
        f"big-{number}" for number in range(5 * SLICE)
    ]
    assert house.lane.depth == 0


async def test_slices_are_large_while_nobody_else_calls() -> None:
    house = Lane()
    await house.put(wishes("big", SLICE_ALONE + 1))
    assert [len(orders) for orders in house.sent] == [SLICE_ALONE, 1]


async def _pauses_s(monkeypatch: pytest.MonkeyPatch, house: Lane) -> list[float]:
    """Return the pauses that a lane makes between slices."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        if asyncio.current_task() is house.lane._task and seconds != house.work_s:
            pauses.append(seconds)
            seconds = 0
        await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", note)
    await house.put(wishes("big", 3 * SLICE))
    return pauses


async def test_batches_pause_as_long_as_online_calls_come_and_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = await _pauses_s(monkeypatch, Lane(work_s=0.01, busy=True, share=0.2))
    assert len(pauses) in (2, 3) and min(pauses) >= 4 * 0.009  # a fifth of the time is work, however slow the work
    assert not await _pauses_s(monkeypatch, Lane(work_s=0.01, share=0.2))


async def test_a_slice_waits_a_moment_for_a_gap_between_online_calls() -> None:
    under_way = True
    sent: list[float] = []

    async def send(orders: list[NewPayment]) -> list[Accepted]:
        sent.append(asyncio.get_running_loop().time())
        return [Accepted() for _ in orders]

    lane = BulkLane(send, share=1, is_busy=lambda: True, is_under_way=lambda: under_way)
    began_s = asyncio.get_running_loop().time()
    await asyncio.gather(*lane.put(wishes("big", 1)))
    assert sent[0] - began_s >= GAP_S_MAX * 0.9  # without a gap it goes all the same
    under_way, waiting = True, lane.put(wishes("big", 1))
    await asyncio.sleep(0)
    assert len(sent) == 1
    under_way = False
    await asyncio.gather(*waiting)
    assert len(sent) == 2


async def test_what_nobody_waits_for_any_more_is_not_sent() -> None:
    house = Lane(work_s=0.01, busy=True, share=1)
    call = asyncio.ensure_future(house.put(wishes("big", 10 * SLICE)))
    await asyncio.sleep(0.005)
    call.cancel()
    (answer,) = await house.put(wishes("other", 1))
    assert answer == Accepted() and [orders[0].tenant_id for orders in house.sent] == ["big", "other"]


async def test_an_error_belongs_to_its_slice_alone() -> None:
    sent = 0

    async def send(orders: list[NewPayment]) -> list[Accepted]:
        nonlocal sent
        sent += 1
        if sent == 1:
            raise ConnectionError("lost")
        return [Accepted() for _ in orders]

    lane = BulkLane(send, share=1, is_busy=lambda: True)
    answers = await asyncio.gather(*lane.put(wishes("big", SLICE + 1)), return_exceptions=True)
    assert [isinstance(answer, ConnectionError) for answer in answers] == [True] * SLICE + [False]
    assert await asyncio.gather(*lane.put(wishes("big", 1))) == [Accepted()]


def test_a_tenant_holds_its_share_and_leaves_the_others_theirs() -> None:
    shares = Shares(1_000, Refusal(Kind.OVERLOADED, "FULL", "full"))
    with shares.holding("big", 500), shares.holding("big", 500):
        with pytest.raises(Refused) as caught, shares.holding("big", 1):
            pass
        assert (caught.value.refusal.kind, caught.value.refusal.reason) == (Kind.OVERLOADED, "FULL")
        with shares.holding("small", 1_000):
            pass
    with shares.holding("big", 2_000):  # whoever holds nothing may always begin
        pass
