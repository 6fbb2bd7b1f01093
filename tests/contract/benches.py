"""A test bench per channel: the channel itself, the truth of what it did, and faults that can be switched on."""

import asyncio
import base64
import functools
import hashlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from channels._template import client as template
from channels._template import signing as template_signing
from channels._template.config import TemplateConfig
from channels._template.example import ExampleBank
from channels.alipay.client import AlipayCallbacks, AlipayChannel
from channels.alipay.config import AlipayConfig
from channels.http import HttpLimits, HttpTransport, Lost, Reply
from channels.port import Answer, CallbackReader, Channel
from channels.sandbox import signing as sandbox_signing
from channels.sandbox.client import SandboxCallbacks, SandboxChannel
from channels.sandbox.config import SandboxConfig
from channels.unionpay.client import UnionPayCallbacks, UnionPayChannel
from channels.unionpay.config import PRODUCTS, Merchant, Product, UnionPayConfig
from channels.wechatpay.callbacks import WechatpayCallbacks
from channels.wechatpay.client import WechatpayChannel
from channels.wechatpay.config import WechatpayConfig
from domain.credentials import Credentials
from domain.evidence import Fault, Outcome
from domain.identifiers import attempt_number
from simulator.profiles import Profile
from simulator.wire.accounts import Account as WireAccount
from simulator.wire.alipay import signing as alipay_signing
from simulator.wire.server import KINDS as WIRE_KINDS
from simulator.wire.server import Wires, bind
from simulator.wire.unionpay import signing as unionpay_signing
from simulator.world import World

MERCHANT, OTHER, STRANGER = "m1", "m2", "m9"
SECRETS = {MERCHANT: "secret-one", OTHER: "secret-two"}
# Longer than any answer takes on a busy machine; where silence is meant, nobody wants to wait so long.
PATIENCE_S, SILENCE_S = 120.0, 0.3
# When the attempts of the suite were made.
MADE_MS = time.time_ns() // 1_000_000


def number(name: str) -> str:
    """Return the number that Paydesk would give to what the suite calls `name`: the same whenever it is asked for."""
    return attempt_number(shard=1, now_ms=MADE_MS, random=hashlib.sha256(name.encode()).digest())


class Money(NamedTuple):
    """What the channel really moved for one attempt, in minor units."""

    charged: int
    charges: int
    refunded: int


class Bench(Protocol):
    """What the suite needs to try a channel."""

    channel: Channel
    callbacks: CallbackReader
    # Where a callback's signature is, and whether it covers a time of sending.
    signs_in_headers: bool
    signs_time: bool
    # Whether the channel knows of a charge only when the payer comes, who then may try until it expires.
    payers_begin: bool

    async def fault(self, name: str) -> None:
        """Switch one fault on, or with "" all off.

        REFUSED: the connection is refused. LOST_BEFORE, LOST_AFTER: the connection breaks, before or after the request
        was executed. SILENT_BEFORE, SILENT_AFTER: no answer comes. BAD_SIGNATURE, UNKNOWN_WORD: the answer is wrong.
        NO_MONEY: payers are declined.
        """
        ...

    def struck(self) -> int:
        """Tell how many requests have met a fault so far."""
        ...

    def patience(self) -> AbstractAsyncContextManager[object]:
        """Wait for an answer as long as it makes sense now, then raise TimeoutError."""
        ...

    async def pay(self) -> None:
        """Let payers who are waited for do what they do."""
        ...

    async def look(self, action_value: str) -> None:
        """Let a payer look at what he is asked for, and do nothing."""
        ...

    async def money(self, name: str) -> Money:
        """Tell the truth about an attempt."""
        ...

    async def settle_refunds(self) -> None:
        """Let the money of accepted refunds go back."""
        ...

    def callback(self, *, secret: str, merchant_no: str, time_ms: int, **changes: Any) -> tuple[dict[str, str], bytes]:
        """Write the callback that a charge was paid, signed with a secret by a merchant.

        `changes` may be `amount_minor`, `word` for what it says of the charge, and `body_merchant_no` where the body names
        another merchant than the signer.
        """
        ...

    def signed(self, body: bytes) -> dict[str, str]:
        """Return the headers with which the first merchant's key signs any body now."""
        ...


