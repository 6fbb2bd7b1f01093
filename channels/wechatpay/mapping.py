"""WeChat Pay's words in ours. Total: a word that is not here is MAYBE with reason UNKNOWN_WORD, and somebody sees it.

Codes decide, not HTTP statuses. What a code means differs with what it answers: a request that moves money, or a
question, of which a refusal says nothing about the money. Two things are said by the same code, INVALID_REQUEST: that a
request breaks a rule, and that its number was used before with other content. The second means that an earlier send
arrived, so it is MAYBE; only the text tells them apart. For payouts the manual itself says that no code but a few
proves that the money stays, so there INVALID_REQUEST is always MAYBE.
"""

from channels.port import Answer
from channels.wechatpay import messages
from channels.wechatpay.messages import Json
from domain.evidence import Evidence, Fault, Outcome, Source

_Meaning = tuple[Outcome, Fault]

_DONE: _Meaning = (Outcome.DONE, Fault.NONE)
_ACCEPTED: _Meaning = (Outcome.ACCEPTED, Fault.NONE)
_CLOSED: _Meaning = (Outcome.CLOSED, Fault.NONE)
_NOT_FOUND: _Meaning = (Outcome.NOT_FOUND, Fault.NONE)
_PAYER: _Meaning = (Outcome.REJECTED, Fault.PAYER)
_OURS: _Meaning = (Outcome.REJECTED, Fault.CONFIG)
_ASK: _Meaning = (Outcome.MAYBE, Fault.NONE)
_ASK_OURS: _Meaning = (Outcome.MAYBE, Fault.CONFIG)
_ASK_CHANNEL: _Meaning = (Outcome.MAYBE, Fault.CHANNEL)

# code -> what it means when it answers a request that moves money, and when it answers a question.
_CODES: dict[str, tuple[_Meaning, _Meaning]] = {
    "PARAM_ERROR": (_OURS, _ASK_OURS),
    "INVALID_REQUEST": (_OURS, _ASK_OURS),
    "SIGN_ERROR": (_OURS, _ASK_OURS),
    "NO_AUTH": (_OURS, _ASK_OURS),
    "APPID_MCHID_NOT_MATCH": (_OURS, _ASK_OURS),
    "APPID_NOT_EXIST": (_OURS, _ASK_OURS),
    "MCH_NOT_EXISTS": (_OURS, _ASK_OURS),
    "MCHID_NOT_EXIST": (_OURS, _ASK_OURS),
    "OPENID_MISMATCH": (_OURS, _ASK_OURS),
    "RULE_LIMIT": (_PAYER, _ASK),
    "TRADE_ERROR": (_PAYER, _ASK),
    "USER_NOT_EXISTS": (_PAYER, _ASK),
    "USER_ACCOUNT_ABNORMAL": (_PAYER, _ASK),
    "ACCOUNT_ERROR": (_PAYER, _ASK),
    # Our own account is short. The same number goes out again when it is filled, so it is not given up.
    "NOT_ENOUGH": (_ASK_OURS, _ASK_OURS),
    # An earlier send arrived: a question tells what became of it.
    "ORDERPAID": (_ASK, _ASK),
    "ORDER_PAID": (_ASK, _ASK),
    "OUT_TRADE_NO_USED": (_ASK_OURS, _ASK_OURS),
    "ALREADY_EXISTS": (_ASK_OURS, _ASK_OURS),
    "USERPAYING": (_ACCEPTED, _ACCEPTED),
    "ORDER_CLOSED": (_CLOSED, _CLOSED),
    "ORDER_NOT_EXIST": (_NOT_FOUND, _NOT_FOUND),
    "RESOURCE_NOT_EXISTS": (_NOT_FOUND, _NOT_FOUND),
    "NOT_FOUND": (_NOT_FOUND, _NOT_FOUND),
    "NO_STATEMENT_EXIST": (_NOT_FOUND, _NOT_FOUND),
    "STATEMENT_CREATING": (_ASK, _ASK),
    # A limit can strike after acceptance.
    "FREQUENCY_LIMITED": (_ASK_CHANNEL, _ASK_CHANNEL),
    "FREQUENCY_LIMIT_EXCEED": (_ASK_CHANNEL, _ASK_CHANNEL),
    "RATELIMIT_EXCEEDED": (_ASK_CHANNEL, _ASK_CHANNEL),
    "SYSTEM_ERROR": (_ASK_CHANNEL, _ASK_CHANNEL),
    "SYSTEMERROR": (_ASK_CHANNEL, _ASK_CHANNEL),
    "BANK_ERROR": (_ASK_CHANNEL, _ASK_CHANNEL),
}
CODES = frozenset(_CODES)
# That the charge has been paid is no end of the matter: how much, the answer to a question says.
PAID_BEFORE = frozenset({"ORDERPAID", "ORDER_PAID"})
# How INVALID_REQUEST says that the number is taken.
_TAKEN = ("重入", "不一致", "已存在")

