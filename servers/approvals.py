"""The Approvals service."""

import time
from collections.abc import Sequence
from typing import Any

from domain import approvals as life
from domain import orders
from domain.permissions import EVERYWHERE
from domain.refusals import Refused, Violation, invalid
from protos.paydesk.v1 import approvals_pb2, approvals_pb2_grpc
from servers import commands, pages, translate
from servers.identity import caller
from servers.refusals import status_message
from storage import acts, approval_policies
from storage import approvals as store
from storage.database import Database

DECIDE_MAX = 200
TEXT_LENGTH_MAX = 256

_STATES: dict[str, Any] = {state: approvals_pb2.Approval.State.Value(f"STATE_{state}") for state in life.State}
_STATE_NAMES = {value: str(state) for state, value in _STATES.items()} | {0: ""}
_DECISIONS: dict[str, Any] = {
    decision: approvals_pb2.DecideApprovalsRequest.Decision.Value(f"DECISION_{decision}") for decision in life.Decision
}
_DECISION_OF = {value: life.Decision(decision) for decision, value in _DECISIONS.items()}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class ApprovalsService(approvals_pb2_grpc.ApprovalsServicer):
    """Shows what waits for a second person, and takes their word."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ListApprovals(
        self, request: approvals_pb2.ListApprovalsRequest, context: Any
    ) -> approvals_pb2.ListApprovalsResponse:
        """List proposals, those that wait first."""
        limit, after = pages.size(request.page_size), _place(pages.key_of(request.page_token))
        wanted = _wanted(request.filter)
        if not _sees_all():
            wanted = wanted._replace(proposer=wanted.proposer or caller().principal)
            if not _is_shown(wanted.proposer):
                return approvals_pb2.ListApprovalsResponse()
        found = await self._database.run(
            store.search, tenant_id=caller().tenant_id, wanted=wanted, after=after, limit=limit + 1
        )
        counts = await self._database.run(store.approved_counts, approval_ids=[row.approval_id for row in found[:limit]])
        response = approvals_pb2.ListApprovalsResponse(
            approvals=[_message(row, counts.get(row.approval_id, 0)) for row in found[:limit]]
        )
        if len(found) > limit:
            last = found[limit - 1]
            response.next_page_token = pages.token(f"{int(last.state is life.State.PENDING)}{last.approval_id}")
        return response

    async def GetApproval(self, request: approvals_pb2.GetApprovalRequest, context: Any) -> approvals_pb2.Approval:
        """Read one proposal whole."""
        return await self._whole(_checked_id(request.approval_id))

    async def DecideApprovals(
        self, request: approvals_pb2.DecideApprovalsRequest, context: Any
    ) -> approvals_pb2.DecideApprovalsResponse:
        """Take the caller's word on each proposal, a transaction each."""
        decision = _DECISION_OF.get(request.decision)
        ids = list(request.approval_ids)
        violations = [*orders.text_violations(request_id=request.request_id)]
        if not 1 <= len(ids) <= DECIDE_MAX or len(set(ids)) < len(ids):
            violations.append(Violation("approval_ids", f"must be 1 to {DECIDE_MAX}, each once"))
        violations += _id_violations(ids)
        if decision is None:
            violations.append(Violation("decision", "must be APPROVE or REJECT"))
        violations += _text_violations("comment", request.comment)
        if violations:
            raise Refused(invalid(*violations))
        assert decision is not None
        await commands.once(
            self._database, "Approvals.DecideApprovals", object_kind="approvals", object_id=ids[0],
            request_id=request.request_id, content=(ids, decision, request.comment),
            after={"approval_ids": ids, "decision": decision}, reason=request.comment,
        )  # fmt: skip
        who = caller()
        decider = life.Decider(who.principal, who.unbound_roles, who.person, who.address)
        decided = [
            await self._database.run(
                store.decide, tenant_id=who.tenant_id, approval_id=approval_id, decision=decision,
                comment=request.comment, who=decider, now_ms=_now_ms(),
            )
            for approval_id in ids
        ]  # fmt: skip
        counts = await self._database.run(store.approved_counts, approval_ids=ids)
        response = approvals_pb2.DecideApprovalsResponse()
        for one in decided:
            if one.refusal is not None:
                response.results.add(approval_id=one.approval_id, refusal=status_message(one.refusal))
            elif one.approval is not None:
                message = _message(one.approval, counts.get(one.approval_id, 0))
                response.results.add(approval_id=one.approval_id, approval=message)
        return response

    async def CancelApproval(
        self, request: approvals_pb2.CancelApprovalRequest, context: Any
    ) -> approvals_pb2.Approval:
        """Take a proposal of the caller's back."""
        approval_id = _checked_id(request.approval_id)
        violations = [*orders.text_violations(request_id=request.request_id)]
        violations += _text_violations("reason", request.reason, shortest=0)
        if violations:
            raise Refused(invalid(*violations))
        await self._whole(approval_id)  # NOT_FOUND for what the caller is not shown
        who = caller()
        await commands.once(
            self._database, "Approvals.CancelApproval", object_kind="approval", object_id=approval_id,
            request_id=request.request_id, content=(approval_id, request.reason), reason=request.reason,
            work=lambda connection: store.cancel(
                connection, tenant_id=who.tenant_id, approval_id=approval_id, principal=who.principal, now_ms=_now_ms()
            ),
        )  # fmt: skip
        return await self._whole(approval_id)

    async def GetApprovalPolicy(
        self, request: approvals_pb2.GetApprovalPolicyRequest, context: Any
    ) -> approvals_pb2.ApprovalPolicy:
        """Read the policy that counts."""
        known = await self._database.run(approval_policies.current, tenant_id=caller().tenant_id)
        message = approvals_pb2.ApprovalPolicy(
            version=known.version, approvers=known.policy.approvers, known_kinds=acts.kinds()
        )
        message.expire_after.FromSeconds(known.policy.expire_s)
        for kind, tiers in sorted(known.policy.acts.items()):
            act = message.acts.add(kind=kind)
            for tier in tiers:
                act.tiers.add(up_to_minor=tier.up_to_minor, approvers=tier.approvers)
        return message

    async def SetApprovalPolicy(
        self, request: approvals_pb2.SetApprovalPolicyRequest, context: Any
    ) -> approvals_pb2.SetApprovalPolicyResponse:
        """Propose a policy."""
        violations = [*orders.text_violations(request_id=request.request_id)]
        violations += _text_violations("reason", request.reason)
        if not request.HasField("policy"):
            violations.append(Violation("policy", "is missing"))
        elif request.policy.HasField("expire_after") and request.policy.expire_after.seconds < life.EXPIRE_S_MIN:
            violations.append(Violation("policy.expire_after", f"must be {life.EXPIRE_S_MIN} seconds or more"))
        if violations:
            raise Refused(invalid(*violations))
        policy = request.policy
        document = {
            "approvers": policy.approvers, "expire_s": policy.expire_after.seconds or life.EXPIRE_S,
            "acts": {
                act.kind: [{"up_to_minor": tier.up_to_minor, "approvers": tier.approvers} for tier in act.tiers]
                for act in policy.acts
            },
        }  # fmt: skip
        proposed = await commands.propose(
            self._database, approval_policies.KIND, document, request_id=request.request_id, reason=request.reason
        )
        return approvals_pb2.SetApprovalPolicyResponse(proposal=translate.proposal_message(proposed))

    async def _whole(self, approval_id: str) -> approvals_pb2.Approval:
        found = await self._database.run(store.get, tenant_id=caller().tenant_id, approval_id=approval_id)
        if found is None or not _is_shown(found[0].proposer):
            raise Refused(translate.not_found("APPROVAL_NOT_FOUND", f"there is no approval {approval_id!r}"))
        approval, told = found
        message = _message(approval, sum(one.decision is life.Decision.APPROVE for one in told))
        message.shown_json = life.canonical(approval.shown)
        for one in told:
            message.decisions.add(
                principal=one.principal, decision=_DECISIONS[one.decision], comment=one.comment,
                create_time=translate.timestamp(one.create_ms),
            )  # fmt: skip
        return message


