"""What the world says, in Alipay's codes."""

from collections.abc import Mapping

from simulator.codec import AnswerFields
from simulator.wire.alipay.messages import Invalid
from simulator.words import PURPLE, Reason, Word

BUSINESS_FAILED = "40004"
MESSAGES = {
    "10000": "Success",
    "10003": "order success pay inprocess",
    "20000": "Service Currently Unavailable",
    "40001": "Missing Required Arguments",
    "40002": "Invalid Arguments",
    "40004": "Business Failed",
    "40005": "Call Limited",
    "40006": "Insufficient Permissions",
}

_REASONS: Mapping[str, str] = {
    Reason.NO_FUNDS: "ACQ.BUYER_BALANCE_NOT_ENOUGH",
    Reason.CARD_EXPIRED: "ACQ.PAYMENT_FAIL",
    Reason.PAYER_LIMIT: "ACQ.BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR",
    Reason.RISK_REFUSED: "ACQ.PAYMENT_REQUEST_HAS_RISK",
    Reason.NUMBER_REUSED: "ACQ.CONTEXT_INCONSISTENT",
    Reason.MALFORMED: "ACQ.INVALID_PARAMETER",
    Reason.NOT_PAID: "ACQ.TRADE_STATUS_ERROR",
    Reason.OVER_REMAINING: "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL",
    Reason.OTHER_CURRENCY: "ACQ.INVALID_PARAMETER",
    Reason.NO_MANDATE: "ACQ.AGREEMENT_NOT_EXIST",
    Reason.MANDATE_NOT_IN_FORCE: "ACQ.AGREEMENT_STATUS_NOT_NORMAL",
    Reason.OVER_MANDATE_LIMIT: "ACQ.BEYOND_PAY_RESTRICTION",
}

_TROUBLE: Mapping[str, tuple[str, str]] = {
    Word.BUSY: ("20000", "aop.ACQ.SYSTEM_ERROR"),
    Word.LIMITED: ("40005", "isv.app-call-limited"),
    Word.MAINTENANCE: ("20000", "isp.unknow-error"),
    Word.NO_SUCH_TRADE: (BUSINESS_FAILED, "ACQ.TRADE_NOT_EXIST"),
    PURPLE: (BUSINESS_FAILED, PURPLE),
}


def check(said: AnswerFields, *, refused: Mapping[str, str] | None = None) -> None:
    """Raise Invalid where the world's answer is an error; `refused` has this operation's own codes for reasons."""
    word, reason = said["word"], said["reason"]
    if word in _TROUBLE:
        raise Invalid(*_TROUBLE[word])
    if word == Word.REFUSED:
        raise Invalid(BUSINESS_FAILED, (refused or {}).get(reason) or _REASONS.get(reason, "ACQ.SYSTEM_ERROR"))


def declined(reason: str) -> Invalid:
    """Return the error for a payer's no."""
    return Invalid(BUSINESS_FAILED, _REASONS.get(reason, "ACQ.PAYMENT_FAIL"))
