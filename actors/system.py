"""Ray, all of it: how the cluster is started or joined, every option of every actor, and how a peer is called.

Money methods are never repeated by Ray (`max_task_retries` 0): an error after dispatch means that the message may have
been acted on. An actor holds nothing that must survive, so Ray may start it again at any time (`max_restarts` -1).

Ray reads its environment when it is imported: call `actors.environment.prepare` before importing this module.
"""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import ray
import ray.exceptions
from ray.actor import ActorHandle

from actors import environment, logs
from actors.peers import Neighbour, Peer, PeerLost, pack, unpack
from actors.shell import Inhabitant, Shell
from domain.refusals import Refused

NAMESPACE = "paydesk"
# About the smallest that Ray takes; no message of ours goes through it.
OBJECT_STORE_BYTES = 80 << 20


# Long polls and slow channels keep calls open; more than this queues at the caller.
MAX_CONCURRENCY = 400
# How Ray starts what a head node has for the sake of dashboards, autoscaling and logs in the driver's terminal. We use none
# of it; Ray waits for the dashboard before it goes on, and together they would idle at 1 % of a core and 160 MB.
_UNUSED = ("start_log_monitor", "start_monitor", "start_api_server")
# What Ray's raylet starts, for metrics that are switched off and for environments of packages that nobody asks for. It waits
# until they say where they listen, and ends with them; together they cost a start 1.4 s of CPU, and 90 MB for ever. What
# takes their place listens nowhere, and ends with the raylet, whose end closes its input.
_AGENTS = frozenset({"dashboard_agent", "runtime_env_agent"})
_STAND_IN = ("/bin/sh", "-c", "exec cat")
_AGENT_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
_NOT_IN_USE = -1  # in Ray's own words
# Ray's own processes without which nothing goes on.
_VITAL = frozenset({"gcs_server", "raylet"})
# Calls that a caller may have under way to one actor before it is told to wait.
MAX_PENDING_CALLS = 1_000


def start_local(*, directory: Path) -> str:
    """Start a Ray of our own on this machine, reachable over loopback only; return its address."""
    temporary = environment.ray_directory(directory)
    environment.make_private(temporary)  # Ray opens its own folder, with logs and sockets, for everybody on the machine
    _leave_out_unused()
    _stand_in_for_agents()
    context = ray.init(
        address="local",
        namespace=NAMESPACE,
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=OBJECT_STORE_BYTES,
        _temp_dir=str(temporary / environment.RAY_FOLDER),
        _node_ip_address="127.0.0.1",
    )
    return str(context.address_info["address"])  # type: ignore[attr-defined]  # of the context that init returns


def _leave_out_unused() -> None:
    # No option of Ray's says so. A Ray that has fewer of these steps is welcome.
    node = ray._private.node.Node  # noqa: SLF001
    for step in _UNUSED:
        if hasattr(node, step):
            setattr(node, step, lambda _node, **_options: None)


def _stand_in_for_agents() -> None:
    node, services = ray._private.node.Node, ray._private.services  # noqa: SLF001
    start_raylet, command_of = node.start_raylet, services._build_python_executable_command_memory_profileable  # noqa: SLF001
    tell_port = ray._raylet.persist_port  # type: ignore[attr-defined]  # noqa: SLF001 - compiled, without types

    def start(starting: Any, *arguments: Any, **options: Any) -> None:
        for port in _AGENT_PORTS:
            tell_port(starting.get_session_dir_path(), starting.node_id, port, _NOT_IN_USE)
        start_raylet(starting, *arguments, **options)

    def command(component: str, *arguments: Any, **options: Any) -> list[str]:
        return list(_STAND_IN) if component in _AGENTS else command_of(component, *arguments, **options)

    node.start_raylet = start  # type: ignore[assignment,method-assign]  # takes whatever Ray gives it, and hands it on
    services._build_python_executable_command_memory_profileable = command  # noqa: SLF001


def join(address: str) -> None:
    """Join the Ray at `address` as a driver."""
    ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, _node_ip_address=None)


def leave() -> None:
    """Let go of Ray; a local one that this process started ends with it."""
    ray.shutdown()


