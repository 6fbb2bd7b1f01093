"""What a cashier shows: the service, a real router and real PostgreSQL, without Ray."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from actors.router import Router
from domain.cashier import _TOLD, changed
from domain.health import Health, HealthSnapshot
from domain.payments import State
from domain.permissions import EVERYWHERE, Reach
from domain.refusals import Kind, Refusal, Refused
from domain.routing import Decision, Elimination, OrderFacts
from domain.settings import METHODS
from protos.paydesk.v1 import common_pb2, payments_pb2
from servers import translate
from servers.desk import DeskView
from servers.identity import Caller, KeyRing, set_caller
from servers.payments import PaymentsService
from storage import desk as desk_store
from storage.database import Database, transact
from tests.harness import GATEWAY, House, opened_house

CHANNELS = ("wechat", "alipay", "bank", "quick", "partner")


def account(channel_id: str, *methods: str, **terms: Any) -> dict[str, Any]:
    return {"account_id": f"p_{channel_id}", "tenant_id": "pnc", "channel_id": channel_id, "merchant_no": f"P-{channel_id}",
            "terms": {"methods": list(methods), **terms}}  # fmt: skip


PROMOTION = [{"tiers": [{"rate_bps": 60}], "promotion": "随机立减"}]
DESK = {
    "tenants": [{"tenant_id": "pnc", "display_name": "pnc", "products": ["TRAVEL_ACC", "CORP_CAR"]}],
    "channels": [{"channel_id": c, "display_name": c, "kind": "sandbox"} for c in CHANNELS],
    "accounts": [
        account("wechat", "WECHAT_PAY", products=["TRAVEL_ACC"], terminals=["WECHAT_OA", "H5"], fees=PROMOTION),
        account("alipay", "ALIPAY", products=["TRAVEL_ACC"], terminals=["H5", "PC"]),
        account("bank", "E_BANK", "REMITTANCE", "CHEQUE", min_amount_minor=10_000, products=["CORP_CAR"]),
        account("quick", "QUICK_CARD", max_amount_minor=5_000_000),
        account("partner", "UNION_PAY", partner_only=["P17"]),
    ],
    "settings": [
        {"tenant_id": "pnc", "key": "cashier.display_order", "terminal": "WECHAT_OA", "value": ["WECHAT_PAY"]},
        {"tenant_id": "pnc", "key": "cashier.display_order", "value": ["E_BANK", "REMITTANCE"]},
        {"tenant_id": "pnc", "key": "order.expire_s", "product_code": "CORP_CAR", "value": 7_200},
    ],
}


class _Gateway:
    """Asks the router without what lies between."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def dry_run_many(self, facts: list[OrderFacts]) -> list[Decision]:
        answers = await self._router.dry_run(facts)
        for answer in answers:
            if isinstance(answer, Refusal):
                raise Refused(answer)
        return answers


class Shop:
    """A page that asks for the cashier of orders."""

    def __init__(self, house: House, service: PaymentsService) -> None:
        self.house = house
        self.service = service

    async def cashier(
        self, amount_minor: int, product_code: str, terminal: str, source: str = ""
    ) -> payments_pb2.Cashier:
        return await self.service.GetCashier(payments_pb2.GetCashierRequest(
            order_no="o1", product_code=product_code, terminal=common_pb2.Terminal.Value(f"TERMINAL_{terminal}"),
            amount=common_pb2.Money(amount_minor=amount_minor, currency_code="CNY"), source=source), None)  # fmt: skip


