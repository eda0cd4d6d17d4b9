"""Panels on whether the data can be trusted: units per variant, populations, what was left out."""

from html import escape

from experiments.analysis.readout import Readout
from experiments.reporting.markup import chip, folded, panel, paragraph, table
from experiments.reporting.plot import size_bar
from experiments.reporting.words import (
    capital,
    count,
    number,
    p_is,
    percent,
    percent_precise,
    pvalue_text,
    srm_sentence,
)

POPULATIONS_SHOWN = 8
"""More than so many populations are folded away when all of them pass."""


def sizes(readout: Readout) -> str:
    """Units per variant against the plan."""
    noun = capital(readout.counted)
    srm, total = readout.srm, sum(readout.srm.expected.values())
    most = max(*srm.observed.values(), *srm.expected.values()) * 1.02
    rows = "".join(
        f'<tr class="plain"><th scope="row">{escape(name)}</th>'
        f'<td class="num" data-of="{noun}">{count(n)}</td>'
        f'<td class="num" data-of="Share">{percent_precise(n / total)}</td>'
        f'<td class="num" data-of="Planned">{percent_precise(srm.expected[name] / total)}</td>'
        f"<td class='plot'>{_size_bar(readout, name, most)}</td></tr>"
        for name, n in readout.n.items()
    )
    if not readout.mismatches:
        word = chip("as planned", "good")
    else:
        word = chip("acknowledged" if readout.quality.acknowledged else "mismatch", "bad")
    return panel(
        f"{noun} per variant",
        '<div class="scroll" tabindex="0"><table class="forest-table"><thead><tr>'
        f"<th scope='col'>Variant</th><th scope='col' class='num'>{noun}</th>"
        "<th scope='col' class='num'>Share</th><th scope='col' class='num'>Planned</th>"
        f"<th scope='col'>The line is the plan</th></tr></thead><tbody>{rows}</tbody></table></div>"
        f'<p class="said-of">{word}<span>{escape(srm_sentence(readout))} Watched at every look:'
        f" {escape(p_is(srm.anytime_pvalue))}.</span></p>",
        _populations(readout),
    )


def quality(readout: Readout) -> str:
    """Who was left out and why, what was cut, what could not be read."""
    found = readout.quality
    parts = []
    if found.excluded:
        names = list(readout.n)
        rows = [
            [
                it.why,
                f"{count(it.n)} {it.what}",
                percent(it.n / it.of) if it.of else "",
                *(count(it.n_by_variant.get(name, 0)) for name in names),
            ]
            for it in found.excluded
        ]
        columns = ["Left out because they", "How many", "Of all", *names]
        numeric = [False, True, True, *(True for _ in names)]
        parts.append(table(columns, rows, numeric=numeric))
    if found.caps:
        rows = [
            [it.metric, number(it.limit), percent(it.share),
             ", ".join(f"{name} {count(n)}" for name, n in it.n_above.items())]
            for it in found.caps
        ]  # fmt: skip
        columns = ["Capped metric", "At", "Quantile of non-zero values", "Units above it"]
        parts.append(table(columns, rows, numeric=[False, True, True, False]))
    if found.n_unreadable:
        parts.append(
            paragraph(f"{count(found.n_unreadable)} events had no readable value and add nothing.")
        )
    if not parts:
        parts.append(paragraph("Nobody was left out, nothing was cut.", "small"))
    return panel("What was left out and why", *parts)


def _populations(readout: Readout) -> str:
    """The sample ratio by day, source and the like."""
    found = readout.quality.populations
    if not found:
        return ""
    failed = [name for name, srm in found.items() if not srm.passed]
    rows = [
        [
            escape(name),
            " / ".join(count(n) for n in srm.observed.values()),
            escape(pvalue_text(srm.pvalue)),
            chip("as planned", "good") if srm.passed else chip("mismatch", "bad"),
        ]
        for name, srm in found.items()
    ]
    columns = ["Population", " / ".join(readout.srm.observed), "p", "Against the plan"]
    listed = table(columns, rows, raw=True, numeric=[False, True, True, False])
    if not failed:
        title = f"All {len(found)} populations looked at have their planned shares"
        return folded(title, listed) if len(found) > POPULATIONS_SHOWN else listed
    said = f"{', '.join(failed)}: not as planned. The cause is likely to be found there."
    return paragraph(said, "warn") + listed


def _size_bar(readout: Readout, name: str, most: float) -> str:
    n, expected = readout.n[name], readout.srm.expected[name]
    said = f"{name}: {count(n)} {readout.counted}, {count(expected)} planned"
    return size_bar(n, expected, most, label=said)
