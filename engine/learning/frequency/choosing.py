"""Which cap for whom: chosen on some people, its worth read on others, and no more who leave.

Whatever is chosen by looking at a curve looks better on that curve than it is. So the choice is
made on four fifths of the people and valued on the fifth left out, five times over, each by the
doubly robust mean with the chances of the draw. One cap for all must surely beat today's, caps by
segment must surely beat one for all, and neither may cost more unsubscribes than the margin.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from engine.learning.frequency.curves import ALPHA, rising
from engine.learning.frequency.doses import Doses, Worth
from engine.learning.refusals import Refused
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import Interval, absolute_lift, welch
from experiments.evidence.equivalence import Guardrail, GuardrailWord, Margin, guardrail

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FOLDS: Final = 5
DARING: Final = 1.0
"""Standard errors by which a segment's own best must lead before it leaves the best of all."""

Way = Literal["today", "one", "by_segment"]
WORDS: Final[Mapping[Way, str]] = {
    "today": "today's cap",
    "one": "one cap for all",
    "by_segment": "caps by segment",
}


@dataclass(frozen=True)
class Chosen:
    """What to do, and on what grounds.

    Attributes:
        way: Which policy may be used.
        doses: By segment the cap it sets.
        gains: Net worth per person of `one` and `by_segment` over today, and of `by_segment` over
            `one` (as `finer`), with intervals; on people who taught the choice nothing.
        guardrails: Unsubscribes of `one` and `by_segment` against today.
        values: The same as estimates, for any other kind of evidence.
    """

    way: Way
    doses: Mapping[str, int]
    gains: Mapping[str, Interval]
    guardrails: Mapping[str, Guardrail]
    values: Mapping[str, Estimates]
    why: str


def choose(
    doses: Doses,
    worth: Worth,
    *,
    today: int,
    margin: Margin,
    rng: "np.random.Generator",
    alpha: float = ALPHA,
    folds: int = FOLDS,
) -> Chosen:
    """The policy that may be used.

    Args:
        today: The cap there is; one of the doses.
        margin: Of unsubscribes, absolute (0.002 is 0.2 points) or relative.
        rng: Draws the folds.
    Raises:
        Refused: If today's cap is none of the doses, or people are too few for the folds.
    """
    import numpy as np

    if today not in doses.shares:
        raise Refused(
            f"today's cap of {today} was not drawn by anybody",
            f"let it be one of the trial's: {', '.join(map(str, doses.levels))}",
        )
    net, gone = doses.net(worth), doses.unsubscribed.astype(np.float64)
    fold = rng.permutation(doses.n) % folds
    told = {way: np.empty((2, doses.n)) for way in WORDS}
    for k in range(folds):
        here, rest = fold == k, fold != k
        one, own = _best(doses, worth, rest)
        policies: dict[Way, NDArray[np.int64]] = {
            "today": np.full(len(doses.segments), today),
            "one": np.full(len(doses.segments), one),
            "by_segment": own,
        }
        for row, outcome in enumerate((net, gone)):
            means = _means(doses, outcome, rest)
            for way, policy in policies.items():
                told[way][row, here] = _robust(doses, outcome, means, policy, here)
    one, own = _best(doses, worth, np.ones(doses.n, dtype=bool))
    pairs: dict[str, tuple[Way, Way]] = {
        "one": ("today", "one"),
        "by_segment": ("today", "by_segment"),
        "finer": ("one", "by_segment"),
    }
    values = {name: _paired(told[a][0], told[b][0]) for name, (a, b) in pairs.items()}
    gains = {name: _interval(it, alpha) for name, it in values.items()}
    leaving = {
        name: guardrail(
            _paired(told["today"][1], told[name][1]), alpha=alpha, better="lower", margin=margin
        )
        for name in ("one", "by_segment")
    }
    way = _allowed(gains, leaving, is_today=one == today)
    picked = {"today": np.full(len(own), today), "one": np.full(len(own), one), "by_segment": own}
    return Chosen(
        way=way,
        doses={name: int(it) for name, it in zip(doses.segments, picked[way], strict=True)},
        gains=gains,
        guardrails=leaving,
        values=values,
        why=_why(way, gains, leaving, one=one, today=today),
    )


def _best(doses: Doses, worth: Worth, rows: "NDArray[np.bool_]") -> "tuple[int, NDArray[np.int64]]":
    """The best dose of all, and of each segment: its own only where that leads by far enough."""
    import numpy as np

    net = doses.net(worth)
    everybody = _worths(doses, worth, rows)
    best = int(np.argmax(everybody))
    own = np.full(len(doses.segments), doses.levels[best])
    for place in range(len(doses.segments)):
        here = rows & (doses.segment == place)
        drawn = [net[here & (doses.dose == it)] for it in doses.levels]
        if min(len(it) for it in drawn) < 2:
            continue
        worths = _worths(doses, worth, here)
        top = int(np.argmax(worths))
        scatter = np.sqrt(sum(drawn[it].var(ddof=1) / len(drawn[it]) for it in (top, best)))
        if worths[top] - worths[best] > DARING * scatter:
            own[place] = doses.levels[top]
    return doses.levels[best], own


