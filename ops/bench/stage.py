"""What every benchmark stands on: a deployment of its own, a load generator in a process of its own, and a report."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from ops.deployment import ROOT, Deployment, development_keys
from ops.running import remove
from ops.settings import Settings
from storage import migrate
from storage.database import make_engine
from storage.embedded import EmbeddedPostgres

DESKS = Path(__file__).parent
console = Console(stderr=True)


@contextlib.contextmanager
def deployment(desk: str, **settings: Any) -> Iterator[Deployment]:
    """Run a deployment on an empty database in a directory that is removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="paydesk-bench-"))
    running = Deployment(
        Settings(data_dir=directory, grpc_port=0, http_port=0, desk_file=DESKS / desk, log_level="warning", **settings)
    )
    try:
        running.start()
        yield running
    finally:
        running.stop()
        remove(directory)


@contextlib.contextmanager
def database() -> Iterator[str]:
    """Run a database alone, migrated and empty, in a directory that is removed at the end; yields its URL."""
    directory = Path(tempfile.mkdtemp(prefix="paydesk-bench-"))
    server = EmbeddedPostgres(directory)
    try:
        url = server.start()
        engine = make_engine(url, pool_size=1)
        migrate.upgrade(engine)
        engine.dispose()
        yield url
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def key_of(running: Deployment, tenant_id: str = "bench") -> str:
    """Return an API key of the benchmark's tenant, once the gateways know it."""
    key = development_keys(running)[tenant_id]
    time.sleep(2)
    return key


def call(module: str, *arguments: object, timeout_s: float = 600) -> dict[str, Any]:
    """Run a load generator in its own process and return what it prints."""
    command = [sys.executable, "-m", f"ops.bench.{module}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=environment(), check=False)
    if done.returncode != 0:
        sys.exit(f"the load generator failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


@contextlib.contextmanager
def beside(module: str, *arguments: object) -> Iterator[dict[str, Any]]:
    """Run a load generator beside something else, from its first line on; what is yielded holds its result at the end."""
    command = [sys.executable, "-m", f"ops.bench.{module}", *map(str, arguments)]
    result: dict[str, Any] = {}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env=environment())
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield result
        result.update(json.loads(process.communicate("", timeout=60)[0].splitlines()[-1]))
    finally:
        process.kill()
        process.wait()


def environment() -> dict[str, str]:
    """Return an environment in which our packages are found."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@contextlib.contextmanager
def server(module: str, *arguments: object) -> Iterator[int]:
    """Run a server in its own process; yields its id."""
    process = subprocess.Popen([sys.executable, "-m", f"ops.bench.{module}", *map(str, arguments)], env=environment())
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def echo() -> Iterator[str]:
    """Run the bare echo server; yields its address."""
    port = free_port()
    with server("echo", "--port", port):
        wait_for_port(port)
        yield f"127.0.0.1:{port}"


def free_port() -> int:
    """Return a port that nobody listens on now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, timeout_s: float = 10) -> None:
    """Return when somebody listens on a port."""
    import socket

    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.2):
            return
        time.sleep(0.05)
    sys.exit(f"nothing listens on port {port} after {timeout_s:.0f} s")


def wait_for_file(path: Path, timeout_s: float = 60) -> None:
    """Return when a file is there."""
    deadline_s = time.monotonic() + timeout_s
    while not path.exists():
        if time.monotonic() > deadline_s:
            sys.exit(f"{path} is not there after {timeout_s:.0f} s")
        time.sleep(0.05)


def tree(roots: Sequence[int]) -> list[psutil.Process]:
    """Return processes and all their descendants."""
    found: dict[int, psutil.Process] = {}
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(root)
            for member in (process, *process.children(recursive=True)):
                found[member.pid] = member
    return list(found.values())


def role_of(process: psutil.Process) -> str:
    """Name a process for a table."""
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        command = " ".join(process.cmdline())
        for mark in ("ops.processes ", "ops.bench."):
            if mark in command:
                return mark.removeprefix("ops.processes ") + command.partition(mark)[2].split()[0]
        return "actor" if command.startswith("ray::") else process.name()
    return "gone"


def cpu_s(roots: Sequence[int]) -> dict[tuple[int, str], float]:
    """Return CPU seconds so far, by process."""
    seconds = {}
    for process in tree(roots):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            seconds[process.pid, role_of(process)] = times.user + times.system
    return seconds


def cores_used(before: Mapping[tuple[int, str], float], after: Mapping[tuple[int, str], float], s: float) -> dict[str, float]:
    """Return how many cores each role used between two readings."""
    used: dict[str, float] = {}
    for key, seconds in after.items():
        used[key[1]] = used.get(key[1], 0.0) + (seconds - before.get(key, 0.0)) / s
    return {role: round(cores, 4) for role, cores in sorted(used.items(), key=lambda item: -item[1])}


def finish(result: dict[str, Any], *, as_json: bool, bars: Mapping[str, tuple[float, str, float]]) -> None:
    """Print a result, and what the figures are measured against; `bars` maps a name to (value, "<=" or ">=", bar)."""
    result["passed"] = {name: value <= bar if sign == "<=" else value >= bar for name, (value, sign, bar) in bars.items()}
    for name, (value, sign, bar) in bars.items():
        good = result["passed"][name]
        console.print(f"  [{'green' if good else 'red'}]{'✓' if good else '✗'}[/] {name}: {value:g} (wanted {sign} {bar:g})")
    print(json.dumps(result) if as_json else json.dumps(result, indent=2))
