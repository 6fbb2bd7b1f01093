"""Backups of the database: a copy of the whole server, encrypted for a key that is kept elsewhere, and the way back.

A copy is what a replica would start from. It is encrypted by `age` for the public half of a key, so that whoever takes
backups need not be able to read them; a byte that was changed or cut off is found before anything is put in place.
"""

import os
import subprocess
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import IO

import filelock
import pyrage
import sqlalchemy

from ops.mistakes import CannotStart, Mistake
from storage import embedded, private_files

CHUNK_BYTES = 1 << 20
STAGE = "postgres.restoring"


class _Metered:
    """Hands on what is read, and tells how much it was."""

    def __init__(self, source: IO[bytes], heard: Callable[[int], None]) -> None:
        self._source = source
        self._heard = heard

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        """Read at most so many bytes."""
        piece = self._source.read(size)
        self._heard(len(piece))
        return piece


def make_key(path: Path) -> str:
    """Make a key, and return its public half; the secret half is in a file that only its owner may read. Raise Mistake."""
    identity = pyrage.x25519.Identity.generate()
    content = f"# public: {identity.to_public()}\n{identity}\n".encode()
    try:
        kept = private_files.made_once(path, lambda: content)
    except OSError as error:
        raise Mistake(f"{path} can't be written: {error.strerror}") from error
    if kept != content:
        raise Mistake(f"{path} is there already: a key that has been used once is needed for as long as its backups are")
    return str(identity.to_public())


def take(url: str, target: Path, *, public_key: str, heard: Callable[[int], None]) -> int:
    """Write a backup to a file that has its name only when it is whole; return its bytes. Raise Mistake.

    `heard` is told how many bytes have come from the server.
    """
    try:
        recipient = pyrage.x25519.Recipient.from_str(public_key)
    except pyrage.RecipientError as error:
        raise Mistake(f"{public_key!r} is no public key such as age1…: see `paydesk db backup-key`") from error
    if target.exists():
        raise Mistake(f"{target} is there already: give each backup a name of its own")
    draft = target.with_name(f"{target.name}.part")
    try:
        with draft.open("xb") as out, _base_backup(url) as copying:
            os.fchmod(out.fileno(), 0o600)
            assert copying.stdout is not None and copying.stderr is not None
            pyrage.encrypt_io(_Metered(copying.stdout, heard), out, [recipient])
            said = copying.stderr.read().decode(errors="replace").strip()
            if copying.wait() != 0:
                raise Mistake(f"the server gave no backup: {said}")
            out.flush()
            os.fsync(out.fileno())
        draft.rename(target)
        private_files.sync_directory(target.parent)
    except FileExistsError as error:
        raise Mistake(f"{draft} is there already: another backup is being written, or died; remove it then") from error
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise Mistake(f"{target} can't be written: {error.strerror}") from error
    except pyrage.EncryptError as error:  # whatever befell the file or the server while bytes went through it
        draft.unlink(missing_ok=True)
        raise Mistake(f"{target} can't be written: {error}") from error
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return target.stat().st_size


def _base_backup(url: str) -> "subprocess.Popen[bytes]":
    address = sqlalchemy.make_url(url)
    plain = address.set(drivername="postgresql", password=None, database=None).render_as_string(hide_password=False)
    return subprocess.Popen(
        [
            str(embedded.binary("pg_basebackup")), "--dbname", plain, "--pgdata", "-", "--format", "tar", "--gzip",
            "--wal-method", "fetch", "--checkpoint", "fast", "--no-password",
        ],
        env=os.environ | {"PGPASSWORD": str(address.password or "")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def restore(source: Path, directory: Path, *, key_file: Path, heard: Callable[[int], None]) -> None:
    """Make a backup the embedded database of `directory`, once it is known to be whole. Raise Mistake.

    `heard` is told how many bytes of the backup have been read.
    """
    identity = _identity(key_file)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = filelock.FileLock(directory / "paydesk.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise CannotStart(f"{directory} is in use by another Paydesk: stop it first") from error
    try:
        if (directory / "postgres").exists():
            raise Mistake(f"there is a database in {directory} already: move its folder `postgres` away first")
        stage = directory / STAGE
        rmtree(stage, ignore_errors=True)  # of a restore that died
        try:
            _unpack(source, stage, identity, heard)
            embedded.adopt(stage, directory)
        finally:
            rmtree(stage, ignore_errors=True)
    finally:
        lock.release()


def _identity(key_file: Path) -> pyrage.x25519.Identity:
    try:
        lines = key_file.read_text(encoding="ascii").splitlines()
        return pyrage.x25519.Identity.from_str(next(line for line in lines if line.startswith("AGE-SECRET-KEY-")))
    except OSError as error:
        raise Mistake(f"{key_file} can't be read: {error.strerror}") from error
    except (ValueError, StopIteration, pyrage.IdentityError) as error:
        raise Mistake(f"{key_file} holds no key of a backup") from error


def _unpack(source: Path, stage: Path, identity: pyrage.x25519.Identity, heard: Callable[[int], None]) -> None:
    """Decrypt and unpack side by side: neither the whole backup nor its plain copy is ever held. Raise Mistake."""
    problems: list[Exception] = []
    out_handle, in_handle = os.pipe()

    def decrypt() -> None:
        try:
            with os.fdopen(in_handle, "wb") as plain, source.open("rb") as encrypted:
                pyrage.decrypt_io(_Metered(encrypted, heard), plain, [identity])
        except (pyrage.DecryptError, OSError) as error:
            problems.append(error)

    stage.mkdir(mode=0o700)
    decrypting = threading.Thread(target=decrypt, name="decrypting")
    decrypting.start()
    with os.fdopen(out_handle, "rb") as plain:
        try:
            with tarfile.open(fileobj=plain, mode="r|gz") as archive:
                archive.extractall(stage, filter="data")
        except (tarfile.TarError, EOFError, OSError) as error:
            problems.append(error)
        else:
            while plain.read(CHUNK_BYTES):  # an archive ends before its file does, and only the last byte proves them all
                pass
    decrypting.join()
    if problems:
        told = "; ".join(map(str, problems))
        raise Mistake(f"{source} is not restored: it is damaged, not for this key, or there is no room for it ({told})")
