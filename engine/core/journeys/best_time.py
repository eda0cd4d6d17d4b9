"""The best-time step: the hour at which this person is likeliest to act, within a window.

Where a model knows the person's hour, they are held until their clocks next show it; a share of
them, drawn by a hash, is sent to at any hour for ever, or nobody could learn whether the hour is
still theirs. Whom the model does not know, and everybody without a model, is drawn uniformly over
the window. What was drawn is written down as an event of ours with its probability: what learning
needs to tell who reads at nine from when we used to send (opens cluster where sends were).
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from engine.core.clocktime import iso, local_time
from engine.core.model.campaigns import Campaign
from engine.core.model.instants import HOUR, MINUTE, SECOND, Instant
from engine.core.model.people import Enrollment
from engine.core.model.steps import BestTime
from engine.core.scene import HOLD, Onward, Scene
from experiments.assignment import N_BUCKETS, bucket

SEND_TIME_EXPLORED: Final = "Send Time Explored"

_HOURS: Final = {f"{hour:02d}": hour for hour in range(24)}
"""Hours by the label that a model gives a person."""


class Known(NamedTuple):
    """What a model knows of a person: their hour, the run that says so, and the share of sends
    that goes out at any hour."""

    hour: int
    run: int
    explored: float


class Drawn(NamedTuple):
    """How long somebody is held (microseconds); explored: drawn over the whole window."""

    span: int
    is_explored: bool


def best_time(
    scene: Scene, enrollment: Enrollment, campaign: Campaign, step: BestTime, arrived: bool
) -> Onward:
    """Hold until the drawn instant; the same person, entry and visit always draw the same."""
    # Due at once is who was moved here while the campaign was paused: nothing is drawn yet.
    if arrived or enrollment.due_at == enrollment.step_at:
        known = _known(scene, step)
        drawn = _drawn(scene, enrollment, campaign, step, known)
        enrollment.due_at = scene.now + drawn.span
        if not enrollment.is_held_out:
            _log_exploration(scene, enrollment, campaign, step, known, drawn)
    return step.next if enrollment.due_at <= scene.now else HOLD


def _known(scene: Scene, step: BestTime) -> Known | None:
    """What the model knows; None where there is none, or it knows nothing of this person."""
    model = step.send_time
    explored = scene.program.explored.get(model) if model is not None else None
    score = scene.person.profile.scores.get(model) if model is not None else None
    if explored is None or score is None or score.label not in _HOURS:
        return None
    return Known(_HOURS[score.label], score.run, explored)


def _drawn(
    scene: Scene, enrollment: Enrollment, campaign: Campaign, step: BestTime, known: Known | None
) -> Drawn:
    """A span in [0, within): inside the person's next such hour, or anywhere."""
    seed = f"best_time/{campaign.name}/{step.id}"
    unit = f"{scene.person.profile.id}/{enrollment.entered_at}/{enrollment.visit}"
    share = bucket(seed, unit, version="s256")
    if known is not None:
        lot = bucket(f"{seed}/explore", unit, version="s256")
        zone = scene.person.profile.zone
        stretches = _at_hour(known.hour, zone, start=scene.now, end=scene.now + step.within)
        first = next(stretches, None)
        # A window that does not hold the hour leaves nothing to choose.
        if first is not None and lot >= known.explored * N_BUCKETS["s256"]:
            start, end = first
            return Drawn(start - scene.now + (end - start) * share // N_BUCKETS["s256"], False)
    return Drawn(step.within * share // N_BUCKETS["s256"], True)


def _log_exploration(
    scene: Scene,
    enrollment: Enrollment,
    campaign: Campaign,
    step: BestTime,
    known: Known | None,
    drawn: Drawn,
) -> None:
    zone = scene.person.profile.zone
    hour = local_time(enrollment.due_at, zone).hour
    window: dict[str, Instant] = {"start": scene.now, "end": scene.now + step.within}
    share = sum(end - start for start, end in _at_hour(hour, zone, **window)) / step.within
    said: dict[str, Any] = {
        "campaign": campaign.name,
        "step": step.id,
        "at": iso(enrollment.due_at),
        "hour": hour,
        "probability": share,
    }
    if known is not None:
        # Either draw may give this hour: what is logged is the chance of it, not of the draw.
        has_hour = next(_at_hour(known.hour, zone, **window), None) is not None
        explored = known.explored if has_hour else 1.0
        said["probability"] = explored * share + (1 - explored) * (hour == known.hour)
        said |= {
            "model": step.send_time,
            "run": known.run,
            "best_hour": known.hour,
            "explored": drawn.is_explored,
        }
    scene.emit(SEND_TIME_EXPLORED, said)


def _at_hour(
    hour: int, zone: str, *, start: Instant, end: Instant
) -> Iterator[tuple[Instant, Instant]]:
    """The stretches of [start, end) during which local clocks show this hour."""
    at = start
    while at < end:  # at most 24 turns a day: `check` bounds the window
        local = local_time(at, zone)
        past = local.minute * MINUTE + local.second * SECOND + local.microsecond
        until = min(end, at + HOUR - past)
        if local.hour == hour:
            yield at, until
        at = until
