"""A score's report: whether to publish it and why, then the figures, the pictures, what moved.

From the metrics kept with the run, so that any run can be looked at later. `page` is one HTML file
without scripts or outside assets, `section` a part of a page with other models, `text` Markdown.
"""

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from engine.learning.scores.drift import PSI_MAX, Drift
from engine.learning.scores.metrics import LOWER_IS_BETTER
from engine.learning.scores.pictures import (
    calibration_plot,
    decile_bars,
    plain,
    tone_of,
    weight_bar,
)
from engine.learning.scores.promotion import WORDS, Promotion, figure
from experiments.reporting.markdown import cell
from experiments.reporting.markup import chip, folded, heading, panel, paragraph, table, unbroken
from experiments.reporting.style import CSS
from experiments.reporting.words import percent

MEASURES: Final = {"happens": "whether", "count": "how often", "sum": "how much"}
FEATURES_SHOWN: Final = 12
MOVED_SHOWN: Final = 12
DO: Final = {True: "Publish this run", False: "Keep what is there"}


def page(
    metrics: Mapping[str, Any], promotion: Promotion, *, name: str, drift: Drift | None = None
) -> str:
    """The whole page."""
    title = f"Score {name}"
    inside = section(metrics, promotion, name="The latest run", drift=drift)
    body = f"<h1>{escape(title)}</h1>{inside}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n"
        f"{unbroken(body)}\n</main>\n</body>\n</html>\n"
    )


def section(
    metrics: Mapping[str, Any], promotion: Promotion, *, name: str, drift: Drift | None = None
) -> str:
    """The report as one section of a page that has the house's style."""
    kind = f"foretells {MEASURES[metrics['measure']]}, by {metrics['algorithm']}"
    return "".join(
        [
            "<section>",
            heading(name, kind),
            _opening(metrics, promotion),
            panel("How good it is", _figures(metrics), _figures_note(metrics)),
            _pictures(metrics),
            panel("What it goes by", _importance(metrics)),
            panel("What has moved since", _drift(drift)) if drift is not None else "",
            panel("How it was found", _search(metrics)),
            "</section>",
        ]
    )


def text(
    metrics: Mapping[str, Any], promotion: Promotion, *, name: str, drift: Drift | None = None
) -> str:
    """The report as Markdown."""
    others = [it for it in ("baseline", "champion") if it in metrics]
    lines = [f"## {name}", "", f"**{DO[promotion.is_better]}.** {promotion.why}.", ""]
    lines.append(
        f"{metrics['algorithm']}, trained on {metrics['n_trained']:,} rows, judged on"
        f" {metrics['n_tested']:,} later ones; {metrics['n_positive']:,} did."
    )
    lines += ["", "| | score | " + " | ".join(others) + " |", "|---|--:|" + "--:|" * len(others)]
    for row in _rows(metrics, others):
        lines.append("| " + " | ".join(map(cell, row)) + " |")
    if metrics["importance"]:
        told = ", ".join(f"{cell(f)} {figure(v)}" for f, v in metrics["importance"][:5])
        lines += ["", f"Goes by: {told} (loss of {WORDS[metrics['primary']]} without it)."]
    if drift is not None:
        lines += ["", *(f"- Moved: {cell(it)}" for it in drift.alarms or ("nothing to speak of",))]
    lines += ["", *(f"- {cell(note)}" for note in metrics["notes"])]
    return "\n".join(lines).rstrip() + "\n"


def _opening(metrics: Mapping[str, Any], promotion: Promotion) -> str:
    primary = metrics["primary"]
    mine = metrics["values"][primary]
    shown = [(WORDS[primary], figure(mine["value"]), f"95 %: {_range(mine)}")]
    for other in ("baseline", "champion"):
        if other in metrics and not (other == "baseline" and metrics["is_baseline"]):
            gain = metrics[other]["gain"][primary]
            said = f"beaten by {figure(gain['value'])} ({_range(gain)})"
            if gain["value"] is not None and gain["value"] < 0:
                said = f"not beaten: {figure(gain['value'])} ({_range(gain)})"
            theirs = figure(metrics[other]["values"][primary]["value"])
            shown.append((f"{WORDS[primary]} of the {other}", theirs, said))
    lift = metrics["values"]["lift_at_decile"]
    shown.append(("The top tenth", f"{figure(lift['value'])} ×", "the average of everybody"))
    share = metrics["n_positive"] / max(metrics["n_tested"], 1)
    shown.append(
        (
            "People judged",
            f"{metrics['n_tested']:,}",
            f"{percent(share)} of them did, after training",
        )
    )
    items = "".join(
        f"<div><dt>{escape(of)}</dt><dd><strong>{escape(value)}</strong>"
        f"<small>{escape(said)}</small></dd></div>"
        for of, value, said in shown
    )
    return (
        f'<div class="decision {tone_of(promotion.is_better)}">'
        f'<p class="do">{DO[promotion.is_better]}</p>'
        f'<p class="why">{escape(promotion.why)}.</p><dl class="figures">{items}</dl></div>'
    )


