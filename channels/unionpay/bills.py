"""Reads UnionPay's settlement file: a zip of fixed-width lines in GBK, cut by bytes, one space between the fields.

The file of a clearing day (23:00 to 23:00) holds trades in a member `INN<yyMMdd>88ZM_<merId>` and errors and
chargebacks in `…88ZME_<merId>`. It has no totals of its own; a line's length, its separators, its merchant and its own
sum (settlement and fee make the net amount) are checked, and the zip's checksums. One bad line spoils the whole file.
"""

import datetime
import operator
import zipfile
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import IO

from channels import files
from channels.port import BillDamaged, BillKind, BillLine, LineKind
from domain.identifiers import CHINA

TRADE_WIDTHS = (
    3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2, 6, 2, 4, 32, 1, 21, 15, 1, 15, 32, 13, 13,
    8, 32, 13, 13, 12, 2, 1, 32,
)  # fmt: skip
ERROR_WIDTHS = (3, 11, 11, 6, 10, 19, 12, 4, 2, 2, 6, 10, 4, 12, 13, 13, 15, 15, 1, 12, 2)
# The reserved last field differs among the versions of the file.
TRADE_TAILS = (98, 99, 131)
ERROR_TAILS = (135,)
# A day of a million lines, unpacked; more is no settlement file.
FILE_BYTES_MAX = 1 << 30
_END = b"\r\n"

KINDS = {
    "01": LineKind.CHARGE, "03": LineKind.CHARGE, "11": LineKind.CHARGE, "12": LineKind.PAYOUT, "04": LineKind.REFUND,
    "31": LineKind.REFUND,
}  # fmt: skip


class _Cutter:
    """Cuts lines of one form. `columns` are counted from 1, as UnionPay counts them."""

    def __init__(self, widths: Sequence[int], tails: Sequence[int], columns: Sequence[int]) -> None:
        starts = [0, *accumulate(width + 1 for width in widths)]
        self._lengths = frozenset(starts[-1] + tail for tail in tails)
        self._gaps: Callable[[bytes], tuple[int, ...]] = operator.itemgetter(*(start - 1 for start in starts[1:]))
        self._spaces = (32,) * len(widths)
        self._cells: Callable[[bytes], tuple[bytes, ...]] = operator.itemgetter(
            *(slice(starts[column - 1], starts[column - 1] + widths[column - 1]) for column in columns)
        )

    def cut(self, line: bytes) -> tuple[str, ...]:
        """Return the wanted cells without the spaces around them. Raise ValueError."""
        if len(line) not in self._lengths or self._gaps(line) != self._spaces:
            raise ValueError("not the form of a line")
        return tuple([cell.decode("ascii").strip() for cell in self._cells(line)])


_TRADE = _Cutter(TRADE_WIDTHS, TRADE_TAILS, (5, 7, 10, 12, 16, 17, 20, 28, 33, 41))
_ERROR = _Cutter(ERROR_WIDTHS, ERROR_TAILS, (5, 7))


class UnionPayBills:
    """Reads settlement files."""

    def read(self, content: bytes, *, merchant_no: str, kind: BillKind, date: str) -> Iterator[BillLine]:
        """Check a file as a whole, then yield its lines. Raise BillDamaged."""
        if kind is not BillKind.TRADE:
            raise BillDamaged("NO_SUCH_KIND")
        day = datetime.date.fromisoformat(date)
        lines: list[BillLine] = []
        with files.opened(content) as archive:
            for name in _members(archive, merchant_no, day):
                read = _trade if name[11:14] == "ZM_" else _error
                with archive.open(name) as file:
                    lines += _lines(name, file, merchant_no, day, read)
        return iter(lines)


