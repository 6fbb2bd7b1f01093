"""The HTTP server of the ingress process."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Sequence

import uvicorn
from prometheus_client import CollectorRegistry

from actors import memory, meters
from actors.directory import Directory
from actors.peers import PeerLost
from servers.callbacks import CallbackIngress
from servers.desk import DeskView
from servers.guarded_http import guarded
from servers.identity import KeyRing
from servers.tls import Files, keep_fresh
from servers.web import application
from storage.database import Database
from storage.vault import Vault

POOL_SIZE = 3
PING_TIMEOUT_S = 2.0
# A flood is refused by the kernel's queue before it fills our memory.
CONCURRENCY_MAX = 1_000
# Those beyond that many hear at least that there is too much to do; more would take the files that we need ourselves.
CONNECTIONS_MAX = 2_000
# A thread that comes back from the database waits so long for a loop that is busy with a flood; the usual 5 ms were waited
# for up to four times per callback. Six turns each among 1,000 pieces of garbage a second: p99 34 to 56 ms, and 35 to 107.
SWITCH_S = 0.0005
# How often the server brings the date of its answers up to date.
TICK_S = 1.0


class _Server(uvicorn.Server):
    """Hears of its end instead of looking for it ten times a second."""

    def __init__(self, config: uvicorn.Config, stop: asyncio.Event) -> None:
        super().__init__(config)
        self._stop = stop

    async def main_loop(self) -> None:
        """Return when the end has come."""
        while not self._stop.is_set():
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._stop.wait()


async def serve(
    *,
    host: str,
    port: int,
    tls: Files | None,
    address_connections_max: int,
    database_url: str,
    directory: Directory,
    actors: Sequence[str],
    vault: Vault,
    stop: asyncio.Event,
) -> None:
    """Serve until `stop`. The vault opens what callbacks are verified with."""
    database = Database(database_url, pool_size=POOL_SIZE)
    registry = CollectorRegistry()
    desk = DeskView(database, KeyRing(b""), vault)
    await desk.start()

    async def is_silent(name: str) -> bool:
        try:
            await directory.peer(name).call("ping", timeout_s=PING_TIMEOUT_S)
        except PeerLost:
            return True
        return False

    async def silent_actors() -> list[str]:
        answers = await asyncio.gather(*map(is_silent, actors))
        return [name for name, silent in zip(actors, answers, strict=True) if silent]

    ingress = CallbackIngress(desk=desk, directory=directory, database=database, registry=registry)
    # Whoever pings all actors has a way to them: the first callbacks would wait for one.
    await asyncio.gather(ingress.start(), silent_actors())
    app = application(ingress=ingress, database=database, silent_actors=silent_actors)
    server = _Server(
        uvicorn.Config(
            app,
            http=guarded(
                registry, connections_max=CONNECTIONS_MAX, address_connections_max=address_connections_max
            ),
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            limit_concurrency=CONCURRENCY_MAX,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=5,
            server_header=False,
            proxy_headers=False,  # nobody asks where a request is from: the signature says who wrote it
            ssl_certfile=tls.certificate if tls else None,
            ssl_keyfile=tls.key if tls else None,
        ),
        stop,
    )
    server.config.load()
    memory.settle()
    sys.setswitchinterval(SWITCH_S)
    loop = asyncio.get_running_loop()
    background = [
        loop.create_task(desk.follow()),
        loop.create_task(meters.hand_over(registry, database, "ingress")),
    ]
    if tls is not None and server.config.ssl is not None:
        background.append(loop.create_task(keep_fresh(server.config.ssl, tls)))
    serving = loop.create_task(server._serve([_listening(host, port)]))  # noqa: SLF001 - `serve` would take our signals
    await stop.wait()
    server.should_exit = True
    await serving
    for task in background:
        task.cancel()
    database.close()


def _listening(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    return listener
