"""Versions of credentials: sealed in the database, opened for whoever signs and verifies.

The newest active version of an owner signs, every one that is not retired verifies. An owner is a merchant account, or
a tenant's webhook (its id is then the tenant's).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection, text

from domain.credentials import VALUE_LENGTH_MAX, Credentials, Learned, Material, State
from domain.refusals import Kind, Refusal, Refused
from storage import audit, expiry, materials
from storage import desk as desk_store
from storage.acts import Act, Ask, hold, register
from storage.desk import AccountRow, Desk
from storage.master_keys import MasterKeyMissing
from storage.materials import Shown
from storage.vault import Place, SealBroken, Vault

log = structlog.get_logger()

# Of one owner, in use at once. A change of keys needs two.
VERSIONS_MAX = 20

_MS = "coalesce((extract(epoch FROM {}) * 1000)::bigint, 0)"
_COLUMNS = f"""owner_kind, owner_id, version, state, shown, {_MS.format("not_after")}, principal,
    {_MS.format("create_time")}, {_MS.format("activate_time")}, {_MS.format("retire_time")},
    state = 'ACTIVE' AND NOT EXISTS (SELECT 1 FROM credentials n WHERE n.tenant_id = credentials.tenant_id
        AND n.owner_kind = credentials.owner_kind AND n.owner_id = credentials.owner_id AND n.state = 'ACTIVE'
        AND n.version > credentials.version)"""


class OwnerKind(StrEnum):
    """Whose credentials they are."""

    ACCOUNT = "ACCOUNT"
    WEBHOOK = "WEBHOOK"


class Owner(NamedTuple):
    """A merchant account, or a tenant's webhook."""

    tenant_id: str
    kind: OwnerKind
    owner_id: str

    def place(self, version: int) -> Place:
        """Return where a version of this owner's values belongs."""
        return Place(self.tenant_id, f"{self.kind}/{self.owner_id}/{version}", "sealed")


class Version(NamedTuple):
    """One version as it may be seen. Times are Unix milliseconds, 0 for none."""

    kind: OwnerKind
    owner_id: str
    version: int
    state: State
    shown: tuple[Shown, ...]
    not_after_ms: int
    principal: str
    create_ms: int
    activate_ms: int
    retire_ms: int
    signs: bool


def _version(row: Sequence[Any]) -> Version:
    kind, owner_id, version, state, shown, *rest = row
    return Version(OwnerKind(kind), owner_id, version, State(state), tuple(Shown(**item) for item in shown), *rest)


def add(
    connection: Connection,
    vault: Vault,
    owner: Owner,
    values: Mapping[str, str],
    shown: Sequence[Shown],
    *,
    principal: str,
    state: State = State.STAGED,
    not_after_ms: int = 0,
) -> int:
    """Add a version that ends when the first of its values does, or at `not_after_ms`; return its number."""
    version = next_version(connection, owner)
    ends_ms = [item.not_after_ms for item in shown if item.not_after_ms] + ([not_after_ms] if not_after_ms else [])
    connection.execute(
        text(
            """INSERT INTO credentials (tenant_id, owner_kind, owner_id, version, state, sealed, shown, not_after,
                                        principal, activate_time)
               VALUES (:tenant_id, :kind, :owner_id, :version, :state, :sealed, :shown, :not_after, :principal,
                       CASE WHEN :state = 'ACTIVE' THEN now() END)"""
        ),
        {**owner._asdict(), "version": version, "state": state, "principal": principal, "shown": json.dumps([item._asdict() for item in shown]),
         "sealed": vault.seal(connection, owner.place(version), json.dumps(dict(values)).encode()),
         "not_after": datetime.fromtimestamp(min(ends_ms) / 1000, UTC) if ends_ms else None},
    )  # fmt: skip
    return version


