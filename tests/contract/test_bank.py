"""What Paydesk relies on where money is paid out, collected and stated by a bank: our client against a bank on the wire."""

import datetime
import functools
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from lxml import etree

from channels.http import HttpTransport
from channels.iso20022 import messages, signing
from channels.iso20022.carriers import HttpCarrier
from channels.iso20022.client import Iso20022Bills, Iso20022Channel
from channels.iso20022.config import Iso20022Config
from channels.port import (
    Answer,
    BillDamaged,
    BillKind,
    BillRequest,
    DebitRequest,
    LineKind,
    Lookup,
    Payee,
    PayeeKind,
    PayoutLookup,
    PayoutRequest,
)
from domain.credentials import Credentials
from domain.evidence import Fault, Outcome
from simulator.profiles import Profile
from simulator.wire.accounts import Account, Wanted, open_accounts
from simulator.wire.iso20022.credentials import account_no, make_keys
from simulator.wire.server import Wires, bind
from simulator.world import World
from storage.desk import AccountRow
from tests.contract.benches import WIRE_LIMITS, Wire, now_ms, silence

OURS, OTHER, STRANGER = "CORP0001", "CORP0002", "CORP0009"
AMOUNT_MINOR = 680_000
# Made once: they take a third of a second.
keys_of = functools.cache(make_keys)
SCHEMAS = Path(__file__).parent.parent / "vectors" / "iso20022"


def payout(number: str = "P1", **changes: Any) -> PayoutRequest:
    payee = Payee(PayeeKind.BANK_CARD, "6222020200000000006", "张三", "102100099996")
    return PayoutRequest(number, OURS, AMOUNT_MINOR, "CNY", payee, "理赔款")._replace(**changes)


def debit(number: str = "D1", **changes: Any) -> DebitRequest:
    payer = Payee(PayeeKind.BANK_CARD, "6222020200000000006", "李四")
    return DebitRequest(number, OURS, 50_000, "CNY", "order", "期交保费", "M-1", "", payer)._replace(**changes)


class Bank:
    """A bank on a real port, and our client of it."""

    def __init__(self, world: World, accounts: Sequence[Account], base_url: str) -> None:
        self.world = world
        self.base_url = base_url
        rows = [
            AccountRow(a.merchant_no, "pnc", "bank", a.merchant_no, {"account_name": "平安财险", "account_no": account_no(a.merchant_no)},
                       (Credentials(1, a.hub),))
            for a in accounts
        ]  # fmt: skip
        self.config = Iso20022Config.of(channel_id="bank", settings={"base_url": base_url}, accounts=rows)
        self.transport = Wire(base_url, self.struck)
        self.channel = self.client(self.config, self.transport)
        self.bills = Iso20022Bills(self.config)

    @staticmethod
    def client(config: Iso20022Config, transport: HttpTransport) -> Iso20022Channel:
        carrier = HttpCarrier(config.base_url, transport, clock_ms=now_ms)
        return Iso20022Channel(config, carrier, clock_ms=now_ms)

    async def ask(self, operation: str, *requests: Any) -> list[Answer]:
        return [answer async for batch in getattr(self.channel, operation)(requests) for answer in batch]

    def struck(self) -> int:
        return self.world.channel("bank").faults.hit_count

    async def fault(self, kind: str, share: float = 1.0) -> None:
        self.transport.fault = "SILENT" if share and kind.startswith("TIMEOUT") else ""
        await self.world.inject({"channel_id": "bank", "kind": kind, "share": share})

    async def paid_minor(self, kind: str = "PAYOUT") -> list[int]:
        return [int(str(e["amount_minor"])) for e in await self.world.truth("bank", 0, 1000) if e["kind"] == kind]

    async def statement(self, kind: BillKind = BillKind.FUND, *, date: str = "") -> Any:
        wanted = BillRequest(OURS, kind, date or self.today())
        (bill,) = [bill async for batch in self.channel.download_bill([wanted]) for bill in batch]
        return bill

    def today(self) -> str:
        shanghai = datetime.timezone(datetime.timedelta(hours=8))
        return datetime.datetime.fromtimestamp(self.world.now_ms() / 1000, shanghai).date().isoformat()


