"""What the API offers besides paying: lists, timelines, explanations, windows, streams, keys, health, metrics."""

import itertools
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from prometheus_client.parser import text_string_to_metric_families

from ops.deployment import make_key
from protos.paydesk.v1 import channels_pb2, common_pb2, events_pb2, payments_pb2, routing_pb2, simulator_pb2
from servers.grpc_server import SERVICES, service_names
from servers.identity import RULES
from tests.end_to_end.conftest import Api, House, State, fresh, order, refused, until

Health = channels_pb2.ChannelHealth.State
Code = grpc.StatusCode


def services() -> list[ServiceDescriptor]:
    return [service for module in SERVICES for service in module.DESCRIPTOR.services_by_name.values()]


# --- payments -------------------------------------------------------------------------------------------------------


def test_a_repeat_gets_the_same_answer(shop: Api) -> None:
    wish = order()
    first, again = shop.payments.CreatePayment(wish), shop.payments.CreatePayment(wish)
    assert first == again and first.state == State.STATE_SUCCEEDED and first.revision == 2
    by_request = shop.payments.GetPayment(payments_pb2.GetPaymentRequest(request_id=wish.request_id))
    assert by_request == shop.get(first.payment_id) == first


def test_an_asynchronous_payment_shows_a_qr_code_and_ends_by_callback(shop: Api) -> None:
    waiting = shop.pay(method=common_pb2.METHOD_WECHAT_PAY)
    assert waiting.state == State.STATE_PENDING
    assert waiting.action.kind == payments_pb2.PayerAction.KIND_QR_CODE and waiting.action.value.startswith("sandbox://")
    paid = shop.final(waiting.payment_id)
    assert paid.state == State.STATE_SUCCEEDED and not paid.HasField("action")
    steps = shop.timeline(paid.payment_id).steps
    assert [step.event for step in steps] == ["SUBMIT", "WAIT", "CONFIRM"] and steps[-1].source == "CALLBACK"


def test_a_timeline_tells_everything(shop: Api) -> None:
    paid = shop.pay()
    told = until(lambda: (t := shop.timeline(paid.payment_id)).notices and t.notices[0].delivery_state == "DELIVERED" and t)
    assert told.payment == shop.get(paid.payment_id)
    assert [step.revision for step in told.steps] == [1, 2]
    assert [(attempt.attempt_no, attempt.state) for attempt in told.attempts] == [(paid.attempt_no, "DONE")]
    assert [notice.event_type for notice in told.notices] == ["payment.succeeded"] and not told.refunds and not told.cases


def test_pages_of_payments(shop: Api) -> None:
    order_no = fresh()
    made = [shop.pay(order_no=order_no, payer_ref="payer_no_funds").payment_id for _ in range(5)]
    request = payments_pb2.ListPaymentsRequest(page_size=2, order_no=order_no)
    seen, sizes = [], []
    while True:
        page = shop.payments.ListPayments(request)
        seen += [payment.payment_id for payment in page.payments]
        sizes.append(len(page.payments))
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == sorted(made, reverse=True) and sizes == [2, 2, 1]
    failed = payments_pb2.ListPaymentsRequest(order_no=order_no, state=State.STATE_FAILED, channel_id="instant")
    assert len(shop.payments.ListPayments(failed).payments) == 5
    failed.state = State.STATE_SUCCEEDED
    assert not shop.payments.ListPayments(failed).payments


def test_closing_a_waiting_payment(shop: Api) -> None:
    waiting = shop.pay(method=common_pb2.METHOD_WECHAT_PAY, payer_ref="payer_abandons")
    request = payments_pb2.ClosePaymentRequest(request_id=fresh(), payment_id=waiting.payment_id, reason="changed my mind")
    closed = shop.payments.ClosePayment(request)
    assert closed.close_requested or closed.state == State.STATE_CLOSED
    assert shop.final(waiting.payment_id).state == State.STATE_CLOSED
    assert shop.payments.ClosePayment(request).state == State.STATE_CLOSED
    request.reason = "another reason"
    assert refused(lambda: shop.payments.ClosePayment(request)).code is Code.ALREADY_EXISTS


