"""Answers that were not ready when the request came: a bounded queue with a long poll."""

import asyncio
from collections import deque

from simulator.codec import Outgoing

# What nobody collects is dropped, the oldest first: to the hub that is a time-out like any other.
ANSWERS_MAX = 100_000
# One long poll returns at most so many, to keep messages small.
COLLECT_MAX = 2_000
# Waiting a moment longer than the first answer gathers its neighbours into one message.
GATHER_S = 0.002
WAIT_S_MAX = 60.0


class Outbox:
    """Holds the late answers of one channel for whoever collects them."""

    def __init__(self) -> None:
        self._answers: deque[Outgoing] = deque(maxlen=ANSWERS_MAX)
        self._filled = asyncio.Event()
        self._closed = False

    def put(self, outgoing: Outgoing) -> None:
        """Add one answer."""
        self._answers.append(outgoing)
        self._filled.set()

    async def collect(self, wait_s: float) -> list[Outgoing]:
        """Return what there is as soon as there is something, or nothing after `wait_s` seconds."""
        if not self._answers and not self._closed and wait_s > 0:
            try:
                await asyncio.wait_for(self._filled.wait(), min(wait_s, WAIT_S_MAX))
                await asyncio.sleep(GATHER_S)
            except TimeoutError:
                return []
        taken = [self._answers.popleft() for _ in range(min(len(self._answers), COLLECT_MAX))]
        if not self._answers and not self._closed:
            self._filled.clear()
        return taken

    def clear(self) -> None:
        """Drop every answer."""
        self._answers.clear()

    def close(self) -> None:
        """Let those who wait go."""
        self._closed = True
        self._filled.set()
