"""The messages: pain.001 and pain.008 are written, pain.002, camt.053 and camt.054 are read. Reading judges nothing.

What is read is untrusted: no document type, no entities, no network, a bounded size. Elements are found by their local
names, so that a bank's newer version of a message is read as well.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from lxml import etree

from channels.iso20022.config import BankAccount
from channels.port import DebitRequest, PayoutRequest
from domain.identifiers import CHINA
from domain.money import CURRENCY_DECIMALS, Money, decimal_text, parse_decimal

FILE_BYTES_MAX = 256 << 20
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


class Statement(NamedTuple):
    """A camt.053 or camt.054. Balances are signed minor units, None where the message has none."""

    kind: str
    account_no: str
    opening_minor: int | None
    closing_minor: int | None
    entry_count: int | None
    entries: tuple[Entry, ...]


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


def parse(content: bytes) -> etree._Element:
    """Return the message inside `Document`. Raise Malformed."""
    if len(content) > FILE_BYTES_MAX:
        raise Malformed("too large")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, remove_comments=True,
        remove_pis=True, huge_tree=False, collect_ids=False,
    )  # fmt: skip
    try:
        document = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        line = getattr(error, "lineno", 0) or 0
        raise Malformed("not well-formed", f"line {line}" if line else "") from error
    if document.getroottree().docinfo.doctype:  # type: ignore[union-attr]
        raise Malformed("has a document type")
    if _local(document) != "Document" or len(document) != 1:
        raise Malformed("is no Document with one message")
    return document[0]


def statuses(content: bytes) -> list[Status]:
    """Read a pain.002. Raise Malformed."""
    root = _expect(content, "CstmrPmtStsRpt")
    time_ms = _time(_text(root, "GrpHdr", "CreDtTm"))
    group = _child(root, "OrgnlGrpInfAndSts")
    if group is None:
        raise Malformed("has no OrgnlGrpInfAndSts")
    number = _text(group, "OrgnlMsgId")
    found = []
    if code := _text(group, "GrpSts"):
        found.append(Status(number, "", code, _reason(group), 0, "", "", time_ms))
    for batch in _children(root, "OrgnlPmtInfAndSts"):
        if code := _text(batch, "PmtInfSts"):
            found.append(Status(number, "", code, _reason(batch), 0, "", "", time_ms))
        found += [_status(number, item, time_ms) for item in _children(batch, "TxInfAndSts")]
    return found


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
    return (_text(reason, "Cd") or _text(reason, "Prtry")) if reason is not None else ""


_STATEMENTS = {"BkToCstmrStmt": "Stmt", "BkToCstmrDbtCdtNtfctn": "Ntfctn", "BkToCstmrAcctRpt": "Rpt"}


def statement(content: bytes) -> Statement:
    """Read a camt.053 (or .052, .054) of one account. Raise Malformed."""
    root = parse(content)
    inner = _STATEMENTS.get(_local(root))
    found = _children(root, inner) if inner else []
    if len(found) != 1:
        raise Malformed("is no statement of one account")
    item = found[0]
    balances = {_text(b, "Tp", "CdOrPrtry", "Cd"): _balance(b) for b in _children(item, "Bal")}
    account = _find(item, "Acct", "Id")
    count = _text(item, "TxsSummry", "TtlNtries", "NbOfNtries")
    if count and not (count.isascii() and count.isdigit()):
        raise Malformed("NbOfNtries is no number")
    entries = tuple(entry for number, raw in enumerate(_children(item, "Ntry"), 1) for entry in _entries(raw, number))
    return Statement(
        _local(root), _account_of(account), balances.get("OPBD"), balances.get("CLBD"),
        int(count) if count else None, entries,
    )  # fmt: skip


def _account_of(identity: etree._Element | None) -> str:
    return (_text(identity, "IBAN") or _text(identity, "Othr", "Id")) if identity is not None else ""


def _balance(item: etree._Element) -> int:
    amount = _child(item, "Amt")
    if amount is None:
        raise Malformed("a balance has no amount")
    minor, _ = _money(amount)
    return minor if _text(item, "CdtDbtInd") == "CRDT" else -minor


def _entries(raw: etree._Element, number: int) -> Iterator[Entry]:
    """Yield the movements of one entry: itself, or its details where a batch was booked as one."""
    place = f"entry {number}"
    amount = _child(raw, "Amt")
    if amount is None:
        raise Malformed("has no amount", place)
    minor, currency = _money(amount)
    credit = _text(raw, "CdtDbtInd") == "CRDT"
    booked = (_text(raw, "Sts", "Cd") or _text(raw, "Sts")) == "BOOK"
    time_ms = _time(_text(raw, "BookgDt", "DtTm") or _text(raw, "BookgDt", "Dt") or _text(raw, "ValDt", "Dt"))
    shared = (credit, booked, _family(raw), time_ms, place)
    details = [item for block in _children(raw, "NtryDtls") for item in _children(block, "TxDtls")]
    if len(details) <= 1:
        yield _entry(details[0] if details else raw, raw, minor, currency, shared)
        return
    parts = [_child(item, "Amt") for item in details]
    amounts = [_money(part) for part in parts if part is not None]
    if len(amounts) != len(details) or sum(part for part, _ in amounts) != minor:
        raise Malformed("its details do not add up", place)
    for item, (part, code) in zip(details, amounts, strict=True):
        yield _entry(item, raw, part, code, shared)


def _entry(
    item: etree._Element, raw: etree._Element, minor: int, currency: str, shared: tuple[bool, bool, str, int, str]
) -> Entry:
    credit, booked, family, time_ms, place = shared
    returned = _text(item, "RtrInf", "Rsn", "Cd") or _text(item, "RtrInf", "Rsn", "Prtry")
    number = _text(item, "Refs", "EndToEndId")
    reference = _text(item, "Refs", "AcctSvcrRef") or _text(raw, "AcctSvcrRef") or _text(item, "Refs", "TxId")
    return Entry(
        "" if number == "NOTPROVIDED" else number, reference, minor, currency, credit, booked, family, returned, time_ms, place
    )


def _family(raw: etree._Element) -> str:
    code = _find(raw, "BkTxCd", "Domn")
    if code is None:
        return ""
    return "/".join((_text(code, "Cd"), _text(code, "Fmly", "Cd"), _text(code, "Fmly", "SubFmlyCd")))


def _expect(content: bytes, name: str) -> etree._Element:
    root = parse(content)
    if _local(root) != name:
        raise Malformed(f"is no {name}")
    return root


def _local(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _child(parent: etree._Element, name: str) -> etree._Element | None:
    return next((item for item in parent if _local(item) == name), None)


def _children(parent: etree._Element, name: str) -> list[etree._Element]:
    return [item for item in parent if _local(item) == name]


def _find(parent: etree._Element, *path: str) -> etree._Element | None:
    found: etree._Element | None = parent
    for name in path:
        if found is None:
            return None
        found = _child(found, name)
    return found


def _text(parent: etree._Element, *path: str) -> str:
    found = _find(parent, *path)
    return (found.text or "").strip() if found is not None else ""


def _money(element: etree._Element) -> tuple[int, str]:
    currency = element.get("Ccy", "")
    if currency not in CURRENCY_DECIMALS:
        raise Malformed(f"unknown currency {currency[:8]!r}", f"line {element.sourceline}")
    whole, _, rest = (element.text or "").strip().partition(".")
    rest = rest.rstrip("0")  # the schema allows 100.50000, which is 100.50
    try:
        return parse_decimal(f"{whole}.{rest}" if rest else whole, currency), currency
    except ValueError as error:
        raise Malformed(str(error), f"line {element.sourceline}") from error


def _time(text: str) -> int:
    """Return Unix milliseconds; a time without a zone is China's. 0 for nothing."""
    if not text:
        return 0
    try:
        read = datetime.fromisoformat(text)
        return int((read if read.tzinfo else read.replace(tzinfo=CHINA)).astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError, OSError) as error:
        raise Malformed(f"{text[:40]!r} is no time") from error
