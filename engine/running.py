"""A running engine: one writer, one ticking thread, one sending thread, one scheduler.

`serve` starts it, the web app talks to it through `Services`. Everything that writes goes through
the one writer (`commit.GroupCommit`), so the threads here only wait, read and compute.
"""

import asyncio
import logging
import random
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final

from apscheduler.schedulers.background import BackgroundScheduler

from channels import open_provider
from channels.base import Provider
from engine.commit import GroupCommit
from engine.composing import Links, Unsendable, compose, data_keys
from engine.core.errors import NotOwner, StoreError
from engine.core.model import MINUTE, SECOND, Instant
from engine.declared import Declared, declared
from engine.echoes import Due, Echoes
from engine.ingest import Ingest
from engine.outbox import Outbox
from engine.playbook import Playbook
from engine.prepare import Answer, Prepared, Terms
from engine.settings import DIRECTORY, Settings, link_key
from engine.steady import SteadyClock, elapsed, present
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.events import NOT_OWN, EventLog
from engine.store.keys import KeyKind
from engine.store.queue import Queued, addressees
from engine.tick import Ticker
from engine.validate import Limits
from engine.vault import Vault

log = logging.getLogger("antiphon.engine")

TROUBLE_SECONDS_MAX: Final = 30.0
ECHO_SECONDS: Final = 0.5
QUIET: Final = MINUTE
"""A loop that ran this long before it failed starts over with the shortest pause."""


