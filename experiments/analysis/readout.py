"""What an analysis says: the nouns of its result. `analyze` makes them, `report` shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from experiments.analysis.decision import Decision
from experiments.analysis.plan import PlanRecord
from experiments.estimation.estimates import Estimates
from experiments.estimation.triggered import TriggerValidity
from experiments.evidence.bayes import Posterior
from experiments.evidence.compare import Interval
from experiments.evidence.srm import SampleRatio
from experiments.evidence.stopped import FinalEstimate
from experiments.metrics import Metric
from experiments.programme.heterogeneity import Dimension
from experiments.programme.novelty import Novelty
from experiments.sums.unit_sums import Cap, Excluded


class Word(StrEnum):
    """The verdict in one or two words."""

    EFFECT = "effect detected"
    NO_EFFECT = "no effect detected"
    NO_MEANINGFUL_EFFECT = "no meaningful effect"
    INCONCLUSIVE = "inconclusive"
    WITHHELD = "withheld"
    HARM = "harm"
    SAFE = "safe"
    UNCLEAR = "unclear"


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
class Diluted:
    """What a triggered effect comes to among everybody.

    Attributes:
        effect: On all units; None where `why_not` says why.
        share: Of all units, those triggered.
        validity: Of the trigger; None where it could not be looked at.
    """

    effect: Effect | None
    share: float | None = None
    validity: TriggerValidity | None = None
    why_not: str = ""


@dataclass(frozen=True)
class Comparison:
    """One variant against the control on one metric.

    Attributes:
        control, treatment: Plain, unadjusted means (of a ratio: the ratios).
        effect: The effect to read, adjusted if `cuped.applied`.
        unadjusted: The same without covariates, always shown beside it.
        pvalue_adjusted: Corrected within the metric's family.
        posterior: Under the Bayesian method only.
        estimates: The two means behind `effect`; None where the effect is not a difference of two.
        lift_family: The relative interval as wide as the family's correction asks; None if no
            wider.
        uncapped: The effect without the metric's cap; None where it has none.
        visible_lift: The smallest relative lift that a test with this standard error finds with a
            power of 80 %; None where there is no mean to relate it to.
        one_sided: Where `effect` is not read off `estimates` but off few conversions: the effect
            whose bounds hold one by one at the plan's alpha, for guardrails and margins.
        final: Under `group_sequential`, once its test has stopped or ended: the estimate that is
            too high as often as too low.
        diluted: Of a triggered comparison whose other units are known: its effect on everybody.
        randomization_pvalue: Of few clusters; the effect's own is then the larger of it and the
            t-test's.
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
    estimates: Estimates | None = None
    lift_family: Interval | None = None
    uncapped: Effect | None = None
    visible_lift: float | None = None
    one_sided: Effect | None = None
    final: FinalEstimate | None = None
    diluted: Diluted | None = None
    randomization_pvalue: float | None = None


@dataclass(frozen=True)
class Moment:
    """One comparison as it stood at the end of a day.

    Attributes:
        day: ISO date.
        n: Units of both variants until then.
        lift_rel: That day's always-valid interval; `so_far` is what all days until then leave.
        pvalue: The smallest so far.
        gained: What the variant had brought in all until then, in the metric's units.
    """

    day: str
    n: int
    lift_rel: Interval
    so_far: Interval
    pvalue: float
    gained: Interval


@dataclass(frozen=True)
class OverTime:
    """A comparison through its days, by always-valid intervals whatever the method."""

    metric: Metric
    variant: str
    moments: tuple[Moment, ...]
    contradicts_itself: bool = False


@dataclass(frozen=True)
class Segments:
    """One comparison within the levels of each dimension."""

    metric: Metric
    variant: str
    dimensions: tuple[Dimension, ...]


@dataclass(frozen=True)
class Complier:
    """The effect on those whom the message truly reached (complier average causal effect, CACE).

    Attributes:
        reached_share: Reached in the variant less reached in the control.
        first_stage_f: How surely assignment moves being reached; weak under 10.
        why_not: Why no effect is given, where none is.
    """

    metric: Metric
    variant: str
    effect: Interval
    relative: Interval
    reached_share: float
    first_stage_f: float | None
    why_not: str = ""


@dataclass(frozen=True)
class Wear:
    """Whether a comparison's effect wears off, or why that cannot be said."""

    metric: Metric
    variant: str
    novelty: Novelty | None
    why_not: str = ""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What may be wrong with the data.

    Attributes:
        populations: The sample ratio by how units came in, each corrected for their number.
        off_plan: Those of them whose mismatch withholds every verdict.
        excluded: Who was left out, and why.
        caps: What was cut.
        n_unreadable: Events without a readable number.
        acknowledged: The cause of a mismatch, once found.
    """

    populations: Mapping[str, SampleRatio] = field(default_factory=dict)
    off_plan: tuple[str, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    caps: tuple[Cap, ...] = ()
    n_unreadable: int = 0
    acknowledged: str = ""


EVERYONE: Final = "everyone"
"""The population of all units, as a mismatch is named."""


def named_mismatches(srm: SampleRatio, off_plan: Sequence[str]) -> tuple[str, ...]:
    """Everyone if the whole is off, then each population that is."""
    return (*(() if srm.passed else (EVERYONE,)), *off_plan)


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What makes a readout repeatable: the same plan, data and engine give the same bytes."""

    as_of: str = ""
    snapshot: str = ""
    engine_version: str = ""


@dataclass(frozen=True)
class Readout:
    """The result of one experiment.

    Attributes:
        name: Of the experiment.
        control: Name of the control variant.
        n: Units per variant, control first.
        srm: Whether the variants have the shares they were promised; if not, every verdict is
            withheld until the cause is known.
        comparisons: Metric by metric, in the plan's order, each with its variants in order. None
            while `awaited` says why not.
        alpha, method, correction: How it was read.
        notes: Anything a reader must know: units left out, choices made by default.
        awaited: When the numbers come; "" once they may be seen.
        counted: What `n` counts: units, clusters, coins.
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
    awaited: str = ""
    counted: str = "units"
    decision: Decision | None = None
    plan: PlanRecord | None = None
    over_time: tuple[OverTime, ...] = ()
    segments: tuple[Segments, ...] = ()
    compliers: tuple[Complier, ...] = ()
    wear: tuple[Wear, ...] = ()
    quality: Quality = field(default_factory=Quality)
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def is_withheld(self) -> bool:
        """Whether a sample ratio vetoed the verdicts, and nobody has found the cause yet."""
        return bool(self.mismatches) and not self.quality.acknowledged

    @property
    def mismatches(self) -> tuple[str, ...]:
        """The populations whose units do not have the shares planned for them."""
        return named_mismatches(self.srm, self.quality.off_plan)

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
