"""Merchant accounts in versions: what a contract on a channel says from a moment on.

A version is made by a sensitive act and never changed. In force is, of those whose moment has come, the one made last.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from domain import terms as rules
from domain.refusals import Kind, Refusal, Refused, Violation, invalid
from storage import audit
from storage.acts import Act, Ask, register
from storage.tenants import check_bindings, conflict, exists, missing

# What has another name on the wire.
_ASKED_NAMES = {"products": "product_codes", "institutions": "institution_ids", "partner_only": "sources"}
CREATE = "tenants.create_merchant_account"
UPDATE = "tenants.update_merchant_account"
_MS = "CASE WHEN isfinite({0}) THEN (extract(epoch FROM {0}) * 1000)::bigint ELSE 0 END"
_COLUMNS = f"""a.account_id, a.channel_id, a.merchant_no, v.terms, v.version, {_MS.format("v.valid_from")},
    (SELECT max(n.version) FROM merchant_account_versions n WHERE n.account_id = a.account_id), v.principal,
    {_MS.format("v.create_time")}"""


class Version(NamedTuple):
    """One version of an account's terms. Times are Unix milliseconds; `valid_from_ms` 0 is since ever."""

    account_id: str
    channel_id: str
    merchant_no: str
    terms: Mapping[str, Any]
    version: int
    valid_from_ms: int
    newest_version: int
    principal: str
    create_ms: int


def accounts(
    connection: Connection, *, tenant_id: str, account_id: str = "", after: str = "", limit: int = 1
) -> list[Version]:
    """Read accounts of a tenant by id with the version in force, or, before the first moment has come, the first to come."""
    rows = connection.execute(
        text(
            f"""SELECT DISTINCT ON (a.account_id) {_COLUMNS}
                FROM merchant_accounts a JOIN merchant_account_versions v USING (account_id)
                WHERE a.tenant_id = :tenant_id AND a.account_id > :after AND :account_id IN ('', a.account_id)
                ORDER BY a.account_id, (v.valid_from <= now()) DESC, v.version DESC LIMIT :limit"""
        ),
        {"tenant_id": tenant_id, "account_id": account_id, "after": after, "limit": limit},
    )
    return [Version(*row) for row in rows]


def versions(connection: Connection, *, tenant_id: str, account_id: str, before: int, limit: int) -> list[Version]:
    """Read versions of an account, the newest first, those below `before` (0 begins with the newest)."""
    rows = connection.execute(
        text(
            f"""SELECT {_COLUMNS} FROM merchant_accounts a JOIN merchant_account_versions v USING (account_id)
                WHERE a.tenant_id = :tenant_id AND a.account_id = :account_id AND (:before = 0 OR v.version < :before)
                ORDER BY v.version DESC LIMIT :limit"""
        ),
        {"tenant_id": tenant_id, "account_id": account_id, "before": before, "limit": limit},
    )
    return [Version(*row) for row in rows]


# --- acts -------------------------------------------------------------------------------------------------------------


def _show_create(connection: Connection, ask: Ask) -> dict[str, Any]:
    wanted = ask.arguments
    row = connection.execute(
        text(
            """SELECT account_id = :account_id FROM merchant_accounts
               WHERE tenant_id = :tenant_id
                 AND (account_id = :account_id OR (channel_id = :channel_id AND merchant_no = :merchant_no))"""
        ),
        {name: wanted[name] for name in ("account_id", "channel_id", "merchant_no")} | {"tenant_id": ask.tenant_id},
    ).first()
    if row is not None:
        raise Refused(exists("account", wanted["account_id"]) if row[0] else _not_to_be_had(wanted))
    known = connection.execute(text("SELECT 1 FROM channels WHERE channel_id = :channel_id"), wanted).first()
    if known is None:
        raise Refused(missing("channel", wanted["channel_id"]))
    _check(connection, ask, wanted["terms"], wanted["valid_from_ms"])
    return {"account_id": wanted["account_id"], "channel_id": wanted["channel_id"], "merchant_no": wanted["merchant_no"],
            "before": None, "after": wanted["terms"], "valid_from_ms": wanted["valid_from_ms"]}  # fmt: skip


def _create(connection: Connection, ask: Ask) -> str:
    wanted = ask.arguments
    made = connection.execute(  # sees the numbers of all tenants, and so is only tried once somebody has allowed it
        text(
            """INSERT INTO merchant_accounts (account_id, tenant_id, channel_id, merchant_no)
               VALUES (:account_id, :tenant_id, :channel_id, :merchant_no) ON CONFLICT DO NOTHING"""
        ),
        {name: wanted[name] for name in ("account_id", "channel_id", "merchant_no")} | {"tenant_id": ask.tenant_id},
    )
    if made.rowcount != 1:
        raise Refused(_not_to_be_had(wanted))
    _add_version(connection, ask, 1, wanted["terms"], wanted["valid_from_ms"])
    _note(connection, ask, "Tenants.CreateMerchantAccount", None, _seen(wanted["terms"], 1, wanted["valid_from_ms"]))
    return str(wanted["account_id"])


