"""Reads Alipay's statements: a zip with names in GBK, of which one table in GBK is checked as a whole and then told.

The file is trusted when it begins as a statement of this account and this day, ends with its own totals, and the rows
add up to them. One bad byte or amount refuses the file, never a line alone.
"""

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence

from channels.alipay.messages import fen, time_ms
from channels.port import BillDamaged, BillKind, BillLine, LineKind

# Half a million rows are about 150 MB; whatever unpacks to more is no statement.
UNPACKED_BYTES_MAX = 512 << 20
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


class AlipayBills:
    """The reader behind the port."""

    def read(self, content: bytes, *, merchant_no: str, kind: BillKind, date: str) -> Iterator[BillLine]:
        """Check a file as a whole, then yield its lines. Raise BillDamaged."""
        lines = _table(content, kind).splitlines()
        rows = _rows(lines, merchant_no=merchant_no, kind=kind, date=date)
        read = _trade_line if kind is BillKind.TRADE else _fund_line
        found: list[BillLine] = []
        sums = [[0, 0], [0, 0]]
        for place, row in rows:
            try:
                line, signed = read(row, merchant_no)
            except (KeyError, ValueError) as error:
                raise BillDamaged("MALFORMED", f"line {place}") from error
            # What a table counts as going out: refunds in one of them, everything negative in the other.
            is_out = line.kind is LineKind.REFUND if kind is BillKind.TRADE else signed < 0
            sums[is_out][0] += 1
            sums[is_out][1] += signed
            found.append(line)
        _check_totals(lines, sums, _TRADE_TOTALS if kind is BillKind.TRADE else _FUND_TOTALS)
        return iter(found)


def _table(content: bytes, kind: BillKind) -> str:
    """Unpack the one table that holds the details."""
    try:
        with zipfile.ZipFile(io.BytesIO(content), metadata_encoding="gbk") as archive:
            wanted = f"_{_WORDS[kind]}明细.csv"
            members = [member for member in archive.infolist() if member.filename.endswith(wanted)]
            if len(members) != 1:
                raise BillDamaged("MALFORMED", "members of the zip")
            if members[0].file_size > UNPACKED_BYTES_MAX:
                raise BillDamaged("TOO_LARGE", members[0].filename)
            with archive.open(members[0]) as file:
                raw = file.read(UNPACKED_BYTES_MAX + 1)
        if len(raw) > UNPACKED_BYTES_MAX:
            raise BillDamaged("TOO_LARGE", wanted)
        return raw.decode("gbk")
    except UnicodeDecodeError as error:
        raise BillDamaged("MALFORMED", f"byte {error.start}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise BillDamaged("MALFORMED", "zip") from error


def _rows(lines: Sequence[str], *, merchant_no: str, kind: BillKind, date: str) -> Iterator[tuple[int, Row]]:
    """Check the table's frame; yield rows by the names of their columns, with the numbers of their lines."""
    word = _WORDS[kind]
    if not lines or not lines[0].startswith(f"#支付宝{word}明细查询"):
        raise BillDamaged("MALFORMED", "line 1")
    head = [line for line in lines[:10] if line.startswith("#")]
    account = next((match for line in head if (match := _ACCOUNT.match(line))), None)
    begin = next((match for line in head if (match := _FROM.match(line))), None)
    if account is None or begin is None:
        raise BillDamaged("MALFORMED", "head")
    if account[1] != merchant_no:
        raise BillDamaged("OTHER_MERCHANT", "head")
    if "-".join(begin.groups()) != date:
        raise BillDamaged("OTHER_DAY", "head")
    ends = [place for place, line in enumerate(lines) if line.startswith("#-") and f"{word}明细列表结束" in line]
    starts = [place for place, line in enumerate(lines) if line.startswith("#-") and f"{word}明细列表-" in line]
    if len(starts) != 1 or len(ends) != 1:
        raise BillDamaged("TRUNCATED", f"line {len(lines)}")
    return _cells(lines, starts[0] + 1, ends[0])


def _cells(lines: Sequence[str], start: int, end: int) -> Iterator[tuple[int, Row]]:
    table = csv.reader(lines[start:end], strict=True)
    try:
        names = [name.strip() for name in next(table, [])]
        for place, row in enumerate(table, start=start + 2):
            if len(row) != len(names):
                raise BillDamaged("MALFORMED", f"line {place}")
            yield place, {name: cell.strip("\t ") for name, cell in zip(names, row, strict=True)}
    except csv.Error as error:
        raise BillDamaged("MALFORMED", f"line {start + 1 + table.line_num}") from error


def _check_totals(lines: Sequence[str], sums: Sequence[Sequence[int]], patterns: Sequence[re.Pattern[str]]) -> None:
    """Compare counts and sums with what the file's own end says."""
    for (count, total), pattern in zip(sums, patterns, strict=True):
        match = next((found for line in reversed(lines[-10:]) if (found := pattern.match(line))), None)
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