def check_room(connection: Connection, owner: Owner) -> None:
    """Raise Refused when an owner has too many versions in use: whoever signs or verifies holds all of them.

    It counts for whoever has asked for the next version's number: nobody else can add one by then.
    """
    in_use_count = connection.execute(
        text(
            """SELECT count(*) FROM credentials WHERE tenant_id = :tenant_id AND owner_kind = :kind
               AND owner_id = :owner_id AND state <> 'RETIRED'"""
        ),
        owner._asdict(),
    ).scalar_one()
    if in_use_count >= VERSIONS_MAX:
        told = f"{VERSIONS_MAX} versions are in use: retire one of them"
        raise Refused(Refusal(Kind.FORBIDDEN_BY_STATE, "TOO_MANY_VERSIONS", told))


def activate(connection: Connection, owner: Owner, version: int) -> bool:
    """Let a staged version sign; tell whether it was staged."""
    return _move(connection, owner, version, "state = 'ACTIVE', activate_time = now()", "state = 'STAGED'")


def retire(connection: Connection, owner: Owner, version: int) -> bool:
    """Take a version out of use and let go of its values; tell whether it was in use."""
    return _move(connection, owner, version, "state = 'RETIRED', retire_time = now(), sealed = NULL", "state <> 'RETIRED'")


def _move(connection: Connection, owner: Owner, version: int, change: str, condition: str) -> bool:
    moved = connection.execute(
        text(
            f"""UPDATE credentials SET {change} WHERE tenant_id = :tenant_id AND owner_kind = :kind
                AND owner_id = :owner_id AND version = :version AND {condition}"""
        ),
        {**owner._asdict(), "version": version},
    )
    return moved.rowcount == 1


def versions(
    connection: Connection, *, tenant_id: str, kind: str = "", owner_id: str = "", after: tuple[str, str, int] = ("", "", 0),
    limit: int,
) -> list[Version]:
    """Read versions as they may be seen, by owner and number; `after` is the last one of the page before."""
    rows = connection.execute(
        text(
            f"""SELECT {_COLUMNS} FROM credentials
                WHERE tenant_id = :tenant_id AND (:kind = '' OR owner_kind = :kind)
                  AND (:owner_id = '' OR owner_id = :owner_id)
                  AND (owner_kind, owner_id, version) > (:after_kind, :after_id, :after_version)
                ORDER BY owner_kind, owner_id, version LIMIT :limit"""
        ),
        {"tenant_id": tenant_id, "kind": kind, "owner_id": owner_id, "after_kind": after[0], "after_id": after[1],
         "after_version": after[2], "limit": limit},
    )  # fmt: skip
    return [_version(row) for row in rows]


def find(connection: Connection, owner: Owner, version: int) -> Version | None:
    """Read one version as it may be seen."""
    row = connection.execute(
        text(
            f"""SELECT {_COLUMNS} FROM credentials WHERE tenant_id = :tenant_id AND owner_kind = :kind
                AND owner_id = :owner_id AND version = :version"""
        ),
        {**owner._asdict(), "version": version},
    ).one_or_none()
    return _version(row) if row else None


# The signing version comes first, then the others from new to old; without an active one nothing signs.
_IN_USE = f"""
    SELECT tenant_id, owner_id, version, sealed, {_MS.format("not_after")}, state = 'ACTIVE'
    FROM credentials WHERE owner_kind = :kind AND state <> 'RETIRED'
    ORDER BY tenant_id, owner_id, state, version DESC
"""


