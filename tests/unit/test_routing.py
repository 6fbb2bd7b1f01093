"""Routing: the numbers of the requirements, every reason for elimination, and what no decision may do."""

import json
import pickle
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import regulars
from domain.health import Health, HealthSnapshot
from domain.regulars import KEEP_MS, Regulars, Visit
from domain.routing import (
    Account,
    Approach,
    Candidate,
    Decision,
    Elimination,
    OrderFacts,
    RoutingTable,
    decide,
    decision_from_record,
    decision_record,
    fee_minor,
    reason_text,
)
from domain.rules import CompiledRules, Effect, Rule, compile_rules
from domain.windows import Window

NOW_MS = 1_500_000_000_000
ORDER = OrderFacts("life", "o-1", "TRAVEL", 10_000, "CNY", "QR", "H5", "OWN")


def account(channel_id: str, **changes: Any) -> Account:
    return Account(f"{channel_id}_1", channel_id, "life", "m-1", frozenset({"QR"}), fee_bps=30)._replace(**changes)


def snapshot(channel_id: str, **changes: Any) -> HealthSnapshot:
    well = HealthSnapshot(
        channel_id, 7, Health.HEALTHY, 97.0, 0.95, 412, 200.0, 0.0, 1.0, 1.0, 0, "", NOW_MS - 400, 0, NOW_MS - 60_000
    )
    return well._replace(**changes)


HALF_OPEN = {"state": Health.HALF_OPEN, "admit_share": 0.02, "probe_budget": 1}
OPEN = {"state": Health.OPEN, "admit_share": 0.0, "reason": "5 faults in a row"}


def rules(*texts: Rule) -> CompiledRules:
    return compile_rules(texts)


def route(
    accounts: tuple[Account, ...],
    snapshots: tuple[HealthSnapshot, ...] = (),
    facts: OrderFacts = ORDER,
    *,
    draw: float = 0.5,
    now_ms: int = NOW_MS,
    exclude: frozenset[str] = frozenset(),
    held: frozenset[str] = frozenset(),
    **table: Any,
) -> Decision:
    return decide(
        facts,
        RoutingTable(accounts, **table),
        {item.channel_id: item for item in snapshots},
        now_ms=now_ms,
        draw=draw,
        exclude=exclude,
        held=held,
    )


def chosen(decision: Decision) -> str:
    return decision.chosen.channel_id if decision.chosen else ""


def why(decision: Decision) -> dict[str, str]:
    return {candidate.channel_id: str(candidate.eliminated_by) for candidate in decision.candidates}


THREE = (account("wx", fee_bps=60), account("ali", fee_bps=55), account("up", fee_bps=20))
RATES = (snapshot("wx", success_rate=0.95), snapshot("ali", success_rate=0.94), snapshot("up", success_rate=0.90))


