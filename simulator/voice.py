"""How a channel's callbacks sound: what is told is the announcer's, how it is written, signed and acknowledged is a voice's.

The sandbox's own voice is here; each wire has one of its own.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from simulator.codec import Flaw, encode, sign
from simulator.records import Attempt, Record, Refund
from simulator.words import AnyWord

# Of an answer to a callback, so much is read: whoever says more has not acknowledged.
REPLY_BYTES_MAX = 64
INTRUDER_SECRET = "intruder-secret"  # noqa: S105 - the forger's own key, valid for nobody


class Telling(NamedTuple):
    """What one callback tells. `merchant_no` is whose callback it claims to be; a forger's differs from the record's."""

    notify_id: str
    channel_id: str
    merchant_no: str
    record: Record
    word: AnyWord
    amount_minor: int
    success_time_ms: int


Letter = tuple[dict[str, str], bytes]


class Voice(Protocol):
    """One way to write callbacks."""

    # When an unacknowledged callback is repeated, in seconds after the one before it.
    schedule_s: tuple[float, ...]

    def tells(self, word: AnyWord, *, asked: bool) -> bool:
        """Tell whether such a result has a callback; `asked` is whether the channel's profile wants some."""
        ...

    async def write(self, telling: Telling, *, nonce: str, real_ms: int, flaw: Flaw) -> Letter:
        """Write headers and body. `nonce` is never the same twice; `real_ms` is the time to be signed."""
        ...

    def hears(self, status: int, reply: bytes) -> bool:
        """Tell whether an answer acknowledges."""
        ...


class SandboxVoice:
    """The sandbox's own callbacks: JSON, with an HMAC in the headers."""

    # WeChat Pay's own schedule.
    schedule_s: tuple[float, ...] = (15, 15, 30, 180, 600, 1_200, 1_800, 1_800, 1_800, 3_600, 10_800, 10_800, 10_800, 21_600, 21_600)

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = secrets

    def tells(self, word: AnyWord, *, asked: bool) -> bool:
        """Tell everything, but only where the profile wants callbacks."""
        return asked

    async def write(self, telling: Telling, *, nonce: str, real_ms: int, flaw: Flaw) -> Letter:
        """Write headers and body."""
        body = encode(_body(telling))
        timestamp = str(real_ms // 1_000)
        secret = self._secrets.get(telling.merchant_no, INTRUDER_SECRET)
        signature = sign(secret, f"{timestamp}.{nonce}.".encode() + body)
        headers = {
            "content-type": "application/json",
            "sandbox-timestamp": timestamp,
            "sandbox-nonce": nonce,
            "sandbox-signature": signature,
            "sandbox-merchant": telling.merchant_no,
        }
        if flaw is Flaw.NO_SIGNATURE:
            del headers["sandbox-signature"]
        elif flaw not in (Flaw.NONE, Flaw.STALE_TIME):
            headers["sandbox-signature"] = signature[::-1]
        return headers, body

    def hears(self, status: int, reply: bytes) -> bool:
        """Take "success" and some white space."""
        return 200 <= status < 300 and reply.strip() == b"success"


def _body(telling: Telling) -> dict[str, object]:
    refund = telling.record if isinstance(telling.record, Refund) else None
    attempt = telling.record.attempt if isinstance(telling.record, Refund) else telling.record
    assert isinstance(attempt, Attempt), "the sandbox's own wire knows charges and refunds alone"
    body = {
        "notify_id": telling.notify_id,
        "channel_id": telling.channel_id,
        "merchant_no": telling.merchant_no,
        "attempt_no": attempt.number,
        "channel_txn_no": telling.record.txn_no,
        "word": telling.word,
        "amount_minor": telling.amount_minor,
        "currency": attempt.currency,
        "success_time_ms": telling.success_time_ms,
    }
    return body | {"refund_no": refund.number} if refund else body
