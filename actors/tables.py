"""From what the desk is set up with to what decisions rest on."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from domain.routing import Account, RoutingTable, Window
from domain.rules import CompiledRules, Effect, Rule, compile_rules
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
    return RoutingTable(
        accounts=tuple(account_of(row) for row in desk.accounts if row.tenant_id == tenant.tenant_id),
        rules=_compiled(tuple(_rule(rule) for rule in routing.get("rules", ()))),
        windows=windows,
        margin_bps=routing.get("margin_bps", 10_000),
        explore_share=routing.get("explore_share", 0.0),
        config_version=desk.version,
    )


def account_of(row: AccountRow) -> Account:
    """Read a merchant account's terms."""
    terms = row.terms
    return Account(
        account_id=row.account_id,
        channel_id=row.channel_id,
        tenant_id=row.tenant_id,
        merchant_no=row.merchant_no,
        methods=frozenset(terms.get("methods", ())),
        terminals=frozenset(terms.get("terminals", ())),
        products=frozenset(terms.get("products", ())),
        partner_only=frozenset(terms.get("partner_only", ())),
        fee_bps=terms.get("fee_bps", 0),
        fee_flat_minor=terms.get("fee_flat_minor", 0),
        fee_cap_minor=terms.get("fee_cap_minor", 0),
        min_amount_minor=terms.get("min_amount_minor", 1),
        max_amount_minor=terms.get("max_amount_minor", 10**12),
        currency_code=terms.get("currency_code", "CNY"),
    )


def _rule(rule: Mapping[str, Any]) -> Rule:
    return Rule(
        rule_id=rule["rule_id"],
        priority=rule.get("priority", 0),
        effect=Effect(rule["effect"]),
        when=rule["when"],
        channels=tuple(rule.get("channels", ())),
        weight=rule.get("weight", 1.0),
    )
