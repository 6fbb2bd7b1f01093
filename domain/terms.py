"""The terms of a merchant account as they are stored, and the account that they describe.

Terms are plain JSON values. What is named here is checked and means something to routing; channels keep keys of their own
beside it, such as an application's number.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from domain import fees
from domain.account_limits import Limits
from domain.fees import Span, Tier
from domain.money import AMOUNT_MINOR_MAX, CURRENCY_DECIMALS
from domain.refusals import Violation
from domain.routing import Account

# What an account may take in a month: a thousand orders of the largest size.
LIMIT_MINOR_MAX = 1_000 * AMOUNT_MINOR_MAX
NAMES_MAX = 256
NAME_LENGTH_MAX = 32

_LISTS = ("methods", "terminals", "products", "institutions", "partner_only")
_NUMBERS = {
    "fee_bps": (0, fees.BPS_MAX), "fee_flat_minor": (0, AMOUNT_MINOR_MAX), "fee_cap_minor": (0, AMOUNT_MINOR_MAX),
    "min_amount_minor": (0, AMOUNT_MINOR_MAX), "max_amount_minor": (1, AMOUNT_MINOR_MAX),
    "day_limit_minor": (0, LIMIT_MINOR_MAX), "month_limit_minor": (0, LIMIT_MINOR_MAX),
    "refund_window_days": (0, 3_660), "rate_per_s": (0, 100_000),
}  # fmt: skip
_SPAN_FIELDS = frozenset(Span._fields)
_TIER_FIELDS = frozenset(Tier._fields)
KNOWN = frozenset({*_LISTS, *_NUMBERS, "currency_code", "fees"})


def violations(terms: Mapping[str, Any], *, valid_from_ms: int = 0) -> list[Violation]:
    """Check terms that count from a moment on."""
    found = [*_shape_violations(terms)]
    if found:
        return found
    lowest, highest = terms.get("min_amount_minor", 1), terms.get("max_amount_minor", AMOUNT_MINOR_MAX)
    if lowest > highest:
        found.append(Violation("min_amount_minor", f"{lowest} is more than max_amount_minor, {highest}"))
    day, month = terms.get("day_limit_minor", 0), terms.get("month_limit_minor", 0)
    if day and month and day > month:
        found.append(Violation("day_limit_minor", f"{day} is more than month_limit_minor, {month}"))
    if not terms.get("methods"):
        found.append(Violation("methods", "must name at least one"))
    if terms.get("fees") and any(terms.get(name) for name in ("fee_bps", "fee_flat_minor", "fee_cap_minor")):
        found.append(Violation("fees", "stand beside fee_bps, fee_flat_minor or fee_cap_minor; give one or the other"))
    currency_code = terms.get("currency_code", "CNY")
    return [*found, *fees.violations(schedule_of(terms), currency_code=currency_code, from_ms=valid_from_ms)]


def _shape_violations(terms: Mapping[str, Any]) -> Iterator[Violation]:
    """Check that everything is of its kind, so that the rest can be read."""
    for name in _LISTS:
        value = terms.get(name, [])
        if not isinstance(value, list | tuple) or not all(map(_is_name, value)):
            yield Violation(name, f"must be a list of names of 1 to {NAME_LENGTH_MAX} printable characters")
        elif len(value) > NAMES_MAX:
            yield Violation(name, f"has {len(value)} names; at most {NAMES_MAX} are allowed")
    for name, (low, high) in _NUMBERS.items():
        value = terms.get(name, low)
        if type(value) is not int or not low <= value <= high:
            yield Violation(name, f"must be {low} to {high}")
    if terms.get("currency_code", "CNY") not in list(CURRENCY_DECIMALS):
        yield Violation("currency_code", f"must be one of {', '.join(sorted(CURRENCY_DECIMALS))}")
    spans = terms.get("fees", [])
    if not isinstance(spans, list):
        yield Violation("fees", "must be a list of spans")
        return
    for place, span in enumerate(spans):
        yield from _fields_violations(span, f"fees[{place}]", _SPAN_FIELDS, texts={"promotion"}, lists={"tiers"})
        tiers = span.get("tiers") if isinstance(span, Mapping) else None
        for index, tier in enumerate(tiers if isinstance(tiers, list) else ()):
            yield from _fields_violations(tier, f"fees[{place}].tiers[{index}]", _TIER_FIELDS)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= NAME_LENGTH_MAX and value.isprintable()


def _fields_violations(
    value: Any, where: str, names: Collection[str], *, texts: Collection[str] = (), lists: Collection[str] = ()
) -> Iterator[Violation]:
    if not isinstance(value, Mapping):
        yield Violation(where, f"must have {', '.join(sorted(names))}")
        return
    for name, item in value.items():
        kind = str if name in texts else list if name in lists else int
        if name not in names:
            yield Violation(f"{where}.{name}", f"is unknown; there are {', '.join(sorted(names))}")
        elif type(item) is not kind:
            yield Violation(f"{where}.{name}", "must be a whole number" if kind is int else f"must be a {kind.__name__}")


def schedule_of(terms: Mapping[str, Any]) -> fees.Schedule:
    """Return the fee schedule in terms, empty where there is none."""
    return tuple(
        Span(**{**span, "tiers": tuple(Tier(**tier) for tier in span.get("tiers", ()))}) for span in terms.get("fees", ())
    )


def account_of(
    terms: Mapping[str, Any],
    *,
    account_id: str,
    channel_id: str,
    tenant_id: str,
    merchant_no: str,
    version: int = 1,
    branches: Mapping[str, Collection[str]] | None = None,
) -> Account:
    """Return the account that terms describe; `branches` gives, by branch, those below it."""
    below = branches or {}
    bound = terms.get("institutions", ())
    return Account(
        account_id=account_id,
        channel_id=channel_id,
        tenant_id=tenant_id,
        merchant_no=merchant_no,
        methods=frozenset(terms.get("methods", ())),
        terminals=frozenset(terms.get("terminals", ())),
        products=frozenset(terms.get("products", ())),
        partner_only=frozenset(terms.get("partner_only", ())),
        fee_bps=terms.get("fee_bps", 0),
        fee_flat_minor=terms.get("fee_flat_minor", 0),
        fee_cap_minor=terms.get("fee_cap_minor", 0),
        min_amount_minor=terms.get("min_amount_minor", 1),
        max_amount_minor=terms.get("max_amount_minor", AMOUNT_MINOR_MAX),
        currency_code=terms.get("currency_code", "CNY"),
        refund_window_days=terms.get("refund_window_days", 365),
        institutions=frozenset(bound).union(*(below.get(branch, ()) for branch in bound)),
        fees=schedule_of(terms),
        limits=Limits(terms.get("day_limit_minor", 0), terms.get("month_limit_minor", 0), terms.get("rate_per_s", 0)),
        version=version,
    )
