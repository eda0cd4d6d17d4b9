"""One condition asked of the stream and of SQL, for a crowd whose events arrive one by one."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import msgspec

from engine.core.features.kinds import Features
from engine.core.model.campaigns import MemberList
from engine.core.model.conditions import Condition
from engine.core.model.instants import NEVER
from engine.core.model.people import Event, Profile
from engine.core.segments import Segments, compile_segments
from engine.segment_sql.lake import Lake, open_lake
from engine.segment_sql.statement import members_sql
from tests.proof.people import LISTS, Someone

Found = set[tuple[int, int]]
"""(instant, profile id) of everyone who is inside."""


class Streamed:
    """One person as the loop has them: told of each event, packed away in between."""

    def __init__(self, profile: Profile, segments: Segments) -> None:
        self.profile = deepcopy(profile)
        self.segments = segments
        self.features: Features = {}
        self.events: list[Event] = []

    def take(self, event: Event) -> None:
        self.events.append(event)
        tell(self.profile, event)
        self.segments.observe(self.features, event)

    def restart(self) -> None:
        """What a new process reads is what the old one wrote."""
        self.features = msgspec.msgpack.decode(msgspec.msgpack.encode(self.features))

    def holds(self, name: str, now: int) -> bool:
        return self.segments.evaluate(name, self.features, self.profile, now=now)[0]


def tell(profile: Profile, event: Event) -> None:
    """Apply the facts that an event brings, as it is accepted."""
    profile.traits.update(event.traits)
    for channel, topics in (event.consent or {}).items():
        profile.consent.setdefault(channel, {}).update(topics)


def compiled(definitions: Mapping[str, Condition], *, gap: int) -> Segments:
    return compile_segments(definitions, session_gap=gap, lists=LISTS)


def inside(people: Sequence[Streamed], name: str, instants: Sequence[int]) -> Found:
    """Whom the stream has inside."""
    return {(now, it.profile.id) for now in instants for it in people if it.holds(name, now)}


def pour(lake: Lake, people: Sequence[Someone], *, begin: int) -> None:
    """What the store would stream of these people, if it held exactly these events."""
    for table in ("profiles", "events", "traits", "consents", "withdrawn", "scores"):
        lake.duck.execute(f"DELETE FROM {table}")
    profiles = [it.profile for it in people]
    lake.append("profiles", [(it.id, it.external_id, it.zone, begin) for it in profiles])
    lake.append("events", [
        (it.profile.id, e.seq, e.name, e.at, text(e.properties), text(e.context))
        for it in people for e in it.events
    ])  # fmt: skip
    lake.append("traits", [
        (it.profile.id, name, text(value), min(e.at, e.accepted_at), 2 * e.seq)
        for it in people for e in it.events for name, value in e.traits.items()
    ])  # fmt: skip
    lake.append("consents", [
        (it.profile.id, channel, topic, granted, min(e.at, e.accepted_at), 2 * e.seq)
        for it in people for e in it.events
        for channel, topics in (e.consent or {}).items() for topic, granted in topics.items()
    ])  # fmt: skip
    lake.append("withdrawn", [
        (it.id, channel, topic, begin)
        for it in profiles for channel, contact in it.addresses.items()
        for topic in contact.withdrawn
    ])  # fmt: skip
    lake.append("scores", [
        (it.id, model, float(score.value), float(score.percentile), score.label, 0, NEVER)
        for it in profiles for model, score in it.scores.items()
    ])  # fmt: skip


def selected(
    lake: Lake,
    definitions: Mapping[str, Condition],
    name: str,
    instants: Sequence[int],
    *,
    gap: int,
    lists: Mapping[str, MemberList] = LISTS,
) -> Found:
    """Whom SQL has inside."""
    statement = members_sql(name, definitions, session_gap=gap, lists=lists)
    return {(now, id) for now, id in lake.select(statement.text, statement.at(instants))}


def text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


@contextmanager
def a_lake() -> Iterator[Lake]:
    with open_lake(memory="256MB") as lake:
        yield lake
