"""Who is bound to some products or branches pays for those and sees those; the rest is as if it were not there."""

from typing import Any

import grpc
import pytest

from domain.permissions import Grant, Reach, Role
from protos.paydesk.v1 import (
    approvals_pb2,
    approvals_pb2_grpc,
    common_pb2,
    credentials_pb2,
    credentials_pb2_grpc,
    events_pb2,
    events_pb2_grpc,
    payments_pb2,
    payments_pb2_grpc,
    routing_pb2,
    routing_pb2_grpc,
)
from servers.identity import key_digest, key_fingerprint, new_key
from storage import identity as store
from storage.database import transact
from tests.integration.office import PEPPER, Office, opened_office, reason_of
from tests.integration.outbox import add_event

MINE, OTHER_PRODUCT, OTHER_BRANCH, BELOW = "pay_MINE", "pay_TRAVEL", "pay_BEIJING", "pay_PUDONG"


async def bound_key(office: Office, *reaches: Reach, role: Role = Role.PARTNER_API) -> str:
    """Payments of both products and three branches, and a key of somebody who is bound to some of them."""
    text = new_key()

    def work(connection: Any) -> None:
        for institution_id, parent_id in (("shanghai", None), ("pudong", "shanghai"), ("beijing", None)):
            connection.exec_driver_sql(
                "INSERT INTO institutions (tenant_id, institution_id, parent_id, display_name) VALUES ('pnc', %s, %s, 'x')",
                (institution_id, parent_id),
            )
        for payment_id, product_code, institution_id in (
            (MINE, "AUTO", "shanghai"), (OTHER_PRODUCT, "TRAVEL", "shanghai"), (OTHER_BRANCH, "AUTO", "beijing"), (BELOW, "AUTO", "pudong"),
        ):  # fmt: skip
            add_event(connection, "pnc", payment_id, product_code=product_code, institution_id=institution_id)
        store.add_principal(connection, tenant_id="pnc", principal_id="partner", kind="SYSTEM")
        for reach in reaches:
            store.add_grant(
                connection, tenant_id="pnc", principal_id="partner", grant=Grant(role, reach), granted_by="an"
            )
        store.add_key(
            connection, key_digest=key_digest(PEPPER, key_fingerprint(text)), key_id="key_p", tenant_id="pnc", principal="partner", roles=None
        )

    transact(office.database.engine, work)
    return text


SHANGHAI_AUTO = Reach(frozenset({"shanghai"}), frozenset({"AUTO"}))


