"""Every method of every service is sent odd values: each is answered, or refused by name, and none breaks anything."""

import random
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from ops.call import Method, methods
from protos.paydesk.v1 import identity_pb2_grpc
from tests.integration.office import Office, opened_office

ROUNDS = 24
TIMEOUT_S = 5.0
DEPTH_MAX = 6
TENANT = ("TENANT_ADMIN", "PARTNER_API", "OPS", "FINANCE_MAKER", "FINANCE_CHECKER", "CHANNEL_ADMIN", "AUDITOR", "SRE", "RISK",
          "LOADTEST")  # fmt: skip
# Broken text of every sort, and texts that are something in one field and nonsense in another.
TEXTS = (
    "", " ", "a\x00b", "\x00", "\u202eabc", "\ud7ff\ue000", "one\ntwo", "'; DROP TABLE payments; --", "%s%n{0}", "保" * 300, "x" * 70_000,
    "-1", "0", "1", "99999999999999999999", "1/2/3", "//", "/", "A" * 64, "pnc", "life", "one", "one-pnc", "CAR", "CNY", "r-1",
    "MQ", "MDAwMQ==", "LTE", "AAAA", "{}", "[]", "null", "NaN", "true", "mailto://x", "wecombot://", "http://[::1", "whsec_!!", "²", "١",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 7, 1_000, 2**31 - 1, -(2**31))
LONG_NUMBERS = (*NUMBERS, 2**53, 10**12 + 1, 2**63 - 1, -(2**63))
FRACTIONS = (0.0, -0.0, 0.5, -1.0, 1e308, float("inf"), float("-inf"), float("nan"))
One = descriptor.FieldDescriptor


# What gets past the first checks, so that an odd value beside it is met further inside.
USUAL = ("pnc_one", "one", "AUTO", "CNY", "r-1", "order.expire_s", "VIEWER")


class Odd:
    """Fills messages with a share of odd values; the same seed, the same messages."""

    def __init__(self, seed: int, share: float) -> None:
        self._chance = random.Random(seed)
        self._share = share

    def fill(self, message: Any, depth: int = 0) -> None:
        """Give most fields a value."""
        if message.DESCRIPTOR.full_name == "google.protobuf.Value" and self._chance.random() < 0.5:
            message.number_value = self._chance.choice(FRACTIONS)
            return
        chosen = {self._chance.choice(oneof.fields).name for oneof in message.DESCRIPTOR.oneofs}
        for field in message.DESCRIPTOR.fields:
            if self._chance.random() < 0.25 or depth > DEPTH_MAX or (field.containing_oneof and field.name not in chosen):
                continue
            if field.message_type and field.message_type.GetOptions().map_entry:
                self._fill_map(getattr(message, field.name), field.message_type, depth)
            elif field.message_type and field.is_repeated:
                for _ in range(self._chance.randrange(3)):
                    self.fill(getattr(message, field.name).add(), depth + 1)
            elif field.message_type:
                getattr(message, field.name).SetInParent()
                self.fill(getattr(message, field.name), depth + 1)
            elif field.is_repeated:
                getattr(message, field.name).extend(self._value(field) for _ in range(self._chance.choice((1, 2, 3, 600))))
            else:
                setattr(message, field.name, self._value(field))

    def _fill_map(self, entries: Any, entry: Any, depth: int) -> None:
        value = entry.fields_by_name["value"]
        for _ in range(self._chance.randrange(4)):
            key = self._value(entry.fields_by_name["key"])
            if value.message_type:
                self.fill(entries[key], depth + 1)
            else:
                entries[key] = self._value(value)

    def _value(self, field: Any) -> Any:
        chance = self._chance
        if chance.random() > self._share and field.type in (One.TYPE_STRING, One.TYPE_INT32, One.TYPE_INT64):
            return chance.choice(USUAL) if field.type == One.TYPE_STRING else 1
        if field.type == One.TYPE_STRING:
            return chance.choice(TEXTS)
        if field.type == One.TYPE_BYTES:
            return chance.choice(TEXTS).encode()
        if field.type == One.TYPE_BOOL:
            return chance.random() < 0.5
        if field.enum_type:
            return chance.choice((*(value.number for value in field.enum_type.values), 99, -1))
        if field.cpp_type in (One.CPPTYPE_DOUBLE, One.CPPTYPE_FLOAT):
            return chance.choice(FRACTIONS)
        numbers = LONG_NUMBERS if field.cpp_type in (One.CPPTYPE_INT64, One.CPPTYPE_UINT64) else NUMBERS
        return abs(chance.choice(numbers[:-1])) if field.cpp_type in (One.CPPTYPE_UINT32, One.CPPTYPE_UINT64) else chance.choice(numbers)


def requests_of(method: Method) -> Iterator[Any]:
    """Yield the empty request, and odd ones; every other one is mostly in order."""
    yield method.request()
    for number in range(ROUNDS):
        request = method.request()
        Odd(sum(method.path.encode()) + number, (1.0, 0.15)[number % 2]).fill(request)
        if "request_id" in request.DESCRIPTOR.fields_by_name and number % 2:
            request.request_id = f"odd-{number}"
        yield request


async def broken(channel: grpc.aio.Channel, key: str, method: Method, request: Any) -> str:
    """Return how an answer is neither one nor a refusal by name; "" when it is one."""
    metadata = (("authorization", f"Bearer {key}"),)
    try:
        if method.streams:
            call: Any = channel.unary_stream(method.path)
            async for _ in call(request.SerializeToString(), metadata=metadata, timeout=0.2):
                pass
        else:
            send: Any = channel.unary_unary(method.path)
            await send(request.SerializeToString(), metadata=metadata, timeout=TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        if method.streams and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return ""
        status = rpc_status.from_call(error)
        info = error_details_pb2.ErrorInfo()
        if status is None or not status.details or not status.details[0].Unpack(info) or not info.reason:
            return f"{method.short_name}: {error.code().name} {error.details()!s:.100} to {request!s:.600}"
    return ""


async def key_of(office: Office, *roles: str, tenant_id: str) -> str:
    stub = await office.stub(identity_pb2_grpc.IdentityStub, *roles, tenant_id=tenant_id, principal=f"odd-{tenant_id}")
    return office.metadata(stub)[0][1].removeprefix("Bearer ")


@pytest.mark.parametrize("tenant_id", ["pnc", "platform"])
async def test_no_odd_value_breaks_a_method(emptied_database_url: str, tenant_id: str) -> None:
    roles = TENANT if tenant_id == "pnc" else ("PLATFORM_ADMIN",)
    found: list[str] = []
    async with opened_office(emptied_database_url, simulator=True) as office:
        key = await key_of(office, *roles, tenant_id=tenant_id)
        async with grpc.aio.insecure_channel(office.target) as channel:
            for method in methods():
                for request in requests_of(method):
                    found += filter(None, [await broken(channel, key, method, request)])
    assert not found, "\n".join(found[:20])
