"""The Tenants service at the edge: real calls on real PostgreSQL, without Ray."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Value
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from domain.permissions import PLATFORM
from protos.paydesk.v1 import (
    approvals_pb2,
    approvals_pb2_grpc,
    channels_pb2,
    channels_pb2_grpc,
    common_pb2,
    tenants_pb2,
    tenants_pb2_grpc,
)
from storage import approval_policies, audit, desk
from tests.integration.office import Office, opened_office

_ids = itertools.count()
OWN_WORD = {"approvers": 0}


def rid() -> str:
    return f"r-{next(_ids)}"


@pytest_asyncio.fixture
async def office(emptied_database_url: str) -> AsyncIterator[Office]:
    """An office in which pnc asks nobody for a second word."""
    async with opened_office(emptied_database_url) as opened:
        for tenant_id in ("pnc", PLATFORM):
            await opened.database.run(approval_policies.install, tenant_id=tenant_id, document=OWN_WORD)
        yield opened


async def admin(office: Office, **who: str) -> Any:
    return await office.stub(tenants_pb2_grpc.TenantsStub, "TENANT_ADMIN", "FINANCE_MAKER", **who)


async def platform(office: Office, kind: Any = tenants_pb2_grpc.TenantsStub) -> Any:
    return await office.stub(kind, "PLATFORM_ADMIN", tenant_id=PLATFORM, principal="root")


async def reason_of(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str, list[str]]:
    """Return the code, reason and fields of a refusal."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    return caught.value.code(), info.reason, [violation.field for violation in bad.field_violations]


async def entries(office: Office, operation: str, tenant_id: str = "pnc") -> list[Any]:
    found = await office.database.run(
        audit.search, tenant_id=tenant_id, wanted=audit.Wanted(operation=operation), limit=50
    )
    return [item.record for item in reversed(found)]


def value(of: Any) -> Value:
    return json_format.ParseDict(of, Value())


def simple_terms(**more: Any) -> tenants_pb2.AccountTerms:
    return tenants_pb2.AccountTerms(
        methods=[common_pb2.METHOD_ALIPAY], max_amount_minor=5_000_000,
        fees=[tenants_pb2.FeeSpan(tiers=[tenants_pb2.FeeTier(rate_bps=60)])], **more,
    )  # fmt: skip


async def test_a_platform_administrator_makes_suspends_and_reopens_a_tenant(office: Office) -> None:
    root = await platform(office)
    made = await root.CreateTenant(
        tenants_pb2.CreateTenantRequest(request_id="t1", tenant_id="auto", display_name="车险")
    )
    again = await root.CreateTenant(
        tenants_pb2.CreateTenantRequest(request_id="t1", tenant_id="auto", display_name="车险")
    )
    assert (made.state, made.version, again) == (tenants_pb2.Tenant.STATE_ACTIVE, 1, made)
    wish = tenants_pb2.UpdateTenantRequest(
        request_id=rid(), tenant_id="auto", version=1, state=tenants_pb2.Tenant.STATE_SUSPENDED, reason="no licence"
    )
    suspended = await root.UpdateTenant(wish)
    assert (suspended.state, suspended.version) == (tenants_pb2.Tenant.STATE_SUSPENDED, 2)
    wish.request_id = rid()
    assert await reason_of(root.UpdateTenant(wish)) == (grpc.StatusCode.ABORTED, "CONFIG_CONFLICT", [])
    (entry,) = await entries(office, "Tenants.UpdateTenant", PLATFORM)
    assert (entry.before["state"], entry.after["state"], entry.reason) == ("ACTIVE", "SUSPENDED", "no licence")
    assert [t.tenant_id for t in (await root.ListTenants(tenants_pb2.ListTenantsRequest(page_size=2))).tenants] == [
        "auto", "life"
    ]  # fmt: skip


async def test_tenants_are_refused_what_is_taken_or_reserved(office: Office) -> None:
    root = await platform(office)
    for tenant_id, reason in (("pnc", "TENANT_EXISTS"), ("platform", "INVALID_FIELD"), ("Pnc", "INVALID_FIELD"),
                              ("pnc-auto", "INVALID_FIELD")):  # its accounts would begin as those of pnc  # fmt: skip
        wish = tenants_pb2.CreateTenantRequest(request_id=rid(), tenant_id=tenant_id, display_name="x")
        assert (await reason_of(root.CreateTenant(wish)))[1] == reason


