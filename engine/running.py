"""A running engine: one writer, one ticking thread, one sending thread, one scheduler.

`serve` starts it, the web app talks to it through `Services`. Everything that writes goes through
the one writer (`commit.GroupCommit`), so the threads here only wait, read and compute.
"""

import logging
import random
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, Literal

from apscheduler.schedulers.background import BackgroundScheduler

from engine.address_form import bring_addresses_up
from engine.core.errors import StoreError
from engine.core.model.instants import SECOND, Instant
from engine.hearing.clicks import tell
from engine.intake.commit import GroupCommit
from engine.intake.declared import Declared, declared
from engine.intake.ingest import Ingest
from engine.intake.prepare import Answer, Prepared, Terms
from engine.intake.triggering import TriggerCall, Triggered, accept_trigger
from engine.intake.validate import Limits
from engine.learning.picking import Picker
from engine.loops import keep_running
from engine.release.backfill import Backfilling, outcome
from engine.release.live import has_learnt_more
from engine.release.playbook import Playbook
from engine.release.publish import Built
from engine.release.safeguard import Safeguard
from engine.reserve import Reserve
from engine.same_secret import require_same_secret
from engine.scheduling.process import schedules_of_engine
from engine.sending.composing import Links, Unsendable, compose, data_keys
from engine.sending.delivering import Delivering
from engine.sending.lanes import Paces
from engine.settings import Settings, link_ring
from engine.steady import ASK_EVERY, DatabaseClock, SteadyClock, elapsed, present
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.events import NOT_OWN, EventLog
from engine.store.keys import KeyKind
from engine.store.queue import Queued, addressees
from engine.ticking.tick import Ticked, Ticker
from engine.vault import Vault

log = logging.getLogger("antiphon.engine")

Role = Literal["alone", "web", "worker"]
BACKFILL_LOOK_SECONDS: Final = 0.1
LIMITS_SECONDS: Final = 30.0


