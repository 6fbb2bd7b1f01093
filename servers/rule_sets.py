"""Rule sets between the wire and the domain, and the work on them that takes seconds: checking, simulating, replaying."""

import asyncio
import dataclasses
import math
import time
from collections.abc import Sequence
from typing import Any

from actors import plug_ins
from actors.tables import compiled, routing_tables
from domain.health import Health
from domain.limits import LimitBook
from domain.plug_ins import ChannelFacts
from domain.refusals import Kind, Refusal, Refused, Violation, invalid
from domain.replay import Comparison, Stored, decide_again
from domain.routing import RoutingTable
from domain.rule_check import Finding, Sample, Severity, Words, check
from domain.rule_sets import PLUG_INS_MAX, RuleSet
from domain.rules import RULES_MAX, Effect, Period, Rule
from protos.paydesk.v1 import common_pb2, routing_pb2
from servers import translate
from storage import rule_sets as store
from storage.desk import Desk

NOTE_LENGTH_MAX = 256
# All texts of a set together: what a second person can be asked to read.
TEXT_LENGTH_MAX = 128_000
CHANNELS_MAX = 32
# Decisions made again in one go before the event loop has its turn.
SLICE = 25
# How long a simulation may take before it is told with what it has.
SIMULATE_S = 5.0

_EFFECTS = {
    value: "" if value == 0 else name.removeprefix("EFFECT_") for name, value in routing_pb2.Rule.Effect.items()
}
_PERIODS = {value: name.removeprefix("PERIOD_") for name, value in routing_pb2.Rule.Period.items()}
_PERIODS[0] = Period.DAY
# Numbers of the wire; Any, because the stubs have types for them that do not exist when the code runs.
_STATES: dict[str, Any] = {name.removeprefix("STATE_"): value for name, value in routing_pb2.RuleSet.State.items()}
_EFFECT_VALUES: dict[str, Any] = {name: value for value, name in _EFFECTS.items()}
_PERIOD_VALUES: dict[str, Any] = {name: value for value, name in _PERIODS.items() if value}
_METHODS = frozenset(name.removeprefix("METHOD_") for name, value in common_pb2.Method.items() if value)
_TERMINALS = frozenset(name.removeprefix("TERMINAL_") for name, value in common_pb2.Terminal.items() if value)


# --- the wire ---------------------------------------------------------------------------------------------------------


def read_rule_set(request: Any) -> RuleSet:
    """Read a draft: what is too big or no word of ours is refused, what is merely wrong is for `CheckRuleSet`."""
    violations = []
    if len(request.rules) > RULES_MAX:
        violations.append(Violation("rules", f"must be at most {RULES_MAX}, are {len(request.rules)}"))
    length = sum(len(rule.when) + sum(map(len, rule.channels)) for rule in request.rules)
    if length > TEXT_LENGTH_MAX:
        violations.append(Violation("rules", f"must be at most {TEXT_LENGTH_MAX} characters together, are {length}"))
    if len(request.plug_ins) > PLUG_INS_MAX or any(not _is_name(name) for name in request.plug_ins):
        violations.append(Violation("plug_ins", f"must be at most {PLUG_INS_MAX} names of at most 64 characters"))
    if len(request.note) > NOTE_LENGTH_MAX or not (request.note + " ").isprintable():
        violations.append(Violation("note", f"must be at most {NOTE_LENGTH_MAX} printable characters"))
    rules = [_read_rule(place, rule, violations) for place, rule in enumerate(request.rules[:RULES_MAX])]
    if violations:
        raise Refused(invalid(*violations))
    return RuleSet(tuple(rules), tuple(request.plug_ins))


def _is_name(text: str) -> bool:
    return 0 < len(text) <= 64 and text.isprintable()


