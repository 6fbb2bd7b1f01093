"""The Events service over real gRPC: the stream, its cursors, deliveries and resends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
import pytest_asyncio
from sqlalchemy import Connection

from domain.delivery import payload
from domain.refusals import Kind, Refused
from protos.paydesk.v1 import events_pb2, events_pb2_grpc, payments_pb2
from servers import events as served
from servers.identity import Caller, set_caller
from storage import events
from storage.database import Database
from tests.integration.outbox import add_event, add_tenant
from tests.vaults import new_vault

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(60)]


class Door(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Lets everybody in as the tenant that the metadata names."""

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        set_caller(Caller(dict(details.invocation_metadata)["tenant"], "tester", frozenset()))
        return await continuation(details)


class Desk:
    """A served Events service and a client of it."""

    def __init__(self, database: Database, stub: Any, service: served.EventsService) -> None:
        self.database = database
        self.stub = stub
        self.service = service

    async def add(self, *payment_ids: str, tenant_id: str = "life", **options: Any) -> None:
        for payment_id in payment_ids:
            await self.database.run(add_event, tenant_id, payment_id, **options)

    def subscribe(self, tenant_id: str = "life", **request: Any) -> Any:
        return self.stub.Subscribe(events_pb2.SubscribeRequest(**request), metadata=[("tenant", tenant_id)])


@pytest_asyncio.fixture
async def desk(emptied_database_url: str) -> AsyncIterator[Desk]:
    database = Database(emptied_database_url, pool_size=2)

    def fill(connection: Connection) -> None:
        add_tenant(connection, "life")
        add_tenant(connection, "auto")

    await database.run(fill)
    service = served.EventsService(database)
    server = grpc.aio.server(interceptors=[Door()])
    events_pb2_grpc.add_EventsServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Desk(database, events_pb2_grpc.EventsStub(channel), service)
    await server.stop(None)
    database.close()


async def take(stream: Any, count: int) -> list[events_pb2.Event]:
    async with asyncio.timeout(10):
        return [await stream.read() for _ in range(count)]


async def test_a_stream_tells_what_was_and_what_comes(desk: Desk) -> None:
    await desk.add("pay_1", "pay_2")
    await desk.add("pay_other", tenant_id="auto")
    stream = desk.subscribe()
    first, second = await take(stream, 2)
    assert (first.event_id, first.event_type, first.order_no) == ("evt_1_2", "payment.succeeded", "o-pay_1")
    assert first.payment.state == payments_pb2.Payment.STATE_SUCCEEDED and first.payment.revision == 2
    await desk.add("pay_3")
    (third,) = await take(stream, 1)
    assert (second.event_id, third.event_id) == ("evt_2_2", "evt_3_2")
    stream.cancel()
    resumed = desk.subscribe(cursor=first.cursor)
    assert [event.event_id for event in await take(resumed, 2)] == ["evt_2_2", "evt_3_2"]
    resumed.cancel()


async def test_the_stream_carries_the_bytes_of_the_webhook(desk: Desk) -> None:
    await desk.add("pay_1")
    (event,) = await take(desk.subscribe(), 1)
    (claim,) = await desk.database.run(events.claim_due, new_vault(), limit=1, lease_s=1, per_tenant=1)
    assert event.payload_json == payload(claim.payment, claim.happening)


async def test_from_now_leaves_out_what_was(desk: Desk) -> None:
    await desk.add("pay_old")
    stream = desk.subscribe(from_now=True)
    async with asyncio.timeout(5):
        while not desk.service._subscribers.total():
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    await desk.add("pay_new")
    (event,) = await take(stream, 1)
    assert event.event_id == "evt_new_2"


async def test_a_long_stream_comes_whole_and_in_order(desk: Desk) -> None:
    def fill(connection: Connection) -> None:
        for number in range(450):
            add_event(connection, "life", f"pay_{number}")

    await desk.database.run(fill)
    told = await take(desk.subscribe(), 450)
    assert [event.event_id for event in told] == [f"evt_{number}_2" for number in range(450)]


async def test_a_caller_that_hangs_up_leaves_nothing_behind(desk: Desk) -> None:
    await desk.add("pay_1")
    stream = desk.subscribe()
    await take(stream, 1)
    assert desk.service._subscribers.total() == 1
    stream.cancel()
    async with asyncio.timeout(5):
        while desk.service._subscribers.total():
            await asyncio.sleep(0.01)


