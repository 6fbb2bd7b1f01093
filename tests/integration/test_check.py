"""`paydesk check` finds what is wrong: payments are made as in life, then one row is spoilt, and one rule names it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from ops.check import TruthEntry, check, truth_of_ledger
from tests.harness import House, new_payment, opened_house

GOOD_NOTICES = {"bad_signatures": 0, "disorders": 0, "changed_bodies": 0, "accepted": 0, "problems": []}


@pytest_asyncio.fixture
async def house(emptied_database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """Some paid orders, a declined one, and an order that two payers paid, whose second payment went back."""
    async with opened_house(emptied_database_url, tmp_path) as opened:
        for number in range(3):
            await opened.pay(f"paid-{number}")
        await opened.pay("declined", payer_ref="payer_no_funds")
        await opened.submit(
            new_payment("twice", method="QR"), new_payment("twice", method="CARD", request_id="req-twice-card")
        )
        await opened.settle()
        await opened.sweep()
        await opened.skip(3)
        await opened.sweep(2)
        opened.sql("UPDATE payments SET next_action_time = now() WHERE next_action_time IS NOT NULL")
        yield opened


async def truth_of(house: House) -> list[TruthEntry]:
    return [
        TruthEntry(e["channel_id"], e["kind"], e["attempt_no"], e["merchant_no"], e["amount_minor"], e["currency"])
        for e in await house.truth()
    ]


async def broken(house: House, truth: list[TruthEntry] | None = None) -> set[str]:
    verdict = check(house.url, await truth_of(house) if truth is None else truth)
    return {finding.name for finding in verdict.broken()}


async def test_a_day_that_went_well_holds(house: House) -> None:
    truth = await truth_of(house)
    verdict = check(house.url, iter(truth), GOOD_NOTICES)
    assert verdict.holds, verdict.broken()
    assert verdict.figures["payments"] == 6
    assert verdict.figures["succeeded"] == 5
    assert verdict.figures["refunds"] == 1
    assert sum(channel.charged_minor for channel in verdict.channels) == 5 * 680_000
    assert sum(channel.refunded_here_minor for channel in verdict.channels) == 680_000
    assert verdict.document()["holds"] is True


async def test_without_a_truth_only_the_tables_are_looked_at(house: House) -> None:
    verdict = check(house.url)
    assert verdict.holds
    assert "truth_entries" not in verdict.figures
    assert "payment_lost" not in {finding.name for finding in verdict.findings}


@pytest.mark.parametrize(
    ("statement", "rules"),
    [
        ("DELETE FROM refunds", {"extra_money_not_returned", "order_paid_twice", "refunded_sum"}),
        ("UPDATE refunds SET amount_minor = 2 * amount_minor", {"refunds_over_captured"}),
        ("UPDATE payments SET state = 'FAILED', kept = NULL WHERE order_no = 'paid-1'", {"payment_lost", "history_gap"}),
        ("DELETE FROM events WHERE order_no = 'paid-0'", {"end_not_told"}),
        (("DELETE FROM payment_history WHERE revision = 1 AND payment_id = (SELECT payment_id FROM payments "
         "WHERE order_no = 'paid-0')"), {"history_gap", "history_step"}),
        ("UPDATE payment_history SET event = 'WAIT' WHERE event = 'DECLINE'", {"history_step", "end_not_told"}),
        ("DELETE FROM journal WHERE payment_id = (SELECT payment_id FROM payments WHERE order_no = 'paid-0')",
         {"booked_once", "books_balance"}),
        ("UPDATE journal SET amount_minor = amount_minor + 1 WHERE debit_account LIKE 'channel:%%'", {"books_balance"}),
        ("UPDATE attempts SET state = 'LIVE' WHERE state = 'REJECTED'", {"current_attempt"}),
        ("UPDATE refunds SET state = 'UNKNOWN', next_action_time = now() - interval '2 min'", {"orphans"}),
        ("UPDATE payments SET amount_minor = amount_minor + 1 WHERE order_no = 'paid-2'", {"other_money", "channel_sums"}),
        ("UPDATE events SET deliver_state = 'PENDING', next_try_time = now() - interval '2 min'", {"notices_overdue"}),
        ("UPDATE events SET deliver_state = 'DELIVERED', deliver_time = now() - position * interval '1 s'",
         {"told_out_of_order"}),
    ],
)  # fmt: skip
async def test_a_spoilt_row_is_named_by_its_rule(house: House, statement: str, rules: set[str]) -> None:
    house.sql(f"SET LOCAL session_replication_role = replica; {statement.replace('%%', '%')}")  # as whoever owns the server may
    assert rules <= await broken(house)


async def test_money_that_the_channel_took_and_we_do_not_know_is_found(house: House) -> None:
    truth = await truth_of(house)
    charge = next(entry for entry in truth if entry.kind == "CHARGE")
    assert await broken(house, [*truth, charge]) >= {"charged_twice", "channel_sums"}
    assert await broken(house, [*truth, charge._replace(attempt_no="never given")]) >= {"stranger_charged"}
    refund = next(entry for entry in truth if entry.kind == "REFUND")
    assert await broken(house, [entry for entry in truth if entry is not refund]) >= {
        "refund_differs", "order_charged_twice",
    }  # fmt: skip
    declined = house.payment("declined")
    taken = charge._replace(attempt_no=declined.attempt_no, channel_id=declined.channel_id)
    assert await broken(house, [*truth, taken]) >= {"payment_lost"}


async def test_money_that_we_believe_in_and_no_channel_took_is_found(house: House) -> None:
    truth = await truth_of(house)
    number = house.payment("paid-0").attempt_no
    assert await broken(house, [entry for entry in truth if entry.attempt_no != number]) == {
        "payment_invented", "channel_sums",
    }  # fmt: skip
    other = [entry._replace(amount_minor=1) if entry.attempt_no == number else entry for entry in truth]
    assert await broken(house, other) == {"other_money", "channel_sums"}


async def test_what_is_open_is_doubt_and_no_fault(house: House) -> None:
    await house.fault("TIMEOUT_TAKEN")
    await house.fault("TIMEOUT_TAKEN", "c2")
    await house.pay("in doubt")
    verdict = check(house.url, await truth_of(house))
    assert verdict.holds, verdict.broken()
    assert verdict.figures["in_doubt"] == 1


async def test_what_the_receiver_complains_of_is_a_finding(house: House) -> None:
    house.sql("UPDATE events SET deliver_state = 'DELIVERED', deliver_time = now(), next_try_time = NULL")
    verdict = check(house.url, None, {**GOOD_NOTICES, "bad_signatures": 1, "disorders": 2, "problems": ["A before B"]})
    found = {finding.name: finding for finding in verdict.broken()}
    assert found.keys() == {"notice_signature", "notice_order", "notice_missing"}
    assert found["notice_order"].examples == ("A before B",)


async def test_examples_are_few_and_the_count_is_whole(house: House) -> None:
    for number in range(8):
        await house.pay(f"more-{number}")
    house.sql("DELETE FROM events WHERE order_no LIKE 'more-%'")
    (finding,) = [item for item in check(house.url).broken() if item.name == "end_not_told"]
    assert (finding.broken, len(finding.examples)) == (8, 5)


async def test_the_ledger_on_disk_tells_the_same_truth(house: House, tmp_path: Path) -> None:
    said = await truth_of(house)
    await house.world.aclose()
    assert list(truth_of_ledger(tmp_path)) == said
    assert list(truth_of_ledger(tmp_path / "nowhere")) == []
