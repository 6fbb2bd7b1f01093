"""The conversation with a bank: the only file that does I/O.

| method          | asks                                          | may answer                                    |
|-----------------|-----------------------------------------------|-----------------------------------------------|
| `payout`        | to pay out: one pain.001 per merchant account | ACCEPTED, REJECTED, NOT_SENT, MAYBE, DONE     |
| `query_payout`  | what became of payouts: pain.002              | DONE, ACCEPTED, REJECTED, NOT_FOUND, MAYBE    |
| `debit`         | to collect under mandates: pain.008           | ACCEPTED, REJECTED, NOT_SENT, MAYBE, DONE     |
| `query`         | what became of debits: pain.002               | DONE, ACCEPTED, REJECTED, NOT_FOUND, MAYBE    |
| `download_bill` | for a day's statement: FUND is camt.053, TRADE is camt.054 | DONE, NOT_FOUND, MAYBE           |

A file of many is one request to the bank. What the bank says of the file as a whole is an answer to each of its items,
and what it says of an item goes before that.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from channels import rsa, words
from channels.iso20022 import mapping, messages
from channels.iso20022.carriers import BankPort, Reply
from channels.iso20022.config import ABILITIES, BankAccount, Iso20022Config
from channels.port import (
    Answer,
    Answers,
    Bill,
    BillDamaged,
    BillKind,
    BillLine,
    BillRequest,
    DebitRequest,
    LineKind,
    Lookup,
    PayoutLookup,
    PayoutRequest,
)
from domain.evidence import Fault, Outcome

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Order:
    """One file to send: what it holds, and how it is written."""

    account: BankAccount
    numbers: tuple[str, ...]
    content: bytes
    is_debit: bool


@dataclass(frozen=True, slots=True)
class _Said:
    """The bank's newest word on each item, and its word on the file as a whole."""

    items: Mapping[str, messages.Status]
    whole: messages.Status | None

    @classmethod
    def of(cls, contents: Iterable[bytes]) -> "_Said":
        """Read what the bank has said. Raise Malformed."""
        items: dict[str, messages.Status] = {}
        whole = None
        for status in (status for content in contents for status in messages.statuses(content)):
            if not status.end_to_end_id:
                whole = whole or status
            elif (known := items.get(status.end_to_end_id)) is None or status.time_ms > known.time_ms:
                items[status.end_to_end_id] = status
        return cls(items, whole)


