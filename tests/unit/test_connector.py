"""The connector against a channel that does what a test says: patience, refusals, limits, health."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from actors import connector as connector_module
from actors.connector import Connector, Limits
from actors.mailbox import Mailbox
from actors.messages import CallbackHeard, Operation, Task, TenantEvidence
from channels.port import Ability, Answer, Charge, Lookup, RefundLookup, RefundRequest
from domain.credentials import Learned
from domain.evidence import Evidence, Fault, Outcome, Source
from domain.health import ChannelHealth, Health, HealthPolicy, HealthSnapshot

Reply = Callable[[Sequence[Any]], AsyncIterator[list[Answer]]]


class FakeChannel:
    """Answers as `reply` says; keeps what it was asked."""

    abilities = frozenset(Ability)

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.asked: list[tuple[str, list[str]]] = []

    def _take(self, operation: str, requests: Sequence[Any]) -> AsyncIterator[list[Answer]]:
        self.asked.append((operation, [getattr(r, "refund_no", "") or r.attempt_no for r in requests]))
        return self.reply(requests)

    def charge(self, requests: Sequence[Charge]) -> AsyncIterator[list[Answer]]:
        return self._take("charge", requests)

    def query(self, requests: Sequence[Lookup]) -> AsyncIterator[list[Answer]]:
        return self._take("query", requests)

    def close(self, requests: Sequence[Lookup]) -> AsyncIterator[list[Answer]]:
        return self._take("close", requests)

    def refund(self, requests: Sequence[RefundRequest]) -> AsyncIterator[list[Answer]]:
        return self._take("refund", requests)

    def query_refund(self, requests: Sequence[RefundLookup]) -> AsyncIterator[list[Answer]]:
        return self._take("query_refund", requests)

    async def aclose(self) -> None:
        pass


# Long after any test.
NEVER_MS = 4_000_000_000_000


def number_of(request: Any) -> str:
    return getattr(request, "refund_no", "") or request.attempt_no


def done(request: Any) -> Answer:
    return Answer(number_of(request), Outcome.DONE, amount_minor=100, currency_code="CNY", merchant_no="m1")


async def pays(requests: Sequence[Any]) -> AsyncIterator[list[Answer]]:
    yield [done(request) for request in requests]


async def is_silent(requests: Sequence[Any]) -> AsyncIterator[list[Answer]]:
    await asyncio.sleep(60)
    yield []


class Scene:
    """One connector, and everything that it reports."""

    def __init__(self, reply: Reply, limits: Limits | None = None, policy: HealthPolicy | None = None) -> None:
        self.channel = FakeChannel(reply)
        self.heard: list[Evidence] = []
        self.reports: list[list[Evidence]] = []
        self.learnt: list[Learned] = []
        self.words: list[str] = []
        self.storage_fails = 0
        self.published: list[HealthSnapshot] = []
        self.noted: list[HealthSnapshot] = []
        self.router_fails = False
        self.registry = CollectorRegistry()
        self.health = ChannelHealth(policy or HealthPolicy(), now_ms=time.time_ns() // 1_000_000)
        box: Mailbox[TenantEvidence, str] = Mailbox(self._report, depth_max=10_000)
        self.connector = Connector(
            channel_id="c1", channel=self.channel, health=self.health, limits=limits or Limits(timeout_s=0.1),
            report=lambda *_: box, publish=self._keep(self.published), note_change=self._keep(self.noted), keep_certificates=self._learnt,
            tell_of_words=self._told, probe_merchant_no="m1", registry=self.registry,
        )  # fmt: skip

    async def _told(self, words: Sequence[str]) -> None:
        if self.storage_fails:
            self.storage_fails -= 1
            raise ConnectionError("no database")
        self.words += words

    async def _learnt(self, learned: Sequence[Learned]) -> None:
        if self.storage_fails:
            self.storage_fails -= 1
            raise ConnectionError("no database")
        self.learnt += learned

    @staticmethod
    def _keep(into: list[HealthSnapshot]) -> Callable[[HealthSnapshot], Awaitable[None]]:
        async def keep(snapshot: HealthSnapshot) -> None:
            into.append(snapshot)

        return keep

    async def _report(self, batch: list[TenantEvidence]) -> list[str]:
        if self.router_fails:
            raise ConnectionError("no router")
        self.reports.append([item.evidence for item in batch])
        self.heard += self.reports[-1]
        return ["APPLIED"] * len(batch)

    async def ask(self, operation: Operation, *numbers: str) -> None:
        await self.connector.dispatch([task(operation, number) for number in numbers])

    async def hears(self, count: int, within_s: float = 20.0) -> list[Evidence]:
        """Wait until so much was reported, then a moment longer to see that it is not more."""
        end_s = time.monotonic() + within_s
        while len(self.heard) < count and time.monotonic() < end_s:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)
        assert len(self.heard) == count
        return self.heard

    async def idle(self) -> dict[str, Any]:
        return await self.connector.ping()


def task(operation: Operation, number: str, expire_ms: int = NEVER_MS) -> Task:
    requests: dict[Operation, Any] = {
        Operation.CHARGE: Charge(number, "m1", 100, "CNY", "order", "车险", "payer", expire_ms, ""),
        Operation.REFUND: RefundRequest(f"R{number}", number, "m1", 100, "CNY"),
        Operation.QUERY_REFUND: RefundLookup(f"R{number}", number, "m1"),
    }
    return Task(operation, "pnc", requests.get(operation, Lookup(number, "m1")))


@pytest.mark.parametrize("operation", list(Operation))
async def test_every_operation_reaches_its_method_and_its_answer_the_router(operation: Operation) -> None:
    scene = Scene(pays)
    await scene.ask(operation, "n1", "n2")
    heard = await scene.hears(2)
    is_refund = operation in (Operation.REFUND, Operation.QUERY_REFUND)
    assert scene.channel.asked == [(operation, ["Rn1", "Rn2"] if is_refund else ["n1", "n2"])]
    assert [item.attempt_no for item in heard] == ["n1", "n2"]
    assert [item.refund_no for item in heard] == (["Rn1", "Rn2"] if is_refund else ["", ""])
    asks = operation in (Operation.CHARGE, Operation.REFUND)
    assert {item.source for item in heard} == {Source.SYNC_REPLY if asks else Source.QUERY}


async def test_silence_is_maybe_when_patience_ends_and_not_before() -> None:
    scene = Scene(is_silent)
    begin_s = time.monotonic()
    await scene.ask(Operation.CHARGE, "n1")
    (said,) = await scene.hears(1)
    assert time.monotonic() - begin_s >= 0.1
    assert (said.outcome, said.reason, said.fault) == (Outcome.MAYBE, "TIMEOUT", Fault.CHANNEL)
    assert (await scene.idle())["in_flight"] == 0


async def test_a_slow_payment_does_not_hold_its_batch() -> None:
    async def one_is_slow(requests: Sequence[Any]) -> AsyncIterator[list[Answer]]:
        yield [done(requests[0])]
        await asyncio.sleep(60)

    scene = Scene(one_is_slow, Limits(timeout_s=0.3))
    await scene.ask(Operation.CHARGE, "fast", "slow")
    heard = await scene.hears(2)
    assert [(said.attempt_no, said.outcome) for said in heard] == [("fast", Outcome.DONE), ("slow", Outcome.MAYBE)]
    assert [len(report) for report in scene.reports] == [1, 1]


async def test_f14_answers_after_our_patience_are_not_reported() -> None:
    """A process that stood still finds both: patience gone, and the answer there. Whoever is first counts, once."""

    async def answers_late(requests: Sequence[Any]) -> AsyncIterator[list[Answer]]:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            yield [done(request) for request in requests]

    scene = Scene(answers_late)
    await scene.ask(Operation.CHARGE, "n1")
    (said,) = await scene.hears(1)
    assert said.outcome in (Outcome.MAYBE, Outcome.DONE)


async def test_f14_a_loop_that_stood_still_reports_once() -> None:
    scene = Scene(pays_after(0.02))
    await scene.ask(Operation.CHARGE, "n1")
    await asyncio.sleep(0)
    time.sleep(0.3)  # noqa: ASYNC251 - standing still is what is tested
    (said,) = await scene.hears(1)
    assert said.outcome in (Outcome.MAYBE, Outcome.DONE)


def pays_after(wait_s: float) -> Reply:
    async def reply(requests: Sequence[Any]) -> AsyncIterator[list[Answer]]:
        await asyncio.sleep(wait_s)
        yield [done(request) for request in requests]

    return reply


async def test_an_answer_tells_of_the_moment_when_it_was_asked_for() -> None:
    asked_ms = 0

    async def looks_at_the_clock(requests: Sequence[Any]) -> AsyncIterator[list[Answer]]:
        nonlocal asked_ms
        asked_ms = time.time_ns() // 1_000_000
        await asyncio.sleep(0.05)
        yield [done(request) for request in requests]

    scene, before_ms = Scene(looks_at_the_clock), time.time_ns() // 1_000_000
    await scene.ask(Operation.QUERY, "n1")
    (said,) = await scene.hears(1)
    assert before_ms <= said.time_ms <= asked_ms


async def test_an_answer_is_reported_once_however_often_it_comes() -> None:
    async def stutters(requests: Sequence[Any]) -> AsyncIterator[list[Answer]]:
        yield [done(requests[0]), done(requests[0])]
        yield [done(requests[0]), Answer("nobody", Outcome.DONE)]
        yield [done(requests[1])]

    scene = Scene(stutters)
    await scene.ask(Operation.CHARGE, "n1", "n2")
    heard = await scene.hears(2)
    assert [said.attempt_no for said in heard] == ["n1", "n2"]
    assert (await scene.idle())["in_flight"] == 0


async def test_a_number_that_is_there_twice_is_sent_once_and_leaves_no_trace() -> None:
    scene = Scene(pays)
    await scene.ask(Operation.CHARGE, "n1", "n1", "n2")
    await scene.hears(2)
    assert scene.channel.asked == [("charge", ["n1", "n2"])]
    assert (await scene.idle())["in_flight"] == 0


@pytest.mark.parametrize("operation", [Operation.CHARGE, Operation.QUERY])
async def test_a_channel_that_raises_or_forgets_is_silent(operation: Operation) -> None:
    async def breaks(requests: Sequence[Any]) -> AsyncIterator[list[Answer]]:
        yield [done(requests[0])]
        raise KeyError("their bug")

    async def forgets(requests: Sequence[Any]) -> AsyncIterator[list[Answer]]:
        yield [done(requests[0])]

    for reply in (breaks, forgets):
        scene = Scene(reply)
        await scene.ask(operation, "n1", "n2")
        heard = await scene.hears(2)
        assert [said.outcome for said in heard] == [Outcome.DONE, Outcome.MAYBE]
        assert (await scene.idle())["in_flight"] == 0


async def test_f35_a_refused_connection_is_not_sent_for_a_charge_and_nothing_for_a_question() -> None:
    async def refused(requests: Sequence[Any]) -> AsyncIterator[list[Answer]]:
        yield [Answer(number_of(r), Outcome.NOT_SENT, "CONNECTION_REFUSED", Fault.CHANNEL) for r in requests]

    scene = Scene(refused)
    await scene.ask(Operation.CHARGE, "n1")
    await scene.hears(1)
    await scene.ask(Operation.CLOSE, "n1")
    heard = await scene.hears(2)
    assert [said.outcome for said in heard] == [Outcome.NOT_SENT, Outcome.MAYBE]


async def test_no_more_charges_are_under_way_than_the_contract_allows() -> None:
    under_way, most = 0, 0

    async def counts(requests: Sequence[Any]) -> AsyncIterator[list[Answer]]:
        nonlocal under_way, most
        under_way += len(requests)
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= len(requests)
        yield [done(request) for request in requests]

    scene = Scene(counts, Limits(timeout_s=1, concurrency=7))
    await scene.ask(Operation.CHARGE, *[f"n{index}" for index in range(50)])
    await scene.hears(50)
    assert most == 7


async def test_the_rate_of_the_contract_is_kept() -> None:
    scene = Scene(pays, Limits(timeout_s=1, rate_per_s=100))
    begin_s = time.monotonic()
    for index in range(15):
        await scene.ask(Operation.CHARGE, *[f"n{index}-{place}" for place in range(10)])
    await scene.hears(150, within_s=10)
    assert 0.4 < time.monotonic() - begin_s < 2.0, "a second's worth at once, then 100 a second"


async def test_waiting_for_the_rate_costs_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(pays, Limits(timeout_s=1, rate_per_s=1, queue_max=10_000))
    pumps = 0
    pump = scene.connector._pump

    def counted() -> None:
        nonlocal pumps
        pumps += 1
        pump()

    monkeypatch.setattr(scene.connector, "_pump", counted)
    for index in range(100):
        await scene.ask(Operation.CHARGE, f"n{index}")
    asked = pumps
    await asyncio.sleep(0.2)
    assert pumps - asked <= 0.2 / connector_module.PUMP_S + 2


async def test_what_does_not_fit_is_refused_at_once_and_is_provably_not_sent() -> None:
    scene = Scene(is_silent, Limits(timeout_s=5, concurrency=2, queue_max=3))
    await scene.ask(Operation.CHARGE, *[f"n{index}" for index in range(10)])
    heard = await scene.hears(7)
    assert {(said.outcome, said.reason, said.fault) for said in heard} == {(Outcome.NOT_SENT, "HELD_BACK", Fault.LOCAL)}
    sent = {number for _, numbers in scene.channel.asked for number in numbers}
    assert sent.isdisjoint(said.attempt_no for said in heard)


async def test_what_has_waited_until_its_order_expired_never_leaves() -> None:
    scene = Scene(pays, Limits(timeout_s=1, rate_per_s=1))
    soon_ms = time.time_ns() // 1_000_000 + 300
    await scene.connector.dispatch([task(Operation.CHARGE, "first"), task(Operation.CHARGE, "late", soon_ms)])
    assert {said.attempt_no: said.outcome for said in await scene.hears(1)} == {"first": Outcome.DONE}
    (_, late) = await scene.hears(2)
    assert (late.attempt_no, late.outcome, late.reason, late.fault) == ("late", Outcome.NOT_SENT, "EXPIRED", Fault.LOCAL)
    assert scene.channel.asked == [("charge", ["first"])]


async def test_a_probe_that_has_expired_makes_room_for_another() -> None:
    scene = Scene(pays)
    scene.health.try_out("a window has ended", time.time_ns() // 1_000_000)
    await scene.connector.dispatch([task(Operation.CHARGE, f"late{index}", 1) for index in range(HealthPolicy().probes_first)])
    await scene.hears(HealthPolicy().probes_first)
    await scene.ask(Operation.CHARGE, "in time")
    assert (await scene.hears(HealthPolicy().probes_first + 1))[-1].outcome is Outcome.DONE


async def test_an_open_breaker_holds_charges_back_and_lets_questions_through() -> None:
    scene = Scene(pays)
    await scene.connector.force("FORCED_OPEN", 0, "operator")
    await scene.ask(Operation.CHARGE, "n1")
    await scene.ask(Operation.QUERY, "n2")
    heard = {said.attempt_no: said.outcome for said in await scene.hears(2)}
    assert heard == {"n1": Outcome.NOT_SENT, "n2": Outcome.DONE}
    assert scene.channel.asked == [("query", ["n2"])]


async def test_silence_opens_the_breaker_and_says_so() -> None:
    scene = Scene(is_silent, Limits(timeout_s=0.05), HealthPolicy(doubt_span_ms=50))
    await scene.connector.start()
    for index in range(30):
        await scene.ask(Operation.CHARGE, f"n{index}")
        await asyncio.sleep(0.05)
        if any(snapshot.state is Health.OPEN for snapshot in scene.published):
            break
    assert any(snapshot.state is Health.OPEN for snapshot in scene.published)
    assert any(snapshot.state is Health.OPEN for snapshot in scene.noted)


async def test_f20_a_loop_that_stood_still_blames_no_channel() -> None:
    scene = Scene(is_silent)
    await scene.connector.start()
    await scene.ask(Operation.CHARGE, *(f"n{number}" for number in range(40)))
    await asyncio.sleep(0.01)
    time.sleep(1.0)  # noqa: ASYNC251 - the whole process stands still
    assert [item.outcome for item in await scene.hears(40)] == [Outcome.MAYBE] * 40
    await asyncio.sleep(0.6)
    assert (await scene.connector.snapshot()).state is Health.HEALTHY and not scene.noted


async def test_payers_without_funds_never_open_the_breaker() -> None:
    async def declines(requests: Sequence[Any]) -> AsyncIterator[list[Answer]]:
        yield [Answer(number_of(r), Outcome.REJECTED, "NO_FUNDS", Fault.PAYER) for r in requests]

    scene = Scene(declines)
    await scene.connector.start()
    await scene.ask(Operation.CHARGE, *[f"n{index}" for index in range(200)])
    await scene.hears(200)
    await asyncio.sleep(0.6)
    assert (await scene.connector.snapshot()).state is Health.HEALTHY


async def test_health_is_published_once_a_second_whether_anything_is_asked_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector_module, "PUBLISH_S", 0.1)
    monkeypatch.setattr(connector_module, "TICK_S", 0.05)
    scene = Scene(pays)
    await scene.connector.start()
    await asyncio.sleep(0.5)
    assert 4 <= len(scene.published) <= 8
    await scene.ask(Operation.CHARGE, "n1")
    await asyncio.sleep(0.5)
    assert 8 <= len(scene.published) <= 16


async def test_a_quiet_channel_that_dies_is_noticed_as_soon_as_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector_module, "PUBLISH_S", 60.0)  # the beat of a quiet one
    scene = Scene(is_silent)
    await scene.connector.start()
    await asyncio.sleep(0.1)
    for number in range(30):
        await scene.ask(Operation.CHARGE, f"n{number}")
        await asyncio.sleep(0.02)
    async with asyncio.timeout(2.0):
        while not any(snapshot.state is Health.OPEN for snapshot in scene.published):
            await asyncio.sleep(0.02)


async def test_a_bad_signature_is_maybe_and_counted_as_a_security_matter() -> None:
    async def forged(requests: Sequence[Any]) -> AsyncIterator[list[Answer]]:
        yield [Answer(number_of(r), Outcome.MAYBE, "SIGNATURE_INVALID", Fault.CHANNEL) for r in requests]

    scene = Scene(forged)
    await scene.ask(Operation.CHARGE, "n1")
    (said,) = await scene.hears(1)
    assert said.outcome is Outcome.MAYBE
    assert scene.registry.get_sample_value("security_rejects_total", {"reason": "SIGNATURE_INVALID"}) == 1


async def test_a_lost_router_stops_nothing() -> None:
    scene = Scene(pays)
    scene.router_fails = True
    await scene.ask(Operation.CHARGE, "n1")
    await asyncio.sleep(0.05)
    scene.router_fails = False
    await scene.ask(Operation.CHARGE, "n2")
    (said,) = await scene.hears(1)
    assert said.attempt_no == "n2"
    assert (await scene.idle())["in_flight"] == 0


async def test_dispatch_answers_before_the_channel_does() -> None:
    scene = Scene(is_silent, Limits(timeout_s=60))
    await asyncio.wait_for(scene.ask(Operation.CHARGE, "n1"), 10)
    assert (scene.heard, (await scene.idle())["in_flight"]) == ([], 1)


class LearningChannel(FakeChannel):
    """The other side offers a certificate after some questions."""

    def __init__(self) -> None:
        super().__init__(pays)
        self.offers: list[Learned] = []
        self.questions = 0

    async def learn(self) -> None:
        self.questions += 1

    def take_learned(self) -> list[Learned]:
        taken, self.offers = self.offers, []
        return taken


async def test_what_a_channel_learns_is_kept_even_when_storage_is_away_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector_module, "LEARN_TICK_S", 0.01)
    scene = Scene(pays)
    channel = LearningChannel()
    await scene.connector.speak_through(channel)
    scene.storage_fails = 2
    await scene.connector.start()
    channel.offers = [Learned("m1", "platform_certs", "a new certificate")]
    while not scene.learnt:
        await asyncio.sleep(0.005)
    assert (scene.storage_fails, channel.questions) == (0, 1), "it is asked at the start, and then twice a day"
    await scene.connector.look_for_certificates()
    await asyncio.sleep(0.1)
    assert (len(scene.learnt), channel.questions) == (1, 2)


async def test_a_word_of_no_manual_is_counted_and_people_are_told_of_it_once_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    said, now_ms = ["PURPLE"], time.time_ns() // 1_000_000

    async def purple(requests: Sequence[Any]) -> AsyncIterator[list[Answer]]:
        unknown = Answer("", Outcome.MAYBE, "UNKNOWN_WORD", Fault.CHANNEL)
        yield [unknown._replace(number=number_of(request), word=said[-1] or number_of(request)) for request in requests]

    async def told(*words: str) -> None:
        await scene.ask(Operation.QUERY, f"n{len(said)}", f"m{len(said)}")
        await scene.hears(len(scene.heard) + 2)
        await told_of(*words)

    async def told_of(*words: str) -> None:
        async with asyncio.timeout(2):
            while len(scene.words) < len(words):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.03)
        assert scene.words == list(words)

    monkeypatch.setattr(connector_module, "LEARN_TICK_S", 0.01)
    scene = Scene(purple)
    monkeypatch.setattr(scene.connector, "_clock_ms", lambda: now_ms)
    scene.storage_fails = 2
    await scene.connector.start()
    await told("PURPLE")
    assert scene.registry.get_sample_value("channel_unknown_words_total", {"channel": "c1"}) == 2
    said += ["RED\x00" * 40]
    await told("PURPLE", ("RED?" * 40)[:64])
    scene.words.clear()
    await told()
    now_ms += 86_400_000
    await told(("RED?" * 40)[:64])
    await scene.connector.hear_callbacks([CallbackHeard(word="GREEN"), CallbackHeard(120), CallbackHeard(word="GREEN")])
    await told_of(("RED?" * 40)[:64], "GREEN")
    said += [""]
    await scene.ask(Operation.QUERY, *(f"word{number}" for number in range(30)))
    await scene.hears(len(scene.heard) + 30)
    await asyncio.sleep(0.03)
    assert len(scene.words) == connector_module.WORDS_MAX
