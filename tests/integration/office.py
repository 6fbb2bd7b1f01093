"""The edge without Ray: services behind the real door, on real PostgreSQL, over real gRPC."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from actors.peers import PeerLost
from servers.desk import DeskView
from servers.gateway import Gateway
from servers.grpc_server import Parts, add_services
from servers.identity import KeyRing, key_digest, key_fingerprint, new_key
from servers.interceptor import Door
from servers.steady_grpc import steady_server
from servers.tenant_database import TenantDatabase
from servers.tls import Files, server_credentials
from storage import credentials
from storage import identity as identity_store
from storage.database import Database, transact
from storage.signed_heads import SignedHeads
from tests.harness import desk_document
from tests.vaults import new_vault

PEPPER = b"pepper of the office"
TIMEOUT_S = 10.0


class Office:
    """Calls as whoever is named; what needs a router or a connector is not here."""

    def __init__(self, database: Database, view: DeskView, target: str, secure_target: str) -> None:
        self.database = database
        self.view = view
        self.target = target
        self.secure_target = secure_target  # where TLS is spoken, if the office was opened with it
        self._channels: dict[tuple[str, str, tuple[str, ...]], grpc.aio.Channel] = {}
        self._keys: dict[tuple[str, str, tuple[str, ...]], str] = {}

    async def stub(self, kind: Any, *roles: str, tenant_id: str = "pnc", principal: str = "zhang") -> Any:
        """Return a stub of a service that calls as a principal with roles; its calls have a deadline."""
        key = (tenant_id, principal, roles)
        if key not in self._channels:
            text = new_key()
            await self.database.run(
                identity_store.enrol, tenant_id=tenant_id, principal_id=principal, roles=roles, by="office"
            )
            await self.database.run(
                identity_store.add_key, key_digest=key_digest(PEPPER, key_fingerprint(text)), key_id=f"key_{len(self._channels)}",
                tenant_id=tenant_id, principal=principal, roles=roles,
            )  # fmt: skip
            await self.reread()
            self._channels[key] = grpc.aio.insecure_channel(self.target, interceptors=[_Signed(text)])
            self._keys[key] = text
        made = kind(self._channels[key])
        made.metadata = (("authorization", f"Bearer {self._keys[key]}"),)
        return made

    async def stub_with(self, kind: Any, key_text: str) -> Any:
        """Return a stub of a service that calls with a key, once the edge has seen what became of it."""
        await self.reread()
        channel = grpc.aio.insecure_channel(self.target, interceptors=[_Signed(key_text)])
        self._channels["", key_text, ()] = channel
        return kind(channel)

    @staticmethod
    def metadata(stub: Any) -> tuple[tuple[str, str], ...]:
        """Return what a streaming call of this stub must carry; the others carry it by themselves."""
        return stub.metadata  # type: ignore[no-any-return]

    async def reread(self) -> None:
        """Have the edge see what has changed in the database at once."""
        await self.view._read()

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()


class _Signed(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    def __init__(self, key: str) -> None:
        self._metadata = (("authorization", f"Bearer {key}"),)

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        named = details._replace(metadata=self._metadata, timeout=details.timeout or TIMEOUT_S)
        return await continuation(named, request)


class _Nobody:
    """A directory in which every actor is just restarting."""

    router_count = 1

    def shard_of(self, tenant_id: str) -> int:
        return 0

    def peer(self, name: str) -> "_Nobody":
        return self

    async def call(self, method: str, *arguments: Any, timeout_s: float = 0) -> Any:
        raise PeerLost(method)


async def reason_of(call: Any) -> str:
    """Return why a call is refused, as a program reads it; "OK" when it is not."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        info = error_details_pb2.ErrorInfo()
        rpc_status.from_call(error).details[0].Unpack(info)
        return info.reason
    return "OK"


@asynccontextmanager
async def opened_office(
    database_url: str, channel_ids: Sequence[str] = ("one", "two"), *, simulator: bool = False,
    tls: Files | None = None, walled: bool = True,
) -> AsyncIterator[Office]:
    """Open an office for the tenants of the harness, with an account each on every channel."""
    database = Database(database_url, pool_size=2)
    vault = new_vault()
    transact(database.engine, lambda connection: credentials.install(connection, vault, desk_document(channel_ids)))
    keys = KeyRing(PEPPER)
    view = DeskView(database, keys)
    await view.start()
    server = steady_server()
    drawer = tempfile.TemporaryDirectory(prefix="paydesk-office-")
    heads = SignedHeads(Path(drawer.name))
    nobody = cast("Any", _Nobody())
    gateway = Gateway(name="office", directory=nobody, database=database)
    authority = tls.client_authority if tls else None
    behind = TenantDatabase(database, walled=walled)
    door = Door(server, keys, behind, CollectorRegistry(), certificates=authority is not None)
    add_services(door, Parts(gateway, view, nobody, behind, heads, PEPPER, vault, authority), simulator=simulator)
    port = server.add_insecure_port("127.0.0.1:0")
    secure_port = server.add_secure_port("localhost:0", server_credentials(tls)) if tls else 0
    await server.start()
    office = Office(database, view, f"127.0.0.1:{port}", f"localhost:{secure_port}")
    try:
        yield office
    finally:
        await office.close()
        await server.stop(None)
        database.close()
        drawer.cleanup()
