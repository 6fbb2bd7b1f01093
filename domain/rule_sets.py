"""A tenant's rules as one thing that is written, checked, tried, published and taken back: a rule set.

It is stored as plain values; `from_record` and `to_record` are the way there and back, and `difference` tells what a
person must know about two of them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from domain.rules import BPS, Effect, Period, Rule

PLUG_INS_MAX = 16


class RuleSet(NamedTuple):
    """Rules, and the names of the plug-ins that speak after them."""

    rules: tuple[Rule, ...] = ()
    plug_ins: tuple[str, ...] = ()


def from_record(record: Mapping[str, Any]) -> RuleSet:
    """Read what was stored. Raise ValueError or KeyError for what no rule set can be."""
    return RuleSet(tuple(_rule(rule) for rule in record.get("rules", ())), tuple(record.get("plug_ins", ())))


def _rule(rule: Mapping[str, Any]) -> Rule:
    return Rule(
        rule_id=rule["rule_id"],
        priority=rule.get("priority", 0),
        effect=Effect(rule["effect"]),
        when=rule["when"],
        channels=tuple(rule.get("channels", ())),
        weight=rule.get("weight", 1.0),
        limit_bps=rule.get("limit_bps", 0),
        limit_minor=rule.get("limit_minor", 0),
        limit_per=Period(rule.get("limit_per", Period.DAY)),
    )


def to_record(rule_set: RuleSet) -> dict[str, Any]:
    """Return what is stored."""
    return {
        "rules": [rule._asdict() | {"channels": list(rule.channels)} for rule in rule_set.rules],
        "plug_ins": list(rule_set.plug_ins),
    }


def difference(before: RuleSet, after: RuleSet) -> list[str]:
    """Tell line by line how one rule set differs from another, as a person reads it."""
    old, new = ({rule.rule_id: rule for rule in rule_set.rules} for rule_set in (before, after))
    lines = []
    for rule_id in sorted(old.keys() | new.keys()):
        if old.get(rule_id) != new.get(rule_id):
            lines += [f"- {_text(old[rule_id])}"] if rule_id in old else []
            lines += [f"+ {_text(new[rule_id])}"] if rule_id in new else []
    lines += [f"- plug-in {name}" for name in before.plug_ins if name not in after.plug_ins]
    return lines + [f"+ plug-in {name}" for name in after.plug_ins if name not in before.plug_ins]


def _text(rule: Rule) -> str:
    words = [f"{rule.rule_id} (priority {rule.priority}): when {' '.join(rule.when.split())}", str(rule.effect)]
    words += [", ".join(rule.channels) or "all channels"]
    words += [f"x {rule.weight:g}"] if rule.effect is Effect.BOOST else []
    words += [f"{rule.limit_bps * 100 / BPS:g} % of the orders"] if rule.limit_bps else []
    words += [f"{rule.limit_minor / 100:,.2f}"] if rule.limit_minor else []
    words += [f"per {rule.limit_per.lower()}"] if rule.effect is Effect.LIMIT else []
    return " ".join(words)
