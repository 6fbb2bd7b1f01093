"""Callbacks as a merchant hears them: the signature, the schedule, and what counts as an acknowledgement."""

from pathlib import Path

import pytest

from simulator.profiles import Profile
from simulator.voice import SandboxVoice
from tests.unit.sandbox_kit import START_MS, Client, hooked, opened

pytestmark = pytest.mark.asyncio

ASYNCHRONOUS = Profile("c1", asynchronous=True, payer_delay_ms_p50=1_000)


async def test_content_and_signature(tmp_path: Path) -> None:
    async with hooked() as hook, opened(tmp_path, ASYNCHRONOUS) as world:
        client = Client(world)
        await client.charge("a1", notify_url=hook.url)
        await world.advance(60)
        [heard] = hook.heard
        [entry] = await client.truth()
        assert heard.is_signed
        assert heard.headers["sandbox-merchant"] == "m1"
        assert heard.headers["sandbox-timestamp"] == str(START_MS // 1_000)
        notice = heard.notice
        assert len(notice.pop("notify_id")) == 24
        assert notice == {
            "channel_id": "c1", "merchant_no": "m1", "attempt_no": "a1", "channel_txn_no": entry["channel_txn_no"],
            "word": "PAID", "amount_minor": 10_000, "currency": "CNY", "success_time_ms": entry["time_ms"],
        }  # fmt: skip
        [stats] = await world.stats()
        assert (stats["callbacks_sent"], stats["callbacks_acknowledged"]) == (1, 1)


async def test_failure_and_refund_are_told_too(tmp_path: Path) -> None:
    async with hooked() as hook, opened(tmp_path, ASYNCHRONOUS) as world:
        client = Client(world)
        await client.charge("a1", notify_url=hook.url, payer_ref="payer_no_funds")
        await client.charge("a2", notify_url=hook.url)
        await world.advance(60)
        await client.refund("r1", "a2", 4_000)
        await world.advance(60)
        told = {(notice["attempt_no"], notice["word"], notice.get("refund_no", "")) for notice in hook.notices}
        assert told == {("a1", "PAY_FAILED", ""), ("a2", "PAID", ""), ("a2", "REFUND_PAID", "r1")}


@pytest.mark.parametrize("wanted", [False, True])
async def test_synchronous_channels_tell_only_where_wanted(tmp_path: Path, wanted: bool) -> None:
    async with hooked() as hook, opened(tmp_path, Profile("c1", callback_on_sync=wanted)) as world:
        await Client(world).charge("a1", notify_url=hook.url)
        await world.advance(60)
        assert len(hook.heard) == int(wanted)


@pytest.mark.parametrize(("status", "reply"), [(500, b"success"), (200, b"fail"), (200, b"success" * 100), (204, b"")])
async def test_what_is_not_acknowledged_is_repeated(tmp_path: Path, status: int, reply: bytes) -> None:
    async with hooked() as hook, opened(tmp_path, ASYNCHRONOUS) as world:
        hook.status, hook.reply = status, reply
        await Client(world).charge("a1", notify_url=hook.url)
        await world.advance(20)
        before = len(hook.heard)
        assert before >= 1
        hook.status, hook.reply = 200, b"success\n"
        await world.advance(86_400)
        assert len(hook.heard) == before + 1
        assert len({notice["notify_id"] for notice in hook.notices}) == 1
        assert len({heard.headers["sandbox-nonce"] for heard in hook.heard}) == len(hook.heard)


@pytest.mark.parametrize("factor", [1.0, 0.5])
async def test_schedule(tmp_path: Path, factor: float) -> None:
    profile = Profile("c1", callback_on_sync=True, callback_schedule_factor=factor)
    async with hooked() as hook, opened(tmp_path, profile) as world:
        hook.status = 503
        await Client(world).charge("a1", notify_url=hook.url)
        await world.advance(0)
        assert len(hook.heard) == 1
        for count, wait_s in enumerate(SandboxVoice.schedule_s, start=1):
            await world.advance(wait_s * factor - 0.01)
            assert len(hook.heard) == count
            await world.advance(0.01)
            assert len(hook.heard) == count + 1
        await world.advance(7 * 86_400)
        assert len(hook.heard) == len(SandboxVoice.schedule_s) + 1 == 16


async def test_one_step_over_the_whole_schedule_sends_it_all(tmp_path: Path) -> None:
    async with hooked() as hook, opened(tmp_path, ASYNCHRONOUS) as world:
        hook.status = 503
        for number in range(5):
            await Client(world).charge(f"a{number}", notify_url=hook.url)
        await world.advance(2 * 86_400)
        assert len(hook.heard) == 5 * 16


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "nonsense", "http://", "ftp://x/", "http://[::1", "x" * 2_000])
async def test_bad_addresses_harm_nobody_else(tmp_path: Path, url: str) -> None:
    async with hooked() as hook, opened(tmp_path, ASYNCHRONOUS) as world:
        client = Client(world)
        await client.charge("a1", notify_url=url)
        await client.charge("a2", notify_url=hook.url)
        await world.advance(60)
        assert [notice["attempt_no"] for notice in hook.notices] == ["a2"]
        assert len(await client.truth()) == 2


async def test_a_full_queue_only_delays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from simulator import callbacks

    monkeypatch.setattr(callbacks, "QUEUE_MAX", 2)
    async with hooked() as hook, opened(tmp_path, Profile("c1", callback_on_sync=True)) as world:
        client = Client(world)
        await client.ask("charge", *({**_charge(number), "notify_url": hook.url} for number in range(6)))
        await world.advance(3_600)
        assert {notice["attempt_no"] for notice in hook.notices} == {f"a{number}" for number in range(6)}


def _charge(number: int) -> dict[str, object]:
    from tests.unit.sandbox_kit import charge

    return charge(f"a{number}")