class TestValue:
    def test_a_high_margin_prefers_success(self) -> None:
        decision = route(THREE, RATES, margin_bps=10_000)
        assert chosen(decision) == "wx"
        shares = [round(candidate.expected_value_minor / 10_000, 4) for candidate in decision.candidates]
        assert shares == [0.9443, 0.9348, 0.8982]

    def test_a_low_margin_prefers_cheapness(self) -> None:
        decision = route(THREE, RATES, margin_bps=500)
        assert chosen(decision) == "up"
        shares = [round(candidate.expected_value_minor / 10_000, 4) for candidate in decision.candidates]
        assert shares == [0.0418, 0.0418, 0.0432]

    @pytest.mark.parametrize(
        ("changes", "amount_minor", "fee"),
        [
            ({"fee_bps": 60}, 680_000, 4_080),
            ({"fee_bps": 60}, 1_800, 11),
            ({"fee_bps": 20, "fee_flat_minor": 100}, 10_000, 120),
            ({"fee_bps": 60, "fee_cap_minor": 2_000}, 680_000, 2_000),
            ({"fee_bps": 0}, 1, 0),
        ],
    )
    def test_fees(self, changes: dict[str, Any], amount_minor: int, fee: int) -> None:
        assert fee_minor(account("wx", **changes), amount_minor, NOW_MS) == fee

    def test_an_unknown_channel_is_expected_to_be_like_most(self) -> None:
        decision = route((account("new"), account("old")), (snapshot("old", success_rate=0.5),))
        assert chosen(decision) == "new"
        assert decision.candidates[0].success_rate == 0.95
        assert decision.snapshot_age_ms == 400
        assert route((account("new"),)).snapshot_age_ms == -1

    def test_equals_are_parted_by_order_alike_each_time(self) -> None:
        accounts = (account("a"), account("b"), account("c"))
        picks = Counter(chosen(route(accounts, facts=ORDER._replace(order_no=f"o{n}"))) for n in range(3_000))
        assert all(850 < picks[name] < 1_150 for name in "abc")
        again = (account("c"), account("b"), account("a"))
        for number in range(50):
            facts = ORDER._replace(order_no=f"o{number}")
            assert chosen(route(accounts, facts=facts)) == chosen(route(again, facts=facts))

    def test_among_equals_the_healthy_one(self) -> None:
        ill = snapshot("a", state=Health.DEGRADED)
        for number in range(20):
            facts = ORDER._replace(order_no=f"o{number}")
            assert chosen(route((account("a"), account("b")), (ill, snapshot("b")), facts)) == "b"


class TestElimination:
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"methods": frozenset({"CARD"})}, Elimination.METHOD_UNSUPPORTED),
            ({"terminals": frozenset({"PC"})}, Elimination.TERMINAL_UNSUPPORTED),
            ({"products": frozenset({"CAR"})}, Elimination.PRODUCT_NOT_BOUND),
            ({"partner_only": frozenset({"P17"})}, Elimination.CHANNEL_NOT_ALLOWED_FOR_SOURCE),
            ({"currency_code": "USD"}, Elimination.CURRENCY_UNSUPPORTED),
            ({"max_amount_minor": 9_999}, Elimination.AMOUNT_OUT_OF_RANGE),
            ({"min_amount_minor": 10_001}, Elimination.AMOUNT_OUT_OF_RANGE),
        ],
    )
    def test_by_contract(self, changes: dict[str, Any], reason: str) -> None:
        decision = route((account("wx", **changes), account("ali")))
        assert chosen(decision) == "ali"
        assert why(decision) == {"wx": reason, "ali": ""}

    def test_limits_are_inclusive(self) -> None:
        assert chosen(route((account("wx", min_amount_minor=10_000, max_amount_minor=10_000),))) == "wx"

    def test_a_partner_channel_never_serves_own_orders(self) -> None:
        accounts = (account("p17", partner_only=frozenset({"P17"})), account("ali"))
        decision = route(accounts, (snapshot("ali", **OPEN),))
        assert decision.chosen is None
        assert decision.chosen_index == -1
        assert chosen(route(accounts, (snapshot("ali", **OPEN),), ORDER._replace(source="P17"))) == "p17"

    def test_other_tenants_are_not_even_named(self) -> None:
        decision = route((account("wx", tenant_id="car"), account("ali")))
        assert list(why(decision)) == ["ali"]

    def test_windows_are_exact(self) -> None:
        window = Window("w", "wx", NOW_MS, NOW_MS + 4 * 3_600_000, "upgrade of the bank")
        for now_ms, reason in [
            (window.start_ms - 1, ""),
            (window.start_ms, "MAINTENANCE_WINDOW"),
            (window.end_ms - 1, "MAINTENANCE_WINDOW"),
            (window.end_ms, ""),
        ]:
            assert why(route((account("wx"),), now_ms=now_ms, windows=(window,))) == {"wx": reason}

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            (OPEN, Elimination.CIRCUIT_OPEN),
            ({"state": Health.FORCED_OPEN, "admit_share": 0.0}, Elimination.FORCED_OPEN),
            ({**HALF_OPEN, "probe_budget": 0}, Elimination.HALF_OPEN_BUDGET),
            ({"state": Health.DEGRADED, "admit_share": 0.0001}, Elimination.RAMP),
        ],
    )
    def test_by_breaker(self, changes: dict[str, Any], reason: str) -> None:
        decision = route((account("wx"), account("ali", fee_bps=99)), (snapshot("wx", **changes),), draw=0.0)
        assert (chosen(decision), why(decision)["wx"]) == ("ali", reason)

    def test_tried_and_held(self) -> None:
        accounts = (account("wx"), account("ali"), account("up", fee_bps=90))
        decision = route(accounts, exclude=frozenset({"wx"}), held=frozenset({"ali"}))
        assert why(decision) == {"wx": "ALREADY_TRIED", "ali": "CHANNEL_HELD", "up": ""}
        assert decision.approach is Approach.FAIL_OVER

    def test_forced_closed_is_used_whatever_its_score(self) -> None:
        decision = route((account("wx"),), (snapshot("wx", state=Health.FORCED_CLOSED, score=3.0, success_rate=0.1),))
        assert chosen(decision) == "wx"

    def test_nobody_at_all(self) -> None:
        assert route(()).chosen is None
        assert reason_text(route(())) == "no account of the tenant can take this order"


