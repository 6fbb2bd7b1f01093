"""WeChat Pay's statements: read to the fen, and refused as a whole where one thing in them is wrong."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.port import BillDamaged, BillKind, BillLine, LineKind
from channels.wechatpay.bills import WechatpayBills

VECTOR = (Path(__file__).parent.parent / "vectors" / "wechatpay" / "trade_bill.csv").read_bytes()
MCHID, DAY = "1601959334", "2021-01-28"
REFUND = (
    "`2021-01-28 18:00:00,`wx81be3101902f7cb2,`1601959334,`0,`,`4200000925202101284997714292,`S20210128170702357723,"
    "`ofyak5qR_1wYsC99CsWA6R9MJazA,`NATIVE,`REFUND,`OTHERS,`CNY,`0.00,`0.00,`50000000012021,`r1,`0.01,`0.00,`ORIGINAL,"
    "`SUCCESS,`a\\ b, c,`,`-0.00600,`1.00%,`0.00,`0.01,`\r\n"
)
FUND = (
    "\ufeff记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,业务凭证号\r\n"
    "`2021-01-28 10:00:00,`T1,`F1,`交易,`交易,`收入,`100.00,`100.00,`system,`,`n1\r\n"
    "`2021-01-28 10:00:01,`T1,`F2,`扣除交易手续费,`扣除交易手续费,`支出,`0.60,`99.40,`system,`,`n1\r\n"
    "`2021-01-28 11:00:00,`R1,`F3,`退款,`退款,`支出,`40.00,`59.40,`api,`,`r1\r\n"
    "`2021-01-28 12:00:00,`P1,`F4,`商家转账,`商家转账,`支出,`9.00,`50.40,`api,`,`p1\r\n"
    "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额\r\n"
    "`4,`1,`100.00,`3,`49.60\r\n"
).encode()


def read(content: bytes, kind: BillKind = BillKind.TRADE, merchant_no: str = MCHID, date: str = DAY) -> list[BillLine]:
    return list(WechatpayBills().read(content, merchant_no=merchant_no, kind=kind, date=date))


def damage(content: bytes, **more: object) -> str:
    with pytest.raises(BillDamaged) as damaged:
        read(content, **more)  # type: ignore[arg-type]
    return damaged.value.reason


def with_refund() -> bytes:
    text = VECTOR.decode()
    head, names, totals = text.rpartition("总交易单数")[0], "总交易单数", text.rpartition("总交易单数")[2]
    totals = totals.replace("`3,`0.03,`0.00,`0.00,`0.00000,`0.03,`0.00", "`4,`0.03,`0.01,`0.00,`-0.00600,`0.03,`0.01")
    return (head + REFUND + names + totals).encode()


def test_a_real_statement_is_read() -> None:
    lines = read(VECTOR)
    assert [line.number for line in lines] == ["S20210128170702357723", "S20210128153505214586", "S20210128165824499930"]
    assert lines[0] == BillLine(
        LineKind.CHARGE, "S20210128170702357723", "", "4200000925202101284997714292", MCHID, 1, 0, "CNY", 1_611_824_831_000
    )


def test_a_refund_has_its_own_numbers_and_texts_may_hold_commas() -> None:
    line = read(with_refund())[-1]
    assert (line.kind, line.refund_no, line.channel_txn_no) == (LineKind.REFUND, "r1", "50000000012021")
    assert (line.number, line.amount_minor, line.fee_minor) == ("S20210128170702357723", 1, 1)


def test_a_refund_that_failed_moved_nothing() -> None:
    assert read(with_refund().replace(b"`ORIGINAL,`SUCCESS", b"`ORIGINAL,`FAIL"))[-1].kind is LineKind.OTHER


def test_movements_of_the_account_are_read() -> None:
    lines = read(FUND, BillKind.FUND)
    assert [line.kind for line in lines] == [LineKind.CHARGE, LineKind.FEE, LineKind.REFUND, LineKind.PAYOUT]
    assert [(line.number, line.refund_no, line.amount_minor) for line in lines] == [
        ("n1", "", 10_000), ("n1", "", 60), ("", "r1", 4_000), ("p1", "", 900),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("`0.01,`0.00,`\r\n总", "`0.02,`0.00,`\r\n总", "TOTALS_DIFFER"),
        ("`3,`0.03", "`4,`0.03", "TOTALS_DIFFER"),
        ("`0.00000,`0.03,`0.00\r\n", "`0.00001,`0.03,`0.00\r\n", "TOTALS_DIFFER"),
        ("`1601959334", "`1601959335", "OTHER_MERCHANT"),
        ("`2021-01-28 17", "`2021-01-29 17", "OTHER_DAY"),
        ("`2021-01-28 17:07", "`2021-01-28 17:77", "MALFORMED"),
        ("`SUCCESS,`OTHERS", "`PURPLE,`OTHERS", "STATE_UNKNOWN"),
        ("商户订单号", "别的号", "COLUMNS_DIFFER"),
        ("总交易单数", "别的数", "COLUMNS_DIFFER"),
        ("`0.01,`0.00,`0,", "`0.０1,`0.00,`0,", "MALFORMED"),
        (",`wx81be3101902f7cb2", "", "MALFORMED"),
        ("`1.00%,`0.01", "`1.00%,`0.011", "MALFORMED"),
    ],
)
def test_one_wrong_thing_damages_the_whole(before: str, after: str, reason: str) -> None:
    text = VECTOR.decode()
    assert before in text
    assert damage(text.replace(before, after, 1).encode()) == reason


def test_a_file_that_was_cut_off_is_refused_wherever_it_was_cut() -> None:
    for length in range(len(VECTOR)):
        assert damage(VECTOR[:length])


def test_a_line_that_is_missing_or_there_twice_is_found() -> None:
    lines = VECTOR.split(b"\r\n")
    assert damage(b"\r\n".join([*lines[:1], *lines[2:]])) == "TOTALS_DIFFER"
    assert damage(b"\r\n".join([*lines[:2], *lines[1:]])) == "TOTALS_DIFFER"


def test_where_there_is_no_statement_there_are_no_lines() -> None:
    assert damage(b"<xml><return_code>FAIL</return_code><return_msg>No Bill Exist</return_msg></xml>") == "EMPTY"


def test_a_movement_that_is_missing_is_found() -> None:
    lines = FUND.split(b"\r\n")
    assert damage(b"\r\n".join([*lines[:1], *lines[2:]]), kind=BillKind.FUND) == "TOTALS_DIFFER"
    assert damage(FUND.replace("收入,`100".encode(), "转入,`100".encode()), kind=BillKind.FUND) == "MALFORMED"


@given(st.binary() | st.text().map(str.encode))
def test_a_file_may_be_any_bytes(content: bytes) -> None:
    for kind in BillKind:
        assert damage(content, kind=kind)


@given(st.integers(0, len(VECTOR) - 1), st.binary(max_size=4))
def test_a_changed_file_is_damaged_or_says_the_same_money(place: int, change: bytes) -> None:
    try:
        lines = read(VECTOR[:place] + change + VECTOR[place + len(change) :])
    except BillDamaged:
        return
    assert sum(line.amount_minor for line in lines) == 3
