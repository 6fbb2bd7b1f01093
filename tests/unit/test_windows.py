"""Maintenance windows to the millisecond: once, weekly, for ever, over midnight and over the year."""

from collections import Counter
from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.health import ChannelHealth, Health, HealthPolicy, HealthSnapshot
from domain.identifiers import CHINA
from domain.routing import WINDOW_END_MS, Account, OrderFacts, RoutingTable, decide
from domain.windows import FOREVER_MS, WEEK_MS, Window, overlap, weekly_spans

HOUR_MS = 3_600_000


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=CHINA).timestamp() * 1000)


def window(start: str, end: str = "", **more: object) -> Window:
    return Window("w", "up", ms(start), ms(end) if end else FOREVER_MS, "upgrade")._replace(**more)


def weekly(days: list[int], begin: int, end: int, start: str = "2017-01-01", until: str = "") -> Window:
    return window(start, until, weekly=weekly_spans(days, begin * 60, end * 60))


def test_a_window_once() -> None:
    night = window("2017-07-08 00:00", "2017-07-08 04:00")
    edges = {"2017-07-07 23:59:59.999": 0, "2017-07-08 00:00:00.000": 1, "2017-07-08 03:59:59.999": 1, "2017-07-08 04:00": 0}
    assert {at: night.covers(ms(at)) for at in edges} == edges
    assert night.last_end_ms(ms("2017-07-08 03:59:59.999")) == 0
    assert night.last_end_ms(ms("2017-07-08 04:00")) == night.end_ms
    assert night.present_or_next(ms("2017-07-08 01:00")) == (night.start_ms, night.end_ms)
    assert night.present_or_next(night.end_ms) is None


def test_a_window_that_comes_every_saturday_over_midnight_and_over_the_year() -> None:
    late = weekly([6], 23, 4)
    edges = {
        "2017-12-30 22:59:59.999": 0, "2017-12-30 23:00": 1, "2017-12-31 03:59:59.999": 1, "2017-12-31 04:00": 0,
        "2018-01-06 23:00": 1, "2018-01-07 04:00": 0, "2018-01-05 23:30": 0,
    }  # fmt: skip
    assert {at: late.covers(ms(at)) for at in edges} == edges
    assert late.last_end_ms(ms("2018-01-03 12:00")) == ms("2017-12-31 04:00")
    assert late.present_or_next(ms("2018-01-03 12:00")) == (ms("2018-01-06 23:00"), ms("2018-01-07 04:00"))
    assert late.present_or_next(ms("2018-01-07 01:00")) == (ms("2018-01-06 23:00"), ms("2018-01-07 04:00"))
    sunday = weekly([7], 22, 2)
    assert sunday.covers(ms("2018-01-01 01:59")) and not sunday.covers(ms("2018-01-01 02:00"))
    assert sunday.last_end_ms(ms("2018-01-01 02:00")) == ms("2018-01-01 02:00")


def test_a_weekly_window_ends_on_its_date_even_in_the_middle() -> None:
    cut = weekly([1, 2, 3, 4, 5, 6, 7], 0, 4, until="2017-07-08 02:00")
    assert cut.covers(ms("2017-07-08 01:59:59.999")) and not cut.covers(ms("2017-07-08 02:00"))
    assert cut.last_end_ms(ms("2017-07-09")) == ms("2017-07-08 02:00")
    assert not cut.covers(ms("2017-07-09 01:00"))
    assert weekly([1], 5, 5).covers(ms("2017-07-10 05:00")) and weekly([1], 5, 5).covers(ms("2017-07-11 04:59"))


def test_for_ever() -> None:
    gone = window("2017-07-08")
    assert gone.covers(ms("2999-12-31")) and gone.last_end_ms(ms("2999-12-31")) == 0


def test_a_window_may_concern_one_account_or_one_method() -> None:
    both = frozenset({"ALIPAY", "BANK_CARD"})
    one = window("2017-07-08", account_id="a1")
    assert one.concerns("a1", "ALIPAY", both) and not one.concerns("a2", "ALIPAY", both)
    cards = window("2017-07-08", method="BANK_CARD")
    assert cards.concerns("a1", "BANK_CARD", both) and not cards.concerns("a1", "ALIPAY", both)
    assert not cards.concerns("a1", "", both) and cards.concerns("a1", "", frozenset({"BANK_CARD"}))


def test_overlaps_are_found_where_both_stand_for_the_same() -> None:
    night = window("2017-07-08 00:00", "2017-07-08 04:00")
    assert overlap(night, window("2017-07-08 03:59:59.999", "2017-07-09"))
    assert not overlap(night, window("2017-07-08 04:00", "2017-07-09"))
    assert overlap(night, weekly([6], 3, 5)) and overlap(weekly([5], 23, 1), night)
    assert not overlap(night, weekly([6], 4, 5)) and not overlap(night, weekly([6], 3, 5, until="2017-07-08 03:00"))
    assert overlap(weekly([1], 0, 4), weekly([7], 22, 1)) and not overlap(weekly([1], 0, 4), weekly([1], 4, 5))
    assert overlap(window("2017-07-01"), weekly([3], 0, 1))
    accounts = night._replace(account_id="a1"), night._replace(account_id="a2")
    assert not overlap(*accounts) and overlap(accounts[0], night)
    assert not overlap(night._replace(method="A"), night._replace(method="B"))


