"""Who a campaign is for: asked at entry, and while someone is inside a continuous audience.

A continuous audience is asked again at every event of someone inside, and at the instant its last
answer stops holding (`State.audiences`). Leaving it ends the journey, also in a paused campaign.
Read next: `entry`.
"""

from engine.core.journeys.passage import leave
from engine.core.model.campaigns import Campaign
from engine.core.model.instants import NEVER, Instant
from engine.core.scene import Scene


def is_in_audience(scene: Scene, campaign: Campaign) -> bool:
    """Whether the person belongs to the campaign's audience now; true where there is none."""
    return _answer(scene, campaign)[0]


def check_audiences(scene: Scene) -> None:
    """End the journeys whose continuous audience the person has left."""
    if not scene.roster.has_continuous:
        return
    untils: dict[str, Instant] = {}
    for enrollment in scene.active():
        campaign = scene.campaign_of(enrollment)
        if campaign is None or not campaign.is_continuous or campaign.audience is None:
            continue
        matches, until = _answer(scene, campaign)
        if matches:
            untils[campaign.name] = min(until, untils.get(campaign.name, NEVER))
            scene.expect(until)
        else:
            leave(scene, enrollment, "exited", "left the audience")
    scene.state.audiences = untils


def _answer(scene: Scene, campaign: Campaign) -> tuple[bool, Instant]:
    if campaign.audience is None:
        return True, NEVER
    features, profile = scene.state.features, scene.person.profile
    return scene.segments.answer(campaign.audience, features, profile, now=scene.now)
