"""`paydesk secrets`: keys and certificates of accounts and webhooks, when they end, and the keys that seal everything."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from domain.permissions import PLATFORM
from ops import shell
from ops.session import Key, Session, Target, Tenant, clock

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from ops.settings import Settings
    from storage.vault import SealedTable, Vault

# Of a statement of a rotation: counting what is left of ten million values takes a while.
TIMEOUT_S = 600

app = typer.Typer(help="Keys and certificates, when they end, and the keys that seal them.", no_args_is_help=True)

Account = Annotated[str, typer.Option(help="Merchant account; without it, the tenant's webhook.")]
Version = Annotated[int, typer.Argument(help="See `paydesk secrets list`.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept in the trail.")]


@app.command()
def add(
    files: Annotated[list[str], typer.Argument(help="NAME=FILE for each value; NAME=- reads standard input.")],
    account: Account = "",
    reason: Reason = "",
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Add a version from files: a value on the command line would stand in the shell's history."""
    values = dict(_value_of(item) for item in files)
    session = Session(target=target, tenant=tenant, key=key)
    _print_version(session.ask("Credentials/AddCredentials", account_id=account, values=values, reason=reason))


def _value_of(item: str) -> tuple[str, str]:
    name, _, file = item.partition("=")
    if not name or not file:
        raise typer.BadParameter(f"{item[:64]!r} is not NAME=FILE")
    try:
        return name, (sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file} can't be read: {type(error).__name__}") from error


