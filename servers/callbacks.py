"""What channels call: signature first, raw bytes kept, and an acknowledgement only after the commit.

A callback is verified over its raw bytes before anything is read from the database; what fails leaves a count and no
row. A verified one is applied as evidence (amount, currency and merchant are compared there), kept, and acknowledged
once both are committed. A replay is acknowledged and changes nothing. What names no attempt of ours, or contradicts
better proof, is parked and not acknowledged: the channel will come again.
"""

import asyncio
import contextlib
import functools
import time
from typing import Any, NamedTuple

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from actors.directory import CALL_TIMEOUT_S, Directory
from actors.mailbox import Mailbox
from actors.messages import CallbackHeard, TenantEvidence
from actors.peers import PeerLost
from channels import rsa, words
from channels.port import CallbackReader, CallbackRefused, Notice
from channels.registry import make_callback_reader
from domain.refusals import Refused
from servers.desk import DeskView
from storage import callbacks as store
from storage.database import Database, DatabaseUnavailable
from storage.desk import Desk

log = structlog.get_logger()

PATH = "/callbacks/"
# The largest real notice is a few kilobytes; what is larger than SMALL_BYTES_MAX takes longer to read than a loop has.
BODY_BYTES_MAX, SMALL_BYTES_MAX = 256 * 1024, 16 * 1024
# What the tables take: notify_id (behind a merchant_no), attempt_no, channel_txn_no, refund_no, merchant_no, reason; and
# the year 9999.
_TEXTS_MAX = (95, 64, 64, 64, 32, 128)
NUMBER_MAX = 253_402_300_799_999
WAITING_MAX = 5_000
SUSPECTS_MAX = 10_000
# Callbacks that name new certificates cause so few downloads, whatever a forger names.
CERTIFICATES_PAUSE_S = 60.0
BATCH_MAX = 100
# A batch costs two statements and a call, however few are in it. Among a flood, real callbacks are heard sooner by waiting
# for company: with 100 a second, p99 was 44 to 63 ms, and 69 to 108 ms when each went alone and took the cores from the rest.
REST_S = 0.02


class _Reply(NamedTuple):
    """What is answered."""

    status: int
    content_type: str = "text/plain"
    content: bytes = b""


class _Item(NamedTuple):
    channel_id: str
    notice: Notice
    raw: bytes


class _Suspects:
    """Connections whose last callback was refused. One of them is served per turn of the loop, whoever else is served.

    A flood so takes what the others leave, and an idle loop turns some thousand times a second.
    """

    def __init__(self) -> None:
        self._known: dict[Any, None] = {}
        self._lane = asyncio.Lock()

    def __contains__(self, client: object) -> bool:
        return client in self._known

    async def turn(self) -> None:
        """Wait for a turn that is no other's."""
        async with self._lane:
            await asyncio.sleep(0)

    def note(self, client: object) -> None:
        """Suspect whoever is at the other end of a connection; of too many, the oldest are forgotten."""
        self._known[client] = None
        if len(self._known) > SUSPECTS_MAX:
            del self._known[next(iter(self._known))]

    def clear(self, client: object) -> None:
        """Suspect it no longer."""
        self._known.pop(client, None)


