"""How many have to allow what: a tenant's policy, in versions. Changing it is an act that always needs somebody else."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from domain.approvals import Policy, policy_of
from domain.refusals import Refused, Violation, invalid
from storage import audit
from storage.acts import Act, Ask, kinds, register

KIND = "approvals.set_policy"
# Who a policy is from that came with a desk document.
INSTALLER = "desk"


class Current(NamedTuple):
    """The policy that counts; version 0 is what a tenant has that never set one."""

    version: int
    policy: Policy


def current(connection: Connection, *, tenant_id: str) -> Current:
    """Read the policy that counts for what is proposed now."""
    row = connection.execute(
        text("SELECT version, policy FROM approval_policies WHERE tenant_id = :tenant_id ORDER BY version DESC LIMIT 1"),
        {"tenant_id": tenant_id},
    ).one_or_none()
    return Current(row[0], policy_of(row[1])) if row else Current(0, Policy())


def install(connection: Connection, *, tenant_id: str, document: Mapping[str, Any]) -> None:
    """Bring a tenant's policy to what its desk document says. Raise Refused when that is no policy."""
    known, wanted = current(connection, tenant_id=tenant_id), policy_of(document)
    if known.version == 0 or known.policy != wanted:
        _insert(connection, tenant_id, known.version + 1, wanted, INSTALLER)


def _insert(connection: Connection, tenant_id: str, version: int, policy: Policy, principal: str) -> None:
    connection.execute(
        text(
            """INSERT INTO approval_policies (tenant_id, version, policy, principal)
               VALUES (:tenant_id, :version, :policy, :principal)"""
        ),
        {"tenant_id": tenant_id, "version": version, "policy": json.dumps(policy.document()), "principal": principal},
    )


def _show(connection: Connection, ask: Ask) -> dict[str, Any]:
    wanted, known = policy_of(ask.arguments), current(connection, tenant_id=ask.tenant_id)
    strange = sorted({*wanted.acts} - {*kinds()})
    if strange:
        raise Refused(invalid(*(Violation(f"acts.{kind}", "is no kind of act") for kind in strange)))
    return {"version": known.version, "now": known.policy.document(), "wanted": wanted.document()}


def _perform(connection: Connection, ask: Ask) -> str:
    wanted, known = policy_of(ask.arguments), current(connection, tenant_id=ask.tenant_id)
    object_id = f"policy_{known.version + 1}"
    _insert(connection, ask.tenant_id, known.version + 1, wanted, ask.proposer)
    entry = audit.Entry(
        ask.tenant_id, ask.approver, "Approvals.SetApprovalPolicy", "approval_policy", object_id,
        known.policy.document(), wanted.document(), ask.reason, ask.request_id, ask.address,
    )  # fmt: skip
    audit.append(connection, [entry])
    return object_id


register(
    Act(
        KIND, "approval_policy", _show, _perform, approvers_min=1, empowers=lambda _: True, checkers=frozenset({"TENANT_ADMIN"})
    )
)  # fmt: skip
