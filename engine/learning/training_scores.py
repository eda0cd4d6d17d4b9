"""Trains a `score:` model and scores everybody; where it is no better, the champion scores them.

A score is of today: a model that is kept for another week must still read what people did in this
one. So a candidate that loses leaves the champion's model in place, and everybody is scored anew
by it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from campaigns.models import ScoreModel
from engine.learning import cutting
from engine.learning.artifact import Artifact
from engine.learning.champions import Word, champions_word, judged
from engine.learning.features import FeatureTable
from engine.learning.history import history, reading_of
from engine.learning.lessons import Lesson, data_hash
from engine.learning.material import Material
from engine.learning.matrix import Matrix
from engine.learning.newcomers import newcomers
from engine.learning.preparing import KEPT, Reader
from engine.learning.refusals import Refused
from engine.learning.scores import Fold, Promotion, Trained, drift, train
from engine.learning.scores.drift import SCORE
from engine.learning.scores.promotion import WORDS
from engine.learning.scores.report import page

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engine.learning.scores import Drift

REASONED: Final = 20_000
"""Of whom it is kept why: those who score highest. Each costs a prediction a feature."""
ALARMS_KEPT: Final = 8
GUESSED: Final = json.dumps({"is_low_confidence": True})


def learn(material: Material, model: ScoreModel) -> Lesson:
    """Train on what followed at earlier instants, judge on later ones, score everybody as of now.

    Raises:
        Refused: If there is too little to learn from; `why` has the figures.
    """
    if model.algorithm == "lifetime":
        return _lifetime(material, model)
    first = cutting.first_event(material.connection)
    instants = cutting.cuts(model, first=first, as_of=material.as_of)
    is_imported = cutting.was_imported(material.connection, instants[-1])
    tables = [_table(material, model, at, is_imported=is_imported) for at in instants]
    outcomes = _outcomes(material, model, instants)
    gaps = model.impute if model.algorithm in ("logistic", "mlp") else None
    reader = Reader.learn(tables[0], gaps if gaps == "iterative" else None)
    folds = _folds(material, model, instants, tables, outcomes, reader)
    latest, y = cutting.labelled(tables[0].ids, *outcomes[0])
    word = champions_word(material, model, tables[0].rows(latest), as_of=instants[0])
    trained = train(
        folds, model, rng=material.rng(), clock=material.clock,
        champion=None if word is None else word.said,
    )  # fmt: skip
    verdict = judged(trained, material.champion, word)
    today = _table(material, model, material.as_of, is_imported=is_imported)
    hashed = data_hash(*(part for it in folds for part in (it.train.values, it.y_train)))
    strangers = newcomers(today, tables[0].rows(latest), y)
    notes = tuple(trained.metrics.get("notes", ()))
    if is_imported:
        notes += ("the past was imported: what had happened by a cut-off counts as known then",)
    instead = None
    if not verdict.is_better:
        instead = _by_champion(material, today, strangers, verdict, hashed, word, y)
    return _scored(
        reader, trained, today, strangers, verdict=verdict, hashed=hashed, notes=notes,
        model=model, instead=instead,
    )  # fmt: skip


def _table(material: Material, model: ScoreModel, at: int, *, is_imported: bool) -> FeatureTable:
    with history(
        material.connection,
        as_of=at,
        learning=material.learning,
        reading=reading_of(material.playbook.workspace),
        told_by=material.as_of if is_imported else None,
    ) as past:
        among = material.among(model.among, at=at)
        return past.features(model.features, among=among, zone=material.zone)


def _outcomes(
    material: Material, model: ScoreModel, instants: Sequence[int]
) -> "list[tuple[NDArray[np.int64], NDArray[np.float64]]]":
    with history(
        material.connection,
        as_of=material.as_of,
        learning=material.learning,
        reading=reading_of(material.playbook.workspace),
    ) as past:
        return [past.labels(model.target, starts=it + model.gap) for it in instants]


def _folds(
    material: Material,
    model: ScoreModel,
    instants: Sequence[int],
    tables: Sequence[FeatureTable],
    outcomes: "Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]]",
    reader: Reader,
) -> list[Fold]:
    """A fold for each two neighbouring cut-offs: taught by the earlier, judged at the later."""
    rows: list[tuple[Matrix, NDArray[np.float64]]] = []
    for table, (known, values) in zip(tables, outcomes, strict=True):
        places, y = cutting.labelled(table.ids, known, values)
        rows.append((reader.matrix(table.rows(places)), y))
    span = model.gap + model.target.within
    return [
        Fold(
            train=rows[number + 1][0],
            y_train=rows[number + 1][1],
            test=rows[number][0],
            y_test=rows[number][1],
            known_until=instants[number + 1] + span,
            as_of=instants[number],
        )
        for number in range(len(instants) - 1)
    ]


def _scored(
    reader: Reader,
    trained: Trained,
    today: FeatureTable,
    strangers: Mapping[int, float],
    *,
    verdict: Promotion,
    hashed: str,
    notes: tuple[str, ...],
    model: ScoreModel,
    instead: Lesson | None,
) -> Lesson:
    matrix = reader.matrix(today)
    predicted = trained.predict(matrix)
    moved = drift(trained.reference, matrix, predicted)
    return Lesson(
        artifact=reader.beside(trained.artifact()),
        is_better=verdict.is_better,
        verdict=verdict.why,
        metrics=_metrics(trained.metrics, moved, trained.metrics.get("matured")),
        data_hash=hashed,
        values=_values(matrix, predicted, strangers),
        details=_reasons(trained, matrix, predicted, strangers),
        page=page(trained.metrics, verdict, name=model.title or model.name, drift=moved),
        notes=notes,
        instead=instead,
    )


def _by_champion(
    material: Material,
    today: FeatureTable,
    strangers: Mapping[int, float],
    verdict: Promotion,
    hashed: str,
    word: Word | None,
    y: "NDArray[np.float64]",
) -> Lesson | None:
    """Everybody scored anew by the champion's model; None where there is none to ask.

    Args:
        word: What it says of the latest people whose outcomes `y` are known.
    """
    kept = material.before()
    if kept is None or material.champion is None or KEPT not in kept.schema:
        return None
    reader, trained = Reader.of(kept), Trained.of(kept)
    try:
        matrix = reader.matrix(today)
        predicted = trained.predict(matrix)
    except Refused:
        return None  # The definition has changed: the champion reads what is not asked for now.
    moved = drift(trained.reference, matrix, predicted)
    return Lesson(
        artifact=kept,
        is_better=True,
        verdict=f"people are scored anew by run {material.champion.run}'s model; a new one lost: "
        f"{verdict.why}",
        metrics=_metrics(trained.metrics, moved, None if word is None else word.came_true(y)),
        data_hash=hashed,
        values=_values(matrix, predicted, strangers),
        details=_reasons(trained, matrix, predicted, strangers),
    )


def _metrics(
    told: Mapping[str, Any], moved: "Drift", calibration: Mapping[str, Any] | None
) -> dict[str, Any]:
    """As every kind of model tells it, with what this kind knows under `model`."""
    primary = str(told["primary"])
    baseline = told.get("baseline", {}).get("values", {})
    figures = [
        {
            "name": WORDS.get(name, name),
            **{key: value.get(key) for key in ("value", "low", "high")},
            "baseline": (baseline.get(name) or {}).get("value"),
        }
        for name, value in told["values"].items()
    ]
    of_score = next((it.psi for it in moved.columns if it.name == SCORE), 0.0)
    return {
        "primary": {"name": WORDS.get(primary, primary), **told["values"][primary]},
        "figures": figures,
        # Features that only grow (days since the first visit) move in every young shop: what
        # counts is whether the score itself has.
        "drift": {"psi": of_score, "of": SCORE, "alarms": list(moved.alarms[:ALARMS_KEPT])},
        "calibration": dict(calibration or {}),
        "model": dict(told),
    }


def _values(
    matrix: Matrix, predicted: "NDArray[np.float64]", strangers: Mapping[int, float]
) -> dict[int, tuple[float, str]]:
    pairs = zip(matrix.ids.tolist(), predicted.tolist(), strict=True)
    return {profile: (strangers.get(profile, value), "") for profile, value in pairs}


def _reasons(
    trained: Trained,
    matrix: Matrix,
    predicted: "NDArray[np.float64]",
    strangers: Mapping[int, float],
) -> dict[int, str]:
    """As JSON why those who score highest do, [[feature, effect], …]; who is a newcomer."""
    import numpy as np

    places = np.sort(np.argsort(-predicted, kind="stable")[:REASONED])
    some = Matrix(matrix.ids[places], matrix.names, matrix.values[places])
    known = {
        profile: json.dumps({"why": [[it.feature, round(it.effect, 6)] for it in found]})
        for profile, found in zip(some.ids.tolist(), trained.reasons(some), strict=True)
    }
    return known | dict.fromkeys(strangers, GUESSED)


def _lifetime(material: Material, model: ScoreModel) -> Lesson:
    """Counted days of purchase alone: BG/NBD, and Gamma-Gamma where money is foretold."""
    from engine.learning.lifetime.learning import learn as fitted

    reading = reading_of(material.playbook.workspace)
    with history(
        material.connection, as_of=material.as_of, learning=material.learning, reading=reading
    ) as past:
        among = material.among(model.among, at=material.as_of)
        days = past.purchases(zone=material.zone, among=among)
    found = fitted(
        days.ids, days.times, days.amounts, model=model, as_of=material.as_of, rng=material.rng()
    )
    values = {
        profile: (value, label)
        for profile, value, label in zip(
            found.ids.tolist(), found.values.tolist(), found.labels, strict=True
        )
    }
    details = {
        profile: json.dumps({"alive": round(alive, 4)})
        for profile, alive in zip(found.ids.tolist(), found.alive.tolist(), strict=True)
    }
    artifact: Artifact = found.artifact()
    return Lesson(
        artifact=artifact,
        is_better=found.is_better,
        verdict=found.why,
        metrics=found.metrics,
        data_hash=data_hash(days.ids, days.times, days.amounts),
        values=values,
        details=details,
        notes=found.notes,
    )
