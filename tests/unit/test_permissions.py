"""How far grants reach, and who may give what to whom."""

from hypothesis import given
from hypothesis import strategies as st

from domain.permissions import (
    EVERYTHING,
    EVERYWHERE,
    PLATFORM_ROLES,
    TENANT_ROLES,
    Grant,
    Reach,
    Role,
    admits,
    may_grant,
    scope_of,
)

names = st.frozensets(st.sampled_from("abc"), max_size=3)
reaches = st.builds(Reach, names, names)
grants = st.lists(st.builds(Grant, st.sampled_from([Role.OPS, Role.VIEWER, Role.TENANT_ADMIN]), reaches), max_size=4)
places = st.tuples(st.sampled_from(["", *"abcd"]), st.sampled_from("abcd"))


@given(reaches, reaches, places)
def test_what_a_narrower_reach_admits_the_wider_admits_too(wide: Reach, narrow: Reach, place: tuple[str, str]) -> None:
    if wide.covers(narrow) and narrow.admits(*place):
        assert wide.admits(*place)


@given(grants, places)
def test_a_scope_admits_what_one_of_its_grants_admits(held: list[Grant], place: tuple[str, str]) -> None:
    scope = scope_of(held, {Role.OPS})
    assert admits(scope, *place) == any(g.reach.admits(*place) for g in held if g.role == Role.OPS)


def test_one_grant_without_limits_makes_the_others_meaningless() -> None:
    assert scope_of([Grant(Role.OPS, Reach(products=frozenset({"AUTO"}))), Grant(Role.OPS)], {Role.OPS}) == EVERYWHERE
    assert scope_of([Grant(Role.OPS)], {Role.VIEWER}) == ()
    assert not admits((), "", "AUTO")


@given(grants, st.sampled_from(sorted(Role)), reaches)
def test_nobody_gives_more_than_they_hold_unless_they_administer(held: list[Grant], role: Role, reach: Reach) -> None:
    if may_grant(held, Grant(role, reach)):
        givers = [g for g in held if g.role in (role, Role.TENANT_ADMIN)]
        assert any(g.reach == EVERYTHING or g.reach.covers(reach) for g in givers)


def test_an_administrator_gives_every_role_of_the_tenant_and_none_of_the_platform() -> None:
    assert all(may_grant([Grant(Role.TENANT_ADMIN)], Grant(role)) for role in TENANT_ROLES)
    assert not any(may_grant([Grant(Role.TENANT_ADMIN)], Grant(role)) for role in PLATFORM_ROLES)
    assert not any(may_grant([Grant(Role.PLATFORM_ADMIN)], Grant(role)) for role in TENANT_ROLES)
    branch = Reach(institutions=frozenset({"sh"}))
    assert may_grant([Grant(Role.TENANT_ADMIN, branch)], Grant(Role.OPS, branch))
    assert not may_grant([Grant(Role.TENANT_ADMIN, branch)], Grant(Role.OPS))
    assert not may_grant([Grant(Role.FINANCE_MAKER)], Grant(Role.FINANCE_CHECKER))
