"""Payers who come back, and the account that each has paid through: a token is good at the channel that gave it alone.

What is remembered only makes a better choice, so it is bounded, and forgetting costs a payer one binding more.
"""

from collections.abc import Iterable
from typing import NamedTuple

# A day, as a payer sees it.
KEEP_MS = 86_400_000
REGULARS_MAX = 50_000


class Visit(NamedTuple):
    """An order that a payer has paid; `method` is what the order asked for, "" for any."""

    tenant_id: str
    payer_ref: str
    method: str
    account_id: str
    time_ms: int


class Regulars:
    """The newest visit of each payer by method."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, str], tuple[str, int]] = {}

    def note(self, visits: Iterable[Visit]) -> None:
        """Remember visits, the newest last. The payer who has not come for longest is forgotten first."""
        for visit in visits:
            if visit.payer_ref:
                key = visit.tenant_id, visit.payer_ref, visit.method
                self._kept.pop(key, None)
                self._kept[key] = visit.account_id, visit.time_ms
        while len(self._kept) > REGULARS_MAX:
            del self._kept[next(iter(self._kept))]

    def account_of(self, tenant_id: str, payer_ref: str, method: str, *, now_ms: int) -> str:
        """Return the account that a payer keeps, "" for none."""
        account_id, time_ms = self._kept.get((tenant_id, payer_ref, method), ("", 0))
        return account_id if now_ms - time_ms < KEEP_MS else ""
