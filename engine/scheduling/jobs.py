"""What schedules run: plain functions, the same for the embedded engine and for Prefect's flows.

A job may be begun again after a crash, so each writes what it does under keys of its own. It says
in words what it did. Read next: `broadcast`; `carrying_out`, which calls them.
"""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, Final, NamedTuple, TypeAlias

from engine.core.errors import UsageError
from engine.core.model.instants import DAY
from engine.release import drafts
from engine.release.backfill import Backfilling
from engine.scheduling.broadcast import broadcast
from engine.scheduling.means import Means
from engine.scheduling.rows import Run
from engine.settings import DIRECTORY
from engine.steady import elapsed
from engine.store.connection import Connection

log = logging.getLogger("antiphon.schedules")

RUNS_KEPT: Final = 35 * DAY
DELETED_AT_ONCE: Final = 2_000
"""Rows a transaction: those who wait for the writer wait no longer than for a batch."""
REPORTS: Final = "reports"
PAGE: Final = "experiments.html"
TRAINING: Final = Lock()


class Outcome(NamedTuple):
    """What came of a run, in words; `documents` are Markdown by name, for who shows them."""

    said: str
    documents: Mapping[str, str] = {}


Job: TypeAlias = Callable[[Means, Run], Outcome]


def bandit_updates(means: Means, run: Run) -> Outcome:
    """Let every bandit whose time has come learn; a version is written once, whoever is second."""
    done = means.learning.update(means.database, means.live(), write=means.write, now=means.now())
    if done:
        means.learnt()
    names = ", ".join(f"{it.experiment} has version {it.version}" for it in done)
    return Outcome(names or "no bandit had anything to learn")


def experiment_reports(means: Means, run: Run) -> Outcome:
    """Read all experiments and holdouts as of the run's instant, into `reports/experiments.html`.

    A second reading as of the same instant says the same and takes the place of the first.
    """
    from engine.readout.findings import read_out
    from engine.readout.reports import as_text, page, sections_of
    from engine.readout.studies import studies
    from experiments.errors import ExperimentsError

    playbook = means.live()
    parts: list[Any] = []
    documents: dict[str, str] = {}
    failed: list[str] = []
    for study in studies(playbook.program, playbook.workspace):
        experiment = playbook.program.experiments.get((study.name, study.phase))
        try:
            with means.database.read() as connection:
                found = read_out(connection, study, as_of=run.fire_at, experiment=experiment)
        except (UsageError, ExperimentsError) as error:
            failed.append(f"{study.name}: {error}")
            continue
        parts += sections_of(found)
        documents[study.name] = as_text(found, markdown=True)
    if not parts and not failed:
        return Outcome("no experiment and no holdout has a metric to be judged by yet")
    if parts:
        _replace(
            means.directory / DIRECTORY / REPORTS / PAGE,
            page(parts, title="Experiments and holdouts", notes=failed),
        )
    said = f"{len(documents)} reports in {REPORTS}/{PAGE}"
    return Outcome("; ".join([said, *failed]), documents)


def segment_backfill(means: Means, run: Run) -> Outcome:
    """Prepare a release that waits to go live; its steps move on one row, so two may help."""
    with means.database.read() as connection:
        waiting = drafts.current(connection)
    if waiting is None or waiting.stage == "refused":
        return Outcome("no release is being prepared")
    if means.plays:
        return Outcome("the engine is preparing a release by itself")
    built = Backfilling(means.database, vault=means.vault, write=means.write).run(clock=means.now)
    return Outcome(built.why or f"release {built.release} is live for everybody")


def model_refresh(means: Means, run: Run) -> Outcome:
    """Train one model on what was known at the run's instant; done once, however often begun.

    Models of one process are trained one after the other: each may take a share of the memory.
    """
    from engine.learning.refreshing import Learner, refresh
    from engine.learning.shown import as_markdown, said, write_pages

    learner = Learner(
        means.database, means.live(), means.write, elapsed, means.directory / DIRECTORY,
        # Who plays as well must not wait for it.
        apart=means.directory if means.plays else None,
    )  # fmt: skip
    with TRAINING:
        done = refresh(learner, run.plan.model, as_of=run.fire_at, now=means.now(), is_once=True)
    for standing in write_pages(learner, now=means.now()):
        # Of other models only what no run of theirs would say: that none has come for long.
        if standing.model == run.plan.model or standing.is_stale:
            for warning in standing.warnings():
                log.warning("%s", warning)
    return Outcome(said(done), {run.plan.model: as_markdown(done)})


def retention(means: Means, run: Run) -> Outcome:
    """Delete what nothing asks for any more; history that reports read is kept."""
    counted: dict[str, int] = {}
    for table, keys, condition, kept in _old_rows():
        listed = ", ".join(keys)
        statement = (
            f"DELETE FROM {table} WHERE ({listed}) IN (SELECT {listed} FROM {table} "
            f"WHERE {condition} LIMIT {DELETED_AT_ONCE}) RETURNING 1"
        )
        before = means.now() - kept

        def delete(connection: Connection, statement: str = statement, before: int = before) -> int:
            return len(connection.execute(statement, (before,)))

        n = DELETED_AT_ONCE
        while n == DELETED_AT_ONCE:
            n = means.write(delete)
            counted[table] = counted.get(table, 0) + n
    from engine.learning.registry import Registry

    registry = Registry(means.database, means.write, means.live().program)
    counted["what models had learnt"] = registry.drop_overdue(now=means.now())
    counted["those who refuse to be profiled"] = registry.forget_unprofiled()
    words = [f"{n:,} of {table}" for table, n in counted.items() if n]
    return Outcome(f"deleted {', '.join(words)}" if words else "nothing was old enough")


def _old_rows() -> tuple[tuple[str, tuple[str, ...], str, int], ...]:
    """(table, its key, which rows are old, how long they are kept)."""
    from engine.hearing.hear import STRAYS_FOR
    from engine.intake.triggering import KEPT
    from engine.store.suppressions import SOFT_WINDOW

    return (
        ("schedule_run", ("schedule", "fire_at"), "finished_at < ?", RUNS_KEPT),
        ("idempotency", ("scope", "name"), "at < ?", KEPT),
        ("soft_bounce", ("address_hash", "message_id"), "at < ?", 2 * SOFT_WINDOW),
        ("stray_report", ("id",), "received_at < ?", STRAYS_FOR),
        ("placement", ("message_id",), "expires_at < ?", 0),
    )


def _replace(path: Path, text: str) -> None:
    """Write a file that appears whole, whoever reads it meanwhile."""
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_text(text, "utf-8")
    unfinished.replace(path)


JOBS: Final[Mapping[str, Job]] = {
    "bandit-updates": bandit_updates,
    "experiment-reports": experiment_reports,
    "segment-backfill": segment_backfill,
    "retention": retention,
    "model-refresh": model_refresh,
    "broadcast": lambda means, run: Outcome(broadcast(means, run)),
}
"""Every job by the name that `run:` has in YAML."""