@pytest_asyncio.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Bank]:
    wanted = [Wanted("iso20022", "bank", number) for number in (OURS, OTHER)]
    accounts = open_accounts(tmp_path, wanted, {"iso20022": keys_of})
    wires = Wires(accounts)
    profile = Profile("bank", amount_triggers=False, payout_delay_ms=2_000, fee_bps=10)
    world = World(tmp_path, seed=7, channels=[profile], merchants={OURS: "", OTHER: ""}, voices=wires.voices)
    await world.start()
    bound = bind("127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    await wires.start(world, bound, base_url=base_url)
    opened = Bank(world, accounts, f"{base_url}/iso20022")
    try:
        yield opened
    finally:
        await opened.channel.aclose()
        await wires.stop()
        await world.aclose()


async def test_a_payout_is_taken_then_proved_by_a_question_with_its_amount(bank: Bank) -> None:
    (taken,) = await bank.ask("payout", payout())
    assert taken.outcome is Outcome.ACCEPTED
    await bank.world.advance(60)
    (told,) = await bank.ask("query_payout", PayoutLookup("P1", OURS))
    assert (told.outcome, told.amount_minor, told.currency_code, told.merchant_no) == (Outcome.DONE, AMOUNT_MINOR, "CNY", OURS)
    assert told.channel_txn_no and told.success_time_ms


async def test_a_file_of_many_has_an_answer_for_each(bank: Bank) -> None:
    requests = [payout(f"P{i}", payee=Payee(PayeeKind.BANK_CARD, "payee_account_closed" if i % 5 == 0 else "6222", "张三")) for i in range(200)]
    assert {a.outcome for a in await bank.ask("payout", *requests)} == {Outcome.ACCEPTED}
    await bank.world.advance(60)
    answers = await bank.ask("query_payout", *(PayoutLookup(f"P{i}", OURS) for i in range(200)))
    assert len(answers) == 200
    assert sum(a.outcome is Outcome.DONE for a in answers) == 160
    assert {(a.outcome, a.fault, a.reason) for a in answers if a.outcome is not Outcome.DONE} == {(Outcome.REJECTED, Fault.PAYER, "AC04")}
    assert await bank.paid_minor() == [AMOUNT_MINOR] * 160


async def test_the_same_number_pays_once_alone_or_in_another_file(bank: Bank) -> None:
    await bank.ask("payout", payout("P1"))
    (again,) = await bank.ask("payout", payout("P1"))
    assert (again.outcome, again.reason) == (Outcome.MAYBE, "AM05"), "the bank has seen this very file"
    answers = await bank.ask("payout", payout("P1"), payout("P2"))
    assert [a.outcome for a in answers] == [Outcome.ACCEPTED, Outcome.ACCEPTED]
    (changed,) = await bank.ask("payout", payout("P1", amount_minor=1))
    assert changed.outcome is Outcome.MAYBE
    await bank.world.advance(60)
    assert await bank.paid_minor() == [AMOUNT_MINOR] * 2


@pytest.mark.parametrize(("fault", "paid"), [("TIMEOUT_TAKEN", 1), ("TIMEOUT_NOT_TAKEN", 0), ("CONNECTION_RESET", 1)])
async def test_silence_may_have_paid_and_a_question_tells(bank: Bank, fault: str, paid: int) -> None:
    await bank.fault(fault)
    (silent,) = await bank.ask("debit", debit())
    assert silent.outcome is Outcome.MAYBE
    await bank.fault(fault, 0)
    (told,) = await bank.ask("query", Lookup("D1", OURS))
    assert told.outcome is (Outcome.DONE if paid else Outcome.NOT_FOUND)
    assert await bank.paid_minor("CHARGE") == [50_000] * paid


async def test_a_bank_that_is_not_there_proves_that_nothing_was_sent(bank: Bank) -> None:
    nowhere = bank.client(Iso20022Config("bank", bank.config.carrier, "http://127.0.0.1:9", "", "", bank.config.accounts), HttpTransport(WIRE_LIMITS))
    answers = [a async for batch in nowhere.payout([payout(), payout("P2")]) for a in batch]
    assert {(a.outcome, a.fault) for a in answers} == {(Outcome.NOT_SENT, Fault.CHANNEL)}
    await nowhere.aclose()


async def test_an_answer_that_the_bank_did_not_sign_proves_nothing(bank: Bank) -> None:
    await bank.fault("ANSWER_BAD_SIGNATURE")
    for operation, request in (("payout", payout()), ("query_payout", PayoutLookup("P1", OURS))):
        (answer,) = await bank.ask(operation, request)
        assert (answer.outcome, answer.reason) == (Outcome.MAYBE, "SIGNATURE_INVALID")


async def test_an_unknown_status_proves_nothing(bank: Bank) -> None:
    await bank.fault("ANSWER_UNKNOWN_WORD")
    (answer,) = await bank.ask("payout", payout())
    assert (answer.outcome, answer.reason) == (Outcome.MAYBE, "UNKNOWN_WORD")


async def test_a_question_to_a_troubled_bank_says_nothing_about_the_money(bank: Bank) -> None:
    await bank.ask("payout", payout())
    for fault in ("SERVER_ERROR", "RATE_LIMIT", "MAINTENANCE"):
        await bank.fault(fault)
        (answer,) = await bank.ask("query_payout", PayoutLookup("P1", OURS))
        assert answer.outcome is Outcome.MAYBE
        await bank.fault(fault, 0)


async def test_one_customer_cannot_ask_about_anothers_money(bank: Bank) -> None:
    await bank.ask("payout", payout())
    (answer,) = await bank.ask("query_payout", PayoutLookup("P1", OTHER))
    assert answer.outcome is Outcome.NOT_FOUND
    (answer,) = await bank.ask("payout", payout(merchant_no=STRANGER))
    assert (answer.outcome, answer.reason) == (Outcome.NOT_SENT, "SECRET_MISSING")


async def test_a_payer_without_funds_is_no_fault_of_the_bank(bank: Bank) -> None:
    await bank.fault("DECLINE_NO_FUNDS")
    (answer,) = await bank.ask("debit", debit())
    assert (answer.outcome, answer.fault, answer.reason) == (Outcome.REJECTED, Fault.PAYER, "AM04")


# --- what the bank refuses of strangers -------------------------------------------------------------------------------


async def post(bank: Bank, content: bytes, **changes: str) -> httpx.Response:
    """Send a file as anybody could; signed by the first customer unless `changes` says otherwise."""
    account = bank.config.accounts[OURS]
    assert account.private_key is not None
    now_text = changes.get("time", str(now_ms() // 1000))
    signature = signing.sign(account.private_key, signing.over_http("/iso20022/files/x", now_text, content))
    headers = {"bank-customer": changes.get("customer", OURS), "bank-time": now_text, "bank-signature": changes.get("signature", signature)}
    async with httpx.AsyncClient() as client:
        return await client.post(f"{bank.base_url}/files/x", content=content, headers=headers)


@pytest.mark.parametrize("changes", [{"signature": "AAAA"}, {"signature": ""}, {"customer": OTHER}, {"customer": STRANGER},
                                     {"time": "1000000000"}, {"time": "soon"}])  # fmt: skip
async def test_the_bank_answers_nobody_whom_it_does_not_know(bank: Bank, changes: dict[str, str]) -> None:
    content = messages.credit_transfer(bank.config.accounts[OURS], [payout()], version="pain.001.001.09", clearing_system="CNAPS", now_ms=now_ms())
    assert (await post(bank, content, **changes)).status_code == 401
    assert await bank.paid_minor() == []


@pytest.mark.parametrize(("spoil", "code"), [
    (lambda c: c.replace(b"<NbOfTxs>1<", b"<NbOfTxs>2<"), "AM18"), (lambda c: c.replace(b"<CtrlSum>6800.00<", b"<CtrlSum>6800.01<"), "AM10"),
    (lambda c: c.replace(b'Ccy="CNY"', b'Ccy="QQQ"'), "AM03"), (lambda c: c.replace(b">6800.00</InstdAmt>", b">6800.001</InstdAmt>"), "AM12"),
    (lambda _: b"<xml/>", "FF01"), (lambda _: b"\xff", "FF01"), (lambda c: c.replace(account_no(OURS).encode(), account_no(OTHER).encode()), "AC02"),
])  # fmt: skip
async def test_a_file_that_does_not_hold_together_is_refused_whole(bank: Bank, spoil: Any, code: str) -> None:
    content = messages.credit_transfer(bank.config.accounts[OURS], [payout()], version="pain.001.001.09", clearing_system="CNAPS", now_ms=now_ms())
    answer = await post(bank, spoil(content))
    etree.XMLSchema(etree.parse(SCHEMAS / "pain.002.001.12.xsd")).assertValid(etree.fromstring(answer.content))
    (status,) = messages.statuses(answer.content)
    assert (status.code, status.reason) == ("RJCT", code)
    await bank.world.advance(60)
    assert await bank.paid_minor() == []


# --- statements -------------------------------------------------------------------------------------------------------


async def a_day(bank: Bank) -> str:
    """Pay out twice, collect once, and let one payout come back; return the day before which all is stated."""
    await bank.fault("PAYOUT_RETURNED", 0)
    date = bank.today()
    await bank.ask("payout", payout("P1"), payout("P2", amount_minor=12_345))
    await bank.ask("debit", debit())
    await bank.world.advance(60)
    await bank.world.advance(86_400)
    return date


async def test_a_days_statement_holds_against_the_schema_and_agrees_to_the_fen(bank: Bank) -> None:
    assert (await bank.statement()).outcome is Outcome.NOT_FOUND, "the day is not over"
    date = await a_day(bank)
    bill = await bank.statement(date=date)
    assert bill.outcome is Outcome.DONE
    etree.XMLSchema(etree.parse(SCHEMAS / "camt.053.001.08.xsd")).assertValid(etree.fromstring(bill.content))
    lines = sorted((line.kind, line.number, line.amount_minor) for line in bank.bills.read(bill.content, merchant_no=OURS, kind=BillKind.FUND, date=date))
    assert lines == [(LineKind.CHARGE, "D1", 50_000), (LineKind.FEE, "", 50), (LineKind.PAYOUT, "P1", 680_000), (LineKind.PAYOUT, "P2", 12_345)]
    notice = await bank.statement(BillKind.TRADE, date=date)
    etree.XMLSchema(etree.parse(SCHEMAS / "camt.054.001.08.xsd")).assertValid(etree.fromstring(notice.content))
    assert len(list(bank.bills.read(notice.content, merchant_no=OURS, kind=BillKind.TRADE, date=date))) == 4


async def test_a_payout_that_comes_back_days_later_is_a_line_of_its_own(bank: Bank) -> None:
    await bank.fault("PAYOUT_RETURNED")
    await bank.ask("payout", payout())
    await bank.world.advance(60)
    await bank.world.advance(3 * 86_400)
    returned = []
    for days in range(4):
        at = datetime.date.fromisoformat(bank.today()) - datetime.timedelta(days=days)
        bill = await bank.statement(date=at.isoformat())
        if bill.outcome is Outcome.DONE:
            returned += [line for line in bank.bills.read(bill.content, merchant_no=OURS, kind=BillKind.FUND, date=at.isoformat())
                         if line.kind is LineKind.RETURN]  # fmt: skip
    assert [(line.number, line.amount_minor) for line in returned] == [("P1", AMOUNT_MINOR)]


@pytest.mark.parametrize(("fault", "reason"), [
    ("BILL_TRUNCATED", "MALFORMED"), ("BILL_TOTALS_DIFFER", "TOTALS_DIFFER"), ("BILL_OTHER_MERCHANT", "FOREIGN_MERCHANT"),
])  # fmt: skip
async def test_a_damaged_statement_is_not_read(bank: Bank, fault: str, reason: str) -> None:
    date = await a_day(bank)
    await bank.fault(fault)
    bill = await bank.statement(date=date)
    with pytest.raises(BillDamaged) as caught:
        list(bank.bills.read(bill.content, merchant_no=OURS, kind=BillKind.FUND, date=date))
    assert caught.value.reason == reason


async def test_who_stops_listening_is_left_alone(bank: Bank) -> None:
    await bank.fault("TIMEOUT_TAKEN")
    with pytest.raises(TimeoutError):
        async with silence(bank.struck, after_s=0.05):  # sooner than any patience ends
            await anext(aiter(bank.channel.debit([debit()])))
    await bank.fault("TIMEOUT_TAKEN", 0)
    assert (await bank.ask("query", Lookup("D1", OURS)))[0].outcome is Outcome.DONE
