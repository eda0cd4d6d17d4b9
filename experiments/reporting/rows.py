"""The table of effects as cells of text, for the terminal and Markdown alike."""

from experiments.analysis.readout import Comparison, Readout
from experiments.reporting.words import chance, level, level_span, percent, pvalue_text, span

COLUMNS = (
    "metric", "variant", "control", "treatment", "lift", "95% interval", "difference", "p",
    "p corrected", "verdict",
)  # fmt: skip
ANEW = "p assigned anew"
"""Beside p, of few clusters and of switchbacks: how often other coins would show as much."""


def columns(readout: Readout) -> tuple[str, ...]:
    """Headings; fewer where no effect may be shown."""
    if readout.is_withheld:
        return (*COLUMNS[:4], "verdict")
    interval = f"{percent(1 - readout.alpha)} interval"
    heads = tuple(
        each
        for name in COLUMNS
        for each in ((name, ANEW) if name == "p" and _is_anew(readout) else (name,))
    )
    extra = ("P(better)", "expected loss") if readout.method == "bayesian" else ()
    return (*(interval if name == "95% interval" else name for name in heads), *extra)


def rows(readout: Readout) -> list[list[str]]:
    """One row a comparison, a cell a column."""
    return [_row(readout, entry) for entry in readout.comparisons]


def _is_anew(readout: Readout) -> bool:
    return any(entry.randomization_pvalue is not None for entry in readout.comparisons)


def _row(readout: Readout, entry: Comparison) -> list[str]:
    metric, effect = entry.metric, entry.effect
    means = [
        metric.label,
        entry.variant,
        level(metric, entry.control),
        level(metric, entry.treatment),
    ]
    if readout.is_withheld:
        return [*means, entry.verdict.word.value]
    lift = effect.lift_rel.estimate
    row = [
        *means,
        "none" if lift is None else percent(lift, signed=True),
        span(effect.lift_rel),
        level_span(metric, effect.lift_abs),
        pvalue_text(effect.pvalue),
        *([pvalue_text(entry.randomization_pvalue)] if _is_anew(readout) else []),
        pvalue_text(entry.pvalue_adjusted),
        entry.verdict.word.value,
    ]
    if readout.method == "bayesian":
        posterior = entry.posterior
        row += (
            [chance(posterior.p_better), level(metric, posterior.expected_loss)]
            if posterior
            else ["none", "none"]
        )
    return row
