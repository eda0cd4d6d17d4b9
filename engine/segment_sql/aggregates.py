"""Conditions on what a property comes to over events, as SQL: the arithmetic is exact.

Sums and averages are integers of millionths, as in the core, so no order of adding matters.
"""

from typing import Final

from engine.core.model.conditions import AggregateCondition, Comparison, MomentCondition, Operator
from engine.segment_sql.comparisons import (
    Clock,
    both,
    either,
    number_of,
    number_passes,
    passes_all,
)
from engine.segment_sql.events import in_window, match_sql, matches_part
from engine.segment_sql.paths import all_at
from engine.segment_sql.plan import Plan

_NOW: Final = Clock("who.now", "who.zone")
_UNITS: Final = 1_000_000
_SUM_MAX: Final = 100_000_000_000


def aggregate_sql(plan: Plan, condition: AggregateCondition) -> str:
    """Whether the one value that the contributions come to passes every comparison."""
    if condition.measure in ("sum", "avg"):
        return _total(plan, condition)
    if condition.measure == "distinct":
        leaf = _leaf(plan, condition, _kept(plan, condition, _distinct()), "count(DISTINCT value)")
        return number_passes(f"coalesce({leaf}.value, 0)", condition.comparisons, plan.bind)
    if condition.measure in ("min", "max"):
        number = number_of("value")
        kept = _kept(plan, condition, f"{number} AS value", where=f"{number} IS NOT NULL")
        leaf = _leaf(plan, condition, kept, f"{condition.measure}(value)")
        return passes_all(f"to_json({leaf}.value)", condition.comparisons, _NOW, plan.bind)
    side = "arg_min" if condition.measure == "first" else "arg_max"
    kept = _kept(plan, condition, f"value, {_RANK} AS rank")
    leaf = _leaf(plan, condition, kept, f"{side}(value, (happened, rank))")
    return passes_all(f"{leaf}.value", condition.comparisons, _NOW, plan.bind)


def moment_sql(plan: Plan, condition: MomentCondition) -> str:
    """Whether the time of the first or last matching event passes; missing if there is none."""
    side = "min" if condition.which == "first" else "max"
    leaf = plan.leaf(
        "moment",
        f"SELECT asked.now, e.profile_id, {side}(e.happened) AS value "
        f"FROM {matches_part(plan, condition.match)} e JOIN asked "
        f"ON {in_window('e.happened', condition.window, plan.bind)} GROUP BY ALL",
    )
    moment = f"{leaf}.value"
    return both([_moment_test(plan, moment, one) for one in condition.comparisons])


def _leaf(plan: Plan, condition: AggregateCondition, kept: str, value: str) -> str:
    return plan.leaf(
        condition.measure,
        f"SELECT asked.now, e.profile_id, {value} AS value, count(*) AS n FROM {kept} e "
        f"JOIN asked ON {in_window('e.happened', condition.window, plan.bind)} GROUP BY ALL",
    )


def _kept(plan: Plan, condition: AggregateCondition, columns: str, *, where: str = "TRUE") -> str:
    """The part with a row for each contribution; lists, objects and missing values are passed
    over."""
    root, *path = condition.path
    plan.needs.event(condition.match.event, [root])
    found = all_at(root, path, plan.bind)
    return plan.part(
        "kept",
        f"SELECT profile_id, happened, {columns} FROM ("
        f"SELECT profile_id, happened, unnest({found}) AS value FROM events "
        f"WHERE {match_sql(plan, condition.match)}) "
        f"WHERE json_type(value) NOT IN ('ARRAY', 'OBJECT') AND {where}",
    )


# --- sum and avg ---------------------------------------------------------------------------------


