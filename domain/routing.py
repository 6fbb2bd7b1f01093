"""Which channel an order goes to, and why not the others.

`decide` is pure: the facts of an order, the table of what a tenant has, the health of the channels, the time and a draw
give a `Decision` in which every candidate has its numbers or the reason for which it was eliminated. The order of the
steps is: what the contract binds, amount, what was tried, windows, breaker, rules; then the expected value
`success rate x (margin - fee / amount)` ranks what is left.

A probe of a half-open channel and an exploration are drawn; everything else is fixed by the order and the table, so
that the stored propensities are exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any, NamedTuple

from domain.account_limits import NOTHING_KNOWN, Allowance, Limits
from domain.fees import Schedule, fee_at
from domain.health import Health, HealthSnapshot
from domain.identifiers import CHINA
from domain.limits import LimitBook
from domain.money import Money, decimal_text, share_bps
from domain.plug_ins import ChannelFacts
from domain.rules import CompiledRules, Limit, Verdict, compile_rules
from domain.settings import Level, Settings
from domain.windows import Window

# Explorations and probes cost a payer's patience when they fail, so they use small orders: 500.00 and 100.00.
EXPLORE_AMOUNT_MAX_MINOR = 50_000
PROBE_AMOUNT_MAX_MINOR = 10_000
# A half-open channel that saw no small order for so long is tried with any order, lest it never comes back.
PROBE_SMALL_WAIT_MS = 3_000
# Expected values that differ by less than 0.2 % are the same: estimates are not better than that.
NOISE_BAND_BPS = 20
# A channel of which nobody has heard is expected to be like most.
PRIOR_SUCCESS_RATE = 0.95
# The keys of settings that stand for a field of a routing table.
SETTINGS_PREFIX = "routing."
# A channel whose window has ended is kept out so long at most for want of a newer snapshot of its health.
WINDOW_END_MS = 3_000
# Remembered static plans; one is about 1 kB. Beyond that the memory starts anew.
PLANS_MAX = 2_048


class Account(NamedTuple):
    """A tenant's contract on a channel, in the version that is in force.

    Empty `terminals`, `products`, `institutions` and `partner_only` mean all; cap 0 means none. `institutions` names every
    branch that may use it. `fees` is the schedule where there is one; without it the three numbers hold for every amount.
    """

    account_id: str
    channel_id: str
    tenant_id: str
    merchant_no: str
    methods: frozenset[str]
    terminals: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()
    partner_only: frozenset[str] = frozenset()
    fee_bps: int = 0
    fee_flat_minor: int = 0
    fee_cap_minor: int = 0
    min_amount_minor: int = 1
    max_amount_minor: int = 10**12
    currency_code: str = "CNY"
    refund_window_days: int = 365
    institutions: frozenset[str] = frozenset()
    fees: Schedule = ()
    limits: Limits = Limits()
    version: int = 1
    unreliable_ms: int = 0  # when its credentials begin their last day, 0 for never


class OrderFacts(NamedTuple):
    """What routing may know of an order. `method` "" leaves the method to us.

    `kept_account_id` is the account that the payer has paid through lately; orders `of_batch` explore nothing.
    """

    tenant_id: str
    order_no: str
    product_code: str
    amount_minor: int
    currency_code: str
    method: str = ""
    terminal: str = ""
    source: str = ""
    payer_ref: str = ""
    institution_id: str = ""
    kept_account_id: str = ""
    of_batch: bool = False


class Approach(StrEnum):
    """How a decision was made."""

    SCORE = "SCORE"
    RULE = "RULE"  # rules changed who came first
    FORCED = "FORCED"  # a FORCE rule named it
    STICKY = "STICKY"  # the payer has paid through it lately, and it is well
    EXPLORE = "EXPLORE"  # to learn about another channel, or whether one has healed
    FALLBACK = "FALLBACK"  # all were ill: the best of the bad
    FAIL_OVER = "FAIL_OVER"  # channels that came first refused before accepting anything


class Elimination(StrEnum):
    """Why a candidate could not be chosen."""

    METHOD_UNSUPPORTED = "METHOD_UNSUPPORTED"
    TERMINAL_UNSUPPORTED = "TERMINAL_UNSUPPORTED"
    PRODUCT_NOT_BOUND = "PRODUCT_NOT_BOUND"
    CHANNEL_NOT_ALLOWED_FOR_SOURCE = "CHANNEL_NOT_ALLOWED_FOR_SOURCE"
    INSTITUTION_NOT_BOUND = "INSTITUTION_NOT_BOUND"
    CURRENCY_UNSUPPORTED = "CURRENCY_UNSUPPORTED"
    AMOUNT_OUT_OF_RANGE = "AMOUNT_OUT_OF_RANGE"
    OVER_DAY_LIMIT = "OVER_DAY_LIMIT"  # of what the account may take in a day, too little is left
    OVER_MONTH_LIMIT = "OVER_MONTH_LIMIT"
    RATE_LIMITED = "RATE_LIMITED"  # the account has had its orders of this second
    ALREADY_TRIED = "ALREADY_TRIED"
    CHANNEL_HELD = "CHANNEL_HELD"  # we hold it back ourselves: its mailbox is full
    MAINTENANCE_WINDOW = "MAINTENANCE_WINDOW"
    CIRCUIT_OPEN = "CIRCUIT_OPEN"
    FORCED_OPEN = "FORCED_OPEN"
    HALF_OPEN_BUDGET = "HALF_OPEN_BUDGET"
    RAMP = "RAMP"
    RULE_DENIED = "RULE_DENIED"
    CERT_EXPIRED = "CERT_EXPIRED"  # its credentials end today, or have ended, and another account has better ones
    RULE_LIMIT = "RULE_LIMIT"  # a LIMIT rule has given its channels what it allows


class Candidate(NamedTuple):
    """One account in a decision. `eliminated_by` is "" when it could be chosen; `note` and `since_ms` are for people.

    `expected_value_minor` is in minor units (an estimate, hence a float); `propensity` is the probability over the draw
    with which it would be chosen for this order.
    """

    channel_id: str
    account_id: str
    eliminated_by: str = ""
    rule_id: str = ""
    success_rate: float = 0.0
    score: float = 0.0
    fee_minor: int = 0
    expected_value_minor: float = 0.0
    state: str = ""
    propensity: float = 0.0
    sample_count: int = 0
    note: str = ""
    since_ms: int = 0


class Decision(NamedTuple):
    """What was decided. `chosen` is `candidates[chosen_index]`'s account, or None and -1 when there is no route.

    `snapshot_age_ms` is the age of the oldest snapshot used, -1 when there was none; `failed_rules` could not be
    evaluated and changed nothing. `limits` concern the order, and are to be counted when it is sent; they are not stored.
    """

    chosen: Account | None
    chosen_index: int
    approach: Approach
    candidates: tuple[Candidate, ...]
    snapshot_version: int
    snapshot_age_ms: int
    config_version: int
    failed_rules: tuple[str, ...] = ()
    currency_code: str = "CNY"
    limits: tuple[Limit, ...] = ()


class _Planned(NamedTuple):
    account: Account
    eliminated_by: str  # by what binds it, whatever the amount and the time
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """What decisions rest on: one version of the configuration.

    `margin_bps` is what an order is worth to the insurer, in ten-thousandths of its amount: 10,000 makes success weigh
    most, 500 makes fees weigh. `explore_share` is the share of small orders sent to another healthy channel. Both, and
    the amounts below them, give way to what `settings` say for an order's kind.
    """

    accounts: tuple[Account, ...]
    rules: CompiledRules = field(default_factory=lambda: compile_rules(()))
    windows: tuple[Window, ...] = ()
    margin_bps: int = 10_000
    explore_share: float = 0.0
    explore_amount_max_minor: int = EXPLORE_AMOUNT_MAX_MINOR
    probe_amount_max_minor: int = PROBE_AMOUNT_MAX_MINOR
    noise_band_bps: int = NOISE_BAND_BPS
    prior_success_rate: float = PRIOR_SUCCESS_RATE
    config_version: int = 0
    settings: Settings = field(default_factory=lambda: Settings(""))
    _plans: "dict[tuple[str, ...], tuple[tuple[_Planned, ...], RoutingTable]]" = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel without the remembered plans."""
        names = [name for name in self.__dataclass_fields__ if name != "_plans"]
        return RoutingTable, tuple(getattr(self, name) for name in names)

    def plan(self, facts: OrderFacts) -> "tuple[tuple[_Planned, ...], RoutingTable]":
        """Return the tenant's accounts with what eliminates them for every order of this kind; remembered.

        With them comes this table as the settings for that kind of order have it.
        """
        key = (facts.tenant_id, facts.product_code, facts.currency_code, facts.method, facts.terminal, facts.source,
               facts.institution_id)  # fmt: skip
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= PLANS_MAX:
                self._plans.clear()
            mine = (account for account in self.accounts if account.tenant_id == facts.tenant_id)
            planned = tuple(_Planned(account, _unbound(account, facts), self._windows_of(account, facts)) for account in mine)
            plan = self._plans[key] = planned, self._as_set_for(facts)
        return plan

    def _as_set_for(self, facts: OrderFacts) -> "RoutingTable":
        level = Level(facts.tenant_id, facts.institution_id, facts.product_code, facts.source, facts.terminal, facts.method)
        keys = self.settings.names(SETTINGS_PREFIX)
        values: dict[str, Any] = {key.removeprefix(SETTINGS_PREFIX): self.settings.value(key, level) for key in keys}
        return replace(self, **values) if values else self

    def _windows_of(self, account: Account, facts: OrderFacts) -> tuple[Window, ...]:
        mine = (window for window in self.windows if window.channel_id == account.channel_id)
        return tuple(w for w in mine if w.concerns(account.account_id, facts.method, account.methods))


