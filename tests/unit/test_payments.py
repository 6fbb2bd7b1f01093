"""The life of a payment: what each piece of evidence does, and what no sequence of evidence can do."""

from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.evidence import Evidence, Fault, Outcome, Source
from domain.payments import (
    ATTEMPTS_MAX,
    EDGES,
    FINAL,
    NOT_FOUND_PATIENCE_S,
    NOTHING,
    NOTICES,
    OPEN,
    QUERY_DELAYS_S,
    SENDS_MAX,
    Event,
    Follow,
    Payment,
    State,
    apply,
    must_give_back,
    wants_close,
)
from domain.table import step
from tests.samples import ATTEMPT_NO, EARLIER_NO, EXPIRE_MS, NOW_MS, evidence, moved, payment

SYNC, CALLBACK, QUERY, STATEMENT = Source.SYNC_REPLY, Source.CALLBACK, Source.QUERY, Source.STATEMENT
EVERY_SOURCE = list(Source)

said = st.builds(
    lambda outcome, source, fault: evidence(outcome, source, fault=fault),
    st.sampled_from(Outcome),
    st.sampled_from(Source),
    st.sampled_from(Fault),
)
wrong_money = st.sampled_from(
    [
        {"amount_minor": 679_999},
        {"amount_minor": 680_001},
        {"amount_minor": 0},
        {"currency_code": "USD"},
        {"currency_code": ""},
        {"merchant_no": "m2"},
        {"merchant_no": ""},
    ]
)
silence = st.sampled_from(
    [
        evidence(outcome, source, fault=fault)
        for outcome, source, fault in product((Outcome.MAYBE, Outcome.NOT_SENT), EVERY_SOURCE, Fault)
        if outcome is Outcome.MAYBE or source is not SYNC
    ]
)
payments_anywhere = st.builds(
    lambda state, rank, sends, index, close: payment(
        state=state, proof_rank=int(rank), send_count=sends, attempt_index=index, close_reason=close
    ),
    st.sampled_from(State),
    st.sampled_from(Source),
    st.integers(1, SENDS_MAX),
    st.integers(1, ATTEMPTS_MAX),
    st.sampled_from(["", "ORDER_CANCELLED"]),
)


def live(start: Payment, *items: Evidence, now_ms: int = NOW_MS) -> Payment:
    """Apply evidence in turn, about whatever attempt is current."""
    for item in items:
        start = moved(start, item._replace(attempt_no=start.attempt_no), now_ms=now_ms)
    return start