async def test_lists_hold_what_is_in_reach(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        key = await bound_key(office, SHANGHAI_AUTO)
        payments = await office.stub_with(payments_pb2_grpc.PaymentsStub, key)
        listed = (await payments.ListPayments(payments_pb2.ListPaymentsRequest())).payments
        assert {payment.payment_id for payment in listed} == {MINE, BELOW}, "a branch reaches all below it"
        assert not (await payments.ListPayments(payments_pb2.ListPaymentsRequest(order_no=f"o-{OTHER_BRANCH}"))).payments
        events = await office.stub_with(events_pb2_grpc.EventsStub, key)
        deliveries = (await events.ListDeliveries(events_pb2.ListDeliveriesRequest())).deliveries
        assert {delivery.payment_id for delivery in deliveries} == {MINE, BELOW}
        stream = events.Subscribe(events_pb2.SubscribeRequest(), metadata=(("authorization", f"Bearer {key}"),), timeout=3)
        told = [(await stream.read()).payment.payment_id for _ in range(2)]
        assert told == [MINE, BELOW]
        stream.cancel()


async def test_reaches_add_up(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        travel = Reach(products=frozenset({"TRAVEL"}))
        payments = await office.stub_with(payments_pb2_grpc.PaymentsStub, await bound_key(office, SHANGHAI_AUTO, travel))
        listed = (await payments.ListPayments(payments_pb2.ListPaymentsRequest())).payments
        assert {payment.payment_id for payment in listed} == {MINE, BELOW, OTHER_PRODUCT}


@pytest.mark.parametrize("payment_id", [OTHER_PRODUCT, OTHER_BRANCH, "pay_NOTHING"])
async def test_what_is_out_of_reach_is_as_if_it_were_not_there(emptied_database_url: str, payment_id: str) -> None:
    async with opened_office(emptied_database_url) as office:
        key = await bound_key(office, SHANGHAI_AUTO)
        payments = await office.stub_with(payments_pb2_grpc.PaymentsStub, key)
        routing = await office.stub_with(routing_pb2_grpc.RoutingStub, key)
        events = await office.stub_with(events_pb2_grpc.EventsStub, key)
        event_id = f"evt_{payment_id.removeprefix('pay_')}_2"
        for call, reason in (
            (payments.GetPayment(payments_pb2.GetPaymentRequest(payment_id=payment_id)), "PAYMENT_NOT_FOUND"),
            (payments.GetPayment(payments_pb2.GetPaymentRequest(request_id=f"r-{payment_id}")), "PAYMENT_NOT_FOUND"),
            (payments.GetPaymentTimeline(payments_pb2.GetPaymentTimelineRequest(payment_id=payment_id)), "PAYMENT_NOT_FOUND"),
            (payments.ClosePayment(payments_pb2.ClosePaymentRequest(request_id="1", payment_id=payment_id)), "PAYMENT_NOT_FOUND"),
            (payments.SyncPayment(payments_pb2.SyncPaymentRequest(request_id="2", payment_id=payment_id)), "PAYMENT_NOT_FOUND"),
            (routing.ExplainRoute(routing_pb2.ExplainRouteRequest(payment_id=payment_id)), "ATTEMPT_NOT_FOUND"),
            (events.ResendEvent(events_pb2.ResendEventRequest(request_id="3", event_id=event_id)), "EVENT_NOT_FOUND"),
        ):  # fmt: skip
            assert await reason_of(call) == reason
        assert await reason_of(payments.GetPayment(payments_pb2.GetPaymentRequest(payment_id=MINE))) == "OK"


async def test_nothing_is_paid_for_another_product_or_branch(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        payments = await office.stub_with(payments_pb2_grpc.PaymentsStub, await bound_key(office, SHANGHAI_AUTO))

        def order(product_code: str, institution_id: str) -> payments_pb2.CreatePaymentRequest:
            return payments_pb2.CreatePaymentRequest(
                request_id=f"{product_code}-{institution_id}", order_no="A-1", product_code=product_code,
                institution_id=institution_id, amount=common_pb2.Money(amount_minor=1800, currency_code="CNY"), subject="车险",
            )  # fmt: skip

        for other in (order("TRAVEL", "shanghai"), order("AUTO", "beijing"), order("AUTO", "")):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await payments.CreatePayment(other)
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            assert await reason_of(payments.CreatePayment(other)) == "PRODUCT_NOT_BOUND"
        batch = payments_pb2.BatchCreatePaymentsRequest(requests=[order("TRAVEL", "shanghai"), order("AUTO", "pudong")])
        results = (await payments.BatchCreatePayments(batch)).results
        assert "do not reach" in results[0].refusal.message
        assert "do not reach" not in results[1].refusal.message  # there is no router here to take it


async def test_a_role_for_one_branch_decides_about_nothing_that_concerns_the_others(emptied_database_url: str) -> None:
    """Nor does it lend its word to another role of the same principal that reaches everywhere."""
    async with opened_office(emptied_database_url) as office:
        maker = await office.stub(credentials_pb2_grpc.CredentialsStub, "CHANNEL_ADMIN", principal="maker")
        await maker.AddCredentials(credentials_pb2.AddCredentialsRequest(
            request_id="a", account_id="pnc_one", values={"secret": "another secret of one"}))  # fmt: skip
        waiting = (await maker.ActivateCredentials(
            credentials_pb2.ActivateCredentialsRequest(request_id="b", account_id="pnc_one", version=2))
        ).proposal.approval_id  # fmt: skip
        assert waiting
        decide = approvals_pb2.DecideApprovalsRequest(request_id="c", approval_ids=[waiting], decision=1, comment="seen")
        key = await bound_key(office, SHANGHAI_AUTO, role=Role.TENANT_ADMIN)
        approvals = await office.stub_with(approvals_pb2_grpc.ApprovalsStub, key)
        assert await reason_of(approvals.DecideApprovals(decide)) == "REACH_TOO_NARROW"
        for proposer in ("", "maker"):
            listed = approvals_pb2.ListApprovalsRequest(filter=approvals_pb2.ApprovalFilter(proposer=proposer))
            assert not (await approvals.ListApprovals(listed)).approvals
        assert await reason_of(approvals.GetApproval(approvals_pb2.GetApprovalRequest(approval_id=waiting))) == "APPROVAL_NOT_FOUND"
        await office.database.run(
            store.add_grant, tenant_id="pnc", principal_id="partner", grant=Grant(Role.SRE), granted_by="an"
        )
        await office.reread()
        (result,) = (await approvals.DecideApprovals(decide)).results
        assert "needs one of" in result.refusal.message and not result.HasField("approval")
