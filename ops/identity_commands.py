"""`paydesk identity`: people and systems, their roles, keys and certificates."""

import base64
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from domain.identifiers import CHINA
from ops.session import Key, Session, Target, Tenant, clock

app = typer.Typer(help="Who may call, and what they may do.", no_args_is_help=True)

_KINDS = {1: "person", 2: "system"}
_THINGS = {
    "grt": ("RevokeRole", "grant_id"), "key": ("RevokeApiKey", "key_id"), "crt": ("UnbindCertificate", "binding_id"),
}  # fmt: skip

PrincipalId = Annotated[str, typer.Argument(help="Its id, such as zhang or order-system.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept in the audit trail.")]
Institution = Annotated[list[str] | None, typer.Option(help="Only for this branch and those below; may be repeated.")]
Product = Annotated[list[str] | None, typer.Option(help="Only for this product; may be repeated.")]


@app.command()
def whoami(tenant: Tenant = "", target: Target = "", key: Key = "") -> None:
    """Tell as whom a key is known."""
    told = Session(target=target, tenant=tenant, key=key).ask("Identity/WhoAmI")
    print(f"{told.principal_id} of {told.tenant_id}: {', '.join(told.roles) or 'no role'}")


@app.command("list")
def list_principals(
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 100, tenant: Tenant = "", target: Target = "", key: Key = ""
) -> None:
    """List people and systems."""
    table = Table("principal", "kind", "name", "person", "state", box=None, header_style="dim")
    for row in Session(target=target, tenant=tenant, key=key).pages("Identity/ListPrincipals", "principals", limit):
        table.add_row(
            row.principal_id, _KINDS[row.kind], row.display_name, row.person_id, "disabled" if row.HasField("disable_time") else "may call"
        )
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)


@app.command()
def show(principal: PrincipalId, tenant: Tenant = "", target: Target = "", key: Key = "") -> None:
    """Show one with its grants, certificates and keys."""
    session = Session(target=target, tenant=tenant, key=key)
    found = session.ask("Identity/GetPrincipal", principal_id=principal)
    who = [_KINDS[found.kind], found.display_name, f"person {found.person_id}" if found.person_id else ""]
    who.append("disabled" if found.HasField("disable_time") else "" if found.grants else "may do nothing")
    print(f"{found.principal_id}: {', '.join(filter(None, who))}")
    for grant in found.grants:
        reach = [*grant.reach.institution_ids, *grant.reach.product_codes]
        print(f"  {grant.grant_id}  {grant.role} for {', '.join(reach) or 'everything'}, by {grant.granted_by or '-'}")
    for bound in found.certificates:
        print(f"  {bound.binding_id}  certificate {bound.value}")
    for item in session.pages("Identity/ListApiKeys", "keys", 1_000, principal_id=principal):
        used = clock(item.last_use_time, "minutes") if item.HasField("last_use_time") else "never"
        print(f"  {item.key_id}  key, last used {used}{', revoked' if item.HasField('revoke_time') else ''}")


