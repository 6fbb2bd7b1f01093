"""The scan for leaks itself: what it finds in logs and columns, and what it passes over."""

from pathlib import Path

import pytest
import sqlalchemy

from ops import leaks
from protos.paydesk.v1 import credentials_pb2, credentials_pb2_grpc
from tests.integration.office import opened_office

MARKER, NOWHERE = "marked-3f9c2a77", "marked-never-used"


async def test_secrets_that_went_through_the_edge_stand_in_no_column(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        keys = await office.stub(credentials_pb2_grpc.CredentialsStub, "CHANNEL_ADMIN")
        await keys.AddCredentials(
            credentials_pb2.AddCredentialsRequest(request_id="r-1", account_id="pnc_one", values={"secret": MARKER})
        )
        markers = [MARKER, "secret-pnc-one", "secret-life-two"]
        assert await office.database.run(lambda c: leaks.scan(Path("/nowhere"), c, markers)) == []
        await office.database.run(
            lambda c: c.exec_driver_sql("UPDATE merchant_account_versions SET terms = jsonb_build_object('secret', %s)", (MARKER,))
        )
        found = await office.database.run(lambda c: leaks.scan(Path("/nowhere"), c, [NOWHERE, MARKER]))
        assert {(leak.marker, leak.place) for leak in found} == {(1, "merchant_account_versions.terms")}


@pytest.mark.parametrize(
    ("file", "is_log"),
    [("logs/gateway.log", True), ("logs/engine.log.1", True), ("ray/session_1/logs/gcs.out.5", True), ("ray/session_1/logs/worker-1.out", True),
     ("ray/session_1/logs/raylet.err", True), ("postgres/log", True), ("master.key", False),
     ("development-keys.json", False), ("simulator/ledger.jsonl", False), ("postgres/base/1/1259", False)],
)  # fmt: skip
def test_logs_are_read_and_what_holds_secrets_by_nature_is_not(tmp_path: Path, file: str, is_log: bool) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"x {MARKER} x")
    assert leaks.logs_of(tmp_path) == ([path] if is_log else [])


async def test_a_name_is_found_however_a_log_writes_it(emptied_database_url: str, tmp_path: Path) -> None:
    for number, line in enumerate(('{"name": "\\u6b27\\u9633"}', "name 欧阳", "GET /?name=%E6%AC%A7%E9%98%B3")):
        (tmp_path / f"{number}.log").write_text(line, encoding="utf-8")
    engine = sqlalchemy.create_engine(emptied_database_url)
    with engine.connect() as connection:
        assert [leak.marker for leak in leaks.scan(tmp_path, connection, ["欧阳", "王"])] == [0, 0, 0]
    engine.dispose()
