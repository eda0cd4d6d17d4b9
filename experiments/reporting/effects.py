"""The forest: every comparison's interval on its metric's scale, guardrails, and what CUPED did."""

from collections.abc import Mapping, Sequence
from html import escape

from experiments.analysis.readout import Comparison, Readout, Word
from experiments.reporting.markup import panel, table, tone, verdict_chip
from experiments.reporting.plot import (
    Scale,
    axis_row,
    before_after_row,
    interval_row,
    scale_for,
)
from experiments.reporting.words import (
    chance,
    level,
    level_span,
    percent,
    pvalue_text,
    reduction,
    span,
)

Truths = Mapping[tuple[str, str], float]
"""The true relative lift by (metric, variant), where it is known."""


def effects(readout: Readout, truths: Truths) -> str:
    """Every metric but the guardrails, variant by variant."""
    shown = [it for it in readout.comparisons if it.metric.role != "guardrail"]
    return _forest("Effects", readout, shown, truths)


def guardrails(readout: Readout, truths: Truths) -> str:
    """The metrics that must not suffer."""
    shown = [it for it in readout.comparisons if it.metric.role == "guardrail"]
    return _forest("Guardrails", readout, shown, truths)


def plain_means(readout: Readout) -> str:
    """What may be shown without a verdict: plain means, no comparison."""
    rows = [
        [
            entry.metric.label,
            entry.variant,
            level(entry.metric, entry.control),
            level(entry.metric, entry.treatment),
        ]
        for entry in readout.comparisons
    ]
    caption = (
        "For finding the cause only: with units missing from a variant these are not comparable."
    )
    columns = ["Metric", "Variant", "Control", "Variant"]
    numeric = [False, False, True, True]
    return panel("Plain means", table(columns, rows, caption=caption, numeric=numeric))


def adjustment(readout: Readout) -> str:
    """With and without covariates, where they were used."""
    entries = [entry for entry in readout.comparisons if entry.cuped.applied]
    if not entries:
        return ""
    scale = scale_for(
        lift for entry in entries for lift in (entry.effect.lift_rel, entry.unadjusted.lift_rel)
    )
    rows = "".join(_adjusted_row(entry, scale) for entry in entries)
    return panel(
        "With and without CUPED",
        '<div class="scroll" tabindex="0"><table><caption>CUPED removes the part of a metric that'
        " behaviour before the experiment explains. Pale: without it.</caption>"
        "<thead><tr><th scope='col'>Metric and variant</th><th scope='col'>Without</th>"
        "<th scope='col'>With</th><th scope='col'>Relative lift</th>"
        f"<th scope='col' class='num'>Variance removed</th></tr></thead><tbody>{rows}"
        f"{_axis(scale)}</tbody></table></div>",
    )


def _forest(title: str, readout: Readout, entries: Sequence[Comparison], truths: Truths) -> str:
    if not entries:
        return ""
    interval = f"{percent(1 - readout.alpha)} interval"
    head = (
        '<thead><tr><th scope="col">Variant</th><th scope="col" class="num">Control</th>'
        '<th scope="col" class="num">Variant</th><th scope="col">Relative lift</th>'
        f'<th scope="col">Lift and {interval}<small>absolute below</small></th>'
        '<th scope="col" class="num">p</th><th scope="col">Verdict</th></tr></thead>'
    )
    known = " The diamond is the truth, known here." if truths else ""
    caption = (
        f"<caption>Each variant against {escape(readout.control)}. The bar is the {interval}; the"
        f" dashed line is no difference. Each metric has its own scale.{known}</caption>"
    )
    names = dict.fromkeys(entry.metric.name for entry in entries)
    bodies = "".join(
        _metric_rows([it for it in entries if it.metric.name == name], truths) for name in names
    )
    return panel(
        title,
        f'<div class="scroll" tabindex="0"><table class="forest-table">{caption}{head}{bodies}'
        "</table></div>",
    )


def _metric_rows(entries: Sequence[Comparison], truths: Truths) -> str:
    metric = entries[0].metric
    known = [truth for (name, _), truth in truths.items() if name == metric.name]
    scale = scale_for((entry.effect.lift_rel for entry in entries), values=known)
    role = "" if metric.role == "primary" else f' <span class="kind">{metric.role}</span>'
    name = (
        f'<tr class="name"><th scope="rowgroup" colspan="7">{escape(metric.label)}{role}</th></tr>'
    )
    rows = "".join(_row(entry, scale, truths) for entry in entries)
    return f'<tbody class="metric">{name}{rows}{_axis(scale)}</tbody>'


