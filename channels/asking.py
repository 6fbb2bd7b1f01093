"""Asking many things side by side, for channels that take one request at a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

Request = TypeVar("Request")
Answered = TypeVar("Answered")


async def side_by_side(
    requests: Sequence[Request], ask: Callable[[Request], Awaitable[Answered]], room: asyncio.Semaphore
) -> AsyncIterator[list[Answered]]:
    """Ask for every request and yield lists of whatever has finished; what is unfinished when nobody listens is stopped.

    `room` is the channel's own: it bounds all that the channel has under way, whoever asks.
    """
    finished: list[asyncio.Task[Answered]] = []
    news = asyncio.Event()

    async def ask_one(request: Request) -> Answered:
        async with room:
            return await ask(request)

    def note(task: asyncio.Task[Answered]) -> None:
        finished.append(task)
        news.set()

    tasks = [asyncio.ensure_future(ask_one(request)) for request in requests]
    for task in tasks:
        task.add_done_callback(note)
    waiting = len(tasks)
    try:
        while waiting:
            await news.wait()
            news.clear()
            ready, finished[:] = list(finished), []
            waiting -= len(ready)
            yield [task.result() for task in ready]
    finally:
        for task in tasks:
            task.cancel()
