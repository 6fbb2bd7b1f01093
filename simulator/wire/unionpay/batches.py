"""Batch files in a layout that is data: what each contract agrees on differs, so none of it is in the code.

A file is taken or refused as a whole; its lines are then executed one by one, each in its own weather, and their results
can be fetched after an hour. Batches are kept in memory: what their lines did is in the ledger, the files are not.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from simulator.records import Attempt, Payout, Refund
from simulator.wire.front import NoAnswer
from simulator.wire.unionpay import trades, words
from simulator.wire.unionpay.messages import Fields, Invalid, pack, unpack
from simulator.wire.unionpay.transactions import Call, Handler, Reply, answered, refused
from simulator.words import Operation

READY_MS = 3_600_000
LINES_MAX = 20_000
UNKNOWN = "04"


class Layout(NamedTuple):
    """Columns of the header, of the lines that come and of the results that go, and how they are written."""

    header: Sequence[str] = ("count", "amount")
    columns: Sequence[str] = (
        "number", "currency", "amount", "account_type", "account", "name", "biz_type", "id_type", "id", "phone", "note",
    )  # fmt: skip
    results: Sequence[str] = ("number", "currency", "amount", "query_id", "code", "message")
    separator: str = "|"
    encoding: str = "gbk"
    newline: str = "\r\n"


class _Batch(NamedTuple):
    """A file that was taken."""

    kind: str
    lines: Sequence[Mapping[str, str]]
    ready_ms: int


class Batches:
    """Takes and answers batch files."""

    def __init__(self, layout: Layout | None = None) -> None:
        self._layout = layout or Layout()
        self._batches: dict[tuple[str, str, str], _Batch] = {}

    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """Return what is done for which kind: refunds, collections, payouts."""
        kinds = ("01", "02", "03")
        return {("21", kind): self._send for kind in kinds} | {("22", kind): self._query for kind in kinds}

    async def _send(self, call: Call) -> Reply:
        lines = self._read(call)
        key = self._key(call)
        told = await call.ask(Operation.QUERY, {"attempt_no": "-".join(key)})
        if key in self._batches:
            raise refused("12", told)
        self._batches[key] = _Batch(call.fields["txnSubType"], lines, call.front.world.now_ms() + READY_MS)
        for line in lines:
            await self._execute(call, line)
        return answered(told, words.GOOD)

    async def _query(self, call: Call) -> Reply:
        key = self._key(call)
        told = await call.ask(Operation.QUERY, {"attempt_no": "-".join(key)})
        batch = self._batches.get(key)
        if batch is None or batch.kind != call.fields["txnSubType"]:
            raise refused("34", told)
        if call.front.world.now_ms() < batch.ready_ms:
            raise refused(words.UNDER_WAY, told)
        results = [self._result(call, line) for line in batch.lines]
        totals = {"count": str(len(results)), "amount": str(sum(int(line["amount"]) for line in results))}
        rows = [self._row(self._layout.header, totals), *(self._row(self._layout.results, line) for line in results)]
        return answered(told, words.GOOD, {"fileContent": pack("".join(rows).encode(self._layout.encoding))})

    def _read(self, call: Call) -> list[dict[str, str]]:
        layout = self._layout
        try:
            text = unpack(call.text("fileContent")).decode(layout.encoding)
        except UnicodeDecodeError:
            raise Invalid("14") from None
        first, *rest = text.removesuffix(layout.newline).split(layout.newline)
        totals = self._cells(layout.header, first)
        lines = [self._cells(layout.columns, line) for line in rest]
        amounts = [line["amount"] for line in lines]
        if not text.endswith(layout.newline) or not 0 < len(lines) <= LINES_MAX:
            raise Invalid("14")
        if not all(amount.isascii() and amount.isdecimal() and len(amount) <= 12 for amount in amounts):
            raise Invalid("14")
        told = (totals["count"], totals["amount"])
        meant = (str(len(lines)), str(sum(map(int, amounts))))
        if told != meant or (call.text("totalQty"), call.text("totalAmt")) != meant:
            raise Invalid("14")
        return lines

    async def _execute(self, call: Call, line: Mapping[str, str]) -> None:
        """Do what a line says; what the weather swallows stays without a result."""
        memo = call.memo(txn_type={"01": "04", "02": "11", "03": "12"}[call.fields["txnSubType"]], sub_type="00")
        amount_minor, number = int(line["amount"]), line["number"]
        common: dict[str, Any] = {"amount_minor": amount_minor, "currency": "CNY", "notify_url": "", "memo": memo}
        match call.fields["txnSubType"]:
            case "01":
                original = call.originals.find(call.book, line["note"], call.account.merchant_no)
                where = original.number if original is not None else number
                operation, item = Operation.REFUND, {"refund_no": number, "attempt_no": where}
            case "02":
                operation = Operation.CHARGE
                item = {"attempt_no": number, "order_no": number, "subject": "", "payer_ref": line["account"],
                        "expire_time_ms": 0, "pays": "NOW"}  # type: ignore[dict-item]  # fmt: skip
            case _:
                operation = Operation.PAYOUT
                item = {"payout_no": number, "payee": line["account"], "payee_name": line["name"], "order_no": number}
        try:
            await call.front.ask(call.account.channel_id, operation, item | common, call.account.merchant_no)
        except NoAnswer:
            return

    @staticmethod
    def _result(call: Call, line: Mapping[str, str]) -> dict[str, str]:
        trade = trades.find(call.book, line["number"], call.account.merchant_no)
        code = UNKNOWN if trade is None else words.state(trade.word, getattr(trade, "reason", ""))
        known = trades.query_id(trade.txn_no) if isinstance(trade, Attempt | Payout | Refund) else ""
        message = words.MESSAGES.get(code, code)
        return {**line, "query_id": known, "code": code, "message": message}

    def _key(self, call: Call) -> tuple[str, str, str]:
        return (call.account.merchant_no, call.text("batchNo"), call.fields["txnTime"])

    def _cells(self, columns: Sequence[str], line: str) -> Fields:
        cells = line.split(self._layout.separator)
        if len(cells) != len(columns):
            raise Invalid("14")
        return dict(zip(columns, cells, strict=True))

    def _row(self, columns: Sequence[str], values: Mapping[str, str]) -> str:
        return self._layout.separator.join(values.get(column, "") for column in columns) + self._layout.newline