class Iso20022Channel:
    """A bank behind the port."""

    abilities = ABILITIES

    def __init__(self, config: Iso20022Config, port: BankPort, *, clock_ms: Callable[[], int]) -> None:
        self._config = config
        self._port = port
        self._clock_ms = clock_ms

    def payout(self, requests: Sequence[PayoutRequest]) -> Answers:
        """Pay out. The bank refuses a number that it has seen, so that a repeat pays nothing twice."""
        return self._send(requests, is_debit=False)

    def debit(self, requests: Sequence[DebitRequest]) -> Answers:
        """Collect under mandates."""
        return self._send(requests, is_debit=True)

    def query_payout(self, requests: Sequence[PayoutLookup]) -> Answers:
        """Ask what became of payouts."""
        return self._ask([(request.payout_no, request.merchant_no) for request in requests], is_debit=False)

    def query(self, requests: Sequence[Lookup]) -> Answers:
        """Ask what became of debits."""
        return self._ask([(request.attempt_no, request.merchant_no) for request in requests], is_debit=True)

    async def download_bill(self, requests: Sequence[BillRequest]) -> AsyncIterator[list[Bill]]:
        """Fetch statements, one after the other: they are large."""
        for request in requests:
            yield [await self._bill(request)]

    async def aclose(self) -> None:
        """Let go of connections."""
        await self._port.aclose()

    # --- sending ----------------------------------------------------------------------------------------------------

    async def _send(self, requests: Sequence[Any], *, is_debit: bool) -> AsyncIterator[list[Answer]]:
        fit, refused = self._sorted(requests)
        if refused:
            yield refused
        for group in fit.values():
            # A file of thousands takes a second to write, and as long to read.
            yield await self._submit(await rsa.off_loop(partial(self._order, group, is_debit=is_debit)))

    def _sorted(self, requests: Sequence[Any]) -> tuple[dict[tuple[str, str], list[Any]], list[Answer]]:
        """Part what can be sent, by merchant account and currency, from what cannot."""
        fit: dict[tuple[str, str], list[Any]] = {}
        refused: list[Answer] = []
        for request in requests:
            account = self._config.accounts.get(request.merchant_no)
            field = messages.unfit(request)
            if account is None or account.private_key is None:
                refused.append(Answer(request.number, Outcome.NOT_SENT, "SECRET_MISSING", Fault.CONFIG))
            elif field:
                refused.append(Answer(request.number, Outcome.NOT_SENT, f"UNFIT_{field.upper()}", Fault.CONFIG))
            else:
                fit.setdefault((request.merchant_no, request.currency_code), []).append(request)
        return fit, refused

    def _order(self, group: Sequence[Any], *, is_debit: bool) -> _Order:
        config = self._config
        account = config.accounts[group[0].merchant_no]
        write = messages.direct_debit if is_debit else messages.credit_transfer
        version = config.debit_version if is_debit else config.credit_version
        content = write(
            account, group, version=version, clearing_system=config.clearing_system, now_ms=self._clock_ms()
        )
        return _Order(account, tuple(request.number for request in group), content, is_debit)

    async def _submit(self, order: _Order) -> list[Answer]:
        reply = await self._port.submit(order.account, messages.message_id(order.numbers), order.content)
        if reply.outcome is not Outcome.DONE:
            return [Answer(number, reply.outcome, reply.reason, reply.fault) for number in order.numbers]
        said = await self._read(reply)
        return [self._answer(number, said, order.account, is_debit=order.is_debit) for number in order.numbers]

    # --- asking -----------------------------------------------------------------------------------------------------

    async def _ask(self, wanted: Sequence[tuple[str, str]], *, is_debit: bool) -> AsyncIterator[list[Answer]]:
        by_merchant: dict[str, list[str]] = {}
        for number, merchant_no in wanted:
            by_merchant.setdefault(merchant_no, []).append(number)
        for merchant_no, numbers in by_merchant.items():
            account = self._config.accounts.get(merchant_no)
            if account is None or account.private_key is None:
                yield [Answer(number, Outcome.NOT_SENT, "SECRET_MISSING", Fault.CONFIG) for number in numbers]
                continue
            yield await self._statuses(account, numbers, is_debit=is_debit)

    async def _statuses(self, account: BankAccount, numbers: Sequence[str], *, is_debit: bool) -> list[Answer]:
        reply = await self._port.statuses(account, numbers)
        if reply.outcome is Outcome.NOT_FOUND:
            return [Answer(number, Outcome.NOT_FOUND) for number in numbers]
        if reply.outcome is not Outcome.DONE:
            return [Answer(number, reply.outcome, reply.reason, reply.fault) for number in numbers]
        said = await self._read(reply)
        return [
            self._answer(number, said, account, is_debit=is_debit)
            if said is None or number in said.items
            else Answer(number, Outcome.NOT_FOUND if reply.is_whole else Outcome.MAYBE, "NO_STATUS")
            for number in numbers
        ]

    async def _read(self, reply: Reply) -> _Said | None:
        try:
            return await rsa.off_loop(_Said.of, reply.contents)
        except messages.Malformed as error:
            log.error("answer_malformed", channel_id=self._config.channel_id, problem=str(error)[:200])
            return None

    def _answer(self, number: str, said: _Said | None, account: BankAccount, *, is_debit: bool) -> Answer:
        """Take the bank's newest word on an item, else its word on the file, else none: it has taken the file."""
        if said is None:
            return Answer(number, Outcome.MAYBE, "MALFORMED", Fault.CHANNEL)
        status = said.items.get(number, said.whole)
        if status is None:
            return Answer(number, Outcome.ACCEPTED, "TAKEN")
        answer = mapping.answer_of(number, status, merchant_no=account.merchant_no, is_debit=is_debit)
        return words.seen(answer, self._config.channel_id, f"{status.code}/{status.reason}")

    async def _bill(self, request: BillRequest) -> Bill:
        account = self._config.accounts.get(request.merchant_no)
        if account is None or account.private_key is None:
            return Bill(request.number, Outcome.NOT_SENT, b"", "SECRET_MISSING", Fault.CONFIG)
        reply = await self._port.statement(account, request.kind, request.date)
        content = reply.contents[0] if reply.contents else b""
        return Bill(request.number, reply.outcome, content, reply.reason, reply.fault)


class Iso20022Bills:
    """Reads a bank's statements. The account, the balances and the count of entries must hold before a line counts."""

    def __init__(self, config: Iso20022Config) -> None:
        self._config = config

    def read(self, content: bytes, *, merchant_no: str, kind: BillKind, date: str) -> Iterator[BillLine]:
        """Check the whole statement, then yield its booked lines. Raise BillDamaged."""
        return iter(list(self._lines(content, merchant_no, kind)))

    def _lines(self, content: bytes, merchant_no: str, kind: BillKind) -> Iterator[BillLine]:
        """Yield the booked lines as they are read, and check the frame at the end."""
        moved_minor = 0
        try:
            for told in messages.statement(content):
                if isinstance(told, messages.Frame):
                    _check(told, self._config.accounts.get(merchant_no), moved_minor if kind is BillKind.FUND else None)
                elif told.is_booked:
                    moved_minor += told.amount_minor if told.is_credit else -told.amount_minor
                    yield _line(told, merchant_no)
        except messages.Malformed as error:
            raise BillDamaged("MALFORMED", str(error)[:200]) from error


def _check(frame: messages.Frame, account: BankAccount | None, moved_minor: int | None) -> None:
    """Compare a frame with what stood in it; `moved_minor` is None where there are no balances."""
    if account is None or frame.account_no != account.account_no:
        raise BillDamaged("FOREIGN_MERCHANT", f"account {frame.account_no[-4:]:>4}")
    if frame.promised_count not in (None, frame.entry_count):
        raise BillDamaged("TRUNCATED", f"{frame.promised_count} entries were promised")
    if moved_minor is None:
        return
    if frame.opening_minor is None or frame.closing_minor is None:
        raise BillDamaged("TRUNCATED", "a balance is missing")
    if off := frame.closing_minor - frame.opening_minor - moved_minor:
        raise BillDamaged("TOTALS_DIFFER", f"off by {off}")


def _line(entry: messages.Entry, merchant_no: str) -> BillLine:
    kind = mapping.line_kind(entry)
    fee_minor = entry.amount_minor if kind is LineKind.FEE else 0
    return BillLine(
        kind, entry.end_to_end_id, "", entry.bank_ref, merchant_no, entry.amount_minor, fee_minor, entry.currency_code,
        entry.time_ms,
    )  # fmt: skip