@pytest_asyncio.fixture
async def shop(emptied_database_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    async with opened_house(emptied_database_url, tmp_path) as house:
        transact(house.database.engine, lambda connection: connection.exec_driver_sql(
            "DELETE FROM merchant_account_versions; DELETE FROM merchant_accounts; DELETE FROM products"))  # fmt: skip
        transact(house.database.engine, lambda connection: desk_store.install(connection, DESK))
        await house.replace_router()
        database = Database(emptied_database_url, pool_size=1)
        desk = DeskView(database, KeyRing(b"pepper"))
        await desk.start()
        set_caller(Caller("pnc", "shop", frozenset({"PARTNER_API"})))
        gateway: Any = _Gateway(house.router)
        absent: Any = None
        yield Shop(house, PaymentsService(gateway, database, desk, absent))
        database.close()


def shown(cashier: payments_pb2.Cashier) -> list[tuple[str, str]]:
    """What the payer sees: methods in their order, and why they are grey."""
    name = common_pb2.Method.Name
    return [(name(e.method).removeprefix("METHOD_"), e.reason_text) for e in cashier.entries if e.visible]


def hidden(cashier: payments_pb2.Cashier) -> dict[str, str]:
    name = common_pb2.Method.Name
    return {name(e.method).removeprefix("METHOD_"): e.reason_code for e in cashier.entries if not e.visible}


async def test_a_travel_policy_in_wechat_shows_wechat_first_and_hides_alipay(shop: Shop) -> None:
    cashier = await shop.cashier(1_800, "TRAVEL_ACC", "WECHAT_OA")
    assert shown(cashier) == [("WECHAT_PAY", ""), ("QUICK_CARD", "")]
    assert hidden(cashier)["ALIPAY"] == "NOT_AVAILABLE_ON_TERMINAL"
    first = cashier.entries[0]
    assert (first.display_order, first.promotion, first.max_amount.amount_minor) == (1, "随机立减", 10**12)
    assert cashier.expire_s == 900


async def test_a_company_car_on_a_pc_shows_the_bank_and_greys_the_quick_card(shop: Shop) -> None:
    cashier = await shop.cashier(6_800_000, "CORP_CAR", "PC")
    assert shown(cashier) == [
        ("E_BANK", ""), ("REMITTANCE", ""), ("CHEQUE", ""), ("QUICK_CARD", "OVER_CHANNEL_LIMIT(50,000.00)"),
    ]  # fmt: skip
    assert hidden(cashier) == {"ALIPAY": "NOT_BOUND", "WECHAT_PAY": "NOT_BOUND"}
    assert cashier.expire_s == 7_200
    small = await shop.cashier(1_800, "CORP_CAR", "PC")
    assert dict(shown(small))["E_BANK"] == "UNDER_CHANNEL_MINIMUM(100.00)"


async def test_a_partners_channel_is_known_to_that_partner_alone(shop: Shop) -> None:
    own = await shop.cashier(1_800, "TRAVEL_ACC", "H5")
    assert common_pb2.METHOD_UNION_PAY not in [entry.method for entry in own.entries]
    assert ("UNION_PAY", "") in shown(await shop.cashier(1_800, "TRAVEL_ACC", "H5", source="P17"))


async def test_a_key_that_does_not_reach_the_product_is_refused(shop: Shop) -> None:
    reach = Reach(products=frozenset({"TRAVEL_ACC"}))
    set_caller(Caller("pnc", "shop", frozenset({"PARTNER_API"}), scope=(reach,)))
    assert shown(await shop.cashier(1_800, "TRAVEL_ACC", "H5"))
    with pytest.raises(Refused) as caught:
        await shop.cashier(6_800_000, "CORP_CAR", "PC")
    assert (caught.value.refusal.kind, caught.value.refusal.reason) == (Kind.PERMISSION_DENIED, "PRODUCT_NOT_BOUND")
    set_caller(Caller("pnc", "shop", frozenset({"PARTNER_API"}), scope=EVERYWHERE))


async def test_health_and_windows_are_followed_as_they_are(shop: Shop) -> None:
    now_ms = shop.house.now_ms()
    ill = HealthSnapshot("wechat", 1, Health.OPEN, 0.0, 0.1, 9, 1.0, 0.0, 0.0, 0.0, 0, "", now_ms, 0, now_ms)
    await shop.house.router.health([ill])
    assert dict(shown(await shop.cashier(1_800, "TRAVEL_ACC", "WECHAT_OA")))["WECHAT_PAY"] == "CHANNEL_OPEN"
    transact(shop.house.database.engine, lambda connection: connection.exec_driver_sql(
        "INSERT INTO maintenance_windows (window_id, channel_id, start_time, end_time, reason) "
        "VALUES ('w1', 'quick', now() - interval '1 h', now() + interval '1 h', 'upgrade')"))  # fmt: skip
    await shop.house.router._read_desk()
    assert dict(shown(await shop.cashier(1_800, "TRAVEL_ACC", "WECHAT_OA")))["QUICK_CARD"] == "MAINTENANCE"


def wish(cashier: payments_pb2.Cashier, **changes: Any) -> payments_pb2.CreatePaymentRequest:
    usual = payments_pb2.CreatePaymentRequest(
        request_id="r1", order_no="o1", product_code="TRAVEL_ACC", method=common_pb2.METHOD_QUICK_CARD,
        terminal=common_pb2.TERMINAL_WECHAT_OA, amount=common_pb2.Money(amount_minor=1_800, currency_code="CNY"),
        cashier_version=cashier.version,
    )  # fmt: skip
    usual.MergeFrom(payments_pb2.CreatePaymentRequest(**changes))
    return usual


async def pay(shop: Shop, request: payments_pb2.CreatePaymentRequest) -> Refusal | None:
    """Have an order accepted; return the refusal."""
    settings = shop.service._desk.settings_of("pnc")
    try:
        order = translate.new_payment(request, tenant_id="pnc", now_ms=shop.house.now_ms(), settings=settings)
    except Refused as refused:
        return refused.refusal
    (answer,) = await shop.house.router.submit(GATEWAY, [order])
    return answer.refusal


async def test_an_order_that_is_no_longer_as_it_was_shown_is_refused(shop: Shop) -> None:
    cashier = await shop.cashier(1_800, "TRAVEL_ACC", "WECHAT_OA")
    dearer = common_pb2.Money(amount_minor=1_900)
    for request in (wish(cashier, amount=dearer), wish(cashier, method=common_pb2.METHOD_ALIPAY)):
        refusal = await pay(shop, request)
        assert refusal is not None
        assert (refusal.kind, refusal.reason) == (Kind.MOVED, "ORDER_CHANGED")
    transact(shop.house.database.engine, lambda connection: desk_store.install(connection, {
        "accounts": [account("quick", "QUICK_CARD", max_amount_minor=1_000)]}))  # fmt: skip
    await shop.house.router._read_desk()
    gone = await pay(shop, wish(cashier))
    assert gone is not None
    assert gone.reason == "ORDER_CHANGED"
    assert shop.house.payments("o1") == []


async def test_what_still_holds_is_paid_whatever_else_has_changed(shop: Shop) -> None:
    cashier = await shop.cashier(1_800, "TRAVEL_ACC", "WECHAT_OA")
    transact(shop.house.database.engine, lambda connection: desk_store.install(connection, {
        "accounts": [account("alipay", "ALIPAY", max_amount_minor=1_000)]}))  # fmt: skip
    await shop.house.router._read_desk()
    assert await pay(shop, wish(cashier)) is None
    assert shop.house.payment("o1").state in (State.SUBMITTING, State.UNKNOWN, State.PENDING)


async def test_a_cashier_takes_less_than_a_third_of_a_second(shop: Shop) -> None:
    times_s = []
    for _ in range(100):
        begin_s = time.perf_counter()
        await shop.cashier(1_800, "TRAVEL_ACC", "WECHAT_OA")
        times_s.append(time.perf_counter() - begin_s)
    assert sorted(times_s)[94] < 0.3


def test_every_elimination_has_words_for_a_payer() -> None:
    assert _TOLD.keys() == set(Elimination) - {Elimination.CHANNEL_NOT_ALLOWED_FOR_SOURCE}


def test_the_methods_of_a_display_order_are_those_of_the_wire() -> None:
    wire = {name.removeprefix("METHOD_") for name, _ in common_pb2.Method.items() if not name.endswith("UNSPECIFIED")}
    assert set(METHODS) == wire


def test_a_version_of_another_time_or_place_is_never_believed() -> None:
    facts = OrderFacts("pnc", "o", "CAR", 1, "CNY", "ALIPAY")
    for version in ("", ".", "x.y.z", "0123456789abcdef.ALIPAY.1", "\0", "." * 200):
        assert changed(version, facts) is not None