@contextlib.contextmanager
def refused(kind: Kind, text: str) -> Any:
    with pytest.raises(Refused) as caught:
        yield
    assert caught.value.refusal.kind is kind
    assert text in str(caught.value.refusal)


@pytest.mark.parametrize(
    ("request_", "field"), [({"cursor": "nonsense"}, "cursor"), ({"cursor": "1.1", "from_now": True}, "from_now")]
)
async def test_a_wrong_subscription_names_its_field(desk: Desk, request_: dict[str, Any], field: str) -> None:
    set_caller(Caller("life", "tester", frozenset()))
    with refused(Kind.INVALID, f"field='{field}'"):
        async for _ in desk.service.Subscribe(events_pb2.SubscribeRequest(**request_), None):
            pass


@pytest.mark.parametrize("limit", ["SUBSCRIBERS_MAX", "SUBSCRIBERS_OF_TENANT_MAX"])
async def test_too_many_streams_are_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(served, limit, 0)
    set_caller(Caller("life", "tester", frozenset()))
    with refused(Kind.OVERLOADED, "TOO_MANY_STREAMS"):
        async for _ in desk.service.Subscribe(events_pb2.SubscribeRequest(), None):
            pass


async def test_deliveries_are_listed_in_pages(desk: Desk) -> None:
    await desk.add("pay_1", "pay_2", "pay_3")
    set_caller(Caller("life", "tester", frozenset()))
    request = events_pb2.ListDeliveriesRequest(page_size=2, state=events_pb2.Delivery.STATE_PENDING)
    first = await desk.service.ListDeliveries(request, None)
    request.page_token = first.next_page_token
    second = await desk.service.ListDeliveries(request, None)
    assert [one.event_id for one in first.deliveries] == ["evt_3_2", "evt_2_2"]
    assert [one.event_id for one in second.deliveries] == ["evt_1_2"] and not second.next_page_token
    assert first.deliveries[0].state == events_pb2.Delivery.STATE_PENDING
    assert first.deliveries[0].HasField("next_try_time") and not first.deliveries[0].HasField("deliver_time")
    none = await desk.service.ListDeliveries(events_pb2.ListDeliveriesRequest(order_no="o-elsewhere"), None)
    assert not none.deliveries


@pytest.mark.parametrize(
    ("request_", "field"),
    [({"page_token": "?"}, "page_token"), ({"page_token": "djE6eA=="}, "page_token"), ({"page_size": -1}, "page_size"),
     ({"state": 9}, "state"), ({"order_no": "o" * 65}, "order_no"), ({"order_no": "o\n"}, "order_no")],
)  # fmt: skip
async def test_a_wrong_listing_names_its_field(desk: Desk, request_: dict[str, Any], field: str) -> None:
    set_caller(Caller("life", "tester", frozenset()))
    with refused(Kind.INVALID, f"field='{field}'"):
        await desk.service.ListDeliveries(events_pb2.ListDeliveriesRequest(**request_), None)


async def test_an_event_is_resent_for_its_own_tenant_only(desk: Desk) -> None:
    await desk.add("pay_1", deliver_state="DEAD")
    request = events_pb2.ResendEventRequest(request_id="r-1", event_id="evt_1_2")
    set_caller(Caller("auto", "tester", frozenset()))
    with refused(Kind.NOT_FOUND, "EVENT_NOT_FOUND"):
        await desk.service.ResendEvent(request, None)
    set_caller(Caller("life", "tester", frozenset()))
    delivery = await desk.service.ResendEvent(request, None)
    assert (delivery.event_id, delivery.state, delivery.resend_count) == (
        "evt_1_2", events_pb2.Delivery.STATE_PENDING, 1,
    )  # fmt: skip
    with refused(Kind.INVALID, "request_id"):
        await desk.service.ResendEvent(events_pb2.ResendEventRequest(event_id="evt_1_2"), None)
    with refused(Kind.INVALID, "event_id"):
        await desk.service.ResendEvent(events_pb2.ResendEventRequest(request_id="r", event_id="e" * 65), None)
