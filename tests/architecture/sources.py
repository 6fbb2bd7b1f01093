"""The files that the architecture tests look at: everything that a clone holds, and nothing that a build leaves behind."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("domain", "channels", "storage", "actors", "servers", "simulator", "ops", "protos", "tests")
_TEXTS = {".py", ".md", ".toml", ".cfg", ".yml", ".yaml", ".json", ".proto", ".ini", ".in", ".sh"}


def is_generated(path: Path) -> bool:
    """Tell whether protoc has written a file."""
    return path.stem.endswith(("_pb2", "_pb2_grpc"))


def modules(*packages: str) -> Iterator[Path]:
    """Yield every Python file that a person has written."""
    for package in packages or PACKAGES:
        yield from (path for path in sorted((ROOT / package).rglob("*.py")) if not is_generated(path))


@functools.cache
def tree(path: Path) -> ast.Module:
    """Return what a Python file says."""
    return ast.parse(path.read_text())


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Return every node of a Python file."""
    return tuple(ast.walk(tree(path)))


def texts() -> Iterator[Path]:
    """Yield every text of the product, documents and settings included."""
    yield from (path for path in sorted(ROOT.iterdir()) if path.is_file() and _is_text(path))
    for folder in (*PACKAGES, "docs", ".ci"):
        yield from (path for path in sorted((ROOT / folder).rglob("*")) if path.is_file() and _is_text(path))


def _is_text(path: Path) -> bool:
    named = path.suffix in _TEXTS or path.name in ("Makefile", "run")
    return named and not is_generated(path) and "__pycache__" not in path.parts


def short(path: Path) -> str:
    """Name a file as a person would."""
    return str(path.relative_to(ROOT))
