"""Maintenance windows: when a channel, an account or a method of it must not be offered.

A window lasts from `start_ms` on and up to, not at, `end_ms`: at 23:59:59.999 a channel is offered, at 00:00:00.000 it is
not. One with `weekly` spans counts only in these hours of the week in China, where no clock is ever changed. What is
under way when a window begins is asked about as ever; when one ends the channel is tried out.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
# China is eight hours ahead, and 1970 began on a Thursday: from Monday 00:00 there to the epoch.
_EPOCH_IN_WEEK_MS = 3 * DAY_MS + 8 * 3_600_000
# 1 January of the year 10000: the end of a window without one.
FOREVER_MS = 253_402_300_800_000


class Window(NamedTuple):
    """A span, or the spans of every week, in which something is not offered; account and method "" mean all.

    `weekly` has (begin, end) in milliseconds since Monday 00:00 in China; an end may lie in the next week. It stands for
    the orders of its tenant; "" is for those of all.
    """

    window_id: str
    channel_id: str
    start_ms: int
    end_ms: int
    reason: str
    account_id: str = ""
    method: str = ""
    weekly: tuple[tuple[int, int], ...] = ()
    tenant_id: str = ""

    @property
    def is_whole(self) -> bool:
        """Tell whether it stands for all of its channel that its tenant has."""
        return not self.account_id and not self.method

    def covers(self, now_ms: int) -> bool:
        """Tell whether it is in force."""
        return self.start_ms <= now_ms < self.end_ms and (not self.weekly or self._in_week(now_ms))

    def _in_week(self, now_ms: int) -> bool:
        place = (now_ms + _EPOCH_IN_WEEK_MS) % WEEK_MS
        return any(begin <= place < end or begin <= place + WEEK_MS < end for begin, end in self.weekly)

    def last_end_ms(self, now_ms: int) -> int:
        """Return when it ended last, at or before a moment; 0 if it has not."""
        latest_ms = min(now_ms, self.end_ms)
        ends = [self.end_ms] if self.end_ms <= now_ms and self.covers(self.end_ms - 1) else []
        for _, end in self.weekly:
            ends.append(latest_ms - (latest_ms + _EPOCH_IN_WEEK_MS - end) % WEEK_MS)
        return max([end for end in ends if self.start_ms < end <= now_ms], default=0)

    def spans(self, from_ms: int, to_ms: int) -> Iterator[tuple[int, int]]:
        """Return the spans in which it is in force, as far as they lie between two moments, in their order."""
        from_ms, to_ms = max(from_ms, self.start_ms), min(to_ms, self.end_ms)
        if not self.weekly:
            if from_ms < to_ms:
                yield from_ms, to_ms
            return
        monday_ms = from_ms - (from_ms + _EPOCH_IN_WEEK_MS) % WEEK_MS - WEEK_MS
        while monday_ms < to_ms:
            for begin, end in sorted(self.weekly):
                first, last = max(monday_ms + begin, from_ms), min(monday_ms + end, to_ms)
                if first < last:
                    yield first, last
            monday_ms += WEEK_MS

    def concerns(self, account_id: str, method: str, methods: frozenset[str]) -> bool:
        """Tell whether it stands against an account of its channel, for an order by a method ("" leaves it to us)."""
        if self.account_id and self.account_id != account_id:
            return False
        return not self.method or self.method == method or (not method and methods <= {self.method})

    def present_or_next(self, now_ms: int) -> tuple[int, int] | None:
        """Return the span in force or the next one, whole; None when there is none left."""
        near_ms = max(now_ms, self.start_ms)
        spans = self.spans(near_ms - WEEK_MS, near_ms + 3 * WEEK_MS) if self.weekly else self.spans(0, FOREVER_MS)
        return next((span for span in spans if span[1] > now_ms), None)


def weekly_spans(days: Sequence[int], begin_minute: int, end_minute: int) -> tuple[tuple[int, int], ...]:
    """Return the spans of days (1 is Monday) between two minutes of the day; an end that is not later is the day after."""
    length_ms = ((end_minute - begin_minute) % 1_440 or 1_440) * 60_000
    begins = [(day - 1) * DAY_MS + begin_minute * 60_000 for day in sorted(set(days))]
    return tuple((begin, begin + length_ms) for begin in begins)


def overlap(one: Window, other: Window) -> bool:
    """Tell whether two windows of a channel are ever in force for the same thing at the same time."""
    if one.account_id and other.account_id and one.account_id != other.account_id:
        return False
    if one.method and other.method and one.method != other.method:
        return False
    from_ms = max(one.start_ms, other.start_ms)
    to_ms = min(one.end_ms, other.end_ms)
    if one.weekly:  # what comes again is the same in the second week that both have
        to_ms = min(to_ms, from_ms + 2 * WEEK_MS) if other.weekly else to_ms
        one, other = (other, one) if not other.weekly else (one, other)
    if not one.weekly and other.weekly:
        to_ms = min(to_ms, from_ms + 2 * WEEK_MS)
    return any(next(other.spans(first, last), None) for first, last in one.spans(from_ms, to_ms))
