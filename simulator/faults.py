"""What goes wrong on purpose: the kinds of faults, and the book of those that are on."""

import math
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from simulator.draws import Draws
from simulator.errors import BadControl

FAULTS_MAX = 1_000
TARGETS_MAX = 10_000
TARGET_LENGTH_MAX = 256
TTL_S_MAX = 10 * 366 * 86_400


class Kind(StrEnum):
    """The kinds of faults; each says in `simulator.channel` or `simulator.announcer` what it does."""

    TIMEOUT_TAKEN = "TIMEOUT_TAKEN"
    TIMEOUT_NOT_TAKEN = "TIMEOUT_NOT_TAKEN"
    BLACK_HOLE = "BLACK_HOLE"
    SERVER_ERROR = "SERVER_ERROR"
    SLOW_DRIP = "SLOW_DRIP"
    RATE_LIMIT = "RATE_LIMIT"
    MAINTENANCE = "MAINTENANCE"
    BROWN_OUT = "BROWN_OUT"
    CALLBACK_LOST = "CALLBACK_LOST"
    CALLBACK_DUPLICATE = "CALLBACK_DUPLICATE"
    CALLBACK_EARLY = "CALLBACK_EARLY"
    CALLBACK_LATE = "CALLBACK_LATE"
    CALLBACK_REORDERED = "CALLBACK_REORDERED"
    FORGED_SIGNATURE = "FORGED_SIGNATURE"
    FORGED_AMOUNT = "FORGED_AMOUNT"
    FORGED_MERCHANT = "FORGED_MERCHANT"
    LATE_SUCCESS_AFTER_CLOSE = "LATE_SUCCESS_AFTER_CLOSE"
    DECLINE_NO_FUNDS = "DECLINE_NO_FUNDS"
    REFUND_PHANTOM = "REFUND_PHANTOM"
    CONNECTION_REFUSED = "CONNECTION_REFUSED"
    ANSWER_OTHER_AMOUNT = "ANSWER_OTHER_AMOUNT"
    ANSWER_BAD_SIGNATURE = "ANSWER_BAD_SIGNATURE"
    SUCCESS_FLIPS = "SUCCESS_FLIPS"
    CONNECTION_RESET = "CONNECTION_RESET"
    ANSWER_UNKNOWN_WORD = "ANSWER_UNKNOWN_WORD"
    ANSWER_NO_SIGNATURE = "ANSWER_NO_SIGNATURE"
    ANSWER_PROBE_SIGNATURE = "ANSWER_PROBE_SIGNATURE"
    ANSWER_STALE = "ANSWER_STALE"
    ANSWER_OTHER_CERTIFICATE = "ANSWER_OTHER_CERTIFICATE"
    ANSWER_NEW_CERTIFICATE = "ANSWER_NEW_CERTIFICATE"
    CALLBACK_NO_SIGNATURE = "CALLBACK_NO_SIGNATURE"
    CALLBACK_PROBE_SIGNATURE = "CALLBACK_PROBE_SIGNATURE"
    CALLBACK_STALE = "CALLBACK_STALE"
    CALLBACK_OTHER_CERTIFICATE = "CALLBACK_OTHER_CERTIFICATE"
    CALLBACK_NEW_CERTIFICATE = "CALLBACK_NEW_CERTIFICATE"
    PAYOUT_FAILS = "PAYOUT_FAILS"
    PAYOUT_STUCK = "PAYOUT_STUCK"
    PAYOUT_RETURNED = "PAYOUT_RETURNED"
    SPLIT_FAILS = "SPLIT_FAILS"
    PERSON_DIFFERS = "PERSON_DIFFERS"
    BILL_MISSING = "BILL_MISSING"
    BILL_LATE = "BILL_LATE"
    BILL_TRUNCATED = "BILL_TRUNCATED"
    BILL_TOTALS_DIFFER = "BILL_TOTALS_DIFFER"
    BILL_LINES_TWICE = "BILL_LINES_TWICE"
    BILL_OTHER_MERCHANT = "BILL_OTHER_MERCHANT"
    BILL_CORRECTED = "BILL_CORRECTED"


