"""Settlement files: what the simulator's own writer writes, the reader reads to the fen; what is damaged it refuses."""

import io
import time
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.port import BillDamaged, BillKind, BillLine, LineKind
from channels.unionpay.bills import UnionPayBills
from simulator.wire.unionpay.settlement import Row, clearing_day, write
from tests.unit.unionpay_kit import MERCHANT, NOW_MS

DAY = "2026-11-24"
MEMBER = f"INN26112488ZM_{MERCHANT}"


def row(index: int = 1, **changes: object) -> Row:
    usual = Row("01", "01", "000201", f"order{index:08d}", f"2026{index:017d}", f"{index % 10**6:06d}", NOW_MS,
                10_000 + index, 60, "622202******0006", shop_name="某某财产保险股份有限公司")  # fmt: skip
    return usual._replace(**changes)


def read(content: bytes, *, merchant_no: str = MERCHANT, date: str = DAY) -> list[BillLine]:
    return list(UnionPayBills().read(content, merchant_no=merchant_no, kind=BillKind.TRADE, date=date))


def repacked(content: bytes, change: Callable[[bytes], bytes], name: str = MEMBER) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        text = change(archive.read(MEMBER))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, text)
    return packed.getvalue()


def test_a_charge_and_its_refund_say_what_moved() -> None:
    back = row(2, txn_type="04", sub_type="00", fee_minor=-6, amount_minor=1_000, original_order_no="order00000001")
    charge, refund = read(write(MERCHANT, DAY, [row(), back]))
    assert charge == BillLine(
        LineKind.CHARGE, "order00000001", "", f"2026{1:017d}", MERCHANT, 10_001, 60, "CNY", NOW_MS
    )
    assert (refund.kind, refund.number, refund.refund_no) == (LineKind.REFUND, "order00000001", "order00000002")
    assert (refund.amount_minor, refund.fee_minor) == (1_000, 6)


def test_twenty_thousand_lines_agree_to_the_fen() -> None:
    rows = [row(index, txn_type=("01", "04", "12", "11")[index % 4], original_order_no="o") for index in range(20_000)]
    content = write(MERCHANT, DAY, rows)
    began = time.process_time()
    lines = read(content)
    took = time.process_time() - began
    assert [(line.amount_minor, line.channel_txn_no, line.time_ms) for line in lines] == [
        (row.amount_minor, row.query_id, row.time_ms) for row in rows
    ]
    assert sum(line.fee_minor * (-1 if line.kind is LineKind.REFUND else 1) for line in lines) == 60 * 20_000
    assert took < 4


def test_the_clearing_day_ends_at_eleven_in_the_evening() -> None:
    eleven = NOW_MS + 11 * 3_600_000
    assert [clearing_day(moment) for moment in (NOW_MS, eleven - 1, eleven)] == [DAY, DAY, "2026-11-25"]


def test_a_line_of_new_years_eve_is_of_the_old_year() -> None:
    late = 1_798_729_199_000  # 2026-12-31 22:59:59 in China, and 2 s later the new clearing day
    for moment in (late, late + 2_000):
        day = clearing_day(moment)
        (line,) = read(write(MERCHANT, day, [row(time_ms=moment)]), date=day)
        assert line.time_ms == moment
    assert day == "2027-01-01"


def test_a_day_without_trades_has_no_lines() -> None:
    assert read(write(MERCHANT, DAY, [])) == []


@pytest.mark.parametrize("tail", [98, 99, 131])
def test_each_version_of_the_file_is_read(tail: int) -> None:
    content = repacked(write(MERCHANT, DAY, [row()]), lambda text: text[:-2].ljust(len(text) - 2 + tail - 98) + b"\r\n")
    assert len(read(content)) == 1


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a line is cut": (lambda text: text[:-500], "TRUNCATED"),
    "the last line's end is missing": (lambda text: text[:-2], "TRUNCATED"),
    "a byte too many": (lambda text: text.replace(b" 6300 ", b" 63000 ", 1), "MALFORMED"),
    "shifted by one": (lambda text: text[1:], "MALFORMED"),
    "an amount with letters": (lambda text: text.replace(b"000000010001", b"00000001000x", 1), "MALFORMED"),
    "a sum that does not add up": (lambda text: text.replace(b"C000000009941", b"C000000009942", 1), "TOTALS_DIFFER"),
    "another merchant's line": (lambda text: text.replace(b" " + MERCHANT.encode(), b" 777290058110049", 1), "OTHER_MERCHANT"),
    "a time that is none": (lambda text: text.replace(b"1124120000", b"1324120000", 1), "MALFORMED"),
    "no direction": (lambda text: text.replace(b"C000000009941", b"X000000009941", 1), "MALFORMED"),
    "not ASCII where digits are": (lambda text: text.replace(b"000000010001", "０".encode("gbk") * 6, 1), "MALFORMED"),
    "an empty line": (lambda text: text + b"\r\n", "MALFORMED"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(DAMAGE))
def test_a_damaged_file_is_refused_as_a_whole(name: str) -> None:
    change, reason = DAMAGE[name]
    content = write(MERCHANT, DAY, [row(), row(2)])
    assert len(read(repacked(content, lambda text: text))) == 2
    with pytest.raises(BillDamaged) as damaged:
        read(repacked(content, change))
    assert damaged.value.reason == reason
    assert damaged.value.place


def test_the_file_of_another_merchant_or_day_is_refused() -> None:
    content = write(MERCHANT, DAY, [row()])
    for reason, asked in (
        ("OTHER_MERCHANT", {"merchant_no": "777290058110049"}),
        ("OTHER_DAY", {"date": "2026-11-25"}),
    ):
        with pytest.raises(BillDamaged) as damaged:
            read(content, **asked)
        assert damaged.value.reason == reason
    with pytest.raises(BillDamaged):
        read(repacked(content, lambda text: text, name="readme.txt"))


@given(st.integers(0, 5_000), st.binary(min_size=1, max_size=4))
def test_no_damage_changes_money_unseen(place: int, bytes_: bytes) -> None:
    content = write(MERCHANT, DAY, [row(index) for index in range(20)])
    broken = content[: place % len(content)] + bytes_ + content[place % len(content) + len(bytes_) :]
    try:
        lines = read(broken)
    except BillDamaged:
        return
    assert lines == read(content)
