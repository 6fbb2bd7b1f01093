"""State tables: everything is reachable, nothing final leads on by accident, and database and drawings agree with them."""

import random
import re
from enum import StrEnum
from typing import Any

import pytest

from domain import approvals, payments, refunds
from domain.evidence import Fault, Outcome
from domain.health import ChannelHealth, Health, HealthPolicy, classify
from domain.table import terminal, unreachable
from protos.paydesk.v1 import approvals_pb2, channels_pb2, payments_pb2
from tests.architecture.sources import ROOT

TABLES: dict[str, Any] = {"payments": payments, "refunds": refunds, "approvals": approvals}
MIGRATIONS = ROOT / "storage" / "migrations" / "versions"
MOVES = re.compile(r"^    (\w+) --> (\w+): ", re.MULTILINE)


@pytest.mark.parametrize("name", TABLES)
def test_every_state_is_reachable(name: str) -> None:
    table = TABLES[name]
    assert unreachable(table.State, table.EDGES, table.START) == frozenset()


@pytest.mark.parametrize("name", TABLES)
def test_every_event_but_the_first_is_used(name: str) -> None:
    table = TABLES[name]
    unused = set(table.Event) - {event for _, event in table.EDGES}
    assert unused <= {payments.Event.SUBMIT}, "SUBMIT is the first row of every history and leads from nowhere"


@pytest.mark.parametrize("name", TABLES)
def test_from_every_state_there_is_a_way_to_an_end(name: str) -> None:
    table = TABLES[name]
    ends = frozenset(getattr(table, "FINAL", table.TERMINAL))
    for state in table.State:
        reached = set(table.State) - unreachable(table.State, table.EDGES, state)
        assert reached & ends, f"{state} never ends"


def test_the_terminal_states_are_these() -> None:
    assert payments.TERMINAL == terminal(payments.State, payments.EDGES) == {payments.State.FUNDS_RETURNED}
    assert {refunds.State.SUCCEEDED, refunds.State.FAILED} == refunds.TERMINAL
    assert set(approvals.State) - {approvals.State.PENDING} == approvals.TERMINAL


def test_a_final_payment_is_left_only_by_money() -> None:
    leaving = {(source, event) for source, event in payments.EDGES if source in payments.FINAL}
    assert leaving == {
        (payments.State.FAILED, payments.Event.CONFIRM),
        (payments.State.CLOSED, payments.Event.CONFIRM),
        (payments.State.SUCCEEDED, payments.Event.RETURN_FUNDS),
    }
    assert payments.NOTICES.keys() == payments.FINAL, "the world is told of every end"


@pytest.mark.parametrize("table", TABLES)
def test_the_database_allows_these_states_alone(table: str) -> None:
    states: type[StrEnum] = TABLES[table].State
    written = "".join(path.read_text() for path in sorted(MIGRATIONS.glob("0*.py")))
    body = written.partition(f"CREATE TABLE {table} (")[2]
    check = re.search(r"\bstate\s+text NOT NULL CHECK \(state IN\s*\((.*?)\)\)", body, re.DOTALL)
    assert check is not None
    assert set(re.findall(r"'(\w+)'", check[1])) == {state.value for state in states}


def test_the_wire_has_every_state() -> None:
    assert {f"STATE_{state}" for state in payments.State} | {"STATE_UNSPECIFIED"} == set(payments_pb2.Payment.State.keys())
    assert {f"STATE_{state}" for state in approvals.State} | {"STATE_UNSPECIFIED"} == set(approvals_pb2.Approval.State.keys())
    shown = set(channels_pb2.ChannelHealth.State.keys())
    assert {f"STATE_{state}" for state in Health} | {"STATE_UNSPECIFIED", "STATE_MAINTENANCE"} == shown


def test_health_moves_as_it_is_drawn() -> None:
    text = (ROOT / "docs" / "states.md").read_text().partition("## A channel's health")[2]
    drawn = {(Health(source), Health(target)) for source, target in MOVES.findall(text)}
    forced = {(source, target) for source in Health for target in (Health.FORCED_OPEN, Health.FORCED_CLOSED)}
    seen = set().union(*(_walk(seed) for seed in range(8)))
    assert seen - forced <= drawn, "draw it in docs/states.md"
    assert drawn - forced <= seen, "it is drawn, and does not happen"


def _walk(seed: int) -> set[tuple[Health, Health]]:
    """Drive a channel's health through good and bad days and operators' hands; return the moves that were seen."""
    chance, now_ms = random.Random(seed), 1_000_000
    health = ChannelHealth(HealthPolicy(), now_ms=now_ms)
    seen: set[tuple[Health, Health]] = set()
    share_good = 1.0
    for number in range(2_500):
        if number % 150 == 0:
            share_good = chance.choice((0.0, 0.55, 0.65, 0.75, 1.0, 1.0))
        before = health.state
        now_ms += chance.choice((50, 200, 400))
        _happen(health, chance, now_ms, share_good)
        seen |= _move(before, health.state)
        before = health.state
        health.tick(now_ms, chance.random())
        seen |= _move(before, health.state)
    return seen


def _happen(health: ChannelHealth, chance: random.Random, now_ms: int, share_good: float) -> None:
    event = chance.random()
    if event < 0.002:
        health.force(chance.choice((Health.FORCED_OPEN, Health.FORCED_CLOSED)), now_ms + 5_000, "operator", now_ms)
    elif event < 0.004:
        health.try_out("a maintenance window has ended", now_ms)
    elif event < 0.006:
        health.unforce("operator", now_ms)
    elif health.admit(now_ms):
        health.sent(1, now_ms)
        good = chance.random() < share_good
        outcome = classify(Outcome.DONE, Fault.NONE) if good else classify(Outcome.MAYBE, Fault.CHANNEL)
        health.observe(outcome, 30.0, now_ms)
    elif health.probe_due(now_ms):
        health.probed(answered=share_good > 0.5, now_ms=now_ms)


def _move(before: Health, after: Health) -> set[tuple[Health, Health]]:
    return {(before, after)} if before is not after else set()
