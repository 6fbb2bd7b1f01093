"""The fault matrix, row by row, as far as it concerns the payment core: one process, real PostgreSQL, the real sandbox.

Each test is named after its row. A row passes when the payment ends as the row says, every invariant holds, and the
channels hold exactly the money that we keep. Rows about processes are played by putting a new object, which remembers
nothing, in the place of the old one at that very step.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
import pytest
import pytest_asyncio

from actors import router as router_module
from actors.mailbox import Mailbox
from actors.messages import Accepted, CloseWish, NewPayment, TenantEvidence
from actors.router import Router
from domain.evidence import Evidence, Fault, Outcome, Source
from domain.payments import CLOSE_AFTER_S, QUERY_DELAYS_S, Payment, State
from domain.refusals import Kind
from simulator.profiles import Profile
from storage.database import DatabaseUnavailable
from tests.harness import AMOUNT_MINOR, GATEWAY, House, merchant_no, new_payment, opened_house

# Half of the payers pay within a minute, all of them before their order expires.
ASYNCHRONOUS = [Profile("c1", asynchronous=True, payer_delay_ms_p50=60_000.0), Profile("c2", asynchronous=True)]
ALL_HAVE_PAID_S = 800


@pytest_asyncio.fixture
async def house(emptied_database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """Two channels that answer at once."""
    async with opened_house(emptied_database_url, tmp_path) as opened:
        yield opened


@pytest_asyncio.fixture
async def slow_payers(emptied_database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """Two channels that accept at once; payers take their time, and results come by callback."""
    async with opened_house(emptied_database_url, tmp_path, *ASYNCHRONOUS) as opened:
        yield opened


class Killed(Exception):
    """The process is gone at this point."""


def proof(payment: Payment, source: Source = Source.CALLBACK, **changes: Any) -> Evidence:
    """Evidence that a payment's money moved."""
    said = Evidence(
        payment.attempt_no, source, Outcome.DONE, amount_minor=payment.amount_minor,
        currency_code=payment.currency_code, merchant_no=payment.merchant_no, channel_txn_no=f"T{payment.attempt_no}",
    )  # fmt: skip
    return said._replace(**changes)


async def submitted(house: House, order_no: str = "o1", **changes: Any) -> Payment:
    (accepted,) = await house.submit(new_payment(order_no, **changes))
    assert accepted == Accepted()
    return house.payment(order_no)


