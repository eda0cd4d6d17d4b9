"""The same engine on a virtual clock: events in at their own time, ticks, sends, echoes.

Nothing of the loop is imitated. Ingest, `tick`, `outbox` and `feedback` run as they do live, window
by window; only the clock is ours, and every channel is a sandbox. Inside a window each profile is
played exactly, whatever the window's length, because profiles are independent of each other. What
the window does blur is said at `Replay`. Read next: `simulation_counts`, `trials`.
"""

import asyncio
import heapq
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Final, Literal

from campaigns.workspace import Workspace
from channels import open_provider
from channels.base import Provider
from engine.bandits.learning import Learning
from engine.core.errors import UsageError
from engine.core.model.campaigns import Program
from engine.core.model.effects import Effect
from engine.core.model.instants import HOUR, Instant
from engine.hearing.invented import Echoes
from engine.intake.declared import Declared, declared
from engine.intake.ingest import Ingest
from engine.intake.prepare import ACCEPTED, Fact, Prepared
from engine.learning.picking import Picker
from engine.release import publish
from engine.release.playbook import Playbook
from engine.sending.composing import Links
from engine.sending.outbox import Outbox
from engine.sending.webhooks import calls_webhooks, open_webhooks
from engine.simulation.agenda import Agenda
from engine.store.database import Database
from engine.store.events import EventLog
from engine.store.migrate import upgrade
from engine.store.queue import WEBHOOK
from engine.ticking.tick import Picks, Ticker, run_until_idle
from engine.vault import Vault

WINDOW: Final = 12 * HOUR
COMMIT_FACTS: Final = 5_000
ROUNDS_MAX: Final = 1_000
"""Passes over one channel in one window; more would mean that it never comes to rest."""

SECRET: Final = "a simulation's secret: it protects invented people"

Write = Literal["eml", "log", "none"]


class Replay:
    """One workspace on one database, played forward.

    Blurred by a window, and by nothing else: what providers report (deliveries, opens,
    unsubscribes) is taken in when the next window opens, with the time at which it happened.

    Args:
        database: Of a throwaway file, or one that will be looked at.
        playbook: What is played: `applied` makes one.
        directory: Where the sandboxes write, if they do.
        write: What each sandbox leaves behind; None means what the workspace says.
        is_silent: Nobody opens, clicks or bounces.
        seed: Of what people do with messages; None means what the workspace says.
        owner: Who plays, as it stands in the database.
        observe: Told of every profile's effects.
        picks: What recommenders answer; without it, nothing.
        picker: Looks again at what they answered before it is shown, where that is a `Picker`.
        agenda: The schedules, which then begin at their instants; without it none does, but for
            bandits, which learn when a window closes.
    """

    def __init__(
        self,
        database: Database,
        playbook: Playbook,
        *,
        vault: Vault,
        links: Links,
        directory: Path,
        write: Write | None = "none",
        is_silent: bool = False,
        seed: str | None = None,
        owner: str = "simulation",
        observe: Callable[[Sequence[Effect]], None] | None = None,
        picks: Picks | None = None,
        picker: Picker | None = None,
        agenda: Agenda | None = None,
    ) -> None:
        self.database = database
        self.playbook = playbook
        self.now: Instant = 0
        self.log = EventLog()
        self.declared: Declared = declared(playbook.workspace)
        self._ingest = Ingest(vault=vault, log=self.log, zone=self.declared.zone)
        self._ticker = Ticker(
            database, vault=vault, log=self.log, owner=owner, observe=observe, picks=picks
        )
        self._providers = _sandboxes(
            playbook.workspace, directory, write=write, seed=seed, clock=lambda: self.now
        )
        if calls_webhooks(playbook.program):
            self._providers[WEBHOOK] = open_webhooks("sandbox", now=lambda: self.now)
        self._echoes = Echoes(self.log)
        self._agenda = agenda
        self._learning = Learning()
        self._facts: list[tuple[Instant, int, Fact]] = []
        self._number = count()
        self._outbox = Outbox(
            database,
            vault=vault,
            providers=self._providers,
            links=links,
            rng=random.Random(0),
            on_sent=None if is_silent else self._echoes.remember,
            log=self.log,
            picker=picker,
        )

    def add(self, facts: Iterable[Fact]) -> None:
        """Let facts happen at their own time; one whose time is past happens with the next ones."""
        for fact in facts:
            heapq.heappush(self._facts, (fact.at, next(self._number), fact))

    def load(self, facts: Sequence[Fact], *, at: Instant) -> None:
        """Take facts in as history: they are known at `at`, and too old to start a journey."""
        for fact in facts:
            fact.accepted_at, fact.trigger_age_max = at, 0
        self._commit(facts, at)
        self._play(at, at)

    def run(
        self,
        *,
        start: Instant,
        end: Instant,
        window: int = WINDOW,
        after_window: Callable[["Replay", Instant], None] | None = None,
    ) -> None:
        """Play from `start` to `end`, the end itself not included.

        Args:
            after_window: Called with the instant each window closes; may `add` facts of later
                times, and may show progress.
        """
        with asyncio.Runner() as runner:
            executor = ThreadPoolExecutor(max_workers=1)
            runner.get_loop().set_default_executor(executor)
            opens = start
            if self._agenda is not None:
                self._agenda.begin(self.playbook, now=start)
            while opens < end:
                closes = min(opens + window, end, self._fires_at(opens, end))
                self._take_in_echoes(until=opens, now=opens)
                self._commit(list(self._due_facts(closes)), opens)
                # An event comes before a timer of its instant, so timers of `closes` must wait.
                self._play(opens, closes - 1)
                self.now = closes - 1
                runner.run(self._send(closes - 1))
                self._carry_out(at=closes)
                if after_window is not None:
                    after_window(self, closes)
                opens = closes
            if self._agenda is not None:
                self._agenda.end()

    def close(self) -> None:
        """Close the sandboxes' files."""
        with asyncio.Runner() as runner:
            for provider in self._providers.values():
                runner.run(provider.close())

    def _fires_at(self, now: Instant, end: Instant) -> Instant:
        """When the next schedule fires; the end where none does before."""
        found = None if self._agenda is None else self._agenda.next_after(self.playbook, now)
        return end if found is None else found

    def _carry_out(self, *, at: Instant) -> None:
        if self._agenda is None:
            self.playbook = self._learning.carried_on(self.database, self.playbook, now=at)
        else:
            self.playbook = self._agenda.carry_out(self.playbook, at=at)

    def _play(self, floor: Instant, horizon: Instant) -> None:
        run_until_idle(self._ticker, self.playbook, floor=floor, horizon=horizon)

    async def _send(self, now: Instant) -> None:
        for channel in self._providers:
            for _ in range(ROUNDS_MAX):
                done = await self._outbox.drain(
                    self.playbook, channel, now=now, limit=1_000, as_due=True
                )
                if done.is_idle:
                    break

    def _due_facts(self, before: Instant) -> Iterator[Fact]:
        while self._facts and self._facts[0][0] < before:
            yield heapq.heappop(self._facts)[2]

    def _commit(self, facts: Sequence[Fact], now: Instant) -> None:
        for start in range(0, len(facts), COMMIT_FACTS):
            piece = facts[start : start + COMMIT_FACTS]
            prepared = Prepared([ACCEPTED] * len(piece), list(enumerate(piece)))
            with self.database.write() as connection:
                self._ingest.commit(connection, [prepared], now=now)

    def _take_in_echoes(self, *, until: Instant, now: Instant) -> None:
        due = self._echoes.due(until=until)
        if due is not None:
            with self.database.write() as connection:
                self._echoes.take_in(connection, due, now=now)


