"""Rules that developers write: a Python class that judges one candidate of one order.

    class NoBigOrdersAtNight:
        def evaluate(self, facts: OrderAsked, candidate: ChannelFacts) -> Answer:
            return Deny("too big") if facts.amount_minor > 5_000_000 else Allow()

It is named in the entry point group `paydesk.routing_rules`, and speaks where a tenant's rule set switches it on.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class OrderAsked(NamedTuple):
    """What a rule may know of an order."""

    product_code: str
    amount_minor: int
    method: str
    terminal: str
    source: str
    institution_id: str
    tenant_id: str


class ChannelFacts(NamedTuple):
    """What a rule may ask about a channel: `score` is 0 to 100, `state` a word of `domain.health.Health`."""

    channel_id: str
    fee_minor: int
    score: float
    state: str


class Allow(NamedTuple):
    """Nothing against it."""


class Deny(NamedTuple):
    """The channel is out for this order."""

    reason: str


class Boost(NamedTuple):
    """The channel's expected value counts `factor` times."""

    factor: float


Answer = Allow | Deny | Boost


class RoutingRule(Protocol):
    """What a plug-in must offer. It is made once per process, without arguments, and must not wait for anything."""

    def evaluate(self, facts: OrderAsked, candidate: ChannelFacts) -> Answer:
        """Judge one candidate of one order."""
        ...


class PlugIn(Protocol):
    """A plug-in as decisions meet it: its faults are caught and counted, and its time is bounded, outside the domain."""

    @property
    def name(self) -> str:
        """What it is called in its entry point."""
        ...

    def ask(self, facts: OrderAsked, candidates: Sequence[ChannelFacts]) -> Sequence[Answer | None]:
        """Judge the candidates of one order, in their order; None for each of which it could not. Never raises."""
        ...
