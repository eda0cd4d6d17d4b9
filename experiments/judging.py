"""Comparisons into words: corrected within their family, then judged by rules that are shown.

Families: primary metrics decide and share the plan's correction; secondary and exploratory ones are
corrected for false discoveries, apart; guardrails look for harm, one-sided and uncorrected, because
missing harm is the costly error.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf

from experiments.comparing import planned_pair
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import (
    Alternative,
    Interval,
    Test,
    normal_one_sided,
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
from experiments.plan import ExperimentPlan
from experiments.readout import Comparison, Verdict, Word
from experiments.reporting.words import p_is, percent, pvalue_text

Retest = Callable[[Comparison, float], Test]
"""The plan's test of a comparison at another alpha."""


def judged(
    plan: ExperimentPlan, drafts: Sequence[Comparison], *, withheld: str, retest: Retest
) -> tuple[Comparison, ...]:
    """Every comparison with its corrected p-value, its wider interval and its verdict.

    Args:
        withheld: Why no verdict may be given; "" if it may.
        retest: For the intervals of a family, which are as wide as its correction asks.
    """
    among = _dunnett_pvalues(plan, drafts) if plan.correction == "dunnett" else {}
    claims = [
        Claim(
            metric=it.metric.name,
            variant=it.variant,
            family=it.metric.role,
            pvalue=it.effect.pvalue,
            dunnett_pvalue=among.get((it.metric.name, it.variant)),
        )
        for it in drafts
    ]
    found = []
    families = judged_families(claims, alpha=plan.alpha, primary=plan.correction)
    for draft, claim in zip(drafts, families, strict=True):
        verdict = Verdict(Word.WITHHELD, withheld)
        if not withheld:
            verdict = _verdict(plan, draft, claim.pvalue_adjusted)
        notes = (*draft.notes, claim.watermark) if claim.watermark else draft.notes
        found.append(
            replace(
                draft,
                pvalue_adjusted=claim.pvalue_adjusted,
                lift_family=_wider(plan, draft, claim, retest),
                verdict=verdict,
                notes=notes,
            )
        )
    return tuple(found)


def is_negligible(plan: ExperimentPlan, comparison: Comparison) -> bool:
    """Whether both sides of the smallest lift that matters are ruled out (two one-sided tests)."""
    if plan.smallest_lift is None or comparison.estimates is None:
        return False
    shown = equivalence(
        comparison.estimates,
        margin=Margin(plan.smallest_lift, relative=True),
        alpha=plan.alpha,
        one_sided_test=_one_sided(plan, comparison.variant),
    )
    return shown.is_shown


def _dunnett_pvalues(
    plan: ExperimentPlan, drafts: Sequence[Comparison]
) -> dict[tuple[str, str], float | None]:
    """Each variant's p-value among all variants, metric by metric."""
    found: dict[tuple[str, str], float | None] = {}
    for name in dict.fromkeys(it.metric.name for it in drafts):
        of_it = {
            it.variant: it.estimates
            for it in drafts
            if it.metric.name == name and it.estimates is not None
        }
        if of_it:
            tests = dunnett(list(of_it.values()), alpha=plan.alpha)
            found |= {
                (name, variant): test.pvalue for variant, test in zip(of_it, tests, strict=True)
            }
    return found


def _wider(
    plan: ExperimentPlan, draft: Comparison, claim: Judged, retest: Retest
) -> Interval | None:
    """The relative interval as wide as the family asks; None where that is the plain one."""
    level = claim.interval_alpha
    if draft.estimates is None or level is None or level >= plan.alpha:
        return None
    return relative_lift(draft.estimates, critical=retest(draft, level).critical)


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


def _one_sided(plan: ExperimentPlan, variant: str) -> OneSidedTest:
    """The one-sided form of the plan's evidence."""

    def watched(estimates: Estimates, *, alpha: float, alternative: Alternative) -> Test:
        return always_valid_one_sided(
            estimates,
            alpha=alpha,
            planned_sample=planned_pair(plan, variant),
            alternative=alternative,
        )

    match plan.method:
        case "sequential" | "group_sequential":
            # Guardrails are watched at every refresh, also between the looks that spend alpha.
            return watched
        case "bayesian":
            return normal_one_sided
        case "fixed":
            return welch_one_sided
