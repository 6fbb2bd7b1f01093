"""A day of an account, as camt.053 or camt.054."""

from simulator.bills import BillRow, DayBill
from simulator.records import Movement, Payout
from simulator.wire.iso20022.credentials import account_no
from simulator.wire.iso20022.messages import Line, statement

# Every account begins every day with ten million yuan.
OPENING_MINOR = 1_000_000_000

# movement -> whether it is a credit on the customer's account, family and sub-family of its code
_CODES: dict[Movement, tuple[bool, str, str]] = {
    Movement.CHARGE: (True, "IDDT", "ESDD"),
    Movement.REFUND: (False, "IDDT", "RPCR"),
    Movement.PAYOUT: (False, "ICDT", "ESCT"),
    Movement.PAYOUT_RETURN: (True, "RCDT", "RRTN"),
    Movement.SPLIT: (False, "ICDT", "OTHR"),
}


def write(bill: DayBill, kind: str, *, now_ms: int) -> bytes:
    """Write a statement, with the damage that the faults want."""
    lines = [line for row in bill.rows for line in _lines(row)]
    moved = sum(line.amount_minor if line.is_credit else -line.amount_minor for line in lines)
    closing = OPENING_MINOR + moved + (1 if bill.totals_differ else 0)
    content = statement(
        kind, account_no(bill.merchant_no), bill.date, lines, opening_minor=OPENING_MINOR, closing_minor=closing, now_ms=now_ms
    )
    return content[: -len(content) // 3] if bill.truncated else content


def _lines(row: BillRow) -> list[Line]:
    entry, record = row.entry, row.entry.record
    is_credit, family, sub = _CODES[entry.movement]
    currency = record.currency if isinstance(record, Payout) else "CNY"
    back = "AC04" if entry.movement is Movement.PAYOUT_RETURN else ""
    lines = [Line(record.number, record.txn_no, record.amount_minor, currency, is_credit, family, sub, back, entry.time_ms)]
    if row.fee_minor:
        lines.append(Line("", record.txn_no, row.fee_minor, currency, False, "ICDT", "CHRG", "", entry.time_ms))
    return lines
