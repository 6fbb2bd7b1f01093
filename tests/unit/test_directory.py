"""The directory: who lives where, and mailboxes that reach them by role."""

import asyncio
import pickle
from typing import Any

import pytest

from actors.directory import Directory, Placement, host_of
from actors.messages import CallbackHeard
from actors.peers import Neighbour, PeerLost
from domain.refusals import Kind, Refusal, Refused


class Listener:
    """A peer that keeps what it is called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    async def call(self, method: str, *arguments: Any, timeout_s: float = 10.0) -> Any:
        self.calls.append((method, arguments))


def test_connectors_live_with_the_first_router_where_roles_share_processes() -> None:
    homes = {role: host_of(role, Placement.SHARED) for role in ("router/0", "channel/a", "channel/b", "router/1", "sweeper")}
    assert homes["router/0"] == homes["channel/a"] == homes["channel/b"]
    assert len(set(homes.values())) == 3
    assert all(host_of(role, Placement.SPREAD) == role for role in homes)


class TestNeighbour:
    """A call within a process has the promises of one between processes."""

    async def ask(self, role: str, method: str, arguments: tuple[Any, ...]) -> Any:
        if method == "refuse":
            raise Refused(Refusal(Kind.MOVED, "ORDER_MOVED", "moved"))
        if method == "wait":
            await asyncio.sleep(0.02)
            self.waited = True
        return 1 / arguments[0]

    async def test_what_goes_wrong_next_door_is_no_error_of_the_caller(self) -> None:
        neighbour = Neighbour("router/0", self.ask)
        assert await neighbour.call("evidence", 2) == 0.5
        with pytest.raises(Refused, match="moved"):
            await neighbour.call("refuse", 2)
        with pytest.raises(PeerLost, match=r"router/0.evidence failed: ZeroDivisionError"):
            await neighbour.call("evidence", 0)

    async def test_who_waits_no_longer_ends_nothing(self) -> None:
        self.waited = False
        with pytest.raises(PeerLost, match=r"did not answer in 0\.001 s"):
            await Neighbour("router/0", self.ask).call("wait", 2, timeout_s=0.001)
        await asyncio.sleep(0.04)
        assert self.waited


def test_a_directory_travels_with_what_it_must_know_and_no_connections() -> None:
    directory = Directory(router_count=3, placement=Placement.SPREAD)
    directory.peer("sweeper")
    arrived = pickle.loads(pickle.dumps(directory))
    assert (arrived.router_count, arrived.placement, arrived._peers) == (3, Placement.SPREAD, {})
    assert all(arrived.shard_of(tenant) == directory.shard_of(tenant) for tenant in ("life", "pnc", "旅行"))


async def test_a_connector_hears_what_callbacks_show_of_its_channel() -> None:
    directory, connector = Directory(router_count=1), Listener()
    directory._peers["channel/bank"] = connector
    heard = [CallbackHeard(120), CallbackHeard(word="PURPLE")]
    for each in heard:
        assert directory.callback_mailbox("bank").tell(each)
    await asyncio.sleep(0.01)
    assert connector.calls == [("hear_callbacks", (heard,))]
