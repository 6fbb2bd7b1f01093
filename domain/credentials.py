"""What a merchant account signs and verifies with."""

from collections.abc import Mapping
from typing import NamedTuple


class Credentials(NamedTuple):
    """One version of an account's keys and certificates, by the names that its channel gives them.

    Versions come newest first: the first one signs, all of them verify, so that keys can be replaced while messages are
    under way. `not_after_ms` is when the version stops being valid, in Unix milliseconds, 0 for never.
    """

    version: int
    values: Mapping[str, str]
    not_after_ms: int = 0

    def __repr__(self) -> str:
        """Name the version and what it holds, never the values: a representation ends up in logs."""
        return f"Credentials(version={self.version}, values=<{', '.join(sorted(self.values))}>)"
