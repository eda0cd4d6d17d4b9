"""Sticky buckets: an assignment that outlives changes of targeting, weights and phase.

Documents are the SDKs' own, so a store they wrote can be read on. Nothing is stored here: documents
come in with the visitor, and those that changed go out with the result.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from experiments.flags.payload import Experiment, Payload, Routing
from experiments.flags.values import unit_text
from experiments.flags.visitor import StickyDocuments, Visitor


class Stuck(NamedTuple):
    """What the documents say of one experiment.

    Attributes:
        variation: Position of the variation stored; None if there is none.
        is_blocked: Whether an assignment of an excluded earlier version keeps the unit out.
    """

    variation: int | None
    is_blocked: bool = False


def stuck_at(experiment: Experiment, attributes: Mapping[str, Any], docs: StickyDocuments) -> Stuck:
    """The stored variation of a visitor; the hash attribute's document outranks the fallback's."""
    assignments: dict[str, str] = {}
    for attribute in (experiment.fallback, experiment.attribute):
        if attribute:
            key = document_key(attribute, unit_text(attributes.get(attribute)) or "")
            assignments |= docs.get(key, {}).get("assignments") or {}
    for earlier in range(experiment.bucket_version_min):
        if f"{experiment.key}__{earlier}" in assignments:
            return Stuck(None, is_blocked=True)
    stored = assignments.get(f"{experiment.key}__{experiment.bucket_version}")
    return Stuck(experiment.meta_keys.get(stored) if stored else None)


def changed_document(
    experiment: Experiment, *, attribute: str, unit: str, variation: str, docs: StickyDocuments
) -> tuple[str, Mapping[str, Any]] | None:
    """The document with this assignment in it, and its key; None if it was there already."""
    key = document_key(attribute, unit)
    known = docs.get(key, {}).get("assignments") or {}
    name = f"{experiment.key}__{experiment.bucket_version}"
    if known.get(name) == variation:
        return None
    return key, {
        "attributeName": attribute,
        "attributeValue": unit,
        "assignments": {**known, name: variation},
    }


def document_key(attribute: str, unit: str) -> str:
    """Where a unit's document is stored."""
    return f"{attribute}||{unit}"


def sticky_keys(payload: Payload, visitor: Visitor) -> tuple[str, ...]:
    """The documents that evaluating a payload may read: load these, and give them as `sticky`."""
    attributes: dict[str, None] = {}  # In order, each once.
    for experiment in _experiments_of(payload):
        if experiment.is_sticky:
            attributes[experiment.attribute] = None
            if experiment.fallback:
                attributes[experiment.fallback] = None
    units = {name: unit_text(visitor.attributes.get(name)) for name in attributes}
    return tuple(document_key(name, unit) for name, unit in units.items() if unit)


def _experiments_of(payload: Payload) -> list[Experiment]:
    found = list(payload.experiments)
    for feature in payload.features.values():
        for rule in feature.rules:
            match rule.experiment:
                case Experiment() as experiment:
                    found.append(experiment)
                case Routing() as routing:
                    found.append(routing.otherwise)
    return found
