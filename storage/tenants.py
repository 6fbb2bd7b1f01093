"""Companies of the group, their branches and products: rows, and changes by compare-and-set on their version.

Each change happens in the transaction of its request and its audit entry, which `storage/requests.py` opens.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from domain.refusals import Kind, Refusal, Refused, Violation, invalid
from domain.tenancy import Institution, Product, placement_refusal
from storage.acts import hold


class TenantRow(NamedTuple):
    """A company."""

    tenant_id: str
    display_name: str
    state: str
    version: int


def conflict(name: str, *, version: int) -> Refusal:
    """Refuse a change that was made from an older version."""
    return Refusal(
        Kind.MOVED, "CONFIG_CONFLICT", f"{name} has changed since version {version}: read it again",
        metadata=(("version", str(version)),),
    )  # fmt: skip


def missing(kind: str, object_id: str) -> Refusal:
    """Refuse for want of a thing, whether it does not exist or is another tenant's."""
    return Refusal(Kind.NOT_FOUND, f"{kind.upper()}_NOT_FOUND", f"there is no {kind} {object_id[:64]!r}")


def exists(kind: str, object_id: str) -> Refusal:
    """Refuse to make what there is."""
    return Refusal(Kind.REUSED, f"{kind.upper()}_EXISTS", f"there is a {kind} {object_id[:64]!r} already")


# --- reading ----------------------------------------------------------------------------------------------------------


def list_tenants(connection: Connection, *, after: str, limit: int) -> list[TenantRow]:
    """Read tenants by id, those behind `after`."""
    rows = connection.execute(
        text(
            """SELECT tenant_id, display_name, state, version FROM tenants
               WHERE tenant_id > :after ORDER BY tenant_id LIMIT :limit"""
        ),
        {"after": after, "limit": limit},
    )
    return [TenantRow(*row) for row in rows]


def get_tenant(connection: Connection, *, tenant_id: str) -> TenantRow:
    """Read one tenant. Raise Refused(NOT_FOUND)."""
    row = connection.execute(
        text("SELECT tenant_id, display_name, state, version FROM tenants WHERE tenant_id = :tenant_id"),
        {"tenant_id": tenant_id},
    ).one_or_none()
    if row is None:
        raise Refused(missing("tenant", tenant_id))
    return TenantRow(*row)


def institutions(connection: Connection, *, tenant_id: str) -> dict[str, Institution]:
    """Read a tenant's branches, by id."""
    rows = connection.execute(
        text(
            """SELECT institution_id, coalesce(parent_id, ''), display_name, state, version FROM institutions
               WHERE tenant_id = :tenant_id ORDER BY institution_id"""
        ),
        {"tenant_id": tenant_id},
    )
    return {row[0]: Institution(*row) for row in rows}


def products(connection: Connection, *, tenant_id: str) -> dict[str, Product]:
    """Read a tenant's products, by code."""
    rows = connection.execute(
        text(
            """SELECT product_code, display_name, institutions, state, version FROM products
               WHERE tenant_id = :tenant_id ORDER BY product_code"""
        ),
        {"tenant_id": tenant_id},
    )
    return {row[0]: Product(row[0], row[1], frozenset(row[2]), row[3], row[4]) for row in rows}


# --- changing ---------------------------------------------------------------------------------------------------------


def create_tenant(connection: Connection, *, tenant_id: str, display_name: str) -> None:
    """Make a tenant. Raise Refused when there is one of that id."""
    made = connection.execute(
        text(
            """INSERT INTO tenants (tenant_id, display_name) VALUES (:tenant_id, :display_name)
               ON CONFLICT DO NOTHING"""
        ),
        {"tenant_id": tenant_id, "display_name": display_name},
    )
    if made.rowcount != 1:
        raise Refused(exists("tenant", tenant_id))


def update_tenant(connection: Connection, new: TenantRow) -> None:
    """Change a tenant from the version that `new` names. Raise Refused(CONFIG_CONFLICT)."""
    _change(connection, "tenants", {"tenant_id": new.tenant_id}, new.version,
            {"display_name": new.display_name, "state": new.state})  # fmt: skip


