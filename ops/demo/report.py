"""The demo's report: for a person, and as one JSON document."""

from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ops import check
from ops.demo.scene import Outcome
from ops.demo.view import STYLES, health_line
from ops.figures import milliseconds, percentile, sparkline, yuan

# Two drawings share what the figures of the channels leave of the screen.
FIGURES_WIDTH = 86
LINE_WIDTH_MAX = 44
LINE_WIDTH_MIN = 10
# Reasons that only say what an account is for, such as another method; the interesting ones are about the moment.
_STANDING = frozenset({
    "METHOD_UNSUPPORTED", "TERMINAL_UNSUPPORTED", "PRODUCT_NOT_BOUND", "CHANNEL_NOT_ALLOWED_FOR_SOURCE",
    "CURRENCY_UNSUPPORTED", "AMOUNT_OUT_OF_RANGE",
})  # fmt: skip
_SOURCES = {
    "SYNC_REPLY": "the channel's own answer, late", "CALLBACK": "a callback", "QUERY": "asking the channel",
    "STATEMENT": "a statement", "CALLER": "the caller",
}  # fmt: skip
_RESULTS = {
    "APPLIED": "told us something new", "SAME": "told what we had found out by asking", "DUPLICATE": "came again",
    "PARKED": "contradicted what we knew, so that the channel was asked and they had to come again",
    "SIGNATURE_INVALID": "were signed wrongly and read no further", "NOT_TAKEN": "were told to come again",
}  # fmt: skip
_CASES = {
    "AMOUNT_MISMATCH": "were told of with another amount, rightly signed, and not believed",
    "MERCHANT_MISMATCH": "were told of as another merchant's, rightly signed, and not believed",
    "CONTRADICTION": "were told of as paid after they had ended; asking settled it",
}  # fmt: skip
_APPROACHES = {
    "SCORE": "it came first by expected value", "FALLBACK": "all were ill, it was the best of them",
    "EXPLORE": "to try out whether it had healed", "FAIL_OVER": "the first choice had refused before taking anything",
    "RULE": "a rule preferred it", "FORCED": "a rule named it", "STICKY": "the payer had paid through it",
}  # fmt: skip


def latencies(outcome: Outcome, *, own: bool) -> list[float]:
    """Return the sorted times to the first answer; `own` takes only channels that answer at once."""
    return sorted(
        answer.latency_s for answer in outcome.tally.answers
        if not own or (answer.channel_id in outcome.instant and answer.attempt_count == 1 and answer.state != "UNKNOWN")
    )  # fmt: skip


def document(outcome: Outcome) -> dict[str, Any]:
    """Return everything as plain data."""
    times = {name: latencies(outcome, own=own) for name, own in (("all", False), ("own", True))}
    return {
        "holds": outcome.verdict.holds and outcome.settled,
        "settled": outcome.settled,
        "orders": len(outcome.day.moments),
        "start_s": round(outcome.start_s, 2),
        "day_s": round(outcome.day_s, 2),
        "settle_s": round(outcome.settle_s, 2),
        "latency_ms": {
            name: {"count": len(found), "p50": round(percentile(found, 0.5) * 1000, 1),
                   "p99": round(percentile(found, 0.99) * 1000, 1)}
            for name, found in times.items()
        },
        "callers": {
            "sent": outcome.tally.sent, "repeated": outcome.tally.repeated, "switched": outcome.tally.switched,
            "closed": outcome.tally.closed, "refusals": dict(outcome.tally.refusals), "gave_up": outcome.tally.gave_up,
        },
        "facts": outcome.facts,
        "notices": outcome.notices,
        "metrics": outcome.metrics,
        "explained": outcome.explained,
        "restarts": [role for _, role in outcome.restarts],
        "verdict": outcome.verdict.document(),
    }  # fmt: skip


def show(outcome: Outcome, console: Console) -> None:
    """Write the report for a person."""
    parts: tuple[tuple[str, Callable[[Outcome, Console], None]], ...] = (
        ("The day", _day),
        ("Channels", _channels),
        ("Why a channel was chosen or avoided", _choices),
        ("Silence, and how it ended", _doubt),
        ("Paid twice, paid late, given back", _extra),
        ("What the channels told us, and who lied", _callbacks),
        ("What the order systems were told", _notices),
        ("The verdict of `paydesk check`", _verdict),
    )
    for title, write in parts:
        console.print()
        console.rule(f"[bold]{title}", align="left", style="dim")
        write(outcome, console)


