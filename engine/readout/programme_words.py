"""Programme findings and interaction scans as text for a terminal and as JSON."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

from engine.core.clocktime import iso
from engine.readout.programme import ProgrammeFindings
from experiments.evidence.compare import Interval
from experiments.programme.holdout import Impact, Slice
from experiments.programme.interactions import Interaction
from experiments.programme.reconcile import Reconciliation
from experiments.reporting.words import number, p_is, percent


def programme_text(found: ProgrammeFindings) -> str:
    """Measured beside the sum of parts, as lines."""
    unit = f" {found.metric.currency}" if found.metric.currency else ""
    lines = [f"{found.metric.title or found.metric.name}, everything against silence", ""]
    if found.measured is None:
        lines.append(f"measured      nothing yet: {found.why_not}")
    else:
        lines += _measured_lines(found.measured, unit)
    if found.reconciliation is not None:
        lines += ["", *_sum_lines(found.reconciliation, unit)]
    elif found.measured is not None:
        lines += ["", f"sum of parts  none: {found.why_not or 'the whole does not vary'}"]
    if found.additivity is not None:
        extra = found.additivity.interaction
        lines.append(
            f"programmes    add up to {number(found.additivity.parts)}{unit}; with one another "
            f"{_signed(extra)}{unit} ({p_is(found.additivity.pvalue)})"
        )
    if found.unmeasured:
        lines.append(f"not measured  {', '.join(found.unmeasured)} (no holdout, no experiment)")
    for title, slices in (("by period", found.by_period), ("by tenure", found.by_tenure)):
        if slices:
            lines += ["", title, *(f"  {_slice_line(it, unit)}" for it in slices)]
    if found.contamination is not None:
        lines += ["", found.contamination.reading]
    lines += ["", *found.notes] if found.notes else []
    return "\n".join(lines) + "\n"


def programme_json(found: ProgrammeFindings) -> dict[str, Any]:
    """The object of `experiment programme --json`."""
    touched = found.contamination
    return {
        "metric": found.metric.name,
        "as_of": iso(found.as_of),
        "measured": None if found.measured is None else _impact(found.measured),
        "why_not": found.why_not or None,
        "sum_of_parts": None if found.reconciliation is None else _sum(found.reconciliation),
        "parts": [
            {
                "name": part.name,
                "campaign": part.campaign,
                "units_since": part.n_since,
                **_impact(part.impact),
            }
            for part in found.parts
        ],
        "unmeasured": list(found.unmeasured),
        "additivity": None
        if found.additivity is None
        else {
            "whole": found.additivity.whole,
            "parts": found.additivity.parts,
            "interaction": _interval(found.additivity.interaction),
            "pvalue": found.additivity.pvalue,
        },
        "by_period": [_slice(it) for it in found.by_period],
        "by_tenure": [_slice(it) for it in found.by_tenure],
        "contamination": None
        if touched is None
        else {
            "reading": touched.reading,
            "leaked": touched.leaked,
            "variants": {
                name: {"units": it.n, "touched": it.n_touched, "touches": it.n_touches}
                for name, it in touched.variants.items()
            },
        },
        "notes": list(found.notes),
    }


def interactions_text(found: Sequence[Interaction], *, alpha: float) -> str:
    """One line a pair, those that interact first."""
    if not found:
        return "no two experiments share enough units to be compared\n"
    ordered = sorted(found, key=lambda it: (it.pvalue_adjusted is None, it.pvalue_adjusted))
    lines = []
    for it in ordered:
        name = f"{it.first} x {it.second}, {it.metric}, {it.n:,} units"
        if it.pvalue is None:
            lines.append(f"{name}: not read, {it.why_not}")
        elif it.interacts:
            largest = max(it.contrasts, key=lambda each: abs(each.difference.estimate or 0.0))
            lines.append(
                f"{name}: they interact ({p_is(it.pvalue_adjusted)} among all pairs); the effect "
                f"of {largest.first_arm} changes by {_signed(largest.difference)} under "
                f"{largest.second_arm}"
            )
        else:
            lines.append(f"{name}: no interaction seen ({p_is(it.pvalue_adjusted)})")
        if not it.is_independent:
            lines.append(
                f"  their arms are not assigned independently ({p_is(it.independence_pvalue)}): one"
                " decides who meets the other, so neither effect can be read across"
            )
    lines += ["", f"{len(found)} pairs; corrected together, alpha {alpha:g}."]
    return "\n".join(lines) + "\n"


def interactions_json(found: Sequence[Interaction]) -> dict[str, Any]:
    """The object of `experiment interactions --json`."""
    return {
        "pairs": [
            {
                "first": it.first,
                "second": it.second,
                "metric": it.metric,
                "units": it.n,
                "independence_pvalue": it.independence_pvalue,
                "is_independent": it.is_independent,
                "pvalue": it.pvalue,
                "pvalue_adjusted": it.pvalue_adjusted,
                "interacts": it.interacts,
                "why_not": it.why_not or None,
                "contrasts": [
                    {
                        "first_arm": each.first_arm,
                        "second_arm": each.second_arm,
                        **_interval(each.difference),
                    }
                    for each in it.contrasts
                ],
            }
            for it in found
        ]
    }


def _measured_lines(impact: Impact, unit: str) -> list[str]:
    relative = impact.relative.estimate
    lines = [
        f"measured      {_signed(impact.total)}{unit} in all ({p_is(impact.pvalue)})",
        f"              {_signed(impact.per_unit)}{unit} for each of {impact.n_treated:,} people; "
        f"{impact.n_held_out:,} were held out",
    ]
    if relative is not None:
        bounds = (impact.relative.ci_lower, impact.relative.ci_upper)
        shown = ["unbounded" if it is None else percent(it, signed=True) for it in bounds]
        lines.append(f"              {percent(relative, signed=True)} ({' to '.join(shown)})")
    return lines


def _sum_lines(found: Reconciliation, unit: str) -> list[str]:
    lines = [
        f"sum of parts  {_signed(found.shrunk)}{unit} in all, each pulled to 0 by its noise",
        f"              plainly added {number(found.raw.estimate or 0.0, signed=True)}{unit}; less "
        f"the winner's curse {number(found.corrected, signed=True)}{unit}",
    ]
    lines += [
        f"  {number(it.shrunk, signed=True):>10}{unit}  {it.name} ({it.n_units:,} people; plainly "
        f"{number(it.raw, signed=True)})"
        for it in sorted(found.shares, key=lambda each: -abs(each.shrunk))
    ]
    lines.append(f"difference    {_signed(found.gap)}{unit} ({p_is(found.pvalue)})")
    lines.append(f"              {found.reading}")
    return lines


def _slice_line(it: Slice, unit: str) -> str:
    if it.impact is None:
        return f"{it.label:<26} {it.why_not}"
    return f"{it.label:<26} {_signed(it.impact.total)}{unit} ({it.impact.n_treated:,} people)"


def _signed(interval: Interval) -> str:
    """An estimate with its bounds, as people write them."""
    if interval.estimate is None:
        return "unknown"
    shown = number(interval.estimate, signed=True)
    if interval.ci_lower is None or interval.ci_upper is None:
        return f"{shown} (unbounded)"
    lower, upper = (number(it, signed=True) for it in (interval.ci_lower, interval.ci_upper))
    return f"{shown} ({lower} to {upper})"


def _impact(impact: Impact) -> dict[str, Any]:
    return {
        "held_out_units": impact.n_held_out,
        "treated_units": impact.n_treated,
        "held_out": impact.held_out,
        "treated": impact.treated,
        "total": _interval(impact.total),
        "per_unit": _interval(impact.per_unit),
        "relative": _interval(impact.relative),
        "pvalue": impact.pvalue,
    }


def _sum(found: Reconciliation) -> dict[str, Any]:
    return {
        "shrunk": _interval(found.shrunk),
        "raw": _interval(found.raw),
        "corrected": found.corrected,
        "gap": _interval(found.gap),
        "pvalue": found.pvalue,
        "reading": found.reading,
        "shares": [
            {"name": it.name, "units": it.n_units, "raw": it.raw, "shrunk": it.shrunk}
            for it in found.shares
        ],
    }


def _slice(it: Slice) -> dict[str, Any]:
    impact = None if it.impact is None else _impact(it.impact)
    return {"label": it.label, "impact": impact, "why_not": it.why_not or None}


def _interval(interval: Interval) -> dict[str, float | None]:
    return {
        "estimate": _finite(interval.estimate),
        "ci_lower": _finite(interval.ci_lower),
        "ci_upper": _finite(interval.ci_upper),
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or not isfinite(value) else value
