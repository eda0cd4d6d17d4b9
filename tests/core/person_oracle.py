"""Conditions about the person a second time, the slow and obvious way: from all that was told.

It shares no code with the engine. What it cannot answer it asks the oracle of events.
"""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import acos, cos, radians, sin
from typing import Any
from zoneinfo import ZoneInfo

from engine.core.model.campaigns import MemberList
from engine.core.model.conditions import (
    All,
    AnyOf,
    ClusterCondition,
    Condition,
    ConsentCondition,
    LatestCondition,
    ListCondition,
    LocalTimeCondition,
    NearCondition,
    Not,
    SampleCondition,
    ScoreCondition,
    TraitCondition,
)
from engine.core.model.people import Event, Score
from tests.core.segments_oracle import ABSENT, passes

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OURS = ("Segment Entered", "Segment Exited", "Message Delivered", "Message Bounced", "Message Sent")
TOLD = {
    "device": ("type", "os", "browser", "model", "manufacturer", "name"),
    "location": ("country", "region", "city", "latitude", "longitude"),
}


@dataclass
class Told:
    """Everything that was ever told of one profile, in the order in which it was."""

    profile: int
    zone: str
    external_id: str = "u1"
    scores: dict[str, Score] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def zone_now(self) -> str:
        return next((event.zone for event in reversed(self.events) if event.zone), self.zone)

    def trait(self, name: str) -> Any:
        told = [event.traits[name] for event in self.events if name in event.traits]
        return told[-1] if told else ABSENT

    def consent(self, channel: str, topic: str) -> str:
        addresses = [
            event.addresses[channel]
            for event in self.events
            if event.addresses and channel in event.addresses
        ]
        contact = addresses[-1] if addresses else None
        if contact is not None and contact.withdrawn & {topic, "*"}:
            return "refused"
        said = [
            event.consent[channel][topic]
            for event in self.events
            if event.consent and topic in event.consent.get(channel, {})
        ]
        return "unknown" if not said else "granted" if said[-1] else "refused"

    def latest(self, root: str, within: int | None, now: int) -> dict[str, Any] | None:
        carried = [
            (event.at, json.dumps(values, separators=(",", ":")), values)
            for event in self.events
            if event.name not in OURS and event.at <= now and event.context.get(root)
            for values in [[event.context[root].get(name) for name in TOLD[root]]]
        ]
        if not carried:
            return None
        at, _, values = max(carried, key=lambda each: each[:2])
        if within is not None and at <= now - within:
            return None
        return dict(zip(TOLD[root], values, strict=True))


def holds_of(condition: Condition, told: Told, lists: dict[str, MemberList], now: int) -> bool:
    """Whether it holds at an instant, given all that was told by then."""
    match condition:
        case All():
            return all(holds_of(one, told, lists, now) for one in condition.conditions)
        case AnyOf():
            return any(holds_of(one, told, lists, now) for one in condition.conditions)
        case Not():
            return not holds_of(condition.condition, told, lists, now)
        case ConsentCondition():
            return told.consent(condition.channel, condition.topic) == condition.state
        case SampleCondition():
            return is_sampled(told.profile, condition)
        case ListCondition():
            return is_listed(told, lists[condition.list])
        case LocalTimeCondition():
            zone = told.zone_now() if condition.zone == "profile" else condition.zone
            return clock_shows(condition, local(now, zone))
        case LatestCondition():
            found = told.latest(condition.root, condition.within, now) or {}
            return all(
                passes(absent_if_none(found.get(one.path[0])), test, now)
                for one in condition.fields
                for test in one.comparisons
            )
        case NearCondition():
            found = told.latest("location", condition.within, now) or {}
            latitude, longitude = found.get("latitude"), found.get("longitude")
            if latitude is None or longitude is None:
                return False
            return kilometres(condition, latitude, longitude) <= condition.km
        case ScoreCondition():
            score = told.scores.get(condition.model)
            return score is not None and all(
                passes(value, test, now)
                for value, tests in (
                    (score.value, condition.value), (score.percentile, condition.percentile),
                )
                for test in tests
            )  # fmt: skip
        case ClusterCondition():
            score = told.scores.get(condition.model)
            return score is not None and all(
                passes(value, test, now)
                for value, tests in (
                    (score.label, condition.label), (score.value, condition.confidence),
                )
                for test in tests
            )  # fmt: skip
        case TraitCondition():
            value = told.trait(condition.filter.path[0])
            return all(
                dated(value, one, told.zone_now(), now) for one in condition.filter.comparisons
            )
    raise AssertionError(condition)


def local(now: int, zone: str) -> datetime:
    return (EPOCH + timedelta(microseconds=now)).astimezone(ZoneInfo(zone))


def clock_shows(condition: LocalTimeCondition, clock: datetime) -> bool:
    minute = clock.hour * 60 + clock.minute
    evening, morning = clock.weekday(), (clock - timedelta(days=1)).weekday()
    if condition.from_minute < condition.to_minute:
        return evening in condition.days and condition.from_minute <= minute < condition.to_minute
    if minute >= condition.from_minute:
        return evening in condition.days
    return minute < condition.to_minute and morning in condition.days


def dated(value: Any, test: Any, zone: str, now: int) -> bool:
    """Only tests of dates in the person's own zone, and of what exists."""
    if test.operator == "exists":
        return (value is not ABSENT) is test.operand
    if value is ABSENT:
        return False
    midnight = datetime.fromisoformat(value).replace(tzinfo=ZoneInfo(zone))
    span: int = test.operand
    if test.operator in ("within_last", "within_next"):
        at = micros(midnight)
        if test.operator == "within_last":
            return now - span < at <= now
        return now < at <= now + span
    assert test.operator == "anniversary_within"
    for year in range(midnight.year + 1, 2040):
        begins = micros(midnight.replace(year=year))
        ends = micros(midnight.replace(year=year) + timedelta(days=1))
        if begins - span <= now < ends:
            return True
    return False


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def is_sampled(profile: int, condition: SampleCondition) -> bool:
    digest = hashlib.sha256(f"antiphon-1|sample:{condition.salt}|{profile}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 11 < condition.percent / 100 * 2**53


def is_listed(told: Told, members: MemberList) -> bool:
    if not members.trait:
        return told.external_id in members.values
    value = told.trait(members.trait[0])
    return isinstance(value, str) and value in members.values


def absent_if_none(value: Any) -> Any:
    return ABSENT if value is None else value


def kilometres(condition: NearCondition, latitude: float, longitude: float) -> float:
    """By the angle between two vectors from the middle of the earth."""
    one, other = (
        (cos(radians(lat)) * cos(radians(long)), cos(radians(lat)) * sin(radians(long)),
         sin(radians(lat)))
        for lat, long in ((condition.latitude, condition.longitude), (latitude, longitude))
    )  # fmt: skip
    return 6371.0088 * acos(
        max(-1.0, min(1.0, sum(a * b for a, b in zip(one, other, strict=True))))
    )
