"""The shell that Ray runs: builds its inhabitants, and one that cannot be built leaves the others alone."""

from typing import Any

import pytest

from actors.peers import pack, unpack
from actors.shell import Inhabitant, Shell

built: list[str] = []


class Guest:
    def __init__(self, name: str) -> None:
        self._name = name

    async def ping(self) -> dict[str, Any]:
        return {"name": self._name}

    async def greet(self, whom: str) -> str:
        return f"{self._name} greets {whom}"


async def make(*, name: str) -> Guest:
    built.append(name)
    return Guest(name)


async def fail(*, name: str) -> Guest:
    built.append(name)
    raise RuntimeError(name)


def shell(*inhabitants: Inhabitant) -> Shell:
    built.clear()
    return Shell(pack(list(inhabitants)))


async def test_an_inhabitant_is_built_once_and_called() -> None:
    hosting = shell(Inhabitant("a", make, {"name": "a"}))
    assert unpack(await hosting.call("a", "greet", pack(("b",)))) == "a greets b"
    assert unpack(await hosting.call("a", "greet", pack(("c",)))) == "a greets c"
    assert built == ["a"]


async def test_one_that_cannot_be_built_leaves_the_others_alone() -> None:
    hosting = shell(Inhabitant("bad", fail, {"name": "bad"}), Inhabitant("good", make, {"name": "good"}))
    assert unpack(await hosting.ping()) == {"good": {"name": "good"}}
    assert unpack(await hosting.call("good", "greet", pack(("b",)))) == "good greets b"
    with pytest.raises(RuntimeError, match="bad"):
        await hosting.call("bad", "greet", pack(("b",)))
    assert unpack(await hosting.ping()) == {"good": {"name": "good"}}, "tried again, and still not there"


async def test_one_that_comes_later_is_built_at_the_next_ping_and_only_once() -> None:
    hosting = shell(Inhabitant("a", make, {"name": "a"}))
    await hosting.ping()
    for _ in range(2):
        await hosting.admit(pack([Inhabitant("a", make, {"name": "other"}), Inhabitant("b", make, {"name": "b"})]))
        assert unpack(await hosting.ping()) == {"a": {"name": "a"}, "b": {"name": "b"}}
    assert built == ["a", "b"]
