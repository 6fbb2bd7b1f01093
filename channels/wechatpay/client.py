"""The conversation with WeChat Pay: one HTTPS request each, side by side, signed and verified.

| method          | asks                                  | may answer                                            |
|-----------------|---------------------------------------|-------------------------------------------------------|
| `charge`        | for an order that a payer can pay     | ACCEPTED with an action, DONE, CLOSED, REJECTED, MAYBE |
| `query`         | what became of a charge or a debit    | DONE, ACCEPTED, REJECTED, CLOSED, NOT_FOUND, MAYBE    |
| `close`         | that no money can come                | CLOSED, DONE (it came already), NOT_FOUND, MAYBE      |
| `refund`        | to give money back                    | ACCEPTED, REJECTED, NOT_FOUND, MAYBE, never DONE      |
| `query_refund`  | what became of that                   | DONE, ACCEPTED, REJECTED, NOT_FOUND, MAYBE            |
| `payout`        | to pay a user of WeChat               | ACCEPTED (perhaps with an action), DONE, REJECTED, MAYBE |
| `query_payout`  | what became of that                   | DONE, ACCEPTED, REJECTED, CLOSED, NOT_FOUND, MAYBE    |
| `sign`          | a payer for a mandate                 | ACCEPTED with an action, REJECTED, MAYBE              |
| `query_mandate` | how a mandate stands                  | DONE, ACCEPTED, REJECTED, CLOSED, NOT_FOUND, MAYBE    |
| `unsign`        | for the end of a mandate              | CLOSED, NOT_FOUND, MAYBE                              |
| `debit`         | for money under a mandate             | ACCEPTED, NOT_SENT (announced, not due yet), REJECTED, MAYBE |
| `split`         | to share out what was paid            | ACCEPTED, DONE, REJECTED, MAYBE                       |
| `query_split`   | what became of that                   | DONE, ACCEPTED, REJECTED, NOT_FOUND, MAYBE            |
| `download_bill` | for a day's statement                 | DONE with its bytes, NOT_FOUND, MAYBE                 |
"""

import asyncio
import hashlib
import json
import secrets
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

import structlog

from channels import rsa, words
from channels.asking import Asked, for_merchants, side_by_side
from channels.http import HttpLimits, HttpTransport, Lost, Reply, target_of
from channels.port import (
    Answer,
    Answers,
    Bill,
    BillRequest,
    Charge,
    DebitRequest,
    Lookup,
    MandateLookup,
    PayeeKind,
    PayoutLookup,
    PayoutRequest,
    RefundLookup,
    RefundRequest,
    SignRequest,
    SplitLookup,
    SplitRequest,
)
from channels.wechatpay import mapping, messages, signing
from channels.wechatpay.config import ABILITIES, Merchant, PlatformKey, WechatpayConfig, platform_keys
from channels.wechatpay.messages import Call, Json
from domain.credentials import Learned
from domain.evidence import Fault, Outcome

log = structlog.get_logger()

Request = TypeVar("Request", bound=Asked)

# A new certificate of the platform is looked for at most so often, whatever serial numbers messages name.
CERTIFICATES_PAUSE_S = 60.0
# A statement of half a million lines, as it is and as it is sent.
BILL_BYTES_MAX = 256 << 20
BILL_TOTAL_S = 300.0
# Where files of the real platform are: our signature is sent to no other host that an answer may name.
BILL_HOSTS = frozenset({"api.mch.weixin.qq.com", "api2.mch.weixin.qq.com"})
# The platform's words for a debit that has been announced to the payer.
_ANNOUNCED = frozenset({"SCHEDULED"})
_OVER = frozenset({"EXPIRED"})
# When the platform takes announcements and debits, by China's clocks, so that nobody is woken.
_WAKES, _ANNOUNCED_BY, _DEBITED_BY = "08:00", "19:30", "20:00"
# By where the payer is; everything else is shown a QR code.
_PRODUCTS = {"WECHAT_OA": "jsapi", "H5": "h5", "APP": "app"}


