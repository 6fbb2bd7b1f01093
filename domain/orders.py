"""What a wish to collect an order must look like before anybody acts on it."""

from collections.abc import Iterator

from domain import privacy
from domain.money import AMOUNT_MINOR_MAX, CURRENCY_DECIMALS
from domain.refusals import Violation

# An order lives a day at most; how long it lives unless it says so is the setting order.expire_s.
LIFETIME_MS_MAX = 24 * 3_600_000
# Clocks of callers differ from ours by so much at most.
CLOCK_SKEW_MS = 5 * 60_000

_LENGTHS = {"request_id": (1, 64), "order_no": (1, 64), "product_code": (1, 32), "source": (0, 32),
            "subject": (0, 128), "payer_ref": (0, 64), "institution_id": (0, 32)}  # fmt: skip


def text_violations(**fields: str) -> Iterator[Violation]:
    """Check texts by name: their length, and that they hold printable characters only."""
    for name, value in fields.items():
        shortest, longest = _LENGTHS[name]
        if len(value) > longest:
            yield Violation(name, f"has {len(value)} characters; at most {longest} are allowed")
        elif len(value) < shortest:
            yield Violation(name, "is missing")
        elif value and not value.isprintable():
            yield Violation(name, "holds a character that can't be printed")
        elif name == "payer_ref" and (privacy.is_identity(value) or privacy.is_phone(value)):
            yield Violation(name, "is an identity number or a phone, which are stored sealed in `payer`; this is for tokens")


def amount_violations(amount_minor: int, currency_code: str) -> Iterator[Violation]:
    """Check an amount and its currency."""
    if amount_minor <= 0:
        yield Violation("amount.amount_minor", "must be positive")
    elif amount_minor > AMOUNT_MINOR_MAX:
        yield Violation("amount.amount_minor", f"is over {AMOUNT_MINOR_MAX}: is the unit right?")
    if currency_code not in CURRENCY_DECIMALS:
        yield Violation("amount.currency_code", f"must be one of {', '.join(sorted(CURRENCY_DECIMALS))}")


def expiry_violations(expire_ms: int, now_ms: int) -> Iterator[Violation]:
    """Check a caller's expiry; one that has passed is not a mistake but a refusal of its own."""
    if expire_ms > now_ms + LIFETIME_MS_MAX + CLOCK_SKEW_MS:
        yield Violation("expire_time", "is more than 24 hours ahead")
