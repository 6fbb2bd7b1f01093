"""What a sandbox channel is like when nothing goes wrong."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace

from simulator.errors import BadControl

CHANNEL_ID_LENGTH_MAX = 64
# A week: beyond that a latency is a typing error.
DURATION_MS_MAX = 7 * 86_400_000
RATE_PER_S_MAX = 1_000_000
# Payers differ more than networks do: the slowest of a hundred takes six times the median.
PAYER_P99_FACTOR = 6.0


@dataclass(frozen=True, slots=True)
class Profile:
    """One channel's habits. Shares are 0 to 1; a latency with p50 0 answers at once; p99 0 means equal to p50."""

    channel_id: str
    success_rate: float = 1.0
    latency_ms_p50: float = 0.0
    latency_ms_p99: float = 0.0
    # False answers with the result; true accepts first and tells the result by a callback.
    asynchronous: bool = False
    payer_delay_ms_p50: float = 2_000.0
    fee_bps: int = 0
    # Requests of all kinds per second of virtual time; 0 means no limit.
    rate_limit_per_s: int = 0
    # True sends a callback also where the answer holds the result.
    callback_on_sync: bool = False
    # Multiplies the times after which an unacknowledged callback is repeated.
    callback_schedule_factor: float = 1.0
    # Whether amounts choose outcomes, see `simulator.triggers`.
    amount_triggers: bool = True
    refund_delay_ms: int = 2_000
    # How long payouts and splits take; 0 answers with the result of a payout.
    payout_delay_ms: int = 2_000

    def __post_init__(self) -> None:
        for field in fields(self):
            problem = _CHECKS[field.name](getattr(self, field.name))
            if problem:
                raise BadControl(f"{field.name} {problem}")
        if 0 < self.latency_ms_p99 < self.latency_ms_p50:
            raise BadControl("latency_ms_p99 must be 0 or at least latency_ms_p50")

    def with_changes(self, changes: dict[str, object]) -> "Profile":
        """Return this profile with some fields changed. Raise BadControl for an unknown field or a bad value."""
        unknown = changes.keys() - _CHECKS.keys()
        if unknown:
            raise BadControl(f"unknown profile field {min(unknown)!r}")
        return replace(self, **changes)  # type: ignore[arg-type]  # __post_init__ checks every value

    def to_dict(self) -> dict[str, object]:
        """Return the fields by name."""
        return asdict(self)


def _text(value: object) -> str:
    if isinstance(value, str) and 0 < len(value) <= CHANNEL_ID_LENGTH_MAX and value.isprintable():
        return ""
    return f"must be 1 to {CHANNEL_ID_LENGTH_MAX} printable characters"


def _flag(value: object) -> str:
    return "" if isinstance(value, bool) else "must be true or false"


def _number(low: float, high: float) -> Callable[[object], str]:
    def check(value: object) -> str:
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return "" if good and low <= value <= high else f"must be a number from {low:g} to {high:g}"  # type: ignore[operator]

    return check


def _whole(low: int, high: int) -> Callable[[object], str]:
    def check(value: object) -> str:
        good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return "" if good else f"must be a whole number from {low} to {high}"

    return check


_CHECKS: dict[str, Callable[[object], str]] = {
    "channel_id": _text,
    "success_rate": _number(0, 1),
    "latency_ms_p50": _number(0, DURATION_MS_MAX),
    "latency_ms_p99": _number(0, DURATION_MS_MAX),
    "asynchronous": _flag,
    "payer_delay_ms_p50": _number(0, DURATION_MS_MAX),
    "fee_bps": _whole(0, 10_000),
    "rate_limit_per_s": _whole(0, RATE_PER_S_MAX),
    "callback_on_sync": _flag,
    "callback_schedule_factor": _number(0, 1_000),
    "amount_triggers": _flag,
    "refund_delay_ms": _whole(0, DURATION_MS_MAX),
    "payout_delay_ms": _whole(0, DURATION_MS_MAX),
}
