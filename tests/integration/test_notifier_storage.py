"""The outbox on real PostgreSQL: claims in order per order, leases, records, the stream, resends."""

from collections.abc import Iterator

import pytest
import sqlalchemy
from sqlalchemy import Connection, Engine

from domain.delivery import Fate
from domain.refusals import Kind, Refused
from storage import events
from tests.integration.outbox import SECRET, add_event, add_tenant, state_of
from tests.vaults import new_vault


@pytest.fixture
def engine(emptied_database_url: str) -> Iterator[Engine]:
    made = sqlalchemy.create_engine(emptied_database_url)
    yield made
    made.dispose()


def claim(connection: Connection, **changes: object) -> list[events.Claim]:
    options = {"limit": 100, "lease_s": 60, "per_tenant": 100} | changes
    return events.claim_due(connection, new_vault(), **options)  # type: ignore[arg-type]


def result(claimed: events.Claim, fate: Fate, *, delay_ms: int = 0, error: str = "") -> events.Result:
    return events.Result(
        claimed.payment.payment_id,
        claimed.happening.revision,
        claimed.try_count,
        fate,
        delay_ms,
        error,
        claimed.payment.tenant_id,
        claimed.url,
    )


def names(claims: list[events.Claim]) -> list[str]:
    return [claimed.payment.payment_id for claimed in claims]


def test_a_claim_brings_everything_a_notice_needs_and_hides_the_event(engine: Engine) -> None:
    with engine.begin() as connection:
        add_tenant(connection, "life", url="https://a.example/n")
        add_event(connection, "life", "pay_1", order_no="订单 {1}")
        (claimed,) = claim(connection)
    assert (claimed.url, claimed.secrets, claimed.try_count) == ("https://a.example/n", (SECRET,), 0)
    assert (claimed.payment.order_no, claimed.happening.event_type) == ("订单 {1}", "payment.succeeded")
    with engine.begin() as connection:
        assert claim(connection) == []


def test_what_a_killed_notifier_held_comes_back_when_its_lease_ends(engine: Engine) -> None:
    with engine.begin() as connection:
        add_tenant(connection, "life")
        add_event(connection, "life", "pay_1")
        assert names(claim(connection, lease_s=0)) == ["pay_1"]
    with engine.begin() as connection:
        assert names(claim(connection)) == ["pay_1"]


def test_the_second_event_of_an_order_waits_for_the_first(engine: Engine) -> None:
    with engine.begin() as connection:
        add_tenant(connection, "life")
        add_event(connection, "life", "pay_1", order_no="o-1", revision=2, state="FAILED")
        add_event(connection, "life", "pay_1", order_no="o-1", revision=3)
        add_event(connection, "life", "pay_2", order_no="o-1")
        add_event(connection, "life", "pay_3", order_no="o-2")
    with engine.begin() as connection:
        first, other = claim(connection)
        assert (first.payment.payment_id, first.happening.revision) == ("pay_1", 2)
        assert other.payment.payment_id == "pay_3"
    with engine.begin() as connection:
        events.record(connection, [result(first, Fate.RETRY, delay_ms=3_600_000, error="HTTP 500")])
        assert claim(connection) == []
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE events SET next_try_time = now() WHERE payment_id <> 'pay_3'")
        (again,) = claim(connection)
        assert (again.happening.revision, again.try_count) == (2, 1)
    with engine.begin() as connection:
        events.record(connection, [result(again, Fate.DELIVERED)])
    with engine.begin() as connection:
        (second,) = claim(connection)
        assert (second.payment.payment_id, second.happening.revision) == ("pay_1", 3)
        events.record(connection, [result(second, Fate.DEAD, error="HTTP 500")])
    with engine.begin() as connection:
        assert names(claim(connection)) == ["pay_2"]


def test_two_notifiers_never_hold_the_same_event(engine: Engine) -> None:
    with engine.begin() as connection:
        add_tenant(connection, "life")
        for number in range(10):
            add_event(connection, "life", f"pay_{number}")
    with engine.begin() as one, engine.begin() as two:
        first, second = claim(one, limit=4), claim(two)
    assert (len(first), len(second)) == (4, 6)
    assert not set(names(first)) & set(names(second))


def test_one_tenant_cannot_take_all_claims(engine: Engine) -> None:
    with engine.begin() as connection:
        for tenant_id in ("life", "auto", "health"):
            add_tenant(connection, tenant_id)
            for number in range(20):
                add_event(connection, tenant_id, f"pay_{tenant_id}{number}")
        claims = claim(connection, per_tenant=5, rooms={"auto": 0, "health": 2})
    tenants = [claimed.payment.tenant_id for claimed in claims]
    assert (tenants.count("life"), tenants.count("auto"), tenants.count("health")) == (5, 0, 2)


