"""Callbacks over real HTTP: genuine ones are applied once and acknowledged; all others change nothing."""

import contextlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from protos.paydesk.v1 import common_pb2, payments_pb2
from simulator.codec import encode, sign
from tests.end_to_end.conftest import Api, House, State, fresh, until

SECRET, MERCHANT = "secret-of-R100", "R100"


def body_of(payment: payments_pb2.Payment, **changes: Any) -> dict[str, Any]:
    """What the sandbox would say about a payment that was paid."""
    return {
        "notify_id": fresh("N"), "channel_id": "qr_red", "merchant_no": MERCHANT, "attempt_no": payment.attempt_no,
        "channel_txn_no": fresh("T"), "word": "PAID", "amount_minor": payment.amount.amount_minor, "currency": "CNY",
        "success_time_ms": int(time.time() * 1000),
    } | changes  # fmt: skip


def headers_of(body: bytes, *, secret: str = SECRET, merchant: str = MERCHANT, at_s: int | None = None) -> dict[str, str]:
    timestamp, nonce = str(int(time.time()) if at_s is None else at_s), fresh("n")
    return {
        "sandbox-timestamp": timestamp, "sandbox-nonce": nonce, "sandbox-merchant": merchant,
        "sandbox-signature": sign(secret, f"{timestamp}.{nonce}.".encode() + body),
    }  # fmt: skip


def post(house: House, body: bytes, headers: dict[str, str], channel_id: str = "qr_red") -> httpx.Response:
    return httpx.post(f"{house.http_url}/callbacks/{channel_id}", content=body, headers=headers, timeout=10)


def send(house: House, body: dict[str, Any], **signing: Any) -> httpx.Response:
    raw = encode(body)
    return post(house, raw, headers_of(raw, **signing))


@pytest.fixture
def waiting(shop: Api) -> payments_pb2.Payment:
    """A payment whose payer never comes, so that only what a test sends can end it."""
    payment = shop.pay(method=common_pb2.METHOD_WECHAT_PAY, payer_ref="payer_abandons")
    assert payment.state == State.STATE_PENDING and payment.channel_id == "qr_red"
    return payment


def assert_untouched(shop: Api, payment: payments_pb2.Payment) -> None:
    assert shop.get(payment.payment_id) == payment


def test_a_genuine_callback_is_applied_once_however_often_it_comes(
    house: House, shop: Api, waiting: payments_pb2.Payment
) -> None:
    body = encode(body_of(waiting))
    headers = headers_of(body)
    first = post(house, body, headers)
    assert (first.status_code, first.text) == (200, "success")
    paid = shop.get(waiting.payment_id)
    assert paid.state == State.STATE_SUCCEEDED  # acknowledged means committed
    with ThreadPoolExecutor(20) as senders:
        answers = list(senders.map(lambda _: post(house, body, headers), range(100)))
    assert {(answer.status_code, answer.text) for answer in answers} == {(200, "success")}
    assert shop.get(waiting.payment_id) == paid
    assert [step.event for step in shop.timeline(paid.payment_id).steps] == ["SUBMIT", "WAIT", "CONFIRM"]


def test_forgeries_change_nothing(house: House, shop: Api, waiting: payments_pb2.Payment) -> None:
    good = body_of(waiting)
    raw = encode(good)
    assert send(house, good, secret="another-secret").status_code == 401
    assert post(house, raw, {}).status_code == 401
    assert post(house, raw.replace(b"1800", b"1801"), headers_of(raw)).status_code == 401
    assert post(house, raw, headers_of(raw) | {"sandbox-signature": "\u00ff".encode("latin-1").hex()}).status_code == 401
    assert send(house, good, merchant="nobody").status_code == 401
    # Another merchant's genuine key does not speak for this one, nor may its holder name this one.
    assert send(house, good, secret="secret-of-R200", merchant="R200").status_code == 401
    stolen = good | {"merchant_no": "R200"}
    assert send(house, stolen, secret="secret-of-R200", merchant="R200").status_code == 200
    assert [case.kind for case in shop.timeline(waiting.payment_id).cases] == ["MERCHANT_MISMATCH"]
    assert_untouched(shop, waiting)
    assert send(house, good).status_code == 200
    assert shop.get(waiting.payment_id).state == State.STATE_SUCCEEDED, "its number was used by another merchant only"


