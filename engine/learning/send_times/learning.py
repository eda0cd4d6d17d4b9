"""The best hour of each: neighbouring hours lend to each other, people alike lend to everybody.

Read next: `counts`, what is learnt from; `judging`, whether it pays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from engine.learning.artifact import Artifact
from engine.learning.refusals import Refused
from engine.learning.send_times.counts import DAY_HOURS, Counts, HourRows, kernel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

KIND: Final = "send_time"
WIDTH: Final = 1.5
"""Standard deviation of the kernel around the clock, in hours."""
STRENGTH: Final = 8.0
"""Acts that the hours of people alike weigh as."""
GROUP_STRENGTH: Final = 500.0
"""Acts that everybody's hours weigh as, in those of a group."""
LOUDEST: Final = 50.0
"""Acts of one person that count, at most, for everybody's hours."""
BLOCK: Final = 65_536
"""People at a time."""


@dataclass(frozen=True, eq=False)
class SendTimes:
    """The best hour of everybody who has one.

    Attributes:
        ids: Profiles, ascending.
        hours: Of the local day, 0 to 23.
        shares: Of a person's acts that fall into their hour, as estimated.
        confidence: Chance that the hour is better for them than `fallback`; 1 where it is that.
        n_acts: What each was learnt from.
        prior: Everybody's acts by hour of the day; sums to 1.
        fallback: The hour that is best for everybody.
    """

    ids: "NDArray[np.int64]"
    hours: "NDArray[np.int64]"
    shares: "Floats"
    confidence: "Floats"
    n_acts: "Floats"
    prior: "Floats"
    fallback: int

    def labels(self) -> list[str]:
        """The hours as segments read them: "09"."""
        return [f"{it:02d}" for it in self.hours.tolist()]

    def artifact(self) -> Artifact:
        """What is not of one person; their hours are the run's scores."""
        return Artifact({"prior": self.prior}, {"kind": KIND, "fallback": self.fallback})


def learn(
    answers: HourRows,
    *,
    min_events: int,
    free: HourRows | None = None,
    allowed: Sequence[int] = range(DAY_HOURS),
    groups: "tuple[NDArray[np.int64], NDArray[np.int64]] | None" = None,
    width: float = WIDTH,
    strength: float = STRENGTH,
) -> SendTimes:
    """The best of the allowed hours for everybody who acted often enough.

    Args:
        answers: Acts that answer messages, and what was sent; corrected for exposure.
        min_events: Acts, of both kinds, that a person must have shown.
        free: Acts that no message asked for (visits); they are taken as they are.
        allowed: Hours of the day to choose from.
        groups: (profiles ascending, whole numbers from 0): people alike, who lend to each other.
    Raises:
        Refused: If nobody acted often enough.
        ValueError: If no hour is allowed, or rows are no counts by hour.
    """
    import numpy as np

    counts = Counts.of(answers, free, width=width)
    chosen = _hours_of_day(allowed)
    enough = counts.raw.sum(axis=1) >= min_events
    if not enough.any():
        most = counts.raw.sum(axis=1).max(initial=0.0)
        raise Refused(
            f"nobody acted {min_events} times (the most is {most:.0f})",
            "wait for clicks and visits, or count more events",
        )
    near = kernel(width)
    prior = _prior(counts.corrected, near)
    priors = _priors(counts, near, prior, groups)
    fallback = int(chosen[np.argmax(prior[chosen])])
    found = _Best([], [], [])
    rows = np.flatnonzero(enough)
    for start in range(0, len(rows), BLOCK):
        here = rows[start : start + BLOCK]
        found.add(
            counts.corrected[here] @ near + strength * priors[counts.group[here]],
            chosen,
            fallback,
        )
    return SendTimes(
        ids=counts.ids[rows],
        hours=np.concatenate(found.hours),
        shares=np.concatenate(found.shares),
        confidence=np.concatenate(found.confidence),
        n_acts=counts.raw[rows].sum(axis=1),
        prior=prior,
        fallback=fallback,
    )


def chances(best: int, *, allowed: Sequence[int], explore: float) -> "Floats":
    """The chance of each hour of the day to be sent at; to be logged with what was drawn.

    Args:
        explore: Share that is drawn evenly over the allowed hours, without which what is learnt
            next is only what was believed before.
    Raises:
        ValueError: If the best hour is not allowed, or the share is not in [0, 1].
    """
    import numpy as np

    chosen = _hours_of_day(allowed)
    if best not in chosen:
        raise ValueError(f"hour {best} is not allowed; allowed are {chosen.tolist()}")
    if not 0 <= explore <= 1:
        raise ValueError(f"an explore share of {explore:g} is none; it lies between 0 and 1")
    found = np.zeros(DAY_HOURS)
    found[chosen] = explore / len(chosen)
    found[best] += 1 - explore
    return found


class _Best:
    """Best hours, block by block."""

    def __init__(self, hours: list[Any], shares: list[Any], confidence: list[Any]) -> None:
        self.hours, self.shares, self.confidence = hours, shares, confidence

    def add(self, weights: "Floats", chosen: "NDArray[np.int64]", fallback: int) -> None:
        """The best hour of each row of Dirichlet weights."""
        import numpy as np
        from scipy import special

        hour = chosen[np.argmax(weights[:, chosen], axis=1)]
        mine = weights[np.arange(len(hour)), hour]
        theirs = weights[:, fallback]
        # Of a Dirichlet, one share against another is a beta; above one half the first is larger.
        surer = 1 - special.betainc(mine, theirs, 0.5)
        self.hours.append(hour)
        self.shares.append(mine / weights.sum(axis=1))
        self.confidence.append(np.where(hour == fallback, 1.0, surer))


def _prior(corrected: "Floats", near: "Floats") -> "Floats":
    """Hours of many people together, the loudest held down."""
    import numpy as np

    total = corrected.sum(axis=1, keepdims=True)
    held = corrected * np.minimum(1.0, LOUDEST / np.maximum(total, LOUDEST))
    summed = held.sum(axis=0) @ near + 1.0  # nobody's hour is impossible
    found: Floats = summed / summed.sum()
    return found


def _priors(
    counts: Counts,
    near: "Floats",
    prior: "Floats",
    groups: "tuple[NDArray[np.int64], NDArray[np.int64]] | None",
) -> "Floats":
    """Of each group, drawn to everybody's; sets the group of each person. Row 0 is everybody."""
    import numpy as np

    if groups is None:
        return prior[None, :]
    ids, codes = groups
    at = np.minimum(np.searchsorted(ids, counts.ids), len(ids) - 1)
    counts.group[:] = np.where(ids[at] == counts.ids, codes[at] + 1, 0)
    found = [prior]
    for code in range(int(codes.max()) + 1):
        members = counts.corrected[counts.group == code + 1]
        n = float(np.minimum(members.sum(axis=1), LOUDEST).sum())
        own = _prior(members, near)
        found.append((n * own + GROUP_STRENGTH * prior) / (n + GROUP_STRENGTH))
    return np.vstack(found)


def _hours_of_day(allowed: Sequence[int]) -> "NDArray[np.int64]":
    import numpy as np

    found = np.unique(np.asarray(list(allowed), dtype=np.int64))
    if not len(found) or found[0] < 0 or found[-1] >= DAY_HOURS:
        raise ValueError(f"allowed hours are {found.tolist()}; some of 0 to 23 are needed")
    return found
