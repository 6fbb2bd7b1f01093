"""Callbacks at the door: who is refused, and who waits while somebody floods."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from actors.messages import CallbackHeard
from channels.port import CallbackRefused, Notice
from domain.evidence import Evidence, Outcome, Source
from servers.callbacks import BODY_BYTES_MAX, SMALL_BYTES_MAX, CallbackIngress

FLOOD = 200


class Reader:
    """Takes callbacks that say so."""

    def read(self, *, headers: dict[str, str], body: bytes, now_ms: int) -> Notice:
        if body == b"purple":
            raise CallbackRefused("MALFORMED", word="PURPLE")
        if not body.startswith(b"good") or headers["host"] != "paydesk":
            raise CallbackRefused("SIGNATURE_INVALID")
        if body == b"good red":
            return Notice("red", Evidence("n1", Source.CALLBACK, Outcome.MAYBE, "UNKNOWN_WORD"), "RED")
        return Notice(body.decode()[:20], Evidence("n1", Source.CALLBACK, Outcome.DONE), "PAID")

    def acknowledgement(self) -> tuple[str, bytes]:
        return "text/plain", b"ok"

    def refusal(self, reason: str) -> tuple[str, bytes]:
        return "text/plain", reason.encode()


class Door:
    """The ingress with one channel, whose callbacks are all applied."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        nothing: Any = SimpleNamespace()
        self.heard: list[tuple[str, CallbackHeard]] = []
        directory: Any = SimpleNamespace(callback_mailbox=self._connector)
        self.ingress = CallbackIngress(desk=nothing, directory=directory, database=nothing, registry=CollectorRegistry())
        self.answered: list[int] = []
        monkeypatch.setattr(self.ingress, "_reader", self._reader)
        monkeypatch.setattr(self.ingress, "_take", self._take)

    async def _reader(self, channel_id: str) -> Reader | None:
        return Reader() if channel_id == "c1" else None

    def _connector(self, channel_id: str) -> Any:
        return SimpleNamespace(tell=lambda heard: self.heard.append((channel_id, heard)))

    async def _take(self, *_: object) -> Any:
        return 200, "text/plain", b"ok"

    async def post(self, client: int, body: bytes, *, path: str = "/callbacks/c1", method: str = "POST") -> int:
        parts = [body[:4], body[4:]]
        said: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        async def send(message: Any) -> None:
            said.append(message)

        scope = {"type": "http", "path": path, "method": method, "client": ("127.0.0.1", client),
                 "headers": [(b"host", b"paydesk")]}  # fmt: skip
        await self.ingress(scope, receive, send)
        self.answered.append(client)
        assert dict(said[0]["headers"])[b"content-length"] == str(len(said[1]["body"])).encode()
        return int(said[0]["status"])


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    return Door(monkeypatch)


@pytest.mark.parametrize(
    ("body", "more", "status"),
    [
        (b"good", {}, 200),
        (b"good" + b"x" * SMALL_BYTES_MAX, {}, 200),
        (b"bad", {}, 401),
        (b"good" + b"x" * BODY_BYTES_MAX, {}, 413),
        (b"good", {"path": "/callbacks/other"}, 404),
        (b"good", {"path": "/callbacks/"}, 404),
        (b"good", {"method": "GET"}, 405),
    ],
)
async def test_what_is_taken_and_what_is_refused(door: Door, body: bytes, more: dict[str, str], status: int) -> None:
    assert await door.post(1, body, **more) == status


async def test_a_word_of_no_manual_is_written_down_and_its_channel_hears_of_it(door: Door) -> None:
    with capture_logs() as logs:
        assert [await door.post(1, body) for body in (b"good", b"good red", b"purple")] == [200, 200, 400]
    assert door.heard == [("c1", CallbackHeard(word="RED")), ("c1", CallbackHeard(word="PURPLE"))]
    assert [(entry["event"], entry["word"]) for entry in logs] == [("channel_spoke_unknown", "RED"), ("channel_spoke_unknown", "PURPLE")]


async def test_a_flood_on_its_own_connections_is_passed_by(door: Door) -> None:
    for client in range(1, FLOOD + 1):
        await door.post(client, b"bad")
    door.answered.clear()
    flood = [asyncio.create_task(door.post(client, b"bad")) for client in range(1, FLOOD + 1)]
    await asyncio.sleep(0)
    await asyncio.create_task(door.post(0, b"good"))
    assert len(door.answered) < 5, f"{len(door.answered) - 1} of the flood went before"
    await asyncio.gather(*flood)
    assert sorted(door.answered) == list(range(FLOOD + 1)), "and the flood is answered all the same"


async def test_a_good_callback_clears_its_connection(door: Door) -> None:
    await door.post(1, b"bad")
    await door.post(1, b"good")
    waiting = asyncio.create_task(door.post(2, b"bad"))
    await waiting
    flood = asyncio.create_task(door.post(2, b"bad"))
    await asyncio.gather(asyncio.create_task(door.post(1, b"good")), flood)
    assert door.answered[-2:] == [1, 2]
