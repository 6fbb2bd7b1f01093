"""What a channel takes for an order: schedules in tiers by amount, each valid for a span of time.

A schedule covers every amount and every moment exactly once; `violations` names the place of each gap and each overlap.
The tier in which an amount falls holds for the whole amount, as channels bill it.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from domain.moments import moment_text
from domain.money import Money, decimal_text, share_bps
from domain.refusals import Violation

# A contract with more steps than this has been read wrongly; both bound the time of a decision.
TIERS_MAX = 16
SPANS_MAX = 32
BPS_MAX = 10_000


class Tier(NamedTuple):
    """What is taken from an amount from `from_minor` up to, not at, `to_minor` (0 is without end). Cap 0 means none."""

    from_minor: int = 0
    to_minor: int = 0
    rate_bps: int = 0
    flat_minor: int = 0
    cap_minor: int = 0


class Span(NamedTuple):
    """The tiers from `valid_from_ms` on up to, not at, `valid_until_ms` (0 is without end), in Unix milliseconds.

    `promotion` is what a payer may be told of it.
    """

    tiers: tuple[Tier, ...]
    valid_from_ms: int = 0
    valid_until_ms: int = 0
    promotion: str = ""


Schedule = tuple[Span, ...]


def tier_fee(tier: Tier, amount_minor: int) -> int:
    """Return a tier's fee: the share, rounded half up to the minor unit, and the flat part, together at most the cap."""
    fee = share_bps(amount_minor, tier.rate_bps) + tier.flat_minor
    return min(fee, tier.cap_minor) if tier.cap_minor else fee


def span_at(schedule: Schedule, now_ms: int) -> Span | None:
    """Return the span that holds at a moment; None only outside what the schedule covers."""
    for span in schedule:
        if span.valid_from_ms <= now_ms and (now_ms < span.valid_until_ms or not span.valid_until_ms):
            return span
    return None


def fee_at(schedule: Schedule, amount_minor: int, now_ms: int) -> int:
    """Return the fee of an amount at a moment: 0 outside what the schedule covers, which `violations` keeps from being."""
    span = span_at(schedule, now_ms)
    if span is not None:
        for tier in span.tiers:
            if tier.from_minor <= amount_minor and (amount_minor < tier.to_minor or not tier.to_minor):
                return tier_fee(tier, amount_minor)
    return 0


def violations(schedule: Sequence[Span], *, currency_code: str, from_ms: int = 0) -> Iterator[Violation]:
    """Check that every moment from `from_ms` on and every amount is covered once, and that the numbers make sense."""
    if len(schedule) > SPANS_MAX:
        yield Violation("fees", f"has {len(schedule)} spans; at most {SPANS_MAX} are allowed")
    ends_ms = from_ms
    for place, span in enumerate(schedule):
        name = f"fees[{place}]"
        yield from _span_violations(span, name, currency_code)
        if place == 0 and span.valid_from_ms > from_ms:
            yield Violation(f"{name}.valid_from", f"leaves a gap before {moment_text(span.valid_from_ms)}")
        elif place and not ends_ms:
            yield Violation(f"{name}.valid_from", f"overlaps fees[{place - 1}], which has no end")
        elif place and span.valid_from_ms > ends_ms:
            yield Violation(
                f"{name}.valid_from", f"leaves a gap from {moment_text(ends_ms)} to {moment_text(span.valid_from_ms)}"
            )
        elif place and span.valid_from_ms < ends_ms:
            yield Violation(
                f"{name}.valid_from",
                f"overlaps fees[{place - 1}] from {moment_text(span.valid_from_ms)} to {moment_text(ends_ms)}",
            )
        ends_ms = span.valid_until_ms
    if schedule and ends_ms:
        yield Violation(f"fees[{len(schedule) - 1}].valid_until", f"leaves a gap from {moment_text(ends_ms)} on")


def _span_violations(span: Span, name: str, currency_code: str) -> Iterator[Violation]:
    if span.valid_until_ms and span.valid_until_ms <= span.valid_from_ms:
        yield Violation(f"{name}.valid_until", "must be after valid_from")
    if not 1 <= len(span.tiers) <= TIERS_MAX:
        yield Violation(f"{name}.tiers", f"must be 1 to {TIERS_MAX}")
    if len(span.promotion) > 64 or not (span.promotion + " ").isprintable():
        yield Violation(f"{name}.promotion", "must be at most 64 printable characters")
    reached_minor, is_open = 0, False
    for place, tier in enumerate(span.tiers):
        where = f"{name}.tiers[{place}]"
        yield from _tier_violations(tier, where)
        if is_open:
            yield Violation(f"{where}.from_minor", f"overlaps tiers[{place - 1}], which has no end")
        elif tier.from_minor != reached_minor:
            gap = tier.from_minor > reached_minor
            low, high = sorted((reached_minor, tier.from_minor))
            between = f"from {_text(low, currency_code)} to {_text(high, currency_code)}"
            said = f"leaves a gap {between}" if gap else f"overlaps tiers[{place - 1}] {between}"
            yield Violation(f"{where}.from_minor", said)
        reached_minor, is_open = tier.to_minor, not tier.to_minor
    if span.tiers and not is_open:
        yield Violation(
            f"{name}.tiers[{len(span.tiers) - 1}].to_minor", f"leaves a gap from {_text(reached_minor, currency_code)} on"
        )


def _tier_violations(tier: Tier, where: str) -> Iterator[Violation]:
    if not 0 <= tier.rate_bps <= BPS_MAX:
        yield Violation(f"{where}.rate_bps", f"must be 0 to {BPS_MAX}")
    for name, value in (
        ("from_minor", tier.from_minor), ("to_minor", tier.to_minor), ("flat_minor", tier.flat_minor),
        ("cap_minor", tier.cap_minor),
    ):  # fmt: skip
        if value < 0:
            yield Violation(f"{where}.{name}", "must not be negative")
    if tier.to_minor and tier.to_minor <= tier.from_minor:
        yield Violation(f"{where}.to_minor", "must be more than from_minor")


def _text(amount_minor: int, currency_code: str) -> str:
    return decimal_text(Money(amount_minor, currency_code))
