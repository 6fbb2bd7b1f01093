"""Rules and windows reach the routers of a running deployment within a second, while payments go on."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from typer.testing import CliRunner

from ops.cli import app
from protos.paydesk.v1 import channels_pb2, common_pb2, routing_pb2
from tests.end_to_end.conftest import Api, House, fresh, until

REACH_S = 1.0
SOURCE = "RULES"
RULES = """
plug_ins = []

[[rules]]
rule_id = "elsewhere"
priority = 1
effect = "DENY"
channels = ["instant"]
when = "order.source == 'RULES'"
"""


class Load:
    """Payers who come one after the other: when each began, and which channel he got."""

    def __init__(self, shop: Api) -> None:
        self._shop = shop
        self._ended = threading.Event()
        self.paid: list[tuple[float, str]] = []
        self.errors: list[grpc.RpcError] = []

    def pay(self) -> None:
        while not self._ended.is_set():
            begin_s = time.monotonic()
            try:
                self.paid.append((begin_s, self._shop.pay(source=SOURCE).channel_id))
            except grpc.RpcError as error:
                self.errors.append(error)

    def end(self) -> None:
        self._ended.set()


@contextmanager
def load(shop: Api) -> Iterator[Load]:
    made = Load(shop)
    payers = [threading.Thread(target=made.pay) for _ in range(3)]
    for payer in payers:
        payer.start()
    try:
        yield made
    finally:
        made.end()
        for payer in payers:
            payer.join()


def reach_s(shop: Api, change: Callable[[], object]) -> float:
    """Make a change under load; return how long after it an order last got the channel that it closes."""
    with load(shop) as payers:
        until(lambda: len(payers.paid) > 20)
        change()
        changed_s = time.monotonic()
        time.sleep(REACH_S + 0.7)
    assert not payers.errors
    before = {channel for begin_s, channel in payers.paid if begin_s < changed_s - 1}
    after = [channel for begin_s, channel in payers.paid if begin_s > changed_s + REACH_S]
    assert before <= {"instant"} and len(after) > 5
    return max([begin_s for begin_s, channel in payers.paid if channel == "instant"]) - changed_s


def paydesk(shop: Api, target: str, *words: str) -> str:
    told = CliRunner().invoke(app, [*words, "--target", target, "--key", shop.key])
    assert told.exit_code == 0, told.output
    return told.stdout


@pytest.fixture
def target(house: House) -> str:
    return str(house.deployment.target)


def test_rules_are_drafted_tried_published_and_replaced_under_load(shop: Api, target: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(RULES)
    for _ in range(5):
        shop.pay(source=SOURCE)
    drafted = paydesk(shop, target, "rules", "draft", str(file), "--note", "a test")
    assert "sound; tried on" in drafted
    rule_set_id = drafted.partition(":")[0]
    assert "moves" in paydesk(shop, target, "rules", "simulate", rule_set_id, "--orders", "5")
    wish = routing_pb2.DryRunRouteRequest(
        order_no="dry", product_code="TRAVEL_ACC", amount=common_pb2.Money(amount_minor=1800, currency_code="CNY"),
        method=common_pb2.METHOD_BANK_CARD, terminal=common_pb2.TERMINAL_H5, source=SOURCE,
    )  # fmt: skip
    assert shop.routing.DryRunRoute(wish).chosen_channel_id == "instant"
    wish.rule_set_id = rule_set_id
    assert shop.routing.DryRunRoute(wish).chosen_channel_id == "slow"
    try:
        took_s = reach_s(shop, lambda: paydesk(shop, target, "rules", "publish", rule_set_id, "--reason", "a test"))
        assert took_s <= REACH_S
        assert "version 1" in paydesk(shop, target, "rules", "show")
    finally:
        file.write_text("rules = []")
        empty = paydesk(shop, target, "rules", "draft", str(file)).partition(":")[0]
        paydesk(shop, target, "rules", "publish", empty, "--reason", "the test is over")
    until(lambda: shop.pay(source=SOURCE).channel_id == "instant")


def test_a_window_closes_an_account_under_load_and_ends_by_itself(shop: Api, target: str) -> None:
    request = channels_pb2.SetMaintenanceWindowRequest(
        request_id=fresh(), channel_id="instant", account_id="shop_instant", reason="a test"
    )

    def announce() -> None:
        now_ms = time.time_ns() // 1_000_000
        request.start_time.FromMilliseconds(now_ms)
        request.end_time.FromMilliseconds(now_ms + 2_500)
        shop.channels.SetMaintenanceWindow(request)

    took_s = reach_s(shop, announce)
    assert took_s <= REACH_S
    assert "shop_instant" in paydesk(shop, target, "windows", "list", "--past")
    until(lambda: shop.pay(source=SOURCE).channel_id == "instant", 5)
