"""UnionPay's folder against UnionPay's wire over HTTP: what the suite of all channels does not ask for."""

import asyncio
import datetime
import html
import re
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from channels.port import (
    Answer,
    BillDamaged,
    BillKind,
    BillRequest,
    CallbackRefused,
    Charge,
    DebitRequest,
    LineKind,
    Lookup,
    MandateLookup,
    Notice,
    Payee,
    PayeeKind,
    PayoutLookup,
    PayoutRequest,
    Person,
    RefundLookup,
    RefundRequest,
    SignRequest,
    VerifyRequest,
)
from channels.unionpay import batches, messages, signing
from channels.unionpay.batches import Batch
from channels.unionpay.bills import UnionPayBills
from channels.unionpay.client import UnionPayCallbacks, UnionPayChannel
from domain.evidence import Outcome
from domain.identifiers import CHINA
from simulator.wire.server import bind
from simulator.world import World
from tests.contract.benches import MERCHANT, OTHER, number, unionpay_config, wired

CARD = "6222020200000000006"
PAYEE = Payee(PayeeKind.BANK_CARD, CARD, "张三")


class Hub:
    """Us: the channel, and an ear for notices."""

    def __init__(self, world: World, transport: Any, base_url: str) -> None:
        self.world = world
        self.base_url = base_url
        self.config = unionpay_config(base_url)
        self.channel = UnionPayChannel(self.config, transport, clock_ms=world.now_ms)
        self.callbacks = UnionPayCallbacks(self.config)
        self.heard: list[Notice] = []
        self.refused: list[str] = []
        self.busy = 0
        self.notify_url = ""

    async def ask(self, operation: str, request: Any) -> Answer:
        async for (answer,) in getattr(self.channel, operation)([request]):
            assert isinstance(answer, Answer)
            return answer
        raise AssertionError("no answer")

    async def charge(self, name: str, **changes: Any) -> Answer:
        usual = Charge(
            number(name), MERCHANT, 10_000, "CNY", f"order-{name}", "车险", "card-1", 0, self.notify_url, "API"
        )
        return await self.ask("charge", usual._replace(**changes))

    async def fault(self, kind: str, share: float = 1.0) -> None:
        await self.world.inject({"channel_id": "c1", "kind": kind, "share": share})

    async def listen(self, request: Request) -> Response:
        if self.busy:
            self.busy -= 1
            return Response(status_code=500)
        body = await request.body()
        try:
            self.heard.append(
                self.callbacks.read(headers=dict(request.headers), body=body, now_ms=self.world.real_ms())
            )
        except CallbackRefused as refused:
            self.refused.append(refused.reason)
            return Response(status_code=401)
        return Response(b"ok")

    async def hears(self, count: int) -> list[Notice]:
        async with asyncio.timeout(20):
            while len(self.heard) < count:
                await asyncio.sleep(0.01)
        return self.heard


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[Hub]:
    async with wired(directory, "unionpay") as (world, transport, base_url, _):
        hub = Hub(world, transport, base_url)
        bound = bind("127.0.0.1", 0)
        hub.notify_url = f"http://127.0.0.1:{bound.getsockname()[1]}/notify"
        ear = Starlette(routes=[Route("/notify", hub.listen, methods=["POST"])])
        server = uvicorn.Server(uvicorn.Config(ear, log_config=None, lifespan="off"))
        serving = asyncio.create_task(server._serve([bound]))
        try:
            yield hub
        finally:
            server.should_exit = server.force_exit = True
            await serving


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with opened(tmp_path) as made:
        yield made


# --- the payer's page ------------------------------------------------------------------------------------------------


class Form(NamedTuple):
    """A form as a browser reads it."""

    action: str
    fields: dict[str, str]

    @classmethod
    def of(cls, page: str) -> "Form":
        action = re.search(r'action="([^"]*)"', page)
        assert action is not None
        pairs = re.findall(r'name="([^"]*)" value="([^"]*)"', page)
        return cls(html.unescape(action[1]), {html.unescape(n): html.unescape(v) for n, v in pairs})


