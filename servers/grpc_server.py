"""The gRPC server: all services behind one door, on a port that several gateways may share."""

import asyncio
import os
from collections import Counter as Tally
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry, Gauge

from actors import memory, meters
from actors.directory import Directory
from protos.paydesk.v1 import (
    approvals_pb2,
    approvals_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    channels_pb2,
    channels_pb2_grpc,
    credentials_pb2,
    credentials_pb2_grpc,
    events_pb2,
    events_pb2_grpc,
    identity_pb2,
    identity_pb2_grpc,
    payments_pb2,
    payments_pb2_grpc,
    routing_pb2,
    routing_pb2_grpc,
    simulator_pb2,
    simulator_pb2_grpc,
    tenants_pb2,
    tenants_pb2_grpc,
)
from servers import neighbourhoods
from servers.approvals import ApprovalsService
from servers.audit import AuditService
from servers.channels import ChannelsService
from servers.credentials import CredentialsService
from servers.desk import DeskView
from servers.events import EventsService
from servers.gateway import Gateway, Limits
from servers.identity import KeyRing
from servers.interceptor import Door
from servers.payments import PaymentsService
from servers.principals import IdentityService
from servers.routing import RoutingService
from servers.simulator import SimulatorService
from servers.steady_grpc import steady_server
from servers.tenant_database import TenantDatabase
from servers.tenants import TenantsService
from servers.tls import Files, server_credentials
from storage import row_security
from storage.database import Database
from storage.signed_heads import SignedHeads
from storage.vault import Vault

log = structlog.get_logger()

METADATA_BYTES_MAX = 8 * 1024
# Connections of the gateway: reads are batched, so a few serve many callers.
POOL_SIZE = 3
# More would take the files that the gateway needs itself. gRPC's core accepts them, and does not tell of which address.
CONNECTIONS_MAX = 5_000
# Whoever balances load watches with one stream from each machine, and needs no key.
WATCHERS_OF_ADDRESS_MAX = 20
LAG_CHECK_S = 0.5


@dataclass(frozen=True, slots=True)
class Listening:
    """Where and how much the server takes."""

    address: str
    message_bytes_max: int
    concurrent_calls_max: int
    drain_s: float
    reflection: bool
    simulator: bool
    limits: Limits
    tls: Files | None
    local_socket: Path  # in the clear beside TLS, for the commands of this machine


@dataclass(frozen=True, slots=True)
class Parts:
    """What services are made of; `database` shows each caller its own tenant."""

    gateway: Gateway
    desk: DeskView
    directory: Directory
    database: Database
    heads: SignedHeads
    pepper: bytes
    vault: Vault
    client_authority: Path | None = None


SERVICES = (
    payments_pb2, channels_pb2, routing_pb2, tenants_pb2, events_pb2, approvals_pb2, identity_pb2, credentials_pb2, audit_pb2,
    simulator_pb2,
)  # fmt: skip


def service_names() -> list[str]:
    """Return the full names of all services of the product."""
    return [service.full_name for module in SERVICES for service in module.DESCRIPTOR.services_by_name.values()]


