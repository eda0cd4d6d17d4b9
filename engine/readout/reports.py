"""Findings as text, JSON and sections of the HTML report."""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.core.clocktime import iso
from engine.readout.findings import Findings
from experiments.reporting import report
from experiments.reporting.report import Note, Section, Table

Part = Section | Note | Table


def sections_of(
    found: Findings,
    *,
    lead: Sequence[str] = (),
    truths: Mapping[tuple[str, str], float] | None = None,
) -> list[Part]:
    """The sections of one study: the comparison as assigned, then those who could be reached.

    Args:
        truths: The true relative lift by (metric, variant), where effects were planted.
    """
    study = found.study
    if found.readout is None:
        return [Note(heading=study.title, paragraphs=(*lead, f"No readout: {found.why_not}."))]
    first = Section(
        readout=found.readout,
        title=study.title,
        kind=study.shown_kind,
        lead=tuple(lead),
        truths=truths or {},
    )
    return [
        first,
        *(
            Section(
                readout=each,
                title=each.name.partition(": ")[2].capitalize(),
                kind=f"{study.title}, triggered",
            )
            for each in found.triggered
        ),
    ]


def page(parts: Sequence[Part], *, title: str, notes: Sequence[str] = ()) -> str:
    """One self-contained HTML file."""
    return report.html(parts, title=title, notes=notes)


def as_text(
    found: Findings, *, markdown: bool, width: int | None = None, colour: bool = False
) -> str:
    """For a terminal of some width, or as Markdown."""
    if found.readout is None:
        mark = "## " if markdown else ""
        return f"{mark}{found.study.name}\n\nNo readout: {found.why_not}.\n"
    whole = (found.readout, *found.triggered)
    if markdown:
        return "\n".join(map(report.markdown, whole))
    return "\n".join(report.text(each, width=width, colour=colour) for each in whole)


def report_schema() -> dict[str, Any]:
    """The JSON Schema of `as_json`: a readout with how it was collected, or why there is none.

    `analyze --json` prints the readout alone: the last of the shapes.
    """
    readout = report.json_schema()
    text, count = {"type": "string"}, {"type": "integer", "minimum": 0}
    about = {
        "kind": text,
        "campaign": text,
        "phase": count,
        "as_of": text,
        "immature": count,
        "conflicts": count,
    }
    properties = {
        **readout["properties"],
        **about,
        "triggered": {"type": "object", "additionalProperties": {"$ref": "#/$defs/readout"}},
    }
    alone = {key: readout[key] for key in ("type", "required", "properties")}
    nothing = {"name": text, **about, "readout": {"type": "null"}, "why_not": text}
    return {
        "$schema": readout["$schema"],
        "$id": readout["$id"],
        "title": "What `antiphon experiment report --json` prints of one study, and `antiphon"
        " analyze --json` of a file",
        "$defs": {**readout["$defs"], "readout": alone},
        "anyOf": [
            {"type": "object", "required": list(properties), "properties": properties},
            {"type": "object", "required": list(nothing), "properties": nothing},
            {"$ref": "#/$defs/readout"},
        ],
    }


def as_json(found: Findings) -> dict[str, Any]:
    """The object of `experiment report --json`: that of `analyze`, and how it was collected."""
    study = found.study
    about = {
        "name": study.name,
        "kind": study.kind,
        "campaign": study.campaign,
        "phase": study.phase,
        "as_of": iso(found.as_of),
        "immature": found.n_immature,
        "conflicts": found.n_conflicts,
    }
    if found.readout is None:
        return {**about, "readout": None, "why_not": found.why_not}
    return {
        **report.as_json(found.readout),
        **about,
        "triggered": {each.name: report.as_json(each) for each in found.triggered},
    }
