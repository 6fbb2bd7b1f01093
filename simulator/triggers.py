"""Outcomes that a test chooses by what it sends, as other sandboxes offer: by an amount's last two digits or a payer.

Payer tokens always work; amounts only where the profile's `amount_triggers` is on.
"""

from enum import StrEnum

from simulator.faults import Kind
from simulator.words import Reason


class Whim(StrEnum):
    """What a payer does that is no fault of the channel."""

    ABANDONS = "ABANDONS"
    REFUND_FAILS = "REFUND_FAILS"


# A Reason declines, a Kind is a fault that strikes the first request of the attempt, a Whim is the payer's own.
Trigger = Reason | Kind | Whim

BY_AMOUNT_FEN: dict[int, Trigger] = {
    51: Reason.NO_FUNDS,
    57: Reason.CARD_EXPIRED,
    68: Kind.TIMEOUT_NOT_TAKEN,
    69: Kind.TIMEOUT_TAKEN,
}

BY_PAYER: dict[str, Trigger] = {
    "payer_no_funds": Reason.NO_FUNDS,
    "payer_card_expired": Reason.CARD_EXPIRED,
    "payer_limit": Reason.PAYER_LIMIT,
    "payer_risk_refused": Reason.RISK_REFUSED,
    "payer_abandons": Whim.ABANDONS,
    "payer_timeout_taken": Kind.TIMEOUT_TAKEN,
    "payer_timeout_not_taken": Kind.TIMEOUT_NOT_TAKEN,
    "payer_slow": Kind.SLOW_DRIP,
    "payer_busy": Kind.SERVER_ERROR,
    "payer_callback_lost": Kind.CALLBACK_LOST,
    "payer_late_success": Kind.LATE_SUCCESS_AFTER_CLOSE,
    "payer_refund_fails": Whim.REFUND_FAILS,
    "payer_refund_phantom": Kind.REFUND_PHANTOM,
}


# Payees, by account or name.
BY_PAYEE: dict[str, Reason] = {
    "payee_unknown": Reason.PAYEE_UNKNOWN,
    "payee_name_wrong": Reason.PAYEE_NAME_WRONG,
    "payee_account_closed": Reason.ACCOUNT_CLOSED,
}
# Names of people to whom no number belongs.
BY_PERSON = frozenset({"张不符"})


def of(*, amount_minor: int, payer_ref: str, amount_triggers: bool) -> Trigger | None:
    """Return what this charge asks for; the payer goes before the amount."""
    chosen = BY_PAYER.get(payer_ref)
    if chosen is None and amount_triggers:
        chosen = BY_AMOUNT_FEN.get(amount_minor % 100)
    return chosen
