"""The router: owns its tenants' payments, from intent to outcome.

Two messages make a payment's life here. `submit` commits the intents of a batch and hands the charges to connectors;
`evidence` applies what channels said, commits it, and only then tells whoever waits. Memory holds nothing that the
database does not: the cache of open payments saves reads, and the revision decides who is right.
"""

import asyncio
import dataclasses
import json
import os
import random
import time
from collections import Counter as Tally
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from actors import plug_ins
from actors.allowances import Allowances
from actors.mailbox import Mailbox, Rate
from actors.messages import Accepted, CloseWish, NewPayment, Operation, Task, TenantEvidence
from actors.tables import compiled, routing_tables
from channels.port import Charge, Lookup
from domain import payments as life
from domain import refunds as refund_life
from domain import tenancy
from domain.account_limits import Allowance, Wish, fitting
from domain.cashier import order_changed
from domain.evidence import Evidence, Outcome
from domain.health import HealthSnapshot
from domain.identifiers import RANDOM_BYTES, attempt_number, identifier
from domain.limits import LimitBook
from domain.moments import china_day
from domain.payments import Follow, Payment, State, Verdict
from domain.permissions import PLATFORM
from domain.refusals import Kind, Refusal, Refused
from domain.regulars import KEEP_MS, REGULARS_MAX, Regulars, Visit
from domain.routing import Decision, OrderFacts, RoutingTable, decide, decision_record, reason_text
from domain.rule_sets import RuleSet
from storage import account_limits as limit_store
from storage import audit
from storage import desk as desk_store
from storage import payments as store
from storage import refunds as refund_store
from storage import rule_sets as rule_store
from storage.database import Database

log = structlog.get_logger()

# Evidence that meets a payment which moved meanwhile is applied to what it has become; so often in a row at most.
ROUNDS_MAX = 5
# Outcomes that a gateway has not fetched; beyond that it reads the database anyway.
OUTLET_MAX = 20_000
# Open payments kept in memory; a payment that is not there is read.
CACHE_MAX = 200_000
# A long poll that finds nothing ends, so that a lost gateway leaves nothing behind.
POLL_S = 5.0
# Charges leave before their acceptance is answered, for which nobody waits: both at once cost an idle router's charge 1 ms.
HEAD_START_S = 0.001
# Half of the second within which a change of rules or windows must be everywhere.
DESK_POLL_S = 0.5

ATTEMPT_STATES = {
    life.Event.CONFIRM: "DONE",
    life.Event.DECLINE: "REJECTED",
    life.Event.CONFIRM_CLOSE: "CLOSED",
    life.Event.RETURN_FUNDS: "",
    life.Event.WAIT: "",
    life.Event.LOSE_ANSWER: "",
}


# One encoder for all decisions, which are plain lists and hold no circles: `json.dumps` would make one each time.
_written = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class _Outlet:
    """Outcomes that wait for one gateway's long poll."""

    def __init__(self) -> None:
        self.ready: list[Payment] = []
        self.event = asyncio.Event()
        self.rate = Rate()