async def test_a_payer_pays_on_the_page_and_comes_back(hub: Hub) -> None:
    answer = await hub.charge("n1", terminal="H5", return_url="https://us.example/back")
    assert (answer.outcome, answer.action_kind) == (Outcome.ACCEPTED, "FORM")
    assert len(answer.action_value) < 8_192
    assert (await hub.ask("query", Lookup(number("n1"), MERCHANT))).outcome is Outcome.NOT_FOUND, "nobody has posted it"
    form = Form.of(answer.action_value)
    async with httpx.AsyncClient(follow_redirects=True, trust_env=False, verify=False) as browser:
        page = await browser.post(form.action, data=form.fields)
        assert "10000" in page.text and page.status_code == 200
        assert (await browser.post(form.action, data=form.fields)).url == page.url, (
            "whoever loads it again sees it again"
        )
        assert (await hub.ask("query", Lookup(number("n1"), MERCHANT))).outcome is Outcome.ACCEPTED
        back = Form.of((await browser.post(str(page.url), data={"act": "pay"})).text)
        forged = await browser.post(form.action, data=form.fields | {"txnAmt": "1"})
        assert "respCode=11" in forged.text
    assert back.action == "https://us.example/back"
    assert hub.config.merchants[MERCHANT].trust.verify(back.fields, now_ms=hub.world.real_ms())
    paid = await hub.ask("query", Lookup(number("n1"), MERCHANT))
    assert (paid.outcome, paid.amount_minor, paid.merchant_no) == (Outcome.DONE, 10_000, MERCHANT)
    (notice,) = await hub.hears(1)
    said = notice.evidence
    assert (said.outcome, said.attempt_no, said.amount_minor) == (Outcome.DONE, number("n1"), 10_000)
    assert (said.channel_txn_no, said.success_time_ms) == (paid.channel_txn_no, paid.success_time_ms)


async def test_an_app_gets_a_number_to_hand_on(hub: Hub) -> None:
    answer = await hub.charge("n1", terminal="APP", payer_ref="")
    assert (answer.outcome, answer.action_kind) == (Outcome.ACCEPTED, "APP")
    assert answer.action_value.isdecimal()
    assert (await hub.ask("query", Lookup(number("n1"), MERCHANT))).outcome is Outcome.ACCEPTED


async def test_an_order_is_at_its_end_once_its_pay_window_is_over(hub: Hub) -> None:
    await hub.charge("n1", terminal="PC")
    assert (await hub.ask("close", Lookup(number("n1"), MERCHANT))).reason == "PAY_WINDOW_OPEN"
    await hub.world.advance(3_600)
    patient = replace(hub.config, close_patience_s=7_200)
    channel = UnionPayChannel(patient, hub.channel._transport, clock_ms=hub.world.now_ms)
    async for (answer,) in channel.close([Lookup(number("n1"), MERCHANT)]):
        assert (answer.outcome, answer.reason) == (Outcome.MAYBE, "PAY_WINDOW_OPEN")
    assert (await hub.ask("close", Lookup(number("n1"), MERCHANT))).outcome is Outcome.CLOSED
    await hub.charge("n2")
    await hub.world.advance(3_600)
    assert (await hub.ask("close", Lookup(number("n2"), MERCHANT))).outcome is Outcome.DONE


# --- notices ---------------------------------------------------------------------------------------------------------


async def test_a_notice_comes_again_until_it_is_heard(hub: Hub) -> None:
    hub.busy = 2
    await hub.charge("n1")
    for _ in range(3):
        await hub.world.advance(400)
    (first,) = await hub.hears(1)
    assert first.evidence.outcome is Outcome.DONE
    assert hub.busy == 0


async def test_refunds_and_payouts_have_notices_of_their_own(hub: Hub) -> None:
    await hub.charge("n1")
    wish = RefundRequest("R" + number("n1"), number("n1"), MERCHANT, 4_000, "CNY", notify_url=hub.notify_url)
    assert (await hub.ask("refund", wish)).outcome is Outcome.ACCEPTED
    payout = PayoutRequest(number("p1"), MERCHANT, 500, "CNY", PAYEE, "赔款", notify_url=hub.notify_url)
    assert (await hub.ask("payout", payout)).outcome is Outcome.ACCEPTED
    await hub.world.advance(60)
    told = {notice.evidence.refund_no or notice.evidence.attempt_no: notice.evidence for notice in await hub.hears(3)}
    refunded = told["R" + number("n1")]
    assert (refunded.attempt_no, refunded.outcome, refunded.amount_minor) == (number("n1"), Outcome.DONE, 4_000)
    assert (told[number("p1")].outcome, told[number("p1")].amount_minor) == (Outcome.DONE, 500)


