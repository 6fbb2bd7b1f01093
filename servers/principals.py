"""The Identity service: principals, grants, keys and certificates of the caller's tenant."""

import asyncio
import re
import time
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from domain import orders
from domain.permissions import PLATFORM, PLATFORM_ROLES, TENANT_ROLES, Grant, Reach, scope_of
from domain.refusals import Kind, Refusal, Refused, Violation, invalid
from protos.paydesk.v1 import identity_pb2, identity_pb2_grpc
from servers import certificates, commands, identity, pages, translate
from servers.identity import caller
from storage import grants, passes
from storage import identity as store
from storage.database import Database

PRINCIPAL_LENGTH_MAX = 64
NAME_LENGTH_MAX = 128
REASON_LENGTH_MAX = 128
REACH_MAX = 100
KEY_LIFE_MS_MAX = 10 * 366 * 86_400_000
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")

_KINDS = {identity_pb2.Principal.KIND_PERSON: "PERSON", identity_pb2.Principal.KIND_SYSTEM: "SYSTEM"}
_KIND_VALUES: dict[str, Any] = {name: value for value, name in _KINDS.items()}
_BINDING_KINDS: dict[str, Any] = {
    "FINGERPRINT": identity_pb2.CertificateBinding.KIND_FINGERPRINT, "SAN": identity_pb2.CertificateBinding.KIND_SAN,
}  # fmt: skip


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class IdentityService(identity_pb2_grpc.IdentityServicer):
    """Translates; every change checks, writes and is audited in one transaction.

    `client_authority` is the file of whoever issues client certificates, None where none are asked for.
    """

    def __init__(self, database: Database, pepper: bytes, client_authority: Path | None = None) -> None:
        self._database = database
        self._pepper = pepper
        self._client_authority = client_authority

    # --- principals -------------------------------------------------------------------------------------------------

    async def CreatePrincipal(
        self, request: identity_pb2.CreatePrincipalRequest, context: Any
    ) -> identity_pb2.Principal:
        """Make a person or a system known."""
        violations = [*orders.text_violations(request_id=request.request_id), *_new_id_violations(request.principal_id)]
        kind = _KINDS.get(request.kind)
        if kind is None:
            violations.append(Violation("kind", "must be KIND_PERSON or KIND_SYSTEM"))
        if request.person_id:
            violations += _new_id_violations(request.person_id, "person_id")
        if len(request.display_name) > NAME_LENGTH_MAX or not (request.display_name + " ").isprintable():
            violations.append(Violation("display_name", f"must be at most {NAME_LENGTH_MAX} printable characters"))
        _refuse(violations)
        tenant_id = caller().tenant_id

        def work(connection: Connection) -> None:
            new = store.add_principal(
                connection, tenant_id=tenant_id, principal_id=request.principal_id, kind=str(kind),
                display_name=request.display_name, person_id=request.person_id,
            )  # fmt: skip
            if not new:
                raise Refused(
                    Refusal(Kind.FORBIDDEN_BY_STATE, "PRINCIPAL_EXISTS", f"there is a principal {request.principal_id!r}")
                )

        await commands.once(
            self._database, "Identity.CreatePrincipal", object_kind="principal", object_id=request.principal_id,
            request_id=request.request_id, content=(request.principal_id, request.kind, request.display_name, request.person_id),
            after={"kind": kind, "display_name": request.display_name, "person_id": request.person_id}, work=work,
        )  # fmt: skip
        return await self._principal(request.principal_id)

    async def GetPrincipal(self, request: identity_pb2.GetPrincipalRequest, context: Any) -> identity_pb2.Principal:
        """Read a principal with its grants and certificates."""
        _refuse(_id_violations(request.principal_id))
        return await self._principal(request.principal_id)

    async def ListPrincipals(
        self, request: identity_pb2.ListPrincipalsRequest, context: Any
    ) -> identity_pb2.ListPrincipalsResponse:
        """List principals by id."""
        limit = pages.size(request.page_size)
        found = await self._database.run(
            store.list_principals, tenant_id=caller().tenant_id, after_id=pages.key_of(request.page_token), limit=limit + 1
        )
        response = identity_pb2.ListPrincipalsResponse(principals=map(_principal_message, found[:limit]))
        if len(found) > limit:
            response.next_page_token = pages.token(found[limit - 1].principal_id)
        return response

    async def DisablePrincipal(
        self, request: identity_pb2.DisablePrincipalRequest, context: Any
    ) -> identity_pb2.Principal:
        """Shut a principal out for good."""
        _refuse([*_usual_violations(request), *_id_violations(request.principal_id)])
        who = caller()

        def work(connection: Connection) -> None:
            grants.check_over(connection, tenant_id=who.tenant_id, giver=who.principal, principal_id=request.principal_id)
            store.disable_principal(connection, tenant_id=who.tenant_id, principal_id=request.principal_id)
            _keep_an_administrator(connection, who)

        await self._once("DisablePrincipal", "principal", request.principal_id, request, work)
        return await self._principal(request.principal_id)

    async def _principal(self, principal_id: str) -> identity_pb2.Principal:
        tenant_id = caller().tenant_id

        def read(connection: Connection) -> identity_pb2.Principal:
            found = store.find_principal(connection, tenant_id=tenant_id, principal_id=principal_id)
            if found is None:
                raise Refused(grants.not_there(principal_id))
            message = _principal_message(found)
            for row in store.list_grants(connection, tenant_id=tenant_id, principal_id=principal_id):
                message.grants.add(
                    grant_id=row.grant_id, role=row.grant.role, reach=_reach_message(row.grant.reach),
                    granted_by=row.granted_by, create_time=translate.timestamp(row.create_ms),
                )  # fmt: skip
            bindings = store.list_bindings(connection, tenant_id=tenant_id, principal_id=principal_id)
            message.certificates.extend(map(_binding_message, bindings))
            return message

        return await self._database.run(read)

    async def _once(
        self, operation: str, kind: str, object_id: str, request: Any, work: Callable[[Connection], None]
    ) -> None:
        """Do something to an object once per request id, for the reason that the request gives."""
        await commands.once(
            self._database, f"Identity.{operation}", object_kind=kind, object_id=object_id,
            request_id=request.request_id, content=(object_id, request.reason), reason=request.reason, work=work,
        )  # fmt: skip

    # --- grants -----------------------------------------------------------------------------------------------------

    async def GrantRole(self, request: identity_pb2.GrantRoleRequest, context: Any) -> identity_pb2.GrantRoleResponse:
        """Give a role, or propose to."""
        violations = [*_usual_violations(request), *_id_violations(request.principal_id)]
        violations += _role_violations("role", [request.role])
        if max(len(request.reach.institution_ids), len(request.reach.product_codes)) > REACH_MAX:
            violations.append(Violation("reach", f"must name at most {REACH_MAX} institutions and {REACH_MAX} products"))
        _refuse(violations)
        arguments = {
            "principal_id": request.principal_id, "role": request.role,
            "institution_ids": sorted(set(request.reach.institution_ids)),
            "product_codes": sorted(set(request.reach.product_codes)),
        }  # fmt: skip
        done = await commands.propose(
            self._database, grants.GRANT_ROLE.kind, arguments, request_id=request.request_id, reason=request.reason
        )
        return identity_pb2.GrantRoleResponse(
            approval_id=done.approval_id, performed=done.performed, grant_id=done.object_id if done.performed else ""
        )

    async def RevokeRole(self, request: identity_pb2.RevokeRoleRequest, context: Any) -> identity_pb2.Principal:
        """Take a grant away."""
        _refuse([*_usual_violations(request), *_id_violations(request.grant_id, "grant_id")])
        who = caller()
        key = {"tenant_id": who.tenant_id, "grant_id": request.grant_id}
        found = await self._database.run(store.grant_ever, **key)
        if found is None:
            raise Refused(translate.not_found("GRANT_NOT_FOUND", f"there is no grant {request.grant_id!r}"))
        principal_id, grant = found

        def work(connection: Connection) -> None:
            grants.check_may_give(connection, tenant_id=who.tenant_id, giver=who.principal, grants=[grant])
            store.revoke_grant(connection, **key)
            _keep_an_administrator(connection, who)

        await self._once("RevokeRole", "role_grant", request.grant_id, request, work)
        return await self._principal(principal_id)

    # --- keys -------------------------------------------------------------------------------------------------------

    async def CreateApiKey(
        self, request: identity_pb2.CreateApiKeyRequest, context: Any
    ) -> identity_pb2.CreateApiKeyResponse:
        """Make a key of the caller's own and show its text once; or propose one that somebody else has made."""
        violations = [*_usual_violations(request), *_id_violations(request.principal_id)]
        violations += _role_violations("roles", request.roles)
        expire_ms, now_ms = translate.milliseconds(request.expire_time), _now_ms()
        if request.HasField("expire_time") and not now_ms < expire_ms <= now_ms + KEY_LIFE_MS_MAX:
            violations.append(Violation("expire_time", "must be ahead, by ten years at most"))
        is_made_here = not request.key_sha256 and request.principal_id == caller().principal
        if not is_made_here and not _FINGERPRINT.fullmatch(request.key_sha256):
            rule = "must be the fingerprint of a key that its owner has made with `paydesk identity make-key`"
            violations.append(Violation("key_sha256", rule))
        _refuse(violations)
        text = identity.new_key() if is_made_here else ""
        fingerprint, roles = request.key_sha256 or identity.key_fingerprint(text), sorted(set(request.roles))
        done = await commands.propose(
            self._database, passes.CREATE_KEY.kind,
            {
                "principal_id": request.principal_id, "roles": roles, "expire_ms": expire_ms, "key_sha256": fingerprint,
                "key_digest": identity.key_digest(self._pepper, fingerprint).hex(),
            },
            request_id=request.request_id, reason=request.reason,
            content_hash=translate.content_hash((request.principal_id, roles, expire_ms, request.key_sha256, request.reason)),
        )  # fmt: skip
        return identity_pb2.CreateApiKeyResponse(
            key=await self._key(done.object_id) if done.performed else None, key_text="" if done.repeated else text,
            proposal=translate.proposal_message(done),
        )  # fmt: skip

    async def ListApiKeys(
        self, request: identity_pb2.ListApiKeysRequest, context: Any
    ) -> identity_pb2.ListApiKeysResponse:
        """List keys by id."""
        if request.principal_id:
            _refuse(_id_violations(request.principal_id))
        limit = pages.size(request.page_size)
        found = await self._database.run(
            store.list_keys, tenant_id=caller().tenant_id, principal_id=request.principal_id,
            after_id=pages.key_of(request.page_token), limit=limit + 1,
        )  # fmt: skip
        response = identity_pb2.ListApiKeysResponse(keys=map(_key_message, found[:limit]))
        if len(found) > limit:
            response.next_page_token = pages.token(found[limit - 1].key_id)
        return response

    async def RevokeApiKey(self, request: identity_pb2.RevokeApiKeyRequest, context: Any) -> identity_pb2.ApiKey:
        """Revoke a key at once."""
        _refuse([*_usual_violations(request), *_id_violations(request.key_id, "key_id")])
        who, shown = caller(), await self._key(request.key_id)

        def work(connection: Connection) -> None:
            grants.check_over(connection, tenant_id=who.tenant_id, giver=who.principal, principal_id=shown.principal_id)
            store.revoke_key(connection, tenant_id=who.tenant_id, key_id=request.key_id)

        await self._once("RevokeApiKey", "api_key", request.key_id, request, work)
        return await self._key(request.key_id)

    async def _key(self, key_id: str) -> identity_pb2.ApiKey:
        found = await self._database.run(store.list_keys, tenant_id=caller().tenant_id, key_id=key_id)
        if not found:
            raise Refused(translate.not_found("KEY_NOT_FOUND", f"there is no key {key_id!r}"))
        return _key_message(found[0])

    # --- certificates -----------------------------------------------------------------------------------------------

    async def BindCertificate(
        self, request: identity_pb2.BindCertificateRequest, context: Any
    ) -> identity_pb2.CertificateBinding:
        """Have a client certificate speak for a principal, or propose to."""
        _refuse([*_usual_violations(request), *_id_violations(request.principal_id)])
        who, wanted = caller(), request.principal_id
        shown = await asyncio.to_thread(
            certificates.present, request.certificate_pem, name=request.subject_alternative_name, proof=request.proof,
            authority=self._client_authority, tenant_id=who.tenant_id, principal_id=wanted, now_ms=_now_ms(),
        )  # fmt: skip
        done = await commands.propose(
            self._database, passes.BIND_CERTIFICATE.kind, {"principal_id": wanted, **shown._asdict()},
            request_id=request.request_id, reason=request.reason,
        )  # fmt: skip
        binding = store.Binding("", wanted, shown.kind, shown.value, shown.not_after_ms, 0)
        if done.performed:
            bound = await self._database.run(store.binding_ever, tenant_id=who.tenant_id, binding_id=done.object_id)
            assert bound is not None
            binding = bound
        message = _binding_message(binding)
        message.proposal.CopyFrom(translate.proposal_message(done))
        return message

    async def UnbindCertificate(
        self, request: identity_pb2.UnbindCertificateRequest, context: Any
    ) -> identity_pb2.Principal:
        """End a binding."""
        _refuse([*_usual_violations(request), *_id_violations(request.binding_id, "binding_id")])
        who = caller()
        key = {"tenant_id": who.tenant_id, "binding_id": request.binding_id}
        bound = await self._database.run(store.binding_ever, **key)
        if bound is None:
            raise Refused(translate.not_found("BINDING_NOT_FOUND", f"there is no binding {request.binding_id!r}"))

        def work(connection: Connection) -> None:
            grants.check_over(connection, tenant_id=who.tenant_id, giver=who.principal, principal_id=bound.principal_id)
            store.unbind(connection, **key)

        await self._once("UnbindCertificate", "certificate", request.binding_id, request, work)
        return await self._principal(bound.principal_id)

    # --- who may what -----------------------------------------------------------------------------------------------

    async def WhoAmI(self, request: identity_pb2.WhoAmIRequest, context: Any) -> identity_pb2.WhoAmIResponse:
        """Tell as whom the caller is known."""
        who = caller()
        return identity_pb2.WhoAmIResponse(tenant_id=who.tenant_id, principal_id=who.principal, roles=sorted(who.roles))

    async def ListPermissions(
        self, request: identity_pb2.ListPermissionsRequest, context: Any
    ) -> identity_pb2.ListPermissionsResponse:
        """List what a principal may call."""
        _refuse(_id_violations(request.principal_id))
        limit, after = pages.size(request.page_size), pages.key_of(request.page_token)
        principal = await self._principal(request.principal_id)
        held = [] if principal.HasField("disable_time") else [Grant(g.role, _reach_of(g.reach)) for g in principal.grants]
        roles = {grant.role for grant in held}
        allowed = sorted(method for method, needed in identity.RULES.items() if needed & roles and method > after)
        response = identity_pb2.ListPermissionsResponse()
        for method in allowed[:limit]:
            needed = identity.RULES[method]
            response.permissions.add(
                method=method.removeprefix("/paydesk.v1."), roles=sorted(needed & roles),
                reaches=map(_reach_message, scope_of(held, needed)),
            )  # fmt: skip
        if len(allowed) > limit:
            response.next_page_token = pages.token(allowed[limit - 1])
        return response


