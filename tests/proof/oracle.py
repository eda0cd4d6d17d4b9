"""The segment language once more, whole and by the book: sorting and sets, nothing remembered.

It shares no code with the engine but the hash of `sample`. What it does not know it refuses.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from math import asin, cos, radians, sin, sqrt
from typing import Any
from zoneinfo import ZoneInfo

from engine.core.model.campaigns import MemberList
from engine.core.model.conditions import (
    AggregateCondition,
    All,
    AnyOf,
    ClusterCondition,
    Comparison,
    Condition,
    ConsentCondition,
    EventCondition,
    EventMatch,
    Filter,
    LatestCondition,
    ListCondition,
    LocalTimeCondition,
    MomentCondition,
    NearCondition,
    Not,
    SampleCondition,
    ScoreCondition,
    SegmentCondition,
    SequenceCondition,
    SequenceStep,
    SessionCondition,
    TraitCondition,
    Window,
)
from engine.core.model.people import Event, Profile
from experiments.assignment import is_held_out

ABSENT = object()
OURS = ("Message Sent",)
"""Of the names that a crowd's events have, those that no person caused."""
KEPT = {
    "device": ("type", "os", "browser", "model", "manufacturer", "name"),
    "location": ("country", "region", "city", "latitude", "longitude"),
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Oracle:
    """Answers conditions at an instant from a person's facts and all their events so far."""

    def __init__(
        self, segments: Mapping[str, Condition], *, gap: int, lists: Mapping[str, MemberList]
    ) -> None:
        self.segments, self.gap, self.lists = segments, gap, lists

    def holds(self, it: Condition, who: Profile, events: Sequence[Event], now: int) -> bool:
        match it:
            case All():
                return all(self.holds(one, who, events, now) for one in it.conditions)
            case AnyOf():
                return any(self.holds(one, who, events, now) for one in it.conditions)
            case Not():
                return not self.holds(it.condition, who, events, now)
            case SegmentCondition():
                return self.holds(self.segments[it.segment], who, events, now)
            case EventCondition():
                n = sum(counts(it, event, events, now) for event in events)
                return passes_all(n, it.count, now)
            case AggregateCondition():
                return aggregate_holds(it, events, now, who.zone)
            case MomentCondition():
                times = [
                    e.at for e in events if is_match(it.match, e) and inside(it.window, e, now)
                ]
                at = (min if it.which == "first" else max)(times) if times else None
                value = ABSENT if at is None else as_datetime(at).isoformat()
                return passes_all(value, it.comparisons, now)
            case SequenceCondition():
                return is_chain(it.steps, [e for e in events if inside(it.window, e, now)], events)
            case SessionCondition():
                passing = [
                    session
                    for session in self.sessions(events, now)
                    if inside(it.window, session[-1], now)
                    and passes_all(session[-1].at - session[0].at, it.duration, now)
                    and passes_all(len(session), it.events, now)
                ]
                return passes_all(len(passing), it.count, now)
            case TraitCondition():
                return filter_holds(it.filter, who.traits, now, who.zone)
            case ListCondition():
                trait, values = self.lists[it.list].trait, self.lists[it.list].values
                return listed(who, trait) in values
            case _:
                return person_holds(it, who, events, now)

    def sessions(self, events: Sequence[Event], now: int) -> list[list[Event]]:
        found: list[list[Event]] = []
        seen = [event for event in events if event.at <= now and event.name not in OURS]
        for event in sorted(seen, key=lambda event: event.at):
            if found and event.at - found[-1][-1].at <= self.gap:
                found[-1].append(event)
            else:
                found.append([event])
        return found


# --- who someone is ------------------------------------------------------------------------------


def person_holds(it: Condition, who: Profile, events: Sequence[Event], now: int) -> bool:
    match it:
        case ConsentCondition():
            contact = who.addresses.get(it.channel)
            said = who.consent.get(it.channel, {}).get(it.topic)
            if contact is not None and {it.topic, "*"} & contact.withdrawn:
                said = False
            return {None: "unknown", True: "granted", False: "refused"}[said] == it.state
        case SampleCondition():
            share = it.percent / 100
            return is_held_out(str(who.id), seed=f"sample:{it.salt}", share=share)
        case LocalTimeCondition():
            local = as_datetime(now).astimezone(
                ZoneInfo(who.zone if it.zone == "profile" else it.zone)
            )
            minute = local.hour * 60 + local.minute
            if it.from_minute < it.to_minute:
                return it.from_minute <= minute < it.to_minute and local.weekday() in it.days
            if minute >= it.from_minute:
                return local.weekday() in it.days
            return minute < it.to_minute and (local.weekday() + 6) % 7 in it.days
        case LatestCondition():
            said = latest(it.root, it.within, events, now)
            return all(
                passes_all(said.get(one.path[0], ABSENT), one.comparisons, now) for one in it.fields
            )
        case NearCondition():
            said = latest("location", it.within, events, now)
            north, east = said.get("latitude"), said.get("longitude")
            if not (is_number(north) and is_number(east) and abs(north) <= 90 and abs(east) <= 180):
                return False
            return kilometres(it.latitude, it.longitude, north, east) <= it.km
        case ScoreCondition():
            score = who.scores.get(it.model)
            return (
                score is not None
                and passes_all(score.value, it.value, now)
                and passes_all(score.percentile, it.percentile, now)
            )
        case ClusterCondition():
            score = who.scores.get(it.model)
            return (
                score is not None
                and passes_all(score.label, it.label, now)
                and passes_all(score.value, it.confidence, now)
            )
    raise AssertionError(it)


def listed(who: Profile, trait: Sequence[str]) -> str | None:
    value: Any = who.external_id or None
    if trait:
        (value,) = find(who.traits, trait)
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return str(value) if isinstance(value, str) or is_number(value) else None


def latest(root: str, within: int | None, events: Sequence[Event], now: int) -> dict[str, Any]:
    """What the last event that carried a device or a place said of it; the greater text of two."""
    found = []
    for event in events:
        said = event.context.get(root)
        if event.name in OURS or event.at > now or not isinstance(said, dict) or not said:
            continue
        if within is None or event.at > now - within:
            kept = [single(said.get(name)) for name in KEPT[root]]
            found.append((event.at, as_json(kept), kept))
    if not found:
        return {}
    values = max(found, key=lambda it: it[:2])[2]
    pairs = zip(KEPT[root], values, strict=True)
    return {name: value for name, value in pairs if value is not None}


def single(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= 256 else None
    return value if isinstance(value, bool | int | float) else None


def as_json(values: Sequence[Any]) -> bytes:
    import json

    return json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode()


def kilometres(south: float, west: float, north: float, east: float) -> float:
    a, b, c = radians(south), radians(north), radians(east - west)
    chord = sin((b - a) / 2) ** 2 + cos(a) * cos(b) * sin(c / 2) ** 2
    return 2 * 6371.0088 * asin(min(1.0, sqrt(chord)))


# --- what someone did ----------------------------------------------------------------------------


def inside(window: Window, event: Event, now: int) -> bool:
    return (
        event.at <= now
        and (window.within is None or event.at > now - window.within)
        and (window.since is None or event.at >= window.since)
        and (window.until is None or event.at < window.until)
    )


def is_match(match: EventMatch, event: Event) -> bool:
    data = {"properties": event.properties, "context": event.context}
    return event.name == match.event and all(
        filter_holds(one, data, event.at, "UTC") for one in match.where
    )


def counts(it: EventCondition, event: Event, events: Sequence[Event], now: int) -> bool:
    if not is_match(it.match, event) or not inside(it.window, event, now):
        return False
    after = it.not_followed_by
    if after is None:
        return True
    if now < event.at + after.within:
        return False
    return not any(
        is_match(after.match, other) and event.at < other.at <= event.at + after.within
        for other in events
    )


def aggregate_holds(it: AggregateCondition, events: Sequence[Event], now: int, zone: str) -> bool:
    found: list[tuple[int, Any]] = []
    for event in events:
        if is_match(it.match, event) and inside(it.window, event, now):
            data = {"properties": event.properties, "context": event.context}
            values = [value for value in find(data, it.path) if value is not ABSENT]
            found += [(event.at, value) for value in values if not isinstance(value, list | dict)]
    numbers = [value for _, value in found if is_number(value)]
    if it.measure in ("sum", "avg"):
        exact = [Fraction(str(number)) for number in numbers if abs(number) <= 10**11]
        value: Any = sum(exact, Fraction(0))
        if it.measure == "avg":
            value = value / len(exact) if exact else ABSENT
        return passes_all(value, [as_fractions(one) for one in it.comparisons], now)
    if it.measure in ("min", "max"):
        value = (min if it.measure == "min" else max)(numbers, default=ABSENT)
    elif it.measure == "distinct":
        kinds = {(isinstance(v, bool), isinstance(v, str), v) for _, v in found if v is not None}
        value = len(kinds)
    else:
        ordered = sorted(found, key=lambda pair: (pair[0], rank(pair[1])))
        at = 0 if it.measure == "first" else -1
        value = ordered[at][1] if ordered else ABSENT
    return passes_all(value, it.comparisons, now, zone)


def as_fractions(one: Comparison) -> Comparison:
    if one.operator == "exists":
        return one
    if isinstance(one.operand, tuple):
        return Comparison(one.operator, tuple(Fraction(str(each)) for each in one.operand))
    return Comparison(one.operator, Fraction(str(one.operand)))


def rank(value: Any) -> tuple[int, Any]:
    if value is None:
        return 0, 0
    if isinstance(value, bool):
        return 1, value
    return (3, value) if isinstance(value, str) else (2, value)


def is_chain(
    steps: Sequence[SequenceStep],
    chosen: Sequence[Event],
    events: Sequence[Event],
    before: int | None = None,
) -> bool:
    """Whether the steps can be filled in order, by trying every event for each."""
    if not steps:
        return True
    step = steps[0]
    for event in chosen:
        if not is_match(step.match, event):
            continue
        if before is not None:
            if event.at <= before or (step.gap is not None and event.at - before > step.gap):
                continue
            between = [other for other in events if before < other.at < event.at]
            if step.without is not None and any(is_match(step.without, one) for one in between):
                continue
        if is_chain(steps[1:], chosen, events, event.at):
            return True
    return False


# --- values --------------------------------------------------------------------------------------


def filter_holds(one: Filter, data: Any, now: int, zone: str) -> bool:
    return any(passes_all(value, one.comparisons, now, zone) for value in find(data, one.path))


def find(data: Any, path: Sequence[str]) -> list[Any]:
    values = [data]
    for key in path:
        found = []
        for value in values:
            if key == "*" and isinstance(value, list):
                found += value
            elif isinstance(value, dict) and key in value:
                found.append(value[key])
            elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                found.append(value[int(key)])
        values = found
    return values or [ABSENT]


def passes_all(value: Any, tests: Sequence[Comparison], now: int, zone: str = "UTC") -> bool:
    return all(passes(value, one, now, zone) for one in tests)


def passes(value: Any, one: Comparison, now: int, zone: str) -> bool:
    operand = one.operand
    match one.operator:
        case "is":
            return same(value, operand)
        case "is_not":
            return not same(value, operand)
        case "in":
            return any(same(value, each) for each in operand)
        case "not_in":
            return not any(same(value, each) for each in operand)
        case "exists":
            return (value is not ABSENT) is operand
        case "gt":
            return alike(value, operand) and value > operand
        case "gte":
            return alike(value, operand) and value >= operand
        case "lt":
            return alike(value, operand) and value < operand
        case "lte":
            return alike(value, operand) and value <= operand
        case "between":
            low, high = operand
            return alike(value, low) and alike(value, high) and low <= value <= high
        case "contains" | "not_contains":
            found = (isinstance(value, str) and isinstance(operand, str) and operand in value) or (
                isinstance(value, list) and any(same(each, operand) for each in value)
            )
            return found is (one.operator == "contains")
        case "starts_with":
            return isinstance(value, str) and value[: len(operand)] == operand
        case "ends_with":
            return isinstance(value, str) and value[len(value) - len(operand) :] == operand
        case "matches":
            return isinstance(value, str) and re.search(operand, value) is not None
    return date_passes(value, one, now, zone)


def date_passes(value: Any, one: Comparison, now: int, zone: str) -> bool:
    if one.operator in ("before", "after"):
        at = instant(value, "UTC")
        return at is not None and (
            at < one.operand if one.operator == "before" else at > one.operand
        )
    at = instant(value, zone)
    if at is None:
        return False
    if one.operator == "within_last":
        return now - one.operand < at <= now
    if one.operator == "within_next":
        return now < at <= now + one.operand
    assert one.operator == "anniversary_within", one
    born = datetime.fromisoformat(value).date()
    for year in range(max(born.year + 1, as_datetime(now).year - 1), as_datetime(now).year + 3):
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        day = 28 if (born.month, born.day) == (2, 29) and not leap else born.day
        begins = date(year, born.month, day)
        ends = begins + timedelta(days=1)
        if midnight(begins, zone) - one.operand <= now < midnight(ends, zone):
            return True
    return False


def instant(value: Any, zone: str) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    try:
        return midnight(date.fromisoformat(value), zone)
    except ValueError:
        return microseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def midnight(day: date, zone: str) -> int:
    """The first instant of a day where someone lives; none of ours skips its midnight."""
    return microseconds(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)))


def microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def as_datetime(at: int) -> datetime:
    return EPOCH + timedelta(microseconds=at)


def same(value: Any, operand: Any) -> bool:
    if value is ABSENT or isinstance(value, bool) is not isinstance(operand, bool):
        return False
    return bool(value == operand)


def alike(value: Any, operand: Any) -> bool:
    return (is_number(value) and is_number(operand)) or (
        isinstance(value, str) and isinstance(operand, str)
    )


def is_number(value: Any) -> bool:
    return isinstance(value, int | float | Fraction) and not isinstance(value, bool)
