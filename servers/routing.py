"""The Routing service."""

import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf import json_format

from actors.tables import account_of
from domain import orders
from domain.identifiers import RANDOM_BYTES, identifier
from domain.limits import LimitBook
from domain.permissions import EVERYWHERE
from domain.refusals import Refused, Violation, invalid
from domain.replay import Comparison, Stored
from domain.routing import Decision, OrderFacts, decision_from_record, reason_text
from domain.rule_sets import RuleSet, difference, to_record
from protos.paydesk.v1 import routing_pb2, routing_pb2_grpc
from servers import commands, pages, rule_sets, translate
from servers.desk import DeskView
from servers.gateway import Gateway
from servers.identity import caller, check_reach, reaches, sees_costs
from storage import payments as store
from storage import rule_sets as rule_store
from storage.database import Database

# On how many of the newest decisions rules are tried.
ORDERS_TRIED = 1_000
ORDERS_TRIED_MAX = 5_000
REPLAY_MAX = 200_000
REPLAY_PAGE = 500


class RoutingService(routing_pb2_grpc.RoutingServicer):
    """Tells why a channel was or would be chosen, and keeps the rules by which it is."""

    def __init__(self, gateway: Gateway, desk: DeskView, database: Database) -> None:
        self._gateway = gateway
        self._desk = desk
        self._database = database
        self._workshop = rule_sets.Workshop()

    async def ExplainRoute(
        self, request: routing_pb2.ExplainRouteRequest, context: Any
    ) -> routing_pb2.RoutingDecision:
        """Read the stored decision of an attempt."""
        if not 0 <= request.attempt_index <= 100:
            raise Refused(invalid(Violation("attempt_index", "must be 0 (the latest) or the number of an attempt")))
        if len(request.payment_id) > 64 or not request.payment_id.isprintable():
            raise Refused(invalid(Violation("payment_id", "must be at most 64 printable characters")))
        tenant_id = caller().tenant_id
        found = await self._database.run(
            store.decision_of, tenant_id=tenant_id, payment_id=request.payment_id, attempt_index=request.attempt_index
        )
        if found is None or not await self._is_reached(request.payment_id):
            raise Refused(translate.not_found("ATTEMPT_NOT_FOUND", "there is no such attempt"))
        record, _, decide_ms = found
        accounts = {row.account_id: account_of(row) for row in self._desk.accounts_of(tenant_id)}
        message = decision_message(decision_from_record(record, accounts=accounts))
        message.payment_id = request.payment_id
        message.decide_time.FromMilliseconds(decide_ms)
        return message

    async def _is_reached(self, payment_id: str) -> bool:
        if caller().scope == EVERYWHERE:
            return True
        payment = await self._gateway.get(tenant_id=caller().tenant_id, payment_id=payment_id)
        return payment is not None and reaches(payment.institution_id, payment.product_code)

    async def DryRunRoute(self, request: routing_pb2.DryRunRouteRequest, context: Any) -> routing_pb2.RoutingDecision:
        """Decide for an order that is not made."""
        method, terminal = translate.method_name(request.method), translate.terminal_name(request.terminal)
        violations = [
            *orders.text_violations(
                order_no=request.order_no or "dry-run", product_code=request.product_code, source=request.source,
                payer_ref=request.payer_ref,
            ),
            *orders.amount_violations(request.amount.amount_minor, request.amount.currency_code),
        ]  # fmt: skip
        if method is None:
            violations.append(Violation("method", f"{request.method} is no method"))
        if terminal is None:
            violations.append(Violation("terminal", f"{request.terminal} is no terminal"))
        if violations:
            raise Refused(invalid(*violations))
        check_reach("", request.product_code)
        facts = OrderFacts(
            caller().tenant_id, request.order_no, request.product_code, request.amount.amount_minor,
            request.amount.currency_code, method or "", terminal or "", request.source, request.payer_ref,
        )  # fmt: skip
        if request.rule_set_id:
            row = await self._row(request.rule_set_id)
            return decision_message(await self._gateway.dry_run_draft(facts, row.rule_set))
        return decision_message(await self._gateway.dry_run(facts))

    # --- rule sets --------------------------------------------------------------------------------------------------

    async def ListRuleSets(
        self, request: routing_pb2.ListRuleSetsRequest, context: Any
    ) -> routing_pb2.ListRuleSetsResponse:
        """List rule sets, the newest first."""
        limit, before_id = pages.size(request.page_size), pages.key_of(request.page_token)
        found = await self._database.run(
            rule_store.page, tenant_id=caller().tenant_id, before_id=before_id, limit=limit + 1
        )
        response = routing_pb2.ListRuleSetsResponse(rule_sets=map(rule_sets.summary_message, found[:limit]))
        if len(found) > limit:
            response.next_page_token = pages.token(found[limit - 1].rule_set_id)
        return response

    async def GetRuleSet(self, request: routing_pb2.GetRuleSetRequest, context: Any) -> routing_pb2.RuleSet:
        """Read one rule set, or the one in force."""
        now = await self._in_force()
        rule_set_id = request.rule_set_id or now.rule_set_id
        if not rule_set_id:
            return rule_sets.desk_rules_message(now.rule_set)
        row = await self._row(rule_set_id)
        return rule_sets.rule_set_message(row, difference(now.rule_set, row.rule_set))

    async def CreateRuleSetDraft(
        self, request: routing_pb2.CreateRuleSetDraftRequest, context: Any
    ) -> routing_pb2.RuleSet:
        """Keep a draft."""
        _check_texts(request_id=request.request_id)
        rule_set, who = rule_sets.read_rule_set(request), caller()
        made_id = identifier("rul_", now_ms=time.time_ns() // 1_000_000, random=secrets.token_bytes(RANDOM_BYTES))
        claim = await commands.once(
            self._database, "Routing.CreateRuleSetDraft", object_kind="rule_set", object_id=made_id,
            request_id=request.request_id, content=(rule_set, request.note), after=to_record(rule_set),
            reason=request.note,
            work=lambda connection: rule_store.create(
                connection, tenant_id=who.tenant_id, rule_set_id=made_id, rule_set=rule_set, note=request.note,
                author=who.principal,
            ),
        )  # fmt: skip
        return rule_sets.rule_set_message(await self._row(claim.object_id))

    async def UpdateRuleSetDraft(
        self, request: routing_pb2.UpdateRuleSetDraftRequest, context: Any
    ) -> routing_pb2.RuleSet:
        """Write over a draft."""
        _check_texts(request_id=request.request_id)
        rule_set, tenant_id = rule_sets.read_rule_set(request), caller().tenant_id
        before = await self._row(request.rule_set_id)
        await commands.once(
            self._database, "Routing.UpdateRuleSetDraft", object_kind="rule_set", object_id=request.rule_set_id,
            request_id=request.request_id, content=(request.rule_set_id, request.revision, rule_set, request.note),
            before=before.content, after=to_record(rule_set), reason=request.note,
            work=lambda connection: rule_store.update(
                connection, tenant_id=tenant_id, rule_set_id=request.rule_set_id, revision=request.revision,
                rule_set=rule_set, note=request.note,
            ),
        )  # fmt: skip
        return rule_sets.rule_set_message(await self._row(request.rule_set_id))

    async def CheckRuleSet(
        self, request: routing_pb2.CheckRuleSetRequest, context: Any
    ) -> routing_pb2.CheckRuleSetResponse:
        """Tell everything that is wrong with a rule set."""
        row, decisions = await self._row(request.rule_set_id), await self._recent(ORDERS_TRIED)
        findings = await self._workshop.check(row.rule_set, self._desk.desk, caller().tenant_id, decisions)
        return rule_sets.check_message(findings, len(decisions))

    async def SimulateRuleSet(
        self, request: routing_pb2.SimulateRuleSetRequest, context: Any
    ) -> routing_pb2.RouteComparison:
        """Make the newest decisions once more and compare."""
        if not 0 <= request.order_count <= ORDERS_TRIED_MAX:
            raise Refused(invalid(Violation("order_count", f"must be at most {ORDERS_TRIED_MAX}")))
        row = await self._row(request.rule_set_id)
        return await self._simulate(row.rule_set, request.order_count or ORDERS_TRIED)

    async def _simulate(self, rule_set: RuleSet, order_count: int) -> routing_pb2.RouteComparison:
        tenant_id, desk = caller().tenant_id, self._desk.desk
        after = rule_sets.table_with(desk, tenant_id, rule_set)
        before = rule_sets.table_with(desk, tenant_id, (await self._in_force()).rule_set)
        comparison = Comparison()
        await self._workshop.compare(
            await self._recent(order_count), before, after, comparison=comparison, books=(LimitBook(), LimitBook()),
            until_s=time.monotonic() + rule_sets.SIMULATE_S,
        )  # fmt: skip
        return rule_sets.comparison_message(comparison)

    async def PublishRuleSet(
        self, request: routing_pb2.PublishRuleSetRequest, context: Any
    ) -> routing_pb2.PublishRuleSetResponse:
        """Propose that a draft is put in force."""
        _check_texts(request_id=request.request_id, reason=request.reason)
        row, tenant_id = await self._row(request.rule_set_id), caller().tenant_id
        response = routing_pb2.PublishRuleSetResponse()
        if row.state == "DRAFT" and row.revision == request.revision:
            findings = await self._workshop.check(row.rule_set, self._desk.desk, tenant_id, ())
            if not rule_sets.is_sound(findings):
                raise Refused(rule_sets.unsound(findings))
            response.simulation.CopyFrom(await self._simulate(row.rule_set, ORDERS_TRIED))
            shown = json_format.MessageToDict(response.simulation, preserving_proto_field_name=True)
            await self._database.run(
                rule_store.note_simulation, tenant_id=tenant_id, rule_set_id=row.rule_set_id, revision=row.revision,
                simulation=shown | {"against": (await self._in_force()).rule_set_id},
            )  # fmt: skip
        arguments = {"rule_set_id": request.rule_set_id, "revision": request.revision}
        proposed = await commands.propose(
            self._database, rule_store.PUBLISH, arguments, request_id=request.request_id, reason=request.reason
        )
        response.proposal.CopyFrom(translate.proposal_message(proposed))
        response.rule_set.CopyFrom(rule_sets.rule_set_message(await self._row(request.rule_set_id)))
        return response

    async def RollBackRuleSet(
        self, request: routing_pb2.RollBackRuleSetRequest, context: Any
    ) -> routing_pb2.PublishRuleSetResponse:
        """Propose that an earlier version is put in force again."""
        _check_texts(request_id=request.request_id, reason=request.reason)
        proposed = await commands.propose(
            self._database, rule_store.ROLL_BACK, {"rule_set_id": request.rule_set_id},
            request_id=request.request_id, reason=request.reason,
        )  # fmt: skip
        return routing_pb2.PublishRuleSetResponse(
            proposal=translate.proposal_message(proposed),
            rule_set=rule_sets.rule_set_message(await self._row(request.rule_set_id)),
        )

    async def ReplayDecisions(
        self, request: routing_pb2.ReplayDecisionsRequest, context: Any
    ) -> AsyncIterator[routing_pb2.ReplayDecisionsResponse]:
        """Make the decisions of a span of time once more, page by page."""
        tenant_id, limit = caller().tenant_id, request.order_count or REPLAY_MAX
        after_id, before_id = _span(request)
        if not 0 < limit <= REPLAY_MAX:
            raise Refused(invalid(Violation("order_count", f"must be at most {REPLAY_MAX}")))
        rule_set = (await self._row(request.rule_set_id)).rule_set if request.rule_set_id else None
        table = rule_sets.table_with(
            self._desk.desk, tenant_id, rule_set or (await self._in_force()).rule_set
        )
        comparison, books, until_ms = Comparison(), (LimitBook(), LimitBook()), 0
        while comparison.order_count < limit:
            size = min(REPLAY_PAGE, limit - comparison.order_count)
            decisions, last_id = await self._database.run(
                rule_store.decided, tenant_id=tenant_id, after_id=after_id, before_id=before_id, limit=size
            )
            if not decisions:
                break
            await self._workshop.compare(decisions, None, table, comparison=comparison, books=books)
            after_id, until_ms = last_id, decisions[-1].decide_ms
            yield _replayed(comparison, until_ms, done=False)
        yield _replayed(comparison, until_ms, done=True)

    async def _row(self, rule_set_id: str) -> rule_store.Row:
        if len(rule_set_id) > 40 or not rule_set_id.isprintable():
            raise Refused(invalid(Violation("rule_set_id", "must be at most 40 printable characters")))
        return await self._database.run(rule_store.load, tenant_id=caller().tenant_id, rule_set_id=rule_set_id)

    async def _in_force(self) -> rule_store.InForce:
        return await self._database.run(rule_store.in_force, tenant_id=caller().tenant_id)

    async def _recent(self, limit: int) -> list[Stored]:
        return await self._database.run(rule_store.recent, tenant_id=caller().tenant_id, limit=limit)


def _check_texts(*, request_id: str, reason: str = "") -> None:
    violations = [*orders.text_violations(request_id=request_id)]
    if len(reason) > rule_sets.NOTE_LENGTH_MAX or not (reason + " ").isprintable():
        violations.append(Violation("reason", f"must be at most {rule_sets.NOTE_LENGTH_MAX} printable characters"))
    if violations:
        raise Refused(invalid(*violations))


def _span(request: routing_pb2.ReplayDecisionsRequest) -> tuple[str, str]:
    """Return the payment ids between which a span of time lies."""
    times = {"start_time": request.start_time, "end_time": request.end_time}
    violations = [Violation(name, "is no time of this calendar") for name, at in times.items() if not translate.is_time(at)]
    start_ms = translate.milliseconds(request.start_time)
    end_ms = translate.milliseconds(request.end_time) or time.time_ns() // 1_000_000 + 1
    if not violations and not 0 <= start_ms < end_ms:
        violations.append(Violation("end_time", "must be after start_time"))
    if violations:
        raise Refused(invalid(*violations))
    first, last = (identifier("pay_", now_ms=at, random=bytes(RANDOM_BYTES)) for at in (start_ms, end_ms))
    return first, last


def _replayed(comparison: Comparison, until_ms: int, *, done: bool) -> routing_pb2.ReplayDecisionsResponse:
    return routing_pb2.ReplayDecisionsResponse(
        comparison=rule_sets.comparison_message(comparison), until_time=translate.timestamp(until_ms), done=done
    )


def decision_message(decision: Decision) -> routing_pb2.RoutingDecision:
    """Write a decision for the wire; what it would cost only for those who may see that."""
    costs = sees_costs()
    chosen = decision.candidates[decision.chosen_index] if decision.chosen_index >= 0 else None
    message = routing_pb2.RoutingDecision(
        chosen_channel_id=chosen.channel_id if chosen else "",
        chosen_account_id=chosen.account_id if chosen else "",
        approach=f"APPROACH_{decision.approach}",
        reason_text=reason_text(decision, costs=costs),
        snapshot_version=decision.snapshot_version,
        snapshot_age_ms=min(decision.snapshot_age_ms, 2**31 - 1),
    )
    add = message.candidates.add
    for item in decision.candidates:
        written = add(
            channel_id=item.channel_id, account_id=item.account_id, success_rate=item.success_rate, score=item.score,
            state=item.state, propensity=item.propensity,
        )  # fmt: skip
        if costs:
            written.fee_minor, written.expected_value_minor = item.fee_minor, item.expected_value_minor
        if item.eliminated_by:
            written.eliminated_by = item.eliminated_by
        if item.rule_id:
            written.rule_id = item.rule_id
    return message
