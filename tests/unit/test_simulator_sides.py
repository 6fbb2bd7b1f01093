"""What wires ask for beside payments: mandates, payouts, splits, verifications and statements, and their faults."""

from pathlib import Path
from typing import Any

import pytest

from simulator.profiles import Profile
from simulator.words import Operation
from simulator.world import World
from tests.unit.sandbox_kit import FrozenTime, charge, hooked, opened

DAY_S = 86_400
# START_MS is 2025-10-09 16:53 in Shanghai.
DATE = "2025-10-09"


class Asker:
    """Asks a world as a wire does."""

    def __init__(self, world: World, merchant_no: str = "m1") -> None:
        self.world = world
        self.merchant_no = merchant_no

    async def __call__(self, operation: str, **item: Any) -> dict[str, Any]:
        said = await self.world.ask("c1", Operation(operation), item, self.merchant_no)
        assert said.outgoing is not None
        return said.outgoing.answer

    async def word(self, operation: str, **item: Any) -> str:
        answer = await self(operation, **item)
        return str(answer["reason"] or answer["word"])

    async def inject(self, kind: str, share: float = 1.0) -> None:
        await self.world.inject({"channel_id": "c1", "kind": kind, "share": share})


def payout(**changes: Any) -> dict[str, Any]:
    usual = {"payout_no": "p1", "amount_minor": 5_000, "currency": "CNY", "payee": "acc", "payee_name": "张三",
             "order_no": "claim-1", "notify_url": "", "memo": {}}  # fmt: skip
    return usual | changes


async def movements(world: World) -> list[tuple[Any, Any]]:
    return [(entry["kind"], entry["amount_minor"]) for entry in await world.truth("c1", 0, 100)]


async def test_a_payout_is_done_once_and_told(tmp_path: Path) -> None:
    async with hooked() as _, opened(tmp_path) as world:
        ask = Asker(world)
        assert await ask.word("query_payout", payout_no="p1") == "NO_SUCH_PAYOUT"
        for _ in range(2):
            assert await ask.word("payout", **payout()) == "PAYOUT_ACCEPTED"
        assert await ask.word("payout", **payout(amount_minor=1)) == "NUMBER_REUSED"
        await world.advance(10)
        assert await ask.word("payout", **payout()) == "PAYOUT_PAID"
        assert await ask.word("query_payout", payout_no="p1") == "PAYOUT_PAID"
        assert await Asker(world, "m2").word("query_payout", payout_no="p1") == "NO_SUCH_PAYOUT"
        assert await movements(world) == [("PAYOUT", 5_000)]


async def test_a_payout_fails_sticks_or_comes_back_as_the_faults_have_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        ask = Asker(world)
        assert await ask.word("payout", **payout(payout_no="p0", payee="payee_unknown")) == "PAYOUT_ACCEPTED"
        for number, kind in (("p1", "PAYOUT_FAILS"), ("p2", "PAYOUT_STUCK"), ("p3", "PAYOUT_RETURNED")):
            await ask.inject(kind)
            await ask("payout", **payout(payout_no=number))
            await world.advance(10)
            await ask.inject(kind, 0)
        words = [(await ask("query_payout", payout_no=f"p{n}"))["word"] for n in range(4)]
        assert words == ["PAYOUT_FAILED", "PAYOUT_FAILED", "PAYOUT_ACCEPTED", "PAYOUT_PAID"]
        await world.advance(3 * DAY_S)
        assert await ask.word("query_payout", payout_no="p3") == "ACCOUNT_CLOSED"
        assert await movements(world) == [("PAYOUT", 5_000), ("PAYOUT_RETURN", 5_000)]


async def test_a_payee_who_has_to_agree_is_waited_for(tmp_path: Path) -> None:
    async with opened(tmp_path, Profile("c1", payer_delay_ms_p50=3_600_000)) as world:
        ask = Asker(world)
        assert await ask.word("payout", **payout(waits=True)) == "PAYOUT_WAITING"
        await world.advance(5)
        assert await ask.word("query_payout", payout_no="p1") == "PAYOUT_WAITING"
        await world.advance(2 * DAY_S)
        assert await ask.word("query_payout", payout_no="p1") == "PAYOUT_PAID"


