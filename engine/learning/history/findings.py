"""What a history hands out besides features: arrays of orders, likings, items and hours."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HOURS_A_WEEK: Final = 168


@dataclass(frozen=True, eq=False)
class Orders:
    """Occasions on which people bought: the orders of one day of the workspace's zone are one.

    Attributes:
        ids: Profiles, ascending; shape (n,), int64.
        times: When the first order of the day was made, ascending for a person; int64.
        amounts: What was paid that day, less what was returned of it; float64. A return counts
            against the latest day of purchase up to it, so an amount may be 0 or below.
    """

    ids: "NDArray[np.int64]"
    times: "NDArray[np.int64]"
    amounts: "NDArray[np.float64]"


@dataclass(frozen=True, eq=False)
class Interactions:
    """Who showed a liking for what, and when: a row an act and item, by time within a person.

    Attributes:
        user_ids: Profiles; shape (m,), int64.
        items: Ids as text; shape (m,). 7, 7.0, "7" and " 7 " are one item.
        weights: Of the signal, or the stars; float64.
        times: Instants; int64.
    """

    user_ids: "NDArray[np.int64]"
    items: "NDArray[np.str_]"
    weights: "NDArray[np.float64]"
    times: "NDArray[np.int64]"


@dataclass(frozen=True)
class Items:
    """What can be recommended.

    Attributes:
        rows: By id as text: attributes, `id` among them.
        first_seen: When an item was first told of; empty for a catalog, which has no dates.
    """

    rows: Mapping[str, Mapping[str, Any]]
    first_seen: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Hours:
    """How often people acted, and were sent to, by local hour of the week; rows of zeros are out.

    Attributes:
        ids: Profiles, ascending; shape (m,), int64. One row per person and hour.
        hours: 0 is Monday 00:00 to 01:00, 167 Sunday 23:00 to 24:00; int64.
        acts: How often the person acted then; float64.
        sends: How many messages were accepted for the person then; float64.
    """

    ids: "NDArray[np.int64]"
    hours: "NDArray[np.int64]"
    acts: "NDArray[np.float64]"
    sends: "NDArray[np.float64]"

    def dense(self) -> "tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]":
        """(people ascending, their acts, their sends), the last two of shape (n, 168)."""
        import numpy as np

        people, rows = np.unique(self.ids, return_inverse=True)
        acts = np.zeros((len(people), HOURS_A_WEEK))
        sends = np.zeros((len(people), HOURS_A_WEEK))
        acts[rows, self.hours] = self.acts
        sends[rows, self.hours] = self.sends
        return people, acts, sends
