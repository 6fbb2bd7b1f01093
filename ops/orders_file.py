"""A CSV file of orders, read whole or not at all.

`read_orders` returns either every order of the file or a report that names every problem by row and column; a row is
counted as a spreadsheet counts it, the header being row 1. The header states the unit of the amounts, because a file
of fen read as yuan charges a hundred times too much: `amount_yuan` (6800.00) or `amount_fen` (680000).
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from domain.money import AMOUNT_MINOR_MAX
from domain.orders import text_violations
from protos.paydesk.v1 import common_pb2

ROWS_MAX = 500_000
BYTES_MAX = 50 << 20
# Nobody reads more; the count of the rest is told.
PROBLEMS_MAX = 100
# Enough of a wrong value to recognise it.
VALUE_LENGTH_MAX = 40

REQUIRED = ("time_of_day", "tenant", "order_no", "product", "terminal", "source", "payer", "subject")
AMOUNTS = ("amount_yuan", "amount_fen")
OPTIONAL = ("method",)
METHODS = frozenset(name.removeprefix("METHOD_") for name, value in common_pb2.Method.items() if value)
TERMINALS = frozenset(name.removeprefix("TERMINAL_") for name, value in common_pb2.Terminal.items() if value)

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?", re.ASCII)
_YUAN = re.compile(r"[0-9]{1,13}(?:\.[0-9]{1,2})?", re.ASCII)
_FEN = re.compile(r"[0-9]{1,15}", re.ASCII)
_SCIENTIFIC = re.compile(r"[+-]?[0-9.]+[eE][+-]?[0-9]+", re.ASCII)
_MANY_DECIMALS = re.compile(r"[0-9]+\.[0-9]{3,}", re.ASCII)
_FULL_WIDTH = re.compile("[０-９．，]")


class Order(NamedTuple):
    """One order of the file. `method`, `terminal`, `source` and `payer_ref` may be ""."""

    row: int
    second_of_day: int
    tenant_id: str
    order_no: str
    product_code: str
    amount_minor: int
    method: str
    terminal: str
    source: str
    payer_ref: str
    subject: str


class Problem(NamedTuple):
    """What is wrong with one cell; row 0 is the file as a whole, column "" the row as a whole."""

    row: int
    column: str
    message: str

    def __str__(self) -> str:
        """Write it as one line."""
        place = f"row {self.row}" if self.row else "the file"
        return f"{place}{', column ' + self.column if self.column else ''}: {self.message}"


class Report(NamedTuple):
    """Why nothing was loaded: the first PROBLEMS_MAX problems, and how many there are."""

    problems: tuple[Problem, ...]
    total: int


class _Problems:
    def __init__(self) -> None:
        self.first: list[Problem] = []
        self.count = 0

    def add(self, row: int, column: str, message: str) -> None:
        self.count += 1
        if len(self.first) < PROBLEMS_MAX:
            self.first.append(Problem(row, column, message))

    def report(self) -> Report:
        return Report(tuple(self.first), self.count)


def read_orders(path: Path, *, products: Mapping[str, frozenset[str]]) -> list[Order] | Report:
    """Read a file; `products` maps each tenant to its products. Raise OSError when the file can't be read."""
    if path.stat().st_size > BYTES_MAX:
        return _one(f"has {path.stat().st_size:,} bytes; at most {BYTES_MAX:,} are read at once: split it")
    text = _decoded(path.read_bytes())
    if isinstance(text, Report):
        return text
    return parse_orders(text, products=products)


def parse_orders(text: str, *, products: Mapping[str, frozenset[str]]) -> list[Order] | Report:
    """Read the text of a file."""
    problems = _Problems()
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    orders: list[Order] = []
    try:
        header = [name.strip() for name in next(rows, [])]
        _check_header(header, problems)
        if problems.count:
            return problems.report()
        reader = _RowReader(header, products, problems)
        for row, cells in enumerate(rows, start=2):
            if row > ROWS_MAX + 1:
                problems.add(row, "", f"the file has more than {ROWS_MAX:,} rows: split it")
                break
            if any(cells):
                order = reader.read(row, cells)
                if order is not None:
                    orders.append(order)
    except csv.Error as error:
        problems.add(rows.line_num, "", f"is no CSV: {error}")
    if not orders and not problems.count:
        problems.add(0, "", "has a header and no orders")
    return problems.report() if problems.count else orders


def _one(message: str) -> Report:
    return Report((Problem(0, "", message),), 1)


def _decoded(raw: bytes) -> str | Report:
    """Decode UTF-8, with or without a byte order mark; recognise what spreadsheets write instead."""
    if not raw.strip():
        return _one("is empty")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _one('is UTF-16: save it as "CSV UTF-8", or run `iconv -f UTF-16 -t UTF-8 OLD.csv > NEW.csv`')
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
    try:
        raw.decode("gb18030")
    except UnicodeDecodeError:
        return _one(f"is not UTF-8: line {line} holds bytes of another encoding")
    return _one(
        f'is GBK, not UTF-8 (first seen in line {line}): save it as "CSV UTF-8", or run '
        "`iconv -f GB18030 -t UTF-8 OLD.csv > NEW.csv`"
    )


