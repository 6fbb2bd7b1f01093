"""What goes in and out of the gateway: merged parameters, amounts in yuan, times of Shanghai, and the answer's text."""

import datetime
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from simulator.codec import Flaw
from simulator.wire.front import Told

SHANGHAI = datetime.timezone(datetime.timedelta(hours=8))
_AMOUNT = re.compile(r"(\d{1,9})(?:\.(\d{1,2}))?")
_TIME = "%Y-%m-%d %H:%M:%S"
_EXPRESS = re.compile(r"(\d{1,5})([mhd])")
_EXPRESS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
CHARSETS = frozenset({"utf-8", "gbk", "gb2312"})

NOTHING_TOLD = Told({}, Flaw.NONE, 0)

_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Invalid(Exception):
    """A request that the gateway or the business refuses; `told` is the weather around a refusal by the world."""

    def __init__(self, code: str, sub_code: str, text: str = "") -> None:
        super().__init__(code, sub_code, text)
        self.code = code
        self.sub_code = sub_code
        self.text = text
        self.told = NOTHING_TOLD


def merged(query: bytes, body: bytes) -> dict[str, str]:
    """Merge the parameters of query and form, wherever a client put them; the charset is one of them."""
    latin = dict(parse_qsl(query.decode("latin-1")) + parse_qsl(body.decode("latin-1")))
    charset = latin.get("charset", "utf-8").lower()
    if charset not in CHARSETS:
        raise Invalid("40002", "isv.invalid-charset")
    pairs = []
    for part in (query, body):
        try:
            pairs += parse_qsl(part.decode("ascii"), keep_blank_values=True, encoding=charset, errors="strict")
        except ValueError:
            raise Invalid("40002", "isv.invalid-charset") from None
    return dict(pairs)


def amount_of(text: object) -> int:
    """Read an amount in yuan into fen. Raise Invalid."""
    match = _AMOUNT.fullmatch(text) if isinstance(text, str) else None
    if match is None and isinstance(text, int | float) and not isinstance(text, bool):
        match = _AMOUNT.fullmatch(f"{text:.2f}") if round(text, 2) == text else None
    if match is None:
        raise Invalid("40004", "ACQ.INVALID_PARAMETER", "amount")
    fen = int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))
    if not fen:
        raise Invalid("40004", "ACQ.INVALID_PARAMETER", "amount")
    return fen


def yuan(fen: int) -> str:
    """Write an amount in yuan."""
    sign, fen = ("-", -fen) if fen < 0 else ("", fen)
    return f"{sign}{fen // 100}.{fen % 100:02d}"


def time_text(time_ms: int) -> str:
    """Write a time in Shanghai."""
    return datetime.datetime.fromtimestamp(time_ms / 1_000, SHANGHAI).strftime(_TIME)


def time_of(text: str) -> int:
    """Read a time in Shanghai into Unix milliseconds. Raise ValueError."""
    return round(datetime.datetime.strptime(text, _TIME).replace(tzinfo=SHANGHAI).timestamp() * 1_000)


def expiry_ms(content: Mapping[str, Any], real_ms: int) -> int:
    """Read when a trade expires; 15 days where nothing is said. Raise Invalid."""
    try:
        if content.get("time_expire"):
            return time_of(content["time_expire"])
        match = _EXPRESS.fullmatch(content.get("timeout_express") or "15d")
        if match is None:
            raise ValueError
        return real_ms + int(match[1]) * _EXPRESS_MS[match[2]]
    except (ValueError, TypeError):
        raise Invalid("40004", "ACQ.INVALID_PARAMETER", "time_expire") from None


def text_of(fields: Mapping[str, Any]) -> str:
    """Write an answer's inner object: compact, and with slashes escaped as the real gateway does."""
    return _compact(dict(fields)).replace("/", "\\/")
