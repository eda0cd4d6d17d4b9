"""Panels that unfold the one number: over time, by segment, on those reached, with age."""

from html import escape

from experiments.analysis.readout import Comparison, OverTime, Readout, Segments
from experiments.evidence.compare import Interval
from experiments.programme.heterogeneity import Dimension
from experiments.reporting.advice import compact, quantity
from experiments.reporting.chart import Curve, curve
from experiments.reporting.markup import chip, folded, panel, paragraph, table, tone
from experiments.reporting.plot import LIFT_MAX, axis_row, interval_row, scale_for
from experiments.reporting.words import (
    count,
    level,
    level_span,
    p_is,
    percent,
    pvalue_text,
    span,
)


def over_time(readout: Readout, *, first: int) -> str:
    """The confidence sequence by day, and what each variant has brought in.

    Args:
        first: Number of the first chart on the page.
    """
    parts = []
    for place, track in enumerate(readout.over_time):
        parts.append(_sequence(readout, track, number=first + 2 * place))
    return panel("How it settled", *parts)


def segments(readout: Readout) -> str:
    """The deciding metric within the levels of each dimension."""
    parts = [
        _dimension(part, dimension, alpha=readout.alpha)
        for part in readout.segments
        for dimension in part.dimensions
    ]
    return panel("For whom", *parts)


def reached(readout: Readout) -> str:
    """The effect on those whom the message truly reached."""
    if not readout.compliers:
        return ""
    rows = []
    for it in readout.compliers:
        found = (
            f"{level(it.metric, it.effect.estimate, signed=True)}"
            f" ({level_span(it.metric, it.effect)})"
            if it.effect.estimate is not None
            else it.why_not
        )
        strength = "none" if it.first_stage_f is None else count(it.first_stage_f)
        rows.append([it.variant, percent(it.reached_share), found, strength])
    lead = paragraph(
        "People who were delivered to, opened or clicked are never compared as they are: who they"
        " are depends on the message. What the message did to those it reached is the effect on"
        " everyone assigned, over the share that assignment reached (CACE)."
    )
    columns = ["Variant", "Reached", "Effect on those reached, absolute", "First stage F"]
    return panel(
        "On those it reached", lead, table(columns, rows, numeric=[False, True, False, True])
    )


def wear(readout: Readout) -> str:
    """Whether the effect wears off with the time since exposure."""
    parts = []
    for it in readout.wear:
        if it.novelty is None:
            parts.append(paragraph(f"{it.variant}: not told, because {it.why_not}.", "small"))
            continue
        slope = it.novelty.slope
        change = level(it.metric, slope.interval.estimate or 0.0, signed=True)
        sure = slope.pvalue is not None and slope.pvalue <= readout.alpha
        said = (
            f"{it.variant}: the effect changes by {change} per day since exposure"
            f" ({p_is(slope.pvalue)})."
            + (" It does not stay as it is." if sure else " No sign that it wears off.")
        )
        columns = ["Days since exposure", "Effect", "Interval"]
        rows = [
            [f"{age:g}", level(it.metric, effect.estimate or 0.0, signed=True),
             level_span(it.metric, effect)]
            for age, effect in zip(it.novelty.ages, it.novelty.effects, strict=True)
        ]  # fmt: skip
        parts += [paragraph(said), folded("The effect by age", table(columns, rows))]
    return panel("Does it last", *parts)


