"""The `paydesk` command.

What a sub-command needs is imported when it runs, so that `paydesk --help` answers at once. What the user can mend is
told in one sentence, with what to do; anything else is a bug and stays loud.
"""

import json
import os
import sys
import warnings
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domain.identifiers import CHINA
from ops import (
    approvals_commands,
    audit_commands,
    channel_commands,
    fuzz_commands,
    identity_commands,
    rules_commands,
    secret_commands,
    simulator_commands,
    tenants_commands,
    windows_commands,
)
from ops.mistakes import FAILED, USAGE, CannotStart, Mistake
from simulator.errors import LedgerDamaged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from ops.check import TruthEntry, Verdict
    from ops.settings import Settings

app = typer.Typer(
    help="Paydesk: one gRPC service in front of every payment channel.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip
keys_app = typer.Typer(help="API keys: who may call, as which tenant, with which roles.", no_args_is_help=True)
db_app = typer.Typer(help="The database: upgrade it, look at it, back it up.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
app.add_typer(db_app, name="db")
app.add_typer(approvals_commands.app, name="approvals")
app.add_typer(audit_commands.app, name="audit")
app.add_typer(channel_commands.app, name="channel")
app.add_typer(fuzz_commands.app, name="fuzz")
app.add_typer(identity_commands.app, name="identity")
app.add_typer(rules_commands.app, name="rules")
app.add_typer(secret_commands.app, name="secrets")
app.add_typer(simulator_commands.app, name="simulator")
app.add_typer(tenants_commands.app, name="tenants")
app.add_typer(windows_commands.app, name="windows")

EXIT_INTERRUPTED = 130
_FORWARD: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Target = Annotated[str, typer.Option(help="HOST:PORT of gRPC; default: the deployment of the data directory.")]
Key = Annotated[str, typer.Option(help="API key; default: PAYDESK_KEY, then the tenant's development key.")]
Tenant = Annotated[str, typer.Option(help="Whose development key to use; default: the first.")]


def main() -> None:
    """Run the command, and tell what went wrong in a sentence where the user can mend it."""
    # The embedded database's wheel looks for a folder that containers do not have, and does without it.
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
    # Nothing forks and calls on: without this gRPC notes on every start of a program that it stayed out of it.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    try:
        app()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        known = _explain(error)
        if known is None:
            raise
        sentence, code = known
        print(f"paydesk: {sentence}", file=sys.stderr)
        sys.exit(code)


@app.callback()
def connection(
    ca: Annotated[
        Path | None, typer.Option(envvar="PAYDESK_CA", help="Authority of the server's certificate, in PEM: speaks TLS.")
    ] = None,
    cert: Annotated[Path | None, typer.Option(envvar="PAYDESK_CERT", help="Client certificate, in PEM.")] = None,
    cert_key: Annotated[Path | None, typer.Option(envvar="PAYDESK_CERT_KEY", help="Its key.")] = None,
) -> None:
    """Paydesk: one gRPC service in front of every payment channel."""
    if ca or cert or cert_key:
        from ops import dialing

        dialing.use(authority=ca, certificate=cert, key=cert_key)


# --- running ----------------------------------------------------------------------------------------------------------


@app.command()
def serve() -> None:
    """Start everything and keep it running; Ctrl-C or SIGTERM ends it."""
    from ops.serve import serve as run

    run(_settings())


@app.command("init")
def set_up(
    file: Annotated[Path | None, typer.Option(help="A desk document (TOML); without one, questions are asked.")] = None,
    principal: Annotated[str, typer.Option(help="Whom the first key belongs to.")] = "first-admin",
) -> None:
    """Set up a first tenant, a channel with a merchant account, and a key; say how to call."""
    from ops import database, init, running
    from ops.deployment import read_desk
    from ops.serve import command_name

    settings = _settings()
    document = read_desk(file) if file else init.ask()
    with running.database_url(settings, make=True) as url:
        database.upgrade(url)
        outcome = init.set_up(url, settings, document, principal=principal)
    print(init.next_steps(document, outcome, command=command_name()))


@app.command()
def demo(
    orders: Annotated[Path | None, typer.Option(help="CSV file of orders; default: a day of 3,300.")] = None,
    seed: Annotated[int, typer.Option(help="What the sandbox's chance begins with.")] = 1,
    speed: Annotated[float, typer.Option(min=0.1, max=10, help="1 sends about 75 orders a second.")] = 1.0,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data directory.")] = False,
    wire: Annotated[
        bool, typer.Option("--wire", help="Over the own wires of Alipay, WeChat Pay and UnionPay: a sixth of the orders.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Pay a day of orders through a sandbox that lies; exits 0 only if nothing was lost or doubled."""
    from actors import logs
    from ops.demo import report, scene, view
    from ops.demo.make_orders import ORDERS_FILE

    logs.set_up("error", role="demo")
    console = _console()
    options = scene.Options(orders or ORDERS_FILE, seed, speed, keep, scene.WIRE if wire else scene.SANDBOX)
    with view.View(console) as watching:
        outcome = scene.Scene(options, watching.tell, watching.look).play()
    report.show(outcome, console)
    document = report.document(outcome)
    if as_json:
        print(json.dumps(document, ensure_ascii=False))
    if not document["holds"]:
        raise typer.Exit(FAILED)


@app.command()
def load(
    rate: Annotated[float, typer.Option(min=0.1, max=20_000, help="Payments per second.")] = 100.0,
    seconds: Annotated[float, typer.Option(min=1, max=86_400)] = 30.0,
    profile: Annotated[
        str, typer.Option(help="steady, ramp (from nothing to twice the rate) or peak (3x in the middle).")
    ] = "steady",
    tenant: Tenant = "",
    html: Annotated[Path | None, typer.Option(help="Write a report as one HTML file.")] = None,
    start: Annotated[
        bool, typer.Option("--start", help="Start a deployment of its own, and stop it afterwards.")
    ] = False,
    target: Target = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Pay at a given rate whatever comes back (an open model), and report latencies from when each was due."""
    from ops.load import Load, run_load

    wanted = Load(
        rate=rate, seconds=seconds, profile=profile, tenant=tenant, html=html, start=start, target=target, key=key
    )
    result = run_load(wanted, _settings(), _console())
    if as_json:
        print(json.dumps(result))


@app.command(context_settings=_FORWARD, add_help_option=False)
def bench(context: typer.Context) -> None:
    """Measure speed and memory, each against a reference of the same run."""
    from ops.bench.cli import app as bench_app

    bench_app(args=context.args, prog_name="paydesk bench")


@app.command(context_settings=_FORWARD, add_help_option=False)
def chaos(context: typer.Context) -> None:
    """Kill random processes under load, and prove that nothing was lost."""
    from ops.chaos.cli import chaos as run

    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    command.command()(run)
    command(args=context.args, prog_name="paydesk chaos")


# --- looking ----------------------------------------------------------------------------------------------------------


@app.command()
def check(
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds in which what is not at rest yet is looked at again.")
    ] = 0.0,
    target: Target = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Check that no money was lost, doubled or invented: the tables against themselves and the sandbox's truth."""
    import time

    from ops import running
    from ops.check import show

    settings, console = _settings(), _console()
    give_up_s = time.monotonic() + patience
    with running.database_url(settings) as url:
        verdict = _look(settings, url, target, key)
        while not verdict.holds and time.monotonic() < give_up_s:
            time.sleep(2)
            verdict = _look(settings, url, target, key)
    show(verdict, console)
    if as_json:
        print(json.dumps(verdict.document(), ensure_ascii=False))
    if not verdict.holds:
        raise typer.Exit(FAILED)


def _look(settings: "Settings", url: str, target: str, key: str) -> "Verdict":
    from ops.check import check as check_all

    return check_all(url, _truth(settings, target, key))


def _truth(settings: "Settings", target: str, key: str) -> "Iterator[TruthEntry] | None":
    """Return the sandbox's truth: of a running one, else from its ledger on disk; None where there is no sandbox."""
    from ops import address
    from ops import call as calls
    from ops.check import truth_of_ledger, truth_of_service

    found = address.find(settings, target=target)
    if found is None:
        directory = settings.data_dir.expanduser() / "simulator"
        return truth_of_ledger(directory) if directory.is_dir() else None
    key = address.key_for(found, tenant="", key=key)
    return truth_of_service(found.target, key) if calls.has_sandbox(found.target, key) else None


@app.command()
def call(
    method: Annotated[str, typer.Argument(help="Such as Payments/CreatePayment.")] = "",
    request: Annotated[str, typer.Argument(help="The request as JSON; - reads it from standard input.")] = "{}",
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
    timeout: Annotated[float, typer.Option(min=0.1, max=600, help="Deadline in seconds.")] = 20.0,
    limit: Annotated[int, typer.Option(min=0, help="Answers of a stream; 0 for all.")] = 0,
    list_methods: Annotated[bool, typer.Option("--list", help="List the methods.")] = False,
    fields: Annotated[bool, typer.Option("--fields", help="Show the fields of the method's request.")] = False,
) -> None:
    """Call a method of the API: JSON in, JSON out. `paydesk call --list` names the methods."""
    from ops import address
    from ops import call as calls

    if list_methods or not method:
        print("\n".join(item.short_name for item in calls.methods()))
        return
    found = calls.find(method)
    if fields:
        print(calls.fields(found))
        return
    message = calls.read_request(found, sys.stdin.read() if request == "-" else request)
    place = address.require(_settings(), target=target)
    who = address.key_for(place, tenant=tenant, key=key)
    for answer in calls.call(found, message, target=place.target, key=who, timeout_s=timeout, limit=limit):
        print(answer, flush=True)


# --- keys -------------------------------------------------------------------------------------------------------------


@keys_app.command("add")
def add_key(
    tenant: Annotated[str, typer.Argument(help="The tenant that the key speaks for.")],
    principal: Annotated[str, typer.Argument(help="Who holds it, such as the name of a system.")],
    role: Annotated[list[str] | None, typer.Option(help="May be given several times; default: PARTNER_API.")] = None,
    expires: Annotated[datetime | None, typer.Option(help="When it stops counting, by the clock in China.")] = None,
) -> None:
    """Make a key and print it; it is stored nowhere and can't be shown again."""
    from ops import keys, running

    settings = _settings()
    expire_ms = round(expires.replace(tzinfo=CHINA).timestamp() * 1000) if expires else 0
    with running.database_url(settings) as url:
        key_id, key = keys.add(
            url, settings, tenant=tenant, principal=principal, roles=role or ["PARTNER_API"], expire_ms=expire_ms
        )
    print(key)
    print(f"{key_id}: keep it now, it is not shown again; gateways know it within a second", file=sys.stderr)


@keys_app.command("list")
def list_keys() -> None:
    """List keys, never their text."""
    from ops import keys, running

    with running.database_url(_settings()) as url:
        keys.show(url, _console())


@keys_app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="Such as key_0123456789ab; see `paydesk keys list`.")],
) -> None:
    """Revoke a key; gateways refuse it within a second."""
    from ops import keys, running

    with running.database_url(_settings()) as url:
        if not keys.revoke(url, key_id):
            print(f"paydesk: there is no key {key_id!r} that counts; see `paydesk keys list`", file=sys.stderr)
            raise typer.Exit(FAILED)
    print(f"{key_id} is revoked")


# --- database ---------------------------------------------------------------------------------------------------------


@db_app.command("upgrade")
def upgrade_database() -> None:
    """Bring the schema to the newest version; `paydesk serve` does so by itself."""
    from ops import database, running

    with running.database_url(_settings()) as url:
        database.upgrade(url)
        database.show_status(url, _console())


@db_app.command("status")
def show_database() -> None:
    """Show schema version, sizes and connections."""
    from ops import database, running

    with running.database_url(_settings()) as url:
        database.show_status(url, _console())


@db_app.command("parked")
def show_parked(
    channel_id: Annotated[str, typer.Option("--channel", help="Only of this channel.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Callbacks at most.")] = 50,
) -> None:
    """Show callbacks that are genuine, and that nothing could use yet."""
    from ops import database, running

    with running.database_url(_settings()) as url:
        database.show_parked(url, _console(), channel_id=channel_id, limit=limit)


@db_app.command("url")
def show_url() -> None:
    """Print the database's URL, with its password."""
    from ops import running

    with running.database_url(_settings()) as url:
        print(url)


@db_app.command("psql", context_settings=_FORWARD)
def psql(context: typer.Context) -> None:
    """Open psql on the database; what follows is handed to it, such as -c 'SELECT 1'."""
    from ops import database, running

    with running.database_url(_settings()) as url:
        code = database.psql(url, context.args)
    raise typer.Exit(code)


@db_app.command("erase-payers")
def erase_payers(
    tenant: Annotated[str, typer.Argument(help="Tenant whose payers' details are let go of.")],
    days: Annotated[int, typer.Option("--older-than", min=30, max=36_500, help="Only of payments made before so many days.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept in the trail.")],
) -> None:
    """Let go of what is known of payers whose payments have ended; how many it was stands in the trail."""
    from ops import database, running

    with running.database_url(_settings()) as url:
        count = database.erase_payers(url, tenant=tenant, days=days, reason=reason)
    print(f"{count} payers of {tenant} erased")


@db_app.command("backup-key")
def make_backup_key(
    file: Annotated[Path, typer.Argument(help="Where the secret half goes. Keep it where the backups are not.")],
) -> None:
    """Make a key for backups, and print its public half, with which they are taken."""
    from ops import backup

    print(backup.make_key(file))


@db_app.command("backup")
def take_backup(
    file: Annotated[Path, typer.Argument(help="The backup to write; it has this name only when it is whole.")],
    public_key: Annotated[str, typer.Option("--to", envvar="PAYDESK_BACKUP_KEY", help="What `db backup-key` printed: age1….")],
) -> None:
    """Write a copy of the whole database, encrypted, while everything runs."""
    from rich.console import Console
    from rich.progress import Progress

    from ops import backup, running

    with running.database_url(_settings()) as url, Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("copying", total=None)
        size = backup.take(url, file, public_key=public_key, heard=lambda count: progress.advance(task, count))
    print(f"{file}: {size / 1e6:,.1f} MB")


@db_app.command("restore")
def restore_backup(
    file: Annotated[Path, typer.Argument(help="The backup.", exists=True, dir_okay=False)],
    key: Annotated[Path, typer.Option(help="File with the secret half of its key.", exists=True, dir_okay=False)],
) -> None:
    """Make a backup the embedded database of a data directory that has none. It is checked before it is put in place."""
    from rich.console import Console
    from rich.progress import Progress

    from ops import backup

    settings = _settings()
    if settings.database_url:
        raise CannotStart("PAYDESK_DATABASE_URL names another server: only the embedded database is restored here")
    directory = settings.data_dir.expanduser().resolve()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("restoring", total=file.stat().st_size)
        backup.restore(file, directory, key_file=key, heard=lambda count: progress.advance(task, count))
    missing = [name for name in ("keys.pepper", "master.key") if not (directory / name).exists()]
    print(f"{file} is the database of {directory} now. `paydesk check` looks through it, and starts nothing.")
    print("What was paid since is not in it, and it must not be served beside the original: see docs/operating.md.")
    if missing:
        print(f"Put {' and '.join(missing)} of the old data directory there before you start it.")


# --- errors -----------------------------------------------------------------------------------------------------------


def _settings() -> "Settings":
    from ops.settings import Settings

    file = os.environ.get("PAYDESK_CONFIG")
    if file and not Path(file).is_file():
        raise CannotStart(f"PAYDESK_CONFIG names {file}, which is no file")
    return Settings()


def _console() -> "Console":
    from rich.console import Console

    # Without a terminal there is no width to fit; a pipe gets room for a whole table.
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=140)


def _explain(error: Exception) -> tuple[str, int] | None:
    """Return a sentence and an exit code for what the user can mend, None for a bug."""
    match error:
        case Mistake():
            return str(error), error.exit_code
        case LedgerDamaged():
            return str(error), FAILED
        case OSError() if error.filename:
            return f"{error.filename}: {(error.strerror or str(error)).lower()}", USAGE
        case _:
            return _explain_library(error)


def _explain_library(error: Exception) -> tuple[str, int] | None:
    import tomllib

    import grpc
    import pydantic
    import sqlalchemy.exc

    from ops.call import refusal_text
    from storage.database import DatabaseUnavailable

    match error:
        case pydantic.ValidationError():
            return _settings_text(error), USAGE
        case tomllib.TOMLDecodeError():
            return f"a TOML file (PAYDESK_CONFIG or PAYDESK_DESK_FILE) can't be read: {error}", USAGE
        case grpc.RpcError():
            return refusal_text(error), FAILED
        case sqlalchemy.exc.OperationalError() | DatabaseUnavailable():
            first = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            return f"the database does not answer: {first}; is PAYDESK_DATABASE_URL right?", FAILED
        case sqlalchemy.exc.ArgumentError():
            return f"PAYDESK_DATABASE_URL is no database URL: {error}", USAGE
        case _:
            return None


def _settings_text(error: Any) -> str:
    """Write every setting that is wrong, by the name that it has in the environment."""
    lines = [
        f"PAYDESK_{'.'.join(map(str, item['loc'])).upper()}: {item['msg'].lower()} (it is {str(item['input'])[:80]!r})"
        for item in error.errors()
    ]
    return "; ".join(lines)


if __name__ == "__main__":
    main()
