"""Double opt-in, its first half: a consent that somebody claims for a person is a question to it.

It grants nothing. It becomes the event "Consent Requested", which a campaign answers with a message
that carries the link. Nobody is asked without end: anyone may type in anyone's address. Read next:
`engine.consent.confirming`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from engine.core.model.instants import DAY, HOUR, Instant
from engine.store.bulk import insert
from engine.store.connection import Connection
from engine.store.events import EventLog
from engine.store.people import text

REQUESTED: Final = "Consent Requested"
ASKS: Final = "confirms"
"""The property that says for what a message asks: `email:offers`."""

EXPIRES: Final = 7 * DAY
AGAIN: Final = HOUR
"""A request within an hour of one that led to a message leads to none."""
MAILS_MAX: Final = 3
MAILS_AFTER_NO_MAX: Final = 1
"""In seven days; of someone who had said no: clients resend yesterday's consent on every page."""

Asked = tuple[int, str, str]
"""(profile, channel, topic)"""


def asks_for_consent(event: Mapping[str, Any]) -> bool:
    """Whether a message that this event led to is there to ask for a consent."""
    return place_of(event) is not None


def place_of(event: Mapping[str, Any]) -> tuple[str, str] | None:
    """The (channel, topic) that an event asks to confirm."""
    asks = event.get(ASKS)
    channel, colon, topic = asks.partition(":") if isinstance(asks, str) else ("", "", "")
    return (channel, topic) if channel and colon and topic else None


def request(connection: Connection, asked: Sequence[Asked], *, log: EventLog, now: Instant) -> None:
    """Take consents in as questions, within the caller's transaction."""
    people = sorted({profile for profile, _, _ in asked})
    rows = connection.select_in(
        "SELECT profile_id, channel, topic, asked_at, mailed_at, n_mailed FROM consent_request "
        "WHERE profile_id IN (?)",
        people,
    )
    open_requests = {(row[0], row[1], row[2]): (row[3], row[4], row[5]) for row in rows}
    said = _said(connection, people)
    mailed: dict[Asked, tuple[Instant, Instant, int]] = {}
    for it in dict.fromkeys(asked):
        last = said.get(it)
        if last is True:
            continue  # they have confirmed it, or agreed before that was asked for
        asked_at, mailed_at, n_mailed = open_requests.get(it, (now, now - AGAIN, 0))
        if asked_at <= now - EXPIRES:
            asked_at, n_mailed = now, 0
        most = MAILS_AFTER_NO_MAX if last is False else MAILS_MAX
        if n_mailed < most and mailed_at <= now - AGAIN:
            mailed[it] = (asked_at, now, n_mailed + 1)
    insert(
        connection,
        "consent_request",
        ("profile_id", "channel", "topic", "asked_at", "mailed_at", "n_mailed"),
        [(*it, *row) for it, row in mailed.items()],
        on_conflict="replace",
    )
    log.append(connection, [_event(it, now) for it in mailed], now=now)


def _said(connection: Connection, people: Sequence[int]) -> dict[Asked, bool]:
    """The last that the ledger knows of each, a "no" to everything included."""
    found: dict[Asked, bool] = {}
    topics: dict[tuple[int, str], set[str]] = defaultdict(set)
    for _, profile, channel, topic, granted in sorted(
        connection.select_in(
            "SELECT id, profile_id, channel, topic, granted FROM consent_change "
            "WHERE profile_id IN (?)",
            people,
        )
    ):
        found[profile, channel, topic] = bool(granted)
        topics[profile, channel].add(topic)
        if topic == "*" and not granted:
            for each in topics[profile, channel]:
                found[profile, channel, each] = False
    return found


def _event(it: Asked, now: Instant) -> tuple[Any, ...]:
    profile, channel, topic = it
    properties = {ASKS: f"{channel}:{topic}", "channel": channel, "topic": topic}
    return (None, profile, REQUESTED, now, now, 0, text(properties), "{}", None)
