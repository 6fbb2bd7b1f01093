"""The suite's own test: channels that are broken in one way each, and the promise that catches each of them."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from channels.port import Answer, Channel, Notice
from domain.evidence import Evidence, Outcome, Source
from tests.contract.benches import Bench, Money, TemplateBench, number
from tests.contract.test_channels import TestChannelContract as Suite

Change = Callable[[list[Answer]], list[Answer]]
Promise = tuple[str, dict[str, Any]]


class Broken:
    """A channel whose answers go through `change` on their way."""

    def __init__(self, inner: Channel, change: Change) -> None:
        self._inner = inner
        self._change = change
        self.abilities = inner.abilities

    def __getattr__(self, operation: str) -> Any:
        async def ask(requests: Sequence[Any]) -> AsyncIterator[list[Answer]]:
            async for answers in getattr(self._inner, operation)(requests):
                yield self._change(answers)

        return ask


def bench_with(change: Change) -> Bench:
    bench = TemplateBench()
    bench.channel = Broken(bench.channel, change)  # type: ignore[assignment]
    return bench


def turned(before: Outcome, after: Outcome, reason: str | None = None) -> Change:
    """Tell `after` where the channel said `before`."""

    def change(answers: list[Answer]) -> list[Answer]:
        return [
            answer._replace(outcome=after) if answer.outcome is before and reason in (None, answer.reason) else answer
            for answer in answers
        ]

    return change


def raises(answers: list[Answer]) -> list[Answer]:
    if any(answer.outcome is Outcome.MAYBE for answer in answers):
        raise ConnectionResetError
    return answers


class ChargesTwice(TemplateBench):
    """Its bank adds up, whatever the number."""

    async def money(self, name: str) -> Money:
        return (await super().money(name))._replace(charges=2)


class BelievesEveryone:
    """Reads callbacks without looking at the signature."""

    def read(self, *, headers: dict[str, str], body: bytes, now_ms: int) -> Notice:
        return Notice("N1", Evidence(number("n1"), Source.CALLBACK, Outcome.DONE))

    def acknowledgement(self) -> tuple[str, bytes]:
        return "text/plain", b"ok"

    def refusal(self, reason: str) -> tuple[str, bytes]:
        return "text/plain", reason.encode()


def believes_everyone() -> Bench:
    bench = TemplateBench()
    bench.callbacks = BelievesEveryone()
    return bench


LOST: Promise = ("test_a_lost_connection_may_have_moved_money", {"fault": "LOST_AFTER", "charges": 1})
BROKEN: dict[str, tuple[Callable[[], Bench], Promise]] = {
    "charges twice": (ChargesTwice, ("test_the_same_number_charges_once", {})),
    "raises": (lambda: bench_with(raises), LOST),
    "swallows answers": (lambda: bench_with(lambda answers: answers[1:]), ("test_exactly_one_answer_per_request", {})),
    "answers twice": (lambda: bench_with(lambda answers: answers * 2), ("test_exactly_one_answer_per_request", {})),
    "answers somebody else": (
        lambda: bench_with(lambda answers: [*answers, Answer("nobody", Outcome.DONE)]),
        ("test_a_question_moves_nothing", {}),
    ),
    "calls silence a failure": (lambda: bench_with(turned(Outcome.MAYBE, Outcome.REJECTED)), LOST),
    "calls a lost connection not sent": (lambda: bench_with(turned(Outcome.MAYBE, Outcome.NOT_SENT)), LOST),
    "calls a refused connection silence": (
        lambda: bench_with(turned(Outcome.NOT_SENT, Outcome.MAYBE)),
        ("test_a_refused_connection_proves_that_nothing_was_sent", {}),
    ),
    "calls a promised refund done": (
        lambda: bench_with(turned(Outcome.ACCEPTED, Outcome.DONE)), ("test_a_refund_is_proved_by_a_question_alone", {}),
    ),
    "takes an unknown word for a yes": (
        lambda: bench_with(turned(Outcome.MAYBE, Outcome.ACCEPTED, "UNKNOWN_WORD")),
        ("test_an_unknown_word_proves_nothing_and_is_seen", {"operation": "charge"}),
    ),
    "does not look at signatures": (
        lambda: bench_with(turned(Outcome.MAYBE, Outcome.DONE, "SIGNATURE_INVALID")),
        ("test_a_bad_signature_proves_nothing", {"operation": "charge"}),
    ),
    "makes up the amount": (
        lambda: bench_with(lambda answers: [answer._replace(amount_minor=1) for answer in answers]),
        ("test_a_charge_says_what_it_moved_in_the_channels_own_words", {}),
    ),
    "calls paid closed": (
        lambda: bench_with(turned(Outcome.DONE, Outcome.CLOSED)),
        ("test_a_close_that_comes_too_late_says_that_it_is_paid", {}),
    ),
    "believes every callback": (believes_everyone, ("test_a_forged_callback_is_refused", {})),
    "takes an unknown word in a callback for a yes": (
        believes_everyone, ("test_an_unknown_word_in_a_callback_proves_nothing_and_is_told", {}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(BROKEN))
async def test_a_broken_channel_fails(name: str) -> None:
    make, (promise, arguments) = BROKEN[name]
    with pytest.raises((AssertionError, ConnectionResetError, pytest.fail.Exception)):
        await getattr(Suite(), promise)(bench=make(), **arguments)


@pytest.mark.parametrize("name", sorted(BROKEN))
async def test_the_same_promise_is_kept_by_a_good_one(name: str) -> None:
    _, (promise, arguments) = BROKEN[name]
    await getattr(Suite(), promise)(bench=TemplateBench(), **arguments)