def test_a_late_failure_does_not_undo_a_newer_try_but_a_late_delivery_counts(engine: Engine) -> None:
    with engine.begin() as connection:
        add_tenant(connection, "life")
        add_event(connection, "life", "pay_1")
        (old,) = claim(connection, lease_s=0)
    with engine.begin() as connection:
        (new,) = claim(connection)
        events.record(connection, [result(new, Fate.RETRY, delay_ms=5_000, error="HTTP 500")])
        events.record(connection, [result(old, Fate.DEAD, error="late")])
        assert state_of(connection, "pay_1") == ("PENDING", 1, "HTTP 500")
        events.record(connection, [result(old, Fate.DELIVERED)])
        assert state_of(connection, "pay_1") == ("DELIVERED", 2, "")
        events.record(connection, [result(old, Fate.DEAD, error="late")])
        assert state_of(connection, "pay_1") == ("DELIVERED", 2, "")


def test_gone_disables_the_endpoint_and_buries_what_waits(engine: Engine) -> None:
    with engine.begin() as connection:
        add_tenant(connection, "life")
        add_tenant(connection, "auto")
        add_event(connection, "auto", "pay_other")
        for number in range(3):
            add_event(connection, "life", f"pay_{number}")
        (claimed, *_) = [one for one in claim(connection) if one.payment.tenant_id == "life"]
        events.record(connection, [result(claimed, Fate.GONE, error="HTTP 410")])
        assert events.bury(connection, tenant_id="life") == 2
        assert events.bury(connection, tenant_id="life") == 0
        assert events.bury(connection, tenant_id="auto") == 0
        assert {state_of(connection, f"pay_{number}")[0] for number in range(3)} == {"DEAD"}
        assert [line.tenant_id for line in events.backlog(connection)] == ["auto"]


def test_gone_of_an_endpoint_that_was_replaced_meanwhile_disables_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        add_tenant(connection, "life")
        add_event(connection, "life", "pay_1")
        (claimed,) = claim(connection)
        connection.exec_driver_sql("UPDATE webhook_endpoints SET url = 'https://new.example/'")
        events.record(connection, [result(claimed, Fate.GONE, error="HTTP 410")])
        assert connection.exec_driver_sql("SELECT disable_time FROM webhook_endpoints").scalar() is None


def test_an_event_without_an_endpoint_is_claimed_without_url(engine: Engine) -> None:
    with engine.begin() as connection:
        add_tenant(connection, "life")
        add_event(connection, "life", "pay_1")
        connection.exec_driver_sql("UPDATE webhook_endpoints SET disable_time = now()")
        (claimed,) = claim(connection)
    assert (claimed.url, claimed.secrets) == ("", ())


def stream(connection: Connection, cursor: str = "", limit: int = 100) -> list[events.Told]:
    return events.read_stream(connection, tenant_id="life", cursor=cursor, limit=limit)


def test_crossed_transactions_skip_no_event_of_the_stream(engine: Engine) -> None:
    with engine.begin() as connection:
        add_tenant(connection, "life")
    slow, fast = engine.connect(), engine.connect()
    slow_transaction, fast_transaction = slow.begin(), fast.begin()
    add_event(slow, "life", "pay_slow")
    add_event(fast, "life", "pay_fast")
    fast_transaction.commit()
    with engine.begin() as connection:
        assert stream(connection) == []  # the fast one is committed, and must wait for the slow one
    slow_transaction.commit()
    with engine.begin() as connection:
        told = stream(connection)
        assert [one.payment.payment_id for one in told] == ["pay_slow", "pay_fast"]
        assert stream(connection, told[-1].cursor) == []
    slow.close()
    fast.close()


def test_a_stream_is_read_in_pages_and_by_one_tenant_only(engine: Engine) -> None:
    for number in range(7):
        with engine.begin() as connection:
            if number == 0:
                add_tenant(connection, "life")
                add_tenant(connection, "auto")
            add_event(connection, "life", f"pay_{number}")
            add_event(connection, "auto", f"pay_auto{number}")
    seen: list[str] = []
    cursor = ""
    with engine.begin() as connection:
        while told := stream(connection, cursor, limit=3):
            seen += [one.payment.payment_id for one in told]
            cursor = told[-1].cursor
    assert seen == [f"pay_{number}" for number in range(7)]


def test_a_stream_from_now_on_leaves_out_what_was(engine: Engine) -> None:
    with engine.begin() as connection:
        add_tenant(connection, "life")
        add_event(connection, "life", "pay_old")
    with engine.begin() as connection:
        cursor = events.head_cursor(connection)
    with engine.begin() as connection:
        add_event(connection, "life", "pay_new")
    with engine.begin() as connection:
        assert [one.payment.payment_id for one in stream(connection, cursor)] == ["pay_new"]


