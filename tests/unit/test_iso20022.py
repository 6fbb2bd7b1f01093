"""A bank that speaks ISO 20022: what is written holds against the published schemas, and nothing that is read is trusted."""

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from channels.iso20022 import mapping, messages, signing
from channels.iso20022.carriers import FileCarrier
from channels.iso20022.client import Iso20022Bills, Iso20022Channel
from channels.iso20022.config import BankAccount, Iso20022Config
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
from storage.desk import AccountRow

SCHEMAS = Path(__file__).parent.parent / "vectors" / "iso20022"
OURS = generate_private_key(65537, 2048)
BANKS = generate_private_key(65537, 2048)
ACCOUNT = BankAccount("C1", "平安财险", "6225001", "105100000017", OURS, (BANKS.public_key(),))
NOW_MS = 1_753_000_000_000


def schema(version: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(SCHEMAS / f"{version}.xsd"))


def payout(number: str = "P1", **changes: Any) -> PayoutRequest:
    payee = Payee(PayeeKind.BANK_CARD, "6222020200000000006", "张三", "102100099996")
    return PayoutRequest(number, "C1", 680_000, "CNY", payee, "理赔款")._replace(**changes)


def debit(number: str = "D1", **changes: Any) -> DebitRequest:
    payer = Payee(PayeeKind.BANK_CARD, "6222020200000000006", "李四")
    return DebitRequest(number, "C1", 50_000, "CNY", "order", "期交保费", "M-1", "", payer)._replace(**changes)


texts = st.text(st.characters(min_codepoint=33, max_codepoint=0x9FFF, exclude_categories=["C", "Z"]), min_size=1, max_size=34)


@given(numbers=st.lists(st.from_regex(r"[0-9A-Za-z]{1,35}", fullmatch=True), min_size=1, max_size=6, unique=True),
       amount=st.integers(1, 10**12), name=texts, bank=st.sampled_from(["", "102100099996"]))  # fmt: skip
def test_every_file_of_payouts_holds_against_the_schema(numbers: list[str], amount: int, name: str, bank: str) -> None:
    payee = Payee(PayeeKind.BANK_CARD, "6222", name, bank)
    requests = [payout(number, amount_minor=amount, payee=payee) for number in numbers]
    written = messages.credit_transfer(ACCOUNT, requests, version="pain.001.001.09", clearing_system="CNAPS", now_ms=NOW_MS)
    document = etree.fromstring(written)
    schema("pain.001.001.09").assertValid(document)
    amounts = [item.text for item in document.iter("{*}InstdAmt")]
    assert [item.text for item in document.iter("{*}EndToEndId")] == numbers
    assert {item.text for item in document.iter("{*}CtrlSum")} == {messages._plain(amount * len(numbers), "CNY")}
    assert amounts == [f"{amount // 100}.{amount % 100:02d}"] * len(numbers)
    assert [item.text for item in document.iter("{*}Cdtr/{*}Nm")] in ([name] * len(numbers), [])


def test_a_file_of_debits_holds_against_the_schema() -> None:
    # The version asks for the mandate's number alone; banks that want more say so in their guide.
    written = messages.direct_debit(ACCOUNT, [debit(), debit("D2")], version="pain.008.001.08", clearing_system="CNAPS",
                                    now_ms=NOW_MS)  # fmt: skip
    schema("pain.008.001.08").assertValid(etree.fromstring(written))


def test_the_same_items_make_the_same_file_number_in_any_order() -> None:
    assert messages.message_id(["a", "b"]) == messages.message_id(["b", "a"]) != messages.message_id(["a"])
    assert len(messages.message_id(["a"])) <= 35


