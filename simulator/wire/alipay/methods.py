"""The gateway's methods: each reads its content, asks the world, and answers with the fields of the manual."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from simulator.codec import Flaw
from simulator.records import Attempt, Mandate, Payout
from simulator.wire.accounts import Account
from simulator.wire.alipay import agreements, bills, payouts, trades
from simulator.wire.alipay.messages import Invalid, amount_of, expiry_ms, time_text, yuan
from simulator.wire.alipay.signing import Seal, text_of
from simulator.wire.alipay.words import check, declined
from simulator.wire.front import Front, Told
from simulator.wire.page import payer_page
from simulator.words import Operation, Reason, SideWord, Word

REFUND_WINDOW_MS = 365 * 86_400_000
BILL_URL_MS = 30_000


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


def _still_open(told: Told) -> None:
    if told.fields["word"] == Word.PAID:
        raise _refuse_with(told, Invalid("40004", "ACQ.TRADE_HAS_SUCCESS"))
    if told.fields["word"] == Word.PAY_CLOSED:
        raise _refuse_with(told, Invalid("40004", "ACQ.TRADE_HAS_CLOSE"))


async def create(call: Call) -> Reply:
    """Make a trade that waits for its buyer."""
    if not call.text("buyer_id") and not call.text("buyer_open_id"):
        raise Invalid("40004", "ACQ.INVALID_PARAMETER", "buyer_id")
    item = _charge_item(call, "create", pays="LATER")
    told = _checked(await call.ask(Operation.CHARGE, item))
    _still_open(told)
    attempt = call.front.channel(call.account.channel_id).book.attempts[item["attempt_no"]]
    return _good(told, {"out_trade_no": attempt.number, "trade_no": trades.trade_no(attempt)})


async def pay(call: Call) -> Reply:
    """Take money at once: under an agreement, or by the code on a payer's phone."""
    agreement = call.content.get("agreement_params")
    item = _charge_item(call, "pay", pays="NOW")
    operation = Operation.CHARGE
    if isinstance(agreement, dict):
        operation = Operation.DEBIT
        item["agreement_no"] = trades.txn_no(str(agreement.get("agreement_no", ""))) or "none"
    elif not call.text("auth_code"):
        raise Invalid("40004", "ACQ.INVALID_PARAMETER", "auth_code")
    told = _checked(await call.ask(operation, item))
    word = told.fields["word"]
    if word == Word.PAY_FAILED:
        raise _refuse_with(told, declined(told.fields["reason"]))
    if word == Word.PAY_CLOSED:
        raise _refuse_with(told, Invalid("40004", "ACQ.TRADE_HAS_CLOSE"))
    attempt = call.front.channel(call.account.channel_id).book.attempts[item["attempt_no"]]
    amount = yuan(told.fields["amount_minor"])
    fields = {"trade_no": trades.trade_no(attempt), "out_trade_no": attempt.number, "total_amount": amount}
    if word == Word.WAITING_PAYER:
        return _good(told, fields, "10003", "order success pay inprocess")
    paid = {"receipt_amount": amount, "buyer_pay_amount": amount, "invoice_amount": amount, "point_amount": "0.00",
            "gmt_payment": time_text(attempt.paid_ms), "async_payment_mode": "SYNC_DIRECT_PAY"}  # fmt: skip
    buyer = trades.buyer(attempt)
    buyer["buyer_user_id"] = buyer.pop("buyer_id")
    bills = [{"amount": amount, "fund_channel": "ALIPAYACCOUNT"}]
    return _good(told, {**fields, **buyer, **paid, "fund_bill_list": bills})