class CallbackIngress:
    """Receives callbacks of all channels."""

    def __init__(
        self, *, desk: DeskView, directory: Directory, database: Database, registry: CollectorRegistry
    ) -> None:
        self._desk = desk
        self._directory = directory
        self._database = database
        self._readers: dict[str, CallbackReader] = {}
        self._readers_version = -1
        self._making = asyncio.Lock()
        self._ask_again_s: dict[str, float] = {}
        self._asking: set[asyncio.Future[object]] = set()
        self._inbox: Mailbox[_Item, str] = Mailbox(
            self._apply, depth_max=WAITING_MAX, batch_max=BATCH_MAX, rest_s=REST_S
        )
        self._suspects = _Suspects()
        self._results = Counter(
            "callback", "Callbacks by what became of them", ["channel", "result"], registry=registry
        )
        self._security = Counter(
            "security_rejects", "Callbacks that failed verification", ["reason"], registry=registry
        )
        self._delay = Histogram(
            "callback_delay_seconds", "From the channel's success to its callback", registry=registry,
            buckets=(0.1, 0.5, 1, 5, 15, 30, 60, 300, 3600),
        )  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve POST /callbacks/{channel_id}, as an ASGI application of its own: a flood passes no layer in vain."""
        status, content_type, content = await self._answer(scope, receive)
        length = str(len(content)).encode()
        headers = [(b"content-type", content_type.encode()), (b"content-length", length)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, scope: Scope, receive: Receive) -> _Reply:
        channel_id = scope["path"].removeprefix(PATH)
        if scope["method"] != "POST":
            return _Reply(405, content=b"only POST")
        reader = await self._reader(channel_id)
        if reader is None:
            return _Reply(404, content=b"no such channel")
        try:
            body = await _body(receive)
        except ClientDisconnect:
            return _Reply(400)
        if scope["client"] in self._suspects:
            await self._suspects.turn()
        if body is None:
            self._suspects.note(scope["client"])
            self._results.labels(channel_id, "TOO_LARGE").inc()
            return _refused(reader, "TOO_LARGE", 413)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        read = functools.partial(reader.read, headers=headers, body=body, now_ms=time.time_ns() // 1_000_000)
        try:
            # The way to a thread and back costs more than to verify a few kilobytes, and real notices would wait there
            # behind a flood.
            notice = _sane(read() if len(body) <= SMALL_BYTES_MAX else await rsa.off_loop(read))
        except CallbackRefused as refused:
            self._suspects.note(scope["client"])
            if refused.names_new_certificate:
                self._ask_for_certificates(channel_id)
            self._security.labels(refused.reason).inc()
            self._results.labels(channel_id, refused.reason).inc()
            if refused.word:
                self._note_word(channel_id, refused.word)
            return _refused(reader, refused.reason, 401 if "SIGN" in refused.reason else 400)
        self._suspects.clear(scope["client"])
        if notice.evidence.reason == "UNKNOWN_WORD":
            self._note_word(channel_id, notice.word)
        return await self._take(channel_id, reader, _Item(channel_id, notice, body))

    async def _take(self, channel_id: str, reader: CallbackReader, item: _Item) -> _Reply:
        try:
            result = await self._inbox.put(item)
        except (Refused, PeerLost, DatabaseUnavailable):
            self._results.labels(channel_id, "NOT_TAKEN").inc()
            return _refused(reader, "NOT_TAKEN", 503)
        self._results.labels(channel_id, result).inc()
        if result == "PARKED":
            return _refused(reader, "NOT_SETTLED_YET", 404)
        return _Reply(200, *reader.acknowledgement())

    def _ask_for_certificates(self, channel_id: str) -> None:
        """Have the connector look whether the channel has a new one; the channel comes again, and by then it may be known."""
        now_s = time.monotonic()
        if now_s < self._ask_again_s.get(channel_id, 0.0):
            return
        self._ask_again_s[channel_id] = now_s + CERTIFICATES_PAUSE_S
        peer = self._directory.peer(f"channel/{channel_id}")
        asking = asyncio.ensure_future(peer.call("look_for_certificates", timeout_s=CALL_TIMEOUT_S))
        self._asking.add(asking)
        asking.add_done_callback(self._asked)

    def _asked(self, asking: "asyncio.Future[object]") -> None:
        self._asking.discard(asking)
        if not asking.cancelled() and (error := asking.exception()) is not None:
            log.warning("connector_not_asked", error=repr(error)[:200])  # it looks at its start, and twice a day

    async def start(self) -> None:
        """Be ready for the first callback: what reads a channel's takes longer to load than a loop has, and so do connections."""
        await self._make_readers(self._desk.desk)
        with contextlib.suppress(DatabaseUnavailable):  # it is asked again when it is needed
            await asyncio.gather(*(self._database.ask(store.known, []) for _ in range(self._database.size)))

    async def _reader(self, channel_id: str) -> CallbackReader | None:
        if self._readers_version != self._desk.desk.version:
            async with self._making:
                if self._readers_version != (desk := self._desk.desk).version:
                    await self._make_readers(desk)
        return self._readers.get(channel_id)

    async def _make_readers(self, desk: Desk) -> None:
        self._readers |= await rsa.off_loop(_readers_of, desk)
        self._readers_version = desk.version

    async def _apply(self, items: list[_Item]) -> list[str]:
        """Apply what is new in a batch, and keep it with what became of it: a statement each, whatever the batch holds.

        Whoever dies between the two has acknowledged nothing: the callback comes again, and changes nothing twice.
        """
        rows = [store.Received(i.channel_id, i.notice.notify_id, i.notice.evidence.attempt_no, i.raw) for i in items]
        known = await self._database.ask(store.known, rows)
        results = ["DUPLICATE" if each.is_applied else "" if each.tenant_id else "PARKED" for each in known]
        owners = {place: each.tenant_id for place, each in enumerate(known) if not results[place]}
        await self._hand_on(owners, items, results)
        kept = [
            (row, "PARKED" if result == "PARKED" else "APPLIED")
            for row, result in zip(rows, results, strict=True)
            if result != "DUPLICATE"
        ]
        if kept:
            await self._database.ask(store.keep, kept)
        return results

    async def _hand_on(self, owners: dict[int, str], items: list[_Item], results: list[str]) -> None:
        """Have routers apply the items whose places have owners, and note what they say."""
        by_shard: dict[int, list[int]] = {}
        for place, tenant_id in owners.items():
            by_shard.setdefault(self._directory.shard_of(tenant_id), []).append(place)
            self._note_delay(items[place])
        for shard, group in by_shard.items():
            batch = [TenantEvidence(owners[p], items[p].notice.evidence) for p in group]
            answers = await self._directory.peer(f"router/{shard}").call("evidence", batch)
            for place, answer in zip(group, answers, strict=True):
                results[place] = "PARKED" if answer in ("UNKNOWN_ATTEMPT", "ASKED") else answer

    def _note_delay(self, item: _Item) -> None:
        """Measure how long a callback took, and let the connector weigh it as a part of the channel's health."""
        evidence = item.notice.evidence
        if evidence.success_time_ms:
            delay_ms = max(0, evidence.time_ms - evidence.success_time_ms)
            self._delay.observe(delay_ms / 1000)
            self._directory.callback_mailbox(item.channel_id).tell(CallbackHeard(delay_ms))

    def _note_word(self, channel_id: str, word: str) -> None:
        """Write a word of no manual down, and let the connector see that people hear of it."""
        words.note(channel_id, word)
        self._directory.callback_mailbox(channel_id).tell(CallbackHeard(word=word[: words.WORD_LENGTH_MAX]))


