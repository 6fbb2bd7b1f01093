"""The processes of a deployment, each an ordinary program that joins Ray as a driver.

    engine    starts (or joins) Ray, starts the actors, replaces those that hang
    gateway   serves gRPC; several may share the port
    ingress   serves callbacks, metrics and health

`paydesk serve` starts them and starts them again: all at once, so that they load while the database starts, of which they
hear on their standard input. Each can be run by hand on another node of a cluster:
`python -m ops.processes gateway`, with the settings in the environment.
"""

import asyncio
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import structlog
import uvloop
from prometheus_client import CollectorRegistry

from actors import blueprints, environment, logs, meters
from actors.directory import host_of
from actors.peers import PeerLost, pack
from actors.shell import Inhabitant
from actors.supervisor import Supervisor
from ops import wires
from ops.settings import LOOPBACK, Settings, pepper
from storage import desk as desk_store
from storage.changes import Changes
from storage.database import Database, DatabaseUnavailable
from storage.signed_heads import SignedHeads

log = structlog.get_logger()

# When no actor at all answers, Ray itself is gone, and only a new one helps.
RAY_GONE_S = 12.0
SUPERVISOR_CHECK_S = 1.0
# A new channel is routed to within a second; until its connector is there its payments wait in the mailbox.
ADMIT_S = 1.0
# How often what waits for the actors looks whether they have answered.
HEAR_S = 0.05
# A connection of a stranger is a file too; some machines allow a thousand.
FILES_MAX = 65_536


def inhabitants(settings: Settings, desk: desk_store.Desk) -> list[Inhabitant]:
    """Return who lives in this deployment."""
    url, directory = settings.database_url, settings.make_directory()
    notify_url = f"{settings.public_url}/callbacks"
    found = []
    if settings.simulator:
        found.append(Inhabitant("simulator", blueprints.simulator, _sandbox(settings, desk)))
    for channel_id in desk.channels:
        arguments = {
            "channel_id": channel_id, "database_url": url, "directory": directory, "key_file": str(settings.key_file()),
        }  # fmt: skip
        found.append(Inhabitant(f"channel/{channel_id}", blueprints.connector, arguments))
    for shard in range(settings.routers):
        arguments = {"shard": shard, "database_url": url, "notify_url": notify_url, "directory": directory}
        found.append(Inhabitant(f"router/{shard}", blueprints.router, arguments))
    found.append(Inhabitant("sweeper", blueprints.sweeper, {"database_url": url, "directory": directory}))
    sealing = {"database_url": url, "data_dir": str(settings.directory()), "heads_file": str(settings.audit_heads_file or "")}
    found.append(Inhabitant("sealer", blueprints.sealer, sealing))
    reminding = {
        "database_url": url, "key_file": str(settings.key_file()), "allow_private": settings.allow_private_webhooks,
    }  # fmt: skip
    found.append(Inhabitant("reminder", blueprints.reminder, reminding))
    telling = {
        "database_url": url,
        "allow_private": settings.allow_private_webhooks,
        "schedule_factor": settings.notify_schedule_factor,
        "key_file": str(settings.key_file()),
    }
    found.append(Inhabitant("notifier", blueprints.notifier, telling))
    return found


def hosts(settings: Settings, desk: desk_store.Desk) -> dict[str, list[Inhabitant]]:
    """Return the inhabitants by the host in which the placement puts them."""
    placed: dict[str, list[Inhabitant]] = {}
    for inhabitant in inhabitants(settings, desk):
        placed.setdefault(host_of(inhabitant.role, settings.placement), []).append(inhabitant)
    return placed


