"""The sandbox as one object: several channels, one clock, one ledger of truth.

`World` is asynchronous and belongs to one event loop. Its data plane (`exchange`, `collect`) speaks bytes and
signatures and never raises for what a caller sends; its control plane raises `simulator.errors.BadControl`. All
arguments and results are builtins, so that it can be put behind any remote call.

It promises: what it has answered survives a kill of the process; the same seed and the same orders have the same
outcomes, whatever the order of requests; one attempt number is charged at most once.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simulator import faults
from simulator.book import Tag
from simulator.callbacks import CallbackSender
from simulator.channel import SandboxChannel
from simulator.clock import VirtualClock
from simulator.codec import Envelope, Malformed, Outgoing, Said, answer, envelopes, is_signed, read_items, read_name
from simulator.errors import BadControl, LedgerDamaged
from simulator.ledger import FILE_NAME, Ledger
from simulator.outbox import Outbox
from simulator.profiles import Profile
from simulator.records import Attempt, Entry, Mandate, Payout
from simulator.voice import SandboxVoice, Voice
from simulator.words import Operation, Reason, Word

# Ten years: beyond that a step is a typing error.
STEP_S_MAX = 10 * 366 * 86_400
# No callback is repeated sooner than this after it was sent, so timers may fire so far ahead of an acknowledgement.
ADVANCE_WINDOW_MS = 15_000
# A step waits at most so long in real time for callbacks, all in all.
ADVANCE_WAIT_S = 60.0
# A page of truth.
TRUTH_LIMIT_MAX = 100_000

# What the sandbox's own wire is asked for; the others are the real wires' alone.
_OPERATIONS = frozenset(
    {Operation.CHARGE, Operation.QUERY, Operation.CLOSE, Operation.REFUND, Operation.QUERY_REFUND}
)


def _real_time_ms() -> int:
    return time.time_ns() // 1_000_000


class World:
    """The sandbox. `merchants` maps merchant numbers to the secrets shared with them."""

    def __init__(
        self, directory: Path, *, seed: int, channels: list[Profile], merchants: dict[str, str],
        voices: Mapping[str, Voice] | None = None, real_time_ms: Callable[[], int] = _real_time_ms,
    ) -> None:  # fmt: skip
        """`voices` are the ways in which channels with a wire of their own write callbacks."""
        self._directory = directory
        self._seed = seed
        self._first_profiles = {profile.channel_id: profile for profile in channels}
        self._merchants = dict(merchants)
        self._voice = SandboxVoice(self._merchants)
        self._voices = dict(voices or {})
        self._also: dict[str, Sequence[str]] = {}
        self._real_time_ms = real_time_ms
        self._outboxes: dict[str, Outbox] = {}
        self._channels: dict[str, SandboxChannel] = {}
        self._truth: list[Entry] = []
        self._clock = VirtualClock(real_time_ms=real_time_ms, after_firing=self._flush)
        self._sender = CallbackSender(real_time_ms=real_time_ms)
        self._ledger: Ledger | None = None
        self._advancing = asyncio.Lock()

    async def start(self) -> None:
        """Replay the ledger, whose seed and profiles go before the constructor's, and start. Raise LedgerDamaged."""
        self._ledger = await asyncio.to_thread(Ledger, self._directory)
        self._replay(self._ledger)
        self._clock.start()
        self._sender.start()
        for channel in self._channels.values():
            channel.resume()

    def learn(self, merchants: Mapping[str, Sequence[str]]) -> None:
        """Take the secrets of merchants: the first of each signs what we say, with all of them a merchant may sign."""
        self._merchants.update({name: secrets[0] for name, secrets in merchants.items()})
        self._also = {name: secrets[1:] for name, secrets in merchants.items()}

    def meet(self, profiles: Sequence[Profile]) -> None:
        """Have channels that have come since the start. Those that are there already stay as they are."""
        for profile in profiles:
            self._first_profiles.setdefault(profile.channel_id, profile)
            self._channels.setdefault(profile.channel_id, self._make_channel(profile))

    @classmethod
    def read_books(cls, directory: Path) -> list[dict[str, Any]]:
        """Return the movements of money in the ledger of a sandbox that is not running. Raise LedgerDamaged."""
        if not (directory / FILE_NAME).exists():
            return []
        world = cls(directory, seed=0, channels=[], merchants={})
        world._ledger = Ledger(directory)
        try:
            world._replay(world._ledger)
            return [entry.to_dict() for entry in world._truth]
        finally:
            world._ledger.close()

    async def aclose(self) -> None:
        """Stop the timers and callbacks, and let go of the ledger."""
        self._clock.stop()
        await self._sender.aclose()
        for outbox in self._outboxes.values():
            outbox.close()
        if self._ledger is not None:
            ledger, self._ledger = self._ledger, None
            ledger.close()

    # Data plane

    async def exchange(
        self, channel_id: str, operation: str, body: bytes, merchant_no: str, signature: str
    ) -> list[Envelope]:
        """Execute a JSON list of requests of one merchant; return the answers that are ready now, in signed envelopes.

        `operation` is charge, query, close, refund or query_refund; `signature` the hexadecimal HMAC-SHA256 of the body.
        The other answers come by `collect`, or never. Raise OSError only when the ledger cannot be written.
        """
        self._flush()
        self._fire_due()
        ready = self._answer(channel_id, operation, body, merchant_no, signature)
        self._flush()
        return envelopes(ready, self._merchants)

    async def ask(self, channel_id: str, operation: Operation, item: Any, merchant_no: str) -> Said:
        """Execute one request, whose signature a wire has verified; return when the answer is due, or at once if none is.

        Raise OSError only when the ledger cannot be written.
        """
        self._flush()
        self._fire_due()
        said = self._channel(channel_id).ask(operation, item, merchant_no)
        self._flush()
        if said.outgoing is not None and said.after_ms:
            due = asyncio.get_running_loop().create_future()
            self._clock.at(self._clock.now_ms() + said.after_ms, _wake, due)
            await due
        return said

    def channel(self, channel_id: str) -> SandboxChannel:
        """Return a channel, for its wire to read. Raise BadControl for an unknown one."""
        return self._channel(channel_id)

    def payer_looks(self, channel_id: str, attempt: Attempt) -> None:
        """Let a person look at a payer's page."""
        self._channel(channel_id).payer_looks(attempt)
        self._flush()

    def payer_acts(self, channel_id: str, attempt: Attempt, *, pays: bool) -> None:
        """Let a person act in the payer's place, on a payer's page."""
        self._fire_due()
        self._channel(channel_id).payer_acts(attempt, pays=pays)
        self._flush()

    def person_acts(self, channel_id: str, side: Mandate | Payout, *, agrees: bool) -> None:
        """Let a person agree to a mandate, or to a payout to himself, on a page."""
        self._fire_due()
        self._channel(channel_id).sides.person_acts(side, agrees=agrees)
        self._flush()

    def note(self, channel_id: str, mandate: Mandate, name: str, text: str) -> None:
        """Keep something more in a mandate's memo, which outlives a kill like everything else."""
        self._channel(channel_id).record((Tag.NOTED.value, mandate.number, name, text))
        self._flush()

    def real_ms(self) -> int:
        """Return the real time in Unix milliseconds, in which merchants live."""
        return self._real_time_ms()

    def now_ms(self) -> int:
        """Return the virtual time in Unix milliseconds."""
        return self._clock.now_ms()

    async def collect(self, channel_id: str, wait_s: float) -> list[Envelope]:
        """Wait at most `wait_s` real seconds for late answers of a channel. Raise BadControl for an unknown one."""
        outbox = self._outboxes.get(channel_id)
        if outbox is None:
            raise BadControl(f"unknown channel {channel_id!r}")
        return envelopes(await outbox.collect(wait_s), self._merchants)

    # Control plane

    async def configure(self, profile: dict[str, Any]) -> dict[str, object]:
        """Change fields of the profile of the channel named by `channel_id`; return the whole profile."""
        channel = self._channel(profile.get("channel_id"))
        changed = channel.profile.with_changes(profile)
        self._book().command({"profile": changed.to_dict()})
        channel.profile = changed
        return changed.to_dict()

    async def inject(self, fault: dict[str, Any]) -> dict[str, object]:
        """Switch a fault {channel_id, kind, share, targets, ttl_s} on, or off with share 0; return it as understood."""
        now_ms = self._clock.now_ms()
        read = faults.read(fault, now_ms=now_ms)
        self._channel(read.channel_id).faults.put(read)
        self._book().command({"fault": read})
        return read.to_dict(now_ms=now_ms)

    async def advance(self, step_s: float) -> dict[str, int]:
        """Move the clock forward; all timers on the way fire in order, and callbacks get their answers before repeats."""
        good = isinstance(step_s, int | float) and not isinstance(step_s, bool) and math.isfinite(step_s)
        if not good or not 0 <= step_s <= STEP_S_MAX:
            raise BadControl(f"step_s must be a number from 0 to {STEP_S_MAX}")
        async with self._advancing:
            target_ms = self._clock.now_ms() + round(step_s * 1_000)
            fired_count = await self._advance_to(target_ms)
            self._clock.move_to(target_ms)
            self._book().command({"offset_ms": self._clock.offset_ms})
        return {"now_ms": self._clock.now_ms(), "fired_count": fired_count}

    async def truth(self, channel_id: str, offset: int, limit: int) -> list[dict[str, object]]:
        """Return a page of the movements of money in their order, of one channel or with "" of all."""
        if not all(type(number) is int and number >= 0 for number in (offset, limit)):
            raise BadControl("offset and limit must be whole numbers from 0")
        entries = self._channel(channel_id).book.entries if channel_id else self._truth
        return [entry.to_dict() for entry in entries[offset : offset + min(limit, TRUTH_LIMIT_MAX)]]

    async def reset(self, seed: int) -> None:
        """Forget everything, faults, profiles and clock too, and begin again with a seed."""
        if type(seed) is not int or not -(2**63) <= seed < 2**63:
            raise BadControl("seed must be a whole number of 64 bits")
        async with self._advancing:
            self._book().restart({"seed": seed})
            self._seed = seed
            self._clock.clear()
            self._sender.clear()
            self._make_channels()

    async def stats(self) -> list[dict[str, object]]:
        """Return the counts of every channel, in constant time."""
        return [
            {"channel_id": channel_id, "faults_hit": channel.faults.hit_count} | channel.book.counts.to_dict()
            for channel_id, channel in self._channels.items()
        ]

    async def describe(self) -> dict[str, object]:
        """Return seed, virtual time, profiles and the faults that are on."""
        now_ms = self._clock.now_ms()
        channels = self._channels.values()
        return {
            "seed": self._seed,
            "now_ms": now_ms,
            "profiles": [channel.profile.to_dict() for channel in channels],
            "faults": [f.to_dict(now_ms=now_ms) for channel in channels for f in channel.faults.active(now_ms=now_ms)],
        }

    # Inside

    def _answer(  # noqa: PLR0911 - each check refuses in its own words
        self, channel_id: str, operation: str, body: bytes, merchant_no: str, signature: str
    ) -> list[Outgoing]:
        if not all(isinstance(text, str) for text in (channel_id, operation, merchant_no)):
            return _refuse([None], "", Reason.MALFORMED)
        try:
            items = read_items(body)
        except Malformed:
            return _refuse([None], merchant_no, Reason.MALFORMED)
        if merchant_no not in self._merchants:
            return _refuse(items, merchant_no, Reason.UNKNOWN_MERCHANT)
        accepted = (self._merchants[merchant_no], *self._also.get(merchant_no, ()))
        if not any(is_signed(secret, body, signature) for secret in accepted):
            return _refuse(items, merchant_no, Reason.SIGNATURE_INVALID)
        channel = self._channels.get(channel_id)
        if channel is None:
            return _refuse(items, merchant_no, Reason.UNKNOWN_CHANNEL)
        if operation not in _OPERATIONS:
            return _refuse(items, merchant_no, Reason.MALFORMED)
        return channel.handle(Operation(operation), items, merchant_no)

    async def _advance_to(self, target_ms: int) -> int:
        fired_count, give_up = 0, time.monotonic() + ADVANCE_WAIT_S
        factors = [channel.profile.callback_schedule_factor for channel in self._channels.values()]
        window_ms = round(ADVANCE_WINDOW_MS * min(factors, default=1.0))
        while True:
            await self._sender.settle(give_up - time.monotonic())
            due_ms = self._clock.due_ms()
            if due_ms is None or due_ms > target_ms:
                return fired_count
            fired_count += self._clock.fire_until(min(target_ms, due_ms + max(0, window_ms - 1)))
            self._flush()

    def _fire_due(self) -> None:
        due_ms, now_ms = self._clock.due_ms(), self._clock.now_ms()
        if due_ms is not None and due_ms <= now_ms and not self._advancing.locked():
            self._clock.fire_until(now_ms)

    def _replay(self, ledger: Ledger) -> None:
        lines = ledger.replay()
        first = next(lines, None)
        if first is None:
            ledger.command({"seed": self._seed})
        elif isinstance(first, dict) and type(first.get("seed")) is int:
            self._seed = first["seed"]
        else:
            raise LedgerDamaged(f"the ledger in {self._directory} does not begin with a seed")
        self._make_channels()
        for line in lines:
            try:
                self._replay_line(line)
            except (KeyError, TypeError, ValueError, IndexError, BadControl) as error:
                raise LedgerDamaged(f"the ledger in {self._directory} holds {str(line)[:200]}: {error!r}") from error

    def _replay_line(self, line: Any) -> None:
        if isinstance(line, list):
            channel = self._remembered(line[0])
            for event in line[1:]:
                channel.book.apply(event)
        elif "offset_ms" in line:
            self._clock.offset_ms = line["offset_ms"]
        elif "profile" in line:
            self._remembered(line["profile"]["channel_id"]).profile = Profile(**line["profile"])
        elif "fault" in line:
            channel_id, kind, share, targets, until_ms = line["fault"]
            fault = faults.Fault(channel_id, faults.Kind(kind), share, tuple(targets), until_ms)
            self._remembered(channel_id).faults.put(fault)

    def _remembered(self, channel_id: str) -> SandboxChannel:
        """Return a channel of the ledger; one that is configured no more stays, because its money stays true."""
        if channel_id not in self._channels:
            self._channels[channel_id] = self._make_channel(Profile(channel_id))
        return self._channels[channel_id]

    def _make_channels(self) -> None:
        self._truth = []
        for outbox in self._outboxes.values():
            outbox.clear()
        self._channels = {name: self._make_channel(profile) for name, profile in self._first_profiles.items()}

    def _make_channel(self, profile: Profile) -> SandboxChannel:
        return SandboxChannel(
            profile=profile,
            seed=self._seed,
            clock=self._clock,
            real_time_ms=self._real_time_ms,
            ledger=self._book(),
            sender=self._sender,
            outbox=self._outboxes.setdefault(profile.channel_id, Outbox()),
            voice=self._voices.get(profile.channel_id, self._voice),
            merchants=self._merchants,
            truth=self._truth,
        )

    def _channel(self, channel_id: object) -> SandboxChannel:
        channel = self._channels.get(channel_id) if isinstance(channel_id, str) else None
        if channel is None:
            raise BadControl(f"unknown channel {channel_id!r}")
        return channel

    def _book(self) -> Ledger:
        assert self._ledger is not None, "the world is not started"
        return self._ledger

    def _flush(self) -> None:
        self._book().flush()


def _wake(due: asyncio.Future[None]) -> None:
    if not due.done():
        due.set_result(None)


def _refuse(items: list[Any], merchant_no: str, reason: Reason) -> list[Outgoing]:
    """Refuse every item for one reason, without looking further than at its number."""
    numbers = [read_name(item, "refund_no") or read_name(item, "attempt_no") or "" for item in items]
    return [Outgoing(answer(number, Word.REFUSED, reason=reason), merchant_no) for number in numbers]
