"""UnionPay's messages: fields written for it, and what it writes read into fields. Reading judges nothing.

A request is known by merchant number, order number and time. The time is the one inside our own number, so that the
same number always names the same request and nothing has to be remembered.
"""

import base64
import datetime
import html
import re
import urllib.parse
from collections.abc import Callable, Mapping

from channels.port import (
    Charge,
    DebitRequest,
    MandateLookup,
    Payee,
    PayeeKind,
    PayoutRequest,
    Person,
    RefundRequest,
    SignRequest,
)
from domain.identifiers import CHINA, time_within

Fields = dict[str, str]
Encrypt = Callable[[str], str]

YUAN = "156"  # ISO 4217, as digits
FIELDS_MAX = 200
# 8 to 40 letters or digits is what UnionPay takes for an order number.
_ORDER_NO = re.compile(r"[0-9A-Za-z]{8,40}")
_PLAIN = re.compile(r"[0-9A-Za-z._:/-]+")
# A value may hold `{…}` or `[…]` with any character inside; one that is never closed goes on to the end.
_PAIR = re.compile(r"([^=&]++)=((?:\{[^}]*+\}?|\[[^\]]*+\]?|[^&{\[]++)*+)(?:&|\Z)")

GATEWAY, PAGE_OF_BANK, BOUND = "000201", "000202", "000301"
COLLECT, PAY_OUT, NONE = "000501", "000401", "000000"
IDENTITY_CARD = "01"
# A notice's address is obligatory; this one of UnionPay's own says that none is wanted.
NO_NOTICE_URL = "http://www.specialUrl.com"


class Unwritable(Exception):
    """A request that UnionPay has no words for; nothing was sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


# --- what is written -------------------------------------------------------------------------------------------------


def consume(request: Charge, *, biz_type: str, pay_window_s: int) -> Fields:
    """Write a charge. UnionPay refuses it after `pay_window_s`, or earlier where the order ends earlier."""
    fields = _named("01", "01", biz_type, request.attempt_no)
    return fields | {
        "channelType": "08" if request.terminal in ("H5", "APP", "WECHAT_OA") else "07",
        "txnAmt": _amount(request.amount_minor, request.currency_code),
        "currencyCode": YUAN,
        "accType": "01",
        "payTimeout": _pay_timeout(fields["txnTime"], request.expire_time_ms, pay_window_s),
        "frontUrl": request.return_url,
        "backUrl": request.notify_url or NO_NOTICE_URL,
        "customerIp": request.payer_ip,
        "bindId": request.payer_ref if biz_type == BOUND else "",
        "reqReserved": _reserved(request.order_no),
    }


def query(number: str) -> Fields:
    """Write a question about anything that has a number."""
    return _named("00", "00", NONE, number)


def refund(request: RefundRequest, *, query_id: str) -> Fields:
    """Write a refund. The attempt's number travels along, because a notice names the original by UnionPay's number."""
    return _named("04", "00", GATEWAY, request.refund_no) | {
        "channelType": "07",
        "txnAmt": _amount(request.amount_minor, request.currency_code),
        "origQryId": query_id,
        "backUrl": request.notify_url or NO_NOTICE_URL,
        "reqReserved": request.attempt_no,
    }


def debit(request: DebitRequest, encrypt: Encrypt | None) -> Fields:
    """Write a collection (代收), from a bound card or from the account that is named."""
    fields = _named("11", "00", COLLECT, request.attempt_no) | {
        "channelType": "07",
        "txnAmt": _amount(request.amount_minor, request.currency_code),
        "currencyCode": YUAN,
        "backUrl": request.notify_url or NO_NOTICE_URL,
        "reqReserved": _reserved(request.order_no),
    }
    if request.agreement_no:
        return fields | {"bindId": request.agreement_no}
    if request.payee is None:
        raise Unwritable("ACCOUNT_MISSING")
    return fields | _account(request.payee, encrypt)


def payout(request: PayoutRequest, encrypt: Encrypt | None) -> Fields:
    """Write a payout (代付); the purpose is what the payee's statement shows."""
    return (
        _named("12", "00", PAY_OUT, request.payout_no)
        | {
            "channelType": "07",
            "txnAmt": _amount(request.amount_minor, request.currency_code),
            "currencyCode": YUAN,
            "backUrl": request.notify_url or NO_NOTICE_URL,
            "billNo": request.purpose,
        }
        | _account(request.payee, encrypt)
    )


