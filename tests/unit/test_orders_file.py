"""An orders file is read whole or not at all, and every problem is named by row and column."""

from pathlib import Path

import pytest

from ops import orders_file
from ops.demo.make_orders import COUNT, ORDERS_FILE, SEED, make_orders
from ops.orders_file import Order, Report, amount_minor, parse_orders, read_orders

PRODUCTS = {"pnc": frozenset({"CAR", "TRAVEL_ACC"}), "life": frozenset({"ANNUITY"})}
HEADER = "time_of_day,tenant,order_no,product,amount_yuan,method,terminal,source,payer,subject"
ROW = "09:30,pnc,A-1,CAR,6800.00,ALIPAY,H5,,payer-1,车险"


def parse(*rows: str, header: str = HEADER) -> list[Order] | Report:
    return parse_orders("\n".join([header, *rows]) + "\n", products=PRODUCTS)


def problems(*rows: str, header: str = HEADER) -> list[str]:
    found = parse(*rows, header=header)
    assert isinstance(found, Report)
    return [str(problem) for problem in found.problems]


def test_a_good_row_is_an_order() -> None:
    assert parse(ROW) == [Order(2, 34_200, "pnc", "A-1", "CAR", 680_000, "ALIPAY", "H5", "", "payer-1", "车险")]


def test_the_unit_is_what_the_header_says_and_method_may_be_left_out() -> None:
    header = "subject,payer,source,terminal,amount_fen,product,order_no,tenant,time_of_day"
    found = parse("车险,p,,,680000,CAR,A-1,pnc,23:59:59", header=header)
    assert found == [Order(2, 86_399, "pnc", "A-1", "CAR", 680_000, "", "", "", "p", "车险")]


@pytest.mark.parametrize(
    ("text", "unit", "says"),
    [
        ("6.8E+03", "amount_yuan", "scientific notation"),
        ("6,800.00", "amount_yuan", "thousands separators"),
        ("-5.00", "amount_yuan", "has a sign"),
        ("(5.00)", "amount_yuan", "has a sign"),
        ("６８００", "amount_yuan", "full-width"),
        ("68.005", "amount_yuan", "more than 2 decimals"),
        ("", "amount_yuan", "is missing"),
        ("¥68", "amount_yuan", "is no amount"),
        ("٣", "amount_yuan", "is no amount"),
        ("0.00", "amount_yuan", "more than 0"),
        ("10000000000.01", "amount_yuan", "is the unit right"),
        ("68.00", "amount_fen", "is the unit amount_yuan"),
        ("1000000000001", "amount_fen", "is the unit right"),
        ("nan", "amount_fen", "is no amount"),
    ],
)
def test_a_wrong_amount_is_told_for_what_it_is(text: str, unit: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        amount_minor(text, unit)


@pytest.mark.parametrize(
    ("text", "fen"), [("9.9", 990), ("9.90", 990), ("68000", 6_800_000), ("0.01", 1), ("10000000000.00", 10**12)]
)
def test_amounts_are_exact(text: str, fen: int) -> None:
    assert amount_minor(text, "amount_yuan") == fen


def test_every_problem_of_every_row_is_named() -> None:
    found = problems(
        ROW,
        ROW,
        "25:00,pnc,A-2,CAR,1.00,,H5,,p,s",
        "09:30,nobody,A-3,CAR,1.00,,H5,,p,s",
        "09:30,life,A-4,CAR,1.00,,H5,,p,s",
        "09:30,pnc,A-5,CAR,1e3,,MOON,,p,s",
        f"09:30,pnc,{'x' * 65},CAR,1.00,CASH,H5,,p,s",
        "09:30,pnc,A-6,CAR,1.00,,H5,,p,tab\there",
        "09:30,pnc,A-7,CAR,6,800.00,,H5,,p,s",
        "09:30,pnc,,CAR,1.00,,H5,,p,s",
    )
    assert found == [
        "row 3, column order_no: 'A-1' is in row 2 too",
        "row 4, column time_of_day: '25:00' is no time such as 09:30 or 09:30:00",
        "row 5, column tenant: 'nobody' is no tenant; there are life, pnc",
        "row 6, column product: 'CAR' is no product of life; it has ANNUITY",
        "row 7, column terminal: 'MOON' is none of API, APP, H5, PC, WECHAT_OA",
        (
            "row 7, column amount_yuan: '1e3' is in scientific notation, which loses digits: format the column as text and "
            "write 6800.00"
        ),
        "row 8, column method: 'CASH' is none of ALIPAY, BANK_CARD, CHEQUE, E_BANK, QUICK_CARD, REMITTANCE, UNION_PAY, WECHAT_PAY (empty lets Paydesk choose)",
        "row 8, column order_no: has 65 characters; at most 64 are allowed",
        "row 9, column subject: holds a character that can't be printed",
        "row 10: has 11 cells where the header has 10 (a comma in an amount or text?)",
        "row 11, column order_no: is missing",
    ]


def test_the_same_number_of_two_tenants_is_two_orders() -> None:
    assert len(parse(ROW, "09:30,life,A-1,ANNUITY,1.00,,H5,,p,s")) == 2


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (HEADER.replace("amount_yuan", "amount"), "row 1, column amount: is no column of an orders file; the amount's"),
        (HEADER + ",amount_fen", "row 1, column amount_fen: excludes amount_yuan"),
        (HEADER.replace(",tenant", ""), "row 1, column tenant: is missing"),
        (HEADER + ",payer", "row 1, column payer: is there twice"),
        (HEADER.replace(",", ";"), "row 1: columns must be separated by commas"),
    ],
)
def test_a_wrong_header_is_told_before_any_row_is_read(header: str, says: str) -> None:
    assert any(problem.startswith(says) for problem in problems("nonsense", header=header))