def _check_header(header: Sequence[str], problems: _Problems) -> None:
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        problems.add(1, "", "columns must be separated by commas")
        return
    known = {*REQUIRED, *AMOUNTS, *OPTIONAL}
    for name in sorted({name for name in header if header.count(name) > 1}):
        problems.add(1, name, "is there twice")
    for name in header:
        if name not in known:
            hint = "; the amount's column states its unit: amount_yuan or amount_fen" if "amount" in name else ""
            problems.add(1, _short(name).strip("'"), f"is no column of an orders file{hint}")
    for name in REQUIRED:
        if name not in header:
            problems.add(1, name, "is missing")
    units = [name for name in AMOUNTS if name in header]
    if not units:
        problems.add(1, "amount_yuan", "is missing (or amount_fen): the header must state the unit of the amounts")
    elif len(units) > 1:
        problems.add(1, "amount_fen", "excludes amount_yuan: an order has one amount")


class _RowReader:
    """Reads rows below one header, and remembers the order numbers it has seen."""

    def __init__(self, header: Sequence[str], products: Mapping[str, frozenset[str]], problems: _Problems) -> None:
        self._header = header
        self._products = products
        self._problems = problems
        self._unit = next(name for name in AMOUNTS if name in header)
        self._seen: dict[tuple[str, str], int] = {}

    def read(self, row: int, cells: Sequence[str]) -> Order | None:
        """Read a row; note every problem and return None if there is one."""
        if len(cells) != len(self._header):
            message = f"has {len(cells)} cells where the header has {len(self._header)} (a comma in an amount or text?)"
            self._problems.add(row, "", message)
            return None
        values = {name: cell.strip(" ") for name, cell in zip(self._header, cells, strict=True)}
        before = self._problems.count
        for column, message in self._faults(row, values):
            self._problems.add(row, column, message)
        if self._problems.count != before:
            return None
        hour, minute, second = _TIME.fullmatch(values["time_of_day"]).groups("0")  # type: ignore[union-attr]
        return Order(
            row, int(hour) * 3600 + int(minute) * 60 + int(second), values["tenant"], values["order_no"],
            values["product"], amount_minor(values[self._unit], self._unit), values.get("method", ""),
            values["terminal"], values["source"], values["payer"], values["subject"],
        )  # fmt: skip

    def _faults(self, row: int, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        if not _TIME.fullmatch(values["time_of_day"]):
            yield "time_of_day", f"{_short(values['time_of_day'])} is no time such as 09:30 or 09:30:00"
        yield from self._name_faults(values)
        try:
            amount_minor(values[self._unit], self._unit)
        except ValueError as error:
            yield self._unit, str(error)
        texts = {
            "order_no": values["order_no"], "source": values["source"], "payer_ref": values["payer"],
            "subject": values["subject"],
        }  # fmt: skip
        for violation in text_violations(**texts):
            yield {"payer_ref": "payer"}.get(violation.field, violation.field), violation.rule
        other = self._seen.setdefault((values["tenant"], values["order_no"]), row)
        if values["order_no"] and other != row:
            yield "order_no", f"{_short(values['order_no'])} is in row {other} too"

    def _name_faults(self, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        tenant = values["tenant"]
        if tenant not in self._products:
            yield "tenant", f"{_short(tenant)} is no tenant; there are {', '.join(sorted(self._products))}"
        elif values["product"] not in self._products[tenant]:
            offered = ", ".join(sorted(self._products[tenant]))
            yield "product", f"{_short(values['product'])} is no product of {tenant}; it has {offered}"
        if values["terminal"] and values["terminal"] not in TERMINALS:
            yield "terminal", f"{_short(values['terminal'])} is none of {', '.join(sorted(TERMINALS))}"
        if values.get("method") and values["method"] not in METHODS:
            offered = ", ".join(sorted(METHODS))
            yield "method", f"{_short(values['method'])} is none of {offered} (empty lets Paydesk choose)"


def amount_minor(text: str, unit: str) -> int:
    """Read an amount in fen, written in `unit` (amount_yuan or amount_fen). Raise ValueError with what is wrong."""
    pattern = _YUAN if unit == "amount_yuan" else _FEN
    if not pattern.fullmatch(text):
        raise ValueError(f"{_short(text)} {_amount_fault(text, unit)}")
    if unit == "amount_fen":
        fen = int(text)
    else:
        yuan, _, rest = text.partition(".")
        fen = int(yuan) * 100 + int(rest.ljust(2, "0") or "0")
    if fen == 0:
        raise ValueError("must be more than 0")
    if fen > AMOUNT_MINOR_MAX:
        raise ValueError(f"{_short(text)} is over {AMOUNT_MINOR_MAX // 100:,} yuan: is the unit right?")
    return fen


def _amount_fault(text: str, unit: str) -> str:
    """Say what is wrong with an amount that does not look like one."""
    example = "6800.00" if unit == "amount_yuan" else "680000"
    faults = (
        (not text, "is missing"),
        (_FULL_WIDTH.search(text), f"has full-width characters; write {example}"),
        (
            _SCIENTIFIC.fullmatch(text),
            f"is in scientific notation, which loses digits: format the column as text and write {example}",
        ),
        (text.startswith(("-", "+", "−", "(")), "has a sign; an order's amount is positive"),
        ("," in text, f"has thousands separators; write {example}"),
        (unit == "amount_fen" and "." in text, "has a decimal point, but fen are whole: is the unit amount_yuan?"),
        (_MANY_DECIMALS.fullmatch(text), "has more than 2 decimals"),
    )
    return next((message for wrong, message in faults if wrong), f"is no amount such as {example}")


def _short(value: str) -> str:
    """Quote a value, cut where it is long."""
    return repr(value if len(value) <= VALUE_LENGTH_MAX else value[: VALUE_LENGTH_MAX - 1] + "…")
