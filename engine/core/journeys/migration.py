"""Moving people to another version of their campaign, and ending it for those an operator names.

Both happen to a profile once, when it meets the release they came with, before anything else is
played: so a crash loses nothing, and nobody walks on in between. A wait keeps its start and takes
its new length; what has passed by then is due at once (rule 6). What came to someone's ears stays
heard where the new version waits for the same event.
Read next: `play`, which calls this; `engine.release.planning`, which counts beforehand.
"""

from typing import Any, Final

from msgspec import to_builtins

from engine.core.clocktime import add, next_wall_time
from engine.core.journeys.passage import leave
from engine.core.journeys.sends import discard, draft_of
from engine.core.model.campaigns import Campaign, Move
from engine.core.model.effects import Moved
from engine.core.model.instants import Instant
from engine.core.model.people import Enrollment
from engine.core.model.steps import (
    BestTime,
    Delay,
    DelayUntil,
    Repeat,
    Send,
    Step,
    StepId,
    WaitFor,
    Webhook,
)
from engine.core.scene import Scene

_LINKS: Final = ("next", "then", "on_timeout", "otherwise", "arms", "body")
_KEPT: Final = (Send, BestTime, Webhook, Repeat)
"""Steps whose instant is not a length counted from their start: the one that is set stays."""
_HOLDING_MESSAGE: Final = (Send, Webhook)


def meet_operators(scene: Scene) -> list[Enrollment]:
    """Move and end what the releases ask that this profile has not met.

    Returns:
        Enrollments that now stand before a step that nobody waits in: `advance` them as arrived.
    """
    program, met = scene.program, scene.state.release
    arrived: list[Enrollment] = []
    if program.moves:
        for enrollment in scene.active():
            if _move(scene, enrollment, met):
                arrived.append(enrollment)
    for order in program.unenrolments:
        if order.release <= met:
            continue
        for enrollment in scene.active():
            if (
                enrollment.campaign == order.campaign
                and enrollment.id <= order.last
                and order.step in (None, enrollment.step)
                and (order.only is None or enrollment.id in order.only)
            ):
                why = f"unenrolled: {order.why}" if order.why else "unenrolled by an operator"
                leave(scene, enrollment, "dropped", why)
    return [each for each in arrived if each.status == "active"]


def target_of(step: StepId, *, move: Move, old: Campaign | None, new: Campaign) -> StepId | None:
    """Where a move brings someone who stands at a step; None if they stay on their version.

    A step that the map does not name goes to the step of the same id if it is the same kind of
    step; one without a name of its own (`2.then.0`) only if it still says exactly the same.
    """
    named = move.steps.get(step)
    if named is not None:
        return named if named in new.steps else None
    was, now = None if old is None else old.steps.get(step), new.steps.get(step)
    if now is None or (was is not None and type(was) is not type(now)):
        return None
    if is_unnamed(step) and (was is None or content_of(was) != content_of(now)):
        return None
    return step


def is_unnamed(step: StepId) -> bool:
    """Whether the id is only a place in the file; names begin with a letter."""
    return step.rpartition(".")[2].isdigit()


def content_of(step: Step) -> dict[str, Any]:
    """What a step says, without where it leads."""
    written: dict[str, Any] = to_builtins(step)
    return {key: value for key, value in written.items() if key not in _LINKS}


def due_after_move(
    was: Step | None, step: Step, *, step_at: Instant, due_at: Instant, zone: str
) -> Instant | None:
    """When someone acts who is put at a step, having stood since `step_at`; None: on arrival.

    Args:
        due_at: When they would have acted where they stood.
        zone: The profile's.
    """
    match step:
        case Delay():
            return add(step_at, step.duration, zone)
        case WaitFor():
            return add(step_at, step.timeout, zone)
        case DelayUntil():
            its = zone if step.zone == "profile" else step.zone
            return next_wall_time(step.at_minute, step.days, its, now=step_at)
        case _ if type(was) is type(step) and isinstance(step, _KEPT):
            return due_at
        case _:
            return None


