"""A bank's words in ours. Pure, and total: a word that is not here is MAYBE, and an error that somebody sees.

A payout is proved by ACSC or ACCC alone. It may still come back days later: that is an entry of the statement with a
return reason, and evidence of its own.
"""

from channels.iso20022.messages import Entry, Status
from channels.port import Answer, LineKind
from domain.evidence import Fault, Outcome

# Transaction status (ISO external code set ExternalPaymentTransactionStatus).
_STATES: dict[str, Outcome] = {
    "ACSC": Outcome.DONE,
    "ACCC": Outcome.DONE,
    "ACSP": Outcome.ACCEPTED,
    "ACTC": Outcome.ACCEPTED,
    "ACCP": Outcome.ACCEPTED,
    "ACWC": Outcome.ACCEPTED,
    "ACWP": Outcome.ACCEPTED,
    "ACFC": Outcome.ACCEPTED,
    "RCVD": Outcome.ACCEPTED,
    "PDNG": Outcome.ACCEPTED,
    "PART": Outcome.ACCEPTED,  # of a file: each transaction has a status of its own
    "RJCT": Outcome.REJECTED,
    "CANC": Outcome.REJECTED,
}
# A status of a whole file proves nothing of one transaction but that it was refused, or has begun.
_OF_A_FILE = {"ACSC": Outcome.ACCEPTED, "ACCC": Outcome.ACCEPTED}
# Whose fault a refusal is: the payer's for a debit, ours for a payout, or always the same.
_OTHER_SIDE = frozenset({"AC01", "AC03", "AC04", "AC06", "AC07", "BE01", "BE04", "BE05", "MD01", "MD07", "SL01", "AG01", "AG02"})
_FUNDS = frozenset({"AM04", "AM02", "AM14", "AM23"})
_OURS = frozenset({"AM01", "AM03", "AM09", "AM10", "AM12", "FF01", "DT01", "RC01", "RF01", "RR01", "RR02", "RR03", "RR04", "CH03", "ED01",
                   "DS02", "DS0B", "DS0H", "AC02", "AC13", "BE06", "BE07", "DNOR", "CNOR", "DU02", "NARR", "MD02"})  # fmt: skip
_THEIRS = frozenset({"MS02", "MS03", "AB01", "AB02", "AB05", "AB06", "AB07", "AB08", "AB09", "AB10", "ED05", "TM01", "FF05"})
# The number is known already: an earlier send of it arrived.
_ARRIVED_BEFORE = frozenset({"AM05", "DU01", "DU03", "DU04"})
STATES = frozenset(_STATES)
REASONS = _OTHER_SIDE | _FUNDS | _OURS | _THEIRS | _ARRIVED_BEFORE


def answer_of(number: str, status: Status, *, merchant_no: str, is_debit: bool) -> Answer:
    """Read what a bank says of one transaction, or of the file that held it."""
    of_file = not status.end_to_end_id
    outcome = (_OF_A_FILE if of_file else {}).get(status.code) or _STATES.get(status.code)
    if outcome is None:
        return Answer(number, Outcome.MAYBE, "UNKNOWN_WORD", Fault.CHANNEL)
    if outcome is Outcome.REJECTED:
        return _refused(number, status, is_debit=is_debit)
    if outcome is Outcome.DONE and not status.amount_minor:
        # A yes that does not say how much it is about proves nothing; the statement will.
        return Answer(number, Outcome.ACCEPTED, "AMOUNT_MISSING")
    return Answer(
        number, outcome, status.reason, Fault.NONE, status.amount_minor, status.currency_code, merchant_no,
        status.bank_ref, status.time_ms if outcome is Outcome.DONE else 0,
    )  # fmt: skip


def _refused(number: str, status: Status, *, is_debit: bool) -> Answer:
    reason = status.reason
    if reason in _ARRIVED_BEFORE:
        return Answer(number, Outcome.MAYBE, reason, Fault.CONFIG)
    if reason and reason not in REASONS:
        # It says no, but why is new to us: not a word to send money elsewhere for.
        return Answer(number, Outcome.MAYBE, "UNKNOWN_WORD", Fault.CHANNEL)
    fault = Fault.CHANNEL if reason in _THEIRS else Fault.CONFIG
    if reason in _OTHER_SIDE or (reason in _FUNDS and is_debit):
        fault = Fault.PAYER
    return Answer(number, Outcome.REJECTED, reason or "REJECTED", fault)


# Families of transaction codes: transfers and debits, issued and received. Some banks give none.
_TRANSFERS, _DEBITS = frozenset({"ICDT", "IRCT", ""}), frozenset({"IDDT", "RDDT"})
_FEES = frozenset({"CHRG", "COMM", "FEES"})
_RETURNS = frozenset({"RRTN", "RPCR", "UPDD"})


def line_kind(entry: Entry) -> LineKind:
    """Tell what a movement on our account is. Of what was returned, the direction tells which: a payout comes to us."""
    domain, family, sub = [*entry.family.split("/"), "", "", ""][:3]
    if sub in _FEES:
        return LineKind.FEE
    is_debit = family in _DEBITS
    if entry.return_reason or sub in _RETURNS:
        if entry.is_credit:
            return LineKind.OTHER if is_debit else LineKind.RETURN
        # What we sent back of money that had been transferred to us is neither.
        return LineKind.CHARGE_RETURN if is_debit or not family else LineKind.OTHER
    if domain != "PMNT":
        return LineKind.OTHER
    if is_debit:
        # Of debits that we issued, money that leaves is one that was reversed.
        reversed_one = LineKind.CHARGE_RETURN if family == "IDDT" else LineKind.OTHER
        return LineKind.CHARGE if entry.is_credit else reversed_one
    return LineKind.PAYOUT if family in _TRANSFERS and not entry.is_credit else LineKind.OTHER
