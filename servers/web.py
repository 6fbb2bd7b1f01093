"""The HTTP side: callbacks of channels, /metrics, /healthz and /readyz."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from servers import callbacks, metrics
from servers.callbacks import CallbackIngress
from storage.database import Database, DatabaseUnavailable

FRESH_S = 1.0


def application(
    *, ingress: CallbackIngress, database: Database, silent_actors: Callable[[], Awaitable[list[str]]]
) -> ASGIApp:
    """Put callbacks and pages together. `silent_actors` names actors that do not answer."""

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz() -> Response:
        try:
            await database.run(lambda connection: connection.exec_driver_sql("SELECT 1").one())
        except DatabaseUnavailable as error:
            return JSONResponse({"ready": False, "database": str(error)}, status_code=503)
        silent = await silent_actors()
        return JSONResponse({"ready": not silent, "silent_actors": silent}, status_code=503 if silent else 200)

    async def show_metrics() -> Response:
        try:
            return Response(await metrics.page(database), media_type="text/plain; version=0.0.4")
        except DatabaseUnavailable as error:
            return PlainTextResponse(str(error), status_code=503)

    pages = Starlette(
        routes=[
            # The bound method: an object that can be called would be taken for a whole ASGI application.
            Route("/healthz", healthz),
            Route("/readyz", _Shared(readyz).__call__),
            Route("/metrics", _Shared(show_metrics).__call__),
        ]
    )

    pages.router.redirect_slashes = False  # an address that is nearly right is wrong, and nobody is sent to a Host of his own

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        calls_back = scope["type"] == "http" and scope["path"].startswith(callbacks.PATH)
        await (ingress if calls_back else pages)(scope, receive, send)

    return serve


class _Shared:
    """A page that costs the database and the actors something: however many ask, it is made once a second."""

    def __init__(self, make: Callable[[], Awaitable[Response]]) -> None:
        self._make = make
        self._making = asyncio.Lock()
        self._made: Response | None = None
        self._made_s = 0.0

    async def __call__(self, request: Request) -> Response:
        """Return the page, at most FRESH_S old."""
        async with self._making:
            if self._made is None or time.monotonic() - self._made_s > FRESH_S:
                self._made = await self._make()
                self._made_s = time.monotonic()
            return self._made
