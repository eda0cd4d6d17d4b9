"""From futures of the writing thread to the event loop, in one wake-up a group.

`asyncio.wrap_future` wakes the loop once for every request of a group, and a request that is
cancelled (a client gone, a server stopping) would cancel the writer's future under its hands.
"""

import asyncio
from collections import deque
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Bridge:
    """One per event loop; made inside it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()
        self._is_woken = False

    async def result(self, future: Future[T]) -> T:
        """What the future gives or raises, without blocking the loop."""
        waiter: asyncio.Future[T] = self._loop.create_future()

        def arrive(done: Future[T]) -> None:
            # In the writing thread. Append before looking: whoever clears the flag drains after.
            self._arrived.append((waiter, done))
            if not self._is_woken:
                self._is_woken = True
                self._loop.call_soon_threadsafe(self._drain)

        future.add_done_callback(arrive)
        return await waiter

    def _drain(self) -> None:
        self._is_woken = False
        while self._arrived:
            waiter, done = self._arrived.popleft()
            if waiter.done():
                continue
            error = done.exception()
            if error is not None:
                waiter.set_exception(error)
            else:
                waiter.set_result(done.result())
