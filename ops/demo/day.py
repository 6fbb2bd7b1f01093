"""What will happen in the demo's day: which orders are sent when, and everything that goes wrong on purpose.

All of it follows from the orders and a seed. Faults that must not meet each other (a payment that is closed, paid late,
and whose callback is lost as well can only be found on a statement) strike different orders, chosen by name.
"""

import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ops.orders_file import Order

# Orders per second when the day is as long as it likes; `--speed` multiplies it.
ORDERS_PER_S = 75.0
DAY_S_MIN = 5.0
# Each of these is a share of all charges on every channel; together about five in a hundred.
WEATHER = {
    "TIMEOUT_TAKEN": 0.012,
    "TIMEOUT_NOT_TAKEN": 0.008,
    "SERVER_ERROR": 0.008,
    "RATE_LIMIT": 0.006,
    "CONNECTION_REFUSED": 0.006,
    "ANSWER_BAD_SIGNATURE": 0.004,
    "SLOW_DRIP": 0.003,
    "CALLBACK_DUPLICATE": 0.03,
    "CALLBACK_EARLY": 0.02,
    "FORGED_SIGNATURE": 0.010,
    "FORGED_AMOUNT": 0.005,
    "FORGED_MERCHANT": 0.005,
}
# A dead channel takes the money of half the orders, and answers nobody.
DEATH = {"TIMEOUT_NOT_TAKEN": 0.5, "TIMEOUT_TAKEN": 1.0}
DEATH_S = 12.0
DEATH_SHARE_MAX = 0.3
DEATH_BEGIN = 0.18
LATE_SUCCESS_SHARE = 0.6
TARGETS_MAX = 5_000
WALLETS = ("WECHAT_PAY", "ALIPAY")
# The smaller tenant's wallets take no more (50,000.00 yuan).
WALLET_MAX_MINOR = 5_000_000


class Moment(NamedTuple):
    """An order and when it is sent, in seconds after the day begins."""

    due_s: float
    order: Order


class Day(NamedTuple):
    """The plan of a day; orders are named by their numbers."""

    moments: tuple[Moment, ...]
    length_s: float
    doubles: frozenset[str]
    closers: frozenset[str]
    lost_callbacks: frozenset[str]
    late_callbacks: frozenset[str]
    reordered_callbacks: frozenset[str]
    death_begin_s: float
    death_s: float


def plan(orders: Sequence[Order], *, seed: int, speed: float) -> Day:
    """Plan a day of orders, compressed so that about ORDERS_PER_S x `speed` are sent per second."""
    length_s = max(DAY_S_MIN, len(orders) / ORDERS_PER_S) / speed
    first = min(order.second_of_day for order in orders)
    span = max(1, max(order.second_of_day for order in orders) - first)
    chance = random.Random(f"{seed}:due")
    # Times of day are whole seconds or minutes; within one, orders come at any moment.
    moments = sorted(
        Moment((order.second_of_day - first + chance.random()) / (span + 1) * length_s, order) for order in orders
    )
    chooser = _Chooser(orders, seed)
    wallets = [order for order in orders if _fits_wallets(order)]
    doubles = chooser.take((o for o in wallets if not o.method), min(20, max(1, len(orders) // 25)))
    closers = chooser.take((o for o in wallets if o.method in WALLETS), max(1, len(orders) // 100))
    return Day(
        tuple(moments), length_s, doubles, closers,
        chooser.take(wallets, len(orders) // 50), chooser.take(wallets, len(orders) // 100),
        chooser.take(wallets, len(orders) // 100),
        death_begin_s=length_s * DEATH_BEGIN, death_s=min(DEATH_S, length_s * DEATH_SHARE_MAX),
    )  # fmt: skip


def _fits_wallets(order: Order) -> bool:
    return order.terminal in ("", "H5", "APP") and order.amount_minor <= WALLET_MAX_MINOR


class _Chooser:
    """Chooses orders by lot, none of them twice."""

    def __init__(self, orders: Sequence[Order], seed: int) -> None:
        self._chance = random.Random(f"{seed}:choose")
        self._taken: set[str] = set()

    def take(self, candidates: Iterable[Order], count: int) -> frozenset[str]:
        free = [order.order_no for order in candidates if order.order_no not in self._taken]
        chosen = self._chance.sample(free, min(count, len(free), TARGETS_MAX))
        self._taken.update(chosen)
        return frozenset(chosen)
