"""Whether people, or what they do, are no longer those the score was trained on.

Three alarms: a feature or the score has another distribution (population stability index), is
missing more or less often, or texts come that training did not know; and, once outcomes are in,
that chances foretold are no longer met.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from engine.learning.matrix import Matrix
from engine.learning.scores.columns import LEVEL, OTHER
from engine.learning.scores.folds import rows_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BINS: Final = 10
PSI_MAX: Final = 0.2
MISSING_CHANGE_MAX: Final = 0.1
UNSEEN_CHANGE_MAX: Final = 0.1
SCORE: Final = "score"
"""The name under which the score itself is watched."""
SHARE_MIN: Final = 1e-4
CALIBRATION_MAX: Final = 0.05
"""Expected calibration error up to which nobody is called, however sure it is."""
Z_MAX: Final = 3.0


@dataclass(frozen=True, eq=False)
class Reference:
    """How training saw each column, and last the score. Shapes (d + 1, …).

    Attributes:
        names: The columns, then `score`.
        edges: Nine inner edges of ten bins; NaN where deciles coincide.
        shares: Of the known values in each bin.
        missing: Share that is NaN.
        n: Rows.
    """

    names: tuple[str, ...]
    edges: "Floats"
    shares: "Floats"
    missing: "Floats"
    n: int

    @classmethod
    def fit(cls, values: "Floats", names: Sequence[str], scores: "Floats") -> "Reference":
        """Of training rows, shape (n, d), and their scores, shape (n,)."""
        import numpy as np

        table = np.column_stack([values, scores])
        edges = np.full((table.shape[1], BINS - 1), np.nan)
        for at, column in enumerate(table.T):
            known = column[~np.isnan(column)]
            if len(known):
                places = np.arange(1, BINS) / BINS
                unique = np.unique(np.quantile(known, places, method="inverted_cdf"))
                edges[at, : len(unique)] = unique
        shares = np.stack([_shares(c, e) for c, e in zip(table.T, edges, strict=True)])
        missing = np.isnan(table).mean(axis=0)
        return cls((*names, SCORE), edges, shares, missing, len(table))

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """As arrays by name."""
        import numpy as np

        return {
            "edges": self.edges,
            "shares": self.shares,
            "missing": self.missing,
            "n": np.array(self.n),
        }

    @classmethod
    def of(cls, arrays: "Mapping[str, NDArray[Any]]", names: Sequence[str]) -> "Reference":
        """What `arrays` gave."""
        return cls(
            (*names, SCORE), arrays["edges"], arrays["shares"], arrays["missing"], int(arrays["n"])
        )


@dataclass(frozen=True)
class Moved:
    """One column beside its training. `is_alarm` is told by `why`, a sentence, "" for none."""

    name: str
    psi: float
    missing_was: float
    missing_is: float
    why: str = ""

    @property
    def is_alarm(self) -> bool:
        """Whether somebody should look."""
        return bool(self.why)


@dataclass(frozen=True)
class Drift:
    """Every column, the most moved first. `noise`: the index that chance alone may reach."""

    n: int
    noise: float
    columns: tuple[Moved, ...]

    @property
    def alarms(self) -> tuple[str, ...]:
        """What is to be looked at, in sentences."""
        return tuple(it.why for it in self.columns if it.why)

    @property
    def psi_max(self) -> float:
        """The largest index."""
        return max((it.psi for it in self.columns), default=0.0)

    def plain(self) -> dict[str, Any]:
        """As JSON data."""
        return {**asdict(self), "alarms": list(self.alarms), "psi_max": self.psi_max}


def drift(reference: Reference, matrix: Matrix, scores: "Floats | None" = None) -> Drift:
    """Compare today's rows with training's.

    Few rows move by chance: an index counts as an alarm when it is above 0.2 and above what any
    column reaches in 1 of 1,000 draws of the same people, as n m / (n + m) PSI is chi-squared.
    Source: Yurdakul, "Statistical properties of the population stability index" (2018).

    Raises:
        Refused: If the matrix has not the columns of training.
    """
    import numpy as np
    from scipy.stats import chi2

    values = rows_of(matrix, reference.names[:-1])
    n = len(values)
    if n == 0:
        return Drift(0, float("inf"), ())
    table = values if scores is None else np.column_stack([values, scores])
    rate = 0.001 / table.shape[1]
    noise = float(chi2.isf(rate, BINS - 1)) * (1 / n + 1 / reference.n)
    least = max(SHARE_MIN, 0.5 / n)
    found = []
    for at, column in enumerate(table.T):
        name = reference.names[at]
        psi = stability_index(
            reference.shares[at], _shares(column, reference.edges[at]), least=least
        )
        was, now = float(reference.missing[at]), float(np.isnan(column).mean())
        why = _psi_why(name, psi, noise) or _missing_why(name, was, now)
        if not why and name.endswith(LEVEL + OTHER):
            # Of a column of 0 and 1, the last bin's share is the share of ones.
            why = _unseen_why(name, _ones(reference, at), float(np.nanmean(column)))
        found.append(Moved(name, psi, was, now, why))
    found.sort(key=lambda it: (not it.is_alarm, -it.psi, it.name))
    return Drift(n, noise, tuple(found))


def stability_index(expected: "Floats", actual: "Floats", *, least: float = SHARE_MIN) -> float:
    """Population stability index of two sets of shares: sum of (a - e) ln(a / e).

    `least` stands in for smaller shares: that nobody of few is in a bin is no proof that it is
    empty.
    """
    import numpy as np

    if not expected.sum() or not actual.sum():
        return 0.0
    e, a = np.maximum(expected, least), np.maximum(actual, least)
    return float(((a - e) * np.log(a / e)).sum())


@dataclass(frozen=True)
class Matured:
    """Chances beside what came of them, once the window is over.

    Attributes:
        foretold, came: Mean chance, and share that did.
        ece: Expected calibration error.
        z: Spiegelhalter's statistic; beyond 3 chance does not explain it.
        why: A sentence if somebody should look, else "".
    """

    n: int
    foretold: float
    came: float
    ece: float
    z: float
    why: str


def matured(scores: "Floats", y: "Floats") -> Matured:
    """Whether chances given then are met by what followed.

    Source: Spiegelhalter (Statistics in Medicine 1986), z = sum (y - p)(1 - 2p) over its standard
    deviation; beside it the same of the total, which it cannot see at p = 1/2.
    """
    import numpy as np

    from engine.learning.scores.metrics import ece as error_of
    from engine.learning.scores.metrics import once

    if not len(y):
        return Matured(0, 0.0, 0.0, 0.0, 0.0, "")
    spread = scores * (1 - scores)
    tilt = 1 - 2 * scores
    z_slope = float(((y - scores) * tilt).sum() / np.sqrt(max((tilt**2 * spread).sum(), 1e-300)))
    z_total = float((y - scores).sum() / np.sqrt(max(spread.sum(), 1e-300)))
    z = max(z_slope, z_total, key=abs)
    error = once(error_of, y, scores)
    foretold, came = float(scores.mean()), float(y.mean())
    is_off = abs(z) > Z_MAX and error > CALIBRATION_MAX
    why = (
        f"of {len(y):,} people {foretold:.1%} were foretold and {came:.1%} did"
        f" (calibration error {error:.3f}): train again"
        if is_off
        else ""
    )
    return Matured(len(y), foretold, came, error, z, why)


def _shares(column: "Floats", edges: "Floats") -> "Floats":
    """Share of known values in each bin; a value at an edge is below it."""
    import numpy as np

    known = column[~np.isnan(column)]
    inner = edges[~np.isnan(edges)]
    counts = np.bincount(np.searchsorted(inner, known), minlength=BINS)
    return counts / max(len(known), 1)


def _ones(reference: Reference, at: int) -> float:
    import numpy as np

    edges = reference.edges[at]
    below = int(np.searchsorted(edges[~np.isnan(edges)], 0.5))
    return float(reference.shares[at][below:].sum()) if below else 1.0


def _psi_why(name: str, psi: float, noise: float) -> str:
    if psi <= max(PSI_MAX, noise):
        return ""
    return f"{name} is distributed otherwise than in training (PSI {psi:.2f}, alarm at {PSI_MAX})"


def _missing_why(name: str, was: float, now: float) -> str:
    if abs(now - was) <= MISSING_CHANGE_MAX:
        return ""
    return f"{name} is missing for {now:.0%} of people, in training for {was:.0%}"


def _unseen_why(name: str, was: float, now: float) -> str:
    if now - was <= UNSEEN_CHANGE_MAX:
        return ""
    feature = name.removesuffix(LEVEL + OTHER)
    return f"{feature} has levels unknown to training for {now:.0%} of people, then {was:.0%}"
