"""Reads Alipay's statements: a zip with names in GBK, of which one table in GBK is checked as a whole and then told.

The file is trusted when it begins as a statement of this account and this day, ends with its own totals, and the rows
add up to them. One bad byte or amount refuses the file, never a line alone.
"""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

from channels import files
from channels.alipay.messages import fen, time_ms
from channels.port import BillDamaged, BillKind, BillLine, LineKind

# Half a million rows are about 150 MB; whatever unpacks to more is no statement.
UNPACKED_BYTES_MAX = 512 << 20
# What stands before the table, and after it.
_HEAD_LINES_MAX, _TAIL_LINES_MAX = 10, 10
_WORDS = {BillKind.TRADE: "业务", BillKind.FUND: "账务"}
_ACCOUNT = re.compile(r"#账号：\[(\w+)\]")
_FROM = re.compile(r"#起始日期：\[(\d{4})年(\d{2})月(\d{2})日 00:00:00\]")
_TRADE_TOTALS = (
    re.compile(r"#交易合计：(\d+)笔，商家实收共(-?[\d.]+)元"),
    re.compile(r"#退款合计：(\d+)笔，商家实收退款共(-?[\d.]+)元"),
)
_FUND_TOTALS = (re.compile(r"#收入合计：(\d+)笔，共(-?[\d.]+)元"), re.compile(r"#支出合计：(\d+)笔，共(-?[\d.]+)元"))
_FUND_KINDS = {
    "在线支付": LineKind.CHARGE,
    "交易退款": LineKind.REFUND,
    "转账": LineKind.PAYOUT,
    "转账退回": LineKind.RETURN,
    "退票": LineKind.RETURN,
    "收费": LineKind.FEE,
    "分账": LineKind.SPLIT,
}
_TRADE_KINDS = {"交易": LineKind.CHARGE, "退款": LineKind.REFUND}

Row = Mapping[str, str]
# A line's number and text.
Line = tuple[int, str]


class AlipayBills:
    """The reader behind the port."""

    def read(self, content: bytes, *, merchant_no: str, kind: BillKind, date: str) -> Iterator[BillLine]:
        """Check a file as a whole, then yield its lines. Raise BillDamaged."""
        lines = _lines(content, kind)
        head = _check_head(lines, merchant_no=merchant_no, kind=kind, date=date)
        read = _trade_line if kind is BillKind.TRADE else _fund_line
        found: list[BillLine] = []
        sums = [[0, 0], [0, 0]]
        for place, row in _rows(_table(lines, kind), head):
            try:
                line, signed = read(row, merchant_no)
            except (KeyError, ValueError) as error:
                raise BillDamaged("MALFORMED", f"line {place}") from error
            # What a table counts as going out: refunds in one of them, everything negative in the other.
            is_out = line.kind is LineKind.REFUND if kind is BillKind.TRADE else signed < 0
            sums[is_out][0] += 1
            sums[is_out][1] += signed
            found.append(line)
        tail = deque((text for _, text in lines), _TAIL_LINES_MAX)
        _check_totals(tail, sums, _TRADE_TOTALS if kind is BillKind.TRADE else _FUND_TOTALS)
        return iter(found)


def _lines(content: bytes, kind: BillKind) -> Iterator[Line]:
    """Unpack the one table that holds the details, line by line."""
    with files.opened(content, metadata_encoding="gbk") as archive:
        wanted = f"_{_WORDS[kind]}明细.csv"
        members = [member for member in archive.infolist() if member.filename.endswith(wanted)]
        if len(members) != 1:
            raise BillDamaged("MALFORMED", "members of the zip")
        with archive.open(members[0]) as file:
            for place, line in enumerate(files.lines_of(file, bytes_max=UNPACKED_BYTES_MAX), start=1):
                try:
                    yield place, line.decode("gbk")
                except UnicodeDecodeError as error:
                    raise BillDamaged("MALFORMED", f"line {place}") from error


