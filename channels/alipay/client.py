"""The conversation with Alipay's gateway: one HTTPS request each, side by side, signed and verified.

| method          | asks                                | may answer                                                  |
|-----------------|-------------------------------------|-------------------------------------------------------------|
| `charge`        | for a trade that a payer can pay    | ACCEPTED with an action, CLOSED, REJECTED, MAYBE             |
| `query`         | what became of a charge or a debit  | DONE, ACCEPTED, CLOSED, NOT_FOUND, MAYBE                     |
| `close`         | that no money can come              | CLOSED, DONE (it came already), NOT_FOUND, MAYBE            |
| `refund`        | to give money back                  | ACCEPTED, REJECTED, NOT_FOUND, MAYBE, never DONE            |
| `query_refund`  | what became of that                 | DONE, NOT_FOUND (not refunded, or not yet), MAYBE           |
| `payout`        | to pay an account or a bank card    | DONE, ACCEPTED, REJECTED, MAYBE                             |
| `query_payout`  | what became of that                 | DONE, ACCEPTED, REJECTED (also RETURNED, days later), NOT_FOUND, MAYBE |
| `sign`          | a payer for a mandate               | ACCEPTED with an action                                     |
| `query_mandate` | how a mandate stands                | DONE, ACCEPTED, CLOSED, NOT_FOUND, MAYBE                    |
| `unsign`        | for the end of a mandate            | CLOSED, NOT_FOUND, MAYBE                                    |
| `debit`         | for money under a mandate           | DONE, ACCEPTED, REJECTED, MAYBE                             |
| `split`         | to share out what was paid          | ACCEPTED, REJECTED, MAYBE                                   |
| `query_split`   | what became of that                 | DONE, ACCEPTED, REJECTED, NOT_FOUND, MAYBE                  |
| `verify`        | whether a person is who he says     | DONE, REJECTED, MAYBE                                       |
| `download_bill` | for a day's statement               | DONE with its bytes, NOT_FOUND, MAYBE                       |

Payments on web pages and in apps, and agreements, begin in the payer's own browser or phone: their requests are signed
here and sent there, so nothing is asked of the gateway. A code that nobody scans makes no trade either. Such a trade is
NOT_FOUND until the payer comes, and its own time of expiry sees to it that he cannot come late.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

import structlog

from channels import rsa, words
from channels.alipay import mapping, messages, signing
from channels.alipay.config import ABILITIES, AlipayConfig, Merchant
from channels.alipay.messages import Call
from channels.asking import for_merchants, side_by_side
from channels.http import HttpTransport, Lost
from channels.port import (
    Answer,
    Answers,
    Bill,
    BillRequest,
    CallbackRefused,
    Charge,
    DebitRequest,
    Lookup,
    MandateLookup,
    Notice,
    PayoutLookup,
    PayoutRequest,
    RefundLookup,
    RefundRequest,
    SignRequest,
    SplitLookup,
    SplitRequest,
    VerifyRequest,
)
from domain.evidence import Fault, Outcome

log = structlog.get_logger()

Inner = dict[str, Any]

BILL_BYTES_MAX = 256 << 20
# By where the payer is: the method, its product, and what the payer does with it. Everywhere else a code is shown.
_BROWSED = {
    "PC": ("alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY"),
    "H5": ("alipay.trade.wap.pay", "QUICK_WAP_WAY"),
    "APP": ("alipay.trade.app.pay", "QUICK_MSECURITY_PAY"),
}
_SCANNED = ("alipay.trade.precreate", "FACE_TO_FACE_PAYMENT")


class AlipayChannel:
    """The channel behind the port."""

    abilities = ABILITIES

    def __init__(
        self,
        config: AlipayConfig,
        transport: HttpTransport,
        *,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._config = config
        self._transport = transport
        self._clock_ms = clock_ms
        self._room = asyncio.Semaphore(config.connections_max)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    # --- charges ----------------------------------------------------------------------------------------------------

    def charge(self, requests: Sequence[Charge]) -> Answers:
        """Ask for trades that payers can pay."""
        return for_merchants(requests, self._config.merchants, self._charge, self._room)

    def query(self, requests: Sequence[Lookup]) -> Answers:
        """Ask what became of charges and debits."""
        return for_merchants(requests, self._config.merchants, self._query, self._room)

    def close(self, requests: Sequence[Lookup]) -> Answers:
        """Close charges."""
        return for_merchants(requests, self._config.merchants, self._close, self._room)

    async def _charge(self, merchant: Merchant, request: Charge) -> Answer:
        browsed = _BROWSED.get(request.terminal)
        if browsed is not None:
            kind = "APP" if request.terminal == "APP" else "REDIRECT"
            return await self._to_browser(merchant, request.attempt_no, messages.charge(request, *browsed), kind)

        def accepted(inner: Inner) -> Answer:
            code = inner.get("qr_code")
            if not isinstance(code, str) or not code:
                raise ValueError("no code")
            return Answer(request.attempt_no, Outcome.ACCEPTED, action_kind="QR_CODE", action_value=code)

        call = messages.charge(request, *_SCANNED)
        answer = await self._ask(merchant, request.attempt_no, call, accepted, moves_money=True)
        if answer.reason == "TRADE_HAS_SUCCESS":
            return await self._query(merchant, Lookup(request.attempt_no, request.merchant_no))
        return answer

    async def _query(self, merchant: Merchant, request: Lookup) -> Answer:
        call = Call("alipay.trade.query", {"out_trade_no": request.attempt_no})
        return await self._ask(
            merchant,
            request.attempt_no,
            call,
            lambda inner: mapping.trade(request.attempt_no, inner, merchant.merchant_no),
        )

    async def _close(self, merchant: Merchant, request: Lookup) -> Answer:
        call = Call("alipay.trade.close", {"out_trade_no": request.attempt_no})
        closed = Answer(request.attempt_no, Outcome.CLOSED, merchant_no=merchant.merchant_no)
        answer = await self._ask(merchant, request.attempt_no, call, lambda _: closed)
        # It is closed already, or it is paid.
        return await self._query(merchant, request) if answer.reason in mapping.ENDED else answer

    # --- refunds ----------------------------------------------------------------------------------------------------

    def refund(self, requests: Sequence[RefundRequest]) -> Answers:
        """Ask to give money back."""
        return for_merchants(requests, self._config.merchants, self._refund, self._room)

    def query_refund(self, requests: Sequence[RefundLookup]) -> Answers:
        """Ask what became of refunds."""
        return for_merchants(requests, self._config.merchants, self._query_refund, self._room)

    async def _refund(self, merchant: Merchant, request: RefundRequest) -> Answer:
        # fund_change tells whether this very request moved money: N is no failure, and Y is no proof.
        promised = Answer(request.refund_no, Outcome.ACCEPTED, merchant_no=merchant.merchant_no)
        call = messages.refund(request)
        answer = await self._ask(merchant, request.refund_no, call, lambda _: promised, moves_money=True)
        if answer.outcome is Outcome.CLOSED:  # TRADE_HAS_CLOSE: also what a whole refund leaves behind
            return answer._replace(outcome=Outcome.MAYBE)
        return answer

    async def _query_refund(self, merchant: Merchant, request: RefundLookup) -> Answer:
        content = {"out_trade_no": request.attempt_no, "out_request_no": request.refund_no}
        call = Call("alipay.trade.fastpay.refund.query", content)
        return await self._ask(
            merchant,
            request.refund_no,
            call,
            lambda inner: mapping.refund(request.refund_no, inner, merchant.merchant_no),
        )

    # --- payouts ----------------------------------------------------------------------------------------------------

    def payout(self, requests: Sequence[PayoutRequest]) -> Answers:
        """Pay out to accounts and bank cards."""
        return for_merchants(requests, self._config.merchants, self._payout, self._room)

    def query_payout(self, requests: Sequence[PayoutLookup]) -> Answers:
        """Ask what became of payouts."""
        return for_merchants(requests, self._config.merchants, self._query_payout, self._room)

    async def _payout(self, merchant: Merchant, request: PayoutRequest) -> Answer:
        number = request.payout_no
        call = messages.payout(request)
        return await self._ask(
            merchant, number, call, lambda inner: mapping.payout(number, inner, merchant.merchant_no), moves_money=True
        )

    async def _query_payout(self, merchant: Merchant, request: PayoutLookup) -> Answer:
        """Ask under both products: a lookup does not tell whether an account or a card was paid."""
        number = request.payout_no
        answer = Answer(number, Outcome.NOT_FOUND)
        for product in (messages.ACCOUNT_PRODUCT, messages.CARD_PRODUCT):
            call = messages.payout_lookup(number, product)
            answer = await self._ask(
                merchant, number, call, lambda inner: mapping.payout(number, inner, merchant.merchant_no)
            )
            if answer.outcome is not Outcome.NOT_FOUND:
                break
        return answer

    # --- mandates ---------------------------------------------------------------------------------------------------

    def sign(self, requests: Sequence[SignRequest]) -> Answers:
        """Ask payers for mandates."""
        return for_merchants(requests, self._config.merchants, self._sign, self._room)

    def query_mandate(self, requests: Sequence[MandateLookup]) -> Answers:
        """Ask how mandates stand."""
        return for_merchants(requests, self._config.merchants, self._query_mandate, self._room)

    def unsign(self, requests: Sequence[MandateLookup]) -> Answers:
        """End mandates."""
        return for_merchants(requests, self._config.merchants, self._unsign, self._room)

    def debit(self, requests: Sequence[DebitRequest]) -> Answers:
        """Take money under mandates."""
        return for_merchants(requests, self._config.merchants, self._debit, self._room)

    async def _sign(self, merchant: Merchant, request: SignRequest) -> Answer:
        call = messages.sign(request, self._config)
        return await self._to_browser(merchant, request.mandate_no, call, "REDIRECT")

    async def _query_mandate(self, merchant: Merchant, request: MandateLookup) -> Answer:
        number = request.mandate_no
        call = messages.mandate("alipay.user.agreement.query", number, request.agreement_no, self._config)
        return await self._ask(
            merchant, number, call, lambda inner: mapping.mandate(number, inner, merchant.merchant_no)
        )

    async def _unsign(self, merchant: Merchant, request: MandateLookup) -> Answer:
        call = messages.mandate("alipay.user.agreement.unsign", request.mandate_no, request.agreement_no, self._config)
        ended = Answer(request.mandate_no, Outcome.CLOSED, merchant_no=merchant.merchant_no)
        return await self._ask(merchant, request.mandate_no, call, lambda _: ended)

    async def _debit(self, merchant: Merchant, request: DebitRequest) -> Answer:
        number = request.attempt_no
        call = messages.debit(request, self._config.withholding_product_code)
        answer = await self._ask(
            merchant, number, call, lambda inner: mapping.taken(number, inner, merchant.merchant_no), moves_money=True
        )
        if answer.reason == "TRADE_HAS_SUCCESS":
            return await self._query(merchant, Lookup(number, request.merchant_no))
        return answer

    # --- splits -----------------------------------------------------------------------------------------------------

    def split(self, requests: Sequence[SplitRequest]) -> Answers:
        """Split what was paid."""
        return for_merchants(requests, self._config.merchants, self._split, self._room)

    def query_split(self, requests: Sequence[SplitLookup]) -> Answers:
        """Ask what became of splits."""
        return for_merchants(requests, self._config.merchants, self._query_split, self._room)

    async def _split(self, merchant: Merchant, request: SplitRequest) -> Answer:
        number = request.split_no
        bound = await self._ask(merchant, number, messages.bind(request), lambda _: Answer(number, Outcome.DONE))
        if bound.outcome is not Outcome.DONE:
            # The receivers are not known there, so nothing was split: it may be sent again.
            return bound._replace(outcome=Outcome.NOT_SENT)
        promised = Answer(number, Outcome.ACCEPTED, merchant_no=merchant.merchant_no)
        return await self._ask(merchant, number, messages.split(request), lambda _: promised, moves_money=True)

    async def _query_split(self, merchant: Merchant, request: SplitLookup) -> Answer:
        number = request.split_no
        content = {"out_request_no": number, "trade_no": request.channel_txn_no}
        return await self._ask(
            merchant, number, Call("alipay.trade.order.settle.query", content),
            lambda inner: mapping.split(number, inner, merchant.merchant_no),
        )  # fmt: skip

    # --- verifications ----------------------------------------------------------------------------------------------

    def verify(self, requests: Sequence[VerifyRequest]) -> Answers:
        """Ask whether identities are true."""
        return for_merchants(requests, self._config.merchants, self._verify, self._room)

    async def _verify(self, merchant: Merchant, request: VerifyRequest) -> Answer:
        number = request.verify_no
        certify_ids: list[str] = []

        def begun(inner: Inner) -> Answer:
            certify_ids.append(str(inner["certify_id"]))
            return Answer(number, Outcome.ACCEPTED)

        call = messages.verify(request, self._config.certify_biz_code)
        answer = await self._ask(merchant, number, call, begun, moves_money=True)
        if not certify_ids:
            return answer
        question = Call("alipay.user.certify.open.query", {"certify_id": certify_ids[0]})
        return await self._ask(
            merchant, number, question, lambda inner: mapping.verification(number, inner, merchant.merchant_no)
        )

    # --- statements -------------------------------------------------------------------------------------------------

    async def download_bill(self, requests: Sequence[BillRequest]) -> Any:
        """Fetch statements."""
        async for bills in side_by_side(requests, self._bill, self._room):
            yield bills

    async def _bill(self, request: BillRequest) -> Bill:
        merchant = self._config.merchants.get(request.merchant_no)
        if merchant is None:
            return Bill(request.number, Outcome.MAYBE, reason="SECRET_MISSING", fault=Fault.CONFIG)
        urls: list[str] = []

        def found(inner: Inner) -> Answer:
            urls.append(str(inner["bill_download_url"]))
            return Answer(request.number, Outcome.DONE)

        answer = await self._ask(merchant, request.number, messages.bill(request), found)
        if not urls:
            outcome = answer.outcome if answer.outcome is Outcome.NOT_FOUND else Outcome.MAYBE
            return Bill(request.number, outcome, reason=answer.reason, fault=answer.fault)
        if urlsplit(urls[0]).scheme != urlsplit(self._config.gateway_url).scheme:
            return Bill(request.number, Outcome.MAYBE, reason="URL_INVALID", fault=Fault.CHANNEL)
        # Whoever has the address has the file, so no signature of ours goes there.
        reply = await self._transport.send("GET", urls[0], answer_bytes_max=BILL_BYTES_MAX)
        if isinstance(reply, Lost):
            return Bill(request.number, Outcome.MAYBE, reason=reply.reason, fault=reply.fault)
        if reply.status != 200:
            return Bill(request.number, Outcome.MAYBE, reason=f"HTTP_{reply.status}", fault=Fault.CHANNEL)
        return Bill(request.number, Outcome.DONE, reply.body)

    # --- asking -----------------------------------------------------------------------------------------------------

    async def _signed(self, merchant: Merchant, call: Call) -> dict[str, str]:
        params = messages.parameters(
            call, app_id=merchant.app_id, app_cert_sn=merchant.app_cert_sn, root_cert_sn=merchant.root_cert_sn,
            now_ms=self._clock_ms(),
        )  # fmt: skip
        return params | {"sign": await rsa.off_loop(signing.sign, merchant.private_key, params)}

    async def _to_browser(self, merchant: Merchant, number: str, call: Call, kind: str) -> Answer:
        """Sign a request that the payer's browser or phone sends."""
        query = urlencode(await self._signed(merchant, call))
        value = query if kind == "APP" else f"{self._config.gateway_url}?{query}"
        return Answer(number, Outcome.ACCEPTED, action_kind=kind, action_value=value)

    async def _ask(
        self,
        merchant: Merchant,
        number: str,
        call: Call,
        read: Callable[[Inner], Answer],
        *,
        moves_money: bool = False,
    ) -> Answer:
        """Ask one thing, verify what comes back, and read it; `read` gets the inner object of a success."""
        inner = await self._exchange(merchant, call)
        if isinstance(inner, Lost):
            return Answer(number, *inner)
        try:
            return mapping.refused(number, inner, moves_money=moves_money) or read(inner)
        except mapping.UnknownWord as unknown:
            answer = Answer(number, Outcome.MAYBE, "UNKNOWN_WORD", Fault.CHANNEL)
            return words.seen(answer, self._config.channel_id, unknown.word)
        except (ValueError, KeyError, TypeError):
            log.error("answer_malformed", channel_id=self._config.channel_id, method=call.method)
            return Answer(number, Outcome.MAYBE, "MALFORMED", Fault.CHANNEL)

    async def _exchange(self, merchant: Merchant, call: Call) -> Inner | Lost:
        """Send a request; return the inner object of a verified answer."""
        params = await self._signed(merchant, call)
        content = params.pop("biz_content")
        reply = await self._transport.send(
            "POST", f"{self._config.gateway_url}?{urlencode(params)}", body=urlencode({"biz_content": content}).encode(),
            headers={"content-type": "application/x-www-form-urlencoded;charset=utf-8"},
        )  # fmt: skip
        if isinstance(reply, Lost):
            return reply
        if reply.status != 200:
            return Lost(Outcome.MAYBE, f"HTTP_{reply.status}", Fault.CHANNEL)
        try:
            envelope = messages.read_answer(reply.body, call.method)
        except (ValueError, IndexError):
            log.error("answer_malformed", channel_id=self._config.channel_id, method=call.method)
            return Lost(Outcome.MAYBE, "MALFORMED", Fault.CHANNEL)
        _, signed, signature, sn = envelope
        # A signature is verified in a fiftieth of the time that it takes to make one: no thread is worth it.
        if not signing.verified(signed, signature, sn, merchant.keys, now_ms=self._clock_ms()):
            return Lost(Outcome.MAYBE, "SIGNATURE_INVALID", Fault.CHANNEL)
        return envelope.inner


