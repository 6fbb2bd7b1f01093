"""The one door: every call is authenticated, allowed, in time and well formed before a service sees it.

It also is the one place where refusals become gRPC statuses. Anything else that a service raises is a bug: it is logged
whole, and the caller is told INTERNAL without a word of it.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import grpc
import structlog
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from prometheus_client import CollectorRegistry, Counter

from actors.peers import PeerLost
from domain.refusals import Kind, Refusal, Refused, Violation, invalid
from servers import identity
from servers.refusals import grpc_status
from storage import audit
from storage.database import Database, DatabaseUnavailable

log = structlog.get_logger()

# The stubs have type parameters that do not exist when the code runs, and a context that is not the asynchronous one.
_Handler = Any
_Context = Any

_INTERNAL = "something broke on our side; what was asked may have been done: ask with the same request_id"
# Something of ours is being started again.
_AWAY = Refusal(
    Kind.UNAVAILABLE, "MAY_HAVE_HAPPENED", "it is not known whether this was done; repeat it with the same request_id"
)
# An entry says what was asked for, up to here: some of it nobody has checked.
ASKED_LENGTH_MAX = 1_000
OBJECT_ID_LENGTH_MAX = 96
# Streams live until the caller hangs up.
_WITHOUT_DEADLINE = frozenset({"/paydesk.v1.Events/Subscribe", "/paydesk.v1.Simulator/ExportTruth", "/paydesk.v1.Audit/ExportAudit"})


class Door:
    """Stands between a server and its services: takes their handlers, and hands wrapped ones to the server.

    The generated `add_…Servicer_to_server` functions take it for a server. A grpc.aio interceptor would do the same at
    every call, for a tenth of what a bare call costs; this wraps each handler once.
    """

    def __init__(
        self, server: grpc.aio.Server, keys: identity.KeyRing, database: Database, registry: CollectorRegistry, *,
        certificates: bool = False,
    ) -> None:
        self._server = server
        self._keys = keys
        self._database = database
        self._certificates = certificates
        self._calls = Counter("grpc_calls", "Calls by method and outcome", ["method", "outcome"], registry=registry)

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Ignore the generic form: the same handlers come in the registered form too."""

    def add_registered_method_handlers(
        self, service_name: str, handlers: Mapping[str, _Handler]
    ) -> None:
        """Wrap the handlers of one service, and register them."""
        wrapped = {name: self._wrap(f"/{service_name}/{name}", handler) for name, handler in handlers.items()}
        self._server.add_registered_method_handlers(service_name, wrapped)

    def _wrap(self, method: str, handler: _Handler) -> _Handler:
        """Put the checks before a handler. It gets raw bytes, so that a malformed message is refused like any other."""
        done = self._calls.labels(method, "OK")
        if handler.response_streaming:
            behaviour = self._streaming(method, handler.unary_stream, handler.request_deserializer)
            return grpc.unary_stream_rpc_method_handler(behaviour, None, handler.response_serializer)
        unary, read, noted = handler.unary_unary, handler.request_deserializer, identity.NOTED_READS.get(method)

        async def serve(raw: bytes, context: _Context) -> Any:
            try:
                self._admit(method, context)
                request = _read(read, raw)
                answer = await unary(request, context)
                if noted is not None:
                    await self._note(method, request, *noted)
            except Refused as refused:
                await self._refuse(method, context, refused.refusal)
            except (DatabaseUnavailable, PeerLost):
                await self._refuse(method, context, _AWAY)
            except Exception:
                await self._break(method, context)
            else:
                done.inc()
                return answer

        return grpc.unary_unary_rpc_method_handler(serve, None, handler.response_serializer)

    def _streaming(self, method: str, behaviour: Any, read: Any) -> Any:
        async def serve(raw: bytes, context: _Context) -> AsyncIterator[Any]:
            try:
                identity.set_readmission(self._admit(method, context))
                async for answer in behaviour(_read(read, raw), context):
                    yield answer
            except Refused as refused:
                await self._refuse(method, context, refused.refusal)
            except (DatabaseUnavailable, PeerLost):
                await self._refuse(method, context, _AWAY)
            except Exception:
                await self._break(method, context)

        return serve

    def _admit(self, method: str, context: _Context) -> Callable[[], identity.Caller]:
        """Let a call in, or raise Refused; return what finds out anew who makes it."""
        authorization = ""
        for key, value in context.invocation_metadata() or ():
            if key == identity.METADATA_KEY:
                authorization = str(value)
        shown = identity.shown_by(context.auth_context()) if self._certificates else None

        def find() -> identity.Caller:
            who = self._keys.authenticate(authorization, shown)
            return who._replace(address=context.peer(), scope=identity.allow(method, who))

        who = find()
        if context.time_remaining() is None and method not in _WITHOUT_DEADLINE:
            raise Refused(
                Refusal(
                    Kind.INVALID, "DEADLINE_MISSING", "every call needs a deadline, so that nobody waits for ever",
                    (Violation("deadline", "is missing"),),
                )
            )  # fmt: skip
        identity.set_caller(who)
        return find

    async def _note(self, method: str, request: Message, object_kind: str, id_field: str) -> None:
        """Write down that something was read; the answer leaves once that is committed."""
        who, operation = identity.caller(), method.rpartition(".")[2].replace("/", ".")
        object_id = str(getattr(request, id_field))[:OBJECT_ID_LENGTH_MAX] if id_field else ""
        asked = json_format.MessageToJson(request, preserving_proto_field_name=True, indent=None, ensure_ascii=False)
        entry = audit.Entry(
            who.tenant_id, who.principal, operation, object_kind, object_id, None, {"asked": asked[:ASKED_LENGTH_MAX]},
            address=who.address,
        )  # fmt: skip
        await self._database.run(audit.append, [entry])

    async def _refuse(self, method: str, context: _Context, refusal: Refusal) -> None:
        self._calls.labels(method, refusal.reason if refusal.kind is not Kind.INVALID else "INVALID").inc()
        await context.abort_with_status(grpc_status(refusal))

    async def _break(self, method: str, context: _Context) -> None:
        if context.done():
            return
        self._calls.labels(method, "INTERNAL").inc()
        log.exception("call_broke", method=method)  # noqa: LOG004 - called where an exception is being handled
        await context.abort(grpc.StatusCode.INTERNAL, _INTERNAL)


def _read(read: Callable[[bytes], Any], raw: bytes) -> Any:
    """Read a message. Raise Refused for what is none, and for texts with a zero byte, which PostgreSQL cannot hold."""
    try:
        message = read(raw)
    except DecodeError as error:
        raise Refused(invalid(Violation("(message)", "is not a message of this method"))) from error
    # Few messages have a zero byte anywhere: numbers are written without, and those that are 0 not at all.
    if b"\0" in raw and (found := [*_zero_bytes(message, "")]):
        raise Refused(invalid(*found))
    return message


def _zero_bytes(message: Any, path: str) -> Iterator[Violation]:
    for field, value in message.ListFields():
        if field.message_type and field.message_type.GetOptions().map_entry:
            parts = [(f"{path}{field.name}", part) for pair in value.items() for part in pair]
        elif field.is_repeated:
            parts = [(f"{path}{field.name}[{place}]", part) for place, part in enumerate(value)]
        else:
            parts = [(f"{path}{field.name}", value)]
        for name, part in parts:
            if isinstance(part, str) and "\0" in part:
                yield Violation(name, "has a zero byte, which can't be printed")
            elif isinstance(part, Message):
                yield from _zero_bytes(part, f"{name}.")
