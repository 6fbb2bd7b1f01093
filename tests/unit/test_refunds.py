"""The life of a refund. TR-01, the phantom: a channel says yes, and then knows of nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.evidence import Evidence, Outcome, Source
from domain.refunds import QUERY_DELAYS_S, TERMINAL, Refund, State, apply, is_to_send
from tests.samples import evidence, refund

SYNC, QUERY = Source.SYNC_REPLY, Source.QUERY

said = st.builds(
    lambda outcome, source: evidence(outcome, source, refund_no="R1"), st.sampled_from(Outcome), st.sampled_from(Source)
)
# Everything but a positive proof.
unproven = said.filter(lambda item: item.outcome is not Outcome.DONE or item.source is SYNC)


def live(start: Refund, *items: Evidence) -> Refund:
    for item in items:
        applied = apply(start, item)
        if applied is not None:
            start = start._replace(state=applied[0], missed=applied[1], revision=start.revision + 1)
    return start


def test_the_phantom_is_never_told_as_success() -> None:
    accepted = live(refund(state=State.SUBMITTED), evidence(Outcome.DONE, SYNC))
    assert accepted.state is State.ACCEPTED
    missed = live(accepted, *[evidence(Outcome.NOT_FOUND)] * 3)
    assert missed.state is State.UNKNOWN
    assert is_to_send(missed), "it is sent again, under the same number"
    assert live(missed, evidence(Outcome.DONE, SYNC)).state is State.ACCEPTED


@given(st.lists(unproven, max_size=15))
def test_nothing_but_proof_is_success(items: list[Evidence]) -> None:
    assert live(refund(state=State.SUBMITTED), *items).state is not State.SUCCEEDED


@given(st.lists(said, max_size=12), said)
def test_a_replay_changes_nothing(items: list[Evidence], last: Evidence) -> None:
    once = live(refund(state=State.SUBMITTED), *items, last)
    assert apply(once, last) is None


@given(st.sampled_from(sorted(TERMINAL)), st.lists(said, max_size=8))
def test_a_final_refund_stays_as_it_is(state: State, items: list[Evidence]) -> None:
    assert live(refund(state=state), *items) == refund(state=state)


@pytest.mark.parametrize(
    "wrong",
    [{"amount_minor": 1}, {"amount_minor": 680_001}, {"currency_code": "USD"}, {"merchant_no": "m2"}],
    ids=["less", "more", "other currency", "other merchant"],
)
@pytest.mark.parametrize("source", [Source.CALLBACK, QUERY, Source.STATEMENT])
def test_other_money_is_never_success(source: Source, wrong: dict[str, object]) -> None:
    assert apply(refund(state=State.ACCEPTED), evidence(Outcome.DONE, source, **wrong)) is None


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.CLOSED, Outcome.NOT_FOUND])
def test_what_another_merchant_is_told_changes_nothing(outcome: Outcome) -> None:
    assert apply(refund(state=State.ACCEPTED), evidence(outcome, Source.CALLBACK, merchant_no="m2")) is None


def test_a_channel_that_does_not_say_the_amount_is_believed() -> None:
    silent_on_money = evidence(Outcome.DONE, QUERY, amount_minor=0, currency_code="", merchant_no="")
    assert live(refund(state=State.ACCEPTED), silent_on_money).state is State.SUCCEEDED


def test_silence_is_unknown_and_asked_about_rather_than_sent_again() -> None:
    silent = live(refund(state=State.SUBMITTED), evidence(Outcome.MAYBE, SYNC))
    assert silent.state is State.UNKNOWN
    assert not is_to_send(silent)


def test_what_was_not_sent_is_sent_again() -> None:
    assert is_to_send(live(refund(state=State.SUBMITTED), evidence(Outcome.NOT_SENT, SYNC)))


def test_only_a_fresh_or_missed_refund_is_sent() -> None:
    to_send = {
        (state, missed) for state in State for missed in (False, True) if is_to_send(refund(state=state, missed=missed))
    }
    assert to_send == {(state, True) for state in State} | {(State.APPROVED, False)}


def test_the_first_question_waits_ten_seconds() -> None:
    assert min(QUERY_DELAYS_S) >= 10
