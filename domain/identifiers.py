"""Identifiers: sortable by time, prefixed by what they name. Randomness is an argument."""

import datetime
import string

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32, as in ULID
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_DOUBLED = bytes(sum(divmod(2 * int(chr(c)), 10)) if 48 <= c <= 57 else 0 for c in range(256))
_SINGLE = bytes(c - 48 if 48 <= c <= 57 else 0 for c in range(256))

# The business day of attempts is China's, whatever the host's zone.
CHINA = datetime.timezone(datetime.timedelta(hours=8))

RANDOM_BYTES = 10
_LETTERS = string.ascii_letters


def identifier(prefix: str, *, now_ms: int, random: bytes) -> str:
    """Return e.g. `pay_01JD…`: 48 bits of time and 80 random bits (`random` has 10 bytes), 26 characters."""
    value = (now_ms << 80) | int.from_bytes(random[:RANDOM_BYTES], "big")
    digits = [""] * 13
    for place in range(12, -1, -1):
        value, pair = divmod(value, 1024)
        digits[place] = _PAIRS[pair]
    return prefix + "".join(digits)


def attempt_number(*, shard: int, now_ms: int, random: bytes) -> str:
    """Return a channel request number: 31 digits with China's date, the shard (0–99), time, chance and a Luhn digit.

    Channels take at most 32 letters or digits, and some only digits.
    """
    day, ms_of_day = divmod(now_ms + 28_800_000, 86_400_000)
    chance = int.from_bytes(random[:5], "big") % 10**12
    body = f"{_date_digits(day)}{shard:02d}{ms_of_day:08d}{chance:012d}"
    return body + luhn_digit(body)


def time_within(number: str) -> str:
    """Return the YYYYMMDDHHMMSS, in China's time, at which an attempt's number was made, whatever letters are before it.

    Channels that know a request by number and time are so told the same time at every repeat. Raise ValueError for any
    other text.
    """
    digits = number.lstrip(_LETTERS)
    if len(digits) != 31 or not (digits.isascii() and digits.isdecimal()):
        raise ValueError("no time in this number")
    day = datetime.datetime.strptime(digits[:8], "%Y%m%d").replace(tzinfo=CHINA)
    ms_of_day = int(digits[10:18])
    if ms_of_day >= 86_400_000:
        raise ValueError("no time in this number")
    return (day + datetime.timedelta(milliseconds=ms_of_day)).strftime("%Y%m%d%H%M%S")


_dates: dict[int, str] = {}


def _date_digits(day: int) -> str:
    """Return YYYYMMDD of a count of days since 1970; the last few are remembered."""
    text = _dates.get(day)
    if text is None:
        if len(_dates) > 32:
            _dates.clear()
        text = _dates[day] = (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).strftime("%Y%m%d")
    return text


def luhn_digit(digits: str) -> str:
    """Return the digit that makes `digits` pass Luhn's check (ISO/IEC 7812-1)."""
    raw = digits.encode("ascii")
    total = sum(raw[-1::-2].translate(_DOUBLED)) + sum(raw[-2::-2].translate(_SINGLE))
    return str(-total % 10)