def fee_minor(account: Account, amount_minor: int, now_ms: int) -> int:
    """Return what a channel takes for an order, in minor units, by the fees of that moment."""
    if account.fees:
        return fee_at(account.fees, amount_minor, now_ms)
    fee = share_bps(amount_minor, account.fee_bps) + account.fee_flat_minor
    return min(fee, account.fee_cap_minor) if account.fee_cap_minor else fee


def _unbound(account: Account, facts: OrderFacts) -> str:
    if account.partner_only and facts.source not in account.partner_only:
        return Elimination.CHANNEL_NOT_ALLOWED_FOR_SOURCE
    if account.products and facts.product_code not in account.products:
        return Elimination.PRODUCT_NOT_BOUND
    if account.institutions and facts.institution_id not in account.institutions:
        return Elimination.INSTITUTION_NOT_BOUND
    if facts.method and facts.method not in account.methods:
        return Elimination.METHOD_UNSUPPORTED
    if facts.terminal and account.terminals and facts.terminal not in account.terminals:
        return Elimination.TERMINAL_UNSUPPORTED
    return Elimination.CURRENCY_UNSUPPORTED if account.currency_code != facts.currency_code else ""


def decide(
    facts: OrderFacts,
    table: RoutingTable,
    snapshots: Mapping[str, HealthSnapshot],
    *,
    now_ms: int,
    draw: float,
    exclude: frozenset[str] = frozenset(),
    held: frozenset[str] = frozenset(),
    book: LimitBook | None = None,
    allowances: Mapping[str, Allowance] = NOTHING_KNOWN,
) -> Decision:
    """Choose an account for an order.

    `snapshots` is by channel id and may lack some; `draw` in [0, 1) decides probes and explorations. `exclude` names
    the channels that this payment tried already, `held` those that we hold back ourselves. `allowances` tells, by account
    id, what is left of limits; LIMIT rules look into `book`.
    """
    plan, table = table.plan(facts)
    candidates = [_judge(item, facts, table, snapshots, now_ms, exclude, held, allowances) for item in plan]
    plain = [candidate.expected_value_minor for candidate in candidates]
    verdict = _rule(candidates, facts, table.rules) if table.rules else None
    if verdict and verdict.limits and book:
        _limit(candidates, facts, verdict.limits, book, now_ms)
    _spare_ended(plan, candidates, now_ms)
    probing = {} if exclude else snapshots  # a payer who was refused once gets the surest channel
    shares, approach = _choose(candidates, facts, table, verdict, plain, probing)
    index = _drawn(shares, draw)
    for place, share in shares:
        candidates[place] = candidates[place]._replace(propensity=share)
    if exclude and index >= 0:
        approach = Approach.FAIL_OVER
    elif len(shares) > 1 and index != shares[-1][0]:
        approach = Approach.EXPLORE
    used = [snapshots[item.account.channel_id] for item in plan if item.account.channel_id in snapshots]
    return Decision(
        chosen=plan[index].account if index >= 0 else None,
        chosen_index=index,
        approach=approach,
        candidates=tuple(candidates),
        snapshot_version=max([snapshot.version for snapshot in used], default=0),
        snapshot_age_ms=now_ms - min([snapshot.time_ms for snapshot in used], default=now_ms + 1),
        config_version=table.config_version,
        failed_rules=verdict.failed if verdict else (),
        currency_code=facts.currency_code,
        limits=verdict.limits if verdict else (),
    )