def sign(request: SignRequest, encrypt: Encrypt | None) -> Fields:
    """Write the wish to bind a card (签约): at once when its number is given, else on UnionPay's page."""
    bound = {"bindId": request.mandate_no, "backUrl": request.notify_url or NO_NOTICE_URL, "channelType": "07"}
    if request.payer_ref:
        person = Person(request.payer_name, "", request.payer_ref)
        return _named("72", "01", COLLECT, request.mandate_no) | bound | _person(person, encrypt)
    return _named("79", "00", BOUND, request.mandate_no) | bound | {"frontUrl": request.return_url}


def mandate(request: MandateLookup, *, ends: bool) -> Fields:
    """Write a question about a bound card, or the wish to unbind it."""
    kind = ("74", "00") if ends else ("75", "00")
    return _named(*kind, COLLECT, request.mandate_no) | {
        "channelType": "07",
        "bindId": request.agreement_no or request.mandate_no,
    }


def verify(number: str, person: Person, encrypt: Encrypt | None) -> Fields:
    """Write the question whether a card, a name, an identity card and a phone number belong together (实名认证)."""
    if not person.card_no:
        raise Unwritable("CARD_MISSING")
    return _named("72", "01", COLLECT, number) | {"channelType": "07"} | _person(person, encrypt)


def file_transfer(date: str, *, now_ms: int) -> Fields:
    """Write the wish for the settlement file of a day, YYYY-MM-DD. The question needs no number of its own."""
    return {
        "txnType": "76", "txnSubType": "01", "bizType": NONE, "txnTime": china_time(now_ms),
        "settleDate": date[5:7] + date[8:10], "fileType": "00",
    }  # fmt: skip


def batch(kind: str, batch_no: str, txn_time: str, content: str, *, count: int, amount_minor: int) -> Fields:
    """Write a batch file: of refunds (01), collections (02) or payouts (03)."""
    return _batch("21", kind, batch_no, txn_time) | {
        "totalQty": str(count), "totalAmt": str(amount_minor), "fileContent": content,
    }  # fmt: skip


def batch_query(kind: str, batch_no: str, txn_time: str) -> Fields:
    """Write a question about a batch file; it is known by its number and the time with which it was sent."""
    return _batch("22", kind, batch_no, txn_time)


def form(url: str, fields: Mapping[str, str]) -> str:
    """Write the page that the payer's browser posts to UnionPay by itself. Raise Unwritable where it leads nowhere."""
    if not fields.get("frontUrl"):
        raise Unwritable("FRONT_URL_MISSING")
    inputs = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in fields.items()
    )
    return (
        f'<form id="pay" action="{html.escape(url)}" method="post">{inputs}</form>'
        "<script>document.getElementById('pay').submit()</script>"
    )


def china_time(time_ms: int) -> str:
    """Return YYYYMMDDHHMMSS in China's time."""
    return datetime.datetime.fromtimestamp(time_ms / 1_000, CHINA).strftime("%Y%m%d%H%M%S")


def china_ms(text: str) -> int:
    """Return the Unix milliseconds of YYYYMMDDHHMMSS in China's time. Raise ValueError."""
    if len(text) != 14 or not (text.isascii() and text.isdecimal()):
        raise ValueError("no time")
    moment = datetime.datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=CHINA)
    return int(moment.timestamp()) * 1_000


