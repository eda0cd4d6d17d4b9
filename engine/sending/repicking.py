"""Looks again at what a recommender picked, when the message that shows it is made at last.

It may have waited for hours: what has sold out since, or was bought, gives way to the spares that
were kept with it, or to what the recommender says now, and each has the price that its feed has by
then. What a block fills picks up from is looked through, too, for what must not be shown. What is
shown is written back to the message, whose links are looked up in it later. A message that may have
arrived already stays as it was.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from campaigns.recommender_forms import RecommenderFile
from channels.content.blocks import HIDDEN
from channels.content.templates import CompiledTemplate
from engine.core.journeys.recommend import NOTES
from engine.core.model.effects import PickAsk
from engine.core.model.instants import MINUTE, Instant, ProfileId
from engine.learning.picking import Picker
from engine.release.playbook import Playbook
from engine.store.connection import Connection
from engine.store.queue import Queued

PICKS: Final = "picks"
"""The name under which the block of picks finds them."""
OWN: Final = frozenset({"id", "source", "reason", "because", "score", "run"})
"""What a pick says of itself; the rest is its feed's."""
FRESH_FOR: Final = MINUTE
"""What was picked so lately is not looked at again."""

_object: Final = msgspec.json.Decoder(dict[str, Any])
_encode: Final = msgspec.json.Encoder().encode


class Lacking(Exception):
    """Too few picks are left to be shown; the words go into the message's row."""


def repicked(
    connection: Connection, playbook: Playbook, it: Queued, *, picker: Picker, now: Instant
) -> str:
    """The message's context with picks that can be had now; the same text if nothing changes.

    Raises:
        Lacking: If fewer are left than the journey asked for, and it skips the message then.
    """
    if f'"{NOTES}"' not in it.context:
        return it.context
    context = _object.decode(it.context)
    notes: Mapping[str, Any] = context.get(NOTES) or {}
    template = playbook.templates.get((it.channel, it.template))
    is_changed = False
    for name, note in notes.items():
        # What another message of the journey shows is no reason to leave this one out.
        if template is None or name not in template.shows:
            continue
        ask = _ask(it, note, now)
        if name == PICKS:
            hidden = _hidden(connection, playbook, ask, template, picker)
            if hidden != note.get(HIDDEN, {}):
                context[NOTES] = {**context[NOTES], name: {**note, HIDDEN: hidden}}
                is_changed = True
        shown = context.get(name)
        # What a test gave instead of a recommender has no run, and stays.
        if not isinstance(shown, list) or not any("run" in row for row in shown):
            continue
        if _is_fresh(note, now):
            continue
        gone = picker.still(connection, playbook, ask, (*shown, *note.get("spares", ())))
        left = shown
        if any(str(row["id"]) in gone for row in shown):
            left = _left(shown, note.get("spares", ()), gone, ask.n)
            if len(left) < ask.n:
                left = _filled(left, picker.pick(connection, playbook, ask), ask.n)
            if len(left) < ask.n and note.get("if_fewer") == "skip":
                raise Lacking(f"fewer than {ask.n} picks of {ask.model} can still be had")
            if len(left) < ask.n and note.get("if_fewer") == "hide":
                left = []
        left = [_as_listed(playbook, ask.model, row) for row in left]
        if left != shown:
            context[name] = left
            is_changed = True
    return _encode(context).decode() if is_changed else it.context


def _hidden(
    connection: Connection,
    playbook: Playbook,
    ask: PickAsk,
    template: CompiledTemplate,
    picker: Picker,
) -> dict[str, list[str]]:
    """By feed that this template fills its picks up from, what must not come from there."""
    feeds = sorted({use.name for use in template.feeds if use.fills_picks})
    found = {feed: picker.hidden(connection, playbook, ask, feed) for feed in feeds}
    return {feed: items for feed, items in found.items() if items}


def _ask(it: Queued, note: Mapping[str, Any], now: Instant) -> PickAsk:
    return PickAsk(
        ProfileId(it.profile_id),
        str(note["model"]),
        int(note["n"]),
        int(note["n"]),
        tuple(note.get("exclude", ())),
        tuple(note.get("items", ())),
        now,
    )


def _left(
    shown: Sequence[dict[str, Any]],
    spares: Sequence[dict[str, Any]],
    gone: Mapping[str, str],
    n: int,
) -> list[dict[str, Any]]:
    """What was shown and can still be had, then spares, each once."""
    return [row for row in (*shown, *spares) if str(row["id"]) not in gone][:n]


def _filled(
    left: list[dict[str, Any]], fresh: Sequence[dict[str, Any]], n: int
) -> list[dict[str, Any]]:
    have = {str(row["id"]) for row in left}
    return (left + [row for row in fresh if str(row["id"]) not in have])[:n]


def _as_listed(playbook: Playbook, model: str, row: dict[str, Any]) -> dict[str, Any]:
    """A pick with what its feed says now, so that nobody is shown yesterday's price.

    What the feed does not say any more goes, too; items that events tell of stay as they were.
    """
    form = playbook.workspace.models.get(model)
    items = form.items if isinstance(form, RecommenderFile) else None
    feed = playbook.workspace.catalog.get(str(items.catalog)) if items is not None else None
    listed = feed.by_id.get(str(row["id"])) if feed is not None else None
    if listed is None:
        return row
    return {**listed, **{key: value for key, value in row.items() if key in OWN}}


def _is_fresh(note: Mapping[str, Any], now: Instant) -> bool:
    try:
        picked = datetime.fromisoformat(str(note["at"])).timestamp() * 1_000_000
    except (KeyError, ValueError):
        return False
    return now - picked < FRESH_FOR
