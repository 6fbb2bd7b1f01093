"""The drill itself: kill, wait until it serves and has taken up its work again, and so on; then peace, and a verdict."""

import contextlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import grpc
import sqlalchemy
from sqlalchemy import Engine

from ops.chaos.house import House, freeze, kill
from ops.chaos.load import OPTIONS, Load
from protos.paydesk.v1 import payments_pb2, payments_pb2_grpc, simulator_pb2, simulator_pb2_grpc

# What is killed, and how often in a round. "tree" is everything at once, the database too; "freeze" stops an actor for
# a few seconds and lets it go on. The sandbox is no part of the system under attack: it falls with the tree, and by
# itself only where it serves the channels' own wires, whose other end dies too.
KINDS = {
    "gateway": 2, "router": 2, "connector": 2, "notifier": 1, "sweeper": 1, "ingress": 1, "watcher": 1, "engine": 1,
    "raylet": 1, "gcs": 1, "postgres": 2, "tree": 1, "freeze": 1,
}  # fmt: skip
# Whose end takes Ray, and so the engine, with it.
_RAY_ENDS = frozenset({"engine", "raylet", "gcs", "tree", "watcher"})
SERVING_S_MAX = 30.0
CLAIMED_S_MAX = 60.0
# Longer than the promise, so that a broken promise is measured and not only noticed.
PATIENCE_S = 90.0
# Serving again means that fresh calls were answered for so long without a gap.
CALM_S = 2.0
# Work counts as taken up when nothing has been due for longer than this.
DUE_S = 2.5
PEACE_S_MAX = 200.0
# What is in doubt then is asked about by hand, as an operator would rather than wait for the schedule.
ASK_AFTER_S = 8.0
LOOK_S = 0.25
# So many kills are followed by the next one before anything has recovered; the promises count from the last.
PAIR_SHARE = 0.15
# About a twentieth of all requests meets one of these.
_ANYWHERE = {
    "TIMEOUT_TAKEN": 0.01, "TIMEOUT_NOT_TAKEN": 0.01, "SERVER_ERROR": 0.01, "CONNECTION_REFUSED": 0.005,
    "ANSWER_BAD_SIGNATURE": 0.005,
}  # fmt: skip
_CALLBACKS = {"CALLBACK_DUPLICATE": 0.01, "CALLBACK_EARLY": 0.005, "CALLBACK_REORDERED": 0.01, "FORGED_SIGNATURE": 0.005,
              "FORGED_AMOUNT": 0.005}  # fmt: skip


class Stage(NamedTuple):
    """Where a drill is played: its desk, what is killed there, the faults by channel, and what orders are like.

    `methods` are pairs: the method that an order is paid by, and that of a second payer. `wired` orders have payers who
    load pages and scan codes.
    """

    desk: Path
    kinds: Mapping[str, int]
    faults: Mapping[str, Mapping[str, float]]
    methods: Sequence[tuple[str, str]]
    terminals: Sequence[str]
    rate_per_s: float
    wired: bool = False


# A success that comes after a confirmed close, and of which no callback tells, is found by the day's statement only:
# so no channel does both.
SANDBOX = Stage(
    desk=Path(__file__).parent / "desk.toml",
    kinds=KINDS,
    faults={
        "card": _ANYWHERE,
        "line": _ANYWHERE,
        "qr_red": _ANYWHERE | _CALLBACKS | {"CALLBACK_LOST": 0.02},
        "qr_blue": _ANYWHERE | _CALLBACKS | {"LATE_SUCCESS_AFTER_CLOSE": 0.2},
    },
    methods=(("BANK_CARD", "WECHAT_PAY"), ("UNION_PAY", "ALIPAY"), ("WECHAT_PAY", "ALIPAY"), ("ALIPAY", "BANK_CARD")),
    terminals=("APP",),
    rate_per_s=40.0,
)
WIRE = Stage(
    desk=Path(__file__).parent / "wire-desk.toml",
    kinds=KINDS | {"simulator": 3},
    faults={
        "alipay": _ANYWHERE | _CALLBACKS | {"CALLBACK_LOST": 0.02},
        "unionpay": _ANYWHERE | _CALLBACKS | {"CALLBACK_LOST": 0.02},
        "wechatpay": _ANYWHERE | _CALLBACKS | {"LATE_SUCCESS_AFTER_CLOSE": 0.2},
    },
    methods=(("WECHAT_PAY", "ALIPAY"), ("ALIPAY", "UNION_PAY"), ("UNION_PAY", "WECHAT_PAY")),
    terminals=("APP", "H5", "PC"),
    # Each message is signed and verified on both sides, and RSA takes its time.
    rate_per_s=8.0,
    wired=True,
)


# Where a machine is small, roles share a process.
_HOSTS = {"router": "payments", "connector": "payments", "sweeper": "errands", "notifier": "errands"}


class Kill(NamedTuple):
    """One kill: when, what, and how long it took until fresh calls were answered and overdue work was taken up."""

    number: int
    kind: str
    at_s: float
    serving_s: float
    claimed_s: float

    @property
    def in_time(self) -> bool:
        """Tell whether both promises were kept."""
        return self.serving_s <= SERVING_S_MAX and self.claimed_s <= CLAIMED_S_MAX


