"""Which covariates a regression can use, and why the others must stay out.

Least squares needs columns that vary, that are not combinations of each other, and fewer of them
than units. What does not fit is left out and named, never silently fitted to noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from experiments.estimation.ratio import Moments

SPARE_UNITS = 3
"""Units a variant must have beyond its covariates: an intercept, and two degrees of freedom."""

COLLINEAR_BELOW = 1e-10
"""Share of its variance a covariate must keep after the earlier ones explained the rest."""

CONSTANT_BELOW = 1e-12
"""Standard deviation, in means, that is rounding and not variation."""

IS_OUTCOME = "explains the outcome entirely: it is the outcome, or was measured after the exposure"

OUTCOME_ABOVE = 1 - 1e-10
"""Share of an outcome's variance that nothing known beforehand explains."""


@dataclass(frozen=True)
class Usable:
    """Covariates that take part, in the order given, and why each of the others does not."""

    kept: tuple[str, ...]
    dropped: Mapping[str, str]

    @property
    def note(self) -> str:
        """For people: "country is constant within a variant"; empty when all take part."""
        return "; ".join(f"{name} {why}" for name, why in self.dropped.items())

    @property
    def suspects(self) -> tuple[str, ...]:
        """A sentence for each covariate that cannot have been known before the outcome."""
        return tuple(
            f"covariate {name!r} {why}; it is left out"
            for name, why in self.dropped.items()
            if why == IS_OUTCOME
        )


def usable(names: Sequence[str], control: Moments, treatment: Moments) -> Usable:
    """The covariates that `cuped.adjusted` will use of those the moments carry.

    Args:
        names: Of the moments' covariates, in their order; of collinear ones the first is kept.
    """
    kept, dropped = independent((control, treatment))
    return Usable(
        tuple(names[place] for place in kept),
        {names[place]: why for place, why in dropped.items()},
    )


def independent(groups: Sequence[Moments]) -> tuple[tuple[int, ...], dict[int, str]]:
    """Places of covariates that are linearly independent within every group, and why not the rest.

    Cholesky's factorization of each group's correlations, row by row in the order given, skipping
    whatever leaves no pivot.
    """
    kept: list[int] = []
    dropped: dict[int, str] = {}
    factors: list[list[list[float]]] = [[] for _ in groups]
    limit = min(group.n for group in groups) - SPARE_UNITS
    for place in range(len(groups[0].covariate_means)):
        if any(_is_constant(group, place) for group in groups):
            dropped[place] = "has the same value for every unit of a variant"
        elif all(_is_outcome(group, place) for group in groups):
            dropped[place] = IS_OUTCOME
        elif len(kept) >= limit:
            dropped[place] = f"is one too many for a variant of {limit + SPARE_UNITS} units"
        else:
            rows = [
                _row(group, place, kept, factor)
                for group, factor in zip(groups, factors, strict=True)
            ]
            if min(row[-1] for row in rows) ** 2 < COLLINEAR_BELOW:
                dropped[place] = "follows from the covariates before it"
                continue
            kept.append(place)
            for factor, row in zip(factors, rows, strict=True):
                factor.append(row)
    return tuple(kept), dropped


def restricted(moments: Moments, places: Sequence[int]) -> Moments:
    """The same outcome with some of its covariates only."""
    return Moments(
        n=moments.n,
        mean=moments.mean,
        variance=moments.variance,
        covariate_means=tuple(moments.covariate_means[i] for i in places),
        outcome_covariances=tuple(moments.outcome_covariances[i] for i in places),
        covariate_covariances=tuple(
            tuple(moments.covariate_covariances[i][j] for j in places) for i in places
        ),
    )


def _is_constant(group: Moments, place: int) -> bool:
    rounding = CONSTANT_BELOW * abs(group.covariate_means[place])
    return group.covariate_covariances[place][place] <= rounding * rounding


def _is_outcome(group: Moments, place: int) -> bool:
    """Whether a covariate that varies is, but for scale and offset, what it should explain."""
    # Through three points or fewer a line often goes by chance.
    if group.n <= SPARE_UNITS or group.variance <= (CONSTANT_BELOW * group.mean) ** 2:
        return False
    slope = group.outcome_covariances[place] / group.covariate_covariances[place][place]
    return slope * group.outcome_covariances[place] >= OUTCOME_ABOVE * group.variance


def _row(
    group: Moments, place: int, kept: Sequence[int], factor: Sequence[Sequence[float]]
) -> list[float]:
    """The next row of the Cholesky factor of the correlations; its last entry is the pivot."""
    covariances = group.covariate_covariances
    row: list[float] = []
    for other, earlier in zip(kept, factor, strict=True):
        scale = sqrt(covariances[place][place]) * sqrt(covariances[other][other])
        known = sum(a * b for a, b in zip(row, earlier, strict=False))
        row.append((covariances[place][other] / scale - known) / earlier[-1])
    row.append(sqrt(max(1.0 - sum(value * value for value in row), 0.0)))
    return row