def status_report(items: Sequence[tuple[str, str, str]], *, group: str = "", reason: str = "", amount: str = "6800.00") -> bytes:
    """A bank's pain.002: (end-to-end id, status, reason) per transaction."""
    because = "<StsRsnInf><Rsn><Cd>{}</Cd></Rsn></StsRsnInf>"
    inner = "".join(
        f"<TxInfAndSts><OrgnlEndToEndId>{number}</OrgnlEndToEndId><TxSts>{code}</TxSts>"
        f"{because.format(why) if why else ''}<AcctSvcrRef>ref-{number}</AcctSvcrRef><OrgnlTxRef><Amt>"
        f'<InstdAmt Ccy="CNY">{amount}</InstdAmt></Amt></OrgnlTxRef></TxInfAndSts>'
        for number, code, why in items
    )
    status = f"<GrpSts>{group}</GrpSts>" if group else ""
    return (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.12"><CstmrPmtStsRpt><GrpHdr><MsgId>m</MsgId>'
        "<CreDtTm>2025-07-20T10:00:00+08:00</CreDtTm></GrpHdr><OrgnlGrpInfAndSts><OrgnlMsgId>x</OrgnlMsgId>"
        f"<OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>{status}{because.format(reason) if reason else ''}</OrgnlGrpInfAndSts>"
        f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>x</OrgnlPmtInfId>{inner}</OrgnlPmtInfAndSts></CstmrPmtStsRpt></Document>"
    ).encode()


def test_the_banks_report_in_these_tests_is_one_that_the_schema_allows() -> None:
    schema("pain.002.001.12").assertValid(etree.fromstring(status_report([("P1", "RJCT", "AC01")], group="PART")))


@pytest.mark.parametrize("items", [[], [("P1", "ACSC", ""), ("P2", "PDNG", "")]], ids=["without items", "with items"])
def test_what_a_bank_says_of_a_batch_stands_before_what_it_says_of_its_items(items: list[tuple[str, str, str]]) -> None:
    whole = b"<PmtInfSts>PART</PmtInfSts><StsRsnInf><Rsn><Cd>AM05</Cd></Rsn></StsRsnInf>"
    content = status_report(items, group="PDNG").replace(b"</OrgnlPmtInfId>", b"</OrgnlPmtInfId>" + whole)
    schema("pain.002.001.12").assertValid(etree.fromstring(content))
    group, batch, *others = messages.statuses(content)
    assert (group.code, batch.code, batch.reason, batch.end_to_end_id) == ("PDNG", "PART", "AM05", "")
    assert [(status.end_to_end_id, status.code) for status in others] == [item[:2] for item in items]


def read_one(content: bytes, *, is_debit: bool = False) -> Answer:
    *_, status = messages.statuses(content)
    return mapping.answer_of("P1", status, merchant_no="C1", is_debit=is_debit)


@pytest.mark.parametrize(("code", "outcome"), [
    ("ACSC", Outcome.DONE), ("ACCC", Outcome.DONE), ("ACSP", Outcome.ACCEPTED), ("PDNG", Outcome.ACCEPTED), ("RJCT", Outcome.REJECTED),
])  # fmt: skip
def test_what_a_status_proves(code: str, outcome: Outcome) -> None:
    answer = read_one(status_report([("P1", code, "")]))
    assert answer.outcome is outcome
    if outcome is Outcome.DONE:
        assert (answer.amount_minor, answer.currency_code, answer.merchant_no) == (680_000, "CNY", "C1")


@pytest.mark.parametrize(("reason", "is_debit", "fault"), [
    ("AC01", False, Fault.PAYER), ("AC04", True, Fault.PAYER), ("AM04", True, Fault.PAYER), ("AM04", False, Fault.CONFIG),
    ("MS03", False, Fault.CHANNEL), ("FF01", False, Fault.CONFIG),
])  # fmt: skip
def test_whose_fault_a_refusal_is(reason: str, is_debit: bool, fault: Fault) -> None:
    answer = read_one(status_report([("P1", "RJCT", reason)]), is_debit=is_debit)
    assert (answer.outcome, answer.fault) == (Outcome.REJECTED, fault)


@pytest.mark.parametrize("reason", ["AM05", "DU01"])
def test_a_number_that_is_taken_means_that_an_earlier_send_arrived(reason: str) -> None:
    assert read_one(status_report([("P1", "RJCT", reason)])).outcome is Outcome.MAYBE