def _sequence(readout: Readout, track: OverTime, *, number: int) -> str:
    last = track.moments[-1]
    entry = _entry_of(readout, track)
    shade = tone(entry) if entry else "null"
    days = tuple(moment.day for moment in track.moments)
    label = track.metric.label
    lift = Curve(
        days,
        tuple(moment.lift_rel for moment in track.moments),
        tuple(moment.so_far for moment in track.moments),
    )
    gained = Curve(days, tuple(moment.gained for moment in track.moments))
    ends = f"{_shown(last.lift_rel)}, interval {span(last.lift_rel)}"
    brought = last.gained.estimate or 0.0
    total = quantity(track.metric, brought)
    warning = (
        paragraph(
            "No single effect lies in every day's interval: it changed over time, or data was"
            " corrected.",
            "warn",
        )
        if track.contradicts_itself
        else ""
    )
    charts = (
        '<div class="charts"><figure>'
        f"<figcaption>{escape(track.variant)}: relative lift in {escape(label)}, interval that"
        " holds at every look<small>pale: that day's; dark: what all days leave</small>"
        "</figcaption>"
        + curve(
            lift,
            label=f"{track.variant}, relative lift in {label} by day; at the end {ends}",
            tone=shade,
            tick=lambda value: percent(value, signed=True),
            number=number,
            limit=LIFT_MAX,
        )
        + "</figure><figure>"
        f"<figcaption>{escape(track.variant)}: brought in so far, {escape(label)}"
        f"<small>over all {escape(track.variant)} units, against none</small></figcaption>"
        + curve(
            gained,
            label=f"{track.variant}, {label} brought in so far by day; at the end {total}",
            tone=shade,
            tick=compact,
            number=number + 1,
        )
        + "</figure></div>"
    )
    columns = ["Day", "Units", "Lift", "Interval", "All days leave", "p so far", "Brought in"]
    rows = [
        [
            moment.day,
            count(moment.n),
            _shown(moment.lift_rel),
            span(moment.lift_rel),
            span(moment.so_far),
            pvalue_text(moment.pvalue),
            quantity(track.metric, moment.gained.estimate or 0.0),
        ]
        for moment in track.moments
    ]
    return warning + charts + folded(f"{track.variant} by day, in numbers", table(columns, rows))


def _dimension(part: Segments, dimension: Dimension, *, alpha: float) -> str:
    variant, metric = part.variant, part.metric
    scale = scale_for(it.lift_rel for it in dimension.levels)
    rows = []
    for it in dimension.levels:
        said = f"{variant}, {it.level}: lift {_shown(it.lift_rel)}, interval {span(it.lift_rel)}"
        rows.append(
            f'<tr><th scope="row">{escape(it.level)}</th>'
            f'<td class="num" data-of="Units">{count(it.n_control + it.n_treatment)}</td>'
            f'<td class="plot">{interval_row(it.lift_rel, scale, tone="null", label=said)}</td>'
            f'<td class="wide" data-of="Lift"><strong>{_shown(it.lift_rel)}</strong>'
            f" ({span(it.lift_rel)})</td>"
            f'<td class="wide" data-of="To act on">'
            f"{level(metric, it.pulled.estimate or 0.0, signed=True)}"
            f"<small>{level_span(metric, it.pulled)}</small></td></tr>"
        )
    word = (
        chip("differs", "open")
        if dimension.differs
        else chip("no difference found", "null")
        if dimension.is_declared
        else chip("exploratory", "open")
    )
    declared = "" if dimension.is_declared else f" {escape(dimension.watermark)}."
    head = (
        f'<p class="said-of">{word}<span>{escape(variant)} by {escape(dimension.name)}:'
        f" {escape(p_is(dimension.pvalue_adjusted))} for any difference, corrected over the"
        f" dimensions.{declared}</span></p>"
    )
    left = "".join(
        paragraph(f"{name}: left out, {why}.", "small") for name, why in dimension.left_out.items()
    )
    empty = '<td aria-hidden="true"></td>'
    return (
        f'{head}<div class="scroll" tabindex="0"><table class="forest-table">'
        '<thead><tr><th scope="col">Level</th>'
        '<th scope="col" class="num">Units</th><th scope="col">Relative lift</th>'
        f'<th scope="col">Lift and {percent(1 - alpha)} interval, alone</th>'
        '<th scope="col">To act on, absolute<small>pulled towards the others</small></th>'
        '</tr></thead><tbody class="metric">'
        f"{''.join(rows)}<tr class='ticks'>{empty * 2}"
        f'<td class="plot" aria-hidden="true">{axis_row(scale)}</td></tr></tbody></table></div>'
        f"{left}"
    )


def _entry_of(readout: Readout, track: OverTime) -> Comparison | None:
    for entry in readout.comparisons:
        if entry.metric.name == track.metric.name and entry.variant == track.variant:
            return entry
    return None


def _shown(lift: Interval) -> str:
    return "none" if lift.estimate is None else percent(lift.estimate, signed=True)
