"""The short tick: every second the leader claims what is due and starts it, here or at Prefect.

One leader is enough, and two do no harm: claims are transactions. What is claimed runs in threads
of its own, so that a long report holds up no other schedule.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from engine.core.errors import StoreError
from engine.core.model.instants import MINUTE, SECOND, Instant
from engine.scheduling import rows
from engine.scheduling.carrying_out import carry_out
from engine.scheduling.handing_over import HandOver, NotHandedOver
from engine.scheduling.leading import lead, step_down
from engine.scheduling.means import Means
from engine.scheduling.native import deployment_name
from engine.scheduling.plans import Plan, plans_of
from engine.scheduling.rows import HANDED, Run
from engine.store.connection import Connection

log = logging.getLogger("antiphon.schedules")

DUTY: Final = "schedules"
LEADS_FOR: Final = 15 * SECOND
TICK_SECONDS: Final = 1.0
JOBS_AT_ONCE: Final = 2
HANDED_AT_ONCE: Final = 50
TAKEN_WITHIN: Final = 10 * MINUTE
"""How long a flow run may wait for a worker of Prefect before another is started."""
UNREACHED: Final = 10 * SECOND


class Scheduling:
    """The schedules of one process.

    Args:
        is_alone: Nobody else works on this database: no lease is needed to lead.
        is_steady: Whether the clock can be trusted; nothing begins while it cannot.
        hand_over: Starts runs at Prefect; None runs them here.
    """

    def __init__(
        self,
        means: Means,
        *,
        owner: str,
        is_alone: bool,
        is_steady: Callable[[], bool],
        hand_over: HandOver | None = None,
    ) -> None:
        self.means = means
        self._is_steady = is_steady
        self._owner = owner
        self._is_alone = is_alone
        self._hand_over = hand_over
        self._leads_until: Instant = 0
        self._asked_at: Instant = 0
        self._kept: dict[str, Plan] | None = None
        self._threads = ThreadPoolExecutor(JOBS_AT_ONCE, thread_name_prefix="schedule")
        self._running: set[Future[Any]] = set()

    def tick(self) -> list[Run]:
        """Claim what is due now and start it; what was claimed."""
        now = self.means.now()
        playbook = self.means.playbook()
        if playbook is None or not self._is_steady() or not self._leads(now):
            return []
        self._running = {it for it in self._running if not it.done()}
        free = HANDED_AT_ONCE if self._hand_over else JOBS_AT_ONCE - len(self._running)
        with self.means.database.read() as connection:
            is_due = free > 0 and rows.is_anything_due(connection, now=now)
        engine: rows.Engine = "prefect" if self._hand_over else "embedded"
        claimed: list[Run] = []
        if is_due:
            claimed = self.means.write(
                lambda it: rows.claim(it, owner=self._owner, engine=engine, now=now, limit=free)
            )
        # After the claim: what was due under the old files is not lost with them.
        plans = plans_of(playbook.workspace)
        if plans != self._kept:
            self.means.write(lambda it: rows.keep(it, plans, now=now))
            self._kept = plans
        for run in claimed:
            self._start(run)
        return claimed

    def wait(self) -> None:
        """Until what was started here has ended."""
        for it in list(self._running):
            it.exception()

    def close(self) -> None:
        """Finish what is running here and leave the duty to others."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        if self._leads_until:
            self.means.write(lambda it: step_down(it, DUTY, owner=self._owner))

    def _leads(self, now: Instant) -> bool:
        if self._is_alone:
            return True
        if now >= self._asked_at + LEADS_FOR // 3:
            self._asked_at, until = now, now + LEADS_FOR
            is_leader = self.means.write(
                lambda it: lead(it, DUTY, owner=self._owner, now=now, until=until)
            )
            self._leads_until = until if is_leader else 0
            if not is_leader:
                self._kept = None  # another may bring the table to a release we have not heard of
        return now < self._leads_until

    def _start(self, run: Run) -> None:
        log.info('the schedule "%s" begins, try %d', run.schedule, run.tries)
        hand_over = self._hand_over
        if hand_over is None:
            self._running.add(self._threads.submit(carry_out, self.means, run))
        else:
            self._running.add(self._threads.submit(self._hand, hand_over, run))

    def _hand(self, hand_over: HandOver, run: Run) -> None:
        handed, now = run._replace(owner=HANDED + self._owner), self.means.now()
        try:
            # Before the flow can ask for it: it takes only what is handed over.
            self.means.write(
                lambda it: rows.hold(it, run, until=now + TAKEN_WITHIN, owner=handed.owner)
            )
            with self.means.database.read() as connection:
                name = deployment_name(connection)
            hand_over.start(name, run)
        except (NotHandedOver, StoreError) as error:
            log.warning('the schedule "%s" is not handed over: %s', run.schedule, error)
            why = str(error)
            self.means.write(lambda it: self._put_back(it, handed, why, now=now))

    def _put_back(self, connection: Connection, run: Run, why: str, *, now: Instant) -> None:
        if now > run.fire_at + run.plan.grace:
            rows.finish(connection, run, result=f"missed: {why}", now=now)
        else:
            rows.put_back(connection, run, until=now + UNREACHED)
