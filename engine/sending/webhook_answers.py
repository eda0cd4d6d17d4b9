"""What came of a webhook step's call goes back to the journey: as an event of ours, to be played.

Written in the very transaction that settles the call, whoever settles it: its answer, a gate, or
the start after a crash. So nobody waits for an answer that the database already has.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from engine.core.journeys.webhooks import WEBHOOK_ANSWERED
from engine.core.model.instants import Instant
from engine.store.connection import Connection
from engine.store.events import OURS, EventLog, message_hash
from engine.store.people import text
from engine.store.queue import WEBHOOK, addressees

SETTLED: Final = ("sent", "failed", "dropped", "unknown")

_any: Final = msgspec.json.Decoder()


def tell_journeys(
    connection: Connection, messages: Sequence[int], *, log: EventLog, now: Instant
) -> int:
    """Write the answers of those calls among these messages that are settled; give how many.

    Each is told once, also where somebody settles it again.
    """
    marks = ", ".join(f"'{status}'" for status in SETTLED)
    rows = connection.select_in(
        "SELECT id, profile_id, campaign, step, status, reason FROM message "
        f"WHERE id IN (?) AND channel = '{WEBHOOK}' AND status IN ({marks})",
        sorted(set(messages)),
    )
    if not rows:
        return 0
    told = log.known(connection, [_hash(row[0]) for row in rows], now=now)
    rows = [row for row in rows if _hash(row[0]) not in told]
    attempts = connection.select_in(
        "SELECT message_id, detail FROM attempt WHERE message_id IN (?) AND outcome = 'accepted'",
        [row[0] for row in rows],
    )
    replies = {row[0]: row[1] for row in attempts}
    people = addressees(connection, {row[1] for row in rows})
    facts = []
    for message, profile_id, campaign, step, status, reason in rows:
        person = people.get(profile_id)
        if person is None or person.erased_at is not None:
            continue
        said: dict[str, Any] = {"message": message, "campaign": campaign, "step": step}
        if status != "sent":
            said["why"] = reason or status
        elif replies.get(message):
            said["reply"] = _any.decode(replies[message])
        facts.append(
            (
                _hash(message), person.id, WEBHOOK_ANSWERED, now, now, OURS, text(said), "{}",
                None,
            )
        )  # fmt: skip
    log.append(connection, facts, now=now)
    return len(facts)


def _hash(message: int) -> bytes:
    return message_hash(WEBHOOK, str(message))