async def test_an_answer_to_another_question_proves_nothing(hub: Hub) -> None:
    """A replay: signed rightly, and about somebody else's money."""
    await hub.charge("n1")
    merchant = hub.config.merchants[MERCHANT]
    fields = await hub.channel._signed(merchant, messages.query(number("n1")))
    async with httpx.AsyncClient(trust_env=False, verify=False) as http:
        said = messages.read_answer((await http.post(f"{hub.base_url}/gateway/api/queryTrans.do", data=fields)).content)
    assert merchant.trust.verify(said, now_ms=hub.world.real_ms())
    from channels.unionpay.client import _answers

    assert _answers(said, messages.query(number("n1")), merchant)
    assert not _answers(said, messages.query(number("n2")), merchant)
    assert not _answers(said, messages.query(number("n1")), hub.config.merchants[OTHER])


# --- refunds ---------------------------------------------------------------------------------------------------------


async def refund(hub: Hub, name: str, amount_minor: int = 10_000, txn_no: str = "") -> Answer:
    return await hub.ask("refund", RefundRequest(number(name), number("n1"), MERCHANT, amount_minor, "CNY", 0, txn_no))


async def test_a_refund_by_unionpays_number_and_one_without_are_the_same(hub: Hub) -> None:
    await hub.charge("n1")
    txn_no = (await hub.ask("query", Lookup(number("n1"), MERCHANT))).channel_txn_no
    assert (await refund(hub, "r1", 4_000, txn_no)).outcome is Outcome.ACCEPTED
    assert (await refund(hub, "r2", 6_000)).outcome is Outcome.ACCEPTED
    assert (await refund(hub, "r3", 1)).reason == "ORIGINAL_GIVEN_BACK"
    assert (await refund(hub, "r4", 1, "9" * 21)).reason == "ORIGINAL_STATE"


async def test_a_phantom_refund_is_never_done(hub: Hub) -> None:
    await hub.charge("n1")
    await hub.fault("REFUND_PHANTOM")
    assert (await refund(hub, "r1")).outcome is Outcome.ACCEPTED
    await hub.world.advance(86_400)
    question = RefundLookup(number("r1"), number("n1"), MERCHANT)
    assert (await hub.ask("query_refund", question)).outcome is Outcome.ACCEPTED


async def test_a_refund_after_the_window_is_refused(hub: Hub) -> None:
    await hub.charge("n1")
    await hub.world.advance(331 * 86_400)
    assert (await refund(hub, "r1")).outcome is Outcome.REJECTED


# --- collection, payout, cards, identities ----------------------------------------------------------------------------


async def test_a_bound_card_is_collected_from_until_it_is_unbound(hub: Hub) -> None:
    wish = SignRequest(number("m1"), MERCHANT, CARD, "张三", "续期保费", "")
    signed = await hub.ask("sign", wish)
    assert (signed.outcome, signed.channel_txn_no) == (Outcome.DONE, number("m1"))
    mandate = MandateLookup(number("m1"), MERCHANT)
    assert (await hub.ask("query_mandate", mandate)).outcome is Outcome.DONE
    debit = DebitRequest(number("n1"), MERCHANT, 8_800, "CNY", "order-1", "保费", number("m1"), hub.notify_url)
    assert (await hub.ask("debit", debit)).outcome is Outcome.ACCEPTED
    assert (await hub.ask("query", Lookup(number("n1"), MERCHANT))).outcome is Outcome.DONE
    assert (await hub.ask("debit", debit)).outcome is Outcome.ACCEPTED, "the same number once more"
    assert (await hub.ask("unsign", mandate)).outcome is Outcome.CLOSED
    assert (await hub.ask("query_mandate", mandate)).outcome is Outcome.CLOSED
    assert (await hub.ask("debit", debit._replace(attempt_no=number("n2")))).reason == "NOT_SIGNED"
    assert sum(int(str(entry["amount_minor"])) for entry in await hub.world.truth("c1", 0, 10)) == 8_800


