"""A day's statement as Alipay writes it: GBK tables in a zip whose names are GBK too, text cells ending with a tab."""

import datetime
import hashlib
import io
import zipfile
from collections.abc import Iterator

from simulator.bills import BillRow, DayBill
from simulator.records import Attempt, Movement, Refund
from simulator.wire.accounts import Account
from simulator.wire.alipay import trades
from simulator.wire.alipay.messages import time_text, yuan

_COLUMNS = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,"
    "支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,"
    "退款批次号/请求号,服务费（元）,分润（元）,备注"
)
_FUND_COLUMNS = "账务流水号,业务流水号,商户订单号,商品名称,发生时间,对方账号,收入金额（+元）,支出金额（-元）,账户余额（元）,交易渠道,业务类型,备注"
_FUND_TYPES = {
    Movement.CHARGE: "在线支付",
    Movement.REFUND: "交易退款",
    Movement.PAYOUT: "转账",
    Movement.PAYOUT_RETURN: "转账退回",
    Movement.SPLIT: "分账",
}
# What cannot be told without an end: the file is cut in the middle of its last rows.
_CUT_SHARE = 0.7


def token(account: Account, ticket: str) -> str:
    """Return what makes an address hard to guess."""
    return hashlib.sha256(f"{account.own['alipay_cert_sn']}{ticket}".encode()).hexdigest()[:32]


def zipped(bill: DayBill, kind: str, *, now_ms: int) -> bytes:
    """Write the file."""
    word = "业务" if kind == "trade" else "账务"
    lines = list(_trade_lines(bill, now_ms) if kind == "trade" else _fund_lines(bill, now_ms))
    if bill.truncated:
        lines = lines[: max(5, round(len(lines) * _CUT_SHARE))]
    day = bill.date.replace("-", "")
    summary = [f"#支付宝{word}汇总查询", f"#账号：[{bill.merchant_no}]"]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in ((f"{word}明细", lines), (f"{word}明细(汇总)", summary)):
            # The bytes of the name are GBK, without the flag that says UTF-8.
            raw_name = f"{bill.merchant_no}_{day}_{name}.csv".encode("gbk").decode("cp437")
            info = _NamedInGbk(raw_name)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, ("\r\n".join(text) + "\r\n").encode("gbk", "replace"))
    return content.getvalue()


class _NamedInGbk(zipfile.ZipInfo):
    """An entry whose name is written as the bytes that it is."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.filename.encode("cp437"), self.flag_bits & ~0x800


def _head(bill: DayBill, word: str) -> list[str]:
    begin = datetime.date.fromisoformat(bill.date)
    end = begin + datetime.timedelta(days=1)
    return [
        f"#支付宝{word}明细查询",
        f"#账号：[{bill.merchant_no}]",
        f"#起始日期：[{begin:%Y年%m月%d日} 00:00:00]   终止日期：[{end:%Y年%m月%d日} 00:00:00]",
        f"#-----------------------------------------{word}明细列表----------------------------------------",
    ]


def _trade_lines(bill: DayBill, now_ms: int) -> Iterator[str]:
    yield from _head(bill, "业务")
    yield _COLUMNS
    counts, sums = [0, 0], [0, 0]
    for row in bill.rows:
        if row.entry.movement in (Movement.CHARGE, Movement.REFUND):
            back = row.entry.movement is Movement.REFUND
            counts[back] += 1
            sums[back] += row.entry.record.amount_minor
            yield _trade_row(row)
    if bill.totals_differ:
        sums[0] += 1
    yield "#-----------------------------------------业务明细列表结束------------------------------------"
    yield f"#交易合计：{counts[0]}笔，商家实收共{yuan(sums[0])}元，商家优惠共0.00元"
    yield f"#退款合计：{counts[1]}笔，商家实收退款共{yuan(-sums[1])}元，商家优惠退款共0.00元"
    yield f"#导出时间：[{_chinese(now_ms)}]"


def _trade_row(row: BillRow) -> str:
    record = row.entry.record
    refund = record if isinstance(record, Refund) else None
    attempt = record.attempt if isinstance(record, Refund) else record
    assert isinstance(attempt, Attempt), "only charges and refunds are trades"
    amount = yuan(-record.amount_minor if refund else record.amount_minor)
    cells = [
        trades.trade_no(attempt), attempt.number, "退款" if refund else "交易", attempt.memo.get("subject", ""),
        time_text(refund.made_ms if refund else attempt.made_ms), time_text(row.entry.time_ms), "", "", "", "",
        f"{trades.buyer(attempt)['buyer_logon_id']}(*买家)", amount, amount, "0.00", "0.00", "0.00", "0.00", "0.00", "",
        "0.00", "0.00", refund.number if refund else "", yuan(-row.fee_minor), "0.00", attempt.memo.get("body", ""),
    ]  # fmt: skip
    texts = (0, 1, 2, 3, 6, 7, 8, 9, 10, 18, 21, 24)
    return ",".join(f"{_plain(cell)}\t" if place in texts else cell for place, cell in enumerate(cells))


def _fund_lines(bill: DayBill, now_ms: int) -> Iterator[str]:
    yield from _head(bill, "账务")
    yield _FUND_COLUMNS
    balance = income = spent = 0
    counts = [0, 0]
    for number, row in enumerate(bill.rows, start=1):
        movement, record = row.entry.movement, row.entry.record
        parts = [(record.amount_minor if movement in (Movement.CHARGE, Movement.PAYOUT_RETURN) else -record.amount_minor,
                  _FUND_TYPES[movement])]  # fmt: skip
        if row.fee_minor:
            parts.append((-row.fee_minor, "收费"))
        for signed, word in parts:
            balance += signed
            counts[signed < 0] += 1
            income, spent = income + max(0, signed), spent + min(0, signed)
            owner = row.entry.to_dict()
            cells = [f"{number:020d}\t", f"{int(record.txn_no, 16)}\t", f"{owner['attempt_no']}\t", "\t",
                     time_text(row.entry.time_ms), "\t", yuan(signed) if signed > 0 else "0.00",
                     yuan(signed) if signed < 0 else "0.00", yuan(balance), "支付宝\t", f"{word}\t",
                     f"{owner['refund_no']}\t"]  # fmt: skip
            yield ",".join(cells)
    if bill.totals_differ:
        income += 1
    yield "#-----------------------------------------账务明细列表结束------------------------------------"
    yield f"#支出合计：{counts[1]}笔，共{yuan(spent)}元"
    yield f"#收入合计：{counts[0]}笔，共{yuan(income)}元"
    yield f"#导出时间：[{_chinese(now_ms)}]"


def _plain(text: str) -> str:
    return text.replace(",", "，").replace("\t", " ").replace("\r", " ").replace("\n", " ")


def _chinese(time_ms: int) -> str:
    text = time_text(time_ms)
    return f"{text[:4]}年{text[5:7]}月{text[8:10]}日 {text[11:]}"
