"""What an event brings to an aggregate: the values at a path that count, in an order for ties.

Missing values, lists and objects never count; what else does is each aggregate's rule. Values at
the same instant are ordered by what they are, never by when they came, so that late and repeated
delivery ends in the same.
"""

from bisect import bisect_right
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final, TypeAlias

from engine.core.conditions.filters import compile_find
from engine.core.errors import CampaignError
from engine.core.model.instants import Instant
from engine.core.model.people import Event
from engine.core.paths import MISSING

Take: TypeAlias = Callable[[Any], Any]
"""A value as it counts, or MISSING if it does not."""

_SHORT: Final = 16


def compile_contributions(path: tuple[str, ...], take: Take) -> Callable[[Event], tuple[Any, ...]]:
    """What an event contributes.

    Raises:
        CampaignError: If the path starts elsewhere than at `properties` or `context`.
    """
    if len(path) < 2 or path[0] not in ("properties", "context"):
        raise CampaignError(
            f'"{".".join(path)}" is not a path into an event; start at "properties." or "context."'
        )
    is_context, name = path[0] == "context", path[1]
    if len(path) == 2 and name != "*" and not is_context:

        def taken(event: Event) -> tuple[Any, ...]:
            value = take(event.properties.get(name, MISSING))
            return () if value is MISSING else (value,)

        return taken
    find = compile_find(path[1:])

    def all_taken(event: Event) -> tuple[Any, ...]:
        values = find(event.context if is_context else event.properties)
        return tuple(one for value in values if (one := take(value)) is not MISSING)

    return all_taken


def number(value: Any) -> Any:
    """A finite number as it is; text, true, false and null do not count."""
    kind = type(value)
    is_number = kind is int or (kind is float and value - value == 0)
    return value if is_number else MISSING


def scalar(value: Any) -> Any:
    """Text, a number, true, false or null as it is."""
    return MISSING if isinstance(value, list | dict) else value


def identity(value: Any) -> Any:
    """What tells one value from another, as plain data: long text as a hash, 1.0 as 1."""
    kind = type(value)
    if kind is str:
        if len(value) <= _SHORT:
            return value
        return blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    if kind is bool:
        return b"true" if value else b"false"
    if kind is int:
        return value
    if kind is float and value - value == 0:
        return int(value) if value.is_integer() else value
    return MISSING


def order(value: Any) -> tuple[int, Any]:
    """Where a value stands among those of the same instant: null, false, true, numbers, text."""
    if value is None:
        return 0, 0
    if value is False or value is True:
        return 1, value
    if isinstance(value, str):
        return 3, value
    return (4, value) if isinstance(value, bytes) else (2, value)


def slot(times: list[Instant], values: list[Any], at: Instant, value: Any) -> int:
    """Put a value in its place by time, then by order; gives the place."""
    place = bisect_right(times, at)
    if place and times[place - 1] == at:
        rank = order(value)
        while place and times[place - 1] == at and order(values[place - 1]) > rank:
            place -= 1
    times.insert(place, at)
    values.insert(place, value)
    return place


def join_values(one: list[Any], other: list[Any]) -> list[Any]:
    """Two states of [times, values] as one, in the same order that `slot` keeps."""
    pairs = [*zip(*one, strict=True), *zip(*other, strict=True)]
    pairs.sort(key=lambda pair: (pair[0], order(pair[1])))
    return [[at for at, _ in pairs], [value for _, value in pairs]]
