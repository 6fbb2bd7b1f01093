"""The life of a proposal: a sensitive act that waits until enough other people have allowed it.

Who proposes never decides, whatever roles or keys they hold, and nobody's word counts twice. How many have to allow an
act is the tenant's policy, which is data.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from domain.refusals import Kind, Refusal, Refused, Violation, invalid
from domain.table import terminal


class State(StrEnum):
    """Where a proposal is. Performing is part of the last approval, so nothing is ever allowed and not done."""

    PENDING = "PENDING"
    PERFORMED = "PERFORMED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"  # by whoever proposed it
    EXPIRED = "EXPIRED"
    VOID = "VOID"  # what was shown is no longer so, or the act can no longer be done


class Event(StrEnum):
    """What can happen to a proposal."""

    APPROVE = "APPROVE"  # one of several has allowed it
    PERFORM = "PERFORM"
    REJECT = "REJECT"
    CANCEL = "CANCEL"
    EXPIRE = "EXPIRE"
    CHANGE = "CHANGE"


START = State.PENDING

EDGES: dict[tuple[State, StrEnum], State] = {
    (State.PENDING, Event.APPROVE): State.PENDING,
    (State.PENDING, Event.PERFORM): State.PERFORMED,
    (State.PENDING, Event.REJECT): State.REJECTED,
    (State.PENDING, Event.CANCEL): State.CANCELLED,
    (State.PENDING, Event.EXPIRE): State.EXPIRED,
    (State.PENDING, Event.CHANGE): State.VOID,
}
TERMINAL = terminal(State, EDGES)


class Decision(StrEnum):
    """One person's word."""

    APPROVE = "APPROVE"
    REJECT = "REJECT"


class Decider(NamedTuple):
    """Who decides. `person` is the human being behind the principal, "" where identity names none."""

    principal: str
    roles: frozenset[str]
    person: str = ""
    address: str = ""

    @property
    def being(self) -> str:
        """Return what makes two principals the same one."""
        return self.person or self.principal


class Said(NamedTuple):
    """What somebody decided, and who that was."""

    principal: str
    being: str
    decision: Decision


def objection(
    who: Decider, *, proposer: str, proposer_being: str, said: Collection[Said], checkers: frozenset[str], kind: str
) -> Refusal | None:
    """Tell why somebody may not decide about a pending proposal; None when they may."""
    if who.roles.isdisjoint(checkers):
        needed = ", ".join(sorted(checkers))
        return Refusal(Kind.PERMISSION_DENIED, "CHECKER_ROLE_MISSING", f"deciding about {kind} needs one of {needed}")
    if who.principal == proposer or who.being == proposer_being:
        return Refusal(Kind.PERMISSION_DENIED, "MAKER_CHECKER", "who proposes an act does not decide about it")
    if any(one.principal == who.principal or one.being == who.being for one in said):
        return Refusal(Kind.PERMISSION_DENIED, "DECIDED_ALREADY", "each approver decides once")
    return None


def digest(shown: Mapping[str, Any]) -> bytes:
    """Return the SHA-256 of what was shown, as canonical JSON."""
    return hashlib.sha256(canonical(shown).encode()).digest()


def canonical(value: Any) -> str:
    """Write plain values as the one JSON text that stands for them."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)


def changed_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Name the fields, down to the second level, that differ: those for which a digest would."""
    names: list[str] = []
    for name in _differing(before, after):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            names += [f"{name}.{part}" for part in _differing(old, new)]
        else:
            names.append(name)
    return names


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    old = {name: canonical(value) for name, value in before.items()}
    new = {name: canonical(value) for name, value in after.items()}
    return [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]


# --- policy -----------------------------------------------------------------------------------------------------------

# A long weekend and the working day after it.
EXPIRE_S = 5 * 86_400
EXPIRE_S_MAX = 90 * 86_400
# Nobody allows in less, and then nobody can allow another policy either.
EXPIRE_S_MIN = 600
APPROVERS_MAX = 5
TIERS_MAX = 10
ACTS_MAX = 200


