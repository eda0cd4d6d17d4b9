"""One simulated world: the engine, everybody outside it, and one seeded hand that moves both.

Single-threaded in effect: at every step the scheduler picks what happens next, and at named
failpoints it may let something happen in between, or let the process die. A death drops everything
the process had in memory and rolls back what it had not committed; the next life starts from the
file. Read next: `acts`, what can happen; `ending`; `invariants`.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from channels.base import Channel, Provider
from channels.delivery import DeliveryEvent
from engine import failpoints
from engine.core.model.instants import SECOND, Instant
from engine.failpoints import Crash
from engine.store.database import Database
from tests.rig import acts
from tests.rig.acts import Withdrawn
from tests.rig.clients import Clients
from tests.rig.ending import drain
from tests.rig.operated import Held, OperatedProcess
from tests.rig.plan import START, Plan
from tests.rig.provider import Double, Ledger, Manners
from tests.rig.recorder import Poisoned, Recorder, recording

CRASHES_MAX = 6
MEANWHILE = {"tick claim": 0.15, "outbox claim": 0.4, "reply unread": 0.15}
"""Failpoints outside of any write transaction, and how often others commit there."""
IN_TICK = frozenset({"tick claim", "timer claim", "lease claim", "step commit", "tick commit"})


@dataclass
class World:
    """A run of one seed.

    Attributes:
        url: A migrated, empty database.
        plan: The seed's own, unless a test gives another.
        stop_at: The instant up to which everything was played, once drained.
        orders: What operators held and let go, as acknowledged.
        triggers: Every order that the API was to start a journey for: (whose, answers given).
        n_crashes_at: Deaths by failpoint.
        was_careful: Whether items were ever tried one by one, since a batch had failed too often.
    """

    url: str
    seed: int
    plan: Plan
    rng: random.Random = field(init=False)
    now: Instant = START
    stop_at: Instant = 0
    ledger: Ledger = field(default_factory=Ledger)
    recorder: Recorder = field(default_factory=Recorder)
    hits: Counter[str] = field(default_factory=Counter)
    withdrawals: list[Withdrawn] = field(default_factory=list)
    unsubscribed: list[DeliveryEvent] = field(default_factory=list)
    orders: list[Held] = field(default_factory=list)
    triggers: dict[str, tuple[str, set[str]]] = field(default_factory=dict)
    n_crashes_at: Counter[str] = field(default_factory=Counter)
    n_lives: int = 0
    n_usurped: int = 0
    n_published: int = 0
    is_closing: bool = False
    was_careful: bool = False

    def __post_init__(self) -> None:
        self.rng = random.Random(f"world {self.seed}")
        self.clients = Clients(random.Random(f"clients {self.seed}"), self.plan.n_people)
        self.clients.has_devices = self.plan.has_devices
        self.poison = list(self.plan.poison)
        self._doubles = random.Random(f"doubles {self.seed}")
        self._is_nested = False
        self._tick_crashes = 0
        self._executor = ThreadPoolExecutor(1)
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(self._executor)
        self._process: OperatedProcess | None = None

    @property
    def n_crashes(self) -> int:
        return self.n_crashes_at.total()

    # --- the run ----------------------------------------------------------------------------

    def run(self) -> None:
        """Play the seed to its end and drain everything; then the invariants may be asked."""
        failpoints.install(self._at)
        try:
            with recording(self.recorder):
                for _ in range(self.plan.n_steps):
                    self.living(self._step)
                drain(self)
        finally:
            failpoints.install(None)
            self.die()
            self.loop.close()
            self._executor.shutdown()

    @property
    def process(self) -> OperatedProcess:
        assert self._process is not None
        return self._process

    @property
    def is_alive(self) -> bool:
        return self._process is not None

    def living(self, act: Callable[[], Any]) -> Any:
        """Do something; if the process dies of it, start the next one. None after a death."""
        try:
            if self._process is None:
                self.start()
            return act()
        except Crash:
            self.die()
        except Poisoned:
            pass
        return None

    def start(self) -> None:
        """The next life of the process."""
        self.n_lives += 1
        self._process = OperatedProcess(
            self.url,
            rng=self.rng,
            clock=lambda: self.now,
            providers=self._providers,
            events_per_part=self.plan.events_per_part,
            name=f"life {self.n_lives}",
        )
        self._process.start(now=self.now)

    def die(self) -> None:
        """Whatever was in memory is gone."""
        if self._process is not None:
            self._process.database.close()
        self._process = None
        self.recorder.staged = []
        self._is_nested = False

    def _step(self) -> None:
        self.now += self.rng.randrange(1, SECOND)
        live: list[tuple[Callable[[World], Any], int]] = [
            (acts.send, 30),
            (acts.send_again, 10),
            (acts.trigger, 6),
            (acts.tick, 25),
            (acts.drain_outbox, 18),
            (acts.report, 10),
            (acts.pass_time, 14),
            (acts.restart, 2),
        ]
        if not self.plan.is_virtual:
            live += [
                (acts.unsubscribe, 5),
                (acts.jump, 2),
                (acts.publish, 2),
                (acts.operate, 4),
            ]
        actions, weights = zip(*live, strict=True)
        self.rng.choices(actions, weights)[0](self)

    # --- failpoints -------------------------------------------------------------------------

    def _at(self, name: str) -> None:
        self.hits[name] += 1
        if name == "tick commit":
            self.recorder.commit()
            self._tick_crashes = 0
        if self._should_die(name):
            self.n_crashes_at[name] += 1
            self._tick_crashes += name in IN_TICK
            raise Crash
        share = MEANWHILE.get(name, 0.0)
        if share and not self._is_nested and self.rng.random() < share:
            self._is_nested = True
            self.now += 1  # whoever comes in between is later than what was under way
            try:
                self._meanwhile(name)
            finally:
                self._is_nested = False

    def _should_die(self, name: str) -> bool:
        if self.plan.crash_on is not None:
            return (name, self.hits[name]) == self.plan.crash_on
        if self.n_crashes >= CRASHES_MAX or not self.plan.crash_share:
            return False
        is_careful = self._process is not None and self._process.ticker.is_careful
        if is_careful or (name in IN_TICK and self._tick_crashes):
            return False  # an unlucky item would be parked, as it should be
        share = 0.25 if name == self.plan.crash_at else self.plan.crash_share
        return self.rng.random() < share

    def _meanwhile(self, name: str) -> None:
        actions: list[Callable[[World], Any]] = [acts.report]
        if not self.plan.is_virtual:
            actions += [acts.unsubscribe] * (6 if name == "outbox claim" else 2)
        if not self.is_closing:
            actions.append(acts.send)
            if not self.plan.is_virtual:
                actions += [acts.publish, acts.operate]
        if name == "tick claim":
            actions.append(acts.drain_outbox)
            if self.n_usurped < 2:
                actions.append(acts.usurp)
        self.rng.choice(actions)(self)

    # --- the others -------------------------------------------------------------------------

    def _providers(self, database: Database) -> dict[str, Provider]:
        def looked_up(message: int) -> int:
            with database.read() as connection:
                rows = connection.execute(
                    "SELECT max(number) FROM attempt WHERE message_id = ? AND outcome = ''",
                    (message,),
                )
            return int(rows[0][0] or 0)

        def attempt_of(message: int) -> int:
            # In a thread of its own: a batch may be reading in this one, and sees no later commit.
            return self._executor.submit(looked_up, message).result()

        def a_double(channel: Channel, hours: int) -> Double:
            return Double(
                channel,
                ledger=self.ledger,
                manners=Manners(
                    ambiguous=self.plan.ambiguous_share, hard_bounces=not self.plan.is_virtual
                ),
                rng=self._doubles,
                now=lambda: self.now,
                attempt_of=attempt_of,
                idempotency_hours=hours,
            )

        return {
            "email": a_double("email", 0),
            "sms": a_double("sms", 24),
            "webhook": a_double("webhook", 24),
        }
