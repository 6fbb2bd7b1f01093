"""The Credentials service: what goes in is parsed and sealed, what comes out are fingerprints."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from typer.testing import CliRunner

from domain.credentials import Learned
from domain.expiry import DAY_MS
from domain.refusals import Refused
from domain.rule_sets import RuleSet
from ops import address, secret_commands
from protos.paydesk.v1 import approvals_pb2, approvals_pb2_grpc, credentials_pb2, credentials_pb2_grpc
from storage import credentials as store
from storage import desk as desk_store
from storage import expiry, rule_sets
from storage.credentials import OwnerKind
from storage.database import make_engine, transact
from tests.certificates import certificate_pem, private_pem, public_pem
from tests.harness import desk_document
from tests.integration.office import Office, opened_office
from tests.vaults import new_vault

State = credentials_pb2.CredentialVersion.State
_numbers = itertools.count()


def request_id() -> str:
    return f"r-{next(_numbers)}"


async def refused(call: Any) -> tuple[str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    reason, violations = "", {}
    for detail in rpc_status.from_call(caught.value).details:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad):
            violations = {violation.field: violation.description for violation in bad.field_violations}
    return reason, violations


async def add(stub: Any, account_id: str, **values: str) -> Any:
    return await stub.AddCredentials(
        credentials_pb2.AddCredentialsRequest(request_id=request_id(), account_id=account_id, values=values)
    )


async def in_use(office: Office, account_id: str) -> list[tuple[int, dict[str, str]]]:
    found = await office.database.run(store.in_use, new_vault(), OwnerKind.ACCOUNT)
    return [(version.version, dict(version.values)) for version in found.get(("pnc", account_id), ())]


async def test_new_keys_overlap_with_the_old_ones_until_those_are_retired(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        await office.database.run(_nobody_is_asked)
        keys = await office.stub(credentials_pb2_grpc.CredentialsStub, "CHANNEL_ADMIN")
        made = await add(keys, "pnc_one", secret="the second secret")
        assert (made.version, made.state, made.signs) == (2, State.STATE_STAGED, False)
        assert await in_use(office, "pnc_one") == [(1, {"secret": "secret-pnc-one"}), (2, {"secret": "the second secret"})]
        wanted = credentials_pb2.ActivateCredentialsRequest(request_id=request_id(), account_id="pnc_one", version=2)
        for _ in range(2):
            assert (await keys.ActivateCredentials(wanted)).signs
        assert [version for version, _ in await in_use(office, "pnc_one")] == [2, 1]
        retire = credentials_pb2.RetireCredentialsRequest(request_id=request_id(), account_id="pnc_one", version=1)
        assert (await keys.RetireCredentials(retire)).state == State.STATE_RETIRED
        assert await in_use(office, "pnc_one") == [(2, {"secret": "the second secret"})]
        again = credentials_pb2.ActivateCredentialsRequest(request_id=request_id(), account_id="pnc_one", version=1)
        assert (await refused(keys.ActivateCredentials(again)))[0] == "CREDENTIALS_RETIRED"
        listed = await keys.ListCredentials(credentials_pb2.ListCredentialsRequest(account_id="pnc_one", page_size=1))
        rest = await keys.ListCredentials(
            credentials_pb2.ListCredentialsRequest(account_id="pnc_one", page_token=listed.next_page_token)
        )
        assert [item.version for item in (*listed.credentials, *rest.credentials)] == [1, 2]
        rows = await office.database.run(_everything)
        for word in ("the second secret", "secret-pnc-one"):
            assert word not in str(listed) + str(rest) + rows


async def test_terms_that_come_into_force_by_themselves_are_verified_with_the_same_keys(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        await office.database.run(_announce_terms)
        desk = await office.database.run(desk_store.load)
        equipped = await office.database.run(store.with_credentials, desk, new_vault())
        then = {row.account_id: row for row in equipped.at(desk.next_ms).accounts}["pnc_one"]
        assert (then.version, [dict(version.values) for version in then.credentials]) == (2, [{"secret": "secret-pnc-one"}])


def _announce_terms(connection: Any) -> None:
    connection.exec_driver_sql(
        """INSERT INTO merchant_account_versions (account_id, version, terms, valid_from, principal)
           SELECT account_id, 2, terms, now() + interval '1 hour', 'zhang' FROM merchant_account_versions
           WHERE account_id = 'pnc_one'"""
    )


def _everything(connection: Any) -> str:
    tables = ("credentials", "audit_entries", "approvals", "requests", "merchant_account_versions", "webhook_endpoints")
    return str([connection.exec_driver_sql(f"SELECT t::text FROM {table} t").all() for table in tables])


async def test_a_value_that_does_not_parse_is_refused_by_name_and_never_quoted(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        await office.database.run(_make_bank)
        await office.reread()
        keys = await office.stub(credentials_pb2_grpc.CredentialsStub, "CHANNEL_ADMIN")
        good = {"sign_private_key": private_pem(), "bank_public_key": public_pem()}
        for changes, field, rule in (
            ({"sign_private_key": "c2VjcmV0c2VjcmV0"}, "values.sign_private_key", "not a private key"),
            ({"sign_private_key": public_pem()}, "values.sign_private_key", "not a private key"),
            ({"bank_public_key": "-----BEGIN PUBLIC KEY-----"}, "values.bank_public_key", "not a public key"),
            ({"other": "x"}, "values.other", "is not used here"),
            ({"bank_public_key": ""}, "values.bank_public_key", "1 to"),
        ):
            reason, violations = await refused(add(keys, "pnc_bank", **(good | changes)))
            assert reason == "INVALID_FIELD" and rule in violations[field]
            assert "c2VjcmV0" not in str(violations)
        incomplete = await refused(add(keys, "pnc_bank", bank_public_key=public_pem()))
        assert "sign_private_key" in incomplete[1]["values"]
        made = await add(keys, "pnc_bank", **good)
        marks = {value.name: (value.material, value.fingerprint) for value in made.values}
        assert marks["sign_private_key"][0] == "PRIVATE_KEY"
        assert marks["sign_private_key"][1] == marks["bank_public_key"][1], "a pair is known by its public half"
        assert await in_use(office, "pnc_bank") == []
        assert (await refused(add(keys, "life_one", secret="x")))[0] == "ACCOUNT_NOT_FOUND"


def _make_bank(connection: Any) -> None:
    channel = {"channel_id": "bank", "display_name": "bank", "kind": "iso20022"}
    account = {"account_id": "pnc_bank", "tenant_id": "pnc", "channel_id": "bank", "merchant_no": "b", "terms": {"methods": ["CARD"]}}
    desk_store.install(connection, {"channels": [channel], "accounts": [account]})


async def test_what_ends_stands_in_the_calendar_and_a_request_repeats_its_answer(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        keys = await office.stub(credentials_pb2_grpc.CredentialsStub, "CHANNEL_ADMIN")
        await office.database.run(_nobody_is_asked)
        wanted = credentials_pb2.AddCredentialsRequest(request_id=request_id(), values={"secret": "whsec_" + "QUFB" * 8})
        wanted.not_after.FromMilliseconds((time.time_ns() // 1_000_000) + 9 * DAY_MS)
        first, second = await keys.AddCredentials(wanted), await keys.AddCredentials(wanted)
        assert first == second and first.account_id == ""
        wanted.values["secret"] = "whsec_" + "QkJC" * 8
        assert (await refused(keys.AddCredentials(wanted)))[0] == "REQUEST_ID_REUSED"
        assert not (await keys.ListExpiries(credentials_pb2.ListExpiriesRequest())).expiries, "it does not sign yet"
        await keys.ActivateCredentials(credentials_pb2.ActivateCredentialsRequest(request_id=request_id(), version=1))
        (ending,) = (await keys.ListExpiries(credentials_pb2.ListExpiriesRequest(within_days=30))).expiries
        assert (ending.object_id, ending.days_left) == ("WEBHOOK/pnc/1", 9)
        assert not (await keys.ListExpiries(credentials_pb2.ListExpiriesRequest(within_days=5))).expiries
        stranger = await office.stub(credentials_pb2_grpc.CredentialsStub, "CHANNEL_ADMIN", tenant_id="life", principal="li")
        assert not (await stranger.ListExpiries(credentials_pb2.ListExpiriesRequest())).expiries
        bad = credentials_pb2.AddCredentialsRequest(request_id=request_id(), values={"secret": "whsec_short"})
        assert "whsec_" in (await refused(keys.AddCredentials(bad)))[1]["values.secret"]


async def test_activation_waits_for_a_second_person_who_sees_fingerprints(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        maker = await office.stub(credentials_pb2_grpc.CredentialsStub, "CHANNEL_ADMIN")
        await add(maker, "pnc_one", secret="the next secret")
        wanted = credentials_pb2.ActivateCredentialsRequest(request_id=request_id(), account_id="pnc_one", version=2)
        waiting = await maker.ActivateCredentials(wanted)
        assert waiting.state == State.STATE_STAGED and waiting.proposal.approval_id
        checker = await office.stub(approvals_pb2_grpc.ApprovalsStub, "CHANNEL_ADMIN", principal="wang")
        shown = await checker.GetApproval(approvals_pb2.GetApprovalRequest(approval_id=waiting.proposal.approval_id))
        assert "fingerprint" in str(shown) and "next secret" not in str(shown)
        await checker.DecideApprovals(
            approvals_pb2.DecideApprovalsRequest(
                request_id=request_id(), approval_ids=[waiting.proposal.approval_id],
                decision=approvals_pb2.DecideApprovalsRequest.DECISION_APPROVE, comment="fingerprint compared",
            )
        )  # fmt: skip
        assert [version for version, _ in await in_use(office, "pnc_one")] == [2, 1]


def _nobody_is_asked(connection: Any) -> None:
    policy = {"approvers": 0}
    desk_store.install(connection, {"tenants": [{"tenant_id": "pnc", "display_name": "P", "approvals": policy}]})


async def test_a_contact_is_reached_by_a_url_that_nobody_sees_again(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        keys = await office.stub(credentials_pb2_grpc.CredentialsStub, "TENANT_ADMIN")
        urls = ["mailto://finance:pass-word-1@example.com", "wecombot://1234567890abcdefghij"]
        wanted = credentials_pb2.CreateContactRequest(request_id=request_id(), display_name="财务", target_urls=urls)
        made = await keys.CreateContact(wanted)
        assert made == await keys.CreateContact(wanted)
        (listed,) = (await keys.ListContacts(credentials_pb2.ListContactsRequest())).contacts
        rows = str(await office.database.run(lambda c: c.exec_driver_sql("SELECT t::text FROM contact_targets t").all()))
        rows += json.dumps(await office.database.run(lambda c: str(c.exec_driver_sql("SELECT t::text FROM audit_entries t").all())))
        for secret in ("pass-word-1", "1234567890abcdefghij"):
            assert secret not in str(listed) + str(made) + rows
        assert [target.shown.partition(":")[0] for target in listed.targets] == ["mailto", "wecombot"] or listed.targets
        for url in ("file:///etc/passwd", "dbus://", "nonsense", "json://" + "x" * 2000):
            bad = credentials_pb2.CreateContactRequest(request_id=request_id(), display_name="x", target_urls=[url])
            assert (await refused(keys.CreateContact(bad)))[1] == {"target_urls[0]": "is no URL of a way that we know"}
        gone = credentials_pb2.DeleteContactRequest(request_id=request_id(), contact_id=made.contact_id)
        await keys.DeleteContact(gone)
        assert not (await keys.ListContacts(credentials_pb2.ListContactsRequest())).contacts
        gone.request_id = request_id()
        assert (await refused(keys.DeleteContact(gone)))[0] == "CONTACT_NOT_FOUND"


async def test_what_everybody_must_hold_or_be_told_is_bounded(emptied_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "VERSIONS_MAX", 3)
    monkeypatch.setattr(expiry, "CONTACTS_MAX", 1)
    async with opened_office(emptied_database_url) as office:
        keys = await office.stub(credentials_pb2_grpc.CredentialsStub, "TENANT_ADMIN")
        for number in (2, 3):
            await add(keys, "pnc_one", secret=f"secret number {number}")
        one_more = credentials_pb2.AddCredentialsRequest(request_id="more", account_id="pnc_one", values={"secret": "s"})
        assert (await refused(keys.AddCredentials(one_more)))[0] == "TOO_MANY_VERSIONS"
        await add(keys, "pnc_two", secret="of another account")
        wanted = credentials_pb2.CreateContactRequest(display_name="x", target_urls=["wecombot://1234567890abcdefghij"])
        for number, reason in ((1, ""), (1, ""), (2, "TOO_MANY_CONTACTS")):
            wanted.request_id = f"contact-{number}"
            if reason:
                assert (await refused(keys.CreateContact(wanted)))[0] == reason
            else:
                await keys.CreateContact(wanted)


def _contact(connection: Any, name: str) -> None:
    expiry.add_contact(
        connection, new_vault(), tenant_id="pnc", contact_id=name, display_name=name, escalation=False, targets=[]
    )


def _version(connection: Any, name: str) -> None:
    owner = store.Owner("pnc", OwnerKind.ACCOUNT, "pnc_one")
    store.next_version(connection, owner)
    store.check_room(connection, owner)
    store.add(connection, new_vault(), owner, {"secret": name}, [], principal="zhang")


def _draft(connection: Any, name: str) -> None:
    rule_sets.create(connection, tenant_id="pnc", rule_set_id=name, rule_set=RuleSet(()), note="", author="zhang")


@pytest.mark.parametrize(("add_one", "reason"), [
    (_contact, "TOO_MANY_CONTACTS"), (_version, "TOO_MANY_VERSIONS"), (_draft, "TOO_MANY_DRAFTS"),
])  # fmt: skip
def test_of_two_who_take_the_last_place_at_once_one_gets_it(
    emptied_database_url: str, monkeypatch: pytest.MonkeyPatch, add_one: Callable[[Any, str], None], reason: str
) -> None:
    monkeypatch.setattr(store, "VERSIONS_MAX", 2)  # the first came with the desk
    monkeypatch.setattr(expiry, "CONTACTS_MAX", 1)
    monkeypatch.setattr(rule_sets, "DRAFTS_MAX", 1)
    engine = make_engine(emptied_database_url, pool_size=2)
    transact(engine, lambda connection: store.install(connection, new_vault(), desk_document(["one"])))
    with ThreadPoolExecutor(1) as other:
        with engine.begin() as connection:
            add_one(connection, "first")
            second = other.submit(transact, engine, lambda connection: add_one(connection, "second"))
            assert not wait([second], 0.2).done, "it cannot know yet whether there is room"
        with pytest.raises(Refused) as caught:
            second.result(10)
    engine.dispose()
    assert caught.value.refusal.reason == reason


def test_a_certificate_says_itself_when_it_ends() -> None:
    from domain.credentials import Material
    from storage import materials

    end_ms = 1_800_000_000_000
    (shown,), none = materials.read(
        {"c": certificate_pem(end_ms) + certificate_pem(end_ms - DAY_MS)}, {"c": Material.CERTIFICATES}, now_ms=1,
        digest=lambda *_: b"",
    )  # fmt: skip
    assert (shown.not_after_ms, none) == (end_ms, [])
    _, (violation,) = materials.read(
        {"c": certificate_pem(end_ms)}, {"c": Material.CERTIFICATE}, now_ms=end_ms, digest=lambda *_: b""
    )
    assert (violation.field, violation.rule) == ("values.c", "has expired")


async def test_finance_works_at_the_command_line(
    emptied_database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with opened_office(emptied_database_url) as office:
        await office.database.run(_nobody_is_asked)
        keys = await office.stub(credentials_pb2_grpc.CredentialsStub, "TENANT_ADMIN")
        monkeypatch.setattr(address, "require", lambda *_, target: address.Address(target, "", {}))
        secret, urls = tmp_path / "new.secret", tmp_path / "urls.txt"
        secret.write_text("a secret of the command line\n")
        urls.write_text("mailto://finance:hidden-word@example.com\n")

        async def paydesk(*words: str) -> str:
            key = office.metadata(keys)[0][1].removeprefix("Bearer ")
            arguments = [*words, "--target", office.target, "--key", key]
            done = await asyncio.to_thread(CliRunner().invoke, secret_commands.app, arguments)
            assert done.exit_code == 0, done.output
            assert "command line" not in done.output and "hidden-word" not in done.output
            return done.stdout

        assert "version 2: STAGED, ends never" in await paydesk("add", f"secret={secret}", "--account", "pnc_one")
        assert (await in_use(office, "pnc_one"))[1] == (2, {"secret": "a secret of the command line"})
        assert "ACTIVE, signs" in await paydesk("activate", "2", "--account", "pnc_one")
        assert "RETIRED" in await paydesk("retire", "1", "--account", "pnc_one", "--reason", "done")
        assert "ACTIVE, signs" in await paydesk("list", "--account", "pnc_one")
        assert "mailto" in await paydesk("add-contact", "财务", str(urls), "--escalation")
        listed = await paydesk("contacts")
        assert "when nobody has answered" in listed
        contact_id = next(word for word in listed.split() if word.startswith("con_"))
        assert "deleted" in await paydesk("delete-contact", contact_id)
        await office.database.run(_remind)
        assert "API key key_short" in await paydesk("expiries", "--within", "5")
        reminder_id = next(word for word in (await paydesk("reminders")).split() if word.startswith("rem_"))
        assert "acknowledged by zhang" in await paydesk("acknowledge", reminder_id, "--reason", "renewed")
        assert "rem_" not in await paydesk("reminders") and "zhang" in await paydesk("reminders", "--all")


def _remind(connection: Any) -> None:
    now_ms = time.time_ns() // 1_000_000
    connection.exec_driver_sql(
        """INSERT INTO api_keys (key_digest, key_id, tenant_id, principal, roles, expire_time)
           VALUES (decode(repeat('ab', 32), 'hex'), 'key_short', 'pnc', 'zhang', '{}', now() + interval '3 days')"""
    )
    assert expiry.plan(connection, now_ms=now_ms) == 1


async def test_certificates_that_were_learnt_stand_beside_the_old_ones_in_the_version_that_signs(emptied_database_url: str) -> None:
    now_ms = time.time_ns() // 1_000_000
    old, new, over = (certificate_pem(now_ms + days * DAY_MS, name=f"{days} days") for days in (20, 800, -1))
    document = {"accounts": [{
        "account_id": "pnc_one", "tenant_id": "pnc", "channel_id": "one", "merchant_no": "m1", "terms": {"methods": ["QR"]},
        "credentials": {"apiv3_key": "k" * 32, "platform_certs": old},
    }]}  # fmt: skip
    learned = [Learned("m1", "platform_certs", f"{old}{new}{over}"), Learned("m9", "platform_certs", new)]
    async with opened_office(emptied_database_url) as office:
        database, vault = office.database, new_vault()
        for _ in range(2):  # the second time nothing is new
            await database.run(store.install, vault, document)
            await database.run(store.learn, vault, "one", learned, now_ms=now_ms)
        version, values = (await in_use(office, "pnc_one"))[0]
        assert (version, values["platform_certs"]) == (2, old + new), "the desk document makes no version anew"
        desk = await database.run(desk_store.load)
        (account,) = (account for account in desk.accounts if account.account_id == "pnc_one")
        assert account.ends_ms > now_ms + 700 * DAY_MS, "what ends is the last of them"
        told = await database.run(expiry.reminders, tenant_id="pnc", limit=9)
        assert ["new certificate to sign with" in message.title for message in told] == [True]
        rows = await database.run(_audited)
        assert [row[0] for row in rows] == ["ACCOUNT/pnc_one/2"]
        await database.run(store.learn, vault, "one", [Learned("m1", "other_certs", new)], now_ms=now_ms)
        assert (await in_use(office, "pnc_one"))[0][1].keys() == {"apiv3_key", "platform_certs"}


def _audited(connection: Any) -> Any:
    return connection.exec_driver_sql(
        "SELECT object_id FROM audit_entries WHERE operation = 'Credentials.LearnCertificates'"
    ).all()
