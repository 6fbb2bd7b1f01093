"""`paydesk fuzz`: looks for what one tenant can learn of another."""

import asyncio
from typing import Annotated

import typer

from ops.session import Target

app = typer.Typer(help="Hostile calls, to see that nothing comes of them.", no_args_is_help=True)


@app.callback()
def _fuzz() -> None:
    """Hostile calls, to see that nothing comes of them."""


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
