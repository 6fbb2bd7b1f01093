"""UnionPay's settlement file: the trades of a clearing day as fixed-width lines in GBK, in a zip.

A clearing day ends at 23:00 in China. Widths count bytes, fields are parted by one space, lines end with CRLF.
"""

import datetime
import io
import zipfile
from collections.abc import Iterable
from typing import NamedTuple

CHINA = datetime.timezone(datetime.timedelta(hours=8))
# A clearing day begins so long before its midnight.
EVENING_MS = 3_600_000
AGENCY = "00010000"
_WIDTHS = (3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2, 6, 2, 4, 32, 1, 21, 15, 1, 15, 32,
           13, 13, 8, 32, 13, 13, 12, 2, 1, 32, 98)  # fmt: skip
_CODES = {"01": "S22", "11": "S22", "04": "S30", "31": "S30", "12": "S56"}
_ZIP_TIME = (2026, 1, 1, 0, 0, 0)


class Row(NamedTuple):
    """One trade. `fee_minor` is what it costs the merchant, negative where it comes back."""

    txn_type: str
    sub_type: str
    biz_type: str
    order_no: str
    query_id: str
    trace_no: str
    time_ms: int
    amount_minor: int
    fee_minor: int
    account_no: str = ""
    original_order_no: str = ""
    original_query_id: str = ""
    reserved: str = ""
    shop_name: str = ""
    net_error_minor: int = 0  # what the net amount is off by


def clearing_day(time_ms: int) -> str:
    """Return the clearing day, YYYY-MM-DD, to which a moment belongs."""
    moment = datetime.datetime.fromtimestamp((time_ms + EVENING_MS) / 1_000, CHINA)
    return moment.date().isoformat()


def write(merchant_no: str, day: str, rows: Iterable[Row], *, cut: bool = False) -> bytes:
    """Write the file of a clearing day, with `cut` without its end. The same rows make the same bytes."""
    stamp = f"INN{day[2:4]}{day[5:7]}{day[8:10]}88"
    lines = b"".join(_line(merchant_no, row) for row in rows)
    lines = lines[: -len(lines) // 3] if cut else lines
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for kind, text in (("ZM", lines), ("ZME", b"")):
            archive.writestr(zipfile.ZipInfo(f"{stamp}{kind}_{merchant_no}", _ZIP_TIME), text, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _line(merchant_no: str, row: Row) -> bytes:
    in_favour = row.txn_type in ("01", "11")
    settled = row.amount_minor if in_favour else -row.amount_minor
    time = datetime.datetime.fromtimestamp(row.time_ms / 1_000, CHINA).strftime("%m%d%H%M%S")
    cells = {
        1: _CODES.get(row.txn_type, "S99"), 2: AGENCY, 3: AGENCY, 4: row.trace_no, 5: time, 6: row.account_no,
        7: f"{row.amount_minor:012d}", 8: "6300", 9: "07", 10: row.query_id, 12: row.order_no, 13: "01",
        16: _signed(-row.fee_minor), 17: _signed(settled), 18: "0001", 20: row.txn_type, 21: row.sub_type,
        22: row.biz_type, 23: "01", 26: "0", 27: row.original_query_id, 28: merchant_no, 31: row.shop_name,
        33: _signed(settled - row.fee_minor + row.net_error_minor), 35: row.reserved, 40: "0", 41: row.original_order_no,
    }  # fmt: skip
    return b" ".join(_cell(cells.get(column, ""), width) for column, width in enumerate(_WIDTHS, start=1)) + b"\r\n"


def _cell(text: str, width: int) -> bytes:
    """Cut and pad a text to its bytes; a character that would be cut in two is left out."""
    if text.isascii():
        return text[:width].ljust(width).encode()
    raw = text.encode("gbk", "replace")[:width]
    return raw.decode("gbk", "ignore").encode("gbk").ljust(width)


def _signed(amount_minor: int) -> str:
    return f"{'C' if amount_minor >= 0 else 'D'}{abs(amount_minor):012d}"
