"""Splits of the world as profit sharing. Who may receive is remembered for as long as the process lives."""

from collections.abc import Sequence

from simulator.records import Split
from simulator.wire.accounts import Account
from simulator.wire.front import Told
from simulator.wire.wechatpay.messages import REFUND_NUMBER, Fields, Json, Refusal, time_text
from simulator.wire.wechatpay.methods import Call, Reply
from simulator.wire.wechatpay.signing import unsealed
from simulator.wire.wechatpay.trades import decimal, txn_no
from simulator.words import Operation, Reason, SideWord

# Of what was paid, at most so much may go to others.
SHARE_MAX_PERCENT = 30
_KINDS = ("MERCHANT_ID", "PERSONAL_OPENID")
_RESULTS = {SideWord.SPLIT_ACCEPTED: "PENDING", SideWord.SPLIT_DONE: "SUCCESS", SideWord.SPLIT_FAILED: "CLOSED"}


class Sharing:
    """The methods of profit sharing."""

    def __init__(self) -> None:
        self._receivers: set[tuple[str, str, str]] = set()
        self._unfrozen: dict[tuple[str, str], Json] = {}

    async def add_receiver(self, call: Call) -> Reply:
        """Remember who may receive."""
        call.own_appid()
        kind, account = _receiver(call.content)
        call.content.text("relation_type", required=True, longest=32)
        self._check_name(call, call.content)
        told = await _weather(call, account)
        self._receivers.add((call.account.merchant_no, kind, account))
        return Reply({"type": kind, "account": account, "relation_type": call.content.item["relation_type"]}, told)

    async def delete_receiver(self, call: Call) -> Reply:
        """Forget who may receive."""
        call.own_appid()
        kind, account = _receiver(call.content)
        told = await _weather(call, account)
        self._receivers.discard((call.account.merchant_no, kind, account))
        return Reply({"type": kind, "account": account}, told)

    async def order(self, call: Call) -> Reply:
        """Share out what was paid."""
        call.own_appid()
        content = call.content
        number = content.text("out_order_no", required=True, longest=64, form=REFUND_NUMBER)
        attempt = call.front.find(
            call.account.channel_id, txn_no(content.text("transaction_id", required=True, longest=32))
        )
        if attempt is not None and attempt.merchant_no != call.account.merchant_no:
            attempt = None
        is_last = content.flag("unfreeze_unsplit")
        shares = []
        for each in content.many("receivers"):
            kind, account = _receiver(each)
            each.text("description", required=True, longest=80)
            self._check_name(call, each)
            shares.append((account, each.whole("amount", least=1)))
            if (call.account.merchant_no, kind, account) not in self._receivers:
                raise Refusal(400, "INVALID_REQUEST", "分账接收方关系不存在，请检查后重试")
        if attempt is not None and not attempt.memo.get("sharing"):
            raise Refusal(400, "INVALID_REQUEST", "非分账订单不支持分账")
        if attempt is not None and sum(amount for _, amount in shares) * 100 > attempt.amount_minor * SHARE_MAX_PERCENT:
            raise Refusal(403, "RULE_LIMIT", "分账金额超过最大可分金额")
        item = {"split_no": number, "attempt_no": attempt.number if attempt else "unknown", "shares": shares,
                "is_last": is_last}  # fmt: skip
        told = await call.ask(Operation.SPLIT, item)
        return Reply(_order(call, call.front.channel(call.account.channel_id).book.splits[number], told), told)

    async def unfreeze(self, call: Call) -> Reply:
        """Give back to the merchant what nobody got."""
        content = call.content
        number = content.text("out_order_no", required=True, longest=64, form=REFUND_NUMBER)
        transaction_id = content.text("transaction_id", required=True, longest=32)
        content.text("description", required=True, longest=80)
        attempt = call.front.find(call.account.channel_id, txn_no(transaction_id))
        told = await _weather(call, attempt.number if attempt else "unknown")
        if attempt is None or attempt.merchant_no != call.account.merchant_no:
            raise Refusal(404, "RESOURCE_NOT_EXISTS", "订单不存在").with_weather(told)
        left = attempt.amount_minor - attempt.split_minor
        own = _share(call.account.merchant_no, left, "SUCCESS", attempt.paid_ms)
        made: Json = {"transaction_id": transaction_id, "out_order_no": number, "order_id": f"30{transaction_id}",
                      "state": "FINISHED", "receivers": [own]}  # fmt: skip
        return Reply(self._unfrozen.setdefault((call.account.merchant_no, number), made), told)

    async def query(self, call: Call) -> Reply:
        """Tell how a split stands."""
        number = call.path["out_order_no"]
        unfrozen = self._unfrozen.get((call.account.merchant_no, number))
        if unfrozen is not None:
            return Reply(unfrozen, await _weather(call, number))
        told = await call.ask(Operation.QUERY_SPLIT, {"split_no": number})
        return Reply(_order(call, call.front.channel(call.account.channel_id).book.splits[number], told), told)

    async def amounts(self, call: Call) -> Reply:
        """Tell what is left to be shared out."""
        attempt = call.front.find(call.account.channel_id, txn_no(call.path["transaction_id"]))
        told = await _weather(call, attempt.number if attempt else "unknown")
        if attempt is None or attempt.merchant_no != call.account.merchant_no:
            raise Refusal(404, "RESOURCE_NOT_EXISTS", "订单不存在").with_weather(told)
        most = attempt.amount_minor * SHARE_MAX_PERCENT // 100
        return Reply(
            {"transaction_id": call.path["transaction_id"], "unsplit_amount": max(0, most - attempt.split_minor)}, told
        )

    @staticmethod
    def _check_name(call: Call, receiver: Fields) -> None:
        sealed = receiver.text("name", longest=1_024)
        if sealed and unsealed(call.account, call.sealed_with, sealed) is None:
            raise receiver.invalid("name", "")


