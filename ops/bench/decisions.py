"""One routing decision, in process: eight channels, twenty or two hundred rules, health snapshots."""

import time
import tomllib
from typing import Any

from actors.tables import routing_tables
from domain.health import ChannelHealth, HealthPolicy
from domain.routing import OrderFacts, decide
from domain.tenancy import Product
from ops.bench.caller import percentile_ms
from ops.bench.stage import DESKS
from storage.desk import AccountRow, ChannelRow, Desk, Tenant

ROUNDS = 20_000
WARM = 2_000


MANY_RULES = 200
# Conditions as an insurer with many products and partners writes them; most orders meet few of them.
_MANY = (
    """effect = "DENY"\nwhen = "order.product_code == 'P{n}' && order.amount_minor > {n}000"\nchannels = ["c1"]""",
    """effect = "ALLOW_ONLY"\nwhen = "order.source == 'S{n}'"\nchannels = ["c2", "c3"]""",
    """effect = "BOOST"\nwhen = "order.amount_minor > {n}00 && order.amount_minor <= {n}50"\nchannels = ["c4"]\nweight = 1.01""",
    """effect = "FORCE"\nwhen = "order.product_code in ['P{n}', 'Q{n}'] && order.method == 'ALIPAY'"\nchannels = ["c5"]""",
    """effect = "DENY"\nwhen = "channel.score < 40.5 && order.source.startsWith('X{n}')\"""",
    """effect = "DENY"\nwhen = "channel.fee_minor > {n}0 && order.amount_minor < {n}00"\nchannels = ["c8"]""",
)


def desk_text(rule_count: int) -> str:
    """Return the desk of the benchmark with so many rules; twenty are in its file."""
    more = [
        f'[[tenants.routing.rules]]\nrule_id = "many-{n}"\npriority = {n}\n{_MANY[n % len(_MANY)].format(n=n)}\n'
        for n in range(20, rule_count)
    ]
    return "\n".join([(DESKS / "routing-desk.toml").read_text(), *more])


def decision_percentiles_us(rule_count: int = 20) -> dict[str, float]:
    """Time ROUNDS decisions one by one; return percentiles in microseconds."""
    table = routing_tables(_desk(tomllib.loads(desk_text(rule_count))))["bench"]
    now_ms = time.time_ns() // 1_000_000
    snapshots = {
        account.channel_id: ChannelHealth(HealthPolicy(), now_ms=now_ms, channel_id=account.channel_id).tick(now_ms, 0.5)
        for account in table.accounts
    }
    times_s = []
    for number in range(ROUNDS + WARM):
        facts = OrderFacts("bench", f"order-{number}", "TRAVEL_ACC", 1800 + number % 5000, "CNY", "", "H5", "", "payer")
        begin_s = time.perf_counter()
        decide(facts, table, snapshots, now_ms=now_ms, draw=0.5)
        times_s.append(time.perf_counter() - begin_s)
    counted = sorted(times_s[WARM:])
    return {
        "decision_p50_us": round(percentile_ms(counted, 0.5) * 1000, 1),
        "decision_p99_us": round(percentile_ms(counted, 0.99) * 1000, 1),
    }


def _desk(document: dict[str, Any]) -> Desk:
    tenants = {
        item["tenant_id"]: Tenant(
            item["tenant_id"], "", {code: Product(code, code) for code in item["products"]}, item.get("routing", {})
        )
        for item in document["tenants"]
    }
    channels = {item["channel_id"]: ChannelRow(item["channel_id"], "", item["kind"], {}) for item in document["channels"]}
    accounts = [
        AccountRow(item["account_id"], item["tenant_id"], item["channel_id"], item["merchant_no"], item["terms"])
        for item in document["accounts"]
    ]
    return Desk(1, tenants, channels, accounts, [], {})
