"""Files that only their owner may read, with what can't be made a second time: whole on the disk before they have a name."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def made_once(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return what a file holds; the first who asks makes it, and of two who ask at once both get the same."""
    if not path.exists():
        draft = _draft(path, make())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        sync_directory(path.parent)
    return path.read_bytes()


def replace(path: Path, content: bytes) -> None:
    """Write a file anew: whoever reads it, or dies here, finds the old or the new one."""
    _draft(path, content).replace(path)
    sync_directory(path.parent)


def _draft(path: Path, content: bytes) -> Path:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    return draft


def sync_directory(directory: Path) -> None:
    """Have what files are in a directory, and their names, on the disk."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
