"""What each real channel makes of each fault of its own wire, as tables.

A row is what our side says while the fault is on, and, where money may have moved, what a question tells when it is off
again. A fault that is new in the sandbox has to be given a row, or a reason why it has none.
"""

import asyncio
import datetime
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from channels.port import (
    Answer,
    BillDamaged,
    BillKind,
    BillRequest,
    Lookup,
    Notice,
    PayoutLookup,
    PayoutRequest,
    RefundLookup,
    RefundRequest,
)
from channels.registry import make_callback_reader, make_channel
from domain.evidence import Outcome
from domain.identifiers import CHINA
from simulator.faults import Kind
from tests.contract.benches import number
from tests.contract.rigs import AMOUNT_MINOR, MERCHANTS, PAYEES, Rig, account_of, read, rigged, wire_accounts

KINDS = sorted(MERCHANTS)
CALLING = [kind for kind in KINDS if kind != "iso20022"]
DAY_S = 86_400

# A question about a payment that was paid.
SIGNATURE = dict.fromkeys(KINDS, "MAYBE SIGNATURE_INVALID")
MONEY = f"{AMOUNT_MINOR}"
QUESTIONS = {
    "ANSWER_BAD_SIGNATURE": SIGNATURE,
    "ANSWER_NO_SIGNATURE": SIGNATURE,
    "ANSWER_PROBE_SIGNATURE": SIGNATURE,
    # UnionPay signs no time, but its certificate may have ended. Alipay signs neither: there it is a wrong signature.
    "ANSWER_STALE": SIGNATURE | {"wechatpay": "MAYBE STALE_TIMESTAMP"},
    "ANSWER_OTHER_CERTIFICATE": SIGNATURE,
    # WeChat Pay offers what follows for download, and UnionPay's certificate comes with each message. Alipay and banks
    # announce theirs to people: see `test_a_key_that_was_announced`.
    "ANSWER_NEW_CERTIFICATE": SIGNATURE | dict.fromkeys(("unionpay", "wechatpay"), f"DONE {MONEY}"),
    # The core compares, and keeps it apart.
    "ANSWER_OTHER_AMOUNT": dict.fromkeys(KINDS, f"DONE {AMOUNT_MINOR + 1}"),
    "ANSWER_UNKNOWN_WORD": dict.fromkeys(KINDS, "MAYBE UNKNOWN_WORD"),
    "SERVER_ERROR": {
        "alipay": "MAYBE aop.ACQ.SYSTEM_ERROR", "iso20022": "MAYBE HTTP_500", "unionpay": "MAYBE BUSY",
        "wechatpay": "MAYBE SYSTEM_ERROR",
    },
    "RATE_LIMIT": {
        "alipay": "MAYBE isv.app-call-limited", "iso20022": "MAYBE HTTP_429", "unionpay": "MAYBE TOO_MANY",
        "wechatpay": "MAYBE FREQUENCY_LIMITED",
    },
    "MAINTENANCE": {
        "alipay": "MAYBE isp.unknow-error", "iso20022": "MAYBE HTTP_503", "unionpay": "MAYBE NOT_OPEN",
        "wechatpay": "MAYBE SYSTEM_ERROR",
    },
    "CONNECTION_REFUSED": dict.fromkeys(KINDS, "MAYBE CONNECTION_LOST"),
    "BLACK_HOLE": dict.fromkeys(KINDS, "MAYBE TIMEOUT"),
    "SLOW_DRIP": dict.fromkeys(KINDS, "MAYBE TIMEOUT"),
}  # fmt: skip

# A request for money, and what a question tells later: "" that it is not known there.
LOST = dict.fromkeys(KINDS, ("MAYBE CONNECTION_LOST", f"DONE {MONEY}"))
TAKEN = {
    "CONNECTION_RESET": LOST,
    "CONNECTION_REFUSED": dict.fromkeys(KINDS, ("MAYBE CONNECTION_LOST", "NOT_FOUND")),
    "TIMEOUT_TAKEN": dict.fromkeys(KINDS, ("MAYBE TIMEOUT", f"DONE {MONEY}")),
    "TIMEOUT_NOT_TAKEN": dict.fromkeys(KINDS, ("MAYBE TIMEOUT", "NOT_FOUND")),
    "RATE_LIMIT": {kind: (said, "NOT_FOUND") for kind, said in QUESTIONS["RATE_LIMIT"].items()},
    "ANSWER_BAD_SIGNATURE": dict.fromkeys(KINDS, ("MAYBE SIGNATURE_INVALID", f"DONE {MONEY}")),
    # Some hear of it at once, and where payers pay for themselves they may try again.
    "DECLINE_NO_FUNDS": {
        "alipay": ("ACCEPTED", "ACCEPTED"), "iso20022": ("REJECTED AM04", "REJECTED AM04"),
        "unionpay": ("REJECTED NO_FUNDS", "REJECTED NO_FUNDS"), "wechatpay": ("ACCEPTED", "REJECTED PAYERROR"),
    },
}  # fmt: skip