def lost_processes() -> list[str]:
    """Name what has ended of a Ray that this process started, without which it is none; a Ray that was joined has none."""
    # Ray itself only tells after its own time-outs, half a minute later.
    node = ray._private.worker._global_node  # noqa: SLF001
    dead: list[tuple[str, Any]] = node.dead_processes() if node is not None else []
    return sorted({str(kind) for kind, _ in dead} & _VITAL)


class _Hosted(Shell):
    """A shell in a process of its own, whose lines are those of all other processes."""

    here: ClassVar["_Hosted | None"] = None  # the one of this process, if it is a host

    def __init__(self, packed_inhabitants: bytes) -> None:
        logs.set_up(os.environ.get("PAYDESK_LOG_LEVEL", "info"), role=type(self).__name__, process=str(os.getpid()))
        _Hosted.here = self
        super().__init__(packed_inhabitants)


def reach(host: str, role: str) -> Peer:
    """Return the way to a role: straight to it where its host is this process, through Ray anywhere else."""
    here = _Hosted.here
    return Neighbour(role, here.ask) if here is not None and type(here).__name__ == host else RayPeer(host, role)


def start_host(name: str, inhabitants: Sequence[Inhabitant]) -> ActorHandle[Any]:
    """Start a host with its inhabitants, or find the running one of that name."""
    options: dict[str, Any] = {
        "name": name,
        "namespace": NAMESPACE,
        "get_if_exists": True,
        "lifetime": None,  # one tree, one fate: it ends with the process that started it
        "num_cpus": 0,
        "max_restarts": -1,
        "max_task_retries": 0,
        "max_concurrency": MAX_CONCURRENCY,
        "max_pending_calls": MAX_PENDING_CALLS,
        "enable_task_events": False,
    }
    # A class named like the host, so that `ps` and Ray's logs tell which process is which.
    named = type(name, (_Hosted,), {})
    return ray.remote(**options)(named).remote(pack(list(inhabitants)))  # type: ignore[return-value]


def replace_host(name: str) -> None:
    """Kill a host that does not answer; Ray starts it again under the same handle."""
    with contextlib.suppress(ValueError):  # it is gone already, and its restart is under way
        ray.kill(ray.get_actor(name, namespace=NAMESPACE), no_restart=False)


class _Host:
    """A host by its name. The handle is looked up at the first call, and again after the host was lost."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._handle: ActorHandle[Any] | None = None

    async def ask(self, what: str, method: str, *arguments: Any, timeout_s: float) -> Any:
        """Call a method of the shell. Raise PeerLost, or the Refused that it raised."""
        try:
            if self._handle is None:
                loop = asyncio.get_running_loop()
                self._handle = await loop.run_in_executor(None, lambda: ray.get_actor(self._name, namespace=NAMESPACE))
            reference = getattr(self._handle, method).remote(*arguments)
            return await asyncio.wait_for(_result(reference), timeout_s)
        except TimeoutError as error:
            raise PeerLost(f"{what} did not answer in {timeout_s:g} s") from error
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, Refused):
                raise error.cause from None
            raise PeerLost(f"{what} failed: {error.cause!r}"[:500]) from error
        except (ray.exceptions.RayError, ValueError) as error:
            self._handle = None
            raise PeerLost(f"{what} is not there: {type(error).__name__}") from error


class RayPeer:
    """Calls the inhabitant of a role in its host."""

    def __init__(self, host: str, role: str) -> None:
        self._host = _Host(host)
        self._role = role

    async def call(self, method: str, *arguments: Any, timeout_s: float = 10.0) -> Any:
        """Call a method of the plain class. Raise PeerLost, or the Refused that it raised."""
        what = f"{self._role}.{method}"
        return unpack(await self._host.ask(what, "call", self._role, method, pack(arguments), timeout_s=timeout_s))

    async def process_id(self) -> int:
        """Return the process id of the host."""
        return int(await self._host.ask(self._role, "process_id", timeout_s=5.0))


class HostPeer:
    """A whole host, as the supervisor sees it."""

    def __init__(self, host: str) -> None:
        self._name = host
        self._host = _Host(host)

    async def call(self, method: str, *arguments: Any, timeout_s: float = 10.0) -> Any:
        """Ping the host. Raise PeerLost."""
        return unpack(await self._host.ask(f"{self._name}.{method}", method, *arguments, timeout_s=timeout_s))


async def _result(reference: Any) -> Any:
    return await reference
