"""The calendar of ends, and what health and routing make of one."""

from hypothesis import given
from hypothesis import strategies as st

from domain import expiry
from domain.expiry import DAY_MS
from domain.health import CERT_EXPIRED, ChannelHealth, Health, HealthPolicy
from domain.routing import Account, Elimination, OrderFacts, RoutingTable, decide

END_MS = 1_501_645_000_000
MS = st.integers(min_value=0, max_value=4_000_000_000_000)


def test_days_are_those_of_people_in_china() -> None:
    midnight_ms = expiry.unreliable_from_ms(END_MS)
    assert expiry.days_left(not_after_ms=END_MS, now_ms=midnight_ms - 1) == 1
    assert expiry.days_left(not_after_ms=END_MS, now_ms=midnight_ms) == 0
    assert (midnight_ms + 8 * 3_600_000) % DAY_MS == 0
    assert expiry.unreliable_from_ms(0) == 0


@given(MS, st.integers(min_value=-40, max_value=60))
def test_a_mark_is_never_past_and_is_reached_once(end_ms: int, day: int) -> None:
    days = expiry.days_left(not_after_ms=end_ms, now_ms=end_ms - day * DAY_MS)
    assert days == day
    mark = expiry.threshold(days)
    if mark is None:
        assert days > 30 or days < -expiry.DAILY_MAX
    else:
        assert mark >= days and (mark in expiry.THRESHOLDS or mark == days <= 0)


def test_a_month_has_five_marks_and_every_day_after_it_one() -> None:
    marks = dict.fromkeys(expiry.threshold(day) for day in range(40, -4, -1))
    assert list(marks) == [None, 30, 15, 7, 3, 1, 0, -1, -2, -3]


@given(st.sets(st.sampled_from([30, 15, 7, 3, 1, 0, -1, -2]), min_size=1), st.data())
def test_a_word_holds_until_the_next_message(marks: set[int], data: st.DataObject) -> None:
    mark = min(marks)
    told = {other: data.draw(st.booleans()) for other in marks - {mark}}
    last = min(told, default=None)
    escalates = expiry.escalates(mark, told=told)
    assert escalates == (mark <= 7 and (last is None or not told[last]))
    assert not expiry.escalates(mark, told=told | {mark: True}), "somebody has answered this one already"


def test_a_channel_is_degraded_on_the_last_day_of_its_certificate_before_anything_fails() -> None:
    start_ms = expiry.unreliable_from_ms(END_MS)
    health = ChannelHealth(HealthPolicy(), now_ms=start_ms - 60_000, channel_id="c")
    health.credentials_end(start_ms)
    assert health.tick(start_ms - 1, 0.5).state is Health.HEALTHY
    snapshot = health.tick(start_ms, 0.5)
    assert (snapshot.state, snapshot.reason, snapshot.admit_share) == (Health.DEGRADED, CERT_EXPIRED, 1.0)
    for second in range(1, 120):  # being well does not make a certificate valid
        snapshot = health.tick(start_ms + second * 1000, 0.5)
        assert (snapshot.state, snapshot.reason) == (Health.DEGRADED, CERT_EXPIRED) or second % 5 == 0
    health.credentials_end(0)
    assert health.tick(start_ms + 200_000, 0.5).state is Health.HEALTHY


def account(name: str, unreliable_ms: int = 0) -> Account:
    return Account(name, name, "pnc", name, frozenset({"QR"}), fee_bps=10 if unreliable_ms else 60, unreliable_ms=unreliable_ms)


def test_an_account_whose_certificate_ends_is_spared_as_long_as_there_is_another() -> None:
    facts = OrderFacts("pnc", "o-1", "AUTO", 10_000, "CNY", "QR")
    table = RoutingTable((account("cheap", END_MS), account("other")))
    early = decide(facts, table, {}, now_ms=END_MS - 1, draw=0.5)
    late = decide(facts, table, {}, now_ms=END_MS, draw=0.5)
    assert early.chosen and early.chosen.account_id == "cheap"
    assert late.chosen and late.chosen.account_id == "other"
    assert [item.eliminated_by for item in late.candidates] == [Elimination.CERT_EXPIRED, ""]
    alone = decide(facts, RoutingTable((account("cheap", END_MS),)), {}, now_ms=END_MS, draw=0.5)
    assert alone.chosen and alone.chosen.account_id == "cheap", "a certificate may be renewed at the channel alone"
