"""UnionPay's notices: an ordinary form about a trade with a definite result, repeated a few times within minutes."""

from collections.abc import Sequence
from urllib.parse import urlencode

from simulator.codec import Flaw
from simulator.voice import Letter, Telling
from simulator.wire.accounts import Account
from simulator.wire.unionpay import trades, words
from simulator.wire.unionpay.messages import Fields
from simulator.wire.unionpay.signing import sealed
from simulator.words import SideWord, Word

_TOLD = frozenset({Word.PAID, Word.REFUND_PAID, Word.REFUND_FAILED, SideWord.PAYOUT_PAID, SideWord.PAYOUT_FAILED})


class UnionPayVoice:
    """How UnionPay tells merchants what happened."""

    # At once, then after 1, 2, 4 and 5 minutes.
    schedule_s: tuple[float, ...] = (60, 120, 240, 300)

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._accounts = {account.merchant_no: account for account in accounts}

    def tells(self, word: Word | SideWord, *, asked: bool) -> bool:
        """Tell what is definite; of a payer's failure nothing is told."""
        return word in _TOLD

    async def write(self, telling: Telling, *, nonce: str, real_ms: int, flaw: Flaw) -> Letter:
        """Write a form, signed with the certificate inside it."""
        account = self._accounts.get(telling.merchant_no)
        if account is None:
            # A forger who knows no other merchant uses keys of his own.
            account, flaw = next(iter(self._accounts.values())), Flaw.OTHER_CERTIFICATE
        fields = notice_fields(telling)
        body = urlencode(await sealed(fields, account, flaw)).encode()
        return {"content-type": "application/x-www-form-urlencoded;charset=UTF-8"}, body

    def hears(self, status: int, reply: bytes) -> bool:
        """Take any answer with the right status."""
        return status in (200, 302)


def notice_fields(telling: Telling) -> Fields:
    """Return what a notice says."""
    record = telling.record
    code = words.state(telling.word, getattr(record, "reason", ""))
    memo = record.memo
    told = {
        "version": "5.1.0", "encoding": "UTF-8", "accessType": "0", "merId": telling.merchant_no,
        "orderId": record.number, "txnTime": memo.get("txn_time", ""), "txnType": memo.get("txn_type", "01"),
        "txnSubType": memo.get("sub_type", "01"), "bizType": memo.get("biz_type", "000201"),
        "reqReserved": memo.get("reserved", ""), "origQryId": memo.get("original", ""), "payType": "0001",
        "respCode": code, "respMsg": words.MESSAGES.get(code, code),
    }  # fmt: skip
    if not isinstance(record, trades.Trade):
        return {name: value for name, value in told.items() if value}
    time_ms = telling.success_time_ms or record.made_ms
    told |= trades.facts(record, amount_minor=telling.amount_minor, time_ms=time_ms)
    return {name: value for name, value in told.items() if value}
