"""The fuzzer finds what is planted, repeats itself, and finds nothing at the parsers of channels in a short while."""

from pathlib import Path

import pytest

from ops import parser_fuzz


def planted(content: bytes) -> None:
    if b"\xff" in content:
        raise KeyError("planted")
    if len(content) < 5:
        raise ValueError("too short")


def test_a_planted_mistake_is_found_again_under_the_same_seed_and_kept(tmp_path: Path) -> None:
    targets = {"planted": parser_fuzz.Target([b"0123456789"], planted, (ValueError,))}
    first, again = (list(parser_fuzz.throw(targets, inputs=3_000, seed=5, done=lambda: None)) for _ in range(2))
    assert first and first == again
    assert {find.problem for find in first} == {"KeyError: 'planted'"}
    assert parser_fuzz.keep(first[0], tmp_path, 1).read_bytes() == first[0].content


def test_a_callback_that_is_believed_unsigned_is_a_find() -> None:
    targets = parser_fuzz.alipay()
    harmless = targets["callback"].feed(targets["callback"].seeds[0])
    assert harmless is None
    for problem in (parser_fuzz.Believed(), AttributeError("x")):

        def believes(_: bytes, problem: Exception = problem) -> None:
            raise problem

        broken = {"callback": targets["callback"]._replace(feed=believes)}
        assert len(list(parser_fuzz.throw(broken, inputs=10, seed=1, done=lambda: None))) == 10


@pytest.mark.parametrize("channel", sorted(parser_fuzz.CHANNELS))
def test_parsers_take_messages_as_they_are_and_mutated(channel: str) -> None:
    targets = parser_fuzz.CHANNELS[channel]()
    for target in targets.values():
        for content in target.seeds:
            target.feed(content)  # one that is refused would lead no further than its first lines
    assert not list(parser_fuzz.throw(targets, inputs=2_000, seed=9, done=lambda: None))