def applied(
    database: Database,
    workspace: Workspace,
    *,
    vault: Vault,
    at: Instant,
    alter: Callable[[Program], Program] = lambda program: program,
) -> Playbook:
    """Apply a workspace at an instant and give what is played.

    Args:
        alter: Changes the compiled program, as a test that forces a variant does.
    """
    with database.write() as connection:
        publish.apply(connection, workspace, now=at)
    # Secrets of the real channels are not needed and may not be there.
    playbook = publish.load_playbook(database, vault=vault, environ=None)
    assert playbook is not None
    return replace(playbook, program=alter(playbook.program))


@contextmanager
def throwaway() -> Iterator[tuple[Database, Vault, Path]]:
    """An empty database that is gone when the block ends, with a vault and its folder."""
    with tempfile.TemporaryDirectory(prefix="antiphon-simulation-") as folder:
        path = Path(folder)
        database = Database(f"sqlite:///{path / 'simulation.db'}", is_throwaway=True)
        try:
            upgrade(database)
            yield database, simulated_vault(), path
        finally:
            database.close()


def simulated_vault() -> Vault:
    """A vault for invented or borrowed people: the same secrets and the same noise every time."""
    return Vault({1: SECRET}, entropy=random.Random(0).randbytes)


def simulated_links() -> Links:
    """Links that lead nowhere."""
    return Links("https://simulation.invalid", SECRET.encode())


def _sandboxes(
    workspace: Workspace,
    directory: Path,
    *,
    write: Write | None,
    seed: str | None,
    clock: Callable[[], Instant],
) -> dict[str, Provider]:
    """A sandbox for every channel, whatever the workspace says it is."""
    opened: dict[str, Provider] = {}
    for name, form in workspace.settings.channels.items():
        settings: dict[str, Any] = form.settings if str(form.provider) == "sandbox" else {}
        kind = workspace.channel_kind(str(name))
        if write is not None:
            settings = {**settings, "write": "log" if write == "eml" and kind != "email" else write}
        if seed is not None:
            settings = {**settings, "seed": seed}
        opened[str(name)] = open_provider(
            kind, "sandbox", settings, directory=directory, rng=random.Random(0), now=clock
        )
    return opened


def require_sandboxes(workspace: Workspace) -> None:
    """Refuse what would send real messages ahead of time.

    Raises:
        UsageError: If any channel has a provider other than the sandbox.
    """
    for name, form in workspace.settings.channels.items():
        if str(form.provider) != "sandbox":
            raise UsageError(
                f'channel "{name}" sends through {form.provider}: the future is played only where '
                "every channel is a sandbox. Use `antiphon simulate`, or a time up to now"
            )
