"""The channel's messages: what is written for it, and what it writes. Reading checks types, and judges nothing."""

import json
from typing import Any

from channels.port import Charge, Lookup, RefundLookup, RefundRequest


def charge(request: Charge) -> bytes:
    """Write a charge."""
    return _write(
        pay_no=request.attempt_no, fen=request.amount_minor, currency=request.currency_code, title=request.subject,
        expire_ms=request.expire_time_ms, notify_url=request.notify_url,
    )  # fmt: skip


def lookup(request: Lookup) -> bytes:
    """Write a question about a charge, or the wish to close it."""
    return _write(pay_no=request.attempt_no)


def refund(request: RefundRequest) -> bytes:
    """Write a refund."""
    return _write(refund_no=request.refund_no, pay_no=request.attempt_no, fen=request.amount_minor)


def refund_lookup(request: RefundLookup) -> bytes:
    """Write a question about a refund."""
    return _write(refund_no=request.refund_no, pay_no=request.attempt_no)


def read(body: bytes) -> dict[str, Any]:
    """Read an answer or a callback. Raise ValueError for anything but an object with the fields that we need."""
    try:
        item = json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(item, dict):
        raise ValueError("not an object")
    for field, kind in _FIELDS.items():
        if field in item and (not isinstance(item[field], kind) or isinstance(item[field], bool)):
            raise ValueError(f"{field} is no {kind.__name__}")
    return item


_FIELDS: dict[str, type] = {
    "result": str, "why": str, "fen": int, "currency": str, "merchant": str, "txn": str, "paid_ms": int, "pay_no": str,
    "refund_no": str, "notice_id": str,
}  # fmt: skip


def _write(**fields: Any) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()
