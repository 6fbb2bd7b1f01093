"""Throws mutated messages at the parsers of a channel: whatever comes in, they answer, refuse in their own way, or verify.

A target names what it may raise; anything else is a find, and so is a callback that is believed although it is not the
one that was signed. Finds are written to files, to become cases of the tests. The same seed makes the same inputs.
"""

import asyncio
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from channels.port import BillDamaged, BillKind, CallbackRefused

# What parsers stumble over.
TOKENS = (
    b"", b"\x00", b"\xff", b"{", b"}", b"[", b"]", b'"', b"\\", b",", b"&", b"=", b"%", b"%ff", b"null", b"NaN", b"1e999",
    b"-1", b"9" * 40, b"[" * 3_000, b'{"a":' * 900, b"\xef\xbb\xbf", b"\r\n", b"\t", b"#", "支付".encode(), "支付".encode("gbk"),
)  # fmt: skip
FINDS_MAX = 20


class Target(NamedTuple):
    """One parser: valid messages to begin from, how it is fed, and what it may raise."""

    seeds: Sequence[bytes]
    feed: Callable[[bytes], object]
    refuses: tuple[type[Exception], ...]


class Find(NamedTuple):
    """An input, and what it did."""

    target: str
    content: bytes
    problem: str


def mutated(seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """Change a valid message in a few places."""
    content = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        place = chance.randrange(len(content) + 1)
        match chance.randrange(6):
            case 0:
                content[place:place] = chance.choice(TOKENS)
            case 1:
                del content[place : place + chance.choice((1, 2, 16, 256))]
            case 2 if place < len(content):
                content[place] = chance.randrange(256)
            case 3:
                other = chance.choice(seeds)
                begin = chance.randrange(len(other) + 1)
                content[place : place + 32] = other[begin : begin + 32]
            case 4:
                content[place:place] = content[place : place + chance.choice((1, 8, 64))]
            case _ if place < len(content):
                content[place] ^= 1 << chance.randrange(8)
            case _:
                pass
    return bytes(content)


def throw(targets: Mapping[str, Target], *, inputs: int, seed: int, done: Callable[[], None]) -> Iterator[Find]:
    """Throw so many inputs at the targets in turn; `done` is called after each thousand."""
    chance = random.Random(seed)
    names = sorted(targets)
    for count in range(inputs):
        name = names[count % len(names)]
        target = targets[name]
        content = mutated(target.seeds, chance)
        try:
            target.feed(content)
        except target.refuses:
            pass
        except Exception as error:
            yield Find(name, content, f"{type(error).__name__}: {error}"[:200])
        if count % 1_000 == 999:
            done()


class Believed(Exception):
    """A callback was believed that nobody had signed."""


def alipay() -> dict[str, Target]:
    """Return the parsers of Alipay's messages."""
    from channels.alipay import mapping, messages
    from channels.alipay.bills import AlipayBills
    from channels.alipay.client import AlipayCallbacks
    from channels.alipay.config import AlipayConfig
    from domain.credentials import Credentials
    from simulator.wire.alipay.credentials import make_keys
    from simulator.wire.alipay.signing import signed

    hub, own = make_keys("m1")

    class Account:
        merchant_no = "m1"
        credentials = (
            Credentials(1, {name: hub[name] for name in ("app_id", "app_private_key", "alipay_public_key")}),
        )

    reader = AlipayCallbacks(AlipayConfig.of(channel_id="alipay", settings={}, accounts=[Account()]))
    trade = {
        "notify_id": "N1", "app_id": hub["app_id"], "sign_type": "RSA2", "notify_type": "trade_status_sync",
        "out_trade_no": "n1", "trade_no": "T1", "seller_id": "m1", "trade_status": "TRADE_SUCCESS",
        "total_amount": "100.00", "gmt_payment": "2026-11-24 10:00:00", "subject": "车险保费",
    }  # fmt: skip
    refund = trade | {"out_biz_no": "r1", "gmt_refund": "2026-11-24 10:00:00.000", "refund_fee": "1.00"}
    notices = [urlencode(fields | {"sign": signed(own["alipay_key"], fields)}).encode() for fields in (trade, refund)]
    believed = {reader.read(headers={}, body=body, now_ms=0) for body in notices}

    def callback(body: bytes) -> None:
        # A change that the form's own reading undoes changes nothing.
        if reader.read(headers={}, body=body, now_ms=0) not in believed:
            raise Believed

    def notice(body: bytes) -> None:
        mapping.evidence_of(messages.read_notice(body), "m1", now_ms=0)

    def answer(body: bytes) -> None:
        envelope = messages.read_answer(body, "alipay.trade.query")
        if mapping.refused("n1", envelope.inner, moves_money=True) is None:
            mapping.trade("n1", envelope.inner, "m1")
            mapping.refund("r1", envelope.inner, "m1")

    inner = '{"code":"10000","msg":"Success","trade_status":"TRADE_SUCCESS","total_amount":"1.00","x":{"y":["}\\/"]}}'
    failed = '{"code":"40004","sub_code":"ACQ.TRADE_NOT_EXIST","sub_msg":"交易不存在"}'
    answers = [f'{{"alipay_trade_query_response":{text},"sign":"c2lnbg=="}}'.encode() for text in (inner, failed)]
    unreadable = (ValueError, IndexError, KeyError, TypeError)
    return {
        "callback": Target(notices, callback, (CallbackRefused,)),
        "notice": Target(notices, notice, (*unreadable, RecursionError)),
        "answer": Target(answers, answer, unreadable),
        "bill": _bill(AlipayBills(), BillKind.TRADE, _zipped("业务", _ALIPAY_BILL.encode("gbk"))),
        "table": _bill(AlipayBills(), BillKind.TRADE, _ALIPAY_BILL.encode("gbk"), partial(_zipped, "业务")),
        "funds": _bill(AlipayBills(), BillKind.FUND, _ALIPAY_FUNDS.encode("gbk"), partial(_zipped, "账务")),
    }


def _bill(reader: Any, kind: BillKind, content: bytes, wrap: Callable[[bytes], bytes] = bytes) -> Target:
    """Return a target for a statement, or for the table that is wrapped in one."""

    def read(content: bytes) -> None:
        list(reader.read(wrap(content), merchant_no="2088", kind=kind, date="2026-11-24"))

    return Target([content], read, (BillDamaged,))


def _zipped(word: str, table: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(f"2088_20261124_{word}明细.csv", table)
    return content.getvalue()


_ALIPAY_BILL = """#支付宝业务明细查询
#账号：[2088]
#起始日期：[2026年11月24日 00:00:00]   终止日期：[2026年11月25日 00:00:00]
#-----------------------------------------业务明细列表----------------------------------------
支付宝交易号,商户订单号,业务类型,商品名称,完成时间,商家实收（元）,退款批次号/请求号,服务费（元）
1\t,n1\t,交易\t,车险\t,2026-11-24 10:00:00,100.00,\t,-0.60
1\t,n1\t,退款\t,车险\t,2026-11-24 11:00:00,-40.00,r1\t,0.00
#-----------------------------------------业务明细列表结束------------------------------------
#交易合计：1笔，商家实收共100.00元，商家优惠共0.00元
#退款合计：1笔，商家实收退款共-40.00元，商家优惠退款共0.00元
"""
_ALIPAY_FUNDS = """#支付宝账务明细查询
#账号：[2088]
#起始日期：[2026年11月24日 00:00:00]   终止日期：[2026年11月25日 00:00:00]
#-----------------------------------------账务明细列表----------------------------------------
业务流水号,商户订单号,发生时间,收入金额（+元）,支出金额（-元）,业务类型,备注
1\t,n1\t,2026-11-24 10:00:00,100.00,0.00,在线支付\t,\t
1\t,n1\t,2026-11-24 11:00:00,0.00,-40.00,交易退款\t,r1\t
#-----------------------------------------账务明细列表结束------------------------------------
#支出合计：1笔，共-40.00元
#收入合计：1笔，共100.00元
"""


def wechatpay() -> dict[str, Target]:
    """Return the parsers of WeChat Pay's messages; headers are tried as lines before a body."""
    from channels.wechatpay import mapping, messages, signing
    from channels.wechatpay.bills import WechatpayBills
    from channels.wechatpay.callbacks import WechatpayCallbacks
    from channels.wechatpay.config import WechatpayConfig
    from domain.credentials import Credentials
    from simulator.codec import Flaw
    from simulator.wire.accounts import Account
    from simulator.wire.wechatpay.credentials import make_keys
    from simulator.wire.wechatpay.signing import encrypted, sealed_headers

    hub, own = make_keys("m1")

    class Merchant:
        merchant_no = "m1"
        terms: Mapping[str, Any] = {"appid": hub["appid"]}
        credentials = (Credentials(1, hub),)

    reader = WechatpayCallbacks(WechatpayConfig.of(channel_id="wechatpay", settings={}, accounts=[Merchant()]))
    plain = [text.encode() for text in _WECHATPAY]
    sealed = encrypted(hub["apiv3_key"], plain[0], associated_data="transaction", nonce="fdasfjihihih")
    body = json.dumps({"id": "EV-1", "event_type": "TRANSACTION.SUCCESS", "resource": dict(sealed)}).encode()
    account = Account("wechatpay", "c1", "m1", hub, own)
    said = asyncio.run(
        sealed_headers(
            account, body, real_ms=0, nonce="n", flaw=Flaw.NONE, wanted=hub["platform_public_key_id"]
        )
    )  # fmt: skip
    letter = "\n".join(f"{name.lower()}: {value}" for name, value in said.items()).encode() + b"\n\n" + body
    believed = _read_letter(reader, letter)

    def callback(content: bytes) -> None:
        if _read_letter(reader, content) != believed:
            raise Believed

    def item(content: bytes) -> None:
        read = messages.read(content)
        mapping.word_of(read)
        for see in (
            partial(mapping.evidence_of, read, "profitsharing", mchid="m1", now_ms=0),
            partial(mapping.split, "s1", read, mchid="m1"),
            partial(mapping.refused, "n1", read, moves_money=True),
        ):
            with suppress(ValueError):
                see()

    def unseal(content: bytes) -> None:
        text = content.decode("latin-1")
        if signing.unseal([b"k" * 32], nonce=text[:12], associated_data=text[12:20], ciphertext=text[20:]) is not None:
            raise Believed

    return {
        "callback": Target([letter], callback, (CallbackRefused,)),
        "item": Target(plain, item, (ValueError,)),
        "unseal": Target([f"fdasfjihihih12345678{sealed['ciphertext']}".encode()], unseal, ()),
        "table": _bill(WechatpayBills(), BillKind.TRADE, _WECHATPAY_BILL.replace("\n", "\r\n").encode()),
        "funds": _bill(WechatpayBills(), BillKind.FUND, _WECHATPAY_FUNDS.replace("\n", "\r\n").encode()),
    }


def _read_letter(reader: Any, content: bytes) -> object:
    head, _, body = content.partition(b"\n\n")
    pairs = (line.partition(": ") for line in head.decode("latin-1").split("\n"))
    return reader.read(headers={name: value for name, _, value in pairs}, body=body, now_ms=0)


_WECHATPAY = (
    '{"mchid":"m1","out_trade_no":"number1","trade_state":"SUCCESS","success_time":"2026-11-24T10:00:00+08:00","amount":{"total":1}}',
    '{"mchid":"m1","out_trade_no":"number1","out_refund_no":"r1","refund_id":"R1","refund_status":"SUCCESS","amount":{"refund":1}}',
    '{"mch_id":"m1","out_bill_no":"p1","transfer_bill_no":"B1","state":"FAIL","transfer_amount":5,"fail_reason":"X"}',
    '{"mchid":"m1","out_contract_code":"a1","contract_id":"C1","contract_state":"SIGNED"}',
    '{"out_order_no":"s1","order_id":"O1","state":"FINISHED","receivers":[{"account":"o1","amount":1,"result":"SUCCESS"}]}',
    '{"code":"INVALID_REQUEST","message":"请求重入"}',
)
_WECHATPAY_BILL = """\ufeff交易时间,商户号,微信订单号,商户订单号,交易状态,货币种类,应结订单金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款状态,手续费,订单金额,申请退款金额
`2026-11-24 10:00:00,`2088,`1,`n1,`SUCCESS,`CNY,`100.00,`0,`0,`0.00,`0.00,`,`0.60000,`100.00,`0.00
`2026-11-24 11:00:00,`2088,`1,`n1,`REFUND,`CNY,`0.00,`2,`r1,`40.00,`0.00,`SUCCESS,`-0.24000,`0.00,`40.00
总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额
`2,`100.00,`40.00,`0.00,`0.36000,`100.00,`40.00
"""
_WECHATPAY_FUNDS = """\ufeff记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,业务凭证号
`2026-11-24 10:00:00,`T1,`F1,`交易,`交易,`收入,`100.00,`100.00,`system,`,`n1
`2026-11-24 11:00:00,`R1,`F2,`退款,`退款,`支出,`40.00,`60.00,`api,`,`r1
资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额
`2,`1,`100.00,`1,`40.00
"""


def unionpay() -> dict[str, Target]:
    """Return the parsers of UnionPay's messages and files."""
    from channels.unionpay import batches, mapping, messages
    from channels.unionpay.bills import UnionPayBills
    from channels.unionpay.client import UnionPayCallbacks
    from channels.unionpay.config import UnionPayConfig
    from domain.credentials import Credentials
    from simulator.wire.unionpay import settlement, signing
    from simulator.wire.unionpay.credentials import make_keys

    merchant_no, day = "777290000000011", "2026-11-24"
    hub, own = make_keys(merchant_no)

    class Account:
        credentials = (Credentials(1, hub),)

        def __init__(self) -> None:
            self.merchant_no = merchant_no

    reader = UnionPayCallbacks(UnionPayConfig.of(channel_id="unionpay", settings={}, accounts=[Account()]))
    fields = {
        "version": "5.1.0", "encoding": "UTF-8", "signMethod": "01", "txnType": "01", "merId": merchant_no, "orderId": "n1234567",
        "txnTime": "20261124120000", "txnAmt": "10000", "currencyCode": "156", "respCode": "00", "origRespCode": "00",
        "queryId": "7", "reserved": "{a=1&b=[2]}", "signPubKeyCert": own["sign_cert"].strip(),
    }  # fmt: skip
    signed = fields | {"signature": signing.sign(fields, signing.load_key(own["sign_key"]))}
    answers = ["&".join(f"{name}={value}" for name, value in signed.items()).encode()]
    notices = [urlencode(signed).encode()]
    now_ms = messages.china_ms("20261124120000")
    believed = reader.read(headers={}, body=notices[0], now_ms=now_ms)

    def callback(body: bytes) -> None:
        if reader.read(headers={}, body=body, now_ms=now_ms) != believed:
            raise Believed

    def answer(body: bytes) -> None:
        said = messages.read_answer(body)
        for read in (mapping.request_answer, mapping.trade_answer, mapping.verify_answer):
            read("n1", said)

    def bill(content: bytes) -> None:
        list(UnionPayBills().read(content, merchant_no=merchant_no, kind=BillKind.TRADE, date=day))

    def results(content: bytes) -> None:
        batches.read_results(batches.Layout(), content)

    rows = [
        settlement.Row(kind, "00", "000201", f"n{kind}", "7", "1", now_ms, 10_000, 60) for kind in ("01", "04", "12")
    ]
    whole = settlement.write(merchant_no, day, rows)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        (member,) = [entry for entry in archive.namelist() if "ZM_" in entry]
        table = archive.read(member)

    def wrapped(content: bytes) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(member, content)
        bill(packed.getvalue())

    outcome = "1|100\r\no1|156|100|q1|00|成功\r\n".encode("gbk")
    return {
        "callback": Target(notices, callback, (CallbackRefused,)),
        "answer": Target(answers, answer, (ValueError,)),
        "bill": Target([whole], bill, (BillDamaged,)),
        "table": Target([table], wrapped, (BillDamaged,)),
        "batch": Target([outcome], results, (batches.BatchDamaged,)),
    }


def iso20022() -> dict[str, Target]:
    """Return the parsers of a bank's messages."""
    from channels.iso20022 import mapping, messages
    from channels.iso20022.client import Iso20022Bills
    from channels.iso20022.config import BankAccount, Carrier, Iso20022Config
    from simulator.wire.iso20022 import messages as bank

    account = BankAccount("m1", "", "6225", "", None, ())
    bills = Iso20022Bills(Iso20022Config("bank", Carrier.FILE, "", "", "", {"m1": account}))
    said = [bank.Said("P1", "ACSC", "", 680_000, "CNY", "r1", 1), bank.Said("P2", "RJCT", "AM04", 1, "CNY", "r2", 1)]
    lines = [
        bank.Line("P1", "r1", 680_000, "CNY", False, "ICDT", "ESCT", "", 1),
        bank.Line("P2", "r2", 100, "CNY", True, "RCDT", "RRTN", "AC04", 1),
    ]
    reports = [
        bank.report("F1", "pain.001.001.09", said, group="PART", reason="", now_ms=1),
        bank.report("F1", "pain.001.001.09", (), group="RJCT", reason="AM05", now_ms=1),
    ]
    day, notification = (
        bank.statement(kind, "6225", "2026-11-24", lines, opening_minor=10**6, closing_minor=320_100, now_ms=1)
        for kind in ("053", "054")
    )
    # A batch that was booked as one: its details make up its amount.
    item = notification.partition(b"<NtryDtls>")[2].partition(b"</NtryDtls>")[0]
    batch = notification.replace(b"6800.00", b"2.00", 1).replace(item, item.replace(b"6800.00", b"1.00") * 2, 1)

    def report(content: bytes) -> None:
        for status in messages.statuses(content):
            for is_debit in (True, False):
                mapping.answer_of("P1", status, merchant_no="m1", is_debit=is_debit)

    def statement(content: bytes, kind: BillKind) -> None:
        list(bills.read(content, merchant_no="m1", kind=kind, date="2026-11-24"))

    return {
        "report": Target(reports, report, (messages.Malformed,)),
        "statement": Target([day], partial(statement, kind=BillKind.FUND), (BillDamaged,)),
        "notification": Target([notification, batch], partial(statement, kind=BillKind.TRADE), (BillDamaged,)),
    }


# A channel adds how its targets are made here.
CHANNELS: Mapping[str, Callable[[], dict[str, Target]]] = {
    "alipay": alipay, "wechatpay": wechatpay, "unionpay": unionpay, "iso20022": iso20022,
}  # fmt: skip


def keep(find: Find, directory: Path, number: int) -> Path:
    """Write a find's input to a file, and return where."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{find.target}-{number}.bin"
    path.write_bytes(find.content)
    return path
