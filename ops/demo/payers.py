"""The payers of a day over real wires: they load the page, post the form or scan the code that a payment asks for.

What they do there is the sandbox's chance, as it is for everybody who is left alone. Some channels know of a payment
only once its payer has come, so payers who are late because others are busy would tell of nothing: they are a process
of their own,

    python -m ops.demo.payers WIRES_URL PARENT_PID

which reads one action a line, as JSON, and ends with its input.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from html.parser import HTMLParser
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import grpc
import httpx

from ops.processes import die_with
from protos.paydesk.v1 import payments_pb2

ROOT = Path(__file__).parent.parent.parent
TIMEOUT_S = 5.0
# A page that does not load is loaded again, like people do, for so long.
PATIENCE_S = 20.0
LOAD_PAUSE_S = 0.7
CONNECTIONS_MAX = 50
# People who are on their way at once; the next lines wait in the pipe.
UNDER_WAY_MAX = 500
# A form is the longest: it holds a certificate's signature.
LINE_BYTES_MAX = 1 << 20
# Whoever does not know yet what to do looks again so often.
LOOK_PAUSE_S = 1.0
_OPEN = frozenset({
    payments_pb2.Payment.STATE_SUBMITTING, payments_pb2.Payment.STATE_UNKNOWN, payments_pb2.Payment.STATE_PENDING,
})  # fmt: skip
_Kind = payments_pb2.PayerAction.Kind

Look = Callable[[], Awaitable[payments_pb2.Payment]]


class Payers:
    """People with browsers and phones, there for as long as the `async with` block lasts.

    `wires_url` is where the app of a channel finds its channel.
    """

    def __init__(self, wires_url: str) -> None:
        self._wires_url = wires_url
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "ignore", "-m", "ops.demo.payers", self._wires_url, str(os.getpid()), stdin=PIPE,
            env=environment,
        )  # fmt: skip
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send them home."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def come(self, payment: payments_pb2.Payment, look: Look, *, within_s: float) -> None:
        """Send a payer where a payment asks him to go. Where that is not known yet, he waits, and looks again."""
        give_up_s = time.monotonic() + within_s
        while not payment.action.kind and payment.state in _OPEN and time.monotonic() < give_up_s:
            await asyncio.sleep(LOOK_PAUSE_S)
            with contextlib.suppress(grpc.aio.AioRpcError):
                payment = await look()
        if payment.action.kind and self._process is not None and self._process.stdin is not None:
            line = json.dumps({"kind": payment.action.kind, "value": payment.action.value})
            self._process.stdin.write(f"{line}\n".encode())
            await self._process.stdin.drain()


class Step(NamedTuple):
    """What a browser sends."""

    method: str
    url: str
    fields: dict[str, str]


def step_of(kind: int, value: str, *, wires_url: str) -> Step | None:
    """Return what a payer's browser sends; None where the channel's own software knows what to do."""
    if kind == _Kind.KIND_FORM:
        form = _Form()
        form.feed(value)
        return Step("POST", form.action, form.fields)
    if kind == _Kind.KIND_APP and "method=alipay." in value:
        return Step("GET", f"{wires_url}/alipay/gateway.do?{value}", {})
    if kind in (_Kind.KIND_REDIRECT, _Kind.KIND_QR_CODE) and value.startswith("http"):
        return Step("GET", value, {})
    return None


class _Form(HTMLParser):
    """Reads a form that posts itself."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where the form goes, and its fields."""
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = found.get("action", "")
        elif tag == "input" and "name" in found:
            self.fields[found["name"]] = found.get("value", "")


async def _take(client: httpx.AsyncClient, step: Step) -> None:
    """Send it; whoever meets nobody there tries again, and gives up in the end."""
    give_up_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_s:
        with contextlib.suppress(httpx.HTTPError):
            answer = await client.request(step.method, step.url, data=step.fields)
            if answer.status_code < 500:
                return
        await asyncio.sleep(LOAD_PAUSE_S)


async def _walk(wires_url: str) -> None:
    """Let everybody go who is called for, until the input ends."""
    reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    limits = httpx.Limits(max_connections=CONNECTIONS_MAX)
    room = asyncio.Semaphore(UNDER_WAY_MAX)
    async with httpx.AsyncClient(timeout=TIMEOUT_S, limits=limits, trust_env=False) as client, asyncio.TaskGroup() as group:
        while line := await reader.readline():
            step = step_of(**json.loads(line), wires_url=wires_url)
            if step is not None:
                await room.acquire()
                group.create_task(_take(client, step)).add_done_callback(lambda _: room.release())


def main() -> None:
    """Walk until the input ends."""
    die_with(int(sys.argv[2]), signal.SIGKILL)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_walk(sys.argv[1]))


if __name__ == "__main__":
    main()
