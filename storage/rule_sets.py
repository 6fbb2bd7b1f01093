"""Rule sets of tenants, from draft to in force, and the decisions on which they are tried."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from domain.limits import Use
from domain.refusals import Kind, Refusal, Refused
from domain.replay import Stored
from domain.routing import OrderFacts, decision_from_record
from domain.rule_sets import RuleSet, difference, from_record, to_record
from domain.rules import compile_rules
from storage import audit
from storage.acts import Act, Ask, hold, register
from storage.arrays import columns

PUBLISH = "routing.publish_rules"
ROLL_BACK = "routing.roll_back_rules"
# Beyond this nobody finds his own; a draft can be written over.
DRAFTS_MAX = 100
_COLUMNS = """rule_set_id, state, coalesce(version, 0), revision, content, note, author, simulation,
              (extract(epoch FROM create_time) * 1000)::bigint, (extract(epoch FROM update_time) * 1000)::bigint,
              coalesce((extract(epoch FROM publish_time) * 1000)::bigint, 0)"""


class Row(NamedTuple):
    """A rule set as it is stored; a draft has version 0."""

    rule_set_id: str
    state: str
    version: int
    revision: int
    content: Mapping[str, Any]
    note: str
    author: str
    simulation: Mapping[str, Any] | None
    create_ms: int
    update_ms: int
    publish_ms: int

    @property
    def rule_set(self) -> RuleSet:
        """What it says."""
        return from_record(self.content)


def create(
    connection: Connection, *, tenant_id: str, rule_set_id: str, rule_set: RuleSet, note: str, author: str
) -> None:
    """Keep a draft. Raise Refused when there are too many."""
    hold(connection, tenant_id=tenant_id)  # two at once would each count without the other
    made = connection.execute(
        text(
            """INSERT INTO rule_sets (tenant_id, rule_set_id, state, content, note, author)
               SELECT :tenant_id, :rule_set_id, 'DRAFT', CAST(:content AS jsonb), :note, :author
               WHERE (SELECT count(*) FROM rule_sets WHERE tenant_id = :tenant_id AND state = 'DRAFT') < :most"""
        ),
        {"tenant_id": tenant_id, "rule_set_id": rule_set_id, "content": json.dumps(to_record(rule_set)), "note": note,
         "author": author, "most": DRAFTS_MAX},
    )  # fmt: skip
    if made.rowcount != 1:
        raise Refused(
            Refusal(Kind.FORBIDDEN_BY_STATE, "TOO_MANY_DRAFTS", f"there are {DRAFTS_MAX} drafts: write over one of them")
        )


def update(
    connection: Connection, *, tenant_id: str, rule_set_id: str, revision: int, rule_set: RuleSet, note: str
) -> None:
    """Write over a draft, if it is still at `revision`. Raise Refused."""
    changed = connection.execute(
        text(
            """UPDATE rule_sets SET content = CAST(:content AS jsonb), note = :note, revision = revision + 1,
                                    update_time = now(), simulation = NULL
               WHERE tenant_id = :tenant_id AND rule_set_id = :rule_set_id AND state = 'DRAFT' AND revision = :revision"""
        ),
        {"tenant_id": tenant_id, "rule_set_id": rule_set_id, "content": json.dumps(to_record(rule_set)), "note": note,
         "revision": revision},
    )  # fmt: skip
    if changed.rowcount != 1:
        _draft(connection, tenant_id, rule_set_id, revision)


def load(connection: Connection, *, tenant_id: str, rule_set_id: str) -> Row:
    """Read a rule set. Raise Refused(NOT_FOUND)."""
    row = connection.execute(
        text(f"SELECT {_COLUMNS} FROM rule_sets WHERE tenant_id = :tenant_id AND rule_set_id = :rule_set_id"),
        {"tenant_id": tenant_id, "rule_set_id": rule_set_id},
    ).one_or_none()
    if row is None:
        raise Refused(Refusal(Kind.NOT_FOUND, "RULE_SET_NOT_FOUND", f"there is no rule set {rule_set_id[:40]!r}"))
    return Row(*row)


def page(connection: Connection, *, tenant_id: str, before_id: str, limit: int) -> list[Row]:
    """Read rule sets, the newest first, those with ids before `before_id` ("" starts at the newest)."""
    rows = connection.execute(
        text(
            f"""SELECT {_COLUMNS} FROM rule_sets WHERE tenant_id = :tenant_id
                AND (:before_id = '' OR rule_set_id < :before_id) ORDER BY rule_set_id DESC LIMIT :limit"""
        ),
        {"tenant_id": tenant_id, "before_id": before_id, "limit": limit},
    )
    return [Row(*row) for row in rows]


class InForce(NamedTuple):
    """What a tenant's orders are routed by now; id "" stands for the rules of its desk file."""

    rule_set_id: str
    version: int
    rule_set: RuleSet


