"""Chance without sequence: a draw is a keyed hash, so the order of requests cannot change any outcome."""

import math
import struct
from hashlib import blake2b
from statistics import NormalDist
from typing import NamedTuple

# The character between the parts of a key; requests with control characters are refused, so no two keys can coincide.
SEPARATOR = "\x1f"

_UNIT = 2.0**-64
_FOUR = struct.Struct("<4Q")
_ONE = struct.Struct("<Q")
_NORMAL = NormalDist()
# The 99th percentile of the standard normal distribution.
_Z99 = _NORMAL.inv_cdf(0.99)


class Plan(NamedTuple):
    """Everything that chance decides about one charge request; numbers in [0,1), `txn_no` is unique to the key."""

    success: float
    latency: float
    decline: float
    payer: float
    txn_no: str


class Draws:
    """Draws of one channel under one seed. Equal keys give equal draws, always."""

    def __init__(self, *, seed: int, channel_id: str) -> None:
        self._base = blake2b(f"{seed}{SEPARATOR}{channel_id}{SEPARATOR}".encode(), digest_size=64)

    def plan(self, key: str) -> Plan:
        """Draw the plan of one charge request with a single hash."""
        digest = self._digest(key)
        first, second, third, fourth = _FOUR.unpack_from(digest)
        return Plan(first * _UNIT, second * _UNIT, third * _UNIT, fourth * _UNIT, digest[40:52].hex().upper())

    def share(self, key: str, purpose: str) -> float:
        """Draw one number in [0,1) for one purpose."""
        return int(_ONE.unpack_from(self._digest(f"{key}{SEPARATOR}{purpose}"))[0]) * _UNIT

    def name(self, key: str, purpose: str) -> str:
        """Draw a name of 24 hexadecimal digits."""
        return self._digest(f"{key}{SEPARATOR}{purpose}")[40:52].hex().upper()

    def _digest(self, key: str) -> bytes:
        state = self._base.copy()
        state.update(key.encode())
        return state.digest()


def log_normal_ms(*, p50_ms: float, p99_ms: float, draw: float) -> int:
    """Turn a draw into a log-normal duration in whole milliseconds, at least 1 unless the median is 0."""
    if p50_ms <= 0:
        return 0
    sigma = math.log(max(p99_ms, p50_ms) / p50_ms) / _Z99
    # A draw of exactly 0 has no place on the curve.
    return max(1, round(p50_ms * math.exp(sigma * _NORMAL.inv_cdf(max(draw, 1e-12)))))
