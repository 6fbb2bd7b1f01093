"""Routing rules: what is refused before it can meet a payment, and what rules do."""

import pickle
from collections.abc import Sequence
from time import thread_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.conditions import CHANNEL_FIELDS, ORDER_FIELDS, TEXT_LENGTH_MAX
from domain.limits import LimitBook
from domain.plug_ins import Allow, Answer, Boost, ChannelFacts, Deny, OrderAsked
from domain.refusals import Kind, Refusal, Refused
from domain.rules import (
    RULES_MAX,
    CompiledRules,
    Effect,
    Limit,
    Rule,
    Verdict,
    compile_rules,
)

ORDER = {
    "product_code": "TRAVEL",
    "amount_minor": 1_800,
    "method": "WECHAT",
    "terminal": "H5",
    "source": "P17",
    "institution_id": "B1",
    "tenant_id": "life",
}
CHANNELS = (ChannelFacts("wx", 11, 95.0, "HEALTHY"), ChannelFacts("ali", 10, 70.5, "DEGRADED"))


def rule(when: str, effect: Effect = Effect.DENY, channels: tuple[str, ...] = (), **changes: Any) -> Rule:
    return Rule("r1", 1, effect, when, channels)._replace(**changes)


def refusal_of(*rules: Rule) -> Refusal:
    with pytest.raises(Refused) as caught:
        compile_rules(rules)
    assert caught.value.refusal.kind is Kind.INVALID
    return caught.value.refusal


def verdict(*rules: Rule) -> Verdict:
    return compile_rules(rules).verdict(ORDER, CHANNELS)


class TestCompile:
    @pytest.mark.parametrize(
        ("when", "words"),
        [
            ("order.amount_minor >", "line 1, column 21: Syntax error"),
            ("(", "Syntax error"),
            ("", "Syntax error"),
            ("order.colour == 'red'", "line 1, column 1: unknown name order.colour"),
            ("true &&\n  payer.name == 'x'", "line 2, column 3: unknown name payer.name"),
            ("order == order", "unknown name order"),
            ("order['method'] == 'x'", "unknown name order"),
            ("foo(order.method)", "unknown name foo"),
            ("order.method.matches('(a+)+')", "unknown name order.method.matches"),
            ("'a'.matches('a')", "unknown function matches"),
            ("[1, 2].all(order, true)", "unknown function all"),
            ("[1].map(x, x) == [1]", "unknown function map"),
            ("order.method == '''x'''", "single quotes"),
            ("r'\\' == order.method", "unknown name r"),
            ("order.amount_minor + 1", "must be true or false, is int"),
            ("order.amount_minor < 'x'", "No such overload"),
            ("true // " + "x" * TEXT_LENGTH_MAX, "at most 4000 characters"),
            ("order.amount_minor > 99999999999999999999", "invalid int literal"),
            ("(" * 1_900 + "true" + ")" * 1_900, ""),
        ],
    )
    def test_a_bad_text_is_refused_with_rule_and_place(self, when: str, words: str) -> None:
        violation = refusal_of(rule(when)).violations[0]
        assert violation.field == "rules[r1].when"
        assert words in violation.rule
        assert len(violation.rule) < 400

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"weight": 0.0}, "weight"),
            ({"weight": float("nan")}, "weight"),
            ({"weight": 1e9}, "weight"),
            ({"effect": Effect.FORCE}, "channels"),
            ({"effect": Effect.ALLOW_ONLY}, "channels"),
            ({"effect": "MAYBE"}, "effect"),
            ({"rule_id": ""}, "rule_id"),
        ],
    )
    def test_other_fields(self, changes: dict[str, Any], field: str) -> None:
        assert refusal_of(rule("true", **changes)).violations[0].field.endswith(field)

    def test_all_faults_at_once_and_no_doubles(self) -> None:
        assert len(refusal_of(rule("("), rule(")", rule_id="r2")).violations) == 2
        assert refusal_of(rule("true"), rule("true")).violations[0].field == "rules[r1].rule_id"
        many = [rule("true", rule_id=f"r{number}") for number in range(RULES_MAX + 1)]
        assert refusal_of(*many).violations[0].field == "rules"

    @pytest.mark.parametrize(
        "when",
        [
            "true",
            "order.amount_minor >= 0x10 && order.amount_minor < 1000000 // small",
            "order.product_code in ['TRAVEL', \"it's\"] || !(order.method == 'order.colour')",
            "order.source.startsWith('P') ? channel.score > 80 : channel.score > 80.5",
            "size(order.tenant_id) > 0 && double(order.amount_minor) * 0.5 > 1.0",
            "100 / (order.amount_minor - 1000) > 0",
            "channel.id == 'wx' && channel.state == 'HEALTHY' && channel.fee_minor < 40",
            "order . method == '中文'",
        ],
    )
    def test_good_texts(self, when: str) -> None:
        assert len(compile_rules([rule(when)]).rules) == 1

    @given(st.text(alphabet="order.channelmtsizx_()[]'\"\\/&|!=<>+-*%?: \n0123,{}r", max_size=60))
    @settings(max_examples=400)
    def test_any_text_compiles_or_is_refused(self, when: str) -> None:
        try:
            compiled = compile_rules([rule(when)])
        except Refused:
            return
        compiled.verdict(ORDER, CHANNELS)

    def test_the_longest_texts_end_soon(self) -> None:
        text = " || ".join(["order.amount_minor > 1"] * 150)
        compiled = compile_rules([rule(text)])
        start_s = thread_time()
        compiled.verdict(ORDER, CHANNELS)
        assert thread_time() - start_s < 0.05

    def test_travels_as_text(self) -> None:
        compiled = compile_rules([rule("order.amount_minor > 1")])
        copy: CompiledRules = pickle.loads(pickle.dumps(compiled))
        assert copy.rules == compiled.rules
        assert copy.verdict(ORDER, CHANNELS) == compiled.verdict(ORDER, CHANNELS)

    def test_every_field_can_be_asked(self) -> None:
        for owner, fields in (("order", ORDER_FIELDS), ("channel", CHANNEL_FIELDS)):
            for name in fields:
                assert compile_rules([rule(f"{owner}.{name} == {owner}.{name}")]).rules
        assert ORDER.keys() == ORDER_FIELDS.keys()


