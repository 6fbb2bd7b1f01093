"""What Alipay can do beyond the contract suite, over HTTP against its simulated gateway, in both modes of keys."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from channels.alipay.bills import AlipayBills
from channels.alipay.client import AlipayChannel
from channels.alipay.config import AlipayConfig
from channels.http import HttpTransport
from channels.port import (
    Answer,
    Bill,
    BillDamaged,
    BillKind,
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
    Person,
    RefundLookup,
    RefundRequest,
    Share,
    SignRequest,
    SplitLookup,
    SplitRequest,
    VerifyRequest,
)
from domain.credentials import Credentials
from domain.evidence import Fault, Outcome
from simulator.wire.alipay.messages import time_text
from tests.unit.wire_kit import AlipayClient, served

MODES = {
    "keys": ("app_id", "app_private_key", "alipay_public_key"),
    "certificates": ("app_id", "app_private_key", "app_cert", "alipay_cert", "alipay_root_cert"),
}
USER = Payee(PayeeKind.USER, "2088123456789012", "")


class Desk:
    """A channel against the served gateway, and a hand on the sandbox's controls."""

    def __init__(self, kit: AlipayClient, mode: str) -> None:
        self.kit = kit
        self.merchant_no = kit.merchant_no
        values = {name: kit.values[name] for name in MODES[mode]}

        class Given:
            merchant_no = kit.merchant_no
            credentials = (Credentials(1, values),)

        settings = {"base_url": f"{kit.base_url}/gateway.do"}
        config = AlipayConfig.of(channel_id="alipay", settings=settings, accounts=[Given()])
        self.channel = AlipayChannel(config, HttpTransport())

    async def one(self, operation: str, request: Any) -> Answer:
        answers = [a async for some in getattr(self.channel, operation)([request]) for a in some]
        assert len(answers) == 1
        return answers[0]

    async def bill(self, kind: BillKind, date: str) -> Bill:
        request = BillRequest(self.merchant_no, kind, date)
        (bill,) = [bill async for some in self.channel.download_bill([request]) for bill in some]
        return bill

    async def later(self, seconds: float = 60) -> None:
        await self.kit.control("advance", seconds)

    async def inject(self, kind: str, share: float = 1.0) -> None:
        await self.kit.control("inject", {"channel_id": "alipay", "kind": kind, "share": share})

    async def today(self) -> str:
        now_ms = (await self.kit.control("describe"))["now_ms"]
        return time_text(now_ms)[:10]

    def charge(self, number: str, terminal: str = "", **changes: Any) -> Charge:
        usual = Charge(
            number, self.merchant_no, 10_000, "CNY", f"order-{number}", "车险/保费", "", 4_000_000_000_000, ""
        )
        return usual._replace(terminal=terminal, **changes)

    async def paid(self, number: str) -> Answer:
        await self.one("charge", self.charge(number))
        await self.later()
        answer = await self.one("query", Lookup(number, self.merchant_no))
        assert answer.outcome is Outcome.DONE
        return answer


@asynccontextmanager
async def desk(directory: Path, mode: str = "keys") -> AsyncIterator[Desk]:
    async with served(directory) as (wires, http):
        made = Desk(AlipayClient(wires, http), mode)
        try:
            yield made
        finally:
            await made.channel.aclose()


@pytest.mark.parametrize("mode", MODES)
async def test_a_payment_on_a_page_and_its_refund(tmp_path: Path, mode: str) -> None:
    async with desk(tmp_path, mode) as hub:
        charge = hub.charge("n1", "PC", return_url="http://127.0.0.1:9/back?a=b")
        answer = await hub.one("charge", charge)
        assert (answer.outcome, answer.action_kind) == (Outcome.ACCEPTED, "REDIRECT")
        question = Lookup("n1", hub.merchant_no)
        assert (await hub.one("query", question)).outcome is Outcome.NOT_FOUND, "the payer has not come"
        page = await hub.kit.http.get(answer.action_value)
        assert "100.00" in page.text
        assert (await hub.one("query", question)).outcome is Outcome.ACCEPTED
        action = page.text.partition('action="')[2].partition('"')[0]
        back = await hub.kit.http.post(action, data={"act": "pay"})
        returned = parse_qs(urlsplit(back.headers["location"]).query)
        assert (back.status_code, returned["out_trade_no"], returned["a"]) == (302, ["n1"], ["b"])
        said = await hub.one("query", question)
        assert (said.outcome, said.amount_minor) == (Outcome.DONE, 10_000)
        assert (await hub.one("close", question)).outcome is Outcome.DONE
        refund = RefundRequest("r1", "n1", hub.merchant_no, 10_000, "CNY")
        assert (await hub.one("refund", refund)).outcome is Outcome.ACCEPTED
        await hub.later()
        assert (await hub.one("query_refund", RefundLookup("r1", "n1", hub.merchant_no))).outcome is Outcome.DONE
        assert (await hub.one("query", question)).outcome is Outcome.DONE, "closed by its refund, and paid all the same"


