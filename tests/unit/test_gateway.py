"""Calls that wait at a gateway are answered, whatever breaks behind it."""

import asyncio
from typing import Any, cast

import pytest

from domain.refusals import Refused
from servers.gateway import Gateway
from tests.harness import new_payment


class _Silence:
    """A directory whose only router never answers."""

    router_count = 1

    def shard_of(self, _tenant_id: str) -> int:
        return 0

    def peer(self, _name: str) -> "_Silence":
        return self

    async def call(self, *_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()


class _Broken:
    """A database whose every statement fails in a way that nobody expects."""

    async def run(self, *_: Any) -> Any:
        raise LookupError("nobody expects this")


async def test_calls_are_answered_at_their_deadline_although_looking_them_up_fails() -> None:
    gateway = Gateway(name="g", directory=cast("Any", _Silence()), database=cast("Any", _Broken()))
    gateway.start()
    for number in range(2):  # the second finds that somebody still looks
        with pytest.raises(Refused) as caught:
            await asyncio.wait_for(gateway.create(new_payment(f"o{number}"), remaining_s=0.3), 20)
        assert caught.value.refusal.reason == "MAY_HAVE_HAPPENED"
    await gateway.stop()
