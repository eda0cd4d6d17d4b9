"""Keeps runs of models and decides which is read: candidate, champion, retired; and back again.

A run becomes champion only by its verdict, or by an operator who rolls back. Whatever fails, the
last champion stays. Rolling back makes a new run of an older one's rows and artifact, so that the
newest champion is always the newest run, today and in any question about the past.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from engine.core.clocktime import iso
from engine.core.errors import UsageError
from engine.core.model.campaigns import Profiling, Program
from engine.core.model.instants import DAY, Instant
from engine.learning.artifact import Artifact, pack, unpack
from engine.learning.erasing import forget_by
from engine.learning.lessons import Lesson
from engine.learning.watching import fault_of
from engine.scores import bereft, publish, sweep
from engine.store import models, scores
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.models import About, ModelRun

Write = Callable[[Callable[[Connection], Any]], Any]

URGENT: Final = 7 * DAY
"""How long before somebody erased must be out of a model the next best run takes its place."""


class Kept(Struct, frozen=True):
    """What became of a run."""

    model: str
    run: int
    kind: str
    status: str
    verdict: str
    n_scored: int = 0
    n_woken: int = 0


@dataclass(frozen=True)
class Registry:
    """The runs of one database.

    Attributes:
        write: Runs a function in a write transaction.
        program: What is live: its conditions say whom a new champion matters to.
    """

    database: Database
    write: Write
    program: Program | None

    def keep(self, model: str, about: About, lesson: Lesson, *, now: Instant) -> Kept:
        """Keep what was learnt, as champion if it is better and as a candidate if it is not.

        Raises:
            StoreError: If another run of the model was published meanwhile.
        """
        with self.database.read() as connection:
            champion = models.champion_of(connection, model)
        lesson_verdict, is_better = _judged(lesson, champion, now=now)
        about = replace(
            about,
            metrics=lesson.metrics,
            verdict=lesson_verdict,
            data_hash=lesson.data_hash,
            parent=None if champion is None else champion.run,
        )
        run = self.write(lambda it: models.begin(it, model, about, now=now))
        if lesson.artifact is not None:
            self._keep_artifact(model, run, pack(lesson.artifact), now=now)
        if not is_better:
            self.write(lambda it: models.set_status(it, model, run, "candidate"))
            if lesson.instead is not None and champion is not None:
                self._ask_again(model, champion, lesson.instead, as_of=about.as_of, now=now)
            elif lesson.is_unseating:
                self._uncrown(model, now=now)
            self._tidy(model)
            return Kept(model, run, about.kind, "candidate", lesson_verdict)
        n_woken = self._crown(model, run, about.kind, lesson, now=now)
        return Kept(model, run, about.kind, "champion", lesson_verdict, len(lesson.values), n_woken)

    def _ask_again(
        self, model: str, champion: ModelRun, lesson: Lesson, *, as_of: Instant, now: Instant
    ) -> None:
        """A run of what the champion's model says of people as they are now."""
        about = replace(
            champion.about,
            as_of=as_of,
            metrics=lesson.metrics,
            verdict=lesson.verdict,
            parent=champion.run,
        )
        run = self.write(lambda it: models.begin(it, model, about, now=now))
        if lesson.artifact is not None:
            self._keep_artifact(model, run, pack(lesson.artifact), now=now)
        if champion.retrain_by is not None:
            by = champion.retrain_by
            self.write(lambda it: models.demand_retraining(it, [model], by=by))
        self._crown(model, run, about.kind, lesson, now=now)

    def refuse(self, model: str, about: About, why: str, *, now: Instant) -> Kept:
        """Write down that there was nothing to learn, and why; the last champion stays."""
        about = replace(about, verdict=why)
        run = self.write(lambda it: models.begin(it, model, about, status="refused", now=now))
        return Kept(model, run, about.kind, "refused", why)

    def roll_back(self, model: str, to: int | None, *, now: Instant) -> Kept:
        """Read an older run again: the last one before the champion, or the one given.

        Raises:
            UsageError: If there is none, or nothing of it is kept any more.
        """
        with self.database.read() as connection:
            older = _older(models.runs_of(connection, model), model, to)
            kept = models.artifact(connection, model, older.run) if older.has_artifact else b""
            if older.retrain_by is not None and older.retrain_by <= now:
                raise UsageError(
                    f'run {older.run} of "{model}" had to forget somebody who was erased by '
                    f"{iso(older.retrain_by)[:10]}. Train it again: antiphon model train {model}"
                )
            if fault := fault_of(connection, older):
                raise UsageError(f'run {older.run} of "{model}" cannot be read again: {fault}')
            values: dict[int, tuple[float, str]] = {}
            details: dict[int, str] = {}
            for page in scores.pages(connection, model, older.run):
                for profile_id, score, detail in page:
                    values[profile_id] = (score.value, score.label)
                    if detail:
                        details[profile_id] = detail
        verdict = f"rolled back to run {older.run} of {iso(older.created_at)[:16]}Z"
        about = replace(older.about, verdict=verdict, parent=older.run)
        lesson = Lesson(
            None, True, verdict, about.metrics, about.data_hash, values, details
        )  # fmt: skip
        run = self.write(lambda it: models.begin(it, model, about, now=now))
        if kept:
            self._keep_artifact(model, run, kept, now=now)
        if older.retrain_by is not None:
            self.write(partial(models.take_over_deadline, model=model, run=run, of=older.run))
        n_woken = self._crown(model, run, about.kind, lesson, now=now)
        return Kept(model, run, about.kind, "champion", verdict, len(values), n_woken)

    def withdraw(self, model: str, *, now: Instant) -> int:
        """Read no run of a model any more and forget what it has learnt; its row stays.

        Returns:
            How many were woken: exactly those whose answer to some condition that changes.
        """
        n_woken = self._uncrown(model, now=now)
        self.write(lambda it: models.drop_artifacts(it, model, but=()))
        return n_woken

    def drop_overdue(self, *, now: Instant) -> int:
        """Forget what runs past their `retrain_by` have learnt and read none of them; how many.

        Refreshes see to it in time. What is left are runs kept to go back to, and models that are
        paused or that no file declares any more.
        """
        with self.database.read() as connection:
            overdue = models.overdue_champions(connection, now=now)
        for model in overdue:
            self._uncrown(model, now=now)
        dropped: int = self.write(lambda it: models.drop_overdue(it, now=now))
        return dropped

    def _uncrown(self, model: str, *, now: Instant) -> int:
        with self.database.read() as connection:
            run = scores.champion_of(connection, model)
            if run is None:
                return 0
            wake = bereft(connection, model, run, program=self.program)
        self.write(partial(scores.uncrown, model=model, run=run, wake=wake, now=now))
        return len(wake)

    def forget_unprofiled(self) -> int:
        """Delete what models say of people whom a new rule of `learning.profiling` leaves out.

        Whoever refuses is forgotten as they do; here go rows that a release's new rule concerns
        and that nothing of it reads, so that no tick met them. How many people.
        """
        profiling = Profiling() if self.program is None else self.program.profiling
        with self.database.read() as connection:
            found = scores.unprofiled(connection, profiling)
        for start in range(0, len(found), scores.BATCH):
            some = found[start : start + scores.BATCH]
            self.write(partial(scores.forget, ids=some))
        return len(found)

    def _keep_artifact(self, model: str, run: int, data: bytes, *, now: Instant) -> None:
        for part, piece in zip(count(), models.parts_of(data), strict=False):
            self.write(
                partial(models.keep_part, model=model, run=run, part=part, data=piece)
            )  # fmt: skip
        # Asked once the pieces are there: an erasure from now on finds them by itself.
        with self.database.read() as connection:
            by = forget_by(connection, since=now)
        if by is not None:
            self.write(lambda it: models.demand_retraining(it, [model], by=by))

    def _crown(self, model: str, run: int, kind: str, lesson: Lesson, *, now: Instant) -> int:
        if lesson.values:
            done = publish(
                self.database, lesson.values, model=model, kind=kind, program=self.program,
                write=self.write, now=now, run=run, details=lesson.details,
            )  # fmt: skip
            self._tidy(model)
            return done.n_woken
        with self.database.read() as connection:
            champion = scores.champion_of(connection, model)
        self.write(
            partial(
                scores.crown, model=model, run=run, instead_of=champion, cuts=[], wake=[], now=now
            )
        )
        sweep(self.database, model, run, write=self.write)
        self._tidy(model)
        return 0

    def _tidy(self, model: str) -> None:
        """Forget what was learnt by all but the champion, the one before, the newest candidate."""

        def tidied(connection: Connection) -> None:
            runs = models.runs_of(connection, model)
            kept = [
                it.run
                for status in ("champion", "retired", "candidate")
                for it in [each for each in runs if each.status == status][:1]
            ]
            models.drop_artifacts(connection, model, but=kept)

        self.write(tidied)


