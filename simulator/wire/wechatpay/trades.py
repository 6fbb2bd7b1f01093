"""An attempt of the world as a transaction of WeChat Pay, and its refunds: numbers, states and objects."""

from simulator.codec import AnswerFields
from simulator.records import Attempt, Refund
from simulator.wire.accounts import Account
from simulator.wire.wechatpay.messages import Json, time_text
from simulator.wire.wechatpay.words import REFUND_STATES, STATES
from simulator.words import Word

_DIGITS = 29
TRADE_TYPES = {"jsapi": "JSAPI", "native": "NATIVE", "app": "APP", "h5": "MWEB", "pap": "PAP"}


def decimal(txn_no: str) -> str:
    """Return the platform's number: the world's own, in decimal."""
    return str(int(txn_no, 16)).zfill(_DIGITS)


def txn_no(number: str) -> str:
    """Return the world's number of a platform's, "" for what is none."""
    return f"{int(number):024X}" if number.isascii() and number.isdecimal() and len(number) <= 32 else ""


def transaction(attempt: Attempt, account: Account, *, word: Word, amount_minor: int, success_ms: int) -> Json:
    """Return a transaction, as questions and callbacks tell it."""
    state, text = STATES[word]
    paid = word is Word.PAID
    if paid and attempt.refund_count:
        state, text = "REFUND", "转入退款"
    if attempt.memo.get("product") == "pap" and word is Word.WAITING_PAYER:
        state, text = "ACCEPT", "已接收，等待扣款"
    openid = attempt.memo.get("openid") or f"o{attempt.txn_no}"
    payer = {"openid": openid} if paid else None
    amount: Json = {"total": amount_minor, "currency": attempt.currency}
    if paid:
        amount |= {"payer_total": amount_minor, "payer_currency": attempt.currency}
    return {
        "appid": account.hub["appid"],
        "mchid": attempt.merchant_no,
        "out_trade_no": attempt.number,
        "transaction_id": decimal(attempt.txn_no) if paid else None,
        "trade_type": TRADE_TYPES[attempt.memo.get("product", "native")] if paid else None,
        "trade_state": state,
        "trade_state_desc": text,
        "bank_type": "OTHERS" if paid else None,
        "attach": attempt.memo.get("attach", ""),
        "success_time": time_text(success_ms) if paid else None,
        "payer": payer,
        "amount": amount,
        "promotion_detail": [] if paid else None,
    }


def refund_amount(refund: Refund, amount_minor: int) -> Json:
    """Return the amounts of a refund, as far as callbacks tell them."""
    total = refund.attempt.amount_minor
    return {"total": total, "refund": amount_minor, "payer_total": total, "payer_refund": amount_minor}


def refund_item(refund: Refund, said: AnswerFields) -> Json:
    """Return a refund, as answers tell it."""
    attempt = refund.attempt
    status = REFUND_STATES[said["word"]]
    amounts = refund_amount(refund, said["amount_minor"])
    more = {"settlement_refund": said["amount_minor"], "settlement_total": attempt.amount_minor, "discount_refund": 0,
            "currency": attempt.currency, "from": [], "refund_fee": 0}  # fmt: skip
    return {
        "refund_id": decimal(refund.txn_no),
        "out_refund_no": refund.number,
        "transaction_id": decimal(attempt.txn_no),
        "out_trade_no": attempt.number,
        "channel": "ORIGINAL",
        "user_received_account": "支付用户零钱",
        "success_time": time_text(refund.settled_ms) if status == "SUCCESS" else None,
        "create_time": time_text(attempt.paid_ms),
        "status": status,
        "funds_account": "UNSETTLED",
        "amount": amounts | more,
        "promotion_detail": [],
    }


def refund_notice(refund: Refund, *, word: Word, amount_minor: int, success_ms: int) -> Json:
    """Return a refund, as callbacks tell it: its state has another name there."""
    attempt = refund.attempt
    return {
        "mchid": attempt.merchant_no,
        "transaction_id": decimal(attempt.txn_no),
        "out_trade_no": attempt.number,
        "refund_id": decimal(refund.txn_no),
        "out_refund_no": refund.number,
        "refund_status": REFUND_STATES[word],
        "success_time": time_text(success_ms) if word is Word.REFUND_PAID else None,
        "user_received_account": "支付用户零钱",
        "amount": refund_amount(refund, amount_minor),
    }
