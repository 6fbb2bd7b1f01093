"""The conversation with the simulator: batches out, answers in as they come; and the reader of its callbacks."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from channels import words
from channels.port import (
    Answer,
    CallbackRefused,
    Channel,
    Charge,
    Lookup,
    Notice,
    RefundLookup,
    RefundRequest,
)
from channels.sandbox import mapping, messages, signing
from channels.sandbox.config import ABILITIES, SandboxConfig
from domain.evidence import Fault, Outcome

log = structlog.get_logger()

Envelope = tuple[bytes, str]
# How long one poll for late answers lasts.
COLLECT_S = 5.0
# After a lost poll the simulator is given time to come back.
COLLECT_RETRY_S = 0.5
# How soon a poll may follow another. Polls are calls between processes: with 10 ms between them at 400 late answers a second
# they filled a slow machine, and what was ours of the latency had a p99 of 730 to 850 ms; 295 and 315 with 25 ms.
COLLECT_PAUSE_S = 0.03
CALLBACK_WINDOW_S = 300


class Transport(Protocol):
    """What carries bytes to the simulator and back. Raises ConnectionError when it is not known whether they arrived."""

    async def exchange(
        self, channel_id: str, operation: str, body: bytes, merchant_no: str, signature: str
    ) -> list[Envelope]:
        """Send one batch; return the answers that are ready now."""
        ...

    async def collect(self, channel_id: str, wait_s: float) -> list[Envelope]:
        """Wait for late answers."""
        ...


class _Call:
    """One call that waits for answers to its numbers."""

    def __init__(self, numbers: Sequence[str], *, moves_money: bool) -> None:
        self.pending = set(numbers)
        self.moves_money = moves_money
        self.ready: list[Answer] = []
        self.event = asyncio.Event()

    def hear(self, answer: Answer) -> None:
        if answer.number in self.pending:
            self.pending.discard(answer.number)
            self.ready.append(answer)
            self.event.set()


class SandboxChannel:
    """A sandbox channel behind the port."""

    abilities = ABILITIES

    def __init__(self, config: SandboxConfig, transport: Transport) -> None:
        self._config = config
        self._transport = transport
        self._calls: dict[str, list[_Call]] = {}
        self._collector: asyncio.Task[None] | None = None
        self._has_heir = False

    def charge(self, requests: Sequence[Charge]) -> AsyncIterator[list[Answer]]:
        """Ask for money."""
        return self._ask("charge", requests, messages.charges, moves_money=True)

    def query(self, requests: Sequence[Lookup]) -> AsyncIterator[list[Answer]]:
        """Ask what became of attempts."""
        return self._ask("query", requests, messages.lookups, moves_money=False)

    def close(self, requests: Sequence[Lookup]) -> AsyncIterator[list[Answer]]:
        """Close attempts."""
        return self._ask("close", requests, messages.lookups, moves_money=False)

    def refund(self, requests: Sequence[RefundRequest]) -> AsyncIterator[list[Answer]]:
        """Ask to give money back."""
        return self._ask("refund", requests, messages.refunds, moves_money=True)

    def query_refund(self, requests: Sequence[RefundLookup]) -> AsyncIterator[list[Answer]]:
        """Ask what became of refunds."""
        return self._ask("query_refund", requests, messages.refund_lookups, moves_money=False)

    def take_over(self, old: Channel) -> None:
        """Hear late answers for those who wait for `old` too: whoever fetches an answer must find who asked."""
        assert isinstance(old, SandboxChannel)
        self._calls, old._has_heir = old._calls, True  # noqa: SLF001 - its own kind
        self._listen()

    async def aclose(self) -> None:
        """Stop listening."""
        if self._collector is not None:
            self._collector.cancel()

    async def _ask(
        self, operation: str, requests: Sequence[Any], write: Callable[[Sequence[Any]], bytes], *, moves_money: bool
    ) -> AsyncIterator[list[Answer]]:
        numbers = [request.number for request in requests]
        call = _Call(numbers, moves_money=moves_money)
        for number in numbers:
            self._calls.setdefault(number, []).append(call)
        self._listen()
        try:
            await self._send(operation, requests, write, call)
            while True:
                if call.ready:
                    ready, call.ready = call.ready, []
                    yield ready
                if not call.pending:
                    return
                if not call.ready:
                    call.event.clear()
                    await call.event.wait()
        finally:
            self._forget(numbers, call)

    def _listen(self) -> None:
        if self._calls and (self._collector is None or self._collector.done()):
            self._collector = asyncio.get_running_loop().create_task(self._collect())

    def _forget(self, numbers: Sequence[str], call: _Call) -> None:
        for number in numbers:
            calls = self._calls.get(number)
            if calls is not None:
                calls[:] = [other for other in calls if other is not call]
                if not calls:
                    del self._calls[number]

    async def _send(
        self, operation: str, requests: Sequence[Any], write: Callable[[Sequence[Any]], bytes], call: _Call
    ) -> None:
        by_merchant: dict[str, list[Any]] = {}
        for request in requests:
            by_merchant.setdefault(request.merchant_no, []).append(request)
        for merchant_no, group in by_merchant.items():
            known = self._config.secrets.get(merchant_no)
            if not known:
                for request in group:
                    number = request.number
                    call.hear(Answer(number, Outcome.NOT_SENT, "SECRET_MISSING", Fault.CONFIG))
                continue
            body = write(group)
            try:
                envelopes = await self._transport.exchange(
                    self._config.channel_id, operation, body, merchant_no, signing.sign(known[0], body)
                )
            except ConnectionError:
                for request in group:
                    call.hear(Answer(request.number, Outcome.MAYBE, "CONNECTION_LOST", Fault.CHANNEL))
                continue
            self._open(envelopes, merchant_no, call)

    def _open(self, envelopes: Sequence[Envelope], merchant_no: str = "", asker: _Call | None = None) -> None:
        """Verify envelopes and give their answers to `asker`, or, when they came late, to whoever asked.

        A late answer does not say what it answers. Where a charge and a question wait for the same number, a "no" is
        read as for the question: it must not pass for a "no" to the charge.
        """
        for body, signature in envelopes:
            try:
                items = messages.read_answers(body)
            except ValueError:
                log.error("answer_malformed", channel_id=self._config.channel_id)
                continue
            signer = merchant_no or next((name for item in items if (name := item.get("merchant_no"))), "")
            known = self._config.secrets.get(signer, ())
            trusted = bool(signature) and any(signing.verify(secret, body, signature) for secret in known)
            for item in items:
                calls = (asker,) if asker is not None else tuple(self._calls.get(item["number"], ()))
                definite = all(call.moves_money for call in calls)
                for call in calls:
                    call.hear(self._read(item, call, signature, trusted=trusted, definite=definite))

    def _read(self, item: dict[str, Any], call: _Call, signature: str, *, trusted: bool, definite: bool) -> Answer:
        if trusted:
            answer = mapping.answer_of(item, moves_money=call.moves_money)
            if answer.outcome is Outcome.REJECTED and not definite:
                answer = mapping.answer_of(item, moves_money=False)
            return words.seen(answer, self._config.channel_id, item.get("word"))
        if not signature and "transport" in item:
            return mapping.transport_answer(item)
        return Answer(item["number"], Outcome.MAYBE, "SIGNATURE_INVALID", Fault.CHANNEL)

    async def _collect(self) -> None:
        """Fetch late answers for as long as somebody waits for one."""
        loop = asyncio.get_running_loop()
        while self._calls and not self._has_heir:
            asked_s = loop.time()
            try:
                self._open(await self._transport.collect(self._config.channel_id, COLLECT_S))
            except ConnectionError:
                await asyncio.sleep(COLLECT_RETRY_S)
            # A poll costs the same for one answer as for fifty; a lone answer has waited in no poll's way.
            await asyncio.sleep(max(0.0, asked_s + COLLECT_PAUSE_S - loop.time()))


class SandboxCallbacks:
    """Reads the sandbox's callbacks."""

    def __init__(self, config: SandboxConfig) -> None:
        self._config = config

    def read(self, *, headers: Mapping[str, str], body: bytes, now_ms: int) -> Notice:
        """Verify the signature over `{timestamp}.{nonce}.` and the raw bytes, then the time, then read.

        The merchant whose key signed is the only one that the callback may speak of.
        """
        signer = headers.get("sandbox-merchant", "")
        known = self._config.secrets.get(signer, ())
        timestamp, nonce = headers.get("sandbox-timestamp", ""), headers.get("sandbox-nonce", "")
        signed = f"{timestamp}.{nonce}.".encode() + body
        if not any(signing.verify(secret, signed, headers.get("sandbox-signature", "")) for secret in known):
            raise CallbackRefused("SIGNATURE_INVALID")
        if not timestamp.isdecimal() or abs(now_ms // 1000 - int(timestamp)) > CALLBACK_WINDOW_S:
            raise CallbackRefused("STALE_TIMESTAMP")
        try:
            item = messages.read_callback(body)
        except ValueError as error:
            raise CallbackRefused("MALFORMED") from error
        if item["merchant_no"] != signer:
            raise CallbackRefused("SIGNATURE_INVALID")
        return Notice(item["notify_id"], mapping.evidence_of(item, now_ms=now_ms), str(item.get("word")))

    def acknowledgement(self) -> tuple[str, bytes]:
        """Return what the sandbox takes as "heard"."""
        return "text/plain", b"success"

    def refusal(self, reason: str) -> tuple[str, bytes]:
        """Return how it is told that it must come again."""
        return "text/plain", reason.encode()
