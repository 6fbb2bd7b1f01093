"""How one process calls another: packed bytes in, packed bytes out, always with a time limit.

A message is packed with plain pickle, several times faster than Ray's own serialisation for lists of named tuples, and
travels as bytes by value. Only our own processes write or read it; nothing from outside is ever unpacked.
"""

import asyncio
import pickle
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from domain.refusals import Refused


class PeerLost(Exception):
    """The other side did not answer: it may or may not have done what was asked."""


class Peer(Protocol):
    """The other side of a call."""

    async def call(self, method: str, *arguments: Any, timeout_s: float = 10.0) -> Any:
        """Call a method of the plain class on the other side. Raise PeerLost."""
        ...


class Neighbour:
    """The other side of a call in the same process: nothing is packed, and everything else is as between processes.

    Neither side may change what it has passed on.
    """

    def __init__(self, role: str, ask: Callable[..., Awaitable[Any]]) -> None:
        self._role = role
        self._ask = ask
        self._calls: set[asyncio.Task[Any]] = set()

    async def call(self, method: str, *arguments: Any, timeout_s: float = 10.0) -> Any:
        """Call a method of the plain class next door. Raise PeerLost, or the Refused that it raised."""
        call = asyncio.ensure_future(self._work(method, arguments))
        self._calls.add(call)  # it goes on to its end, whoever still waits
        call.add_done_callback(self._calls.discard)
        try:
            return await asyncio.wait_for(asyncio.shield(call), timeout_s)
        except TimeoutError as error:
            raise PeerLost(f"{self._role}.{method} did not answer in {timeout_s:g} s") from error

    async def _work(self, method: str, arguments: tuple[Any, ...]) -> Any:
        try:
            return await self._ask(self._role, method, arguments)
        except Refused:
            raise
        except Exception as error:
            raise PeerLost(f"{self._role}.{method} failed: {error!r}"[:500]) from error


def pack(value: Any) -> bytes:
    """Turn a message into bytes."""
    return pickle.dumps(value, protocol=5)


def unpack(packed: bytes) -> Any:
    """Turn bytes of `pack` into the message."""
    return pickle.loads(packed)  # noqa: S301 - written by our own processes only
