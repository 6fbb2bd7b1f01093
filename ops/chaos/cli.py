"""`paydesk chaos`: kill -9 of random processes under load and channel faults, and a verdict about the money."""

import json
import os
import random
import secrets
import socket
import time
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from actors.directory import Placement
from ops import running, wires
from ops.chaos import drill, verdict
from ops.chaos.house import House
from ops.chaos.load import Load
from ops.check import Verdict, check, show, truth_of_service
from ops.demo.payers import Payers
from ops.order_system import OrderSystem, OrderSystemThread
from ops.settings import Settings
from storage.database import make_engine
from storage.embedded import EmbeddedPostgres

TENANT = "chaos"
START_S_MAX = 150.0
# Waits of notices are shrunk by this, so that a drill sees their retries.
SCHEDULE_FACTOR = 0.02
EXPIRE_S = 75
ORDER_SYSTEM_FAIL_SHARE = 0.02


def chaos(
    kills: Annotated[int, typer.Option(min=1, help="How many kills.")] = 50,
    seed: Annotated[int | None, typer.Option(help="What chance begins with; printed for a replay.")] = None,
    rate: Annotated[float | None, typer.Option(min=1, max=500, help="Orders per second; 40, over the wires 8.")] = None,
    only: Annotated[str, typer.Option(help=f"Kill only these, with commas between: {', '.join(drill.WIRE.kinds)}.")] = "",
    wire: Annotated[
        bool, typer.Option("--wire", help="Over the own wires of Alipay, WeChat Pay and UnionPay, whose simulator dies too.")
    ] = False,
    expire_s: Annotated[int, typer.Option(min=15, help="Life of an unpaid order.")] = EXPIRE_S,
    placement: Annotated[Placement, typer.Option(help="Whether roles share processes.")] = Placement.SHARED,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data directory, with its logs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
) -> None:
    """Kill anything at any moment under load; nothing may be lost, taken twice or kept quiet. Exit status 1 if it was."""
    console = Console(stderr=as_json, highlight=False)
    number = secrets.randbelow(1_000_000) if seed is None else seed
    stage = drill.WIRE if wire else drill.SANDBOX
    rate_per_s = rate or stage.rate_per_s
    kinds = tuple(filter(None, (kind.strip() for kind in only.split(","))))
    unknown = set(kinds) - stage.kinds.keys()
    if unknown:
        raise typer.BadParameter(f"there is no kind of process called {', '.join(sorted(unknown))}", param_hint="--only")
    directory = Path(".paydesk").resolve() / f"chaos-{os.getpid()}"
    replay = f"paydesk chaos {'--wire ' if wire else ''}--kills {kills} --seed {number} --rate {rate_per_s:g}"
    replay += f" --only {only}" if only else ""
    replay += f" --expire-s {expire_s}" if expire_s != EXPIRE_S else ""
    replay += f" --placement {placement}" if placement is not Placement.SHARED else ""
    console.print(f"[bold]{kills} kills[/], seed {number}, {rate_per_s:g} orders a second; data and logs in {directory}")
    holds = False
    try:
        document = _run(
            console, directory, stage, kills=kills, seed=number, rate_per_s=rate_per_s, only=kinds, expire_s=expire_s,
            placement=placement,
        )  # fmt: skip
        holds = document["holds"]
    finally:
        if holds and not keep:
            running.remove(directory)
        else:
            console.print(f"Logs: {directory / 'logs'}")
        console.print(f"Replay: {replay}")
    if as_json:
        print(json.dumps({**document, "replay": replay}, ensure_ascii=False))
    raise typer.Exit(0 if holds else 1)