TRADES: dict[str, _Meaning] = {
    "SUCCESS": _DONE,
    # At least one refund exists, perhaps of a part: the money came all the same.
    "REFUND": _DONE,
    "NOTPAY": _ACCEPTED,
    "USERPAYING": _ACCEPTED,
    "ACCEPT": _ACCEPTED,
    "CLOSED": _CLOSED,
    "REVOKED": _CLOSED,
    "PAYERROR": _PAYER,
    "PAY_FAIL": _PAYER,
}
# Refunds: in the answer to a request, and in the answer to a question. A yes to a request is a promise.
REFUNDS: dict[str, tuple[_Meaning, _Meaning]] = {
    "SUCCESS": (_ACCEPTED, _DONE),
    "PROCESSING": (_ACCEPTED, _ACCEPTED),
    "CLOSED": (_PAYER, _PAYER),
    # The payer's card takes no money. It stays with us until somebody sends it another way.
    "ABNORMAL": (_PAYER, _PAYER),
}
TRANSFERS: dict[str, _Meaning] = {
    "ACCEPTED": _ACCEPTED,
    "PROCESSING": _ACCEPTED,
    "WAIT_USER_CONFIRM": _ACCEPTED,
    "TRANSFERING": _ACCEPTED,
    "TRANSFERRING": _ACCEPTED,
    "CANCELING": _ACCEPTED,
    "SUCCESS": _DONE,
    "FAIL": _PAYER,
    "CANCELLED": _CLOSED,
}
CONTRACTS: dict[str, _Meaning] = {
    "SIGNED": _DONE,
    # All debits of the plan are used up; it is in force, and may be renewed.
    "TO_BE_RENEWED": _DONE,
    "SIGN_FAILED": _PAYER,
    "TERMINATE_PENDING": _ACCEPTED,
    "TERMINATED": _CLOSED,
}
# Where messages have the word that they turn on.
_WORDS = ("code", "trade_state", "status", "refund_status", "state", "contract_state")
_SHARES = frozenset({"PENDING", "SUCCESS", "CLOSED"})


def refused(number: str, item: Json, *, moves_money: bool, careful: bool = False) -> Answer:
    """Read an error. `careful` is for payouts."""
    code, message = messages.text(item, "code"), messages.text(item, "message")
    meanings = _CODES.get(code)
    if meanings is None:
        return Answer(number, Outcome.MAYBE, "UNKNOWN_WORD", Fault.CHANNEL, word=code[:64])
    outcome, fault = meanings[0 if moves_money else 1]
    if code == "INVALID_REQUEST" and (careful or any(sign in message for sign in _TAKEN)):
        outcome, fault = _ASK_OURS
    return Answer(number, outcome, code, fault)


def trade(number: str, item: Json) -> Answer:
    """Read the state of a charge or a debit."""
    state = messages.text(item, "trade_state", required=True)
    meaning = TRADES.get(state)
    if meaning is None or messages.text(item, "out_trade_no") != number:
        return _unknown(number, known=meaning is not None)
    amount = messages.inner(item, "amount")
    outcome, fault = meaning
    return Answer(
        number, outcome, state if outcome is not Outcome.DONE else "", fault, messages.whole(amount, "total"),
        messages.text(amount, "currency"), messages.text(item, "mchid"), messages.text(item, "transaction_id"),
        messages.time_ms(item, "success_time"),
    )  # fmt: skip


def accepted(number: str, item: Json) -> Answer:
    """Read an answer that says no more than that it has begun."""
    return Answer(number, Outcome.ACCEPTED)


def closed(number: str, item: Json) -> Answer:
    """Read the answer to a close, which is empty."""
    return Answer(number, Outcome.CLOSED)


def refund_promised(number: str, item: Json) -> Answer:
    """Read the answer to a refund: a yes is a promise."""
    return refund(number, item, moves_money=True)


def refund(number: str, item: Json, *, moves_money: bool = False) -> Answer:
    """Read the state of a refund: `status` in an answer, `refund_status` in a callback."""
    state = messages.text(item, "status") or messages.text(item, "refund_status", required=True)
    meanings = REFUNDS.get(state)
    if meanings is None or messages.text(item, "out_refund_no") != number:
        return _unknown(number, known=meanings is not None)
    amount = messages.inner(item, "amount")
    outcome, fault = meanings[0 if moves_money else 1]
    return Answer(
        number, outcome, f"REFUND_{state}" if fault is not Fault.NONE else "", fault, messages.whole(amount, "refund"),
        messages.text(amount, "currency") or "CNY", messages.text(item, "mchid"), messages.text(item, "refund_id"),
        messages.time_ms(item, "success_time"),
    )  # fmt: skip