def save_institution(connection: Connection, *, tenant_id: str, new: Institution, is_new: bool) -> None:
    """Make a branch, or change it from the version that `new` names. Raise Refused."""
    hold(connection, tenant_id=tenant_id)  # two moves at once could make a circle that neither alone would make
    known = institutions(connection, tenant_id=tenant_id)
    refusal = placement_refusal(known, new.institution_id, new.parent_id)
    if is_new and new.institution_id in known:
        refusal = exists("institution", new.institution_id)
    if refusal is not None:
        raise Refused(refusal)
    values = {"parent_id": new.parent_id or None, "display_name": new.display_name, "state": new.state}
    key = {"tenant_id": tenant_id, "institution_id": new.institution_id}
    if is_new:
        _insert(connection, "institutions", key | values)
    else:
        _change(connection, "institutions", key, new.version, values)


def save_product(connection: Connection, *, tenant_id: str, new: Product, is_new: bool) -> None:
    """Make a product, or change it from the version that `new` names. Raise Refused."""
    hold(connection, tenant_id=tenant_id)
    check_bindings(connection, tenant_id=tenant_id, institution_ids=new.institutions)
    if is_new and new.product_code in products(connection, tenant_id=tenant_id):
        raise Refused(exists("product", new.product_code))
    values = {"institutions": sorted(new.institutions), "display_name": new.display_name, "state": new.state}
    key = {"tenant_id": tenant_id, "product_code": new.product_code}
    if is_new:
        _insert(connection, "products", key | values)
    else:
        _change(connection, "products", key, new.version, values)


def check_bindings(
    connection: Connection,
    *,
    tenant_id: str,
    institution_ids: Sequence[str] | frozenset[str] = (),
    product_codes: Sequence[str] = (),
    place: str = "",
) -> None:
    """Raise Refused where something is bound to a branch or product that the tenant does not have."""
    wrong = [
        Violation(f"{place}institution_ids", f"{name!r} is no institution of the tenant")
        for name in sorted(set(institution_ids) - set(institutions(connection, tenant_id=tenant_id)))
    ]
    wrong += [
        Violation(f"{place}product_codes", f"{code!r} is no product of the tenant")
        for code in sorted(set(product_codes) - set(products(connection, tenant_id=tenant_id)))
    ]
    if wrong:
        raise Refused(invalid(*wrong))


def create_channel(
    connection: Connection, *, channel_id: str, display_name: str, kind: str, settings_json: str
) -> None:
    """Make a channel. Raise Refused when there is one of that id."""
    made = connection.execute(
        text(
            """INSERT INTO channels (channel_id, display_name, kind, settings)
               VALUES (:channel_id, :display_name, :kind, :settings_json) ON CONFLICT DO NOTHING"""
        ),
        {"channel_id": channel_id, "display_name": display_name, "kind": kind, "settings_json": settings_json},
    )
    if made.rowcount != 1:
        raise Refused(exists("channel", channel_id))


def update_channel(
    connection: Connection, *, channel_id: str, version: int, display_name: str, settings_json: str
) -> None:
    """Change a channel from a version. Raise Refused(CONFIG_CONFLICT)."""
    _change(connection, "channels", {"channel_id": channel_id}, version,
            {"display_name": display_name, "settings": settings_json})  # fmt: skip


def _insert(connection: Connection, table: str, values: Mapping[str, Any]) -> None:
    places = ", ".join(f":{name}" for name in values)
    connection.execute(text(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})"), dict(values))


def _change(
    connection: Connection, table: str, key: Mapping[str, str], version: int, values: Mapping[str, Any]
) -> None:
    changes = ", ".join(f"{name} = :{name}" for name in values)
    where = " AND ".join(f"{name} = :{name}" for name in key)
    moved = connection.execute(
        text(f"UPDATE {table} SET {changes}, version = version + 1 WHERE {where} AND version = :version"),
        {**values, **key, "version": version},
    )
    if moved.rowcount != 1:
        raise Refused(conflict(" ".join(key.values()), version=version))
