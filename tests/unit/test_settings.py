"""Settings: the most specific level counts, what was passed over is shown, and no tenant sees another's."""

import random
from typing import Any

import pytest

from actors.tables import routing_tables
from domain.routing import OrderFacts, decide
from domain.settings import KEYS, Level, Setting, Settings, value_violation
from domain.tenancy import Institution, Product
from storage.desk import AccountRow, ChannelRow, Desk, Tenant

LINEAGE = {"sh": ("sh",), "sh_pudong": ("sh_pudong", "sh")}
ORDER = Level("pnc", "sh_pudong", "AUTO", "OTA", "H5", "ALIPAY")
KEY = "order.expire_s"


def row(value: Any, **level: str) -> Setting:
    return Setting(KEY, Level(**level), value)


@pytest.mark.parametrize(
    ("rows", "value"),
    [
        ([], 900),
        ([row(100)], 100),
        ([row(100), row(200, tenant_id="pnc")], 200),
        ([row(200, tenant_id="pnc"), row(300, tenant_id="life")], 200),
        # A branch counts before a product, whatever else the latter names.
        ([row(1, tenant_id="pnc", product_code="AUTO", source="OTA", terminal="H5", method="ALIPAY"),
          row(2, tenant_id="pnc", institution_id="sh")], 2),
        ([row(1, tenant_id="pnc", institution_id="sh_pudong"), row(2, tenant_id="pnc", institution_id="sh")], 1),
        ([row(1, tenant_id="pnc", institution_id="sh", method="ALIPAY"), row(2, tenant_id="pnc", institution_id="sh")], 1),
        ([row(1, tenant_id="pnc", product_code="TRAVEL"), row(2, tenant_id="pnc", terminal="H5")], 2),
        # A tenant's own word counts before what the platform says, however specific that is.
        ([row(1, product_code="AUTO", method="ALIPAY"), row(2, tenant_id="pnc")], 2),
    ],
)  # fmt: skip
def test_the_most_specific_level_counts(rows: list[Setting], value: int) -> None:
    for order in (rows, rows[::-1]):
        assert Settings("pnc", order, LINEAGE).value(KEY, ORDER) == value


def test_what_was_passed_over_is_told_the_most_specific_first() -> None:
    rows = [row(1), row(2, tenant_id="pnc"), row(3, tenant_id="pnc", product_code="AUTO"),
            row(4, tenant_id="pnc", product_code="TRAVEL"), row(5, tenant_id="life")]  # fmt: skip
    found = Settings("pnc", rows, LINEAGE).resolve(KEY, ORDER)
    assert (found.chosen.value, found.chosen.level) == (3, Level("pnc", product_code="AUTO"))
    assert [(item.value, item.fits) for item in found.passed_over] == [(2, True), (1, True), (900, True), (4, False)]


@pytest.mark.parametrize(
    ("key", "value", "fine"),
    [
        ("nothing", 1, False),
        ("order.expire_s", 59, False),
        ("order.expire_s", 60, True),
        ("order.expire_s", True, False),
        ("order.expire_s", 60.5, False),
        ("routing.explore_share", 0, True),
        ("routing.explore_share", 0.6, False),
        ("release.level", "FUNDS_RECEIVED", True),
        ("release.level", "SOON", False),
        ("cashier.display_order", ["ALIPAY", "WECHAT_PAY"], True),
        ("cashier.display_order", ["ALIPAY", "ALIPAY"], False),
        ("cashier.display_order", "ALIPAY", False),
    ],
)
def test_values_are_of_their_keys_kind(key: str, value: Any, fine: bool) -> None:
    assert (value_violation(key, value) is None) == fine


def test_every_default_is_a_value_of_its_key() -> None:
    assert [key for key, known in KEYS.items() if value_violation(key, known.default)] == []


TENANTS = ("life", "pnc", "travel")
CONFIGURATIONS = 100_000


def any_desk(chance: random.Random) -> Desk:
    """A random desk: merchant numbers begin with their tenant's name, and so does every value that is set."""
    number = chance.randrange
    branches = {t: {b: Institution(b, "", b) for b in ("b1", "b2")} for t in TENANTS}
    accounts = [
        AccountRow(
            f"{tenant_id}_{place}", tenant_id, f"c{number(3)}", f"{tenant_id}-{place}",
            {"methods": ["QR"], "fee_bps": number(100), "institutions": chance.choice([[], ["b1"]]),
             "partner_only": chance.choice([[], [], ["OTA"]]), "products": chance.choice([[], ["AUTO"]])},
        )
        for tenant_id in TENANTS for place in range(number(3))
    ]  # fmt: skip
    settings = [
        Setting("routing.margin_bps", Level(
            chance.choice(TENANTS), chance.choice(["", "b1"]), chance.choice(["", "AUTO"]), chance.choice(["", "OTA"])
        ), 0)
        for _ in range(number(4))
    ]  # fmt: skip
    settings = [s._replace(value=1 + TENANTS.index(s.level.tenant_id)) for s in settings]
    tenants = {t: Tenant(t, t, {"AUTO": Product("AUTO", "")}, {}, branches[t]) for t in TENANTS}
    return Desk(1, tenants, {f"c{n}": ChannelRow(f"c{n}", "", "sandbox", {}) for n in range(3)}, accounts, [], {}, settings)


def test_no_tenant_ever_carries_another_tenants_merchant_number_or_setting() -> None:
    chance = random.Random(19)
    seen = 0
    for _ in range(CONFIGURATIONS // len(TENANTS) + 1):
        desk = any_desk(chance)
        tables = routing_tables(desk)
        for place, tenant_id in enumerate(TENANTS):
            table = tables[tenant_id]
            assert all(account.merchant_no.startswith(f"{tenant_id}-") for account in table.accounts)
            order = OrderFacts(tenant_id, "o", "AUTO", 100, "CNY", source=chance.choice(["", "OTA"]),
                               institution_id=chance.choice(["", "b1", "b2"]))  # fmt: skip
            chosen = decide(order, table, {}, now_ms=1, draw=0.0).chosen
            assert chosen is None or chosen.merchant_no.startswith(f"{tenant_id}-")
            level = Level(tenant_id, order.institution_id, "AUTO", order.source)
            found = desk.settings_of(tenant_id).resolve("routing.margin_bps", level)
            assert found.chosen.value in (10_000, 1 + place)
            assert all(item.level is None or item.level.tenant_id == tenant_id for item in found.passed_over)
            seen += chosen is not None
    assert seen > CONFIGURATIONS // 5
