"""Batches on their way to a router: each tenant its share, one slice after the other, and online calls first.

A router takes what it is given in one go, so a batch of hundreds would hold up every call that comes behind it. Here a
batch waits in slices instead. Tenants take turns; and as long as online calls come, a pause after each slice leaves the
machine to them. The pause goes by how long the slice took, so it needs no figure about the machine.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from actors.messages import Accepted, NewPayment
from domain.refusals import Refusal, Refused

# One transaction of a router while online calls come: what comes behind it waits for a few milliseconds.
SLICE = 8
# And while none come: larger slices cost less a payment.
SLICE_ALONE = 100
# So long a slice waits at most for a moment in which no online call is under way, and looks so often.
GAP_S_MAX = 0.03
GAP_LOOK_S = 0.002

_Item = tuple[NewPayment, "asyncio.Future[Accepted]"]
_Send = Callable[[list[NewPayment]], Awaitable[list[Accepted]]]


class Shares:
    """How much of something each tenant holds, and the most that one may."""

    def __init__(self, most: int, refusal: Refusal) -> None:
        self._most = most
        self._refusal = refusal
        self._held: dict[str, int] = {}

    @contextmanager
    def holding(self, tenant_id: str, count: int = 1) -> Iterator[None]:
        """Hold some for as long as this lasts. Raise Refused beyond the tenant's share."""
        self.take(tenant_id, count)
        try:
            yield
        finally:
            self.give_back(tenant_id, count)

    def take(self, tenant_id: str, count: int = 1) -> None:
        """Hold some. Raise Refused beyond the tenant's share; whoever holds nothing may always begin."""
        held = self._held.get(tenant_id, 0)
        if held and held + count > self._most:
            raise Refused(self._refusal)
        self._held[tenant_id] = held + count

    def give_back(self, tenant_id: str, count: int = 1) -> None:
        """Hold some no longer."""
        left = self._held[tenant_id] - count
        if left:
            self._held[tenant_id] = left
        else:
            del self._held[tenant_id]


class BulkLane:
    """Feeds one router with slices, and bounds the part of the time that they take while `is_busy`.

    Then a slice also begins, where that can be, when nothing online `is_under_way`.
    """

    def __init__(
        self, send: _Send, *, share: float, is_busy: Callable[[], bool], is_under_way: Callable[[], bool] = lambda: False
    ) -> None:
        self._send = send
        self._pause_per_work = 1 / share - 1
        self._is_busy = is_busy
        self._is_under_way = is_under_way
        self._waiting: OrderedDict[str, deque[_Item]] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    @property
    def depth(self) -> int:
        """How many items wait."""
        return sum(map(len, self._waiting.values()))

    def put(self, orders: Sequence[NewPayment]) -> "list[asyncio.Future[Accepted]]":
        """Enqueue orders of one tenant; the futures hold their answers. What is cancelled meanwhile is not sent."""
        loop = asyncio.get_running_loop()
        items: list[_Item] = [(order, loop.create_future()) for order in orders]
        for item in items:
            self._waiting.setdefault(item[0].tenant_id, deque()).append(item)
        if items and self._task is None:
            self._task = loop.create_task(self._feed())
        return [future for _, future in items]

    async def _feed(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            items = self._next_slice(SLICE if self._is_busy() else SLICE_ALONE)
            if not items:
                continue
            give_up_s = loop.time() + GAP_S_MAX
            while self._is_under_way() and loop.time() < give_up_s:
                await asyncio.sleep(GAP_LOOK_S)
            begin_s = loop.time()
            await self._deliver(items)
            if self._is_busy():
                await asyncio.sleep((loop.time() - begin_s) * self._pause_per_work)
        self._task = None

    async def _deliver(self, items: Sequence[_Item]) -> None:
        try:
            answers = await self._send([order for order, _ in items])
        except Exception as error:  # whatever it is, it belongs to those who wait
            for _, future in items:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), answer in zip(items, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    def _next_slice(self, count_max: int) -> list[_Item]:
        """Take the next tenant's next items; whoever has more goes to the end of the line."""
        tenant_id, queue = self._waiting.popitem(last=False)
        items: list[_Item] = []
        while queue and len(items) < count_max:
            item = queue.popleft()
            if not item[1].done():
                items.append(item)
        if queue:
            self._waiting[tenant_id] = queue
        return items