async def ask(bench: Bench, operation: str, requests: Sequence[Any]) -> dict[str, Answer]:
    """Ask as the connector does: what stays silent is MAYBE. Fail unless each request has exactly one answer."""
    numbers = [request.number for request in requests]
    heard: list[Answer] = []
    try:
        async with bench.patience():
            async for answers in getattr(bench.channel, operation)(requests):
                assert isinstance(answers, list), "answers come in lists"
                heard += answers
        silent: set[str] = set(numbers) - {answer.number for answer in heard}
        assert not silent, f"the answers ended without {sorted(silent)[:5]}"
    except TimeoutError:
        silent = set(numbers) - {answer.number for answer in heard}
    assert len(heard) == len({answer.number for answer in heard}), "somebody was answered twice"
    assert {answer.number for answer in heard} <= set(numbers), "an answer to nobody"
    found = {answer.number: answer for answer in heard}
    return found | {number: Answer(number, Outcome.MAYBE, "TIMEOUT", Fault.CHANNEL) for number in silent}


@asynccontextmanager
async def silence(struck: Callable[[], int], after_s: float = SILENCE_S) -> AsyncIterator[None]:
    """Raise TimeoutError in the block soon after a request has met a fault, however long it takes to arrive."""
    before = struck()
    async with asyncio.timeout(PATIENCE_S) as patience:

        async def watch() -> None:
            while struck() == before:
                await asyncio.sleep(0.005)
            patience.reschedule(asyncio.get_running_loop().time() + after_s)

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()


# --- the sandbox ------------------------------------------------------------------------------------------------------


