"""The Payments service."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from actors.messages import CloseWish, NewPayment
from actors.tables import account_of
from domain import cashier, orders, privacy
from domain.delivery import event_id
from domain.payments import Payment
from domain.refusals import Kind, Refusal, Refused, Violation, invalid
from domain.settings import Level, Settings
from protos.paydesk.v1 import payments_pb2, payments_pb2_grpc
from servers import commands, pages, payers, translate
from servers.desk import DeskView
from servers.gateway import Gateway
from servers.identity import caller, check_reach, reaches
from servers.payers import PayerVault
from servers.refusals import status_message
from storage import audit, queries
from storage.database import Database
from storage.vault import Vault

BATCH_MAX = 500
# Payments of a batch that are translated in one go: about a millisecond.
TRANSLATE_MAX = 25
REASON_LENGTH_MAX = 128
# Who may look for the payments of a card or a phone: a partner's key must not find out whose they are.
SEARCH_PAYERS = frozenset({"OPS", "FINANCE_MAKER", "FINANCE_CHECKER", "RISK"})


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class PaymentsService(payments_pb2_grpc.PaymentsServicer):
    """Translates; the gateway carries, the router decides."""

    def __init__(self, gateway: Gateway, database: Database, desk: DeskView, vault: Vault) -> None:
        self._gateway = gateway
        self._database = database
        self._desk = desk
        self._payers = PayerVault(database, vault)

    async def CreatePayment(self, request: payments_pb2.CreatePaymentRequest, context: Any) -> payments_pb2.Payment:
        """Collect an order, and answer with its first outcome."""
        tenant_id = caller().tenant_id
        order, warnings = await self._order(request, tenant_id, _now_ms(), self._desk.settings_of(tenant_id))
        check_reach(order.institution_id, order.product_code)
        message = translate.payment_message(await self._gateway.create(order, remaining_s=context.time_remaining()))
        message.warnings.extend(warnings)
        return message

    async def _order(
        self, request: payments_pb2.CreatePaymentRequest, tenant_id: str, now_ms: int, settings: Settings
    ) -> tuple[NewPayment, list[str]]:
        """Read a wish; what it says of the payer is sealed before it goes anywhere. Raise Refused."""
        order = translate.new_payment(request, tenant_id=tenant_id, now_ms=now_ms, settings=settings)
        if not request.HasField("payer"):
            return order, []
        details, warnings = payers.read(request.payer)
        mark = await self._payers.mark(tenant_id, details)
        sealed = await self._payers.seal(tenant_id, request.request_id, details)
        content_hash = translate.content_hash((order.content_hash, mark))
        return order._replace(content_hash=content_hash, payer=sealed), warnings

    async def BatchCreatePayments(
        self, request: payments_pb2.BatchCreatePaymentsRequest, context: Any
    ) -> payments_pb2.BatchCreatePaymentsResponse:
        """Accept many orders, each on its own."""
        if not 1 <= len(request.requests) <= BATCH_MAX:
            raise Refused(invalid(Violation("requests", f"must be 1 to {BATCH_MAX}")))
        with self._gateway.batch_share(caller().tenant_id, len(request.requests)):
            return await self._create_many(request.requests)

    async def _create_many(
        self, requests: Sequence[payments_pb2.CreatePaymentRequest]
    ) -> payments_pb2.BatchCreatePaymentsResponse:
        """Translate there and back with pauses, so that online calls do not wait for hundreds of payments."""
        tenant_id, now_ms = caller().tenant_id, _now_ms()
        settings = self._desk.settings_of(tenant_id)
        results: list[Payment | Refusal | None] = []
        wishes = []
        for index, item in enumerate(requests):
            if index % TRANSLATE_MAX == TRANSLATE_MAX - 1:
                await asyncio.sleep(0)
            try:
                wish, _ = await self._order(item, tenant_id, now_ms, settings)
                check_reach(wish.institution_id, wish.product_code)
                wishes.append(wish)
                results.append(None)
            except Refused as refused:
                results.append(refused.refusal)
        answers = iter(await self._gateway.create_many(wishes))
        response = payments_pb2.BatchCreatePaymentsResponse()
        for index, result in enumerate(results):
            if index % TRANSLATE_MAX == TRANSLATE_MAX - 1:
                await asyncio.sleep(0)
            answer = next(answers) if result is None else result
            if isinstance(answer, Refusal):
                response.results.add(refusal=status_message(answer))
            else:
                response.results.add(payment=translate.payment_message(answer))
        return response

    async def GetCashier(self, request: payments_pb2.GetCashierRequest, context: Any) -> payments_pb2.Cashier:
        """Tell which methods a cashier shows for an order, and why some can't be used now."""
        facts = translate.cashier_facts(request, tenant_id=caller().tenant_id)
        check_reach(facts.institution_id, facts.product_code)
        settings = self._desk.settings_of(facts.tenant_id)
        level = Level(facts.tenant_id, facts.institution_id, facts.product_code, facts.source, facts.terminal)
        accounts = {row.account_id: account_of(row) for row in self._desk.accounts_of(facts.tenant_id)}
        methods = cashier.methods_of(accounts.values(), facts, settings.value("cashier.display_order", level))
        decisions = await self._gateway.dry_run_many([facts._replace(method=method) for method in methods])
        entries = cashier.entries(dict(zip(methods, decisions, strict=True)), accounts, facts, now_ms=_now_ms())
        return translate.cashier_message(
            entries, facts, config_version=decisions[0].config_version if decisions else 0,
            expire_s=settings.value("order.expire_s", level),
        )  # fmt: skip

    async def GetPayment(self, request: payments_pb2.GetPaymentRequest, context: Any) -> payments_pb2.Payment:
        """Read one payment."""
        if bool(request.payment_id) == bool(request.request_id):
            raise Refused(invalid(Violation("payment_id", "give either payment_id or request_id")))
        key = {"request_id": request.request_id} if request.request_id else {"payment_id": request.payment_id}
        _check_key(**key)
        payment = await self._get(**key)
        if payment is None:
            raise Refused(_not_found(request.payment_id or request.request_id))
        return translate.payment_message(payment)

    async def ListPayments(
        self, request: payments_pb2.ListPaymentsRequest, context: Any
    ) -> payments_pb2.ListPaymentsResponse:
        """List payments, newest first."""
        limit = pages.size(request.page_size)
        _check_filters(request)
        wanted = queries.Filter(
            request.order_no, translate.state_name(request.state), request.channel_id,
            translate.milliseconds(request.min_create_time), translate.milliseconds(request.max_create_time),
            **await self._payer_digests(request),
        )  # fmt: skip
        found = await self._database.run(
            queries.list_payments,
            tenant_id=caller().tenant_id,
            wanted=wanted,
            before_id=pages.key_of(request.page_token),
            limit=limit + 1,
            scope=caller().scope,
        )
        response = payments_pb2.ListPaymentsResponse(payments=map(translate.payment_message, found[:limit]))
        if len(found) > limit:
            response.next_page_token = pages.token(found[limit - 1].payment_id)
        return response

    async def _payer_digests(self, request: payments_pb2.ListPaymentsRequest) -> dict[str, bytes]:
        """Return by what a payer's numbers are looked for. Such a look is for few, and leaves an audit entry first."""
        card, phone = payers.bare(request.payer_card_no), payers.bare(request.payer_phone_no)
        if not card and not phone:
            return {}
        who = caller()
        if who.roles.isdisjoint(SEARCH_PAYERS):
            raise Refused(
                Refusal(Kind.PERMISSION_DENIED, "ROLE_MISSING", f"looking for payers needs {', '.join(sorted(SEARCH_PAYERS))}")
            )
        violations = []
        if card and not payers.is_card_form(card):
            violations.append(Violation("payer_card_no", "must be 13 to 19 digits"))
        if phone and not privacy.is_phone(phone):
            violations.append(Violation("payer_phone_no", "is no mobile number of 11 digits"))
        if violations:
            raise Refused(invalid(*violations))
        wanted = {"card_no": privacy.mask_card(card), "phone_no": privacy.mask_phone(phone)}
        entry = audit.Entry(
            who.tenant_id, who.principal, "Payments.ListPayments", "payer", "search", None,
            {name: value for name, value in wanted.items() if value}, address=who.address,
        )  # fmt: skip
        await self._database.run(audit.append, [entry])
        digest = self._payers.digest
        return {
            "card_digest": await digest(who.tenant_id, "card", card) if card else b"",
            "phone_digest": await digest(who.tenant_id, "phone", phone) if phone else b"",
        }

    async def RevealPayer(self, request: payments_pb2.RevealPayerRequest, context: Any) -> payments_pb2.Payer:
        """Show who pays. That it was shown is committed before the answer leaves."""
        _check_key(payment_id=request.payment_id)
        if not 0 < len(request.reason) <= REASON_LENGTH_MAX or not request.reason.isprintable():
            raise Refused(invalid(Violation("reason", f"must be 1 to {REASON_LENGTH_MAX} printable characters")))
        who, payment = caller(), await self._get(payment_id=request.payment_id)
        details = await self._payers.open(who.tenant_id, payment.payment_id) if payment else None
        if payment is None or details is None:
            raise Refused(_not_found(request.payment_id))
        shown = payers.masked(details)
        entry = audit.Entry(
            who.tenant_id, who.principal, "Payments.RevealPayer", "payment", payment.payment_id, None,
            {"name": shown.name, "id_no": shown.id_no, "card_no": shown.card_no, "phone_no": shown.phone_no},
            request.reason, "", who.address,
        )  # fmt: skip
        await self._database.run(audit.append, [entry])
        return payments_pb2.Payer(
            name=details.name, id_no=details.id_no, card_no=details.card_no, phone_no=details.phone_no
        )

    async def GetPaymentTimeline(
        self, request: payments_pb2.GetPaymentTimelineRequest, context: Any
    ) -> payments_pb2.PaymentTimeline:
        """Read everything that happened to a payment."""
        _check_key(payment_id=request.payment_id)
        found = await self._database.run(
            queries.timeline, tenant_id=caller().tenant_id, payment_id=request.payment_id
        )
        if found is None or not reaches(found.payment.institution_id, found.payment.product_code):
            raise Refused(_not_found(request.payment_id))
        message = _timeline_message(found)
        details = await self._payers.open(caller().tenant_id, request.payment_id)
        if details is not None:
            message.payer.CopyFrom(payers.masked(details))
        return message

    async def ClosePayment(self, request: payments_pb2.ClosePaymentRequest, context: Any) -> payments_pb2.Payment:
        """Ask for a payment to be closed."""
        payment = await self._act("ClosePayment", request)
        if payment is None:
            raise Refused(_not_found(request.payment_id))
        wish = CloseWish(payment.tenant_id, payment.payment_id, request.reason or "CLOSED_BY_CALLER")
        return translate.payment_message(await self._gateway.close(wish))

    async def SyncPayment(self, request: payments_pb2.SyncPaymentRequest, context: Any) -> payments_pb2.Payment:
        """Ask the channel now."""
        payment = await self._act("SyncPayment", request)
        if payment is None:
            raise Refused(_not_found(request.payment_id))
        return translate.payment_message(await self._gateway.sync(payment))

    async def _get(self, **key: str) -> Payment | None:
        """Read a payment that the caller reaches."""
        payment = await self._gateway.get(tenant_id=caller().tenant_id, **key)
        return payment if payment and reaches(payment.institution_id, payment.product_code) else None

    async def _act(self, operation: str, request: Any) -> Payment | None:
        """Check an act on a payment and claim its request id; both acts change nothing when they are repeated."""
        _check_key(payment_id=request.payment_id)
        violations = [*orders.text_violations(request_id=request.request_id)]
        if len(request.reason) > REASON_LENGTH_MAX or not (request.reason + " ").isprintable():
            violations.append(Violation("reason", f"must be at most {REASON_LENGTH_MAX} printable characters"))
        if violations:
            raise Refused(invalid(*violations))
        payment = await self._get(payment_id=request.payment_id)
        if payment is not None:
            await commands.once(
                self._database, f"Payments.{operation}", object_kind="payment", object_id=request.payment_id,
                request_id=request.request_id, content=(request.payment_id, request.reason),
                before={"state": payment.state, "revision": payment.revision}, reason=request.reason,
            )  # fmt: skip
        return payment


