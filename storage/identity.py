"""Who may call: principals, their grants, keys and certificates. Small, read whole by every gateway, held in memory."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from domain.permissions import PLATFORM, Grant, Reach, Role
from storage.arrays import columns

# A key that no longer counts is told so for a month; then it is as unknown as any other text.
REMEMBERED_DAYS = 30


class KeyRow(NamedTuple):
    """An API key, by the HMAC of its text. `roles` None lets it do all that its principal may."""

    key_digest: bytes
    key_id: str
    tenant_id: str
    principal: str
    roles: frozenset[str] | None
    expire_ms: int = 0
    revoked: bool = False


class BindingRow(NamedTuple):
    """A client certificate, by its fingerprint or a name in it, and whom it speaks for."""

    kind: str
    value: str
    tenant_id: str
    principal: str


class Access(NamedTuple):
    """Everything that tells who a caller is and what it may do. Grants and persons are by (tenant, principal)."""

    keys: Sequence[KeyRow]
    grants: Mapping[tuple[str, str], Sequence[Grant]]
    disabled: Collection[tuple[str, str]]
    persons: Mapping[tuple[str, str], str]
    bindings: Sequence[BindingRow]


def load(connection: Connection) -> Access:
    """Read all of it."""
    query = connection.exec_driver_sql
    keys = query(
        f"""SELECT key_digest, key_id, tenant_id, principal, roles,
                   coalesce((extract(epoch FROM expire_time) * 1000)::bigint, 0), revoke_time IS NOT NULL
            FROM api_keys
            WHERE coalesce(least(revoke_time, expire_time), 'infinity') > now() - interval '{REMEMBERED_DAYS} days'"""
    )
    grants: dict[tuple[str, str], list[Grant]] = {}
    for tenant_id, principal, role, institutions, products in query(
        "SELECT tenant_id, principal_id, role, institution_ids, product_codes FROM role_grants WHERE revoke_time IS NULL"
    ):
        reach = Reach(frozenset(institutions), frozenset(products))
        grants.setdefault((tenant_id, principal), []).append(Grant(role, reach))
    bindings = query(
        "SELECT kind, value, tenant_id, principal_id FROM certificate_bindings WHERE unbind_time IS NULL"
    )
    disabled = query("SELECT tenant_id, principal_id FROM principals WHERE disable_time IS NOT NULL")
    persons = query("SELECT tenant_id, principal_id, person_id FROM principals WHERE person_id <> ''")
    return Access(
        keys=[
            KeyRow(bytes(row[0]), row[1], row[2], row[3], None if row[4] is None else frozenset(row[4]), row[5], row[6])
            for row in keys
        ],
        grants=grants,
        disabled={(row[0], row[1]) for row in disabled},
        persons={(row[0], row[1]): row[2] for row in persons},
        bindings=[BindingRow(*row) for row in bindings],
    )


def note_uses(connection: Connection, uses: Mapping[str, tuple[str, int]]) -> None:
    """Note when keys were last used: key id -> (tenant, Unix milliseconds)."""
    rows = [(key_id, tenant_id, used_ms) for key_id, (tenant_id, used_ms) in sorted(uses.items())]
    connection.exec_driver_sql(
        """INSERT INTO api_key_uses (key_id, tenant_id, last_use_time)
           SELECT key_id, tenant_id, to_timestamp(used_ms / 1000.0)
           FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS t (key_id, tenant_id, used_ms)
           ON CONFLICT (key_id) DO UPDATE SET last_use_time = greatest(api_key_uses.last_use_time, excluded.last_use_time)""",
        tuple(columns(rows, "ttn")),
    )


# --- principals -----------------------------------------------------------------------------------------------------


class Principal(NamedTuple):
    """A person or a system. Times are Unix milliseconds, 0 for never."""

    tenant_id: str
    principal_id: str
    kind: str
    display_name: str
    person_id: str
    create_ms: int
    disable_ms: int


_MS = "coalesce((extract(epoch FROM {}) * 1000)::bigint, 0)"
_PRINCIPAL = f"""tenant_id, principal_id, kind, display_name, person_id, {_MS.format("create_time")}, {_MS.format("disable_time")}"""


def add_principal(
    connection: Connection, *, tenant_id: str, principal_id: str, kind: str, display_name: str = "", person_id: str = ""
) -> bool:
    """Store a principal; tell whether it is new."""
    made = connection.execute(
        text(
            """INSERT INTO principals (tenant_id, principal_id, kind, display_name, person_id)
               VALUES (:tenant_id, :principal_id, :kind, :display_name, :person_id) ON CONFLICT DO NOTHING"""
        ),
        {"tenant_id": tenant_id, "principal_id": principal_id, "kind": kind, "display_name": display_name,
         "person_id": person_id},
    )  # fmt: skip
    return made.rowcount == 1


def list_principals(
    connection: Connection, *, tenant_id: str, after_id: str = "", principal_id: str = "", limit: int = 1
) -> list[Principal]:
    """Read a tenant's principals by id, those after `after_id`; or the one that `principal_id` names."""
    rows = connection.execute(
        text(
            f"""SELECT {_PRINCIPAL} FROM principals
                WHERE tenant_id = :tenant_id AND principal_id > :after_id
                  AND (:principal_id = '' OR principal_id = :principal_id)
                ORDER BY principal_id LIMIT :limit"""
        ),
        {"tenant_id": tenant_id, "after_id": after_id, "principal_id": principal_id, "limit": limit},
    )
    return [Principal(*row) for row in rows]


