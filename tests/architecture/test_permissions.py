"""Every method has a rule, every rule a method, and whoever has no role gets nothing."""

import pytest

from domain.permissions import Grant, Reach
from domain.refusals import Kind, Refused
from servers import identity
from servers.grpc_server import SERVICES
from servers.identity import ROLES, RULES, WITHIN_REACH, Caller, allow

METHODS = sorted(
    f"/{service.full_name}/{method.name}"
    for module in SERVICES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
)
# Whoever may change something also needs to be told what came of it.
READS = {"PARTNER_API": "/paydesk.v1.Payments/GetPayment", "OPS": "/paydesk.v1.Payments/GetPaymentTimeline",
         "CHANNEL_ADMIN": "/paydesk.v1.Channels/GetChannelHealth"}  # fmt: skip


def test_every_method_has_a_rule_and_every_rule_a_method() -> None:
    assert set(METHODS) == set(RULES)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_needs_a_role(method: str) -> None:
    assert RULES[method], "a rule without roles locks everybody out"
    allow(method, Caller("tenant", "somebody", RULES[method]))
    for roles in (frozenset[str](), ROLES - RULES[method]):
        with pytest.raises(Refused) as caught:
            allow(method, Caller("tenant", "somebody", roles))
        assert caught.value.refusal.kind is Kind.PERMISSION_DENIED


@pytest.mark.parametrize("method", sorted(set(METHODS) - WITHIN_REACH))
def test_what_concerns_the_whole_tenant_needs_a_role_that_reaches_all_of_it(method: str) -> None:
    role = min(RULES[method])
    bound = Grant(role, Reach(products=frozenset({"AUTO"})))
    with pytest.raises(Refused) as caught:
        allow(method, Caller("tenant", "somebody", frozenset({role}), grants=(bound,)))
    assert caught.value.refusal.reason == "REACH_TOO_NARROW"
    allow(method, Caller("tenant", "somebody", frozenset({role}), grants=(bound, Grant(role))))


def test_what_has_no_rule_is_denied_to_everybody() -> None:
    with pytest.raises(Refused):
        allow("/paydesk.v1.Payments/NoSuchMethod", Caller("tenant", "somebody", ROLES))


def test_nothing_of_ours_is_public() -> None:
    assert not [method for method in METHODS if method.startswith(identity.PUBLIC_PREFIXES)]


def test_the_sandbox_is_driven_by_one_role_that_can_do_nothing_else() -> None:
    driven = {method for method, roles in RULES.items() if "LOADTEST" in roles and not method.endswith("/WhoAmI")}
    assert driven == {method for method in METHODS if method.startswith("/paydesk.v1.Simulator/")}
    assert all(RULES[method] == {"LOADTEST"} for method in driven)


def test_whoever_administers_the_platform_touches_no_money() -> None:
    services = {method.split("/")[1].rpartition(".")[2] for method, roles in RULES.items() if "PLATFORM_ADMIN" in roles}
    assert services <= {"Identity", "Approvals", "Tenants", "Channels"}


def test_every_role_opens_some_door() -> None:
    for role in ROLES:
        assert [method for method, roles in RULES.items() if role in roles and not method.endswith("/WhoAmI")], role


@pytest.mark.parametrize(("role", "method"), READS.items())
def test_who_may_act_may_look(role: str, method: str) -> None:
    assert role in RULES[method]


def test_a_viewer_changes_nothing() -> None:
    changing = ("Create", "BatchCreate", "Close", "Sync", "Set", "Force", "Resend", "Configure", "Inject", "Advance", "Reset")
    allowed = [m.rpartition("/")[2] for m, roles in RULES.items() if roles & {"VIEWER", "AUDITOR"}]
    assert not [method for method in allowed if method.startswith(changing)]
