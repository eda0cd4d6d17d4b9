"""The operators on a value: each turns what is expected into a test, once, when it is compiled.

A test of an operator that nobody knows (yet) gives None, "cannot say": the condition around it then
holds for nobody, and `$not` cannot turn it into a match. So a payload written for a newer
specification never widens an audience.
"""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from experiments.flags.members import Test, membership
from experiments.flags.values import (
    compare,
    compare_texts,
    is_same,
    is_truthy,
    kind_of,
    padded_version,
)


class Malformed(Exception):
    """Part of a condition makes no sense; the whole of it then holds for nobody."""


class Scope(Protocol):
    """What an operator may ask of the condition it stands in."""

    def value_test(self, condition: Any, *, folds_case: bool = False) -> Test: ...

    def element_test(self, condition: Any) -> Test: ...

    def group_test(self, group_id: Any) -> Test: ...


def operator_test(name: str, expected: Any, scope: Scope) -> Test:
    """The test of one operator."""
    if name in _OPERATORS:
        return _OPERATORS[name](expected)
    if name in _NESTING:
        return _NESTING[name](expected, scope)
    if name in CONDITION_WORDS:
        return _never  # They take conditions, and stand beside attributes, not inside one.
    return _cannot_say


CONDITION_WORDS = ("$or", "$nor", "$and", "$savedGroup")


def _never(_: Any) -> bool:
    return False


def _cannot_say(_: Any) -> None:
    return None


def negated(test: Test) -> Test:
    """The opposite of a test; what cannot be said stays so."""

    def opposite(value: Any) -> bool | None:
        found = test(value)
        return None if found is None else not found

    return opposite


def _equals(expected: Any) -> Test:
    if isinstance(expected, str):
        return lambda value: bool(value == expected)
    return lambda value: is_same(value, expected)


def _ordered(
    holds: Callable[[int], bool], between_numbers: Callable[[Any, Any], bool]
) -> Callable[[Any], Test]:
    def compile_(expected: Any) -> Test:
        is_number = type(expected) in (int, float)

        def test(value: Any) -> bool:
            if is_number and type(value) in (int, float):  # What nearly every condition compares.
                return between_numbers(value, expected)
            found = compare(value, expected)
            return found is not None and holds(found)

        return test

    return compile_


def _by_version(holds: Callable[[int], bool]) -> Callable[[Any], Test]:
    def compile_(expected: Any) -> Test:
        padded = padded_version(expected)
        return lambda value: holds(compare_texts(padded_version(value), padded))

    return compile_


def _among(*, folds_case: bool, wanted: bool) -> Callable[[Any], Test]:
    def compile_(expected: Any) -> Test:
        if not isinstance(expected, list):
            return _never
        found = membership(expected, folds_case=folds_case)
        return found if wanted else negated(found)

    return compile_


def _matches(*, folds_case: bool, wanted: bool) -> Callable[[Any], Test]:
    def compile_(expected: Any) -> Test:
        try:
            # JavaScript writes a named group without Python's P.
            text = re.sub(r"\(\?<(?![=!])", "(?P<", expected)
            search = re.compile(text, re.IGNORECASE if folds_case else 0).search
        except (TypeError, re.error, RecursionError, OverflowError):
            return lambda _: not wanted

        def test(value: Any) -> bool:
            found = isinstance(value, str) and search(value) is not None
            return found is wanted

        return test

    return compile_


def _exists(expected: Any) -> Test:
    wanted = is_truthy(expected)
    return lambda value: (value is not None) is wanted


def _has_kind(expected: Any) -> Test:
    return lambda value: kind_of(value) == expected


_OPERATORS: Mapping[str, Callable[[Any], Test]] = {
    "$eq": _equals,
    "$ne": lambda expected: negated(_equals(expected)),
    "$lt": _ordered(lambda order: order < 0, operator.lt),
    "$lte": _ordered(lambda order: order <= 0, operator.le),
    "$gt": _ordered(lambda order: order > 0, operator.gt),
    "$gte": _ordered(lambda order: order >= 0, operator.ge),
    "$veq": _by_version(lambda order: order == 0),
    "$vne": _by_version(lambda order: order != 0),
    "$vlt": _by_version(lambda order: order < 0),
    "$vlte": _by_version(lambda order: order <= 0),
    "$vgt": _by_version(lambda order: order > 0),
    "$vgte": _by_version(lambda order: order >= 0),
    "$in": _among(folds_case=False, wanted=True),
    "$nin": _among(folds_case=False, wanted=False),
    "$ini": _among(folds_case=True, wanted=True),
    "$nini": _among(folds_case=True, wanted=False),
    "$regex": _matches(folds_case=False, wanted=True),
    "$regexi": _matches(folds_case=True, wanted=True),
    "$notRegex": _matches(folds_case=False, wanted=False),
    "$notRegexi": _matches(folds_case=True, wanted=False),
    "$exists": _exists,
    "$type": _has_kind,
}


def _has_size(expected: Any, scope: Scope) -> Test:
    of_length = scope.value_test(expected)
    return lambda value: of_length(len(value)) if isinstance(value, list) else False


def _has_element(expected: Any, scope: Scope) -> Test:
    of_element = scope.element_test(expected)

    def test(value: Any) -> bool | None:
        if not isinstance(value, list):
            return False
        return any_holds(of_element(each) for each in value if each is not None)

    return test


def _has_all(*, folds_case: bool) -> Callable[[Any, Scope], Test]:
    def compile_(expected: Any, scope: Scope) -> Test:
        if not isinstance(expected, list):
            return _never
        tests = [scope.value_test(each, folds_case=folds_case) for each in expected]

        def test(value: Any) -> bool | None:
            if not isinstance(value, list):
                return False
            return all_hold(any_holds(each(element) for element in value) for each in tests)

        return test

    return compile_


def any_holds(found: Any) -> bool | None:
    """True if any is; else None if any cannot be said; else False. Stops at the first True."""
    answer: bool | None = False
    for each in found:
        if each:
            return True
        if each is None:
            answer = None
    return answer


def all_hold(found: Any) -> bool | None:
    """False if any is; else None if any cannot be said; else True. Stops at the first False."""
    answer: bool | None = True
    for each in found:
        if each is None:
            answer = None
        elif not each:
            return False
    return answer


_NESTING: Mapping[str, Callable[[Any, Scope], Test]] = {
    "$not": lambda expected, scope: negated(scope.value_test(expected)),
    "$size": _has_size,
    "$elemMatch": _has_element,
    "$all": _has_all(folds_case=False),
    "$alli": _has_all(folds_case=True),
    "$inGroup": lambda expected, scope: scope.group_test(expected),
    "$notInGroup": lambda expected, scope: _not_in_group(expected, scope),
}


def _not_in_group(expected: Any, scope: Scope) -> Test:
    found = scope.group_test(expected)
    # A malformed group has no members, and keeps everyone out of its opposite too.
    return found if found is MALFORMED_GROUP else negated(found)


MALFORMED_GROUP: Test = lambda _: False  # noqa: E731
"""The test of a group that is no list; compared by identity."""
