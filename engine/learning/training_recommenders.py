"""Trains a `recommender:` model: judged on the last fifth of the past, then learnt from all."""

from collections.abc import Mapping
from typing import Any, Final

from campaigns.models import RecommenderModel
from engine.core.model.instants import Instant
from engine.learning.artifact import Artifact
from engine.learning.history import history, reading_of
from engine.learning.lessons import Lesson, data_hash
from engine.learning.material import Material
from engine.learning.recommenders.keeping import artifact_of, recommender_of
from engine.learning.recommenders.reporting import page
from engine.learning.recommenders.settling import settle
from engine.learning.refusals import Refused

ROWS: Final = "rows"
"""The key of a schema under which stands what events told of items, where no catalog does."""


def learn(material: Material, model: RecommenderModel) -> Lesson:
    """Learn what goes with what, as of the material's instant.

    Raises:
        Refused: If there is nothing to learn from; while taste is served, also if there is too
            little of it or too few came back to judge by. Otherwise the declared chain is learnt.
    """
    playbook = material.playbook
    catalog = playbook.workspace.catalog.get(model.catalog)
    with history(
        material.connection,
        as_of=material.as_of,
        learning=material.learning,
        reading=reading_of(playbook.workspace),
    ) as past:
        likings = past.interactions(model.rating or model.signals)
        items = past.items(model, () if catalog is None else catalog.rows)
    sensitive = material.learning.sensitive
    segments = _Segments(material, model)
    rows: Mapping[str, Mapping[str, Any]] = items.rows
    before = material.before()
    found = settle(
        likings,
        rows,
        model,
        now=material.as_of,
        rng=material.rng(),
        sensitive=sensitive,
        segments=segments,
        first_seen=items.first_seen,
        before=None if before is None else recommender_of(before),
        champion=None if material.champion is None else material.champion.about.metrics,
    )
    trained = found.recommender
    kept = artifact_of(trained)
    told = {} if model.items is None else {ROWS: {name: dict(row) for name, row in rows.items()}}
    return Lesson(
        artifact=Artifact(kept.arrays, {**kept.schema, **told}),
        is_better=found.verdict.is_better,
        verdict=found.verdict.why,
        metrics=found.metrics,
        data_hash=data_hash(likings.user_ids, likings.items, likings.weights, likings.times),
        page=page(found.evaluation, found.verdict) if found.evaluation else "",
        notes=(*trained.notes, *segments.notes),
    )


class _Segments:
    """Who was in the segment whose favourites are a fallback, at any instant that is asked about.

    An empty one refuses that link alone: people answer by what comes after it, and the notes say
    so.
    """

    def __init__(self, material: Material, model: RecommenderModel) -> None:
        self._material = material
        self._name = model.segment if "segment_popular" in model.fallback else ""
        self.notes: list[str] = []

    def __call__(self, at: Instant) -> dict[int, str]:
        if not self._name:
            return {}
        try:
            found = self._material.among(self._name, at=at) or ()
        except Refused as refused:
            if at == self._material.as_of:
                self.notes.append(f"segment_popular answers nobody: {refused.why}")
            return {}
        return dict.fromkeys(found, self._name)
