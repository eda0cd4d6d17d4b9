"""Whether one value can pass tests at once, kind of value by kind: missing, null, number, text, …

Sound, not complete: "impossible" is said only where no value whatever passes. Text under patterns,
dates that move with the clock and the like count as possible.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, Final, TypeAlias

from engine.core.conditions.comparisons import compile_test, compile_timed, is_timed
from engine.core.model.conditions import Comparison
from engine.core.paths import MISSING

Constraint: TypeAlias = tuple[Comparison, bool]
"""A test, and whether it must pass or must not."""

ANYTHING: Final = ("missing", "null", "boolean", "number", "text", "list", "object")
NUMBER: Final = ("number",)
NUMBER_OR_MISSING: Final = ("missing", "number")
SCALAR_OR_MISSING: Final = ("missing", "null", "boolean", "number", "text")

_OPPOSITES: Final = {"is_not": "is", "not_in": "in", "not_contains": "contains"}


def possible_kinds(
    constraints: Iterable[Constraint], kinds: Sequence[str] = ANYTHING
) -> tuple[str, ...]:
    """The kinds of value of which some may pass every constraint."""
    positive = [_without_negation(one) for one in constraints]
    return tuple(kind for kind in kinds if _POSSIBLE[kind](positive))


def is_instant_possible(constraints: Sequence[Constraint]) -> bool:
    """Whether something that has happened may have happened at such an instant."""
    low, high = -(2**63), 2**63
    span, not_span = None, None
    for one, holds in constraints:
        if one.operator == "exists" and (one.operand is True) is not holds:
            return False
        if one.operator == "before":
            if holds:
                high = min(high, one.operand - 1)
            else:
                low = max(low, one.operand)
        elif one.operator == "after":
            if holds:
                low = max(low, one.operand + 1)
            else:
                high = min(high, one.operand)
        elif one.operator == "within_last" and holds:
            span = one.operand if span is None else min(span, one.operand)
        elif one.operator == "within_last":
            not_span = one.operand if not_span is None else max(not_span, one.operand)
    return low <= high and (span is None or not_span is None or span > not_span)


def _without_negation(constraint: Constraint) -> Constraint:
    """`is_not` holds exactly where `is` does not, of whatever value."""
    one, holds = constraint
    if one.operator in _OPPOSITES:
        return Comparison(_OPPOSITES[one.operator], one.operand), not holds  # type: ignore[arg-type]
    return constraint


def _passes(value: Any, constraint: Constraint) -> bool:
    one, holds = constraint
    if is_timed(one):
        return compile_timed(one)(value, 0, "UTC")[0] is holds
    return compile_test(one)(value) is holds


def _any_of(*values: Any) -> Callable[[Sequence[Constraint]], bool]:
    return lambda constraints: any(
        all(_passes(value, one) for one in constraints) for value in values
    )


def _is_number_possible(constraints: Sequence[Constraint]) -> bool:
    """Tests of numbers change only at their operands: those, and one number between any two."""
    found = sorted({
        number for one, _ in constraints for number in _operands(one) if _is_number(number)
    })  # fmt: skip
    if not found:
        return _any_of(0)(constraints)
    candidates = [*found, found[0] - max(1, abs(found[0])), found[-1] + max(1, abs(found[-1]))]
    candidates += [(low + high) / 2 for low, high in pairwise(found)]
    return _any_of(*candidates)(constraints)


def _is_text_possible(constraints: Sequence[Constraint]) -> bool:
    words: set[str] | None = None
    dates: list[Constraint] = []
    for one, holds in constraints:
        if not holds:
            if one.operator == "exists" and one.operand:
                return False
        elif one.operator in ("is", "in"):
            found = {item for item in _operands(one) if isinstance(item, str)}
            words = found if words is None else words & found
        elif one.operator in ("gt", "gte", "lt", "lte", "between", "contains"):
            if not all(isinstance(item, str) for item in _operands(one)):
                return False
        elif one.operator == "exists":
            if not one.operand:
                return False
        elif one.operator in ("before", "after"):
            dates.append((one, True))
    if words is not None:
        return any(
            all(is_timed(one) or _passes(word, (one, holds)) for one, holds in constraints)
            for word in words
        )
    operators = {one.operator for one, holds in constraints if holds}
    return is_instant_possible(dates) and not {"within_last", "within_next"} <= operators


def _is_list_possible(constraints: Sequence[Constraint]) -> bool:
    return all(
        one.operator == "contains" or (one.operator == "exists" and one.operand)
        if holds
        else not (one.operator == "exists" and one.operand)
        for one, holds in constraints
    )


def _operands(one: Comparison) -> tuple[Any, ...]:
    return tuple(one.operand) if isinstance(one.operand, tuple | list) else (one.operand,)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_POSSIBLE: Final[dict[str, Callable[[Sequence[Constraint]], bool]]] = {
    "missing": _any_of(MISSING),
    "null": _any_of(None),
    "boolean": _any_of(True, False),
    "number": _is_number_possible,
    "text": _is_text_possible,
    "list": _is_list_possible,
    "object": _any_of({}),
}