def find_principal(connection: Connection, *, tenant_id: str, principal_id: str) -> Principal | None:
    """Read one principal."""
    return next(iter(list_principals(connection, tenant_id=tenant_id, principal_id=principal_id)), None)


def disable_principal(connection: Connection, *, tenant_id: str, principal_id: str) -> bool:
    """Shut a principal out; tell whether it was let in until now."""
    statement = text(
        """UPDATE principals SET disable_time = now()
           WHERE tenant_id = :tenant_id AND principal_id = :principal_id AND disable_time IS NULL"""
    )
    return connection.execute(statement, {"tenant_id": tenant_id, "principal_id": principal_id}).rowcount == 1


# --- grants ---------------------------------------------------------------------------------------------------------


class GrantRow(NamedTuple):
    """A grant that counts."""

    grant_id: str
    principal_id: str
    grant: Grant
    granted_by: str
    create_ms: int


def list_grants(connection: Connection, *, tenant_id: str, principal_id: str) -> list[GrantRow]:
    """Read the grants of a principal that count, oldest first."""
    rows = connection.execute(
        text(
            f"""SELECT grant_id, principal_id, role, institution_ids, product_codes, granted_by, {_MS.format("create_time")}
                FROM role_grants
                WHERE tenant_id = :tenant_id AND principal_id = :principal_id AND revoke_time IS NULL
                ORDER BY create_time, grant_id"""
        ),
        {"tenant_id": tenant_id, "principal_id": principal_id},
    )
    return [
        GrantRow(row[0], row[1], Grant(row[2], Reach(frozenset(row[3]), frozenset(row[4]))), row[5], row[6])
        for row in rows
    ]


def grant_ever(connection: Connection, *, tenant_id: str, grant_id: str) -> tuple[str, Grant] | None:
    """Read a grant and its principal, also one that was taken away."""
    row = connection.execute(
        text(
            """SELECT principal_id, role, institution_ids, product_codes FROM role_grants
               WHERE tenant_id = :tenant_id AND grant_id = :grant_id"""
        ),
        {"tenant_id": tenant_id, "grant_id": grant_id},
    ).one_or_none()
    return (row[0], Grant(row[1], Reach(frozenset(row[2]), frozenset(row[3])))) if row else None


