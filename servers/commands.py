"""How services change things: once per request id, with an audit entry, in one transaction."""

from collections.abc import Callable, Mapping
from typing import Any

from domain.refusals import Refused
from servers import translate
from servers.identity import caller
from storage import audit, requests
from storage.database import Database


async def once(
    database: Database,
    operation: str,
    *,
    object_kind: str,
    object_id: str,
    request_id: str,
    content: tuple[Any, ...],
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
    work: Callable[..., Any] | None = None,
) -> requests.Claim:
    """Do `work` for the caller unless this request id has done it; raise Refused(REUSED) if it did something else."""
    who = caller()
    entry = audit.Entry(
        who.tenant_id, who.principal, operation, object_kind, object_id, before, after, reason, request_id, who.address
    )
    content_hash = translate.content_hash(content)
    claim = await database.run(requests.once, entry, content_hash, work)
    if claim.content_hash != content_hash:
        raise Refused(translate.reused(request_id))
    return claim
