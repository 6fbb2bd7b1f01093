"""Proposals on real PostgreSQL: what was shown is what is performed, once, by others than who proposed it."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, cast

import grpc
import pytest
import sqlalchemy
from click.testing import Result
from sqlalchemy import Connection, text
from typer.testing import CliRunner

from actors import blueprints
from domain.approvals import Decider, Decision, State
from domain.refusals import Kind, Refusal, Refused
from ops import address, approvals_commands
from protos.paydesk.v1 import approvals_pb2, approvals_pb2_grpc, channels_pb2, channels_pb2_grpc
from storage import acts, approval_policies, approvals, audit, desk
from storage.acts import Act, Ask
from storage.database import Database, transact
from tests.harness import desk_document
from tests.integration.office import Office, opened_office
from tests.vaults import new_vault

NOW_MS = 1_800_000_000_000
RENAME = "tests.rename_tenant"


def _show(connection: Connection, ask: Ask) -> dict[str, Any]:
    return {"now": _name(connection), **ask.arguments}


def _perform(connection: Connection, ask: Ask) -> str:
    connection.execute(text("UPDATE tenants SET display_name = :name WHERE tenant_id = 'pnc'"), ask.arguments)
    if ask.arguments["name"] == "refuse me":
        raise Refused(Refusal(Kind.FORBIDDEN_BY_STATE, "NAME_TAKEN", "another tenant has this name"))
    audit.append(connection, [audit.Entry(ask.tenant_id, ask.approver, "rename", "tenant", "pnc", reason=ask.reason)])
    return "pnc"


def _name(connection: Connection) -> str:
    return str(connection.exec_driver_sql("SELECT display_name FROM tenants WHERE tenant_id = 'pnc'").scalar_one())


@pytest.fixture(scope="module", autouse=True)
def _rename_is_an_act() -> Iterator[None]:
    acts.register(Act(RENAME, "tenant", _show, _perform, lambda shown: int(shown.get("amount_minor", 0))))
    yield
    del acts._ACTS[RENAME]


@pytest.fixture
def engine(emptied_database_url: str) -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine(emptied_database_url)
    with engine.begin() as connection:
        desk.install(connection, desk_document(["one"]))
    yield engine
    engine.dispose()


def propose(engine: sqlalchemy.Engine, name: str = "新名", *, request_id: str = "r1", **more: Any) -> approvals.Proposed:
    ask = Ask("pnc", "li", {"name": name, **more}, "改名", request_id)
    return transact(engine, lambda connection: approvals.propose(connection, RENAME, ask, now_ms=NOW_MS))


def decide(
    engine: sqlalchemy.Engine, approval_id: str, principal: str = "wang", decision: Decision = Decision.APPROVE, *,
    now_ms: int = NOW_MS, person: str = "",
) -> approvals.Decided:  # fmt: skip
    who = Decider(principal, frozenset({"FINANCE_CHECKER"}), person)
    return transact(engine, lambda connection: approvals.decide(
        connection, tenant_id="pnc", approval_id=approval_id, decision=decision, comment="看过", who=who, now_ms=now_ms))  # fmt: skip


def state(decided: approvals.Decided) -> State | str:
    if decided.refusal is not None:
        return decided.refusal.reason
    assert decided.approval is not None
    return decided.approval.state


def name(engine: sqlalchemy.Engine) -> str:
    with engine.begin() as connection:
        return _name(connection)


def operations(engine: sqlalchemy.Engine) -> list[tuple[str, str]]:
    with engine.begin() as connection:
        found = audit.search(connection, tenant_id="pnc", wanted=audit.Wanted(), limit=50)
    return [(item.record.principal, item.record.operation) for item in reversed(found)]


def set_policy(engine: sqlalchemy.Engine, **document: Any) -> None:
    with engine.begin() as connection:
        approval_policies.install(connection, tenant_id="pnc", document=document)


def test_an_act_is_done_in_the_transaction_of_its_approval_and_all_of_it_is_audited(engine: sqlalchemy.Engine) -> None:
    proposed = propose(engine)
    assert not proposed.performed and name(engine) == "pnc"
    decided = decide(engine, proposed.approval_id)
    assert state(decided) is State.PERFORMED and name(engine) == "新名"
    assert operations(engine) == [("li", "Approvals.Propose"), ("wang", "rename"), ("wang", "Approvals.Decide")]
    assert state(decide(engine, proposed.approval_id)) is State.PERFORMED  # the same word again
    assert len(operations(engine)) == 3
    assert propose(engine) == (proposed.approval_id, True, "pnc", True)


def test_a_repeat_changes_nothing_and_other_content_is_refused(engine: sqlalchemy.Engine) -> None:
    first = propose(engine)
    with ThreadPoolExecutor(8) as callers:
        answers = set(callers.map(lambda _: propose(engine).approval_id, range(16)))
    assert answers == {first.approval_id} and len(operations(engine)) == 1
    with pytest.raises(Refused) as caught:
        propose(engine, "别名")
    assert caught.value.refusal.kind is Kind.REUSED
    with ThreadPoolExecutor(8) as callers:
        assert len(set(callers.map(lambda _: propose(engine, request_id="r2").approval_id, range(16)))) == 1


def test_of_two_acts_that_are_allowed_at_once_the_second_is_shown_what_the_first_has_left(
    engine: sqlalchemy.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [propose(engine, wanted, request_id=wanted).approval_id for wanted in ("甲", "乙")]
    both_shown = threading.Barrier(2)

    def show(connection: Connection, ask: Ask) -> dict[str, Any]:
        shown = _show(connection, ask)
        with suppress(threading.BrokenBarrierError):
            both_shown.wait(timeout=1.0)
        return shown

    monkeypatch.setitem(acts._ACTS, RENAME, acts._ACTS[RENAME]._replace(show=show))
    with ThreadPoolExecutor(2) as deciders:
        states = list(deciders.map(lambda approval_id: state(decide(engine, approval_id)), ids))
    assert sorted(states) == [State.PERFORMED, State.VOID]


def test_a_change_of_what_was_shown_voids_it(engine: sqlalchemy.Engine) -> None:
    proposed = propose(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE tenants SET display_name = 'somebody was quicker' WHERE tenant_id = 'pnc'")
    decided = decide(engine, proposed.approval_id)
    assert state(decided) is State.VOID and decided.approval is not None
    assert decided.approval.outcome == "no longer as it was shown: now"
    assert name(engine) == "somebody was quicker"
    assert state(decide(engine, proposed.approval_id, "zhao")) == "APPROVAL_NOT_PENDING"
    assert state(decide(engine, proposed.approval_id)) is State.VOID


def test_an_act_that_can_no_longer_be_done_leaves_no_trace_but_its_reason(engine: sqlalchemy.Engine) -> None:
    decided = decide(engine, propose(engine, "refuse me").approval_id)
    assert state(decided) is State.VOID and name(engine) == "pnc"
    assert decided.approval is not None and decided.approval.outcome.startswith("NAME_TAKEN")


def test_tiers_ask_for_different_people(engine: sqlalchemy.Engine) -> None:
    set_policy(engine, acts={RENAME: [{"up_to_minor": 100, "approvers": 1}, {"approvers": 2}]})
    proposed = propose(engine, amount_minor=101)
    assert state(decide(engine, proposed.approval_id, "li")) == "MAKER_CHECKER"
    assert state(decide(engine, proposed.approval_id, "wang", person="p1")) is State.PENDING
    assert state(decide(engine, proposed.approval_id, "wang", person="p1")) is State.PENDING  # says the same again
    assert state(decide(engine, proposed.approval_id, "wang-night", person="p1")) == "DECIDED_ALREADY"
    assert state(decide(engine, proposed.approval_id, "wang", Decision.REJECT)) == "DECIDED_ALREADY"
    assert name(engine) == "pnc"
    assert state(decide(engine, proposed.approval_id, "zhao")) is State.PERFORMED
    assert state(decide(engine, propose(engine, "小", request_id="r2", amount_minor=100).approval_id)) is State.PERFORMED


def test_one_of_many_who_decide_at_once_performs(engine: sqlalchemy.Engine) -> None:
    set_policy(engine, approvers=2)
    proposed = propose(engine)
    with ThreadPoolExecutor(8) as deciders:
        told = [state(one) for one in deciders.map(lambda n: decide(engine, proposed.approval_id, f"w{n}"), range(8))]
    assert sorted(map(str, told)) == ["APPROVAL_NOT_PENDING"] * 6 + ["PENDING", "PERFORMED"]
    assert operations(engine).count(("w0", "rename")) <= 1 and sum(op == "rename" for _, op in operations(engine)) == 1


def test_nobody_is_asked_where_the_policy_says_so(engine: sqlalchemy.Engine) -> None:
    set_policy(engine, acts={RENAME: 0})
    assert propose(engine) == ("", True, "pnc", False)
    assert propose(engine) == ("", True, "pnc", True)
    assert name(engine) == "新名" and operations(engine) == [("li", "Approvals.Propose"), ("", "rename")]
    with pytest.raises(Refused):
        propose(engine, "refuse me", request_id="r2")
    assert name(engine) == "新名" and len(operations(engine)) == 2


def test_a_rejected_an_expired_and_a_cancelled_proposal_stay_so(engine: sqlalchemy.Engine) -> None:
    rejected, late, swept, taken = (propose(engine, request_id=f"r{n}").approval_id for n in range(4))
    assert state(decide(engine, rejected, decision=Decision.REJECT)) is State.REJECTED
    after_ms = NOW_MS + 6 * 86_400_000
    with pytest.raises(Refused) as caught, engine.begin() as connection:
        approvals.cancel(connection, tenant_id="pnc", approval_id=taken, principal="wang", now_ms=NOW_MS)
    assert caught.value.refusal.reason == "NOT_THE_PROPOSER"
    with engine.begin() as connection:
        approvals.cancel(connection, tenant_id="pnc", approval_id=taken, principal="li", now_ms=NOW_MS)
    assert state(decide(engine, late, now_ms=after_ms)) == "APPROVAL_NOT_PENDING"
    with engine.begin() as connection:
        assert approvals.expire(connection, now_ms=NOW_MS) == 0
        assert approvals.expire(connection, now_ms=after_ms) == 1
        found = approvals.search(connection, tenant_id="pnc", wanted=approvals.Wanted(), after=None, limit=10)
    ends = {row.approval_id: row.state for row in found}
    assert ends == {rejected: State.REJECTED, late: State.EXPIRED, swept: State.EXPIRED, taken: State.CANCELLED}
    for approval_id in ends:
        assert state(decide(engine, approval_id, "zhao")) == "APPROVAL_NOT_PENDING"
    assert name(engine) == "pnc"


def test_of_another_tenant_there_is_nothing(engine: sqlalchemy.Engine) -> None:
    proposed = propose(engine)
    who = Decider("wang", frozenset({"FINANCE_CHECKER"}))
    with engine.begin() as connection:
        decided = approvals.decide(connection, tenant_id="life", approval_id=proposed.approval_id, comment="x",
                                   decision=Decision.APPROVE, who=who, now_ms=NOW_MS)  # fmt: skip
        assert state(decided) == "APPROVAL_NOT_FOUND"
        assert approvals.get(connection, tenant_id="life", approval_id=proposed.approval_id) is None


# --- through gRPC -----------------------------------------------------------------------------------------------------


async def alone_on_one(office: Office) -> None:
    """Leave a channel to one tenant, which may force it then."""
    for table in ("merchant_account_versions", "merchant_accounts"):
        await office.database.run(lambda c, table=table: c.exec_driver_sql(f"DELETE FROM {table} WHERE account_id = 'life_one'"))


def force(state: Any, request_id: str) -> channels_pb2.ForceChannelStateRequest:
    wish = channels_pb2.ForceChannelStateRequest(request_id=request_id, channel_id="one", state=state, reason="他们说好了")
    wish.ttl.seconds = 60
    return wish


async def test_a_channel_is_forced_closed_by_two_people(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        await alone_on_one(office)
        maker = await office.stub(channels_pb2_grpc.ChannelsStub, "CHANNEL_ADMIN", principal="li")
        wish = force(channels_pb2.ChannelHealth.STATE_FORCED_CLOSED, "f1")
        proposal = (await maker.ForceChannelState(wish)).proposal
        assert proposal.approval_id and not proposal.performed
        self_made = await office.stub(approvals_pb2_grpc.ApprovalsStub, "CHANNEL_ADMIN", principal="li")
        checker = await office.stub(approvals_pb2_grpc.ApprovalsStub, "CHANNEL_ADMIN", principal="wang")
        whole = await checker.GetApproval(approvals_pb2.GetApprovalRequest(approval_id=proposal.approval_id))
        assert '"state":"FORCED_CLOSED"' in whole.shown_json and len(whole.shown_hash) == 32
        wish = approvals_pb2.DecideApprovalsRequest(
            request_id="d1", approval_ids=[proposal.approval_id, "apr_nowhere"], decision=1, comment="看过"
        )
        assert "MAKER_CHECKER" in str((await self_made.DecideApprovals(wish)).results[0].refusal.details[0].value)
        wish.request_id = "d2"
        told = await checker.DecideApprovals(wish)
        assert [one.WhichOneof("result") for one in told.results] == ["approval", "refusal"]
        assert told.results[0].approval.state == approvals_pb2.Approval.STATE_PERFORMED
        assert await checker.DecideApprovals(wish) == told
        wish.comment = "anders"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await checker.DecideApprovals(wish)
        assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
        forced = (await office.database.run(desk.load)).forced["one"]
        assert (forced.state, forced.reason) == ("FORCED_CLOSED", "他们说好了")


async def test_proposals_come_in_pages_those_that_wait_first(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        await alone_on_one(office)
        maker = await office.stub(channels_pb2_grpc.ChannelsStub, "CHANNEL_ADMIN", principal="li")
        closed = channels_pb2.ChannelHealth.STATE_FORCED_CLOSED
        made = [(await maker.ForceChannelState(force(closed, f"f{n}"))).proposal.approval_id for n in range(5)]
        service = await office.stub(approvals_pb2_grpc.ApprovalsStub, "CHANNEL_ADMIN", principal="li")
        partner = await office.stub(approvals_pb2_grpc.ApprovalsStub, "PARTNER_API", principal="p17")
        assert not (await partner.ListApprovals(approvals_pb2.ListApprovalsRequest())).approvals, "none is its own"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await partner.GetApproval(approvals_pb2.GetApprovalRequest(approval_id=made[0]))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        cancel = approvals_pb2.CancelApprovalRequest(request_id="c", approval_id=made[4])
        assert (await service.CancelApproval(cancel)).state == approvals_pb2.Approval.STATE_CANCELLED
        assert (await service.CancelApproval(cancel)).state == approvals_pb2.Approval.STATE_CANCELLED
        seen, token = [], ""
        while True:
            page = await service.ListApprovals(approvals_pb2.ListApprovalsRequest(page_size=2, page_token=token))
            seen += [row.approval_id for row in page.approvals]
            token = page.next_page_token
            if not token:
                break
        assert seen == [*sorted(made[:4], reverse=True), made[4]]


async def test_a_policy_changes_by_two_people_even_where_nobody_is_asked(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        await office.database.run(approval_policies.install, tenant_id="pnc", document={"approvers": 0})
        admin = await office.stub(approvals_pb2_grpc.ApprovalsStub, "TENANT_ADMIN", principal="li")
        wish = approvals_pb2.SetApprovalPolicyRequest(request_id="p1", reason="新规定")
        wish.policy.approvers = 2
        wish.policy.acts.add(kind="no.such_act").tiers.add(approvers=1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await admin.SetApprovalPolicy(wish)
        assert "acts.no.such_act" in str(caught.value.details())
        wish.policy.acts[0].kind = "channels.force_state"
        wish.policy.expire_after.seconds = 5
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await admin.SetApprovalPolicy(wish)
        assert "policy.expire_after" in str(caught.value.details()), "nobody could allow anything any more"
        wish.policy.ClearField("expire_after")
        proposal = (await admin.SetApprovalPolicy(wish)).proposal
        assert not proposal.performed
        other = await office.stub(approvals_pb2_grpc.ApprovalsStub, "TENANT_ADMIN", principal="wang")
        await other.DecideApprovals(approvals_pb2.DecideApprovalsRequest(
            request_id="d", approval_ids=[proposal.approval_id], decision=1, comment="好"))  # fmt: skip
        policy = await admin.GetApprovalPolicy(approvals_pb2.GetApprovalPolicyRequest())
        assert (policy.version, policy.approvers, policy.acts[0].kind) == (2, 2, "channels.force_state")
        assert "channels.force_state" in policy.known_kinds


async def test_an_approver_works_at_the_command_line(emptied_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened_office(emptied_database_url) as office:
        await alone_on_one(office)
        maker = await office.stub(channels_pb2_grpc.ChannelsStub, "CHANNEL_ADMIN", principal="li")
        closed = channels_pb2.ChannelHealth.STATE_FORCED_CLOSED
        made = [(await maker.ForceChannelState(force(closed, f"f{n}"))).proposal.approval_id for n in range(3)]
        checker = await office.stub(approvals_pb2_grpc.ApprovalsStub, "CHANNEL_ADMIN", principal="wang")
        monkeypatch.setattr(address, "require", lambda *_, target: address.Address(target, "", {}))

        async def paydesk(stub: Any, *words: str) -> Result:
            key = office.metadata(stub)[0][1].removeprefix("Bearer ")
            arguments = [*words, "--target", office.target, "--key", key]
            return await asyncio.to_thread(CliRunner().invoke, approvals_commands.app, arguments)

        listed = await paydesk(checker, "list", "--state", "pending")
        assert all(approval_id in listed.stdout for approval_id in made) and "0/1" in listed.stdout
        assert '"state": "FORCED_CLOSED"' in (await paydesk(checker, "show", made[0])).stdout
        done = await paydesk(checker, "approve", made[0], "--comment", "看过")
        assert done.exit_code == 0 and f"{made[0]}  PERFORMED  1/1" in done.stdout
        both = await paydesk(checker, "approve", made[0], made[1], "--comment", "看过")
        assert f"{made[0]}  PERFORMED" in both.stdout and f"{made[1]}  VOID" in both.stdout  # a hand lies on it now
        own = await paydesk(maker, "approve", made[2], "--comment", "自己")
        assert own.exit_code == 1 and "who proposes an act does not decide about it" in own.stdout
        assert "REJECTED" in (await paydesk(checker, "reject", made[2], "--comment", "不行")).stdout
        assert "approved by wang" in (await paydesk(checker, "show", made[0])).stdout
        assert "1 for each act" in (await paydesk(checker, "policy")).stdout


class _Hand:
    """A connector that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    async def windows(self, *_: Any) -> None:
        """Windows do not matter here."""

    async def force(self, state: str, _until_ms: int, reason: str) -> None:
        self.told.append((state, reason))


