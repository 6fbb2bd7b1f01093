"""How well one channel does its part, and how much traffic it may get.

`ChannelHealth` is fed with what was sent and what came back, and gives a `HealthSnapshot` at each `tick`. Everything is
O(1) per event and bounded; time and chance come from the caller.

Three ideas hold it together:

* *Only the channel's own faults count.* `classify` tells them from declines, from our configuration and from our own
  refusals; those never lower a score.
* *Doubt is a likelihood ratio.* Each fault raises it, each answer lowers it, and the breaker opens when it passes a
  bound that grows with the volume. So a channel that loses 30 % does not open it by bad luck, whatever the traffic,
  while a dead one opens it within a dozen orders. Orders that have waited too long count as faults until they are
  answered.
* *A pause is a share of the outage.* A channel is away a little longer than it was ill, about a seventh: short outages
  end quickly, long ones cost few probes, and relapses spread out by themselves.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import log, log2
from typing import NamedTuple

from domain.evidence import Fault, Outcome


class Health(StrEnum):
    """The state of a channel's breaker."""

    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"  # in use, but ill or on its way back
    OPEN = "OPEN"  # nothing is sent
    HALF_OPEN = "HALF_OPEN"  # a few orders try it out
    FORCED_OPEN = "FORCED_OPEN"  # an operator took it out of service
    FORCED_CLOSED = "FORCED_CLOSED"  # an operator keeps it in service whatever its score


class OutcomeClass(StrEnum):
    """What an answer says about the channel."""

    SUCCESS = "SUCCESS"  # it did its part
    CHANNEL_FAULT = "CHANNEL_FAULT"
    PAYER_FAULT = "PAYER_FAULT"  # it did its part, and the payer could or would not
    CONFIG_FAULT = "CONFIG_FAULT"  # our account or key is wrong: somebody must look, the channel is not ill
    UNKNOWN = "UNKNOWN"  # silence or nonsense: a fault that also leaves us in the dark
    NEUTRAL = "NEUTRAL"  # it says nothing about the channel


BY_FAULT = {
    Fault.NONE: {
        Outcome.NOT_SENT: OutcomeClass.NEUTRAL,
        Outcome.REJECTED: OutcomeClass.PAYER_FAULT,  # a definite no that names no fault is a decline
        Outcome.MAYBE: OutcomeClass.UNKNOWN,
    },
    Fault.CHANNEL: {
        Outcome.NOT_SENT: OutcomeClass.CHANNEL_FAULT,
        Outcome.REJECTED: OutcomeClass.CHANNEL_FAULT,
        Outcome.MAYBE: OutcomeClass.UNKNOWN,
    },
    Fault.PAYER: dict.fromkeys((Outcome.NOT_SENT, Outcome.REJECTED, Outcome.MAYBE), OutcomeClass.PAYER_FAULT),
    Fault.CONFIG: dict.fromkeys((Outcome.NOT_SENT, Outcome.REJECTED, Outcome.MAYBE), OutcomeClass.CONFIG_FAULT),
    Fault.LOCAL: dict.fromkeys((Outcome.NOT_SENT, Outcome.REJECTED, Outcome.MAYBE), OutcomeClass.NEUTRAL),
}
# A query that finds or closes nothing is a proper answer, but says little about collecting.
WHATEVER_FAULT = {
    Outcome.DONE: OutcomeClass.SUCCESS,
    Outcome.ACCEPTED: OutcomeClass.SUCCESS,  # waiting for the payer: the channel's part is done
    Outcome.NOT_FOUND: OutcomeClass.NEUTRAL,
    Outcome.CLOSED: OutcomeClass.NEUTRAL,
}


