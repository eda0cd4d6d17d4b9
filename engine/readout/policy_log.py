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
from engine.readout.policies import Policy, read_policy
from engine.readout.studies import Study
from engine.store.connection import Connection
from experiments.bandits.judging import Judged, judged
from experiments.bandits.off_policy import Logged
from experiments.bandits.policy_contrasts import Contrast, WeightsBy, contrast
from experiments.errors import DataError

SEED: Final = 1


@dataclass(frozen=True)
class PolicyFindings:
    """What a policy would have been worth on the experiment's deciding metric."""

    metric: MetricDefinition
    arms: tuple[str, ...]
    judged: Judged
    contrast: Contrast | None = None


@dataclass(frozen=True)
class Weighing:
    """How a bandit's versions are weighed, and what the policy is set against.

    Attributes:
        against: A policy file; None for the control, for everybody.
    """

    by: WeightsBy
    against: Path | None = None


@dataclass(frozen=True)
class _Log:
    """One entry a person: who, what it belongs to, each arm's chance, its version and context."""

    units: tuple[Unit, ...]
    clusters: tuple[str, ...]
    chances: tuple[tuple[float, ...], ...]
    versions: tuple[int, ...] = ()
    contexts: tuple[str, ...] = ()


def judge_policy(
    connection: Connection,
    study: Study,
    path: Path,
    *,
    as_of: Instant,
    experiment: Experiment | None,
    weighing: Weighing | None = None,
) -> PolicyFindings:
    """Read one policy by one experiment's log.

    Args:
        experiment: Its current phase, which a bandit is read by.
        weighing: Of a bandit: also set it against another fixed policy.
    Raises:
        UsageError: If the policy names what is no arm or no trait, the deciding metric is no number
            of each unit, or nobody's window has closed.
    """
    arms = tuple(name for name, weight in study.weights.items() if weight)
    policy = _by_traits(path, arms)
    other = Policy({study.control: 1.0}, ())
    if weighing is not None:
        if study.bandit is None:
            raise UsageError(
                f'"{study.name}": its weights never moved, so there are no versions to weigh;'
                " without --weights-by the policy is read by the planned chances"
            )
        if weighing.against is not None:
            other = _by_traits(weighing.against, arms)
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
    known = known_traits(connection, ids, tuple(dict.fromkeys([*policy.columns, *other.columns])))
    try:
        logged = Logged.of(
            [place[unit.variant] for unit in log.units], [it[0] for it in pairs], log.chances
        )
        target = policy.chances(known, arms=arms, n=len(ids))
        worth = judged(
            logged,
            target,
            clusters=log.clusters,
            known={name: known[name] for name in policy.columns},
            rng=np.random.default_rng(SEED),
            alpha=study.alpha,
        )
        weighed = None
        if weighing is not None:
            if len(set(log.clusters)) < len(log.units):
                raise UsageError(
                    f'"{study.name}": a drawn unit holds several people, and --weights-by takes'
                    " each person as drawn alone; read it without"
                )
            is_control = weighing.against is None
            weighed = contrast(
                logged,
                target,
                against=other.chances(known, arms=arms, n=len(ids)),
                named=f"everybody {study.control}" if is_control else str(weighing.against),
                version=log.versions,
                # Chances depended on it, where there are contexts at all.
                known={**known, "context": np.array(log.contexts)},
                weights_by=weighing.by,
                alpha=study.alpha,
            )
    except DataError as error:
        raise UsageError(f'"{study.name}": {error}') from error
    return PolicyFindings(metric, arms, worth, weighed)


def _by_traits(path: Path, arms: Sequence[str]) -> Policy:
    policy = read_policy(path, arms=arms)
    for column in policy.columns:
        if not column.startswith(TRAITS) or column == TRAITS:
            raise UsageError(
                f'{path}: "{column}" is no trait; rules of an experiment name traits.X'
            )
    return policy


def _of_bandit(
    connection: Connection,
    experiment: Experiment,
    arms: Sequence[str],
    *,
    window: int,
    as_of: Instant,
) -> _Log:
    found = bandit_log(connection, experiment, window=window, as_of=as_of)
    units, clusters, chances, versions, contexts = [], [], [], [], []
    for number, drawn in enumerate(found.drawn):
        vector = found.vectors[drawn.stratum]
        for unit in drawn.exposed:
            units.append(unit)
            clusters.append(str(number))
            chances.append(tuple(vector.get(arm, 0.0) for arm in arms))
            versions.append(drawn.version)
            contexts.append(drawn.context)
    return _Log(tuple(units), tuple(clusters), tuple(chances), tuple(versions), tuple(contexts))
