"""Calls with everything that is another tenant's: nothing shows that it exists. And a fuzzer that finds what does show."""

import json
from typing import Any, cast

import grpc
import pytest

from ops.call import methods
from ops.fuzz import Fuzzer, Report, _Answer
from protos.paydesk.v1 import audit_pb2, identity_pb2, identity_pb2_grpc
from servers import principals
from servers.identity import key_fingerprint
from storage import approval_policies
from storage.database import transact
from tests.integration.office import Office, opened_office
from tests.integration.outbox import add_event

CALLS = 2_000
# What waits for routers and connectors, which an office does not have.
WITHOUT = frozenset({
    "Payments/CreatePayment", "Payments/BatchCreatePayments", "Payments/SyncPayment", "Payments/ClosePayment",
    "Channels/ListChannels", "Routing/DryRunRoute",
})  # fmt: skip
ADMIN = ("TENANT_ADMIN", "PARTNER_API", "OPS", "FINANCE_MAKER", "FINANCE_CHECKER", "CHANNEL_ADMIN", "AUDITOR", "SRE", "RISK")


async def fuzzed(office: Office, calls: int, seed: int = 1) -> Report:
    """Fill two tenants with things, and fuzz one with what is the other's."""
    keys = {}
    for tenant_id in ("pnc", "life"):
        await office.database.run(approval_policies.install, tenant_id=tenant_id, document={"approvers": 0})
        admin = await office.stub(identity_pb2_grpc.IdentityStub, *ADMIN, tenant_id=tenant_id, principal=f"admin-of-{tenant_id}")
        keys[tenant_id] = office.metadata(admin)[0][1].removeprefix("Bearer ")
        for number in range(20):
            name = f"clerk-{tenant_id}-{number:04d}"
            await admin.CreatePrincipal(identity_pb2.CreatePrincipalRequest(
                request_id=f"made-{name}", principal_id=name, kind=identity_pb2.Principal.KIND_PERSON))  # fmt: skip
            await admin.CreateApiKey(identity_pb2.CreateApiKeyRequest(
                request_id=f"key-{name}", principal_id=name, key_sha256=key_fingerprint(name)))  # fmt: skip
        await office.database.run(approval_policies.install, tenant_id=tenant_id, document={"approvers": 1})
        for number in range(20):
            name = f"clerk-{tenant_id}-{number:04d}"
            await admin.GrantRole(identity_pb2.GrantRoleRequest(request_id=f"grant-{name}", principal_id=name, role="VIEWER"))

    def fill(connection: Any) -> None:
        for tenant_id in keys:
            for number in range(30):
                add_event(connection, tenant_id, f"pay_01K{tenant_id.upper()}{number:017d}")

    transact(office.database.engine, fill)
    async with grpc.aio.insecure_channel(office.target) as channel:
        return await Fuzzer(channel, mine=keys["pnc"], theirs=keys["life"], seed=seed, without=WITHOUT).run(calls)


async def test_nothing_shows_that_what_is_another_tenants_exists(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        report = await fuzzed(office, CALLS)
    assert report.calls >= CALLS and report.foreign_values > 100
    assert report.answers["NOT_FOUND"] > CALLS / 50 and report.answers["OK"] > CALLS / 20
    assert report.leaks == []
    assert report.hints == []


@pytest.mark.parametrize(
    ("principal", "after", "leaks"),
    [
        ("me", {"asked": '{"principal_id": "clerk-of-theirs"}'}, 0),  # its own question, quoted
        ("somebody", {"asked": '{"principal_id": "clerk-of-theirs"}'}, 1),
        ("me", {"note": "clerk-of-theirs"}, 1),  # of what it did, the trail says more than what it sent
    ],
)
def test_the_trail_quotes_a_callers_own_questions_and_nothing_else_of_others(
    principal: str, after: dict[str, str], leaks: int
) -> None:
    fuzzer = Fuzzer(cast("Any", None), mine="", theirs="", seed=1)
    fuzzer._me, fuzzer._markers = "me", {"clerk-of-theirs"}
    method = next(method for method in methods() if method.short_name == "Audit/SearchAudit")
    entry = audit_pb2.AuditEntry(principal=principal, after_json=json.dumps(after))
    for shown in (method.response(entries=[entry]), method.response(entries=[audit_pb2.AuditEntry(), entry])):
        fuzzer.report.leaks.clear()
        fuzzer._look_for_leaks(method, method.request(), _Answer(grpc.StatusCode.OK, shown.SerializeToString()))
        assert len(fuzzer.report.leaks) == leaks


async def test_the_fuzzer_finds_a_hint(emptied_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With keys looked up in all tenants, revoking one of another tenant is refused in other words than one of nobody."""
    real = principals.store.list_keys

    def careless(connection: Any, *, tenant_id: str, key_id: str = "", **more: Any) -> Any:
        tenants = ("pnc", "life") if key_id else (tenant_id,)
        return [key for one in tenants for key in real(connection, tenant_id=one, key_id=key_id, **more)]

    monkeypatch.setattr(principals.store, "list_keys", careless)
    async with opened_office(emptied_database_url, walled=False) as office:
        report = await fuzzed(office, CALLS)
    assert not report.holds