class TestShares:
    def test_a_ramp_admits_its_share_by_order(self) -> None:
        accounts, coming = (account("wx"), account("ali", fee_bps=90)), (snapshot("wx", admit_share=0.1),)
        picks = Counter(chosen(route(accounts, coming, ORDER._replace(order_no=f"o{n}"))) for n in range(3_000))
        assert 220 < picks["wx"] < 380

    def test_a_probe_is_drawn_with_its_share(self) -> None:
        accounts, health = (account("wx", fee_bps=90), account("ali")), (snapshot("wx", **HALF_OPEN), snapshot("ali"))
        probe = route(accounts, health, draw=0.019)
        assert (chosen(probe), probe.approach) == ("wx", Approach.EXPLORE)
        rest = route(accounts, health, draw=0.021)
        assert (chosen(rest), rest.approach) == ("ali", Approach.SCORE)
        assert [candidate.propensity for candidate in rest.candidates] == [0.02, 0.98]

    def test_probes_are_small_orders_unless_none_comes(self) -> None:
        accounts, big = (account("wx"), account("ali")), ORDER._replace(amount_minor=10_001)
        soon = snapshot("wx", **HALF_OPEN, state_since_ms=NOW_MS - 2_999)
        assert why(route(accounts, (soon,), big, draw=0.0))["wx"] == "HALF_OPEN_BUDGET"
        assert chosen(route(accounts, (soon._replace(state_since_ms=NOW_MS - 3_000),), big, draw=0.0)) == "wx"

    def test_no_probe_for_a_payer_who_was_refused_once(self) -> None:
        accounts = (account("wx"), account("ali"), account("up"))
        decision = route(accounts, (snapshot("wx", **HALF_OPEN),), draw=0.0, exclude=frozenset({"up"}))
        assert chosen(decision) == "ali"

    def test_better_a_half_open_channel_than_none(self) -> None:
        decision = route((account("wx"),), (snapshot("wx", **HALF_OPEN),), draw=0.9)
        assert (chosen(decision), decision.approach) == ("wx", Approach.FALLBACK)

    def test_the_best_of_the_bad(self) -> None:
        ill = (snapshot("wx", state=Health.DEGRADED, success_rate=0.6), snapshot("ali", state=Health.DEGRADED))
        decision = route((account("wx"), account("ali")), ill)
        assert (chosen(decision), decision.approach) == ("ali", Approach.FALLBACK)

    def test_propensities_are_the_shares_of_all_draws(self) -> None:
        accounts = (*THREE, account("new"))
        snapshots = (*RATES, snapshot("new", **{**HALF_OPEN, "admit_share": 0.1}))
        drawn = [route(accounts, snapshots, draw=(number + 0.5) / 2_000, explore_share=0.04) for number in range(2_000)]
        shares = Counter(chosen(decision) for decision in drawn)
        for candidate in drawn[0].candidates:
            assert shares[candidate.channel_id] / 2_000 == pytest.approx(candidate.propensity, abs=0.001)
        assert sum(decision.approach is Approach.EXPLORE for decision in drawn) / 2_000 == pytest.approx(0.14, abs=0.001)

    def test_exploration_is_off_by_default_and_for_small_orders_only(self) -> None:
        assert route(THREE, RATES, draw=0.0).approach is Approach.SCORE
        explored = route(THREE, RATES, draw=0.0, explore_share=0.04)
        assert (chosen(explored), explored.approach) == ("ali", Approach.EXPLORE)
        assert [round(candidate.propensity, 4) for candidate in explored.candidates] == [0.96, 0.02, 0.02]
        big = ORDER._replace(amount_minor=50_001)
        assert route(THREE, RATES, big, draw=0.0, explore_share=0.04).approach is Approach.SCORE
        batch = ORDER._replace(of_batch=True)
        assert route(THREE, RATES, batch, draw=0.0, explore_share=0.04).approach is Approach.SCORE


