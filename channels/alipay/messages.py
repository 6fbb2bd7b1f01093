"""Alipay's messages: what is written for the gateway, and what it writes. Reading checks types, and judges nothing."""

import datetime
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from channels.alipay.config import AlipayConfig
from channels.port import (
    BillKind,
    BillRequest,
    Charge,
    DebitRequest,
    PayeeKind,
    PayoutRequest,
    RefundRequest,
    Share,
    SignRequest,
    SplitRequest,
    VerifyRequest,
)

SHANGHAI = datetime.timezone(datetime.timedelta(hours=8))
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
TIME_LENGTH = 19
FIELDS_MAX = 200
# The gateway refuses these in a subject.
_FORBIDDEN = str.maketrans({"/": " ", "=": " ", "&": " "})
SUBJECT_LENGTH_MAX = 256
_YUAN = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,2}))?", re.ASCII)
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

ACCOUNT_PRODUCT, CARD_PRODUCT = "TRANS_ACCOUNT_NO_PWD", "TRANS_BANKCARD_NO_PWD"
TRANSFER_SCENE = "DIRECT_TRANSFER"
_IDENTITIES = {
    PayeeKind.USER: "ALIPAY_USER_ID",
    PayeeKind.LOGON: "ALIPAY_LOGON_ID",
    PayeeKind.BANK_CARD: "BANKCARD_ACCOUNT",
    PayeeKind.BANK_ACCOUNT: "BANKCARD_ACCOUNT",
}
_SHARE_TYPES = {PayeeKind.USER: "userId", PayeeKind.LOGON: "loginName"}
BILL_TYPES = {BillKind.TRADE: "trade", BillKind.FUND: "signcustomer"}

Json = Mapping[str, Any]


class Call(NamedTuple):
    """One method with its content, and the addresses that travel beside it."""

    method: str
    content: Json
    notify_url: str = ""
    return_url: str = ""


class Envelope(NamedTuple):
    """An answer: its inner object, the exact text that is signed, the signature, and the certificate's number."""

    inner: dict[str, Any]
    signed: bytes
    signature: str
    sn: str


# --- amounts and times ---


def yuan(fen: int) -> str:
    """Write an amount."""
    return f"{fen // 100}.{fen % 100:02d}"


def fen(text: object) -> int:
    """Read an amount in yuan, also a negative one. Raise ValueError."""
    match = _YUAN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("not an amount")
    value = int(match[2]) * 100 + int((match[3] or "").ljust(2, "0"))
    return -value if match[1] else value


def time_text(time_ms: int) -> str:
    """Write a time of Shanghai."""
    return datetime.datetime.fromtimestamp(time_ms / 1_000, SHANGHAI).strftime(TIME_FORMAT)


def time_ms(text: object) -> int:
    """Read a time of Shanghai into Unix milliseconds; fractions of a second are left out. Raise ValueError."""
    whole = text.partition(".")[0] if isinstance(text, str) else ""
    if len(whole) != TIME_LENGTH or whole[10] != " ":
        raise ValueError("not a time")
    # A statement has hundreds of thousands of them, and strptime takes ten times as long.
    return round(datetime.datetime.fromisoformat(whole).replace(tzinfo=SHANGHAI).timestamp()) * 1_000


# --- what is written ---


def parameters(call: Call, *, app_id: str, app_cert_sn: str, root_cert_sn: str, now_ms: int) -> dict[str, str]:
    """Return all parameters of a request but its signature; empty ones are not sent."""
    params = {
        "app_id": app_id,
        "method": call.method,
        "format": "JSON",
        "charset": "utf-8",
        "sign_type": "RSA2",
        "timestamp": time_text(now_ms),
        "version": "1.0",
        "notify_url": call.notify_url,
        "return_url": call.return_url,
        "app_cert_sn": app_cert_sn,
        "alipay_root_cert_sn": root_cert_sn,
        "biz_content": _compact({name: value for name, value in call.content.items() if value not in ("", None)}),
    }
    return {name: value for name, value in params.items() if value}


def _trade(request: Charge | DebitRequest) -> dict[str, Any]:
    return {
        "out_trade_no": request.attempt_no,
        "total_amount": yuan(request.amount_minor),
        "subject": request.subject.translate(_FORBIDDEN)[:SUBJECT_LENGTH_MAX],
        # It comes back in statements, where it names the order.
        "body": request.order_no,
    }


def charge(request: Charge, method: str, product_code: str) -> Call:
    """Write a charge for one of the products."""
    content = _trade(request) | {"product_code": product_code, "time_expire": time_text(request.expire_time_ms)}
    return Call(method, content, request.notify_url, request.return_url)


def debit(request: DebitRequest, product_code: str) -> Call:
    """Write a debit under an agreement."""
    content = _trade(request) | {
        "product_code": product_code, "agreement_params": {"agreement_no": request.agreement_no},
    }  # fmt: skip
    return Call("alipay.trade.pay", content, request.notify_url)


def refund(request: RefundRequest) -> Call:
    """Write a refund."""
    content = {
        "out_trade_no": request.attempt_no, "refund_amount": yuan(request.amount_minor),
        "out_request_no": request.refund_no,
    }  # fmt: skip
    return Call("alipay.trade.refund", content)


