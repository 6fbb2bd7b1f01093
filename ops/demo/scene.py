"""The demo itself: start everything, pay a day of orders while the sandbox lies, wait until all is settled, check.

Nothing of it touches another deployment: data directory and ports are its own, the database is the embedded one.
"""

import asyncio
import base64
import contextlib
import os
import secrets
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from ops import running, wires
from ops.check import Verdict, check, truth_of_service
from ops.demo import story
from ops.demo.callers import Callers, Tally
from ops.demo.day import Day, plan
from ops.demo.make_orders import ORDERS_FILE
from ops.demo.payers import Payers
from ops.demo.sandbox import Sandbox
from ops.deployment import SANDBOX_DESK, Deployment, development_keys
from ops.mistakes import USAGE, Mistake
from ops.order_system import OrderSystem, OrderSystemThread
from ops.orders_file import Order, Report, read_orders
from ops.settings import Settings
from protos.paydesk.v1 import routing_pb2, routing_pb2_grpc
from storage import credentials
from storage import desk as desk_store
from storage.database import make_engine, transact
from storage.vault import Vault

# Waits between tries of a notice are days in earnest.
NOTICE_FACTOR = 0.01
NOTICE_FAIL_SHARE = 0.03
SAMPLE_S = 1.0
# A payer of the sandbox may pay 3 s after a close.
QUIET_S = 4.0


class BadOrders(Mistake):
    """The orders file has problems; takes the report."""

    exit_code = USAGE

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.report = report

    def __str__(self) -> str:
        total, shown = self.report.total, self.report.problems
        lines = [f"nothing was loaded: the orders file has {total:,} problem{'s' if total != 1 else ''}"]
        lines += [f"  {problem}" for problem in shown]
        if total > len(shown):
            lines.append(f"  … and {total - len(shown):,} more")
        return "\n".join(lines)


class Stage(NamedTuple):
    """Where a day is played: its desk, the channel that dies in the middle and comes back, and how much there is to do.

    One order in `every` is paid, at `pace` times the usual rate. Payers have `expire_s`, after which the sweeper closes
    what they have not paid; what can still become final does so within `settle_s_max`.
    """

    desk: Path
    mortal: str
    pace: float = 1.0
    every: int = 1
    expire_s: int = 9
    settle_s_max: float = 90.0
    wired: bool = False


SANDBOX = Stage(SANDBOX_DESK, "sandbox_union")
# Each message is signed and verified on both sides, and RSA takes its time: a sixth of the day at a sixth of the rate.
# Payers need longer for a page than for a click, and two questions about what has ended may go astray.
WIRE = Stage(
    Path(__file__).parent / "wire-desk.toml", "unionpay", pace=0.16, every=6, expire_s=30, settle_s_max=150.0, wired=True
)


class Options(NamedTuple):
    """What `paydesk demo` was asked for."""

    orders_file: Path = ORDERS_FILE
    seed: int = 1
    speed: float = 1.0
    keep: bool = False
    stage: Stage = SANDBOX


class Sample(NamedTuple):
    """The state of things at one moment, in seconds after the day began."""

    second: float
    health: dict[str, tuple[str, float]]
    states: dict[str, dict[str, int]]
    rest: tuple[int, int, int, int, int]  # open payments, open refunds, notices waiting and delivered, changes


@dataclass(slots=True)
class Outcome:
    """Everything that the report tells."""

    day: Day
    tally: Tally
    samples: list[Sample]
    facts: dict[str, Any]
    notices: dict[str, Any]
    metrics: dict[str, dict[str, float]]
    verdict: Verdict
    explained: list[dict[str, str]]
    start_s: float
    day_s: float
    settle_s: float
    settled: bool
    instant: frozenset[str]
    restarts: list[tuple[float, str]]
    mortal: str
    directory: Path
    kept: bool = False


