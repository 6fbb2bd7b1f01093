"""Asking many things side by side, for channels that take one request at a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from channels.port import Answer, Answers
from domain.evidence import Fault, Outcome


class Asked(Protocol):
    """What all requests have: our own number of it, and the merchant that asks."""

    @property
    def number(self) -> str:
        """What the answer is known by."""
        ...

    @property
    def merchant_no(self) -> str:
        """The merchant's number at the channel."""
        ...


Request = TypeVar("Request")
Answered = TypeVar("Answered")
OfMerchant = TypeVar("OfMerchant", bound=Asked)
Merchant = TypeVar("Merchant")


def for_merchants(
    requests: Sequence[OfMerchant],
    merchants: Mapping[str, Merchant],
    ask: Callable[[Merchant, OfMerchant], Awaitable[Answer]],
    room: asyncio.Semaphore,
) -> Answers:
    """Ask for every request in the name of its merchant. Of one without keys nothing is sent."""

    async def ask_one(request: OfMerchant) -> Answer:
        merchant = merchants.get(request.merchant_no)
        if merchant is None:
            return Answer(request.number, Outcome.NOT_SENT, "SECRET_MISSING", Fault.CONFIG)
        return await ask(merchant, request)

    return side_by_side(requests, ask_one, room)


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