def classify(outcome: Outcome, fault: Fault) -> OutcomeClass:
    """Tell what an answer says about the channel; total over both vocabularies."""
    certain = WHATEVER_FAULT.get(outcome)
    return certain if certain is not None else BY_FAULT[fault][outcome]


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """Every number of the health of a channel, with the default that suits a channel answering within a second."""

    fast_half_life_ms: int = 120_000
    middle_half_life_ms: int = 1_800_000
    day_half_life_ms: int = 86_400_000
    slow_half_life_ms: int = 15_000  # slow calls must show within half a minute
    # How many events of its parent horizon a horizon starts with.
    prior_strength: float = 20.0
    latency_ok_ms: int = 800
    latency_bad_ms: int = 3_000
    slow_call_ms: int = 2_500
    slow_share_max: float = 0.8
    callback_late_ms: int = 30_000
    samples_min: int = 20
    # Hysteresis, in windows.
    window_ms: int = 5_000
    degraded_below: float = 75.0
    degraded_windows: int = 2
    healthy_above: float = 88.0
    healthy_windows: int = 3
    open_below: float = 40.0
    faults_in_row: int = 5
    # Doubt compares a channel that is nearly dead with one that is ill but worth using.
    dead_fault_rate: float = 0.9
    ill_fault_rate: float = 0.4
    # One lost batch fails many orders at one instant; an illness lasts longer.
    doubt_span_ms: int = 500
    # An order counts as silent after this many times the p95, within the slow-call limit and this bound.
    patience_factor: float = 4.0
    patience_ms_max: int = 10_000
    # The pause as a share of the outage; 10 minutes and 10 seconds bound it, jitter parts the routers' probes.
    pause_share: float = 0.15
    pause_ms_min: int = 10_000
    pause_ms_max: int = 600_000
    pause_jitter: float = 0.2
    # Reopening this soon after closing continues the same outage, so that a flapping channel rests longer and longer.
    relapse_ms: int = 120_000
    active_probe_interval_ms: int = 3_000
    active_probes_good: int = 2
    # Two probes go first: a dead channel costs no more, and one unlucky order does not prolong an outage.
    probes_first: int = 2
    probes: int = 5
    probes_good: int = 4
    probe_timeout_ms: int = 5_000
    # Three steps within half a minute: a healed channel is fully back within a minute.
    ramp: tuple[float, ...] = (0.1, 0.5)
    ramp_step_ms: int = 6_000


class HealthSnapshot(NamedTuple):
    """The health of a channel at one moment, as routers see it; about 300 bytes when pickled.

    Shares and rates are 0 to 1, `score` is 0 to 100, times are Unix milliseconds. `admit_share` is the share of the
    traffic that it may get; in HALF_OPEN it is the chance with which an order should try it, so that about
    `probe_budget` orders arrive. `forced_until_ms` is 0 when nothing is forced or when it is for ever.
    """

    channel_id: str
    version: int
    state: Health
    score: float
    success_rate: float
    sample_count: int
    latency_ms_p95: float
    unknown_share: float
    callback_share: float
    admit_share: float
    probe_budget: int
    reason: str
    time_ms: int
    forced_until_ms: int = 0
    state_since_ms: int = 0


class Decayed:
    """Two counts that halve every `half_life_ms`."""

    __slots__ = ("bad", "good", "half_life_ms", "time_ms")

    def __init__(self, half_life_ms: int, now_ms: int) -> None:
        self.half_life_ms, self.time_ms = half_life_ms, now_ms
        self.good = self.bad = 0.0

    def age(self, now_ms: int) -> None:
        """Bring the counts to `now_ms`; a clock that went back leaves them."""
        if now_ms > self.time_ms:
            factor = 2.0 ** ((self.time_ms - now_ms) / self.half_life_ms)
            self.good, self.bad, self.time_ms = self.good * factor, self.bad * factor, now_ms

    def add(self, good: float, bad: float, now_ms: int) -> None:
        """Count events of this moment."""
        self.age(now_ms)
        self.good += good
        self.bad += bad

    def mean(self, prior: float, strength: float) -> float:
        """Return the expected share of good ones, when `strength` events of share `prior` came before."""
        return (self.good + prior * strength) / (self.good + self.bad + strength)

    def clear(self) -> None:
        """Forget everything."""
        self.good = self.bad = 0.0


# Latencies are counted in bins that grow by a fifth: the p95 is right within 10 %, from 1 ms to two minutes.
BIN_GROWTH = log2(1.2)
BINS = 65


