"""The one vocabulary of refusals. A program reads `Kind` and `reason`, a person reads `message`.

`servers/refusals.py` maps every `Kind` to a gRPC code in one total table.
"""

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What sort of "no" it is, and with that what the caller may do next."""

    INVALID = "INVALID"  # the request itself is wrong: mend it
    NOT_FOUND = "NOT_FOUND"  # also for what belongs to another tenant
    REUSED = "REUSED"  # this request_id was used with other content
    FORBIDDEN_BY_STATE = "FORBIDDEN_BY_STATE"  # the order or payment is not in a state that allows it
    MOVED = "MOVED"  # somebody else changed it meanwhile: read and try again
    OVERLOADED = "OVERLOADED"  # refused before anything was written: try again later
    UNAVAILABLE = "UNAVAILABLE"  # may have happened: repeat with the same request_id
    TOO_LATE = "TOO_LATE"  # the deadline leaves no time to do it
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"


class Violation(NamedTuple):
    """A rule that one field of a request breaks."""

    field: str
    rule: str


class Refusal(NamedTuple):
    """Why something will not be done.

    `reason` is a constant in capitals such as NO_ROUTE; `metadata` holds short strings that a program may need.
    """

    kind: Kind
    reason: str
    message: str
    violations: tuple[Violation, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()


class Refused(Exception):
    """The request is understood and will not be done; `refusal` says why. Takes one argument so that it pickles."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


def invalid(*violations: Violation) -> Refusal:
    """Refuse a request for the fields that break a rule."""
    text = "; ".join(f"{violation.field}: {violation.rule}" for violation in violations)
    return Refusal(Kind.INVALID, "INVALID_FIELD", text, violations)