@pytest.mark.parametrize("cursor", ["x", "1", "1.", ".1", "1.2.3", "-1.2", "1.²", "9" * 19 + ".1", "1." + "9" * 30])
def test_a_wrong_cursor_is_a_value_error(cursor: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        events.parse_cursor(cursor)


def test_deliveries_are_listed_newest_first_in_pages_and_filtered(engine: Engine) -> None:
    with engine.begin() as connection:
        add_tenant(connection, "life")
        add_tenant(connection, "auto")
        for number in range(5):
            add_event(connection, "life", f"pay_{number}", order_no=f"o-{number % 2}")
        add_event(connection, "auto", "pay_auto", order_no="o-1")
        claims = claim(connection)
        done = next(one for one in claims if one.payment.payment_id == "pay_1")
        events.record(connection, [result(done, Fate.DELIVERED)])
        pages, token = [], ""
        while True:
            page = events.list_deliveries(connection, tenant_id="life", page_size=2, page_token=token)
            pages.append([one.payment_id for one in page.deliveries])
            token = page.next_page_token
            if not token:
                break
        assert pages == [["pay_4", "pay_3"], ["pay_2", "pay_1"], ["pay_0"]]
        delivered = events.list_deliveries(connection, tenant_id="life", page_size=9, state="DELIVERED")
        assert [(one.event_id, one.try_count) for one in delivered.deliveries] == [("evt_1_2", 1)]
        assert delivered.deliveries[0].deliver_ms > 0
        of_order = events.list_deliveries(connection, tenant_id="life", page_size=9, order_no="o-1")
        assert [one.payment_id for one in of_order.deliveries] == ["pay_3", "pay_1"]


def test_a_resend_sends_once_per_request_with_the_same_id(engine: Engine) -> None:
    with engine.begin() as connection:
        add_tenant(connection, "life")
        add_event(connection, "life", "pay_1")
        (claimed,) = claim(connection)
        events.record(connection, [result(claimed, Fate.DEAD, error="HTTP 500")])
        again = events.resend(connection, tenant_id="life", event_id="evt_1_2", request_id="r-1")
        assert again is not None
        assert (again.event_id, again.state, again.resend_count, again.try_count) == ("evt_1_2", "PENDING", 1, 0)
        (claimed,) = claim(connection)
        events.record(connection, [result(claimed, Fate.DELIVERED)])
        repeated = events.resend(connection, tenant_id="life", event_id="evt_1_2", request_id="r-1")
        assert repeated is not None and (repeated.state, repeated.resend_count) == ("DELIVERED", 1)
        new = events.resend(connection, tenant_id="life", event_id="evt_1_2", request_id="r-2")
        assert new is not None and (new.state, new.resend_count) == ("PENDING", 2)


def test_resends_that_are_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        add_tenant(connection, "life")
        add_tenant(connection, "quiet", url="")
        for tenant_id, payment_id in (("life", "pay_1"), ("life", "pay_2"), ("quiet", "pay_3")):
            add_event(connection, tenant_id, payment_id, deliver_state="DELIVERED")
        assert events.resend(connection, tenant_id="quiet", event_id="evt_1_2", request_id="r") is None
        assert events.resend(connection, tenant_id="life", event_id="evt_1_9", request_id="r") is None
        assert events.resend(connection, tenant_id="life", event_id="nonsense", request_id="r") is None
        with pytest.raises(Refused) as no_endpoint:
            events.resend(connection, tenant_id="quiet", event_id="evt_3_2", request_id="r")
        assert no_endpoint.value.refusal[:2] == (Kind.FORBIDDEN_BY_STATE, "NO_ENDPOINT")
        events.resend(connection, tenant_id="life", event_id="evt_1_2", request_id="r")
        with pytest.raises(Refused) as reused:
            events.resend(connection, tenant_id="life", event_id="evt_2_2", request_id="r")
        assert reused.value.refusal[:2] == (Kind.REUSED, "REQUEST_ID_REUSED")


def test_the_backlog_is_counted_by_tenant(engine: Engine) -> None:
    with engine.begin() as connection:
        add_tenant(connection, "life")
        add_event(connection, "life", "pay_1")
        add_event(connection, "life", "pay_2")
        connection.exec_driver_sql("UPDATE events SET create_time = now() - interval '90 s' WHERE payment_id = 'pay_1'")
        (line,) = events.backlog(connection)
    assert (line.tenant_id, line.waiting) == ("life", 2)
    assert 90 <= line.oldest_s < 95
