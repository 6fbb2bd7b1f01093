"""The messages: pain.001 and pain.008 are written, pain.002, camt.053 and camt.054 are read. Reading judges nothing.

What is read is untrusted: no document type, no entities, no network, a bounded size. Elements are found by their local
names, so that a bank's newer version of a message is read as well. A message is read piece by piece, each of which is
forgotten when it has been told: how long a day was decides how long reading takes, not how much memory.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from typing import Any, NamedTuple

from lxml import etree

from channels.iso20022.config import BankAccount
from channels.port import DebitRequest, PayoutRequest
from domain.identifiers import CHINA
from domain.money import CURRENCY_DECIMALS, Money, decimal_text, parse_decimal

FILE_BYTES_MAX = 256 << 20
# What is taken of a file at a time, and the longest piece of it: one entry, one status. They have some kilobytes.
CHUNK_BYTES, PIECE_BYTES_MAX = 64 << 10, 1 << 20
# Max35Text, and Max140Text.
NUMBER_LENGTH_MAX, TEXT_LENGTH_MAX, ACCOUNT_LENGTH_MAX = 35, 140, 34


class Malformed(ValueError):
    """Not a message that we know; `place` says where."""

    def __init__(self, what: str, place: str = "") -> None:
        super().__init__(f"{place}: {what}" if place else what)
        self.place = place


class Status(NamedTuple):
    """What a pain.002 says of one transaction, or (`end_to_end_id` "") of a whole file or batch.

    `code` is the status as the bank writes it, `reason` its reason code.
    """

    message_id: str
    end_to_end_id: str
    code: str
    reason: str
    amount_minor: int
    currency_code: str
    bank_ref: str
    time_ms: int


class Entry(NamedTuple):
    """One movement on an account. `is_credit` is the direction on the account; a reversal is already turned round.

    `family` is the bank transaction code as `domain/family/subfamily`; `return_reason` "" unless money came back.
    """

    end_to_end_id: str
    bank_ref: str
    amount_minor: int
    currency_code: str
    is_credit: bool
    is_booked: bool
    family: str
    return_reason: str
    time_ms: int
    place: str


class Frame(NamedTuple):
    """What a camt.053 or camt.054 says of itself: how many entries it has, and its balances in signed minor units.

    None is what the message does not say. `entry_count` is how many were in it.
    """

    account_no: str
    opening_minor: int | None
    closing_minor: int | None
    promised_count: int | None
    entry_count: int


# --- writing --------------------------------------------------------------------------------------------------------


def message_id(numbers: Sequence[str]) -> str:
    """Return a file's number: the same items make the same file, so that a bank knows a repeat of it."""
    return hashlib.sha256("|".join(sorted(numbers)).encode()).hexdigest()[:NUMBER_LENGTH_MAX]


def unfit(request: PayoutRequest | DebitRequest) -> str:
    """Return which field a bank's message cannot carry, "" when all fit."""
    payout = isinstance(request, PayoutRequest)
    payee = request.payee
    if payee is None:
        return "payee"
    number = request.payout_no if payout else request.attempt_no  # type: ignore[union-attr]
    words = request.purpose if payout else request.subject  # type: ignore[union-attr]
    texts = (
        ("number", number, NUMBER_LENGTH_MAX), ("payee.name", payee.name, TEXT_LENGTH_MAX),
        ("payee.account_no", payee.account_no, ACCOUNT_LENGTH_MAX),
    )  # fmt: skip
    for field, text, limit in texts:
        if not 0 < len(text) <= limit or not text.isprintable():
            return field
    if len(words) > TEXT_LENGTH_MAX or not (words + " ").isprintable():
        return "purpose" if payout else "subject"
    return "" if request.currency_code in CURRENCY_DECIMALS else "currency_code"


