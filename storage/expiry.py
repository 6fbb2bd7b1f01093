"""What ends when, who is told, and that everybody is told once."""

import secrets
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import structlog
from sqlalchemy import Connection, text

from domain import expiry
from domain.identifiers import RANDOM_BYTES, identifier
from domain.refusals import Kind, Refusal, Refused
from storage.acts import hold
from storage.arrays import columns
from storage.master_keys import MasterKeyMissing
from storage.vault import Place, SealBroken, Vault

log = structlog.get_logger()

# A target that says no is tried again after this long, twice as long each time, this often.
RETRY_S = 300
TRIES_MAX = 5
# Nobody knows what became of a message whose sender has been silent for so long.
LEASE_S = 600
CLAIM_MAX = 20
# Ends are planned for in pages of so many.
PLAN_MAX = 2_000
# Of one tenant: every one of them is written to about every end.
CONTACTS_MAX = 50

_MS = "coalesce((extract(epoch FROM {}) * 1000)::bigint, 0)"


class Ending(NamedTuple):
    """Something in use that ends. `channel_id` is "" for what belongs to no channel."""

    tenant_id: str
    object_kind: str
    object_id: str
    channel_id: str
    title: str
    not_after_ms: int


class Contact(NamedTuple):
    """Somebody who is told; `targets` are (target_id, what may be seen of it)."""

    contact_id: str
    display_name: str
    escalation: bool
    targets: tuple[tuple[str, str], ...]


class Reminder(NamedTuple):
    """One message about one end to one target ("" inside the system). Times are Unix milliseconds, 0 for none."""

    reminder_id: str
    object_kind: str
    object_id: str
    mark: int
    target_id: str
    title: str
    body: str
    state: str
    try_count: int
    create_ms: int
    send_ms: int
    acknowledge_ms: int
    acknowledger: str


_REMINDER = f"""reminder_id, object_kind, object_id, mark, target_id, title, body, state, try_count,
    {_MS.format("create_time")}, {_MS.format("send_time")}, {_MS.format("acknowledge_time")}, acknowledger"""


class Outgoing(NamedTuple):
    """A message that is ours to send."""

    reminder_id: str
    url: str
    title: str
    body: str

    def __repr__(self) -> str:
        """Name the message only: the URL holds secrets."""
        return f"Outgoing({self.reminder_id})"


def endings(
    connection: Connection, *, tenant_id: str = "", until_ms: int = 0, after: tuple[int, str] = (0, ""), limit: int
) -> list[Ending]:
    """Read what ends, soonest first: of a tenant or of all, up to a moment (0: whenever), after a moment or the last of a page."""
    end_ms = _MS.format("not_after")
    rows = connection.execute(
        text(
            f"""SELECT tenant_id, object_kind, object_id, channel_id, title, {end_ms} FROM expiries
                WHERE (:tenant_id = '' OR tenant_id = :tenant_id) AND (:until_ms = 0 OR {end_ms} < :until_ms)
                  AND ({end_ms}, object_id) > (:after_ms, :after_id)
                ORDER BY {end_ms}, object_id LIMIT :limit"""
        ),
        {"tenant_id": tenant_id, "until_ms": until_ms, "after_ms": after[0], "after_id": after[1], "limit": limit},
    )
    return [Ending(*row) for row in rows]


# --- contacts -------------------------------------------------------------------------------------------------------


