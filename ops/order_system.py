"""A small insurer's order system, for demos and tests: it receives notices, and is as strict as a careful integrator.

It verifies every signature with the `standardwebhooks` library, drops repeats by `webhook-id`, checks that notices of an
order come in order, and answers 500 now and then so that retries are seen. What it saw is in `report()`, and under
`GET /report` when it runs as its own process: `python -m ops.order_system --port 8099 --secret whsec_… --fail-share 0.05`.
"""

import argparse
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import uvicorn
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

# A demo's day is a few thousand notices; beyond this the log forgets its oldest entries, the counts stay right.
LOG_MAX = 200_000
BODY_BYTES_MAX = 64 * 1024


class Arrival(NamedTuple):
    """One notice that came in, in order of arrival. `status` is what we answered."""

    time_ms: int
    webhook_id: str
    event_type: str
    order_no: str
    payment_id: str
    seq: int
    status: int
    repeat: bool


class _Known:
    """What is known of one event of an order."""

    __slots__ = ("accepted", "began", "payment_id", "seq", "tries", "written")

    def __init__(self, notice: dict[str, Any]) -> None:
        self.payment_id: str = notice["data"]["payment_id"]
        self.seq: int = notice["data"]["seq"]
        self.written: str = notice["timestamp"]
        self.began: str = notice["data"]["create_time"]
        self.tries = 0
        self.accepted = False

    def precedes(self, other: "_Known") -> bool:
        """Tell whether this event must come first: earlier in one payment, or told before the other payment began."""
        if self.payment_id == other.payment_id:
            return self.seq < other.seq
        return self.written < other.began