def _browsed(product: str, *product_codes: str) -> Callable[[Call], Awaitable[Reply]]:
    """Make the method of a product whose request comes from the payer's own browser or phone."""

    async def browse(call: Call) -> Reply:
        if call.content.get("product_code") not in product_codes:
            raise Invalid("40004", "ACQ.INVALID_PARAMETER", "product_code")
        item = _charge_item(call, product, pays="LATER")
        told = _checked(await call.ask(Operation.CHARGE, item))
        attempt = call.front.channel(call.account.channel_id).book.attempts[item["attempt_no"]]
        url = f"{call.front.base_url}/pay/{call.account.channel_id}/{trades.trade_no(attempt)}"
        rows = [("金额", yuan(attempt.amount_minor)), ("商品", item["subject"]), ("订单", attempt.number)]
        return Reply({}, told, payer_page("支付宝 Alipay", rows, action=url))

    return browse


async def precreate(call: Call) -> Reply:
    """Make a code to be scanned; the trade itself is made by scanning it."""
    item = _charge_item(call, "precreate", pays="LATER")
    told = _checked(await call.ask(Operation.CHARGE, item))
    _still_open(told)
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


async def close(call: Call) -> Reply:
    """Close a trade that nobody has paid."""
    told, attempt = await _ask_about(call, Operation.CLOSE, _find(call))
    if told.fields["word"] == Word.PAID:
        raise _refuse_with(told, Invalid("40004", "ACQ.TRADE_STATUS_ERROR"))
    return _good(told, {"trade_no": trades.trade_no(attempt), "out_trade_no": attempt.number})


# --- refunds ---


_REFUND_REFUSALS = {Reason.NUMBER_REUSED: "ACQ.DISCORDANT_REPEAT_REQUEST", Reason.NOT_PAID: "ACQ.TRADE_STATUS_ERROR"}


async def refund(call: Call) -> Reply:
    """Give back: fund_change tells whether money moved by this very request, refund_fee is all that went back so far."""
    amount_minor = amount_of(call.content.get("refund_amount"))
    attempt = _find(call)
    if attempt is None or not trades.is_visible(attempt):
        await _ask_about(call, Operation.QUERY, attempt)
        raise AssertionError("what is not there was refused")
    number = call.text("out_request_no", longest=64)
    if not number and amount_minor != attempt.amount_minor:
        raise Invalid("40004", "ACQ.INVALID_PARAMETER", "out_request_no")
    number = number or attempt.number
    book = call.front.channel(call.account.channel_id).book
    known = number in book.refunds
    if not known and attempt.paid_ms + REFUND_WINDOW_MS < call.front.world.now_ms() and attempt.paid_ms:
        told = _checked(await call.ask(Operation.QUERY, {"attempt_no": attempt.number}))
        raise _refuse_with(told, Invalid("40004", "ACQ.TRADE_HAS_FINISHED"))
    item = {"refund_no": number, "attempt_no": attempt.number, "amount_minor": amount_minor, "currency": "CNY",
            "memo": {"reason": call.text("refund_reason")} if call.text("refund_reason") else {}}  # fmt: skip
    told = _checked(await call.ask(Operation.REFUND, item), **_REFUND_REFUSALS)
    fields = {
        "trade_no": trades.trade_no(attempt),
        "out_trade_no": attempt.number,
        "buyer_logon_id": trades.buyer(attempt)["buyer_logon_id"],
        "buyer_user_id": trades.buyer(attempt)["buyer_id"],
        "fund_change": "N" if known else "Y",
        "refund_fee": yuan(attempt.refunded_minor),
        "send_back_fee": yuan(amount_minor),
    }
    return _good(told, fields)


