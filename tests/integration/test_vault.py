"""What the database holds of a secret, and how its keys are replaced while it is used."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import Engine

from domain.credentials import State
from storage import credentials, vault
from storage.credentials import Owner, OwnerKind
from storage.database import make_engine, transact
from storage.master_keys import VARIABLE, MasterKeyMissing, MasterKeys
from storage.vault import Place, SealBroken, Vault
from tests.integration.outbox import SECRET, add_tenant
from tests.vaults import new_vault

PLACE = Place("pnc", "ACCOUNT/one/1", "sealed")


@pytest.fixture
def engine(emptied_database_url: str) -> Iterator[Engine]:
    made = make_engine(emptied_database_url, pool_size=4)
    yield made
    made.dispose()


def test_a_sealed_value_opens_in_its_place_only(engine: Engine) -> None:
    with engine.begin() as connection:
        sealed = new_vault().seal(connection, PLACE, "a private key 私钥".encode())
        assert b"private" not in sealed
        assert new_vault().open(connection, PLACE, sealed).decode() == "a private key 私钥"
        for moved in (PLACE._replace(tenant_id="life"), PLACE._replace(object_id="ACCOUNT/one/2"), PLACE._replace(field="x")):
            with pytest.raises(SealBroken):
                new_vault().open(connection, moved, sealed)
        with pytest.raises(SealBroken, match="changed"):
            new_vault().open(connection, PLACE, sealed[:-1] + bytes([sealed[-1] ^ 1]))


def test_a_wrapped_key_of_another_tenant_is_of_no_use(engine: Engine) -> None:
    with engine.begin() as connection:
        sealed = new_vault().seal(connection, PLACE, b"x")
        new_vault().seal(connection, PLACE._replace(tenant_id="life"), b"x")
        connection.exec_driver_sql(
            "UPDATE data_keys SET wrapped = (SELECT wrapped FROM data_keys WHERE tenant_id = 'life' AND purpose = 'DATA') "
            "WHERE tenant_id = 'pnc' AND purpose = 'DATA'"
        )
        with pytest.raises(SealBroken, match="data key"):
            new_vault().open(connection, PLACE, sealed)


def test_the_file_of_master_keys_is_private_and_never_replaced_by_a_new_one(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    with engine.begin() as connection:
        sealed = Vault(MasterKeys(file, environment={})).seal(connection, PLACE, b"x")
        assert file.stat().st_mode & 0o777 == 0o600
        away = file.rename(tmp_path / "safe copy")
        with pytest.raises(MasterKeyMissing, match="safe copy"):
            Vault(MasterKeys(file, environment={})).open(connection, PLACE, sealed)
        assert not file.exists()
        away.rename(file)
        file.chmod(0o644)
        with pytest.raises(MasterKeyMissing, match="chmod 600"):
            Vault(MasterKeys(file, environment={})).open(connection, PLACE, sealed)


@pytest.mark.parametrize("text", ["", "mk_1", "mk_1 c2hvcnQ=", "mk_1 !!!"])
def test_a_master_key_that_is_none_is_named(text: str) -> None:
    with pytest.raises(MasterKeyMissing, match="master key"):
        MasterKeys(Path("/nowhere"), environment={VARIABLE: text}).newest()


def test_master_and_data_keys_are_replaced_while_others_read_and_write(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    reader, over, read = Vault(MasterKeys(file, environment={})), threading.Event(), []
    owner = Owner("pnc", OwnerKind.ACCOUNT, "one")

    def look() -> None:
        while not over.is_set():
            found = transact(engine, lambda c: credentials.in_use(c, reader, OwnerKind.ACCOUNT))
            read.append({version.values["secret"] for version in found["pnc", "one"]})

    def add(number: int) -> None:
        values = {"secret": f"secret {number}"}
        transact(engine, lambda c: credentials.add(c, reader, owner, values, (), principal="zhang", state=State.ACTIVE))

    for number in range(5):
        add(number)
    thread = threading.Thread(target=look)
    thread.start()
    try:
        turner = Vault(MasterKeys(file, environment={}))
        old = MasterKeys(file, environment={}).newest()
        master = MasterKeys(file, environment={}).add()
        assert transact(engine, turner.forget_masters) == [], "the old one wraps everything still"
        assert transact(engine, turner.rewrap) == (master.key_id, 2)
        assert transact(engine, turner.rewrap) == (master.key_id, 0)
        assert transact(engine, turner.forget_masters) == [old.key_id]
        assert transact(engine, lambda c: turner.begin_data_key(c, "pnc")) == 2
        (table,) = [table for table in vault.SEALED if table.name == "credentials"]
        page = transact(engine, lambda c: turner.reseal(c, "pnc", table, limit=2))
        assert page == (2, 2, ("ACCOUNT", "one", 2))  # and here it is killed
        turner = Vault(MasterKeys(file, environment={}))
        assert transact(engine, lambda c: turner.begin_data_key(c, "pnc")) == 2, "what is unfinished goes on"
        add(5)  # by one who has not heard of the new key yet
        pages = [transact(engine, lambda c: turner.reseal(c, "pnc", table, limit=2))]
        while after := pages[-1].after:
            pages.append(transact(engine, lambda c, after=after: turner.reseal(c, "pnc", table, after=after, limit=2)))  # type: ignore[misc]
        assert [page.seen_count for page in pages] == [2, 2, 2, 0], "each value is looked at once, however many there are"
        assert [page.sealed_count for page in pages][:2] == [0, 2]
        assert transact(engine, lambda c: vault.stale(c, "pnc", 2)) == 0
    finally:
        over.set()
        thread.join()
    assert read and all(seen >= {f"secret {number}" for number in range(5)} for seen in read)
    assert transact(engine, lambda c: turner.begin_data_key(c, "pnc")) == 3


def test_a_master_key_that_somebody_is_about_to_wrap_with_is_not_forgotten(engine: Engine, tmp_path: Path) -> None:
    file, done = tmp_path / "master.key", threading.Event()
    slow, turner = Vault(MasterKeys(file, environment={})), Vault(MasterKeys(file, environment={}))

    def forget() -> None:
        transact(engine, turner.forget_masters)
        done.set()

    with engine.begin() as connection:
        sealed = slow.seal(connection, PLACE, b"x")  # with a data key that nobody else sees yet
        MasterKeys(file, environment={}).add()
        thread = threading.Thread(target=forget)
        thread.start()
        assert not done.wait(0.2)
    thread.join()
    with engine.begin() as connection:
        assert Vault(MasterKeys(file, environment={})).open(connection, PLACE, sealed) == b"x"


def test_of_many_who_add_a_master_key_at_once_nobody_loses_anothers(tmp_path: Path) -> None:
    file, made = tmp_path / "master.key", list[str]()
    threads = [
        threading.Thread(target=lambda: made.append(MasterKeys(file, environment={}).add().key_id)) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = [line.split()[0] for line in file.read_text().splitlines()]
    assert len(made) == 12 and set(made) <= set(held)
    assert {path.name for path in tmp_path.iterdir()} <= {"master.key", "master.key.lock"}


def test_a_broken_secret_stops_one_account_and_not_all(engine: Engine) -> None:
    with engine.begin() as connection:
        for name in ("one", "two"):
            owner = Owner("pnc", OwnerKind.ACCOUNT, name)
            credentials.add(connection, new_vault(), owner, {"secret": name}, (), principal="z", state=State.ACTIVE)
        connection.exec_driver_sql("UPDATE credentials SET sealed = overlay(sealed PLACING 'x' FROM 30) WHERE owner_id = 'one'")
        assert list(credentials.in_use(connection, new_vault(), OwnerKind.ACCOUNT)) == [("pnc", "two")]


def test_the_newest_active_version_signs_all_in_use_verify_and_a_retired_one_is_gone(engine: Engine) -> None:
    owner = Owner("pnc", OwnerKind.ACCOUNT, "one")
    with engine.begin() as connection:
        shared = new_vault()

        def in_use() -> list[int]:
            found = credentials.in_use(connection, shared, OwnerKind.ACCOUNT)
            return [version.version for version in found.get(("pnc", "one"), ())]

        for number in (1, 2, 3):
            values = {"secret": f"s{number}"}
            assert credentials.add(connection, shared, owner, values, (), principal="zhang") == number
        assert in_use() == [], "nothing signs yet"
        assert credentials.activate(connection, owner, 1) and not credentials.activate(connection, owner, 1)
        assert in_use() == [1, 3, 2]
        assert credentials.activate(connection, owner, 3)
        assert in_use() == [3, 1, 2]
        assert credentials.retire(connection, owner, 1) and not credentials.retire(connection, owner, 1)
        assert not credentials.activate(connection, owner, 1)
        assert in_use() == [3, 2]
        assert connection.exec_driver_sql("SELECT sealed FROM credentials WHERE version = 1").scalar() is None


def test_plain_secrets_of_an_earlier_release_are_taken_over_once(engine: Engine) -> None:
    with engine.begin() as connection:
        add_tenant(connection, "life", url="")
        for statement in (
            f"INSERT INTO webhook_endpoints (tenant_id, url, secrets) VALUES ('life', 'https://a.example', '{{{SECRET}}}')",
            "INSERT INTO channels (channel_id, display_name, kind) VALUES ('one', 'one', 'sandbox')",
            "INSERT INTO merchant_accounts (account_id, tenant_id, channel_id, merchant_no) VALUES ('a', 'life', 'one', 'm')",
            """INSERT INTO merchant_account_versions (account_id, version, terms, valid_from, principal)
               VALUES ('a', 1, '{"secret": "old secret", "fee_bps": 60}', now(), 'migration')""",
        ):
            connection.exec_driver_sql(statement)
        for _ in range(2):
            credentials.adopt(connection, new_vault())
        assert connection.exec_driver_sql("SELECT secrets FROM webhook_endpoints").scalar() == []
        assert connection.exec_driver_sql("SELECT terms FROM merchant_account_versions").scalar() == {"fee_bps": 60}
        (webhook,) = credentials.in_use(connection, new_vault(), OwnerKind.WEBHOOK)["life", "life"]
        (account,) = credentials.in_use(connection, new_vault(), OwnerKind.ACCOUNT)["life", "a"]
        assert (webhook.values, account.values) == ({"secret": SECRET}, {"secret": "old secret"})
        assert SECRET not in repr(webhook)


def test_a_desk_document_holds_plain_secrets_and_the_database_none(engine: Engine) -> None:
    document = {
        "tenants": [{"tenant_id": "pnc", "display_name": "P", "webhook": {"url": "https://a", "secrets": ["whsec_AAAA", "whsec_BBBB"]}}],
        "channels": [{"channel_id": "c", "display_name": "c", "kind": "sandbox"}],
        "accounts": [{"account_id": "a", "tenant_id": "pnc", "channel_id": "c", "merchant_no": "m",
                      "terms": {"secret": "shh", "methods": ["QR"]}}],
    }  # fmt: skip
    with engine.begin() as connection:
        for _ in range(2):
            credentials.install(connection, new_vault(), document)
        found = credentials.in_use(connection, new_vault(), OwnerKind.WEBHOOK)["pnc", "pnc"]
        assert [version.values["secret"] for version in found] == ["whsec_AAAA", "whsec_BBBB"]
        document["tenants"][0]["webhook"]["secrets"] = ["whsec_CCCC", "whsec_AAAA"]  # type: ignore[index]
        credentials.install(connection, new_vault(), document)
        found = credentials.in_use(connection, new_vault(), OwnerKind.WEBHOOK)["pnc", "pnc"]
        assert {version.values["secret"] for version in found} == {"whsec_CCCC", "whsec_AAAA"}
        for table in ("webhook_endpoints", "merchant_account_versions", "merchant_accounts", "credentials"):
            rows = str(connection.execute(sqlalchemy.text(f"SELECT t::text FROM {table} t")).all())
            assert not any(word in rows for word in ("whsec_", "shh"))
