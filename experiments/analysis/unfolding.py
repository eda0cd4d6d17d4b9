"""Comparisons unfolded: through their days, by segment, by time since exposure, on those reached.

None of it decides. Each answers a question that the one number raises: did it settle, for whom,
will it last, and what does the message do to someone who truly gets it.
"""

from collections.abc import Mapping
from math import isfinite
from typing import NamedTuple

from experiments.analysis.collected import RECEIVED, Arms, Collected
from experiments.analysis.comparing import means_of, planned_pair
from experiments.analysis.few_units import FEW_UNITS
from experiments.analysis.looking import cumulative
from experiments.analysis.plan import ExperimentPlan
from experiments.analysis.readout import Complier, Moment, OverTime, Segments, Wear
from experiments.errors import DataError
from experiments.estimation.cace import complier_effect
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import Interval
from experiments.evidence.looks import Look, confidence_sequence
from experiments.metrics import Metric
from experiments.programme.heterogeneity import heterogeneity
from experiments.programme.novelty import novelty

NOTHING = Interval(None, None, None)
CONTEXT = "context"
"""What the dimension of a bandit's contexts is called."""


def over_time(plan: ExperimentPlan, collected: Collected) -> tuple[OverTime, ...]:
    """The primary metrics' confidence sequences by day, and what each variant has brought in.

    Always-valid whatever the method: a curve is a look a day. Recomputed from the units that were
    countable by the end of each day.
    """
    days = cumulative(collected.days)
    if len(days) < 2 or collected.clusters:
        return ()
    found = []
    for metric in _primary(plan):
        if metric.kind == "quantile":
            continue
        for variant in plan.treatments:
            if (metric.name, variant) in collected.estimated:
                continue  # A bandit's days are not comparable by their means.
            track = _track(plan, metric, variant, days)
            if track is not None:
                found.append(track)
    return tuple(found)


class Segmented(NamedTuple):
    """The comparisons by segment, and of each dimension that could not be read, why."""

    read: tuple[Segments, ...] = ()
    left_out: tuple[str, ...] = ()


def segments(plan: ExperimentPlan, collected: Collected) -> Segmented:
    """The deciding metric within the levels of each dimension.

    A dimension whose levels do not vary is left out alone, with the reason; the others are
    corrected for their number together.
    """
    metric = plan.deciding
    if collected.contexts:
        return _by_context(plan, collected)
    if metric.kind == "quantile" or _is_apart(collected):
        why = "Not explored: these units cannot be compared one by one."
        return Segmented(left_out=(why,) if collected.trees else ())
    found, left_out = [], []
    for variant in plan.treatments if collected.dimensions else ():
        dimensions: dict[str, dict[str, Estimates]] = {}
        for name, by_level in collected.dimensions.items():
            levels = _levels(plan, metric, variant, by_level)
            try:
                heterogeneity({name: levels}, declared=plan.dimensions, alpha=plan.alpha)
            except DataError as error:
                left_out.append(f"By segment, {variant}: {error}.")
            else:
                dimensions[name] = levels
        if dimensions:
            read = heterogeneity(dimensions, declared=plan.dimensions, alpha=plan.alpha)
            found.append(Segments(metric, variant, read))
    for variant, tree in collected.trees.items():
        if tree.dimension is None:
            left_out.append(f"Explored, {variant}: {tree.why_not}.")
            continue
        found.append(Segments(metric, variant, (tree.dimension,)))
        left_out.append(
            f"Explored, {variant}: a tree was grown on {tree.n_grown:,} units drawn by lot and is"
            f" judged here by the other {tree.n_judged:,}; its intervals hold all together."
        )
    return Segmented(tuple(found), tuple(left_out))


def _by_context(plan: ExperimentPlan, collected: Collected) -> Segmented:
    """A bandit's contexts are part of its plan: whether they differ may be a finding."""
    found, left_out = [], []
    for variant in plan.treatments:
        levels = dict(collected.contexts.get(variant, {}))
        try:
            read = heterogeneity({CONTEXT: levels}, declared=(CONTEXT,), alpha=plan.alpha)
        except DataError as error:
            left_out.append(f"By context, {variant}: {error}.")
        else:
            found.append(Segments(plan.deciding, variant, read))
    return Segmented(tuple(found), tuple(left_out))


