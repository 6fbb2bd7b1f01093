"""What can be known about a rule set before it meets an order.

Faults make it impossible to publish, and so does a rule that can hold for no order. Warnings tell of rules that do nothing as
far as is known: that held for none of the recent orders, or come after a rule that leaves them nothing to do. What is said to be impossible is proved: all
values that a condition can tell apart are tried, since it only compares numbers with constants and texts with texts.
What cannot be tried out within `TRIALS_MAX` is not said.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise, product, takewhile
from typing import Any, NamedTuple

from domain.conditions import ENDS, Condition, Part, flat_order, hidden_flaw, tokens
from domain.plug_ins import ChannelFacts
from domain.rule_sets import PLUG_INS_MAX, RuleSet
from domain.rules import CompiledRules, Effect, Rule, compile_rules, faults_of

# Evaluations for one proof, and for all proofs about a set: a second or so.
COMBINATIONS_MAX = 20_000
TRIALS_MAX = 400_000
# Fewer recent orders than this say nothing.
SAMPLES_MIN = 100
_RANGES = {"order_amount_minor": (1, 10**12), "channel_fee_minor": (0, 10**12), "channel_score": (0, 100)}


class Severity(StrEnum):
    """Whether it can be published."""

    ERROR = "ERROR"
    WARNING = "WARNING"


class Finding(NamedTuple):
    """What was found about a field of a rule; line and column are 0 where it is not about a place in a text."""

    severity: Severity
    rule_id: str
    field: str
    line: int
    column: int
    words: str


class Words(NamedTuple):
    """What names mean something to a tenant."""

    tenant_id: str
    channels: frozenset[str]
    products: frozenset[str]
    methods: frozenset[str]
    terminals: frozenset[str]
    states: frozenset[str]
    plug_ins: frozenset[str]


Sample = tuple[Mapping[str, Any], Sequence[ChannelFacts]]


def check(rule_set: RuleSet, words: Words, samples: Sequence[Sample] = ()) -> list[Finding]:
    """Return everything that is known to be wrong or useless; `samples` are recent orders with their candidates."""
    faults = faults_of(rule_set.rules)
    found = [Finding(Severity.ERROR, fault.rule_id, fault.field, *fault.flaw) for fault in faults]
    found += _unknown_names(rule_set, words)
    if not faults:
        hidden = {finding.rule_id: finding for finding in _hidden(rule_set.rules)}
        found += hidden.values()
        compiled = compile_rules(rule for rule in rule_set.rules if rule.rule_id not in hidden)
        idle = _never(compiled, words)
        found += idle + _unmet(compiled, samples, frozenset(finding.rule_id for finding in idle))
        found += _shadowed(compiled, words, frozenset(finding.rule_id for finding in idle))
    return found


def _hidden(rules: Iterable[Rule]) -> Iterator[Finding]:
    for rule in rules:
        if flaw := hidden_flaw(rule.when):
            yield Finding(Severity.ERROR, rule.rule_id, "when", *flaw)


def _unknown_names(rule_set: RuleSet, words: Words) -> list[Finding]:
    found = []
    for rule in rule_set.rules:
        for channel_id in rule.channels:
            if channel_id not in words.channels:
                text = f"unknown channel {channel_id[:64]!r}; known are {', '.join(sorted(words.channels))}"
                found.append(Finding(Severity.ERROR, rule.rule_id, "channels", 0, 0, text))
    if len(rule_set.plug_ins) > PLUG_INS_MAX or len(set(rule_set.plug_ins)) < len(rule_set.plug_ins):
        found.append(Finding(Severity.ERROR, "", "plug_ins", 0, 0, f"must be at most {PLUG_INS_MAX}, each once"))
    for name in rule_set.plug_ins:
        if name not in words.plug_ins:
            text = f"unknown plug-in {name[:64]!r}; installed are {', '.join(sorted(words.plug_ins)) or 'none'}"
            found.append(Finding(Severity.ERROR, "", "plug_ins", 0, 0, text))
    return found


# --- proofs -----------------------------------------------------------------------------------------------------------


class _Budget:
    def __init__(self) -> None:
        self.left = TRIALS_MAX

    def take(self, count: int) -> bool:
        """Tell whether so many trials are left, and use them."""
        if count > min(COMBINATIONS_MAX, self.left):
            return False
        self.left -= count
        return True


def _never(compiled: CompiledRules, words: Words) -> list[Finding]:
    found, budget = [], _Budget()
    for rule, condition in compiled.conditions():
        parts = [part for part in condition if part is not None]
        values = _values(parts, words)
        if values is None or not budget.take(_count(values)):
            continue
        if not any(all(part.holds(case) for part in parts) for case in _cases(values)):
            text = "can never hold for an order of this tenant"
            found.append(Finding(Severity.ERROR, rule.rule_id, "when", 1, 1, text))
    return found


def _unmet(compiled: CompiledRules, samples: Sequence[Sample], known: frozenset[str]) -> list[Finding]:
    if len(samples) < SAMPLES_MIN:
        return []
    views = [(flat_order(order), [_flat_channel(fact) for fact in facts]) for order, facts in samples]
    found = []
    for rule, condition in compiled.conditions():
        if rule.rule_id not in known and not any(_met(rule, condition, order, facts) for order, facts in views):
            text = f"held for none of the last {len(samples):,} orders"
            found.append(Finding(Severity.WARNING, rule.rule_id, "when", 0, 0, text))
    return found


def _met(rule: Rule, condition: Condition, order: Mapping[str, Any], facts: Sequence[Mapping[str, Any]]) -> bool:
    if condition.order_part is not None and not condition.order_part.holds(order):
        return False
    if condition.channel_part is None:
        return True
    return any(
        condition.channel_part.holds({**order, **fact})
        for fact in facts
        if not rule.channels or fact["channel_id"] in rule.channels
    )


def _flat_channel(fact: ChannelFacts) -> dict[str, Any]:
    return {
        "channel_id": fact.channel_id, "channel_fee_minor": fact.fee_minor, "channel_score": fact.score,
        "channel_state": fact.state,
    }  # fmt: skip


def _shadowed(compiled: CompiledRules, words: Words, known: frozenset[str]) -> list[Finding]:
    found, budget = [], _Budget()
    rules = [(rule, condition) for rule, condition in compiled.conditions() if rule.rule_id not in known]
    for place, (low, low_condition) in enumerate(rules):
        for high, high_condition in rules[:place]:
            if not _leaves_nothing(high, low) or high_condition.channel_part or low_condition.order_part is None:
                continue
            if _implies(low_condition.order_part, high_condition.order_part, words, budget):
                text = f"has nothing left to do: whenever it holds, {high.rule_id} held before"
                found.append(Finding(Severity.WARNING, low.rule_id, "when", 0, 0, text))
                break
    return found


def _leaves_nothing(high: Rule, low: Rule) -> bool:
    """Tell whether the effect of one rule makes that of another void, if both hold."""
    mine, theirs = set(low.channels), set(high.channels)
    if high.effect is Effect.FORCE:
        return low.effect is Effect.FORCE
    if high.effect is Effect.DENY:
        return low.effect is not Effect.ALLOW_ONLY and (not theirs or (bool(mine) and mine <= theirs))
    if high.effect is Effect.ALLOW_ONLY:
        return mine >= theirs if low.effect is Effect.ALLOW_ONLY else bool(mine) and mine.isdisjoint(theirs)
    return False


def _implies(low: Part, high: Part | None, words: Words, budget: _Budget) -> bool:
    if high is None or not set(high.names) <= set(low.names):
        return False
    values = _values([low, high], words)
    if values is None or not budget.take(_count(values)):
        return False
    return all(high.holds(case) for case in _cases(values) if low.holds(case))


# --- all values that conditions can tell apart --------------------------------------------------------------------------


def _values(parts: Sequence[Part], words: Words) -> dict[str, list[Any]] | None:
    """Return for every name the values that matter, None when that cannot be known."""
    found: dict[str, list[Any]] = {}
    for name in {name for part in parts for name in part.names}:
        using = [part for part in parts if name in part.names]
        values = _numbers(name, using) if name in _RANGES else _texts(name, using, words)
        if values is None:
            return None
        found[name] = values
    return found


def _numbers(name: str, parts: Sequence[Part]) -> list[Any] | None:
    constants = set[float]()
    for part in parts:
        bounds = dict(part.bounds).get(name)
        if bounds is None:
            return None
        constants.update(bounds)
    low, high = _RANGES[name]
    points = sorted(constants | {low, high})
    points += [(left + right) / 2 for left, right in pairwise(points)]
    if name != "channel_score":
        points = [float(int(point)) for point in points]
    inside = sorted({point for point in points if low <= point <= high})
    return [point if name == "channel_score" else int(point) for point in inside]


def _texts(name: str, parts: Sequence[Part], words: Words) -> list[Any] | None:
    known = {
        "order_tenant_id": frozenset({words.tenant_id}),
        "order_product_code": words.products,
        "order_method": words.methods | {""},
        "order_terminal": words.terminals | {""},
        "channel_id": words.channels,
        "channel_state": words.states | {""},
    }.get(name)
    if known is not None:
        return sorted(known)
    literals = set[str]()
    for part in parts:
        mine = _literals(name, part.text)
        if mine is None:
            return None
        literals |= mine
    return [*sorted(literals), "\0 another"]


def _literals(name: str, text: str) -> set[str] | None:
    """Return the texts that a name is compared with, None when it is used in another way."""
    found = set[str]()
    known = [*[("", "")] * 3, *tokens(text), *[("", "")] * 3]
    for place, (_, word) in enumerate(known):
        if word.startswith(f"{name}."):
            return None
        if word != name:
            continue
        compared = _compared(known[place + 1 :], known[place - 1]) or _compared(known[:place][::-1], known[place + 1])
        if compared is None:
            return None
        found |= compared
    return found if not any("\\" in literal for literal in found) else None


def _compared(beyond: Sequence[tuple[str, str]], other_side: tuple[str, str]) -> set[str] | None:
    """Return the texts with which what stands before `beyond` is compared, None when it is not just compared."""
    (_, sign), (kind, word), (_, after), *_ = beyond
    if other_side[1] not in ENDS:
        return None
    if sign in ("==", "!=") and kind == "text" and after in ENDS:
        return {word[1:-1]}
    if sign == "in" and word == "[":
        inside = list(takewhile(lambda piece: piece[1] != "]", beyond[2:]))
        return {text[1:-1] for _, text in inside[::2]} if all(kind == "text" for kind, _ in inside[::2]) else None
    return None


def _count(values: Mapping[str, Sequence[Any]]) -> int:
    count = 1
    for options in values.values():
        count *= max(len(options), 1)
    return count


def _cases(values: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    names = list(values)
    for case in product(*values.values()):
        yield dict(zip(names, case, strict=True))
