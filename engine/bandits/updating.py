"""Learns the weights of bandits anew when their time has come, and keeps them as a new version.

A version holds from its instant on, for units that are drawn after it: nobody moves. Whoever comes
second with one writes nothing. Read next: `engine.readout.bandits`, what is learnt from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from campaigns.metrics import MetricDefinition, compile_metrics
from campaigns.problems import advice
from engine.bandits.due import Write, bandits, due_at
from engine.bandits.weights import append, versions
from engine.core.clocktime import iso
from engine.core.errors import UsageError
from engine.core.model.campaigns import Allocation, Experiment
from engine.core.model.instants import DAY, Instant
from engine.readout.bandits import (
    BanditLog,
    bandit_log,
    cells_of,
    cohorts_of,
    require_readable,
)
from engine.release.playbook import Playbook
from engine.store.connection import Connection
from engine.store.database import Database
from experiments.bandits.beliefs import p_best
from experiments.bandits.borrowing import Beliefs, beliefs_by_context
from experiments.bandits.learning import WARM_UP, beliefs_from
from experiments.bandits.log import Batch
from experiments.bandits.policies import Policy, next_vector
from experiments.errors import ExperimentsError


@dataclass(frozen=True)
class Update:
    """What came of one bandit's turn.

    Attributes:
        version: Of the weights in force afterwards; 0 for the planned ones.
        is_new: Whether this turn has written it.
        weights: In force from now on, outside the explored slice.
        contexts: Those of each context that has its own; others have `weights`.
        n: Units per arm that were learnt from.
        why: Why nothing was learnt, or "".
    """

    experiment: str
    phase: int
    version: int
    is_new: bool
    weights: Mapping[str, int]
    n: Mapping[str, int]
    why: str
    contexts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def update_bandit(
    database: Database,
    playbook: Playbook,
    experiment: Experiment,
    *,
    write: Write,
    now: Instant,
) -> Update:
    """Learn from the matured cohorts and keep a new version, if there is enough to learn from.

    Raises:
        UsageError: If the metric cannot be learnt from, or `every` has not passed.
        ExperimentsError: If the floor leaves no room for the arms.
    """
    metric = metric_of(playbook, experiment)
    with database.read() as connection:
        due = due_at(connection, experiment)
        if now < due:
            raise UsageError(f'"{experiment.name}" learns again at {iso(due)}, not before')
        kept = versions(connection, experiment.name, experiment.phase)
        allocation, trained, why = _learnt(connection, experiment, metric, kept, now=now)
    n = trained.get("units", {})
    if allocation is not None:
        is_new = write(
            partial(_append, experiment=experiment, allocation=allocation, trained=trained)
        )
        if is_new:
            return Update(
                experiment.name, experiment.phase, allocation.version, True, allocation.weights,
                n, "", allocation.contexts,
            )  # fmt: skip
        why = "another process has just learnt it"
    return _unchanged(experiment, kept, n=n, why=why)


def update_payload(
    database: Database,
    payload: Mapping[str, Any],
    *,
    playbook: Playbook,
    write: Write,
    now: Instant,
) -> dict[str, Any]:
    """Give every bandit, or the one named, its turn: {"name": one or "all"}, as a command asks.

    A bandit whose time has not come, or that cannot be learnt from, says why.

    Raises:
        UsageError: If there is none of the name.
    """
    found = bandits(playbook.program)
    name = str(payload.get("name") or "all")
    if name != "all":
        known = [it.name for it in found]
        found = [it for it in found if it.name == name]
        if not found:
            hint = advice(name, known) or " There is none at all."
            raise UsageError(f'there is no bandit "{name}".{hint}')
    turns: list[dict[str, Any]] = []
    for experiment in found:
        try:
            done = update_bandit(database, playbook, experiment, write=write, now=now)
        except (UsageError, ExperimentsError) as error:
            with database.read() as connection:
                kept = versions(connection, experiment.name, experiment.phase)
            done = _unchanged(experiment, kept, n={}, why=str(error))
        turns.append(
            {
                "experiment": done.experiment,
                "phase": done.phase,
                "version": done.version,
                "is_new": done.is_new,
                "weights": dict(done.weights),
                "contexts": {name: dict(its) for name, its in done.contexts.items()},
                "units": dict(done.n),
                "why": done.why,
            }
        )
    return {"bandits": turns}


def metric_of(playbook: Playbook, experiment: Experiment) -> MetricDefinition:
    """What a bandit learns from: its first primary metric.

    Raises:
        UsageError: If there is none, or it cannot be learnt from.
    """
    known = compile_metrics(playbook.workspace)
    primary = [known[name] for name in experiment.metrics.get("primary", ()) if name in known]
    if not primary:
        raise UsageError(
            f'the bandit "{experiment.name}" has no primary metric to learn from. Name one: '
            "metrics: {primary: conversion-3d}"
        )
    require_readable(primary[0])
    return primary[0]


def _learnt(
    connection: Connection,
    experiment: Experiment,
    metric: MetricDefinition,
    kept: tuple[Allocation, ...],
    *,
    now: Instant,
) -> tuple[Allocation | None, dict[str, Any], str]:
    """(the new version, what it was learnt from, why there is none)."""
    bandit = experiment.bandit
    assert bandit is not None
    mature = bandit_log(connection, experiment, window=metric.within or 0, as_of=now)
    cohorts = cohorts_of(connection, mature, metric, as_of=now, for_training=True)
    n = {arm: sum(it.of(arm).n for it in cohorts) for arm in mature.arms}
    trained: dict[str, Any] = {"metric": metric.name, "as_of": now, "units": n}
    beliefs, own = _beliefs(mature, cohorts)
    if beliefs is None:
        days = (metric.within or 0) / DAY
        return None, trained, (
            f"there is too little to learn from: every arm needs {WARM_UP} units whose "
            f"{days:g} days are over, and outcomes that vary; "
            f"{mature.n_open:,} units still wait"
        )  # fmt: skip
    better: Literal["higher", "lower"] = "lower" if metric.better == "lower" else "higher"
    policy = Policy(bandit.algorithm, bandit.floor, bandit.explore, better=better)
    number = kept[-1].version + 1 if kept else 1
    points = next_vector(beliefs, policy, update=number)
    best = p_best(beliefs, better=better)
    trained |= {
        "means": {arm: it.mean for arm, it in zip(mature.arms, beliefs, strict=True)},
        "variances": {arm: it.variance for arm, it in zip(mature.arms, beliefs, strict=True)},
        "p_best": dict(zip(mature.arms, best, strict=True)),
    }
    nobody = {it.name: 0 for it in experiment.variants}
    weights = nobody | dict(zip(mature.arms, points, strict=True))
    contexts = {
        name: nobody | dict(zip(mature.arms, next_vector(its, policy, update=number), strict=True))
        for name, its in own.items()
    }
    if mature.contexts:
        trained |= {
            "contexts": {
                name: {"means": [it.mean for it in its], "variances": [it.variance for it in its]}
                for name, its in own.items()
            }
        }
    return Allocation(number, now, weights, contexts), trained, ""


def _beliefs(
    log: BanditLog, cohorts: Sequence[Batch]
) -> tuple[Beliefs | None, Mapping[str, Beliefs]]:
    """Of everybody, and of each context that has enough units of its own."""
    if not log.contexts:
        return beliefs_from(cohorts, log.arms), {}
    by_context: dict[str, list[Batch]] = {name: [] for name in log.contexts}
    for cell in cells_of(log, cohorts):
        by_context[cell.context].append(cell.batch)
    return beliefs_by_context(by_context, log.arms)


def _unchanged(
    experiment: Experiment, kept: tuple[Allocation, ...], *, n: Mapping[str, int], why: str
) -> Update:
    planned = {it.name: it.weight for it in experiment.variants}
    weights = kept[-1].weights if kept else planned
    version = kept[-1].version if kept else 0
    contexts = kept[-1].contexts if kept else {}
    return Update(experiment.name, experiment.phase, version, False, weights, n, why, contexts)


def _append(
    connection: Connection,
    *,
    experiment: Experiment,
    allocation: Allocation,
    trained: Mapping[str, Any],
) -> bool:
    return append(connection, experiment.name, experiment.phase, allocation, trained=trained)