async def query_refund(call: Call) -> Reply:
    """Tell what became of a refund: without refund_status it is not there, or not there yet."""
    number = call.text("out_request_no", required=True, longest=64)
    attempt = _find(call)
    if attempt is None or not trades.is_visible(attempt):
        await _ask_about(call, Operation.QUERY, attempt)
        raise AssertionError("what is not there was refused")
    said = _checked(await call.ask(Operation.QUERY_REFUND, {"refund_no": number, "attempt_no": attempt.number}))
    if said.fields["word"] != Word.REFUND_PAID:
        return _good(said, {})
    refund = call.front.channel(call.account.channel_id).book.refunds[number]
    fields = {
        "trade_no": trades.trade_no(attempt),
        "out_trade_no": attempt.number,
        "out_request_no": number,
        "total_amount": yuan(attempt.amount_minor),
        "refund_amount": yuan(said.fields["amount_minor"]),
        "refund_status": "REFUND_SUCCESS",
    }
    if "gmt_refund_pay" in (call.content.get("query_options") or []):
        fields["gmt_refund_pay"] = time_text(refund.settled_ms)
    return _good(said, fields)


# --- transfers ---


_PAYEE_KINDS = frozenset({"ALIPAY_USER_ID", "ALIPAY_LOGON_ID", "ALIPAY_OPEN_ID", "BANKCARD_ACCOUNT"})
_TRANSFER_CODES = frozenset({"TRANS_ACCOUNT_NO_PWD", "TRANS_BANKCARD_NO_PWD", "STD_RED_PACKET"})
_TRANSFER_REFUSALS = {Reason.NUMBER_REUSED: "PAYMENT_INFO_INCONSISTENCY", Reason.MALFORMED: "INVALID_PARAMETER"}


async def transfer(call: Call) -> Reply:
    """Pay out, to an account or a card."""
    payee = call.content.get("payee_info")
    code, scene = call.text("product_code", required=True), call.text("biz_scene", required=True)
    if not isinstance(payee, dict) or payee.get("identity_type") not in _PAYEE_KINDS or not payee.get("identity"):
        raise Invalid("40004", "INVALID_PARAMETER", "payee_info")
    if code not in _TRANSFER_CODES or scene != "DIRECT_TRANSFER":
        raise Invalid("40004", "INVALID_PARAMETER")
    named = payee["identity_type"] in ("ALIPAY_LOGON_ID", "BANKCARD_ACCOUNT")
    if named and not payee.get("name"):
        raise Invalid("40004", "INVALID_PARAMETER", "name")
    number = call.text("out_biz_no", required=True, longest=64)
    item = {
        "payout_no": number,
        "amount_minor": amount_of(call.content.get("trans_amount")),
        "currency": "CNY",
        "payee": str(payee["identity"]),
        "payee_name": str(payee.get("name", "")),
        "order_no": call.text("remark"),
        "notify_url": call.params.get("notify_url", ""),
        "memo": {"product_code": code, "biz_scene": scene},
    }
    told = _checked(await call.ask(Operation.PAYOUT, item), **_TRANSFER_REFUSALS)
    payout = call.front.channel(call.account.channel_id).book.payouts[number]
    return _good(told, payouts.fields(payout))


async def query_transfer(call: Call) -> Reply:
    """Tell what became of a transfer."""
    number = call.text("out_biz_no", required=True, longest=64)
    told = _checked(await call.ask(Operation.QUERY_PAYOUT, {"payout_no": number}))
    payout = call.front.channel(call.account.channel_id).book.payouts.get(number)
    named = (call.text("product_code"), call.text("biz_scene"))
    if told.fields["word"] == SideWord.NO_SUCH_PAYOUT or payout is None or named != _product(payout):
        raise _refuse_with(told, Invalid("40004", "ORDER_NOT_EXIST"))
    return _good(told, payouts.fields(payout, told=True))


def _product(payout: Payout) -> tuple[str, str]:
    return payout.memo["product_code"], payout.memo["biz_scene"]


# --- agreements ---


