"""Whether a recommender takes the champion's place: it must be surely better than popularity.

Popularity is what everybody would see without a model, so it is the mark, and the bound that of a
99 % interval: of tastes that were pure chance one in ten came out above it, and a model refreshed
daily has many chances. The champion's figures are of another past than the candidate's, so only a
gap wider than both their errors counts.
"""

from collections.abc import Mapping
from math import hypot
from typing import Any, Final

from engine.learning.recommenders.evaluation import POPULAR, PRIMARY, SERVED, Evaluation, K
from engine.learning.scores.promotion import SURE, Promotion

_USUAL: Final = 1.959964


def judge(found: Evaluation, champion: Mapping[str, Any] | None = None) -> Promotion:
    """The verdict, with its numbers in a sentence.

    Args:
        champion: `Evaluation.metrics()` of what is served now.
    """
    served = found.systems[SERVED].values[PRIMARY]
    popular = found.systems[POPULAR].values[PRIMARY]
    said = f"nDCG@{K} {served.value:.4f} on {found.n_people:,} people"
    if found.kind != "popular":
        gain = found.gain[PRIMARY]
        between = f"(the gain lies between {gain.low:+.4f} and {gain.high:+.4f})"
        if gain.value - SURE * gain.std_error <= 0:
            word = "is worse" if gain.high < 0 else "is not surely better"
            return Promotion(
                False, f"{said} {word} than popularity's {popular.value:.4f} {between}"
            )
        said = f"{said} beats popularity's {popular.value:.4f} {between}"
    against = _against(served.value, served.std_error, champion)
    if against is not None:
        return Promotion(False, f"{said}, but {against}; the champion stays")
    return Promotion(True, said)


def _against(value: float, std_error: float, champion: Mapping[str, Any] | None) -> str | None:
    """How far below the champion, if surely."""
    theirs = (champion or {}).get("primary") or {}
    if theirs.get("name") != f"{PRIMARY}_at_{K}":
        return None
    gain = value - theirs["value"]
    if gain + _USUAL * hypot(std_error, theirs["std_error"]) >= 0:
        return None
    return f"it is below the champion's {theirs['value']:.4f} by {-gain:.4f}"