def in_use(connection: Connection, vault: Vault, kind: OwnerKind) -> dict[tuple[str, str], tuple[Credentials, ...]]:
    """Open what is in use: `(tenant_id, owner_id) -> versions`. Owners of which no version is active are left out.

    So are versions that cannot be opened: one broken secret stops one account, not all of them.
    """
    found: dict[tuple[str, str], list[Credentials]] = {}
    signing: set[tuple[str, str]] = set()
    for tenant_id, owner_id, version, sealed, not_after_ms, is_active in connection.execute(text(_IN_USE), {"kind": kind}):
        owner = Owner(tenant_id, kind, owner_id)
        try:
            values = json.loads(vault.open(connection, owner.place(version), bytes(sealed)))
        except (SealBroken, MasterKeyMissing) as error:
            log.error("credentials_not_opened", owner=owner, version=version, error=str(error))
            continue
        found.setdefault((tenant_id, owner_id), []).append(Credentials(version, values, not_after_ms))
        if is_active:
            signing.add((tenant_id, owner_id))
    return {key: tuple(group) for key, group in found.items() if key in signing}


def with_credentials(connection: Connection, desk: Desk, vault: Vault) -> Desk:
    """Return a desk whose accounts have their credentials, for those who sign and verify; those of later terms too."""
    opened = in_use(connection, vault, OwnerKind.ACCOUNT)

    def equipped(accounts: Sequence[AccountRow]) -> list[AccountRow]:
        return [account._replace(credentials=opened.get((account.tenant_id, account.account_id), ())) for account in accounts]

    return desk._replace(accounts=equipped(desk.accounts), later_accounts=equipped(desk.later_accounts))


def next_version(connection: Connection, owner: Owner) -> int:
    """Return the number that the next version of an owner gets; nobody else gets one until the transaction ends."""
    hold(connection, tenant_id=owner.tenant_id)
    newest = connection.execute(
        text(
            """SELECT coalesce(max(version), 0) FROM credentials
               WHERE tenant_id = :tenant_id AND owner_kind = :kind AND owner_id = :owner_id"""
        ),
        owner._asdict(),
    ).scalar_one()
    return int(newest) + 1


def learn(
    connection: Connection, vault: Vault, channel_id: str, learned: Sequence[Learned], *, now_ms: int
) -> None:
    """Add certificates of the other side to the version that signs, and tell whose account it is.

    They are not a version of their own: nothing of ours changes with them, and nobody has to activate them.
    """
    for merchant_no, name, certificates in learned:
        accounts = connection.execute(
            text(
                """SELECT tenant_id, account_id FROM merchant_accounts
                   WHERE channel_id = :channel_id AND merchant_no = :merchant_no"""
            ),
            {"channel_id": channel_id, "merchant_no": merchant_no},
        ).all()
        for tenant_id, account_id in accounts:
            owner = Owner(tenant_id, OwnerKind.ACCOUNT, account_id)
            fingerprint = _add_certificates(connection, vault, owner, name, certificates, now_ms=now_ms)
            if fingerprint:
                expiry.tell_of_signer(
                    connection, tenant_id=tenant_id, channel_id=channel_id, fingerprint=fingerprint, now_ms=now_ms
                )


def _add_certificates(
    connection: Connection, vault: Vault, owner: Owner, name: str, certificates: str, *, now_ms: int
) -> str:
    """Return the fingerprint of the newest certificate that was added, "" where all are there."""
    row = connection.execute(
        text(
            """SELECT version, sealed, shown FROM credentials WHERE tenant_id = :tenant_id AND owner_kind = :kind
               AND owner_id = :owner_id AND state = 'ACTIVE' ORDER BY version DESC LIMIT 1 FOR UPDATE"""
        ),
        owner._asdict(),
    ).one_or_none()
    if row is None:
        return ""
    place = owner.place(row.version)
    values = json.loads(vault.open(connection, place, bytes(row.sealed)))
    bundle = materials.bundled(values.get(name, ""), certificates, now_ms=now_ms)
    if name not in values or bundle == values[name] or len(bundle) > VALUE_LENGTH_MAX:
        return ""
    values[name] = bundle
    kinds = {item["name"]: Material(item["material"]) for item in row.shown}
    shown, _ = materials.read(values, kinds, now_ms=now_ms, digest=vault.keys(connection, owner.tenant_id).digest)
    before, after = (next(item for item in group if item["name"] == name)
                     for group in (row.shown, [item._asdict() for item in shown]))  # fmt: skip
    ends_ms = [item.not_after_ms for item in shown if item.not_after_ms]
    connection.execute(
        text(
            """UPDATE credentials SET sealed = :sealed, shown = :shown, not_after = :not_after
               WHERE tenant_id = :tenant_id AND owner_kind = :kind AND owner_id = :owner_id AND version = :version"""
        ),
        {**owner._asdict(), "version": row.version, "shown": json.dumps([item._asdict() for item in shown]),
         "sealed": vault.seal(connection, place, json.dumps(values).encode()),
         "not_after": datetime.fromtimestamp(min(ends_ms) / 1000, UTC) if ends_ms else None},
    )  # fmt: skip
    entry = audit.Entry(
        owner.tenant_id, "connector", "Credentials.LearnCertificates", "credentials",
        f"{owner.kind}/{owner.owner_id}/{row.version}", {name: before}, {name: after},
    )  # fmt: skip
    audit.append(connection, [entry])
    return str(after["fingerprint"])