async def test_a_connector_learns_of_what_was_approved_anywhere(
    engine: sqlalchemy.Engine, emptied_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blueprints, "DESK_POLL_S", 0.02)
    database = Database(emptied_database_url, pool_size=1)
    hand: Any = _Hand()
    vault = new_vault()
    start = await database.run(blueprints._desk_with_credentials, vault)
    following = asyncio.ensure_future(blueprints._follow_desk(hand, database, vault, start, "one", cast("Any", None)))

    def forced(state: str, request_id: str, ttl_s: int = 60) -> approvals.Proposed:
        ask = Ask("pnc", "li", {"channel_id": "one", "state": state, "ttl_s": ttl_s}, state.lower(), request_id)
        return transact(engine, lambda connection: approvals.propose(connection, "channels.force_state", ask, now_ms=now_ms))

    now_ms = time.time_ns() // 1_000_000
    assert forced("FORCED_OPEN", "f1").performed
    waiting = forced("FORCED_CLOSED", "f2")
    assert not waiting.performed
    who = Decider("wang", frozenset({"SRE"}))
    decided = transact(engine, lambda connection: approvals.decide(
        connection, tenant_id="pnc", approval_id=waiting.approval_id, decision=Decision.APPROVE, comment="好", who=who,
        now_ms=now_ms))  # fmt: skip
    assert state(decided) is State.PERFORMED
    for _ in range(200):
        await asyncio.sleep(0.02)
        if hand.told and hand.told[-1][0] == "FORCED_CLOSED":
            break
    assert hand.told[-1] == ("FORCED_CLOSED", "forced_closed")
    following.cancel()
    database.close()


def test_a_hand_that_was_ended_does_not_come_back_when_its_end_is_over(engine: sqlalchemy.Engine) -> None:
    now_ms = time.time_ns() // 1_000_000

    def hand(connection: Connection, state: str, ttl_s: int, at_ms: int) -> None:
        ask = Ask("pnc", "li", {"channel_id": "one", "state": state, "ttl_s": ttl_s}, "x", f"{state}{at_ms}")
        approvals.propose(connection, "channels.force_state", ask, now_ms=at_ms)

    with engine.begin() as connection:
        hand(connection, "FORCED_OPEN", 3600, now_ms)
        assert desk.load(connection).forced["one"].state == "FORCED_OPEN"
    with engine.begin() as connection:
        hand(connection, "HEALTHY", 0, now_ms - 3_600_000)  # its end is long over
        assert "one" not in desk.load(connection).forced
