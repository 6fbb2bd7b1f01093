"""The database's own guards: what no bug above it can write. One test per rule of the migration that concerns money."""

from collections.abc import Iterator
from typing import Any

import psycopg2.errors
import pytest
import sqlalchemy
from sqlalchemy import Engine, text

PAYMENT = {
    "tenant_id": "pnc", "payment_id": "pay_1", "request_id": "req-1", "content_hash": "0" * 32, "order_no": "o1",
    "product_code": "AUTO", "amount_minor": 1_000, "currency_code": "CNY", "method": "QR", "terminal": "WEB",
    "source": "OWN", "subject": "s", "payer_ref": "", "state": "PENDING", "channel_id": "c1", "account_id": "a1",
    "merchant_no": "m1", "attempt_no": "n1", "attempt_index": 1, "next_action_time": "2030-01-01",
    "expire_time": "2030-01-01",
}  # fmt: skip
PAID = {"state": "SUCCEEDED", "next_action_time": None, "kept": True}
ATTEMPT = {
    "payment_id": "pay_1", "attempt_index": 1, "attempt_no": "n1", "tenant_id": "pnc", "channel_id": "c1",
    "account_id": "a1", "merchant_no": "m1", "state": "LIVE", "decision": "{}",
}  # fmt: skip
REFUND = {
    "refund_id": "r1", "tenant_id": "pnc", "payment_id": "pay_1", "attempt_no": "n1", "channel_id": "c1",
    "merchant_no": "m1", "amount_minor": 1_000, "currency_code": "CNY", "cause": "DUPLICATE", "state": "APPROVED",
    "next_action_time": "2030-01-01",
}  # fmt: skip
EVENT = {
    "payment_id": "pay_1", "revision": 2, "tenant_id": "pnc", "order_no": "o1", "event_type": "payment.succeeded",
    "state": "SUCCEEDED", "reason": "", "deliver_state": "NONE",
}  # fmt: skip
POSTING = {
    "payment_id": "pay_1", "revision": 2, "tenant_id": "pnc", "debit_account": "channel:c1:a1",
    "credit_account": "orders:AUTO", "amount_minor": 1_000, "currency_code": "CNY",
}  # fmt: skip
HISTORY = {
    "payment_id": "pay_1", "revision": 1, "event": "SUBMIT", "state": "SUBMITTING", "source": "CALLER", "reason": "",
    "attempt_no": "n1",
}  # fmt: skip
CALLBACK = {"channel_id": "c1", "notify_id": "N1", "attempt_no": "n1", "state": "RECEIVED", "raw": b"x"}
REQUEST = {"tenant_id": "pnc", "operation": "X", "request_id": "r", "content_hash": "0" * 32, "object_id": "o"}


