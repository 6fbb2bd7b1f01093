"""Payments through the channels' own wires: real connectors, HTTP and signatures, and a payer who comes."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import httpx

from ops import wires
from ops.demo.payers import step_of
from protos.paydesk.v1 import common_pb2, payments_pb2, simulator_pb2
from tests.end_to_end.conftest import Api, House, State, fresh, order, until

Kind = simulator_pb2.Fault.Kind


class Wire(NamedTuple):
    """How a payer gets to a channel: in his browser, and by a request of ours whose answer can be lost."""

    channel_id: str
    method: int
    browsed: int
    asked: int


WIRES = (
    Wire("alipay", common_pb2.METHOD_ALIPAY, common_pb2.TERMINAL_H5, common_pb2.TERMINAL_UNSPECIFIED),
    Wire("unionpay", common_pb2.METHOD_UNION_PAY, common_pb2.TERMINAL_PC, common_pb2.TERMINAL_APP),
    Wire("wechatpay", common_pb2.METHOD_WECHAT_PAY, common_pb2.TERMINAL_H5, common_pb2.TERMINAL_PC),
)


def pays(house: House, payment: payments_pb2.Payment) -> None:
    """Do what a payment asks its payer for."""
    step = step_of(payment.action.kind, payment.action.value, wires_url=wires.url(house.deployment.settings.simulator_http_port))
    assert step is not None, payment
    answer = httpx.request(step.method, step.url, data=step.fields, trust_env=False, follow_redirects=True)
    assert answer.status_code == 200, answer.text


def charged(api: Api, wire: Wire, order_no: str) -> list[int]:
    """Return what the channel has taken for an order."""
    kind = simulator_pb2.TruthEntry.KIND_CHARGE
    return [e.amount_minor for e in api.truth(wire.channel_id) if e.kind == kind and e.order_no == order_no]


def test_a_payer_comes_and_a_signed_callback_tells(house: House) -> None:
    api = house.wired
    made = [api.pay(order_no=fresh(), method=wire.method, terminal=wire.browsed) for wire in WIRES]
    for wire, payment in zip(WIRES, made, strict=True):
        assert (payment.state, payment.channel_id) == (State.STATE_PENDING, wire.channel_id)
        pays(house, payment)
    for wire, payment in zip(WIRES, made, strict=True):
        assert api.final(payment.payment_id).state == State.STATE_SUCCEEDED
        assert api.timeline(payment.payment_id).steps[-1].source == "CALLBACK"
        assert charged(api, wire, payment.order_no) == [payment.amount.amount_minor]
    numbers = {payment.order_no for payment in made}
    until(lambda: numbers <= {a.order_no for a in house.orders.arrivals if a.event_type == "payment.succeeded" and a.status == 200})


def test_an_answer_that_is_lost_with_the_money_taken_is_found_by_asking(house: House) -> None:
    api = house.wired
    order_nos = [fresh() for _ in WIRES]
    for wire, order_no in zip(WIRES, order_nos, strict=True):
        for fault in (Kind.KIND_TIMEOUT_TAKEN, Kind.KIND_CALLBACK_LOST):
            api.fault(wire.channel_id, fault, targets=(order_no,))
    with ThreadPoolExecutor(len(WIRES)) as callers:  # each waits for its channel's time-out
        wishes = [order(order_no=no, method=wire.method, terminal=wire.asked) for wire, no in zip(WIRES, order_nos, strict=True)]
        made = list(callers.map(api.payments.CreatePayment, wishes))
    for wire, payment in zip(WIRES, made, strict=True):
        assert api.final(payment.payment_id).state == State.STATE_SUCCEEDED
        steps = api.timeline(payment.payment_id).steps
        assert "LOSE_ANSWER" in [step.event for step in steps] and steps[-1].source == "QUERY"
        assert charged(api, wire, payment.order_no) == [payment.amount.amount_minor]
        for fault in (Kind.KIND_TIMEOUT_TAKEN, Kind.KIND_CALLBACK_LOST):
            api.fault(wire.channel_id, fault, 0)
