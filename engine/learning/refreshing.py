"""Trains a model anew and lets what came of it be read, if it is better.

Reads the log as of an instant, so that a run can be repeated; a schedule's run has its own instant
and is done once, however often it is begun. A refusal is a run, too: it says what is missing, and
the last champion stays. Read next: `registry`, which decides; `training_*`, one a kind of model.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import get_ident
from typing import Any, Final, Protocol

from msgspec import Struct

from campaigns.models import Learning, Model, kind_of
from campaigns.problems import advice
from engine.core.errors import UsageError
from engine.core.model.instants import Instant
from engine.learning.lessons import Lesson, config_hash, seed_of
from engine.learning.material import Material
from engine.learning.refusals import Refused
from engine.learning.registry import Kept, Registry, Write
from engine.release.playbook import Playbook
from engine.store import models
from engine.store.database import Database
from engine.store.models import About

ROOMS: Final[Mapping[str, str]] = {
    "cluster": "engine.learning.training_clusters",
    "score": "engine.learning.training_scores",
    "recommender": "engine.learning.training_recommenders",
    "send_time": "engine.learning.training_send_times",
    "uplift": "engine.learning.training_uplift",
}
"""What trains each kind of model: a module with `learn(material, model) -> Lesson`."""

REPORTS: Final = "reports"


class Refreshed(Struct, frozen=True):
    """What came of a model's training.

    Attributes:
        status: champion, candidate or refused; `dry` where nothing was to be kept; `done` where
            the same run, or one that knows more, was made before.
        metrics: How good it is; `notes` what whoever reads it should know.
    """

    model: str
    run: int
    kind: str
    status: str
    verdict: str
    n_scored: int
    n_woken: int
    metrics: Mapping[str, Any]
    notes: tuple[str, ...] = ()


class _Trainer(Protocol):
    def learn(self, material: Material, model: Any) -> Lesson: ...


@dataclass(frozen=True)
class Learner:
    """What learning works with.

    Attributes:
        write: Runs a function in a write transaction.
        clock: Microseconds that only go forward.
        folder: Of the workspace's own files, where reports go; None writes none.
        apart: The workspace's folder, where training is done in a process of its own so that
            nothing beside it waits; None trains in this one.
    """

    database: Database
    playbook: Playbook
    write: Write
    clock: Callable[[], int]
    folder: Path | None = None
    apart: Path | None = None

    @property
    def registry(self) -> Registry:
        return Registry(self.database, self.write, self.playbook.program)


def refresh(
    learner: Learner, name: str, *, as_of: Instant, now: Instant, is_once: bool = False
) -> Refreshed:
    """Train a model on what was known at an instant, and publish the run if it is better.

    Args:
        is_once: Do nothing where a run of this definition as of this instant, or a later one, is
            there already.
    Raises:
        UsageError: If there is no such model, or the instant is still to come.
        StoreError: If another run of the model was published meanwhile.
    """
    model, learning = known(learner.playbook, name)
    about = _about(model, learning, as_of=as_of, now=now)
    if is_once:
        with learner.database.read() as connection:
            done = models.trained_as_of(
                connection, name, as_of=as_of, config_hash=about.config_hash
            )
        if done is not None:
            return Refreshed(
                name, done.run, about.kind, "done", done.about.verdict, done.n_scores, 0,
                done.about.metrics,
            )  # fmt: skip
    try:
        lesson = _learnt(learner, model, learning, about, now=now)
    except Refused as refused:
        _forget_in_time(learner, name, now=now)
        kept = learner.registry.refuse(name, about, str(refused), now=now)
        return _refreshed(kept, {}, ())
    kept = learner.registry.keep(name, about, lesson, now=now)
    if lesson.page and learner.folder is not None:
        _write_page(learner.folder, name, lesson.page)
    return _refreshed(kept, lesson.metrics, lesson.notes)


def rehearse(learner: Learner, name: str, *, as_of: Instant, now: Instant) -> Refreshed:
    """Train as `refresh` does, and keep nothing of it.

    Raises:
        UsageError: If there is no such model, or the instant is still to come.
    """
    model, learning = known(learner.playbook, name)
    about = _about(model, learning, as_of=as_of, now=now)
    try:
        lesson = _learnt(learner, model, learning, about, now=now)
    except Refused as refused:
        return Refreshed(name, 0, about.kind, "refused", str(refused), 0, 0, {})
    return Refreshed(
        name, 0, about.kind, "dry", lesson.verdict, len(lesson.values), 0, lesson.metrics,
        lesson.notes,
    )  # fmt: skip


def known(playbook: Playbook, name: str) -> tuple[Model, Learning]:
    """A model of the live release, and what all of its models share.

    Raises:
        UsageError: If there is no such model; the nearest name is said.
    """
    from campaigns.model_compile import learning_of, models_of

    found = models_of(playbook.workspace)
    if name not in found:
        hint = advice(name, list(found)) or " There is none at all: models/ holds no file."
        raise UsageError(f'there is no model "{name}".{hint}')
    return found[name], learning_of(playbook.workspace)


def page_of(folder: Path, name: str) -> Path:
    """Where a model's report stands."""
    return folder / REPORTS / f"model-{name}.html"


