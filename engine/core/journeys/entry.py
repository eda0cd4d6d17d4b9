"""How someone comes into a campaign: by an event, by crossing a segment's border, by the clock.

Only live campaigns are in the roster's triggers: draft, paused and archived ones start nobody. The
audience is asked at entry, then the re-entry rule, then the holdouts; the version entered is the
one they finish on. Old news starts no journey (rule 8).
Read next: `reentry`, `holdouts`, `schedules`.
"""

from collections.abc import Mapping
from typing import Any, Final

from engine.core.journeys.audiences import check_audiences, is_in_audience
from engine.core.journeys.holdouts import holder_of
from engine.core.journeys.passage import advance, leave
from engine.core.journeys.reentry import may_reenter, remember_entry
from engine.core.model.campaigns import Campaign
from engine.core.model.effects import Discard, Entered
from engine.core.model.instants import EnrollmentId
from engine.core.model.people import Enrollment, Event
from engine.core.paths import MISSING, follow
from engine.core.roster import Crossing
from engine.core.scene import Scene
from engine.core.segments import matches_event

CAMPAIGN_TRIGGERED: Final = "Campaign Triggered"


def start_journeys(scene: Scene, event: Event, crossing: Crossing | None) -> None:
    """Enter every campaign that this event triggers, most important first."""
    if event.is_old:
        return
    if event.is_ours and event.name == CAMPAIGN_TRIGGERED:
        _start_by_api(scene, event)
    for campaign, trigger in scene.roster.triggers.get(event.name, ()):
        if not matches_event(trigger.match, event):
            continue
        if trigger.key is None:
            enter(scene, campaign, key="", values=event.properties)
            continue
        key = _key_in({"properties": event.properties, "context": event.context}, trigger.key)
        if key is None:
            _refuse(scene, campaign, f"no value for the key {trigger.key}")
        else:
            enter(scene, campaign, key=key, values=event.properties)
    if crossing is not None:
        for campaign in scene.roster.crossings.get(crossing, ()):
            enter(scene, campaign, key="", values=event.properties)


def enter(scene: Scene, campaign: Campaign, *, key: str, values: Mapping[str, Any]) -> None:
    """Enroll the person if audience and re-entry rule allow, and walk the first steps.

    Args:
        values: What the trigger carried; templates and expressions read it as `event`.
    """
    if not is_in_audience(scene, campaign):
        return
    inside = [each for each in scene.active() if each.campaign == campaign.name and each.key == key]
    if inside:
        if campaign.reentry.while_active == "ignore":
            return
        if campaign.reentry.while_active == "restart":
            for enrollment in inside:
                leave(scene, enrollment, "exited", "restarted")
    elif not may_reenter(scene, campaign, key):
        return
    remember_entry(scene, campaign, key)
    enrollment = _enroll(scene, campaign, key, values)
    if campaign.is_continuous:
        check_audiences(scene)
    advance(scene, enrollment, arrived=True)


def _start_by_api(scene: Scene, event: Event) -> None:
    """Enter the one campaign the call was about; its template reads what the call brought."""
    name = str(event.properties.get("campaign", ""))
    brought = event.properties.get("properties")
    values = brought if isinstance(brought, dict) else {}
    if name not in scene.roster.by_api:
        campaign = scene.program.campaigns.get(name)
        if campaign is not None:
            _refuse(scene, campaign, f"triggered by the API while it is {campaign.state}")
        return
    campaign, trigger = scene.roster.by_api[name]
    if trigger.key is None:
        enter(scene, campaign, key=str(event.seq), values=values)
        return
    key = _key_in({"properties": values, "context": event.context}, trigger.key)
    if key is None:
        _refuse(scene, campaign, f"no value for the key {trigger.key}")
    else:
        enter(scene, campaign, key=key, values=values)


def backfill(scene: Scene) -> None:
    """Enroll those already inside the segment of a campaign they have not met before.

    Whoever crosses the border at this very instant enters by the crossing instead.
    """
    crossing = {each.crossing[0] for each in scene.queue if each.crossing is not None}
    met = [name for name in scene.state.backfilled if name in scene.program.campaigns]
    new = [campaign.name for campaign, _ in scene.roster.backfills if campaign.name not in met]
    scene.state.backfilled = met + new
    if scene.person.is_new:
        return
    for campaign, segment in scene.roster.backfills:
        if campaign.name in met or segment in crossing:
            continue
        if scene.state.memberships[segment].matches:
            enter(scene, campaign, key="", values={"segment": segment})


def _enroll(scene: Scene, campaign: Campaign, key: str, values: Mapping[str, Any]) -> Enrollment:
    is_exempt = (campaign.name, campaign.version) in scene.roster.transactional
    holder = "" if is_exempt else holder_of(scene.person, campaign, program=scene.program)
    enrollment = Enrollment(
        id=EnrollmentId(scene.new_id("enrollment")),
        campaign=campaign.name,
        version=campaign.version,
        key=key,
        entered_at=scene.now,
        step=campaign.first,
        step_at=scene.now,
        trigger_seq=scene.seq,
        trigger=dict(values),
        is_held_out=bool(holder),
        held_by=holder,
    )
    scene.person.enrollments.append(enrollment)
    scene.effects.append(Entered(enrollment.id, campaign.name, scene.now))
    return enrollment


def _key_in(brought: Mapping[str, Any], path: str) -> str | None:
    """The key's value as text, or None where there is none that could tell two apart."""
    root, *keys = path.split(".")
    value = follow(brought.get(root, {}), keys)
    if value is MISSING or value is None or value == "" or isinstance(value, (dict, list)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _refuse(scene: Scene, campaign: Campaign, why: str) -> None:
    scene.effects.append(
        Discard(
            enrollment=EnrollmentId(scene.new_id("enrollment")),
            message=scene.new_id("message"),
            step="",
            visit=0,
            draft=None,
            variant="",
            at=scene.now,
            why=why,
            campaign=campaign.name,
        )
    )
