"""Channel health: what counts, what it scores, and how the breaker behaves in simulated days."""

import pickle
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.evidence import Fault, Outcome
from domain.health import (
    ChannelHealth,
    Decayed,
    Health,
    HealthPolicy,
    HealthSnapshot,
    Latencies,
    OutcomeClass,
    classify,
)

POLICY = HealthPolicy()
IN_USE = {Health.HEALTHY, Health.DEGRADED}


def fresh(now_ms: int = 0) -> ChannelHealth:
    return ChannelHealth(POLICY, now_ms=now_ms, channel_id="wx")


def feed(health: ChannelHealth, outcome_class: OutcomeClass, count: int, *, start_ms: int, step_ms: int = 20) -> int:
    """Send and answer `count` orders one after another, ticking twice a second; return the time after."""
    now_ms = start_ms
    for _ in range(count):
        health.sent(1, now_ms)
        now_ms += step_ms
        health.observe(outcome_class, step_ms, now_ms)
        if now_ms // 500 != (now_ms - step_ms) // 500:
            health.tick(now_ms, 0.5)
    return now_ms


class TestClassify:
    @pytest.mark.parametrize(("outcome", "fault"), list(product(Outcome, Fault)))
    def test_is_total(self, outcome: Outcome, fault: Fault) -> None:
        assert classify(outcome, fault) in OutcomeClass

    def test_payers_and_ourselves_never_count_against_the_channel(self) -> None:
        bad = {OutcomeClass.CHANNEL_FAULT, OutcomeClass.UNKNOWN}
        for outcome, fault in product(Outcome, (Fault.PAYER, Fault.LOCAL, Fault.CONFIG)):
            assert classify(outcome, fault) not in bad

    def test_silence_counts_and_waiting_for_the_payer_is_success(self) -> None:
        assert classify(Outcome.MAYBE, Fault.CHANNEL) is OutcomeClass.UNKNOWN
        assert classify(Outcome.NOT_SENT, Fault.CHANNEL) is OutcomeClass.CHANNEL_FAULT
        assert classify(Outcome.REJECTED, Fault.CHANNEL) is OutcomeClass.CHANNEL_FAULT
        assert classify(Outcome.ACCEPTED, Fault.NONE) is OutcomeClass.SUCCESS
        assert classify(Outcome.REJECTED, Fault.PAYER) is OutcomeClass.PAYER_FAULT


