"""One piece of evidence that the database refuses must not hold up the others of its batch."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from domain.evidence import Source
from domain.payments import State
from simulator.profiles import Profile
from tests.harness import House, opened_house
from tests.integration.test_fault_matrix_core import proof, submitted


@pytest_asyncio.fixture
async def silent_house(emptied_database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """A channel that accepts and then waits for payers who never come."""
    profile = Profile("c1", asynchronous=True, payer_delay_ms_p50=3_600_000)
    async with opened_house(emptied_database_url, tmp_path, profile) as opened:
        yield opened


async def test_a_channel_number_used_twice_stops_only_its_own_payment(silent_house: House) -> None:
    payments = [await submitted(silent_house, f"o{number}") for number in range(4)]
    await silent_house.settle()
    said = [proof(payment, Source.QUERY, channel_txn_no=f"T{number}") for number, payment in enumerate(payments)]
    said[2] = said[2]._replace(channel_txn_no="T1")  # the number of another payment's money

    results = await silent_house.hear(*said)

    assert results == ["APPLIED", "APPLIED", "REFUSED", "APPLIED"]
    states = [silent_house.payment(f"o{number}").state for number in range(4)]
    assert states == [State.SUCCEEDED, State.SUCCEEDED, State.PENDING, State.SUCCEEDED]
    assert silent_house.cases(payments[2]) == {"EVIDENCE_REFUSED"}
    assert await silent_house.hear(proof(payments[2], Source.QUERY, channel_txn_no="T2")) == ["APPLIED"]


async def test_money_to_give_back_is_not_forgotten_beside_what_the_database_refuses(
    emptied_database_url: str, tmp_path: Path
) -> None:
    waiting = [Profile(name, asynchronous=True, payer_delay_ms_p50=3_600_000) for name in ("c1", "c2")]
    async with opened_house(emptied_database_url, tmp_path, *waiting) as house:
        await house.fault("CONNECTION_REFUSED")
        rerouted = await house.pay("o1")
        ((left_no, left_merchant),) = house.sql("SELECT attempt_no, merchant_no FROM attempts WHERE state = 'NOT_SENT'")
        first, second = [await submitted(house, f"o{number}") for number in (2, 3)]
        await house.settle()
        first, second = house.payment("o2"), house.payment("o3")
        liar = proof(rerouted, attempt_no=left_no, merchant_no=left_merchant)
        said = (proof(first, channel_txn_no="T1"), liar, proof(second, channel_txn_no="T1"))

        results = await house.hear(*said)

        assert results == ["APPLIED", "SAME", "REFUSED"]
        assert house.refunds(rerouted) == [("EARLIER_ATTEMPT_PAID", "APPROVED", rerouted.amount_minor)]
        assert house.cases(rerouted) == {"EARLIER_ATTEMPT_PAID"}
