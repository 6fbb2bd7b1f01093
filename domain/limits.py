"""What LIMIT rules have given away in the present hour or day, by the clock in China.

One router owns a tenant's payments, so its count is the tenant's count. It counts attempts when they are sent, whether or
not they are paid later; an order that fails over counts once per attempt. Periods begin anew at the full hour and at
midnight, and a share holds at every moment since: of the first three orders none goes to a channel limited to 30 %.
"""

from collections.abc import Iterable
from typing import NamedTuple

from domain.rules import BPS, Limit, Period, Rule

CHINA_MS = 8 * 3_600_000
_PERIODS_MS = {Period.HOUR: 3_600_000, Period.DAY: 86_400_000}
# When so many are known, that which has not moved for longest is dropped: its rule is no longer in force, most likely.
COUNTS_MAX = 10_000


class Use(NamedTuple):
    """What a rule has counted in a period: orders that it concerned, those sent to its channels, and their amount."""

    tenant_id: str
    rule_id: str
    period_ms: int  # when the period began, in Unix milliseconds
    order_count: int = 0
    sent_count: int = 0
    sent_minor: int = 0


def period_start_ms(period: str, now_ms: int) -> int:
    """Return when the present hour or day began in China."""
    return now_ms - (now_ms + CHINA_MS) % _PERIODS_MS[Period(period)]


class LimitBook:
    """The counts of one router. Memory only: its owner stores what is `dirty`, and reads it with `load` when it starts."""

    def __init__(self) -> None:
        self._uses: dict[tuple[str, str], Use] = {}  # what has not moved for longest comes first
        self._dirty: set[tuple[str, str]] = set()

    def is_full(self, tenant_id: str, rule: Rule, amount_minor: int, now_ms: int) -> bool:
        """Tell whether one more order of this amount would be too much for the rule's channels."""
        use = self._use(tenant_id, rule, now_ms)
        if rule.limit_minor and use.sent_minor + amount_minor > rule.limit_minor:
            return True
        return bool(rule.limit_bps) and (use.sent_count + 1) * BPS > rule.limit_bps * (use.order_count + 1)

    def note(
        self, tenant_id: str, limits: Iterable[Limit], channel_id: str, amount_minor: int, now_ms: int, *, times: int = 1
    ) -> None:
        """Count an order for the limits that concern it; `times` -1 takes back what was not sent after all."""
        for rule, channels in limits:
            use = self._use(tenant_id, rule, now_ms)
            sent = times if channel_id in channels else 0
            use = use._replace(
                order_count=max(use.order_count + times, 0),
                sent_count=max(use.sent_count + sent, 0),
                sent_minor=max(use.sent_minor + sent * amount_minor, 0),
            )
            key = tenant_id, rule.rule_id
            self._uses.pop(key, None)
            self._uses[key] = use
            self._dirty.add(key)
            if len(self._uses) > COUNTS_MAX:
                del self._uses[next(iter(self._uses))]

    def dirty(self) -> list[Use]:
        """Return the counts that are not `stored` as they are now."""
        self._dirty &= self._uses.keys()
        return [self._uses[key] for key in self._dirty]

    def stored(self, uses: Iterable[Use]) -> None:
        """Note what has been stored. What was counted meanwhile stays dirty."""
        self._dirty.difference_update(key for use in uses if self._uses.get(key := (use.tenant_id, use.rule_id)) == use)

    def load(self, uses: Iterable[Use]) -> None:
        """Take stored counts."""
        self._uses.update(((use.tenant_id, use.rule_id), use) for use in uses)

    def _use(self, tenant_id: str, rule: Rule, now_ms: int) -> Use:
        start_ms = period_start_ms(rule.limit_per, now_ms)
        use = self._uses.get((tenant_id, rule.rule_id))
        return use if use is not None and use.period_ms == start_ms else Use(tenant_id, rule.rule_id, start_ms)
