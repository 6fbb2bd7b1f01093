"""What Paydesk relies on in any channel. One suite for all: a channel that passes can be put into service.

`docs/adding-a-channel.md` tells how a new channel gets its bench.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from channels.port import (
    Ability,
    Answer,
    CallbackRefused,
    Charge,
    Lookup,
    RefundLookup,
    RefundRequest,
)
from channels.registry import KINDS, needs_of
from domain.evidence import Fault, Outcome, Source
from tests.contract.benches import (
    BENCHES,
    MERCHANT,
    OTHER,
    SECRETS,
    STRANGER,
    Bench,
    Money,
    ask,
    now_ms,
    number,
    silence,
)

AMOUNT_MINOR = 10_000
DECLINED_MINOR = 10_051
STALE_MS = 3_600_000


def charge(name: str = "n1", **changes: Any) -> Charge:
    usual = Charge(
        number(name), MERCHANT, AMOUNT_MINOR, "CNY", f"order-{name}", "车险保费", "payer", now_ms() + 900_000,
        "http://127.0.0.1:9/callbacks",
    )  # fmt: skip
    return usual._replace(**changes)


def lookup(name: str = "n1", merchant_no: str = MERCHANT) -> Lookup:
    return Lookup(number(name), merchant_no)


def refund(name: str = "r1", amount_minor: int = AMOUNT_MINOR, **changes: Any) -> RefundRequest:
    return RefundRequest(number(name), number("n1"), MERCHANT, amount_minor, "CNY")._replace(**changes)


def refund_lookup(name: str = "r1") -> RefundLookup:
    return RefundLookup(number(name), number("n1"), MERCHANT)


async def one(bench: Bench, operation: str, request: Any) -> Answer:
    if operation.upper() not in bench.channel.abilities:
        pytest.skip(f"it does not say that it can {operation}")
    (answer,) = (await ask(bench, operation, [request])).values()
    return answer


async def settled(bench: Bench, requests: Sequence[Charge]) -> dict[str, Answer]:
    """Charge, and let the payers of what was only accepted act: then a question tells the end."""
    answers = await ask(bench, "charge", requests)
    waiting = [request for request in requests if answers[request.attempt_no].outcome is Outcome.ACCEPTED]
    if waiting:
        await bench.pay()
        answers |= await ask(bench, "query", [Lookup(request.attempt_no, request.merchant_no) for request in waiting])
    return answers


async def charged(bench: Bench, request: Charge) -> Answer:
    (answer,) = (await settled(bench, [request])).values()
    return answer


async def paid(bench: Bench, name: str = "n1") -> None:
    assert (await charged(bench, charge(name))).outcome is Outcome.DONE


@pytest_asyncio.fixture(params=sorted(BENCHES))
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with BENCHES[request.param](tmp_path) as opened:
        yield opened


class TestChannelContract:
    # --- money moves once -------------------------------------------------------------------------------------------

    async def test_a_charge_says_what_it_moved_in_the_channels_own_words(self, bench: Bench) -> None:
        answer = await charged(bench, charge())
        said = (answer.outcome, answer.amount_minor, answer.currency_code, answer.merchant_no)
        assert said == (Outcome.DONE, AMOUNT_MINOR, "CNY", MERCHANT)
        assert answer.channel_txn_no
        assert await bench.money("n1") == Money(AMOUNT_MINOR, 1, 0)

    async def test_the_same_number_charges_once(self, bench: Bench) -> None:
        await paid(bench)
        assert (await charged(bench, charge())).outcome is Outcome.DONE
        both = await asyncio.gather(charged(bench, charge("n2")), charged(bench, charge("n2")))
        assert {answer.outcome for answer in both} == {Outcome.DONE}
        assert await bench.money("n1") == Money(AMOUNT_MINOR, 1, 0)
        assert await bench.money("n2") == Money(AMOUNT_MINOR, 1, 0)

    async def test_a_question_moves_nothing(self, bench: Bench) -> None:
        assert (await one(bench, "query", lookup())).outcome is Outcome.NOT_FOUND
        assert await bench.money("n1") == Money(0, 0, 0)

    async def test_a_declined_payer_is_a_definite_no_and_no_fault_of_the_channel(self, bench: Bench) -> None:
        await bench.fault("NO_MONEY")
        answer = await charged(bench, charge())
        # A payer who may try again has not said no.
        no = (Outcome.ACCEPTED, Fault.NONE) if bench.payers_begin else (Outcome.REJECTED, Fault.PAYER)
        assert (answer.outcome, answer.fault) == no
        assert await bench.money("n1") == Money(0, 0, 0)

    # --- silence and nonsense ---------------------------------------------------------------------------------------

    @pytest.mark.parametrize(("fault", "truth"), [("SILENT_AFTER", Outcome.DONE), ("SILENT_BEFORE", Outcome.NOT_FOUND)])
    async def test_silence_then_query_tells_the_truth(self, bench: Bench, fault: str, truth: Outcome) -> None:
        await bench.fault(fault)
        assert (await one(bench, "charge", charge())).outcome is Outcome.MAYBE
        await bench.fault("")
        await bench.pay()
        assert (await one(bench, "query", lookup())).outcome is truth
        assert (await bench.money("n1")).charges == (1 if truth is Outcome.DONE else 0)

    @pytest.mark.parametrize(("fault", "charges"), [("LOST_AFTER", 1), ("LOST_BEFORE", 0)])
    async def test_a_lost_connection_may_have_moved_money(self, bench: Bench, fault: str, charges: int) -> None:
        await bench.fault(fault)
        answer = await one(bench, "charge", charge())
        assert (answer.outcome, answer.fault) == (Outcome.MAYBE, Fault.CHANNEL)
        await bench.fault("")
        await bench.pay()
        assert (await bench.money("n1")).charges == charges

    async def test_a_refused_connection_proves_that_nothing_was_sent(self, bench: Bench) -> None:
        await bench.fault("REFUSED")
        answer = await one(bench, "charge", charge())
        assert (answer.outcome, answer.fault) == (Outcome.NOT_SENT, Fault.CHANNEL)
        assert await bench.money("n1") == Money(0, 0, 0)

    async def test_a_merchant_without_a_key_is_our_own_fault_and_nothing_is_sent(self, bench: Bench) -> None:
        answer = await one(bench, "charge", charge(merchant_no=STRANGER))
        assert (answer.outcome, answer.fault) == (Outcome.NOT_SENT, Fault.CONFIG)
        assert await bench.money("n1") == Money(0, 0, 0)

    @pytest.mark.parametrize("operation", ["charge", "query", "close"])
    async def test_a_bad_signature_proves_nothing(self, bench: Bench, operation: str) -> None:
        await bench.fault("BAD_SIGNATURE")
        answer = await one(bench, operation, charge() if operation == "charge" else lookup())
        assert (answer.outcome, answer.reason) == (Outcome.MAYBE, "SIGNATURE_INVALID")

    @pytest.mark.parametrize("operation", ["charge", "query", "close"])
    async def test_an_unknown_word_proves_nothing_and_is_seen(self, bench: Bench, operation: str) -> None:
        await bench.fault("UNKNOWN_WORD")
        with capture_logs() as logs:
            answer = await one(bench, operation, charge() if operation == "charge" else lookup())
        assert (answer.outcome, answer.word) == (Outcome.MAYBE, "PURPLE")
        assert [entry["word"] for entry in logs if entry["log_level"] == "error"] == ["PURPLE"]

    @pytest.mark.parametrize("fault", ["REFUSED", "LOST_BEFORE", "BAD_SIGNATURE", "UNKNOWN_WORD"])
    @pytest.mark.parametrize("operation", ["query", "close", "query_refund"])
    async def test_a_failed_question_says_nothing_about_the_money(
        self, bench: Bench, operation: str, fault: str
    ) -> None:
        await paid(bench)
        await bench.fault(fault)
        request = refund_lookup() if operation == "query_refund" else lookup()
        assert (await one(bench, operation, request)).outcome in (Outcome.MAYBE, Outcome.NOT_SENT)

    # --- closing ----------------------------------------------------------------------------------------------------

    async def test_after_a_close_no_money_can_come(self, bench: Bench) -> None:
        first = await one(bench, "close", lookup())
        if first.outcome is Outcome.NOT_FOUND:  # some close only what they know
            waiting = await one(bench, "charge", charge())
            assert waiting.outcome is Outcome.ACCEPTED
            if bench.payers_begin:
                await bench.look(waiting.action_value)
            first = await one(bench, "close", lookup())
        assert first.outcome is Outcome.CLOSED
        assert (await one(bench, "charge", charge())).outcome in (Outcome.CLOSED, Outcome.REJECTED)
        assert (await one(bench, "query", lookup())).outcome is Outcome.CLOSED
        assert await bench.money("n1") == Money(0, 0, 0)

    async def test_a_close_that_comes_too_late_says_that_it_is_paid(self, bench: Bench) -> None:
        await paid(bench)
        assert (await one(bench, "close", lookup())).outcome is Outcome.DONE

    # --- refunds ----------------------------------------------------------------------------------------------------

    async def test_a_refund_is_proved_by_a_question_alone(self, bench: Bench) -> None:
        await paid(bench)
        assert (await one(bench, "refund", refund())).outcome is Outcome.ACCEPTED
        question = refund_lookup()
        assert (await one(bench, "query_refund", question)).outcome in (Outcome.ACCEPTED, Outcome.NOT_FOUND)
        await bench.settle_refunds()
        answer = await one(bench, "query_refund", question)
        assert (answer.outcome, answer.amount_minor) == (Outcome.DONE, AMOUNT_MINOR)
        assert (await one(bench, "refund", refund())).outcome is Outcome.ACCEPTED, "even when it is long done"
        assert await bench.money("n1") == Money(AMOUNT_MINOR, 1, AMOUNT_MINOR)

    async def test_the_same_refund_number_refunds_once(self, bench: Bench) -> None:
        await paid(bench)
        for _ in range(3):
            assert (await one(bench, "refund", refund(amount_minor=3_000))).outcome is Outcome.ACCEPTED
        await bench.settle_refunds()
        assert (await bench.money("n1")).refunded == 3_000

    async def test_a_refund_beyond_the_charge_is_refused(self, bench: Bench) -> None:
        await paid(bench)
        assert (await one(bench, "refund", refund("r0", AMOUNT_MINOR + 1))).outcome is Outcome.REJECTED
        assert (await one(bench, "refund", refund("r1", 6_000))).outcome is Outcome.ACCEPTED
        await bench.settle_refunds()
        assert (await one(bench, "refund", refund("r2", 4_001))).outcome is Outcome.REJECTED
        assert (await one(bench, "refund", refund("r3", 4_000))).outcome is Outcome.ACCEPTED
        await bench.settle_refunds()
        assert (await bench.money("n1")).refunded == AMOUNT_MINOR

    async def test_nothing_is_refunded_that_was_not_charged(self, bench: Bench) -> None:
        assert (await one(bench, "refund", refund())).outcome in (Outcome.NOT_FOUND, Outcome.REJECTED)
        assert (await one(bench, "query_refund", refund_lookup())).outcome is Outcome.NOT_FOUND

    async def test_another_merchants_money_is_out_of_reach(self, bench: Bench) -> None:
        await paid(bench)
        theirs = refund(merchant_no=OTHER)
        assert (await one(bench, "refund", theirs)).outcome in (Outcome.NOT_FOUND, Outcome.REJECTED)
        assert (await one(bench, "query", lookup(merchant_no=OTHER))).outcome is Outcome.NOT_FOUND
        await bench.settle_refunds()
        assert (await bench.money("n1")).refunded == 0

    # --- batches ----------------------------------------------------------------------------------------------------

    async def test_exactly_one_answer_per_request(self, bench: Bench) -> None:
        numbers = [number(f"n{index}") for index in range(50)]
        requests: dict[str, Sequence[Any]] = {
            "charge": [charge(f"n{index}") for index in range(50)],
            "query": [Lookup(attempt_no, MERCHANT) for attempt_no in numbers],
            "close": [Lookup(attempt_no, MERCHANT) for attempt_no in numbers],
            "refund": [refund(f"r{index}", attempt_no=number(f"n{index}")) for index in range(50)],
            "query_refund": [RefundLookup(number(f"r{index}"), number(f"n{index}"), MERCHANT) for index in range(50)],
        }
        for operation, batch in requests.items():
            answers = await ask(bench, operation, batch)
            assert len(answers) == len(batch)
            assert not [answer for answer in answers.values() if answer.reason == "TIMEOUT"], operation

    async def test_a_batch_of_200_with_a_mixed_outcome(self, bench: Bench) -> None:
        batch = [
            charge(f"n{index}", amount_minor=DECLINED_MINOR if index % 3 else AMOUNT_MINOR,
                   merchant_no=OTHER if index % 2 else MERCHANT)
            for index in range(200)
        ]  # fmt: skip
        answers = await settled(bench, batch)
        for index in range(200):
            refused = Outcome.ACCEPTED if bench.payers_begin else Outcome.REJECTED
            expected = refused if index % 3 else Outcome.DONE
            assert answers[number(f"n{index}")].outcome is expected
            assert (await bench.money(f"n{index}")).charges == (0 if index % 3 else 1)

    async def test_an_empty_batch_has_no_answers(self, bench: Bench) -> None:
        assert await ask(bench, "charge", []) == {}

    async def test_who_stops_listening_is_left_alone(self, bench: Bench) -> None:
        await bench.fault("SILENT_AFTER")
        with pytest.raises(TimeoutError):
            async with silence(bench.struck, after_s=0.05):  # sooner than any patience ends
                await anext(aiter(bench.channel.charge([charge()])))
        await bench.fault("")
        await bench.pay()
        assert (await one(bench, "query", lookup())).outcome is Outcome.DONE

    async def test_what_it_says_it_can_do_it_has_a_method_for(self, bench: Bench) -> None:
        assert bench.channel.abilities <= set(Ability)
        for ability in bench.channel.abilities:
            assert callable(getattr(bench.channel, ability.lower()))

    # --- callbacks --------------------------------------------------------------------------------------------------

    def refusal_of(self, bench: Bench, headers: dict[str, str], body: bytes) -> str:
        with pytest.raises(CallbackRefused) as refused:
            bench.callbacks.read(headers=headers, body=body, now_ms=now_ms())
        return refused.value.reason

    async def test_a_verified_callback_is_evidence(self, bench: Bench) -> None:
        headers, body = bench.callback(secret=SECRETS[MERCHANT], merchant_no=MERCHANT, time_ms=now_ms())
        notice = bench.callbacks.read(headers=headers, body=body, now_ms=now_ms())
        said = notice.evidence
        assert notice.notify_id
        assert (said.attempt_no, said.source, said.outcome) == (number("n1"), Source.CALLBACK, Outcome.DONE)
        assert (said.amount_minor, said.currency_code, said.merchant_no) == (AMOUNT_MINOR, "CNY", MERCHANT)

    async def test_another_amount_is_told_as_it_is(self, bench: Bench) -> None:
        headers, body = bench.callback(secret=SECRETS[MERCHANT], merchant_no=MERCHANT, time_ms=now_ms(), amount_minor=1)
        assert bench.callbacks.read(headers=headers, body=body, now_ms=now_ms()).evidence.amount_minor == 1

    async def test_an_unknown_word_in_a_callback_proves_nothing_and_is_told(self, bench: Bench) -> None:
        headers, body = bench.callback(secret=SECRETS[MERCHANT], merchant_no=MERCHANT, time_ms=now_ms(), word="PURPLE")
        told: tuple[str, str]
        try:
            notice = bench.callbacks.read(headers=headers, body=body, now_ms=now_ms())
            told = (notice.evidence.outcome, notice.word)
            assert notice.evidence.reason == "UNKNOWN_WORD"
        except CallbackRefused as refused:
            told = (refused.reason, refused.word)
        assert told in ((Outcome.MAYBE, "PURPLE"), ("MALFORMED", "PURPLE"))

    async def test_a_forged_callback_is_refused(self, bench: Bench) -> None:
        headers, body = bench.callback(secret="forged", merchant_no=MERCHANT, time_ms=now_ms())
        assert self.refusal_of(bench, headers, body) == "SIGNATURE_INVALID"
        headers, body = bench.callback(secret=SECRETS[MERCHANT], merchant_no=MERCHANT, time_ms=now_ms())
        assert self.refusal_of(bench, headers, body[:-1] + b" " + body[-1:]) == "SIGNATURE_INVALID"
        if bench.signs_in_headers:
            assert self.refusal_of(bench, {}, body) == "SIGNATURE_INVALID"
        for name in headers:
            assert self.refusal_of(bench, {**headers, name: "é"}, body) == "SIGNATURE_INVALID"

    async def test_one_merchant_cannot_speak_for_another(self, bench: Bench) -> None:
        headers, body = bench.callback(secret=SECRETS[OTHER], merchant_no=MERCHANT, time_ms=now_ms())
        assert self.refusal_of(bench, headers, body) == "SIGNATURE_INVALID"
        headers, body = bench.callback(
            secret=SECRETS[OTHER], merchant_no=OTHER, time_ms=now_ms(), body_merchant_no=MERCHANT
        )
        assert self.refusal_of(bench, headers, body) == "SIGNATURE_INVALID"

    @pytest.mark.parametrize("age_ms", [STALE_MS, -STALE_MS, 30 * 86_400_000])
    async def test_a_stale_callback_is_refused(self, bench: Bench, age_ms: int) -> None:
        if not bench.signs_time:
            pytest.skip("it signs no time: a replay is found by its id")
        headers, body = bench.callback(secret=SECRETS[MERCHANT], merchant_no=MERCHANT, time_ms=now_ms() - age_ms)
        assert self.refusal_of(bench, headers, body) == "STALE_TIMESTAMP"

    @pytest.mark.parametrize(
        "body", [b"", b"null", b"[]", b"{}", b"\xff\xfe", b"[" * 50_000, b"<xml/>"], ids=lambda body: repr(body[:8])
    )
    async def test_garbage_is_malformed_even_when_it_is_signed(self, bench: Bench, body: bytes) -> None:
        refusal = self.refusal_of(bench, bench.signed(body), body)
        # Where the signature is a part of the body, there is no signing garbage.
        assert refusal == "MALFORMED" or (refusal == "SIGNATURE_INVALID" and not bench.signs_in_headers)

    async def test_five_megabytes_are_refused_in_no_time(self, bench: Bench) -> None:
        begin_s = time.process_time()  # of this process, whoever else is busy
        assert self.refusal_of(bench, {}, b"x" * 5_000_000) == "SIGNATURE_INVALID"
        assert time.process_time() - begin_s < 1

    async def test_the_acknowledgement_is_what_the_channel_expects(self, bench: Bench) -> None:
        content_type, body = bench.callbacks.acknowledgement()
        assert "/" in content_type
        assert isinstance(body, bytes)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_declares_what_credentials_it_takes(kind: str) -> None:
    needs = needs_of(kind)
    assert needs.complete, "name the sets of credentials of which one must be complete"
    assert all(names <= needs.materials.keys() for names in needs.complete)
