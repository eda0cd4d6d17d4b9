"""A person says no: the withdrawal is on the contact row before anyone is told it worked.

Attempts lock the same row before they commit (P10), so whichever comes first is complete when the
other begins. What stands here never checks who asks: the token of the link did.
"""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from channels.delivery import DeliveryEvent
from engine.core.model.instants import Instant
from engine.failpoints import hit
from engine.hearing.feedback import take_in
from engine.store.bulk import insert, reserve
from engine.store.connection import Connection
from engine.store.events import EventLog
from engine.store.people import TEXTED, text
from engine.store.placements import refused_topics
from engine.store.queue import Addressee, addressees, reached

Scope: TypeAlias = Literal["topic", "all"]

EVERYTHING: Final = "*"
"""Stands for all marketing on the channel, in `contact.withdrawn` and the consent ledger."""
SOURCE: Final = "unsubscribe link"
TEXT: Final = "text message"
PROVIDER: Final = "provider"
"""In the ledger: by which of three ways somebody said no. Only a text takes a text back."""
PREFERENCES: Final = "preference centre"
CONFIRMATION: Final = "confirmation link"
"""In the ledger: by their own hand. A "yes" of these takes back whatever they said before."""

UNADDRESSED: Final = "web"
"""The channel whose visitors have no address: they come by themselves."""

WITHDRAWN: Final = (
    f"source IN ('{SOURCE}', '{TEXT}', '{PROVIDER}', '{PREFERENCES}') AND granted = 0 "
    "AND NOT EXISTS (SELECT 1 FROM consent_change later "
    "WHERE later.profile_id = consent_change.profile_id "
    "AND later.channel = consent_change.channel "
    "AND later.granted = 1 AND later.id > consent_change.id "
    f"AND ((later.topic = consent_change.topic AND later.source = '{TEXT}' "
    f"AND consent_change.source NOT IN ('{SOURCE}', '{PREFERENCES}')) "
    f"OR (later.source IN ('{PREFERENCES}', '{CONFIRMATION}') "
    f"AND consent_change.topic IN (later.topic, '{EVERYTHING}'))))"
)
"""SQL: the rows of `consent_change` by which a person said no to us, and did not take it back."""

_addresses = msgspec.json.Decoder(dict[str, str])
_topics = msgspec.json.Decoder(list[str])


class Offer(Struct, frozen=True):
    """What a link withdraws from. `topic` is "*" where the message had none."""

    profile_id: int
    channel: str
    topic: str


class Withdrawal(Struct, frozen=True):
    """What was withdrawn. One that is repeated changed nothing."""

    channel: str
    topic: str
    is_repeated: bool


def offered(connection: Connection, message: int) -> Offer | None:
    """What the message's link offers, to be asked before it is done; None without the message."""
    rows = connection.execute(
        "SELECT profile_id, channel, topic FROM message WHERE id = ?", (message,)
    )
    return Offer(rows[0][0], rows[0][1], rows[0][2] or EVERYTHING) if rows else None


def withdraw(
    connection: Connection,
    *,
    message: int,
    scope: Scope,
    log: EventLog,
    now: Instant,
    proof: str,
    source: str = SOURCE,
    at: Instant | None = None,
) -> Withdrawal | None:
    """Withdraw a message's receiver from its topic, or from all marketing on its channel.

    Runs inside the caller's transaction: tell the person only once that is committed. Contact
    row, ledger, delivery status and the event "Message Unsubscribed" change together; asking
    again changes nothing. None if there is no such message.

    Args:
        proof: What shows that the person asked, for the ledger. Never an address.
        source: The way it came: SOURCE, TEXT or PROVIDER.
        at: When the person said so, where that was before `now`.
    """
    asked = offered(connection, message)
    if asked is None:
        return None
    topic = EVERYTHING if scope == "all" else asked.topic
    person = addressees(connection, [asked.profile_id]).get(asked.profile_id)
    # Who said no to a text's provider did so by a text, as far as anybody can tell.
    is_text = source == PROVIDER and asked.channel == TEXTED
    stopped_at = (now if at is None else at) if is_text else None
    # The contact rows first, and in order: attempts lock them so, and nobody waits in a circle.
    has_changed = False
    for address in sorted(_concerned(connection, message, person, asked.channel)):
        has_changed |= withdraw_address(
            connection, address, channel=asked.channel, topic=topic, now=now,
            stopped_at=stopped_at,
        )  # fmt: skip
    report = DeliveryEvent(
        kind="unsubscribed",
        message=message,
        event_id=f"{message}:{topic}",
        at=now if at is None else at,
        reason="all marketing" if topic == EVERYTHING else "",
    )
    said: str | None = None
    if asked.channel == UNADDRESSED and person is not None:
        # No address, so no contact row: the profile's consent says no when its event is played,
        # and what is shown asks the ledger before (`engine.standing`).
        said = text({"$consent": {asked.channel: {topic: False}}})
        has_changed = topic not in refused_topics(connection, [person.id]).get(person.id, ())
    is_new = take_in(connection, [report], provider=SOURCE, log=log, now=now, traits=said) > 0
    if has_changed and not is_new:
        # They had agreed again meanwhile: this is another "no" of the same message's reader.
        again = replace(report, event_id=f"{report.event_id}:{now}")
        is_new = take_in(connection, [again], provider=SOURCE, log=log, now=now, traits=said) > 0
    if is_new and person is not None:
        enter(
            connection, [person.id], channel=asked.channel, topic=topic, granted=False,
            at=report.at, source=source, proof=proof,
        )  # fmt: skip
    hit("unsubscribe commit")
    return Withdrawal(asked.channel, topic, is_repeated=not is_new)