class TestMeasures:
    def test_posterior_as_in_the_requirements(self) -> None:
        counts = Decayed(120_000, 0)
        counts.add(0, 5, 0)
        assert counts.mean(0.93, 20) == pytest.approx(0.744)
        counts.clear()
        counts.add(9, 1, 0)
        assert counts.mean(0.93, 20) == pytest.approx(0.920)
        counts.clear()
        counts.add(160, 40, 0)
        assert counts.mean(0.93, 20) == pytest.approx(0.812, abs=0.001)

    def test_halves_each_half_life(self) -> None:
        counts = Decayed(1_000, 0)
        counts.add(8, 4, 0)
        counts.age(2_000)
        assert (counts.good, counts.bad) == (2, 1)

    @given(st.lists(st.floats(1, 100_000), min_size=1, max_size=200), st.floats(0.01, 1))
    def test_quantile_is_within_a_bin(self, latencies: list[float], share: float) -> None:
        histogram = Latencies(120_000, 0)
        for latency_ms in latencies:
            histogram.add(latency_ms, 0)
        exact = sorted(latencies)[max(-int(-share * len(latencies) // 1) - 1, 0)]
        assert exact / 1.25 <= histogram.quantile_ms(share) <= exact * 1.25

    def test_old_latencies_fade_and_numbers_stay_finite(self) -> None:
        histogram = Latencies(120_000, 0)
        for hour in range(48):
            histogram.add(5_000 if hour < 47 else 100, hour * 3_600_000)
        assert histogram.quantile_ms(0.95) == pytest.approx(100, rel=0.1)

    def test_score_of_a_new_channel_and_its_parts(self) -> None:
        snapshot = fresh().tick(0, 0.5)
        assert snapshot.score == pytest.approx(100 * (0.6 * 0.95 + 0.4))
        assert (snapshot.state, snapshot.admit_share, snapshot.sample_count) == (Health.HEALTHY, 1.0, 0)

    def test_late_callbacks_and_slowness_cost_points(self) -> None:
        late, slow = fresh(), fresh()
        for now_ms in range(0, 20_000, 100):
            late.callback(31_000, now_ms)
            slow.observe(OutcomeClass.SUCCESS, 2_000, now_ms)
        assert late.tick(20_000, 0.5).score < 90
        assert slow.tick(20_000, 0.5).score < 92

    def test_snapshot_travels_small(self) -> None:
        health = fresh()
        feed(health, OutcomeClass.SUCCESS, 500, start_ms=0)
        snapshot = health.tick(11_000, 0.5)
        assert pickle.loads(pickle.dumps(snapshot)) == snapshot
        assert len(pickle.dumps(snapshot)) < 1_000

    def test_a_quiet_channel_forgets_towards_its_prior(self) -> None:
        health = fresh()
        now_ms = feed(health, OutcomeClass.CHANNEL_FAULT, 3, start_ms=0)
        ill = health.tick(now_ms, 0.5).success_rate
        assert health.tick(now_ms + 7 * 86_400_000, 0.5).success_rate > ill
        assert health.tick(now_ms + 7 * 86_400_000, 0.5).success_rate == pytest.approx(0.95, abs=0.01)


class TestBreaker:
    def test_five_faults_in_a_row_open_a_quiet_channel(self) -> None:
        health, now_ms = fresh(), 0
        for _ in range(5):
            assert health.tick(now_ms, 0.5).state is Health.HEALTHY
            now_ms += 10_000
            health.observe(OutcomeClass.CHANNEL_FAULT, 100, now_ms)
        snapshot = health.tick(now_ms, 0.5)
        assert (snapshot.state, snapshot.reason, snapshot.admit_share) == (Health.OPEN, "5 faults in a row", 0.0)
        assert not health.admit(now_ms)

    def test_one_lost_batch_on_a_busy_channel_does_not(self) -> None:
        health = fresh()
        now_ms = feed(health, OutcomeClass.SUCCESS, 2_000, start_ms=0)
        for _ in range(60):
            health.observe(OutcomeClass.UNKNOWN, 100, now_ms)
        assert health.tick(now_ms, 0.5).state in IN_USE
        feed(health, OutcomeClass.SUCCESS, 500, start_ms=now_ms)
        assert health.state in IN_USE

    def test_slow_calls_open_it(self) -> None:
        health = fresh()
        for now_ms in range(0, 120_000, 100):
            health.observe(OutcomeClass.SUCCESS, 200 if now_ms < 60_000 else 4_000, now_ms)
            health.tick(now_ms, 0.5)
            if health.state is Health.OPEN:
                break
        assert health.state is Health.OPEN
        assert "slow" in health.reason
        assert now_ms < 60_000 + 60_000

    def test_silence_opens_it_and_late_answers_repay(self) -> None:
        health = fresh()
        now_ms = feed(health, OutcomeClass.SUCCESS, 1_000, start_ms=0)
        stalled_ms = now_ms
        while health.state in IN_USE and now_ms < stalled_ms + 30_000:
            health.sent(1, now_ms)
            now_ms += 20
            health.tick(now_ms, 0.5)
        assert health.state is Health.OPEN
        assert now_ms - stalled_ms < 4_000
        assert health.reason.startswith("no answers")
        for _ in range(50):
            health.observe(OutcomeClass.SUCCESS, now_ms - stalled_ms, now_ms)
        assert health.tick(now_ms + 100, 0.5).state is Health.HALF_OPEN

    def test_half_open_tries_two_then_three(self) -> None:
        health = opened()
        health.try_out("test", 100_000)
        assert [health.admit(100_000) for _ in range(3)] == [True, True, False]
        health.observe(OutcomeClass.SUCCESS, 50, 100_050)
        assert [health.admit(100_100) for _ in range(5)] == [True] * 3 + [False] * 2
        for outcome_class in (OutcomeClass.SUCCESS, OutcomeClass.PAYER_FAULT, OutcomeClass.CHANNEL_FAULT):
            health.observe(outcome_class, 50, 100_200)
            assert health.tick(100_200, 0.5).state is Health.HALF_OPEN
        health.observe(OutcomeClass.SUCCESS, 50, 100_300)
        assert health.tick(100_300, 0.5).state is Health.DEGRADED

    def test_ramp_has_three_steps(self) -> None:
        health = opened()
        health.try_out("test", 100_000)
        for _ in range(5):
            health.admit(100_000)
            health.observe(OutcomeClass.SUCCESS, 0, 100_000)
        snapshots = [health.tick(100_000 + second * 1_000, 0.5) for second in (0, 5, 6, 11, 12, 18)]
        assert [snapshot.admit_share for snapshot in snapshots] == [0.1, 0.1, 0.5, 0.5, 1.0, 1.0]
        assert [snapshot.state for snapshot in snapshots[-2:]] == [Health.DEGRADED, Health.HEALTHY]

    def test_hung_probes_have_failed(self) -> None:
        health = opened()
        health.try_out("test", 100_000)
        assert health.admit(100_000)
        assert health.admit(100_100)
        assert health.tick(105_099, 0.5).state is Health.HALF_OPEN
        assert health.tick(105_100, 0.5).state is Health.OPEN

    def test_our_own_refusal_gives_the_probe_back(self) -> None:
        health = opened()
        health.try_out("test", 100_000)
        assert health.admit(100_000)
        health.observe(OutcomeClass.NEUTRAL, None, 100_010)
        assert [health.admit(100_020) for _ in range(3)] == [True, True, False]

    def test_stragglers_say_nothing_about_now(self) -> None:
        health = opened()
        health.try_out("test", 100_000)
        assert health.admit(100_000)
        health.observe(OutcomeClass.UNKNOWN, 30_000, 101_000)
        assert health.tick(101_000, 0.5).state is Health.HALF_OPEN

    def test_pauses_grow_with_the_outage_up_to_ten_minutes(self) -> None:
        health, now_ms, pauses = opened(), 1_000, []
        opened_ms = health.since_ms
        while now_ms < 3 * 3_600_000:
            now_ms += 500
            while health.admit(now_ms) and health.state is Health.HALF_OPEN:
                pass
            before = health.state
            health.tick(now_ms, 0.5)
            if before is Health.OPEN and health.state is Health.HALF_OPEN:
                pauses.append(now_ms - opened_ms)
            if health.state is Health.OPEN and before is not Health.OPEN:
                opened_ms = now_ms
        assert pauses == sorted(pauses)
        assert pauses[0] == pytest.approx(10_000, abs=500)
        assert pauses[-1] == pytest.approx(600_000, abs=500)
        assert len(pauses) < 60

    def test_forced_states_hold_and_expire(self) -> None:
        health = fresh()
        health.force(Health.FORCED_OPEN, 60_000, "notice of the bank", 0)
        snapshot = health.tick(59_999, 0.5)
        assert (snapshot.state, snapshot.admit_share, snapshot.forced_until_ms) == (Health.FORCED_OPEN, 0.0, 60_000)
        assert health.tick(60_000, 0.5).state is Health.HALF_OPEN
        health.force(Health.FORCED_CLOSED, 0, "we know", 61_000)
        now_ms = feed(health, OutcomeClass.CHANNEL_FAULT, 1_000, start_ms=61_000)
        assert health.tick(now_ms, 0.5).state is Health.FORCED_CLOSED
        assert health.admit(now_ms)
        health.unforce("over", now_ms)
        assert health.tick(now_ms, 0.5).forced_until_ms == 0
        with pytest.raises(ValueError, match="cannot be forced"):
            health.force(Health.OPEN, 0, "", 0)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["sent", "observe", "tick", "admit", "probe", "callback", "force", "unforce", "try"]),
                st.sampled_from(OutcomeClass),
                st.integers(0, 5_000),
                st.booleans(),
            ),
            max_size=150,
        )
    )
    @settings(max_examples=150)
    def test_whatever_happens_the_snapshot_is_sound(self, events: list[tuple[str, OutcomeClass, int, bool]]) -> None:
        health, now_ms, version = fresh(), 1_000_000, 0
        for name, outcome_class, number, flag in events:
            now_ms += number
            act(health, name, outcome_class, number, flag, now_ms)
            snapshot = health.tick(now_ms, number / 5_001)
            assert_sound(snapshot)
            assert snapshot.version == version + 1
            version = snapshot.version