class TestWhatNoSequenceCanDo:
    @given(st.lists(said, max_size=12))
    def test_every_change_is_an_edge_of_the_table(self, items: list[Evidence]) -> None:
        now = payment()
        for item in items:
            verdict = apply(now, item._replace(attempt_no=now.attempt_no), now_ms=NOW_MS)
            if verdict.event is not None:
                stepped = step(EDGES, now.state, verdict.event)
                assert stepped is not None
                assert stepped.state is verdict.state
            now = live(now, item)

    @given(st.lists(said, max_size=8), said)
    def test_a_replay_changes_nothing(self, items: list[Evidence], last: Evidence) -> None:
        before = live(payment(), *items)
        last = last._replace(attempt_no=before.attempt_no)
        once = moved(before, last)
        if last.outcome is not Outcome.NOT_FOUND:  # each miss is answered by a send, until there were enough
            assert apply(once, last, now_ms=NOW_MS).event is None

    @given(st.lists(silence, max_size=20))
    def test_silence_never_fails_a_payment(self, items: list[Evidence]) -> None:
        assert live(payment(), *items).state in OPEN

    @given(payments_anywhere, st.lists(silence, min_size=1, max_size=5), st.integers(0, 10**12))
    def test_silence_never_ends_anything_however_late(
        self, start: Payment, items: list[Evidence], waited_ms: int
    ) -> None:
        after = live(start, *items, now_ms=NOW_MS + waited_ms)
        assert after.state is start.state or (start.state in OPEN and after.state in OPEN)

    @given(payments_anywhere, st.sampled_from(Source), wrong_money)
    def test_other_money_is_never_a_success(self, start: Payment, source: Source, wrong: dict[str, object]) -> None:
        item = evidence(Outcome.DONE, source, **wrong)
        after = live(start, item)
        assert after.state is not State.SUCCEEDED or start.state is State.SUCCEEDED
        if start.state not in (State.SUCCEEDED, State.FUNDS_RETURNED):
            verdict = apply(start, item, now_ms=NOW_MS)
            assert verdict.case_kind in ("AMOUNT_MISMATCH", "MERCHANT_MISMATCH")

    @given(payments_anywhere, st.sampled_from(Outcome), st.sampled_from(Source))
    def test_what_another_merchant_is_told_changes_nothing(
        self, start: Payment, outcome: Outcome, source: Source
    ) -> None:
        item = evidence(outcome, source, merchant_no="m2")
        after = live(start, item)
        assert after.state is start.state or (start.state is State.SUBMITTING and after.state is State.UNKNOWN)
        assert (after.attempt_no, after.send_count) == (start.attempt_no, start.send_count)

    @given(payments_anywhere, said)
    def test_a_final_state_is_left_by_money_alone_and_never_against_a_higher_rank(
        self, start: Payment, item: Evidence
    ) -> None:
        after = live(start, item)
        if start.state in FINAL and after.state is not start.state:
            assert item.outcome is Outcome.DONE
            assert after.state is State.SUCCEEDED
            assert after.late
            assert item.source >= start.proof_rank

    @given(st.permutations([evidence(Outcome.DONE, source) for source in (SYNC, CALLBACK, QUERY)]))
    def test_any_order_of_the_proofs_ends_the_same(self, items: list[Evidence]) -> None:
        after = live(payment(), *items)
        assert (after.state, after.revision, after.late) == (State.SUCCEEDED, 2, False)

    @pytest.mark.parametrize("noise", [Outcome.MAYBE, Outcome.ACCEPTED])
    def test_any_order_of_noise_and_proof_ends_the_same(self, noise: Outcome) -> None:
        items = [evidence(noise, SYNC), evidence(Outcome.DONE, CALLBACK), evidence(Outcome.DONE, QUERY)]
        for order in permutations(items):
            assert live(payment(), *order).state is State.SUCCEEDED

    @given(st.lists(said, max_size=12))
    def test_a_statement_always_wins_in_the_end(self, items: list[Evidence]) -> None:
        before = live(payment(), *items)
        after = live(before, evidence(Outcome.DONE, STATEMENT))
        assert after.state in (State.SUCCEEDED, State.FUNDS_RETURNED)


class TestSecondSends:
    """The channel may refuse the second send of a number although the first has arrived."""

    @pytest.mark.parametrize("fault", [Fault.CHANNEL, Fault.CONFIG, Fault.LOCAL, Fault.NONE])
    @pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.NOT_SENT])
    @pytest.mark.parametrize("state", [State.SUBMITTING, State.UNKNOWN, State.PENDING])
    def test_a_refused_second_send_is_not_definite(self, fault: Fault, outcome: Outcome, state: State) -> None:
        sent_twice = payment(send_count=2, state=state)
        after = live(sent_twice, evidence(outcome, SYNC, fault=fault))
        assert after.state in OPEN
        assert after.attempt_no == sent_twice.attempt_no, "an attempt that may have arrived is never left"

    def test_a_payer_without_funds_is_definite_at_any_send(self) -> None:
        declined = evidence(Outcome.REJECTED, SYNC, fault=Fault.PAYER)
        assert live(payment(send_count=2), declined).state is State.FAILED

    def test_a_late_refusal_of_the_first_send_is_not_definite_once_silence_was_heard(self) -> None:
        after = live(payment(state=State.UNKNOWN), evidence(Outcome.REJECTED, SYNC, fault=Fault.CHANNEL))
        assert after.state is State.UNKNOWN


