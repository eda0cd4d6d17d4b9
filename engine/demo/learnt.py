"""What the models came to, for the page and the terminal: also where nothing could be learnt."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from engine.core.clocktime import iso
from engine.core.model.instants import Instant
from engine.demo.learning import Taught
from engine.learning.clusters.describing import MEDIANS, typical
from engine.learning.shown import metric_words
from engine.store.connection import Connection
from experiments.reporting.report import Note, Table

CAMPAIGN: Final = "slipping-away"
PICKS: Final = "picks"
SHOWN: Final = 6
"""People whose suggestions are told one by one."""
READ: Final[Mapping[str, str]] = {
    "champion": "is read",
    "candidate": "kept aside: not surely better than what there is without it",
    "refused": "refused: too little to learn from",
}

WHOLE: Final = 1_000
BASELINE_ITSELF: Final = "the baseline itself: nothing more elaborate was surely better"

_SENT: Final = (
    "SELECT p.external_id, m.at, m.context FROM message m JOIN profile p ON p.id = m.profile_id "
    "WHERE m.campaign = ? AND m.status = 'sent' ORDER BY m.id"
)


@dataclass(frozen=True)
class Suggested:
    """What one person was shown: (title, source, reason) of each pick."""

    who: str
    at: Instant
    picks: tuple[tuple[str, str, str], ...]


@dataclass
class Learnt:
    """The models' year.

    Attributes:
        taught: Every training in its order.
        suggested: What the first people were shown.
        sources: How many suggestions came from where, over everybody.
    """

    taught: list[Taught] = field(default_factory=list)
    suggested: list[Suggested] = field(default_factory=list)
    sources: Counter[str] = field(default_factory=Counter)
    n_people: int = 0

    @property
    def latest(self) -> dict[str, Taught]:
        """The last training of each model."""
        return {it.done.model: it for it in self.taught}


def learnt(connection: Connection, taught: Sequence[Taught]) -> Learnt:
    """Read back what the messages of the campaign really showed."""
    found = Learnt(taught=list(taught))
    reasoned: list[Suggested] = []
    plain: list[Suggested] = []
    for external_id, at, context in connection.execute(_SENT, (CAMPAIGN,)):
        rows = json.loads(context).get(PICKS) or []
        if not rows:
            continue
        found.n_people += 1
        found.sources.update(row["source"] for row in rows)
        picks = tuple((row["title"], row["source"], row["reason"]) for row in rows)
        (reasoned if any(it[2] for it in picks) else plain).append(
            Suggested(external_id, at, picks)
        )
    found.suggested = [*reasoned, *plain][:SHOWN]
    return found


def parts(found: Learnt) -> Iterator[Note | Table]:
    """The sections of the page."""
    yield _trainings(found)
    for name, taught in found.latest.items():
        if taught.done.kind == "cluster":
            yield _groups(name, taught)
        if taught.done.kind in ("score", "send_time") and _figures(taught):
            yield _judged(name, taught)
    yield _suggestions(found)


def lines(found: Learnt) -> list[str]:
    """The same for a terminal, shorter: each model's last word, the groups, some suggestions."""
    said = []
    for name, taught in sorted(found.latest.items()):
        done = taught.done
        told = "; ".join(it for it in (READ.get(done.status, done.status), _figure(done)) if it)
        said.append(f"{name} ({done.kind}, as of {iso(taught.at)[:10]}) {told}")
        said.append(f"    {done.verdict}")
        said += [f"    {size:>6,}  {title}: {typical}" for title, size, _, typical in _rows(done)]
    for it in found.suggested[:3]:
        said.append(f"{it.who} was shown " + "; ".join(_pick(*pick) for pick in it.picks))
    said.append(_sources(found))
    return said


def _trainings(found: Learnt) -> Table:
    return Table(
        heading="What the models learnt",
        columns=("Model", "As of", "What became of it", "Why"),
        rows=tuple(
            (
                f"{it.done.model} ({it.done.kind})",
                iso(it.at)[:10],
                READ.get(it.done.status, it.done.status),
                it.done.verdict,
            )
            for it in found.taught
        ),
        caption="Each training saw only what had been told by its day. One that is not better than "
        "going without is not read, and says so.",
    )