def test_another_amount_is_kept_for_a_person(house: House, shop: Api, waiting: payments_pb2.Payment) -> None:
    assert send(house, body_of(waiting, amount_minor=1)).status_code == 200
    assert_untouched(shop, waiting)
    assert [case.kind for case in shop.timeline(waiting.payment_id).cases] == ["AMOUNT_MISMATCH"]
    assert send(house, body_of(waiting, currency="USD")).status_code == 200
    assert_untouched(shop, waiting)
    assert send(house, body_of(waiting)).status_code == 200
    assert shop.get(waiting.payment_id).state == State.STATE_SUCCEEDED


def test_an_old_callback_is_refused(house: House, shop: Api, waiting: payments_pb2.Payment) -> None:
    for days in (-30, 30):
        answer = send(house, body_of(waiting), at_s=int(time.time()) + days * 86_400)
        assert (answer.status_code, answer.text) == (400, "STALE_TIMESTAMP")
    assert_untouched(shop, waiting)


def test_an_unknown_order_is_not_acknowledged_so_that_it_comes_again(house: House) -> None:
    stranger = payments_pb2.Payment(attempt_no=fresh("X"), amount=common_pb2.Money(amount_minor=5, currency_code="CNY"))
    assert send(house, body_of(stranger)).status_code == 404
    nameless = post(house, b"{}", {}, channel_id="nowhere")
    assert nameless.status_code == 404 and "success" not in nameless.text


GARBAGE = {
    "nothing": b"", "no json": b"\xff\xfe\x00garbage", "a list": b"[1,2,3]", "a number": b"17", "nested": b"[" * 100_000,
    "wrong types": json.dumps({"notify_id": 1, "attempt_no": [], "amount_minor": "x"}).encode(),
    "an empty object": b"{}",
}  # fmt: skip


@pytest.mark.parametrize("case", GARBAGE)
def test_garbage_is_refused_cheaply_signed_or_not(house: House, case: str) -> None:
    body = GARBAGE[case]
    assert post(house, body, {}).status_code == 401
    signed = post(house, body, headers_of(body))
    assert (signed.status_code, signed.text) == (400, "MALFORMED")


@pytest.mark.parametrize(
    "change", [{"amount_minor": -1}, {"amount_minor": 2**70}, {"amount_minor": 1.5}, {"success_time_ms": 2**62},
               {"notify_id": "n" * 5_000}, {"attempt_no": "a\x00b"}, {"notify_id": "a\x00b"}, {"word": "NONSENSE"},
               {"channel_txn_no": "t" * 5_000}, {"refund_no": "r\x00"}, {"reason": "x" * 5_000}],
)  # fmt: skip
def test_odd_values_under_a_good_signature_break_nothing(
    house: House, shop: Api, waiting: payments_pb2.Payment, change: dict[str, Any]
) -> None:
    answer = send(house, body_of(waiting) | change)
    assert answer.status_code < 500, answer.text
    if "reason" not in change:
        assert shop.get(waiting.payment_id).state == State.STATE_PENDING


def test_five_megabytes_are_not_even_read(house: House, shop: Api, waiting: payments_pb2.Payment) -> None:
    huge = encode(body_of(waiting, padding="x" * 5_000_000))
    with contextlib.suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):  # the door may shut early
        assert post(house, huge, headers_of(huge)).status_code == 413
    assert_untouched(shop, waiting)
    assert send(house, body_of(waiting)).status_code == 200


def test_forgeries_are_counted(house: House, waiting: payments_pb2.Payment) -> None:
    def rejects() -> float:
        page = httpx.get(f"{house.http_url}/metrics", timeout=10).text
        return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines()
                   if line.startswith("security_rejects_total") and "SIGNATURE_INVALID" in line)  # fmt: skip

    before = rejects()
    assert send(house, body_of(waiting), secret="wrong").status_code == 401
    until(lambda: rejects() > before, 12, 0.5)
