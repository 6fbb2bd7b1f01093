"""All wires on one port: /alipay, /wechatpay, /unionpay, /iso20022, as far as there are accounts for them."""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Router

from simulator.voice import Voice
from simulator.wire.accounts import Account, MakeKeys
from simulator.wire.alipay import credentials as alipay_credentials
from simulator.wire.alipay.app import AlipayWire
from simulator.wire.front import Front, WireProtocol
from simulator.wire.iso20022 import credentials as iso20022_credentials
from simulator.wire.iso20022.app import Iso20022Wire
from simulator.wire.unionpay import credentials as unionpay_credentials
from simulator.wire.unionpay.app import UnionPayWire
from simulator.wire.wechatpay import credentials as wechatpay_credentials
from simulator.wire.wechatpay.app import WechatpayWire
from simulator.world import World

BACKLOG = 2_048
STOP_S = 1.0


class Wire(Protocol):
    """One channel's wire. It is made before the world, which needs its voice."""

    voice: Voice

    def routes(self, front: Front) -> Sequence[BaseRoute]:
        """Return what is to be served below the wire's own path."""
        ...


class WireKind(NamedTuple):
    """How to make one kind of wire, and the merchants that it has when it runs alone."""

    make_keys: MakeKeys
    make: Callable[[Sequence[Account]], Wire]
    merchants: tuple[str, ...]


KINDS: Mapping[str, WireKind] = {
    "alipay": WireKind(alipay_credentials.make_keys, AlipayWire, alipay_credentials.MERCHANTS),
    "unionpay": WireKind(unionpay_credentials.make_keys, UnionPayWire, unionpay_credentials.MERCHANTS),
    "wechatpay": WireKind(wechatpay_credentials.make_keys, WechatpayWire, wechatpay_credentials.MERCHANTS),
    "iso20022": WireKind(iso20022_credentials.make_keys, Iso20022Wire, iso20022_credentials.MERCHANTS),
}


class Wires:
    """The wires of some accounts."""

    def __init__(self, accounts: Sequence[Account]) -> None:
        of_kind: dict[str, list[Account]] = {}
        for account in accounts:
            of_kind.setdefault(account.kind, []).append(account)
        self._wires = {kind: KINDS[kind].make(members) for kind, members in of_kind.items()}
        self.voices = {account.channel_id: self._wires[account.kind].voice for account in accounts}
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    def application(self, world: World, *, base_url: str, more: Sequence[BaseRoute] = ()) -> Starlette:
        """Return the ASGI application; `more` are routes beside the wires."""
        mounts: list[BaseRoute] = [
            Mount(f"/{kind}", app=Router(wire.routes(Front(world, base_url=f"{base_url}/{kind}")), redirect_slashes=False))
            for kind, wire in self._wires.items()
        ]
        made = Starlette(routes=[*mounts, *more])
        made.router.redirect_slashes = False  # no channel sends a client elsewhere
        return made

    async def start(self, world: World, bound: socket.socket, *, base_url: str, more: Sequence[BaseRoute] = ()) -> None:
        """Serve on a socket that is bound already, until `stop`."""
        config = uvicorn.Config(
            self.application(world, base_url=base_url, more=more), http=WireProtocol, log_config=None, access_log=False,
            lifespan="off", backlog=BACKLOG, timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._serving = asyncio.create_task(self._server._serve([bound]))  # noqa: SLF001 - `serve` would take our signals
        while not self._server.started and not self._serving.done():
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Stop serving; who is held is dropped."""
        if self._server is None or self._serving is None:
            return
        self._server.should_exit = self._server.force_exit = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._serving, STOP_S)


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Take a port now, so that its number is known before anything is made; 0 takes a free one.

    `shared` takes it also where another socket of the same user holds it, without listening, for us. Connections that
    outlive us for a minute, since their other end has not hung up, are in nobody's way afterwards.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
    bound.bind((host, port))
    return bound
