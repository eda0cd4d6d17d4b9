"""Each kind of condition as an SQL expression over `who`: one small unit in one dict."""

from collections.abc import Callable
from typing import Any, Final

from engine.core.errors import CampaignError
from engine.core.model.conditions import (
    AggregateCondition,
    All,
    AnyOf,
    ClusterCondition,
    Condition,
    ConsentCondition,
    EventCondition,
    LatestCondition,
    ListCondition,
    LocalTimeCondition,
    MomentCondition,
    NearCondition,
    Not,
    SampleCondition,
    ScoreCondition,
    SegmentCondition,
    SequenceCondition,
    SessionCondition,
    TraitCondition,
)
from engine.segment_sql import people
from engine.segment_sql.aggregates import aggregate_sql, moment_sql
from engine.segment_sql.comparisons import both, either
from engine.segment_sql.events import count_sql, session_sql
from engine.segment_sql.plan import Plan
from engine.segment_sql.sequences import sequence_sql


def condition_sql(plan: Plan, condition: Condition) -> str:
    """Whether a condition holds for a row of `who`: TRUE or FALSE, never NULL.

    Raises:
        CampaignError: If it refers to an unknown segment, or to itself.
    """
    return KINDS[type(condition)](plan, condition)


def segment_sql(plan: Plan, name: str) -> str:
    """Whether a segment holds, its references written out."""
    if name in plan.path:
        raise CampaignError(f'segment "{name}" refers to itself')
    plan.path.append(name)
    try:
        return condition_sql(plan, plan.segment(name))
    finally:
        plan.path.pop()


KINDS: Final[dict[type[Any], Callable[[Plan, Any], str]]] = {
    TraitCondition: people.trait_sql,
    EventCondition: count_sql,
    AggregateCondition: aggregate_sql,
    MomentCondition: moment_sql,
    SequenceCondition: sequence_sql,
    SessionCondition: session_sql,
    ConsentCondition: people.consent_sql,
    SampleCondition: people.sample_sql,
    ListCondition: people.list_sql,
    LocalTimeCondition: people.local_time_sql,
    LatestCondition: people.latest_sql,
    NearCondition: people.near_sql,
    ScoreCondition: people.score_sql,
    ClusterCondition: people.cluster_sql,
    SegmentCondition: lambda plan, it: segment_sql(plan, it.segment),
    All: lambda plan, it: both([condition_sql(plan, one) for one in it.conditions]),
    AnyOf: lambda plan, it: either([condition_sql(plan, one) for one in it.conditions]),
    Not: lambda plan, it: f"(NOT {condition_sql(plan, it.condition)})",
}
"""Every kind of condition on one screen."""