class Desk:
    """Inserts and updates rows, each in a transaction of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, statement: str, values: dict[str, Any]) -> None:
        with self._engine.begin() as connection:
            connection.execute(text(statement), values)

    def insert(self, table: str, row: dict[str, Any], **changes: Any) -> None:
        values = {**row, **changes}
        names = ", ".join(values)
        self.run(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in values)})", values)

    def refuses(self, table: str, row: dict[str, Any], rule: str, **changes: Any) -> None:
        """Fail unless the row breaks the rule with this name."""
        with pytest.raises(sqlalchemy.exc.IntegrityError) as refused:
            self.insert(table, row, **changes)
        assert refused.value.orig is not None
        assert refused.value.orig.diag.constraint_name == rule  # type: ignore[attr-defined]


@pytest.fixture
def desk(emptied_database_url: str) -> Iterator[Desk]:
    engine = sqlalchemy.create_engine(emptied_database_url, poolclass=sqlalchemy.NullPool)
    yield Desk(engine)
    engine.dispose()


def another(**changes: Any) -> dict[str, Any]:
    """A second payment of the same order by another method."""
    return {"payment_id": "pay_2", "request_id": "req-2", "attempt_no": "n2", "method": "CARD", **changes}


class TestPayments:
    def test_an_order_is_kept_once(self, desk: Desk) -> None:
        desk.insert("payments", PAYMENT, **PAID)
        desk.refuses("payments", PAYMENT, "payments_paid_once", **another(**PAID))
        desk.insert("payments", PAYMENT, **another(**PAID | {"kept": None}))
        desk.insert("payments", PAYMENT, **another(**PAID, tenant_id="life"))

    def test_only_a_success_is_kept(self, desk: Desk) -> None:
        desk.refuses("payments", PAYMENT, "payments_check", kept=True)
        desk.refuses("payments", PAYMENT, "payments_check", **PAID | {"kept": False})

    def test_an_order_has_one_open_payment_by_one_method(self, desk: Desk) -> None:
        desk.insert("payments", PAYMENT)
        desk.refuses("payments", PAYMENT, "payments_one_open_per_method", **another(method="QR"))
        desk.insert("payments", PAYMENT, **another())
        desk.insert("payments", PAYMENT, **another(payment_id="pay_3", request_id="req-3", method="QR",
                    state="FAILED", next_action_time=None))  # fmt: skip

    def test_a_request_makes_one_payment(self, desk: Desk) -> None:
        desk.insert("payments", PAYMENT)
        desk.refuses("payments", PAYMENT, "payments_by_request", **another(request_id="req-1", order_no="o2"))
        desk.insert("payments", PAYMENT, **another(request_id="req-1", order_no="o2", tenant_id="life"))

    @pytest.mark.parametrize(("reserved", "refunded"), [(1_001, 0), (0, 1), (500, 501), (-1, 0), (-1, -1)], ids=str)
    def test_no_more_goes_back_than_came(self, desk: Desk, reserved: int, refunded: int) -> None:
        amounts = {"refund_reserved_minor": reserved, "refunded_minor": refunded}
        desk.refuses("payments", PAYMENT, "refunds_within_payment", **PAID, **amounts)

    def test_the_last_fen_may_go_back(self, desk: Desk) -> None:
        desk.insert("payments", PAYMENT, **PAID, refund_reserved_minor=1_000, refunded_minor=1_000)
        with pytest.raises(sqlalchemy.exc.IntegrityError, match="refunds_within_payment"):
            desk.run("UPDATE payments SET refund_reserved_minor = refund_reserved_minor + 1", {})

    @pytest.mark.parametrize("state", ["SUBMITTING", "PENDING", "UNKNOWN"])
    def test_an_open_payment_has_an_owner(self, desk: Desk, state: str) -> None:
        desk.refuses("payments", PAYMENT, "open_payments_have_an_owner", state=state, next_action_time=None)

    @pytest.mark.parametrize("state", ["SUCCEEDED", "FAILED", "CLOSED", "FUNDS_RETURNED"])
    def test_a_final_payment_has_none(self, desk: Desk, state: str) -> None:
        desk.refuses("payments", PAYMENT, "open_payments_have_an_owner", state=state)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"amount_minor": 0},
            {"amount_minor": -1},
            {"amount_minor": 10**12 + 1},
            {"currency_code": "CN"},
            {"state": "PAID"},
            {"attempt_index": 0},
            {"attempt_index": 4},
            {"send_count": 4},
            {"request_id": ""},
            {"order_no": "x" * 65},
            {"content_hash": "short"},
        ],
        ids=str,
    )
    def test_a_row_makes_sense_by_itself(self, desk: Desk, wrong: dict[str, Any]) -> None:
        with pytest.raises(sqlalchemy.exc.IntegrityError) as refused:
            desk.insert("payments", PAYMENT, **wrong)
        assert isinstance(refused.value.orig, psycopg2.errors.CheckViolation)


class TestAttempts:
    def test_a_payment_has_one_live_attempt(self, desk: Desk) -> None:
        desk.insert("attempts", ATTEMPT)
        desk.refuses("attempts", ATTEMPT, "attempts_one_live", attempt_index=2, attempt_no="n2")
        desk.insert("attempts", ATTEMPT, attempt_index=2, attempt_no="n2", state="REJECTED")

    def test_a_number_is_given_once(self, desk: Desk) -> None:
        desk.insert("attempts", ATTEMPT)
        desk.refuses("attempts", ATTEMPT, "attempts_by_number", payment_id="pay_2")
        desk.refuses("attempts", ATTEMPT, "attempts_pkey", attempt_no="n2", state="REJECTED")

    def test_a_channels_transaction_pays_one_attempt(self, desk: Desk) -> None:
        desk.insert("attempts", ATTEMPT, channel_txn_no="T1")
        other = {"payment_id": "pay_2", "attempt_no": "n2"}
        desk.refuses("attempts", ATTEMPT, "attempts_by_channel_txn", **other, channel_txn_no="T1")
        desk.insert("attempts", ATTEMPT, **other, channel_txn_no="T1", channel_id="c2")
        desk.insert("attempts", ATTEMPT, payment_id="pay_3", attempt_no="n3", channel_txn_no=None)


class TestHistoryAndBooks:
    def test_a_revision_is_written_once(self, desk: Desk) -> None:
        desk.insert("payment_history", HISTORY)
        desk.refuses("payment_history", HISTORY, "payment_history_pkey", event="CONFIRM")

    @pytest.mark.parametrize(("table", "row"), [("payment_history", HISTORY), ("journal", POSTING)])
    def test_what_has_been_is_never_written_over(self, desk: Desk, table: str, row: dict[str, Any]) -> None:
        desk.insert(table, row)
        for statement in (f"UPDATE {table} SET revision = 9", f"DELETE FROM {table}", f"TRUNCATE {table}"):
            with pytest.raises(sqlalchemy.exc.ProgrammingError, match="append-only"):
                desk.run(statement, {})

    def test_an_end_is_told_once(self, desk: Desk) -> None:
        desk.insert("events", EVENT)
        desk.refuses("events", EVENT, "events_pkey", event_type="payment.failed")

    def test_what_is_to_be_delivered_has_a_time(self, desk: Desk) -> None:
        desk.refuses("events", EVENT, "events_check", deliver_state="PENDING")
        desk.refuses("events", EVENT, "events_check", deliver_state="DELIVERED", next_try_time="2030-01-01")

    def test_a_posting_is_made_once(self, desk: Desk) -> None:
        desk.insert("journal", POSTING)
        desk.refuses("journal", POSTING, "journal_pkey", amount_minor=5)

    def test_a_posting_balances_by_its_shape(self, desk: Desk) -> None:
        """One amount is taken from one account and given to another, so no posting can be out of balance."""
        desk.refuses("journal", POSTING, "journal_check", credit_account="channel:c1:a1")
        desk.refuses("journal", POSTING, "journal_amount_minor_check", amount_minor=0)
        desk.refuses("journal", POSTING, "journal_amount_minor_check", amount_minor=-1)
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            desk.insert("journal", POSTING, credit_account=None)


class TestRefunds:
    def test_an_attempts_money_goes_back_once(self, desk: Desk) -> None:
        desk.insert("refunds", REFUND)
        desk.refuses("refunds", REFUND, "refunds_once_per_attempt", refund_id="r2")

    def test_an_unfinished_refund_has_an_owner(self, desk: Desk) -> None:
        desk.refuses("refunds", REFUND, "refunds_check", next_action_time=None)
        desk.refuses("refunds", REFUND, "refunds_check", state="SUCCEEDED")

    @pytest.mark.parametrize("wrong", [{"amount_minor": 0}, {"cause": "MERCY"}, {"state": "DONE"}], ids=str)
    def test_a_row_makes_sense_by_itself(self, desk: Desk, wrong: dict[str, Any]) -> None:
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            desk.insert("refunds", REFUND, **wrong)


class TestInboxAndRequests:
    def test_a_callback_is_kept_once(self, desk: Desk) -> None:
        desk.insert("callbacks", CALLBACK)
        desk.refuses("callbacks", CALLBACK, "callbacks_pkey", raw=b"y")
        desk.insert("callbacks", CALLBACK, channel_id="c2")

    def test_a_callback_is_bounded(self, desk: Desk) -> None:
        desk.refuses("callbacks", CALLBACK, "callbacks_raw_check", raw=b"x" * 262_145)

    def test_a_request_id_is_used_once_per_operation(self, desk: Desk) -> None:
        desk.insert("requests", REQUEST)
        desk.refuses("requests", REQUEST, "requests_pkey", content_hash="1" * 32)
        desk.insert("requests", REQUEST, operation="Y")

    def test_a_case_is_opened_once(self, desk: Desk) -> None:
        case = {"payment_id": "p", "kind": "AMOUNT_MISMATCH", "tenant_id": "pnc", "attempt_no": "n", "detail": ""}
        desk.insert("cases", case)
        desk.refuses("cases", case, "cases_pkey")