def _keep_an_administrator(connection: Connection, who: identity.Caller) -> None:
    """Raise Refused when nobody is left who administers all of the tenant."""
    if not store.hold_administrators(connection, tenant_id=who.tenant_id):
        raise Refused(
            Refusal(Kind.FORBIDDEN_BY_STATE, "LAST_ADMINISTRATOR", "somebody must be left who administers all of it")
        )


# --- checks and messages ----------------------------------------------------------------------------------------------


def _refuse(violations: list[Violation]) -> None:
    if violations:
        raise Refused(invalid(*violations))


def _id_violations(value: str, field: str = "principal_id") -> list[Violation]:
    if 0 < len(value) <= PRINCIPAL_LENGTH_MAX and value.isprintable():
        return []
    return [Violation(field, f"must be 1 to {PRINCIPAL_LENGTH_MAX} printable characters")]


def _new_id_violations(value: str, field: str = "principal_id") -> list[Violation]:
    """Find also what looks like another id without being it: the same person written in two ways would be two."""
    if value != unicodedata.normalize("NFKC", value).strip():
        return [Violation(field, "must have no spaces around it, and no characters that stand for others")]
    return _id_violations(value, field)


def _usual_violations(request: Any) -> list[Violation]:
    violations = [*orders.text_violations(request_id=request.request_id)]
    if len(request.reason) > REASON_LENGTH_MAX or not (request.reason + " ").isprintable():
        violations.append(Violation("reason", f"must be at most {REASON_LENGTH_MAX} printable characters"))
    return violations