# --- acts ---------------------------------------------------------------------------------------------------------------


ACTIVATE, RETIRE = "credentials.activate", "credentials.retire"


def _asked(connection: Connection, ask: Ask) -> tuple[Owner, Version]:
    arguments = ask.arguments
    owner = Owner(ask.tenant_id, OwnerKind(arguments["owner_kind"]), arguments["owner_id"])
    found = find(connection, owner, arguments["version"])
    if found is None:
        raise Refused(Refusal(Kind.NOT_FOUND, "CREDENTIALS_NOT_FOUND", f"there is no version {arguments['version']}"))
    return owner, found


def _show(connection: Connection, ask: Ask) -> dict[str, Any]:
    """Show fingerprints, and which version signs now; never a value."""
    owner, found = _asked(connection, ask)
    signs = connection.execute(
        text(
            """SELECT coalesce(max(version), 0) FROM credentials WHERE tenant_id = :tenant_id AND owner_kind = :kind
               AND owner_id = :owner_id AND state = 'ACTIVE'"""
        ),
        owner._asdict(),
    ).scalar_one()
    return {
        "owner": f"{owner.kind}/{owner.owner_id}", "version": found.version, "state": found.state, "signs_now": signs,
        "values": [item._asdict() for item in found.shown], "not_after_ms": found.not_after_ms,
    }  # fmt: skip


def _act(operation: str, move: Callable[[Connection, Owner, int], bool], wanted: State) -> Callable[[Connection, Ask], str]:
    def perform(connection: Connection, ask: Ask) -> str:
        owner, found = _asked(connection, ask)
        object_id = f"{owner.kind}/{owner.owner_id}/{found.version}"
        if not move(connection, owner, found.version):
            told = f"version {found.version} is {found.state}"
            raise Refused(Refusal(Kind.FORBIDDEN_BY_STATE, f"CREDENTIALS_{found.state}", told))
        entry = audit.Entry(
            ask.tenant_id, ask.approver or ask.proposer, operation, "credentials", object_id, {"state": found.state},
            {"state": wanted, "values": [item._asdict() for item in found.shown]}, ask.reason, ask.request_id, ask.address,
        )  # fmt: skip
        audit.append(connection, [entry])
        return object_id

    return perform


_CHECKERS = frozenset({"CHANNEL_ADMIN", "TENANT_ADMIN"})
register(
    Act(ACTIVATE, "credentials", _show, _act("Credentials.ActivateCredentials", activate, State.ACTIVE), checkers=_CHECKERS)
)
register(Act(RETIRE, "credentials", _show, _act("Credentials.RetireCredentials", retire, State.RETIRED), checkers=_CHECKERS))


# --- desk documents -------------------------------------------------------------------------------------------------


