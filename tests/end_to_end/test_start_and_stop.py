"""A deployment's own beginning, trouble and end: no database for a while, a clean stop under load, a second start."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import psutil
import pytest

from ops.deployment import Deployment, development_keys
from ops.mistakes import CannotStart
from ops.settings import Settings
from simulator.codec import encode, sign
from tests.end_to_end.conftest import Api, State, order, refused, until

pytestmark = pytest.mark.xdist_group("chaos")
TENANT, CHANNEL, MERCHANT, SECRET = "pnc", "sandbox_wechat", "W2002", "sandbox-secret-of-W2002"


class Own:
    """A deployment that a test may treat badly; it is watched between `watch` and `look_away`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.start()
        self.key = development_keys(self.deployment)[TENANT]
        self.api = Api(self.deployment.target, self.key)
        until(lambda: _answers(self.api))

    def start(self) -> None:
        self.deployment = Deployment(Settings(database_url="", ray_address="", data_dir=self.directory / "data", grpc_port=0, http_port=0))
        self.deployment.start()
        self.watch()

    def watch(self) -> None:
        self._away = threading.Event()
        self._watcher = threading.Thread(target=self.deployment.run, args=(self._away.is_set,))
        self._watcher.start()

    def look_away(self) -> None:
        self._away.set()
        self._watcher.join()

    def stop(self) -> None:
        self.look_away()
        self.deployment.stop()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    """A deployment with the sandbox's desk."""
    made = Own(tmp_path_factory.mktemp("own"))
    yield made
    made.stop()
    assert not remains(made.directory)


def remains(directory: Path) -> list[str]:
    """Name the processes that still speak of a directory."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        words = " ".join(process.info["cmdline"] or ())
        if str(directory) in words and process.pid != os.getpid():
            found.append(words)
    return found


def _answers(api: Api) -> bool:
    try:
        api.by_request("nobody's")
    except grpc.RpcError as error:
        return error.code() is grpc.StatusCode.NOT_FOUND
    return False


def callback(own: Own, attempt_no: str) -> httpx.Response:
    """Send what the sandbox would say of a payment of 18.00 that was paid."""
    body = encode({
        "notify_id": f"N{attempt_no}", "channel_id": CHANNEL, "merchant_no": MERCHANT, "attempt_no": attempt_no,
        "channel_txn_no": f"T{attempt_no}", "word": "PAID", "amount_minor": 1800, "currency": "CNY",
        "success_time_ms": int(time.time() * 1000),
    })  # fmt: skip
    timestamp = str(int(time.time()))
    headers = {
        "sandbox-timestamp": timestamp, "sandbox-nonce": "n", "sandbox-merchant": MERCHANT,
        "sandbox-signature": sign(SECRET, f"{timestamp}.n.".encode() + body),
    }  # fmt: skip
    url = f"http://127.0.0.1:{own.deployment.settings.http_port}/callbacks/{CHANNEL}"
    return httpx.post(url, content=body, headers=headers, timeout=20)


def test_without_the_database_nothing_is_acknowledged_and_all_is_well_again_with_it(own: Own) -> None:
    waiting = own.api.pay(method="METHOD_WECHAT_PAY", terminal="TERMINAL_APP", payer_ref="payer_abandons")
    assert waiting.state == State.STATE_PENDING
    charged = len(own.api.truth())
    own.look_away()
    postmaster = psutil.Process(own.deployment.processes()["postgres"])
    children = postmaster.children()
    for process in (postmaster, *children):
        with contextlib.suppress(psutil.NoSuchProcess):  # a child ends of itself when it misses the others
            process.kill()
    wish = order(method="METHOD_UNION_PAY")
    begin_s = time.monotonic()
    assert refused(lambda: own.api.payments.CreatePayment(wish, timeout=5)).code in (
        grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED,
    )  # fmt: skip
    assert time.monotonic() - begin_s < 10
    assert refused(lambda: own.api.get(waiting.payment_id)).code is grpc.StatusCode.UNAVAILABLE
    said = callback(own, waiting.attempt_no)
    assert said.status_code == 503 and "success" not in said.text
    assert httpx.get(f"http://127.0.0.1:{own.deployment.settings.http_port}/readyz", timeout=20).status_code == 503
    assert len(own.api.truth()) == charged  # what could not be written down was not asked for
    own.watch()
    until(lambda: _answers(own.api), 20)
    said = callback(own, waiting.attempt_no)
    assert (said.status_code, said.text) == (200, "success")
    assert own.api.get(waiting.payment_id).state == State.STATE_SUCCEEDED
    assert own.api.payments.CreatePayment(wish, timeout=10).state in (State.STATE_SUCCEEDED, State.STATE_FAILED)
    assert sum(entry.order_no == wish.order_no for entry in own.api.truth()) <= 1


def test_a_stop_under_load_loses_nothing_that_was_answered(own: Own) -> None:
    ended = threading.Event()
    answered: dict[str, int] = {}
    wrong: set[grpc.StatusCode] = set()

    def keep_paying() -> None:
        while not ended.is_set():
            wish = order(method="METHOD_UNION_PAY")
            try:
                answered[wish.request_id] = own.api.payments.CreatePayment(wish, timeout=10).state
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                    wrong.add(error.code())
                return

    payers = [threading.Thread(target=keep_paying) for _ in range(8)]
    for payer in payers:
        payer.start()
    until(lambda: len(answered) > 50)
    own.stop()
    ended.set()
    for payer in payers:
        payer.join()
    assert not wrong and not remains(own.directory)
    own.start()
    own.api = Api(own.deployment.target, own.key)
    assert development_keys(own.deployment)[TENANT] == own.key
    until(lambda: _answers(own.api))
    for request_id, state in answered.items():
        assert own.api.by_request(request_id).state == state or state != State.STATE_SUCCEEDED
    assert own.api.pay(method="METHOD_UNION_PAY").payment_id
    with pytest.raises(CannotStart, match="in use by another Paydesk"):
        Deployment(Settings(database_url="", ray_address="", data_dir=own.directory / "data", grpc_port=0, http_port=0)).start()


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=f"port {port} .* is taken: set PAYDESK_GRPC_PORT"):
            Deployment(Settings(database_url="", ray_address="", data_dir=tmp_path / "data", grpc_port=port, http_port=0)).start()
    assert not remains(tmp_path)


def test_a_port_stays_ours_while_everything_else_starts(tmp_path: Path) -> None:
    ours = Deployment(Settings(database_url="", ray_address="", data_dir=tmp_path / "data", grpc_port=0, http_port=0))
    ours._choose_ports()
    for port in (ours.settings.grpc_port, ours.settings.http_port):
        with socket.socket() as foreign:
            foreign.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Ray's own servers bind
            with pytest.raises(OSError, match="in use"):
                foreign.bind(("127.0.0.1", port))
        with socket.socket() as gateway:
            gateway.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            gateway.bind(("127.0.0.1", port))
    ours.stop()
