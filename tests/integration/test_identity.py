"""People, systems, grants, keys and certificates over real gRPC: what is given counts at once, what is taken away too."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection

from domain.permissions import Grant, Role
from protos.paydesk.v1 import (
    approvals_pb2,
    approvals_pb2_grpc,
    events_pb2,
    events_pb2_grpc,
    identity_pb2,
    identity_pb2_grpc,
    payments_pb2,
    payments_pb2_grpc,
)
from servers import certificates
from servers.identity import key_fingerprint, new_key
from servers.tls import Files
from storage import approval_policies, audit
from storage import identity as store
from storage.database import transact
from tests.authority import Authority
from tests.integration.office import Office, opened_office, reason_of

Kind = identity_pb2.Principal.Kind
Stub = identity_pb2_grpc.IdentityStub
APPROVE = approvals_pb2.DecideApprovalsRequest.DECISION_APPROVE


def nobody_is_asked(office: Office) -> None:
    """Have the tenants' policies let sensitive acts be done at once."""
    def work(connection: Connection) -> None:
        for tenant_id in ("pnc", "life", "platform"):
            approval_policies.install(connection, tenant_id=tenant_id, document={"approvers": 0})

    transact(office.database.engine, work)


async def made(admin: Any, principal_id: str, *roles: str, reach: identity_pb2.Reach | None = None) -> None:
    await admin.CreatePrincipal(identity_pb2.CreatePrincipalRequest(
        request_id=f"new-{principal_id}", principal_id=principal_id, kind=Kind.KIND_PERSON, display_name="王五"))  # fmt: skip
    for role in roles:
        await admin.GrantRole(identity_pb2.GrantRoleRequest(
            request_id=f"grant-{principal_id}-{role}", principal_id=principal_id, role=role, reach=reach, reason="入职"))  # fmt: skip


class Made(NamedTuple):
    """A key that its owner has made, and what was answered to whoever asked for it to count."""

    text: str
    told: identity_pb2.CreateApiKeyResponse


async def key_of(admin: Any, principal_id: str, number: int = 1, *, text: str = "", **more: Any) -> Made:
    text = text or new_key()
    told = await admin.CreateApiKey(identity_pb2.CreateApiKeyRequest(
        request_id=f"key-{principal_id}-{number}", principal_id=principal_id, key_sha256=key_fingerprint(text), **more
    ))  # fmt: skip
    return Made(text, told)


async def list_payments(office: Office, key_text: str) -> str:
    stub = await office.stub_with(payments_pb2_grpc.PaymentsStub, key_text)
    return await reason_of(stub.ListPayments(payments_pb2.ListPaymentsRequest()))