@pytest.mark.parametrize(("code", "reason"), [("XXXX", ""), ("RJCT", "ZZ99")])
def test_a_word_that_is_new_proves_nothing(code: str, reason: str) -> None:
    answer = read_one(status_report([("P1", code, reason)]))
    assert (answer.outcome, answer.reason) == (Outcome.MAYBE, "UNKNOWN_WORD")


def test_a_yes_to_a_whole_file_proves_no_payout() -> None:
    assert read_one(status_report([], group="ACSC")).outcome is Outcome.ACCEPTED


BOMB = b'<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><Document><x>&b;</x></Document>'
OUTSIDE = b'<!DOCTYPE d SYSTEM "file:///etc/passwd"><Document><x/></Document>'


@pytest.mark.parametrize("content", [b"", b"<", b"\xff\xfe", b"<a/>", b"<Document/>", BOMB, OUTSIDE, b"<Document><x/><y/></Document>"])
def test_what_is_no_message_is_refused(content: bytes) -> None:
    for read in (messages.statuses, messages.statement):
        with pytest.raises(messages.Malformed):
            list(read(content))


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for wrapped in (content, status_report([("P1", "ACSC", "")]).replace(b"ACSC", content)):
        with contextlib.suppress(messages.Malformed):
            list(messages.statuses(wrapped))


@given(st.text(max_size=12))
def test_any_amount_is_read_exactly_or_refused(text: str) -> None:
    try:
        (status,) = messages.statuses(status_report([("P1", "ACSC", "")], amount=text.replace("<", "").replace("&", "")))
    except messages.Malformed:
        return
    whole, _, rest = text.strip().partition(".")
    assert status.amount_minor == int(whole + rest.rstrip("0").ljust(2, "0"))


# --- statements -------------------------------------------------------------------------------------------------------


def entry(amount: str, *, credit: bool = False, number: str = "P1", family: str = "PMNT/ICDT/ESCT", returned: str = "",
          status: str = "BOOK") -> str:  # fmt: skip
    domain, group, sub = family.split("/")
    back = f"<RtrInf><Rsn><Cd>{returned}</Cd></Rsn></RtrInf>" if returned else ""
    return (
        f'<Ntry><Amt Ccy="CNY">{amount}</Amt><CdtDbtInd>{"CRDT" if credit else "DBIT"}</CdtDbtInd><Sts><Cd>{status}</Cd></Sts>'
        f"<BookgDt><Dt>2025-07-20</Dt></BookgDt><AcctSvcrRef>r-{number}</AcctSvcrRef><BkTxCd><Domn><Cd>{domain}</Cd><Fmly><Cd>"
        f"{group}</Cd><SubFmlyCd>{sub}</SubFmlyCd></Fmly></Domn></BkTxCd><NtryDtls><TxDtls><Refs><EndToEndId>{number}"
        f"</EndToEndId></Refs>{back}</TxDtls></NtryDtls></Ntry>"
    )


def camt_053(entries: Sequence[str], *, opening: str = "10000.00", closing: str, account: str = "6225001", count: int = -1) -> bytes:
    def balance(code: str, amount: str) -> str:
        return (f'<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy="CNY">{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd>'
                "<Dt><Dt>2025-07-20</Dt></Dt></Bal>")  # fmt: skip

    summary = f"<TxsSummry><TtlNtries><NbOfNtries>{len(entries) if count < 0 else count}</NbOfNtries></TtlNtries></TxsSummry>"
    return (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><GrpHdr><MsgId>s</MsgId>'
        "<CreDtTm>2025-07-21T01:00:00+08:00</CreDtTm></GrpHdr><Stmt><Id>s</Id><Acct><Id><Othr><Id>"
        f"{account}</Id></Othr></Id></Acct>{balance('OPBD', opening)}{balance('CLBD', closing)}{summary}{''.join(entries)}"
        "</Stmt></BkToCstmrStmt></Document>"
    ).encode()


