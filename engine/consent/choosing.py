"""What people choose by their own hand: in the preference centre, or by confirming a question.

A "no" is on the contact row before anyone is told it worked, as an unsubscribe is (P10). A "yes"
takes back what that same person withdrew before (DECISIONS 11); it and every "no" also travel in
an event of the profile, so that the next address and every condition know. What stands here never
checks who asks: the token of the link did. Read before: `consent`, `unsubscribe`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from channels.delivery import DeliveryEvent
from engine.consent.standing import (
    Person,
    Place,
    Standing,
    Terms,
    all_marks,
    locked,
    note_withdrawn,
    receiver_of,
    standing_of,
)
from engine.consent.unsubscribe import EVERYTHING, PREFERENCES, SOURCE, enter
from engine.core.model.instants import Instant
from engine.failpoints import hit
from engine.hearing.feedback import take_in
from engine.store.connection import Connection
from engine.store.events import EventLog
from engine.store.people import text

CHANGED: Final = "Preferences Changed"


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
    person = receiver_of(connection, message, log)
    if person is None:
        return None
    # All contact rows first, and in order: attempts lock them so, and nobody waits in a circle.
    rows = {mark: locked(connection, person, mark, now) for mark in sorted(all_marks(person))}
    for mark, (topics, _) in rows.items():
        note_withdrawn(person, mark, topics)
    before = standing_of(person, terms)
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

    False where they may not: the message went to an address that is not theirs any more, or the
    API has refused all of that channel's topics for them.
    """
    person = receiver_of(connection, message, log)
    if person is None or not _may_grant(person, place[0]):
        return False
    rows = {mark: locked(connection, person, mark, now) for mark in sorted(all_marks(person))}
    for mark, (topics, _) in rows.items():
        note_withdrawn(person, mark, topics)
    changes = {place: True}
    after = {**standing_of(person, terms).choices, **changes}
    said = _write(connection, person, rows, after, changes, (), now=now)
    channel, topic = place
    said.setdefault(channel, {})[topic] = True  # also where no address of that channel is known yet
    enter(
        connection, [person.row.id], channel=channel, topic=topic, granted=True, at=now,
        source=source, proof=f"{source} of message {message}", text_version=text_version,
    )  # fmt: skip
    properties = {"message": message, "channel": channel, "topic": topic}
    log.append(connection, [_event(person.row.id, event, properties, said, now)], now=now)
    return True


def _may_grant(person: Person, channel: str) -> bool:
    """A "no" to all of a channel's topics that the API gave is the API's to take back."""
    return person.may_grant and person.granted.get(channel, {}).get(EVERYTHING) is not False


def _open_channels(
    person: Person, standing: Standing, rows: Mapping[str, tuple[set[str], Instant | None]]
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


def _write(
    connection: Connection,
    person: Person,
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
    person: Person,
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