def credit_transfer(
    account: BankAccount, requests: Sequence[PayoutRequest], *, version: str, clearing_system: str, now_ms: int
) -> bytes:
    """Write a pain.001: one batch of payouts in one currency from one account."""
    document, root = _document(version, "CstmrCdtTrfInitn")
    number = message_id([request.payout_no for request in requests])
    total = _total(requests)
    _group_header(root, account, number, len(requests), total, now_ms)
    batch = _batch(root, number, "TRF", len(requests), total)
    _put(_put(batch, "ReqdExctnDt"), "Dt", _date(now_ms))
    _party(batch, "Dbtr", account.name, account.account_no, account.bank_code, clearing_system)
    for request in requests:
        item = _put(batch, "CdtTrfTxInf")
        identity = _put(item, "PmtId")
        _put(identity, "InstrId", request.payout_no)
        _put(identity, "EndToEndId", request.payout_no)
        _amount(_put(item, "Amt"), "InstdAmt", request)
        _agent(item, "CdtrAgt", request.payee.bank_code, clearing_system)
        _put(_put(item, "Cdtr"), "Nm", request.payee.name)
        _account_no(item, "CdtrAcct", request.payee.account_no)
        if request.purpose:
            _put(_put(item, "RmtInf"), "Ustrd", request.purpose)
    return _bytes(document)


def direct_debit(
    account: BankAccount, requests: Sequence[DebitRequest], *, version: str, clearing_system: str, now_ms: int
) -> bytes:
    """Write a pain.008: one batch of debits in one currency to one account, under mandates."""
    document, root = _document(version, "CstmrDrctDbtInitn")
    number = message_id([request.attempt_no for request in requests])
    total = _total(requests)
    _group_header(root, account, number, len(requests), total, now_ms)
    batch = _batch(root, number, "DD", len(requests), total)
    _put(_put(batch, "PmtTpInf"), "SeqTp", "RCUR")
    _put(batch, "ReqdColltnDt", _date(now_ms))
    _party(batch, "Cdtr", account.name, account.account_no, account.bank_code, clearing_system)
    for request in requests:
        assert request.payee is not None, "checked by unfit"
        item = _put(batch, "DrctDbtTxInf")
        identity = _put(item, "PmtId")
        _put(identity, "InstrId", request.attempt_no)
        _put(identity, "EndToEndId", request.attempt_no)
        _amount(item, "InstdAmt", request)
        _put(_put(_put(item, "DrctDbtTx"), "MndtRltdInf"), "MndtId", request.agreement_no[:NUMBER_LENGTH_MAX])
        _agent(item, "DbtrAgt", request.payee.bank_code, clearing_system)
        _put(_put(item, "Dbtr"), "Nm", request.payee.name)
        _account_no(item, "DbtrAcct", request.payee.account_no)
        if request.subject:
            _put(_put(item, "RmtInf"), "Ustrd", request.subject)
    return _bytes(document)


def _document(version: str, root: str) -> tuple[etree._Element, etree._Element]:
    space = f"urn:iso:std:iso:20022:tech:xsd:{version}"
    document = etree.Element(f"{{{space}}}Document", nsmap={None: space})  # type: ignore[dict-item]  # None is the default namespace
    return document, _put(document, root)


def _put(parent: etree._Element, name: str, content: str = "") -> etree._Element:
    space = str(parent.tag).partition("}")[0]
    made = etree.SubElement(parent, f"{space}}}{name}")
    if content:
        made.text = content
    return made


def _bytes(document: etree._Element) -> bytes:
    return etree.tostring(document, xml_declaration=True, encoding="UTF-8")


def _total(requests: Sequence[PayoutRequest] | Sequence[DebitRequest]) -> str:
    return _plain(sum(request.amount_minor for request in requests), requests[0].currency_code)


def _plain(amount_minor: int, currency_code: str) -> str:
    return decimal_text(Money(amount_minor, currency_code)).replace(",", "")


