"""Who sells what in a tenant: its branches, one below the other, and its products."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from domain.refusals import Kind, Refusal

ACTIVE = "ACTIVE"
SUSPENDED = "SUSPENDED"
CLOSED = "CLOSED"

# Head office, region, province, city, county, counter: deeper than this is a mistake, and a bound on every walk.
DEPTH_MAX = 8


class Institution(NamedTuple):
    """A branch. `parent_id` "" stands directly below the tenant."""

    institution_id: str
    parent_id: str
    display_name: str
    state: str = ACTIVE
    version: int = 1


class Product(NamedTuple):
    """What is sold. `institutions` may sell it, with all below them; none means all, and the tenant itself."""

    product_code: str
    display_name: str
    institutions: frozenset[str] = frozenset()
    state: str = ACTIVE
    version: int = 1


def lineage(institutions: Mapping[str, Institution], institution_id: str) -> Iterator[str]:
    """Return a branch and those above it, the nearest first; nothing for "" and for what is no branch."""
    for _ in range(DEPTH_MAX):
        found = institutions.get(institution_id)
        if found is None:
            return
        yield institution_id
        institution_id = found.parent_id


def with_all_below(institutions: Mapping[str, Institution], chosen: frozenset[str]) -> frozenset[str]:
    """Return some branches and all that stand below any of them."""
    return chosen | {name for name in institutions if not chosen.isdisjoint(lineage(institutions, name))}


def placement_refusal(institutions: Mapping[str, Institution], institution_id: str, parent_id: str) -> Refusal | None:
    """Tell why a branch cannot stand below `parent_id`: unknown, a circle, or too deep."""
    if not parent_id:
        return None
    if parent_id not in institutions:
        return Refusal(Kind.INVALID, "UNKNOWN_INSTITUTION", f"parent_id: there is no institution {parent_id!r}")
    above = list(lineage(institutions, parent_id))
    if institution_id in above:
        return Refusal(Kind.INVALID, "INSTITUTION_CIRCLE", f"parent_id: {parent_id} stands below {institution_id}")
    moved = {**institutions, institution_id: Institution(institution_id, parent_id, "")}
    for branch in moved:
        path = list(lineage(moved, branch))
        if institution_id in path and moved[path[-1]].parent_id:
            return Refusal(Kind.INVALID, "INSTITUTION_TOO_DEEP", f"parent_id: more than {DEPTH_MAX} levels")
    return None


def sale_refusal(
    products: Mapping[str, Product],
    institutions: Mapping[str, Institution],
    *,
    product_code: str,
    institution_id: str,
) -> Refusal | None:
    """Tell why a product cannot be sold by a branch ("" is the tenant itself), None when it can."""
    product = products.get(product_code)
    if product is None:
        return Refusal(
            Kind.INVALID, "UNKNOWN_PRODUCT", f"product_code: {product_code!r} is not a product of the tenant"
        )
    if product.state != ACTIVE:
        return Refusal(Kind.FORBIDDEN_BY_STATE, "PRODUCT_CLOSED", f"product {product_code} is not sold any more")
    if institution_id:
        branch = institutions.get(institution_id)
        if branch is None:
            return Refusal(
                Kind.INVALID, "UNKNOWN_INSTITUTION",
                f"institution_id: {institution_id!r} is not an institution of the tenant",
            )  # fmt: skip
        if branch.state != ACTIVE:
            return Refusal(Kind.FORBIDDEN_BY_STATE, "INSTITUTION_CLOSED", f"institution {institution_id} is closed")
    if product.institutions and product.institutions.isdisjoint(lineage(institutions, institution_id)):
        return Refusal(
            Kind.PERMISSION_DENIED, "PRODUCT_NOT_BOUND",
            f"product {product_code} is not sold by {institution_id or 'the tenant itself'}",
        )  # fmt: skip
    return None


def suspended(tenant_id: str) -> Refusal:
    """Refuse a new payment of a tenant that is suspended."""
    return Refusal(
        Kind.FORBIDDEN_BY_STATE, "TENANT_SUSPENDED", f"tenant {tenant_id} is suspended: it takes no new payments"
    )
