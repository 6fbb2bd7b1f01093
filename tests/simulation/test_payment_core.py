"""The whole payment core against a dictionary, on real PostgreSQL, with deaths at named points.

Router, sweeper and storage are the real ones. The channels are a dictionary that says who has really paid what; it
answers whatever was handed to the connectors, in any order, late, twice, or not at all. After every step the invariants
of the tables hold. At the end of every life the channels are honest and everything comes to rest: then the channels hold
exactly the money that we keep.

`PAYDESK_HYPOTHESIS=nightly` runs many more and longer lives.
"""

import asyncio
import contextlib
import os
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import patch

import psycopg2
import pytest
import sqlalchemy
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from prometheus_client import CollectorRegistry

from actors import router as router_module
from actors import sweeper as sweeper_module
from actors.messages import CloseWish, NewPayment, Operation, Task, TenantEvidence
from actors.router import Router
from actors.sweeper import Sweeper
from domain.evidence import Evidence, Fault, Outcome, Source
from domain.payments import OPEN, State
from storage import desk
from storage import payments as payment_store
from storage.database import Database, DatabaseUnavailable, transact
from tests import invariants
from tests.harness import GATEWAY, desk_document, new_payment

CHANNELS = ("c1", "c2", "c3")
ROUNDS_TO_REST = 40
STEPS_IN_AN_HOUR = 12
HOURS = 10
START_MS = 1_800_000_000_000
LONG_AFTER_EXPIRY_MS = 3_600_000

settings.register_profile("core", max_examples=40, stateful_step_count=30, derandomize=True)
settings.register_profile("nightly", max_examples=5_000, stateful_step_count=100)
IS_NIGHT = os.environ.get("PAYDESK_HYPOTHESIS") == "nightly"
PROFILE = settings.get_profile("nightly" if IS_NIGHT else "core")
HOURLY_LIVES = 1_000 if IS_NIGHT else 12


# --- deaths -------------------------------------------------------------------------------------------------------------


class Killed(Exception):
    """The process is gone at this point."""


Death = Callable[["Machine", list[str]], contextlib.AbstractContextManager[Any]]


def before(owner: Any, name: str) -> Death:
    """Die instead of doing this step."""

    def death(_: "Machine", reached: list[str]) -> contextlib.AbstractContextManager[Any]:
        def die(*__: Any, **___: Any) -> None:
            reached.append(name)
            raise Killed

        return patch.object(owner, name, die)

    return death


def after(owner: Any, name: str) -> Death:
    """Die right after this step."""

    def death(_: "Machine", reached: list[str]) -> contextlib.AbstractContextManager[Any]:
        step = getattr(owner, name)
        if asyncio.iscoroutinefunction(step):

            async def die_later(*arguments: Any, **more: Any) -> None:
                await step(*arguments, **more)
                reached.append(name)
                raise Killed

            return patch.object(owner, name, die_later)

        def die(*arguments: Any, **more: Any) -> None:
            step(*arguments, **more)
            reached.append(name)
            raise Killed

        return patch.object(owner, name, die)

    return death


def second_time(owner: Any, name: str) -> Death:
    """Die when this step is done the second time."""

    def death(_: "Machine", reached: list[str]) -> contextlib.AbstractContextManager[Any]:
        step = getattr(owner, name)
        calls: list[None] = []

        def die(*arguments: Any, **more: Any) -> Any:
            calls.append(None)
            if len(calls) == 2:
                reached.append(name)
                raise Killed
            return step(*arguments, **more)

        return patch.object(owner, name, die)

    return death


def cut_at_commit(*, stands: bool) -> Death:
    """Lose the connection at the next commit that writes: the work may stand, and nobody is told."""

    def death(machine: "Machine", reached: list[str]) -> contextlib.AbstractContextManager[Any]:
        dialect = machine.database.engine.dialect
        commit = dialect.do_commit

        def cut(connection: Any) -> None:
            if reached or not _has_written(connection):
                commit(connection)
                return
            reached.append("commit")
            if stands:
                commit(connection)
            raise psycopg2.OperationalError("server closed the connection unexpectedly")

        return patch.object(dialect, "do_commit", cut)

    return death


