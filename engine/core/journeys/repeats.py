"""The repeat step: rounds of one body, each a span after the one before, until an event ends them.

The body's last step leads back to the repeat, so a journey visits at most its own length times its
repeats. A round that took longer than the span is followed at once; rounds that nobody could play
(an outage, a pause) are not made up in a burst, since each counts from when the last one began.
The event of `until` ends the rounds wherever inside them someone stands, also between two rounds.
Read next: `journeys`.
"""

from engine.core.clocktime import add
from engine.core.model.campaigns import Campaign
from engine.core.model.people import Enrollment, Round
from engine.core.model.steps import Repeat, StepId
from engine.core.scene import HOLD, Onward, Scene


def repeat(
    scene: Scene, enrollment: Enrollment, campaign: Campaign, step: Repeat, arrived: bool
) -> Onward:
    """Begin the next round when its time has come; go on after the last one."""
    last = enrollment.rounds.get(step.id)
    if last is None:
        if step.starts_now:
            return _begin(scene, enrollment, step, 1)
        last = enrollment.rounds[step.id] = Round(0, scene.now)
        arrived = True  # also who was moved here while the campaign was paused
    if last.number >= step.times:
        return end_rounds(scene, enrollment, step)
    if arrived:
        enrollment.due_at = add(last.began_at, step.every, scene.person.profile.zone)
    if enrollment.due_at > scene.now:
        return HOLD
    return _begin(scene, enrollment, step, last.number + 1)


def ended_by_event(scene: Scene, enrollment: Enrollment, campaign: Campaign) -> Repeat | None:
    """The outermost repeat around this person whose `until` has been heard."""
    heard = scene.state.heard.get(enrollment.id)
    if not heard:
        return None
    for step_id in enrollment.rounds:
        step = campaign.steps.get(step_id)
        if step_id in heard and isinstance(step, Repeat):
            return step
    return None


def end_rounds(scene: Scene, enrollment: Enrollment, step: Repeat) -> StepId | None:
    """Forget the rounds of a repeat and of those inside it; where the journey goes on."""
    if step.id in enrollment.rounds:
        begun = list(enrollment.rounds)  # the outer is always begun before the inner
        for ended in begun[begun.index(step.id) :]:
            del enrollment.rounds[ended]
            forget_heard(scene, enrollment, ended)
    return step.next


def forget_heard(scene: Scene, enrollment: Enrollment, step: StepId) -> None:
    """What was heard of an earlier visit says nothing of the next one."""
    heard = scene.state.heard.get(enrollment.id)
    if heard is not None and step in heard:
        heard.remove(step)
        if not heard:
            del scene.state.heard[enrollment.id]


def _begin(scene: Scene, enrollment: Enrollment, step: Repeat, number: int) -> Onward:
    if step.body is None:
        return end_rounds(scene, enrollment, step)
    enrollment.rounds[step.id] = Round(number, scene.now)
    return step.body