@dataclass(slots=True)
class Scene:
    """Plays the demo; `tell` hears of every step, `look` of every sample."""

    options: Options
    tell: Callable[[str], None]
    look: Callable[[Sample, Tally, Day], None]
    samples: list[Sample] = field(default_factory=list)

    def play(self) -> Outcome:
        """Play it to its end. Raise BadOrders, CannotStart, or KeyboardInterrupt when interrupted."""
        stage = self.options.stage
        orders = load_orders(self.options.orders_file)[:: stage.every]
        day = plan(orders, seed=self.options.seed, speed=self.options.speed * stage.pace)
        directory = Path(".paydesk") / f"demo-{os.getpid()}"
        self.tell("starting PostgreSQL, Ray, the actors, a gateway and the sandbox")
        begin_s = time.monotonic()
        keep = self.options.keep
        try:
            with running.interrupts(), running.deployment(_settings(directory, self.options)) as deployment:
                outcome = self._play(deployment, day, time.monotonic() - begin_s)
            outcome.kept = keep = keep or not outcome.verdict.holds
        finally:
            if not keep:
                running.remove(directory)
        return outcome

    def _play(self, deployment: Deployment, day: Day, start_s: float) -> Outcome:
        keys = development_keys(deployment)
        order_secrets = {tenant: f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}" for tenant in keys}
        system = OrderSystem(secrets=list(order_secrets.values()), fail_share=NOTICE_FAIL_SHARE, seed=self.options.seed)
        engine = make_engine(deployment.settings.database_url, pool_size=2)
        try:
            with OrderSystemThread(system) as serving:
                vault = deployment.settings.vault()
                transact(engine, lambda connection: _register(connection, vault, serving.url, order_secrets))
                return asyncio.run(self._live(deployment, engine, day, keys, system, start_s))
        finally:
            engine.dispose()

    async def _live(
        self,
        deployment: Deployment,
        engine: Engine,
        day: Day,
        keys: dict[str, str],
        system: OrderSystem,
        start_s: float,
    ) -> Outcome:
        payers = Payers(wires.url(deployment.settings.simulator_http_port)) if self.options.stage.wired else None
        sandbox = Sandbox(deployment.target, keys)
        callers = Callers(deployment.target, keys, day, expire_s=self.options.stage.expire_s, payers=payers)
        desk = await asyncio.to_thread(transact, engine, desk_store.load)
        present = contextlib.AsyncExitStack()
        try:
            if payers is not None:
                await present.enter_async_context(payers)
            await sandbox.ready()
            await sandbox.make_weather(sorted(desk.channels), day)
            self.tell(f"serving after {start_s:.1f} s; paying {len(day.moments):,} orders in {day.length_s:.0f} s")
            begin_s = time.monotonic()
            watching = asyncio.create_task(self._watch(sandbox, engine, callers, day, begin_s))
            dying = asyncio.create_task(self._kill_and_heal(sandbox, day, desk.channels))
            try:
                await callers.pay_all()
                day_s = time.monotonic() - begin_s
                await dying
                self.tell("the day is over; settling what is in doubt")
                settled = await self._settle(engine)
            finally:
                watching.cancel()
                dying.cancel()
            settle_s = time.monotonic() - begin_s - day_s
            self.tell("checking every payment against what the channels really did")
            return await asyncio.to_thread(
                self._conclude, deployment, engine, day, keys, system, callers.tally, _instant(desk),
                (start_s, day_s, settle_s, settled),
            )  # fmt: skip
        finally:
            await callers.close()
            await sandbox.close()
            await present.aclose()

    async def _watch(self, sandbox: Sandbox, engine: Engine, callers: Callers, day: Day, begin_s: float) -> None:
        while True:
            asked_s = time.monotonic()
            with contextlib.suppress(grpc.aio.AioRpcError):  # a sample less is no harm
                health = await sandbox.health()
                states, rest = await asyncio.to_thread(transact, engine, story.counts_now)
                sample = Sample(time.monotonic() - begin_s, health, states, rest)
                self.samples.append(sample)
                self.look(sample, callers.tally, day)
            took_s = time.monotonic() - asked_s
            await asyncio.sleep(max(SAMPLE_S - took_s, 5 * took_s if took_s > SAMPLE_S else 0.0))

    async def _kill_and_heal(self, sandbox: Sandbox, day: Day, channels: Any) -> None:
        mortal = self.options.stage.mortal
        if mortal not in channels:
            return
        await asyncio.sleep(day.death_begin_s)
        await sandbox.kill(mortal)
        self.tell(f"{mortal} dies: nobody gets an answer, and half of the payers are charged")
        try:
            await asyncio.sleep(day.death_s)
        finally:
            await sandbox.heal(mortal)
        self.tell(f"{mortal} is back after {day.death_s:.0f} s")

    async def _settle(self, engine: Engine) -> bool:
        """Wait until nothing is open and nothing has changed for a while; tell whether that came about in time."""
        give_up_s = time.monotonic() + self.options.stage.settle_s_max
        last, since_s = None, time.monotonic()
        while time.monotonic() < give_up_s:
            _, rest = await asyncio.to_thread(transact, engine, story.counts_now)
            if rest != last:
                last, since_s = rest, time.monotonic()
            if rest[:3] == (0, 0, 0) and time.monotonic() - since_s >= QUIET_S:
                return True
            await asyncio.sleep(0.25)
        return False

    def _conclude(
        self, deployment: Deployment, engine: Engine, day: Day, keys: dict[str, str], system: OrderSystem, tally: Tally,
        instant: frozenset[str], times: tuple[float, float, float, bool],
    ) -> Outcome:  # fmt: skip
        notices = system.report()
        truth = truth_of_service(deployment.target, next(iter(keys.values())))
        verdict = check(deployment.settings.database_url, truth, notices)
        facts = transact(engine, story.read)
        start_s, day_s, settle_s, settled = times
        return Outcome(
            day=day, tally=tally, samples=self.samples, facts=facts, notices=notices,
            metrics=_metrics(f"http://{deployment.settings.host}:{deployment.settings.http_port}/metrics"),
            verdict=verdict, explained=_explained(deployment.target, keys, facts["examples"]), start_s=start_s,
            day_s=day_s, settle_s=settle_s, settled=settled, instant=instant, restarts=list(deployment.restarts),
            mortal=self.options.stage.mortal, directory=deployment.settings.directory(),
        )  # fmt: skip


