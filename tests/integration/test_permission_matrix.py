"""Every method with every role over real gRPC: what happens is what docs/permissions.md says."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from domain.permissions import PLATFORM, PLATFORM_ROLES, Role
from protos.paydesk.v1 import events_pb2, identity_pb2_grpc
from servers.grpc_server import SERVICES
from tests.architecture.sources import ROOT
from tests.integration.office import Office, opened_office

TIMEOUT_S = 30.0
AT_ONCE = 16
# What an allowed call would never come back from without a mistake in it; everything else is called with an empty request.
MISTAKEN = {"/paydesk.v1.Events/Subscribe": events_pb2.SubscribeRequest(cursor="no place").SerializeToString()}


def methods() -> Iterator[tuple[str, bool]]:
    """Yield the path of every method of the product, and whether it answers many times."""
    for module in SERVICES:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                yield f"/{service.full_name}/{method.name}", method.server_streaming


def kept_matrix() -> dict[str, dict[str, bool]]:
    """Read docs/permissions.md."""
    table = (ROOT / "docs" / "permissions.md").read_text().partition("<!-- generated: permission-matrix -->\n")[2]
    lines = [re.split(r" *\| *", line.strip("| \n")) for line in table.splitlines() if line.startswith("|")]
    head, rows = lines[0][1:], lines[2:]
    return {f"/paydesk.v1.{row[0].strip('`')}": dict(zip(head, (cell == "ALLOW" for cell in row[1:]), strict=True)) for row in rows}


async def is_allowed(channel: grpc.aio.Channel, path: str, streams: bool, metadata: Any) -> bool:
    """Call with next to nothing; whatever comes of it but a missing role is an ALLOW. No answer is neither."""
    request = MISTAKEN.get(path, b"")
    try:
        if streams:
            async for _ in channel.unary_stream(path)(request, metadata=metadata, timeout=TIMEOUT_S):
                break
        else:
            await channel.unary_unary(path)(request, metadata=metadata, timeout=TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        if error.code() in (
            grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.DEADLINE_EXCEEDED
        ):  # fmt: skip
            raise
        status, info = rpc_status.from_call(error), error_details_pb2.ErrorInfo()
        return not (status and status.details and status.details[0].Unpack(info) and info.reason == "ROLE_MISSING")
    return True


async def column(office: Office, role: str) -> dict[str, bool]:
    tenant_id = PLATFORM if role in PLATFORM_ROLES else "pnc"
    stub = await office.stub(identity_pb2_grpc.IdentityStub, role, tenant_id=tenant_id, principal=role.lower())
    places = asyncio.Semaphore(AT_ONCE)
    async with grpc.aio.insecure_channel(office.target) as channel:

        async def one(path: str, streams: bool) -> tuple[str, bool]:
            async with places:
                return path, await is_allowed(channel, path, streams, office.metadata(stub))

        return dict(await asyncio.gather(*(one(path, streams) for path, streams in methods())))


async def test_what_each_role_may_call_is_what_the_page_says(emptied_database_url: str) -> None:
    kept = kept_matrix()
    async with opened_office(emptied_database_url, simulator=True) as office:
        seen = {role.value: await column(office, role) for role in Role}
    assert seen.keys() == set(Role) and kept.keys() == {path for path, _ in methods()}
    differing = [(path, role) for role, doors in seen.items() for path, allowed in doors.items() if kept[path][role] != allowed]
    assert not differing
    assert sum(map(len, seen.values())) == len(kept) * len(Role)
