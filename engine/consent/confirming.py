"""Double opt-in, its second half: the person confirms, by the link in the message they were sent.

The link says nothing but whose message it stands in; what is confirmed is what that message asked
for, if it is still asked, within seven days. Read before: `engine.intake.consent_requests`.
"""

from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from engine.consent.choosing import grant
from engine.consent.standing import Place, Terms
from engine.consent.unsubscribe import CONFIRMATION
from engine.core.model.instants import Instant
from engine.intake.consent_requests import EXPIRES, place_of
from engine.store.connection import Connection
from engine.store.events import EventLog
from engine.store.queue import addressees

CONFIRMED: Final = "Consent Confirmed"
State: TypeAlias = Literal["open", "confirmed", "expired"]

_object = msgspec.json.Decoder(dict[str, Any])


class Question(Struct, frozen=True):
    """What a message asked its receiver, and how that stands. `locale` is their trait."""

    profile_id: int
    place: Place
    state: State
    locale: str


def question(connection: Connection, *, message: int, now: Instant) -> Question | None:
    """What a message asks; None where it asks nothing, or there is nobody any more."""
    rows = connection.execute(
        "SELECT profile_id, context, at FROM message WHERE id = ?", (message,)
    )
    if not rows:
        return None
    profile_id, context, made_at = rows[0]
    event = _object.decode(context).get("event")
    place = place_of(event) if isinstance(event, dict) else None
    person = addressees(connection, [profile_id]).get(profile_id)
    if place is None or person is None or person.erased_at is not None:
        return None
    locale = _object.decode(person.traits).get("locale")
    is_open = made_at > now - EXPIRES and connection.execute(
        "SELECT 1 FROM consent_request WHERE profile_id = ? AND channel = ? AND topic = ?",
        (person.id, *place),
    )
    state: State = "open" if is_open else _ended(connection, person.id, place)
    return Question(person.id, place, state, locale if isinstance(locale, str) else "")


def confirm(
    connection: Connection,
    *,
    message: int,
    terms: Terms,
    log: EventLog,
    now: Instant,
    text_version: str = "",
) -> Question | None:
    """Write down that they said yes; give how the question stands then. Twice is fine.

    Runs inside the caller's transaction: tell the person only once that is committed.
    """
    asked = question(connection, message=message, now=now)
    if asked is None or asked.state != "open":
        return asked
    # Of two at once only one finds the row.
    taken = connection.execute(
        "DELETE FROM consent_request WHERE profile_id = ? AND channel = ? AND topic = ? "
        "RETURNING profile_id",
        (asked.profile_id, *asked.place),
    )
    if not taken:
        return question(connection, message=message, now=now)
    is_granted = grant(
        connection, message=message, place=asked.place, terms=terms, source=CONFIRMATION,
        event=CONFIRMED, log=log, now=now, text_version=text_version,
    )  # fmt: skip
    return msgspec.structs.replace(asked, state="confirmed" if is_granted else "expired")


def _ended(connection: Connection, profile_id: int, place: Place) -> State:
    """How a question ended that is not open: they have confirmed it, and it stands, or not."""
    rows = connection.execute(
        "SELECT granted FROM consent_change WHERE profile_id = ? AND channel = ? "
        "AND topic IN (?, '*') ORDER BY id DESC LIMIT 1",
        (profile_id, *place),
    )
    return "confirmed" if rows and rows[0][0] else "expired"
