"""A score trained and judged: settings from the earlier cut-offs, the judgement from the last.

1. Settings are chosen on all folds but the last; with one fold, on people kept aside of its
   training. The last fold's outcomes choose nothing.
2. The choice is trained on the last fold's training rows, calibrated by the fold before, and
   judged on the last fold's test rows, beside the baseline and knowing nothing.
3. What is published is the same trained once more with the last test rows too, the freshest there
   are, calibrated by the predictions of 2, which were made before their outcomes were known.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from campaigns.models import ScoreModel
from engine.learning.refusals import Refused
from engine.learning.scores.columns import baseline_of
from engine.learning.scores.drift import Reference, matured
from engine.learning.scores.evaluation import evaluate, metrics_of, pictured, told
from engine.learning.scores.folds import Fold, checked
from engine.learning.scores.metrics import LOWER_IS_BETTER, once
from engine.learning.scores.promotion import beats
from engine.learning.scores.reasons import importance, typical_of
from engine.learning.scores.rehearsing import Rehearsal, fitted, premiere, rehearse
from engine.learning.scores.search import DEFAULTS, Candidate, best, candidates, search
from engine.learning.scores.stages import Stage, searched_on, stage_of
from engine.learning.scores.trained import Trained

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BASELINE: Final = Candidate("logistic", DEFAULTS["logistic"], 0)
FALLS_BACK: Final = frozenset({"auto", "logistic", "mlp"})
"""Algorithms for which the baseline itself is offered where nothing beats it."""


def train(
    folds: Sequence[Fold],
    model: ScoreModel,
    *,
    rng: "np.random.Generator",
    clock: Callable[[], int],
    champion: "Floats | None" = None,
) -> Trained:
    """Train and judge a score.

    Args:
        folds: Cut-offs in time, all encoded alike; the last of them judges.
        model: Its target's measure, its algorithm and its budget are read here.
        clock: Microseconds that only go up; the search for settings stops by it.
        champion: What the score published now says of the last fold's test rows, row by row; the
            two are then compared on the same people. It may have been trained on some of their
            outcomes, which is in its favour: a candidate that passes has passed.
    Raises:
        Refused: If there is too little to learn from, or the rows are not fit to.
        ValueError: If the algorithm is not learnt here (`lifetime` is not).
    """
    is_chance = model.target.measure == "happens"
    found = candidates(model.algorithm, rng)
    ordered = checked(folds, is_probability=is_chance)
    latest = ordered[-1]
    if champion is not None and len(champion) != len(latest.y_test):
        raise ValueError("the champion's word is not on the last fold's test rows")
    used = _varying(latest)
    stages = searched_on(ordered, used, rng)
    last, before = stage_of(latest, used), stages[-1].full()
    few = _baseline_among(latest.train.names, used)
    with one_thread():
        tried = search(
            found,
            lambda candidate: _score_on(stages, candidate, is_chance=is_chance),
            clock=clock,
            budget=model.budget,
        )
        chosen = best(tried)
        ours = rehearse(chosen.candidate, before, last, is_chance=is_chance)
        theirs = rehearse(BASELINE, before.only(few), last.only(few), is_chance=is_chance)
        predictions = {"model": ours.said, "baseline": theirs.said, "constant": _constant(last)}
        if champion is not None:
            predictions["champion"] = champion
        measured = evaluate(
            last.y_test, predictions, is_chance=is_chance, ids=latest.test.ids,
            weights=last.test_weights, rng=rng,
        )  # fmt: skip
        over = measured.gains("model", "baseline")[_primary(is_chance)].plain()
        is_baseline = model.algorithm in FALLS_BACK and not beats(over)
        offered, read = (theirs, used[few]) if is_baseline else (ours, used)
        metrics = {
            **told(measured, model="baseline" if is_baseline else "model"),
            "is_baseline": is_baseline,
            "measure": model.target.measure,
            "as_of": latest.as_of,
            **_described(offered, [latest.train.names[at] for at in read.tolist()], is_chance, rng),
            "tried": [it.plain() for it in tried],
            "notes": _notes(folds, ordered, used, n_tried=len(tried), n_found=len(found)),
        }
        if is_chance:
            # Made before the outcomes were known, so that of a new champion it is known at once.
            metrics["matured"] = asdict(matured(offered.said, last.y_test))
        if is_baseline and chosen.candidate.algorithm != BASELINE.algorithm:
            metrics["not_better"] = {"algorithm": chosen.candidate.algorithm, "gain": over}
        return _published(offered, latest, read, metrics, is_chance=is_chance)


def one_thread() -> AbstractContextManager[Any]:
    """While it lasts, loops of scikit-learn and of linear algebra run on one processor.

    Sums then come out the same on every machine, and the engine beside keeps its processors. On a
    busy machine it is faster, too: threads that waited for each other took ten times as long.
    """
    import sklearn.ensemble  # noqa: F401 (only loops that are loaded by now are held to it)
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(limits=1)
    return limits


def _score_on(stages: Sequence[Stage], candidate: Candidate, *, is_chance: bool) -> float:
    """Mean of the primary metric over the folds of the search; higher is better."""
    name = _primary(is_chance)
    metric = metrics_of(is_chance=is_chance)[name]
    total = 0.0
    for stage in stages:
        said = fitted(candidate, stage, is_chance=is_chance).predict(stage.test)
        total += once(metric, stage.y_test, said, stage.test_weights)
    return (-total if name in LOWER_IS_BETTER else total) / len(stages)


def _described(
    offered: Rehearsal, columns: Sequence[str], is_chance: bool, rng: "np.random.Generator"
) -> dict[str, Any]:
    """What the offered model is, and pictures of how it did."""
    stage, name = offered.stage, _primary(is_chance)
    weighty = importance(
        stage.test, stage.y_test, columns, offered.scorer.read,
        name=name, metric=metrics_of(is_chance=is_chance)[name], rng=rng,
    )  # fmt: skip
    return {
        "primary": name,
        "algorithm": offered.candidate.algorithm,
        "settings": dict(offered.candidate.settings),
        "features": list(columns),
        "calibrated_by": offered.scorer.calibration.kind,
        "n_trained": len(stage.y_train),
        "n_tested": len(stage.y_test),
        "n_positive": int((stage.y_test > 0).sum()),
        "base": float(stage.y_test.mean()),
        "importance": [list(it) for it in weighty],
        **pictured(stage.y_test, offered.said),
    }


def _published(
    offered: Rehearsal,
    latest: Fold,
    read: "NDArray[np.int64]",
    metrics: dict[str, Any],
    *,
    is_chance: bool,
) -> Trained:
    scorer = premiere(offered, is_chance=is_chance)
    today = latest.test
    reference = Reference.fit(today.values, today.names, scorer.read(today.values[:, read]))
    typical = typical_of(today.values, today.names)
    return Trained(today.names, read, scorer, typical, reference, metrics)


def _primary(is_chance: bool) -> str:
    """The metric that decides."""
    return next(iter(metrics_of(is_chance=is_chance)))


def _constant(last: Stage) -> "Floats":
    """What is foretold of anybody by one who knows nobody."""
    import numpy as np

    return np.full(len(last.y_test), float(np.average(last.y_train, weights=last.train_weights)))


def _varying(fold: Fold) -> "NDArray[np.int64]":
    """Columns that tell people apart in training, NaN being a value.

    Raises:
        Refused: If there is none.
    """
    import numpy as np

    values = fold.train.values
    gaps = np.isnan(values)
    lowest = np.where(gaps, np.inf, values).min(axis=0)
    highest = np.where(gaps, -np.inf, values).max(axis=0)
    told_apart = np.flatnonzero(~gaps.all(axis=0) & (gaps.any(axis=0) | (lowest < highest)))
    if not len(told_apart):
        raise Refused(
            f"all {values.shape[1]} features are the same for everybody",
            mend="add features that tell people apart",
        )
    return told_apart.astype(np.int64)


def _baseline_among(names: Sequence[str], used: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """Places, among the used columns, of those that the baseline reads."""
    import numpy as np

    return np.array(baseline_of([names[at] for at in used.tolist()]), dtype=np.int64)


def _notes(
    folds: Sequence[Fold],
    ordered: Sequence[Fold],
    used: "NDArray[np.int64]",
    *,
    n_tried: int,
    n_found: int,
) -> list[str]:
    """What whoever reads the metrics should know."""
    notes = []
    if n := len(folds) - len(ordered):
        notes.append(f"{n} earlier cut-offs have too few of one outcome and were left out")
    if len(ordered) == 1:
        notes.append("one cut-off only: settings were chosen on people kept aside, not on time")
    names = ordered[-1].train.names
    same = sorted(set(range(len(names))) - set(used.tolist()))
    if same:
        listed = ", ".join(names[at] for at in same[:5]) + (" …" if len(same) > 5 else "")
        notes.append(f"the same for everybody, so not learnt from: {listed}")
    if n_tried < n_found:
        notes.append(f"the budget ended the search after {n_tried} of {n_found} settings")
    return notes
