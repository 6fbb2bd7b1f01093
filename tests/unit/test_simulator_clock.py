"""The virtual clock: time that moves on command, and timers that fire in order."""

import asyncio
import time

import pytest

from simulator.clock import VirtualClock
from tests.unit.sandbox_kit import START_MS, FrozenTime

pytestmark = pytest.mark.asyncio


async def test_timers_fire_in_order_each_at_its_own_time() -> None:
    clock = VirtualClock(real_time_ms=FrozenTime(), after_firing=lambda: None)
    fired: list[tuple[str, int]] = []

    def fire(name: str) -> None:
        fired.append((name, clock.now_ms() - START_MS))
        if name == "b":
            clock.at(clock.now_ms() + 5, fire, "child")

    for name, after_ms in [("c", 30), ("a", 10), ("b", 20), ("b2", 20), ("later", 100)]:
        clock.at(START_MS + after_ms, fire, name)
    assert clock.fire_until(START_MS + 50) == 5
    assert fired == [("a", 10), ("b", 20), ("b2", 20), ("child", 25), ("c", 30)]
    assert clock.due_ms() == START_MS + 100


async def test_time_never_goes_back() -> None:
    frozen = FrozenTime()
    clock = VirtualClock(real_time_ms=frozen, after_firing=lambda: None)
    clock.move_to(START_MS + 1_000)
    clock.move_to(START_MS + 500)
    assert clock.now_ms() == START_MS + 1_000
    frozen.ms -= 10_000
    assert clock.now_ms() == START_MS + 1_000


def _bug() -> None:
    raise LookupError


async def test_timers_fire_by_themselves_and_survive_a_bug() -> None:
    flushed: list[int] = []
    fired: list[int] = []
    complaints: list[object] = []
    clock = VirtualClock(real_time_ms=lambda: time.time_ns() // 1_000_000, after_firing=lambda: flushed.append(1))
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    clock.start()
    clock.at(clock.now_ms() + 60, fired.append, 2)
    clock.at(clock.now_ms() + 30, fired.append, 1)
    clock.at(clock.now_ms() + 10, _bug)
    async with asyncio.timeout(20):
        while len(fired) < 2:
            await asyncio.sleep(0.01)
    clock.stop()
    assert fired == [1, 2]
    assert flushed
    assert len(complaints) == 1
