"""WeChat Pay's channel against its wire, in what the contract suite does not ask of all channels."""

import asyncio
import datetime
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from channels.http import HttpTransport
from channels.port import (
    Answer,
    Bill,
    BillDamaged,
    BillKind,
    BillLine,
    BillRequest,
    Charge,
    DebitRequest,
    LineKind,
    Lookup,
    MandateLookup,
    Payee,
    PayeeKind,
    PayoutLookup,
    PayoutRequest,
    RefundLookup,
    RefundRequest,
    Share,
    SignRequest,
    SplitLookup,
    SplitRequest,
)
from channels.wechatpay.bills import WechatpayBills
from channels.wechatpay.callbacks import WechatpayCallbacks
from channels.wechatpay.client import WechatpayChannel
from channels.wechatpay.config import WechatpayConfig
from domain.credentials import Credentials
from domain.evidence import Fault, Outcome
from domain.identifiers import CHINA
from simulator.profiles import Profile
from simulator.wire.server import Wires, bind
from simulator.world import World
from tests.contract.benches import MERCHANT, OTHER, wire_account
from tests.unit.sandbox_kit import hooked

CLAIMS = {"1004": {"保险产品备案编号": "C0001", "保险名称": "车险", "保险操作单号": "{payout_no}"}}
NOWHERE = "http://127.0.0.1:9/callbacks"
DAY_MS = 86_400_000


class Clock:
    """A time that both sides live in: it begins at ten in the morning in China, tomorrow."""

    def __init__(self) -> None:
        now = datetime.datetime.now(tz=CHINA)
        begin = now.replace(hour=10, minute=0) + datetime.timedelta(days=1)
        self.ahead_ms = int((begin - now).total_seconds() * 1000)

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms

    def day(self, days: int = 0) -> str:
        moment = datetime.datetime.fromtimestamp(self() / 1000, tz=CHINA) + datetime.timedelta(days=days)
        return moment.date().isoformat()


class Merchant:
    merchant_no = "m1"

    def __init__(self, values: dict[str, str], without: tuple[str, ...] = ()) -> None:
        self.terms = {"appid": values["appid"], "plan_id": values["plan_id"], "profit_sharing": True, "transfer_scenes": CLAIMS}
        self.credentials = [Credentials(1, {name: text for name, text in values.items() if name not in without})]


class House:
    """The channel, its wire, and the world behind it."""

    def __init__(self, world: World, channel: WechatpayChannel, clock: Clock, config: WechatpayConfig) -> None:
        self.world, self.channel, self.clock, self.config = world, channel, clock, config

    async def ask(self, operation: str, request: Any) -> Any:
        (answer,) = [each async for batch in getattr(self.channel, operation)([request]) for each in batch]
        return answer

    async def fault(self, kind: str, share: float = 1.0) -> None:
        await self.world.inject({"channel_id": "c1", "kind": kind, "share": share})

    async def paid(self, number: str = "order0001", amount_minor: int = 10_000, notify_url: str = NOWHERE) -> Answer:
        request = Charge(number, "m1", amount_minor, "CNY", number, "车险, 保费", "", self.clock() + 900_000, notify_url)
        assert (await self.ask("charge", request)).outcome is Outcome.ACCEPTED
        await self.world.advance(60)
        answer: Answer = await self.ask("query", Lookup(number, "m1"))
        assert answer.outcome is Outcome.DONE
        return answer

    async def lines(self, kind: BillKind, date: str) -> list[BillLine]:
        bill: Bill = await self.ask("download_bill", BillRequest("m1", kind, date))
        assert bill.outcome is Outcome.DONE, bill.reason
        return list(WechatpayBills().read(bill.content, merchant_no="m1", kind=kind, date=date))


