"""Keys that change while payments run."""

import threading
import time
from typing import Any, Self

import grpc
import pytest
from sqlalchemy import Connection

from ops import secret_commands
from protos.paydesk.v1 import common_pb2, credentials_pb2, credentials_pb2_grpc, payments_pb2
from storage import approval_policies, credentials
from storage.credentials import OwnerKind
from tests.end_to_end.conftest import Api, House, fresh, until

pytestmark = pytest.mark.xdist_group("deployment")

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
