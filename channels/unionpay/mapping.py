"""UnionPay's respCode in our words. Pure, and total: a code that is not here is MAYBE, and an error that somebody sees.

A code answers one of three things, and means something else in each:

- a *request*: "00" says that it was taken in, never that money moved; a "no" is definite, unless the code itself says
  that UnionPay does not know;
- a *trade*, in the answer to a question (origRespCode) or in a notice: here "00" and "A6" prove that money moved;
- a *question* that was not answered: only "34", no such trade, says anything about the trade.
"""

from typing import NamedTuple

from channels.port import Answer
from channels.unionpay import messages
from channels.unionpay.messages import Fields
from domain.evidence import Evidence, Fault, Outcome, Source


class _Meaning(NamedTuple):
    """What a code says to a request, what it says of a trade, whose fault it is, and its reason in a word."""

    request: Outcome
    trade: Outcome
    fault: Fault
    reason: str


def _no(reason: str, fault: Fault) -> _Meaning:
    return _Meaning(Outcome.REJECTED, Outcome.REJECTED, fault, reason)


def _unknown(reason: str, fault: Fault = Fault.CHANNEL) -> _Meaning:
    return _Meaning(Outcome.MAYBE, Outcome.MAYBE, fault, reason)


NUMBER_TAKEN = "NUMBER_TAKEN"
_PAYER, _CHANNEL, _CONFIG = Fault.PAYER, Fault.CHANNEL, Fault.CONFIG

_CODES: dict[str, _Meaning] = {
    "00": _Meaning(Outcome.ACCEPTED, Outcome.DONE, Fault.NONE, ""),
    # A success with a flaw in something that does not concern the money.
    "A6": _Meaning(Outcome.ACCEPTED, Outcome.DONE, Fault.NONE, "FLAWED_SUCCESS"),
    "01": _no("FAILED", _CHANNEL),
    "02": _no("NOT_OPEN", _CHANNEL),
    "03": _unknown("TIMED_OUT"),
    "04": _unknown("STATE_UNKNOWN"),
    "05": _Meaning(Outcome.ACCEPTED, Outcome.ACCEPTED, Fault.NONE, "UNDER_WAY"),
    "06": _unknown("BUSY"),
    "10": _no("FORMAT", _CONFIG),
    "11": _no("OUR_SIGNATURE_REFUSED", _CONFIG),
    # The number is taken: an earlier send has arrived, and a question tells what became of it.
    "12": _unknown(NUMBER_TAKEN, _CONFIG),
    "13": _no("FIELD_MISSING", _CONFIG),
    "14": _no("BATCH_FORMAT", _CONFIG),
    "30": _no("NOT_PASSED", _PAYER),
    "31": _no("MERCHANT_STATE", _CONFIG),
    "32": _no("NO_PERMISSION", _CONFIG),
    "33": _no("OVER_LIMIT", _PAYER),
    "34": _Meaning(Outcome.NOT_FOUND, Outcome.NOT_FOUND, Fault.NONE, "NO_SUCH_TRADE"),
    "35": _no("ORIGINAL_STATE", _PAYER),
    "36": _no("ORIGINAL_DIFFERS", _PAYER),
    "37": _unknown("TOO_MANY"),
    "38": _no("RISK_REFUSED", _PAYER),
    "39": _no("OUT_OF_HOURS", _CHANNEL),
    "40": _no("NOT_BOUND", _PAYER),
    "41": _no("BATCH_STATE", _CONFIG),
    # The card was debited too late for the order: only the settlement file tells where that money is.
    "42": _unknown("DEBITED_TOO_LATE"),
    "43": _no("NO_BUSINESS_PERMISSION", _CONFIG),
    "44": _no("WRONG_NUMBER", _PAYER),
    "45": _no("ORIGINAL_GIVEN_BACK", _PAYER),
    "46": _no("REVERSED", _PAYER),
    "60": _no("ASK_ISSUER", _PAYER),
    "61": _no("CARD_INVALID", _PAYER),
    "62": _no("ISSUER_REFUSES_MERCHANT", _PAYER),
    "63": _no("CARD_STATE", _PAYER),
    "64": _no("NO_FUNDS", _PAYER),
    "65": _no("CARD_DATA_WRONG", _PAYER),
    "66": _no("IDENTITY_WRONG", _PAYER),
    "67": _no("PIN_TRIES", _PAYER),
    "68": _no("CARD_UNSUPPORTED", _PAYER),
    "69": _no("INPUT_TIMED_OUT", _PAYER),
    "70": _Meaning(Outcome.ACCEPTED, Outcome.ACCEPTED, Fault.NONE, "REDIRECTED"),
    "71": _no("SMS_CODE_WRONG", _PAYER),
    "72": _no("NOT_SIGNED", _PAYER),
    "73": _no("CARD_EXPIRED", _PAYER),
    "76": _no("PIN_NEEDED", _PAYER),
    "77": _no("CARD_NOT_OPEN", _PAYER),
    "78": _no("CARD_RESTRICTED", _PAYER),
    "80": _no("TOKEN_EXPIRED", _PAYER),
    "81": _no("MONTHLY_LIMIT", _PAYER),
    "82": _no("PIN_NEEDED", _PAYER),
    "83": _unknown("ISSUER_WORKING"),
    "91": _no("IDENTITY_WRONG", _PAYER),
    "98": _Meaning(Outcome.NOT_FOUND, Outcome.NOT_FOUND, Fault.NONE, "NO_SUCH_FILE"),
    "99": _unknown("GENERAL"),
}
CODES = frozenset(_CODES)

