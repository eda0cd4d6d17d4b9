"""A person says no: the withdrawal is on the contact row before anyone is told it worked.

Attempts lock the same row before they commit (P10), so whichever comes first is complete when the
other begins. What stands here never checks who asks: the token of the link did.
"""

from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from channels.base import DeliveryEvent
from engine.core.model import Instant
from engine.failpoints import hit
from engine.sending.feedback import take_in
from engine.store.bulk import insert, reserve
from engine.store.connection import Connection
from engine.store.events import EventLog
from engine.store.people import text
from engine.store.queue import Addressee, addressees, reached

Scope: TypeAlias = Literal["topic", "all"]

EVERYTHING: Final = "*"
"""Stands for all marketing on the channel, in `contact.withdrawn` and the consent ledger."""
SOURCE: Final = "unsubscribe link"

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
    connection: Connection, *, message: int, scope: Scope, log: EventLog, now: Instant, proof: str
) -> Withdrawal | None:
    """Withdraw a message's receiver from its topic, or from all marketing on its channel.

    Runs inside the caller's transaction: tell the person only once that is committed. Contact
    row, ledger, delivery status and the event "Message Unsubscribed" change together; asking
    again changes nothing. None if there is no such message.

    Args:
        proof: What shows that the person asked, for the ledger. Never an address.
    """
    asked = offered(connection, message)
    if asked is None:
        return None
    topic = EVERYTHING if scope == "all" else asked.topic
    person = addressees(connection, [asked.profile_id]).get(asked.profile_id)
    # The contact rows first, and in order: attempts lock them so, and nobody waits in a circle.
    for address in sorted(_concerned(connection, message, person, asked.channel)):
        _withdraw_contact(connection, address, channel=asked.channel, topic=topic, now=now)
    report = DeliveryEvent(
        kind="unsubscribed",
        message=message,
        event_id=f"{message}:{topic}",
        at=now,
        reason="all marketing" if topic == EVERYTHING else "",
    )
    is_new = take_in(connection, [report], provider=SOURCE, log=log, now=now) > 0
    if is_new and person is not None:
        ledger_id = reserve(connection, "consent_change", 1)
        insert(
            connection,
            "consent_change",
            ("id", "profile_id", "channel", "topic", "granted", "at", "source", "proof"),
            [(ledger_id, person.id, asked.channel, topic, 0, now, SOURCE, proof)],
        )
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


def _withdraw_contact(
    connection: Connection, address: str, *, channel: str, topic: str, now: Instant
) -> None:
    """Add the topic to the contact row, locked until commit; make the row where it lacks.

    A person may agree again and withdraw again: the row follows, whatever the ledger has seen.
    """
    key = bytes.fromhex(address)
    rows = connection.execute(
        "INSERT INTO contact (address_hash, channel, withdrawn, updated_at) VALUES (?, ?, '[]', ?) "
        "ON CONFLICT (address_hash) DO UPDATE SET updated_at = excluded.updated_at "
        "RETURNING withdrawn",
        (key, channel, now),
    )
    topics = _topics.decode(rows[0][0])
    if topic in topics or EVERYTHING in topics:
        return
    withdrawn = [EVERYTHING] if topic == EVERYTHING else sorted({*topics, topic})
    connection.execute(
        "UPDATE contact SET withdrawn = ? WHERE address_hash = ?", (text(withdrawn), key)
    )
