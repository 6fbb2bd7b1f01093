"""When people are told that something ends, and from when on it is not relied on any more."""

from collections.abc import Mapping

DAY_MS = 86_400_000
# Days are those of people in China, who have one time zone and no summer time.
_CHINA_MS = 8 * 3_600_000

# People are told when so many days are left, and daily from the day of the end on.
THRESHOLDS = (30, 15, 7, 3, 1)
# From here on others are told too, when nobody has said that they know of the message before.
ESCALATION_DAYS = 7
# A month after the end nobody is waiting for one more message.
DAILY_MAX = 30


def days_left(*, not_after_ms: int, now_ms: int) -> int:
    """Return how many days lie between today and the day of the end; 0 on that day, negative after it."""
    return day(not_after_ms) - day(now_ms)


def day(now_ms: int) -> int:
    """Return which day it is, counted from 1970-01-01."""
    return (now_ms + _CHINA_MS) // DAY_MS


def threshold(days: int) -> int | None:
    """Return for which mark people must have been told when so many days are left; None when it is early, or long past.

    Marks that were missed, as by something that is added shortly before its end, are not made up for.
    """
    if days > THRESHOLDS[0] or days < -DAILY_MAX:
        return None
    return days if days <= 0 else min(mark for mark in THRESHOLDS if mark >= days)


def escalates(mark: int, *, told: Mapping[int, bool]) -> bool:
    """Tell whether others are told at a mark too; `told` says of each mark that was told whether somebody has acknowledged it.

    Who has said that they know of the last message has until the next one: a word given early does not hold to the end.
    """
    if mark > ESCALATION_DAYS:
        return False
    earlier = [other for other in told if other > mark]
    return not (told.get(mark, False) or (bool(earlier) and told[min(earlier)]))


def unreliable_from_ms(not_after_ms: int) -> int:
    """Return from when on something is not relied on: the beginning of its last day, before the first failure. 0 for never."""
    return day(not_after_ms) * DAY_MS - _CHINA_MS if not_after_ms else 0
