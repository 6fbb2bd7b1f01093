"""Figures for people: money, durations, percentiles, sparklines."""

import math
from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"


def yuan(amount_minor: int) -> str:
    """Write an amount in fen as yuan: 680000 is "6,800.00"."""
    whole, rest = divmod(abs(amount_minor), 100)
    return f"{'-' if amount_minor < 0 else ''}{whole:,}.{rest:02d}"


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """Return the value below which a share (0 to 1) of the sorted values lies; 0 when there are none."""
    if not sorted_values:
        return 0.0
    return sorted_values[min(len(sorted_values) - 1, math.ceil(share * len(sorted_values)) - 1 if share > 0 else 0)]


def milliseconds(seconds: float) -> str:
    """Write a duration given in seconds: "48 ms", "1.3 s", "2 min"."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def sparkline(values: Sequence[float | None], *, width: int, low: float = 0.0, high: float | None = None) -> str:
    """Draw values as bars between `low` and `high` (default: the largest), at most `width` wide; None leaves a gap."""
    cells = shrink(values, width)
    top = max((value for value in cells if value is not None), default=0.0) if high is None else high
    return "".join(" " if value is None else _bar(value, low, top) for value in cells)


def shrink(values: Sequence[float | None], width: int) -> list[float | None]:
    """Average neighbours until there are at most `width` values."""
    if len(values) <= width:
        return list(values)
    cells: list[float | None] = []
    for place in range(width):
        part = values[place * len(values) // width : (place + 1) * len(values) // width]
        known = [value for value in part if value is not None]
        cells.append(sum(known) / len(known) if known else None)
    return cells


def _bar(value: float, low: float, high: float) -> str:
    share = (value - low) / (high - low) if high > low else 0.0
    return _BARS[min(len(_BARS) - 1, max(0, int(share * len(_BARS))))]
