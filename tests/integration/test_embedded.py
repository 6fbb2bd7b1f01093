"""The embedded PostgreSQL after a kill."""

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import sqlalchemy

from storage.embedded import EmbeddedPostgres


@pytest.fixture
def postgres() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="paydesk-pg-") as directory:
        server = EmbeddedPostgres(Path(directory))
        server.start()
        yield server
        server.stop()


def kill(server: EmbeddedPostgres) -> None:
    master = psutil.Process(server.process_id())
    family = [master, *master.children(recursive=True)]
    master.send_signal(signal.SIGKILL)
    psutil.wait_procs(family, timeout=10)


def answers(url: str) -> bool:
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        answered = connection.exec_driver_sql("SELECT 1").scalar_one() == 1
    engine.dispose()
    return answered


def test_a_server_that_was_killed_starts_again_whatever_its_file_says(postgres: EmbeddedPostgres) -> None:
    file = postgres.directory / "postgres" / "postmaster.pid"
    whole = file.read_text().splitlines()
    assert len(whole) == 8
    left_behind = [
        whole[:7],  # killed while it started
        whole[:5],
        [],
        [str(os.getpid()), *whole[1:]],  # its number is another's by now
    ]
    for lines in left_behind:
        kill(postgres)
        file.write_text("".join(f"{line}\n" for line in lines))
        assert answers(postgres.start())


def test_who_finds_a_server_that_is_starting_waits_for_it(postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    file = postgres.directory / "postgres" / "postmaster.pid"
    whole = file.read_text()
    file.write_text(whole.replace("ready   ", "starting"))
    monkeypatch.setattr(time, "sleep", lambda _s: file.write_text(whole))  # it is up at the second look
    assert answers(postgres.start())
    monkeypatch.undo()
    file.write_text(whole.replace("ready   ", "starting"))
    monkeypatch.setattr("storage.embedded.SETTLE_S", 0.2)
    with pytest.raises(TimeoutError, match="neither starts nor stops"):
        postgres.start()
    file.write_text(whole)
