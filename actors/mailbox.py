"""The mailbox: what stands between any two hops, and gathers messages into batches.

A call between processes costs about the same whatever it carries, so a busy mailbox sends rarely and much, and an idle
one sends at once. A full mailbox refuses at the door, before anything has been written or sent.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog

from domain.refusals import Kind, Refusal, Refused

log = structlog.get_logger()

M = TypeVar("M")
R = TypeVar("R")

# Below this rate a message is sent at once: 150 calls a second cost a fifth of a core.
IDLE_RATE_PER_S = 150.0
# Above it the wait between two batches grows with the rate, so that calls get fewer and batches larger as the machine
# fills: 16 ms at 400 messages a second, 35 ms from 900 on. With 7 ms at 400 a second the calls filled the machine, and
# the p99 of our own part of the latency was 103 to 140 ms instead of 79.
PACE_S_PER_RATE = 1 / 25_000
PACE_S_MAX = 0.035
# How quickly the rate forgets.
RATE_WINDOW_S = 0.25


class Rate:
    """How many messages a second there have been lately, and the wait between batches that follows from it."""

    def __init__(self) -> None:
        self._per_s = 0.0
        self.last_s = 0.0

    def note(self, count: int) -> None:
        """Count messages that are sent now."""
        now_s = time.monotonic()
        kept = max(0.0, 1.0 - (now_s - self.last_s) / RATE_WINDOW_S)
        self._per_s = self._per_s * kept + count / RATE_WINDOW_S
        self.last_s = now_s

    def pace_s(self) -> float:
        """Return how long to wait between two batches at this rate, 0 when idle."""
        return 0.0 if self._per_s < IDLE_RATE_PER_S else min(self._per_s * PACE_S_PER_RATE, PACE_S_MAX)


class Mailbox(Generic[M, R]):
    """Sends what has gathered through `send`, which takes a list and answers with a list of the same length.

    At most `lanes` batches are under way at once, none larger than `batch_max`; at most `depth_max` messages wait.
    If `send` raises, every message of its batch gets that exception. One that is not `paced` never waits for company; in
    one that rests, `rest_s` lie between two batches unless there is a whole one.
    """

    def __init__(
        self,
        send: Callable[[list[M]], Awaitable[Sequence[R]]],
        *,
        depth_max: int,
        batch_max: int = 256,
        lanes: int = 4,
        paced: bool = True,
        rest_s: float = 0.0,
    ) -> None:
        self._send = send
        self._depth_max = depth_max
        self._batch_max = batch_max
        self._free_lanes = lanes
        self._paced = paced
        self._rest_s = rest_s
        self._waiting: deque[tuple[M, asyncio.Future[R] | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._rate = Rate()
        self.sent_messages = 0
        self.sent_batches = 0

    @property
    def depth(self) -> int:
        """How many messages wait."""
        return len(self._waiting)

    def put(self, message: M) -> "asyncio.Future[R]":
        """Enqueue a message; the future holds its answer. Raise Refused(OVERLOADED) when the mailbox is full."""
        if len(self._waiting) >= self._depth_max:
            raise Refused(Refusal(Kind.OVERLOADED, "MAILBOX_FULL", "too much is waiting already; try again shortly"))
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._enqueue(message, answer)
        return answer

    def tell(self, message: M) -> bool:
        """Enqueue a message for whose answer nobody waits, since what gets lost comes again by itself. False when full."""
        if len(self._waiting) >= self._depth_max:
            return False
        self._enqueue(message, None)
        return True

    def _enqueue(self, message: M, answer: "asyncio.Future[R] | None") -> None:
        self._waiting.append((message, answer))
        if self._timer is None and self._free_lanes:
            self._schedule()

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        at_once = not self._paced or len(self._waiting) >= self._batch_max
        due_s = 0.0 if at_once else self._rate.last_s + max(self._rate.pace_s(), self._rest_s)
        # Even when idle the loop's turn is finished first: what arrives together leaves together.
        self._timer = loop.call_at(max(due_s, loop.time()), self._flush)

    def _flush(self) -> None:
        self._timer = None
        if not self._waiting or not self._free_lanes:
            return
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._batch_max))]
        self._rate.note(len(batch))
        self.sent_messages += len(batch)
        self.sent_batches += 1
        self._free_lanes -= 1
        task = asyncio.get_running_loop().create_task(self._deliver(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._waiting and self._free_lanes:
            self._schedule()

    async def _deliver(self, batch: list[tuple[M, "asyncio.Future[R] | None"]]) -> None:
        try:
            answers = await self._send([message for message, _ in batch])
            if len(answers) != len(batch):
                raise RuntimeError(f"{len(batch)} messages were sent and {len(answers)} answers came")
            for (_, future), answer in zip(batch, answers, strict=True):
                if future is not None and not future.done():
                    future.set_result(answer)
        except Exception as error:  # whatever it is, it belongs to those who wait
            told_count = 0
            for _, future in batch:
                if future is None:
                    told_count += 1
                elif not future.done():
                    future.set_exception(error)
            if told_count:
                log.info("messages_lost", count=told_count, error=str(error)[:200])
        finally:
            self._free_lanes += 1
            if self._waiting and self._timer is None:
                self._schedule()
