"""A day's statement of many rows, written by the sandbox and read by us: exact to the fen, how fast, and in how much memory.

    python -m ops.bench.bills write --statement alipay-trade --rows 100000 --file FILE
    python -m ops.bench.bills read  --statement alipay-trade --file FILE

Each half is a process of its own, so that the reader's memory is the reader's alone. Both print what moved, by kind: how
often, how much, and its fees. The writer knows it from the movements, the reader from the file.
"""

import argparse
import json
import random
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from channels.port import BillKind
from channels.registry import make_bill_reader
from domain.credentials import Credentials
from simulator.bills import BillRow, DayBill
from simulator.records import Attempt, Entry, Movement, Payout, Refund
from simulator.wire.accounts import Account
from simulator.wire.alipay import bills as alipay
from simulator.wire.iso20022 import statements
from simulator.wire.iso20022.credentials import account_no
from simulator.wire.unionpay import files as unionpay
from simulator.wire.wechatpay import bills as wechatpay
from simulator.words import SideWord

MERCHANT_NO, DATE = "1900000109", "2026-11-24"
BEGIN_MS, DAY_MS = 1_795_449_600_000, 86_400_000
# UnionPay's day ends at 23:00.
DAY_PART = 0.95
FEE_BPS = 60
NOW_MS = BEGIN_MS + DAY_MS

# By kind: how often, how much, and its fees.
Sums = dict[str, list[int]]


class Statement(NamedTuple):
    """One kind of statement: whose, how the sandbox writes it, and whether payouts stand in it."""

    channel: str
    kind: BillKind
    write: Callable[[DayBill], bytes]
    payouts: bool = True


_WECHATPAY = Account("wechatpay", "wechatpay", MERCHANT_NO, {"appid": "wx0000000000000001"}, {})

STATEMENTS: Mapping[str, Statement] = {
    "alipay-trade": Statement("alipay", BillKind.TRADE, lambda day: alipay.zipped(day, "trade", now_ms=NOW_MS), payouts=False),
    "alipay-fund": Statement("alipay", BillKind.FUND, lambda day: alipay.zipped(day, "signcustomer", now_ms=NOW_MS)),
    "wechatpay-trade": Statement(
        "wechatpay", BillKind.TRADE, lambda day: wechatpay.trade_file(day, day.rows, _WECHATPAY, FEE_BPS), payouts=False
    ),
    "wechatpay-fund": Statement("wechatpay", BillKind.FUND, lambda day: wechatpay.fund_file(day, FEE_BPS)),
    "unionpay-settlement": Statement("unionpay", BillKind.TRADE, unionpay.write),
    "camt.053": Statement("iso20022", BillKind.FUND, lambda day: statements.write(day, "053", now_ms=NOW_MS)),
}


def day_of(count: int) -> DayBill:
    """Make a day of charges of any amount, with a refund and a payout among ten."""
    chance, rows = random.Random(count), []
    for place in range(count):
        at_ms = BEGIN_MS + round(place * DAY_MS * DAY_PART / count)
        if place % 10 == 8:
            payout = Payout(f"p{place:09d}", MERCHANT_NO, f"{place + 1:024X}", SideWord.PAYOUT_PAID, at_ms, "")
            payout.amount_minor, payout.done_ms, payout.currency = chance.randrange(1, 10**7), at_ms, "CNY"
            rows.append(BillRow(Entry("c", Movement.PAYOUT, payout), 0))
            continue
        attempt = Attempt(f"n{place:09d}", MERCHANT_NO)
        attempt.txn_no = f"{place + 1:024X}"
        attempt.amount_minor = chance.randrange(1, 10**7)
        attempt.made_ms = attempt.paid_ms = at_ms
        attempt.memo = {"subject": "车险 保费", "body": f"o{place}", "attach": f"o{place}"}
        if place % 10 == 9:
            refund = Refund(f"r{place:09d}", attempt, chance.randrange(1, attempt.amount_minor + 1), 0, False, attempt.txn_no)
            refund.made_ms = refund.settled_ms = at_ms
            rows.append(BillRow(Entry("c", Movement.REFUND, refund), 0))
        else:
            rows.append(BillRow(Entry("c", Movement.CHARGE, attempt), _fee_minor(attempt.amount_minor)))
    return DayBill(MERCHANT_NO, DATE, rows)


def _fee_minor(amount_minor: int) -> int:
    return (amount_minor * FEE_BPS + 5_000) // 10_000


class _Account(NamedTuple):
    merchant_no: str
    terms: Mapping[str, Any]
    credentials: Sequence[Credentials]


def read(name: str, content: bytes) -> dict[str, Any]:
    """Read a statement as the hub does; return its sums, and what that took."""
    channel, kind, *_ = STATEMENTS[name]
    account = _Account(MERCHANT_NO, {"account_no": account_no(MERCHANT_NO)}, [])
    reader = make_bill_reader(channel, channel, {}, [account])
    assert reader is not None, "all of these channels have statements"
    begin_s = time.perf_counter()
    sums: Sums = {}
    for line in reader.read(content, merchant_no=MERCHANT_NO, kind=kind, date=DATE):
        _add(sums, line.kind, line.amount_minor, line.fee_minor)
    seconds, lines = time.perf_counter() - begin_s, sum(count for count, _, _ in sums.values())
    return {"sums": sums, "lines": lines, "lines_per_s": round(lines / seconds), "file_mb": round(len(content) / 1e6, 1),
            "peak_mb": round(_peak_mb())}  # fmt: skip


def _add(sums: Sums, kind: str, amount_minor: int, fee_minor: int) -> None:
    so_far = sums.setdefault(kind, [0, 0, 0])
    for place, more in enumerate((1, amount_minor, fee_minor)):
        so_far[place] += more


def off_by(name: str, moved: Sums, told: Sums) -> int:
    """Return by how many fen and lines, together, what was read differs from what moved."""
    nothing = [0, 0, 0]
    charges, refunds, payouts = (moved[kind] for kind in ("CHARGE", "REFUND", "PAYOUT"))
    # Of a bank's debit, the refund is its return. Fees stand with their charges, or in lines of their own.
    pairs = [(charges[:2], told["CHARGE"][:2]), (refunds[:2], told.get("REFUND", told.get("CHARGE_RETURN", nothing))[:2]),
             ([charges[2]], [told["CHARGE"][2] + told.get("FEE", nothing)[1]])]  # fmt: skip
    pairs.append((payouts[:2] if STATEMENTS[name].payouts else nothing[:2], told.get("PAYOUT", nothing)[:2]))
    return sum(abs(one - other) for pair in pairs for one, other in zip(*pair, strict=True))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Write or read a long statement.")
    parser.add_argument("what", choices=("write", "read"))
    parser.add_argument("--statement", choices=STATEMENTS, required=True)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--file", type=Path, required=True)
    options = parser.parse_args()
    if options.what == "read":
        print(json.dumps(read(options.statement, options.file.read_bytes())))
        return
    day = day_of(options.rows)
    options.file.write_bytes(STATEMENTS[options.statement].write(day))
    moved: Sums = {}
    for row in day.rows:
        _add(moved, row.entry.movement, row.entry.record.amount_minor, row.fee_minor)
    print(json.dumps({"moved": moved}))


if __name__ == "__main__":
    main()
