"""What a score is learnt and judged on: rows as of one instant, judged on rows as of a later one.

A random K-fold cannot be put into a `Fold`: it asks for the instant at which the last training
label was known and for the instant the tested features were read at, and refuses when they cross.
Read next: `training`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from engine.learning.matrix import Matrix
from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RARER_TRAINED: Final = 50
"""People of the rarer outcome that training asks for; fewer, and the search fits their names."""
RARER_TESTED: Final = 20
"""And that the held-out rows ask for, or no interval of a metric means anything."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Fold:
    """One cut-off in time. Two matrices with the same columns, encoded by the same encoding.

    Attributes:
        train, y_train: What was known and what followed, at one earlier cut-off or several.
        test, y_test: The same people or others, at the later cut-off.
        known_until: When the last of the training labels was complete (its window's end).
        as_of: The instant that the test features were read at; never before `known_until`.
        train_weights, test_weights: How much a row counts; None: all alike. A population that
            already gets win-back mail teaches the churn of the mailed. Either give only people of
            a holdout here, or weigh a row by 1 / P(its treatment), or let `treated` be a column.
    """

    train: Matrix
    y_train: "Floats"
    test: Matrix
    y_test: "Floats"
    known_until: int
    as_of: int
    train_weights: "Floats | None" = None
    test_weights: "Floats | None" = None

    def __post_init__(self) -> None:
        if self.known_until > self.as_of:
            raise ValueError(
                f"a fold's training labels are complete at {self.known_until}, after the"
                f" {self.as_of} that its test rows are read at: the model would know the future"
            )
        if self.train.names != self.test.names:
            raise ValueError("a fold's two matrices have other columns; encode both in one way")


def checked(folds: Sequence[Fold], *, is_probability: bool) -> tuple[Fold, ...]:
    """The folds in order of time, earlier ones with too few of an outcome left out.

    Raises:
        Refused: If the latest fold cannot be learnt from, in words.
    """
    if not folds:
        raise Refused("there is no cut-off to learn from", mend="give the log more time")
    ordered = sorted(folds, key=lambda fold: fold.as_of)
    for fold in ordered:
        _refuse_bad_numbers(fold, is_probability=is_probability)
    latest = ordered[-1]
    for y, whose, least in (
        (latest.y_train, "training", RARER_TRAINED),
        (latest.y_test, "held-out", RARER_TESTED),
    ):
        _refuse_too_few(y, whose, least)
    earlier = [fold for fold in ordered[:-1] if _is_usable(fold)]
    return (*earlier, latest)


def rows_of(matrix: Matrix, names: Sequence[str]) -> "Floats":
    """A matrix's values with the columns in the order of `names`.

    Raises:
        Refused: If columns lack that were trained on, or there are others that were not.
    """
    if tuple(names) == matrix.names:
        return matrix.values
    places = {name: at for at, name in enumerate(matrix.names)}
    lacking = [name for name in names if name not in places]
    strange = [name for name in matrix.names if name not in set(names)]
    if lacking or strange:
        said = " and ".join(
            f"{word} {', '.join(which[:3])}{' …' if len(which) > 3 else ''}"
            for word, which in (("lacks", lacking), ("has the unknown", strange))
            if which
        )
        raise Refused(
            f"the table {said}; the model was trained on {len(names)} other columns",
            mend="encode it with the encoding kept with the model, or train the model again",
        )
    return matrix.values[:, [places[name] for name in names]]


def _refuse_bad_numbers(fold: Fold, *, is_probability: bool) -> None:
    import numpy as np

    for matrix, y, weights in (
        (fold.train, fold.y_train, fold.train_weights),
        (fold.test, fold.y_test, fold.test_weights),
    ):
        if len(y) != len(matrix.values) or (weights is not None and len(weights) != len(y)):
            raise ValueError("a fold has not one label and one weight a row")
        if n := int(np.count_nonzero(~np.isfinite(y))):
            raise Refused(
                f"what followed is unknown (NaN) for {n:,} of {len(y):,} people",
                mend="leave out those whose window is not over, or fix the value's path",
            )
        if is_probability and not np.isin(y, (0.0, 1.0)).all():
            raise Refused("a label is neither 0 nor 1", mend="measure a count or a sum instead")
        if n := int(np.count_nonzero(y < 0)):
            raise Refused(
                f"{n:,} of {len(y):,} people have a sum below zero",
                mend="sum what is paid only; returns are another event",
            )
        if np.isinf(matrix.values).any():
            bad = np.flatnonzero(np.isinf(matrix.values).any(axis=0))
            raise Refused(
                f"{matrix.names[bad[0]]} holds infinity", mend="mend the trait or property"
            )
        if weights is not None and not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise Refused("a row's weight is negative or unknown", mend="weigh by 0 or more")


def _refuse_too_few(y: "Floats", whose: str, least: int) -> None:
    n, positive = len(y), int((y > 0).sum())
    if n == 0:
        raise Refused(f"there are no {whose} rows", mend="choose people who have a history")
    if positive == 0:
        raise Refused(
            f"the target never happens: none of {n:,} {whose} rows",
            mend="check the event's name and the span of the target",
        )
    if positive == n and set(y.tolist()) == {1.0}:
        raise Refused(
            f"the target always happens: all of {n:,} {whose} rows",
            mend="shorten the span of the target, or choose other people",
        )
    rarer = rarer_of(y)
    if rarer < least:
        raise Refused(
            f"only {rarer:,} of {n:,} {whose} rows have the rarer outcome; {least} are needed",
            mend="lengthen the target's span, take in more people, or wait for more history",
        )


def rarer_of(y: "Floats") -> int:
    """How many have the rarer outcome; of amounts, how many have any."""
    positive = int((y > 0).sum())
    is_chance = bool(((y == 0) | (y == 1)).all())
    return min(positive, len(y) - positive) if is_chance else positive


def _is_usable(fold: Fold) -> bool:
    """Whether settings can be compared on it."""
    return all(rarer_of(y) >= RARER_TESTED for y in (fold.y_train, fold.y_test))
