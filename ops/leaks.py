"""Looks for secrets where none may be: in logs of our processes, of Ray and of PostgreSQL, and in columns of the database.

What is looked for are markers: secrets and personal data that a test or a drill has put in on purpose.
"""

import json
import mmap
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from sqlalchemy import Connection

from actors.environment import ray_directory

# The folders below a data directory in which somebody writes down what happens.
_LOG = re.compile(r"\.(log|out|err|txt|json|jsonl)(\.\d+)?$")
# What holds secrets by its nature, and is for its owner alone.
KEPT = frozenset({"master.key", "keys.pepper", "development-keys.json", "ray.token", "client.token"})
# The sandbox is the channel's side: it has the secrets that a channel has.
_NOT_OURS = frozenset({"simulator", "postgres"})


class Leak(NamedTuple):
    """A marker, and where it was found; the marker is named by its place in the list, never quoted."""

    marker: int
    place: str


def scan(directory: Path, connection: Connection, markers: Sequence[str]) -> list[Leak]:
    """Look everywhere; return what was found."""
    written = [_forms(marker) for marker in markers]
    found = [leak for file in logs_of(directory) for leak in _in_file(file, written)]
    return found + [leak for place, text in columns_of(connection) for leak in _in_text(place, text, written)]


def logs_of(directory: Path) -> list[Path]:
    """Return the logs of a deployment: of its processes, its Ray sessions and its PostgreSQL."""
    roots = [directory, ray_directory(directory)]
    files = {
        path
        for root in dict.fromkeys(roots)
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink() and _LOG.search(path.name) and path.name not in KEPT
        and not _NOT_OURS & {part.name for part in (path, *path.parents)}
    }  # fmt: skip
    postgres = directory / "postgres"
    files |= {path for path in postgres.rglob("*") if path.is_file() and (path.suffix == ".log" or path.name == "log")}
    return sorted(files)


def _in_file(file: Path, written: Sequence[set[str]]) -> Iterator[Leak]:
    if not file.stat().st_size:
        return
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for number, forms in enumerate(written):
            if any(content.find(form.encode()) >= 0 for form in forms):
                yield Leak(number, str(file))


def _forms(marker: str) -> set[str]:
    """Return how a marker is written by those who write down what happens: as it is, in JSON, and in URLs."""
    return {marker, json.dumps(marker)[1:-1], quote(marker, safe="")}


def columns_of(connection: Connection) -> Iterator[tuple[str, str]]:
    """Read every row of every table as text, whatever its columns are; bytes as the text that they may be."""
    tables = connection.exec_driver_sql(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
    ).scalars()
    for table in tables.all():
        rows = connection.execution_options(stream_results=True, yield_per=1_000).exec_driver_sql(f"SELECT * FROM {table}")
        names = list(rows.keys())
        for row in rows:
            for name, value in zip(names, row, strict=True):
                yield f"{table}.{name}", _text_of(value)


def _text_of(value: object) -> str:
    if isinstance(value, memoryview | bytes):
        return bytes(value).decode("utf-8", "replace")
    return str(value)


def _in_text(place: str, text: str, written: Sequence[set[str]]) -> Iterator[Leak]:
    for number, forms in enumerate(written):
        if any(form in text for form in forms):
            yield Leak(number, place)
