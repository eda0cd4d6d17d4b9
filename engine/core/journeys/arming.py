"""When the clock next starts a campaign for this person: armed, moved, disarmed.

A fire is armed while the campaign is live and, where its audience is one segment, while the person
is inside; any other audience is asked at the fire. It stays in `State.schedules` as one instant a
campaign. A fire that is already due stays, or it would be lost; what was missed meanwhile counts as
one, since the next is strictly after now.
Read next: `schedules`, which lets them fire; `dates`.
"""

from collections.abc import Collection
from typing import Any

from engine.core.clocktime import next_fire
from engine.core.journeys.dates import next_occasion
from engine.core.model.campaigns import Campaign, DateTrigger, ScheduleTrigger
from engine.core.model.conditions import SegmentCondition
from engine.core.model.instants import Instant
from engine.core.paths import MISSING, follow
from engine.core.roster import Crossing
from engine.core.scene import Scene


def arm_schedules(scene: Scene) -> None:
    """Give the profile this release's fires: new ones armed, changed ones moved, old ones gone."""
    known = scene.state.schedules
    scene.state.schedules = {
        name: at for name, at in known.items() if name in scene.roster.schedules
    }
    for name in scene.roster.schedules:
        _arm(scene, name)


def cross_schedules(scene: Scene, crossing: Crossing) -> None:
    """Arm or disarm the schedules whose audience is the segment just entered or left."""
    segment, on = crossing
    for name in scene.roster.schedules_of.get(segment, ()):
        if on == "exit":
            scene.state.schedules.pop(name, None)
        elif name not in scene.state.schedules:
            arm_next(scene, name)


def rearm_dates(scene: Scene, *, traits: Collection[str] = (), has_moved: bool = False) -> None:
    """Move the fires that depend on these traits or, where the person has moved, on their zone."""
    for name, trigger in scene.roster.dates.items():
        if trigger.trait[0] in traits or (has_moved and trigger.zone == "profile"):
            _arm(scene, name)


def arm_next(scene: Scene, name: str) -> None:
    """Arm a campaign's next fire strictly after now, if there is one."""
    _, trigger = scene.roster.schedules[name]
    following = _next(scene, trigger)
    if following is None:
        scene.state.schedules.pop(name, None)
    else:
        scene.state.schedules[name] = following
        scene.expect(following)


def zone_of(scene: Scene, trigger: ScheduleTrigger | DateTrigger) -> str:
    """The zone whose clocks a trigger reads."""
    return scene.person.profile.zone if trigger.zone == "profile" else trigger.zone


def date_of(scene: Scene, trigger: DateTrigger) -> Any:
    """The trait a date trigger reads; None where it is missing."""
    value = follow(scene.person.profile.traits, trigger.trait)
    return None if value is MISSING else value


def _arm(scene: Scene, name: str) -> None:
    campaign, _ = scene.roster.schedules[name]
    armed = scene.state.schedules.get(name)
    if not _is_for(scene, campaign):
        scene.state.schedules.pop(name, None)
    elif armed is None or armed > scene.now:
        arm_next(scene, name)
    else:
        scene.expect(armed)


def _is_for(scene: Scene, campaign: Campaign) -> bool:
    if not isinstance(campaign.audience, SegmentCondition):
        return True
    if campaign.audience.segment in scene.segments.when_read:
        return True  # it has no members to be among: asked at the fire
    membership = scene.state.memberships.get(campaign.audience.segment)
    return membership is not None and membership.matches


def _next(scene: Scene, trigger: ScheduleTrigger | DateTrigger) -> Instant | None:
    zone = zone_of(scene, trigger)
    if isinstance(trigger, ScheduleTrigger):
        return next_fire(trigger.cron, zone, after=scene.now)
    occasion = next_occasion(trigger, date_of(scene, trigger), zone, after=scene.now)
    return None if occasion is None else occasion.at