def payout(request: PayoutRequest) -> Call:
    """Write a transfer to an account or a card."""
    payee = request.payee
    is_card = payee.kind in (PayeeKind.BANK_CARD, PayeeKind.BANK_ACCOUNT)
    info: dict[str, Any] = {
        "identity": payee.account_no,
        "identity_type": _IDENTITIES[payee.kind],
        "name": payee.name,
    }
    if is_card:
        info["bankcard_ext_info"] = {
            "account_type": "1" if payee.kind is PayeeKind.BANK_ACCOUNT else "2", "bank_code": payee.bank_code,
        }  # fmt: skip
    content = {
        "out_biz_no": request.payout_no,
        "trans_amount": yuan(request.amount_minor),
        "product_code": CARD_PRODUCT if is_card else ACCOUNT_PRODUCT,
        "biz_scene": request.scene or TRANSFER_SCENE,
        "order_title": request.purpose,
        "remark": request.purpose,
        "payee_info": info,
    }
    return Call("alipay.fund.trans.uni.transfer", content, request.notify_url)


def payout_lookup(payout_no: str, product_code: str) -> Call:
    """Write a question about a transfer of one product."""
    content = {"out_biz_no": payout_no, "product_code": product_code, "biz_scene": TRANSFER_SCENE}
    return Call("alipay.fund.trans.common.query", content)


def sign(request: SignRequest, config: AlipayConfig) -> Call:
    """Write the page on which a payer agrees to debits."""
    content: dict[str, Any] = {
        "personal_product_code": config.personal_product_code,
        "product_code": config.withholding_product_code,
        "sign_scene": config.sign_scene,
        "external_agreement_no": request.mandate_no,
        "external_logon_id": request.payer_ref,
        "access_params": {"channel": "ALIPAYAPP"},
    }
    if request.period_days or request.limit_minor:
        content["period_rule_params"] = {
            "period_type": "DAY", "period": str(request.period_days or 1), "execute_time": request.first_debit_date,
            "single_amount": yuan(request.limit_minor),
        }  # fmt: skip
    return Call("alipay.user.agreement.page.sign", content, request.notify_url, request.return_url)


def mandate(method: str, mandate_no: str, agreement_no: str, config: AlipayConfig) -> Call:
    """Write a question about an agreement, or its end."""
    if agreement_no:
        return Call(method, {"agreement_no": agreement_no})
    content = {
        "external_agreement_no": mandate_no, "personal_product_code": config.personal_product_code,
        "sign_scene": config.sign_scene,
    }  # fmt: skip
    return Call(method, content)


def _receiver(share: Share) -> dict[str, str]:
    kind = _SHARE_TYPES.get(share.payee.kind, "userId")
    return {"type": kind, "account": share.payee.account_no, "name": share.payee.name, "memo": share.note}


def bind(request: SplitRequest) -> Call:
    """Write the receivers of a split, who have to be known before it."""
    content = {"receiver_list": [_receiver(share) for share in request.shares], "out_request_no": request.split_no}
    return Call("alipay.trade.royalty.relation.bind", content)


def split(request: SplitRequest) -> Call:
    """Write a split."""
    shares = [
        {"royalty_type": "transfer", "trans_in_type": _SHARE_TYPES.get(share.payee.kind, "userId"),
         "trans_in": share.payee.account_no, "trans_out": request.merchant_no, "trans_out_type": "userId",
         "amount": yuan(share.amount_minor), "desc": share.note}
        for share in request.shares
    ]  # fmt: skip
    content = {
        "out_request_no": request.split_no,
        "trade_no": request.channel_txn_no,
        "royalty_parameters": shares,
        "extend_params": {"royalty_finish": "true" if request.is_last else "false"},
    }
    return Call("alipay.trade.order.settle", content)


def verify(request: VerifyRequest, biz_code: str) -> Call:
    """Write the beginning of a verification."""
    person = {
        "identity_type": "CERT_INFO", "cert_type": "IDENTITY_CARD", "cert_name": request.person.name,
        "cert_no": request.person.id_no,
    }  # fmt: skip
    if request.person.phone_no:
        person["phone_no"] = request.person.phone_no
    content = {"outer_order_no": request.verify_no, "biz_code": biz_code, "identity_param": person}
    return Call("alipay.user.certify.open.initialize", content)


def bill(request: BillRequest) -> Call:
    """Write the question where a statement is."""
    content = {"bill_type": BILL_TYPES[request.kind], "bill_date": request.date}
    return Call("alipay.data.dataservice.bill.downloadurl.query", content)


# --- what is read ---


def read_answer(body: bytes, method: str) -> Envelope:
    """Read an answer of a method. Raise ValueError for what is none.

    The signed text is what stands between the inner object's braces in the body, byte for byte.
    """
    text = body.decode("utf-8")
    document = _loads(text)
    key = f"{method.replace('.', '_')}_response"
    if not isinstance(document, dict) or not isinstance(document.get(key), dict):
        raise ValueError("not an answer to this method")
    begin, end = _span(text, key)
    signature, sn = document.get("sign", ""), document.get("alipay_cert_sn", "")
    if not isinstance(signature, str) or not isinstance(sn, str):
        raise ValueError("sign is no text")
    inner = _loads(text[begin:end])
    return Envelope(inner, text[begin:end].encode(), signature, sn)


def _loads(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a name stands twice")
    return made


def _span(text: str, key: str) -> tuple[int, int]:
    """Find where the value of a top-level key begins and ends, by scanning the document as JSON."""
    decoder = json.JSONDecoder()
    place = _skip(text, 0) + 1
    while True:
        name, place = decoder.raw_decode(text, _skip(text, place))
        place = _skip(text, _skip(text, place) + 1)
        begin = place
        _, place = decoder.raw_decode(text, begin)
        if name == key:
            return begin, place
        place = _skip(text, place) + 1


def _skip(text: str, place: int) -> int:
    while text[place] in " \t\r\n":
        place += 1
    return place


def read_notice(body: bytes) -> dict[str, str]:
    """Read a callback's form. Raise ValueError for what is none."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
    except UnicodeError as error:
        raise ValueError("not a form") from error
    return _once(pairs)
