"""Alipay's callbacks: a signed form, repeated for a day until it is answered `success`."""

import json
from collections.abc import Sequence
from urllib.parse import urlencode

from simulator.codec import Flaw
from simulator.records import Attempt, Mandate, Payout, Refund
from simulator.voice import Letter, Telling
from simulator.wire.accounts import Account
from simulator.wire.alipay import agreements, payouts, trades
from simulator.wire.alipay.messages import time_text, yuan
from simulator.wire.alipay.signing import Seal, text_of
from simulator.words import AnyWord, SideWord, Word

_TOLD = frozenset(
    {Word.PAID, Word.REFUND_PAID, SideWord.MANDATE_SIGNED, SideWord.MANDATE_ENDED, SideWord.PAYOUT_PAID,
     SideWord.PAYOUT_FAILED, SideWord.PAYOUT_RETURNED}
)  # fmt: skip


class AlipayVoice:
    """How Alipay tells merchants what happened."""

    # 4m, 10m, 10m, 1h, 2h, 6h, 15h.
    schedule_s: tuple[float, ...] = (240, 600, 600, 3_600, 7_200, 21_600, 54_000)

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._accounts = {account.merchant_no: account for account in accounts}

    def tells(self, word: AnyWord, *, asked: bool) -> bool:
        """Tell what is final and good: a payer's failure is silent, and he may try again."""
        return word in _TOLD

    async def write(self, telling: Telling, *, nonce: str, real_ms: int, flaw: Flaw) -> Letter:
        """Write a form whose signature leaves out sign and sign_type."""
        account = self._accounts.get(telling.merchant_no)
        if account is None:
            # A forger who knows no other merchant uses a key of his own.
            account, flaw = next(iter(self._accounts.values())), Flaw.OTHER_CERTIFICATE
        params = _fields(telling, account, real_ms)
        sign = await Seal(account, flaw).sign(text_of(params, without=("sign", "sign_type")))
        body = urlencode(params | ({"sign": sign} if sign else {}))
        return {"content-type": "application/x-www-form-urlencoded;charset=utf-8"}, body.encode()

    def hears(self, status: int, reply: bytes) -> bool:
        """Take exactly seven letters."""
        return status == 200 and reply == b"success"


def _fields(telling: Telling, account: Account, real_ms: int) -> dict[str, str]:
    app_id = account.hub["app_id"]
    common = {"notify_id": telling.notify_id, "app_id": app_id, "charset": "utf-8", "sign_type": "RSA2"}
    record = telling.record
    match record:
        case Mandate():
            fields = _agreement(record)
        case Payout():
            content = _compact(payouts.fields(record, told=True))
            fields = {"utc_timestamp": str(real_ms), "msg_method": "alipay.fund.trans.order.changed", "version": "1.1",
                      "biz_content": content}  # fmt: skip
            return common | fields
        case Refund():
            fields = _trade(record.attempt, record.attempt.amount_minor, telling.merchant_no) | {
                "out_biz_no": record.number,
                "refund_fee": yuan(record.attempt.refunded_minor),
                "gmt_refund": f"{time_text(record.settled_ms)}.000",
                "trade_status": trades.paid_status(record.attempt),
            }
        case Attempt():
            fields = _trade(record, telling.amount_minor, telling.merchant_no)
        case _:
            raise AssertionError("nothing else is told")
    common |= {"auth_app_id": app_id, "version": "1.0", "notify_time": time_text(real_ms)}
    return {name: value for name, value in (common | fields).items() if value}


def _trade(attempt: Attempt, amount_minor: int, seller_id: str) -> dict[str, str]:
    paid = yuan(amount_minor)
    return {
        "notify_type": "trade_status_sync",
        "trade_no": trades.trade_no(attempt),
        "out_trade_no": attempt.number,
        "seller_id": seller_id,
        "trade_status": "TRADE_SUCCESS",
        "total_amount": paid,
        "receipt_amount": paid,
        "invoice_amount": paid,
        "buyer_pay_amount": paid,
        "point_amount": "0.00",
        "fund_bill_list": f'[{{"amount":"{paid}","fundChannel":"ALIPAYACCOUNT"}}]',
        "gmt_create": time_text(attempt.made_ms),
        "gmt_payment": time_text(attempt.paid_ms or attempt.made_ms),
        **trades.buyer(attempt),
        **{name: attempt.memo.get(name, "") for name in ("subject", "body", "passback_params")},
    }


def _agreement(mandate: Mandate) -> dict[str, str]:
    signed = mandate.word is SideWord.MANDATE_SIGNED
    return {"notify_type": "dut_user_sign" if signed else "dut_user_unsign", **agreements.fields(mandate)}


_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
