"""Alipay's codes and states in our words. Pure, and total: what is not here is MAYBE, and an error that somebody sees.

A code decides alone unless it is 40004 (business failed): then its sub_code does. Most say the same whatever was asked;
where a code means one thing to a request that moves money and another to a question, both stand beside each other.
"""

import json
from collections.abc import Mapping
from typing import Any

from channels.alipay.messages import fen, time_ms
from channels.port import Answer
from domain.evidence import Evidence, Fault, Outcome, Source

Meaning = tuple[Outcome, Fault]


class UnknownWord(ValueError):
    """A code or a state that is in no manual: it proves nothing, and somebody has to see it."""

    def __init__(self, word: object) -> None:
        super().__init__(word)
        self.word = str(word)[:64]


_DONE: Meaning = (Outcome.DONE, Fault.NONE)
_WAITS: Meaning = (Outcome.ACCEPTED, Fault.NONE)
_CLOSED: Meaning = (Outcome.CLOSED, Fault.NONE)
_UNHEARD: Meaning = (Outcome.NOT_FOUND, Fault.NONE)
_ILL: Meaning = (Outcome.MAYBE, Fault.CHANNEL)
_ASK: Meaning = (Outcome.MAYBE, Fault.NONE)  # an earlier send arrived: a question tells
_PAYER: Meaning = (Outcome.REJECTED, Fault.PAYER)
_OURS: Meaning = (Outcome.REJECTED, Fault.CONFIG)
_CANNOT: Meaning = (Outcome.REJECTED, Fault.CHANNEL)

# code -> meaning, for codes that need no sub_code.
_CODES: Mapping[str, Meaning] = {
    "10003": _WAITS,
    "20000": _ILL,
    "20001": _OURS,
    "40001": _OURS,
    "40002": _OURS,
    "40003": _OURS,
    "40005": _ILL,  # a limit can also strike after acceptance: a question tells
    "40006": _OURS,
}

_PAYERS = [
    "BUYER_BALANCE_NOT_ENOUGH",
    "BUYER_BANKCARD_BALANCE_NOT_ENOUGH",
    "BUYER_SELLER_EQUAL",
    "TRADE_BUYER_NOT_MATCH",
    "BUYER_ENABLE_STATUS_FORBID",
    "PAYMENT_FAIL",
    "BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR",
    "BUYER_PAYMENT_AMOUNT_MONTH_LIMIT_ERROR",
    "BEYOND_PAY_RESTRICTION",
    "PAYMENT_AUTH_CODE_INVALID",
    "NO_PAYMENT_INSTRUMENTS_AVAILABLE",
    "PAYMENT_REQUEST_HAS_RISK",
    "USER_NOT_EXIST",
    "AGREEMENT_NOT_EXIST",
    "AGREEMENT_INVALID",
    "AGREEMENT_STATUS_NOT_NORMAL",
    "MERCHANT_AGREEMENT_NOT_EXIST",
    "MERCHANT_AGREEMENT_INVALID",
]
_MERCHANTS = [
    "INVALID_PARAMETER",
    "ACCESS_FORBIDDEN",
    "EXIST_FORBIDDEN_WORD",
    "PARTNER_ERROR",
    "TOTAL_FEE_EXCEED",
    "SELLER_BEEN_BLOCKED",
    "MERCHANT_STATUS_NOT_NORMAL",
    "PRODUCT_UNSIGN",
    "RELATION_QUANTITY_LIMIT",
]
_REFUND_REFUSALS = [
    "TRADE_HAS_FINISHED",
    "REASON_TRADE_REFUND_FEE_ERR",
    "REFUND_AMT_NOT_EQUAL_TOTAL",
    "REFUND_FEE_ERROR",
    "REASON_TRADE_BEEN_FREEZEN",
    "TRADE_NOT_ALLOW_REFUND",
]