async def sign(call: Call) -> Reply:
    """Show the page on which a payer agrees."""
    number = call.text("external_agreement_no", longest=32)
    for name in ("personal_product_code", "sign_scene"):
        call.text(name, required=True)
    if not number.isalnum() or not isinstance(call.content.get("access_params"), dict):
        raise Invalid("40004", "INVALID_PARAMETER")
    rule = call.content.get("period_rule_params")
    limit = amount_of(rule["single_amount"]) if isinstance(rule, dict) and rule.get("single_amount") else 0
    memo = {"personal_product_code": call.text("personal_product_code"), "sign_scene": call.text("sign_scene"),
            "return_url": call.params.get("return_url", "")}  # fmt: skip
    item = {
        "mandate_no": number,
        "payer_ref": call.text("external_logon_id"),
        "limit_minor": limit,
        "notify_url": call.params.get("notify_url", ""),
        "memo": {name: value for name, value in memo.items() if value},
    }
    told = _checked(await call.ask(Operation.SIGN, item))
    url = f"{call.front.base_url}/sign/{call.account.channel_id}/{number}"
    return Reply({}, told, payer_page("支付宝 签约", [("协议", number)], action=url))


def _mandate_item(call: Call) -> dict[str, str]:
    agreement_no = call.text("agreement_no")
    if agreement_no:
        return {"agreement_no": trades.txn_no(agreement_no) or "none"}
    return {"mandate_no": call.text("external_agreement_no", required=True)}


async def query_agreement(call: Call) -> Reply:
    """Tell how an agreement stands."""
    told = _checked(await call.ask(Operation.QUERY_MANDATE, _mandate_item(call)))
    return _good(told, agreements.fields(_mandate(call, told)))


async def unsign(call: Call) -> Reply:
    """End an agreement."""
    told = _checked(await call.ask(Operation.UNSIGN, _mandate_item(call)))
    _mandate(call, told)
    return _good(told, {})


def _mandate(call: Call, told: Told) -> Mandate:
    mandate = call.front.channel(call.account.channel_id).book.mandates.get(told.fields["number"])
    if told.fields["word"] == SideWord.NO_SUCH_MANDATE or mandate is None:
        raise _refuse_with(told, Invalid("40004", "USER_AGREEMENT_NOT_EXIST"))
    return mandate


# --- splits ---


async def bind(call: Call) -> Reply:
    """Bind receivers of splits: nothing is refused here, so nothing has to be kept."""
    call.text("out_request_no", required=True, longest=64)
    if not isinstance(call.content.get("receiver_list"), list):
        raise Invalid("40004", "ACQ.INVALID_PARAMETER", "receiver_list")
    told = await call.ask(Operation.QUERY, {"attempt_no": call.content["out_request_no"]})
    if told.fields["word"] != Word.NO_SUCH_TRADE:
        _checked(told)
    return _good(told, {"result_code": "SUCCESS"})


async def settle(call: Call) -> Reply:
    """Split what a trade took."""
    number = call.text("out_request_no", required=True, longest=64)
    raw = call.content.get("royalty_parameters")
    if not isinstance(raw, list) or not raw or not all(isinstance(one, dict) for one in raw):
        raise Invalid("40004", "ACQ.INVALID_PARAMETER", "royalty_parameters")
    attempt = _find(call)
    shares = [[str(one.get("trans_in", "")), amount_of(one.get("amount"))] for one in raw]
    item = {"split_no": number, "attempt_no": attempt.number if attempt else "none", "shares": shares}
    told = _checked(await call.ask(Operation.SPLIT, item))
    split = call.front.channel(call.account.channel_id).book.splits[number]
    return _good(told, {"trade_no": trades.trade_no(split.attempt), "settle_no": trades.settle_no(split)})


async def query_settle(call: Call) -> Reply:
    """Tell what became of a split."""
    number = call.text("out_request_no", required=True, longest=64)
    told = _checked(await call.ask(Operation.QUERY_SPLIT, {"split_no": number}))
    if told.fields["word"] == SideWord.NO_SUCH_SPLIT:
        raise _refuse_with(told, Invalid("40004", "ACQ.TRADE_NOT_EXIST"))
    split = call.front.channel(call.account.channel_id).book.splits[number]
    state = {SideWord.SPLIT_ACCEPTED: "PROCESSING", SideWord.SPLIT_DONE: "SUCCESS"}.get(split.word, "FAIL")
    details = [
        {"operation_type": "transfer", "trans_in": receiver, "amount": yuan(amount), "state": state}
        for receiver, amount in split.shares
    ]
    return _good(
        told, {"out_request_no": number, "operation_dt": time_text(split.made_ms), "royalty_detail_list": details}
    )


