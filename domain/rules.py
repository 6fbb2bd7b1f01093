"""Routing rules that finance staff write: a condition in CEL, and what happens to some channels when it holds.

`compile_rules` checks every text once, before it can meet a payment; `CompiledRules.verdict` evaluates them for one
order. Two hundred rules cost a decision little more than the few that concern its order: which conditions on orders
hold is remembered by what they ask about.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from domain.conditions import KNOWN_MAX, NUMBERS, Condition, Flaw, Part, flat_order, key_of, read
from domain.plug_ins import Boost, ChannelFacts, Deny, OrderAsked, PlugIn
from domain.refusals import Refused, Violation, invalid

# More rules than this nobody can foresee; it also bounds the time of a decision.
RULES_MAX = 200
# Beyond this factor a boost is a FORCE and should say so.
WEIGHT_MAX = 100.0
RULE_ID_LENGTH_MAX = 64
BPS = 10_000


class Effect(StrEnum):
    """What a rule does to its channels when its condition holds."""

    DENY = "DENY"  # they are out
    BOOST = "BOOST"  # their expected value counts `weight` times
    FORCE = "FORCE"  # the best of them is taken, if any of them can be
    ALLOW_ONLY = "ALLOW_ONLY"  # all others are out
    LIMIT = "LIMIT"  # together they get at most a share of these orders, or an amount, per period


class Period(StrEnum):
    """How long a LIMIT counts before it begins anew, by the clock in China."""

    HOUR = "HOUR"
    DAY = "DAY"


class Rule(NamedTuple):
    """One rule. A lower `priority` is looked at first; no `channels` means all of them; `weight` is for BOOST alone.

    A LIMIT has `limit_bps` (a share of the orders, in ten-thousandths) or `limit_minor`, or both; 0 means none.
    """

    rule_id: str
    priority: int
    effect: Effect
    when: str
    channels: tuple[str, ...] = ()
    weight: float = 1.0
    limit_bps: int = 0
    limit_minor: int = 0
    limit_per: str = Period.DAY


class Limit(NamedTuple):
    """A LIMIT that concerns an order."""

    rule: Rule
    channels: frozenset[str]


class Verdict(NamedTuple):
    """What the rules say about one order.

    `denied` maps a channel to the rule that put it out, `boosts` to (factor, rule); `forced` names the channels of the
    first FORCE that held, with its rule. `failed` names rules that could not be evaluated: they changed nothing.
    """

    denied: Mapping[str, str]
    boosts: Mapping[str, tuple[float, str]]
    forced: frozenset[str]
    forced_by: str
    failed: tuple[str, ...]
    limits: tuple[Limit, ...] = ()


class Fault(NamedTuple):
    """What is wrong with one field of one rule, and where in its text; rule_id "" means the set as a whole."""

    rule_id: str
    field: str
    flaw: Flaw

    def violation(self) -> Violation:
        """Name the field as a caller knows it."""
        path = f"rules[{self.rule_id}].{self.field}" if self.rule_id or self.field != "rules" else "rules"
        return Violation(path, str(self.flaw))


class _Compiled(NamedTuple):
    rule: Rule
    order_part: Part | None
    channel_part: Part | None


class _Shortlist(NamedTuple):
    """The rules left for orders of a kind, without what is known to hold for them; and those that failed."""

    rules: tuple[_Compiled, ...]
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """Rules in the order in which they are looked at, ready to be evaluated. Pickles as texts and compiles again."""

    rules: tuple[Rule, ...]
    plug_ins: tuple[PlugIn, ...]
    _compiled: tuple[_Compiled, ...]
    _key: Callable[[Mapping[str, Any]], Any]
    _shortlists: dict[Any, _Shortlist] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as texts: a compiled program cannot leave its process."""
        return compile_rules, (self.rules, self.plug_ins)

    def __bool__(self) -> bool:
        return bool(self.rules or self.plug_ins)

    def verdict(self, order: Mapping[str, Any], channels: Iterable[ChannelFacts]) -> Verdict:
        """Evaluate all rules for one order; `order` maps the names of ORDER_FIELDS to values. Never raises."""
        facts, flat = tuple(channels), flat_order(order)
        shortlist = self._shortlist(flat)
        hits, failed = _hits(shortlist.rules, flat, facts)
        found = _combine(hits, tuple(fact.channel_id for fact in facts), tuple(dict.fromkeys(shortlist.failed + failed)))
        return _ask_plug_ins(self.plug_ins, found, order, facts) if self.plug_ins else found

    def conditions(self) -> Iterable[tuple[Rule, Condition]]:
        """Return every rule with its compiled condition."""
        return ((item.rule, Condition(item.order_part, item.channel_part)) for item in self._compiled)

    def _shortlist(self, flat: dict[str, Any]) -> _Shortlist:
        key = self._key(flat)
        found = self._shortlists.get(key)
        if found is None:
            if len(self._shortlists) >= KNOWN_MAX:
                self._shortlists.clear()
            found = self._shortlists[key] = _shortlist(self._compiled, flat)
        return found


