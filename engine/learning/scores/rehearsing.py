"""A candidate as it would have been published at the last cut-off, and what it said then."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.learning.scores.calibration import calibrate
from engine.learning.scores.predictors import Predictor, fit
from engine.learning.scores.scorer import Scorer
from engine.learning.scores.search import Candidate
from engine.learning.scores.stages import Stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """A candidate trained on the last stage's training rows.

    Attributes:
        scorer: Itself.
        stage: The last stage, with the columns it reads.
        raw, said: Its word on the stage's test rows, before and after calibration; no amount is
            beyond the ceiling, or one wild row would be the whole total and the factor nothing.
    """

    candidate: Candidate
    scorer: Scorer
    stage: Stage
    raw: "Floats"
    said: "Floats"


def rehearse(candidate: Candidate, before: Stage, last: Stage, *, is_chance: bool) -> Rehearsal:
    """Train a candidate twice: on the stage before to be calibrated, on the last to be judged."""
    import numpy as np

    earlier = fitted(candidate, before, is_chance=is_chance).predict(before.test)
    earlier = np.minimum(earlier, ceiling_of(before, is_chance=is_chance))
    calibration = calibrate(
        earlier, before.y_test, is_chance=is_chance, weights=before.test_weights
    )
    predictor = fitted(candidate, last, is_chance=is_chance)
    ceiling = ceiling_of(last, is_chance=is_chance)
    scorer = Scorer(predictor, calibration, ceiling)
    raw = np.minimum(predictor.predict(last.test), ceiling)
    return Rehearsal(candidate, scorer, last, raw, scorer.read(last.test))


def premiere(rehearsal: Rehearsal, *, is_chance: bool) -> Scorer:
    """The candidate trained on the test rows too, calibrated by what it said before it knew."""
    last = rehearsal.stage
    whole = last.joined()
    calibration = calibrate(
        rehearsal.raw, last.y_test, is_chance=is_chance, weights=last.test_weights
    )
    predictor = fitted(rehearsal.candidate, whole, is_chance=is_chance)
    return Scorer(predictor, calibration, ceiling_of(whole, is_chance=is_chance))


def fitted(candidate: Candidate, stage: Stage, *, is_chance: bool) -> Predictor:
    """A candidate fitted to a stage's training rows."""
    return fit(
        candidate.algorithm, stage.train, stage.y_train, is_chance=is_chance,
        settings=candidate.settings, seed=candidate.seed, weights=stage.train_weights,
    )  # fmt: skip


def ceiling_of(stage: Stage, *, is_chance: bool) -> float:
    """The most that may be foretold."""
    return float("inf") if is_chance else float(stage.y_train.max())