async def test_a_card_is_bound_on_the_page(hub: Hub) -> None:
    answer = await hub.ask("sign", SignRequest(number("m1"), MERCHANT, "", "", "续期", "", "https://us.example/back"))
    form = Form.of(answer.action_value)
    mandate = MandateLookup(number("m1"), MERCHANT)
    assert (await hub.ask("query_mandate", mandate)).outcome is Outcome.NOT_FOUND
    async with httpx.AsyncClient(follow_redirects=True, trust_env=False, verify=False) as browser:
        page = await browser.post(form.action, data=form.fields)
        assert (await hub.ask("query_mandate", mandate)).outcome is Outcome.ACCEPTED
        await browser.post(str(page.url), data={"act": "pay"})
    assert (await hub.ask("query_mandate", mandate)).outcome is Outcome.DONE


async def test_an_account_is_collected_from_without_a_bound_card(hub: Hub) -> None:
    debit = DebitRequest(number("n1"), MERCHANT, 8_800, "CNY", "order-1", "保费", "", "", PAYEE)
    assert (await hub.ask("debit", debit)).outcome is Outcome.ACCEPTED
    assert hub.world.channel("c1").book.attempts[number("n1")].payer_ref == CARD, "decrypted with UnionPay's own key"


@pytest.mark.parametrize(
    ("fault", "outcome"), [("", Outcome.DONE), ("PAYOUT_FAILS", Outcome.REJECTED), ("PAYOUT_STUCK", Outcome.ACCEPTED)]
)
async def test_a_payout_is_proved_by_a_question_alone(hub: Hub, fault: str, outcome: Outcome) -> None:
    if fault:
        await hub.fault(fault)
    wish = PayoutRequest(number("p1"), MERCHANT, 500, "CNY", PAYEE, "赔款")
    question = PayoutLookup(number("p1"), MERCHANT)
    assert (await hub.ask("query_payout", question)).outcome is Outcome.NOT_FOUND
    for _ in range(2):
        assert (await hub.ask("payout", wish)).outcome is Outcome.ACCEPTED
    await hub.world.advance(60)
    assert (await hub.ask("query_payout", question)).outcome is outcome
    assert len(await hub.world.truth("c1", 0, 10)) == (outcome is Outcome.DONE)


async def test_silence_about_a_payout_is_never_a_no(hub: Hub) -> None:
    await hub.fault("CONNECTION_RESET")
    wish = PayoutRequest(number("p1"), MERCHANT, 500, "CNY", PAYEE, "赔款")
    assert (await hub.ask("payout", wish)).outcome is Outcome.MAYBE
    await hub.fault("CONNECTION_RESET", 0.0)
    await hub.world.advance(60)
    assert (await hub.ask("query_payout", PayoutLookup(number("p1"), MERCHANT))).outcome is Outcome.DONE


async def test_an_identity_is_true_or_not(hub: Hub) -> None:
    person = Person("张三", "11010519491231002X", CARD, "13800138000")
    assert (await hub.ask("verify", VerifyRequest(number("v1"), MERCHANT, person))).outcome is Outcome.DONE
    wrong = person._replace(card_no="6222020200000000007")
    assert (await hub.ask("verify", VerifyRequest(number("v2"), MERCHANT, wrong))).reason == "CARD_INVALID"
    await hub.fault("PERSON_DIFFERS")
    said = await hub.ask("verify", VerifyRequest(number("v3"), MERCHANT, person))
    assert (said.outcome, said.reason) == (Outcome.REJECTED, "IDENTITY_WRONG")
    assert (
        await hub.ask("verify", VerifyRequest(number("v4"), MERCHANT, Person("张三", "1")))
    ).outcome is Outcome.NOT_SENT


# --- files -----------------------------------------------------------------------------------------------------------


async def bill(hub: Hub, day: str) -> Any:
    (found,) = [bills async for bills in hub.channel.download_bill([BillRequest(MERCHANT, BillKind.TRADE, day)])]
    return found[0]


