"""Decides which callbacks a channel sends, when, how often and how forged.

How they are written is the voice's, and `simulator.callbacks` posts them.
"""

from collections.abc import Callable, Collection
from typing import Any

from simulator.book import ChannelBook, Tag
from simulator.callbacks import CallbackSender, Post
from simulator.clock import VirtualClock
from simulator.codec import Flaw
from simulator.draws import Draws
from simulator.faults import Kind
from simulator.profiles import Profile
from simulator.records import Attempt, Record, Refund, Side, subject_of
from simulator.voice import Letter, Telling, Voice
from simulator.words import Word

# A late callback comes when every poll has long given the answer.
LATE_MS = 60_000
# The second copy of a duplicate comes together with the first, the third a second later.
DUPLICATE_AFTER_MS = (0, 1_000)
# A reordered callback waits for the next one to overtake it, and comes by itself if none does.
REORDER_MS = 10_000
OVERTAKEN_AFTER_MS = 50
INTRUDER_NO = "intruder-merchant"
# A signature of this age is a replay.
STALE_MS = 3_600_000

_FLAWS = {
    Kind.CALLBACK_NO_SIGNATURE: Flaw.NO_SIGNATURE,
    Kind.CALLBACK_PROBE_SIGNATURE: Flaw.PROBE_SIGNATURE,
    Kind.CALLBACK_STALE: Flaw.STALE_TIME,
    Kind.CALLBACK_OTHER_CERTIFICATE: Flaw.OTHER_CERTIFICATE,
    Kind.CALLBACK_NEW_CERTIFICATE: Flaw.NEW_CERTIFICATE,
}

Strikes = Callable[[Kind, Attempt | Side, str], bool]


