"""The bank's front door: who asks, whether he may, and signed answers. Files in, reports and statements out."""

from collections.abc import Sequence
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from simulator.codec import AnswerFields, Flaw
from simulator.voice import Letter, Telling, Voice
from simulator.wire.accounts import Account
from simulator.wire.front import Endpoint, Front, NoAnswer, Told, read_body
from simulator.wire.iso20022 import statements, words
from simulator.wire.iso20022.credentials import account_no
from simulator.wire.iso20022.messages import File, Order, Said, Unreadable, read, report
from simulator.wire.iso20022.signing import is_signed, is_timely, seal
from simulator.words import AnyWord, Operation, SideWord, Word

NUMBERS_MAX = 100
# Numbers of files that the bank has seen; of older ones it knows only the transactions.
FILES_MAX = 100_000
XML = "application/xml"


class Iso20022Wire:
    """The wire of one bank."""

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._accounts = {account.merchant_no: account for account in accounts}
        self.voice: Voice = _Silent()

    def routes(self, front: Front) -> Sequence[BaseRoute]:
        """Return files, statuses and statements."""
        bank = _Bank(front, self._accounts)
        return [
            Route("/files/{number}", Endpoint(bank.take), methods=["POST"]),
            Route("/statuses", Endpoint(bank.tell), methods=["GET"]),
            Route("/statements/{message}/{date}", Endpoint(bank.state), methods=["GET"]),
        ]


class _Silent:
    """A bank calls nobody: it is asked."""

    schedule_s: tuple[float, ...] = ()

    def tells(self, word: AnyWord, *, asked: bool) -> bool:
        """Tell nothing."""
        return False

    async def write(self, telling: Telling, *, nonce: str, real_ms: int, flaw: Flaw) -> Letter:
        """Write nothing that would convince."""
        return {}, b""

    def hears(self, status: int, reply: bytes) -> bool:
        """Take anything."""
        return True


class _Answer(NamedTuple):
    """What is to be signed and sent; `drip` is the answer that the weather slows down, if one does."""

    status: int
    body: bytes
    told: Sequence[Told]


