"""Decides which callbacks a channel sends, when, how often and how forged; `simulator.callbacks` posts them."""

from collections.abc import Callable, Mapping
from typing import Any

from simulator.book import ChannelBook, Tag
from simulator.callbacks import CallbackSender, Post
from simulator.clock import VirtualClock
from simulator.codec import encode
from simulator.draws import Draws
from simulator.faults import Kind
from simulator.profiles import Profile
from simulator.records import Attempt, Refund
from simulator.words import Word

# When an unacknowledged callback is repeated, in seconds after the post before it: WeChat Pay's own schedule.
SCHEDULE_S = (15, 15, 30, 180, 600, 1_200, 1_800, 1_800, 1_800, 3_600, 10_800, 10_800, 10_800, 21_600, 21_600)
# A late callback comes when every poll has long given the answer.
LATE_MS = 60_000
# The second copy of a duplicate comes together with the first, the third a second later.
DUPLICATE_AFTER_MS = (0, 1_000)
# A reordered callback waits for the next one to overtake it, and comes by itself if none does.
REORDER_MS = 10_000
OVERTAKEN_AFTER_MS = 50
INTRUDER_NO = "intruder-merchant"
INTRUDER_SECRET = "intruder-secret"  # noqa: S105 - the forger's own key, valid for nobody

Strikes = Callable[[Kind, Attempt, str], bool]


