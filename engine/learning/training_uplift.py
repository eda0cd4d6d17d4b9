"""Trains an `uplift:` model from an experiment or a holdout, and publishes it only where it pays.

A unit's features are those of the start of the week in which it was exposed: nothing of what the
message did is among them. Only units whose outcome is whole are read.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from campaigns.metrics import MetricDefinition, compile_metrics
from campaigns.models import UpliftModel
from engine.core.errors import UsageError
from engine.core.journeys.holdouts import HELD_OUT, TREATED
from engine.core.model.instants import DAY, Instant
from engine.learning import cutting
from engine.learning.artifact import Artifact
from engine.learning.features import FeatureTable
from engine.learning.history import history, reading_of
from engine.learning.lessons import Lesson, data_hash
from engine.learning.material import Material
from engine.learning.preparing import Reader
from engine.learning.refusals import Refused
from engine.readout.assigned import exposed_units, measured
from engine.readout.metric_sums import Unit
from engine.readout.studies import Study, studies
from experiments.errors import ExperimentsError

if TYPE_CHECKING:
    from experiments.uplift.targeting import Targeting

WEEK: Final = 7 * DAY
WEEKS_MAX: Final = 12
"""Weeks of exposures that are learnt from, the latest: each is a reading of the log."""


def learn(material: Material, model: UpliftModel) -> Lesson:
    """Learn whom the message changes on one half of the units, and judge on the other.

    Raises:
        Refused: If there is no such study, or too little to learn from.
    """
    from experiments.uplift.targeting import target
    from experiments.uplift.units import Units
    from experiments.uplift.values import Terms

    study = _study(material, model)
    arm, control = _arms(model)
    definition = _metric(material, model)
    units = _mature(material, model, study, definition)
    chance = study.weights[arm] / (study.weights[arm] + study.weights[control])
    tables, ordered = _tables(material, model, units)
    reader = Reader.learn(tables[0], None)
    matrices = [reader.matrix(table) for table in tables]
    outcome = measured(material.connection, ordered, definition, as_of=material.as_of)
    import numpy as np

    values = np.vstack([it.values for it in matrices])
    treated = np.array([it.variant == arm for it in ordered])
    y = np.array(outcome, dtype=np.float64)
    if definition.better == "lower":
        y = -y
    terms = Terms(value=model.value, cost=model.cost, budget=model.budget)
    try:
        found = target(Units.of(values, treated, y, chance), rng=material.rng(), terms=terms)
    except ExperimentsError as error:
        raise Refused(
            str(error), "let the experiment run on, or choose a bolder difference"
        ) from error
    today = _features(material, model, material.as_of)
    matrix = reader.matrix(today)
    effects = found.effects.predict(matrix.values)
    return Lesson(
        artifact=reader.beside(_artifact(found)),
        is_better=found.is_accepted,
        verdict=found.why.rstrip("."),
        metrics=_metrics(found),
        data_hash=data_hash(values, treated, y),
        values={
            profile: (value, "")
            for profile, value in zip(matrix.ids.tolist(), effects.tolist(), strict=True)
        },
    )


def _study(material: Material, model: UpliftModel) -> Study:
    playbook = material.playbook
    name = model.experiment or model.campaign
    found = next(
        (
            it
            for it in studies(playbook.program, playbook.workspace)
            if (it.name == name if model.experiment else _is_holdout_of(it, name))
        ),
        None,
    )
    if found is None:
        raise Refused(f'"{name}" is no experiment or holdout that is read', "give it a metric")
    if found.bandit is not None:
        raise Refused(
            f'"{name}" is a bandit, whose shares change', "learn uplift from planned weights"
        )
    for arm in _arms(model):
        if arm not in found.weights:
            known = ", ".join(found.weights)
            raise Refused(f'"{name}" has no variant "{arm}"', f"its variants are: {known}")
    return found


def _arms(model: UpliftModel) -> tuple[str, str]:
    """(treated, not): of a holdout as the exposures name them."""
    return (model.arm, model.control) if model.experiment else (TREATED, HELD_OUT)


def _is_holdout_of(study: Study, campaign: str) -> bool:
    return study.kind == "campaign holdout" and study.campaign == campaign


def _metric(material: Material, model: UpliftModel) -> MetricDefinition:
    found = compile_metrics(material.playbook.workspace).get(model.metric)
    if found is None:
        raise Refused(f'there is no metric "{model.metric}"', "name one of metrics/*.yaml")
    return found


def _mature(
    material: Material, model: UpliftModel, study: Study, definition: MetricDefinition
) -> list[Unit]:
    """Units of the two arms whose outcome is whole, of the latest weeks."""
    before = material.as_of - (definition.within or 0)
    units = [
        it
        for it in exposed_units(material.connection, study, as_of=before)
        if it.variant in _arms(model)
    ]
    if not units:
        raise Refused(
            f'nobody\'s outcome of "{study.name}" is whole yet', "wait until its window is over"
        )
    latest = max(it.at for it in units) // WEEK
    return [it for it in units if it.at // WEEK > latest - WEEKS_MAX]


def _tables(
    material: Material, model: UpliftModel, units: Sequence[Unit]
) -> tuple[list[FeatureTable], list[Unit]]:
    """Features by week of exposure, and the units in the same order."""
    by_week: dict[int, dict[int, Unit]] = defaultdict(dict)
    for it in units:
        by_week[it.at // WEEK][it.profile_id] = it
    tables, ordered = [], []
    for week in sorted(by_week, reverse=True):
        own = by_week[week]
        table = _features(material, model, week * WEEK, among=sorted(own))
        if len(table):
            tables.append(table)
            ordered += [own[profile] for profile in table.ids.tolist()]
    if not tables:
        raise Refused("nothing was known of anybody before they were exposed", "wait some weeks")
    return tables, ordered


def _features(
    material: Material, model: UpliftModel, at: Instant, *, among: Sequence[int] | None = None
) -> FeatureTable:
    is_imported = at < material.as_of and cutting.was_imported(material.connection, at)
    with history(
        material.connection,
        as_of=at,
        learning=material.learning,
        reading=reading_of(material.playbook.workspace),
        told_by=material.as_of if is_imported else None,
    ) as past:
        return past.features(model.features, among=among, zone=material.zone)


def _artifact(found: "Targeting") -> Artifact:
    from experiments.uplift.effects import LinearEffects

    if not isinstance(found.effects, LinearEffects):
        raise UsageError("only linear effects are kept")
    figures = found.figures()
    return Artifact(found.effects.arrays(), {"kind": "uplift", "figures": figures})


def _metrics(found: "Targeting") -> dict[str, Any]:
    figures = found.figures()
    gains = [{"name": f"gain over {name}", **it} for name, it in figures["gains"].items()]
    least = min(found.gains, key=lambda name: found.gains[name].ci_lower or 0.0)
    return {
        "primary": {"name": f"gain over {least}", **figures["gains"][least]},
        "figures": [*gains, {"name": "Qini", **figures["qini"]}],
        "targeting": figures,
    }