def _show_update(connection: Connection, ask: Ask) -> dict[str, Any]:
    wanted = ask.arguments
    now, terms = _newest(connection, ask), _merged(connection, ask)
    valid_from_ms = max(wanted["valid_from_ms"], 0)
    _check(connection, ask, terms, max(valid_from_ms, ask.now_ms))
    outdone = [
        item.version
        for item in versions(
            connection, tenant_id=ask.tenant_id, account_id=wanted["account_id"], before=0, limit=1_000
        )
        if item.valid_from_ms > max(valid_from_ms, ask.now_ms)
    ]
    return {"account_id": now.account_id, "channel_id": now.channel_id, "merchant_no": now.merchant_no,
            "before": dict(now.terms), "after": terms, "version": now.version, "valid_from_ms": valid_from_ms,
            "outdone_versions": outdone}  # fmt: skip


def _update(connection: Connection, ask: Ask) -> str:
    now, terms = _newest(connection, ask), _merged(connection, ask)
    valid_from_ms = max(ask.arguments["valid_from_ms"], ask.now_ms)
    _add_version(connection, ask, now.version + 1, terms, valid_from_ms)
    before = _seen(now.terms, now.version, now.valid_from_ms)
    after = _seen(terms, now.version + 1, valid_from_ms)
    _note(connection, ask, "Tenants.UpdateMerchantAccount", before, after)
    return now.account_id


def _newest(connection: Connection, ask: Ask) -> Version:
    """Read the newest version, and see that it is the one that the author saw."""
    account_id, seen = ask.arguments["account_id"], ask.arguments["version"]
    found = versions(connection, tenant_id=ask.tenant_id, account_id=account_id, before=0, limit=1)
    if not found:
        raise Refused(missing("account", account_id))
    if found[0].version != seen:
        raise Refused(conflict(f"account {account_id}", version=seen))
    return found[0]


def _merged(connection: Connection, ask: Ask) -> dict[str, Any]:
    """Return the whole new terms: what the channel itself needs stays, where the author said nothing of it."""
    wanted = dict(ask.arguments["terms"])
    if not ask.arguments["keep_channel_terms"]:
        return wanted
    kept = {name: value for name, value in _newest(connection, ask).terms.items() if name not in rules.KNOWN}
    return kept | wanted


def _check(connection: Connection, ask: Ask, terms: Mapping[str, Any], valid_from_ms: int) -> None:
    if found := rules.violations(terms, valid_from_ms=valid_from_ms):
        raise Refused(invalid(*map(_as_asked, found)))
    check_bindings(
        connection, tenant_id=ask.tenant_id, institution_ids=terms.get("institutions", ()),
        product_codes=terms.get("products", ()), place="terms.",
    )  # fmt: skip


def _as_asked(violation: Violation) -> Violation:
    """Name a field of stored terms as whoever asks has written it."""
    head = re.match(r"\w*", violation.field)
    name = head.group() if head else ""
    return violation._replace(field=f"terms.{_ASKED_NAMES.get(name, name)}{violation.field.removeprefix(name)}")


def _add_version(connection: Connection, ask: Ask, version: int, terms: Mapping[str, Any], valid_from_ms: int) -> None:
    made = connection.execute(
        text(
            """INSERT INTO merchant_account_versions (account_id, version, terms, valid_from, principal)
               VALUES (:account_id, :version, :terms, CASE WHEN :valid_from_ms = 0 THEN '-infinity'
                       ELSE to_timestamp(:valid_from_ms / 1000.0) END, :principal) ON CONFLICT DO NOTHING"""
        ),
        {"account_id": ask.arguments["account_id"], "version": version, "terms": json.dumps(terms),
         "valid_from_ms": valid_from_ms, "principal": ask.proposer},
    )  # fmt: skip
    if made.rowcount != 1:
        raise Refused(conflict(f"account {ask.arguments['account_id']}", version=version - 1))


def _seen(terms: Mapping[str, Any], version: int, valid_from_ms: int) -> dict[str, Any]:
    return {"version": version, "valid_from_ms": valid_from_ms, "terms": dict(terms)}


def _not_to_be_had(wanted: Mapping[str, Any]) -> Refusal:
    """Refuse a number of the channel's. It gives each to one company; whose this one is, the answer does not tell."""
    return Refusal(
        Kind.REUSED, "MERCHANT_NO_TAKEN",
        f"{wanted['merchant_no']} on {wanted['channel_id']} can't be had; if it is yours, ask whoever runs Paydesk",
    )  # fmt: skip


def _note(
    connection: Connection, ask: Ask, operation: str, before: Mapping[str, Any] | None, after: Mapping[str, Any]
) -> None:
    entry = audit.Entry(
        ask.tenant_id, ask.approver or ask.proposer, operation, "merchant_account", ask.arguments["account_id"], before,
        after, ask.reason, ask.request_id, ask.address,
    )  # fmt: skip
    audit.append(connection, [entry])


_CHECKERS: Sequence[str] = ("FINANCE_CHECKER", "TENANT_ADMIN", "CHANNEL_ADMIN")
register(Act(CREATE, "merchant_account", _show_create, _create, checkers=frozenset(_CHECKERS)))
register(Act(UPDATE, "merchant_account", _show_update, _update, checkers=frozenset(_CHECKERS)))