class _Bank:
    """Serves one bank's customers."""

    def __init__(self, front: Front, accounts: dict[str, Account]) -> None:
        self._front = front
        self._accounts = accounts
        self._seen: dict[tuple[str, str], None] = {}

    # --- files ------------------------------------------------------------------------------------------------------

    async def take(self, request: Request) -> Response:
        """Take a file: refuse it whole, or answer for each of its transactions."""
        body = await read_body(request)
        account = self._customer(request, body)
        if account is None:
            return Response("who are you?", status_code=401)
        return await self._signed(request, account, await self._book(account, body))

    async def _book(self, account: Account, body: bytes) -> _Answer:
        try:
            file = read(body)
            if file.account_no != account_no(account.merchant_no):
                raise Unreadable("AC02")
        except Unreadable as refused:
            return _Answer(200, self._refusal("NOTPROVIDED", "pain.001", refused.code), ())
        if (account.merchant_no, file.message_id) in self._seen:
            return _Answer(200, self._refusal(file.message_id, file.kind, "AM05"), ())
        told, silence = [], None
        for order in file.orders:
            try:
                told.append(await self._order(account, file, order))
            except NoAnswer as none:  # the others are executed all the same: they were in the same file
                silence = none
        if silence is not None:
            raise silence
        trouble = next((words.TROUBLE[t.fields["word"]] for t in told if t.fields["word"] in words.TROUBLE), 0)
        if trouble:
            return _Answer(trouble, b"", told)
        self._remember(account.merchant_no, file.message_id)
        said = [_said(order.end_to_end_id, item.fields) for order, item in zip(file.orders, told, strict=True)]
        content = report(file.message_id, file.kind, said, group="PART", reason="", now_ms=self._front.world.now_ms())
        return _Answer(200, content, told)

    async def _order(self, account: Account, file: File, order: Order) -> Told:
        shared = {"amount_minor": order.amount_minor, "currency": order.currency, "notify_url": "", "memo": {"note": order.note}}
        if file.is_debit:
            item = shared | {
                "attempt_no": order.end_to_end_id, "order_no": order.mandate or order.end_to_end_id, "subject": order.note,
                "payer_ref": order.other_account, "expire_time_ms": 0, "pays": "NOW",
            }  # fmt: skip
            return await self._front.ask(account.channel_id, Operation.CHARGE, item, account.merchant_no)
        item = shared | {
            "payout_no": order.end_to_end_id, "payee": order.other_account, "payee_name": order.other_name, "order_no": "",
        }  # fmt: skip
        return await self._front.ask(account.channel_id, Operation.PAYOUT, item, account.merchant_no)

    def _refusal(self, number: str, kind: str, code: str) -> bytes:
        return report(number, kind, (), group="RJCT", reason=code, now_ms=self._front.world.now_ms())

    def _remember(self, merchant_no: str, number: str) -> None:
        self._seen[merchant_no, number] = None
        if len(self._seen) > FILES_MAX:
            del self._seen[next(iter(self._seen))]

    # --- questions --------------------------------------------------------------------------------------------------

    async def tell(self, request: Request) -> Response:
        """Report on transactions by their numbers; what the bank does not know is not in the report."""
        account = self._customer(request, b"")
        if account is None:
            return Response("who are you?", status_code=401)
        numbers = request.query_params.getlist("number")
        if not 0 < len(numbers) <= NUMBERS_MAX:
            return await self._signed(request, account, _Answer(400, b"", ()))
        told = [(number, await self._status(account, number)) for number in numbers]
        troubled = [words.TROUBLE[t.fields["word"]] for _, t in told if t.fields["word"] in words.TROUBLE]
        known = [(number, item) for number, item in told if item.fields["word"] not in words.UNKNOWN]
        said = [_said(number, item.fields) for number, item in known]
        now_ms = self._front.world.now_ms()
        body = report("NOTPROVIDED", "pain.001", said, group="", reason="", now_ms=now_ms) if said else b""
        status = troubled[0] if troubled else (200 if said else 404)
        return await self._signed(request, account, _Answer(status, body if status == 200 else b"", [t for _, t in told]))

    async def _status(self, account: Account, number: str) -> Told:
        ask, merchant_no = self._front.ask, account.merchant_no
        if number in self._front.channel(account.channel_id).book.payouts:
            return await ask(account.channel_id, Operation.QUERY_PAYOUT, {"payout_no": number}, merchant_no)
        return await ask(account.channel_id, Operation.QUERY, {"attempt_no": number}, merchant_no)

    async def state(self, request: Request) -> Response:
        """Give a day's statement."""
        account = self._customer(request, b"")
        if account is None:
            return Response("who are you?", status_code=401)
        message, date = request.path_params["message"], request.path_params["date"]
        if message not in ("camt.053", "camt.054"):
            return await self._signed(request, account, _Answer(404, b"", ()))
        told = await self._front.ask(account.channel_id, Operation.BILL, {"date": date}, account.merchant_no)
        if told.fields["word"] != SideWord.BILL_READY:
            status = words.TROUBLE.get(told.fields["word"], 404)
            return await self._signed(request, account, _Answer(status, b"", (told,)))
        bill = self._front.channel(account.channel_id).bills.of_day(account.merchant_no, date)
        content = statements.write(bill, message.removeprefix("camt."), now_ms=self._front.world.now_ms())
        return await self._signed(request, account, _Answer(200, content, (told,)))

    # --- who asks, and how he is answered ---------------------------------------------------------------------------

    def _customer(self, request: Request, body: bytes) -> Account | None:
        account = self._accounts.get(request.headers.get("bank-customer", ""))
        if account is None or not is_signed(account, request.headers, _target(request), body):
            return None
        return account if is_timely(request.headers, real_ms=self._front.world.real_ms()) else None

    async def _signed(self, request: Request, account: Account, answer: _Answer) -> Response:
        flaw = next((told.flaw for told in answer.told if told.flaw), Flaw.NONE)
        headers = await seal(account, _target(request), answer.body, flaw, real_ms=self._front.world.real_ms())
        slowest = max(answer.told, key=lambda told: told.drip_ms, default=Told({}, Flaw.NONE, 0))
        return slowest.response(answer.body, media_type=XML, status=answer.status, headers=headers)


def _target(request: Request) -> str:
    raw = request.scope["raw_path"].decode("ascii", "replace")
    query = request.scope["query_string"].decode("ascii", "replace")
    return f"{raw}?{query}" if query else raw


def _said(number: str, fields: AnswerFields) -> Said:
    code, reason = words.status_of(fields)
    is_final = fields["word"] in (Word.PAID, SideWord.PAYOUT_PAID, SideWord.PAYOUT_RETURNED)
    return Said(
        number, code, reason, fields["amount_minor"], fields["currency"] or "CNY", fields["channel_txn_no"],
        fields["success_time_ms"] if is_final else 0,
    )  # fmt: skip
