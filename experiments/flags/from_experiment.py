"""Our experiments as the payload that GrowthBook's SDKs read: they assign whom `assign` assigns.

Ranges are written on bucket boundaries, bucket by bucket those of `experiments.assignment`, so
the comparison an SDK makes in floating point cannot fall to another side. What SDKs cannot compute
(SHA-256) is refused with its reason; the server evaluates such experiments itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.assignment import N_BUCKETS, HashVersion, slice_of_buckets, whole_buckets
from experiments.errors import AssignmentError
from experiments.flags.from_bandit import bandit_definitions, bandit_rules
from experiments.flags.served import ServedExperiment

VARIANT_OF = "$variant:"
"""Prefix of the companion feature whose value is a unit's variant: what prerequisites ask."""


def payload_document(
    served: Sequence[ServedExperiment],
    *,
    for_sdks: bool = True,
    date_updated: str | None = None,
) -> dict[str, Any]:
    """The JSON of `GET /api/features/{clientKey}`.

    Args:
        for_sdks: Refuse what SDKs cannot compute. Without, the payload is for our own evaluator,
            which also knows hash version "s256".
    Raises:
        AssignmentError: If names repeat, a prerequisite is missing or leads in a circle, or (for
            SDKs) an experiment cannot be expressed.
    """
    by_name = _by_name(served)
    _check_requirements(by_name)
    if for_sdks:
        _, reasons = split_for_sdks(served)
        for name, reason in reasons.items():
            raise AssignmentError(
                f"experiment {name!r} cannot be published to SDKs: {reason}; leave it out and"
                " serve it by remote evaluation"
            )
    required = {each.experiment for experiment in served for each in experiment.requires}
    features: dict[str, Any] = {}
    for experiment in served:
        features[experiment.name] = feature_document(experiment)
        if experiment.name in required:
            features[VARIANT_OF + experiment.name] = _companion(experiment)
    document: dict[str, Any] = {"status": 200, "features": features, "experiments": []}
    bandits = {
        name: definition
        for experiment in served
        for name, definition in bandit_definitions(experiment).items()
    }
    if bandits:
        document["contextualBandits"] = bandits
    if date_updated is not None:
        document["dateUpdated"] = date_updated
    return document


def split_for_sdks(
    served: Sequence[ServedExperiment],
) -> tuple[tuple[ServedExperiment, ...], dict[str, str]]:
    """Those SDKs can compute, and the reasons of the others; a prerequisite's reason is passed on.

    Raises:
        AssignmentError: As `payload_document`, but for what SDKs cannot compute.
    """
    by_name = _by_name(served)
    _check_requirements(by_name)
    reasons: dict[str, str] = {}
    for experiment in _parents_first(by_name):
        reason = why_not_for_sdks(experiment)
        for each in experiment.requires:
            if reason is None and each.experiment in reasons:
                reason = f"it requires {each.experiment!r}, of which {reasons[each.experiment]}"
        if reason is not None:
            reasons[experiment.name] = reason
    return tuple(each for each in served if each.name not in reasons), reasons


def why_not_for_sdks(experiment: ServedExperiment) -> str | None:
    """Why SDKs cannot decide an experiment by themselves; None if they can."""
    if experiment.server_only:
        return experiment.server_only
    if experiment.state != "live":
        return None  # One value for everyone.
    if experiment.version == "s256":
        return 'the hash is "s256" (SHA-256), which SDKs do not compute'
    for holdout in experiment.holdouts:
        if holdout.version == "s256":
            return (
                f'the holdout {holdout.seed!r} is decided by "s256" (SHA-256), which SDKs do not'
                " compute"
            )
    return None


def feature_document(experiment: ServedExperiment) -> dict[str, Any]:
    """The feature a client asks for: forced units first, then the experiment."""
    values = {each.name: each.value for each in experiment.variants}
    return _feature(experiment, values, experiment.default_value)


def experiment_document(experiment: ServedExperiment) -> dict[str, Any]:
    """The experiment alone, for an SDK's `run`."""
    return _experiment(experiment, {each.name: each.value for each in experiment.variants})


def _companion(experiment: ServedExperiment) -> dict[str, Any]:
    return _feature(experiment, {each.name: each.name for each in experiment.variants}, None)


def _feature(
    experiment: ServedExperiment, values: Mapping[str, Any], default: Any
) -> dict[str, Any]:
    if experiment.state != "live":
        value = values[experiment.winner] if experiment.winner else default
        return {"defaultValue": value, "rules": []}
    forced = [
        {
            "id": f"forced:{name}",
            "condition": {experiment.attribute: {"$in": _forms(units)}},
            "force": values[name],
        }
        for name in values
        if (units := [unit for unit, to in experiment.forced.items() if to == name])
    ]
    rule = {"id": experiment.name, **_experiment(experiment, values)}
    rules = [rule] if experiment.bandit is None else bandit_rules(experiment, rule)
    return {"defaultValue": default, "rules": [*forced, *rules]}