class _Heard(NamedTuple):
    """A verified answer."""

    good: bool
    item: Json


_Said = _Heard | Lost


class WechatpayChannel:
    """The channel behind the port."""

    abilities = ABILITIES

    def __init__(
        self,
        config: WechatpayConfig,
        transport: HttpTransport,
        *,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._config = config
        self._transport = transport
        self._files = HttpTransport(HttpLimits(connections_max=4, total_s=BILL_TOTAL_S))
        self._clock_ms = clock_ms
        self._room = asyncio.Semaphore(config.connections_max)
        self._learned: dict[str, dict[str, PlatformKey]] = {}
        self._learned_s: dict[str, float] = {}
        self._fresh: list[Learned] = []
        self._learning: dict[str, asyncio.Lock] = {}

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()
        await self._files.aclose()

    # --- charges ----------------------------------------------------------------------------------------------------

    def charge(self, requests: Sequence[Charge]) -> Answers:
        """Ask for orders that payers can pay."""
        return self._each(requests, self._charge)

    def query(self, requests: Sequence[Lookup]) -> Answers:
        """Ask what became of charges and debits."""
        return self._each(requests, self._query)

    def close(self, requests: Sequence[Lookup]) -> Answers:
        """Close charges."""
        return self._each(requests, self._close)

    async def _charge(self, merchant: Merchant, request: Charge) -> Answer:
        product = _PRODUCTS.get(request.terminal, "native")
        if product == "jsapi" and not request.payer_ref:
            return Answer(request.attempt_no, Outcome.NOT_SENT, "PAYER_REF_MISSING", Fault.CONFIG)
        call = messages.charge(request, merchant, product, self._config.payer_ip)
        said = await self._exchange(merchant, call)
        if isinstance(said, Lost):
            return Answer(request.attempt_no, *said)
        if not said.good:
            answer = mapping.refused(request.attempt_no, said.item, moves_money=True)
            if answer.reason in mapping.PAID_BEFORE:
                return await self._query(merchant, Lookup(request.attempt_no, request.merchant_no))
            return answer
        kind, value = await self._action(merchant, product, said.item, request.return_url)
        return Answer(request.attempt_no, Outcome.ACCEPTED, action_kind=kind, action_value=value)

    async def _action(self, merchant: Merchant, product: str, item: Json, return_url: str) -> tuple[str, str]:
        """Return what the payer does next; scripts and apps get their parameters signed."""
        if product == "native":
            return "QR_CODE", messages.text(item, "code_url", required=True)
        if product == "h5":
            url = messages.text(item, "h5_url", required=True)
            return "REDIRECT", f"{url}&redirect_url={quote(return_url, safe='')}" if return_url else url
        prepay_id = messages.text(item, "prepay_id", required=True)
        key = merchant.private_key
        time_s, nonce = str(self._clock_ms() // 1000), secrets.token_hex(8)
        if product == "jsapi":
            package = f"prepay_id={prepay_id}"
            signature = await rsa.off_loop(signing.sign_lines, key, merchant.appid, time_s, nonce, package)
            return "JSAPI", _json(appId=merchant.appid, timeStamp=time_s, nonceStr=nonce, package=package,
                                  signType="RSA", paySign=signature)  # fmt: skip
        signature = await rsa.off_loop(signing.sign_lines, key, merchant.appid, time_s, nonce, prepay_id)
        return "APP", _json(appid=merchant.appid, partnerid=merchant.mchid, prepayid=prepay_id, package="Sign=WXPay",
                            noncestr=nonce, timestamp=time_s, sign=signature)  # fmt: skip

    async def _query(self, merchant: Merchant, request: Lookup) -> Answer:
        return await self._ask(merchant, request.attempt_no, messages.query(request), mapping.trade)

    async def _close(self, merchant: Merchant, request: Lookup) -> Answer:
        answer = await self._ask(merchant, request.attempt_no, messages.close(request), mapping.closed)
        if answer.reason in mapping.PAID_BEFORE:
            return await self._query(merchant, request)
        return answer

    # --- refunds ----------------------------------------------------------------------------------------------------

    def refund(self, requests: Sequence[RefundRequest]) -> Answers:
        """Ask to give money back."""
        return self._each(requests, self._refund)

    def query_refund(self, requests: Sequence[RefundLookup]) -> Answers:
        """Ask what became of refunds."""
        return self._each(requests, self._query_refund)

    async def _refund(self, merchant: Merchant, request: RefundRequest) -> Answer:
        paid_minor = request.paid_minor
        if not paid_minor:
            paid = await self._query(merchant, Lookup(request.attempt_no, request.merchant_no))
            if paid.outcome is not Outcome.DONE:
                # Nothing was asked for yet. What was not paid cannot be given back; about the rest nothing is known.
                known = paid.outcome in (Outcome.NOT_FOUND, Outcome.CLOSED, Outcome.REJECTED, Outcome.ACCEPTED)
                outcome = Outcome.REJECTED if known else Outcome.NOT_SENT
                return Answer(request.refund_no, outcome, "NOT_PAID" if known else paid.reason, paid.fault)
            paid_minor = paid.amount_minor
        call = messages.refund(request, paid_minor)
        return await self._ask(merchant, request.refund_no, call, mapping.refund_promised, moves_money=True)

    async def _query_refund(self, merchant: Merchant, request: RefundLookup) -> Answer:
        return await self._ask(merchant, request.refund_no, messages.query_refund(request), mapping.refund)

    # --- payouts ----------------------------------------------------------------------------------------------------

    def payout(self, requests: Sequence[PayoutRequest]) -> Answers:
        """Pay out to users of WeChat."""
        return self._each(requests, self._payout)

    def query_payout(self, requests: Sequence[PayoutLookup]) -> Answers:
        """Ask what became of payouts."""
        return self._each(requests, self._query_payout)

    async def _payout(self, merchant: Merchant, request: PayoutRequest) -> Answer:
        if request.payee.kind is not PayeeKind.USER:
            return Answer(request.payout_no, Outcome.NOT_SENT, "PAYEE_KIND_UNSUPPORTED", Fault.CONFIG)
        checked = request.payee.name and request.amount_minor >= messages.NAME_CHECKED_FROM_MINOR
        name = signing.seal(merchant.seal.key, request.payee.name) if checked else ""
        said = await self._exchange(merchant, messages.payout(request, merchant, name))
        if isinstance(said, Lost):
            return Answer(request.payout_no, *said)
        if not said.good:
            return mapping.refused(request.payout_no, said.item, moves_money=True, careful=True)
        answer = self._seen(mapping.payout(request.payout_no, said.item), said.item)
        package = messages.text(said.item, "package_info")
        if package and answer.outcome is Outcome.ACCEPTED:
            # The payee has to confirm on a page of ours, by the script that this is for.
            confirm = _json(mchId=merchant.mchid, appId=merchant.appid, package=package)
            return answer._replace(action_kind="JSAPI", action_value=confirm)
        return answer

    async def _query_payout(self, merchant: Merchant, request: PayoutLookup) -> Answer:
        return await self._ask(merchant, request.payout_no, messages.query_payout(request), mapping.payout)

    # --- mandates ---------------------------------------------------------------------------------------------------

    def sign(self, requests: Sequence[SignRequest]) -> Answers:
        """Ask payers for mandates."""
        return self._each(requests, self._sign)

    def query_mandate(self, requests: Sequence[MandateLookup]) -> Answers:
        """Ask how mandates stand."""
        return self._each(requests, self._query_mandate)

    def unsign(self, requests: Sequence[MandateLookup]) -> Answers:
        """End mandates."""
        return self._each(requests, self._unsign)

    def debit(self, requests: Sequence[DebitRequest]) -> Answers:
        """Take money under mandates; first of all, have the payer told."""
        return self._each(requests, self._debit)

    async def _sign(self, merchant: Merchant, request: SignRequest) -> Answer:
        if not (merchant.plan_id and request.limit_minor and request.period_days and request.first_debit_date):
            return Answer(request.mandate_no, Outcome.NOT_SENT, "PLAN_MISSING", Fault.CONFIG)
        said = await self._exchange(merchant, messages.sign(request, merchant))
        if isinstance(said, Lost):
            return Answer(request.mandate_no, *said)
        if not said.good:
            return mapping.refused(request.mandate_no, said.item, moves_money=True)
        url = messages.text(said.item, "redirect_url", required=True)
        return Answer(request.mandate_no, Outcome.ACCEPTED, action_kind="REDIRECT", action_value=url)

    async def _query_mandate(self, merchant: Merchant, request: MandateLookup) -> Answer:
        return await self._ask(merchant, request.mandate_no, messages.query_mandate(request, merchant), mapping.mandate)

    async def _unsign(self, merchant: Merchant, request: MandateLookup) -> Answer:
        return await self._ask(merchant, request.mandate_no, messages.unsign(request, merchant), mapping.mandate)

    async def _debit(  # noqa: PLR0911 - each reason to wait is told in its own words
        self, merchant: Merchant, request: DebitRequest
    ) -> Answer:
        """Ask for the money if its time has come; announce it if that has not been done.

        NOT_SENT says that no money was asked for: with NOTICE_GIVEN or NOT_DUE, `action_value` is the first day on which
        it can be, and with ASLEEP it is the hour in which people may not be bothered. The same request is then made again.
        """
        if not request.period_no or not request.agreement_no:
            return Answer(request.attempt_no, Outcome.NOT_SENT, "PERIOD_MISSING", Fault.CONFIG)
        said = await self._exchange(merchant, messages.period(request))
        reason = "NOT_DUE"
        if isinstance(said, _Heard) and said.good and not _announced(said.item):
            if not _WAKES <= self._time_of_day() < _ANNOUNCED_BY:
                return Answer(request.attempt_no, Outcome.NOT_SENT, "ASLEEP", Fault.LOCAL)
            said, reason = await self._exchange(merchant, messages.schedule(request, merchant)), "NOTICE_GIVEN"
        if isinstance(said, Lost):
            return Answer(request.attempt_no, Outcome.NOT_SENT, said.reason, said.fault)
        if not said.good:
            # Money has not been asked for, so whatever is refused here, none can come.
            refused = mapping.refused(request.attempt_no, said.item, moves_money=True)
            definite = refused.outcome in (Outcome.REJECTED, Outcome.NOT_FOUND)
            return refused._replace(outcome=Outcome.REJECTED if definite else Outcome.NOT_SENT)
        if messages.text(said.item, "policy_period_state") in _OVER:
            return Answer(request.attempt_no, Outcome.REJECTED, "PERIOD_OVER", Fault.CONFIG)
        from_day = messages.text(said.item, "deduct_start_date", required=True)
        if messages.time_text(self._clock_ms())[:10] < from_day:
            return Answer(request.attempt_no, Outcome.NOT_SENT, reason, Fault.LOCAL, action_kind="DEBIT_FROM",
                          action_value=from_day)  # fmt: skip
        if not _WAKES <= self._time_of_day() < _DEBITED_BY:
            return Answer(request.attempt_no, Outcome.NOT_SENT, "ASLEEP", Fault.LOCAL)
        return await self._take(merchant, request)

    def _time_of_day(self) -> str:
        """Return what China's clocks show, hh:mm."""
        return messages.time_text(self._clock_ms())[11:16]

    async def _take(self, merchant: Merchant, request: DebitRequest) -> Answer:
        call = messages.debit(request, merchant)
        answer = await self._ask(merchant, request.attempt_no, call, mapping.accepted, moves_money=True)
        if answer.reason in mapping.PAID_BEFORE:
            return await self._query(merchant, Lookup(request.attempt_no, request.merchant_no))
        return answer

    # --- splits -----------------------------------------------------------------------------------------------------

    def split(self, requests: Sequence[SplitRequest]) -> Answers:
        """Share out what was paid."""
        return self._each(requests, self._split)

    def query_split(self, requests: Sequence[SplitLookup]) -> Answers:
        """Ask what became of splits."""
        return self._each(requests, self._query_split)

    async def _split(self, merchant: Merchant, request: SplitRequest) -> Answer:
        names = {
            share.payee.account_no: signing.seal(merchant.seal.key, share.payee.name)
            for share in request.shares
            if share.payee.name
        }
        for share in request.shares:
            call = messages.add_receiver(share, merchant, names.get(share.payee.account_no, ""))
            said = await self._exchange(merchant, call)
            if isinstance(said, Lost):
                return Answer(request.split_no, Outcome.NOT_SENT, said.reason, said.fault)
            if not said.good:
                refused = mapping.refused(request.split_no, said.item, moves_money=True)
                definite = refused.outcome is Outcome.REJECTED
                return refused._replace(outcome=Outcome.REJECTED if definite else Outcome.NOT_SENT)
        call = messages.split(request, merchant, names)
        read = partial(mapping.split, mchid=merchant.mchid)
        return await self._ask(merchant, request.split_no, call, read, moves_money=True)

    async def _query_split(self, merchant: Merchant, request: SplitLookup) -> Answer:
        read = partial(mapping.split, mchid=merchant.mchid)
        return await self._ask(merchant, request.split_no, messages.query_split(request), read)

    # --- statements -------------------------------------------------------------------------------------------------

    async def download_bill(self, requests: Sequence[BillRequest]) -> AsyncIterator[list[Bill]]:
        """Fetch statements."""
        async for bills in side_by_side(requests, self._download_bill, self._room):
            yield bills

    async def _download_bill(self, request: BillRequest) -> Bill:
        merchant = self._config.merchants.get(request.merchant_no)
        if merchant is None:
            return Bill(request.number, Outcome.MAYBE, reason="SECRET_MISSING", fault=Fault.CONFIG)
        said = await self._exchange(merchant, messages.bill(request))
        if isinstance(said, Lost):
            return Bill(request.number, Outcome.MAYBE, reason=said.reason, fault=said.fault)
        try:
            if said.good:
                url = messages.text(said.item, "download_url", required=True)
                return await self._fetch(merchant, request, url, messages.text(said.item, "hash_value", required=True))
            answer = mapping.refused(request.number, said.item, moves_money=False)
            return Bill(request.number, answer.outcome, reason=answer.reason, fault=answer.fault)
        except ValueError:
            return Bill(request.number, Outcome.MAYBE, reason="MALFORMED", fault=Fault.CHANNEL)

    async def _fetch(self, merchant: Merchant, request: BillRequest, url: str, digest: str) -> Bill:
        """Fetch a file. It carries no signature: the digest in the signed answer before it is what vouches for it."""
        target = self._target(url)
        if not target:
            log.error("bill_elsewhere", channel_id=self._config.channel_id, host=urlsplit(url).hostname)
            return Bill(request.number, Outcome.MAYBE, reason="HOST_UNKNOWN", fault=Fault.CHANNEL)
        headers = await self._headers(merchant, "GET", target)
        reply = await self._files.send("GET", url, headers=headers, answer_bytes_max=BILL_BYTES_MAX)
        if isinstance(reply, Lost):
            return Bill(request.number, Outcome.MAYBE, reason=reply.reason, fault=reply.fault)
        content = await rsa.off_loop(_unpacked, reply.body, digest) if reply.status == 200 else None
        if content is None:
            return Bill(request.number, Outcome.MAYBE, reason="HASH_DIFFERS", fault=Fault.CHANNEL)
        return Bill(request.number, Outcome.DONE, content)

    def _target(self, url: str) -> str:
        """Return what is signed of a file's address, "" where it is on no host of the platform."""
        if url.startswith(f"{self._config.base_url}/"):
            return url.removeprefix(self._config.base_url)
        here, there = urlsplit(self._config.base_url), urlsplit(url)
        official = there.scheme == "https" and {here.netloc, there.netloc} <= BILL_HOSTS
        return target_of(url) if official else ""

    # --- the wire ---------------------------------------------------------------------------------------------------

    def _each(
        self, requests: Sequence[Request], ask: Callable[[Merchant, Request], Awaitable[Answer]]
    ) -> Answers:
        """Ask side by side; an answer that cannot be read is an answer too."""

        async def answer(merchant: Merchant, request: Request) -> Answer:
            try:
                return await ask(merchant, request)
            except ValueError as error:
                log.error("answer_malformed", channel_id=self._config.channel_id, why=str(error)[:64])
                return Answer(request.number, Outcome.MAYBE, "MALFORMED", Fault.CHANNEL)

        return for_merchants(requests, self._config.merchants, answer, self._room)

    async def _ask(
        self,
        merchant: Merchant,
        number: str,
        call: Call,
        read: Callable[[str, Json], Answer],
        *,
        moves_money: bool = False,
    ) -> Answer:
        """Make one call and read what is answered, in one go."""
        said = await self._exchange(merchant, call)
        if isinstance(said, Lost):
            return Answer(number, *said)
        if not said.good:
            return mapping.refused(number, said.item, moves_money=moves_money)
        return self._seen(read(number, said.item), said.item)

    async def _exchange(self, merchant: Merchant, call: Call) -> _Said:
        """Send one call and verify what comes back. Raise ValueError for a verified answer that is no object."""
        url = self._config.base_url + call.target
        headers = await self._headers(merchant, call.method, call.target, call.body)
        reply = await self._transport.send(call.method, url, headers=headers, body=call.body.encode())
        if isinstance(reply, Lost):
            return reply
        problem = await self._problem(merchant, reply)
        if problem:
            return Lost(Outcome.MAYBE, problem, Fault.CHANNEL)
        heard = _Heard(200 <= reply.status < 300, messages.read(reply.body) if reply.body else {})
        if not heard.good:
            code = messages.text(heard.item, "code")
            if code not in mapping.CODES:
                words.note(self._config.channel_id, code)
        return heard

    async def _headers(self, merchant: Merchant, method: str, target: str, body: str = "") -> dict[str, str]:
        time_s, nonce = self._clock_ms() // 1000, secrets.token_hex(16)
        sign = partial(
            signing.authorization, merchant.private_key, mchid=merchant.mchid, serial_no=merchant.serial_no, method=method,
            target=target, body=body, time_s=time_s, nonce=nonce,
        )  # fmt: skip
        signed = await rsa.off_loop(sign)
        return {
            "authorization": signed,
            "accept": "application/json",
            "content-type": "application/json",
            "wechatpay-serial": merchant.seal.serial,
        }

    async def _problem(self, merchant: Merchant, reply: Reply) -> str:
        """Tell why an answer proves nothing, "" if it is signed by the platform and of now."""
        headers = reply.headers
        if "wechatpay-signature" not in headers and (reply.status >= 500 or reply.status == 429):
            return f"HTTP_{reply.status}"  # a gateway on the way speaks, not the platform
        key = await self._platform_key(merchant, headers.get("wechatpay-serial", ""))
        now_ms = self._clock_ms()
        if key is None or not signing.verified(headers, reply.body, key, now_ms=now_ms):
            return "SIGNATURE_INVALID"
        return "" if signing.is_timely(headers, now_ms=now_ms) else "STALE_TIMESTAMP"

    async def _platform_key(self, merchant: Merchant, serial: str) -> PlatformKey | None:
        key = merchant.platform.get(serial) or self._learned.get(merchant.mchid, {}).get(serial)
        if key is None and serial and not serial.startswith("PUB_KEY_ID_"):
            await self._learn(merchant)
            key = self._learned.get(merchant.mchid, {}).get(serial)
        return key

    # --- certificates -----------------------------------------------------------------------------------------------

    async def learn(self) -> None:
        """Fetch the certificates of the platform for every merchant who verifies by some."""
        for merchant in self._config.merchants.values():
            if any(key.not_after_ms for key in merchant.platform.values()):
                await self._learn(merchant)

    def take_learned(self) -> list[Learned]:
        """Return certificates that no merchant's credentials hold yet."""
        taken, self._fresh = self._fresh, []
        return taken

    async def _learn(self, merchant: Merchant) -> None:
        """Fetch the platform's certificates, if that was not done just now."""
        async with self._learning.setdefault(merchant.mchid, asyncio.Lock()):
            now_s = time.monotonic()
            if now_s - self._learned_s.get(merchant.mchid, -CERTIFICATES_PAUSE_S) < CERTIFICATES_PAUSE_S:
                return
            self._learned_s[merchant.mchid] = now_s
            bundle = await self.certificates(merchant.mchid)
            found = {key.serial: key for key in platform_keys(bundle)} if bundle else {}
            fresh = sorted(found.keys() - merchant.platform.keys() - self._learned.get(merchant.mchid, {}).keys())
            if fresh:
                self._learned[merchant.mchid] = found
                self._fresh.append(Learned(merchant.mchid, "platform_certs", bundle))
                log.warning(
                    "certificates_learned", channel_id=self._config.channel_id, merchant_no=merchant.mchid,
                    serials=fresh,
                )  # fmt: skip

    async def certificates(self, merchant_no: str) -> str:
        """Fetch the platform's certificates, as a bundle in PEM for `platform_certs`; "" where that fails.

        They come encrypted with our API key, and the answer is signed by a key that we know or by one of them: that binds
        them to the platform even where none of them is known yet.
        """
        merchant = self._config.merchants.get(merchant_no)
        if merchant is None:
            return ""
        url = self._config.base_url + messages.CERTIFICATES
        reply = await self._transport.send(
            "GET", url, headers=await self._headers(merchant, "GET", messages.CERTIFICATES)
        )
        if isinstance(reply, Lost) or reply.status != 200:
            return ""
        try:
            texts = _opened(messages.read(reply.body), merchant.api_keys)
            keys: dict[str, PlatformKey] = {key.serial: key for key in platform_keys("".join(texts))}
        except ValueError:
            return ""
        now_ms = self._clock_ms()
        signer = {**keys, **merchant.platform}.get(reply.headers.get("wechatpay-serial", ""))
        sound = signer is not None and signing.verified(reply.headers, reply.body, signer, now_ms=now_ms)
        return "".join(texts) if sound and signing.is_timely(reply.headers, now_ms=now_ms) else ""

    def _seen(self, answer: Answer, item: Json) -> Answer:
        """Let an unknown word be seen."""
        return words.seen(answer, self._config.channel_id, mapping.word_of(item))


def _json(**fields: str) -> str:
    return json.dumps(fields, separators=(",", ":"))


def _announced(item: Json) -> bool:
    return messages.text(item, "policy_period_state") in _ANNOUNCED | _OVER | {"PAID"}


def _opened(item: Json, api_keys: Sequence[bytes]) -> list[str]:
    """Open what `/v3/certificates` answers. Raise ValueError for what was not encrypted for us."""
    texts = []
    for each in messages.objects(item, "data"):
        sealed = messages.inner(each, "encrypt_certificate")
        opened = signing.unseal(
            api_keys,
            nonce=messages.text(sealed, "nonce", required=True),
            associated_data=messages.text(sealed, "associated_data"),
            ciphertext=messages.text(sealed, "ciphertext", required=True),
        )
        if opened is None:
            raise ValueError("not encrypted for us")
        texts.append(opened.decode("ascii", "replace").strip() + "\n")
    return texts


def _unpacked(body: bytes, digest: str) -> bytes | None:
    """Unpack a statement and compare its digest; None if it differs, is too big, or no gzip where it looks like it."""
    if body[:2] == b"\x1f\x8b":
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            body = unpacker.decompress(body, BILL_BYTES_MAX)
        except zlib.error:
            return None
        if not unpacker.eof:
            return None
    return body if hashlib.sha1(body, usedforsecurity=False).hexdigest() == digest.lower() else None
