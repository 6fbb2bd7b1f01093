"""The sandbox's wire: signatures, requests as JSON lists of objects, and signed envelopes of answers."""

import hmac
import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from simulator.records import NO_MEMO, Memo
from simulator.words import AnyWord, Reason

BODY_BYTES_MAX = 8 << 20
ITEMS_MAX = 10_000
NUMBER_LENGTH_MAX = 128
TEXT_LENGTH_MAX = 512
URL_LENGTH_MAX = 2_048
MEMO_ENTRIES_MAX = 32
AMOUNT_MINOR_MAX = 10**12
TIME_MS_MAX = 2**53

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode

AnswerFields = dict[str, Any]
Envelope = tuple[bytes, str]


class Malformed(Exception):
    """A body that is no JSON list of objects of a sensible size."""


class ChargeRequest(NamedTuple):
    """A request for money. `expire_time_ms` is in real Unix milliseconds, 0 for never.

    Wires that have several products choose with `pays` whether the payer acts by himself ("LATER") or is not needed
    ("NOW"); "" leaves it to the channel's profile. `memo` is what they want to find again.
    """

    attempt_no: str
    amount_minor: int
    currency: str
    order_no: str
    subject: str
    payer_ref: str
    expire_time_ms: int
    notify_url: str
    pays: str = ""
    memo: Memo = NO_MEMO
    agreement_no: str = ""  # of the mandate under which it is taken


class RefundRequest(NamedTuple):
    """A request to give money of an attempt back. Without `notify_url` it is told where the attempt was."""

    refund_no: str
    attempt_no: str
    amount_minor: int
    currency: str
    notify_url: str = ""
    memo: Memo = NO_MEMO


class Flaw(StrEnum):
    """What is wrong with the seal of a message, whatever it says. Wires with less to get wrong sign wrongly instead."""

    NONE = ""
    BAD_SIGNATURE = "BAD_SIGNATURE"
    NO_SIGNATURE = "NO_SIGNATURE"
    PROBE_SIGNATURE = "PROBE_SIGNATURE"  # WeChat Pay tests whether merchants verify at all
    STALE_TIME = "STALE_TIME"  # signed rightly, an hour ago
    OTHER_CERTIFICATE = "OTHER_CERTIFICATE"  # signed rightly, by a key that the channel does not vouch for
    NEW_CERTIFICATE = "NEW_CERTIFICATE"  # signed rightly, by the key that follows the channel's present one


class Outgoing(NamedTuple):
    """An answer on its way to a merchant; a transport answer, which nobody signs, has no merchant."""

    answer: AnswerFields
    merchant_no: str
    flaw: Flaw = Flaw.NONE


class Said(NamedTuple):
    """What a channel makes of one request: an answer after some time of its clock, or None for silence.

    `drip_ms` is how long the answer takes on its way, once it has begun.
    """

    outgoing: Outgoing | None
    after_ms: int = 0
    drip_ms: int = 0


def sign(secret: str, message: bytes) -> str:
    """Return the hexadecimal HMAC-SHA256 of a message."""
    return hmac.digest(secret.encode(), message, "sha256").hex()


def is_signed(secret: str, message: bytes, signature: object) -> bool:
    """Tell whether a signature is right; anything but a text is wrong."""
    if not isinstance(signature, str):
        return False
    return hmac.compare_digest(sign(secret, message).encode(), signature.encode("utf-8", "replace"))


def read_items(body: object) -> list[Any]:
    """Read a body into its items, whatever they are. Raise Malformed."""
    if not isinstance(body, bytes | bytearray) or len(body) > BODY_BYTES_MAX:
        raise Malformed
    try:
        items = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Malformed from error
    if not isinstance(items, list) or len(items) > ITEMS_MAX:
        raise Malformed
    return items