def _axis(scale: Scale) -> str:
    empty = '<td aria-hidden="true"></td>' * 3
    return (
        f'<tr class="ticks">{empty}<td class="plot" aria-hidden="true">{axis_row(scale)}</td></tr>'
    )


def _row(entry: Comparison, scale: Scale, truths: Truths) -> str:
    metric, lift = entry.metric, entry.effect.lift_rel
    truth = truths.get((metric.name, entry.variant))
    shown = "none" if lift.estimate is None else percent(lift.estimate, signed=True)
    said = f"{entry.variant} on {metric.label}: lift {shown}, interval {span(lift)}"
    if truth is not None:
        said += f", truth {percent(truth, signed=True)}"
    bar = interval_row(lift, scale, tone=tone(entry), label=said, truth=truth)
    corrected = ""
    if pvalue_text(entry.pvalue_adjusted) != pvalue_text(entry.effect.pvalue):
        corrected = f"<small>{escape(pvalue_text(entry.pvalue_adjusted))} corrected</small>"
    if entry.randomization_pvalue is not None:
        anew = escape(pvalue_text(entry.randomization_pvalue))
        corrected += f"<small>{anew} assigned anew</small>"
    return (
        f'<tr><th scope="row">{escape(entry.variant)}</th>'
        f'<td class="num" data-of="Control">{escape(level(metric, entry.control))}</td>'
        f'<td class="num" data-of="Variant">{escape(level(metric, entry.treatment))}</td>'
        f'<td class="plot">{bar}</td>'
        f'<td class="wide" data-of="Lift"><strong>{shown}</strong> ({span(lift)})'
        f"<small>{escape(level_span(metric, entry.effect.lift_abs))}</small>{_beside(entry)}</td>"
        f'<td class="num" data-of="p">{escape(pvalue_text(entry.effect.pvalue))}{corrected}</td>'
        f'<td data-of="Verdict">{verdict_chip(entry)}{_why(entry)}</td></tr>'
    )


def _beside(entry: Comparison) -> str:
    """What else is known of the effect: corrected, uncapped, believed."""
    metric, said = entry.metric, []
    if entry.lift_family is not None:
        said.append(f"corrected interval {span(entry.lift_family)}")
    if entry.final is not None:
        gain = level(metric, entry.final.effect.estimate or 0.0, signed=True)
        said.append(f"median-unbiased {gain} ({level_span(metric, entry.final.effect)})")
    if entry.diluted is not None and entry.diluted.effect is not None:
        lift_abs = entry.diluted.effect.lift_abs
        gain = level(metric, lift_abs.estimate or 0.0, signed=True)
        said.append(f"on everybody {gain} ({level_span(metric, lift_abs)})")
    if entry.uncapped is not None:
        plain = entry.uncapped.lift_rel
        value = "none" if plain.estimate is None else percent(plain.estimate, signed=True)
        said.append(f"without its cap {value} ({span(plain)})")
    if entry.verdict.word is Word.INCONCLUSIVE and entry.visible_lift is not None:
        said.append(f"as many show lifts from ±{percent(entry.visible_lift)} (power 80 %)")
    if entry.posterior is not None:
        loss = level(metric, entry.posterior.expected_loss)
        said.append(f"P(better) {chance(entry.posterior.p_better)}, expected loss {loss}")
    return "".join(f"<small>{escape(text)}</small>" for text in said)


def _why(entry: Comparison) -> str:
    """Of a guardrail, what its word rests on."""
    if entry.metric.role != "guardrail":
        return ""
    return f'<small class="why">{escape(entry.verdict.rule)}</small>'


def _adjusted_row(entry: Comparison, scale: Scale) -> str:
    before, after = entry.unadjusted.lift_rel, entry.effect.lift_rel

    def cell(lift: float | None, within: str) -> str:
        shown = "none" if lift is None else percent(lift, signed=True)
        return f'<td class="wide">{shown}<small>{within}</small></td>'

    said = (
        f"{entry.variant} on {entry.metric.label}: lift without CUPED {span(before)}, with CUPED"
        f" {span(after)}"
    )
    return (
        f'<tr><th scope="row">{escape(entry.metric.label)}<small>{escape(entry.variant)},'
        f" {escape(entry.cuped.note)}</small></th>"
        f"{cell(before.estimate, span(before))}{cell(after.estimate, span(after))}"
        f"<td class='plot'>{before_after_row(before, after, scale, label=said)}</td>"
        f'<td class="num">{reduction(entry.cuped.variance_reduction)}</td></tr>'
    )
