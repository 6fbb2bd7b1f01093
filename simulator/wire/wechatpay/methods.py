"""The platform's methods: each reads a request by the manual's rules, asks the world, and answers with its objects."""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from simulator.records import Attempt, Refund
from simulator.wire.accounts import Account
from simulator.wire.front import Front, Told
from simulator.wire.wechatpay import trades
from simulator.wire.wechatpay.messages import NUMBER, REFUND_NUMBER, URL, Fields, Json, Refusal, encode, moment
from simulator.wire.wechatpay.words import NOT_MADE, check
from simulator.words import Operation, Word

REFUND_WINDOW_MS = 365 * 86_400_000
REFUNDS_MAX = 50


class Call(NamedTuple):
    """One authorized request. `content` is its body, `query` what stands behind the question mark."""

    front: Front
    account: Account
    path: Mapping[str, str]
    query: Mapping[str, str]
    content: Fields
    sealed_with: str

    async def ask(self, operation: Operation, item: dict[str, Any]) -> Told:
        """Ask the world in this account's name. Raise Refusal for what is an error in its answer."""
        told = await self.front.ask(self.account.channel_id, operation, item, self.account.merchant_no)
        try:
            check(told.fields)
        except Refusal as refused:
            raise refused.with_weather(told) from None
        return told

    def own_mchid(self, value: str) -> None:
        """Refuse another merchant's number."""
        if value != self.account.merchant_no:
            raise Refusal(400, "PARAM_ERROR", "商户号与签名的商户号不一致")

    def own_appid(self) -> None:
        """Refuse an application that is not bound to the merchant."""
        if self.content.text("appid", required=True, longest=32) != self.account.hub["appid"]:
            raise Refusal(400, "APPID_MCHID_NOT_MATCH", "appid与mchid不匹配")

    def attempt(self, number: str) -> Attempt | None:
        """Find a transaction by the merchant's number."""
        return self.front.channel(self.account.channel_id).book.find(number, self.account.merchant_no)

    def notify_url(self, name: str = "notify_url", *, required: bool = True) -> str:
        """Read where callbacks go."""
        return self.content.text(name, required=required, form=URL)

    def currency(self, amount: Fields, name: str = "currency") -> str:
        """Read a currency, of which there is one."""
        currency = amount.text(name, longest=16) or "CNY"
        if currency != "CNY":
            raise amount.invalid(name, currency)
        return currency


class Reply(NamedTuple):
    """An answer's object, None for an empty one; `told` has what the weather does to it. A file (`raw`) is not signed."""

    item: Json | None
    told: Told
    status: int = 200
    raw: bytes | None = None


# --- transactions -----------------------------------------------------------------------------------------------------


async def charge(call: Call, product: str) -> Reply:
    """Make an order that a payer can pay, by one of the products."""
    call.own_appid()
    content = call.content
    call.own_mchid(content.text("mchid", required=True, longest=32))
    number = content.text("out_trade_no", required=True, longest=32, form=NUMBER)
    description = content.text("description", required=True, longest=127)
    amount = content.inner("amount", required=True)
    openid = (
        content.inner("payer", required=True).text("openid", required=True, longest=128) if product == "jsapi" else ""
    )
    scene = content.inner("scene_info", required=product == "h5")
    if product == "h5":
        scene.text("payer_client_ip", required=True, longest=45)
        kind = scene.inner("h5_info", required=True).text("type", required=True, longest=32)
        if kind not in ("iOS", "Android", "Wap"):
            raise scene.invalid("h5_info/type", kind)
    attach = content.text("attach", longest=128)
    memo = {
        "product": product,
        "subject": description,
        "attach": attach,
        "openid": openid,
        "sharing": "Y" if content.inner("settle_info").flag("profit_sharing") else "",
        "content": hashlib.sha256(encode(content.item)).hexdigest(),
    }
    item = {
        "attempt_no": number,
        "amount_minor": amount.whole("total", least=1),
        "currency": call.currency(amount),
        # Merchants who say what they sell are lucky or unlucky by that, whatever their numbers are.
        "order_no": attach or number,
        "subject": description,
        "payer_ref": openid,
        "expire_time_ms": content.time_ms("time_expire"),
        "notify_url": call.notify_url(),
        "pays": "LATER",
        "memo": {name: value for name, value in memo.items() if value},
    }
    known = call.attempt(number)
    told = await call.ask(Operation.CHARGE, item)
    word = told.fields["word"]
    if word in NOT_MADE:
        raise Refusal(*NOT_MADE[word]).with_weather(told)
    if known is not None and known.memo.get("content") != memo["content"]:
        raise Refusal(400, "INVALID_REQUEST", "请求重入时，参数与首次请求时不一致").with_weather(told)
    attempt = call.attempt(number)
    assert attempt is not None, "an order that was made is there"
    return Reply(_made(call, attempt, product), told)