def _has_written(connection: Any) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")
        return bool(cursor.fetchone()[0])


# Every point at which a process may die, by what it was doing.
CRASH_POINTS: dict[str, dict[str, Death]] = {
    "submit": {
        "intent: before the commit": before(router_module.store, "accept"),
        "intent: in the middle of the transaction": after(router_module.store, "accept"),
        "intent: at the commit, which is lost": cut_at_commit(stands=False),
        "intent: at the commit, which stands": cut_at_commit(stands=True),
        "intent: after the commit, before any charge": before(Router, "_remember"),
        "intent: between two charges": second_time(Router, "_hand_on"),
        "intent: after the charges, before the answer": after(Router, "submit"),
    },
    "evidence": {
        "outcome: before the commit": before(router_module, "_write"),
        "outcome: in the middle of the transaction": after(router_module, "_write"),
        "outcome: at the commit, which is lost": cut_at_commit(stands=False),
        "outcome: at the commit, which stands": cut_at_commit(stands=True),
        "outcome: after the commit, before it is told": before(Router, "_finish"),
        "outcome: told, before the answer": after(Router, "evidence"),
        "outcome: before the next channel is asked": before(Router, "_charge"),
        "refund: before the commit": before(router_module.refund_store, "apply_evidence"),
        "refund: in the middle of the transaction": after(router_module.refund_store, "apply_evidence"),
        "refund: after the commit": after(Router, "_apply_to_refunds"),
    },
    "close": {
        "wish to close: before the commit": before(router_module, "_write"),
        "wish to close: after the commit": after(Router, "ask_close"),
    },
    "sweep": {
        "sweep: before the claim": before(sweeper_module.store, "claim_due"),
        "sweep: in the middle of the claim": after(sweeper_module.store, "claim_due"),
        "sweep: after the claim, before a question": before(Sweeper, "_ask"),
        "sweep: between two questions": second_time(Sweeper, "_ask"),
        "sweep: between payments and refunds": before(sweeper_module.refund_store, "claim_due"),
    },
}
COVERED: set[str] = set()


def crashes(operation: str) -> st.SearchStrategy[str]:
    """Live, or die at one of the points of an operation."""
    points = sorted(CRASH_POINTS[operation])
    return st.one_of(st.just(""), st.sampled_from(points))


# --- the channels -------------------------------------------------------------------------------------------------------


@dataclass
class Account:
    """What a channel knows of one attempt. It is the truth."""

    request: Any
    channel_id: str
    tenant_id: str
    known: bool = False
    paid: bool = False
    declined: bool = False
    closed: bool = False
    refund_known: bool = False
    refunded: bool = False


