"""Each operator as SQL: the same table as `engine.core.conditions.comparisons`, line by line.

Every test is TRUE or FALSE, never NULL, so that NOT means what it says. Values are JSON, and their
types are as strict as the core's. Dates are read by the core's own reader, a function of the lake.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from engine.core.conditions.comparisons import compile_test
from engine.core.model.conditions import Comparison
from engine.segment_sql.binding import Binding


class Clock(NamedTuple):
    """What spans count from, and where a bare date begins: SQL expressions.

    `zone` None reads a bare date as UTC, as a fact of an event is read.
    """

    now: str
    zone: str | None = None


def passes(value: str, comparison: Comparison, clock: Clock, bind: Binding) -> str:
    """Whether a JSON value passes one comparison."""
    return _TESTS[comparison.operator](value, comparison.operand, clock, bind)


def passes_all(value: str, comparisons: Sequence[Comparison], clock: Clock, bind: Binding) -> str:
    """Whether a JSON value passes every comparison."""
    return both([passes(value, one, clock, bind) for one in comparisons])


def number_passes(number: str, comparisons: Sequence[Comparison], bind: Binding) -> str:
    """Whether an SQL number, never NULL, passes every comparison."""
    return both([_number_test(number, one, bind) for one in comparisons])


def text_passes(text: str, comparisons: Sequence[Comparison], clock: Clock, bind: Binding) -> str:
    """Whether an SQL text, never NULL, passes every comparison."""
    return passes_all(f"to_json({text})", comparisons, clock, bind)


def both(tests: Sequence[str]) -> str:
    """All of them; TRUE of none."""
    return "(" + " AND ".join(tests) + ")" if tests else "TRUE"


def either(tests: Sequence[str]) -> str:
    """Any of them; FALSE of none."""
    return "(" + " OR ".join(tests) + ")" if tests else "FALSE"


def text_of(value: str) -> str:
    """The text of a JSON value, NULL for any other type; a macro of the lake."""
    return f"text_of({value})"


def number_of(value: str) -> str:
    """The number of a JSON value, NULL for any other type; a macro of the lake."""
    return f"number_of({value})"


# --- equality ------------------------------------------------------------------------------------


def _is(value: str, operand: Any, clock: Clock, bind: Binding) -> str:
    if operand is None:
        return f"coalesce(json_type({value}) = 'NULL', FALSE)"
    if isinstance(operand, bool):
        word = "true" if operand else "false"
        return (
            f"coalesce(json_type({value}) = 'BOOLEAN' AND "
            f"json_extract_string({value}, '$') = '{word}', FALSE)"
        )
    if isinstance(operand, str):
        return f"coalesce({text_of(value)} = {bind(operand)}, FALSE)"
    return f"coalesce({number_of(value)} = {bind.number(operand)}, FALSE)"


def _in(value: str, operand: Any, clock: Clock, bind: Binding) -> str:
    if len(operand) > 1 and all(isinstance(item, str) for item in operand):
        return f"coalesce({text_of(value)} IN ({', '.join(map(bind, operand))}), FALSE)"
    return either([_is(value, item, clock, bind) for item in operand])


def _exists(value: str, operand: Any, clock: Clock, bind: Binding) -> str:
    return f"({value} IS {'NOT ' if operand else ''}NULL)"


# --- order ---------------------------------------------------------------------------------------

_Test = Callable[[str, Any, Clock, Binding], str]


def _ordered(sign: str) -> _Test:
    def test(value: str, operand: Any, clock: Clock, bind: Binding) -> str:
        if isinstance(operand, str):
            return f"coalesce({text_of(value)} {sign} {bind(operand)}, FALSE)"
        return f"coalesce({number_of(value)} {sign} {bind.number(operand)}, FALSE)"

    return test


def _between(value: str, operand: Any, clock: Clock, bind: Binding) -> str:
    low, high = operand
    return both([_ordered(">=")(value, low, clock, bind), _ordered("<=")(value, high, clock, bind)])


# --- text ----------------------------------------------------------------------------------------


def _text(call: str) -> _Test:
    def test(value: str, operand: Any, clock: Clock, bind: Binding) -> str:
        return f"coalesce({call}({text_of(value)}, {bind(operand)}), FALSE)"

    return test


def _contains(value: str, operand: Any, clock: Clock, bind: Binding) -> str:
    element = _is("x", operand, clock, bind)
    elements = f"CAST(json_extract({value}, '$[*]') AS JSON[])"
    part = f"coalesce(len(list_filter({elements}, lambda x: {element})) > 0, FALSE)"
    if not isinstance(operand, str):
        return part
    return either([f"coalesce(contains({text_of(value)}, {bind(operand)}), FALSE)", part])


# --- dates ---------------------------------------------------------------------------------------


def _dated(sign: str) -> _Test:
    def test(value: str, operand: Any, clock: Clock, bind: Binding) -> str:
        instant = f"instant_of({text_of(value)})"
        return f"coalesce({instant} {sign} {bind.instant(operand)}, FALSE)"

    return test


def _instant(value: str, clock: Clock) -> str:
    if clock.zone is None:
        return f"instant_of({text_of(value)})"
    return f"local_instant_of({text_of(value)}, {clock.zone})"


def _within_last(value: str, operand: Any, clock: Clock, bind: Binding) -> str:
    instant, span = _instant(value, clock), bind.instant(operand)
    return f"coalesce({instant} > {clock.now} - {span} AND {instant} <= {clock.now}, FALSE)"


def _within_next(value: str, operand: Any, clock: Clock, bind: Binding) -> str:
    instant, span = _instant(value, clock), bind.instant(operand)
    return f"coalesce({instant} > {clock.now} AND {instant} <= {clock.now} + {span}, FALSE)"


def _anniversary_within(value: str, operand: Any, clock: Clock, bind: Binding) -> str:
    zone = clock.zone or "'UTC'"
    return (
        f"coalesce(is_near_anniversary({text_of(value)}, {zone}, {clock.now}, "
        f"{bind.instant(operand)}), FALSE)"
    )


def _negation(test: _Test) -> _Test:
    """True exactly where the other is not, missing and null included."""
    return lambda value, operand, clock, bind: f"(NOT {test(value, operand, clock, bind)})"


def _number_test(number: str, one: Comparison, bind: Binding) -> str:
    """What the core's test says of a number; one it cannot pass is asked of the core."""
    sign = _SIGNS.get(one.operator)
    operand = one.operand
    if one.operator == "between":
        low, high = operand
        parts = [Comparison("gte", low), Comparison("lte", high)]
        return both([_number_test(number, part, bind) for part in parts])
    if one.operator in ("in", "not_in"):
        listed = either([_number_test(number, Comparison("is", item), bind) for item in operand])
        return listed if one.operator == "in" else f"(NOT {listed})"
    if sign is None or isinstance(operand, bool) or not isinstance(operand, int | float):
        return "TRUE" if compile_test(one)(0) else "FALSE"
    return f"({number} {sign} {bind.number(operand)})"


_SIGNS: Final = {"is": "=", "is_not": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}

_TESTS: Final[dict[str, _Test]] = {
    "is": _is,
    "is_not": _negation(_is),
    "in": _in,
    "not_in": _negation(_in),
    "gt": _ordered(">"),
    "gte": _ordered(">="),
    "lt": _ordered("<"),
    "lte": _ordered("<="),
    "between": _between,
    "contains": _contains,
    "not_contains": _negation(_contains),
    "starts_with": _text("starts_with"),
    "ends_with": _text("ends_with"),
    "matches": _text("regexp_matches"),
    "exists": _exists,
    "before": _dated("<"),
    "after": _dated(">"),
    "within_last": _within_last,
    "within_next": _within_next,
    "anniversary_within": _anniversary_within,
}
"""Every operator on one screen."""
