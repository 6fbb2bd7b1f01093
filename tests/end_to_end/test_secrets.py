"""Keys that change while payments run."""

import re
import secrets
import threading
import time
from pathlib import Path
from typing import Any, Self

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection

from actors.environment import ray_directory
from domain.identifiers import luhn_digit
from ops import leaks, secret_commands
from protos.paydesk.v1 import (
    channels_pb2,
    common_pb2,
    credentials_pb2,
    credentials_pb2_grpc,
    payments_pb2,
    routing_pb2,
)
from storage import approval_policies, credentials
from storage.credentials import OwnerKind
from tests.end_to_end.conftest import Api, House, fresh, until

ACCOUNT, FIRST, SECOND = "shop_instant", "secret-of-I100", "the second secret of I100"
# Connectors and the sandbox look for changes every two seconds.
HEARD_S = 3.0
State = payments_pb2.Payment.State


class Payer:
    """Pays one order after the other."""

    def __init__(self, shop: Api) -> None:
        self.payments: list[Any] = []
        self.errors: list[grpc.RpcError] = []
        self._shop = shop
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._pay)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _pay(self) -> None:
        while not self._over.is_set():
            try:
                self.payments.append(self._shop.pay(method=common_pb2.METHOD_BANK_CARD))
            except grpc.RpcError as error:
                self.errors.append(error)

    def more(self, count: int = 5) -> None:
        """Wait for some more payments."""
        seen = len(self.payments)
        until(lambda: len(self.payments) >= seen + count or self.errors)


def _nobody_is_asked(connection: Connection) -> None:
    policy = approval_policies.current(connection, tenant_id="shop").policy.document()
    acts = {**policy.get("acts", {}), credentials.ACTIVATE: 0, credentials.RETIRE: 0}
    approval_policies.install(connection, tenant_id="shop", document={**policy, "acts": acts})


def test_a_secret_is_replaced_under_load_and_no_payment_notices(house: House, shop: Api, monkeypatch: Any, capsys: Any) -> None:
    calls = credentials_pb2_grpc.CredentialsStub(shop.channel)
    metadata = (("authorization", f"Bearer {shop.key}"),)

    def ask(method: str, **fields: Any) -> Any:
        request = getattr(credentials_pb2, f"{method}Request")(request_id=fresh("key"), account_id=ACCOUNT, **fields)
        return getattr(calls, method)(request, metadata=metadata, timeout=10)

    def in_use() -> list[str]:
        vault = house.deployment.settings.vault()
        found = house.deployment.transact(lambda c: credentials.in_use(c, vault, OwnerKind.ACCOUNT))
        return [version.values["secret"] for version in found["shop", ACCOUNT]]

    house.deployment.transact(_nobody_is_asked)
    with Payer(shop) as payer:
        payer.more()
        ask("AddCredentials", values={"secret": SECOND})
        time.sleep(HEARD_S)
        ask("ActivateCredentials", version=2)
        time.sleep(HEARD_S)
        payer.more()
        assert in_use() == [SECOND, FIRST]
        ask("RetireCredentials", version=1)
        time.sleep(HEARD_S)
        payer.more()
        for name, value in house.deployment.settings.environment().items():
            monkeypatch.setenv(name, value)
        secret_commands.rotate_master(forget_old=True)
        secret_commands.rotate_data("shop")
        payer.more()
    assert "data key 2 of shop seals" in capsys.readouterr().out
    assert not payer.errors and in_use() == [SECOND]
    assert {payment.state for payment in payer.payments} <= {State.STATE_SUCCEEDED, State.STATE_PENDING, State.STATE_FAILED}
    assert not [p for p in payer.payments if p.reason in ("SIGNATURE_INVALID", "SECRET_MISSING", "TIMEOUT")]


