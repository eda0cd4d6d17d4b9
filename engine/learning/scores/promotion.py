"""Whether a score may be published: it must be worth more than what there is without it.

The bound is that of a 99 % interval and not the report's 95 %: a model refreshed weekly is looked
at fifty times a year, and one of noise must not slip through in one of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import hypot
from typing import Any, Final

from engine.learning.scores.metrics import LOWER_IS_BETTER

SURE: Final = 2.575829
"""Standard errors to either side that hold 99 %."""
USUAL: Final = 1.959964
TELLING: Final = 0.001
"""A difference below it is not given in digits where it may be chance."""
BASELINE: Final = "recency, frequency and monetary alone"

WORDS: Final[Mapping[str, str]] = {
    "auc": "AUC", "pr_auc": "PR-AUC", "log_loss": "log loss", "brier": "Brier score",
    "ece": "calibration error (ECE)", "precision_at_decile": "precision, top tenth",
    "recall_at_decile": "recall, top tenth", "lift_at_decile": "lift, top tenth", "rmse": "RMSE",
    "mae": "MAE", "total_ratio": "foretold / came",
}  # fmt: skip
"""What people call a metric."""


@dataclass(frozen=True)
class Promotion:
    """Whether a candidate takes the champion's place, and why (not), in a sentence."""

    is_better: bool
    why: str


def decide(metrics: Mapping[str, Any], champion: Mapping[str, Any] | None) -> Promotion:
    """Judge a candidate by its metrics, see `evaluation`.

    It must beat knowing nothing, and the baseline unless it is the baseline, and must not be worse
    than the champion by more than the interval of the difference.
    """
    primary = metrics["primary"]
    word = WORDS[primary]
    mine = metrics["values"][primary]
    said = f"{word} {figure(mine['value'])}"
    nothing = metrics["constant"]["gain"][primary]
    if not beats(nothing):
        return Promotion(
            False,
            f"{said} is not surely better than knowing nothing of anybody"
            f" ({figure(metrics['constant']['values'][primary]['value'])}): {_between(nothing)}",
        )
    if not metrics["is_baseline"]:
        over = metrics["baseline"]["gain"][primary]
        if not beats(over):
            return Promotion(
                False,
                f"{said} is not surely better than the baseline's"
                f" {figure(metrics['baseline']['values'][primary]['value'])}: {_between(over)}",
            )
    against = _against(metrics, champion)
    if against is not None and against[1] < 0:
        return Promotion(
            False,
            f"{said} is worse than the champion's by {figure(-against[0])}{_of_what(metrics)}"
            f" (at least {figure(-against[1])}); the champion stays",
        )
    return Promotion(True, f"{said} {_beaten(metrics)}{_kept_up(against)}{_tried(metrics)}")


def beats(gain: Mapping[str, Any]) -> bool:
    """Whether a gain is above zero at 99 %; an unknown one is not."""
    if gain["value"] is None or gain["std_error"] is None:
        return False
    return bool(gain["value"] - SURE * gain["std_error"] > 0)


def figure(value: float | None) -> str:
    """Three digits that matter."""
    if value is None:
        return "unknown"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}" if value else "0"


def _against(
    metrics: Mapping[str, Any], champion: Mapping[str, Any] | None
) -> tuple[float, float] | None:
    """Gain over the champion and its upper bound: paired where there is a pair.

    Without one the two are of other people and times. An AUC is an AUC; an error in money is
    larger in December whoever foretells it, so errors are compared by the share that they take off
    the error of knowing nothing.
    """
    primary = metrics["primary"]
    if "champion" in metrics:
        paired = metrics["champion"]["gain"][primary]
        if paired["value"] is not None and paired["std_error"] is not None:
            return paired["value"], paired["value"] + USUAL * paired["std_error"]
    if champion is None or champion.get("primary") != primary:
        return None
    mine, theirs = _worth(metrics), _worth(champion)
    if mine is None or theirs is None:
        return None
    gain = mine[0] - theirs[0]
    return gain, gain + USUAL * hypot(mine[1], theirs[1])


def _worth(metrics: Mapping[str, Any]) -> tuple[float, float] | None:
    """What is comparable with a run of another time, more being better, and its standard error."""
    primary, unit = metrics["primary"], 1.0
    told = metrics["values"][primary]
    if primary in LOWER_IS_BETTER:
        nothing = metrics.get("constant")
        if not nothing or not nothing["values"][primary]["value"]:
            return None
        unit, told = nothing["values"][primary]["value"], nothing["gain"][primary]
    if told["value"] is None or told["std_error"] is None:
        return None
    return told["value"] / unit, told["std_error"] / unit


def _of_what(metrics: Mapping[str, Any]) -> str:
    is_share = metrics["primary"] in LOWER_IS_BETTER and "champion" not in metrics
    return " of the error of knowing nothing" if is_share else ""


def _between(gain: Mapping[str, Any]) -> str:
    if gain["std_error"] is None:
        return "too few rows to say"
    low = gain["value"] - SURE * gain["std_error"]
    high = gain["value"] + SURE * gain["std_error"]
    return f"the gain lies between {figure(low)} and {figure(high)}"


def _beaten(metrics: Mapping[str, Any]) -> str:
    """Of what it is, and by how much it is better than what there is without it."""
    primary = metrics["primary"]
    if metrics["is_baseline"]:
        gain = figure(metrics["constant"]["gain"][primary]["value"])
        return f"of the baseline ({BASELINE}) is better than knowing nothing of anybody by {gain}"
    gain = figure(metrics["baseline"]["gain"][primary]["value"])
    theirs = figure(metrics["baseline"]["values"][primary]["value"])
    return f"of {metrics['algorithm']} is better than the baseline's {theirs} by {gain}"


def _kept_up(against: tuple[float, float] | None) -> str:
    if against is None:
        return ""
    gain, high = against
    if gain > high - gain:
        return f", and better than the champion by {figure(gain)}"
    if not gain:
        return ", and exactly as good as the champion"
    by = figure(abs(gain)) if abs(gain) >= TELLING else f"less than {TELLING:g}"
    word = "better" if gain > 0 else "worse"
    return f", and as good as the champion ({word} by {by}, which may be chance)"


def _tried(metrics: Mapping[str, Any]) -> str:
    tried = metrics.get("not_better") if metrics["is_baseline"] else None
    return f"; {tried['algorithm']} was tried and gained nothing over it" if tried else ""
