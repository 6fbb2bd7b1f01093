"""Alipay's callbacks: a signed form, repeated for a day until it is answered `success`."""

from collections.abc import Sequence
from urllib.parse import urlencode

from simulator.codec import Flaw
from simulator.records import Refund
from simulator.voice import Letter, Telling
from simulator.wire.accounts import Account
from simulator.wire.alipay import trades
from simulator.wire.alipay.messages import time_text, yuan
from simulator.wire.alipay.signing import Seal, text_of
from simulator.words import Word


class AlipayVoice:
    """How Alipay tells merchants what happened."""

    # 4m, 10m, 10m, 1h, 2h, 6h, 15h.
    schedule_s: tuple[float, ...] = (240, 600, 600, 3_600, 7_200, 21_600, 54_000)

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._accounts = {account.merchant_no: account for account in accounts}

    def tells(self, word: Word, *, asked: bool) -> bool:
        """Tell what is final and good: a payer's failure is silent, and he may try again."""
        return word in (Word.PAID, Word.REFUND_PAID)

    async def write(self, telling: Telling, *, nonce: str, real_ms: int, flaw: Flaw) -> Letter:
        """Write a form whose signature leaves out sign and sign_type."""
        account = self._accounts.get(telling.merchant_no)
        if account is None:
            # A forger who knows no other merchant uses a key of his own.
            account, flaw = next(iter(self._accounts.values())), Flaw.OTHER_CERTIFICATE
        params = self._fields(telling, account) | {"notify_time": time_text(real_ms)}
        sign = await Seal(account, flaw).sign(text_of(params, without=("sign", "sign_type")))
        body = urlencode(params | ({"sign": sign} if sign else {}))
        return {"content-type": "application/x-www-form-urlencoded;charset=utf-8"}, body.encode()

    def hears(self, status: int, reply: bytes) -> bool:
        """Take exactly seven letters."""
        return status == 200 and reply == b"success"

    @staticmethod
    def _fields(telling: Telling, account: Account) -> dict[str, str]:
        refund = telling.record if isinstance(telling.record, Refund) else None
        attempt = telling.record.attempt if isinstance(telling.record, Refund) else telling.record
        fields = {
            "notify_type": "trade_status_sync",
            "notify_id": telling.notify_id,
            "app_id": account.hub["app_id"],
            "auth_app_id": account.hub["app_id"],
            "charset": "utf-8",
            "version": "1.0",
            "sign_type": "RSA2",
            "trade_no": trades.trade_no(attempt),
            "out_trade_no": attempt.number,
            "seller_id": telling.merchant_no,
            "trade_status": "TRADE_SUCCESS",
            "total_amount": yuan(attempt.amount_minor if refund else telling.amount_minor),
            "gmt_create": time_text(attempt.made_ms),
            "gmt_payment": time_text(attempt.paid_ms or telling.success_time_ms),
            **trades.buyer(attempt),
            "subject": attempt.memo.get("subject", ""),
            "body": attempt.memo.get("body", ""),
            "passback_params": attempt.memo.get("passback_params", ""),
        }
        paid = fields["total_amount"]
        fields |= {"receipt_amount": paid, "invoice_amount": paid, "buyer_pay_amount": paid, "point_amount": "0.00"}
        fields["fund_bill_list"] = f'[{{"amount":"{paid}","fundChannel":"ALIPAYACCOUNT"}}]'
        if refund is not None:
            fields |= {
                "out_biz_no": refund.number,
                "refund_fee": yuan(attempt.refunded_minor),
                "gmt_refund": f"{time_text(refund.settled_ms)}.000",
                "trade_status": trades.paid_status(attempt),
            }
        return {name: value for name, value in fields.items() if value}
