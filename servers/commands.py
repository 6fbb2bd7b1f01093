"""How services change things: once per request id, with an audit entry, in one transaction."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from domain.refusals import Refused
from servers import translate
from servers.identity import caller
from storage import approvals, audit, requests
from storage.acts import Ask
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


async def propose(
    database: Database, kind: str, arguments: Mapping[str, Any], *, request_id: str, reason: str, content_hash: str = ""
) -> approvals.Proposed:
    """Propose a sensitive act for the caller. Raise Refused."""
    who = caller()
    ask = Ask(
        who.tenant_id, who.principal, arguments, reason, request_id, address=who.address, person=who.person,
        content_hash=content_hash,
    )  # fmt: skip
    return await database.run(approvals.propose, kind, ask, now_ms=time.time_ns() // 1_000_000)
