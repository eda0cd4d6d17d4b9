"""Scores from arrays beside scikit-learn's own predict, in one run, turn by turn.

    python -m benchmarks.scores [ROWS]

ROWS (default 200,000) of 20 features, a tenth of them unknown, are asked of boosting with 200 trees
of 31 leaves and of a forest of 100; one thread each, by processor time. Beside it: 400 bootstrap
draws of eight metrics against one draw by scikit-learn's functions, and reasons.
"""

import platform
import statistics
import sys
from collections.abc import Callable
from time import process_time

import numpy as np
import sklearn
from sklearn import metrics as theirs
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from engine.learning.scores.boosting import Boosting
from engine.learning.scores.forest import Forest
from engine.learning.scores.intervals import DRAWS, measure
from engine.learning.scores.metrics import OF_CHANCES
from engine.learning.scores.reasons import reasons_of, typical_of
from engine.learning.scores.training import one_thread

TURNS = 5
FEATURES = 20
TRAINED_ON = 50_000
WANTED_SECONDS = 3.0


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of one run."""
    began = process_time()
    work()
    return process_time() - began


def turns(ours: Callable[[], object], other: Callable[[], object]) -> tuple[float, float, float]:
    """Medians of both and of their ratio, taken in turns."""
    pairs = [(seconds(ours), seconds(other)) for _ in range(TURNS)]
    own, his = (statistics.median(it) for it in zip(*pairs, strict=True))
    return own, his, statistics.median(his / own for own, his in pairs)


def some_rows(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features with gaps, and whether."""
    values = rng.normal(size=(n, FEATURES))
    odds = values[:, :5].sum(axis=1) + values[:, 0] * values[:, 1]
    values[rng.random(values.shape) < 0.1] = np.nan
    return values, (rng.random(n) < 1 / (1 + np.exp(1 - odds))).astype(float)


def predictions(n: int, rng: np.random.Generator) -> np.ndarray:
    """Print both models' speed; the boosting's chances."""
    values, y = some_rows(TRAINED_ON, rng)
    asked, _ = some_rows(n, rng)
    grown = HistGradientBoostingClassifier(max_iter=200, early_stopping=False).fit(values, y)
    boosting = Boosting.of_sklearn(grown)
    forest_grown = RandomForestClassifier(
        100, min_samples_leaf=20, max_samples=20_000, random_state=1
    ).fit(values, y)
    forest = Forest.of_sklearn(forest_grown)
    for name, model, other, wanted in (
        ("boosting", boosting, grown, f" (wanted: under {WANTED_SECONDS:g} s)"),
        ("forest", forest, forest_grown, ""),
    ):
        own, his, ratio = turns(
            lambda model=model: model.predict(asked),  # type: ignore[misc]
            lambda other=other: other.predict_proba(asked),  # type: ignore[misc]
        )
        gap = np.abs(model.predict(asked) - other.predict_proba(asked)[:, 1]).max()
        print(
            f"{n:,} x {FEATURES} by {name}: {own:.2f} s from arrays{wanted}, {his:.2f} s by"
            f" scikit-learn: {ratio:.2f}x its speed, off by {gap:.0e}"
        )
    few = asked[:20_000]
    names = [f"f{at}" for at in range(FEATURES)]
    typical = typical_of(values, names)
    took = seconds(lambda: reasons_of(few, names, typical, boosting.predict, top=3))
    print(f"reasons of {len(few):,} people, {FEATURES} features: {len(few) / took:,.0f} people/s")
    return boosting.predict(asked)


def intervals(p: np.ndarray, rng: np.random.Generator) -> None:
    """Print the bootstrap's speed."""
    p = p[:50_000]
    y = (rng.random(len(p)) < p).astype(float)
    ids = np.arange(len(p))

    def once_by_sklearn() -> None:
        drawn = rng.integers(len(p), size=len(p))
        for metric in (
            theirs.roc_auc_score, theirs.average_precision_score, theirs.log_loss,
            theirs.brier_score_loss,
        ):  # fmt: skip
            metric(y[drawn], p[drawn])

    some = {name: OF_CHANCES[name] for name in ("auc", "pr_auc", "log_loss", "brier")}
    own = seconds(lambda: measure(y, {"m": p}, some, ids=ids, rng=rng))
    his = statistics.median(seconds(once_by_sklearn) for _ in range(TURNS))
    print(
        f"{DRAWS} draws of {len(p):,} people, four metrics: {own:.1f} s, {his * DRAWS / own:.1f}x"
        f" the speed of as many by scikit-learn's functions ({his * 1e3:.0f} ms each)"
    )


def main() -> None:
    """Print everything."""
    rng = np.random.default_rng(1)
    versions = f"CPython {platform.python_version()}, sklearn {sklearn.__version__}"
    print(f"{platform.platform()}, {versions}")
    with one_thread():
        intervals(predictions(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000, rng), rng)


if __name__ == "__main__":
    main()
