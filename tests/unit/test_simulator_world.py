"""The sandbox without faults: what its channels answer, what repeats change (nothing), and what bad input gets."""

import json
from pathlib import Path
from typing import Any

import pytest

from protos.paydesk.v1 import simulator_pb2
from simulator.errors import BadControl
from simulator.faults import Kind
from simulator.profiles import Profile
from tests.unit.sandbox_kit import MERCHANTS, START_MS, Client, FrozenTime, charge, opened, sign

pytestmark = pytest.mark.asyncio


async def test_speaks_the_protocol() -> None:
    values = simulator_pb2.Fault.DESCRIPTOR.enum_types_by_name["Kind"].values_by_name
    names = {name.removeprefix("KIND_") for name in values} - {"UNSPECIFIED"}
    assert names == set(Kind)
    assert set(simulator_pb2.ChannelProfile.DESCRIPTOR.fields_by_name) <= Profile("c1").to_dict().keys()


async def test_stats_and_truth_have_the_fields_of_the_protocol(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await Client(world).charge("a1")
        [stats] = await world.stats()
        assert stats.keys() == set(simulator_pb2.SimulatorStats.ChannelStats.DESCRIPTOR.fields_by_name)
        assert (stats["charge_requests"], stats["charges_done"], stats["charged_minor"]) == (1, 1, 10_000)


async def test_synchronous_charge_answers_with_the_result(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        paid = await client.charge("a1")
        assert paid is not None
        assert (paid["word"], paid["amount_minor"], paid["currency"]) == ("PAID", 10_000, "CNY")
        assert (paid["merchant_no"], paid["success_time_ms"], paid["signed"]) == ("m1", START_MS, True)
        assert await client.query("a1") == paid
        [entry] = await client.truth()
        assert entry == {
            "channel_id": "c1", "kind": "CHARGE", "attempt_no": "a1", "channel_txn_no": paid["channel_txn_no"],
            "merchant_no": "m1", "amount_minor": 10_000, "currency": "CNY", "time_ms": START_MS,
            "order_no": "order-a1", "refund_no": "",
        }  # fmt: skip


async def test_latency_sends_the_answer_through_collect(tmp_path: Path) -> None:
    async with opened(tmp_path, Profile("c1", latency_ms_p50=100, latency_ms_p99=300)) as world:
        client = Client(world)
        assert await client.ask("charge", *(charge(f"a{n}") for n in range(20))) == []
        assert await client.late() == []
        await world.advance(60)
        assert {answer["number"] for answer in await client.late(1)} == {f"a{n}" for n in range(20)}


async def test_collect_wakes_up_by_itself_in_real_time(tmp_path: Path) -> None:
    from simulator.world import World

    world = World(tmp_path, seed=1, channels=[Profile("c1", latency_ms_p50=20)], merchants=MERCHANTS)
    await world.start()
    try:
        client = Client(world)
        await client.ask("charge", charge("a1", expire_time_ms=0))
        assert [answer["word"] for answer in await client.late(5)] == ["PAID"]
        assert await client.late(0.01) == []
    finally:
        await world.aclose()


async def test_asynchronous_charge_waits_for_the_payer(tmp_path: Path) -> None:
    async with opened(tmp_path, Profile("c1", asynchronous=True, payer_delay_ms_p50=5_000)) as world:
        client = Client(world)
        waiting = await client.charge("a1")
        assert waiting is not None
        assert waiting["word"] == "WAITING_PAYER"
        assert waiting["qr"].startswith("sandbox://")
        assert waiting["success_time_ms"] == 0
        assert await client.truth() == []
        await world.advance(300)
        paid = await client.query("a1")
        assert paid is not None
        assert paid["word"] == "PAID"
        assert paid["success_time_ms"] > START_MS


async def test_repeats_never_charge_twice(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        answers = await client.ask("charge", charge("a1"), charge("a1"))
        answers += await client.ask("charge", charge("a1"))
        assert answers[0] == answers[1] == answers[2]
        assert len(await client.truth()) == 1


@pytest.mark.parametrize(
    "change", [{"amount_minor": 10_001}, {"currency": "USD"}, {"order_no": "other"}, {"payer_ref": "other"}]
)
async def test_a_number_reused_for_something_else_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        await client.charge("a1")
        answer = await client.charge("a1", **{"order_no": "order-a1"} | change)
        assert answer is not None
        assert (answer["word"], answer["reason"]) == ("REFUSED", "NUMBER_REUSED")
        assert len(await client.truth()) == 1


async def test_another_merchant_sees_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await Client(world).charge("a1")
        other = Client(world, merchant_no="m2")
        words = [
            await other.query("a1"),
            await other.close("a1"),
            await other.charge("a1"),
            await other.refund("r1", "a1", 1),
        ]
        assert [answer and answer["word"] for answer in words] == [
            "NO_SUCH_TRADE", "REFUSED", "REFUSED", "NO_SUCH_TRADE",
        ]  # fmt: skip
        assert len(await Client(world).truth()) == 1


async def test_close(tmp_path: Path) -> None:
    async with opened(tmp_path, Profile("c1", asynchronous=True), Profile("c2")) as world:
        client = Client(world)
        await client.charge("waiting")
        for number in ("waiting", "unknown"):
            for answer in (await client.close(number), await client.charge(number), await client.query(number)):
                assert answer is not None
                assert answer["word"] == "PAY_CLOSED"
        await world.advance(3_600)
        assert await client.truth() == []
        paid = Client(world, channel_id="c2")
        await paid.charge("paid")
        answer = await paid.close("paid")
        assert answer is not None
        assert answer["word"] == "PAID"


async def test_an_attempt_expires(tmp_path: Path) -> None:
    async with opened(tmp_path, Profile("c1", asynchronous=True, payer_delay_ms_p50=400_000)) as world:
        client = Client(world)
        await client.charge("soon", expire_time_ms=START_MS + 1_000)
        await client.charge("past", expire_time_ms=START_MS - 1)
        await client.charge("never", expire_time_ms=0)
        await world.advance(86_400)
        answers = [await client.query(number) for number in ("soon", "past", "never")]
        assert [answer and (answer["word"], answer["reason"]) for answer in answers] == [
            ("PAY_CLOSED", "EXPIRED"), ("PAY_CLOSED", "EXPIRED"), ("PAID", ""),
        ]  # fmt: skip


async def test_expiry_is_carried_over_to_a_clock_that_is_ahead(tmp_path: Path) -> None:
    async with opened(tmp_path, Profile("c1", asynchronous=True)) as world:
        await world.advance(10 * 86_400)
        answer = await Client(world).charge("a1")
        assert answer is not None
        assert answer["word"] == "WAITING_PAYER"


async def test_unknown_numbers(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        answers = [await client.query("x"), await client.refund("r", "x", 1), await client.query_refund("r", "x")]
        assert [answer and answer["word"] for answer in answers] == ["NO_SUCH_TRADE", "NO_SUCH_TRADE", "NO_SUCH_REFUND"]


async def test_refunds(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        await client.charge("a1")
        accepted = await client.refund("r1", "a1", 6_000)
        assert accepted is not None
        assert accepted["word"] == "REFUND_ACCEPTED"
        assert await client.refund("r1", "a1", 6_000) == accepted
        assert [entry["kind"] for entry in await client.truth()] == ["CHARGE"]
        for refund_no, amount_minor, currency, reason in [
            ("r1", 5_000, "CNY", "NUMBER_REUSED"),
            ("r2", 4_001, "CNY", "OVER_REMAINING"),
            ("r3", 4_000, "USD", "OTHER_CURRENCY"),
        ]:
            refused = await client.refund(refund_no, "a1", amount_minor, currency)
            assert refused is not None
            assert (refused["word"], refused["reason"]) == ("REFUSED", reason)
        await client.refund("r4", "a1", 4_000)
        await world.advance(10)
        done = await client.query_refund("r1", "a1")
        assert done is not None
        assert (done["word"], done["amount_minor"], done["success_time_ms"]) == ("REFUND_PAID", 6_000, START_MS + 2_000)
        refunds = [entry for entry in await client.truth() if entry["kind"] == "REFUND"]
        assert {(entry["refund_no"], entry["amount_minor"]) for entry in refunds} == {("r1", 6_000), ("r4", 4_000)}
        assert len({entry["channel_txn_no"] for entry in await client.truth()}) == 3


async def test_a_refund_needs_a_payment(tmp_path: Path) -> None:
    async with opened(tmp_path, Profile("c1", asynchronous=True)) as world:
        client = Client(world)
        await client.charge("a1")
        refused = await client.refund("r1", "a1", 1)
        assert refused is not None
        assert (refused["word"], refused["reason"]) == ("REFUSED", "NOT_PAID")


@pytest.mark.parametrize(
    ("changes", "word", "reason"),
    [
        ({"amount_minor": 10_051}, "PAY_FAILED", "NO_FUNDS"),
        ({"amount_minor": 10_057}, "PAY_FAILED", "CARD_EXPIRED"),
        ({"payer_ref": "payer_no_funds"}, "PAY_FAILED", "NO_FUNDS"),
        ({"payer_ref": "payer_card_expired"}, "PAY_FAILED", "CARD_EXPIRED"),
        ({"payer_ref": "payer_abandons"}, "PAY_FAILED", "PAYER_ABANDONED"),
    ],
)
async def test_triggers_decline(tmp_path: Path, changes: dict[str, Any], word: str, reason: str) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        answer = await client.charge("a1", **changes)
        assert answer is not None
        assert (answer["word"], answer["reason"]) == (word, reason)
        assert await client.truth() == []


@pytest.mark.parametrize(
    ("changes", "queried"),
    [
        ({"amount_minor": 10_069}, "PAID"),
        ({"amount_minor": 10_068}, "NO_SUCH_TRADE"),
        ({"payer_ref": "payer_timeout_taken"}, "PAID"),
        ({"payer_ref": "payer_timeout_not_taken"}, "NO_SUCH_TRADE"),
    ],
)
async def test_triggers_time_out(tmp_path: Path, changes: dict[str, Any], queried: str) -> None:
    async with opened(tmp_path) as world:
        client = Client(world)
        assert await client.charge("a1", **changes) is None
        await world.advance(3_600)
        assert await client.late() == []
        answer = await client.query("a1")
        assert answer is not None
        assert answer["word"] == queried


async def test_amounts_choose_nothing_where_switched_off(tmp_path: Path) -> None:
    async with opened(tmp_path, Profile("c1", amount_triggers=False)) as world:
        for number, amount_minor in enumerate((10_051, 10_057, 10_068, 10_069)):
            answer = await Client(world).charge(f"a{number}", amount_minor=amount_minor)
            assert answer is not None
            assert answer["word"] == "PAID"


async def test_abandoning_payer_and_failing_refund(tmp_path: Path) -> None:
    async with opened(tmp_path, Profile("c1", asynchronous=True), Profile("c2")) as world:
        client = Client(world)
        await client.charge("a1", payer_ref="payer_abandons")
        await world.advance(600)
        waiting = await client.query("a1")
        assert waiting is not None
        assert waiting["word"] == "WAITING_PAYER"
        client = Client(world, channel_id="c2")
        await client.charge("a2", payer_ref="payer_refund_fails")
        await client.refund("r1", "a2", 10_000)
        await world.advance(10)
        failed = await client.query_refund("r1", "a2")
        assert failed is not None
        assert (failed["word"], failed["success_time_ms"]) == ("REFUND_FAILED", 0)
        again = await client.refund("r2", "a2", 10_000)
        assert again is not None
        assert again["word"] == "REFUND_ACCEPTED"


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_success_rate(tmp_path: Path, asynchronous: bool) -> None:
    profile = Profile("c1", success_rate=0.6, asynchronous=asynchronous)
    async with opened(tmp_path, profile) as world:
        client = Client(world)
        await client.ask("charge", *(charge(f"a{number}") for number in range(1_000)))
        await world.advance(600)
        assert 540 <= len(await client.truth()) <= 660


async def test_rate_limit(tmp_path: Path) -> None:
    time = FrozenTime()
    async with opened(tmp_path, Profile("c1", rate_limit_per_s=10), time=time) as world:
        client = Client(world)
        answers = await client.ask("charge", *(charge(f"a{number}") for number in range(30)))
        words = [answer["word"] for answer in answers]
        assert (words.count("PAID"), words.count("LIMITED")) == (10, 20)
        time.ms += 500
        words = [answer["word"] for answer in await client.ask("query", *({"attempt_no": f"a{n}"} for n in range(30)))]
        assert words.count("LIMITED") == 25


GARBAGE = [b"", b"{", b"null", b"{}", b"\xff\xfe", b"[" * 100_000, b'"text"', b"[1e999999]x", b"9" * 5_000]


@pytest.mark.parametrize("operation", ["charge", "query", "close", "refund", "query_refund", "nonsense"])
@pytest.mark.parametrize("body", GARBAGE, ids=lambda body: repr(body[:12]))
async def test_garbage_is_refused(tmp_path: Path, operation: str, body: bytes) -> None:
    async with opened(tmp_path) as world:
        [(reply, _)] = await world.exchange("c1", operation, body, "m1", sign(MERCHANTS["m1"], body))
        assert [(answer["word"], answer["reason"]) for answer in json.loads(reply)] == [("REFUSED", "MALFORMED")]


BAD_FIELDS: list[tuple[str, Any]] = [
    ("attempt_no", ""), ("attempt_no", 5), ("attempt_no", "x" * 129), ("attempt_no", "a\nb"), ("attempt_no", None),
    ("amount_minor", 0), ("amount_minor", -1), ("amount_minor", 1.0), ("amount_minor", "1"), ("amount_minor", True),
    ("amount_minor", 10**12 + 1), ("currency", ""), ("order_no", "\ud800"), ("subject", 5), ("payer_ref", []),
    ("expire_time_ms", -1), ("expire_time_ms", 2**60), ("notify_url", {}),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS)
async def test_malformed_fields_are_refused_beside_good_ones(tmp_path: Path, field: str, value: Any) -> None:
    missing = charge("a1")
    del missing[field]
    async with opened(tmp_path) as world:
        client = Client(world)
        bad: list[Any] = [charge("a1") | {field: value}, missing, [], None, "text", 5]
        answers = await client.ask("charge", *bad, charge("good"))
        assert [(answer["word"], answer["reason"]) for answer in answers[:-1]] == [("REFUSED", "MALFORMED")] * 6
        assert answers[-1]["word"] == "PAID"
        for operation in ("query", "close", "refund", "query_refund"):
            answers = await client.ask(operation, {}, [], None, 5, {"attempt_no": [], "refund_no": {}})
            assert {answer["reason"] for answer in answers} == {"MALFORMED"}


async def test_signatures_and_names_are_checked_first(tmp_path: Path) -> None:
    body = json.dumps([charge("a1"), charge("a2")]).encode()
    good = sign(MERCHANTS["m1"], body)
    async with opened(tmp_path) as world:
        for merchant_no, channel_id, signature, reason in [
            ("m1", "c1", good[::-1], "SIGNATURE_INVALID"),
            ("m1", "c1", "", "SIGNATURE_INVALID"),
            ("m1", "c1", "签名", "SIGNATURE_INVALID"),
            ("m2", "c1", good, "SIGNATURE_INVALID"),
            ("m3", "c1", good, "UNKNOWN_MERCHANT"),
            ("m1", "c9", good, "UNKNOWN_CHANNEL"),
        ]:
            [(reply, _)] = await world.exchange(channel_id, "charge", body, merchant_no, signature)
            expected = [("a1", "REFUSED", reason), ("a2", "REFUSED", reason)]
            assert [(a["number"], a["word"], a["reason"]) for a in json.loads(reply)] == expected
        for arguments in [(["c1"], "charge", "m1"), ("c1", {}, "m1"), ("c1", "charge", [])]:
            named: Any = arguments
            [(reply, _)] = await world.exchange(named[0], named[1], body, named[2], good)
            assert [answer["reason"] for answer in json.loads(reply)] == ["MALFORMED"]
        assert await world.truth("", 0, 10) == []


BAD_COMMANDS: list[tuple[str, dict[str, Any]]] = [
    ("inject", {"channel_id": "c9", "kind": "BLACK_HOLE", "share": 1}),
    ("inject", {"channel_id": "c1", "kind": "NONSENSE", "share": 1}),
    ("inject", {"channel_id": "c1", "share": 1}),
    ("inject", {"channel_id": "c1", "kind": "BLACK_HOLE", "share": 1.1}),
    ("inject", {"channel_id": "c1", "kind": "BLACK_HOLE", "share": -0.1}),
    ("inject", {"channel_id": "c1", "kind": "BLACK_HOLE", "share": float("nan")}),
    ("inject", {"channel_id": "c1", "kind": "BLACK_HOLE", "share": "1"}),
    ("inject", {"channel_id": "c1", "kind": "BLACK_HOLE", "share": 1, "ttl_s": -1}),
    ("inject", {"channel_id": "c1", "kind": "BLACK_HOLE", "share": 1, "targets": "a1"}),
    ("inject", {"channel_id": "c1", "kind": "BLACK_HOLE", "share": 1, "other": 1}),
    ("configure", {"channel_id": "c9"}),
    ("configure", {"success_rate": 1}),
    ("configure", {"channel_id": "c1", "success_rate": 1.5}),
    ("configure", {"channel_id": "c1", "latency_ms_p50": -1}),
    ("configure", {"channel_id": "c1", "latency_ms_p50": 100, "latency_ms_p99": 50}),
    ("configure", {"channel_id": "c1", "asynchronous": 1}),
    ("configure", {"channel_id": "c1", "nonsense": 1}),
    ("configure", {"channel_id": ["c1"]}),
]


@pytest.mark.parametrize(("command", "argument"), BAD_COMMANDS)
async def test_bad_commands_change_nothing(tmp_path: Path, command: str, argument: dict[str, Any]) -> None:
    async with opened(tmp_path) as world:
        before = await world.describe()
        with pytest.raises(BadControl) as caught:
            await getattr(world, command)(argument)
        assert len(caught.value.args) == 1
        assert await world.describe() == before


async def test_bad_steps_seeds_and_pages(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        for step_s in (-1, float("nan"), float("inf"), 1e12, True, "1"):
            with pytest.raises(BadControl):
                await world.advance(step_s)  # type: ignore[arg-type]
        with pytest.raises(BadControl):
            await world.reset(2**64)
        with pytest.raises(BadControl):
            await world.truth("c9", 0, 1)
        with pytest.raises(BadControl):
            await world.truth("", -1, 1)
        with pytest.raises(BadControl):
            await world.collect("c9", 0)


async def test_configure_changes_only_what_it_names(tmp_path: Path) -> None:
    async with opened(tmp_path, Profile("c1", fee_bps=38)) as world:
        profile = await world.configure({"channel_id": "c1", "success_rate": 0.0})
        assert (profile["success_rate"], profile["fee_bps"]) == (0.0, 38)
        answer = await Client(world).charge("a1")
        assert answer is not None
        assert answer["word"] == "PAY_FAILED"


async def test_answers_nobody_collects_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from simulator import outbox

    monkeypatch.setattr(outbox, "ANSWERS_MAX", 10)
    async with opened(tmp_path, Profile("c1", latency_ms_p50=5)) as world:
        client = Client(world)
        for number in range(30):
            await client.charge(f"a{number}")
            await world.advance(1)
        assert [answer["number"] for answer in await client.late()] == [f"a{number}" for number in range(20, 30)]


async def test_a_channel_that_comes_while_it_runs_takes_money_and_is_still_there_after_a_reset(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await Client(world).charge("a1")
        world.meet([Profile("c1", success_rate=0.0), Profile("late")])
        for _ in range(2):
            assert await Client(world, channel_id="late").charge("a1") is not None
            await world.reset(7)
        profiles = {stats["channel_id"] for stats in await world.stats()}
        assert profiles == {"c1", "late"}