def in_force(connection: Connection, *, tenant_id: str) -> InForce:
    """Read the rules that count now."""
    row = connection.execute(
        text(
            """SELECT coalesce(r.rule_set_id, ''), coalesce(r.version, 0), coalesce(r.content, t.routing)
               FROM tenants t LEFT JOIN rule_sets r ON r.tenant_id = t.tenant_id AND r.state = 'IN_FORCE'
               WHERE t.tenant_id = :tenant_id"""
        ),
        {"tenant_id": tenant_id},
    ).one()
    return InForce(row[0], row[1], from_record(row[2]))


def note_simulation(
    connection: Connection, *, tenant_id: str, rule_set_id: str, revision: int, simulation: Mapping[str, Any]
) -> None:
    """Keep what a second person will be shown. What stands there for the same rules in force stays as it is."""
    connection.execute(
        text(
            """UPDATE rule_sets SET simulation = CAST(:simulation AS jsonb)
               WHERE tenant_id = :tenant_id AND rule_set_id = :rule_set_id AND revision = :revision AND state = 'DRAFT'
                 AND (simulation IS NULL OR simulation ->> 'against' IS DISTINCT FROM :against)"""
        ),
        {"tenant_id": tenant_id, "rule_set_id": rule_set_id, "revision": revision,
         "simulation": json.dumps(simulation), "against": simulation["against"]},
    )  # fmt: skip


# --- publishing and taking back ---------------------------------------------------------------------------------------


def _draft(connection: Connection, tenant_id: str, rule_set_id: str, revision: int) -> Row:
    row = load(connection, tenant_id=tenant_id, rule_set_id=rule_set_id)
    if row.state != "DRAFT":
        raise Refused(
            Refusal(Kind.FORBIDDEN_BY_STATE, "RULE_SET_PUBLISHED", "it has been published: make a new draft, or roll back")
        )
    if row.revision != revision:
        raise Refused(Refusal(Kind.MOVED, "RULE_SET_MOVED", f"it is at revision {row.revision} now; read it again"))
    return row


def _earlier(connection: Connection, tenant_id: str, rule_set_id: str) -> Row:
    row = load(connection, tenant_id=tenant_id, rule_set_id=rule_set_id)
    if row.state != "RETIRED":
        raise Refused(
            Refusal(Kind.FORBIDDEN_BY_STATE, "RULE_SET_NOT_RETIRED", f"it is {row.state}; an earlier version is wanted")
        )
    return row


def _shown(connection: Connection, tenant_id: str, row: Row) -> Mapping[str, Any]:
    now = in_force(connection, tenant_id=tenant_id)
    return {
        "rule_set_id": row.rule_set_id,
        "revision": row.revision,
        "note": row.note,
        "replaces": {"rule_set_id": now.rule_set_id, "version": now.version},
        "difference": difference(now.rule_set, row.rule_set),
        "rules": row.content,
        "simulation": row.simulation,
    }


def _show_publish(connection: Connection, ask: Ask) -> Mapping[str, Any]:
    arguments = ask.arguments
    row = _draft(connection, ask.tenant_id, arguments["rule_set_id"], arguments["revision"])
    compile_rules(row.rule_set.rules)
    return _shown(connection, ask.tenant_id, row)


def _publish(connection: Connection, ask: Ask) -> str:
    row = _draft(connection, ask.tenant_id, ask.arguments["rule_set_id"], ask.arguments["revision"])
    compile_rules(row.rule_set.rules)
    _put_in_force(connection, ask, row, "Routing.PublishRuleSet")
    return row.rule_set_id


def _show_roll_back(connection: Connection, ask: Ask) -> Mapping[str, Any]:
    return _shown(connection, ask.tenant_id, _earlier(connection, ask.tenant_id, ask.arguments["rule_set_id"]))


def _roll_back(connection: Connection, ask: Ask) -> str:
    row = _earlier(connection, ask.tenant_id, ask.arguments["rule_set_id"])
    _put_in_force(connection, ask, row, "Routing.RollBackRuleSet")
    return row.rule_set_id