def test_asking_the_channel_now(shop: Api) -> None:
    """A payment whose callback was lost is settled by asking, sooner than its schedule would."""
    waiting = shop.pay(method=common_pb2.METHOD_ALIPAY, payer_ref="payer_callback_lost")
    assert waiting.state == State.STATE_PENDING
    request = payments_pb2.SyncPaymentRequest(request_id=fresh(), payment_id=waiting.payment_id, reason="the payer waits")

    def ask() -> bool:
        request.request_id = fresh()
        return shop.payments.SyncPayment(request).state == State.STATE_SUCCEEDED

    until(ask, 10)
    assert shop.timeline(waiting.payment_id).steps[-1].source == "QUERY"


# --- routing and channels -------------------------------------------------------------------------------------------


def test_why_a_channel_was_chosen(shop: Api) -> None:
    paid = shop.pay()
    decision = shop.routing.ExplainRoute(routing_pb2.ExplainRouteRequest(payment_id=paid.payment_id))
    assert decision.chosen_channel_id == paid.channel_id == "instant" and decision.reason_text
    reasons = {candidate.channel_id: candidate.eliminated_by for candidate in decision.candidates}
    assert set(reasons) == {"instant", "slow", "qr_red", "qr_blue"} and reasons["instant"] == ""
    assert reasons["qr_red"] == "METHOD_UNSUPPORTED"


def test_a_dry_run_decides_and_stores_nothing(shop: Api) -> None:
    order_no = fresh()
    request = routing_pb2.DryRunRouteRequest(
        order_no=order_no, product_code="CAR", amount=common_pb2.Money(amount_minor=5000, currency_code="CNY"),
        method=common_pb2.METHOD_BANK_CARD, terminal=common_pb2.TERMINAL_WECHAT_OA,
    )  # fmt: skip
    decision = shop.routing.DryRunRoute(request)
    instant = next(candidate for candidate in decision.candidates if candidate.channel_id == "instant")
    assert decision.chosen_channel_id in ("slow", "qr_blue") and instant.eliminated_by == "TERMINAL_UNSUPPORTED"
    assert not shop.payments.ListPayments(payments_pb2.ListPaymentsRequest(order_no=order_no)).payments


def test_the_channels_of_a_tenant(shop: Api, other: Api) -> None:
    listed = shop.channels.ListChannels(channels_pb2.ListChannelsRequest()).channels
    assert {channel.channel_id for channel in listed} == {"instant", "slow", "qr_red", "qr_blue"}
    page = shop.channels.ListChannels(channels_pb2.ListChannelsRequest(page_size=3))
    rest = shop.channels.ListChannels(channels_pb2.ListChannelsRequest(page_size=3, page_token=page.next_page_token))
    assert len(page.channels) == 3 and len(rest.channels) == 1 and not rest.next_page_token
    mine = other.channels.ListChannels(channels_pb2.ListChannelsRequest()).channels
    assert {channel.channel_id for channel in mine} == {"instant", "qr_red"}
    health = shop.channels.GetChannelHealth(channels_pb2.GetChannelHealthRequest(channel_id="instant"))
    assert health.score > 80 and health.admit_share == 1


def test_an_operator_takes_a_channel_out_and_back(shop: Api) -> None:
    wish: dict[str, Any] = {"method": common_pb2.METHOD_BANK_CARD, "terminal": common_pb2.TERMINAL_WECHAT_OA}
    assert shop.force("slow", Health.STATE_FORCED_OPEN).state == Health.STATE_FORCED_OPEN
    try:
        until(lambda: _chosen(shop, **wish) == "qr_blue", 5)
        paid = shop.pay(**wish)
        decision = shop.routing.ExplainRoute(routing_pb2.ExplainRouteRequest(payment_id=paid.payment_id))
        reasons = {candidate.channel_id: candidate.eliminated_by for candidate in decision.candidates}
        assert paid.channel_id == "qr_blue" and reasons["slow"] == "FORCED_OPEN"
    finally:
        health = shop.force("slow", Health.STATE_HEALTHY)
    assert health.state not in (Health.STATE_FORCED_OPEN, Health.STATE_OPEN)
    assert [change.state for change in health.changes][1] == Health.STATE_FORCED_OPEN
    until(lambda: _chosen(shop, **wish) == "slow", 20)
    shop.settled("slow", common_pb2.METHOD_UNION_PAY)


