"""The lookout: asks for all errands of a process at once whether there is work, and wakes those that have some.

An errand that finds nothing to do rests, for as long as it likes to. Each for itself would ask the database once or twice
a second for ever, and an idle deployment would do little else.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from storage.database import DatabaseUnavailable
from storage.due import Question

log = structlog.get_logger()

# Nobody waits longer for a notice or a question that is due; the look itself costs a thousandth of a core.
LOOK_S = 0.5
# An errand that nobody wakes looks for itself so often.
REST_S = 15.0


class Lookout:
    """Looks for ever. Knows nothing that must survive, and decides nothing: an errand that is woken in vain finds nothing."""

    def __init__(self, database_url: str) -> None:
        self._question = Question(database_url)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lookout")
        self._wakes: dict[str, Callable[[], None]] = {}

    def watch(self, errand: str, wake: Callable[[], None]) -> None:
        """Have `wake` called whenever there is work for an errand, by its name in `storage.due.Due`."""
        self._wakes[errand] = wake

    async def run(self) -> None:
        """Look twice a second."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                found = await loop.run_in_executor(self._thread, self._question.ask)
            except DatabaseUnavailable:
                continue  # each errand says so itself
            except Exception:
                log.exception("errands_not_looked_for")  # and each goes on looking for itself
                continue
            for errand, wake in self._wakes.items():
                if getattr(found, errand):
                    wake()


class Rest:
    """What an errand does between its work."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    def end(self) -> None:
        """Wake whoever rests, or who rests next."""
        self._woken.set()

    async def take(self, longest_s: float) -> None:
        """Rest until woken."""
        try:
            async with asyncio.timeout(longest_s):
                await self._woken.wait()
        except TimeoutError:
            return
        finally:
            self._woken.clear()