def learnt(connection: Connection, model: str, run: int) -> Artifact:
    """What a run has learnt.

    Raises:
        StoreError: If it is not kept, or cannot be read.
    """
    return unpack(models.artifact(connection, model, run))


def _judged(lesson: Lesson, champion: ModelRun | None, *, now: Instant) -> tuple[str, bool]:
    """The verdict; a champion that must forget somebody soon gives way to what is not better."""
    by = None if champion is None else champion.retrain_by
    if lesson.is_better or by is None or by - now > URGENT:
        return lesson.verdict, lesson.is_better
    said = f"{lesson.verdict}; promoted all the same: somebody erased must be out by {iso(by)[:10]}"
    return said, True


def _older(runs: list[ModelRun], model: str, to: int | None) -> ModelRun:
    champion = next((it for it in runs if it.status == "champion"), None)
    kept = [it for it in runs if it.status == "retired" and (it.n_scores or it.has_artifact)]
    if to is None:
        if not kept:
            raise UsageError(f'"{model}" has no run before the one that is read: nothing to go to')
        return kept[0]
    if champion is not None and to == champion.run:
        raise UsageError(f'run {to} of "{model}" is the one that is read')
    found = next((it for it in kept if it.run == to), None)
    if found is None:
        known = ", ".join(str(it.run) for it in kept) or "none"
        raise UsageError(
            f'run {to} of "{model}" cannot be read again: of those that were read once, '
            f"these are kept: {known}"
        )
    return found