def add_grant(
    connection: Connection, *, tenant_id: str, principal_id: str, grant: Grant, granted_by: str
) -> str:
    """Store a grant; return its id, that of an equal one if there is one."""
    grant_id = f"grt_{secrets.token_hex(13)}"
    values = {
        "grant_id": grant_id, "tenant_id": tenant_id, "principal_id": principal_id, "role": grant.role,
        "institution_ids": sorted(grant.reach.institutions), "product_codes": sorted(grant.reach.products),
        "granted_by": granted_by,
    }  # fmt: skip
    made = connection.execute(
        text(
            """INSERT INTO role_grants (grant_id, tenant_id, principal_id, role, institution_ids, product_codes, granted_by)
               VALUES (:grant_id, :tenant_id, :principal_id, :role, :institution_ids, :product_codes, :granted_by)
               ON CONFLICT DO NOTHING"""
        ),
        values,
    )
    if made.rowcount == 1:
        return grant_id
    row = connection.execute(
        text(
            """SELECT grant_id FROM role_grants
               WHERE tenant_id = :tenant_id AND principal_id = :principal_id AND role = :role
                 AND institution_ids = CAST(:institution_ids AS text[]) AND product_codes = CAST(:product_codes AS text[])
                 AND revoke_time IS NULL"""
        ),
        values,
    ).one()
    return str(row[0])


def revoke_grant(connection: Connection, *, tenant_id: str, grant_id: str) -> bool:
    """Take a grant away; tell whether it counted."""
    statement = text(
        """UPDATE role_grants SET revoke_time = now()
           WHERE tenant_id = :tenant_id AND grant_id = :grant_id AND revoke_time IS NULL"""
    )
    return connection.execute(statement, {"tenant_id": tenant_id, "grant_id": grant_id}).rowcount == 1


def hold_administrators(connection: Connection, *, tenant_id: str) -> set[tuple[str, str]]:
    """Return (principal, grant) of whoever administers all of a tenant, and hold them until the transaction ends.

    Two administrators who remove each other wait here for one another, and the second one finds itself the last.
    """
    rows = connection.execute(
        text(
            """SELECT g.principal_id, g.grant_id FROM role_grants g JOIN principals p USING (tenant_id, principal_id)
               WHERE g.tenant_id = :tenant_id AND g.role = :role AND g.revoke_time IS NULL AND p.disable_time IS NULL
                 AND g.institution_ids = '{}' AND g.product_codes = '{}'
               ORDER BY g.grant_id FOR UPDATE OF g, p"""
        ),
        {"tenant_id": tenant_id, "role": Role.PLATFORM_ADMIN if tenant_id == PLATFORM else Role.TENANT_ADMIN},
    )
    return {(row[0], row[1]) for row in rows}


# --- keys -----------------------------------------------------------------------------------------------------------


class KeyShown(NamedTuple):
    """A key as it is listed, without anything of its text."""

    key_id: str
    principal_id: str
    roles: tuple[str, ...]
    create_ms: int
    expire_ms: int
    revoke_ms: int
    last_use_ms: int


def add_key(
    connection: Connection,
    *,
    key_digest: bytes,
    key_id: str,
    tenant_id: str,
    principal: str,
    roles: Collection[str] | None,
    expire_ms: int = 0,
) -> bool:
    """Store a key's digest; tell whether it is new."""
    made = connection.execute(
        text(
            """INSERT INTO api_keys (key_digest, key_id, tenant_id, principal, roles, expire_time)
               VALUES (:key_digest, :key_id, :tenant_id, :principal, :roles,
                       to_timestamp(nullif(CAST(:expire_ms AS bigint), 0) / 1000.0))
               ON CONFLICT (key_digest) DO NOTHING"""
        ),
        {"key_digest": key_digest, "key_id": key_id, "tenant_id": tenant_id, "principal": principal,
         "roles": None if roles is None else sorted(roles), "expire_ms": expire_ms},
    )  # fmt: skip
    return made.rowcount == 1


def revoke_key(connection: Connection, *, tenant_id: str, key_id: str) -> bool:
    """Revoke a key; tell whether there was one to revoke."""
    statement = text(
        "UPDATE api_keys SET revoke_time = now() WHERE tenant_id = :tenant_id AND key_id = :key_id AND revoke_time IS NULL"
    )
    return connection.execute(statement, {"tenant_id": tenant_id, "key_id": key_id}).rowcount == 1