def _group_header(
    root: etree._Element, account: BankAccount, number: str, count: int, total: str, now_ms: int
) -> None:
    header = _put(root, "GrpHdr")
    _put(header, "MsgId", number)
    _put(header, "CreDtTm", datetime.fromtimestamp(now_ms // 1000, CHINA).isoformat())
    _put(header, "NbOfTxs", str(count))
    _put(header, "CtrlSum", total)
    _put(_put(header, "InitgPty"), "Nm", account.name)


def _batch(root: etree._Element, number: str, method: str, count: int, total: str) -> etree._Element:
    batch = _put(root, "PmtInf")
    _put(batch, "PmtInfId", number)
    _put(batch, "PmtMtd", method)
    _put(batch, "NbOfTxs", str(count))
    _put(batch, "CtrlSum", total)
    return batch


def _party(parent: etree._Element, role: str, name: str, account_no: str, bank_code: str, clearing: str) -> None:
    _put(_put(parent, role), "Nm", name)
    _account_no(parent, f"{role}Acct", account_no)
    _agent(parent, f"{role}Agt", bank_code, clearing)


def _account_no(parent: etree._Element, role: str, number: str) -> None:
    _put(_put(_put(_put(parent, role), "Id"), "Othr"), "Id", number)


def _agent(parent: etree._Element, role: str, bank_code: str, clearing: str) -> None:
    bank = _put(_put(parent, role), "FinInstnId")
    if bank_code:
        member = _put(bank, "ClrSysMmbId")
        _put(_put(member, "ClrSysId"), "Cd", clearing)
        _put(member, "MmbId", bank_code)
    else:  # within the bank itself
        _put(_put(bank, "Othr"), "Id", "NOTPROVIDED")


def _amount(parent: etree._Element, name: str, request: PayoutRequest | DebitRequest) -> None:
    amount = _put(parent, name, _plain(request.amount_minor, request.currency_code))
    amount.set("Ccy", request.currency_code)


def _date(now_ms: int) -> str:
    return datetime.fromtimestamp(now_ms // 1000, CHINA).date().isoformat()


# --- reading --------------------------------------------------------------------------------------------------------


def _pieces(content: bytes, paths: frozenset[str]) -> Iterator[tuple[str, etree._Element]]:
    """Yield the pieces of a message that stand at these paths, as they end, and forget each afterwards.

    A path begins with the message's name. Raise Malformed: what is wrong further on shows when it is reached.
    """
    if len(content) > FILE_BYTES_MAX:
        raise Malformed("too large")
    parser = etree.XMLPullParser(
        ("end",), tag=sorted({f"{{*}}{_last(path)}" for path in paths}), resolve_entities=False, no_network=True,
        load_dtd=False, dtd_validation=False, remove_comments=True, remove_pis=True, huge_tree=False, collect_ids=False,
    )  # fmt: skip
    told_at = 0
    for place in range(0, len(content), CHUNK_BYTES):
        with _well_formed():
            parser.feed(content[place : place + CHUNK_BYTES])
        events: Iterator[tuple[str, Any]] = parser.read_events()
        for _, element in events:
            if (path := _path(element)) in paths:
                _refuse_document_type(element)
                yield path, element
                _forget(element)
                told_at = place
        if place - told_at > PIECE_BYTES_MAX:
            raise Malformed("a piece is too large, or all are strange", f"byte {told_at}")
    with _well_formed():
        document = parser.close()
    _refuse_document_type(document)
    if _local(document) != "Document" or len(document) != 1:
        raise Malformed("is no Document with one message")
    if _local(document[0]) not in {path.partition("/")[0] for path in paths}:
        raise Malformed(f"is a {_local(document[0])[:40]}")


@contextmanager
def _well_formed() -> Iterator[None]:
    try:
        yield
    except (etree.XMLSyntaxError, ValueError) as error:
        line = getattr(error, "lineno", 0) or 0
        raise Malformed("not well-formed", f"line {line}" if line else "") from error


def _refuse_document_type(element: etree._Element) -> None:
    if element.getroottree().docinfo.doctype:  # type: ignore[attr-defined]
        raise Malformed("has a document type")


def _path(element: etree._Element) -> str:
    """Return the names of an element and of what it stands in, without `Document`; "" outside of one."""
    *inside, outermost = [_local(each) for each in chain((element,), element.iterancestors())]
    return "/".join(inside[::-1]) if outermost == "Document" else ""


def _forget(element: etree._Element) -> None:
    """Empty an element, and take out what stands before it. What follows it may be half read, and stays."""
    element.clear(keep_tail=True)  # type: ignore[call-arg]
    above = element.getparent()
    while above is not None and above[0] is not element:
        del above[0]


_REPORT = "CstmrPmtStsRpt"
_HEADER, _FILE, _BATCH = (f"{_REPORT}/{name}" for name in ("GrpHdr", "OrgnlGrpInfAndSts", "OrgnlPmtInfAndSts"))
_ITEM = f"{_BATCH}/TxInfAndSts"
_REPORT_PATHS = frozenset({_HEADER, _FILE, _BATCH, _ITEM})


def statuses(content: bytes) -> Iterator[Status]:
    """Tell what a pain.002 says of its file, of each transaction and of each batch. Raise Malformed."""
    time_ms, number, begun = 0, None, None
    for path, item in _pieces(content, _REPORT_PATHS):
        if path == _HEADER:
            time_ms = _time(_text(item, "CreDtTm"))
            continue
        if path == _FILE:
            number = _text(item, "OrgnlMsgId")
        if number is None:
            raise Malformed("has no OrgnlGrpInfAndSts before its statuses")
        # What is said of a batch stands before its items, and is forgotten with the first of them.
        whole = item.getparent() if path == _ITEM else item
        if whole is not None and whole is not begun:
            begun = whole
            if code := _text(whole, "GrpSts" if path == _FILE else "PmtInfSts"):
                yield Status(number, "", code, _reason(whole), 0, "", "", time_ms)
        if path == _ITEM:
            yield _status(number, item, time_ms)
    if number is None:
        raise Malformed("has no OrgnlGrpInfAndSts")


def _status(number: str, item: etree._Element, time_ms: int) -> Status:
    amount = _find(item, "OrgnlTxRef", "Amt", "InstdAmt")
    minor, currency = _money(amount) if amount is not None else (0, "")
    accepted_ms = _time(_text(item, "AccptncDtTm")) or time_ms
    return Status(
        number, _text(item, "OrgnlEndToEndId"), _text(item, "TxSts"), _reason(item), minor, currency,
        _text(item, "AcctSvcrRef"), accepted_ms,
    )  # fmt: skip


def _reason(item: etree._Element) -> str:
    reason = _find(item, "StsRsnInf", "Rsn")
    return _text(reason, "Cd") or _text(reason, "Prtry")


# camt.053, .054 and .052: the message, and what holds one account in it.
_STATEMENTS = ("BkToCstmrStmt/Stmt", "BkToCstmrDbtCdtNtfctn/Ntfctn", "BkToCstmrAcctRpt/Rpt")
_PARTS = ("", "/Acct", "/Bal", "/TxsSummry", "/Ntry", "/Ntry/NtryDtls/TxDtls")
_STATEMENT_PATHS = frozenset(statement + part for statement in _STATEMENTS for part in _PARTS)


def statement(content: bytes) -> Iterator[Entry | Frame]:
    """Tell the movements of a camt.053 (or .052, .054) of one account, and last its frame. Raise Malformed."""
    account_no, count, statements, entries = "", "", 0, 0
    balances: dict[str, int] = {}
    details: list[_Detail] = []
    for path, item in _pieces(content, _STATEMENT_PATHS):
        match _last(path):
            case "Acct":
                account_no = account_no or _account_of(_child(item, "Id"))
            case "Bal":
                balances[_text(item, "Tp", "CdOrPrtry", "Cd")] = _balance(item)
            case "TxsSummry":
                count = _text(item, "TtlNtries", "NbOfNtries")
            case "TxDtls":
                details.append(_detail(item))
            case "Ntry":
                entries += 1
                yield from _entries(item, details, f"entry {entries}")
                details = []
            case _:
                statements += 1
    if statements != 1:
        raise Malformed("is no statement of one account")
    if count and not (count.isascii() and count.isdigit() and len(count) <= NUMBER_LENGTH_MAX):
        raise Malformed("NbOfNtries is no number")
    yield Frame(account_no, balances.get("OPBD"), balances.get("CLBD"), int(count) if count else None, entries)


def _account_of(identity: etree._Element | None) -> str:
    return _text(identity, "IBAN") or _text(identity, "Othr", "Id")


def _balance(item: etree._Element) -> int:
    amount = _child(item, "Amt")
    if amount is None:
        raise Malformed("a balance has no amount")
    minor, _ = _money(amount)
    return minor if _text(item, "CdtDbtInd") == "CRDT" else -minor


class _Detail(NamedTuple):
    """One of the payments that were booked as one entry, in the bank's words; its amount counts only beside others'."""

    number: str
    reference: str
    transaction: str
    returned: str
    amount: str
    currency_code: str


def _detail(item: etree._Element) -> _Detail:
    references, returned, amount = _child(item, "Refs"), _find(item, "RtrInf", "Rsn"), _child(item, "Amt")
    return _Detail(
        _text(references, "EndToEndId"), _text(references, "AcctSvcrRef"), _text(references, "TxId"),
        _text(returned, "Cd") or _text(returned, "Prtry"), _text(amount),
        amount.get("Ccy", "") if amount is not None else "",
    )  # fmt: skip


def _entries(raw: etree._Element, details: Sequence[_Detail], place: str) -> Iterator[Entry]:
    """Yield the movements of one entry: itself, or its details where a batch was booked as one."""
    amount = _child(raw, "Amt")
    if amount is None:
        raise Malformed("has no amount", place)
    minor, currency = _money(amount)
    credit = _text(raw, "CdtDbtInd") == "CRDT"
    booked = (_text(raw, "Sts", "Cd") or _text(raw, "Sts")) == "BOOK"
    booked_at = _child(raw, "BookgDt")
    time_ms = _time(_text(booked_at, "DtTm") or _text(booked_at, "Dt") or _text(raw, "ValDt", "Dt"))
    family, reference = _family(raw), _text(raw, "AcctSvcrRef")
    parts = [(minor, currency)]
    if len(details) > 1:
        parts = [(_minor(detail.amount, detail.currency_code, place), detail.currency_code) for detail in details]
        if sum(part for part, _ in parts) != minor:
            raise Malformed("its details do not add up", place)
    for detail, (part, code) in zip(details or [_detail(raw)], parts, strict=True):
        yield Entry(
            "" if detail.number == "NOTPROVIDED" else detail.number, detail.reference or reference or detail.transaction,
            part, code, credit, booked, family, detail.returned, time_ms, place,
        )  # fmt: skip


def _family(raw: etree._Element) -> str:
    domain = _find(raw, "BkTxCd", "Domn")
    if domain is None:
        return ""
    family = _child(domain, "Fmly")
    return "/".join((_text(domain, "Cd"), _text(family, "Cd"), _text(family, "SubFmlyCd")))


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _local(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _child(parent: etree._Element, name: str) -> etree._Element | None:
    return next(parent.iterchildren(f"{{*}}{name}"), None)


def _find(parent: etree._Element | None, *path: str) -> etree._Element | None:
    found = parent
    for name in path:
        if found is None:
            return None
        found = _child(found, name)
    return found


def _text(parent: etree._Element | None, *path: str) -> str:
    found = _find(parent, *path)
    return (found.text or "").strip() if found is not None else ""


def _money(element: etree._Element) -> tuple[int, str]:
    currency = element.get("Ccy", "")
    return _minor((element.text or "").strip(), currency, f"line {element.sourceline}"), currency


def _minor(text: str, currency: str, place: str) -> int:
    if currency not in CURRENCY_DECIMALS:
        raise Malformed(f"unknown currency {currency[:8]!r}", place)
    whole, _, rest = text.partition(".")
    rest = rest.rstrip("0")  # the schema allows 100.50000, which is 100.50
    try:
        return parse_decimal(f"{whole}.{rest}" if rest else whole, currency)
    except ValueError as error:
        raise Malformed(str(error), place) from error


def _time(text: str) -> int:
    """Return Unix milliseconds; a time without a zone is China's. 0 for nothing."""
    if not text:
        return 0
    try:
        read = datetime.fromisoformat(text)
        return int((read if read.tzinfo else read.replace(tzinfo=CHINA)).astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError, OSError) as error:
        raise Malformed(f"{text[:40]!r} is no time") from error
