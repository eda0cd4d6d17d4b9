"""Which segments anybody follows. A segment on the clock that nobody does is asked when it is read.

`local_time` changes the verdict of everyone twice a day for ever. Where a live trigger, a wait or
another condition reacts to the segment's border, that is worth a timer for each person; where
nothing does, the segment keeps no memberships, arms no timer and writes no Segment Entered, and
whoever reads it (a list of members, an audience at its fire) asks it then. A continuous audience
keeps its own timer, for those inside the journey only.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from engine.core.model.campaigns import Campaign, Program, SegmentTrigger
from engine.core.model.conditions import EventMatch, LocalTimeCondition, SegmentCondition

_CROSSINGS: Final = ("Segment Entered", "Segment Exited")
_NAME: Final = ("properties", "segment")


def read_when_asked(program: Program) -> frozenset[str]:
    """Segments whose verdict changes with the time of day, and that nothing reacts to."""
    clocked = {name for name in program.segments if _is_clocked(name, program, set())}
    if not clocked:
        return frozenset()
    running = [
        *(each for each in program.campaigns.values() if each.state in ("live", "paused")),
        *program.pinned.values(),
    ]
    followed = set(_triggering(running))
    for match in _matches_in((running, program.segments)):
        if match.event in _CROSSINGS:
            named = _named(match)
            followed |= clocked if named is None else named
    return frozenset(clocked - followed)


def _is_clocked(name: str, program: Program, seen: set[str]) -> bool:
    if name in seen or name not in program.segments:
        return False
    seen.add(name)
    parts = list(_parts(program.segments[name]))
    return any(isinstance(part, LocalTimeCondition) for part in parts) or any(
        _is_clocked(part.segment, program, seen)
        for part in parts
        if isinstance(part, SegmentCondition)
    )


def _triggering(campaigns: list[Campaign]) -> Iterator[str]:
    for campaign in campaigns:
        if isinstance(campaign.trigger, SegmentTrigger):
            yield campaign.trigger.segment


def _matches_in(part: Any) -> Iterator[EventMatch]:
    return (each for each in _parts(part) if isinstance(each, EventMatch))


def _named(match: EventMatch) -> set[str] | None:
    """The segments an event match is about; None if it may be any."""
    for one in match.where:
        for test in one.comparisons if one.path == _NAME else ():
            if test.operator == "is" and isinstance(test.operand, str):
                return {test.operand}
            if test.operator == "in":
                return {name for name in test.operand if isinstance(name, str)}
    return None


def _parts(part: Any) -> Iterator[Struct]:
    """A tree of nouns, each of them."""
    if isinstance(part, Struct):
        yield part
        for name in part.__struct_fields__:
            yield from _parts(getattr(part, name))
    elif isinstance(part, Mapping | tuple | list):
        for each in part.values() if isinstance(part, Mapping) else part:
            yield from _parts(each)
