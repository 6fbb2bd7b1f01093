"""What Ray runs: a shell around one or several plain classes.

The shell knows nothing of Ray. It builds each inhabitant from its blueprint (a function and its arguments), and calls
its methods with packed messages.
"""

import asyncio
import faulthandler
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import structlog

from actors import memory
from actors.peers import pack, unpack

log = structlog.get_logger()

Blueprint = Callable[..., Awaitable[Any]]


class Inhabitant(NamedTuple):
    """One plain class to be hosted: its role, what builds it, and the blueprint's arguments."""

    role: str
    blueprint: Blueprint
    arguments: dict[str, Any]


class Shell:
    """Hosts plain classes by role. A restart runs their blueprints again, and that is the recovery."""

    def __init__(self, packed_inhabitants: bytes) -> None:
        faulthandler.enable()
        inhabitants: Sequence[Inhabitant] = unpack(packed_inhabitants)
        self._inhabitants = {inhabitant.role: inhabitant for inhabitant in inhabitants}
        self._built: dict[str, Any] = {}
        self._building = asyncio.Lock()

    async def call(self, role: str, method: str, packed: bytes) -> bytes:
        """Call a method of an inhabitant with what was packed in another process."""
        return pack(await self.ask(role, method, unpack(packed)))

    async def ask(self, role: str, method: str, arguments: Sequence[Any]) -> Any:
        """Call a method of an inhabitant, building it first if need be; exceptions travel as they are."""
        inhabitant = self._built.get(role)
        if inhabitant is None:
            inhabitant = await self._build(role)
        return await getattr(inhabitant, method)(*arguments)

    async def ping(self) -> bytes:
        """Ask every inhabitant whether its event loop turns and its work goes on; one that fails fails the ping.

        One that cannot be built does not: it would take the others with it at every restart. It is logged, and tried
        again at the next ping.
        """
        for role in list(self._inhabitants):
            if role not in self._built:
                try:
                    await self._build(role)
                except Exception:
                    log.exception("inhabitant_not_built", role=role)
        return pack({role: await inhabitant.ping() for role, inhabitant in self._built.items()})

    async def admit(self, packed_inhabitants: bytes) -> bytes:
        """Take inhabitants in that are not here yet; they are built at the next ping or call.

        A restart knows only those that the shell began with, so whoever admits does so again.
        """
        for inhabitant in unpack(packed_inhabitants):
            if inhabitant.role not in self._inhabitants:
                self._inhabitants[inhabitant.role] = inhabitant
                log.info("inhabitant_admitted", role=inhabitant.role)
        return pack(None)

    async def process_id(self) -> int:
        """Return this process's id, for drills that kill it."""
        return os.getpid()

    async def _build(self, role: str) -> Any:
        async with self._building:
            if role not in self._built:
                inhabitant = self._inhabitants[role]
                self._built[role] = await inhabitant.blueprint(**inhabitant.arguments)
                memory.settle()
            return self._built[role]
