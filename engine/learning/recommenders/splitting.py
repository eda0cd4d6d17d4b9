"""The past cut at one instant for everybody: before it is learnt from, after it is foretold.

One cut for all people, as in use: leaving out a random item of everyone's would let a model learn
from tomorrow. What is asked for is what a person had not acted on before, unless the model shows
such things again (`exclude.purchased`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from engine.core.model.instants import Instant
from engine.learning.recommenders.likings import Interactions, item_id
from engine.learning.recommenders.tastes import Deed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHARE: Final = 0.2
"""Of the events, the latest, that are foretold."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some of the interactions."""

    user_ids: "NDArray[np.int64]"
    items: "NDArray[Any]"
    weights: "NDArray[np.float64]"
    times: "NDArray[np.int64]"


@dataclass(frozen=True, eq=False)
class Split:
    """Events before an instant, and from it on."""

    at: Instant
    before: Part
    after: Part


@dataclass(frozen=True)
class Trial:
    """One person to foretell: what they had done, what is not to be shown, what they then did."""

    user: int
    history: tuple[Deed, ...]
    hidden: frozenset[str]
    wanted: frozenset[str]


def split(given: Interactions, *, now: Instant, share: float = SHARE) -> Split | None:
    """The cut that leaves this share of the events after it; None if all are of one instant."""
    import numpy as np

    times = np.asarray(given.times, dtype=np.int64)
    is_past = times <= now
    if not is_past.any():
        return None
    ordered = np.sort(times[is_past])
    at = int(ordered[min(int(len(ordered) * (1 - share)), len(ordered) - 1)])
    before, after = is_past & (times < at), is_past & (times >= at)
    return Split(at, _part(given, before), _part(given, after)) if before.any() else None


def trials(
    cut: Split,
    *,
    purchased: int | None,
    middle: float,
    unread: Collection[str],
    most: int,
    rng: "np.random.Generator",
) -> list[Trial]:
    """People who did something new after the cut, at most so many drawn of them, by id.

    Args:
        purchased: `exclude.purchased`: what was acted on within it is neither shown nor asked for.
        middle: Weights above it speak for an item.
        unread: Items that are never shown.
    """
    import numpy as np

    later = by_user(cut.after)
    earlier = by_user(cut.before)
    found = []
    for user, deeds in sorted(later.items()):
        history = tuple(earlier.get(user, ()))
        hidden = _hidden(history, purchased=purchased, at=cut.at)
        liked = {item_id(item) for item, weight, _ in deeds if weight > middle}
        if wanted := liked - hidden - {""} - set(unread):
            found.append(Trial(user, history, hidden, frozenset(wanted)))
    if len(found) > most:
        drawn = np.sort(rng.choice(len(found), size=most, replace=False))
        found = [found[it] for it in drawn.tolist()]
    return found


def _hidden(history: tuple[Deed, ...], *, purchased: int | None, at: Instant) -> frozenset[str]:
    if purchased is None:
        return frozenset()
    return frozenset(
        item_id(item) for item, _, when in history if not purchased or at - when < purchased
    )


def _part(given: Interactions, chosen: "NDArray[np.bool_]") -> Part:
    import numpy as np

    return Part(
        np.asarray(given.user_ids)[chosen],
        np.asarray(given.items)[chosen],
        np.asarray(given.weights, dtype=np.float64)[chosen],
        np.asarray(given.times)[chosen],
    )


def by_user(part: Part) -> Mapping[int, list[Deed]]:
    """What each person did, in the order of the rows."""
    found: dict[int, list[Deed]] = {}
    rows = zip(
        part.user_ids.tolist(),
        part.items.tolist(),
        part.weights.tolist(),
        part.times.tolist(),
        strict=True,
    )
    for user, item, weight, at in rows:
        found.setdefault(user, []).append((item, weight, at))
    return found
