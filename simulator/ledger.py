"""The ledger on disk: append-only lines of JSON that survive a kill of the process (not a power cut: nothing is synced).

A line is either a list, [channel_id, event, event, ...], or an object with one command to the sandbox. What is added
is written in one piece by `flush`, before anyone is told. A line that a kill tore is cut off at the next start.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simulator.errors import LedgerDamaged

FILE_NAME = "ledger.jsonl"
LOCK_NAME = "ledger.lock"
# A replaced process may need a moment to die.
LOCK_WAIT_S = 5.0

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


class Ledger:
    """Writes and replays the lines of one directory, which it holds alone until closed."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / FILE_NAME
        self._lock_fd = _lock(directory / LOCK_NAME)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._events: dict[str, list[Any]] = {}
        self._unwritten = b""

    def replay(self) -> Iterator[Any]:
        """Yield every line in order, and cut off a torn last one. Raise LedgerDamaged for a broken line before it."""
        good_bytes = 0
        with self._path.open("rb") as file:
            for count, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise LedgerDamaged(f"{self._path} line {count}: {error}") from error
                good_bytes += len(line)
        os.ftruncate(self._fd, good_bytes)

    def add(self, channel_id: str, event: Any) -> None:
        """Take one event of a channel, to be written by the next `flush`."""
        events = self._events.get(channel_id)
        if events is None:
            self._events[channel_id] = [channel_id, event]
        else:
            events.append(event)

    def flush(self) -> None:
        """Write all events taken so far. Raise OSError if the disk refuses; what is left is written the next time."""
        if self._events:
            lines = [_encode(line) for line in self._events.values()]
            self._events.clear()
            self._unwritten += ("\n".join(lines) + "\n").encode()
        while self._unwritten:
            self._unwritten = self._unwritten[os.write(self._fd, self._unwritten) :]

    def command(self, command: dict[str, Any]) -> None:
        """Write one command after all events before it."""
        self.flush()
        self._unwritten += f"{_encode(command)}\n".encode()
        self.flush()

    def restart(self, command: dict[str, Any]) -> None:
        """Forget every line, and begin again with one command. A kill leaves the old file or the new one."""
        fresh = self._path.with_suffix(".new")
        fresh.write_text(f"{_encode(command)}\n", encoding="ascii")
        fresh.chmod(0o600)
        fresh.replace(self._path)
        os.close(self._fd)
        self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND)
        self._events.clear()
        self._unwritten = b""

    def close(self) -> None:
        """Write what is left, and let go of the directory."""
        try:
            self.flush()
        finally:
            os.close(self._fd)
            os.close(self._lock_fd)


def _lock(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    give_up = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                os.close(fd)
                raise LedgerDamaged(f"{path} is held by another process") from None
            time.sleep(0.05)
        else:
            return fd
