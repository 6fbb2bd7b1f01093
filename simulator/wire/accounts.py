"""Who may speak to the wires: merchant accounts with their keys, made once per directory and kept on disk.

Each account has two halves: what the hub is given (`hub`), and what the channel keeps for itself (`own`). The file of
`write_hub_file` holds the hub's halves alone.
"""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from simulator.errors import LedgerDamaged

FILE_NAME = "wire-accounts.json"

Values = dict[str, str]


class Wanted(NamedTuple):
    """An account that is to be there: the wire's kind, the world's channel, and the number of the merchant."""

    kind: str
    channel_id: str
    merchant_no: str


class Account(NamedTuple):
    """An account that is there."""

    kind: str
    channel_id: str
    merchant_no: str
    hub: Values
    own: Values


Keys = tuple[Values, Values]
MakeKeys = Callable[[str], Keys]


def open_accounts(directory: Path, wanted: Iterable[Wanted], makers: dict[str, MakeKeys]) -> list[Account]:
    """Return the wanted accounts; those that are not on disk yet are made. Raise LedgerDamaged for a broken file."""
    path = directory / FILE_NAME
    try:
        kept: dict[str, Any] = json.loads(path.read_text(encoding="ascii")) if path.exists() else {}
        known = {tuple(name.split("/", 1)): (keys["hub"], keys["own"]) for name, keys in kept.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerDamaged(f"{path}: {error!r}") from error
    accounts = []
    for kind, channel_id, merchant_no in wanted:
        if (kind, merchant_no) not in known:
            known[kind, merchant_no] = makers[kind](merchant_no)
        accounts.append(Account(kind, channel_id, merchant_no, *known[kind, merchant_no]))
    if len(known) > len(kept):
        directory.mkdir(parents=True, exist_ok=True)
        content = {"/".join(name): {"hub": hub, "own": own} for name, (hub, own) in known.items()}
        _write_private(path, json.dumps(content, indent=1))
    return accounts


def write_hub_file(path: Path, accounts: Iterable[Account], *, base_url: str, seed: int) -> None:
    """Write what a hub, or a stranger's client, needs to speak to the wires. The file holds private keys."""
    kinds: dict[str, Any] = {}
    for account in accounts:
        of_kind = kinds.setdefault(account.kind, {"base_url": f"{base_url}/{account.kind}", "accounts": []})
        entry = {"channel_id": account.channel_id, "merchant_no": account.merchant_no, "values": account.hub}
        of_kind["accounts"].append(entry)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_private(path, json.dumps({"base_url": base_url, "seed": seed, "kinds": kinds}, indent=1, ensure_ascii=False))


def _write_private(path: Path, text: str) -> None:
    fresh = path.with_name(f"{path.name}.new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123 - the mode counts
        file.write(f"{text}\n")
    fresh.replace(path)
