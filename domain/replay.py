"""Stored decisions made once more under other rules, and what would have been different.

A stored decision holds what was known of every candidate, and the payment holds the order. Health is taken as it was: who
was OPEN then stays out. Windows, full mailboxes and channels that had been tried stay out too. Rules, fees and limits of
the amount are those of the table that is asked.

Decisions are compared by the probabilities with which they would choose, so nothing is drawn and explorations count as
what they are.
"""

from collections.abc import Mapping
from typing import NamedTuple

from domain.health import Health, HealthSnapshot
from domain.limits import LimitBook
from domain.routing import Approach, Candidate, Decision, Elimination, OrderFacts, RoutingTable, decide

EXAMPLES_MAX = 10
# Below this a difference of probabilities is rounding.
MOVED_MIN = 0.001
_HEALTH = frozenset({Elimination.CIRCUIT_OPEN, Elimination.FORCED_OPEN, Elimination.HALF_OPEN_BUDGET, Elimination.RAMP})
_ASKED_AGAIN = _HEALTH | {
    "", Elimination.METHOD_UNSUPPORTED, Elimination.TERMINAL_UNSUPPORTED, Elimination.PRODUCT_NOT_BOUND,
    Elimination.CHANNEL_NOT_ALLOWED_FOR_SOURCE, Elimination.INSTITUTION_NOT_BOUND,
    Elimination.CURRENCY_UNSUPPORTED, Elimination.AMOUNT_OUT_OF_RANGE,
    Elimination.RULE_DENIED, Elimination.RULE_LIMIT, Elimination.ALREADY_TRIED,
}  # fmt: skip


class Stored(NamedTuple):
    """A decision of the past and the order that it was about."""

    facts: OrderFacts
    decision: Decision
    decide_ms: int


class Moved(NamedTuple):
    """An example of an order that would have gone elsewhere; no channel means no route."""

    order_no: str
    product_code: str
    amount_minor: int
    currency_code: str
    before: str
    after: str
    rule_id: str


def decide_again(stored: Stored, table: RoutingTable, book: LimitBook) -> Decision:
    """Decide under a table with the health of then; counts for LIMIT rules go into `book`."""
    then = stored.decision
    kept = then.candidates[then.chosen_index].account_id if then.approach is Approach.STICKY else ""
    facts = stored.facts._replace(kept_account_id=kept)
    decision = decide(
        facts,
        table,
        {candidate.channel_id: _snapshot(candidate, stored.decide_ms) for candidate in then.candidates},
        now_ms=stored.decide_ms,
        draw=1.0,  # beyond all shares: the regular choice
        exclude=_channels(then, Elimination.ALREADY_TRIED),
        held=frozenset(c.channel_id for c in then.candidates if c.eliminated_by not in _ASKED_AGAIN),
        book=book,
    )
    if decision.limits and decision.chosen:
        book.note(facts.tenant_id, decision.limits, decision.chosen.channel_id, facts.amount_minor, stored.decide_ms)
    return decision


def _channels(decision: Decision, elimination: Elimination) -> frozenset[str]:
    return frozenset(c.channel_id for c in decision.candidates if c.eliminated_by == elimination)


def _snapshot(candidate: Candidate, time_ms: int) -> HealthSnapshot:
    ill = candidate.eliminated_by in _HEALTH
    state = Health(candidate.state) if candidate.state else Health.HEALTHY
    probes = state is Health.HALF_OPEN and not ill
    return HealthSnapshot(
        candidate.channel_id, 0, state, candidate.score, candidate.success_rate, candidate.sample_count, 0.0, 0.0, 1.0,
        0.0 if ill else candidate.propensity if probes else 1.0, 1 if probes else 0, "", time_ms, 0, 0,
    )  # fmt: skip


class Comparison:
    """What would be different, summed up over many orders."""

    def __init__(self) -> None:
        self.order_count = 0
        self.moved = 0.0
        self.unrouted_before = self.unrouted_after = 0.0
        self.success_before = self.success_after = 0.0
        self.fees: dict[str, tuple[float, float]] = {}
        self.channels: dict[str, tuple[float, float]] = {}
        self.moved_in: dict[str, float] = {}
        self.moved_out: dict[str, float] = {}
        self.failed_rules: dict[str, int] = {}
        self.examples: list[Moved] = []

    def add(self, facts: OrderFacts, before: Decision, after: Decision) -> None:
        """Take one order into account."""
        self.order_count += 1
        old, new = _shares(before), _shares(after)
        moved = _moved(old, new)
        self.moved += moved
        self.unrouted_before += 1 - sum(old.values())
        self.unrouted_after += 1 - sum(new.values())
        self.success_before += sum(c.propensity * c.success_rate for c in before.candidates)
        self.success_after += sum(c.propensity * c.success_rate for c in after.candidates)
        fee_before, fee_after = self.fees.get(facts.currency_code, (0.0, 0.0))
        self.fees[facts.currency_code] = (fee_before + _fee(before), fee_after + _fee(after))
        for channel_id in old.keys() | new.keys():
            was, would = old.get(channel_id, 0.0), new.get(channel_id, 0.0)
            sums = self.channels.get(channel_id, (0.0, 0.0))
            self.channels[channel_id] = (sums[0] + was, sums[1] + would)
            side = self.moved_in if would > was else self.moved_out
            side[channel_id] = side.get(channel_id, 0.0) + abs(would - was)
        for rule_id in after.failed_rules:
            self.failed_rules[rule_id] = self.failed_rules.get(rule_id, 0) + 1
        if moved > MOVED_MIN and len(self.examples) < EXAMPLES_MAX:
            order = facts.order_no, facts.product_code, facts.amount_minor, facts.currency_code
            self.examples.append(Moved(*order, _first(old), _first(new), _why(before, after)))


def _shares(decision: Decision) -> Mapping[str, float]:
    shares: dict[str, float] = {}
    for candidate in decision.candidates:
        if candidate.propensity:
            shares[candidate.channel_id] = shares.get(candidate.channel_id, 0.0) + candidate.propensity
    return shares


def _moved(old: Mapping[str, float], new: Mapping[str, float]) -> float:
    """Return the share of an order that changes its channel, having no route being one as well."""
    gained = sum(max(new.get(name, 0.0) - old.get(name, 0.0), 0.0) for name in new)
    lost_routes = max(sum(old.values()) - sum(new.values()), 0.0)
    return gained + lost_routes


def _fee(decision: Decision) -> float:
    return sum(candidate.propensity * candidate.fee_minor for candidate in decision.candidates)


def _first(shares: Mapping[str, float]) -> str:
    return max(shares, key=lambda name: shares[name], default="")


def _why(before: Decision, after: Decision) -> str:
    """Return the rule that speaks for the new channel or against the old one."""
    chosen = after.candidates[after.chosen_index] if after.chosen_index >= 0 else None
    if chosen is not None and chosen.rule_id:
        return chosen.rule_id
    old = before.candidates[before.chosen_index].channel_id if before.chosen_index >= 0 else ""
    return next((c.rule_id for c in after.candidates if c.channel_id == old and c.rule_id), "")
