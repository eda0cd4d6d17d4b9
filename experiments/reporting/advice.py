"""The decision in words: what to do, why, and what it may cost to be wrong."""

from dataclasses import dataclass

from experiments.analysis.decision import PERIOD_DAYS, Choice, Decision
from experiments.analysis.readout import Readout
from experiments.evidence.compare import Interval
from experiments.metrics import Metric
from experiments.reporting.words import capital, level, number, percent, span

TONES = {
    Choice.SHIP: "good",
    Choice.STOP: "bad",
    Choice.EXTEND: "open",
    Choice.INCONCLUSIVE: "open",
    Choice.NO_MEANINGFUL_EFFECT: "null",
    Choice.WAIT: "open",
    Choice.WITHHELD: "bad",
}


SILENT = "held_out"
"""The control of a holdout: what is compared with it is already being sent."""


@dataclass(frozen=True)
class Figure:
    """One number to weigh: what it is of, the number, and what it says."""

    label: str
    value: str
    meaning: str


def headline(decision: Decision, *, control: str) -> str:
    """What to do, in a few words.

    `Ship reminder`, `Extend by 14 days`, `Stop: keep control`.
    """
    match decision.choice:
        case Choice.SHIP:
            return "Keep sending" if control == SILENT else f"Ship {decision.variant}"
        case Choice.STOP:
            return "Stop sending" if control == SILENT else f"Stop: keep {control}"
        case Choice.EXTEND:
            days = "1 day" if decision.days == 1 else f"{decision.days} days"
            left = decision.rule == "time left"
            return f"Let it run: {days} left" if left else f"Extend by {days}"
        case Choice.INCONCLUSIVE:
            return "Inconclusive"
        case Choice.NO_MEANINGFUL_EFFECT:
            return "No meaningful effect"
        case Choice.WAIT:
            return "Not yet"
        case Choice.WITHHELD:
            if decision.rule == "played otherwise":
                return "Withheld: not played as drawn"
            return "Withheld: the sample ratio is off"


def reason(decision: Decision) -> str:
    """Why, as a sentence."""
    text = decision.reason
    return capital(text) + ("" if text.endswith(".") else ".")


def figures(readout: Readout) -> list[Figure]:
    """The numbers beside the decision; none where no effect may be shown."""
    decision = readout.decision
    if decision is None or not decision.variant or readout.is_withheld or readout.awaited:
        return []
    entry = next(
        (
            it
            for it in readout.comparisons
            if it.variant == decision.variant and it.metric.label == decision.metric
        ),
        None,
    )
    if entry is None:
        return []
    metric, lift = entry.metric, entry.effect.lift_rel
    shown = (
        level(metric, entry.effect.lift_abs.estimate or 0.0, signed=True)
        if lift.estimate is None
        else percent(lift.estimate, signed=True)
    )
    found = [Figure(metric.label, shown, f"{decision.variant}, interval {span(lift)}")]
    if decision.stake is not None and decision.stake.estimate is not None:
        found.append(
            Figure(
                f"at stake in {PERIOD_DAYS} days",
                quantity(metric, decision.stake.estimate),
                f"if all get {decision.variant}{_range(metric, decision.stake)}",
            )
        )
    if decision.loss_if_shipped is not None and decision.loss_if_kept is not None:
        found.append(
            Figure(
                "lost on average if shipped",
                _small(metric, decision.loss_if_shipped),
                f"a unit; if not shipped {_small(metric, decision.loss_if_kept)}",
            )
        )
    if decision.waiting is not None:
        wait = decision.waiting
        verb = "costs" if wait.weeks == 1 else "cost"
        worth = "worth waiting" if wait.is_worth_it else "not worth waiting"
        found.append(
            Figure(
                "a week more is worth" if wait.weeks == 1 else f"{wait.weeks} weeks more are worth",
                quantity(metric, wait.value).lstrip("+"),
                f"and {verb} {quantity(metric, wait.cost).lstrip('+')}: {worth}",
            )
        )
    return found


def quantity(metric: Metric, value: float) -> str:
    """A sum over units, in the metric's unit; of a proportion, how many units."""
    rounded = number(value, signed=True) if abs(value) < 1_000 else f"{value:+,.0f}"
    rounded = rounded.replace("-", "−")
    if metric.kind == "proportion":
        return f"{rounded} units"
    return rounded + (f" {metric.unit}" if metric.unit else "")


def compact(value: float) -> str:
    """A sum short enough for a chart's edge.

    >>> compact(12_500.0), compact(-3_000_000.0), compact(0.0)
    ('+12.5k', '−3m', '0')
    """
    for size, mark in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if abs(value) >= size:
            return number(value / size, signed=True) + mark
    return number(value, signed=True)


def _small(metric: Metric, value: float) -> str:
    if metric.kind != "proportion":
        return number(value) + (f" {metric.unit}" if metric.unit else "")
    return level(metric, value, signed=True).lstrip("+")


def _range(metric: Metric, interval: Interval) -> str:
    if interval.ci_lower is None or interval.ci_upper is None:
        return ""
    return f": {quantity(metric, interval.ci_lower)} to {quantity(metric, interval.ci_upper)}"
