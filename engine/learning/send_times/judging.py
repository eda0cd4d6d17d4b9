"""Does a person's own hour catch more of what they do than the hour that is best for everybody?

Each person's weekdays are dealt to two halves by lot; hours learnt on one are asked of the other.
Single acts would not do: three clicks of one minute, or a click and the visit it began, would stand
on both sides, and hours of pure chance would foretell each other. This is of acts as they were
counted and not of what a message sent then would earn: that is for an experiment to say
(docs/learning.md, "Send times").
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from engine.learning.refusals import Refused
from engine.learning.send_times.counts import DAY_HOURS, WEEK_HOURS, Counts, HourRows
from engine.learning.send_times.learning import WIDTH, learn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SURE: Final = 2.575829
"""Standard errors either side: 99 %, as for every model that is refreshed again and again."""
USUAL: Final = 1.959964
PEOPLE_LEAST: Final = 30
UNJUDGED: Final = "too few act often enough to tell whether their own hours are better than one"


@dataclass(frozen=True)
class Judgement:
    """How much of the unseen half falls into the chosen hour, mean per person.

    Attributes:
        n: People with an hour of their own and acts in both halves.
        own, common: Share within their own hour, and within everybody's best hour.
        gain: own - common; `std_error` its own.
    """

    n: int
    own: float
    common: float
    gain: float
    std_error: float

    @property
    def is_better(self) -> bool:
        """Whether the gain is surely above zero."""
        return self.gain - SURE * self.std_error > 0

    @property
    def why(self) -> str:
        """The verdict in a sentence."""
        found = "surely more than" if self.is_better else "not surely more than"
        return (
            f"{self.own:.1%} of unseen acts fall into the person's own hour, {found} the"
            f" {self.common:.1%} in the hour that is best for all ({self.n:,} people)"
        )

    def metrics(self) -> dict[str, Any]:
        """As JSON knows it, the deciding figure as `primary`."""
        primary = {
            "name": "share in own hour, gained",
            "value": self.gain,
            "low": self.gain - USUAL * self.std_error,
            "high": self.gain + USUAL * self.std_error,
        }
        own = {"name": "share in own hour", "value": self.own, "baseline": self.common}
        return {"primary": primary, "figures": [primary, own], "n": self.n}


def judge(
    answers: HourRows,
    *,
    min_events: int,
    rng: "np.random.Generator",
    free: HourRows | None = None,
) -> Judgement:
    """Learn on one half of the weekdays and look at the other.

    Args:
        min_events: As it will be learnt with; on a half, half of it.
        rng: Deals the weekdays.
    Raises:
        Refused: If too few people have acts in both halves.
    """
    import numpy as np

    ids = np.unique(answers.ids if free is None else np.concatenate([answers.ids, free.ids]))
    is_first = rng.random((len(ids), WEEK_HOURS // DAY_HOURS)) < 0.5
    first, second = _dealt(answers, ids, is_first)
    free_first, free_second = (None, None) if free is None else _dealt(free, ids, is_first)
    found = learn(first, min_events=max(1, min_events // 2), free=free_first)
    unseen = Counts.of(second, free_second, width=WIDTH)
    at = np.minimum(np.searchsorted(unseen.ids, found.ids), len(unseen.ids) - 1)
    total = unseen.corrected[at].sum(axis=1)
    has_both = (unseen.ids[at] == found.ids) & (total > 0)
    n = int(has_both.sum())
    if n < PEOPLE_LEAST:
        raise Refused(
            f"{n} people acted often enough to be judged by ({PEOPLE_LEAST} are needed)",
            "wait for clicks and visits, or count more events",
        )
    shares = unseen.corrected[at][has_both] / total[has_both, None]
    own = shares[np.arange(n), found.hours[has_both]]
    common = shares[:, found.fallback]
    gain = own - common
    return Judgement(
        n=n,
        own=float(own.mean()),
        common=float(common.mean()),
        gain=float(gain.mean()),
        std_error=float(gain.std(ddof=1) / np.sqrt(n)),
    )


@dataclass(frozen=True, eq=False)
class _Rows:
    ids: "NDArray[np.int64]"
    hours: "NDArray[np.int64]"
    acts: "NDArray[np.float64]"
    sends: "NDArray[np.float64]"


def _dealt(
    rows: HourRows, ids: "NDArray[np.int64]", is_first: "NDArray[np.bool_]"
) -> tuple[_Rows, _Rows]:
    """The acts of each weekday of each person to one of two halves; what was sent to both."""
    import numpy as np

    acts, hours = np.asarray(rows.acts), np.asarray(rows.hours, dtype=np.int64)
    if len(hours) and not (hours.min() >= 0 and hours.max() < WEEK_HOURS):
        raise ValueError("an hour of the week lies between 0 and 167; 0 is Monday, 0 to 1 o'clock")
    mine = np.where(is_first[np.searchsorted(ids, rows.ids), hours // DAY_HOURS], acts, 0.0)
    return (
        _Rows(rows.ids, rows.hours, mine, rows.sends),
        _Rows(rows.ids, rows.hours, acts - mine, rows.sends),
    )
