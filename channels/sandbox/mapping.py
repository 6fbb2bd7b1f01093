"""The sandbox's words in ours. Total: a word that is not here is answered as MAYBE and logged as an error."""

from typing import Any

from channels.port import Answer
from domain.evidence import Evidence, Fault, Outcome, Source

# word -> what it means when it answers a request that moves money, and when it answers a question.
_WORDS: dict[str, tuple[tuple[Outcome, Fault], tuple[Outcome, Fault]]] = {
    "PAID": ((Outcome.DONE, Fault.NONE), (Outcome.DONE, Fault.NONE)),
    "WAITING_PAYER": ((Outcome.ACCEPTED, Fault.NONE), (Outcome.ACCEPTED, Fault.NONE)),
    "PAY_FAILED": ((Outcome.REJECTED, Fault.PAYER), (Outcome.REJECTED, Fault.PAYER)),
    "PAY_CLOSED": ((Outcome.CLOSED, Fault.NONE), (Outcome.CLOSED, Fault.NONE)),
    "NO_SUCH_TRADE": ((Outcome.NOT_FOUND, Fault.NONE), (Outcome.NOT_FOUND, Fault.NONE)),
    "BUSY": ((Outcome.MAYBE, Fault.CHANNEL), (Outcome.MAYBE, Fault.CHANNEL)),
    # The request was not looked at, but a limit can also strike after acceptance: a question tells.
    "LIMITED": ((Outcome.MAYBE, Fault.CHANNEL), (Outcome.MAYBE, Fault.CHANNEL)),
    "MAINTENANCE": ((Outcome.REJECTED, Fault.CHANNEL), (Outcome.MAYBE, Fault.CHANNEL)),
    "REFUND_ACCEPTED": ((Outcome.ACCEPTED, Fault.NONE), (Outcome.ACCEPTED, Fault.NONE)),
    "REFUND_PAID": ((Outcome.ACCEPTED, Fault.NONE), (Outcome.DONE, Fault.NONE)),
    "REFUND_FAILED": ((Outcome.REJECTED, Fault.PAYER), (Outcome.REJECTED, Fault.PAYER)),
    "NO_SUCH_REFUND": ((Outcome.NOT_FOUND, Fault.NONE), (Outcome.NOT_FOUND, Fault.NONE)),
    "REFUSED": ((Outcome.REJECTED, Fault.CONFIG), (Outcome.MAYBE, Fault.CONFIG)),
}
WORDS = frozenset(_WORDS)
# A number that is taken means that an earlier send arrived.
_ARRIVED_BEFORE = frozenset({"NUMBER_REUSED"})


def answer_of(item: dict[str, Any], *, moves_money: bool) -> Answer:
    """Read one verified answer. An unknown word is MAYBE with reason UNKNOWN_WORD."""
    word = item.get("word")
    meanings = _WORDS.get(word) if isinstance(word, str) else None
    number = item["number"]
    if meanings is None:
        return Answer(number, Outcome.MAYBE, "UNKNOWN_WORD", Fault.CHANNEL)
    outcome, fault = meanings[0 if moves_money else 1]
    reason = item.get("reason", "")
    if reason in _ARRIVED_BEFORE:
        return Answer(number, Outcome.MAYBE, reason, Fault.CONFIG)
    qr = item.get("qr", "")
    return Answer(
        number, outcome, reason, fault, item.get("amount_minor", 0), item.get("currency", ""),
        item.get("merchant_no", ""), item.get("channel_txn_no", ""), item.get("success_time_ms", 0),
        "QR_CODE" if qr else "", qr,
    )  # fmt: skip


def transport_answer(item: dict[str, Any]) -> Answer:
    """Read what the network says in place of the channel: only a refused connection proves that nothing was sent."""
    refused = item.get("transport") == "REFUSED"
    outcome = Outcome.NOT_SENT if refused else Outcome.MAYBE
    return Answer(item["number"], outcome, "CONNECTION_REFUSED" if refused else "CONNECTION_LOST", Fault.CHANNEL)


def evidence_of(item: dict[str, Any], *, now_ms: int) -> Evidence:
    """Read one verified callback."""
    answer = answer_of({**item, "number": item["attempt_no"]}, moves_money=False)
    return Evidence(
        item["attempt_no"], Source.CALLBACK, answer.outcome, answer.reason, answer.fault, answer.amount_minor,
        answer.currency_code, answer.merchant_no, answer.channel_txn_no, answer.success_time_ms, "", "",
        item.get("refund_no", "") or "", now_ms,
    )  # fmt: skip
