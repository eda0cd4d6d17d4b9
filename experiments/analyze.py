"""Plan + aggregates -> readout. The sample ratio is checked first and can veto every verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, sqrt
from typing import Literal, get_args

from experiments.errors import DataError, PlanError
from experiments.estimation.cuped import Adjust, adjusted, unadjusted
from experiments.estimation.estimates import Estimates
from experiments.estimation.ratio import moments
from experiments.evidence.bayes import NOT_PEEKING_PROOF, flat_prior_posterior
from experiments.evidence.compare import (
    Test,
    absolute_lift,
    normal,
    relative_lift,
    ruled_out_beyond,
    welch,
)
from experiments.evidence.multiplicity import Correction, adjusted_pvalues
from experiments.evidence.sequential import always_valid
from experiments.evidence.srm import SampleRatio, sample_ratio
from experiments.metrics import Metric
from experiments.readout import Comparison, Cuped, Effect, Readout, Verdict, Word
from experiments.reporting.words import p_is, percent, pvalue_text
from experiments.sums.aggregates import Aggregates

Method = Literal["sequential", "fixed", "bayesian"]

FEW_EVENTS = 20
"""Fewer conversions than this in a variant strain the normal approximation."""


@dataclass(frozen=True, kw_only=True)
class ExperimentPlan:
    """What was decided before looking at any outcome.

    Attributes:
        weights: Planned weight of each variant, the control's included.
        method: `sequential` may be looked at any time, `fixed` and `bayesian` once, at the end.
        adjust: How covariates are used, for metrics that have some.
        correction: Within the family of primary metrics; secondary ones always use `bh`, guardrails
            none.
        planned_sample: Units in all variants together; the sequential method is tightest there.
        smallest_lift: The smallest relative lift that matters. An interval inside +/- this is
            "no effect"; a wider one that holds 0 is "inconclusive".
    """

    name: str
    control: str
    weights: Mapping[str, int]
    metrics: Sequence[Metric]
    method: Method = "sequential"
    alpha: float = 0.05
    adjust: Adjust = "lin"
    correction: Correction = "holm"
    planned_sample: int | None = None
    smallest_lift: float | None = None

    def __post_init__(self) -> None:
        if self.control not in self.weights:
            raise PlanError(
                f"control {self.control!r} is not a variant; variants are {', '.join(self.weights)}"
            )
        if len(self.weights) < 2:
            raise PlanError(f"only one variant, {self.control!r}; there is nothing to compare")
        names = [metric.name for metric in self.metrics]
        if not names or len(set(names)) != len(names):
            raise PlanError(f"metrics must be given and distinct, found {names}")
        if not 0 < self.alpha < 1:
            raise PlanError(f"alpha {self.alpha} is not between 0 and 1")
        for value, allowed in (
            (self.method, get_args(Method)),
            (self.adjust, get_args(Adjust)),
            (self.correction, get_args(Correction)),
        ):
            if value not in allowed:
                raise PlanError(f"{value!r} is unknown; allowed are {', '.join(allowed)}")
        if self.method == "sequential" and self.planned_sample is None:
            raise PlanError("the sequential method needs planned_sample, fixed before the start")

    @property
    def treatments(self) -> tuple[str, ...]:
        """Variants other than the control, in the plan's order."""
        return tuple(name for name in self.weights if name != self.control)


def analyze(
    plan: ExperimentPlan, aggregates: Mapping[str, Aggregates], *, notes: Sequence[str] = ()
) -> Readout:
    """Read an experiment.

    Args:
        aggregates: Per variant, over all columns the plan's metrics name.
        notes: What the reader must know of how the data was collected.
    Raises:
        DataError: If a variant is missing or unknown, or has too few units.
    """
    if unknown := sorted(set(aggregates) - set(plan.weights)):
        raise DataError(f"variant {unknown[0]!r} is in the data but not in the plan")
    counts = {name: aggregates[name].n if name in aggregates else 0 for name in plan.weights}
    for name, n in counts.items():
        if n < 2 and plan.weights[name] > 0:
            raise DataError(f"variant {name!r} has {n} units; at least 2 are needed")
    srm = sample_ratio(counts, weights=plan.weights)
    drafts = [
        _compare(plan, metric, variant, aggregates)
        for metric in plan.metrics
        for variant in plan.treatments
        if counts[variant] >= 2
    ]
    said = list(notes)
    if plan.method == "bayesian":
        said.append(NOT_PEEKING_PROOF)
    return Readout(
        name=plan.name,
        control=plan.control,
        n={name: counts[name] for name in (plan.control, *plan.treatments)},
        srm=srm,
        comparisons=tuple(_judged(plan, srm, drafts)),
        alpha=plan.alpha,
        method=plan.method,
        correction=plan.correction,
        notes=tuple(said),
    )


