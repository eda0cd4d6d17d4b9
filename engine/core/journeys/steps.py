"""What each kind of step does: one function a kind, all of them in `STEPS`.

A step is asked when it is reached (`arrived`), and again whenever it falls due or its event comes.
It answers where the journey goes on, or that it holds. To add a kind: one noun in `model`, one
function here, one line in `STEPS`, one test.
Read next: `journeys`, which walks; `forks`, `sends`, `repeats`, `webhooks`: the longer kinds.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from engine.core.assigning import FORCED, exposure_key
from engine.core.clocktime import add, next_wall_time
from engine.core.journeys.arming import rearm_dates
from engine.core.journeys.best_time import best_time
from engine.core.journeys.first_possible import first_possible
from engine.core.journeys.forks import (
    allot,
    branch_way,
    experiment_way,
    first_send,
    split_way,
)
from engine.core.journeys.recommend import recommend, would_lack
from engine.core.journeys.repeats import forget_heard, repeat
from engine.core.journeys.sends import context_of, discard, draft_of, facts_of, send
from engine.core.journeys.values import values_or_discard
from engine.core.journeys.webhooks import webhook
from engine.core.model.campaigns import Campaign
from engine.core.model.effects import Expose, SetTrait
from engine.core.model.gates import Allow, Decision, Draft
from engine.core.model.people import Enrollment, Exposed
from engine.core.model.steps import (
    BestTime,
    Branch,
    Delay,
    DelayUntil,
    Exit,
    ExperimentStep,
    FirstPossible,
    Recommend,
    Repeat,
    Send,
    Split,
    Track,
    Update,
    WaitFor,
    Webhook,
)
from engine.core.policy import ALLOW, gate
from engine.core.scene import EXIT, HOLD, Onward, Scene
from engine.core.segments import in_order


def delay(
    scene: Scene, enrollment: Enrollment, campaign: Campaign, step: Delay, arrived: bool
) -> Onward:
    """Hold for the span, counted from now; calendar steps in the profile's zone."""
    if arrived:
        enrollment.due_at = add(scene.now, step.duration, scene.person.profile.zone)
    return step.next if enrollment.due_at <= scene.now else HOLD


def delay_until(
    scene: Scene, enrollment: Enrollment, campaign: Campaign, step: DelayUntil, arrived: bool
) -> Onward:
    """Hold until the next such wall time, the present instant included."""
    if arrived:
        zone = scene.person.profile.zone if step.zone == "profile" else step.zone
        enrollment.due_at = next_wall_time(step.at_minute, step.days, zone, now=scene.now)
    return step.next if enrollment.due_at <= scene.now else HOLD


def wait_for(
    scene: Scene, enrollment: Enrollment, campaign: Campaign, step: WaitFor, arrived: bool
) -> Onward:
    """The event wins over the timeout, also when both come at one instant (rule 1)."""
    if arrived:
        enrollment.due_at = add(scene.now, step.timeout, scene.person.profile.zone)
        if step.counting_from == "step":
            forget_heard(scene, enrollment, step.id)  # of the round before
    if step.id in scene.state.heard.get(enrollment.id, ()) or _came_before(scene, enrollment, step):
        return step.then
    return step.on_timeout if enrollment.due_at <= scene.now else HOLD


def branch(
    scene: Scene, enrollment: Enrollment, campaign: Campaign, step: Branch, arrived: bool
) -> Onward:
    """Go on where the first true condition leads."""
    return branch_way(scene, step)


def split(
    scene: Scene, enrollment: Enrollment, campaign: Campaign, step: Split, arrived: bool
) -> Onward:
    """Go on where the profile's hash leads."""
    return split_way(scene, campaign, step)


def experiment(
    scene: Scene, enrollment: Enrollment, campaign: Campaign, step: ExperimentStep, arrived: bool
) -> Onward:
    """Assign, and expose all arms here and now, with what the gates would say to each (rule 3).

    A held-out person walks the assigned arm, so that the ghost is the message they would have had,
    but is not exposed: nothing an arm does reaches them, and counting them would pull the
    experiment's effect towards zero in proportion to the holdout.
    """
    allotment = allot(scene, step.experiment)
    enrollment.variants[step.experiment] = allotment.variant
    if allotment.is_exposing and not enrollment.is_held_out:
        phase, variant, unit = allotment.experiment.phase, allotment.variant, allotment.unit
        answers = _answers_by_arm(scene, enrollment, campaign, step)
        key = exposure_key(step.experiment, unit) if unit else step.experiment
        scene.state.exposures[key] = Exposed(variant, phase, scene.now)
        scene.effects.append(
            Expose(
                step.experiment, phase, variant, scene.now, allotment.probability,
                campaign.name, enrollment.id, answers, unit, allotment.allocation, "journey",
                "forced" if allotment.reason == FORCED else "", allotment.context,
            )
        )  # fmt: skip
    elif allotment.lacks_unit:
        why = f'{allotment.reason}, so not in the experiment "{step.experiment}"'
        discard(scene, enrollment, why)
    return experiment_way(step, allotment)