def load_orders(path: Path) -> list[Order]:
    """Read an orders file for the tenants of the sandbox's desk. Raise BadOrders or OSError."""
    document = tomllib.loads(SANDBOX_DESK.read_text())
    products = {tenant["tenant_id"]: frozenset(tenant["products"]) for tenant in document["tenants"]}
    found = read_orders(path, products=products)
    if isinstance(found, Report):
        raise BadOrders(found)
    return found


def _settings(directory: Path, options: Options) -> Settings:
    return Settings(
        data_dir=directory, database_url="", ray_address="", host="127.0.0.1", grpc_port=0, http_port=0, public_url="",
        gateways=1, routers=1, desk_file=options.stage.desk, simulator=True, simulator_seed=options.seed,
        simulator_http_port=0, allow_private_webhooks=True, notify_schedule_factor=NOTICE_FACTOR,
    )  # fmt: skip


def _register(connection: Any, vault: Vault, url: str, order_secrets: dict[str, str]) -> None:
    """Set every tenant's webhook endpoint to the demo's order system."""
    desk = desk_store.load(connection)
    tenants = [
        {
            "tenant_id": tenant.tenant_id, "display_name": tenant.display_name,
            "webhook": {"url": url, "secrets": [order_secrets[tenant.tenant_id]]},
        }
        for tenant in desk.tenants.values()
    ]  # fmt: skip
    credentials.install(connection, vault, {"tenants": tenants})


def _instant(desk: desk_store.Desk) -> frozenset[str]:
    """Return the channels that answer at once: what a payment takes there is our own time."""
    profiles = {name: row.settings.get("profile", {}) for name, row in desk.channels.items()}
    return frozenset(
        name for name, profile in profiles.items() if not (profile.get("latency_ms_p50") or profile.get("asynchronous"))
    )


def _metrics(url: str) -> dict[str, dict[str, float]]:
    """Read two counters of the deployment's /metrics: refused callbacks by reason, and callbacks by result."""
    found: dict[str, dict[str, float]] = {"security_rejects_total": {}, "callback_total": {}}
    labels = {"security_rejects_total": "reason", "callback_total": "result"}
    page = httpx.get(url, timeout=10, trust_env=False).text
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name in found:
                label = sample.labels[labels[sample.name]]
                found[sample.name][label] = found[sample.name].get(label, 0.0) + sample.value
    return found


def _explained(target: str, keys: dict[str, str], examples: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Ask the public API why each of some payments went where it went."""
    told = []
    with grpc.insecure_channel(target) as channel:
        stub = routing_pb2_grpc.RoutingStub(channel)
        for example in examples:
            decision = stub.ExplainRoute(
                routing_pb2.ExplainRouteRequest(
                    payment_id=example["payment_id"], attempt_index=example["attempt_index"]
                ),
                metadata=(("authorization", f"Bearer {keys[example['tenant_id']]}"),), timeout=10,
            )  # fmt: skip
            told.append(
                {"kind": example["kind"], "payment_id": example["payment_id"], "chosen": decision.chosen_channel_id,
                 "reason": decision.reason_text}
            )  # fmt: skip
    return told
