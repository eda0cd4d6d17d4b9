"""Whether a value is among others: the lists of `$in`, saved groups and their kin, compiled."""

from collections.abc import Callable, Sequence
from typing import Any

Test = Callable[[Any], bool | None]
"""A compiled condition on a value: whether it holds; None where an operator is unknown to us."""


def membership(expected: Sequence[Any], *, folds_case: bool = False) -> Test:
    """A test of a value, or of any element of a list, against a list of expected values.

    Kinds must agree, so 1 is neither "1" nor true. Lists and objects are never members, as
    JavaScript compares those by identity.
    """
    # Apart, because Python's sets take True for 1.
    texts = frozenset(
        each.lower() if folds_case else each for each in expected if isinstance(each, str)
    )
    flags = frozenset(each for each in expected if isinstance(each, bool))
    numbers = frozenset(
        each for each in expected if isinstance(each, (int, float)) and not isinstance(each, bool)
    )
    has_null = any(each is None for each in expected)

    def is_member(value: Any) -> bool:
        if isinstance(value, str):
            return (value.lower() if folds_case else value) in texts
        if isinstance(value, bool):
            return value in flags
        if isinstance(value, (int, float)):
            return value in numbers
        return value is None and has_null

    def test(value: Any) -> bool:
        if isinstance(value, list):
            return any(map(is_member, value))
        return is_member(value)

    return test
