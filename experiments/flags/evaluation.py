"""A payload and a visitor into values: rules in order, prerequisites, holdouts, experiments.

Order of a rule: prerequisites, condition, filters, then its forced value or its experiment. The
order inside an experiment is `assigning`'s. Nothing is stored; see `FeatureResult` for what goes
out. Source: https://docs.growthbook.io/lib/build-your-own, version 0.8.0.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from experiments.assignment import bucket
from experiments.flags.assigning import Walk, assign_visitor, is_filtered_out, unit_of
from experiments.flags.experiment_parsing import Place, parse_experiment
from experiments.flags.parsing import parse_parents
from experiments.flags.payload import Experiment, Feature, Parent, Payload, Rollout, Routing, Rule
from experiments.flags.results import Evaluated, ExperimentResult, FeatureResult, Source
from experiments.flags.shares import are_weights, equal_weights
from experiments.flags.visitor import Visitor

_NO_PATH: frozenset[str] = frozenset()


def evaluate(payload: Payload, key: str, visitor: Visitor) -> FeatureResult:
    """A feature's value for a visitor. An unknown feature has the value None."""
    walk = Walk(visitor)
    found = _feature(payload, key, walk, _NO_PATH)
    if walk.exposures or walk.changed:
        return FeatureResult(*found[:5], tuple(walk.exposures), walk.changed)
    return found


def evaluate_all(payload: Payload, visitor: Visitor) -> dict[str, FeatureResult]:
    """Every feature's value for a visitor; each sees the sticky documents of those before it."""
    found: dict[str, FeatureResult] = {}
    for key in payload.features:
        found[key] = evaluate(payload, key, visitor)
        if found[key].sticky:
            visitor = visitor._replace(sticky={**(visitor.sticky or {}), **found[key].sticky})
    return found


def run(
    payload: Payload, experiment: Experiment | Mapping[str, Any], visitor: Visitor
) -> Evaluated:
    """An experiment that belongs to no feature, from `payload.experiments` or as JSON.

    Raises:
        DataError: If the JSON is malformed.
    """
    if not isinstance(experiment, Experiment):
        place = Place("experiment", payload.saved_groups, [])
        experiment = parse_experiment(experiment, place, parents=parse_parents)
    walk = Walk(visitor)
    result = _run(payload, experiment, walk, _NO_PATH, feature=None)
    return Evaluated(result, tuple(walk.exposures), walk.changed)


def _feature(payload: Payload, key: str, walk: Walk, path: frozenset[str]) -> FeatureResult:
    visitor = walk.visitor
    if key in visitor.forced_features:
        return FeatureResult(visitor.forced_features[key], Source.OVERRIDE)
    feature = payload.features.get(key)
    if feature is None:
        return FeatureResult(None, Source.UNKNOWN)
    if key in path:
        return FeatureResult(None, Source.CYCLE)
    for rule in feature.rules:
        if rule.parents:
            stopped = _stopped_by(payload, rule.parents, walk, path | {key})
            if stopped is Source.DEFAULT:
                continue
            if stopped is not None:
                return FeatureResult(None, stopped)
        if rule.condition is not None and not rule.condition(visitor.attributes):
            continue
        if rule.filters and is_filtered_out(rule.filters, visitor.attributes):
            continue
        found = _applied(payload, feature, rule, walk, path)
        if found is not None:
            return found
    return FeatureResult(feature.default, Source.DEFAULT)


def _applied(
    payload: Payload, feature: Feature, rule: Rule, walk: Walk, path: frozenset[str]
) -> FeatureResult | None:
    """What a rule gives once it is reached; None passes on to the next one."""
    if rule.has_force:
        if rule.never or (rule.rollout and not _is_reached(rule.rollout, walk.visitor)):
            return None
        return FeatureResult(rule.force, Source.FORCE, rule.id)
    experiment = rule.experiment
    if isinstance(experiment, Routing):
        experiment = _routed(experiment, walk.visitor)
    if experiment is None:
        return None
    result = _run(payload, experiment, walk, path | {feature.key}, feature=feature.key)
    if not result.in_experiment or result.passthrough:
        return None
    return FeatureResult(result.value, Source.EXPERIMENT, rule.id, experiment, result)


def _routed(routing: Routing, visitor: Visitor) -> Experiment:
    for holds, experiment in routing.contexts:
        if holds(visitor.attributes):
            return experiment
    return routing.otherwise


def _is_reached(rollout: Rollout, visitor: Visitor) -> bool:
    unit = unit_of(visitor.attributes, rollout.attribute, rollout.fallback)
    if unit.text is None or rollout.version is None:
        return False
    first, last = rollout.buckets
    return first <= bucket(rollout.seed, unit.text, version=rollout.version, imported=True) < last


def _stopped_by(
    payload: Payload, parents: tuple[Parent, ...], walk: Walk, path: frozenset[str]
) -> Source | None:
    """Why prerequisites stop a feature; DEFAULT passes over the rule only; None: all hold."""
    for parent in parents:
        found = _feature(payload, parent.feature, walk, path)
        if found.source is Source.CYCLE:
            return Source.CYCLE
        if parent.condition is not None and not parent.condition({"value": found.value}):
            return Source.PREREQUISITE if parent.gate else Source.DEFAULT
    return None


def _run(
    payload: Payload,
    experiment: Experiment,
    walk: Walk,
    path: frozenset[str],
    *,
    feature: str | None,
) -> ExperimentResult:
    if walk.visitor.overrides.get(experiment.key):
        experiment = _overridden(payload, experiment, walk.visitor.overrides[experiment.key])
    parents = experiment.parents
    return assign_visitor(
        experiment,
        walk,
        feature=feature,
        prerequisites_hold=lambda: _stopped_by(payload, parents, walk, path) is None,
    )


def _overridden(
    payload: Payload, experiment: Experiment, override: Mapping[str, Any]
) -> Experiment:
    place = Place(f"overrides.{experiment.key}", payload.saved_groups, [])
    document = {**experiment.document, **override}
    changed = parse_experiment(document, place, parents=parse_parents)
    leaf = experiment.leaf
    if leaf is None or document.get("ranges"):
        return changed
    # A bandit's leaf stays, and reports the weights that are used now.
    n = len(changed.values)
    weights = override.get("weights", leaf.weights)
    used = weights if are_weights(weights, n) else equal_weights(n)
    return replace(changed, leaf=replace(leaf, weights=tuple(used)))