async def _weather(call: Call, number: str) -> Told:
    """Ask about nothing of the world's own, so that its faults strike this too."""
    return await call.front.ask(
        call.account.channel_id, Operation.QUERY_SPLIT, {"split_no": number or "unknown"}, call.account.merchant_no
    )


def _receiver(fields: Fields) -> tuple[str, str]:
    kind = fields.text("type", required=True, longest=32)
    if kind not in _KINDS:
        raise fields.invalid("type", kind)
    return kind, fields.text("account", required=True, longest=64)


def _order(call: Call, split: Split, told: Told) -> Json:
    word = SideWord(told.fields["word"])
    receivers: Sequence[Json] = [
        _share(account, amount, _RESULTS[word], split.done_ms, split.reason) for account, amount in split.shares
    ]
    return {
        "transaction_id": decimal(split.attempt.txn_no),
        "out_order_no": split.number,
        "order_id": decimal(split.txn_no),
        "state": "PROCESSING" if word is SideWord.SPLIT_ACCEPTED else "FINISHED",
        "receivers": [*receivers, *_rest(call.account, split, word)],
    }


def _rest(account: Account, split: Split, word: SideWord) -> list[Json]:
    """Return the merchant's own part, which a finished last split tells of too."""
    left = split.attempt.amount_minor - split.attempt.split_minor
    if not split.is_last or word is SideWord.SPLIT_ACCEPTED or left <= 0:
        return []
    return [_share(account.merchant_no, left, "SUCCESS", split.done_ms)]


def _share(account: str, amount_minor: int, result: str, done_ms: int, reason: Reason = Reason.NONE) -> Json:
    share: Json = {
        "amount": amount_minor,
        "description": "分账",
        "type": "MERCHANT_ID" if account.isdecimal() else "PERSONAL_OPENID",
        "account": account,
        "result": result,
        "detail_id": f"36{amount_minor:020d}",
    }
    if done_ms:
        share["finish_time"] = time_text(done_ms)
    if reason:
        share["fail_reason"] = "ACCOUNT_ABNORMAL"
    return share
