"""Proposals of sensitive acts and what became of them.

A proposal keeps what was shown with its hash. Whoever allows it allows that: it is shown anew in the transaction of every
approval, and any difference voids the proposal. The last approval that is needed performs the act in its own transaction,
so nothing is ever allowed and not done, nor done twice.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from domain.approvals import (
    EDGES,
    Decider,
    Decision,
    Event,
    Policy,
    Said,
    State,
    canonical,
    changed_fields,
    digest,
    objection,
)
from domain.identifiers import RANDOM_BYTES, identifier
from domain.refusals import Kind, Refusal, Refused
from storage import approval_policies, audit
from storage.acts import Act, Ask, act_of, hold

# What is shown is for a person to read, and arguments are small or refer to what is stored.
JSON_LENGTH_MAX = 256 * 1024
EXPIRE_BATCH = 500
# Who lets a proposal expire.
CLOCK = "system"
_COLUMNS = """a.approval_id, a.tenant_id, a.kind, a.object_kind, a.arguments, a.shown, a.shown_hash, a.amount_minor,
              a.approvers_needed, a.state, a.proposer, a.proposer_being, a.reason, a.request_id, a.content_hash, a.address,
              a.object_id, a.outcome, (extract(epoch FROM a.create_time) * 1000)::bigint,
              (extract(epoch FROM a.update_time) * 1000)::bigint, (extract(epoch FROM a.expire_time) * 1000)::bigint"""


class Proposed(NamedTuple):
    """An act that waits (`approval_id`), or was performed at once because the tenant's policy asks for nobody."""

    approval_id: str
    performed: bool
    object_id: str
    repeated: bool = False  # it was asked for before: nothing was done now


class Approval(NamedTuple):
    """A proposal as it is now. `outcome` says why it is VOID; times are Unix milliseconds."""

    approval_id: str
    tenant_id: str
    kind: str
    object_kind: str
    arguments: Mapping[str, Any]
    shown: Mapping[str, Any]
    shown_hash: bytes
    amount_minor: int
    approvers_needed: int
    state: State
    proposer: str
    proposer_being: str
    reason: str
    request_id: str
    content_hash: str
    address: str
    object_id: str
    outcome: str
    create_ms: int
    update_ms: int
    expire_ms: int


class Told(NamedTuple):
    """One decision."""

    principal: str
    being: str
    decision: Decision
    comment: str
    create_ms: int


class Decided(NamedTuple):
    """What a decision came to: the proposal as it is now, or why the decision does not count."""

    approval_id: str
    approval: Approval | None = None
    refusal: Refusal | None = None


# --- proposing --------------------------------------------------------------------------------------------------------


def propose(connection: Connection, kind: str, ask: Ask, *, now_ms: int) -> Proposed:
    """Keep a proposal, or perform it where nobody has to be asked. A repeat of its request id answers the same.

    Raise Refused: for a request id with other content, and whatever the act's `show` and `perform` refuse.
    """
    act = _act(kind)
    ask = ask._replace(arguments=_plain(ask.arguments), now_ms=now_ms)
    content_hash = ask.content_hash or digest({"arguments": ask.arguments, "reason": ask.reason}).hex()
    known = _known(connection, kind, ask, content_hash)
    if known is not None:
        return known
    hold(connection, tenant_id=ask.tenant_id)
    shown = _plain(act.show(connection, ask))
    amount_minor = act.amount_minor(shown)
    policy = approval_policies.current(connection, tenant_id=ask.tenant_id).policy
    needed = _needed(policy, act, shown, amount_minor)
    approval_id = identifier("apr_", now_ms=now_ms, random=secrets.token_bytes(RANDOM_BYTES))
    values = {
        "approval_id": approval_id, "tenant_id": ask.tenant_id, "kind": kind, "object_kind": act.object_kind,
        "arguments": canonical(ask.arguments), "shown": canonical(shown), "shown_hash": digest(shown),
        "amount_minor": amount_minor, "approvers_needed": needed, "proposer": ask.proposer,
        "proposer_being": ask.person or ask.proposer, "reason": ask.reason, "request_id": ask.request_id,
        "content_hash": content_hash, "address": ask.address[:64], "now_ms": now_ms,
        "expire_ms": now_ms + policy.expire_s * 1000,
    }  # fmt: skip
    if not _insert(connection, values):  # the same request was quicker elsewhere
        known = _known(connection, kind, ask, content_hash)
        assert known is not None
        return known
    after = {"kind": kind, "shown_hash": digest(shown).hex(), "amount_minor": amount_minor, "approvers_needed": needed}
    _note(connection, ask.tenant_id, ask.proposer, "Approvals.Propose", approval_id, after, ask.reason, ask.address,
          ask.request_id)  # fmt: skip
    if needed:
        return Proposed(approval_id, performed=False, object_id="")
    object_id = act.perform(connection, ask)
    _move(connection, approval_id, Event.PERFORM, now_ms=now_ms, object_id=object_id)
    return Proposed("", performed=True, object_id=object_id)


