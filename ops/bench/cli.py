"""`paydesk bench …`: every speed and memory target, measured against a reference of the same run."""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.progress import Progress

from ops.bench import fill, pgbench, stage
from ops.bench.stage import console, finish

app = typer.Typer(help="Measure speed and memory, each against a reference of the same run.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Seconds = Annotated[float, typer.Option(help="Counted seconds of each measurement.")]


@app.command()
def payments(
    seconds: Seconds = 10,
    turns: Annotated[int, typer.Option(min=1, help="How often payments and what they are compared with are measured, in turn.")] = 3,
    as_json: Json = False,
) -> None:
    """Durable payments a second through unary gRPC, against a bare echo and against pgbench.

    They are measured in turn, since a machine's speed drifts: a ratio is the median of those of the turns.
    """
    with stage.deployment("desk.toml") as running, pgbench.opened(running.settings.database_url) as reference:
        key = stage.key_of(running)
        _warm(running, key)
        idle = _callers(running, key, 1, seconds)
        few = _callers(running, key, 64, seconds)
        rounds = [_round(running, key, reference, seconds / turns) for _ in range(turns)]
    middle = sorted(rounds, key=lambda each: each["ratio_echo"])[turns // 2]
    result: dict[str, Any] = {"bench": "payments", "turns": [_rates(each) for each in rounds]}
    for name in ("echo_per_s", "payments_per_s", "pgbench_per_s", "ratio_echo", "ratio_pgbench"):
        result[name] = round(statistics.median(each[name] for each in rounds), 3)
    for name, run in (("1", idle), ("64", few), ("512", middle["many"])):
        result[f"callers_{name}"] = {field: run[field] for field in ("calls_per_s", "p50_ms", "p99_ms", "errors")}
    result["cores_used"], result["load_generator_cores"] = middle["cores_used"], middle["load_generator_cores"]
    result["saturated"] = _saturated(result)
    finish(
        result,
        as_json=as_json,
        bars={
            "ratio_echo": (result["ratio_echo"], ">=", 0.50),
            "ratio_pgbench": (result["ratio_pgbench"], ">=", 1.2),
            "p50_ms with one caller": (idle["p50_ms"], "<=", 12),
            "p99_ms with one caller": (idle["p99_ms"], "<=", 30),
        },
    )


def _round(running: Any, key: str, reference: str, seconds: float) -> dict[str, Any]:
    """Measure the echo, payments and pgbench, one after the other."""
    echo_per_s = _echo(seconds)
    roots = list(running.processes().values())
    before, started_s = stage.cpu_s(roots), time.monotonic()
    many = _callers(running, key, 512, seconds)
    used = stage.cores_used(before, stage.cpu_s(roots), time.monotonic() - started_s)
    pgbench_per_s = round(pgbench.run(reference, clients=64, seconds=max(1, round(seconds))), 1)
    console.print(f"pgbench, 64 clients: {pgbench_per_s}/s")
    return {
        "echo_per_s": echo_per_s, "payments_per_s": many["calls_per_s"], "pgbench_per_s": pgbench_per_s,
        "ratio_echo": round(many["calls_per_s"] / echo_per_s, 3),
        "ratio_pgbench": round(many["calls_per_s"] / pgbench_per_s, 3), "many": many, "cores_used": used,
        "load_generator_cores": round(many["cpu_s"] / (seconds + 2), 3),
    }  # fmt: skip


def _rates(measured: dict[str, Any]) -> dict[str, float]:
    return {name: measured[name] for name in ("echo_per_s", "payments_per_s", "pgbench_per_s")}


def _echo(seconds: float) -> float:
    """Measure the echo."""
    with stage.echo() as target:
        measured = stage.call("caller", "--target", target, "--callers", 512, "--seconds", seconds)
    console.print(f"echo, 512 callers: {measured['calls_per_s']}/s, p50 {measured['p50_ms']} ms")
    return float(measured["calls_per_s"])


def _callers(running: Any, key: str, callers: int, seconds: float) -> dict[str, Any]:
    measured = stage.call("caller", "--target", running.target, "--key", key, "--callers", callers, "--seconds", seconds)
    console.print(
        f"payments, {callers} callers: {measured['calls_per_s']}/s, p50 {measured['p50_ms']} ms, p99 {measured['p99_ms']} ms"
    )
    return measured


def _warm(running: Any, key: str) -> None:
    stage.call("caller", "--target", running.target, "--key", key, "--callers", 64, "--seconds", 2)


def _saturated(result: dict[str, Any]) -> str:
    used = sum(result["cores_used"].values()) + result["load_generator_cores"]
    return _of_cores(used, max(result["cores_used"], key=result["cores_used"].get, default=""))


def _of_cores(used: float, busiest: str) -> str:
    cores = psutil.cpu_count() or 1
    full = "all cores are busy" if used > 0.9 * cores else "the cores are not all busy"
    return f"{used:.2f} of {cores} cores used ({full}); most by: {busiest}"


@app.command("slow-channel")
def slow_channel(
    rate: Annotated[float, typer.Option(help="Payments begun a second.")] = 400, seconds: Seconds = 20, as_json: Json = False
) -> None:
    """Our own part of the latency when a channel takes its time (log-normal, p50 120 ms, p99 380 ms)."""
    with stage.deployment("slow-desk.toml") as running:
        key = stage.key_of(running)
        _warm(running, key)
        seed = running.settings.simulator_seed
        roots = list(running.processes().values())
        before, started_s = stage.cpu_s(roots), time.monotonic()
        measured = stage.call(
            "open_model", "--target", running.target, "--key", key, "--rate", rate, "--seconds", seconds, "--seed", seed
        )
        used = stage.cores_used(before, stage.cpu_s(roots), time.monotonic() - started_s)
    result = {"bench": "slow-channel", **measured, "cores_used": used}
    finish(
        result,
        as_json=as_json,
        bars={
            "own_p99_ms": (measured["own_p99_ms"], "<=", 100),
            "errors": (sum(measured["errors"].values()), "<=", 0),
            "own_min_ms (below 0 the channel's time is not subtracted rightly)": (measured["own_min_ms"], ">=", 0),
        },
    )


@app.command()
def routing(seconds: Seconds = 8, as_json: Json = False) -> None:
    """Decisions a second through DryRunRoute with 8 channels and 20 and 200 rules, and one decision in process."""
    from ops.bench import decisions

    in_process, many = decisions.decision_percentiles_us(), decisions.decision_percentiles_us(decisions.MANY_RULES)
    result = {"bench": "routing", **_dry_runs("routing-desk.toml", seconds), **in_process}
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as desk:
        desk.write(decisions.desk_text(decisions.MANY_RULES))
        desk.flush()
        result["with_200_rules"] = {**_dry_runs(desk.name, seconds), **many}
    result["echo_per_s"] = _echo(seconds / 2)
    finish(
        result,
        as_json=as_json,
        bars={
            "decisions_per_s": (result["decisions_per_s"], ">=", 3_000),
            "decision_p99_us": (in_process["decision_p99_us"], "<=", 200),
            "decisions_per_s with 200 rules": (result["with_200_rules"]["decisions_per_s"], ">=", 2_500),
        },
    )


def _dry_runs(desk: str, seconds: float) -> dict[str, Any]:
    with stage.deployment(desk, simulator=True) as running:
        key = stage.key_of(running)
        return stage.call("dry_run", "--target", running.target, "--key", key, "--callers", 512, "--seconds", seconds)


@app.command()
def growth(
    rows: Annotated[int, typer.Option(help="Payments in the tables for the second measurement.")] = 5_000_000,
    seconds: Seconds = 15,
    settle: Annotated[
        int, typer.Option(min=0, help="Turns of that length before the counted one, from a checkpoint on: they pay for whole pages.")
    ] = 3,
    as_json: Json = False,
) -> None:
    """Payments a second with millions of payments in the tables, against an empty database.

    After a checkpoint, every page that is touched for the first time goes to the log whole. With large indexes under random
    numbers that lasts for some turns, which are shown and not counted, before either measurement.
    """
    with stage.deployment("desk.toml") as running:
        key, url = stage.key_of(running), running.settings.database_url
        _warm(running, key)
        empty = _settled(running, key, seconds, settle)
        with Progress(console=console) as bar:
            task = bar.add_task(f"filling in {rows:,} payments", total=rows)
            fill.fill(url, rows, lambda done: bar.update(task, completed=done))
        full = _settled(running, key, seconds, settle)
    ratio = round(full[-1]["calls_per_s"] / empty[-1]["calls_per_s"], 3)
    first = round(full[0]["calls_per_s"] / empty[0]["calls_per_s"], 3)
    result = {"bench": "growth", "rows": rows, "empty": empty, "full": full, "ratio": ratio, "ratio_after_checkpoint": first}
    finish(result, as_json=as_json, bars={"ratio": (ratio, ">=", 0.9)})


def _settled(running: Any, key: str, seconds: float, turns: int) -> list[dict[str, Any]]:
    """Measure `turns` times from a checkpoint on, and once more: the last is the one that counts."""
    fill.checkpoint(running.settings.database_url)
    return [_callers(running, key, 512, seconds) for _ in range(turns + 1)]


@app.command()
def footprint(
    idle_s: Annotated[float, typer.Option(help="How long idleness is watched.")] = 30, as_json: Json = False
) -> None:
    """Cold start to SERVING, and memory and CPU of everything when idle, database included."""
    started_s = time.monotonic()
    with stage.deployment("../demo/desk.toml") as running:
        cold_start_s = round(time.monotonic() - started_s, 2)
        time.sleep(10)  # what start-up left to do is not idleness
        roots = list(running.processes().values())
        before, watched_s = stage.cpu_s(roots), time.monotonic()
        time.sleep(idle_s)
        seconds = time.monotonic() - watched_s
        used = stage.cores_used(before, stage.cpu_s(roots), seconds)
        pss: dict[str, int] = {}
        for process in stage.tree(roots):
            role = stage.role_of(process)
            pss[role] = pss.get(role, 0) + process.memory_full_info().pss
    total_cpu = round(sum(used.values()), 4)
    total_gb = round(sum(pss.values()) / 1e9, 3)
    result = {
        "bench": "footprint", "cold_start_s": cold_start_s, "idle_pss_gb": total_gb, "idle_cores": total_cpu,
        "pss_mb_by_role": {role: round(size / 1e6) for role, size in sorted(pss.items(), key=lambda i: -i[1])},
        "cores_by_role": used,
    }  # fmt: skip
    finish(
        result,
        as_json=as_json,
        bars={
            "cold_start_s": (cold_start_s, "<=", 10),
            "idle_pss_gb": (total_gb, "<=", 1.2),
            "idle_cores": (total_cpu, "<=", 0.05),
        },
    )


@app.command()
def neighbours(
    rate: Annotated[float, typer.Option(help="Online payments that the quiet tenant begins a second.")] = 50,
    rounds: Annotated[int, typer.Option(min=1, help="How often alone and beside are measured, in turn.")] = 3,
    seconds: Seconds = 10,
    as_json: Json = False,
) -> None:
    """Online latency of one tenant while another floods batches, against the same tenant alone."""
    with stage.deployment("neighbours-desk.toml") as running:
        quiet, loud = stage.key_of(running, "quiet"), stage.key_of(running, "loud")
        pay = ("open_model", "--target", running.target, "--key", quiet, "--rate", rate, "--seconds", seconds)
        flood = ("flood", "--target", running.target, "--key", loud)
        stage.call(*pay)
        alone, beside, floods = [], [], []
        for _ in range(rounds):
            alone.append(stage.call(*pay))
            with stage.beside(*flood) as flooding:
                beside.append(stage.call(*pay))
            floods.append(flooding)
            console.print(f"p99 alone {alone[-1]['total_p99_ms']} ms, beside {beside[-1]['total_p99_ms']} ms; {floods[-1]}")
    result: dict[str, Any] = {"bench": "neighbours", "rate_per_s": rate}
    for name, runs in (("alone", alone), ("beside", beside)):
        result |= {f"{name}_{at}_ms": statistics.median(run[f"total_{at}_ms"] for run in runs) for at in ("p50", "p99")}
        result[f"{name}_errors"] = sum(sum(run["errors"].values()) for run in runs)
    result |= {name: statistics.median(flooding[name] for flooding in floods) for name in floods[0]}
    result["ratio_p99"] = round(result["beside_p99_ms"] / result["alone_p99_ms"], 3)
    bars = {"ratio_p99": (result["ratio_p99"], "<=", 1.2), "errors of the quiet tenant": (result["beside_errors"], "<=", 0)}
    finish(result, as_json=as_json, bars=bars)


@app.command()
def callbacks(
    rate: Annotated[float, typer.Option(help="Real notices a second.")] = 100,
    garbage: Annotated[float, typer.Option(help="Garbage a second, from noise to forged signatures and huge bodies.")] = 1_000,
    seconds: Seconds = 15,
    as_json: Json = False,
) -> None:
    """Real notices of an RSA channel acknowledged while garbage floods the same address; none may be lost."""
    from ops.bench import callbacks as ingress

    count = int(rate * seconds)
    with tempfile.TemporaryDirectory(prefix="paydesk-bench-desk-") as scratch:
        desk, notices = Path(scratch) / "desk.toml", Path(scratch) / "notices"
        keys = ingress.write_desk(desk)
        with stage.deployment(str(desk)) as running:
            key = stage.key_of(running)
            made = 0
            while made < count:
                # No more payments than there are notices: those that wait would be asked about meanwhile.
                stage.call("caller", "--target", running.target, "--key", key, "--callers", 64, "--seconds", 60,
                           "--warm-s", 0, "--calls-max", count - made)  # fmt: skip
                had, made = made, ingress.write_notices(notices, running.settings.database_url, keys[1], count)
                if made == had:
                    sys.exit("no payment waits for its payer: the channel of this bench does not work")
            ingress.put_off_questions(running.settings.database_url)
            time.sleep(2)  # what was on its way already
            port = int(running.settings.public_url.rpartition(":")[2])
            roots = list(running.processes().values())
            before, started_s = stage.cpu_s(roots), time.monotonic()
            measured = stage.call("callbacks", "--port", port, "--notices", notices, "--real", rate, "--garbage", garbage)
            used = stage.cores_used(before, stage.cpu_s(roots), time.monotonic() - started_s)
            lost = count - ingress.paid_count(running.settings.database_url)
    result = {"bench": "callbacks", **measured, "lost": lost, "cores_used": used}
    own_cores = measured["cpu_s"] / (count / rate)
    result["saturated"] = _of_cores(sum(used.values()) + own_cores, max(used, key=lambda role: used[role]))
    bars: dict[str, tuple[float, str, float]] = {
        "p99_ms of real notices": (measured["p99_ms"], "<=", 50),
        "real notices lost": (lost, "<=", 0),
        "garbage_per_s": (measured["garbage_per_s"], ">=", garbage * 0.95),
    }
    finish(result, as_json=as_json, bars=bars)


@app.command()
def wire(
    rounds: Annotated[int, typer.Option(min=1, help="How often each wire and the bare work are measured, in turn.")] = 3,
    seconds: Seconds = 4,
    as_json: Json = False,
) -> None:
    """Payments over each real channel's wire, both sides signing, against the bare HTTP and RSA behind them."""
    from ops.bench.wire import LOADS

    result: dict[str, Any] = {"bench": "wire"}
    with tempfile.TemporaryDirectory(prefix="paydesk-bench-wire-") as scratch:
        wires = Path(scratch) / "wires.json"
        with stage.server("wire", "serve", "--wires", wires) as simulator:
            stage.wait_for_file(wires)
            for kind in LOADS:
                result[kind] = _wire(kind, wires, simulator, rounds, seconds)
                console.print(f"{kind}: {result[kind]}")
    bars: dict[str, tuple[float, str, float]] = {}
    for kind in LOADS:
        bars[f"{kind}, ratio to the bare work"] = (result[kind]["ratio"], ">=", 0.5)
        bars[f"{kind}, loop_busy_max_ms"] = (result[kind]["loop_busy_max_ms"], "<=", 20)
        bars[f"{kind}, failed"] = (result[kind]["failed"], "<=", 0)
    finish(result, as_json=as_json, bars=bars)


def _wire(kind: str, wires: Path, simulator: int, rounds: int, seconds: float) -> dict[str, Any]:
    sample, port = wires.with_name(f"{kind}.sample"), stage.free_port()
    stage.call("wire", "sample", "--kind", kind, "--wires", wires, "--sample", sample)
    pay = ("wire", "pay", "--kind", kind, "--wires", wires, "--server", simulator, "--seconds", seconds)
    ours: list[dict[str, Any]] = []
    bare: list[dict[str, Any]] = []
    with stage.server("wire_bare", "--port", port, "--sample", sample) as server:
        stage.wait_for_port(port)
        for _ in range(rounds):
            ours.append(stage.call(*pay))
            bare.append(stage.call("wire", "bare", "--sample", sample, "--port", port, "--server", server, "--seconds", seconds))
    middle = {name: statistics.median(run[name] for run in ours) for name in ("per_s", "cpu_us")}
    calm = stage.call(*pay, "--rate", middle["per_s"] / 2)
    cores = {side: statistics.median(run["cores_used"][side] for run in ours) for side in ("connector", "wire")}
    return middle | {
        "bare_per_s": statistics.median(run["per_s"] for run in bare),
        "bare_cpu_us": statistics.median(run["cpu_us"] for run in bare),
        "ratio": round(statistics.median(mine["per_s"] / other["per_s"] for mine, other in zip(ours, bare, strict=True)), 3),
        "ratio_cpu": round(statistics.median(run["cpu_us"] for run in bare) / middle["cpu_us"], 3),
        **{name: calm[name] for name in calm if name.startswith("loop_")},
        "failed": sum(sum(run["failed"].values()) for run in (*ours, calm)),
        "cores_used": cores,
        "saturated": _of_cores(sum(cores.values()), max(cores, key=lambda side: cores[side])),
    }


@app.command()
def bills(
    rows: Annotated[int, typer.Option(min=10, help="Movements of the day.")] = 100_000, as_json: Json = False
) -> None:
    """Read a long day's statement of every channel, as the sandbox has written it: exact to the fen."""
    from ops.bench.bills import STATEMENTS, off_by

    result: dict[str, Any] = {"bench": "bills", "rows": rows}
    bars: dict[str, tuple[float, str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="paydesk-bench-bills-") as scratch:
        for name in STATEMENTS:
            paper = ("--statement", name, "--file", Path(scratch) / name)
            moved = stage.call("bills", "write", *paper, "--rows", rows)["moved"]
            read = result[name] = stage.call("bills", "read", *paper)
            console.print(f"{name}: {read['lines']:,} lines, {read['lines_per_s']:,} a second, {read['peak_mb']} MB")
            bars[f"{name}, off by so many fen and lines"] = (off_by(name, moved, read["sums"]), "<=", 0)
    finish(result, as_json=as_json, bars=bars)


@app.command("audit")
def audit_chain(
    entries: Annotated[int, typer.Option(min=1, help="Entries to verify.")] = 100_000,
    trials: Annotated[int, typer.Option(min=1, help="Tamperings of each kind.")] = 100,
    as_json: Json = False,
) -> None:
    """Verify a long audit chain, and find each tampering (edit, delete, insert, reorder) at its exact place."""
    from ops.bench import audit

    with stage.database() as url:
        result = {"bench": "audit", **audit.run(url, entries=entries, trials=trials)}
    bars: dict[str, tuple[float, str, float]] = {"verify_s for 100,000 entries": (result["verify_s"] / entries * 1e5, "<=", 10)}
    bars |= {f"found_{t.__name__}": (result[f"found_{t.__name__}"], ">=", trials) for t in audit.TAMPERS}
    finish(result, as_json=as_json, bars=bars)


@app.command("all")
def everything(as_json: Json = False) -> None:
    """Run all of them, one after the other (growth takes the longest)."""
    payments(10, 3, as_json)
    slow_channel(400, 20, as_json)
    routing(8, as_json)
    footprint(30, as_json)
    neighbours(50, 3, 10, as_json)
    callbacks(100, 1_000, 15, as_json)
    wire(3, 4, as_json)
    bills(100_000, as_json)
    audit_chain(100_000, 100, as_json)
    growth(5_000_000, 15, as_json)