def _total(plan: Plan, condition: AggregateCondition) -> str:
    number = number_of("value")
    kept = _kept(
        plan,
        condition,
        f"CAST(floor({number} * 1e6 + 5e-1) AS BIGINT) AS units",
        where=f"coalesce(abs({number}) <= {plan.bind.number(_SUM_MAX)}, FALSE)",
    )
    leaf = _leaf(plan, condition, kept, "sum(units)")
    if condition.measure == "sum":
        return _units_pass(plan, f"coalesce({leaf}.value, 0)", "1", condition.comparisons)
    return _average_passes(plan, leaf, condition.comparisons)


def _average_passes(plan: Plan, leaf: str, comparisons: tuple[Comparison, ...]) -> str:
    """The average times their number, so that nothing is divided; of none it is missing."""
    is_there = f"({leaf}.n IS NOT NULL)"
    tests = []
    for one in comparisons:
        if one.operator == "exists":
            tests.append(is_there if one.operand else f"(NOT {is_there})")
            continue
        positive = _POSITIVE.get(one.operator)
        asked = Comparison(positive, one.operand) if positive else one
        passes = _units_pass(plan, f"coalesce({leaf}.value, 0)", f"coalesce({leaf}.n, 0)", (asked,))
        holds = f"({is_there} AND {passes})"
        tests.append(f"(NOT {holds})" if positive else holds)
    return both(tests)


def _units_pass(plan: Plan, total: str, n: str, comparisons: tuple[Comparison, ...]) -> str:
    return both([_units_test(plan, total, n, one) for one in comparisons])


def _units_test(plan: Plan, total: str, n: str, one: Comparison) -> str:
    if one.operator == "between":
        low, high = one.operand
        parts = (Comparison("gte", low), Comparison("lte", high))
        return _units_pass(plan, total, n, parts)
    if one.operator in ("in", "not_in"):
        listed = either([
            _units_test(plan, total, n, Comparison("is", each)) for each in one.operand
        ])  # fmt: skip
        return listed if one.operator == "in" else f"(NOT {listed})"
    if isinstance(one.operand, bool) or not isinstance(one.operand, int | float):
        return "TRUE" if one.operator == "is_not" else "FALSE"
    sign = {"is": "=", "is_not": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
    operand = f"{plan.bind(round(one.operand * _UNITS))}::HUGEINT"
    return f"({total} {sign[one.operator]} {operand} * {n})"


_POSITIVE: Final[dict[str, Operator]] = {"is_not": "is", "not_in": "in"}
"""What a negation is the negation of: of a missing value the one is false, the other true."""

# --- distinct, first and last --------------------------------------------------------------------


def _distinct() -> str:
    """What tells values apart: 1 and 1.0 are one, "1" and true are others; null is passed over."""
    return (
        "coalesce('s' || text_of(value), 'n' || CAST(number_of(value) + 0e0 AS VARCHAR), "
        "CASE WHEN json_type(value) = 'BOOLEAN' THEN 'b' || value::VARCHAR END) AS value"
    )


_RANK: Final = (
    "(CASE json_type(value) WHEN 'NULL' THEN 0 WHEN 'BOOLEAN' THEN 1 WHEN 'VARCHAR' THEN 3 "
    "ELSE 2 END, "
    "CASE WHEN json_type(value) = 'BOOLEAN' AND json_extract_string(value, '$') = 'true' THEN 1e0 "
    "ELSE coalesce(number_of(value), 0e0) END, coalesce(text_of(value), ''))"
)
"""The order of values at one instant: null, false, true, numbers, text."""


def _moment_test(plan: Plan, moment: str, one: Comparison) -> str:
    if one.operator == "exists":
        return f"({moment} IS {'NOT ' if one.operand else ''}NULL)"
    span = plan.bind.instant(one.operand)
    test = {
        "before": f"{moment} < {span}",
        "after": f"{moment} > {span}",
        "within_last": f"{moment} > who.now - {span} AND {moment} <= who.now",
        "within_next": f"{moment} > who.now AND {moment} <= who.now + {span}",
        "anniversary_within": f"is_near_anniversary(iso({moment}), 'UTC', who.now, {span})",
    }[one.operator]
    return f"coalesce({test}, FALSE)"