def _judge(
    item: _Planned,
    facts: OrderFacts,
    table: RoutingTable,
    snapshots: Mapping[str, HealthSnapshot],
    now_ms: int,
    exclude: frozenset[str],
    held: frozenset[str],
    allowances: Mapping[str, Allowance],
) -> Candidate:
    """Give one account its numbers, and the first reason that eliminates it (rules come later)."""
    account = item.account
    channel_id, amount = account.channel_id, facts.amount_minor
    snapshot = snapshots.get(channel_id)
    fee = fee_minor(account, amount, now_ms)
    reason, note, since_ms = item.eliminated_by, "", 0
    if not reason:
        if not account.min_amount_minor <= amount <= account.max_amount_minor:
            reason, note = Elimination.AMOUNT_OUT_OF_RANGE, _limit_note(account, amount)
        elif allowances and (over := _over_limit(account, amount, allowances)):
            reason = over
        elif channel_id in exclude:
            reason = Elimination.ALREADY_TRIED
        elif channel_id in held:
            reason = Elimination.CHANNEL_HELD
        elif item.windows and (window := _window(item.windows, snapshot, now_ms)):
            reason, note = Elimination.MAINTENANCE_WINDOW, window.reason
        elif snapshot is not None and (
            snapshot.admit_share < 1.0 or snapshot.state is Health.OPEN or snapshot.state is Health.HALF_OPEN
        ):
            reason = _not_admitted(snapshot, facts, table, now_ms)
            note, since_ms = snapshot.reason, snapshot.state_since_ms
    if snapshot is None:
        rate, score, state, count = table.prior_success_rate, 100.0 * table.prior_success_rate, "", 0
    else:
        rate, score, state, count = snapshot.success_rate, snapshot.score, snapshot.state, snapshot.sample_count
    value = rate * (amount * table.margin_bps / 10_000 - fee)
    return Candidate(
        channel_id, account.account_id, reason, "", rate, score, fee, value, state, 0.0, count, note, since_ms
    )


