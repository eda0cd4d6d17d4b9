"""Trains a `cluster:` model: groups among people, the same ones as before wherever they can be."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from campaigns.models import ClusterModel
from engine.learning.clusters import Assignment, Clusters, Standing, fit, hold, transitions
from engine.learning.clusters.holding import NOTHING
from engine.learning.history import history, reading_of
from engine.learning.lessons import Lesson, data_hash
from engine.learning.material import Material
from engine.learning.preparing import Reader
from engine.store import scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def learn(material: Material, model: ClusterModel) -> Lesson:
    """Find groups among people as they are known at the material's instant.

    Raises:
        Refused: If there are none worth publishing; `why` has the figures.
    """
    reading = reading_of(material.playbook.workspace)
    among = material.among(model.among, at=material.as_of)
    with history(
        material.connection, as_of=material.as_of, learning=material.learning, reading=reading
    ) as past:
        table = past.features(model.features, among=among, zone=material.zone)
    reader = Reader.learn(table, model.impute)
    matrix = reader.matrix(table)
    before = _before(material)
    found = fit(matrix, model, rng=material.rng(), before=before)
    assigned = found.assign(matrix)
    stood = _stood(material, found if before is None else before)
    living = [group.id for group in found.groups]
    stands = hold(stood, assigned.ids, assigned.groups, runs=model.hysteresis, living=living)
    confidence = _confidence(found, assigned, stands, matrix)
    moved = {} if stood is None else transitions(stood, stands)
    names = {**found.past, **found.names}
    values = {
        profile: (sure, names[group])
        for profile, sure, group in zip(
            stands.ids.tolist(), confidence.tolist(), stands.published.tolist(), strict=True
        )
    }
    return Lesson(
        artifact=reader.beside(found.artifact()),
        is_better=True,
        verdict=_verdict(found),
        metrics=_metrics(found, values, moved, names),
        data_hash=data_hash(matrix.ids, matrix.values),
        values=values,
        details=_details(stands),
        page=_page(found, moved, model, material.as_of),
        notes=found.notes,
    )


def _before(material: Material) -> Clusters | None:
    artifact = material.before()
    return None if artifact is None else Clusters.of(artifact)


def _stood(material: Material, clusters: Clusters) -> Standing | None:
    """Where people stood after the champion, read from its rows: an erased one has none."""
    import numpy as np

    if material.champion is None:
        return None
    number = {label: group for group, label in {**clusters.past, **clusters.names}.items()}
    rows: list[tuple[int, int, int, int]] = []
    run = material.champion
    for page in scores.pages(material.connection, run.model, run.run):
        for profile, score, detail in page:
            waits = json.loads(detail) if detail else {}
            group = number.get(score.label)
            if group is not None:
                rows.append((
                    profile, group, waits.get("pending", NOTHING), waits.get("count", 0),
                ))  # fmt: skip
    columns = np.array(rows, dtype=np.int64).reshape(len(rows), 4).T
    return Standing(columns[0], columns[1], columns[2], columns[3])


def _confidence(
    found: Clusters, assigned: Assignment, stands: Standing, matrix: Any
) -> "NDArray[np.float64]":
    """How sure the model is of what is published, which may be where somebody is held."""
    import numpy as np

    order = np.argsort(assigned.ids, kind="stable")
    is_held = stands.pending != NOTHING
    sure = assigned.confidence[order]
    if not bool(is_held.any()):
        return sure
    of_published = found.confidence(matrix, _in_order_of(matrix.ids, stands))
    return np.where(is_held, of_published[np.argsort(matrix.ids, kind="stable")], sure)


def _in_order_of(ids: "NDArray[np.int64]", stands: Standing) -> "NDArray[np.int64]":
    import numpy as np

    return stands.published[np.searchsorted(stands.ids, ids)]


def _details(stands: Standing) -> dict[int, str]:
    """The change that waits, of those for whom one does."""
    return {
        profile: json.dumps({"pending": pending, "count": count})
        for profile, pending, count in zip(
            stands.ids.tolist(), stands.pending.tolist(), stands.count.tolist(), strict=True
        )
        if pending != NOTHING
    }


def _verdict(found: Clusters) -> str:
    chosen = found.chosen
    said = f"{len(found.groups)} groups among {found.n:,} people"
    if chosen.silhouette == chosen.silhouette:
        said += f", silhouette {chosen.silhouette:.2f}"
    stable = _stability(found)
    return said if stable is None else f"{said}, stability {stable:.2f}"


def _stability(found: Clusters) -> float | None:
    """The lower of how well other starts and other samples agree; None where none was asked."""
    told = [it for it in (found.chosen.seeds, found.chosen.bootstraps) if it == it]
    return min(told) if told else None


def _metrics(
    found: Clusters,
    values: Mapping[int, tuple[float, str]],
    moved: Mapping[tuple[int, int], int],
    names: Mapping[int, str],
) -> dict[str, Any]:
    chosen = found.chosen
    stable = _stability(found)
    sizes: dict[str, int] = {}
    for _, label in values.values():
        sizes[label] = sizes.get(label, 0) + 1
    figures = {"stability": stable, "silhouette": chosen.silhouette, "smallest": chosen.smallest}
    return {
        "primary": {"name": "stability", "value": stable} if stable is not None else {},
        "figures": [
            {"name": name, "value": value}
            for name, value in figures.items()
            if value is not None and value == value
        ],
        "groups": [
            {
                "label": group.label,
                "title": group.title,
                "medians": dict(group.medians),
                "revenue": group.revenue,
                "size": sizes.get(group.label, 0),
            }
            for group in found.groups
        ],
        "outside": found.n_outside,
        "transitions": [
            [names.get(start, str(start)), names.get(end, str(end)), n]
            for (start, end), n in moved.items()
        ],
    }


def _page(
    found: Clusters, moved: Mapping[tuple[int, int], int], model: ClusterModel, as_of: int
) -> str:
    from engine.core.clocktime import iso
    from engine.learning.clusters.report import html

    return html(found, moves=moved or None, title=model.title, as_of=iso(as_of)[:10])
