"""A send_time model for people: read or not and why, when everybody acts, whose hour is which.

One HTML file without scripts or outside assets, as the other kinds of model have one.
"""

from html import escape
from typing import TYPE_CHECKING, Final

from engine.learning.send_times.counts import DAY_HOURS
from engine.learning.send_times.judging import UNJUDGED, Judgement
from engine.learning.send_times.learning import SendTimes
from engine.learning.send_times.pictures import hour_bars
from experiments.reporting.markup import heading, panel, paragraph, table, unbroken
from experiments.reporting.words import percent

if TYPE_CHECKING:
    from campaigns.models import SendTimeModel

DO: Final = {True: "Publish this run", False: "Keep what is there"}
HOURS_LISTED: Final = 5


def page(
    found: SendTimes, judged: Judgement | None, model: "SendTimeModel", *, as_of: str = ""
) -> str:
    """The whole page.

    Args:
        judged: None where too few people could be asked; the run is published then.
        as_of: What was known when, as text.
    """
    title = model.title or f"Send time {model.name}"
    when = f"as of {as_of}" if as_of else ""
    inside = "".join(
        [
            "<section>",
            heading("The latest run", when),
            _opening(found, judged),
            panel("Hours", _charts(found), _note(model), _most(found)),
            panel("What was asked", _figures(judged)),
            panel("How it is used", *(paragraph(it) for it in _used(found, model))),
            "</section>",
        ]
    )
    body = f"<h1>{escape(title)}</h1>{inside}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_look()}</style>\n</head>\n<body>\n<main>\n"
        f"{unbroken(body)}\n</main>\n</body>\n</html>\n"
    )


def _look() -> str:
    from experiments.reporting.style import CSS

    return CSS


def _opening(found: SendTimes, judged: Judgement | None) -> str:
    is_better = judged is not None and judged.is_better
    shown = [
        ("People with an hour of their own", f"{len(found.ids):,}", f"from {_acts(found)} acts"),
        ("Everybody's hour", f"{found.fallback:02d}:00", f"{percent(_top(found))} of all acts"),
    ]
    if judged is not None:
        shown += [
            ("Unseen acts in their own hour", percent(judged.own), f"{judged.n:,} people judged"),
            ("Unseen acts in everybody's hour", percent(judged.common), "of the same people"),
        ]
    items = "".join(
        f"<div><dt>{escape(of)}</dt><dd><strong>{escape(value)}</strong>"
        f"<small>{escape(said)}</small></dd></div>"
        for of, value, said in shown
    )
    tone = "good" if judged is not None and is_better else "open"
    why = UNJUDGED if judged is None else judged.why
    return (
        f'<div class="decision {tone}"><p class="do">{DO[is_better]}</p>'
        f'<p class="why">{escape(why[0].upper() + why[1:])}.</p>'
        f'<dl class="figures">{items}</dl></div>'
    )


def _charts(found: SendTimes) -> str:
    return (
        '<div class="charts"><figure><figcaption>When people act<small>Share of everybody\'s acts '
        f"in each hour</small></figcaption>{_everybody(found)}</figure>"
        "<figure><figcaption>Whose hour is which<small>People whose own hour it is</small>"
        f"</figcaption>{_own(found)}</figure></div>"
    )


def _everybody(found: SendTimes) -> str:
    shares = [float(it) for it in found.prior.tolist()]
    label = (
        f"Everybody's acts by hour of the day; most, {percent(_top(found))}, at "
        f"{found.fallback:02d}:00"
    )
    return hour_bars(
        shares, said=percent, label=label, marked=found.fallback, mark="everybody's hour"
    )


def _note(model: "SendTimeModel") -> str:
    visits = " and visits" if model.has_sessions else ""
    return paragraph(
        f"Counted: {', '.join(model.events)}{visits}, corrected for the hours at which messages "
        "went out, each hour lending to its neighbours; of one person 50 acts at most.",
        "small",
    )


def _own(found: SendTimes) -> str:
    people = _people_by_hour(found)
    label = "People by their own hour: " + ", ".join(
        f"{hour:02d}:00 {n:,}" for hour, n in enumerate(people) if n
    )
    return hour_bars([float(it) for it in people], said=_count, label=label)


def _most(found: SendTimes) -> str:
    """The hours that most people have, with how sure that is."""
    people = _people_by_hour(found)
    ranked = sorted((-n, hour) for hour, n in enumerate(people) if n)[:HOURS_LISTED]
    rows = []
    for _, hour in ranked:
        here = found.hours == hour
        rows.append(
            [
                f"{hour:02d}:00",
                f"{people[hour]:,}",
                percent(people[hour] / len(found.ids)),
                percent(float(found.shares[here].mean())),
                percent(float(found.confidence[here].mean())),
            ]
        )
    columns = ["Hour", "People", "Of all", "Of their acts in it", "Surely theirs"]
    caption = (
        "The last column is the mean chance that the hour is better for them than everybody's; "
        "who has that hour counts as sure"
    )
    return table(columns, rows, numeric=[False, True, True, True, True], caption=caption)


def _figures(judged: Judgement | None) -> str:
    if judged is None:
        return paragraph(f"Nothing could be asked: {UNJUDGED}.")
    primary = judged.metrics()["primary"]
    rows = [
        ["In their own hour", percent(judged.own), ""],
        ["In everybody's hour", percent(judged.common), ""],
        [
            "Gained",
            _points(judged.gain),
            f"{_points(primary['low'])} to {_points(primary['high'])}",
        ],
    ]
    note = (
        "Each person's weekdays were dealt to two halves by lot: hours learnt on one were asked of "
        "the other. Shares are means over people; the range holds 95 % of what such people would "
        "give. It says when people act, not what a message sent then earns: that takes an "
        "experiment."
    )
    columns = ["Share of unseen acts", "", "95 %"]
    return table(columns, rows, numeric=[False, True, True]) + paragraph(note, "small")


def _used(found: SendTimes, model: "SendTimeModel") -> list[str]:
    return [
        f"A step best_time: {{within: 24h, model: {model.name}}} holds each person until their "
        "hour next comes on their own clock. Whoever acted fewer than "
        f"{model.min_events} times has no hour and is sent to at any time of the window.",
        f"{percent(model.explore)} of sends go out at any hour whatever is known, or nobody could "
        "learn later whether the hours are right.",
    ]


def _people_by_hour(found: SendTimes) -> list[int]:
    hours = found.hours.tolist()
    return [hours.count(hour) for hour in range(DAY_HOURS)]


def _acts(found: SendTimes) -> str:
    return f"{float(found.n_acts.sum()):,.0f}"


def _top(found: SendTimes) -> float:
    return float(found.prior[found.fallback])


def _count(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else ""


def _points(value: float) -> str:
    return f"{100 * value:+.1f} points".replace("-", "−")