def _members(archive: zipfile.ZipFile, merchant_no: str, day: datetime.date) -> list[str]:
    """Return the members that hold lines. At least the trades must be there, all of this merchant and day."""
    names = [name for name in archive.namelist() if _is_bill(name)]
    if len(set(names)) != len(names) or not any(name[11:14] == "ZM_" for name in names):
        raise BillDamaged("MEMBER_MISSING")
    if sum(archive.getinfo(name).file_size for name in names) > FILE_BYTES_MAX:
        raise BillDamaged("TOO_LARGE")
    for name in names:
        if name.partition("_")[2] != merchant_no:
            raise BillDamaged("OTHER_MERCHANT", name)
        if name[3:9] != day.strftime("%y%m%d"):
            raise BillDamaged("OTHER_DAY", name)
    return names


def _is_bill(name: str) -> bool:
    return name[:3] == "INN" and (name[11:14] == "ZM_" or name[11:15] == "ZME_")


def _lines(
    name: str, file: IO[bytes], merchant_no: str, day: datetime.date, read: Callable[..., BillLine]
) -> Iterator[BillLine]:
    clock = _Clock(day)
    for place, line in enumerate(files.lines_of(file, bytes_max=FILE_BYTES_MAX, end=_END), start=1):
        if not line.endswith(_END):
            raise BillDamaged("TRUNCATED", name)
        try:
            yield read(line.removesuffix(_END), merchant_no, clock)
        except ValueError as error:
            raise BillDamaged("MALFORMED", f"{name} line {place}") from error
        except BillDamaged as damaged:
            raise BillDamaged(damaged.reason, f"{name} line {place}") from None


class _Clock:
    """Turns MMDDhhmmss into Unix milliseconds, in the year that the clearing day is near to."""

    def __init__(self, day: datetime.date) -> None:
        self._day = day
        self._midnights: dict[str, int] = {}

    def ms(self, text: str) -> int:
        """Return the moment. Raise ValueError."""
        midnight_ms = self._midnights.get(text[:4])
        if midnight_ms is None:
            midnight_ms = self._midnights[text[:4]] = self._midnight_ms(_whole(text[:4], 4))
        clock = _whole(text[4:], 6)
        hour, minute, second = clock // 10_000, clock // 100 % 100, clock % 100
        if hour > 23 or minute > 59 or second > 59:
            raise ValueError("no time")
        return midnight_ms + (hour * 3_600 + minute * 60 + second) * 1_000

    def _midnight_ms(self, month_day: int) -> int:
        month, day = divmod(month_day, 100)
        year = self._day.year - (month == 12 and self._day.month == 1) + (month == 1 and self._day.month == 12)
        return int(datetime.datetime(year, month, day, tzinfo=CHINA).timestamp()) * 1_000


def _trade(line: bytes, merchant_no: str, clock: _Clock) -> BillLine:
    time, amount, query_id, order_no, fee, settled, txn_type, merchant, net, original = _TRADE.cut(line)
    if merchant != merchant_no:
        raise BillDamaged("OTHER_MERCHANT")
    fee_signed = _signed(fee)
    if net and _signed(net) != _signed(settled) + fee_signed:
        raise BillDamaged("TOTALS_DIFFER")
    kind = KINDS.get(txn_type, LineKind.OTHER)
    refunds = kind is LineKind.REFUND
    return BillLine(
        kind,
        original if refunds else order_no,
        order_no if refunds else "",
        query_id,
        merchant,
        _whole(amount, 12),
        # What a charge costs is taken from us, what a refund's fee is comes back.
        fee_signed if refunds else -fee_signed,
        "CNY",
        clock.ms(time),
    )


def _error(line: bytes, merchant_no: str, clock: _Clock) -> BillLine:
    time, amount = _ERROR.cut(line)
    return BillLine(LineKind.OTHER, "", "", "", merchant_no, _whole(amount, 12), 0, "CNY", clock.ms(time))


def _signed(text: str) -> int:
    """Read C (to us) or D (from us) and twelve digits; nothing at all is zero."""
    if not text:
        return 0
    if text[0] not in "CD":
        raise ValueError("no direction")
    return _whole(text[1:], 12) * (1 if text[0] == "C" else -1)


def _whole(text: str, length: int) -> int:
    if len(text) != length or not (text.isascii() and text.isdecimal()):
        raise ValueError("no number")
    return int(text)