def update(
    scene: Scene, enrollment: Enrollment, campaign: Campaign, step: Update, arrived: bool
) -> Onward:
    """All of the step's traits or, with a reason, none of them."""
    values = values_or_discard(scene, enrollment, campaign, step.traits, step.even_in_holdout)
    if values is not None:
        scene.effects += [SetTrait(name, value, scene.now) for name, value in values.items()]
        # A pii trait is known to the core only as a blind mark, which the shell alone can make.
        plain = {k: v for k, v in values.items() if k not in scene.program.pii_traits}
        scene.refresh(in_order(scene.learn(plain)))
        rearm_dates(scene, traits=plain)
        # A continuous audience may turn on these traits: it is asked before anything else is due.
        if scene.state.audiences:
            scene.state.audiences = dict.fromkeys(scene.state.audiences, scene.now)
            scene.expect(scene.now)
    return step.next


def track(
    scene: Scene, enrollment: Enrollment, campaign: Campaign, step: Track, arrived: bool
) -> Onward:
    """Emit an event of our own, played once this journey holds."""
    values = values_or_discard(scene, enrollment, campaign, step.properties, step.even_in_holdout)
    if values is not None:
        scene.emit(step.event, values)
    return step.next


def exit_journey(
    scene: Scene, enrollment: Enrollment, campaign: Campaign, step: Exit, arrived: bool
) -> Onward:
    """End the journey here."""
    return EXIT


StepFunction = Callable[[Scene, Enrollment, Campaign, Any, bool], Onward]

STEPS: Final[dict[type, StepFunction]] = {
    Delay: delay,
    DelayUntil: delay_until,
    BestTime: best_time,
    WaitFor: wait_for,
    Branch: branch,
    FirstPossible: first_possible,
    ExperimentStep: experiment,
    Split: split,
    Repeat: repeat,
    Recommend: recommend,
    Send: send,
    Update: update,
    Track: track,
    Webhook: webhook,
    Exit: exit_journey,
}


def _came_before(scene: Scene, enrollment: Enrollment, step: WaitFor) -> bool:
    """Whether the event of a wait counting from ever came before the person entered.

    What comes after entry is noted as it is heard. Only the last such event is remembered, so one
    hidden behind a trigger that itself matches is not seen.
    """
    if step.counting_from != "ever":
        return False
    found = scene.segments.last_seen(step.match, scene.state.features)
    if found is None:
        return False
    seq, accepted_at = found
    # Our own events that a timer caused all bear seq 0; the instant tells the trigger from others.
    is_trigger = seq == enrollment.trigger_seq and (seq or accepted_at == enrollment.entered_at)
    return not is_trigger


def _answers_by_arm(
    scene: Scene, enrollment: Enrollment, campaign: Campaign, step: ExperimentStep
) -> dict[str, str | None]:
    """The gate's answer to each arm's first send; arms that send nothing are left out."""
    answers: dict[str, str | None] = {}
    values = context_of(scene, enrollment, campaign)
    # Arms that differ in what they say, as most do, put one and the same question to the gate.
    question: Draft | None = None
    decision: Decision = ALLOW
    for variant, start in step.arms.items():
        asked: list[Recommend] = []
        first = first_send(scene, campaign, start, asked=asked)
        if first is None:
            continue
        if not isinstance(first, Send):
            answers[variant] = None
            continue
        draft = draft_of(campaign, first, program=scene.program, reached_at=scene.now)
        if (nameless := replace(draft, template="")) != question:
            question = nameless
            decision = gate(
                draft, scene.person, program=scene.program, now=scene.now, ghost=False,
                values=values,
            )  # fmt: skip
        facts = facts_of(first, program=scene.program)
        lacks = (would_lack(scene, enrollment, campaign, it, facts) for it in asked)
        why = next(filter(None, lacks), "")
        answers[variant] = why or ("allow" if isinstance(decision, Allow) else decision.why)
    return answers
