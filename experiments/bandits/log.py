"""Decisions with the probabilities they were made by, and their sums per cohort.

A cohort is the units of one version of the vector in one period. It counts once every unit's window
has closed: learning from those who converted already would favour whatever converts fast. From the
cohorts' counts, means and centred moments everything else here follows, so logs of millions are
summed where they lie.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, isfinite
from typing import Final

from experiments.errors import DataError

WHY_NOT_POOLED: Final = (
    "No arm's plain average is shown: the bandit moved its traffic over time, so each arm's units"
    " come from other days, and a change that hit every arm alike would look like a difference"
    " between them. Effects are read by adaptively weighted scores and batch by batch instead."
)
SLACK: Final = 1e-6
"""How far a vector may be from summing to 1: some callers log rounded shares."""


@dataclass(frozen=True)
class Decision:
    """One unit's arm, and by which chances it got it.

    Attributes:
        version: Of the vector; 0 is the slice that is randomised evenly for ever.
        probabilities: By arm, of every arm at that moment.
        at: Any whole unit of time, the same for all.
        outcome: What the unit did until its window closed; None while it is open.
    """

    version: int
    arm: str
    probabilities: Mapping[str, float]
    at: int
    outcome: float | None


@dataclass(frozen=True)
class ArmSums:
    """Count, mean, and sum of squares around that mean, of one arm's units in one cohort."""

    n: int
    mean: float = 0.0
    moment: float = 0.0

    def __post_init__(self) -> None:
        if self.n < 0 or self.moment < 0 or not (isfinite(self.mean) and isfinite(self.moment)):
            raise DataError(f"{self.n} units with mean {self.mean}, moment {self.moment} cannot be")

    def merge(self, other: "ArmSums") -> "ArmSums":
        """The sums of both together. Source: Chan, Golub, LeVeque (1979)."""
        if not self.n or not other.n:
            return self if self.n else other
        n, gap = self.n + other.n, other.mean - self.mean
        return ArmSums(
            n,
            self.mean + gap * other.n / n,
            self.moment + other.moment + gap * gap * self.n * other.n / n,
        )


_NOBODY: Final = ArmSums(0)


@dataclass(frozen=True)
class Batch:
    """The sums of one cohort.

    Attributes:
        version: Of the vector.
        period: Its place in time; what is guessed for it may use earlier periods only.
        probabilities: By arm, every one above 0.
        arms: Sums by arm; an arm nobody got may be absent.
    """

    version: int
    period: int
    probabilities: Mapping[str, float]
    arms: Mapping[str, ArmSums]

    def __post_init__(self) -> None:
        require_vector(self.probabilities, where=f"version {self.version}")
        strangers = sorted(self.arms.keys() - self.probabilities.keys())
        if strangers:
            raise DataError(
                f'version {self.version} has units in "{strangers[0]}", which its probability'
                " vector does not name"
            )

    @property
    def n(self) -> int:
        """Units of all arms."""
        return sum(it.n for it in self.arms.values())

    def of(self, arm: str) -> ArmSums:
        """An arm's sums; empty if nobody got it.

        Raises:
            DataError: If the arm is not in the vector.
        """
        found = self.arms.get(arm)
        if found is not None:
            return found
        if arm not in self.probabilities:
            known = ", ".join(self.probabilities)
            raise DataError(f'arm "{arm}" is not in the vector of version {self.version}: {known}')
        return _NOBODY


def require_vector(probabilities: Mapping[str, float], *, where: str) -> None:
    """Refuse what is not a probability vector with a chance for every arm."""
    if not probabilities:
        raise DataError(
            f"{where}: no probability vector was logged, so nothing can be read from it without"
            " bias. Log the chances of all arms with every decision"
        )
    for arm, share in probabilities.items():
        if not (isfinite(share) and 0 < share <= 1):
            raise DataError(f'{where}: the chance of "{arm}" is {share}; it must be above 0')
    total = fsum(probabilities.values())
    if abs(total - 1) > SLACK:
        raise DataError(f"{where}: the probabilities sum to {total:.6f}, not to 1")


def mature(
    decisions: Sequence[Decision], *, window: int, as_of: int, period: int
) -> list[Decision]:
    """The decisions of cohorts whose every unit's window has closed.

    Args:
        window: How long after a decision its outcome is counted, in the decisions' unit of time.
        period: Length of a cohort; a cohort that has not ended at `as_of` may still get units.
    """
    if period <= 0:
        raise DataError(f"a period of {period} is no length of time")
    return [it for it in decisions if (it.at // period + 1) * period + window <= as_of]


def batches(decisions: Iterable[Decision], *, period: int) -> tuple[Batch, ...]:
    """The sums of each cohort, in the order of time.

    Raises:
        DataError: If a decision has no vector, an outcome is missing or not finite, or one version
            was logged with two vectors.
    """
    vectors: dict[int, Mapping[str, float]] = {}
    found: dict[tuple[int, int], dict[str, list[float]]] = {}
    for number, it in enumerate(decisions, start=1):
        if it.version not in vectors:
            require_vector(it.probabilities, where=f"decision {number} (version {it.version})")
            vectors[it.version] = it.probabilities
        vector = vectors[it.version]
        if it.probabilities is not vector and dict(it.probabilities) != dict(vector):
            raise DataError(
                f"decision {number}: version {it.version} was logged before with another"
                " probability vector; a new vector is a new version"
            )
        if it.arm not in vector:
            raise DataError(f'decision {number}: arm "{it.arm}" is not in its vector')
        if it.outcome is None or not isfinite(it.outcome):
            raise DataError(
                f"decision {number}: its outcome is {it.outcome}; only decisions whose window has"
                " closed are summed, with a number each"
            )
        cohort = found.setdefault((it.at // period, it.version), {})
        cohort.setdefault(it.arm, []).append(float(it.outcome))
    return tuple(
        Batch(version, when, vectors[version], {arm: _sums(its) for arm, its in arms.items()})
        for (when, version), arms in sorted(found.items())
    )


def by_version(cohorts: Iterable[Batch]) -> tuple[Batch, ...]:
    """One batch a version: within it the chances were fixed, so its arms compare as they are."""
    whole: dict[int, Batch] = {}
    for it in cohorts:
        known = whole.get(it.version)
        if known is None:
            whole[it.version] = it
            continue
        if dict(known.probabilities) != dict(it.probabilities):
            raise DataError(f"version {it.version} was logged with two probability vectors")
        names = {**known.arms, **it.arms}
        arms = {name: known.of(name).merge(it.of(name)) for name in names}
        first = min(known.period, it.period)
        whole[it.version] = Batch(it.version, first, known.probabilities, arms)
    return tuple(sorted(whole.values(), key=lambda it: (it.period, it.version)))


def _sums(values: list[float]) -> ArmSums:
    mean = fsum(values) / len(values)
    return ArmSums(len(values), mean, fsum((value - mean) ** 2 for value in values))
