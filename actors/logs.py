"""Logs: one JSON object a line on standard error, the same for our own lines and for those of libraries.

Keys and personal numbers are masked in every line, exceptions included, whoever wrote it.
"""

import logging
import sys
import traceback
from types import TracebackType
from typing import Any

import structlog

from domain.privacy import scrub


def set_up(level: str, **fields: str) -> None:
    """Configure logging for this process; `fields` stand on every line."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            scrub_event,
            structlog.processors.JSONRenderer(default=lambda value: scrub(repr(value))),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(**fields)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Scrubbed("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    sys.excepthook = _tell_end


def scrub_event(_logger: Any, _method: str, event: Any) -> Any:
    """Mask what an event holds, at any depth."""
    return {name: _scrubbed(value) for name, value in event.items()}


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {name: _scrubbed(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_scrubbed(item) for item in value]
    return value


class _Scrubbed(logging.Formatter):
    """Masks lines of libraries, with their exceptions."""

    def format(self, record: logging.LogRecord) -> str:
        return scrub(super().format(record))


def _tell_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print what ends this process, masked."""
    sys.stderr.write(scrub("".join(traceback.format_exception(kind, error, trace))))