def _check_key(*, payment_id: str = "", request_id: str = "") -> None:
    for name, value in (("payment_id", payment_id), ("request_id", request_id)):
        if len(value) > 64 or not value.isprintable():
            raise Refused(invalid(Violation(name, "must be at most 64 printable characters")))
    if not payment_id and not request_id:
        raise Refused(invalid(Violation("payment_id", "is missing")))


def _check_filters(request: payments_pb2.ListPaymentsRequest) -> None:
    violations = [
        Violation(name, f"must be at most {longest} printable characters")
        for name, value, longest in (("order_no", request.order_no, 64), ("channel_id", request.channel_id, 32))
        if len(value) > longest or not value.isprintable()
    ]
    violations += [
        Violation(name, "is no time of this calendar")
        for name, value in (("min_create_time", request.min_create_time), ("max_create_time", request.max_create_time))
        if not translate.is_time(value)
    ]
    if violations:
        raise Refused(invalid(*violations))


def _not_found(key: str) -> Refusal:
    return translate.not_found("PAYMENT_NOT_FOUND", f"there is no payment {key!r}")


def _timeline_message(found: queries.Timeline) -> payments_pb2.PaymentTimeline:
    message = payments_pb2.PaymentTimeline(payment=translate.payment_message(found.payment))
    at = translate.timestamp
    for number, index, channel_id, account_id, state, reason, made_ms, moved_ms in found.attempts:
        message.attempts.add(
            attempt_no=number, attempt_index=index, channel_id=channel_id, account_id=account_id, state=state,
            reason=reason, create_time=at(made_ms), update_time=at(moved_ms),
        )  # fmt: skip
    for revision, event, state, source, reason, number, made_ms in found.steps:
        message.steps.add(
            revision=revision, event=event, state=translate.state_value(state), source=source, reason=reason,
            attempt_no=number, create_time=at(made_ms),
        )  # fmt: skip
    for revision, event_type, deliver_state, try_count, made_ms, done_ms in found.notices:
        message.notices.add(
            event_id=event_id(found.payment.payment_id, revision), event_type=event_type,
            delivery_state=deliver_state, try_count=try_count, create_time=at(made_ms), deliver_time=at(done_ms),
        )  # fmt: skip
    for refund_id, amount_minor, currency_code, state, cause, made_ms in found.refunds:
        item = message.refunds.add(refund_id=refund_id, state=state, reason=cause, create_time=at(made_ms))
        item.amount.amount_minor, item.amount.currency_code = amount_minor, currency_code
    for kind, detail, made_ms in found.cases:
        message.cases.add(kind=kind, detail=detail, create_time=at(made_ms))
    return message