def _window(windows: tuple[Window, ...], snapshot: HealthSnapshot | None, now_ms: int) -> Window | None:
    """Return the window that stands against an account.

    One that has just ended still does until its channel is known to be tried out: the first snapshot after the end says so.
    """
    for window in windows:
        if window.covers(now_ms):
            return window
        if snapshot is not None and not window.account_id and not window.method:
            ended_ms = window.last_end_ms(now_ms)
            if snapshot.time_ms <= ended_ms and now_ms - ended_ms < WINDOW_END_MS:
                return window
    return None


def _spare_ended(plan: Sequence[_Planned], candidates: list[Candidate], now_ms: int) -> None:
    """Leave out accounts whose credentials end, as long as another can be chosen: before the first failure, not after."""
    ended = [place for place, item in enumerate(plan) if 0 < item.account.unreliable_ms <= now_ms]
    if ended and any(not item.eliminated_by and place not in ended for place, item in enumerate(candidates)):
        for place in ended:
            if not candidates[place].eliminated_by:
                candidates[place] = candidates[place]._replace(
                    eliminated_by=Elimination.CERT_EXPIRED, note="its credentials end", since_ms=plan[place].account.unreliable_ms
                )


def _limit_note(account: Account, amount_minor: int) -> str:
    over = amount_minor > account.max_amount_minor
    limit = Money(account.max_amount_minor if over else account.min_amount_minor, account.currency_code)
    return f"{'over' if over else 'under'} single limit {decimal_text(limit)}"


