"""The send step: from a step reached to a message, a ghost, a deferral or a reason why not.

Reaching a send makes it due at once but sends nothing yet: all sends of a profile due at one
instant stand before the gate together, by priority, then due instant, then id (rule 5), so the most
important takes what room a cap leaves. A deferred message keeps its id; its step is due when the
gate opens, and the gate is asked anew. The holdout forks only after the last gate (rule 3).
Read next: `policy`, `holdouts`.
"""

from functools import partial
from typing import Any, assert_never

from msgspec.structs import replace

from engine.core.caps import expose_to_caps
from engine.core.clocktime import iso
from engine.core.journeys.competition import collects_until, make_room
from engine.core.journeys.holdouts import expose_to_holdouts
from engine.core.journeys.recommend import lacks_picks
from engine.core.model.campaigns import Campaign, Program, TemplateFacts, Topic
from engine.core.model.effects import Discard, Ghost, Hold, SendMessage
from engine.core.model.gates import Allow, Decision, Defer, Draft, Drop
from engine.core.model.instants import Instant
from engine.core.model.people import Enrollment, LedgerEntry
from engine.core.model.steps import Send
from engine.core.policy import gate, meets_caps
from engine.core.roster import roster_of
from engine.core.scene import HOLD, Onward, Scene

_UNKNOWN_TEMPLATE = TemplateFacts("")


def send(
    scene: Scene, enrollment: Enrollment, campaign: Campaign, step: Send, arrived: bool
) -> Onward:
    """Ask the gates; what they answer is what happens."""
    draft = draft_of(campaign, step, program=scene.program, reached_at=enrollment.step_at)
    lacks = lacks_picks(enrollment, facts_of(step, program=scene.program))
    if lacks:
        discard(scene, enrollment, lacks, draft=draft)
        return step.next
    if arrived:
        enrollment.due_at = collects_until(scene, draft)
        return HOLD
    is_ghost = enrollment.is_held_out and not draft.topic.is_transactional
    context = context_of(scene, enrollment, campaign)
    if scene.roster.has_tries and meets_caps(
        draft, scene.person, program=scene.program, now=scene.now, values=context
    ):
        expose_to_caps(scene, enrollment, draft)
    decision = _asked(scene, draft, context, is_ghost)
    if not is_ghost and not isinstance(decision, Allow) and make_room(scene, draft, context):
        decision = _asked(scene, draft, context, is_ghost)
    if enrollment.message is None:
        enrollment.message = scene.new_id("message")
    match decision:
        case Allow():
            _deliver(scene, enrollment, campaign, step, draft, context, is_ghost)
        case Defer(until, why):
            enrollment.due_at = until
            scene.effects.append(
                Hold(
                    enrollment.id, enrollment.message, step.id, enrollment.visit, draft,
                    variant_of(enrollment), scene.now, until, why,
                )
            )  # fmt: skip
            return HOLD
        case Drop(why):
            discard(scene, enrollment, why, draft=draft)
        case _:
            assert_never(decision)
    return step.next


def discard(scene: Scene, enrollment: Enrollment, why: str, *, draft: Draft | None = None) -> None:
    """Leave a row that says what will not happen at the enrollment's step, and why."""
    if enrollment.message is None:
        enrollment.message = scene.new_id("message")
    scene.effects.append(
        Discard(
            enrollment.id, enrollment.message, enrollment.step or "", enrollment.visit, draft,
            variant_of(enrollment), scene.now, why, enrollment.campaign,
        )
    )  # fmt: skip


def draft_of(campaign: Campaign, step: Send, *, program: Program, reached_at: Instant) -> Draft:
    """The message a send step stands for; it expires counted from when the step was reached."""
    drafts = roster_of(program).drafts
    known = drafts.get((campaign.name, campaign.version, step.id))
    if known is None or known[0] is not campaign or known[1] is not step:
        known = campaign, step, _lasting_draft(campaign, step, program)
        drafts[campaign.name, campaign.version, step.id] = known
    draft = known[2]
    return draft if step.expires is None else replace(draft, expires_at=reached_at + step.expires)


def _lasting_draft(campaign: Campaign, step: Send, program: Program) -> Draft:
    topic = step.topic if step.topic is not None else campaign.topic
    return Draft(
        campaign=campaign.name,
        channel=step.channel,
        template=step.template,
        topic=program.topics.get(topic) or Topic(topic),
        priority=campaign.priority,
        when_capped=campaign.when_capped,
        requires=facts_of(step, program=program).requires,
        send_window=step.send_window or campaign.send_window,
        account=step.account,
    )


def facts_of(step: Send, *, program: Program) -> TemplateFacts:
    """What is known of the template of a send step."""
    return program.templates.get((step.channel, step.template), _UNKNOWN_TEMPLATE)


def context_of(scene: Scene, enrollment: Enrollment, campaign: Campaign) -> dict[str, Any]:
    """What templates and expressions may read besides the profile."""
    return {
        **enrollment.saved,
        "now": iso(scene.now),
        "event": enrollment.trigger,
        "campaign": {"name": campaign.name, "title": campaign.title},
        "variants": dict(enrollment.variants),
    }


def variant_of(enrollment: Enrollment) -> str:
    """The variant of the experiment passed last, "" before the first."""
    return next(reversed(enrollment.variants.values()), "")


def _deliver(
    scene: Scene,
    enrollment: Enrollment,
    campaign: Campaign,
    step: Send,
    draft: Draft,
    context: dict[str, Any],
    is_ghost: bool,
) -> None:
    assert enrollment.message is not None
    facts = facts_of(step, program=scene.program)
    if not draft.topic.is_transactional:
        expose_to_holdouts(scene, enrollment, campaign)
        _enter_in_ledger(
            scene, draft, enrollment.message, ghost_of=campaign.name if is_ghost else None
        )
    kind = partial(Ghost, held_by=enrollment.held_by) if is_ghost else SendMessage
    scene.effects.append(
        kind(
            enrollment.id, enrollment.message, step.id, enrollment.visit, draft,
            variant_of(enrollment), facts.hash, context, scene.now,
        )
    )  # fmt: skip


def _asked(scene: Scene, draft: Draft, context: dict[str, Any], is_ghost: bool) -> Decision:
    return gate(
        draft, scene.person, program=scene.program, now=scene.now, ghost=is_ghost, values=context
    )


def _enter_in_ledger(scene: Scene, draft: Draft, message: int, *, ghost_of: str | None) -> None:
    """Count the message, and forget those that no cap can see any more."""
    oldest = scene.now - scene.roster.ledger_span
    ledger = [entry for entry in scene.state.ledger if entry.at > oldest]
    if oldest < scene.now:
        ledger.append(
            LedgerEntry(
                scene.now, draft.channel, draft.topic.name, ghost_of, message, draft.priority
            )
        )
    scene.state.ledger = ledger