class _Line:
    """The way to the sandbox, which may break or garble."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.fault = ""

    async def exchange(
        self, channel_id: str, operation: str, body: bytes, merchant_no: str, signature: str
    ) -> list[tuple[bytes, str]]:
        if self.fault == "LOST_BEFORE":
            raise ConnectionResetError
        answers = await self._world.exchange(channel_id, operation, body, merchant_no, signature)
        if self.fault == "LOST_AFTER":
            raise ConnectionResetError
        return [self._garbled(*answer) for answer in answers] if self.fault == "UNKNOWN_WORD" else answers

    async def collect(self, channel_id: str, wait_s: float) -> list[tuple[bytes, str]]:
        return await self._world.collect(channel_id, wait_s)

    @staticmethod
    def _garbled(body: bytes, _signature: str) -> tuple[bytes, str]:
        items = [item | {"word": "PURPLE"} for item in json.loads(body)]
        changed = json.dumps(items).encode()
        return changed, sandbox_signing.sign(SECRETS[items[0]["merchant_no"]], changed)


_SANDBOX_FAULTS = {
    "REFUSED": "CONNECTION_REFUSED",
    "SILENT_BEFORE": "TIMEOUT_NOT_TAKEN",
    "SILENT_AFTER": "TIMEOUT_TAKEN",
    "BAD_SIGNATURE": "ANSWER_BAD_SIGNATURE",
    "NO_MONEY": "DECLINE_NO_FUNDS",
}


class SandboxBench:
    """The sandbox channel against a real sandbox in this process."""

    signs_in_headers = signs_time = True
    payers_begin = False
    _is_silent = False

    def __init__(self, world: World) -> None:
        self._world = world
        self._line = _Line(world)
        config = SandboxConfig("c1", {merchant: (secret,) for merchant, secret in SECRETS.items()})
        self.channel: Channel = SandboxChannel(config, self._line)
        self.callbacks: CallbackReader = SandboxCallbacks(config)

    async def fault(self, name: str) -> None:
        self._is_silent = name.startswith("SILENT")
        self._line.fault = name if name in ("LOST_BEFORE", "LOST_AFTER", "UNKNOWN_WORD") else ""
        for kind in _SANDBOX_FAULTS.values():
            await self._world.inject({"channel_id": "c1", "kind": kind, "share": 0.0})
        if name in _SANDBOX_FAULTS:
            await self._world.inject({"channel_id": "c1", "kind": _SANDBOX_FAULTS[name], "share": 1.0})

    def struck(self) -> int:
        return self._world.channel("c1").faults.hit_count

    def patience(self) -> AbstractAsyncContextManager[object]:
        return silence(self.struck) if self._is_silent else asyncio.timeout(PATIENCE_S)

    async def pay(self) -> None:
        """Wait for nobody: this channel answers at once."""

    async def look(self, action_value: str) -> None:
        raise AssertionError("nobody is waited for")

    async def money(self, name: str) -> Money:
        return money_of(await self._world.truth("c1", 0, 100_000), name)

    async def settle_refunds(self) -> None:
        await self._world.advance(60)

    def callback(self, *, secret: str, merchant_no: str, time_ms: int, **changes: Any) -> tuple[dict[str, str], bytes]:
        said = {"notify_id": "N1", "merchant_no": merchant_no, "attempt_no": number("n1"), "word": "PAID",
                "amount_minor": 10_000, "currency": "CNY", "channel_txn_no": "T1", "success_time_ms": 5}  # fmt: skip
        names = {"amount_minor": "amount_minor", "body_merchant_no": "merchant_no", "word": "word"}
        body = json.dumps(said | {names[name]: value for name, value in changes.items()}).encode()
        return self._headers(body, secret, merchant_no, time_ms), body

    def signed(self, body: bytes) -> dict[str, str]:
        return self._headers(body, SECRETS[MERCHANT], MERCHANT, now_ms())

    @staticmethod
    def _headers(body: bytes, secret: str, merchant_no: str, time_ms: int) -> dict[str, str]:
        timestamp = str(time_ms // 1000)
        signature = sandbox_signing.sign(secret, f"{timestamp}.nonce.".encode() + body)
        return {"sandbox-merchant": merchant_no, "sandbox-timestamp": timestamp, "sandbox-nonce": "nonce",
                "sandbox-signature": signature}  # fmt: skip


def money_of(truth: Sequence[Mapping[str, object]], name: str) -> Money:
    """Add up what really moved for one attempt."""
    amounts: dict[str, list[int]] = {"CHARGE": [], "REFUND": []}
    for entry in truth:
        if entry["attempt_no"] == number(name):
            amounts[str(entry["kind"])].append(int(str(entry["amount_minor"])))
    return Money(sum(amounts["CHARGE"]), len(amounts["CHARGE"]), sum(amounts["REFUND"]))


@asynccontextmanager
async def sandbox(directory: Path) -> AsyncIterator[Bench]:
    """Open a sandbox whose refunds take two seconds of its own time."""
    world = World(directory, seed=7, channels=[Profile("c1")], merchants=SECRETS)
    await world.start()
    bench = SandboxBench(world)
    try:
        yield bench
    finally:
        await bench.channel.aclose()
        await world.aclose()


# --- the template -----------------------------------------------------------------------------------------------------


class _SilentBank:
    """The example bank, behind a line that may swallow answers."""

    def __init__(self, bank: ExampleBank) -> None:
        self._bank = bank
        self.fault = ""
        self.swallowed = 0

    async def post(self, operation: str, body: bytes, merchant_no: str, signature: str) -> tuple[bytes, str]:
        is_silent = self.fault.startswith("SILENT") and operation == "charge"
        answer = b"", ""
        if not (is_silent and self.fault == "SILENT_BEFORE"):
            answer = await self._bank.post(operation, body, merchant_no, signature)
        if is_silent:
            self.swallowed += 1
            await asyncio.Event().wait()
        return answer


class TemplateBench:
    """The template against its example bank."""

    signs_in_headers = signs_time = True
    payers_begin = False
    _is_silent = False

    def __init__(self) -> None:
        self._bank = ExampleBank(dict(SECRETS))
        self._line = _SilentBank(self._bank)
        config = TemplateConfig("example", SECRETS)
        self.channel: Channel = template.TemplateChannel(config, self._line)
        self.callbacks: CallbackReader = template.TemplateCallbacks(config)

    async def fault(self, name: str) -> None:
        self._is_silent = name.startswith("SILENT")
        self._bank.fault = self._line.fault = name

    def struck(self) -> int:
        return self._line.swallowed

    def patience(self) -> AbstractAsyncContextManager[object]:
        return silence(self.struck) if self._is_silent else asyncio.timeout(PATIENCE_S)

    async def pay(self) -> None:
        """Wait for nobody: this channel answers at once."""

    async def look(self, action_value: str) -> None:
        raise AssertionError("nobody is waited for")

    async def money(self, name: str) -> Money:
        attempt_no = number(name)
        charge = self._bank.charged.get(attempt_no)
        back = sum(
            refund["fen"] for refund_no, refund in self._bank.refunds.items()
            if refund["pay_no"] == attempt_no and refund_no in self._bank.settled
        )  # fmt: skip
        return Money(charge["fen"], 1, back) if charge else Money(0, 0, back)

    async def settle_refunds(self) -> None:
        self._bank.settled |= self._bank.refunds.keys()

    def callback(self, *, secret: str, merchant_no: str, time_ms: int, **changes: Any) -> tuple[dict[str, str], bytes]:
        names = {"amount_minor": "fen", "body_merchant_no": "merchant", "word": "result"}
        said = {"notice_id": "N1", "pay_no": number("n1"), "result": "PAID", "fen": 10_000, "currency": "CNY",
                "merchant": merchant_no, "txn": "T1", "paid_ms": 5}  # fmt: skip
        body = json.dumps(said | {names[name]: value for name, value in changes.items()}).encode()
        return self._headers(body, secret, merchant_no, time_ms), body

    def signed(self, body: bytes) -> dict[str, str]:
        return self._headers(body, SECRETS[MERCHANT], MERCHANT, now_ms())

    @staticmethod
    def _headers(body: bytes, secret: str, merchant_no: str, time_ms: int) -> dict[str, str]:
        timestamp = str(time_ms // 1000)
        return {"bank-merchant": merchant_no, "bank-time": timestamp,
                "bank-signature": template_signing.sign(secret, f"{timestamp}.".encode() + body)}  # fmt: skip


@asynccontextmanager
async def template_bench(_directory: Path) -> AsyncIterator[Bench]:
    """Open the template's example bank."""
    yield TemplateBench()