@app.command()
def create(
    principal: PrincipalId,
    person: Annotated[bool, typer.Option("--person", help="A human being; default: a system.")] = False,
    name: Annotated[str, typer.Option(help="A name for people to read.")] = "",
    person_id: Annotated[str, typer.Option(help="Staff number of the human being behind it.")] = "",
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Make a person or a system known."""
    session = Session(target=target, tenant=tenant, key=key)
    kind = "KIND_PERSON" if person else "KIND_SYSTEM"
    session.ask("Identity/CreatePrincipal", principal_id=principal, kind=kind, display_name=name, person_id=person_id)
    print(f"{principal} is known, and may do nothing yet: `paydesk identity grant {principal} ROLE`")


@app.command()
def grant(
    principal: PrincipalId,
    role: Annotated[str, typer.Argument(help="Such as FINANCE_MAKER.")],
    institution: Institution = None,
    product: Product = None,
    reason: Reason = "",
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Give a role; where the tenant's policy asks for a second person it waits for one."""
    told = Session(target=target, tenant=tenant, key=key).ask(
        "Identity/GrantRole", principal_id=principal, role=role, reason=reason,
        reach={"institution_ids": institution or [], "product_codes": product or []},
    )  # fmt: skip
    _say_what_became(told, f"{principal} has {role}: {told.grant_id}")


@app.command()
def revoke(
    thing: Annotated[str, typer.Argument(help="grt_… takes a role away, key_… a key, crt_… a certificate.")],
    reason: Reason = "",
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Take a role, a key or a certificate away; it counts within a second."""
    if (kind := thing.partition("_")[0]) not in _THINGS:
        raise typer.BadParameter(f"{thing!r} is no id of a grant (grt_…), a key (key_…) or a certificate (crt_…)")
    method, field = _THINGS[kind]
    Session(target=target, tenant=tenant, key=key).ask(f"Identity/{method}", reason=reason, **{field: thing})
    print(f"{thing} counts no more")


@app.command()
def disable(principal: PrincipalId, reason: Reason = "", tenant: Tenant = "", target: Target = "", key: Key = "") -> None:
    """Shut somebody out for good."""
    Session(target=target, tenant=tenant, key=key).ask("Identity/DisablePrincipal", principal_id=principal, reason=reason)
    print(f"{principal} is shut out")


@app.command("make-key")
def make_key() -> None:
    """Make a key of your own and print it; nobody else needs to see it, and it counts once its fingerprint is let in."""
    from servers import identity

    text = identity.new_key()
    print(text)
    print(f"give your administrator its fingerprint: {identity.key_fingerprint(text)}", file=sys.stderr)


@app.command("new-key")
def new_key(
    principal: PrincipalId,
    fingerprint: Annotated[str, typer.Option(help="Of the key that somebody else has made with `make-key`.")] = "",
    role: Annotated[list[str] | None, typer.Option(help="Only this role of its principal; may be repeated.")] = None,
    expires: Annotated[datetime | None, typer.Option(help="When it stops counting, by the clock in China.")] = None,
    reason: Reason = "",
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Let a key in: your own is made and printed, and can't be shown again; somebody else's waits for a second person."""
    until = {"expire_time": expires.replace(tzinfo=CHINA)} if expires else {}
    told = Session(target=target, tenant=tenant, key=key).ask(
        "Identity/CreateApiKey", principal_id=principal, key_sha256=fingerprint, roles=role or [], reason=reason, **until
    )
    if told.key_text:
        print(told.key_text)
        print(f"{told.key.key_id}: keep it now, it is not shown again", file=sys.stderr)
    else:
        _say_what_became(told.proposal, f"{principal} may call with that key: {told.key.key_id}")


def _say_what_became(proposal: Any, done: str) -> None:
    print(done if proposal.performed else f"it waits for a second person: `paydesk approvals approve {proposal.approval_id}`")


@app.command()
def prove(
    principal: PrincipalId,
    file: Annotated[Path, typer.Argument(help="The certificate in PEM.")],
    key_file: Annotated[Path, typer.Argument(help="Its key in PEM; it is read here and goes nowhere.")],
    tenant: Annotated[str, typer.Option(help="Of which tenant the principal is.")],
) -> None:
    """Sign with a certificate's key that it is to speak for a principal, and print the proof for `bind-certificate`."""
    from domain.refusals import Refused
    from servers import certificates

    try:
        proof = certificates.prove(file.read_text(), key_file.read_bytes(), tenant_id=tenant, principal_id=principal)
    except Refused as refused:
        raise typer.BadParameter(refused.refusal.message) from refused
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    print(base64.b64encode(proof).decode())


@app.command("bind-certificate")
def bind_certificate(
    principal: PrincipalId,
    file: Annotated[Path, typer.Argument(help="The certificate in PEM, without its key.")],
    proof: Annotated[str, typer.Option(help="What `prove` has printed where the certificate's key is.")],
    name: Annotated[str, typer.Option(help="One of its names, to have every certificate with it count.")] = "",
    reason: Reason = "",
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Have a client certificate speak for somebody; for anybody but yourself it waits for a second person."""
    try:
        signature = base64.b64decode(proof, validate=True)
    except ValueError as error:
        raise typer.BadParameter("the proof is what `paydesk identity prove` prints") from error
    told = Session(target=target, tenant=tenant, key=key).ask(
        "Identity/BindCertificate", principal_id=principal, certificate_pem=file.read_text(), subject_alternative_name=name,
        proof=signature, reason=reason,
    )  # fmt: skip
    _say_what_became(told.proposal, f"{told.binding_id}: {told.value} speaks for {principal}")


@app.command("who-can")
def who_can(principal: PrincipalId, tenant: Tenant = "", target: Target = "", key: Key = "") -> None:
    """List what somebody may call, and how far it reaches there."""
    table = Table("method", "through", "for", box=None, header_style="dim")
    session = Session(target=target, tenant=tenant, key=key)
    for row in session.pages("Identity/ListPermissions", "permissions", 1_000, principal_id=principal):
        reaches = [" ".join([*reach.institution_ids, *reach.product_codes]) or "everything" for reach in row.reaches]
        table.add_row(row.method, ", ".join(row.roles), " or ".join(reaches))
    if not table.row_count:
        print(f"{principal} may call nothing")
        return
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)
