"""An experiment of ours as it is served to clients: what it must hold, and what may change in it.

The engine turns a compiled experiment into this noun; `from_experiment` writes it as a payload.
Whatever contradicts itself is refused when it is built, so nothing half-right is ever published.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from experiments.assignment import HashVersion, bucket, slice_of_buckets
from experiments.assignment.ranges import outcome_table
from experiments.errors import AssignmentError
from experiments.flags.values import unit_text

State = Literal["draft", "live", "stopped"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")


@dataclass(frozen=True, slots=True)
class ServedVariant:
    """One arm.

    Attributes:
        value: What clients get; any JSON but null, which SDKs take for "no value".
        weight: A whole number; only ratios matter.
    """

    name: str
    value: Any
    weight: int = 1


@dataclass(frozen=True, slots=True)
class LayerSlice:
    """The slice [start, end) of a layer that an experiment lives on; hash version 2."""

    seed: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Holdout:
    """A share of all units that the experiment never reaches, as `is_held_out` decides it."""

    seed: str
    share: float
    version: HashVersion = "s256"


@dataclass(frozen=True, slots=True)
class Requirement:
    """A prerequisite: the unit must have this variant of that experiment."""

    experiment: str
    variant: str


@dataclass(frozen=True, slots=True)
class ServedContext:
    """Whom a bandit has weights of its own for.

    Attributes:
        condition: On the client's attributes, in GrowthBook's language.
        weights: Of all variants, in their order.
    """

    condition: Mapping[str, Any]
    weights: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ServedBandit:
    """The weights that a contextual bandit has in force; who is exposed later may have others.

    Attributes:
        version: Of the weights, 0 for the planned ones.
        explore: A share of units that the variants' own weights draw for ever.
        weights: Of whoever is in no context.
        contexts: The first that holds counts.
    """

    version: int
    explore: float
    weights: tuple[int, ...]
    contexts: tuple[ServedContext, ...]


@dataclass(frozen=True, slots=True)
class ServedExperiment:
    """An experiment that clients ask for by name.

    Attributes:
        name: Also the feature's key and the experiment's key in exposures.
        seed: Of the phase; shared with no other level of decision.
        control: The variant that stands for "no change"; the first one if not said.
        attribute: What identifies the unit among a client's attributes.
        fallback: Identifies it where that is missing; only for sticky experiments.
        default: What units outside get; the control's value if None.
        layer, holdouts: Whom the experiment can reach at all.
        forced: Variant by unit: these get its value and are no exposures.
        requires: Prerequisites, all of which must hold.
        audience: A condition on the client's attributes, in GrowthBook's language.
        sticky: Clients with a sticky store keep a unit's variant over phases.
        version: Which hash; 1 only if `imported`, and `namespace` (name, start, end) only then.
        bandit: The weights it has learnt, with their contexts; then the variants' own are the
            planned ones.
        server_only: Why clients cannot decide this alone (an audience of profiles, say), if so.
        state, winner: A stopped experiment with a winner gives everyone the winner's value.

    Raises:
        AssignmentError: If anything contradicts itself; the message says what to do.
    """

    name: str
    seed: str
    variants: tuple[ServedVariant, ...]
    control: str = ""
    phase: str = ""
    attribute: str = "id"
    fallback: str | None = None
    coverage: float = 1.0
    default: Any = None
    layer: LayerSlice | None = None
    holdouts: tuple[Holdout, ...] = ()
    forced: Mapping[str, str] = field(default_factory=dict)
    requires: tuple[Requirement, ...] = ()
    audience: Mapping[str, Any] | None = None
    sticky: bool = False
    version: HashVersion = 2
    imported: bool = False
    namespace: tuple[str, float, float] | None = None
    bandit: ServedBandit | None = None
    server_only: str = ""
    state: State = "live"
    winner: str | None = None

    def __post_init__(self) -> None:
        _check_names(self)
        _check_variants(self)
        _check_levels(self)

    def variant(self, name: str) -> ServedVariant:
        """An arm by its name."""
        for each in self.variants:
            if each.name == name:
                return each
        known = ", ".join(each.name for each in self.variants)
        raise AssignmentError(
            f"experiment {self.name!r} has no variant {name!r}; its variants are {known}"
        )

    @property
    def default_value(self) -> Any:
        """What units outside the experiment get."""
        if self.default is not None:
            return self.default
        return self.variant(self.control or self.variants[0].name).value


def _check_names(served: ServedExperiment) -> None:
    names = [("experiment", served.name), ("attribute", served.attribute)]
    names += [("variant", each.name) for each in served.variants]
    if served.fallback is not None:
        names.append(("fallback attribute", served.fallback))
    for what, name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise AssignmentError(
                f"{what} {name!r} of experiment {served.name!r} is not a name: letters, digits and"
                " _ . : - are allowed, up to 100, beginning with a letter or digit"
            )
    if not served.seed:
        raise AssignmentError(f"experiment {served.name!r} has no seed; give its phase's own")
    if served.fallback is not None and not served.sticky:
        raise AssignmentError(
            f"experiment {served.name!r} has a fallback attribute but is not sticky: its units"
            " would change variant as soon as they are known; make it sticky or drop the fallback"
        )


def _check_variants(served: ServedExperiment) -> None:
    if len(served.variants) < 2:
        raise AssignmentError(
            f"experiment {served.name!r} has {len(served.variants)} variant(s);"
            " at least two are needed"
        )
    for variant in served.variants:
        if variant.value is None:
            raise AssignmentError(
                f"variant {variant.name!r} of experiment {served.name!r} has the value null, which"
                " SDKs take for no value at all; give a value, for example false or an empty text"
            )
    names = tuple(each.name for each in served.variants)
    weights = tuple(each.weight for each in served.variants)
    outcome_table(names, weights, served.coverage, served.version)
    if served.bandit is not None:
        for each in (served.bandit.weights, *(it.weights for it in served.bandit.contexts)):
            outcome_table(names, each, 1.0, served.version)
    for name in (served.control, served.winner, *served.forced.values()):
        if name:
            served.variant(name)
    for unit in served.forced:
        if unit_text(unit) is None or not isinstance(unit, str):
            raise AssignmentError(
                f"forced unit {unit!r} of experiment {served.name!r} identifies nobody;"
                " write the unit's id as text"
            )
    if served.winner is not None and served.state != "stopped":
        raise AssignmentError(
            f"experiment {served.name!r} has a winner but is {served.state}; stop it first"
        )


def _check_levels(served: ServedExperiment) -> None:
    """Every level of decision has its own seed, and a hash that may be used."""
    bucket(served.seed, "", version=served.version, imported=served.imported)
    if served.namespace is not None and not served.imported:
        raise AssignmentError(
            f"experiment {served.name!r} has a namespace, whose hash is not independent between"
            " experiments; use a layer, or say imported for one that began in GrowthBook"
        )
    if served.namespace is not None and (served.layer or served.holdouts):
        raise AssignmentError(
            f"experiment {served.name!r} has a namespace beside a layer or holdout, and SDKs then"
            " ignore the namespace; keep one of them"
        )
    seeds = [served.seed, *(holdout.seed for holdout in served.holdouts)]
    if served.layer is not None:
        seeds.append(served.layer.seed)
        slice_of_buckets(served.layer.start, served.layer.end, 2)
    for holdout in served.holdouts:
        slice_of_buckets(0.0, holdout.share, holdout.version)
        bucket(holdout.seed, "", version=holdout.version)
    if len(set(seeds)) < len(seeds):
        raise AssignmentError(
            f"experiment {served.name!r} shares a seed between levels ({', '.join(seeds)});"
            " whoever is held out would then all be of one variant; give each level its own"
        )
    if any(each.experiment == served.name for each in served.requires):
        raise AssignmentError(f"experiment {served.name!r} requires itself")


_BESIDE_THE_PHASE = frozenset({"coverage", "state", "winner", "bandit"})


def is_ramp(old: ServedExperiment, new: ServedExperiment) -> bool:
    """Whether the change from old to new moves nobody: only the coverage grew, or nothing did."""
    return not why_not_a_ramp(old, new)


def why_not_a_ramp(old: ServedExperiment, new: ServedExperiment) -> tuple[str, ...]:
    """What in a change needs a new phase with a new seed; empty for a ramp.

    Starting, stopping and concluding are the operator's actions and change no assignment.
    """
    reasons = [
        f"{each.name} changes from {getattr(old, each.name)!r} to {getattr(new, each.name)!r}"
        for each in fields(ServedExperiment)
        if each.name not in _BESIDE_THE_PHASE and getattr(old, each.name) != getattr(new, each.name)
    ]
    if new.coverage < old.coverage:
        reasons.append(
            f"coverage shrinks from {old.coverage} to {new.coverage}: units that were exposed"
            " would fall out"
        )
    return tuple(reasons)
