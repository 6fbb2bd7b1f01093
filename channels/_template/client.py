"""The conversation with the channel: the only file that does I/O.

| method           | needed               | asks                          | may answer                                      |
|------------------|----------------------|-------------------------------|-------------------------------------------------|
| `charge`         | always               | for the money of an attempt   | DONE, ACCEPTED, REJECTED, NOT_SENT, MAYBE       |
| `query`          | always               | what became of it             | DONE, ACCEPTED, REJECTED, CLOSED, NOT_FOUND, MAYBE |
| `close`          | where payers wait    | that no money can come        | CLOSED, DONE (it came already), MAYBE           |
| `refund`         | always               | to give money back            | ACCEPTED, REJECTED, NOT_SENT, MAYBE, never DONE |
| `query_refund`   | always               | what became of that           | DONE, ACCEPTED, REJECTED, NOT_FOUND, MAYBE      |
| `read`           | if there are callbacks | what a callback proves      | a Notice, or CallbackRefused                    |
| `acknowledgement`| if there are callbacks | how to say "heard"          | content type and body                           |
| `refusal`        | if there are callbacks | how to say "come again"     | content type and body                           |
| `aclose`         | always               | to let go of connections      |                                                 |

Every method takes a list and yields answers as they come, one per request. Nothing that the outside world does raises.
A refused connection proves that nothing was sent; every other failure may have moved the money.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from channels import words
from channels._template import mapping, messages, signing
from channels._template.config import ABILITIES, TemplateConfig
from channels.asking import side_by_side
from channels.port import Answer, CallbackRefused, Charge, Lookup, Notice, RefundLookup, RefundRequest
from domain.evidence import Fault, Outcome

log = structlog.get_logger()

# Requests under way at once: what the contract with the channel allows.
CONCURRENCY_MAX = 200
# A callback whose signed time is further from ours is a replay.
CALLBACK_WINDOW_S = 300


class Transport(Protocol):
    """What carries bytes. Raises ConnectionRefusedError when provably nothing left, any other OSError when it may have."""

    async def post(self, operation: str, body: bytes, merchant_no: str, signature: str) -> tuple[bytes, str]:
        """Send one request; return the answer's body and signature."""
        ...


class TemplateChannel:
    """The channel behind the port."""

    abilities = ABILITIES

    def __init__(self, config: TemplateConfig, transport: Transport) -> None:
        self._config = config
        self._transport = transport
        self._room = asyncio.Semaphore(CONCURRENCY_MAX)

    def charge(self, requests: Sequence[Charge]) -> AsyncIterator[list[Answer]]:
        """Ask for money."""
        return self._each("charge", requests, messages.charge, moves_money=True)

    def query(self, requests: Sequence[Lookup]) -> AsyncIterator[list[Answer]]:
        """Ask what became of attempts."""
        return self._each("query", requests, messages.lookup, moves_money=False)

    def close(self, requests: Sequence[Lookup]) -> AsyncIterator[list[Answer]]:
        """Close attempts."""
        return self._each("close", requests, messages.lookup, moves_money=False)

    def refund(self, requests: Sequence[RefundRequest]) -> AsyncIterator[list[Answer]]:
        """Ask to give money back."""
        return self._each("refund", requests, messages.refund, moves_money=True)

    def query_refund(self, requests: Sequence[RefundLookup]) -> AsyncIterator[list[Answer]]:
        """Ask what became of refunds."""
        return self._each("query_refund", requests, messages.refund_lookup, moves_money=False)

    async def aclose(self) -> None:
        """Nothing to let go of: the transport belongs to whoever made it."""

    def _each(
        self, operation: str, requests: Sequence[Any], write: Callable[[Any], bytes], *, moves_money: bool
    ) -> AsyncIterator[list[Answer]]:
        """Ask one by one, side by side, and yield whatever has finished."""

        async def ask(request: Any) -> Answer:
            return await self._ask(operation, request, write(request), moves_money=moves_money)

        return side_by_side(requests, ask, self._room)

    async def _ask(self, operation: str, request: Any, body: bytes, *, moves_money: bool) -> Answer:
        number = request.number
        secret = self._config.secrets.get(request.merchant_no)
        if secret is None:
            return Answer(number, Outcome.NOT_SENT, "SECRET_MISSING", Fault.CONFIG)
        try:
            reply, signature = await self._transport.post(
                operation, body, request.merchant_no, signing.sign(secret, body)
            )
        except ConnectionRefusedError:
            return Answer(number, Outcome.NOT_SENT, "CONNECTION_REFUSED", Fault.CHANNEL)
        except (OSError, TimeoutError):
            return Answer(number, Outcome.MAYBE, "CONNECTION_LOST", Fault.CHANNEL)
        if not signing.verify(secret, reply, signature):
            return Answer(number, Outcome.MAYBE, "SIGNATURE_INVALID", Fault.CHANNEL)
        try:
            item = messages.read(reply)
        except ValueError:
            log.error("answer_malformed", channel_id=self._config.channel_id)
            return Answer(number, Outcome.MAYBE, "MALFORMED", Fault.CHANNEL)
        answer = mapping.answer_of(number, item, moves_money=moves_money)
        return words.seen(answer, self._config.channel_id, item.get("result"))


class TemplateCallbacks:
    """Reads the channel's callbacks; pure, so that it can run at the HTTP edge."""

    def __init__(self, config: TemplateConfig) -> None:
        self._config = config

    def read(self, *, headers: Mapping[str, str], body: bytes, now_ms: int) -> Notice:
        """Verify the signature over `{timestamp}.` and the raw bytes, then the time, then read.

        The merchant whose key signed is the only one that the callback may speak of.
        """
        merchant, timestamp = headers.get("bank-merchant", ""), headers.get("bank-time", "")
        secret = self._config.secrets.get(merchant)
        signed = f"{timestamp}.".encode() + body
        if secret is None or not signing.verify(secret, signed, headers.get("bank-signature", "")):
            raise CallbackRefused("SIGNATURE_INVALID")
        if not timestamp.isdecimal() or abs(now_ms // 1000 - int(timestamp)) > CALLBACK_WINDOW_S:
            raise CallbackRefused("STALE_TIMESTAMP")
        try:
            item = messages.read(body)
            notice_id, _ = item["notice_id"], item["pay_no"]
        except (ValueError, KeyError) as error:
            raise CallbackRefused("MALFORMED") from error
        if item.get("merchant") != merchant:
            raise CallbackRefused("SIGNATURE_INVALID")
        return Notice(notice_id, mapping.evidence_of(item, now_ms=now_ms), str(item.get("result")))

    def acknowledgement(self) -> tuple[str, bytes]:
        """Return what the channel takes as "heard"."""
        return "application/json", b'{"heard":true}'

    def refusal(self, reason: str) -> tuple[str, bytes]:
        """Return how it is told that it must come again."""
        return "text/plain", reason.encode()
