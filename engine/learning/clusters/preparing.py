"""Features made comparable before groups are looked for, in a way that is kept with the model.

Money and counts are skewed: on raw money only whales differ. So a skewed column goes through log1p,
each is winsorized, centred on its median and divided by its spread, and the whole is
turned onto the principal components that hold 95 % of what varies. All of it is learnt once and
then applied from arrays; a row's result never depends on the rows beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from engine.learning.artifact import Artifact
from engine.learning.matrix import Matrix
from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TAIL: Final = 0.005
"""The share winsorized at either end."""
SKEWED: Final = 1.0
"""Skewness beyond which a column is read by its logarithm."""
VARIANCE_KEPT: Final = 0.95
NEGATIVE_MOST: Final = 0.05
"""A column in which more is negative has no logarithm; with less (who returned more than they kept)
what is below zero is read as zero, or a few debtors would be the plainest group of all."""
IQR_OF_NORMAL: Final = 1.3489795
"""The interquartile range of a standard normal: a spread so scaled reads as a deviation."""
FLAT: Final = 0.5
"""An interquartile range below this part of the deviation belongs to a column that mostly stands
still (most never bought); the deviation is its spread then."""
MISSING_LEAST: Final = 0.01
"""The share of missing values from which on "is missing" becomes a column of its own."""
MISSING: Final = " is missing"


@dataclass(frozen=True, eq=False)
class Preparation:
    """How a matrix becomes points; arrays over `columns` unless said.

    Attributes:
        columns: Read from the matrix, in this order.
        fill: Medians, where nothing is known.
        is_logged: Which are read by log1p, from zero up.
        lower, upper: Winsorized to, in original units.
        centre, scale: Taken away and divided by, after the logarithm.
        flagged: Places of columns whose "is missing" is a further one.
        mean: Of the scaled columns and flags; shape (d,).
        loadings: Principal components as columns, shape (d, p), the strongest first.
        explained: Share of the variance that each holds; shape (p,).
    """

    columns: tuple[str, ...]
    fill: "Floats"
    is_logged: "NDArray[np.bool_]"
    lower: "Floats"
    upper: "Floats"
    centre: "Floats"
    scale: "Floats"
    flagged: "NDArray[np.int64]"
    mean: "Floats"
    loadings: "Floats"
    explained: "Floats"

    @property
    def names(self) -> tuple[str, ...]:
        """The scaled columns: those read, then the flags."""
        return self.columns + tuple(self.columns[i] + MISSING for i in self.flagged)

    def scaled(self, matrix: Matrix) -> "Floats":
        """Every column in deviations from its median; shape (n, d).

        Raises:
            Refused: If the matrix lacks a column or holds an infinity.
        """
        import numpy as np

        place = {name: i for i, name in enumerate(matrix.names)}
        lacking = [name for name in self.columns if name not in place]
        if lacking:
            raise Refused(
                f"the clusters read {', '.join(lacking)}, which these features do not hold",
                "Train the model again",
            )
        out = np.empty((len(matrix.ids), len(self.names)))
        flags = {int(at): len(self.columns) + i for i, at in enumerate(self.flagged)}
        for i, name in enumerate(self.columns):
            values = _finite(matrix.values[:, place[name]], name)
            missing = np.isnan(values)
            values = np.where(missing, self.fill[i], values)
            np.clip(values, self.lower[i], self.upper[i], out=values)
            if self.is_logged[i]:
                values = np.log1p(values)
            values -= self.centre[i]
            values /= self.scale[i]
            out[:, i] = values
            if i in flags:
                out[:, flags[i]] = missing
        return out

    def points(self, scaled: "Floats") -> "Floats":
        """On the principal components; shape (n, p)."""
        import numpy as np

        # Not a matrix product: the last bit of a BLAS result hangs on how many rows go along.
        turned: Floats = np.einsum("ij,jk->ik", scaled - self.mean, self.loadings)
        return turned

    def artifact(self) -> Artifact:
        """At rest."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return Artifact(arrays, {"columns": list(self.columns)})

    @classmethod
    def of(cls, arrays: "Mapping[str, NDArray[Any]]", columns: Sequence[str]) -> "Preparation":
        """What `artifact` kept."""
        return cls(tuple(columns), **{name: arrays[name] for name in _ARRAYS})


_ARRAYS: Final = (
    "fill", "is_logged", "lower", "upper", "centre", "scale", "flagged", "mean", "loadings",
    "explained",
)  # fmt: skip


