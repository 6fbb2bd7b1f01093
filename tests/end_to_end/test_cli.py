"""The `paydesk` command as a user types it, against a deployment that `paydesk serve` started."""

import contextlib
import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest

from ops import cli

pytestmark = pytest.mark.xdist_group("cli")
START_TIMEOUT_S = 150.0


class Served(NamedTuple):
    """A running `paydesk serve`, and what it printed."""

    process: "subprocess.Popen[bytes]"
    directory: Path
    banner: str


def environment(directory: Path) -> dict[str, str]:
    names = {"PAYDESK_DATA_DIR": str(directory), "PAYDESK_GRPC_PORT": "0", "PAYDESK_HTTP_PORT": "0"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PAYDESK_", "RAY_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, **names, "PATH": path}


def typed(directory: Path, *arguments: str, **changes: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "ops.cli", *arguments], env=environment(directory) | changes, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def paydesk(directory: Path, *arguments: str, stdin: str = "", **changes: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in this process, which has imported it: a process of its own spends a second on that alone."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, environment(directory) | changes, clear=True),
        patch.object(sys, "argv", ["paydesk", *arguments]),
        patch.object(sys, "stdin", io.StringIO(stdin)),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        cli.main()
    return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """Start `paydesk serve` in a fresh data directory, and end it with SIGTERM."""
    directory = Path(tempfile.mkdtemp(prefix="pd-cli-"))
    output = directory / "banner.txt"
    with output.open("wb") as file, (directory / "serve.log").open("wb") as errors:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "paydesk", "serve"], env=environment(directory), stdout=file, stderr=errors,
            cwd=directory,
        )  # fmt: skip
    try:
        give_up_s = time.monotonic() + START_TIMEOUT_S
        while "print(payments" not in output.read_text():
            assert process.poll() is None, (directory / "serve.log").read_text()
            assert time.monotonic() < give_up_s, "does not serve"
            time.sleep(0.1)
        yield Served(process, directory, output.read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        shutil.rmtree(directory, ignore_errors=True)


def test_what_serve_prints_for_the_shell_works_when_pasted(served: Served) -> None:
    lines = [line.strip() for line in served.banner.splitlines() if " call Payments/" in line]
    assert len(lines) == 2
    made, listed = (
        subprocess.run(
            line, shell=True, env=environment(served.directory), capture_output=True, text=True, timeout=60, check=False
        )
        for line in lines
    )
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["order_no"] == "A-1001"
    assert "A-1001" in [payment["order_no"] for payment in json.loads(listed.stdout)["payments"]]


def test_what_serve_prints_for_python_works_when_pasted(served: Served) -> None:
    snippet = served.banner[served.banner.index("import json") :]
    done = subprocess.run(
        [sys.executable], input=snippet, capture_output=True, text=True, timeout=60, cwd="/", check=False
    )
    assert done.returncode == 0, done.stderr
    assert 'order_no: "A-1002"' in done.stdout


def test_serve_says_what_the_database_is(served: Served) -> None:
    assert "embedded PostgreSQL" in served.banner
    assert ("You are root" in served.banner) == (os.geteuid() == 0)
    log = (served.directory / "serve.log").read_text()
    assert '"kind": "embedded PostgreSQL"' in log


def test_a_second_serve_on_the_same_data_is_refused(served: Served) -> None:
    done = typed(served.directory, "serve")
    assert done.returncode == 1
    assert re.fullmatch(r"paydesk: .* is in use by another Paydesk: .*PAYDESK_DATA_DIR.*\n", done.stderr), done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["Payments/CreatePayment", '{"order_n": 1}'], 2, 'no field named "order_n"'),
        (["Payments/CreatePayment", "{"], 2, "the request is no JSON"),
        (["Payments/CreatePayment", "[1]"], 2, "must be a JSON object"),
        (["Payments/CreatePayment", '{"method": "CASH"}'], 2, "CASH"),
        (["Payments/Nothing"], 2, "there is no method"),
        (["Payments/GetPayment", '{"payment_id": "pay_X"}'], 1, "NOT_FOUND PAYMENT_NOT_FOUND"),
        (["Payments/GetPayment", '{"payment_id": "pay_X"}', "--key", "pdk_wrong"], 1, "UNAUTHENTICATED KEY_UNKNOWN"),
        (["Payments/GetPayment", "{}", "--tenant", "nobody"], 1, "no development key of tenant 'nobody'"),
        (["Payments/GetPayment", "{}", "--target", "127.0.0.1:1"], 1, "nothing serves at 127.0.0.1:1"),
    ],
)
def test_call_tells_what_is_wrong(served: Served, arguments: list[str], code: int, says: str) -> None:
    done = paydesk(served.directory, "call", *arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert says in done.stderr


def test_call_shows_every_field_that_breaks_a_rule(served: Served) -> None:
    request = {"order_no": "B-1", "product_code": "TRAVEL_ACC", "amount": {"amount_minor": -5, "currency_code": "ABC"}}
    done = paydesk(served.directory, "call", "CreatePayment", json.dumps(request), "--tenant", "pnc")
    assert done.returncode == 1
    assert "INVALID_ARGUMENT" in done.stderr
    assert "\n  amount.amount_minor: must be positive\n" in done.stderr
    assert "\n  amount.currency_code: " in done.stderr


def test_call_repeats_with_the_same_request_id(served: Served) -> None:
    request = {"request_id": "cli-1", "order_no": "B-2", "product_code": "TRAVEL_ACC",
               "amount": {"amount_minor": 1800, "currency_code": "CNY"}}  # fmt: skip
    answers = [
        json.loads(
            paydesk(served.directory, "call", "CreatePayment", "-", "--tenant", "pnc", stdin=json.dumps(request)).stdout
        )
        for _ in range(2)
    ]
    assert answers[0]["payment_id"] == answers[1]["payment_id"]


def test_call_reads_a_stream(served: Served) -> None:
    done = paydesk(served.directory, "call", "Events/Subscribe", "--tenant", "pnc", "--limit", "1")
    assert json.loads(done.stdout)["event_type"].startswith("payment.")


def test_call_lists_methods_and_fields() -> None:
    listed = paydesk(Path("/nowhere"), "call", "--list").stdout.splitlines()
    assert "Payments/CreatePayment" in listed and "Simulator/ExportTruth" in listed
    fields = paydesk(Path("/nowhere"), "call", "CreatePayment", "--fields").stdout
    assert "  amount_minor: number" in fields and "METHOD_ALIPAY" in fields


def test_check_holds_and_compares_with_the_running_sandbox(served: Served) -> None:
    done = paydesk(served.directory, "check", "--json", "--patience", "30")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["holds"] and "truth_entries" in document["figures"]


def test_keys_are_made_used_and_revoked(served: Served) -> None:
    directory = served.directory
    made = paydesk(directory, "keys", "add", "pnc", "reports", "--role", "VIEWER")
    key, key_id = made.stdout.strip(), made.stderr.split(":")[0]
    call = ("call", "Payments/ListPayments", "{}", "--key", key)
    _until(lambda: paydesk(directory, *call).returncode == 0)
    denied = paydesk(directory, "call", "CreatePayment", '{"order_no": "B-3"}', "--key", key)
    assert "PERMISSION_DENIED" in denied.stderr
    assert key_id in paydesk(directory, "keys", "list").stdout
    assert key not in paydesk(directory, "keys", "list").stdout
    assert paydesk(directory, "keys", "revoke", key_id).returncode == 0
    _until(lambda: "UNAUTHENTICATED" in paydesk(directory, *call).stderr)
    assert paydesk(directory, "keys", "revoke", key_id).returncode == 1
    assert "no tenant 'nobody'" in paydesk(directory, "keys", "add", "nobody", "x").stderr
    assert "no role 'KING'" in paydesk(directory, "keys", "add", "pnc", "x", "--role", "KING").stderr


def _until(found: Any) -> None:
    give_up_s = time.monotonic() + 20
    while not found():
        assert time.monotonic() < give_up_s


def test_the_database_is_shown_and_reached(served: Served) -> None:
    status = paydesk(served.directory, "db", "status")
    assert "up to date" in status.stdout and "payments" in status.stdout
    assert paydesk(served.directory, "db", "upgrade").returncode == 0
    asked = typed(served.directory, "db", "psql", "-Atc", "SELECT count(*) FROM tenants")
    assert (asked.returncode, asked.stdout) == (0, "3\n")
    assert paydesk(served.directory, "db", "url").stdout.startswith("postgresql+psycopg2://")


def test_load_reports_in_the_terminal_as_json_and_as_a_page(served: Served) -> None:
    page = served.directory / "load.html"
    done = paydesk(
        served.directory, "load", "--rate", "20", "--seconds", "3", "--profile", "peak", "--tenant", "travel", "--html",
        str(page), "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["due"] == report["answered"] + sum(report["errors"].values()) + report["dropped"]
    assert report["due"] > 60 and report["latency_ms"]["p50"] > 0
    assert "<svg" in page.read_text() and "http" not in page.read_text()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PAYDESK_HOST", "0.0.0.0", "refusing to listen on 0.0.0.0"),
        ("PAYDESK_DESK_FILE", "/nowhere.toml", "the desk file /nowhere.toml can't be read"),
        ("PAYDESK_DATABASE_URL", "nonsense", "no database URL"),
        ("PAYDESK_DATABASE_URL", "postgresql+psycopg2://x@127.0.0.1:1/x", "the database does not answer"),
    ],
)
def test_what_keeps_serve_from_starting_is_told_in_a_sentence(name: str, value: str, says: str, tmp_path: Path) -> None:
    done = typed(tmp_path / "data", "serve", **{name: value})
    assert done.returncode in (1, 2)
    assert says in done.stderr and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PAYDESK_GRPC_PORT", "99999", "PAYDESK_GRPC_PORT: input should be less than or equal to 65535"),
        ("PAYDESK_CONFIG", "/nowhere.toml", "PAYDESK_CONFIG names /nowhere.toml"),
    ],
)
def test_a_setting_that_is_none_is_told_in_a_sentence(name: str, value: str, says: str, tmp_path: Path) -> None:
    done = paydesk(tmp_path, "serve", **{name: value})
    assert done.returncode in (1, 2)
    assert says in done.stderr


def test_commands_without_a_database_say_how_to_make_one(tmp_path: Path) -> None:
    for command in (["check"], ["db", "status"], ["keys", "list"]):
        done = paydesk(tmp_path, *command)
        assert done.returncode == 1
        assert "`paydesk serve` makes one" in done.stderr


def test_help_is_quick_and_names_every_command() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = typed(Path("/nowhere"), "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < 2
    assert all(
        name in done.stdout for name in ("serve", "demo", "load", "bench", "chaos", "check", "call", "keys", "db")
    )


def test_after_the_end_the_ledger_on_disk_is_the_truth(served: Served) -> None:
    """The last test: it ends the deployment."""
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(60) == 0
    assert "ending: calls under way are answered first" in (served.directory / "banner.txt").read_text()
    done = paydesk(served.directory, "check", "--json")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["figures"]["truth_entries"] > 0
    assert "nothing serves" in paydesk(served.directory, "call", "Payments/ListPayments").stderr
