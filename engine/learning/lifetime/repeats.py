"""Purchases as the lifetime models read them: per person how often again, when last, how long.

The conventions are Fader and Hardie's: days with a purchase count, not purchases; the first day
starts the clock and counts as nothing; the mean spend is of the days after the first. What a day
brought is net of what was returned. Time is in weeks.
Source: Fader, Hardie, Lee (Marketing Science 24, 2005) and their notes on CDNOW.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from engine.core.model.instants import DAY, Instant
from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

WEEK: Final = 7 * DAY
"""One unit of time of these models, in microseconds."""


@dataclass(frozen=True, eq=False)
class Repeats:
    """What is known of each buyer; arrays of one length.

    Attributes:
        ids: Profiles, ascending.
        x: Days with a purchase after the first.
        t_x: Weeks from the first such day to the last; 0 where x is 0.
        age: Weeks from the first such day to the instant of looking.
        spend: Mean of what the days after the first brought; 0 where x is 0.
    """

    ids: "NDArray[np.int64]"
    x: "Floats"
    t_x: "Floats"
    age: "Floats"
    spend: "Floats"

    @property
    def n(self) -> int:
        return len(self.ids)


def repeats_of(ids: Any, times: Any, amounts: Any, *, as_of: Instant) -> Repeats:
    """Days of purchase, one row each, as repeats.

    Args:
        ids: Profile of each row; rows of one person on one day are one already.
        times: Instants, microseconds; rows at or after `as_of` are not read.
        amounts: Money of that day, net of returns; NaN is a day that brought nothing.
    Raises:
        Refused: If nobody has bought before `as_of`, or an amount is infinite.
    """
    import numpy as np

    ids, times = np.asarray(ids, dtype=np.int64), np.asarray(times, dtype=np.int64)
    amounts = np.asarray(amounts, dtype=np.float64)
    known = times < as_of
    order = np.lexsort((times[known], ids[known]))
    ids, times, amounts = ids[known][order], times[known][order], amounts[known][order]
    if not len(ids):
        raise Refused("nobody has bought anything yet", "wait for purchases, or import them")
    if n := int(np.isinf(amounts).sum()):
        raise Refused(f"{n:,} amounts are infinite", "correct what they are made of")
    starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])
    n_days = np.diff(np.r_[starts, len(ids)])
    first, last = times[starts], times[starts + n_days - 1]
    x = (n_days - 1).astype(np.float64)
    money = np.add.reduceat(np.nan_to_num(amounts), starts) - np.nan_to_num(amounts[starts])
    spend = np.divide(money, x, out=np.zeros(len(x)), where=x > 0)
    return Repeats(
        ids=ids[starts],
        x=x,
        t_x=(last - first) / WEEK,
        age=(as_of - first) / WEEK,
        spend=spend,
    )
