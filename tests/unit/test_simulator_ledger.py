"""What the sandbox remembers: nothing answered is lost by a kill, and equal seeds give equal worlds."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import LedgerDamaged
from simulator.ledger import FILE_NAME, Ledger
from simulator.profiles import Profile
from simulator.world import World
from tests.unit.sandbox_kit import MERCHANTS, START_MS, Client, charge, hooked, opened

pytestmark = pytest.mark.asyncio

ROOT = Path(__file__).resolve().parents[2]
ASYNCHRONOUS = Profile("c1", asynchronous=True, payer_delay_ms_p50=60_000)

VICTIM = """
import asyncio, sys
from pathlib import Path
from simulator.profiles import Profile
from simulator.world import World
from tests.unit.sandbox_kit import MERCHANTS, Client, charge

async def main():
    world = World(Path(sys.argv[1]), seed=7, channels=[Profile("c1", success_rate=0.8)], merchants=MERCHANTS)
    await world.start()
    client = Client(world)
    for batch in range(100_000):
        requests = (charge(f"a{batch}-{n}", expire_time_ms=0) for n in range(16))
        for answer in await client.ask("charge", *requests):
            print(answer["number"], answer["word"], answer["channel_txn_no"])
        sys.stdout.flush()

asyncio.run(main())
"""


async def test_kill_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    victim = subprocess.Popen(  # noqa: ASYNC220 - this test has nothing else to do meanwhile
        [sys.executable, "-c", VICTIM, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert victim.stdout is not None
    told = [victim.stdout.readline().split() for _ in range(500)]
    os.kill(victim.pid, signal.SIGKILL)
    told += [line.split() for line in victim.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    victim.wait()
    victim.stdout.close()
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b'["c1",["a","torn')
    async with opened(tmp_path) as world:
        client = Client(world)
        truth = {entry["attempt_no"]: entry for entry in await world.truth("c1", 0, 100_000)}
        for number, word, txn_no in told:
            assert (number in truth) == (word == "PAID")
            if word == "PAID":
                assert truth[number]["channel_txn_no"] == txn_no
        before = len(truth)
        again = [
            answer for number, _, _ in told for answer in await client.ask("charge", charge(number, expire_time_ms=0))
        ]
        assert [(a["number"], a["word"], a["channel_txn_no"]) for a in again] == [tuple(line) for line in told]
        assert len(await world.truth("c1", 0, 100_000)) == before


async def test_a_copy_of_the_ledger_is_a_copy_of_the_world(tmp_path: Path) -> None:
    async with hooked() as hook, opened(tmp_path / "a", ASYNCHRONOUS, Profile("c2")) as world:
        await _busy_day(world, hook.url)
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        async with opened(tmp_path / "b", ASYNCHRONOUS, Profile("c2"), seed=99) as copy:
            assert await copy.describe() == await world.describe()
            assert await copy.truth("", 0, 1_000) == await world.truth("", 0, 1_000)
            for one in (world, copy):
                await one.advance(86_400)
                # The draws of queries count the queries since the start, which differ between the two.
                await Client(one).inject("SERVER_ERROR", share=0)
            assert await copy.truth("", 0, 1_000) == await world.truth("", 0, 1_000)
            for number in range(40):
                assert await Client(copy).query(f"a{number}") == await Client(world).query(f"a{number}")
            assert await Client(copy).query_refund("r1", "s1") == await Client(world).query_refund("r1", "s1")


async def _busy_day(world: World, url: str) -> None:
    client, other = Client(world), Client(world, channel_id="c2")
    await client.inject("SERVER_ERROR", share=0.2)
    await client.inject("CALLBACK_LOST", share=0.5, ttl_s=100_000)
    await client.inject("LATE_SUCCESS_AFTER_CLOSE", targets=["a3"])
    await client.ask("charge", *(charge(f"a{number}", notify_url=url) for number in range(40)))
    await world.advance(45)
    await client.ask("close", *({"attempt_no": f"a{number}"} for number in range(8)))
    await world.configure({"channel_id": "c2", "fee_bps": 60})
    await other.ask("charge", *(charge(f"s{number}") for number in range(5)))
    await other.refund("r1", "s1", 2_000)


async def test_callbacks_owed_are_sent_after_a_restart(tmp_path: Path) -> None:
    profile = Profile("c1", callback_on_sync=True)
    async with hooked() as hook:
        hook.status = 503
        async with opened(tmp_path / "a", profile) as world:
            await Client(world).charge("a1", notify_url=hook.url)
            await world.advance(1)
            shutil.copytree(tmp_path / "a", tmp_path / "b")
        hook.status = 200
        for _ in range(2):
            async with opened(tmp_path / "b", profile) as world:
                await world.advance(3_600)
        assert [heard.notice["attempt_no"] for heard in hook.heard] == ["a1", "a1"]
        assert len({heard.notice["notify_id"] for heard in hook.heard}) == 1


def _outcomes(entries: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    return {(e["order_no"], e["kind"], e["amount_minor"], e["channel_txn_no"], e["time_ms"]) for e in entries}


async def _run(directory: Path, *, shuffle_seed: int, seed: int = 7) -> tuple[set[tuple[Any, ...]], dict[str, str]]:
    """Send the same orders under other attempt numbers, in other order and batches; return truth and final words."""
    chance = random.Random(shuffle_seed)
    sync = Profile("c2", success_rate=0.7, latency_ms_p50=50, latency_ms_p99=200)
    async with opened(directory, Profile("c1", asynchronous=True, success_rate=0.8), sync, seed=seed) as world:
        words: dict[str, str] = {}
        for channel_id in ("c1", "c2"):
            client = Client(world, channel_id=channel_id)
            for kind in ("TIMEOUT_TAKEN", "SERVER_ERROR", "MAINTENANCE", "BROWN_OUT", "DECLINE_NO_FUNDS"):
                await client.inject(kind, share=0.1)
            orders = list(range(200))
            chance.shuffle(orders)
            requests = [charge(f"{chance.random()}", order_no=f"o{n}", amount_minor=10_000 + n) for n in orders]
            size = chance.randint(1, 40)
            batches = [requests[at : at + size] for at in range(0, len(requests), size)]
            await asyncio.gather(*(client.ask("charge", *batch) for batch in batches))
            await client.ask("charge", *requests)
            await world.advance(600)
            for request in requests:
                [answer] = await client.ask("query", {"attempt_no": request["attempt_no"]}) or [{"word": "-"}]
                words[channel_id + request["order_no"]] = answer["word"]
        return _outcomes(await world.truth("", 0, 1_000)), words


async def test_same_seed_and_orders_have_the_same_outcomes_in_any_order(tmp_path: Path) -> None:
    first = await _run(tmp_path / "first", shuffle_seed=1)
    assert 200 < len(first[0]) < 400
    assert await _run(tmp_path / "second", shuffle_seed=2) == first
    assert (await _run(tmp_path / "other", shuffle_seed=1, seed=8))[0] != first[0]


async def test_reset_begins_again(tmp_path: Path) -> None:
    async with opened(tmp_path, Profile("c1", success_rate=0.5)) as world:
        client = Client(world)

        async def day() -> list[Any]:
            answers = await client.ask("charge", *(charge(f"a{number}") for number in range(50)))
            return [(answer["word"], answer["channel_txn_no"]) for answer in answers]

        first = await day()
        await client.inject("BLACK_HOLE")
        await world.advance(100)
        await world.reset(8)
        assert await world.truth("", 0, 10) == []
        assert (await world.describe())["faults"] == []
        assert (await world.describe())["now_ms"] == START_MS
        assert await day() != first
        await world.reset(7)
        assert await day() == first
    async with opened(tmp_path, seed=1) as world:
        assert (await world.describe())["seed"] == 7
        assert len(await world.truth("", 0, 100)) == sum(word == "PAID" for word, _ in first)


async def test_a_channel_that_is_configured_no_more_keeps_its_truth(tmp_path: Path) -> None:
    async with opened(tmp_path, Profile("c1"), Profile("old")) as world:
        await Client(world, channel_id="old").charge("a1")
    async with opened(tmp_path, Profile("c1")) as world:
        assert [entry["channel_id"] for entry in await world.truth("", 0, 10)] == ["old"]


@pytest.mark.parametrize(
    "content", [b"nonsense\n", b'["c1",["p","x",1]]\n', b'{"seed":1}\n{bad}\n', b'{"seed":1}\n["c1",["z"]]\n']
)
async def test_a_damaged_ledger_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    world = World(tmp_path, seed=1, channels=[Profile("c1")], merchants=MERCHANTS)
    with pytest.raises(LedgerDamaged, match=str(tmp_path)):
        await world.start()
    await world.aclose()


async def test_one_directory_has_one_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.ledger.LOCK_WAIT_S", 0.1)
    async with opened(tmp_path):
        with pytest.raises(LedgerDamaged, match="another process"):
            Ledger(tmp_path)


async def test_nothing_is_answered_that_could_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", _no_space)
            for number in ("a1", "a2"):
                with pytest.raises(OSError, match="no space"):
                    await client.charge(number)
        answer = await client.charge("a1")
        assert answer is not None
        assert answer["word"] == "PAID"
        shutil.copytree(tmp_path, tmp_path / "copy")
        async with opened(tmp_path / "copy") as copy:
            assert [entry["attempt_no"] for entry in await copy.truth("", 0, 10)] == ["a1"]


def _no_space(_fd: int, _data: bytes) -> int:
    raise OSError("no space")
