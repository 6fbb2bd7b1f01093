"""The sandbox channel's own words: the mapping is total over what the simulator can say, and nothing is guessed."""

import asyncio
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from channels.port import Answer, CallbackRefused, Charge, Lookup
from channels.sandbox import mapping, messages, signing
from channels.sandbox.client import CALLBACK_WINDOW_S, SandboxCallbacks, SandboxChannel
from channels.sandbox.config import SandboxConfig
from domain.evidence import Fault, Outcome, Source
from simulator.words import Reason, Word
from tests.samples import NOW_MS

CONFIG = SandboxConfig("c1", {"m1": ("secret-one",), "m2": ("secret-two",)})
MOVES = pytest.mark.parametrize("moves_money", [True, False], ids=["request", "question"])


def item(word: object, **changes: object) -> dict[str, object]:
    said = {"number": "n1", "word": word, "reason": "", "amount_minor": 100, "currency": "CNY", "merchant_no": "m1",
            "channel_txn_no": "T1", "success_time_ms": 1, "qr": ""}  # fmt: skip
    return {**said, **changes}


class TestMapping:
    def test_every_word_of_the_simulator_is_known(self) -> None:
        assert set(Word) == mapping.WORDS

    @MOVES
    @pytest.mark.parametrize("word", list(Word))
    def test_a_known_word_is_never_called_unknown(self, word: Word, moves_money: bool) -> None:
        assert mapping.answer_of(item(word), moves_money=moves_money).reason != "UNKNOWN_WORD"

    @MOVES
    @pytest.mark.parametrize("word", ["", "SUCCESS", "paid", None, 7, ["PAID"], {"PAID": 1}])
    def test_an_unknown_word_may_mean_anything(self, word: object, moves_money: bool) -> None:
        answer = mapping.answer_of(item(word), moves_money=moves_money)
        assert answer == Answer("n1", Outcome.MAYBE, "UNKNOWN_WORD", Fault.CHANNEL)

    @given(st.text())
    def test_only_one_word_is_money(self, word: str) -> None:
        answer = mapping.answer_of(item(word), moves_money=True)
        assert (answer.outcome is Outcome.DONE) == (word == Word.PAID)

    def test_a_refund_is_done_by_a_question_alone(self) -> None:
        assert mapping.answer_of(item(Word.REFUND_PAID), moves_money=True).outcome is Outcome.ACCEPTED
        assert mapping.answer_of(item(Word.REFUND_PAID), moves_money=False).outcome is Outcome.DONE

    @pytest.mark.parametrize("word", list(Word))
    def test_a_number_that_is_taken_means_that_an_earlier_send_arrived(self, word: Word) -> None:
        answer = mapping.answer_of(item(word, reason=Reason.NUMBER_REUSED), moves_money=True)
        assert answer.outcome is Outcome.MAYBE

    @pytest.mark.parametrize("word", [Word.MAINTENANCE, Word.REFUSED, Word.LIMITED, Word.BUSY])
    def test_a_refused_question_says_nothing_about_the_money(self, word: Word) -> None:
        assert mapping.answer_of(item(word), moves_money=False).outcome is Outcome.MAYBE

    def test_only_a_refused_connection_proves_that_nothing_was_sent(self) -> None:
        outcomes = {word: mapping.transport_answer({"number": "n1", "transport": word}).outcome
                    for word in ("REFUSED", "RESET", "", None)}  # fmt: skip
        assert outcomes == {"REFUSED": Outcome.NOT_SENT, "RESET": Outcome.MAYBE, "": Outcome.MAYBE, None: Outcome.MAYBE}


