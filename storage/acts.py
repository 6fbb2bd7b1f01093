"""Sensitive acts: what a second person must allow before it is done.

Whoever owns an act registers it here once; `storage/approvals.py` keeps the proposals and performs what was allowed.
An act's functions run inside the transaction of the proposal or of the decision.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

# Who may decide where an act does not say otherwise.
CHECKERS = frozenset({"FINANCE_CHECKER", "TENANT_ADMIN"})


class Ask(NamedTuple):
    """What is asked for: an act's arguments, by whom, for which tenant.

    The arguments are what a repeat of the request id must have the same; ids and times are drawn when it is performed.
    """

    tenant_id: str
    proposer: str
    arguments: Mapping[str, Any]  # plain JSON values; secrets only in encrypted form
    reason: str
    request_id: str = ""
    approver: str = ""  # known when it is performed: "" where nobody had to be asked
    address: str = ""
    person: str = ""  # the human being behind the proposer, where identity names one
    content_hash: str = ""  # what a repeat must have the same, where that is not the arguments, as with encrypted ones
    now_ms: int = 0  # set when it is shown and when it is performed


class Act(NamedTuple):
    """A kind of sensitive act.

    `show` returns what proposer and approver see, the present state of the object included: its hash is what an approval
    binds, so whatever changes it voids the approval. `perform` does it, writes its audit entry, and returns the id of the
    object. Both raise Refused. `amount_minor` is what tiers go by, 0 where no money is named.
    """

    kind: str  # such as "routing.publish_rules"
    object_kind: str
    show: Callable[[Connection, Ask], Mapping[str, Any]]
    perform: Callable[[Connection, Ask], str]
    amount_minor: Callable[[Mapping[str, Any]], int] = lambda _: 0
    # False for what must work in an emergency at once, whatever the policy says.
    waits: Callable[[Mapping[str, Any]], bool] = lambda _: True
    # How many have to allow it even where the policy asks for fewer.
    approvers_min: int = 0
    # True for what makes somebody decide, or decides who has to: it takes as many as whatever takes most. With fewer, those
    # few would make the others up.
    empowers: Callable[[Mapping[str, Any]], bool] = lambda _: False
    checkers: frozenset[str] = CHECKERS


_ACTS: dict[str, Act] = {}


def register(act: Act) -> Act:
    """Make a kind of act known. Raise ValueError when its name is taken."""
    if _ACTS.setdefault(act.kind, act) is not act:
        raise ValueError(f"act {act.kind} is registered twice")
    return act


def act_of(kind: str) -> Act | None:
    """Return the act of a kind, None when there is none."""
    return _ACTS.get(kind)


def hold(connection: Connection, *, tenant_id: str) -> None:
    """Let the acts of a tenant, and what they are shown, wait for one another until the transaction ends.

    What one leaves is what the next is shown, never what it was before.
    """
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('approvals/' || :tenant_id, 0))"), {"tenant_id": tenant_id}
    )


def deciding_roles() -> frozenset[str]:
    """Return the roles that decide about some kind of act."""
    return frozenset[str]().union(*(act.checkers for act in _ACTS.values()))


def kinds() -> list[str]:
    """Return the kinds of acts that are known."""
    return sorted(_ACTS)
