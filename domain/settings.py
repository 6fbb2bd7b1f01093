"""Settings: typed keys, and which of the values given for an order's kind counts.

A value is given at a level: for a tenant or for all, and within that for a branch, a product, a source, a terminal and a
method, in any combination. The most specific level that fits an order counts. What comes first in this list outweighs
everything behind it: a value for a branch counts before one for a product, whatever else the latter names; a branch's own
value counts before that of a branch above it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from domain.refusals import Violation
from domain.tenancy import DEPTH_MAX

# Remembered resolutions; beyond that the memory starts anew.
KNOWN_MAX = 4_096
METHOD_LIST_MAX = 32


class Key(NamedTuple):
    """What a setting is: `low` and `high` bound a number, `choices` a word; a list holds words of `choices`, each once."""

    name: str
    default: Any
    about: str
    low: float = 0
    high: float = 0
    choices: tuple[str, ...] = ()


METHODS = ("WECHAT_PAY", "ALIPAY", "UNION_PAY", "BANK_CARD", "QUICK_CARD", "E_BANK", "REMITTANCE", "CHEQUE")

KEYS: Mapping[str, Key] = {
    key.name: key
    for key in (
        Key("routing.margin_bps", 10_000,
            "What an order is worth to the insurer, in ten-thousandths of its amount: 10,000 makes success weigh most, "
            "500 makes fees weigh.", 1, 10_000),
        Key("routing.explore_share", 0.0,
            "Share of small orders sent to another healthy channel than the best, to learn about it.", 0.0, 0.5),
        Key("routing.explore_amount_max_minor", 50_000, "Orders up to this amount may explore, in minor units.", 0, 10**9),
        Key("routing.probe_amount_max_minor", 10_000,
            "Orders up to this amount try a half-open channel, in minor units.", 0, 10**9),
        Key("order.expire_s", 900, "How long an order can be paid when the caller does not say, in seconds.", 60, 86_400),
        Key("release.level", "CHANNEL_CONFIRMED",
            "When an order may be released to the policy system: when the channel has confirmed the payment, or only when "
            "its money has arrived at the bank.", choices=("CHANNEL_CONFIRMED", "FUNDS_RECEIVED")),
        Key("cashier.display_order", (),
            "The methods that a cashier shows first, in this order; the others follow by name.", choices=METHODS),
    )
}  # fmt: skip


class Level(NamedTuple):
    """Where a value counts; "" stands for any. As a question: the kind of an order, with "" for what it does not have."""

    tenant_id: str = ""
    institution_id: str = ""
    product_code: str = ""
    source: str = ""
    terminal: str = ""
    method: str = ""


class Setting(NamedTuple):
    """A value of a key at a level."""

    key: str
    level: Level
    value: Any
    version: int = 1
    valid_from_ms: int = 0


class Considered(NamedTuple):
    """A value that was looked at. `fits` tells whether its level fits the order; the default has neither level nor version."""

    value: Any
    level: Level | None
    version: int
    fits: bool


class Resolution(NamedTuple):
    """What counts for a key, and what was passed over for it, the most specific first."""

    key: str
    chosen: Considered
    passed_over: tuple[Considered, ...]


def value_violation(key: str, value: Any) -> Violation | None:
    """Tell what is wrong with a value of a key, None when nothing is."""
    known = KEYS.get(key)
    if known is None:
        return Violation("key", f"{key[:64]!r} is no setting; there are {', '.join(KEYS)}")
    if isinstance(known.default, tuple):
        fine = isinstance(value, list | tuple) and all(word in known.choices for word in value)
        if not fine or len(set(value)) < len(value):
            return Violation("value", f"must be a list of {', '.join(known.choices)}, each at most once")
    elif known.choices:
        if value not in known.choices:
            return Violation("value", f"must be one of {', '.join(known.choices)}")
    elif not isinstance(value, type(known.default)) and not (isinstance(known.default, float) and type(value) is int):
        return Violation("value", "must be a whole number" if isinstance(known.default, int) else "must be a number")
    elif isinstance(value, bool) or not known.low <= value <= known.high:
        return Violation("value", f"must be {known.low} to {known.high}")
    return None


class Settings:
    """The values that count for one tenant at one moment: its own, and those for all tenants.

    `lineage` gives each of its branches with those above it, the nearest first.
    """

    def __init__(
        self, tenant_id: str, rows: Iterable[Setting] = (), lineage: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self._tenant_id = tenant_id
        self._lineage = lineage or {}
        self._rows: dict[str, list[Setting]] = {}
        for row in rows:
            if row.level.tenant_id in ("", tenant_id):
                self._rows.setdefault(row.key, []).append(row)
        self._known: dict[tuple[str, Level], Any] = {}

    def names(self, prefix: str) -> list[str]:
        """Return the keys below a prefix for which there are values."""
        return [key for key in self._rows if key.startswith(prefix)]

    def value(self, key: str, order: Level) -> Any:
        """Return what counts for an order of a kind; remembered."""
        if key not in self._rows:
            return KEYS[key].default
        known = self._known.get((key, order), self)
        if known is self:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            known = self._known[key, order] = self.resolve(key, order).chosen.value
        return known

    def resolve(self, key: str, order: Level) -> Resolution:
        """Return what counts for an order of a kind, and what was passed over."""
        ranked = sorted(
            ((self._rank(row.level, order), row) for row in self._rows.get(key, ())),
            key=lambda pair: (pair[0] is not None, pair[0] or (), tuple(pair[1].level)),
            reverse=True,
        )
        every = [Considered(row.value, row.level, row.version, rank is not None) for rank, row in ranked]
        fitting = [item for item in every if item.fits]
        default = Considered(KEYS[key].default, None, 0, fits=True)
        considered = [*fitting, default, *(item for item in every if not item.fits)]
        return Resolution(key, considered[0], tuple(considered[1:]))

    def _rank(self, level: Level, order: Level) -> tuple[int, ...] | None:
        """Return how specific a level is for an order; None when it does not fit."""
        if level.tenant_id not in ("", self._tenant_id):
            return None
        ranks = [1 if level.tenant_id else 0, 0]
        if level.institution_id:
            above = self._lineage.get(order.institution_id, ())
            if level.institution_id not in above:
                return None
            ranks[1] = DEPTH_MAX - list(above).index(level.institution_id)
        for wanted, given in zip(level[2:], order[2:], strict=True):
            if wanted and wanted != given:
                return None
            ranks.append(1 if wanted else 0)
        return tuple(ranks)
