"""One metric, one variant against the control: sums into an effect, not yet judged.

Parent of the estimators and the tests: it chooses which of them a metric and a plan call for, and
says in words which it chose. Read next: `judging`, which corrects and finds the words.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite, sqrt
from typing import Literal

from experiments.analysis.believing import believed
from experiments.analysis.collected import Arms, Collected
from experiments.analysis.few_clusters import no_surer_than, with_randomization
from experiments.analysis.few_units import is_too_few, stands_still, waits
from experiments.analysis.looking import between_looks
from experiments.analysis.plan import ExperimentPlan
from experiments.analysis.rare_counts import rarely_counted
from experiments.analysis.readout import Comparison, Cuped, Effect, Verdict, Word
from experiments.distributions import normal_quantile
from experiments.errors import DataError
from experiments.estimation import clusters, counts, proportions, quantile
from experiments.estimation.covariates import usable
from experiments.estimation.cuped import adjusted, unadjusted
from experiments.estimation.estimates import Estimates
from experiments.estimation.ratio import moments
from experiments.estimation.strata import post_stratified
from experiments.evidence.bayes import posterior
from experiments.evidence.compare import Test, absolute_lift, relative_lift, welch
from experiments.evidence.conversions import FEW_CONVERSIONS, exact_conversions
from experiments.evidence.group_sequential import GroupSequentialPlan, group_sequential
from experiments.evidence.sequential import always_valid
from experiments.evidence.spending import Spending
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates

POWER = 0.8
FEW_EVENTS = 20
"""Fewer conversions than this in a variant strain the normal approximation."""
OF_SO_MANY = (
    "few conversions, so they are read exactly; the difference is for as many of them in all as "
    "were seen"
)


@dataclass(frozen=True)
class Means:
    """Two means to compare, adjusted and not.

    Attributes:
        control, treatment: Plain.
        main: Adjusted where `cuped.applied`.
    """

    control: float
    treatment: float
    main: Estimates
    plain: Estimates
    cuped: Cuped
    how: str = ""
    notes: tuple[str, ...] = ()


def compare(
    plan: ExperimentPlan,
    metric: Metric,
    variant: str,
    arms: Arms,
    *,
    collected: Collected,
    earlier: Sequence[Arms] = (),
    fractions: Sequence[float] = (),
    tuned_to: float | None = None,
) -> Comparison:
    """One comparison, not yet corrected or judged.

    Args:
        earlier: The sums as of the looks before this one, for `group_sequential`.
        fractions: Of the planned sample at each look, where the sums do not tell.
        tuned_to: See `always_valid`.
    """
    found = _found(plan, metric, variant, arms, collected)
    looks = [means_of(plan, metric, variant, each).main for each in earlier]
    main = believed(found.main, plan.prior if plan.method == "bayesian" else None)
    test = evidence_of(plan, variant, [*looks, main], fractions, tuned_to=tuned_to)
    effect = effect_of(main, test)
    plain = effect_of(found.plain, evidence_of(plan, variant, [*looks, found.plain], fractions))
    draft = Comparison(
        metric=metric,
        variant=variant,
        control=found.control,
        treatment=found.treatment,
        effect=effect,
        unadjusted=plain,
        pvalue_adjusted=None,
        method=test.method + found.how,
        cuped=found.cuped,
        posterior=(
            posterior(main, better=metric.better, alpha=plan.alpha)
            if plan.method == "bayesian" and not is_too_few(plan, main)
            else None
        ),
        verdict=Verdict(Word.INCONCLUSIVE, "not judged yet"),
        notes=(
            *found.notes,
            *stands_still(metric, found.plain),
            *waits(plan, main),
            *between_looks(plan, metric, collected),
        ),
        estimates=main,
        uncapped=_uncapped(plan, metric, variant, arms, collected),
        visible_lift=_visible(main, test),
    )
    given = collected.estimated.get((metric.name, variant))
    if given is not None and given.randomization_pvalue is not None:
        return no_surer_than(draft, given.randomization_pvalue)
    if collected.randomized:
        pair = collected.clusters[plan.control].n, collected.clusters[variant].n
        return with_randomization(draft, collected.randomized, pair)
    if found.cuped.applied or found.how:
        return draft
    if metric.kind == "count":
        return rarely_counted(plan, draft, arms)
    if metric.kind != "proportion":
        return draft
    return _few_conversions(plan, draft, arms, tuned_to)


def means_of(plan: ExperimentPlan, metric: Metric, variant: str, arms: Arms) -> Means:
    """The two means of a metric that the aggregates give."""
    control, treatment = arms[plan.control], arms[variant]
    names = () if plan.adjust == "none" else metric.covariates
    pair = [moments(part, metric, covariates=names) for part in (control, treatment)]
    plain = unadjusted(pair[0], pair[1])
    able = usable(names, pair[0], pair[1])
    if not able.kept:
        why = able.note or (
            "switched off by adjust: none" if metric.covariates else "no covariate was given"
        )
        return Means(
            pair[0].mean, pair[1].mean, plain, plain, Cuped(False, 0.0, why), notes=able.suspects,
        )  # fmt: skip
    total = moments(control.merge(treatment), metric, covariates=names)
    mode: Literal["lin", "pooled"] = "pooled" if plan.adjust == "pooled" else "lin"
    main = adjusted(pair[0], pair[1], total=total, adjust=mode)
    by = f"by {', '.join(able.kept)}" + (f" ({able.note})" if able.note else "")
    return Means(
        pair[0].mean, pair[1].mean, main, plain, Cuped(True, _reduction(main, plain), by),
        how=f", CUPED ({plan.adjust})", notes=able.suspects,
    )  # fmt: skip


def evidence_of(
    plan: ExperimentPlan,
    variant: str,
    looks: Sequence[Estimates],
    fractions: Sequence[float] = (),
    *,
    tuned_to: float | None = None,
) -> Test:
    """The plan's test of the last look; `group_sequential` remembers the earlier ones.

    Too few units to trust their variance are no evidence: p is 1 and no value is ruled out.
    """
    test = _test_of(plan, variant, looks, fractions, tuned_to)
    if test.pvalue is not None and is_too_few(plan, looks[-1]):
        return replace(test, critical=inf, pvalue=1.0)
    return test


def _test_of(
    plan: ExperimentPlan,
    variant: str,
    looks: Sequence[Estimates],
    fractions: Sequence[float],
    tuned_to: float | None,
) -> Test:
    estimates = looks[-1]
    match plan.method:
        case "fixed":
            return welch(estimates, alpha=plan.alpha)
        case "bayesian":
            return replace(welch(estimates, alpha=plan.alpha), method="posterior")
        case "sequential":
            sample = planned_pair(plan, variant)
            return always_valid(
                estimates, alpha=plan.alpha, planned_sample=sample, tuned_to=tuned_to
            )
        case "group_sequential":
            return _of_looks(plan, variant, looks, fractions)


def planned_pair(plan: ExperimentPlan, variant: str) -> int:
    """Planned units of one variant and the control together."""
    assert plan.planned_sample is not None
    pair = plan.weights[plan.control] + plan.weights[variant]
    return max(round(plan.planned_sample * pair / sum(plan.weights.values())), 2)


def effect_of(estimates: Estimates, test: Test) -> Effect:
    """Both intervals at the test's critical value."""
    return Effect(
        lift_abs=absolute_lift(estimates, critical=test.critical),
        lift_rel=relative_lift(estimates, critical=test.critical),
        pvalue=test.pvalue,
        std_error=sqrt(estimates.difference_variance),
    )