class Fault(NamedTuple):
    """One fault that is on. `until_ms` is in virtual Unix milliseconds, 0 means until switched off."""

    channel_id: str
    kind: Kind
    share: float
    targets: tuple[str, ...] = ()
    until_ms: int = 0

    def to_dict(self, *, now_ms: int) -> dict[str, object]:
        """Return the fields as `inject` takes them; `ttl_s` is what is left of the time, 0 means until switched off."""
        return {
            "channel_id": self.channel_id,
            "kind": self.kind.value,
            "share": self.share,
            "targets": list(self.targets),
            "ttl_s": max(0, self.until_ms - now_ms) / 1_000 if self.until_ms else 0,
        }


def read(command: dict[str, object], *, now_ms: int) -> Fault:
    """Read a command to switch a fault on or off. Raise BadControl for what is unknown or out of range."""
    unknown = command.keys() - {"channel_id", "kind", "share", "targets", "ttl_s"}
    if unknown:
        raise BadControl(f"unknown fault field {min(unknown)!r}")
    kind, channel_id = command.get("kind"), command.get("channel_id")
    if not isinstance(kind, str) or kind not in Kind.__members__:
        raise BadControl(f"unknown fault kind {kind!r}")
    if not isinstance(channel_id, str):
        raise BadControl("channel_id must be a text")
    share = _number(command.get("share", 1.0), name="share", high=1)
    ttl_s = _number(command.get("ttl_s", 0), name="ttl_s", high=TTL_S_MAX)
    until_ms = now_ms + max(1, round(ttl_s * 1_000)) if ttl_s else 0
    return Fault(channel_id, Kind(kind), share, _targets(command.get("targets", ())), until_ms)


def _number(value: object, *, name: str, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadControl(f"{name} must be a number")
    if not 0 <= value <= high:
        raise BadControl(f"{name} must be from 0 to {high}")
    return value


def _targets(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple | set | frozenset) or len(value) > TARGETS_MAX:
        raise BadControl(f"targets must be a list of at most {TARGETS_MAX} texts")
    if not all(isinstance(target, str) and 0 < len(target) <= TARGET_LENGTH_MAX for target in value):
        raise BadControl(f"a target must be a text of 1 to {TARGET_LENGTH_MAX} characters")
    return tuple(sorted(set(value)))


class FaultBook:
    """The faults that are on for one channel: one per kind and set of targets."""

    def __init__(self) -> None:
        self._by_kind: dict[Kind, dict[tuple[str, ...], tuple[Fault, frozenset[str]]]] = {}
        self.hit_count = 0

    def __bool__(self) -> bool:
        return bool(self._by_kind)

    def put(self, fault: Fault) -> None:
        """Switch a fault on, or off with share 0; off without targets ends every fault of the kind."""
        if fault.share > 0:
            if len(self.active(now_ms=0)) >= FAULTS_MAX:
                raise BadControl(f"a channel has at most {FAULTS_MAX} faults: switch one off first")
            self._by_kind.setdefault(fault.kind, {})[fault.targets] = (fault, frozenset(fault.targets))
        elif fault.targets:
            self._drop(fault.kind, fault.targets)
        else:
            self._by_kind.pop(fault.kind, None)

    def hits(self, kind: Kind, *, key: str, names: Iterable[str], draws: Draws, now_ms: int) -> bool:
        """Tell whether a fault of this kind strikes the request `key`, whose numbers and tokens are `names`."""
        for fault, targets in list(self._by_kind.get(kind, {}).values()):
            if fault.until_ms and now_ms >= fault.until_ms:
                self._drop(kind, fault.targets)
            elif (not targets or not targets.isdisjoint(names)) and draws.share(key, kind) < fault.share:
                self.hit_count += 1
                return True
        return False

    def active(self, *, now_ms: int) -> list[Fault]:
        """List the faults that are on at this time."""
        every = (fault for of_kind in self._by_kind.values() for fault, _ in of_kind.values())
        return [fault for fault in every if not fault.until_ms or now_ms < fault.until_ms]

    def _drop(self, kind: Kind, targets: tuple[str, ...]) -> None:
        of_kind = self._by_kind.get(kind, {})
        of_kind.pop(targets, None)
        if not of_kind:
            self._by_kind.pop(kind, None)
