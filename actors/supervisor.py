"""The supervisor: pings every actor itself, and replaces one that hangs.

A hung actor is not a dead one: Ray restarts what dies, but waits for ever for what merely stands still.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from actors.peers import Peer, PeerLost

log = structlog.get_logger()

PING_S = 2.0
PING_TIMEOUT_S = 5.0
# Silence of that length, with its pings unanswered all along, is a hang. A cold start on a busy machine takes less.
HUNG_AFTER_S = 30.0


class Supervisor:
    """Watches actors by name. Holds only when each last answered; a new supervisor starts that clock anew."""

    def __init__(
        self,
        peers: Mapping[str, Peer],
        *,
        replace: Callable[[str], None],
        registry: CollectorRegistry,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._peers = dict(peers)
        self._replace = replace
        self._clock_s = clock_s
        now_s = clock_s()
        self._heard_s = dict.fromkeys(self._peers, now_s)
        self._ever_heard: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._restarts = Counter("actor_restarts", "Actors replaced because they hung", ["actor"], registry=registry)
        self._silence = Gauge("actor_silence_seconds", "Time since an actor answered", ["actor"], registry=registry)

    def all_answered(self) -> bool:
        """Tell whether every actor has answered at least once, and none is silent now."""
        now_s = self._clock_s()
        return self._ever_heard == set(self._peers) and all(
            now_s - heard_s < PING_TIMEOUT_S + 2 * PING_S for heard_s in self._heard_s.values()
        )

    def silent(self) -> list[str]:
        """Return the names of the actors that do not answer."""
        now_s = self._clock_s()
        return [name for name, heard_s in self._heard_s.items() if now_s - heard_s >= PING_TIMEOUT_S + 2 * PING_S]

    def watches(self, name: str) -> bool:
        """Tell whether an actor is watched."""
        return name in self._peers

    def watch(self, name: str, peer: Peer) -> None:
        """Watch one more actor while we run."""
        self._peers[name] = peer
        self._heard_s[name] = self._clock_s()
        self._tasks.append(asyncio.get_running_loop().create_task(self._watch(name, peer)))

    async def run(self) -> None:
        """Ping for ever, each actor on its own."""
        await asyncio.gather(*(self._watch(name, peer) for name, peer in self._peers.items()))

    async def _watch(self, name: str, peer: Peer) -> None:
        while True:
            await self.check(name, peer)
            await asyncio.sleep(PING_S)

    async def check(self, name: str, peer: Peer) -> Any:
        """Ping one actor, and replace it if it has been silent for too long."""
        try:
            answer = await peer.call("ping", timeout_s=PING_TIMEOUT_S)
        except PeerLost as error:
            silence_s = self._clock_s() - self._heard_s[name]
            self._silence.labels(name).set(silence_s)
            if silence_s >= HUNG_AFTER_S:
                log.error("actor_replaced", actor=name, silence_s=round(silence_s, 1), error=str(error))
                self._restarts.labels(name).inc()
                self._heard_s[name] = self._clock_s()
                self._replace(name)
            return None
        self._heard_s[name] = self._clock_s()
        self._ever_heard.add(name)
        self._silence.labels(name).set(0)
        return answer