class Running:
    """Everything that plays and sends, for as long as one process serves a workspace.

    Args:
        load: Gives what is applied, compiled; None before the first apply.
        failed: Called once, from any thread, when the engine must not go on (another owner).
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        public_url: str,
        load: Callable[[Database, Vault], Playbook | None],
        failed: Callable[[str], None],
    ) -> None:
        self.settings = settings
        self.database = database
        self.log = EventLog()
        self.vault = Vault({1: settings.secret_key}, entropy=secrets.token_bytes)
        self.links = Links(public_url, link_key(settings))
        self._ingest = Ingest(vault=self.vault, log=self.log)
        self.commits = GroupCommit(
            database, self._ingest, clock=present, queue_rows_max=settings.queue_events_max
        )
        self.playbook: Playbook | None = None
        self._load = load
        self._failed = failed
        self._clock = SteadyClock()
        self._stop = threading.Event()
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
        self.write(self._check_secret)
        self.reload()
        for name, loop in (("tick", self._tick_loop), ("outbox", self._outbox_thread)):
            thread = threading.Thread(target=self._guarded, args=(loop,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        for id, (seconds, function) in every.items():
            self._scheduler.add_job(function, "interval", seconds=seconds, id=id)
        self._scheduler.start()

    def stop(self) -> None:
        """Finish the batch under way, commit what is queued, then close the writer."""
        self._stop.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)
        for thread in self._threads:
            thread.join(timeout=self.settings.drain_seconds_max + 5)
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
        """Notice a release that another process applied."""
        with self.database.read() as connection:
            newest = connection.execute("SELECT max(number) FROM release")[0][0]
        playbook = self.playbook
        if newest is not None and (playbook is None or playbook.program.release != newest):
            self.reload()

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
        now = present()
        with self.database.read() as connection:
            position = connection.execute("SELECT min(position) FROM partition")[0][0] or 0
            events = self.log.read_after(
                connection, int(position), limit=1, columns=("accepted_at",), where=NOT_OWN
            )
            timers = connection.execute("SELECT min(due) FROM timer WHERE due <= ?", (now,))
        waiting = [int(row[0]) for row in (*events, *timers) if row[0] is not None]
        return max(0, now - min(waiting)) / SECOND if waiting else 0.0

    def _check_secret(self, connection: Connection) -> None:
        """Refuse to run under another secret than the data was sealed with."""
        connection.execute(
            "INSERT INTO setting (name, value) VALUES ('key_check', ?) ON CONFLICT DO NOTHING",
            (self.vault.key_check,),
        )
        rows = connection.execute("SELECT value FROM setting WHERE name = 'key_check'")
        if rows[0][0] != self.vault.key_check:
            raise StoreError(
                "this database was made under another ANTIPHON_SECRET_KEY: personal data in it "
                "could not be read. Give the one it was made with (or its .antiphon/secret)"
            )

    def _guarded(self, loop: Callable[[], None]) -> None:
        """Run a loop until it is stopped; trouble is logged and waited out, lost ownership ends
        the process."""
        pause = 0.5
        while not self._stop.is_set():
            started = elapsed()
            try:
                loop()
            except NotOwner as error:
                self._failed(str(error))
                return
            except Exception as error:
                if elapsed() - started > QUIET:
                    pause = 0.5
                word = "waits" if isinstance(error, StoreError) else "failed"
                log.exception("%s %s, next try in %.1f s", loop.__name__, word, pause)
                self._stop.wait(pause)
                pause = min(TROUBLE_SECONDS_MAX, pause * 2)

    def _tick_loop(self) -> None:
        ticker = Ticker(
            self.database,
            vault=self.vault,
            log=self.log,
            owner=f"serve-{secrets.token_hex(4)}",
            write=self.write,
        )
        while not self._stop.is_set():
            playbook = self.playbook
            is_idle = True
            if playbook is not None and self._clock.is_steady():
                now = present()
                done = ticker.tick(playbook, floor=now, horizon=now, limit=self.settings.tick_batch)
                is_idle = done.is_idle
            if is_idle:
                self._stop.wait(self.settings.tick_idle_seconds)

    def _outbox_thread(self) -> None:
        asyncio.run(self._send_loop())

    async def _send_loop(self) -> None:
        while not self._stop.is_set():
            playbook = self.playbook
            if playbook is None:
                await asyncio.sleep(self.settings.tick_idle_seconds)
                continue
            providers = self._providers(playbook)
            echoes = Echoes(self.log)
            outbox = Outbox(
                self.database,
                vault=self.vault,
                providers=providers,
                links=self.links,
                rng=random.SystemRandom(),
                write=self.write,
                on_sent=echoes.remember,
            )
            try:
                outbox.recover(playbook, now=present())
                lanes = [self._lane(outbox, playbook, channel) for channel in providers]
                await asyncio.gather(*lanes, self._echo(echoes, playbook))
            finally:
                for provider in providers.values():
                    await provider.close()
            # Without a channel there is nothing to wait for but another release.
            await asyncio.sleep(self.settings.tick_idle_seconds)

    async def _echo(self, echoes: Echoes, playbook: Playbook) -> None:
        """Let the sandboxes' recipients answer when their time comes."""
        while not self._stop.is_set() and self.playbook is playbook:
            now = present()
            due = echoes.due(until=now)
            if due is not None:
                await asyncio.to_thread(self._take_in, echoes, due, now)
            await asyncio.sleep(ECHO_SECONDS)

    def _take_in(self, echoes: Echoes, due: Due, now: Instant) -> None:
        self.write(lambda connection: echoes.take_in(connection, due, now=now))

    async def _lane(self, outbox: Outbox, playbook: Playbook, channel: str) -> None:
        """One channel's messages until the engine stops or another release is applied."""
        pause = 0.5
        while not self._stop.is_set() and self.playbook is playbook:
            is_idle = True
            if self._clock.is_steady():
                try:
                    is_idle = (await outbox.drain(playbook, channel, now=present())).is_idle
                    pause = 0.5
                except NotOwner:
                    raise
                except Exception:
                    # One channel's trouble must not stop the others.
                    log.exception("sending by %s failed, next try in %.1f s", channel, pause)
                    await asyncio.sleep(pause)
                    pause = min(TROUBLE_SECONDS_MAX, pause * 2)
            if is_idle:
                await asyncio.sleep(self.settings.tick_idle_seconds)

    def _providers(self, playbook: Playbook) -> dict[str, Provider]:
        rng = random.SystemRandom()
        return {
            channel: open_provider(
                channel,
                form.provider,
                form.settings,
                directory=self.settings.directory / DIRECTORY,
                rng=rng,
                now=present,
            )
            for channel, form in playbook.workspace.settings.channels.items()
        }

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
