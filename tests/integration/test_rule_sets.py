"""Rules from a draft to in force and back: through the real door, on decisions that a real router stored."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import psycopg2
import pytest
import pytest_asyncio
import sqlalchemy
from google.protobuf.json_format import MessageToDict
from grpc_status import rpc_status

from actors.tables import routing_tables
from protos.paydesk.v1 import (
    approvals_pb2,
    approvals_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    routing_pb2,
    routing_pb2_grpc,
)
from storage import desk as desk_store
from storage import rule_sets as store
from storage.database import transact
from tests.harness import House, new_payment, opened_house
from tests.integration.office import Office, opened_office

ORDERS = 20


class Desk(NamedTuple):
    """The house in which orders were routed, and the office in which rules are made."""

    house: House
    office: Office
    maker: Any
    checker: Any


@pytest_asyncio.fixture
async def desk(emptied_database_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    """Twenty orders have been paid on `one`, the cheaper of two channels: every other one a journey."""
    async with opened_house(emptied_database_url, tmp_path) as house:
        wishes = [new_payment(f"o-{n}", product_code=("AUTO", "TRAVEL")[n % 2]) for n in range(ORDERS)]
        await house.submit(*wishes)
        await house.settle()
        async with opened_office(emptied_database_url, ("c1", "c2")) as office:
            maker = await office.stub(routing_pb2_grpc.RoutingStub, "FINANCE_MAKER", principal="li")
            checker = await office.stub(approvals_pb2_grpc.ApprovalsStub, "FINANCE_CHECKER", principal="wang")
            yield Desk(house, office, maker, checker)


def rule(**changes: Any) -> routing_pb2.Rule:
    usual: dict[str, Any] = {
        "rule_id": "journeys", "priority": 1, "effect": "EFFECT_DENY", "when": "order.product_code == 'TRAVEL'",
        "channels": ["c1"],
    }  # fmt: skip
    return routing_pb2.Rule(**usual | changes)


async def drafted(desk: Desk, *rules: routing_pb2.Rule, request_id: str = "r1", **more: Any) -> Any:
    return await desk.maker.CreateRuleSetDraft(
        routing_pb2.CreateRuleSetDraftRequest(request_id=request_id, rules=rules, note="summer", **more)
    )


async def published(desk: Desk, draft: Any, request_id: str) -> Any:
    wish = routing_pb2.PublishRuleSetRequest(
        request_id=request_id, rule_set_id=draft.rule_set_id, revision=draft.revision, reason="cheaper"
    )
    answer = await desk.maker.PublishRuleSet(wish)
    await allow(desk, answer.proposal.approval_id)
    return answer


async def allow(desk: Desk, approval_id: str) -> None:
    told = await desk.checker.DecideApprovals(
        approvals_pb2.DecideApprovalsRequest(request_id=f"d-{approval_id}", approval_ids=[approval_id], decision=1, comment="seen")
    )
    assert told.results[0].approval.state == approvals_pb2.Approval.STATE_PERFORMED, told


async def replayed(desk: Desk, wish: Any) -> list[Any]:
    call = desk.maker.ReplayDecisions(wish, metadata=desk.office.metadata(desk.maker), timeout=10)
    return [part async for part in call]


def violations(error: grpc.aio.AioRpcError) -> str:
    status = rpc_status.from_call(error)
    assert status is not None
    return str(MessageToDict(status))


async def test_a_draft_is_checked_tried_published_by_two_people_and_taken_back(desk: Desk) -> None:
    draft = await drafted(desk, rule())
    assert (draft.state, draft.version, draft.author) == (routing_pb2.RuleSet.STATE_DRAFT, 0, "li")
    assert await drafted(desk, rule()) == draft
    named = routing_pb2.CheckRuleSetRequest(rule_set_id=draft.rule_set_id)
    checked = await desk.maker.CheckRuleSet(named)
    assert checked.sound and not checked.findings and checked.tried_order_count == ORDERS

    tried = await desk.maker.SimulateRuleSet(routing_pb2.SimulateRuleSetRequest(rule_set_id=draft.rule_set_id))
    assert tried.text.startswith("moves 10 of 20, fees +")
    shares = {share.channel_id: (share.before, share.after) for share in tried.channels}
    assert shares == {"c1": (20, 10), "c2": (0, 10)}
    assert {(moved.before_channel_id, moved.after_channel_id, moved.rule_id) for moved in tried.examples} == {
        ("c1", "c2", "journeys")}  # fmt: skip

    first = await published(desk, draft, "p1")
    whole = await desk.checker.GetApproval(approvals_pb2.GetApprovalRequest(approval_id=first.proposal.approval_id))
    assert "moves 10 of 20" in whole.shown_json and "+ journeys (priority 1): when" in whole.shown_json
    now = await desk.maker.GetRuleSet(routing_pb2.GetRuleSetRequest())
    assert (now.rule_set_id, now.version, now.state) == (draft.rule_set_id, 1, routing_pb2.RuleSet.STATE_IN_FORCE)
    await desk.house.router._read_desk()
    assert (await desk.house.pay("later", product_code="TRAVEL")).channel_id == "c2"

    second = await drafted(desk, rule(channels=["c2"]), request_id="r2")
    await published(desk, second, "p2")
    back = await desk.maker.RollBackRuleSet(
        routing_pb2.RollBackRuleSetRequest(request_id="b1", rule_set_id=draft.rule_set_id, reason="too dear")
    )
    await allow(desk, back.proposal.approval_id)
    listed = (await desk.maker.ListRuleSets(routing_pb2.ListRuleSetsRequest())).rule_sets
    assert [(row.version, row.state, row.rule_count, len(row.rules)) for row in listed] == [(2, 3, 1, 0), (1, 2, 1, 0)]
    auditor = await desk.office.stub(audit_pb2_grpc.AuditStub, "AUDITOR", principal="chen")
    trail = await auditor.SearchAudit(audit_pb2.SearchAuditRequest(filter=audit_pb2.AuditFilter(object_kind="rule_set")))
    assert [entry.operation.partition(".")[2] for entry in reversed(trail.entries)] == [
        "CreateRuleSetDraft", "PublishRuleSet", "CreateRuleSetDraft", "PublishRuleSet", "RollBackRuleSet",
    ]  # fmt: skip


async def test_an_approval_is_void_when_the_draft_or_the_rules_in_force_have_moved(desk: Desk) -> None:
    draft = await drafted(desk, rule())
    wish = routing_pb2.PublishRuleSetRequest(request_id="p", rule_set_id=draft.rule_set_id, revision=1)
    waiting = (await desk.maker.PublishRuleSet(wish)).proposal.approval_id
    assert (await desk.maker.PublishRuleSet(wish)).proposal.approval_id == waiting
    update = routing_pb2.UpdateRuleSetDraftRequest(
        request_id="u", rule_set_id=draft.rule_set_id, revision=1, rules=[rule(channels=["c2"])]
    )
    moved = await desk.maker.UpdateRuleSetDraft(update)
    assert moved.revision == 2
    told = await desk.checker.DecideApprovals(
        approvals_pb2.DecideApprovalsRequest(request_id="d", approval_ids=[waiting], decision=1, comment="seen")
    )
    assert told.results[0].approval.state == approvals_pb2.Approval.STATE_VOID
    update.request_id = "u2"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await desk.maker.UpdateRuleSetDraft(update)
    assert caught.value.code() is grpc.StatusCode.ABORTED


async def test_what_is_wrong_is_refused_at_its_place_and_the_running_rules_stay(desk: Desk) -> None:
    draft = await drafted(desk, rule(when="true &&\n payer.age > 3"), rule(rule_id="r2", when="(" * 900, channels=["cash"]))
    found = (await desk.maker.CheckRuleSet(routing_pb2.CheckRuleSetRequest(rule_set_id=draft.rule_set_id))).findings
    assert {(one.rule_id, one.field, one.line, one.column) for one in found} >= {
        ("journeys", "when", 2, 2), ("r2", "channels", 0, 0)}  # fmt: skip
    wish = routing_pb2.PublishRuleSetRequest(request_id="p", rule_set_id=draft.rule_set_id, revision=1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await desk.maker.PublishRuleSet(wish)
    assert "rules[journeys].when" in violations(caught.value) and "line 2, column 2" in violations(caught.value)
    before = await desk.maker.GetRuleSet(routing_pb2.GetRuleSetRequest())
    assert not before.rules
    for bad, field in (
        (rule(when="x" * 200_000), "rules"),
        (rule(effect=0), "rules[journeys].effect"),
        (rule(rule_id=""), "rules[0].rule_id"),
        (rule(limit_per=7), "rules[journeys].limit_per"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await drafted(desk, bad, request_id="bad")
        assert f"'{field}'" in violations(caught.value), bad


async def test_rules_belong_to_their_tenant_and_what_was_published_is_not_changed(desk: Desk) -> None:
    draft = await drafted(desk, rule())
    await published(desk, draft, "p1")
    stranger = await desk.office.stub(routing_pb2_grpc.RoutingStub, "FINANCE_MAKER", tenant_id="life", principal="xu")
    for call in (
        stranger.GetRuleSet(routing_pb2.GetRuleSetRequest(rule_set_id=draft.rule_set_id)),
        stranger.RollBackRuleSet(
            routing_pb2.RollBackRuleSetRequest(request_id="b", rule_set_id=draft.rule_set_id, reason="mine")
        ),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert not (await stranger.ListRuleSets(routing_pb2.ListRuleSetsRequest())).rule_sets
    for statement in ("UPDATE rule_sets SET content = '{}'", "DELETE FROM rule_sets"):
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            desk.house.sql(statement)


async def test_a_span_of_decisions_is_replayed_with_its_progress(desk: Desk) -> None:
    draft = await drafted(desk, rule())
    wish = routing_pb2.ReplayDecisionsRequest(rule_set_id=draft.rule_set_id)
    wish.start_time.FromMilliseconds(1_600_000_000_000)
    told = await replayed(desk, wish)
    assert [part.done for part in told] == [False, True]
    assert told[-1].comparison.text.startswith("moves 10 of 20")
    unchanged = routing_pb2.ReplayDecisionsRequest(order_count=5)
    told = await replayed(desk, unchanged)
    assert told[-1].comparison.text.startswith("moves 0 of 5")


async def test_a_change_that_is_read_before_it_commits_is_read_again(desk: Desk) -> None:
    url = desk.house.database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    changing = psycopg2.connect(url)
    try:
        changing.cursor().execute("UPDATE tenants SET display_name = '新名' WHERE tenant_id = 'pnc'")
        seen = transact(desk.house.database.engine, desk_store.load)
        changing.commit()
        assert seen.version != transact(desk.house.database.engine, desk_store.version)
        again = transact(desk.house.database.engine, desk_store.load)
        assert again.version == transact(desk.house.database.engine, desk_store.version)
        assert again.tenants["pnc"].display_name == "新名"
    finally:
        changing.close()


async def test_limits_hold_in_a_batch_and_are_remembered_by_the_next_router(desk: Desk) -> None:
    cap = rule(rule_id="cap", effect="EFFECT_LIMIT", when="order.product_code == 'AUTO'", limit_bps=3_000)
    await published(desk, await drafted(desk, cap), "p1")
    await desk.house.router._read_desk()
    await desk.house.submit(*[new_payment(f"l-{n}") for n in range(10)])
    await desk.house.submit(*[new_payment(f"l-{n}") for n in range(10)])  # repeats count nothing
    await desk.house.settle()
    assert sum(desk.house.payment(f"l-{n}").channel_id == "c1" for n in range(10)) == 3
    (use,) = desk.house.router._book.dirty()
    assert use[3:5] == (10, 3)
    transact(desk.house.database.engine, lambda connection: store.save_uses(connection, [use]))
    assert transact(desk.house.database.engine, store.load_uses) == [use]


async def test_rules_that_cannot_be_read_leave_the_known_ones_in_force(desk: Desk) -> None:
    known = routing_tables(await desk.office.database.run(desk_store.load))
    desk.house.sql("UPDATE tenants SET routing = '{\"rules\": [{\"rule_id\": \"x\"}]}' WHERE tenant_id = 'pnc'")
    broken = await desk.office.database.run(desk_store.load)
    assert routing_tables(broken, known)["pnc"] is known["pnc"]
    assert "pnc" not in routing_tables(broken)
    assert "life" in routing_tables(broken)
