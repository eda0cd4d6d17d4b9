"""One comparison over all its looks: the interval at each, and what all of them together leave.

The intervals of a confidence sequence hold all at once with probability 1 - alpha, so their
intersection holds too, and so does the smallest p-value so far. The intersection is what to show;
the last interval is what to store and to compare, since it depends on no earlier look.
Sources: Waudby-Smith et al. (Annals of Statistics 2024); Howard, Ramdas, McAuliffe, Sekhon (Annals
of Statistics 2021) for the running intersection.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from experiments.errors import DataError
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import Interval, Test, absolute_lift, relative_lift
from experiments.evidence.sequential import always_valid


@dataclass(frozen=True)
class Look:
    """What one look shows.

    Attributes:
        n: Units in both variants.
        test: Of this look alone: its critical value and p-value.
        absolute, relative: The intervals of this look.
        running_pvalue: The smallest so far; it never rises. 1 while nothing varied.
        absolute_so_far, relative_so_far: This look's estimate inside the intersection of all
            intervals so far. Without bounds once the intersection is empty.
    """

    n: int
    test: Test
    absolute: Interval
    relative: Interval
    running_pvalue: float
    absolute_so_far: Interval
    relative_so_far: Interval


@dataclass(frozen=True)
class ConfidenceSequence:
    """All looks at one comparison, in order of time.

    Attributes:
        contradicts_itself: No single effect lies in every interval. By chance this is rarer than
            alpha: look for an effect that changed over time, or data that was corrected.
    """

    looks: tuple[Look, ...]
    alpha: float
    planned_sample: int
    contradicts_itself: bool

    @property
    def last(self) -> Look:
        """The most recent look."""
        return self.looks[-1]


def confidence_sequence(
    looks: Sequence[Estimates], *, alpha: float, planned_sample: int
) -> ConfidenceSequence:
    """Follow a comparison through its looks.

    Args:
        looks: The estimates from all data up to each look, oldest first.
        planned_sample: Units in both variants, fixed before the start.
    Raises:
        DataError: If there is no look, or a later look has fewer units than an earlier one.
    """
    if not looks:
        raise DataError("a confidence sequence needs at least one look; none was given")
    seen: list[Look] = []
    absolute, relative, running = Interval(None, None, None), Interval(None, None, None), 1.0
    contradicted = False
    n_before = 0
    for place, estimates in enumerate(looks):
        n = estimates.n_control + estimates.n_treatment
        if n < n_before:
            raise DataError(
                f"look {place + 1} has {n:,} units, the one before it {n_before:,}; every look must"
                " hold all data up to its instant"
            )
        n_before = n
        test = always_valid(estimates, alpha=alpha, planned_sample=planned_sample)
        here = absolute_lift(estimates, critical=test.critical)
        here_relative = relative_lift(estimates, critical=test.critical)
        running = min(running, 1.0 if test.pvalue is None else test.pvalue)
        absolute, relative = intersection(absolute, here), intersection(relative, here_relative)
        contradicted = contradicted or is_empty(absolute)
        seen.append(Look(n, test, here, here_relative, running, _shown(absolute), _shown(relative)))
    return ConfidenceSequence(tuple(seen), alpha, planned_sample, contradicted)


def intersection(before: Interval, here: Interval) -> Interval:
    """What both intervals hold, at the later estimate; its lower bound is above if nothing is."""
    lowers = [each for each in (before.ci_lower, here.ci_lower) if each is not None]
    uppers = [each for each in (before.ci_upper, here.ci_upper) if each is not None]
    return Interval(here.estimate, max(lowers) if lowers else None, min(uppers) if uppers else None)


def is_empty(interval: Interval) -> bool:
    """Whether no value is inside."""
    lower = -inf if interval.ci_lower is None else interval.ci_lower
    upper = inf if interval.ci_upper is None else interval.ci_upper
    return lower > upper


def _shown(interval: Interval) -> Interval:
    return Interval(interval.estimate, None, None) if is_empty(interval) else interval