# To a payout these are no "no": the payee's bank may still have been asked.
_PAYOUT_UNKNOWN = frozenset({"01", "12", "34", "60"})
# Of a bound card, these say that there is none any more.
_MANDATE_ENDED = frozenset({"40", "72"})
_GOOD = frozenset({"00", "A6"})
_REFUNDS = frozenset({"04", "31"})
_DIGITS_MAX = 15


def request_answer(number: str, said: Fields, *, pays_out: bool = False) -> Answer:
    """Read the answer to a request that moves money."""
    code = said.get("respCode", "")
    meaning = _CODES.get(code)
    if meaning is None:
        return _spoke_unknown(number)
    if pays_out and code in _PAYOUT_UNKNOWN:
        return Answer(number, Outcome.MAYBE, meaning.reason, Fault.CHANNEL)
    return _answer(number, meaning.request, meaning, said)


def trade_answer(number: str, said: Fields, *, pays_out: bool = False) -> Answer:
    """Read the answer to a question about a trade."""
    code = said.get("respCode", "")
    meaning = _CODES.get(code)
    if meaning is None:
        return _spoke_unknown(number)
    if code not in _GOOD:
        outcome = Outcome.NOT_FOUND if code == "34" else Outcome.MAYBE
        return Answer(number, outcome, meaning.reason, meaning.fault)
    trade = _CODES.get(said.get("origRespCode", ""))
    if trade is None:
        return _spoke_unknown(number)
    if pays_out and said["origRespCode"] in _PAYOUT_UNKNOWN:
        return Answer(number, Outcome.MAYBE, trade.reason, Fault.CHANNEL)
    return _answer(number, trade.trade, trade, said)


def mandate_answer(number: str, agreement_no: str, said: Fields, *, ends: bool = False) -> Answer:
    """Read what was said about a bound card: when it was bound or asked about, or with `ends` when it was unbound."""
    code = said.get("respCode", "")
    meaning = _CODES.get(code)
    if meaning is None:
        return _spoke_unknown(number)
    if code in _MANDATE_ENDED or (ends and code in _GOOD):
        return Answer(number, Outcome.CLOSED, meaning.reason, channel_txn_no=agreement_no)
    if code in _GOOD:
        return Answer(number, Outcome.DONE, channel_txn_no=agreement_no)
    return Answer(number, meaning.request, meaning.reason, meaning.fault, channel_txn_no=agreement_no)


def verify_answer(number: str, said: Fields) -> Answer:
    """Read whether an identity is true: here "00" is the result itself."""
    meaning = _CODES.get(said.get("respCode", ""))
    if meaning is None:
        return _spoke_unknown(number)
    outcome = Outcome.DONE if meaning.trade is Outcome.DONE else meaning.request
    return Answer(number, outcome, meaning.reason, meaning.fault, merchant_no=said.get("merId", ""))


def evidence_of(said: Fields, *, now_ms: int) -> Evidence:
    """Read one verified notice; it tells of a trade. Raise ValueError when it names none."""
    number = said.get("orderId", "")
    refunds = said.get("txnType") in _REFUNDS
    attempt_no = said.get("reqReserved", "") if refunds else number
    meaning = _CODES.get(said.get("respCode", ""))
    if not attempt_no or not number:
        raise ValueError("no number")
    if meaning is None:
        told = _spoke_unknown(number)
    elif said.get("txnType") == "12" and said["respCode"] in _PAYOUT_UNKNOWN:
        told = Answer(number, Outcome.MAYBE, meaning.reason, Fault.CHANNEL)
    else:
        told = _answer(number, meaning.trade, meaning, said)
    return Evidence(
        attempt_no, Source.CALLBACK, told.outcome, told.reason, told.fault, told.amount_minor, told.currency_code,
        told.merchant_no, told.channel_txn_no, told.success_time_ms, "", "", number if refunds else "", now_ms,
    )  # fmt: skip


def word_of(said: Fields) -> str:
    """Return the word that was not understood, for the log."""
    return said.get("origRespCode", "") or said.get("respCode", "")


def _spoke_unknown(number: str) -> Answer:
    return Answer(number, Outcome.MAYBE, "UNKNOWN_WORD", Fault.CHANNEL)


def _answer(number: str, outcome: Outcome, meaning: _Meaning, said: Fields) -> Answer:
    amount = said.get("txnAmt", "")
    whole = amount.isascii() and amount.isdecimal() and len(amount) <= _DIGITS_MAX
    currency = said.get("currencyCode", "") or said.get("settleCurrencyCode", "")
    return Answer(
        number,
        outcome,
        meaning.reason,
        meaning.fault,
        int(amount) if whole else 0,
        # A code that we have no letters for is passed on as it is, so that it differs from ours.
        "CNY" if currency == messages.YUAN else currency,
        said.get("merId", ""),
        said.get("queryId", ""),
        _success_ms(said) if outcome is Outcome.DONE else 0,
    )


def _success_ms(said: Fields) -> int:
    """Return when the trade was made: traceTime has no year, so it is the one nearest after txnTime."""
    try:
        sent_ms = messages.china_ms(said.get("txnTime", ""))
        year = int(said["txnTime"][:4])
    except ValueError:
        return 0
    for candidate in (year, year + 1):
        try:
            traced_ms = messages.china_ms(f"{candidate}{said.get('traceTime', '')}")
        except ValueError:
            continue
        # A minute for clocks that differ.
        if traced_ms >= sent_ms - 60_000:
            return traced_ms
    return sent_ms