def _day(outcome: Outcome, console: Console) -> None:
    facts, tally = outcome.facts, outcome.tally
    kept = facts["kept"]
    rate = tally.sent / outcome.day_s if outcome.day_s else 0.0
    console.print(
        f"{tally.sent:,} orders in {outcome.day_s:.0f} s ({rate:.0f} a second), settled {outcome.settle_s:.0f} s later. "
        f"[bold green]{kept['count']:,} paid, {yuan(kept['amount_minor'])} yuan.[/]"
    )
    ends = ", ".join(f"{row['count']:,} {row['state'].lower()}: {_reason(row['reason'])}" for row in facts["ends"][:8])
    console.print(f"The others: {ends or 'none'}.")
    told = [f"{tally.repeated:,} calls repeated with the same request_id"] if tally.repeated else []
    if tally.switched:
        told.append(f"{tally.switched:,} payers offered another method, because theirs had no living channel")
    told += [f"{count:,} refused: {reason}" for reason, count in tally.refusals.most_common(5)]
    if told:
        console.print(f"{'; '.join(told)}.")
    every, own = latencies(outcome, own=False), latencies(outcome, own=True)
    console.print(
        f"First answer after {milliseconds(percentile(every, 0.5))} (p50), {milliseconds(percentile(every, 0.99))} (p99), "
        "most of it the channel's own time"
        + (
            f"; on a channel that answers at once, which is our own time, {milliseconds(percentile(own, 0.5))} and "
            f"{milliseconds(percentile(own, 0.99))} (n={len(own):,})."
            if own
            else "."
        )
    )


