"""Who calls: an API key belongs to a principal of a tenant, which has roles. And what each method needs: one table, default deny."""

import hashlib
import hmac
import secrets
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import NamedTuple

from domain import permissions
from domain.permissions import EVERYTHING, EVERYWHERE, Grant, Role, Scope
from domain.refusals import Kind, Refusal, Refused
from storage.identity import Access, BindingRow, KeyRow

KEY_PREFIX = "pdk_"
METADATA_KEY = "authorization"


class Caller(NamedTuple):
    """An authenticated caller. The tenant comes from here, never from a request. `address` is where the call came from.

    `grants` is empty where every role reaches everywhere; `scope` is how far the method that is being called may reach.
    `person` is the human being behind the principal, where one is named.
    """

    tenant_id: str
    principal: str
    roles: frozenset[str]
    address: str = ""
    grants: tuple[Grant, ...] = ()
    scope: Scope = EVERYWHERE
    person: str = ""

    @property
    def unbound_roles(self) -> frozenset[str]:
        """Return the roles that reach everywhere in the tenant."""
        return frozenset(grant.role for grant in self.grants if grant.reach == EVERYTHING) if self.grants else self.roles


_caller: ContextVar[Caller] = ContextVar("caller")


def caller() -> Caller:
    """Return who makes the call that is being served."""
    return _caller.get()


def set_caller(value: Caller) -> None:
    """Note who makes the call that is being served."""
    _caller.set(value)


# How the caller of a stream is asked for again; what is no stream is over before anything changes.
_readmission: ContextVar[Callable[[], Caller] | None] = ContextVar("readmission", default=None)


def set_readmission(readmit: Callable[[], Caller]) -> None:
    """Note how it is found out who makes the call that is being served, as of then."""
    _readmission.set(readmit)


def readmit() -> None:
    """See that whoever reads a stream still may, and how far it reaches by now. Raise Refused when it may not."""
    ask = _readmission.get()
    if ask is not None:
        _caller.set(ask())


def reaches(institution_id: str, product_code: str) -> bool:
    """Tell whether the call that is being served may reach something of this institution and product."""
    scope = _caller.get().scope
    return scope == EVERYWHERE or permissions.admits(scope, institution_id, product_code)


def sees_costs() -> bool:
    """Tell whether whoever makes the call may see what contracts with channels cost: a tenant's own people, not its partners."""
    return not _caller.get().roles.isdisjoint(_SEE_COSTS)


def check_reach(institution_id: str, product_code: str) -> None:
    """Raise Refused unless the caller may make something of this institution and product."""
    if not reaches(institution_id, product_code):
        raise Refused(
            Refusal(
                Kind.PERMISSION_DENIED, "PRODUCT_NOT_BOUND",
                f"the caller's roles do not reach product {product_code!r} of {institution_id or 'the tenant itself'}",
            )
        )  # fmt: skip


# What each role may call. A method that stands nowhere here is denied to everybody, and a test fails.
_READ = frozenset({"PARTNER_API", "OPS", "FINANCE_MAKER", "FINANCE_CHECKER", "VIEWER", "AUDITOR", "RISK", "SRE"})
_PAY = frozenset({"PARTNER_API", "OPS"})
_OPERATE = frozenset({"OPS", "FINANCE_MAKER"})
_CHANNEL = frozenset({"CHANNEL_ADMIN", "SRE"})
_RULES = frozenset({"FINANCE_MAKER", "CHANNEL_ADMIN", "OPS"})
_AUDIT = frozenset({"AUDITOR", "TENANT_ADMIN"})
# Whoever administers the platform has approvals of its own, about its own people, and sees no tenant's.
_PLATFORM = frozenset({"PLATFORM_ADMIN"})
_ADMINISTER = _PLATFORM | {"TENANT_ADMIN"}
_WHO_MAY = _ADMINISTER | {"AUDITOR"}
_PROPOSE = frozenset({"OPS", "FINANCE_MAKER", "CHANNEL_ADMIN", "SRE", "TENANT_ADMIN", "PARTNER_API"})
# Each kind of act names its own among them.
_DECIDE = frozenset({"FINANCE_CHECKER", "CHANNEL_ADMIN", "SRE", "TENANT_ADMIN"})
_KEEP_KEYS = frozenset({"CHANNEL_ADMIN", "TENANT_ADMIN"})
_SANDBOX = frozenset({"LOADTEST"})

