"""Benches for channels over HTTP: the channel itself, against its own wire in front of a sandbox in this process.

Keys are made once per run, because they take a second for each merchant.
"""

import base64
import functools
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from channels.http import HttpLimits, HttpTransport, Lost, Reply
from channels.port import CallbackReader, Channel
from channels.wechatpay.callbacks import WechatpayCallbacks
from channels.wechatpay.client import WechatpayChannel
from channels.wechatpay.config import WechatpayConfig
from domain.credentials import Credentials
from simulator.profiles import Profile
from simulator.wire.accounts import Account, Wanted, open_accounts
from simulator.wire.server import KINDS, Wires, bind
from simulator.world import World
from tests.contract.benches import MERCHANT, OTHER, PATIENCE_S, SECRETS, Bench, Money, money_of, now_ms, number

# For many answers over HTTP, on a machine that is busy.
PATIENCE_HTTP_S = 30.0
# Nobody listens there.
CLOSED = "http://127.0.0.1:9"

FAULTS = {
    "SILENT_BEFORE": "TIMEOUT_NOT_TAKEN",
    "SILENT_AFTER": "TIMEOUT_TAKEN",
    "LOST_BEFORE": "CONNECTION_REFUSED",
    "LOST_AFTER": "CONNECTION_RESET",
    "BAD_SIGNATURE": "ANSWER_BAD_SIGNATURE",
    "UNKNOWN_WORD": "ANSWER_UNKNOWN_WORD",
    "NO_MONEY": "DECLINE_NO_FUNDS",
}


class Line(HttpTransport):
    """The way to the wire, which may end at a port where nobody listens."""

    def __init__(self) -> None:
        super().__init__(HttpLimits(total_s=60.0))
        self.is_refused = False

    async def send(self, method: str, url: str, **more: Any) -> Reply | Lost:
        return await super().send(method, CLOSED if self.is_refused else url, **more)


class HubAccount:
    """A merchant account as the desk would have it."""

    def __init__(self, account: Account, terms: Sequence[str]) -> None:
        self.merchant_no = account.merchant_no
        self.terms = {name: account.hub[name] for name in terms}
        self.credentials = [Credentials(1, account.hub)]


class Letters(Protocol):
    """How one channel's platform writes callbacks; written apart from the wire, so that the two do not share mistakes."""

    def callback(self, account: Account, signer: Account, said: dict[str, Any], time_ms: int) -> tuple[dict[str, str], bytes]: ...

    def signed(self, account: Account, body: bytes) -> dict[str, str]: ...


class WireBench:
    """A channel against its own wire."""

    signs_in_headers = signs_time = True
    payers_begin = False

    def __init__(
        self, world: World, line: Line, channel: Channel, callbacks: CallbackReader, accounts: Sequence[Account],
        letters: Letters,
    ) -> None:  # fmt: skip
        self._world = world
        self._line = line
        self._by_secret = {SECRETS[account.merchant_no]: account for account in accounts}
        self._letters = letters
        self.channel = channel
        self.callbacks = callbacks
        self.patience_s = PATIENCE_HTTP_S

    async def fault(self, name: str) -> None:
        self.patience_s = PATIENCE_S if name.startswith("SILENT") else PATIENCE_HTTP_S
        self._line.is_refused = name == "REFUSED"
        for kind in FAULTS.values():
            await self._world.inject({"channel_id": "c1", "kind": kind, "share": 0.0})
        if name in FAULTS:
            await self._world.inject({"channel_id": "c1", "kind": FAULTS[name], "share": 1.0})

    async def look(self, action_value: str) -> None:
        raise AssertionError("nobody is waited for")

    async def money(self, name: str) -> Money:
        return money_of(await self._world.truth("c1", 0, 100_000), name)

    async def pay(self) -> None:
        await self._world.advance(60)

    async def settle_refunds(self) -> None:
        await self._world.advance(60)

    def callback(self, *, secret: str, merchant_no: str, time_ms: int, **changes: Any) -> tuple[dict[str, str], bytes]:
        """The secret stands for the merchant whose keys are used; one that is nobody's, for a key that is nobody's."""
        accounts = {account.merchant_no: account for account in self._by_secret.values()}
        said = {"number": number("n1"), "amount_minor": 10_000, "merchant_no": changes.get("body_merchant_no", merchant_no)}
        said |= {name: value for name, value in changes.items() if name == "amount_minor"}
        stranger = Account("", "", "", {}, {})
        return self._letters.callback(accounts[merchant_no], self._by_secret.get(secret, stranger), said, time_ms)

    def signed(self, body: bytes) -> dict[str, str]:
        return self._letters.signed(next(iter(self._by_secret.values())), body)