# --- real channels, over HTTP against their simulated wires -----------------------------------------------------------

_WIRE_FAULTS = {
    "LOST_BEFORE": "CONNECTION_REFUSED",  # accepted, and reset before the request is looked at
    "LOST_AFTER": "CONNECTION_RESET",
    "SILENT_BEFORE": "TIMEOUT_NOT_TAKEN",
    "SILENT_AFTER": "TIMEOUT_TAKEN",
    "BAD_SIGNATURE": "ANSWER_BAD_SIGNATURE",
    "UNKNOWN_WORD": "ANSWER_UNKNOWN_WORD",
    "NO_MONEY": "DECLINE_NO_FUNDS",
}
WIRE_LIMITS = HttpLimits(connections_max=20, connect_s=PATIENCE_S, total_s=PATIENCE_S)
_tls = functools.cache(ssl.create_default_context)


class Wire(HttpTransport):
    """A transport whose other end can be taken away (then nobody listens where requests go), or is known to be silent."""

    def __init__(self, base_url: str, struck: Callable[[], int]) -> None:
        super().__init__(WIRE_LIMITS, tls=_tls())
        self._base_url = base_url
        self.struck = struck
        self.fault = ""

    async def send(self, method: str, url: str, **more: Any) -> Reply | Lost:
        where = url.replace(self._base_url, "http://127.0.0.1:1") if self.fault == "REFUSED" else url
        try:
            async with silence(self.struck) if self.fault.startswith("SILENT") else asyncio.timeout(PATIENCE_S):
                return await super().send(method, where, **more)
        except TimeoutError:
            return Lost(Outcome.MAYBE, "TIMEOUT", Fault.CHANNEL)