# All callbacks about a payment of 10,000 fen. The hook acknowledges what is believed.
TOLD = (f"DONE {MONEY}",)
REFUSED = ("SIGNATURE_INVALID", *TOLD)
CALLBACKS: dict[str, Any] = {
    "CALLBACK_LOST": (),
    "CALLBACK_DUPLICATE": TOLD * 3,
    "CALLBACK_EARLY": TOLD,
    "CALLBACK_LATE": TOLD,
    "CALLBACK_REORDERED": TOLD,
    "FORGED_SIGNATURE": REFUSED,
    # A true key, and another sum or merchant: the core compares.
    "FORGED_AMOUNT": ("DONE 1", *TOLD),
    "FORGED_MERCHANT": (f"DONE {MONEY} of another", *TOLD),
    "CALLBACK_NO_SIGNATURE": REFUSED,
    "CALLBACK_PROBE_SIGNATURE": REFUSED,
    "CALLBACK_STALE": {"wechatpay": ("STALE_TIMESTAMP", *TOLD), "alipay": REFUSED, "unionpay": REFUSED},
    "CALLBACK_OTHER_CERTIFICATE": REFUSED,
}

DAMAGES = {
    "BILL_MISSING": dict.fromkeys(KINDS, "NOT_FOUND"),
    "BILL_TRUNCATED": dict.fromkeys(KINDS, "TRUNCATED") | {"iso20022": "MALFORMED"},
    "BILL_TOTALS_DIFFER": dict.fromkeys(KINDS, "TOTALS_DIFFER"),
    "BILL_OTHER_MERCHANT": dict.fromkeys(KINDS, "OTHER_MERCHANT") | {"iso20022": "FOREIGN_MERCHANT"},
    # Every line is sound: whoever compares lines with payments finds the second.
    "BILL_LINES_TWICE": dict.fromkeys(KINDS, "3 lines"),
}

# Payouts: at once, within a minute, and after five days.
GOES = ("ACCEPTED", "DONE 500", "DONE 500")
STUCK = ("ACCEPTED", "ACCEPTED", "ACCEPTED")
PAYOUTS = {
    "": dict.fromkeys(KINDS, GOES),
    "PAYOUT_FAILS": {
        "alipay": ("ACCEPTED", *["REJECTED PAYEE_ACC_OCUPIED"] * 2), "iso20022": ("ACCEPTED", *["REJECTED AC04"] * 2),
        "unionpay": ("ACCEPTED", *["REJECTED CARD_INVALID"] * 2), "wechatpay": ("ACCEPTED", *["REJECTED ACCOUNT_FROZEN"] * 2),
    },
    "PAYOUT_STUCK": dict.fromkeys(KINDS, STUCK),
    # UnionPay's and the bank's status stays: that money came back is told by their statements.
    "PAYOUT_RETURNED": dict.fromkeys(KINDS, GOES) | {
        "alipay": (*GOES[:2], "REJECTED RETURNED"), "wechatpay": (*GOES[:2], "REJECTED ACCOUNT_FROZEN")},
}  # fmt: skip

ELSEWHERE = {
    "BROWN_OUT": "slow and failing answers, of which both parts are here",
    "SPLIT_FAILS": "tests/unit/test_alipay_channel.py, tests/unit/test_wechatpay_wire.py",
    "PERSON_DIFFERS": "tests/unit/test_alipay_channel.py, tests/unit/test_unionpay_wire.py",
    "CALLBACK_NEW_CERTIFICATE": "tests/integration/test_ingress.py, and below",
    "ANSWER_NEW_CERTIFICATE": "with a key that was announced, below",
}


@pytest_asyncio.fixture
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigged(request.param, tmp_path) as made:
        yield made