def add_contact(
    connection: Connection, vault: Vault, *, tenant_id: str, contact_id: str, display_name: str, escalation: bool,
    targets: Sequence[tuple[str, str]],
) -> None:
    """Add a contact with its targets: (URL, what may be seen of it). Raise Refused when there are too many."""
    hold(connection, tenant_id=tenant_id)  # two at once would each count without the other
    added = connection.execute(
        text(
            """INSERT INTO contacts (tenant_id, contact_id, display_name, escalation)
               SELECT :tenant_id, :contact_id, :display_name, :escalation
               WHERE (SELECT count(*) FROM contacts WHERE tenant_id = :tenant_id AND delete_time IS NULL) < :most"""
        ),
        {"tenant_id": tenant_id, "contact_id": contact_id, "display_name": display_name, "escalation": escalation,
         "most": CONTACTS_MAX},
    )  # fmt: skip
    if added.rowcount != 1:
        told = f"there are {CONTACTS_MAX} contacts: delete one of them"
        raise Refused(Refusal(Kind.FORBIDDEN_BY_STATE, "TOO_MANY_CONTACTS", told))
    for number, (url, shown) in enumerate(targets, start=1):
        target_id = f"{contact_id}/{number}"
        connection.execute(
            text(
                """INSERT INTO contact_targets (tenant_id, contact_id, target_id, shown, sealed)
                   VALUES (:tenant_id, :contact_id, :target_id, :shown, :sealed)"""
            ),
            {"tenant_id": tenant_id, "contact_id": contact_id, "target_id": target_id, "shown": shown,
             "sealed": vault.seal(connection, Place(tenant_id, target_id, "sealed"), url.encode())},
        )  # fmt: skip


def delete_contact(connection: Connection, *, tenant_id: str, contact_id: str) -> bool:
    """Let go of a contact and of its URLs; tell whether there was one."""
    keys = {"tenant_id": tenant_id, "contact_id": contact_id}
    gone = connection.execute(
        text(
            """UPDATE contacts SET delete_time = now()
               WHERE tenant_id = :tenant_id AND contact_id = :contact_id AND delete_time IS NULL"""
        ),
        keys,
    )
    connection.execute(
        text("UPDATE contact_targets SET sealed = NULL WHERE tenant_id = :tenant_id AND contact_id = :contact_id"), keys
    )
    return gone.rowcount == 1


def contacts(connection: Connection, *, tenant_id: str, after: str = "", limit: int) -> list[Contact]:
    """Read a tenant's contacts."""
    rows = connection.execute(
        text(
            """SELECT c.contact_id, c.display_name, c.escalation,
                      coalesce(array_agg(ARRAY[t.target_id, t.shown] ORDER BY t.target_id)
                               FILTER (WHERE t.target_id IS NOT NULL), '{}')
               FROM contacts c LEFT JOIN contact_targets t USING (tenant_id, contact_id)
               WHERE c.tenant_id = :tenant_id AND c.delete_time IS NULL AND c.contact_id > :after
               GROUP BY 1, 2, 3 ORDER BY 1 LIMIT :limit"""
        ),
        {"tenant_id": tenant_id, "after": after, "limit": limit},
    )
    return [Contact(row[0], row[1], row[2], tuple((target[0], target[1]) for target in row[3])) for row in rows]


# --- reminders ------------------------------------------------------------------------------------------------------


def plan(connection: Connection, *, now_ms: int) -> int:
    """Write down whom to tell what now, each once; return how many messages are new."""
    # What ended long ago stays in the calendar until somebody takes it out; it must not keep others from their turn.
    after, until_ms = (now_ms - (expiry.DAILY_MAX + 1) * expiry.DAY_MS, ""), now_ms + (expiry.THRESHOLDS[0] + 1) * expiry.DAY_MS
    count = 0
    while page := endings(connection, until_ms=until_ms, after=after, limit=PLAN_MAX):
        count += _plan(connection, page, now_ms=now_ms)
        after = page[-1].not_after_ms, page[-1].object_id
    return count


def _plan(connection: Connection, page: Sequence[Ending], *, now_ms: int) -> int:
    due = [
        (ending, mark)
        for ending in page
        if (mark := expiry.threshold(expiry.days_left(not_after_ms=ending.not_after_ms, now_ms=now_ms))) is not None
    ]
    if not due:
        return 0
    told = _told_marks(connection, [ending for ending, _ in due])
    targets = _targets(connection)
    rows = [
        (ending.tenant_id, ending.object_kind, ending.object_id, ending.not_after_ms, mark, target_id, *_text(ending, now_ms))
        for ending, mark in due
        for target_id in _whom(ending, mark, told.get(ending, {}), targets)
    ]
    return _write(connection, rows, now_ms=now_ms)


