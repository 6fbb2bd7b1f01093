"""Fill a database with payments that look as if the product had made them: same tables, same indexes, all final."""

from collections.abc import Callable

from sqlalchemy import Engine, text

from storage.database import make_engine

CHUNK = 100_000

# Numbers are spread like real ones: order and request numbers at random, ids and attempts by time.
_PAYMENTS = """
INSERT INTO payments (tenant_id, payment_id, request_id, content_hash, order_no, product_code, amount_minor, currency_code,
    method, terminal, source, subject, payer_ref, state, channel_id, account_id, merchant_no, attempt_no, attempt_index,
    channel_txn_no, revision, proof_rank, kept, create_time, update_time, expire_time, success_time)
SELECT 'bench', 'pay_00' || lpad(n::text, 24, '0'), md5('r' || n), md5(n::text), 'ORD' || md5('o' || n), 'TRAVEL_ACC',
    1800, 'CNY', '', 'H5', '', '旅行意外险 7 天', 'payer-0001', 'SUCCEEDED', 'instant', 'bench_instant', 'M1',
    '2025' || lpad(n::text, 27, '0'), 1, upper(substr(md5('t' || n), 1, 24)), 2, 2, true, t, t, t + interval '15 min', t
FROM (SELECT n, now() - interval '90 days' + n * interval '1 s' AS t FROM generate_series(:low, :high) AS n) AS s
"""
# Blanks after the colons: SQLAlchemy takes `:1` for a parameter.
_ATTEMPTS = """
INSERT INTO attempts (payment_id, attempt_index, attempt_no, tenant_id, channel_id, account_id, merchant_no, state,
    channel_txn_no, decision)
SELECT payment_id, 1, attempt_no, tenant_id, channel_id, account_id, merchant_no, 'DONE', channel_txn_no,
    '{"v": 1,"g": 200,"c": 2,"a": "SCORE","i": 0,"k": [["instant","bench_instant","","",0.95,97.4,11,1709.5,"HEALTHY",1]]}'
FROM payments WHERE tenant_id = 'bench' AND payment_id BETWEEN :first AND :last
"""
_HISTORY = """
INSERT INTO payment_history (payment_id, revision, event, state, source, reason, attempt_no, create_time)
SELECT payment_id, r, CASE r WHEN 1 THEN 'SUBMIT' ELSE 'CONFIRM' END, CASE r WHEN 1 THEN 'SUBMITTING' ELSE 'SUCCEEDED' END,
    CASE r WHEN 1 THEN 'CALLER' ELSE 'SYNC_REPLY' END, '', attempt_no, create_time
FROM payments, generate_series(1, 2) AS r WHERE tenant_id = 'bench' AND payment_id BETWEEN :first AND :last
"""
_EVENTS = """
INSERT INTO events (payment_id, revision, tenant_id, order_no, event_type, state, reason, create_time, deliver_state)
SELECT payment_id, 2, tenant_id, order_no, 'payment.succeeded', 'SUCCEEDED', '', create_time, 'NONE'
FROM payments WHERE tenant_id = 'bench' AND payment_id BETWEEN :first AND :last
"""
_JOURNAL = """
INSERT INTO journal (payment_id, revision, tenant_id, debit_account, credit_account, amount_minor, currency_code)
SELECT payment_id, 2, tenant_id, 'channel:instant:bench_instant', 'orders:TRAVEL_ACC', amount_minor, currency_code
FROM payments WHERE tenant_id = 'bench' AND payment_id BETWEEN :first AND :last
"""


def fill(url: str, count: int, progress: Callable[[int], None]) -> None:
    """Add `count` paid payments of tenant `bench`; `progress` is told how many there are."""
    engine = make_engine(url, pool_size=1, timeout_s=600)
    try:
        # Whole pages in the log would be most of what is written, and nobody minds a torn page of a bench's database.
        _configure(engine, "SET full_page_writes = off")
        for low in range(1, count + 1, CHUNK):
            high = min(low + CHUNK - 1, count)
            span = {"first": f"pay_00{low:024d}", "last": f"pay_00{high:024d}"}
            with engine.begin() as connection:
                connection.execute(text("SET LOCAL synchronous_commit = off"))
                connection.execute(text(_PAYMENTS), {"low": low, "high": high})
                for statement in (_ATTEMPTS, _HISTORY, _EVENTS, _JOURNAL):
                    connection.execute(text(statement), span)
            progress(high)
        _configure(engine, "RESET full_page_writes")
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in ("payments", "attempts", "payment_history", "events", "journal"):
                connection.exec_driver_sql(f"VACUUM (ANALYZE) {table}")
    finally:
        engine.dispose()


def _configure(engine: Engine, change: str) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"ALTER SYSTEM {change}")
        connection.exec_driver_sql("SELECT pg_reload_conf()")


def checkpoint(url: str) -> None:
    """Have the database write out all that is in its buffers, as it does every quarter of an hour."""
    engine = make_engine(url, pool_size=1, timeout_s=600)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("CHECKPOINT")
    finally:
        engine.dispose()
