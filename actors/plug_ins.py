"""Plug-ins of developers: found by their entry points, made once per process, and never allowed to lose a payment.

What a plug-in does wrong (an error, an answer that is none, taking too long) is its fault and changes nothing for the
order; the decision names it and the router counts it. After FAULTS_MAX faults in a row it is left alone for REST_S.

Each has a thread of its own, so that nobody waits for it longer than PATIENCE_S. One that has not come back after STUCK_S is
switched off for as long as the process lives: a thread can't be taken back from whoever keeps it, and one is enough.
"""

import ctypes
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from importlib.metadata import entry_points
from queue import Empty, SimpleQueue
from typing import NamedTuple

import structlog

from domain.plug_ins import Allow, Answer, Boost, ChannelFacts, Deny, OrderAsked, PlugIn, RoutingRule
from domain.rules import WEIGHT_MAX

log = structlog.get_logger()

GROUP = "paydesk.routing_rules"
# A decision takes a tenth of a millisecond; whoever waits for something is wrong here.
PATIENCE_S = 0.05
# Longer than a machine that is busy with other things keeps a thread from running.
STUCK_S = 10.0
# Importing what a plug-in needs may take a while, and decisions wait for it.
MAKING_S = 2.0
FAULTS_MAX = 5
REST_S = 60.0


class _Enough(BaseException):
    """Ends the thread of a plug-in that was switched off."""


class _Question(NamedTuple):
    facts: OrderAsked
    candidates: Sequence[ChannelFacts]


class _Said(NamedTuple):
    """What came of a question, or of making the plug-in, of which there are no answers. `fault` is "" when all is well."""

    answers: tuple[Answer | None, ...]
    fault: str


class Guarded:
    """A plug-in whose faults are caught and whose time is bounded. One that could not be made fails every time."""

    def __init__(
        self, name: str, make: Callable[[], RoutingRule], *, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self._make = make
        self._clock_s = clock_s
        self._faults_in_a_row = 0
        self._rest_until_s = 0.0
        self._off = ""
        self._turn = threading.Lock()
        self._questions: SimpleQueue[_Question] = SimpleQueue()
        self._said: SimpleQueue[_Said] = SimpleQueue()
        self._busy_since_s: float | None = clock_s()
        self._thread = threading.Thread(target=self._serve, name=f"plug-in {name}", daemon=True)
        self._thread.start()
        self._hear(MAKING_S)

    def __reduce__(self) -> tuple[object, ...]:
        return _loaded, (self.name,)

    @property
    def off(self) -> str:
        """Return why it was switched off, "" while it is not."""
        with self._turn:
            self._is_free()
            return self._off

    def ask(self, facts: OrderAsked, candidates: Sequence[ChannelFacts]) -> tuple[Answer | None, ...]:
        """Judge the candidates of one order; None for each of which it could not."""
        with self._turn:
            if not self._is_free() or self._clock_s() < self._rest_until_s:
                return (None,) * len(candidates)
            self._busy_since_s = self._clock_s()
            self._questions.put(_Question(facts, candidates))
            said = self._hear(PATIENCE_S)
        if said is None:
            self._blame(f"has not answered within {PATIENCE_S} s")
            return (None,) * len(candidates)
        if said.fault:
            self._blame(said.fault)
        else:
            self._faults_in_a_row = 0
        return said.answers

    def _is_free(self) -> bool:
        """Tell whether it can be asked. Switch it off when it has been at one question for too long."""
        if self._busy_since_s is not None and self._hear(0.0) is None and not self._off:
            busy_s = self._clock_s() - self._busy_since_s
            if busy_s > STUCK_S:
                self._off = f"it was still at one question after {busy_s:.0f} s"
                log.error("plug_in_off", plug_in=self.name, reason=self._off)
                # Ends a loop in Python. What waits outside of it keeps its thread, and takes no time of others.
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident or 0), ctypes.py_object(_Enough))
        return self._busy_since_s is None and not self._off

    def _hear(self, patience_s: float) -> _Said | None:
        """Wait for what it says to what it was asked last."""
        try:
            said = self._said.get(timeout=patience_s) if patience_s else self._said.get_nowait()
        except Empty:
            return None
        self._busy_since_s = None
        return said

    def _serve(self) -> None:
        rule: RoutingRule | None = None
        try:
            rule = self._make()
        except (Exception, SystemExit) as error:
            log.error("plug_in_not_loaded", plug_in=self.name, error=repr(error)[:200])
        self._said.put(_Said((), ""))
        with suppress(_Enough):
            while not self._off:
                self._said.put(_judged(rule, *self._questions.get()))

    def _blame(self, fault: str) -> None:
        self._faults_in_a_row += 1
        if self._faults_in_a_row == 1 or self._faults_in_a_row % FAULTS_MAX == 0:
            log.warning("plug_in_fault", plug_in=self.name, fault=fault, in_a_row=self._faults_in_a_row)
        if self._faults_in_a_row % FAULTS_MAX == 0:
            self._rest_until_s = self._clock_s() + REST_S


def _judged(rule: RoutingRule | None, facts: OrderAsked, candidates: Sequence[ChannelFacts]) -> _Said:
    answers, fault = list[Answer | None](), "" if rule is not None else "could not be made"
    for candidate in candidates if rule is not None else ():
        try:
            answer = rule.evaluate(facts, candidate)  # type: ignore[union-attr]
        except (Exception, SystemExit) as error:
            fault = repr(error)[:100]
            answers.append(None)
            continue
        fault = fault if _is_sound(answer) else f"answered {answer!r:.100}"
        answers.append(answer if _is_sound(answer) else None)
    return _Said(tuple(answers) if rule is not None else (None,) * len(candidates), fault)


def _is_sound(answer: object) -> bool:
    if isinstance(answer, Boost):
        return isinstance(answer.factor, int | float) and 0 < answer.factor <= WEIGHT_MAX
    return isinstance(answer, Allow | Deny)


def available() -> frozenset[str]:
    """Return the names of the plug-ins that are installed here."""
    return frozenset(entry_points(group=GROUP).names)


_known: dict[str, Guarded] = {}
_making = threading.Lock()


def load(names: Iterable[str]) -> tuple[PlugIn, ...]:
    """Return plug-ins by name. One that is not here or cannot be made fails at each order, which changes nothing."""
    return tuple(_loaded(name) for name in names)


def switched_off() -> dict[str, str]:
    """Return the plug-ins of this process that were switched off, with the reason."""
    return {name: reason for name, guarded in list(_known.items()) if (reason := guarded.off)}


def _loaded(name: str) -> Guarded:
    def make() -> RoutingRule:
        (entry,) = entry_points(group=GROUP, name=name)
        return entry.load()()  # type: ignore[no-any-return]

    with _making:
        if name not in _known:
            _known[name] = Guarded(name, make)
        return _known[name]
