"""Acts of people and systems that make no payment: done once per request id, with their audit entry, in one transaction."""

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from storage import audit


class Claim(NamedTuple):
    """Who holds a request id: the hash of what was asked first, the object, and whether this call was the first."""

    content_hash: str
    object_id: str
    is_first: bool


def once(
    connection: Connection, entry: audit.Entry, content_hash: str, work: Callable[[Connection], Any] | None = None
) -> Claim:
    """Do `work` and write the audit entry if nobody has used the entry's request id for its operation before.

    A repeat does nothing, and gets the object of the first. Whether its content was the same is for the caller to say.
    """
    keys = {"tenant_id": entry.tenant_id, "operation": entry.operation, "request_id": entry.request_id}
    made = connection.execute(
        text(
            """INSERT INTO requests (tenant_id, operation, request_id, content_hash, object_id)
               VALUES (:tenant_id, :operation, :request_id, :content_hash, :object_id) ON CONFLICT DO NOTHING"""
        ),
        {**keys, "content_hash": content_hash, "object_id": entry.object_id},
    )
    if made.rowcount == 1:
        if work is not None:
            work(connection)
        audit.append(connection, [entry])
        return Claim(content_hash, entry.object_id, is_first=True)
    row = connection.execute(
        text(
            """SELECT content_hash, object_id FROM requests
               WHERE tenant_id = :tenant_id AND operation = :operation AND request_id = :request_id"""
        ),
        keys,
    ).one()
    return Claim(row[0], row[1], is_first=False)
