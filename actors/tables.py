"""From what the desk is set up with to what decisions rest on."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from domain import terms
from domain.routing import Account, RoutingTable, Window
from domain.rules import CompiledRules, Effect, Rule, compile_rules
from domain.settings import Settings
from domain.tenancy import Institution, lineage
from storage.desk import AccountRow, Desk, Tenant


def routing_tables(desk: Desk) -> dict[str, RoutingTable]:
    """Return one routing table per tenant."""
    windows = tuple(Window(*row) for row in desk.windows)
    return {
        tenant.tenant_id: _table(tenant, desk, windows) for tenant in desk.tenants.values()
    }


@lru_cache(maxsize=512)
def _compiled(rules: tuple[Rule, ...]) -> CompiledRules:
    """Compile a text once, however often the desk around it changes."""
    return compile_rules(rules)


def _table(tenant: Tenant, desk: Desk, windows: tuple[Window, ...]) -> RoutingTable:
    routing = tenant.routing
    below = _branches_below(tenant.institutions)
    return RoutingTable(
        accounts=tuple(account_of(row, below) for row in desk.accounts if row.tenant_id == tenant.tenant_id),
        rules=_compiled(tuple(_rule(rule) for rule in routing.get("rules", ()))),
        windows=windows,
        margin_bps=routing.get("margin_bps", 10_000),
        explore_share=routing.get("explore_share", 0.0),
        config_version=desk.version,
        settings=settings_of(tenant, desk),
    )


def settings_of(tenant: Tenant, desk: Desk) -> Settings:
    """Return what is set for a tenant."""
    branches = tenant.institutions
    return Settings(tenant.tenant_id, desk.settings, {name: tuple(lineage(branches, name)) for name in branches})


def account_of(row: AccountRow, below: Mapping[str, set[str]] | None = None) -> Account:
    """Read a merchant account's terms; `below` gives the branches below each branch."""
    return terms.account_of(
        row.terms, account_id=row.account_id, channel_id=row.channel_id, tenant_id=row.tenant_id,
        merchant_no=row.merchant_no, version=row.version, branches=below,
    )  # fmt: skip


def _branches_below(institutions: Mapping[str, Institution]) -> dict[str, set[str]]:
    below: dict[str, set[str]] = {}
    for branch in institutions:
        for above in lineage(institutions, branch):
            below.setdefault(above, set()).add(branch)
    return below


def _rule(rule: Mapping[str, Any]) -> Rule:
    return Rule(
        rule_id=rule["rule_id"],
        priority=rule.get("priority", 0),
        effect=Effect(rule["effect"]),
        when=rule["when"],
        channels=tuple(rule.get("channels", ())),
        weight=rule.get("weight", 1.0),
    )