class TestRegulars:
    BACK = ORDER._replace(payer_ref="token", kept_account_id="ali_1")

    def test_a_payer_keeps_the_account_also_where_another_came_first(self) -> None:
        decision = route(THREE, RATES, self.BACK, draw=0.0, explore_share=0.04)
        assert (chosen(decision), decision.approach) == ("ali", Approach.STICKY)
        assert [candidate.propensity for candidate in decision.candidates] == [0.0, 1.0, 0.0]

    @pytest.mark.parametrize("ill", [{"state": Health.DEGRADED}, OPEN])
    def test_but_not_one_that_is_ill(self, ill: dict[str, Any]) -> None:
        decision = route(THREE, (RATES[0], snapshot("ali", **ill), RATES[2]), self.BACK)
        assert (chosen(decision), decision.approach) == ("wx", Approach.SCORE)

    def test_nor_one_that_is_denied_nor_where_another_is_forced(self) -> None:
        denied = rules(Rule("no-ali", 1, Effect.DENY, "true", ("ali",)))
        assert chosen(route(THREE, RATES, self.BACK, rules=denied)) == "wx"
        forced = route(THREE, RATES, self.BACK, rules=rules(Rule("up", 1, Effect.FORCE, "true", ("up",))))
        assert (chosen(forced), forced.approach) == ("up", Approach.FORCED)

    def test_who_returns_tries_a_channel_that_comes_back_too(self) -> None:
        health = (snapshot("wx", **HALF_OPEN), *RATES[1:])
        tried = route(THREE, health, self.BACK, draw=0.01)
        assert (chosen(tried), tried.approach) == ("wx", Approach.EXPLORE)
        kept = route(THREE, health, self.BACK, draw=0.03, explore_share=0.04)
        assert (chosen(kept), kept.approach) == ("ali", Approach.STICKY)
        assert [candidate.propensity for candidate in kept.candidates] == [0.02, 0.98, 0.0]

    def test_nor_after_it_has_refused(self) -> None:
        decision = route(THREE, RATES, self.BACK, exclude=frozenset({"ali"}))
        assert (chosen(decision), decision.approach) == ("wx", Approach.FAIL_OVER)

    def test_a_visit_is_kept_for_a_day_by_method_and_the_longest_gone_is_forgotten_first(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(regulars, "REGULARS_MAX", 2)
        known = Regulars()
        known.note([Visit("life", "a", "QR", "wx_1", 0), Visit("life", "b", "QR", "up_1", 0), Visit("life", "", "QR", "up_1", 0)])
        assert known.account_of("life", "a", "QR", now_ms=KEEP_MS - 1) == "wx_1"
        assert known.account_of("life", "a", "QR", now_ms=KEEP_MS) == ""
        assert known.account_of("life", "a", "CARD", now_ms=1) == known.account_of("pnc", "a", "QR", now_ms=1) == ""
        known.note([Visit("life", "a", "QR", "ali_1", 5), Visit("life", "c", "QR", "ali_1", 5)])
        assert [known.account_of("life", payer, "QR", now_ms=6) for payer in "abc"] == ["ali_1", "", "ali_1"]


class TestRules:
    def test_deny(self) -> None:
        denied = rules(Rule("no-wx", 1, Effect.DENY, "order.product_code == 'TRAVEL'", ("wx",)))
        decision = route(THREE, RATES, rules=denied)
        assert (chosen(decision), decision.approach) == ("ali", Approach.RULE)
        assert decision.candidates[0][2:4] == ("RULE_DENIED", "no-wx")

    def test_deny_of_another_changes_nothing(self) -> None:
        decision = route(THREE, RATES, rules=rules(Rule("no-up", 1, Effect.DENY, "true", ("up",))))
        assert (chosen(decision), decision.approach) == ("wx", Approach.SCORE)

    def test_boost(self) -> None:
        decision = route(THREE, RATES, rules=rules(Rule("up", 1, Effect.BOOST, "channel.fee_minor < 50", (), 1.2)))
        assert (chosen(decision), decision.approach) == ("up", Approach.RULE)
        assert "rule up" in reason_text(decision)

    def test_force_but_never_through_an_open_breaker(self) -> None:
        forced = rules(Rule("to-up", 1, Effect.FORCE, "true", ("up",)))
        decision = route(THREE, RATES, rules=forced)
        assert (chosen(decision), decision.approach) == ("up", Approach.FORCED)
        decision = route(THREE, (*RATES[:2], snapshot("up", **OPEN)), rules=forced)
        assert (chosen(decision), why(decision)["up"]) == ("wx", "CIRCUIT_OPEN")

    def test_a_rule_that_fails_is_named(self) -> None:
        decision = route(THREE, RATES, rules=rules(Rule("x", 1, Effect.DENY, "1 / (order.amount_minor - 10000) > 0")))
        assert (chosen(decision), decision.failed_rules) == ("wx", ("x",))
        assert "rules that failed: x" in reason_text(decision)


def test_reason_reads_well() -> None:
    accounts = (account("wx", fee_bps=60), account("ali"), account("up", max_amount_minor=500_000))
    ill = snapshot("ali", **OPEN, state_since_ms=NOW_MS)
    facts = ORDER._replace(amount_minor=680_000)
    text = reason_text(route(accounts, (snapshot("wx", success_rate=0.949), ill), facts))
    assert text == (
        "wx: chosen (SCORE), SR 94.9 % (n=412), fee 40.80; ali: OPEN since 10:40:00 (5 faults in a row); "
        "up: over single limit 5,000.00"
    )
    without = reason_text(route(accounts, (snapshot("wx", success_rate=0.949), ill), facts), costs=False)
    assert without == text.replace(", fee 40.80", "")


def test_a_table_travels() -> None:
    table = RoutingTable(THREE, rules(Rule("r", 1, Effect.DENY, "true", ("wx",))), config_version=3)
    decide(ORDER, table, {}, now_ms=NOW_MS, draw=0.5)
    copy: RoutingTable = pickle.loads(pickle.dumps(table))
    again = decide(ORDER, copy, {}, now_ms=NOW_MS, draw=0.5)
    assert again == decide(ORDER, table, {}, now_ms=NOW_MS, draw=0.5)
    assert again.config_version == 3


NAMES = ("wx", "ali", "up", "bank")
ACCOUNTS = st.lists(
    st.builds(
        account,
        st.sampled_from(NAMES),
        fee_bps=st.integers(0, 300),
        fee_flat_minor=st.integers(0, 500),
        max_amount_minor=st.sampled_from([5_000, 10**12]),
        methods=st.sampled_from([frozenset({"QR"}), frozenset({"CARD"})]),
        partner_only=st.sampled_from([frozenset(), frozenset({"P17"})]),
    ),
    max_size=4,
    unique_by=lambda item: item.channel_id,
).map(tuple)
SNAPSHOTS = st.lists(
    st.one_of(
        st.builds(snapshot, st.sampled_from(NAMES), success_rate=st.floats(0, 1), admit_share=st.floats(0, 1)),
        st.builds(snapshot, st.sampled_from(NAMES), state=st.just(Health.OPEN), admit_share=st.just(0.0)),
        st.builds(
            snapshot,
            st.sampled_from(NAMES),
            state=st.just(Health.HALF_OPEN),
            admit_share=st.floats(0, 1),
            probe_budget=st.integers(0, 5),
        ),
        st.builds(snapshot, st.sampled_from(NAMES), state=st.just(Health.DEGRADED), success_rate=st.floats(0, 1)),
    ),
    max_size=4,
    unique_by=lambda item: item.channel_id,
).map(tuple)
RULES = st.lists(
    st.builds(
        Rule,
        st.uuids().map(str),
        st.integers(0, 9),
        st.sampled_from(Effect),
        st.sampled_from(["true", "order.amount_minor > 9000", "channel.score > 50", "1 / order.amount_minor > 5"]),
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=2).map(tuple),
        st.floats(0.5, 2),
        st.just(0),
        st.just(0),
        st.just("DAY"),
    ).map(lambda rule: rule._replace(limit_bps=3_000) if rule.effect is Effect.LIMIT else rule),
    max_size=4,
).map(compile_rules)


