"""`paydesk init`: a first tenant, a channel with a merchant account, and a key, so that somebody can call.

What is wanted comes from a desk document or from questions. It is checked whole before anything is done, and done in one
transaction; doing it again changes nothing.
"""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import typer
from sqlalchemy import Connection

from channels import registry
from domain.refusals import Refused, Violation
from domain.settings import METHODS
from ops import desk_document, shell
from ops.deployment import make_key
from ops.mistakes import USAGE, Mistake
from ops.settings import Settings
from storage import audit, credentials
from storage import desk as desk_store
from storage.database import make_engine, transact

# A caller's and an administrator's: enough to pay, and to let others in.
ROLES = ("PARTNER_API", "TENANT_ADMIN")


class BadDesk(Mistake):
    """A document with mistakes; takes them, each with its place."""

    exit_code = USAGE

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__(violations)
        self.violations = tuple(violations)

    def __str__(self) -> str:
        lines = [f"  {wrong.field}: {wrong.rule}" for wrong in self.violations]
        return "\n".join(["nothing was set up; the desk has mistakes:", *lines])


class Outcome(NamedTuple):
    """What was done. `keys` has the text of new keys by tenant."""

    changed: bool
    keys: dict[str, str]


def ask() -> dict[str, Any]:
    """Ask for a tenant, a channel and an account; return them as a desk document."""
    tenant_id = typer.prompt("Tenant: a short name in small letters, such as life", type=str)
    display_name = typer.prompt("Its full name", default=tenant_id)
    products = _words(typer.prompt("Products that it sells, by code", default="TRAVEL_ACC"))
    kind = typer.prompt(f"Kind of channel ({', '.join(registry.KINDS)})", default="sandbox")
    channel_id = typer.prompt("Channel: a short name", default=f"{kind}_1")
    merchant_no = typer.prompt("Merchant number at the channel", default="M1001")
    methods = _words(typer.prompt(f"Methods that it takes ({', '.join(METHODS)})", default="BANK_CARD"))
    terms: dict[str, Any] = {"methods": methods, "fee_bps": typer.prompt("Fee in ten-thousandths", default=60)}
    if kind == "sandbox":
        terms["secret"] = f"sandbox-secret-of-{merchant_no}"
    account = {"account_id": f"{tenant_id}_{channel_id}"[:32], "tenant_id": tenant_id, "channel_id": channel_id,
               "merchant_no": merchant_no, "terms": terms}  # fmt: skip
    channel = {"channel_id": channel_id, "display_name": channel_id, "kind": kind}
    tenant = {"tenant_id": tenant_id, "display_name": display_name, "products": products}
    return {"tenants": [tenant], "channels": [channel], "accounts": [account]}


def _words(text: str) -> list[str]:
    return [word for word in text.replace(",", " ").split() if word]


def set_up(url: str, settings: Settings, document: Mapping[str, Any], *, principal: str) -> Outcome:
    """Install a document, and make a key for each of its tenants that has none. Raise BadDesk, and nothing is done."""
    vault, directory = settings.vault(), settings.directory()

    def work(connection: Connection) -> Outcome:
        known = desk_store.load(connection)
        if wrong := desk_document.violations(document, desk_document.known_of(known)):
            raise BadDesk(wrong)
        before = _picture(connection)
        try:
            credentials.install(connection, vault, document)
        except Refused as refused:
            raise BadDesk(refused.refusal.violations or [Violation("(document)", refused.refusal.message)]) from refused
        changed = _picture(connection) != before
        keys = {}
        for tenant in document.get("tenants", ()):
            tenant_id = tenant["tenant_id"]
            if changed:
                audit.append(connection, [_entry(document, tenant_id)])
            if not _has_key(connection, tenant_id):
                made = make_key(
                    connection, directory, tenant_id=tenant_id, principal=principal, roles=frozenset(ROLES)
                )
                keys[tenant_id] = made[1]
        return Outcome(changed, keys)

    engine = make_engine(url, pool_size=1)
    try:
        return transact(engine, work)
    finally:
        engine.dispose()


def _picture(connection: Connection) -> tuple[Any, ...]:
    """Return everything that a document can change, to tell whether it did."""
    desk = desk_store.load(connection)._replace(version=0)
    counts = connection.exec_driver_sql(
        """SELECT (SELECT count(*) FROM credentials), (SELECT count(*) FROM credentials WHERE state = 'RETIRED'),
                  (SELECT count(*) FROM approval_policies), (SELECT count(*) FROM settings),
                  (SELECT string_agg(tenant_id || url, ' ' ORDER BY tenant_id) FROM webhook_endpoints)"""
    ).one()
    return desk, tuple(counts)


def _has_key(connection: Connection, tenant_id: str) -> bool:
    return connection.exec_driver_sql(
        "SELECT 1 FROM api_keys WHERE tenant_id = %s AND revoke_time IS NULL LIMIT 1", (tenant_id,)
    ).one_or_none() is not None


def _entry(document: Mapping[str, Any], tenant_id: str) -> audit.Entry:
    accounts = [a["account_id"] for a in document.get("accounts", ()) if a["tenant_id"] == tenant_id]
    after = {"channels": [c["channel_id"] for c in document.get("channels", ())], "accounts": accounts}
    return audit.Entry(
        tenant_id, shell.principal(), "paydesk init", "tenant", tenant_id, None, after, address=shell.ADDRESS
    )


def next_steps(document: Mapping[str, Any], outcome: Outcome, *, command: str) -> str:
    """Say what was done, and what to do next."""
    lines = ["Everything is set up." if outcome.changed else "Nothing to change: everything stands there already."]
    tenants = document.get("tenants", [])
    for tenant in tenants:
        tenant_id = tenant["tenant_id"]
        mine = [account for account in document.get("accounts", ()) if account["tenant_id"] == tenant_id]
        on = ", ".join(f"{account['account_id']} on {account['channel_id']}" for account in mine)
        lines.append(f"Tenant {tenant_id}: {on or 'no merchant account'}.")
        key = outcome.keys.get(tenant_id)
        lines.append(
            f"  API key, shown this once: {key}" if key else f"  It has a key; another: {command} keys add {tenant_id} NAME"
        )
    lines += ["", "Start Paydesk, if it does not run; it takes all of this within seconds:", f"  {command} serve"]
    if tenants and tenants[0].get("products"):
        product = tenants[0]["products"][0]
        code = product["product_code"] if isinstance(product, Mapping) else product
        request = (
            f'{{"order_no": "A-1001", "product_code": "{code}", "amount": {{"amount_minor": 6800, '
            '"currency_code": "CNY"}, "subject": "first order"}'
        )
        key = outcome.keys.get(tenants[0]["tenant_id"], "pdk_…")
        lines += ["Pay a first order:", f"  PAYDESK_KEY={key} {command} call Payments/CreatePayment {shlex.quote(request)}"]
    for tenant_id in outcome.keys:
        lines += ["Sensitive acts wait for a second person; let one in:",
                  f"  {command} keys add {tenant_id} NAME --role TENANT_ADMIN"]  # fmt: skip
    return "\n".join(lines)
