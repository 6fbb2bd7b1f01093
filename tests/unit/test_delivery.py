"""Notices: identical bytes, the schedule of three days, and what replies mean."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.delivery import (
    JITTER,
    RETRY_AFTER_MAX_S,
    RETRY_DELAYS_S,
    TRIES_MAX,
    Fate,
    Happening,
    Reply,
    event_id,
    judge,
    parse_event_id,
    payload,
    payment_at,
)
from domain.payments import Payment, State

NOW_MS = 1_772_352_000_000  # 2026-03-01 08:00 UTC
FAILED = Happening(2, "payment.failed", State.FAILED, "INSUFFICIENT_FUNDS", "", NOW_MS)
SUCCEEDED = Happening(3, "payment.succeeded", State.SUCCEEDED, "LATE_SUCCESS", "", NOW_MS + 60_000)


def payment(**changes: object) -> Payment:
    made = Payment(
        tenant_id="life",
        payment_id="pay_01JD",
        request_id="r-1",
        order_no="订单-1",
        product_code="TRAVEL",
        amount_minor=680_000,
        currency_code="CNY",
        method="WECHAT_PAY",
        terminal="H5",
        source="",
        subject='意外险 "A"',
        payer_ref="openid-1",
        state=State.FAILED,
        reason="INSUFFICIENT_FUNDS",
        channel_id="sandbox_a",
        account_id="acc",
        merchant_no="m-1",
        attempt_no="20260301",
        attempt_index=1,
        send_count=1,
        channel_txn_no="",
        action_kind="",
        action_value="",
        revision=2,
        proof_rank=2,
        late=False,
        duplicate=False,
        close_reason="",
        refund_reserved_minor=0,
        refunded_minor=0,
        create_ms=NOW_MS - 5_000,
        update_ms=NOW_MS,
        expire_ms=NOW_MS + 900_000,
        success_ms=0,
    )
    return made._replace(**changes)  # type: ignore[arg-type]


LATER = payment(
    state=State.SUCCEEDED,
    reason="LATE_SUCCESS",
    channel_txn_no="txn-9",
    revision=3,
    proof_rank=4,
    late=True,
    duplicate=True,
    refund_reserved_minor=680_000,
    refunded_minor=680_000,
    update_ms=NOW_MS + 60_000,
    success_ms=NOW_MS + 59_000,
)


def test_a_retry_carries_the_same_bytes_although_the_payment_moved_on() -> None:
    assert payload(payment(), FAILED) == payload(LATER, FAILED)


def test_a_notice_tells_the_full_state_at_the_event() -> None:
    told = json.loads(payload(LATER, SUCCEEDED))
    assert told["type"] == "payment.succeeded"
    assert told["id"] == "evt_01JD_3"
    assert told["timestamp"] == "2026-03-01T08:01:00.000Z"
    data = told["data"]
    assert (data["state"], data["seq"], data["order_no"]) == ("SUCCEEDED", 3, "订单-1")
    assert (data["amount_minor"], data["currency_code"]) == (680_000, "CNY")
    assert (data["channel_id"], data["channel_txn_no"], data["late"]) == ("sandbox_a", "txn-9", True)
    assert data["success_time"] == "2026-03-01T08:00:59.000Z"
    assert "payer_ref" not in data


def test_the_payment_at_an_event_is_that_of_the_payload() -> None:
    then = payment_at(LATER, FAILED)
    assert (then.state, then.revision, then.channel_txn_no, then.success_ms) == (State.FAILED, 2, "", 0)
    assert not then.late and not then.duplicate


def test_a_notice_about_a_refund_names_it() -> None:
    told = json.loads(payload(LATER, SUCCEEDED._replace(event_type="refund.succeeded", refund_id="rfd_1", revision=4)))
    assert told["data"]["refund_id"] == "rfd_1"


@given(st.from_regex(r"[0-9A-Z_]{1,30}", fullmatch=True), st.integers(1, 10**9 - 1))
def test_event_ids_are_read_back(stem: str, revision: int) -> None:
    assert parse_event_id(event_id("pay_" + stem, revision)) == ("pay_" + stem, revision)


@pytest.mark.parametrize("text", ["", "evt_", "evt_1", "pay_01_2", "evt_01_", "evt_01_x", "evt__²", "evt_01_" + "9" * 40])
def test_what_is_no_event_id_is_none(text: str) -> None:
    assert parse_event_id(text) is None


def test_the_schedule_covers_three_days() -> None:
    assert sum(RETRY_DELAYS_S) >= 72 * 3600
    assert list(RETRY_DELAYS_S) == sorted(RETRY_DELAYS_S)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_delivers(status: int) -> None:
    assert judge(Reply(status), try_count=0, now_ms=NOW_MS, draw=0.5).fate is Fate.DELIVERED


@pytest.mark.parametrize("status", [100, 301, 302, 307, 400, 401, 404, 500, 502, 504, 999])
def test_everything_else_is_tried_again_and_redirects_are_not_followed(status: int) -> None:
    ruling = judge(Reply(status), try_count=0, now_ms=NOW_MS, draw=0.0)
    assert (ruling.fate, ruling.delay_s, ruling.error) == (Fate.RETRY, 5, f"HTTP {status}")


def test_no_answer_is_tried_again_with_its_error() -> None:
    ruling = judge(Reply(0, "TIMEOUT"), try_count=1, now_ms=NOW_MS, draw=0.0)
    assert (ruling.fate, ruling.delay_s, ruling.error) == (Fate.RETRY, 300, "TIMEOUT")


def test_gone_disables() -> None:
    assert judge(Reply(410), try_count=0, now_ms=NOW_MS, draw=0.0).fate is Fate.GONE


@given(st.floats(0, 1, exclude_max=True))
def test_failures_follow_the_schedule_and_end_dead(draw: float) -> None:
    rulings = [judge(Reply(500), try_count=n, now_ms=NOW_MS, draw=draw) for n in range(TRIES_MAX)]
    assert [ruling.fate for ruling in rulings] == [Fate.RETRY] * (TRIES_MAX - 1) + [Fate.DEAD]
    for ruling, delay_s in zip(rulings, RETRY_DELAYS_S, strict=False):
        assert delay_s <= ruling.delay_s <= delay_s * (1 + JITTER)


@pytest.mark.parametrize(
    ("status", "header", "delay_s"),
    [
        (429, "60", 60),
        (503, "60", 60),
        (429, "1", 5),
        (429, "", 5),
        (429, "soon", 5),
        (429, "-1", 5),
        (429, "9" * 50, RETRY_AFTER_MAX_S),
        (429, "Sun, 01 Mar 2026 08:02:00 GMT", 120),
        (429, "Sun, 01 Mar 2026 07:00:00 GMT", 5),
        (429, "Sun, 01 Mar 2099 08:02:00 -0000", RETRY_AFTER_MAX_S),
        (500, "60", 5),
    ],
)
def test_an_endpoint_may_ask_for_patience_up_to_a_day(status: int, header: str, delay_s: float) -> None:
    ruling = judge(Reply(status, retry_after=header), try_count=0, now_ms=NOW_MS, draw=0.0)
    assert (ruling.fate, ruling.delay_s) == (Fate.RETRY, delay_s)


def test_a_schedule_factor_hurries_our_retries_but_not_the_endpoint_s_wish() -> None:
    assert judge(Reply(500), try_count=1, now_ms=NOW_MS, draw=0.0, schedule_factor=0.001).delay_s == pytest.approx(0.3)
    hurried = judge(Reply(429, retry_after="7"), try_count=1, now_ms=NOW_MS, draw=0.0, schedule_factor=0.001)
    assert hurried.delay_s == 7


@given(st.integers(0, 999), st.text(max_size=60), st.integers(0, TRIES_MAX), st.floats(0, 0.999))
def test_every_reply_has_a_ruling(status: int, header: str, try_count: int, draw: float) -> None:
    ruling = judge(Reply(status, "X", header), try_count=try_count, now_ms=NOW_MS, draw=draw)
    assert ruling.fate in Fate and len(ruling.error) <= 256