def _sees_all() -> bool:
    """Tell whether the caller sees everybody's proposals.

    Who does not: whose roles reach some of the tenant, and systems of partners, which are not shown what contracts cost.
    """
    return caller().scope == EVERYWHERE and not caller().roles <= {"PARTNER_API"}


def _is_shown(proposer: str) -> bool:
    return _sees_all() or proposer == caller().principal


def _checked_id(approval_id: str) -> str:
    violations = [Violation("approval_id", rule) for _, rule in _id_violations([approval_id])]
    if violations:
        raise Refused(invalid(*violations))
    return approval_id


def _id_violations(ids: Sequence[str]) -> list[Violation]:
    return [
        Violation(f"approval_ids[{place}]", "must be 1 to 32 printable characters")
        for place, value in enumerate(ids[:DECIDE_MAX])
        if not 0 < len(value) <= 32 or not value.isprintable()
    ]


def _text_violations(name: str, value: str, *, shortest: int = 1) -> list[Violation]:
    if shortest <= len(value) <= TEXT_LENGTH_MAX and (value + " ").isprintable():
        return []
    return [Violation(name, f"must be {shortest} to {TEXT_LENGTH_MAX} printable characters")]


def _wanted(chosen: approvals_pb2.ApprovalFilter) -> store.Wanted:
    violations = [
        Violation(f"filter.{name}", "must be at most 64 printable characters")
        for name, value in (("kind", chosen.kind), ("proposer", chosen.proposer))
        if len(value) > 64 or not (value + " ").isprintable()
    ]
    state = _STATE_NAMES.get(chosen.state)
    if state is None:
        violations.append(Violation("filter.state", f"{chosen.state} is no state"))
    if violations:
        raise Refused(invalid(*violations))
    return store.Wanted(state or "", chosen.kind, chosen.proposer)


def _place(key: str) -> tuple[int, str] | None:
    if key and key[0] not in "01":
        raise Refused(invalid(Violation("page_token", "is not a token of this list")))
    return (int(key[0]), key[1:]) if key else None


def _message(approval: store.Approval, approvers_count: int) -> approvals_pb2.Approval:
    return approvals_pb2.Approval(
        approval_id=approval.approval_id, kind=approval.kind, object_kind=approval.object_kind,
        object_id=approval.object_id, state=_STATES[approval.state], outcome=approval.outcome,
        proposer=approval.proposer, reason=approval.reason, amount_minor=approval.amount_minor,
        approvers_needed=approval.approvers_needed, approvers_count=approvers_count, shown_hash=approval.shown_hash,
        create_time=translate.timestamp(approval.create_ms), update_time=translate.timestamp(approval.update_ms),
        expire_time=translate.timestamp(approval.expire_ms),
    )  # fmt: skip
