"""One running deployment for all end-to-end tests: the processes, the ports and the database of `paydesk serve`.

Tests share it, so each uses order numbers of its own, strikes with faults only what is its own (by payer or order), and
leaves channels as it found them.
"""

import contextlib
import itertools
import secrets
import shutil
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from ops.deployment import Deployment, development_keys
from ops.order_system import OrderSystem, OrderSystemThread
from ops.settings import Settings
from protos.paydesk.v1 import (
    channels_pb2,
    channels_pb2_grpc,
    common_pb2,
    events_pb2_grpc,
    payments_pb2,
    payments_pb2_grpc,
    routing_pb2_grpc,
    simulator_pb2,
    simulator_pb2_grpc,
)

DESK = Path(__file__).parent / "desk.toml"
TIMEOUT_S = 10.0
State = payments_pb2.Payment.State
_numbers = itertools.count(1)
_run = secrets.token_hex(2)


def fresh(prefix: str = "O") -> str:
    """A number that nothing else has."""
    return f"{prefix}-{_run}-{next(_numbers):05d}"


def until(found: Callable[[], Any], timeout_s: float = 30.0, every_s: float = 0.1) -> Any:
    """Ask until the answer is true, and return it; fail with the last answer when the time is up."""
    deadline_s = time.monotonic() + timeout_s
    while not (answer := found()):
        assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s; the last answer was {answer!r}"
        time.sleep(every_s)
    return answer


def order(**changes: Any) -> payments_pb2.CreatePaymentRequest:
    """A good wish to collect an order, with some fields changed."""
    number = fresh()
    fields: dict[str, Any] = {
        "request_id": f"req-{number}", "order_no": number, "product_code": "TRAVEL_ACC",
        "amount": common_pb2.Money(amount_minor=1800, currency_code="CNY"), "method": common_pb2.METHOD_BANK_CARD,
        "terminal": common_pb2.TERMINAL_H5, "subject": "旅行意外险 7 天", "payer_ref": f"payer-{number}",
    }  # fmt: skip
    return payments_pb2.CreatePaymentRequest(**{**fields, **changes})


class Refusal(NamedTuple):
    """What a caller can read from an error."""

    code: grpc.StatusCode
    reason: str
    message: str
    violations: dict[str, str]
    metadata: dict[str, str]


def refusal_of(error: grpc.RpcError) -> Refusal:
    """Read the typed details of an error; reason "" when it has none."""
    reason, violations, metadata = "", {}, {}
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad):
            violations = {violation.field: violation.description for violation in bad.field_violations}
    return Refusal(error.code(), reason, error.details(), violations, metadata)


def refused(call: Callable[[], Any]) -> Refusal:
    """Make a call that must be refused, and return how."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return refusal_of(caught.value)


class _Key(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Sends a key with every call, and a deadline where the caller names none."""

    def __init__(self, key: str) -> None:
        self._metadata = (("authorization", f"Bearer {key}"),)

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        timeout_s = TIMEOUT_S if details.timeout is None else details.timeout
        return continuation(details._replace(metadata=self._metadata, timeout=timeout_s), request)

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(details._replace(metadata=self._metadata), request)


