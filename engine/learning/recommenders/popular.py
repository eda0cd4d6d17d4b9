"""What is liked by everybody, by a segment, in a category; and what is new.

The answer for people of whom nothing is known, who are most people, and the mark that every other
model must reach.
"""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from engine.learning.recommenders.likings import Likings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PEOPLE_MIN: Final = 5
"""Fewer of a segment say nothing of it, and could be told from what it likes."""


def popularity(given: Likings, values: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Likings summed over people.

    Args:
        values: In the place of `given.values`; damped, so that nobody makes a thing popular alone.
    """
    import numpy as np

    # A running sum in the order of people: the same people make the same bytes.
    summed = np.bincount(given.codes, weights=values, minlength=len(given.items))
    return summed.astype(np.float64)


def popularity_by_segment(
    given: Likings, values: "NDArray[np.float64]", segments: Mapping[int, str]
) -> tuple[tuple[str, ...], "NDArray[np.float32]"]:
    """Names of the segments and what each likes; shape (n_segments, n_items)."""
    import numpy as np

    of_user = [segments.get(it, "") for it in given.users.tolist()]
    sizes = Counter(it for it in of_user if it)
    names = tuple(sorted(it for it, size in sizes.items() if size >= PEOPLE_MIN))
    liked = np.zeros((len(names), len(given.items)), dtype=np.float32)
    places = {name: place for place, name in enumerate(names)}
    codes = np.asarray([places.get(it, -1) for it in of_user])
    by_value = np.repeat(codes, np.diff(given.starts)) if len(codes) else codes
    for place in range(len(names)):
        mine = by_value == place
        liked[place] = np.bincount(
            given.codes[mine], weights=values[mine], minlength=len(given.items)
        )
    return names, liked