def _told_marks(connection: Connection, due: Sequence[Ending]) -> dict[Ending, dict[int, bool]]:
    """Return of each end the marks at which it was told, and whether somebody has acknowledged that."""
    by_key = {(ending.tenant_id, ending.object_kind, ending.object_id, ending.not_after_ms): ending for ending in due}
    rows = connection.exec_driver_sql(
        f"""SELECT r.tenant_id, r.object_kind, r.object_id, {_MS.format("r.not_after")}, r.mark, r.acknowledge_time IS NOT NULL
            FROM reminders r JOIN unnest(%s::text[], %s::text[], %s::text[], %s::bigint[]) AS d (tenant_id, kind, id, end_ms)
              ON (r.tenant_id, r.object_kind, r.object_id) = (d.tenant_id, d.kind, d.id)
              AND r.not_after = to_timestamp(d.end_ms / 1000.0)
            WHERE r.target_id = ''""",
        tuple(columns(list(by_key), "tttn")),
    )
    found: dict[Ending, dict[int, bool]] = {}
    for *key, mark, is_acknowledged in rows:
        found.setdefault(by_key[key[0], key[1], key[2], key[3]], {})[mark] = is_acknowledged
    return found


def _targets(connection: Connection) -> dict[tuple[str, bool], list[str]]:
    found: dict[tuple[str, bool], list[str]] = {}
    for tenant_id, escalation, target_id in connection.exec_driver_sql(
        """SELECT c.tenant_id, c.escalation, t.target_id FROM contacts c JOIN contact_targets t USING (tenant_id, contact_id)
           WHERE c.delete_time IS NULL"""
    ):
        found.setdefault((tenant_id, escalation), []).append(target_id)
    return found


def _whom(
    ending: Ending, mark: int, told: Mapping[int, bool], targets: Mapping[tuple[str, bool], list[str]]
) -> list[str]:
    others = targets.get((ending.tenant_id, True), []) if expiry.escalates(mark, told=told) else []
    return ["", *targets.get((ending.tenant_id, False), ()), *others]


def _text(ending: Ending, now_ms: int) -> tuple[str, str]:
    days = expiry.days_left(not_after_ms=ending.not_after_ms, now_ms=now_ms)
    when = f"in {days} days" if days > 1 else {1: "tomorrow", 0: "today"}.get(days, f"{-days} days ago")
    ends = "ended" if days < 0 else "ends"
    where = f" on channel {ending.channel_id}" if ending.channel_id else ""
    title = f"Paydesk: {ending.title}{where} {ends} {when}"
    next_one = {"API_KEY": "Make a new key", "CERTIFICATE": "Bind the next one"}.get(ending.object_kind, "Add and activate a new version")
    return title[:256], f"{title}. {next_one}, then acknowledge: paydesk secrets reminders."


def _write(connection: Connection, rows: Sequence[tuple[object, ...]], *, now_ms: int) -> int:
    named = [(identifier("rem_", now_ms=now_ms, random=secrets.token_bytes(RANDOM_BYTES)), *row) for row in rows]
    return connection.exec_driver_sql(
        """INSERT INTO reminders (reminder_id, tenant_id, object_kind, object_id, not_after, mark, target_id, title, body,
                                  state, due_time, create_time)
           SELECT reminder_id, tenant_id, object_kind, object_id, to_timestamp(end_ms / 1000.0), mark, target_id, title, body,
                  CASE WHEN target_id = '' THEN 'SHOWN' ELSE 'DUE' END,
                  CASE WHEN target_id <> '' THEN to_timestamp(%s / 1000.0) END, to_timestamp(%s / 1000.0)
           FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::int[], %s::text[], %s::text[],
                       %s::text[])
           AS t (reminder_id, tenant_id, object_kind, object_id, end_ms, mark, target_id, title, body)
           ON CONFLICT DO NOTHING""",
        (now_ms, now_ms, *columns(named, "ttttnnttt")),
    ).rowcount


