"""A deployment of one's own for as long as a block lasts, and the way to the database of one that may be running."""

import contextlib
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import filelock

from actors import environment
from ops import address
from ops.deployment import Deployment
from ops.mistakes import CannotStart
from ops.settings import Settings
from storage.embedded import EmbeddedPostgres


@contextlib.contextmanager
def deployment(settings: Settings) -> Iterator[Deployment]:
    """Start a deployment and watch it in a thread; it is stopped in any case. Raise CannotStart."""
    made = Deployment(settings)
    over = threading.Event()
    watcher = threading.Thread(target=made.run, args=(over.is_set,), name="watcher", daemon=True)
    try:
        made.start()
        address.note(made)
        watcher.start()
        yield made
    finally:
        over.set()
        if watcher.is_alive():
            watcher.join()
        address.forget(settings)
        made.stop()


def remove(directory: Path) -> None:
    """Remove a data directory that was made for the moment, and what Ray keeps of it."""
    shutil.rmtree(environment.ray_directory(directory.resolve()), ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def interrupts() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does, so that nothing is left running."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def database_url(settings: Settings, *, make: bool = False) -> Iterator[str]:
    """Give the URL of these settings' database; the embedded one is started for the block if nobody runs it.

    Where there is none yet, `make` makes one.
    """
    if settings.database_url:
        yield settings.database_url
        return
    directory = settings.directory() if make else settings.data_dir.expanduser().resolve()
    if not make and not (directory / "postgres").is_dir():
        raise CannotStart(
            f"there is no database in {directory} yet: `paydesk serve` makes one; PAYDESK_DATA_DIR and "
            "PAYDESK_DATABASE_URL name another place"
        )
    lock = filelock.FileLock(directory / "paydesk.lock")
    server = EmbeddedPostgres(directory)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        yield server.start()  # somebody's deployment runs it: this only finds it
        return
    try:
        yield server.start()
    finally:
        server.stop()
        lock.release()