class TestRefusedFirstSend:
    @pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.NOT_SENT])
    @pytest.mark.parametrize("fault", [Fault.CHANNEL, Fault.CONFIG, Fault.LOCAL])
    def test_another_channel_is_asked(self, outcome: Outcome, fault: Fault) -> None:
        verdict = apply(payment(), evidence(outcome, SYNC, fault=fault), now_ms=NOW_MS)
        assert (verdict.event, verdict.follow, verdict.state) == (Event.REROUTE, Follow.REROUTE, State.SUBMITTING)

    def test_a_payer_without_funds_is_not_sent_elsewhere(self) -> None:
        assert live(payment(), evidence(Outcome.REJECTED, SYNC)).state is State.FAILED

    @pytest.mark.parametrize(
        "start",
        [payment(attempt_index=ATTEMPTS_MAX), payment(close_reason="ORDER_CANCELLED"), payment(expire_ms=NOW_MS)],
        ids=["third channel", "given up", "expired"],
    )
    def test_nobody_else_is_asked_when_it_is_too_late(self, start: Payment) -> None:
        after = live(start, evidence(Outcome.NOT_SENT, SYNC))
        assert (after.state, after.attempt_no) == (State.FAILED, start.attempt_no)

    def test_at_most_three_channels_are_asked(self) -> None:
        after = live(payment(), *[evidence(Outcome.NOT_SENT, SYNC)] * 5)
        assert (after.state, after.attempt_index) == (State.FAILED, ATTEMPTS_MAX)

    def test_a_question_that_was_not_sent_proves_nothing(self) -> None:
        assert apply(payment(), evidence(Outcome.NOT_SENT, QUERY), now_ms=NOW_MS) is NOTHING


class TestNotFound:
    def test_the_same_number_is_sent_again_and_at_most_thrice(self) -> None:
        after = live(payment(state=State.UNKNOWN), *[evidence(Outcome.NOT_FOUND)] * 5)
        assert (after.state, after.send_count, after.attempt_no) == (State.UNKNOWN, SENDS_MAX, ATTEMPT_NO)

    @pytest.mark.parametrize("start", [payment(close_reason="ORDER_CANCELLED"), payment(expire_ms=NOW_MS - 1)])
    def test_what_is_given_up_or_expired_is_not_sent_again(self, start: Payment) -> None:
        assert apply(start, evidence(Outcome.NOT_FOUND), now_ms=NOW_MS) is NOTHING

    def test_absence_is_believed_only_long_after_expiry(self) -> None:
        start, patience_ms = payment(state=State.UNKNOWN, send_count=SENDS_MAX), NOT_FOUND_PATIENCE_S * 1000
        item = evidence(Outcome.NOT_FOUND)
        assert live(start, item, now_ms=EXPIRE_MS + patience_ms - 1).state is State.UNKNOWN
        assert live(start, item, now_ms=EXPIRE_MS + patience_ms).state is State.FAILED

    def test_absence_that_was_seen_before_then_is_not_believed_however_late_it_comes(self) -> None:
        start, believed_ms = payment(state=State.UNKNOWN, send_count=SENDS_MAX), EXPIRE_MS + NOT_FOUND_PATIENCE_S * 1000
        stale = evidence(Outcome.NOT_FOUND, time_ms=EXPIRE_MS)
        assert live(start, stale, now_ms=believed_ms + 1).state is State.UNKNOWN
        assert live(start, stale._replace(time_ms=believed_ms), now_ms=believed_ms + 1).state is State.FAILED

    @pytest.mark.parametrize(("patience_s", "believed_ms"), [(2, EXPIRE_MS + 2_000), (-60, EXPIRE_MS)])
    def test_a_channel_may_be_believed_sooner_but_never_before_the_expiry(self, patience_s: int, believed_ms: int) -> None:
        start, item = payment(state=State.PENDING), evidence(Outcome.NOT_FOUND)
        for now_ms, then in ((believed_ms - 1, None), (believed_ms, State.CLOSED)):
            assert apply(start, item, now_ms=now_ms, not_found_patience_s=patience_s).state is then

    def test_a_number_that_begins_with_its_payer_is_closed_when_no_payer_can_come_any_more(self) -> None:
        start, late_ms = payment(state=State.PENDING), EXPIRE_MS + NOT_FOUND_PATIENCE_S * 1000
        assert apply(start, evidence(Outcome.NOT_FOUND), now_ms=late_ms - 1) is NOTHING
        after = live(start, evidence(Outcome.NOT_FOUND), now_ms=late_ms)
        assert (after.state, after.reason) == (State.CLOSED, "EXPIRED")

    def test_a_success_that_is_not_found_is_a_case(self) -> None:
        assert apply(payment(state=State.SUCCEEDED), evidence(Outcome.NOT_FOUND), now_ms=NOW_MS).case_kind


