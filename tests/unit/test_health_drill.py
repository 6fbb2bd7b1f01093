"""The drills of a channel that dies, limps or has poor payers, simulated in steps of 20 ms."""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import pairwise
from random import Random
from typing import NamedTuple

import pytest

from domain.health import ChannelHealth, Health, HealthPolicy, OutcomeClass

IN_USE = {Health.HEALTHY, Health.DEGRADED}
STEP_MS = 20
TIME_OUT_MS = 3_000

# What the channel makes of an order: its class, and after how many milliseconds that is known.
Behaviour = Callable[[int, Random], tuple[OutcomeClass, int]]


class Day(NamedTuple):
    """What happened: changes of state with their times, and when orders went to the channel."""

    changes: list[tuple[int, Health]]
    sent_ms: list[int]
    orders: int

    def first(self, state: Health, after_ms: int = 0) -> int:
        return next(time_ms for time_ms, reached in self.changes if reached is state and time_ms >= after_ms)

    def openings_from_use(self) -> int:
        """Count how often the breaker opened while the channel was in use."""
        states = [Health.HEALTHY, *(state for _, state in self.changes)]
        return sum(a in IN_USE and b is Health.OPEN for a, b in pairwise(states))


def live(
    behaviour: Behaviour,
    *,
    seconds: int,
    seed: int,
    answers_questions: Callable[[int], bool] | None = None,
    per_step: float = 1.0,
) -> Day:
    """Run a channel: each step an order arrives (a share `per_step`), and routers see snapshots half a second old."""
    random, health = Random(seed), ChannelHealth(HealthPolicy(), now_ms=0)
    snapshot, state = health.tick(0, 0.5), Health.HEALTHY
    coming: list[tuple[int, int, OutcomeClass, int]] = []
    day = Day([], [], int(seconds * 1_000 / STEP_MS))
    for number in range(day.orders):
        now_ms = number * STEP_MS
        while coming and coming[0][0] <= now_ms:
            due_ms, _, outcome_class, latency_ms = heappop(coming)
            health.observe(outcome_class, latency_ms, due_ms)
        if answers_questions and health.probe_due(now_ms):
            health.probed(answered=answers_questions(now_ms), now_ms=now_ms)
        wanted = random.random() < per_step and random.random() < snapshot.admit_share
        if wanted and health.admit(now_ms):
            day.sent_ms.append(now_ms)
            health.sent(1, now_ms)
            outcome_class, latency_ms = behaviour(now_ms, random)
            heappush(coming, (now_ms + latency_ms, number, outcome_class, latency_ms))
        if now_ms % 100 == 0:
            latest = health.tick(now_ms, random.random())
            snapshot = latest if now_ms % 500 == 0 else snapshot
        if health.state is not state:
            state = health.state
            day.changes.append((now_ms, state))
    return day


def answer(random: Random) -> tuple[OutcomeClass, int]:
    good = OutcomeClass.SUCCESS if random.random() < 0.97 else OutcomeClass.CHANNEL_FAULT
    return good, int(min(random.lognormvariate(4.8, 0.5), 2_000))


def dead_between(start_ms: int, end_ms: int) -> Behaviour:
    def behave(now_ms: int, random: Random) -> tuple[OutcomeClass, int]:
        return (OutcomeClass.UNKNOWN, TIME_OUT_MS) if start_ms <= now_ms < end_ms else answer(random)

    return behave


DEATH_MS = 60_000


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("outage_ms", [20_000, 60_000, 120_000])
@pytest.mark.parametrize("questions", ["none", "tell the truth", "answered though it is dead"])
def test_dying_channel(seed: int, outage_ms: int, questions: str) -> None:
    healed_ms = DEATH_MS + outage_ms
    asked = {
        "none": None,
        "tell the truth": lambda now_ms: not DEATH_MS <= now_ms < healed_ms,
        "answered though it is dead": lambda _: True,
    }[questions]
    day = live(dead_between(DEATH_MS, healed_ms), seconds=healed_ms // 1_000 + 120, seed=seed, answers_questions=asked)
    assert day.first(Health.OPEN) <= DEATH_MS + TIME_OUT_MS + 5_000
    during = [time_ms for time_ms in day.sent_ms if DEATH_MS + 10_000 <= time_ms < healed_ms]
    assert len(during) < 0.01 * (healed_ms - DEATH_MS - 10_000) / STEP_MS
    assert day.first(Health.DEGRADED, healed_ms) <= healed_ms + 40_000
    assert day.first(Health.HEALTHY, healed_ms) <= healed_ms + 60_000
    last_minute = [time_ms for time_ms in day.sent_ms if time_ms >= healed_ms + 60_000]
    assert len(last_minute) > 0.99 * 60_000 / STEP_MS
    assert day.openings_from_use() == 1


def test_a_day_of_poor_payers_never_opens_it() -> None:
    def behave(_: int, random: Random) -> tuple[OutcomeClass, int]:
        return (OutcomeClass.PAYER_FAULT, 150) if random.random() < 0.6 else answer(random)

    assert live(behave, seconds=900, seed=1).changes == []


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("per_step", [0.02, 0.2, 1.0])
@pytest.mark.parametrize("kind", ["time-outs", "quick faults"])
def test_seven_of_ten_does_not_flap(seed: int, per_step: float, kind: str) -> None:
    fault = (OutcomeClass.UNKNOWN, TIME_OUT_MS) if kind == "time-outs" else (OutcomeClass.CHANNEL_FAULT, 100)

    def behave(_: int, random: Random) -> tuple[OutcomeClass, int]:
        return fault if random.random() < 0.3 else (OutcomeClass.SUCCESS, 150)

    day = live(behave, seconds=600, seed=seed, answers_questions=lambda _: True, per_step=per_step)
    assert day.openings_from_use() <= 1
    assert sum(state is Health.HEALTHY for _, state in day.changes) <= 1


@pytest.mark.parametrize("seed", range(3))
def test_nine_of_ten_lost_opens_it_at_once(seed: int) -> None:
    def behave(now_ms: int, random: Random) -> tuple[OutcomeClass, int]:
        if now_ms >= DEATH_MS and random.random() < 0.9:
            return OutcomeClass.CHANNEL_FAULT, 100
        return OutcomeClass.SUCCESS, 150

    day = live(behave, seconds=90, seed=seed)
    assert DEATH_MS < day.first(Health.OPEN) <= DEATH_MS + 5_000