def wear(plan: ExperimentPlan, collected: Collected) -> tuple[Wear, ...]:
    """Whether the deciding metric's effect wears off with the time since exposure."""
    metric, arms = plan.deciding, collected.ages
    if plan.control not in arms or _is_apart(collected):
        return ()
    found = []
    for variant in plan.treatments:
        if variant not in arms:
            continue
        try:
            read = novelty(
                arms[plan.control], arms[variant], ages=collected.age_days, alpha=plan.alpha
            )
        except DataError as error:
            found.append(Wear(metric, variant, None, str(error)))
        else:
            found.append(Wear(metric, variant, read))
    return tuple(found)


def compliers(plan: ExperimentPlan, collected: Collected) -> tuple[Complier, ...]:
    """The deciding metric's effect on those the message reached."""
    metric, arms = plan.deciding, collected.received
    if plan.control not in arms or metric.kind in ("quantile", "ratio") or _is_apart(collected):
        return ()
    (column,) = metric.value_columns
    found = []
    for variant in plan.treatments:
        if variant not in arms:
            continue
        pair = (arms[plan.control], arms[variant])
        share = pair[1].mean(RECEIVED) - pair[0].mean(RECEIVED)
        try:
            effect = complier_effect(*pair, outcome=column, received=RECEIVED, alpha=plan.alpha)
        except DataError as error:
            found.append(Complier(metric, variant, NOTHING, NOTHING, share, None, str(error)))
            continue
        found.append(
            Complier(
                metric,
                variant,
                effect.effect,
                NOTHING,
                share,
                effect.first_stage_f if isfinite(effect.first_stage_f) else None,
            )
        )
    return tuple(found)


def _is_apart(collected: Collected) -> bool:
    """Whether units' own sums mislead: clusters vary more, a bandit's arms got other people."""
    return bool(collected.clusters or collected.estimated)


def _primary(plan: ExperimentPlan) -> list[Metric]:
    return [it for it in plan.metrics if it.role == "primary"] or [plan.deciding]


def _track(
    plan: ExperimentPlan, metric: Metric, variant: str, days: dict[str, Arms]
) -> OverTime | None:
    looks: dict[str, Estimates] = {}
    for day, arms in days.items():
        pair = [arms[name] for name in (plan.control, variant) if name in arms]
        if len(pair) < 2 or min(part.n for part in pair) < FEW_UNITS:
            continue
        try:
            looks[day] = means_of(plan, metric, variant, arms).main
        except DataError:
            continue  # A ratio whose denominator is 0 so far.
    if len(looks) < 2:
        return None
    last = list(looks.values())[-1]
    sample = (
        planned_pair(plan, variant)
        if plan.planned_sample is not None
        else last.n_control + last.n_treatment
    )
    sequence = confidence_sequence(list(looks.values()), alpha=plan.alpha, planned_sample=sample)
    moments = tuple(
        _moment(day, look, estimates)
        for (day, estimates), look in zip(looks.items(), sequence.looks, strict=True)
    )
    return OverTime(metric, variant, moments, sequence.contradicts_itself)


def _moment(day: str, look: Look, estimates: Estimates) -> Moment:
    return Moment(
        day=day,
        n=look.n,
        lift_rel=look.relative,
        so_far=look.relative_so_far,
        pvalue=look.running_pvalue,
        gained=_times(look.absolute, estimates.n_treatment),
    )


def _levels(
    plan: ExperimentPlan, metric: Metric, variant: str, by_level: Mapping[str, Arms]
) -> dict[str, Estimates]:
    levels: dict[str, Estimates] = {}
    for level, arms in by_level.items():
        pair = [arms[name] for name in (plan.control, variant) if name in arms]
        if len(pair) < 2 or min(part.n for part in pair) < 2:
            continue
        try:
            levels[level] = means_of(plan, metric, variant, arms).main
        except DataError:
            continue
    return levels


def _times(interval: Interval, n: int) -> Interval:
    def times(value: float | None) -> float | None:
        return None if value is None else value * n

    return Interval(times(interval.estimate), times(interval.ci_lower), times(interval.ci_upper))
