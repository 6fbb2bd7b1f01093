"""Calls as one tenant with everything that is another's, and looks whether an answer shows that it exists.

Each call goes out twice: with values of the other tenant, and with values of the same shape that nobody has. A refusal must
be the same to the byte but for the values themselves, and no answer may hold anything of the other tenant that was not sent.
What the caller itself has used by then is its own and counts no more, nor does what the trail quotes of its own questions. It
makes things: point it at a sandbox.
"""

import asyncio
import json
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc

from domain.refusals import Refused
from ops.call import Method, methods
from servers import pages

# Shorter texts, such as states and currencies, are everybody's.
MARKER_LENGTH_MIN = 8
# Longer ones are no names of anything, and messages show the beginning of a text only.
MARKER_LENGTH_MAX = 40
HARVEST_PAGES = 3
AT_ONCE = 8
TIMEOUT_S = 5.0
DEPTH_MAX = 4
# A difference that comes of the moment, not of the values, is gone when the pair is sent again.
TRIES = 3
FINDINGS_MAX = 20
_READS = ("Get", "List", "Search", "Explain", "WhoAmI", "Verify", "DryRun")
# What shows entries of the audit trail.
_OF_TRAIL = frozenset({"Audit/SearchAudit", "Audit/GetAuditEntry"})
# Answers after which nothing was made.
_NOTHING_DONE = frozenset({
    grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ALREADY_EXISTS,
})  # fmt: skip


