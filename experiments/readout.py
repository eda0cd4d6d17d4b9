"""What an analysis says: the nouns of its result. `analyze` makes them, `report` shows them."""

from dataclasses import dataclass
from enum import StrEnum

from experiments.evidence.bayes import Posterior
from experiments.evidence.compare import Interval
from experiments.evidence.srm import SampleRatio
from experiments.metrics import Metric


class Word(StrEnum):
    """The verdict in one or two words."""

    EFFECT = "effect detected"
    NO_EFFECT = "no effect detected"
    INCONCLUSIVE = "inconclusive"
    WITHHELD = "withheld"


@dataclass(frozen=True)
class Verdict:
    """A word and the rule that fired."""

    word: Word
    rule: str


@dataclass(frozen=True)
class Effect:
    """One reading of a comparison, adjusted or not."""

    lift_abs: Interval
    lift_rel: Interval
    pvalue: float | None
    std_error: float


@dataclass(frozen=True)
class Cuped:
    """What the adjustment by covariates did.

    Attributes:
        applied: Whether the main effect is the adjusted one.
        variance_reduction: Share of the difference's variance that it removed; 0 if not applied.
        note: Why it was not applied, or by which covariates it was.
    """

    applied: bool
    variance_reduction: float
    note: str


@dataclass(frozen=True)
class Comparison:
    """One variant against the control on one metric.

    Attributes:
        control, treatment: Plain, unadjusted means (of a ratio: the ratios).
        effect: The effect to read, adjusted if `cuped.applied`.
        unadjusted: The same without covariates, always shown beside it.
        pvalue_adjusted: Corrected within the metric's family.
        posterior: Under the Bayesian method only.
    """

    metric: Metric
    variant: str
    control: float
    treatment: float
    effect: Effect
    unadjusted: Effect
    pvalue_adjusted: float | None
    method: str
    cuped: Cuped
    posterior: Posterior | None
    verdict: Verdict
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Readout:
    """The result of one experiment.

    Attributes:
        name: Of the experiment.
        control: Name of the control variant.
        n: Units per variant, control first.
        srm: Whether the variants have the shares they were promised; if not, every verdict is
            withheld.
        comparisons: Metric by metric, in the plan's order, each with its variants in order.
        alpha, method, correction: How it was read.
        notes: Anything a reader must know: units left out, choices made by default.
    """

    name: str
    control: str
    n: dict[str, int]
    srm: SampleRatio
    comparisons: tuple[Comparison, ...]
    alpha: float
    method: str
    correction: str
    notes: tuple[str, ...] = ()

    @property
    def is_withheld(self) -> bool:
        """Whether the sample ratio vetoed the verdicts."""
        return not self.srm.passed

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics, each once."""
        return tuple({entry.metric.name: entry.metric for entry in self.comparisons}.values())

    def of(self, metric: str, variant: str) -> Comparison:
        """The comparison of one variant on one metric; KeyError if there is none."""
        for entry in self.comparisons:
            if (entry.metric.name, entry.variant) == (metric, variant):
                return entry
        raise KeyError((metric, variant))
