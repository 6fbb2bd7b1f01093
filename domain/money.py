"""Money: an integer count of minor units, with its currency. A float is a bug."""

from typing import NamedTuple

# One order: ten thousand million yuan. More is a unit mistake.
AMOUNT_MINOR_MAX = 10**12

# The currencies that a channel of ours settles, with the number of decimals of their minor unit.
CURRENCY_DECIMALS = {"CNY": 2, "HKD": 2, "USD": 2, "EUR": 2, "JPY": 0}


class Money(NamedTuple):
    """An amount. Adding other currencies is a programmer's error and fails loudly."""

    amount_minor: int
    currency_code: str

    def plus(self, other: "Money") -> "Money":
        """Return the sum, in the same currency."""
        assert self.currency_code == other.currency_code, f"{self} and {other} differ in currency"
        return Money(self.amount_minor + other.amount_minor, self.currency_code)

    def minus(self, other: "Money") -> "Money":
        """Return the difference, in the same currency; it may be negative."""
        assert self.currency_code == other.currency_code, f"{self} and {other} differ in currency"
        return Money(self.amount_minor - other.amount_minor, self.currency_code)


def share_bps(amount_minor: int, bps: int) -> int:
    """Return `bps` ten-thousandths of an amount, rounded half up to the minor unit (a fee of 0.6 % of 18.00 is 0.11)."""
    return (amount_minor * bps + 5_000) // 10_000


def decimal_text(money: Money) -> str:
    """Write an amount for a person: 680000 CNY is "6,800.00"."""
    decimals = CURRENCY_DECIMALS[money.currency_code]
    sign, digits = ("-" if money.amount_minor < 0 else ""), abs(money.amount_minor)
    whole, rest = divmod(digits, 10**decimals)
    return f"{sign}{whole:,}" + (f".{rest:0{decimals}d}" if decimals else "")


def parse_decimal(text: str, currency_code: str) -> int:
    """Read "6800.00" as minor units. Raise ValueError for anything but digits, one point and the right decimals."""
    decimals = CURRENCY_DECIMALS[currency_code]
    whole, point, rest = text.partition(".")
    if not (whole.isascii() and whole.isdigit()) or (point and not (rest.isascii() and rest.isdigit())):
        raise ValueError(f"{text!r} is not an amount such as 6800.00")
    if len(rest) > decimals:
        raise ValueError(f"{text!r} has more than {decimals} decimals for {currency_code}")
    return int(whole + rest.ljust(decimals, "0"))
