"""A webhook endpoint that answers what a test tells it to, in the test's own event loop."""

import asyncio
import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self


class Post(NamedTuple):
    """One request that came in; header names are lower case."""

    headers: dict[str, str]
    body: bytes

    @property
    def notice(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


# What to answer: a status, or (status, headers), or None for silence.
Answer = int | tuple[int, dict[str, str]] | None


class Endpoint:
    """Listens on a free loopback port while the `async with` block lasts."""

    def __init__(self, answer: Callable[[Post], Answer] = lambda post: 200, *, body: bytes = b"") -> None:
        self.answer = answer
        self.body = body
        self.posts: list[Post] = []
        self.open_max = 0
        self._open = 0
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that was free."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Where notices go."""
        return f"http://127.0.0.1:{self.port}/n?a=1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._exchange(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        post = Post(headers, await reader.readexactly(int(headers["content-length"])))
        self.posts.append(post)
        self._open += 1
        self.open_max = max(self.open_max, self._open)
        try:
            answer = self.answer(post)
            if answer is None:
                await reader.read()  # until the sender gives up
                raise ConnectionError
            status, more = answer if isinstance(answer, tuple) else (answer, {})
            lines = [f"HTTP/1.1 {status} X", f"content-length: {len(self.body)}"]
            lines += [f"{name}: {value}" for name, value in more.items()]
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + self.body)
            await writer.drain()
        finally:
            self._open -= 1