# What contracts cost, by which rules orders go and when keys end is for a tenant's own people to see.
_STAFF = _READ - {"PARTNER_API"}
_ORGANISE = frozenset({"TENANT_ADMIN", "FINANCE_MAKER"})
_CONFIGURE = _ORGANISE | {"CHANNEL_ADMIN"}
_SEE_COSTS = _STAFF | _CONFIGURE

RULES: dict[str, frozenset[str]] = {
    "/paydesk.v1.Payments/CreatePayment": _PAY,
    "/paydesk.v1.Payments/BatchCreatePayments": _PAY,
    "/paydesk.v1.Payments/GetPayment": _READ,
    "/paydesk.v1.Payments/ListPayments": _READ,
    "/paydesk.v1.Payments/RevealPayer": frozenset({"FINANCE_CHECKER", "RISK"}),
    "/paydesk.v1.Payments/GetPaymentTimeline": _READ,
    "/paydesk.v1.Payments/ClosePayment": _PAY | _OPERATE,
    "/paydesk.v1.Payments/SyncPayment": _PAY | _OPERATE,
    "/paydesk.v1.Payments/GetCashier": _READ,
    "/paydesk.v1.Channels/ListChannels": _READ | _CHANNEL,
    "/paydesk.v1.Channels/GetChannelHealth": _READ | _CHANNEL | _PLATFORM,
    "/paydesk.v1.Channels/SetMaintenanceWindow": _CHANNEL | _PLATFORM,
    "/paydesk.v1.Channels/ListMaintenanceWindows": _READ | _CHANNEL | _PLATFORM,
    "/paydesk.v1.Channels/CancelMaintenanceWindow": _CHANNEL | _PLATFORM,
    "/paydesk.v1.Channels/ForceChannelState": _CHANNEL | _PLATFORM,
    "/paydesk.v1.Channels/CreateChannel": _PLATFORM,
    "/paydesk.v1.Channels/UpdateChannel": _PLATFORM,
    "/paydesk.v1.Channels/ListParkedCallbacks": _STAFF | _CHANNEL | _PLATFORM,
    "/paydesk.v1.Tenants/CreateTenant": _PLATFORM,
    "/paydesk.v1.Tenants/GetTenant": _READ | _CONFIGURE | _PLATFORM,
    "/paydesk.v1.Tenants/ListTenants": _PLATFORM,
    "/paydesk.v1.Tenants/UpdateTenant": _PLATFORM,
    "/paydesk.v1.Tenants/CreateInstitution": _ORGANISE,
    "/paydesk.v1.Tenants/ListInstitutions": _READ | _CONFIGURE,
    "/paydesk.v1.Tenants/UpdateInstitution": _ORGANISE,
    "/paydesk.v1.Tenants/CreateProduct": _ORGANISE,
    "/paydesk.v1.Tenants/ListProducts": _READ | _CONFIGURE,
    "/paydesk.v1.Tenants/UpdateProduct": _ORGANISE,
    "/paydesk.v1.Tenants/CreateMerchantAccount": _CONFIGURE,
    "/paydesk.v1.Tenants/GetMerchantAccount": _STAFF | _CONFIGURE,
    "/paydesk.v1.Tenants/ListMerchantAccounts": _STAFF | _CONFIGURE,
    "/paydesk.v1.Tenants/UpdateMerchantAccount": _CONFIGURE,
    "/paydesk.v1.Tenants/ListMerchantAccountVersions": _STAFF | _CONFIGURE,
    "/paydesk.v1.Tenants/SetSetting": _ORGANISE | _PLATFORM,
    "/paydesk.v1.Tenants/ListSettings": _STAFF | _CONFIGURE | _PLATFORM,
    "/paydesk.v1.Tenants/ExplainConfig": _STAFF | _CONFIGURE | _PLATFORM,
    "/paydesk.v1.Routing/ExplainRoute": _READ,
    "/paydesk.v1.Routing/DryRunRoute": _READ | _CHANNEL,
    "/paydesk.v1.Routing/ListRuleSets": _STAFF | _CHANNEL,
    "/paydesk.v1.Routing/GetRuleSet": _STAFF | _CHANNEL,
    "/paydesk.v1.Routing/CreateRuleSetDraft": _RULES,
    "/paydesk.v1.Routing/UpdateRuleSetDraft": _RULES,
    "/paydesk.v1.Routing/CheckRuleSet": _RULES | _DECIDE,
    "/paydesk.v1.Routing/SimulateRuleSet": _RULES | _DECIDE,
    "/paydesk.v1.Routing/PublishRuleSet": _RULES,
    "/paydesk.v1.Routing/RollBackRuleSet": _RULES,
    "/paydesk.v1.Routing/ReplayDecisions": _RULES | _DECIDE | _AUDIT,
    "/paydesk.v1.Events/Subscribe": _READ,
    "/paydesk.v1.Events/ListDeliveries": _READ,
    "/paydesk.v1.Events/ResendEvent": _PAY | _OPERATE,
    "/paydesk.v1.Approvals/ListApprovals": _READ | _DECIDE | _PLATFORM,
    "/paydesk.v1.Approvals/GetApproval": _READ | _DECIDE | _PLATFORM,
    "/paydesk.v1.Approvals/DecideApprovals": _DECIDE | _PLATFORM,
    "/paydesk.v1.Approvals/CancelApproval": _PROPOSE | _PLATFORM,
    "/paydesk.v1.Approvals/GetApprovalPolicy": _READ | _DECIDE | _PLATFORM,
    "/paydesk.v1.Approvals/SetApprovalPolicy": frozenset({"TENANT_ADMIN"}),
    "/paydesk.v1.Identity/CreatePrincipal": _ADMINISTER,
    "/paydesk.v1.Identity/GetPrincipal": _WHO_MAY,
    "/paydesk.v1.Identity/ListPrincipals": _WHO_MAY,
    "/paydesk.v1.Identity/DisablePrincipal": _ADMINISTER,
    "/paydesk.v1.Identity/GrantRole": _ADMINISTER,
    "/paydesk.v1.Identity/RevokeRole": _ADMINISTER,
    "/paydesk.v1.Identity/CreateApiKey": _ADMINISTER,
    "/paydesk.v1.Identity/ListApiKeys": _WHO_MAY,
    "/paydesk.v1.Identity/RevokeApiKey": _ADMINISTER,
    "/paydesk.v1.Identity/BindCertificate": _ADMINISTER,
    "/paydesk.v1.Identity/UnbindCertificate": _ADMINISTER,
    "/paydesk.v1.Identity/WhoAmI": frozenset(Role),
    "/paydesk.v1.Identity/ListPermissions": _WHO_MAY,
    "/paydesk.v1.Credentials/AddCredentials": _KEEP_KEYS,
    "/paydesk.v1.Credentials/ListCredentials": _KEEP_KEYS | _AUDIT | {"SRE"},
    "/paydesk.v1.Credentials/ActivateCredentials": _KEEP_KEYS,
    "/paydesk.v1.Credentials/RetireCredentials": _KEEP_KEYS,
    "/paydesk.v1.Credentials/ListExpiries": _STAFF | _KEEP_KEYS,
    "/paydesk.v1.Credentials/ListReminders": _STAFF | _KEEP_KEYS,
    "/paydesk.v1.Credentials/AcknowledgeReminder": _OPERATE | _KEEP_KEYS | {"SRE"},
    "/paydesk.v1.Credentials/CreateContact": _KEEP_KEYS,
    "/paydesk.v1.Credentials/ListContacts": _KEEP_KEYS | _AUDIT | {"SRE"},
    "/paydesk.v1.Credentials/DeleteContact": _KEEP_KEYS,
    "/paydesk.v1.Audit/SearchAudit": _AUDIT,
    "/paydesk.v1.Audit/GetAuditEntry": _AUDIT,
    "/paydesk.v1.Audit/ExportAudit": _AUDIT,
    "/paydesk.v1.Audit/VerifyAudit": _AUDIT,
    "/paydesk.v1.Simulator/ConfigureChannel": _SANDBOX,
    "/paydesk.v1.Simulator/InjectFault": _SANDBOX,
    "/paydesk.v1.Simulator/AdvanceClock": _SANDBOX,
    "/paydesk.v1.Simulator/ExportTruth": _SANDBOX,
    "/paydesk.v1.Simulator/Reset": _SANDBOX,
    "/paydesk.v1.Simulator/GetStats": _SANDBOX,
}
# What somebody may call whose roles are bound to some branches or products. These methods look at what is in reach, or show
# what is for the whole tenant to know; everything else concerns the other branches too.
_BOUND_SERVICES = ("/paydesk.v1.Payments/", "/paydesk.v1.Events/", "/paydesk.v1.Identity/")
WITHIN_REACH = frozenset(method for method in RULES if method.startswith(_BOUND_SERVICES)) | {
    "/paydesk.v1.Channels/ListChannels", "/paydesk.v1.Channels/GetChannelHealth", "/paydesk.v1.Channels/ListMaintenanceWindows",
    "/paydesk.v1.Tenants/GetTenant", "/paydesk.v1.Tenants/ListInstitutions", "/paydesk.v1.Tenants/ListProducts",
    "/paydesk.v1.Tenants/GetMerchantAccount", "/paydesk.v1.Tenants/ListMerchantAccounts",
    "/paydesk.v1.Tenants/ListMerchantAccountVersions", "/paydesk.v1.Tenants/ListSettings", "/paydesk.v1.Tenants/ExplainConfig",
    "/paydesk.v1.Routing/ExplainRoute", "/paydesk.v1.Routing/DryRunRoute", "/paydesk.v1.Routing/ListRuleSets",
    "/paydesk.v1.Routing/GetRuleSet", "/paydesk.v1.Approvals/ListApprovals", "/paydesk.v1.Approvals/GetApproval",
    "/paydesk.v1.Approvals/CancelApproval", "/paydesk.v1.Approvals/GetApprovalPolicy",
}  # fmt: skip
ROLES = frozenset(Role)
# Reads that leave an audit entry each, as a change does: what a VIEWER is not shown, and what a proposal holds. Kind of object,
# and the field of the request that names one.
NOTED_READS: dict[str, tuple[str, str]] = {
    "/paydesk.v1.Tenants/ListTenants": ("tenant", ""),
    "/paydesk.v1.Approvals/GetApproval": ("approval", "approval_id"),
    "/paydesk.v1.Identity/GetPrincipal": ("principal", "principal_id"),
    "/paydesk.v1.Identity/ListPrincipals": ("principal", ""),
    "/paydesk.v1.Identity/ListApiKeys": ("api_key", "principal_id"),
    "/paydesk.v1.Identity/ListPermissions": ("principal", "principal_id"),
    "/paydesk.v1.Credentials/ListCredentials": ("credentials", "account_id"),
    "/paydesk.v1.Credentials/ListContacts": ("contact", ""),
    "/paydesk.v1.Audit/SearchAudit": ("audit", ""),
    "/paydesk.v1.Audit/GetAuditEntry": ("audit", "entry_id"),
    "/paydesk.v1.Audit/VerifyAudit": ("audit", ""),
}
# Anybody may ask whether the service is up, and what it offers where reflection is switched on.
PUBLIC_PREFIXES = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")


