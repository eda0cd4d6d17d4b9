"""Exact sums: amounts are whole millionths, so no order of adding makes a difference.

A mean is never divided: it is compared as sum with n times the operand.
"""

from collections.abc import Callable
from math import floor
from typing import Any, Final, TypeAlias

from engine.core.conditions.comparisons import compile_test
from engine.core.errors import CampaignError
from engine.core.model.conditions import Comparison
from engine.core.paths import MISSING

SCALE: Final = 1_000_000
AMOUNT_MAX: Final = 100_000_000_000
"""Larger amounts are passed over, so that the sum of a person's events stays a number of SQL's."""

TotalTest: TypeAlias = Callable[[int, int], bool]
"""(sum in millionths, number of amounts) -> whether it passes."""


def units(value: Any) -> Any:
    """A number in millionths, halves up; MISSING for what is no number or too large.

    >>> units(19.99), units(3)
    (19990000, 3000000)
    """
    kind = type(value)
    if kind is int:
        return value * SCALE if -AMOUNT_MAX <= value <= AMOUNT_MAX else MISSING
    if kind is float and -AMOUNT_MAX <= value <= AMOUNT_MAX:
        return floor(value * SCALE + 0.5)
    return MISSING


def compile_total_test(comparisons: tuple[Comparison, ...], *, is_mean: bool) -> TotalTest:
    """The test of a sum, or of a mean: that of no amounts is missing, the sum of none is 0.

    Raises:
        CampaignError: If an operand is no number or has more than six decimals.
    """
    tests = tuple(_compile_one(one, is_mean=is_mean) for one in comparisons)
    if not is_mean:
        return lambda total, n: all(test(total, 1) for test in tests)
    nothing = all(compile_test(one)(MISSING) for one in comparisons)
    return lambda total, n: all(test(total, n) for test in tests) if n else nothing


def _compile_one(one: Comparison, *, is_mean: bool) -> TotalTest:
    what = "avg" if is_mean else "sum"
    if one.operator == "exists" and is_mean and isinstance(one.operand, bool):
        exists = one.operand
        return lambda total, n: exists
    if one.operator not in _TESTS:
        raise CampaignError(
            f"{what}: {one.operator} cannot compare it; allowed are {', '.join(_TESTS)}"
        )
    listed = isinstance(one.operand, tuple | list)
    operands = tuple(_operand(what, item) for item in (one.operand if listed else (one.operand,)))
    if listed != (one.operator in ("in", "not_in", "between")) or (
        one.operator == "between" and len(operands) != 2
    ):
        raise CampaignError(f"{what}: {one.operator} does not take {one.operand!r}")
    compare = _TESTS[one.operator]
    return lambda total, n: compare(total, [operand * n for operand in operands])


def _operand(what: str, operand: Any) -> int:
    if not isinstance(operand, int | float) or isinstance(operand, bool):
        raise CampaignError(f"{what}: {operand!r} is not a number")
    if isinstance(operand, int):
        return operand * SCALE
    found = floor(operand * SCALE + 0.5)
    if found / SCALE != operand:
        raise CampaignError(f"{what}: {operand} has more than six decimals; sums are in millionths")
    return found


_TESTS: Final[dict[str, Callable[[int, list[int]], bool]]] = {
    "is": lambda total, operands: total == operands[0],
    "is_not": lambda total, operands: total != operands[0],
    "in": lambda total, operands: total in operands,
    "not_in": lambda total, operands: total not in operands,
    "gt": lambda total, operands: total > operands[0],
    "gte": lambda total, operands: total >= operands[0],
    "lt": lambda total, operands: total < operands[0],
    "lte": lambda total, operands: total <= operands[0],
    "between": lambda total, operands: operands[0] <= total <= operands[1],
}