@asynccontextmanager
async def house(directory: Path, *, without: tuple[str, ...] = ()) -> AsyncIterator[House]:
    clock, accounts = Clock(), [wire_account("wechatpay", merchant_no) for merchant_no in (MERCHANT, OTHER)]
    wires = Wires(accounts)
    profile = Profile("c1", fee_bps=60, amount_triggers=False)
    world = World(
        directory, seed=7, channels=[profile], merchants={"m1": "", "m2": ""}, voices=wires.voices, real_time_ms=clock
    )
    bound = bind("127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    await world.start()
    await wires.start(world, bound, base_url=base_url)
    config = WechatpayConfig.of(
        channel_id="c1", settings={"base_url": f"{base_url}/wechatpay"}, accounts=[Merchant(accounts[0].hub, without)]
    )
    channel = WechatpayChannel(config, HttpTransport(), clock_ms=clock)
    try:
        yield House(world, channel, clock, config)
    finally:
        await channel.aclose()
        await wires.stop()
        await world.aclose()


async def test_a_claim_is_paid_once_and_only_when_its_payee_has_agreed(tmp_path: Path) -> None:
    payout = PayoutRequest("p1", "m1", 200_000, "CNY", Payee(PayeeKind.USER, "o1", "李明"), "车险理赔", notify_url=NOWHERE)
    async with house(tmp_path) as h:
        assert (await h.ask("query_payout", PayoutLookup("p1", "m1"))).outcome is Outcome.NOT_FOUND
        for _ in range(2):
            first = await h.ask("payout", payout)
            assert (first.outcome, first.action_kind) == (Outcome.ACCEPTED, "JSAPI")
        assert (await h.ask("payout", payout._replace(amount_minor=200_001))).outcome is Outcome.MAYBE
        await h.world.advance(60)
        done = await h.ask("query_payout", PayoutLookup("p1", "m1"))
        assert (done.outcome, done.amount_minor, done.merchant_no) == (Outcome.DONE, 200_000, "m1")
        truth = await h.world.truth("c1", 0, 100)
        assert [(entry["kind"], entry["amount_minor"]) for entry in truth] == [("PAYOUT", 200_000)]
        nameless = payout._replace(payout_no="p2", payee=Payee(PayeeKind.USER, "o1", ""))
        assert (await h.ask("payout", nameless)).outcome is Outcome.REJECTED, "so much goes to a name only"
        await h.fault("PAYOUT_FAILS")
        assert (await h.ask("payout", payout._replace(payout_no="p3"))).outcome is Outcome.ACCEPTED
        await h.world.advance(60)
        failed = await h.ask("query_payout", PayoutLookup("p3", "m1"))
        assert (failed.outcome, failed.fault, failed.reason) == (Outcome.REJECTED, Fault.PAYER, "ACCOUNT_FROZEN")


async def test_a_silent_payout_is_found_again(tmp_path: Path) -> None:
    payout = PayoutRequest("p1", "m1", 5_000, "CNY", Payee(PayeeKind.USER, "o1", "李明"), "车险理赔")
    async with house(tmp_path) as h:
        await h.fault("CONNECTION_RESET")
        assert (await h.ask("payout", payout)).outcome is Outcome.MAYBE
        await h.fault("CONNECTION_RESET", 0.0)
        assert (await h.ask("query_payout", PayoutLookup("p1", "m1"))).outcome is Outcome.ACCEPTED
        assert (await h.ask("payout", payout)).outcome is Outcome.ACCEPTED
        await h.world.advance(60)
        assert len(await h.world.truth("c1", 0, 100)) == 1


async def test_a_debit_is_announced_waits_a_day_and_is_taken_once(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        sign = SignRequest("a1", "m1", "o1", "李明", "寿险", NOWHERE, limit_minor=9_900, period_days=30, first_debit_date=h.clock.day(1))
        first = await h.ask("sign", sign)
        assert (first.outcome, first.action_kind) == (Outcome.ACCEPTED, "REDIRECT")
        assert (await h.ask("query_mandate", MandateLookup("a1", "m1"))).outcome is Outcome.NOT_FOUND, "not signed yet"
        await h.world.advance(60)
        signed = await h.ask("query_mandate", MandateLookup("a1", "m1"))
        assert (signed.outcome, signed.merchant_no) == (Outcome.DONE, "m1")
        debit = DebitRequest("debit0001", "m1", 9_900, "CNY", "o1", "寿险", signed.channel_txn_no, NOWHERE, period_no=1)
        assert (await h.ask("debit", debit)).reason == "NOTICE_GIVEN"
        assert (await h.ask("debit", debit)).reason == "NOT_DUE"
        assert (await h.ask("debit", debit._replace(period_no=99))).outcome is Outcome.REJECTED
        assert (await h.ask("debit", debit._replace(period_no=2))).outcome is Outcome.REJECTED, "too early to announce"
        h.clock.ahead_ms += DAY_MS
        assert (await h.ask("debit", debit._replace(amount_minor=9_901))).outcome is Outcome.REJECTED
        for _ in range(2):
            assert (await h.ask("debit", debit)).outcome is Outcome.ACCEPTED
        await h.world.advance(60)
        taken = await h.ask("query", Lookup("debit0001", "m1"))
        assert (taken.outcome, taken.amount_minor) == (Outcome.DONE, 9_900)
        assert (await h.ask("debit", debit)).outcome is Outcome.DONE
        assert (await h.ask("debit", debit._replace(attempt_no="debit0002"))).outcome is Outcome.REJECTED, "once a period"
        assert (await h.ask("unsign", MandateLookup("a1", "m1"))).outcome is Outcome.CLOSED
        assert (await h.ask("debit", debit._replace(attempt_no="debit0003"))).outcome is Outcome.REJECTED
        assert len(await h.world.truth("c1", 0, 100)) == 1


async def test_what_was_announced_outlives_a_kill(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        sign = SignRequest("a1", "m1", "o1", "李明", "寿险", NOWHERE, limit_minor=9_900, period_days=30, first_debit_date=h.clock.day(1))
        await h.ask("sign", sign)
        await h.world.advance(60)
        signed = await h.ask("query_mandate", MandateLookup("a1", "m1"))
        debit = DebitRequest("debit0001", "m1", 9_900, "CNY", "o1", "寿险", signed.channel_txn_no, NOWHERE, period_no=1)
        assert (await h.ask("debit", debit)).reason == "NOTICE_GIVEN"
    async with house(tmp_path) as h:
        assert (await h.ask("debit", debit)).reason == "NOT_DUE"


async def test_money_is_shared_out_and_the_rest_is_ours(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        paid = await h.paid()
        shares = (Share(Payee(PayeeKind.USER, "o2", "王"), 1_000, "佣金"), Share(Payee(PayeeKind.USER, "1900000200", "代理"), 2_000, "佣金"))
        split = SplitRequest("s1", "order0001", paid.channel_txn_no, "m1", "CNY", shares)
        too_much = split._replace(split_no="s0", shares=(shares[0]._replace(amount_minor=3_001),))
        assert (await h.ask("split", too_much)).outcome is Outcome.REJECTED
        for _ in range(2):
            assert (await h.ask("split", split)).outcome is Outcome.ACCEPTED
        await h.world.advance(60)
        lookup = SplitLookup("s1", "order0001", paid.channel_txn_no, "m1")
        done = await h.ask("query_split", lookup)
        assert (done.outcome, done.amount_minor) == (Outcome.DONE, 3_000)
        assert (await h.ask("query_split", lookup._replace(split_no="s9"))).outcome is Outcome.NOT_FOUND
        assert (await h.ask("split", split._replace(split_no="s2", shares=()))).outcome is Outcome.DONE


async def test_statements_say_what_the_world_did(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.paid()
        await h.ask("refund", RefundRequest("r1", "order0001", "m1", 400, "CNY"))
        await h.world.advance(60)
        day = h.clock.day()
        assert (await h.ask("download_bill", BillRequest("m1", BillKind.TRADE, day))).outcome is Outcome.MAYBE
        h.clock.ahead_ms += DAY_MS
        charge, refund = await h.lines(BillKind.TRADE, day)
        assert (charge.kind, charge.number, charge.amount_minor, charge.fee_minor) == (LineKind.CHARGE, "order0001", 10_000, 60)
        assert (refund.kind, refund.refund_no, refund.amount_minor, refund.fee_minor) == (LineKind.REFUND, "r1", 400, 2)
        kinds = [(line.kind, line.amount_minor) for line in await h.lines(BillKind.FUND, day)]
        assert kinds == [(LineKind.CHARGE, 10_000), (LineKind.FEE, 60), (LineKind.REFUND, 400), (LineKind.FEE_RETURN, 2)]
        empty = await h.ask("download_bill", BillRequest("m1", BillKind.TRADE, h.clock.day(-30)))
        assert (empty.outcome, empty.reason) == (Outcome.NOT_FOUND, "NO_STATEMENT_EXIST")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("BILL_TRUNCATED", "TRUNCATED"), ("BILL_TOTALS_DIFFER", "TOTALS_DIFFER"), ("BILL_OTHER_MERCHANT", "OTHER_MERCHANT")],
)
async def test_a_statement_that_cannot_be_right_is_refused(tmp_path: Path, kind: str, reason: str) -> None:
    async with house(tmp_path) as h:
        await h.paid()
        day = h.clock.day()
        h.clock.ahead_ms += DAY_MS
        await h.fault(kind)
        with pytest.raises(BillDamaged) as damaged:
            await h.lines(BillKind.TRADE, day)
        assert damaged.value.reason == reason


async def test_a_statement_may_be_late_missing_and_corrected(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.paid()
        await h.paid("order0002")
        day = h.clock.day()
        request = BillRequest("m1", BillKind.TRADE, day)
        h.clock.ahead_ms += DAY_MS
        await h.fault("BILL_MISSING")
        assert (await h.ask("download_bill", request)).outcome is Outcome.NOT_FOUND
        await h.fault("BILL_MISSING", 0.0)
        await h.fault("BILL_CORRECTED")
        assert len(await h.lines(BillKind.TRADE, day)) == 1, "the first version lacks a line"
        assert len(await h.lines(BillKind.TRADE, day)) == 2


async def test_a_phantom_refund_is_never_taken_for_done(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.paid()
        await h.fault("REFUND_PHANTOM")
        assert (await h.ask("refund", RefundRequest("r1", "order0001", "m1", 400, "CNY"))).outcome is Outcome.ACCEPTED
        await h.world.advance(3_600)
        assert (await h.ask("query_refund", RefundLookup("r1", "order0001", "m1"))).outcome is not Outcome.DONE


@pytest.mark.parametrize("without", [("platform_certs",), ("platform_public_key", "platform_public_key_id")], ids=["key", "certificates"])
async def test_callbacks_are_read_with_a_public_key_and_with_certificates(tmp_path: Path, without: tuple[str, ...]) -> None:
    async with house(tmp_path, without=without) as h, hooked() as hook:
        hook.status = 500
        reader = WechatpayCallbacks(h.config)
        await h.paid(notify_url=hook.url)
        notices = [reader.read(headers=headers, body=body, now_ms=h.clock()) for headers, body in hook.heard]
        assert len(notices) >= 2, "it is told again until it is heard"
        assert len({notice.notify_id for notice in notices}) == 1
        said = notices[0].evidence
        assert (said.attempt_no, said.outcome, said.amount_minor, said.merchant_no) == ("order0001", Outcome.DONE, 10_000, "m1")


async def test_a_certificate_that_follows_is_learned_while_answers_come(tmp_path: Path) -> None:
    async with house(tmp_path, without=("platform_public_key", "platform_public_key_id")) as h:
        await h.paid()
        await h.fault("ANSWER_NEW_CERTIFICATE", 0.5)
        answers = await asyncio.gather(*(h.ask("query", Lookup("order0001", "m1")) for _ in range(20)))
        assert {answer.outcome for answer in answers} == {Outcome.DONE}