def test_a_long_list_of_problems_ends_with_their_number() -> None:
    found = parse(*(f"09:30,pnc,A-{number},CAR,x,,H5,,p,s" for number in range(250)))
    assert isinstance(found, Report)
    assert (len(found.problems), found.total) == (100, 250)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(f"{HEADER}\r\n{ROW}\r\n", encoding="utf-8-sig", newline="")
    assert len(read_orders(file, products=PRODUCTS)) == 1


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (f"{HEADER}\n{ROW}\n".encode("gbk"), "GBK, not UTF-8 (first seen in line 2)"),
        (f"{HEADER}\n{ROW}\n".encode("utf-16"), "UTF-16"),
        (b"a\nb\xff\xff\n", "line 2 holds bytes of another encoding"),
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (f"{HEADER}\n\n".encode(), "has a header and no orders"),
        (f'{HEADER}\n09:30,"pnc\n'.encode(), "is no CSV"),
    ],
)
def test_what_is_no_orders_file_is_told_for_what_it_is(tmp_path: Path, raw: bytes, says: str) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(raw)
    found = read_orders(file, products=PRODUCTS)
    assert isinstance(found, Report)
    assert says in str(found.problems[0])


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(f"{HEADER}\n{ROW}\n")
    monkeypatch.setattr(orders_file, "BYTES_MAX", 10)
    assert "at most 10 are read" in str(read_orders(file, products=PRODUCTS))
    monkeypatch.setattr(orders_file, "BYTES_MAX", 10_000)
    monkeypatch.setattr(orders_file, "ROWS_MAX", 1)
    assert "more than 1 rows" in str(parse(ROW, ROW.replace("A-1", "A-2")))


def test_the_demo_file_is_what_its_script_makes() -> None:
    text = ORDERS_FILE.read_text(encoding="utf-8")
    rows = make_orders(seed=SEED, count=COUNT)
    assert text.splitlines()[1:] == [",".join(row.values()) for row in rows]
