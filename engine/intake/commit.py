"""The one writing thread: takes whatever is queued, commits once, answers everyone.

It never lingers: while a group commits the next one forms, so groups grow under load and a lone
request waits for nobody. Other work on the database (`run`) takes turns with ingest on the same
thread, one transaction each. Nothing is answered before it is durable.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from msgspec import Struct

from engine.core.errors import CommitUnknown, Overloaded, StoreError
from engine.core.model.instants import Instant
from engine.failpoints import hit
from engine.intake.ingest import Ingest
from engine.intake.prepare import Answer, Prepared
from engine.store.connection import Connection
from engine.store.database import Database

T = TypeVar("T")

GROUP_ROWS_MAX: Final = 5_000
QUEUE_ROWS_MAX: Final = 50_000
QUEUE_TASKS_MAX: Final = 10_000


class _Request(Struct):
    prepared: Prepared
    future: Future[list[Answer]]


class _Task(Struct):
    work: Callable[[Connection], Any]
    future: Future[Any]


class GroupCommit:
    """Owns the writing thread of a process.

    Args:
        clock: Gives the instant of each commit.
        group_rows_max: A group takes no further request once it has that many rows.
        queue_rows_max: More rows waiting than this are refused (`Overloaded`).
    """

    def __init__(
        self,
        database: Database,
        ingest: Ingest,
        *,
        clock: Callable[[], Instant],
        group_rows_max: int = GROUP_ROWS_MAX,
        queue_rows_max: int = QUEUE_ROWS_MAX,
    ) -> None:
        self._database = database
        self._ingest = ingest
        self._clock = clock
        self._group_rows_max = group_rows_max
        self._queue_rows_max = queue_rows_max
        self._requests: deque[_Request] = deque()
        self._tasks: deque[_Task] = deque()
        self._rows_waiting = 0
        self._is_stopping = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(
            target=self._write_until_stopped, name="writer", daemon=True
        )

    def start(self) -> "GroupCommit":
        self._thread.start()
        return self

    def waiting(self) -> int:
        """Rows that are queued and not yet being committed."""
        return self._rows_waiting

    def submit(self, prepared: Prepared) -> Future[list[Answer]]:
        """Queue a request; its answers come when it is durable.

        The future raises `CommitUnknown` where nobody can tell, another `StoreError` where
        nothing was committed.

        Raises:
            Overloaded: If too much is waiting, or the process is stopping.
        """
        future: Future[list[Answer]] = Future()
        n_rows = len(prepared.facts)
        if not n_rows:
            future.set_result(prepared.answers)
            return future
        with self._wake:
            if self._is_stopping:
                raise Overloaded("the engine is stopping; send again in a moment")
            if self._rows_waiting and self._rows_waiting + n_rows > self._queue_rows_max:
                raise Overloaded(f"{self._rows_waiting:,} events are waiting to be written")
            self._requests.append(_Request(prepared, future))
            self._rows_waiting += n_rows
            self._wake.notify()
        return future

    def run(self, work: Callable[[Connection], T]) -> Future[T]:
        """Queue other work for a transaction of its own; its result comes once committed.

        Raises:
            Overloaded: If too much is waiting, or the process is stopping.
        """
        assert threading.current_thread() is not self._thread, "the writer would wait for itself"
        future: Future[T] = Future()
        with self._wake:
            if self._is_stopping or len(self._tasks) >= QUEUE_TASKS_MAX:
                raise Overloaded("the engine is stopping or too busy; send again in a moment")
            self._tasks.append(_Task(work, future))
            self._wake.notify()
        return future

    def stop(self) -> None:
        """Refuse new work, finish what is queued, and end the thread."""
        with self._wake:
            self._is_stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _write_until_stopped(self) -> None:
        try:
            while self._take_turn():
                pass
        except BaseException as error:
            self._die(error)
            raise

    def _take_turn(self) -> bool:
        """One group and one task, as far as there are any; False when all is done."""
        with self._wake:
            while not (self._requests or self._tasks or self._is_stopping):
                self._wake.wait()
            group = self._next_group()
            task = self._tasks.popleft() if self._tasks else None
        if group:
            self._commit(group)
        if task is not None:
            self._perform(task)
        return bool(group or task is not None or not self._is_stopping or self._requests)

    def _next_group(self) -> list[_Request]:
        group: list[_Request] = []
        n_rows = 0
        while self._requests and n_rows < self._group_rows_max:
            request = self._requests.popleft()
            self._rows_waiting -= len(request.prepared.facts)
            # Who hung up before their turn has no answer to wait for; from here on nobody can.
            if request.future.set_running_or_notify_cancel():
                n_rows += len(request.prepared.facts)
                group.append(request)
        return group

    def _commit(self, group: list[_Request]) -> None:
        try:
            with self._database.write() as connection:
                answers = self._ingest.commit(
                    connection, [request.prepared for request in group], now=self._clock()
                )
        except Exception as error:
            self._ingest.forget()
            if len(group) > 1 and not isinstance(error, CommitUnknown):
                # One request that the database cannot take must not fail the others.
                for request in group:
                    self._commit([request])
                return
            for request in group:
                request.future.set_exception(_as_store_error(error))
            return
        except BaseException:
            for request in group:
                request.future.set_exception(CommitUnknown())
            raise
        hit("ingest commit")
        for request, given in zip(group, answers, strict=True):
            hit("reply")
            request.future.set_result(given)

    def _perform(self, task: _Task) -> None:
        if not task.future.set_running_or_notify_cancel():
            return
        try:
            with self._database.write() as connection:
                result = task.work(connection)
        except Exception as error:
            task.future.set_exception(error)
        except BaseException as error:
            task.future.set_exception(error)
            raise
        else:
            task.future.set_result(result)

    def _die(self, error: BaseException) -> None:
        """The thread ends by force: nobody may wait for it for ever."""
        with self._wake:
            self._is_stopping = True
            waiting: list[_Request | _Task] = [*self._requests, *self._tasks]
            self._requests.clear()
            self._tasks.clear()
            self._rows_waiting = 0
        for each in waiting:
            if each.future.set_running_or_notify_cancel():
                each.future.set_exception(StoreError(f"the writing thread ended: {error!r}"))


def _as_store_error(error: Exception) -> StoreError:
    if isinstance(error, StoreError):
        return error
    answer = StoreError(f"the events could not be written: {error!r}")
    answer.__cause__ = error
    return answer
