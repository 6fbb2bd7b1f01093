"""`paydesk demo` as a user runs it: a process of its own, on its own ports, in a folder of its own."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ops.demo.make_orders import COLUMNS, make_orders

COMMAND = [sys.executable, "-m", "ops.cli", "demo"]
ORDERS = 300

pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.timeout(400)]


def write_orders(path: Path, rows: list[dict[str, str]], encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def demo(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_a_small_day_holds(tmp_path: Path) -> None:
    orders = write_orders(tmp_path / "orders.csv", make_orders(seed=3, count=ORDERS))
    done = demo("--orders", str(orders), "--json", "--seed", "5", folder=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["holds"] and report["settled"] and report["verdict"]["holds"]
    assert (report["orders"], report["callers"]["sent"]) == (ORDERS, ORDERS)
    assert report["callers"]["gave_up"] == [] and report["restarts"] == []
    facts, notices = report["facts"], report["notices"]
    assert facts["kept"]["count"] > ORDERS * 0.8
    assert sum(row["routed"] for row in facts["channels"]) >= ORDERS
    # The channel that died left payers in doubt, and every doubt ended.
    assert facts["doubt"]["payments"] == sum(row["count"] for row in facts["doubt"]["ends"]) > 0
    assert {row["cause"] for row in facts["refunds"]} >= {"DUPLICATE"}
    assert {row["state"] for row in facts["refunds"]} == {"SUCCEEDED"}
    assert sum(row["count"] for row in facts["callbacks"]) > ORDERS / 4
    assert notices["accepted"] == notices["events"] > ORDERS * 0.8
    assert notices["bad_signatures"] == notices["disorders"] == notices["changed_bodies"] == 0
    assert [item["reason"] for item in report["explained"]]
    assert "Everything holds" in done.stdout
    assert not list((tmp_path / ".paydesk").glob("*")), "a demo leaves nothing behind"


def test_a_file_with_problems_loads_nothing(tmp_path: Path) -> None:
    rows = make_orders(seed=3, count=4)
    rows[2] = {**rows[2], "amount_yuan": "6.8E+03"}
    rows[3] = {**rows[3], "order_no": rows[0]["order_no"], "tenant": rows[0]["tenant"], "product": rows[0]["product"]}
    done = demo("--orders", str(write_orders(tmp_path / "orders.csv", rows)), folder=tmp_path)
    assert done.returncode == 2
    assert "nothing was loaded: the orders file has 2 problems" in done.stderr
    assert "row 4, column amount_yuan: '6.8E+03' is in scientific notation" in done.stderr
    assert "row 5, column order_no:" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".paydesk").exists()


@pytest.mark.parametrize(("encoding", "says"), [("gbk", "is GBK, not UTF-8"), ("utf-16", "is UTF-16")])
def test_a_file_of_another_encoding_says_what_to_do(tmp_path: Path, encoding: str, says: str) -> None:
    orders = write_orders(tmp_path / "orders.csv", make_orders(seed=3, count=2), encoding=encoding)
    done = demo("--orders", str(orders), folder=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr and "iconv" in done.stderr


def test_a_file_that_is_not_there_is_told_in_a_sentence(tmp_path: Path) -> None:
    done = demo("--orders", "nowhere.csv", folder=tmp_path)
    assert (done.returncode, done.stderr) == (2, "paydesk: nowhere.csv: no such file or directory\n")
