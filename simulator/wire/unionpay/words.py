"""What the world says, in UnionPay's codes."""

from collections.abc import Mapping

from simulator.codec import AnswerFields
from simulator.words import PURPLE, Reason, SideWord, Word

GOOD, UNDER_WAY = "00", "05"

MESSAGES: Mapping[str, str] = {
    "00": "成功[0000000]", "01": "交易失败[4040007]", "02": "系统未开放或暂时关闭，请稍后再试", "04": "交易状态未明，请查询对账结果",
    "05": "交易已受理，请稍后查询交易结果[6154037]", "06": "系统繁忙，请稍后再试", "10": "报文格式错误", "11": "验证签名失败",
    "12": "重复交易", "13": "报文交易要素缺失", "14": "批量文件格式错误", "30": "交易未通过，请尝试使用其他银联卡支付",
    "33": "交易金额超限", "34": "查无此交易", "35": "原交易不存在或状态不正确", "36": "与原交易信息不符",
    "37": "已超过最大查询次数或操作过于频繁", "38": "银联风险受限", "39": "交易不在受理时间范围内", "40": "绑定关系检查失败",
    "44": "输入的卡号错误", "45": "原交易已被成功退货或已被成功撤销", "61": "输入的卡号无效，请确认后输入", "64": "卡上的余额不足",
    "66": "姓名、身份证件信息或手机号码有误", "69": "卡信息或身份信息校验超时", "72": "持卡人未签约该业务", "73": "支付卡已超过有效期",
    "98": "文件不存在",
}  # fmt: skip

_REASONS: Mapping[str, str] = {
    Reason.NO_FUNDS: "64",
    Reason.CARD_EXPIRED: "73",
    Reason.PAYER_LIMIT: "33",
    Reason.RISK_REFUSED: "38",
    Reason.PAYER_ABANDONED: "69",
    Reason.CLOSED: "39",
    Reason.EXPIRED: "39",
    Reason.SIGNATURE_INVALID: "11",
    Reason.MALFORMED: "10",
    Reason.NUMBER_REUSED: "12",
    Reason.NOT_PAID: "35",
    Reason.OVER_REMAINING: "36",
    Reason.OTHER_CURRENCY: "10",
    Reason.ACCOUNT_CLOSED: "61",
    Reason.PAYEE_UNKNOWN: "44",
    Reason.PAYEE_NAME_WRONG: "66",
    Reason.NO_MANDATE: "72",
    Reason.MANDATE_NOT_IN_FORCE: "72",
    Reason.OVER_MANDATE_LIMIT: "33",
}

# What keeps a question from being answered, or a request from being looked at.
_TROUBLE: Mapping[str, str] = {Word.BUSY: "06", Word.LIMITED: "37", Word.MAINTENANCE: "02", PURPLE: PURPLE}

_STATES: Mapping[str, str] = {
    Word.PAID: GOOD,
    Word.REFUND_PAID: GOOD,
    SideWord.PAYOUT_PAID: GOOD,
    # UnionPay knows that it paid; that the bank sent it back is in no answer.
    SideWord.PAYOUT_RETURNED: GOOD,
    SideWord.MANDATE_SIGNED: GOOD,
    SideWord.VERIFIED: GOOD,
    Word.WAITING_PAYER: UNDER_WAY,
    Word.REFUND_ACCEPTED: UNDER_WAY,
    SideWord.PAYOUT_ACCEPTED: UNDER_WAY,
    SideWord.PAYOUT_WAITING: UNDER_WAY,
    SideWord.MANDATE_WAITING: UNDER_WAY,
    SideWord.MANDATE_ENDED: "72",
    SideWord.NOT_VERIFIED: "66",
    Word.NO_SUCH_TRADE: "34",
    Word.NO_SUCH_REFUND: "34",
    SideWord.NO_SUCH_PAYOUT: "34",
    SideWord.NO_SUCH_MANDATE: "34",
    SideWord.NO_SUCH_VERIFICATION: "34",
}


def trouble(said: AnswerFields) -> str:
    """Return the code of whatever kept the request from being looked at, "" if nothing did."""
    if said["word"] == Word.REFUSED:
        return _REASONS.get(said["reason"], "10")
    return _TROUBLE.get(said["word"], "")


def state(word: str, reason: str) -> str:
    """Return the code of how something stands."""
    return _STATES.get(word) or _REASONS.get(reason, "30")