class Announcer:
    """Tells the results of one channel's attempts and refunds by callbacks."""

    def __init__(
        self, *, profile: Callable[[], Profile], book: ChannelBook, draws: Draws, clock: VirtualClock,
        sender: CallbackSender, voice: Voice, merchants: Collection[str], strikes: Strikes,
        record: Callable[[Any], None],
    ) -> None:  # fmt: skip
        """`strikes` tells whether a fault hits an attempt; `record` applies an event."""
        self._profile = profile
        self._book = book
        self._draws = draws
        self._clock = clock
        self._sender = sender
        self._voice = voice
        self._merchants = merchants
        self._strikes = strikes
        self._record = record
        self._held: Post | None = None

    def tells(self, record: Record) -> bool:
        """Tell whether what became of something is announced by a callback at all."""
        profile = self._profile()
        asked = profile.asynchronous or profile.callback_on_sync
        wanted = bool(record.notify_url) and self._voice.tells(record.word, asked=asked)
        return wanted and not self._strikes(Kind.CALLBACK_LOST, subject_of(record), "")

    def announce(self, record: Record) -> None:
        """Send the callback about something that has an end, as the faults of the moment have it."""
        subject, mark = subject_of(record), _mark(record)
        self._record((Tag.OWED.value, *_owed(record)))
        if self._strikes(Kind.CALLBACK_DUPLICATE, subject, mark):
            for after_ms in DUPLICATE_AFTER_MS:
                copy = self._post(record, self._telling(record), nonce=f"copy{after_ms}", told=self._count)
                self._clock.at(self._clock.now_ms() + after_ms, self._submit_once, copy)
        if self._strikes(Kind.CALLBACK_LATE, subject, mark):
            self._clock.at(self._clock.now_ms() + LATE_MS, self._send, record, 0, False)
        else:
            self._send(record, 0, self._strikes(Kind.CALLBACK_REORDERED, subject, mark))

    def resume(self, number: str, refund_no: str, kind: str) -> None:
        """Send again a callback that was owed when the process died."""
        if kind:
            self._send(self._book.side(kind, number), 0, False)
        else:
            self._send(self._book.refunds[refund_no] if refund_no else self._book.attempts[number], 0, False)

    def forge(self, attempt: Attempt) -> None:
        """Send what a forger would send about a new attempt: always PAID, never repeated; the true one still comes."""
        if not attempt.notify_url:
            return
        lie = self._telling(attempt)._replace(word=Word.PAID, success_time_ms=self._clock.now_ms())
        if self._strikes(Kind.FORGED_SIGNATURE, attempt, ""):
            forged = lie._replace(notify_id=self._notify_id(attempt, "forged-signature"))
            self._submit_once(self._post(attempt, forged, nonce="sign", told=_ignore, flaw=Flaw.BAD_SIGNATURE))
        if self._strikes(Kind.FORGED_AMOUNT, attempt, ""):
            amount_minor = 1 if attempt.amount_minor != 1 else 2
            notify_id = self._notify_id(attempt, "forged-amount")
            forged = lie._replace(notify_id=notify_id, amount_minor=amount_minor)
            self._submit_once(self._post(attempt, forged, nonce="amount", told=_ignore))
        if self._strikes(Kind.FORGED_MERCHANT, attempt, ""):
            other_no = min((no for no in self._merchants if no != attempt.merchant_no), default=INTRUDER_NO)
            notify_id = self._notify_id(attempt, "forged-merchant")
            forged = lie._replace(notify_id=notify_id, merchant_no=other_no)
            self._submit_once(self._post(attempt, forged, nonce="merchant", told=_ignore))

    def _send(self, record: Record, tries: int, held: bool) -> None:
        sent_ms = self._clock.now_ms()

        def told(acknowledged: bool) -> None:
            self._hear(record, tries, sent_ms, acknowledged)

        # Only the first send is flawed: a real channel that made a mistake sends better ones later. A new key is no mistake.
        subject, mark = subject_of(record), _mark(record)
        flaws = (
            flaw
            for kind, flaw in _FLAWS.items()
            if (tries == 0 or flaw is Flaw.NEW_CERTIFICATE) and self._strikes(kind, subject, mark)
        )
        post = self._post(record, self._telling(record), nonce=str(tries), told=told, flaw=next(flaws, Flaw.NONE))
        if held and self._held is None:
            self._held = post
            self._clock.at(sent_ms + REORDER_MS, self._release, post)
            return
        self._submit(post)
        if self._held is not None:
            self._clock.at(sent_ms + OVERTAKEN_AFTER_MS, self._release, self._held)

    def _release(self, post: Post) -> None:
        if self._held is post:
            self._held = None
            self._submit(post)

    def _count(self, acknowledged: bool) -> None:
        self._book.counts.callbacks_acknowledged += acknowledged

    def _hear(self, record: Record, tries: int, sent_ms: int, acknowledged: bool) -> None:
        self._count(acknowledged)
        if acknowledged or tries >= len(self._voice.schedule_s):
            if _owed(record) in self._book.owed:
                # Written with whatever is written next: should it be lost, the hub gets the callback once more.
                self._record((Tag.TOLD.value, *_owed(record)))
            return
        again_ms = sent_ms + round(self._voice.schedule_s[tries] * 1_000 * self._profile().callback_schedule_factor)
        self._clock.at(again_ms, self._send, record, tries + 1, False)

    def _submit(self, post: Post) -> None:
        self._book.counts.callbacks_sent += 1
        if not self._sender.submit(post):
            post.told(False)

    def _submit_once(self, post: Post) -> None:
        self._book.counts.callbacks_sent += 1
        self._sender.submit(post)

    def _post(
        self, record: Record, telling: Telling, *, nonce: str, told: Callable[[bool], None], flaw: Flaw = Flaw.NONE
    ) -> Post:
        name = self._draws.name(telling.notify_id, nonce)

        async def write(real_ms: int) -> Letter:
            signed_ms = real_ms - STALE_MS if flaw is Flaw.STALE_TIME else real_ms
            # With the time in it, a nonce is never used twice, not even by a repeat after a restart.
            return await self._voice.write(telling, nonce=f"{name}{real_ms:x}", real_ms=signed_ms, flaw=flaw)

        return Post(record.notify_url, write, self._voice.hears, told)

    def _telling(self, record: Record) -> Telling:
        return Telling(
            self._notify_id(record, "notify"), self._book.channel_id, record.merchant_no, record, record.word,
            record.amount_minor, record.done_ms,
        )  # fmt: skip

    def _notify_id(self, record: Record, purpose: str) -> str:
        # The word is part of it: a failure that becomes a success is another notice, not a repeat.
        return self._draws.name(record.txn_no, f"{purpose}-{record.word}")


def _mark(record: Record) -> str:
    return "" if isinstance(record, Attempt) else record.txn_no


def _owed(record: Record) -> tuple[str, str, str]:
    match record:
        case Attempt():
            return (record.number, "", "")
        case Refund():
            return (record.attempt.number, record.number, "")
        case _:
            return (record.number, "", type(record).__name__.lower())


def _ignore(_acknowledged: bool) -> None:
    """Take no notice of what becomes of a forgery."""