def _read_rule(place: int, rule: routing_pb2.Rule, violations: list[Violation]) -> Rule:
    path = f"rules[{rule.rule_id if _is_name(rule.rule_id) else place}]"
    effect, period = _EFFECTS.get(rule.effect, ""), _PERIODS.get(rule.limit_per, "")
    if not _is_name(rule.rule_id):
        violations.append(Violation(f"{path}.rule_id", "must be 1 to 64 printable characters"))
    if not effect:
        violations.append(Violation(f"{path}.effect", f"must be one of {', '.join(Effect)}"))
    if not period:
        violations.append(Violation(f"{path}.limit_per", f"must be one of {', '.join(Period)}"))
    if len(rule.channels) > CHANNELS_MAX or any(not _is_name(name) for name in rule.channels):
        violations.append(Violation(f"{path}.channels", f"must be at most {CHANNELS_MAX} names of channels"))
    if not math.isfinite(rule.weight):
        violations.append(Violation(f"{path}.weight", "must be a number"))
    return Rule(
        rule.rule_id, rule.priority, Effect(effect or Effect.DENY), rule.when, tuple(rule.channels), rule.weight or 1.0,
        rule.limit_bps, rule.limit_minor, Period(period or Period.DAY),
    )  # fmt: skip


def rule_set_message(row: store.Row, difference: Sequence[str] = ()) -> routing_pb2.RuleSet:
    """Write a stored rule set for the wire."""
    return routing_pb2.RuleSet(
        rule_set_id=row.rule_set_id, state=_STATES[row.state], version=row.version,
        revision=row.revision, rules=map(_rule_message, row.rule_set.rules), plug_ins=row.rule_set.plug_ins,
        note=row.note, author=row.author, create_time=translate.timestamp(row.create_ms),
        update_time=translate.timestamp(row.update_ms), publish_time=translate.timestamp(row.publish_ms),
        difference=difference, rule_count=len(row.rule_set.rules),
    )  # fmt: skip


def summary_message(row: store.Row) -> routing_pb2.RuleSet:
    """Write a stored rule set for a list: without its texts, of which many would be too much for one answer."""
    message = rule_set_message(row)
    message.ClearField("rules")
    return message


def desk_rules_message(rule_set: RuleSet) -> routing_pb2.RuleSet:
    """Write the rules of a desk file for the wire."""
    return routing_pb2.RuleSet(
        state=routing_pb2.RuleSet.STATE_IN_FORCE, rules=map(_rule_message, rule_set.rules), plug_ins=rule_set.plug_ins,
        rule_count=len(rule_set.rules),
    )  # fmt: skip


def _rule_message(rule: Rule) -> routing_pb2.Rule:
    return routing_pb2.Rule(
        rule_id=rule.rule_id, priority=rule.priority, effect=_EFFECT_VALUES[rule.effect],
        when=rule.when, channels=rule.channels, weight=rule.weight, limit_bps=rule.limit_bps,
        limit_minor=rule.limit_minor, limit_per=_PERIOD_VALUES[rule.limit_per],
    )  # fmt: skip


def check_message(findings: Sequence[Finding], tried_count: int) -> routing_pb2.CheckRuleSetResponse:
    """Write what was found for the wire."""
    response = routing_pb2.CheckRuleSetResponse(sound=is_sound(findings), tried_order_count=tried_count)
    severities = routing_pb2.CheckRuleSetResponse.Severity
    for finding in findings:
        response.findings.add(
            severity=severities.Value(f"SEVERITY_{finding.severity}"), rule_id=finding.rule_id, field=finding.field,
            line=finding.line, column=finding.column, text=finding.words,
        )  # fmt: skip
    return response


def is_sound(findings: Sequence[Finding]) -> bool:
    """Tell whether a set with these findings can be published."""
    return all(finding.severity is not Severity.ERROR for finding in findings)


def unsound(findings: Sequence[Finding]) -> Refusal:
    """Refuse to publish, with every fault at its place."""
    faults = [finding for finding in findings if finding.severity is Severity.ERROR]
    return invalid(*[
        Violation(
            f"rules[{fault.rule_id}].{fault.field}" if fault.rule_id else fault.field,
            f"line {fault.line}, column {fault.column}: {fault.words}" if fault.line else fault.words,
        )
        for fault in faults[:100]
    ])


