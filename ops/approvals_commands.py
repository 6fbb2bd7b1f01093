"""`paydesk approvals`: look at what waits for a second person, and decide about it."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ops.session import Key, Session, Target, Tenant, clock

app = typer.Typer(help="Sensitive acts that wait for somebody else's word.", no_args_is_help=True)

Ids = Annotated[list[str], typer.Argument(help="One or more; see `paydesk approvals list`.")]
Comment = Annotated[str, typer.Option(help="Why; everybody who looks at the approval sees it.")]
RequestId = Annotated[str, typer.Option("--request-id", help="Repeat one to repeat its answer; default: a new one.")]


@app.command("list")
def list_approvals(
    state: Annotated[str, typer.Option(help="PENDING, PERFORMED, REJECTED, CANCELLED, EXPIRED or VOID.")] = "",
    kind: Annotated[str, typer.Option(help="Kind of act, such as channels.force_state.")] = "",
    proposer: Annotated[str, typer.Option(help="Only what this person or system proposed.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Proposals at most.")] = 20,
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """List proposals: those that wait first, the newest first among each."""
    session = Session(target=target, tenant=tenant, key=key)
    chosen: dict[str, Any] = {"kind": kind, "proposer": proposer}
    if state:
        chosen["state"] = f"STATE_{state.upper()}"
    table = Table("approval", "state", "act", "proposed by", "approved", "amount", "expires", "reason", box=None,
                  header_style="dim")  # fmt: skip
    for row in session.pages("Approvals/ListApprovals", "approvals", limit, filter=chosen):
        table.add_row(
            row.approval_id, _state(row), row.kind, row.proposer, f"{row.approvers_count}/{row.approvers_needed}",
            f"{row.amount_minor:,}" if row.amount_minor else "", clock(row.expire_time), row.reason,
        )  # fmt: skip
    Console(highlight=False, width=None if sys.stdout.isatty() else 180).print(table)


@app.command()
def show(
    approval_id: Annotated[str, typer.Argument(help="See `paydesk approvals list`.")],
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Show one proposal: what an approval allows, who asked, and who has decided what."""
    row = Session(target=target, tenant=tenant, key=key).ask("Approvals/GetApproval", approval_id=approval_id)
    print(f"{row.kind}: {_state(row)}{f', {row.outcome}' if row.outcome else ''}")
    print(f"proposed by {row.proposer} at {clock(row.create_time)}, until {clock(row.expire_time)}: {row.reason}")
    print(f"approved by {row.approvers_count} of {row.approvers_needed}; object: {row.object_kind} {row.object_id or '-'}")
    print(f"shown (SHA-256 {row.shown_hash.hex()}):\n{json.dumps(json.loads(row.shown_json), ensure_ascii=False, indent=2)}")
    for one in row.decisions:
        word = "approved" if one.decision == 1 else "rejected"
        print(f"{word} by {one.principal} at {clock(one.create_time)}: {one.comment}")


@app.command()
def approve(
    ids: Ids, comment: Comment, request_id: RequestId = "", tenant: Tenant = "", target: Target = "", key: Key = ""
) -> None:
    """Allow what `show` shows; the last approval that is needed performs it."""
    _decide("DECISION_APPROVE", ids, comment, request_id, Session(target=target, tenant=tenant, key=key))


@app.command()
def reject(
    ids: Ids, comment: Comment, request_id: RequestId = "", tenant: Tenant = "", target: Target = "", key: Key = ""
) -> None:
    """Say no; the act is not performed."""
    _decide("DECISION_REJECT", ids, comment, request_id, Session(target=target, tenant=tenant, key=key))


@app.command()
def cancel(
    approval_id: Annotated[str, typer.Argument(help="See `paydesk approvals list`.")],
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    request_id: RequestId = "",
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Take back a proposal of your own."""
    session = Session(target=target, tenant=tenant, key=key)
    row = session.ask("Approvals/CancelApproval", approval_id=approval_id, reason=reason, request_id=request_id)
    print(f"{row.approval_id}  {_state(row)}")


@app.command()
def policy(tenant: Tenant = "", target: Target = "", key: Key = "") -> None:
    """Show how many have to allow what."""
    told = Session(target=target, tenant=tenant, key=key).ask("Approvals/GetApprovalPolicy")
    print(f"version {told.version}: {told.approvers} for each act, unless named below; "
          f"a proposal waits {told.expire_after.seconds // 3600} hours at most")  # fmt: skip
    for act in told.acts:
        for tier in act.tiers:
            print(f"  {act.kind}: {tier.approvers}{f' up to {tier.up_to_minor:,}' if tier.up_to_minor else ''}")
    print(f"acts: {', '.join(told.known_kinds)}")


def _decide(decision: str, ids: list[str], comment: str, request_id: str, session: Session) -> None:
    told = session.ask(
        "Approvals/DecideApprovals", approval_ids=ids, decision=decision, comment=comment, request_id=request_id
    )
    refused = False
    for one in told.results:
        if one.HasField("refusal"):
            refused = True
            print(f"{one.approval_id}  not decided: {one.refusal.message}")
        else:
            row = one.approval
            print(f"{one.approval_id}  {_state(row)}  {row.approvers_count}/{row.approvers_needed}  {row.outcome}".rstrip())
    if refused:
        raise typer.Exit(1)


def _state(row: Any) -> str:
    return str(row.State.Name(row.state)).removeprefix("STATE_")
