"""A call of the API that starts a campaign for one person: accepted once per key, then replayed.

The call becomes an event of ours in the log, committed together with the row that remembers its
`Idempotency-Key`: who asks again with the same key and body gets the first answer, also after a
crash or on another machine; another body under the same key is refused.
"""

import hashlib
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from engine.core.errors import InvalidEvent
from engine.core.journeys.entry import CAMPAIGN_TRIGGERED
from engine.core.model.campaigns import ApiTrigger, Program
from engine.core.model.instants import DAY, Instant
from engine.intake.calls import from_values
from engine.intake.ingest import Ingest
from engine.intake.prepare import Prepared, Terms, prepare_items
from engine.store.bulk import insert
from engine.store.connection import Connection
from engine.store.events import message_hash

KEPT: Final = 30 * DAY
"""How long a key and its answer are kept."""
KEY_CHARACTERS_MAX: Final = 255
FIELDS: Final = ("userId", "anonymousId", "properties", "context")

_encode = msgspec.json.Encoder(order="sorted").encode


class TriggerCall(Struct, frozen=True):
    """A checked call. `key` is "" where the caller gave none; `has_traits` says who they are."""

    campaign: str
    key: str
    digest: str
    trigger: str
    prepared: Prepared
    has_traits: bool


Status: TypeAlias = Literal["accepted", "replayed", "reused", "unknown"]


class Triggered(Struct, frozen=True):
    """What became of a call: `trigger` is the id of the accepted one, the first of its key."""

    status: Status
    trigger: str = ""


def read_trigger(
    campaign: str, body: Any, *, key: str, terms: Terms, received_at: Instant
) -> TriggerCall:
    """Check a call's body.

    Raises:
        InvalidEvent: With the field that is wrong.
    """
    if not isinstance(body, dict):
        raise InvalidEvent("the body must be an object", field="")
    for name in body:
        if name not in FIELDS:
            raise InvalidEvent(
                f"{name[:60]}: is not known here; allowed are {', '.join(FIELDS)}", field=name[:60]
            )
    if len(key) > KEY_CHARACTERS_MAX or not (key.isascii() and key.isprintable()):
        raise InvalidEvent(
            f"Idempotency-Key: at most {KEY_CHARACTERS_MAX} printable characters", field=""
        )
    trigger = terms.entropy(16).hex()
    brought = body.get("properties")
    if brought is not None and not isinstance(brought, dict):
        raise InvalidEvent("properties: an object is required", field="properties")
    call = from_values(
        {
            **{name: body[name] for name in ("userId", "anonymousId", "context") if name in body},
            "messageId": trigger,
            "properties": {"campaign": campaign, "properties": brought or {}},
        }
    )
    call.type, call.event = "track", CAMPAIGN_TRIGGERED
    prepared = prepare_items([call], terms=terms, received_at=received_at)
    answer = prepared.answers[0]
    if answer.status == "rejected":
        raise InvalidEvent(answer.message, field=answer.field)
    for _, fact in prepared.facts:
        fact.is_ours, fact.trigger_age_max, fact.at = True, None, received_at
        fact.hash = message_hash(f"trigger:{campaign}", key or trigger)
    context = body.get("context")
    has_traits = isinstance(context, dict) and bool(context.get("traits"))
    digest = hashlib.sha256(_encode(body)).hexdigest()
    return TriggerCall(campaign, key, digest, trigger, prepared, has_traits)


def refusal_of(campaign: str, program: Program) -> tuple[int, str]:
    """(HTTP status, why) where this campaign cannot be triggered now; (0, "") where it can."""
    form = program.campaigns.get(campaign)
    if form is None:
        return 404, f'There is no campaign "{campaign}".'
    if not isinstance(form.trigger, ApiTrigger):
        return 409, (
            f'The campaign "{campaign}" is not started by the API. Write trigger: {{api: true}}.'
        )
    if form.state != "live":
        return 409, f'The campaign "{campaign}" is {form.state}; only a live one can be started.'
    return 0, ""


def known_answer(connection: Connection, call: TriggerCall) -> Triggered | None:
    """The answer that this key already has, or None."""
    if not call.key:
        return None
    rows = connection.execute(
        "SELECT body_digest, answer FROM idempotency WHERE scope = ? AND name = ?",
        (call.campaign, call.key),
    )
    if not rows:
        return None
    digest, trigger = rows[0]
    if digest != call.digest:
        return Triggered("reused")
    return Triggered("accepted" if trigger == call.trigger else "replayed", trigger)


def accept_trigger(
    connection: Connection, call: TriggerCall, *, ingest: Ingest, now: Instant
) -> Triggered:
    """Take in a call within the caller's transaction; nothing is written unless it is accepted."""
    known = known_answer(connection, call)
    if known is not None:
        return known
    if not call.has_traits and not _is_known(connection, call):
        return Triggered("unknown")
    if call.key:
        connection.execute("DELETE FROM idempotency WHERE at < ?", (now - KEPT,))
        insert(
            connection,
            "idempotency",
            ("scope", "name", "body_digest", "answer", "at"),
            [(call.campaign, call.key, call.digest, call.trigger, now)],
            on_conflict="ignore",
        )
        # Another process may have been first between our look and our insert.
        first = known_answer(connection, call)
        if first is not None and first.status != "accepted":
            return first
    ingest.commit(connection, [call.prepared], now=now)
    return Triggered("accepted", call.trigger)


def _is_known(connection: Connection, call: TriggerCall) -> bool:
    (_, fact), *_ = call.prepared.facts
    for kind, value in (("user", fact.user_id), ("anonymous", fact.anonymous_id)):
        if value is not None and connection.execute(
            "SELECT 1 FROM identity WHERE kind = ? AND value = ?", (kind, value)
        ):
            return True
    return False
