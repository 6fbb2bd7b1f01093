"""What somebody may do: roles, and how far a grant of one reaches inside its tenant."""

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import NamedTuple


class Role(StrEnum):
    """What a principal may be. What each may call stands in `servers/identity.py`."""

    VIEWER = "VIEWER"
    OPS = "OPS"
    FINANCE_MAKER = "FINANCE_MAKER"
    FINANCE_CHECKER = "FINANCE_CHECKER"
    CHANNEL_ADMIN = "CHANNEL_ADMIN"
    RISK = "RISK"
    AUDITOR = "AUDITOR"
    PARTNER_API = "PARTNER_API"
    SRE = "SRE"
    LOADTEST = "LOADTEST"
    TENANT_ADMIN = "TENANT_ADMIN"
    PLATFORM_ADMIN = "PLATFORM_ADMIN"  # makes tenants, and belongs to no tenant's money


# Whoever administers the platform belongs to this one, which is no company and owns nothing.
PLATFORM = "platform"
PLATFORM_ROLES = frozenset({Role.PLATFORM_ADMIN})
TENANT_ROLES = frozenset(Role) - PLATFORM_ROLES


class Reach(NamedTuple):
    """Institutions and products of a tenant, each empty for all of them."""

    institutions: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()

    def admits(self, institution_id: str, product_code: str) -> bool:
        """Tell whether something of this institution and product lies within."""
        return (not self.institutions or institution_id in self.institutions) and (
            not self.products or product_code in self.products
        )

    def covers(self, other: "Reach") -> bool:
        """Tell whether all that lies within the other lies within this."""
        return _covers(self.institutions, other.institutions) and _covers(self.products, other.products)


def _covers(wide: frozenset[str], narrow: frozenset[str]) -> bool:
    return not wide or (bool(narrow) and narrow <= wide)


# Where somebody may act: the union of some reaches.
Scope = tuple[Reach, ...]
EVERYTHING = Reach()
EVERYWHERE: Scope = (EVERYTHING,)


class Grant(NamedTuple):
    """A role of a principal, and how far it reaches."""

    role: str
    reach: Reach = EVERYTHING


def scope_of(grants: Iterable[Grant], roles: Collection[str]) -> Scope:
    """Return where somebody with these grants may do what any of these roles may; () is nowhere."""
    reaches = dict.fromkeys(grant.reach for grant in grants if grant.role in roles)
    return EVERYWHERE if EVERYTHING in reaches else tuple(reaches)


def admits(scope: Scope, institution_id: str, product_code: str) -> bool:
    """Tell whether something of this institution and product lies within a scope."""
    return any(reach.admits(institution_id, product_code) for reach in scope)


def may_grant(held: Iterable[Grant], wanted: Grant) -> bool:
    """Tell whether somebody may give this role to another.

    Nobody gives what they do not hold as far as it reaches, but an administrator gives every role of the tenant.
    """
    givers = {wanted.role} | ({Role.TENANT_ADMIN} if wanted.role in TENANT_ROLES else set())
    return any(grant.role in givers and grant.reach.covers(wanted.reach) for grant in held)
