"""The committed wire code is what the .proto files say, and no released message has changed its meaning."""

import subprocess
import sys
from pathlib import Path

import pytest

from protos import generate
from tests.architecture.sources import ROOT

BUF = Path(sys.executable).parent / "buf"
CONFIG = ROOT / "protos" / "buf.yaml"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled descriptors of today."""
    target = tmp_path_factory.mktemp("image") / "protos.binpb"
    generate.write_image(target)
    return target


def test_the_committed_code_is_the_generated_code(tmp_path: Path) -> None:
    written = generate.generate(tmp_path)
    assert written
    committed = {path for path in (ROOT / "protos" / "paydesk").rglob("*_pb2*") if path.suffix in (".py", ".pyi")}
    assert {path.relative_to(tmp_path) for path in written} == {path.relative_to(ROOT / "protos") for path in committed}
    stale = [
        str(path.relative_to(tmp_path))
        for path in written
        if path.read_text() != (ROOT / "protos" / path.relative_to(tmp_path)).read_text()
    ]
    assert not stale, f"run make protos, and commit what it writes: {', '.join(stale)}"


def test_the_wire_keeps_to_its_style(image: Path) -> None:
    _buf("lint", image)


def test_nothing_released_is_broken(image: Path) -> None:
    _buf("breaking", image, "--against", ROOT / "protos" / "released.binpb")


def _buf(verb: str, image: Path, *more: str | Path) -> None:
    done = subprocess.run(
        [BUF, verb, image, "--config", CONFIG, *more], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