DAY = [entry("6800.00"), entry("500.00", credit=True, number="D1", family="PMNT/IDDT/ESDD"), entry("1.00", number="NOTPROVIDED", family="PMNT/ICDT/CHRG"),
       entry("6800.00", credit=True, returned="AC04", family="PMNT/RCDT/RRTN")]  # fmt: skip
BILLS = Iso20022Bills(Iso20022Config("bank", "http", "", "", "", {"C1": ACCOUNT}))  # type: ignore[arg-type]


def read_bill(content: bytes, kind: BillKind = BillKind.FUND) -> list[Any]:
    return list(BILLS.read(content, merchant_no="C1", kind=kind, date="2025-07-20"))


def test_a_days_statement_tells_payouts_debits_fees_and_what_came_back() -> None:
    content = camt_053(DAY, closing="10499.00")
    schema("camt.053.001.08").assertValid(etree.fromstring(content))
    lines = read_bill(content)
    assert [(line.kind, line.number, line.amount_minor) for line in lines] == [
        (LineKind.PAYOUT, "P1", 680_000), (LineKind.CHARGE, "D1", 50_000), (LineKind.FEE, "", 100), (LineKind.RETURN, "P1", 680_000),
    ]  # fmt: skip
    assert lines[2].fee_minor == 100 and lines[0].time_ms == 1_752_940_800_000


@pytest.mark.parametrize(("family", "credit", "returned", "kind"), [
    ("PMNT/RCDT/RRTN", True, "AC04", LineKind.RETURN), ("PMNT/ICDT/ESCT", True, "AC04", LineKind.RETURN),
    ("PMNT/ICDT/RPCR", True, "", LineKind.RETURN), ("PMNT/IDDT/UPDD", False, "MD06", LineKind.CHARGE_RETURN),
    ("PMNT/IDDT/ESDD", False, "AM04", LineKind.CHARGE_RETURN), ("PMNT/IDDT/RPCR", False, "", LineKind.CHARGE_RETURN),
    ("PMNT/IDDT/ESDD", False, "", LineKind.CHARGE_RETURN), ("//", False, "MD06", LineKind.CHARGE_RETURN),
    ("PMNT/RCDT/RRTN", False, "AC04", LineKind.OTHER), ("PMNT/RDDT/UPDD", True, "MD06", LineKind.OTHER),
    ("PMNT/RDDT/ESDD", False, "", LineKind.OTHER), ("PMNT/RCDT/ESCT", True, "", LineKind.OTHER),
    ("ACMT/MCOP/OTHR", False, "", LineKind.OTHER), ("PMNT/ICDT/CHRG", False, "", LineKind.FEE),
])  # fmt: skip
def test_what_comes_back_is_told_by_its_direction(family: str, credit: bool, returned: str, kind: LineKind) -> None:
    closing = "10001.00" if credit else "9999.00"
    (line,) = read_bill(camt_053([entry("1.00", credit=credit, family=family, returned=returned)], closing=closing))
    assert (line.kind, line.amount_minor) == (kind, 100)


@pytest.mark.parametrize(("content", "reason"), [
    (camt_053(DAY, closing="10499.01"), "TOTALS_DIFFER"), (camt_053(DAY[:3], closing="3699.00", count=4), "TRUNCATED"),
    (camt_053(DAY, closing="10499.00", account="6225002"), "FOREIGN_MERCHANT"),
    (camt_053(DAY, closing="10499.00").replace(b"CLBD", b"XXXX"), "TRUNCATED"), (camt_053(DAY, closing="10499.00")[:-40], "MALFORMED"),
])  # fmt: skip
def test_a_statement_that_does_not_hold_is_not_read(content: bytes, reason: str) -> None:
    with pytest.raises(BillDamaged) as caught:
        read_bill(content)
    assert caught.value.reason == reason


