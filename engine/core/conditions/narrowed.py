"""Some of a program's features, as whoever reads a long history folds them: no more work an event
than these features need, and no more read than they can still be changed by. Read next: `segments`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from engine.core.features.kinds import KINDS, Fold
from engine.core.features.last_seen import LastSeen
from engine.core.features.occurrences import Occurrences
from engine.core.features.sessions import Sessions
from engine.core.features.unfollowed import Unfollowed
from engine.core.model.instants import Instant

BY_TIME: Final = (LastSeen, Occurrences, Sessions, Unfollowed)
"""Kinds that look at an event's name and times, and at its content only where a filter does."""


class Narrowed(NamedTuple):
    """The folds of some features.

    Attributes:
        folds: By event name; those of any other name under "".
        names: The events to read; None for all.
        reads_content: Whether an event's properties, context or traits can make a difference.
        reach: By event name, and "" for any other: how many microseconds ago an event may have
            happened and still decide a verdict asked from now on; None: however long ago.
        session: (reach, gap) of the sessions among them that reach furthest, or None. A session
            may have begun before their reach: so it has if an event lies within the gap after it.
    """

    folds: Mapping[str, tuple[Fold, ...]]
    names: tuple[str, ...] | None
    reads_content: bool
    reach: Mapping[str, int | None]
    session: tuple[int, int] | None

    @property
    def is_bounded(self) -> bool:
        """Whether anything that has happened may be left out."""
        return any(each is not None for each in self.reach.values())

    def began(self, now: Instant) -> tuple[Instant, Instant] | None:
        """The instants (after, until) between which an event says that a session may reach back."""
        if self.session is None:
            return None
        reach, gap = self.session
        return now - reach, now - reach + gap

    def whole(self) -> "Narrowed":
        """The same, leaving nothing out."""
        return self._replace(reach=dict.fromkeys(self.reach), session=None)


def narrow(
    definitions: Mapping[str, Any],
    folds: Mapping[str, tuple[tuple[str, Fold], ...]],
    *,
    only: frozenset[str],
) -> Narrowed:
    """The folds of the features with these keys, out of all of a program's.

    A key may also be the mark of what a feature could not keep, which its own fold sets.
    """
    some = {
        name: tuple((key, fold) for key, fold in each if key in only)
        for name, each in folds.items()
    }
    wanted = [definitions[key] for key in only & definitions.keys()]
    sessions = [each for each in wanted if isinstance(each, Sessions)]
    longest = _furthest(_reach(each) for each in sessions) if sessions else None
    return Narrowed(
        folds={name: tuple(fold for _, fold in each) for name, each in some.items()},
        names=None if some[""] else tuple(sorted(name for name, each in some.items() if each)),
        reads_content=any(_reads_content(each) for each in wanted),
        reach={
            name: _furthest(_reach(definitions[key]) for key, _ in each)
            for name, each in some.items()
        },
        session=None if longest is None else (longest, max(each.gap for each in sessions)),
    )


def _reads_content(definition: Any) -> bool:
    if not isinstance(definition, BY_TIME):
        return True
    return any(match.where for match in KINDS[type(definition)].listens(definition) or ())


def _reach(definition: Any) -> int | None:
    """How long ago an event may have happened and still matter to this feature.

    A follower lies after what it follows, so it reaches no further. A session counts while its
    last event is in the window, and stays open to late events for the gap.
    """
    match definition:
        case Occurrences() | Unfollowed():
            return definition.window.within
        case Sessions():
            within = definition.window.within
            return None if within is None else within + definition.gap
    return None


def _furthest(reaches: Iterable[int | None]) -> int | None:
    found = list(reaches)
    return None if None in found else max((each for each in found if each is not None), default=0)
