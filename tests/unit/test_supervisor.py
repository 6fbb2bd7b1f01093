"""The supervisor: who hangs is replaced, who is merely slow or newly replaced is not."""

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from actors import supervisor
from actors.peers import PeerLost
from actors.supervisor import HUNG_AFTER_S, PING_S, PING_TIMEOUT_S, Supervisor


class Actor:
    """Answers pings, until it hangs."""

    def __init__(self) -> None:
        self.hangs = False
        self.pings = 0

    async def call(self, method: str, *arguments: Any, timeout_s: float = 10.0) -> Any:
        assert method == "ping"
        self.pings += 1
        if self.hangs:
            raise PeerLost("silence")
        return {}


class Scene:
    """Two actors, their supervisor, and a clock that moves when told."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.actors = {"router/0": Actor(), "sweeper": Actor()}
        self.replaced: list[str] = []
        self.registry = CollectorRegistry()
        self.supervisor = Supervisor(
            self.actors, replace=self.replaced.append, registry=self.registry, clock_s=lambda: self.now_s
        )

    async def check(self, *, after_s: float = 0.0) -> None:
        self.now_s += after_s
        for name, actor in self.actors.items():
            await self.supervisor.check(name, actor)


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_not_ready_before_everyone_has_answered(scene: Scene) -> None:
    assert not scene.supervisor.all_answered()
    scene.actors["sweeper"].hangs = True
    await scene.check()
    assert not scene.supervisor.all_answered()
    scene.actors["sweeper"].hangs = False
    await scene.check()
    assert scene.supervisor.all_answered()


async def test_an_actor_that_hangs_is_replaced_once(scene: Scene) -> None:
    await scene.check()
    scene.actors["router/0"].hangs = True
    await scene.check(after_s=HUNG_AFTER_S - 1)
    assert scene.replaced == []
    await scene.check(after_s=1)
    await scene.check(after_s=1)
    assert scene.replaced == ["router/0"], "the replacement gets its own time to start"
    assert scene.registry.get_sample_value("actor_restarts_total", {"actor": "router/0"}) == 1


async def test_a_replacement_that_hangs_too_is_replaced_again(scene: Scene) -> None:
    scene.actors["router/0"].hangs = True
    for _ in range(3):
        await scene.check(after_s=HUNG_AFTER_S)
    assert scene.replaced == ["router/0"] * 3


async def test_silence_is_shown_long_before_it_is_ended(scene: Scene) -> None:
    await scene.check()
    scene.actors["sweeper"].hangs = True
    await scene.check(after_s=PING_TIMEOUT_S + 2 * PING_S)
    await scene.supervisor.check("router/0", scene.actors["router/0"])
    assert scene.supervisor.silent() == ["sweeper"]
    assert not scene.supervisor.all_answered()
    assert scene.replaced == []
    scene.actors["sweeper"].hangs = False
    await scene.check()
    assert scene.supervisor.silent() == []


async def test_one_hung_actor_does_not_keep_others_from_being_pinged(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "PING_S", 0.01)

    class Stuck(Actor):
        async def call(self, method: str, *arguments: Any, timeout_s: float = 10.0) -> Any:
            await asyncio.sleep(60)

    watched = Supervisor(
        {"stuck": Stuck(), **scene.actors}, replace=scene.replaced.append, registry=CollectorRegistry()
    )
    running = asyncio.create_task(watched.run())
    async with asyncio.timeout(20):
        while scene.actors["router/0"].pings <= 5:
            await asyncio.sleep(0.01)
    running.cancel()
