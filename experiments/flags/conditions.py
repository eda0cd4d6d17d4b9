"""Targeting conditions, compiled once into functions of a visitor's attributes.

The language is GrowthBook's, after MongoDB's queries: paths of attributes with literal values or
operators, `$and $or $nor $not`, and saved groups. A condition that makes no sense holds for nobody.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from experiments.flags.members import Test, membership
from experiments.flags.operators import (
    CONDITION_WORDS,
    MALFORMED_GROUP,
    Malformed,
    any_holds,
    negated,
    operator_test,
)
from experiments.flags.values import is_equal_literally

Condition = Callable[[Mapping[str, Any]], bool]
"""A compiled condition: whether it holds for these attributes."""


def compile_condition(
    condition: Mapping[str, Any], saved_groups: Mapping[str, Any] | None = None
) -> Condition:
    """A condition as a function of attributes; it never raises.

    Args:
        condition: JSON, as in a payload.
        saved_groups: The payload's `savedGroups`: lists of values, or typed groups.

    >>> is_french_adult = compile_condition({"country": "FR", "age": {"$gte": 18}})
    >>> is_french_adult({"country": "FR", "age": 40}), is_french_adult({"country": "FR"})
    (True, False)
    """
    try:
        test = _Scope(saved_groups or {}, frozenset()).condition(condition)
    except RecursionError:
        test = _malformed

    def holds(attributes: Mapping[str, Any]) -> bool:
        try:
            return test(attributes) is True
        except (Malformed, RecursionError):
            return False

    return holds


class _Scope:
    """Compiles conditions; knows the saved groups, and those it is inside of already."""

    def __init__(self, groups: Mapping[str, Any], inside: frozenset[str]) -> None:
        self._groups = groups
        self._inside = inside

    def condition(self, condition: Any) -> Test:
        if not isinstance(condition, dict):
            return _malformed
        tests = [self._entry(key, expected) for key, expected in condition.items()]
        if len(tests) == 1:
            return tests[0]
        return _all_of(tests)

    def _entry(self, key: str, expected: Any) -> Test:
        match key:
            case "$or":
                return self._any(expected)
            case "$nor":
                return negated(self._any(expected))
            case "$and":
                return _all_of(self._each(expected))
            case "$not":
                return negated(self.condition(expected))
            case "$savedGroup":
                return self._saved_group(expected)
            case "$savedGroups":  # The plural never existed; newer SDKs refuse it by name.
                return lambda _: False
        return _at_path(key, self.value_test(expected))

    def _any(self, conditions: Any) -> Test:
        tests = self._each(conditions)
        if not tests:
            return lambda _: True
        return lambda attributes: any_holds(test(attributes) for test in tests)

    def _each(self, conditions: Any) -> list[Test]:
        if not isinstance(conditions, list):
            return [_malformed]
        return [self.condition(each) for each in conditions]

    def value_test(self, condition: Any, *, folds_case: bool = False) -> Test:
        if _is_operators(condition):
            tests = [operator_test(name, each, self) for name, each in condition.items()]
            if len(tests) == 1:
                return tests[0]
            return _all_of(tests)
        if isinstance(condition, str):
            if not folds_case:
                return lambda value: bool(value == condition)
            folded = condition.lower()
            return lambda value: isinstance(value, str) and value.lower() == folded
        return lambda value: is_equal_literally(condition, value)

    def element_test(self, condition: Any) -> Test:
        if not isinstance(condition, dict):
            return _malformed
        if _is_operators(condition) and not any(word in condition for word in CONDITION_WORDS):
            return self.value_test(condition)
        return self.condition(condition)

    def group_test(self, group_id: Any) -> Test:
        """Membership in a saved group; an id that nobody defined is a group without members."""
        if not isinstance(group_id, str):
            return MALFORMED_GROUP
        group = self._groups.get(group_id, [])
        if isinstance(group, list):
            return membership(group)
        if not isinstance(group, dict):
            return MALFORMED_GROUP
        if group.get("type") == "list":
            values = group.get("values")
            return membership(values) if isinstance(values, list) else MALFORMED_GROUP
        return MALFORMED_GROUP if group.get("type") == "condition" else lambda _: None

    def _saved_group(self, reference: Any) -> Test:
        """A reference to a typed group; whatever is not understood holds for nobody."""
        if not isinstance(reference, dict):
            return lambda _: False
        group_id, key = reference.get("id"), reference.get("attributeKey")
        group = self._groups.get(group_id) if isinstance(group_id, str) else None
        if not isinstance(group, dict) or group_id in self._inside:
            return lambda _: False
        if "attributeKey" in reference and not isinstance(key, str):
            return lambda _: False
        match group.get("type"):
            case "list":
                key = reference.get("attributeKey", group.get("attributeKey"))
                values = group.get("values")
                if not isinstance(key, str) or not isinstance(values, list):
                    return lambda _: False
                return _at_path(key, membership(values))
            case "condition":
                if not isinstance(group.get("condition"), dict):
                    return lambda _: False
                inner = _Scope(self._groups, self._inside | {str(group_id)})
                return _when_used(lambda: inner.condition(group["condition"]))
        return lambda _: None


def _all_of(tests: list[Test]) -> Test:
    """`all_hold` of what several tests say of one value, without a generator: the hot path."""

    def test(value: Any) -> bool | None:
        answer: bool | None = True
        for each in tests:
            found = each(value)
            if not found:
                if found is None:
                    answer = None
                else:
                    return False
        return answer

    return test


def _when_used(compile_: Callable[[], Test]) -> Test:
    """A test compiled when it is first asked: groups that name each other are many paths."""
    compiled: list[Test] = []

    def test(value: Any) -> bool | None:
        if not compiled:
            compiled.append(compile_())
        return compiled[0](value)

    return test


def _malformed(_: Any) -> bool:
    raise Malformed


def _is_operators(condition: Any) -> bool:
    return isinstance(condition, dict) and all(key.startswith("$") for key in condition)


def _at_path(path: str, test: Test) -> Test:
    if "." not in path:
        return lambda attributes: test(
            attributes.get(path) if isinstance(attributes, dict) else _step(attributes, path)
        )
    steps = path.split(".")
    return lambda attributes: test(_walk(attributes, steps))


def _walk(value: Any, steps: Iterable[str]) -> Any:
    for step in steps:
        value = _step(value, step)
        if value is None:
            return None
    return value


def _step(value: Any, key: str) -> Any:
    """What stands under a key; lists have their indices and their length, as in JavaScript."""
    if isinstance(value, dict):
        return value.get(key)
    if not isinstance(value, list):
        return None
    if key == "length":
        return len(value)
    is_index = key.isascii() and key.isdigit() and len(key) < 11 and (key[0] != "0" or key == "0")
    return value[int(key)] if is_index and int(key) < len(value) else None
