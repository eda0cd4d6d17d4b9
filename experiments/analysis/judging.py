"""Comparisons into words: corrected within their family, then judged by rules that are shown.

Families: primary metrics decide and share the plan's correction; secondary and exploratory ones are
corrected for false discoveries, apart; guardrails look for harm, one-sided and uncorrected, because
missing harm is the costly error.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf

from experiments.analysis.comparing import planned_pair
from experiments.analysis.few_units import is_too_few
from experiments.analysis.plan import ExperimentPlan
from experiments.analysis.readout import Comparison, Effect, Verdict, Word
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import (
    Alternative,
    Interval,
    Test,
    relative_lift,
    ruled_out_beyond,
    welch_one_sided,
)
from experiments.evidence.dunnett import dunnett
from experiments.evidence.equivalence import (
    Margin,
    OneSidedTest,
    equivalence,
    guardrail,
)
from experiments.evidence.families import Claim, Judged, judged_families
from experiments.evidence.sequential import always_valid_one_sided
from experiments.reporting.words import p_is, percent, pvalue_text

AtLevel = Callable[[Comparison, float], Interval]
"""A comparison's relative interval by the plan's test at another alpha."""


def judged(
    plan: ExperimentPlan, drafts: Sequence[Comparison], *, withheld: str, at_level: AtLevel
) -> tuple[Comparison, ...]:
    """Every comparison with its corrected p-value, its wider interval and its verdict.

    Args:
        withheld: Why no verdict may be given; "" if it may.
        at_level: For the intervals of a family, which are as wide as its correction asks.
    """
    among = _dunnett_tests(plan, drafts) if plan.correction == "dunnett" else {}
    claims = [
        Claim(
            metric=it.metric.name,
            variant=it.variant,
            family=it.metric.role,
            pvalue=it.effect.pvalue,
            dunnett_pvalue=_dunnett_pvalue(plan, it, among.get((it.metric.name, it.variant))),
        )
        for it in drafts
    ]
    found = []
    families = judged_families(claims, alpha=plan.alpha, primary=plan.correction)
    for draft, claim in zip(drafts, families, strict=True):
        why = withheld or _refuted(draft)
        verdict = Verdict(Word.WITHHELD, why)
        if not why:
            verdict = _verdict(plan, draft, claim.pvalue_adjusted)
        notes = (*draft.notes, claim.watermark) if claim.watermark else draft.notes
        found.append(
            replace(
                draft,
                pvalue_adjusted=claim.pvalue_adjusted,
                lift_family=_wider(plan, draft, claim, at_level, among),
                verdict=verdict,
                notes=notes,
            )
        )
    return tuple(found)


def _refuted(draft: Comparison) -> str:
    """Why those triggered cannot be compared, or "": their trigger tells who got what."""
    checked = draft.diluted.validity if draft.diluted is not None else None
    return "" if checked is None or checked.passed else "; ".join(checked.reasons)


def is_negligible(plan: ExperimentPlan, comparison: Comparison) -> bool:
    """Whether both sides of the smallest lift that matters are ruled out (two one-sided tests)."""
    if plan.smallest_lift is None or comparison.estimates is None:
        return False
    if comparison.one_sided is not None:
        lift = comparison.one_sided.lift_rel
        return all(_is_inside(lift, plan.smallest_lift, side) for side in (-1, 1))
    shown = equivalence(
        comparison.estimates,
        margin=Margin(plan.smallest_lift, relative=True),
        alpha=plan.alpha,
        one_sided_test=_one_sided(plan, comparison.variant),
    )
    return shown.is_shown


_Among = dict[tuple[str, str], Test]


def _dunnett_tests(plan: ExperimentPlan, drafts: Sequence[Comparison]) -> _Among:
    """Each variant's test among all variants, primary metric by primary metric.

    The critical value is for alpha over the number of metrics, as their p-values are times it.
    """
    primary = [it for it in drafts if it.metric.role == "primary" and it.estimates is not None]
    alpha = plan.alpha / _n_tested(primary)
    found: _Among = {}
    for name in dict.fromkeys(it.metric.name for it in primary):
        of_it = {it.variant: it.estimates for it in primary if it.metric.name == name}
        tests = dunnett([it for it in of_it.values() if it is not None], alpha=alpha)
        found |= {(name, variant): test for variant, test in zip(of_it, tests, strict=True)}
    return found


def _n_tested(primary: Sequence[Comparison]) -> int:
    return len({it.metric.name for it in primary if it.effect.pvalue is not None}) or 1


def _dunnett_pvalue(plan: ExperimentPlan, draft: Comparison, test: Test | None) -> float | None:
    """Never under what the comparison has alone; few conversions share alpha evenly instead."""
    alone = draft.effect.pvalue
    if test is None or alone is None:
        return None
    if draft.one_sided is not None or test.pvalue is None:
        return min(alone * len(plan.treatments), 1.0)
    return max(test.pvalue, alone)


def _wider(
    plan: ExperimentPlan, draft: Comparison, claim: Judged, at_level: AtLevel, among: _Among
) -> Interval | None:
    """The relative interval as wide as the family asks; None where that is the plain one."""
    if draft.estimates is None:
        return None
    test = among.get((draft.metric.name, draft.variant))
    if test is not None and claim.correction == "dunnett":
        if draft.one_sided is not None:
            n_metrics = len({metric for metric, _ in among})
            return at_level(draft, plan.alpha / len(plan.treatments) / n_metrics)
        if not draft.effect.lift_abs.is_bounded:
            return draft.effect.lift_rel
        return relative_lift(draft.estimates, critical=test.critical)
    level = claim.interval_alpha
    if level is None or level >= plan.alpha:
        return None
    return at_level(draft, level)


def _verdict(plan: ExperimentPlan, draft: Comparison, pvalue: float | None) -> Verdict:
    if draft.metric.role == "guardrail":
        return _of_guardrail(plan, draft)
    if pvalue is None:
        return Verdict(Word.INCONCLUSIVE, "the metric does not vary within the variants")
    if pvalue <= plan.alpha:
        return Verdict(Word.EFFECT, f"{p_is(pvalue)}, at most {plan.alpha:g}")
    alone = draft.effect.pvalue
    if alone is not None and alone <= plan.alpha:
        return Verdict(
            Word.INCONCLUSIVE,
            f"{p_is(alone)} alone, but {pvalue_text(pvalue)} among all comparisons made",
        )
    beyond = ruled_out_beyond(draft.effect.lift_rel)
    if plan.smallest_lift is not None:
        matters = percent(plan.smallest_lift)
        if is_negligible(plan, draft):
            rule = f"lifts of ±{matters} or more, which would matter, are ruled out"
            return Verdict(Word.NO_MEANINGFUL_EFFECT, rule)
        return Verdict(Word.INCONCLUSIVE, f"lifts of ±{matters}, which matter, are not ruled out")
    if beyond == inf:
        return Verdict(Word.INCONCLUSIVE, "the relative lift is unbounded")
    if beyond >= 1:
        return Verdict(Word.INCONCLUSIVE, "not even a doubling is ruled out")
    return Verdict(Word.NO_EFFECT, f"beyond ±{percent(beyond)} ruled out")


def _of_guardrail(plan: ExperimentPlan, draft: Comparison) -> Verdict:
    if draft.one_sided is not None:
        return _of_few_conversions(plan, draft, draft.one_sided)
    if draft.estimates is None or draft.estimates.difference_variance == 0:
        return Verdict(Word.UNCLEAR, "the metric does not vary within the variants")
    found = guardrail(
        draft.estimates,
        better=draft.metric.better,
        alpha=plan.alpha,
        margin=plan.margins.get(draft.metric.name),
        one_sided_test=_one_sided(plan, draft.variant),
    )
    return Verdict(Word(found.word.value), found.rule)


def _of_few_conversions(plan: ExperimentPlan, draft: Comparison, bounds: Effect) -> Verdict:
    """The guardrail's words by the bounds that are shown: a normal test would contradict them.

    With no conversion at all on one side the normal approximation knows no variance there, and
    calls harm what chance explains.
    """
    margin = plan.margins.get(draft.metric.name)
    bad = -1 if draft.metric.better == "higher" else 1
    lift = bounds.lift_rel if margin is None or margin.relative else bounds.lift_abs
    near = lift.ci_lower if bad > 0 else lift.ci_upper
    is_worse = near is not None and near * bad > 0
    # Watched conversions give rates for as many as were seen in all: no bound in units of the rate.
    watched = plan.method in ("sequential", "group_sequential")
    is_a_bound = margin is not None and (margin.relative or not watched)
    if margin is not None and is_a_bound and _is_inside(lift, margin.size, bad):
        rule = "worse, but by less than the margin" if is_worse else (
            "any harm of the margin's size is ruled out"
        )  # fmt: skip
        return Verdict(Word.SAFE, rule)
    if is_worse:
        return Verdict(Word.HARM, "worse than the control")
    if draft.control == draft.treatment == 0:
        return Verdict(Word.UNCLEAR, "nobody did it yet, in either variant")
    if margin is None:
        return Verdict(Word.UNCLEAR, "no harm found, but without a margin safety cannot be shown")
    return Verdict(Word.UNCLEAR, "harm of the margin's size is not ruled out")


def _is_inside(lift: Interval, size: float, side: int) -> bool:
    """Whether the interval ends before `size` on that side; without an end it does not."""
    end = lift.ci_upper if side > 0 else lift.ci_lower
    return end is not None and end * side < size


def _one_sided(plan: ExperimentPlan, variant: str) -> OneSidedTest:
    """The one-sided form of the plan's evidence."""

    def watched(estimates: Estimates, *, alpha: float, alternative: Alternative) -> Test:
        return always_valid_one_sided(
            estimates,
            alpha=alpha,
            planned_sample=planned_pair(plan, variant),
            alternative=alternative,
        )

    tests: dict[str, OneSidedTest] = {
        # Guardrails are watched at every refresh, also between the looks that spend alpha.
        "sequential": watched,
        "group_sequential": watched,
        "bayesian": welch_one_sided,
        "fixed": welch_one_sided,
    }

    def patient(estimates: Estimates, *, alpha: float, alternative: Alternative) -> Test:
        test = tests[plan.method](estimates, alpha=alpha, alternative=alternative)
        if test.pvalue is not None and is_too_few(plan, estimates):
            return replace(test, critical=inf, pvalue=1.0)
        return test

    return patient
