"""WeChat Pay's messages: the calls that are written for it, and the objects that it writes.

Reading checks types and judges nothing. Amounts are whole fen, times RFC 3339 on the wire and Unix milliseconds here.
"""

import datetime
import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from channels.port import (
    BillKind,
    BillRequest,
    Charge,
    DebitRequest,
    Lookup,
    MandateLookup,
    PayoutLookup,
    PayoutRequest,
    RefundLookup,
    RefundRequest,
    Share,
    SignRequest,
    SplitLookup,
    SplitRequest,
)
from channels.wechatpay.config import CLAIMS_SCENE, Merchant
from domain.identifiers import CHINA

Json = dict[str, Any]

PAY = "/v3/pay/transactions"
REFUNDS = "/v3/refund/domestic/refunds"
TRANSFERS = "/v3/fund-app/mch-transfer/transfer-bills"
SHARING = "/v3/profitsharing"
CONTRACTS = "/v3/papay/insurance-sign/contracts"
PERIODS = "/v3/papay/insurance-pay/policy-periods"
DEBITS = "/v3/papay/insurance-pay/transactions/apply"
CERTIFICATES = "/v3/certificates"
# What the platform takes of texts that people read.
DESCRIPTION_CHARACTERS_MAX = 127
REMARK_CHARACTERS_MAX = 32
# A mandate's plan is a policy of one year, with at most so many debits.
PLAN_DAYS = 365
PERIODS_MAX = 120
# Below this the platform refuses to check a payee's name.
NAME_CHECKED_FROM_MINOR = 30


class Call(NamedTuple):
    """One request: its target is path and query exactly as they are signed and sent."""

    method: str
    target: str
    body: str = ""


def charge(request: Charge, merchant: Merchant, product: str, payer_ip: str) -> Call:
    """Write a charge by one of the products jsapi, native, h5 and app."""
    item: Json = {
        "appid": merchant.appid,
        "mchid": merchant.mchid,
        "description": request.subject[:DESCRIPTION_CHARACTERS_MAX],
        "out_trade_no": request.attempt_no,
        "attach": request.order_no,
        "notify_url": request.notify_url,
        "amount": {"total": request.amount_minor, "currency": request.currency_code},
    }
    if request.expire_time_ms:
        item["time_expire"] = time_text(request.expire_time_ms)
    if product == "jsapi":
        item["payer"] = {"openid": request.payer_ref}
    if product == "h5":
        item["scene_info"] = {"payer_client_ip": request.payer_ip or payer_ip, "h5_info": {"type": "Wap"}}
    if merchant.profit_sharing:
        item["settle_info"] = {"profit_sharing": True}
    return _post(f"{PAY}/{product}", item)


def query(request: Lookup) -> Call:
    """Write a question about a charge or a debit."""
    return _get(f"{PAY}/out-trade-no/{_path(request.attempt_no)}", mchid=request.merchant_no)


def close(request: Lookup) -> Call:
    """Write the wish to close a charge."""
    return _post(f"{PAY}/out-trade-no/{_path(request.attempt_no)}/close", {"mchid": request.merchant_no})


def refund(request: RefundRequest, paid_minor: int) -> Call:
    """Write a refund. The platform wants to be told what was paid in all."""
    item: Json = {
        "out_trade_no": request.attempt_no,
        "out_refund_no": request.refund_no,
        "amount": {"refund": request.amount_minor, "total": paid_minor, "currency": request.currency_code},
    }
    if request.notify_url:
        item["notify_url"] = request.notify_url
    return _post(REFUNDS, item)


def query_refund(request: RefundLookup) -> Call:
    """Write a question about a refund."""
    return _get(f"{REFUNDS}/{_path(request.refund_no)}")


