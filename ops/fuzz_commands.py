"""`paydesk fuzz`: what one tenant can learn of another, and what mutated messages do to the channels' parsers and to ports."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from ops.session import Target

app = typer.Typer(help="Hostile calls and messages, to see that nothing comes of them.", no_args_is_help=True)


@app.callback()
def _fuzz() -> None:
    """Hostile calls and messages, to see that nothing comes of them."""


@app.command()
def tenants(
    calls: Annotated[int, typer.Option(min=2, help="Calls to make, two by two.")] = 10_000,
    seed: Annotated[int, typer.Option(help="What its chance begins with.")] = 1,
    mine: Annotated[str, typer.Option(help="The tenant that calls; its development key is used.")] = "pnc",
    theirs: Annotated[str, typer.Option(help="The tenant whose ids, tokens and request ids it sends.")] = "life",
    target: Target = "",
) -> None:
    """Call every method as one tenant with everything of another; exits 1 if anything of it shows. For a sandbox: it makes things."""
    from ops import address, dialing
    from ops.fuzz import Fuzzer, Report
    from ops.settings import Settings

    place = address.require(Settings(), target=target)
    keys = {tenant: address.key_for(place, tenant=tenant) for tenant in (mine, theirs)}

    async def run() -> Report:
        async with dialing.dial_aio(place.target) as channel:
            return await Fuzzer(channel, mine=keys[mine], theirs=keys[theirs], seed=seed).run(calls)

    report = asyncio.run(run())
    print(f"{report.calls:,} calls with {report.foreign_values:,} values of {theirs} in {report.seconds:.0f} s")
    print("answers: " + ", ".join(f"{name} {count:,}" for name, count in report.answers.most_common()))
    for finding in (*report.leaks, *report.hints):
        print(f"  {finding}")
    print(f"{len(report.leaks)} leaks, {len(report.hints)} hints that something exists")
    if not report.holds:
        raise typer.Exit(1)


@app.command()
def parsers(
    channel: Annotated[str, typer.Option(help="Kind of channel whose parsers are tried.")],
    inputs: Annotated[int, typer.Option(min=1, help="How many messages.")] = 100_000,
    seed: Annotated[int, typer.Option(help="What chance begins with.")] = 1,
    keep_in: Annotated[Path, typer.Option(help="Folder for the inputs that did harm.")] = Path("build/fuzz"),
) -> None:
    """Throw mutated messages at every parser of a channel in turn; exits 1 if one of them did harm."""
    from ops import parser_fuzz

    if channel not in parser_fuzz.CHANNELS:
        raise typer.BadParameter(f"there are {', '.join(sorted(parser_fuzz.CHANNELS))}", param_hint="--channel")
    console, found = Console(highlight=False), 0
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("inputs", total=inputs)
        targets = parser_fuzz.CHANNELS[channel]()
        for find in parser_fuzz.throw(targets, inputs=inputs, seed=seed, done=lambda: progress.advance(task, 1_000)):
            found += 1
            path = parser_fuzz.keep(find, keep_in / channel, found)
            console.print(f"[red]✗[/] {find.target}: {find.problem} ({path})")
            if found >= parser_fuzz.FINDS_MAX:
                break
    if found:
        raise typer.Exit(1)
    console.print(f"{inputs:,} messages did no harm to {channel}")


@app.command()
def ports(
    inputs: Annotated[int, typer.Option(min=1, help="How many times bytes are thrown, at all ports together.")] = 100_000,
    seed: Annotated[int, typer.Option(help="What chance begins with.")] = 1,
    wires: Annotated[str, typer.Option(help="Address of the channels' simulated wires, such as 127.0.0.1:7720; none: not tried.")] = "",
    channel: Annotated[list[str] | None, typer.Option(help="A channel whose callbacks are tried; may be repeated.")] = None,
    growth_mb: Annotated[float, typer.Option(help="Megabytes by which no process may grow.")] = 64.0,
    keep_in: Annotated[Path, typer.Option(help="Folder for the inputs that did harm.")] = Path("build/fuzz"),
    target: Target = "",
) -> None:
    """Throw bytes at every port of a running deployment; exits 1 if one of them does harm. For a sandbox: it fills logs."""
    from ops import address, parser_fuzz, port_fuzz
    from ops.settings import Settings

    settings = Settings()
    place = address.require(settings, target=target)
    found, http = port_fuzz.ports_of(place.http_url, place.target, wires, channel or [])
    console = Console(highlight=False)
    drill = port_fuzz.Drill(found, http=http, target=place.target, pid=address.pid(settings), seed=seed)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("inputs", total=inputs)
        report = asyncio.run(drill.run(inputs, done=lambda count: progress.advance(task, count)))
    print(f"{report.inputs:,} inputs in {report.seconds:.0f} s at {', '.join(port.name for port in found)}")
    print("answers: " + ", ".join(f"{name} {count:,}" for name, count in report.answers.most_common(30)))
    print(f"the slowest honest question took {report.slowest_s:.2f} s")
    for name, (before, after) in report.memory_mb.items():
        print(f"  {name}: {before:.0f} MB, then {after:.0f} MB")
        if after - before > growth_mb:
            report.finds.append(parser_fuzz.Find("memory", b"", f"{name} grew by {after - before:.0f} MB"))
    for number, find in enumerate(report.finds, start=1):
        kept = f" ({parser_fuzz.keep(find, keep_in / 'ports', number)})" if find.content else ""
        console.print(f"[red]✗[/] {find.target}: {find.problem}{kept}")
    if report.finds:
        raise typer.Exit(1)
    console.print("no input did harm")
