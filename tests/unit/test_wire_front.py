"""The frame of the wires: what the weather does to a connection, keys that stay the same, and the controls beside them."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops import simulator_commands
from ops.mistakes import CannotStart
from simulator.wire import alone
from simulator.wire.accounts import Wanted, open_accounts
from simulator.wire.server import bind
from tests.unit.wire_kit import AlipayClient, served, world_keys

CHANNEL = "alipay"


@asynccontextmanager
async def client(directory: Path) -> AsyncIterator[AlipayClient]:
    async with served(directory) as (wires, http):
        yield AlipayClient(wires, http)


async def precreate(alipay: AlipayClient, number: str = "a1") -> dict[str, Any]:
    return await alipay.ask("alipay.trade.precreate", out_trade_no=number, total_amount="1.00", subject="车险")


async def charges(alipay: AlipayClient) -> int:
    await alipay.control("advance", 60)
    return len(await alipay.control("truth", CHANNEL, 0, 100))


async def test_silence_is_a_connection_that_is_held(tmp_path: Path) -> None:
    async with client(tmp_path) as alipay:
        await alipay.control("inject", {"channel_id": CHANNEL, "kind": "TIMEOUT_TAKEN"})
        asking = asyncio.create_task(precreate(alipay))
        async with asyncio.timeout(20):
            while not await charges(alipay):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert not asking.done() and asking.cancel()
        await asyncio.wait([asking])
        assert await charges(alipay) == 1


@pytest.mark.parametrize(("kind", "executed"), [("CONNECTION_REFUSED", 0), ("CONNECTION_RESET", 1)])
async def test_a_connection_breaks_before_or_after_the_request_is_executed(
    tmp_path: Path, kind: str, executed: int
) -> None:
    async with client(tmp_path) as alipay:
        await alipay.control("inject", {"channel_id": CHANNEL, "kind": kind})
        with pytest.raises(httpx.TransportError):
            await precreate(alipay)
        assert await charges(alipay) == executed


async def test_a_slow_drip_begins_at_once_and_takes_its_time(tmp_path: Path) -> None:
    async with client(tmp_path) as alipay:
        await alipay.control("inject", {"channel_id": CHANNEL, "kind": "SLOW_DRIP"})
        url, form = alipay.signed("alipay.trade.precreate", out_trade_no="a1", total_amount="1.00", subject="x")
        async with alipay.http.stream("POST", url, data=form) as response:
            assert response.status_code == 200
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(response.aread(), 0.3)


async def test_latency_passes_with_the_sandboxs_clock(tmp_path: Path) -> None:
    async with client(tmp_path) as alipay:
        await alipay.control("configure", {"channel_id": CHANNEL, "latency_ms_p50": 60_000})
        asking = asyncio.create_task(precreate(alipay))
        await asyncio.sleep(0.2)
        assert not asking.done()
        await alipay.control("advance", 600)
        assert (await asking)["code"] == "10000"


async def test_a_body_beyond_all_bounds_is_not_read(tmp_path: Path) -> None:
    async with client(tmp_path) as alipay:
        reply = await alipay.http.post(f"{alipay.base_url}/gateway.do", content=b"x" * 2_000_000)
        assert reply.status_code == 413


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_is_free_again_at_once_though_somebody_has_not_hung_up(shared: bool) -> None:
    listener = bind("127.0.0.1", 0, shared=shared)
    listener.listen()
    with socket.create_connection(listener.getsockname()):
        listener.accept()[0].close()
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            bind("127.0.0.1", port)
        listener.close()
        bind("127.0.0.1", port).close()


@pytest.mark.parametrize("path", ["alipay/pay/c9/1", "alipay/sign/c9/1", "wechatpay/pay/c9/1", "wechatpay/sign/c9/1", "unionpay/pay/c9/1"])
async def test_a_page_of_no_channel_is_not_there(tmp_path: Path, path: str) -> None:
    async with client(tmp_path) as alipay:
        for method in ("GET", "POST"):
            for address in (path, f"{path}/", "alipay", "iso20022?x"):
                answer = await alipay.http.request(method, f"{alipay.wires['base_url']}/{address}")
                assert answer.status_code in (404, 405)


async def test_a_directory_keeps_its_keys(tmp_path: Path) -> None:
    makers = {"alipay": lambda number: ({"made": number}, {"kept": number})}
    first = open_accounts(tmp_path, [Wanted("alipay", "c1", "m1")], makers)
    more = open_accounts(tmp_path, [Wanted("alipay", "c1", "m1"), Wanted("alipay", "c2", "m2")], {
        "alipay": lambda number: ({"made": f"again {number}"}, {}),
    })  # fmt: skip
    assert more[0] == first[0]
    assert more[1].hub == {"made": "again m2"}
    assert (tmp_path / "wire-accounts.json").stat().st_mode & 0o777 == 0o600


async def test_the_controls_refuse_what_they_do_not_know(tmp_path: Path) -> None:
    async with client(tmp_path) as alipay:
        for path, body in (("inject", b'[{"kind": "NOTHING"}]'), ("inject", b"nonsense"), ("truth", b"[1]")):
            assert (await alipay.http.post(f"/control/{path}", content=body)).status_code == 400
        assert (await alipay.http.post("/control/aclose")).status_code == 404


async def test_the_hubs_file_has_its_own_halves_only(tmp_path: Path) -> None:
    async with client(tmp_path) as alipay:
        text = json.dumps(alipay.wires)
        assert alipay.values["app_private_key"] in json.loads(text)["kinds"][CHANNEL]["accounts"][0]["values"].values()
        own = [value for account in alone.all_accounts(world_keys()) for value in account.own.values() if "PRIVATE KEY" in value]
        assert own
        assert not any(json.dumps(key)[1:-1] in alipay.wires_text for key in own)


def test_a_port_that_is_taken_is_told_in_a_sentence(tmp_path: Path) -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=f"port {port} on 127.0.0.1 cannot be had"):
            asyncio.run(simulator_commands._serve(tmp_path, "127.0.0.1", port, 1, tmp_path / "wires.json"))
    assert not list(tmp_path.iterdir())
