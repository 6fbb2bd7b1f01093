"""The conversation with UnionPay: the only file of this folder that does I/O.

| method           | asks UnionPay (txnType/txnSubType)      | may answer                                              |
|------------------|-----------------------------------------|---------------------------------------------------------|
| `charge`         | front and app 01/01, bound card 01/01   | ACCEPTED, REJECTED, NOT_SENT, MAYBE                     |
| `query`          | 00/00                                   | DONE, ACCEPTED, REJECTED, NOT_FOUND, MAYBE              |
| `close`          | 00/00, see there                        | DONE, CLOSED, REJECTED, MAYBE                           |
| `refund`         | 04/00                                   | ACCEPTED, REJECTED, NOT_FOUND, NOT_SENT, MAYBE          |
| `query_refund`   | 00/00                                   | DONE, ACCEPTED, REJECTED, NOT_FOUND, MAYBE              |
| `debit`          | 11/00                                   | as `charge`                                             |
| `payout`         | 12/00                                   | ACCEPTED, REJECTED, NOT_SENT, MAYBE                     |
| `query_payout`   | 00/00                                   | DONE, ACCEPTED, REJECTED, NOT_FOUND, MAYBE              |
| `sign`           | 72/01 with a card, else the page 79/00  | DONE, ACCEPTED, REJECTED, NOT_SENT, MAYBE               |
| `query_mandate`  | 75/00                                   | DONE, CLOSED, NOT_FOUND, MAYBE                          |
| `unsign`         | 74/00                                   | CLOSED, REJECTED, MAYBE                                 |
| `verify`         | 72/01                                   | DONE, REJECTED, NOT_SENT, MAYBE                         |
| `download_bill`  | 76/01 on the file host                  | DONE, NOT_FOUND, NOT_SENT, MAYBE                        |
| `send_batch`     | 21/01, 02, 03                           | ACCEPTED, REJECTED, NOT_SENT, MAYBE                     |
| `query_batch`    | 22/01, 02, 03                           | DONE with the result file, ACCEPTED, NOT_FOUND, MAYBE   |

Every answer is verified with the certificate that it carries, and must speak of the request that was sent: signed
answers hold no time of their own, so another request's answer could be sent in its place.
"""

import asyncio
import time
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import structlog

from channels import rsa, words
from channels.asking import Asked, for_merchants, side_by_side
from channels.http import HttpTransport, Lost
from channels.port import (
    Answer,
    Answers,
    Bill,
    BillKind,
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
    VerifyRequest,
)
from channels.unionpay import batches, mapping, messages, signing
from channels.unionpay.batches import Batch
from channels.unionpay.config import ABILITIES, Merchant, Product, UnionPayConfig
from channels.unionpay.messages import Fields, Unwritable
from domain.evidence import Fault, Outcome

log = structlog.get_logger()

Request = TypeVar("Request", bound=Asked)

FRONT, APP, BACK = "/gateway/api/frontTransReq.do", "/gateway/api/appTransReq.do", "/gateway/api/backTransReq.do"
QUERY, BATCH = "/gateway/api/queryTrans.do", "/gateway/api/batchTrans.do"
# A day's file of a large merchant, packed and in base64.
FILE_BYTES_MAX = 256 << 20
_FORM = {"content-type": "application/x-www-form-urlencoded;charset=UTF-8"}
_GOOD = frozenset({"00", "A6"})


class BatchAnswer(NamedTuple):
    """What UnionPay said to a batch. DONE: `lines` are the results, one per line that was sent."""

    outcome: Outcome
    reason: str = ""
    fault: Fault = Fault.NONE
    lines: Sequence[Mapping[str, str]] = ()