def _run(
    console: Console, directory: Path, stage: drill.Stage, *, kills: int, seed: int, rate_per_s: float,
    only: tuple[str, ...], expire_s: int, placement: Placement,
) -> dict[str, Any]:  # fmt: skip
    secret = "whsec_" + b64encode(secrets.token_bytes(24)).decode()
    orders = OrderSystem(secrets=[secret], fail_share=ORDER_SYSTEM_FAIL_SHARE, seed=seed)
    with OrderSystemThread(orders) as served:
        settings = _settings(directory, stage.desk, placement=placement, seed=seed, webhook_url=served.url, secret=secret)
        with House(settings) as house:
            key = _wait_for_start(house, settings)
            target = f"{settings.host}:{settings.grpc_port}"
            engine = make_engine(EmbeddedPostgres(directory).start(), pool_size=1)
            sandbox = drill.Sandbox(target, key)
            for channel_id, faults in stage.faults.items():
                for kind, share in faults.items():
                    sandbox.fault(channel_id, kind, share)
            load = Load(
                target=target, key=key, rate_per_s=rate_per_s, expire_s=expire_s, seed=seed, methods=stage.methods,
                terminals=stage.terminals,
                payers=Payers(wires.url(settings.simulator_http_port)) if stage.wired else None,
            )  # fmt: skip
            load.start()
            chance = random.Random(seed)
            struck = _strike_all(console, house, load, engine, chance, drill.plan(chance, kills, stage.kinds, only))
            load.stop(patience_s=60)
            rest_s = drill.make_peace(engine, sandbox, stage.faults, lambda text: console.print(f"  [dim]{text}[/]"))
            found = check(engine.url.render_as_string(hide_password=False), truth_of_service(target, key), orders.report())
            with engine.begin() as connection:
                found = verdict.together(found, [
                    *verdict.history(connection, load.told), *verdict.rest(connection, load.told),
                    verdict.notices(connection, orders.states), verdict.answers(load.errors),
                    verdict.remains(house.orphans()),
                ])  # fmt: skip
            sandbox.close()
            engine.dispose()
            document = _document(struck, found, load, house, rest_s=rest_s, seed=seed, notices=orders.report())
    _show(console, found, document)
    return document


def _settings(directory: Path, template: Path, *, placement: Placement, seed: int, webhook_url: str, secret: str) -> Settings:
    directory.mkdir(parents=True, exist_ok=True)
    desk = directory / "desk.toml"
    desk.write_text(template.read_text().replace("{webhook_url}", webhook_url).replace("{webhook_secret}", secret))
    return Settings(  # an embedded database and a local Ray, whatever the environment says: this is no drill for yours
        database_url="", ray_address="", host="127.0.0.1", data_dir=directory, placement=placement,
        grpc_port=_free_port(), http_port=_free_port(), simulator_http_port=_free_port(), desk_file=desk, simulator_seed=seed,
        notify_schedule_factor=SCHEDULE_FACTOR, drain_s=2,
    )  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_start(house: House, settings: Settings) -> str:
    """Wait for the first start; return the tenant's key."""
    keys = settings.directory() / "development-keys.json"
    deadline_s = time.monotonic() + START_S_MAX
    while not (house.engine_pid() and keys.exists() and keys.stat().st_size):
        if time.monotonic() > deadline_s:
            raise typer.BadParameter(f"it did not start; see {settings.directory() / 'logs'}")
        time.sleep(0.2)
    time.sleep(1.5)  # a gateway hears of new keys within a second
    return str(json.loads(keys.read_text())[TENANT])


def _strike_all(
    console: Console, house: House, load: Load, engine: Any, chance: random.Random, plan: Sequence[str]
) -> list[drill.Kill]:
    struck: list[drill.Kill] = []
    begin_s = time.monotonic()
    while load.serving_since(begin_s, drill.CALM_S) is None:
        time.sleep(drill.LOOK_S)
    before, kinds = 0, list[str]()
    for number, kind in enumerate(plan, start=1):
        time.sleep(chance.uniform(0.5, 2.5))
        before = before or house.engine_pid()
        drill.strike(house, kind, chance)
        kinds.append(kind)
        at_s = time.monotonic()
        if number < len(plan) and chance.random() < drill.PAIR_SHARE:
            struck.append(drill.Kill(number, kind, round(at_s - begin_s, 1), 0.0, 0.0))
            console.print(f"{number:>4}/{len(plan)}  {kind:<9}  and, before it is back,")
            continue
        serving_s, claimed_s = drill.recover(house, load, engine, kinds=kinds, engine_before=before, at_s=at_s)
        before, kinds = 0, []
        one = drill.Kill(number, kind, round(at_s - begin_s, 1), round(serving_s, 1), round(claimed_s, 1))
        struck.append(one)
        console.print(
            f"{number:>4}/{len(plan)}  {kind:<9}  serving again {one.serving_s:>5.1f} s   work taken up {one.claimed_s:>5.1f} s"
            f"   [dim]{len(load.told):,} of {load.started:,} orders answered[/]" + ("" if one.in_time else "  [red]too late[/]")
        )
    return struck