def _chosen(shop: Api, **wish: Any) -> str:
    request = routing_pb2.DryRunRouteRequest(
        order_no=fresh(), product_code="CAR", amount=common_pb2.Money(amount_minor=1800, currency_code="CNY"), **wish
    )
    return str(shop.routing.DryRunRoute(request).chosen_channel_id)


def test_a_maintenance_window_keeps_orders_away_while_it_lasts(shop: Api) -> None:
    request = channels_pb2.SetMaintenanceWindowRequest(request_id=fresh(), channel_id="qr_red", reason="a new release")
    request.start_time.FromMilliseconds(int(time.time() * 1000) - 1000)
    request.end_time.FromMilliseconds(int(time.time() * 1000) + 5000)
    window = shop.channels.SetMaintenanceWindow(request)
    assert shop.channels.SetMaintenanceWindow(request).window_id == window.window_id
    wish: dict[str, Any] = {"method": common_pb2.METHOD_WECHAT_PAY}

    def is_away() -> bool:
        try:
            shop.pay(**wish)
        except grpc.RpcError as error:
            return error.code() is Code.FAILED_PRECONDITION
        return False

    until(is_away, 4)
    said = refused(lambda: shop.pay(**wish))
    assert said.reason == "NO_ROUTE" and said.metadata["qr_red"] == "MAINTENANCE_WINDOW"
    until(lambda: not is_away(), 15)
    shop.settled("qr_red", common_pb2.METHOD_WECHAT_PAY)


# --- events ---------------------------------------------------------------------------------------------------------


def of_mine(stream: Any, payment_ids: list[str]) -> list[events_pb2.Event]:
    """Read a stream until it has told of every one of these payments."""
    mine = (event for event in stream if event.payment.payment_id in payment_ids)
    return list(itertools.islice(mine, len(payment_ids)))


def test_the_stream_goes_on_where_it_was_left(shop: Api) -> None:
    stream = shop.events.Subscribe(events_pb2.SubscribeRequest(from_now=True), timeout=20)
    time.sleep(0.5)
    first = [shop.pay().payment_id for _ in range(3)]
    heard = of_mine(stream, first)
    assert [event.payment.payment_id for event in heard] == first
    assert {event.event_type for event in heard} == {"payment.succeeded"}
    stream.cancel()
    missed = [shop.pay().payment_id for _ in range(3)]
    resumed = shop.events.Subscribe(events_pb2.SubscribeRequest(cursor=heard[1].cursor), timeout=20)
    told = [next(event.payment.payment_id for event in resumed if event.payment.payment_id in (*first, *missed))
            for _ in range(4)]  # fmt: skip
    assert told == [first[2], *missed]
    resumed.cancel()


def test_a_stream_from_the_beginning_and_another_tenants(shop: Api, other: Api) -> None:
    mine = other.pay().payment_id
    stream = other.events.Subscribe(events_pb2.SubscribeRequest())
    until(lambda: next(stream).payment.payment_id == mine, 5, 0)
    stream.cancel()
    told = shop.events.Subscribe(events_pb2.SubscribeRequest())
    assert next(told).payment.payment_id != mine
    told.cancel()


