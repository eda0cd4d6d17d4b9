"""Trains a `send_time:` model: the hour of the day at which each person acts."""

from typing import Final

from campaigns.models import SendTimeModel
from engine.core.clocktime import iso
from engine.learning.history import history, reading_of
from engine.learning.lessons import Lesson, data_hash
from engine.learning.material import Material
from engine.learning.refusals import Refused
from engine.learning.send_times import HourRows, Judgement, judge
from engine.learning.send_times import learn as learnt
from engine.learning.send_times.judging import UNJUDGED
from engine.store.models import ModelRun

CONFIDENCE: Final = "mean confidence"
"""What a run that nobody could judge is measured by."""


def learn(material: Material, model: SendTimeModel) -> Lesson:
    """Learn everybody's hour as of the material's instant.

    Raises:
        Refused: If nobody acted often enough.
    """
    from engine.learning.send_times.report import page

    reading = reading_of(material.playbook.workspace)
    with history(
        material.connection, as_of=material.as_of, learning=material.learning, reading=reading
    ) as past:
        answers = past.hours(model.events, has_sessions=False, zone=material.zone)
        visits = (
            past.hours((), has_sessions=True, zone=material.zone) if model.has_sessions else None
        )
    found = learnt(answers, min_events=model.min_events, free=visits)
    values = {
        profile: (share, label)
        for profile, share, label in zip(
            found.ids.tolist(), found.shares.tolist(), found.labels(), strict=True
        )
    }
    sure = float(found.confidence.mean())
    judged = _judged(material, model, answers, visits)
    told = judged.metrics() if judged is not None else {"primary": {}, "figures": []}
    return Lesson(
        artifact=found.artifact(),
        is_better=judged is not None and judged.is_better,
        verdict=f"{len(values):,} people have an hour of their own; everybody's is "
        f"{found.fallback:02d}:00; {UNJUDGED if judged is None else judged.why}",
        metrics={
            "primary": told["primary"] or {"name": CONFIDENCE, "value": sure},
            "figures": [
                *told["figures"],
                {"name": CONFIDENCE, "value": sure},
                {"name": "people with an hour", "value": len(values)},
                {"name": "acts learnt from", "value": float(found.n_acts.sum())},
            ],
            "hours": [round(float(it), 6) for it in found.prior.tolist()],
            "fallback": found.fallback,
        },
        data_hash=data_hash(answers.ids, answers.hours, answers.acts, answers.sends),
        values=values,
        page=page(found, judged, model, as_of=iso(material.as_of)[:10]),
        is_unseating=judged is not None and _was_never_judged(material.champion),
    )


def _was_never_judged(champion: ModelRun | None) -> bool:
    """As up to 0.5.0, which published hours that nobody could judge."""
    return (
        champion is not None and champion.about.metrics.get("primary", {}).get("name") == CONFIDENCE
    )


def _judged(
    material: Material, model: SendTimeModel, answers: HourRows, visits: HourRows | None
) -> Judgement | None:
    """Whether own hours catch more than everybody's; None where too few can be asked."""
    try:
        return judge(answers, min_events=model.min_events, rng=material.rng(), free=visits)
    except Refused:
        return None
