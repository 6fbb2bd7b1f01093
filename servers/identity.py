"""Who calls: an API key is a tenant, a principal and roles. And what each method needs: one table, default deny."""

import hmac
import secrets
import time
from collections.abc import Iterable
from contextvars import ContextVar
from typing import NamedTuple

from domain.refusals import Kind, Refusal, Refused
from storage.desk import KeyRow

KEY_PREFIX = "pdk_"
METADATA_KEY = "authorization"


class Caller(NamedTuple):
    """An authenticated caller. The tenant comes from here, never from a request. `address` is where the call came from."""

    tenant_id: str
    principal: str
    roles: frozenset[str]
    address: str = ""


_caller: ContextVar[Caller] = ContextVar("caller")


def caller() -> Caller:
    """Return who makes the call that is being served."""
    return _caller.get()


def set_caller(value: Caller) -> None:
    """Note who makes the call that is being served."""
    _caller.set(value)


# What each role may call. A method that stands nowhere here is denied to everybody, and a test fails.
_READ = frozenset({"PARTNER_API", "OPS", "FINANCE_MAKER", "FINANCE_CHECKER", "VIEWER", "AUDITOR", "SRE"})
_PAY = frozenset({"PARTNER_API", "OPS"})
_OPERATE = frozenset({"OPS", "FINANCE_MAKER"})
_CHANNEL = frozenset({"CHANNEL_ADMIN", "SRE"})
_AUDIT = frozenset({"AUDITOR", "TENANT_ADMIN"})
_SANDBOX = frozenset({"LOADTEST"})

RULES: dict[str, frozenset[str]] = {
    "/paydesk.v1.Payments/CreatePayment": _PAY,
    "/paydesk.v1.Payments/BatchCreatePayments": _PAY,
    "/paydesk.v1.Payments/GetPayment": _READ,
    "/paydesk.v1.Payments/ListPayments": _READ,
    "/paydesk.v1.Payments/GetPaymentTimeline": _READ,
    "/paydesk.v1.Payments/ClosePayment": _PAY | _OPERATE,
    "/paydesk.v1.Payments/SyncPayment": _PAY | _OPERATE,
    "/paydesk.v1.Channels/ListChannels": _READ | _CHANNEL,
    "/paydesk.v1.Channels/GetChannelHealth": _READ | _CHANNEL,
    "/paydesk.v1.Channels/SetMaintenanceWindow": _CHANNEL,
    "/paydesk.v1.Channels/ForceChannelState": _CHANNEL,
    "/paydesk.v1.Routing/ExplainRoute": _READ,
    "/paydesk.v1.Routing/DryRunRoute": _READ | _CHANNEL,
    "/paydesk.v1.Events/Subscribe": _READ,
    "/paydesk.v1.Events/ListDeliveries": _READ,
    "/paydesk.v1.Events/ResendEvent": _PAY | _OPERATE,
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
ROLES = frozenset().union(*RULES.values())
# Anybody may ask whether the service is up, and what it offers where reflection is switched on.
PUBLIC_PREFIXES = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")


def new_key() -> str:
    """Make the text of an API key."""
    return KEY_PREFIX + secrets.token_urlsafe(24)


def key_digest(pepper: bytes, key: str) -> bytes:
    """Return what is stored of a key: its HMAC-SHA256 under the deployment's pepper."""
    return hmac.digest(pepper, key.encode(), "sha256")


class KeyRing:
    """The keys of this deployment, held in memory and replaced whole when they change."""

    def __init__(self, pepper: bytes) -> None:
        self._pepper = pepper
        self._by_digest: dict[bytes, tuple[Caller, int]] = {}
        self._known: dict[str, tuple[Caller, int]] = {}

    def replace(self, keys: Iterable[KeyRow]) -> None:
        """Take the keys that count from now on."""
        self._by_digest = {
            key.key_digest: (Caller(key.tenant_id, key.principal, key.roles), key.expire_ms) for key in keys
        }
        self._known = {}

    def authenticate(self, authorization: str) -> Caller:
        """Return whose key `Bearer pdk_…` is. Raise Refused(UNAUTHENTICATED)."""
        known = self._known.get(authorization)
        if known is None:
            key = authorization.removeprefix("Bearer ")
            known = self._by_digest.get(key_digest(self._pepper, key)) if key.startswith(KEY_PREFIX) else None
            if known is None:
                raise Refused(Refusal(Kind.UNAUTHENTICATED, "KEY_UNKNOWN", "the API key is missing, unknown or revoked"))
            if len(self._known) < len(self._by_digest):
                self._known[authorization] = known
        who, expire_ms = known
        if expire_ms and expire_ms <= time.time_ns() // 1_000_000:
            raise Refused(Refusal(Kind.UNAUTHENTICATED, "KEY_EXPIRED", "the API key has expired"))
        return who


def allow(method: str, who: Caller) -> None:
    """Let a caller call a method, or raise Refused(PERMISSION_DENIED)."""
    needed = RULES.get(method)
    if needed is None or needed.isdisjoint(who.roles):
        raise Refused(
            Refusal(
                Kind.PERMISSION_DENIED, "ROLE_MISSING", f"{method.rpartition('/')[2]} needs one of "
                f"{', '.join(sorted(needed or ()))}",
            )
        )  # fmt: skip
