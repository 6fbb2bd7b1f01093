"""A day's statements as files: what was charged and refunded, and what moved on the account.

UTF-8 with a byte order mark, CR LF, a back-tick before each field. The digest is that of the file before it is packed.
"""

import asyncio
import gzip
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from simulator.bills import BillRow, DayBill
from simulator.records import Attempt, Movement, Payout, Refund, Split
from simulator.wire.accounts import Account
from simulator.wire.front import Told
from simulator.wire.wechatpay.messages import NOTHING_TOLD, Fields, Refusal, moment
from simulator.wire.wechatpay.methods import Call, Reply
from simulator.wire.wechatpay.trades import TRADE_TYPES, decimal
from simulator.words import Operation, SideWord

URL_LIVES_MS = 300_000
FILES_MAX = 32
# What is lost of a file that was cut off.
CUT_BYTES = 40
OPENING_MINOR = 100_000_000

_TRADE = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,"
    "微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
)
_TRADE_SUMMARY = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
_FUND = "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,业务凭证号"
_FUND_SUMMARY = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"


class _File(NamedTuple):
    mchid: str
    content: bytes
    until_ms: int


class Statements:
    """The methods around statements, and the files that wait to be fetched."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, _File] = OrderedDict()

    async def trade(self, call: Call) -> Reply:
        """Offer the statement of trades."""
        kind = call.query.get("bill_type", "ALL")
        if kind not in ("ALL", "SUCCESS", "REFUND"):
            raise Fields(call.query, "/query").invalid("bill_type", kind)
        movements = {
            "ALL": (Movement.CHARGE, Movement.REFUND),
            "SUCCESS": (Movement.CHARGE,),
            "REFUND": (Movement.REFUND,),
        }[kind]
        told, bill = await self._bill(call)
        rows = [row for row in bill.rows if row.entry.movement in movements]
        if not rows:
            raise Refusal(400, "NO_STATEMENT_EXIST", "账单文件不存在").with_weather(told)
        fee_bps = call.front.channel(call.account.channel_id).profile.fee_bps
        content = await asyncio.to_thread(trade_file, bill, rows, call.account, fee_bps)
        return self._offer(call, told, content, bill)

    async def fund(self, call: Call) -> Reply:
        """Offer the statement of what moved on an account; all of it is on the basic one."""
        if call.query.get("account_type", "BASIC") not in ("BASIC", "OPERATION", "FEES"):
            raise Fields(call.query, "/query").invalid("account_type", call.query["account_type"])
        told, bill = await self._bill(call)
        if call.query.get("account_type", "BASIC") != "BASIC":
            raise Refusal(400, "NO_STATEMENT_EXIST", "账单文件不存在").with_weather(told)
        fee_bps = call.front.channel(call.account.channel_id).profile.fee_bps
        content = await asyncio.to_thread(fund_file, bill, fee_bps)
        return self._offer(call, told, content, bill)

    async def download(self, call: Call) -> Reply:
        """Give out a file, once its address is no older than five minutes; it is not signed."""
        file = self._files.get(call.query.get("token", ""))
        if file is None or file.mchid != call.account.merchant_no or file.until_ms < call.front.world.real_ms():
            raise Refusal(403, "NO_AUTH", "token已过期或无效")
        return Reply(None, NOTHING_TOLD, raw=file.content)

    async def _bill(self, call: Call) -> tuple[Told, DayBill]:
        query = Fields(call.query, "/query")
        if query.text("tar_type") not in ("", "GZIP"):
            raise query.invalid("tar_type", "")
        date = query.day("bill_date")
        today = moment(call.front.world.now_ms()).date()
        if date >= today or (today - date).days > 92:
            raise Refusal(400, "INVALID_REQUEST", "账单日期不在可下载的范围内")
        told = await call.ask(Operation.BILL, {"date": date.isoformat()})
        if told.fields["word"] == SideWord.BILL_NOT_YET:
            raise Refusal(
                400, "STATEMENT_CREATING", "账单生成中，请先检查当前商户号在指定日期内是否有成功的交易"
            ).with_weather(told)
        if told.fields["word"] == SideWord.NO_SUCH_BILL:
            raise Refusal(400, "NO_STATEMENT_EXIST", "账单文件不存在").with_weather(told)
        channel = call.front.channel(call.account.channel_id)
        return told, channel.bills.of_day(call.account.merchant_no, date.isoformat())

    def _offer(self, call: Call, told: Told, content: bytes, bill: DayBill) -> Reply:
        content = content[:-CUT_BYTES] if bill.truncated else content
        digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        packed = gzip.compress(content, mtime=0) if call.query.get("tar_type") == "GZIP" else content
        token = secrets.token_urlsafe(24)
        until_ms = call.front.world.real_ms() + URL_LIVES_MS
        self._files[token] = _File(call.account.merchant_no, packed, until_ms)
        if len(self._files) > FILES_MAX:
            self._files.popitem(last=False)
        url = f"{call.front.base_url}/v3/billdownload/file?token={token}"
        return Reply({"hash_type": "SHA1", "hash_value": digest, "download_url": url}, told)


def _line(fields: Iterable[str]) -> str:
    # A comma in a text would end a field.
    return ",".join(f"`{field}" for field in fields)


def _yuan(amount_minor: int) -> str:
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{abs(amount_minor) // 100}.{abs(amount_minor) % 100:02d}"


def _fine(amount_minor: int) -> str:
    return f"{_yuan(amount_minor)}000"


def _fee_of(amount_minor: int, fee_bps: int) -> int:
    return (amount_minor * fee_bps + 5_000) // 10_000


def trade_file(bill: DayBill, rows: Sequence[BillRow], account: Account, fee_bps: int) -> bytes:
    """Write the statement of trades."""
    rate = f"{fee_bps // 100}.{fee_bps % 100:02d}%"
    lines = [_TRADE]
    paid = back = fees = 0
    for entry, fee_minor in rows:
        record = entry.record
        if isinstance(record, Attempt):
            paid += record.amount_minor
            fees += fee_minor
            lines.append(_trade_line(bill, account, record, None, fee_minor, rate))
        elif isinstance(record, Refund):
            returned = -_fee_of(record.amount_minor, fee_bps)
            back += record.amount_minor
            fees += returned
            lines.append(_trade_line(bill, account, record.attempt, record, returned, rate))
    wrong = 1 if bill.totals_differ else 0
    summary = [
        str(len(lines) - 1),
        _yuan(paid + wrong),
        _yuan(back),
        "0.00",
        _fine(fees),
        _yuan(paid + wrong),
        _yuan(back),
    ]
    return _file([*lines, _TRADE_SUMMARY, _line(summary)])


def _trade_line(
    bill: DayBill, account: Account, attempt: Attempt, refund: Refund | None, fee_minor: int, rate: str
) -> str:
    done_ms = refund.settled_ms if refund else attempt.paid_ms
    paid, back = _yuan(0 if refund else attempt.amount_minor), _yuan(refund.amount_minor if refund else 0)
    return _line((
        f"{moment(done_ms):%Y-%m-%d %H:%M:%S}", account.hub["appid"], bill.merchant_no, "0", "",
        decimal(attempt.txn_no), attempt.number, attempt.memo.get("openid") or f"o{attempt.txn_no}",
        TRADE_TYPES[attempt.memo.get("product", "native")], "REFUND" if refund else "SUCCESS", "OTHERS", "CNY", paid, "0.00",
        decimal(refund.txn_no) if refund else "0", refund.number if refund else "0", back, "0.00",
        "ORIGINAL" if refund else "", "SUCCESS" if refund else "",
        attempt.memo.get("subject", "").replace(",", "\\ "), attempt.memo.get("attach", "").replace(",", "\\ "),
        _fine(fee_minor), rate, paid, back, "",
    ))  # fmt: skip


def fund_file(bill: DayBill, fee_bps: int) -> bytes:
    """Write the statement of what moved on the account."""
    lines = [_FUND]
    balance = OPENING_MINOR
    counts, sums = [0, 0], [0, 0]
    for entry, fee_minor in bill.rows:
        for name, amount_minor, incoming, ours, theirs in _movements(entry.record, entry.movement, fee_minor, fee_bps):
            balance += amount_minor if incoming else -amount_minor
            side = 0 if incoming else 1
            counts[side] += 1
            sums[side] += amount_minor
            lines.append(_line((
                f"{moment(entry.time_ms):%Y-%m-%d %H:%M:%S}", theirs, f"{theirs}{len(lines):06d}", name, name,
                "收入" if incoming else "支出", _yuan(amount_minor), _yuan(balance), "system", "", ours,
            )))  # fmt: skip
    wrong = 1 if bill.totals_differ else 0
    summary = [str(sum(counts)), str(counts[0]), _yuan(sums[0] + wrong), str(counts[1]), _yuan(sums[1])]
    return _file([*lines, _FUND_SUMMARY, _line(summary)])


_Moved = tuple[str, int, bool, str, str]


def _movements(
    record: Attempt | Refund | Payout | Split, movement: Movement, fee_minor: int, fee_bps: int
) -> list[_Moved]:
    """Return what one entry moves: its name, amount, whether it comes in, the merchant's number, and the platform's."""
    amount_minor, theirs = record.amount_minor, decimal(record.txn_no)
    if movement is Movement.CHARGE:
        fee: list[_Moved] = [("扣除交易手续费", fee_minor, False, record.number, theirs)] if fee_minor else []
        return [("交易", amount_minor, True, record.number, theirs), *fee]
    if movement is Movement.REFUND:
        fee_minor = _fee_of(amount_minor, fee_bps)
        fee = [("退还交易手续费", fee_minor, True, record.number, theirs)] if fee_minor else []
        return [("退款", amount_minor, False, record.number, theirs), *fee]
    name = {Movement.PAYOUT: "商家转账", Movement.PAYOUT_RETURN: "商家转账退回", Movement.SPLIT: "分账"}[movement]
    return [(name, amount_minor, movement is Movement.PAYOUT_RETURN, record.number, theirs)]


def _file(lines: Sequence[str]) -> bytes:
    return ("\ufeff" + "\r\n".join(lines) + "\r\n").encode()
