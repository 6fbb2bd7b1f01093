"""`paydesk call`: calls any method of the API, JSON in and JSON out."""

import difflib
import json
import secrets
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import grpc
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from ops.dialing import dial
from ops.mistakes import USAGE, Mistake
from protos.paydesk.v1 import (
    approvals_pb2,
    audit_pb2,
    channels_pb2,
    credentials_pb2,
    events_pb2,
    identity_pb2,
    payments_pb2,
    routing_pb2,
    simulator_pb2,
    tenants_pb2,
)

_MODULES = (
    payments_pb2, channels_pb2, routing_pb2, tenants_pb2, events_pb2, approvals_pb2, identity_pb2, credentials_pb2,
    audit_pb2, simulator_pb2,
)  # fmt: skip


class BadCall(Mistake):
    """What is wrong with a call before it is made; takes one text."""

    exit_code = USAGE


class Method(NamedTuple):
    """A method of the API."""

    path: str
    request: Any
    response: Any
    streams: bool

    @property
    def short_name(self) -> str:
        """Return e.g. Payments/CreatePayment."""
        return self.path.removeprefix("/paydesk.v1.")


def methods() -> list[Method]:
    """Return every method, service by service."""
    return [
        Method(f"/{service.full_name}/{method.name}", GetMessageClass(method.input_type),
               GetMessageClass(method.output_type), method.server_streaming)
        for module in _MODULES
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]  # fmt: skip


def find(name: str) -> Method:
    """Find a method by `Service/Method`, with or without the package, or by its own name. Raise BadCall."""
    wanted = name.removeprefix("/").removeprefix("paydesk.v1.").replace(".", "/").casefold()
    every = methods()
    found = [m for m in every if wanted in (m.short_name.casefold(), m.short_name.rpartition("/")[2].casefold())]
    if len(found) == 1:
        return found[0]
    names = [method.short_name for method in every]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    raise BadCall(f"there is no method {name!r}; {'near it are ' + ', '.join(near) if near else 'see --list'}")


def fields(method: Method) -> str:
    """Describe the request of a method: a line per field."""
    return "\n".join(_field_lines(method.request.DESCRIPTOR, ""))


def _field_lines(message: Any, indent: str) -> Iterator[str]:
    for field in message.fields:
        many = "repeated " if field.is_repeated else ""
        if field.enum_type:
            kinds = " | ".join(value.name for value in field.enum_type.values if value.number)
            yield f"{indent}{field.name}: {many}{kinds}"
        elif field.message_type and field.message_type.full_name.startswith("paydesk."):
            yield f"{indent}{field.name}: {many}{field.message_type.name}"
            yield from _field_lines(field.message_type, indent + "  ")
        else:
            named = field.message_type.name if field.message_type else _SCALARS.get(field.type, "number")
            yield f"{indent}{field.name}: {many}{named}"


_SCALARS = {9: "text", 8: "true or false", 12: "bytes"}


def read_request(method: Method, text: str) -> Any:
    """Read a JSON object as the method's request; a missing request_id is made up. Raise BadCall."""
    try:
        document = json.loads(text or "{}")
    except ValueError as error:
        raise BadCall(f"the request is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadCall('the request must be a JSON object such as {} or {"order_no": "A-1"}')
    request = method.request()
    try:
        json_format.ParseDict(document, request)
    except json_format.ParseError as error:
        problem = str(error).splitlines()[0].rstrip(".")
        raise BadCall(f"{problem}; `paydesk call {method.short_name} --fields` lists them") from error
    mutates = "request_id" in method.request.DESCRIPTOR.fields_by_name and not method.short_name.endswith("/GetPayment")
    if mutates and not request.request_id:
        request.request_id = f"call-{secrets.token_hex(8)}"
        print(f"request_id {request.request_id}: repeat it to repeat the answer", file=sys.stderr)
    return request


def call(method: Method, request: Any, *, target: str, key: str, timeout_s: float, limit: int) -> Iterator[str]:
    """Call, and yield every answer as JSON; of a stream at most `limit`, 0 for all. Raise grpc.RpcError."""
    metadata = (("authorization", f"Bearer {key}"),)
    with dial(target) as channel:
        write, read = method.request.SerializeToString, method.response.FromString
        if method.streams:
            stream = channel.unary_stream(method.path, write, read)(request, metadata=metadata)
            for answer in islice(stream, limit or None):
                yield as_json(answer, indent=None)
            stream.cancel()
        else:
            yield as_json(channel.unary_unary(method.path, write, read)(request, metadata=metadata, timeout=timeout_s))


def has_sandbox(target: str, key: str) -> bool:
    """Tell whether a deployment has a sandbox, whose truth can be asked for. Raise grpc.RpcError."""
    method = find("Simulator/GetStats")
    try:
        list(call(method, method.request(), target=target, key=key, timeout_s=20, limit=0))
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            return False
        raise
    return True


def as_json(message: Any, *, indent: int | None = 2) -> str:
    """Write a message as JSON with the names of the .proto files."""
    return json_format.MessageToJson(message, preserving_proto_field_name=True, indent=indent, ensure_ascii=False)


def refusal_text(error: Any) -> str:
    """Write what a call was refused with: code, named reason, and the message or every field that breaks a rule."""
    status = rpc_status.from_call(error)
    reason, told, lines, fields = "", str(error.details()), [], []
    for detail in status.details if status else ():
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = info.reason
            known = dict(info.metadata)
            if known.pop("retryable", "") == "true":
                lines.append("  the same call may do later")
            lines += [f"  {name}: {value}" for name, value in sorted(known.items())]
        elif detail.Unpack(bad):
            fields = [f"{violation.field}: {violation.description}" for violation in bad.field_violations]
    if told == "; ".join(fields) and len(fields) > 1:
        told, lines = "", [*(f"  {field}" for field in fields), *lines]
    return "\n".join([f"{f'{error.code().name} {reason}'.strip()}: {told}".rstrip(), *lines])