def _needed(policy: Policy, act: Act, shown: Mapping[str, Any], amount_minor: int) -> int:
    if not act.waits(shown):
        return 0
    return max(policy.needed(act.kind, amount_minor), act.approvers_min, policy.most if act.empowers(shown) else 0)


def _insert(connection: Connection, values: Mapping[str, Any]) -> bool:
    made = connection.execute(
        text(
            """INSERT INTO approvals (approval_id, tenant_id, kind, object_kind, arguments, shown, shown_hash, amount_minor,
                   approvers_needed, state, proposer, proposer_being, reason, request_id, content_hash, address, create_time,
                   update_time, expire_time)
               VALUES (:approval_id, :tenant_id, :kind, :object_kind, :arguments, :shown, :shown_hash, :amount_minor,
                   :approvers_needed, 'PENDING', :proposer, :proposer_being, :reason, :request_id, :content_hash, :address,
                   to_timestamp(:now_ms / 1000.0), to_timestamp(:now_ms / 1000.0), to_timestamp(:expire_ms / 1000.0))
               ON CONFLICT DO NOTHING"""
        ),
        values,
    )
    return made.rowcount == 1


def _known(connection: Connection, kind: str, ask: Ask, content_hash: str) -> Proposed | None:
    """Answer a repeat as its first was answered, and with what has come of it since."""
    row = connection.execute(
        text(
            f"""SELECT {_COLUMNS} FROM approvals a
                WHERE a.tenant_id = :tenant_id AND a.kind = :kind AND a.request_id = :request_id AND a.request_id <> ''"""
        ),
        {"tenant_id": ask.tenant_id, "kind": kind, "request_id": ask.request_id},
    ).one_or_none()
    if row is None:
        return None
    known = _approval(row)
    if known.content_hash != content_hash:
        message = f"request_id {ask.request_id!r} was used with other content"
        raise Refused(Refusal(Kind.REUSED, "REQUEST_ID_REUSED", message))
    approval_id = known.approval_id if known.approvers_needed else ""
    return Proposed(approval_id, known.state is State.PERFORMED, known.object_id, repeated=True)


# --- deciding ---------------------------------------------------------------------------------------------------------


def decide(
    connection: Connection, *, tenant_id: str, approval_id: str, decision: Decision, comment: str, who: Decider, now_ms: int
) -> Decided:
    """Count somebody's word on a proposal; perform the act when it was the last that is needed.

    Whoever says the same again is answered with what has become of it.
    """
    approval = _locked(connection, tenant_id, approval_id)
    if approval is None:
        return Decided(approval_id, refusal=_not_found(approval_id))
    said = decisions(connection, approval_id=approval_id)
    if any(one.principal == who.principal and one.decision is decision for one in said):
        return Decided(approval_id, approval)
    if approval.state is State.PENDING and approval.expire_ms <= now_ms:
        approval = _end(connection, approval, Event.EXPIRE, now_ms=now_ms)
        _note(connection, tenant_id, CLOCK, "Approvals.Expire", approval_id, {"state": approval.state})
    if approval.state is not State.PENDING:
        return Decided(approval_id, approval, _not_pending(approval))
    act = _act(approval.kind)
    refusal = objection(
        who, proposer=approval.proposer, proposer_being=approval.proposer_being, checkers=act.checkers, kind=act.kind,
        said=[Said(one.principal, one.being, one.decision) for one in said],
    )  # fmt: skip
    if refusal is not None:
        return Decided(approval_id, approval, refusal)
    _say(connection, approval_id, decision, comment, who, now_ms=now_ms)
    if decision is Decision.REJECT:
        approval = _end(connection, approval, Event.REJECT, now_ms=now_ms, outcome=comment)
    else:
        approval = _allow(connection, act, approval, who, now_ms=now_ms, count=1 + len(said))
    after = {"decision": decision, "state": approval.state, "object_id": approval.object_id, "outcome": approval.outcome,
             "shown_hash": approval.shown_hash.hex()}  # fmt: skip
    _note(connection, tenant_id, who.principal, "Approvals.Decide", approval_id, after, comment, who.address)
    return Decided(approval_id, approval)


