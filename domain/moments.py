"""Moments as people in China have them, wherever the server stands: what a limit calls a day, how a time is written."""

from datetime import date, datetime

from domain.identifiers import CHINA


def china_day(time_ms: int) -> date:
    """Return the day in China of a moment in Unix milliseconds."""
    return datetime.fromtimestamp(time_ms // 1_000, CHINA).date()


def moment_text(time_ms: int) -> str:
    """Write a moment in Unix milliseconds as a person in China reads it; 0 is "the beginning"."""
    return f"{datetime.fromtimestamp(time_ms / 1_000, CHINA):%Y-%m-%d %H:%M:%S}" if time_ms else "the beginning"