def payout(request: PayoutRequest, merchant: Merchant, sealed_name: str) -> Call:
    """Write a payout to a user of WeChat."""
    scene = request.scene or CLAIMS_SCENE
    fill = {"payout_no": request.payout_no, "purpose": request.purpose, "name": request.payee.name}
    item: Json = {
        "appid": merchant.appid,
        "out_bill_no": request.payout_no,
        "transfer_scene_id": scene,
        "openid": request.payee.account_no,
        "transfer_amount": request.amount_minor,
        "transfer_remark": request.purpose[:REMARK_CHARACTERS_MAX],
        "transfer_scene_report_infos": [
            {"info_type": name, "info_content": _filled(text, fill)}
            for name, text in merchant.scenes.get(scene, {}).items()
        ],
    }
    if sealed_name:
        item["user_name"] = sealed_name
    if request.notify_url:
        item["notify_url"] = request.notify_url
    return _post(TRANSFERS, item)


def query_payout(request: PayoutLookup) -> Call:
    """Write a question about a payout."""
    return _get(f"{TRANSFERS}/out-bill-no/{_path(request.payout_no)}")


def add_receiver(share: Share, merchant: Merchant, sealed_name: str) -> Call:
    """Write that somebody may get shares; saying it again changes nothing."""
    kind = receiver_kind(share)
    item = {"appid": merchant.appid, "type": kind, "account": share.payee.account_no}
    if sealed_name:
        item["name"] = sealed_name
    item["relation_type"] = "PARTNER" if kind == "MERCHANT_ID" else "DISTRIBUTOR"
    return _post(f"{SHARING}/receivers/add", item)


def split(request: SplitRequest, merchant: Merchant, sealed_names: Mapping[str, str]) -> Call:
    """Write a split, or, where nobody gets a share, that all that is left is ours."""
    if not request.shares:
        return _post(
            f"{SHARING}/orders/unfreeze",
            {"transaction_id": request.channel_txn_no, "out_order_no": request.split_no, "description": "解冻剩余资金"},
        )
    receivers = []
    for share in request.shares:
        receiver = {"type": receiver_kind(share), "account": share.payee.account_no, "amount": share.amount_minor,
                    "description": share.note}  # fmt: skip
        if share.payee.account_no in sealed_names:
            receiver["name"] = sealed_names[share.payee.account_no]
        receivers.append(receiver)
    return _post(
        f"{SHARING}/orders",
        {"appid": merchant.appid, "transaction_id": request.channel_txn_no, "out_order_no": request.split_no,
         "receivers": receivers, "unfreeze_unsplit": request.is_last},
    )  # fmt: skip


def query_split(request: SplitLookup) -> Call:
    """Write a question about a split."""
    return _get(f"{SHARING}/orders/{_path(request.split_no)}", transaction_id=request.channel_txn_no)


def receiver_kind(share: Share) -> str:
    """Tell merchants, whose numbers are digits, from people."""
    return "MERCHANT_ID" if share.payee.account_no.isdecimal() else "PERSONAL_OPENID"