def install(connection: Connection, vault: Vault, document: Mapping[str, Any]) -> None:
    """Bring the desk to what a document says, its secrets included: they stand in it in plain, and are sealed here.

    An account's are its `credentials` by name, or the `secret` of a sandbox's terms; other values than those in use are a
    new version that signs at once. A webhook's `secrets` are all that sign.
    """
    desk_store.install(connection, document)
    for tenant in document.get("tenants", ()):
        if "webhook" in tenant:
            owner = Owner(tenant["tenant_id"], OwnerKind.WEBHOOK, tenant["tenant_id"])
            bring_to(connection, vault, owner, [{"secret": secret} for secret in tenant["webhook"]["secrets"]])
    for account in document.get("accounts", ()):
        terms = account.get("terms", {})
        values = account.get("credentials") or ({"secret": terms["secret"]} if "secret" in terms else {})
        if values:
            owner = Owner(account["tenant_id"], OwnerKind.ACCOUNT, account["account_id"])
            bring_to(connection, vault, owner, [values], keep_others=True)


def adopt(connection: Connection, vault: Vault) -> None:
    """Take over secrets that an earlier release kept in plain, and blank them."""
    for tenant_id, secrets in connection.exec_driver_sql(
        "SELECT tenant_id, secrets FROM webhook_endpoints WHERE secrets <> '{}'"
    ).all():
        owner = Owner(tenant_id, OwnerKind.WEBHOOK, tenant_id)
        bring_to(connection, vault, owner, [{"secret": secret} for secret in secrets])
    for tenant_id, account_id, secret in connection.exec_driver_sql(
        """SELECT DISTINCT ON (a.account_id) a.tenant_id, a.account_id, v.terms ->> 'secret'
           FROM merchant_accounts a JOIN merchant_account_versions v USING (account_id)
           WHERE v.terms -> 'secret' IS NOT NULL ORDER BY a.account_id, v.version DESC"""
    ).all():
        owner = Owner(tenant_id, OwnerKind.ACCOUNT, account_id)
        bring_to(connection, vault, owner, [{"secret": secret}], keep_others=True)
    for statement in (
        "UPDATE webhook_endpoints SET secrets = '{}' WHERE secrets <> '{}'",
        "UPDATE merchant_account_versions SET terms = terms - 'secret' WHERE terms -> 'secret' IS NOT NULL",
        "UPDATE merchant_accounts SET terms = terms - 'secret' WHERE terms -> 'secret' IS NOT NULL",
    ):
        connection.exec_driver_sql(statement)


def bring_to(
    connection: Connection, vault: Vault, owner: Owner, wanted: Sequence[Mapping[str, str]], *, keep_others: bool = False
) -> None:
    """Bring an owner's versions in use to what is wanted, the first of which signs; the others are retired, or kept."""
    rows = connection.execute(
        text(
            """SELECT version, sealed FROM credentials WHERE tenant_id = :tenant_id AND owner_kind = :kind
               AND owner_id = :owner_id AND state <> 'RETIRED'"""
        ),
        owner._asdict(),
    ).all()
    there = {row[0]: json.loads(vault.open(connection, owner.place(row[0]), bytes(row[1]))) for row in rows}
    for values in reversed(wanted):  # the first of them is the newest
        if not any(_holds(held, values) for held in there.values()):
            guessed = {name: materials.guess(value) for name, value in values.items()}
            digest = vault.keys(connection, owner.tenant_id).digest
            shown, _ = materials.read(values, guessed, now_ms=0, digest=digest)
            add(connection, vault, owner, values, shown, principal="desk document", state=State.ACTIVE)
    for version, values in there.items():
        if not keep_others and values not in [dict(item) for item in wanted]:
            retire(connection, owner, version)


def _holds(held: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Tell whether a version is what is wanted, perhaps with certificates that were learnt since."""
    return held.keys() == wanted.keys() and all(
        held[name] == value or ("BEGIN CERTIFICATE" in value and held[name].startswith(value))
        for name, value in wanted.items()
    )
