"""Virtual time: real time plus an offset that only grows, and timers that fire in order of their time."""

import asyncio
import heapq
from collections.abc import Callable
from typing import Any

# Waits beyond an hour are split, because an event loop does not take any number.
ALARM_S_MAX = 3_600.0
# A frozen real clock must not make the alarm spin.
ALARM_S_MIN = 0.001


class VirtualClock:
    """Tells the time and calls timers. `after_firing` runs after timers fired by themselves, to write what they did."""

    def __init__(self, *, real_time_ms: Callable[[], int], after_firing: Callable[[], None]) -> None:
        self._real_time_ms = real_time_ms
        self._after_firing = after_firing
        self._timers: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at_ms = 0
        self._floor_ms = 0
        self._running = False
        self.offset_ms = 0

    def start(self) -> None:
        """Let timers fire by themselves from now on; needs a running event loop."""
        self._running = True
        self._arm()

    def stop(self) -> None:
        """Let no timer fire by itself any more."""
        self._running = False
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def now_ms(self) -> int:
        """Return the virtual time in Unix milliseconds; it never goes back."""
        now_ms = self._real_time_ms() + self.offset_ms
        self._floor_ms = max(self._floor_ms, now_ms)
        return self._floor_ms

    def at(self, due_ms: int, action: Callable[..., None], *arguments: Any) -> None:
        """Call `action(*arguments)` at a virtual time; of equal times, the first one set is the first one called."""
        self._sequence += 1
        heapq.heappush(self._timers, (due_ms, self._sequence, action, arguments))
        if self._running and (self._alarm is None or due_ms < self._alarm_at_ms):
            self._arm()

    def due_ms(self) -> int | None:
        """Return the time of the next timer."""
        return self._timers[0][0] if self._timers else None

    def fire_until(self, until_ms: int) -> int:
        """Fire all timers due at or before a time, each at its own time, moving the clock along; return their number."""
        count = 0
        while self._timers and self._timers[0][0] <= until_ms:
            due_ms, _, action, arguments = heapq.heappop(self._timers)
            self.move_to(due_ms)
            count += 1
            action(*arguments)
        return count

    def move_to(self, target_ms: int) -> None:
        """Move the clock forward to a time; do nothing if it is later already."""
        ahead_ms = target_ms - self.now_ms()
        if ahead_ms > 0:
            self.offset_ms += ahead_ms

    def clear(self) -> None:
        """Forget all timers and go back to real time."""
        self._timers.clear()
        self.offset_ms = 0
        self._floor_ms = 0

    def _arm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._running and self._timers:
            self._alarm_at_ms = self._timers[0][0]
            wait_s = (self._alarm_at_ms - self.now_ms()) / 1_000
            delay_s = min(max(wait_s, ALARM_S_MIN), ALARM_S_MAX)
            self._alarm = asyncio.get_running_loop().call_later(delay_s, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        try:
            if self.fire_until(self.now_ms()):
                self._after_firing()
        finally:
            self._arm()