def days(hub: Hub) -> tuple[str, str]:
    """Return the clearing day of now, and the one after."""
    today = datetime.datetime.fromtimestamp(hub.world.now_ms() / 1_000 + 3_600, CHINA).date()
    return today.isoformat(), (today + datetime.timedelta(days=1)).isoformat()


async def a_day(hub: Hub) -> str:
    """Charge, refund and pay out, and let the clearing day end."""
    await hub.world.configure({"channel_id": "c1", "fee_bps": 60})
    day, _ = days(hub)
    for index in range(20):
        await hub.charge(f"n{index}", amount_minor=10_000 + index, payer_ref=f"card-{index}")
    assert (
        await hub.ask("refund", RefundRequest(number("r1"), number("n1"), MERCHANT, 4_000, "CNY"))
    ).outcome is Outcome.ACCEPTED
    await hub.ask("payout", PayoutRequest(number("p1"), MERCHANT, 500, "CNY", PAYEE, "赔款"))
    await hub.charge("theirs", merchant_no=OTHER)
    await hub.world.advance(60)
    return day


def read(content: bytes, day: str) -> list[Any]:
    return list(UnionPayBills().read(content, merchant_no=MERCHANT, kind=BillKind.TRADE, date=day))


async def test_the_settlement_file_agrees_with_the_truth_to_the_fen(hub: Hub) -> None:
    day = await a_day(hub)
    assert (await bill(hub, day)).outcome is Outcome.NOT_FOUND, "the day is not over"
    await hub.world.advance(86_400)
    found = await bill(hub, day)
    assert found.outcome is Outcome.DONE
    lines = {(line.kind, line.refund_no or line.number): line for line in read(found.content, day)}
    truth = [entry for entry in await hub.world.truth("c1", 0, 100) if entry["merchant_no"] == MERCHANT]
    assert len(lines) == len(truth) == 22
    for entry in truth:
        line = lines[LineKind(str(entry["kind"])), str(entry["refund_no"] or entry["attempt_no"])]
        assert (line.number, line.amount_minor) == (entry["attempt_no"], entry["amount_minor"])
        assert line.time_ms == int(str(entry["time_ms"])) // 1_000 * 1_000
        fee_minor = (line.amount_minor * 60 + 5_000) // 10_000 if line.kind is LineKind.CHARGE else 0
        assert line.fee_minor == fee_minor
    assert (await bill(hub, day)).content == found.content


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("BILL_TRUNCATED", "TRUNCATED"),
        ("BILL_TOTALS_DIFFER", "TOTALS_DIFFER"),
        ("BILL_OTHER_MERCHANT", "OTHER_MERCHANT"),
    ],
)
async def test_a_damaged_settlement_file_is_refused(hub: Hub, fault: str, reason: str) -> None:
    day = await a_day(hub)
    await hub.world.advance(86_400)
    await hub.fault(fault)
    with pytest.raises(BillDamaged) as damaged:
        read((await bill(hub, day)).content, day)
    assert damaged.value.reason == reason


async def test_a_file_that_is_missing_late_or_corrected_is_told_as_such(hub: Hub) -> None:
    day = await a_day(hub)
    await hub.world.advance(86_400)
    await hub.fault("BILL_MISSING")
    assert (await bill(hub, day)).outcome is Outcome.NOT_FOUND
    await hub.fault("BILL_MISSING", 0.0)
    await hub.fault("BILL_CORRECTED")
    first, second = [read((await bill(hub, day)).content, day) for _ in range(2)]
    assert len(second) == len(first) + 1


def batch(kind: str, *lines: dict[str, str]) -> Batch:
    return Batch(MERCHANT, kind, "0001", "20261124120000", lines)


