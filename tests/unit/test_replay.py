"""Stored decisions made once more: the same under the same table, and what moves under another."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.health import Health, HealthSnapshot
from domain.limits import LimitBook
from domain.replay import Comparison, Stored, decide_again
from domain.routing import Account, OrderFacts, RoutingTable, decide, decision_from_record, decision_record
from domain.rules import Effect, Rule, compile_rules
from domain.windows import Window

NOW_MS = 1_500_000_000_000
NAMES = ("wx", "ali", "up")


def account(channel_id: str, fee_bps: int = 30) -> Account:
    return Account(f"{channel_id}_1", channel_id, "life", "m-1", frozenset({"QR"}), fee_bps=fee_bps)


def snapshot(
    channel_id: str, state: Health = Health.HEALTHY, rate: float = 0.95, share: float = 1.0, budget: int = 0
) -> HealthSnapshot:
    return HealthSnapshot(
        channel_id, 7, state, 97.0, rate, 412, 200.0, 0.0, 1.0, share, budget, "", NOW_MS - 400, 0, NOW_MS - 60_000
    )


SNAPSHOTS = st.tuples(
    *[
        st.one_of(
            st.builds(snapshot, st.just(name), rate=st.sampled_from([0.5, 0.8, 0.9])),
            st.builds(snapshot, st.just(name), st.just(Health.DEGRADED), share=st.sampled_from([0.1, 0.5, 1.0])),
            st.builds(snapshot, st.just(name), st.just(Health.OPEN), share=st.just(0.0)),
            st.builds(
                snapshot, st.just(name), st.just(Health.HALF_OPEN), share=st.just(0.25), budget=st.integers(0, 1)
            ),
        )
        for name in NAMES
    ]
)
TABLES = st.builds(
    RoutingTable,
    st.tuples(*[st.builds(account, st.just(name), st.sampled_from([20, 60, 200])) for name in NAMES]),
    st.sampled_from(
        [
            compile_rules([]),
            compile_rules([Rule("no", 1, Effect.DENY, "order.amount_minor > 5000", ("wx",))]),
            compile_rules([Rule("up", 1, Effect.FORCE, "channel.state != 'DEGRADED'", ("up",))]),
        ]
    ),
    st.sampled_from([(), (Window("w", "ali", NOW_MS - 1, NOW_MS + 1, "upgrade"),)]),
    margin_bps=st.sampled_from([500, 10_000]),
    explore_share=st.sampled_from([0.0, 0.05]),
)


@given(TABLES, SNAPSHOTS, st.integers(1, 9_000), st.sampled_from([frozenset(), frozenset({"wx"})]), st.floats(0, 0.999))
@settings(max_examples=200)
def test_under_the_same_table_a_decision_is_the_same(
    table: RoutingTable, snapshots: tuple[HealthSnapshot, ...], amount_minor: int, tried: frozenset[str], draw: float
) -> None:
    facts = OrderFacts("life", "o-1", "CAR", amount_minor, "CNY", "QR")
    known = {item.channel_id: item for item in snapshots}
    made = decide(facts, table, known, now_ms=NOW_MS, draw=draw, exclude=tried)
    record = json.loads(json.dumps(decision_record(made)))
    then = Stored(facts, decision_from_record(record, accounts={}), NOW_MS)
    again = decide_again(then, table, LimitBook())
    comparison = Comparison()
    comparison.add(facts, then.decision, again)
    assert comparison.moved < 0.01, (made, again)
    assert {c.channel_id for c in again.candidates if not c.eliminated_by} == {
        c.channel_id for c in made.candidates if not c.eliminated_by
    }


def stored(count: int, table: RoutingTable) -> list[Stored]:
    known = {name: snapshot(name, rate=rate) for name, rate in zip(NAMES, (0.95, 0.94, 0.5), strict=True)}
    made = []
    for number in range(count):
        facts = OrderFacts("life", f"o-{number}", ("CAR", "TRAVEL")[number % 2], 10_000, "CNY", "QR")
        made.append(Stored(facts, decide(facts, table, known, now_ms=NOW_MS + number, draw=0.5), NOW_MS + number))
    return made


def compared(before: RoutingTable, after: RoutingTable, count: int = 1_000) -> Comparison:
    comparison, books = Comparison(), (LimitBook(), LimitBook())
    for item in stored(count, before):
        comparison.add(item.facts, decide_again(item, before, books[0]), decide_again(item, after, books[1]))
    return comparison


TABLE = RoutingTable((account("wx", 60), account("ali", 20), account("up", 10)))


def with_rules(*rules: Rule) -> RoutingTable:
    return RoutingTable(TABLE.accounts, compile_rules(rules))


def test_what_a_rule_moves_is_counted_with_fees_success_and_examples() -> None:
    found = compared(TABLE, with_rules(Rule("cars", 1, Effect.DENY, "order.product_code == 'CAR'", ("wx",))))
    assert (found.order_count, found.moved) == (1_000, 500)
    assert (found.moved_out, found.moved_in) == ({"wx": 500}, {"ali": 500})
    assert found.fees == {"CNY": (60_000, 40_000)}
    assert round(found.success_before - found.success_after, 6) == 5
    assert found.examples[0][:2] == ("o-0", "CAR")
    assert found.examples[0][4:] == ("wx", "ali", "cars")
    assert len(found.examples) == 10


def test_a_limit_is_counted_over_the_orders_in_their_order() -> None:
    found = compared(TABLE, with_rules(Rule("cap", 1, Effect.LIMIT, "true", ("wx",), limit_bps=3_000)))
    assert found.channels["wx"] == (1_000, 300)


def test_orders_that_lose_their_route_are_told() -> None:
    found = compared(TABLE, with_rules(Rule("none", 1, Effect.DENY, "order.product_code == 'CAR'")), count=10)
    assert (found.unrouted_before, found.unrouted_after, found.moved) == (0, 5, 5)
    assert found.examples[0][4:] == ("wx", "", "none")
