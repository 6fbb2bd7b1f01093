"""Day and month limits of merchant accounts, as the database holds them: real PostgreSQL, the real sandbox."""

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import psycopg2.errors
import pytest
import pytest_asyncio
import sqlalchemy

from actors.messages import CloseWish
from domain.account_limits import Limits, Wish, fitting
from domain.evidence import Fault, Outcome, Source
from domain.payments import State
from simulator.profiles import Profile
from storage import account_limits as limits
from storage import desk as desk_store
from storage.database import Database, DatabaseUnavailable, transact
from tests.harness import GATEWAY, House, desk_document, new_payment, opened_house
from tests.integration.test_fault_matrix_core import proof

DAY = date(2026, 11, 24)
ORDER_MINOR = 10_000


def account(channel_id: str, **terms: Any) -> dict[str, Any]:
    """A change of pnc's account on a channel."""
    (known,) = [a for a in desk_document(("c1", "c2"))["accounts"] if a["account_id"] == f"pnc_{channel_id}"]
    return {**known, "terms": {**known["terms"], **terms}}


async def limited(house: House, *accounts: dict[str, Any]) -> None:
    """Bring terms into force, with a router that has read them."""
    transact(house.database.engine, lambda connection: desk_store.install(connection, {"accounts": accounts}))
    await house.replace_router()


def used(house: House, account_id: str = "pnc_c1") -> list[tuple[str, int]]:
    """What an account has used, by span."""
    return [tuple(row) for row in house.sql(
        "SELECT span, used_minor FROM account_usage WHERE account_id = :account_id ORDER BY span", account_id=account_id
    )]  # fmt: skip


def fill(house: House, amount_minor: int, account_id: str = "pnc_c1") -> None:
    """Use an account up without its router knowing."""
    house.sql("INSERT INTO account_usage SELECT :account_id, span, CASE span WHEN 'DAY' THEN d ELSE date_trunc('month', d) END,"
              " :used, :used FROM unnest(ARRAY['DAY', 'MONTH']) AS span, CAST(now() + interval '8 h' AS date) AS d",
              used=amount_minor, account_id=account_id)  # fmt: skip


async def counted_by_a_rule(house: House) -> None:
    """Have a LIMIT rule that stops nothing count every order of both channels."""
    cap = {"rule_id": "cap", "effect": "LIMIT", "when": "true", "channels": ["c1", "c2"], "limit_minor": 10**12}
    house.sql("UPDATE tenants SET routing = CAST(:routing AS jsonb) WHERE tenant_id = 'pnc'", routing=json.dumps({"rules": [cap]}))
    await house.router._read_desk()