class Announcer:
    """Tells the results of one channel's attempts and refunds by callbacks."""

    def __init__(
        self, *, profile: Callable[[], Profile], book: ChannelBook, draws: Draws, clock: VirtualClock,
        sender: CallbackSender, secrets: Mapping[str, str], strikes: Strikes, record: Callable[[Any], None],
    ) -> None:  # fmt: skip
        """`strikes` tells whether a fault hits an attempt; `record` applies an event."""
        self._profile = profile
        self._book = book
        self._draws = draws
        self._clock = clock
        self._sender = sender
        self._secrets = secrets
        self._strikes = strikes
        self._record = record
        self._held: Post | None = None

    def tells(self, attempt: Attempt) -> bool:
        """Tell whether a result of this attempt is announced by a callback at all."""
        profile = self._profile()
        wanted = bool(attempt.notify_url) and (profile.asynchronous or profile.callback_on_sync)
        return wanted and not self._strikes(Kind.CALLBACK_LOST, attempt, "")

    def announce(self, attempt: Attempt, refund: Refund | None = None) -> None:
        """Send the callback about an attempt, or about a refund of it, as the faults of the moment have it."""
        mark = refund.txn_no if refund else ""
        self._record((Tag.OWED.value, attempt.number, refund.number if refund else ""))
        if self._strikes(Kind.CALLBACK_DUPLICATE, attempt, mark):
            for after_ms in DUPLICATE_AFTER_MS:
                copy = self._post(attempt, self._body(attempt, refund), nonce=f"copy{after_ms}", told=self._count)
                self._clock.at(self._clock.now_ms() + after_ms, self._submit_once, copy)
        if self._strikes(Kind.CALLBACK_LATE, attempt, mark):
            self._clock.at(self._clock.now_ms() + LATE_MS, self._send, attempt, refund, 0, False)
        else:
            self._send(attempt, refund, 0, self._strikes(Kind.CALLBACK_REORDERED, attempt, mark))

    def resume(self, attempt_no: str, refund_no: str) -> None:
        """Send again a callback that was owed when the process died."""
        refund = self._book.refunds[refund_no] if refund_no else None
        self._send(self._book.attempts[attempt_no], refund, 0, False)

    def forge(self, attempt: Attempt) -> None:
        """Send what a forger would send about a new attempt: always PAID, never repeated; the true one still comes."""
        if not attempt.notify_url:
            return
        body = self._body(attempt, None) | {"word": Word.PAID, "success_time_ms": self._clock.now_ms()}
        if self._strikes(Kind.FORGED_SIGNATURE, attempt, ""):
            forged = body | {"notify_id": self._notify_id(attempt, None, "forged-signature")}
            self._submit_once(self._post(attempt, forged, nonce="sign", told=_ignore, bad_signature=True))
        if self._strikes(Kind.FORGED_AMOUNT, attempt, ""):
            amount_minor = 1 if attempt.amount_minor != 1 else 2
            forged = body | {
                "notify_id": self._notify_id(attempt, None, "forged-amount"),
                "amount_minor": amount_minor,
            }
            self._submit_once(self._post(attempt, forged, nonce="amount", told=_ignore))
        if self._strikes(Kind.FORGED_MERCHANT, attempt, ""):
            other_no = min((no for no in self._secrets if no != attempt.merchant_no), default=INTRUDER_NO)
            forged = body | {
                "notify_id": self._notify_id(attempt, None, "forged-merchant"),
                "merchant_no": other_no,
            }
            self._submit_once(self._post(attempt, forged, nonce="merchant", told=_ignore, merchant_no=other_no))

    def _send(self, attempt: Attempt, refund: Refund | None, tries: int, held: bool) -> None:
        sent_ms = self._clock.now_ms()

        def told(acknowledged: bool) -> None:
            self._hear(attempt, refund, tries, sent_ms, acknowledged)

        post = self._post(attempt, self._body(attempt, refund), nonce=str(tries), told=told)
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

    def _hear(self, attempt: Attempt, refund: Refund | None, tries: int, sent_ms: int, acknowledged: bool) -> None:
        refund_no = refund.number if refund else ""
        self._count(acknowledged)
        if acknowledged or tries >= len(SCHEDULE_S):
            if (attempt.number, refund_no) in self._book.owed:
                # Written with whatever is written next: should it be lost, the hub gets the callback once more.
                self._record((Tag.TOLD.value, attempt.number, refund_no))
            return
        again_ms = sent_ms + round(SCHEDULE_S[tries] * 1_000 * self._profile().callback_schedule_factor)
        self._clock.at(again_ms, self._send, attempt, refund, tries + 1, False)

    def _submit(self, post: Post) -> None:
        self._book.counts.callbacks_sent += 1
        if not self._sender.submit(post):
            post.told(False)

    def _submit_once(self, post: Post) -> None:
        self._book.counts.callbacks_sent += 1
        self._sender.submit(post)

    def _post(
        self, attempt: Attempt, body: dict[str, Any], *, nonce: str, told: Callable[[bool], None],
        bad_signature: bool = False, merchant_no: str = "",
    ) -> Post:  # fmt: skip
        signer = merchant_no or attempt.merchant_no
        return Post(
            url=attempt.notify_url,
            merchant_no=signer,
            secret=self._secrets.get(signer, INTRUDER_SECRET),
            nonce=self._draws.name(body["notify_id"], nonce),
            body=encode(body),
            told=told,
            bad_signature=bad_signature,
        )

    def _body(self, attempt: Attempt, refund: Refund | None) -> dict[str, Any]:
        body = {
            "notify_id": self._notify_id(attempt, refund, "notify"),
            "channel_id": self._book.channel_id,
            "merchant_no": attempt.merchant_no,
            "attempt_no": attempt.number,
            "channel_txn_no": refund.txn_no if refund else attempt.txn_no,
            "word": refund.word if refund else attempt.word,
            "amount_minor": refund.amount_minor if refund else attempt.amount_minor,
            "currency": attempt.currency,
            "success_time_ms": refund.settled_ms if refund else attempt.paid_ms,
        }
        return body | {"refund_no": refund.number} if refund else body

    def _notify_id(self, attempt: Attempt, refund: Refund | None, purpose: str) -> str:
        # The word is part of it: a failure that becomes a success is another notice, not a repeat.
        word = refund.word if refund else attempt.word
        return self._draws.name(refund.txn_no if refund else attempt.txn_no, f"{purpose}-{word}")


def _ignore(_acknowledged: bool) -> None:
    """Take no notice of what becomes of a forgery."""