class WireBench:
    """What the benches of all wires have in common: faults, payers and truth are the sandbox's."""

    def __init__(self, world: World, transport: Wire) -> None:
        self._world = world
        self._transport = transport

    async def fault(self, name: str) -> None:
        self._transport.fault = name
        for kind in _WIRE_FAULTS.values():
            await self._world.inject({"channel_id": "c1", "kind": kind, "share": 0.0})
        if name in _WIRE_FAULTS:
            await self._world.inject({"channel_id": "c1", "kind": _WIRE_FAULTS[name], "share": 1.0})

    def struck(self) -> int:
        return self._transport.struck()

    def patience(self) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(PATIENCE_S)

    async def pay(self) -> None:
        await self._world.advance(60)

    async def look(self, action_value: str) -> None:
        raise AssertionError("nobody is waited for")

    async def money(self, name: str) -> Money:
        return money_of(await self._world.truth("c1", 0, 100_000), name)

    async def settle_refunds(self) -> None:
        await self._world.advance(60)


class HubAccount(NamedTuple):
    """A merchant account as a channel is given it."""

    merchant_no: str
    credentials: Sequence[Credentials]
    terms: Mapping[str, Any] = {}


@functools.cache
def wire_account(kind: str, merchant_no: str) -> WireAccount:
    """Make the keys of one account, once: they take a second."""
    return WireAccount(kind, "c1", merchant_no, *WIRE_KINDS[kind].make_keys(merchant_no))


