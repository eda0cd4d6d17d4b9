"""What a person has agreed to, as the gates see it: what they said, less what they took back.

Read next: `choosing`, which changes it.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from engine.consent.unsubscribe import EVERYTHING
from engine.core.model.instants import Instant
from engine.store import claims
from engine.store.connection import Connection
from engine.store.events import EventLog
from engine.store.queue import Addressee, addressees, reached

KINDS: Final[tuple[str, ...]] = ("email", "sms", "push")
"""Channels with an address that somebody can say no for, in the order in which they are shown."""
UNPLAYED_MAX: Final = 1_000

Place: TypeAlias = tuple[str, str]
"""(channel, topic)"""

_addresses = msgspec.json.Decoder(dict[str, str])
_consent = msgspec.json.Decoder(dict[str, dict[str, bool]])
_object = msgspec.json.Decoder(dict[str, Any])
_topics = msgspec.json.Decoder(list[str])


class Terms(Struct, frozen=True):
    """What a workspace lets people choose: its topics, its kinds of channel, what silence means.

    `double` are the topics for which only a confirmed "yes" is one.
    """

    topics: tuple[str, ...]
    channels: frozenset[str]
    unknown_is_yes: bool = False
    double: frozenset[str] = frozenset()


class Standing(Struct, frozen=True):
    """What a person gets now, by (channel, topic), in the order of the workspace.

    `locale` is their trait. `may_grant` is false where the message went to an address that is not
    theirs any more: whoever reads that mailbox may stop what comes, and nothing else.
    """

    profile_id: int
    locale: str
    choices: dict[Place, bool]
    may_grant: bool = True


class Person(Struct):
    """A message's receiver, as their choice is made. `marks` are hashes (hex) by channel."""

    row: Addressee
    channel: str
    topic: str
    marks: dict[str, list[str]]
    granted: dict[str, dict[str, bool]]
    withdrawn: dict[str, set[str]]
    may_grant: bool


def standing(
    connection: Connection, *, message: int, terms: Terms, log: EventLog
) -> Standing | None:
    """What a message's receiver gets now; None where there is no such person (any more)."""
    person = receiver_of(connection, message, log)
    if person is None:
        return None
    for mark, (topics, _) in _withdrawn(connection, person).items():
        note_withdrawn(person, mark, topics)
    return standing_of(person, terms)


def receiver_of(connection: Connection, message: int, log: EventLog) -> Person | None:
    rows = connection.execute(
        "SELECT profile_id, channel, topic FROM message WHERE id = ?", (message,)
    )
    if not rows:
        return None
    profile_id, channel, topic = rows[0]
    row = addressees(connection, [profile_id]).get(profile_id)
    if row is None or row.erased_at is not None:
        return None
    marks = _marks(row)
    went_to = reached(connection, [message]).get(message)
    may_grant = went_to is None or channel not in KINDS or went_to in marks.get(channel, ())
    if went_to is not None and not may_grant:
        # Whoever reads the old mailbox says no for it, too.
        marks.setdefault(channel, []).append(went_to)
    granted = _consent.decode(row.consent)
    for news in _unplayed(connection, row.id, log):
        for name, topics in news.items():
            granted.setdefault(name, {}).update(topics)
    return Person(row, channel, topic, marks, granted, {}, may_grant)


def _marks(row: Addressee) -> dict[str, list[str]]:
    known = _addresses.decode(row.addresses)
    return {channel: [known[channel]] for channel in KINDS if channel in known}


def _unplayed(
    connection: Connection, profile_id: int, log: EventLog
) -> Iterable[dict[str, dict[str, bool]]]:
    """What events say of consent that the profile does not know of yet, in their order."""
    ((n_partitions,),) = connection.execute("SELECT count(*) FROM partition")
    number = profile_id % n_partitions if n_partitions else 0
    position = claims.positions(connection, [number]).get(number, 0) if n_partitions else 0
    rows = log.read_after(
        connection, position, limit=UNPLAYED_MAX, columns=("traits",),
        where="profile_id = ? AND traits IS NOT NULL", params=(profile_id,),
    )  # fmt: skip
    return [found for row in rows if (found := _object.decode(row[0]).get("$consent"))]


def _withdrawn(
    connection: Connection, person: Person
) -> dict[str, tuple[set[str], Instant | None]]:
    rows = connection.select_in(
        "SELECT address_hash, withdrawn, stopped_at FROM contact WHERE address_hash IN (?)",
        [bytes.fromhex(mark) for mark in all_marks(person)],
    )
    return {bytes(row[0]).hex(): (set(_topics.decode(row[1])), row[2]) for row in rows}


def locked(
    connection: Connection, person: Person, mark: str, now: Instant
) -> tuple[set[str], Instant | None]:
    """What is withdrawn from an address, its row locked until commit and made where it lacks."""
    channel = next(name for name, marks in person.marks.items() if mark in marks)
    rows = connection.execute(
        "INSERT INTO contact (address_hash, channel, withdrawn, updated_at) VALUES (?, ?, '[]', ?) "
        "ON CONFLICT (address_hash) DO UPDATE SET updated_at = excluded.updated_at "
        "RETURNING withdrawn, stopped_at",
        (bytes.fromhex(mark), channel, now),
    )
    return set(_topics.decode(rows[0][0])), rows[0][1]


def all_marks(person: Person) -> set[str]:
    return {mark for marks in person.marks.values() for mark in marks}


def note_withdrawn(person: Person, mark: str, topics: set[str]) -> None:
    for channel, marks in person.marks.items():
        if mark in marks:
            person.withdrawn.setdefault(channel, set()).update(topics)


def standing_of(person: Person, terms: Terms) -> Standing:
    choices = {
        (channel, topic): _is_on(person, channel, topic, terms)
        for topic in terms.topics
        for channel in KINDS
        if channel in person.marks and (not terms.channels or channel in terms.channels)
    }
    for channel, _ in choices:
        person.withdrawn.setdefault(channel, set())
    locale = _object.decode(person.row.traits).get("locale")
    shown = locale if isinstance(locale, str) else ""
    return Standing(person.row.id, shown, choices, person.may_grant)


def _is_on(person: Person, channel: str, topic: str, terms: Terms) -> bool:
    """As the gate of consent sees it (`engine.core.policy`)."""
    if person.withdrawn.get(channel, set()) & {topic, EVERYTHING}:
        return False
    said = person.granted.get(channel, {})
    answers = (said.get(topic), said.get(EVERYTHING))
    if topic in terms.double and answers[0] is not True:
        return False
    return False not in answers and (True in answers or terms.unknown_is_yes)
