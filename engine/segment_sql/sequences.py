"""`sequence` as SQL: for each event that ends a beginning of it, the latest instant it can begin.

The later a sequence begins, the longer it stays inside a window, so that one instant says all.
Each step looks back over the step before with a window frame of its own length: back to its gap,
and not beyond the last event that must not come between.
"""

from typing import Final

from engine.core.model.conditions import EventMatch, SequenceCondition, SequenceStep
from engine.segment_sql.comparisons import both
from engine.segment_sql.events import matches_part
from engine.segment_sql.plan import Plan

_EVER: Final = 2**61
"""Farther back than any instant, and near enough to be subtracted."""


def sequence_sql(plan: Plan, condition: SequenceCondition) -> str:
    """Whether events of every step lie in the window, one after the other."""
    first, *rest = condition.steps
    inside = _inside(plan, condition, first.match)
    begun = plan.part("begun", f"SELECT profile_id, happened, happened AS began FROM {inside}")
    for step in rest:
        begun = plan.part("begun", _next(plan, condition, begun, step))
    within = condition.window.within
    left = "" if within is None else f" AND b.began > asked.now - {plan.bind.instant(within)}"
    leaf = plan.leaf(
        "sequence",
        f"SELECT DISTINCT asked.now, b.profile_id FROM {begun} b "
        f"JOIN asked ON b.happened <= asked.now{left}",
    )
    return f"({leaf}.now IS NOT NULL)"


def _next(plan: Plan, condition: SequenceCondition, begun: str, step: SequenceStep) -> str:
    """The step's events that the sequence can reach, with the latest beginning of each."""
    events = _inside(plan, condition, step.match)
    reach = f"{plan.bind(_EVER)}::BIGINT"
    if step.gap is not None:
        reach = plan.bind.instant(step.gap)
    source = f"{events} e"
    if step.without is not None:
        source += (
            f" ASOF LEFT JOIN {matches_part(plan, step.without)} w "
            "ON e.profile_id = w.profile_id AND e.happened > w.happened"
        )
        reach = f"least({reach}, coalesce(e.happened - w.happened, {reach}))"
    return (
        "SELECT profile_id, happened, began FROM (SELECT profile_id, happened, is_step, "
        "max(began) OVER (PARTITION BY profile_id ORDER BY happened RANGE BETWEEN reach PRECEDING "
        "AND 1 PRECEDING) AS began FROM (SELECT profile_id, happened, began, FALSE AS is_step, "
        f"1::BIGINT AS reach FROM {begun} UNION ALL SELECT e.profile_id, e.happened, NULL, TRUE, "
        f"{reach} FROM {source} WHERE {reach} > 0)) WHERE is_step AND began IS NOT NULL"
    )


def _inside(plan: Plan, condition: SequenceCondition, match: EventMatch) -> str:
    """A step's events inside the fixed ends of the window."""
    matched, window = matches_part(plan, match), condition.window
    tests = []
    if window.since is not None:
        tests.append(f"happened >= {plan.bind.instant(window.since)}")
    if window.until is not None:
        tests.append(f"happened < {plan.bind.instant(window.until)}")
    if not tests:
        return matched
    return plan.part(
        "inside", f"SELECT profile_id, seq, happened FROM {matched} WHERE {both(tests)}"
    )
