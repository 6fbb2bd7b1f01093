"""The audit trail on real PostgreSQL: append-only, sealed in the order of commits, and every hand found at its place."""

import asyncio
import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import sqlalchemy
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, text

from actors.sealer import Sealer
from domain.audit import Damage, Finding
from protos.paydesk.v1 import (
    audit_pb2,
    audit_pb2_grpc,
    channels_pb2,
    channels_pb2_grpc,
    credentials_pb2,
    credentials_pb2_grpc,
    identity_pb2,
    identity_pb2_grpc,
)
from storage import audit
from storage.database import Database, make_engine
from storage.signed_heads import HeadsDamaged, SignedHeads
from tests.integration.office import opened_office, reason_of

ENTRIES = 120


def entry(number: int = 0, tenant_id: str = "pnc", **changes: Any) -> audit.Entry:
    usual = audit.Entry(tenant_id, "zhang", "Tenants.PutSetting", "setting", f"s{number}", {"bps": 60}, {"bps": 55}, "新合同")
    return usual._replace(**changes)


@pytest.fixture
def engine(emptied_database_url: str) -> Iterator[sqlalchemy.Engine]:
    made = make_engine(emptied_database_url, pool_size=3)
    yield made
    made.dispose()


def fill(engine: sqlalchemy.Engine, count: int = ENTRIES) -> None:
    with engine.begin() as connection:
        audit.append(connection, [entry(number) for number in range(count)])
    with engine.begin() as connection:
        assert audit.seal(connection) == count


def test_nothing_can_be_changed_or_taken_away(engine: sqlalchemy.Engine) -> None:
    fill(engine, 3)
    for statement in (
        "UPDATE audit_entries SET principal = 'li'", "DELETE FROM audit_entries", "TRUNCATE audit_entries CASCADE",
        "UPDATE audit_chain SET hash = prev_hash", "DELETE FROM audit_chain",
    ):  # fmt: skip
        with pytest.raises(sqlalchemy.exc.DBAPIError, match="append-only"), engine.begin() as connection:
            connection.execute(text(statement))


def test_an_entry_that_commits_late_is_not_passed_over(engine: sqlalchemy.Engine) -> None:
    with engine.connect() as slow:
        with slow.begin():
            audit.append(slow, [entry(1)])
            with engine.begin() as quick:
                audit.append(quick, [entry(2)])
            with engine.begin() as sealer:
                assert audit.seal(sealer) == 0  # the older transaction may still commit
        with engine.begin() as sealer:
            assert audit.seal(sealer) == 2
    with engine.begin() as connection:
        found = audit.search(connection, tenant_id="pnc", wanted=audit.Wanted(), limit=10)
    assert [(item.record.object_id, item.place) for item in found] == [("s2", 2), ("s1", 1)]


def test_each_tenant_has_a_chain_of_its_own(engine: sqlalchemy.Engine) -> None:
    with engine.begin() as connection:
        audit.append(connection, [entry(n, tenant_id=t) for n in range(5) for t in ("pnc", "life")])
    with engine.begin() as connection:
        audit.seal(connection, limit=3)
    with engine.begin() as connection:
        audit.seal(connection)
        assert [(head.tenant_id, head.place) for head in audit.heads(connection)] == [("life", 5), ("pnc", 5)]
        assert all(audit.verify(connection, tenant_id=t).finding is None for t in ("pnc", "life"))


def test_two_sealers_at_once_seal_each_entry_once(engine: sqlalchemy.Engine) -> None:
    with engine.begin() as connection:
        audit.append(connection, [entry(n) for n in range(10)])
    with engine.connect() as one, one.begin(), engine.begin() as other:
        assert audit.seal(one) == 10
        assert audit.seal(other) == 0
    with engine.begin() as connection:
        assert audit.seal(connection) == 0 and audit.verify(connection, tenant_id="pnc").checked_count == 10


# Ways of tampering: each takes a place and returns the damage that must be found there.


def _edit(connection: Connection, place: int) -> Damage:
    connection.execute(
        text(
            """UPDATE audit_entries SET after = '{"bps": 1}' WHERE entry_id =
               (SELECT entry_id FROM audit_chain WHERE tenant_id = 'pnc' AND index = :place)"""
        ),
        {"place": place},
    )
    return Damage.EDITED


def _delete(connection: Connection, place: int) -> Damage:
    connection.execute(
        text("DELETE FROM audit_entries WHERE entry_id = (SELECT entry_id FROM audit_chain WHERE index = :place)"),
        {"place": place},
    )
    return Damage.DELETED