class WechatpayLetters:
    """How WeChat Pay calls back."""

    def callback(self, account: Account, signer: Account, said: dict[str, Any], time_ms: int) -> tuple[dict[str, str], bytes]:
        plain = {
            "mchid": said["merchant_no"], "out_trade_no": said["number"], "transaction_id": "T1", "trade_state": "SUCCESS",
            "success_time": "2025-01-01T10:00:00+08:00", "amount": {"total": said["amount_minor"], "currency": "CNY"},
        }  # fmt: skip
        key = signer.hub.get("apiv3_key", "z" * 32).encode()
        sealed = AESGCM(key).encrypt(b"fdasfjihihih", json.dumps(plain).encode(), b"transaction")
        resource = {"original_type": "transaction", "algorithm": "AEAD_AES_256_GCM", "nonce": "fdasfjihihih",
                    "associated_data": "transaction", "ciphertext": base64.b64encode(sealed).decode()}  # fmt: skip
        body = json.dumps({"id": "EV-1", "event_type": "TRANSACTION.SUCCESS", "resource": resource}).encode()
        return self._headers(account, signer, body, time_ms), body

    def signed(self, account: Account, body: bytes) -> dict[str, str]:
        return self._headers(account, account, body, now_ms())

    @staticmethod
    def _headers(account: Account, signer: Account, body: bytes, time_ms: int) -> dict[str, str]:
        pem = signer.own.get("public_key") or account.hub["mch_private_key"]
        key: Any = serialization.load_pem_private_key(pem.encode(), None)
        timestamp = str(time_ms // 1000)
        signature = key.sign(f"{timestamp}\nnonce\n".encode() + body + b"\n", padding.PKCS1v15(), hashes.SHA256())
        return {
            "wechatpay-timestamp": timestamp, "wechatpay-nonce": "nonce",
            "wechatpay-serial": account.hub["platform_public_key_id"],
            "wechatpay-signature": base64.b64encode(signature).decode(),
            "wechatpay-signature-type": "WECHATPAY2-SHA256-RSA2048",
        }  # fmt: skip


@functools.cache
def accounts_of(kind: str) -> tuple[Account, ...]:
    """Make the keys of both merchants."""
    with tempfile.TemporaryDirectory() as directory:
        wanted = [Wanted(kind, "c1", merchant_no) for merchant_no in (MERCHANT, OTHER)]
        return tuple(open_accounts(Path(directory), wanted, {kind: KINDS[kind].make_keys}))


Make = Callable[[str, Sequence[Account], Line], tuple[Channel, CallbackReader]]


@asynccontextmanager
async def open_wire(kind: str, directory: Path) -> AsyncIterator[Bench]:
    """Open the bench of one kind."""
    make, letters = WIRES[kind]
    accounts = accounts_of(kind)
    wires = Wires(accounts)
    world = World(directory, seed=7, channels=[Profile("c1")], merchants=SECRETS, voices=wires.voices)
    bound, line = bind("127.0.0.1", 0), Line()
    base_url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    await world.start()
    await wires.start(world, bound, base_url=base_url)
    channel, callbacks = make(f"{base_url}/{kind}", accounts, line)
    try:
        yield WireBench(world, line, channel, callbacks, accounts, letters)
    finally:
        await channel.aclose()
        await wires.stop()
        await world.aclose()


def wechatpay(base_url: str, accounts: Sequence[Account], line: Line) -> tuple[Channel, CallbackReader]:
    """Make the channel of WeChat Pay."""
    merchants = [HubAccount(account, ("appid", "plan_id")) for account in accounts]
    settings = {"base_url": base_url, "connections_max": 20}
    config = WechatpayConfig.of(channel_id="wechatpay", settings=settings, accounts=merchants)
    return WechatpayChannel(config, line), WechatpayCallbacks(config)


# A new wire adds here how its channel is made, and how its platform calls back.
WIRES: dict[str, tuple[Make, Letters]] = {
    "wechatpay": (wechatpay, WechatpayLetters()),
}