# --- verifications ---


async def certify_initialize(call: Call) -> Reply:
    """Begin a verification."""
    person = call.content.get("identity_param")
    number = call.text("outer_order_no", required=True, longest=32)
    call.text("biz_code", required=True)
    if not number.isalnum() or not isinstance(person, dict) or not person.get("cert_name") or not person.get("cert_no"):
        raise Invalid("40004", "INVALID_PARAMETER")
    item = {"verify_no": number, "name": str(person["cert_name"]), "id_no": str(person["cert_no"])}
    told = _checked(await call.ask(Operation.VERIFY, item))
    return _good(told, {"certify_id": number})


async def certify_query(call: Call) -> Reply:
    """Tell what a verification said."""
    number = call.text("certify_id", required=True)
    told = _checked(await call.ask(Operation.QUERY_VERIFY, {"verify_no": number}))
    if told.fields["word"] == SideWord.NO_SUCH_VERIFICATION:
        raise _refuse_with(told, Invalid("40004", "CERTIFY_ID_NOT_EXIST"))
    passed = told.fields["word"] == SideWord.VERIFIED
    return _good(
        told, {"passed": "T", "identity_info": "{}"} if passed else {"passed": "F", "fail_reason": "IDENTITY_NOT_MATCH"}
    )


# --- statements ---


async def bill_url(call: Call) -> Reply:
    """Tell where a day's statement can be fetched, for half a minute."""
    kind, date = call.text("bill_type", required=True), call.text("bill_date", required=True)
    if kind not in ("trade", "signcustomer"):
        raise Invalid("40004", "INVALID_PARAMETER", "bill_type")
    told = _checked(await call.ask(Operation.BILL, {"date": date}))
    if told.fields["word"] != SideWord.BILL_READY:
        raise _refuse_with(told, Invalid("40004", "isp.bill_not_exist"))
    until_ms = call.front.world.real_ms() + BILL_URL_MS
    ticket = f"{call.account.merchant_no}/{kind}/{date}/{until_ms}"
    return _good(
        told,
        {
            "bill_download_url": f"{call.front.base_url}/bill/{call.account.channel_id}/{ticket}?token={bills.token(call.account, ticket)}"
        },
    )


METHODS: Mapping[str, Callable[[Call], Awaitable[Reply]]] = {
    "alipay.trade.create": create,
    "alipay.trade.pay": pay,
    "alipay.trade.precreate": precreate,
    "alipay.trade.page.pay": _browsed("page", "FAST_INSTANT_TRADE_PAY"),
    "alipay.trade.wap.pay": _browsed("wap", "QUICK_WAP_WAY", "QUICK_WAP_PAY"),
    "alipay.trade.app.pay": _browsed("app", "QUICK_MSECURITY_PAY"),
    "alipay.trade.query": query,
    "alipay.trade.close": close,
    "alipay.trade.refund": refund,
    "alipay.trade.fastpay.refund.query": query_refund,
    "alipay.fund.trans.uni.transfer": transfer,
    "alipay.fund.trans.common.query": query_transfer,
    "alipay.user.agreement.page.sign": sign,
    "alipay.user.agreement.query": query_agreement,
    "alipay.user.agreement.unsign": unsign,
    "alipay.trade.royalty.relation.bind": bind,
    "alipay.trade.order.settle": settle,
    "alipay.trade.order.settle.query": query_settle,
    "alipay.user.certify.open.initialize": certify_initialize,
    "alipay.user.certify.open.query": certify_query,
    "alipay.data.dataservice.bill.downloadurl.query": bill_url,
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