# sub_code of 40004 -> (what it means to a request that moves money, to a question).
_SUB_CODES: dict[str, tuple[Meaning, Meaning]] = {
    **{f"ACQ.{name}": (_PAYER, _PAYER) for name in _PAYERS},
    **{f"ACQ.{name}": (_OURS, _ILL) for name in _MERCHANTS},
    **{f"ACQ.{name}": (_PAYER, _ASK) for name in _REFUND_REFUSALS},
    "ACQ.SYSTEM_ERROR": (_ILL, _ILL),
    "aop.ACQ.SYSTEM_ERROR": (_ILL, _ILL),
    "ACQ.TRADE_HAS_SUCCESS": (_ASK, _DONE),
    "ACQ.CONTEXT_INCONSISTENT": ((Outcome.MAYBE, Fault.CONFIG), _ASK),
    "ACQ.DISCORDANT_REPEAT_REQUEST": ((Outcome.MAYBE, Fault.CONFIG), _ASK),
    "ACQ.TRADE_HAS_CLOSE": (_CLOSED, _CLOSED),
    "ACQ.TRADE_NOT_EXIST": (_UNHEARD, _UNHEARD),
    "ACQ.TRADE_STATUS_ERROR": (_PAYER, _ASK),
    "ACQ.REASON_TRADE_STATUS_INVALID": (_PAYER, _ASK),
    # Money for refunds is put in by us; until then the same number may be sent again.
    "ACQ.SELLER_BALANCE_NOT_ENOUGH": ((Outcome.MAYBE, Fault.CONFIG), _ASK),
    # Transfers name theirs without a prefix.
    "SYSTEM_ERROR": (_ILL, _ILL),
    "INVALID_PARAMETER": (_OURS, _ILL),
    "PAYMENT_INFO_INCONSISTENCY": ((Outcome.MAYBE, Fault.CONFIG), _ASK),
    "ORDER_NOT_EXIST": (_UNHEARD, _UNHEARD),
    "INST_PAY_UNABLE": (_CANNOT, _ASK),
    **dict.fromkeys(
        ("EXCEED_LIMIT_SM_AMOUNT", "EXCEED_LIMIT_DM_AMOUNT", "EXCEED_LIMIT_MM_AMOUNT", "PAYCARD_UNABLE_PAYMENT",
         "PAYER_STATUS_ERROR", "PAYER_BALANCE_NOT_ENOUGH", "PAYER_USER_INFO_ERROR", "MEMO_REQUIRED_IN_TRANSFER_ERROR",
         "REMARK_HAS_SENSITIVE_WORD"),
        (_OURS, _ASK),
    ),
    **dict.fromkeys(
        ("PAYEE_NOT_EXIST", "PAYEE_USER_INFO_ERROR", "CARD_BIN_ERROR", "PAYEE_CARD_INFO_ERROR", "PAYEE_ACC_OCUPIED",
         "PERM_AML_NOT_REALNAME_REV"),
        (_PAYER, _PAYER),
    ),
    "USER_AGREEMENT_NOT_EXIST": (_UNHEARD, _UNHEARD),
    "CERTIFY_ID_NOT_EXIST": (_UNHEARD, _UNHEARD),
    "isp.bill_not_exist": (_UNHEARD, _UNHEARD),
}  # fmt: skip

TRADE_STATES = frozenset({"WAIT_BUYER_PAY", "TRADE_SUCCESS", "TRADE_FINISHED", "TRADE_CLOSED"})
_TRANSFERS: Mapping[str, Meaning] = {
    "SUCCESS": _DONE,
    "DEALING": _WAITS,
    "INIT": _WAITS,
    "WAIT_PAY": _WAITS,
    "FAIL": _PAYER,
    "CLOSED": _CLOSED,
    "REFUND": _PAYER,  # it was paid out, and came back
}
_AGREEMENTS: Mapping[str, Meaning] = {"NORMAL": _DONE, "TEMP": _WAITS, "STOP": _WAITS, "UNSIGN": _CLOSED}
_SHARES: Mapping[str, Meaning] = {"SUCCESS": _DONE, "PROCESSING": _WAITS, "FAIL": _PAYER}
CURRENCY = "CNY"
# What a close answers when it is not its to say: a question tells.
ENDED = frozenset({"TRADE_STATUS_ERROR", "REASON_TRADE_STATUS_INVALID"})


