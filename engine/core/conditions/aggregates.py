"""Aggregates of a property, compiled: each measure is one function in `_MEASURES`.

What is missing, null or of another type never counts; the sum of nothing is 0, the number of
different values too, and every other measure of nothing is a missing value.
"""

from bisect import bisect_right
from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final

from engine.core.conditions.comparisons import TimedTest, compile_test, compile_timed, is_timed
from engine.core.conditions.compiled import ZONE, Ask, Compiled
from engine.core.conditions.counts import COUNT_MAX, constant, count_verdicts
from engine.core.conditions.filters import all_answer
from engine.core.conditions.surroundings import Surroundings
from engine.core.conditions.units import SCALE, compile_total_test
from engine.core.errors import CampaignError
from engine.core.features import distinct, edges, extremes, recent_values, totals
from engine.core.model.conditions import AggregateCondition, Comparison
from engine.core.model.instants import Instant
from engine.core.paths import MISSING

LIMIT_MAX: Final = 10_000
ORDERED: Final = ("is", "is_not", "in", "not_in", "gt", "gte", "lt", "lte", "between", "exists")


def compile_aggregate(around: Surroundings, condition: AggregateCondition) -> Compiled:
    """The closure of an aggregate.

    Raises:
        CampaignError: If it compares with what its measure does not give, or the limit is none.
    """
    check_limit(condition.limit)
    if not condition.comparisons:
        raise CampaignError(f"{condition.measure}: nothing is compared")
    return _MEASURES[condition.measure](around, condition)


def check_limit(limit: int) -> None:
    """Refuse a limit that bounds nothing.

    Raises:
        CampaignError: If it is not from 1 to 10,000.
    """
    if not 1 <= limit <= LIMIT_MAX:
        raise CampaignError(f"limit: {limit} is not from 1 to {LIMIT_MAX:,}")


def aggregate_of(condition: AggregateCondition, state: Any, now: Instant) -> Any:
    """The value that is compared, from the state of the condition's feature; MISSING for none.

    Of different values only as many are counted as can make a difference.
    """
    measure, within = condition.measure, condition.window.within
    if measure in ("sum", "avg") and within is None:
        n, total = totals.total_of(state, now)
    else:
        values = _values_now(condition, state, now)
        if measure == "distinct":
            return len(set(values))
        if measure in _PICK:
            return _PICK[measure](values) if values else MISSING
        n, total = len(values), sum(values)
    if measure == "sum":
        return total / SCALE
    return total / SCALE / n if n else MISSING


def _values_now(condition: AggregateCondition, state: Any, now: Instant) -> list[Any]:
    within = condition.window.within
    if not state:
        return []
    if condition.measure == "first" and within is None:
        return [state[1]] if state[0] <= now else []
    times, values = state
    left = 0 if within is None else bisect_right(times, now - within)
    return list(values[left : bisect_right(times, now)])


def _compile_total(around: Surroundings, condition: AggregateCondition) -> Compiled:
    window = condition.window
    passes = compile_total_test(condition.comparisons, is_mean=condition.measure == "avg")
    if window.within is None:
        key = around.register.add(totals.Totals(condition.match, condition.path, window))
        return _compiled(key, totals.compile_answer(key, passes))
    key = around.register.add(
        recent_values.RecentValues(
            condition.match, condition.path, window, "units", condition.limit
        )
    )
    return _compiled(key, recent_values.compile_total_answer(key, passes, within=window.within))


def _compile_extreme(around: Surroundings, condition: AggregateCondition) -> Compiled:
    for one in condition.comparisons:
        if one.operator not in ORDERED:
            raise CampaignError(
                f"{condition.measure}: {one.operator} cannot compare it; allowed are "
                f"{', '.join(ORDERED)}"
            )
    tests = tuple(compile_test(one) for one in condition.comparisons)
    is_max = condition.measure == "max"
    key = around.register.add(
        extremes.Extremes(
            condition.match, condition.path, condition.window, is_max, condition.limit
        )
    )
    ask = extremes.compile_answer(
        key,
        lambda value: all(test(value) for test in tests),
        within=condition.window.within,
        is_max=is_max,
    )
    return _compiled(key, ask)


def _compile_edge(around: Surroundings, condition: AggregateCondition) -> Compiled:
    if "*" in condition.path:
        raise CampaignError(
            f'{condition.measure}: "{".".join(condition.path)}" leads to many values of one event, '
            "which are neither first nor last; name one, such as products.0.price"
        )
    match, path, window = condition.match, condition.path, condition.window
    test, within = _compile_value_test(condition.comparisons), window.within
    if condition.measure == "last":
        key = around.register.add(edges.LastValue(match, path, window))
        ask = edges.compile_last_answer(key, test, within=within)
    elif within is None:
        key = around.register.add(edges.FirstValue(match, path, window))
        ask = edges.compile_first_answer(key, test)
    else:
        key = around.register.add(
            recent_values.RecentValues(match, path, window, "scalar", condition.limit)
        )
        ask = recent_values.compile_first_answer(key, test, within=within)
    is_dated = any(is_timed(one) for one in condition.comparisons)
    return _compiled(key, ask)._replace(facts=frozenset({ZONE} if is_dated else ()))


def _compile_value_test(comparisons: tuple[Comparison, ...]) -> TimedTest:
    tests = tuple(compile_timed(one) for one in comparisons)
    if len(tests) == 1:
        return tests[0]
    return lambda value, now, zone: all_answer([test(value, now, zone) for test in tests])


def _compile_distinct(around: Surroundings, condition: AggregateCondition) -> Compiled:
    verdicts = count_verdicts(condition.comparisons)
    most = len(verdicts) - 1
    if most == 0:
        return constant(verdicts[0])
    keep = min(most, condition.limit, COUNT_MAX)
    key = around.register.add(
        distinct.Distinct(condition.match, condition.path, condition.window, keep, keep < most)
    )
    return _compiled(key, distinct.compile_answer(key, verdicts, within=condition.window.within))


def _compiled(key: str, ask: Ask) -> Compiled:
    return Compiled(ask, features=frozenset({key}))


_PICK: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "first": itemgetter(0),
    "last": itemgetter(-1),
    "min": min,
    "max": max,
}

_MEASURES: Final[dict[str, Callable[[Surroundings, Any], Compiled]]] = {
    "sum": _compile_total,
    "avg": _compile_total,
    "min": _compile_extreme,
    "max": _compile_extreme,
    "first": _compile_edge,
    "last": _compile_edge,
    "distinct": _compile_distinct,
}
"""Every measure on one screen."""
