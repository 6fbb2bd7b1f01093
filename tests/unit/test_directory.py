"""The directory: who lives where, and mailboxes that reach them by role."""

import asyncio
import pickle
from typing import Any

import pytest

from actors.directory import Directory, Placement, host_of


class Listener:
    """A peer that keeps what it is called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    async def call(self, method: str, *arguments: Any, timeout_s: float = 10.0) -> Any:
        self.calls.append((method, arguments))


@pytest.mark.parametrize("placement", Placement)
def test_a_role_has_one_host(placement: Placement) -> None:
    assert host_of("router/0", placement) == "router/0"
    alone = host_of("channel/a", placement) == "channel/a"
    assert alone is (placement is Placement.SPREAD)


def test_a_directory_travels_with_what_it_must_know_and_no_connections() -> None:
    directory = Directory(router_count=3, placement=Placement.SPREAD)
    directory.peer("sweeper")
    arrived = pickle.loads(pickle.dumps(directory))
    assert (arrived.router_count, arrived.placement, arrived._peers) == (3, Placement.SPREAD, {})
    assert all(arrived.shard_of(tenant) == directory.shard_of(tenant) for tenant in ("life", "pnc", "旅行"))


async def test_a_connector_hears_how_long_callbacks_took() -> None:
    directory, connector = Directory(router_count=1), Listener()
    directory._peers["channel/bank"] = connector
    for delay_ms in (120, 31_000):
        assert directory.delay_mailbox("bank").tell(delay_ms)
    await asyncio.sleep(0.01)
    assert connector.calls == [("heard_callback", ([120, 31_000],))]