async def test_nobody_sees_another_tenant(office: Office) -> None:
    viewer = await office.stub(tenants_pb2_grpc.TenantsStub, "VIEWER", "TENANT_ADMIN")
    assert (await viewer.GetTenant(tenants_pb2.GetTenantRequest())).tenant_id == "pnc"
    for tenant_id in ("life", "nobody"):
        refused = await reason_of(viewer.GetTenant(tenants_pb2.GetTenantRequest(tenant_id=tenant_id)))
        assert refused[:2] == (grpc.StatusCode.NOT_FOUND, "TENANT_NOT_FOUND")
    wish = tenants_pb2.GetMerchantAccountRequest(account_id="life_one")
    assert (await reason_of(viewer.GetMerchantAccount(wish)))[1] == "ACCOUNT_NOT_FOUND"
    listed = await viewer.ListMerchantAccounts(tenants_pb2.ListMerchantAccountsRequest())
    assert [account.account_id for account in listed.accounts] == ["pnc_one", "pnc_two"]


async def test_branches_and_products_are_made_moved_and_closed(office: Office) -> None:
    tenants = await admin(office)
    for name, parent in (("sh", ""), ("sh_pudong", "sh")):
        await tenants.CreateInstitution(tenants_pb2.CreateInstitutionRequest(
            request_id=rid(), institution_id=name, parent_id=parent, display_name=name))  # fmt: skip
    circle = tenants_pb2.UpdateInstitutionRequest(
        request_id=rid(), institution_id="sh", version=1, parent_id="sh_pudong"
    )
    assert (await reason_of(tenants.UpdateInstitution(circle)))[1] == "INSTITUTION_CIRCLE"
    moved = await tenants.UpdateInstitution(tenants_pb2.UpdateInstitutionRequest(
        request_id=rid(), institution_id="sh_pudong", version=1, parent_id="", state=tenants_pb2.SALE_STATE_CLOSED))  # fmt: skip
    assert (moved.parent_id, moved.state, moved.version) == ("", tenants_pb2.SALE_STATE_CLOSED, 2)
    wish = tenants_pb2.CreateProductRequest(
        request_id=rid(), product_code="CAR", display_name="Motor", institution_ids=["bj"]
    )
    assert (await reason_of(tenants.CreateProduct(wish)))[2] == ["institution_ids"]
    wish.institution_ids[:], wish.request_id = ["sh"], rid()
    assert (await tenants.CreateProduct(wish)).institution_ids == ["sh"]
    free = tenants_pb2.UpdateProductRequest(
        request_id=rid(), product_code="CAR", version=1, institutions=tenants_pb2.UpdateProductRequest.Institutions()
    )
    assert (await tenants.UpdateProduct(free)).institution_ids == []
    (entry,) = await entries(office, "Tenants.UpdateProduct")
    assert (entry.before["institutions"], entry.after["institutions"]) == (["sh"], [])


async def test_a_fee_is_changed_from_60_to_55_with_both_values_in_one_entry(office: Office) -> None:
    tenants = await admin(office)
    made = await tenants.CreateMerchantAccount(tenants_pb2.CreateMerchantAccountRequest(
        request_id="a1", account_id="pnc-new", channel_id="one", merchant_no="M-9", terms=simple_terms()))  # fmt: skip
    assert (made.proposal.performed, made.account.version, made.account.terms.fees[0].tiers[0].rate_bps) == (
        True,
        1,
        60,
    )
    cheaper = simple_terms()
    cheaper.fees[0].tiers[0].rate_bps = 55
    wish = tenants_pb2.UpdateMerchantAccountRequest(request_id="a2", account_id="pnc-new", version=1, terms=cheaper)
    changed = await tenants.UpdateMerchantAccount(wish)
    assert (changed.account.version, changed.account.terms.fees[0].tiers[0].rate_bps) == (2, 55)
    assert (await tenants.UpdateMerchantAccount(wish)).proposal.object_id == "pnc-new"
    (entry,) = await entries(office, "Tenants.UpdateMerchantAccount")
    assert [side["terms"]["fees"][0]["tiers"][0]["rate_bps"] for side in (entry.before, entry.after)] == [60, 55]
    wish.request_id = rid()
    assert (await reason_of(tenants.UpdateMerchantAccount(wish)))[:2] == (grpc.StatusCode.ABORTED, "CONFIG_CONFLICT")
    listed = await tenants.ListMerchantAccountVersions(
        tenants_pb2.ListMerchantAccountVersionsRequest(account_id="pnc-new", page_size=1)
    )
    older = await tenants.ListMerchantAccountVersions(
        tenants_pb2.ListMerchantAccountVersionsRequest(account_id="pnc-new", page_token=listed.next_page_token)
    )
    assert [item.version for item in (*listed.versions, *older.versions)] == [2, 1]


