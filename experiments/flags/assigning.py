"""One experiment and one visitor into a result, in the specification's order.

Forced variations first, then whether the experiment runs at all, the unit, its sticky document,
targeting, the hash; last what keeps an assigned unit from being exposed. An exposure is written
only where the hash, or a document written by it, decided.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from experiments.assignment import N_BUCKETS, bucket
from experiments.flags.payload import Experiment, Filter
from experiments.flags.results import ExperimentResult, Exposure
from experiments.flags.shares import in_namespace
from experiments.flags.sticky import Stuck, changed_document, stuck_at
from experiments.flags.urls import forced_by_query, is_targeted, matches_regex
from experiments.flags.values import is_truthy, unit_text
from experiments.flags.visitor import Visitor


class Walk:
    """One evaluation on its way: the visitor, what was exposed, which documents changed."""

    __slots__ = ("changed", "documents", "exposures", "visitor")

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor
        self.exposures: list[Exposure] = []
        self.changed: dict[str, Mapping[str, Any]] = {}
        self.documents = visitor.sticky

    def keep(self, exposure: Exposure) -> None:
        """Note an exposure, once however often a chain of prerequisites comes by."""
        if exposure not in self.exposures:
            self.exposures.append(exposure)

    def store(self, key: str, document: Mapping[str, Any]) -> None:
        """Note a changed document, and go on with it."""
        self.changed[key] = document
        self.documents = {**(self.documents or {}), key: document}


class Unit(NamedTuple):
    """What identifies the unit: the attribute, its value as it came, its text; None if missing."""

    attribute: str
    value: Any
    text: str | None


def unit_of(attributes: Mapping[str, Any], attribute: str, fallback: str | None) -> Unit:
    """The unit by its attribute, or by the fallback where that identifies nobody."""
    value = attributes.get(attribute)
    if isinstance(value, str) and value:
        return Unit(attribute, value, value)
    text = unit_text(value)
    if text is not None:
        return Unit(attribute, value, text)
    if fallback:
        value = attributes.get(fallback)
        text = unit_text(value)
        if text is not None:
            return Unit(fallback, value, text)
    return Unit(attribute, "", None)


def is_filtered_out(filters: tuple[Filter, ...], attributes: Mapping[str, Any]) -> bool:
    """Whether a unit lies outside any of these slices of layers."""
    for each in filters:
        value = attributes.get(each.attribute)
        unit = value if isinstance(value, str) else unit_text(value)
        if not unit or each.version is None:
            return True
        at = bucket(each.seed, unit, version=each.version, imported=True)
        for first, last in each.buckets:
            if first <= at < last:
                break
        else:
            return True
    return False


def assign_visitor(
    experiment: Experiment,
    walk: Walk,
    *,
    feature: str | None,
    prerequisites_hold: Callable[[], bool],
) -> ExperimentResult:
    """The experiment's result; notes an exposure and a changed document in the walk.

    Args:
        feature: Key of the feature whose rule this is.
        prerequisites_hold: Asked only if the experiment has prerequisites and gets that far.
    """
    visitor = walk.visitor
    is_sticky = walk.documents is not None and experiment.is_sticky
    fallback = experiment.fallback if is_sticky else None
    unit = unit_of(visitor.attributes, experiment.attribute, fallback)
    if len(experiment.values) < 2 or not visitor.enabled:
        return _outside(experiment, unit, feature)
    if experiment.url_patterns is not None and not is_targeted(
        visitor.url, experiment.url_patterns
    ):
        return _outside(experiment, unit, feature)
    forced = _forced(experiment, visitor)
    if forced is not None:
        return _given(experiment, unit, feature, forced)
    if not experiment.is_active or unit.text is None:
        return _outside(experiment, unit, feature)

    stuck = Stuck(None)
    if is_sticky and walk.documents:
        stuck = stuck_at(experiment, visitor.attributes, walk.documents)
    if stuck.variation is None and not _is_targeted(
        experiment, visitor, unit.text, prerequisites_hold
    ):
        return _outside(experiment, unit, feature)
    if experiment.url is not None and not matches_regex(visitor.url, experiment.url):
        return _outside(experiment, unit, feature)
    if experiment.version is None:
        return _outside(experiment, unit, feature)

    at = bucket(experiment.seed, unit.text, version=experiment.version, imported=True)
    if stuck.is_blocked:
        return _outside(experiment, unit, feature)._replace(sticky_used=True)
    chosen = stuck.variation if stuck.variation is not None else _chosen(experiment, at)
    if chosen is None:
        return _outside(experiment, unit, feature)._replace(probability=experiment.chances[-1])
    if experiment.force is not None:
        return _given(experiment, unit, feature, experiment.force)
    if visitor.qa_mode or visitor.skip_experiments or experiment.is_stopped:
        return _outside(experiment, unit, feature)
    result = _hashed(experiment, unit, feature, chosen, at, is_stuck=stuck.variation is not None)
    if is_sticky:
        _stick(experiment, unit, result, walk)
    walk.keep(Exposure(experiment, result))
    return result


def _forced(experiment: Experiment, visitor: Visitor) -> int | None:
    if visitor.url:
        found = forced_by_query(experiment.key, visitor.url, len(experiment.values))
        if found is not None:
            return found
    return visitor.forced_variations.get(experiment.key)


def _is_targeted(
    experiment: Experiment, visitor: Visitor, unit: str, prerequisites_hold: Callable[[], bool]
) -> bool:
    """Filters (or the older namespace), condition, prerequisites, groups."""
    if experiment.filters:
        if is_filtered_out(experiment.filters, visitor.attributes):
            return False
    elif experiment.namespace is not None and not in_namespace(unit, experiment.namespace):
        return False
    if experiment.condition is not None and not experiment.condition(visitor.attributes):
        return False
    if experiment.parents and not prerequisites_hold():
        return False
    return not experiment.groups or any(
        is_truthy(visitor.groups.get(group)) for group in experiment.groups
    )


def _chosen(experiment: Experiment, at: int) -> int | None:
    for index, (first, last) in enumerate(experiment.buckets):
        if first <= at < last:
            return index
    return None


def _stick(experiment: Experiment, unit: Unit, result: ExperimentResult, walk: Walk) -> None:
    assert unit.text is not None
    changed = changed_document(
        experiment,
        attribute=unit.attribute,
        unit=unit.text,
        variation=result.key,
        docs=walk.documents or {},
    )
    if changed is not None:
        walk.store(*changed)


def _hashed(
    experiment: Experiment,
    unit: Unit,
    feature: str | None,
    chosen: int,
    at: int,
    *,
    is_stuck: bool,
) -> ExperimentResult:
    assert experiment.version is not None
    leaf = experiment.leaf
    is_listed = chosen < len(experiment.values)  # More ranges than variations: malformed.
    if not is_listed:
        return _outside(experiment, unit, feature)
    return ExperimentResult(
        value=experiment.values[chosen],
        variation=chosen,
        key=experiment.keys[chosen],
        in_experiment=True,
        hash_used=True,
        hash_attribute=unit.attribute,
        hash_value=unit.value,
        feature=feature,
        bucket=at / N_BUCKETS[experiment.version],
        sticky_used=is_stuck,
        probability=None if is_stuck else experiment.chances[chosen],
        name=experiment.names[chosen],
        passthrough=experiment.passthrough[chosen],
        leaf_id=leaf.leaf_id if leaf else None,
        variation_weights=leaf.weights if leaf else None,
        bandit_version=leaf.version if leaf else None,
    )


def _given(
    experiment: Experiment, unit: Unit, feature: str | None, forced: Any
) -> ExperimentResult:
    """A variation that was forced: in the experiment, but no exposure."""
    if isinstance(forced, bool) or not isinstance(forced, int):
        return _outside(experiment, unit, feature)
    if not 0 <= forced < len(experiment.values):
        return _outside(experiment, unit, feature)
    return ExperimentResult(
        value=experiment.values[forced],
        variation=forced,
        key=experiment.keys[forced],
        in_experiment=True,
        hash_used=False,
        hash_attribute=unit.attribute,
        hash_value=unit.value,
        feature=feature,
        name=experiment.names[forced],
        passthrough=experiment.passthrough[forced],
    )


def _outside(experiment: Experiment, unit: Unit, feature: str | None) -> ExperimentResult:
    """Not in the experiment: the first variation's value, as the specification wants it."""
    has_any = bool(experiment.values)
    return ExperimentResult(
        value=experiment.values[0] if has_any else None,
        variation=0,
        key=experiment.keys[0] if has_any else "0",
        in_experiment=False,
        hash_used=False,
        hash_attribute=unit.attribute,
        hash_value=unit.value,
        feature=feature,
        name=experiment.names[0] if has_any else "",
        passthrough=has_any and experiment.passthrough[0],
    )
