"""The whole story of one message: why it exists, what was decided about it, what became of it.

`message_story` reads it from one snapshot, `told` puts it in order of time for people. Nothing
here writes, and nothing is guessed: what is shown was recorded when it happened, except segment
verdicts, which are worked out again from the event log as of the decision.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct, field

from engine.asof import profiles_at
from engine.core.caps import trying
from engine.core.journeys.holdouts import exposure_names
from engine.core.model.campaigns import Campaign, Program, SegmentTrigger
from engine.core.model.conditions import All, AnyOf, Condition, Not, SegmentCondition
from engine.core.model.instants import Instant
from engine.core.model.steps import Branch
from engine.core.segments import Segments
from engine.reading import MESSAGE, PASSAGE, MessageRow, Moment, Passage, event_moment, passage_of
from engine.store.connection import Connection
from engine.store.queue import WEBHOOK

GATES: Final = "suppression, consent, address, values, caps and quiet hours"
"""What an allowed message has passed, in the order asked (`engine.core.policy`)."""


class AttemptRow(Struct, frozen=True):
    """One call of a provider."""

    number: int
    provider: str
    started_at: Instant
    finished_at: Instant | None
    outcome: str
    provider_id: str
    detail: str
    account: str


class DeferralRow(Struct, frozen=True):
    """One "not now" of a gate."""

    at: Instant
    until: Instant
    why: str


class CallbackRow(Struct, frozen=True):
    """One verified report of the provider."""

    at: Instant
    kind: str


class VerdictRow(Struct, frozen=True):
    """Whether the person was in a segment that the campaign asks, when the message was decided.

    `conditions` are the rows of `Segments.explain`.
    """

    segment: str
    matches: bool
    conditions: list[dict[str, Any]]


class MessageStory(Struct, frozen=True):
    """All that is known of one message."""

    message: MessageRow
    enrollment: Passage | None
    trigger_event: Moment | None
    exposures: list[dict[str, Any]]
    attempts: list[AttemptRow]
    delivery: dict[str, Any] | None
    deferrals: list[DeferralRow] = field(default_factory=list)
    callbacks: list[CallbackRow] = field(default_factory=list)
    verdicts: list[VerdictRow] = field(default_factory=list)


def message_story(
    connection: Connection, message: int, *, program: Program | None, segments: Segments | None
) -> MessageStory | None:
    """The whole story of one message, or None if there is no such message.

    Args:
        program, segments: What is live; without them no verdict of a segment can be told.
    """
    rows = connection.execute(MESSAGE + "WHERE m.id = ?", (message,))
    if not rows:
        return None
    row = MessageRow(*rows[0])
    passages = connection.execute(PASSAGE + "WHERE e.id = ?", (row.enrollment,))
    enrollment = passage_of(passages[0]) if passages else None
    campaign = _campaign(program, row)
    profile = int(passages[0][14]) if passages else None
    attempts = connection.execute(
        "SELECT number, provider, started_at, finished_at, outcome, provider_id, detail, account "
        "FROM attempt WHERE message_id = ? ORDER BY number",
        (message,),
    )
    deferrals = connection.execute(
        'SELECT at, "until", why FROM deferral WHERE message_id = ? ORDER BY at', (message,)
    )
    callbacks = connection.execute(
        "SELECT at, kind FROM delivery_event WHERE message_id = ? ORDER BY at, kind", (message,)
    )
    delivered = connection.execute(
        "SELECT status, at, opened_at, clicked_at FROM delivery WHERE message_id = ?", (message,)
    )
    names = ("status", "at", "opened_at", "clicked_at")
    return MessageStory(
        message=row,
        enrollment=enrollment,
        trigger_event=event_moment(connection, int(passages[0][13])) if passages else None,
        exposures=_exposures(connection, program, campaign, enrollment, profile),
        attempts=[AttemptRow(*attempt) for attempt in attempts],
        delivery=dict(zip(names, delivered[0], strict=True)) if delivered else None,
        deferrals=[DeferralRow(*each) for each in deferrals],
        callbacks=[CallbackRow(*each) for each in callbacks],
        verdicts=_verdicts(connection, segments, campaign, profile, at=row.at),
    )


def told(it: MessageStory) -> list[Moment]:
    """The story in order of time, each line with what it meant."""
    row = it.message
    story = [it.trigger_event] if it.trigger_event is not None else []
    if it.enrollment is not None:
        held = f"held out by {it.enrollment.held_by}" if it.enrollment.held_by else ""
        title = f"Entered {row.campaign}, version {row.version}"
        story.append(Moment(it.enrollment.entered_at, "entered", title, held))
    story += [_exposure_told(each) for each in it.exposures]
    story += [
        Moment(row.at, "segment", f"{'In' if each.matches else 'Not in'} {each.segment}",
               _why(each), status="yes" if each.matches else "no")
        for each in it.verdicts
    ]  # fmt: skip
    story += [Moment(each.at, "deferred", "Deferred", each.why) for each in it.deferrals]
    if row.status != "deferred":
        story.append(Moment(row.at, "message", *_decision(row)))
    story += [_attempt_told(each) for each in it.attempts]
    story += [
        Moment(each.at, "callback", f"The provider reports: {each.kind}") for each in it.callbacks
    ]
    if it.delivery is not None:
        status = str(it.delivery["status"])
        story.append(Moment(it.delivery["at"], "delivery", status.capitalize(), status=status))
        for what in ("opened", "clicked"):
            if it.delivery[f"{what}_at"] is not None:
                story.append(Moment(it.delivery[f"{what}_at"], what, what.capitalize()))
    return sorted(story, key=lambda moment: moment.at)


def _decision(row: MessageRow) -> tuple[str, str]:
    """What the gates said in the end, and why."""
    if row.status == "ghost":
        return "Every gate allowed it; the holdout keeps it silent", row.reason
    if row.status in ("dropped", "failed", "unknown"):
        return row.status.capitalize(), row.reason
    if row.channel == WEBHOOK:
        return "The step asked for its call", row.reason
    return "Every gate allowed it", row.reason or GATES


def _exposure_told(exposure: dict[str, Any]) -> Moment:
    title = f"Assigned in {exposure['experiment']}, phase {exposure['phase']}"
    detail = f"{exposure['variant']}, with probability {exposure['probability']:.3g}"
    if exposure["context"]:
        detail += f" in the context {exposure['context']}"
    if exposure["allocation"]:
        detail += f" (version {exposure['allocation']} of the weights)"
    answers = ", ".join(
        f"{arm}: {answer or 'not known yet, a wait comes first'}"
        for arm, answer in exposure["would_allow"].items()
    )
    return Moment(
        exposure["at"], "exposed", title, f"{detail}; the gates then: {answers}" if answers
        else detail,
    )  # fmt: skip


def _attempt_told(it: AttemptRow) -> Moment:
    outcome = it.outcome or "no answer recorded"
    by = f" by {it.account}" if it.account else ""
    title = f"Attempt {it.number}{by} through {it.provider}: {outcome}"
    detail = " · ".join(word for word in (it.provider_id, it.detail) if word)
    return Moment(it.started_at, "attempt", title, detail, status=it.outcome or "unknown")


def _why(verdict: VerdictRow) -> str:
    """The conditions that are no groups, each with what was found."""
    parts = []
    for row in verdict.conditions:
        if row["found"]:
            parts.append(
                f"{'yes' if row['matches'] else 'no'}: {row['condition']} ({row['found']})"
            )
    return "; ".join(parts)


def _campaign(program: Program | None, row: MessageRow) -> Campaign | None:
    """The version the message came from, if it is still known."""
    if program is None:
        return None
    live = program.campaigns.get(row.campaign)
    if live is not None and live.version == row.version:
        return live
    return program.pinned.get((row.campaign, row.version))


def _verdicts(
    connection: Connection,
    segments: Segments | None,
    campaign: Campaign | None,
    profile: int | None,
    *,
    at: Instant,
) -> list[VerdictRow]:
    """The segments that the campaign asks about, as they stood at an instant."""
    if segments is None or campaign is None or profile is None:
        return []
    asked = [name for name in dict.fromkeys(_segments_asked(campaign)) if name in segments.names]
    if not asked:
        return []
    then = next(profiles_at(connection, segments, at=at, only=[profile]), None)
    if then is None:
        return []
    verdicts = []
    for name in asked:
        matches, _ = segments.evaluate(name, then.features, then.profile, now=at)
        rows = segments.explain(name, then.features, then.profile, now=at)
        verdicts.append(VerdictRow(name, matches, rows))
    return verdicts


def _segments_asked(campaign: Campaign) -> Iterator[str]:
    if isinstance(campaign.trigger, SegmentTrigger):
        yield campaign.trigger.segment
    if campaign.audience is not None:
        yield from _segments_of(campaign.audience)
    for step in campaign.steps.values():
        if isinstance(step, Branch):
            for condition, _ in step.arms:
                yield from _segments_of(condition)


def _segments_of(condition: Condition) -> Iterator[str]:
    match condition:
        case SegmentCondition():
            yield condition.segment
        case All() | AnyOf():
            for inner in condition.conditions:
                yield from _segments_of(inner)
        case Not():
            yield from _segments_of(condition.condition)


def _exposures(
    connection: Connection,
    program: Program | None,
    campaign: Campaign | None,
    enrollment: Passage | None,
    profile: int | None,
) -> list[dict[str, Any]]:
    """How this person was assigned in what the enrollment took part in, whenever that was."""
    if enrollment is None or profile is None:
        return []
    holdouts = (
        exposure_names(campaign, program)
        if program is not None and campaign is not None
        else [f"holdout:{enrollment.campaign}"]
    )
    tried = [cap.name for cap in trying(program)] if program is not None else []
    names = (
        "experiment", "phase", "variant", "at", "probability", "allocation", "context",
        "would_allow",
    )  # fmt: skip
    rows = connection.select_in(
        f"SELECT {', '.join(names)} FROM exposure "
        "WHERE experiment IN (?) AND profile_id = ? ORDER BY at",
        [*enrollment.variants, *holdouts, *tried],
        (profile,),
    )
    return [dict(zip(names, (*row[:7], json.loads(row[7] or "{}")), strict=True)) for row in rows]
