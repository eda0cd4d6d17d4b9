"""Workers as threads on one PostgreSQL database, who sleep through their leases and die.

Every worker has connections of its own, as a process would. What they do to each other is judged by
rows that are written in the very transactions they judge: who moved which partition under which
epoch, and which event of whom was played. So a commit that should have been refused leaves a trace.
"""

import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

import engine.ticking.tick
from engine import failpoints
from engine.core.clocktime import iso
from engine.core.errors import StoreError
from engine.core.model.instants import DAY, SECOND, Instant
from engine.core.model.people import Event, Person
from engine.core.play import play
from engine.failpoints import Crash
from engine.intake.declared import declared
from engine.intake.ingest import Ingest
from engine.intake.prepare import Terms, prepare
from engine.release.playbook import Playbook
from engine.store import claims
from engine.store.connection import Connection, Row
from engine.store.database import Database
from engine.store.events import EventLog
from engine.ticking.tick import Ticker
from engine.vault import Vault
from tests.rig.build import a_playbook
from tests.rig.process import SECRET
from tests.rig.recorder import replaced

START: Instant = 1_772_442_000_000_000
SPEED = 400
"""Virtual seconds a real one: a wait of half an hour is over in less than five."""
POINTS = ("tick claim", "timer claim", "lease claim", "step commit", "tick commit")
HAPPENS_SHARE = 0.1
"""How often a worker sleeps or dies at one of these points."""
SETTLE_SECONDS_MAX = 120.0
_AUDIT = (
    "CREATE TABLE audit_move (n bigserial PRIMARY KEY, partition bigint, epoch bigint)",
    "CREATE TABLE audit_play (n bigserial PRIMARY KEY, profile_id bigint, seq bigint)",
)


EVENTS_MIN = 600
"""However slow the machine: among so many there are merges."""


