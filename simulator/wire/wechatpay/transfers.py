"""Payouts of the world as transfers to users of WeChat, and the texts that each scene wants reported."""

from collections.abc import Mapping

from simulator.records import Payout
from simulator.wire.wechatpay.messages import PLAIN_NUMBER, Fields, Json, Refusal, time_text
from simulator.wire.wechatpay.methods import Call, Reply
from simulator.wire.wechatpay.signing import unsealed
from simulator.wire.wechatpay.trades import decimal, txn_no
from simulator.words import AnyWord, Operation, Reason, SideWord

LEAST_MINOR = 10
NAME_CHECKED_FROM_MINOR = 30
NAME_WANTED_FROM_MINOR = 200_000
SCENES: Mapping[str, tuple[str, ...]] = {
    "1000": ("活动名称", "奖励说明"),
    "1002": ("补贴类型",),
    "1004": ("保险产品备案编号", "保险名称", "保险操作单号"),
    "1005": ("岗位类型", "报酬说明"),
    "1009": ("采购商品名称",),
    "1010": ("回收商品名称",),
    "1011": ("赔付原因",),
    "1013": ("公益活动名称", "公益活动备案编号"),
}
_STATES: Mapping[str, str] = {
    SideWord.PAYOUT_WAITING: "WAIT_USER_CONFIRM",
    SideWord.PAYOUT_ACCEPTED: "PROCESSING",
    SideWord.PAYOUT_PAID: "SUCCESS",
    SideWord.PAYOUT_FAILED: "FAIL",
    SideWord.PAYOUT_RETURNED: "FAIL",
}
_REASONS: Mapping[str, str] = {
    Reason.ACCOUNT_CLOSED: "ACCOUNT_FROZEN",
    Reason.PAYEE_UNKNOWN: "OPENID_INVALID",
    Reason.PAYEE_NAME_WRONG: "NAME_NOT_CORRECT",
}


async def transfer_bill(call: Call) -> Reply:
    """Take a payout; the payee has to confirm it in WeChat."""
    call.own_appid()
    content = call.content
    number = content.text("out_bill_no", required=True, longest=32, form=PLAIN_NUMBER)
    openid = content.text("openid", required=True, longest=64)
    amount_minor = content.whole("transfer_amount", least=1)
    content.text("transfer_remark", required=True, longest=32)
    _check_scene(content)
    name = _payee_name(call, amount_minor)
    if amount_minor < LEAST_MINOR:
        raise Refusal(400, "INVALID_REQUEST", "超过单笔转账上下限，核实产品设置是否准确")
    item = {
        "payout_no": number, "amount_minor": amount_minor, "currency": "CNY", "payee": openid, "payee_name": name,
        "notify_url": call.notify_url(required=False), "waits": True,
    }  # fmt: skip
    try:
        told = await call.ask(Operation.PAYOUT, item)
    except Refusal as refused:
        if refused.code == "INVALID_REQUEST":
            again = Refusal(400, "INVALID_REQUEST", "单号已存在但信息不一致，请查单后比较确认")
            raise again.with_weather(refused.told) from None
        raise
    made = call.front.channel(call.account.channel_id).book.payouts[number]
    answer = {
        "out_bill_no": number,
        "transfer_bill_no": decimal(made.txn_no),
        "create_time": time_text(made.made_ms),
        "state": _STATES[told.fields["word"]],
    }
    if told.fields["word"] == SideWord.PAYOUT_WAITING:
        answer["package_info"] = f"{made.txn_no.lower()}=="
    return Reply(answer, told)


def _check_scene(content: Fields) -> None:
    scene = content.text("transfer_scene_id", required=True, longest=36)
    wanted = SCENES.get(scene)
    if wanted is None:
        raise content.invalid("transfer_scene_id", scene)
    reported = content.many("transfer_scene_report_infos", least=0)
    for each in reported:
        each.text("info_content", required=True, longest=64)
    if sorted(each.text("info_type", required=True, longest=15) for each in reported) != sorted(wanted):
        raise Refusal(400, "PARAM_ERROR", "需传入转账场景报备信息，请检查")


def _payee_name(call: Call, amount_minor: int) -> str:
    sealed = call.content.text("user_name", longest=1_024)
    if not sealed:
        if amount_minor >= NAME_WANTED_FROM_MINOR:
            raise Refusal(400, "PARAM_ERROR", "转账金额大于等于2000元时，收款用户姓名必填")
        return ""
    if amount_minor < NAME_CHECKED_FROM_MINOR:
        raise Refusal(400, "PARAM_ERROR", "转账金额小于0.3元时，不允许填写收款用户姓名")
    name = unsealed(call.account, call.sealed_with, sealed)
    if name is None:
        raise Refusal(400, "PARAM_ERROR", "用户姓名解密失败")
    return name


async def query_transfer(call: Call) -> Reply:
    """Tell how a payout stands, by the merchant's number or the platform's."""
    book = call.front.channel(call.account.channel_id).book
    number = call.path.get("out_bill_no", "")
    if not number:
        wanted = txn_no(call.path["transfer_bill_no"])
        number = next((payout.number for payout in book.payouts.values() if payout.txn_no == wanted), "unknown")
    told = await call.ask(Operation.QUERY_PAYOUT, {"payout_no": number})
    made, word = book.payouts[number], SideWord(told.fields["word"])
    item = transfer(made, word, told.fields["amount_minor"])
    return Reply(item | {"appid": call.account.hub["appid"], "create_time": time_text(made.made_ms)}, told)


def transfer(made: Payout, word: AnyWord, amount_minor: int) -> Json:
    """Return a transfer, as questions and callbacks tell it."""
    failed = _STATES[word] == "FAIL"
    return {
        "mch_id": made.merchant_no,
        "out_bill_no": made.number,
        "transfer_bill_no": decimal(made.txn_no),
        "state": _STATES[word],
        "transfer_amount": amount_minor,
        "openid": made.payer_ref,
        "fail_reason": _REASONS.get(made.reason, "PAYEE_ACCOUNT_ABNORMAL") if failed else None,
        "update_time": time_text(made.returned_ms or made.done_ms or made.made_ms),
    }