def compile_rules(rules: Iterable[Rule], plug_ins: Iterable[PlugIn] = ()) -> CompiledRules:
    """Check and compile rules. Raise Refused, naming for every fault its rule and its place in the text."""
    ordered = tuple(sorted(rules, key=lambda rule: (rule.priority, rule.rule_id)))
    faults, compiled = _faults_of_set(ordered), []
    for rule in ordered if not faults else ():
        mine = _faults_of(rule)
        condition, flaws = read(rule.when)
        mine += [Fault(rule.rule_id, "when", flaw) for flaw in flaws]
        if condition is not None and not mine:
            compiled.append(_Compiled(rule, *condition))
        faults += mine
    if faults:
        raise Refused(invalid(*[fault.violation() for fault in faults]))
    return CompiledRules(ordered, tuple(plug_ins), tuple(compiled), _key_of_orders(compiled))


def faults_of(rules: Iterable[Rule]) -> list[Fault]:
    """Return everything for which `compile_rules` would refuse."""
    known = tuple(rules)
    found = _faults_of_set(known)
    for rule in known if not found else ():
        found += _faults_of(rule)
        found += [Fault(rule.rule_id, "when", flaw) for flaw in read(rule.when)[1]]
    return found


def _faults_of_set(rules: tuple[Rule, ...]) -> list[Fault]:
    found, seen = list[Fault](), set[str]()
    if len(rules) > RULES_MAX:
        found.append(_fault("", "rules", f"must be at most {RULES_MAX}, are {len(rules)}"))
    for rule in rules:
        if not 0 < len(rule.rule_id) <= RULE_ID_LENGTH_MAX or not rule.rule_id.isprintable():
            found.append(_fault(rule.rule_id[:RULE_ID_LENGTH_MAX], "rule_id", "must be 1 to 64 printable characters"))
        elif rule.rule_id in seen:
            found.append(_fault(rule.rule_id, "rule_id", "must name one rule only"))
        seen.add(rule.rule_id)
    return found


def _fault(rule_id: str, name: str, words: str) -> Fault:
    return Fault(rule_id, name, Flaw(0, 0, words))


def _faults_of(rule: Rule) -> list[Fault]:
    found = list[Fault]()
    if rule.effect not in tuple(Effect):
        found.append(_fault(rule.rule_id, "effect", f"must be one of {', '.join(Effect)}"))
    if not 0 < rule.weight <= WEIGHT_MAX:
        found.append(_fault(rule.rule_id, "weight", f"must be above 0 and at most {WEIGHT_MAX:g}"))
    if rule.effect in (Effect.FORCE, Effect.ALLOW_ONLY, Effect.LIMIT) and not rule.channels:
        found.append(_fault(rule.rule_id, "channels", f"{rule.effect} must name the channels"))
    if not 0 <= rule.limit_bps < BPS or not 0 <= rule.limit_minor < 10**15:
        found.append(_fault(rule.rule_id, "limit", f"must be a share of 0 to {BPS - 1} ten-thousandths, and an amount"))
    elif (rule.effect == Effect.LIMIT) != bool(rule.limit_bps or rule.limit_minor):
        found.append(_fault(rule.rule_id, "limit", "LIMIT must have a share or an amount, and no other effect has one"))
    if rule.limit_per not in tuple(Period):
        found.append(_fault(rule.rule_id, "limit_per", f"must be one of {', '.join(Period)}"))
    return found


# --- evaluating -------------------------------------------------------------------------------------------------------


def _is_sorted_out(part: Part | None) -> bool:
    """Tell whether what a part finds is the same for all orders of a kind."""
    return part is None or not NUMBERS.intersection(part.names) - {name for name, _ in part.bounds}


def _key_of_orders(compiled: Iterable[_Compiled]) -> Callable[[Mapping[str, Any]], Any]:
    """Return the function that tells of what kind an order is: alike in all that the conditions ask about."""
    names, constants = dict[str, None](), dict[str, set[float]]()
    for item in compiled:
        if item.order_part is not None and _is_sorted_out(item.order_part):
            names |= dict.fromkeys(item.order_part.names)
            for name, bounds in item.order_part.bounds:
                constants.setdefault(name, set()).update(bounds)
    return key_of(names, tuple((name, tuple(sorted(bounds))) for name, bounds in constants.items()))


