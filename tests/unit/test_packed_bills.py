"""Statements that are small as they come and huge when unpacked: refused, and never held."""

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable

import pytest

from channels.alipay.bills import AlipayBills
from channels.files import LINE_BYTES_MAX, lines_of
from channels.port import BillDamaged, BillKind, BillReader
from channels.unionpay.bills import UnionPayBills

MERCHANT_NO, DAY = "777290000000011", "2026-11-24"
MEMBERS: dict[str, tuple[BillReader, str]] = {
    "alipay": (AlipayBills(), f"{MERCHANT_NO}_20261124_业务明细.csv"),
    "unionpay": (UnionPayBills(), f"INN26112488ZM_{MERCHANT_NO}"),
}
UNPACKED = 16 << 20


def bomb(member: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, bytes(UNPACKED))
    return packed.getvalue()


def lying(content: bytes) -> bytes:
    """Say that it unpacks to a thousand bytes."""
    return content.replace(struct.pack("<L", UNPACKED), struct.pack("<L", 1_000))


@pytest.mark.parametrize("told", [bytes, lying], ids=["that says so", "that lies"])
@pytest.mark.parametrize("channel", MEMBERS)
def test_what_unpacks_to_far_more_is_refused_without_being_held(channel: str, told: Callable[[bytes], bytes]) -> None:
    reader, member = MEMBERS[channel]
    content = told(bomb(member))
    tracemalloc.start()
    try:
        with pytest.raises(BillDamaged):
            reader.read(content, merchant_no=MERCHANT_NO, kind=BillKind.TRADE, date=DAY)
        assert tracemalloc.get_traced_memory()[1] < UNPACKED / 10
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("content", "end", "lines"), [
    (b"a\nb", b"\n", [b"a\n", b"b"]), (b"a\nb\r\n", b"\r\n", [b"a\nb\r\n"]), (b"", b"\n", []), (b"\n", b"\n", [b"\n"]),
    (b"x" * LINE_BYTES_MAX, b"\n", [b"x" * LINE_BYTES_MAX]),
])  # fmt: skip
def test_lines_are_cut_where_they_end(content: bytes, end: bytes, lines: list[bytes]) -> None:
    assert list(lines_of(io.BytesIO(content), bytes_max=len(content), end=end)) == lines


@pytest.mark.parametrize(("content", "bytes_max"), [
    (b"a\n" * 10, 19), (b"x" * (LINE_BYTES_MAX + 1), 1 << 20), (b"\n" * (LINE_BYTES_MAX + 1), 1 << 20),
])  # fmt: skip
def test_a_file_or_line_that_is_too_long_is_refused(content: bytes, bytes_max: int) -> None:
    with pytest.raises(BillDamaged, match="TOO_LARGE"):
        list(lines_of(io.BytesIO(content), bytes_max=bytes_max, end=b"\r\n"))
