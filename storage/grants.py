"""The sensitive act of giving somebody a role."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from domain.permissions import PLATFORM_ROLES, TENANT_ROLES, Grant, Reach, may_grant
from domain.refusals import Kind, Refusal, Refused, Violation, invalid
from storage import audit, identity
from storage.acts import CHECKERS, Act, Ask, deciding_roles, register


def _grant_of(ask: Ask) -> tuple[str, Grant]:
    wanted = ask.arguments
    reach = Reach(frozenset(wanted["institution_ids"]), frozenset(wanted["product_codes"]))
    return wanted["principal_id"], Grant(wanted["role"], reach)


def show(connection: Connection, ask: Ask) -> Mapping[str, Any]:
    """Return what is to be granted and what the principal holds now. Raise Refused for what may not be granted."""
    principal_id, grant = _grant_of(ask)
    if grant.role not in TENANT_ROLES | PLATFORM_ROLES:
        raise Refused(invalid(Violation("role", f"{grant.role!r} is no role")))
    shown = show_principal(connection, tenant_id=ask.tenant_id, principal_id=principal_id)
    _check_reach(connection, ask.tenant_id, grant.reach)
    check_may_give(connection, tenant_id=ask.tenant_id, giver=ask.proposer, grants=[grant])
    held = identity.list_grants(connection, tenant_id=ask.tenant_id, principal_id=principal_id)
    if any(row.grant == grant for row in held):
        raise Refused(Refusal(Kind.FORBIDDEN_BY_STATE, "GRANT_EXISTS", f"{principal_id!r} has this grant already"))
    return {**shown, **_seen(grant), "holds": [_seen(row.grant) for row in held]}


def perform(connection: Connection, ask: Ask) -> str:
    """Grant the role; return the id of the grant."""
    show(connection, ask)  # whoever proposed it must still be allowed to
    principal_id, grant = _grant_of(ask)
    grant_id = identity.add_grant(
        connection, tenant_id=ask.tenant_id, principal_id=principal_id, grant=grant, granted_by=ask.proposer
    )
    after = {"principal_id": principal_id, **_seen(grant), "approver": ask.approver}
    audit.append(connection, [audit.Entry(
        ask.tenant_id, ask.proposer, "Identity.GrantRole", "role_grant", grant_id, None, after, ask.reason,
        ask.request_id, ask.address)])  # fmt: skip
    return grant_id


def show_principal(connection: Connection, *, tenant_id: str, principal_id: str) -> dict[str, Any]:
    """Return what tells a second person who a principal is. Raise Refused for one that is not there, or shut out."""
    found = identity.find_principal(connection, tenant_id=tenant_id, principal_id=principal_id)
    if found is None:
        raise Refused(not_there(principal_id))
    if found.disable_ms:
        raise Refused(Refusal(Kind.FORBIDDEN_BY_STATE, "PRINCIPAL_GONE", f"{principal_id!r} is disabled for good"))
    return {
        "principal_id": principal_id, "kind": found.kind, "display_name": found.display_name, "person_id": found.person_id,
    }  # fmt: skip


def check_over(connection: Connection, *, tenant_id: str, giver: str, principal_id: str) -> None:
    """Raise Refused unless there is such a principal and it holds nothing that the giver could not give.

    Whoever can let somebody in, or shut them out, has a say over all that they may do.
    """
    if identity.find_principal(connection, tenant_id=tenant_id, principal_id=principal_id) is None:
        raise Refused(not_there(principal_id))
    held = identity.list_grants(connection, tenant_id=tenant_id, principal_id=principal_id)
    check_may_give(connection, tenant_id=tenant_id, giver=giver, grants=[row.grant for row in held])


def check_may_give(connection: Connection, *, tenant_id: str, giver: str, grants: list[Grant]) -> None:
    """Raise Refused unless a principal may give, or act for somebody who has, each of these grants."""
    held = [row.grant for row in identity.list_grants(connection, tenant_id=tenant_id, principal_id=giver)]
    beyond = next((grant for grant in grants if not may_grant(held, grant)), None)
    if beyond is not None:
        raise Refused(
            Refusal(
                Kind.PERMISSION_DENIED, "GRANT_BEYOND_OWN", f"{giver!r} does not hold {beyond.role} as far as that reaches",
            )
        )  # fmt: skip


def not_there(principal_id: str) -> Refusal:
    """Refuse for want of a principal."""
    return Refusal(Kind.NOT_FOUND, "PRINCIPAL_NOT_FOUND", f"there is no principal {principal_id!r}")


def _check_reach(connection: Connection, tenant_id: str, reach: Reach) -> None:
    violations = []
    for field, table, column, wanted in (
        ("reach.institution_ids", "institutions", "institution_id", reach.institutions),
        ("reach.product_codes", "products", "product_code", reach.products),
    ):
        rows = connection.execute(
            text(f"SELECT {column} FROM {table} WHERE tenant_id = :tenant_id AND {column} = ANY(:wanted)"),
            {"tenant_id": tenant_id, "wanted": sorted(wanted)},
        )
        unknown = sorted(wanted - {row[0] for row in rows})
        if unknown:
            violations.append(Violation(field, f"the tenant has no {unknown[0]!r}"))
    if violations:
        raise Refused(invalid(*violations))


def _seen(grant: Grant) -> dict[str, Any]:
    return {
        "role": grant.role, "institution_ids": sorted(grant.reach.institutions), "product_codes": sorted(grant.reach.products),
    }  # fmt: skip


GRANT_ROLE = register(
    Act(
        "identity.grant_role", "role_grant", show, perform, checkers=CHECKERS | PLATFORM_ROLES,
        empowers=lambda shown: shown["role"] in deciding_roles(),
    )
)  # fmt: skip
