"""Plug-ins of developers: found by their entry points, made once per process, and never allowed to lose a payment.

What a plug-in does wrong (an error, an answer that is none, taking too long) is its fault and changes nothing for the
order; the decision names it and the router counts it. After FAULTS_MAX faults in a row it is left alone for REST_S.
"""

import time
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import entry_points

import structlog

from domain.plug_ins import Allow, Answer, Boost, ChannelFacts, Deny, OrderAsked, PlugIn, RoutingRule
from domain.rules import WEIGHT_MAX

log = structlog.get_logger()

GROUP = "paydesk.routing_rules"
# A decision takes a tenth of a millisecond; whoever waits for something is wrong here.
PATIENCE_S = 0.05
FAULTS_MAX = 5
REST_S = 60.0


class Guarded:
    """A plug-in whose faults are caught. One that could not be made is asked nothing, and fails every time."""

    def __init__(
        self, name: str, rule: RoutingRule | None, *, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self._rule = rule
        self._clock_s = clock_s
        self._faults_in_a_row = 0
        self._rest_until_s = 0.0

    def __reduce__(self) -> tuple[object, ...]:
        return _loaded, (self.name,)

    def ask(self, facts: OrderAsked, candidate: ChannelFacts) -> Answer | None:
        """Judge one candidate; None when it could not."""
        begin_s = self._clock_s()
        if self._rule is None or begin_s < self._rest_until_s:
            return None
        try:
            answer = self._rule.evaluate(facts, candidate)
            fault = "" if _is_sound(answer) else f"answered {answer!r:.100}"
        except (Exception, SystemExit) as error:
            answer, fault = Allow(), repr(error)[:100]
        taken_s = self._clock_s() - begin_s
        if not fault and taken_s > PATIENCE_S:
            fault = f"took {taken_s:.3f} s"
        if not fault:
            self._faults_in_a_row = 0
            return answer
        self._blame(fault)
        return None

    def _blame(self, fault: str) -> None:
        self._faults_in_a_row += 1
        if self._faults_in_a_row == 1 or self._faults_in_a_row % FAULTS_MAX == 0:
            log.warning("plug_in_fault", plug_in=self.name, fault=fault, in_a_row=self._faults_in_a_row)
        if self._faults_in_a_row % FAULTS_MAX == 0:
            self._rest_until_s = self._clock_s() + REST_S


def _is_sound(answer: object) -> bool:
    if isinstance(answer, Boost):
        return isinstance(answer.factor, int | float) and 0 < answer.factor <= WEIGHT_MAX
    return isinstance(answer, Allow | Deny)


def available() -> frozenset[str]:
    """Return the names of the plug-ins that are installed here."""
    return frozenset(entry_points(group=GROUP).names)


def load(names: Iterable[str]) -> tuple[PlugIn, ...]:
    """Return plug-ins by name. One that is not here or cannot be made fails at each order, which changes nothing."""
    return tuple(_loaded(name) for name in names)


@cache
def _loaded(name: str) -> Guarded:
    try:
        (entry,) = entry_points(group=GROUP, name=name)
        return Guarded(name, entry.load()())
    except (Exception, SystemExit) as error:
        log.error("plug_in_not_loaded", plug_in=name, error=repr(error)[:200])
        return Guarded(name, None)