def _groups(name: str, taught: Taught) -> Table | Note:
    rows = tuple(
        (title, f"{size:,}", share, typical) for title, size, share, typical in _rows(taught.done)
    )
    if not rows:
        return Note(heading=f"Groups: {name}", paragraphs=(f"No groups. {taught.done.verdict}.",))
    return Table(
        heading=f"Groups: {name}",
        columns=("Group", "People", "Of the money", "Typically"),
        rows=rows,
        caption=f"As of {iso(taught.at)[:10]}: {taught.done.verdict}. Named by what tells them "
        "apart; medians.",
    )


def _rows(done: Any) -> list[tuple[str, int, str, str]]:
    """(title, people, share of the money, medians) of each group, the largest first."""
    groups = sorted(done.metrics.get("groups", ()), key=lambda it: -it["size"])
    return [
        (
            it["title"],
            it["size"],
            "" if it["revenue"] is None else f"{it['revenue']:.0%}",
            ", ".join(
                typical(key, round(it["medians"][key]))
                for key in MEDIANS
                if it["medians"].get(key) is not None
            ),
        )
        for it in groups
    ]


def _judged(name: str, taught: Taught) -> Table:
    is_baseline = (taught.done.metrics.get("model") or {}).get("is_baseline")
    return Table(
        heading=f"How good {name} is",
        columns=("Measure", "Value", "95 % interval", "Baseline"),
        rows=tuple(
            (
                str(it["name"]),
                _number(it.get("value")),
                ""
                if it.get("low") is None
                else f"{_number(it['low'])} to {_number(it.get('high'))}",
                _number(it.get("baseline")),
            )
            for it in _figures(taught)
        ),
        caption=f"On people and days it was not taught by, as of {iso(taught.at)[:10]}. "
        f"{taught.done.verdict}." + (f" It is {BASELINE_ITSELF}." if is_baseline else ""),
    )


def _suggestions(found: Learnt) -> Table | Note:
    heading = "What was suggested, and why"
    if not found.suggested:
        return Note(
            heading=heading,
            paragraphs=(f'Nobody was shown anything by "{CAMPAIGN}": {_why_none(found)}',),
        )
    return Table(
        heading=heading,
        columns=("Household", "On", "Suggestions"),
        rows=tuple(
            (it.who, iso(it.at)[:10], "; ".join(_pick(*pick) for pick in it.picks))
            for it in found.suggested
        ),
        caption=_sources(found),
    )


def _why_none(found: Learnt) -> str:
    score = found.latest.get("churn")
    if score is None or score.done.status == "champion":
        return "nobody reached its letter."
    return f"its segment waits for the model churn. {score.done.verdict}."


def _sources(found: Learnt) -> str:
    total = sum(found.sources.values())
    if not total:
        return f"No suggestion was sent: {_why_none(found)}"
    told = ", ".join(f"{n:,} {source}" for source, n in found.sources.most_common())
    return (
        f"{total:,} suggestions in {found.n_people:,} letters, by what they came from: {told}. "
        "Nothing that an order of the household had listed before."
    )


def _pick(title: str, source: str, reason: str) -> str:
    return f"{title} ({reason or source.replace('_', ' ')})"


def _figures(taught: Taught) -> Sequence[Mapping[str, Any]]:
    return taught.done.metrics.get("figures") or ()


def _figure(done: Any) -> str:
    primary = done.metrics.get("primary") or {}
    shown = metric_words(primary)
    baseline = next(
        (
            it.get("baseline")
            for it in done.metrics.get("figures") or ()
            if it.get("name") == primary.get("name")
        ),
        None,
    )
    if baseline is None or not shown:
        return shown
    if (done.metrics.get("model") or {}).get("is_baseline"):
        return f"{shown}; {BASELINE_ITSELF}"
    return f"{shown}, baseline {_number(baseline)}"


def _number(value: object) -> str:
    """Three figures, and whole numbers from a thousand on.

    >>> _number(0.03421), _number(2162.0), _number(None)
    ('0.0342', '2,162', '')
    """
    if not isinstance(value, int | float):
        return ""
    return f"{value:,.0f}" if abs(value) >= WHOLE else f"{value:.3g}"