def debit(number: str, **changes: Any) -> dict[str, Any]:
    return charge(number, pays="NOW", **changes)


async def test_a_mandate_covers_debits_until_it_ends(tmp_path: Path) -> None:
    time = FrozenTime()
    async with opened(tmp_path, time=time) as world:
        ask = Asker(world)
        signed = await ask("sign", mandate_no="s1", payer_ref="payer", limit_minor=10_000)
        agreement_no = signed["channel_txn_no"]
        assert signed["word"] == "MANDATE_WAITING"
        assert await ask.word("debit", **debit("a0", agreement_no=agreement_no)) == "MANDATE_NOT_IN_FORCE"
        await world.advance(60)
        assert await ask.word("query_mandate", agreement_no=agreement_no) == "MANDATE_SIGNED"
        later = {"agreement_no": agreement_no, "expire_time_ms": 0}
        assert await ask.word("debit", **debit("a1", **later)) == "PAID"
        assert await ask.word("debit", **debit("a2", amount_minor=10_001, **later)) == "OVER_MANDATE_LIMIT"
        assert await ask.word("debit", **debit("a3", agreement_no="nothing")) == "NO_MANDATE"
        assert await Asker(world, "m2").word("debit", **debit("a4", **later)) == "NO_MANDATE"
        assert await ask.word("unsign", mandate_no="s1") == "MANDATE_ENDED"
        assert await ask.word("debit", **debit("a5", **later)) == "MANDATE_NOT_IN_FORCE"
        assert await movements(world) == [("CHARGE", 10_000)]


async def test_a_payer_who_leaves_signs_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        ask = Asker(world)
        await ask("sign", mandate_no="s1", payer_ref="payer_abandons")
        await world.advance(DAY_S)
        assert await ask.word("query_mandate", mandate_no="s1") == "MANDATE_WAITING"


