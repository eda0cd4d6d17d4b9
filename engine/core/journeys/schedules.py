"""Campaigns that the clock starts: a line of cron, or a date of each person's own.

The enrollment's key is the instant that fired, of a date the anniversary's year (or the date
itself): so a birthday that is corrected after its mail went out starts no second journey.
Read next: `entry`.
"""

from engine.core.clocktime import iso
from engine.core.journeys.arming import arm_next, date_of, zone_of
from engine.core.journeys.dates import next_occasion
from engine.core.journeys.entry import enter
from engine.core.model.campaigns import DateTrigger
from engine.core.model.instants import Instant
from engine.core.scene import Scene


def fire(scene: Scene, name: str) -> None:
    """Start the campaign whose fire is due, and arm the next one."""
    fired_at: Instant = scene.state.schedules.pop(name)
    if name not in scene.roster.schedules:
        return
    campaign, trigger = scene.roster.schedules[name]
    arm_next(scene, name)
    key = iso(fired_at)
    if isinstance(trigger, DateTrigger):
        value, zone = date_of(scene, trigger), zone_of(scene, trigger)
        occasion = next_occasion(trigger, value, zone, after=fired_at - 1)
        if occasion is None or occasion.at != fired_at:
            return  # the date is gone: what it was armed for is not today any more
        key = occasion.key
    enter(scene, campaign, key=key, values={})
