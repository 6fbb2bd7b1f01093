"""Fee schedules: every amount and every moment has one fee, and gaps and overlaps are named by their place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.fees import Span, Tier, fee_at, span_at, violations
from domain.terms import account_of, schedule_of
from domain.terms import violations as terms_violations

JULY_MS = 1_498_838_400_000  # 2017-07-01 00:00 in China
TIERED = (
    Span((Tier(0, 100_000, rate_bps=60), Tier(100_000, 0, rate_bps=38, cap_minor=2_000)), 0, JULY_MS),
    Span((Tier(rate_bps=0, flat_minor=100),), JULY_MS, 0, "fee 1.00 in July"),
)


@pytest.mark.parametrize(
    ("amount_minor", "now_ms", "fee"),
    [
        (1_800, 1, 11),  # 0.6 % of 18.00 is 0.108
        (99_999, 1, 600),
        (100_000, 1, 380),  # the tier holds for the whole amount
        (10_000_000, 1, 2_000),
        (10_000_000, JULY_MS - 1, 2_000),
        (10_000_000, JULY_MS, 100),
    ],
)
def test_the_fee_is_that_of_the_tier_and_of_the_moment(amount_minor: int, now_ms: int, fee: int) -> None:
    assert fee_at(TIERED, amount_minor, now_ms) == fee


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (TIERED, []),
        ((), []),
        (
            (Span((Tier(0, 50_000), Tier(60_000, 0))),),
            [("fees[0].tiers[1].from_minor", "leaves a gap from 500.00 to 600.00")],
        ),
        (
            (Span((Tier(0, 50_000), Tier(40_000, 0))),),
            [("fees[0].tiers[1].from_minor", "overlaps tiers[0] from 400.00 to 500.00")],
        ),
        ((Span((Tier(0, 50_000),)),), [("fees[0].tiers[0].to_minor", "leaves a gap from 500.00 on")]),
        ((Span((Tier(), Tier(100, 0))),), [("fees[0].tiers[1].from_minor", "overlaps tiers[0], which has no end")]),
        ((Span((Tier(100, 0),)),), [("fees[0].tiers[0].from_minor", "leaves a gap from 0.00 to 1.00")]),
        (
            (Span((Tier(),), 0, JULY_MS), Span((Tier(),), JULY_MS + 3_600_000)),
            [("fees[1].valid_from", "leaves a gap from 2017-07-01 00:00:00 to 2017-07-01 01:00:00")],
        ),
        (
            (Span((Tier(),), 0, JULY_MS), Span((Tier(),), JULY_MS - 60_000)),
            [("fees[1].valid_from", "overlaps fees[0] from 2017-06-30 23:59:00 to 2017-07-01 00:00:00")],
        ),
        ((Span((Tier(),)), Span((Tier(),), JULY_MS)), [("fees[1].valid_from", "overlaps fees[0], which has no end")]),
        ((Span((Tier(),), 0, JULY_MS),), [("fees[0].valid_until", "leaves a gap from 2017-07-01 00:00:00 on")]),
        ((Span((Tier(),), JULY_MS),), [("fees[0].valid_from", "leaves a gap before 2017-07-01 00:00:00")]),
        ((Span((Tier(rate_bps=10_001),)),), [("fees[0].tiers[0].rate_bps", "must be 0 to 10000")]),
    ],
)
def test_gaps_and_overlaps_are_refused_with_their_place(
    schedule: tuple[Span, ...], said: list[tuple[str, str]]
) -> None:
    assert [tuple(violation) for violation in violations(schedule, currency_code="CNY")] == said


@st.composite
def schedules(draw: st.DrawFn) -> tuple[Span, ...]:
    """Spans and tiers whose bounds may or may not meet."""
    spans = []
    for _ in range(draw(st.integers(1, 3))):
        tiers = tuple(
            Tier(draw(st.integers(0, 5)), draw(st.integers(0, 5)), draw(st.integers(0, 10_000)), draw(st.integers(0, 9)))
            for _ in range(draw(st.integers(1, 3)))
        )
        spans.append(Span(tiers, draw(st.integers(0, 5)), draw(st.integers(0, 5))))
    return tuple(spans)


@given(schedules())
def test_what_passes_covers_every_amount_and_moment_exactly_once(schedule: tuple[Span, ...]) -> None:
    if [*violations(schedule, currency_code="CNY")]:
        return
    for now_ms in range(8):
        holding = [s for s in schedule if s.valid_from_ms <= now_ms < (s.valid_until_ms or 99)]
        assert [span_at(schedule, now_ms)] == holding
        for amount_minor in range(8):
            assert len([t for t in holding[0].tiers if t.from_minor <= amount_minor < (t.to_minor or 99)]) == 1


@given(st.integers(1, 10**12), st.integers(0, 10_000), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_fee_is_never_over_its_cap_and_off_by_half_a_fen_at_most(amount: int, bps: int, flat: int, cap: int) -> None:
    fee = fee_at((Span((Tier(0, 0, bps, flat, cap),)),), amount, 0)
    exact_times_10_000 = amount * bps + flat * 10_000
    if cap and exact_times_10_000 >= cap * 10_000:
        assert fee == cap
    else:
        assert abs(fee * 10_000 - exact_times_10_000) <= 5_000


def test_terms_are_read_back_as_they_were_checked() -> None:
    terms = {
        "methods": ["ALIPAY"], "institutions": ["sh"], "day_limit_minor": 500, "rate_per_s": 3, "secret": "kept",
        "fees": [{"tiers": [{"rate_bps": 60}], "promotion": "none"}],
    }  # fmt: skip
    assert terms_violations(terms) == []
    account = account_of(
        terms, account_id="a", channel_id="c", tenant_id="t", merchant_no="m", branches={"sh": {"sh", "sh_pudong"}}
    )
    assert account.institutions == {"sh", "sh_pudong"}
    assert account.limits == (500, 0, 3)
    assert account.fees == schedule_of(terms) == (Span((Tier(rate_bps=60),), promotion="none"),)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({}, "methods"),
        ({"methods": "ALIPAY"}, "methods"),
        ({"methods": ["A"], "min_amount_minor": 5, "max_amount_minor": 4}, "min_amount_minor"),
        ({"methods": ["A"], "day_limit_minor": 5, "month_limit_minor": 4}, "day_limit_minor"),
        ({"methods": ["A"], "fee_bps": 1.5}, "fee_bps"),
        ({"methods": ["A"], "fee_bps": True}, "fee_bps"),
        ({"methods": ["A"], "fees": [{"tiers": [{"rate": 1}]}]}, "fees[0].tiers[0].rate"),
        ({"methods": ["A"], "fees": [{"tiers": 1}]}, "fees[0].tiers"),
        ({"methods": ["A"], "fees": ["x"]}, "fees[0]"),
        ({"methods": ["A"], "fees": [{}]}, "fees[0].tiers"),
        ({"methods": ["A"], "fee_bps": 1, "fees": [{"tiers": [{}]}]}, "fees"),
        ({"methods": ["A"], "currency_code": "YEN"}, "currency_code"),
    ],
)
def test_bad_terms_are_refused_with_their_field(terms: dict[str, object], field: str) -> None:
    assert field in [violation.field for violation in terms_violations(terms)]