class Latencies:
    """A histogram of latencies, decayed: newer ones weigh more, so nothing must be aged but the total."""

    __slots__ = ("bins", "half_life_ms", "start_ms")

    def __init__(self, half_life_ms: int, now_ms: int) -> None:
        self.half_life_ms, self.start_ms = half_life_ms, now_ms
        self.bins = [0.0] * BINS

    def add(self, latency_ms: float, now_ms: int) -> None:
        """Count one latency."""
        halvings = (now_ms - self.start_ms) / self.half_life_ms
        if halvings > 32:  # far below where a float loses digits
            self.bins = [count * 2.0**-halvings for count in self.bins]
            self.start_ms, halvings = now_ms, 0.0
        index = int(log2(latency_ms) / BIN_GROWTH) + 1 if latency_ms > 1 else 0
        self.bins[min(index, BINS - 1)] += 2.0**halvings

    def quantile_ms(self, share: float) -> float:
        """Return the latency that `share` of the calls did not exceed, 0 when there were none."""
        rest = sum(self.bins) * share
        for index, count in enumerate(self.bins):
            rest -= count
            if rest <= 0 < count:
                return float(2.0 ** ((index - 0.5) * BIN_GROWTH)) if index else 1.0
        return 0.0

    def clear(self) -> None:
        """Forget everything."""
        self.bins = [0.0] * BINS


# What was sent is kept in slots of a quarter second for 16 s: longer than patience, and small.
SLOT_MS = 250
SLOTS = 64