def _worths(doses: Doses, worth: Worth, rows: "NDArray[np.bool_]") -> "Floats":
    """Net worth by dose, by curves that only rise."""
    import numpy as np

    drawn = [rows & (doses.dose == it) for it in doses.levels]
    n = [float(it.sum()) for it in drawn]
    if min(n) < 2:
        raise Refused("a dose was drawn by fewer than two people of a fold", "wait for more people")
    parts = (
        (worth.outcome, doses.outcome),
        (-worth.unsubscribe, doses.unsubscribed),
        (-worth.send, doses.sends),
    )
    found = np.zeros(len(n))
    for weight, column in parts:
        found += weight * rising([float(column[it].mean()) for it in drawn], n)
    return found


def _means(doses: Doses, outcome: "Floats", rows: "NDArray[np.bool_]") -> "Floats":
    """Mean by segment and dose; of a segment that has none of a dose, everybody's."""
    import numpy as np

    found = np.empty((len(doses.segments), len(doses.levels)))
    for column, dose in enumerate(doses.levels):
        drew = rows & (doses.dose == dose)
        found[:, column] = outcome[drew].mean()
        for place in range(len(doses.segments)):
            here = drew & (doses.segment == place)
            if here.any():
                found[place, column] = outcome[here].mean()
    return found


def _robust(
    doses: Doses, outcome: "Floats", means: "Floats", policy: Any, rows: "NDArray[np.bool_]"
) -> "Floats":
    """Doubly robust value of each person under a policy: the mean, and what theirs says of it."""
    import numpy as np

    segment = doses.segment[rows]
    wished = np.asarray(policy)[segment]
    told = means[segment, np.searchsorted(doses.levels, wished)]
    chance = np.array([doses.shares[int(it)] for it in doses.levels])
    drew = doses.dose[rows] == wished
    found: Floats = (
        told + drew * (outcome[rows] - told) / chance[np.searchsorted(doses.levels, wished)]
    )
    return found


def _paired(control: "Floats", treatment: "Floats") -> Estimates:
    """Two means over the same people."""
    import numpy as np

    n = len(control)
    return Estimates(
        control=float(control.mean()),
        treatment=float(treatment.mean()),
        control_variance=float(control.var(ddof=1)) / n,
        treatment_variance=float(treatment.var(ddof=1)) / n,
        covariance=float(np.cov(control, treatment)[0, 1]) / n,
        difference_variance=float((treatment - control).var(ddof=1)) / n,
        n_control=n,
        n_treatment=n,
        degrees_of_freedom=float(n - 1),
    )


def _interval(estimates: Estimates, alpha: float) -> Interval:
    return absolute_lift(estimates, critical=welch(estimates, alpha=alpha).critical)


def _allowed(
    gains: Mapping[str, Interval], leaving: Mapping[str, Guardrail], *, is_today: bool
) -> Way:
    def surely(name: str) -> bool:
        return (gains[name].ci_lower or 0.0) > 0

    def safe(name: str) -> bool:
        return leaving[name].word is GuardrailWord.SAFE

    if surely("by_segment") and surely("finer") and safe("by_segment"):
        return "by_segment"
    if surely("one") and safe("one") and not is_today:
        return "one"
    return "today"


def _why(
    way: Way,
    gains: Mapping[str, Interval],
    leaving: Mapping[str, Guardrail],
    *,
    one: int,
    today: int,
) -> str:
    if way == "by_segment":
        return f"Caps by segment bring {_told(gains['by_segment'])} a person more than today's cap."
    if way == "one":
        finer = f"caps by segment gain {_told(gains['finer'])} over it, not surely anything"
        more = f"brings {_told(gains['one'])} a person more than {today}"
        return f"At most {one} for all {more}; {finer}."
    if one == today and not (gains["finer"].ci_lower or 0.0) > 0:
        return f"Today's cap of {today} is the best there is; caps by segment gain nothing surely."
    for name in ("by_segment", "one"):
        if (gains[name].ci_lower or 0.0) > 0 and leaving[name].word is not GuardrailWord.SAFE:
            word = WORDS["by_segment" if name == "by_segment" else "one"]
            return (
                f"Today's cap of {today} stays: {word} would bring {_told(gains[name])} a person"
                f" more, but of unsubscribes {leaving[name].rule}."
            )
    return f"Today's cap of {today} stays: at most {one} for all gains {_told(gains['one'])}."


def _told(it: Interval) -> str:
    if it.ci_lower is None or it.ci_upper is None:
        return "nothing"
    return f"{it.estimate:.4g} ({it.ci_lower:.4g} to {it.ci_upper:.4g})"
