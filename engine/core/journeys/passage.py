"""One person's passage through a campaign: walk on, hear an event, leave.

`advance` is the parent loop and holds every `if` about where someone stands; what a step does is in
`steps`. A paused campaign holds everyone where they are: waits are noted, nothing advances, and
what fell due meanwhile acts once the campaign is live again. Leaving is always allowed.
Read next: `steps`, `entry`.
"""

from typing import Final, Literal

from engine.core.errors import JourneyLoop
from engine.core.journeys.reentry import remember_exit
from engine.core.journeys.repeats import end_rounds, ended_by_event
from engine.core.journeys.sends import discard, draft_of
from engine.core.journeys.steps import STEPS
from engine.core.journeys.webhooks import WEBHOOK_ANSWERED, take_answer
from engine.core.model.campaigns import Campaign
from engine.core.model.effects import Exited
from engine.core.model.gates import Draft
from engine.core.model.instants import NEVER
from engine.core.model.people import Enrollment, Event
from engine.core.model.steps import Send, StepId, Webhook
from engine.core.scene import EXIT, HOLD, Scene
from engine.core.segments import matches_event

VISITS_MAX: Final = 10_000
"""Steps that one journey may visit in all: its length times its repeats; `check` refuses more."""


def advance(scene: Scene, enrollment: Enrollment, *, arrived: bool) -> None:
    """Run steps until one holds or the journey ends.

    Args:
        arrived: True when the enrollment has just come to its step, False when the step it stands
            at has fallen due or heard its event.
    Raises:
        JourneyLoop: If steps lead in a circle; `check` refuses such a campaign.
    """
    campaign = scene.campaign_of(enrollment)
    if campaign is None:
        leave(scene, enrollment, "dropped", "its campaign version is gone")
        return
    if enrollment.rounds and not arrived:
        ended = ended_by_event(scene, enrollment, campaign)
        if ended is not None:
            _drop_held(scene, enrollment, campaign, f"the repeat {ended.id} has ended")
            _move(scene, enrollment, end_rounds(scene, enrollment, ended))
            arrived = True
    for _ in range(VISITS_MAX):
        if enrollment.step is None:
            leave(scene, enrollment, "done", "finished")
            return
        step = campaign.steps[enrollment.step]
        onward = STEPS[type(step)](scene, enrollment, campaign, step, arrived)
        if onward is HOLD:
            scene.expect(enrollment.due_at)
            return
        if onward is EXIT:
            leave(scene, enrollment, "exited", enrollment.reason or "exit step")
            return
        _move(scene, enrollment, onward)
        arrived = True
    raise JourneyLoop(
        f'campaign "{campaign.name}" ({campaign.version}): its steps lead in a circle through'
        f' "{enrollment.step}"; a journey visits at most its length times its repeats'
    )


def hear(scene: Scene, event: Event) -> None:
    """Let those inside react to an event: first who exits by it, then whose wait it ends."""
    if event.is_ours and event.name == WEBHOOK_ANSWERED:
        answered = take_answer(scene, event)
        if answered is not None:
            _react(scene, answered)
    ears = scene.roster.ears
    for enrollment in scene.active():
        listener = ears.get((enrollment.campaign, enrollment.version))
        if listener is None or event.name not in listener.names:
            continue
        if listener.exit_when is not None and matches_event(listener.exit_when, event):
            leave(scene, enrollment, "exited", f"exit_when: {event.name}")
    for enrollment in scene.active():
        listener = ears.get((enrollment.campaign, enrollment.version))
        if listener is None or event.name not in listener.names:
            continue
        stood = (enrollment.step, enrollment.visit)
        for repeat in listener.untils.get(event.name, ()):
            assert repeat.until is not None
            if repeat.id in enrollment.rounds and matches_event(repeat.until, event):
                _note(scene, enrollment, repeat.id, is_here=True)
        for step in listener.waits.get(event.name, ()):
            # What this very event led to counts from after it: it does not end two in a row.
            is_due = step.counting_from != "step" or stood == (step.id, enrollment.visit)
            if is_due and matches_event(step.match, event):
                _note(scene, enrollment, step.id, is_here=enrollment.step == step.id)


def leave(
    scene: Scene,
    enrollment: Enrollment,
    status: Literal["done", "exited", "dropped"],
    why: str,
) -> None:
    """End an enrollment; a message it still held back is discarded for the same reason."""
    campaign = scene.campaign_of(enrollment)
    _drop_held(scene, enrollment, campaign, why)
    enrollment.status, enrollment.reason = status, why
    enrollment.due_at, enrollment.message = NEVER, None
    scene.state.heard.pop(enrollment.id, None)
    if campaign is not None:
        remember_exit(scene, enrollment, campaign)
    scene.effects.append(Exited(enrollment.id, enrollment.campaign, scene.now, why))


def _note(scene: Scene, enrollment: Enrollment, step: StepId, is_here: bool) -> None:
    """Remember that a wait's event came; go on if the person stands there and may move."""
    if enrollment.status != "active":
        return  # ended by this very event a moment ago: nothing may be remembered of it
    heard = scene.state.heard.setdefault(enrollment.id, [])
    if step not in heard:
        heard.append(step)
    if is_here:
        _react(scene, enrollment)


def _react(scene: Scene, enrollment: Enrollment) -> None:
    """Go on from a step that has heard something, if people may move."""
    if enrollment.campaign in scene.roster.paused:
        enrollment.due_at = min(enrollment.due_at, scene.now)  # Acts on resume, as the event.
    else:
        advance(scene, enrollment, arrived=False)


def _move(scene: Scene, enrollment: Enrollment, onward: StepId | None) -> None:
    enrollment.step, enrollment.step_at, enrollment.due_at = onward, scene.now, NEVER
    enrollment.visit += 1
    enrollment.message, enrollment.reason = None, ""


def _drop_held(scene: Scene, enrollment: Enrollment, campaign: Campaign | None, why: str) -> None:
    """Discard the message that the gate defers; a webhook's call is the outbox's already."""
    step = campaign.steps.get(enrollment.step or "") if campaign is not None else None
    if enrollment.message is not None and not isinstance(step, Webhook):
        discard(scene, enrollment, why, draft=_held_draft(scene, enrollment, campaign))


def _held_draft(scene: Scene, enrollment: Enrollment, campaign: Campaign | None) -> Draft | None:
    step = campaign.steps.get(enrollment.step or "") if campaign is not None else None
    if campaign is None or not isinstance(step, Send):
        return None
    return draft_of(campaign, step, program=scene.program, reached_at=enrollment.step_at)
