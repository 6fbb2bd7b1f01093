"""Statements as files of lines, read as they are unpacked: how long one is decides how long that takes, not how much memory.

What is packed small and unpacks to more than any statement is not read further than that.
"""

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from channels.port import BillDamaged

# The longest line of a real statement has a kilobyte.
LINE_BYTES_MAX = 64 << 10
_CHUNK_BYTES = 64 << 10
# What the library says to archives that are damaged, encrypted, or packed in ways that it does not know.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError)


@contextmanager
def opened(content: bytes, *, metadata_encoding: str | None = None) -> Iterator[zipfile.ZipFile]:
    """Open an archive. Raise BillDamaged for one that cannot be read, now or while its members are."""
    try:
        with zipfile.ZipFile(io.BytesIO(content), metadata_encoding=metadata_encoding) as archive:
            yield archive
    except _UNREADABLE as error:
        raise BillDamaged("TRUNCATED", "zip") from error


def lines_of(file: IO[bytes], *, bytes_max: int, end: bytes = b"\n") -> Iterator[bytes]:
    """Yield the lines of a file, each with its end, the last one perhaps without.

    Raise BillDamaged where the file or a line is longer than one may be.
    """
    buffered = io.BufferedReader(file, _CHUNK_BYTES)  # type: ignore[type-var]  # what a member of an archive can do is enough
    line, left = b"", bytes_max
    while part := buffered.readline(LINE_BYTES_MAX + 1):
        line += part
        left -= len(part)
        if left < 0 or len(line) > LINE_BYTES_MAX:
            raise BillDamaged("TOO_LARGE")
        if line.endswith(end):
            yield line
            line = b""
    if line:
        yield line