class UnionPayChannel:
    """UnionPay behind the port."""

    abilities = ABILITIES

    def __init__(
        self,
        config: UnionPayConfig,
        transport: HttpTransport,
        *,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._config = config
        self._transport = transport
        self._clock_ms = clock_ms
        self._room = asyncio.Semaphore(config.concurrency_max)

    def charge(self, requests: Sequence[Charge]) -> Answers:
        """Ask for money: on UnionPay's page, in its app, or from a bound card, as the payer's terminal has it."""
        return self._each(requests, self._charge)

    def query(self, requests: Sequence[Lookup]) -> Answers:
        """Ask what became of attempts."""
        return self._each(requests, self._query)

    def close(self, requests: Sequence[Lookup]) -> Answers:
        """Tell whether attempts are at an end. UnionPay closes nothing on demand: it refuses an order after its time.

        So CLOSED is said once that time is over and UnionPay knows of no payment; before, MAYBE: ask again later.
        """
        return self._each(requests, self._close)

    def refund(self, requests: Sequence[RefundRequest]) -> Answers:
        """Ask to give money back."""
        return self._each(requests, self._refund)

    def query_refund(self, requests: Sequence[RefundLookup]) -> Answers:
        """Ask what became of refunds."""
        return self._each(requests, self._query)

    def debit(self, requests: Sequence[DebitRequest]) -> Answers:
        """Collect from bound cards or named accounts."""
        return self._each(requests, self._debit)

    def payout(self, requests: Sequence[PayoutRequest]) -> Answers:
        """Pay out to cards and companies' accounts."""
        return self._each(requests, self._payout)

    def query_payout(self, requests: Sequence[PayoutLookup]) -> Answers:
        """Ask what became of payouts."""
        return self._each(requests, self._query_payout)

    def sign(self, requests: Sequence[SignRequest]) -> Answers:
        """Bind cards: at once where `payer_ref` is the card's number, else on UnionPay's page."""
        return self._each(requests, self._sign)

    def query_mandate(self, requests: Sequence[MandateLookup]) -> Answers:
        """Ask whether cards are bound."""
        return self._each(requests, self._query_mandate)

    def unsign(self, requests: Sequence[MandateLookup]) -> Answers:
        """Unbind cards."""
        return self._each(requests, self._unsign)

    def verify(self, requests: Sequence[VerifyRequest]) -> Answers:
        """Ask whether identities are true."""
        return self._each(requests, self._verify)

    def download_bill(self, requests: Sequence[BillRequest]) -> AsyncIterator[list[Bill]]:
        """Fetch settlement files."""
        return side_by_side(requests, self._bill, self._room)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    # --- one request ------------------------------------------------------------------------------------------------

    def _each(
        self, requests: Sequence[Request], ask: Callable[[Merchant, Request], Awaitable[Answer]]
    ) -> Answers:
        """Ask side by side; of what UnionPay has no words for, nothing is sent."""

        async def answer(merchant: Merchant, request: Request) -> Answer:
            try:
                return await ask(merchant, request)
            except Unwritable as unwritable:
                return Answer(request.number, Outcome.NOT_SENT, unwritable.reason, Fault.CONFIG)

        return for_merchants(requests, self._config.merchants, answer, self._room)

    async def _charge(self, merchant: Merchant, request: Charge) -> Answer:
        product = self._config.products.get(request.terminal, Product.FRONT)
        biz_type = messages.BOUND if product is Product.BACK else messages.GATEWAY
        request = request._replace(return_url=request.return_url or self._config.front_url)
        fields = messages.consume(request, biz_type=biz_type, pay_window_s=self._config.pay_window_s)
        if product is Product.FRONT:
            page = messages.form(self._config.base_url + FRONT, await self._signed(merchant, fields))
            return Answer(request.attempt_no, Outcome.ACCEPTED, action_kind="FORM", action_value=page)
        said = await self._ask(merchant, APP if product is Product.APP else BACK, fields)
        if isinstance(said, Lost):
            return Answer(request.attempt_no, *said)
        answer = self._noted(mapping.request_answer(request.attempt_no, said), said)
        if answer.reason == mapping.NUMBER_TAKEN:
            return await self._arrived_before(merchant, answer)
        if product is Product.APP and answer.outcome is Outcome.ACCEPTED:
            return answer._replace(action_kind="APP", action_value=said.get("tn", ""))
        return answer

    async def _query(self, merchant: Merchant, request: Lookup | RefundLookup) -> Answer:
        return await self._trade(merchant, request.number)

    async def _query_payout(self, merchant: Merchant, request: PayoutLookup) -> Answer:
        return await self._trade(merchant, request.payout_no, pays_out=True)

    async def _trade(self, merchant: Merchant, number: str, *, pays_out: bool = False) -> Answer:
        said = await self._ask(merchant, QUERY, messages.query(number))
        if isinstance(said, Lost):
            return Answer(number, *said)
        return self._noted(mapping.trade_answer(number, said, pays_out=pays_out), said)

    async def _close(self, merchant: Merchant, request: Lookup) -> Answer:
        end_ms = messages.pay_end_ms(request.attempt_no, pay_window_s=self._config.pay_window_s)
        asked_ms = self._clock_ms()
        answer = await self._trade(merchant, request.attempt_no)
        if answer.outcome is not Outcome.NOT_FOUND:
            return answer
        if asked_ms >= end_ms + self._config.close_patience_s * 1_000:
            return answer._replace(outcome=Outcome.CLOSED, reason="PAY_WINDOW_OVER")
        return answer._replace(outcome=Outcome.MAYBE, reason="PAY_WINDOW_OPEN")

    async def _refund(self, merchant: Merchant, request: RefundRequest) -> Answer:
        """Send a refund. Where UnionPay's number of the original is not known, ask for it first."""
        query_id = request.channel_txn_no
        if not query_id:
            original = await self._trade(merchant, request.attempt_no)
            if original.outcome is not Outcome.DONE:
                unsent = original.outcome in (Outcome.MAYBE, Outcome.NOT_SENT, Outcome.ACCEPTED)
                outcome = Outcome.NOT_SENT if unsent else original.outcome
                return Answer(request.refund_no, outcome, original.reason or "ORIGINAL_UNKNOWN", original.fault)
            query_id = original.channel_txn_no
        return await self._move(merchant, request.refund_no, messages.refund(request, query_id=query_id))

    async def _debit(self, merchant: Merchant, request: DebitRequest) -> Answer:
        fields = messages.debit(request, await self._encrypt(merchant))
        return await self._move(merchant, request.attempt_no, fields)

    async def _payout(self, merchant: Merchant, request: PayoutRequest) -> Answer:
        fields = messages.payout(request, await self._encrypt(merchant))
        return await self._move(merchant, request.payout_no, fields, pays_out=True)

    async def _move(self, merchant: Merchant, number: str, fields: Fields, *, pays_out: bool = False) -> Answer:
        said = await self._ask(merchant, BACK, fields)
        if isinstance(said, Lost):
            return Answer(number, *said)
        answer = self._noted(mapping.request_answer(number, said, pays_out=pays_out), said)
        if answer.reason == mapping.NUMBER_TAKEN:
            return await self._arrived_before(merchant, answer, pays_out=pays_out)
        return answer

    async def _arrived_before(self, merchant: Merchant, taken: Answer, *, pays_out: bool = False) -> Answer:
        """Tell of a number that is taken what became of it: an earlier send of it has arrived.

        A trade that is done was proved by a question only just now, but in the place of an answer to a request: so it is
        told as accepted, and proved by a question of its own.
        """
        told = await self._trade(merchant, taken.number, pays_out=pays_out)
        if told.outcome is Outcome.DONE:
            return told._replace(outcome=Outcome.ACCEPTED)
        return taken if told.outcome in (Outcome.NOT_FOUND, Outcome.NOT_SENT) else told

    async def _sign(self, merchant: Merchant, request: SignRequest) -> Answer:
        request = request._replace(return_url=request.return_url or self._config.front_url)
        fields = messages.sign(request, await self._encrypt(merchant))
        if fields["txnType"] == "79":
            page = messages.form(self._config.base_url + FRONT, await self._signed(merchant, fields))
            return Answer(request.mandate_no, Outcome.ACCEPTED, action_kind="FORM", action_value=page)
        return await self._mandate(merchant, request.mandate_no, request.mandate_no, fields)

    async def _query_mandate(self, merchant: Merchant, request: MandateLookup) -> Answer:
        fields = messages.mandate(request, ends=False)
        return await self._mandate(merchant, request.mandate_no, fields["bindId"], fields)

    async def _unsign(self, merchant: Merchant, request: MandateLookup) -> Answer:
        fields = messages.mandate(request, ends=True)
        return await self._mandate(merchant, request.mandate_no, fields["bindId"], fields, ends=True)

    async def _mandate(
        self, merchant: Merchant, number: str, agreement_no: str, fields: Fields, *, ends: bool = False
    ) -> Answer:
        said = await self._ask(merchant, BACK, fields)
        if isinstance(said, Lost):
            return Answer(number, *said)
        return self._noted(mapping.mandate_answer(number, agreement_no, said, ends=ends), said)

    async def _verify(self, merchant: Merchant, request: VerifyRequest) -> Answer:
        fields = messages.verify(request.verify_no, request.person, await self._encrypt(merchant))
        said = await self._ask(merchant, BACK, fields)
        if isinstance(said, Lost):
            return Answer(request.verify_no, *said)
        return self._noted(mapping.verify_answer(request.verify_no, said), said)

    # --- files ------------------------------------------------------------------------------------------------------

    async def _bill(self, request: BillRequest) -> Bill:
        merchant = self._config.merchants.get(request.merchant_no)
        if merchant is None or request.kind is not BillKind.TRADE:
            reason = "SECRET_MISSING" if merchant is None else "NO_SUCH_KIND"
            return Bill(request.number, Outcome.NOT_SENT, b"", reason, Fault.CONFIG)
        fields = messages.file_transfer(request.date, now_ms=self._clock_ms())
        said = await self._ask(merchant, self._config.file_url, fields, bytes_max=FILE_BYTES_MAX)
        if isinstance(said, Lost):
            return Bill(request.number, said.outcome, b"", said.reason, said.fault)
        if said.get("respCode", "") not in _GOOD:
            answer = self._noted(mapping.request_answer(request.number, said), said)
            found_none = answer.outcome is Outcome.NOT_FOUND
            return Bill(
                request.number, Outcome.NOT_FOUND if found_none else Outcome.MAYBE, b"", answer.reason, answer.fault
            )
        try:
            content = await rsa.off_loop(batches.unpack, said.get("fileContent", ""))
        except ValueError:
            return Bill(request.number, Outcome.MAYBE, b"", "MALFORMED", Fault.CHANNEL)
        return Bill(request.number, Outcome.DONE, content)

    async def send_batch(self, batch: Batch) -> BatchAnswer:
        """Send a batch file. Repeating number and time never moves money twice; only `query_batch` proves anything.

        Raise ValueError for lines that the layout cannot hold.
        """
        merchant = self._config.merchants.get(batch.merchant_no)
        if merchant is None:
            return BatchAnswer(Outcome.NOT_SENT, "SECRET_MISSING", Fault.CONFIG)
        content = await rsa.off_loop(batches.write, self._config.batch_layout, batch)
        fields = messages.batch(
            batch.kind, batch.batch_no, batch.txn_time, batches.pack(content), count=len(batch.lines),
            amount_minor=batch.amount_minor,
        )  # fmt: skip
        said = await self._ask(merchant, BATCH, fields)
        if isinstance(said, Lost):
            return BatchAnswer(*said)
        answer = self._noted(mapping.request_answer(batch.batch_no, said, pays_out=batch.kind == "03"), said)
        return BatchAnswer(answer.outcome, answer.reason, answer.fault)

    async def query_batch(self, batch: Batch) -> BatchAnswer:
        """Ask for the results of a batch file: after about an hour, since no notice tells of them."""
        merchant = self._config.merchants.get(batch.merchant_no)
        if merchant is None:
            return BatchAnswer(Outcome.NOT_SENT, "SECRET_MISSING", Fault.CONFIG)
        fields = messages.batch_query(batch.kind, batch.batch_no, batch.txn_time)
        said = await self._ask(merchant, BATCH, fields, bytes_max=FILE_BYTES_MAX)
        if isinstance(said, Lost):
            return BatchAnswer(*said)
        if said.get("respCode", "") not in _GOOD:
            answer = self._noted(mapping.request_answer(batch.batch_no, said), said)
            known = (Outcome.ACCEPTED, Outcome.NOT_FOUND)
            return BatchAnswer(
                answer.outcome if answer.outcome in known else Outcome.MAYBE, answer.reason, answer.fault
            )
        if not said.get("fileContent"):
            return BatchAnswer(Outcome.ACCEPTED)
        try:
            content = await rsa.off_loop(batches.unpack, said["fileContent"])
            lines = await rsa.off_loop(batches.read_results, self._config.batch_layout, content)
        except (ValueError, batches.BatchDamaged):
            return BatchAnswer(Outcome.MAYBE, "MALFORMED", Fault.CHANNEL)
        return BatchAnswer(Outcome.DONE, lines=lines)

    # --- wire -------------------------------------------------------------------------------------------------------

    async def _signed(self, merchant: Merchant, fields: Fields) -> Fields:
        whole = {
            "version": "5.1.0", "encoding": "UTF-8", "signMethod": "01", "certId": merchant.cert_id, "accessType": "0",
            "merId": merchant.number,
        } | {name: value for name, value in fields.items() if value}  # fmt: skip
        if "accNo" in whole and merchant.encrypt_key is not None:
            whole["encryptCertId"] = merchant.encrypt_cert_id
        return whole | {"signature": await rsa.off_loop(signing.sign, whole, merchant.key)}

    async def _ask(self, merchant: Merchant, path: str, fields: Fields, *, bytes_max: int = 0) -> Fields | Lost:
        """Send one request; return its verified answer, or what is known without one."""
        url = path if "://" in path else self._config.base_url + path
        body = urllib.parse.urlencode(await self._signed(merchant, fields)).encode()
        reply = await self._transport.send("POST", url, headers=_FORM, body=body, answer_bytes_max=bytes_max)
        if isinstance(reply, Lost):
            return reply
        if reply.status != 200:
            return Lost(Outcome.MAYBE, f"HTTP_{reply.status}", Fault.CHANNEL)
        try:
            said = await rsa.off_loop(_verified, merchant, reply.body, self._clock_ms())
        except ValueError:
            log.error("answer_malformed", channel_id=self._config.channel_id)
            return Lost(Outcome.MAYBE, "MALFORMED", Fault.CHANNEL)
        if said is None:
            return Lost(Outcome.MAYBE, "SIGNATURE_INVALID", Fault.CHANNEL)
        if not _answers(said, fields, merchant):
            log.error("answer_to_something_else", channel_id=self._config.channel_id, number=fields.get("orderId", ""))
            return Lost(Outcome.MAYBE, "OTHER_ANSWER", Fault.CHANNEL)
        return said

    async def _encrypt(self, merchant: Merchant) -> Callable[[str], str] | None:
        """Return how to encrypt for UnionPay, None where the contract has no certificate for it."""
        key = merchant.encrypt_key
        if key is None:
            return None
        return lambda text: signing.encrypt(text, key)

    def _noted(self, answer: Answer, said: Fields) -> Answer:
        return words.seen(answer, self._config.channel_id, mapping.word_of(said))


def _verified(merchant: Merchant, body: bytes, now_ms: int) -> Fields | None:
    """Read and verify an answer; None for one that nobody believed has signed. Raise ValueError."""
    said = messages.read_answer(body)
    return said if merchant.trust.verify(said, now_ms=now_ms) else None


def _answers(said: Fields, asked: Fields, merchant: Merchant) -> bool:
    """Tell whether an answer is to this very request: a good one names it, a bad one names at least no other."""
    names = {name: asked[name] for name in ("orderId", "txnTime", "batchNo") if name in asked} | {
        "merId": merchant.number
    }
    if said.get("respCode") in _GOOD:
        return all(said.get(name) == value for name, value in names.items())
    return all(said.get(name, value) == value for name, value in names.items())


class UnionPayCallbacks:
    """Reads UnionPay's notices. The merchant that a notice names is the one whose trusted certificates must have signed."""

    def __init__(self, config: UnionPayConfig) -> None:
        self._config = config

    def read(self, *, headers: Mapping[str, str], body: bytes, now_ms: int) -> Notice:
        """Verify the certificate and the signature over all fields, then read. Raise CallbackRefused.

        A notice carries no time that is signed for the purpose; a replay is stopped by its id and changes nothing.
        """
        try:
            said = messages.read_notice(body)
        except ValueError as error:
            raise CallbackRefused("MALFORMED" if b"signature=" in body else "SIGNATURE_INVALID") from error
        merchant = self._config.merchants.get(said.get("merId", ""))
        if merchant is None or not merchant.trust.verify(said, now_ms=now_ms):
            raise CallbackRefused("SIGNATURE_INVALID")
        try:
            evidence = mapping.evidence_of(said, now_ms=now_ms)
        except ValueError as error:
            raise CallbackRefused("MALFORMED") from error
        # A trade has one number at UnionPay; its notice is sent again unchanged until it is heard. Another notice of the same
        # trade must not be taken for a copy, whatever it says differently.
        trade = said.get("queryId") or said["orderId"]
        parts = (trade, *(said.get(name, "") for name in ("txnType", "respCode", "txnAmt", "merId")))
        return Notice("-".join(parts), evidence, mapping.word_of(said))

    def acknowledgement(self) -> tuple[str, bytes]:
        """Return what UnionPay takes as "heard": any answer with status 200."""
        return "text/plain", b"ok"

    def refusal(self, reason: str) -> tuple[str, bytes]:
        """Return a text that nobody reads: UnionPay looks at the status."""
        return "text/plain", reason.encode()