@dataclass(slots=True)
class Report:
    """What came of it: how many calls, by what they were answered, and every leak and hint (none is the point)."""

    calls: int = 0
    seconds: float = 0.0
    foreign_values: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    leaks: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Tell whether nothing of the other tenant showed."""
        return not self.leaks and not self.hints


@dataclass(slots=True)
class _Answer:
    """An answer as it crosses the wire."""

    code: grpc.StatusCode
    content: bytes


class Fuzzer:
    """Two keys of two tenants on one edge."""

    def __init__(
        self, channel: grpc.aio.Channel, *, mine: str, theirs: str, seed: int, without: frozenset[str] = frozenset()
    ) -> None:
        self._channel = channel
        self._mine, self._theirs = mine, theirs
        self._chance = random.Random(seed)
        self._methods = [
            method for method in methods()
            if not method.streams and method.short_name not in without and not method.short_name.startswith("Simulator/")
        ]  # fmt: skip
        self._foreign: dict[str, list[str]] = {}
        self._markers: set[str] = set()
        self._me = ""
        self._under_way: Counter[str] = Counter()  # what a change may be making the caller's own just now
        self.report = Report()

    async def run(self, calls: int) -> Report:
        """Harvest what is whose, then make so many calls."""
        began_s = time.monotonic()
        mine, theirs = await self._harvest(self._mine), await self._harvest(self._theirs)
        self._me = await self._name_of(self._mine)
        seen = set().union(*mine.values()) if mine else set()
        for name, values in theirs.items():
            if chosen := sorted(value for value in values - seen if MARKER_LENGTH_MIN <= len(value) <= MARKER_LENGTH_MAX):
                self._foreign[name] = chosen
                self._markers |= set(chosen)
        self.report.foreign_values = len(self._markers)
        places = asyncio.Semaphore(AT_ONCE)

        async def pair() -> None:
            async with places:
                await self._pair()

        while self.report.calls < calls:
            await asyncio.gather(*(pair() for _ in range(min(500, 1 + (calls - self.report.calls) // 2))))
        self.report.seconds = time.monotonic() - began_s
        return self.report

    async def _harvest(self, key: str) -> dict[str, set[str]]:
        """Read every list, and whatever a listed id leads to, as the holder of a key: texts by the field they stand in."""
        found: dict[str, set[str]] = {}
        for method in self._methods:
            if method.short_name.rpartition("/")[2].startswith(("List", "Search", "WhoAmI")):
                async for answer in self._pages(method, key):
                    for name, value in _texts(answer):
                        found.setdefault(name, set()).add(value)
        for method in self._methods:
            fields = method.request.DESCRIPTOR.fields
            if method.short_name.rpartition("/")[2].startswith(("Get", "Explain")) and fields:
                for value in sorted(found.get(fields[0].name, ()))[:20]:
                    answer = await self._call(method, method.request(**{fields[0].name: value}), key)
                    if answer.code is grpc.StatusCode.OK:
                        for name, text in _texts(method.response.FromString(answer.content)):
                            found.setdefault(name, set()).add(text)
        return found

    async def _name_of(self, key: str) -> str:
        method = next(method for method in self._methods if method.short_name == "Identity/WhoAmI")
        answer = await self._call(method, method.request(), key)
        return str(method.response.FromString(answer.content).principal_id)

    async def _pages(self, method: Method, key: str) -> AsyncIterator[Any]:
        request = method.request()
        for _ in range(HARVEST_PAGES):
            answer = await self._call(method, request, key)
            if answer.code is not grpc.StatusCode.OK:
                return
            page = method.response.FromString(answer.content)
            yield page
            if not getattr(page, "next_page_token", ""):
                return
            request.page_token = page.next_page_token

    async def _call(self, method: Method, request: Any, key: str) -> _Answer:
        send: Any = self._channel.unary_unary(method.path)
        try:
            content = await send(
                request.SerializeToString(), metadata=(("authorization", f"Bearer {key}"),), timeout=TIMEOUT_S
            )
        except grpc.aio.AioRpcError as error:
            trailing: Any = error.trailing_metadata() or ()
            details = b"".join(value for name, value in trailing if name == "grpc-status-details-bin")
            return _Answer(error.code(), (error.details() or "").encode() + b"\0" + details)
        return _Answer(grpc.StatusCode.OK, content)

    # --- one pair -----------------------------------------------------------------------------------------------------

    async def _pair(self) -> None:
        """Call with what is theirs and with what is nobody's, and compare."""
        method = self._chance.choice(self._methods)
        used: dict[str, str] = {}
        request = method.request()
        self._fill(request, used, 0)
        if "request_id" in method.request.DESCRIPTOR.fields_by_name and request.request_id not in used:
            request.request_id = f"fuzz-{self._chance.getrandbits(60):x}"
        changes = not method.short_name.rpartition("/")[2].startswith(_READS)
        theirs = [marker for marker in self._markers if any(marker in value for value in used)]
        self._under_way.update(theirs if changes else ())
        differing, done = "", False
        for _ in range(TRIES):
            twin, fakes = _twin(request, used, self._chance)
            foreign, nobody = await self._call(method, request, self._mine), await self._call(method, twin, self._mine)
            done = done or foreign.code not in _NOTHING_DONE
            self.report.calls += 2
            self.report.answers.update((foreign.code.name, nobody.code.name))
            self._look_for_leaks(method, request, foreign)
            self._look_for_leaks(method, request, nobody)
            differing = _difference(foreign, nobody, fakes)
            if not differing:
                break
        self._under_way.subtract(theirs if changes else ())
        still_theirs = all(value in self._markers and not self._under_way[value] for value in theirs)
        if differing and still_theirs and len(self.report.hints) < FINDINGS_MAX:
            self.report.hints.append(f"{method.short_name}: {differing}; request {request!s:.300}")
        if changes and done:
            self._forget({*used, *theirs})

    def _look_for_leaks(self, method: Method, request: Any, answer: _Answer) -> None:
        sent, said = request.SerializeToString(), self._without_own_questions(method, answer)
        for marker in self._markers:
            text = marker.encode()
            if text in said and text not in sent and not self._under_way[marker] and len(self.report.leaks) < FINDINGS_MAX:
                self.report.leaks.append(f"{method.short_name} answered {answer.code.name} with {marker!r}")

    def _without_own_questions(self, method: Method, answer: _Answer) -> bytes:
        """Return an answer without what the trail quotes of the caller's own readings, in which it named what it likes."""
        if answer.code is not grpc.StatusCode.OK or method.short_name not in _OF_TRAIL:
            return answer.content
        message = method.response.FromString(answer.content)
        for entry in message.entries if method.short_name == "Audit/SearchAudit" else (message,):
            if entry.principal == self._me and "asked" in json.loads(entry.after_json or "{}"):
                entry.object_id = entry.after_json = ""
        return bytes(message.SerializeToString())

    def _forget(self, values: set[str]) -> None:
        self._markers -= values
        for name in list(self._foreign):
            left = [value for value in self._foreign[name] if value not in values]
            if left:
                self._foreign[name] = left
            else:
                del self._foreign[name]

    def _fill(self, message: Any, used: dict[str, str], depth: int) -> None:
        chance = self._chance
        for one in message.DESCRIPTOR.fields:
            if chance.random() < 0.15 or (one.containing_oneof and chance.random() < 0.5):
                continue
            if one.message_type and depth < DEPTH_MAX and not one.message_type.GetOptions().map_entry:
                if one.is_repeated:
                    self._fill(getattr(message, one.name).add(), used, depth + 1)
                elif not one.message_type.full_name.startswith("google."):
                    self._fill(getattr(message, one.name), used, depth + 1)
            elif one.type == one.TYPE_STRING:
                value = self._text(one.name, used)
                if one.is_repeated:
                    getattr(message, one.name).append(value)
                else:
                    setattr(message, one.name, value)
            elif not one.is_repeated and one.enum_type:
                setattr(message, one.name, chance.choice(one.enum_type.values).number)
            elif not one.is_repeated and one.type in (one.TYPE_INT32, one.TYPE_INT64):
                setattr(message, one.name, chance.choice((0, 1, 2, 100, 1800)))

    def _text(self, name: str, used: dict[str, str]) -> str:
        """Choose something of theirs, of the field's own kind where there is one; now and then nothing."""
        chance = self._chance
        if name == "currency_code":
            return "CNY"
        if name == "key_sha256":
            return f"{chance.getrandbits(256):064x}"
        if chance.random() < 0.1 or not self._foreign:
            return ""
        if name == "page_token" and chance.random() < 0.5:
            value = pages.token(self._theirs_of(chance.choice(sorted(self._foreign))))
        else:
            value = self._theirs_of(name if name in self._foreign else chance.choice(sorted(self._foreign)))
        used[value] = value
        return value

    def _theirs_of(self, name: str) -> str:
        return self._chance.choice(self._foreign[name])