class Wire:
    """A transport that holds answers back until told: `say` puts one into the late answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []
        self.late: asyncio.Queue[tuple[bytes, str]] = asyncio.Queue()
        self.at_once: list[tuple[bytes, str]] = []

    async def exchange(
        self, channel_id: str, operation: str, body: bytes, merchant_no: str, signature: str
    ) -> list[tuple[bytes, str]]:
        self.asked.append((operation, [entry["attempt_no"] for entry in json.loads(body)]))
        ready, self.at_once = self.at_once, []
        return ready

    async def collect(self, channel_id: str, wait_s: float) -> list[tuple[bytes, str]]:
        return [await self.late.get()]

    def say(self, *items: dict[str, object], secret: str = "secret-one") -> None:
        self.late.put_nowait(sealed(*items, secret=secret))


def sealed(*items: dict[str, object], secret: str = "secret-one") -> tuple[bytes, str]:
    body = json.dumps(items).encode()
    return body, signing.sign(secret, body)


def charge(number: str) -> Charge:
    return Charge(number, "m1", 100, "CNY", "order-1", "车险", "payer", NOW_MS + 900_000, "")


async def first(channel: SandboxChannel, operation: str, request: Charge | Lookup) -> Answer:
    async for answers in getattr(channel, operation)([request]):
        return answers[0]  # type: ignore[no-any-return]
    raise AssertionError("no answer")


class TestWhoseAnswerItIs:
    async def test_an_answer_that_came_at_once_belongs_to_who_asked(self) -> None:
        wire = Wire()
        channel = SandboxChannel(CONFIG, wire)
        paying = asyncio.create_task(first(channel, "charge", charge("n1")))
        await asyncio.sleep(0.01)
        wire.at_once = [sealed(item(Word.NO_SUCH_TRADE))]
        assert (await first(channel, "query", Lookup("n1", "m1"))).outcome is Outcome.NOT_FOUND
        assert not paying.done(), "the charge still waits for its own answer"
        wire.say(item(Word.PAID))
        assert (await paying).outcome is Outcome.DONE
        await channel.aclose()

    async def test_a_late_no_to_the_question_is_no_no_to_the_charge(self) -> None:
        wire = Wire()
        channel = SandboxChannel(CONFIG, wire)
        paying = asyncio.create_task(first(channel, "charge", charge("n1")))
        closing = asyncio.create_task(first(channel, "close", Lookup("n1", "m1")))
        await asyncio.sleep(0.01)
        wire.say(item(Word.MAINTENANCE))
        assert (await paying).outcome is Outcome.MAYBE
        assert (await closing).outcome is Outcome.MAYBE
        await channel.aclose()

    async def test_nobody_hears_an_answer_to_a_number_that_was_not_asked(self) -> None:
        wire = Wire()
        channel = SandboxChannel(CONFIG, wire)
        paying = asyncio.create_task(first(channel, "charge", charge("n1")))
        await asyncio.sleep(0.01)
        wire.say(item(Word.PAID, number="n2"))
        wire.say(item(Word.PAY_FAILED))
        assert (await paying).outcome is Outcome.REJECTED
        await channel.aclose()

    @pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'[{"number":1}]', b"\xff", b"[" * 100_000])
    async def test_a_garbled_envelope_is_logged_and_skipped(self, body: bytes) -> None:
        wire = Wire()
        channel = SandboxChannel(CONFIG, wire)
        wire.at_once = [(body, signing.sign("secret-one", body)), sealed(item(Word.PAID))]
        with capture_logs() as logs:
            assert (await first(channel, "charge", charge("n1"))).outcome is Outcome.DONE
        assert [entry["event"] for entry in logs] == ["answer_malformed"]
        await channel.aclose()

    async def test_a_merchant_without_a_secret_is_our_own_mistake_and_nothing_is_sent(self) -> None:
        wire = Wire()
        channel = SandboxChannel(CONFIG, wire)
        answer = await first(channel, "charge", charge("n1")._replace(merchant_no="m9"))
        assert (answer.outcome, answer.fault) == (Outcome.NOT_SENT, Fault.CONFIG)
        assert wire.asked == []

    async def test_who_stops_listening_leaves_nothing_behind(self) -> None:
        channel = SandboxChannel(CONFIG, Wire())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await first(channel, "charge", charge("n1"))
        assert channel._calls == {}
        await channel.aclose()


def callback(*, time_ms: int = NOW_MS, **changes: object) -> tuple[dict[str, str], bytes]:
    said = {"notify_id": "N1", "merchant_no": "m1", "attempt_no": "n1", "word": "PAID", "amount_minor": 100,
            "currency": "CNY", "channel_txn_no": "T1", "success_time_ms": 5, **changes}  # fmt: skip
    return signed(json.dumps(said).encode(), time_ms=time_ms)


def signed(
    body: bytes, *, secret: str = "secret-one", merchant: str = "m1", time_ms: int = NOW_MS
) -> tuple[dict[str, str], bytes]:
    timestamp = str(time_ms // 1000)
    headers = {"sandbox-merchant": merchant, "sandbox-timestamp": timestamp, "sandbox-nonce": "x",
               "sandbox-signature": signing.sign(secret, f"{timestamp}.x.".encode() + body)}  # fmt: skip
    return headers, body


def refusal_of(headers: dict[str, str], body: bytes) -> str:
    with pytest.raises(CallbackRefused) as refused:
        SandboxCallbacks(CONFIG).read(headers=headers, body=body, now_ms=NOW_MS)
    return refused.value.reason


class TestCallbacks:
    def test_a_verified_callback_is_evidence(self) -> None:
        headers, body = callback()
        notice = SandboxCallbacks(CONFIG).read(headers=headers, body=body, now_ms=NOW_MS)
        said = notice.evidence
        assert notice.notify_id == "N1"
        assert (said.source, said.outcome, said.amount_minor, said.currency_code, said.merchant_no, said.time_ms) == (
            Source.CALLBACK, Outcome.DONE, 100, "CNY", "m1", NOW_MS,
        )  # fmt: skip

    @pytest.mark.parametrize(
        "change",
        [
            {"sandbox-signature": ""},
            {"sandbox-signature": "0" * 64},
            {"sandbox-signature": "café"},
            {"sandbox-signature": "\ud800"},
            {"sandbox-merchant": ""},
            {"sandbox-merchant": "m2"},
            {"sandbox-merchant": "m9"},
            {"sandbox-nonce": "y"},
            {"sandbox-timestamp": str(NOW_MS // 1000 + 1)},
        ],
        ids=str,
    )
    def test_any_change_of_what_is_signed_breaks_the_signature(self, change: dict[str, str]) -> None:
        headers, body = callback()
        assert refusal_of({**headers, **change}, body) == "SIGNATURE_INVALID"
        assert refusal_of(headers, body + b" ") == "SIGNATURE_INVALID"
        assert refusal_of({}, body) == "SIGNATURE_INVALID"

    def test_one_merchant_cannot_speak_for_another(self) -> None:
        _, body = callback()
        forged = signed(body, secret="secret-two", merchant="m2")
        assert refusal_of(*forged) == "SIGNATURE_INVALID"

    @pytest.mark.parametrize("sign", [-1, 1])
    def test_an_old_or_future_one_is_stale(self, sign: int) -> None:
        edge_ms = CALLBACK_WINDOW_S * 1000
        assert refusal_of(*callback(time_ms=NOW_MS + sign * (edge_ms + 1000))) == "STALE_TIMESTAMP"
        headers, body = callback(time_ms=NOW_MS + sign * edge_ms)
        assert SandboxCallbacks(CONFIG).read(headers=headers, body=body, now_ms=NOW_MS).notify_id == "N1"

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"null", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"notify_id":1}'], ids=lambda b: repr(b[:9])
    )
    def test_signed_garbage_is_malformed(self, body: bytes) -> None:
        assert refusal_of(*signed(body)) == "MALFORMED"

    @pytest.mark.parametrize("field", ["notify_id", "merchant_no", "attempt_no", "word", "amount_minor", "currency"])
    @pytest.mark.parametrize("value", [None, True, 1.5, [], {}])
    def test_every_field_that_we_need_has_its_type(self, field: str, value: object) -> None:
        headers, body = callback(**{field: value})
        assert refusal_of(headers, body) == "MALFORMED"

    @pytest.mark.parametrize("word", ["MAINTENANCE", "REFUSED", "NEVER_HEARD", "BUSY"])
    def test_a_callback_that_makes_no_sense_proves_nothing(self, word: str) -> None:
        headers, body = callback(word=word)
        said = SandboxCallbacks(CONFIG).read(headers=headers, body=body, now_ms=NOW_MS).evidence
        assert said.outcome is Outcome.MAYBE

    @given(st.binary(max_size=200), st.dictionaries(st.sampled_from(
        ["sandbox-merchant", "sandbox-timestamp", "sandbox-nonce", "sandbox-signature"]), st.text(max_size=30)))  # fmt: skip
    def test_no_noise_is_ever_a_notice(self, body: bytes, headers: dict[str, str]) -> None:
        assert refusal_of(headers, body) == "SIGNATURE_INVALID"


@given(st.text(min_size=1), st.binary(max_size=100))
def test_a_signature_is_for_one_secret_and_one_body(secret: str, body: bytes) -> None:
    signature = signing.sign("s" + secret.encode("utf-8", "ignore").decode(), body)
    assert signing.verify("s" + secret.encode("utf-8", "ignore").decode(), body, signature)
    assert not signing.verify("other", body, signature)
    assert not signing.verify("s" + secret.encode("utf-8", "ignore").decode(), body + b"x", signature)


def test_what_is_written_is_what_the_simulator_reads() -> None:
    from simulator.codec import read_charge, read_items

    written: Sequence[object] = read_items(messages.charges([charge("n1")]))
    read = read_charge(written[0])
    assert read is not None
    assert (read.attempt_no, read.amount_minor, read.currency, read.subject) == ("n1", 100, "CNY", "车险")