async def test_a_person_is_made_granted_and_given_a_key(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        nobody_is_asked(office)
        admin = await office.stub(Stub, "TENANT_ADMIN", principal="an")
        await made(admin, "wang")
        first = await key_of(admin, "wang")
        assert await list_payments(office, first.text) == "ROLE_MISSING"
        await made_grant(admin, "wang", "VIEWER")
        assert await list_payments(office, first.text) == "OK"
        again = await key_of(admin, "wang", text=first.text)
        assert again.told.key.key_id == first.told.key.key_id
        assert await reason_of(key_of(admin, "wang", 2, text=first.text)) == "KEY_TAKEN"
        own = identity_pb2.CreateApiKeyRequest(request_id="own", principal_id="an")
        shown, shown_again = await admin.CreateApiKey(own), await admin.CreateApiKey(own)
        assert shown.key.key_id == shown_again.key.key_id and not shown_again.key_text, "a key is shown once"
        assert await list_payments(office, shown.key_text) == "ROLE_MISSING"
        mine = await office.stub_with(Stub, first.text)
        told = await mine.WhoAmI(identity_pb2.WhoAmIRequest())
        assert (told.tenant_id, told.principal_id, list(told.roles)) == ("pnc", "wang", ["VIEWER"])
        permissions = await admin.ListPermissions(identity_pb2.ListPermissionsRequest(principal_id="wang"))
        methods = {item.method for item in permissions.permissions}
        assert "Payments/GetPayment" in methods and "Payments/CreatePayment" not in methods
        await office.database.run(store.note_uses, office.view._keys.take_uses())
        keys = (await admin.ListApiKeys(identity_pb2.ListApiKeysRequest(principal_id="wang"))).keys
        assert keys[0].last_use_time.ToMilliseconds() > time.time() * 1000 - 60_000
        entries = await office.database.run(audit.search, tenant_id="pnc", wanted=audit.Wanted(principal="an"), limit=50)
        assert {"Identity.CreatePrincipal", "Identity.GrantRole", "Identity.CreateApiKey"} <= {e.record.operation for e in entries}
        assert not [e for e in entries if first.text in str(e.record)]


async def made_grant(admin: Any, principal_id: str, role: str, **more: Any) -> identity_pb2.GrantRoleResponse:
    request = identity_pb2.GrantRoleRequest(request_id=f"g-{principal_id}-{role}", principal_id=principal_id, role=role, **more)
    return await admin.GrantRole(request)  # type: ignore[no-any-return]


async def test_a_grant_waits_for_a_second_person_where_the_policy_asks_for_one(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        admin = await office.stub(Stub, "TENANT_ADMIN", principal="an")
        await made(admin, "wang")
        told = await made_grant(admin, "wang", "FINANCE_CHECKER")
        assert told.approval_id and not told.performed
        assert not (await admin.GetPrincipal(identity_pb2.GetPrincipalRequest(principal_id="wang"))).grants
        second = await office.stub(approvals_pb2_grpc.ApprovalsStub, "TENANT_ADMIN", principal="bo")
        decided = await second.DecideApprovals(approvals_pb2.DecideApprovalsRequest(
            request_id="d1", approval_ids=[told.approval_id], decision=APPROVE, comment="看过"))  # fmt: skip
        assert decided.results[0].approval.state == approvals_pb2.Approval.STATE_PERFORMED
        grants = (await admin.GetPrincipal(identity_pb2.GetPrincipalRequest(principal_id="wang"))).grants
        assert [(grant.role, grant.granted_by) for grant in grants] == [("FINANCE_CHECKER", "an")]


async def test_two_principals_of_one_person_do_not_check_each_other(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        for principal in ("maker", "checker"):
            await office.database.run(store.add_principal, tenant_id="pnc", principal_id=principal, kind="PERSON", person_id="1024")
        maker = await office.stub(Stub, "TENANT_ADMIN", principal="maker")
        await made(maker, "wang")
        told = await made_grant(maker, "wang", "OPS")
        checker = await office.stub(approvals_pb2_grpc.ApprovalsStub, "FINANCE_CHECKER", principal="checker")
        decided = await checker.DecideApprovals(approvals_pb2.DecideApprovalsRequest(
            request_id="d1", approval_ids=[told.approval_id], decision=APPROVE, comment="看过"))  # fmt: skip
        assert "who proposes" in decided.results[0].refusal.message


async def test_a_key_that_no_longer_counts_is_told_why(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        nobody_is_asked(office)
        admin = await office.stub(Stub, "TENANT_ADMIN", principal="an")
        await made(admin, "wang", "VIEWER")
        revoked, kept = await key_of(admin, "wang", 2), await key_of(admin, "wang", 3)
        narrow = (await key_of(admin, "wang", 4, roles=["OPS"])).text
        assert await list_payments(office, narrow) == "ROLE_MISSING", "the key may do less than its principal"
        soon = Timestamp()
        soon.FromMilliseconds(time.time_ns() // 1_000_000 + 1_000)
        short = (await key_of(admin, "wang", 1, expire_time=soon)).text
        assert await list_payments(office, short) == "OK"
        request = identity_pb2.RevokeApiKeyRequest(request_id="r1", key_id=revoked.told.key.key_id, reason="泄露")
        assert (await admin.RevokeApiKey(request)).HasField("revoke_time")
        assert await admin.RevokeApiKey(request) == await admin.RevokeApiKey(request), "a repeat changes nothing"
        assert await list_payments(office, revoked.text) == "KEY_REVOKED"
        await asyncio.sleep(max(0, soon.ToMilliseconds() / 1_000 + 0.01 - time.time()))
        assert await list_payments(office, short) == "KEY_EXPIRED"
        assert await list_payments(office, kept.text) == "OK"
        await admin.DisablePrincipal(identity_pb2.DisablePrincipalRequest(request_id="d", principal_id="wang", reason="离职"))
        assert await list_payments(office, kept.text) == "PRINCIPAL_DISABLED"
        assert await reason_of(key_of(admin, "wang", 9)) == "PRINCIPAL_GONE"
        assert await list_payments(office, "pdk_nobody") == "KEY_UNKNOWN"


async def test_a_revoked_key_is_refused_within_a_second(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        following = asyncio.create_task(office.view.follow())
        viewer = await office.stub(payments_pb2_grpc.PaymentsStub, "VIEWER")
        assert await reason_of(viewer.ListPayments(payments_pb2.ListPaymentsRequest())) == "OK"
        events = await office.stub(events_pb2_grpc.EventsStub, "VIEWER")
        stream = events.Subscribe(events_pb2.SubscribeRequest(), metadata=office.metadata(events))
        reading = asyncio.create_task(stream.read())
        await asyncio.sleep(0.2)
        await office.database.run(store.revoke_key, tenant_id="pnc", key_id="key_0")
        began_s = time.monotonic()
        while await reason_of(viewer.ListPayments(payments_pb2.ListPaymentsRequest())) == "OK":
            await asyncio.sleep(0.02)
        assert time.monotonic() - began_s < 1.0
        assert await reason_of(asyncio.wait_for(reading, 2)) == "KEY_REVOKED", "a stream that was open already ends too"
        following.cancel()


async def test_a_desk_that_could_not_be_read_once_is_read_again(
    emptied_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened_office(emptied_database_url) as office:
        reads = iter([LookupError("nobody expects this")])
        read = office.view._read

        async def odd_at_first() -> None:
            for error in reads:
                raise error
            await read()

        monkeypatch.setattr(office.view, "_read", odd_at_first)
        monkeypatch.setattr("servers.desk.POLL_S", 0.05)
        following = asyncio.create_task(office.view.follow())
        seen = office.view.desk.version
        await office.database.run(lambda connection: connection.exec_driver_sql("UPDATE channels SET display_name = '新'"))
        async with asyncio.timeout(3.0):
            while office.view.desk.version == seen:
                await asyncio.sleep(0.02)
        following.cancel()


async def test_nobody_gives_or_takes_beyond_what_they_hold(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        nobody_is_asked(office)
        admin = await office.stub(Stub, "TENANT_ADMIN", principal="an")
        auto = identity_pb2.Reach(product_codes=["AUTO"])
        await made(admin, "branch", "TENANT_ADMIN", reach=auto)
        await made(admin, "wang", "VIEWER")
        branch = await office.stub_with(Stub, (await key_of(admin, "branch")).text)
        assert await reason_of(made_grant(branch, "wang", "OPS")) == "GRANT_BEYOND_OWN"
        assert await reason_of(made_grant(branch, "wang", "OPS", reach=auto)) == "OK"
        assert await reason_of(key_of(branch, "an")) == "GRANT_BEYOND_OWN", "a key for somebody is being somebody"
        assert await reason_of(key_of(branch, "wang")) == "GRANT_BEYOND_OWN"
        assert await reason_of(branch.DisablePrincipal(
            identity_pb2.DisablePrincipalRequest(request_id="d", principal_id="an"))) == "GRANT_BEYOND_OWN"  # fmt: skip
        assert await reason_of(made_grant(admin, "wang", "PLATFORM_ADMIN")) == "INVALID_FIELD"
        assert await reason_of(made_grant(admin, "wang", "KING")) == "INVALID_FIELD"
        wrong = identity_pb2.Reach(product_codes=["YACHT"])
        assert await reason_of(made_grant(admin, "wang", "SRE", reach=wrong)) == "INVALID_FIELD"
        viewer = await office.stub(Stub, "VIEWER", principal="li")
        assert await reason_of(made_grant(viewer, "li", "OPS")) == "ROLE_MISSING"


async def test_the_last_administrator_stays(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        nobody_is_asked(office)
        an = await office.stub(Stub, "TENANT_ADMIN", principal="an")
        bo = await office.stub(Stub, "TENANT_ADMIN", principal="bo")

        async def grant_of(principal_id: str) -> str:
            found = await an.GetPrincipal(identity_pb2.GetPrincipalRequest(principal_id=principal_id))
            return str(found.grants[0].grant_id)

        an_grant, bo_grant = await grant_of("an"), await grant_of("bo")
        # Each removes the other at the same moment: one of them stays.
        answers = await asyncio.gather(
            reason_of(an.RevokeRole(identity_pb2.RevokeRoleRequest(request_id="1", grant_id=bo_grant))),
            reason_of(bo.DisablePrincipal(identity_pb2.DisablePrincipalRequest(request_id="2", principal_id="an"))),
        )
        assert sorted(answers).count("OK") == 1, answers
        left = an if answers[0] == "OK" else bo
        mine = an_grant if answers[0] == "OK" else bo_grant
        assert await reason_of(left.RevokeRole(
            identity_pb2.RevokeRoleRequest(request_id="3", grant_id=mine))) == "LAST_ADMINISTRATOR"  # fmt: skip


async def test_the_platform_and_the_tenants_are_apart(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        nobody_is_asked(office)
        platform = await office.stub(Stub, "PLATFORM_ADMIN", tenant_id="platform", principal="root")
        await made(platform, "deputy", "PLATFORM_ADMIN")
        assert await reason_of(made_grant(platform, "deputy", "OPS")) == "INVALID_FIELD"
        listed = await platform.ListPrincipals(identity_pb2.ListPrincipalsRequest())
        assert {item.principal_id for item in listed.principals} == {"root", "deputy"}
        payments = await office.stub(payments_pb2_grpc.PaymentsStub, "PLATFORM_ADMIN", tenant_id="platform", principal="root")
        assert await reason_of(payments.ListPayments(payments_pb2.ListPaymentsRequest())) == "ROLE_MISSING"
        with pytest.raises(Exception, match="platform_roles_are_apart"):
            await office.database.run(
                store.add_grant, tenant_id="pnc", principal_id="zhang", grant=Grant(Role.PLATFORM_ADMIN), granted_by="x"
            )


async def test_what_is_another_tenants_is_as_if_it_were_not_there(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        nobody_is_asked(office)
        theirs = await office.stub(Stub, "TENANT_ADMIN", tenant_id="life", principal="liu")
        await made(theirs, "secret-clerk", "VIEWER")
        key = (await key_of(theirs, "secret-clerk")).told.key
        grant = (await theirs.GetPrincipal(identity_pb2.GetPrincipalRequest(principal_id="secret-clerk"))).grants[0]
        bound = store.Binding("crt_1", "secret-clerk", "SAN", "a.life.example", 2_000_000_000_000, 0)
        await office.database.run(store.bind, tenant_id="life", binding=bound)
        mine = await office.stub(Stub, "TENANT_ADMIN", principal="an")
        for there, not_there, field, method in (
            ("secret-clerk", "secret-nobod", "principal_id", "GetPrincipal"),
            ("secret-clerk", "secret-nobod", "principal_id", "ListPermissions"),
            ("secret-clerk", "secret-nobod", "principal_id", "DisablePrincipal"),
            ("secret-clerk", "secret-nobod", "principal_id", "CreateApiKey"),
            (key.key_id, "key_000000000000", "key_id", "RevokeApiKey"),
            (grant.grant_id, "grt_00000000000000000000000000", "grant_id", "RevokeRole"),
            (bound.binding_id, "crt_00000000000000000000000000", "binding_id", "UnbindCertificate"),
        ):  # fmt: skip
            kind = getattr(identity_pb2, f"{method}Request")
            answers = []
            for value in (there, not_there):
                request = kind(**{field: value})
                if "request_id" in kind.DESCRIPTOR.fields_by_name:
                    request.request_id = f"x-{value}"
                with pytest.raises(Exception) as caught:
                    await getattr(mine, method)(request)
                answers.append((caught.value.code(), caught.value.details().replace(value, "…")))
            assert answers[0] == answers[1], method
        assert not [p for p in (await mine.ListPrincipals(identity_pb2.ListPrincipalsRequest())).principals
                    if p.principal_id == "secret-clerk"]  # fmt: skip


Ask = Callable[..., Awaitable[identity_pb2.CertificateBinding]]


def binder(stub: Any, tenant_id: str, principal_id: str) -> Ask:
    """Return how one asks for a certificate to be bound, with the proof of its own key unless told otherwise."""

    def bind(request_id: str, pair: tuple[Path, Path], **more: Any) -> Any:
        pem = pair[0].read_text()
        proof = certificates.prove(pem, pair[1].read_bytes(), tenant_id=tenant_id, principal_id=principal_id)
        usual = {"principal_id": principal_id, "certificate_pem": pem, "proof": proof} | more
        return stub.BindCertificate(identity_pb2.BindCertificateRequest(request_id=request_id, **usual))

    return bind


async def test_a_certificate_is_bound_for_whoever_has_its_key_and_speaks_for_one_principal(
    emptied_database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    authority, home_made = Authority(tmp_path), Authority(tmp_path / "home")
    pair = authority.issue("orders.pnc.example")
    name = {"subject_alternative_name": "orders.pnc.example"}
    async with opened_office(emptied_database_url, tls=Files(*authority.issue("localhost"), authority.file)) as office:
        nobody_is_asked(office)
        admin = await office.stub(Stub, "TENANT_ADMIN", principal="an")
        liu = await office.stub(Stub, "TENANT_ADMIN", tenant_id="life", principal="liu")
        await made(admin, "orders")
        bind, theirs = binder(admin, "pnc", "orders"), binder(liu, "life", "liu")
        stolen = certificates.prove(pair[0].read_text(), pair[1].read_bytes(), tenant_id="pnc", principal_id="orders")
        assert await reason_of(theirs("0", pair, proof=stolen, **name)) == "INVALID_FIELD", "a certificate is no secret"
        assert await reason_of(theirs("0", home_made.issue("orders.pnc.example"), **name)) == "INVALID_FIELD"
        bound = await bind("1", pair, **name)
        assert (bound.binding_id, bound.proposal.performed) == ((await bind("1", pair, **name)).binding_id, True)
        assert await reason_of(bind("2", pair, **name)) == "CERTIFICATE_TAKEN"
        assert await reason_of(bind("3", pair, subject_alternative_name="other.example")) == "INVALID_FIELD"
        assert await reason_of(bind("4", pair, certificate_pem="no certificate")) == "INVALID_FIELD"
        assert await reason_of(bind("5", authority.issue("x.example", days=-1))) == "INVALID_FIELD"
        assert await reason_of(bind("6", authority.issue("x.example"), proof=b"")) == "INVALID_FIELD"
        assert await reason_of(theirs("1", pair, **name)) == "CERTIFICATE_TAKEN"
        after = await admin.UnbindCertificate(identity_pb2.UnbindCertificateRequest(request_id="u", binding_id=bound.binding_id))
        assert not after.certificates
        assert await reason_of(bind("7", pair, **name)) == "OK"


async def test_an_administrator_alone_is_never_two_people(emptied_database_url: str, tmp_path: Path) -> None:
    """Each way to a second principal that decides waits for somebody who is there already."""
    authority = Authority(tmp_path)
    async with opened_office(emptied_database_url, tls=Files(*authority.issue("localhost"), authority.file)) as office:
        an = await office.stub(Stub, "TENANT_ADMIN", principal="an")
        bo = await office.stub(approvals_pb2_grpc.ApprovalsStub, "TENANT_ADMIN", principal="bo")
        await office.database.run(approval_policies.install, tenant_id="pnc", document={
            "approvers": 1, "acts": {"identity.create_key": 0, "identity.grant_role": 0, "channels.force_state": 2}})  # fmt: skip
        await made(an, "puppet")
        assert await reason_of(an.CreateApiKey(identity_pb2.CreateApiKeyRequest(request_id="1", principal_id="bo"))) == "INVALID_FIELD"
        for_bo, for_puppet = await key_of(an, "bo"), await key_of(an, "puppet")
        certificate = await binder(an, "pnc", "bo")("c", authority.issue("bo.example"))
        deciding, reading = await made_grant(an, "puppet", "FINANCE_CHECKER"), await made_grant(an, "puppet", "VIEWER")
        assert reading.performed, "what decides nothing is as the policy says"
        for key in (for_bo, for_puppet):
            assert await list_payments(office, key.text) == "KEY_UNKNOWN" and not key.told.HasField("key")
        waiting = [*(key.told.proposal.approval_id for key in (for_bo, for_puppet)), certificate.proposal.approval_id]
        assert all((*waiting, deciding.approval_id)) and not certificate.binding_id
        assert await reason_of(key_of(an, "an")) == "OK", "one's own waits for nobody"
        seen = await bo.GetApproval(approvals_pb2.GetApprovalRequest(approval_id=waiting[0]))
        assert key_fingerprint(for_bo.text) in seen.shown_json and seen.approvers_needed == 2, "as many as what takes most"
        for number, (principal, state) in enumerate((("bo", "STATE_PENDING"), ("cai", "STATE_PERFORMED"))):
            checker = await office.stub(approvals_pb2_grpc.ApprovalsStub, "TENANT_ADMIN", principal=principal)
            decided = await checker.DecideApprovals(approvals_pb2.DecideApprovalsRequest(
                request_id=f"d{number}", approval_ids=waiting[1:], decision=APPROVE, comment="read to me by its owner"))  # fmt: skip
            assert {approvals_pb2.Approval.State.Name(one.approval.state) for one in decided.results} == {state}
        assert await list_payments(office, for_puppet.text) == "OK"
        told = (await an.GetPrincipal(identity_pb2.GetPrincipalRequest(principal_id="bo"))).certificates
        assert [item.value for item in told] == [certificate.value]


async def test_an_expiry_must_be_ahead(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        admin = await office.stub(Stub, "TENANT_ADMIN", principal="an")
        await made(admin, "wang")
        assert await reason_of(key_of(admin, "wang", expire_time=Timestamp(seconds=1))) == "INVALID_FIELD"
        assert await reason_of(key_of(admin, "wang", 2, roles=["KING"])) == "INVALID_FIELD"
        assert await reason_of(made(admin, "wang")) == "OK", "a repeat is no second principal"
        assert await reason_of(admin.CreatePrincipal(identity_pb2.CreatePrincipalRequest(
            request_id="other", principal_id="wang", kind=Kind.KIND_SYSTEM))) == "PRINCIPAL_EXISTS"  # fmt: skip