class Waiting:
    """Orders by the moment at which they were sent: how many were answered well, and how many were not (yet)."""

    __slots__ = ("good", "lost", "newest")

    def __init__(self, now_ms: int) -> None:
        self.newest = now_ms // SLOT_MS
        self.good, self.lost = [0] * SLOTS, [0] * SLOTS

    def _slot(self, time_ms: int) -> int | None:
        number = time_ms // SLOT_MS
        for fresh in range(max(self.newest + 1, number - SLOTS + 1), number + 1):
            self.good[fresh % SLOTS] = self.lost[fresh % SLOTS] = 0
        self.newest = max(self.newest, number)
        return number % SLOTS if number > self.newest - SLOTS else None

    def sent(self, count: int, now_ms: int) -> None:
        """Count orders as lost until they are answered."""
        slot = self._slot(now_ms)
        if slot is not None:
            self.lost[slot] += count

    def answered(self, sent_ms: int, *, well: bool) -> None:
        """Repay one order: well done, or of no meaning."""
        slot = self._slot(sent_ms)
        if slot is not None:
            self.lost[slot] -= 1
            self.good[slot] += well

    def doubt(self, *, now_ms: int, patience_ms: float, per_fault: float, per_good: float) -> float:
        """Return the largest doubt that any span of orders up to `now - patience` gives."""
        self._slot(now_ms)
        last = int((now_ms - patience_ms) // SLOT_MS) - 1
        doubt = worst = 0.0
        for number in range(last, self.newest - SLOTS, -1):
            slot = number % SLOTS
            doubt += self.lost[slot] * per_fault + self.good[slot] * per_good
            if number < last:  # one slot alone may be one lost batch
                worst = max(worst, doubt)
        return worst


GOOD = frozenset({OutcomeClass.SUCCESS, OutcomeClass.PAYER_FAULT, OutcomeClass.CONFIG_FAULT})
BAD = frozenset({OutcomeClass.CHANNEL_FAULT, OutcomeClass.UNKNOWN})
FORCED = frozenset({Health.FORCED_OPEN, Health.FORCED_CLOSED})
IN_USE = frozenset({Health.HEALTHY, Health.DEGRADED})
# Why a channel is DEGRADED whose certificates or keys end: nothing has failed yet.
CERT_EXPIRED = "CERT_EXPIRED"
# While forced closed nothing opens the breaker; doubt must stay a number that a few answers can lower again.
DOUBT_MAX = 20.0


class ChannelHealth:
    """The health of one channel, seen by the one connector that speaks to it.

    `sent` and `observe` for each order, `callback` for each callback; `tick` at least each half second and after each
    batch of observations: it alone moves the state. Nothing here must survive a restart.
    """

    def __init__(
        self, policy: HealthPolicy, *, now_ms: int, channel_id: str = "", prior_success_rate: float = 0.95
    ) -> None:
        self.policy, self.channel_id, self.prior = policy, channel_id, prior_success_rate
        self.state, self.reason, self.since_ms = Health.HEALTHY, "", now_ms
        self._fast = Decayed(policy.fast_half_life_ms, now_ms)
        self._middle = Decayed(policy.middle_half_life_ms, now_ms)
        self._day = Decayed(policy.day_half_life_ms, now_ms)
        self._known = Decayed(policy.fast_half_life_ms, now_ms)
        self._calls = Decayed(policy.slow_half_life_ms, now_ms)
        self._callbacks = Decayed(policy.fast_half_life_ms, now_ms)
        self._rate = Decayed(policy.fast_half_life_ms, now_ms)
        self._latencies = Latencies(policy.fast_half_life_ms, now_ms)
        self._waiting = Waiting(now_ms)
        self._per_fault = log(policy.dead_fault_rate / policy.ill_fault_rate)
        self._per_good = log((1 - policy.dead_fault_rate) / (1 - policy.ill_fault_rate))
        self._doubt, self._doubt_since_ms, self._faults_in_row = 0.0, now_ms, 0
        self._window_ms, self._low_windows, self._high_windows = now_ms, 0, 0
        self._calm = (0.0, 0.0, 0.0, 0.0)  # the long horizons before the last window
        self._calm_next = self._calm
        self._outage_ms, self._closed_ms, self._pause_until_ms = 0, 0, 0
        self._by_silence, self._repaid = False, 0
        self._ramp_start_ms = 0
        self._probes: list[int] = []  # when the probes under way were admitted
        self._probes_done = self._probes_well = 0
        self._active_due_ms = self._active_seen_ms = self._active_good = 0
        self._active_trusted, self._opened_by_active = True, False
        self._forced_until_ms, self._version = 0, 0
        self._unreliable_ms = 0
        self._rate_per_s = 0.0  # of the traffic when it was last in use

    # What happens.

    def sent(self, count: int, now_ms: int) -> None:
        """Count orders that left for the channel."""
        self._waiting.sent(count, now_ms)

    def observe(self, outcome_class: OutcomeClass, latency_ms: float | None, now_ms: int) -> None:
        """Count one answer, or one time-out, of an order that was sent `latency_ms` ago (None: it never left)."""
        sent_ms = int(now_ms - (latency_ms or 0))
        good, bad = outcome_class in GOOD, outcome_class in BAD
        if not bad:
            self._waiting.answered(sent_ms, well=good)
        if good or bad:
            self._rate.add(1, 0, now_ms)
            self._weigh(good, now_ms)
        if self.state is Health.HALF_OPEN:
            self._observe_probe(outcome_class, latency_ms, sent_ms)
        if latency_ms is not None and (good or bad):
            self._latencies.add(latency_ms, now_ms)
            slow = latency_ms >= self.policy.slow_call_ms
            self._calls.add(not slow, slow, now_ms)
        if outcome_class is OutcomeClass.SUCCESS or bad:
            self._count(bad, outcome_class is OutcomeClass.UNKNOWN, now_ms)

    def callback(self, delay_ms: int, now_ms: int) -> None:
        """Count one callback; give one that never came a delay beyond `callback_late_ms`."""
        late = delay_ms >= self.policy.callback_late_ms
        self._callbacks.add(not late, late, now_ms)

    def admit(self, now_ms: int) -> bool:
        """Tell whether an order may leave now, and take it from the budget of probes. Each needs an `observe`."""
        if self.state is not Health.HALF_OPEN:
            return self.state not in (Health.OPEN, Health.FORCED_OPEN)
        if self.probe_budget() == 0:
            return False
        self._probes.append(now_ms)
        return True

    def probe_budget(self) -> int:
        """Return how many probes may leave now: a few first, the others when one of them came back well."""
        if self.state is not Health.HALF_OPEN:
            return 0
        allowed = self.policy.probes if self._probes_well else self.policy.probes_first
        return max(allowed - self._probes_done - len(self._probes), 0)

    def probe_due(self, now_ms: int) -> bool:
        """Tell whether the connector should ask the channel something harmless, such as a number that is not there."""
        if self.state is not Health.OPEN or now_ms < self._active_due_ms:
            return False
        self._active_due_ms = now_ms + self.policy.active_probe_interval_ms
        return True

    def probed(self, *, answered: bool, now_ms: int) -> None:
        """Note what became of the harmless question: NOT_FOUND in good time is an answer, a time-out is none."""
        self._active_seen_ms = now_ms
        self._active_good = self._active_good + 1 if answered else 0

    def force(self, state: Health, until_ms: int, reason: str, now_ms: int) -> None:
        """Hold FORCED_OPEN or FORCED_CLOSED until a moment (0: for ever), for a reason."""
        if state not in FORCED:
            raise ValueError(f"{state} cannot be forced: FORCED_OPEN and FORCED_CLOSED can")
        self._forced_until_ms = until_ms
        self._move(state, reason, now_ms)

    def credentials_end(self, unreliable_ms: int) -> None:
        """Note from when on the channel's credentials are not relied on; 0 for never."""
        self._unreliable_ms = unreliable_ms

    def unforce(self, reason: str, now_ms: int) -> None:
        """End a forced state: out of service comes back by probes, in service stays so until doubt says otherwise."""
        if self.state is Health.FORCED_OPEN:
            self._try_out(reason, now_ms)
        elif self.state is Health.FORCED_CLOSED:
            self._doubt, self._faults_in_row = 0.0, 0
            self._move(Health.HEALTHY, reason, now_ms)
        self._forced_until_ms = 0

    def try_out(self, reason: str, now_ms: int) -> None:
        """Go to HALF_OPEN, as after a maintenance window: not straight to full traffic. What is forced stays forced."""
        if self.state not in FORCED:
            self._try_out(reason, now_ms)

    def _try_out(self, reason: str, now_ms: int) -> None:
        self._probes, self._probes_done, self._probes_well = [], 0, 0
        if self.state is not Health.OPEN:
            self._outage_ms = now_ms
        self._move(Health.HALF_OPEN, reason, now_ms)

    def tick(self, now_ms: int, draw: float) -> HealthSnapshot:
        """Move the state as time and evidence ask, and show the channel; `draw` in [0, 1) jitters a pause."""
        self._age(now_ms)
        if self.state in FORCED:
            if self._forced_until_ms and now_ms >= self._forced_until_ms:
                self.unforce("forced state expired", now_ms)
        elif self.state is Health.OPEN:
            self._tick_open(now_ms)
        elif self.state is Health.HALF_OPEN:
            self._tick_half_open(now_ms, draw)
        else:
            self._tick_in_use(now_ms, draw)
        return self._snapshot(now_ms)

    # Evidence.

    def _count(self, bad: bool, unknown: bool, now_ms: int) -> None:
        """Add to the horizons. The faults of an outage go to the fast one only: an open breaker has paid for them."""
        self._fast.add(not bad, bad, now_ms)
        self._known.add(not unknown, unknown, now_ms)
        if self.state in IN_USE or self.state is Health.FORCED_CLOSED:
            self._middle.add(not bad, bad, now_ms)
            self._day.add(not bad, bad, now_ms)

    def _weigh(self, good: bool, now_ms: int) -> None:
        if good:
            self._faults_in_row = 0
            self._repaid += 1
            self._doubt = max(0.0, self._doubt + self._per_good)
            return
        if self._doubt <= 0:
            self._doubt_since_ms = now_ms
        self._faults_in_row += 1
        self._repaid -= 1
        self._doubt = min(self._doubt + self._per_fault, DOUBT_MAX)

    def _observe_probe(self, outcome_class: OutcomeClass, latency_ms: float | None, sent_ms: int) -> None:
        if not self._probes or (latency_ms is not None and sent_ms < self.since_ms):
            return  # a straggler from before: it says nothing about now
        self._probes.pop(0)
        if outcome_class is OutcomeClass.NEUTRAL:
            return
        self._probes_done += 1
        fast = latency_ms is None or latency_ms < self.policy.slow_call_ms
        self._probes_well += outcome_class in GOOD and fast

    def _age(self, now_ms: int) -> None:
        for counts in (self._fast, self._middle, self._day, self._known, self._calls, self._callbacks, self._rate):
            counts.age(now_ms)

    def success_rate(self) -> float:
        """Return the probability that the channel does its part: a posterior over three horizons."""
        strength = self.policy.prior_strength
        day = self._day.mean(self.prior, strength)
        return self._fast.mean(self._middle.mean(day, strength), strength)

    def _parts(self) -> tuple[float, float, float, float, float]:
        """Return success rate, p95 in ms, latency part, callback part and unknown share."""
        policy = self.policy
        p95_ms = self._latencies.quantile_ms(0.95)
        span_ms = policy.latency_bad_ms - policy.latency_ok_ms
        quick = min(max((policy.latency_bad_ms - p95_ms) / span_ms, 0.0), 1.0)
        calls = self._calls.good + self._calls.bad
        quick = (quick * calls + policy.prior_strength) / (calls + policy.prior_strength)
        callback_share = self._callbacks.mean(1.0, policy.prior_strength)
        unknown_share = 1.0 - self._known.mean(1.0, policy.prior_strength)
        return self.success_rate(), p95_ms, quick, callback_share, unknown_share

    def _doubt_bound(self) -> float:
        """Return the doubt that opens the breaker.

        A channel that loses 30 % passes a bound b about 6·exp(1.4·b) times less often than it has events, so this one
        is passed by chance in one of twenty spans of ten minutes. At low volume it is the doubt of `faults_in_row`.
        """
        by_volume = log(max(6.0 * 600 * self._events_per_s(), 1.0)) / 1.4
        return max(by_volume, self.policy.faults_in_row * self._per_fault - 1e-9)

    def _events_per_s(self) -> float:
        return self._rate.good * log(2) * 1_000 / self.policy.fast_half_life_ms

    def _patience_ms(self) -> float:
        return min(
            max(self.policy.patience_factor * self._latencies.quantile_ms(0.95), self.policy.slow_call_ms),
            self.policy.patience_ms_max,
        )

    # States.

    def _move(self, state: Health, reason: str, now_ms: int) -> None:
        if state is not self.state:
            self.since_ms = now_ms
        self.state, self.reason = state, reason

    def _tick_in_use(self, now_ms: int, draw: float) -> None:
        score, self._rate_per_s = self._score(self._parts()), self._events_per_s()
        alarm = self._alarm(score, now_ms)
        if alarm:
            self._open(alarm, now_ms, draw)
        elif now_ms - self._window_ms >= self.policy.window_ms:
            self._close_window(score, now_ms)
        ended = 0 < self._unreliable_ms <= now_ms
        if ended and self.state is Health.HEALTHY:
            self._move(Health.DEGRADED, CERT_EXPIRED, now_ms)
        elif not ended and self.reason == CERT_EXPIRED:
            self._move(Health.HEALTHY, "", now_ms)

    def _alarm(self, score: float, now_ms: int) -> str:
        """Say why the breaker must open, "" when it need not."""
        policy, bound = self.policy, self._doubt_bound()
        self._by_silence = False
        if self._doubt >= bound and now_ms - self._doubt_since_ms >= policy.doubt_span_ms:
            return f"{self._faults_in_row} faults in a row" if self._faults_in_row > 1 else "faults prevail"
        calls = self._calls.good + self._calls.bad
        if calls >= policy.samples_min and self._calls.bad >= policy.slow_share_max * calls:
            return f"{100 * self._calls.bad / calls:.0f} % of the calls are slow"
        if score < policy.open_below:
            return f"score {score:.0f}"
        silence = self._waiting.doubt(
            now_ms=now_ms, patience_ms=self._patience_ms(), per_fault=self._per_fault, per_good=self._per_good
        )
        self._by_silence = silence >= bound
        return f"no answers for {self._patience_ms() / 1000:.1f} s" if self._by_silence else ""

    def _close_window(self, score: float, now_ms: int) -> None:
        policy, self._window_ms = self.policy, now_ms
        self._calm = self._calm_next
        self._calm_next = (self._middle.good, self._middle.bad, self._day.good, self._day.bad)
        enough = self._fast.good + self._fast.bad >= policy.samples_min
        self._low_windows = self._low_windows + 1 if score < policy.degraded_below and enough else 0
        self._high_windows = self._high_windows + 1 if score > policy.healthy_above else 0
        if self.state is Health.HEALTHY and self._low_windows >= policy.degraded_windows:
            self._move(Health.DEGRADED, f"score {score:.0f}", now_ms)
        elif self._high_windows >= policy.healthy_windows and self._ramp_share(now_ms) >= 1.0:
            self._move(Health.HEALTHY, "", now_ms)

    def _open(self, reason: str, now_ms: int, draw: float) -> None:
        policy = self.policy
        relapse = self._outage_ms and now_ms - self._closed_ms < policy.relapse_ms
        if self.state in IN_USE:
            # The run of faults that opened it must not count again when it is back.
            self._middle.good, self._middle.bad, self._day.good, self._day.bad = self._calm
        if self.state is not Health.HALF_OPEN and not relapse:
            self._outage_ms, self._active_trusted = now_ms, True
        pause_ms = min(max(policy.pause_share * (now_ms - self._outage_ms), policy.pause_ms_min), policy.pause_ms_max)
        if self.state is Health.HALF_OPEN and self._probes_well:
            pause_ms = policy.pause_ms_min  # it shows signs of life
        self._pause_until_ms = now_ms + int(pause_ms * (1 + policy.pause_jitter * (2 * draw - 1)))
        self._active_due_ms = now_ms + policy.active_probe_interval_ms
        self._active_good = self._active_seen_ms = self._repaid = 0
        self._move(Health.OPEN, reason, now_ms)

    def _tick_open(self, now_ms: int) -> None:
        policy = self.policy
        self._opened_by_active = False
        if self._by_silence and self._repaid >= policy.faults_in_row:
            self.try_out("the missing answers came", now_ms)
        elif now_ms < self._pause_until_ms:
            early = self._active_good >= policy.active_probes_good and self._active_trusted
            if early:
                self._opened_by_active = True
                self.try_out("answers questions again", now_ms)
        elif not self._silent_to_questions(now_ms):
            self.try_out("pause over", now_ms)

    def _silent_to_questions(self, now_ms: int) -> bool:
        """Tell whether questions show it dead still; believed no longer than the longest pause."""
        asked = now_ms - self._active_seen_ms <= 3 * self.policy.active_probe_interval_ms
        return asked and not self._active_good and now_ms - self._pause_until_ms < self.policy.pause_ms_max

    def _tick_half_open(self, now_ms: int, draw: float) -> None:
        policy = self.policy
        hung = [time_ms for time_ms in self._probes if now_ms - time_ms >= policy.probe_timeout_ms]
        self._probes = self._probes[len(hung) :]
        self._probes_done += len(hung)
        failed = self._probes_done - self._probes_well
        if self._probes_well >= policy.probes_good:
            self._close(now_ms)
        elif failed > policy.probes - policy.probes_good:
            if self._opened_by_active:
                self._active_trusted = False  # it answers questions, but does not collect
            self._open(f"{failed} of {self._probes_done} probes failed", now_ms, draw)

    def _close(self, now_ms: int) -> None:
        """Begin the ramp with a clean sheet: the long horizons are the prior, and the outage is over."""
        for counts in (self._fast, self._known, self._calls):
            counts.clear()
        self._latencies.clear()
        self._waiting = Waiting(now_ms)
        self._doubt, self._faults_in_row = 0.0, 0
        self._low_windows = self._high_windows = 0
        self._window_ms = self._ramp_start_ms = self._closed_ms = now_ms
        self._move(Health.DEGRADED, "coming back", now_ms)

    def _ramp_share(self, now_ms: int) -> float:
        if self.state is not Health.DEGRADED or not self._ramp_start_ms:
            return 1.0
        step = (now_ms - self._ramp_start_ms) // self.policy.ramp_step_ms
        return self.policy.ramp[step] if 0 <= step < len(self.policy.ramp) else 1.0

    # What others see.

    @staticmethod
    def _score(parts: tuple[float, float, float, float, float]) -> float:
        success_rate, _, quick, callback_share, unknown_share = parts
        return 100 * (0.60 * success_rate + 0.20 * quick + 0.10 * callback_share + 0.10 * (1 - unknown_share))

    def _admit_share(self, now_ms: int) -> float:
        if self.state in (Health.OPEN, Health.FORCED_OPEN):
            return 0.0
        if self.state is not Health.HALF_OPEN:
            return self._ramp_share(now_ms)
        # About one snapshot interval's worth of orders should fill the budget.
        return min(self.probe_budget() / max(self._rate_per_s, 1.0), 1.0)

    def _snapshot(self, now_ms: int) -> HealthSnapshot:
        self._version += 1
        parts = self._parts()
        success_rate, p95_ms, _, callback_share, unknown_share = parts
        return HealthSnapshot(
            channel_id=self.channel_id,
            version=self._version,
            state=self.state,
            score=round(self._score(parts), 2),
            success_rate=round(success_rate, 5),
            sample_count=int(self._fast.good + self._fast.bad),
            latency_ms_p95=round(p95_ms, 1),
            unknown_share=round(unknown_share, 5),
            callback_share=round(callback_share, 5),
            admit_share=self._admit_share(now_ms),
            probe_budget=self.probe_budget(),
            reason=self.reason[:200],
            time_ms=now_ms,
            forced_until_ms=self._forced_until_ms,
            state_since_ms=self.since_ms,
        )
