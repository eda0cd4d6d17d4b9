"""The webhook step: ask the outbox to call a URL, hold, and take its answer when it comes back.

The core calls nobody: the step's request is an effect (`Call`), the outbox makes the attempts, and
its final outcome is written into the log as an event of ours that finds the person still standing
here, on this visit. Who is not answered within WAIT_MAX goes on by `on_error`: an answer that comes
later finds nobody.
"""

from typing import Any, Final

from engine.core.journeys.repeats import forget_heard
from engine.core.journeys.sends import variant_of
from engine.core.journeys.values import values_or_discard
from engine.core.model.campaigns import Campaign
from engine.core.model.effects import Call
from engine.core.model.instants import HOUR, MINUTE
from engine.core.model.people import Enrollment, Event
from engine.core.model.steps import Value, Webhook
from engine.core.scene import EXIT, HOLD, Onward, Scene

WEBHOOK_ANSWERED: Final = "Webhook Answered"

CALLED_FOR_MAX: Final = HOUR
"""How long the outbox tries: what is not delivered by then is no longer worth delivering."""

WAIT_MAX: Final = CALLED_FOR_MAX + 5 * MINUTE
"""How long someone stands at the step: the last attempt may begin at the very end."""


def webhook(
    scene: Scene, enrollment: Enrollment, campaign: Campaign, step: Webhook, arrived: bool
) -> Onward:
    """Ask for the call on arrival; go on once it has been answered, or has taken too long."""
    # Who was moved here while the campaign was paused has not asked yet.
    if arrived or enrollment.message is None:
        forget_heard(scene, enrollment, step.id)
        if enrollment.is_held_out and not step.even_in_holdout:
            values_or_discard(scene, enrollment, campaign, {}, False)
            return step.next
        return _asked(scene, enrollment, campaign, step)
    if step.id in scene.state.heard.get(enrollment.id, ()):
        forget_heard(scene, enrollment, step.id)
        why, enrollment.reason = enrollment.reason, ""
        return _onward(enrollment, step, why)
    if enrollment.due_at <= scene.now:
        return _onward(enrollment, step, "no answer in time")
    return HOLD


def take_answer(scene: Scene, event: Event) -> Enrollment | None:
    """Keep the answer of a call for whoever still waits for it; None where nobody does."""
    said = event.properties
    for enrollment in scene.active():
        if enrollment.message is None or enrollment.message != said.get("message"):
            continue
        campaign = scene.campaign_of(enrollment)
        step = campaign.steps.get(enrollment.step or "") if campaign is not None else None
        if not isinstance(step, Webhook):
            continue
        enrollment.reason = str(said.get("why", ""))
        if step.save_as is not None and not enrollment.reason:
            enrollment.saved[step.save_as] = said.get("reply")
        heard = scene.state.heard.setdefault(enrollment.id, [])
        if step.id not in heard:
            heard.append(step.id)
        return enrollment
    return None


def _asked(scene: Scene, enrollment: Enrollment, campaign: Campaign, step: Webhook) -> Onward:
    parts: dict[str, Value] = {"url": step.url, "headers": dict(step.headers), "body": step.body}
    values = values_or_discard(scene, enrollment, campaign, parts, True)
    if values is None:
        return _onward(enrollment, step, "missing value")
    enrollment.message = scene.new_id("message")
    enrollment.due_at = scene.now + WAIT_MAX
    request: dict[str, Any] = {
        "method": step.method,
        **values,
        "secrets": list(step.secrets),
        "timeout": step.timeout,
        "wants_reply": step.save_as is not None,
    }
    scene.effects.append(
        Call(
            enrollment.id, enrollment.message, step.id, enrollment.visit, campaign.name,
            variant_of(enrollment), request, scene.now, scene.now + CALLED_FOR_MAX,
        )
    )  # fmt: skip
    return HOLD


def _onward(enrollment: Enrollment, step: Webhook, why: str) -> Onward:
    """The next step; or the end, where a failure ends the journey."""
    if not why or step.on_error == "continue":
        return step.next
    enrollment.reason = f"the webhook {step.id} failed: {why}"
    return EXIT