def list_keys(
    connection: Connection, *, tenant_id: str, principal_id: str = "", key_id: str = "", after_id: str = "", limit: int = 1
) -> list[KeyShown]:
    """Read a tenant's keys by id, those after `after_id`, of one principal or all; or the one that `key_id` names."""
    rows = connection.execute(
        text(
            f"""SELECT k.key_id, k.principal, coalesce(k.roles, '{{}}'), {_MS.format("k.create_time")},
                       {_MS.format("k.expire_time")}, {_MS.format("k.revoke_time")}, {_MS.format("u.last_use_time")}
                FROM api_keys k LEFT JOIN api_key_uses u ON u.key_id = k.key_id
                WHERE k.tenant_id = :tenant_id AND k.key_id > :after_id
                  AND (:principal_id = '' OR k.principal = :principal_id) AND (:key_id = '' OR k.key_id = :key_id)
                ORDER BY k.key_id LIMIT :limit"""
        ),
        {"tenant_id": tenant_id, "principal_id": principal_id, "key_id": key_id, "after_id": after_id, "limit": limit},
    )
    return [KeyShown(row[0], row[1], tuple(row[2]), *row[3:]) for row in rows]


# --- certificates ---------------------------------------------------------------------------------------------------


class Binding(NamedTuple):
    """A binding as it is shown."""

    binding_id: str
    principal_id: str
    kind: str
    value: str
    not_after_ms: int
    create_ms: int


def bind(connection: Connection, *, tenant_id: str, binding: Binding) -> bool:
    """Store a binding; tell whether the certificate was free."""
    made = connection.execute(
        text(
            """INSERT INTO certificate_bindings (binding_id, tenant_id, principal_id, kind, value, not_after_time)
               VALUES (:binding_id, :tenant_id, :principal_id, :kind, :value, to_timestamp(:not_after_ms / 1000.0))
               ON CONFLICT DO NOTHING"""
        ),
        {"tenant_id": tenant_id, **binding._asdict()},
    )
    return made.rowcount == 1


def binding_ever(connection: Connection, *, tenant_id: str, binding_id: str) -> Binding | None:
    """Read a binding, also one that has ended."""
    row = connection.execute(
        text(
            f"""SELECT binding_id, principal_id, kind, value, {_MS.format("not_after_time")}, {_MS.format("create_time")}
                FROM certificate_bindings WHERE tenant_id = :tenant_id AND binding_id = :binding_id"""
        ),
        {"tenant_id": tenant_id, "binding_id": binding_id},
    ).one_or_none()
    return Binding(*row) if row else None


def unbind(connection: Connection, *, tenant_id: str, binding_id: str) -> bool:
    """Take a binding away; tell whether it counted."""
    statement = text(
        """UPDATE certificate_bindings SET unbind_time = now()
           WHERE tenant_id = :tenant_id AND binding_id = :binding_id AND unbind_time IS NULL"""
    )
    return connection.execute(statement, {"tenant_id": tenant_id, "binding_id": binding_id}).rowcount == 1


def list_bindings(connection: Connection, *, tenant_id: str, principal_id: str) -> list[Binding]:
    """Read the bindings of a principal that count, oldest first."""
    rows = connection.execute(
        text(
            f"""SELECT binding_id, principal_id, kind, value, {_MS.format("not_after_time")}, {_MS.format("create_time")}
                FROM certificate_bindings
                WHERE tenant_id = :tenant_id AND principal_id = :principal_id AND unbind_time IS NULL
                ORDER BY create_time, binding_id"""
        ),
        {"tenant_id": tenant_id, "principal_id": principal_id},
    )
    return [Binding(*row) for row in rows]


def enrol(
    connection: Connection, *, tenant_id: str, principal_id: str, roles: Collection[str], by: str, kind: str = "SYSTEM"
) -> dict[str, Any]:
    """Have a principal with these roles, everywhere in the tenant, whatever was there before; return what is new."""
    new: dict[str, Any] = {}
    if add_principal(connection, tenant_id=tenant_id, principal_id=principal_id, kind=kind):
        new["principal"] = principal_id
    held = {row.grant for row in list_grants(connection, tenant_id=tenant_id, principal_id=principal_id)}
    for role in sorted(roles):
        if Grant(role) not in held:
            add_grant(connection, tenant_id=tenant_id, principal_id=principal_id, grant=Grant(role), granted_by=by)
            new.setdefault("roles", []).append(role)
    return new