def sign(request: SignRequest, merchant: Merchant) -> Call:
    """Write the wish for a mandate: a policy of a year with a debit every `period_days`, each of `limit_minor`."""
    first = datetime.date.fromisoformat(request.first_debit_date)
    count = min(max(PLAN_DAYS // request.period_days, 1), PERIODS_MAX)
    days = [first + datetime.timedelta(days=request.period_days * index) for index in range(count)]
    item: Json = {
        "appid": merchant.appid,
        "plan_id": merchant.plan_id,
        "out_contract_code": request.mandate_no,
        "insured_display_name": masked(request.payer_name),
        "contract_notify_url": request.notify_url,
        "policy_start_date": first.isoformat(),
        "policy_end_date": (days[-1] + datetime.timedelta(days=request.period_days - 1)).isoformat(),
        "policy_periods": [
            {"policy_period_id": number, "estimated_deduct_date": day.isoformat(),
             "estimated_deduct_amount": {"total": request.limit_minor, "currency": "CNY"}}
            for number, day in enumerate(days, start=1)
        ],
    }  # fmt: skip
    if request.payer_ref:
        item["openid"] = request.payer_ref
    return _post(f"{CONTRACTS}/pre-entrust-sign/{'jsapi' if request.payer_ref else 'h5'}", item)


def query_mandate(request: MandateLookup, merchant: Merchant) -> Call:
    """Write a question about a mandate."""
    return _get(f"{CONTRACTS}/plan-id/{merchant.plan_id}/out-contract-code/{_path(request.mandate_no)}")


def unsign(request: MandateLookup, merchant: Merchant) -> Call:
    """Write the end of a mandate."""
    return _post(
        f"{CONTRACTS}/plan-id/{merchant.plan_id}/out-contract-code/{_path(request.mandate_no)}/terminate",
        {"contract_termination_remark": "商户解约"},
    )


def period(request: DebitRequest) -> Call:
    """Write a question about one debit of a mandate's plan."""
    return _get(_period(request))


def schedule(request: DebitRequest, merchant: Merchant) -> Call:
    """Write the announcement of a debit: the platform tells the payer, and says from when on it may be asked for."""
    amount = {"total": request.amount_minor, "currency": request.currency_code}
    return _post(f"{_period(request)}/schedule", {"appid": merchant.appid, "scheduled_amount": amount})


def debit(request: DebitRequest, merchant: Merchant) -> Call:
    """Write a debit."""
    return _post(
        DEBITS,
        {
            "appid": merchant.appid,
            "out_trade_no": request.attempt_no,
            "description": request.subject[:DESCRIPTION_CHARACTERS_MAX],
            "attach": request.order_no,
            "transaction_notify_url": request.notify_url,
            "contract_id": request.agreement_no,
            "policy_period_id": request.period_no,
            "amount": {"total": request.amount_minor, "currency": request.currency_code},
        },
    )


def bill(request: BillRequest) -> Call:
    """Write the wish for a statement."""
    if request.kind is BillKind.TRADE:
        return _get("/v3/bill/tradebill", bill_date=request.date, bill_type="ALL", tar_type="GZIP")
    return _get("/v3/bill/fundflowbill", bill_date=request.date, account_type="BASIC", tar_type="GZIP")


def masked(name: str) -> str:
    """Show the last character of a name, as the platform's signing page wants it."""
    return "*" * min(len(name) - 1, 3) + name[-1:]


# --- reading ----------------------------------------------------------------------------------------------------------


def read(body: bytes) -> Json:
    """Read an object. Raise ValueError for anything else."""
    try:
        item = json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(item, dict):
        raise ValueError("not an object")
    return item


def text(item: Json, name: str, *, required: bool = False) -> str:
    """Return a text, "" where there is none. Raise ValueError for anything else, or if it is required."""
    value = item.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or (required and not value):
        raise ValueError(f"{name} is missing or no text")
    return value


def whole(item: Json, name: str) -> int:
    """Return a whole number from 0, 0 where there is none. Raise ValueError for anything else."""
    value = item.get(name, 0)
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} is no whole number")
    return value


def inner(item: Json, name: str) -> Json:
    """Return an object inside another, an empty one where there is none. Raise ValueError for anything else."""
    value = item.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no object")
    return value


def objects(item: Json, name: str) -> list[Json]:
    """Return a list of objects, an empty one where there is none. Raise ValueError for anything else."""
    value = item.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ValueError(f"{name} is no list of objects")
    return value


def time_ms(item: Json, name: str) -> int:
    """Return a time, 0 where there is none. Raise ValueError for what is no time, or has no zone."""
    value = text(item, name)
    if not value:
        return 0
    moment = datetime.datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(f"{name} has no zone")
    try:
        return int(moment.timestamp() * 1000)
    except OverflowError as error:
        raise ValueError(f"{name} is out of range") from error


def time_text(moment_ms: int) -> str:
    """Write a time as China's clocks show it."""
    return datetime.datetime.fromtimestamp(moment_ms // 1000, tz=CHINA).isoformat(timespec="seconds")


def _post(target: str, item: Json) -> Call:
    return Call("POST", target, json.dumps(item, separators=(",", ":")))


def _get(path: str, **parameters: str) -> Call:
    return Call("GET", f"{path}?{urlencode(parameters)}" if parameters else path)


def _path(number: str) -> str:
    return quote(number, safe="")


def _period(request: DebitRequest) -> str:
    return f"{PERIODS}/contract-id/{_path(request.agreement_no)}/policy-period-id/{request.period_no}"


def _filled(template: str, values: Mapping[str, str]) -> str:
    """Put values in the place of {name}; whatever else stands in braces stays."""
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value)
    return template
