"""A payout of the world as a transfer of Alipay."""

from simulator.records import Payout
from simulator.wire.alipay.messages import time_text, yuan
from simulator.words import Reason, SideWord

_STATUS = {
    SideWord.PAYOUT_ACCEPTED: "DEALING",
    SideWord.PAYOUT_PAID: "SUCCESS",
    SideWord.PAYOUT_FAILED: "FAIL",
    SideWord.PAYOUT_RETURNED: "REFUND",
}
_REASONS = {
    Reason.ACCOUNT_CLOSED: ("PAYEE_ACC_OCUPIED", "账户状态异常"),
    Reason.PAYEE_UNKNOWN: ("PAYEE_NOT_EXIST", "收款账号不存在"),
    Reason.PAYEE_NAME_WRONG: ("PAYEE_USER_INFO_ERROR", "姓名不匹配"),
}


def fields(payout: Payout, *, told: bool = False) -> dict[str, str]:
    """Return the fields of an answer; questions and callbacks (`told`) have more of them."""
    number = str(int(payout.txn_no, 16)).zfill(28)
    found = {
        "out_biz_no": payout.number,
        "order_id": number,
        "pay_fund_order_id": number,
        "status": _STATUS[payout.word],
    }
    if not told:
        return found | {"trans_date": time_text(payout.made_ms), "amount": yuan(payout.amount_minor)}
    found |= {"trans_amount": yuan(payout.amount_minor), "product_code": payout.memo.get("product_code", ""),
              "biz_scene": payout.memo.get("biz_scene", "")}  # fmt: skip
    if payout.reason:
        error_code, fail_reason = _REASONS.get(payout.reason, ("INST_PAY_UNABLE", "银行处理失败"))
        found |= {"error_code": error_code, "fail_reason": fail_reason}
    if payout.done_ms:
        found["pay_date"] = time_text(payout.done_ms)
    return found