def pay_end_ms(number: str, *, pay_window_s: int) -> int:
    """Return when UnionPay refuses a charge with this number at the latest. Raise Unwritable."""
    return china_ms(_time_of(number)) + pay_window_s * 1_000


def _pay_timeout(txn_time: str, expire_ms: int, pay_window_s: int) -> str:
    end_ms = china_ms(txn_time) + pay_window_s * 1_000
    return china_time(min(end_ms, expire_ms) if expire_ms else end_ms)


def _named(txn_type: str, sub_type: str, biz_type: str, number: str) -> Fields:
    if not _ORDER_NO.fullmatch(number):
        raise Unwritable("NUMBER_INVALID")
    return {
        "txnType": txn_type, "txnSubType": sub_type, "bizType": biz_type, "orderId": number, "txnTime": _time_of(number),
    }  # fmt: skip


def _time_of(number: str) -> str:
    try:
        return time_within(number)
    except ValueError:
        raise Unwritable("NUMBER_WITHOUT_TIME") from None


def _reserved(order_no: str) -> str:
    """Write the order's number where people find it at UnionPay, unless its answers would break of it: they escape nothing."""
    return order_no if _PLAIN.fullmatch(order_no) else ""


def _batch(txn_type: str, kind: str, batch_no: str, txn_time: str) -> Fields:
    biz_type = {"01": GATEWAY, "02": COLLECT, "03": PAY_OUT}[kind]
    return {
        "txnType": txn_type, "txnSubType": kind, "bizType": biz_type, "channelType": "07", "batchNo": batch_no,
        "txnTime": txn_time,
    }  # fmt: skip


def _amount(amount_minor: int, currency_code: str) -> str:
    if currency_code != "CNY":
        raise Unwritable("CURRENCY_UNSUPPORTED")
    return str(amount_minor)


def _account(payee: Payee, encrypt: Encrypt | None) -> Fields:
    kinds = {PayeeKind.BANK_CARD: "01", PayeeKind.BANK_ACCOUNT: "04"}
    if payee.kind not in kinds:
        raise Unwritable("ACCOUNT_KIND_UNSUPPORTED")
    return {"accType": kinds[payee.kind]} | _person(Person(payee.name, "", payee.account_no), encrypt)


def _person(person: Person, encrypt: Encrypt | None) -> Fields:
    """Write a card and its holder: encrypted for UnionPay where we have its certificate for that."""
    told = {
        "certifTp": IDENTITY_CARD if person.id_no else "",
        "certifId": person.id_no,
        "customerNm": person.name,
    }
    hidden = {"phoneNo": person.phone_no}
    if encrypt is not None and person.phone_no:
        told["encryptedInfo"] = encrypt(_joined(hidden))
    else:
        told |= hidden
    info = base64.b64encode(f"{{{_joined(told)}}}".encode()).decode()
    return {"accNo": encrypt(person.card_no) if encrypt is not None else person.card_no, "customerInfo": info}


def _joined(fields: Mapping[str, str]) -> str:
    return "&".join(f"{name}={value}" for name, value in fields.items() if value)


# --- what is read ----------------------------------------------------------------------------------------------------


def read_answer(body: bytes) -> Fields:
    """Read an answer: pairs that are not url-encoded, in UTF-8. Raise ValueError for anything else."""
    text = body.decode("utf-8")
    fields: Fields = {}
    place = 0
    while place < len(text):
        pair = _PAIR.match(text, place)
        if pair is None or pair[1] in fields or len(fields) >= FIELDS_MAX:
            raise ValueError("no list of pairs")
        fields[pair[1]] = pair[2]
        place = pair.end()
    if not fields:
        raise ValueError("no fields")
    return fields


def read_notice(body: bytes) -> Fields:
    """Read a notice: an ordinary form. Raise ValueError for anything else."""
    pairs = urllib.parse.parse_qsl(
        body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=FIELDS_MAX
    )
    fields = dict(pairs)
    if not fields or len(fields) != len(pairs):
        raise ValueError("no fields, or one of them twice")
    return fields
