"""The sandbox alone: its wires on a port, and its control plane as JSON beside them. No database, no Ray."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from simulator.errors import BadControl
from simulator.profiles import Profile
from simulator.wire.accounts import Account, Wanted, open_accounts, write_hub_file
from simulator.wire.front import read_body
from simulator.wire.server import KINDS, Wires, bind
from simulator.world import World

_CONTROLS = frozenset({"configure", "inject", "advance", "truth", "reset", "stats", "describe"})


def all_accounts(directory: Path) -> list[Account]:
    """Return the accounts of a sandbox alone: each kind of wire is one channel of the same name."""
    wanted = [Wanted(kind, kind, number) for kind, made in KINDS.items() for number in made.merchants]
    return open_accounts(directory, wanted, {kind: made.make_keys for kind, made in KINDS.items()})


async def serve(
    directory: Path, *, host: str, port: int, seed: int, hub_file: Path | None, stop: asyncio.Event,
    ready: Callable[[str], None] = lambda _: None,
) -> None:  # fmt: skip
    """Serve until `stop`, and tell `ready` the address when everything is there.

    Raise OSError where the port is taken, LedgerDamaged where the directory is not whole.
    """
    bound = bind(host, port)
    base_url = f"http://{host}:{bound.getsockname()[1]}"
    accounts = all_accounts(directory)
    wires = Wires(accounts)
    profiles = [Profile(kind, amount_triggers=False) for kind in KINDS]
    # The sandbox's own data plane is out of reach here, so the merchants need no secrets.
    merchants = {account.merchant_no: "" for account in accounts}
    world = World(directory, seed=seed, channels=profiles, merchants=merchants, voices=wires.voices)
    await world.start()
    await wires.start(
        world, bound, base_url=base_url, more=[Route("/control/{method}", Control(world), methods=["POST"])]
    )
    if hub_file is not None:
        await asyncio.to_thread(write_hub_file, hub_file, accounts, base_url=base_url, seed=seed)
    ready(base_url)
    try:
        await stop.wait()
    finally:
        await wires.stop()
        await world.aclose()


class Control:
    """Serves POST /control/{method}: a JSON list of arguments in, the result out."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one command."""
        await (await self._answer(Request(scope, receive)))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        method = request.path_params["method"]
        if method not in _CONTROLS:
            return JSONResponse({"error": f"no such control: {', '.join(sorted(_CONTROLS))}"}, status_code=404)
        try:
            arguments = json.loads(await read_body(request) or b"[]")
            return JSONResponse(await getattr(self._world, method)(*arguments))
        except (BadControl, ValueError, TypeError, RecursionError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
