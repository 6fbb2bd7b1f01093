"""`paydesk load`: an open-model load generator. Payments begin at their own times, whether or not earlier ones are answered.

Every latency is measured from the moment at which the payment was due, so that a stall counts for all that it held up
(no coordinated omission). The report says whether the generator itself kept up.
"""

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from rich.console import Console
from rich.progress import Progress

from ops import address, dialing, load_report, running
from ops.demo.callers import reason_of
from ops.demo.make_orders import PRODUCTS
from ops.deployment import development_keys
from ops.figures import percentile
from ops.mistakes import CannotStart
from ops.settings import Settings
from protos.paydesk.v1 import common_pb2, payments_pb2, payments_pb2_grpc

CONNECTIONS = 4
TIMEOUT_S = 20.0
# Beyond this the generator would only measure its own queue; what is due then is counted as dropped.
UNDER_WAY_MAX = 20_000
PAYMENTS_MAX = 5_000_000
# Later than this, 1 time in 100, and the figures are the generator's rather than the system's.
LATE_S_MAX = 0.05
PROFILES = ("steady", "ramp", "peak")


class Load(NamedTuple):
    """What `paydesk load` was asked for. `rate` is payments per second, the mean of the profile `ramp`."""

    rate: float
    seconds: float
    profile: str = "steady"
    tenant: str = ""
    html: Path | None = None
    start: bool = False
    target: str = ""
    key: str = ""


@dataclass(slots=True)
class Second:
    """What was due in one second of the run, and what became of it."""

    due: int = 0
    answered: int = 0
    failed: int = 0
    latencies_s: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Results:
    """What came back."""

    seconds: dict[int, Second] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    channels: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    dropped: int = 0


def due_times(load: Load) -> Iterator[float]:
    """Yield when each payment is due, in seconds after the beginning."""
    due_s = 0.0
    while due_s < load.seconds:
        yield due_s
        due_s += 1 / rate_at(load, due_s)


def rate_at(load: Load, second: float) -> float:
    """Return the rate that a profile asks for at a moment."""
    share = second / load.seconds
    if load.profile == "ramp":
        return load.rate * max(0.05, 2 * share)
    return load.rate * (3.0 if load.profile == "peak" and 0.4 <= share < 0.6 else 1.0)


def run_load(load: Load, settings: Settings, console: Console) -> dict[str, Any]:
    """Run it, show the report, and return it as plain data. Raise CannotStart."""
    if load.profile not in PROFILES:
        raise CannotStart(f"there is no profile {load.profile!r}; there are {', '.join(PROFILES)}")
    if load.rate * load.seconds > PAYMENTS_MAX:
        raise CannotStart(
            f"that are {load.rate * load.seconds:,.0f} payments; at most {PAYMENTS_MAX:,} are kept account of"
        )
    with _place(load, settings, console) as place:
        key = address.key_for(place, tenant=load.tenant, key=load.key)
        tenant = load.tenant or next((name for name, text in place.keys.items() if text == key), "pnc")
        results = asyncio.run(_Generator(load, place.target, key, tenant).run(console))
    document = _document(load, tenant, results)
    load_report.show(document, console)
    if load.html is not None:
        load.html.write_text(load_report.page(document), encoding="utf-8")
        console.print(f"written to {load.html}")
    return document


@contextlib.contextmanager
def _place(load: Load, settings: Settings, console: Console) -> Iterator[address.Address]:
    if not load.start:
        yield address.require(settings, target=load.target)
        return
    directory = Path(".paydesk") / f"load-{os.getpid()}"
    own = Settings(
        data_dir=directory, database_url="", ray_address="", host="127.0.0.1", grpc_port=0, http_port=0, public_url=""
    )
    console.print("starting a deployment for this load")
    try:
        with running.interrupts(), running.deployment(own) as made:
            yield address.Address(made.target, "", development_keys(made))
    finally:
        running.remove(directory)


