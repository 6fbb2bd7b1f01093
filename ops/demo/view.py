"""What a person sees while the demo's day goes on: a live table in a terminal, a line now and then anywhere else."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ops.demo.callers import Tally
from ops.demo.day import Day
from ops.demo.scene import Sample

LINE_EVERY_S = 5.0
HISTORY_WIDTH = 48
STYLES = {
    "HEALTHY": "green", "DEGRADED": "yellow", "HALF_OPEN": "cyan", "OPEN": "red", "FORCED_OPEN": "magenta",
    "FORCED_CLOSED": "blue", "MAINTENANCE": "magenta",
}  # fmt: skip
_BARS = "▁▂▃▄▅▆▇█"


def health_line(samples: list[Sample], channel_id: str, width: int) -> Text:
    """Draw a channel's score over time, coloured by the state of its breaker."""
    known = [sample.health[channel_id] for sample in samples if channel_id in sample.health]
    if len(known) > width:
        known = [known[place * len(known) // width] for place in range(width)]
    line = Text()
    for state, score in known:
        line.append(_BARS[min(7, max(0, int(score / 12.5)))], style=STYLES.get(state, ""))
    return line


class View:
    """Shows the progress; `tell` and `look` are what a Scene calls."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._samples: list[Sample] = []
        self._live: Live | None = None
        self._step = ""
        self._line_s = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(Text(""), console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def tell(self, step: str) -> None:
        """Say what happens now."""
        self._step = step
        if self._live is not None:
            self._live.console.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {step}")
        else:
            self._console.print(f"{time.strftime('%H:%M:%S')} {step}")

    def look(self, sample: Sample, tally: Tally, day: Day) -> None:
        """Show a sample."""
        self._samples.append(sample)
        if self._live is not None:
            self._live.update(self._frame(sample, tally, day))
        elif time.monotonic() - self._line_s >= LINE_EVERY_S:
            self._line_s = time.monotonic()
            health = ", ".join(f"{name} {state.lower()}" for name, (state, _) in sorted(sample.health.items()))
            self._console.print(f"  {_progress(sample, tally, day)}; {health}")

    def _frame(self, sample: Sample, tally: Tally, day: Day) -> Group:
        table = Table("channel", "health", "", box=None, padding=(0, 2), header_style="dim")
        for name in ("paid", "failed", "closed", "in doubt", "open"):
            table.add_column(name, justify="right")
        for name, (state, score) in sorted(sample.health.items()):
            counts = sample.states.get(name, {})
            table.add_row(
                name, Text(f"{state} {score:.0f}", style=STYLES.get(state, "")),
                health_line(self._samples, name, HISTORY_WIDTH), f"{counts.get('SUCCEEDED', 0):,}",
                f"{counts.get('FAILED', 0):,}", f"{counts.get('CLOSED', 0):,}", f"{counts.get('UNKNOWN', 0):,}",
                f"{counts.get('SUBMITTING', 0) + counts.get('PENDING', 0):,}",
            )  # fmt: skip
        return Group(Text(_progress(sample, tally, day), style="bold"), table)


def _progress(sample: Sample, tally: Tally, day: Day) -> str:
    totals: dict[str, int] = {}
    for counts in sample.states.values():
        for state, count in counts.items():
            totals[state] = totals.get(state, 0) + count
    return (
        f"{sample.second:3.0f} s: {tally.sent:,} of {len(day.moments):,} orders sent, {totals.get('SUCCEEDED', 0):,} paid, "
        f"{totals.get('UNKNOWN', 0):,} in doubt, {sample.rest[1]:,} refunds under way, {sample.rest[3]:,} notices delivered"
    )
