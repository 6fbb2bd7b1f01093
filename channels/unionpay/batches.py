"""Batch files (批量退货, 代收, 代付) in a layout that is configured, because each contract agrees on its own.

A layout is data: the name of the file, the columns of its header and of its lines, the separator and the encoding. One
writer and one reader serve all layouts; what is written is read back the same. The default is a form seen in the field,
not one that UnionPay publishes: compare it with the contract before use.
"""

import base64
import binascii
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

# What one file may hold once it is unpacked.
FILE_BYTES_MAX = 64 << 20

HEADER = ("total_count", "total_minor")
REQUEST_COLUMNS = (
    "order_no", "currency", "amount_minor", "account_type", "account_no", "name", "biz_type", "id_type", "id_no",
    "phone_no", "note",
)  # fmt: skip
RESULT_COLUMNS = ("order_no", "currency", "amount_minor", "query_no", "code", "message")
# What a name may be made of: the contract's letters for the kind, the merchant, the date and the number.
NAME = "{letters}00000000{merchant_no}{date}{batch_no}I.txt"
LETTERS = {"01": "TH", "02": "DK", "03": "DF"}


class BatchDamaged(Exception):
    """A batch file that cannot be trusted; `reason` is a constant, `place` such as `line 17`."""

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(reason, place)
        self.reason = reason
        self.place = place


class Batch(NamedTuple):
    """One batch file. `kind` is 01 refunds, 02 collections, 03 payouts; a batch is known by number and time."""

    merchant_no: str
    kind: str
    batch_no: str  # 0001 to 9999, anew each day
    txn_time: str  # YYYYMMDDHHMMSS in China's time
    lines: Sequence[Mapping[str, str]]

    @property
    def amount_minor(self) -> int:
        """Return what the lines add up to."""
        return sum(int(line["amount_minor"]) for line in self.lines)


@dataclass(frozen=True, slots=True)
class Layout:
    """What a batch file looks like."""

    name: str = NAME
    separator: str = "|"
    encoding: str = "gbk"
    newline: str = "\r\n"
    header: tuple[str, ...] = HEADER
    columns: tuple[str, ...] = REQUEST_COLUMNS
    result_columns: tuple[str, ...] = RESULT_COLUMNS

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Layout":
        """Read a layout from settings. Raise ValueError for one that cannot work."""
        lists = ("header", "columns", "result_columns")
        read: dict[str, Any] = {name: tuple(value) if name in lists else value for name, value in settings.items()}
        layout = cls(**read)
        for needed, have in ((HEADER, layout.header), (("order_no", "amount_minor"), layout.columns),
                             (("order_no", "amount_minor", "code"), layout.result_columns)):  # fmt: skip
            if missing := set(needed) - set(have):
                raise ValueError(f"the batch layout has no column {min(missing)}")
        if not layout.separator or layout.separator in layout.newline:
            raise ValueError("the batch layout needs a separator")
        return layout


def name_of(layout: Layout, batch: Batch) -> str:
    """Return the name of a batch's file."""
    return layout.name.format(
        letters=LETTERS[batch.kind], merchant_no=batch.merchant_no, date=batch.txn_time[:8], batch_no=batch.batch_no
    )


def write(layout: Layout, batch: Batch) -> bytes:
    """Write a batch's file. Raise ValueError for a value that would break its line, or that the encoding lacks."""
    totals = {"total_count": str(len(batch.lines)), "total_minor": str(batch.amount_minor)}
    rows = [
        _row(layout, layout.header, totals),
        *(_row(layout, layout.columns, line) for line in batch.lines),
    ]
    return "".join(rows).encode(layout.encoding)


def read_results(layout: Layout, content: bytes) -> list[dict[str, str]]:
    """Read a file of results as a whole: columns, count and sum must agree. Raise BatchDamaged."""
    try:
        text = content.decode(layout.encoding)
    except UnicodeDecodeError as error:
        raise BatchDamaged("MALFORMED", f"byte {error.start}") from None
    if not text.endswith(layout.newline):
        raise BatchDamaged("TRUNCATED", "end")
    first, *others = text.removesuffix(layout.newline).split(layout.newline)
    totals = _cells(layout, layout.header, first, 1)
    lines = [_cells(layout, layout.result_columns, line, place) for place, line in enumerate(others, start=2)]
    if _whole(totals["total_count"], 1) != len(lines):
        raise BatchDamaged("TOTALS_DIFFER", "count")
    if _whole(totals["total_minor"], 1) != sum(
        _whole(line["amount_minor"], place) for place, line in enumerate(lines, 2)
    ):
        raise BatchDamaged("TOTALS_DIFFER", "amount")
    return lines


def pack(content: bytes) -> str:
    """Return a file as fileContent carries it."""
    return base64.b64encode(zlib.compress(content)).decode()


def unpack(text: str) -> bytes:
    """Return the file that fileContent carries. Raise ValueError."""
    try:
        packed = base64.b64decode(text, validate=True)
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(packed, FILE_BYTES_MAX)
    except (binascii.Error, zlib.error) as error:
        raise ValueError("no packed file") from error
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("no packed file, or a bigger one than is taken")
    return content


def _row(layout: Layout, columns: Iterable[str], values: Mapping[str, str]) -> str:
    cells = [str(values.get(column, "")) for column in columns]
    if any(layout.separator in cell or "\r" in cell or "\n" in cell for cell in cells):
        raise ValueError("a value holds the separator or a line's end")
    return layout.separator.join(cells) + layout.newline


def _cells(layout: Layout, columns: Sequence[str], line: str, place: int) -> dict[str, str]:
    cells = line.split(layout.separator)
    if len(cells) != len(columns):
        raise BatchDamaged("MALFORMED", f"line {place}")
    return dict(zip(columns, cells, strict=True))


def _whole(text: str, place: int) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 15:
        raise BatchDamaged("MALFORMED", f"line {place}")
    return int(text)
