"""Conditions on events as SQL: how many, unfollowed for a span, and sessions.

The matching events are found once, whatever the instants; each instant then counts those inside
its window. An event's own time places it, not when it was accepted.
"""

from engine.core.features.sessions import NOT_BEHAVIOUR
from engine.core.model.conditions import (
    EventCondition,
    EventMatch,
    Filter,
    SessionCondition,
    Window,
)
from engine.segment_sql.binding import Binding
from engine.segment_sql.comparisons import Clock, both, number_passes, passes_all
from engine.segment_sql.paths import any_at
from engine.segment_sql.plan import EVERY_EVENT, Plan

_HAPPENED = Clock("happened")


def count_sql(plan: Plan, condition: EventCondition) -> str:
    """Whether the number of matching events in the window passes."""
    followed = condition.not_followed_by
    counted = in_window("e.happened", condition.window, plan.bind)
    if followed is None:
        matched = matches_part(plan, condition.match)
    else:
        span = plan.bind.instant(followed.within)
        matched = plan.part("unfollowed", _unfollowed(plan, condition, span))
        counted = both([f"e.happened + {span} <= asked.now", counted])
    leaf = plan.leaf(
        "counted",
        f"SELECT asked.now, e.profile_id, count(*) AS n FROM {matched} e JOIN asked "
        f"ON {counted} GROUP BY ALL",
    )
    return number_passes(f"coalesce({leaf}.n, 0)", condition.count, plan.bind)


def session_sql(plan: Plan, condition: SessionCondition) -> str:
    """Whether the number of passing sessions with their last event in the window passes.

    A session is measured by its events up to the instant: so each event is told how its session
    stood when it came, and the last one by the instant speaks for the whole.
    """
    gap = plan.bind.instant(plan.session_gap)
    plan.needs.event(EVERY_EVENT)
    visits = plan.part(
        "visits",
        "SELECT profile_id, happened, first_value(happened) OVER session AS began, "
        "count(*) OVER session AS n_events FROM (SELECT profile_id, happened, "
        "sum(CAST(is_first AS BIGINT)) OVER (PARTITION BY profile_id ORDER BY happened) AS number "
        "FROM (SELECT profile_id, happened, coalesce(happened - lag(happened) OVER (PARTITION BY "
        f"profile_id ORDER BY happened) > {gap}, TRUE) AS is_first FROM {behaviour_part(plan)})) "
        "WINDOW session AS (PARTITION BY profile_id, number ORDER BY happened "
        "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
    )
    tests = [
        number_passes("max(v.happened) - v.began", condition.duration, plan.bind),
        number_passes("max(v.n_events)", condition.events, plan.bind),
        in_window("max(v.happened)", condition.window, plan.bind),
    ]
    leaf = plan.leaf(
        "sessions",
        "SELECT now, profile_id, count(*) AS n FROM (SELECT asked.now, v.profile_id "
        f"FROM {visits} v JOIN asked ON v.happened <= asked.now "
        f"GROUP BY asked.now, v.profile_id, v.began HAVING {both(tests)}) GROUP BY ALL",
    )
    return number_passes(f"coalesce({leaf}.n, 0)", condition.count, plan.bind)


def matches_part(plan: Plan, match: EventMatch, columns: str = "") -> str:
    """The part that holds the matching events: profile_id, seq, happened and these columns."""
    return plan.part(
        "matched",
        f"SELECT profile_id, seq, happened{columns} FROM events WHERE {match_sql(plan, match)}",
    )


def match_sql(plan: Plan, match: EventMatch) -> str:
    """Whether a row of `events` matches. Spans in its filters count from the event's own time."""
    plan.needs.event(match.event, [one.path[0] for one in match.where])
    tests = [f"name = {plan.bind(match.event)}"]
    return both([*tests, *(_filter_sql(plan, one) for one in match.where)])


def _filter_sql(plan: Plan, one: Filter) -> str:
    root, *path = one.path
    return any_at(
        root,
        path,
        plan.bind,
        lambda value: passes_all(value, one.comparisons, _HAPPENED, plan.bind),
    )


def behaviour_part(plan: Plan, columns: str = "") -> str:
    """The part that holds every event that a person caused."""
    ours = ", ".join(map(plan.bind, sorted(NOT_BEHAVIOUR)))
    return plan.part(
        "behaviour",
        f"SELECT profile_id, seq, happened{columns} FROM events WHERE name NOT IN ({ours})",
    )


def in_window(at: str, window: Window, bind: Binding) -> str:
    """Whether an instant lies in a window as it is at `asked.now`; half-open on the left."""
    tests = [f"{at} <= asked.now"]
    if window.within is not None:
        tests.append(f"{at} > asked.now - {bind.instant(window.within)}")
    if window.since is not None:
        tests.append(f"{at} >= {bind.instant(window.since)}")
    if window.until is not None:
        tests.append(f"{at} < {bind.instant(window.until)}")
    return both(tests)


def _unfollowed(plan: Plan, condition: EventCondition, span: str) -> str:
    followed = condition.not_followed_by
    assert followed is not None
    matched = matches_part(plan, condition.match)
    followers = matches_part(plan, followed.match)
    return (
        f"SELECT e.profile_id, e.seq, e.happened FROM {matched} e ASOF LEFT JOIN {followers} f "
        "ON e.profile_id = f.profile_id AND e.happened < f.happened "
        f"WHERE f.happened IS NULL OR f.happened > e.happened + {span}"
    )