def read_charge(item: Any) -> ChargeRequest | None:
    """Read one charge; None if it is malformed."""
    try:
        request = ChargeRequest(
            item["attempt_no"], item["amount_minor"], item["currency"], item["order_no"],
            item["subject"], item["payer_ref"], item["expire_time_ms"], item["notify_url"],
            item.get("pays", ""), item.get("memo", NO_MEMO), item.get("agreement_no", ""),
        )  # fmt: skip
    except (KeyError, TypeError, IndexError):
        return None
    good = (
        _is_name(request.attempt_no)
        and _is_amount(request.amount_minor)
        and _is_name(request.currency)
        and _is_name(request.order_no)
        and isinstance(request.subject, str)
        and len(request.subject) <= TEXT_LENGTH_MAX
        and _is_text(request.payer_ref, TEXT_LENGTH_MAX)
        and type(request.expire_time_ms) is int
        and 0 <= request.expire_time_ms <= TIME_MS_MAX
        and _is_text(request.notify_url, URL_LENGTH_MAX)
        and request.pays in ("", "NOW", "LATER")
        and is_memo(request.memo)
        and _is_text(request.agreement_no, NUMBER_LENGTH_MAX)
    )
    return request if good else None


def read_refund(item: Any) -> RefundRequest | None:
    """Read one refund; None if it is malformed."""
    try:
        request = RefundRequest(
            item["refund_no"], item["attempt_no"], item["amount_minor"], item["currency"], item.get("notify_url", ""),
            item.get("memo", NO_MEMO),
        )  # fmt: skip
    except (KeyError, TypeError, IndexError):
        return None
    good = (
        _is_name(request.refund_no)
        and _is_name(request.attempt_no)
        and _is_amount(request.amount_minor)
        and _is_name(request.currency)
        and _is_text(request.notify_url, URL_LENGTH_MAX)
        and is_memo(request.memo)
    )
    return request if good else None


def read_name(item: Any, field: str) -> str | None:
    """Read the number in one field; None if it is malformed."""
    value = item.get(field) if isinstance(item, dict) else None
    return value if _is_name(value) else None


def answer(
    number: str,
    word: AnyWord,
    *,
    reason: Reason = Reason.NONE,
    amount_minor: int = 0,
    currency: str = "",
    merchant_no: str = "",
    channel_txn_no: str = "",
    success_time_ms: int = 0,
    qr: str = "",
) -> AnswerFields:
    """Make one answer; the amount is in minor units, the time in virtual Unix milliseconds."""
    return {
        "number": number, "word": word, "reason": reason, "amount_minor": amount_minor, "currency": currency,
        "merchant_no": merchant_no, "channel_txn_no": channel_txn_no, "success_time_ms": success_time_ms, "qr": qr,
    }  # fmt: skip


def envelopes(outgoing: Iterable[Outgoing], secrets: Mapping[str, str]) -> list[Envelope]:
    """Put answers into as few envelopes as may be: one per merchant, one for the transport, one per flawed seal."""
    sealed: list[Envelope] = []
    together: dict[str, list[AnswerFields]] = {}
    for fields, merchant_no, flaw in outgoing:
        if flaw:
            body = _encode([fields]).encode()
            sealed.append((body, "" if flaw is Flaw.NO_SIGNATURE else sign(f"not {secrets[merchant_no]}", body)))
        else:
            together.setdefault(merchant_no, []).append(fields)
    for merchant_no, answers in together.items():
        body = _encode(answers).encode()
        secret = secrets.get(merchant_no)
        sealed.append((body, sign(secret, body) if secret is not None else ""))
    return sealed


def encode(value: Any) -> bytes:
    """Encode compactly, in ASCII."""
    return _encode(value).encode()


def _is_name(value: object) -> bool:
    return type(value) is str and 0 < len(value) <= NUMBER_LENGTH_MAX and value.isprintable()


def read_text(item: Any, field: str, length_max: int = TEXT_LENGTH_MAX) -> str | None:
    """Read the text in one field, "" where there is none; None if it is malformed."""
    value = item.get(field, "") if isinstance(item, dict) else None
    return value if _is_text(value, length_max) else None


def read_amount(item: Any, field: str) -> int | None:
    """Read the amount in one field; None if it is malformed."""
    value = item.get(field) if isinstance(item, dict) else None
    return value if _is_amount(value) else None


def _is_text(value: object, length_max: int) -> bool:
    return type(value) is str and len(value) <= length_max and value.isprintable()


def is_memo(value: object) -> bool:
    """Tell whether a memo is one: a few short texts by name."""
    return (
        isinstance(value, dict)
        and len(value) <= MEMO_ENTRIES_MAX
        and all(_is_name(name) and _is_text(text, URL_LENGTH_MAX) for name, text in value.items())
    )


def _is_amount(value: object) -> bool:
    return type(value) is int and 0 < value <= AMOUNT_MINOR_MAX
