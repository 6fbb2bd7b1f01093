"""Which folder speaks to which kind of channel. A kind's code is imported when a channel of it is made, not before."""

import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from channels.port import BillReader, CallbackReader, Channel
from domain.credentials import Credentials, Needs

if TYPE_CHECKING:
    from channels.alipay.config import AlipayConfig
    from channels.iso20022.config import Iso20022Config
    from channels.sandbox.client import Transport
    from channels.sandbox.config import SandboxConfig
    from channels.unionpay.config import UnionPayConfig
    from channels.wechatpay.config import WechatpayConfig


class AccountLike(Protocol):
    """What a channel needs to know of a merchant account."""

    @property
    def merchant_no(self) -> str:
        """Our number at the channel."""
        ...

    @property
    def terms(self) -> Mapping[str, Any]:
        """The contract as data."""
        ...

    @property
    def credentials(self) -> Sequence[Credentials]:
        """Keys and certificates: the version that signs first, then the others, from new to old."""
        ...


class Setup(NamedTuple):
    """What a channel is made of: its row, and its merchant accounts."""

    channel_id: str
    settings: Mapping[str, Any]
    accounts: Sequence[AccountLike]


class Kind(NamedTuple):
    """How to make the parts of one kind of channel. Each raises ValueError for settings that cannot be right.

    `missing` names the settings that payers cannot do without and that are not there, and says why. A channel that runs
    already goes on without them, as well as it can.
    """

    channel: "Callable[[Setup, Transport], Channel]"
    callbacks: Callable[[Setup], CallbackReader] | None
    bills: Callable[[Setup], BillReader] | None = None
    missing: Callable[[Mapping[str, Any]], Mapping[str, str]] = lambda _: {}


def _sandbox_config(setup: Setup) -> "SandboxConfig":
    from channels.sandbox.config import SandboxConfig

    secrets = {
        account.merchant_no: tuple(version.values["secret"] for version in account.credentials)
        for account in setup.accounts
        if account.credentials
    }
    return SandboxConfig.of(channel_id=setup.channel_id, settings=setup.settings, secrets=secrets)


def _sandbox_channel(setup: Setup, simulator: "Transport") -> Channel:
    from channels.sandbox.client import SandboxChannel

    return SandboxChannel(_sandbox_config(setup), simulator)


def _sandbox_callbacks(setup: Setup) -> CallbackReader:
    from channels.sandbox.client import SandboxCallbacks

    return SandboxCallbacks(_sandbox_config(setup))


def _alipay_config(setup: Setup) -> "AlipayConfig":
    from channels.alipay.config import AlipayConfig

    return AlipayConfig.of(channel_id=setup.channel_id, settings=setup.settings, accounts=setup.accounts)


def _alipay_channel(setup: Setup, _: "Transport") -> Channel:
    from channels.alipay.client import AlipayChannel
    from channels.http import HttpLimits, HttpTransport

    config = _alipay_config(setup)
    limits = HttpLimits(connections_max=config.connections_max, total_s=config.total_s)
    return AlipayChannel(config, HttpTransport(limits))


def _alipay_callbacks(setup: Setup) -> CallbackReader:
    from channels.alipay.client import AlipayCallbacks

    return AlipayCallbacks(_alipay_config(setup))


def _alipay_bills(_: Setup) -> BillReader:
    from channels.alipay.bills import AlipayBills

    return AlipayBills()


def _wechatpay_config(setup: Setup) -> "WechatpayConfig":
    from channels.wechatpay.config import WechatpayConfig

    return WechatpayConfig.of(channel_id=setup.channel_id, settings=setup.settings, accounts=setup.accounts)


def _wechatpay_channel(setup: Setup, _: "Transport") -> Channel:
    from channels.http import HttpLimits, HttpTransport
    from channels.wechatpay.client import WechatpayChannel

    config = _wechatpay_config(setup)
    return WechatpayChannel(config, HttpTransport(HttpLimits(connections_max=config.connections_max)))


def _wechatpay_callbacks(setup: Setup) -> CallbackReader:
    from channels.wechatpay.callbacks import WechatpayCallbacks

    return WechatpayCallbacks(_wechatpay_config(setup))