def test_on_its_last_day_a_certificate_degrades_its_channel_before_anything_fails(house: House, shop: Api) -> None:
    calls = credentials_pb2_grpc.CredentialsStub(shop.channel)
    metadata = (("authorization", f"Bearer {shop.key}"),)

    def ask(method: str, **fields: Any) -> Any:
        request = getattr(credentials_pb2, f"{method}Request")(request_id=fresh("key"), account_id="shop_slow", **fields)
        return getattr(calls, method)(request, metadata=metadata, timeout=10)

    def health() -> Any:
        return shop.channels.GetChannelHealth(channels_pb2.GetChannelHealthRequest(channel_id="slow"))

    house.deployment.transact(_nobody_is_asked)
    until(lambda: health().state == channels_pb2.ChannelHealth.STATE_HEALTHY)
    end = Timestamp()
    end.FromMilliseconds(time.time_ns() // 1_000_000 + 60_000)
    version = ask("AddCredentials", values={"secret": fresh("short lived")}, not_after=end).version
    ask("ActivateCredentials", version=version)
    degraded = until(lambda: (h := health()).reason == "CERT_EXPIRED" and h)
    assert degraded.state == channels_pb2.ChannelHealth.STATE_DEGRADED and degraded.admit_share == 1
    wanted = routing_pb2.DryRunRouteRequest(
        order_no=fresh(), product_code="TRAVEL_ACC", method=common_pb2.METHOD_BANK_CARD,
        terminal=common_pb2.TERMINAL_H5, amount=common_pb2.Money(amount_minor=1800, currency_code="CNY"),
    )  # fmt: skip

    def reasons() -> dict[str, str]:
        return {c.account_id: c.eliminated_by for c in shop.routing.DryRunRoute(wanted).candidates}

    # The connector may hear of the credentials before the router does, which hears of every change within a second.
    until(lambda: reasons()["shop_slow"] == "CERT_EXPIRED", timeout_s=1.0)
    assert reasons()["shop_instant"] == ""
    ask("RetireCredentials", version=version)
    until(lambda: health().state == channels_pb2.ChannelHealth.STATE_HEALTHY)


def test_no_secret_and_no_personal_datum_stands_in_a_log_or_a_column(house: House, shop: Api) -> None:
    calls = credentials_pb2_grpc.CredentialsStub(shop.channel)
    metadata = (("authorization", f"Bearer {shop.key}"),)
    card = "62220202" + f"{secrets.randbelow(10**10):010d}"
    card += luhn_digit(card)
    secret, way, phone = f"marked-{secrets.token_hex(12)}", secrets.token_hex(10), f"139{secrets.randbelow(10**8):08d}"
    name, wrong_key = f"欧阳{secrets.token_hex(3)}", f"pdk_{secrets.token_hex(16)}"
    payer = payments_pb2.Payer(name=name, card_no=card, phone_no=phone)
    paid = shop.pay(method=common_pb2.METHOD_BANK_CARD, payer=payer)
    assert shop.timeline(paid.payment_id).payer.card_no == f"{card[:4]} **** **** {card[-4:]}"

    def ask(method: str, **fields: Any) -> Any:
        request = getattr(credentials_pb2, f"{method}Request")(request_id=fresh("key"), **fields)
        return getattr(calls, method)(request, metadata=metadata, timeout=10)

    ask("AddCredentials", account_id="shop_slow", values={"secret": secret})
    ask("CreateContact", display_name="x", target_urls=[f"wecombot://{way}{way}"])
    for refused in (
        lambda: ask("AddCredentials", account_id="shop_slow", values={"other": secret}),
        lambda: shop.pay(payer=payments_pb2.Payer(card_no=f"{card}x", phone_no=f"{phone}1", name=name)),
        lambda: shop.pay(order_no=f"{paid.order_no}", payer=payer, payer_ref=phone),
        lambda: calls.ListCredentials(
            credentials_pb2.ListCredentialsRequest(), metadata=(("authorization", f"Bearer {wrong_key}"),), timeout=10
        ),
    ):
        with pytest.raises(grpc.RpcError):
            refused()
    kept = house.deployment.transact(lambda c: credentials.in_use(c, house.deployment.settings.vault(), OwnerKind.WEBHOOK))
    webhook = kept["shop", "shop"][0].values["secret"]
    directory = house.deployment.settings.directory()
    master = (directory / "master.key").read_text().split()[-1]
    markers = [card, phone, name, secret, way, wrong_key, shop.key, webhook, "secret-of-S100", "secret-of-R100", master]
    logs = leaks.logs_of(directory)
    assert any("gateway" in log.name for log in logs) and any("session_" in str(log) for log in logs)
    assert any("postgres" in str(log) for log in logs)
    for name, process_id in house.deployment.processes().items():
        limits = Path(f"/proc/{process_id}/limits").read_text()
        assert name == "postgres" or re.search(r"Max core file size +0 +0 ", limits), f"{name} may leave its memory on the disk"
    assert ray_directory(directory).stat().st_mode & 0o077 == 0
    assert house.deployment.transact(lambda c: leaks.scan(directory, c, markers)) == []
    _control(house, shop, directory)


def _control(house: House, shop: Api, directory: Path) -> None:
    """What is planted is found, in a column and in a log."""
    planted = f"planted-{secrets.token_hex(8)}"
    shop.pay(method=common_pb2.METHOD_BANK_CARD, subject=f"subject {planted}")
    log = directory / "logs" / "planted.log"
    log.write_text(f"oops: {planted}\n")
    try:
        found = house.deployment.transact(lambda c: leaks.scan(directory, c, ["nowhere-at-all", planted]))
    finally:
        log.unlink()
    assert {leak.marker for leak in found} == {1}
    assert {leak.place for leak in found} >= {"payments.subject", str(log)}
