"""The gateway's methods: each reads its content, asks the world, and answers with the fields of the manual."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from simulator.codec import Flaw
from simulator.records import Attempt
from simulator.wire.accounts import Account
from simulator.wire.alipay import trades
from simulator.wire.alipay.messages import Invalid, amount_of, expiry_ms, time_text, yuan
from simulator.wire.alipay.signing import Seal, text_of
from simulator.wire.alipay.words import check
from simulator.wire.front import Front, Told
from simulator.words import Operation, Word


class Call(NamedTuple):
    """One authorized request."""

    front: Front
    account: Account
    params: Mapping[str, str]
    content: Mapping[str, Any]

    async def ask(self, operation: Operation, item: dict[str, Any]) -> Told:
        """Ask the world in this account's name."""
        return await self.front.ask(self.account.channel_id, operation, item, self.account.merchant_no)

    def text(self, name: str, *, required: bool = False, longest: int = 256) -> str:
        """Read a text field. Raise Invalid."""
        value = self.content.get(name, "")
        if value is None:
            value = ""
        if not isinstance(value, str) or len(value) > longest or (required and not value):
            raise Invalid("40004", "ACQ.INVALID_PARAMETER", name)
        return value


class Reply(NamedTuple):
    """An answer's inner object, or a page for a browser; `told` has what the weather does to it."""

    fields: Mapping[str, Any]
    told: Told
    page: bytes = b""


def _good(told: Told, fields: Mapping[str, Any], code: str = "10000", msg: str = "Success") -> Reply:
    return Reply({"code": code, "msg": msg, **fields}, told)


def _refuse_with(told: Told, refused: Invalid) -> Invalid:
    refused.told = told
    return refused


def _checked(told: Told, **refused: str) -> Told:
    """Raise what is an error in the world's answer, with its weather."""
    try:
        check(told.fields, refused=refused)
    except Invalid as error:
        raise _refuse_with(told, error) from None
    return told


# --- trades ---


def _charge_item(call: Call, product: str, *, pays: str) -> dict[str, Any]:
    number = call.text("out_trade_no", required=True, longest=64)
    body = call.text("body", longest=400)
    memo = {
        "product": product,
        "subject": call.text("subject", required=True),
        "body": body,
        "buyer_id": call.text("buyer_id"),
        "passback_params": call.text("passback_params", longest=512),
        "return_url": call.params.get("return_url", ""),
    }
    return {
        "attempt_no": number,
        "amount_minor": amount_of(call.content.get("total_amount")),
        "currency": "CNY",
        # Merchants who say what they sell are lucky or unlucky by that, whatever their numbers are.
        "order_no": body or number,
        "subject": memo["subject"],
        "payer_ref": memo["buyer_id"],
        "expire_time_ms": expiry_ms(call.content, call.front.world.real_ms()),
        "notify_url": call.params.get("notify_url", ""),
        "pays": pays,
        "memo": {name: value for name, value in memo.items() if value},
    }


async def precreate(call: Call) -> Reply:
    """Make a code to be scanned; the trade itself is made by scanning it."""
    item = _charge_item(call, "precreate", pays="LATER")
    told = _checked(await call.ask(Operation.CHARGE, item))
    if told.fields["word"] == Word.PAID:
        raise _refuse_with(told, Invalid("40004", "ACQ.TRADE_HAS_SUCCESS"))
    if told.fields["word"] == Word.PAY_CLOSED:
        raise _refuse_with(told, Invalid("40004", "ACQ.TRADE_HAS_CLOSE"))
    attempt = call.front.channel(call.account.channel_id).book.attempts[item["attempt_no"]]
    url = f"{call.front.base_url}/pay/{call.account.channel_id}/{trades.trade_no(attempt)}"
    return _good(told, {"out_trade_no": attempt.number, "qr_code": url})


def _find(call: Call) -> Attempt | None:
    """Find the trade that a request names by either number; another merchant's does not exist."""
    channel = call.front.channel(call.account.channel_id)
    number, trade_no = call.text("out_trade_no", longest=64), call.text("trade_no", longest=64)
    if not number and not trade_no:
        raise Invalid("40004", "ACQ.INVALID_PARAMETER", "out_trade_no")
    attempt = channel.book.by_txn.get(trades.txn_no(trade_no)) if trade_no else channel.book.attempts.get(number)
    return attempt if attempt is not None and attempt.merchant_no == call.account.merchant_no else None


async def _ask_about(call: Call, operation: Operation, attempt: Attempt | None) -> tuple[Told, Attempt]:
    """Ask about a trade, and refuse what is not there, in any weather."""
    number = attempt.number if attempt is not None else call.text("out_trade_no") or call.text("trade_no")
    there = attempt is not None and trades.is_visible(attempt)
    told = _checked(await call.ask(operation if there else Operation.QUERY, {"attempt_no": number}))
    if attempt is None or not trades.is_visible(attempt):
        raise _refuse_with(told, Invalid("40004", "ACQ.TRADE_NOT_EXIST"))
    return told, attempt


async def query(call: Call) -> Reply:
    """Tell how a trade stands."""
    told, attempt = await _ask_about(call, Operation.QUERY, _find(call))
    now_ms = call.front.world.now_ms()
    status = trades.status(attempt, now_ms=now_ms)
    if told.fields["word"] == Word.PAY_FAILED and attempt.word is Word.PAID:
        status = "TRADE_CLOSED"  # the fault SUCCESS_FLIPS
    amount = yuan(told.fields["amount_minor"])
    fields = {
        "trade_no": trades.trade_no(attempt),
        "out_trade_no": attempt.number,
        "trade_status": status,
        "total_amount": amount,
        **trades.buyer(attempt),
    }
    fields["buyer_user_id"] = fields.pop("buyer_id")
    if attempt.paid_ms:
        paid = {"receipt_amount": amount, "buyer_pay_amount": amount, "invoice_amount": amount, "point_amount": "0.00"}
        bills = [{"amount": amount, "fund_channel": "ALIPAYACCOUNT"}]
        fields |= {**paid, "send_pay_date": time_text(attempt.paid_ms)}
        return _good(told, {**fields, "fund_bill_list": bills})
    return _good(told, fields)


METHODS: Mapping[str, Callable[[Call], Awaitable[Reply]]] = {
    "alipay.trade.precreate": precreate,
    "alipay.trade.query": query,
}


async def return_url(account: Account, attempt: Attempt, *, now_ms: int) -> str:
    """Return where the payer's browser goes afterwards, with a signed query."""
    params = {
        "charset": "utf-8",
        "out_trade_no": attempt.number,
        "method": "alipay.trade.page.pay.return",
        "total_amount": yuan(attempt.amount_minor),
        "trade_no": trades.trade_no(attempt),
        "auth_app_id": account.hub["app_id"],
        "version": "1.0",
        "app_id": account.hub["app_id"],
        "sign_type": "RSA2",
        "seller_id": account.merchant_no,
        "timestamp": time_text(now_ms),
    }
    sign = await Seal(account, Flaw.NONE).sign(text_of(params, without=("sign", "sign_type")))
    url = attempt.memo["return_url"]
    return f"{url}{'&' if '?' in url else '?'}{urlencode(params | {'sign': sign})}"
