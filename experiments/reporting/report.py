"""A readout for people and machines: terminal text, Markdown, JSON, and one HTML file.

Under a sample ratio mismatch the texts for people show sizes and plain means but no effect; the
JSON keeps the numbers for whoever looks for the cause, under the verdict "withheld".
"""

from math import isfinite
from typing import Any

from experiments.evidence.compare import Interval
from experiments.readout import Comparison, Effect, Readout
from experiments.reporting.html import Note, Section, Table, html
from experiments.reporting.words import (
    all_notes,
    chance,
    count,
    level,
    level_span,
    percent,
    pvalue_text,
    span,
    srm_sentence,
    summary,
)

__all__ = ["Note", "Section", "Table", "as_json", "html", "markdown", "text"]

COLUMNS = (
    "metric", "variant", "control", "treatment", "lift", "95% interval", "difference", "p",
    "p corrected", "verdict",
)  # fmt: skip


def as_json(readout: Readout) -> dict[str, Any]:
    """Plain data for `json.dumps(..., allow_nan=False)`; an unbounded end is null."""
    srm = readout.srm
    metrics: dict[str, dict[str, Any]] = {}
    for entry in readout.comparisons:
        metrics.setdefault(entry.metric.name, {})[entry.variant] = _comparison_json(entry)
    return {
        "name": readout.name,
        "control": readout.control,
        "method": readout.method,
        "alpha": readout.alpha,
        "correction": readout.correction,
        "srm": {
            "pvalue": srm.pvalue,
            "expected": srm.expected,
            "observed": srm.observed,
            "anytime_pvalue": srm.anytime_pvalue,
            "log_e_value": srm.log_e_value if isfinite(srm.log_e_value) else None,
            "passed": srm.passed,
        },
        "variants": {name: {"n": n} for name, n in readout.n.items()},
        "metrics": metrics,
        "summary": summary(readout),
        "notes": list(readout.notes),
    }


def text(readout: Readout) -> str:
    """A plain-text table with the summary first; columns are aligned by spaces."""
    rows = [list(_columns(readout)), *_rows(readout)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [readout.name, "=" * len(readout.name), "", *summary(readout), ""]
    if not readout.is_withheld:
        lines += [srm_sentence(readout), ""]
    lines += [f"  {name}: {count(n)} units" for name, n in readout.n.items()]
    lines.append("")
    for place, row in enumerate(rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(cells).rstrip())
        if place == 0:
            lines.append("  ".join("-" * width for width in widths))
    lines += ["", *(f"- {note}" for note in all_notes(readout))]
    return "\n".join(lines).rstrip() + "\n"


def markdown(readout: Readout) -> str:
    """A Markdown section with tables, for pull requests and chats."""
    lines = [f"## {_md(readout.name)}", ""]
    lines += [f"**{_md(said)}**  " for said in summary(readout)]
    if not readout.is_withheld:
        lines += ["", _md(srm_sentence(readout))]
    lines += ["", "| variant | units | planned |", "|---|--:|--:|"]
    total = sum(readout.srm.expected.values())
    lines += [
        f"| {_md(name)} | {count(n)} | {percent(readout.srm.expected[name] / total)} |"
        for name, n in readout.n.items()
    ]
    columns = _columns(readout)
    lines += ["", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(map(_md, row)) + " |" for row in _rows(readout)]
    lines += ["", *(f"- {_md(note)}" for note in all_notes(readout))]
    return "\n".join(lines).rstrip() + "\n"


def _comparison_json(entry: Comparison) -> dict[str, Any]:
    posterior = entry.posterior
    return {
        "control": entry.control,
        "treatment": entry.treatment,
        **_effect_json(entry.effect),
        "pvalue_adjusted": entry.pvalue_adjusted,
        "method": entry.method,
        "cuped": {
            "applied": entry.cuped.applied,
            "variance_reduction": entry.cuped.variance_reduction,
            "note": entry.cuped.note,
        },
        "unadjusted": _effect_json(entry.unadjusted),
        "bayes": (
            {"p_better": posterior.p_better, "expected_loss": posterior.expected_loss}
            if posterior
            else None
        ),
        "verdict": {"word": entry.verdict.word.value, "rule": entry.verdict.rule},
        "notes": list(entry.notes),
    }


def _effect_json(effect: Effect) -> dict[str, Any]:
    return {
        "lift_abs": _interval_json(effect.lift_abs),
        "lift_rel": _interval_json(effect.lift_rel),
        "pvalue": effect.pvalue,
        "std_error": effect.std_error,
    }


def _interval_json(interval: Interval) -> dict[str, float | None]:
    return {
        "estimate": interval.estimate,
        "ci_lower": interval.ci_lower,
        "ci_upper": interval.ci_upper,
    }


def _columns(readout: Readout) -> tuple[str, ...]:
    if readout.is_withheld:
        return (*COLUMNS[:4], "verdict")
    interval = f"{percent(1 - readout.alpha)} interval"
    extra = ("P(better)", "expected loss") if readout.method == "bayesian" else ()
    return (*(interval if name == "95% interval" else name for name in COLUMNS), *extra)


def _rows(readout: Readout) -> list[list[str]]:
    return [_row(readout, entry) for entry in readout.comparisons]


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


def _md(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
