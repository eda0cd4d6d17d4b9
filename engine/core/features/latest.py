"""The feature behind `device` and `location`: what the last event that carried one said of it.

An event carries a device if `context.device` is an object with anything in it. It replaces the one
before as a whole: a phone without a browser is not the desktop's browser on a phone. State:
[[at, *values], …], the latest that has begun and those dated in the future, by time. Of two at one
instant the one whose values are later as JSON text counts, whichever came first.
"""

from bisect import bisect_right, insort
from collections.abc import Callable
from math import asin, cos, radians, sin, sqrt
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from engine.core.conditions.comparisons import Answer, compile_test
from engine.core.errors import CampaignError
from engine.core.model.conditions import LatestCondition, NearCondition
from engine.core.model.instants import NEVER, Instant
from engine.core.model.people import Event
from engine.core.paths import MISSING

KEPT: Final[dict[str, tuple[str, ...]]] = {
    "device": ("type", "os", "browser", "model", "manufacturer", "name"),
    "location": ("country", "region", "city", "latitude", "longitude"),
}
"""What is remembered of each, in this order."""

TEXT_LENGTH_MAX: Final = 256
"""A longer text names no device and no place: it is taken as not said."""

WAITING_MAX: Final = 64
"""How many that are dated in the future wait for their time; the furthest are dropped."""

EARTH_RADIUS_KM: Final = 6371.0088
"""The mean radius of the ellipsoid (IUGG, WGS 84)."""

Entry: TypeAlias = list[Any]
Ask: TypeAlias = Callable[[dict[str, Any], Any, Instant], Answer]
_json: Final = msgspec.json.Encoder().encode


class Latest(Struct, frozen=True, tag="latest"):
    """The last known values of these fields of `context.<root>`."""

    root: str
    fields: tuple[str, ...]


def feature_of(root: str) -> Latest:
    """The feature that every condition about this root shares."""
    return Latest(root, KEPT[root])


def compile_carries(definition: Latest) -> Callable[[Event], bool]:
    """Whether an event can change this feature."""
    root = definition.root

    def carries(event: Event) -> bool:
        found = event.context.get(root)
        return type(found) is dict and bool(found)

    return carries


def compile_fold(definition: Latest, key: str) -> Callable[[dict[str, Any], Event], None]:
    """Slot in what an event carries and drop what it replaces."""
    root, fields = definition.root, definition.fields

    def fold(features: dict[str, Any], event: Event) -> None:
        found = event.context.get(root)
        if type(found) is not dict or not found:
            return
        entry = [event.at, *[_said(found.get(name)) for name in fields]]
        entries = features.get(key)
        if entries is None:
            features[key] = [entry]
            return
        if entry not in entries:
            insort(entries, entry, key=_rank)
        begun = bisect_right(entries, event.accepted_at, key=_at)
        if begun > 1:
            del entries[: begun - 1]
        del entries[WAITING_MAX + 1 :]

    return fold


def join(definition: Latest, one: list[Entry], other: list[Entry]) -> list[Entry]:
    """Both profiles' entries; the next event drops what is replaced."""
    merged = [list(entry) for entry in one]
    merged += [list(entry) for entry in other if entry not in one]
    return sorted(merged, key=_rank)


def compile_latest(condition: LatestCondition, key: str) -> Ask:
    """Whether the last known values pass every filter, and until when.

    Raises:
        CampaignError: If a filter is about a field that is not remembered.
    """
    kept = KEPT[condition.root]
    tests: list[tuple[int, Callable[[Any], bool]]] = []
    for one in condition.fields:
        (name,) = one.path
        if name not in kept:
            raise CampaignError(
                f'{condition.root}: "{name}" is not remembered; allowed are {", ".join(kept)}'
            )
        tests += [(kept.index(name) + 1, compile_test(each)) for each in one.comparisons]

    def passes(entry: Entry | None) -> bool:
        if entry is None:
            return all(test(MISSING) for _, test in tests)
        return all(test(MISSING if entry[index] is None else entry[index]) for index, test in tests)

    return _compile_answer(key, passes, within=condition.within)


def compile_near(condition: NearCondition, key: str) -> Ask:
    """Whether the last known place is near, and until when."""
    fields = KEPT["location"]
    first, second = fields.index("latitude") + 1, fields.index("longitude") + 1

    def passes(entry: Entry | None) -> bool:
        if entry is None:
            return False
        distance = distance_km(condition.latitude, condition.longitude, entry[first], entry[second])
        return distance is not None and distance <= condition.km

    return _compile_answer(key, passes, within=condition.within)


def distance_km(
    latitude: float, longitude: float, other_latitude: Any, other_longitude: Any
) -> float | None:
    """Kilometres between two places in degrees along a great circle; None if one is none.

    Haversine on a sphere: within 0.6 % of the ellipsoid.
    Source: R. W. Sinnott, Virtues of the Haversine, Sky and Telescope 68 (1984).
    """
    if not (_is_degrees(other_latitude, 90) and _is_degrees(other_longitude, 180)):
        return None
    south, north = radians(latitude), radians(other_latitude)
    across = radians(other_longitude - longitude)
    chord = sin((north - south) / 2) ** 2 + cos(south) * cos(north) * sin(across / 2) ** 2
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(chord)))


def latest_found(state: Any, *, now: Instant) -> tuple[Instant, list[Any]] | None:
    """When the last one was carried, and its values; None if none was yet."""
    begun = bisect_right(state or [], now, key=_at)
    return (state[begun - 1][0], state[begun - 1][1:]) if begun else None


def _compile_answer(key: str, passes: Callable[[Entry | None], bool], *, within: int | None) -> Ask:
    by_default = passes(None)
    nothing: Answer = (by_default, NEVER)

    def ask(features: dict[str, Any], profile: Any, now: Instant) -> Answer:
        entries = features.get(key)
        if not entries:
            return nothing
        index = bisect_right(entries, now, key=_at) - 1
        holds, at = _verdict(entries, index, now), now
        while True:
            # The next instant at which what is known changes: it leaves, or another begins.
            begins_at = entries[index + 1][0] if index + 1 < len(entries) else NEVER
            leaves_at = NEVER
            if within is not None and index >= 0 and entries[index][0] + within > at:
                leaves_at = entries[index][0] + within
            at = min(begins_at, leaves_at)
            if at >= NEVER:
                return holds, NEVER
            if at == begins_at:
                index = bisect_right(entries, at, key=_at) - 1
            if _verdict(entries, index, at) is not holds:
                return holds, at

    def _verdict(entries: list[Entry], index: int, at: Instant) -> bool:
        if index < 0 or (within is not None and entries[index][0] + within <= at):
            return by_default
        return passes(entries[index])

    return ask


def _said(value: Any) -> Any:
    """A single value, or None for what says nothing."""
    if isinstance(value, str):
        return value if len(value) <= TEXT_LENGTH_MAX else None
    return value if isinstance(value, bool | int | float) else None


def _is_degrees(value: Any, most: float) -> bool:
    return (type(value) is float or type(value) is int) and -most <= value <= most


def _at(entry: Entry) -> Instant:
    at: Instant = entry[0]
    return at


def _rank(entry: Entry) -> tuple[Instant, bytes]:
    return entry[0], _json(entry[1:])
