"""A batch on its way through a gateway and a router, on real PostgreSQL: whole, once, and nobody waits for its outcomes."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from actors.messages import Accepted, NewPayment
from actors.peers import PeerLost
from domain.payments import Payment, State
from domain.refusals import Refusal, Refused
from servers.bulk import SLICE_ALONE
from servers.gateway import Gateway, Limits
from tests.harness import GATEWAY, House, new_payment, opened_house


class _OneRouter:
    """A directory whose only router is the house's; `lost` makes its next answers get lost after they were committed."""

    router_count = 1

    def __init__(self, house: House) -> None:
        self._house = house
        self.lost = 0
        self.slices: list[int] = []

    def peer(self, _name: str) -> "_OneRouter":
        return self

    def shard_of(self, _tenant_id: str) -> int:
        return 0

    async def call(self, method: str, gateway: str, orders: Sequence[NewPayment], bulk: bool, *, timeout_s: float) -> list[Accepted]:
        assert (method, gateway, bulk) == ("submit", GATEWAY, True) and timeout_s > 0
        self.slices.append(len(orders))
        answers = await self._house.router.submit(gateway, orders, bulk)
        if self.lost:
            self.lost -= 1
            raise PeerLost("the answer got lost")
        return answers


@pytest_asyncio.fixture
async def house(emptied_database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with opened_house(emptied_database_url, tmp_path) as opened:
        yield opened


async def test_a_batch_is_taken_whole_in_slices_and_repeats_itself(house: House) -> None:
    router = _OneRouter(house)
    gateway = Gateway(name=GATEWAY, directory=cast("Any", router), database=house.database)
    wishes = [new_payment(f"b{number}") for number in range(SLICE_ALONE + 5)]
    wishes[3] = new_payment("b3", product_code="NOT_SOLD")
    answers = await gateway.create_many(wishes)
    assert router.slices == [SLICE_ALONE, 5]
    assert [index for index, answer in enumerate(answers) if isinstance(answer, Refusal)] == [3]
    made = {index: answer for index, answer in enumerate(answers) if isinstance(answer, Payment)}
    assert all(payment.order_no == f"b{index}" for index, payment in made.items())
    assert not house.router._waiting, "nobody waits for these outcomes"
    await house.settle()
    assert {house.payment(f"b{index}").state for index in made} == {State.SUCCEEDED}
    again = await gateway.create_many(wishes)
    assert [a.payment_id for a in again if isinstance(a, Payment)] == [p.payment_id for p in made.values()]
    assert len(house.sent) == len(made), "nobody was charged again"


async def test_a_slice_whose_answer_is_lost_may_have_happened_and_is_found_by_repeating(house: House) -> None:
    router = _OneRouter(house)
    gateway = Gateway(name=GATEWAY, directory=cast("Any", router), database=house.database)
    wishes = [new_payment(f"b{number}") for number in range(SLICE_ALONE + 1)]
    router.lost = 1
    answers = await gateway.create_many(wishes)
    assert {a.reason for a in answers[:SLICE_ALONE] if isinstance(a, Refusal)} == {"MAY_HAVE_HAPPENED"}
    assert isinstance(answers[-1], Payment)
    again = await gateway.create_many(wishes)
    assert all(isinstance(answer, Payment) for answer in again) and again[-1].payment_id == answers[-1].payment_id  # type: ignore[union-attr]


def test_beyond_its_share_a_tenant_is_refused_with_a_reason() -> None:
    class Empty:
        router_count = 0

    gateway = Gateway(name=GATEWAY, directory=cast("Any", Empty()), database=cast("Any", None), limits=Limits(1, 10))
    with gateway.batch_share("loud", 8):
        with pytest.raises(Refused) as caught, gateway.batch_share("loud", 3):
            pass
        assert caught.value.refusal.reason == "TENANT_BATCHES_FULL"
        with gateway.batch_share("quiet", 8):
            pass
