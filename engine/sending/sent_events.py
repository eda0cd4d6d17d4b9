"""Messages that a provider accepted become events of their profiles: "Message Sent".

One more event for every message is a fifth more work for the whole engine, so it is written only
while something that is live asks for it: a condition, a wait, a trigger. What was sent before the
release that first asked is not counted; deliveries, which providers report, always are.
"""

from collections.abc import Sequence
from typing import Final

from engine.core.model.campaigns import Program
from engine.core.model.instants import Instant
from engine.core.roster import roster_of
from engine.store.connection import Connection
from engine.store.events import EventLog, message_hash
from engine.store.people import text
from engine.store.queue import Outcome, addressees

MESSAGE_SENT: Final = "Message Sent"

_MESSAGES: Final = (
    "SELECT id, profile_id, campaign, step, variant, channel, topic, template FROM message "
    "WHERE id IN (?)"
)
_NAMES: Final = ("campaign", "step", "variant", "channel", "topic", "template")


def is_asked_for(program: Program) -> bool:
    """Whether anything live reacts to what is sent."""
    return MESSAGE_SENT in roster_of(program).mentioned


def record_sent(
    connection: Connection, outcomes: Sequence[Outcome], *, log: EventLog, now: Instant
) -> None:
    """Write the events of those outcomes that say "sent", in the caller's transaction."""
    sent = {it.message: it for it in outcomes if it.status == "sent"}
    if not sent:
        return
    messages = connection.select_in(_MESSAGES, list(sent))
    people = addressees(connection, {row[1] for row in messages})
    rows = []
    for row in messages:
        outcome, person = sent[row[0]], people.get(row[1])
        if person is None:
            continue  # erased meanwhile: there is nobody left to remember it of
        properties = {"message": row[0], **dict(zip(_NAMES, row[2:], strict=True))}
        key = message_hash("outbox", f"{outcome.message}:{outcome.number}")
        rows.append(
            (key, person.id, MESSAGE_SENT, outcome.at, now, 0, text(properties), "{}", None)
        )
    log.append(connection, rows, now=now)