class TestLateSuccess:
    @pytest.mark.parametrize("state", [State.FAILED, State.CLOSED])
    def test_proof_of_equal_rank_makes_it_a_late_success(self, state: State) -> None:
        verdict = apply(payment(state=state, proof_rank=int(QUERY)), evidence(Outcome.DONE, QUERY), now_ms=NOW_MS)
        assert (verdict.state, verdict.late, verdict.reason) == (State.SUCCEEDED, True, "LATE_SUCCESS")

    @pytest.mark.parametrize("state", [State.FAILED, State.CLOSED])
    def test_proof_of_lower_rank_opens_a_case_and_asks(self, state: State) -> None:
        verdict = apply(payment(state=state, proof_rank=int(QUERY)), evidence(Outcome.DONE, CALLBACK), now_ms=NOW_MS)
        assert (verdict.event, verdict.case_kind, verdict.follow) == (None, "CONTRADICTION", Follow.ASK_NOW)

    def test_money_that_was_called_off_or_paid_before_goes_back(self) -> None:
        assert must_give_back(payment(close_reason="ORDER_CANCELLED"), duplicate=False)
        assert must_give_back(payment(), duplicate=True)
        assert not must_give_back(payment(), duplicate=False)


class TestEarlierAttempts:
    def test_money_that_a_dead_attempt_took_goes_back(self) -> None:
        start = payment(attempt_index=2)
        verdict = apply(start, evidence(Outcome.DONE, attempt_no=EARLIER_NO), now_ms=NOW_MS)
        assert (verdict.event, verdict.refund_attempt_no) == (None, EARLIER_NO)
        assert verdict.case_kind == "EARLIER_ATTEMPT_PAID"

    @pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.DONE}))
    def test_anything_else_about_it_is_old_news(self, outcome: Outcome) -> None:
        assert apply(payment(attempt_index=2), evidence(outcome, attempt_no=EARLIER_NO), now_ms=NOW_MS) is NOTHING


class TestClosing:
    def test_only_the_channel_closes(self) -> None:
        given_up = payment(state=State.PENDING, close_reason="ORDER_CANCELLED")
        assert wants_close(given_up, now_ms=NOW_MS)
        after = live(given_up, evidence(Outcome.CLOSED))
        assert (after.state, after.reason) == (State.CLOSED, "ORDER_CANCELLED")

    def test_expiry_asks_to_close_and_is_the_reason(self) -> None:
        start = payment(state=State.PENDING)
        assert not wants_close(start, now_ms=EXPIRE_MS - 1)
        assert wants_close(start, now_ms=EXPIRE_MS)
        assert live(start, evidence(Outcome.CLOSED), now_ms=EXPIRE_MS).reason == "EXPIRED"

    def test_a_success_that_the_channel_closes_is_a_case(self) -> None:
        verdict = apply(payment(state=State.SUCCEEDED), evidence(Outcome.CLOSED), now_ms=NOW_MS)
        assert (verdict.event, verdict.case_kind) == (None, "CLOSED_AFTER_SUCCESS")


def test_every_final_state_is_told() -> None:
    assert NOTICES.keys() == FINAL
    assert set(State) == OPEN | FINAL


def test_questions_come_soon_and_then_rarely() -> None:
    """TR-17: 5 s, 15 s, 60 s, 5 min and 30 min are among them."""
    assert list(QUERY_DELAYS_S) == sorted(QUERY_DELAYS_S)
    assert {5, 15, 60, 300, 1800} <= set(QUERY_DELAYS_S)
