"""The Routing service."""

from typing import Any

from actors.tables import account_of
from domain import orders
from domain.refusals import Refused, Violation, invalid
from domain.routing import Decision, OrderFacts, decision_from_record, reason_text
from protos.paydesk.v1 import routing_pb2, routing_pb2_grpc
from servers import translate
from servers.desk import DeskView
from servers.gateway import Gateway
from servers.identity import caller
from storage import payments as store
from storage.database import Database


class RoutingService(routing_pb2_grpc.RoutingServicer):
    """Tells why a channel was or would be chosen."""

    def __init__(self, gateway: Gateway, desk: DeskView, database: Database) -> None:
        self._gateway = gateway
        self._desk = desk
        self._database = database

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
        if found is None:
            raise Refused(translate.not_found("ATTEMPT_NOT_FOUND", "there is no such attempt"))
        record, _, decide_ms = found
        accounts = {row.account_id: account_of(row) for row in self._desk.accounts_of(tenant_id)}
        message = decision_message(decision_from_record(record, accounts=accounts))
        message.payment_id = request.payment_id
        message.decide_time.FromMilliseconds(decide_ms)
        return message

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
        facts = OrderFacts(
            caller().tenant_id, request.order_no, request.product_code, request.amount.amount_minor,
            request.amount.currency_code, method or "", terminal or "", request.source, request.payer_ref,
        )  # fmt: skip
        return decision_message(await self._gateway.dry_run(facts))


def decision_message(decision: Decision) -> routing_pb2.RoutingDecision:
    """Write a decision for the wire."""
    chosen = decision.candidates[decision.chosen_index] if decision.chosen_index >= 0 else None
    message = routing_pb2.RoutingDecision(
        chosen_channel_id=chosen.channel_id if chosen else "",
        chosen_account_id=chosen.account_id if chosen else "",
        approach=f"APPROACH_{decision.approach}",
        reason_text=reason_text(decision),
        snapshot_version=decision.snapshot_version,
        snapshot_age_ms=min(decision.snapshot_age_ms, 2**31 - 1),
    )
    add = message.candidates.add
    for item in decision.candidates:
        written = add(
            channel_id=item.channel_id, account_id=item.account_id, success_rate=item.success_rate, score=item.score,
            fee_minor=item.fee_minor, expected_value_minor=item.expected_value_minor, state=item.state,
            propensity=item.propensity,
        )  # fmt: skip
        if item.eliminated_by:
            written.eliminated_by = item.eliminated_by
        if item.rule_id:
            written.rule_id = item.rule_id
    return message
