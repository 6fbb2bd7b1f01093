"""`paydesk windows`: when channels are not offered."""

import sys
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ops.session import Key, Session, Target, Tenant, clock

app = typer.Typer(help="Maintenance windows: announce, list, end.", no_args_is_help=True)

CHINA = timezone(timedelta(hours=8))
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
RequestId = Annotated[str, typer.Option("--request-id", help="Repeat one to repeat its answer; default: a new one.")]


@app.command()
def add(
    channel_id: Annotated[str, typer.Argument(help="The channel that is not offered.")],
    reason: Annotated[str, typer.Option(help="Why; it is shown with every order that goes elsewhere for it.")],
    begin: Annotated[datetime, typer.Option("--from", help="First moment, by the clock in China.")],
    end: Annotated[datetime | None, typer.Option("--to", help="Moment after the last, by the clock in China.")] = None,
    for_ever: Annotated[bool, typer.Option("--for-ever", help="Until it is ended by hand.")] = False,
    weekly: Annotated[str, typer.Option(help="Days of every week, such as sat,sun; the hours say when.")] = "",
    hours: Annotated[str, typer.Option(help="HH:MM-HH:MM of these days; over midnight where the end is earlier.")] = "",
    account: Annotated[str, typer.Option(help="Only this merchant account.")] = "",
    method: Annotated[str, typer.Option(help="Only this method, such as BANK_CARD.")] = "",
    overlap: Annotated[bool, typer.Option("--overlap", help="Let it stand beside others of the channel.")] = False,
    request_id: RequestId = "",
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Announce a window. It reaches every router within a second."""
    fields: dict[str, Any] = {"start_time": begin.replace(tzinfo=CHINA), "for_ever": for_ever, "overlap": overlap}
    if end is not None:
        fields["end_time"] = end.replace(tzinfo=CHINA)
    if weekly:
        first, _, last = hours.partition("-")
        fields["weekly"] = {"days": _days(weekly), "start_time_of_day": first, "end_time_of_day": last}
    if method:
        fields["method"] = f"METHOD_{method.upper()}"
    made = Session(target=target, tenant=tenant, key=key).ask(
        "Channels/SetMaintenanceWindow", request_id=request_id, channel_id=channel_id, reason=reason, account_id=account,
        **fields,
    )  # fmt: skip
    print(f"{made.window_id}: {_hours(made)}")


def _days(text: str) -> list[int]:
    try:
        return [DAYS.index(day.strip().lower()[:3]) + 1 for day in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"{text}: days are {', '.join(DAYS)}") from error


@app.command("list")
def list_windows(
    channel_id: Annotated[str, typer.Option("--channel", help="Only this channel.")] = "",
    past: Annotated[bool, typer.Option("--past", help="Also those that are over.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Windows at most.")] = 50,
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """List windows: the calendar of maintenance."""
    table = Table("window", "channel", "when", "next", "of", "reason", "by", box=None, header_style="dim")
    session = Session(target=target, tenant=tenant, key=key)
    for row in session.pages(
        "Channels/ListMaintenanceWindows", "windows", limit, channel_id=channel_id, include_past=past
    ):
        following = "now" if row.in_force else clock(row.next_start_time) if row.HasField("next_start_time") else "over"
        kind = type(row).DESCRIPTOR.fields_by_name["method"].enum_type.values_by_number[row.method].name
        part = ", ".join(word for word in (row.account_id, kind.removeprefix("METHOD_") if row.method else "") if word)
        table.add_row(row.window_id, row.channel_id, _hours(row), following, part or "all", row.reason, row.principal)
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(table)


@app.command()
def end(
    window_id: Annotated[str, typer.Argument(help="See `paydesk windows list`.")],
    at: Annotated[datetime | None, typer.Option(help="By the clock in China; default: in a few seconds.")] = None,
    reason: Annotated[str, typer.Option(help="Why; it is kept.")] = "",
    request_id: RequestId = "",
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """End a window early, or take it back before it begins. The channel is then tried out as ever."""
    fields = {"end_time": at.replace(tzinfo=CHINA)} if at else {}
    told = Session(target=target, tenant=tenant, key=key).ask(
        "Channels/CancelMaintenanceWindow", request_id=request_id, window_id=window_id, reason=reason, **fields
    )
    print(f"{told.window_id}: {_hours(told) if told.HasField('next_start_time') else 'taken back'}")


def _hours(row: Any) -> str:
    span = f"{clock(row.start_time)} {f'to {clock(row.end_time)}' if row.HasField('end_time') else 'for ever'}"
    if not row.HasField("weekly"):
        return span
    days = ", ".join(DAYS[day - 1] for day in row.weekly.days)
    return f"{days} {row.weekly.start_time_of_day}-{row.weekly.end_time_of_day}, {span}"