def on(kinds: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("rig", kinds, indirect=True)


def said(answer: Answer) -> str:
    """Say an answer in short: what is definite with its amount, what is not with its reason."""
    if answer.outcome is Outcome.DONE:
        return f"DONE {answer.amount_minor}"
    is_told = answer.outcome in (Outcome.MAYBE, Outcome.REJECTED)
    return f"{answer.outcome} {answer.reason}" if is_told else str(answer.outcome)


def expected(table: dict[str, Any], kind: str) -> dict[str, Any]:
    return {fault: row[kind] if isinstance(row, dict) else row for fault, row in table.items()}


def test_every_fault_has_a_row_or_a_place_elsewhere() -> None:
    known = set().union(QUESTIONS, TAKEN, CALLBACKS, DAMAGES, PAYOUTS, ELSEWHERE) - {""}
    known |= {"SUCCESS_FLIPS", "LATE_SUCCESS_AFTER_CLOSE", "REFUND_PHANTOM", "BILL_LATE", "BILL_CORRECTED"}
    assert known == set(Kind)


@on(KINDS)
async def test_a_question_is_answered_by_what_proves_something_or_not_at_all(rig: Rig) -> None:
    await rig.charge("n0")
    await rig.world.advance(60)
    found = {}
    for fault in QUESTIONS:
        await rig.fault(fault)
        with capture_logs() as logs:
            found[fault] = said(await rig.query("n0", is_silent=fault in ("BLACK_HOLE", "SLOW_DRIP")))
        assert ("channel_spoke_unknown" in [entry["event"] for entry in logs]) == (fault == "ANSWER_UNKNOWN_WORD")
        await rig.fault(fault, 0)
    assert found == expected(QUESTIONS, rig.kind)
    assert said(await rig.query("n0")) == f"DONE {MONEY}"


@on(KINDS)
async def test_a_request_that_went_wrong_is_found_out_by_a_question(rig: Rig) -> None:
    found = {}
    for fault in TAKEN:
        await rig.fault(fault)
        first = said(await rig.charge(fault, is_silent=fault.startswith("TIMEOUT")))
        if fault != "DECLINE_NO_FUNDS":
            await rig.fault(fault, 0)
        await rig.world.advance(60)
        found[fault] = (first, said(await rig.query(fault)))
        await rig.fault(fault, 0)
    assert found == expected(TAKEN, rig.kind)
    charges = Counter(entry["attempt_no"] for entry in await rig.world.truth(rig.kind, 0, 100) if entry["kind"] == "CHARGE")
    assert charges == {number(fault): 1 for fault, row in expected(TAKEN, rig.kind).items() if row[1].startswith("DONE")}


@on(KINDS)
async def test_a_no_may_turn_into_a_yes(rig: Rig) -> None:
    await rig.fault("SUCCESS_FLIPS")
    await rig.charge("n0")
    await rig.world.advance(60)
    answers = [said(await rig.query("n0")).split()[0] for _ in range(3)]
    # Of a payer who may try again, Alipay says nothing but that it waits, which is no end.
    assert answers in (["REJECTED", "DONE", "DONE"], ["DONE"] * 3)


@on(CALLING)
async def test_callbacks_are_believed_when_they_are_sealed_and_kept_apart_by_their_ids(rig: Rig) -> None:
    found = {}
    for fault in CALLBACKS:
        rig.listen_anew()
        await rig.fault(fault)
        await rig.charge(fault)
        await rig.world.advance(600)
        await rig.fault(fault, 0)
        heard = await rig.hears(len(expected(CALLBACKS, rig.kind)[fault]))
        found[fault] = Counter(told(rig, item) for item in heard)
        notices = [item for item in heard if isinstance(item, Notice)]
        ids = {item.notify_id for item in notices}
        assert len(ids) == len({(item.evidence.amount_minor, item.evidence.merchant_no) for item in notices}), fault
    assert found == {fault: Counter(row) for fault, row in expected(CALLBACKS, rig.kind).items()}


def told(rig: Rig, item: Notice | str) -> str:
    if isinstance(item, str):
        return item
    stranger = "" if item.evidence.merchant_no == rig.merchant_no else " of another"
    return f"{item.evidence.outcome} {item.evidence.amount_minor}{stranger}"


@on(CALLING)
async def test_money_that_comes_after_a_close_and_refunds_that_never_do(rig: Rig) -> None:
    await rig.fault("LATE_SUCCESS_AFTER_CLOSE")
    await rig.charge("late")
    await rig.ask("close", Lookup(number("late"), rig.merchant_no))
    await rig.fault("LATE_SUCCESS_AFTER_CLOSE", 0)
    await rig.world.advance(120)
    paid = await rig.query("late")
    assert said(paid) == f"DONE {MONEY}"
    await rig.fault("REFUND_PHANTOM")
    wish = RefundRequest(number("r1"), number("late"), rig.merchant_no, 400, "CNY", AMOUNT_MINOR, paid.channel_txn_no, rig.hook.url)
    assert (await rig.ask("refund", wish)).outcome is Outcome.ACCEPTED
    await rig.world.advance(3 * DAY_S)
    answer = await rig.ask("query_refund", RefundLookup(number("r1"), number("late"), rig.merchant_no))
    assert answer.outcome in (Outcome.ACCEPTED, Outcome.NOT_FOUND)


@on(KINDS)
async def test_payouts_end_as_the_channel_says(rig: Rig) -> None:
    found = {}
    for fault in PAYOUTS:
        if fault:
            await rig.fault(fault)
        payout_no = number(f"p{fault}")
        scene = "1004" if rig.kind == "wechatpay" else ""
        wish = PayoutRequest(payout_no, rig.merchant_no, 500, "CNY", PAYEES[rig.kind], "赔款", scene, rig.hook.url)
        steps = [said(await rig.ask("payout", wish))]
        for wait_s in (60, 5 * DAY_S):
            await rig.world.advance(wait_s)
            steps.append(said(await rig.ask("query_payout", PayoutLookup(payout_no, rig.merchant_no))))
        if fault:
            await rig.fault(fault, 0)
        found[fault] = tuple(steps)
    assert found == expected(PAYOUTS, rig.kind)


@on(KINDS)
async def test_a_bill_is_whole_or_refused_and_the_later_one_is_right(rig: Rig) -> None:
    now = datetime.datetime.fromtimestamp(rig.world.now_ms() / 1000, CHINA)
    await rig.world.advance((34 - now.hour) * 3_600)  # tomorrow at ten, when no channel's day is near its end
    for name in ("b1", "b2"):
        await rig.charge(name)
    await rig.world.advance(60)
    day = (now + datetime.timedelta(days=1)).date().isoformat()
    await rig.world.advance(2 * DAY_S)
    for fault in ("BILL_LATE", "BILL_CORRECTED"):
        await rig.fault(fault)
    steps = [await bill(rig, day) for _ in range(4)]
    # All but WeChat Pay use one word for a statement that is late and one that will never be: it is asked for again.
    late = "MAYBE" if rig.kind == "wechatpay" else "NOT_FOUND"
    assert steps == [late, late, "1 lines", "2 lines"]
    found = {}
    for fault in DAMAGES:
        await rig.fault(fault)
        found[fault] = await bill(rig, day)
        await rig.fault(fault, 0)
    assert found == expected(DAMAGES, rig.kind)
    assert await bill(rig, day) == "2 lines"


async def bill(rig: Rig, day: str) -> str:
    """Download a statement, and say what it holds or why there is none."""
    kind = BillKind.FUND if rig.kind == "iso20022" else BillKind.TRADE
    got = await rig.ask("download_bill", BillRequest(rig.merchant_no, kind, day))
    if got.outcome is not Outcome.DONE:
        return str(got.outcome)
    assert rig.bills is not None
    try:
        return f"{len(list(rig.bills.read(got.content, merchant_no=rig.merchant_no, kind=kind, date=day)))} lines"
    except BillDamaged as damaged:
        return damaged.reason


ANNOUNCED = {"alipay": "next_cert", "iso20022": "next_public_key"}


@on(sorted(ANNOUNCED))
async def test_a_key_that_was_announced_verifies_beside_the_old_one(rig: Rig) -> None:
    """Both keys are held as two versions: nothing fails, whichever signs."""
    names = {"alipay": "alipay_cert", "iso20022": "bank_public_key"}
    own = wire_accounts(rig.kind)[0]
    held = {names[rig.kind]: own.own[ANNOUNCED[rig.kind]]}
    if rig.kind == "alipay":
        held["alipay_root_cert"] = own.hub["alipay_root_cert"]
    account = account_of(own, **held)
    await rig.channel.aclose()
    rig.channel = make_channel(rig.kind, rig.kind, rig.settings, [account], None)  # type: ignore[arg-type]
    await rig.charge("n0")
    await rig.world.advance(60)
    await rig.fault("ANSWER_NEW_CERTIFICATE", 0.5)
    assert {said(await rig.query("n0")) for _ in range(12)} == {f"DONE {MONEY}"}
    if rig.reader is not None:
        await rig.fault("CALLBACK_NEW_CERTIFICATE")
        rig.reader = make_callback_reader(rig.kind, rig.kind, rig.settings, [account])
        rig.listen_anew()
        await rig.charge("n1")
        await rig.world.advance(60)
        assert [told(rig, item) for item in await rig.hears(1)] == [f"DONE {MONEY}"]


async def test_a_new_platform_certificate_is_learnt_and_makes_callbacks_good(tmp_path: Path) -> None:
    async with rigged("wechatpay", tmp_path) as rig:
        await rig.fault("CALLBACK_NEW_CERTIFICATE")
        await rig.charge("n0")
        await rig.world.advance(60)
        assert set(await rig.hears(2)) == {"SIGNATURE_INVALID"}
        await asyncio.gather(*(rig.channel.learn() for _ in range(10)))
        (learned,) = [item for item in rig.channel.take_learned() if item.merchant_no == rig.merchant_no]
        assert rig.channel.take_learned() == []
        account = account_of(wire_accounts("wechatpay")[0], **{learned.name: learned.certificates})
        reader = make_callback_reader("wechatpay", "wechatpay", rig.settings, [account])
        assert reader is not None
        (letter,) = rig.hook.heard[:1]
        assert told(rig, read(reader, *letter, rig.world.real_ms())) == f"DONE {MONEY}"