def act(health: ChannelHealth, name: str, outcome_class: OutcomeClass, number: int, flag: bool, now_ms: int) -> None:
    if name == "sent":
        health.sent(number % 50, now_ms)
    elif name == "observe":
        health.observe(outcome_class, number if flag else None, now_ms)
    elif name == "admit":
        assert health.admit(now_ms) or health.state not in IN_USE
    elif name == "probe":
        health.probe_due(now_ms)
        health.probed(answered=flag, now_ms=now_ms)
    elif name == "callback":
        health.callback(number * 20, now_ms)
    elif name == "force":
        health.force(Health.FORCED_OPEN if flag else Health.FORCED_CLOSED, now_ms + number, "test", now_ms)
    elif name == "unforce":
        health.unforce("test", now_ms)
    elif name == "try":
        health.try_out("test", now_ms)


def assert_sound(snapshot: HealthSnapshot) -> None:
    assert 0 <= snapshot.score <= 100
    for share in (snapshot.success_rate, snapshot.unknown_share, snapshot.callback_share, snapshot.admit_share):
        assert 0 <= share <= 1
    assert 0 <= snapshot.probe_budget <= POLICY.probes
    assert (snapshot.probe_budget > 0) <= (snapshot.state is Health.HALF_OPEN)
    assert (snapshot.admit_share == 0) >= (snapshot.state in (Health.OPEN, Health.FORCED_OPEN))


def opened() -> ChannelHealth:
    health = fresh()
    feed(health, OutcomeClass.CHANNEL_FAULT, 5, start_ms=0, step_ms=200)
    health.tick(1_000, 0.5)
    assert health.state is Health.OPEN
    return health


@pytest.mark.parametrize("state", [Health.FORCED_OPEN, Health.FORCED_CLOSED])
def test_a_window_that_ends_does_not_overrule_an_operator(state: Health) -> None:
    health = ChannelHealth(HealthPolicy(), now_ms=0)
    health.force(state, 60_000, "by hand", 1_000)
    health.try_out("a maintenance window has ended", 2_000)
    assert health.tick(3_000, 0.5).state is state
