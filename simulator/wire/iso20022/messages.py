"""Files: pain.001 and pain.008 in, pain.002, camt.053 and camt.054 out."""

import datetime
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import NamedTuple
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

SHANGHAI = datetime.timezone(datetime.timedelta(hours=8))
_DECIMALS = {"CNY": 2, "HKD": 2, "USD": 2, "EUR": 2, "JPY": 0}
_SPACE = "urn:iso:std:iso:20022:tech:xsd:"


class Unreadable(Exception):
    """A file that the bank refuses as a whole; `code` is why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Order(NamedTuple):
    """One transaction of a file."""

    end_to_end_id: str
    amount_minor: int
    currency: str
    other_name: str
    other_account: str
    note: str
    mandate: str


class File(NamedTuple):
    """A file that holds together."""

    message_id: str
    kind: str
    is_debit: bool
    account_no: str
    orders: tuple[Order, ...]


def read(body: bytes) -> File:
    """Read a pain.001 or pain.008. Raise Unreadable."""
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise Unreadable("FF01")
    try:
        document = ET.fromstring(body)  # noqa: S314 - without a document type there are no entities
    except (ET.ParseError, ValueError) as error:
        raise Unreadable("FF01") from error
    space = document.tag.partition("}")[0].removeprefix("{")
    kind = space.removeprefix(_SPACE)
    is_debit = kind.startswith("pain.008.")
    if not (is_debit or kind.startswith("pain.001.")) or len(document) != 1:
        raise Unreadable("FF01")
    names = {"n": space}
    root = document[0]
    batches = root.findall("n:PmtInf", names)
    if len(batches) != 1:
        raise Unreadable("FF01")
    ours, theirs = ("Cdtr", "Dbtr") if is_debit else ("Dbtr", "Cdtr")
    orders = tuple(
        _order(item, names, theirs)
        for item in batches[0].findall(f"n:{'DrctDbtTxInf' if is_debit else 'CdtTrfTxInf'}", names)
    )
    _check_sums(_text(root, names, "n:GrpHdr/n:NbOfTxs"), _text(root, names, "n:GrpHdr/n:CtrlSum"), orders)
    number = _text(root, names, "n:GrpHdr/n:MsgId")
    if not 0 < len(number) <= 35:
        raise Unreadable("FF01")
    return File(number, kind, is_debit, _text(batches[0], names, f"n:{ours}Acct/n:Id/n:Othr/n:Id"), orders)


def _text(element: ET.Element, names: dict[str, str], path: str) -> str:
    return (element.findtext(path, "", names) or "").strip()


def _order(item: ET.Element, names: dict[str, str], theirs: str) -> Order:
    amount = item.find(".//n:InstdAmt", names)
    if amount is None:
        raise Unreadable("AM01")
    currency = amount.get("Ccy", "")
    return Order(
        _text(item, names, "n:PmtId/n:EndToEndId"), _minor(amount.text or "", currency), currency,
        _text(item, names, f"n:{theirs}/n:Nm"), _text(item, names, f"n:{theirs}Acct/n:Id/n:Othr/n:Id"),
        _text(item, names, "n:RmtInf/n:Ustrd"), _text(item, names, "n:DrctDbtTx/n:MndtRltdInf/n:MndtId"),
    )  # fmt: skip


def _minor(text: str, currency: str) -> int:
    if currency not in _DECIMALS:
        raise Unreadable("AM03")
    try:
        minor = Decimal(text.strip()).scaleb(_DECIMALS[currency])
    except InvalidOperation as error:
        raise Unreadable("AM12") from error
    if minor != minor.to_integral_value() or not 0 < minor <= 10**12:
        raise Unreadable("AM12")
    return int(minor)


def _check_sums(count: str, total: str, orders: Sequence[Order]) -> None:
    if count != str(len(orders)) or not orders:
        raise Unreadable("AM18" if orders else "FF01")
    amounts = sum(Decimal(order.amount_minor).scaleb(-_DECIMALS[order.currency]) for order in orders)
    try:
        if Decimal(total) != amounts:
            raise Unreadable("AM10")
    except InvalidOperation as error:
        raise Unreadable("AM10") from error
    if len({order.end_to_end_id for order in orders}) != len(orders):
        raise Unreadable("AM05")


def yuan(amount_minor: int, currency: str) -> str:
    """Write an amount."""
    return str(Decimal(amount_minor).scaleb(-_DECIMALS[currency]))


def time_text(time_ms: int) -> str:
    """Write a time."""
    return datetime.datetime.fromtimestamp(time_ms // 1_000, SHANGHAI).isoformat()


class Said(NamedTuple):
    """What a report says of one transaction."""

    end_to_end_id: str
    code: str
    reason: str
    amount_minor: int
    currency: str
    bank_ref: str
    time_ms: int


def report(number: str, of_kind: str, said: Sequence[Said], *, group: str, reason: str, now_ms: int) -> bytes:
    """Write a pain.002."""
    status = f"<GrpSts>{group}</GrpSts>" if group else ""
    batch = f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>{escape(number)}</OrgnlPmtInfId>{''.join(map(_said, said))}</OrgnlPmtInfAndSts>"
    return _document(
        "pain.002.001.12",
        f"<CstmrPmtStsRpt><GrpHdr><MsgId>R{now_ms}</MsgId><CreDtTm>{time_text(now_ms)}</CreDtTm></GrpHdr>"
        f"<OrgnlGrpInfAndSts><OrgnlMsgId>{escape(number)}</OrgnlMsgId><OrgnlMsgNmId>{of_kind}</OrgnlMsgNmId>{status}"
        f"{_because(reason)}</OrgnlGrpInfAndSts>{batch if said else ''}</CstmrPmtStsRpt>",
    )


def _because(reason: str) -> str:
    return f"<StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn></StsRsnInf>" if reason else ""


def _said(item: Said) -> str:
    amount = (
        f'<OrgnlTxRef><Amt><InstdAmt Ccy="{item.currency}">{yuan(item.amount_minor, item.currency)}</InstdAmt></Amt></OrgnlTxRef>'
        if item.amount_minor
        else ""
    )
    when = f"<AccptncDtTm>{time_text(item.time_ms)}</AccptncDtTm>" if item.time_ms else ""
    reference = f"<AcctSvcrRef>{item.bank_ref}</AcctSvcrRef>" if item.bank_ref else ""
    return (
        f"<TxInfAndSts><OrgnlEndToEndId>{escape(item.end_to_end_id)}</OrgnlEndToEndId><TxSts>{item.code}</TxSts>"
        f"{_because(item.reason)}{when}{reference}{amount}</TxInfAndSts>"
    )


class Line(NamedTuple):
    """One entry of a statement. `sub` is the sub-family of the transaction code; `back` why money came back."""

    end_to_end_id: str
    bank_ref: str
    amount_minor: int
    currency: str
    is_credit: bool
    family: str
    sub: str
    back: str
    time_ms: int


def statement(
    kind: str, account_no: str, date: str, lines: Sequence[Line], *, opening_minor: int, closing_minor: int, now_ms: int
) -> bytes:
    """Write a camt.053 (`kind` 053) or camt.054, in yuan."""
    outer, inner = ("BkToCstmrStmt", "Stmt") if kind == "053" else ("BkToCstmrDbtCdtNtfctn", "Ntfctn")
    balances = _balance("OPBD", opening_minor, date) + _balance("CLBD", closing_minor, date) if kind == "053" else ""
    count = f"<TxsSummry><TtlNtries><NbOfNtries>{len(lines)}</NbOfNtries></TtlNtries></TxsSummry>"
    made = time_text(now_ms)
    return _document(
        f"camt.{kind}.001.08",
        f"<{outer}><GrpHdr><MsgId>S{now_ms}</MsgId><CreDtTm>{made}</CreDtTm></GrpHdr><{inner}><Id>{date}</Id>"
        f"<CreDtTm>{made}</CreDtTm><Acct><Id><Othr><Id>{account_no}</Id></Othr></Id></Acct>{balances}{count}"
        f"{''.join(map(_entry, lines))}</{inner}></{outer}>",
    )


def _balance(code: str, amount_minor: int, date: str) -> str:
    sign = "CRDT" if amount_minor >= 0 else "DBIT"
    return (
        f'<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy="CNY">{yuan(abs(amount_minor), "CNY")}</Amt>'
        f"<CdtDbtInd>{sign}</CdtDbtInd><Dt><Dt>{date}</Dt></Dt></Bal>"
    )


def _entry(line: Line) -> str:
    amount = f'<Amt Ccy="{line.currency}">{yuan(line.amount_minor, line.currency)}</Amt>'
    sign = f"<CdtDbtInd>{'CRDT' if line.is_credit else 'DBIT'}</CdtDbtInd>"
    code = (
        f"<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>{line.family}</Cd><SubFmlyCd>{line.sub}</SubFmlyCd></Fmly></Domn></BkTxCd>"
    )
    back = f"<RtrInf><Rsn><Cd>{line.back}</Cd></Rsn></RtrInf>" if line.back else ""
    return (
        f"<Ntry>{amount}{sign}<Sts><Cd>BOOK</Cd></Sts><BookgDt><DtTm>{time_text(line.time_ms)}</DtTm></BookgDt>"
        f"<AcctSvcrRef>{line.bank_ref}</AcctSvcrRef>{code}<NtryDtls><TxDtls><Refs><EndToEndId>"
        f"{escape(line.end_to_end_id) or 'NOTPROVIDED'}</EndToEndId></Refs>{amount}{sign}{back}</TxDtls></NtryDtls></Ntry>"
    )


def _document(version: str, inner: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?><Document xmlns="{_SPACE}{version}">{inner}</Document>'.encode()