def _move(scene: Scene, enrollment: Enrollment, met: int) -> bool:
    """Follow every move not met yet; whether the person arrives at a step anew.

    Whoever is on the version that one of them leads to came in after it, or has made it already.
    """
    ahead = [
        each
        for each in scene.program.moves
        if each.release > met and each.campaign == enrollment.campaign
    ]
    for index in range(len(ahead) - 1, -1, -1):
        if ahead[index].version == enrollment.version:
            ahead = ahead[index + 1 :]
            break
    is_arrival = False
    for move in ahead:
        new = scene.roster.versions.get((move.campaign, move.version))
        if new is None or move.origin not in ("any", enrollment.version):
            continue
        if enrollment.version == move.version:
            continue  # its files went live twice, with a rollback between: the map was followed
        old = scene.campaign_of(enrollment)
        target = target_of(enrollment.step or "", move=move, old=old, new=new)
        if target is not None:
            is_arrival = _place(scene, enrollment, move, old, new, target)
    return is_arrival


def _place(
    scene: Scene,
    enrollment: Enrollment,
    move: Move,
    old: Campaign | None,
    new: Campaign,
    target: StepId,
) -> bool:
    was = None if old is None else old.steps.get(enrollment.step or "")
    step, origin = new.steps[target], enrollment.version
    if not (isinstance(was, _HOLDING_MESSAGE) and type(was) is type(step)):
        _let_go_of_message(scene, enrollment, old, was, target)
    _keep_what_was_heard(scene, enrollment, move, old, new)
    enrollment.rounds = {
        to: begun
        for name, begun in enrollment.rounds.items()
        if (to := target_of(name, move=move, old=old, new=new)) is not None
        and isinstance(new.steps[to], Repeat)
    }
    due_at = due_after_move(
        was,
        step,
        step_at=enrollment.step_at,
        due_at=enrollment.due_at,
        zone=scene.person.profile.zone,
    )
    if isinstance(step, Repeat) and (begun := enrollment.rounds.get(step.id)) is not None:
        due_at = add(begun.began_at, step.every, scene.person.profile.zone)
    enrollment.version, enrollment.step = move.version, target
    if due_at is None:
        enrollment.step_at = enrollment.due_at = scene.now
        enrollment.visit += 1
    else:
        enrollment.due_at = due_at
    if target in scene.state.heard.get(enrollment.id, ()):
        enrollment.due_at = scene.now
    scene.expect(enrollment.due_at)
    scene.effects.append(
        Moved(enrollment.id, move.campaign, origin, move.version, target, scene.now)
    )
    return due_at is None


def _let_go_of_message(
    scene: Scene, enrollment: Enrollment, old: Campaign | None, was: Step | None, to: StepId
) -> None:
    """Drop the message that a gate held back; a webhook's call is the outbox's already."""
    if enrollment.message is not None and not isinstance(was, Webhook):
        draft = None
        if old is not None and isinstance(was, Send):
            at = enrollment.step_at
            draft = draft_of(old, was, program=scene.program, reached_at=at)
        discard(scene, enrollment, f'moved to step "{to}" of a newer version', draft=draft)
    enrollment.message = None


def _keep_what_was_heard(
    scene: Scene, enrollment: Enrollment, move: Move, old: Campaign | None, new: Campaign
) -> None:
    """Carry over which waits' events have come, and find those that only the new version awaits.

    The last event of every wait is remembered, so what came since the wait's start is known even
    if the old version did not listen for it.
    """
    heard: list[StepId] = []
    for name in scene.state.heard.pop(enrollment.id, ()):
        to = target_of(name, move=move, old=old, new=new)
        was = None if old is None else old.steps.get(name)
        now = None if to is None else new.steps[to]
        if now is not None and was is not None and _is_for_the_same(was, now):
            heard.append(now.id)
    here = target_of(enrollment.step or "", move=move, old=old, new=new)
    for step in new.steps.values():
        if not isinstance(step, WaitFor) or step.id in heard:
            continue
        is_here = step.id == here
        if step.counting_from != "step":
            since = enrollment.entered_at
        elif is_here:
            since = enrollment.step_at
        else:
            continue
        found = scene.segments.last_seen(step.match, scene.state.features)
        if found is not None and found[1] > since and found[0] != enrollment.trigger_seq:
            heard.append(step.id)
    if heard:
        scene.state.heard[enrollment.id] = heard


def _is_for_the_same(was: Step, now: Step) -> bool:
    """Whether what one of these steps has heard is what the other one listens for."""
    match was, now:
        case (WaitFor(), WaitFor()):
            return was.match == now.match
        case (Repeat(), Repeat()):
            return was.until == now.until
        case _:
            return isinstance(was, Webhook) and isinstance(now, Webhook)
