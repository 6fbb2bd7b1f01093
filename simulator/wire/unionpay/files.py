"""The file host: settlement files of clearing days, packed."""

import datetime
from collections.abc import Mapping

from simulator.bills import BillRow, DayBill
from simulator.records import Attempt, Movement, Refund
from simulator.wire.unionpay import settlement, trades, words
from simulator.wire.unionpay.messages import CHINA, Invalid, pack
from simulator.wire.unionpay.settlement import EVENING_MS, Row
from simulator.wire.unionpay.transactions import Call, Handler, Reply, answered, refused
from simulator.words import Operation, SideWord

NO_FILE = "98"
TEST_SHOP = "某某财产保险股份有限公司"


async def settlement_file(call: Call) -> Reply:
    """Give the file of the clearing day MMDD that was last."""
    if call.text("fileType") != "00":
        raise Invalid("10", "fileType")
    day = _last(call.text("settleDate"), call.front.world.now_ms())
    told = await call.ask(Operation.BILL, {"date": day, "early_ms": EVENING_MS})
    if told.fields["word"] != SideWord.BILL_READY:
        raise refused(NO_FILE, told)
    channel = call.front.channel(call.account.channel_id)
    content = write(channel.bills.of_day(call.account.merchant_no, day, early_ms=EVENING_MS))
    name = f"{call.account.merchant_no}_{day.replace('-', '')}.zip"
    return answered(told, words.GOOD, {"fileName": name, "fileContent": pack(content)})


def write(bill: DayBill) -> bytes:
    """Write a day's file, damaged as the faults have it."""
    rows = [_row(row) for row in bill.rows if row.entry.movement in _TYPES]
    if bill.totals_differ and rows:
        rows[0] = rows[0]._replace(net_error_minor=1)
    return settlement.write(bill.merchant_no, bill.date, rows, cut=bill.truncated)


_TYPES = {Movement.CHARGE: "01", Movement.REFUND: "04", Movement.PAYOUT: "12"}


def _row(row: BillRow) -> Row:
    record = row.entry.record
    memo, original = record.memo, record.attempt if isinstance(record, Refund) else None
    return Row(
        memo.get("txn_type", _TYPES[row.entry.movement]),
        memo.get("sub_type", "00"),
        memo.get("biz_type", ""),
        record.number,
        trades.query_id(record.txn_no),
        trades.trace_no(record.txn_no),
        row.entry.time_ms,
        record.amount_minor,
        row.fee_minor,
        original_order_no=original.number if original else "",
        original_query_id=trades.query_id(original.txn_no) if original else "",
        reserved=memo.get("reserved", "") if isinstance(record, Attempt) else "",
        shop_name=TEST_SHOP,
    )


def _last(month_day: str, now_ms: int) -> str:
    """Return the last day that has this month and day, YYYY-MM-DD. Raise Invalid."""
    today = datetime.datetime.fromtimestamp(now_ms / 1_000, CHINA).date()
    for year in (today.year, today.year - 1):
        try:
            day = datetime.datetime.strptime(f"{year}{month_day}", "%Y%m%d").replace(tzinfo=CHINA).date()
        except ValueError:
            continue
        if len(month_day) == 4 and day <= today + datetime.timedelta(days=1):
            return day.isoformat()
    raise Invalid("10", "settleDate")


HANDLERS: Mapping[tuple[str, str], Handler] = {("76", "01"): settlement_file}
