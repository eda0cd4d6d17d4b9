"""The recommend step: ask a model for items, and keep its answer for the messages that follow.

The core knows no model: `scene.pick` is asked when the step is reached, also in a held-out
enrollment, whose ghosts meet what the messages would have met. What is shown is kept under the
step's name; beside it, under NOTES, stands what was asked and what is left over: by that a message
made later takes the place of what has sold out meanwhile (`engine.sending.composing`).
Read next: `sends`, which leaves out a message whose picks are too few.
"""

from collections.abc import Iterator
from typing import Any, Final

from engine.core.clocktime import iso
from engine.core.model.campaigns import Campaign, EventTrigger, TemplateFacts
from engine.core.model.effects import PickAsk
from engine.core.model.people import Enrollment
from engine.core.model.steps import Recommend
from engine.core.scene import Onward, Scene

NOTES: Final = "_picks"
"""By name: what was asked, and `spares`; `why` where too few were found to be shown. Templates
cannot read a name that begins so."""

SPARES_MAX: Final = 12
ITEMS_ASKED_MAX: Final = 20
"""Items of the trigger that are told to the model: a cart has more than anyone compares."""


def recommend(
    scene: Scene, enrollment: Enrollment, campaign: Campaign, step: Recommend, arrived: bool
) -> Onward:
    """Keep what the model answers, and go on."""
    ask = ask_of(scene, enrollment, campaign, step)
    rows = scene.pick(ask)
    shown, why = _shown(rows, step)
    notes = dict(enrollment.saved.get(NOTES, {}))
    notes[step.save_as] = {
        "model": step.model,
        "n": step.n,
        "if_fewer": step.if_fewer,
        "exclude": list(step.exclude),
        "items": list(ask.items),
        "at": iso(scene.now),
        **({"why": why} if why else {"spares": rows[step.n :] if shown else []}),
    }
    # New objects: effects of a moment ago hold the old ones.
    saved = {name: value for name, value in enrollment.saved.items() if name != step.save_as}
    enrollment.saved = saved | {NOTES: notes} | ({} if why else {step.save_as: shown})
    return step.next


def ask_of(scene: Scene, enrollment: Enrollment, campaign: Campaign, step: Recommend) -> PickAsk:
    """The question, as of now."""
    items = dict.fromkeys(_items(scene, enrollment, campaign))
    return PickAsk(
        scene.person.profile.id,
        step.model,
        step.n,
        min(step.n, SPARES_MAX),
        step.exclude,
        tuple(items)[:ITEMS_ASKED_MAX],
        scene.now,
    )


def would_lack(
    scene: Scene, enrollment: Enrollment, campaign: Campaign, step: Recommend, facts: TemplateFacts
) -> str:
    """Why a message behind this step would be left out if it were reached now, or ""."""
    if step.if_fewer != "skip" or step.save_as not in facts.shows:
        return ""
    return _shown(scene.pick(ask_of(scene, enrollment, campaign, step)), step)[1]


def lacks_picks(enrollment: Enrollment, facts: TemplateFacts) -> str:
    """Why a message is left out whose template shows picks of which there were too few, or ""."""
    notes = enrollment.saved.get(NOTES)
    if not notes:
        return ""
    return next(
        (note["why"] for name, note in notes.items() if "why" in note and name in facts.shows), ""
    )


def _shown(rows: list[dict[str, Any]], step: Recommend) -> tuple[list[dict[str, Any]], str]:
    """What of the answer is shown, and why nothing can be that should."""
    if len(rows) >= step.n or step.if_fewer == "fill":
        return rows[: step.n], ""
    if step.if_fewer == "hide":
        return [], ""
    one = "" if step.n == 1 else "s"
    return [], f"fewer than {step.n} pick{one} of {step.model}"


# --- what the trigger was about -----------------------------------------------------------------


def _items(scene: Scene, enrollment: Enrollment, campaign: Campaign) -> Iterator[str]:
    trigger = campaign.trigger
    event = trigger.match.event if isinstance(trigger, EventTrigger) else ""
    known = scene.program.item_paths
    for path in known.get(event) or known.get("", ()):
        yield from _values(enrollment.trigger, path)


def _values(data: Any, path: tuple[str, ...]) -> Iterator[str]:
    """The texts and numbers at a path; `*` goes into each entry of a list."""
    if not path:
        if isinstance(data, str | int) and not isinstance(data, bool):
            yield str(data)
        return
    key, rest = path[0], path[1:]
    if isinstance(data, list):
        for each in data if key == "*" else ():
            yield from _values(each, rest)
    elif isinstance(data, dict) and key in data:
        yield from _values(data[key], rest)