def new_key() -> str:
    """Make the text of an API key."""
    return KEY_PREFIX + secrets.token_urlsafe(24)


def key_fingerprint(key: str) -> str:
    """Return by what others know a key without having it: the SHA-256 of its text, in hexadecimal."""
    return hashlib.sha256(key.encode()).hexdigest()


def key_digest(pepper: bytes, fingerprint: str) -> bytes:
    """Return what is stored of a key: the HMAC-SHA256 of its fingerprint under the deployment's pepper."""
    return hmac.digest(pepper, bytes.fromhex(fingerprint), "sha256")


class Shown(NamedTuple):
    """What a client's certificate, which its authority has confirmed, says of it."""

    fingerprint: str
    names: tuple[str, ...]


# Certificates are few, and parsing one costs more than a call.
SHOWN_MAX = 10_000
_shown: dict[bytes, Shown] = {}


def shown_by(context: Mapping[str, Sequence[bytes]]) -> Shown | None:
    """Return what the certificate of a connection says, None where none was shown, as on this machine's own socket."""
    pem = next(iter(context.get("x509_pem_cert", ())), b"")
    if not pem:
        return None
    found = _shown.get(pem)
    if found is None:
        fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).hexdigest()
        found = Shown(fingerprint, tuple(name.decode() for name in context.get("x509_subject_alternative_name", ())))
        if len(_shown) < SHOWN_MAX:
            _shown[pem] = found
    return found