def _sandbox(settings: Settings, desk: desk_store.Desk) -> dict[str, Any]:
    rows = [row for row in desk.channels.values() if row.kind == "sandbox" or wires.is_simulated(row)]
    profiles = [{"channel_id": row.channel_id, **row.settings.get("profile", {})} for row in rows]
    return {
        "directory": str(settings.simulator_directory()),
        "seed": settings.simulator_seed,
        "profiles": profiles,
        "wired": [tuple(wanted) for wanted in wires.wanted(desk)],
        "address": (wires.HOST, settings.simulator_http_port),
        "database_url": settings.database_url,
        "key_file": str(settings.key_file()),
    }


async def engine(settings: Settings) -> None:
    """Start the actors and watch them; end when Ray is gone or we are told to."""
    from actors import system

    stop = _stop_event()
    database = Database(settings.database_url, pool_size=1)
    desk = await database.run(desk_store.load)
    placed = hosts(settings, desk)
    handles = [system.start_host(name, living) for name, living in placed.items()]
    registry = CollectorRegistry()
    supervisor = Supervisor(
        {name: system.HostPeer(name) for name in placed}, replace=system.replace_host, registry=registry
    )
    watching = asyncio.create_task(supervisor.run())
    admitting = asyncio.create_task(_admit(settings, database, placed, supervisor, handles))
    handing_over = asyncio.create_task(meters.hand_over(registry, database, "engine"))
    announced = False
    silent_since_s: float | None = None
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        await _sleep(stop, 0.1 if not announced else SUPERVISOR_CHECK_S)
        if lost := system.lost_processes():
            log.error("ray_has_died", processes=lost)
            os._exit(1)
        if not announced and supervisor.all_answered():
            _announce(settings, desk, [living.role for group in placed.values() for living in group])
            announced = True
        if announced and len(supervisor.silent()) == len(placed):
            silent_since_s = silent_since_s or loop.time()
            if loop.time() - silent_since_s > RAY_GONE_S:
                log.error("ray_is_gone")
                os._exit(1)  # Ray's own shutdown would wait for what no longer answers
        else:
            silent_since_s = None
    watching.cancel()
    admitting.cancel()
    handing_over.cancel()
    del handles


async def _admit(
    settings: Settings,
    database: Database,
    placed: Mapping[str, Sequence[Inhabitant]],
    supervisor: Supervisor,
    handles: list[Any],
) -> None:
    """Give every channel that is set up while we run its connector, also after the host of it was started again."""
    from actors import system

    began = {living.role for group in placed.values() for living in group}
    late: dict[str, list[Inhabitant]] = {}
    changes, seen = Changes(database), -1
    while True:
        await asyncio.sleep(ADMIT_S)
        try:
            if await changes.version() != seen:
                desk = await database.run(desk_store.load)
                seen, now = desk.version, hosts(settings, desk)
                found = {name: [living for living in group if living.role not in began] for name, group in now.items()}
                late = {name: group for name, group in found.items() if group}
            for name, group in late.items():
                if name not in placed and not supervisor.watches(name):
                    handles.append(system.start_host(name, group))
                    supervisor.watch(name, system.HostPeer(name))
                elif name in placed:
                    await system.HostPeer(name).call("admit", pack(group))
        except (DatabaseUnavailable, PeerLost) as error:  # the next turn is soon
            log.warning("channels_not_admitted", error=str(error))


def _announce(settings: Settings, desk: desk_store.Desk, actors: list[str]) -> None:
    """Tell the watcher and the drills that the actors answer."""
    import ray

    target = settings.runtime_file()
    draft = target.with_suffix(".draft")
    address = ray.get_runtime_context().gcs_address
    found = {"ray_address": address, "engine_pid": os.getpid(), "actors": actors}
    if settings.simulator and wires.wanted(desk):
        found["wires_url"] = wires.url(settings.simulator_http_port)
    draft.write_text(json.dumps(found))
    draft.replace(target)


