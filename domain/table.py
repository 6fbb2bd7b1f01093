"""What all state tables share: applying an event, the terminal states, reachability, and the drawing."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple


class Step(NamedTuple):
    """Where an event leads. `changed` is false when the event had happened already."""

    state: Any
    changed: bool


def step(edges: Mapping[tuple[Any, StrEnum], Any], state: Any, event: StrEnum) -> Step | None:
    """Apply `event` to `state`: the next state, or no change for a replay, or None when the table has no such edge."""
    target = edges.get((state, event))
    if target is not None:
        return Step(target, target != state)
    if any(cause is event and reached is state for (_, cause), reached in edges.items()):
        return Step(state, False)
    return None


def terminal(states: Iterable[Any], edges: Mapping[tuple[Any, StrEnum], Any]) -> frozenset[Any]:
    """Return the states that no edge leaves."""
    return frozenset(states) - {source for source, _ in edges}


def unreachable(states: Iterable[Any], edges: Mapping[tuple[Any, StrEnum], Any], start: Any) -> frozenset[Any]:
    """Return the states that no chain of edges reaches from `start`."""
    reached, frontier = {start}, [start]
    while frontier:
        source = frontier.pop()
        for (origin, _), target in edges.items():
            if origin is source and target not in reached:
                reached.add(target)
                frontier.append(target)
    return frozenset(states) - reached


def mermaid(edges: Mapping[tuple[Any, StrEnum], Any], start: Any) -> str:
    """Draw the table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {start}"]
    lines += [f"    {source} --> {target}: {event}" for (source, event), target in edges.items()]
    return "\n".join(lines)