def _insert(connection: Connection, place: int) -> Damage:
    """Put an entry between others: those behind it move up."""
    connection.execute(text("UPDATE audit_chain SET index = -index WHERE index >= :place"), {"place": place})
    connection.execute(text("UPDATE audit_chain SET index = 1 - index WHERE index < 0"))
    connection.execute(
        text(
            """INSERT INTO audit_entries (entry_id, tx, tenant_id, principal, operation, object_kind, object_id)
               OVERRIDING SYSTEM VALUE VALUES (999999999, '1', 'pnc', 'li', 'x', 'x', 'x')"""
        )
    )
    before = connection.execute(text("SELECT hash FROM audit_chain WHERE index = :place - 1"), {"place": place}).scalar_one()
    forged = audit.search(connection, tenant_id="pnc", wanted=audit.Wanted(), limit=1, entry_id=999999999)[0].record
    connection.execute(
        text("INSERT INTO audit_chain (tenant_id, index, entry_id, prev_hash, hash) VALUES ('pnc', :i, 999999999, :p, :h)"),
        {"i": place, "p": before, "h": audit.hash_of(bytes(before), place, forged)},
    )
    return Damage.INSERTED


def _reorder(connection: Connection, place: int) -> Damage:
    """Have two neighbours change places."""
    ids = dict(
        connection.execute(
            text("SELECT index, entry_id FROM audit_chain WHERE index IN (:a, :b)"), {"a": place, "b": place + 1}
        ).all()
    )
    update = text("UPDATE audit_chain SET entry_id = :entry_id WHERE index = :index")
    connection.execute(update, {"index": place, "entry_id": -1})
    connection.execute(update, {"index": place + 1, "entry_id": ids[place]})
    connection.execute(update, {"index": place, "entry_id": ids[place + 1]})
    return Damage.EDITED


@pytest.mark.parametrize("tamper", [_edit, _delete, _insert, _reorder])
def test_every_hand_is_found_at_its_exact_place(engine: sqlalchemy.Engine, tamper: Any) -> None:
    fill(engine)
    chance = random.Random(tamper.__name__)
    with engine.connect() as connection, connection.begin():
        # As a superuser with the triggers off; CHECK constraints go too, as they would for such a hand.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("ALTER TABLE audit_chain DROP CONSTRAINT audit_chain_index_check"))
        for _ in range(100):
            place = chance.randrange(2, ENTRIES)
            with connection.begin_nested() as trial:
                damage = tamper(connection, place)
                finding = audit.verify(connection, tenant_id="pnc").finding
                assert finding is not None and (finding.place, finding.damage) == (place, damage)
                trial.rollback()
        assert audit.verify(connection, tenant_id="pnc").finding is None
        connection.get_transaction().rollback()  # type: ignore[union-attr]


def test_an_entry_slipped_in_beside_the_chain_is_found(engine: sqlalchemy.Engine) -> None:
    fill(engine, 5)
    with engine.begin() as connection:
        connection.execute(
            text(
                """INSERT INTO audit_entries (tx, tenant_id, principal, operation, object_kind, object_id)
                   VALUES ('1', 'pnc', 'li', 'x', 'x', 'x')"""
            )
        )
        finding = audit.verify(connection, tenant_id="pnc").finding
    assert finding is not None and (finding.place, finding.damage) == (6, Damage.INSERTED)


def test_a_chain_rewritten_whole_contradicts_its_signed_heads(engine: sqlalchemy.Engine, tmp_path: Path) -> None:
    fill(engine, 8)
    signed = SignedHeads(tmp_path)
    with engine.begin() as connection:
        signed.add(audit.heads(connection))
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("UPDATE audit_entries SET principal = 'nobody' WHERE object_id = 's2'"))
        connection.execute(text("DELETE FROM audit_chain"))
        connection.execute(text("DELETE FROM audit_heads"))
        connection.execute(text("UPDATE audit_sealed SET tx = '0', entry_id = 0"))
    with engine.begin() as connection:
        assert audit.seal(connection) == 8
        assert audit.verify(connection, tenant_id="pnc").finding is None
        finding = audit.verify(connection, tenant_id="pnc", signed=signed.read()["pnc"]).finding
    assert finding == Finding(8, Damage.HEAD_MISMATCH, finding.detail if finding else "")