async def test_an_announced_version_waits_and_a_later_made_one_outdoes_it(office: Office) -> None:
    tenants = await admin(office)
    wish = tenants_pb2.UpdateMerchantAccountRequest(
        request_id=rid(), account_id="pnc_one", version=1, terms=simple_terms()
    )
    wish.valid_from.FromJsonString("2999-01-01T00:00:00+08:00")
    announced = (await tenants.UpdateMerchantAccount(wish)).account
    assert (announced.version, announced.newest_version) == (1, 2)
    later = (await office.database.run(desk.load)).later_accounts
    assert [(row.account_id, row.version) for row in later] == [("pnc_one", 2)]
    at_once = tenants_pb2.UpdateMerchantAccountRequest(
        request_id=rid(), account_id="pnc_one", version=2, terms=simple_terms(day_limit_minor=7)
    )
    assert (await tenants.UpdateMerchantAccount(at_once)).account.terms.day_limit_minor == 7
    assert not (await office.database.run(desk.load)).later_accounts


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"product_codes": ["NOTHING"]}, "terms.product_codes"),
        ({"institution_ids": ["nowhere"]}, "terms.institution_ids"),
        ({"sources": ["x" * 33]}, "terms.sources"),
        ({"day_limit_minor": 2, "month_limit_minor": 1}, "terms.day_limit_minor"),
        ({"channel_terms": {"secret": "s"}}, "terms.channel_terms.secret"),
        ({"min_amount_minor": 6_000_000}, "terms.min_amount_minor"),
    ],
)
async def test_terms_that_make_no_sense_are_refused_with_their_field(
    office: Office, changes: dict[str, Any], field: str
) -> None:
    tenants = await admin(office)
    wish = tenants_pb2.CreateMerchantAccountRequest(
        request_id=rid(), account_id="pnc-new", channel_id="one", merchant_no="M-9", terms=simple_terms()
    )
    json_format.ParseDict(changes, wish.terms)
    assert field in (await reason_of(tenants.CreateMerchantAccount(wish)))[2]
    wish.terms.CopyFrom(simple_terms())
    wish.terms.fees.add().tiers.add()
    assert (await reason_of(tenants.CreateMerchantAccount(wish)))[2] == ["terms.fees[1].valid_from"]


async def test_a_merchant_number_belongs_to_one_tenant_alone_and_whose_it_is_stays_untold(office: Office) -> None:
    tenants = await admin(office)
    wish = tenants_pb2.CreateMerchantAccountRequest(
        request_id=rid(), account_id="pnc-new", channel_id="one", merchant_no="life-one", terms=simple_terms()
    )
    assert (await reason_of(tenants.CreateMerchantAccount(wish)))[1] == "MERCHANT_NO_TAKEN"
    foreign, nobodys = ("life_one", "life_two")
    for wish.account_id in (foreign, nobodys):
        assert (await reason_of(tenants.CreateMerchantAccount(wish)))[1:] == ("INVALID_FIELD", ["account_id"])
    await office.database.run(approval_policies.install, tenant_id="pnc", document={"approvers": 1})
    wish.account_id, wish.request_id = "pnc-new", rid()
    assert (await tenants.CreateMerchantAccount(wish)).proposal.approval_id, "nobody finds out alone"


async def test_where_the_policy_wants_a_second_person_a_change_waits_for_one(office: Office) -> None:
    await office.database.run(approval_policies.install, tenant_id="pnc", document={"approvers": 1})
    tenants = await admin(office)
    asked = await tenants.UpdateMerchantAccount(tenants_pb2.UpdateMerchantAccountRequest(
        request_id=rid(), account_id="pnc_one", version=1, terms=simple_terms(), reason="new contract"))  # fmt: skip
    assert (asked.proposal.performed, asked.account.version) == (False, 1)
    checker = await office.stub(approvals_pb2_grpc.ApprovalsStub, "FINANCE_CHECKER", principal="wang")
    await checker.DecideApprovals(approvals_pb2.DecideApprovalsRequest(request_id=rid(),
        approval_ids=[asked.proposal.approval_id], decision=approvals_pb2.DecideApprovalsRequest.DECISION_APPROVE,
        comment="seen"))  # fmt: skip
    now = await tenants.GetMerchantAccount(tenants_pb2.GetMerchantAccountRequest(account_id="pnc_one"))
    assert (now.version, now.principal) == (2, "zhang")


