"""State tables in general: steps, replays, terminal and unreachable states, the drawing."""

from enum import StrEnum

import pytest

from domain import payments, refunds
from domain.table import Step, mermaid, step, terminal, unreachable


class Light(StrEnum):
    RED = "RED"
    GREEN = "GREEN"
    BROKEN = "BROKEN"
    STOLEN = "STOLEN"


class Event(StrEnum):
    GO = "GO"
    BREAK = "BREAK"


EDGES: dict[tuple[Light, StrEnum], Light] = {
    (Light.RED, Event.GO): Light.GREEN,
    (Light.RED, Event.BREAK): Light.BROKEN,
    (Light.GREEN, Event.BREAK): Light.BROKEN,
}


def test_a_step_follows_the_edge() -> None:
    assert step(EDGES, Light.RED, Event.GO) == Step(Light.GREEN, True)


def test_a_replay_is_no_change() -> None:
    assert step(EDGES, Light.GREEN, Event.GO) == Step(Light.GREEN, False)
    assert step(EDGES, Light.BROKEN, Event.BREAK) == Step(Light.BROKEN, False)


def test_what_the_table_does_not_know_is_no_step() -> None:
    assert step(EDGES, Light.BROKEN, Event.GO) is None


def test_terminal_and_unreachable_states_are_derived() -> None:
    assert terminal(Light, EDGES) == {Light.BROKEN, Light.STOLEN}
    assert unreachable(Light, EDGES, Light.RED) == {Light.STOLEN}


def test_the_drawing_has_a_line_per_edge() -> None:
    drawing = mermaid(EDGES, Light.RED).splitlines()
    assert drawing[:2] == ["stateDiagram-v2", "    [*] --> RED"]
    assert "    RED --> GREEN: GO" in drawing
    assert len(drawing) == 2 + len(EDGES)


@pytest.mark.parametrize("life", [payments, refunds], ids=["payments", "refunds"])
class TestEveryTableOfTheProduct:
    def test_every_state_is_reachable(self, life) -> None:  # type: ignore[no-untyped-def]
        assert unreachable(life.State, life.EDGES, life.START) == frozenset()

    def test_every_event_but_the_first_has_an_edge(self, life) -> None:  # type: ignore[no-untyped-def]
        firsts = {payments.Event.SUBMIT} if life is payments else set()
        assert {event for _, event in life.EDGES} == set(life.Event) - firsts

    def test_terminal_states_are_derived(self, life) -> None:  # type: ignore[no-untyped-def]
        expected = {payments: {"FUNDS_RETURNED"}, refunds: {"SUCCEEDED", "FAILED"}}[life]
        assert expected == life.TERMINAL

    def test_every_state_but_the_terminal_leads_to_a_terminal_one(self, life) -> None:  # type: ignore[no-untyped-def]
        for state in set(life.State) - life.TERMINAL:
            assert life.TERMINAL - unreachable(life.State, life.EDGES, state), f"nothing ends from {state}"