def _figures(metrics: Mapping[str, Any]) -> str:
    others = [it for it in ("baseline", "champion") if it in metrics]
    if metrics["is_baseline"]:
        others = [it for it in others if it != "baseline"]
    columns = ["", "This run", *(f"The {it}" for it in others)]
    return table(columns, _rows(metrics, others), numeric=[False, *(True for _ in columns[1:])])


def _figures_note(metrics: Mapping[str, Any]) -> str:
    lower = ", ".join(WORDS[it] for it in metrics["values"] if it in LOWER_IS_BETTER)
    return paragraph(
        f"In brackets where the figure lies in 95 % of draws of the same people. Of {lower} less"
        " is better. All of it on people and times the model had not seen.",
        "small",
    )


def _rows(metrics: Mapping[str, Any], others: list[str]) -> list[list[str]]:
    return [
        [
            WORDS[name],
            f"{figure(value['value'])} ({_range(value)})",
            *(
                f"{figure(it['value'])} ({_range(it)})"
                for it in (metrics[other]["values"][name] for other in others)
            ),
        ]
        for name, value in metrics["values"].items()
    ]


def _pictures(metrics: Mapping[str, Any]) -> str:
    is_chance = metrics["measure"] == "happens"
    parts = []
    if metrics["calibration"]:
        parts.append(
            "<figure><figcaption>Is it to be believed?<small>Ten groups by score: what came, with"
            " its 95 % interval, against what was foretold; the dashed line is right</small>"
            f"</figcaption>{calibration_plot(metrics['calibration'], is_chance=is_chance)}</figure>"
        )
    if metrics["deciles"]:
        parts.append(
            "<figure><figcaption>Does it find them?<small>Times the average that each tenth did;"
            " the dashed line is everybody</small>"
            f"</figcaption>{decile_bars(metrics['deciles'])}</figure>"
        )
    return panel("Foretold and come", f'<div class="charts">{"".join(parts)}</div>')


def _importance(metrics: Mapping[str, Any]) -> str:
    shown = metrics["importance"][:FEATURES_SHOWN]
    if not shown:
        return ""
    most, word = max(value for _, value in shown), WORDS[metrics["primary"]]
    rows = [
        [
            escape(feature),
            weight_bar(value, most, label=f"{feature}: {figure(value)}"),
            figure(value),
        ]
        for feature, value in shown
    ]
    caption = f"What {word} loses when a feature is dealt out at random; no causes"
    columns = ["Feature", "", "Loss"]
    left = metrics["importance"][FEATURES_SHOWN:]
    more = f"And {len(left)} features of less weight." if left else ""
    return table(columns, rows, raw=True, numeric=[False, False, True], caption=caption) + (
        paragraph(more, "small") if more else ""
    )


def _drift(drift: Drift) -> str:
    rows = [
        [
            escape(it.name),
            figure(it.psi),
            percent(it.missing_was),
            percent(it.missing_is),
            chip("look", "bad") if it.is_alarm else chip("as trained", "good"),
        ]
        for it in drift.columns[:MOVED_SHOWN]
    ]
    columns = ["Column", "PSI", "Missing then", "Missing now", ""]
    caption = f"{drift.n:,} people scored; an index above {PSI_MAX} is looked at"
    warned = "".join(paragraph(f"{it}.", "warn") for it in drift.alarms)
    numeric = [False, True, True, True, False]
    return warned + table(columns, rows, raw=True, numeric=numeric, caption=caption)


def _search(metrics: Mapping[str, Any]) -> str:
    tried = sorted(metrics["tried"], key=lambda it: -it["score"])
    rows = [
        [
            it["algorithm"],
            ", ".join(f"{k} {plain(v)}" for k, v in it["settings"].items()),
            figure(abs(it["score"])),
        ]
        for it in tried
    ]
    columns = ["Algorithm", "Settings", WORDS[metrics["primary"]]]
    said = (
        f"Tried on earlier cut-offs, not on those it is judged on: {len(rows)} settings."
        f" Chances are read by {metrics['calibrated_by']} calibration."
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in metrics["notes"])
    return (
        paragraph(said, "small")
        + (f'<ul class="small">{notes}</ul>' if notes else "")
        + folded("All that was tried", table(columns, rows, numeric=[False, False, True]))
    )


def _range(value: Mapping[str, Any]) -> str:
    if value["low"] is None:
        return "unknown"
    return f"{figure(value['low'])} to {figure(value['high'])}"
