"""The best-time step: the hour at which this person is likeliest to act, within a window.

Without a model of a person's hours the instant is drawn uniformly over the window, by a hash, and
what was drawn is written down as an event of ours with its probability: what learning needs to
tell who reads at nine from when we used to send (facts: opens cluster where sends were).
"""

from typing import Final

from engine.core.clocktime import iso, local_time
from engine.core.model.campaigns import Campaign
from engine.core.model.instants import HOUR, MINUTE, SECOND, Instant
from engine.core.model.people import Enrollment
from engine.core.model.steps import BestTime
from engine.core.scene import Onward, Outcome, Scene
from experiments.assignment import N_BUCKETS, bucket

SEND_TIME_EXPLORED: Final = "Send Time Explored"


def best_time(
    scene: Scene, enrollment: Enrollment, campaign: Campaign, step: BestTime, arrived: bool
) -> Onward:
    """Hold until the drawn instant; the same person, entry and visit always draw the same."""
    # Due at once is who was moved here while the campaign was paused: nothing is drawn yet.
    if arrived or enrollment.due_at == enrollment.step_at:
        enrollment.due_at = scene.now + _drawn(scene, enrollment, campaign, step)
        if not enrollment.is_held_out:
            _log_exploration(scene, enrollment, campaign, step)
    return step.next if enrollment.due_at <= scene.now else Outcome.HOLD


def _drawn(scene: Scene, enrollment: Enrollment, campaign: Campaign, step: BestTime) -> int:
    """Microseconds in [0, within)."""
    number = bucket(
        f"best_time/{campaign.name}/{step.id}",
        f"{scene.person.profile.id}/{enrollment.entered_at}/{enrollment.visit}",
        version="s256",
    )
    return step.within * number // N_BUCKETS["s256"]


def _log_exploration(
    scene: Scene, enrollment: Enrollment, campaign: Campaign, step: BestTime
) -> None:
    zone = scene.person.profile.zone
    hour = local_time(enrollment.due_at, zone).hour
    share = _time_at_hour(hour, zone, start=scene.now, end=scene.now + step.within) / step.within
    scene.emit(
        SEND_TIME_EXPLORED,
        {
            "campaign": campaign.name,
            "step": step.id,
            "at": iso(enrollment.due_at),
            "hour": hour,
            "probability": share,
        },
    )


def _time_at_hour(hour: int, zone: str, *, start: Instant, end: Instant) -> int:
    """Microseconds of [start, end) during which local clocks show this hour."""
    total, at = 0, start
    while at < end:  # at most 24 turns a day: `check` bounds the window
        local = local_time(at, zone)
        past = local.minute * MINUTE + local.second * SECOND + local.microsecond
        until = min(end, at + HOUR - past)
        if local.hour == hour:
            total += until - at
        at = until
    return total