async def gateway(settings: Settings) -> None:
    """Serve gRPC."""
    from servers import grpc_server
    from servers.gateway import Limits

    await grpc_server.serve(
        settings=grpc_server.Listening(
            address=f"{settings.host}:{settings.grpc_port}",
            message_bytes_max=settings.message_bytes_max,
            concurrent_calls_max=settings.concurrent_calls_max,
            drain_s=settings.drain_s,
            reflection=settings.host in LOOPBACK if settings.reflection is None else settings.reflection,
            simulator=settings.simulator,
            limits=Limits(settings.tenant_calls_max, settings.tenant_batch_items_max, settings.bulk_share),
            tls=settings.tls(),
            local_socket=settings.gateway_socket(int(os.environ.get("PAYDESK_PROCESS_INDEX", "0"))),
        ),
        database_url=settings.database_url,
        directory=settings.make_directory(),
        pepper=pepper(settings.directory()),
        heads=SignedHeads(settings.directory(), file=settings.audit_heads_file),
        vault=settings.vault(),
        stop=_stop_event(),
    )


async def ingress(settings: Settings) -> None:
    """Serve callbacks, metrics and health over HTTP."""
    from servers import web_server

    desk_database = Database(settings.database_url, pool_size=1)
    desk = await desk_database.run(desk_store.load)
    desk_database.close()
    await web_server.serve(
        host=settings.host,
        port=settings.http_port,
        tls=settings.tls(),
        address_connections_max=settings.address_connections_max,
        database_url=settings.database_url,
        directory=settings.make_directory(),
        actors=[living.role for living in inhabitants(settings, desk)],
        vault=settings.vault(),
        stop=_stop_event(),
    )


def _stop_event() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


ROLES: dict[str, Callable[[Settings], Coroutine[Any, Any, None]]] = {
    "engine": engine,
    "gateway": gateway,
    "ingress": ingress,
}


def main() -> None:
    """Run one role."""
    role = sys.argv[1] if len(sys.argv) == 2 else ""
    if role not in ROLES:
        sys.exit(f"usage: python -m ops.processes {'|'.join(ROLES)}")
    files, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(files, min(files_max, FILES_MAX)), files_max))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # keys are in our memory, and in that of the actors that we start
    settings = Settings()
    if fault := settings.listening_fault():
        sys.exit(fault)  # also where nobody runs `paydesk serve`
    logs.set_up(settings.log_level, role=role, process=str(os.getpid()))
    watcher = os.environ.get("PAYDESK_WATCHER_PID")
    if watcher:
        die_with(int(watcher), signal.SIGKILL)  # nothing may run that nobody watches
    environment.prepare(settings.directory(), loopback=not settings.ray_address)
    from actors import system  # only now: Ray reads its environment when it is imported

    _load(role)
    if role == "engine" and not settings.ray_address:
        system.start_local(directory=settings.directory())
    if watcher:
        settings.database_url = _hear_of_database()
    if role != "engine" and (watcher or not settings.ray_address):
        system.join(_hear_of_actors(settings))
    elif settings.ray_address:
        system.join(settings.ray_address)
    uvloop.run(ROLES[role](settings))
    system.leave()


def _load(role: str) -> None:
    """Load what a role needs, at a time when it has nothing to do but wait for the database and for the actors."""
    if role == "gateway":
        from servers import grpc_server  # noqa: F401
    elif role == "ingress":
        from servers import web_server  # noqa: F401


def _hear_of_database() -> str:
    """Return the database's URL, which the watcher tells when the database is ready."""
    return sys.stdin.readline().strip() or sys.exit("the watcher is gone")


def _hear_of_actors(settings: Settings) -> str:
    """Return the address of Ray, which the engine tells when all actors have answered."""
    while not settings.runtime_file().exists():
        time.sleep(HEAR_S)
    return str(json.loads(settings.runtime_file().read_text())["ray_address"])


def die_with(parent_pid: int, number: signal.Signals) -> None:
    """Ask the kernel to send this process a signal when its parent ends, however that ends; only Linux knows how."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(1, int(number))
    if os.getppid() != parent_pid:  # it ended before we asked
        sys.exit("the parent is gone")


if __name__ == "__main__":
    main()
