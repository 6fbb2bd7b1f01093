"""One routing decision, in process: eight channels, twenty rules, health snapshots."""

import time
import tomllib

from actors.tables import routing_tables
from domain.health import ChannelHealth, HealthPolicy
from domain.routing import OrderFacts, decide
from domain.tenancy import Product
from ops.bench.caller import percentile_ms
from ops.bench.stage import DESKS
from storage.desk import AccountRow, ChannelRow, Desk, Tenant

ROUNDS = 20_000
WARM = 2_000


def decision_percentiles_us() -> dict[str, float]:
    """Time ROUNDS decisions one by one; return percentiles in microseconds."""
    table = routing_tables(_desk())["bench"]
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


def _desk() -> Desk:
    document = tomllib.loads((DESKS / "routing-desk.toml").read_text())
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
