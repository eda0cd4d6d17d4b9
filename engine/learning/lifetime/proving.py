"""Does the model foretell days it never saw? The log is cut, the model fitted before the cut.

What it must beat are two ways that need no model: everybody goes on at their own pace, and
everybody buys as people on average do. Compared by squared error, for that is least at the mean:
absolute error is least where nobody is foretold to buy again.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from engine.core.model.instants import Instant
from engine.learning.lifetime.bg_nbd import fit_bg_nbd
from engine.learning.lifetime.gamma_gamma import fit_gamma_gamma
from engine.learning.lifetime.repeats import WEEK, Repeats, repeats_of
from engine.learning.lifetime.value import Lifetime
from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SURE: Final = 2.575829
"""Standard errors either side: 99 %, as for every score (`engine.learning.scores.promotion`)."""
USUAL: Final = 1.959964
PACE_WEEKS: Final = 8.0
"""Who is known for less has no pace yet: two purchases in a week are not 100 a year."""
MANY: Final = 7
"""From this many repeats on people share a row of the calibration table."""


@dataclass(frozen=True)
class Row:
    """Of people with this many repeats before the cut: foretold and come, mean per person."""

    repeats: str
    n: int
    predicted: float
    actual: float


@dataclass(frozen=True, eq=False)
class Proof:
    """How well days after a cut were foretold from days before it.

    Attributes:
        within: Weeks after the cut.
        n: People who had bought before it.
        rmse, mae: Of the model, per person; purchases, or money.
        rmse_lower, rmse_upper: Of a 95 % interval.
        rivals: RMSE of `own_pace` and `average`.
        gains: By rival: mean squared error saved per person, with its standard error.
        ratio: Foretold of all people together, over what came; None where nothing came.
        rows: The calibration table.
    """

    within: float
    n: int
    rmse: float
    rmse_lower: float
    rmse_upper: float
    mae: float
    rivals: dict[str, float]
    gains: dict[str, tuple[float, float]]
    ratio: float | None
    rows: tuple[Row, ...]

    @property
    def rival(self) -> str:
        """The better of the two rivals."""
        return min(self.rivals, key=lambda name: self.rivals[name])

    @property
    def is_better(self) -> bool:
        """Whether it surely beats the better rival (and so, on these people, the other)."""
        gain, error = self.gains[self.rival]
        return gain - SURE * error > 0

    @property
    def why(self) -> str:
        """The verdict in a sentence."""
        words = {"own_pace": "everybody's own pace so far", "average": "the average of all"}
        found = "beats" if self.is_better else "is not surely better than"
        return (
            f"RMSE {self.rmse:.3g} over {_spoken(self.within)} that it had not seen {found}"
            f" {words[self.rival]} ({self.rivals[self.rival]:.3g})"
        )


def fit(repeats: Repeats, *, has_value: bool) -> Lifetime:
    """Both models of these buyers; with `has_value` false purchases alone.

    Raises:
        Refused: If either cannot be fitted.
    """
    purchases = fit_bg_nbd(repeats.x, repeats.t_x, repeats.age)
    return Lifetime(purchases, fit_gamma_gamma(repeats.x, repeats.spend) if has_value else None)


def prove(
    ids: Any, times: Any, amounts: Any, *, as_of: Instant, within: int, has_value: bool
) -> Proof:
    """Fit on the days before `as_of - within` and foretell those after.

    Args:
        ids, times, amounts: As `repeats_of` takes them.
        within: Microseconds; where the log is shorter than twice that, its later half.
    Raises:
        Refused: If too little is known before the cut.
    """
    import numpy as np

    ids, times = np.asarray(ids, dtype=np.int64), np.asarray(times, dtype=np.int64)
    amounts = np.asarray(amounts, dtype=np.float64)
    amounts = np.where(np.isnan(amounts), 0.0, amounts)
    if not len(times) or not (times < as_of).any():
        raise Refused("nobody has bought anything yet", "wait for purchases, or import them")
    span = min(within, (as_of - int(times.min())) // 2)
    cut = as_of - span
    before = repeats_of(ids, times, amounts, as_of=cut)
    model = fit(before, has_value=has_value)
    weeks = span / WEEK
    came = (times >= cut) & (times < as_of) & np.isin(ids, before.ids)
    if not came.any():
        # Otherwise whichever foretells least would win, and a dead shop's model be published.
        raise Refused(
            f"the target never happens: none of {before.n} people who had bought bought again"
            f" in the last {_spoken(weeks)}, which are kept to judge by",
            "check that purchases still come in, or choose a longer span for the target",
        )
    rows = np.searchsorted(before.ids, ids[came])
    worth = amounts[came] if has_value else None
    actual = np.bincount(rows, weights=worth, minlength=before.n).astype(np.float64)
    each = _spend(before) if has_value else np.ones(before.n)
    told = (model.value if has_value else model.expected_purchases)(before, within=weeks)
    pace = before.x / np.maximum(before.age, PACE_WEEKS)
    rivals = {
        "own_pace": pace * each * weeks,
        # Of all people together: repeats a week of being known.
        "average": np.full(before.n, before.x.sum() / max(before.age.sum(), 1e-9) * weeks)
        * float(each.mean()),
    }
    return _judged(before, told, actual, rivals, weeks)


def _spoken(weeks: float) -> str:
    """`39 weeks`, and below two of them `3 days`, for "0 weeks" says nothing."""
    return f"{weeks:.0f} weeks" if weeks >= 2 else f"{7 * weeks:.3g} days"


def _spend(repeats: Repeats) -> "Floats":
    """Each person's mean spend as shown; everybody's, where none was."""
    import numpy as np

    is_back = repeats.x > 0
    shown: Floats = np.where(is_back, repeats.spend, repeats.spend[is_back].mean())
    return shown


def _judged(
    before: Repeats, told: "Floats", actual: "Floats", rivals: "dict[str, Floats]", weeks: float
) -> Proof:
    import numpy as np

    wrong = (told - actual) ** 2
    scatter = wrong.std(ddof=1) / np.sqrt(len(wrong))
    gains = {}
    for name, it in rivals.items():
        saved = (it - actual) ** 2 - wrong
        gains[name] = (float(saved.mean()), float(saved.std(ddof=1) / np.sqrt(len(saved))))
    table = []
    for x in range(MANY + 1):
        here = before.x >= x if x == MANY else before.x == x
        if here.any():
            name = f"{x} or more" if x == MANY else str(x)
            row = Row(name, int(here.sum()), float(told[here].mean()), float(actual[here].mean()))
            table.append(row)
    return Proof(
        within=weeks,
        n=before.n,
        rmse=float(np.sqrt(wrong.mean())),
        rmse_lower=float(np.sqrt(max(wrong.mean() - USUAL * scatter, 0.0))),
        rmse_upper=float(np.sqrt(wrong.mean() + USUAL * scatter)),
        mae=float(np.abs(told - actual).mean()),
        rivals={k: float(np.sqrt(((it - actual) ** 2).mean())) for k, it in rivals.items()},
        gains=gains,
        ratio=float(told.sum() / actual.sum()) if actual.sum() > 0 else None,
        rows=tuple(table),
    )
