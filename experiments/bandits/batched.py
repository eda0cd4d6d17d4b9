"""Effects from a bandit's log batch by batch (BOLS): each version is a small fair experiment.

While a vector holds, its arms are compared as in any experiment. Each batch's difference in its own
standard errors is a standard normal however the vector was learnt, so their sum over the root of
their number is one too. One regression over all units breaks that: it weighs batches by the square
of their precision, which is random and depends on the earlier outcomes. So does a weight that looks
at the batch's own spread: among rare conversions a low mean has a low spread and would count more.
Source: Zhang, Janson, Murphy (NeurIPS 2020), arXiv 2002.03217.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Final

from experiments.bandits.log import ArmSums, Batch, by_version
from experiments.errors import DataError
from experiments.estimation.estimates import Estimates

UNITS_MIN: Final = 2
"""Per arm and batch; fewer have no variance to speak of."""


@dataclass(frozen=True)
class Compared:
    """One batch's comparison of two arms.

    Attributes:
        control_variance, treatment_variance: Of the batch's two means.
    """

    batch: Batch
    control: ArmSums
    treatment: ArmSums
    control_variance: float
    treatment_variance: float

    @property
    def precision(self) -> float:
        """n1 n0 / n: one over the difference's variance, in units of the outcome's variance."""
        return self.control.n * self.treatment.n / self.n

    @property
    def difference(self) -> float:
        """Treatment minus control within the batch."""
        return self.treatment.mean - self.control.mean

    @property
    def n(self) -> int:
        """Units of the two arms."""
        return self.control.n + self.treatment.n


@dataclass(frozen=True)
class Batches:
    """What can be compared within batches, and what cannot.

    Attributes:
        n_left_out: Units of the two arms in batches where one of them has fewer than two units:
            settled by counts, never by an outcome.
    """

    compared: tuple[Compared, ...]
    n_left_out: int

    @property
    def n(self) -> int:
        """Units of the two arms in the batches that are compared."""
        return sum(it.n for it in self.compared)


def batched_estimates(
    cohorts: Sequence[Batch],
    *,
    control: str,
    treatment: str,
    is_stationary: bool = False,
    equal_variances: bool = False,
    by_everyone: bool = False,
) -> Estimates:
    """The two arms' means, batches put together so that their difference has a known law.

    Args:
        is_stationary: The effect is one number for all time (the base rate may drift): batches
            count by the root of n1 n0 / n, their precision as far as counts settle it. Otherwise
            the effect is the average over the units' days, batches counting by their units.
        equal_variances: One variance for all arms and batches, as published: the stationary effect
            over its standard error is then exactly the published statistic. Otherwise each arm of
            each batch has its own, which stays right where they differ.
        by_everyone: Batches count by all of their units, of whatever arm: where batches are
            contexts too, the two arms' units alone are not how common a context is.
    Raises:
        DataError: If no batch has two units in each of the arms.
    """
    found = compare_batches(
        cohorts, control=control, treatment=treatment, equal_variances=equal_variances
    )
    if not found.compared:
        raise DataError(
            f'no version of the bandit has {UNITS_MIN} units each in "{control}" and "{treatment}"'
            " whose window has closed"
        )
    raw = [
        sqrt(it.precision) if is_stationary else float(it.batch.n if by_everyone else it.n)
        for it in found.compared
    ]
    weights = [it / sum(raw) for it in raw]
    parts = [
        (weight, it.control_variance, it.treatment_variance, it)
        for weight, it in zip(weights, found.compared, strict=True)
    ]
    control_variance = sum(w * w * c for w, c, _, _ in parts)
    treatment_variance = sum(w * w * t for w, _, t, _ in parts)
    return Estimates(
        control=sum(w * it.control.mean for w, _, _, it in parts),
        treatment=sum(w * it.treatment.mean for w, _, _, it in parts),
        control_variance=control_variance,
        treatment_variance=treatment_variance,
        covariance=0.0,
        difference_variance=control_variance + treatment_variance,
        n_control=sum(it.control.n for it in found.compared),
        n_treatment=sum(it.treatment.n for it in found.compared),
        degrees_of_freedom=_freedom(
            [(w * w * c, it.control.n) for w, c, _, it in parts]
            + [(w * w * t, it.treatment.n) for w, _, t, it in parts]
        ),
    )


def batched_statistic(cohorts: Sequence[Batch], *, control: str, treatment: str) -> float:
    """Z = sum of Z_b over the root of the number of batches, as published: N(0, 1) without effect.

    Z_b = sqrt(n1 n0 / (n s2)) * (mean1 - mean0), s2 the outcome's variance within arms and batches.
    """
    found = compare_batches(cohorts, control=control, treatment=treatment, equal_variances=True)
    variance = _pooled(found.compared) if found.compared else 0.0
    if variance == 0:
        raise DataError("no batch has two units in each arm with an outcome that varies")
    scores = [sqrt(it.precision / variance) * it.difference for it in found.compared]
    return sum(scores) / sqrt(len(scores))


def compare_batches(
    cohorts: Sequence[Batch], *, control: str, treatment: str, equal_variances: bool = False
) -> Batches:
    """Each version's own comparison of two arms."""
    if control == treatment:
        raise DataError(f'"{control}" cannot be compared with itself')
    compared: list[Compared] = []
    n_left_out = 0
    for batch in by_version(cohorts):
        c, t = batch.of(control), batch.of(treatment)
        if min(c.n, t.n) < UNITS_MIN:
            n_left_out += c.n + t.n
            continue
        variances = (it.moment / (it.n - 1) / it.n for it in (c, t))
        compared.append(Compared(batch, c, t, *variances))
    if equal_variances and compared:
        shared = _pooled(compared)
        compared = [
            replace(
                it,
                control_variance=shared / it.control.n,
                treatment_variance=shared / it.treatment.n,
            )
            for it in compared
        ]
    return Batches(tuple(compared), n_left_out)


def _pooled(compared: Sequence[Compared]) -> float:
    """One variance for all arms and batches."""
    moments = sum(it.control.moment + it.treatment.moment for it in compared)
    return moments / sum(it.n - 2 for it in compared)


def _freedom(parts: Sequence[tuple[float, int]]) -> float:
    """Satterthwaite's, over every arm of every batch."""
    whole = sum(variance for variance, _ in parts)
    below = sum(variance * variance / (n - 1) for variance, n in parts)
    return whole * whole / below if below else float(sum(n - 1 for _, n in parts))
