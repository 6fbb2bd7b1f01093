"""The Events service: the tenant's stream of events, and the state of its webhooks."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from domain import orders
from domain.delivery import event_id, payload, payment_at
from domain.refusals import Kind, Refusal, Refused, Violation, invalid
from protos.paydesk.v1 import events_pb2, events_pb2_grpc
from servers import pages, translate
from servers.identity import caller, reaches, readmit
from storage import events
from storage.database import Database, DatabaseUnavailable

# How soon an event is seen, and how rarely a quiet stream looks.
POLL_S = 0.1
POLL_S_MAX = 0.5
BATCH = 200
# Each open stream asks the database a few times a second.
SUBSCRIBERS_MAX = 200
# No tenant takes them all.
SUBSCRIBERS_OF_TENANT_MAX = 50

_STATES = {value: name.removeprefix("STATE_") for name, value in events_pb2.Delivery.State.items()}
_STATE_VALUES: dict[str, Any] = {name: value for value, name in _STATES.items()}


class EventsService(events_pb2_grpc.EventsServicer):
    """Tells what happened. Serves rows of the outbox as they are; the notifier delivers the same rows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._subscribers = Counter[str]()

    async def Subscribe(self, request: events_pb2.SubscribeRequest, context: Any) -> AsyncIterator[events_pb2.Event]:
        """Stream the tenant's events after a cursor until the caller hangs up."""
        tenant_id, cursor = caller().tenant_id, _cursor_of(request)
        if self._subscribers[tenant_id] >= SUBSCRIBERS_OF_TENANT_MAX or self._subscribers.total() >= SUBSCRIBERS_MAX:
            raise Refused(Refusal(Kind.OVERLOADED, "TOO_MANY_STREAMS", "too many event streams are open here"))
        self._subscribers[tenant_id] += 1
        try:
            if request.from_now:
                cursor = await self._ask(events.head_cursor)
            pause_s = POLL_S
            while True:
                readmit()
                told = await self._ask(events.read_stream, tenant_id=tenant_id, cursor=cursor, limit=BATCH)
                for one in told:
                    if reaches(one.payment.institution_id, one.payment.product_code):
                        yield _event_message(one)
                    cursor = one.cursor
                pause_s = POLL_S if told else min(pause_s * 1.5, POLL_S_MAX)
                if len(told) < BATCH:
                    await asyncio.sleep(pause_s)
        finally:
            self._subscribers[tenant_id] -= 1

    async def ListDeliveries(
        self, request: events_pb2.ListDeliveriesRequest, context: Any
    ) -> events_pb2.ListDeliveriesResponse:
        """List webhook deliveries, newest first."""
        if request.state not in _STATES:
            raise Refused(invalid(Violation("state", f"{request.state} is no state")))
        if request.order_no:
            _check(order_no=request.order_no)
        state = _STATES[request.state] if request.state else ""
        page_token = pages.key_of(request.page_token)
        _check_place("page_token", page_token)
        page = await self._ask(
            events.list_deliveries,
            tenant_id=caller().tenant_id,
            page_size=pages.size(request.page_size),
            page_token=page_token,
            state=state,
            order_no=request.order_no,
            scope=caller().scope,
        )
        return events_pb2.ListDeliveriesResponse(
            deliveries=[_delivery_message(delivery) for delivery in page.deliveries],
            next_page_token=pages.token(page.next_page_token) if page.next_page_token else "",
        )

    async def ResendEvent(self, request: events_pb2.ResendEventRequest, context: Any) -> events_pb2.Delivery:
        """Send a delivered or dead event again."""
        _check(request_id=request.request_id)
        if not 1 <= len(request.event_id) <= 64 or not request.event_id.isprintable():
            raise Refused(invalid(Violation("event_id", "must have 1 to 64 printable characters")))
        delivery = await self._ask(
            events.resend, tenant_id=caller().tenant_id, event_id=request.event_id, request_id=request.request_id,
            principal=caller().principal, address=caller().address, scope=caller().scope,
        )  # fmt: skip
        if delivery is None:
            raise Refused(translate.not_found("EVENT_NOT_FOUND", f"there is no event {request.event_id!r}"))
        return _delivery_message(delivery)

    async def _ask(self, work: Any, **arguments: Any) -> Any:
        try:
            return await self._database.run(work, **arguments)
        except DatabaseUnavailable as error:
            refusal = Refusal(Kind.UNAVAILABLE, "DATABASE_AWAY", "the database is away for a moment: ask again")
            raise Refused(refusal) from error


def _cursor_of(request: events_pb2.SubscribeRequest) -> str:
    if request.cursor and request.from_now:
        raise Refused(invalid(Violation("from_now", "excludes cursor")))
    _check_place("cursor", request.cursor)
    return request.cursor


def _check_place(field: str, place: str) -> None:
    try:
        if place:
            events.parse_cursor(place)
    except ValueError as error:
        raise Refused(invalid(Violation(field, str(error)))) from error


def _check(**fields: str) -> None:
    violations = list(orders.text_violations(**fields))
    if violations:
        raise Refused(invalid(*violations))


def _event_message(told: events.Told) -> events_pb2.Event:
    happening = told.happening
    return events_pb2.Event(
        event_id=event_id(told.payment.payment_id, happening.revision),
        event_type=happening.event_type,
        cursor=told.cursor,
        order_no=told.payment.order_no,
        create_time=translate.timestamp(happening.create_ms),
        payment=translate.payment_message(payment_at(told.payment, happening)),
        payload_json=payload(told.payment, happening),
    )


def _delivery_message(delivery: events.Delivery) -> events_pb2.Delivery:
    return events_pb2.Delivery(
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        order_no=delivery.order_no,
        payment_id=delivery.payment_id,
        state=_STATE_VALUES[delivery.state],
        try_count=delivery.try_count,
        resend_count=delivery.resend_count,
        last_error=delivery.last_error,
        create_time=translate.timestamp(delivery.create_ms),
        next_try_time=translate.timestamp(delivery.next_try_ms),
        deliver_time=translate.timestamp(delivery.deliver_ms),
    )