# --- below: the cases -----------------------------------------------------------------------------


def _found(
    plan: ExperimentPlan, metric: Metric, variant: str, arms: Arms, collected: Collected
) -> Means:
    """The means from wherever they come for this metric."""
    given = collected.estimated.get((metric.name, variant))
    if given is not None:
        both = given.estimates
        nothing = Cuped(False, 0.0, "not adjusted")
        return Means(
            both.control, both.treatment, both, both, nothing, how=f" of {given.method} estimates",
            notes=given.notes,
        )  # fmt: skip
    if collected.estimated:
        # Where some means were estimated apart, those of the sums are biased (a bandit's).
        raise DataError(f"metric {metric.name!r}: there is no estimate for {variant!r}")
    if metric.kind == "quantile":
        return _of_quantiles(plan, metric, variant, collected)
    if collected.clusters:
        return _of_clusters(plan, metric, variant, collected.clusters)
    found = means_of(plan, metric, variant, arms)
    found = replace(found, notes=(*found.notes, *cautions(metric, arms, plan.control, variant)))
    if collected.strata:
        return _stratified(plan, metric, variant, found, collected)
    return found


def _of_quantiles(
    plan: ExperimentPlan, metric: Metric, variant: str, collected: Collected
) -> Means:
    sums = collected.quantiles.get(metric.name)
    if sums is None or plan.control not in sums or variant not in sums:
        raise DataError(
            f"metric {metric.name!r} is a quantile, and the data came without its order statistics"
        )
    pair = (sums[plan.control], sums[variant])
    estimates = quantile.quantiles(*pair)
    why = Cuped(False, 0.0, "a quantile is not adjusted")
    return Means(
        pair[0].value, pair[1].value, estimates, estimates, why, how=" of quantiles",
        notes=tuple(quantile.cautions(*pair)),
    )  # fmt: skip


def _of_clusters(plan: ExperimentPlan, metric: Metric, variant: str, arms: Arms) -> Means:
    pair = (arms[plan.control], arms[variant])
    estimates = clusters.clustered(*pair, metric=metric)
    why = Cuped(False, 0.0, "clusters are compared as a whole")
    return Means(
        estimates.control, estimates.treatment, estimates, estimates, why, how=" over clusters",
        notes=tuple(clusters.cautions(*pair)),
    )  # fmt: skip