class Api:
    """Every service, called with one key."""

    def __init__(self, target: str, key: str) -> None:
        self.key = key
        self.channel = grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)])
        channel = grpc.intercept_channel(self.channel, _Key(key))
        self.payments = payments_pb2_grpc.PaymentsStub(channel)
        self.channels = channels_pb2_grpc.ChannelsStub(channel)
        self.routing = routing_pb2_grpc.RoutingStub(channel)
        self.events = events_pb2_grpc.EventsStub(channel)
        self.simulator = simulator_pb2_grpc.SimulatorStub(channel)

    def pay(self, **changes: Any) -> payments_pb2.Payment:
        """Create a payment."""
        return self.payments.CreatePayment(order(**changes))

    def get(self, payment_id: str) -> payments_pb2.Payment:
        """Read a payment."""
        return self.payments.GetPayment(payments_pb2.GetPaymentRequest(payment_id=payment_id))

    def by_request(self, request_id: str) -> payments_pb2.Payment:
        """Read the payment that a request made."""
        return self.payments.GetPayment(payments_pb2.GetPaymentRequest(request_id=request_id))

    def final(self, payment_id: str, timeout_s: float = 30.0) -> payments_pb2.Payment:
        """Wait until a payment has come to its end."""
        ends = (State.STATE_SUCCEEDED, State.STATE_FAILED, State.STATE_CLOSED)
        return until(lambda: (p := self.get(payment_id)).state in ends and p, timeout_s)

    def timeline(self, payment_id: str) -> payments_pb2.PaymentTimeline:
        """Read what happened to a payment."""
        return self.payments.GetPaymentTimeline(payments_pb2.GetPaymentTimelineRequest(payment_id=payment_id))

    def fault(self, channel_id: str, kind: int, share: float = 1.0, *, targets: tuple[str, ...] = ()) -> None:
        """Switch a fault on, or off with share 0."""
        wanted = simulator_pb2.Fault(channel_id=channel_id, kind=kind, share=share, targets=targets)
        self.simulator.InjectFault(simulator_pb2.InjectFaultRequest(request_id=fresh("fault"), fault=wanted))

    def force(self, channel_id: str, state: int, ttl_s: int = 60) -> channels_pb2.ChannelHealth:
        """Hold a channel in a state; HEALTHY lets go of it."""
        request = channels_pb2.ForceChannelStateRequest(
            request_id=fresh("force"), channel_id=channel_id, state=state, reason="a test needs it so"
        )
        request.ttl.seconds = ttl_s
        return self.channels.ForceChannelState(request)

    def settled(self, channel_id: str, method: int) -> None:
        """Pay until a channel that was away gets all of its traffic again: only orders bring it back."""
        request = channels_pb2.GetChannelHealthRequest(channel_id=channel_id)
        in_use = (channels_pb2.ChannelHealth.STATE_HEALTHY, channels_pb2.ChannelHealth.STATE_DEGRADED)
        time.sleep(0.5)  # the end of a window is noticed at the next look

        def is_back() -> bool:
            with contextlib.suppress(grpc.RpcError):
                self.pay(method=method, terminal=common_pb2.TERMINAL_WECHAT_OA)
            health = self.channels.GetChannelHealth(request)
            return health.state in in_use and health.admit_share == 1

        until(is_back, 30)
        time.sleep(0.5)  # routers hear of it a moment later

    def truth(self, channel_id: str = "") -> list[simulator_pb2.TruthEntry]:
        """Read what the sandbox really moved."""
        return list(self.simulator.ExportTruth(simulator_pb2.ExportTruthRequest(channel_id=channel_id)))


class House(NamedTuple):
    """What runs, and how to reach it."""

    deployment: Deployment
    shop: Api
    other: Api
    wired: Api
    orders: OrderSystem
    http_url: str


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    """Everything, running: gRPC, HTTP, Ray, PostgreSQL, the sandbox, and the tenants' order system."""
    directory = Path(tempfile.mkdtemp(prefix="paydesk-e2e-"))
    secret = "whsec_" + b64encode(secrets.token_bytes(24)).decode()
    orders = OrderSystem(secrets=[secret])
    with OrderSystemThread(orders) as served:
        desk = directory / "desk.toml"
        desk.write_text(DESK.read_text().replace("{webhook_url}", served.url).replace("{webhook_secret}", secret))
        settings = Settings(
            database_url="", ray_address="", data_dir=directory / "data", grpc_port=0, http_port=0, desk_file=desk,
            notify_schedule_factor=0.02, drain_s=3,
        )  # fmt: skip
        running = Deployment(settings)
        running.start()
        keys = development_keys(running)
        ended = threading.Event()
        watcher = threading.Thread(target=running.run, args=(ended.is_set,), name="watcher")
        watcher.start()
        url = f"http://{settings.host}:{settings.http_port}"
        callers = [Api(running.target, keys[tenant]) for tenant in ("shop", "other", "wired")]
        until(lambda: all(_knows(caller) for caller in callers))
        try:
            yield House(running, *callers, orders, url)
        finally:
            ended.set()
            watcher.join()
            running.stop()
            shutil.rmtree(directory, ignore_errors=True)


def _knows(api: Api) -> bool:
    """Gateways hear of a new key within a second."""
    try:
        api.channels.ListChannels(channels_pb2.ListChannelsRequest())
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            return False
        raise
    return True


@pytest.fixture(scope="session")
def deployment(house: House) -> Deployment:
    """The running deployment."""
    return house.deployment


@pytest.fixture(scope="session")
def shop(house: House) -> Api:
    """The API with the key of the tenant that the tests sell for."""
    return house.shop


@pytest.fixture(scope="session")
def other(house: House) -> Api:
    """The API with the key of another tenant."""
    return house.other