def _channels(outcome: Outcome, console: Console) -> None:
    table = Table("channel", box=None, padding=(0, 2), header_style="dim")
    for name in ("routed", "paid", "declined", "silent", "kept (yuan)"):
        table.add_column(name, justify="right")
    table.add_column("score over time")
    table.add_column("orders sent there")
    width = min(LINE_WIDTH_MAX, max(LINE_WIDTH_MIN, (console.width - FIGURES_WIDTH) // 2))
    for row in outcome.facts["channels"]:
        name = row["channel_id"]
        table.add_row(
            name, f"{row['routed']:,}", f"{row['succeeded']:,}", f"{row['declined']:,}", f"{row['doubted']:,}",
            yuan(row["kept_minor"]), health_line(outcome.samples, name, width),
            sparkline([float(count) for count in row["per_second"]], width=width),
        )  # fmt: skip
    console.print(table)
    legend = Text("breaker: ")
    for state in ("HEALTHY", "DEGRADED", "OPEN", "HALF_OPEN"):
        legend.append(f"█ {state.lower().replace('_', '-')} ", style=STYLES[state])
    console.print(legend)
    day = outcome.day
    console.print(f"{outcome.mortal} was dead from second {day.death_begin_s:.0f} to {day.death_begin_s + day.death_s:.0f}:")
    for change in outcome.facts["changes"]:
        if change["channel_id"] == outcome.mortal:
            console.print(
                f"  {change['second']:5.1f} s [{STYLES.get(change['state'], '')}]{change['state']}[/] {escape(change['reason'])}"
            )


def _choices(outcome: Outcome, console: Console) -> None:
    facts = outcome.facts
    totals: dict[str, int] = {}
    for row in facts["approaches"]:
        totals[row["approach"]] = totals.get(row["approach"], 0) + row["count"]
    for approach, count in sorted(totals.items(), key=lambda item: -item[1]):
        console.print(f"{count:6,} x chosen because {_APPROACHES.get(approach, approach)} [dim]({approach})[/]")
    for row in facts["eliminated"]:
        if row["reason"] not in _STANDING:
            console.print(f"{row['count']:6,} x {row['channel_id']} avoided: {row['reason']}")
    standing = sum(row["count"] for row in facts["eliminated"] if row["reason"] in _STANDING)
    console.print(
        f"[dim]{standing:6,} x a channel was left out because it does not take that method, amount or terminal[/]"
    )
    for item in outcome.explained:
        console.print(f"[dim]{item['kind']}, {item['payment_id']}:[/] {escape(item['reason'])}")
    console.print("[dim]Every decision is stored: `paydesk call Routing/ExplainRoute` reads any of them.[/]")


def _doubt(outcome: Outcome, console: Console) -> None:
    doubt = outcome.facts["doubt"]
    console.print(
        f"{doubt['payments']:,} payments became UNKNOWN; {doubt['resent']:,} were sent again under the same number, "
        "because the channel had not heard of them."
    )
    table = Table(box=None, padding=(0, 2), show_header=False)
    for row in doubt["ends"]:
        table.add_row(
            f"{row['count']:,}", f"{row['state'].lower()}", f"by {_SOURCES.get(row['source'], row['source'])}",
            f"after {milliseconds(row['median_s'])}, at most {milliseconds(row['max_s'])}",
        )  # fmt: skip
    console.print(table)
    left = doubt["payments"] - sum(row["count"] for row in doubt["ends"])
    console.print(f"[{'red' if left else 'green'}]{left:,} are still in doubt.[/]")


def _extra(outcome: Outcome, console: Console) -> None:
    facts = outcome.facts
    console.print(
        f"{len(outcome.day.doubles):,} orders were paid by two payers at once, {len(outcome.day.closers):,} were called off "
        f"while the payer was paying; {facts['late']:,} payments succeeded after they had been closed."
    )
    causes = {
        "DUPLICATE": "the order was paid already", "PAID_AFTER_CLOSE": "the caller had called it off",
        "EARLIER_ATTEMPT_PAID": "an attempt that had been left took money",
    }  # fmt: skip
    for row in facts["refunds"]:
        console.print(
            f"{row['count']:6,} refunds of {yuan(row['amount_minor'])} yuan in all [bold]{row['state']}[/], because "
            f"{causes[row['cause']]}; done after {milliseconds(row['median_s'] or 0)}"
        )


def _callbacks(outcome: Outcome, console: Console) -> None:
    results, cases = outcome.metrics["callback_total"], outcome.facts["cases"]
    for result, count in sorted(results.items(), key=lambda item: -item[1]):
        console.print(f"{int(count):6,} callbacks {_RESULTS.get(result, f'ended as {result}')}")
    damaged = outcome.metrics["security_rejects_total"].get("SIGNATURE_INVALID", 0) - results.get(
        "SIGNATURE_INVALID", 0
    )
    console.print(f"{int(damaged):6,} answers were signed wrongly, and proved nothing")
    for kind, count in sorted(cases.items(), key=lambda item: -item[1]):
        console.print(f"{count:6,} payments {_CASES.get(kind, f'have a case {kind}')}; noted for a person")


def _notices(outcome: Outcome, console: Console) -> None:
    notices, events = outcome.notices, {row["state"]: row for row in outcome.facts["events"]}
    delivered = events.get("DELIVERED", {"count": 0, "median_s": 0, "p99_s": 0})
    console.print(
        f"{delivered['count']:,} notices delivered and their signatures verified, {milliseconds(delivered['median_s'] or 0)} "
        f"(p50) and {milliseconds(delivered['p99_s'] or 0)} (p99) after the fact: {_listed(notices['types'])}."
    )
    console.print(
        f"{notices['refused_on_purpose']:,} were answered with 500 on purpose and came again; {notices['duplicates']:,} "
        f"came twice; {notices['bad_signatures']:,} wrongly signed; {notices['disorders']:,} out of order."
    )
    left = [f"{row['count']:,} {state}" for state, row in events.items() if state not in ("DELIVERED", "NONE")]
    if left:
        console.print(f"[red]Not delivered: {', '.join(left)}[/]")


def _verdict(outcome: Outcome, console: Console) -> None:
    check.show(outcome.verdict, console)
    for problem in _problems(outcome):
        console.print(f"[bold red]{escape(problem)}[/]")
    if outcome.kept:
        console.print(f"The data is kept: PAYDESK_DATA_DIR={outcome.directory} paydesk db psql")


def _problems(outcome: Outcome) -> Iterable[str]:
    if not outcome.settled:
        yield "Not everything came to rest in time."
    for restart in outcome.restarts:
        yield f"{restart[1]} ended and was started again."
    for order in outcome.tally.gave_up[:10]:
        yield f"An order was given up: {order}"


def _reason(reason: str) -> str:
    return "no reason given" if reason == "-" else reason.lower().replace("_", " ")


def _listed(counts: dict[str, Any]) -> str:
    return ", ".join(f"{int(count):,} {name}" for name, count in sorted(counts.items())) or "none"
