"""Campaigns that the clock starts: each profile's next fire, in its own zone if asked.

A fire is armed while the campaign is live and, where its audience is one segment, while the profile
is inside; any other audience is asked at the fire. Fires missed meanwhile count as one: the next is
strictly after now. The enrollment's key is the instant that fired.
Read next: `entry`.
"""

from engine.core.clocktime import iso, next_fire
from engine.core.entry import enter
from engine.core.model import Campaign, Instant, ScheduleTrigger, SegmentCondition
from engine.core.roster import Crossing
from engine.core.scene import Scene


def arm_schedules(scene: Scene) -> None:
    """Give the profile this release's fires: new ones armed, changed ones moved, old ones gone.

    A fire that is already due stays, or it would be lost.
    """
    known = scene.state.schedules
    scene.state.schedules = {}
    for name, (campaign, trigger) in scene.roster.schedules.items():
        if _is_for(scene, campaign):
            fire: Instant | None = known.get(name)
            if fire is None or fire > scene.now:
                fire = _next(scene, trigger)
            scene.state.schedules[name] = fire
            scene.expect(fire)


def cross_schedules(scene: Scene, crossing: Crossing) -> None:
    """Arm or disarm the schedules whose audience is the segment just entered or left."""
    segment, on = crossing
    for name in scene.roster.schedules_of.get(segment, ()):
        if on == "exit":
            scene.state.schedules.pop(name, None)
        elif name not in scene.state.schedules:
            scene.state.schedules[name] = _next(scene, scene.roster.schedules[name][1])


def fire(scene: Scene, name: str) -> None:
    """Start the campaign whose fire is due, and arm the next one."""
    fired_at: Instant = scene.state.schedules.pop(name)
    if name not in scene.roster.schedules:
        return
    campaign, trigger = scene.roster.schedules[name]
    scene.state.schedules[name] = _next(scene, trigger)
    enter(scene, campaign, key=iso(fired_at), values={})


def _is_for(scene: Scene, campaign: Campaign) -> bool:
    if not isinstance(campaign.audience, SegmentCondition):
        return True
    membership = scene.state.memberships.get(campaign.audience.segment)
    return membership is not None and membership.matches


def _next(scene: Scene, trigger: ScheduleTrigger) -> Instant:
    zone = scene.person.profile.zone if trigger.zone == "profile" else trigger.zone
    following = next_fire(trigger.cron, zone, after=scene.now)
    scene.expect(following)
    return following