def test_the_bank_s_upgrade_of_a_july_night_entered_once() -> None:
    night = window("2017-07-08 00:00", "2017-07-08 04:00")
    table = RoutingTable(
        (Account("up_1", "up", "life", "m", frozenset({"BANK_CARD"})), Account("wx_1", "wx", "life", "m", frozenset({"BANK_CARD"}), fee_bps=60)),
        windows=(night,), margin_bps=500,
    )  # fmt: skip
    health = ChannelHealth(HealthPolicy(), now_ms=ms("2017-07-07 12:00"), channel_id="up")
    seen: dict[str, HealthSnapshot] = {}

    def chosen(at: str, order_no: str = "o", amount_minor: int = 680_000) -> str:
        facts = OrderFacts("life", order_no, "CAR", amount_minor, "CNY", "BANK_CARD")
        decision = decide(facts, table, seen, now_ms=ms(at), draw=0.999)
        return decision.chosen.channel_id if decision.chosen else ""

    def look(at: str) -> None:
        if night.last_end_ms(ms(at)):
            health.try_out("a maintenance window has ended", ms(at))
        seen["up"] = health.tick(ms(at), 0.5)

    look("2017-07-07 23:59:59.800")
    assert chosen("2017-07-07 23:59:59.999") == "up"
    assert chosen("2017-07-08 00:00:00.000") == "wx"
    look("2017-07-08 03:59:59.900")
    assert chosen("2017-07-08 02:00") == chosen("2017-07-08 03:59:59.999") == "wx"
    assert chosen("2017-07-08 04:00:00.000") == "wx"  # it has ended, and nobody has tried the channel out yet
    look("2017-07-08 04:00:00.150")
    assert seen["up"].state is Health.HALF_OPEN
    after = Counter(chosen("2017-07-08 04:00:00.200", f"o-{number}") for number in range(200))
    assert after["up"] == 0  # big orders are no probes
    assert 0 < seen["up"].probe_budget <= 5  # small ones are, a few at a time
    assert seen["up"].admit_share < 1 or chosen("2017-07-08 04:00:00.200", amount_minor=5_000) == "up"


def test_a_window_that_ended_long_ago_keeps_nobody_out_for_want_of_news() -> None:
    night = window("2017-07-08 00:00", "2017-07-08 04:00")
    table = RoutingTable((Account("up_1", "up", "life", "m", frozenset({"QR"})),), windows=(night,))
    old = ChannelHealth(HealthPolicy(), now_ms=night.start_ms, channel_id="up").tick(night.start_ms, 0.5)
    facts = OrderFacts("life", "o", "CAR", 1_000, "CNY", "QR")
    for late_ms, free in ((0, False), (WINDOW_END_MS - 1, False), (WINDOW_END_MS, True)):
        decision = decide(facts, table, {"up": old}, now_ms=night.end_ms + late_ms, draw=0.5)
        assert (decision.chosen is not None) == free


DAYS = st.lists(st.integers(1, 7), min_size=1, max_size=3)
MINUTES = st.integers(0, 1_439)
T0 = ms("2017-12-25")
WINDOWS = st.builds(
    lambda start, length, spans: Window("w", "up", T0 + start * HOUR_MS, T0 + (start + length) * HOUR_MS, "", "", "", spans),
    st.integers(0, 400),
    st.integers(1, 600),
    st.one_of(st.just(()), st.builds(weekly_spans, DAYS, MINUTES, MINUTES)),
)


@given(WINDOWS, st.integers(0, 1_100 * 60))
@settings(max_examples=300)
def test_spans_ends_and_moments_agree(made: Window, minute: int) -> None:
    at = T0 + minute * 60_000
    spans = list(made.spans(T0 - WEEK_MS, T0 + 8 * WEEK_MS))
    assert made.covers(at) == any(first <= at < last for first, last in spans)
    ended = [last for _, last in spans if last <= at]
    assert made.last_end_ms(at) == max(ended, default=0)
    assert made.present_or_next(at) == next((span for span in spans if span[1] > at), None)


@given(WINDOWS, WINDOWS)
@settings(max_examples=300)
def test_windows_overlap_when_a_moment_lies_in_both(one: Window, other: Window) -> None:
    spans = [list(made.spans(T0, T0 + 8 * WEEK_MS)) for made in (one, other)]
    meet = any(max(a[0], b[0]) < min(a[1], b[1]) for a in spans[0] for b in spans[1])
    assert overlap(one, other) == overlap(other, one) == meet