def test_a_chain_cut_short_contradicts_its_signed_heads(engine: sqlalchemy.Engine, tmp_path: Path) -> None:
    fill(engine, 8)
    signed = SignedHeads(tmp_path)
    with engine.begin() as connection:
        signed.add(audit.heads(connection))
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("DELETE FROM audit_chain WHERE index > 6"))
        connection.execute(text("DELETE FROM audit_entries WHERE object_id IN ('s6', 's7')"))
        connection.execute(text("UPDATE audit_heads SET index = 6"))
        finding = audit.verify(connection, tenant_id="pnc", signed=signed.read()["pnc"]).finding
    assert finding is not None and (finding.place, finding.damage) == (7, Damage.DELETED)


def test_a_line_that_nobody_signed_is_refused_and_a_torn_last_line_is_not(tmp_path: Path) -> None:
    signed = SignedHeads(tmp_path)
    signed.add([audit.Head("pnc", 1, bytes(32), 5)])
    path = tmp_path / "audit-heads.jsonl"
    good = path.read_text()
    path.write_text(good + good[: len(good) // 2])
    assert [head.place for head in signed.read()["pnc"]] == [1]
    signed.add([audit.Head("pnc", 2, bytes(32), 6), audit.Head("life", 1, bytes(32), 6)])
    assert [head.place for head in signed.read()["pnc"]] == [1, 2], "what was torn does not tear the next"
    path.write_text(good.replace('"place": 1', '"place": 2'))
    with pytest.raises(HeadsDamaged, match="line 1"):
        signed.read()["pnc"]
    assert (tmp_path / "audit-heads.key").stat().st_mode & 0o777 == 0o600


async def test_the_sealer_seals_signs_and_reports_a_broken_chain(engine: sqlalchemy.Engine, emptied_database_url: str, tmp_path: Path) -> None:
    registry = CollectorRegistry()
    database = Database(emptied_database_url, pool_size=1)
    sealer = Sealer(database, SignedHeads(tmp_path), registry=registry)
    with engine.begin() as connection:
        audit.append(connection, [entry(n) for n in range(3)])
    assert await sealer.step() == 3
    await sealer.sign()
    assert [head.place for head in SignedHeads(tmp_path).read()["pnc"]] == [3]
    await sealer.verify()
    assert registry.get_sample_value("audit_chain_broken", {"tenant": "pnc"}) == 0
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("DELETE FROM audit_entries WHERE object_id = 's1'"))
    await sealer.verify()
    assert registry.get_sample_value("audit_chain_broken", {"tenant": "pnc"}) == 1
    fresh = CollectorRegistry()
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for table in ("audit_entries", "audit_chain", "audit_heads"):
            connection.execute(text(f"DELETE FROM {table}"))
    await Sealer(database, SignedHeads(tmp_path), registry=fresh).verify()
    assert fresh.get_sample_value("audit_chain_broken", {"tenant": "pnc"}) == 1, "a whole chain that is gone was signed once"
    database.close()


# --- through gRPC -----------------------------------------------------------------------------------------------------


async def test_a_change_is_found_exported_and_verified(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        admin = await office.stub(channels_pb2_grpc.ChannelsStub, "CHANNEL_ADMIN", principal="li")
        wish = channels_pb2.SetMaintenanceWindowRequest(request_id="w1", channel_id="one", reason="=升级")
        wish.start_time.FromSeconds(4_000_000_000)
        wish.end_time.FromSeconds(4_000_003_600)
        made = await admin.SetMaintenanceWindow(wish)
        assert (await admin.SetMaintenanceWindow(wish)).window_id == made.window_id
        auditor = await office.stub(audit_pb2_grpc.AuditStub, "AUDITOR", principal="wang")
        page = await auditor.SearchAudit(audit_pb2.SearchAuditRequest())
        (told,) = page.entries  # the repeat wrote nothing
        assert (told.principal, told.operation, told.object_id, told.request_id, told.index) == (
            "li", "Channels.SetMaintenanceWindow", made.window_id, "w1", 0,
        )  # fmt: skip
        assert told.address.startswith("ipv4:127.0.0.1")
        await office.database.run(audit.seal)
        assert (await auditor.GetAuditEntry(audit_pb2.GetAuditEntryRequest(entry_id=told.entry_id))).index == 1
        verdict = await auditor.VerifyAudit(audit_pb2.VerifyAuditRequest())
        beyond = auditor.VerifyAudit(audit_pb2.VerifyAuditRequest(first_index=3))
        assert await reason_of(beyond) == "INVALID_FIELD", "nothing is not sound"
        assert verdict.sound and verdict.checked_count == 2  # that somebody searched is sealed too
        parts = auditor.ExportAudit(audit_pb2.ExportAuditRequest(reason="年审"), metadata=office.metadata(auditor))
        lines = b"".join([part.content async for part in parts]).decode().splitlines()
        assert lines[0].startswith("exported by wang of pnc") and lines[0].endswith("年审")
        assert any("'=升级" in line for line in lines) and "5 entries" in lines[-1]  # the change, three readings, and the export itself
        other = await office.stub(audit_pb2_grpc.AuditStub, "AUDITOR", tenant_id="life")
        assert not (await other.SearchAudit(audit_pb2.SearchAuditRequest())).entries
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await other.GetAuditEntry(audit_pb2.GetAuditEntryRequest(entry_id=told.entry_id))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_reading_that_a_viewer_may_not_do_leaves_one_entry_that_says_what_was_asked(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        auditor = await office.stub(audit_pb2_grpc.AuditStub, "AUDITOR", principal="wang")
        identity = await office.stub(identity_pb2_grpc.IdentityStub, "AUDITOR", principal="wang")
        await identity.ListPrincipals(identity_pb2.ListPrincipalsRequest(page_size=1))
        await identity.GetPrincipal(identity_pb2.GetPrincipalRequest(principal_id="wang"))
        keys = await office.stub(credentials_pb2_grpc.CredentialsStub, "AUDITOR", principal="wang")
        await keys.ListCredentials(credentials_pb2.ListCredentialsRequest(account_id="x" * 5_000))
        request = audit_pb2.SearchAuditRequest()
        request.filter.principal = "wang"
        await auditor.SearchAudit(request)
        for refused in (
            identity.GetPrincipal(identity_pb2.GetPrincipalRequest(principal_id="nobody")),
            auditor.GetAuditEntry(audit_pb2.GetAuditEntryRequest(entry_id=10**12)),
        ):
            assert await reason_of(refused) in ("PRINCIPAL_NOT_FOUND", "AUDIT_ENTRY_NOT_FOUND")
        found = (await auditor.SearchAudit(request)).entries
        assert [(told.operation, told.object_kind, told.object_id) for told in reversed(found)] == [
            ("Identity.ListPrincipals", "principal", ""), ("Identity.GetPrincipal", "principal", "wang"),
            ("Credentials.ListCredentials", "credentials", "x" * 96), ("Audit.SearchAudit", "audit", ""),
        ]  # fmt: skip
        request.filter.changes_only = True
        assert not (await auditor.SearchAudit(request)).entries
        assert json.loads(found[0].after_json) == {"asked": '{"filter": {"principal": "wang"}}'}
        assert len(found[1].after_json) < 2_000 and all(told.address.startswith("ipv4:127.0.0.1") for told in found)


async def test_filters_and_pages_of_a_search(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        entries = [entry(n, principal="li" if n % 2 else "zhang") for n in range(7)]
        await office.database.run(audit.append, entries)
        auditor = await office.stub(audit_pb2_grpc.AuditStub, "AUDITOR")
        seen, token = [], ""
        while True:
            request = audit_pb2.SearchAuditRequest(page_size=2, page_token=token)
            request.filter.principal = "zhang"
            page = await auditor.SearchAudit(request)
            seen += [told.object_id for told in page.entries]
            token = page.next_page_token
            if not token:
                break
        assert seen == ["s6", "s4", "s2", "s0"]
        bad = audit_pb2.SearchAuditRequest()
        bad.filter.operation = "x" * 97
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await auditor.SearchAudit(bad)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT and "filter.operation" in str(caught.value.details())


async def test_those_who_verify_long_chains_leave_a_way_for_others(
    emptied_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def walks(_: Any, **__: Any) -> audit.Verdict:
        over.wait(10)
        return audit.Verdict(0, 0, b"", None)

    async with opened_office(emptied_database_url) as office:
        auditor = await office.stub(audit_pb2_grpc.AuditStub, "AUDITOR")
        monkeypatch.setattr(audit, "verify", walks)
        calls = [auditor.VerifyAudit(audit_pb2.VerifyAuditRequest()) for _ in range(4)]
        await asyncio.sleep(0.1)
        assert not (await auditor.SearchAudit(audit_pb2.SearchAuditRequest(), timeout=2)).entries
        over.set()
        assert all([(await call).sound for call in calls])
