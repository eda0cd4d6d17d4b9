"""What a payload says, parsed once: features, their rules, the experiments inside. All frozen.

The document is untyped JSON, from us or from elsewhere. What can be read in one way only is read;
what the specification repairs in silence is repaired and noted in `warnings`; the rest is refused
with the place where it stands. Read `evaluation` for what happens with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments.assignment import HashVersion
from experiments.flags.conditions import Condition
from experiments.flags.shares import Buckets
from experiments.flags.urls import UrlPattern


@dataclass(frozen=True, slots=True)
class Filter:
    """A slice of a layer: units outside its buckets are passed over.

    Attributes:
        version: None if the payload names a hash we do not know; then everyone is outside.
    """

    seed: str
    attribute: str
    version: HashVersion | None
    buckets: tuple[Buckets, ...]


@dataclass(frozen=True, slots=True)
class Parent:
    """A prerequisite: what another feature's value must fulfil.

    Attributes:
        condition: Of `{"value": …}`; None asks only that the other feature is no cycle.
        gate: A failure ends the feature (null) instead of passing over the rule.
    """

    feature: str
    condition: Condition | None
    gate: bool


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a contextual bandit's matched context adds to a result; leaf -1 is "none matched"."""

    leaf_id: int
    weights: tuple[float, ...]
    version: int | None


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment, ready to assign.

    Attributes:
        document: Its JSON, for whoever records the exposure.
        buckets, chances: Per variation; the last chance is that of none.
        keys, names: Per variation; a key is the variation's own or its number.
        meta_keys: Position by key, of the variations whose key the payload gives: sticky documents
            name those.
        version: None if the payload names a hash we do not know; then nobody takes part.
        force: The variation everyone in the experiment gets, without being assigned.
    """

    key: str
    document: Mapping[str, Any]
    values: tuple[Any, ...]
    seed: str
    attribute: str
    fallback: str | None
    version: HashVersion | None
    buckets: tuple[Buckets, ...]
    chances: tuple[float, ...]
    keys: tuple[str, ...]
    names: tuple[str, ...]
    passthrough: tuple[bool, ...]
    meta_keys: Mapping[str, int]
    name: str
    phase: str
    filters: tuple[Filter, ...]
    namespace: tuple[str, float, float] | None
    condition: Condition | None
    parents: tuple[Parent, ...]
    is_sticky: bool
    bucket_version: int
    bucket_version_min: int
    force: int | None
    is_active: bool
    is_stopped: bool
    groups: tuple[str, ...]
    url: str | None
    url_patterns: tuple[UrlPattern, ...] | None
    leaf: Leaf | None = None


@dataclass(frozen=True, slots=True)
class Routing:
    """A contextual bandit's choice: the first context that holds names the experiment to run."""

    contexts: tuple[tuple[Condition, Experiment], ...]
    otherwise: Experiment


@dataclass(frozen=True, slots=True)
class Rollout:
    """The share of units a forced value reaches."""

    seed: str
    attribute: str
    fallback: str | None
    version: HashVersion | None
    buckets: Buckets


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a feature: a forced value, or an experiment.

    Attributes:
        has_force: Told apart from a forced null, which newer SDKs take for "no forced value".
        never: A rollout to nobody.
    """

    id: str
    parents: tuple[Parent, ...]
    condition: Condition | None
    filters: tuple[Filter, ...]
    has_force: bool = False
    force: Any = None
    never: bool = False
    rollout: Rollout | None = None
    experiment: Experiment | Routing | None = None


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature: its rules in order, and the value where none applies."""

    key: str
    default: Any
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Payload:
    """Everything an SDK is given, compiled.

    Attributes:
        experiments: Those outside features, in order; run one with `evaluation.run`.
        saved_groups: As they came; inline experiments compile their conditions against them.
        warnings: What was repaired as the specification says, each with its place.
    """

    features: Mapping[str, Feature]
    experiments: tuple[Experiment, ...] = ()
    saved_groups: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    date_updated: str | None = None