def _concerned(
    connection: Connection, message: int, person: Addressee | None, channel: str
) -> set[str]:
    """The addresses that a "no" is about: the one the message went to, and the present one.

    Whoever reads the old mailbox said no for it; the person said no wherever we reach them now.
    """
    found = set(reached(connection, [message]).values())
    present = _addresses.decode(person.addresses).get(channel) if person else None
    return found | {present} if present is not None else found


def withdraw_address(
    connection: Connection,
    address: str,
    *,
    channel: str,
    topic: str,
    now: Instant,
    stopped_at: Instant | None = None,
) -> bool:
    """Add the topic to the contact row, locked until commit; make the row where it lacks.

    A person may agree again and withdraw again: the row follows, whatever the ledger has seen.

    Args:
        address: The hash, in hex.
        stopped_at: When a text said STOP, which START takes back; None for any other way.
    Returns:
        Whether that changed anything.
    """
    key = bytes.fromhex(address)
    rows = connection.execute(
        "INSERT INTO contact (address_hash, channel, withdrawn, updated_at) VALUES (?, ?, '[]', ?) "
        "ON CONFLICT (address_hash) DO UPDATE SET updated_at = excluded.updated_at "
        "RETURNING withdrawn, stopped_at",
        (key, channel, now),
    )
    before, was_stopped_at = set(_topics.decode(rows[0][0])), rows[0][1]
    if stopped_at is not None:
        if EVERYTHING in before:
            return False
        after = {*before, EVERYTHING}
    elif topic == EVERYTHING:
        after = {EVERYTHING}  # from here on a START takes nothing back
    elif EVERYTHING in before and was_stopped_at is None:
        return False
    else:
        after, stopped_at = {*before, topic}, was_stopped_at
    if after == before and stopped_at == was_stopped_at:
        return False
    connection.execute(
        "UPDATE contact SET withdrawn = ?, stopped_at = ? WHERE address_hash = ?",
        (text(sorted(after)), stopped_at, key),
    )
    return True


def give_back(connection: Connection, address: str, *, at: Instant, now: Instant) -> bool:
    """Take a STOP back, if there was one before `at` and nothing but a STOP; whether there was."""
    key = bytes.fromhex(address)
    rows = connection.execute(
        "UPDATE contact SET updated_at = ? WHERE address_hash = ? AND stopped_at <= ? "
        "RETURNING withdrawn",
        (now, key, at),
    )
    for (withdrawn,) in rows:
        left = [topic for topic in _topics.decode(withdrawn) if topic != EVERYTHING]
        connection.execute(
            "UPDATE contact SET withdrawn = ?, stopped_at = NULL WHERE address_hash = ?",
            (text(left), key),
        )
    return bool(rows)


def enter(
    connection: Connection,
    profiles: Sequence[int],
    *,
    channel: str,
    topic: str,
    granted: bool,
    at: Instant,
    source: str,
    proof: str,
    text_version: str = "",
) -> None:
    """Write into the ledger what people said, one row each.

    Args:
        text_version: Which words of ours they read, where they read any.
    """
    if not profiles:
        return
    first = reserve(connection, "consent_change", len(profiles))
    insert(
        connection,
        "consent_change",
        (
            "id", "profile_id", "channel", "topic", "granted", "at", "source", "proof",
            "text_version",
        ),
        [
            (number, profile, channel, topic, int(granted), at, source, proof, text_version)
            for number, profile in enumerate(profiles, start=first)
        ],
    )  # fmt: skip