def refused(number: str, inner: Mapping[str, Any], *, moves_money: bool) -> Answer | None:
    """Read what is not 10000 (success); None for success. Raise UnknownWord."""
    code, sub_code = str(inner.get("code", "")), str(inner.get("sub_code", ""))
    if code == "10000":
        return None
    reason = sub_code.removeprefix("ACQ.") or code
    if code == "40004" and not sub_code.startswith("isp."):
        meanings = _SUB_CODES.get(sub_code)
    elif sub_code == "isp.bill_not_exist":
        meanings = _SUB_CODES[sub_code]
    elif code == "40004":
        meanings = (_ILL, _ILL)
    else:
        meaning = _CODES.get(code)
        # A gateway that does not understand our question has said nothing about the money.
        meanings = (meaning, _ILL if meaning == _OURS else meaning) if meaning is not None else None
    if meanings is None:
        raise UnknownWord(sub_code or code)
    outcome, fault = meanings[0 if moves_money else 1]
    return Answer(number, outcome, reason[:64], fault)


def trade(number: str, inner: Mapping[str, Any], merchant_no: str) -> Answer:
    """Read the state of a trade. A closed one that was paid is one that was refunded: the money had come."""
    state = inner.get("trade_status")
    paid_at = inner.get("send_pay_date") or inner.get("gmt_payment")
    if state in ("TRADE_SUCCESS", "TRADE_FINISHED") or (state == "TRADE_CLOSED" and paid_at):
        return _paid(number, inner, merchant_no, paid_at)
    if state == "TRADE_CLOSED":
        return Answer(number, Outcome.CLOSED, str(state), merchant_no=merchant_no)
    if state == "WAIT_BUYER_PAY":
        return Answer(number, Outcome.ACCEPTED, merchant_no=merchant_no)
    raise UnknownWord(state)


def taken(number: str, inner: Mapping[str, Any], merchant_no: str) -> Answer:
    """Read the success of a debit, which has no state: its code is the state."""
    return _paid(number, inner, merchant_no, inner.get("gmt_payment"))


def _paid(number: str, inner: Mapping[str, Any], merchant_no: str, paid_at: object) -> Answer:
    return Answer(
        number, Outcome.DONE, "", Fault.NONE, fen(inner.get("total_amount")), CURRENCY, merchant_no,
        _text(inner, "trade_no"), time_ms(paid_at) if paid_at else 0,
    )  # fmt: skip


def refund(number: str, inner: Mapping[str, Any], merchant_no: str) -> Answer:
    """Read a question about a refund: only REFUND_SUCCESS proves it, and no status means that there is none (yet)."""
    status = inner.get("refund_status")
    if status is None or status == "":
        return Answer(number, Outcome.NOT_FOUND, "REFUND_ABSENT", merchant_no=merchant_no)
    if status != "REFUND_SUCCESS":
        raise UnknownWord(status)
    amount_minor = fen(inner.get("refund_amount"))
    return Answer(number, Outcome.DONE, "", Fault.NONE, amount_minor, CURRENCY, merchant_no, _text(inner, "trade_no"))


def payout(number: str, inner: Mapping[str, Any], merchant_no: str) -> Answer:
    """Read the state of a transfer; one that came back is a no, late."""
    status = _text(inner, "status")
    meaning = _TRANSFERS.get(status)
    if meaning is None:
        raise UnknownWord(status)
    reason = "RETURNED" if status == "REFUND" else _text(inner, "error_code")[:64]
    amount = inner.get("amount") or inner.get("trans_amount")
    date = inner.get("pay_date") or inner.get("trans_date")
    return Answer(
        number, *meaning[:1], reason, meaning[1], fen(amount) if amount else 0, CURRENCY, merchant_no,
        _text(inner, "order_id"), time_ms(date) if date and meaning == _DONE else 0,
    )  # fmt: skip