def _over_limit(account: Account, amount_minor: int, allowances: Mapping[str, Allowance]) -> str:
    left = allowances.get(account.account_id)
    if left is None:
        return ""
    if amount_minor > left.day_minor:
        return Elimination.OVER_DAY_LIMIT
    if amount_minor > left.month_minor:
        return Elimination.OVER_MONTH_LIMIT
    return Elimination.RATE_LIMITED if left.paced else ""


def _not_admitted(snapshot: HealthSnapshot, facts: OrderFacts, table: RoutingTable, now_ms: int) -> str:
    state = snapshot.state
    if state is Health.OPEN:
        return Elimination.CIRCUIT_OPEN
    if state is Health.FORCED_OPEN:
        return Elimination.FORCED_OPEN
    if state is Health.HALF_OPEN:
        waits = now_ms - snapshot.state_since_ms < PROBE_SMALL_WAIT_MS
        too_big = facts.amount_minor > table.probe_amount_max_minor and waits
        return Elimination.HALF_OPEN_BUDGET if too_big or snapshot.probe_budget <= 0 else ""
    # By the order, not by the draw: asking again gives the same answer.
    return "" if _hash(facts.order_no, snapshot.channel_id) < snapshot.admit_share * 2**64 else Elimination.RAMP


def _hash(order_no: str, name: str) -> int:
    return int.from_bytes(blake2b(f"{name}\0{order_no}".encode(), digest_size=8).digest())


def _rule(candidates: list[Candidate], facts: OrderFacts, rules: CompiledRules) -> Verdict:
    """Apply the rules: deny, and raise or lower expected values."""
    order = {
        "product_code": facts.product_code,
        "amount_minor": facts.amount_minor,
        "method": facts.method,
        "terminal": facts.terminal,
        "source": facts.source,
        "institution_id": facts.institution_id,
        "tenant_id": facts.tenant_id,
    }
    able = [place for place, candidate in enumerate(candidates) if not candidate.eliminated_by]
    verdict = rules.verdict(
        order, [ChannelFacts(c.channel_id, c.fee_minor, c.score, str(c.state)) for c in (candidates[p] for p in able)]
    )
    for place in able:
        candidate = candidates[place]
        if (rule_id := verdict.denied.get(candidate.channel_id)) is not None:
            candidates[place] = candidate._replace(eliminated_by=Elimination.RULE_DENIED, rule_id=rule_id)
        elif candidate.channel_id in verdict.forced:
            candidates[place] = candidate._replace(rule_id=verdict.forced_by)
        elif (boost := verdict.boosts.get(candidate.channel_id)) is not None:
            value = candidate.expected_value_minor
            value += (boost[0] - 1.0) * abs(value)  # a boost of a loss makes it smaller
            candidates[place] = candidate._replace(expected_value_minor=value, rule_id=boost[1])
    return verdict


def _limit(
    candidates: list[Candidate], facts: OrderFacts, limits: tuple[Limit, ...], book: LimitBook, now_ms: int
) -> None:
    """Put out the channels to which a LIMIT has given what it allows."""
    for rule, channels in limits:
        if book.is_full(facts.tenant_id, rule, facts.amount_minor, now_ms):
            for place, candidate in enumerate(candidates):
                if not candidate.eliminated_by and candidate.channel_id in channels:
                    candidates[place] = candidate._replace(eliminated_by=Elimination.RULE_LIMIT, rule_id=rule.rule_id)


