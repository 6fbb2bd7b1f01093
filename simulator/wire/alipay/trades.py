"""An attempt of the world as a trade of Alipay: its number, its buyer, its status, and whether it is there at all."""

from simulator.records import Attempt, Split
from simulator.words import Word

_DIGITS = 28


def trade_no(attempt: Attempt) -> str:
    """Return the trade's number: the world's own, in decimal."""
    return str(int(attempt.txn_no, 16)).zfill(_DIGITS)


def settle_no(split: Split) -> str:
    """Return the number of a split."""
    return str(int(split.txn_no, 16)).zfill(_DIGITS)


def txn_no(number: str) -> str:
    """Return the world's number of a trade's, "" for what is none."""
    return f"{int(number):024X}" if number.isascii() and number.isdecimal() and len(number) <= _DIGITS + 4 else ""


def buyer(attempt: Attempt) -> dict[str, str]:
    """Return who pays, masked as Alipay does."""
    return {
        "buyer_id": attempt.memo.get("buyer_id") or f"2088{int(attempt.txn_no[:10], 16) % 10**12:012d}",
        "buyer_logon_id": "pay***@sandbox.example",
    }


def is_visible(attempt: Attempt) -> bool:
    """Tell whether a question finds the trade: a code that nobody has scanned makes none yet."""
    waits = attempt.word is Word.WAITING_PAYER
    return attempt.memo.get("product") != "precreate" or attempt.seen or not waits


def status(attempt: Attempt, *, now_ms: int) -> str:
    """Return trade_status. A payer who failed may try again for as long as the trade is open."""
    if attempt.word is Word.PAID:
        return paid_status(attempt)
    retries = attempt.word is Word.PAY_FAILED and attempt.memo.get("product") != "pay"
    if attempt.word is Word.WAITING_PAYER or (retries and now_ms < attempt.expire_ms):
        return "WAIT_BUYER_PAY"
    return "TRADE_CLOSED"


def paid_status(attempt: Attempt) -> str:
    """Return trade_status of a trade that was paid: one that was refunded whole is closed."""
    return "TRADE_CLOSED" if attempt.refunded_minor >= attempt.amount_minor else "TRADE_SUCCESS"
