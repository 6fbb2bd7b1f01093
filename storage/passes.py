"""The sensitive acts of letting somebody in: an API key or a client certificate.

Only for another principal do they wait. Nobody but its owner ever has the key, so who allows it can ask the owner whether
the fingerprint is theirs; with a key of somebody else's, one person could be both who proposes and who decides.
"""

import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from domain.permissions import PLATFORM_ROLES
from domain.refusals import Kind, Refusal, Refused, Violation, invalid
from storage import audit, grants, identity
from storage.acts import CHECKERS, Act, Ask, register


def _show(connection: Connection, ask: Ask) -> dict[str, Any]:
    """Return whose it would be, whatever they may do now or later. Raise Refused for whom the proposer has no say over."""
    principal_id = ask.arguments["principal_id"]
    shown = grants.show_principal(connection, tenant_id=ask.tenant_id, principal_id=principal_id)
    if ask.proposer != principal_id:
        grants.check_over(connection, tenant_id=ask.tenant_id, giver=ask.proposer, principal_id=principal_id)
    return {**shown, "own": ask.proposer == principal_id}


def _show_key(connection: Connection, ask: Ask) -> dict[str, Any]:
    wanted = ask.arguments
    if 0 < wanted["expire_ms"] <= ask.now_ms:
        raise Refused(invalid(Violation("expire_time", "has passed")))
    return {**_show(connection, ask), **{name: wanted[name] for name in ("roles", "expire_ms", "key_sha256")}}


def _create_key(connection: Connection, ask: Ask) -> str:
    wanted, key_id = ask.arguments, f"key_{secrets.token_hex(6)}"
    _show_key(connection, ask)  # whoever proposed it must still be allowed to
    made = identity.add_key(
        connection, key_digest=bytes.fromhex(wanted["key_digest"]), key_id=key_id, tenant_id=ask.tenant_id,
        principal=wanted["principal_id"], roles=wanted["roles"] or None, expire_ms=wanted["expire_ms"],
    )  # fmt: skip
    if not made:
        raise Refused(Refusal(Kind.REUSED, "KEY_TAKEN", "this key has been given to somebody already; make another"))
    after = {name: wanted[name] for name in ("principal_id", "roles", "expire_ms", "key_sha256")}
    _note(connection, ask, "Identity.CreateApiKey", "api_key", key_id, after)
    return key_id


def _show_certificate(connection: Connection, ask: Ask) -> dict[str, Any]:
    wanted = ask.arguments
    if wanted["not_after_ms"] <= ask.now_ms:
        raise Refused(invalid(Violation("certificate_pem", "has expired")))
    return {**_show(connection, ask), "certificate": {name: wanted[name] for name in sorted(wanted) if name != "principal_id"}}


def _bind_certificate(connection: Connection, ask: Ask) -> str:
    wanted = ask.arguments
    _show_certificate(connection, ask)
    binding = identity.Binding(
        f"crt_{secrets.token_hex(13)}", wanted["principal_id"], wanted["kind"], wanted["value"], wanted["not_after_ms"], 0
    )
    if not identity.bind(connection, tenant_id=ask.tenant_id, binding=binding):
        raise Refused(
            Refusal(Kind.FORBIDDEN_BY_STATE, "CERTIFICATE_TAKEN", "the certificate speaks for somebody already")
        )
    _note(connection, ask, "Identity.BindCertificate", "certificate", binding.binding_id, dict(wanted))
    return binding.binding_id


def _note(
    connection: Connection, ask: Ask, operation: str, object_kind: str, object_id: str, after: Mapping[str, Any]
) -> None:
    audit.append(connection, [audit.Entry(
        ask.tenant_id, ask.proposer, operation, object_kind, object_id, None, {**after, "approver": ask.approver},
        ask.reason, ask.request_id, ask.address)])  # fmt: skip


def _is_for_another(shown: Mapping[str, Any]) -> bool:
    return not shown["own"]


# What the principal may become is not known yet, so each takes as many as whatever takes most.
CREATE_KEY = register(
    Act(
        "identity.create_key", "api_key", _show_key, _create_key, waits=_is_for_another, empowers=_is_for_another,
        checkers=CHECKERS | PLATFORM_ROLES,
    )
)  # fmt: skip
BIND_CERTIFICATE = register(
    Act(
        "identity.bind_certificate", "certificate", _show_certificate, _bind_certificate, waits=_is_for_another,
        empowers=_is_for_another, checkers=CHECKERS | PLATFORM_ROLES,
    )
)  # fmt: skip
