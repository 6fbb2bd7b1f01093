"""The sandbox's wire: JSON lists of requests out, signed envelopes of answers in, one JSON object per callback."""

import json
from collections.abc import Sequence
from typing import Any

from channels.port import Charge, Lookup, RefundLookup, RefundRequest

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def charges(requests: Sequence[Charge]) -> bytes:
    """Write charges."""
    return _encode(
        [
            {"attempt_no": r.attempt_no, "amount_minor": r.amount_minor, "currency": r.currency_code,
             "order_no": r.order_no, "subject": r.subject, "payer_ref": r.payer_ref,
             "expire_time_ms": r.expire_time_ms, "notify_url": r.notify_url}
            for r in requests
        ]
    ).encode()  # fmt: skip


def lookups(requests: Sequence[Lookup]) -> bytes:
    """Write questions about attempts, or wishes to close them."""
    return _encode([{"attempt_no": request.attempt_no} for request in requests]).encode()


def refunds(requests: Sequence[RefundRequest]) -> bytes:
    """Write refunds."""
    return _encode(
        [
            {"refund_no": r.refund_no, "attempt_no": r.attempt_no, "amount_minor": r.amount_minor,
             "currency": r.currency_code}
            for r in requests
        ]
    ).encode()  # fmt: skip


def refund_lookups(requests: Sequence[RefundLookup]) -> bytes:
    """Write questions about refunds."""
    return _encode([{"refund_no": r.refund_no, "attempt_no": r.attempt_no} for r in requests]).encode()


def _loads(body: bytes) -> Any:
    try:
        return json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_answers(body: bytes) -> list[dict[str, Any]]:
    """Read an envelope's body. Raise ValueError for anything but a JSON list of objects with a number."""
    items = _loads(body)
    if not isinstance(items, list) or not all(isinstance(i, dict) and isinstance(i.get("number"), str) for i in items):
        raise ValueError("not a list of answers")
    return items


def read_callback(body: bytes) -> dict[str, Any]:
    """Read a callback's body. Raise ValueError for anything but an object with the fields that we need."""
    item = _loads(body)
    if not isinstance(item, dict):
        raise ValueError("not an object")
    for field, kind in _CALLBACK_FIELDS.items():
        if not isinstance(item.get(field), kind) or isinstance(item[field], bool):
            raise ValueError(f"{field} is missing or no {kind.__name__}")
    return item


_CALLBACK_FIELDS: dict[str, type] = {
    "notify_id": str,
    "merchant_no": str,
    "attempt_no": str,
    "word": str,
    "amount_minor": int,
    "currency": str,
}