class AlipayCallbacks:
    """Reads Alipay's callbacks; pure, so that it can run at the HTTP edge.

    Alipay signs no time that could be checked: a callback is repeated for a day under one number, and what happened once
    is applied once.
    """

    def __init__(self, config: AlipayConfig) -> None:
        self._merchants: dict[str, list[Merchant]] = {}
        for merchant in config.merchants.values():
            self._merchants.setdefault(merchant.app_id, []).append(merchant)

    def read(self, *, headers: Mapping[str, str], body: bytes, now_ms: int) -> Notice:
        """Verify by the keys of the application that is named, then read. The seller must be one of that application's."""
        try:
            fields = messages.read_notice(body)
        except ValueError:
            # What cannot be read as a form has no signature.
            raise CallbackRefused("SIGNATURE_INVALID") from None
        for merchant in self._merchants.get(fields.get("app_id", ""), ()):
            if fields.get("seller_id", merchant.merchant_no) != merchant.merchant_no:
                continue
            if signing.notice_verified(fields, merchant.keys, now_ms=now_ms):
                try:
                    return self._notice(fields, merchant, now_ms)
                except mapping.UnknownWord as unknown:
                    raise CallbackRefused("MALFORMED", word=unknown.word) from unknown
                except (ValueError, KeyError, TypeError, RecursionError) as error:
                    raise CallbackRefused("MALFORMED") from error
        raise CallbackRefused("SIGNATURE_INVALID")

    def acknowledgement(self) -> tuple[str, bytes]:
        """Return the seven letters that Alipay waits for."""
        return "text/plain", b"success"

    def refusal(self, reason: str) -> tuple[str, bytes]:
        """Return what Alipay counts as a failure, as anything else than success."""
        return "text/plain", b"fail"

    @staticmethod
    def _notice(fields: Mapping[str, str], merchant: Merchant, now_ms: int) -> Notice:
        notify_id = fields["notify_id"]
        if fields.get("msg_method") == "alipay.fund.trans.order.changed":
            said = mapping.payout_notice(fields, merchant.merchant_no)
            return Notice(notify_id, mapping.other_evidence_of(said.number, said, now_ms=now_ms))
        if fields.get("notify_type") in ("dut_user_sign", "dut_user_unsign"):
            number = fields["external_agreement_no"]
            said = mapping.mandate(number, fields, merchant.merchant_no)
            return Notice(notify_id, mapping.other_evidence_of(number, said, now_ms=now_ms))
        if fields["notify_type"] != "trade_status_sync":
            raise mapping.UnknownWord(fields["notify_type"])
        return Notice(notify_id, mapping.evidence_of(fields, merchant.merchant_no, now_ms=now_ms))