def _about(model: Model, learning: Learning, *, as_of: Instant, now: Instant) -> About:
    if as_of > now:
        raise UsageError("a model cannot be trained on what is still to come; choose an instant")
    config = config_hash(model, learning)
    return About(
        kind=kind_of(model),
        as_of=as_of,
        config_hash=config,
        code_version=_code_version(),
        seed=seed_of(model.name, config),
    )


def learn_here(
    learner: Learner, name: str, *, as_of: Instant, now: Instant, config_hash: str
) -> Lesson:
    """The training alone, by whoever was asked to do it apart; nothing is kept.

    Raises:
        Refused: If there is too little to learn from.
        UsageError: If the model is not defined as it was when this was asked.
    """
    model, learning = known(learner.playbook, name)
    about = _about(model, learning, as_of=as_of, now=now)
    if about.config_hash != config_hash:
        raise UsageError(f'"{name}" was defined anew before its training began; train it again')
    return _learnt(learner, model, learning, about, now=now)


def _learnt(
    learner: Learner, model: Model, learning: Learning, about: About, *, now: Instant
) -> Lesson:
    if learner.apart is not None:
        from engine.learning.apart import learn_apart

        return learn_apart(
            learner.apart, learner.database.url, model.name, as_of=about.as_of, now=now,
            config_hash=about.config_hash,
        )  # fmt: skip
    room: _Trainer = import_module(ROOMS[about.kind])
    with learner.database.read() as connection:
        champion = models.champion_of(connection, model.name)
        if champion is not None and champion.about.kind != about.kind:
            champion = None  # The name was another kind of model's: nothing of it goes on.
        material = Material(
            connection=connection,
            playbook=learner.playbook,
            learning=learning,
            as_of=about.as_of,
            present=now,
            seed=about.seed,
            champion=champion,
            clock=learner.clock,
            config_hash=about.config_hash,
        )
        return room.learn(material, model)


def _forget_in_time(learner: Learner, name: str, *, now: Instant) -> None:
    """A champion that should have forgotten somebody by now, and cannot be replaced, is gone."""
    with learner.database.read() as connection:
        champion = models.champion_of(connection, name)
    if champion is not None and champion.retrain_by is not None and champion.retrain_by <= now:
        learner.registry.withdraw(name, now=now)


def _refreshed(kept: Kept, metrics: Mapping[str, Any], notes: tuple[str, ...]) -> Refreshed:
    return Refreshed(
        kept.model, kept.run, kept.kind, kept.status, kept.verdict, kept.n_scored, kept.n_woken,
        metrics, notes,
    )  # fmt: skip


def _write_page(folder: Path, name: str, page: str) -> None:
    path = page_of(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: two trainings of one model may write at once.
    unfinished = path.with_name(f"{path.name}.{os.getpid()}-{get_ident()}")
    unfinished.write_text(page, "utf-8")
    unfinished.replace(path)


@cache
def _code_version() -> str:
    try:
        return version("antiphon")
    except PackageNotFoundError:
        return "unknown"