def options(listening: Listening) -> list[tuple[str, int]]:
    """Return the channel options: sizes bounded, the port shared, idle pings tolerated but not floods."""
    return [
        ("grpc.max_receive_message_length", listening.message_bytes_max),
        ("grpc.max_send_message_length", 16 << 20),
        ("grpc.max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.so_reuseport", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.max_ping_strikes", 5),
        ("grpc.server_handshake_timeout_ms", 10_000),
        ("grpc.max_connection_idle_ms", 900_000),  # without a call; who comes back connects anew by itself
        ("grpc.max_allowed_incoming_connections", CONNECTIONS_MAX),
    ]


def add_services(door: Door, parts: Parts, *, simulator: bool) -> None:
    """Put every service behind the door."""
    gateway, desk, directory, database = parts.gateway, parts.desk, parts.directory, parts.database
    payments_pb2_grpc.add_PaymentsServicer_to_server(PaymentsService(gateway, database, desk, parts.vault), door)
    channels_pb2_grpc.add_ChannelsServicer_to_server(ChannelsService(desk, directory, database), door)
    routing_pb2_grpc.add_RoutingServicer_to_server(RoutingService(gateway, desk, database), door)
    events_pb2_grpc.add_EventsServicer_to_server(EventsService(database), door)
    tenants_pb2_grpc.add_TenantsServicer_to_server(TenantsService(database, desk), door)
    approvals_pb2_grpc.add_ApprovalsServicer_to_server(ApprovalsService(database), door)
    identity_pb2_grpc.add_IdentityServicer_to_server(IdentityService(database, parts.pepper, parts.client_authority), door)
    credentials_pb2_grpc.add_CredentialsServicer_to_server(CredentialsService(desk, database, parts.vault), door)
    audit_pb2_grpc.add_AuditServicer_to_server(AuditService(database, parts.heads), door)
    if simulator:
        simulator_pb2_grpc.add_SimulatorServicer_to_server(SimulatorService(directory.peer("simulator")), door)


async def serve(
    *,
    settings: Listening,
    database_url: str,
    directory: Directory,
    pepper: bytes,
    heads: SignedHeads,
    vault: Vault,
    stop: asyncio.Event,
) -> None:
    """Serve until `stop`, then drain: health first, then the calls under way."""
    database = Database(database_url, pool_size=POOL_SIZE)
    registry = CollectorRegistry()
    keys = KeyRing(pepper)
    desk = DeskView(database, keys)
    await desk.start()
    gateway = Gateway(name=f"gateway-{os.getpid()}-{os.urandom(3).hex()}", directory=directory, database=database,
                      limits=settings.limits)  # fmt: skip
    gateway.start()
    meters.Depths(registry, "gateway", gateway.depths)
    if missing := await database.run(row_security.standing):
        log.warning("tenants_not_walled_in_database", missing=missing)
    walled = TenantDatabase(database, walled=not missing)
    server = steady_server(options=options(settings), calls_max=settings.concurrent_calls_max)
    authority = settings.tls.client_authority if settings.tls else None
    door = Door(server, keys, walled, registry, certificates=authority is not None)
    parts = Parts(gateway, desk, directory, walled, heads, pepper, vault, authority)
    add_services(door, parts, simulator=settings.simulator)
    healthy = HealthService()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    if settings.reflection:
        names = (*service_names(), health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
    if settings.tls is not None:
        left = Gauge("tls_cert_days_left", "Days until the certificate that we show ends", registry=registry)
        left.set_function(settings.tls.days_left)
    _listen(server, settings)
    await server.start()
    await _set_health(healthy, health_pb2.HealthCheckResponse.SERVING)
    log.info("gateway_serving", address=settings.address)
    memory.settle()
    loop = asyncio.get_running_loop()
    background = [
        loop.create_task(desk.follow()),
        loop.create_task(desk.note_uses()),
        loop.create_task(meters.hand_over(registry, database, "gateway")),
        loop.create_task(_measure(gateway, registry)),
    ]
    await stop.wait()
    await _set_health(healthy, health_pb2.HealthCheckResponse.NOT_SERVING)
    await server.stop(settings.drain_s)
    await gateway.stop()
    for task in background:
        task.cancel()
    database.close()


class HealthService(health.aio.HealthServicer):  # type: ignore[misc]
    """Tells everybody whether we serve. Its streams are the only calls that a stranger can keep open."""

    def __init__(self) -> None:
        super().__init__()
        self._watchers = Tally[str]()

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> None:
        """Tell of every change, to so many at once from one address, and of what there is."""
        place = neighbourhoods.of_peer(context.peer())
        if request.service not in self._server_status:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        if self._watchers[place] >= WATCHERS_OF_ADDRESS_MAX:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many of this address are watching")
        self._watchers[place] += 1
        try:
            await super().Watch(request, context)
        finally:
            self._watchers[place] -= 1
            if not self._watchers[place]:
                del self._watchers[place]


def _listen(server: grpc.aio.Server, settings: Listening) -> None:
    if settings.tls is None:
        server.add_insecure_port(settings.address)
        return
    server.add_secure_port(settings.address, server_credentials(settings.tls))
    before = os.umask(0o177)
    try:
        server.add_insecure_port(f"unix:{settings.local_socket}")
    finally:
        os.umask(before)


async def _set_health(servicer: health.aio.HealthServicer, status: int) -> None:
    for name in ("", *service_names()):
        await servicer.set(name, status)


async def _measure(gateway: Gateway, registry: CollectorRegistry) -> None:
    """Export how late the event loop runs and how many calls wait."""
    lag = Gauge("event_loop_lag_seconds", "How late timers fire", ["role"], registry=registry)
    waiting = Gauge("calls_waiting", "Calls that wait for an outcome", registry=registry)
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + LAG_CHECK_S
        await asyncio.sleep(LAG_CHECK_S)
        lag.labels("gateway").set(round(max(0.0, loop.time() - due_s), 3))
        waiting.set(gateway.waiting)