def _stratified(
    plan: ExperimentPlan, metric: Metric, variant: str, found: Means, collected: Collected
) -> Means:
    covariates = metric.covariates if found.cuped.applied else ()
    result = post_stratified(
        collected.strata[plan.control],
        collected.strata[variant],
        metric=metric,
        covariates=covariates,
        adjust="pooled" if plan.adjust == "pooled" else "lin",
    )
    by = "by stratum" + (f" and {', '.join(covariates)}" if covariates else "")
    cuped = Cuped(True, _reduction(result.estimates, found.plain), by)
    return replace(
        found, main=result.estimates, cuped=cuped, how=", post-stratified" + found.how,
        notes=(*found.notes, *result.notes),
    )  # fmt: skip


def _of_looks(
    plan: ExperimentPlan,
    variant: str,
    looks: Sequence[Estimates],
    known: Sequence[float],
) -> Test:
    planned = planned_pair(plan, variant)
    fractions = known or [(it.n_control + it.n_treatment) / planned for it in looks]
    spending = Spending(plan.spending, plan.spending_parameter)
    return group_sequential(
        looks,
        plan=GroupSequentialPlan(alpha=plan.alpha, spending=spending),
        fractions=[min(fraction, 1.0) for fraction in fractions],
        is_final=fractions[-1] >= 1,
    ).test


def cautions(metric: Metric, arms: Arms, control: str, variant: str) -> tuple[str, ...]:
    """What strains the numbers of a comparison."""
    pair = (arms[control], arms[variant])
    if metric.kind == "count":
        (column,) = metric.value_columns
        return tuple(counts.cautions(*(counts.counted(part, column) for part in pair)))
    if metric.kind != "proportion":
        return ()
    (column,) = metric.value_columns
    least = min(part.mean(column) * part.n for part in pair)
    if least >= FEW_EVENTS:
        return ()
    return (f"only {least:.0f} conversions in a variant: the interval is a rough approximation",)


def _few_conversions(
    plan: ExperimentPlan, draft: Comparison, arms: Arms, tuned_to: float | None
) -> Comparison:
    """Where the normal approximation is strained, the exact or small-sample interval instead."""
    (column,) = draft.metric.value_columns
    pair = (arms[plan.control], arms[draft.variant])
    if any(_is_no_share(part, column) for part in pair):
        return draft
    control, treatment = (proportions.successes(part, column) for part in pair)
    error = draft.effect.std_error
    # A guardrail is watched at every refresh and has no prior: it is read by the plainer method.
    method, guards = plan.method, draft.metric.role == "guardrail"
    if guards and method in ("group_sequential", "bayesian"):
        method = "sequential" if method == "group_sequential" else "fixed"
    if method == "fixed" and proportions.replaces_welch(control, treatment):
        small = proportions.miettinen_nurminen(control, treatment, alpha=plan.alpha)
        effect = Effect(small.lift_abs, small.lift_rel, small.pvalue, error)
        # One side at alpha is the bound of two sides at twice alpha.
        twice = proportions.miettinen_nurminen(control, treatment, alpha=2 * plan.alpha)
        bounds = Effect(twice.lift_abs, twice.lift_rel, twice.pvalue, error)
        return replace(
            draft, effect=effect, unadjusted=effect, method=small.method, notes=(),
            one_sided=bounds,
        )  # fmt: skip
    least = min(control.events, treatment.events)
    if method == "sequential" and least < FEW_CONVERSIONS:
        weights = plan.weights[plan.control], plan.weights[draft.variant]
        exact = exact_conversions(
            (control.events, control.n),
            (treatment.events, treatment.n),
            treatment_share=weights[1] / sum(weights),
            alpha=plan.alpha,
            tuned_to=tuned_to,
        )
        effect = Effect(exact.absolute, exact.relative, exact.pvalue, error)
        return replace(
            draft,
            effect=effect,
            unadjusted=effect,
            method="exact sequence of conversions",
            notes=(OF_SO_MANY,),
            # Both sides together: with uneven shares one side may use up all of alpha.
            one_sided=effect,
        )
    return draft


def _is_no_share(part: Aggregates, column: str) -> bool:
    return not 0 <= part.mean(column) <= 1


def _uncapped(
    plan: ExperimentPlan, metric: Metric, variant: str, arms: Arms, collected: Collected
) -> Effect | None:
    """The same comparison without its cap, where the plain column was summed too."""
    if metric.cap_share is None or collected.estimated:
        return None
    plain = replace(metric, cap_share=None)
    if not set(plain.value_columns) <= set(arms[plan.control].columns):
        return None
    try:
        found = _found(plan, plain, variant, arms, collected)
    except DataError:
        return None  # The plain column was summed, but not together with every covariate.
    if plan.method == "group_sequential":  # Shown beside, not judged: its own looks are not kept.
        return effect_of(found.main, welch(found.main, alpha=plan.alpha))
    return effect_of(found.main, evidence_of(plan, variant, [found.main]))


def _visible(estimates: Estimates, test: Test) -> float | None:
    """The lift at which the estimate falls beyond the critical value four times in five."""
    if estimates.control == 0 or not isfinite(test.critical):
        return None
    reach = (test.critical + normal_quantile(POWER)) * sqrt(estimates.difference_variance)
    return reach / abs(estimates.control)


def _reduction(main: Estimates, plain: Estimates) -> float:
    if plain.difference_variance <= 0:
        return 0.0
    return 1 - main.difference_variance / plain.difference_variance
