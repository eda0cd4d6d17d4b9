"""One self-contained HTML file from readouts, free text and tables: no script, no outside asset.

The first thing on the page is what happened, in sentences; then the intervals behind it, whether
the data can be trusted, what adjustment changed, and how it was read.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import assert_never

from experiments.readout import Comparison, Readout, Word
from experiments.reporting.plot import (
    Scale,
    axis_row,
    before_after_row,
    interval_row,
    scale_for,
    size_bar,
)
from experiments.reporting.style import CSS
from experiments.reporting.words import (
    all_notes,
    chance,
    count,
    level,
    level_span,
    percent,
    percent_precise,
    pvalue_text,
    reduction,
    sentence,
    span,
    srm_sentence,
    summary,
)


@dataclass(frozen=True, kw_only=True)
class Section:
    """One experiment or holdout.

    Attributes:
        readout: What it found.
        title: The readout's name if not given.
        kind: Shown beside the title: "A/B test", "campaign holdout".
        lead: Sentences to open with, before those of the readout.
        truths: The true relative lift by (metric, variant), where it is known, as when effects
            were planted; drawn beside what was found.
    """

    readout: Readout
    title: str | None = None
    kind: str = "experiment"
    lead: tuple[str, ...] = ()
    truths: Mapping[tuple[str, str], float] = field(default_factory=dict)

    @property
    def heading(self) -> str:
        """The title shown."""
        return self.title or self.readout.name


@dataclass(frozen=True, kw_only=True)
class Note:
    """Free text under a heading, one string a paragraph."""

    heading: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A plain table under a heading; cells that look like numbers are aligned right."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


def html(
    sections: Sequence[Section | Note | Table], *, title: str, notes: Sequence[str] = ()
) -> str:
    """The whole page.

    Args:
        sections: In the order shown.
        notes: Opening paragraphs under the title.
    """
    intro = "".join(f'<p class="intro">{escape(note)}</p>' for note in notes)
    parts = "".join(_part(section, place) for place, section in enumerate(sections))
    body = f"<h1>{escape(title)}</h1>{intro}{_glance(sections)}{parts}"
    # A number and its percent sign, and "p = 0.04", stay on one line.
    body = re.sub(
        r"(?<=\d) %|(?<=\bp) (?=[=<&])|(?<=p [=<]) ", lambda gap: "\u00a0" + gap[0][1:], body
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n"
        f"{body}\n"
        "</main>\n</body>\n</html>\n"
    )


def _glance(sections: Sequence[Section | Note | Table]) -> str:
    """With several readouts, the first sentences of each before any detail."""
    found = [(place, part) for place, part in enumerate(sections) if isinstance(part, Section)]
    if len(found) < 2:
        return ""
    items = "".join(_glance_item(section, place) for place, section in found)
    return f'<div class="glance">{items}</div>'


def _glance_item(section: Section, place: int) -> str:
    said = "".join(
        f"<li>{chip}<span>{text}</span></li>" for chip, text in _sentences(section.readout)
    )
    link = f'<a href="#part-{place}">{escape(section.heading)}</a>'
    return f'<div><p class="of">{link}</p><ul class="said">{said}</ul></div>'


def _part(part: Section | Note | Table, place: int) -> str:
    match part:
        case Section():
            inside = _section(part)
        case Note():
            inside = _heading(part.heading) + "".join(
                f"<p>{escape(text)}</p>" for text in part.paragraphs
            )
        case Table():
            inside = _heading(part.heading) + _plain_table(part)
        case _:
            assert_never(part)
    return f'\n<section id="part-{place}">{inside}</section>'


def _heading(title: str, kind: str = "") -> str:
    beside = f'<span class="kind">{escape(kind)}</span>' if kind else ""
    return f'<header class="part"><h2>{escape(title)}</h2>{beside}</header>'


def _section(section: Section) -> str:
    readout = section.readout
    items = "".join(f"<li>{chip}<span>{said}</span></li>" for chip, said in _sentences(readout))
    lead = "".join(f"<p>{escape(text)}</p>" for text in section.lead)
    blocks = [
        _heading(section.heading, section.kind),
        lead,
        f'<ul class="said">{items}</ul>',
        _means_table(readout) if readout.is_withheld else _effects_table(readout, section.truths),
        _sizes(readout),
        "" if readout.is_withheld else _cuped(readout),
        _reading(readout),
    ]
    return "".join(blocks)


def _sentences(readout: Readout) -> list[tuple[str, str]]:
    """A chip and a sentence each."""
    if readout.is_withheld:
        return [(_chip("withheld", "bad"), escape(summary(readout)[0]))]
    shown = [entry for entry in readout.comparisons if entry.metric.role == "primary"]
    return [
        (_verdict_chip(entry), escape(sentence(entry, control=readout.control)))
        for entry in shown or readout.comparisons
    ]


Truths = Mapping[tuple[str, str], float]


def _effects_table(readout: Readout, truths: Truths) -> str:
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
    bodies = "".join(
        _metric_rows(
            readout,
            [entry for entry in readout.comparisons if entry.metric.name == metric.name],
            truths,
        )
        for metric in readout.metrics
    )
    return f"<h3>Effects</h3><div class='scroll'><table>{caption}{head}{bodies}</table></div>"


def _metric_rows(readout: Readout, entries: Sequence[Comparison], truths: Truths) -> str:
    metric = entries[0].metric
    known = [truth for (name, _), truth in truths.items() if name == metric.name]
    scale = scale_for((entry.effect.lift_rel for entry in entries), values=known)
    role = "" if metric.role == "primary" else f' <span class="kind">{metric.role}</span>'
    name = (
        f'<tr class="name"><th scope="rowgroup" colspan="7">{escape(metric.label)}{role}</th></tr>'
    )
    rows = "".join(_effect_row(readout, entry, scale, truths) for entry in entries)
    return f'<tbody class="metric">{name}{rows}{_axis(scale)}</tbody>'


def _axis(scale: Scale) -> str:
    empty = '<td aria-hidden="true"></td>' * 3
    return f'<tr>{empty}<td class="plot" aria-hidden="true">{axis_row(scale)}</td></tr>'


def _effect_row(readout: Readout, entry: Comparison, scale: Scale, truths: Truths) -> str:
    metric, lift = entry.metric, entry.effect.lift_rel
    truth = truths.get((metric.name, entry.variant))
    shown = "none" if lift.estimate is None else percent(lift.estimate, signed=True)
    said = f"{entry.variant} on {metric.label}: lift {shown}, interval {span(lift)}"
    if truth is not None:
        said += f", truth {percent(truth, signed=True)}"
    bar = interval_row(lift, scale, tone=_tone(entry), label=said, truth=truth)
    corrected = ""
    if pvalue_text(entry.pvalue_adjusted) != pvalue_text(entry.effect.pvalue):
        corrected = f"<small>{escape(pvalue_text(entry.pvalue_adjusted))} corrected</small>"
    belief = ""
    if entry.posterior:
        loss = level(metric, entry.posterior.expected_loss)
        belief = (
            f"<small>P(better) {escape(chance(entry.posterior.p_better))}, expected loss"
            f" {escape(loss)}</small>"
        )
    return (
        f'<tr><th scope="row">{escape(entry.variant)}</th>'
        f'<td class="num">{escape(level(metric, entry.control))}</td>'
        f'<td class="num">{escape(level(metric, entry.treatment))}</td>'
        f'<td class="plot">{bar}</td>'
        f'<td class="wide"><strong>{shown}</strong> ({span(lift)})'
        f"<small>{escape(level_span(metric, entry.effect.lift_abs))}</small>{belief}</td>"
        f'<td class="num">{escape(pvalue_text(entry.effect.pvalue))}{corrected}</td>'
        f"<td>{_verdict_chip(entry)}</td></tr>"
    )


def _means_table(readout: Readout) -> str:
    """What may be shown without a verdict: plain means, no comparison."""
    rows = "".join(
        f'<tr class="plain"><th scope="row">{escape(entry.metric.label)}</th>'
        f"<td>{escape(entry.variant)}</td>"
        f'<td class="num">{escape(level(entry.metric, entry.control))}</td>'
        f'<td class="num">{escape(level(entry.metric, entry.treatment))}</td></tr>'
        for entry in readout.comparisons
    )
    return (
        "<h3>Plain means</h3><table><caption>For finding the cause only: with units missing from a"
        " variant these are not comparable.</caption><thead><tr><th scope='col'>Metric</th>"
        "<th scope='col'>Variant</th><th scope='col' class='num'>Control</th>"
        f"<th scope='col' class='num'>Variant</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _sizes(readout: Readout) -> str:
    srm, total = readout.srm, sum(readout.srm.expected.values())
    most = max(*srm.observed.values(), *srm.expected.values()) * 1.02
    rows = "".join(
        f'<tr class="plain"><th scope="row">{escape(name)}</th>'
        f'<td class="num">{count(n)}</td>'
        f'<td class="num">{percent_precise(n / total)}</td>'
        f'<td class="num">{percent_precise(srm.expected[name] / total)}</td>'
        f"<td class='plot'>{_size_bar(name, n, srm.expected[name], most)}</td></tr>"
        for name, n in readout.n.items()
    )
    chip = _chip("as planned", "good") if srm.passed else _chip("mismatch", "bad")
    return (
        "<h3>Units per variant</h3><div class='scroll'><table><thead><tr>"
        "<th scope='col'>Variant</th><th scope='col' class='num'>Units</th>"
        "<th scope='col' class='num'>Share</th><th scope='col' class='num'>Planned</th>"
        f"<th scope='col'>The line is the plan</th></tr></thead><tbody>{rows}</tbody></table></div>"
        f'<p class="verdict-srm">{chip}<span class="small">{escape(srm_sentence(readout))}</span>'
        "</p>"
    )


def _size_bar(name: str, n: int, expected: float, most: float) -> str:
    return size_bar(n, expected, most, label=f"{name}: {count(n)} units, {count(expected)} planned")


def _cuped(readout: Readout) -> str:
    entries = [entry for entry in readout.comparisons if entry.cuped.applied]
    if not entries:
        return ""
    scale = scale_for(
        lift for entry in entries for lift in (entry.effect.lift_rel, entry.unadjusted.lift_rel)
    )
    rows = "".join(_cuped_row(entry, scale) for entry in entries)
    return (
        "<h3>With and without CUPED</h3><div class='scroll'><table><caption>CUPED removes the part"
        " of a metric that behaviour before the experiment explains. Pale: without it.</caption>"
        "<thead><tr><th scope='col'>Metric and variant</th><th scope='col'>Without</th>"
        "<th scope='col'>With</th><th scope='col'>Relative lift</th>"
        f"<th scope='col' class='num'>Variance removed</th></tr></thead><tbody>{rows}"
        f"{_axis(scale)}</tbody></table></div>"
    )


def _cuped_row(entry: Comparison, scale: Scale) -> str:
    before, after = entry.unadjusted.lift_rel, entry.effect.lift_rel

    def cell(lift: float | None, within: str) -> str:
        shown = "none" if lift is None else percent(lift, signed=True)
        return f'<td class="wide">{shown}<small>{within}</small></td>'

    said = f"Lift without CUPED {span(before)}, with CUPED {span(after)}"
    return (
        f'<tr><th scope="row">{escape(entry.metric.label)}<small>{escape(entry.variant)},'
        f" {escape(entry.cuped.note)}</small></th>"
        f"{cell(before.estimate, span(before))}{cell(after.estimate, span(after))}"
        f"<td class='plot'>{before_after_row(before, after, scale, label=said)}</td>"
        f'<td class="num">{reduction(entry.cuped.variance_reduction)}</td></tr>'
    )


def _reading(readout: Readout) -> str:
    """How it was read, for who wants to check."""
    methods = sorted({entry.method for entry in readout.comparisons})
    rules = [
        f"{entry.metric.label}, {entry.variant}: {entry.verdict.word.value} because"
        f" {entry.verdict.rule}"
        for entry in readout.comparisons
    ]
    n = len(readout.comparisons)
    corrected = f"; p corrected by {readout.correction} over {n} comparisons" if n > 1 else ""
    lines = [
        f"{' / '.join(methods)}; alpha {readout.alpha:g}{corrected}.",
        *all_notes(readout),
    ]
    if not readout.is_withheld:
        lines[1:1] = [
            "Relative intervals are Fieller's: they hold a lift exactly when the test does not"
            " reject it, so interval and p never disagree.",
            *rules,
        ]
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h3>How this was read</h3><ul class='small'>{items}</ul>"


def _plain_table(table: Table) -> str:
    numeric = [
        bool(table.rows) and all(_looks_numeric(row[i]) for row in table.rows)
        for i in range(len(table.columns))
    ]
    css = ['class="num"' if right else "" for right in numeric]
    head = "".join(
        f'<th scope="col" {how}>{escape(name)}</th>'
        for name, how in zip(table.columns, css, strict=True)
    )
    rows = "".join(
        '<tr class="plain">'
        + "".join(f"<td {how}>{escape(cell)}</td>" for cell, how in zip(row, css, strict=True))
        + "</tr>"
        for row in table.rows
    )
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    return (
        f"<div class='scroll'><table>{caption}<thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _looks_numeric(cell: str) -> bool:
    stripped = cell.strip().lstrip("+-−").replace(",", "").replace("%", "").replace(".", "").strip()
    return stripped.isdigit() or not cell.strip()


def _verdict_chip(entry: Comparison) -> str:
    return _chip(entry.verdict.word.value, _tone(entry))


def _chip(word: str, tone: str) -> str:
    return f'<span class="chip {tone}">{escape(word)}</span>'


def _tone(entry: Comparison) -> str:
    match entry.verdict.word:
        case Word.EFFECT:
            gain = (entry.effect.lift_abs.estimate or 0) > 0
            return "good" if gain == (entry.metric.better == "higher") else "bad"
        case Word.NO_EFFECT:
            return "null"
        case Word.INCONCLUSIVE:
            return "open"
        case Word.WITHHELD:
            return "bad"