async def test_settings_are_explained_level_by_level(office: Office) -> None:
    tenants, root = await admin(office), await platform(office)
    auto = tenants_pb2.SettingLevel(product_code="AUTO")
    for stub, level, seconds in ((root, None, 600), (tenants, None, 700), (tenants, auto, 800)):
        await stub.SetSetting(tenants_pb2.SetSettingRequest(
            request_id=rid(), key="order.expire_s", level=level, value=value(seconds)))  # fmt: skip
    asked = tenants_pb2.ExplainConfigRequest(order=auto, key="order.expire_s")
    await office.reread()
    (found,) = (await tenants.ExplainConfig(asked)).resolutions
    assert (found.chosen.value.number_value, found.chosen.level.product_code) == (800, "AUTO")
    assert [item.value.number_value for item in found.passed_over] == [700, 600, 900]
    assert [item.level.all_tenants for item in found.passed_over if item.HasField("level")] == [False, True]
    taken_back = tenants_pb2.SetSettingRequest(request_id=rid(), key="order.expire_s", level=auto, version=1)
    await tenants.SetSetting(taken_back)
    await office.reread()
    (found,) = (await tenants.ExplainConfig(asked)).resolutions
    assert found.chosen.value.number_value == 700
    assert [entry.after["value"] for entry in await entries(office, "Tenants.SetSetting")] == [700, 800, None]
    other = await admin(office, tenant_id="life", principal="li")
    (found,) = (await other.ExplainConfig(asked)).resolutions
    assert (found.chosen.value.number_value, len(found.passed_over)) == (600, 1)
    assert len((await tenants.ExplainConfig(tenants_pb2.ExplainConfigRequest())).resolutions) > 5


async def test_settings_that_are_none_or_stale_are_refused(office: Office) -> None:
    tenants = await admin(office)

    async def refused(**fields: Any) -> str:
        return (await reason_of(tenants.SetSetting(tenants_pb2.SetSettingRequest(request_id=rid(), **fields))))[1]

    assert await refused(key="nothing", value=value(1)) == "INVALID_FIELD"
    assert await refused(key="order.expire_s", value=value("soon")) == "INVALID_FIELD"
    assert await refused(key="order.expire_s", value=value(90), version=3) == "CONFIG_CONFLICT"
    nowhere = tenants_pb2.SettingLevel(institution_id="nowhere")
    assert await refused(key="order.expire_s", value=value(90), level=nowhere) == "INVALID_FIELD"


async def test_of_two_changes_at_once_one_is_made(office: Office) -> None:
    tenants = await admin(office)
    wishes = [
        tenants_pb2.SetSettingRequest(request_id=rid(), key="order.expire_s", value=value(100 + n)) for n in range(6)
    ]
    answers = await asyncio.gather(*(tenants.SetSetting(wish) for wish in wishes), return_exceptions=True)
    assert [isinstance(answer, BaseException) for answer in answers].count(False) == 1


async def test_a_channel_is_made_and_changed_by_the_platform_alone(office: Office) -> None:
    root = await platform(office, channels_pb2_grpc.ChannelsStub)
    wish = channels_pb2.CreateChannelRequest(request_id=rid(), channel_id="three", display_name="Three", kind="sandbox")
    assert (await root.CreateChannel(wish)).version == 1
    named = channels_pb2.UpdateChannelRequest(request_id=rid(), channel_id="three", version=1, display_name="Drei")
    assert (await root.UpdateChannel(named)).display_name == "Drei"
    named.request_id = rid()
    assert (await reason_of(root.UpdateChannel(named)))[1] == "CONFIG_CONFLICT"
    wish.channel_id, wish.kind, wish.request_id = "four", "carrier_pigeon", rid()
    assert (await reason_of(root.CreateChannel(wish)))[2] == ["kind"]
    wish.kind = "unionpay"
    assert (await reason_of(root.CreateChannel(wish)))[2] == ["settings.front_url"]
    wish.kind = "sandbox"
    for limits, place in (({"patience": 1}, ""), ([], ""), ({"not_found_patience_s": "long"}, ".not_found_patience_s"),
                          ({"timeout_s": -1}, ".timeout_s")):  # fmt: skip
        json_format.ParseDict({"limits": limits}, wish.settings)
        assert (await reason_of(root.CreateChannel(wish)))[2] == [f"settings.limits{place}"]
    mine = await office.stub(channels_pb2_grpc.ChannelsStub, "TENANT_ADMIN", "CHANNEL_ADMIN")
    assert (await reason_of(mine.CreateChannel(wish)))[0] is grpc.StatusCode.PERMISSION_DENIED
    assert [entry.after["display_name"] for entry in await entries(office, "Channels.UpdateChannel", PLATFORM)] == [
        "Drei"
    ]
