"""An evaluation for people: a terminal text, and the same as an HTML page in the house's look."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from engine.learning.recommenders.evaluation import (
    PRIMARY,
    SERVED,
    Evaluation,
    K,
    System,
)
from engine.learning.recommenders.judging import judge
from engine.learning.recommenders.ranking_metrics import Mean
from engine.learning.scores.promotion import Promotion
from experiments.reporting.report import Note, Table, html

WORDS = {"ndcg": f"nDCG@{K}", "recall": f"Recall@{K}", "precision": f"Precision@{K}"}
NAMES = {
    "served": "As served", "popular": "Popularity", "collaborative": "Collaborative alone",
    "content": "Content alone", "unmixed": "As served, not mixed",
}  # fmt: skip

_HOW = (
    f"nDCG@{K} is 1 if the list begins with what the person then took, 0 if it holds none of it."
    f" Recall is the share of what they took that was in the list of {K}, precision the share of"
    " the list that they took. Brackets hold 95 % of bootstrap draws of people."
)


def text(found: Evaluation, verdict: Promotion | None = None) -> str:
    """Lines for a terminal."""
    verdict = verdict or judge(found)
    lines = [f"{found.name}: {_word(verdict)}. {verdict.why}.", "", *_lead(found)]
    for table in _tables(found):
        lines += ["", table.heading, *_aligned([table.columns, *table.rows])]
    lines += ["", *(f"- {it}" for it in _notes(found))] if found.notes else []
    return "\n".join(lines) + "\n"


def page(found: Evaluation, verdict: Promotion | None = None) -> str:
    """One self-contained HTML file."""
    verdict = verdict or judge(found)
    parts: list[Note | Table] = [
        Note(heading=f"To be served: {_word(verdict)}", paragraphs=(f"{verdict.why}.",)),
        *_tables(found),
    ]
    if found.notes:
        parts.append(Note(heading="What to know", paragraphs=_notes(found)))
    return html(parts, title=f"Recommender {found.name}", notes=_lead(found))


def _notes(found: Evaluation) -> tuple[str, ...]:
    return tuple(f"{it[0].upper()}{it[1:]}." for it in found.notes)


def _word(verdict: Promotion) -> str:
    return "yes" if verdict.is_better else "no"


def _lead(found: Evaluation) -> tuple[str, ...]:
    on = datetime.fromtimestamp(found.at / 1e6, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        f"Trained on what was known before {on} and asked about what came after:"
        f" {found.n_people:,} people, {found.n_wanted:,} items that were new to them, of"
        f" {found.n_items:,}. Lists are as served, fallbacks"
        " included, but for stock and for what `exclude` says of prices, categories and items.",
        "This ranks models on one past. What showing them is worth, only an experiment says.",
    )


def _tables(found: Evaluation) -> list[Table]:
    tables = [_accuracy(found), _variety(found), _known(found), _aged(found), _sources(found)]
    if found.stars is not None:
        tables.append(_stars(found))
    return tables


def _accuracy(found: Evaluation) -> Table:
    rows = [
        (_name(name), *(_interval(system.values[it]) for it in WORDS))
        for name, system in found.systems.items()
    ]
    if found.kind != "popular":
        rows.append(
            ("Gain over popularity", *(_interval(found.gain[it], signed=True) for it in WORDS))
        )
    return Table(
        heading="How often the list was right",
        columns=("Lists", *WORDS.values()),
        rows=tuple(rows),
        caption=_HOW,
    )


def _variety(found: Evaluation) -> Table:
    return Table(
        heading="How varied lists are",
        columns=(
            "Lists", f"Coverage@{K}", "Gini", "Same list as somebody else", "Likeness within a list"
        ),
        rows=tuple(
            (
                _name(name), _share(it.coverage), f"{it.gini:.3f}", _share(it.alike),
                "-" if it.likeness is None else f"{it.likeness:.3f}",
            )
            for name, it in found.systems.items()
        ),
        caption="Coverage is the share of all items that anybody is shown; Gini is 0 if all are"
        " shown alike often, towards 1 if a few take every place. Likeness is the mean cosine of"
        " what two items of one list are: 0 nothing in common, 1 the same.",
    )  # fmt: skip


def _known(found: Evaluation) -> Table:
    groups = [it for it, n in found.n_by_known.items() if n]
    return Table(
        heading="By how much was known of the person",
        columns=("Known before", "People", *map(_name, found.systems)),
        rows=_broken_down(
            groups, found.n_by_known, found.systems, lambda it: it.by_known, "{:.4f}".format
        ),
        caption=f"{WORDS[PRIMARY]} of each group of people.",
    )


def _aged(found: Evaluation) -> Table:
    groups = [it for it, n in found.n_by_age.items() if n]
    return Table(
        heading="By the age of the item",
        columns=("First acted on", "Taken", *map(_name, found.systems)),
        rows=_broken_down(groups, found.n_by_age, found.systems, lambda it: it.by_age, _share),
        caption="Share of what people took that was in their list.",
    )


def _broken_down(groups: Sequence[str], n: Mapping[str, int], systems: Mapping[str, System],
                 of: Callable[[System], Mapping[str, float]], shown: Callable[[float], str],
                 ) -> tuple[tuple[str, ...], ...]:  # fmt: skip
    return tuple(
        (
            group.capitalize(),
            f"{n[group]:,}",
            *(shown(of(it)[group]) for it in systems.values()),
        )
        for group in groups
    )


def _sources(found: Evaluation) -> Table:
    return Table(
        heading="Where picks came from",
        columns=("Source", "Share"),
        rows=tuple(
            (name.replace("_", " ").capitalize(), _share(share))
            for name, share in found.systems[SERVED].sources.items()
        ),
    )


def _stars(found: Evaluation) -> Table:
    assert found.stars is not None
    it = found.stars
    return Table(
        heading="How far estimated stars are off",
        columns=("Estimate", "RMSE", "MAE"),
        rows=(
            ("Model", f"{it.rmse:.4f}", f"{it.mae:.4f}"),
            ("Averages alone", f"{it.rmse_of_averages:.4f}", f"{it.mae_of_averages:.4f}"),
        ),
        caption=f"{it.n:,} stars given after the cut. Stars well estimated do not make good lists:"
        " those are judged above.",
    )


def _name(system: str) -> str:
    return NAMES.get(system, system)


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _interval(it: Mean, *, signed: bool = False) -> str:
    form = "+.4f" if signed else ".4f"
    return f"{it.value:{form}} [{it.low:{form}}, {it.high:{form}}]"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
