"""The connector: speaks to one channel, and knows how well that channel is.

It turns whatever the channel does into evidence and reports it to the payments' router. Health only chooses routes for
new attempts; it never touches an attempt that has been sent.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from actors.mailbox import Mailbox
from actors.messages import CallbackHeard, Operation, Task, TenantEvidence
from channels.port import Answer, Channel, Learns, Lookup, TakesOver
from domain import expiry
from domain.credentials import Learned
from domain.evidence import Evidence, Fault, Outcome, Source
from domain.health import ChannelHealth, Health, HealthSnapshot, OutcomeClass, classify
from domain.identifiers import attempt_number
from domain.payments import NOT_FOUND_PATIENCE_S
from domain.windows import Window

log = structlog.get_logger()

# How often health is weighed, and how often it is published when nothing has changed. All connectors of a process keep
# to the same beat, so that their snapshots leave in one message.
TICK_S = 0.25
PUBLISH_S = 1.0
# A channel that is well and was sent nothing for so long is weighed when it is published, until it is sent something.
QUIET_S = 30.0
# A loop that is later than this stood still: silence in that time is ours, not the channel's.
STALL_S = 0.5
# How long a reply waits for the channel's first answer: a round trip to a channel that answers at once.
READY_S = 0.025
# After so many replies without an answer, one in PATIENCE_EVERY waits to see whether the channel has become quick.
LATE_MAX = 4
PATIENCE_EVERY = 32
# Certificates are offered a day before they are used. What was learnt is kept, and what a callback asks for is looked
# for, within a second or so.
LEARN_EVERY_S = 12 * 3_600.0
LEARN_TICK_S = 1.0
# People are told of so many unknown words a day: a channel that speaks otherwise altogether is known by the first of them.
WORDS_MAX, WORD_LENGTH_MAX = 20, 64
# How often a rate limit is looked at while charges wait for it.
PUMP_S = 0.02

_SOURCES = {Operation.CHARGE: Source.SYNC_REPLY, Operation.REFUND: Source.SYNC_REPLY}
_REFUNDS = frozenset({Operation.REFUND, Operation.QUERY_REFUND})
# No attempt has this number: a healthy channel answers that it does not know it.
PROBE_NUMBER = attempt_number(shard=0, now_ms=0, random=bytes(5))


@dataclass(frozen=True, slots=True)
class Limits:
    """What the contract with a channel allows, and our patience. Beyond `queue_max` a charge is refused as NOT_SENT.

    `not_found_patience_s` is how long after an order's expiry the channel is believed that it knows nothing of it. Routers
    keep to it: it may be short where the channel is told the expiry, lets nobody pay after it, and knows what it was paid.
    """

    timeout_s: float = 3.0
    concurrency: int = 2_000
    rate_per_s: float = 0.0  # 0 means no limit
    queue_max: int = 2_000
    not_found_patience_s: int = NOT_FOUND_PATIENCE_S


class _Early:
    """Evidence that goes back with the reply to the call that brought its tasks."""

    def __init__(self) -> None:
        self.ready: list[TenantEvidence] = []
        self.event = asyncio.Event()


class Connector:
    """Owns the conversation with one channel: its pace, its breaker, its health.

    Holds nothing that must survive. If a call fails or this process dies, the channel may have been asked: every task
    is a committed row that becomes due again, and is asked about under the same number.
    """

    def __init__(
        self,
        *,
        channel_id: str,
        channel: Channel,
        health: ChannelHealth,
        limits: Limits,
        report: Callable[[str, bool], Mailbox[TenantEvidence, str]],
        publish: Callable[[HealthSnapshot], Awaitable[None]],
        note_change: Callable[[HealthSnapshot], Awaitable[None]],
        keep_certificates: Callable[[Sequence[Learned]], Awaitable[None]],
        tell_of_words: Callable[[Sequence[str]], Awaitable[None]],
        probe_merchant_no: str,
        registry: CollectorRegistry,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._channel_id = channel_id
        self._channel = channel
        self._health = health
        self._limits = limits
        self._report = report
        self._publish = publish
        self._note_change = note_change
        self._keep_certificates = keep_certificates
        self._tell_of_words = tell_of_words
        self._words: dict[str, bool] = {}  # of today that are in no table, and whether people have been told
        self._words_day = 0
        self._learn_due_s = 0.0
        self._probe_merchant_no = probe_merchant_no
        self._clock_ms = clock_ms
        self._queue: deque[Task] = deque()
        self._bulk: deque[Task] = deque()  # of batches: waits until no online payment does
        self._in_flight = 0
        self._pump_timer: asyncio.TimerHandle | None = None
        self._tokens = limits.rate_per_s
        self._tokens_s = time.monotonic()
        self._windows: list[Window] = []
        self._window_end_ms = clock_ms()  # what ended before this connector began was another's to notice
        self._early: dict[str, _Early] = {}
        self._late_count = 0
        self._patience_count = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._snapshot = health.tick(clock_ms(), random.random())
        self._published_s = 0.0
        self._sent_s = -QUIET_S
        self._stirred = asyncio.Event()
        self._outcomes = Counter(
            "pay_attempts", "Answers of channels", ["channel", "operation", "outcome", "fault"], registry=registry
        )
        self._latency = Histogram(
            "pay_latency_seconds", "Time to a channel's answer", ["channel"], registry=registry,
            buckets=(0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
        )  # fmt: skip
        self._score = Gauge("channel_score", "Health of a channel, 0 to 100", ["channel"], registry=registry)
        self._state = Gauge("channel_state", "1 for the state a channel is in", ["channel", "state"], registry=registry)
        self._security = Counter("security_rejects", "Answers that failed verification", ["reason"], registry=registry)
        self._unknown_words = Counter(
            "channel_unknown_words", "What channels said in words of no manual", ["channel"], registry=registry
        )

    async def start(self) -> None:
        """Begin to weigh and publish health, and to see what is new about the channel: certificates, and words."""
        self._spawn(self._watch())
        self._spawn(self._follow_words())
        self._spawn(self._follow_certificates())

    async def ping(self) -> dict[str, Any]:
        """Tell that the event loop turns."""
        return {"in_flight": self._in_flight, "queued": len(self._queue) + len(self._bulk), "state": self._snapshot.state}

    async def snapshot(self) -> HealthSnapshot:
        """Return the newest health."""
        return self._snapshot

    async def force(self, state: str, until_ms: int, reason: str) -> HealthSnapshot:
        """Hold the channel open or closed until a moment, or end that."""
        now_ms = self._clock_ms()
        if state == Health.HEALTHY:
            self._health.unforce(reason, now_ms)
        else:
            self._health.force(Health(state), until_ms, reason, now_ms)
        await self._weigh(publish=True)
        return self._snapshot

    async def windows(self, windows: Sequence[Window]) -> None:
        """Learn of the windows that close the channel: after one it is tried out, not flooded."""
        self._windows = list(windows)

    def _leave_window(self, now_ms: int) -> None:
        ended_ms = max([window.last_end_ms(now_ms) for window in self._windows], default=0)
        if ended_ms > self._window_end_ms and not any(window.covers(now_ms) for window in self._windows):
            self._window_end_ms = ended_ms
            self._health.try_out("a maintenance window has ended", now_ms)

    def credentials_end(self, unreliable_ms: int) -> None:
        """Learn from when on the channel's credentials are not relied on, 0 for never."""
        self._health.credentials_end(unreliable_ms)

    async def speak_through(self, channel: Channel) -> None:
        """Speak through a channel made anew, with other keys, from now on; who waits for the old one is answered by it."""
        old, self._channel = self._channel, channel
        if isinstance(channel, TakesOver):
            channel.take_over(old)
        self._spawn(self._close_later(old))

    async def _close_later(self, channel: Channel) -> None:
        await asyncio.sleep(self._limits.timeout_s + STALL_S)  # nobody waits for it any longer
        await channel.aclose()

    async def look_for_certificates(self) -> None:
        """Learn that a callback names a certificate that we do not hold."""
        self._learn_due_s = 0.0

    async def _follow_certificates(self) -> None:
        """Have what the channel learns kept, so that callbacks are verified with it too, and what is made anew knows it."""
        waiting: list[Learned] = []
        while True:
            channel = self._channel
            try:
                if isinstance(channel, Learns):
                    if time.monotonic() >= self._learn_due_s:
                        self._learn_due_s = time.monotonic() + LEARN_EVERY_S
                        await channel.learn()
                    waiting += channel.take_learned()
                if waiting:
                    await self._keep_certificates(waiting)
                    waiting = []
            except Exception:
                log.exception("certificates_not_kept", channel_id=self._channel_id)
            await asyncio.sleep(LEARN_TICK_S)

    def _note_word(self, word: str, now_ms: int) -> None:
        self._unknown_words.labels(self._channel_id).inc()
        today = expiry.day(now_ms)
        if self._words_day != today:
            self._words_day = today
            self._words = {known: told for known, told in self._words.items() if not told}
        shown = "".join(each if each.isprintable() else "?" for each in word)[:WORD_LENGTH_MAX]
        if len(self._words) < WORDS_MAX:
            self._words.setdefault(shown or "nothing", False)

    async def _follow_words(self) -> None:
        """Have people told of each new word of a day; what is said while storage is away is told later."""
        while True:
            words = [word for word, told in self._words.items() if not told]
            try:
                if words:
                    await self._tell_of_words(words)
                    self._words.update(dict.fromkeys(words, True))
            except Exception:
                log.exception("words_not_told", channel_id=self._channel_id)
            await asyncio.sleep(LEARN_TICK_S)

    async def hear_callbacks(self, heard: Sequence[CallbackHeard]) -> None:
        """Note how long callbacks took, for a channel that calls back is alive, and what nobody understood in them."""
        now_ms = self._clock_ms()
        for delay_ms, word in heard:
            if delay_ms is not None:
                self._health.callback(delay_ms, now_ms)
            if word:
                self._note_word(word, now_ms)

    async def dispatch(self, tasks: Sequence[Task]) -> list[None]:
        """Take tasks. They are answered by reports to their router, in batches of whatever has finished."""
        self._start(tasks)
        return [None] * len(tasks)

    async def charge(self, tasks: Sequence[Task]) -> list[TenantEvidence]:
        """Take tasks like `dispatch`, but bring back what the channel answers at once; the rest is reported.

        A channel that answers at once saves its router a call per batch. Its tasks are on their way before this waits,
        and what it waits for is the first answer, for READY_S at most. A channel that has not answered so soon lately is
        only waited for now and then.
        """
        self._patience_count = (self._patience_count + 1) % PATIENCE_EVERY
        if self._late_count >= LATE_MAX and self._patience_count:
            self._start(tasks)
            return []
        early = _Early()
        numbers = [_number(task) for task in tasks]
        self._early.update(dict.fromkeys(numbers, early))
        self._start(tasks)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(early.event.wait(), READY_S)
        for number in numbers:
            self._early.pop(number, None)
        self._late_count = 0 if early.ready else self._late_count + 1
        return early.ready

    def _start(self, tasks: Sequence[Task]) -> None:
        charges = [task for task in tasks if task.operation is Operation.CHARGE]
        for operation in set(Operation) - {Operation.CHARGE}:
            group = [task for task in tasks if task.operation is operation]
            if group:
                self._spawn(self._ask(operation, group))
        if charges:
            self._take(charges)

    def _take(self, charges: Sequence[Task]) -> None:
        now_ms = self._clock_ms()
        refused: list[Task] = []
        for task in charges:
            queue = self._bulk if task.bulk else self._queue
            if len(queue) >= self._limits.queue_max or not self._health.admit(now_ms):
                refused.append(task)
            else:
                queue.append(task)
        if refused:
            self._answer(Operation.CHARGE, refused, Outcome.NOT_SENT, "HELD_BACK", Fault.LOCAL)
        self._pump()

    def _pump(self) -> None:
        """Send what concurrency and rate allow; come back when there is room."""
        room = min(len(self._queue) + len(self._bulk), self._limits.concurrency - self._in_flight)
        if self._limits.rate_per_s:
            now_s = time.monotonic()
            earned = (now_s - self._tokens_s) * self._limits.rate_per_s
            self._tokens = min(self._limits.rate_per_s, self._tokens + earned)
            self._tokens_s = now_s
            if room > self._tokens:
                room = int(self._tokens)
                self._pump_later()
        taken = self._next(room)
        self._tokens -= len(taken)
        if taken:
            self._spawn(self._ask(Operation.CHARGE, taken))

    def _next(self, room: int) -> list[Task]:
        """Take charges from the queues. What has waited until its order expired never leaves: somebody may have been told."""
        now_ms = self._clock_ms()
        taken: list[Task] = []
        expired: list[Task] = []
        while len(taken) < room and (queue := self._queue or self._bulk):
            task = queue.popleft()
            is_over = 0 < task.request.expire_time_ms <= now_ms  # type: ignore[union-attr]  # charges have one
            (expired if is_over else taken).append(task)
        if expired:
            self._health.sent(len(expired), now_ms)
            for _ in expired:  # one that was admitted as a probe makes room for another
                self._health.observe(OutcomeClass.NEUTRAL, None, now_ms)
            self._answer(Operation.CHARGE, expired, Outcome.NOT_SENT, "EXPIRED", Fault.LOCAL)
        return taken

    def _pump_later(self) -> None:
        """Come back when there are new tokens: one timer, however many tasks arrive meanwhile."""
        if self._pump_timer is None:
            self._pump_timer = asyncio.get_running_loop().call_later(PUMP_S, self._pump_again)

    def _pump_again(self) -> None:
        self._pump_timer = None
        self._pump()

    async def _ask(self, operation: Operation, tasks: Sequence[Task]) -> None:
        """Ask the channel and report every answer; what stays silent is reported as MAYBE when patience ends."""
        waiting = {_number(task): task for task in tasks}  # a number that is there twice is sent and answered once
        tasks = list(waiting.values())
        sent_ms = self._clock_ms()
        if operation is Operation.CHARGE:  # only charges tell of health: a dead channel may still answer questions
            self._in_flight += len(tasks)
            self._health.sent(len(tasks), sent_ms)
            self._sent_s = time.monotonic()
            self._stirred.set()
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                async for answers in getattr(self._channel, operation)([task.request for task in tasks]):
                    self._heard(operation, answers, waiting, sent_ms)
        except TimeoutError:
            pass  # told below, for each that is still waiting
        except Exception:
            log.exception("channel_code_failed", channel_id=self._channel_id, operation=operation)
        if waiting:
            left = list(waiting.values())
            self._settle_in_flight(operation, len(left))
            if operation is Operation.CHARGE:
                self._observe_silence(len(left), self._clock_ms() - sent_ms)
            self._answer(operation, left, Outcome.MAYBE, "TIMEOUT", Fault.CHANNEL)

    def _heard(self, operation: Operation, answers: Sequence[Answer], waiting: dict[str, Task], sent_ms: int) -> None:
        now_ms = self._clock_ms()
        source = _SOURCES.get(operation, Source.QUERY)
        heard = 0
        answered: Tally[tuple[str, str]] = Tally()
        for answer in answers:
            task = waiting.pop(answer.number, None)
            if task is None:
                continue  # an answer after our patience, or to nothing that we asked: a query will tell
            heard += 1
            if operation is Operation.CHARGE:
                said = OutcomeClass.NEUTRAL if self._stood_still(now_ms - sent_ms) else classify(answer.outcome, answer.fault)
                self._health.observe(said, now_ms - sent_ms, now_ms)
            answered[answer.outcome, answer.fault] += 1
            if answer.reason == "UNKNOWN_WORD":
                self._note_word(answer.word, now_ms)
            if answer.reason == "SIGNATURE_INVALID":
                self._security.labels(answer.reason).inc()
                log.warning("answer_signature_invalid", channel_id=self._channel_id, number=answer.number)
            self._tell(task, _evidence(operation, task, answer, source, sent_ms))
        for (outcome, fault), count in answered.items():
            self._outcomes.labels(self._channel_id, operation, outcome, fault).inc(count)
        if operation is Operation.CHARGE and heard:
            self._latency.labels(self._channel_id).observe((now_ms - sent_ms) / 1000)
        self._settle_in_flight(operation, heard)

    def _settle_in_flight(self, operation: Operation, count: int) -> None:
        if operation is Operation.CHARGE and count:
            self._in_flight -= count
            if self._queue or self._bulk:
                self._pump()

    def _answer(
        self, operation: Operation, tasks: Sequence[Task], outcome: Outcome, reason: str, fault: Fault
    ) -> None:
        """Report the same for many, in our own words."""
        now_ms = self._clock_ms()
        source = _SOURCES.get(operation, Source.QUERY)
        self._outcomes.labels(self._channel_id, operation, outcome, fault).inc(len(tasks))
        for task in tasks:
            answer = Answer(_number(task), outcome, reason, fault)
            self._tell(task, _evidence(operation, task, answer, source, now_ms))

    def _tell(self, task: Task, evidence: Evidence) -> None:
        told = TenantEvidence(task.tenant_id, evidence)
        early = self._early.pop(_number(task), None) if self._early else None
        if early is not None:
            early.ready.append(told)
            early.event.set()
            return
        if not self._report(task.tenant_id, task.bulk).tell(told):
            log.warning("router_mailbox_full", channel_id=self._channel_id)  # the row is due again by itself

    def _observe_silence(self, count: int, waited_ms: int) -> None:
        said = OutcomeClass.NEUTRAL if self._stood_still(waited_ms) else OutcomeClass.UNKNOWN
        now_ms = self._clock_ms()
        for _ in range(count):
            self._health.observe(said, self._limits.timeout_s * 1000, now_ms)

    def _stood_still(self, waited_ms: int) -> bool:
        """Tell whether we were away ourselves: nobody waits longer than the time-out while this loop turns."""
        return waited_ms > (self._limits.timeout_s + STALL_S) * 1000

    # --- health -----------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            slept_s = time.monotonic()
            beat_s = PUBLISH_S if self._is_quiet() else TICK_S
            await self._next_beat(beat_s)
            if time.monotonic() - slept_s > beat_s + STALL_S - TICK_S:
                await asyncio.sleep(TICK_S)  # what came while we stood still is heard before it is missed
            try:
                self._leave_window(self._clock_ms())
                await self._weigh()
                if self._health.probe_due(self._clock_ms()):
                    self._spawn(self._probe())
            except Exception:
                log.exception("health_not_weighed", channel_id=self._channel_id)

    def _is_quiet(self) -> bool:
        return self._snapshot.state is Health.HEALTHY and time.monotonic() - self._sent_s > QUIET_S

    async def _next_beat(self, beat_s: float) -> None:
        """Wait until all connectors have their next beat, or until this one sends something after a long time."""
        wait_s = beat_s - time.monotonic() % beat_s
        if beat_s == TICK_S:
            await asyncio.sleep(wait_s)
            return
        self._stirred.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._stirred.wait()

    async def _weigh(self, *, publish: bool = False) -> None:
        before = self._snapshot
        self._snapshot = after = self._health.tick(self._clock_ms(), random.random())
        now_s = time.monotonic()
        moved = after.state is not before.state or after.admit_share != before.admit_share
        if moved or publish or now_s >= self._published_s + PUBLISH_S:
            self._published_s = now_s - now_s % PUBLISH_S
            self._score.labels(self._channel_id).set(after.score)
            for state in Health:
                self._state.labels(self._channel_id, state).set(state is after.state)
            await self._publish(after)
        if after.state is not before.state:
            log.info("channel_state", channel_id=self._channel_id, state=after.state, reason=after.reason)
            await self._note_change(after)

    async def _probe(self) -> None:
        """Ask after a number that nobody has; any answer at all says that the channel lives."""
        answered = False
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                async for answers in self._channel.query([Lookup(PROBE_NUMBER, self._probe_merchant_no)]):
                    answered = any(answer.outcome is not Outcome.MAYBE for answer in answers)
        except TimeoutError:
            pass  # not answered
        self._health.probed(answered=answered, now_ms=self._clock_ms())

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _number(task: Task) -> str:
    request = task.request
    return request.refund_no if task.operation in _REFUNDS else request.attempt_no  # type: ignore[union-attr]


def _evidence(operation: Operation, task: Task, answer: Answer, source: Source, time_ms: int) -> Evidence:
    outcome = answer.outcome
    if source is Source.QUERY and outcome is Outcome.NOT_SENT:
        outcome = Outcome.MAYBE  # the question was not sent, which says nothing about the charge
    return Evidence(
        task.request.attempt_no, source, outcome, answer.reason, answer.fault, answer.amount_minor,
        answer.currency_code, answer.merchant_no, answer.channel_txn_no, answer.success_time_ms, answer.action_kind,
        answer.action_value, answer.number if operation in _REFUNDS else "", time_ms,
    )  # fmt: skip
