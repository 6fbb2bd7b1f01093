"""What a sandbox channel says, in its own vocabulary; the hub has to map it."""

from enum import StrEnum


class Operation(StrEnum):
    """What a channel can be asked."""

    CHARGE = "charge"
    QUERY = "query"
    CLOSE = "close"
    REFUND = "refund"
    QUERY_REFUND = "query_refund"
    DEBIT = "debit"
    SIGN = "sign"
    QUERY_MANDATE = "query_mandate"
    UNSIGN = "unsign"
    PAYOUT = "payout"
    QUERY_PAYOUT = "query_payout"
    SPLIT = "split"
    QUERY_SPLIT = "query_split"
    VERIFY = "verify"
    QUERY_VERIFY = "query_verify"
    BILL = "bill"


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


class SideWord(StrEnum):
    """The result where wires ask for what the sandbox's own wire has not."""

    MANDATE_WAITING = "MANDATE_WAITING"
    MANDATE_SIGNED = "MANDATE_SIGNED"
    MANDATE_ENDED = "MANDATE_ENDED"
    NO_SUCH_MANDATE = "NO_SUCH_MANDATE"
    PAYOUT_WAITING = "PAYOUT_WAITING"  # for the payee, who has to agree
    PAYOUT_ACCEPTED = "PAYOUT_ACCEPTED"
    PAYOUT_PAID = "PAYOUT_PAID"
    PAYOUT_FAILED = "PAYOUT_FAILED"
    PAYOUT_RETURNED = "PAYOUT_RETURNED"  # it was paid, and came back
    NO_SUCH_PAYOUT = "NO_SUCH_PAYOUT"
    SPLIT_ACCEPTED = "SPLIT_ACCEPTED"
    SPLIT_DONE = "SPLIT_DONE"
    SPLIT_FAILED = "SPLIT_FAILED"
    NO_SUCH_SPLIT = "NO_SUCH_SPLIT"
    VERIFIED = "VERIFIED"
    NOT_VERIFIED = "NOT_VERIFIED"
    NO_SUCH_VERIFICATION = "NO_SUCH_VERIFICATION"
    BILL_READY = "BILL_READY"
    BILL_NOT_YET = "BILL_NOT_YET"
    NO_SUCH_BILL = "NO_SUCH_BILL"


AnyWord = Word | SideWord
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
    # Refunds and payouts that do not arrive.
    ACCOUNT_CLOSED = "ACCOUNT_CLOSED"
    PAYEE_UNKNOWN = "PAYEE_UNKNOWN"
    PAYEE_NAME_WRONG = "PAYEE_NAME_WRONG"
    # Debits that are not covered.
    NO_MANDATE = "NO_MANDATE"
    MANDATE_NOT_IN_FORCE = "MANDATE_NOT_IN_FORCE"
    OVER_MANDATE_LIMIT = "OVER_MANDATE_LIMIT"
