"""Maintenance windows between the wire and the domain."""

import re
from collections.abc import Mapping
from typing import Any

from domain import orders
from domain.refusals import Kind, Refusal, Refused, Violation, invalid
from domain.windows import FOREVER_MS, Window, weekly_spans
from protos.paydesk.v1 import channels_pb2
from servers import translate
from storage.windows import Row

# A span of one piece is at most so long; what lasts longer is for ever, and is cancelled.
WINDOW_MS_MAX = 366 * 86_400_000
REASON_LENGTH_MAX = 128
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def read_window(
    request: channels_pb2.SetMaintenanceWindowRequest, *, window_id: str, tenant_id: str, now_ms: int
) -> tuple[Window, dict[str, Any]]:
    """Read a window and the hours of the week that it comes again on. Raise Refused."""
    violations = text_violations(request.request_id, request.reason)
    violations += [
        Violation(name, "is no time of this calendar")
        for name in ("start_time", "end_time")
        if not translate.is_time(getattr(request, name))
    ]
    method = translate.method_name(request.method)
    if method is None:
        violations.append(Violation("method", f"{request.method} is no method"))
    hours = _read_hours(request.weekly, violations) if request.HasField("weekly") else {}
    start_ms, end_ms = translate.milliseconds(request.start_time), translate.milliseconds(request.end_time)
    violations += _span_violations(request, start_ms, end_ms)
    if violations:
        raise Refused(invalid(*violations))
    if request.HasField("end_time") and end_ms <= now_ms:
        violation = Violation("end_time", "is in the past")
        raise Refused(Refusal(Kind.INVALID, "WINDOW_IN_PAST", "end_time is in the past", (violation,)))
    return Window(
        window_id, request.channel_id, start_ms, end_ms if request.HasField("end_time") else FOREVER_MS,
        request.reason, request.account_id, method or "",
        weekly_spans(hours["days"], hours["begin"], hours["end"]) if hours else (), tenant_id,
    ), hours  # fmt: skip


def text_violations(request_id: str, reason: str) -> list[Violation]:
    """Return what is wrong with a request id and a reason."""
    violations = [*orders.text_violations(request_id=request_id)]
    if len(reason) > REASON_LENGTH_MAX or not (reason + " ").isprintable():
        violations.append(Violation("reason", f"must be at most {REASON_LENGTH_MAX} printable characters"))
    return violations


def _span_violations(request: Any, start_ms: int, end_ms: int) -> list[Violation]:
    found, ends = [], request.HasField("end_time")
    if start_ms <= 0:
        found.append(Violation("start_time", "is missing"))
    if ends and request.for_ever:
        found.append(Violation("for_ever", "contradicts end_time"))
    elif not ends and not request.for_ever and not request.HasField("weekly"):
        found.append(Violation("end_time", "is missing; for_ever means none"))
    elif ends and end_ms <= start_ms:
        found.append(Violation("end_time", "must be after start_time"))
    elif ends and not request.HasField("weekly") and end_ms - start_ms > WINDOW_MS_MAX:
        found.append(Violation("end_time", "is more than a year after start_time"))
    return found


def _read_hours(weekly: channels_pb2.MaintenanceWindow.Weekly, violations: list[Violation]) -> dict[str, Any]:
    if not weekly.days or len(weekly.days) > 7 or any(not 1 <= day <= 7 for day in weekly.days):
        violations.append(Violation("weekly.days", "must be some of 1 (Monday) to 7 (Sunday)"))
    minutes = []
    for name in ("start_time_of_day", "end_time_of_day"):
        match = _TIME_OF_DAY.fullmatch(getattr(weekly, name))
        if match is None:
            violations.append(Violation(f"weekly.{name}", "must be HH:MM, from 00:00 to 23:59"))
        minutes.append(int(match[1]) * 60 + int(match[2]) if match else 0)
    return {"days": sorted(set(weekly.days)), "begin": minutes[0], "end": minutes[1]}


def window_message(row: Row, now_ms: int) -> channels_pb2.MaintenanceWindow:
    """Write a window for the wire, with when it is in force next."""
    window = row.window
    message = channels_pb2.MaintenanceWindow(
        window_id=window.window_id, channel_id=window.channel_id, start_time=translate.timestamp(window.start_ms),
        reason=window.reason, account_id=window.account_id, principal=row.principal,
        cancel_time=translate.timestamp(row.cancel_ms),
        method=translate.method_value(window.method), all_tenants=not window.tenant_id,
    )  # fmt: skip
    if window.end_ms < FOREVER_MS:
        message.end_time.FromMilliseconds(window.end_ms)
    if row.hours:
        message.weekly.CopyFrom(_weekly_message(row.hours))
    span = None if row.cancel_ms and window.start_ms > row.cancel_ms else window.present_or_next(now_ms)
    if span is not None:
        message.next_start_time.FromMilliseconds(span[0])
        message.in_force = span[0] <= now_ms
        if span[1] < FOREVER_MS:
            message.next_end_time.FromMilliseconds(span[1])
    return message


def _weekly_message(hours: Mapping[str, Any]) -> channels_pb2.MaintenanceWindow.Weekly:
    begin, end = (f"{hours[name] // 60:02d}:{hours[name] % 60:02d}" for name in ("begin", "end"))
    return channels_pb2.MaintenanceWindow.Weekly(days=hours["days"], start_time_of_day=begin, end_time_of_day=end)
