"""Records of the world as UnionPay numbers and dates them."""

from itertools import islice

from simulator.book import ChannelBook
from simulator.records import Attempt, Payout, Refund
from simulator.wire.unionpay.messages import Fields, time_text
from simulator.wire.unionpay.settlement import clearing_day

Trade = Attempt | Refund | Payout


def query_id(txn_no: str) -> str:
    """Return UnionPay's number of a trade: 21 digits out of the world's own."""
    return f"{int(txn_no, 16) % 10**21:021d}"


def trace_no(txn_no: str) -> str:
    """Return the number by which the networks trace a trade."""
    return f"{int(txn_no, 16) % 10**6:06d}"


def find(book: ChannelBook, number: str, merchant_no: str) -> Trade | None:
    """Find a trade by the merchant's number; another merchant's does not exist."""
    for known in (book.attempts, book.refunds, book.payouts):
        trade: Trade | None = known.get(number)
        if trade is not None and trade.merchant_no == merchant_no:
            return trade
    return None


class Originals:
    """Finds attempts by UnionPay's number. It reads on where it stopped, and begins again with another book."""

    def __init__(self) -> None:
        self._book: ChannelBook | None = None
        self._count = 0
        self._by_id: dict[str, Attempt] = {}

    def find(self, book: ChannelBook, number: str, merchant_no: str) -> Attempt | None:
        """Find the merchant's attempt."""
        attempt = self.any(book, number)
        return attempt if attempt is not None and attempt.merchant_no == merchant_no else None

    def any(self, book: ChannelBook, number: str) -> Attempt | None:
        """Find an attempt, whose ever it is."""
        if book is not self._book:
            self._book, self._count, self._by_id = book, 0, {}
        for txn_no, attempt in islice(book.by_txn.items(), self._count, None):
            self._by_id[query_id(txn_no)] = attempt
        self._count = len(book.by_txn)
        return self._by_id.get(number)


def facts(trade: Trade, *, amount_minor: int, time_ms: int) -> Fields:
    """Return what answers and notices tell of a trade that has a number."""
    return {
        "queryId": query_id(trade.txn_no),
        "traceNo": trace_no(trade.txn_no),
        "traceTime": time_text(time_ms)[4:],
        "txnAmt": str(amount_minor),
        "settleAmt": str(amount_minor),
        "settleCurrencyCode": "156",
        "currencyCode": "156",
        "settleDate": clearing_day(time_ms)[5:].replace("-", ""),
    }