def _wechatpay_bills(setup: Setup) -> BillReader:
    from channels.wechatpay.bills import WechatpayBills

    return WechatpayBills()


def _unionpay_config(setup: Setup) -> "UnionPayConfig":
    from channels.unionpay.config import UnionPayConfig

    return UnionPayConfig.of(channel_id=setup.channel_id, settings=setup.settings, accounts=setup.accounts)


def _unionpay_channel(setup: Setup, _: "Transport") -> Channel:
    from channels.http import HttpLimits, HttpTransport
    from channels.unionpay.client import UnionPayChannel

    config = _unionpay_config(setup)
    limits = HttpLimits(connections_max=config.concurrency_max, total_s=config.timeout_s)
    return UnionPayChannel(config, HttpTransport(limits))


def _unionpay_callbacks(setup: Setup) -> CallbackReader:
    from channels.unionpay.client import UnionPayCallbacks

    return UnionPayCallbacks(_unionpay_config(setup))


def _unionpay_bills(_: Setup) -> BillReader:
    from channels.unionpay.bills import UnionPayBills

    return UnionPayBills()


def _unionpay_missing(settings: Mapping[str, Any]) -> Mapping[str, str]:
    from channels.unionpay.config import missing

    return missing(settings)


def _iso20022_config(setup: Setup) -> "Iso20022Config":
    from channels.iso20022.config import Iso20022Config

    return Iso20022Config.of(channel_id=setup.channel_id, settings=setup.settings, accounts=setup.accounts)


def _iso20022_channel(setup: Setup, _: "Transport") -> Channel:
    from channels.iso20022.carriers import make_port
    from channels.iso20022.client import Iso20022Channel

    config = _iso20022_config(setup)
    return Iso20022Channel(config, make_port(config, clock_ms=_now_ms), clock_ms=_now_ms)


def _iso20022_bills(setup: Setup) -> BillReader:
    from channels.iso20022.client import Iso20022Bills

    return Iso20022Bills(_iso20022_config(setup))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


KINDS: Mapping[str, Kind] = {
    "sandbox": Kind(_sandbox_channel, _sandbox_callbacks),
    "alipay": Kind(_alipay_channel, _alipay_callbacks, _alipay_bills),
    "wechatpay": Kind(_wechatpay_channel, _wechatpay_callbacks, _wechatpay_bills),
    "unionpay": Kind(_unionpay_channel, _unionpay_callbacks, _unionpay_bills, _unionpay_missing),
    "iso20022": Kind(_iso20022_channel, None, _iso20022_bills),
}


def make_channel(
    kind: str, channel_id: str, settings: Mapping[str, Any], accounts: Sequence[AccountLike], simulator: "Transport"
) -> Channel:
    """Build the channel of a kind. Raise ValueError for a kind that is not there."""
    return _kind(kind).channel(Setup(channel_id, settings, accounts), simulator)


def make_callback_reader(
    kind: str, channel_id: str, settings: Mapping[str, Any], accounts: Sequence[AccountLike]
) -> CallbackReader | None:
    """Build the reader of a kind's callbacks, None where it has none. Raise ValueError for a kind that is not there."""
    make = _kind(kind).callbacks
    return make(Setup(channel_id, settings, accounts)) if make is not None else None


def make_bill_reader(
    kind: str, channel_id: str, settings: Mapping[str, Any], accounts: Sequence[AccountLike]
) -> BillReader | None:
    """Build the reader of a kind's statements, None where it has none. Raise ValueError for a kind that is not there."""
    make = _kind(kind).bills
    return make(Setup(channel_id, settings, accounts)) if make is not None else None


def missing_settings(kind: str, settings: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the settings that a new channel must have and has not, with why. Raise ValueError for an unknown kind."""
    return _kind(kind).missing(settings)


def needs_of(kind: str) -> Needs:
    """Return what a kind of channel takes as credentials: CREDENTIALS of its config. Raise ValueError for an unknown kind."""
    _kind(kind)
    needs: Needs = import_module(f"channels.{kind}.config").CREDENTIALS
    return needs


def _kind(kind: str) -> Kind:
    found = KINDS.get(kind)
    if found is None:
        raise ValueError(f"there is no channel of kind {kind!r}; known kinds: {', '.join(KINDS)}")
    return found