def test_deliveries_and_a_resend(house: House, shop: Api) -> None:
    paid = shop.pay()
    listing = events_pb2.ListDeliveriesRequest(order_no=paid.order_no)
    delivered = events_pb2.Delivery.STATE_DELIVERED
    until(lambda: [d.state for d in shop.events.ListDeliveries(listing).deliveries] == [delivered])
    event_id = shop.events.ListDeliveries(listing).deliveries[0].event_id
    resend = events_pb2.ResendEventRequest(request_id=fresh(), event_id=event_id)
    assert shop.events.ResendEvent(resend).resend_count == shop.events.ResendEvent(resend).resend_count == 1
    until(lambda: sum(a.webhook_id == event_id and a.status == 200 for a in list(house.orders.arrivals)) == 2)
    resend.event_id = event_id + "9"
    assert refused(lambda: shop.events.ResendEvent(resend)).code is Code.NOT_FOUND


# --- the sandbox ----------------------------------------------------------------------------------------------------


def test_the_sandbox_is_driven_and_tells_the_truth(shop: Api) -> None:
    profile = simulator_pb2.ChannelProfile(
        channel_id="slow", success_rate=1, latency_ms_p50=120, latency_ms_p99=380, fee_bps=30
    )
    assert shop.simulator.ConfigureChannel(simulator_pb2.ConfigureChannelRequest(profile=profile)) == profile
    paid = shop.pay(method=common_pb2.METHOD_UNION_PAY, payer_ref="payer_card_expired")
    assert paid.state == State.STATE_FAILED and paid.reason == "CARD_EXPIRED"
    paid = shop.pay(method=common_pb2.METHOD_UNION_PAY)
    entry = next(entry for entry in shop.truth("slow") if entry.attempt_no == paid.attempt_no)
    assert (entry.amount_minor, entry.currency_code, entry.order_no) == (1800, "CNY", paid.order_no)
    assert entry.channel_txn_no == paid.channel_txn_no and entry.merchant_no == "S100"
    before = shop.simulator.GetStats(simulator_pb2.GetStatsRequest()).now.seconds
    step = simulator_pb2.AdvanceClockRequest(request_id=fresh())
    step.step.seconds = 5
    assert shop.simulator.AdvanceClock(step).now.seconds >= before + 5
    stats = shop.simulator.GetStats(simulator_pb2.GetStatsRequest())
    slow = next(channel for channel in stats.channels if channel.channel_id == "slow")
    assert slow.charges_done >= 1 and slow.charges_declined >= 1 and slow.charge_requests >= 2


# --- keys -----------------------------------------------------------------------------------------------------------


def test_every_method_has_a_rule() -> None:
    methods = {f"/{service.full_name}/{method.name}" for service in services() for method in service.methods}
    assert methods == set(RULES)


def test_no_method_answers_without_a_key_or_without_a_role(house: House) -> None:
    """Default deny, method by method, over the wire."""
    transact, directory = house.deployment.transact, house.deployment.settings.directory()
    _, powerless = transact(
        lambda connection: make_key(connection, directory, tenant_id="shop", principal="nobody", roles=frozenset())
    )
    nobody = Api(house.deployment.target, powerless)
    until(lambda: refused(lambda: nobody.get("pay_1")).code is Code.PERMISSION_DENIED, 5)
    cases = [("", Code.UNAUTHENTICATED), ("Bearer pdk_wrong", Code.UNAUTHENTICATED), ("Basic abc", Code.UNAUTHENTICATED),
             (f"Bearer {powerless}", Code.PERMISSION_DENIED)]  # fmt: skip
    for service in services():
        for method in service.methods:
            path = f"/{service.full_name}/{method.name}"
            call = nobody.channel.unary_stream if method.server_streaming else nobody.channel.unary_unary
            for authorization, code in cases:
                metadata = (("authorization", authorization),) if authorization else ()
                said = refused(lambda call=call, path=path, metadata=metadata: _first(call(path)(b"", metadata=metadata, timeout=5)))
                assert said.code is code and said.reason, (path, authorization)


def _first(answer: Any) -> Any:
    return next(answer) if hasattr(answer, "__next__") else answer


