"""Between protobuf and the values inside: pure, both ways."""

import hashlib
from collections.abc import Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from actors.messages import NewPayment
from domain import cashier, orders
from domain.payments import Payment, State
from domain.refusals import Kind, Refusal, Refused, Violation, invalid
from domain.routing import OrderFacts
from domain.settings import Level, Settings
from protos.paydesk.v1 import common_pb2, payments_pb2
from storage.approvals import Proposed

# Numbers of the wire; Any, because the stubs have types for them that do not exist when the code runs.
_STATES: dict[str, Any] = {state: payments_pb2.Payment.State.Value(f"STATE_{state}") for state in State}
_METHODS: dict[int, str] = {
    value: "" if value == 0 else name.removeprefix("METHOD_") for name, value in common_pb2.Method.items()
}
_TERMINALS: dict[int, str] = {
    value: "" if value == 0 else name.removeprefix("TERMINAL_") for name, value in common_pb2.Terminal.items()
}
METHOD_VALUES: dict[str, Any] = {name: value for value, name in _METHODS.items()}
TERMINAL_VALUES: dict[str, Any] = {name: value for value, name in _TERMINALS.items()}
_ACTIONS = {
    "QR_CODE": payments_pb2.PayerAction.KIND_QR_CODE, "REDIRECT": payments_pb2.PayerAction.KIND_REDIRECT,
    "FORM": payments_pb2.PayerAction.KIND_FORM, "JSAPI": payments_pb2.PayerAction.KIND_JSAPI,
    "APP": payments_pb2.PayerAction.KIND_APP,
}  # fmt: skip


