"""What the drill proves in the end: the client's history, the tables, the sandbox's truth and the notices all agree."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from ops.chaos.load import Told
from ops.check import EXAMPLES_MAX, Finding, Verdict

OPEN = ("SUBMITTING", "PENDING", "UNKNOWN")
# What a payment may have become after a caller was told that it had come to an end: money may come late, never go away.
_AFTER = {
    "SUCCEEDED": {"SUCCEEDED", "FUNDS_RETURNED"},
    "FAILED": {"FAILED", "SUCCEEDED"},
    "CLOSED": {"CLOSED", "SUCCEEDED"},
    "FUNDS_RETURNED": {"FUNDS_RETURNED"},
}
_KNOWN = "SELECT request_id, payment_id, order_no, amount_minor, state FROM payments"


def history(connection: Connection, told: Sequence[Told]) -> list[Finding]:
    """Hold what every caller was told against the tables: ok means present and unchanged, a refusal means absent."""
    known = {row[0]: tuple(row[1:]) for row in connection.exec_driver_sql(_KNOWN)}
    lost, changed, ghosts = [], [], []
    for one in told:
        payment_id, order_no, amount_minor, state = known.get(one.request_id, ("", "", 0, ""))
        if one.payment_id:
            if (payment_id, order_no, amount_minor) != (one.payment_id, one.order_no, one.amount_minor):
                lost.append(f"{one.request_id} was told {one.payment_id} {one.state}, the tables say {payment_id!r}")
            elif state not in _AFTER.get(one.state, {state}):
                changed.append(f"{one.payment_id} was told {one.state}, and is {state}")
        elif one.refusal and payment_id:
            ghosts.append(f"{one.request_id} was refused ({one.refusal}), and is {payment_id} {state}")
    return [
        _finding("acknowledged_lost", "what a caller was told is there, with its order and amount", lost),
        _finding("acknowledged_changed", "an end that a caller was told is an end", changed),
        _finding("refused_but_made", "what was refused was not made", ghosts),
    ]


def rest(connection: Connection, told: Sequence[Told]) -> list[Finding]:
    """Tell what has not come to rest: payments in doubt, callers without an answer."""
    rows = connection.exec_driver_sql(
        f"SELECT payment_id || ' ' || state || ' ' || reason || ' on ' || channel_id FROM payments WHERE state IN {OPEN}"
    )
    unanswered = [one.request_id for one in told if not one.payment_id and not one.refusal]
    return [
        _finding("unresolved", "after a while of peace nothing is in doubt", [row[0] for row in rows]),
        _finding("unanswered", "every caller that kept asking was told something", unanswered),
    ]


def notices(connection: Connection, states: Mapping[str, str]) -> Finding:
    """Compare every end with what the order system was told last about that payment."""
    rows = connection.exec_driver_sql(
        "SELECT payment_id, state FROM payments WHERE state IN ('SUCCEEDED', 'FAILED', 'CLOSED', 'FUNDS_RETURNED')"
    )
    missing = [
        f"{payment_id} is {state}, the order system heard {states.get(payment_id, 'nothing')}"
        for payment_id, state in rows
        if states.get(payment_id) != state
    ]
    return _finding("final_notice_missing", "the order system was told every end", missing)


def answers(errors: Mapping[str, int]) -> Finding:
    """Complain of answers that no caller can act on."""
    bugs = [f"{text} ({count} times)" for text, count in errors.items() if text.startswith(("INTERNAL", "UNKNOWN"))]
    return _finding("internal_errors", "every refusal had a name", bugs)


def remains(orphans: Sequence[str]) -> Finding:
    """Complain of processes that outlived what they belonged to."""
    return _finding("orphans_left", "what was killed left no processes behind", orphans)


def together(verdict: Verdict, findings: Iterable[Finding]) -> Verdict:
    """Add findings to a verdict."""
    return verdict._replace(findings=(*verdict.findings, *findings))


def count(verdict: Verdict, *names: str) -> int:
    """Return how often these rules are broken."""
    return sum(finding.broken for finding in verdict.findings if finding.name in names)


def _finding(name: str, rule: str, broken: Sequence[Any]) -> Finding:
    return Finding(name, rule, len(broken), tuple(map(str, broken[:EXAMPLES_MAX])))
