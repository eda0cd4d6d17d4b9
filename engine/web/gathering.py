"""Small work that many requests want at once: what arrives while a group is under way is done
together with the next, so that a hundred requests pay for one fsync, or for one thread's turn.

As `GroupCommit` does for events. Nobody is answered before their own part is done.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from engine.core.errors import CommitUnknown, DiskFull, Overloaded

Item = TypeVar("Item")
Result = TypeVar("Result")

GROUP_MAX: Final = 200
WAITING_MAX: Final = 5_000
FAILURES_MAX: Final = 3
"""Of a group that cannot be committed each is tried alone; after so many failures in a row it is
the database that fails, and not one of them."""


class Gathering(Generic[Item, Result]):
    """One per event loop and kind of work.

    Args:
        work: Gives the result of each item in order; it may raise for all of them. Where it
            writes, all is durable when it returns, or nothing is.
        group_max: So many are done together at most.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        group_max: int = GROUP_MAX,
    ) -> None:
        self._work = work
        self._group_max = group_max
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def add(self, item: Item) -> Result:
        """Wait until the item is done.

        Raises:
            Overloaded: If too many wait.
            StoreError: Nothing of it was committed (`CommitUnknown`: nobody can tell).
        """
        if len(self._waiting) >= WAITING_MAX:
            raise Overloaded(f"{WAITING_MAX:,} requests wait to be written")
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await done

    async def _run(self) -> None:
        while self._waiting:
            n = min(self._group_max, len(self._waiting))
            await self._take([self._waiting.popleft() for _ in range(n)])

    async def _take(self, group: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        found = await self._try([item for item, _ in group])
        is_everyones = len(group) == 1 or isinstance(found, CommitUnknown | Overloaded)
        if not isinstance(found, Exception):
            for (_, done), result in zip(group, found, strict=True):
                _settle(done, result)
        elif is_everyones:
            for _, done in group:
                _settle(done, found)
        else:
            await self._take_each(group, found)

    async def _take_each(
        self, group: Sequence[tuple[Item, asyncio.Future[Result]]], error: Exception
    ) -> None:
        """Each alone, as long as that may help: on a full disk there is room for some."""
        n_failed = 0
        for item, done in group:
            if n_failed < FAILURES_MAX or isinstance(error, DiskFull):
                found = await self._try([item])
                if not isinstance(found, Exception):
                    n_failed = 0
                    _settle(done, found[0])
                    continue
                n_failed, error = n_failed + 1, found
            _settle(done, error)

    async def _try(self, items: Sequence[Item]) -> Sequence[Result] | Exception:
        try:
            return await self._work(items)
        except Exception as error:
            return error


def _settle(done: asyncio.Future[Result], found: Result | Exception) -> None:
    if done.done():
        return  # whoever waited has gone away
    if isinstance(found, Exception):
        done.set_exception(found)
    else:
        done.set_result(found)