def payout(number: str, item: Json) -> Answer:
    """Read the state of a payout. `mch_id` is told by questions, `mchid` by callbacks."""
    state = messages.text(item, "state", required=True)
    meaning = TRANSFERS.get(state)
    if meaning is None or messages.text(item, "out_bill_no") != number:
        return _unknown(number, known=meaning is not None)
    outcome, fault = meaning
    return Answer(
        number, outcome, messages.text(item, "fail_reason") or (state if outcome is not Outcome.DONE else ""), fault,
        messages.whole(item, "transfer_amount"), "CNY",
        messages.text(item, "mch_id") or messages.text(item, "mchid"), messages.text(item, "transfer_bill_no"),
        messages.time_ms(item, "update_time") if outcome is Outcome.DONE else 0,
    )  # fmt: skip


def mandate(number: str, item: Json) -> Answer:
    """Read the state of a mandate; the channel's number of it is what debits are asked for with."""
    state = messages.text(item, "contract_state", required=True)
    meaning = CONTRACTS.get(state)
    if meaning is None or messages.text(item, "out_contract_code") != number:
        return _unknown(number, known=meaning is not None)
    outcome, fault = meaning
    return Answer(
        number, outcome, state if state != "SIGNED" else "", fault, merchant_no=messages.text(item, "mchid"),
        channel_txn_no=messages.text(item, "contract_id"),
        success_time_ms=messages.time_ms(item, "contract_signed_time"),
    )  # fmt: skip


def split(number: str, item: Json, *, mchid: str) -> Answer:
    """Read the state of a split: it is done when every receiver's part is, and its amount is what they really got."""
    state = messages.text(item, "state", required=True)
    receivers = [each for each in messages.objects(item, "receivers") if messages.text(each, "account") != mchid]
    results = [messages.text(each, "result", required=True) for each in receivers]
    known = state in ("PROCESSING", "FINISHED") and set(results) <= _SHARES
    if not known or messages.text(item, "out_order_no") != number:
        return _unknown(number, known=known)
    got_minor = sum(messages.whole(each, "amount") for each in receivers if each["result"] == "SUCCESS")
    outcome, reason, fault = Outcome.ACCEPTED, state, Fault.NONE
    if state == "FINISHED" and "PENDING" not in results:
        closed = results.count("CLOSED")
        outcome, reason = Outcome.DONE, "PARTLY" if closed else ""
        if closed and closed == len(results):
            outcome, reason, fault = Outcome.REJECTED, "SPLIT_CLOSED", Fault.PAYER
    return Answer(number, outcome, reason, fault, got_minor, "CNY", "", messages.text(item, "order_id"))


def word_of(item: Json) -> str:
    """Return the word that a message turns on, to show one that is unknown."""
    return str(next((item[name] for name in _WORDS if item.get(name)), ""))


def evidence_of(item: Json, original_type: str, *, mchid: str, now_ms: int) -> Evidence | None:
    """Read what a callback holds. It tells of a state, as the answer to a question does; None if it is of no kind of ours."""
    refund_no = ""
    if "out_refund_no" in item:
        refund_no = messages.text(item, "out_refund_no", required=True)
        number = messages.text(item, "out_trade_no", required=True)
        answer = refund(refund_no, item)
    elif "out_contract_code" in item:
        number = messages.text(item, "out_contract_code", required=True)
        answer = mandate(number, item)
    elif "out_bill_no" in item:
        number = messages.text(item, "out_bill_no", required=True)
        answer = payout(number, item)
    elif original_type == "profitsharing" and "out_order_no" in item:
        # It tells of one receiver, and a split may have several: a question tells of all.
        number = messages.text(item, "out_order_no", required=True)
        answer = Answer(number, Outcome.ACCEPTED, channel_txn_no=messages.text(item, "order_id"))
    elif "out_trade_no" in item:
        number = messages.text(item, "out_trade_no", required=True)
        answer = trade(number, item)
    else:
        return None
    return Evidence(
        number, Source.CALLBACK, answer.outcome, answer.reason, answer.fault, answer.amount_minor, answer.currency_code,
        mchid, answer.channel_txn_no, answer.success_time_ms, "", "", refund_no, now_ms,
    )  # fmt: skip


def _unknown(number: str, *, known: bool) -> Answer:
    """Answer for a word that is unknown, or, where it is known, for somebody else's number."""
    return Answer(number, Outcome.MAYBE, "OTHER_NUMBER" if known else "UNKNOWN_WORD", Fault.CHANNEL)
