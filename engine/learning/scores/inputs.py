"""What linear models and networks read: no gaps, no long tails, one scale.

Trees take a column as it is; these do not. A gap gets the training median and a flag of its own,
a long-tailed column its signed logarithm, and all are centred and scaled by the training rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SKEWNESS_MAX: Final = 1.0
"""Columns of a longer tail are read by their logarithm: money and counts, as a rule."""
BEYOND: Final = 8.0
"""Scaled values end here: one wild row must not decide a linear score."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """How columns become inputs; shape (d,) each.

    Attributes:
        median: What stands in for NaN.
        is_logged: Whether sign(x) log(1 + |x|) is read instead.
        mean, scale: Of the training rows, after both.
        has_flag: Whether "was missing" is an input of its own, behind the columns.
    """

    median: "Floats"
    is_logged: "NDArray[np.bool_]"
    mean: "Floats"
    scale: "Floats"
    has_flag: "NDArray[np.bool_]"

    @classmethod
    def fit(cls, values: "Floats") -> "Inputs":
        """Learn all of it from training rows, shape (n, d)."""
        import numpy as np

        gaps = np.isnan(values)
        share = gaps.mean(axis=0)
        median = np.zeros(values.shape[1])
        known = share < 1
        median[known] = np.nanmedian(values[:, known], axis=0)
        filled = np.where(gaps, median, values)
        is_logged = np.abs(_skewness(filled)) > SKEWNESS_MAX
        is_logged &= np.array([len(np.unique(column[:2_000])) > 2 for column in filled.T])
        filled[:, is_logged] = _logarithm(filled[:, is_logged])
        mean, spread = filled.mean(axis=0), filled.std(axis=0)
        scale = np.where(spread > 0, spread, 1.0)
        return cls(median, is_logged, mean, scale, (share > 0) & (share < 1))

    def of(self, values: "Floats") -> "Floats":
        """Rows as inputs, shape (n, d + flags)."""
        import numpy as np

        gaps = np.isnan(values)
        filled = np.where(gaps, self.median, values)
        filled[:, self.is_logged] = _logarithm(filled[:, self.is_logged])
        scaled = np.clip((filled - self.mean) / self.scale, -BEYOND, BEYOND)
        return np.hstack([scaled, gaps[:, self.has_flag].astype(np.float64)])

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """As arrays by name."""
        return {
            "median": self.median, "is_logged": self.is_logged, "mean": self.mean,
            "scale": self.scale, "has_flag": self.has_flag,
        }  # fmt: skip

    @classmethod
    def read(cls, arrays: "Mapping[str, NDArray[Any]]") -> "Inputs":
        """What `arrays` gave."""
        return cls(
            arrays["median"], arrays["is_logged"], arrays["mean"], arrays["scale"],
            arrays["has_flag"],
        )  # fmt: skip


def _logarithm(values: "Floats") -> "Floats":
    import numpy as np

    return np.sign(values) * np.log1p(np.abs(values))


def _skewness(values: "Floats") -> "Floats":
    import numpy as np

    centred = values - values.mean(axis=0)
    spread = np.sqrt((centred**2).mean(axis=0))
    safe = np.where(spread > 0, spread, 1.0)
    skewness: Floats = ((centred / safe) ** 3).mean(axis=0)
    return skewness
