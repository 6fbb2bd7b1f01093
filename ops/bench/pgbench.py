"""pgbench with the equivalent SQL: the statements of `storage.payments`, one payment at a time, prepared, two commits."""

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.engine import make_url

from ops.bench.stage import console
from storage import database, migrate, payments
from storage.embedded import binary

# What the hot connections set, see storage/database.py.
_OPTIONS = (
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off "
    "-c plan_cache_mode=force_generic_plan"
)
_N = ":n"


def script() -> str:
    """Write the script: a transaction for the intent, one for the outcome."""
    payment = f"'pay_' || {_N}"
    attempt = f"'2026' || {_N}"
    accept = [
        "'bench'", payment, f"'req' || {_N}", "repeat('a', 32)", f"'ORD' || {_N}", "'TRAVEL_ACC'", "1800", "'CNY'", "''",
        "'H5'", "''", "'a subject of usual length'", "'payer-0001'", "'instant'", "'bench_instant'", "'M1'", attempt,
        "4102444800000", "''",
    ]  # fmt: skip
    # A blank after each colon, and points in account names: pgbench takes `:1` and `:instant` for variables.
    decision = (
        """'{"v": 1,"g": 200,"c": 2,"a": "SCORE","i": 0,"k": [["instant","bench_instant","","",0.95,97.4,11,1709.5,"HEALTHY",1]]}'"""
    )
    noted = [payment, attempt, "'bench'", "'instant'", "'bench_instant'", "'M1'", decision]
    settle = [
        "'bench'", payment, f"'ORD' || {_N}", "1", "'CONFIRM'", "'SUCCEEDED'", "''", "'SYNC_REPLY'", "2", attempt,
        "'DONE'", f"'T' || {_N}", "1795454755348", "false", "''", "''", "NULL", "'payment.succeeded'",
        "'channel.instant.bench_instant'", "'orders.TRAVEL_ACC'",
    ]  # fmt: skip
    return "\n".join(
        [
            r"\set n random(1, 9000000000000000)",
            "BEGIN;",
            _one(payments.ACCEPT, accept) + ";",
            _one(payments.ATTEMPT, noted) + ";",
            "COMMIT;",
            _one(payments.SETTLE, settle) + ";",
        ]
    )


def _one(prepare: str, values: list[str]) -> str:
    """Turn a PREPARE statement over arrays into the same statement over arrays of one."""
    head, _, body = prepare.partition(") AS\n")
    kinds = [kind.strip() for kind in head.partition("(")[2].split(",")]
    text = re.sub(r"\$(\d+)", lambda m: f"ARRAY[{values[int(m[1]) - 1]}]::{kinds[int(m[1]) - 1]}", body)
    return " ".join(text.replace("':'", "chr(58)").split())


@contextlib.contextmanager
def opened(url: str) -> Iterator[str]:
    """Make a database for pgbench beside `url`'s, for as long as a block lasts; yields its URL."""
    admin = database.make_engine(url, pool_size=1)
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("DROP DATABASE IF EXISTS paydesk_pgbench")
        connection.exec_driver_sql("CREATE DATABASE paydesk_pgbench")
    own = make_url(url).set(database="paydesk_pgbench")
    engine = database.make_engine(own.render_as_string(hide_password=False), pool_size=1)
    migrate.upgrade(engine)
    engine.dispose()
    try:
        yield own.render_as_string(hide_password=False)
    finally:
        with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("DROP DATABASE paydesk_pgbench WITH (FORCE)")
        admin.dispose()


def run(url: str, *, clients: int, seconds: int) -> float:
    """Run pgbench on its database; return payments per second."""
    parts = make_url(url)
    host = parts.query.get("host", parts.host)
    environment = {
        **os.environ, "PGHOST": str(host), "PGUSER": str(parts.username), "PGPASSWORD": str(parts.password or ""),
        "PGDATABASE": str(parts.database), "PGOPTIONS": _OPTIONS, "LC_ALL": "C",
    }  # fmt: skip
    if parts.port:
        environment["PGPORT"] = str(parts.port)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "payment.sql"
        file.write_text(script())
        command = [
            str(binary("pgbench")), "-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(seconds), "-f", str(file),
        ]  # fmt: skip
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    match = re.search(r"tps = ([0-9.]+) \(without initial", done.stdout)
    if done.returncode != 0 or match is None:
        console.print(done.stdout, done.stderr[-2000:])
        raise SystemExit("pgbench failed; its words are above")
    return float(match[1])
