"""Branches, products and suspended tenants, as the router sees them: one process, real PostgreSQL, the real sandbox."""

import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import sqlalchemy

from actors.tables import routing_tables
from domain.payments import State
from domain.routing import fee_minor
from domain.settings import Level
from ops import desk_document
from storage import desk as desk_store
from storage import payments as payment_store
from storage.database import transact
from tests.harness import House, new_payment, opened_house

BRANCHES = {
    "tenant_id": "pnc", "display_name": "pnc",
    "institutions": [{"institution_id": "sh"}, {"institution_id": "sh_pudong", "parent_id": "sh"}],
    "products": [{"product_code": "AUTO"}, {"product_code": "LOCAL", "institutions": ["sh"]}],
}  # fmt: skip


@pytest_asyncio.fixture
async def house(emptied_database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """Two channels that answer at once; pnc has branches."""
    async with opened_house(emptied_database_url, tmp_path) as opened:
        transact(opened.database.engine, lambda connection: desk_store.install(connection, {"tenants": [BRANCHES]}))
        await opened.replace_router()
        yield opened


async def test_a_payment_keeps_the_branch_that_sold_it(house: House) -> None:
    paid = await house.pay("o1", institution_id="sh_pudong", product_code="LOCAL")
    assert (paid.institution_id, paid.state) == ("sh_pudong", State.SUCCEEDED)
    assert house.sql("SELECT institution_id FROM payments") == [("sh_pudong",)]
    assert (await house.pay("o2")).institution_id == ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"institution_id": "bj"}, "UNKNOWN_INSTITUTION"), ({"product_code": "LOCAL"}, "PRODUCT_NOT_BOUND")],
    ids=["another tenant's branch, or nobody's", "a product that only a branch sells"],
)
async def test_what_a_branch_does_not_sell_is_refused_before_anything_is_written(
    house: House, changes: dict[str, str], reason: str
) -> None:
    (answer,) = await house.submit(new_payment("o1", **changes))
    assert answer.refusal is not None
    assert answer.refusal.reason == reason
    assert house.payments("o1") == []


def test_the_document_of_the_guide_says_what_the_guide_says(emptied_database_url: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "tenants.md").read_text()
    document = tomllib.loads(page.partition("```toml\n")[2].partition("```")[0])
    document["channels"] = [{"channel_id": "sandbox_alipay", "display_name": "Alipay", "kind": "sandbox"}]
    assert desk_document.violations(document, desk_document.Known()) == []
    engine = sqlalchemy.create_engine(emptied_database_url)
    for _ in range(2):  # again changes nothing
        transact(engine, lambda connection: desk_store.install(connection, document))
    desk = transact(engine, desk_store.load)
    engine.dispose()
    account = routing_tables(desk)["pnc"].accounts[0]
    new_year_ms = 1_798_732_800_000
    assert (account.version, account.limits.day_minor) == (1, 100_000_000)
    assert [fee_minor(account, 5_000_000, new_year_ms + ms) for ms in (-1, 0)] == [2_000, 27_500]
    assert desk.tenants["pnc"].institutions["sh_pudong"].parent_id == "sh"
    assert desk.settings_of("pnc").value("order.expire_s", Level("pnc", "sh", "METRO")) == 600


async def test_a_suspended_tenant_takes_no_new_payments_and_finishes_those_under_way(house: House) -> None:
    await house.fault("TIMEOUT_TAKEN")
    doubtful = await house.pay("o1")
    house.sql("UPDATE tenants SET state = 'SUSPENDED' WHERE tenant_id = 'pnc'")
    await house.router._read_desk()
    (answer,) = await house.submit(new_payment("o2"))
    assert answer.refusal is not None
    assert answer.refusal.reason == "TENANT_SUSPENDED"
    await house.heal("TIMEOUT_TAKEN")
    house.due()
    await house.sweep()
    await house.settle()
    assert (doubtful.state, house.payment("o1").state) == (State.UNKNOWN, State.SUCCEEDED)


async def test_a_payer_who_comes_back_keeps_the_account_also_when_the_router_was_replaced(house: House) -> None:
    first = await house.pay("o1", payer_ref="token")
    house.sql("UPDATE merchant_account_versions SET terms = jsonb_set(terms::jsonb, '{fee_bps}', '900') WHERE account_id = :a",
              a=first.account_id)  # fmt: skip
    await house.replace_router()
    assert (await house.pay("o2", payer_ref="token")).account_id == first.account_id
    (how,) = house.sql("SELECT decision->>'a' FROM attempts JOIN payments USING (payment_id) WHERE order_no = 'o2'")
    assert how == ("STICKY",)
    assert (await house.pay("o3", payer_ref="another")).account_id != first.account_id


async def test_what_a_router_reads_of_payers_at_its_start_is_bounded_however_many_tenants_there_are(house: House) -> None:
    for number in range(3):
        await house.pay(f"o{number}", payer_ref=f"payer{number}")
    ((tenant_count,),) = house.sql("SELECT count(*) FROM tenants")
    read = await house.database.run(payment_store.visits, since_id="", limit=2 * tenant_count + tenant_count - 1)
    assert [visit.payer_ref for visit in read] == ["payer1", "payer2"]