def kill_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Let whoever reaches this step die there."""

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    monkeypatch.setattr(owner, name, die)


# --- processes die ------------------------------------------------------------------------------------------------------


async def test_f01_killed_before_the_intent_is_committed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as dying:
        kill_at(dying, router_module.store, "accept")
        with pytest.raises(Killed):
            await house.submit(new_payment("o1"))
    assert house.payments("o1") == []
    await house.replace_router()
    payment = await house.pay("o1")
    assert payment.state is State.SUCCEEDED
    await house.check()


async def test_f02_killed_after_the_intent_before_dispatch(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as dying:
        kill_at(dying, Router, "_charge")
        with pytest.raises(Killed):
            await house.submit(new_payment("o1"))
    payment = house.payment("o1")
    assert payment.state is State.SUBMITTING
    assert house.sent == [], "nothing has left"
    await house.replace_router()
    await house.sweep()
    assert house.payment("o1").state is State.SUCCEEDED
    assert len(house.charges(payment.attempt_no)) == 1
    await house.check()


async def test_f03_connector_killed_before_it_connects(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(tasks: list[Any]) -> list[None]:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(house.connectors["c1"], "dispatch", lost)
        payment = await submitted(house)
        await house.settle()
    house.replace_connector("c1")
    await house.sweep()
    after = house.payment("o1")
    assert (after.state, after.attempt_no, after.send_count) == (State.SUCCEEDED, payment.attempt_no, 2)
    await house.check()


@pytest.mark.parametrize("finisher", ["sweep", "callback"])
@pytest.mark.parametrize("row", ["f04", "f05"])
async def test_f04_f05_connector_killed_with_the_money_taken(house: House, row: str, finisher: str) -> None:
    if row == "f04":
        await house.fault("TIMEOUT_TAKEN")
    house.connectors["c1"]._tell = lambda *_: None  # type: ignore[method-assign]  # it dies with the answer in its hands
    payment = await submitted(house)
    await house.settle()
    assert house.payment("o1").state is State.SUBMITTING
    await house.heal("TIMEOUT_TAKEN")
    house.replace_connector("c1")
    if finisher == "callback":
        (entry,) = await house.truth()
        said = proof(payment, channel_txn_no=str(entry["channel_txn_no"]))
        assert await house.hear(said) == ["APPLIED"]
    await house.sweep()
    after = house.payment("o1")
    assert (after.state, after.attempt_no) == (State.SUCCEEDED, payment.attempt_no)
    assert len(house.charges(payment.attempt_no)) == 1
    await house.check()


async def test_f06_killed_after_the_outcome_is_committed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as dying:
        kill_at(dying, Router, "_finish")
        await submitted(house)
        await house.settle()
    assert house.payment("o1").state is State.SUCCEEDED
    await house.replace_router()
    (again,) = await house.submit(new_payment("o1"))
    assert again.payment is not None
    assert again.payment.state is State.SUCCEEDED
    await house.check()


async def test_f07_killed_before_the_client_hears(house: House) -> None:
    payment = await house.pay("o1")
    await house.replace_router()
    answers = await house.submit(new_payment("o1"), new_payment("o1"))
    await house.settle()
    assert [answer.payment for answer in answers] == [payment, payment]
    assert len(house.sent) == 1
    await house.check()


async def test_f08_router_killed_while_it_chooses(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as dying:
        kill_at(dying, router_module, "decide")
        with pytest.raises(Killed):
            await house.submit(new_payment("o1"))
    await house.replace_router()
    assert (await house.pay("o1")).state is State.SUCCEEDED
    await house.check()


async def test_f08_router_killed_while_it_chooses_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.fault("CONNECTION_REFUSED")
    monkeypatch.setattr(router_module, "HEAD_START_S", 0)  # the refusal is still under way when acceptance is answered
    payment = await submitted(house)
    with monkeypatch.context() as dying:
        kill_at(dying, router_module, "decide")
        await house.settle()
    assert house.payment("o1").state is State.SUBMITTING
    await house.replace_router()
    await house.heal("CONNECTION_REFUSED")
    await house.sweep()
    after = house.payment("o1")
    assert (after.state, after.attempt_no) == (State.SUCCEEDED, payment.attempt_no)
    await house.check()


async def test_f14_connector_stopped_after_the_bytes_were_sent(house: House) -> None:
    """The stopped one wakes with answers of the past: they are evidence, and lose against what is known by then."""
    await house.fault("TIMEOUT_NOT_TAKEN", targets=["o1"])
    payment = await house.pay("o1")
    assert payment.state is State.UNKNOWN
    await house.heal("TIMEOUT_NOT_TAKEN")
    house.replace_connector("c1")
    await house.sweep()
    settled = house.payment("o1")
    assert (settled.state, settled.send_count) == (State.SUCCEEDED, 2)
    for outcome in (Outcome.MAYBE, Outcome.NOT_SENT, Outcome.ACCEPTED, Outcome.NOT_FOUND, Outcome.DONE):
        late = proof(payment, Source.SYNC_REPLY, outcome=outcome)
        await house.hear(late)
    assert house.payment("o1") == settled
    await house.check()


async def test_f14_a_stopped_connectors_refusal_does_not_move_a_number_that_was_sent_again(house: House) -> None:
    await house.fault("TIMEOUT_TAKEN")
    payment = await house.pay("o1")
    await house.fault("BLACK_HOLE")
    assert payment.state is State.UNKNOWN
    refusal = Evidence(payment.attempt_no, Source.SYNC_REPLY, Outcome.NOT_SENT, "HELD_BACK", Fault.LOCAL)
    assert await house.hear(refusal) == ["SAME"]
    await house.heal("BLACK_HOLE")
    await house.heal("TIMEOUT_TAKEN")
    await house.sweep()
    after = house.payment("o1")
    assert (after.state, after.attempt_index) == (State.SUCCEEDED, 1)
    await house.check()


async def test_f17_two_live_routers_write_and_send_once(house: House) -> None:
    twin = await house.make_router()
    wish = new_payment("o1")
    answers = await asyncio.gather(
        *[router.submit(GATEWAY, [wish]) for router in (house.router, twin) for _ in range(5)]
    )
    await house.settle()
    payment = house.payment("o1")
    assert len(house.charges(payment.attempt_no)) == len(house.sent) == 1
    assert sum(answer == [Accepted()] for answer in answers) == 1
    await house.check()


async def test_f17_two_live_routers_settle_once(slow_payers: House) -> None:
    house = slow_payers
    payment = await house.pay("o1")
    twin = await house.make_router()
    said = [TenantEvidence("pnc", proof(payment))]
    await asyncio.gather(*[router.evidence(said) for router in (house.router, twin) for _ in range(5)])
    assert house.history(payment) == ["SUBMIT", "WAIT", "CONFIRM"]
    assert house.events(payment) == ["payment.succeeded"]
    await house.check(at_rest=False)


async def test_f17_two_live_sweepers_never_claim_the_same_row(slow_payers: House) -> None:
    house = slow_payers
    await house.submit(*[new_payment(f"o{n}") for n in range(50)])
    await house.settle()
    house.due()
    await asyncio.gather(*[house.sweeper.sweep() for _ in range(4)])
    await house.settle()
    asked = [sent.number for sent in house.sent if sent.operation == "query"]
    assert len(asked) == len(set(asked)) == 50


async def test_an_order_is_asked_about_at_its_end_however_long_the_next_step_is(slow_payers: House) -> None:
    house, now_ms = slow_payers, time.time_ns() // 1_000_000
    await house.submit(new_payment("soon", expire_ms=now_ms + 60_000), new_payment("later", expire_ms=now_ms + 86_400_000))
    await house.settle()
    house.sql("UPDATE payments SET query_count = 100, next_action_time = now()")
    await house.sweeper.sweep()
    steps = dict(house.sql("SELECT order_no, (extract(epoch FROM next_action_time) * 1000)::bigint - :now_ms FROM payments",
                           now_ms=now_ms))  # fmt: skip
    assert steps["soon"] == 60_000 + CLOSE_AFTER_S * 1000
    assert 0.8 * QUERY_DELAYS_S[-1] * 1000 <= steps["later"]


async def test_a_lost_answer_to_the_close_of_an_expired_order_is_followed_up_soon(slow_payers: House) -> None:
    house, now_ms = slow_payers, time.time_ns() // 1_000_000
    await house.submit(new_payment("expired", expire_ms=now_ms + 60_000))
    await house.settle()
    house.sql("UPDATE payments SET query_count = 100, expire_time = date_trunc('second', now()) - interval '1 s'")
    house.sql(f"UPDATE payments SET next_action_time = expire_time + interval '{CLOSE_AFTER_S} s' - interval '1 hour',"
              " expire_time = expire_time - interval '1 hour'")  # fmt: skip
    await house.sweeper.sweep()
    ((count, step_s),) = house.sql("SELECT query_count, extract(epoch FROM next_action_time - now()) FROM payments")
    assert count == 1
    assert step_s <= 1.2 * QUERY_DELAYS_S[0]


async def test_f17_an_old_router_that_remembers_the_past_reads_again(house: House) -> None:
    """Whatever it remembers has moved: before it asks another channel for a payment, and before it settles one."""
    house.connectors["c1"]._tell = lambda *_: None  # type: ignore[method-assign]
    payment = await submitted(house)
    await house.settle()
    house.sql("UPDATE payments SET revision = revision + 1")
    house.sql(
        """INSERT INTO payment_history (payment_id, revision, event, state, source, reason, attempt_no)
           SELECT payment_id, revision, 'ASK_CLOSE', state, 'CALLER', '', attempt_no FROM payments"""
    )
    refused = Evidence(payment.attempt_no, Source.SYNC_REPLY, Outcome.NOT_SENT, "CONNECTION_REFUSED", Fault.CHANNEL)
    assert await house.hear(refused) == ["APPLIED"]
    assert house.payment("o1").channel_id == "c2"
    await house.check(at_rest=False)


async def test_f56_many_different_pieces_of_evidence_about_one_payment_in_one_batch(house: House) -> None:
    await house.fault("BLACK_HOLE")
    payment = await house.pay("o1")
    lost = Evidence(payment.attempt_no, Source.QUERY, Outcome.NOT_FOUND)
    waits = lost._replace(outcome=Outcome.ACCEPTED)
    answers = await house.hear(lost, lost, lost, waits, proof(payment), proof(payment, Source.QUERY), lost, waits)
    assert answers == ["APPLIED", "APPLIED", "SAME", "APPLIED", "APPLIED", "SAME", "SAME", "SAME"]
    assert house.payment("o1").state is State.SUCCEEDED
    await house.check(at_rest=False)


async def test_f22_the_client_leaves_in_the_middle_of_a_charge(house: House) -> None:
    async def send(wishes: list[NewPayment]) -> list[Accepted]:
        return await house.router.submit(GATEWAY, wishes)

    edge: Mailbox[NewPayment, Accepted] = Mailbox(send, depth_max=10)
    waiting = edge.put(new_payment("o1"))
    await asyncio.sleep(0.001)
    waiting.cancel()
    while edge._tasks:
        await asyncio.sleep(0.005)
    await house.settle()
    (again,) = await house.submit(new_payment("o1"))
    assert again.payment is not None
    assert again.payment.state is State.SUCCEEDED
    assert len(house.sent) == 1
    await house.check()


# --- the database fails -----------------------------------------------------------------------------------------------


class CommitFault:
    """Lets the next commits fail: `after` them (the work is done) or before (it is not)."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        self._dialect = house.database.engine.dialect
        self._commit = self._dialect.do_commit
        self._errors: list[tuple[bool, Exception]] = []
        monkeypatch.setattr(self._dialect, "do_commit", self._do_commit)

    def next(self, *errors: Exception, after: bool = False) -> None:
        self._errors += [(after, error) for error in errors]

    def _do_commit(self, connection: Any) -> None:
        after, error = self._errors.pop(0) if self._errors else (True, None)
        if after:
            self._commit(connection)
        if error is not None:
            raise error


