"""What is said about a rule set before it meets an order, and that what is said to be impossible is."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.plug_ins import ChannelFacts
from domain.rule_check import Severity, Words, check
from domain.rule_sets import RuleSet, difference, from_record, to_record
from domain.rules import Effect, Rule, compile_rules

WORDS = Words(
    "life", frozenset({"wx", "ali", "up"}), frozenset({"CAR", "TRAVEL"}), frozenset({"ALIPAY", "WECHAT_PAY"}),
    frozenset({"H5", "PC"}), frozenset({"HEALTHY", "DEGRADED", "HALF_OPEN"}), frozenset({"night"}),
)  # fmt: skip


def rule(when: str, rule_id: str = "r1", **changes: Any) -> Rule:
    return Rule(rule_id, int(rule_id[1:]), Effect.DENY, when, ("wx",))._replace(**changes)


def warned(*rules: Rule) -> dict[str, str]:
    return {finding.rule_id: finding.words for finding in check(RuleSet(rules), WORDS)}


@pytest.mark.parametrize(
    "when",
    [
        "false",
        "1 > 2",
        "order.amount_minor < 1",
        "order.amount_minor > 500 && order.amount_minor <= 500",
        "order.amount_minor > 500 && order.amount_minor < 501",
        "order.product_code == 'HOUSE'",
        "order.product_code in ['HOUSE', 'BOAT']",
        "order.method == 'CASH' || order.terminal == 'FAX'",
        "order.source == 'A' && order.source in ['B', 'C']",
        "order.product_code.startsWith('X')",
        "channel.score > 100",
        "channel.state == 'BROKEN' && order.amount_minor > 1",
        "channel.id == 'cash'",
        "order.tenant_id != 'life'",
        "1 / 0 > 0",
    ],
)
def test_a_rule_that_can_never_hold_is_told(when: str) -> None:
    (found,) = check(RuleSet((rule(when),)), WORDS)
    assert (found.severity, found.words) == (Severity.ERROR, "can never hold for an order of this tenant")


@pytest.mark.parametrize(
    "when",
    [
        "true",
        "order.amount_minor > 500 && order.amount_minor < 502",
        "order.amount_minor == 1000000000000",
        "order.source != 'A' && order.source != 'B'",
        "order.source.startsWith('X') && order.source == 'A'",  # cannot be told apart by constants: nothing is said
        "order.method == ''",
        "channel.score == 100 || channel.fee_minor == 0",
        "'x' + order.source == 'xA'",
        "order.amount_minor * 2 < 0",
    ],
)
def test_nothing_is_said_that_is_not_known(when: str) -> None:
    assert warned(rule(when)) == {}


@given(
    st.lists(
        st.sampled_from(
            [
                "order.amount_minor > 10", "order.amount_minor <= 10", "order.amount_minor != 11", "order.source == 'A'",
                "order.source in ['A', 'B']", "order.product_code == 'CAR'", "channel.score >= 50.5", "channel.id != 'wx'",
                "channel.state == 'HEALTHY'", "!(order.method == 'ALIPAY')",
            ]
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 20),
    st.sampled_from(["A", "B", "C", ""]),
    st.sampled_from(["CAR", "TRAVEL"]),
    st.floats(0, 100),
)  # fmt: skip
@settings(max_examples=150)
def test_what_never_holds_holds_for_nobody(
    texts: list[str], amount_minor: int, source: str, product: str, score: float
) -> None:
    wanted = rule(" && ".join(texts), channels=())
    order = {
        "product_code": product, "amount_minor": amount_minor, "method": "WECHAT_PAY", "terminal": "H5",
        "source": source, "institution_id": "", "tenant_id": "life",
    }  # fmt: skip
    held = compile_rules([wanted]).verdict(order, [ChannelFacts("ali", 5, score, "HEALTHY")]).denied
    if held:
        assert warned(wanted) == {}


def test_a_rule_of_which_a_higher_one_leaves_nothing_is_told() -> None:
    broad, narrow = rule("order.amount_minor > 100"), rule("order.amount_minor > 500", "r2")
    assert "r1 held before" in warned(broad, narrow)["r2"]
    assert warned(narrow._replace(rule_id="r1", priority=1), broad._replace(rule_id="r2", priority=2)) == {}
    assert warned(broad, narrow._replace(channels=("ali",))) == {}
    assert warned(broad, narrow._replace(effect=Effect.ALLOW_ONLY)) == {}
    assert "r2" in warned(broad, narrow._replace(effect=Effect.BOOST, weight=2.0))
    force = {"effect": Effect.FORCE, "channels": ("up",)}
    assert "r2" in warned(broad._replace(**force), narrow._replace(**force | {"channels": ("ali",)}))
    only = broad._replace(effect=Effect.ALLOW_ONLY, channels=("up", "ali"))
    assert "r2" in warned(only, narrow)
    assert warned(only, narrow._replace(channels=("up",))) == {}
    assert "r2" in warned(broad, rule("order.amount_minor > 500 && channel.score < 50", "r2"))
    assert warned(rule("order.amount_minor > 100 && channel.score < 50"), narrow) == {}


def test_a_rule_that_met_none_of_the_recent_orders_is_told() -> None:
    order = {"product_code": "CAR", "amount_minor": 50, "method": "", "terminal": "", "source": "",
             "institution_id": "", "tenant_id": "life"}  # fmt: skip
    samples = [(order, [ChannelFacts("wx", 5, 90.0, "HEALTHY")])] * 150
    rules = RuleSet((rule("order.amount_minor > 100"), rule("channel.score > 80", "r2"), rule("channel.score < 80", "r3")))
    told = {finding.rule_id: finding.words for finding in check(rules, WORDS, samples)}
    assert told == dict.fromkeys(("r1", "r3"), "held for none of the last 150 orders")
    assert check(rules, WORDS, samples[:50]) == []


def test_faults_have_their_place_and_unknown_names_are_faults() -> None:
    rules = RuleSet((rule("true &&\n  payer.age > 3"), rule("true", "r2", channels=("cash",))), ("night", "day"))
    found = {(finding.rule_id, finding.field): finding for finding in check(rules, WORDS)}
    assert {finding.severity for finding in found.values()} == {Severity.ERROR}
    assert found["r1", "when"][3:5] == (2, 3)
    assert "unknown channel 'cash'; known are ali, up, wx" in found["r2", "channels"].words
    assert "unknown plug-in 'day'" in found["", "plug_ins"].words


@pytest.mark.parametrize(("when", "place", "words"), [
    ("order.method == 'QR' &&\n  (order.source == 'a' || order.amount_minor + 'x' == 3)", (2, 27), "No such overload"),
    ("order.amount_minor > 1 || order.amount_minor == '5000'", (1, 27), "compares a number with a text"),
    ("true || order.source", (1, 9), "must be true or false, is str"),
])  # fmt: skip
def test_what_no_sample_comes_to_is_checked_too(when: str, place: tuple[int, int], words: str) -> None:
    compile_rules([rule(when)])  # rules in force stay in force
    (found,) = check(RuleSet((rule(when),)), WORDS)
    assert (found.severity, found.line, found.column) == (Severity.ERROR, *place) and found.words.startswith(words)


def test_two_hundred_rules_are_checked_within_a_moment() -> None:
    rules = [rule(f"order.amount_minor > {n} && order.source == 'S{n % 40}'", f"r{n}") for n in range(1, 201)]
    found = check(RuleSet(tuple(rules)), WORDS)
    assert {finding.rule_id for finding in found} == {f"r{n}" for n in range(41, 201)}


def test_a_rule_set_travels_as_plain_values_and_its_changes_are_told() -> None:
    one = RuleSet((rule("true"), rule("false", "r2")), ("night",))
    assert from_record(to_record(one)) == one
    other = RuleSet((rule("true", effect=Effect.LIMIT, limit_bps=3_000), rule("false", "r2")))
    assert difference(one, other) == [
        "- r1 (priority 1): when true DENY wx", "+ r1 (priority 1): when true LIMIT wx 30 % of the orders per day",
        "- plug-in night",
    ]  # fmt: skip
    assert difference(one, one) == []
