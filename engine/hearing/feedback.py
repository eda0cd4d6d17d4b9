"""What providers and people report about messages: delivery rows, suppressions, events.

A report is taken in once, whatever order and however often it comes: a hash of (provider, event
id) is kept for ever, and `delivery.status` only moves forward along ORDER. Hard bounces and
complaints suppress the address in the same transaction, soft bounces when there were enough. Each
report also becomes an event of the profile ("Message Clicked"), which campaigns can trigger on.
What is told here is believed: `hearing` asks first whether a provider may speak of a message.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from channels.delivery import DeliveryEvent
from engine.core.model.instants import Instant
from engine.failpoints import hit
from engine.hearing.settling import settle
from engine.store import bulk
from engine.store.connection import Connection, Row
from engine.store.events import EventLog, message_hash
from engine.store.people import text
from engine.store.queue import Addressee, addressees, reached
from engine.store.suppressions import Suppression, bounced_softly, suppress

ORDER: Final[Mapping[str, int]] = {
    "queued": 0, "sent": 1, "deferred": 2, "delivered": 3, "displayed": 4, "dismissed": 4,
    "opened": 5, "clicked": 6, "bounced": 10, "undelivered": 10, "rejected": 10, "failed": 10,
    "unsubscribed": 11, "complained": 12,
}  # fmt: skip
"""How far each report says a message came. A later one of lower rank changes nothing."""

EVENT_NAMES: Final[Mapping[str, str]] = {
    "delivered": "Message Delivered",
    "deferred": "Message Deferred",
    "bounced": "Message Bounced",
    "undelivered": "Message Undelivered",
    "rejected": "Message Rejected",
    "failed": "Message Failed",
    "displayed": "Message Displayed",
    "dismissed": "Message Dismissed",
    "opened": "Message Opened",
    "clicked": "Message Clicked",
    "complained": "Message Complained",
    "unsubscribed": "Message Unsubscribed",
}

FAILURES: Final = frozenset({"bounced", "undelivered", "rejected", "failed"})
"""Reports that may say something of the address: what, is said by their bounce class."""
SOFT: Final = frozenset({"soft", "undetermined"})
"""Not now. A block or a fault of our own (`message`) says nothing of the address."""
WORDS_MAX: Final = 500
"""Of a reason or an address of a link, in characters."""

_addresses: Final = msgspec.json.Decoder(dict[str, str])
_MESSAGES = "SELECT id, profile_id, campaign, step, variant, channel, topic, template FROM message"


def take_in(
    connection: Connection,
    reports: Sequence[DeliveryEvent],
    *,
    provider: str,
    log: EventLog,
    now: Instant,
    traits: str | None = None,
) -> int:
    """Record delivery events within the caller's transaction; give how many were new.

    Reports about messages we do not know are kept (so that a repeat is a repeat) and otherwise
    ignored.

    Args:
        traits: JSON of what their events tell of the profile; consent may be in it.
    """
    fresh = unseen(connection, reports, provider)
    if not fresh:
        return 0
    messages = {
        row[0]: row
        for row in connection.select_in(
            f"{_MESSAGES} WHERE id IN (?)",
            list({it.message for it in fresh if it.message is not None}),
        )
    }
    known = [it for it in fresh if it.message in messages]
    move_forward(connection, known)
    settle(connection, known, now=now)
    people = addressees(connection, {messages[it.message][1] for it in known})
    _suppress(connection, known, messages, people, provider=provider, now=now)
    log.append(
        connection,
        [
            (
                *_event_row(
                    it, messages[it.message], people[messages[it.message][1]].id, provider, now
                ),
                traits,
            )
            for it in known
            if it.kind in EVENT_NAMES and messages[it.message][1] in people
        ],
        now=now,
    )
    hit("webhook commit")
    return len(fresh)


def _suppress(
    connection: Connection,
    reports: Sequence[DeliveryEvent],
    messages: Mapping[int, Row],
    people: Mapping[int, Addressee],
    *,
    provider: str,
    now: Instant,
) -> None:
    """Suppress the addresses that bounces and complaints are about: those the messages went to.

    The profile may have another address by now, which is innocent. Only a message from before
    attempts kept their address is looked up by its profile.
    """
    about: dict[int, list[DeliveryEvent]] = {}
    for it in reports:
        if _concerns_address(it) and it.message is not None:
            about.setdefault(it.message, []).append(it)
    went_to = reached(connection, list(about))
    found: list[Suppression] = []
    soft: list[tuple[str, str, int, Instant]] = []
    for message, told in about.items():
        _, profile_id, _, _, _, channel, *_ = messages[message]
        address = went_to.get(message)
        if address is None and profile_id in people:
            address = _addresses.decode(people[profile_id].addresses).get(channel)
        if address is None:
            continue
        for it in told:
            if it.kind == "complained" or it.bounce_class == "hard":
                why = "complaint" if it.kind == "complained" else "hard bounce"
                found.append(Suppression(address, channel, why, provider, it.at))
            else:
                soft.append((address, channel, message, it.at))
    if found:
        suppress(connection, found, now=now)
    if soft:
        bounced_softly(connection, soft, by=provider, now=now)


def _concerns_address(it: DeliveryEvent) -> bool:
    """Whether a report is a reason to reach an address less, or not at all."""
    if it.kind == "bounced" and it.bounce_class is None:
        return True  # a bounce that says nothing more counts as soft
    return it.kind == "complained" or (
        it.kind in FAILURES and (it.bounce_class == "hard" or it.bounce_class in SOFT)
    )


def unseen(
    connection: Connection, reports: Sequence[DeliveryEvent], provider: str
) -> list[DeliveryEvent]:
    """Those that were never told before, each once; from now on they were."""
    by_hash = {event_hash(provider, it.event_id): it for it in reversed(reports)}
    seen = {
        bytes(row[0])
        for row in connection.select_in(
            "SELECT event_hash FROM delivery_event WHERE event_hash IN (?)", list(by_hash)
        )
    }
    fresh = {key: it for key, it in reversed(by_hash.items()) if key not in seen}
    bulk.insert(
        connection,
        "delivery_event",
        ("event_hash", "message_id", "kind", "at", "bounce"),
        [(k, it.message or 0, it.kind, it.at, it.bounce_class or "") for k, it in fresh.items()],
        on_conflict="ignore",
    )
    return list(fresh.values())


def event_hash(provider: str, event_id: str) -> bytes:
    """What repeats of one report share."""
    return hashlib.sha256(f"{provider}\0{event_id}".encode()).digest()[:16]


def move_forward(connection: Connection, reports: Sequence[DeliveryEvent]) -> None:
    """Merge reports of known messages into `delivery`: the highest rank wins, first open and click
    are kept."""
    ids = list({it.message for it in reports if it.message is not None})
    rows: dict[int, Row] = {
        row[0]: row
        for row in connection.select_in(
            "SELECT message_id, status, at, opened_at, clicked_at FROM delivery "
            "WHERE message_id IN (?)",
            ids,
        )
    }
    for it in reports:
        assert it.message is not None
        rows[it.message] = merged(rows.get(it.message), it)
    bulk.insert(
        connection,
        "delivery",
        ("message_id", "status", "at", "opened_at", "clicked_at"),
        list(rows.values()),
        on_conflict="replace",
    )


def merged(row: Row | None, it: DeliveryEvent) -> Row:
    """A delivery row after one more report; the same whatever order reports come in.

    Machine opens and clicks (scanners, privacy relays) count as delivered, never as read.
    """
    kind: str = it.kind if it.kind in ORDER else "queued"
    if it.is_machine and kind in ("opened", "clicked"):
        kind = "delivered"
    if row is None:
        row = (it.message, "queued", it.at, None, None)
    message, status, at, opened_at, clicked_at = row
    # Of one rank the earliest counts, and of one instant the name decides: never who came first.
    if (ORDER[kind], -it.at, kind) > (ORDER[status], -at, status):
        status, at = kind, it.at
    if kind == "opened":
        opened_at = it.at if opened_at is None else min(opened_at, it.at)
    if kind == "clicked":
        clicked_at = it.at if clicked_at is None else min(clicked_at, it.at)
    return (message, status, at, opened_at, clicked_at)


def _event_row(
    it: DeliveryEvent, message: Row, profile_id: int, provider: str, now: Instant
) -> Row:
    """An event as the log has it, but for its traits."""
    message_id, _, campaign, step, variant, channel, topic, template = message
    properties = {
        "message": message_id,
        "campaign": campaign,
        "step": step,
        "variant": variant,
        "channel": channel,
        "topic": topic,
        "template": template,
        "is_machine": it.is_machine,
    }
    if it.reason:
        properties["reason"] = it.reason[:WORDS_MAX]
    if it.code:
        properties["code"] = it.code[:WORDS_MAX]
    if it.url:
        properties["url"] = it.url[:WORDS_MAX]
    if it.bounce_class:
        properties["bounce_class"] = it.bounce_class
    return (
        message_hash(provider, it.event_id), profile_id, EVENT_NAMES[it.kind], it.at, now, 0,
        text(properties), "{}",
    )  # fmt: skip