@pytest.fixture
def commits(house: House, monkeypatch: pytest.MonkeyPatch) -> CommitFault:
    return CommitFault(house, monkeypatch)


CUT = psycopg2.OperationalError("server closed the connection unexpectedly")


@pytest.mark.parametrize("after", [True, False], ids=["after it", "before it"])
async def test_f24_connection_cut_at_the_commit_of_the_intent(house: House, commits: CommitFault, after: bool) -> None:
    commits.next(CUT, after=after)
    with pytest.raises(DatabaseUnavailable):
        await house.submit(new_payment("o1"))
    assert house.sent == [], "an intent that may not exist is not sent"
    (again,) = await house.submit(new_payment("o1"))
    assert (again.payment is not None) == after
    await house.settle()
    await house.sweep()
    payment = house.payment("o1")
    assert payment.state is State.SUCCEEDED
    assert len(house.charges(payment.attempt_no)) == 1
    await house.check()


@pytest.mark.parametrize("after", [True, False], ids=["after it", "before it"])
async def test_f24_connection_cut_at_the_commit_of_the_outcome(house: House, commits: CommitFault, after: bool) -> None:
    await house.fault("TIMEOUT_TAKEN")
    payment = await house.pay("o1")
    await house.heal("TIMEOUT_TAKEN")
    (entry,) = await house.truth()
    said = proof(payment, Source.QUERY, channel_txn_no=str(entry["channel_txn_no"]))
    await house.router._fill([payment.attempt_no])
    commits.next(CUT, after=after)
    with pytest.raises(DatabaseUnavailable):
        await house.hear(said)
    await house.sweep()
    after_all = house.payment("o1")
    assert (after_all.state, after_all.revision) == (State.SUCCEEDED, payment.revision + 1)
    assert house.events(payment) == ["payment.succeeded"]
    assert len(house.charges(payment.attempt_no)) == 1
    await house.check()


