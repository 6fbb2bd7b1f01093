"""How an event loop fares while something is measured."""

import asyncio
import time

TICK_S = 0.002


class Loop:
    """How late timers are, and how long the loop's thread works between two of them."""

    def __init__(self) -> None:
        self.late_s: list[float] = []
        self.busy_s: list[float] = []

    async def watch(self) -> None:
        """Note it until cancelled."""
        while True:
            busy_s, due_s = time.thread_time(), time.perf_counter() + TICK_S
            await asyncio.sleep(TICK_S)
            self.late_s.append(max(0.0, time.perf_counter() - due_s))
            self.busy_s.append(time.thread_time() - busy_s)