class Tier(NamedTuple):
    """How many have to allow an act of up to an amount; 0 is no bound."""

    up_to_minor: int
    approvers: int


class Policy(NamedTuple):
    """How many have to allow what. Kinds of acts that are not named need `approvers`."""

    approvers: int = 1
    expire_s: int = EXPIRE_S
    acts: Mapping[str, tuple[Tier, ...]] = {}

    def needed(self, kind: str, amount_minor: int) -> int:
        """Return how many have to allow an act of a kind and amount."""
        tiers = self.acts.get(kind) or (Tier(0, self.approvers),)
        return next(tier.approvers for tier in tiers if not tier.up_to_minor or amount_minor <= tier.up_to_minor)

    @property
    def most(self) -> int:
        """Return how many the act takes that takes most."""
        return max([self.approvers, *(tier.approvers for tiers in self.acts.values() for tier in tiers)])

    def document(self) -> dict[str, Any]:
        """Write the policy as data, the way `policy_of` reads it."""
        acts = {kind: [tier._asdict() for tier in tiers] for kind, tiers in sorted(self.acts.items())}
        return {"approvers": self.approvers, "expire_s": self.expire_s, "acts": acts}


def policy_of(document: Mapping[str, Any]) -> Policy:
    """Read a policy. Raise Refused with every field that breaks a rule.

    `acts` has, by kind of act, a number of approvers, or tiers by amount of which the last has no bound.
    """
    violations = [Violation(name, "is no field of a policy") for name in sorted({*document} - {*Policy._fields})]
    approvers, expire_s = document.get("approvers", 1), document.get("expire_s", EXPIRE_S)
    violations += _count_violations("approvers", approvers)
    if not _is_whole(expire_s) or not 0 < expire_s <= EXPIRE_S_MAX:
        violations.append(Violation("expire_s", f"must be 1 to {EXPIRE_S_MAX} seconds"))
    named = document.get("acts", {})
    if not isinstance(named, Mapping) or len(named) > ACTS_MAX:
        violations.append(Violation("acts", f"must name at most {ACTS_MAX} kinds of acts"))
        named = {}
    acts: dict[str, tuple[Tier, ...]] = {}
    for kind, wanted in named.items():
        rows = [{"approvers": wanted}] if _is_whole(wanted) else wanted
        violations += (found := [*_tier_violations(f"acts.{kind}", rows)])
        if not found:
            acts[kind] = tuple(Tier(row.get("up_to_minor", 0), row["approvers"]) for row in rows)
    if violations:
        raise Refused(invalid(*violations))
    return Policy(approvers, expire_s, acts)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _count_violations(field: str, value: object) -> Iterator[Violation]:
    if not _is_whole(value) or not 0 <= value <= APPROVERS_MAX:  # type: ignore[operator]
        yield Violation(field, f"must be 0 to {APPROVERS_MAX}")


def _tier_violations(field: str, rows: Any) -> Iterator[Violation]:
    if not isinstance(rows, list) or not 1 <= len(rows) <= TIERS_MAX or not all(isinstance(row, Mapping) for row in rows):
        yield Violation(field, f"must be a number of approvers, or 1 to {TIERS_MAX} tiers")
        return
    below = 0
    for place, row in enumerate(rows):
        yield from (Violation(f"{field}[{place}].{name}", "is no field of a tier") for name in sorted({*row} - {*Tier._fields}))
        yield from _count_violations(f"{field}[{place}].approvers", row.get("approvers"))
        bound, last = row.get("up_to_minor", 0), place == len(rows) - 1
        if last and bound:
            yield Violation(f"{field}[{place}].up_to_minor", "the last tier has no bound")
        elif not last and (not _is_whole(bound) or bound <= below):
            yield Violation(f"{field}[{place}].up_to_minor", "must be more than that of the tier before")
            return
        below = bound