def _put_in_force(connection: Connection, ask: Ask, row: Row, operation: str) -> None:
    keys = {"tenant_id": ask.tenant_id, "rule_set_id": row.rule_set_id}
    before = in_force(connection, tenant_id=ask.tenant_id)
    connection.execute(
        text("UPDATE rule_sets SET state = 'RETIRED' WHERE tenant_id = :tenant_id AND state = 'IN_FORCE'"), keys
    )
    moved = connection.execute(
        text(
            """UPDATE rule_sets r SET state = 'IN_FORCE', publish_time = now(), version = coalesce(r.version,
                   1 + coalesce((SELECT max(o.version) FROM rule_sets o WHERE o.tenant_id = :tenant_id), 0))
               WHERE tenant_id = :tenant_id AND rule_set_id = :rule_set_id AND revision = :revision"""
        ),
        {**keys, "revision": row.revision},
    )
    if moved.rowcount != 1:
        raise Refused(Refusal(Kind.MOVED, "RULE_SET_MOVED", "it has been written over meanwhile; read it again"))
    after = in_force(connection, tenant_id=ask.tenant_id)
    audit.append(connection, [
        audit.Entry(
            ask.tenant_id, ask.proposer, operation, "rule_set", row.rule_set_id,
            {"rule_set_id": before.rule_set_id, "version": before.version},
            {"rule_set_id": after.rule_set_id, "version": after.version, "approver": ask.approver,
             "difference": difference(before.rule_set, after.rule_set)},
            ask.reason, ask.request_id, ask.address,
        ),
    ])  # fmt: skip


register(Act(PUBLISH, "rule_set", _show_publish, _publish))
register(Act(ROLL_BACK, "rule_set", _show_roll_back, _roll_back))


# --- stored decisions -------------------------------------------------------------------------------------------------

_DECIDED = """SELECT p.payment_id, p.order_no, p.product_code, p.amount_minor, p.currency_code, p.method, p.terminal,
                     p.source, p.payer_ref, p.institution_id, a.decision,
                     (extract(epoch FROM a.create_time) * 1000)::bigint
              FROM payments p JOIN attempts a ON a.payment_id = p.payment_id AND a.attempt_index = 1"""


def recent(connection: Connection, *, tenant_id: str, limit: int) -> list[Stored]:
    """Read the newest decisions about first attempts, oldest first."""
    rows = connection.execute(
        text(f"{_DECIDED} WHERE p.tenant_id = :tenant_id ORDER BY p.payment_id DESC LIMIT :limit"),
        {"tenant_id": tenant_id, "limit": limit},
    ).all()
    return [_stored(tenant_id, row) for row in reversed(rows)]


def decided(
    connection: Connection, *, tenant_id: str, after_id: str, before_id: str, limit: int
) -> tuple[list[Stored], str]:
    """Read decisions about first attempts of payments with ids between two, oldest first, and the last id read."""
    rows = connection.execute(
        text(
            f"""{_DECIDED} WHERE p.tenant_id = :tenant_id AND p.payment_id > :after_id AND p.payment_id < :before_id
                ORDER BY p.payment_id LIMIT :limit"""
        ),
        {"tenant_id": tenant_id, "after_id": after_id, "before_id": before_id, "limit": limit},
    ).all()
    return [_stored(tenant_id, row) for row in rows], rows[-1][0] if rows else ""


def _stored(tenant_id: str, row: Sequence[Any]) -> Stored:
    facts = OrderFacts(tenant_id, *row[1:10])
    record = row[10] if not isinstance(row[10], str) else json.loads(row[10])
    return Stored(facts, decision_from_record(record, accounts={}), row[11])


# --- what LIMIT rules have counted ------------------------------------------------------------------------------------


def load_uses(connection: Connection) -> list[Use]:
    """Read all counts; those of a period that is over mean nothing."""
    rows = connection.exec_driver_sql(
        """SELECT tenant_id, rule_id, (extract(epoch FROM period_start) * 1000)::bigint, order_count, sent_count, sent_minor
           FROM limit_uses WHERE period_start > now() - interval '1 day'"""
    )
    return [Use(*row) for row in rows]


def save_uses(connection: Connection, uses: Sequence[Use]) -> None:
    """Write counts over what was there."""
    connection.exec_driver_sql(
        """INSERT INTO limit_uses (tenant_id, rule_id, period_start, order_count, sent_count, sent_minor)
           SELECT tenant_id, rule_id, to_timestamp(period_ms / 1000.0), order_count, sent_count, sent_minor
           FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
           AS u (tenant_id, rule_id, period_ms, order_count, sent_count, sent_minor)
           ON CONFLICT (tenant_id, rule_id) DO UPDATE SET period_start = excluded.period_start,
               order_count = excluded.order_count, sent_count = excluded.sent_count, sent_minor = excluded.sent_minor""",
        tuple(columns(uses, "ttnnnn")),
    )
