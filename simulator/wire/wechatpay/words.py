"""What the world says, in WeChat Pay's codes."""

from collections.abc import Mapping

from simulator.codec import AnswerFields
from simulator.wire.wechatpay.messages import Refusal
from simulator.words import PURPLE, Reason, SideWord, Word

_TROUBLE: Mapping[str, tuple[int, str, str]] = {
    Word.BUSY: (500, "SYSTEM_ERROR", "系统异常，请稍后重试"),
    Word.LIMITED: (429, "FREQUENCY_LIMITED", "频率超限"),
    Word.MAINTENANCE: (503, "SYSTEM_ERROR", "系统维护"),
    Word.NO_SUCH_TRADE: (404, "ORDER_NOT_EXIST", "订单不存在"),
    Word.NO_SUCH_REFUND: (404, "RESOURCE_NOT_EXISTS", "退款单不存在"),
    SideWord.NO_SUCH_PAYOUT: (404, "NOT_FOUND", "记录不存在"),
    SideWord.NO_SUCH_MANDATE: (404, "RESOURCE_NOT_EXISTS", "签约协议不存在"),
    SideWord.NO_SUCH_SPLIT: (404, "RESOURCE_NOT_EXISTS", "分账单不存在"),
    PURPLE: (400, PURPLE, "紫色"),
}
_REASONS: Mapping[str, tuple[int, str, str]] = {
    Reason.NUMBER_REUSED: (400, "INVALID_REQUEST", "请求重入时，参数与首次请求时不一致"),
    Reason.MALFORMED: (400, "PARAM_ERROR", "参数错误"),
    Reason.NOT_PAID: (400, "INVALID_REQUEST", "订单未支付或已全额退款"),
    Reason.OVER_REMAINING: (400, "INVALID_REQUEST", "申请退款金额超过订单可退金额"),
    Reason.OTHER_CURRENCY: (400, "PARAM_ERROR", "币种错误"),
    Reason.NO_MANDATE: (404, "RESOURCE_NOT_EXISTS", "签约协议不存在"),
    Reason.MANDATE_NOT_IN_FORCE: (400, "INVALID_REQUEST", "协议已解约或未生效"),
}
NOT_MADE: Mapping[str, tuple[int, str, str]] = {
    Word.PAID: (400, "ORDERPAID", "该订单已支付"),
    Word.PAY_CLOSED: (400, "ORDER_CLOSED", "该订单已关闭"),
    Word.PAY_FAILED: (403, "TRADE_ERROR", "交易错误"),
}
STATES: Mapping[str, tuple[str, str]] = {
    Word.PAID: ("SUCCESS", "支付成功"),
    Word.WAITING_PAYER: ("NOTPAY", "订单未支付"),
    Word.PAY_CLOSED: ("CLOSED", "订单已关闭"),
    Word.PAY_FAILED: ("PAYERROR", "支付失败"),
}
REFUND_STATES: Mapping[str, str] = {
    Word.REFUND_ACCEPTED: "PROCESSING",
    Word.REFUND_PAID: "SUCCESS",
    Word.REFUND_FAILED: "ABNORMAL",
}


def check(said: AnswerFields) -> None:
    """Raise Refusal where the world's answer is an error."""
    word, reason = said["word"], said["reason"]
    if word in _TROUBLE:
        raise Refusal(*_TROUBLE[word])
    if word == Word.REFUSED:
        raise Refusal(*_REASONS.get(reason, (500, "SYSTEM_ERROR", "系统异常")))