def _allow(connection: Connection, act: Act, approval: Approval, who: Decider, *, now_ms: int, count: int) -> Approval:
    """Perform the act if it has been allowed often enough and is still what was shown; void it when it is not."""
    ask = Ask(
        approval.tenant_id, approval.proposer, approval.arguments, approval.reason, approval.request_id, who.principal,
        who.address, now_ms=now_ms,
    )  # fmt: skip
    hold(connection, tenant_id=approval.tenant_id)
    try:
        shown = _plain(act.show(connection, ask))
        if digest(shown) != approval.shown_hash:
            fields = ", ".join(changed_fields(approval.shown, shown))
            return _end(connection, approval, Event.CHANGE, now_ms=now_ms, outcome=f"no longer as it was shown: {fields}")
        if count < approval.approvers_needed:
            return _end(connection, approval, Event.APPROVE, now_ms=now_ms)
        with connection.begin_nested():
            object_id = act.perform(connection, ask)
    except Refused as refused:
        outcome = f"{refused.refusal.reason}: {refused.refusal.message}"
        return _end(connection, approval, Event.CHANGE, now_ms=now_ms, outcome=outcome)
    return _end(connection, approval, Event.PERFORM, now_ms=now_ms, object_id=object_id)


def cancel(connection: Connection, *, tenant_id: str, approval_id: str, principal: str, now_ms: int) -> None:
    """Take a proposal back. Raise Refused for whoever did not make it, and once it is decided."""
    approval = _locked(connection, tenant_id, approval_id)
    if approval is None:
        raise Refused(_not_found(approval_id))
    if approval.proposer != principal:
        raise Refused(Refusal(Kind.PERMISSION_DENIED, "NOT_THE_PROPOSER", "only who proposed an act takes it back"))
    if approval.state is not State.PENDING:
        raise Refused(_not_pending(approval))
    _move(connection, approval_id, Event.CANCEL, now_ms=now_ms)


def expire(connection: Connection, *, now_ms: int, limit: int = EXPIRE_BATCH) -> int:
    """Let proposals expire whose time is over; return how many."""
    rows = connection.execute(
        text(
            """UPDATE approvals SET state = 'EXPIRED', update_time = to_timestamp(:now_ms / 1000.0)
               WHERE approval_id IN (SELECT approval_id FROM approvals
                                     WHERE state = 'PENDING' AND expire_time <= to_timestamp(:now_ms / 1000.0)
                                     ORDER BY expire_time LIMIT :limit FOR UPDATE SKIP LOCKED)
               RETURNING tenant_id, approval_id"""
        ),
        {"now_ms": now_ms, "limit": limit},
    ).all()
    if rows:
        after = {"state": State.EXPIRED}
        audit.append(connection, [
            audit.Entry(row[0], CLOCK, "Approvals.Expire", "approval", row[1], None, after) for row in rows
        ])  # fmt: skip
    return len(rows)


def _locked(connection: Connection, tenant_id: str, approval_id: str) -> Approval | None:
    row = connection.execute(
        text(
            f"""SELECT {_COLUMNS} FROM approvals a
                WHERE a.tenant_id = :tenant_id AND a.approval_id = :approval_id FOR UPDATE"""
        ),
        {"tenant_id": tenant_id, "approval_id": approval_id},
    ).one_or_none()
    return _approval(row) if row else None


def _say(
    connection: Connection, approval_id: str, decision: Decision, comment: str, who: Decider, *, now_ms: int
) -> None:
    connection.execute(
        text(
            """INSERT INTO approval_decisions (approval_id, principal, being, decision, comment, create_time)
               VALUES (:approval_id, :principal, :being, :decision, :comment, to_timestamp(:now_ms / 1000.0))"""
        ),
        {"approval_id": approval_id, "principal": who.principal, "being": who.being, "decision": decision,
         "comment": comment, "now_ms": now_ms},
    )  # fmt: skip


def _end(
    connection: Connection, approval: Approval, event: Event, *, now_ms: int, object_id: str = "", outcome: str = ""
) -> Approval:
    """Move a proposal and return it as it is then."""
    outcome = outcome[:512]
    _move(connection, approval.approval_id, event, now_ms=now_ms, object_id=object_id, outcome=outcome)
    return approval._replace(state=EDGES[approval.state, event], object_id=object_id, outcome=outcome, update_ms=now_ms)


def _move(
    connection: Connection, approval_id: str, event: Event, *, now_ms: int, object_id: str = "", outcome: str = ""
) -> None:
    moved = connection.execute(
        text(
            """UPDATE approvals SET state = :state, object_id = :object_id, outcome = :outcome,
                                    update_time = to_timestamp(:now_ms / 1000.0)
               WHERE approval_id = :approval_id AND state = 'PENDING'"""
        ),
        {"approval_id": approval_id, "state": EDGES[State.PENDING, event], "object_id": object_id, "outcome": outcome,
         "now_ms": now_ms},
    )  # fmt: skip
    if moved.rowcount != 1:
        raise Refused(Refusal(Kind.MOVED, "APPROVAL_MOVED", f"approval {approval_id} moved while we were deciding"))


