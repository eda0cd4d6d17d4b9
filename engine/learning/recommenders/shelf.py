"""What is known of the items themselves, whoever they are shown to: one number for each.

The part of a recommender that every source reads. Read next: `recommender`, which adds taste;
`chain`, which answers from the shelf alone.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from engine.core.model.instants import Instant
from engine.learning.recommenders.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Shelf:
    """Items in one order, which every array of n follows: as learnt ascending by id, and what the
    catalog got since behind them, ascending too.

    Attributes:
        items: Ids as text; shape (n,).
        categories: Names; `category` is a place in it by item, -1 for none.
        popularity: Likings summed over people; 0 for what nobody touched.
        first_seen: When each item came, microseconds; 2**63 - 1 where nobody can tell.
        segments: Names; `by_segment` is what each of them likes, shape (n_segments, n).
    """

    settings: Settings
    trained_at: Instant
    items: "NDArray[np.str_]"
    categories: tuple[str, ...]
    category: "NDArray[np.int32]"
    popularity: "NDArray[np.float64]"
    first_seen: "NDArray[np.int64]"
    segments: tuple[str, ...]
    by_segment: "NDArray[np.float32]"

    @cached_property
    def names(self) -> list[str]:
        """`items` as a list: reading one text out of an array takes longer than all else."""
        names: list[str] = self.items.tolist()
        return names

    @cached_property
    def places(self) -> dict[str, int]:
        """The number of each item."""
        return {name: place for place, name in enumerate(self.names)}