class _Known(NamedTuple):
    """What an authorization text stands for; `refusal` where it no longer counts."""

    who: Caller
    key_id: str
    expire_ms: int
    refusal: Refusal | None


class KeyRing:
    """The keys of this deployment, held in memory and replaced whole when anything about them changes."""

    def __init__(self, pepper: bytes) -> None:
        self._pepper = pepper
        self._access = Access((), {}, (), {}, ())
        self._by_digest: dict[bytes, KeyRow] = {}
        self._bindings: dict[tuple[str, str], BindingRow] = {}
        self._bound_tenants: set[str] = set()
        self._known: dict[str, _Known] = {}
        self._uses: dict[str, tuple[str, int]] = {}

    def replace(self, access: Access) -> None:
        """Take what counts from now on."""
        self._access = access
        self._by_digest = {key.key_digest: key for key in access.keys}
        self._bindings = {(row.kind, row.value): row for row in access.bindings}
        self._bound_tenants = {row.tenant_id for row in access.bindings}
        self._known = {}

    def authenticate(self, authorization: str, shown: Shown | None = None) -> Caller:
        """Return whose key `Bearer pdk_…` is, or without a key whom the certificate speaks for. Raise Refused(UNAUTHENTICATED).

        A key counts only on a connection whose certificate is bound to the same tenant. Of a tenant that has bound none,
        every certificate of the authority will do.
        """
        if shown is None:
            return self._by_key(authorization)
        bound = self._bound_to(shown)
        if not authorization:
            if bound is None:
                raise Refused(_UNBOUND)
            return self._by_certificate(bound)
        who = self._by_key(authorization)
        if bound is not None and bound.tenant_id != who.tenant_id:
            raise Refused(
                Refusal(
                    Kind.UNAUTHENTICATED, "CERTIFICATE_OF_ANOTHER_TENANT",
                    "the client certificate is bound to another tenant than the API key",
                )
            )  # fmt: skip
        if bound is None and who.tenant_id in self._bound_tenants:
            raise Refused(_UNBOUND)
        return who

    def _bound_to(self, shown: Shown) -> BindingRow | None:
        keys = (("FINGERPRINT", shown.fingerprint), *(("SAN", name) for name in shown.names))
        return next((self._bindings[key] for key in keys if key in self._bindings), None)

    def _by_certificate(self, bound: BindingRow) -> Caller:
        key = bound.tenant_id, bound.principal
        if key in self._access.disabled:
            raise Refused(Refusal(Kind.UNAUTHENTICATED, "PRINCIPAL_DISABLED", "whom the certificate speaks for is disabled"))
        return self._caller_of(*key, self._access.grants.get(key, ()))

    def _by_key(self, authorization: str) -> Caller:
        known = self._known.get(authorization) or self._look_up(authorization)
        now_ms = time.time_ns() // 1_000_000
        if known.refusal is not None:
            raise Refused(known.refusal)
        if known.expire_ms and known.expire_ms <= now_ms:
            raise Refused(Refusal(Kind.UNAUTHENTICATED, "KEY_EXPIRED", "the API key has expired"))
        self._uses[known.key_id] = known.who.tenant_id, now_ms
        return known.who

    def take_uses(self) -> dict[str, tuple[str, int]]:
        """Return which keys were used since the last time: key id -> (tenant, Unix milliseconds)."""
        uses, self._uses = self._uses, {}
        return uses

    def _look_up(self, authorization: str) -> _Known:
        text = authorization.removeprefix("Bearer ")
        key = self._by_text(text) if text.startswith(KEY_PREFIX) else None
        if key is None:
            raise Refused(Refusal(Kind.UNAUTHENTICATED, "KEY_UNKNOWN", "the API key is missing or unknown"))
        refusal = Refusal(Kind.UNAUTHENTICATED, "KEY_REVOKED", "the API key was revoked") if key.revoked else None
        if (key.tenant_id, key.principal) in self._access.disabled:
            refusal = refusal or Refusal(Kind.UNAUTHENTICATED, "PRINCIPAL_DISABLED", "whom the API key belongs to is disabled")
        grants = self._access.grants.get((key.tenant_id, key.principal), ())
        counting = [grant for grant in grants if key.roles is None or grant.role in key.roles]
        known = _Known(self._caller_of(key.tenant_id, key.principal, counting), key.key_id, key.expire_ms, refusal)
        if len(self._known) < len(self._by_digest):
            self._known[authorization] = known
        return known

    def _by_text(self, text: str) -> KeyRow | None:
        # Of keys that are older than fingerprints, the text itself was digested.
        older = hmac.digest(self._pepper, text.encode(), "sha256")
        return self._by_digest.get(key_digest(self._pepper, key_fingerprint(text))) or self._by_digest.get(older)

    def _caller_of(self, tenant_id: str, principal: str, grants: Sequence[Grant]) -> Caller:
        narrowed = any(grant.reach != EVERYTHING for grant in grants)
        return Caller(
            tenant_id, principal, frozenset(grant.role for grant in grants), grants=tuple(grants) if narrowed else (),
            person=self._access.persons.get((tenant_id, principal), ""),
        )  # fmt: skip


_UNBOUND = Refusal(Kind.UNAUTHENTICATED, "CERTIFICATE_UNBOUND", "the client certificate speaks for nobody here")


def allow(method: str, who: Caller) -> Scope:
    """Let a caller call a method and return how far it reaches there, or raise Refused(PERMISSION_DENIED)."""
    needed = RULES.get(method)
    if needed is None or needed.isdisjoint(who.roles):
        raise Refused(
            Refusal(
                Kind.PERMISSION_DENIED, "ROLE_MISSING", f"{method.rpartition('/')[2]} needs one of "
                f"{', '.join(sorted(needed or ()))}",
            )
        )  # fmt: skip
    scope = permissions.scope_of(who.grants, needed) if who.grants else EVERYWHERE
    if scope != EVERYWHERE and method not in WITHIN_REACH:
        raise Refused(
            Refusal(Kind.PERMISSION_DENIED, "REACH_TOO_NARROW", "this concerns more than the caller's roles reach")
        )
    return scope