def _document(
    struck: list[drill.Kill], found: Verdict, load: Load, house: House, *, rest_s: float, seed: int, notices: dict[str, Any]
) -> dict[str, Any]:
    late = [kill for kill in struck if not kill.in_time]
    return {
        "seed": seed,
        "kills": len(struck),
        "orders": len(load.told),
        "acknowledged": sum(bool(one.payment_id) for one in load.told),
        "refused": sum(bool(one.refusal) for one in load.told),
        "acknowledged_lost": verdict.count(found, "acknowledged_lost", "acknowledged_changed", "payment_lost"),
        "double_charges": verdict.count(found, "charged_twice", "order_charged_twice", "order_paid_twice"),
        "final_notices_missing": verdict.count(found, "final_notice_missing"),
        "serving_again_s_max": max((kill.serving_s for kill in struck), default=0.0),
        "overdue_claimed_s_max": max((kill.claimed_s for kill in struck), default=0.0),
        "late_recoveries": [kill._asdict() for kill in late],
        "by_kind": _by_kind(struck),
        "rest_s": round(rest_s, 1),
        "cold_starts": house.watcher_starts,
        "notices": {name: value for name, value in notices.items() if name != "problems"},
        "errors": dict(load.errors.most_common(20)),
        "check": found.document(),
        "holds": found.holds and not late,
    }


def _by_kind(struck: list[drill.Kill]) -> dict[str, dict[str, float]]:
    table = {}
    for kind in dict.fromkeys(kill.kind for kill in struck):
        group = [kill for kill in struck if kill.kind == kind]
        table[kind] = {
            "kills": len(group),
            "serving_again_s_max": max(kill.serving_s for kill in group),
            "overdue_claimed_s_max": max(kill.claimed_s for kill in group),
        }
    return table


def _show(console: Console, found: Verdict, document: dict[str, Any]) -> None:
    table = Table("killed", box=None, padding=(0, 2), header_style="dim")
    for name in ("times", "serving again ≤", "work taken up ≤"):
        table.add_column(name, justify="right")
    for kind, row in document["by_kind"].items():
        table.add_row(
            kind, str(row["kills"]), f"{row['serving_again_s_max']:.1f} s", f"{row['overdue_claimed_s_max']:.1f} s"
        )
    console.print(table)
    for text, count in document["errors"].items():
        console.print(f"  [dim]{count:>6} × {text}[/]", highlight=False)
    show(found, console)
    console.print(
        f"{document['acknowledged']:,} acknowledged, {document['acknowledged_lost']} lost, {document['double_charges']} charged "
        f"twice, {document['final_notices_missing']} final notices missing; serving again within "
        f"{document['serving_again_s_max']:.1f} s (promise {drill.SERVING_S_MAX:.0f}), overdue work taken up within "
        f"{document['overdue_claimed_s_max']:.1f} s (promise {drill.CLAIMED_S_MAX:.0f})"
    )
    late = document["late_recoveries"]
    console.print("[bold green]Holds.[/]" if document["holds"] else f"[bold red]Does not hold[/] ({len(late)} late recoveries).")


def main() -> None:
    """Run without the `paydesk` command: `python -m ops.chaos.cli --kills 3`."""
    typer.run(chaos)


if __name__ == "__main__":
    main()