def _role_violations(field: str, roles: Iterable[str]) -> list[Violation]:
    possible = PLATFORM_ROLES if caller().tenant_id == PLATFORM else TENANT_ROLES
    unknown = next((role for role in roles if role not in possible), None)
    return [] if unknown is None else [Violation(field, f"{unknown[:64]!r} is none of {', '.join(sorted(possible))}")]


def _reach_of(message: identity_pb2.Reach) -> Reach:
    return Reach(frozenset(message.institution_ids), frozenset(message.product_codes))


def _reach_message(reach: Reach) -> identity_pb2.Reach:
    return identity_pb2.Reach(institution_ids=sorted(reach.institutions), product_codes=sorted(reach.products))


def _principal_message(row: store.Principal) -> identity_pb2.Principal:
    return identity_pb2.Principal(
        principal_id=row.principal_id, kind=_KIND_VALUES[row.kind], display_name=row.display_name,
        person_id=row.person_id,
        create_time=translate.timestamp(row.create_ms), disable_time=translate.timestamp(row.disable_ms),
    )  # fmt: skip


def _key_message(row: store.KeyShown) -> identity_pb2.ApiKey:
    at = translate.timestamp
    return identity_pb2.ApiKey(
        key_id=row.key_id, principal_id=row.principal_id, roles=row.roles, create_time=at(row.create_ms),
        expire_time=at(row.expire_ms), revoke_time=at(row.revoke_ms), last_use_time=at(row.last_use_ms),
    )  # fmt: skip


def _binding_message(row: store.Binding) -> identity_pb2.CertificateBinding:
    return identity_pb2.CertificateBinding(
        binding_id=row.binding_id, principal_id=row.principal_id, kind=_BINDING_KINDS[row.kind], value=row.value,
        not_after_time=translate.timestamp(row.not_after_ms), create_time=translate.timestamp(row.create_ms),
    )  # fmt: skip
