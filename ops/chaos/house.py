"""The deployment under attack: who is who among its processes, and a keeper that starts the watcher again."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from ops.settings import Settings
from storage.embedded import EmbeddedPostgres

ROOT = Path(__file__).parent.parent.parent
# What systemd waits before it starts a service again.
RESTART_S = 0.5
KEEP_S = 0.1
# Words of a command line that tell a process's role, most specific first.
_WORDS = {
    "ops.chaos.watcher": "watcher",
    "ops.processes engine": "engine",
    "ops.processes gateway": "gateway",
    "ops.processes ingress": "ingress",
    "gcs/gcs_server": "gcs",
    "raylet/raylet": "raylet",
    "ray::router/": "router",
    "ray::payments": "payments",
    "ray::channel": "connector",
    "ray::errands": "errands",
    "ray::notifier": "notifier",
    "ray::sweeper": "sweeper",
    "ray::simulator": "simulator",
    "postgres": "postgres",
}


class House:
    """Runs `ops.chaos.watcher` for as long as the `with` block lasts, and starts it again whenever it ends."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._directory = settings.directory()
        self._watcher: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self.watcher_starts = 0

    def __enter__(self) -> Self:
        self._keeper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop as an operator would, and then whatever is left."""
        self._ended.set()
        self._keeper.join()
        kill([pid for pids in self.processes().values() for pid in pids])

    def _keep(self) -> None:
        """Keep a watcher running; its parent in the kernel's eyes is this thread, so this thread ends it too."""
        log = self._directory / "logs"
        log.mkdir(mode=0o700, exist_ok=True)
        while not self._ended.is_set():
            if self._watcher is None or self._watcher.poll() is not None:
                if self._watcher is not None:
                    time.sleep(RESTART_S)
                self._watcher = self._start(log / "watcher.log")
                self.watcher_starts += 1
            self._ended.wait(KEEP_S)
        if self._watcher is not None and self._watcher.poll() is None:
            self._watcher.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._watcher.wait(30)

    def _start(self, log: Path) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, **self._settings.environment()}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "ops.chaos.watcher", str(os.getpid())],
                env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                cwd=self._directory,
            )  # fmt: skip

    def processes(self) -> dict[str, list[int]]:
        """Return the process ids by role, orphans too; "other" holds what has no role here, such as Ray's own agents."""
        found: dict[str, list[int]] = {}
        for process_id in self._ours():
            words = _command(process_id)
            if words is not None:
                role = next((role for word, role in _WORDS.items() if word in words), "other")
                found.setdefault(role, []).append(process_id)
        return found

    def orphans(self) -> list[str]:
        """Name what is left of processes that were killed, and has neither parents nor a task."""
        roots = [pid for pid in (self._watcher.pid if self._watcher else None, self._postmaster()) if pid]
        left = {pid: _command(pid) for pid in self._ours() - _families(roots)}
        return [f"{pid} {words}" for pid, words in left.items() if words]

    def _ours(self) -> set[int]:
        """Return every process that runs in the data directory and has no terminal: they all do, and nobody else.

        Numbers of processes and sessions come round again, and a child is for a moment still of its parent's session:
        neither is safe to kill by.
        """
        found = set()
        for process in psutil.process_iter(["cwd", "terminal"]):
            place = process.info["cwd"]
            if place and process.info["terminal"] is None and Path(place).is_relative_to(self._directory):
                found.add(process.pid)
        return found - {os.getpid()}

    def postmaster(self) -> list[int]:
        """Return PostgreSQL's first process, if it runs."""
        return [pid for pid in (self._postmaster(),) if pid]

    def engine_pid(self) -> int:
        """Return the engine that has announced its actors, 0 for none."""
        import json

        try:
            return int(json.loads(self._settings.runtime_file().read_text())["engine_pid"])
        except (OSError, ValueError, KeyError):
            return 0

    def _postmaster(self) -> int | None:
        return EmbeddedPostgres(self._directory).process_id()


def _families(roots: Iterable[int]) -> set[int]:
    """Return these processes and all their descendants."""
    children: dict[int, list[int]] = {}
    for process in psutil.process_iter(["ppid"]):
        children.setdefault(process.info["ppid"], []).append(process.pid)
    family, todo = set[int](), list(roots)
    while todo:
        process_id = todo.pop()
        family.add(process_id)
        todo += children.get(process_id, [])
    return family


def _command(process_id: int) -> str | None:
    """Return a command line, None for a process that is gone or a zombie."""
    try:
        return " ".join(Path(f"/proc/{process_id}/cmdline").read_bytes().decode(errors="replace").split("\0")) or None
    except OSError:
        return None


def kill(process_ids: Iterable[int]) -> None:
    """Kill processes at once; those that are gone are passed over."""
    for process_id in process_ids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)


def freeze(process_ids: Iterable[int], seconds: float) -> None:
    """Stop processes, and let them go on after a while."""
    stopped = list(process_ids)
    for process_id in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGSTOP)
    time.sleep(seconds)
    for process_id in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGCONT)
