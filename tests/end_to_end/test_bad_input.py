"""What is wrong is refused with a name, the field and the rule; never with a stack trace, never with INTERNAL."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from protos.paydesk.v1 import channels_pb2, common_pb2, events_pb2, payments_pb2, routing_pb2, simulator_pb2
from tests.end_to_end.conftest import Api, House, State, fresh, order, refusal_of, refused

Code = grpc.StatusCode


def money(amount_minor: int, currency_code: str = "CNY") -> common_pb2.Money:
    return common_pb2.Money(amount_minor=amount_minor, currency_code=currency_code)


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "no amount": ({"amount": money(0)}, "amount.amount_minor", "positive"),
    "negative amount": ({"amount": money(-5)}, "amount.amount_minor", "positive"),
    "amount over 10^12": ({"amount": money(10**12 + 1)}, "amount.amount_minor", "is over"),
    "unknown currency": ({"amount": money(100, "ABC")}, "amount.currency_code", "one of"),
    "lower-case currency": ({"amount": money(100, "cny")}, "amount.currency_code", "one of"),
    "no currency": ({"amount": money(100, "")}, "amount.currency_code", "one of"),
    "no request_id": ({"request_id": ""}, "request_id", "missing"),
    "over-long request_id": ({"request_id": "r" * 65}, "request_id", "65 characters"),
    "no order_no": ({"order_no": ""}, "order_no", "missing"),
    "over-long order_no": ({"order_no": "o" * 65}, "order_no", "65 characters"),
    "control characters": ({"order_no": "a\x00b"}, "order_no", "can't be printed"),
    "a line break": ({"subject": "one\ntwo"}, "subject", "can't be printed"),
    "right-to-left override": ({"subject": "abc\u202edef"}, "subject", "can't be printed"),
    "over-long subject": ({"subject": "保" * 129}, "subject", "129 characters"),
    "over-long payer_ref": ({"payer_ref": "p" * 65}, "payer_ref", "65 characters"),
    "over-long source": ({"source": "s" * 33}, "source", "33 characters"),
    "no product": ({"product_code": ""}, "product_code", "missing"),
    "over-long product": ({"product_code": "P" * 33}, "product_code", "33 characters"),
    "unknown method": ({"method": 99}, "method", "no method"),
    "unknown terminal": ({"terminal": 77}, "terminal", "no terminal"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_field_is_named_with_its_rule(shop: Api, case: str) -> None:
    changes, field, rule = WRONG[case]
    said = refused(lambda: shop.pay(**changes))
    assert said.code is Code.INVALID_ARGUMENT and said.reason == "INVALID_FIELD"
    assert list(said.violations) == [field] and rule in said.violations[field]
    assert said.metadata["retryable"] == "false"


def test_all_wrong_fields_are_named_at_once(shop: Api) -> None:
    said = refused(lambda: shop.pay(amount=money(-1, "???"), order_no="", method=99))
    assert set(said.violations) == {"amount.amount_minor", "amount.currency_code", "order_no", "method"}


def test_unknown_product(shop: Api) -> None:
    said = refused(lambda: shop.pay(product_code="NO_SUCH"))
    assert said.code is Code.INVALID_ARGUMENT and said.reason == "UNKNOWN_PRODUCT" and "product_code" in said.message


def test_an_expired_order_and_one_that_lives_too_long(shop: Api) -> None:
    wish = order()
    wish.expire_time.FromSeconds(int(time.time()) - 10)
    said = refused(lambda: shop.payments.CreatePayment(wish))
    assert said.code is Code.FAILED_PRECONDITION and said.reason == "ORDER_EXPIRED"
    wish = order()
    wish.expire_time.FromSeconds(int(time.time()) + 25 * 3600)
    said = refused(lambda: shop.payments.CreatePayment(wish))
    assert said.code is Code.INVALID_ARGUMENT and "expire_time" in said.violations


def test_the_same_request_id_with_other_content(shop: Api) -> None:
    wish = order()
    paid = shop.payments.CreatePayment(wish)
    wish.amount.amount_minor += 1
    said = refused(lambda: shop.payments.CreatePayment(wish))
    assert said.code is Code.ALREADY_EXISTS and said.reason == "REQUEST_ID_REUSED"
    assert shop.get(paid.payment_id).amount.amount_minor == wish.amount.amount_minor - 1


def test_a_paid_order_and_an_open_one(shop: Api) -> None:
    paid = shop.pay()
    said = refused(lambda: shop.pay(order_no=paid.order_no))
    assert said.code is Code.FAILED_PRECONDITION and said.reason == "ORDER_PAID"
    assert said.metadata["payment_id"] == paid.payment_id
    waiting = shop.pay(method=common_pb2.METHOD_WECHAT_PAY, payer_ref="payer_abandons")
    said = refused(lambda: shop.pay(order_no=waiting.order_no, method=common_pb2.METHOD_WECHAT_PAY))
    assert said.code is Code.FAILED_PRECONDITION and said.reason == "PAYMENT_OPEN"


def test_closing_what_has_ended(shop: Api) -> None:
    paid = shop.pay()
    request = payments_pb2.ClosePaymentRequest(request_id=fresh(), payment_id=paid.payment_id)
    said = refused(lambda: shop.payments.ClosePayment(request))
    assert said.code is Code.FAILED_PRECONDITION and said.reason == "PAYMENT_FINAL"


def test_nobody_sees_another_tenants_payment(shop: Api, other: Api) -> None:
    paid = shop.pay()
    calls: list[Callable[[], Any]] = [
        lambda: other.get(paid.payment_id),
        lambda: other.payments.GetPayment(payments_pb2.GetPaymentRequest(request_id=paid.request_id)),
        lambda: other.timeline(paid.payment_id),
        lambda: other.payments.ClosePayment(
            payments_pb2.ClosePaymentRequest(request_id=fresh(), payment_id=paid.payment_id)
        ),
        lambda: other.payments.SyncPayment(
            payments_pb2.SyncPaymentRequest(request_id=fresh(), payment_id=paid.payment_id)
        ),
        lambda: other.routing.ExplainRoute(routing_pb2.ExplainRouteRequest(payment_id=paid.payment_id)),
        lambda: other.channels.GetChannelHealth(channels_pb2.GetChannelHealthRequest(channel_id="slow")),
        lambda: other.events.ResendEvent(
            events_pb2.ResendEventRequest(request_id=fresh(), event_id=f"evt_{paid.payment_id[4:]}_2")
        ),
    ]
    for call in calls:
        assert refused(call).code is Code.NOT_FOUND
    listed = other.payments.ListPayments(payments_pb2.ListPaymentsRequest(order_no=paid.order_no))
    assert not listed.payments
    # The same request id of another tenant is another request.
    assert other.pay(request_id=paid.request_id, order_no=paid.order_no).payment_id != paid.payment_id


def test_a_missing_or_hopeless_deadline(house: House, shop: Api) -> None:
    raw = shop.channel.unary_unary(
        "/paydesk.v1.Payments/CreatePayment",
        request_serializer=payments_pb2.CreatePaymentRequest.SerializeToString,
        response_deserializer=payments_pb2.Payment.FromString,
    )
    metadata = (("authorization", f"Bearer {shop.key}"),)
    said = refused(lambda: raw(order(), metadata=metadata))
    assert said.code is Code.INVALID_ARGUMENT and said.reason == "DEADLINE_MISSING" and "deadline" in said.violations
    assert refused(lambda: raw(order(), metadata=metadata, timeout=0.05)).code is Code.DEADLINE_EXCEEDED


def test_a_malformed_and_an_oversized_message(shop: Api) -> None:
    raw = shop.channel.unary_unary("/paydesk.v1.Payments/CreatePayment")
    metadata = (("authorization", f"Bearer {shop.key}"),)
    for garbage in (b"\xff\xff\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x02\xff\xfe"):
        said = refused(lambda garbage=garbage: raw(garbage, metadata=metadata, timeout=5))
        assert said.code is Code.INVALID_ARGUMENT and "(message)" in said.violations, garbage
    said = refused(lambda: shop.pay(subject="x" * 5_000_000))
    assert said.code is Code.RESOURCE_EXHAUSTED


def test_wrong_keys_of_reading(shop: Api) -> None:
    get, listing = shop.payments.GetPayment, shop.payments.ListPayments
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: get(payments_pb2.GetPaymentRequest()), "payment_id"),
        (lambda: get(payments_pb2.GetPaymentRequest(payment_id="a", request_id="b")), "payment_id"),
        (lambda: get(payments_pb2.GetPaymentRequest(payment_id="p" * 65)), "payment_id"),
        (lambda: shop.timeline("a\x00b"), "payment_id"),
        (lambda: listing(payments_pb2.ListPaymentsRequest(page_token="bm90IG91cnM=")), "page_token"),
        (lambda: listing(payments_pb2.ListPaymentsRequest(page_token="\u4fdd")), "page_token"),
        (lambda: listing(payments_pb2.ListPaymentsRequest(page_size=-1)), "page_size"),
        (lambda: listing(payments_pb2.ListPaymentsRequest(state=55)), "state"),
        (lambda: listing(payments_pb2.ListPaymentsRequest(order_no="a\x00b")), "order_no"),
        (lambda: listing(payments_pb2.ListPaymentsRequest(channel_id="a\x00b")), "channel_id"),
        (lambda: shop.events.ListDeliveries(events_pb2.ListDeliveriesRequest(state=55)), "state"),
        (lambda: shop.events.ResendEvent(events_pb2.ResendEventRequest(request_id="r", event_id="evt_a\x00b_1")), "event_id"),
        (lambda: next(shop.events.Subscribe(events_pb2.SubscribeRequest(cursor="nonsense"))), "cursor"),
        (lambda: next(shop.events.Subscribe(events_pb2.SubscribeRequest(cursor="1.1", from_now=True))), "from_now"),
        (lambda: shop.routing.ExplainRoute(routing_pb2.ExplainRouteRequest(payment_id="p", attempt_index=-1)),
         "attempt_index"),
        (lambda: shop.routing.DryRunRoute(routing_pb2.DryRunRouteRequest(order_no="o", product_code="CAR")),
         "amount.amount_minor"),
        (lambda: shop.payments.BatchCreatePayments(payments_pb2.BatchCreatePaymentsRequest()), "requests"),
    ]  # fmt: skip
    for index, (call, field) in enumerate(cases):
        said = refused(call)
        assert said.code is Code.INVALID_ARGUMENT and field in said.violations, (index, said)


def test_numbers_that_exceed_a_clock(shop: Api) -> None:
    """Times that no calendar has are refused or find nothing; they break nothing."""
    for seconds in (-(2**62), 2**62):
        wish = order()
        wish.expire_time.seconds = seconds
        assert refused(lambda wish=wish: shop.payments.CreatePayment(wish)).code in (
            Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION,
        )  # fmt: skip
        request = payments_pb2.ListPaymentsRequest(page_size=1)
        request.max_create_time.seconds = seconds
        assert refused(lambda request=request: shop.payments.ListPayments(request)).code is Code.INVALID_ARGUMENT


def test_wrong_wishes_about_channels_and_the_sandbox(shop: Api) -> None:
    forced = channels_pb2.ChannelHealth.STATE_FORCED_OPEN
    force, window = shop.channels.ForceChannelState, shop.channels.SetMaintenanceWindow
    inject, configure = shop.simulator.InjectFault, shop.simulator.ConfigureChannel
    cases: list[tuple[Callable[[], Any], Code]] = [
        (lambda: force(channels_pb2.ForceChannelStateRequest(request_id="r", channel_id="slow", state=forced)),
         Code.INVALID_ARGUMENT),
        (lambda: force(channels_pb2.ForceChannelStateRequest(request_id="r", channel_id="nowhere", state=forced)),
         Code.NOT_FOUND),
        (lambda: window(channels_pb2.SetMaintenanceWindowRequest(request_id="r", channel_id="slow")),
         Code.INVALID_ARGUMENT),
        (lambda: inject(simulator_pb2.InjectFaultRequest(fault=simulator_pb2.Fault(channel_id="slow", kind=99))),
         Code.INVALID_ARGUMENT),
        (lambda: inject(simulator_pb2.InjectFaultRequest(fault=simulator_pb2.Fault(channel_id="nowhere", kind=1, share=1))),
         Code.INVALID_ARGUMENT),
        (lambda: configure(simulator_pb2.ConfigureChannelRequest(
            profile=simulator_pb2.ChannelProfile(channel_id="slow", success_rate=7))), Code.INVALID_ARGUMENT),
    ]  # fmt: skip
    for index, (call, code) in enumerate(cases):
        assert refused(call).code is code, index


def test_a_batch_takes_each_on_its_own(shop: Api) -> None:
    good, twin = order(), order()
    bad = order(amount=money(0))
    batch = payments_pb2.BatchCreatePaymentsRequest(requests=[good, bad, twin, order(product_code="NO_SUCH")])
    results = shop.payments.BatchCreatePayments(batch).results
    assert [result.WhichOneof("result") for result in results] == ["payment", "refusal", "payment", "refusal"]
    assert (results[0].payment.order_no, results[2].payment.order_no) == (good.order_no, twin.order_no)
    assert shop.final(results[0].payment.payment_id).state == State.STATE_SUCCEEDED
    again = shop.payments.BatchCreatePayments(batch).results
    assert again[0].payment.payment_id == results[0].payment.payment_id
    many = payments_pb2.BatchCreatePaymentsRequest(requests=[good] * 501)
    assert "requests" in refused(lambda: shop.payments.BatchCreatePayments(many)).violations


def test_two_hundred_callers_with_one_request_id(house: House, shop: Api) -> None:
    wish = order(method=common_pb2.METHOD_UNION_PAY)
    with ThreadPoolExecutor(64) as callers:
        answers = list(callers.map(lambda _: shop.payments.CreatePayment(wish, timeout=15), range(200)))
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert answers[0].state == State.STATE_SUCCEEDED
    assert len(shop.timeline(answers[0].payment_id).attempts) == 1
    assert sum(entry.order_no == wish.order_no for entry in shop.truth("slow")) == 1


def test_an_error_never_shows_its_insides(shop: Api) -> None:
    said = refused(lambda: shop.get("pay_01M84Q2RGK3H8H0RV60VSPVE14"))
    assert said.code is Code.NOT_FOUND and said.reason == "PAYMENT_NOT_FOUND"
    assert "Traceback" not in said.message and "SELECT" not in said.message


def test_refusals_carry_what_grpc_clients_read(shop: Api) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        shop.pay(amount=money(0))
    assert refusal_of(caught.value).reason == "INVALID_FIELD"
    assert any(key == "grpc-status-details-bin" for key, _ in caught.value.trailing_metadata())
