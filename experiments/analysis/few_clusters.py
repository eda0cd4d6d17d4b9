"""The randomization test of an experiment whose clusters are few.

With a handful of shops or cities a variance over them is a guess, and so is Student's t by it. What
is left to rely on is the assignment itself: each other way to have assigned the same clusters was
as likely. Read next: `experiments.estimation.randomization`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import comb
from typing import TYPE_CHECKING, Final

from experiments.analysis.plan import ExperimentPlan
from experiments.analysis.readout import Comparison
from experiments.estimation.randomization import randomization_pvalue
from experiments.metrics import Metric
from experiments.reporting.words import p_is
from experiments.sums.few_clusters import ClusterRows, are_few
from experiments.sums.quantiles import CLUSTER_UNITS

if TYPE_CHECKING:
    import numpy as np

Pvalues = Mapping[tuple[str, str], float]
"""By (metric, variant)."""

LEAST_WORTH_SAYING: Final = 0.001
"""Of p-values that so few clusters can have: a smallest one above this is told to the reader."""
METHODS: Final = ("fixed", "bayesian")
"""Read once, at the planned end: looked at again and again it would be a test at each look."""


def randomized(
    plan: ExperimentPlan, clusters: Mapping[str, ClusterRows], *, rng: np.random.Generator
) -> dict[tuple[str, str], float]:
    """The test's p-value per metric and variant, of pairs with few clusters in either arm.

    Metrics of kind quantile have none, and no comparison has one where the plan looks more than
    once.

    Args:
        clusters: Per variant the sums of each cluster.
        rng: Draws assignments where there are too many to take each.
    """
    if plan.method not in METHODS or plan.control not in clusters:
        return {}
    control = clusters[plan.control]
    found: dict[tuple[str, str], float] = {}
    for metric in plan.metrics:
        for variant in plan.treatments:
            arms = [control, clusters.get(variant, {})]
            counts = [len(it.get(CLUSTER_UNITS, ())) for it in arms]
            if metric.kind == "quantile" or min(counts) < 2:
                continue
            if not are_few({"control": counts[0], "treatment": counts[1]}):
                continue
            if not all(set(_sides(metric)) <= it.keys() for it in arms):
                continue  # A warehouse's metric, of which only sums came.
            pairs = [_pairs(it, metric) for it in arms]
            if any(below <= 0 for pair in pairs for _, below in pair):
                continue  # A ratio of which a cluster has nothing to divide by.
            found[metric.name, variant] = randomization_pvalue(*pairs, rng=rng)
    return found


def with_randomization(draft: Comparison, pvalues: Pvalues, counts: tuple[int, int]) -> Comparison:
    """A comparison that is no surer than the randomization test lets it be.

    The larger of the two p-values is judged by: Student's t may be wrong with so few clusters, and
    the test has no interval that could be shown instead.

    Args:
        counts: Clusters of the control and of the variant.
    """
    found = pvalues.get((draft.metric.name, draft.variant))
    if found is None:
        return draft
    by_t = draft.effect.pvalue
    by_method = f"Student's t {p_is(by_t)}; the larger decides"
    if not draft.effect.lift_abs.is_bounded:
        by_method = "and this method waits for more"
    said = (
        f"{counts[0]} against {counts[1]} clusters: the randomization test says {p_is(found)},"
        f" {by_method}"
    )
    ways = comb(sum(counts), counts[1])
    least = (2 if counts[0] == counts[1] else 1) / ways
    notes = [*draft.notes, said]
    if least > LEAST_WORTH_SAYING:
        notes.append(f"with {ways} ways to assign so few clusters no p is below {least:.2g}")
    return replace(no_surer_than(draft, found), notes=tuple(notes))


def no_surer_than(draft: Comparison, found: float) -> Comparison:
    """The comparison with the larger of its own p-value and that of assigning anew."""
    own = draft.effect.pvalue
    judged_by = found if own is None else max(found, own)
    return replace(
        draft,
        effect=replace(draft.effect, pvalue=judged_by),
        unadjusted=replace(draft.unadjusted, pvalue=judged_by),
        randomization_pvalue=found,
    )


def _pairs(rows: ClusterRows, metric: Metric) -> list[tuple[float, float]]:
    """(total, units) of each cluster; of a ratio (numerator, denominator)."""
    above, below = _sides(metric)
    return list(zip(rows[above], rows[below], strict=True))


def _sides(metric: Metric) -> tuple[str, str]:
    if metric.kind == "ratio":
        return metric.value_columns[0], metric.value_columns[1]
    return metric.value_columns[0], CLUSTER_UNITS