Shares = list[tuple[int, float]]


def _choose(
    candidates: list[Candidate],
    facts: OrderFacts,
    table: RoutingTable,
    verdict: Verdict | None,
    plain: list[float],
    probing: Mapping[str, HealthSnapshot],
) -> tuple[Shares, Approach]:
    """Return (place, probability) of whoever may be chosen, the regular choice last, and the approach of that choice.

    `plain` are the expected values before the rules.
    """
    values = [candidate.expected_value_minor for candidate in candidates]
    able = [place for place, candidate in enumerate(candidates) if not candidate.eliminated_by]
    probes = [place for place in able if candidates[place].state is Health.HALF_OPEN]
    steady = [place for place in able if place not in probes] if probes else able
    if verdict and verdict.forced:
        named = [place for place in steady if candidates[place].channel_id in verdict.forced]
        if named:
            return [(_best(named, candidates, values, facts, table), 1.0)], Approach.FORCED
    if not steady:
        # Better to try a half-open channel than to refuse; its connector still guards the budget.
        return ([(_best(probes, candidates, values, facts, table), 1.0)] if probes else []), Approach.FALLBACK
    kept = [place for place in steady if candidates[place].account_id == facts.kept_account_id] if facts.kept_account_id else []
    returns = bool(kept) and candidates[kept[0]].state is not Health.DEGRADED
    best = kept[0] if returns else _best(steady, candidates, values, facts, table)
    approach = Approach.SCORE
    if returns:
        approach = Approach.STICKY
    elif all(candidates[place].state is Health.DEGRADED for place in steady):
        approach = Approach.FALLBACK
    elif verdict and (verdict.denied or verdict.boosts or verdict.limits):
        first = _best(_without_rules(candidates), candidates, plain, facts, table)
        approach = Approach.SCORE if best == first else Approach.RULE
    if not probing or (not probes and not table.explore_share):
        return [(best, 1.0)], approach
    # Who returns tries a channel that comes back all the same: where all payers have an account, it would have nobody else.
    wanted = [(place, probing[candidates[place].channel_id].admit_share) for place in probes]
    if not returns and table.explore_share and facts.amount_minor <= table.explore_amount_max_minor and not facts.of_batch:
        others = [place for place in steady if place != best and candidates[place].state is Health.HEALTHY]
        wanted += [(place, table.explore_share / len(others)) for place in others]
    return _within_one(wanted, best), approach


def _best(
    places: list[int], candidates: list[Candidate], values: list[float], facts: OrderFacts, table: RoutingTable
) -> int:
    """Return the place of the highest expected value; within the noise, health and then a hash tell."""
    if len(places) == 1:
        return places[0]
    top = max([values[place] for place in places])
    floor = top - abs(top) * table.noise_band_bps / 10_000
    near = [place for place in places if values[place] >= floor]
    well = [place for place in near if candidates[place].state is not Health.DEGRADED]
    near = well or near
    return (
        near[0] if len(near) == 1 else max(near, key=lambda place: _hash(facts.order_no, candidates[place].account_id))
    )


def _within_one(wanted: Shares, best: int) -> Shares:
    """Cut shares where they pass 1 together, and leave the rest to the best."""
    rest = 1.0
    shares: Shares = []
    for place, share in wanted:
        shares.append((place, min(share, rest)))
        rest -= shares[-1][1]
    return [*shares, (best, rest)]


_BY_RULES = frozenset({"", Elimination.RULE_DENIED, Elimination.RULE_LIMIT})


def _without_rules(candidates: list[Candidate]) -> list[int]:
    """Return the places that could be chosen if there were no rules."""
    return [
        place
        for place, candidate in enumerate(candidates)
        if candidate.eliminated_by in _BY_RULES and candidate.state is not Health.HALF_OPEN
    ]


def _drawn(shares: Shares, draw: float) -> int:
    """Return the place on which the draw falls, -1 when there is none."""
    for place, share in shares:
        draw -= share
        if draw < 0:
            return place
    return shares[-1][0] if shares else -1


