"""One self-contained HTML file from readouts, free text and tables: no script, no outside asset.

The first thing on the page is what to do, in plain words; then the intervals behind it, how they
settled, whether the data can be trusted, and how it was read. Read next: `opening`, `effects`,
`unfolded`, `trust`, `reading`, one a group of panels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import assert_never

from experiments.analysis.readout import Readout
from experiments.reporting import effects, opening, reading, trust, unfolded
from experiments.reporting.markup import heading, table, unbroken
from experiments.reporting.style import CSS


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
    """A plain table under a heading; cells that look like numbers are aligned right.

    `links` are pages by what stands in the first column.
    """

    heading: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    links: Mapping[str, str] = field(default_factory=dict)


Part = Section | Note | Table


def html(sections: Sequence[Part], *, title: str, notes: Sequence[str] = ()) -> str:
    """The whole page.

    Args:
        sections: In the order shown.
        notes: Opening paragraphs under the title.
    """
    intro = "".join(f'<p class="intro">{escape(note)}</p>' for note in notes)
    first, parts = 0, []
    for place, part in enumerate(sections):
        parts.append(_part(part, place, first_chart=first))
        first += 2 * len(part.readout.over_time) if isinstance(part, Section) else 0
    body = f"<h1>{escape(title)}</h1>{intro}{_glance(sections)}{''.join(parts)}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n"
        f"{unbroken(body)}\n"
        "</main>\n</body>\n</html>\n"
    )


def _glance(sections: Sequence[Part]) -> str:
    """With several readouts, the first sentences of each before any detail."""
    found = [(place, part) for place, part in enumerate(sections) if isinstance(part, Section)]
    if len(found) < 2:
        return ""
    items = "".join(_glance_item(section, place) for place, section in found)
    return f'<nav class="glance" aria-label="At a glance">{items}</nav>'


def _glance_item(section: Section, place: int) -> str:
    said = "".join(
        f"<li>{chip}<span>{text}</span></li>" for chip, text in opening.sentences(section.readout)
    )
    link = f'<a href="#part-{place}">{escape(section.heading)}</a>'
    return f'<div><p class="of">{link}</p><ul class="said">{said}</ul></div>'


def _part(part: Part, place: int, *, first_chart: int) -> str:
    match part:
        case Section():
            inside = _section(part, first_chart=first_chart)
        case Note():
            inside = heading(part.heading) + "".join(
                f"<p>{escape(text)}</p>" for text in part.paragraphs
            )
        case Table():
            inside = heading(part.heading) + table(
                part.columns, part.rows, caption=part.caption, links=part.links
            )
        case _:
            assert_never(part)
    return f'\n<section id="part-{place}">{inside}</section>'


def _section(section: Section, *, first_chart: int) -> str:
    readout = section.readout
    lead = "".join(f"<p>{escape(text)}</p>" for text in section.lead)
    head = heading(section.heading, section.kind) + lead + opening.opening(readout)
    after = [
        trust.sizes(readout),
        trust.quality(readout),
        reading.rules(readout.decision),
        reading.plan(readout),
        reading.notes(readout),
    ]
    if readout.is_withheld:
        return "".join([head, effects.plain_means(readout), *after])
    return "".join(
        [
            head,
            effects.effects(readout, section.truths),
            effects.guardrails(readout, section.truths),
            unfolded.over_time(readout, first=first_chart),
            unfolded.segments(readout),
            unfolded.reached(readout),
            unfolded.wear(readout),
            effects.adjustment(readout),
            *after,
        ]
    )
