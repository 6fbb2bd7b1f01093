"""Which folder speaks to which kind of channel."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from channels.port import CallbackReader, Channel
from channels.sandbox.client import SandboxCallbacks, SandboxChannel, Transport
from channels.sandbox.config import SandboxConfig
from domain.credentials import Credentials


class AccountLike(Protocol):
    """What a channel needs to know of a merchant account."""

    @property
    def merchant_no(self) -> str:
        """Our number at the channel."""
        ...

    @property
    def terms(self) -> Mapping[str, Any]:
        """The contract as data. The sandbox's own secret is in it; those of real channels are credentials."""
        ...

    @property
    def credentials(self) -> Sequence[Credentials]:
        """Keys and certificates, newest version first."""
        ...


KINDS = ("sandbox",)


def _sandbox(channel_id: str, settings: Mapping[str, Any], accounts: Sequence[AccountLike]) -> SandboxConfig:
    secrets = {account.merchant_no: account.terms["secret"] for account in accounts if "secret" in account.terms}
    return SandboxConfig.of(channel_id=channel_id, settings=settings, secrets=secrets)


def make_channel(
    kind: str,
    channel_id: str,
    settings: Mapping[str, Any],
    accounts: Sequence[AccountLike],
    simulator: Transport,
) -> Channel:
    """Build the channel of a kind. Raise ValueError for a kind that is not there."""
    if kind == "sandbox":
        return SandboxChannel(_sandbox(channel_id, settings, accounts), simulator)
    raise ValueError(f"there is no channel of kind {kind!r}; known kinds: {', '.join(KINDS)}")


def make_callback_reader(
    kind: str, channel_id: str, settings: Mapping[str, Any], accounts: Sequence[AccountLike]
) -> CallbackReader:
    """Build the reader of a kind's callbacks. Raise ValueError for a kind that is not there."""
    if kind == "sandbox":
        return SandboxCallbacks(_sandbox(channel_id, settings, accounts))
    raise ValueError(f"there is no channel of kind {kind!r}; known kinds: {', '.join(KINDS)}")
