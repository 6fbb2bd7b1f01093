"""What a sandbox channel says, in its own vocabulary; the hub has to map it."""

from enum import StrEnum


class Operation(StrEnum):
    """What a channel can be asked."""

    CHARGE = "charge"
    QUERY = "query"
    CLOSE = "close"
    REFUND = "refund"
    QUERY_REFUND = "query_refund"


class Word(StrEnum):
    """The result in an answer or a callback."""

    PAID = "PAID"
    WAITING_PAYER = "WAITING_PAYER"
    PAY_FAILED = "PAY_FAILED"
    PAY_CLOSED = "PAY_CLOSED"
    NO_SUCH_TRADE = "NO_SUCH_TRADE"
    BUSY = "BUSY"  # a system error: it may have been done all the same
    LIMITED = "LIMITED"  # too many requests: this one was not looked at
    MAINTENANCE = "MAINTENANCE"  # a definite no: nothing was accepted
    REFUND_ACCEPTED = "REFUND_ACCEPTED"  # begun, not done
    REFUND_PAID = "REFUND_PAID"
    REFUND_FAILED = "REFUND_FAILED"
    NO_SUCH_REFUND = "NO_SUCH_REFUND"
    REFUSED = "REFUSED"  # the request itself is wrong


# What the fault ANSWER_UNKNOWN_WORD says: in no manual, and no word of ours.
PURPLE = "PURPLE"


class Reason(StrEnum):
    """Why an answer is not the one hoped for; empty where there is nothing to explain."""

    NONE = ""
    # Declines: the payer's or the issuer's business.
    NO_FUNDS = "NO_FUNDS"
    CARD_EXPIRED = "CARD_EXPIRED"
    PAYER_LIMIT = "PAYER_LIMIT"
    RISK_REFUSED = "RISK_REFUSED"
    PAYER_ABANDONED = "PAYER_ABANDONED"
    # Ends without payment.
    CLOSED = "CLOSED"
    EXPIRED = "EXPIRED"
    # The channel's own trouble.
    SYSTEM_ERROR = "SYSTEM_ERROR"
    RATE_LIMIT = "RATE_LIMIT"
    MAINTENANCE = "MAINTENANCE"
    SANDBOX_FULL = "SANDBOX_FULL"
    # Refused requests.
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    UNKNOWN_MERCHANT = "UNKNOWN_MERCHANT"
    UNKNOWN_CHANNEL = "UNKNOWN_CHANNEL"
    MALFORMED = "MALFORMED"
    NUMBER_REUSED = "NUMBER_REUSED"
    NOT_PAID = "NOT_PAID"
    OVER_REMAINING = "OVER_REMAINING"
    OTHER_CURRENCY = "OTHER_CURRENCY"
    # Refunds that do not arrive.
    ACCOUNT_CLOSED = "ACCOUNT_CLOSED"
