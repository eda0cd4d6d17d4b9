"""The feature behind a wait: the last matching event in the order in which events are processed.

State: [seq, accepted_at]. Processing order, not event time, is what a step's clock is about.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from engine.core.conditions.filters import compile_where
from engine.core.model.conditions import EventMatch
from engine.core.model.people import Event


class LastSeen(Struct, frozen=True, tag="last_seen"):
    match: EventMatch


def compile_fold(definition: LastSeen, key: str) -> Callable[[dict[str, Any], Event], None]:
    """Note the event unless a later one is known."""
    test = compile_where(definition.match.where)

    def fold(features: dict[str, Any], event: Event) -> None:
        if test is not None and not test(event):
            return
        known = features.get(key)
        if known is None or known[0] < event.seq:
            features[key] = [event.seq, event.accepted_at]

    return fold


def join(definition: LastSeen, one: list[int], other: list[int]) -> list[int]:
    """The later of the two."""
    return list(max(one, other))
