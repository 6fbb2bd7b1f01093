"""Money: whole minor units, their sums, shares and texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import AMOUNT_MINOR_MAX, CURRENCY_DECIMALS, Money, decimal_text, parse_decimal, share_bps

amounts = st.integers(-AMOUNT_MINOR_MAX, AMOUNT_MINOR_MAX)
currencies = st.sampled_from(sorted(CURRENCY_DECIMALS))


@given(amounts, amounts, currencies)
def test_minus_undoes_plus(first: int, second: int, currency_code: str) -> None:
    one, two = Money(first, currency_code), Money(second, currency_code)
    assert one.plus(two).minus(two) == one
    assert one.plus(two) == two.plus(one)


def test_other_currencies_are_never_added() -> None:
    with pytest.raises(AssertionError):
        Money(1, "CNY").plus(Money(1, "USD"))
    with pytest.raises(AssertionError):
        Money(1, "CNY").minus(Money(1, "USD"))


@given(st.integers(0, AMOUNT_MINOR_MAX), st.integers(0, 10_000))
def test_a_share_is_rounded_half_up_and_never_more_than_the_whole(amount_minor: int, bps: int) -> None:
    share = share_bps(amount_minor, bps)
    assert 0 <= share <= amount_minor
    assert abs(share * 10_000 - amount_minor * bps) <= 5_000


def test_the_fee_of_the_books() -> None:
    assert share_bps(1_800, 60) == 11  # 0.108 yuan
    assert share_bps(125, 400) == 5


@given(st.integers(0, AMOUNT_MINOR_MAX), currencies)
def test_what_is_written_is_read_back(amount_minor: int, currency_code: str) -> None:
    text = decimal_text(Money(amount_minor, currency_code))
    assert parse_decimal(text.replace(",", ""), currency_code) == amount_minor


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money(680_000, "CNY"), "6,800.00"),
        (Money(-5, "CNY"), "-0.05"),
        (Money(1_234_567, "JPY"), "1,234,567"),
        (Money(0, "USD"), "0.00"),
    ],
)
def test_people_read_decimals(money: Money, text: str) -> None:
    assert decimal_text(money) == text


@pytest.mark.parametrize(
    "text", ["", ".", ".5", "-1", "+1", "1e3", " 1", "1,000", "1.234", "1.2.3", "٣", "1.٣", "NaN", "一百", "0x10"]
)
def test_nothing_but_digits_and_a_point_is_an_amount(text: str) -> None:
    with pytest.raises(ValueError, match=r"amount|decimals"):
        parse_decimal(text, "CNY")


def test_yen_have_no_decimals() -> None:
    assert parse_decimal("100", "JPY") == 100
    with pytest.raises(ValueError, match="decimals"):
        parse_decimal("100.5", "JPY")


@given(st.text(max_size=20))
def test_any_text_is_an_amount_or_a_value_error(text: str) -> None:
    try:
        assert parse_decimal(text, "CNY") >= 0
    except ValueError:
        assert not (text.isascii() and text.isdigit())
