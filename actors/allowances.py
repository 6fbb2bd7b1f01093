"""What a router knows of the limits of its merchant accounts; the database counts, and has the last word."""

from collections.abc import Iterable, Mapping

from domain.account_limits import Allowance, Limits, Wish, less
from domain.moments import china_day
from storage.payments import Intent, Redirect


class Allowances:
    """What is left of limits: as the database last said, less what was decided since.

    An account without a limit is not here, and an account of which nothing is known yet is not held back. A day's figures
    are forgotten when China's day ends, a second's pace when the second does.
    """

    def __init__(self) -> None:
        self.limits: Mapping[str, Limits] = {}  # by account id, of accounts that have some
        self.are_reserved = False  # whether attempts may hold parts of limits, of such too that were lifted since
        self._left: dict[str, Allowance] = {}
        self._day = china_day(0)
        self._second = 0
        self._paced: dict[str, int] = {}

    @property
    def counted(self) -> dict[str, Limits]:
        """The accounts for which the database counts."""
        return {name: limits for name, limits in self.limits.items() if limits.day_minor or limits.month_minor}

    def at(self, now_ms: int) -> Mapping[str, Allowance]:
        """Return what is left at a moment, by account id; `spend` changes it."""
        if not self.limits:
            return {}
        if self._day != china_day(now_ms):
            self._day, self._left = china_day(now_ms), {}
        if self._second != now_ms // 1_000:
            self._second = now_ms // 1_000
            for account_id in self._paced:
                self._left[account_id] = self._left.get(account_id, Allowance())._replace(paced=False)
            self._paced = {}
        return self._left

    def learn(self, left: Mapping[str, Allowance]) -> None:
        """Take what the database said."""
        for account_id, allowance in left.items():
            known = self._left.get(account_id, allowance)
            self._left[account_id] = allowance._replace(paced=known.paced)

    def spend(self, account_id: str, amount_minor: int) -> None:
        """Note that an order was decided for an account."""
        limits = self.limits.get(account_id)
        if limits is None:
            return
        left = less(self._left.get(account_id, Allowance()), amount_minor)
        if limits.rate_per_s:
            self._paced[account_id] = self._paced.get(account_id, 0) + 1
            left = left._replace(paced=self._paced[account_id] >= limits.rate_per_s)
        self._left[account_id] = left

    def wishes(self, attempts: Iterable[tuple[Intent | Redirect, int]]) -> list[Wish]:
        """Return what attempts, with their amounts, want of limits that the database counts."""
        counted = self.counted if self.limits else {}
        return [
            Wish(attempt.attempt_no, attempt.account_id, amount_minor, counted[attempt.account_id])
            for attempt, amount_minor in attempts
            if attempt.account_id in counted
        ]