class _Generator:
    """Sends payments of one tenant."""

    def __init__(self, load: Load, target: str, key: str, tenant: str) -> None:
        self._load = load
        self._metadata = (("authorization", f"Bearer {key}"),)
        self._target = target
        self._products = [item for item in PRODUCTS if item.tenant == tenant] or [PRODUCTS[0]]
        self._run = os.urandom(3).hex()
        self._under_way = 0
        self._results = Results()

    async def run(self, console: Console) -> Results:
        """Send everything when it is due, and return when all are answered."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [dialing.dial_aio(self._target, options) for _ in range(CONNECTIONS)]
        stubs: list[Any] = [payments_pb2_grpc.PaymentsStub(channel) for channel in channels]
        await self._warm(stubs)
        begin_s = time.monotonic()
        with Progress(console=console, transient=True) as progress:
            bar = progress.add_task("paying", total=self._load.seconds)
            async with asyncio.TaskGroup() as group:
                for number, due_s in zip(count(), due_times(self._load)):
                    wait_s = begin_s + due_s - time.monotonic()
                    if wait_s > 0:
                        progress.update(bar, completed=due_s, description=self._description())
                        await asyncio.sleep(wait_s)
                    self._note_due(due_s)
                    if self._under_way >= UNDER_WAY_MAX:
                        self._results.dropped += 1
                        continue
                    self._under_way += 1
                    group.create_task(self._pay(stubs[number % CONNECTIONS], number, begin_s, due_s))
                    if number % 100 == 99:
                        await asyncio.sleep(0)  # a generator that is behind must still hear the answers
        for channel in channels:
            await channel.close()
        return self._results

    async def _warm(self, stubs: list[Any]) -> None:
        """Connect, and wait until a key that has just been made is known."""
        for stub in stubs:
            for tries_left in range(50, -1, -1):
                try:
                    await stub.ListPayments(
                        payments_pb2.ListPaymentsRequest(page_size=1), metadata=self._metadata, timeout=TIMEOUT_S
                    )
                    break
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAUTHENTICATED or not tries_left:
                        raise
                    await asyncio.sleep(0.1)

    def _description(self) -> str:
        return f"{len(self._results.latencies_s):,} answered, {self._under_way:,} under way"

    def _note_due(self, due_s: float) -> None:
        self._results.seconds.setdefault(int(due_s), Second()).due += 1

    async def _pay(self, stub: Any, number: int, begin_s: float, due_s: float) -> None:
        self._results.late_s.append(time.monotonic() - begin_s - due_s)
        second = self._results.seconds[int(due_s)]
        try:
            answer = await stub.CreatePayment(self._request(number), metadata=self._metadata, timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            self._results.errors[reason_of(error)] += 1
            second.failed += 1
            return
        finally:
            self._under_way -= 1
        latency_s = time.monotonic() - begin_s - due_s
        self._results.latencies_s.append(latency_s)
        second.latencies_s.append(latency_s)
        second.answered += 1
        self._results.states[payments_pb2.Payment.State.Name(answer.state).removeprefix("STATE_")] += 1
        self._results.channels[answer.channel_id] += 1

    def _request(self, number: int) -> payments_pb2.CreatePaymentRequest:
        product = self._products[number % len(self._products)]
        name = f"{self._run}-{number:07d}"
        fen = (
            product.amounts_fen[number % len(product.amounts_fen)]
            if product.amounts_fen
            else product.low_fen + number % 9_973
        )
        return payments_pb2.CreatePaymentRequest(
            request_id=name, order_no=f"LOAD-{name}", product_code=product.code, subject=product.subject,
            amount=common_pb2.Money(amount_minor=fen, currency_code="CNY"), payer_ref=f"payer-{number % 1000:04d}",
            terminal=common_pb2.TERMINAL_H5,
        )  # fmt: skip


def _document(load: Load, tenant: str, results: Results) -> dict[str, Any]:
    """Sum a run up as plain data; latencies in milliseconds."""
    every, late = sorted(results.latencies_s), sorted(results.late_s)
    due = sum(second.due for second in results.seconds.values())
    late_p99_s = percentile(late, 0.99)
    return {
        "load": "payments", "rate": load.rate, "seconds": load.seconds, "profile": load.profile, "tenant": tenant,
        "due": due, "answered": len(every), "dropped": results.dropped,
        "answered_per_s": round(len(every) / load.seconds, 1),
        "latency_ms": {
            name: round(percentile(every, share) * 1000, 1)
            for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0))
        },
        "states": dict(results.states), "channels": dict(results.channels), "errors": dict(results.errors),
        "generator_late_ms_p99": round(late_p99_s * 1000, 1),
        "generator_kept_up": late_p99_s <= LATE_S_MAX and not results.dropped,
        "per_second": [
            {"second": second, "due": item.due, "answered": item.answered, "failed": item.failed,
             "p50_ms": round(percentile(sorted(item.latencies_s), 0.5) * 1000, 1),
             "p99_ms": round(percentile(sorted(item.latencies_s), 0.99) * 1000, 1)}
            for second, item in sorted(results.seconds.items())
        ],
    }  # fmt: skip