class Router:
    """Owns the payments of its tenants.

    A call that fails may have committed: ask the database by request id. Repeating any call is safe. After a crash the
    constructor and `start` are the recovery: open payments are found by the sweeper, not remembered.
    """

    def __init__(
        self,
        *,
        shard: int,
        database: Database,
        connector: Callable[[str, bool], Mailbox[Task, None]],
        notify_url: str,
        registry: CollectorRegistry,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._shard = shard
        self._database = database
        self._connector = connector
        self._notify_url = notify_url
        self._clock_ms = clock_ms
        self._desk: desk_store.Desk | None = None
        self._tables: dict[str, RoutingTable] = {}
        self._patience_s: dict[str, int] = {}
        self._allowances = Allowances()
        self._snapshots: dict[str, HealthSnapshot] = {}
        self._book = LimitBook()
        self._regulars = Regulars()
        self._open: dict[str, Payment] = {}
        self._waiting: dict[str, str] = {}
        self._tried: dict[str, frozenset[str]] = {}
        self._outlets: dict[str, _Outlet] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._decisions = Counter("route_decisions", "Routing decisions", ["approach", "chosen"], registry=registry)
        self._eliminated = Counter("route_eliminated", "Eliminated candidates", ["reason"], registry=registry)
        self._rule_faults = Counter(
            "route_rule_faults", "Rules and plug-ins that could not be evaluated", ["rule"], registry=registry
        )
        self._plug_ins_off = Gauge("plug_in_off", "1 for a plug-in that was switched off", ["plug_in"], registry=registry)
        self._told_off: set[str] = set()
        self._transitions = Counter("payment_transitions", "Changes of payments", ["event"], registry=registry)
        self._cases = Counter("payment_cases", "Contradictions that need a person", ["kind"], registry=registry)
        self._replays = Counter("idempotency_replays", "Requests answered from what was there", registry=registry)

    async def start(self, newest_version: Callable[[], Awaitable[int]]) -> None:
        """Read the desk, and keep reading it as it changes."""
        await self._read_desk()
        await self._recall()
        task = asyncio.get_running_loop().create_task(self._watch_desk(newest_version))
        self._tasks.add(task)

    async def _recall(self) -> None:
        """Read what is counted and remembered beside the payments."""
        self._book.load(await self._database.run(rule_store.load_uses))
        since_id = identifier("pay_", now_ms=self._clock_ms() - KEEP_MS, random=bytes(RANDOM_BYTES))
        self._regulars.note(await self._database.run(store.visits, since_id=since_id, limit=REGULARS_MAX))

    async def _read_desk(self) -> None:
        self._take_desk(await self._database.run(desk_store.load))
        if not self._allowances.are_reserved:
            self._allowances.are_reserved = await self._database.run(limit_store.are_reserved)
        await self._read_allowances()

    def _take_desk(self, desk: desk_store.Desk) -> None:
        self._desk = desk
        self._tables = routing_tables(desk, self._tables)
        self._patience_s = {name: _not_found_patience_s(row.settings) for name, row in desk.channels.items()}
        accounts = [account for table in self._tables.values() for account in table.accounts]
        self._allowances.limits = {account.account_id: account.limits for account in accounts if any(account.limits)}
        self._allowances.are_reserved |= bool(self._allowances.limits)

    async def _read_allowances(self) -> None:
        if counted := self._allowances.counted:
            now_ms = self._clock_ms()
            left = await self._database.run(limit_store.left, counted, day=china_day(now_ms))
            self._allowances.at(now_ms)
            self._allowances.learn(left)

    def _come_into_force(self, now_ms: int) -> None:
        """Take what the desk announced for this moment: terms and settings count to the second, not to the next poll."""
        if self._desk is not None and (later := self._desk.at(now_ms)) is not self._desk:
            self._take_desk(later)

    async def _watch_desk(self, newest_version: Callable[[], Awaitable[int]]) -> None:
        while True:
            await asyncio.sleep(DESK_POLL_S)
            try:
                if self._desk is None or await newest_version() != self._desk.version:
                    await self._read_desk()
                else:
                    await self._read_allowances()
                if uses := self._book.dirty():
                    await self._database.run(rule_store.save_uses, uses)
                    self._book.stored(uses)
                await self._tell_of_plug_ins()
            except Exception:
                log.exception("desk_not_read", shard=self._shard)  # what was read last stays in force

    async def _tell_of_plug_ins(self) -> None:
        """Have whoever runs the platform know which plug-ins were switched off here, and why."""
        for name, reason in plug_ins.switched_off().items():
            if name not in self._told_off:
                entry = audit.Entry(
                    PLATFORM, f"router-{self._shard}", "Routing.SwitchOffPlugIn", "plug_in", name[:96], None, {"reason": reason}
                )
                await self._database.run(audit.append, [entry])
                self._plug_ins_off.labels(name).set(1)
                self._told_off.add(name)

    async def ping(self) -> dict[str, Any]:
        """Tell that the event loop turns."""
        return {"open": len(self._open), "desk_version": self._desk.version if self._desk else 0}

    async def health(self, snapshots: Sequence[HealthSnapshot]) -> None:
        """Take the newest health of channels."""
        self._snapshots.update((snapshot.channel_id, snapshot) for snapshot in snapshots)

    # --- acceptance -------------------------------------------------------------------------------------------------

    async def submit(self, gateway: str, orders: Sequence[NewPayment], bulk: bool = False) -> list[Accepted]:
        """Commit intents, one transaction for all, and hand the charges on. Answers as soon as they are committed.

        Nobody waits for the outcomes of a batch, and its charges travel apart from those of online payments.
        """
        now_ms = self._clock_ms()
        self._come_into_force(now_ms)
        chances = os.urandom(RANDOM_BYTES * len(orders))
        planned: dict[int, tuple[store.Intent, Decision]] = {}
        refusals: dict[int, Refusal] = {}
        for index, order in enumerate(orders):
            chance = chances[index * RANDOM_BYTES : (index + 1) * RANDOM_BYTES]
            plan = self._plan(order, now_ms, chance, bulk=bulk)
            if isinstance(plan, Refusal):
                refusals[index] = plan
            else:
                planned[index] = plan
        answers: list[Accepted] = [Accepted()] * len(orders)
        made: dict[str, int] = {}
        try:
            made, over = await self._accept(planned, now_ms)
            if over:
                made |= await self._decide_again(over, orders, planned, refusals, now_ms, bulk=bulk)
        finally:
            for index, (intent, decision) in planned.items() if len(made) < len(planned) else ():
                if intent.payment_id not in made:
                    self._note_limits(orders[index], decision, now_ms, times=-1)
        self._begin(gateway, [(plan, made[plan[0].payment_id]) for plan in planned.values() if plan[0].payment_id in made], bulk=bulk)
        left = [index for index in range(len(orders)) if index in refusals or planned[index][0].payment_id not in made]
        if left:
            for index, answer in zip(left, await self._explain(gateway, left, orders, refusals), strict=True):
                answers[index] = answer
        elif not bulk:
            await asyncio.sleep(HEAD_START_S)
        return answers

    def _begin(self, gateway: str, written: Sequence[tuple[tuple[store.Intent, Decision], int]], *, bulk: bool) -> None:
        """Hand on the charges of intents that are committed."""
        charges: list[Payment] = []
        decisions: list[Decision] = []
        for (intent, decision), create_ms in written:
            payment = self._made(intent, create_ms)
            if not bulk:
                self._waiting[payment.payment_id] = gateway
            charges.append(payment)
            decisions.append(decision)
        self._remember(charges)
        self._charge(charges, bulk=bulk)
        self._count(decisions)

    async def _accept(
        self, planned: dict[int, tuple[store.Intent, Decision]], now_ms: int
    ) -> tuple[dict[str, int], list[int]]:
        """Write intents; return when each was made, and the places of those whose account's limit is used up."""
        intents = [intent for intent, _ in planned.values()]
        wishes = self._allowances.wishes((intent, intent.amount_minor) for intent in intents)
        if not wishes:
            return await self._database.run(store.accept, intents) if intents else {}, []
        made, over, left = await self._database.run(_accept_within, intents, wishes, china_day(now_ms))
        self._allowances.learn(left)
        return made, [index for index, (intent, _) in planned.items() if intent.attempt_no in over]

    async def _decide_again(
        self,
        over: Sequence[int],
        orders: Sequence[NewPayment],
        planned: dict[int, tuple[store.Intent, Decision]],
        refusals: dict[int, Refusal],
        now_ms: int,
        *,
        bulk: bool,
    ) -> dict[str, int]:
        """Decide once more for orders that others were faster than, with what the database said is left."""
        again: dict[int, tuple[store.Intent, Decision]] = {}
        for index in over:
            _, first = planned.pop(index)
            self._note_limits(orders[index], first, now_ms, times=-1)
            plan = self._plan(orders[index], now_ms, os.urandom(RANDOM_BYTES), bulk=bulk)
            if isinstance(plan, Refusal):
                refusals[index] = plan
            else:
                again[index] = planned[index] = plan
        made, lost = await self._accept(again, now_ms)
        refusals.update((index, _account_limit(again[index][0])) for index in lost)
        return made

    def _plan(
        self, order: NewPayment, now_ms: int, chance: bytes, *, bulk: bool = False
    ) -> "tuple[store.Intent, Decision] | Refusal":
        table = self._tables.get(order.tenant_id)
        if table is None or self._desk is None:
            return _not_set_up(order.tenant_id)
        tenant = self._desk.tenants[order.tenant_id]
        if tenant.state != tenancy.ACTIVE:
            return tenancy.suspended(order.tenant_id)
        if refusal := _not_sold(tenant, order):
            return refusal
        if order.expire_ms <= now_ms:
            return Refusal(Kind.FORBIDDEN_BY_STATE, "ORDER_EXPIRED", f"order {order.order_no} has expired")
        decision = self._decide(order, table, now_ms, bulk=bulk)
        account = decision.chosen
        if account is None:
            return order_changed(reason_text(decision)[:900]) if order.from_cashier else no_route(decision)
        self._allowances.spend(account.account_id, order.amount_minor)
        self._note_limits(order, decision, now_ms)
        intent = store.Intent(
            order.tenant_id, identifier("pay_", now_ms=now_ms, random=chance), order.request_id, order.content_hash,
            order.order_no, order.product_code, order.amount_minor, order.currency_code, order.method, order.terminal,
            order.source, order.subject, order.payer_ref, account.channel_id, account.account_id, account.merchant_no,
            attempt_number(shard=self._shard, now_ms=now_ms, random=chance), order.expire_ms,
            order.institution_id, _written(decision_record(decision)), order.payer,
        )  # fmt: skip
        return intent, decision

    def _decide(
        self,
        order: "NewPayment | Payment",
        table: RoutingTable,
        now_ms: int,
        exclude: frozenset[str] = frozenset(),
        *,
        bulk: bool = False,
    ) -> Decision:
        facts = OrderFacts(
            order.tenant_id, order.order_no, order.product_code, order.amount_minor, order.currency_code, order.method,
            order.terminal, order.source, order.payer_ref, order.institution_id, self._kept(order, now_ms), bulk,
        )  # fmt: skip
        return decide(
            facts, table, self._snapshots, now_ms=now_ms, draw=random.random(), exclude=exclude,
            allowances=self._allowances.at(now_ms), book=self._book,
        )  # fmt: skip

    def _kept(self, order: "NewPayment | Payment | OrderFacts", now_ms: int) -> str:
        return self._regulars.account_of(order.tenant_id, order.payer_ref, order.method, now_ms=now_ms) if order.payer_ref else ""

    def _note_limits(self, order: "NewPayment | Payment", decision: Decision, now_ms: int, *, times: int = 1) -> None:
        """Count what LIMIT rules count, before the next order of the same batch is decided."""
        if decision.limits and decision.chosen:
            chosen = decision.chosen.channel_id
            self._book.note(order.tenant_id, decision.limits, chosen, order.amount_minor, now_ms, times=times)

    def _count(self, decisions: Sequence[Decision]) -> None:
        """Count a batch at once: finding a counter and taking its lock costs more than judging a candidate."""
        chosen = Tally((made.approach, made.chosen.channel_id if made.chosen else "") for made in decisions)
        failed = Tally(rule_id for made in decisions for rule_id in made.failed_rules)
        reasons = Tally(item.eliminated_by for made in decisions for item in made.candidates if item.eliminated_by)
        for labels, count in chosen.items():
            self._decisions.labels(*labels).inc(count)
        for rule_id, count in failed.items():
            self._rule_faults.labels(rule_id).inc(count)
        for reason, count in reasons.items():
            self._eliminated.labels(reason).inc(count)

    @staticmethod
    def _made(intent: store.Intent, create_ms: int) -> Payment:
        return Payment(
            intent.tenant_id, intent.payment_id, intent.request_id, intent.order_no, intent.product_code,
            intent.amount_minor, intent.currency_code, intent.method, intent.terminal, intent.source, intent.subject,
            intent.payer_ref, State.SUBMITTING, "", intent.channel_id, intent.account_id, intent.merchant_no,
            intent.attempt_no, 1, 1, "", "", "", 1, 0, False, False, "", 0, 0, create_ms, create_ms, intent.expire_ms, 0,
            intent.institution_id,
        )  # fmt: skip

    def _remember(self, payments: Iterable[Payment]) -> None:
        for payment in payments:
            self._open[payment.attempt_no] = payment
        while len(self._open) > CACHE_MAX:
            del self._open[next(iter(self._open))]

    def _charge(self, payments: Iterable[Payment], *, bulk: bool = False) -> None:
        for payment in payments:
            request = Charge(
                payment.attempt_no, payment.merchant_no, payment.amount_minor, payment.currency_code, payment.order_no,
                payment.subject, payment.payer_ref, payment.expire_ms, f"{self._notify_url}/{payment.channel_id}",
                payment.terminal,
            )  # fmt: skip
            self._hand_on(payment.channel_id, Task(Operation.CHARGE, payment.tenant_id, request, bulk))

    def _hand_on(self, channel_id: str, task: Task) -> None:
        """Give a task to a connector. What gets lost here is committed already, and the sweeper asks about it."""
        if not self._connector(channel_id, task.bulk).tell(task):
            log.warning("connector_mailbox_full", channel_id=channel_id)

    async def _explain(
        self,
        gateway: str,
        left: Sequence[int],
        orders: Sequence[NewPayment],
        refusals: dict[int, Refusal],
    ) -> list[Accepted]:
        """Tell, for what was not written, which of the reasons it is; a repeat gets what its first call got."""
        keys = [(orders[i].tenant_id, orders[i].request_id, orders[i].order_no, orders[i].method) for i in left]
        clashes = await self._database.run(store.find_clashes, keys)
        by_request = {(clash.payment.tenant_id, clash.payment.request_id): clash for clash in clashes}
        answers = []
        for index in left:
            order = orders[index]
            same = by_request.get((order.tenant_id, order.request_id))
            if same is not None:
                answers.append(self._repeat(gateway, order, same))
            elif index in refusals:
                answers.append(Accepted(refusal=refusals[index]))
            else:
                answers.append(Accepted(refusal=_in_the_way(order, clashes)))
        return answers

    def _repeat(self, gateway: str, order: NewPayment, same: store.Clash) -> Accepted:
        if same.content_hash != order.content_hash:
            return Accepted(
                refusal=Refusal(
                    Kind.REUSED,
                    "REQUEST_ID_REUSED",
                    f"request_id {order.request_id!r} was used with other content",
                    metadata=(("payment_id", same.payment.payment_id),),
                )
            )
        self._replays.inc()
        if same.payment.state is State.SUBMITTING:
            if len(self._waiting) >= CACHE_MAX:  # entries whose outcome went by while the repeat was on its way
                del self._waiting[next(iter(self._waiting))]
            self._waiting[same.payment.payment_id] = gateway
        return Accepted(payment=same.payment)

    # --- outcomes ---------------------------------------------------------------------------------------------------

    async def outcomes(self, gateway: str) -> list[Payment]:
        """Long poll: return payments of this gateway that left SUBMITTING, as soon as there are some."""
        outlet = self._outlets.setdefault(gateway, _Outlet())
        if not outlet.ready:
            outlet.event.clear()
            try:
                await asyncio.wait_for(outlet.event.wait(), POLL_S)
            except TimeoutError:
                return []
            due_s = outlet.rate.last_s + outlet.rate.pace_s() - time.monotonic()
            if due_s > 0:
                await asyncio.sleep(due_s)
        ready, outlet.ready = outlet.ready, []
        outlet.rate.note(len(ready))
        return ready

    def _tell(self, payment: Payment) -> None:
        gateway = self._waiting.pop(payment.payment_id, None)
        if gateway is None:
            return
        outlet = self._outlets.setdefault(gateway, _Outlet())
        if len(outlet.ready) < OUTLET_MAX:
            outlet.ready.append(payment)
            outlet.event.set()

    # --- evidence ---------------------------------------------------------------------------------------------------

    async def evidence(self, batch: Sequence[TenantEvidence]) -> list[str]:
        """Apply evidence, one transaction per round; answer per item once committed.

        APPLIED and SAME are settled. UNKNOWN_ATTEMPT is nobody's, and ASKED contradicts better proof: the channel is
        asked, and as that question may get lost, whoever told us should come again.
        """
        results = ["SAME"] * len(batch)
        refunds = [index for index, item in enumerate(batch) if item.evidence.refund_no]
        if refunds:
            answers = await self._apply_to_refunds([batch[index].evidence for index in refunds])
            for index, answer in zip(refunds, answers, strict=True):
                results[index] = answer
        todo = [index for index, item in enumerate(batch) if not item.evidence.refund_no]
        try:
            stalled_count = 0
            while todo:
                left = await self._round(todo, batch, results)
                stalled_count = stalled_count + 1 if len(left) == len(todo) else 0
                if stalled_count == ROUNDS_MAX:
                    raise Refused(
                        Refusal(Kind.MOVED, "CONTENDED", "payments kept moving; the evidence will be asked for again")
                    )
                todo = left
        finally:
            self._forget_finished(item.evidence.attempt_no for item in batch)
        return results

    async def _round(self, todo: list[int], batch: Sequence[TenantEvidence], results: list[str]) -> list[int]:
        """Apply at most one piece of evidence per payment, and one success per order; return what is left to do."""
        await self._fill([batch[index].evidence.attempt_no for index in todo])
        now_ms = self._clock_ms()
        self._come_into_force(now_ms)
        plan = _Plan()
        later: list[int] = []
        for index in todo:
            item = batch[index].evidence
            payment = self._open.get(item.attempt_no)
            if payment is None:
                results[index] = "UNKNOWN_ATTEMPT"
                continue
            patience_s = self._patience_s.get(payment.channel_id, life.NOT_FOUND_PATIENCE_S)
            verdict = life.apply(payment, item, now_ms=now_ms, not_found_patience_s=patience_s)
            if verdict is life.NOTHING:
                continue
            if not plan.admits(payment, verdict):
                later.append(index)
                continue
            if verdict.follow is Follow.ASK_NOW:
                results[index] = "ASKED"
            plan.indices.append(index)
            self._add(plan, index, payment, item, verdict, now_ms)
        if plan.is_empty():
            return later
        try:
            settled, moved, left = await self._write(plan, now_ms)
        except IntegrityError as error:
            return later + await self._isolate(plan, batch, results, error)
        self._allowances.learn(left)
        return later + self._finish(plan, settled, moved, results)

    async def _write(
        self, plan: "_Plan", now_ms: int
    ) -> tuple[list[store.Settled], set[str], dict[str, Allowance]]:
        wishes = self._allowances.wishes(
            (redirect, payment.amount_minor) for _, redirect, payment in plan.redirects.values() if redirect.decision
        )
        freed = plan.freed() if self._allowances.are_reserved else {}
        moved: set[str] = set()
        try:
            settled, moved, left = await self._database.run(_write, plan, wishes, freed, china_day(now_ms))
        finally:
            for payment_id, (payment, decision) in plan.rerouted.items():
                if payment_id not in moved:
                    self._note_limits(payment, decision, now_ms, times=-1)
        return settled, moved, left

    async def _isolate(
        self, plan: "_Plan", batch: Sequence[TenantEvidence], results: list[str], error: IntegrityError
    ) -> list[int]:
        """Apply the pieces of a batch that the database refuses one by one, and open a case for the one it is."""
        indices = plan.indices
        if len(indices) > 1:
            return [left for index in indices for left in await self._round([index], batch, results)]
        (index,) = indices
        item = batch[index]
        payment = self._open.pop(item.evidence.attempt_no)
        rule = getattr(getattr(error.orig, "diag", None), "constraint_name", None) or "a constraint"
        detail = f"{item.evidence.source.name} {item.evidence.outcome} breaks {rule}: {item.evidence.channel_txn_no}"
        log.error("evidence_refused", payment_id=payment.payment_id, detail=detail)
        case = (payment.payment_id, "EVIDENCE_REFUSED", payment.tenant_id, payment.attempt_no, detail[:512])
        self._cases.labels(case[1]).inc()
        await self._database.run(store.open_cases, [case])
        results[index] = "REFUSED"
        return []

    async def _fill(self, attempt_nos: Sequence[str]) -> None:
        missing = [number for number in attempt_nos if number not in self._open]
        if missing:
            found = await self._database.run(store.load_by_attempt, missing)
            for number, payment in found.items():
                self._open[number] = payment

    def _forget_finished(self, attempt_nos: Iterable[str]) -> None:
        """Drop what was read only to answer a late repeat."""
        for number in attempt_nos:
            payment = self._open.get(number)
            if payment is not None and (payment.state in life.FINAL or payment.attempt_no != number):
                del self._open[number]

    def _add(
        self, plan: "_Plan", index: int, payment: Payment, item: Evidence, verdict: Verdict, now_ms: int
    ) -> None:
        if verdict.case_kind:
            detail = f"{item.source.name} said {item.outcome} {item.amount_minor} {item.currency_code} {item.merchant_no}"
            plan.cases.append((payment.payment_id, verdict.case_kind, payment.tenant_id, item.attempt_no, detail[:512]))
            self._cases.labels(verdict.case_kind).inc()
            log.warning("payment_case", kind=verdict.case_kind, payment_id=payment.payment_id, said=detail)
        if verdict.refund_attempt_no:
            plan.extra_refunds.append(_extra_refund(payment, item))
        if verdict.follow is Follow.ASK_NOW:
            plan.questions.append(payment)
        if verdict.follow is Follow.RESEND:
            redirect = _same_again(payment, item, payment.send_count + 1)
            plan.redirects[payment.payment_id] = (index, redirect, payment._replace(send_count=payment.send_count + 1))
        elif verdict.follow is Follow.REROUTE:
            self._reroute(plan, index, payment, item, verdict, now_ms)
        elif verdict.event is not None:
            plan.add_change(index, payment, item, verdict, now_ms)

    def _reroute(
        self, plan: "_Plan", index: int, payment: Payment, item: Evidence, verdict: Verdict, now_ms: int
    ) -> None:
        """Choose the next channel; when there is none, the payment fails for the reason that it was refused for."""
        table = self._tables.get(payment.tenant_id)
        tried = self._tried[payment.payment_id] = self._tried.get(payment.payment_id, frozenset()) | {payment.channel_id}
        decision = self._decide(payment, table, now_ms, tried) if table else None
        if decision is None or decision.chosen is None:
            failed = Verdict(event=life.Event.DECLINE, state=State.FAILED, reason=verdict.reason)
            plan.add_change(index, payment, item, failed, now_ms)
            return
        self._count([decision])
        self._note_limits(payment, decision, now_ms)
        account = decision.chosen
        self._allowances.spend(account.account_id, payment.amount_minor)
        number = attempt_number(shard=self._shard, now_ms=now_ms, random=os.urandom(RANDOM_BYTES))
        moved = payment._replace(
            channel_id=account.channel_id, account_id=account.account_id, merchant_no=account.merchant_no,
            attempt_no=number, attempt_index=payment.attempt_index + 1, send_count=1,
        )  # fmt: skip
        redirect = store.Redirect(
            payment.tenant_id, payment.payment_id, payment.revision, life.Event.REROUTE, item.source.name,
            verdict.reason, payment.attempt_no,
            "NOT_SENT" if item.outcome is Outcome.NOT_SENT else "REJECTED",
            moved.channel_id, moved.account_id, moved.merchant_no, number, moved.attempt_index, 1,
            _written(decision_record(decision)), payment.close_reason, life.SUBMIT_PATIENCE_S,
        )  # fmt: skip
        plan.redirects[payment.payment_id] = (index, redirect, moved)
        plan.rerouted[payment.payment_id] = (payment, decision)

    def _finish(
        self, plan: "_Plan", settled: Sequence[store.Settled], moved: set[str], results: list[str]
    ) -> list[int]:
        """After the commit: update memory, tell who waits, send on. Return the indices whose payment had moved."""
        again: list[int] = []
        events: Tally[str] = Tally()
        for done in settled:
            index, change, payment = plan.changes.pop(done.payment_id)
            results[index] = "APPLIED"
            events[change.event] += 1
            owed = change.event == life.Event.CONFIRM and life.must_give_back(payment, duplicate=done.duplicate)
            if change.event == life.Event.CONFIRM and payment.payer_ref:
                self._regulars.note([
                    Visit(payment.tenant_id, payment.payer_ref, payment.method, payment.account_id, done.update_ms)
                ])  # fmt: skip
            self._settled(
                payment._replace(
                    duplicate=payment.duplicate or done.duplicate, update_ms=done.update_ms, revision=payment.revision + 1,
                    refund_reserved_minor=payment.amount_minor if owed else payment.refund_reserved_minor,
                )
            )  # fmt: skip
        for payment_id in moved:
            index, redirect, payment = plan.redirects.pop(payment_id)
            results[index] = "APPLIED"
            events[redirect.event] += 1
            payment = payment._replace(revision=payment.revision + 1)
            self._open.pop(redirect.old_attempt_no, None)
            self._remember([payment])
            self._charge([payment])
        for event, count in events.items():
            self._transitions.labels(event).inc(count)
        # What is left was moved by somebody else: read it again, under the number by which it is remembered.
        for index, change, _ in plan.changes.values():
            self._open.pop(change.attempt_no, None)
            again.append(index)
        for index, redirect, _ in plan.redirects.values():
            self._open.pop(redirect.old_attempt_no, None)
            again.append(index)
        for payment in plan.questions:
            question = Lookup(payment.attempt_no, payment.merchant_no)
            self._hand_on(payment.channel_id, Task(Operation.QUERY, payment.tenant_id, question))
        return again

    def _settled(self, payment: Payment) -> None:
        if payment.state in life.FINAL:
            self._open.pop(payment.attempt_no, None)
            self._tried.pop(payment.payment_id, None)
        else:
            self._open[payment.attempt_no] = payment
        self._tell(payment)

    # --- other acts -------------------------------------------------------------------------------------------------

    async def _apply_to_refunds(self, batch: Sequence[Evidence]) -> list[str]:
        return await self._database.run(refund_store.apply_evidence, batch, refund_life.apply)

    async def ask_close(self, wishes: Sequence[CloseWish]) -> list[Accepted]:
        """Note that callers give up on payments; the channel is asked to close, and only its word closes."""
        loaded = await self._database.run(store.load, [wish[:2] for wish in wishes])
        found = {(payment.tenant_id, payment.payment_id): payment for payment in loaded}
        answers: list[Accepted] = []
        plan = _Plan()
        for index, wish in enumerate(wishes):
            payment = found.get((wish.tenant_id, wish.payment_id))
            if payment is None:
                answers.append(Accepted(refusal=not_found(wish.payment_id)))
            elif payment.state not in life.OPEN:
                answers.append(Accepted(payment=payment) if payment.state is State.CLOSED else Accepted(refusal=_final(payment)))
            elif payment.close_reason or payment.payment_id in plan.redirects:
                answers.append(Accepted(payment=payment))
            else:
                closing = payment._replace(close_reason=wish.reason)
                plan.redirects[payment.payment_id] = (index, _close_redirect(payment, wish.reason), closing)
                answers.append(Accepted(payment=closing._replace(revision=closing.revision + 1)))
        if plan.redirects:
            _, moved, _ = await self._write(plan, self._clock_ms())
            for payment_id, (index, _, closing) in plan.redirects.items():
                self._open.pop(closing.attempt_no, None)
                if payment_id not in moved:
                    answers[index] = Accepted(
                        refusal=Refusal(Kind.MOVED, "PAYMENT_MOVED", f"payment {payment_id} moved meanwhile; try again")
                    )
        return answers

    async def dry_run(self, orders: Sequence[OrderFacts]) -> list[Decision | Refusal]:
        """Decide for orders that are not made."""
        now_ms = self._clock_ms()
        self._come_into_force(now_ms)
        answers: list[Decision | Refusal] = []
        for facts in orders:
            table = self._tables.get(facts.tenant_id)
            if table is None or self._desk is None:
                answers.append(_not_set_up(facts.tenant_id))
            elif refusal := _not_sold(self._desk.tenants[facts.tenant_id], facts):
                answers.append(refusal)
            else:
                allowances = self._allowances.at(now_ms)
                decision = decide(
                    facts._replace(kept_account_id=self._kept(facts, now_ms)), table, self._snapshots, now_ms=now_ms, draw=random.random(), allowances=allowances,
                    book=self._book,
                )  # fmt: skip
                answers.append(decision)
        return answers

    async def dry_run_draft(self, facts: OrderFacts, rule_set: RuleSet) -> Decision | Refusal:
        """Decide for an order that is not made, by rules that are not in force. Its limits count nothing."""
        tenant = self._desk.tenants.get(facts.tenant_id) if self._desk else None
        table = self._tables.get(facts.tenant_id)
        if tenant is None or table is None:
            return _not_set_up(facts.tenant_id)
        if refusal := _not_sold(tenant, facts):
            return refusal
        try:
            rules = compiled(rule_set)
        except Refused as refused:
            return refused.refusal
        now_ms = self._clock_ms()
        return decide(
            facts, dataclasses.replace(table, rules=rules), self._snapshots, now_ms=now_ms, draw=random.random(),
            allowances=self._allowances.at(now_ms), book=LimitBook(),
        )  # fmt: skip


def _not_found_patience_s(settings: Mapping[str, Any]) -> int:
    """Return how long after an order's expiry a channel is not believed; a setting that is no number stops no router."""
    limits = settings.get("limits")
    said = limits.get("not_found_patience_s") if isinstance(limits, dict) else None
    return round(said) if isinstance(said, int | float) else life.NOT_FOUND_PATIENCE_S


class _Plan:
    """What one transaction will do, by payment."""

    def __init__(self) -> None:
        self.indices: list[int] = []  # the places in the batch of whatever has an effect
        self.changes: dict[str, tuple[int, store.Change, Payment]] = {}
        self.redirects: dict[str, tuple[int, store.Redirect, Payment]] = {}
        self.rerouted: dict[str, tuple[Payment, Decision]] = {}  # what LIMIT rules have counted
        self.cases: list[tuple[str, str, str, str, str]] = []
        self.extra_refunds: list[tuple[str, int, str, str]] = []
        self.questions: list[Payment] = []
        self._paid_orders: set[tuple[str, str]] = set()

    def freed(self) -> dict[str, str]:
        """Return, by payment, the attempts that will never take money as far as anybody can tell."""
        ended = {State.FAILED, State.CLOSED}
        failed = {name: change.attempt_no for name, (_, change, _) in self.changes.items() if change.new_state in ended}
        left = {name: redirect.old_attempt_no for name, (_, redirect, _) in self.redirects.items() if redirect.decision}
        return failed | left

    def is_empty(self) -> bool:
        return not (self.changes or self.redirects or self.cases or self.extra_refunds)

    def admits(self, payment: Payment, verdict: Verdict) -> bool:
        if payment.payment_id in self.changes or payment.payment_id in self.redirects:
            return False
        return verdict.event is not life.Event.CONFIRM or (payment.tenant_id, payment.order_no) not in self._paid_orders

    def add_change(self, index: int, payment: Payment, item: Evidence, verdict: Verdict, now_ms: int) -> None:
        assert verdict.event is not None and verdict.state is not None
        confirmed = verdict.event is life.Event.CONFIRM
        if confirmed:
            self._paid_orders.add((payment.tenant_id, payment.order_no))
        waiting = verdict.state is State.PENDING
        success_ms = (item.success_time_ms or now_ms) if confirmed else 0
        txn_no = item.channel_txn_no if confirmed else ""
        books = (f"channel:{payment.channel_id}:{payment.account_id}", f"orders:{payment.product_code}")
        debit, credit = books if confirmed else ("", "")
        after = payment._replace(
            state=verdict.state, reason=verdict.reason, proof_rank=int(item.source),
            channel_txn_no=txn_no or payment.channel_txn_no, late=payment.late or verdict.late,
            action_kind=item.action_kind if waiting else "", action_value=item.action_value if waiting else "",
            success_ms=success_ms or payment.success_ms,
        )  # fmt: skip
        change = store.Change(
            payment.tenant_id, payment.payment_id, payment.order_no, payment.revision, verdict.event, verdict.state,
            verdict.reason[:128], item.source.name, int(item.source), payment.attempt_no,
            ATTEMPT_STATES[verdict.event], txn_no, success_ms, verdict.late,
            after.action_kind, after.action_value,
            life.QUERY_DELAYS_S[0] if verdict.state in life.OPEN else None,
            life.NOTICES.get(verdict.state, ""), debit, credit,
        )  # fmt: skip
        self.changes[payment.payment_id] = (index, change, after)


def _accept_within(
    connection: Connection, intents: Sequence[store.Intent], wishes: Sequence[Wish], day: date
) -> tuple[dict[str, int], set[str], dict[str, Allowance]]:
    """Write the intents that fit into their accounts' limits; return the attempts that do not, and what is left."""
    fits, left = fitting(wishes, limit_store.hold(connection, wishes, day=day))
    over = {wish.attempt_no for wish in wishes}.difference(wish.attempt_no for wish in fits)
    within = [intent for intent in intents if intent.attempt_no not in over]
    made = store.accept(connection, within) if within else {}
    written = {intent.attempt_no for intent in within if intent.payment_id in made}
    limit_store.reserve(connection, [wish for wish in fits if wish.attempt_no in written], day=day)
    return made, over, left


def _write(
    connection: Connection, plan: _Plan, wishes: Sequence[Wish], freed: Mapping[str, str], day: date
) -> tuple[list[store.Settled], set[str], dict[str, Allowance]]:
    """Write a plan: the second transaction of a payment's life. A redirect to an account that is used up is left out."""
    fits, over = wishes, set[str]()
    left: dict[str, Allowance] = {}
    if wishes or freed:
        fits, left = fitting(wishes, limit_store.hold(connection, wishes, day=day, freed=freed.values()))
        over = {wish.attempt_no for wish in wishes}.difference(wish.attempt_no for wish in fits)
    settled = store.settle(connection, [change for _, change, _ in plan.changes.values()]) if plan.changes else []
    redirects = [item for _, item, _ in plan.redirects.values() if item.attempt_no not in over]
    moved = store.redirect(connection, redirects) if redirects else set()
    done = moved.union(item.payment_id for item in settled)
    if free := [attempt_no for payment_id, attempt_no in freed.items() if payment_id in done]:
        limit_store.give_back(connection, free)
    written = {redirect.attempt_no for redirect in redirects if redirect.payment_id in moved}
    if taken := [wish for wish in fits if wish.attempt_no in written]:
        limit_store.reserve(connection, taken, day=day)
    if plan.cases:
        store.open_cases(connection, plan.cases)
    if plan.extra_refunds:
        refund_store.refund_attempts(connection, plan.extra_refunds)
    return settled, moved, left


def _extra_refund(payment: Payment, item: Evidence) -> tuple[str, int, str, str]:
    """Return what an attempt that was left behind gives back: what it says it took, or all where it does not say."""
    amount_minor = item.amount_minor if item.amount_minor > 0 else payment.amount_minor
    return item.attempt_no, amount_minor, item.currency_code or payment.currency_code, item.merchant_no


def _same_again(payment: Payment, item: Evidence, send_count: int) -> store.Redirect:
    return store.Redirect(
        payment.tenant_id, payment.payment_id, payment.revision, life.Event.RESEND, item.source.name, "NOT_FOUND",
        payment.attempt_no, "", payment.channel_id, payment.account_id, payment.merchant_no, payment.attempt_no,
        payment.attempt_index, send_count, "", payment.close_reason, life.SUBMIT_PATIENCE_S,
    )  # fmt: skip


def _close_redirect(payment: Payment, reason: str) -> store.Redirect:
    return store.Redirect(
        payment.tenant_id, payment.payment_id, payment.revision, life.Event.ASK_CLOSE, "CALLER", reason,
        payment.attempt_no, "", payment.channel_id, payment.account_id, payment.merchant_no, payment.attempt_no,
        payment.attempt_index, payment.send_count, "", reason, 0,
    )  # fmt: skip


def _account_limit(intent: store.Intent) -> Refusal:
    return Refusal(
        Kind.FORBIDDEN_BY_STATE, "ACCOUNT_LIMIT", f"account {intent.account_id} has taken all that it may for now",
        metadata=(("account_id", intent.account_id),),
    )  # fmt: skip


def _not_set_up(tenant_id: str) -> Refusal:
    return Refusal(Kind.FORBIDDEN_BY_STATE, "TENANT_NOT_SET_UP", f"tenant {tenant_id} is not set up")


def _not_sold(tenant: desk_store.Tenant, order: "NewPayment | OrderFacts") -> Refusal | None:
    return tenancy.sale_refusal(
        tenant.products, tenant.institutions, product_code=order.product_code, institution_id=order.institution_id
    )


def no_route(decision: Decision) -> Refusal:
    """Refuse for want of a channel, with the reason of every candidate."""
    reasons = tuple((item.channel_id, item.eliminated_by) for item in decision.candidates[:32])
    return Refusal(Kind.FORBIDDEN_BY_STATE, "NO_ROUTE", reason_text(decision)[:1000], metadata=reasons)


def not_found(payment_id: str) -> Refusal:
    """Refuse for want of the payment, whether it does not exist or is another tenant's."""
    return Refusal(Kind.NOT_FOUND, "PAYMENT_NOT_FOUND", f"there is no payment {payment_id!r}")


def _final(payment: Payment) -> Refusal:
    return Refusal(
        Kind.FORBIDDEN_BY_STATE, "PAYMENT_FINAL", f"payment {payment.payment_id} is {payment.state}",
        metadata=(("state", payment.state),),
    )  # fmt: skip


def _in_the_way(order: NewPayment, clashes: Sequence[store.Clash]) -> Refusal:
    same_order = [c for c in clashes if (c.payment.tenant_id, c.payment.order_no) == (order.tenant_id, order.order_no)]
    paid = next((clash for clash in same_order if clash.kept), None)
    if paid is not None:
        return Refusal(
            Kind.FORBIDDEN_BY_STATE, "ORDER_PAID", f"order {order.order_no} is paid",
            metadata=(("payment_id", paid.payment.payment_id),),
        )  # fmt: skip
    if same_order:
        return Refusal(
            Kind.FORBIDDEN_BY_STATE, "PAYMENT_OPEN", f"order {order.order_no} has an open payment by this method",
            metadata=(("payment_id", same_order[0].payment.payment_id),),
        )  # fmt: skip
    return Refusal(Kind.MOVED, "ORDER_MOVED", f"order {order.order_no} changed meanwhile; try again")