def claim(connection: Connection, vault: Vault, *, now_ms: int, limit: int = CLAIM_MAX) -> list[Outgoing]:
    """Take messages to send. What a dead sender had taken is UNSURE: it may have arrived, so nobody sends it again."""
    now = {"now_ms": now_ms, "limit": limit, "lease_s": LEASE_S}
    connection.execute(
        text(
            """UPDATE reminders SET state = 'UNSURE', due_time = NULL
               WHERE state = 'SENDING' AND due_time < to_timestamp(:now_ms / 1000.0)"""
        ),
        now,
    )
    rows = connection.execute(
        text(
            """UPDATE reminders r SET state = 'SENDING', try_count = try_count + 1,
                      due_time = to_timestamp(:now_ms / 1000.0) + :lease_s * interval '1 s'
               FROM (SELECT reminder_id FROM reminders WHERE state = 'DUE' AND due_time <= to_timestamp(:now_ms / 1000.0)
                     ORDER BY due_time LIMIT :limit FOR UPDATE SKIP LOCKED) d, contact_targets t
               WHERE r.reminder_id = d.reminder_id AND t.tenant_id = r.tenant_id AND t.target_id = r.target_id
               RETURNING r.reminder_id, r.tenant_id, r.target_id, t.sealed, r.title, r.body"""
        ),
        now,
    ).all()
    return [
        Outgoing(reminder_id, _url(connection, vault, Place(tenant_id, target_id, "sealed"), sealed), title, body)
        for reminder_id, tenant_id, target_id, sealed, title, body in rows
    ]


def _url(connection: Connection, vault: Vault, place: Place, sealed: bytes | None) -> str:
    """Open a target; "", which nobody can send to, for one that is gone or does not open: others are told all the same."""
    try:
        return vault.open(connection, place, bytes(sealed)).decode() if sealed else ""
    except (SealBroken, MasterKeyMissing) as error:
        log.error("contact_not_opened", tenant_id=place.tenant_id, target_id=place.object_id, error=str(error))
        return ""


def record(connection: Connection, *, reminder_id: str, sent: bool, now_ms: int) -> None:
    """Note what became of a message: sent, or refused and due again for as long as it is worth trying."""
    connection.execute(
        text(
            """UPDATE reminders SET
                   state = CASE WHEN :sent THEN 'SENT' WHEN try_count < :tries THEN 'DUE' ELSE 'FAILED' END,
                   send_time = CASE WHEN :sent THEN to_timestamp(:now_ms / 1000.0) END,
                   due_time = CASE WHEN NOT :sent AND try_count < :tries THEN
                       to_timestamp(:now_ms / 1000.0) + :retry_s * 2 ^ (try_count - 1) * interval '1 s' END
               WHERE reminder_id = :reminder_id AND state = 'SENDING'"""
        ),
        {"reminder_id": reminder_id, "sent": sent, "now_ms": now_ms, "tries": TRIES_MAX, "retry_s": RETRY_S},
    )


def reminders(
    connection: Connection, *, tenant_id: str, unacknowledged: bool = False, object_id: str = "", before: str = "", limit: int
) -> list[Reminder]:
    """Read a tenant's messages, newest first."""
    rows = connection.execute(
        text(
            f"""SELECT {_REMINDER} FROM reminders
                WHERE tenant_id = :tenant_id AND (NOT :unacknowledged OR acknowledge_time IS NULL)
                  AND (:object_id = '' OR object_id = :object_id) AND (:before = '' OR reminder_id < :before)
                ORDER BY reminder_id DESC LIMIT :limit"""
        ),
        {"tenant_id": tenant_id, "unacknowledged": unacknowledged, "object_id": object_id, "before": before,
         "limit": limit},
    )  # fmt: skip
    return [Reminder(*row) for row in rows]


def find(connection: Connection, *, tenant_id: str, reminder_id: str) -> Reminder | None:
    """Read one message."""
    row = connection.execute(
        text(f"SELECT {_REMINDER} FROM reminders WHERE tenant_id = :tenant_id AND reminder_id = :reminder_id"),
        {"tenant_id": tenant_id, "reminder_id": reminder_id},
    ).one_or_none()
    return Reminder(*row) if row else None


