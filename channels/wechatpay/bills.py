r"""Reads WeChat Pay's statements: UTF-8 with a byte order mark, CR LF, a back-tick before each field, amounts in yuan.

A file is checked as a whole before its first line is given out: its header names the columns, every line belongs to the
merchant and the day, and the sums of the lines are those of the summary. A comma in a text is written as `\ ` by the
platform, so fields end where a comma is followed by a back-tick.
"""

import datetime
import io
import re
from collections.abc import Iterator, Mapping

from channels import files
from channels.port import BillDamaged, BillKind, BillLine, LineKind
from domain.identifiers import CHINA

_BOM, _END = "\ufeff", b"\r\n"
_MONEY = re.compile(r"(-?)(\d{1,13})(?:\.(\d{1,5}))?", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
# The texts with which the platform says, in the place of a file, that there is none.
_NOTHING = ("No Bill Exist", "No Statement Exist")

_TRADE = ("交易时间", "商户号", "微信订单号", "商户订单号", "交易状态", "货币种类", "商户退款单号", "微信退款单号",
          "退款状态")  # fmt: skip
# The sum of each column, as the summary names it.
_TRADE_SUMS = {
    "应结订单总金额": "应结订单金额",
    "退款总金额": "退款金额",
    "充值券退款总金额": "充值券退款金额",
    "手续费总金额": "手续费",
    "订单总金额": "订单金额",
    "申请退款总金额": "申请退款金额",
}
_TRADE_COUNT = "总交易单数"
# What a line of trades is, by its state.
_TRADE_KINDS = {"SUCCESS": LineKind.CHARGE, "REFUND": LineKind.REFUND, "REVOKED": LineKind.REFUND}
_FUND = (
    "记账时间",
    "微信支付业务单号",
    "资金流水单号",
    "业务名称",
    "业务类型",
    "收支类型",
    "收支金额(元)",
    "业务凭证号",
)
_FUND_SUMMARY = ("资金流水总笔数", "收入笔数", "收入金额", "支出笔数", "支出金额")

# What a movement of the account is, by the platform's name of the business.
_FUND_KINDS: dict[str, LineKind] = {
    "交易": LineKind.CHARGE,
    "退款": LineKind.REFUND,
    "扣除交易手续费": LineKind.FEE,
    "退还交易手续费": LineKind.FEE_RETURN,
    "商家转账": LineKind.PAYOUT,
    "商家转账退回": LineKind.RETURN,
    "分账": LineKind.SPLIT,
}


class WechatpayBills:
    """Reads trade and fund-flow statements; pure."""

    def read(self, content: bytes, *, merchant_no: str, kind: BillKind, date: str) -> Iterator[BillLine]:
        """Check a file as a whole, then yield its lines. Raise BillDamaged."""
        return iter(_trades(content, merchant_no, date) if kind is BillKind.TRADE else _funds(content, merchant_no, date))


def _trades(content: bytes, merchant_no: str, date: str) -> list[BillLine]:
    table = _Table(content, (*_TRADE, *_TRADE_SUMS.values()), (_TRADE_COUNT, *_TRADE_SUMS))
    lines, charges, sums = [], 0, dict.fromkeys(_TRADE_SUMS, 0)
    for number, row in table:
        place = f"line {number}"
        lines.append(_trade(row, place, merchant_no, date))
        charges += row["交易状态"] == "SUCCESS"
        for total, column in _TRADE_SUMS.items():
            sums[total] += _hundred_thousandths(row[column], place)
    if any(_hundred_thousandths(table.summary[total], "summary") != moved for total, moved in sums.items()):
        raise BillDamaged("TOTALS_DIFFER", "summary")
    # The manual does not say whether refunds are counted too; a lost line shows in the sums in any case.
    if _count(table.summary[_TRADE_COUNT], "summary") not in (len(lines), charges):
        raise BillDamaged("TOTALS_DIFFER", "summary")
    return lines


def _funds(content: bytes, merchant_no: str, date: str) -> list[BillLine]:
    table = _Table(content, _FUND, _FUND_SUMMARY)
    lines, sums = [], {"收入": [0, 0], "支出": [0, 0]}
    for number, row in table:
        line = _fund(row, f"line {number}", merchant_no, date)
        lines.append(line)
        sums[row["收支类型"]][0] += 1
        sums[row["收支类型"]][1] += line.amount_minor
    place, summary = "summary", table.summary
    told = (
        _count(summary["资金流水总笔数"], place),
        [_count(summary["收入笔数"], place), _fen(summary["收入金额"], place)],
        [_count(summary["支出笔数"], place), _fen(summary["支出金额"], place)],
    )
    if told != (len(lines), sums["收入"], sums["支出"]):
        raise BillDamaged("TOTALS_DIFFER", place)
    return lines


class _Table:
    """Rows by column, with the number of the file's line that each stands on; the summary is there after the last of them."""

    def __init__(self, content: bytes, columns: tuple[str, ...], totals: tuple[str, ...]) -> None:
        if any(words.encode() in content[:512] for words in _NOTHING):
            raise BillDamaged("EMPTY")
        self.summary: Mapping[str, str] = {}
        self._lines = _lines(content)
        self._columns = columns
        self._totals = totals

    def __iter__(self) -> Iterator[tuple[int, Mapping[str, str]]]:
        """Read the file to its end. Raise BillDamaged."""
        place, line = next(self._lines, (0, ""))
        header = _names(line.removeprefix(_BOM), self._columns, place)
        for place, line in self._lines:
            if not line.startswith("`"):
                names = _names(line, self._totals, place)
                break
            yield place, _row(header, line, place)
        else:
            raise BillDamaged("TRUNCATED", f"line {place}")
        place, line = next(self._lines, (place, ""))
        if not line.startswith("`"):
            raise BillDamaged("TRUNCATED", f"line {place}")
        self.summary = _row(names, line, place)
        if next(self._lines, None) is not None:
            raise BillDamaged("TRUNCATED", f"line {place}")


def _lines(content: bytes) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers. They end in CR LF, and the last one too: a text may hold an LF of its own."""
    place = 0
    for place, line in enumerate(files.lines_of(io.BytesIO(content), bytes_max=len(content), end=_END), start=1):
        if not line.endswith(_END):
            raise BillDamaged("TRUNCATED", "end")
        try:
            yield place, line.removesuffix(_END).decode("utf-8")
        except UnicodeDecodeError as error:
            raise BillDamaged("MALFORMED", f"line {place}") from error
    if not place:
        raise BillDamaged("TRUNCATED", "end")


def _names(line: str, wanted: tuple[str, ...], place: int) -> list[str]:
    names = line.split(",")
    if not set(wanted) <= set(names):
        raise BillDamaged("COLUMNS_DIFFER", f"line {place}")
    return names


def _row(names: list[str], line: str, place: int) -> Mapping[str, str]:
    fields = line[1:].split(",`")
    if len(fields) != len(names):
        raise BillDamaged("MALFORMED", f"line {place}")
    return dict(zip(names, fields, strict=True))


def _trade(row: Mapping[str, str], place: str, merchant_no: str, date: str) -> BillLine:
    if row["商户号"] != merchant_no:
        raise BillDamaged("OTHER_MERCHANT", place)
    kind = _TRADE_KINDS.get(row["交易状态"])
    if kind is None:
        raise BillDamaged("STATE_UNKNOWN", place)
    paid = kind is LineKind.CHARGE
    if row["退款状态"] == "FAIL":
        kind = LineKind.OTHER  # it is listed because it was asked for; no money moved
    return BillLine(
        kind,
        row["商户订单号"],
        "" if paid else row["商户退款单号"],  # `0` on the line of a charge
        row["微信订单号" if paid else "微信退款单号"],
        merchant_no,
        _fen(row["订单金额" if paid else "申请退款金额"], place),
        _rounded(row["手续费"], place),
        row["货币种类"],
        _time_ms(row["交易时间"], date, place),
    )


def _fund(row: Mapping[str, str], place: str, merchant_no: str, date: str) -> BillLine:
    if row["收支类型"] not in ("收入", "支出"):
        raise BillDamaged("MALFORMED", place)
    kind = _FUND_KINDS.get(row["业务类型"], LineKind.OTHER)
    ours = row["业务凭证号"]
    refund = kind is LineKind.REFUND
    return BillLine(
        kind, "" if refund else ours, ours if refund else "", row["微信支付业务单号"], merchant_no,
        _fen(row["收支金额(元)"], place), 0, "CNY", _time_ms(row["记账时间"], date, place),
    )  # fmt: skip


def _hundred_thousandths(text: str, place: str) -> int:
    """Read yuan with up to five decimals, as fees have, exactly."""
    match = _MONEY.fullmatch(text)
    if match is None:
        raise BillDamaged("MALFORMED", place)
    sign, whole, part = match.groups()
    amount = int(whole) * 100_000 + int((part or "").ljust(5, "0"))
    return -amount if sign else amount


def _fen(text: str, place: str) -> int:
    """Read an amount, of which the smallest part is a fen; it is never negative."""
    amount, rest = divmod(_hundred_thousandths(text, place), 1_000)
    if rest or amount < 0:
        raise BillDamaged("MALFORMED", place)
    return amount


def _rounded(text: str, place: str) -> int:
    """Read a fee, of which half a fen is one; what is given back with a refund is written below zero."""
    return (abs(_hundred_thousandths(text, place)) + 500) // 1_000


def _count(text: str, place: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 12):
        raise BillDamaged("MALFORMED", place)
    return int(text)


def _time_ms(text: str, date: str, place: str) -> int:
    if not _TIME.fullmatch(text):
        raise BillDamaged("MALFORMED", place)
    if text[:10] != date:
        raise BillDamaged("OTHER_DAY", place)
    try:
        moment = datetime.datetime.fromisoformat(text).replace(tzinfo=CHINA)
    except ValueError as error:
        raise BillDamaged("MALFORMED", place) from error
    return int(moment.timestamp()) * 1000
