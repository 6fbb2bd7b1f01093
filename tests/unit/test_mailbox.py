"""The mailbox: order, bounds, pace, refusals at the door, and nobody left waiting."""

import asyncio
import time
from collections.abc import Sequence
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import mailbox
from actors.mailbox import PACE_S_MAX, Mailbox
from domain.refusals import Kind, Refused


class Post:
    """Keeps the batches that were sent, and answers each message with itself; `gate` holds answers back."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.under_way = 0
        self.under_way_max = 0

    async def send(self, messages: list[int]) -> Sequence[int]:
        self.batches.append(messages)
        self.under_way += 1
        self.under_way_max = max(self.under_way_max, self.under_way)
        await self.gate.wait()
        self.under_way -= 1
        return messages

    @property
    def sent(self) -> list[int]:
        return [message for batch in self.batches for message in batch]


async def test_what_arrives_together_leaves_together_in_order() -> None:
    post = Post()
    box = Mailbox(post.send, depth_max=100)
    answers = await asyncio.gather(*[box.put(number) for number in range(10)])
    assert post.batches == [list(range(10))]
    assert answers == list(range(10))


async def test_no_batch_is_larger_than_it_may_be_and_no_lane_is_exceeded() -> None:
    post = Post()
    post.gate.clear()
    box = Mailbox(post.send, depth_max=1000, batch_max=10, lanes=2)
    futures = [box.put(number) for number in range(100)]
    await asyncio.sleep(0.01)
    assert (len(post.batches), box.depth) == (2, 80), "two lanes are busy, the others wait"
    post.gate.set()
    assert await asyncio.gather(*futures) == list(range(100))
    assert post.sent == list(range(100))
    assert {len(batch) for batch in post.batches} == {10}
    assert post.under_way_max == 2


async def test_a_full_mailbox_refuses_at_the_door_and_takes_again_later() -> None:
    post = Post()
    post.gate.clear()
    box = Mailbox(post.send, depth_max=3, batch_max=1, lanes=1)
    under_way = box.put(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    waiting = [box.put(number) for number in (1, 2, 3)]
    with pytest.raises(Refused) as refused:
        box.put(4)
    assert refused.value.refusal.kind is Kind.OVERLOADED
    post.gate.set()
    await asyncio.gather(under_way, *waiting)
    assert await box.put(4) == 4
    assert post.sent == [0, 1, 2, 3, 4], "what was refused was never sent"


async def test_one_that_rests_sends_the_first_at_once_and_then_what_has_gathered() -> None:
    post = Post()
    box = Mailbox(post.send, depth_max=100, rest_s=0.05)
    begin_s = time.monotonic()
    await box.put(0)
    assert time.monotonic() - begin_s < 0.04
    await asyncio.gather(*(box.put(number) for number in (1, 2)))
    assert time.monotonic() - begin_s > 0.045
    assert (post.sent, box.sent_batches) == ([0, 1, 2], 2)


async def test_an_exception_reaches_everyone_in_the_batch_and_nobody_else() -> None:
    async def send(messages: list[int]) -> Sequence[int]:
        if 3 in messages:
            raise ConnectionError("lost")
        return messages

    box = Mailbox(send, depth_max=100, batch_max=5)
    results = await asyncio.gather(*[box.put(number) for number in range(10)], return_exceptions=True)
    assert all(isinstance(result, ConnectionError) for result in results[:5])
    assert results[5:] == [5, 6, 7, 8, 9]


async def test_a_wrong_number_of_answers_is_an_error_and_not_a_mix_up() -> None:
    async def send(messages: list[int]) -> Sequence[int]:
        return messages[1:]

    box = Mailbox(send, depth_max=100)
    results = await asyncio.gather(box.put(1), box.put(2), return_exceptions=True)
    assert all(isinstance(result, RuntimeError) for result in results)


async def test_who_stops_waiting_neither_stops_the_message_nor_its_mates() -> None:
    post = Post()
    post.gate.clear()
    box = Mailbox(post.send, depth_max=100)
    leaver, stayer = box.put(1), box.put(2)
    await asyncio.sleep(0.001)
    leaver.cancel()
    post.gate.set()
    assert await stayer == 2
    assert post.sent == [1, 2]


async def test_an_idle_mailbox_sends_at_once() -> None:
    post = Post()
    box = Mailbox(post.send, depth_max=10)
    waited_s = []
    for number in range(5):
        begin_s = time.monotonic()
        await box.put(number)
        waited_s.append(time.monotonic() - begin_s)
        await asyncio.sleep(0.02)
    assert sorted(waited_s)[2] < PACE_S_MAX / 5, "a lone caller never waits for the pace"
    assert post.batches == [[0], [1], [2], [3], [4]]


async def test_a_busy_mailbox_sends_rarely_and_much() -> None:
    post = Post()
    box = Mailbox(post.send, depth_max=10_000, batch_max=100_000)
    futures = []
    begin_s = time.monotonic()
    while time.monotonic() - begin_s < 0.5:
        futures += [box.put(number) for number in range(20)]
        await asyncio.sleep(0.002)
    await asyncio.gather(*futures)
    assert len(post.batches) <= 2 * 0.5 / PACE_S_MAX, "250 turns of the loop, and a batch per pace"
    assert box.sent_messages == len(futures)
    assert box.sent_batches == len(post.batches)


async def test_a_full_batch_does_not_wait_for_the_pace() -> None:
    post = Post()
    box = Mailbox(post.send, depth_max=1000, batch_max=10, lanes=8)
    begin_s = time.monotonic()
    await asyncio.gather(*[box.put(number) for number in range(200)])
    assert time.monotonic() - begin_s < 1.0


async def test_a_slow_batch_does_not_hold_the_next_one() -> None:
    async def send(messages: list[float]) -> Sequence[float]:
        await asyncio.sleep(max(messages))
        return messages

    box = Mailbox(send, depth_max=10)
    slow = box.put(20)
    await asyncio.sleep(0.01)
    assert await asyncio.wait_for(box.put(0.0), 10) == 0.0
    slow.cancel()


@settings(max_examples=60)
@given(
    bursts=st.lists(st.integers(1, 40), max_size=12),
    batch_max=st.integers(1, 20),
    lanes=st.integers(1, 4),
    failing=st.sets(st.integers(0, 30)),
)
def test_no_message_is_lost_doubled_or_overtaken(
    bursts: list[int], batch_max: int, lanes: int, failing: set[int]
) -> None:
    async def scene() -> None:
        sent: list[int] = []
        calls = 0

        async def send(messages: list[int]) -> Sequence[int]:
            nonlocal calls
            calls += 1
            assert len(messages) <= batch_max
            sent.extend(messages)
            await asyncio.sleep(0)
            if calls in failing:
                raise ConnectionError
            return messages

        box = Mailbox(send, depth_max=10_000, batch_max=batch_max, lanes=lanes)
        futures = []
        for burst in bursts:
            futures += [box.put(len(futures) + number) for number in range(burst)]
            await asyncio.sleep(0)
        results = await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), 5)
        assert sent == list(range(len(futures)))
        assert all(isinstance(r, ConnectionError) or r == place for place, r in enumerate(results))

    with patch.object(mailbox, "PACE_S_MAX", 0.0):
        asyncio.run(scene())


async def test_what_is_told_travels_with_what_is_put_and_nobody_waits_for_it() -> None:
    post = Post()
    box = Mailbox(post.send, depth_max=3)
    assert box.tell(1)
    answer = box.put(2)
    assert box.tell(3)
    assert not box.tell(4), "a full mailbox takes no more"
    assert await answer == 2
    assert post.batches == [[1, 2, 3]]


async def test_a_lost_batch_is_an_exception_for_those_who_wait_alone() -> None:
    async def lose(messages: list[int]) -> Sequence[int]:
        raise ConnectionError("gone")

    box: Mailbox[int, int] = Mailbox(lose, depth_max=10)
    box.tell(1)
    answer = box.put(2)
    with pytest.raises(ConnectionError):
        await answer
    assert box.depth == 0
