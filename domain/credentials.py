"""What a merchant account signs and verifies with, and what a channel asks for by name."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from domain.refusals import Violation

# The largest chain of certificates that is real is a few kilobytes.
VALUE_LENGTH_MAX = 32_768


class Credentials(NamedTuple):
    """One version of an account's keys and certificates, by the names that its channel gives them.

    The first of an account's versions signs: the newest that is active. All of them verify, so that keys can be replaced
    while messages are under way. `not_after_ms` is when the version stops being valid, in Unix milliseconds, 0 for never.
    """

    version: int
    values: Mapping[str, str]
    not_after_ms: int = 0

    def __repr__(self) -> str:
        """Name the version and what it holds, never the values: a representation ends up in logs."""
        return f"Credentials(version={self.version}, values=<{', '.join(sorted(self.values))}>)"


class Learned(NamedTuple):
    """Certificates that the other side signs with, now or soon, in PEM. `name` is the credential that holds such."""

    merchant_no: str
    name: str
    certificates: str


class State(StrEnum):
    """What a version is used for."""

    STAGED = "STAGED"  # it verifies: the other side may begin to use it before we do
    ACTIVE = "ACTIVE"  # it verifies, and the newest active one signs
    RETIRED = "RETIRED"  # it does nothing any more, and its values are gone


class Material(StrEnum):
    """What a value must be."""

    PRIVATE_KEY = "PRIVATE_KEY"
    PUBLIC_KEY = "PUBLIC_KEY"
    CERTIFICATE = "CERTIFICATE"
    CERTIFICATES = "CERTIFICATES"  # one or several, one after the other
    TEXT = "TEXT"


class Needs(NamedTuple):
    """What a kind of channel takes: every name with its material, and the sets of names of which one must be complete."""

    materials: Mapping[str, Material]
    complete: tuple[frozenset[str], ...] = ()


WEBHOOK_NEEDS = Needs({"secret": Material.TEXT}, (frozenset({"secret"}),))


def name_violations(needs: Needs, values: Mapping[str, str]) -> Iterator[Violation]:
    """Check which values are there, and their length; what they hold is for whoever can parse it."""
    for name, value in values.items():
        if name not in needs.materials:
            yield Violation(f"values.{name[:64]}", f"is not used here; there are {', '.join(sorted(needs.materials))}")
        elif not 0 < len(value) <= VALUE_LENGTH_MAX:
            yield Violation(f"values.{name}", f"must have 1 to {VALUE_LENGTH_MAX} characters")
    if needs.complete and not any(names <= values.keys() for names in needs.complete):
        ways = " or ".join(" + ".join(sorted(names)) for names in needs.complete)
        yield Violation("values", f"must hold {ways}")
