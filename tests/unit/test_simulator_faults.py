"""Every fault does what its name says, and only to whom it should; a last test sees that none was forgotten."""

from pathlib import Path

import pytest

from simulator.faults import Kind
from simulator.profiles import Profile
from tests.unit.sandbox_kit import START_MS, Client, FrozenTime, charge, hooked, opened

pytestmark = pytest.mark.asyncio

ASYNCHRONOUS = Profile("c1", asynchronous=True, payer_delay_ms_p50=1_000)


def _word(answer: dict[str, object] | None) -> object:
    assert answer is not None
    return answer["word"]


async def test_timeout_taken(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        await client.inject("TIMEOUT_TAKEN")
        assert await client.charge("a1") is None
        await world.advance(3_600)
        assert await client.late() == []
        assert _word(await client.query("a1")) == "PAID"
        assert len(await client.truth()) == 1


async def test_timeout_not_taken(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        await client.inject("TIMEOUT_NOT_TAKEN")
        assert await client.charge("a1") is None
        assert _word(await client.query("a1")) == "NO_SUCH_TRADE"
        await client.inject("TIMEOUT_NOT_TAKEN", share=0)
        assert _word(await client.charge("a1")) == "PAID"


async def test_black_hole_swallows_everything(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        await client.charge("a0")
        await client.inject("BLACK_HOLE")
        answers = [await client.charge("a1"), await client.query("a0"), await client.close("a0")]
        answers += [await client.refund("r1", "a0", 1), await client.query_refund("r1", "a0")]
        await world.advance(3_600)
        assert answers == [None] * 5
        assert await client.late() == []
        assert len(await client.truth()) == 1


async def test_server_error_may_have_done_it_all_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        await client.inject("SERVER_ERROR")
        answers = await client.ask("charge", *(charge(f"a{number}") for number in range(200)))
        assert {answer["word"] for answer in answers} == {"BUSY"}
        assert 60 < len(await client.truth()) < 140


async def test_slow_drip(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        await client.inject("SLOW_DRIP")
        assert await client.charge("a1") is None
        await world.advance(29.9)
        assert await client.late() == []
        await world.advance(0.2)
        assert [answer["word"] for answer in await client.late()] == ["PAID"]


@pytest.mark.parametrize(("kind", "word"), [(Kind.RATE_LIMIT, "LIMITED"), (Kind.MAINTENANCE, "MAINTENANCE")])
async def test_refused_at_the_door(tmp_path: Path, kind: Kind, word: str) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        await client.inject(kind)
        assert _word(await client.charge("a1")) == word
        assert _word(await client.query("a1")) == word
        assert await client.truth() == []


async def test_brown_out_is_slow_and_fails_sometimes(tmp_path: Path) -> None:
    async with opened(tmp_path, Profile("c1", latency_ms_p50=100)) as world:
        client = Client(world)
        await client.inject("BROWN_OUT")
        await client.ask("charge", *(charge(f"a{number}") for number in range(200)))
        await world.advance(0.99)
        assert await client.late() == []
        await world.advance(0.02)
        words = [answer["word"] for answer in await client.late()]
        assert set(words) == {"PAID", "BUSY"}
        assert 35 < words.count("BUSY") < 85


async def test_callback_lost(tmp_path: Path) -> None:
    async with hooked() as hook, opened(tmp_path, ASYNCHRONOUS) as world:
        client = Client(world)
        await client.inject("CALLBACK_LOST", targets=["order-a1"])
        await client.charge("a1", notify_url=hook.url)
        await client.charge("a2", notify_url=hook.url)
        await world.advance(86_400 * 2)
        assert _word(await client.query("a1")) == "PAID"
        assert [notice["attempt_no"] for notice in hook.notices] == ["a2"]


async def test_callback_duplicate(tmp_path: Path) -> None:
    async with hooked() as hook, opened(tmp_path, ASYNCHRONOUS) as world:
        client = Client(world)
        await client.inject("CALLBACK_DUPLICATE")
        await client.charge("a1", notify_url=hook.url)
        await world.advance(600)
        assert len(hook.heard) == 3
        assert len({heard.body for heard in hook.heard}) == 1
        assert len({heard.headers["sandbox-nonce"] for heard in hook.heard}) == 3
        assert all(heard.is_signed for heard in hook.heard)


@pytest.mark.parametrize("profile", [ASYNCHRONOUS, Profile("c1")], ids=["asynchronous", "synchronous"])
async def test_callback_early(tmp_path: Path, profile: Profile) -> None:
    async with hooked() as hook, opened(tmp_path, profile) as world:
        client = Client(world)
        await client.inject("CALLBACK_EARLY")
        assert await client.charge("a1", notify_url=hook.url) is None
        await world.advance(0)
        assert [notice["word"] for notice in hook.notices] == ["PAID"]
        assert await client.late() == []
        await world.advance(1)
        assert [answer["number"] for answer in await client.late()] == ["a1"]
        assert len(await client.truth()) == len(hook.heard) == 1


async def test_callback_late(tmp_path: Path) -> None:
    async with hooked() as hook, opened(tmp_path, ASYNCHRONOUS) as world:
        client = Client(world)
        await client.inject("CALLBACK_LATE")
        await client.charge("a1", notify_url=hook.url)
        await world.advance(50)
        assert _word(await client.query("a1")) == "PAID"
        assert hook.heard == []
        await world.advance(60)
        assert [notice["word"] for notice in hook.notices] == ["PAID"]


async def test_callback_reordered(tmp_path: Path) -> None:
    profile = Profile("c1", callback_on_sync=True)
    async with hooked() as hook, opened(tmp_path, profile) as world:
        client = Client(world)
        await client.inject("CALLBACK_REORDERED", targets=["a1"])
        await client.charge("a1", notify_url=hook.url)
        await client.charge("a2", notify_url=hook.url)
        await world.advance(1)
        assert [notice["attempt_no"] for notice in hook.notices] == ["a2", "a1"]
        await client.inject("CALLBACK_REORDERED", targets=["a3"])
        await client.charge("a3", notify_url=hook.url)
        await world.advance(60)
        assert [notice["attempt_no"] for notice in hook.notices] == ["a2", "a1", "a3"]


async def test_refund_callback_can_overtake_the_callback_of_its_payment(tmp_path: Path) -> None:
    profile = Profile("c1", callback_on_sync=True, refund_delay_ms=1_000)
    async with hooked() as hook, opened(tmp_path, profile) as world:
        client = Client(world)
        await client.inject("CALLBACK_REORDERED")
        await client.charge("a1", notify_url=hook.url)
        await client.refund("r1", "a1", 10_000)
        await world.advance(60)
        assert [notice["word"] for notice in hook.notices] == ["REFUND_PAID", "PAID"]


async def test_forged_signature(tmp_path: Path) -> None:
    async with hooked() as hook, opened(tmp_path, ASYNCHRONOUS) as world:
        client = Client(world)
        await client.inject("FORGED_SIGNATURE")
        await client.charge("a1", notify_url=hook.url)
        await world.advance(60)
        assert [(heard.is_signed, heard.notice["word"]) for heard in hook.heard] == [(False, "PAID"), (True, "PAID")]
        assert len({notice["notify_id"] for notice in hook.notices}) == 2


async def test_forged_amount_is_well_signed_and_comes_even_for_what_nobody_paid(tmp_path: Path) -> None:
    async with hooked() as hook, opened(tmp_path, ASYNCHRONOUS) as world:
        client = Client(world)
        await client.inject("FORGED_AMOUNT")
        await client.charge("a1", notify_url=hook.url, payer_ref="payer_abandons")
        await world.advance(600)
        assert await client.truth() == []
        [forged] = hook.heard
        assert forged.is_signed
        assert (forged.notice["word"], forged.notice["amount_minor"]) == ("PAID", 1)


async def test_forged_merchant_is_signed_by_the_other(tmp_path: Path) -> None:
    async with hooked() as hook, opened(tmp_path, ASYNCHRONOUS) as world:
        client = Client(world)
        await client.inject("FORGED_MERCHANT")
        await client.charge("a1", notify_url=hook.url)
        await world.advance(60)
        assert [(heard.is_signed, heard.notice["merchant_no"]) for heard in hook.heard] == [(True, "m2"), (True, "m1")]
        assert {heard.headers["sandbox-merchant"] for heard in hook.heard} == {"m1", "m2"}


async def test_late_success_after_close(tmp_path: Path) -> None:
    async with hooked() as hook, opened(tmp_path, ASYNCHRONOUS) as world:
        client = Client(world)
        await client.inject("LATE_SUCCESS_AFTER_CLOSE")
        await client.charge("a1", notify_url=hook.url, payer_ref="payer_abandons")
        assert _word(await client.close("a1")) == "PAY_CLOSED"
        assert _word(await client.query("a1")) == "PAY_CLOSED"
        await world.advance(10)
        assert _word(await client.query("a1")) == "PAID"
        assert [notice["word"] for notice in hook.notices] == ["PAID"]
        assert len(await client.truth()) == 1


async def test_decline_no_funds(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        await client.inject("DECLINE_NO_FUNDS", share=0.6)
        answers = await client.ask("charge", *(charge(f"a{number}") for number in range(500)))
        declined = [answer for answer in answers if answer["word"] == "PAY_FAILED"]
        assert {answer["reason"] for answer in declined} == {"NO_FUNDS"}
        assert 250 < len(declined) < 350


async def test_refund_phantom(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        await client.inject("REFUND_PHANTOM", targets=["r1"])
        await client.charge("a1")
        assert _word(await client.refund("r1", "a1", 4_000)) == "REFUND_ACCEPTED"
        await client.refund("r2", "a1", 4_000)
        await world.advance(7 * 86_400)
        assert _word(await client.query_refund("r1", "a1")) == "REFUND_ACCEPTED"
        assert _word(await client.query_refund("r2", "a1")) == "REFUND_PAID"
        assert [entry["refund_no"] for entry in await client.truth()] == ["", "r2"]


async def test_connection_refused(tmp_path: Path) -> None:
    async with opened(tmp_path, Profile("c1", latency_ms_p50=100)) as world:
        client = Client(world)
        await client.inject("CONNECTION_REFUSED", targets=["a1"])
        body_and_signature = await client.ask("charge", charge("a1"), charge("a2"))
        assert body_and_signature == [{"number": "a1", "transport": "REFUSED", "signed": False}]
        await world.advance(10)
        assert [answer["number"] for answer in await client.late()] == ["a2"]
        assert [entry["attempt_no"] for entry in await client.truth()] == ["a2"]


async def test_answer_other_amount(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        await client.inject("ANSWER_OTHER_AMOUNT")
        answer = await client.charge("a1")
        assert answer is not None
        assert (answer["word"], answer["amount_minor"], answer["signed"]) == ("PAID", 10_001, True)
        assert [entry["amount_minor"] for entry in await client.truth()] == [10_000]


async def test_answer_bad_signature_comes_in_an_envelope_of_its_own(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        await client.inject("ANSWER_BAD_SIGNATURE", targets=["a1"])
        answers = await client.ask("charge", charge("a1"), charge("a2"))
        assert {answer["number"]: answer["signed"] for answer in answers} == {"a1": False, "a2": True}
        assert len(await client.truth()) == 2


async def test_connection_reset_after_the_request_was_executed(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        await client.inject("CONNECTION_RESET")
        assert await client.charge("a1") == {"number": "a1", "transport": "RESET", "signed": False}
        assert len(await client.truth()) == 1


async def test_answer_unknown_word_lies_about_the_word_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        await client.inject("ANSWER_UNKNOWN_WORD")
        answer = await client.charge("a1")
        assert answer is not None and (answer["word"], answer["signed"]) == ("PURPLE", True)
        assert len(await client.truth()) == 1


@pytest.mark.parametrize(
    "kind",
    ["ANSWER_NO_SIGNATURE", "ANSWER_PROBE_SIGNATURE", "ANSWER_STALE", "ANSWER_OTHER_CERTIFICATE", "ANSWER_NEW_CERTIFICATE"],
)
async def test_a_flawed_seal_is_no_signature_of_the_sandbox(tmp_path: Path, kind: str) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        await client.inject(kind, targets=["a1"])
        answers = await client.ask("charge", charge("a1"), charge("a2"))
        assert {answer["number"]: answer["signed"] for answer in answers} == {"a1": False, "a2": True}


@pytest.mark.parametrize(
    ("kind", "signed"),
    [("CALLBACK_NO_SIGNATURE", False), ("CALLBACK_PROBE_SIGNATURE", False), ("CALLBACK_OTHER_CERTIFICATE", False),
     ("CALLBACK_STALE", True)],
)  # fmt: skip
async def test_a_callback_with_a_flaw_comes_again_without_it(tmp_path: Path, kind: str, signed: bool) -> None:
    async with hooked() as hook, opened(tmp_path, ASYNCHRONOUS) as world:
        client = Client(world)
        await client.inject(kind)
        await client.charge("a1", notify_url=hook.url)
        hook.reply = b"no"
        await world.advance(60)
        first, second = hook.heard[:2]
        age_s = START_MS // 1_000 - int(first.headers["sandbox-timestamp"])
        assert (first.is_signed, age_s) == (signed, 3_600 if kind == "CALLBACK_STALE" else 0)
        assert second.is_signed and first.notice == second.notice


async def test_a_new_key_signs_every_send(tmp_path: Path) -> None:
    async with hooked() as hook, opened(tmp_path, ASYNCHRONOUS) as world:
        client = Client(world)
        await client.inject("CALLBACK_NEW_CERTIFICATE")
        await client.charge("a1", notify_url=hook.url)
        hook.reply = b"no"
        await world.advance(60)
        assert [heard.is_signed for heard in hook.heard[:3]] == [False, False, False], "the sandbox has no other"


async def test_success_flips(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        await client.inject("SUCCESS_FLIPS")
        await client.charge("a1")
        assert [_word(await client.query("a1")) for _ in range(3)] == ["PAY_FAILED", "PAID", "PAID"]


async def test_targets_and_share_and_end(tmp_path: Path) -> None:
    time = FrozenTime()
    async with opened(tmp_path, time=time) as world:
        client = Client(world)
        await client.inject("MAINTENANCE", targets=["a1", "order-a2", "vip"], ttl_s=60)
        words = [_word(await client.charge(f"a{n}", payer_ref="vip" if n == 3 else "p")) for n in (1, 2, 3, 4)]
        assert words == ["MAINTENANCE"] * 3 + ["PAID"]
        assert len((await world.describe())["faults"]) == 1  # type: ignore[arg-type]
        await world.advance(60)
        assert _word(await client.charge("a1", expire_time_ms=START_MS + 900_000)) == "PAID"
        assert (await world.describe())["faults"] == []
        await client.inject("MAINTENANCE", targets=["x"])
        await client.inject("MAINTENANCE", targets=["y"])
        await client.inject("MAINTENANCE", targets=["x"], share=0)
        assert [_word(await client.charge(number)) for number in ("x", "y")] == ["PAID", "MAINTENANCE"]
        await client.inject("MAINTENANCE", share=0)
        assert (await world.describe())["faults"] == []


async def test_share_hits_that_share_and_counts_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        await client.inject("MAINTENANCE", share=0.25)
        answers = await client.ask("charge", *(charge(f"a{number}") for number in range(1_000)))
        hit_count = sum(answer["word"] == "MAINTENANCE" for answer in answers)
        assert 200 < hit_count < 300
        [stats] = await world.stats()
        assert stats["faults_hit"] == hit_count


async def test_a_repeat_is_luckier(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        await client.inject("MAINTENANCE", share=0.5)
        for number in ("a1", "a2", "a3"):
            words = [_word(await client.charge(number)) for _ in range(30)]
            assert "PAID" in words
        assert len(await client.truth()) == 3


async def test_no_kind_is_forgotten() -> None:
    files = (Path(__file__), Path(__file__).with_name("test_simulator_sides.py"))
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    assert [kind for kind in Kind if f'"{kind}"' not in source and f"Kind.{kind}" not in source] == []