class Running:
    """Everything that plays and sends, for as long as one process serves a workspace.

    Args:
        load: Gives what is applied, compiled; None before the first apply.
        failed: Called once, from any thread, when the engine must not go on (another owner).
        role: "alone" does everything and owns everything; "web" only accepts and shows; "worker"
            plays and sends for its share of the partitions. All but the first go by the clock of
            the database.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        public_url: str,
        load: Callable[[Database, Vault], Playbook | None],
        failed: Callable[[str], None],
        role: Role = "alone",
    ) -> None:
        self.settings = settings
        self.role = role
        self._database_clock = None if role == "alone" else DatabaseClock(database)
        self.present: Callable[[], Instant] = self._database_clock or present
        self.database = database
        self.log = EventLog()
        self.vault = Vault({1: settings.secret_key}, entropy=secrets.token_bytes)
        self.paces = Paces(rng=random.SystemRandom())
        self.reserve = Reserve(
            database.file and database.file.with_name(f"{database.file.name}-reserve"),
            free_bytes_min=settings.free_bytes_min,
        )
        id, key = next(iter(link_ring(settings).items()))
        self.links = Links(public_url, key, id)
        self._ingest = Ingest(vault=self.vault, log=self.log)
        self.commits = GroupCommit(
            database, self._ingest, clock=self.present, queue_rows_max=settings.queue_events_max
        )
        self.playbook: Playbook | None = None
        self._load = load
        self._failed = failed
        self._clock = SteadyClock(wall=self.present)
        self.picker = Picker()
        self.ticker = Ticker(
            database,
            vault=self.vault,
            log=self.log,
            owner=f"{role}-{secrets.token_hex(4)}",
            write=self.write,
            lease=int(settings.lease_seconds * SECOND) if role == "worker" else None,
            follows_releases=True,
            picks=self.picker.pick,
        )
        self._stop = threading.Event()
        self._delivering = Delivering(
            settings=settings,
            database=database,
            vault=self.vault,
            log=self.log,
            links=self.links,
            paces=self.paces,
            reserve=self.reserve,
            ticker=self.ticker,
            clock=self._clock,
            stop=self._stop,
            playbook=lambda: self.playbook,
            present=self.present,
            write=self.write,
            picker=self.picker,
        )
        self._safeguard = Safeguard()
        self.schedules = schedules_of_engine(self, is_steady=self._clock.is_steady)
        self._is_idle = True
        self.declared = Declared()
        self._terms = self._terms_of(self.declared)
        self._threads: list[threading.Thread] = []
        self._scheduler = BackgroundScheduler(
            timezone="UTC",
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )

    def start(self, *, every: Mapping[str, tuple[float, Callable[[], object]]]) -> None:
        """Load what is applied and begin. `every` is recurring work: id -> (seconds, function)."""
        self.commits.start()
        self.reserve.keep()
        self.write(lambda connection: require_same_secret(connection, self.vault))
        self.write(lambda connection: bring_addresses_up(connection, self.vault))
        self.reload()
        loops = (
            ("tick", self._tick_loop),
            ("outbox", self._delivering.run),
            ("backfill", self._backfill_loop),
        )
        for name, loop in loops if self.role != "web" else ():
            work = partial(keep_running, loop, stop=self._stop, failed=self._failed)
            thread = threading.Thread(target=work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        for id, (seconds, function) in every.items():
            self._scheduler.add_job(function, "interval", seconds=seconds, id=id)
        if self._database_clock is not None:
            ask = self._database_clock.ask
            self._scheduler.add_job(ask, "interval", seconds=ASK_EVERY // SECOND, id="clock")
        if self.role != "web":
            # What a process that died had not told yet; a living web app tells in two seconds.
            left = self.tell_clicks
            self._scheduler.add_job(left, "interval", seconds=LIMITS_SECONDS, id="clicks")
            job = self.keep_limits
            self._scheduler.add_job(job, "interval", seconds=LIMITS_SECONDS, id="limits")
            self._scheduler.add_job(self.schedules.tick, "interval", seconds=1, id="schedules")
        self._scheduler.start()

    def stop(self) -> None:
        """Finish the batch and the calls under way, give up our share, close the writer."""
        self._stop.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)
            self.schedules.close()
        for thread in self._threads:
            thread.join(timeout=self.settings.drain_seconds_max + 5)
        if self._threads and not any(thread.is_alive() for thread in self._threads):
            try:
                self.ticker.release()
            except StoreError as error:
                log.warning("the share is not given up, its lease runs out instead: %s", error)
        self.commits.stop()

    def reload(self) -> Playbook | None:
        """Play by what is applied now."""
        playbook = self._load(self.database, self.vault)
        if playbook is not None:
            self.declared = declared(playbook.workspace)
            self._ingest.zone = self.declared.zone
            self._terms = self._terms_of(self.declared)
        self.playbook = playbook
        return playbook

    def _terms_of(self, what: Declared) -> dict[KeyKind, Terms]:
        limits = Limits(
            event_bytes_max=self.settings.event_bytes_max,
            batch_bytes_max=self.settings.batch_bytes_max,
            batch_events_max=self.settings.batch_events_max,
        )
        kinds: tuple[KeyKind, ...] = ("server", "browser")
        return {
            kind: Terms(
                declared=what,
                entropy=secrets.token_bytes,
                source=f"api:{kind}",
                key=kind,
                limits=limits,
                trigger_age_max=what.trigger_age_max,
            )
            for kind in kinds
        }

    def reload_if_changed(self) -> None:
        """Notice a release that another process applied, or weights that it has learnt."""
        playbook = self.playbook
        with self.database.read() as connection:
            newest = connection.execute("SELECT max(number) FROM release")[0][0]
            has_more = playbook is not None and has_learnt_more(connection, playbook.program)
        is_other = playbook is None or playbook.program.release != newest
        if newest is not None and (is_other or has_more):
            self.reload()

    def keep_limits(self) -> None:
        """Pause campaigns that too many complain about; one worker is enough."""
        holding = self.ticker.holding()
        playbook = self.playbook
        if playbook is None or (holding is not None and 0 not in holding.numbers):
            return
        now = self.present()
        if self._safeguard.keep(self.database, playbook.workspace, write=self.write, now=now):
            self.reload()

    def tell_clicks(self) -> None:
        """Let clicks that nobody has told become events (`engine.hearing.clicks`)."""
        due: Instant | None = 0
        while due is not None and due <= self.present():
            due = self.write(lambda it: tell(it, log=self.log, now=self.present()))

    def optimize(self) -> None:
        """Let SQLite refresh the statistics its planner goes by; PostgreSQL does so by itself."""
        if self.database.dialect == "sqlite":
            self.write(lambda connection: connection.execute("PRAGMA optimize"))

    def not_ready(self) -> str:
        """Why the engine cannot play yet, or ""."""
        if self._stop.is_set():
            return "The server is stopping."
        if self.playbook is None:
            return "Nothing is applied to this database yet. Run: antiphon apply"
        return ""

    def tick_lag_seconds(self) -> float:
        """Age of the oldest event or timer that waits to be played; 0 when none does."""
        now = self.present()
        with self.database.read() as connection:
            position = connection.execute("SELECT min(position) FROM partition")[0][0] or 0
            events = self.log.read_after(
                connection, int(position), limit=1, columns=("accepted_at",), where=NOT_OWN
            )
            timers = connection.execute("SELECT min(due) FROM timer WHERE due <= ?", (now,))
        waiting = [int(row[0]) for row in (*events, *timers) if row[0] is not None]
        return max(0, now - min(waiting)) / SECOND if waiting else 0.0

    def _tick_loop(self) -> None:
        while not self._stop.is_set():
            now = None if self.reserve.is_short else self._clock.now()
            if now is None or self.playbook is None or self._tick(now).is_idle:
                self._stop.wait(self.settings.tick_idle_seconds)

    def _tick(self, now: Instant) -> Ticked:
        if self.role == "worker" and self.ticker.must_look(now):
            self.ticker.claim(now=now)
            # Whom we take over may have been played by a release that we have not heard of.
            self.reload_if_changed()
        playbook = self.playbook
        assert playbook is not None
        done = self.ticker.tick(playbook, floor=now, horizon=now, limit=self.settings.tick_batch)
        if done.is_outdated:
            self.reload()
        self._is_idle = done.is_idle
        return done

    def _backfill_loop(self) -> None:
        backfilling = Backfilling(self.database, vault=self.vault, write=self.write)
        while not self._stop.is_set():
            began = elapsed()
            holding = self.ticker.holding()  # of those who share, one is enough
            is_ours = holding is None or 0 in holding.numbers
            if is_ours and backfilling.step(now=self.present(), is_idle=self._is_idle):
                self.reload_if_changed()
                self._stop.wait((elapsed() - began) / SECOND)  # half is for ingest and ticks
            else:
                self._stop.wait(self.settings.tick_idle_seconds)

    def finish_backfill(self) -> Built:
        """Wait until what is being prepared is live; a web process plays nothing, so does it."""
        if self.role == "web":
            done = Backfilling(self.database, vault=self.vault, write=self.write)
            return done.run(clock=self.present)
        while (built := outcome(self.database)) is None:
            if self._stop.wait(BACKFILL_LOOK_SECONDS):
                raise StoreError("the server is stopping; it goes on preparing when it starts")
        return built

    # --- what the web app asks for ---------------------------------------------------------------

    def terms(self, kind: KeyKind) -> Terms:
        """On which terms the holder of such a key sends events.

        A messageId is unique among server keys and among browser keys: a browser key is public,
        and must not be able to use up the ids of server events.
        """
        return self._terms[kind]

    def accept(self, prepared: Prepared) -> Future[list[Answer]]:
        """Commit facts with the next group; the future is done when they are durable."""
        return self.commits.submit(prepared)

    def trigger(self, call: TriggerCall) -> Future[Triggered]:
        """Take in a call that starts a campaign; the future is done when it is durable."""
        # An intake of its own: what it learns of identities is forgotten if the commit fails.
        ingest = Ingest(vault=self.vault, log=self.log, zone=self.declared.zone)
        return self.commits.run(
            lambda connection: accept_trigger(connection, call, ingest=ingest, now=self.present())
        )

    def write(self, change: Callable[[Connection], Any]) -> Any:
        """Run a change in the one writer and give its result, committed."""
        return self.commits.run(change).result()

    def write_soon(self, change: Callable[[Connection], Any]) -> Future[Any]:
        """`write` for those who must not block."""
        return self.commits.run(change)

    def waiting(self) -> int:
        """Events queued for commit."""
        return self.commits.waiting()

    def destination(self, message: int, index: int) -> str | None:
        """Where a link of a message leads: the message is composed again and its link looked up."""
        playbook = self.playbook
        if playbook is None:
            return None
        with self.database.read() as connection:
            rows = connection.execute(
                f"SELECT {', '.join(Queued.__struct_fields__)} FROM message WHERE id = ?",
                (message,),
            )
            if not rows:
                return None
            it = Queued(*rows[0])
            person = addressees(connection, [it.profile_id]).get(it.profile_id)
            if person is None or person.erased_at is not None:
                return None
            keys = data_keys(connection, {person.id: person})
        try:
            composed = compose(
                it,
                person,
                playbook=playbook,
                vault=self.vault,
                keys=keys,
                links=self.links,
                now=it.due_at,
            )
        except Unsendable:
            return None
        return composed.links[index] if index < len(composed.links) else None
