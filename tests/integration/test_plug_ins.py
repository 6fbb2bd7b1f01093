"""A developer's rule, as a distribution that somebody has installed: found, tried, switched on, and never trusted."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors import plug_ins, tables
from domain.permissions import PLATFORM
from domain.plug_ins import Allow, ChannelFacts, Deny, OrderAsked
from domain.routing import Decision, OrderFacts
from domain.rule_sets import RuleSet
from storage import audit
from storage import desk as desk_store
from tests.harness import new_payment, opened_house

CODE = '''
from domain.plug_ins import Allow, Boost, Deny


class NoBigOrders:
    """c1 does not get what is bigger than 5,000.00."""

    def evaluate(self, facts, candidate):
        if candidate.channel_id == "c1" and facts.amount_minor > 500_000:
            return Deny("too big for c1")
        return Allow()


class Broken:
    def evaluate(self, facts, candidate):
        raise {"c1": KeyError, "c2": SystemExit}[candidate.channel_id]("broken")


class Strange:
    def evaluate(self, facts, candidate):
        return Boost(float("nan")) if candidate.channel_id == "c1" else "yes"


class Unmade:
    def __init__(self, needed):
        pass
'''
POINTS = """[paydesk.routing_rules]
no-big-orders = {module}:NoBigOrders
broken = {module}:Broken
strange = {module}:Strange
unmade = {module}:Unmade
nowhere = {module}:Nowhere
"""
FACTS = OrderAsked("AUTO", 600_000, "QR", "H5", "", "", "pnc")
C1 = ChannelFacts("c1", 10, 95.0, "HEALTHY")
C2 = C1._replace(channel_id="c2")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution with five entry points, of which three can be made."""
    module = f"big_orders_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(CODE)
    info = tmp_path / "big_orders-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: big-orders\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS.format(module=module))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plug_ins, "_known", {})
    tables.compiled.cache_clear()
    yield
    tables.compiled.cache_clear()


@pytest.mark.usefixtures("installed")
def test_it_is_found_by_its_name_and_judges() -> None:
    assert plug_ins.available() == {"no-big-orders", "broken", "strange", "unmade", "nowhere"}
    (rule,) = plug_ins.load(["no-big-orders"])
    assert rule.ask(FACTS, [C1, C2]) == (Deny("too big for c1"), Allow())
    assert rule.ask(FACTS._replace(amount_minor=500_000), [C1]) == (Allow(),)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", ["broken", "strange", "unmade", "nowhere", "never installed"])
def test_whatever_it_does_wrong_is_its_own_fault(name: str) -> None:
    (rule,) = plug_ins.load([name])
    assert rule.ask(FACTS, [C1, C2]) == (None, None)


class Rule:
    """Does what it is told to."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act
        self.asked = 0

    def evaluate(self, facts: OrderAsked, candidate: ChannelFacts) -> Allow:
        self.asked += 1
        self.act()
        return Allow()


def test_one_that_fails_or_dawdles_again_and_again_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plug_ins, "PATIENCE_S", 0.01)
    now_s, rule = [100.0], Rule(lambda: time.sleep(0.03))
    guarded = plug_ins.Guarded("slow", lambda: rule, clock_s=lambda: now_s[0])
    for _ in range(plug_ins.FAULTS_MAX + 5):
        assert guarded.ask(FACTS, [C1]) == (None,)
        time.sleep(0.03)
    assert rule.asked == plug_ins.FAULTS_MAX and not guarded.off
    now_s[0] += plug_ins.REST_S
    rule.act = lambda: None
    assert guarded.ask(FACTS, [C1]) == (Allow(),)


def _for_ever() -> None:
    while True:
        pass


@pytest.mark.parametrize("act", [_for_ever, threading.Event().wait], ids=["turning in a circle", "waiting"])
def test_one_that_never_answers_keeps_nobody_waiting_and_is_switched_off(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]
) -> None:
    monkeypatch.setattr(plug_ins, "STUCK_S", 0.2)
    monkeypatch.setattr(plug_ins, "_known", {})
    guarded = plug_ins._known["stuck"] = plug_ins.Guarded("stuck", lambda: Rule(act))
    begin_s = time.monotonic()
    for _ in range(100):
        assert guarded.ask(FACTS, [C1, C2]) == (None, None)
    assert time.monotonic() - begin_s < 10 * plug_ins.PATIENCE_S, "one of a hundred waits"
    assert not plug_ins.switched_off()
    time.sleep(0.3)
    assert plug_ins.switched_off() == {"stuck": "it was still at one question after 0 s"}
    assert guarded.ask(FACTS, [C1]) == (None,)
    if act is _for_ever:
        guarded._thread.join(2)
        assert not guarded._thread.is_alive(), "a loop takes no time of payments any more"


def test_one_that_takes_for_ever_to_be_made_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plug_ins, "MAKING_S", 0.05)
    held = threading.Event()
    guarded = plug_ins.Guarded("late", lambda: held.wait() and Rule(lambda: None))  # type: ignore[arg-type,return-value]
    assert guarded.ask(FACTS, [C1]) == (None,)
    held.set()
    assert any(guarded.ask(FACTS, [C1]) == (Allow(),) or time.sleep(0.01) for _ in range(500))


@pytest.mark.usefixtures("installed")
async def test_orders_are_routed_by_it_once_it_is_switched_on_and_tried_before(
    emptied_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened_house(emptied_database_url, tmp_path) as house:
        facts = OrderFacts("pnc", "o-1", "AUTO", 600_000, "CNY", "QR", "WEB", "OWN", "payer")
        tried = await house.router.dry_run_draft(facts, RuleSet(plug_ins=("no-big-orders", "broken")))
        assert isinstance(tried, Decision) and tried.chosen is not None
        assert (tried.chosen.channel_id, tried.failed_rules) == ("c2", ("plug-in broken",))
        assert tried.candidates[0].rule_id == "plug-in no-big-orders"
        assert (await house.pay("before", amount_minor=600_000)).channel_id == "c1"
        house.sql("UPDATE tenants SET routing = '{\"plug_ins\": [\"broken\", \"no-big-orders\"]}' WHERE tenant_id = 'pnc'")
        await house.router._read_desk()
        big, small = await house.submit(new_payment("big", amount_minor=600_000), new_payment("small", amount_minor=1_800))
        assert big.refusal is None and small.refusal is None
        await house.settle()
        assert [house.payment(order_no).channel_id for order_no in ("big", "small")] == ["c2", "c1"]
        assert house.router._rule_faults.labels("plug-in broken")._value.get() == 2
        monkeypatch.setattr(plug_ins, "switched_off", lambda: {"broken": "it was still at one question after 11 s"})
        for _ in range(2):
            await house.router._tell_of_plug_ins()
        told = await house.database.run(audit.search, tenant_id=PLATFORM, wanted=audit.Wanted(), limit=9)
        assert [(item.record.operation, item.record.object_id, item.record.after) for item in told] == [
            ("Routing.SwitchOffPlugIn", "broken", {"reason": "it was still at one question after 11 s"})
        ]
        assert house.router._plug_ins_off.labels("broken")._value.get() == 1
        desk = await house.database.run(desk_store.load)
        assert tables.routing_tables(desk)["pnc"].rules is tables.routing_tables(desk)["pnc"].rules  # compiled once
