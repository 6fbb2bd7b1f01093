"""Proposals of sensitive acts and what became of them."""

from typing import NamedTuple

from sqlalchemy import Connection

from storage.acts import Ask


class Proposed(NamedTuple):
    """An act that waits (`approval_id`), or was performed at once because the tenant's policy asks for nobody."""

    approval_id: str
    performed: bool
    object_id: str


def propose(connection: Connection, kind: str, ask: Ask, *, now_ms: int) -> Proposed:
    """Keep a proposal, or perform it where nobody has to be asked. A repeat of its request id answers the same.

    Raise Refused: for a request id with other content, and whatever the act's `show` refuses.
    """
    raise NotImplementedError
