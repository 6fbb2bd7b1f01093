"""The statement of one day: what moved for one merchant, with fees, and what the faults do to it."""

import datetime
from collections.abc import Callable
from typing import Any, NamedTuple

from simulator.book import ChannelBook
from simulator.clock import VirtualClock
from simulator.codec import AnswerFields, answer, read_name
from simulator.faults import Kind
from simulator.profiles import Profile
from simulator.records import Entry, Movement, Side
from simulator.sides import Ask, Job
from simulator.words import Operation, SideWord

SHANGHAI = datetime.timezone(datetime.timedelta(hours=8))
DAY_MS = 86_400_000
# A late statement is there at the third question.
LATE_COUNT = 2

Strikes = Callable[[Kind, Side, str], bool]


class BillRow(NamedTuple):
    """One movement with its fee; a refund's fee is not given back, and 0."""

    entry: Entry
    fee_minor: int


class DayBill(NamedTuple):
    """A day's rows in the order of their times; `merchant_no` is whose it claims to be.

    `truncated` means that the file's end is to be cut off, `totals_differ` that its totals are to be wrong.
    """

    merchant_no: str
    date: str
    rows: list[BillRow]
    truncated: bool = False
    totals_differ: bool = False


class Bills:
    """The statements of one channel."""

    def __init__(
        self, *, book: ChannelBook, clock: VirtualClock, profile: Callable[[], Profile], strikes: Strikes,
        describe: Callable[[Operation, str, str, Side | None], Ask],
    ) -> None:  # fmt: skip
        self._book = book
        self._clock = clock
        self._profile = profile
        self._strikes = strikes
        self._describe = describe
        self._asked: dict[str, int] = {}
        self._given: set[str] = set()

    def bill(self, item: Any, merchant_no: str) -> Job | None:
        """Tell whether there is a statement of the day `date`."""
        date = read_name(item, "date")
        begin_ms = _begin_ms(date, item.get("early_ms", 0)) if date is not None else None
        if date is None or begin_ms is None:
            return None
        number = f"{merchant_no}/{date}"

        def work() -> AnswerFields:
            count = self._asked[number] = self._asked.get(number, 0) + 1
            word = SideWord.BILL_READY
            if begin_ms + DAY_MS > self._clock.now_ms():
                word = SideWord.BILL_NOT_YET
            elif self._strikes(Kind.BILL_MISSING, self._subject(number), "") or not self._rows(merchant_no, begin_ms):
                word = SideWord.NO_SUCH_BILL
            elif count <= LATE_COUNT and self._strikes(Kind.BILL_LATE, self._subject(number), ""):
                word = SideWord.BILL_NOT_YET
            return answer(date, word, merchant_no=merchant_no)

        return Job(self._describe(Operation.BILL, number, merchant_no, None), work)

    def of_day(self, merchant_no: str, date: str, *, early_ms: int = 0) -> DayBill:
        """Return the statement of a day that is ready, as the faults have it."""
        begin_ms = _begin_ms(date, early_ms)
        assert begin_ms is not None, "who asks for a day has asked whether it is ready"
        number = f"{merchant_no}/{date}"
        subject = self._subject(number)
        rows = self._rows(merchant_no, begin_ms)
        if self._strikes(Kind.BILL_LINES_TWICE, subject, ""):
            rows = [*rows, *rows[:1]]
        if number not in self._given and self._strikes(Kind.BILL_CORRECTED, subject, ""):
            rows = rows[:-1]
        self._given.add(number)
        claimed = merchant_no
        if self._strikes(Kind.BILL_OTHER_MERCHANT, subject, ""):
            claimed = f"{merchant_no[:-1]}{'1' if merchant_no[-1:] != '1' else '2'}"
        truncated = self._strikes(Kind.BILL_TRUNCATED, subject, "")
        return DayBill(claimed, date, rows, truncated, self._strikes(Kind.BILL_TOTALS_DIFFER, subject, ""))

    def _rows(self, merchant_no: str, begin_ms: int) -> list[BillRow]:
        fee_bps = self._profile().fee_bps
        return [
            BillRow(entry, _fee_minor(entry, fee_bps))
            for entry in self._book.entries
            if begin_ms <= entry.time_ms < begin_ms + DAY_MS and entry.record.merchant_no == merchant_no
        ]

    @staticmethod
    def _subject(number: str) -> Side:
        return Side(number, "", number, SideWord.BILL_READY, 0, number)


def _fee_minor(entry: Entry, fee_bps: int) -> int:
    charged = entry.record.amount_minor if entry.movement is Movement.CHARGE else 0
    return (charged * fee_bps + 5_000) // 10_000


def _begin_ms(date: str, early_ms: int) -> int | None:
    """Return when a day begins: at midnight, or as much earlier as the channel has it."""
    try:
        midnight = datetime.datetime.strptime(date, "%Y-%m-%d").replace(tzinfo=SHANGHAI)
    except ValueError:
        return None
    return round(midnight.timestamp() * 1_000) - early_ms