def timestamp(time_ms: int) -> Timestamp | None:
    """Return Unix milliseconds as a Timestamp, None for 0."""
    return Timestamp(seconds=time_ms // 1000, nanos=time_ms % 1000 * 1_000_000) if time_ms else None


def milliseconds(value: Timestamp) -> int:
    """Return a Timestamp as Unix milliseconds; unset is 0."""
    return value.seconds * 1000 + value.nanos // 1_000_000


def is_time(value: Timestamp) -> bool:
    """Tell whether a Timestamp lies in the years 1 to 9999, as its definition wants."""
    return -62_135_596_800 <= value.seconds <= 253_402_300_799 and 0 <= value.nanos <= 999_999_999


def state_value(state: str) -> Any:
    """Return the wire's number of a payment's state."""
    return _STATES[state]


def state_name(value: int) -> str:
    """Return a state's name, "" for unspecified. Raise Refused for a number that is none."""
    if value == 0:
        return ""
    if value not in payments_pb2.Payment.State.values():
        raise Refused(invalid(Violation("state", f"{value} is no state")))
    return payments_pb2.Payment.State.Name(value).removeprefix("STATE_")


def method_name(value: int) -> str | None:
    """Return a method's name, "" for unspecified, None for a number that is none."""
    return _METHODS.get(value)


def method_value(method: str) -> Any:
    """Return the wire's number of a method; "" is unspecified."""
    return METHOD_VALUES[method]


def terminal_name(value: int) -> str | None:
    """Return a terminal's name, "" for unspecified, None for a number that is none."""
    return _TERMINALS.get(value)


def payment_message(payment: Payment) -> payments_pb2.Payment:
    """Write a payment for the wire."""
    message = payments_pb2.Payment(
        payment_id=payment.payment_id,
        request_id=payment.request_id,
        order_no=payment.order_no,
        product_code=payment.product_code,
        amount=common_pb2.Money(amount_minor=payment.amount_minor, currency_code=payment.currency_code),
        method=METHOD_VALUES[payment.method],
        terminal=TERMINAL_VALUES[payment.terminal],
        source=payment.source,
        subject=payment.subject,
        state=_STATES[payment.state],
        reason=payment.reason,
        channel_id=payment.channel_id,
        account_id=payment.account_id,
        attempt_no=payment.attempt_no,
        channel_txn_no=payment.channel_txn_no,
        create_time=timestamp(payment.create_ms),
        update_time=timestamp(payment.update_ms),
        expire_time=timestamp(payment.expire_ms),
        success_time=timestamp(payment.success_ms),
        revision=payment.revision,
        attempt_count=payment.attempt_index,
        duplicate=payment.duplicate,
        late=payment.late,
        close_requested=bool(payment.close_reason),
        refund_reserved_minor=payment.refund_reserved_minor,
        refunded_minor=payment.refunded_minor,
        institution_id=payment.institution_id,
    )
    if payment.action_kind:
        message.action.kind = _ACTIONS[payment.action_kind]
        message.action.value = payment.action_value
    return message


def proposal_message(proposed: Proposed) -> common_pb2.Proposal:
    """Write what became of a sensitive act for the wire."""
    return common_pb2.Proposal(
        approval_id=proposed.approval_id, performed=proposed.performed, object_id=proposed.object_id
    )


def content_hash(parts: tuple[Any, ...]) -> str:
    """Return 32 hexadecimal digits that differ when any part of a request differs."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def new_payment(
    request: payments_pb2.CreatePaymentRequest, *, tenant_id: str, now_ms: int, settings: Settings
) -> NewPayment:
    """Read a wish to collect an order. Raise Refused with every field that breaks a rule."""
    amount_minor, currency_code = request.amount.amount_minor, request.amount.currency_code
    method, terminal = _METHODS.get(request.method), _TERMINALS.get(request.terminal)
    expire_ms = milliseconds(request.expire_time) if request.HasField("expire_time") else 0
    content: tuple[Any, ...] = (
        request.order_no, request.product_code, amount_minor, currency_code, request.method, request.terminal,
        request.source, request.subject, request.payer_ref, expire_ms,
    )  # fmt: skip
    if request.institution_id:  # a field that came later leaves the hash of a request without it as it was
        content += (request.institution_id,)
    violations = [
        *orders.text_violations(
            request_id=request.request_id, order_no=request.order_no, product_code=request.product_code,
            source=request.source, subject=request.subject, payer_ref=request.payer_ref,
            institution_id=request.institution_id,
        ),
        *orders.amount_violations(amount_minor, currency_code),
        *orders.expiry_violations(expire_ms, now_ms),
    ]  # fmt: skip
    if method is None:
        violations.append(Violation("method", f"{request.method} is no method"))
    if terminal is None:
        violations.append(Violation("terminal", f"{request.terminal} is no terminal"))
    if violations:
        raise Refused(invalid(*violations))
    assert method is not None and terminal is not None
    if request.cashier_version:
        facts = OrderFacts(tenant_id, request.order_no, request.product_code, amount_minor, currency_code, method, terminal,
                           request.source, request.payer_ref, request.institution_id)  # fmt: skip
        if refusal := cashier.changed(request.cashier_version, facts):
            raise Refused(refusal)
    if not expire_ms:
        level = Level(tenant_id, request.institution_id, request.product_code, request.source, terminal, method)
        expire_ms = now_ms + 1_000 * settings.value("order.expire_s", level)
    return NewPayment(
        tenant_id, request.request_id, content_hash(content), request.order_no, request.product_code, amount_minor,
        currency_code, method, terminal, request.source, request.subject, request.payer_ref,
        expire_ms, request.institution_id, bool(request.cashier_version),
    )  # fmt: skip


def cashier_facts(request: payments_pb2.GetCashierRequest, *, tenant_id: str) -> OrderFacts:
    """Read the facts that a cashier is shown for. Raise Refused with every field that breaks a rule."""
    terminal = _TERMINALS.get(request.terminal)
    violations = [
        *orders.text_violations(
            order_no=request.order_no, product_code=request.product_code, source=request.source,
            payer_ref=request.payer_ref, institution_id=request.institution_id,
        ),
        *orders.amount_violations(request.amount.amount_minor, request.amount.currency_code),
    ]  # fmt: skip
    if terminal is None:
        violations.append(Violation("terminal", f"{request.terminal} is no terminal"))
    if violations:
        raise Refused(invalid(*violations))
    return OrderFacts(
        tenant_id, request.order_no, request.product_code, request.amount.amount_minor, request.amount.currency_code, "",
        terminal or "", request.source, request.payer_ref, request.institution_id,
    )  # fmt: skip


def cashier_message(
    entries: Sequence[cashier.Entry], facts: OrderFacts, *, config_version: int, expire_s: int
) -> payments_pb2.Cashier:
    """Write a cashier for the wire."""
    enabled = [entry.method for entry in entries if entry.enabled]
    message = payments_pb2.Cashier(version=cashier.version_of(facts, enabled, config_version), expire_s=expire_s)
    for entry in entries:
        written = message.entries.add(
            method=METHOD_VALUES.get(entry.method, 0), enabled=entry.enabled, visible=entry.visible,
            reason_code=entry.reason_code, reason_text=entry.reason_text, display_order=entry.display_order,
            promotion=entry.promotion,
        )  # fmt: skip
        for bound, amount_minor in ((written.min_amount, entry.min_amount_minor), (written.max_amount, entry.max_amount_minor)):
            bound.amount_minor, bound.currency_code = amount_minor, facts.currency_code
    return message


def reused(request_id: str) -> Refusal:
    """Refuse a request id that was used with other content."""
    return Refusal(Kind.REUSED, "REQUEST_ID_REUSED", f"request_id {request_id!r} was used with other content")


def not_found(reason: str, message: str) -> Refusal:
    """Refuse for want of a thing, whether it does not exist or is another tenant's."""
    return Refusal(Kind.NOT_FOUND, reason, message)
