"""What a person has agreed to, and what they choose by their own hand in the preference centre.

A "no" is on the contact row before anyone is told it worked, as an unsubscribe is (P10). A "yes"
takes back what that same person withdrew before (DECISIONS 11); it and every "no" also travel in
an event of the profile, so that the next address and every condition know. What stands here never
checks who asks: the token of the link did. Read next: `unsubscribe`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from channels.base import DeliveryEvent
from engine.core.model import Instant
from engine.failpoints import hit
from engine.sending.feedback import take_in
from engine.sending.unsubscribe import EVERYTHING, PREFERENCES, SOURCE, enter
from engine.store import claims
from engine.store.connection import Connection
from engine.store.events import EventLog
from engine.store.people import text
from engine.store.queue import Addressee, addressees, reached

CHANGED: Final = "Preferences Changed"
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


class _Person(Struct):
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
    person = _receiver(connection, message, log)
    if person is None:
        return None
    for mark, (topics, _) in _withdrawn(connection, person).items():
        _note(person, mark, topics)
    return _standing(person, terms)


def choose(
    connection: Connection,
    *,
    message: int,
    terms: Terms,
    wanted: Mapping[Place, bool] | None,
    log: EventLog,
    now: Instant,
    text_version: str = "",
) -> Standing | None:
    """Let a message's receiver have what they chose; give what stands then.

    Runs inside the caller's transaction: tell the person only once that is committed. What stands
    already changes nothing, so asking twice is fine.

    Args:
        wanted: What they saw, and now want; None for no marketing at all.
        text_version: Which words they read, for the ledger.
    """
    person = _receiver(connection, message, log)
    if person is None:
        return None
    # All contact rows first, and in order: attempts lock them so, and nobody waits in a circle.
    rows = {mark: _locked(connection, person, mark, now) for mark in sorted(_all_marks(person))}
    for mark, (topics, _) in rows.items():
        _note(person, mark, topics)
    before = _standing(person, terms)
    chosen = dict.fromkeys(before.choices, False) if wanted is None else wanted
    changes = {
        place: yes
        for place, yes in chosen.items()
        if before.choices.get(place, yes) != yes and (not yes or _may_grant(person, place[0]))
    }
    everything = _open_channels(person, before, rows) if wanted is None else []
    if not changes and not everything:
        return before
    after = {**before.choices, **changes}
    said = _write(connection, person, rows, after, changes, everything, now=now)
    proof = f"preference centre, message {message}"
    for channel, topic, granted in [
        *((channel, EVERYTHING, False) for channel in everything),
        *((channel, topic, yes) for (channel, topic), yes in changes.items()),
    ]:
        enter(
            connection, [person.row.id], channel=channel, topic=topic, granted=granted, at=now,
            source=PREFERENCES, proof=proof, text_version=text_version,
        )  # fmt: skip
    _tell(connection, person, said, changes, everything, message=message, log=log, now=now)
    hit("unsubscribe commit")
    return msgspec.structs.replace(before, choices=after)


def grant(
    connection: Connection,
    *,
    message: int,
    place: Place,
    terms: Terms,
    source: str,
    event: str,
    log: EventLog,
    now: Instant,
    text_version: str = "",
) -> bool:
    """Write one "yes" that the reader of a message gave by their own act, even if it stood before.

    False where they may not: the message went to an address that is not theirs any more.
    """
    person = _receiver(connection, message, log)
    if person is None or not person.may_grant:
        return False
    rows = {mark: _locked(connection, person, mark, now) for mark in sorted(_all_marks(person))}
    for mark, (topics, _) in rows.items():
        _note(person, mark, topics)
    changes = {place: True}
    after = {**_standing(person, terms).choices, **changes}
    said = _write(connection, person, rows, after, changes, (), now=now)
    channel, topic = place
    enter(
        connection, [person.row.id], channel=channel, topic=topic, granted=True, at=now,
        source=source, proof=f"{source} of message {message}", text_version=text_version,
    )  # fmt: skip
    properties = {"message": message, "channel": channel, "topic": topic}
    log.append(connection, [_event(person.row.id, event, properties, said, now)], now=now)
    return True


# --- who it is and what stands ------------------------------------------------------------------


def _receiver(connection: Connection, message: int, log: EventLog) -> _Person | None:
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
    may_grant = went_to is None or went_to in marks.get(channel, ())
    if went_to is not None and not may_grant:
        # Whoever reads the old mailbox says no for it, too.
        marks.setdefault(channel, []).append(went_to)
    granted = _consent.decode(row.consent)
    for news in _unplayed(connection, row.id, log):
        for name, topics in news.items():
            granted.setdefault(name, {}).update(topics)
    return _Person(row, channel, topic, marks, granted, {}, may_grant)


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
    connection: Connection, person: _Person
) -> dict[str, tuple[set[str], Instant | None]]:
    rows = connection.select_in(
        "SELECT address_hash, withdrawn, stopped_at FROM contact WHERE address_hash IN (?)",
        [bytes.fromhex(mark) for mark in _all_marks(person)],
    )
    return {bytes(row[0]).hex(): (set(_topics.decode(row[1])), row[2]) for row in rows}


def _locked(
    connection: Connection, person: _Person, mark: str, now: Instant
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


def _all_marks(person: _Person) -> set[str]:
    return {mark for marks in person.marks.values() for mark in marks}


def _note(person: _Person, mark: str, topics: set[str]) -> None:
    for channel, marks in person.marks.items():
        if mark in marks:
            person.withdrawn.setdefault(channel, set()).update(topics)


def _standing(person: _Person, terms: Terms) -> Standing:
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


def _is_on(person: _Person, channel: str, topic: str, terms: Terms) -> bool:
    """As the gate of consent sees it (`engine.core.policy`)."""
    if person.withdrawn.get(channel, set()) & {topic, EVERYTHING}:
        return False
    said = person.granted.get(channel, {})
    answers = (said.get(topic), said.get(EVERYTHING))
    if topic in terms.double and answers[0] is not True:
        return False
    return False not in answers and (True in answers or terms.unknown_is_yes)


def _may_grant(person: _Person, channel: str) -> bool:
    """A "no" to all of a channel's topics that the API gave is the API's to take back."""
    return person.may_grant and person.granted.get(channel, {}).get(EVERYTHING) is not False


def _open_channels(
    person: _Person, standing: Standing, rows: Mapping[str, tuple[set[str], Instant | None]]
) -> list[str]:
    """Channels of which something may come yet, or might again after a text."""
    return [
        channel
        for channel in dict.fromkeys(channel for channel, _ in standing.choices)
        if any(
            EVERYTHING not in rows[mark][0] or rows[mark][1] is not None
            for mark in person.marks[channel]
        )
    ]


# --- what is written ----------------------------------------------------------------------------


def _write(
    connection: Connection,
    person: _Person,
    rows: Mapping[str, tuple[set[str], Instant | None]],
    after: Mapping[Place, bool],
    changes: Mapping[Place, bool],
    everything: Sequence[str],
    *,
    now: Instant,
) -> dict[str, dict[str, bool]]:
    """Change the contact rows; give what the profile must learn, by channel and topic."""
    said: dict[str, dict[str, bool]] = {}
    for channel, marks in person.marks.items():
        here = {topic: yes for (name, topic), yes in changes.items() if name == channel}
        off = {topic for (name, topic), yes in after.items() if name == channel and not yes}
        if channel in everything:
            for mark in marks:
                _set(connection, mark, {EVERYTHING}, None, now=now)
            said[channel] = dict.fromkeys(off, False)
        elif here:
            lifted = {topic for topic, yes in here.items() if yes}
            refused = here.keys() - lifted
            for mark in marks:
                topics, stopped_at = rows[mark]
                _set(connection, mark, topics | refused, stopped_at, now=now)
            held = {mark: (rows[mark][0] | refused, rows[mark][1]) for mark in marks}
            was_all = any(EVERYTHING in topics for topics, _ in held.values())
            if lifted:
                _lift(connection, held, marks, lifted, keep=frozenset(off), now=now)
            # Under "no marketing at all" nobody had to say what each topic stands at.
            said[channel] = {**(dict.fromkeys(off, False) if was_all else {}), **here}
    return said


def _lift(
    connection: Connection,
    rows: Mapping[str, tuple[set[str], Instant | None]],
    marks: Iterable[str],
    topics: set[str],
    *,
    keep: frozenset[str],
    now: Instant,
) -> None:
    """Take topics back from what is withdrawn; of "everything" the topics in `keep` stay."""
    for mark in marks:
        withdrawn, _ = rows[mark]
        if EVERYTHING in withdrawn:
            withdrawn = (withdrawn - {EVERYTHING}) | keep
        _set(connection, mark, withdrawn - topics, None, now=now)


def _set(
    connection: Connection,
    mark: str,
    topics: Iterable[str],
    stopped_at: Instant | None,
    *,
    now: Instant,
) -> None:
    connection.execute(
        "UPDATE contact SET withdrawn = ?, stopped_at = ?, updated_at = ? WHERE address_hash = ?",
        (text(sorted(topics)), stopped_at, now, bytes.fromhex(mark)),
    )


def _tell(
    connection: Connection,
    person: _Person,
    said: Mapping[str, Mapping[str, bool]],
    changes: Mapping[Place, bool],
    everything: Sequence[str],
    *,
    message: int,
    log: EventLog,
    now: Instant,
) -> None:
    """Let the profile, the message and whoever waits for either know."""
    is_all = person.channel in everything
    if is_all or changes.get((person.channel, person.topic)) is False:
        # For guardrails and reports it is an unsubscribe like any other.
        topic = EVERYTHING if is_all else person.topic
        report = DeliveryEvent(
            kind="unsubscribed",
            message=message,
            event_id=f"{message}:{topic}:{now}",
            at=now,
            reason="all marketing" if is_all else "",
        )
        take_in(connection, [report], provider=SOURCE, log=log, now=now)
    properties = {
        "message": message,
        "granted": [f"{channel}:{topic}" for (channel, topic), yes in changes.items() if yes],
        "refused": [f"{channel}:{topic}" for (channel, topic), yes in changes.items() if not yes],
        "stopped": list(everything),
    }
    row = _event(person.row.id, CHANGED, properties, said, now)
    log.append(connection, [row], now=now)


def _event(
    profile_id: int,
    name: str,
    properties: Mapping[str, Any],
    said: Mapping[str, Mapping[str, bool]],
    now: Instant,
) -> tuple[Any, ...]:
    return (
        None, profile_id, name, now, now, 0, text(properties), "{}",
        text({"$consent": {channel: dict(topics) for channel, topics in said.items()}}),
    )  # fmt: skip
