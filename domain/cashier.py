"""The cashier: which methods a page shows for an order, in which order, and why some can't be used now.

It is what routing would decide for each method, read for a payer: a method can be used when some account could be chosen
for it; when none could, the reason nearest to "it works" is the one worth telling.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from domain.fees import span_at
from domain.money import Money, decimal_text
from domain.refusals import Kind, Refusal
from domain.routing import Account, Candidate, Decision, Elimination, OrderFacts

OVER_CHANNEL_LIMIT = "OVER_CHANNEL_LIMIT"
UNDER_CHANNEL_MINIMUM = "UNDER_CHANNEL_MINIMUM"
NOT_AVAILABLE_ON_TERMINAL = "NOT_AVAILABLE_ON_TERMINAL"
NOT_BOUND = "NOT_BOUND"

# What a payer is told, the first of those that apply: a moment's trouble before what never works.
_TOLD: Mapping[Elimination, str] = {
    Elimination.RATE_LIMITED: "CHANNEL_BUSY",
    Elimination.CHANNEL_HELD: "CHANNEL_BUSY",
    Elimination.HALF_OPEN_BUDGET: "CHANNEL_BUSY",
    Elimination.RAMP: "CHANNEL_BUSY",
    Elimination.MAINTENANCE_WINDOW: "MAINTENANCE",
    Elimination.CIRCUIT_OPEN: "CHANNEL_OPEN",
    Elimination.FORCED_OPEN: "CHANNEL_OPEN",
    Elimination.CERT_EXPIRED: "CHANNEL_OPEN",  # why is not a payer's business
    Elimination.OVER_DAY_LIMIT: "OVER_DAY_LIMIT",
    Elimination.OVER_MONTH_LIMIT: "OVER_MONTH_LIMIT",
    Elimination.AMOUNT_OUT_OF_RANGE: OVER_CHANNEL_LIMIT,
    Elimination.RULE_LIMIT: "DENIED_BY_RULE",
    Elimination.RULE_DENIED: "DENIED_BY_RULE",
    Elimination.CURRENCY_UNSUPPORTED: "CURRENCY_UNSUPPORTED",
    Elimination.TERMINAL_UNSUPPORTED: NOT_AVAILABLE_ON_TERMINAL,
    Elimination.PRODUCT_NOT_BOUND: NOT_BOUND,
    Elimination.INSTITUTION_NOT_BOUND: NOT_BOUND,
    # Neither happens to a payer who has not begun, nor to the method asked for.
    Elimination.ALREADY_TRIED: "CHANNEL_BUSY",
    Elimination.METHOD_UNSUPPORTED: NOT_BOUND,
}
_NEARNESS = {elimination: place for place, elimination in enumerate(_TOLD)}
# What a payer at this place can't have at all is no choice, and not shown.
_UNSEEN = frozenset({NOT_AVAILABLE_ON_TERMINAL, NOT_BOUND})


class Entry(NamedTuple):
    """A method on the page. `display_order` begins with 1; `promotion` is what the chosen channel promises."""

    method: str
    enabled: bool
    visible: bool
    reason_code: str
    reason_text: str
    min_amount_minor: int
    max_amount_minor: int
    display_order: int
    promotion: str


def methods_of(accounts: Iterable[Account], facts: OrderFacts, display_order: Sequence[str]) -> list[str]:
    """Return the methods that a source may know of, those of `display_order` first, the others by name."""
    open_to = [account for account in accounts if not account.partner_only or facts.source in account.partner_only]
    names = {method for account in open_to for method in account.methods}
    first = [method for method in display_order if method in names]
    return [*first, *sorted(names.difference(first))]


def entries(
    decisions: Mapping[str, Decision], accounts: Mapping[str, Account], facts: OrderFacts, *, now_ms: int
) -> list[Entry]:
    """Return the entries of a cashier: `decisions` by method in the order of the page, `accounts` by id."""
    return [
        _entry(method, decision, accounts, facts, now_ms, place)
        for place, (method, decision) in enumerate(decisions.items(), start=1)
    ]


def _entry(
    method: str, decision: Decision, accounts: Mapping[str, Account], facts: OrderFacts, now_ms: int, place: int
) -> Entry:
    able = [
        (candidate, accounts[candidate.account_id])
        for candidate in decision.candidates
        if candidate.account_id in accounts
        and method in accounts[candidate.account_id].methods
        and candidate.eliminated_by != Elimination.CHANNEL_NOT_ALLOWED_FOR_SOURCE
    ]
    lowest = min((account.min_amount_minor for _, account in able), default=0)
    highest = max((account.max_amount_minor for _, account in able), default=0)
    code, text = "", ""
    if decision.chosen is None:
        code, text = _reason([candidate for candidate, _ in able], facts, lowest, highest)
    span = span_at(decision.chosen.fees, now_ms) if decision.chosen else None
    return Entry(
        method, decision.chosen is not None, code not in _UNSEEN, code, text, lowest, highest, place,
        span.promotion if span else "",
    )  # fmt: skip


def _reason(candidates: Sequence[Candidate], facts: OrderFacts, lowest: int, highest: int) -> tuple[str, str]:
    said = [Elimination(candidate.eliminated_by) for candidate in candidates if candidate.eliminated_by]
    nearest = min(said, key=_NEARNESS.__getitem__, default=Elimination.PRODUCT_NOT_BOUND)
    code = _TOLD[nearest]
    if nearest is not Elimination.AMOUNT_OUT_OF_RANGE:
        return code, code
    over = facts.amount_minor > highest
    bound = Money(highest if over else lowest, facts.currency_code)
    code = OVER_CHANNEL_LIMIT if over else UNDER_CHANNEL_MINIMUM
    return code, f"{code}({decimal_text(bound)})"


# --- versions ---------------------------------------------------------------------------------------------------------


def version_of(facts: OrderFacts, enabled: Iterable[str], config_version: int) -> str:
    """Return the version of a cashier: what was asked, which methods could be used, and by which configuration."""
    return f"{_digest(facts)}.{'-'.join(sorted(enabled))}.{config_version}"


def changed(version: str, facts: OrderFacts) -> Refusal | None:
    """Tell what is no longer as the payer saw it, as far as the order itself goes; None when it is the same."""
    digest, _, rest = version.partition(".")
    if digest != _digest(facts):
        return order_changed("the order is not the one that the cashier was shown for")
    if facts.method and facts.method not in rest.partition(".")[0].split("-"):
        return order_changed(f"the cashier did not offer {facts.method}")
    return None


def order_changed(message: str) -> Refusal:
    """Refuse an order that is no longer as the payer saw it."""
    return Refusal(Kind.MOVED, "ORDER_CHANGED", f"{message}: show the cashier anew")


def _digest(facts: OrderFacts) -> str:
    order = (facts.product_code, facts.amount_minor, facts.currency_code, facts.terminal, facts.source, facts.institution_id)
    return blake2b(repr(order).encode(), digest_size=8).hexdigest()
