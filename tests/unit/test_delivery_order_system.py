"""The demo's order system must see what a careless sender does wrong: a checker that can't fail proves nothing."""

import datetime
import json
from typing import Any

import pytest
from standardwebhooks import Webhook
from starlette.testclient import TestClient

from ops.order_system import OrderSystem

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def notice(payment_id: str, seq: int, *, order_no: str = "o-1", written: int = 10, began: int = 0) -> bytes:
    data = {
        "payment_id": payment_id,
        "seq": seq,
        "order_no": order_no,
        "state": "SUCCEEDED",
        "create_time": f"2026-03-01T08:00:{began:02d}.000Z",
    }
    told = {"type": "payment.succeeded", "timestamp": f"2026-03-01T08:00:{written:02d}.000Z", "data": data}
    return json.dumps(told).encode()


def faults(system: OrderSystem) -> dict[str, Any]:
    report = system.report()
    return {name: report[name] for name in ("disorders", "changed_bodies", "duplicates", "bad_signatures")}


CLEAN = {"disorders": 0, "changed_bodies": 0, "duplicates": 0, "bad_signatures": 0}


def test_notices_in_order_are_booked() -> None:
    system = OrderSystem(secrets=[SECRET])
    assert [system.take("e2", notice("p1", 2)), system.take("e3", notice("p1", 3))] == [200, 200]
    assert system.take("other", notice("p2", 2, written=40, began=20)) == 200
    assert faults(system) == CLEAN
    assert (system.report()["accepted"], system.report()["orders"]) == (3, 1)


def test_a_repeat_is_acknowledged_and_counted() -> None:
    system = OrderSystem(secrets=[SECRET])
    assert [system.take("e2", notice("p1", 2)) for _ in range(3)] == [200] * 3
    assert faults(system) == CLEAN | {"duplicates": 2}


def test_a_later_notice_first_is_a_disorder() -> None:
    system = OrderSystem(secrets=[SECRET])
    system.take("e3", notice("p1", 3))
    system.take("e2", notice("p1", 2))
    assert faults(system) == CLEAN | {"disorders": 1}


def test_overtaking_a_notice_that_was_not_accepted_is_a_disorder() -> None:
    system = OrderSystem(secrets=[SECRET], fail_share=1.0)
    assert system.take("e2", notice("p1", 2)) == 500
    system.take("e3", notice("p1", 3))
    assert faults(system) == CLEAN | {"disorders": 1}


def test_the_notice_of_a_payment_that_began_later_may_not_overtake() -> None:
    system = OrderSystem(secrets=[SECRET])
    system.take("second", notice("p2", 2, written=40, began=20))
    system.take("first", notice("p1", 2, written=10))
    assert faults(system) == CLEAN | {"disorders": 1}


def test_payments_that_ran_beside_each_other_have_no_order() -> None:
    system = OrderSystem(secrets=[SECRET])
    system.take("b", notice("p2", 2, written=12, began=5))
    system.take("a", notice("p1", 2, written=10, began=5))
    assert faults(system) == CLEAN


def test_another_body_under_the_same_id_is_seen() -> None:
    system = OrderSystem(secrets=[SECRET])
    system.take("e2", notice("p1", 2))
    system.take("e2", notice("p1", 2, written=11))
    assert faults(system) == CLEAN | {"changed_bodies": 1, "duplicates": 1}


@pytest.mark.parametrize("seed", [1, 2])
def test_failures_depend_on_the_seed_alone(seed: int) -> None:
    def answers() -> list[int]:
        system = OrderSystem(secrets=[SECRET], fail_share=0.3, seed=seed)
        return [system.take(f"e{number}", notice(f"p{number}", 2)) for number in range(200)]

    assert answers() == answers()
    assert 30 < answers().count(500) < 90


def test_only_genuine_notices_are_taken() -> None:
    system = OrderSystem(secrets=["whsec_b2xkIG9sZCBvbGQgb2xkIG9sZCBvbGQ=", SECRET])
    body = notice("p1", 2)
    now = datetime.datetime.now(tz=datetime.UTC)
    headers = {
        "webhook-id": "e2",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("e2", now, body.decode()),
    }
    client = TestClient(system.app)
    assert client.post("/notices", content=body, headers=headers).status_code == 200
    assert client.post("/notices", content=body + b" ", headers=headers).status_code == 401
    assert client.post("/notices", content=body, headers={**headers, "webhook-id": "e3"}).status_code == 401
    assert client.post("/notices", content=body).status_code == 401
    assert client.post("/notices", content=b"x" * 70_000, headers=headers).status_code == 413
    report = client.get("/report").json()
    assert (report["accepted"], report["bad_signatures"]) == (1, 3)
