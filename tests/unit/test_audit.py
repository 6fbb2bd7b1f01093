"""The chain as pure arithmetic: every later hand shows, at its own place."""

from hypothesis import given
from hypothesis import strategies as st

from domain.audit import GENESIS, Damage, Link, Record, Verifier, hash_of


def record(number: int, **changes: object) -> Record:
    usual = Record(number, "pnc", "zhang", "Channels.Force", "channel", "c1", None, {"n": number}, "", "", "", 1_000 + number)
    return usual._replace(**changes)  # type: ignore[arg-type]


def chain(length: int) -> list[Link]:
    links, prev_hash = [], GENESIS
    for index in range(1, length + 1):
        sealed = record(index)
        made = hash_of(prev_hash, index, sealed)
        links.append(Link(index, prev_hash, made, sealed))
        prev_hash = made
    return links


def first_finding(links: list[Link]) -> tuple[int, Damage] | None:
    verifier = Verifier()
    for link in links:
        if finding := verifier.check(link):
            return finding.place, finding.damage
    return None


def test_a_chain_as_it_was_sealed_is_sound() -> None:
    assert first_finding(chain(50)) is None


@given(st.integers(1, 30), st.sampled_from(["principal", "operation", "object_id", "reason", "address", "time_us", "after"]))
def test_an_edited_entry_is_found_at_its_place(place: int, field: str) -> None:
    links = chain(30)
    change: object = {"time_us": 1, "after": {"n": -1}}.get(field, "somebody else")
    links[place - 1] = links[place - 1]._replace(record=record(place, **{field: change}))
    assert first_finding(links) == (place, Damage.EDITED)


@given(st.integers(1, 30))
def test_a_deleted_entry_is_found_at_its_place(place: int) -> None:
    links = chain(31)
    gone = links.copy()
    gone[place - 1] = gone[place - 1]._replace(record=None)
    assert first_finding(gone) == (place, Damage.DELETED)
    assert first_finding(links[: place - 1] + links[place:]) == (place, Damage.DELETED)
    closed_up = links[: place - 1] + [link._replace(place=link.place - 1) for link in links[place:]]
    assert first_finding(closed_up) == (place, Damage.DELETED)


@given(st.integers(2, 30))
def test_an_inserted_entry_with_a_right_hash_is_found_at_its_place(place: int) -> None:
    links = chain(30)
    prev_hash, forged = links[place - 2].hash, record(999)
    put_in = Link(place, prev_hash, hash_of(prev_hash, place, forged), forged)
    moved = [link._replace(place=link.place + 1) for link in links[place - 1 :]]
    assert first_finding([*links[: place - 1], put_in, *moved]) == (place, Damage.INSERTED)


@given(st.integers(1, 30), st.integers(1, 30))
def test_two_entries_that_changed_places_are_found_at_the_first(one: int, other: int) -> None:
    links = chain(30)
    first, second = links[one - 1], links[other - 1]
    links[one - 1] = first._replace(record=second.record)
    links[other - 1] = second._replace(record=first.record)
    expected = None if one == other else (min(one, other), Damage.EDITED)
    assert first_finding(links) == expected