async def test_a_split_takes_no_more_than_there_is(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        ask = Asker(world)
        split = {"split_no": "s1", "attempt_no": "a1", "shares": [["r1", 6_000], ["r2", 1_000]]}
        assert await ask.word("split", **split) == "NO_SUCH_TRADE"
        await ask("charge", **charge("a1"))
        for _ in range(2):
            assert await ask.word("split", **split) == "SPLIT_ACCEPTED"
        assert await ask.word("split", **split | {"split_no": "s2"}) == "OVER_REMAINING"
        await world.advance(10)
        assert await ask.word("query_split", split_no="s1") == "SPLIT_DONE"
        await ask.inject("SPLIT_FAILS")
        await ask("split", **split | {"split_no": "s3", "shares": [["r1", 3_000]]})
        await world.advance(10)
        assert await ask.word("query_split", split_no="s3") == "ACCOUNT_CLOSED"
        assert await movements(world) == [("CHARGE", 10_000), ("SPLIT", 7_000)]


async def test_who_a_verification_was_about_is_not_kept(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        ask = Asker(world)
        assert await ask.word("verify", verify_no="v1", name="张三", id_no="11010519491231002X") == "VERIFIED"
        assert await ask.word("verify", verify_no="v2", name="张不符", id_no="1") == "NOT_VERIFIED"
        await ask.inject("PERSON_DIFFERS")
        assert await ask.word("verify", verify_no="v3", name="李四", id_no="1") == "NOT_VERIFIED"
        assert await ask.word("query_verify", verify_no="v1") == "VERIFIED"
        assert await ask.word("query_verify", verify_no="v9") == "NO_SUCH_VERIFICATION"
    ledger = (tmp_path / "ledger.jsonl").read_text()
    assert "11010519491231002X" not in ledger and "张三" not in ledger and "\\u5f20" not in ledger


async def test_a_restart_goes_on_with_what_was_under_way(tmp_path: Path) -> None:
    time = FrozenTime()
    async with opened(tmp_path, time=time) as world:
        ask = Asker(world)
        await ask("charge", **charge("a1"))
        await ask("sign", mandate_no="s1", payer_ref="payer", memo={"scene": "x"})
        await ask("payout", **payout())
        await ask("split", split_no="s1", attempt_no="a1", shares=[["r1", 1]])
        await ask("verify", verify_no="v1", name="张三")
    async with opened(tmp_path, time=time) as world:
        await world.advance(DAY_S)
        ask = Asker(world)
        assert await ask.word("query_mandate", mandate_no="s1") == "MANDATE_SIGNED"
        assert world.channel("c1").book.mandates["s1"].memo == {"scene": "x"}
        assert await ask.word("query_payout", payout_no="p1") == "PAYOUT_PAID"
        assert await ask.word("query_split", split_no="s1") == "SPLIT_DONE"
        assert await ask.word("query_verify", verify_no="v1") == "VERIFIED"
        assert len(await movements(world)) == 3


@pytest.mark.parametrize(
    ("operation", "item"),
    [("payout", payout(amount_minor=0)), ("payout", {}), ("sign", {"mandate_no": ""}), ("query_mandate", {}),
     ("split", {"split_no": "s", "attempt_no": "a", "shares": []}), ("verify", {"verify_no": "v"}),
     ("bill", {"date": "2025-13-01"}), ("split", {"split_no": "s", "attempt_no": "a", "shares": [["r", -1]]})],
)  # fmt: skip
async def test_malformed_requests_change_nothing(tmp_path: Path, operation: str, item: dict[str, Any]) -> None:
    async with opened(tmp_path) as world:
        assert await Asker(world).word(operation, **item) == "MALFORMED"
        assert await movements(world) == []


class TestBills:
    async def day(self, world: World) -> Asker:
        ask = Asker(world)
        for number in ("a1", "a2"):
            await ask("charge", **charge(number))
        await Asker(world, "m2")("charge", **charge("a3"))
        await ask("refund", refund_no="r1", attempt_no="a1", amount_minor=400, currency="CNY")
        await world.advance(60)
        return ask

    async def test_a_day_is_there_when_it_is_over(self, tmp_path: Path) -> None:
        async with opened(tmp_path, Profile("c1", fee_bps=60)) as world:
            ask = await self.day(world)
            assert await ask.word("bill", date=DATE) == "BILL_NOT_YET"
            await world.advance(DAY_S)
            assert await ask.word("bill", date="2025-10-08") == "NO_SUCH_BILL"
            assert await ask.word("bill", date=DATE) == "BILL_READY"
            bill = world.channel("c1").bills.of_day("m1", DATE)
            rows = [(row.entry.movement.value, row.entry.record.amount_minor, row.fee_minor) for row in bill.rows]
            assert rows == [("CHARGE", 10_000, 60), ("CHARGE", 10_000, 60), ("REFUND", 400, 0)]
            assert (bill.merchant_no, bill.truncated, bill.totals_differ) == ("m1", False, False)

    async def test_a_missing_or_late_day(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as world:
            ask = await self.day(world)
            await world.advance(DAY_S)
            await ask.inject("BILL_LATE")
            words = [await ask.word("bill", date=DATE) for _ in range(3)]
            assert words == ["BILL_NOT_YET", "BILL_NOT_YET", "BILL_READY"]
            await ask.inject("BILL_MISSING")
            assert await ask.word("bill", date=DATE) == "NO_SUCH_BILL"

    async def test_damaged_days(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as world:
            ask = await self.day(world)
            await world.advance(DAY_S)
            bills = world.channel("c1").bills
            await ask.inject("BILL_CORRECTED")
            assert [len(bills.of_day("m1", DATE).rows) for _ in range(2)] == [2, 3]
            await ask.inject("BILL_LINES_TWICE")
            assert len(bills.of_day("m1", DATE).rows) == 4
            for kind in ("BILL_TRUNCATED", "BILL_TOTALS_DIFFER", "BILL_OTHER_MERCHANT"):
                await ask.inject(kind)
            bill = bills.of_day("m1", DATE)
            assert (bill.merchant_no != "m1", bill.truncated, bill.totals_differ) == (True, True, True)
