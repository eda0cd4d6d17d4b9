"""Schedules on the virtual clock: each run at its own instant, knowing what was known by then.

What runs is what runs live: the plans of the release, a row of `schedule_run` for each run, the
jobs of `engine.scheduling`. A replay closes its window where something fires, so a model is trained
on all that had happened and on nothing else. Runs that would change nothing are not made: a report
is written once, by its last run, as each takes the place of the one before; a bandit is asked when
it can have learnt; no release is ever being prepared here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Final, Literal

from campaigns.schedule_forms import MODEL_REFRESH
from engine.bandits.due import bandits, due_at
from engine.bandits.learning import Learning
from engine.core.errors import UsageError
from engine.core.model.instants import SECOND, Instant
from engine.learning.refreshing import Learner, refresh
from engine.learning.shown import said, write_pages
from engine.release.live import with_allocations
from engine.release.playbook import Playbook
from engine.schedule import latest_fire, next_fire
from engine.scheduling import rows
from engine.scheduling.jobs import JOBS, Outcome
from engine.scheduling.means import Means
from engine.scheduling.plans import Plan, plans_of
from engine.scheduling.rows import Run
from engine.settings import DIRECTORY
from engine.simulation.ran import Ran
from engine.store.connection import Connection
from engine.store.database import Database
from engine.vault import Vault
from experiments.errors import ExperimentsError

Which = Literal["all", "no-models", "none"]
WHICH: Final[Sequence[Which]] = ("all", "no-models", "none")
"""What begins: every schedule; all but the training of models; nothing."""

BANDITS: Final = "bandit-updates"
REPORTS: Final = "experiment-reports"
LOOK: Final = 10 * SECOND
"""What each look at the clock costs: a budget is then a number of tries, the same anywhere."""


class Agenda:
    """The schedules of one replay.

    Args:
        directory: The workspace's folder, where reports go; None writes none.
        until: The replay's end, not included: nothing fires there any more.
        trains: Whether models are learnt.
        trains_every: A model is learnt no more often than this, whatever its schedule says.
    """

    def __init__(
        self,
        database: Database,
        *,
        vault: Vault,
        directory: Path | None,
        until: Instant,
        trains: bool = True,
        trains_every: int = 0,
        owner: str = "simulation",
    ) -> None:
        self.ran: dict[str, Ran] = {}
        self._database, self._owner, self._until = database, owner, until
        self._directory, self._trains, self._trains_every = directory, trains, trains_every
        self._now: Instant = 0
        self._playbook: Playbook | None = None
        self._plans: dict[str, Plan] = {}
        self._next: dict[str, Instant | None] = {}
        self._looked: dict[str, Instant] = {}
        self._means = Means(
            directory or Path(), database, vault, self._write, lambda: self._playbook,
            lambda: self._now, plays=True, learning=Learning(),
        )  # fmt: skip

    def begin(self, playbook: Playbook, *, now: Instant) -> None:
        """Keep the table of schedules from now on; what fires, fires later than now."""
        self._playbook, self._now = playbook, now
        self._plans = plans_of(playbook.workspace)
        self._write(lambda it: rows.keep(it, self._plans, now=now))
        for name, plan in self._plans.items():
            self.ran[name] = Ran(name, plan.job, why_not=self._why_not(plan, playbook))
            if not self.ran[name].why_not:
                self._next[name] = self._following(plan, now)

    def next_after(self, playbook: Playbook, now: Instant) -> Instant | None:
        """When something fires next, later than now; None if nothing does before the end."""
        for name in self._next:
            if self._plans[name].job == BANDITS:
                self._next[name] = self._learns_at(playbook, self._plans[name], now)
        found = [at for at in self._next.values() if at is not None and now < at < self._until]
        return min(found, default=None)

    def carry_out(self, playbook: Playbook, *, at: Instant) -> Playbook:
        """Do what fires at an instant, by name; the playbook with what bandits have learnt."""
        self._playbook, self._now = playbook, at
        if at >= self._until:
            return playbook
        for name in sorted(name for name, due in self._next.items() if due == at):
            plan = self._plans[name]
            run = self._taken(name, at)
            if isinstance(run, Run):
                outcome = self._done(run)
                self._finish(run, outcome)
                self.ran[name].instants.append(at)
                self.ran[name].said.append(outcome.said)
            rests = self._trains_every if plan.job == MODEL_REFRESH else 0
            self._next[name] = self._following(plan, max(at, at + rests - 1))
        return self._means.live()

    def end(self) -> None:
        """Leave the tables and pages as they are at the end: what comes next comes later."""
        assert self._playbook is not None, "begin comes first"
        for name, plan in self._plans.items():
            self._put_off(name, next_fire(plan.times, self._until - 1, plan.zone))
        if self._trains and self._directory is not None:
            write_pages(self._learner(), now=self._until)

    def _taken(self, name: str, at: Instant) -> Run | str:
        found: Run | str = self._write(
            lambda it: rows.take(it, name, at, owner=self._owner, now=at, engine="embedded")
        )
        return found

    def _finish(self, run: Run, outcome: Outcome) -> None:
        self._write(lambda it: rows.finish(it, run, result=outcome.said, now=run.fire_at))

    def _put_off(self, name: str, following: Instant | None) -> None:
        self._write(
            lambda it: it.execute(
                "UPDATE schedule SET next_at = ? WHERE name = ?", (following, name)
            )
        )

    def _why_not(self, plan: Plan, playbook: Playbook) -> str:
        match plan.job:
            case "segment-backfill":
                return "releases are applied whole here"
            case "model-refresh" if not self._trains:
                return "no model is trained, as was asked for"
            case "experiment-reports" if self._directory is None:
                return "nothing is kept that could be read"
            case "broadcast" if plan.campaign not in playbook.program.campaigns:
                return f'the campaign "{plan.campaign}" is not played'
            case _:
                return ""

    def _following(self, plan: Plan, now: Instant) -> Instant | None:
        if plan.job == REPORTS:
            last = latest_fire(plan.times, now, self._until - 1, plan.zone)
            return last if last is None or last > now else None
        return next_fire(plan.times, now, plan.zone)

    def _learns_at(self, playbook: Playbook, plan: Plan, now: Instant) -> Instant | None:
        """The first fire at which some bandit is due: at all others it would be asked in vain."""
        found: list[Instant] = []
        with self._database.read() as connection:
            for it in bandits(playbook.program):
                assert it.bandit is not None
                looked = self._looked.get(f"{it.name}/{it.phase}", 0)
                due = max(due_at(connection, it), looked + it.bandit.every, now + 1)
                fires = next_fire(plan.times, due - 1, plan.zone)
                found += [] if fires is None else [fires]
        return min(found, default=None)

    def _done(self, run: Run) -> Outcome:
        try:
            match run.plan.job:
                case "model-refresh":
                    return self._trained(run)
                case "bandit-updates":
                    return self._learnt(run)
                case job:
                    return JOBS[job](self._means, run)
        except (UsageError, ExperimentsError) as error:
            return Outcome(f"failed: {error}")

    def _trained(self, run: Run) -> Outcome:
        done = refresh(
            self._learner(), run.plan.model, as_of=run.fire_at, now=run.fire_at, is_once=True
        )
        self.ran[run.schedule].refreshed.append(done)
        return Outcome(said(done))

    def _learnt(self, run: Run) -> Outcome:
        playbook = self._means.live()
        outcome = JOBS[BANDITS](self._means, run)
        with self._database.read() as connection:
            for it in bandits(playbook.program):
                if due_at(connection, it) <= run.fire_at:
                    self._looked[f"{it.name}/{it.phase}"] = run.fire_at
            self._playbook = replace(
                playbook, program=with_allocations(connection, playbook.program)
            )
        return outcome

    def _learner(self) -> Learner:
        folder = None if self._directory is None else self._directory / DIRECTORY
        return Learner(self._database, self._means.live(), self._write, looks(), folder)

    def _write(self, change: Callable[[Connection], Any]) -> Any:
        with self._database.write() as connection:
            return change(connection)


def looks() -> Callable[[], int]:
    """A clock on which every look takes `LOOK`, to bound searches by."""
    ticks: Iterator[int] = count(0, LOOK)
    return lambda: next(ticks)
