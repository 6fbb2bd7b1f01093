"""Mutual TLS: a certificate speaks for one principal of one tenant, whatever key is sent over its connection."""

import asyncio
import os
import ssl
import sys
from pathlib import Path

import grpc
import pytest

from domain.expiry import DAY_MS
from ops import processes
from ops.deployment import Deployment
from ops.mistakes import CannotStart
from ops.settings import Settings
from protos.paydesk.v1 import identity_pb2, identity_pb2_grpc
from servers import certificates
from servers.tls import Files
from storage import expiry
from tests.authority import Authority
from tests.integration.office import Office, opened_office, reason_of

Pair = tuple[Path, Path]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def files(authority: Authority) -> Files:
    return Files(*authority.issue("localhost"), authority.file)


def connected(office: Office, authority: Authority, client: Pair | None) -> grpc.aio.Channel:
    certificate, key = (path.read_bytes() for path in client) if client else (None, None)
    credentials = grpc.ssl_channel_credentials(authority.file.read_bytes(), key, certificate)
    return grpc.aio.secure_channel(office.secure_target, credentials, options=[("grpc.use_local_subchannel_pool", 1)])


async def who_am_i(office: Office, authority: Authority, client: Pair | None, key: tuple[tuple[str, str], ...] = ()) -> str:
    """Return tenant/principal as which a certificate and a key are known, or why not."""
    async with connected(office, authority, client) as channel:
        stub = identity_pb2_grpc.IdentityStub(channel)
        if (reason := await reason_of(stub.WhoAmI(identity_pb2.WhoAmIRequest(), metadata=key, timeout=5))) != "OK":
            return reason
        told = await stub.WhoAmI(identity_pb2.WhoAmIRequest(), metadata=key, timeout=5)
        return f"{told.tenant_id}/{told.principal_id}"


async def bind(office: Office, tenant_id: str, certificate: Path, name: str = "") -> tuple[tuple[str, str], ...]:
    """Bind a certificate to a tenant's administrator, and return what a call with the administrator's key carries."""
    admin = await office.stub(identity_pb2_grpc.IdentityStub, "TENANT_ADMIN", tenant_id=tenant_id, principal="an")
    pem, key = await asyncio.to_thread(lambda: (certificate.read_text(), certificate.with_suffix(".key").read_bytes()))
    await admin.BindCertificate(identity_pb2.BindCertificateRequest(
        request_id=f"bind-{certificate.name}", principal_id="an", certificate_pem=pem, subject_alternative_name=name,
        proof=certificates.prove(pem, key, tenant_id=tenant_id, principal_id="an")))  # fmt: skip
    await office.reread()
    return office.metadata(admin)


async def test_a_certificate_speaks_for_its_tenant_and_for_no_other(
    emptied_database_url: str, authority: Authority, files: Files
) -> None:
    pnc, life, renewed, stranger = (authority.issue(name) for name in ("a.pnc", "a.life", "b.life", "stranger"))
    again = authority.issue("a.life", file_name="renewed")
    async with opened_office(emptied_database_url, tls=files) as office:
        pnc_key, life_key = await bind(office, "pnc", pnc[0]), await bind(office, "life", life[0], "a.life")
        assert await who_am_i(office, authority, pnc) == "pnc/an", "a certificate alone will do"
        assert await who_am_i(office, authority, pnc, pnc_key) == "pnc/an"
        assert await who_am_i(office, authority, pnc, life_key) == "CERTIFICATE_OF_ANOTHER_TENANT"
        assert await who_am_i(office, authority, life, pnc_key) == "CERTIFICATE_OF_ANOTHER_TENANT"
        assert await who_am_i(office, authority, again) == "life/an", "a name is bound, whichever certificate has it"
        assert await who_am_i(office, authority, renewed, life_key) == "CERTIFICATE_UNBOUND"
        assert await who_am_i(office, authority, stranger) == "CERTIFICATE_UNBOUND"
        await office.database.run(lambda connection: connection.exec_driver_sql("UPDATE principals SET disable_time = now()").rowcount)
        await office.reread()
        assert await who_am_i(office, authority, pnc) == "PRINCIPAL_DISABLED"


