"""RFM as a clustering: the cells of three ranks, named once and for all.

Nothing is searched for: whoever bought lately, often and much is a champion in every run. So cells
keep their numbers by their names, and whether the cuts between ranks hold is only shown.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from engine.learning.matrix import Matrix
from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]

COLUMNS: Final = ("recency_days", "frequency", "monetary")
NEVER_BOUGHT: Final = "never_bought"


@dataclass(frozen=True, eq=False)
class Cells:
    """Places are those of `lifetime.rfm.NAMES`; points are the three columns in original units.

    Attributes:
        cuts: Between the ranks; shape (3, 4).
    """

    kind: ClassVar[str] = "cells"
    cuts: "Floats"

    @property
    def n_groups(self) -> int:
        """How many there are, empty ones with them."""
        return len(cell_names())

    def place(self, points: "Floats") -> "tuple[Places, Floats]":
        """The cell of each; ranks leave no doubt."""
        import numpy as np

        from engine.learning.lifetime.rfm import Rfm, cells

        place_of = {name: i for i, name in enumerate(cell_names())}
        found = cells(Rfm(self.cuts).scores(points[:, 0], points[:, 1], points[:, 2]))
        return np.array([place_of[name] for name in found], dtype=np.int64), np.ones(len(points))

    def sureness(self, points: "Floats", places: "Places") -> "Floats":
        """1 of the cell that they are in, 0 of others."""
        import numpy as np

        return np.asarray(self.place(points)[0] == places, dtype=np.float64)

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """What is kept."""
        return {"cuts": self.cuts}


def ranked(points: "Floats") -> Cells:
    """Cells with cuts from these people."""
    from engine.learning.lifetime.rfm import fit_rfm

    return Cells(fit_rfm(points[:, 0], points[:, 1], points[:, 2]).cuts)


def cell_names() -> tuple[str, ...]:
    """Every cell, best first."""
    from engine.learning.lifetime.rfm import NAMES

    return NAMES


def bought(matrix: Matrix) -> "Floats":
    """The three columns as points; recency NaN for whoever never bought, even if it was filled in.

    Raises:
        Refused: If the matrix lacks one.
    """
    import numpy as np

    lacking = [name for name in COLUMNS if name not in matrix.names]
    if lacking:
        raise Refused(
            f"algorithm rfm reads {', '.join(lacking)}, which these features do not hold",
            "Write features: [recency, frequency, monetary]",
        )
    points = matrix.values[:, [matrix.names.index(name) for name in COLUMNS]].copy()
    never = points[:, 1] <= 0
    if NEVER_BOUGHT in matrix.names:
        never |= matrix.values[:, matrix.names.index(NEVER_BOUGHT)] == 1
    points[never, 0] = np.nan
    points[:, 1:] = np.nan_to_num(points[:, 1:])
    return points
