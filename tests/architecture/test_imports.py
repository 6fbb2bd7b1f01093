"""Who may import whom: the contracts of setup.cfg, and Ray in one file."""

import ast
import os
import subprocess
import sys
from pathlib import Path

from tests.architecture.sources import ROOT, modules, nodes, short

# `ops.processes` asks the running Ray for its address; all options and calls are in `actors.system`.
MAY_IMPORT_RAY = {"actors/system.py", "ops/processes.py"}
MAY_IMPORT_PROTOS = ("servers/", "ops/", "tests/", "protos/")


def test_the_contracts_are_kept() -> None:
    program = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [program, "--config", ROOT / "setup.cfg", "--no-cache"], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_ray_is_in_one_file() -> None:
    found = [
        name
        for path in modules("domain", "channels", "storage", "actors", "servers", "simulator", "ops")
        if (name := short(path)) not in MAY_IMPORT_RAY and "ray" in _imported(path)
    ]
    assert not found, f"call peers through actors.peers; Ray belongs to actors/system.py: {', '.join(found)}"


def test_protobuf_stops_at_the_edge() -> None:
    found = [
        name
        for path in modules()
        if not (name := short(path)).startswith(MAY_IMPORT_PROTOS) and {"protos", "google"} & _imported(path)
    ]
    assert not found, f"inside, values are named tuples; servers/translate.py turns them: {', '.join(found)}"


def _imported(path: Path) -> set[str]:
    """Return the first names of everything that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names