async def test_where_the_payer_is_chooses_what_he_is_shown(tmp_path: Path) -> None:
    async with desk(tmp_path) as hub:
        shown = {}
        for place, terminal in enumerate(("PC", "H5", "APP", "API", "")):
            answer = await hub.one("charge", hub.charge(f"n{place}", terminal))
            value = answer.action_value if answer.action_kind == "APP" else urlsplit(answer.action_value).query
            shown[terminal] = (answer.action_kind, parse_qs(value).get("method", [""])[0])
        assert shown == {
            "PC": ("REDIRECT", "alipay.trade.page.pay"), "H5": ("REDIRECT", "alipay.trade.wap.pay"),
            "APP": ("APP", "alipay.trade.app.pay"), "API": ("QR_CODE", ""), "": ("QR_CODE", ""),
        }  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
async def test_a_mandate_and_debits_under_it(tmp_path: Path, mode: str) -> None:
    async with desk(tmp_path, mode) as hub:
        sign = SignRequest("s1", hub.merchant_no, "payer@example.com", "李明", "车险", "", limit_minor=20_000)
        answer = await hub.one("sign", sign)
        assert (answer.outcome, answer.action_kind) == (Outcome.ACCEPTED, "REDIRECT")
        lookup = MandateLookup("s1", hub.merchant_no)
        assert (await hub.one("query_mandate", lookup)).outcome is Outcome.NOT_FOUND
        await hub.kit.http.get(answer.action_value)
        assert (await hub.one("query_mandate", lookup)).outcome is Outcome.ACCEPTED
        await hub.later()
        signed = await hub.one("query_mandate", lookup)
        assert signed.outcome is Outcome.DONE and signed.channel_txn_no
        debit = DebitRequest("d1", hub.merchant_no, 10_000, "CNY", "o1", "车险", signed.channel_txn_no, "")
        for _ in range(2):
            said = await hub.one("debit", debit)
            assert (said.outcome, said.amount_minor) == (Outcome.DONE, 10_000)
        over = await hub.one("debit", debit._replace(attempt_no="d2", amount_minor=20_001))
        assert (over.outcome, over.reason) == (Outcome.REJECTED, "BEYOND_PAY_RESTRICTION")
        await hub.inject("DECLINE_NO_FUNDS")
        said = await hub.one("debit", debit._replace(attempt_no="d3"))
        assert (said.outcome, said.fault, said.reason) == (Outcome.REJECTED, Fault.PAYER, "BUYER_BALANCE_NOT_ENOUGH")
        assert (await hub.one("unsign", lookup)).outcome is Outcome.CLOSED
        assert (await hub.one("query_mandate", lookup)).outcome is Outcome.CLOSED
        assert (await hub.one("debit", debit._replace(attempt_no="d4"))).outcome is Outcome.REJECTED
        assert len(await hub.kit.control("truth", "alipay", 0, 100)) == 1


async def test_payouts_to_accounts_and_cards_also_those_that_come_back(tmp_path: Path) -> None:
    async with desk(tmp_path, "certificates") as hub:
        usual = PayoutRequest("p1", hub.merchant_no, 50_000, "CNY", Payee(PayeeKind.LOGON, "a@b.cn", "李明"), "理赔")
        card = usual._replace(payout_no="p2", payee=Payee(PayeeKind.BANK_CARD, "6222020200000000006", "李明"))
        wrong = usual._replace(payout_no="p3", payee=Payee(PayeeKind.LOGON, "payee_unknown", "李明"))
        for request in (usual, card, wrong):
            assert (await hub.one("payout", request)).outcome is Outcome.ACCEPTED
        await hub.inject("PAYOUT_RETURNED")
        await hub.later()
        answers = [await hub.one("query_payout", PayoutLookup(f"p{n}", hub.merchant_no)) for n in (1, 2, 3, 4)]
        assert [a.outcome for a in answers] == [Outcome.DONE, Outcome.DONE, Outcome.REJECTED, Outcome.NOT_FOUND]
        assert (answers[0].amount_minor, answers[2].reason) == (50_000, "PAYEE_NOT_EXIST")
        changed = await hub.one("payout", usual._replace(amount_minor=1))
        assert (changed.outcome, changed.reason) == (Outcome.MAYBE, "PAYMENT_INFO_INCONSISTENCY")
        await hub.later(3 * 86_400)
        back = await hub.one("query_payout", PayoutLookup("p1", hub.merchant_no))
        assert (back.outcome, back.reason) == (Outcome.REJECTED, "RETURNED")


