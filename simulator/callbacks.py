"""Posts callbacks over HTTP: at most 32 at once, from a bounded queue. Knows nothing of payments."""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from simulator.voice import REPLY_BYTES_MAX, Letter

POSTS_MAX = 32
QUEUE_MAX = 10_000
# WeChat Pay asks for an answer within 5 seconds.
POST_TIMEOUT_S = 5.0

_log = logging.getLogger(__name__)
# Reading all authorities of the world takes longer than anything else at the start of a sandbox.
_trust = functools.cache(lambda: httpx.create_ssl_context(trust_env=False))


@dataclass(frozen=True, slots=True)
class Post:
    """One HTTP request to make. It is written, and signed, when it is sent.

    `write` gets the real time, `hears` judges the answer's status and first bytes, and `told` hears whether it was
    acknowledged; it is not called after `clear`.
    """

    url: str
    write: Callable[[int], Awaitable[Letter]]
    hears: Callable[[int, bytes], bool]
    told: Callable[[bool], None]


class CallbackSender:
    """Sends posts with a handful of workers. The time stamp in a signature is the real time: the hub lives in it."""

    def __init__(self, *, real_time_ms: Callable[[], int]) -> None:
        self._real_time_ms = real_time_ms
        self._queue: asyncio.Queue[Post] = asyncio.Queue(maxsize=QUEUE_MAX)
        self._idle = asyncio.Event()
        self._idle.set()
        self._unfinished = 0
        self._epoch = 0
        self._workers: list[asyncio.Task[None]] = []
        self._client: httpx.AsyncClient | None = None

    def start(self) -> None:
        """Start the workers; needs a running event loop."""
        limits = httpx.Limits(max_connections=POSTS_MAX, max_keepalive_connections=POSTS_MAX)
        self._client = httpx.AsyncClient(timeout=POST_TIMEOUT_S, limits=limits, trust_env=False, verify=_trust())
        self._workers = [asyncio.create_task(self._work(self._client)) for _ in range(POSTS_MAX)]

    async def aclose(self) -> None:
        """Stop; what is queued is not sent."""
        self.clear()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def submit(self, post: Post) -> bool:
        """Queue a post; False if the queue is full, and then `told` is not called."""
        try:
            self._queue.put_nowait(post)
        except asyncio.QueueFull:
            return False
        self._unfinished += 1
        self._idle.clear()
        return True

    async def settle(self, timeout_s: float) -> None:
        """Wait until every post has an end, or the time is up."""
        if self._unfinished and timeout_s > 0:
            try:
                await asyncio.wait_for(self._idle.wait(), timeout_s)
            except TimeoutError:
                _log.warning("%d callbacks are still on their way after %.1f s", self._unfinished, timeout_s)

    def clear(self) -> None:
        """Drop what is queued, and be silent about what is on its way."""
        self._epoch += 1
        while not self._queue.empty():
            self._queue.get_nowait()
            self._finish()

    def _finish(self) -> None:
        self._unfinished -= 1
        if not self._unfinished:
            self._idle.set()

    async def _work(self, client: httpx.AsyncClient) -> None:
        while True:
            post = await self._queue.get()
            epoch = self._epoch
            try:
                acknowledged = await self._send(client, post)
                if epoch == self._epoch:
                    post.told(acknowledged)
            except Exception:
                _log.exception("a callback to %s failed", post.url)
            finally:
                self._finish()

    async def _send(self, client: httpx.AsyncClient, post: Post) -> bool:
        headers, body = await post.write(self._real_time_ms())
        try:
            async with (
                asyncio.timeout(POST_TIMEOUT_S),
                client.stream("POST", post.url, content=body, headers=headers) as response,
            ):
                return post.hears(response.status_code, await _first_bytes(response))
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
            _log.info("callback to %s not delivered: %r", post.url, error)
            return False


async def _first_bytes(response: httpx.Response) -> bytes:
    text = b""
    async for chunk in response.aiter_bytes():
        text += chunk
        if len(text) > REPLY_BYTES_MAX:
            break
    return text
