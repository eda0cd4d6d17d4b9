"""JSON of a payload into the nouns of `payload`; refuses with the place where it is malformed."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.errors import DataError
from experiments.flags.bandits import routing_of
from experiments.flags.conditions import Condition, compile_condition
from experiments.flags.experiment_parsing import Place, parse_experiment, parse_filters
from experiments.flags.payload import Experiment, Feature, Parent, Payload, Rollout, Routing, Rule
from experiments.flags.shares import buckets_of, is_number, known_version

_OF_EXPERIMENT = (
    "coverage", "weights", "hashAttribute", "fallbackAttribute", "disableStickyBucketing",
    "bucketVersion", "minBucketVersion", "namespace", "meta", "ranges", "name", "phase", "seed",
    "hashVersion", "filters", "condition",
)  # fmt: skip
"""What a rule hands on to its experiment."""


def parse_payload(document: Mapping[str, Any]) -> Payload:
    """A payload from its JSON.

    Args:
        document: With `features`, and where needed `experiments`, `savedGroups`,
            `contextualBandits`; encrypted sections must be opened first (`decrypt`).
    Raises:
        DataError: If it is malformed; the message says where.
    """
    if not isinstance(document, Mapping):
        raise DataError(f"a payload is an object with features, not {document!r}")
    for section in ("features", "savedGroups", "contextualBandits"):
        if section in document and not isinstance(document[section] or {}, Mapping):
            raise DataError(f"{section}: found {document[section]!r}; an object is needed")
    reader = _Reader(document)
    features = {
        key: reader.feature(key, feature)
        for key, feature in (document.get("features") or {}).items()
    }
    return Payload(
        features=features,
        experiments=reader.experiments(document.get("experiments") or []),
        saved_groups=reader.groups,
        warnings=tuple(reader.warnings),
        date_updated=document.get("dateUpdated"),
    )


def parse_parents(found: Any, place: Place) -> tuple[Parent, ...]:
    """Prerequisites; one without an id says nothing and is passed over."""
    if not isinstance(found or [], list):
        raise place.refuse("parentConditions", found, "a list of {id, condition, gate}")
    parents = []
    for parent in found or []:
        if not isinstance(parent, dict):
            raise place.refuse("parentConditions", parent, "an object with id and condition")
        if parent.get("id") is None:
            continue
        condition = parent.get("condition")
        parents.append(
            Parent(
                feature=str(parent["id"]),
                condition=None if condition is None else compile_condition(condition, place.groups),
                gate=bool(parent.get("gate")),
            )
        )
    return tuple(parents)


class _Reader:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self.groups: Mapping[str, Any] = document.get("savedGroups") or {}
        self.bandits: Mapping[str, Any] = document.get("contextualBandits") or {}
        self.warnings: list[str] = []

    def feature(self, key: str, document: Any) -> Feature:
        place = Place(f"features.{key}", self.groups, self.warnings)
        if not isinstance(document, Mapping):
            raise place.refuse("", document, "an object with defaultValue and rules")
        rules = document.get("rules") or []
        if not isinstance(rules, Sequence) or isinstance(rules, str):
            raise place.refuse("rules", rules, "a list")
        return Feature(
            key=key,
            default=document.get("defaultValue"),
            rules=tuple(
                self.rule(key, rule, place.inside(f"rules[{index}]"))
                for index, rule in enumerate(rules)
            ),
        )

    def experiments(self, documents: Any) -> tuple[Experiment, ...]:
        if not isinstance(documents, list):
            raise DataError(f"experiments: found {documents!r}; a list is needed")
        return tuple(
            parse_experiment(document, place, parents=parse_parents)
            for index, document in enumerate(documents)
            for place in (Place(f"experiments[{index}]", self.groups, self.warnings),)
        )

    def rule(self, feature: str, rule: Any, place: Place) -> Rule:
        if not isinstance(rule, Mapping):
            raise place.refuse("", rule, "an object")
        parents = parse_parents(rule.get("parentConditions"), place)
        condition = condition_of(rule.get("condition"), place)
        filters = parse_filters(rule.get("filters"), place)
        name = str(rule.get("id") or "")
        if rule.get("force") is not None:
            rollout, never = _rollout(feature, rule, place)
            return Rule(
                id=name, parents=parents, condition=condition, filters=filters,
                has_force=True, force=rule["force"], never=never, rollout=rollout,
            )  # fmt: skip
        return Rule(
            id=name,
            parents=parents,
            condition=condition,
            filters=filters,
            experiment=self.experiment(feature, rule, place),
        )

    def experiment(
        self, feature: str, rule: Mapping[str, Any], place: Place
    ) -> Experiment | Routing | None:
        variations = rule.get("contextualVariations")
        if variations is None:
            variations = rule.get("variations")
        if variations is None:
            return None  # Neither a value nor variations: what older SDKs see of newer kinds.
        document = {"key": rule.get("key") or feature, "variations": variations}
        document |= {
            name: rule[name]
            for name in _OF_EXPERIMENT
            if rule.get(name) or is_number(rule.get(name))
        }
        # The rule itself has asked its condition, filters and prerequisites.
        plain = parse_experiment(document, place, is_rule=True)
        reference = rule.get("contextualBanditRef")
        if not reference or reference not in self.bandits:
            return plain
        return routing_of(self.bandits[reference], document, place)


def condition_of(found: Any, place: Place) -> Condition | None:
    """A compiled condition; None where there is none."""
    if not found and not isinstance(found, list):
        return None
    if not isinstance(found, Mapping):
        raise place.refuse("condition", found, "an object")
    return compile_condition(found, place.groups)


def _rollout(feature: str, rule: Mapping[str, Any], place: Place) -> tuple[Rollout | None, bool]:
    range_, coverage = rule.get("range"), rule.get("coverage")
    if not range_ and coverage is None:
        return None, False
    if range_:
        bounds = place.range_of("range", range_)
    elif is_number(coverage):
        bounds = (0.0, float(coverage or 0))
    else:
        raise place.refuse("coverage", coverage, "a share in [0, 1]")
    if not range_ and coverage == 0:
        return None, True
    version = known_version(rule.get("hashVersion") or 1)
    is_sticky = not rule.get("disableStickyBucketing")
    rollout = Rollout(
        seed=str(rule.get("seed") or feature),
        attribute=str(rule.get("hashAttribute") or "id"),
        fallback=(rule.get("fallbackAttribute") or None) if is_sticky else None,
        version=version,
        buckets=buckets_of([bounds], version or 2)[0],
    )
    return rollout, False