def _note(
    connection: Connection, tenant_id: str, principal: str, operation: str, approval_id: str,
    after: Mapping[str, Any], reason: str = "", address: str = "", request_id: str = "",
) -> None:  # fmt: skip
    entry = audit.Entry(
        tenant_id, principal, operation, "approval", approval_id, None, after, reason, request_id, address
    )
    audit.append(connection, [entry])


def _act(kind: str) -> Act:
    act = act_of(kind)
    if act is None:
        raise LookupError(f"there is no act {kind!r}: whoever owns it registers it in storage/acts.py")
    return act


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values as they come back from the database, so that they are compared as they are kept."""
    document = canonical(value)
    if len(document) > JSON_LENGTH_MAX:
        raise Refused(Refusal(
            Kind.INVALID, "PROPOSAL_TOO_LONG", f"the proposal takes {len(document)} characters; {JSON_LENGTH_MAX} are allowed"
        ))  # fmt: skip
    return json.loads(document)  # type: ignore[no-any-return]


def _not_found(approval_id: str) -> Refusal:
    return Refusal(Kind.NOT_FOUND, "APPROVAL_NOT_FOUND", f"there is no approval {approval_id[:64]!r}")


def _not_pending(approval: Approval) -> Refusal:
    return Refusal(
        Kind.FORBIDDEN_BY_STATE, "APPROVAL_NOT_PENDING", f"approval {approval.approval_id} is {approval.state}",
        metadata=(("state", approval.state),),
    )  # fmt: skip


# --- reading ----------------------------------------------------------------------------------------------------------


class Wanted(NamedTuple):
    """A filter; empty texts mean all."""

    state: str = ""
    kind: str = ""
    proposer: str = ""


def search(
    connection: Connection, *, tenant_id: str, wanted: Wanted, after: tuple[int, str] | None, limit: int
) -> list[Approval]:
    """Read a page of a tenant's proposals: those that wait first, the newest first among each.

    `after` is the place of the last row of the page before: 1 if it waited, and its id.
    """
    place = after or (2, "")
    rows = connection.execute(
        text(
            f"""SELECT {_COLUMNS} FROM approvals a
                WHERE a.tenant_id = :tenant_id AND ((a.state = 'PENDING')::int, a.approval_id) < (:waits, :last_id)
                  AND (:state = '' OR a.state = :state) AND (:kind = '' OR a.kind = :kind)
                  AND (:proposer = '' OR a.proposer = :proposer)
                ORDER BY (a.state = 'PENDING')::int DESC, a.approval_id DESC LIMIT :limit"""
        ),
        {"tenant_id": tenant_id, "waits": place[0], "last_id": place[1], "limit": limit, **wanted._asdict()},
    )
    return [_approval(row) for row in rows]


def get(connection: Connection, *, tenant_id: str, approval_id: str) -> tuple[Approval, list[Told]] | None:
    """Read a proposal and everything that was decided about it."""
    row = connection.execute(
        text(f"SELECT {_COLUMNS} FROM approvals a WHERE a.tenant_id = :tenant_id AND a.approval_id = :approval_id"),
        {"tenant_id": tenant_id, "approval_id": approval_id},
    ).one_or_none()
    return (_approval(row), decisions(connection, approval_id=approval_id)) if row else None


def decisions(connection: Connection, *, approval_id: str) -> list[Told]:
    """Read what was decided about a proposal, in order."""
    rows = connection.execute(
        text(
            """SELECT principal, being, decision, comment, (extract(epoch FROM create_time) * 1000)::bigint
               FROM approval_decisions WHERE approval_id = :approval_id ORDER BY create_time, principal"""
        ),
        {"approval_id": approval_id},
    )
    return [Told(row[0], row[1], Decision(row[2]), row[3], row[4]) for row in rows]


def approved_counts(connection: Connection, *, approval_ids: Sequence[str]) -> dict[str, int]:
    """Count who has allowed each of some proposals."""
    rows = connection.execute(
        text(
            """SELECT approval_id, count(*) FROM approval_decisions
               WHERE approval_id = ANY(:approval_ids) AND decision = 'APPROVE' GROUP BY approval_id"""
        ),
        {"approval_ids": list(approval_ids)},
    )
    return {row[0]: row[1] for row in rows}


def _approval(row: Sequence[Any]) -> Approval:
    made = Approval(*row)
    return made._replace(state=State(made.state), shown_hash=bytes(made.shown_hash))
