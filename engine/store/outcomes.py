"""What a batch decided, as rows: messages, exposures, our own events, timers.

One function turns effects into rows (pure), one writes them in the caller's transaction.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec import Struct, field

from engine.core.errors import Overtaken
from engine.core.model.effects import (
    Call,
    Discard,
    Displace,
    Effect,
    Emit,
    Expose,
    ForgetScores,
    Ghost,
    Hold,
    Misreport,
    SendMessage,
    Wake,
)
from engine.core.model.instants import NEVER, Instant
from engine.core.model.people import Exposed
from engine.store import bulk, scores
from engine.store.connection import Connection, Row
from engine.store.events import OWN, EventLog
from engine.store.people import text
from engine.store.queue import MARKETING, TRANSACTIONAL, WEBHOOK, displace

MESSAGE_COLUMNS = (
    "id", "profile_id", "enrollment_id", "campaign", "version", "step", "visit", "variant",
    "channel", "topic", "template", "template_hash", "status", "reason", "held_by", "at", "due_at",
    "expires_at", "context", "lane", "account",
)  # fmt: skip
DEFERRAL_COLUMNS = ("message_id", "at", "until", "why")
_EXPOSURE_COLUMNS = (
    "experiment", "phase", "profile_id", "variant", "at", "probability", "campaign",
    "enrollment_id", "would_allow", "unit", "allocation", "source", "flag", "context",
)  # fmt: skip

MISREPORTS: Final = "misreported exposures"
"""Counters of exposures from outside that could not be taken: `<this>: <why>: <experiment>`."""


class Outcomes(Struct):
    """Rows waiting for one transaction, by table; `messages` by id, since a held one may go out
    within the same batch."""

    messages: dict[int, Row] = field(default_factory=dict)
    deferrals: list[Row] = field(default_factory=list)
    displaced: list[tuple[int, str]] = field(default_factory=list)
    exposures: list[Row] = field(default_factory=list)
    emitted: list[tuple[int, str, Instant, str]] = field(default_factory=list)
    timers: list[Row] = field(default_factory=list)
    misreports: Counter[tuple[str, str]] = field(default_factory=Counter)
    units: dict[tuple[str, str], Exposed] = field(default_factory=dict)
    """First exposures in this batch of units that are not profiles."""
    unprofiled: list[int] = field(default_factory=list)

    def take(self, effects: Sequence[Effect], *, profile_id: int, versions: dict[int, str]) -> None:
        """Add one profile's effects. `versions` maps its enrollments to campaign versions."""
        for effect in effects:
            match effect:  # the most frequent first
                case Emit():
                    self.emitted.append(
                        (profile_id, effect.event, effect.at, text(effect.properties))
                    )
                case Wake():
                    if effect.at < NEVER:
                        self.timers.append((effect.at, profile_id))
                case SendMessage() | Hold() | Discard():
                    self.messages[effect.message] = _message_row(effect, profile_id, versions)
                    if isinstance(effect, Hold):
                        self.deferrals.append((effect.message, effect.at, effect.until, effect.why))
                case Displace():
                    self._displace(effect)
                case Call():
                    self.messages[effect.message] = _call_row(effect, profile_id, versions)
                case Expose():
                    self.exposures.append(
                        (
                            effect.experiment,
                            effect.phase,
                            profile_id,
                            effect.variant,
                            effect.at,
                            effect.probability,
                            effect.campaign,
                            effect.enrollment,
                            text(effect.would_allow),
                            effect.unit,
                            effect.allocation,
                            effect.source,
                            effect.flag,
                            effect.context,
                        )
                    )
                    if effect.unit:
                        first = Exposed(effect.variant, effect.phase, effect.at)
                        self.units.setdefault((effect.experiment, effect.unit), first)
                case Misreport():
                    self.misreports[effect.why, effect.experiment] += 1
                case ForgetScores():
                    self.unprofiled.append(profile_id)
                case _:
                    pass  # traits and enrollments are already in the person

    def _displace(self, effect: Displace) -> None:
        """A message of this very batch never leaves it; one that is queued is taken back."""
        row = self.messages.get(effect.message)
        if row is None:
            self.displaced.append((effect.message, effect.why))
            return
        changed = dict(zip(MESSAGE_COLUMNS, row, strict=True))
        changed |= {"status": "dropped", "reason": effect.why}
        self.messages[effect.message] = tuple(changed.values())


def _message_row(
    effect: SendMessage | Hold | Discard, profile_id: int, versions: dict[int, str]
) -> Row:
    draft = effect.draft
    status, reason, held_by, due_at, digest, context = "dropped", "", "", effect.at, "", "{}"
    match effect:
        case Ghost():
            status, reason, held_by = "ghost", f"held out by {effect.held_by}", effect.held_by
            digest, context = effect.template_hash, text(effect.context)
        case SendMessage():
            status, digest, context = "queued", effect.template_hash, text(effect.context)
        case Hold():
            status, reason, due_at = "deferred", effect.why, effect.until
        case Discard():
            reason = effect.why
    if draft is None:
        named = (effect.campaign if isinstance(effect, Discard) else "", "", "", "", NEVER, "")
    else:
        named = (
            draft.campaign,
            draft.channel,
            draft.topic.name,
            draft.template,
            draft.expires_at,
            draft.sent_by,
        )
    campaign, channel, topic, template, expires_at, account = named
    return (
        effect.message, profile_id, effect.enrollment, campaign,
        versions.get(effect.enrollment, ""), effect.step, effect.visit, effect.variant, channel,
        topic, template, digest, status, reason, held_by, effect.at, due_at, expires_at, context,
        TRANSACTIONAL if draft is not None and draft.topic.is_transactional else MARKETING,
        account,
    )  # fmt: skip


def _call_row(effect: Call, profile_id: int, versions: dict[int, str]) -> Row:
    """A webhook's call waits in a lane of its own; its context is the rendered request."""
    return (
        effect.message, profile_id, effect.enrollment, effect.campaign,
        versions.get(effect.enrollment, ""), effect.step, effect.visit, effect.variant, WEBHOOK,
        "", "", "", "queued", "", "", effect.at, effect.at, effect.expires_at,
        text(effect.request), MARKETING, WEBHOOK,
    )  # fmt: skip


def write(connection: Connection, outcomes: Outcomes, *, log: EventLog, now: Instant) -> None:
    """Write a batch's decisions. A message that was deferred before is overwritten by its end.

    Raises:
        Overtaken: If a message that was to be displaced is no longer waiting: the batch must be
            played again, from what is true now.
    """
    for message, why in outcomes.displaced:
        if not displace(connection, message, why=why):
            raise Overtaken
    bulk.insert(
        connection,
        "message",
        MESSAGE_COLUMNS,
        list(outcomes.messages.values()),
        on_conflict="replace",
    )
    bulk.insert(connection, "deferral", DEFERRAL_COLUMNS, outcomes.deferrals, on_conflict="replace")
    bulk.insert(connection, "exposure", _EXPOSURE_COLUMNS, outcomes.exposures, on_conflict="ignore")
    for (why, experiment), n in sorted(outcomes.misreports.items()):
        about = f": {experiment}" if experiment else ""
        bulk.reserve(connection, f"{MISREPORTS}: {why}{about}", n)
    bulk.insert(connection, "timer", ("due", "profile_id"), outcomes.timers, on_conflict="ignore")
    scores.forget(connection, outcomes.unprofiled)
    log.append(
        connection,
        [
            (None, profile_id, name, at, at, OWN, properties, "{}", None)
            for profile_id, name, at, properties in outcomes.emitted
        ],
        now=now,
    )
