"""Checks that no money was lost, doubled or invented: the tables against themselves, and against the sandbox's truth.

`check` runs every rule as a set operation in the database and returns a `Verdict` with a named finding per rule. It may
run beside a living system: what is still open is doubt, not a fault, and the truth is read before the tables are, so
that whatever the channels had done by then must be known here.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Connection

from domain.payments import EDGES, START, Event
from ops.dialing import dial
from ops.figures import yuan
from protos.paydesk.v1 import simulator_pb2, simulator_pb2_grpc
from simulator.world import World
from storage.arrays import columns
from storage.database import make_engine

# A rule of a day with five million payments takes seconds; more than this is a broken plan.
STATEMENT_TIMEOUT_S = 900.0
EXAMPLES_MAX = 5
TRUTH_BATCH = 10_000
# Work that is due is taken within a minute, whatever crashed.
OVERDUE_S = 60

_OPEN = "('SUBMITTING', 'PENDING', 'UNKNOWN')"


class TruthEntry(NamedTuple):
    """A movement of money that a channel really made. `kind` is CHARGE, REFUND or one that payments do not answer for."""

    channel_id: str
    kind: str
    attempt_no: str
    merchant_no: str
    amount_minor: int
    currency_code: str


class Finding(NamedTuple):
    """One rule: what should hold, how often it does not, and a few examples of where."""

    name: str
    rule: str
    broken: int
    examples: tuple[str, ...]


class ChannelSum(NamedTuple):
    """What a channel charged and gave back by its own ledger, and by ours; open payments and refunds are left out."""

    channel_id: str
    charges: int
    charged_minor: int
    charged_here_minor: int
    refunds: int
    refunded_minor: int
    refunded_here_minor: int


class Verdict(NamedTuple):
    """What was found. `figures` counts what was looked at."""

    findings: tuple[Finding, ...]
    figures: Mapping[str, int]
    channels: tuple[ChannelSum, ...] = ()

    @property
    def holds(self) -> bool:
        """Tell whether every rule holds."""
        return not any(finding.broken for finding in self.findings)

    def broken(self) -> list[Finding]:
        """Return the rules that do not hold."""
        return [finding for finding in self.findings if finding.broken]

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "holds": self.holds,
            "findings": [finding._asdict() for finding in self.findings],
            "figures": dict(self.figures),
            "channels": [channel._asdict() for channel in self.channels],
        }


def _edges() -> str:
    rows = ", ".join(f"('{before}', '{event}', '{after}')" for (before, event), after in EDGES.items())
    return f"(VALUES {rows})"


# name, what should hold, and the query of the rows that break it: one text column for people.
# fmt: off
RULES: tuple[tuple[str, str, str], ...] = (
    ("order_paid_twice", "an order keeps at most one success that is not being refunded", """
        SELECT p.tenant_id || ' ' || p.order_no FROM payments p
        LEFT JOIN refunds r ON r.attempt_no = p.attempt_no AND r.state <> 'FAILED'
        WHERE p.state = 'SUCCEEDED' AND r.refund_id IS NULL GROUP BY p.tenant_id, p.order_no HAVING count(*) > 1"""),
    ("extra_money_not_returned", "money that may not be kept has a refund of all of it", """
        SELECT p.payment_id FROM payments p LEFT JOIN refunds r ON r.attempt_no = p.attempt_no
        WHERE p.state = 'SUCCEEDED' AND p.kept IS NULL
        AND (r.refund_id IS NULL OR r.amount_minor <> p.amount_minor OR p.refund_reserved_minor <> p.amount_minor)
        UNION ALL SELECT c.payment_id FROM cases c LEFT JOIN refunds r USING (attempt_no)
        WHERE c.kind = 'EARLIER_ATTEMPT_PAID' AND r.refund_id IS NULL"""),
    ("kept_money_returned", "money that is kept is not refunded by itself", """
        SELECT p.payment_id FROM payments p JOIN refunds r ON r.attempt_no = p.attempt_no
        WHERE p.kept AND r.cause IN ('DUPLICATE', 'PAID_AFTER_CLOSE')"""),
    ("refunds_over_captured", "refunds never exceed what was captured", """
        SELECT p.payment_id FROM payments p JOIN refunds r USING (payment_id)
        WHERE r.state <> 'FAILED' AND r.cause <> 'EARLIER_ATTEMPT_PAID'
        GROUP BY p.payment_id, p.amount_minor HAVING sum(r.amount_minor) > p.amount_minor"""),
    ("refunded_sum", "a payment's refunded sum is that of its refunds", """
        SELECT p.payment_id FROM payments p LEFT JOIN (
            SELECT payment_id, sum(amount_minor) AS amount FROM refunds
            WHERE state = 'SUCCEEDED' AND cause <> 'EARLIER_ATTEMPT_PAID' GROUP BY 1) r USING (payment_id)
        WHERE coalesce(r.amount, 0) <> p.refunded_minor"""),
    ("orphans", f"open payments and refunds have a next step, none overdue by more than {OVERDUE_S} s", f"""
        SELECT payment_id || ' ' || state FROM payments WHERE next_action_time < now() - interval '{OVERDUE_S} s'
        UNION ALL SELECT payment_id || ' ' || state FROM payments
        WHERE (state IN {_OPEN}) <> (next_action_time IS NOT NULL)
        UNION ALL SELECT refund_id || ' ' || state FROM refunds WHERE next_action_time < now() - interval '{OVERDUE_S} s'
        UNION ALL SELECT refund_id || ' ' || state FROM refunds
        WHERE (state NOT IN ('SUCCEEDED', 'FAILED')) <> (next_action_time IS NOT NULL)"""),
    ("notices_overdue", f"no notice that is due waits for more than {OVERDUE_S} s", f"""
        SELECT payment_id || ' ' || event_type FROM events
        WHERE deliver_state = 'PENDING' AND next_try_time < now() - interval '{OVERDUE_S} s'"""),
    ("history_gap", "a history has no gaps, and its last row is the payment", """
        SELECT p.payment_id FROM payments p LEFT JOIN (
            SELECT payment_id, count(*) AS steps, max(revision) AS last,
                   (array_agg(state ORDER BY revision DESC))[1] AS state FROM payment_history GROUP BY 1) h
            USING (payment_id)
        WHERE h.steps IS DISTINCT FROM p.revision OR h.last IS DISTINCT FROM p.revision
        OR h.state IS DISTINCT FROM p.state
        UNION ALL SELECT h.payment_id FROM payment_history h LEFT JOIN payments p USING (payment_id)
        WHERE p.payment_id IS NULL"""),
    ("history_step", "replaying a history gives the state: every step is one of the table's", f"""
        SELECT payment_id || ' revision ' || revision || ': ' || coalesce(before, 'nothing') || ' --' || event || '--> '
               || state
        FROM (SELECT *, lag(state) OVER (PARTITION BY payment_id ORDER BY revision) AS before FROM payment_history) h
        WHERE NOT coalesce(CASE WHEN revision = 1 THEN event = '{Event.SUBMIT}' AND state = '{START}'
                       WHEN event = 'REFUND' THEN state = before
                       ELSE (before, event, state) IN (SELECT * FROM {_edges()} AS edges) END, false)"""),
    ("current_attempt", "an open payment has one live attempt, a final one none, and it is the payment's", f"""
        SELECT p.payment_id FROM payments p LEFT JOIN attempts a ON a.payment_id = p.payment_id AND a.state = 'LIVE'
        GROUP BY p.tenant_id, p.payment_id HAVING count(a.*) <> CASE WHEN p.state IN {_OPEN} THEN 1 ELSE 0 END
        UNION ALL SELECT p.payment_id FROM payments p LEFT JOIN attempts a USING (attempt_no)
        WHERE a.payment_id IS DISTINCT FROM p.payment_id OR a.attempt_index <> p.attempt_index
        OR a.channel_id <> p.channel_id OR a.merchant_no <> p.merchant_no"""),
    ("end_not_told", "every end has exactly its event, and an event says what its history says", """
        SELECT h.payment_id || ' revision ' || h.revision FROM payment_history h
        LEFT JOIN events e USING (payment_id, revision)
        WHERE (h.event IN ('CONFIRM', 'DECLINE', 'CONFIRM_CLOSE', 'RETURN_FUNDS', 'REFUND')) <> (e.payment_id IS NOT NULL)
        OR e.state <> h.state
        UNION ALL SELECT e.payment_id || ' revision ' || e.revision FROM events e
        LEFT JOIN payment_history h USING (payment_id, revision) WHERE h.payment_id IS NULL"""),
    ("told_out_of_order", "notices of an order were delivered in their order", """
        SELECT tenant_id || ' ' || order_no FROM (
            SELECT tenant_id, order_no, deliver_time, max(deliver_time) OVER (PARTITION BY tenant_id, order_no
                ORDER BY position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier
            FROM events WHERE deliver_state = 'DELIVERED' AND resend_count = 0) e
        WHERE deliver_time < earlier"""),
    ("booked_once", "every movement of money is booked once", """
        SELECT payment_id || ' revision ' || revision FROM payment_history h
        FULL JOIN journal j USING (payment_id, revision)
        WHERE (h.event IS NOT NULL AND (h.event = 'CONFIRM' OR (h.event = 'REFUND'
               AND h.reason <> 'EARLIER_ATTEMPT_PAID'))) <> (j.tenant_id IS NOT NULL)"""),
    ("books_balance", "the books of each tenant hold what is kept less what was refunded", """
        SELECT tenant_id || ' ' || currency_code || ': books ' || coalesce(j.held, 0) || ', payments '
               || coalesce(p.kept, 0) FROM (
            SELECT tenant_id, currency_code, sum(CASE WHEN debit_account LIKE 'channel:%' THEN amount_minor
                                                 ELSE -amount_minor END) AS held
            FROM journal GROUP BY 1, 2) j
        FULL JOIN (
            SELECT tenant_id, currency_code, sum(amount_minor - refunded_minor) AS kept FROM payments
            WHERE state = 'SUCCEEDED' GROUP BY 1, 2) p USING (tenant_id, currency_code)
        WHERE coalesce(j.held, 0) <> coalesce(p.kept, 0)"""),
)
# fmt: on

# What every attempt of ours believes. What open payments and refunds believe is doubt.
_BELIEFS = f"""
CREATE TEMPORARY TABLE check_beliefs ON COMMIT DROP AS
SELECT a.attempt_no, a.tenant_id, p.payment_id, p.order_no, p.state, a.channel_id, a.merchant_no, p.currency_code,
       p.state IN {_OPEN} AS open, a.update_time AS charge_time,
       CASE WHEN a.attempt_no = p.attempt_no AND p.state IN ('SUCCEEDED', 'FUNDS_RETURNED') THEN p.amount_minor
            WHEN r.cause = 'EARLIER_ATTEMPT_PAID' THEN r.amount_minor ELSE 0 END AS charged,
       CASE WHEN r.state = 'SUCCEEDED' THEN r.amount_minor ELSE 0 END AS returned, r.update_time AS return_time,
       coalesce(r.state NOT IN ('SUCCEEDED', 'FAILED'), false) AS going_back,
       EXISTS (SELECT 1 FROM cases c WHERE c.payment_id = p.payment_id AND c.kind = 'CONTRADICTION') AS with_a_person
FROM attempts a JOIN payments p USING (tenant_id, payment_id) LEFT JOIN refunds r ON r.attempt_no = a.attempt_no
"""
_TRUTH = """
CREATE TEMPORARY TABLE check_truth (channel_id text NOT NULL, kind text NOT NULL, attempt_no text NOT NULL,
    merchant_no text NOT NULL, amount_minor bigint NOT NULL, currency_code text NOT NULL) ON COMMIT DROP
"""
# One row per number: what the channel took and gave back under it, beside what we believe. A belief that is younger
# than the look at the truth and not in it yet counts as if we did not have it.
_PAIRS = """
CREATE TEMPORARY TABLE check_pairs ON COMMIT DROP AS
WITH moved AS (
    SELECT attempt_no, min(channel_id) AS channel_id, min(merchant_no) AS merchant_no,
           min(currency_code) AS currency_code, count(*) FILTER (WHERE kind = 'CHARGE') AS charges,
           coalesce(sum(amount_minor) FILTER (WHERE kind = 'CHARGE'), 0)::bigint AS charged,
           count(*) FILTER (WHERE kind = 'REFUND') AS refunds,
           coalesce(sum(amount_minor) FILTER (WHERE kind = 'REFUND'), 0)::bigint AS returned
    FROM check_truth WHERE kind IN ('CHARGE', 'REFUND') GROUP BY attempt_no
)
SELECT attempt_no, b.tenant_id, b.payment_id, b.order_no, b.state, b.attempt_no IS NOT NULL AS ours,
       coalesce(b.open, false) AS open, coalesce(b.going_back, false) AS going_back,
       coalesce(b.with_a_person, false) AS with_a_person, coalesce(t.channel_id, b.channel_id) AS channel_id,
       coalesce(t.charges, 0) AS charges, coalesce(t.charged, 0) AS charged, coalesce(t.refunds, 0) AS refunds,
       coalesce(t.returned, 0) AS returned,
       CASE WHEN t.charges > 0 OR b.charge_time <= m.moment THEN b.charged ELSE 0 END AS charged_here,
       CASE WHEN t.refunds > 0 OR b.return_time <= m.moment THEN b.returned ELSE 0 END AS returned_here,
       concat_ws(' ', t.currency_code, t.channel_id, t.merchant_no) AS place,
       concat_ws(' ', b.currency_code, b.channel_id, b.merchant_no) AS place_here
FROM check_begin m CROSS JOIN (moved t FULL JOIN check_beliefs b USING (attempt_no))
"""

TRUTH_RULES: tuple[tuple[str, str, str], ...] = (
    ("stranger_charged", "the channels charged only under numbers that we gave", """
        SELECT attempt_no || ' on ' || channel_id FROM check_pairs WHERE NOT ours"""),
    ("charged_twice", "no number was charged twice", """
        SELECT attempt_no || ' on ' || channel_id || ': ' || charges || ' times' FROM check_pairs WHERE charges > 1"""),
    ("order_charged_twice", "the channels hold the money of an order at most once", """
        SELECT tenant_id || ' ' || order_no FROM check_pairs
        WHERE ours AND charged > returned AND NOT going_back AND NOT open GROUP BY tenant_id, order_no
        HAVING count(*) > 1"""),
    ("payment_lost", "every charge is known here: SUCCEEDED, being given back, or with a person", """
        SELECT payment_id || ' is ' || state || ', but ' || channel_id || ' took ' || charged || ' as ' || attempt_no
        FROM check_pairs WHERE ours AND charges > 0 AND charged_here = 0 AND NOT open AND NOT with_a_person"""),
    ("payment_invented", "every SUCCEEDED here was charged by the channel", """
        SELECT payment_id || ' ' || attempt_no FROM check_pairs WHERE charged_here > 0 AND charges = 0"""),
    ("other_money", "amount, currency, channel and merchant are the same on both sides", """
        SELECT payment_id || ' ' || attempt_no || ': ' || charged || ' ' || place || ' there, ' || charged_here || ' '
               || place_here || ' here'
        FROM check_pairs WHERE charges = 1 AND charged_here > 0 AND (charged, place) <> (charged_here, place_here)"""),
    ("refund_differs", "refunds that SUCCEEDED here are those that the channels made", """
        SELECT attempt_no || ': ' || returned || ' there, ' || returned_here || ' here' FROM check_pairs
        WHERE ours AND returned <> returned_here AND NOT going_back"""),
)  # fmt: skip

# What is settled on both sides; what is in doubt, or with a person, counts on neither.
_SUMS = """
SELECT channel_id, coalesce(sum(charges) FILTER (WHERE NOT doubt), 0)::bigint,
       coalesce(sum(charged) FILTER (WHERE NOT doubt), 0)::bigint,
       coalesce(sum(charged_here) FILTER (WHERE NOT doubt), 0)::bigint,
       coalesce(sum(refunds) FILTER (WHERE NOT going_back), 0)::bigint,
       coalesce(sum(returned) FILTER (WHERE NOT going_back), 0)::bigint,
       coalesce(sum(returned_here) FILTER (WHERE NOT going_back), 0)::bigint
FROM (SELECT *, open OR (with_a_person AND charged_here = 0) AS doubt FROM check_pairs) p GROUP BY 1 ORDER BY 1
"""

_FIGURES = {
    "payments": "count(*) FROM payments",
    "succeeded": "count(*) FROM payments WHERE state = 'SUCCEEDED'",
    "in_doubt": f"count(*) FROM payments WHERE state IN {_OPEN}",
    "refunds": "count(*) FROM refunds",
    "refunds_open": "count(*) FROM refunds WHERE next_action_time IS NOT NULL",
    "events": "count(*) FROM events",
    "notices_delivered": "count(*) FROM events WHERE deliver_state = 'DELIVERED'",
    "notices_pending": "count(*) FROM events WHERE deliver_state = 'PENDING'",
    "notices_dead": "count(*) FROM events WHERE deliver_state = 'DEAD'",
    "cases": "count(*) FROM cases",
}


def check(
    database_url: str,
    truth: Iterable[TruthEntry] | None = None,
    notices: Mapping[str, Any] | None = None,
) -> Verdict:
    """Run every rule. `truth` is what the channels really did, `notices` an order system's report (ops/order_system.py).

    Raise what the database raises, and what iterating over `truth` raises.
    """
    engine = make_engine(database_url, pool_size=1, timeout_s=STATEMENT_TIMEOUT_S)
    try:
        with engine.begin() as connection:  # READ COMMITTED: every rule is one statement, and sees one moment
            connection.exec_driver_sql("SET LOCAL work_mem = '128MB'")
            return _look(connection, truth, notices)
    finally:
        engine.dispose()


def _look(connection: Connection, truth: Iterable[TruthEntry] | None, notices: Mapping[str, Any] | None) -> Verdict:
    sums: tuple[ChannelSum, ...] = ()
    rules, figures = RULES, {}
    if truth is not None:
        figures["truth_entries"] = _load_truth(connection, truth)
        rules += TRUTH_RULES
    figures |= {
        name: int(connection.exec_driver_sql(f"SELECT {query}").scalar_one()) for name, query in _FIGURES.items()
    }
    findings = [_finding(connection, *rule) for rule in rules]
    if truth is not None:
        sums = tuple(ChannelSum(*row) for row in connection.exec_driver_sql(_SUMS))
        findings.append(_sums_finding(sums))
    if notices is not None:
        findings += _notice_findings(notices, delivered=figures["notices_delivered"])
    return Verdict(tuple(findings), figures, sums)


def _load_truth(connection: Connection, truth: Iterable[TruthEntry]) -> int:
    """Put the truth beside our beliefs; return how many movements there are."""
    connection.exec_driver_sql(
        "CREATE TEMPORARY TABLE check_begin ON COMMIT DROP AS SELECT clock_timestamp() AS moment"
    )
    connection.exec_driver_sql(_TRUTH)
    entries, count = iter(truth), 0
    while batch := list(islice(entries, TRUTH_BATCH)):
        count += len(batch)
        connection.exec_driver_sql(
            "INSERT INTO check_truth SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], "
            "%s::bigint[], %s::text[])",
            tuple(columns(batch, "ttttnt")),
        )
    for statement in (_BELIEFS, "ANALYZE check_truth", "ANALYZE check_beliefs", _PAIRS, "ANALYZE check_pairs"):
        connection.exec_driver_sql(statement)
    return count


def _finding(connection: Connection, name: str, rule: str, query: str) -> Finding:
    statement = f"SELECT count(*) OVER (), broken.* FROM ({query}) AS broken LIMIT {EXAMPLES_MAX}"
    rows = connection.exec_driver_sql(statement.replace("%", "%%")).all()
    return Finding(name, rule, int(rows[0][0]) if rows else 0, tuple(str(row[1])[:300] for row in rows))


def _sums_finding(sums: Iterable[ChannelSum]) -> Finding:
    """Compare the sums of each channel, to the fen: rules per row could all hold and a row still be missing."""
    wrong = [
        f"{item.channel_id}: took {yuan(item.charged_minor)}, here {yuan(item.charged_here_minor)}; gave back "
        f"{yuan(item.refunded_minor)}, here {yuan(item.refunded_here_minor)}"
        for item in sums
        if (item.charged_minor, item.refunded_minor) != (item.charged_here_minor, item.refunded_here_minor)
    ]
    return Finding(
        "channel_sums", "the sums of every channel agree to the fen", len(wrong), tuple(wrong[:EXAMPLES_MAX])
    )


def _notice_findings(notices: Mapping[str, Any], *, delivered: int) -> list[Finding]:
    """Ask the order system that received the notices."""
    problems = tuple(map(str, notices.get("problems", ())))[:EXAMPLES_MAX]
    bad = int(notices["bad_signatures"])
    wrong = int(notices["disorders"]) + int(notices["changed_bodies"])
    missing = max(0, delivered - int(notices["accepted"]))
    return [
        Finding("notice_signature", "every notice was signed rightly", bad, ()),
        Finding("notice_order", "the receiver saw each order's notices in order, and a repeat with the same bytes", wrong,
                problems if wrong else ()),
        Finding("notice_missing", "what counts as delivered was accepted by the receiver", missing, ()),
    ]  # fmt: skip


# --- the truth ------------------------------------------------------------------------------------------------------


def truth_of_service(target: str, key: str) -> Iterator[TruthEntry]:
    """Stream the truth of a running sandbox at `target` (HOST:PORT). Raise grpc.RpcError."""
    metadata = (("authorization", f"Bearer {key}"),)
    with dial(target) as channel:
        stub = simulator_pb2_grpc.SimulatorStub(channel)
        for entry in stub.ExportTruth(simulator_pb2.ExportTruthRequest(), metadata=metadata):
            kind = simulator_pb2.TruthEntry.Kind.Name(entry.kind).removeprefix("KIND_")
            yield TruthEntry(
                entry.channel_id, kind, entry.attempt_no, entry.merchant_no, entry.amount_minor, entry.currency_code
            )


def truth_of_ledger(directory: Path) -> Iterator[TruthEntry]:
    """Read the truth of a sandbox that is not running from the ledger in its directory. Raise LedgerDamaged."""
    for entry in World.read_books(directory):
        yield TruthEntry(
            entry["channel_id"], entry["kind"], entry["attempt_no"], entry["merchant_no"], entry["amount_minor"],
            entry["currency"],
        )  # fmt: skip


# --- for people -----------------------------------------------------------------------------------------------------


def show(verdict: Verdict, console: Console) -> None:
    """Write a verdict for a person."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    for finding in verdict.findings:
        mark = f"[bold red]✗ {finding.broken}[/]" if finding.broken else "[green]✓[/]"
        table.add_row(mark, escape(finding.rule), f"[dim]{finding.name}[/]")
        for example in finding.examples if finding.broken else ():
            table.add_row("", f"[red]{escape(example)}[/]", "")
    console.print(table)
    if verdict.channels:
        console.print(_sums_table(verdict.channels))
    figures = verdict.figures
    console.print(
        f"{figures['payments']:,} payments, {figures['succeeded']:,} succeeded, {figures['in_doubt']:,} in doubt; "
        f"{figures['refunds']:,} refunds, {figures['refunds_open']:,} under way; {figures['notices_delivered']:,} notices "
        f"delivered, {figures['notices_pending']:,} waiting, {figures['notices_dead']:,} dead; {figures['cases']:,} cases "
        "for a person"
    )
    broken = verdict.broken()
    if broken:
        console.print(f"[bold red]Does not hold: {', '.join(finding.name for finding in broken)}[/]")
    else:
        compared = "" if "truth_entries" in figures else " (not compared with any channel's truth)"
        console.print(f"[bold green]Everything holds: nothing lost, nothing charged twice{compared}.[/]")


def _sums_table(channels: Iterable[ChannelSum]) -> Table:
    table = Table("channel", box=None, padding=(0, 2), header_style="dim")
    for name in ("charges", "taken (yuan)", "here", "refunds", "given back", "here"):
        table.add_column(name, justify="right")
    for item in channels:
        agree = item.charged_minor == item.charged_here_minor and item.refunded_minor == item.refunded_here_minor
        table.add_row(
            item.channel_id, f"{item.charges:,}", yuan(item.charged_minor), yuan(item.charged_here_minor),
            f"{item.refunds:,}", yuan(item.refunded_minor), yuan(item.refunded_here_minor),
            style="" if agree else "bold red",
        )  # fmt: skip
    return table
