"""The channels whose own wires are simulated: `simulated = true` in their settings.

They speak HTTP and RSA as to the real channel, with the address and the keys of the sandbox, which are filled in at
each start: a desk document says neither.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import Connection

from channels.registry import needs_of
from simulator.wire import accounts as wire_accounts
from simulator.wire.accounts import Account, Wanted
from storage import credentials, desk
from storage.credentials import Owner, OwnerKind
from storage.vault import Vault

# The wires have no keeper: whoever reaches them may play the payer. So this machine alone does.
HOST = "127.0.0.1"

# The settings of each kind that say where its channel is, below the address of all wires.
_ADDRESSES: Mapping[str, Mapping[str, str]] = {
    "alipay": {"base_url": "/alipay/gateway.do"},
    "wechatpay": {"base_url": "/wechatpay"},
    "unionpay": {"base_url": "/unionpay", "file_url": "/unionpay/file"},
    "iso20022": {"base_url": "/iso20022"},
}


def url(port: int) -> str:
    """Return where the wires are."""
    return f"http://{HOST}:{port}"


def is_simulated(row: desk.ChannelRow) -> bool:
    """Tell whether a channel is reached over its simulated wire."""
    return row.kind in _ADDRESSES and bool(row.settings.get("simulated"))


def wanted(found: desk.Desk) -> list[Wanted]:
    """Return the accounts that the wires must know."""
    rows = found.channels
    return [
        Wanted(rows[account.channel_id].kind, account.channel_id, account.merchant_no)
        for account in found.accounts
        if is_simulated(rows[account.channel_id])
    ]


def open_accounts(directory: Path, found: desk.Desk) -> list[Account]:
    """Return the desk's accounts on the wires; keys that are not on disk yet are made, which takes a second each."""
    needed = wanted(found)
    if not needed:
        return []
    from simulator.wire.server import KINDS  # brings an HTTP server with it

    return wire_accounts.open_accounts(directory, needed, {kind: made.make_keys for kind, made in KINDS.items()})


def connect(
    connection: Connection, vault: Vault, found: desk.Desk, accounts: Sequence[Account], *, port: int
) -> None:
    """Write the wires' address into their channels, and their keys, sealed, into their accounts."""
    by_place = {(account.channel_id, account.merchant_no): account for account in accounts}
    rows = [row for row in found.channels.values() if is_simulated(row)]
    desk.install(connection, {"channels": [
        {**row._asdict(), "settings": {**row.settings, **{name: url(port) + path for name, path in _ADDRESSES[row.kind].items()}}}
        for row in rows
    ]})  # fmt: skip
    for row in found.accounts:
        account = by_place.get((row.channel_id, row.merchant_no))
        if account is None:
            continue
        # The sandbox hands out more than a channel asks for, such as the public halves of our own keys.
        names = needs_of(account.kind).materials
        values = {name: value for name, value in account.hub.items() if name in names}
        owner = Owner(row.tenant_id, OwnerKind.ACCOUNT, row.account_id)
        credentials.bring_to(connection, vault, owner, [values], keep_others=True)
