"""Which way a fork leads one person: a branch by condition, a split or an experiment by hash.

Nothing is recorded here, so a fork may be asked ahead of time: `first_send` looks down an arm for
the message it begins with, which is how an experiment knows at once what each arm could have sent.
Read next: `steps`.
"""

from typing import TypeAlias

from engine.core.assigning import OUTSIDE, Allotment, Asked, decide
from engine.core.journeys.first_possible import choose
from engine.core.model.campaigns import Campaign
from engine.core.model.steps import (
    BestTime,
    Branch,
    Delay,
    DelayUntil,
    ExperimentStep,
    FirstPossible,
    Recommend,
    Repeat,
    Send,
    Split,
    StepId,
    Track,
    Update,
    WaitFor,
    Webhook,
)
from engine.core.scene import Scene
from experiments.assignment import assign, in_layer

Wait: TypeAlias = Delay | DelayUntil | BestTime | WaitFor | Webhook | Repeat


def branch_way(scene: Scene, step: Branch) -> StepId | None:
    """The first arm whose condition holds now."""
    features, profile = scene.state.features, scene.person.profile
    for condition, target in step.arms:
        if scene.segments.answer(condition, features, profile, now=scene.now)[0]:
            return target
    return step.otherwise


def split_way(scene: Scene, campaign: Campaign, step: Split) -> StepId | None:
    """The arm this profile always takes at this split of this campaign."""
    names = tuple(step.weights)
    given = assign(
        str(scene.person.profile.id),
        seed=f"split/{campaign.name}/{step.id}",
        variants=names,
        weights=tuple(step.weights[name] for name in names),
    )
    return step.arms[given.variant or names[0]]


def allot(scene: Scene, name: str) -> Allotment:
    """The variant of this person: the one first exposed to, else the hash in the current phase."""
    arms = scene.roster.arms[name]
    if not arms.is_plain:
        return decide(asked_by(scene), name)
    experiment, names, weights, shares = arms[:4]
    known = scene.state.exposures.get(name)
    if known is not None:
        return Allotment(experiment, known.variant, shares.get(known.variant, 0.0), True)
    unit = str(scene.person.profile.id)
    if experiment.layer is not None:
        seed, start, end = experiment.layer
        if not in_layer(unit, layer_seed=seed, start=start, end=end):
            return Allotment(experiment, OUTSIDE, 0.0, False)
    given = assign(
        unit,
        seed=experiment.seed,
        variants=names,
        weights=weights,
        coverage=experiment.coverage,
        version="s256" if experiment.hash_version == "s256" else 2,
    )
    variant = given.variant or OUTSIDE
    return Allotment(experiment, variant, shares.get(variant, 0.0), False)


def asked_by(scene: Scene) -> Asked:
    """The person on stage, as assignment asks about them."""
    return Asked(
        scene.program, scene.roster, scene.segments, scene.person, scene.now, shown=scene.shown
    )


def experiment_way(step: ExperimentStep, allotment: Allotment) -> StepId | None:
    """The variant's arm; the control's for someone outside, or whose arm no longer exists."""
    if allotment.variant in step.arms:
        return step.arms[allotment.variant]
    return step.arms.get(allotment.experiment.control)


def first_send(
    scene: Scene, campaign: Campaign, start: StepId | None, *, asked: list[Recommend] | None = None
) -> Send | Wait | None:
    """What an arm begins with: its first send, the wait before it, or None if it sends nothing.

    Of a `first_possible` it is the send that would be chosen now.

    Args:
        asked: Takes the recommend steps on the way there.
    """
    if start is None:
        return None  # the control's arm, as a rule
    current: StepId | None = start
    entered: set[StepId] = set()
    for _ in range(2 * len(campaign.steps)):
        step = campaign.steps[current] if current is not None else None
        match step:
            case Send():
                return step
            case Delay() | DelayUntil() | BestTime() | WaitFor() | Webhook():
                return step
            case FirstPossible():
                chosen, _ = choose(scene, campaign, step)
                if chosen is not None:
                    return chosen
                current = step.next
            case Repeat() if step.id not in entered and step.starts_now:
                entered.add(step.id)
                current = step.body
            case Repeat():
                if step.id not in entered or step.times > 1:
                    return step
                current = step.next
            case Update() | Track():
                current = step.next
            case Recommend():
                if asked is not None:
                    asked.append(step)
                current = step.next
            case Branch():
                current = branch_way(scene, step)
            case Split():
                current = split_way(scene, campaign, step)
            case ExperimentStep():
                current = experiment_way(step, allot(scene, step.experiment))
            case _:
                return None
    return None