class TestVerdict:
    def test_deny_names_its_rule(self) -> None:
        assert verdict(rule("order.source == 'P17'", channels=("wx",))).denied == {"wx": "r1"}
        assert verdict(rule("order.source == 'P18'", channels=("wx",))).denied == {}
        assert verdict(rule("channel.score < 80.0")).denied == {"ali": "r1"}

    def test_without_channels_it_concerns_all(self) -> None:
        assert verdict(rule("true")).denied == {"wx": "r1", "ali": "r1"}

    def test_allow_only_denies_the_others(self) -> None:
        assert verdict(rule("true", Effect.ALLOW_ONLY, ("ali",))).denied == {"wx": "r1"}

    def test_boosts_multiply(self) -> None:
        boost = rule("true", Effect.BOOST, ("wx",), weight=2.0)
        assert verdict(boost, boost._replace(rule_id="r2", weight=1.5)).boosts == {"wx": (3.0, "r1")}

    def test_the_first_force_wins(self) -> None:
        late = rule("true", Effect.FORCE, ("wx",), rule_id="a", priority=9)
        soon = rule("true", Effect.FORCE, ("ali",), rule_id="b", priority=1)
        assert verdict(late, soon)[2:4] == (frozenset({"ali"}), "b")

    def test_a_rule_that_fails_changes_nothing_and_is_named(self) -> None:
        broken = rule("100 / (order.amount_minor - 1800) > 0", rule_id="broken")
        result = verdict(broken, rule("true", channels=("ali",)))
        assert (result.failed, result.denied) == (("broken",), {"ali": "r1"})

    def test_overflow_fails_alone(self) -> None:
        assert verdict(rule("order.amount_minor * 9000000000000000000 > 1")).failed == ("r1",)

    @pytest.mark.parametrize(
        ("when", "denied"),
        [
            ("order.method == 'WECHAT' && channel.id == 'wx'", {"wx"}),
            ("channel.id == 'wx' && order.method == 'CARD'", set()),
            ("order.method == 'CARD' && channel.id == 'wx' || channel.id == 'ali'", {"ali"}),
            ("(order.method == 'CARD' || true) && (channel.id == 'wx' && true)", {"wx"}),
            ("order.method == 'CARD' ? true && true : channel.id == 'ali' && true", {"ali"}),
            ("true // a && b\n && channel.id == 'wx' // c && d", {"wx"}),
            ("order.source != '&& channel.id' && channel.id != '&& ('", {"wx", "ali"}),
        ],
    )
    def test_parts_of_a_condition_hold_together(self, when: str, denied: set[str]) -> None:
        assert verdict(rule(when)).denied.keys() == denied


