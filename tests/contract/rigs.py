"""Every real channel against its own wire, made as a deployment makes it, with all that the platform says kept.

Where `benches.py` hides how channels differ, a rig shows it: what one channel makes of one fault of its wire.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from channels.port import (
    Answer,
    CallbackReader,
    CallbackRefused,
    Charge,
    DebitRequest,
    Lookup,
    Notice,
    Payee,
    PayeeKind,
)
from channels.registry import make_bill_reader, make_callback_reader, make_channel, needs_of
from domain.credentials import Credentials
from domain.evidence import Fault, Outcome
from simulator.profiles import Profile
from simulator.wire.accounts import Account
from simulator.wire.iso20022.credentials import account_no
from simulator.wire.server import KINDS, Wires, bind
from simulator.world import World
from tests.contract.benches import PATIENCE_S, number, silence
from tests.unit.sandbox_kit import Heard, Hook, hooked

MERCHANTS = {
    "alipay": ("2088000000000011", "2088000000000022"),
    "wechatpay": ("1900000109", "1900000110"),
    "unionpay": ("777290000000011", "777290000000022"),
    "iso20022": ("CORP0001", "CORP0002"),
}
AMOUNT_MINOR = 10_000
PAYEES = {
    "alipay": Payee(PayeeKind.LOGON, "payee@example.com", "李明"),
    "wechatpay": Payee(PayeeKind.USER, "o-payee", "李明"),
    "unionpay": Payee(PayeeKind.BANK_CARD, "6216261000000000018", "李明"),
    "iso20022": Payee(PayeeKind.BANK_CARD, "6222020200112233445", "李明", "102100099996"),
}


class MerchantAccount(NamedTuple):
    """A merchant account as the desk has it."""

    merchant_no: str
    terms: Mapping[str, Any]
    credentials: Sequence[Credentials]


@functools.cache
def wire_accounts(kind: str) -> tuple[Account, ...]:
    """Make the keys of both merchants, once: they take seconds."""
    return tuple(Account(kind, kind, merchant_no, *KINDS[kind].make_keys(merchant_no)) for merchant_no in MERCHANTS[kind])


def settings_of(kind: str, base_url: str) -> dict[str, Any]:
    """Return a channel's settings, for wires at an address."""
    more = {
        "alipay": {"base_url": f"{base_url}/alipay/gateway.do"},
        "unionpay": {"file_url": f"{base_url}/unionpay/file", "product": "GATEWAY", "front_url": "https://us.example/paid"},
    }
    return {"base_url": f"{base_url}/{kind}", "connections_max": 20} | more.get(kind, {})


def account_of(account: Account, **more: str) -> MerchantAccount:
    """Return what the desk has of a wire's account; `more` is a second version of credentials, which verifies."""
    names = needs_of(account.kind).materials
    values = {name: value for name, value in account.hub.items() if name in names}
    terms = {
        "appid": account.hub.get("appid", ""), "plan_id": account.hub.get("plan_id", 0), "account_name": "某某保险",
        "account_no": account_no(account.merchant_no), "bank_code": account.hub.get("bank_code", ""),
        "transfer_scenes": {"1004": {"保险产品备案编号": "C1", "保险名称": "车险", "保险操作单号": "{payout_no}"}},
    }  # fmt: skip
    versions = [Credentials(1, values)] + ([Credentials(2, more)] if more else [])
    return MerchantAccount(account.merchant_no, terms, versions)


class Rig:
    """One channel, its wire, and an ear for callbacks."""

    def __init__(self, kind: str, world: World, base_url: str, hook: Hook) -> None:
        self.kind = kind
        self.world = world
        self.hook = hook
        self.merchant_no = MERCHANTS[kind][0]
        self.settings = settings_of(kind, base_url)
        self.accounts = [account_of(account) for account in wire_accounts(kind)]
        self.channel: Any = make_channel(kind, kind, self.settings, self.accounts, None)  # type: ignore[arg-type]
        self.reader = make_callback_reader(kind, kind, self.settings, self.accounts)
        self.bills = make_bill_reader(kind, kind, self.settings, self.accounts)
        hook.believes = self._believes

    def _believes(self, heard: Heard) -> bool:
        return self.reader is not None and isinstance(read(self.reader, *heard, self.world.real_ms()), Notice)

    async def fault(self, name: str, share: float = 1.0) -> None:
        await self.world.inject({"channel_id": self.kind, "kind": name, "share": share})

    def _struck(self) -> int:
        return self.world.channel(self.kind).faults.hit_count

    async def ask(self, operation: str, request: Any, *, is_silent: bool = False) -> Any:
        """Ask as the connector does: silence, if there is some, is MAYBE."""
        try:
            async with silence(self._struck) if is_silent else asyncio.timeout(PATIENCE_S):
                async for answers in getattr(self.channel, operation)([request]):
                    (answer,) = answers
                    return answer
        except TimeoutError:
            return Answer("", Outcome.MAYBE, "TIMEOUT", Fault.CHANNEL)
        raise AssertionError("the answers ended without one")

    async def charge(self, name: str, *, is_silent: bool = False) -> Answer:
        """Ask for money in the way that the channel has: of a payer, or under a mandate."""
        common = (number(name), self.merchant_no, AMOUNT_MINOR, "CNY", f"order-{name}", "车险保费")
        if self.kind == "iso20022":
            request: Any = DebitRequest(*common, f"mandate-{name}", "", PAYEES[self.kind])
            return await self.ask("debit", request, is_silent=is_silent)  # type: ignore[no-any-return]
        request = Charge(*common, "card-1", self.world.real_ms() + 900_000, self.hook.url, "API")
        return await self.ask("charge", request, is_silent=is_silent)  # type: ignore[no-any-return]

    async def query(self, name: str, *, is_silent: bool = False) -> Answer:
        lookup = Lookup(number(name), self.merchant_no)
        return await self.ask("query", lookup, is_silent=is_silent)  # type: ignore[no-any-return]

    def listen_anew(self) -> None:
        """Forget what was heard."""
        self.hook.heard.clear()

    async def hears(self, count: int) -> list[Notice | str]:
        """Wait for so many callbacks, then a moment longer; return notices, or why they were refused, as they came."""
        assert self.reader is not None
        async with asyncio.timeout(PATIENCE_S):
            while len(self.hook.heard) < count:
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)
        return [read(self.reader, headers, body, self.world.real_ms()) for headers, body in self.hook.heard]


def read(reader: CallbackReader, headers: dict[str, str], body: bytes, now_ms: int) -> Notice | str:
    try:
        return reader.read(headers=headers, body=body, now_ms=now_ms)
    except CallbackRefused as refused:
        return refused.reason


@asynccontextmanager
async def rigged(kind: str, directory: Path) -> AsyncIterator[Rig]:
    """Open a rig."""
    accounts = wire_accounts(kind)
    wires = Wires(accounts)
    world = World(
        directory, seed=7, channels=[Profile(kind, amount_triggers=False)],
        merchants={account.merchant_no: "" for account in accounts}, voices=wires.voices,
    )  # fmt: skip
    bound = bind("127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    await world.start()
    await wires.start(world, bound, base_url=base_url)
    async with hooked() as hook:
        rig = Rig(kind, world, base_url, hook)
        try:
            yield rig
        finally:
            await rig.channel.aclose()
            await wires.stop()
            await world.aclose()