@pytest_asyncio.fixture
async def house(emptied_database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """Two channels that answer at once, c1 the cheaper."""
    async with opened_house(emptied_database_url, tmp_path) as opened:
        yield opened


async def test_orders_go_to_the_next_channel_once_a_day_is_used_up(house: House) -> None:
    await limited(house, account("c1", day_limit_minor=3 * ORDER_MINOR))
    answers = await house.submit(*(new_payment(f"o{n}", amount_minor=ORDER_MINOR) for n in range(5)))
    assert [answer.refusal for answer in answers] == [None] * 5
    await house.settle()
    assert sorted(house.payment(f"o{n}").channel_id for n in range(5)) == ["c1"] * 3 + ["c2"] * 2
    assert used(house) == [("DAY", 3 * ORDER_MINOR), ("MONTH", 3 * ORDER_MINOR)]


async def test_an_order_that_others_were_faster_than_is_decided_again(house: House) -> None:
    await limited(house, account("c1", month_limit_minor=3 * ORDER_MINOR))
    fill(house, 3 * ORDER_MINOR)
    paid = await house.pay("o1", amount_minor=ORDER_MINOR)
    assert (paid.channel_id, paid.state) == ("c2", State.SUCCEEDED)


async def test_without_a_channel_that_has_room_the_order_is_refused_with_the_reason_of_each(house: House) -> None:
    await limited(house, account("c1", day_limit_minor=ORDER_MINOR), account("c2", month_limit_minor=ORDER_MINOR))
    await house.pay("o1", amount_minor=ORDER_MINOR)
    await house.pay("o2", amount_minor=ORDER_MINOR)
    (answer,) = await house.submit(new_payment("o3", amount_minor=ORDER_MINOR))
    assert answer.refusal is not None
    assert (answer.refusal.reason, answer.refusal.metadata) == (
        "NO_ROUTE", (("c1", "OVER_DAY_LIMIT"), ("c2", "OVER_MONTH_LIMIT"))
    )  # fmt: skip


async def test_what_fails_for_sure_gives_its_part_back(house: House) -> None:
    await limited(house, account("c1", day_limit_minor=ORDER_MINOR), account("c2", day_limit_minor=1))
    for number in range(3):
        declined = await house.pay(f"o{number}", amount_minor=ORDER_MINOR, payer_ref="payer_no_funds")
        assert (declined.channel_id, declined.state) == ("c1", State.FAILED)
        assert used(house) == [("DAY", 0), ("MONTH", 0)]
        await house.router._read_allowances()
    assert (await house.pay("o9", amount_minor=ORDER_MINOR)).state is State.SUCCEEDED
    assert house.sql("SELECT count(*) FROM account_reservations") == [(1,)]


async def test_what_is_closed_gives_its_part_back(emptied_database_url: str, tmp_path: Path) -> None:
    slow = [Profile("c1", asynchronous=True, payer_delay_ms_p50=60_000.0), Profile("c2")]
    async with opened_house(emptied_database_url, tmp_path, *slow) as house:
        await limited(house, account("c1", day_limit_minor=ORDER_MINOR))
        waiting = await house.pay("o1", amount_minor=ORDER_MINOR, payer_ref="payer_abandons")
        assert used(house)[0] == ("DAY", ORDER_MINOR)
        await house.router.ask_close([CloseWish("pnc", waiting.payment_id, "ORDER_CANCELLED")])
        for _ in range(5):
            house.due()
            await house.sweep()
            await house.settle()
        assert house.payment("o1").state is State.CLOSED
        assert used(house) == [("DAY", 0), ("MONTH", 0)]


async def test_a_limit_that_was_lifted_meanwhile_gets_its_part_back_too(emptied_database_url: str, tmp_path: Path) -> None:
    slow = [Profile("c1", asynchronous=True, payer_delay_ms_p50=60_000.0)]
    async with opened_house(emptied_database_url, tmp_path, *slow) as house:
        await limited(house, account("c1", day_limit_minor=ORDER_MINOR))
        waiting = await house.pay("o1", amount_minor=ORDER_MINOR)
        await limited(house, account("c1"))
        no = proof(waiting, Source.QUERY)._replace(outcome=Outcome.REJECTED, fault=Fault.PAYER)
        assert await house.hear(no) == ["APPLIED"]
        assert used(house) == [("DAY", 0), ("MONTH", 0)]


async def test_a_limit_rule_counts_an_order_once_however_often_it_is_decided(house: House) -> None:
    await limited(house, account("c1", month_limit_minor=ORDER_MINOR))
    await counted_by_a_rule(house)
    fill(house, ORDER_MINOR)
    assert (await house.pay("o1", amount_minor=ORDER_MINOR)).channel_id == "c2"
    assert [use[3:] for use in house.router._book.dirty()] == [(1, 1, ORDER_MINOR)]


async def test_a_limit_rule_counts_a_move_to_another_channel_once(house: House) -> None:
    await limited(house, account("c1", day_limit_minor=10**9), account("c2", month_limit_minor=ORDER_MINOR))
    await counted_by_a_rule(house)
    fill(house, ORDER_MINOR, "pnc_c2")
    await house.fault("CONNECTION_REFUSED")
    failed = await house.pay("o1", amount_minor=ORDER_MINOR)  # c1 refuses, and c2 turns out to be used up
    assert (failed.channel_id, failed.state) == ("c1", State.FAILED)
    assert [use[3:] for use in house.router._book.dirty()] == [(1, 1, ORDER_MINOR)]


async def test_a_limit_rule_counts_nothing_that_the_database_did_not_take(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await counted_by_a_rule(house)

    def away(*_: Any, **__: Any) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr("actors.router.store.accept", away)
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable):
            await house.submit(new_payment("o1", amount_minor=ORDER_MINOR))
    assert [use[3:] for use in house.router._book.dirty()] == [(0, 0, 0)]


async def test_an_attempt_that_moves_to_another_channel_takes_its_part_along(house: House) -> None:
    await limited(house, account("c1", day_limit_minor=ORDER_MINOR), account("c2", day_limit_minor=ORDER_MINOR))
    await house.fault("CONNECTION_REFUSED")
    paid = await house.pay("o1", amount_minor=ORDER_MINOR)
    assert (paid.channel_id, paid.state) == ("c2", State.SUCCEEDED)
    assert (used(house, "pnc_c1")[0], used(house, "pnc_c2")[0]) == (("DAY", 0), ("DAY", ORDER_MINOR))


async def test_a_repeat_counts_once(house: House) -> None:
    await limited(house, account("c1", day_limit_minor=5 * ORDER_MINOR))
    wish = new_payment("o1", amount_minor=ORDER_MINOR)
    await asyncio.gather(*(house.router.submit(GATEWAY, [wish]) for _ in range(8)))
    assert used(house)[0] == ("DAY", ORDER_MINOR)


async def test_accounts_without_limits_have_no_counters(house: House) -> None:
    assert (await house.pay("o1")).state is State.SUCCEEDED
    assert used(house) == []


async def test_what_is_announced_comes_into_force_at_its_moment(house: House) -> None:
    house.sql(
        """INSERT INTO merchant_account_versions (account_id, version, terms, valid_from, principal)
           SELECT account_id, 2, terms || '{"max_amount_minor": 1}', to_timestamp(:at_ms / 1000.0), 'zhang'
           FROM merchant_account_versions WHERE account_id = 'pnc_c1'""",
        at_ms=house.now_ms() + 60_000,
    )
    await house.replace_router()
    assert (await house.pay("o1")).channel_id == "c1"
    house.offset_ms += 61_000
    assert (await house.pay("o2")).channel_id == "c2"


def test_no_race_takes_more_than_the_limit(emptied_database_url: str) -> None:
    """Eight connections take from one account and give back at the same time, in batches of all sizes."""
    database = Database(emptied_database_url, pool_size=8)
    transact(database.engine, lambda connection: desk_store.install(connection, desk_document(("c1",))))
    cap = Limits(day_minor=100_000, month_minor=150_000)

    def take(seed: int) -> int:
        taken = 0
        for turn in range(12):
            wishes = [Wish(f"{seed}-{turn}-{n}", "pnc_c1", 700 + 13 * ((seed + n) % 7), cap) for n in range(1 + seed)]

            def work(connection: sqlalchemy.Connection, wishes: list[Wish] = wishes, turn: int = turn) -> int:
                freed = [f"{seed}-{turn - 2}-0"]
                fits, _ = fitting(wishes, limits.hold(connection, wishes, day=DAY, freed=freed))
                limits.reserve(connection, fits, day=DAY)
                limits.give_back(connection, freed)
                return len(fits)

            taken += transact(database.engine, work)
        return taken

    with ThreadPoolExecutor(8) as threads:
        taken = sum(threads.map(take, range(8)))
    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT span, used_minor, limit_minor FROM account_usage ORDER BY span").all()
        (reserved,) = connection.exec_driver_sql("SELECT sum(amount_minor) FROM account_reservations").one()
    database.close()
    assert [row[1] for row in rows] == [reserved, reserved]
    assert cap.day_minor // 2 < reserved <= cap.day_minor
    assert taken > 100


def test_a_counter_above_its_limit_cannot_be_written(emptied_database_url: str) -> None:
    engine = sqlalchemy.create_engine(emptied_database_url)
    transact(engine, lambda connection: desk_store.install(connection, desk_document(("c1",))))
    with pytest.raises(sqlalchemy.exc.IntegrityError) as caught, engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO account_usage VALUES ('pnc_c1', 'DAY', '2026-11-24', 11, 10)")
    assert isinstance(caught.value.orig, psycopg2.errors.CheckViolation)
    engine.dispose()
