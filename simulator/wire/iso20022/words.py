"""What the world says, as a transaction's status and reason."""

from simulator.codec import AnswerFields
from simulator.words import PURPLE, Reason, SideWord, Word

_STATES: dict[str, str] = {
    Word.PAID: "ACSC",
    Word.WAITING_PAYER: "ACSP",
    Word.PAY_FAILED: "RJCT",
    Word.PAY_CLOSED: "CANC",
    SideWord.PAYOUT_WAITING: "PDNG",
    SideWord.PAYOUT_ACCEPTED: "ACSP",
    SideWord.PAYOUT_PAID: "ACSC",
    SideWord.PAYOUT_FAILED: "RJCT",
    # It was paid; that it came back is for the statement to tell.
    SideWord.PAYOUT_RETURNED: "ACSC",
    Word.REFUSED: "RJCT",
    PURPLE: PURPLE,
}
_REASONS: dict[str, str] = {
    Reason.NO_FUNDS: "AM04",
    Reason.PAYER_LIMIT: "AM02",
    Reason.CARD_EXPIRED: "AC06",
    Reason.RISK_REFUSED: "AG01",
    Reason.ACCOUNT_CLOSED: "AC04",
    Reason.PAYEE_UNKNOWN: "AC01",
    Reason.PAYEE_NAME_WRONG: "BE01",
    Reason.NUMBER_REUSED: "AM05",
    Reason.MALFORMED: "FF01",
    Reason.OTHER_CURRENCY: "AM03",
    Reason.SANDBOX_FULL: "MS03",
}
# The bank as a whole cannot, whatever was asked.
TROUBLE: dict[str, int] = {Word.BUSY: 500, Word.LIMITED: 429, Word.MAINTENANCE: 503}
UNKNOWN = frozenset({Word.NO_SUCH_TRADE.value, SideWord.NO_SUCH_PAYOUT.value})


def status_of(said: AnswerFields) -> tuple[str, str]:
    """Return a transaction's status and the reason of a refusal."""
    code = _STATES.get(said["word"], "PDNG")
    return code, _REASONS.get(said["reason"], "MS03") if code == "RJCT" else ""
