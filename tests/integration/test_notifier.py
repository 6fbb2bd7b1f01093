"""The notifier against real PostgreSQL and real endpoints: order, retries, crashes, hangs, and endpoints that are gone."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import prometheus_client
import pytest
from sqlalchemy import Connection

from actors.notifier import Notifier
from actors.webhooks import WebhookSender
from domain.delivery import RETRY_DELAYS_S, TRIES_MAX
from ops.order_system import OrderSystem, OrderSystemThread
from storage import events
from storage.database import Database, DatabaseUnavailable
from tests.integration.endpoint import Endpoint
from tests.integration.outbox import SECRET, add_event, add_tenant, state_of
from tests.vaults import new_vault

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(60)]

# Three days in a tenth of a second.
HURRIED = 0.1 / sum(RETRY_DELAYS_S)


@pytest.fixture
def database(emptied_database_url: str) -> Iterator[Database]:
    made = Database(emptied_database_url, pool_size=3)
    yield made
    made.close()


@contextlib.asynccontextmanager
async def notifying(database: Database, **options: Any) -> AsyncIterator[Notifier]:
    """Run a notifier for as long as the block lasts, then drain it."""
    timeout_s = options.pop("timeout_s", 2.0)
    async with WebhookSender(True, timeout_s=timeout_s, per_endpoint=options.pop("per_endpoint", 8)) as sender:
        notifier = Notifier(database, sender, new_vault(), poll_s=0.01, **({"draw": lambda: 0.0} | options))
        run = asyncio.create_task(notifier.run())
        try:
            yield notifier
            await notifier.drain()
        finally:
            run.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await run


async def until(condition: Callable[[], bool], *, patience_s: float = 20) -> None:
    async with asyncio.timeout(patience_s):
        while not condition():
            await asyncio.sleep(0.01)


async def until_settled(database: Database, *, patience_s: float = 30) -> None:
    """Wait until nothing is PENDING."""
    async with asyncio.timeout(patience_s):
        while await database.run(events.backlog):
            await asyncio.sleep(0.02)


async def test_notices_arrive_signed_in_order_and_once_despite_500s(database: Database) -> None:
    def fill(connection: Connection, url: str) -> None:
        add_tenant(connection, "life", url=url)
        for number in range(60):
            add_event(connection, "life", f"pay_{number}", order_no=f"o-{number}", state="FAILED")
            add_event(connection, "life", f"pay_{number}", order_no=f"o-{number}", revision=3)

    system = OrderSystem(secrets=[SECRET], fail_share=0.3, seed=7)
    registry = prometheus_client.CollectorRegistry()
    with OrderSystemThread(system) as served:
        await database.run(fill, served.url)
        async with notifying(database, schedule_factor=HURRIED, registry=registry):
            await until_settled(database)
    report = system.report()
    assert (report["accepted"], report["unaccepted"], report["orders"]) == (120, 0, 60)
    assert report["refused_on_purpose"] > 10
    assert not report["disorders"] and not report["bad_signatures"] and not report["changed_bodies"]
    assert not report["duplicates"], "nothing crashed, so nothing comes twice"
    assert set(system.states.values()) == {"SUCCEEDED"}
    assert registry.get_sample_value("notices_total", {"result": "delivered"}) == 120


async def test_the_second_event_waits_while_the_first_fails(database: Database) -> None:
    def fill(connection: Connection, url: str) -> None:
        add_tenant(connection, "life", url=url)
        add_event(connection, "life", "pay_1", order_no="o", state="FAILED")
        add_event(connection, "life", "pay_1", order_no="o", revision=3)

    healed = False
    async with Endpoint(lambda post: 200 if healed else 500) as endpoint:
        await database.run(fill, endpoint.url)
        async with notifying(database, schedule_factor=0.0):
            await until(lambda: len(endpoint.posts) >= 3)
            assert {post.headers["webhook-id"] for post in endpoint.posts} == {"evt_1_2"}
            healed = True
            await until_settled(database)
    assert [post.headers["webhook-id"] for post in endpoint.posts][-2:] == ["evt_1_2", "evt_1_3"]


async def test_500s_for_three_days_end_as_a_dead_letter_that_can_be_sent_again(database: Database) -> None:
    def fill(connection: Connection, url: str) -> None:
        add_tenant(connection, "life", url=url)
        add_event(connection, "life", "pay_1")

    status = 500
    async with Endpoint(lambda post: status) as endpoint:
        await database.run(fill, endpoint.url)
        async with notifying(database, schedule_factor=HURRIED):
            await until_settled(database)
            assert await database.run(state_of, "pay_1") == ("DEAD", TRIES_MAX, "HTTP 500")
            assert len(endpoint.posts) == TRIES_MAX
            status = 200
            await database.run(events.resend, tenant_id="life", event_id="evt_1_2", request_id="r-1")
            await until_settled(database)
            assert await database.run(state_of, "pay_1") == ("DELIVERED", 1, "")
    assert len({(post.headers["webhook-id"], post.body) for post in endpoint.posts}) == 1


async def test_each_failure_puts_the_next_try_off_as_the_schedule_says(database: Database) -> None:
    def fill(connection: Connection, url: str) -> None:
        add_tenant(connection, "life", url=url)
        add_event(connection, "life", "pay_1")

    def advance(connection: Connection) -> float:
        """Return how long the next try is put off, and let that time pass."""
        delay_s: float = connection.exec_driver_sql(
            "SELECT extract(epoch FROM next_try_time - now())::float FROM events"
        ).scalar_one()
        connection.exec_driver_sql("UPDATE events SET next_try_time = now()")
        return delay_s

    def tries(connection: Connection) -> int:
        return state_of(connection, "pay_1")[1]

    async with Endpoint(lambda post: 503) as endpoint:
        await database.run(fill, endpoint.url)
        async with notifying(database):
            for number, delay_s in enumerate(RETRY_DELAYS_S, start=1):
                while await database.run(tries) < number:
                    await asyncio.sleep(0.01)
                assert await database.run(advance) == pytest.approx(delay_s, abs=2)
            await until_settled(database)
    assert len(endpoint.posts) == TRIES_MAX


async def test_a_crash_between_2xx_and_mark_sends_a_duplicate_with_the_same_id(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(connection: Connection, url: str) -> None:
        add_tenant(connection, "life", url=url)
        add_event(connection, "life", "pay_1", order_no="o", state="FAILED")
        add_event(connection, "life", "pay_1", order_no="o", revision=3)

    def expire_leases(connection: Connection) -> None:
        connection.exec_driver_sql("UPDATE events SET next_try_time = now() WHERE deliver_state = 'PENDING'")

    async def lose(self: Notifier, batch: object) -> None:
        await asyncio.Event().wait()  # killed before the mark

    system = OrderSystem(secrets=[SECRET])
    with OrderSystemThread(system) as served:
        await database.run(fill, served.url)
        with monkeypatch.context() as patched, contextlib.suppress(RuntimeError):
            patched.setattr(Notifier, "_record", lose)
            async with notifying(database):
                await until(lambda: len(system.arrivals) == 1)
                raise RuntimeError("killed")
        await database.run(expire_leases)
        async with notifying(database):
            await until_settled(database)
    assert [arrival.webhook_id for arrival in system.arrivals] == ["evt_1_2", "evt_1_2", "evt_1_3"]
    report = system.report()
    assert (report["duplicates"], report["disorders"], report["changed_bodies"]) == (1, 0, 0)


async def test_an_endpoint_that_hangs_does_not_hold_up_others(database: Database) -> None:
    def fill(connection: Connection, dead_url: str, url: str) -> None:
        add_tenant(connection, "dead", url=dead_url)
        add_tenant(connection, "life", url=url)
        for number in range(200):
            add_event(connection, "dead", f"pay_dead{number}")
        for number in range(50):
            add_event(connection, "life", f"pay_life{number}")

    async with Endpoint(lambda post: None) as dead, Endpoint() as endpoint:
        await database.run(fill, dead.url, endpoint.url)
        async with notifying(database, timeout_s=1.0, per_endpoint=4) as notifier:
            await until(lambda: len(endpoint.posts) == 50, patience_s=20)  # in turn they would take 50 s
            await until(lambda: notifier._hanging == {"dead"})
            assert dead.open_max == 4
            tried = len(dead.posts)
            await asyncio.sleep(2.5)
            assert len(dead.posts) - tried <= 4, "one at a time until it answers"
            dead.answer = lambda post: 200
            await until(lambda: notifier._hanging == set())


@pytest.mark.parametrize(
    ("answer", "state", "error"),
    [
        ((302, {"location": "http://169.254.169.254/"}), "PENDING", "HTTP 302"),
        (404, "PENDING", "HTTP 404"),
        (410, "DEAD", "HTTP 410"),
        ((429, {"retry-after": "120"}), "PENDING", "HTTP 429"),
    ],
)
async def test_replies_that_are_no_2xx(database: Database, answer: Any, state: str, error: str) -> None:
    def fill(connection: Connection, url: str) -> None:
        add_tenant(connection, "life", url=url)
        add_event(connection, "life", "pay_1")

    def wait_s(connection: Connection) -> float:
        value = connection.exec_driver_sql(
            "SELECT extract(epoch FROM next_try_time - now())::float FROM events"
        ).scalar()
        return float(value or 0)

    async with Endpoint(lambda post: answer) as endpoint:
        await database.run(fill, endpoint.url)
        async with notifying(database):
            await until(lambda: len(endpoint.posts) == 1)
    assert await database.run(state_of, "pay_1") == (state, 1, error)
    expected_s = {"HTTP 410": 0, "HTTP 429": 120}.get(error, RETRY_DELAYS_S[0])
    assert await database.run(wait_s) == pytest.approx(expected_s, abs=2)


async def test_410_ends_the_endpoint_and_everything_that_waits_for_it(database: Database) -> None:
    def fill(connection: Connection, gone_url: str, url: str) -> None:
        add_tenant(connection, "gone", url=gone_url)
        add_tenant(connection, "life", url=url)
        for number in range(100):
            add_event(connection, "gone", f"pay_gone{number}", order_no=f"g-{number // 2}")
            add_event(connection, "life", f"pay_life{number}")

    def states(connection: Connection) -> set[tuple[str, str]]:
        return {tuple(row) for row in connection.exec_driver_sql("SELECT tenant_id, deliver_state FROM events")}

    async with Endpoint(lambda post: 410) as gone, Endpoint() as endpoint:
        await database.run(fill, gone.url, endpoint.url)
        async with notifying(database, per_endpoint=2):
            await until_settled(database)
        assert len(gone.posts) <= 2 * 4
    assert await database.run(states) == {("gone", "DEAD"), ("life", "DELIVERED")}


async def test_a_blocked_address_is_a_failed_try(database: Database) -> None:
    def fill(connection: Connection) -> None:
        add_tenant(connection, "life", url="http://169.254.169.254/latest/meta-data")
        add_event(connection, "life", "pay_1")

    def tried(connection: Connection) -> bool:
        return state_of(connection, "pay_1")[1] > 0

    await database.run(fill)
    async with notifying(database):
        while not await database.run(tried):
            await asyncio.sleep(0.01)
    assert await database.run(state_of, "pay_1") == ("PENDING", 1, "BLOCKED_ADDRESS")


async def test_an_event_whose_endpoint_was_removed_is_dead(database: Database) -> None:
    def fill(connection: Connection) -> None:
        add_tenant(connection, "life")
        add_event(connection, "life", "pay_1")
        connection.exec_driver_sql("DELETE FROM webhook_endpoints")

    await database.run(fill)
    async with notifying(database):
        await until_settled(database)
    assert await database.run(state_of, "pay_1") == ("DEAD", 1, "NO_ENDPOINT")


async def test_two_notifiers_send_each_event_once(database: Database) -> None:
    def fill(connection: Connection, url: str) -> None:
        add_tenant(connection, "life", url=url)
        for number in range(200):
            add_event(connection, "life", f"pay_{number}", order_no=f"o-{number // 4}")

    async with Endpoint() as endpoint:
        await database.run(fill, endpoint.url)
        async with notifying(database), notifying(database):
            await until_settled(database)
    assert Counter(Counter(post.headers["webhook-id"] for post in endpoint.posts).values()) == {1: 200}
    for order in range(50):
        told = [post.notice["data"]["payment_id"] for post in endpoint.posts if
                post.notice["data"]["order_no"] == f"o-{order}"]  # fmt: skip
        assert told == [f"pay_{number}" for number in range(order * 4, order * 4 + 4)]


async def test_a_database_that_is_away_for_a_moment_is_waited_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(connection: Connection, url: str) -> None:
        add_tenant(connection, "life", url=url)
        for number in range(20):
            add_event(connection, "life", f"pay_{number}")

    chance, run = random.Random(3), Database.run

    async def flaky(self: Database, work: Any, *args: Any, **kwargs: Any) -> Any:
        if work in (events.claim_due, events.record) and chance.random() < 0.4:
            raise DatabaseUnavailable("away")
        return await run(self, work, *args, **kwargs)

    monkeypatch.setattr("actors.notifier.OUTAGE_S", 0.01)
    monkeypatch.setattr(Database, "run", flaky)
    async with Endpoint() as endpoint:
        await database.run(fill, endpoint.url)
        async with notifying(database):
            await until_settled(database)
    assert len(endpoint.posts) == 20


async def test_a_bug_stops_the_notifier_loudly(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(connection: Connection) -> None:
        add_tenant(connection, "life")
        add_event(connection, "life", "pay_1")

    def broken(*args: object, **options: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr("actors.notifier.payload", broken)
    await database.run(fill)
    async with WebhookSender(True, timeout_s=1) as sender:
        notifier = Notifier(database, sender, new_vault(), poll_s=0.01)
        assert (await notifier.ping())["held"] == 0
        with pytest.raises(ExceptionGroup):
            await notifier.run()
        with pytest.raises(RuntimeError):
            await notifier.ping()


async def test_what_waits_in_its_order_follows_at_once_although_claims_and_records_cross(database: Database) -> None:
    def fill(connection: Connection, url: str) -> None:
        add_tenant(connection, "life", url=url)
        for number in range(600):
            add_event(connection, "life", f"pay_{number}", order_no=f"o-{number // 3}")

    async with Endpoint() as endpoint:
        await database.run(fill, endpoint.url)
        async with notifying(database, lease_s=3600):
            await until_settled(database)
    assert len(endpoint.posts) == 600
