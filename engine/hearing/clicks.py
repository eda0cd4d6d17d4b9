"""Clicks on our own links: durable at once, told two seconds later.

Only together do the clicks of a scanner show what they are, and an event that a journey has acted
upon cannot be taken back. So a click waits in `link_click` for as long as others may come that tell
it apart; then it becomes "Message Clicked", a machine's with `is_machine`. Read next: `machines`.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from channels.delivery import DeliveryEvent
from engine.core.model.instants import MINUTE, SECOND, Instant
from engine.hearing.hear import note
from engine.hearing.machines import BURST, TRAP_SPAN, Click, reasons
from engine.store.bulk import insert
from engine.store.connection import Connection
from engine.store.events import EventLog
from engine.store.queue import MARKETING

HOLD: Final = BURST
TOLD_MAX: Final = 250
KEPT: Final = MINUTE
"""So long a click that was told is kept, for those that come after it."""

_COLUMNS: Final = ("message_id", "link", "second", "sign", "at", "is_told")


def follow(connection: Connection, clicks: Sequence[tuple[int, Click]]) -> None:
    """Keep clicks, each with its message. People click twice; within a second it is one click."""
    insert(
        connection,
        "link_click",
        _COLUMNS,
        [(message, it.link, it.at // SECOND, it.sign, it.at, 0) for message, it in clicks],
        on_conflict="ignore",
    )


def tell(connection: Connection, *, log: EventLog, now: Instant) -> Instant | None:
    """Let clicks that have waited long enough become events; when the next wants to, if any does.

    Some at a time, the oldest first, so that nobody's own click waits long for the others'.
    """
    until = now - HOLD
    end = connection.execute(
        "SELECT at FROM link_click WHERE is_told = 0 AND at <= ? ORDER BY at LIMIT 1 OFFSET ?",
        (until, TOLD_MAX - 1),
    )
    rows = connection.execute(
        "UPDATE link_click SET is_told = 1 WHERE is_told = 0 AND at <= ? "
        "RETURNING message_id, link, second, sign, at",
        (end[0][0] if end else until,),
    )
    if rows:
        # The earliest first: of two clicks of one message it is the one that counts.
        rows.sort(key=lambda row: (row[4], *row[:4]))
        why = _reasons(connection, [(row[0], Click(row[1], row[4], row[3])) for row in rows])
        reports = [
            DeliveryEvent(
                kind="clicked",
                message=message,
                event_id=f"clicked:{message}:{link}:{int(bool(sign))}:{second}",
                at=at,
                is_machine=bool(reason),
                reason=reason,
            )
            for (message, link, second, sign, at), reason in zip(rows, why, strict=True)
        ]
        note(connection, reports, log=log, now=now)
    connection.execute("DELETE FROM link_click WHERE is_told = 1 AND at < ?", (now - KEPT,))
    ((earliest,),) = connection.execute("SELECT min(at) FROM link_click WHERE is_told = 0")
    return None if earliest is None else int(earliest) + HOLD


def _reasons(connection: Connection, told: Sequence[tuple[int, Click]]) -> list[str]:
    """Why each is a machine's, judged with all that was clicked around it."""
    messages = sorted({message for message, _ in told})
    around: dict[int, list[Click]] = defaultdict(list)
    for message, link, at, sign in connection.select_in(
        "SELECT message_id, link, at, sign FROM link_click WHERE message_id IN (?) AND at >= ?",
        messages,
        (min(it.at for _, it in told) - TRAP_SPAN,),
    ):
        around[message].append(Click(link, at, sign))
    arrived = _arrived(connection, messages)
    found: dict[tuple[int, Click], str] = {}
    for message, clicks in around.items():
        verdicts = reasons(clicks, delivered_at=arrived.get(message))
        found.update({(message, it): why for it, why in zip(clicks, verdicts, strict=True)})
    return [found[it] for it in told]


def _arrived(connection: Connection, messages: Sequence[int]) -> dict[int, Instant]:
    """When marketing mails arrived, or were taken by their provider as far as we know.

    A code or a receipt may well be waited for, and a text is read at once: they are left out.
    """
    mails = [
        row[0]
        for row in connection.select_in(
            "SELECT id FROM message WHERE id IN (?) AND channel = 'email' AND lane = ?",
            messages,
            (MARKETING,),
        )
    ]
    found: dict[int, Instant] = {}
    for sql in (
        "SELECT message_id, max(finished_at) FROM attempt WHERE message_id IN (?) "
        "AND outcome = 'accepted' AND finished_at IS NOT NULL GROUP BY message_id",
        "SELECT message_id, min(at) FROM delivery_event WHERE message_id IN (?) "
        "AND kind = 'delivered' GROUP BY message_id",
    ):
        found.update({row[0]: row[1] for row in connection.select_in(sql, mails)})
    return found