async def test_a_split_of_what_was_paid(tmp_path: Path) -> None:
    async with desk(tmp_path) as hub:
        paid = await hub.paid("n1")
        split = SplitRequest("x1", "n1", paid.channel_txn_no, hub.merchant_no, "CNY", (Share(USER, 3_000, "佣金"),))
        lookup = SplitLookup("x1", "n1", paid.channel_txn_no, hub.merchant_no)
        assert (await hub.one("query_split", lookup)).outcome is Outcome.NOT_FOUND
        assert (await hub.one("split", split)).outcome is Outcome.ACCEPTED
        await hub.later()
        said = await hub.one("query_split", lookup)
        assert (said.outcome, said.amount_minor) == (Outcome.DONE, 3_000)
        more = split._replace(split_no="x2", shares=(Share(USER, 7_001, "多"),))
        assert (await hub.one("split", more)).outcome is Outcome.REJECTED


async def test_whether_a_person_is_who_he_says(tmp_path: Path) -> None:
    async with desk(tmp_path) as hub:
        outcomes = []
        for number, name in (("v1", "李明"), ("v2", "张不符")):
            request = VerifyRequest(number, hub.merchant_no, Person(name, "11010519491231002X"))
            outcomes.append((await hub.one("verify", request)).outcome)
        assert outcomes == [Outcome.DONE, Outcome.REJECTED]


def read(bill: Bill, kind: BillKind, date: str, merchant_no: str) -> Sequence[Any]:
    return list(AlipayBills().read(bill.content, merchant_no=merchant_no, kind=kind, date=date))


async def test_a_days_statements_and_what_is_wrong_with_some(tmp_path: Path) -> None:
    async with desk(tmp_path) as hub:
        date = await hub.today()
        await hub.kit.control("configure", {"channel_id": "alipay", "fee_bps": 60})
        for number in ("n1", "n2"):
            await hub.one("charge", hub.charge(number))
            await hub.later(1)
        await hub.kit.control("advance", 30)
        await hub.one("refund", RefundRequest("r1", "n1", hub.merchant_no, 2_500, "CNY"))
        await hub.later(10)
        assert (await hub.bill(BillKind.TRADE, date)).outcome is Outcome.NOT_FOUND, "the day is not over"
        await hub.later(86_400)
        bill = await hub.bill(BillKind.TRADE, date)
        lines = read(bill, BillKind.TRADE, date, hub.merchant_no)
        told = [(line.kind, line.number, line.refund_no, line.amount_minor, line.fee_minor) for line in lines]
        assert sorted(told) == [
            (LineKind.CHARGE, "n1", "", 10_000, 60), (LineKind.CHARGE, "n2", "", 10_000, 60),
            (LineKind.REFUND, "n1", "r1", 2_500, 0),
        ]  # fmt: skip
        funds = read(await hub.bill(BillKind.FUND, date), BillKind.FUND, date, hub.merchant_no)
        assert sorted(line.kind for line in funds) == ["CHARGE", "CHARGE", "FEE", "FEE", "REFUND"]
        damages = {
            "BILL_TRUNCATED": "TRUNCATED",
            "BILL_TOTALS_DIFFER": "TOTALS_DIFFER",
            "BILL_OTHER_MERCHANT": "OTHER_MERCHANT",
        }
        for kind, reason in damages.items():
            await hub.inject(kind)
            with pytest.raises(BillDamaged, match=reason):
                read(await hub.bill(BillKind.TRADE, date), BillKind.TRADE, date, hub.merchant_no)
            await hub.inject(kind, 0)
        for content, day in ((b"no zip", date), (bill.content[:-40], date), (bill.content, "2026-01-01")):
            with pytest.raises(BillDamaged):
                read(bill._replace(content=content), BillKind.TRADE, day, hub.merchant_no)


@pytest.mark.parametrize(
    ("params", "sub_code"),
    [({"method": "alipay.nothing"}, "isv.invalid-method"), ({"timestamp": "now"}, "isv.invalid-timestamp"),
     ({"sign_type": "RSA"}, "isv.invalid-signature-type"), ({"app_id": "1"}, "isv.invalid-app-id"),
     ({"version": "2.0"}, "isv.invalid-version"), ({"app_cert_sn": "0"}, "isv.invalid-signature")],
)  # fmt: skip
async def test_the_gateway_is_as_strict_as_the_manual(tmp_path: Path, params: dict[str, str], sub_code: str) -> None:
    async with served(tmp_path) as (wires, http):
        kit = AlipayClient(wires, http)
        url, form = kit.signed("alipay.trade.query", params, out_trade_no="n1")
        assert f'"sub_code":"{sub_code}"' in (await http.post(url, data=form)).text
        # Wherever a client puts them, parameters are merged: all in the query here.
        url, form = kit.signed("alipay.trade.query", params, out_trade_no="n1")
        assert f'"sub_code":"{sub_code}"' in (await http.get(f"{url}?{httpx.QueryParams(form)}")).text
