"""A database of the first release, with rows in it, becomes one of today."""

import threading
from collections.abc import Iterator

import alembic.command
import pytest
import sqlalchemy
from sqlalchemy import Engine

from storage import desk, identity, migrate, row_security
from storage.database import make_engine

_OLD = """
INSERT INTO tenants (tenant_id, display_name, products) VALUES ('pnc', 'P&C', '{AUTO,HOME}'), ('life', 'Life', '{}');
INSERT INTO channels (channel_id, display_name, kind) VALUES ('one', 'one', 'sandbox');
INSERT INTO merchant_accounts (account_id, tenant_id, channel_id, merchant_no, terms)
    VALUES ('pnc_one', 'pnc', 'one', 'M1', '{"methods": ["QR"], "fee_bps": 60}');
INSERT INTO api_keys (key_digest, key_id, tenant_id, principal, roles) VALUES
    (decode(repeat('01', 32), 'hex'), 'key_1', 'pnc', 'core', '{PARTNER_API}'),
    (decode(repeat('02', 32), 'hex'), 'key_2', 'pnc', 'core', '{PARTNER_API,OPS}'),
    (decode(repeat('03', 32), 'hex'), 'key_3', 'life', 'core', '{VIEWER}');
INSERT INTO maintenance_windows (window_id, channel_id, start_time, end_time, reason)
    VALUES ('w1', 'one', now(), now() + interval '1 hour', 'upgrade');
INSERT INTO payments (tenant_id, payment_id, request_id, content_hash, order_no, product_code, amount_minor, currency_code, method,
                      terminal, source, subject, payer_ref, state, channel_id, account_id, merchant_no,
                      attempt_no, attempt_index, expire_time)
    SELECT 'pnc', 'pay_' || n, 'r' || n, repeat('0', 32), 'A-' || n, 'AUTO', 100, 'CNY', 'QR', 'APP', 'OWN', 'x', '', 'CLOSED', 'one',
        'pnc_one', 'M1', 'at_' || n, 1, now()
    FROM generate_series(1, 5000) n;
"""


@pytest.fixture
def old(postgres_url: str, _postgres_desk: sqlalchemy.Engine) -> Iterator[Engine]:
    """A database with the schema and rows of the first release."""
    url = sqlalchemy.make_url(postgres_url).set(database="old")
    with _postgres_desk.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE old")
    engine = make_engine(url.render_as_string(hide_password=False), pool_size=2)
    settings = migrate.config()
    with engine.connect() as connection:
        settings.attributes["connection"] = connection
        alembic.command.upgrade(settings, "0002")
        connection.commit()
        connection.exec_driver_sql(_OLD)
        connection.commit()
    yield engine
    engine.dispose()
    with _postgres_desk.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE old WITH (FORCE)")


def test_what_was_there_is_there_with_its_meaning(old: Engine) -> None:
    migrate.upgrade(old)
    migrate.upgrade(old)
    with old.connect() as connection:
        now = desk.load(connection)
        (account,) = now.accounts
        assert sorted(now.tenants["pnc"].products) == ["AUTO", "HOME"] and not now.tenants["life"].products
        assert (account.account_id, dict(account.terms)) == ("pnc_one", {"methods": ["QR"], "fee_bps": 60})
        assert [window.window_id for window in now.windows] == ["w1"]
        access = identity.load(connection)
        held = {owner: {grant.role for grant in grants} for owner, grants in access.grants.items()}
        assert held == {("pnc", "core"): {"PARTNER_API", "OPS"}, ("life", "core"): {"VIEWER"}}
        assert {key.key_id: key.roles for key in access.keys}["key_1"] == frozenset({"PARTNER_API"}), "a key does no more than before"
        assert connection.exec_driver_sql("SELECT count(*) FROM payments WHERE institution_id = ''").scalar() == 5_000
        assert row_security.standing(connection) == ""
        left = connection.exec_driver_sql("SELECT conname FROM pg_constraint WHERE NOT convalidated").all()
        assert left == [], "what comes unchecked is checked later"
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "20s", "ordinary work is not that patient"


def test_somebody_who_migrates_just_now_is_waited_for_longer_than_for_a_statement(old: Engine) -> None:
    impatient = make_engine(old.url.render_as_string(hide_password=False), pool_size=1, timeout_s=0.2)
    with old.connect() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_lock(7041991)")
        second = threading.Thread(target=migrate.upgrade, args=(impatient,))
        second.start()
        second.join(0.5)
        assert second.is_alive()
        connection.invalidate()
    second.join(20)
    impatient.dispose()
    with old.connect() as connection:
        assert row_security.standing(connection) == ""
