"""Who may decide, how many have to, and what a proposal's hash tells apart."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.approvals import (
    EDGES,
    Decider,
    Decision,
    Event,
    Policy,
    Said,
    State,
    Tier,
    changed_fields,
    digest,
    objection,
    policy_of,
)
from domain.refusals import Refused

CHECKERS = frozenset({"FINANCE_CHECKER"})
PLAIN = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8),
                     lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
                     max_leaves=8)  # fmt: skip


def decider(principal: str, person: str = "", role: str = "FINANCE_CHECKER") -> Decider:
    return Decider(principal, frozenset({role}), person)


def reason(who: Decider, *said: Said, proposer_being: str = "li") -> str:
    refusal = objection(who, proposer="li", proposer_being=proposer_being, said=said, checkers=CHECKERS, kind="x")
    return refusal.reason if refusal else ""


def test_somebody_else_with_the_role_may_decide() -> None:
    assert reason(decider("wang")) == ""
    assert reason(decider("wang", role="OPS")) == "CHECKER_ROLE_MISSING"


def test_the_proposer_may_not_not_even_as_another_principal() -> None:
    assert reason(decider("li")) == "MAKER_CHECKER"
    assert reason(decider("li-admin", person="p1"), proposer_being="p1") == "MAKER_CHECKER"


def test_each_approver_decides_once_not_even_as_another_principal() -> None:
    told = Said("wang", "p2", Decision.APPROVE)
    assert reason(decider("wang"), told) == "DECIDED_ALREADY"
    assert reason(decider("wang-night", person="p2"), told) == "DECIDED_ALREADY"
    assert reason(decider("zhao", person="p3"), told) == ""


def test_only_what_waits_can_move() -> None:
    assert {source for source, _ in EDGES} == {State.PENDING}
    assert EDGES[State.PENDING, Event.APPROVE] is State.PENDING


TIERS = [{"up_to_minor": 5_000_000, "approvers": 1}, {"up_to_minor": 100_000_000, "approvers": 2}, {"approvers": 3}]


@pytest.mark.parametrize(
    ("amount_minor", "approvers"),
    [(0, 1), (5_000_000, 1), (5_000_001, 2), (100_000_000, 2), (100_000_001, 3), (2**62, 3)],
)
def test_the_more_money_the_more_people(amount_minor: int, approvers: int) -> None:
    policy = policy_of({"acts": {"refunds.request": TIERS, "keys.create": 0}})
    assert policy.needed("refunds.request", amount_minor) == approvers
    assert (policy.needed("keys.create", amount_minor), policy.needed("other", amount_minor)) == (0, 1)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"approvers": 6}, "approvers"), ({"approvers": True}, "approvers"), ({"expire_s": 0}, "expire_s"),
        ({"aprovers": 1}, "aprovers"), ({"acts": []}, "acts"), ({"acts": {"x": []}}, "acts.x"),
        ({"acts": {"x": [{"approvers": 1, "up_to_minor": 5}]}}, "acts.x[0].up_to_minor"),
        ({"acts": {"x": [{"approvers": 1}, {"approvers": 2}]}}, "acts.x[0].up_to_minor"),
        ({"acts": {"x": [TIERS[1], TIERS[0], TIERS[2]]}}, "acts.x[1].up_to_minor"),
        ({"acts": {"x": [{"approvers": -1}]}}, "acts.x[0].approvers"),
        ({"acts": {"x": [{"approvers": 1, "upto": 1}]}}, "acts.x[0].upto"),
    ],
)  # fmt: skip
def test_a_wrong_policy_is_refused_by_its_field(document: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as caught:
        policy_of(document)
    assert field in {violation.field for violation in caught.value.refusal.violations}


@given(st.integers(0, 5), st.lists(st.tuples(st.integers(1, 10**12), st.integers(0, 5)), max_size=5), st.integers(0, 5))
def test_a_policy_survives_being_written_down(approvers: int, tiers: list[tuple[int, int]], last: int) -> None:
    rising = [Tier(*tier) for tier in sorted(dict(tiers).items())]
    policy = Policy(approvers, 3600, {"x": (*rising, Tier(0, last))})
    assert policy_of(policy.document()) == policy


@given(st.dictionaries(st.text(max_size=5), PLAIN, max_size=4), st.dictionaries(st.text(max_size=5), PLAIN, max_size=4))
def test_what_differs_has_another_hash_and_is_named(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (digest(one) == digest(other)) == (not changed_fields(one, other))
    assert digest(one) == digest(dict(reversed(one.items())))