def test_a_role_opens_its_own_doors_only(house: House) -> None:
    transact, directory = house.deployment.transact, house.deployment.settings.directory()
    _, viewers = transact(
        lambda connection: make_key(connection, directory, tenant_id="shop", principal="eve", roles=frozenset({"VIEWER"}))
    )
    viewer = Api(house.deployment.target, viewers)
    until(lambda: refused(lambda: viewer.get("pay_1")).code is Code.NOT_FOUND, 5)
    said = refused(viewer.pay)
    assert said.code is Code.PERMISSION_DENIED and said.reason == "ROLE_MISSING"


# --- running it -----------------------------------------------------------------------------------------------------


def test_health_and_reflection(house: House, shop: Api) -> None:
    stub = health_pb2_grpc.HealthStub(shop.channel)
    for name in ("", *service_names()):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    offered = set(ProtoReflectionDescriptorDatabase(shop.channel).get_services())
    assert set(service_names()) < offered and "grpc.health.v1.Health" in offered


def read(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


METRICS = {
    "pay_attempts", "pay_latency_seconds", "channel_score", "channel_state", "route_decisions", "route_eliminated",
    "callback", "callback_delay_seconds", "notify_backlog", "notify_oldest_seconds", "idempotency_replays",
    "security_rejects", "actor_restarts", "event_loop_lag_seconds", "grpc_calls", "notices",
}  # fmt: skip


def test_metrics_are_what_prometheus_reads(house: House, shop: Api) -> None:
    paid = shop.pay(method=common_pb2.METHOD_WECHAT_PAY)
    shop.final(paid.payment_id)
    shop.payments.CreatePayment(wish := order())
    shop.payments.CreatePayment(wish)

    def families() -> dict[str, Any]:
        status, page = read(f"{house.http_url}/metrics")
        assert status == 200
        return {family.name: family for family in text_string_to_metric_families(page)}

    found = until(lambda: (f := families()) and set(f) >= METRICS and f, 15, 1.0)
    labels = {label for family in found.values() for sample in family.samples for label in sample.labels}
    assert labels.isdisjoint({"order_no", "payment_id", "attempt_no", "request_id"})
    states = {sample.labels["state"] for sample in found["channel_state"].samples if sample.value == 1}
    assert states <= {"HEALTHY", "DEGRADED", "OPEN", "HALF_OPEN", "FORCED_OPEN", "FORCED_CLOSED"}
    done = [s for s in found["pay_attempts"].samples if s.labels["outcome"] == "DONE" and s.labels["channel"] == "instant"]
    assert sum(sample.value for sample in done) >= 1


def test_money_in_doubt_is_a_gauge_that_comes_back_to_nothing(house: House, shop: Api) -> None:
    waiting = shop.pay(method=common_pb2.METHOD_WECHAT_PAY, payer_ref="payer_abandons")

    def in_doubt() -> float:
        time.sleep(1.1)  # the page is made once a second at most
        families = text_string_to_metric_families(read(f"{house.http_url}/metrics")[1])
        return sum(s.value for f in families if f.name == "money_in_doubt_minor" for s in f.samples
                   if s.labels == {"tenant": "shop", "kind": "PENDING"})  # fmt: skip

    before = in_doubt()
    assert before >= 1800
    shop.payments.ClosePayment(payments_pb2.ClosePaymentRequest(request_id=fresh(), payment_id=waiting.payment_id))
    shop.final(waiting.payment_id)
    assert in_doubt() <= before - 1800


def test_readiness_and_liveness(house: House) -> None:
    assert read(f"{house.http_url}/healthz") == (200, "ok")
    status, said = read(f"{house.http_url}/readyz")
    assert status == 200 and '"ready":true' in said
    assert read(f"{house.http_url}/nowhere")[0] == 404


def test_many_callers_at_once_are_all_answered(shop: Api) -> None:
    with ThreadPoolExecutor(64) as callers:
        answers = list(callers.map(lambda _: shop.payments.CreatePayment(order(), timeout=15), range(256)))
    assert {answer.state for answer in answers} == {State.STATE_SUCCEEDED}
    assert len({answer.payment_id for answer in answers}) == 256
