"""Payments, evidence and refunds for tests: a usual one, and what a test wants different."""

from typing import Any

from domain import payments, refunds
from domain.evidence import Evidence, Fault, Outcome, Source
from domain.payments import Payment, State
from domain.refunds import Refund

NOW_MS = 1_760_000_000_000
EXPIRE_MS = NOW_MS + 900_000
ATTEMPT_NO = "2025100900123456780000000000001"
EARLIER_NO = "2025100900123456780000000000009"


def payment(**changes: Any) -> Payment:
    """A payment of 6,800.00 yuan whose first attempt has just been written."""
    usual = Payment(
        tenant_id="pnc", payment_id="pay_1", request_id="req-1", order_no="order-1", product_code="AUTO",
        amount_minor=680_000, currency_code="CNY", method="QR", terminal="WEB", source="OWN", subject="车险保费",
        payer_ref="payer-1", state=State.SUBMITTING, reason="", channel_id="c1", account_id="c1_pnc",
        merchant_no="m1", attempt_no=ATTEMPT_NO, attempt_index=1, send_count=1, channel_txn_no="", action_kind="",
        action_value="", revision=1, proof_rank=0, late=False, duplicate=False, close_reason="",
        refund_reserved_minor=0, refunded_minor=0, create_ms=NOW_MS, update_ms=NOW_MS, expire_ms=EXPIRE_MS,
        success_ms=0,
    )  # fmt: skip
    return usual._replace(**changes)


def evidence(outcome: Outcome, source: Source = Source.QUERY, **changes: Any) -> Evidence:
    """Evidence about the usual payment; a success names its money."""
    said: dict[str, Any] = {}
    if outcome is Outcome.DONE:
        said = {"amount_minor": 680_000, "currency_code": "CNY", "merchant_no": "m1", "channel_txn_no": "T1"}
    if outcome is Outcome.REJECTED:
        said = {"fault": Fault.PAYER, "reason": "NO_FUNDS"}
    if outcome in (Outcome.NOT_SENT, Outcome.MAYBE):
        said = {"fault": Fault.CHANNEL, "reason": str(outcome)}
    return Evidence(ATTEMPT_NO, source, outcome)._replace(**said)._replace(**changes)


def refund(**changes: Any) -> Refund:
    """A refund of the whole usual payment, not sent yet."""
    usual = Refund("pnc", "rfd_1", "pay_1", ATTEMPT_NO, "c1", "m1", 680_000, "CNY", refunds.State.APPROVED, False, 1)
    return usual._replace(**changes)


def moved(before: Payment, said: Evidence, *, now_ms: int = NOW_MS) -> Payment:
    """Apply evidence as the router would, without a database."""
    verdict = payments.apply(before, said, now_ms=now_ms)
    if verdict.event is None or verdict.state is None:
        return before
    after = before._replace(state=verdict.state, reason=verdict.reason, revision=before.revision + 1)
    if verdict.follow is payments.Follow.RESEND:
        return after._replace(send_count=before.send_count + 1)
    if verdict.follow is payments.Follow.REROUTE:
        return after._replace(attempt_no=f"{before.attempt_no}-{after.revision}", attempt_index=before.attempt_index + 1,
                              send_count=1)  # fmt: skip
    return after._replace(proof_rank=int(said.source), late=before.late or verdict.late)