@given(
    ACCOUNTS,
    SNAPSHOTS,
    RULES,
    st.integers(1, 10**12),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from([0.0, 0.05, 1.0]),
    st.frozensets(st.sampled_from(NAMES), max_size=2),
)
@settings(max_examples=300)
def test_any_decision_is_sound(
    accounts: tuple[Account, ...],
    snapshots: tuple[HealthSnapshot, ...],
    compiled: CompiledRules,
    amount_minor: int,
    draw: float,
    explore_share: float,
    exclude: frozenset[str],
) -> None:
    facts = ORDER._replace(amount_minor=amount_minor)
    arguments: dict[str, Any] = {"draw": draw, "rules": compiled, "explore_share": explore_share, "exclude": exclude}
    decision = route(accounts, snapshots, facts, **arguments)
    assert decision == route(accounts, snapshots, facts, **arguments)
    able = [candidate for candidate in decision.candidates if not candidate.eliminated_by]
    assert (decision.chosen is not None) == bool(able)
    assert len(decision.candidates) == len(accounts)
    if decision.chosen is not None:
        winner = decision.candidates[decision.chosen_index]
        assert winner in able
        assert winner.propensity > 0
        assert winner.account_id == decision.chosen.account_id
        assert winner.state not in (Health.OPEN, Health.FORCED_OPEN)
        assert winner.channel_id not in exclude
        assert sum(candidate.propensity for candidate in able) == pytest.approx(1.0)
    assert all(candidate.propensity == 0 for candidate in decision.candidates if candidate.eliminated_by)
    assert_stores(decision, accounts)


def assert_stores(decision: Decision, accounts: tuple[Account, ...]) -> None:
    """The stored form is JSON, says the same up to rounding, and stays the same when stored again."""
    record = json.loads(json.dumps(decision_record(decision)))
    copy = decision_from_record(record, accounts={item.account_id: item for item in accounts})
    assert decision_record(copy) == record
    assert (copy.chosen, copy.approach, copy.failed_rules) == (
        decision.chosen,
        decision.approach,
        decision.failed_rules,
    )
    assert reason_text(copy).count(";") == reason_text(decision).count(";")
    assert [Candidate(*item[:3]) for item in record["k"]] == [Candidate(*item[:3]) for item in decision.candidates]