def mandate(number: str, inner: Mapping[str, Any], merchant_no: str) -> Answer:
    """Read the state of an agreement."""
    meaning = _AGREEMENTS.get(_text(inner, "status"))
    if meaning is None:
        raise UnknownWord(inner.get("status"))
    signed = inner.get("sign_time")
    return Answer(
        number, meaning[0], "", meaning[1], merchant_no=merchant_no, channel_txn_no=_text(inner, "agreement_no"),
        success_time_ms=time_ms(signed) if signed and meaning == _DONE else 0,
    )  # fmt: skip


def split(number: str, inner: Mapping[str, Any], merchant_no: str) -> Answer:
    """Read the states of a split's shares: it is done when all are, and refused when one is."""
    details = inner.get("royalty_detail_list")
    if not isinstance(details, list) or not details or not all(isinstance(one, dict) for one in details):
        raise ValueError("no shares")
    states = [_text(one, "state") for one in details]
    strange = next((state for state in states if state not in _SHARES), None)
    if strange is not None:
        raise UnknownWord(strange)
    total = sum(fen(one.get("amount")) for one in details)
    if "FAIL" in states:
        return Answer(number, *_PAYER[:1], "SHARE_FAILED", Fault.PAYER, total, CURRENCY, merchant_no)
    outcome = Outcome.DONE if set(states) == {"SUCCESS"} else Outcome.ACCEPTED
    return Answer(number, outcome, "", Fault.NONE, total, CURRENCY, merchant_no)


def verification(number: str, inner: Mapping[str, Any], merchant_no: str) -> Answer:
    """Read whether a person is who he says."""
    passed = inner.get("passed")
    if passed == "T":
        return Answer(number, Outcome.DONE, merchant_no=merchant_no)
    if passed == "F":
        return Answer(number, Outcome.REJECTED, _text(inner, "fail_reason")[:64], Fault.PAYER, merchant_no=merchant_no)
    raise UnknownWord(passed)


def evidence_of(fields: Mapping[str, str], merchant_no: str, *, now_ms: int) -> Evidence:
    """Read a verified callback about a trade. One that names a refund tells of the refund, whose own sum it does not say."""
    number, refund_no = fields["out_trade_no"], fields.get("out_biz_no", "")
    if refund_no and fields.get("gmt_refund"):
        return Evidence(
            number, Source.CALLBACK, Outcome.DONE, merchant_no=merchant_no, channel_txn_no=fields.get("trade_no", ""),
            success_time_ms=time_ms(fields["gmt_refund"]), refund_no=refund_no, time_ms=now_ms,
        )  # fmt: skip
    said = trade(number, fields, merchant_no)
    return _evidence(said, now_ms)


def other_evidence_of(number: str, answer: Answer, *, now_ms: int) -> Evidence:
    """Make evidence of a verified callback about a payout or an agreement."""
    return _evidence(answer._replace(number=number), now_ms)


def payout_notice(fields: Mapping[str, str], merchant_no: str) -> Answer:
    """Read a callback about a transfer, whose content is JSON within the form."""
    content = json.loads(fields["biz_content"])
    return payout(_text(content, "out_biz_no"), content, merchant_no)


def _evidence(said: Answer, now_ms: int) -> Evidence:
    return Evidence(
        said.number, Source.CALLBACK, said.outcome, said.reason, said.fault, said.amount_minor, said.currency_code,
        said.merchant_no, said.channel_txn_no, said.success_time_ms, time_ms=now_ms,
    )  # fmt: skip


def _text(inner: Mapping[str, Any], name: str) -> str:
    value = inner.get(name, "")
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")
    return value
