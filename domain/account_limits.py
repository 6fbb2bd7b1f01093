"""What a merchant account may take in a day and in a month, by China's calendar.

The database counts and judges. A router knows what was left a moment ago, so that decisions fall to the next channel
before the database has to say no.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple


class Limits(NamedTuple):
    """What an account may take, in minor units, and how many orders in a second; 0 means without limit."""

    day_minor: int = 0
    month_minor: int = 0
    rate_per_s: int = 0


class Allowance(NamedTuple):
    """What an account may still take today and this month, and whether in this second."""

    day_minor: int = 10**18
    month_minor: int = 10**18
    paced: bool = False


class Wish(NamedTuple):
    """An attempt that wants its part of an account's limits."""

    attempt_no: str
    account_id: str
    amount_minor: int
    limits: Limits


NOTHING_KNOWN: Mapping[str, Allowance] = {}


def month_of(day: date) -> date:
    """Return the first day of a month."""
    return day.replace(day=1)


def allowance(limits: Limits, *, day_used_minor: int, month_used_minor: int) -> Allowance:
    """Return what is left of an account's limits."""
    free = Allowance()
    return Allowance(
        limits.day_minor - day_used_minor if limits.day_minor else free.day_minor,
        limits.month_minor - month_used_minor if limits.month_minor else free.month_minor,
    )


def less(left: Allowance, amount_minor: int) -> Allowance:
    """Return what is left after one more order."""
    return left._replace(day_minor=left.day_minor - amount_minor, month_minor=left.month_minor - amount_minor)


def fitting(wishes: Sequence[Wish], left: Mapping[str, Allowance]) -> tuple[list[Wish], dict[str, Allowance]]:
    """Return the wishes that fit, in their order, and what is left then. A big one that does not fit lets others by."""
    rest = dict(left)
    fits = []
    for wish in wishes:
        free = rest[wish.account_id]
        if wish.amount_minor <= min(free.day_minor, free.month_minor):
            rest[wish.account_id] = less(free, wish.amount_minor)
            fits.append(wish)
    return fits, rest