class OrderSystem:
    """Receives notices at /notices. Safe to ask from another thread while it serves."""

    def __init__(
        self,
        *,
        secrets: Sequence[str],
        fail_share: float = 0.0,
        seed: int = 0,
        log_file: Path | None = None,
    ) -> None:
        """`fail_share` of the arrivals (0 to 1), chosen by `seed` alone, are answered with 500 and not booked."""
        self._webhooks = [Webhook(secret) for secret in secrets]
        self._fail_share = fail_share
        self._seed = seed
        self._log_file = log_file
        self._orders: dict[str, dict[str, _Known]] = {}
        self._first_bodies: dict[str, int] = {}
        self._counts: Counter[str] = Counter()
        self._types: Counter[str] = Counter()
        self._problems: list[str] = []
        self.arrivals: list[Arrival] = []
        self.states: dict[str, str] = {}  # payment_id -> the state told last
        self.app = Starlette(
            routes=[
                Route("/notices", self._receive, methods=["POST"]),
                Route("/report", self._tell, methods=["GET"]),
            ]
        )

    def report(self) -> dict[str, Any]:
        """Return the counts; `disorders`, `changed_bodies` and `bad_signatures` are 0 when the sender is right."""
        events = [known for order in list(self._orders.values()) for known in list(order.values())]
        return {
            "arrivals": self._counts["arrivals"],
            "events": len(events),
            "accepted": sum(known.accepted for known in events),
            "unaccepted": sum(not known.accepted for known in events),
            "duplicates": self._counts["duplicates"],
            "refused_on_purpose": self._counts["refused_on_purpose"],
            "bad_signatures": self._counts["bad_signatures"],
            "disorders": self._counts["disorders"],
            "changed_bodies": self._counts["changed_bodies"],
            "orders": len(self._orders),
            "types": dict(sorted(self._types.items())),
            "problems": self._problems[:20],
        }

    async def _tell(self, request: Request) -> Response:
        return JSONResponse(self.report())

    async def _receive(self, request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES_MAX:
                return Response(status_code=413)
        if not self._is_genuine(body, dict(request.headers)):
            self._counts["bad_signatures"] += 1
            return Response(status_code=401)
        return Response(status_code=self.take(request.headers["webhook-id"], body))

    def _is_genuine(self, body: bytes, headers: dict[str, str]) -> bool:
        for webhook in self._webhooks:
            try:
                webhook.verify(body, headers, json_parse=False)
                return True
            except (WebhookVerificationError, ValueError):
                continue
        return False

    def take(self, webhook_id: str, body: bytes) -> int:
        """Take a genuine notice, and return the HTTP status to answer."""
        notice = json.loads(body)
        order_no: str = notice["data"]["order_no"]
        order = self._orders.setdefault(order_no, {})
        known = order.get(webhook_id)
        repeat = known is not None and known.accepted
        if known is None:
            known = _Known(notice)
        self._check_bytes(webhook_id, body)
        self._check_order(order_no, order, webhook_id, known)
        order[webhook_id] = known
        status = 200 if repeat else self._answer(webhook_id, known)
        self._counts["arrivals"] += 1
        self._counts["duplicates"] += repeat
        if status == 200 and not repeat:
            known.accepted = True
            self._types[notice["type"]] += 1
            self.states[known.payment_id] = notice["data"]["state"]
        self._note(Arrival(time.time_ns() // 1_000_000, webhook_id, notice["type"], order_no, known.payment_id, known.seq,
                           status, repeat))  # fmt: skip
        return status

    def _answer(self, webhook_id: str, known: _Known) -> int:
        """Fail by lot: the seed, the event and the number of the try decide, whatever else is going on."""
        known.tries += 1
        if random.Random(f"{self._seed}:{webhook_id}:{known.tries}").random() < self._fail_share:
            self._counts["refused_on_purpose"] += 1
            return 500
        return 200

    def _check_bytes(self, webhook_id: str, body: bytes) -> None:
        if self._first_bodies.setdefault(webhook_id, hash(body)) != hash(body):
            self._complain("changed_bodies", f"{webhook_id} came with another body")

    def _check_order(self, order_no: str, order: dict[str, _Known], webhook_id: str, known: _Known) -> None:
        """Complain of a notice that overtook one that we have not accepted, or that comes first after a later one."""
        if known.accepted:
            return
        for other_id, other in order.items():
            overtaken = other.precedes(known) and not other.accepted
            too_late = webhook_id not in order and known.precedes(other)
            if other_id != webhook_id and (overtaken or too_late):
                self._complain("disorders", f"order {order_no}: {webhook_id} came out of order with {other_id}")

    def _complain(self, kind: str, problem: str) -> None:
        self._counts[kind] += 1
        if len(self._problems) < 100:
            self._problems.append(problem)

    def _note(self, arrival: Arrival) -> None:
        self.arrivals.append(arrival)
        if len(self.arrivals) > LOG_MAX:
            del self.arrivals[: LOG_MAX // 10]
        if self._log_file is not None:
            with self._log_file.open("a", encoding="utf-8") as log:
                log.write(json.dumps(arrival._asdict(), ensure_ascii=False) + "\n")


class OrderSystemThread:
    """Serves an order system on a loopback port, in a thread of its own, for as long as the `with` block lasts."""

    def __init__(self, system: OrderSystem, *, port: int = 0) -> None:
        """Bind the port at once; 0 means any free one."""
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/notices"
        self._server = uvicorn.Server(uvicorn.Config(system.app, log_level="error", lifespan="off", access_log=False))
        self._thread = threading.Thread(target=self._serve, name="order-system", daemon=True)

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m ops.order_system", description="A demo insurer's order system.")
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--secret", action="append", required=True, help="whsec_…; give it twice during a rotation")
    parser.add_argument("--fail-share", type=float, default=0.0, help="share of notices answered with 500, 0 to 1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log-file", type=Path, default=None, help="append every arrival as a line of JSON")
    options = parser.parse_args(arguments)
    system = OrderSystem(
        secrets=options.secret, fail_share=options.fail_share, seed=options.seed, log_file=options.log_file
    )
    uvicorn.run(system.app, host="127.0.0.1", port=options.port, log_level="warning", lifespan="off", access_log=False)


if __name__ == "__main__":
    main()
