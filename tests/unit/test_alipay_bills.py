"""Statements of thousands of rows, written by the sandbox and read by us: exact to the fen, in both tables."""

import random
from collections import Counter

import pytest

from channels.alipay.bills import AlipayBills
from channels.port import BillDamaged, BillKind
from simulator.bills import BillRow, DayBill
from simulator.records import Attempt, Entry, Movement, Refund
from simulator.wire.alipay import bills

DATE, ROWS = "2026-11-24", 3_000
BEGIN_MS = 1_795_449_600_000
FILES = {BillKind.TRADE: "trade", BillKind.FUND: "signcustomer"}


def day() -> tuple[DayBill, Counter[str]]:
    """Make a day of charges and refunds of any amounts, and what moved in it by kind."""
    chance, rows, truth = random.Random(3), [], Counter[str]()
    for place in range(ROWS):
        attempt = Attempt(f"n{place}", "m1")
        attempt.txn_no = f"{place + 1:024X}"
        attempt.amount_minor = chance.randrange(1, 10**9)
        attempt.made_ms = attempt.paid_ms = BEGIN_MS + place * 20_000
        attempt.memo = {"subject": '车险,"保费"', "body": f"o{place}"}
        if place % 10 == 9:
            refund = Refund(f"r{place}", attempt, chance.randrange(1, attempt.amount_minor + 1), 0, False, attempt.txn_no)
            refund.made_ms = refund.settled_ms = attempt.paid_ms
            rows.append(BillRow(Entry("c", Movement.REFUND, refund), 0))
            truth["REFUND"] += refund.amount_minor
        else:
            fee_minor = (attempt.amount_minor * 60 + 5_000) // 10_000
            rows.append(BillRow(Entry("c", Movement.CHARGE, attempt), fee_minor))
            truth.update({"CHARGE": attempt.amount_minor, "FEE": fee_minor})
    return DayBill("m1", DATE, rows), truth


@pytest.mark.parametrize("kind", FILES)
def test_every_fen_of_a_long_day_comes_through(kind: BillKind) -> None:
    made, truth = day()
    content = bills.zipped(made, FILES[kind], now_ms=BEGIN_MS + 86_400_000)
    told: Counter[str] = Counter()
    for line in AlipayBills().read(content, merchant_no="m1", kind=kind, date=DATE):
        told[line.kind.value] += line.amount_minor
        told["FEE"] += line.fee_minor
    assert told == truth


@pytest.mark.parametrize("changes", [{"totals_differ": True}, {"truncated": True}])
@pytest.mark.parametrize("kind", FILES)
def test_a_day_that_does_not_add_up_is_refused_whole(kind: BillKind, changes: dict[str, bool]) -> None:
    made, _ = day()
    content = bills.zipped(made._replace(rows=made.rows[:30], **changes), FILES[kind], now_ms=BEGIN_MS)
    with pytest.raises(BillDamaged):
        AlipayBills().read(content, merchant_no="m1", kind=kind, date=DATE)