@asynccontextmanager
async def wired(directory: Path, kind: str) -> AsyncIterator[tuple[World, Wire, str, list[HubAccount]]]:
    """Serve one wire for the suite's two merchants; give the world, a transport, the wire's address and the hub's accounts."""
    accounts = [wire_account(kind, merchant_no) for merchant_no in SECRETS]
    wires = Wires(accounts)
    world = World(
        directory, seed=7, channels=[Profile("c1")], merchants=dict.fromkeys(SECRETS, ""), voices=wires.voices
    )
    bound = bind("127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    await world.start()
    await wires.start(world, bound, base_url=base_url)
    transport = Wire(base_url, lambda: world.channel("c1").faults.hit_count)
    hub = [HubAccount(account.merchant_no, (Credentials(1, account.hub),)) for account in accounts]
    try:
        yield world, transport, f"{base_url}/{kind}", hub
    finally:
        await transport.aclose()
        await wires.stop()
        await world.aclose()


@functools.cache
def _unionpay_merchants() -> Mapping[str, Merchant]:
    """Read the keys of the suite's merchants, once: that takes a while as well."""
    accounts = [
        HubAccount(merchant, (Credentials(1, wire_account("unionpay", merchant).hub),)) for merchant in SECRETS
    ]
    return UnionPayConfig.of(channel_id="c1", settings={}, accounts=accounts).merchants


def unionpay_config(base_url: str) -> UnionPayConfig:
    """Return the configuration for a wire; where no terminal is named, a bound card pays."""
    return UnionPayConfig(
        "c1", _unionpay_merchants(), base_url, f"{base_url}/file", {**PRODUCTS, "": Product.BACK}, concurrency_max=20
    )


class UnionPayBench(WireBench):
    """UnionPay against its wire. A secret is whose platform signs; its notices are forms that carry their signature."""

    signs_in_headers = signs_time = False
    payers_begin = False

    def __init__(self, world: World, transport: Wire, base_url: str) -> None:
        super().__init__(world, transport)
        config = unionpay_config(base_url)
        self.channel: Channel = UnionPayChannel(config, transport)
        self.callbacks: CallbackReader = UnionPayCallbacks(config)

    def callback(self, *, secret: str, merchant_no: str, time_ms: int, **changes: Any) -> tuple[dict[str, str], bytes]:
        names = {"amount_minor": "txnAmt", "body_merchant_no": "merId", "word": "respCode"}
        said = {"version": "5.1.0", "encoding": "UTF-8", "txnType": "01", "txnSubType": "01", "bizType": "000301",
                "accessType": "0", "merId": merchant_no, "orderId": number("n1"), "txnTime": "20261124120000",
                "txnAmt": "10000", "currencyCode": "156", "respCode": "00", "queryId": "7",
                "signMethod": "01"} | {names[name]: str(value) for name, value in changes.items()}  # fmt: skip
        signer = next((merchant for merchant, known in SECRETS.items() if known == secret), STRANGER)
        own = wire_account("unionpay", signer).own
        said["signPubKeyCert"] = own["sign_cert"].strip()
        signed = said | {"signature": unionpay_signing.sign(said, unionpay_signing.load_key(own["sign_key"]))}
        return {}, urlencode(signed).encode()

    def signed(self, body: bytes) -> dict[str, str]:
        return {}


@asynccontextmanager
async def unionpay(directory: Path) -> AsyncIterator[Bench]:
    """Open UnionPay's wire."""
    async with wired(directory, "unionpay") as (world, transport, base_url, _):
        yield UnionPayBench(world, transport, base_url)


def now_ms() -> int:
    """Return Unix milliseconds."""
    return time.time_ns() // 1_000_000


class AlipayBench(WireBench):
    """Alipay in key mode against its gateway. A secret is whose Alipay key signs; its notices are signed forms."""

    signs_in_headers = signs_time = False
    payers_begin = True

    def __init__(self, world: World, transport: Wire, base_url: str, accounts: Sequence[HubAccount]) -> None:
        super().__init__(world, transport)
        settings = {"base_url": f"{base_url}/gateway.do", "connections_max": 20}
        key_mode = [
            account._replace(credentials=(Credentials(1, alipay_values(account, "alipay_public_key")),))
            for account in accounts
        ]
        config = AlipayConfig.of(channel_id="c1", settings=settings, accounts=key_mode)
        self.channel: Channel = AlipayChannel(config, transport)
        self.callbacks: CallbackReader = AlipayCallbacks(config)

    async def look(self, action_value: str) -> None:
        assert isinstance(await self._transport.send("GET", action_value), Reply)

    def callback(self, *, secret: str, merchant_no: str, time_ms: int, **changes: Any) -> tuple[dict[str, str], bytes]:
        fields = {
            "notify_id": "N1", "notify_type": "trade_status_sync", "charset": "utf-8", "version": "1.0",
            "app_id": wire_account("alipay", merchant_no).hub["app_id"], "sign_type": "RSA2", "trade_no": "T1",
            "out_trade_no": number("n1"), "seller_id": changes.get("body_merchant_no", merchant_no),
            "trade_status": changes.get("word", "TRADE_SUCCESS"), "total_amount": f"{changes.get('amount_minor', 10_000) / 100:.2f}",
            "gmt_payment": "2026-11-24 10:00:00",
            # The suite changes an amount in the raw bytes, as it is in fen.
            "passback_params": "10000",
        }  # fmt: skip
        signer = next((merchant for merchant, known in SECRETS.items() if known == secret), STRANGER)
        signature = alipay_signing.signed(wire_account("alipay", signer).own["alipay_key"], fields)
        return {}, urlencode(fields | {"sign": signature}).encode()

    def signed(self, body: bytes) -> dict[str, str]:
        return {}


def alipay_values(account: HubAccount, *alipays: str) -> dict[str, str]:
    """Return the credentials of one mode: ours, and those of Alipay's side."""
    values = account.credentials[0].values
    return {name: values[name] for name in ("app_id", "app_private_key", *alipays)}


@asynccontextmanager
async def alipay(directory: Path) -> AsyncIterator[Bench]:
    """Open Alipay's gateway."""
    async with wired(directory, "alipay") as (world, transport, base_url, accounts):
        yield AlipayBench(world, transport, base_url, accounts)


class WechatpayBench(WireBench):
    """WeChat Pay against its platform. A secret is whose keys sign and seal; one that is nobody's, a key that is nobody's."""

    signs_in_headers = signs_time = True
    payers_begin = False

    def __init__(self, world: World, transport: Wire, base_url: str, accounts: Sequence[HubAccount]) -> None:
        super().__init__(world, transport)
        merchants = [account._replace(terms=account.credentials[0].values) for account in accounts]
        settings = {"base_url": base_url, "connections_max": 20}
        config = WechatpayConfig.of(channel_id="c1", settings=settings, accounts=merchants)
        self.channel: Channel = WechatpayChannel(config, transport)
        self.callbacks: CallbackReader = WechatpayCallbacks(config)

    def callback(self, *, secret: str, merchant_no: str, time_ms: int, **changes: Any) -> tuple[dict[str, str], bytes]:
        plain = {
            "mchid": changes.get("body_merchant_no", merchant_no), "out_trade_no": number("n1"), "transaction_id": "T1",
            "trade_state": changes.get("word", "SUCCESS"), "success_time": "2025-01-01T10:00:00+08:00",
            "amount": {"total": changes.get("amount_minor", 10_000), "currency": "CNY"},
        }  # fmt: skip
        signer = next((merchant for merchant, known in SECRETS.items() if known == secret), "")
        api_key = wire_account("wechatpay", signer).hub["apiv3_key"] if signer else "z" * 32
        sealed = AESGCM(api_key.encode()).encrypt(b"fdasfjihihih", json.dumps(plain).encode(), b"transaction")
        resource = {"original_type": "transaction", "algorithm": "AEAD_AES_256_GCM", "nonce": "fdasfjihihih",
                    "associated_data": "transaction", "ciphertext": base64.b64encode(sealed).decode()}  # fmt: skip
        body = json.dumps({"id": "EV-1", "event_type": "TRANSACTION.SUCCESS", "resource": resource}).encode()
        return self._headers(merchant_no, signer, body, time_ms), body

    def signed(self, body: bytes) -> dict[str, str]:
        return self._headers(MERCHANT, MERCHANT, body, now_ms())

    @staticmethod
    def _headers(merchant_no: str, signer: str, body: bytes, time_ms: int) -> dict[str, str]:
        hub = wire_account("wechatpay", merchant_no).hub
        pem = wire_account("wechatpay", signer).own["public_key"] if signer else hub["mch_private_key"]
        key: Any = serialization.load_pem_private_key(pem.encode(), None)
        timestamp = str(time_ms // 1000)
        signature = key.sign(f"{timestamp}\nnonce\n".encode() + body + b"\n", padding.PKCS1v15(), hashes.SHA256())
        return {
            "wechatpay-timestamp": timestamp, "wechatpay-nonce": "nonce",
            "wechatpay-serial": hub["platform_public_key_id"],
            "wechatpay-signature": base64.b64encode(signature).decode(),
            "wechatpay-signature-type": "WECHATPAY2-SHA256-RSA2048",
        }  # fmt: skip


@asynccontextmanager
async def wechatpay(directory: Path) -> AsyncIterator[Bench]:
    """Open WeChat Pay's platform."""
    async with wired(directory, "wechatpay") as (world, transport, base_url, accounts):
        yield WechatpayBench(world, transport, base_url, accounts)


# A new channel adds its bench here.
BENCHES: dict[str, Callable[[Path], AbstractAsyncContextManager[Bench]]] = {
    "sandbox": sandbox,
    "_template": template_bench,
    "alipay": alipay,
    "unionpay": unionpay,
    "wechatpay": wechatpay,
}
