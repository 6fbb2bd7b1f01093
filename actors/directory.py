"""The directory: how to reach the others, by role. It travels in blueprints and is the same in every process.

Names are fixed by role (`router/0`, `channel/sandbox_wechat`, `sweeper`, `notifier`, `simulator`), so nobody has to be
told where anybody is. Which roles share a process is the placement: on one machine the connectors live with the first
router, since a call between processes costs more than what it carries, and an idle worker of Ray 57 MB and 1 % of a core
whatever it does; on a cluster every role has its own.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Any

import structlog

from actors.mailbox import Mailbox
from actors.messages import CallbackHeard, Task, TenantEvidence
from actors.peers import Neighbour, Peer, PeerLost
from domain.health import HealthSnapshot

log = structlog.get_logger()

# What may wait in front of one peer: a few seconds of the highest rate that we have measured.
DEPTH_MAX = 20_000
# Evidence and tasks are repeated by the sweeper, so nobody waits long for a lost peer.
CALL_TIMEOUT_S = 15.0
# What callbacks show of a channel is weighed within a second; a call for each would cost both sides more than the callbacks.
CALLBACKS_REST_S = 0.2


class Placement(StrEnum):
    """Which roles share a process."""

    SHARED = "shared"  # the connectors and the first router in one, sweeper and notifier in another
    SPREAD = "spread"  # a process per role


# They work beside the payments, in the background.
_ERRANDS = frozenset({"sweeper", "notifier", "sealer", "reminder"})


def host_of(role: str, placement: Placement) -> str:
    """Return the name of the host in which a role lives."""
    if placement is Placement.SPREAD:
        return role
    if role == "router/0" or role.startswith("channel/"):
        return "payments"
    return "errands" if role in _ERRANDS else role


class Directory:
    """Finds peers and keeps one mailbox per peer and kind of message."""

    def __init__(self, *, router_count: int, placement: Placement = Placement.SHARED) -> None:
        self.router_count = router_count
        self.placement = placement
        self._peers: dict[str, Peer] = {}
        self._tasks: dict[str, Mailbox[Task, None]] = {}
        self._charges: dict[tuple[str, bool], Mailbox[Task, None]] = {}
        self._takings: set[asyncio.Future[object]] = set()
        self._evidence: dict[tuple[int, bool], Mailbox[TenantEvidence, str]] = {}
        self._callbacks: dict[str, Mailbox[CallbackHeard, None]] = {}
        self._health: Mailbox[HealthSnapshot, None] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrive, (self.router_count, self.placement)

    def peer(self, name: str) -> Peer:
        """Return the peer of a role, reached anew after it was lost."""
        if name not in self._peers:
            from actors.system import reach  # the one place that knows Ray

            self._peers[name] = reach(host_of(name, self.placement), name)
        return self._peers[name]

    def shard_of(self, tenant_id: str) -> int:
        """Return the number of the router that owns a tenant."""
        return zlib.crc32(tenant_id.encode()) % self.router_count

    def connector_mailbox(self, channel_id: str) -> Mailbox[Task, None]:
        """Return the mailbox in front of a channel's connector."""
        box = self._tasks.get(channel_id)
        if box is None:
            peer = self.peer(f"channel/{channel_id}")

            async def send(tasks: list[Task]) -> list[None]:
                return await peer.call("dispatch", tasks, timeout_s=CALL_TIMEOUT_S)  # type: ignore[no-any-return]

            box = self._tasks[channel_id] = Mailbox(send, depth_max=DEPTH_MAX)
        return box

    def charge_mailbox(
        self, channel_id: str, take: Callable[[list[TenantEvidence]], Awaitable[object]], *, bulk: bool = False
    ) -> Mailbox[Task, None]:
        """Return a router's mailbox in front of a connector; what the channel answers at once is given to `take`.

        Batches have one of their own: a mailbox paces itself by all that goes through it.
        """
        box = self._charges.get((channel_id, bulk))
        if box is None:
            peer = self.peer(f"channel/{channel_id}")

            async def send(tasks: list[Task]) -> list[None]:
                ready = await peer.call("charge", tasks, timeout_s=CALL_TIMEOUT_S)
                if ready:
                    taking = asyncio.ensure_future(take(ready))
                    self._takings.add(taking)
                    taking.add_done_callback(self._taken)
                return [None] * len(tasks)

            # The router paces itself already: a batch of intents makes a batch of charges, and next door a call is free.
            paced = not isinstance(peer, Neighbour)
            box = self._charges[channel_id, bulk] = Mailbox(send, depth_max=DEPTH_MAX, paced=paced)
        return box

    def _taken(self, taking: "asyncio.Future[object]") -> None:
        """Evidence that could not be applied is asked for again by the sweeper. Only note that it was lost."""
        self._takings.discard(taking)
        if not taking.cancelled() and taking.exception() is not None:
            log.warning("evidence_lost", error=repr(taking.exception())[:200])

    def evidence_mailbox(self, tenant_id: str, *, bulk: bool = False) -> Mailbox[TenantEvidence, str]:
        """Return the mailbox in which evidence for a tenant's payments is put; that of batches is apart."""
        shard = self.shard_of(tenant_id)
        box = self._evidence.get((shard, bulk))
        if box is None:
            peer = self.peer(f"router/{shard}")

            async def send(batch: list[TenantEvidence]) -> list[str]:
                return await peer.call("evidence", batch, timeout_s=CALL_TIMEOUT_S)  # type: ignore[no-any-return]

            box = self._evidence[shard, bulk] = Mailbox(send, depth_max=DEPTH_MAX)
        return box

    def callback_mailbox(self, channel_id: str) -> Mailbox[CallbackHeard, None]:
        """Return the mailbox by which a connector hears what its channel's callbacks show of it."""
        box = self._callbacks.get(channel_id)
        if box is None:
            peer = self.peer(f"channel/{channel_id}")

            async def send(heard: list[CallbackHeard]) -> list[None]:
                await peer.call("hear_callbacks", heard, timeout_s=CALL_TIMEOUT_S)
                return [None] * len(heard)

            box = self._callbacks[channel_id] = Mailbox(send, depth_max=DEPTH_MAX, lanes=1, rest_s=CALLBACKS_REST_S)
        return box

    def depths(self) -> dict[str, int]:
        """Return how many messages wait in each mailbox of this process, by where they go."""
        boxes: dict[str, Mailbox[Any, Any]] = {
            **{f"channel/{name} {_kind('charges', bulk)}": box for (name, bulk), box in self._charges.items()},
            **{f"channel/{name} tasks": box for name, box in self._tasks.items()},
            **{f"channel/{name} callbacks": box for name, box in self._callbacks.items()},
            **{f"router/{shard} {_kind('evidence', bulk)}": box for (shard, bulk), box in self._evidence.items()},
        }
        return {name: box.depth for name, box in boxes.items()}

    def publish_health(self, snapshot: HealthSnapshot) -> None:
        """Tell every router how a channel is. A lost snapshot is followed by the next within a second."""
        if self._health is None:
            self._health = Mailbox(self._send_health, depth_max=100)
        self._health.tell(snapshot)

    async def _send_health(self, snapshots: Sequence[HealthSnapshot]) -> list[None]:
        newest = {snapshot.channel_id: snapshot for snapshot in snapshots}
        for shard in range(self.router_count):
            try:
                await self.peer(f"router/{shard}").call("health", list(newest.values()), timeout_s=2.0)
            except PeerLost:
                continue
        return [None] * len(snapshots)

    def simulator_transport(self) -> "SimulatorTransport":
        """Return what carries the sandbox channels' bytes to the simulator."""
        return SimulatorTransport(self.peer("simulator"))


def _kind(name: str, bulk: bool) -> str:
    return f"{name} of batches" if bulk else name


_here: dict[tuple[int, Placement], Directory] = {}


def _arrive(router_count: int, placement: Placement) -> Directory:
    """Return the one directory of this process, so that all who live here share its mailboxes."""
    return _here.setdefault((router_count, placement), Directory(router_count=router_count, placement=placement))


class SimulatorTransport:
    """Carries envelopes between a sandbox channel and the simulator actor."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def exchange(
        self, channel_id: str, operation: str, body: bytes, merchant_no: str, signature: str
    ) -> list[tuple[bytes, str]]:
        """Send one batch. Raise ConnectionError when it may or may not have arrived."""
        return await self._call("exchange", channel_id, str(operation), body, merchant_no, signature)

    async def collect(self, channel_id: str, wait_s: float) -> list[tuple[bytes, str]]:
        """Wait for late answers."""
        return await self._call("collect", channel_id, wait_s)

    async def _call(self, method: str, *arguments: Any) -> list[tuple[bytes, str]]:
        try:
            return await self._peer.call(method, *arguments, timeout_s=CALL_TIMEOUT_S)  # type: ignore[no-any-return]
        except PeerLost as error:
            raise ConnectionError(str(error)) from error
