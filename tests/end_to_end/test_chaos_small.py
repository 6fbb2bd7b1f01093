"""Three kills of the chaos drill: a router, PostgreSQL, and everything at once. `paydesk chaos --kills 50` does the rest."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.xdist_group("chaos")
@pytest.mark.timeout(420)
def test_three_kills_lose_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ops.chaos.cli", "--kills", "3", "--seed", "5", "--rate", "20", "--json",
               "--only", "router,postgres,tree", "--expire-s", "18"]  # fmt: skip
    done = subprocess.run(
        command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=400,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["holds"] and said["kills"] == 3 and said["seed"] == 5
    assert (said["acknowledged_lost"], said["double_charges"], said["final_notices_missing"]) == (0, 0, 0)
    assert said["acknowledged"] > 100 and set(said["by_kind"]) <= {"router", "postgres", "tree"}
    assert said["serving_again_s_max"] <= 30 and said["overdue_claimed_s_max"] <= 60
    assert said["replay"].startswith("paydesk chaos --kills 3 --seed 5")