RIVALS = [psycopg2.errors.DeadlockDetected("deadlock"), psycopg2.errors.SerializationFailure("could not serialize")]


@pytest.mark.parametrize("error", RIVALS, ids=["deadlock", "serialization"])
async def test_f28_a_lost_race_is_repeated_and_nobody_is_charged_again(
    house: House, commits: CommitFault, error: Exception
) -> None:
    commits.next(error, error, error)
    await submitted(house)
    commits.next(error, error, error)
    await house.settle()
    payment = house.payment("o1")
    assert payment.state is State.SUCCEEDED
    assert len(house.sent) == 1
    assert house.history(payment) == ["SUBMIT", "CONFIRM"]
    await house.check()


async def test_f28_four_lost_races_are_given_up_without_a_trace(house: House, commits: CommitFault) -> None:
    commits.next(*[RIVALS[0]] * 4)
    with pytest.raises(DatabaseUnavailable):
        await house.submit(new_payment("o1"))
    assert house.payments("o1") == []
    assert house.sent == []
    assert (await house.pay("o1")).state is State.SUCCEEDED
    await house.check()


# --- the channel fails ------------------------------------------------------------------------------------------------


async def test_f35_connection_refused_goes_to_another_channel(house: House) -> None:
    await house.fault("CONNECTION_REFUSED")
    payment = await house.pay("o1")
    assert (payment.state, payment.channel_id, payment.attempt_index) == (State.SUCCEEDED, "c2", 2)
    assert house.history(payment) == ["SUBMIT", "REROUTE", "CONFIRM"]
    await house.check()


async def test_f35_connection_refused_everywhere_fails_with_the_reason(house: House) -> None:
    for channel_id in house.channel_ids:
        await house.fault("CONNECTION_REFUSED", channel_id)
    payment = await house.pay("o1")
    assert (payment.state, payment.reason) == (State.FAILED, "CONNECTION_REFUSED")
    assert await house.truth() == []
    await house.check()


async def test_f36_without_valid_keys_nothing_is_sent(house: House) -> None:
    from channels.sandbox.config import SandboxConfig

    house.replace_connector("c1", SandboxConfig("c1", {}))
    payment = await house.pay("o1")
    assert (payment.state, payment.channel_id) == (State.SUCCEEDED, "c2")
    await house.check()


@pytest.mark.parametrize("kind", ["TIMEOUT_TAKEN", "TIMEOUT_NOT_TAKEN"])
async def test_f37_read_timeout_is_unknown_and_asked_about(house: House, kind: str) -> None:
    await house.fault(kind)
    payment = await house.pay("o1")
    assert (payment.state, payment.channel_id) == (State.UNKNOWN, "c1")
    await house.sweep()
    if kind == "TIMEOUT_NOT_TAKEN":  # sent again, and lost again
        assert house.payment("o1").state is State.UNKNOWN
        await house.heal(kind)
        await house.sweep()
    after = house.payment("o1")
    assert (after.state, after.attempt_no) == (State.SUCCEEDED, payment.attempt_no)
    await house.check()


async def test_f37_a_channel_that_stays_silent_never_fails_the_payment(house: House) -> None:
    await house.fault("BLACK_HOLE")
    payment = await house.pay("o1")
    await house.sweep(3)
    await house.skip(30 * 86_400)
    await house.sweep(2)
    assert house.payment("o1").state is State.UNKNOWN
    assert house.charges(payment.attempt_no) == house.charges(payment.attempt_no)[:1]
    await house.check()