def test_what_is_not_booked_yet_is_no_line() -> None:
    assert read_bill(camt_053([entry("6800.00", status="PDNG")], closing="10000.00")) == []


def test_a_batch_booked_as_one_is_told_by_its_details() -> None:
    details = "".join(f'<TxDtls><Refs><EndToEndId>P{i}</EndToEndId></Refs><Amt Ccy="CNY">{i}00.00</Amt></TxDtls>' for i in (1, 2))
    batch = entry("300.00").split("<NtryDtls>", maxsplit=1)[0] + f"<NtryDtls>{details}</NtryDtls></Ntry>"
    lines = read_bill(camt_053([batch], closing="9700.00"))
    assert [(line.number, line.amount_minor) for line in lines] == [("P1", 10_000), ("P2", 20_000)]
    with pytest.raises(BillDamaged):
        read_bill(camt_053([batch.replace("200.00", "201.00")], closing="9700.00"))


@pytest.mark.parametrize("details", [1, 500], ids=["one payment an entry", "batches booked as one"])
def test_a_long_day_is_forgotten_while_it_is_read(details: int) -> None:
    one = '<TxDtls><Refs><EndToEndId>P</EndToEndId></Refs><Amt Ccy="CNY">0.01</Amt></TxDtls>' * details
    long = entry(f"{details / 100:.2f}").split("<NtryDtls>", maxsplit=1)[0] + f"<NtryDtls>{one}</NtryDtls></Ntry>"
    content = camt_053([long] * (2_000 // details), opening="20.00", closing="0.00")
    held = []
    for count, (_, piece) in enumerate(messages._pieces(content, messages._STATEMENT_PATHS)):
        if count % 97 == 0:
            *_, document = piece.iterancestors()
            held.append(sum(1 for _ in document.iter()))
    assert max(held) < 4_000 < content.count(b"</"), "what the parser takes at a time, and empty shells"
    assert len(read_bill(content)) == 2_000


@pytest.mark.parametrize("strange", [b"<Note>%s</Note>" % (b"x" * 90_000), b"<Note><Ntry/></Note>"])
def test_what_is_no_piece_of_a_statement_does_not_pile_up(strange: bytes) -> None:
    content = camt_053(DAY, closing="10499.00")
    assert len(read_bill(content.replace(b"<Ntry>", strange + b"<Ntry>", 1))) == len(DAY)
    with pytest.raises(BillDamaged) as caught:
        read_bill(content.replace(b"<Ntry>", strange * (2 * messages.PIECE_BYTES_MAX // len(strange)) + b"<Ntry>", 1))
    assert caught.value.reason == "MALFORMED"


# --- the file carrier -------------------------------------------------------------------------------------------------


class Front:
    """A front machine's two folders, and the bank behind them."""

    def __init__(self, directory: Path) -> None:
        self.outbox, self.inbox = directory / "out", directory / "in"
        self.outbox.mkdir()
        self.inbox.mkdir()
        config = Iso20022Config("bank", "file", "", "", "", {"C1": ACCOUNT})  # type: ignore[arg-type]
        self.channel = Iso20022Channel(config, FileCarrier(self.outbox, self.inbox), clock_ms=lambda: time.time_ns() // 10**6)

    def put(self, name: str, content: bytes, key: RSAPrivateKey = BANKS) -> None:
        (self.inbox / f"{name}.xml.sig").write_text(signing.sign(key, content))
        (self.inbox / f"{name}.xml").write_bytes(content)


@pytest.fixture
def front(tmp_path: Path) -> Front:
    return Front(tmp_path)


async def heard(answers: AsyncIterator[list[Any]]) -> list[Any]:
    return [answer async for batch in answers for answer in batch]


async def test_payouts_leave_as_one_signed_file_and_a_repeat_as_none(front: Front) -> None:
    for _ in range(2):
        said = await heard(front.channel.payout([payout("P1"), payout("P2")]))
        assert [(a.number, a.outcome) for a in said] == [("P1", Outcome.ACCEPTED), ("P2", Outcome.ACCEPTED)]
    (written,) = front.outbox.glob("*.xml")
    assert signing.verify([OURS.public_key()], written.read_bytes(), written.with_name(written.name + ".sig").read_text())
    assert not list(front.outbox.glob(".*")), "no half-written file is left"


async def test_the_inbox_tells_and_its_silence_proves_nothing(front: Front) -> None:
    assert (await heard(front.channel.query_payout([PayoutLookup("P1", "C1")])))[0].outcome is Outcome.MAYBE
    front.put("a", status_report([("P1", "ACSC", ""), ("P9", "RJCT", "AC01")]))
    said = await heard(front.channel.query_payout([PayoutLookup("P1", "C1"), PayoutLookup("P2", "C1"), PayoutLookup("P9", "C1")]))
    assert [a.outcome for a in said] == [Outcome.DONE, Outcome.MAYBE, Outcome.REJECTED]


async def test_a_file_that_the_bank_has_not_signed_is_not_believed(front: Front) -> None:
    front.put("a", status_report([("P1", "ACSC", "")]), key=OURS)
    assert (await heard(front.channel.query_payout([PayoutLookup("P1", "C1")])))[0].outcome is Outcome.MAYBE


async def test_an_outbox_that_is_gone_proves_that_nothing_left(front: Front) -> None:
    front.outbox.rmdir()
    assert (await heard(front.channel.payout([payout()])))[0].outcome is Outcome.NOT_SENT


async def test_what_a_message_cannot_carry_is_not_sent_and_names_the_field(front: Front) -> None:
    said = await heard(front.channel.payout([payout("P" * 36), payout(purpose="x" * 141), payout(merchant_no="C9")]))
    assert [(a.outcome, a.reason) for a in said] == [
        (Outcome.NOT_SENT, "UNFIT_NUMBER"), (Outcome.NOT_SENT, "UNFIT_PURPOSE"), (Outcome.NOT_SENT, "SECRET_MISSING"),
    ]  # fmt: skip
    assert (await heard(front.channel.debit([debit(payee=None)])))[0].reason == "UNFIT_PAYEE"


async def test_debits_are_asked_about_like_payouts(front: Front) -> None:
    assert (await heard(front.channel.debit([debit()])))[0].outcome is Outcome.ACCEPTED
    front.put("a", status_report([("D1", "RJCT", "AM04")]))
    answer = (await heard(front.channel.query([Lookup("D1", "C1")])))[0]
    assert (answer.outcome, answer.fault) == (Outcome.REJECTED, Fault.PAYER)


async def test_a_statement_lies_in_the_inbox_or_is_not_there_yet(front: Front) -> None:
    wanted = BillRequest("C1", BillKind.FUND, "2025-07-20")
    assert (await heard(front.channel.download_bill([wanted])))[0].outcome is Outcome.NOT_FOUND
    front.put("camt.053-6225001-2025-07-20", camt_053(DAY, closing="10499.00"))
    (bill,) = await heard(front.channel.download_bill([wanted]))
    assert bill.outcome is Outcome.DONE and len(read_bill(bill.content)) == 4


def test_keys_come_in_versions_the_newest_signs_and_all_verify() -> None:
    def pem(key: RSAPrivateKey) -> dict[str, str]:
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return {"sign_private_key": private.decode(), "bank_public_key": public.decode()}

    terms = {"account_name": "平安", "account_no": "6225001", "bank_code": ""}
    row = AccountRow("a1", "pnc", "bank", "C1", terms, (Credentials(2, pem(OURS)), Credentials(1, pem(BANKS))))
    account = Iso20022Config.of(channel_id="bank", settings={}, accounts=[row]).accounts["C1"]
    assert account.private_key is not None
    assert signing.verify(account.bank_keys, b"x", signing.sign(account.private_key, b"x"))
    assert signing.verify(account.bank_keys, b"x", signing.sign(BANKS, b"x"))
    assert not signing.verify(account.bank_keys, b"x", "no signature")