def _twin(request: Any, used: dict[str, str], chance: random.Random) -> tuple[Any, dict[str, str]]:
    """Copy a request with values of the same shape that nobody has; return it with what stands for what."""
    fakes = {value: _fake(value, chance) for value in used}
    twin = type(request)()
    twin.CopyFrom(request)
    _replace(twin, fakes)
    if "request_id" in twin.DESCRIPTOR.fields_by_name and twin.request_id not in fakes.values():
        twin.request_id = _fake(twin.request_id, chance)
        fakes[request.request_id] = twin.request_id
    return twin, fakes


def _fake(value: str, chance: random.Random) -> str:
    """Exchange the last letters and digits of a text for others of their kind."""
    with suppress(Refused):
        if value and (key := pages.key_of(value)):
            return pages.token(_fake(key, chance))

    def other(match: re.Match[str]) -> str:
        kinds = ("0123456789", "ABCDEFGHJKMNPQRSTVWXYZ", "abcdef")
        kind = next((kind for kind in kinds if match[0] in kind), "ghijklmnopqrstuvwxyz")
        return chance.choice(kind)

    head, tail = value[: len(value) // 2], value[len(value) // 2 :]
    return head + re.sub(r"[0-9A-Za-z]", other, tail)


def _replace(message: Any, fakes: dict[str, str]) -> None:
    for one, value in message.ListFields():
        if one.type == one.TYPE_STRING and one.is_repeated:
            value[:] = [fakes.get(text, text) for text in value]
        elif one.type == one.TYPE_STRING:
            setattr(message, one.name, fakes.get(value, value))
        elif one.message_type and one.is_repeated:
            for item in value:
                _replace(item, fakes)
        elif one.message_type:
            _replace(value, fakes)


def _difference(foreign: _Answer, nobody: _Answer, fakes: dict[str, str]) -> str:
    """Tell how two answers differ apart from the values themselves; "" when they do not. What was done may differ in itself."""
    if foreign.code is not nobody.code:
        return f"{foreign.code.name} {foreign.content[:200]!r} against {nobody.code.name} {nobody.content[:200]!r}"
    if foreign.code is grpc.StatusCode.OK:
        return ""
    theirs, others = foreign.content, nobody.content
    for value, fake in sorted(fakes.items(), key=lambda pair: -len(pair[0])):
        mark = b"\1" * len(value.encode())
        theirs, others = theirs.replace(value.encode(), mark), others.replace(fake.encode(), mark)
    return "" if theirs == others else f"{foreign.code.name} {theirs[:300]!r} against {others[:300]!r}"


def _texts(message: Any) -> Iterator[tuple[str, str]]:
    """Yield every text in a message with the name of its field."""
    for one, value in message.ListFields():
        for item in value if one.is_repeated and not isinstance(value, str | bytes) else (value,):
            if one.type == one.TYPE_STRING:
                yield ("page_token" if one.name == "next_page_token" else one.name), item
            elif one.message_type and not one.message_type.GetOptions().map_entry and hasattr(item, "ListFields"):
                yield from _texts(item)