def _shortlist(compiled: Iterable[_Compiled], flat: dict[str, Any]) -> _Shortlist:
    left, failed = list[_Compiled](), list[str]()
    for item in compiled:
        if not _is_sorted_out(item.order_part):
            left.append(item)
        elif (held := item.order_part.holds(flat) if item.order_part else True) is None:
            failed.append(item.rule.rule_id)
        elif held:
            left.append(item._replace(order_part=None))
    return _Shortlist(tuple(left), tuple(failed))


class _Hit(NamedTuple):
    rule: Rule
    channels: frozenset[str] | None  # those for which it held; None when it holds for the order


def _hits(
    compiled: tuple[_Compiled, ...], order: dict[str, Any], facts: tuple[ChannelFacts, ...]
) -> tuple[list[_Hit], tuple[str, ...]]:
    """Evaluate everything: the rules that held, and the names of those that failed."""
    failed: dict[str, None] = {}
    hits: list[_Hit] = []
    bare: _Views = {}
    whole: _Views = {}  # with the order's fields too, which few conditions need here
    for rule, order_part, channel_part in compiled:
        if order_part is not None:
            held = order_part.holds(order)
            if not held:
                if held is None:
                    failed[rule.rule_id] = None
                continue
        if channel_part is None:
            hits.append(_Hit(rule, None))
            continue
        if channel_part.asks_order:
            whole = views = whole or _views(facts, order)
        else:
            bare = views = bare or _views(facts, {})
        if concerned := _concerned(rule, channel_part, views, failed):
            hits.append(_Hit(rule, concerned))
    return hits, tuple(failed)


# What conditions see of the candidates, by channel; a channel on which a tenant has two accounts is two candidates.
_Views = dict[str, list[dict[str, Any]]]


def _views(facts: tuple[ChannelFacts, ...], order: dict[str, Any]) -> _Views:
    views: _Views = {}
    for channel_id, fee_minor, score, state in facts:
        values = {
            "channel_id": channel_id, "channel_fee_minor": fee_minor, "channel_score": score, "channel_state": state,
        }  # fmt: skip
        views.setdefault(channel_id, []).append(order | values if order else values)
    return views


def _concerned(rule: Rule, part: Part, views: _Views, failed: dict[str, None]) -> frozenset[str]:
    """Return the channels of a rule for which the part that asks about them holds."""
    found = set[str]()
    for channel_id in rule.channels or views:
        for values in views.get(channel_id, ()):
            held = part.holds(values)
            if held:
                found.add(channel_id)
            elif held is None:
                failed[rule.rule_id] = None
    return frozenset(found)


def _combine(hits: list[_Hit], channel_ids: tuple[str, ...], failed: tuple[str, ...]) -> Verdict:
    denied, boosts = dict[str, str](), dict[str, tuple[float, str]]()
    forced, forced_by, limits = frozenset[str](), "", list[Limit]()
    for rule, held in hits:
        concerned = held if held is not None else frozenset(rule.channels or channel_ids)
        if rule.effect is Effect.DENY or rule.effect is Effect.ALLOW_ONLY:
            out = concerned if rule.effect is Effect.DENY else frozenset(channel_ids) - concerned
            denied = dict.fromkeys(out, rule.rule_id) | denied
        elif rule.effect is Effect.BOOST:
            for channel_id in concerned:
                factor, rule_id = boosts.get(channel_id, (1.0, rule.rule_id))
                boosts[channel_id] = (factor * rule.weight, rule_id)
        elif rule.effect is Effect.LIMIT:
            limits.append(Limit(rule, concerned))
        elif not forced_by:
            forced, forced_by = concerned, rule.rule_id
    return Verdict(denied, boosts, forced, forced_by, failed, tuple(limits))


def _ask_plug_ins(
    plug_ins: tuple[PlugIn, ...], found: Verdict, order: Mapping[str, Any], facts: tuple[ChannelFacts, ...]
) -> Verdict:
    """Let plug-ins speak about what the rules have left."""
    denied, boosts, failed = dict(found.denied), dict(found.boosts), list(found.failed)
    asked = OrderAsked(**order)
    for plug_in in plug_ins:
        rule_id = f"plug-in {plug_in.name}"
        left = [fact for fact in facts if fact.channel_id not in denied]
        for fact, answer in zip(left, plug_in.ask(asked, left) if left else (), strict=True):
            if isinstance(answer, Deny):
                denied[fact.channel_id] = rule_id
            elif isinstance(answer, Boost):
                factor, _ = boosts.get(fact.channel_id, (1.0, ""))
                boosts[fact.channel_id] = (factor * answer.factor, rule_id)
            elif answer is None and rule_id not in failed:
                failed.append(rule_id)
    return found._replace(denied=denied, boosts=boosts, failed=tuple(failed))
