"""The units of an experiment with the chances they were drawn by, for judging another policy.

Of a bandit the chances are those of the version each unit was drawn by, of everything else the
planned weights. Traits are as they stand today: one that the treatment changed would mislead.
Read next: `policies` for how a policy is written, `experiments.bandits.judging` for its worth.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from campaigns.metrics import MetricDefinition, WarehouseMetric
from engine.core.errors import UsageError
from engine.core.model.campaigns import Experiment
from engine.core.model.instants import Instant
from engine.readout.bandits import bandit_log
from engine.readout.exploring import TRAITS, known_traits
from engine.readout.exposures import population_of
from engine.readout.metric_sums import Unit, outcomes
from engine.readout.plans import reading_of
from engine.readout.policies import read_policy
from engine.readout.studies import Study
from engine.store.connection import Connection
from experiments.bandits.judging import Judged, judged
from experiments.bandits.off_policy import Logged
from experiments.errors import DataError

SEED: Final = 1


@dataclass(frozen=True)
class PolicyFindings:
    """What a policy would have been worth on the experiment's deciding metric."""

    metric: MetricDefinition
    arms: tuple[str, ...]
    judged: Judged


@dataclass(frozen=True)
class _Log:
    """One entry a person: who, what it belongs to, and the chances of each arm."""

    units: tuple[Unit, ...]
    clusters: tuple[str, ...]
    chances: tuple[tuple[float, ...], ...]


def judge_policy(
    connection: Connection,
    study: Study,
    path: Path,
    *,
    as_of: Instant,
    experiment: Experiment | None,
) -> PolicyFindings:
    """Read one policy by one experiment's log.

    Args:
        experiment: Its current phase, which a bandit is read by.
    Raises:
        UsageError: If the policy names what is no arm or no trait, the deciding metric is no number
            of each unit, or nobody's window has closed.
    """
    arms = tuple(name for name, weight in study.weights.items() if weight)
    policy = read_policy(path, arms=arms)
    for column in policy.columns:
        if not column.startswith(TRAITS) or column == TRAITS:
            raise UsageError(
                f'{path}: "{column}" is no trait; rules of an experiment name traits.X'
            )
    reading = reading_of(connection, study)
    deciding = reading.plan.deciding.name
    metric = next(it for it, _ in reading.metrics if it.name == deciding)
    if isinstance(metric, WarehouseMetric) or metric.measure in ("quantile", "mean_per_event"):
        raise UsageError(
            f'the metric "{metric.name}" is no number that each unit has here; a policy is judged'
            " by a metric of events that happened, are counted or added up"
        )
    window = max([it.within or 0 for it, _ in reading.metrics])
    if study.bandit is None:
        found = population_of(connection, study, reading.plan, window=window, as_of=as_of)
        total = sum(study.weights[arm] for arm in arms)
        chances = tuple(study.weights[arm] / total for arm in arms)
        log = _Log(
            tuple(it.unit for it in found.mature),
            tuple(it.key or str(it.unit.profile_id) for it in found.mature),
            (chances,) * len(found.mature),
        )
    else:
        if experiment is None:
            raise UsageError(f'"{study.name}": the bandit\'s phase is not in the program')
        log = _of_bandit(connection, experiment, arms, window=window, as_of=as_of)
    if not log.units:
        raise UsageError(f'"{study.name}": nobody\'s window has closed yet, so nothing is known')
    place = {arm: number for number, arm in enumerate(arms)}
    pairs = outcomes(connection, log.units, replace(metric, covariate=None), as_of=as_of)
    ids = [unit.profile_id for unit in log.units]
    known = known_traits(connection, ids, policy.columns)
    try:
        logged = Logged.of(
            [place[unit.variant] for unit in log.units], [it[0] for it in pairs], log.chances
        )
        worth = judged(
            logged,
            policy.chances(known, arms=arms, n=len(ids)),
            clusters=log.clusters,
            known=known,
            rng=np.random.default_rng(SEED),
            alpha=study.alpha,
        )
    except DataError as error:
        raise UsageError(f'"{study.name}": {error}') from error
    return PolicyFindings(metric, arms, worth)


def _of_bandit(
    connection: Connection,
    experiment: Experiment,
    arms: Sequence[str],
    *,
    window: int,
    as_of: Instant,
) -> _Log:
    found = bandit_log(connection, experiment, window=window, as_of=as_of)
    units, clusters, chances = [], [], []
    for number, drawn in enumerate(found.drawn):
        vector = found.vectors[drawn.version]
        for unit in drawn.exposed:
            units.append(unit)
            clusters.append(str(number))
            chances.append(tuple(vector.get(arm, 0.0) for arm in arms))
    return _Log(tuple(units), tuple(clusters), tuple(chances))