def prepare(matrix: Matrix) -> tuple[Preparation, tuple[str, ...]]:
    """Learn how to read a matrix; and, in words, which of its columns say nothing.

    Raises:
        Refused: If no column tells people apart.
    """
    import numpy as np

    notes, kept = [], []
    for i, name in enumerate(matrix.names):
        column = _column(name, _finite(matrix.values[:, i], name))
        if column is None:
            is_empty = bool(np.isnan(matrix.values[:, i]).all())
            notes.append(f"{name} is left out: {'nothing is known' if is_empty else 'all alike'}")
        else:
            kept.append((name, column))
    if not kept:
        raise Refused(
            f"nothing tells these {len(matrix.ids):,} people apart"
            + (f": {'; '.join(notes)}" if notes else ", for there is no feature"),
            "Add features in which people differ, or wait until there is more to know",
        )
    flagged = _flagged(matrix, [name for name, _ in kept])
    d = len(kept) + len(flagged)
    plain = Preparation(
        columns=tuple(name for name, _ in kept),
        fill=np.array([it.fill for _, it in kept]),
        is_logged=np.array([it.is_logged for _, it in kept]),
        lower=np.array([it.lower for _, it in kept]),
        upper=np.array([it.upper for _, it in kept]),
        centre=np.array([it.centre for _, it in kept]),
        scale=np.array([it.scale for _, it in kept]),
        flagged=np.array(flagged, dtype=np.int64),
        mean=np.zeros(d),
        loadings=np.eye(d),
        explained=np.ones(d),
    )
    return _turned(plain, plain.scaled(matrix)), tuple(notes)


@dataclass(frozen=True)
class _Column:
    fill: float
    is_logged: bool
    lower: float
    upper: float
    centre: float
    scale: float


def _column(name: str, values: "Floats") -> _Column | None:
    """How one column is read; None where it says nothing."""
    import numpy as np

    known = values[~np.isnan(values)]
    if known.size == 0 or known.min() == known.max():
        return None
    fill = float(np.median(known))
    if bool(((known == 0) | (known == 1)).all()):
        # A flag has no tails to cut: a rare one would be all tail. Its two sides lie one apart.
        return _Column(fill, False, 0.0, 1.0, float(known.mean()), 1.0)
    lower, upper = (float(it) for it in np.quantile(known, (TAIL, 1 - TAIL)))
    if lower == upper:
        lower, upper = float(known.min()), float(known.max())
    cut = np.clip(known, lower, upper)
    is_logged = _skewness(cut) > SKEWED and float((known < 0).mean()) <= NEGATIVE_MOST
    if is_logged:
        lower = max(lower, 0.0)
        cut = np.log1p(np.maximum(cut, 0.0))
    low, middle, high = (float(it) for it in np.quantile(cut, (0.25, 0.5, 0.75)))
    deviation = float(cut.std())
    spread = (high - low) / IQR_OF_NORMAL
    scale = spread if spread >= FLAT * deviation else deviation
    return _Column(fill, is_logged, lower, upper, middle, scale)


def _flagged(matrix: Matrix, columns: Sequence[str]) -> list[int]:
    """Places whose missing values tell something that no column says already."""
    import numpy as np

    found: list[int] = []
    said: list[Any] = []
    place = {name: i for i, name in enumerate(matrix.names)}
    for i, name in enumerate(columns):
        missing = np.isnan(matrix.values[:, place[name]])
        if not MISSING_LEAST <= missing.mean() <= 1 - MISSING_LEAST:
            continue
        beside = [matrix.values[:, place[other]] for other in columns]
        if any(np.array_equal(missing, each) for each in (*said, *beside)):
            continue
        found.append(i)
        said.append(missing)
    return found


def _turned(plain: Preparation, scaled: "Floats") -> Preparation:
    """With the principal components that hold 95 % of the variance, signs fixed."""
    import numpy as np

    mean = scaled.mean(axis=0)
    centred = scaled - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    shares = np.maximum(values[::-1], 0) / np.maximum(values, 0).sum()
    vectors = vectors[:, ::-1]
    n_kept = int(np.searchsorted(np.cumsum(shares), VARIANCE_KEPT - 1e-12)) + 1
    loadings = vectors[:, :n_kept]
    # An eigenvector is one up to its sign: its largest part is made positive.
    largest = loadings[np.abs(loadings).argmax(axis=0), np.arange(n_kept)]
    loadings = np.ascontiguousarray(loadings * np.where(largest < 0, -1.0, 1.0))
    fields = {name: getattr(plain, name) for name in _ARRAYS}
    fields |= {"mean": mean, "loadings": loadings, "explained": shares[:n_kept]}
    return Preparation(plain.columns, **fields)


def _finite(values: "Floats", name: str) -> "Floats":
    import numpy as np

    if bool(np.isinf(values).any()):
        raise Refused(f"{name} holds an infinite value", "Correct the feature")
    return values


def _skewness(values: "Floats") -> float:
    centred = values - values.mean()
    deviation = float((centred * centred).mean()) ** 0.5
    return 0.0 if deviation == 0 else float((centred**3).mean()) / deviation**3