@app.command("list")
def list_versions(
    account: Annotated[str, typer.Option(help="Only of this merchant account.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Versions at most.")] = 100,
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """List versions with their fingerprints; values are never shown."""
    session = Session(target=target, tenant=tenant, key=key)
    table = Table("account", "version", "state", "ends", "value", "fingerprint", box=None, header_style="dim")
    for row in session.pages("Credentials/ListCredentials", "credentials", limit, account_id=account):
        state = _state(row) + (", signs" if row.signs else "")
        for value in row.values or [None]:
            table.add_row(
                row.account_id or "(webhook)", str(row.version), state, _at(row.not_after),
                value.name if value else "", value.fingerprint if value else "",
            )  # fmt: skip
    _console().print(table)


@app.command()
def activate(
    version: Version, account: Account = "", reason: Reason = "", tenant: Tenant = "", target: Target = "", key: Key = ""
) -> None:
    """Let a staged version sign; the one before goes on verifying."""
    session = Session(target=target, tenant=tenant, key=key)
    _print_version(session.ask("Credentials/ActivateCredentials", account_id=account, version=version, reason=reason))


@app.command()
def retire(
    version: Version, account: Account = "", reason: Reason = "", tenant: Tenant = "", target: Target = "", key: Key = ""
) -> None:
    """Take a version out of use; its values are forgotten."""
    session = Session(target=target, tenant=tenant, key=key)
    _print_version(session.ask("Credentials/RetireCredentials", account_id=account, version=version, reason=reason))


@app.command()
def expiries(
    within: Annotated[int, typer.Option(min=0, max=10_000, help="Only what ends within so many days; 0: all.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Rows at most.")] = 100,
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """List what ends, soonest first."""
    session = Session(target=target, tenant=tenant, key=key)
    table = Table("ends", "days left", "what", "channel", box=None, header_style="dim")
    for row in session.pages("Credentials/ListExpiries", "expiries", limit, within_days=within):
        table.add_row(_at(row.not_after), str(row.days_left), row.title, row.channel_id)
    _console().print(table)


@app.command()
def reminders(
    everything: Annotated[bool, typer.Option("--all", help="Also those that somebody has acknowledged.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Rows at most.")] = 50,
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """List messages about ends, newest first."""
    session = Session(target=target, tenant=tenant, key=key)
    table = Table("reminder", "at", "to", "state", "message", "acknowledged by", box=None, header_style="dim")
    for row in session.pages("Credentials/ListReminders", "reminders", limit, unacknowledged=not everything):
        table.add_row(
            row.reminder_id, _at(row.create_time), row.target_id or "everybody", _state(row), row.title, row.acknowledger
        )
    _console().print(table)


@app.command()
def acknowledge(
    reminder_id: Annotated[str, typer.Argument(help="See `paydesk secrets reminders`.")],
    reason: Reason = "",
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Say that you know: others are not told then."""
    session = Session(target=target, tenant=tenant, key=key)
    row = session.ask("Credentials/AcknowledgeReminder", reminder_id=reminder_id, reason=reason)
    print(f"{row.title}: acknowledged by {row.acknowledger}")


@app.command("add-contact")
def add_contact(
    name: Annotated[str, typer.Argument(help="Who is told.")],
    urls: Annotated[Path, typer.Argument(help="File with one Apprise URL a line: mail, SMS, WeCom, DingTalk; - is stdin.")],
    escalation: Annotated[bool, typer.Option("--escalation", help="Told only when nobody has acknowledged.")] = False,
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Add somebody who is told when something ends. URLs hold secrets, so they come from a file."""
    lines = (sys.stdin.read() if str(urls) == "-" else urls.read_text(encoding="utf-8")).split()
    session = Session(target=target, tenant=tenant, key=key)
    row = session.ask("Credentials/CreateContact", display_name=name, escalation=escalation, target_urls=lines)
    print(f"{row.contact_id}: {', '.join(one.shown for one in row.targets)}")


@app.command()
def contacts(tenant: Tenant = "", target: Target = "", key: Key = "") -> None:
    """List who is told, and by which ways."""
    session = Session(target=target, tenant=tenant, key=key)
    table = Table("contact", "name", "told", "by", box=None, header_style="dim")
    for row in session.pages("Credentials/ListContacts", "contacts", 1_000):
        told = "when nobody has answered" if row.escalation else "always"
        table.add_row(row.contact_id, row.display_name, told, ", ".join(one.shown for one in row.targets))
    _console().print(table)


@app.command("delete-contact")
def delete_contact(
    contact_id: Annotated[str, typer.Argument(help="See `paydesk secrets contacts`.")],
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Let go of a contact, and forget how it was reached."""
    session = Session(target=target, tenant=tenant, key=key)
    print(f"{session.ask('Credentials/DeleteContact', contact_id=contact_id).contact_id}: deleted")


@app.command("rotate-master")
def rotate_master(
    forget_old: Annotated[bool, typer.Option(help="Take keys that wrap nothing any more out of the file.")] = False,
) -> None:
    """Make a new master key and wrap every data key with it. What is sealed stays as it is, and everything goes on."""
    from ops.mistakes import CannotStart
    from storage.database import transact
    from storage.master_keys import MasterKeyMissing, MasterKeys
    from storage.vault import SealBroken, Vault

    with _engine() as (engine, settings):
        masters = MasterKeys(settings.key_file())
        vault = Vault(masters)
        try:
            if not masters.is_given:
                masters.add()
            key_id, count = transact(engine, vault.rewrap)
            _note(engine, PLATFORM, "rotate-master", "master_key", key_id)
            print(f"{key_id} wraps {count} data keys anew")
            if forget_old:
                print(f"forgotten: {', '.join(transact(engine, vault.forget_masters)) or 'none'}")
        except (MasterKeyMissing, SealBroken) as error:
            raise CannotStart(str(error)) from error


@app.command("rotate-data")
def rotate_data(tenant: Annotated[str, typer.Argument(help="Tenant whose secrets are sealed anew.")]) -> None:
    """Make a new data key and seal a tenant's secrets with it, page by page; a rotation that was cut off goes on."""
    from ops.mistakes import CannotStart
    from storage import desk
    from storage.database import transact
    from storage.master_keys import MasterKeyMissing
    from storage.vault import KEYS_FRESH_S, SEALED, SealBroken, stale

    with _engine() as (engine, settings):
        if tenant not in transact(engine, desk.load).tenants:
            raise CannotStart(f"there is no tenant {tenant!r}")
        vault = settings.vault()
        try:
            newest = transact(engine, lambda connection: vault.begin_data_key(connection, tenant))
            _note(engine, tenant, "rotate-data", "data_key", f"data key {newest}")
            count = sum(_reseal(engine, vault, tenant, table) for table in SEALED)
        except (MasterKeyMissing, SealBroken) as error:
            raise CannotStart(str(error)) from error
        left = transact(engine, lambda connection: stale(connection, tenant, newest))
    print(f"data key {newest} of {tenant} seals {count} values anew, {left} are left")
    if left:
        print(f"others still sealed with the key before: run it again in {KEYS_FRESH_S:.0f} s")


def _reseal(engine: "Engine", vault: "Vault", tenant: str, table: "SealedTable") -> int:
    """Seal a table's values anew, a transaction a page, and say how far it is; return how many there were."""
    from storage.database import transact

    seen = count = 0
    after: tuple[object, ...] | None = ()
    while after is not None:
        page = transact(engine, partial(vault.reseal, tenant_id=tenant, table=table, after=after))
        seen, count, after = seen + page.seen_count, count + page.sealed_count, page.after or None
        print(f"{table.name}: {seen:,} looked at, {count:,} sealed anew", file=sys.stderr)
    return count


def _note(engine: "Engine", tenant: str, verb: str, object_kind: str, object_id: str) -> None:
    """Leave an audit entry of what is done in the database itself."""
    from storage import audit
    from storage.database import transact

    entry = audit.Entry(
        tenant, shell.principal(), f"paydesk secrets {verb}", object_kind, object_id, address=shell.ADDRESS
    )
    transact(engine, lambda connection: audit.append(connection, [entry]))


@contextmanager
def _engine() -> "Iterator[tuple[Engine, Settings]]":
    from ops import running
    from ops.settings import Settings
    from storage.database import make_engine

    settings = Settings()
    with running.database_url(settings) as url:
        engine = make_engine(url, pool_size=1, timeout_s=TIMEOUT_S)
        try:
            yield engine, settings
        finally:
            engine.dispose()


def _print_version(row: Any) -> None:
    whose = row.account_id or "webhook"
    print(f"{whose} version {row.version}: {_state(row)}{', signs' if row.signs else ''}, ends {_at(row.not_after)}")
    for value in row.values:
        print(f"  {value.name}: {value.material} {value.fingerprint}")
    if row.proposal.approval_id:
        print(f"waits for a second person: paydesk approvals show {row.proposal.approval_id}")


def _state(row: Any) -> str:
    return str(type(row).State.Name(row.state)).removeprefix("STATE_")


def _at(moment: Any) -> str:
    return clock(moment, "minutes") if moment.seconds else "never"


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else 180)