def _readers_of(desk: Desk) -> dict[str, CallbackReader]:
    readers = {}
    for row in desk.channels.values():
        accounts = [account for account in desk.accounts if account.channel_id == row.channel_id]
        try:
            reader = make_callback_reader(row.kind, row.channel_id, row.settings, accounts)
        except Exception as error:  # whatever its settings make of a library: it is not the trouble of the others
            log.error("callbacks_not_readable", channel_id=row.channel_id, error=type(error).__name__)
        else:
            if reader is not None:
                readers[row.channel_id] = reader
    return readers


def _refused(reader: CallbackReader, reason: str, status: int) -> _Reply:
    return _Reply(status, *reader.refusal(reason))


def _sane(notice: Notice) -> Notice:
    """Return a notice that can be kept. Raise CallbackRefused: one odd callback must not spoil the batch it comes in.

    Its number is one of the merchant for which it was signed: whoever holds another merchant's keys takes no number away.
    """
    told = notice.evidence
    texts = (notice.notify_id, told.attempt_no, told.channel_txn_no, told.refund_no, told.merchant_no, told.reason)
    numbers = (told.amount_minor, told.success_time_ms)
    if not all(len(text) <= longest and text.isprintable() for text, longest in zip(texts, _TEXTS_MAX, strict=True)):
        raise CallbackRefused("MALFORMED")
    if not all(type(number) is int and 0 <= number <= NUMBER_MAX for number in numbers) or not notice.notify_id:
        raise CallbackRefused("MALFORMED")
    return notice._replace(notify_id=f"{told.merchant_no}/{notice.notify_id}")


async def _body(receive: Receive) -> bytes | None:
    """Read a body of at most BODY_BYTES_MAX; None for a larger one, of which the rest is never read.

    Raise ClientDisconnect where the rest does not come.
    """
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += bytes(message.get("body", b""))
        if len(body) > BODY_BYTES_MAX:
            return None
        if not message.get("more_body"):
            return body
