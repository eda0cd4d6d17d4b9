"""One simulated world: the engine, everybody outside it, and one seeded hand that moves both.

Single-threaded in effect: at every step the scheduler picks what happens next, and at named
failpoints it may let something happen in between, or let the process die. A death drops everything
the process had in memory and rolls back what it had not committed; the next life starts from the
file. Read next: `invariants`.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from channels.base import Channel, DeliveryEvent, Provider
from engine import failpoints
from engine.core.errors import NotOwner
from engine.core.model import HOUR, MINUTE, SECOND, Instant
from engine.failpoints import Crash
from engine.feedback import take_in
from engine.prepare import Answer, prepare
from engine.store.database import Database
from engine.unsubscribe import Scope, withdraw
from tests.rig.clients import Batch, Clients
from tests.rig.process import Process
from tests.rig.provider import Double, Ledger, Manners
from tests.rig.recorder import Poisoned, Recorder, recording

START: Instant = 1_772_442_000_000_000
"""2026-03-02T09:00Z, a Monday."""
CRASHES_MAX = 6
TURNS_MAX = 600
"""A bound on every loop: an engine that makes no progress is a finding, not a hang."""
MEANWHILE = {"tick claim": 0.15, "outbox claim": 0.4, "reply unread": 0.15}
"""Failpoints outside of any write transaction, and how often others commit there."""
IN_TICK = frozenset({"tick claim", "timer claim", "lease claim", "step commit", "tick commit"})


@dataclass(frozen=True)
class Plan:
    """What a seed decides about its world before it starts."""

    is_virtual: bool
    n_people: int
    n_steps: int
    events_per_part: int
    crash_share: float
    crash_at: str
    poison: tuple[str, ...]
    tick_limits: tuple[int, ...]
    ambiguous_share: float
    has_devices: bool

    @staticmethod
    def of(seed: int) -> "Plan":
        rng = random.Random(f"plan {seed}")
        is_virtual = rng.random() < 0.4
        return Plan(
            is_virtual=is_virtual,
            n_people=rng.choice((1, 2, 4, 8)),
            n_steps=rng.randint(20, 50),
            events_per_part=rng.choice((25, 500_000)),
            crash_share=rng.choice((0.0, 0.01, 0.03)),
            crash_at=rng.choice(sorted(failpoints.NAMES)),
            poison=tuple(
                rng.choice(("raise", "kill", "settle")) for _ in range(rng.choice((0, 0, 0, 1, 2)))
            ),
            tick_limits=rng.choice(((1000,), (1, 2, 3), (1, 5, 1000))),
            ambiguous_share=rng.choice((0.05, 0.15, 0.4)),
            has_devices=rng.random() < 0.3,
        )


@dataclass(frozen=True)
class Withdrawn:
    """An acknowledged withdrawal, and the attempts there were when it was acknowledged."""

    profile_id: int
    channel: str
    topic: str
    attempts: frozenset[tuple[int, int]]


@dataclass
class World:
    """A run of one seed.

    Attributes:
        url: A migrated, empty database.
        stop_at: The instant up to which everything was played, once drained.
    """

    url: str
    seed: int
    plan: Plan = field(init=False)
    rng: random.Random = field(init=False)
    now: Instant = START
    stop_at: Instant = 0
    ledger: Ledger = field(default_factory=Ledger)
    recorder: Recorder = field(default_factory=Recorder)
    hits: Counter[str] = field(default_factory=Counter)
    withdrawals: list[Withdrawn] = field(default_factory=list)
    unsubscribed: list[DeliveryEvent] = field(default_factory=list)
    n_crashes: int = 0
    n_lives: int = 0
    release: int = 1

    def __post_init__(self) -> None:
        self.plan = Plan.of(self.seed)
        self.rng = random.Random(f"world {self.seed}")
        self.clients = Clients(random.Random(f"clients {self.seed}"), self.plan.n_people)
        self.clients.has_devices = self.plan.has_devices
        self._doubles = random.Random(f"doubles {self.seed}")
        self._reported: set[tuple[str, str]] = set()
        self._is_nested = False
        self._tick_crashes = 0
        self._n_usurped = 0
        self._is_closing = False
        self._poison = list(self.plan.poison)
        self._executor = ThreadPoolExecutor(1)
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(self._executor)
        self._process: Process | None = None

    # --- the run ----------------------------------------------------------------------------

    def run(self) -> None:
        """Play the seed to its end and drain everything; then the invariants may be asked."""
        failpoints.install(self._at)
        try:
            with recording(self.recorder):
                for _ in range(self.plan.n_steps):
                    self._living(self._step)
                self._drain()
        finally:
            failpoints.install(None)
            self._die()
            self._loop.close()
            self._executor.shutdown()

    @property
    def process(self) -> Process:
        assert self._process is not None
        return self._process

    def _living(self, act: Callable[[], Any]) -> Any:
        """Do something; if the process dies of it, start the next one. None after a death."""
        try:
            if self._process is None:
                self._start()
            return act()
        except Crash:
            self._die()
        except Poisoned:
            pass
        return None

    def _start(self) -> None:
        self.n_lives += 1
        self._process = Process(
            self.url,
            rng=self.rng,
            clock=lambda: self.now,
            providers=self._providers,
            events_per_part=self.plan.events_per_part,
            name=f"life {self.n_lives}",
        )
        self._process.start(now=self.now)
        self.release = self._process.playbook.program.release

    def _die(self) -> None:
        if self._process is not None:
            self._process.database.close()
        self._process = None
        self.recorder.staged = []
        self._is_nested = False

    def _step(self) -> None:
        self.now += self.rng.randrange(1, SECOND)
        live: list[tuple[Callable[[], Any], int]] = [
            (self._send, 30),
            (self._send_again, 10),
            (self.tick, 25),
            (self.drain_outbox, 18),
            (self._report, 10),
            (self._pass_time, 14),
            (self._restart, 2),
        ]
        if not self.plan.is_virtual:
            live += [(self._unsubscribe, 5), (self._jump, 2), (self._apply, 1)]
        actions, weights = zip(*live, strict=True)
        self.rng.choices(actions, weights)[0]()

    # --- what can happen --------------------------------------------------------------------

    def _send(self) -> None:
        poison = self._poison.pop() if self._poison and self.rng.random() < 0.3 else ""
        batches = [self.clients.a_batch(self.now, poison=poison)]
        while self.rng.random() < 0.3:
            batches.append(self.clients.a_batch(self.now))
        self._hand_in(batches)

    def _send_again(self) -> None:
        if self.clients.unanswered:
            n = self.rng.randint(1, 2)
            self._hand_in([self.rng.choice(self.clients.unanswered) for _ in range(n)])

    def _hand_in(self, batches: list[Batch]) -> None:
        process = self.process
        asked: list[tuple[Batch, Future[list[Answer]]]] = []
        try:
            for batch in batches:
                batch.n_tries += 1
                prepared = prepare(
                    batch.payload, kind="batch", terms=process.terms, received_at=self.now
                )
                asked.append((batch, process.commits.submit(prepared)))
            process.commits._take_turn()
        finally:
            # Whoever was answered before the process died has been told.
            for batch, future in asked:
                if future.done() and future.exception() is None:
                    self.clients.settle(batch, [it.status for it in future.result()])

    def tick(self) -> bool:
        """One batch; whether there was something to do."""
        self.recorder.staged = []
        horizon = min(self.now, self.stop_at) if self.stop_at else self.now
        try:
            done = self.process.ticker.tick(
                self.process.playbook,
                floor=0 if self.plan.is_virtual else self.now,
                horizon=horizon,
                limit=self.rng.choice(self.plan.tick_limits),
            )
        except NotOwner:
            # Usurped: this one stops, and the other has already taken its place.
            return True
        return not done.is_idle

    def drain_outbox(self) -> bool:
        """One pass over one or all channels; whether there was something to do."""
        is_busy = False
        for channel in self.rng.sample(("email", "sms"), k=self.rng.randint(1, 2)):
            is_busy |= self._drain_channel(channel, limit=self.rng.choice((1, 3, 200)))
        return is_busy

    def _drain_channel(self, channel: str, *, limit: int) -> bool:
        done = self._loop.run_until_complete(
            self.process.outbox.drain(self.process.playbook, channel, now=self.now, limit=limit)
        )
        return not done.is_idle

    def _report(self) -> None:
        """A provider calls back: some of what it has to say, shuffled, with repeats."""
        names = [name for name, reports in self.ledger.reports.items() if reports]
        if names:
            name = self.rng.choice(names)
            known = self.ledger.reports[name]
            reports = self.rng.choices(known, k=self.rng.randint(1, 2 * len(known)))
            self._take_in(name, reports)

    def _take_in(self, provider: str, reports: list[DeliveryEvent]) -> None:
        self.process.write(
            lambda connection: take_in(
                connection, reports, provider=provider, log=self.process.log, now=self.now
            )
        )
        self._reported.update((provider, it.event_id) for it in reports)

    def _unsubscribe(self) -> None:
        """Somebody withdraws; often one for whom a message is just on its way.

        Most use the link of a message they got; a queued one stands for any other way to say no.
        """
        with self.process.database.read() as connection:
            rows = connection.execute(
                "SELECT id, profile_id IN (SELECT profile_id FROM message WHERE status = 'queued' "
                "AND topic = 'offers' AND due_at <= ?) FROM message "
                "WHERE status IN ('sent', 'queued') ORDER BY id",
                (self.now,),
            )
        waited_for = [row[0] for row in rows if row[1]] if self.rng.random() < 0.7 else []
        if not rows:
            return
        message = self.rng.choice(waited_for or [row[0] for row in rows])
        scope: Scope = self.rng.choice(("topic", "topic", "all"))
        done = self.process.write(
            lambda connection: withdraw(
                connection,
                message=message,
                scope=scope,
                log=self.process.log,
                now=self.now,
                proof="rig",
            )
        )
        assert done is not None
        if not done.is_repeated:
            self.unsubscribed.append(
                DeliveryEvent("unsubscribed", message, f"{message}:{done.topic}", self.now)
            )
        self._acknowledge(message, done.channel, done.topic)

    def _acknowledge(self, message: int, channel: str, topic: str) -> None:
        with self.process.database.read() as connection:
            ((profile_id,),) = connection.execute(
                "SELECT coalesce(p.merged_into, p.id) FROM message m "
                "JOIN profile p ON p.id = m.profile_id WHERE m.id = ?",
                (message,),
            )
            attempts = attempts_of(connection, profile_id, channel, topic)
        self.withdrawals.append(Withdrawn(profile_id, channel, topic, attempts))

    def _pass_time(self) -> None:
        self.now += self.rng.choice((SECOND, MINUTE, 10 * MINUTE, 31 * MINUTE, 2 * HOUR, 7 * HOUR))

    def _jump(self) -> None:
        self.now += self.rng.choice((-2 * MINUTE, -20 * SECOND, 3 * HOUR))

    def _restart(self) -> None:
        """A clean restart, or a night of them in which nothing happened to play."""
        for _ in range(self.rng.choice((1, 1, 7))):
            self._die()
            self._start()
            self.process.ticker.claim(now=self.now)

    def _apply(self) -> None:
        if self.release < 3:
            self.process.apply(self.release + 1, now=self.now)
            self.release += 1

    def _usurp(self) -> None:
        """Another engine takes the partitions while this one is at work."""
        self._n_usurped += 1
        other = self.process.a_ticker(f"usurper {self._n_usurped}")
        other.claim(now=self.now)
        self.process.ticker = other
        if self.rng.random() < 0.5:
            staged, self.recorder.staged = self.recorder.staged, []
            self.tick()
            self.recorder.staged = staged

    # --- failpoints -------------------------------------------------------------------------

    def _at(self, name: str) -> None:
        self.hits[name] += 1
        if name == "tick commit":
            self.recorder.commit()
            self._tick_crashes = 0
        if self._should_die(name):
            self.n_crashes += 1
            self._tick_crashes += name in IN_TICK
            raise Crash
        share = MEANWHILE.get(name, 0.0)
        if share and not self._is_nested and self.rng.random() < share:
            self._is_nested = True
            try:
                self._meanwhile(name)
            finally:
                self._is_nested = False

    def _should_die(self, name: str) -> bool:
        if self.n_crashes >= CRASHES_MAX or not self.plan.crash_share:
            return False
        is_careful = self._process is not None and self._process.ticker.is_careful
        if is_careful or (name in IN_TICK and self._tick_crashes):
            return False  # an unlucky item would be parked, as it should be
        share = 0.25 if name == self.plan.crash_at else self.plan.crash_share
        return self.rng.random() < share

    def _meanwhile(self, name: str) -> None:
        actions: list[Callable[[], Any]] = [self._report]
        if not self._is_closing:
            actions.append(self._send)
        if not self.plan.is_virtual:
            actions += [self._unsubscribe] * (6 if name == "outbox claim" else 2)
            if self.release < 3:
                actions.append(self._apply)
        if name == "tick claim" and self._n_usurped < 2:
            actions.append(self._usurp)
        self.rng.choice(actions)()

    # --- the end ----------------------------------------------------------------------------

    def _drain(self) -> None:
        """Let everything that is under way end: first with time passing, then the outbox alone."""
        self.now = max(self.now, START) + HOUR
        for hours in (1, 5, 13):
            self._settle_down()
            self.now += hours * HOUR
        self._is_closing = True
        self._settle_down()
        self.stop_at = self.now
        self.now += 1
        self._quiet(self._answer_everyone)
        for _ in range(TURNS_MAX):
            self._quiet(self._drain_all)
            due = self._living(self._next_message)
            if due is not None:
                self.now = max(self.now, due, self._reopens_at()) + SECOND
            elif self._process is not None:
                break
        self._quiet(self._say_everything)
        self._quiet(self._say_everything)
        self._quiet(self.tick)

    def _settle_down(self) -> None:
        self._quiet(self._answer_everyone)
        for _ in range(2):
            self._quiet(self.tick)
            self._quiet(self._drain_all)
        self._quiet(self._say_everything)
        self._quiet(self.tick)

    def _quiet(self, act: Callable[[], Any]) -> None:
        """Until it has found nothing to do."""
        for _ in range(TURNS_MAX):
            is_busy = self._living(act)
            self.now += 1
            if is_busy is False:
                return
        raise AssertionError(f"no end to {act.__name__}: the engine makes no progress")

    def _drain_all(self) -> bool:
        email = self._drain_channel("email", limit=self.rng.choice((3, 200)))
        return self._drain_channel("sms", limit=200) or email

    def _answer_everyone(self) -> bool:
        if self.clients.unanswered:
            self._hand_in([self.clients.unanswered[0]])
            return True
        return False

    def _say_everything(self) -> bool:
        """Providers repeat all they ever reported, in any order, until all has been taken in."""
        for name, known in self.ledger.reports.items():
            reports = self.rng.sample(known, k=len(known))
            self._take_in(name, reports)
        return False

    def _reopens_at(self) -> Instant:
        """When the first channel that rests may be called again; now if none does."""
        if self._process is None:
            return self.now
        return self._process.outbox.paces.opens_at(now=self.now)

    def _next_message(self) -> Instant | None:
        with self.process.database.read() as connection:
            rows = connection.execute(
                "SELECT min(due_at) FROM message WHERE status IN ('queued', 'attempting')"
            )
        return None if rows[0][0] is None else int(rows[0][0])

    def _providers(self, database: Database) -> dict[str, Provider]:
        def attempt_of(message: int) -> int:
            with database.read() as connection:
                rows = connection.execute(
                    "SELECT max(number) FROM attempt WHERE message_id = ? AND outcome = ''",
                    (message,),
                )
            return int(rows[0][0] or 0)

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

        return {"email": a_double("email", 0), "sms": a_double("sms", 24)}


def attempts_of(
    connection: Any, profile_id: int, channel: str, topic: str
) -> frozenset[tuple[int, int]]:
    """The attempts at this person on a channel, for a topic or ("*") all marketing."""
    rows = connection.execute(
        "SELECT a.message_id, a.number FROM attempt a JOIN message m ON m.id = a.message_id "
        "JOIN profile p ON p.id = m.profile_id "
        "WHERE coalesce(p.merged_into, p.id) = ? AND m.channel = ? AND m.topic <> 'orders' "
        "AND (m.topic = ? OR ? = '*')",
        (profile_id, channel, topic, topic),
    )
    return frozenset((row[0], row[1]) for row in rows)
