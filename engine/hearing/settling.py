"""Attempts of unclear fate whose message turns up after all: a report about it is the answer.

Whoever bounces, delivers or clicks a message has got it: the attempt was accepted, and no copy is
sent any more. The way back does not exist: a silence proves nothing (P4, P5). Nor does a "no": an
operator may enter one for a message that never arrived.
"""

from collections.abc import Collection, Sequence

from channels.delivery import DeliveryEvent
from engine.core.model.instants import Instant
from engine.store import bulk
from engine.store.connection import Connection

WHY = "the provider's answer was lost; a later report shows that it took the message"


def settle(connection: Connection, reports: Sequence[DeliveryEvent], *, now: Instant) -> list[int]:
    """Record that the ambiguous attempts at these messages were accepted; give the messages.

    Only a message that is `unknown`, or waits to be tried again, becomes sent. While an attempt is
    open its own outcome comes first (`settle_reported`).
    """
    named: dict[int, str] = {}
    for it in reports:
        if it.kind == "unsubscribed":
            continue
        if it.message is not None and (it.provider_id or it.message not in named):
            named[it.message] = it.provider_id
    return _settle(connection, named, now=now)


def settle_reported(
    connection: Connection, messages: Collection[int], *, now: Instant
) -> list[int]:
    """`settle` for messages whose attempt has just ended in doubt: their reports came before."""
    rows = connection.select_in(
        "SELECT message_id FROM delivery WHERE message_id IN (?) AND status <> 'unsubscribed'",
        sorted(messages),
    )
    return _settle(connection, {row[0]: "" for row in rows}, now=now)


def _settle(connection: Connection, named: dict[int, str], *, now: Instant) -> list[int]:
    """`named` gives what the provider calls each message, "" where it did not say."""
    doubtful: dict[int, int] = dict(
        sorted(
            connection.select_in(
                "SELECT message_id, number FROM attempt WHERE message_id IN (?) "
                "AND outcome = 'ambiguous'",
                sorted(named),
            )
        )
    )
    if not doubtful:
        return []
    # The message first: whoever begins another attempt at it takes this row, too.
    taken = connection.select_in(
        "UPDATE message SET status = 'sent', reason = '' WHERE id IN (?) "
        "AND status IN ('unknown', 'queued') RETURNING id",
        sorted(doubtful),
    )
    messages = sorted({row[0] for row in taken})
    bulk.update(
        connection,
        "attempt",
        ("message_id", "number"),
        ("finished_at", "outcome", "provider_id", "detail"),
        [(id, doubtful[id], now, "accepted", named[id], WHY) for id in messages],
    )
    return messages
