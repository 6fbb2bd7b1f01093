"""The report of `paydesk load`: in the terminal, and as one HTML file that needs nothing else."""

import html
import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from ops.figures import sparkline

LINE_WIDTH = 60
CHART_WIDTH, CHART_HEIGHT, MARGIN = 860, 180, 44


def show(document: dict[str, Any], console: Console) -> None:
    """Write the report for a person."""
    latency, seconds = document["latency_ms"], document["per_second"]
    console.print(
        f"{document['answered']:,} of {document['due']:,} payments answered, {document['answered_per_s']:,} a second; "
        f"p50 {latency['p50']:,} ms, p90 {latency['p90']:,}, p99 {latency['p99']:,}, p99.9 {latency['p999']:,}, "
        f"longest {latency['max']:,}"
    )
    console.print(f"rate  {sparkline([float(item['answered']) for item in seconds], width=LINE_WIDTH)}")
    console.print(f"p99   {sparkline([item['p99_ms'] for item in seconds], width=LINE_WIDTH)}")
    for name in ("states", "channels", "errors"):
        if document[name]:
            console.print(f"{name}: " + ", ".join(f"{count:,} {key}" for key, count in sorted(document[name].items())))
    if not document["generator_kept_up"]:
        console.print(
            f"[yellow]The generator itself was late by {document['generator_late_ms_p99']:,} ms (p99) and dropped "
            f"{document['dropped']:,}: these are its own limits, not the system's. Run it on another machine, or lower.[/]"
        )


def page(document: dict[str, Any]) -> str:
    """Return the report as an HTML page."""
    latency, seconds = document["latency_ms"], document["per_second"]
    figures = {
        "payments due": f"{document['due']:,}", "answered": f"{document['answered']:,}",
        "answered per second": f"{document['answered_per_s']:,}", "p50": f"{latency['p50']:,} ms",
        "p90": f"{latency['p90']:,} ms", "p99": f"{latency['p99']:,} ms", "p99.9": f"{latency['p999']:,} ms",
        "longest": f"{latency['max']:,} ms", "generator late (p99)": f"{document['generator_late_ms_p99']:,} ms",
        "dropped by the generator": f"{document['dropped']:,}",
    }  # fmt: skip
    rows = "".join(f"<tr><th>{html.escape(name)}</th><td>{value}</td></tr>" for name, value in figures.items())
    lists = "".join(
        f"<h2>{name.capitalize()}</h2><table>"
        + "".join(
            f"<tr><th>{html.escape(key)}</th><td>{count:,}</td></tr>" for key, count in sorted(document[name].items())
        )
        + "</table>"
        for name in ("states", "channels", "errors")
        if document[name]
    )
    answered = _chart([("due", "#bbb", [item["due"] for item in seconds]),
                       ("answered", "#2a7", [item["answered"] for item in seconds]),
                       ("failed", "#c33", [item["failed"] for item in seconds])], "payments per second")  # fmt: skip
    latencies = _chart([("p99", "#c70", [item["p99_ms"] for item in seconds]),
                        ("p50", "#27a", [item["p50_ms"] for item in seconds])], "milliseconds, from when due")  # fmt: skip
    title = f"{document['rate']:,.0f} payments/s, {document['profile']}, {document['seconds']:,.0f} s"
    return _PAGE.format(
        title=html.escape(title), rows=rows, lists=lists, answered=answered, latencies=latencies,
        document=json.dumps(document).replace("<", "\\u003c"),
    )  # fmt: skip


def _chart(series: Sequence[tuple[str, str, Sequence[float]]], label: str) -> str:
    """Draw lines over the seconds of the run as SVG."""
    top = max((value for _, _, values in series for value in values), default=0) or 1
    count = max(2, *(len(values) for _, _, values in series))
    lines, legend = [], []
    for place, (name, colour, values) in enumerate(series):
        points = " ".join(
            f"{MARGIN + index / (count - 1) * (CHART_WIDTH - MARGIN):.1f},{CHART_HEIGHT - value / top * (CHART_HEIGHT - 20):.1f}"
            for index, value in enumerate(values)
        )
        lines.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{points}"/>')
        legend.append(f'<text x="{MARGIN + 90 * place}" y="12" fill="{colour}">{name}</text>')
    return (
        f'<figure><svg viewBox="0 0 {CHART_WIDTH} {CHART_HEIGHT + 4}" role="img" aria-label="{html.escape(label)}">'
        f'<text x="0" y="24">{top:,.0f}</text><text x="0" y="{CHART_HEIGHT}">0</text>'
        f"{''.join(legend)}{''.join(lines)}</svg><figcaption>{html.escape(label)}</figcaption></figure>"
    )


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Load: {title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 900px; margin: 2em auto; padding: 0 1em; color: #222; }}
th {{ text-align: left; font-weight: normal; padding-right: 2em; color: #555; }}
td {{ text-align: right; font-variant-numeric: tabular-nums; }}
svg {{ width: 100%; font: 11px system-ui, sans-serif; }}
figure {{ margin: 1.5em 0; }} figcaption {{ color: #777; }}
</style>
<h1>{title}</h1><table>{rows}</table>{answered}{latencies}{lists}
<script type="application/json" id="report">{document}</script>
</html>
"""