TEXTS = (
    "order.amount_minor > 1000",
    "5000 >= order.amount_minor && order.method in ['WECHAT', 'ALIPAY']",
    "order.amount_minor < 1000 || order.source.startsWith('P')",
    "order.amount_minor * 2 > 3000",
    "order.amount_minor == 1000 ? order.method == 'WECHAT' : order.amount_minor != 2000",
    "channel.score > 80.5 && order.amount_minor != 999",
    "channel.fee_minor < 10 || channel.score <= 80 && order.amount_minor < 2500",
    "order.amount_minor in [999, 1001]",
    "10 / (order.amount_minor - 1000) > 0",
    "order.product_code == 'CAR'",
)


@given(
    st.lists(st.sampled_from(TEXTS), max_size=6, unique=True),
    st.lists(
        st.tuples(
            st.sampled_from([1, 500, 999, 1000, 1001, 1500, 2000, 2499, 2500, 4999, 5000, 5001]),
            st.sampled_from(["WECHAT", "ALIPAY", "CARD"]),
            st.sampled_from(["OWN", "P17"]),
            st.sampled_from(["CAR", "TRAVEL"]),
        ),
        min_size=1,
        max_size=12,
    ),
)
@settings(max_examples=150)
def test_what_is_remembered_is_what_each_order_would_get_alone(
    texts: list[str], orders: list[tuple[int, str, str, str]]
) -> None:
    rules = [rule(text, rule_id=f"r{place}") for place, text in enumerate(texts)]
    together = compile_rules(rules)
    for amount_minor, method, source, product in orders:
        order = {**ORDER, "amount_minor": amount_minor, "method": method, "source": source, "product_code": product}
        assert together.verdict(order, CHANNELS) == compile_rules(rules).verdict(order, CHANNELS)


def test_many_rules_cost_little_more_than_those_that_concern_an_order() -> None:
    def measured_s(count: int) -> float:
        rules = [
            rule(f"order.product_code == 'P{n}' && order.amount_minor > {n}00", rule_id=f"r{n}") for n in range(count)
        ]
        compiled = compile_rules(rules)
        orders = [{**ORDER, "amount_minor": 10 + n} for n in range(3_000)]
        for order in orders[:500]:
            compiled.verdict(order, CHANNELS)
        start_s = thread_time()
        for order in orders:
            compiled.verdict(order, CHANNELS)
        return thread_time() - start_s

    assert min(measured_s(200) for _ in range(3)) < 8 * min(measured_s(10) for _ in range(3))