# For people.

STATE_ELIMINATIONS = frozenset(
    {Elimination.CIRCUIT_OPEN, Elimination.FORCED_OPEN, Elimination.HALF_OPEN_BUDGET, Elimination.RAMP}
)


def reason_text(decision: Decision, *, costs: bool = True) -> str:
    """Write a decision as one sentence: "wx: chosen, SR 94.9 % (n=412), fee 40.80; up: over single limit 5,000.00".

    Without `costs` it says nothing of fees.
    """
    if not decision.candidates:
        return "no account of the tenant can take this order"
    parts = [
        f"{candidate.channel_id}: {_candidate_text(candidate, decision, place == decision.chosen_index, costs)}"
        for place, candidate in enumerate(decision.candidates)
    ]
    failed = f"; rules that failed: {', '.join(decision.failed_rules)}" if decision.failed_rules else ""
    return "; ".join(parts) + failed


def _candidate_text(candidate: Candidate, decision: Decision, chosen: bool, costs: bool) -> str:
    eliminated = candidate.eliminated_by
    if not eliminated:
        fee = f", fee {decimal_text(Money(candidate.fee_minor, decision.currency_code))}" if costs else ""
        rule = f", {_rule_text(candidate.rule_id)}" if candidate.rule_id else ""
        how = f"chosen ({decision.approach}), " if chosen else ""
        return f"{how}SR {100 * candidate.success_rate:.1f} % (n={candidate.sample_count}){fee}{rule}"
    if eliminated == Elimination.RULE_DENIED:
        return f"denied by {_rule_text(candidate.rule_id)}"
    if eliminated == Elimination.RULE_LIMIT:
        return f"has what {_rule_text(candidate.rule_id)} allows"
    if eliminated in STATE_ELIMINATIONS and candidate.since_ms:
        since = datetime.fromtimestamp(candidate.since_ms / 1_000, CHINA)
        return f"{candidate.state} since {since:%H:%M:%S}" + (f" ({candidate.note})" if candidate.note else "")
    if eliminated == Elimination.MAINTENANCE_WINDOW:
        return f"in a maintenance window ({candidate.note})"
    return candidate.note or eliminated.lower().replace("_", " ")


def _rule_text(rule_id: str) -> str:
    return rule_id if rule_id.startswith("plug-in ") else f"rule {rule_id}"


# For storage.


def decision_record(decision: Decision) -> dict[str, Any]:
    """Return a decision as a compact value for a JSON column; an account is stored by its id."""
    return {
        "v": 1,
        "i": decision.chosen_index,
        "a": str(decision.approach),
        "s": decision.snapshot_version,
        "g": decision.snapshot_age_ms,
        "c": decision.config_version,
        "u": decision.currency_code,
        "f": list(decision.failed_rules),
        "k": [_candidate_record(candidate) for candidate in decision.candidates],
    }


def _candidate_record(candidate: Candidate) -> list[Any]:
    channel_id, account_id, eliminated, rule_id, rate, score, fee, value, state, propensity, count, note, since = (
        candidate
    )
    return [
        channel_id,
        account_id,
        str(eliminated),
        rule_id,
        round(rate, 5),
        round(score, 2),
        fee,
        round(value, 2),
        str(state),
        round(propensity, 5),
        count,
        note,
        since,
    ]


def decision_from_record(record: Mapping[str, Any], *, accounts: Mapping[str, Account]) -> Decision:
    """Read a stored decision; `chosen` is None when its account is not in `accounts` (by account id) any more."""
    candidates = tuple(Candidate(*fields) for fields in record["k"])
    index = record["i"]
    return Decision(
        chosen=accounts.get(candidates[index].account_id) if index >= 0 else None,
        chosen_index=index,
        approach=Approach(record["a"]),
        candidates=candidates,
        snapshot_version=record["s"],
        snapshot_age_ms=record["g"],
        config_version=record["c"],
        failed_rules=tuple(record["f"]),
        currency_code=record["u"],
    )
