"""The HTTP side: callbacks of channels, /metrics, /healthz and /readyz."""

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from servers import metrics
from servers.callbacks import CallbackIngress
from storage.database import Database, DatabaseUnavailable


def application(
    *, ingress: CallbackIngress, database: Database, silent_actors: Callable[[], Awaitable[list[str]]]
) -> Starlette:
    """Put the pages together. `silent_actors` names actors that do not answer."""

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(request: Request) -> Response:
        try:
            await database.run(lambda connection: connection.exec_driver_sql("SELECT 1").one())
        except DatabaseUnavailable as error:
            return JSONResponse({"ready": False, "database": str(error)}, status_code=503)
        silent = await silent_actors()
        return JSONResponse({"ready": not silent, "silent_actors": silent}, status_code=503 if silent else 200)

    async def show_metrics(request: Request) -> Response:
        try:
            return Response(await metrics.page(database), media_type="text/plain; version=0.0.4")
        except DatabaseUnavailable as error:
            return PlainTextResponse(str(error), status_code=503)

    return Starlette(
        routes=[
            # The bound method: an object that can be called would be taken for a whole ASGI application.
            Route("/callbacks/{channel_id}", ingress.__call__, methods=["POST"]),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", show_metrics),
        ]
    )