def _made(call: Call, attempt: Attempt, product: str) -> Json:
    page = f"{call.front.base_url}/pay/{call.account.channel_id}/{trades.decimal(attempt.txn_no)}"
    prepay_id = f"wx{moment(attempt.made_ms):%d%H%M%S}{attempt.txn_no.lower()}0000"
    made = {"native": {"code_url": page}, "h5": {"h5_url": f"{page}?prepay_id={prepay_id}"}}
    return made.get(product) or {"prepay_id": prepay_id}


async def query(call: Call) -> Reply:
    """Tell how a transaction stands, by the merchant's number or the platform's."""
    call.own_mchid(call.query.get("mchid", ""))
    number = call.path.get("out_trade_no", "")
    if not number:
        found = call.front.find(call.account.channel_id, trades.txn_no(call.path["transaction_id"]))
        number = found.number if found is not None else call.path["transaction_id"]
    told = await call.ask(Operation.QUERY, {"attempt_no": number})
    attempt = call.attempt(number)
    if attempt is None:
        raise Refusal(404, "ORDER_NOT_EXIST", "订单不存在").with_weather(told)
    word, amount_minor = Word(told.fields["word"]), told.fields["amount_minor"]
    item = trades.transaction(attempt, call.account, word=word, amount_minor=amount_minor, success_ms=attempt.paid_ms)
    return Reply(item, told)


async def close(call: Call) -> Reply:
    """Close an order that nobody has paid."""
    call.own_mchid(call.content.text("mchid", required=True, longest=32))
    number = call.path["out_trade_no"]
    there = call.attempt(number) is not None
    told = await call.ask(Operation.CLOSE if there else Operation.QUERY, {"attempt_no": number})
    if told.fields["word"] == Word.PAID:
        raise Refusal(*NOT_MADE[Word.PAID]).with_weather(told)
    return Reply(None, told, 204)


# --- refunds ----------------------------------------------------------------------------------------------------------


async def refund(call: Call) -> Reply:
    """Take a refund."""
    content = call.content
    by_number = content.text("out_trade_no", longest=32, form=NUMBER)
    by_txn = content.text("transaction_id", longest=32)
    if not by_number and not by_txn:
        raise content.invalid("transaction_id", "")
    attempt = call.attempt(by_number)
    if by_txn:
        attempt = call.front.find(call.account.channel_id, trades.txn_no(by_txn))
    refund_no = content.text("out_refund_no", required=True, longest=64, form=REFUND_NUMBER)
    call.notify_url(required=False)
    content.text("reason", longest=80)
    amount = content.inner("amount", required=True)
    amount_minor, total = amount.whole("refund", least=1), amount.whole("total", least=1)
    currency = call.currency(amount)
    number = attempt.number if attempt is not None else by_number or by_txn
    item = {"refund_no": refund_no, "attempt_no": number, "amount_minor": amount_minor, "currency": currency}
    # Rules of the platform that the world does not know are for refunds that are not there yet.
    broken = _broken_rule(call, attempt, refund_no, total)
    if broken is not None:
        told = await call.ask(Operation.QUERY, {"attempt_no": number})
        raise broken.with_weather(told)
    try:
        told = await call.ask(Operation.REFUND, item)
    except Refusal as refused:
        if refused.code == "ORDER_NOT_EXIST":
            raise Refusal(404, "RESOURCE_NOT_EXISTS", "订单不存在").with_weather(refused.told) from None
        raise
    return Reply(trades.refund_item(_refund(call, refund_no), told.fields), told)


def _broken_rule(call: Call, attempt: Attempt | None, refund_no: str, total: int) -> Refusal | None:
    if attempt is None or attempt.word is not Word.PAID:
        return None
    if total != attempt.amount_minor:
        return Refusal(400, "INVALID_REQUEST", "订单金额不一致，请确认订单金额是否正确")
    if refund_no in call.front.channel(call.account.channel_id).book.refunds:
        return None
    if call.front.world.now_ms() - attempt.paid_ms > REFUND_WINDOW_MS:
        return Refusal(400, "INVALID_REQUEST", "订单已超过可退款的最大期限(支付完成后一年内可退款)")
    if attempt.refund_count >= REFUNDS_MAX:
        return Refusal(400, "INVALID_REQUEST", "超过部分退款次数")
    return None


async def query_refund(call: Call) -> Reply:
    """Tell how a refund stands."""
    refund_no = call.path["out_refund_no"]
    known = call.front.channel(call.account.channel_id).book.refunds.get(refund_no)
    attempt_no = known.attempt.number if known is not None else "unknown"
    told = await call.ask(Operation.QUERY_REFUND, {"refund_no": refund_no, "attempt_no": attempt_no})
    return Reply(trades.refund_item(_refund(call, refund_no), told.fields), told)


def _refund(call: Call, refund_no: str) -> Refund:
    return call.front.channel(call.account.channel_id).book.refunds[refund_no]
