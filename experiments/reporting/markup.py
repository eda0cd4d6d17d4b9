"""Pieces of HTML that every panel of the report is made of; all text is escaped here."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import Final

from experiments.analysis.readout import Comparison, Word

NO_LINKS: Final[Mapping[str, str]] = MappingProxyType({})


def chip(word: str, tone: str) -> str:
    """A word on a coloured ground; the word says it, the colour repeats it."""
    return f'<span class="chip {tone}">{escape(word)}</span>'


def heading(title: str, kind: str = "") -> str:
    """The head of a section."""
    beside = f'<span class="kind">{escape(kind)}</span>' if kind else ""
    return f'<header class="part"><h2>{escape(title)}</h2>{beside}</header>'


def panel(title: str, *inside: str, css: str = "") -> str:
    """A headed block; nothing at all where there is nothing inside."""
    body = "".join(inside)
    return f'<div class="panel {css}"><h3>{escape(title)}</h3>{body}</div>' if body else ""


def paragraph(text: str, css: str = "") -> str:
    """One paragraph of plain text."""
    return f'<p class="{css}">{escape(text)}</p>' if css else f"<p>{escape(text)}</p>"


def folded(summary: str, inside: str) -> str:
    """What few need, one key press away; print shows it."""
    return f"<details><summary>{escape(summary)}</summary>{inside}</details>"


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str = "",
    raw: bool = False,
    numeric: Sequence[bool] | None = None,
    links: Mapping[str, str] = NO_LINKS,
) -> str:
    """A plain table; columns of numbers are aligned right.

    Args:
        raw: The cells are markup already, and only then may they be.
        numeric: Which columns are numbers; found out from the cells if not given.
        links: Pages by what stands in the first column.
    """

    def shown(cell: str, place: int) -> str:
        inside = cell if raw else escape(cell)
        if place or cell not in links:
            return inside
        return f'<a href="{escape(links[cell])}">{inside}</a>'

    if numeric is None:
        numeric = [
            bool(rows) and all(looks_numeric(row[i]) for row in rows) for i in range(len(columns))
        ]
    css = [' class="num"' if right else "" for right in numeric]
    head = "".join(
        f'<th scope="col"{how}>{escape(name)}</th>' for name, how in zip(columns, css, strict=True)
    )
    body = "".join(
        '<tr class="plain">'
        + "".join(
            f"<td{how}>{shown(cell, place)}</td>"
            for place, (cell, how) in enumerate(zip(row, css, strict=True))
        )
        + "</tr>"
        for row in rows
    )
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll" tabindex="0"><table>{said}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def unbroken(body: str) -> str:
    """The page with no line broken inside "12 %", "p = 0.04" or "0.3 [0.2, 0.4]"."""
    pattern = (
        r"(?<=\d) %|(?<=\bp) (?=[=<&])|(?<=p [=<]) |(?<=\d) (?=\[[-+]?\d)"
        r"|(?<=\d,) (?=[-+]?[\d.]+\])"
    )
    return re.sub(pattern, lambda gap: "\u00a0" + gap[0][1:], body)


def looks_numeric(cell: str) -> bool:
    """Whether a cell is a number, or empty."""
    stripped = cell.strip().lstrip("+-−").replace(",", "").replace("%", "").replace(".", "").strip()
    return stripped.isdigit() or not cell.strip()


def verdict_chip(entry: Comparison) -> str:
    """The verdict's word in its tone."""
    return chip(entry.verdict.word.value, tone(entry))


def tone(entry: Comparison) -> str:
    """`good`, `bad`, `null` or `open`."""
    match entry.verdict.word:
        case Word.EFFECT:
            gain = (entry.effect.lift_abs.estimate or 0) > 0
            return "good" if gain == (entry.metric.better == "higher") else "bad"
        case Word.NO_EFFECT | Word.NO_MEANINGFUL_EFFECT:
            return "null"
        case Word.INCONCLUSIVE | Word.UNCLEAR:
            return "open"
        case Word.SAFE:
            return "good"
        case Word.HARM | Word.WITHHELD:
            return "bad"
