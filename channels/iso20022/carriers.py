"""How files travel to a bank and back: over HTTP, or through two folders that its front machine empties and fills.

Both say the same: DONE with the bank's own files, or what is proved about ours all the same.
"""

import asyncio
import contextlib
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlencode

import structlog

from channels import rsa
from channels.http import HttpLimits, HttpTransport, Lost, target_of
from channels.http import Reply as HttpReply
from channels.iso20022 import messages, signing
from channels.iso20022.config import BankAccount, Carrier, Iso20022Config
from channels.port import BillKind
from domain.evidence import Fault, Outcome

log = structlog.get_logger()

# Numbers in one question: a URL of less than 4 KB.
NUMBERS_MAX = 100
STATEMENT_BYTES_MAX = messages.FILE_BYTES_MAX
# An answer whose signed time is further from ours is a replay.
CLOCK_SKEW_S = 300
# What is remembered of the inbox: a month of a busy bank. Files beyond it are read again when they are asked about.
FILES_MAX = 5_000


class Reply(NamedTuple):
    """What came of a request. `is_whole` means that the bank would have named every number that it knows."""

    outcome: Outcome
    contents: tuple[bytes, ...] = ()
    reason: str = ""
    fault: Fault = Fault.NONE
    is_whole: bool = False


class BankPort(Protocol):
    """A way for files to travel."""

    async def submit(self, account: BankAccount, message_id: str, content: bytes) -> Reply:
        """Hand a file over; the contents are pain.002, if the bank answers at once."""
        ...

    async def statuses(self, account: BankAccount, numbers: Sequence[str]) -> Reply:
        """Fetch the pain.002 about numbers of ours."""
        ...

    async def statement(self, account: BankAccount, kind: BillKind, date: str) -> Reply:
        """Fetch a day's camt.053 (FUND) or camt.054 (TRADE)."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


_MESSAGE_OF = {BillKind.FUND: "camt.053", BillKind.TRADE: "camt.054"}


class HttpCarrier:
    """A bank that takes and gives files over HTTP, each signed."""

    def __init__(self, base_url: str, transport: HttpTransport, *, clock_ms: Callable[[], int]) -> None:
        self._base_url = base_url
        self._transport = transport
        self._clock_ms = clock_ms

    async def submit(self, account: BankAccount, message_id: str, content: bytes) -> Reply:
        """POST the file."""
        return await self._send("POST", f"/files/{message_id}", account, content)

    async def statuses(self, account: BankAccount, numbers: Sequence[str]) -> Reply:
        """GET the statuses, in as many questions as it takes."""
        contents: list[bytes] = []
        for start in range(0, len(numbers), NUMBERS_MAX):
            wanted = urlencode([("number", number) for number in numbers[start : start + NUMBERS_MAX]])
            reply = await self._send("GET", f"/statuses?{wanted}", account)
            if reply.outcome is Outcome.NOT_FOUND:
                continue
            if reply.outcome is not Outcome.DONE:
                # A question that was refused says nothing about the money, whatever it would say of a file.
                return reply._replace(outcome=Outcome.MAYBE) if reply.outcome is Outcome.REJECTED else reply
            contents += reply.contents
        return Reply(Outcome.DONE if contents else Outcome.NOT_FOUND, tuple(contents), is_whole=True)

    async def statement(self, account: BankAccount, kind: BillKind, date: str) -> Reply:
        """GET a statement."""
        reply = await self._send("GET", f"/statements/{_MESSAGE_OF[kind]}/{date}", account)
        return reply._replace(outcome=Outcome.MAYBE) if reply.outcome is Outcome.REJECTED else reply

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def _send(self, method: str, path: str, account: BankAccount, body: bytes = b"") -> Reply:
        assert account.private_key is not None, "the client has looked"
        url = self._base_url + path
        target, now_text = target_of(url), str(self._clock_ms() // 1000)
        signature = await rsa.off_loop(signing.sign, account.private_key, signing.over_http(target, now_text, body))
        headers = {"bank-customer": account.merchant_no, "bank-time": now_text, "bank-signature": signature}
        if body:
            headers["content-type"] = "application/xml"
        answer = await self._transport.send(
            method, url, headers=headers, body=body, answer_bytes_max=STATEMENT_BYTES_MAX
        )
        if isinstance(answer, Lost):
            return Reply(answer.outcome, (), answer.reason, answer.fault)
        if not await self._is_theirs(account, target, answer):
            return Reply(Outcome.MAYBE, (), "SIGNATURE_INVALID", Fault.CHANNEL)
        return _of_status(answer)

    async def _is_theirs(self, account: BankAccount, target: str, answer: HttpReply) -> bool:
        time_text = answer.headers.get("bank-time", "")
        if not (time_text.isascii() and time_text.isdigit() and len(time_text) < 12):
            return False
        if abs(self._clock_ms() // 1000 - int(time_text)) > CLOCK_SKEW_S:
            return False
        signed = signing.over_http(target, time_text, answer.body)
        return await rsa.off_loop(signing.verify, account.bank_keys, signed, answer.headers.get("bank-signature", ""))


def _of_status(answer: HttpReply) -> Reply:
    """Read the HTTP status of a signed answer; the statuses of payments are in the files."""
    if answer.status == 200:
        return Reply(Outcome.DONE, (answer.body,) if answer.body else ())
    if answer.status == 404:
        return Reply(Outcome.NOT_FOUND)
    if answer.status in (400, 401, 403, 413, 422):
        return Reply(Outcome.REJECTED, (), f"HTTP_{answer.status}", Fault.CONFIG)
    return Reply(Outcome.MAYBE, (), f"HTTP_{answer.status}", Fault.CHANNEL)


class FileCarrier:
    """A front machine: `NUMBER.xml` with `NUMBER.xml.sig` in the outbox, `*.xml` with `.sig` in the inbox.

    A file appears under its name in one step, after its signature and after it is on the disk. What lies in the inbox is
    believed only with a signature that holds. A number of which no file speaks may still be on its way.
    """

    def __init__(self, outbox: Path, inbox: Path) -> None:
        self._outbox = outbox
        self._inbox = inbox
        self._known: OrderedDict[tuple[str, int], frozenset[str]] = OrderedDict()

    async def submit(self, account: BankAccount, message_id: str, content: bytes) -> Reply:
        """Write the file, once."""
        return await asyncio.to_thread(self._write, account, message_id, content)

    async def statuses(self, account: BankAccount, numbers: Sequence[str]) -> Reply:
        """Look through the inbox."""
        return await asyncio.to_thread(self._look, account, frozenset(numbers))

    async def statement(self, account: BankAccount, kind: BillKind, date: str) -> Reply:
        """Read `camt.053-ACCOUNT-DATE.xml`."""
        path = self._inbox / f"{_MESSAGE_OF[kind]}-{account.account_no}-{date}.xml"
        content = await asyncio.to_thread(self._read, account, path)
        return Reply(Outcome.DONE, (content,)) if content is not None else Reply(Outcome.NOT_FOUND)

    async def aclose(self) -> None:
        """Hold nothing."""

    def _write(self, account: BankAccount, message_id: str, content: bytes) -> Reply:
        assert account.private_key is not None, "the client has looked"
        path = self._outbox / f"{message_id}.xml"
        signature = signing.sign(account.private_key, content).encode()
        begun = False
        try:
            if path.exists():  # the very same items, as the number says: it is there already
                return Reply(Outcome.DONE)
            _put(path.with_name(path.name + ".sig"), signature)
            begun = True
            _put(path, content)
        except OSError as error:
            log.error("outbox_not_written", file=path.name, error=str(error))
            return Reply(Outcome.MAYBE if begun else Outcome.NOT_SENT, (), "OUTBOX_NOT_WRITTEN", Fault.LOCAL)
        return Reply(Outcome.DONE)

    def _look(self, account: BankAccount, numbers: frozenset[str]) -> Reply:
        found: list[bytes] = []
        try:
            entries = [entry for entry in os.scandir(self._inbox) if entry.name.endswith(".xml")]
        except OSError:
            return Reply(Outcome.MAYBE, (), "INBOX_NOT_READ", Fault.LOCAL)
        for entry in entries:
            with contextlib.suppress(OSError):  # taken away meanwhile
                known = self._known.get((entry.name, entry.stat().st_mtime_ns))
                if known is not None and known.isdisjoint(numbers):
                    continue
                content = self._read(account, Path(entry.path))
                if content is not None and not self._note(entry, content).isdisjoint(numbers):
                    found.append(content)
        return Reply(Outcome.DONE, tuple(found))

    def _note(self, entry: "os.DirEntry[str]", content: bytes) -> frozenset[str]:
        """Return and remember the numbers that a file speaks of; none where it is no pain.002."""
        try:
            numbers = frozenset(status.end_to_end_id for status in messages.statuses(content))
        except messages.Malformed:
            numbers = frozenset[str]()
        self._known[entry.name, entry.stat().st_mtime_ns] = numbers
        if len(self._known) > FILES_MAX:
            self._known.popitem(last=False)
        return numbers

    def _read(self, account: BankAccount, path: Path) -> bytes | None:
        """Return a file's content if it is there and the bank has signed it."""
        try:
            if path.stat().st_size > messages.FILE_BYTES_MAX:
                log.error("inbox_file_too_big", file=path.name)
                return None
            content = path.read_bytes()
            signature = path.with_name(path.name + ".sig").read_text("ascii")
        except (OSError, UnicodeDecodeError):
            return None
        if signing.verify(account.bank_keys, content, signature.strip()):
            return content
        log.error("inbox_signature_invalid", file=path.name)
        return None


def make_port(config: Iso20022Config, *, clock_ms: Callable[[], int]) -> BankPort:
    """Make the way that a bank's settings name. Raise ValueError where a folder is not named."""
    if config.carrier is Carrier.HTTP:
        return HttpCarrier(config.base_url, HttpTransport(HttpLimits(total_s=config.timeout_s)), clock_ms=clock_ms)
    if not config.outbox or not config.inbox:
        raise ValueError("carrier file needs an outbox and an inbox")
    return FileCarrier(Path(config.outbox), Path(config.inbox))


def _put(path: Path, content: bytes) -> None:
    """Write a file that is whole or not there, also after a loss of power."""
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