def _compare(
    plan: ExperimentPlan, metric: Metric, variant: str, aggregates: Mapping[str, Aggregates]
) -> Comparison:
    """One comparison, not yet corrected or judged."""
    control, treatment = aggregates[plan.control], aggregates[variant]
    covariates, why_not = _usable_covariates(plan, metric, control, treatment)
    arms = [moments(part, metric, covariates=covariates) for part in (control, treatment)]
    plain = unadjusted(arms[0], arms[1])
    main = plain
    if covariates:
        total = moments(control.merge(treatment), metric, covariates=covariates)
        mode: Literal["lin", "pooled"] = "pooled" if plan.adjust == "pooled" else "lin"
        main = adjusted(arms[0], arms[1], total=total, adjust=mode)
    test, plain_test = (_test(plan, variant, estimates) for estimates in (main, plain))
    reduction = (
        1 - main.difference_variance / plain.difference_variance
        if covariates and plain.difference_variance > 0
        else 0.0
    )
    return Comparison(
        metric=metric,
        variant=variant,
        control=arms[0].mean,
        treatment=arms[1].mean,
        effect=_effect(main, test),
        unadjusted=_effect(plain, plain_test),
        pvalue_adjusted=None,
        method=test.method + (f", CUPED ({plan.adjust})" if covariates else ""),
        cuped=Cuped(bool(covariates), reduction, why_not or f"by {', '.join(covariates)}"),
        posterior=(
            flat_prior_posterior(main, better=metric.better) if plan.method == "bayesian" else None
        ),
        verdict=Verdict(Word.INCONCLUSIVE, "not judged yet"),
        notes=tuple(_cautions(metric, control, treatment)),
    )


def _usable_covariates(
    plan: ExperimentPlan, metric: Metric, control: Aggregates, treatment: Aggregates
) -> tuple[tuple[str, ...], str]:
    """The covariates that vary, and why there are none if so."""
    if not metric.covariates:
        return (), "no covariate was given"
    if plan.adjust == "none":
        return (), "switched off by adjust: none"
    usable = tuple(
        name
        for name in metric.covariates
        if control.variance(name) > 0 and treatment.variance(name) > 0
    )
    if not usable:
        return (), f"{', '.join(metric.covariates)} has the same value for every unit of a variant"
    if min(control.n, treatment.n) < len(usable) + 3:
        return (), "too few units for a regression"
    return usable, ""


def _test(plan: ExperimentPlan, variant: str, estimates: Estimates) -> Test:
    match plan.method:
        case "fixed":
            return welch(estimates, alpha=plan.alpha)
        case "bayesian":
            return replace(normal(estimates, alpha=plan.alpha), method="flat-prior posterior")
        case "sequential":
            assert plan.planned_sample is not None
            pair = plan.weights[plan.control] + plan.weights[variant]
            planned = round(plan.planned_sample * pair / sum(plan.weights.values()))
            return always_valid(estimates, alpha=plan.alpha, planned_sample=max(planned, 2))


def _effect(estimates: Estimates, test: Test) -> Effect:
    return Effect(
        lift_abs=absolute_lift(estimates, critical=test.critical),
        lift_rel=relative_lift(estimates, critical=test.critical),
        pvalue=test.pvalue,
        std_error=sqrt(estimates.difference_variance),
    )


def _cautions(metric: Metric, control: Aggregates, treatment: Aggregates) -> list[str]:
    if metric.kind != "proportion":
        return []
    (column,) = metric.value_columns
    least = min(part.mean(column) * part.n for part in (control, treatment))
    if least >= FEW_EVENTS:
        return []
    return [f"only {least:.0f} conversions in a variant: the interval is a rough approximation"]


def _judged(
    plan: ExperimentPlan, srm: SampleRatio, drafts: Sequence[Comparison]
) -> list[Comparison]:
    """Corrected within each family of metrics, and with a verdict."""
    corrections: dict[str, Correction] = {
        "primary": plan.correction,
        "secondary": "none" if plan.correction == "none" else "bh",
        "guardrail": "none",
    }
    judged = list(drafts)
    for role, correction in corrections.items():
        places = [i for i, draft in enumerate(drafts) if draft.metric.role == role]
        pvalues = adjusted_pvalues([drafts[i].effect.pvalue for i in places], correction=correction)
        for place, pvalue in zip(places, pvalues, strict=True):
            draft = drafts[place]
            verdict = _verdict(plan, srm, draft.effect, pvalue)
            judged[place] = replace(draft, pvalue_adjusted=pvalue, verdict=verdict)
    return judged


def _verdict(
    plan: ExperimentPlan, srm: SampleRatio, effect: Effect, pvalue: float | None
) -> Verdict:
    if not srm.passed:
        return Verdict(Word.WITHHELD, "sample ratio mismatch")
    if pvalue is None:
        return Verdict(Word.INCONCLUSIVE, "the metric does not vary within the variants")
    if pvalue <= plan.alpha:
        return Verdict(Word.EFFECT, f"{p_is(pvalue)}, at most {plan.alpha:g}")
    if effect.pvalue is not None and effect.pvalue <= plan.alpha:
        return Verdict(
            Word.INCONCLUSIVE,
            f"{p_is(effect.pvalue)} alone, but {pvalue_text(pvalue)} among all comparisons made",
        )
    beyond = ruled_out_beyond(effect.lift_rel)
    if plan.smallest_lift is not None:
        if beyond <= plan.smallest_lift:
            return Verdict(Word.NO_EFFECT, f"beyond ±{percent(beyond)} ruled out")
        matters = percent(plan.smallest_lift)
        return Verdict(Word.INCONCLUSIVE, f"lifts of ±{matters}, which matter, are not ruled out")
    if beyond == inf:
        return Verdict(Word.INCONCLUSIVE, "the relative lift is unbounded")
    if beyond >= 1:
        return Verdict(Word.INCONCLUSIVE, "not even a doubling is ruled out")
    return Verdict(Word.NO_EFFECT, f"beyond ±{percent(beyond)} ruled out")
