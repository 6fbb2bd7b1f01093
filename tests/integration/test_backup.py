"""A backup is whole and sealed, or it is none; and what is restored is what was there."""

import errno
import io
import os
import tarfile
from pathlib import Path

import pyrage
import pytest
from filelock import FileLock

from ops import backup
from ops.mistakes import CannotStart, Mistake
from storage.database import make_engine
from storage.embedded import EmbeddedPostgres

SECRET = "6214830012345678"


def ask(url: str, *statements: str) -> list[str]:
    engine = make_engine(url, pool_size=1)
    try:
        with engine.begin() as connection:
            for statement in statements[:-1]:
                connection.exec_driver_sql(statement)
            return [row[0] for row in connection.exec_driver_sql(statements[-1])]
    finally:
        engine.dispose()


def nothing(_count: int) -> None:
    return


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key and a backup of a database that is gone by now."""
    folder = tmp_path_factory.mktemp("backup")
    server = EmbeddedPostgres(folder / "old")
    (folder / "old").mkdir()
    heard: list[int] = []
    public_key = backup.make_key(folder / "key")
    try:
        url = server.start()
        ask(url, "CREATE TABLE notes (note text)", f"INSERT INTO notes VALUES ('{SECRET}')", "SELECT note FROM notes")
        size = backup.take(url, folder / "b1", public_key=public_key, heard=heard.append)
        assert size == (folder / "b1").stat().st_size
        assert 0 < size <= sum(heard) + 10_000
        with pytest.raises(Mistake, match="is there already"):
            backup.take(url, folder / "b1", public_key=public_key, heard=nothing)
        with pytest.raises(Mistake, match="no public key"):
            backup.take(url, folder / "b2", public_key="age1x", heard=nothing)
        with pytest.raises(Mistake, match="the server gave no backup"):
            backup.take(url.replace("postgres:", "nobody:"), folder / "b2", public_key=public_key, heard=nothing)
    finally:
        server.stop()
    assert sorted(path.name for path in folder.iterdir()) == ["b1", "key", "old"], "and nothing half done"
    return folder


def test_what_is_restored_is_what_was_there(taken: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    backup.restore(taken / "b1", new, key_file=taken / "key", heard=nothing)
    server = EmbeddedPostgres(new)
    try:
        url = server.start()
        assert ask(url, "SELECT note FROM notes") == [SECRET]
        assert (new / "postgres.password").read_text() in url, "with a password of its own"
        assert "trust" not in (new / "postgres" / "pg_hba.conf").read_text()
        with pytest.raises(Mistake, match="already: move its folder `postgres` away"):
            backup.restore(taken / "b1", new, key_file=taken / "key", heard=nothing)
        with FileLock(new / "paydesk.lock"), pytest.raises(CannotStart, match="in use by another Paydesk"):
            backup.restore(taken / "b1", new, key_file=taken / "key", heard=nothing)
    finally:
        server.stop()


def test_a_backup_shows_nothing_of_what_it_holds(taken: Path) -> None:
    assert (taken / "b1").read_bytes().startswith(b"age-encryption.org/v1")
    assert (taken / "b1").stat().st_mode & 0o077 == (taken / "key").stat().st_mode & 0o077 == 0
    with pytest.raises(Mistake, match="is there already"):
        backup.make_key(taken / "key")


@pytest.mark.parametrize("harm", ["cut", "changed", "of another key", "none"])
def test_what_is_damaged_is_not_restored_and_leaves_nothing(taken: Path, tmp_path: Path, harm: str) -> None:
    content = bytearray((taken / "b1").read_bytes())
    key = taken / "key"
    if harm == "cut":
        del content[-70_000:]
    elif harm == "changed":
        content[len(content) // 2] ^= 1
    elif harm == "none":
        content = bytearray(b"nothing")
    else:
        key = tmp_path / "key"
        backup.make_key(key)
    (tmp_path / "b").write_bytes(content)
    with pytest.raises(Mistake, match="is damaged, not for this key, or there is no room for it"):
        backup.restore(tmp_path / "b", tmp_path / "new", key_file=key, heard=nothing)
    assert [path.name for path in (tmp_path / "new").iterdir()] in ([], ["paydesk.lock"])


def sealed(folder: Path, content: bytes) -> Path:
    public_key = backup.make_key(folder / "key")
    path = folder / "b"
    path.write_bytes(pyrage.encrypt(content, [pyrage.x25519.Recipient.from_str(public_key)]))
    return path


@pytest.mark.parametrize("kept_bytes", [None, -1, -100_000])
def test_the_last_byte_proves_them_all(tmp_path: Path, kept_bytes: int | None) -> None:
    """An archive ends before its file does, and whoever reads no further believes what nobody has signed."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as writing:
        writing.addfile(tarfile.TarInfo("note"), io.BytesIO(b""))
    path = sealed(tmp_path, archive.getvalue() + os.urandom(300_000))
    path.write_bytes(path.read_bytes()[:kept_bytes])
    identity = backup._identity(tmp_path / "key")
    if kept_bytes is None:
        backup._unpack(path, tmp_path / "stage", identity, nothing)
        assert [each.name for each in (tmp_path / "stage").iterdir()] == ["note"]
    else:
        with pytest.raises(Mistake, match="is damaged"):
            backup._unpack(path, tmp_path / "stage", identity, nothing)


def test_what_cannot_be_written_is_said_and_leaves_nothing(taken: Path, tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="can't be written"):
        backup.make_key(tmp_path / "none" / "key")
    public_key = backup.make_key(tmp_path / "key")
    with pytest.raises(Mistake, match="can't be written"):
        backup.take("postgresql+psycopg2://x@/x", tmp_path / "none" / "b", public_key=public_key, heard=nothing)

    def full(_count: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(Mistake, match="No space left"):
        backup.take("postgresql+psycopg2://x@/x", tmp_path / "b", public_key=public_key, heard=full)
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("content", [b"", b"AGE-SECRET-KEY-1", b"\xff"])
def test_a_file_that_is_no_key_is_named(taken: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(Mistake, match="holds no key"):
        backup.restore(taken / "b1", tmp_path / "new", key_file=tmp_path / "key", heard=nothing)
    with pytest.raises(Mistake, match="can't be read"):
        backup.restore(taken / "b1", tmp_path / "new", key_file=tmp_path / "none", heard=nothing)
