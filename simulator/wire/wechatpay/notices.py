"""WeChat Pay's callbacks: an encrypted resource in a signed envelope, repeated for a day until it is acknowledged."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from simulator.codec import Flaw
from simulator.records import Attempt, Mandate, Payout, Refund
from simulator.voice import Letter, Telling
from simulator.wire.accounts import Account
from simulator.wire.wechatpay import contracts, trades, transfers
from simulator.wire.wechatpay.messages import Json, encode, time_text
from simulator.wire.wechatpay.signing import encrypted, sealed_headers
from simulator.words import AnyWord, SideWord, Word

# What is told: the event and its summary. Of a payer's failure nobody hears.
_EVENTS: Mapping[AnyWord, tuple[str, str]] = {
    Word.PAID: ("TRANSACTION.SUCCESS", "支付成功"),
    Word.REFUND_PAID: ("REFUND.SUCCESS", "退款成功"),
    Word.REFUND_FAILED: ("REFUND.ABNORMAL", "退款异常"),
    SideWord.MANDATE_SIGNED: ("INSURANCE_ENTRUST.SIGN", "签约成功"),
    SideWord.MANDATE_ENDED: ("INSURANCE_ENTRUST.TERMINATE", "解约成功"),
    SideWord.PAYOUT_PAID: ("MCHTRANSFER.BILL.FINISHED", "商家转账单据终态通知"),
    SideWord.PAYOUT_FAILED: ("MCHTRANSFER.BILL.FINISHED", "商家转账单据终态通知"),
}


class _Resource(NamedTuple):
    original_type: str
    plain: Json


class WechatpayVoice:
    """How WeChat Pay tells merchants what happened."""

    # Fifteen repeats in 24 hours and 4 minutes.
    schedule_s: tuple[float, ...] = (
        15,
        15,
        30,
        180,
        600,
        1_200,
        1_800,
        1_800,
        1_800,
        3_600,
        10_800,
        10_800,
        10_800,
        21_600,
        21_600,
    )

    def __init__(self, accounts: Sequence[Account], wanted: Mapping[str, str]) -> None:
        """`wanted` has, for each merchant, the key by which he verified answers last: he gets callbacks by it too."""
        self._accounts = {account.merchant_no: account for account in accounts}
        self._wanted = wanted

    def tells(self, word: AnyWord, *, asked: bool) -> bool:
        """Tell what is final, whatever the profile wants."""
        return word in _EVENTS

    async def write(self, telling: Telling, *, nonce: str, real_ms: int, flaw: Flaw) -> Letter:
        """Write an envelope. Its resource is encrypted anew at each send."""
        account = self._accounts.get(telling.merchant_no)
        if account is None:
            # A forger who knows no other merchant signs with what he has.
            account, flaw = next(iter(self._accounts.values())), Flaw.BAD_SIGNATURE
        event_type, summary = _EVENTS[telling.word]
        kind, plain = _resource(telling, account)
        sealed = encrypted(account.hub["apiv3_key"], encode(plain), associated_data=kind, nonce=nonce[-12:].zfill(12))
        body = json.dumps(
            {
                "id": f"EV-{telling.notify_id}",
                "create_time": time_text(real_ms),
                "resource_type": "encrypt-resource",
                "event_type": event_type,
                "summary": summary,
                "resource": {"original_type": kind, **sealed},
            },
            ensure_ascii=False,
        ).encode()
        wanted = self._wanted.get(account.merchant_no, account.hub["platform_public_key_id"])
        headers = await sealed_headers(account, body, real_ms=real_ms, nonce=nonce, flaw=flaw, wanted=wanted)
        return headers | {"content-type": "application/json", "Request-ID": nonce}, body

    def hears(self, status: int, reply: bytes) -> bool:
        """Take the status alone; a body may say why not."""
        return status in (200, 204)


def _resource(telling: Telling, account: Account) -> _Resource:
    record, amount_minor, success_ms = telling.record, telling.amount_minor, telling.success_time_ms
    match record, telling.word:
        case Refund(), Word() as word:
            found = _Resource(
                "refund", trades.refund_notice(record, word=word, amount_minor=amount_minor, success_ms=success_ms)
            )
        case Attempt(), Word() as word:
            plain = trades.transaction(record, account, word=word, amount_minor=amount_minor, success_ms=success_ms)
            found = _Resource("transaction", plain | {"mchid": telling.merchant_no})
        case Mandate(), _:
            found = _Resource("insurance_entrust", contracts.contract(record, account))
        case Payout(), _:
            found = _Resource("mch_payment", transfers.transfer(record, record.word, amount_minor))
        case _:
            raise AssertionError("nothing else is told")
    return found
