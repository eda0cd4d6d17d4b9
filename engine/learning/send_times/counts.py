"""Acts and sends by person and hour of the day, and answers as they would be, sent to evenly.

People can only answer when they were sent to: clicks cluster where sends did. So an answer counts
for less at an hour at which much was sent, and for more, within bounds, where little was.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DAY_HOURS: Final = 24
WEEK_HOURS: Final = 7 * DAY_HOURS
EXPOSURE_STRENGTH: Final = 10.0
"""Messages that everybody's sending hours weigh as, in what each was sent when."""
UNPROMPTED: Final = 0.1
"""Share of the exposure that is spread evenly: an answer never counts more than ten times one."""


class HourRows(Protocol):
    """Acts and sends by person and local hour of the week (0 is Monday, 0 to 1 o'clock).

    `History.hours` gives them. `sends` may be fractions: of a message whose hour was drawn, the
    chance of each hour is better than the hour it fell on.
    """

    @property
    def ids(self) -> "NDArray[np.int64]": ...  # pragma: no cover
    @property
    def hours(self) -> "NDArray[np.int64]": ...  # pragma: no cover
    @property
    def acts(self) -> "Floats": ...  # pragma: no cover
    @property
    def sends(self) -> "Floats": ...  # pragma: no cover


@dataclass(frozen=True, eq=False)
class Counts:
    """Acts by person and hour of the day; of each array but `ids` and `group` shape (n, 24).

    Attributes:
        ids: Profiles, ascending.
        raw: As counted; `corrected` as they would be, sent to evenly.
        group: Of people alike, from 1; 0 is nobody's.
    """

    ids: "NDArray[np.int64]"
    raw: "Floats"
    corrected: "Floats"
    group: "NDArray[np.int64]"

    @classmethod
    def of(cls, answers: HourRows, free: HourRows | None, *, width: float) -> "Counts":
        """Count; `free` are acts that no message asked for, taken as they are."""
        import numpy as np

        known = [answers.ids] if free is None else [answers.ids, free.ids]
        ids = np.unique(np.concatenate(known))
        prompted = _by_hour(ids, answers.ids, answers.hours, answers.acts)
        sends = _by_hour(ids, answers.ids, answers.hours, answers.sends)
        visits = (
            np.zeros_like(prompted)
            if free is None
            else _by_hour(ids, free.ids, free.hours, free.acts)
        )
        corrected = _evened(prompted, sends, kernel(width)) + visits
        return cls(ids, prompted + visits, corrected, np.zeros(len(ids), dtype=np.int64))


def kernel(width: float) -> "Floats":
    """How much each hour lends to each other around the clock; (24, 24), rows sum to 1."""
    import numpy as np

    at = np.arange(DAY_HOURS)
    apart = np.abs(at[:, None] - at)
    apart = np.minimum(apart, DAY_HOURS - apart)
    if width <= 0:
        return np.eye(DAY_HOURS)
    lent = np.exp(-(apart**2) / (2 * width**2))
    found: Floats = lent / lent.sum(axis=1, keepdims=True)
    return found


def _evened(acts: "Floats", sends: "Floats", near: "Floats") -> "Floats":
    """Answers weighed by how little was sent around their hour; each person's sum stays."""
    import numpy as np

    sent = sends.sum(axis=0)
    share = sent / sent.sum() if sent.sum() > 0 else np.full(DAY_HOURS, 1 / DAY_HOURS)
    own = sends @ near + EXPOSURE_STRENGTH * (share @ near)
    own /= own.sum(axis=1, keepdims=True)
    weighed = acts / (UNPROMPTED / DAY_HOURS + (1 - UNPROMPTED) * own)
    total = weighed.sum(axis=1, keepdims=True)
    scale = np.divide(acts.sum(axis=1, keepdims=True), total, out=total * 0, where=total > 0)
    found: Floats = weighed * scale
    return found


def _by_hour(ids: "NDArray[np.int64]", who: Any, hours: Any, counts: Any) -> "Floats":
    """Counts over the hours of the day, weekdays together; shape (people, 24)."""
    import numpy as np

    who, hours = np.asarray(who, dtype=np.int64), np.asarray(hours, dtype=np.int64)
    counts = np.asarray(counts, dtype=np.float64)
    if len(hours) and not (hours.min() >= 0 and hours.max() < WEEK_HOURS):
        raise ValueError("an hour of the week lies between 0 and 167; 0 is Monday, 0 to 1 o'clock")
    if not (counts >= 0).all():
        raise ValueError("a count of acts or sends is negative, or not a number")
    place = np.searchsorted(ids, who) * DAY_HOURS + hours % DAY_HOURS
    flat = np.bincount(place, weights=counts, minlength=len(ids) * DAY_HOURS)
    found: Floats = flat.astype(np.float64).reshape(len(ids), DAY_HOURS)
    return found