def comparison_message(comparison: Comparison) -> routing_pb2.RouteComparison:
    """Write a comparison for the wire."""
    count = max(comparison.order_count, 1)
    message = routing_pb2.RouteComparison(
        order_count=comparison.order_count, moved_count=round(comparison.moved, 3),
        unrouted_before=round(comparison.unrouted_before, 3), unrouted_after=round(comparison.unrouted_after, 3),
        success_before=comparison.success_before / count, success_after=comparison.success_after / count,
        rule_faults=comparison.failed_rules,
    )  # fmt: skip
    for currency_code, (before, after) in sorted(comparison.fees.items()):
        message.fees.add(currency_code=currency_code, before_minor=round(before), after_minor=round(after))
    for channel_id, (before, after) in sorted(comparison.channels.items()):
        message.channels.add(
            channel_id=channel_id, before=round(before, 3), after=round(after, 3),
            moved_in=round(comparison.moved_in.get(channel_id, 0.0), 3),
            moved_out=round(comparison.moved_out.get(channel_id, 0.0), 3),
        )  # fmt: skip
    for moved in comparison.examples:
        message.examples.add(
            order_no=moved.order_no, product_code=moved.product_code, before_channel_id=moved.before,
            after_channel_id=moved.after, rule_id=moved.rule_id,
            amount=common_pb2.Money(amount_minor=moved.amount_minor, currency_code=moved.currency_code),
        )  # fmt: skip
    message.text = _sentence(message)
    return message


def _sentence(message: routing_pb2.RouteComparison) -> str:
    words = [f"moves {message.moved_count:,.0f} of {message.order_count:,}"]
    for fees in message.fees:
        change = 100 * (fees.after_minor - fees.before_minor) / fees.before_minor if fees.before_minor else 0.0
        words.append(f"fees {change:+.1f} %" if len(message.fees) == 1 else f"fees in {fees.currency_code} {change:+.1f} %")
    words.append(f"expected success {100 * (message.success_after - message.success_before):+.1f} points")
    if lost := message.unrouted_after - message.unrouted_before:
        words.append(f"orders without a route {lost:+,.0f}")
    return ", ".join(words)


# --- the work ---------------------------------------------------------------------------------------------------------


class Workshop:
    """One thing after the other, in slices, with as much time between them for the payments on the same loop."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(1)

    async def check(self, rule_set: RuleSet, desk: Desk, tenant_id: str, decisions: Sequence[Stored]) -> list[Finding]:
        """Check a rule set, also on recent decisions."""
        words = Words(
            tenant_id, frozenset(a.channel_id for a in desk.accounts if a.tenant_id == tenant_id),
            frozenset(desk.tenants[tenant_id].products), _METHODS, _TERMINALS, frozenset(Health), plug_ins.available(),
        )  # fmt: skip
        samples = [_sample(stored) for stored in decisions]
        async with self._turn:
            return await asyncio.to_thread(check, rule_set, words, samples)

    async def compare(
        self, decisions: Sequence[Stored], before: RoutingTable | None, after: RoutingTable, *,
        comparison: Comparison, books: tuple[LimitBook, LimitBook], until_s: float = float("inf"),
    ) -> None:  # fmt: skip
        """Add decisions to a comparison. Without a table `before` they are compared with what was decided."""
        async with self._turn:
            for start in range(0, len(decisions), SLICE):
                if (begin_s := time.monotonic()) > until_s:
                    return
                for stored in decisions[start : start + SLICE]:
                    old = decide_again(stored, before, books[0]) if before else stored.decision
                    comparison.add(stored.facts, old, decide_again(stored, after, books[1]))
                await asyncio.sleep(time.monotonic() - begin_s)


def _sample(stored: Stored) -> Sample:
    facts = stored.facts
    order = {
        "product_code": facts.product_code, "amount_minor": facts.amount_minor, "method": facts.method,
        "terminal": facts.terminal, "source": facts.source, "institution_id": facts.institution_id,
        "tenant_id": facts.tenant_id,
    }  # fmt: skip
    return order, [
        ChannelFacts(c.channel_id, c.fee_minor, c.score, c.state) for c in stored.decision.candidates
    ]


def table_with(desk: Desk, tenant_id: str, rule_set: RuleSet) -> RoutingTable:
    """Return the tenant's table of now with other rules. Raise Refused for rules that cannot be read."""
    table = routing_tables(desk._replace(tenants={tenant_id: desk.tenants[tenant_id]})).get(tenant_id)
    if table is None:
        raise Refused(Refusal(Kind.FORBIDDEN_BY_STATE, "RULES_NOT_READ", "the rules in force cannot be read"))
    return dataclasses.replace(table, rules=compiled(rule_set))
