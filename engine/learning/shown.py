"""Models and their runs in words: a sentence, a table of a terminal, Markdown, one page for all."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import get_ident
from typing import Any, Final

from engine.core.clocktime import iso
from engine.core.model.instants import DAY, HOUR, Instant
from engine.learning.refreshing import REPORTS, Learner, Refreshed, page_of
from engine.learning.watching import Standing, standings

PAGE: Final = "models.html"
NO_PAGES: Final[Mapping[str, str]] = {}
_COLUMNS: Final = (
    "MODEL", "KIND", "STATUS", "RUN", "PEOPLE", "KNOWS UNTIL", "METRIC", "FORETOLD", "CAME",
    "DRIFT", "NEXT", "LAST",
)  # fmt: skip


def said(done: Refreshed) -> str:
    """What came of a training, in a sentence."""
    match done.status:
        case "refused":
            return f"{done.model} learnt nothing (run {done.run}): {done.verdict}"
        case "done":
            return f"{done.model}: run {done.run} knows as much already"
        case "dry":
            return f"{done.model}: nothing is kept; it would be judged: {done.verdict}"
        case "candidate":
            return f"{done.model}: run {done.run} is kept aside: {done.verdict}"
        case _:
            people = f"; {done.n_scored:,} people in it" if done.n_scored else ""
            return f"{done.model}: run {done.run} is what is read now: {done.verdict}{people}"


def metric_words(primary: Mapping[str, Any]) -> str:
    """A metric with its interval: `auc 0.81 (0.79 to 0.83)`; "" for none."""
    if not primary or primary.get("value") is None:
        return ""
    shown = f"{primary.get('name', '')} {float(primary['value']):.3g}".strip()
    low, high = primary.get("low"), primary.get("high")
    if low is None or high is None:
        return shown
    return f"{shown} ({float(low):.3g} to {float(high):.3g})"


def rows_of(found: Sequence[Standing], *, now: Instant) -> list[tuple[str, ...]]:
    """One row a model, as `table` and the page show it."""
    return [
        (
            it.model,
            it.kind,
            _status(it),
            str(it.run or ""),
            f"{it.n_scored:,}" if it.n_scored else "",
            "" if it.as_of is None else f"{iso(it.as_of)[:16]}Z ({_age(now - it.as_of)})",
            metric_words(it.primary),
            *_came(it.calibration),
            f"{it.drift['psi']:.2f}{' !' if it.has_drifted else ''}" if it.drift.get("psi") else "",
            "" if it.next_at is None else f"{iso(it.next_at)[:16]}Z",
            _last(it),
        )
        for it in found
    ]


def _came(calibration: Mapping[str, Any]) -> tuple[str, str]:
    """The mean chance that was given, and the share of people who did; two blanks if unknown."""
    if not calibration.get("n"):
        return "", ""
    mark = " !" if calibration.get("why") else ""
    return f"{calibration['foretold']:.1%}", f"{calibration['came']:.1%}{mark}"


def table(found: Sequence[Standing], *, now: Instant) -> str:
    """For a terminal."""
    if not found:
        return "no model yet: write one in models/*.yaml and run: antiphon apply"
    rows = [_COLUMNS, *rows_of(found, now=now)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(_COLUMNS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, *(f"! {text}" for it in found for text in it.warnings())])


def as_markdown(done: Refreshed) -> str:
    """What came of a training, with every figure."""
    lines = [f"## {done.model}", "", f"{said(done)}.", ""]
    figures = done.metrics.get("figures") or []
    if figures:
        lines += ["| | value | from | to | baseline |", "|---|---|---|---|---|"]
        lines += [
            "| {} | {} | {} | {} | {} |".format(
                it.get("name", ""),
                *(_number(it.get(key)) for key in ("value", "low", "high", "baseline")),
            )
            for it in figures
        ]
        lines.append("")
    lines += [f"- {note}" for note in done.notes]
    return "\n".join(lines).rstrip() + "\n"


def write_pages(learner: Learner, *, now: Instant) -> list[Standing]:
    """Bring the page of all models up to date, if there is a folder for it; how they stand."""
    with learner.database.read() as connection:
        found = standings(connection, learner.playbook.workspace, now=now)
    if learner.folder is None:
        return found
    path = learner.folder / REPORTS / PAGE
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}-{get_ident()}")
    own = {name: it.name for name, it in _own_pages(learner.folder, found).items() if it.exists()}
    unfinished.write_text(page(found, now=now, pages=own), "utf-8")
    unfinished.replace(path)
    return found


def _own_pages(folder: Path, found: Sequence[Standing]) -> dict[str, Path]:
    return {it.model: page_of(folder, it.model) for it in found}


def page(found: Sequence[Standing], *, now: Instant, pages: Mapping[str, str] = NO_PAGES) -> str:
    """All models on one page that stands alone; `pages` are files beside it, by model."""
    from experiments.reporting.html import Note, Part, Table, html

    parts: list[Part] = [
        Table(
            heading="What is read",
            columns=tuple(it.capitalize() for it in _COLUMNS),
            rows=tuple(rows_of(found, now=now)),
            caption="A model's name leads to its own report, once it has learnt something.",
            links=pages,
        )
    ]
    warnings = tuple(text for it in found for text in it.warnings())
    if warnings:
        parts.insert(0, Note(heading="To look at", paragraphs=warnings))
    notes = [f"As of {iso(now)[:16]}Z. {len(found)} models."]
    return html(parts, title="Models", notes=notes)


def plain(it: Standing) -> dict[str, Any]:
    """A standing as JSON."""
    return {
        "model": it.model,
        "kind": it.kind,
        "title": it.title,
        "status": _status(it),
        "run": it.run or None,
        "people": it.n_scored,
        "as_of": None if it.as_of is None else iso(it.as_of),
        "is_stale": it.is_stale,
        "primary": it.primary,
        "drift": it.drift,
        "has_drifted": it.has_drifted,
        "next_refresh": None if it.next_at is None else iso(it.next_at),
        "retrain_by": None if it.retrain_by is None else iso(it.retrain_by),
        "last_run": {"run": it.last_run, "status": it.last_status, "verdict": it.last_verdict},
        "calibration": it.calibration,
        "fault": it.fault,
        "warnings": it.warnings(),
    }


def _status(it: Standing) -> str:
    if not it.run:
        return "none"
    return "stale" if it.is_stale else "champion"


def _last(it: Standing) -> str:
    if not it.last_run or it.last_run == it.run:
        return "" if it.is_ours else "from a file"
    return f"run {it.last_run} {it.last_status}"


def _age(span: int) -> str:
    return f"{span // DAY}d ago" if span >= 2 * DAY else f"{max(span, 0) // HOUR}h ago"


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else ""
