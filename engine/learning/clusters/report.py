"""Clusters for people: who is in which, what tells them apart, who moved, why this number.

Three faces of the same: HTML in one file without scripts, Markdown, and text for a terminal.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from math import isnan, nan
from typing import Final

from engine.learning.clusters.choosing import Trial
from engine.learning.clusters.describing import OUTLIER, Group, amount, plain
from engine.learning.clusters.drawing import (
    CSS,
    shade,
    shade_share,
    share_bar,
    silhouettes,
)
from engine.learning.clusters.found import Clusters
from engine.learning.clusters.preparing import MISSING

Moves = Mapping[tuple[int, int], int]
"""People by the number of the group they stood in and that of the one they stand in now."""

ALGORITHMS: Final = {
    "kmeans": "K-Means, ten starts",
    "gmm": "a mixture of Gaussians, ten starts",
    "dbscan": "DBSCAN, its radius at the knee of the distances",
    "hdbscan": "HDBSCAN",
    "rfm": "cells of recency, frequency and money in five ranks each",
}


def html(
    clusters: Clusters, *, moves: Moves | None = None, title: str = "", as_of: str = ""
) -> str:
    """The whole page; one file, no script, light and dark.

    Args:
        moves: From `holding.transitions`: published groups of the run before and of this one.
        title: The model's name if not given.
        as_of: What was known when, as text.
    """
    from experiments.reporting.markup import paragraph, unbroken
    from experiments.reporting.style import CSS as LOOK

    called = title or clusters.model
    when = f" as of {as_of}" if as_of else ""
    body = "".join(
        [
            f"<h1>{escape(called)}</h1>",
            paragraph(f"{_counted(clusters)}{when}.", "intro"),
            _opening(clusters),
            _section("Groups", _groups(clusters)),
            _section("What tells them apart", _heat(clusters)),
            _section("Who moved", _moves(clusters, moves)),
            _section("Why this number of groups", _choice(clusters)),
            _section("How they were found", _method(clusters)),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(called)}</title>\n<style>{LOOK}{CSS}</style>\n</head>\n<body>\n<main>\n"
        f"{unbroken(body)}\n</main>\n</body>\n</html>\n"
    )


def markdown(clusters: Clusters, *, moves: Moves | None = None, title: str = "") -> str:
    """The same without plots."""
    lines = [f"# {title or clusters.model}", "", f"{_counted(clusters)}.", ""]
    lines += _piped(
        ["Group", "Label", "People", "Share", "Revenue", "Typically"],
        [
            [it.title, f"`{it.label}`", f"{it.n:,}", _percent(it.share), _money(it), _typical(it)]
            for it in _shown(clusters)
        ],
    )
    lines += ["", "## Features", "", *_piped(*_feature_rows(clusters))]
    if moves:
        lines += ["", "## Who moved", "", *_piped(*_move_rows(clusters, moves))]
    lines += ["", "## Numbers of groups tried", "", *_piped(*_trial_rows(clusters.trials))]
    lines += ["", *(f"- {note}" for note in clusters.notes)] if clusters.notes else []
    return "\n".join(lines) + "\n"


def text(clusters: Clusters, *, moves: Moves | None = None, title: str = "") -> str:
    """For a terminal."""
    lines = [title or clusters.model, f"{_counted(clusters)}.", ""]
    for group in _shown(clusters):
        lines += [f"{group.label}  {group.title}", f"    {group.description}"]
    if moves:
        n_moved = sum(n for (start, end), n in moves.items() if start != end)
        lines += ["", f"{n_moved:,} of {sum(moves.values()):,} people moved since the run before."]
        names = _names(clusters)
        for (start, end), n in sorted(moves.items(), key=lambda it: (-it[1], it[0])):
            if start != end:
                lines.append(f"    {n:>7,}  {names(start)} -> {names(end)}")
    lines += ["", "Numbers of groups tried:"]
    for trial in clusters.trials:
        stable = "" if isnan(trial.stability) else f", stability {_two(trial.stability)}"
        lines.append(
            f"    {trial.k:>2}  silhouette {_two(trial.silhouette)}{stable}: "
            f"{trial.why or 'chosen'}"
        )
    lines += [f"note: {note}" for note in clusters.notes]
    return "\n".join(lines) + "\n"


def _counted(clusters: Clusters) -> str:
    outside = ""
    if clusters.n_outside:
        outside = f", {_percent(clusters.n_outside / clusters.n)} of them in none"
    return f"{len(_shown(clusters))} groups among {clusters.n:,} people{outside}"


def _opening(clusters: Clusters) -> str:
    trial = clusters.chosen
    largest = max(clusters.groups, key=lambda it: it.n)
    figures = [
        ("stability", _two(trial.stability), "agreement of groups found again, 1 is perfect"),
        ("silhouette", _two(trial.silhouette), "nearer to the own group than to others, −1 to 1"),
        ("largest group", _percent(largest.share), largest.title),
    ]
    if clusters.n_outside:
        outside = _percent(clusters.n_outside / clusters.n)
        figures.append(("in no group", outside, f"labelled {OUTLIER}"))
    tiles = "".join(
        f"<div><dt>{escape(of)}</dt><dd><strong>{escape(value)}</strong>"
        f"<small>{escape(meaning)}</small></dd></div>"
        for of, value, meaning in figures
    )
    named = "; ".join(it.title for it in _shown(clusters))
    return (
        f'<div class="decision null"><p class="do">{len(_shown(clusters))} groups</p>'
        f'<p class="why">{escape(named[0].upper() + named[1:])}.</p>'
        f'<dl class="figures">{tiles}</dl></div>'
    )


def _groups(clusters: Clusters) -> str:
    most = max(it.share for it in clusters.groups)
    items = "".join(
        f'<div class="group"><div><strong>{escape(it.title)}</strong> '
        f"<code>{escape(it.label)}</code></div>"
        f"{share_bar(it.share, most, label=f'{it.title}: {_percent(it.share)} of the people')}"
        f"<p>{escape(it.description)}</p></div>"
        for it in _shown(clusters)
    )
    return f'<div class="groups">{items}</div>'


def _heat(clusters: Clusters) -> str:
    head = "".join(f'<th scope="col">{escape(it.title)}</th>' for it in _shown(clusters))
    rows = "".join(
        f'<tr><th scope="row">{escape(plain(name))}</th>'
        + "".join(_heat_cell(it, name) for it in _shown(clusters))
        + "</tr>"
        for name in _features(clusters)
    )
    caption = (
        "The median of each group, and how many deviations its mean lies above or below "
        "everybody's on the model's scale. Of yes-or-no features the share."
    )
    return (
        f'<div class="scroll" tabindex="0"><table class="heat"><caption>{caption}</caption>'
        f'<thead><tr><th scope="col">Feature</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _heat_cell(group: Group, name: str) -> str:
    z = group.z.get(name, nan)
    deviations = "" if isnan(z) else f"<small>{_signed(z)}</small>"
    return f'<td style="{shade(z)}">{escape(_value(group, name))}{deviations}</td>'


def _moves(clusters: Clusters, moves: Moves | None) -> str:
    if moves is None:
        return "<p>This is the first run: there is nothing to compare with.</p>"
    columns, rows = _move_rows(clusters, moves)
    totals: dict[int, int] = {}
    for (start, _), n in moves.items():
        totals[start] = totals.get(start, 0) + n
    ends = _ends(moves)
    body = ""
    for start, row in zip(sorted(totals), rows, strict=True):
        cells = "".join(
            f'<td style="{shade_share(moves.get((start, end), 0) / totals[start])}">{cell}</td>'
            for end, cell in zip(ends, row[1:], strict=True)
        )
        body += f'<tr><th scope="row">{escape(row[0])}</th>{cells}</tr>'
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    stayed = sum(n for (start, end), n in moves.items() if start == end)
    every = sum(moves.values())
    caption = (
        f"{_percent(stayed / every if every else 1.0)} of {every:,} people in both runs stayed. "
        "Rows: the group published by the run before; columns: by this one."
    )
    return (
        f'<div class="scroll" tabindex="0"><table class="heat"><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _choice(clusters: Clusters) -> str:
    from experiments.reporting.markup import table

    plot = ""
    if len(clusters.trials) > 1:
        plot = (
            "<figure><figcaption>Silhouette by number of groups<small>full dot: chosen; ring: not "
            "needed; cross: refused; bar: what one cloud without groups reaches</small>"
            f"</figcaption>{silhouettes(clusters.trials)}</figure>"
        )
    columns, rows = _trial_rows(clusters.trials)
    # Numbers stand right, the word for what became of them left.
    return plot + table(columns, rows, numeric=[True] * (len(columns) - 1) + [False])


def _method(clusters: Clusters) -> str:
    preparation = clusters.preparation
    logged = [
        plain(name)
        for name, is_logged in zip(preparation.columns, preparation.is_logged.tolist(), strict=True)
        if is_logged
    ]
    told = [f"Found by {ALGORITHMS[clusters.algorithm]}."]
    if clusters.algorithm != "rfm":
        n = preparation.loadings.shape[1]
        told += [
            "Features are winsorized at 0.5 and 99.5 %, centred on their median and divided by "
            f"their spread; {n} principal {'component' if n == 1 else 'components'} of "
            f"{len(preparation.names)} hold {_percent(float(preparation.explained.sum()))} of what "
            "varies."
        ]
        told += [f"Read by their logarithm: {', '.join(logged)}."] if logged else []
    told += [f"{note[0].upper()}{note[1:]}." for note in clusters.notes]
    if clusters.past:
        told.append(f"No more: {', '.join(clusters.past.values())}.")
    return "<ul class='small'>" + "".join(f"<li>{escape(it)}</li>" for it in told) + "</ul>"


def _feature_rows(clusters: Clusters) -> tuple[list[str], list[list[str]]]:
    shown = _shown(clusters)
    rows = [
        [plain(name), *(f"{_value(it, name)} ({_signed(it.z.get(name, nan))})" for it in shown)]
        for name in _features(clusters)
    ]
    return ["Feature", *(it.title for it in shown)], rows


def _move_rows(clusters: Clusters, moves: Moves) -> tuple[list[str], list[list[str]]]:
    names, ends = _names(clusters), _ends(moves)
    rows = [
        [names(start), *(f"{moves.get((start, end), 0):,}" for end in ends)]
        for start in sorted({start for start, _ in moves})
    ]
    return ["From", *(names(end) for end in ends)], rows


def _ends(moves: Moves) -> list[int]:
    return sorted({end for _, end in moves})


def _trial_rows(trials: Sequence[Trial]) -> tuple[list[str], list[list[str]]]:
    has_bic = any(not isnan(it.bic) for it in trials)
    rows = []
    for it in trials:
        bic = [f"{it.bic:,.0f}".replace("-", "−")] if has_bic else []
        smallest = "" if isnan(it.smallest) else _percent(it.smallest)
        measured = [_two(it.silhouette), _two(it.cloud), _two(it.seeds), _two(it.bootstraps)]
        rows.append([str(it.k), *measured, *bic, smallest, it.why or "chosen"])
    return [
        "Groups", "Silhouette", "Of one cloud", "Other starts", "Other samples",
        *(["BIC"] if has_bic else []), "Smallest", "What became of it",
    ], rows  # fmt: skip


def _shown(clusters: Clusters) -> list[Group]:
    return sorted((it for it in clusters.groups if it.n), key=lambda it: it.id)


def _features(clusters: Clusters) -> list[str]:
    """Those that vary, the most telling first."""
    shown = _shown(clusters)
    names = [name for name in clusters.preparation.names if not name.endswith(MISSING)]
    return sorted(names, key=lambda name: (-max(abs(it.z.get(name, 0.0)) for it in shown), name))


def _names(clusters: Clusters) -> Callable[[int], str]:
    titles = {0: OUTLIER, **clusters.past, **{it.id: it.title for it in clusters.groups}}
    return lambda number: titles.get(number, f"group {number}")


def _value(group: Group, name: str) -> str:
    value = group.medians.get(name)
    if value is None:
        return "unknown"
    return _percent(value) if name in group.flags else amount(value)


def _typical(group: Group) -> str:
    return group.description.partition("Typically: ")[2].rstrip(".")


def _money(group: Group) -> str:
    return "" if group.revenue is None else _percent(group.revenue)


def _signed(z: float) -> str:
    if isnan(z):
        return ""
    return "0.0" if abs(z) < 0.05 else f"{z:+.1f}".replace("-", "−")


def _two(value: float) -> str:
    return "" if isnan(value) else f"{value:.2f}".replace("-", "−")


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %" if share >= 0.095 or share == 0 else f"{share * 100:.1f} %"


def _section(title: str, inside: str) -> str:
    from experiments.reporting.markup import heading

    return f"\n<section>{heading(title)}{inside}</section>"


def _piped(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
