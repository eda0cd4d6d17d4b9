"""One row a profile, one column a feature: what every model is fitted to."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Matrix:
    """Features as numbers.

    Attributes:
        ids: Profiles, ascending; shape (n,), int64.
        names: Columns, each once: `recency_days`, `affinity:Shoes`, `device=mobile`.
        values: Shape (n, d), float64; NaN where nothing is known.
    """

    ids: "NDArray[np.int64]"
    names: tuple[str, ...]
    values: "NDArray[np.float64]"
