"""One experiment for one visitor: the value, and how it came about.

`engine.core.assigning.decide` gives the variant; here it becomes what protocols can say.
"""

from typing import Any, Final, Literal, NamedTuple

from engine.core.assigning import (
    FORCED,
    NOT_STARTED,
    OUTSIDE,
    STOPPED,
    Allotment,
    Asked,
    decide,
    first_exposure,
    unit_of,
)
from engine.core.model.campaigns import Experiment, Program
from experiments.assignment import N_BUCKETS, HashVersion, bucket

Reason = Literal["SPLIT", "TARGETING_MATCH", "STATIC", "DISABLED", "DEFAULT"]
"""OpenFeature's words: https://openfeature.dev/specification/types/#resolution-reason"""

HELD_OUT: Final = "held out by "
_VERSIONS: Final[dict[str, HashVersion]] = {"2": 2, "s256": "s256", "1": 1}


class Answer(NamedTuple):
    """What one visitor gets of one experiment.

    Attributes:
        variant: Its name; "" outside, where the control's value is given.
        reason: SPLIT: by hash, or kept since the first exposure. TARGETING_MATCH: by hand.
            STATIC: stopped. DISABLED: a draft. DEFAULT: outside.
        phase: That of the first exposure, else the current one.
        bucket: The hash as a share in [0, 1); None where none was taken.
        why: The reason in our words, "" for a variant that was drawn.
        is_missing: The unit is not known, so nothing was asked.
        allocation, context: Of a bandit: the version of its weights, and the context they are of.
        chances: With a context, of every variant in order, as they were used.
    """

    experiment: Experiment
    value: Any
    variant: str
    reason: Reason
    probability: float
    phase: int
    bucket: float | None
    unit: str
    why: str = ""
    is_sticky: bool = False
    is_missing: bool = False
    allocation: int = 0
    context: str = ""
    chances: tuple[float, ...] = ()

    @property
    def position(self) -> int:
        """Of the variant among the variants; -1 outside."""
        names = [each.name for each in self.experiment.variants]
        return names.index(self.variant) if self.variant in names else -1

    @property
    def is_drawn(self) -> bool:
        """Whether showing it is an exposure."""
        return bool(self.variant) and self.reason == "SPLIT"

    @property
    def metadata(self) -> dict[str, str | int | float | bool]:
        """Scalars for clients and their telemetry."""
        told: dict[str, str | int | float | bool] = {
            "experiment": self.experiment.name,
            "phase": self.phase,
        }
        if self.bucket is not None:
            told["bucket"] = self.bucket
        if self.is_drawn:
            told["probability"] = self.probability
        if self.is_sticky:
            told["sticky"] = True
        if self.allocation or self.context:
            told["allocation"] = self.allocation
        if self.context:
            told["bandit_context"] = self.context
        if self.why.startswith(HELD_OUT):
            told["holdout"] = self.why.removeprefix(HELD_OUT)
        if self.why:
            told["why"] = self.why
        return told


def answer(asked: Asked, name: str) -> Answer:
    """What the experiment gives this visitor.

    Raises:
        KeyError: If the program has no such experiment.
    """
    given = decide(asked, name)
    it = given.experiment
    unit = unit_of(it, asked) or ""
    reason = _reason(given)
    known = first_exposure(asked, it, given.unit) if given.is_exposed else None
    is_sticky = known is not None and it.is_sticky and reason == "SPLIT"
    return Answer(
        experiment=it,
        value=value_of(it, given.variant),
        variant=given.variant,
        reason=reason,
        probability=given.probability,
        phase=known.phase if known is not None and is_sticky else it.phase,
        bucket=_share(it, unit) if unit and reason in ("SPLIT", "DEFAULT") else None,
        unit=unit,
        why=given.reason,
        is_sticky=is_sticky,
        is_missing=not unit and reason == "DEFAULT",
        allocation=given.allocation,
        context=given.context,
        chances=_chances(asked.program, given) if given.context else (),
    )


def value_of(experiment: Experiment, variant: str) -> Any:
    """What a variant stands for; outside, what the control does.

    Where any variant's value is a fraction, all are: clients ask for one kind of number.
    """
    values = {each.name: each.value for each in experiment.variants}
    value = values.get(variant or experiment.control, values.get(experiment.control))
    if type(value) is int and any(type(each) is float for each in values.values()):
        return float(value)
    return value


def _reason(given: Allotment) -> Reason:
    match given.reason:
        case "":
            return "SPLIT"
        case _ if given.reason == FORCED:
            return "TARGETING_MATCH"
        case _ if given.reason == STOPPED:
            return "STATIC"
        case _ if given.reason == NOT_STARTED:
            return "DISABLED"
        case _:
            assert given.variant == OUTSIDE
            return "DEFAULT"


def _chances(program: Program, given: Allotment) -> tuple[float, ...]:
    it = given.experiment
    weights = {each.name: each.weight for each in it.variants}
    for version in program.allocations.get(it.name, ()):
        if version.version == given.allocation:
            weights = version.contexts.get(given.context, version.weights)
    total = sum(weights.values())
    return tuple(weights.get(each.name, 0) / total for each in it.variants)


def _share(it: Experiment, unit: str) -> float:
    version = _VERSIONS[it.hash_version]
    return bucket(it.seed, unit, version=version, imported=it.is_imported) / N_BUCKETS[version]
