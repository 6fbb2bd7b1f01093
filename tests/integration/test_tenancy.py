"""Branches, products and suspended tenants, as the router sees them: one process, real PostgreSQL, the real sandbox."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from domain.payments import State
from storage import desk as desk_store
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
