"""A policy as written in a file: which arm with which chance, for whom.

    arms: {plain: 1, reminder: 3}             # weights, for whomever no rule names
    rules:
      - when: {country: FR}                   # a value, or a list of values
        arms: {reminder: 1}
      - when: {age: {gte: 60}}                # numbers: gte, gt, lte, lt
        arms: {plain: 1}

The first rule that fits decides; what is unknown of a unit fits no rule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from campaigns.reading import Unreadable, plain, read_yaml
from engine.core.errors import UsageError

BOUNDS: Final = ("gte", "gt", "lte", "lt")

Test = tuple[str, str, Any]
"""Column, how (`in` or one of `BOUNDS`), what."""


@dataclass(frozen=True)
class Rule:
    """Whom it is for, and their arms' weights."""

    tests: tuple[Test, ...]
    arms: Mapping[str, float]


@dataclass(frozen=True)
class Policy:
    """Weights by arm for whomever no rule names, and rules in their order."""

    arms: Mapping[str, float]
    rules: tuple[Rule, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """What must be known of each unit."""
        return tuple(dict.fromkeys(test[0] for rule in self.rules for test in rule.tests))

    def chances(self, known: Mapping[str, Any], *, arms: Sequence[str], n: int) -> Any:
        """Units x arms, each row summing to 1.

        Args:
            known: By column: numbers with NaN, or texts with "", for what is unknown.
        """
        import numpy as np

        found = np.tile(_shares(self.arms, arms), (n, 1))
        is_open = np.ones(n, dtype=bool)
        for rule in self.rules:
            fits = is_open.copy()
            for test in rule.tests:
                fits &= _fits(test, known[test[0]])
            found[fits] = _shares(rule.arms, arms)
            is_open &= ~fits
        return found


def read_policy(path: Path, *, arms: Sequence[str]) -> Policy:
    """A policy file over these arms.

    Raises:
        UsageError: Naming file and key, what was found and what is allowed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        tree: Any = plain(read_yaml(str(path), data))
    except Unreadable as error:
        raise UsageError(str(error)) from error
    _only(path, tree, ("arms", "rules"), where="a policy")
    rules = tree.get("rules") or []
    if not isinstance(rules, list):
        raise UsageError(f"{path}: rules is a list of when and arms")
    found = []
    for number, each in enumerate(rules, start=1):
        where = f"rule {number}"
        _only(path, each, ("when", "arms"), where=where)
        found.append(
            Rule(
                _tests(path, each.get("when"), where=where),
                _weights(path, each.get("arms"), arms, where=where),
            )
        )
    return Policy(_weights(path, tree.get("arms"), arms, where="a policy"), tuple(found))


def _only(path: Path, tree: Any, allowed: Sequence[str], *, where: str) -> None:
    if not isinstance(tree, dict):
        raise UsageError(f"{path}: {where} is written as {': …, '.join(allowed)}: …")
    for key in tree:
        if key not in allowed:
            near = get_close_matches(str(key), allowed, n=1)
            hint = f' Did you mean "{near[0]}"?' if near else ""
            raise UsageError(
                f'{path}: {where} has no "{key}"; allowed are {", ".join(allowed)}.{hint}'
            )


def _weights(path: Path, given: Any, arms: Sequence[str], *, where: str) -> dict[str, float]:
    if not isinstance(given, dict) or not given:
        raise UsageError(f"{path}: {where} needs arms: {{{arms[0]}: 1}}, a weight for each arm")
    for arm, weight in given.items():
        if arm not in arms:
            near = get_close_matches(str(arm), arms, n=1)
            hint = f' Did you mean "{near[0]}"?' if near else ""
            raise UsageError(
                f'{path}: {where} gives "{arm}", which is no arm; arms are {", ".join(arms)}.{hint}'
            )
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not is_number or not 0 <= weight < float("inf"):
            raise UsageError(f'{path}: {where}: the weight of "{arm}" is {weight}, not 0 or more')
    if not sum(given.values()):
        raise UsageError(f"{path}: {where} gives every arm a weight of 0")
    return {str(arm): float(weight) for arm, weight in given.items()}


def _tests(path: Path, given: Any, *, where: str) -> tuple[Test, ...]:
    if not isinstance(given, dict) or not given:
        raise UsageError(f"{path}: {where} needs when: {{COLUMN: VALUE}}")
    found: list[Test] = []
    for column, said in given.items():
        if not isinstance(said, dict):
            values = said if isinstance(said, list) else [said]
            found.append((str(column), "in", tuple(values)))
            continue
        for how, bound in said.items():
            if how not in BOUNDS or isinstance(bound, bool) or not isinstance(bound, int | float):
                raise UsageError(
                    f"{path}: {where}: {column} is compared by {how}: {bound}; write a value, a"
                    f" list, or a number under {', '.join(BOUNDS)}"
                )
            found.append((str(column), str(how), float(bound)))
    return tuple(found)


def _shares(weights: Mapping[str, float], arms: Sequence[str]) -> Any:
    import numpy as np

    found = np.array([weights.get(arm, 0.0) for arm in arms])
    return found / found.sum()


def _fits(test: Test, values: Any) -> Any:
    """Which units a test holds for; an unknown value fits nothing."""
    import numpy as np

    column, how, what = test
    is_text = values.dtype.kind in "US"
    if how == "in":
        if is_text:
            return np.isin(values, [_text(each) for each in what]) & (values != "")
        numbers = [each for each in what if isinstance(each, int | float)]
        return np.isin(values, np.array(numbers, dtype=float))
    if is_text:
        raise UsageError(f'the policy compares "{column}" with a number, but it holds texts')
    compare = {
        "gte": np.greater_equal, "gt": np.greater, "lte": np.less_equal, "lt": np.less,
    }  # fmt: skip
    return compare[how](values, what)


def _text(value: Any) -> str:
    return str(value) if not isinstance(value, bool) else str(value).lower()