class TestLimits:
    LIMIT = Rule("cap", 1, Effect.LIMIT, "order.product_code == 'TRAVEL'", ("wx",), limit_bps=3_000)
    NOON_MS = 1_499_486_400_000  # 2017-07-08 12:00 in China

    def test_a_share_holds_at_every_moment(self) -> None:
        book, sent = LimitBook(), 0
        limits = verdict(self.LIMIT).limits
        for count in range(1, 1_001):
            full = book.is_full("life", self.LIMIT, 1_800, self.NOON_MS + count)
            book.note("life", limits, "ali" if full else "wx", 1_800, self.NOON_MS + count)
            sent += not full
            assert sent <= 0.3 * count
        assert sent == 300

    def test_an_amount_a_day_begins_anew_at_midnight_in_china(self) -> None:
        cap = self.LIMIT._replace(limit_bps=0, limit_minor=10_000_000)
        book = LimitBook()
        book.note("life", (Limit(cap, frozenset({"wx"})),), "wx", 9_999_000, self.NOON_MS)
        assert not book.is_full("life", cap, 1_000, self.NOON_MS)
        assert book.is_full("life", cap, 1_001, self.NOON_MS)
        midnight_ms = self.NOON_MS + 12 * 3_600_000
        assert book.is_full("life", cap, 1_001, midnight_ms - 1)
        assert not book.is_full("life", cap, 1_001, midnight_ms)
        assert not book.is_full("health", cap, 1_001, self.NOON_MS)

    def test_many_rules_that_came_and_went_do_not_lift_the_limits_in_force(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("domain.limits.COUNTS_MAX", 10)
        cap = self.LIMIT._replace(limit_bps=0, limit_minor=1_800)
        book, wx = LimitBook(), frozenset({"wx"})
        for number in range(30):
            book.note("life", [Limit(self.LIMIT._replace(rule_id=f"gone {number}"), wx)], "ali", 1, self.NOON_MS)
            if number % 9 == 0:  # now and then, the cap is counted too
                book.note("life", [Limit(cap, wx)], "ali" if number else "wx", 1_800, self.NOON_MS)
        assert book.is_full("life", cap, 1, self.NOON_MS)
        assert len(book.dirty()) == 10

    def test_what_was_not_sent_is_taken_back_and_what_was_stored_is_read(self) -> None:
        book, limits = LimitBook(), verdict(self.LIMIT).limits
        for _ in range(2):
            book.note("life", limits, "wx", 1_800, self.NOON_MS)
        book.note("life", limits, "wx", 1_800, self.NOON_MS, times=-1)
        (use,) = book.dirty()
        assert (use.order_count, use.sent_count, use.sent_minor) == (1, 1, 1_800)
        assert book.dirty() == [use], "what could not be stored is tried again"
        book.stored([use._replace(order_count=0)])
        assert book.dirty() == [use], "what was counted meanwhile is not stored yet"
        book.stored([use])
        assert not book.dirty()
        again = LimitBook()
        again.load([use])
        again.note("life", limits, "ali", 1_800, self.NOON_MS)
        assert again.dirty()[0][3:] == (2, 1, 1_800)

    @pytest.mark.parametrize(
        "changes",
        [
            {"limit_bps": 0}, {"limit_bps": 10_000}, {"limit_minor": -1}, {"limit_per": "WEEK"}, {"channels": ()},
            {"effect": Effect.DENY},
        ],
    )  # fmt: skip
    def test_a_limit_that_limits_nothing_is_refused(self, changes: dict[str, Any]) -> None:
        assert refusal_of(self.LIMIT._replace(**changes)).violations


class _Says:
    name = "says"

    def __init__(self, *answers: Answer | None) -> None:
        self.answers = dict(zip(("wx", "ali"), answers, strict=True))

    def ask(self, facts: OrderAsked, candidates: Sequence[ChannelFacts]) -> list[Answer | None]:
        assert facts.amount_minor == 1_800
        return [self.answers[candidate.channel_id] for candidate in candidates]


class TestPlugIns:
    def test_it_denies_and_boosts_what_the_rules_left(self) -> None:
        boost = rule("true", Effect.BOOST, ("ali",), weight=2.0)
        found = compile_rules([boost], [_Says(Deny("no"), Boost(3.0))]).verdict(ORDER, CHANNELS)
        assert (found.denied, found.boosts) == ({"wx": "plug-in says"}, {"ali": (6.0, "plug-in says")})

    def test_one_that_fails_changes_nothing_and_is_named(self) -> None:
        found = compile_rules([], [_Says(None, Allow())]).verdict(ORDER, CHANNELS)
        assert (found.denied, found.failed) == ({}, ("plug-in says",))
