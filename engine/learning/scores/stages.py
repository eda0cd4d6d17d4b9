"""Folds as bare arrays, and which of them the search for settings may see."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from engine.learning.scores.folds import Fold

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ROWS_SEARCHED: Final = 40_000
"""Rows that one trial of the search learns from, and is judged on, at most."""
ASIDE: Final = 0.3
"""Share of people kept aside where there is but one fold."""


@dataclass(frozen=True, eq=False)
class Stage:
    """Rows to learn from and later rows to be judged on; `whole` is the stage it is a sample of."""

    train: "Floats"
    y_train: "Floats"
    test: "Floats"
    y_test: "Floats"
    train_weights: "Floats | None" = None
    test_weights: "Floats | None" = None
    whole: "Stage | None" = None

    def only(self, columns: "NDArray[np.int64]") -> "Stage":
        """With some of its columns."""
        return replace(self, train=self.train[:, columns], test=self.test[:, columns], whole=None)

    def full(self) -> "Stage":
        """Without the sampling."""
        return self.whole or self

    def joined(self) -> "Stage":
        """All rows to learn from; there is nothing left to be judged on."""
        import numpy as np

        weights = None
        if self.train_weights is not None or self.test_weights is not None:
            weights = np.concatenate(
                [
                    np.ones(len(y)) if w is None else w
                    for w, y in (
                        (self.train_weights, self.y_train),
                        (self.test_weights, self.y_test),
                    )
                ]
            )
        return replace(
            self,
            train=np.concatenate([self.train, self.test]),
            y_train=np.concatenate([self.y_train, self.y_test]),
            train_weights=weights,
            whole=None,
        )


def stage_of(fold: Fold, used: "NDArray[np.int64]") -> Stage:
    """A fold with the columns that are used."""
    return Stage(
        fold.train.values[:, used], fold.y_train, fold.test.values[:, used], fold.y_test,
        fold.train_weights, fold.test_weights,
    )  # fmt: skip


def searched_on(
    folds: Sequence[Fold], used: "NDArray[np.int64]", rng: "np.random.Generator"
) -> list[Stage]:
    """All folds but the last; of one alone its training, split by person."""
    if len(folds) > 1:
        stages = [stage_of(fold, used) for fold in folds[:-1]]
    else:
        stages = [_split(folds[0], used, rng)]
    return [_sampled(stage, rng) for stage in stages]


def drawn_rows(y: "Floats", most: int, rng: "np.random.Generator") -> "NDArray[np.int64]":
    """At most so many places, ascending, at random; of a rare outcome all that a tenth can hold.

    60 buyers among 300,000 would be eight of a plain draw, and nothing could be told of them.
    """
    import numpy as np

    if len(y) <= most:
        return np.arange(len(y))
    did = y > 0
    rare = did if did.sum() * 2 <= len(y) else ~did
    if int(rare.sum()) * most >= len(y) * (most // 10):
        return np.sort(rng.permutation(len(y))[:most])
    kept = rng.permutation(np.flatnonzero(rare))[: most // 10]
    others = rng.permutation(np.flatnonzero(~rare))[: most - len(kept)]
    return np.sort(np.concatenate([kept, others]))


def _split(fold: Fold, used: "NDArray[np.int64]", rng: "np.random.Generator") -> Stage:
    """Nobody stands on both sides, however many rows one has."""
    import numpy as np

    people, whose = np.unique(fold.train.ids, return_inverse=True)
    aside = (rng.permutation(len(people)) < ASIDE * len(people))[whose]
    values, w = fold.train.values[:, used], fold.train_weights
    return Stage(
        values[~aside], fold.y_train[~aside], values[aside], fold.y_train[aside],
        None if w is None else w[~aside], None if w is None else w[aside],
    )  # fmt: skip


def _sampled(stage: Stage, rng: "np.random.Generator") -> Stage:
    """At most so many rows, drawn once for all trials."""
    if max(len(stage.y_train), len(stage.y_test)) <= ROWS_SEARCHED:
        return stage
    some = drawn_rows(stage.y_train, ROWS_SEARCHED, rng)
    other = drawn_rows(stage.y_test, ROWS_SEARCHED, rng)
    w, v = stage.train_weights, stage.test_weights
    return Stage(
        stage.train[some], stage.y_train[some], stage.test[other], stage.y_test[other],
        None if w is None else w[some], None if v is None else v[other], whole=stage,
    )  # fmt: skip