async def test_a_bound_certificate_stands_in_the_calendar_of_what_ends_and_is_reminded_of(
    emptied_database_url: str, authority: Authority, files: Files
) -> None:
    one, named = authority.issue("a.pnc"), authority.issue("b.pnc")
    async with opened_office(emptied_database_url, tls=files) as office:
        await bind(office, "pnc", one[0])
        await bind(office, "pnc", named[0], "b.pnc")
        (ending,) = await office.database.run(expiry.endings, tenant_id="pnc", limit=9)
        assert (ending.object_kind, ending.title) == ("CERTIFICATE", "client certificate of an")
        assert await office.database.run(expiry.plan, now_ms=ending.not_after_ms - 3 * DAY_MS) == 1
        (told,) = await office.database.run(expiry.reminders, tenant_id="pnc", limit=9)
        assert told.mark == 3 and "Bind the next one" in told.body


async def test_without_a_certificate_of_the_authority_nothing_is_said(
    emptied_database_url: str, authority: Authority, files: Files, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    forged = Authority(tmp_path / "other").issue("a.pnc")
    async with opened_office(emptied_database_url, tls=files) as office:
        for client in (None, forged):
            async with connected(office, authority, client) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await identity_pb2_grpc.IdentityStub(channel).WhoAmI(identity_pb2.WhoAmIRequest(), timeout=5)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_another_authority_of_clients_counts_without_a_restart(
    emptied_database_url: str, authority: Authority, files: Files, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    mine, theirs = authority.issue("a.pnc"), other.issue("b.pnc")
    trusted = files.client_authority
    assert trusted is not None
    own = trusted.read_text()
    authority.file = tmp_path / "of-the-server.pem"
    authority.file.write_text(own)
    async with opened_office(emptied_database_url, tls=files) as office:
        await bind(office, "pnc", mine[0])
        assert await who_am_i(office, authority, mine) == "pnc/an"
        trusted.write_bytes(other.file.read_bytes())
        assert await who_am_i(office, authority, theirs) == "CERTIFICATE_UNBOUND"
        async with connected(office, authority, mine) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await identity_pb2_grpc.IdentityStub(channel).WhoAmI(identity_pb2.WhoAmIRequest(), timeout=5)


async def test_new_files_count_without_a_restart(emptied_database_url: str, authority: Authority, files: Files) -> None:
    def served(port: str) -> bytes:
        return ssl.get_server_certificate(("localhost", int(port))).encode()

    open_files = Files(files.certificate, files.key)
    async with opened_office(emptied_database_url, tls=open_files) as office:
        port = office.secure_target.rpartition(":")[2]
        first = await asyncio.to_thread(served, port)
        assert 29 < open_files.days_left() < 31
        assert ssl.PEM_cert_to_DER_cert(first.decode()) == ssl.PEM_cert_to_DER_cert(files.certificate.read_text())
        files.certificate.write_text("half written")
        os.utime(files.certificate, ns=(1, 1))
        assert open_files.days_left() == 0, "an alert is due"
        assert await asyncio.to_thread(served, port) == first
        authority.issue("localhost")
        second = await asyncio.to_thread(served, port)
        assert second != first
        assert ssl.PEM_cert_to_DER_cert(second.decode()) == ssl.PEM_cert_to_DER_cert(files.certificate.read_text())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize(("changes", "words"), [
    ({"host": "0.0.0.0", "database_url": "postgresql://x"}, "without TLS"),
    ({"tls_cert_file": "a.pem"}, "needs both"),
    ({"tls_client_ca_file": "ca.pem"}, "needs both PAYDESK_TLS_CERT_FILE"),
    ({"tls_cert_file": "a.pem", "tls_key_file": "a.key"}, "can't be used"),
])  # fmt: skip
def test_it_refuses_to_start_half_protected(directory: Path, changes: dict[str, str], words: str) -> None:
    with pytest.raises(CannotStart, match=words):
        Deployment(Settings(data_dir=directory, grpc_port=0, http_port=0, **changes)).start()


@pytest.mark.parametrize("role", sorted(processes.ROLES))
def test_a_process_on_a_node_of_its_own_refuses_too(directory: Path, role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["processes", role])
    for name, value in (("DATA_DIR", str(directory)), ("HOST", "10.0.0.7"), ("DATABASE_URL", "postgresql://x")):
        monkeypatch.setenv(f"PAYDESK_{name}", value)
    with pytest.raises(SystemExit, match="without TLS"):
        processes.main()
