"""The channel's words in ours. Pure, and total: a word that is not here is MAYBE, and an error that somebody sees.

Three questions decide a word. Does it prove that the money moved (DONE), or that it never will (REJECTED, CLOSED)?
If it proves neither, it is MAYBE. Whose fault is it: only CHANNEL lowers the channel's health. Does it mean the same in
the answer to a request and in the answer to a question? "Try later" is a definite no to a request that was not looked
at, and says nothing about the money when it answers a question.
"""

from typing import Any

from channels.port import Answer
from domain.evidence import Evidence, Fault, Outcome, Source

# word -> (when it answers a request that moves money, when it answers a question)
_WORDS: dict[str, tuple[tuple[Outcome, Fault], tuple[Outcome, Fault]]] = {
    "PAID": ((Outcome.DONE, Fault.NONE), (Outcome.DONE, Fault.NONE)),
    "WAITING": ((Outcome.ACCEPTED, Fault.NONE), (Outcome.ACCEPTED, Fault.NONE)),
    "NO_MONEY": ((Outcome.REJECTED, Fault.PAYER), (Outcome.REJECTED, Fault.PAYER)),
    "CLOSED": ((Outcome.CLOSED, Fault.NONE), (Outcome.CLOSED, Fault.NONE)),
    "UNKNOWN_NUMBER": ((Outcome.NOT_FOUND, Fault.NONE), (Outcome.NOT_FOUND, Fault.NONE)),
    "TRY_LATER": ((Outcome.REJECTED, Fault.CHANNEL), (Outcome.MAYBE, Fault.CHANNEL)),
    "SYSTEM_ERROR": ((Outcome.MAYBE, Fault.CHANNEL), (Outcome.MAYBE, Fault.CHANNEL)),
    "BAD_REQUEST": ((Outcome.REJECTED, Fault.CONFIG), (Outcome.MAYBE, Fault.CONFIG)),
    # A yes to a refund is a promise: only the answer to a question, or a callback, proves it.
    "REFUNDED": ((Outcome.ACCEPTED, Fault.NONE), (Outcome.DONE, Fault.NONE)),
    "REFUNDING": ((Outcome.ACCEPTED, Fault.NONE), (Outcome.ACCEPTED, Fault.NONE)),
    "REFUND_REFUSED": ((Outcome.REJECTED, Fault.PAYER), (Outcome.REJECTED, Fault.PAYER)),
}
WORDS = frozenset(_WORDS)


def answer_of(number: str, item: dict[str, Any], *, moves_money: bool) -> Answer:
    """Read one verified answer."""
    meanings = _WORDS.get(item.get("result", ""))
    if meanings is None:
        return Answer(number, Outcome.MAYBE, "UNKNOWN_WORD", Fault.CHANNEL)
    outcome, fault = meanings[0 if moves_money else 1]
    return Answer(
        number, outcome, item.get("why", ""), fault, item.get("fen", 0), item.get("currency", ""),
        item.get("merchant", ""), item.get("txn", ""), item.get("paid_ms", 0),
    )  # fmt: skip


def evidence_of(item: dict[str, Any], *, now_ms: int) -> Evidence:
    """Read one verified callback; it tells of a state, as the answer to a question does."""
    said = answer_of(item["pay_no"], item, moves_money=False)
    return Evidence(
        item["pay_no"], Source.CALLBACK, said.outcome, said.reason, said.fault, said.amount_minor, said.currency_code,
        said.merchant_no, said.channel_txn_no, said.success_time_ms, "", "", item.get("refund_no", ""), now_ms,
    )  # fmt: skip