def _forms(units: Sequence[str]) -> list[Any]:
    """Units as clients may send them: a client whose ids are numbers sends 7, not "7"."""
    numbers = [int(unit) for unit in units if unit.isascii() and unit.isdigit()]
    return [*units, *(number for number in numbers if str(number) in units)]


def _experiment(experiment: ServedExperiment, values: Mapping[str, Any]) -> dict[str, Any]:
    weights = [each.weight for each in experiment.variants]
    version = experiment.version
    buckets = whole_buckets(weights, coverage=experiment.coverage, version=version)
    document: dict[str, Any] = {
        "key": experiment.name,
        "name": experiment.name,
        "seed": experiment.seed,
        "hashAttribute": experiment.attribute,
        "hashVersion": version,
        "variations": [values[each.name] for each in experiment.variants],
        "meta": [{"key": each.name, "name": each.name} for each in experiment.variants],
        # The ranges decide; weights and coverage are for whoever reads the payload.
        "weights": [weight / sum(weights) for weight in weights],
        "coverage": experiment.coverage,
        "ranges": [_range(first, last, version) for first, last in buckets],
    }
    if experiment.phase:
        document["phase"] = experiment.phase
    if experiment.audience:
        document["condition"] = dict(experiment.audience)
    filters = _filters(experiment)
    if filters:
        document["filters"] = filters
    if experiment.namespace is not None:
        document["namespace"] = list(experiment.namespace)
    if experiment.requires:
        document["parentConditions"] = [
            {"id": VARIANT_OF + each.experiment, "condition": {"value": each.variant}}
            for each in experiment.requires
        ]
    if experiment.sticky:
        # One version for every phase: an exposed unit keeps its variant for the experiment's life.
        document["bucketVersion"] = 0
        document["minBucketVersion"] = 0
        if experiment.fallback:
            document["fallbackAttribute"] = experiment.fallback
    else:
        document["disableStickyBucketing"] = True
    return document


def _filters(experiment: ServedExperiment) -> list[dict[str, Any]]:
    """Holdouts and the layer: silent, as being held out is no exposure to the experiment."""
    found: list[tuple[str, HashVersion, int, int]] = []
    for holdout in experiment.holdouts:
        _, last = slice_of_buckets(0.0, holdout.share, holdout.version)
        found.append((holdout.seed, holdout.version, last, N_BUCKETS[holdout.version]))
    if experiment.layer is not None:
        layer = experiment.layer
        found.append((layer.seed, 2, *slice_of_buckets(layer.start, layer.end, 2)))
    return [
        {
            "seed": seed,
            "attribute": experiment.attribute,
            "hashVersion": version,
            "ranges": [_range(first, last, version)],
        }
        for seed, version, first, last in found
    ]


def _range(first: int, last: int, version: HashVersion) -> list[float]:
    size = N_BUCKETS[version]
    return [first / size, last / size]


def _by_name(served: Sequence[ServedExperiment]) -> dict[str, ServedExperiment]:
    by_name: dict[str, ServedExperiment] = {}
    for experiment in served:
        if experiment.name in by_name:
            raise AssignmentError(f"two experiments are named {experiment.name!r}")
        by_name[experiment.name] = experiment
    return by_name


def _check_requirements(by_name: Mapping[str, ServedExperiment]) -> None:
    for experiment in by_name.values():
        for each in experiment.requires:
            if each.experiment not in by_name:
                raise AssignmentError(
                    f"experiment {experiment.name!r} requires {each.experiment!r}, which is not"
                    " published; publish both or drop the requirement"
                )
            by_name[each.experiment].variant(each.variant)
    if len(_parents_first(by_name)) < len(by_name):
        placed = {each.name for each in _parents_first(by_name)}
        circle = ", ".join(sorted(set(by_name) - placed))
        raise AssignmentError(f"prerequisites lead in a circle among {circle}")


def _parents_first(by_name: Mapping[str, ServedExperiment]) -> list[ServedExperiment]:
    """Experiments behind those they require; without those of a circle."""
    placed: dict[str, ServedExperiment] = {}
    waiting = list(by_name.values())
    while waiting:
        ready = [one for one in waiting if all(each.experiment in placed for each in one.requires)]
        if not ready:
            break
        placed |= {one.name: one for one in ready}
        waiting = [one for one in waiting if one.name not in placed]
    return list(placed.values())
