"""What waits for the database instead of asking it: the desk's version, and work in the background."""

import asyncio
import time
from collections.abc import Callable

import pytest
import sqlalchemy
from sqlalchemy import Connection

from actors.lookout import Lookout, Rest
from storage import audit, changes, desk
from storage.changes import Changes
from storage.database import Database, DatabaseUnavailable
from storage.due import Due, Question
from tests.integration.outbox import add_event, add_tenant

CHANGE = "UPDATE channels SET display_name = display_name"


async def until(holds: Callable[[], object], seconds: float = 3.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


def run(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement)


async def test_a_change_is_known_at_its_commit_and_nobody_asks_before(
    emptied_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    version = desk.version
    monkeypatch.setattr(desk, "version", lambda connection: asked.append(time.monotonic()) or version(connection))
    database = Database(emptied_database_url, pool_size=2)
    told = Changes(database)
    seen = await told.version()
    assert [await told.version() for _ in range(20)] == [seen] * 20
    assert len(asked) == 1
    await database.run(run, CHANGE)
    await asyncio.sleep(0.1)
    assert await told.version() == seen + 1
    assert len(asked) == 2
    database.close()


async def test_a_change_is_known_while_nothing_can_be_heard(
    emptied_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(emptied_database_url, pool_size=2)
    told = Changes(database)
    seen = await told.version()
    monkeypatch.setattr(changes, "CHANNEL", "nobody speaks here")
    deaf = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%' AND datname = current_database()"
    await database.run(run, deaf)
    await asyncio.sleep(0.1)
    for step in (1, 2):
        await database.run(run, CHANGE)
        assert await told.version() == seen + step
    database.close()


def test_what_is_due_is_found_by_errand(emptied_database_url: str) -> None:
    engine = sqlalchemy.create_engine(emptied_database_url)
    question = Question(emptied_database_url)

    def due_after(*statements: str) -> Due:
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        return question.ask()

    nothing = Due(questions=False, notices=False, entries=False)
    with engine.begin() as connection:
        add_tenant(connection, "pnc")
    assert question.ask() == nothing
    with engine.begin() as connection:
        add_event(connection, "pnc", "p1")
    assert question.ask() == nothing._replace(notices=True)
    later = "now() + interval '1 s'"
    overdue = "UPDATE payments SET state = 'UNKNOWN', next_action_time = now()"
    assert due_after(f"UPDATE events SET next_try_time = {later}", overdue) == nothing._replace(questions=True)
    with engine.begin() as connection:
        entry = audit.Entry(tenant_id="pnc", principal="li", operation="X", object_kind="x", object_id="1")
        audit.append(connection, [entry])
    assert due_after(f"UPDATE payments SET next_action_time = {later}") == nothing._replace(entries=True)
    with pytest.raises(DatabaseUnavailable):
        due_after(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE query LIKE '%%EXECUTE due%%' AND pid <> pg_backend_pid()"
        )
    assert question.ask() == nothing._replace(entries=True), "the next question makes a connection anew"
    question.close()
    engine.dispose()


async def test_who_has_work_is_woken_and_nobody_else(emptied_database_url: str) -> None:
    database = Database(emptied_database_url, pool_size=2)
    lookout, questions, notices = Lookout(emptied_database_url), Rest(), Rest()
    lookout.watch("questions", questions.end)
    lookout.watch("notices", notices.end)
    looking = asyncio.create_task(lookout.run())
    resting = [asyncio.create_task(rest.take(60.0)) for rest in (questions, notices)]
    await database.run(add_tenant, "pnc")
    await database.run(add_event, "pnc", "p1")
    await until(resting[1].done, 1.0)
    assert not resting[0].done()
    for task in (looking, resting[0]):
        task.cancel()
    database.close()