@pytest.mark.parametrize("arrived", [True, False])
async def test_f38_connection_reset_in_the_middle(house: House, arrived: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = house.world.exchange

    async def reset(*arguments: Any) -> Any:
        if arrived:
            await exchange(*arguments)
        raise ConnectionResetError("reset by peer")

    with monkeypatch.context() as broken:
        broken.setattr(house.world, "exchange", reset)
        payment = await house.pay("o1")
    assert (payment.state, payment.reason) == (State.UNKNOWN, "CONNECTION_LOST")
    await house.sweep()
    after = house.payment("o1")
    assert (after.state, after.send_count) == (State.SUCCEEDED, 1 if arrived else 2)
    await house.check()


async def test_f38_truncated_body(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = house.world.exchange

    async def truncated(*arguments: Any) -> Any:
        return [(body[: len(body) // 2], signature) for body, signature in await exchange(*arguments)]

    with monkeypatch.context() as broken:
        broken.setattr(house.world, "exchange", truncated)
        assert (await house.pay("o1")).state is State.UNKNOWN
    await house.sweep()
    assert house.payment("o1").state is State.SUCCEEDED
    await house.check()


async def test_f39_system_error_keeps_the_number(house: House) -> None:
    await house.fault("SERVER_ERROR")
    await house.submit(*[new_payment(f"o{n}") for n in range(20)])
    await house.settle()
    before = [house.payment(f"o{n}") for n in range(20)]
    assert {payment.state for payment in before} == {State.UNKNOWN}
    await house.sweep()
    await house.heal("SERVER_ERROR")
    await house.sweep(2)
    after = [house.payment(f"o{n}") for n in range(20)]
    assert {payment.state for payment in after} == {State.SUCCEEDED}
    assert [payment.attempt_no for payment in after] == [payment.attempt_no for payment in before]
    await house.check()


async def test_f40_an_answer_with_a_bad_signature_is_unknown(house: House) -> None:
    await house.fault("ANSWER_BAD_SIGNATURE")
    payment = await house.pay("o1")
    assert (payment.state, payment.reason) == (State.UNKNOWN, "SIGNATURE_INVALID")
    await house.sweep()
    assert house.payment("o1").state is State.UNKNOWN
    await house.heal("ANSWER_BAD_SIGNATURE")
    await house.sweep()
    assert house.payment("o1").state is State.SUCCEEDED
    await house.check()


async def test_f41_success_with_another_amount_is_a_case_and_no_success(house: House) -> None:
    await house.fault("ANSWER_OTHER_AMOUNT")
    payment = await house.pay("o1")
    assert (payment.state, house.cases(payment)) == (State.UNKNOWN, {"AMOUNT_MISMATCH"})
    await house.sweep()
    assert house.payment("o1").state is State.UNKNOWN
    await house.heal("ANSWER_OTHER_AMOUNT")
    await house.sweep()
    assert house.payment("o1").state is State.SUCCEEDED
    await house.check()


@pytest.mark.parametrize(
    "wrong", [{"amount_minor": 1}, {"currency_code": "USD"}, {"merchant_no": "life-c1"}], ids=["1 fen", "USD", "other"]
)
async def test_f41_a_callback_about_other_money_is_a_case_and_no_success(
    slow_payers: House, wrong: dict[str, Any]
) -> None:
    house = slow_payers
    payment = await house.pay("o1")
    await house.hear(proof(payment, **wrong))
    assert house.payment("o1").state is State.PENDING
    assert len(house.cases(payment)) == 1
    await house.check()


async def test_f42_a_byte_a_second_meets_the_deadline(house: House) -> None:
    await house.fault("SLOW_DRIP")
    payment = await house.pay("o1")
    assert (payment.state, payment.reason) == (State.UNKNOWN, "TIMEOUT")
    await house.heal("SLOW_DRIP")
    await house.sweep()
    assert house.payment("o1").state is State.SUCCEEDED
    await house.check()


async def test_f43_rate_limited_then_queried(house: House) -> None:
    await house.fault("RATE_LIMIT")
    payment = await house.pay("o1")
    assert (payment.state, payment.channel_id) == (State.UNKNOWN, "c1"), "it may have been accepted all the same"
    await house.heal("RATE_LIMIT")
    await house.sweep()
    after = house.payment("o1")
    assert (after.state, after.attempt_no) == (State.SUCCEEDED, payment.attempt_no)
    await house.check()


async def test_f44_a_phantom_refund_is_never_success(slow_payers: House) -> None:
    house = slow_payers
    await house.fault("REFUND_PHANTOM")
    payment = await house.pay("o1")
    await house.close(payment)
    await house.skip(ALL_HAVE_PAID_S)
    await house.sweep(4)
    ((cause, state, _),) = house.refunds(payment)
    assert (cause, state) in {("PAID_AFTER_CLOSE", "ACCEPTED"), ("PAID_AFTER_CLOSE", "UNKNOWN")}
    assert "refund.succeeded" not in house.events(payment)
    assert len({sent.number for sent in house.sent if sent.operation == "refund"}) == 1
    await house.check(at_rest=False)


async def test_f47_number_reused_means_that_an_earlier_send_landed(house: House) -> None:
    await house.fault("TIMEOUT_TAKEN")
    payment = await house.pay("o1")
    await house.heal("TIMEOUT_TAKEN")
    # The channel lost sight of it for a moment, so it is sent again, and refused as a number that is taken.
    await house.hear(Evidence(payment.attempt_no, Source.QUERY, Outcome.NOT_FOUND))
    taken = Evidence(payment.attempt_no, Source.SYNC_REPLY, Outcome.REJECTED, "NUMBER_REUSED", Fault.CONFIG)
    await house.hear(taken)
    assert house.payment("o1").attempt_no == payment.attempt_no
    await house.sweep()
    after = house.payment("o1")
    assert (after.state, after.attempt_index, after.send_count) == (State.SUCCEEDED, 1, 2)
    await house.check()


async def test_f48_accepted_is_not_paid(slow_payers: House) -> None:
    payment = await slow_payers.pay("o1")
    assert payment.state is State.PENDING
    assert payment.action_kind == "QR_CODE"
    assert slow_payers.events(payment) == []
    await slow_payers.check()


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one after the other"])
async def test_f49_two_payments_of_one_order_keep_the_first_and_return_the_second(
    slow_payers: House, together: bool
) -> None:
    house = slow_payers
    await house.submit(new_payment("o1"), new_payment("o1", request_id="other", method="CARD"))
    await house.settle()
    await house.skip(ALL_HAVE_PAID_S)  # both payers pay; their callbacks come
    if together:
        proofs = [proof(payment) for payment in house.payments("o1")]
        await house.hear(*proofs)
    await house.settle()
    await house.sweep(2)
    await house.skip(60)
    await house.sweep(2)
    first, second = sorted(house.payments("o1"), key=lambda payment: payment.duplicate)
    assert (first.state, first.duplicate, second.state, second.duplicate) == (
        State.SUCCEEDED, False, State.SUCCEEDED, True,
    )  # fmt: skip
    assert house.refunds(first) == []
    assert house.refunds(second) == [("DUPLICATE", "SUCCEEDED", AMOUNT_MINOR)]
    assert house.events(second) == ["payment.duplicate", "refund.succeeded"]
    await house.check()


async def test_f49_an_attempt_that_was_left_as_dead_gives_its_money_back(house: House) -> None:
    await house.fault("CONNECTION_REFUSED")
    payment = await house.pay("o1")
    assert payment.channel_id == "c2"
    ((left_no, left_merchant),) = house.sql("SELECT attempt_no, merchant_no FROM attempts WHERE attempt_index = 1")
    liar = proof(payment, attempt_no=left_no, merchant_no=left_merchant, amount_minor=0, currency_code="")
    await house.hear(liar, liar._replace(source=Source.QUERY))
    await house.hear(liar)
    await house.hear(liar._replace(merchant_no=merchant_no("life", "c1")))
    assert house.refunds(payment) == [("EARLIER_ATTEMPT_PAID", "APPROVED", AMOUNT_MINOR)]
    assert house.cases(payment) == {"EARLIER_ATTEMPT_PAID"}
    assert house.payment("o1").state is State.SUCCEEDED
    await house.check(at_rest=False)


async def test_f49_both_refunds_of_one_payment_may_be_proved_at_once(house: House) -> None:
    await house.fault("CONNECTION_REFUSED")
    payment = await house.pay("o1", method="CARD")
    ((left_no, left_merchant),) = house.sql("SELECT attempt_no, merchant_no FROM attempts WHERE attempt_index = 1")
    house.sql("UPDATE payments SET kept = NULL, duplicate = true, refund_reserved_minor = amount_minor")
    house.sql(
        """INSERT INTO refunds (refund_id, tenant_id, payment_id, attempt_no, channel_id, merchant_no, amount_minor,
               currency_code, cause, state, next_action_time)
           SELECT 'rfd_' || attempt_no, tenant_id, payment_id, attempt_no, channel_id, merchant_no, amount_minor,
                  currency_code, 'DUPLICATE', 'ACCEPTED', now() FROM payments"""
    )
    await house.hear(proof(payment, attempt_no=left_no, merchant_no=left_merchant))
    house.sql("UPDATE refunds SET state = 'SUBMITTED'")
    proofs = [
        Evidence(number, Source.QUERY, Outcome.DONE, amount_minor=AMOUNT_MINOR, refund_no=f"R{number}")
        for number in (payment.attempt_no, left_no)
    ]
    assert await house.hear(*proofs) == ["APPLIED", "APPLIED"]
    assert house.events(payment).count("refund.succeeded") == 2
    await house.check(at_rest=False)


@pytest.mark.parametrize("why", ["called off", "expired"])
async def test_f50_success_after_close(slow_payers: House, why: str) -> None:
    house = slow_payers
    await house.fault("LATE_SUCCESS_AFTER_CLOSE")
    payment = await house.pay("o1")
    if why == "called off":
        await house.close(payment)
    else:
        house.offset_ms += 901_000  # by our clock it has expired; the channel still waits
    await house.sweep()
    assert house.payment("o1").state is State.CLOSED
    await house.skip(5)  # the payer was faster than the close after all: the callback says so, and a question proves it
    await house.settle()
    after = house.payment("o1")
    assert (after.state, after.late) == (State.SUCCEEDED, True)
    assert house.events(payment)[:2] == ["payment.closed", "payment.succeeded"]
    await house.sweep(2)
    await house.skip(60)
    await house.sweep(2)
    expected = [("PAID_AFTER_CLOSE", "SUCCEEDED", AMOUNT_MINOR)] if why == "called off" else []
    assert house.refunds(payment) == expected
    await house.check()


async def test_f51_close_says_already_paid(slow_payers: House) -> None:
    house = slow_payers
    await house.fault("CALLBACK_LOST")
    payment = await house.pay("o1")
    await house.skip(ALL_HAVE_PAID_S)
    assert house.payment("o1").state is State.PENDING, "the payer has paid, and nobody has told us"
    answer = await house.close(house.payment("o1"))
    assert answer.payment is not None
    await house.sweep()
    after = house.payment("o1")
    assert after.state is State.SUCCEEDED, "the money is there: it is not called closed"
    await house.sweep()
    await house.skip(60)
    await house.sweep()
    assert house.refunds(payment) == [("PAID_AFTER_CLOSE", "SUCCEEDED", AMOUNT_MINOR)]
    await house.check()


async def test_f51_a_slow_charge_and_its_close_are_not_mixed_up(emptied_database_url: str, tmp_path: Path) -> None:
    """The close meets maintenance while the charge is under way: that is no answer to the charge."""
    slow = Profile("c1", latency_ms_p50=150.0)
    async with opened_house(emptied_database_url, tmp_path, slow, Profile("c2")) as house:
        payment = await submitted(house)
        await asyncio.sleep(0.03)
        await house.close(payment)
        await house.fault("MAINTENANCE")
        await house.sweeper.sweep()
        await house.settle()
        assert house.payment("o1").state is not State.FAILED
        await house.heal("MAINTENANCE")
        await house.sweep(3)
        assert house.payment("o1").state is State.SUCCEEDED
        await house.skip(60)
        await house.sweep(3)
        await house.check()


# --- callbacks --------------------------------------------------------------------------------------------------------


async def test_f55_the_callback_never_comes(slow_payers: House) -> None:
    house = slow_payers
    await house.fault("CALLBACK_LOST")
    await house.submit(*[new_payment(f"o{n}") for n in range(20)])
    await house.settle()
    await house.skip(ALL_HAVE_PAID_S)
    assert {house.payment(f"o{n}").state for n in range(20)} == {State.PENDING}
    await house.sweep()
    assert {house.payment(f"o{n}").state for n in range(20)} == {State.SUCCEEDED}
    await house.check()


async def test_f56_the_same_callback_a_hundred_times_in_parallel(slow_payers: House) -> None:
    house = slow_payers
    payment = await house.pay("o1")
    said = proof(payment)
    answers = await asyncio.gather(*[house.hear(said) for _ in range(50)], house.hear(*[said] * 50))
    assert sum(result == "APPLIED" for batch in answers for result in batch) == 1
    assert house.history(payment) == ["SUBMIT", "WAIT", "CONFIRM"]
    assert house.events(payment) == ["payment.succeeded"]
    await house.check(at_rest=False)


async def test_f56_the_sandbox_says_it_thrice(emptied_database_url: str, tmp_path: Path) -> None:
    profile = Profile("c1", asynchronous=True, payer_delay_ms_p50=20.0)
    async with opened_house(emptied_database_url, tmp_path, profile) as house:
        await house.fault("CALLBACK_DUPLICATE")
        payment = await house.pay("o1")
        await house.skip(30)
        assert house.payment("o1").state is State.SUCCEEDED
        assert house.history(payment) == ["SUBMIT", "WAIT", "CONFIRM"]
        await house.check()


async def test_f57_the_callback_is_faster_than_the_answer(emptied_database_url: str, tmp_path: Path) -> None:
    async with opened_house(emptied_database_url, tmp_path, Profile("c1"), Profile("c2")) as house:
        house.replace_connector("c1")
        await house.fault("CALLBACK_EARLY")
        payment = await submitted(house)
        await asyncio.sleep(0.2)
        assert house.payment("o1").state is State.SUCCEEDED
        await house.settle()
        await house.sweep()
        assert house.history(payment) == ["SUBMIT", "CONFIRM"]
        await house.check()


async def test_f58_a_callback_for_an_order_that_we_do_not_know(house: House) -> None:
    payment = await house.pay("o1")
    stranger = proof(payment, attempt_no="2026010100000000000000000000000")
    assert await house.hear(stranger, proof(payment)) == ["UNKNOWN_ATTEMPT", "SAME"]
    refund = stranger._replace(refund_no="R2026010100000000000000000000000")
    assert await house.hear(refund) == ["UNKNOWN_ATTEMPT"]
    await house.check()


@pytest.mark.parametrize("kind", ["FORGED_SIGNATURE", "FORGED_AMOUNT", "FORGED_MERCHANT"])
async def test_f59_a_forged_callback_changes_nothing(slow_payers: House, kind: str) -> None:
    house = slow_payers
    await house.fault(kind)
    payment = await house.pay("o1")
    await house.skip(1)
    await asyncio.sleep(0.1)
    await house.settle()
    assert house.payment("o1").state is State.PENDING
    expected = {
        "FORGED_SIGNATURE": set(),
        "FORGED_AMOUNT": {"AMOUNT_MISMATCH"},
        "FORGED_MERCHANT": {"MERCHANT_MISMATCH"},
    }
    assert house.cases(payment) == expected[kind]
    assert house.refused_callbacks == (["SIGNATURE_INVALID"] if kind == "FORGED_SIGNATURE" else [])
    await house.skip(ALL_HAVE_PAID_S)
    assert house.payment("o1").state is State.SUCCEEDED
    await house.check()


async def test_f59_another_merchants_failure_does_not_fail_the_payment(slow_payers: House) -> None:
    house = slow_payers
    payment = await house.pay("o1")
    other = merchant_no("life", "c1")
    for outcome in (Outcome.REJECTED, Outcome.CLOSED, Outcome.DONE):
        await house.hear(proof(payment, outcome=outcome, merchant_no=other), tenant_id="life")
    assert house.payment("o1").state is State.PENDING
    assert house.cases(payment) == {"MERCHANT_MISMATCH"}
    await house.check()


async def test_f61_the_refund_callback_is_faster_than_the_payments(slow_payers: House) -> None:
    house = slow_payers
    payment = await house.pay("o1")
    await house.close(payment)
    refund = Evidence(payment.attempt_no, Source.CALLBACK, Outcome.DONE, amount_minor=AMOUNT_MINOR, currency_code="CNY",
                      merchant_no=payment.merchant_no, refund_no=f"R{payment.attempt_no}")  # fmt: skip
    assert await house.hear(refund) == ["UNKNOWN_ATTEMPT"], "not acknowledged, so it comes again"
    assert await house.hear(proof(payment), refund) == ["APPLIED", "UNKNOWN_ATTEMPT"]
    house.sql("UPDATE refunds SET state = 'SUBMITTED'")
    assert await house.hear(refund) == ["APPLIED"]
    assert await house.hear(refund, proof(payment)) == ["SAME", "SAME"]
    assert house.events(payment) == ["payment.succeeded", "refund.succeeded"]
    await house.check(at_rest=False)


# --- callers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other", [{"amount_minor": 1}, {"order_no": "o2"}, {"method": "CARD"}, {"payer_ref": "somebody"}], ids=str
)
async def test_f85_the_same_key_with_other_content_is_refused(house: House, other: dict[str, Any]) -> None:
    payment = await house.pay("o1")
    (answer,) = await house.submit(new_payment(**{"order_no": "o1", "request_id": "req-o1", **other}))
    assert answer.refusal is not None
    assert (answer.refusal.kind, answer.refusal.reason) == (Kind.REUSED, "REQUEST_ID_REUSED")
    await house.settle()
    assert house.payment("o1") == payment
    assert len(house.sent) == 1
    await house.check()


async def test_f85_the_same_key_with_other_content_in_one_batch(house: House) -> None:
    answers = await house.submit(new_payment("o1"), new_payment("o1", amount_minor=5), new_payment("o1"))
    assert answers[0] == Accepted()
    assert answers[1].refusal is not None
    assert answers[1].refusal.kind is Kind.REUSED
    assert answers[2].payment is not None
    await house.settle()
    await house.check()


async def test_f86_the_same_key_a_hundred_times_in_parallel(house: House) -> None:
    wish = new_payment("o1")
    answers = await asyncio.gather(*[house.submit(wish) for _ in range(50)], house.submit(*[wish] * 50))
    await house.settle()
    flat = [answer for batch in answers for answer in batch]
    assert len(flat) == 100
    assert sum(answer == Accepted() for answer in flat) == 1
    payment = house.payment("o1")
    assert {answer.payment.payment_id for answer in flat if answer.payment} == {payment.payment_id}
    assert not [answer for answer in flat if answer.refusal]
    assert len(house.sent) == 1
    await house.check()


async def test_f86_one_order_by_one_method_a_hundred_times_is_one_payment(house: House) -> None:
    wishes = [new_payment("o1", request_id=f"r{n}") for n in range(100)]
    answers = await asyncio.gather(*[house.submit(wish) for wish in wishes])
    await house.settle()
    refusals = {answer.refusal.reason for (answer,) in answers if answer.refusal}
    assert sum(answers_to_one == [Accepted()] for answers_to_one in answers) == 1
    assert refusals <= {"PAYMENT_OPEN", "ORDER_PAID", "ORDER_MOVED"}
    assert len(house.sent) == 1
    await house.check()


async def test_f88_pay_close_and_proof_race(slow_payers: House) -> None:
    house = slow_payers
    for n in range(10):
        order_no = f"o{n}"
        await house.submit(new_payment(order_no))
        await house.settle()
        payment = house.payment(order_no)
        second = new_payment(order_no, request_id=f"again{n}", method="CARD")
        await asyncio.gather(
            house.hear(proof(payment)), house.close(payment), house.submit(second), house.hear(proof(payment)),
            house.close(payment), house.hear(proof(payment, outcome=Outcome.CLOSED)),
        )  # fmt: skip
        await house.settle()
        assert house.payments(order_no)[0].state in (State.SUCCEEDED, State.CLOSED)
    await house.check(at_rest=False)


async def test_f89_another_tenants_payment_does_not_exist(house: House) -> None:
    payment = await house.pay("o1")
    (answer,) = await house.router.ask_close([CloseWish("life", payment.payment_id, "MINE")])
    assert answer.refusal is not None
    assert (answer.refusal.kind, answer.refusal.reason) == (Kind.NOT_FOUND, "PAYMENT_NOT_FOUND")
    assert payment.order_no not in answer.refusal.message


async def test_f89_not_even_in_one_batch_with_its_owner(slow_payers: House) -> None:
    house = slow_payers
    payment = await house.pay("o1")
    wishes = [CloseWish(tenant_id, payment.payment_id, tenant_id) for tenant_id in ("life", "pnc", "life")]
    answers = await house.router.ask_close(wishes)
    assert [answer.payment is not None for answer in answers] == [False, True, False]
    assert {answer.refusal.kind for answer in answers if answer.refusal} == {Kind.NOT_FOUND}
    assert house.payment("o1").close_reason == "pnc"


async def test_f89_tenants_may_use_the_same_numbers(house: House) -> None:
    ours, theirs = new_payment("o1"), new_payment("o1", tenant_id="life", amount_minor=5)
    assert await house.submit(ours, theirs) == [Accepted(), Accepted()]
    await house.settle()
    assert {payment.tenant_id: payment.state for payment in house.payments("o1")} == {
        "pnc": State.SUCCEEDED, "life": State.SUCCEEDED,
    }  # fmt: skip
    await house.check()