def plan(chance: random.Random, kills: int, of: Mapping[str, int], only: Sequence[str] = ()) -> list[str]:
    """Return what is killed, in order: rounds in which everything has its turn, each shuffled."""
    kinds: list[str] = []
    while len(kinds) < kills:
        one_round = [kind for kind, times in of.items() for _ in range(times) if not only or kind in only]
        chance.shuffle(one_round)
        kinds += one_round
    return kinds[:kills]


def strike(house: House, kind: str, chance: random.Random) -> None:
    """Kill what a kind names; a process that is not there at the moment is waited for."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        processes = house.processes()
        for role, host in _HOSTS.items():
            processes.setdefault(role, processes.get(host, []))
        if kind == "tree":
            kill([pid for role in ("watcher", *processes) for pid in processes.get(role, ())])
            return
        if kind == "freeze":
            victims = processes.get(chance.choice(("router", "connector", "notifier", "sweeper")), [])
        elif kind == "postgres":
            victims = house.postmaster()
        else:
            victims = processes.get(kind, [])
        if victims and kind == "freeze":
            freeze([chance.choice(sorted(victims))], chance.uniform(2, 8))
            return
        if victims:
            kill([chance.choice(sorted(victims))])
            return
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"there is no {kind} to kill: {processes}")
        time.sleep(LOOK_S)


def recover(
    house: House, load: Load, engine: Engine, *, kinds: Sequence[str], engine_before: int, at_s: float
) -> tuple[float, float]:
    """Wait until it serves and has taken up its work; return how long each took from the last of the kills."""
    serving_s = claimed_s = PATIENCE_S
    while (passed_s := time.monotonic() - at_s) < PATIENCE_S:
        replaced = _RAY_ENDS.isdisjoint(kinds) or house.engine_pid() not in (0, engine_before)
        since_s = load.serving_since(at_s, CALM_S) if replaced else None
        if since_s is not None:
            serving_s = since_s - at_s
            break
        time.sleep(LOOK_S)
    while (passed_s := time.monotonic() - at_s) < PATIENCE_S:
        if _is_claimed(engine):
            claimed_s = max(serving_s, passed_s - CALM_S)
            break
        time.sleep(LOOK_S)
    return serving_s, claimed_s


_OVERDUE = f"""
SELECT (SELECT count(*) FROM payments WHERE next_action_time < now() - interval '{DUE_S} s')
     + (SELECT count(*) FROM refunds WHERE next_action_time < now() - interval '{DUE_S} s')"""


def _is_claimed(engine: Engine) -> bool:
    try:
        with engine.begin() as connection:
            return int(connection.exec_driver_sql(_OVERDUE).scalar_one()) == 0
    except sqlalchemy.exc.DBAPIError:
        engine.dispose()
        return False


class Sandbox:
    """Drives the sandbox through its service, again and again until it answers."""

    def __init__(self, target: str, key: str) -> None:
        self._channel = grpc.insecure_channel(target, options=OPTIONS)
        self._stub = simulator_pb2_grpc.SimulatorStub(self._channel)
        self._payments = payments_pb2_grpc.PaymentsStub(self._channel)
        self._metadata = (("authorization", f"Bearer {key}"),)

    def fault(self, channel_id: str, kind: str, share: float) -> None:
        """Switch a fault on or off."""
        fault = simulator_pb2.Fault(channel_id=channel_id, kind=f"KIND_{kind}", share=share)
        request = simulator_pb2.InjectFaultRequest(request_id=f"{channel_id}-{kind}", fault=fault)
        self._insist(lambda: self._stub.InjectFault(request, timeout=5, metadata=self._metadata))

    def ask_about(self, payment_id: str) -> None:
        """Have the channel asked about a payment, as an operator would; whether that was heard is seen later."""
        request = payments_pb2.SyncPaymentRequest(
            request_id=f"sync-{payment_id}-{time.time_ns()}"[:64], payment_id=payment_id, reason="the drill is over"
        )
        with contextlib.suppress(grpc.RpcError):
            self._payments.SyncPayment(request, timeout=5, metadata=self._metadata)

    def close(self) -> None:
        """Hang up."""
        self._channel.close()

    @staticmethod
    def _insist(call: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                call()
            except grpc.RpcError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.5)
            else:
                return


_UNFINISHED = """
SELECT (SELECT count(*) FROM payments WHERE next_action_time IS NOT NULL),
       (SELECT count(*) FROM refunds WHERE next_action_time IS NOT NULL),
       (SELECT count(*) FROM events WHERE deliver_state = 'PENDING')"""


def make_peace(
    engine: Engine, sandbox: Sandbox, faults_on: Mapping[str, Mapping[str, float]], told: Callable[[str], None]
) -> float:
    """Switch the faults off and wait until everything has come to rest; return how long that took."""
    begin_s = time.monotonic()
    for channel_id, faults in faults_on.items():
        for kind in faults:
            sandbox.fault(channel_id, kind, 0.0)
    while (passed_s := time.monotonic() - begin_s) < PEACE_S_MAX:
        with engine.begin() as connection:
            payments, refunds, events = connection.exec_driver_sql(_UNFINISHED).one()
            ids = connection.exec_driver_sql("SELECT payment_id FROM payments WHERE next_action_time IS NOT NULL LIMIT 20")
            open_ids = [row[0] for row in ids]
        if not payments + refunds + events:
            break
        told(f"coming to rest: {payments} payments, {refunds} refunds, {events} notices under way")
        if passed_s > ASK_AFTER_S:
            for payment_id in open_ids:
                sandbox.ask_about(payment_id)
        time.sleep(2)
    return time.monotonic() - begin_s