def _check_head(lines: Iterator[Line], *, merchant_no: str, kind: BillKind, date: str) -> int:
    """Read up to the table's beginning, and return how many lines that is. It must be this account's and this day's."""
    word = _WORDS[kind]
    head = []
    for place, line in lines:
        if line.startswith("#-") and f"{word}明细列表-" in line:
            break
        if place > _HEAD_LINES_MAX:
            raise BillDamaged("MALFORMED", "head")
        head.append(line)
    else:
        raise BillDamaged("TRUNCATED", f"line {len(head)}")
    if not head or not head[0].startswith(f"#支付宝{word}明细查询"):
        raise BillDamaged("MALFORMED", "line 1")
    account = next((match for line in head if (match := _ACCOUNT.match(line))), None)
    begin = next((match for line in head if (match := _FROM.match(line))), None)
    if account is None or begin is None:
        raise BillDamaged("MALFORMED", "head")
    if account[1] != merchant_no:
        raise BillDamaged("OTHER_MERCHANT", "head")
    if "-".join(begin.groups()) != date:
        raise BillDamaged("OTHER_DAY", "head")
    return len(head) + 1


def _table(lines: Iterator[Line], kind: BillKind) -> Iterator[str]:
    """Yield the lines up to the table's end, which must be there."""
    for _, line in lines:
        if line.startswith("#-") and f"{_WORDS[kind]}明细列表结束" in line:
            return
        if not line.endswith("\n"):
            break
        yield line.rstrip("\r\n")
    raise BillDamaged("TRUNCATED", "table")


def _rows(table: Iterable[str], head: int) -> Iterator[tuple[int, Row]]:
    """Yield rows by the names of their columns, each with the number of the line that it ends on."""
    reader = csv.reader(table, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        for row in reader:
            if len(row) != len(names):
                raise BillDamaged("MALFORMED", f"line {head + reader.line_num}")
            yield head + reader.line_num, {name: cell.strip("\t ") for name, cell in zip(names, row, strict=True)}
    except csv.Error as error:
        raise BillDamaged("MALFORMED", f"line {head + reader.line_num}") from error


def _check_totals(lines: Sequence[str], sums: Sequence[Sequence[int]], patterns: Sequence[re.Pattern[str]]) -> None:
    """Compare counts and sums with what the file's own end says."""
    for (count, total), pattern in zip(sums, patterns, strict=True):
        match = next((found for line in reversed(lines) if (found := pattern.match(line))), None)
        if match is None:
            raise BillDamaged("TRUNCATED", "totals")
        try:
            said = (int(match[1]), fen(match[2]))
        except ValueError as error:
            raise BillDamaged("MALFORMED", "totals") from error
        if said != (count, total):
            raise BillDamaged("TOTALS_DIFFER", pattern.pattern[1:5])


def _trade_line(row: Row, merchant_no: str) -> tuple[BillLine, int]:
    kind = _TRADE_KINDS[row["业务类型"]]
    signed = fen(row["商家实收（元）"])
    if (signed < 0) != (kind is LineKind.REFUND):
        raise ValueError("the sign is wrong")
    line = BillLine(
        kind, row["商户订单号"], row["退款批次号/请求号"] if kind is LineKind.REFUND else "", row["支付宝交易号"], merchant_no,
        abs(signed), -fen(row["服务费（元）"]), "CNY", time_ms(row["完成时间"]),
    )  # fmt: skip
    return line, signed


def _fund_line(row: Row, merchant_no: str) -> tuple[BillLine, int]:
    signed = fen(row["收入金额（+元）"]) + fen(row["支出金额（-元）"])
    kind = _FUND_KINDS.get(row["业务类型"], LineKind.OTHER)
    line = BillLine(
        kind, row["商户订单号"], row["备注"] if kind is LineKind.REFUND else "", row["业务流水号"], merchant_no, abs(signed), 0,
        "CNY", time_ms(row["发生时间"]),
    )  # fmt: skip
    return line, signed
