"""`paydesk audit`: look into the audit trail, verify it, and take it along."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ops.session import Key, Session, Target, Tenant, clock

app = typer.Typer(help="The audit trail: who changed what, and the proof that nobody changed that.", no_args_is_help=True)


@app.command()
def search(
    principal: Annotated[str, typer.Option(help="Only what this person or system did.")] = "",
    operation: Annotated[str, typer.Option(help="Such as Channels.ForceChannelState.")] = "",
    kind: Annotated[str, typer.Option(help="Kind of object, such as rule_set.")] = "",
    object_id: Annotated[str, typer.Option("--object", help="Id of the object.")] = "",
    changes: Annotated[bool, typer.Option("--changes", help="Leave out what was only read.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Entries at most.")] = 20,
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """List entries, newest first."""
    session = Session(target=target, tenant=tenant, key=key)
    chosen = {"principal": principal, "operation": operation, "object_kind": kind, "object_id": object_id,
              "changes_only": changes}  # fmt: skip
    table = Table("place", "entry", "time", "who", "operation", "object", "reason", box=None, header_style="dim")
    for entry in session.pages("Audit/SearchAudit", "entries", limit, filter=chosen):
        at = clock(entry.create_time)
        table.add_row(str(entry.index or "-"), str(entry.entry_id), at, entry.principal, entry.operation, entry.object_id,
                      entry.reason)  # fmt: skip
    Console(highlight=False, width=None if sys.stdout.isatty() else 180).print(table)


@app.command()
def show(
    entry_id: Annotated[int, typer.Argument(help="See `paydesk audit search`.")],
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Show one entry with what was before and after."""
    entry = Session(target=target, tenant=tenant, key=key).ask("Audit/GetAuditEntry", entry_id=entry_id)
    print(f"{entry.operation} on {entry.object_kind} {entry.object_id}, by {entry.principal} from {entry.address}")
    print(f"reason: {entry.reason or '-'}\nrequest: {entry.request_id or '-'}\nplace: {entry.index or 'not sealed yet'}")
    print(f"before: {entry.before_json or '-'}\nafter:  {entry.after_json or '-'}\nhash:   {entry.hash.hex() or '-'}")


@app.command()
def verify(
    first: Annotated[int, typer.Option(min=0, help="First place; 0 begins at the beginning.")] = 0,
    last: Annotated[int, typer.Option(min=0, help="Last place; 0 goes to the end.")] = 0,
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Walk along the chain; exit status 1 and the exact place tell where it is broken."""
    session = Session(target=target, tenant=tenant, key=key)
    told = session.ask("Audit/VerifyAudit", 600.0, first_index=first, last_index=last)
    if told.sound:
        print(f"sound: {told.checked_count} entries up to place {told.last_index}, {told.signed_heads_count} signed heads agree")
        return
    print(f"BROKEN at place {told.broken_index}: {told.detail}", file=sys.stderr)
    raise typer.Exit(1)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="CSV file to write.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept in the trail.")],
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Write all entries as CSV; a file that stands there already is not touched."""
    session = Session(target=target, tenant=tenant, key=key)
    draft = file.with_name(f"{file.name}.part")
    with file.open("xb"), draft.open("wb") as out:
        for part in session.stream("Audit/ExportAudit", reason=reason):
            out.write(part.content)
    draft.replace(file)
    print(f"{file}: {file.stat().st_size} bytes")