class Channels:
    """A dictionary of accounts, and the evidence that is on its way to us."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self.clock_ms = clock_ms
        self.accounts: dict[str, Account] = {}
        self.tasks: list[tuple[str, Task]] = []
        self.on_the_way: list[TenantEvidence] = []
        self.heard_before: list[TenantEvidence] = []

    def do(self, channel_id: str, task: Task, *, mood: str, now_ms: int) -> None:
        """Execute a task as its channel would in this mood, and let the answer be on its way."""
        number = task.request.attempt_no
        if task.operation is Operation.CHARGE:
            self.accounts.setdefault(number, Account(task.request, channel_id, task.tenant_id))
        account = self.accounts.get(number)
        if mood == "unreachable":
            outcome = Outcome.NOT_SENT if task.operation in (Operation.CHARGE, Operation.REFUND) else Outcome.MAYBE
            self._answer(task, outcome, Fault.CHANNEL)
        elif mood == "deaf":
            self._answer(task, Outcome.MAYBE, Fault.CHANNEL)
        else:
            said = getattr(self, f"_{task.operation}")(account, mood, now_ms)
            if mood == "mute":
                said = Outcome.MAYBE
            fault = {Outcome.REJECTED: Fault.PAYER, Outcome.MAYBE: Fault.CHANNEL}.get(said, Fault.NONE)
            self._answer(task, said, Fault.CHANNEL if mood in REFUSALS else fault)

    def _charge(self, account: Account, mood: str, now_ms: int) -> Outcome:
        fresh = not (account.known or account.closed)
        if fresh and mood in ("closed for the day", "says no and does it"):
            account.known = mood == "says no and does it"
            return Outcome.REJECTED
        if fresh and account.request.expire_time_ms <= now_ms:
            account.closed = True
        elif fresh:
            account.known = True
            account.paid = mood in ("pays", "mute")
            account.declined = mood == "declines"
        return self._query(account, mood, now_ms)

    def _query(self, account: Account | None, mood: str, now_ms: int) -> Outcome:
        if account is None:
            return Outcome.NOT_FOUND
        if account.paid:
            return Outcome.DONE
        if account.closed:
            return Outcome.CLOSED
        if account.declined:
            return Outcome.REJECTED
        return Outcome.ACCEPTED if account.known else Outcome.NOT_FOUND

    def _close(self, account: Account | None, mood: str, now_ms: int) -> Outcome:
        if account is None:
            return Outcome.NOT_FOUND
        if not account.paid:
            account.closed = True
        return self._query(account, mood, now_ms)

    def _refund(self, account: Account, mood: str, now_ms: int) -> Outcome:
        if not account.paid:
            return Outcome.NOT_FOUND
        account.refund_known = account.refund_known or mood != "phantom"
        return Outcome.ACCEPTED

    def _query_refund(self, account: Account | None, mood: str, now_ms: int) -> Outcome:
        if account is None or not account.refund_known:
            return Outcome.NOT_FOUND
        account.refunded = True
        return Outcome.DONE

    def _answer(self, task: Task, outcome: Outcome, fault: Fault) -> None:
        is_refund = task.operation in (Operation.REFUND, Operation.QUERY_REFUND)
        asks = task.operation in (Operation.CHARGE, Operation.REFUND)
        refund_no = task.request.refund_no if is_refund else ""
        source = Source.SYNC_REPLY if asks else Source.QUERY
        self.say(task.request.attempt_no, source, outcome, fault, refund_no=refund_no, tenant_id=task.tenant_id)

    def say(
        self,
        number: str,
        source: Source,
        outcome: Outcome,
        fault: Fault = Fault.NONE,
        *,
        tenant_id: str = "",
        **more: Any,
    ) -> None:
        """Let evidence be on its way."""
        account = self.accounts.get(number)
        told: dict[str, Any] = {}
        if account is not None and outcome is Outcome.DONE:
            request = account.request
            told = {"amount_minor": request.amount_minor, "currency_code": request.currency_code,
                    "merchant_no": request.merchant_no, "channel_txn_no": f"T{number}"}  # fmt: skip
        owner = account.tenant_id if account else tenant_id
        self.on_the_way.append(
            TenantEvidence(
                owner, Evidence(number, source, outcome, outcome, fault, time_ms=self.clock_ms(), **{**told, **more})
            )
        )


# --- the machine --------------------------------------------------------------------------------------------------------

# A definite no, which is a lie in the second case: the order goes elsewhere, and the payer may pay twice.
REFUSALS = ("closed for the day", "says no and does it")
MOODS = ["pays", "busy", "waits", "declines", *REFUSALS, "unreachable", "mute", "deaf", "phantom"]
wishes = st.builds(
    lambda tenant, order, method, request, amount: new_payment(
        order, tenant_id=tenant, method=method, request_id=request, amount_minor=amount
    ),
    st.sampled_from(["pnc", "pnc", "life"]),
    st.sampled_from([f"o{n}" for n in range(6)]),
    st.sampled_from(["QR", "CARD"]),
    st.sampled_from([f"r{n}" for n in range(12)]),
    st.sampled_from([100, 100, 100, 250]),
)


class Machine(RuleBasedStateMachine):
    """Lives of payments. No rule is chosen by what has happened, so the same numbers always lead the same life."""

    url: ClassVar[str]

    @initialize()
    def open(self) -> None:
        random.seed(0)  # the router's own draws
        self.fixed_chance = patch.object(router_module, "os", SimpleNamespace(urandom=random.Random(0).randbytes))
        self.fixed_chance.start()
        self.loop = asyncio.new_event_loop()
        self.database = Database(self.url, pool_size=2, prepare=payment_store.PREPARED)
        self.offset_ms = 0
        self.channels = Channels(self.now_ms)
        self.wished: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.requests: dict[tuple[str, str], tuple[str, str]] = {}
        self.sent_numbers: dict[str, str] = {}
        self.told_closed: set[str] = set()
        transact(self.database.engine, _empty)
        transact(self.database.engine, lambda c: desk.install(c, desk_document(CHANNELS)))
        self.rebuild()

    def teardown(self) -> None:
        if hasattr(self, "database"):
            try:
                self.come_to_rest()
            finally:
                self.fixed_chance.stop()
                self.database.close()
                self.loop.close()

    # --- the means ------------------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """Read a clock that moves by a millisecond whenever it is read."""
        self.offset_ms += 1
        return START_MS + self.offset_ms

    def rebuild(self) -> None:
        """A new router and a new sweeper, which remember nothing."""
        self.router, self.twin = self.make_router(), self.make_router()
        self.sweeper = Sweeper(
            database=self.database, connector=lambda channel_id: _Inbox(self, channel_id),  # type: ignore[arg-type, return-value]
            clock_ms=self.now_ms, registry=CollectorRegistry(),
        )  # fmt: skip
        for router in (self.router, self.twin):
            self.loop.run_until_complete(router._read_desk())

    def make_router(self) -> Router:
        return Router(
            shard=0, database=self.database, connector=lambda channel_id, _: _Inbox(self, channel_id),  # type: ignore[arg-type, return-value]
            notify_url="", registry=CollectorRegistry(), clock_ms=self.now_ms,
        )  # fmt: skip

    def attempt(self, operation: str, crash: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do something, or die on the way; None means that nobody heard how it ended."""
        reached: list[str] = []
        death = CRASH_POINTS[operation][crash](self, reached) if crash else contextlib.nullcontext()
        with death:
            try:
                return self.loop.run_until_complete(work())
            except (Killed, DatabaseUnavailable):
                assert reached, "died without having been killed"
        COVERED.add(crash)
        self.rebuild()
        return None

    def handed_on(self, channel_id: str, task: Task) -> None:
        """A task reaches a connector: its intent must be committed by now."""
        self.channels.tasks.append((channel_id, task))
        if task.operation is not Operation.CHARGE:
            return
        number = task.request.attempt_no
        rows = self.sql(
            """SELECT a.channel_id, a.merchant_no, p.amount_minor, p.payment_id,
                      (SELECT count(*) FROM attempts o WHERE o.payment_id = a.payment_id AND o.state = 'LIVE')
               FROM attempts a JOIN payments p USING (payment_id) WHERE a.attempt_no = :number""",
            number=number,
        )
        assert rows, "a charge left before its intent was committed"
        ((committed_channel, merchant, amount_minor, payment_id, live),) = rows
        assert (committed_channel, merchant, amount_minor) == (
            channel_id, task.request.merchant_no, task.request.amount_minor,
        )  # fmt: skip
        assert live <= 1
        assert self.sent_numbers.setdefault(number, payment_id) == payment_id, "a number was given twice"

    def sql(self, statement: str, **values: Any) -> list[Any]:
        def work(connection: sqlalchemy.Connection) -> list[Any]:
            result = connection.execute(sqlalchemy.text(statement), values)
            return list(result) if result.returns_rows else []

        return transact(self.database.engine, work)

    # --- callers --------------------------------------------------------------------------------------------------------

    @rule(batch=st.lists(wishes, min_size=1, max_size=5), crash=crashes("submit"))
    def submit(self, batch: list[NewPayment], crash: str) -> None:
        expire_ms = self.now_ms() + 900_000
        batch = [wish._replace(expire_ms=expire_ms) for wish in batch]
        for wish in batch:
            self.wished[wish.tenant_id, wish.request_id].add(wish.content_hash)
        known = dict(self.requests)
        answers = self.attempt("submit", crash, lambda: self.router.submit(GATEWAY, batch))
        self.learn_requests()
        for wish, answer in zip(batch, answers or [], strict=False):
            key = (wish.tenant_id, wish.request_id)
            if answer.refusal is None:
                payment_id, content_hash = self.requests[key]
                assert content_hash == wish.content_hash
                assert answer.payment is None or answer.payment.payment_id == payment_id
                assert answer.payment is not None or key not in known, "a repeat passed for new"
            elif answer.refusal.reason == "REQUEST_ID_REUSED":
                assert self.requests[key][1] != wish.content_hash
            else:
                assert answer.refusal.reason in ("ORDER_PAID", "PAYMENT_OPEN", "ORDER_MOVED", "NO_ROUTE")

    def learn_requests(self) -> None:
        """What a request id has led to stays what it was."""
        rows = self.sql("SELECT tenant_id, request_id, payment_id, content_hash FROM payments")
        found = {(row[0], row[1]): (row[2], row[3]) for row in rows}
        assert found.items() >= self.requests.items()
        assert len(found) == len(rows)
        for key, (_, content_hash) in found.items():
            assert content_hash in self.wished[key]
        self.requests = found

    @rule(place=st.integers(0, 20), crash=crashes("close"), stranger=st.booleans())
    def wish_to_close(self, place: int, crash: str, stranger: bool) -> None:
        keys = sorted(self.requests)
        if not keys:
            return
        key = keys[place % len(keys)]
        tenant_id = {"pnc": "life", "life": "pnc"}[key[0]] if stranger else key[0]
        wish = CloseWish(tenant_id, self.requests[key][0], "ORDER_CANCELLED")
        answers = self.attempt("close", crash, lambda: self.router.ask_close([wish]))
        if answers and stranger:
            assert answers[0].payment is None

    # --- channels and payers --------------------------------------------------------------------------------------------

    @rule(moods=st.lists(st.sampled_from(MOODS), min_size=1, max_size=4), again=st.booleans())
    def channels_do(self, moods: list[str], again: bool) -> None:
        """Some tasks are done, each in a mood; a busy channel leaves its task for later."""
        tasks, self.channels.tasks = self.channels.tasks, []
        for place, (channel_id, task) in enumerate(tasks):
            mood = moods[place % len(moods)]
            if mood == "busy":
                self.channels.tasks.append((channel_id, task))
                continue
            self.channels.do(channel_id, task, mood=mood, now_ms=self.now_ms())
            if again and task.operation not in (Operation.CHARGE, Operation.REFUND):
                self.channels.do(channel_id, task, mood=mood, now_ms=self.now_ms())

    @rule(place=st.integers(0, 20), count=st.integers(1, 3))
    def payers_pay(self, place: int, count: int) -> None:
        """Now, or after all: the channel had waited, declined, closed, or been left for another one."""
        numbers = sorted(self.channels.accounts) or [""]
        for number in {numbers[(place + step) % len(numbers)] for step in range(count)}:
            account = self.channels.accounts.get(number)
            if account is None or not (account.known or account.closed):
                continue  # the channel has never heard of it, so there is nothing to pay
            account.paid = True
            self.channels.say(number, Source.CALLBACK, Outcome.DONE)

    @rule(seed=st.integers(0, 2**16), share=st.sampled_from([1, 1, 2, 4]), crash=crashes("evidence"),
          repeat=st.booleans())  # fmt: skip
    def evidence_arrives(self, seed: int, share: int, crash: str, repeat: bool) -> None:
        """All or a part of what is on the way, in any order; perhaps to two live routers at once, or twice to one."""
        random.Random(seed).shuffle(self.channels.on_the_way)
        count = max(1, len(self.channels.on_the_way) // share)
        batch, self.channels.on_the_way = self.channels.on_the_way[:count], self.channels.on_the_way[count:]
        if batch and repeat and not crash:
            self.both_hear(batch)
        elif batch:
            self.hear(batch + batch if repeat else batch, crash)

    @rule(place=st.integers(0, 50), count=st.integers(1, 5), crash=crashes("evidence"))
    def evidence_is_repeated(self, place: int, count: int, crash: str) -> None:
        if self.channels.heard_before:
            start = place % len(self.channels.heard_before)
            self.hear(self.channels.heard_before[start : start + count], crash)

    def hear(self, batch: list[TenantEvidence], crash: str) -> None:
        results = self.attempt("evidence", crash, lambda: self.router.evidence(batch))
        if results is None:
            # Nobody acknowledged the callbacks, so they come again; answers are simply gone.
            self.channels.on_the_way += [item for item in batch if item.evidence.source is Source.CALLBACK]
            return
        assert set(results) <= {"APPLIED", "SAME", "UNKNOWN_ATTEMPT", "ASKED"}
        self.not_acknowledged(batch, results)
        self.channels.heard_before = (self.channels.heard_before + batch)[-50:]

    def both_hear(self, batch: list[TenantEvidence]) -> None:
        """An old copy of the router is still alive, and remembers what it knew."""

        async def both() -> list[list[str]]:
            return await asyncio.gather(self.router.evidence(batch), self.twin.evidence(batch))

        ours, _ = self.loop.run_until_complete(both())
        self.not_acknowledged(batch, ours)
        self.router, self.twin = self.twin, self.router
        self.channels.heard_before = (self.channels.heard_before + batch)[-50:]

    def not_acknowledged(self, batch: list[TenantEvidence], results: list[str]) -> None:
        """A callback that is not settled comes again."""
        self.channels.on_the_way += [
            item for item, result in zip(batch, results, strict=True)
            if result == "ASKED" and item.evidence.source is Source.CALLBACK
        ]  # fmt: skip

    @rule(
        place=st.integers(0, 20),
        source=st.sampled_from(Source),
        lie=st.sampled_from(
            [{"amount_minor": 1}, {"amount_minor": 0}, {"currency_code": "USD"}, {"merchant_no": "life-c9"}]
        ),
        outcome=st.sampled_from([Outcome.DONE, Outcome.DONE, Outcome.REJECTED, Outcome.CLOSED]),
    )
    def somebody_lies(self, place: int, source: Source, lie: dict[str, Any], outcome: Outcome) -> None:
        numbers = sorted(self.channels.accounts)
        if not numbers:
            return
        number = numbers[place % len(numbers)]
        account = self.channels.accounts[number]
        current = self.sql("SELECT state FROM payments WHERE attempt_no = :number", number=number)
        if not current:  # about an attempt that was left, the amount is the channel's word
            return
        if outcome is not Outcome.DONE:
            lie = {"merchant_no": "life-c9"}
        told = {"amount_minor": account.request.amount_minor, "currency_code": "CNY",
                "merchant_no": account.request.merchant_no, **lie}  # fmt: skip
        item = Evidence(number, source, outcome, "LIE", Fault.PAYER, **told)
        self.hear([TenantEvidence(account.tenant_id, item)], "")
        (after_it,) = self.sql("SELECT state FROM payments WHERE attempt_no = :number", number=number)
        assert after_it[0] == current[0][0] or (current[0][0], after_it[0]) == (State.SUBMITTING, State.UNKNOWN)

    # --- time -----------------------------------------------------------------------------------------------------------

    @rule(crash=crashes("sweep"))
    def sweep(self, crash: str) -> None:
        for table in ("payments", "refunds"):
            self.sql(f"UPDATE {table} SET next_action_time = now() WHERE next_action_time IS NOT NULL")
        self.attempt("sweep", crash, self.sweeper.sweep)

    @rule(what=st.sampled_from(["router", "connectors", "answers", "hour", "half a minute"]))
    def mishap(self, what: str) -> None:
        """A process dies between two messages, answers get lost, or nobody looks for a while."""
        if what == "router":
            self.rebuild()
        elif what == "connectors":
            self.channels.tasks.clear()
        elif what == "answers":
            kept = [item for item in self.channels.on_the_way if item.evidence.source is Source.CALLBACK]
            self.channels.on_the_way = kept
        else:
            self.offset_ms += 3_600_000 if what == "hour" else 30_000

    @rule(seed=st.integers(0, 2**32))
    def a_busy_hour(self, seed: int) -> None:
        """Many small steps from one number: Hypothesis alone would rarely get far into the life of a payment."""
        chance = random.Random(seed)
        for _ in range(STEPS_IN_AN_HOUR):
            name = chance.choice(
                ["submit", "submit", "do", "do", "do", "hear", "hear", "hear", "sweep", "pay", "close", "repeat"]
            )
            if name == "submit":
                batch = [_random_wish(chance) for _ in range(chance.randint(1, 4))]
                self.submit(batch, _random_death(chance, "submit"))
            elif name == "do":
                self.channels_do([chance.choice(MOODS) for _ in range(4)], chance.random() < 0.2)
            elif name == "hear":
                death = _random_death(chance, "evidence")
                self.evidence_arrives(chance.randrange(2**16), chance.choice([1, 1, 3]), death, chance.random() < 0.3)
            elif name == "sweep":
                self.sweep(_random_death(chance, "sweep"))
            elif name == "pay":
                self.payers_pay(chance.randrange(20), 1)
            elif name == "close":
                self.wish_to_close(chance.randrange(20), _random_death(chance, "close"), False)
            elif name == "repeat":
                self.evidence_is_repeated(chance.randrange(50), 3, "")
            self.the_tables_are_sound()

    # --- what always holds ----------------------------------------------------------------------------------------------

    @invariant()
    def the_tables_are_sound(self) -> None:
        found = transact(self.database.engine, invariants.broken)
        assert not found, "\n".join(found)

    @invariant()
    def only_money_is_success(self) -> None:
        rows = self.sql("SELECT attempt_no FROM payments WHERE state = 'SUCCEEDED'")
        for (number,) in rows:
            assert self.channels.accounts[number].paid

    def come_to_rest(self) -> None:
        """From now on everybody is honest and nobody dies: everything ends, and the money is where we say."""
        self.offset_ms += LONG_AFTER_EXPIRY_MS
        for _ in range(ROUNDS_TO_REST):
            for table in ("payments", "refunds"):
                self.sql(f"UPDATE {table} SET next_action_time = now() WHERE next_action_time IS NOT NULL")
            self.loop.run_until_complete(self.sweeper.sweep())
            tasks, self.channels.tasks = self.channels.tasks, []
            for channel_id, task in tasks:
                self.channels.do(channel_id, task, mood="waits", now_ms=self.now_ms())
            batch, self.channels.on_the_way = self.channels.on_the_way, []
            if batch:
                self.not_acknowledged(batch, self.loop.run_until_complete(self.router.evidence(batch)))
            if not (tasks or batch):
                break
        else:
            raise AssertionError("it does not come to rest")
        self.the_tables_are_sound()
        self.only_money_is_success()
        self.check_the_money()

    def story(self, number: str) -> str:
        """Tell what happened to an attempt's payment, for whoever has to find out why."""
        rows = self.sql(
            """SELECT 'history', h.revision || ' ' || h.event, h.state, h.source, h.reason, h.attempt_no
               FROM payment_history h JOIN attempts a USING (payment_id) WHERE a.attempt_no = :number
               UNION ALL SELECT 'case', c.kind, '', '', c.detail, c.attempt_no
               FROM cases c JOIN attempts a USING (payment_id) WHERE a.attempt_no = :number
               UNION ALL SELECT 'refund', r.cause, r.state, '', r.reason, r.attempt_no
               FROM refunds r JOIN attempts a USING (payment_id) WHERE a.attempt_no = :number""",
            number=number,
        )
        return "\n".join(" ".join(map(str, row)) for row in rows)

    def check_the_money(self) -> None:
        rows = self.sql(
            """SELECT a.attempt_no, p.state, a.attempt_no = p.attempt_no AND p.kept IS TRUE
               FROM attempts a JOIN payments p USING (payment_id)"""
        )
        for number, state, kept in rows:
            assert State(state) not in OPEN
            account = self.channels.accounts.get(number)
            held = account is not None and account.paid and not account.refunded
            assert held == kept, f"{account} is held: {held}, and kept: {kept}\n{self.story(number)}"


def _random_wish(chance: random.Random) -> NewPayment:
    return new_payment(
        f"o{chance.randrange(12)}", tenant_id=chance.choice(["pnc", "pnc", "life"]), method=chance.choice(["QR", "CARD"]),
        request_id=f"r{chance.randrange(60)}", amount_minor=chance.choice([100, 100, 250]),
    )  # fmt: skip


def _random_death(chance: random.Random, operation: str) -> str:
    return chance.choice(sorted(CRASH_POINTS[operation])) if chance.random() < 0.3 else ""


class _Inbox:
    """Stands for the mailbox in front of a connector."""

    def __init__(self, machine: Machine, channel_id: str) -> None:
        self._machine = machine
        self._channel_id = channel_id

    def tell(self, task: Task) -> bool:
        self._machine.handed_on(self._channel_id, task)
        return True


def _empty(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
    for name in ("payments", "attempts", "payment_history", "events", "journal", "refunds", "cases"):
        connection.exec_driver_sql(f"DELETE FROM {name}")


@pytest.fixture(scope="module")
def core_url(postgres_url: str, _postgres_desk: sqlalchemy.Engine) -> Iterator[str]:
    """One database for all lives. It does not wait for the disk: nobody pulls its plug."""
    template = sqlalchemy.make_url(postgres_url)
    with _postgres_desk.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE lives TEMPLATE "{template.database}" STRATEGY = FILE_COPY')
        connection.exec_driver_sql("ALTER DATABASE lives SET synchronous_commit = off")
    yield template.set(database="lives").render_as_string(hide_password=False)
    with _postgres_desk.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE lives WITH (FORCE)")


@pytest.mark.timeout(0 if IS_NIGHT else 180)
def test_many_lives(core_url: str) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    Machine.url = core_url
    run_state_machine_as_test(
        Machine,
        settings=settings(
            PROFILE, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True, database=None
        ),
    )


@pytest.mark.parametrize("seed", range(HOURLY_LIVES))
def test_long_lives(core_url: str, seed: int) -> None:
    """The same without Hypothesis: fewer lives, but long ones."""
    Machine.url = core_url
    machine = Machine()
    machine.open()
    try:
        for hour in range(HOURS):
            machine.a_busy_hour(1_000 * seed + hour)
            machine.mishap(("router", "connectors", "answers", "half a minute", "hour")[hour % 5])
    finally:
        machine.teardown()


POINTS = [(operation, point) for operation, points in CRASH_POINTS.items() for point in points]


@pytest.mark.parametrize(("operation", "point"), POINTS, ids=[point for _, point in POINTS])
def test_every_named_death_is_survived(core_url: str, operation: str, point: str) -> None:
    """One life that passes every point; it dies at this one the first time, and everything comes to rest all the same."""
    Machine.url = core_url
    COVERED.discard(point)
    machine = Machine()
    machine.open()
    try:
        _live_and_die(machine, operation, point)
        machine.the_tables_are_sound()
    finally:
        machine.teardown()
    assert point in COVERED, "the life did not come by this point"


def _live_and_die(machine: Machine, operation: str, point: str) -> None:
    def crash(now: str) -> str:
        return point if operation == now and point not in COVERED else ""

    def everybody(mood: str) -> None:
        tasks, machine.channels.tasks = machine.channels.tasks, []
        for channel_id, task in tasks:
            machine.channels.do(channel_id, task, mood=mood, now_ms=machine.now_ms())
        batch, machine.channels.on_the_way = machine.channels.on_the_way, []
        if batch:
            machine.hear(batch, crash("evidence"))

    machine.submit([new_payment(f"o{n}", request_id=f"r{n}", amount_minor=100) for n in range(3)], crash("submit"))
    everybody("unreachable")  # another channel is asked
    everybody("waits")
    machine.sweep(crash("sweep"))
    wish = next(iter(machine.requests.items()), None)
    if wish is not None:
        (tenant_id, _), (payment_id, _) = wish
        machine.attempt(
            "close", crash("close"), lambda: machine.router.ask_close([CloseWish(tenant_id, payment_id, "CANCELLED")])
        )
    for number, account in sorted(machine.channels.accounts.items()):
        if account.known:
            account.paid = True
            machine.channels.say(number, Source.CALLBACK, Outcome.DONE)
    for _ in range(4):  # called off and paid all the same: it goes back
        machine.sweep(crash("sweep"))
        everybody("waits")


def test_every_point_is_in_exactly_one_operation() -> None:
    names = [point for points in CRASH_POINTS.values() for point in points]
    assert len(names) == len(set(names)) >= 20
