"""From what the desk is set up with to what decisions rest on."""

from collections.abc import Mapping
from functools import lru_cache

import structlog

from actors import plug_ins
from domain import terms
from domain.expiry import unreliable_from_ms
from domain.refusals import Refused
from domain.routing import Account, RoutingTable
from domain.rule_sets import RuleSet, from_record
from domain.rules import CompiledRules, compile_rules
from domain.tenancy import Institution, lineage
from storage.desk import AccountRow, Desk, Tenant

log = structlog.get_logger()


def routing_tables(desk: Desk, known: Mapping[str, RoutingTable] | None = None) -> dict[str, RoutingTable]:
    """Return one routing table per tenant. One whose rules cannot be read keeps its `known` table, if it has one."""
    tables = {}
    for tenant_id, tenant in desk.tenants.items():
        try:
            tables[tenant_id] = _table(tenant, desk)
        except (Refused, LookupError, TypeError, ValueError) as error:
            log.error("rules_not_read", tenant_id=tenant_id, error=repr(error)[:500])
            if known and tenant_id in known:
                tables[tenant_id] = known[tenant_id]
    return tables


@lru_cache(maxsize=512)
def compiled(rule_set: RuleSet) -> CompiledRules:
    """Compile a rule set once, however often the desk around it changes. Raise Refused."""
    return compile_rules(rule_set.rules, plug_ins.load(rule_set.plug_ins))


def _table(tenant: Tenant, desk: Desk) -> RoutingTable:
    routing = tenant.routing
    below = _branches_below(tenant.institutions)
    return RoutingTable(
        accounts=tuple(account_of(row, below) for row in desk.accounts if row.tenant_id == tenant.tenant_id),
        rules=compiled(from_record(routing)),
        windows=tuple(window for window in desk.windows if window.tenant_id in ("", tenant.tenant_id)),
        margin_bps=routing.get("margin_bps", 10_000),
        explore_share=routing.get("explore_share", 0.0),
        config_version=desk.version,
        settings=desk.settings_of(tenant.tenant_id),
    )


def account_of(row: AccountRow, below: Mapping[str, set[str]] | None = None) -> Account:
    """Read a merchant account's terms; `below` gives the branches below each branch."""
    account = terms.account_of(
        row.terms, account_id=row.account_id, channel_id=row.channel_id, tenant_id=row.tenant_id,
        merchant_no=row.merchant_no, version=row.version, branches=below,
    )  # fmt: skip
    return account._replace(unreliable_ms=unreliable_from_ms(row.ends_ms))


def _branches_below(institutions: Mapping[str, Institution]) -> dict[str, set[str]]:
    below: dict[str, set[str]] = {}
    for branch in institutions:
        for above in lineage(institutions, branch):
            below.setdefault(above, set()).add(branch)
    return below