def acknowledge(connection: Connection, *, tenant_id: str, reminder: Reminder, principal: str) -> None:
    """Note that somebody knows: it counts for every message about the same end at the same mark."""
    connection.execute(
        text(
            """UPDATE reminders r SET acknowledge_time = now(), acknowledger = :principal
               FROM reminders s WHERE s.tenant_id = :tenant_id AND s.reminder_id = :reminder_id
                 AND (r.tenant_id, r.object_kind, r.object_id, r.not_after, r.mark)
                     = (s.tenant_id, s.object_kind, s.object_id, s.not_after, s.mark)
                 AND r.acknowledge_time IS NULL"""
        ),
        {"tenant_id": tenant_id, "principal": principal, "reminder_id": reminder.reminder_id},
    )


# --- certificates of the other side ---------------------------------------------------------------------------------


def note_peer(connection: Connection, *, channel_id: str, fingerprint: str, not_after_ms: int, now_ms: int) -> bool:
    """Note the certificate that a channel shows, and tell its tenants when it is another one; tell whether it is."""
    known = connection.execute(
        text(
            """INSERT INTO peer_certificates (channel_id, fingerprint, not_after, first_time, last_time)
               VALUES (:channel_id, :fingerprint, to_timestamp(:not_after_ms / 1000.0), to_timestamp(:now_ms / 1000.0),
                       to_timestamp(:now_ms / 1000.0))
               ON CONFLICT (channel_id, fingerprint) DO UPDATE SET last_time = excluded.last_time
               RETURNING xmax::text <> '0',
                         EXISTS (SELECT 1 FROM peer_certificates p WHERE p.channel_id = :channel_id)"""
        ),
        {"channel_id": channel_id, "fingerprint": fingerprint, "not_after_ms": not_after_ms, "now_ms": now_ms},
    ).one()
    if known[0] or not known[1]:
        return False
    title = f"Paydesk: channel {channel_id} shows another TLS certificate"
    body = f"{title}, {fingerprint}. If nobody announced it, ask the channel."
    object_id, tenants = f"{channel_id}/{fingerprint}", _tenants(connection, channel_id)
    _tell(connection, tenants, "PEER_CERTIFICATE", object_id, (title, body), now_ms=now_ms)
    return True


def tell_of_signer(connection: Connection, *, tenant_id: str, channel_id: str, fingerprint: str, now_ms: int) -> None:
    """Tell a tenant that a channel has a new certificate to sign with."""
    title = f"Paydesk: channel {channel_id} has a new certificate to sign with"
    body = f"{title}, {fingerprint}. It was fetched from the channel and is verified with. If nobody announced it, ask."
    object_id = f"{channel_id}/{fingerprint}"
    _tell(connection, [tenant_id], "PEER_CERTIFICATE", object_id, (title, body), now_ms=now_ms)


# --- what channels say ----------------------------------------------------------------------------------------------


def tell_of_words(connection: Connection, *, channel_id: str, words: Sequence[str], now_ms: int) -> None:
    """Tell a channel's tenants of words that are in no table of ours, of each once a day."""
    tenants = _tenants(connection, channel_id)
    for word in words:
        title = f"Paydesk: channel {channel_id} says {word}, which is in no table"
        body = (
            f"{title}. It proves nothing: what was answered with it is in doubt, and asked about. Learn from the channel what "
            "it means, have it put into the channel's mapping, then acknowledge: paydesk secrets reminders."
        )
        told = (title[:256], body)
        _tell(connection, tenants, "UNKNOWN_WORD", f"{channel_id}/{word}", told, mark=expiry.day(now_ms), now_ms=now_ms)


def _tenants(connection: Connection, channel_id: str) -> Sequence[str]:
    return (
        connection.execute(
            text("SELECT DISTINCT tenant_id FROM merchant_accounts WHERE channel_id = :channel_id"),
            {"channel_id": channel_id},
        )
        .scalars()
        .all()
    )


def _tell(
    connection: Connection, tenants: Sequence[str], kind: str, object_id: str, told: tuple[str, str], *, mark: int = 0,
    now_ms: int,
) -> None:  # fmt: skip
    targets = _targets(connection)
    rows = [
        (tenant_id, kind, object_id, 0, mark, target_id, *told)
        for tenant_id in tenants
        for target_id in ("", *targets.get((tenant_id, False), ()))
    ]
    _write(connection, rows, now_ms=now_ms)