@dataclass
class Crew:
    """Some workers, what is sent to them meanwhile, and what they did.

    Attributes:
        lease: Real seconds.
        n_pauses: Sleeps longer than the lease, spread over the workers, before it may end.
        kill_share: Of the failpoints at which something happens, those that kill.
    """

    url: str
    seed: int
    n_workers: int = 8
    n_people: int = 60
    n_pauses: int = 40
    lease: float = 0.4
    kill_share: float = 0.0
    tick_limit: int = 40
    events_max: int = 20_000
    n_paused: int = 0
    n_killed: int = 0
    n_refused: int = 0
    n_sent: int = 0
    errors: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._local = threading.local()
        self._database = Database(self.url)
        with self._database.write() as connection:
            for statement in _AUDIT:
                connection.execute(statement)

    def clock(self) -> Instant:
        return START + int((time.monotonic() - self._began) * SPEED * SECOND)

    # --- the run ----------------------------------------------------------------------------

    def run(self) -> None:
        """Send and work until there were enough pauses and everything is played."""
        honest_advance, honest_play = claims.advance, play
        failpoints.install(self._at)
        try:
            with replaced(
                (claims, "advance", self._audited(honest_advance)),
                (engine.ticking.tick, "play", self._noted(honest_play)),
            ):
                threads = [
                    threading.Thread(target=self._guarded, args=(act,), daemon=True)
                    for act in (self._feed, *(self._worker(n) for n in range(self.n_workers)))
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
        finally:
            failpoints.install(None)
        if self.errors:
            raise self.errors[0]

    def close(self) -> None:
        self._database.close()

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as error:
            self.errors.append(error)
            self._is_over.set()

    def _feed(self) -> None:
        """Send until there were enough pauses, then wait until all of it is played."""
        rng = random.Random(f"feed {self.seed}")
        vault = Vault({1: SECRET}, entropy=rng.randbytes)
        log = EventLog()
        ingest = Ingest(vault=vault, log=log)
        terms = Terms(
            declared=declared(a_playbook(1).workspace), entropy=rng.randbytes, trigger_age_max=DAY
        )
        while not self._is_over.is_set() and not self._is_enough():
            now = self.clock()
            batch = [self._an_item(rng, now) for _ in range(rng.randint(1, 20))]
            body = msgspec.json.encode({"batch": batch})
            prepared = prepare(body, kind="batch", terms=terms, received_at=now)
            with self._database.write() as connection:
                ingest.commit(connection, [prepared], now=self.clock())
            time.sleep(rng.random() * 0.08)
        with self._database.read() as connection:
            last = log.last_seq(connection)
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while not self._is_over.is_set():
            assert time.monotonic() < deadline, f"not all was played: {self._standing()}"
            if self.rows("SELECT min(position) FROM partition")[0][0] >= last:
                self._is_over.set()
            time.sleep(0.02)

    def _is_enough(self) -> bool:
        has_troubles = self.n_paused + self.n_killed >= self.n_pauses
        return self.n_sent >= (EVENTS_MIN if has_troubles else self.events_max)

    def _an_item(self, rng: random.Random, now: Instant) -> dict[str, Any]:
        self.n_sent += 1
        person = rng.randrange(self.n_people)
        item: dict[str, Any] = {
            "messageId": f"m{self.n_sent}",
            "type": "track",
            "timestamp": iso(now),
            "event": rng.choice(("Product Viewed", "Product Added", "Order Completed")),
            "properties": {"cart": f"c{rng.randrange(3)}", "order": f"o{self.n_sent}"},
        }
        roll = rng.random()
        if roll < 0.35:  # a visitor, of whom each later turns out to be somebody
            item["anonymousId"] = f"device-{person}-{rng.randrange(4)}"
        elif roll < 0.4:
            item |= {
                "type": "identify",
                "anonymousId": f"device-{person}-{rng.randrange(4)}",
                "userId": f"user-{person}",
            }
        else:
            item["userId"] = f"user-{person}"
        return item

    def _worker(self, number: int) -> Callable[[], None]:
        def work() -> None:
            rng = random.Random(f"worker {number} of {self.seed}")
            life = 0
            while not self._is_over.is_set():
                life += 1
                self._live(f"worker-{number}-{life}", rng)

        return work

    def _live(self, owner: str, rng: random.Random) -> None:
        """One life, to its death or to the end of all."""
        self._local.rng, self._local.staged = rng, []
        database = Database(self.url)
        ticker = Ticker(
            database,
            vault=Vault({1: SECRET}, entropy=rng.randbytes),
            log=EventLog(),
            owner=owner,
            lease=int(self.lease * SPEED * SECOND),
        )
        playbook: Playbook = a_playbook(1)
        try:
            while not self._is_over.is_set():
                now = self.clock()
                try:
                    done = ticker.tick(playbook, floor=now, horizon=now, limit=self.tick_limit)
                except StoreError:
                    time.sleep(0.01)  # as the running engine: logged, waited out, tried again
                    continue
                if done.is_idle:
                    time.sleep(0.005)
        except Crash:
            pass
        finally:
            self._local.rng = None
            with self._lock:
                self.n_refused += ticker.n_refused
            database.close()

    # --- what happens to them, and what is written down --------------------------------------

    def _at(self, name: str) -> None:
        rng: random.Random | None = getattr(self._local, "rng", None)
        if rng is None:
            return
        if name == "tick claim":
            self._local.staged = []
        if name not in POINTS or rng.random() > HAPPENS_SHARE or self._is_over.is_set():
            return
        if rng.random() < self.kill_share:
            with self._lock:
                self.n_killed += 1
            raise Crash
        with self._lock:
            if self.n_paused + self.n_killed >= self.n_pauses:
                return
            self.n_paused += 1
        time.sleep(self.lease * (1.1 + rng.random()))

    def _noted(self, honest: Any) -> Any:
        def play(person: Person, events: Sequence[Event], **given: Any) -> Any:
            self._local.staged += [(int(person.profile.id), each.seq) for each in events]
            return honest(person, events, **given)

        return play

    def _audited(self, honest: Any) -> Any:
        def advance(connection: Connection, lease: claims.Lease, **given: Any) -> None:
            honest(connection, lease, **given)
            numbers = given.get("numbers") or lease.held
            connection.executemany(
                "INSERT INTO audit_move (partition, epoch) VALUES (?, ?)",
                [(number, lease.epoch) for number in sorted(numbers)],
            )
            connection.executemany(
                "INSERT INTO audit_play (profile_id, seq) VALUES (?, ?)", self._local.staged
            )

        return advance

    # --- what came of it ----------------------------------------------------------------------

    def rows(self, sql: str) -> list[Row]:
        with self._database.read() as connection:
            return connection.execute(sql)

    def _standing(self) -> list[Row]:
        return self.rows("SELECT number, owner, position FROM partition ORDER BY number")

    def stale_commits(self) -> int:
        """Commits for a partition by an owner whose epoch was over when they came."""
        newest: dict[int, int] = {}
        n_stale = 0
        for partition, epoch in self.rows("SELECT partition, epoch FROM audit_move ORDER BY n"):
            n_stale += epoch < newest.get(partition, 0)
            newest[partition] = max(epoch, newest.get(partition, 0))
        return n_stale

    def inversions(self) -> int:
        """Events of one profile that were played after a later one of it."""
        last: dict[int, int] = defaultdict(int)
        n_wrong = 0
        for profile_id, seq in self._played():
            n_wrong += seq < last[profile_id]
            last[profile_id] = max(seq, last[profile_id])
        return n_wrong

    def merge_inversions(self) -> int:
        """Events of a merge's loser played after what its winner did after the merge."""
        n_wrong = 0
        played = [(n, profile, seq) for n, (profile, seq) in enumerate(self._played())]
        winners: dict[int, int] = dict(self.rows("SELECT id, merged_into FROM profile"))
        for seq, properties in self.rows("SELECT seq, properties FROM event WHERE flags = 4"):
            # The row itself has gone to whoever the winner became in the end.
            loser = msgspec.json.decode(properties)["loser"]
            winner = winners[loser]
            before = max((n for n, it, _ in played if it == loser), default=-1)
            after = min((n for n, it, at in played if it == winner and at > seq), default=1 << 60)
            n_wrong += before > after
        return n_wrong

    def not_played_once(self) -> dict[int, int]:
        """How often each event was played that was not played exactly once."""
        counts = Counter(seq for _, seq in self._played())
        for (seq,) in self.rows("SELECT seq FROM event WHERE flags NOT IN (2, 4)"):
            counts.setdefault(seq, 0)
        return {seq: n for seq, n in counts.items() if n != 1}

    def _played(self) -> list[Row]:
        return self.rows("SELECT profile_id, seq FROM audit_play ORDER BY n")
