"""Identifiers: length, order, China's date, and the check digit."""

import datetime
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identifiers import CHINA, RANDOM_BYTES, attempt_number, identifier, luhn_digit, time_within

times_ms = st.integers(0, 4_102_444_800_000)  # until 2100
chances = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)


def luhn_sum(digits: str) -> int:
    """Compute Luhn's sum the slow way, as the standard words it; a valid number's sum ends in 0."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total


@given(times_ms, chances)
def test_an_identifier_is_26_characters_after_its_prefix(now_ms: int, random: bytes) -> None:
    made = identifier("pay_", now_ms=now_ms, random=random)
    assert made.startswith("pay_")
    assert len(made) == 30
    assert set(made[4:]) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


@given(times_ms, times_ms, chances, chances)
def test_identifiers_sort_by_time(first_ms: int, second_ms: int, one: bytes, two: bytes) -> None:
    if first_ms < second_ms:
        assert identifier("", now_ms=first_ms, random=one) < identifier("", now_ms=second_ms, random=two)


@given(times_ms, chances, chances)
def test_identifiers_of_one_moment_differ_by_chance(now_ms: int, one: bytes, two: bytes) -> None:
    made = {identifier("", now_ms=now_ms, random=random) for random in (one, two)}
    assert len(made) == len({one, two})


@given(times_ms, st.integers(0, 99), chances)
def test_an_attempt_number_is_31_digits_with_a_check_digit(now_ms: int, shard: int, random: bytes) -> None:
    number = attempt_number(shard=shard, now_ms=now_ms, random=random)
    assert len(number) == 31
    assert number.isascii()
    assert number.isdigit()
    assert luhn_sum(number) % 10 == 0
    day = datetime.datetime.fromtimestamp(now_ms / 1000, CHINA)
    assert number[:8] == day.strftime("%Y%m%d")
    assert number[8:10] == f"{shard:02d}"


def test_the_business_day_is_chinas() -> None:
    eve = datetime.datetime(2026, 1, 31, 23, 59, 59, 900_000, CHINA)
    random = bytes(RANDOM_BYTES)
    before = attempt_number(shard=0, now_ms=int(eve.timestamp() * 1000), random=random)
    after = attempt_number(shard=0, now_ms=int(eve.timestamp() * 1000) + 100, random=random)
    assert (before[:8], after[:8]) == ("20260131", "20260201")


@given(st.text("0123456789", min_size=1, max_size=40))
def test_exactly_one_check_digit_makes_a_number_valid(digits: str) -> None:
    assert [digit for digit in "0123456789" if luhn_sum(digits + digit) % 10 == 0] == [luhn_digit(digits)]


def test_the_example_of_the_standard() -> None:
    assert luhn_digit("7992739871") == "3"


def test_numbers_of_one_millisecond_hardly_ever_meet() -> None:
    made = {attempt_number(shard=0, now_ms=1, random=os.urandom(RANDOM_BYTES)) for _ in range(10_000)}
    assert len(made) == 10_000


@given(times_ms, st.integers(0, 99), chances, st.sampled_from(["", "R", "pay"]))
def test_the_time_within_a_number_is_when_it_was_made(now_ms: int, shard: int, random: bytes, letters: str) -> None:
    number = attempt_number(shard=shard, now_ms=now_ms, random=random)
    assert time_within(letters + number) == datetime.datetime.fromtimestamp(now_ms // 1000, CHINA).strftime("%Y%m%d%H%M%S")


@pytest.mark.parametrize("text", ["", "n1", "9" * 31, "2026112400" + "9" * 21, "٢" * 31, "0" * 32])
def test_other_texts_hold_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"no time|not match|out of range|unconverted"):
        time_within(text)
