"""Recency, frequency, money: three ranks from 1 to 5 and a name that a marketer knows.

Ranks are by average rank, so equal people score equally, however many they are (most of a shop's
people have never come back). What separates the scores is kept: somebody new is scored by those
cuts, not by re-ranking everybody. Who never bought has no rank: that is a fact, not a low score.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from campaigns.models import RFM_CELLS
from engine.learning.artifact import Artifact
from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Scores = NDArray[np.int8]

KIND: Final = "rfm"
BEST: Final = 5
NEVER: Final = "never bought"

CELLS: Final = {
    # frequency and money together, 1 to 5:
    5: ("new", "potential loyal", "potential loyal", "champions", "champions"),
    4: ("promising", "potential loyal", "potential loyal", "loyal", "champions"),
    3: ("about to sleep", "about to sleep", "need attention", "loyal", "loyal"),
    2: ("hibernating", "hibernating", "at risk", "at risk", "cannot lose"),
    1: ("lost", "lost", "at risk", "cannot lose", "cannot lose"),
}
"""Names by recency (5: just now), then by the mean of frequency and money, half rounded up."""

NAMES: Final = RFM_CELLS
"""Every cell there is, best first."""


@dataclass(frozen=True, eq=False)
class Rfm:
    """What separates the scores; shape (3, 4): recency (turned: more is later), frequency, money.

    A value's score is 1 and one more for each cut below it; a cut at infinity is one that nobody's
    value had reached.
    """

    cuts: "Floats"

    def scores(self, recency_days: Any, frequency: Any, monetary: Any) -> "Scores":
        """Shape (n, 3), each 1 to 5; rows of 0 for whoever never bought (recency NaN)."""
        import numpy as np

        columns, has_bought = _columns(recency_days, frequency, monetary)
        found = np.zeros((len(has_bought), 3), dtype=np.int8)
        for place, column in enumerate(columns):
            found[has_bought, place] = 1 + np.searchsorted(
                self.cuts[place], column[has_bought], side="left"
            )
        return found

    def artifact(self) -> Artifact:
        """As arrays and a schema."""
        return Artifact({"cuts": self.cuts}, {"kind": KIND, "columns": list(_NAMED)})

    @classmethod
    def of(cls, artifact: Artifact) -> "Rfm":
        """What `artifact` kept."""
        import numpy as np

        return cls(np.asarray(artifact.arrays["cuts"], dtype=np.float64))

    def words(self) -> list[str]:
        """The cuts in sentences, for a report."""
        found = []
        for name, cuts in zip(_NAMED, self.cuts.tolist(), strict=True):
            real = [-it if name == _NAMED[0] else it for it in cuts if abs(it) != float("inf")]
            told = ", ".join(f"{it:,.4g}" for it in real) or "none: all are alike"
            found.append(f"{name} is cut at {told}")
        return found


_NAMED: Final = ("recency_days", "frequency", "monetary")


def fit_rfm(recency_days: Any, frequency: Any, monetary: Any) -> Rfm:
    """Cuts from these people.

    Args:
        recency_days: Since the last purchase; NaN for whoever never bought, who are left out.
        frequency: Purchases; `monetary` what they brought, net of returns (below 0 may be).
    Raises:
        Refused: If fewer than five have bought.
    """
    import numpy as np

    columns, has_bought = _columns(recency_days, frequency, monetary)
    n = int(has_bought.sum())
    if n < BEST:
        raise Refused(
            f"{n} people have bought; five ranks need at least {BEST}",
            "wait for purchases, or widen the model's `among`",
        )
    return Rfm(np.vstack([_cuts(column[has_bought]) for column in columns]))


def cells(scores: Any) -> list[str]:
    """The name of each row of scores."""
    import numpy as np

    given = np.asarray(scores, dtype=int)
    names = np.array([[NEVER] * 6, *([NEVER, *CELLS[it]] for it in range(1, BEST + 1))])
    both = (given[:, 1] + given[:, 2] + 1) // 2
    found: list[str] = names[given[:, 0], both].tolist()
    return found


def _cuts(values: "Floats") -> "Floats":
    """Four values between which the fifths lie: halfway between neighbours of different scores."""
    import numpy as np
    from scipy import stats

    level, place = np.unique(values, return_inverse=True)
    share = stats.rankdata(values, method="average") / len(values)
    score = np.zeros(len(level), dtype=int)
    score[place] = np.clip(np.ceil(BEST * share - 1e-9), 1, BEST).astype(int)
    cuts = np.empty(BEST - 1)
    for least in range(1, BEST):
        n_below = int(np.searchsorted(score, least, side="right"))
        if n_below == 0:
            cuts[least - 1] = -np.inf
        elif n_below == len(level):
            cuts[least - 1] = np.inf
        else:
            low, high = level[n_below - 1], level[n_below]
            middle = low + (high - low) / 2
            # Neighbours so close that nothing lies between: the lower one is on its own side.
            cuts[least - 1] = low if middle >= high else middle
    return cuts


def _columns(
    recency_days: Any, frequency: Any, monetary: Any
) -> "tuple[tuple[Floats, Floats, Floats], NDArray[np.bool_]]":
    """Recency turned so that more is better, and who has bought."""
    import numpy as np

    recency, often, money = (
        np.asarray(it, dtype=np.float64) for it in (recency_days, frequency, monetary)
    )
    if not recency.shape == often.shape == money.shape or recency.ndim != 1:
        raise ValueError(
            f"recency, frequency and money are of shapes {recency.shape}, {often.shape},"
            f" {money.shape}: not one row a person"
        )
    has_bought = ~np.isnan(recency)
    for name, column in zip(_NAMED, (recency, often, money), strict=True):
        wrong = has_bought & ~np.isfinite(column)
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            raise Refused(
                f"row {at} has a recency of {recency[at]:g} days and a {name} of {column[at]:g}",
                "who has bought has all three, as finite numbers",
            )
    return (-recency, often, money), has_bought
