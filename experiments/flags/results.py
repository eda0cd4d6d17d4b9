"""What an evaluation gives, and its JSON as the SDKs write it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from experiments.flags.payload import Experiment
from experiments.flags.values import is_truthy


class Source(StrEnum):
    """Why a feature has its value."""

    DEFAULT = "defaultValue"
    FORCE = "force"
    EXPERIMENT = "experiment"
    UNKNOWN = "unknownFeature"
    PREREQUISITE = "prerequisite"
    CYCLE = "cyclicPrerequisite"
    OVERRIDE = "override"


class ExperimentResult(NamedTuple):
    """What an experiment gave one visitor.

    Attributes:
        variation: Position; 0 where the visitor is not in the experiment.
        hash_used: Whether the hash (or a sticky document) decided; only then it is an exposure.
        hash_attribute, hash_value: What identified the unit; the value as it came, "" if missing.
        bucket: The hash as a share in [0, 1).
        sticky_used: Whether a stored document decided.
        probability: Exact chance of this outcome among units that passed condition and filters;
            None where no hash decided it, or a sticky document did (its chance was another day's).
        leaf_id, variation_weights, bandit_version: Of a contextual bandit, if hashed by one.
    """

    value: Any
    variation: int
    key: str
    in_experiment: bool
    hash_used: bool
    hash_attribute: str
    hash_value: Any
    feature: str | None = None
    bucket: float | None = None
    sticky_used: bool = False
    probability: float | None = None
    name: str = ""
    passthrough: bool = False
    leaf_id: int | None = None
    variation_weights: tuple[float, ...] | None = None
    bandit_version: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The SDKs' `Result`."""
        found: dict[str, Any] = {
            "key": self.key,
            "featureId": self.feature,
            "inExperiment": self.in_experiment,
            "hashUsed": self.hash_used,
            "variationId": self.variation,
            "value": self.value,
            "hashAttribute": self.hash_attribute,
            "hashValue": self.hash_value,
            "stickyBucketUsed": self.sticky_used,
        }
        if self.name:
            found["name"] = self.name
        if self.bucket is not None:
            found["bucket"] = self.bucket
        if self.passthrough:
            found["passthrough"] = True
        if self.leaf_id is not None and self.variation_weights is not None:
            found["leafId"] = self.leaf_id
            found["variationWeights"] = list(self.variation_weights)
            if self.bandit_version is not None:
                found["banditVersion"] = self.bandit_version
        return found


class Exposure(NamedTuple):
    """An experiment that assigned this visitor on the way to an answer."""

    experiment: Experiment
    result: ExperimentResult

    def as_json(self) -> dict[str, Any]:
        """The SDKs' pair of experiment and result."""
        return {
            "experiment": experiment_json(self.experiment, self.result),
            "result": self.result.as_json(),
        }


class FeatureResult(NamedTuple):
    """A feature's value for one visitor, and how it came about.

    Attributes:
        result: The experiment's result, where one gave the value.
        exposures: What was assigned on the way, in order: prerequisites, holdouts that passed the
            visitor through, and the experiment itself. Each once.
        sticky: Sticky documents that changed, by key; whoever called stores them.
    """

    value: Any
    source: Source
    rule_id: str = ""
    experiment: Experiment | None = None
    result: ExperimentResult | None = None
    exposures: tuple[Exposure, ...] = ()
    sticky: Mapping[str, Mapping[str, Any]] = {}

    @property
    def on(self) -> bool:
        """Whether JavaScript takes the value for true."""
        return is_truthy(self.value)

    @property
    def off(self) -> bool:
        """The opposite of `on`."""
        return not is_truthy(self.value)

    def as_json(self) -> dict[str, Any]:
        """The SDKs' `FeatureResult`."""
        found: dict[str, Any] = {
            "value": self.value,
            "on": self.on,
            "off": self.off,
            "source": str(self.source),
            "ruleId": self.rule_id,
        }
        if self.experiment is not None and self.result is not None:
            found["experiment"] = experiment_json(self.experiment, self.result)
            found["experimentResult"] = self.result.as_json()
        return found


class Evaluated(NamedTuple):
    """What `run` gives: an inline experiment's result, with what else happened."""

    result: ExperimentResult
    exposures: tuple[Exposure, ...] = ()
    sticky: Mapping[str, Mapping[str, Any]] = {}


def experiment_json(experiment: Experiment, result: ExperimentResult) -> dict[str, Any]:
    """An experiment's JSON; a bandit's leaf only where the hash really used its weights."""
    found = dict(experiment.document)
    if experiment.leaf is not None and result.leaf_id is not None:
        leaf = experiment.leaf
        found["contextualBandit"] = {"leafId": leaf.leaf_id, "variationWeights": [*leaf.weights]}
        if leaf.version is not None:
            found["contextualBandit"]["banditVersion"] = leaf.version
    return found
