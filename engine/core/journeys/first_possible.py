"""The first-possible step: of several sends the first that can reach this person at all.

Asked is only what does not pass by itself: suppression, consent, address. Caps and quiet hours are
not: a push that must wait until nine is still the better message than a text at once. The chosen
send then behaves as any other, and may be held back or refused like any other.
"""

from engine.core.journeys.sends import discard, draft_of
from engine.core.model.campaigns import Campaign
from engine.core.model.people import Enrollment
from engine.core.model.steps import FirstPossible, Send
from engine.core.policy import unreachable
from engine.core.scene import Onward, Scene


def first_possible(
    scene: Scene, enrollment: Enrollment, campaign: Campaign, step: FirstPossible, arrived: bool
) -> Onward:
    """Go to the chosen send; or leave one row that says why no channel would do, and go on."""
    chosen, why = choose(scene, campaign, step)
    if chosen is not None:
        return chosen.id
    discard(scene, enrollment, f"no channel is possible: {why}")
    return step.next


def choose(scene: Scene, campaign: Campaign, step: FirstPossible) -> tuple[Send | None, str]:
    """The first send that can reach the person, or None and each channel's reason."""
    reasons = []
    for step_id in step.sends:
        candidate = campaign.steps[step_id]
        assert isinstance(candidate, Send)
        draft = draft_of(campaign, candidate, program=scene.program, reached_at=scene.now)
        why = unreachable(draft, scene.person, program=scene.program, now=scene.now)
        if why is None:
            return candidate, ""
        reasons.append(f"{candidate.channel}: {why}")
    return None, "; ".join(reasons)