async def test_a_batch_of_payouts_has_results_after_an_hour(hub: Hub) -> None:
    lines = [{"order_no": number(f"p{index}"), "currency": "156", "amount_minor": str(100 + index), "account_type": "01",
              "account_no": CARD, "name": "张三", "note": "赔款"} for index in range(5)]  # fmt: skip
    sent = batch("03", *lines)
    assert (await hub.channel.query_batch(sent)).outcome is Outcome.NOT_FOUND
    assert (await hub.channel.send_batch(sent)).outcome is Outcome.ACCEPTED
    assert (await hub.channel.send_batch(sent)).outcome is Outcome.MAYBE, "the same again: only a question tells"
    assert (await hub.channel.query_batch(sent)).outcome is Outcome.ACCEPTED
    await hub.world.advance(3_700)
    told = await hub.channel.query_batch(sent)
    assert told.outcome is Outcome.DONE
    assert [(line["order_no"], line["code"]) for line in told.lines] == [(line["order_no"], "00") for line in lines]
    truth = await hub.world.truth("c1", 0, 100)
    assert [entry["kind"] for entry in truth] == ["PAYOUT"] * 5
    assert sum(int(str(entry["amount_minor"])) for entry in truth) == sent.amount_minor


async def test_a_batch_that_does_not_add_up_is_refused_as_a_whole(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = {"order_no": number("n1"), "currency": "156", "amount_minor": "100", "account_no": CARD, "name": "张三"}
    genuine = batches.write

    def wrong(layout: batches.Layout, sent: Batch) -> bytes:
        return genuine(layout, sent).replace(b"1|100", b"1|101")

    monkeypatch.setattr(batches, "write", wrong)
    assert (await hub.channel.send_batch(batch("02", lines))).reason == "BATCH_FORMAT"
    assert await hub.world.truth("c1", 0, 10) == []


# --- how strict the wire is ------------------------------------------------------------------------------------------


async def code(hub: Hub, path: str, changes: dict[str, str], *, resign: bool = True) -> str:
    """Return what the gateway says to a charge that is changed in one way, signed again or not."""
    merchant = hub.config.merchants[MERCHANT]
    request = Charge(number("n1"), MERCHANT, 10_000, "CNY", "o", "s", "card-1", 0, "", "API")
    fields = await hub.channel._signed(merchant, messages.consume(request, biz_type="000301", pay_window_s=900))
    fields |= changes
    fields = {name: value for name, value in fields.items() if value}
    if resign and "signature" not in changes:
        fields["signature"] = signing.sign(fields, merchant.key)
    async with httpx.AsyncClient(trust_env=False, verify=False) as http:
        reply = await http.post(f"{hub.base_url}{path}", data=fields)
    return messages.read_answer(reply.content)["respCode"]


async def test_the_gateway_refuses_what_the_manual_forbids(hub: Hub) -> None:
    back = "/gateway/api/backTransReq.do"
    wrong: dict[str, tuple[dict[str, str], bool]] = {
        "11": ({"txnAmt": "1"}, False),
        "13": ({"bizType": ""}, True),
        "10": ({"orderId": "short"}, True),
        "32": ({"txnType": "02"}, True),
        "31": ({"merId": "777290000000099"}, True),
    }
    for expected, (changes, resign) in wrong.items():
        assert await code(hub, back, changes, resign=resign) == expected, changes
    for changes in ({"version": "5.0.0"}, {"txnAmt": "0"}, {"txnAmt": "1.00"}, {"txnTime": "20261399000000"},
                    {"currencyCode": "840"}, {"payTimeout": "soon"}):  # fmt: skip
        assert await code(hub, back, changes) == "10", changes
    assert await code(hub, back, {"certId": "1"}) == "11"
    assert await hub.world.truth("c1", 0, 10) == []
    assert await code(hub, back, {}) == "00"
    assert await code(hub, back, {}) == "12"
    # The trade is known by number and time together.
    assert await code(hub, "/gateway/api/queryTrans.do", {"txnType": "00", "txnSubType": "00"}) == "00"
    other_time = {"txnType": "00", "txnSubType": "00", "txnTime": "20261124000001"}
    assert await code(hub, "/gateway/api/queryTrans.do", other_time) == "34"


async def test_an_answer_is_written_without_any_encoding(hub: Hub) -> None:
    merchant = hub.config.merchants[MERCHANT]
    fields = await hub.channel._signed(merchant, messages.query(number("n1")))
    async with httpx.AsyncClient(trust_env=False, verify=False) as http:
        body = (await http.post(f"{hub.base_url}/gateway/api/queryTrans.do", data=fields)).content
    assert "查无此交易".encode() in body
    assert b"-----BEGIN CERTIFICATE-----\n" in body
    assert urllib.parse.unquote_to_bytes(body) == body
