"""What an analysis needs to know of the data: counts, means and centred second moments.

Aggregates of parts merge into the aggregates of the whole, in any order, so they can be summed per
day, per partition or in a warehouse, and no unit's row need leave it. Raw sums of squares are never
used: with a mean of 1e12 (milliseconds since 1970) they lose every digit of the variance.

Second moments may be sparse: five metrics with five covariates need few of all pairs. A pair that
was not summed is None; asking for it is a DataError, never a 0. Read next: `unit_sums`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, isfinite
from typing import Self

from experiments.errors import DataError


@dataclass(frozen=True)
class Aggregates:
    """Sufficient statistics of some units over named columns.

    Attributes:
        n: How many units.
        columns: Names, in the order of the other two.
        means: Mean of each column; zeros when n is 0.
        moments: Symmetric matrix of sum((a - mean_a) * (b - mean_b)), not divided by anything; None
            where the pair was not summed.
    """

    n: int
    columns: tuple[str, ...]
    means: tuple[float, ...]
    moments: tuple[tuple[float | None, ...], ...]

    def __post_init__(self) -> None:
        size = len(self.columns)
        if len(set(self.columns)) != size:
            raise DataError(f"columns {', '.join(self.columns)} are not distinct")
        if len(self.means) != size or [len(row) for row in self.moments] != [size] * size:
            raise DataError(f"{size} columns need {size} means and a {size} x {size} matrix")
        if self.n < 0:
            raise DataError(f"a count of {self.n} units is impossible")
        for name, mean, row in zip(self.columns, self.means, self.moments, strict=True):
            if not isfinite(mean) or not all(value is None or isfinite(value) for value in row):
                raise DataError(f"column {name!r} holds values that are not finite")

    @classmethod
    def from_rows(cls, columns: Sequence[str], rows: Iterable[Sequence[float]]) -> Self:
        """Aggregates of rows, one a unit, each with a value per column."""
        return cls.from_columns(dict(zip(columns, _transposed(columns, rows), strict=True)))

    @classmethod
    def from_columns(cls, values: Mapping[str, Sequence[float]]) -> Self:
        """Aggregates of one sequence per column (lists or arrays), all of the same length.

        Two passes: means first, then products of what is left, so offsets cost no precision.

        >>> Aggregates.from_columns({"spend": [1.0, 2.0, 6.0]}).variance("spend")
        7.0
        """
        lengths = {name: len(column) for name, column in values.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"columns have different lengths: {lengths}")
        n = next(iter(lengths.values()), 0)
        if n == 0:
            return cls.empty(tuple(values))
        means, centred = [], []
        for name, column in values.items():
            numbers = [float(value) for value in column]
            if not all(map(isfinite, numbers)):
                raise DataError(f"column {name!r} holds values that are not finite")
            mean = fsum(numbers) / n
            means.append(mean)
            centred.append([number - mean for number in numbers])
        moments = tuple(
            tuple(fsum(a * b for a, b in zip(left, right, strict=True)) for right in centred)
            for left in centred
        )
        return cls(n, tuple(values), tuple(means), moments)

    @classmethod
    def from_shifted_sums(
        cls,
        columns: Sequence[str],
        *,
        n: int,
        shifts: Sequence[float],
        sums: Sequence[float],
        products: Sequence[Sequence[float | None]],
    ) -> Self:
        """Aggregates from sums a database can make, taken after subtracting a shift per column.

        Args:
            shifts: What was subtracted, close to each column's mean (the mean of all variants).
            sums: sum(a - shift_a) of each column.
            products: sum((a - shift_a) * (b - shift_b)), full or upper triangle; [i][j], i <= j;
                None where the pair was not summed.
        """
        if n == 0:
            return cls.empty(tuple(columns))
        rest = [total / n for total in sums]
        means = tuple(shift + left for shift, left in zip(shifts, rest, strict=True))

        def moment(i: int, j: int) -> float | None:
            i, j = min(i, j), max(i, j)
            product = products[i][j]
            if product is None:
                return None
            value = product - n * rest[i] * rest[j]
            return max(value, 0.0) if i == j else value

        size = range(len(columns))
        return cls(n, tuple(columns), means, tuple(tuple(moment(i, j) for j in size) for i in size))

    @classmethod
    def empty(cls, columns: tuple[str, ...]) -> Self:
        """No unit at all: merging it changes nothing."""
        zeros = (0.0,) * len(columns)
        return cls(0, columns, zeros, (zeros,) * len(columns))

    def merge(self, other: "Aggregates") -> "Aggregates":
        """Aggregates of both groups of units together.

        Source: Chan, Golub, LeVeque (1979), pairwise updates.
        """
        if self.columns != other.columns:
            raise DataError(
                f"columns {', '.join(self.columns)} cannot merge with {', '.join(other.columns)}"
            )
        n = self.n + other.n
        if self.n == 0 or other.n == 0:
            return self if other.n == 0 else other
        gaps = [b - a for a, b in zip(self.means, other.means, strict=True)]
        means = tuple(a + gap * other.n / n for a, gap in zip(self.means, gaps, strict=True))
        weight = self.n * other.n / n
        moments = tuple(
            tuple(
                None if a is None or b is None else a + b + gap_row * gap * weight
                for a, b, gap in zip(row, other_row, gaps, strict=True)
            )
            for row, other_row, gap_row in zip(self.moments, other.moments, gaps, strict=True)
        )
        return Aggregates(n, self.columns, means, moments)

    def mean(self, column: str) -> float:
        """Mean of a column."""
        return self.means[self._index(column)]

    def variance(self, column: str) -> float:
        """Sample variance (divided by n - 1) of a column; 0 for fewer than two units."""
        return self.covariance(column, column)

    def covariance(self, one: str, other: str) -> float:
        """Sample covariance (divided by n - 1) of two columns; 0 for fewer than two units."""
        moment = self.moments[self._index(one)][self._index(other)]
        if moment is None:
            raise DataError(
                f"the products of {one!r} and {other!r} were not summed; declare a metric that"
                " needs both (an outcome and its covariate, a numerator and its denominator)"
            )
        return moment / (self.n - 1) if self.n > 1 else 0.0

    def has_pair(self, one: str, other: str) -> bool:
        """Whether the products of two columns were summed, so that `covariance` answers."""
        return self.moments[self._index(one)][self._index(other)] is not None

    def _index(self, column: str) -> int:
        try:
            return self.columns.index(column)
        except ValueError:
            raise DataError(
                f"column {column!r} is not among the aggregates ({', '.join(self.columns)})"
            ) from None


def merged(parts: Iterable[Aggregates]) -> Aggregates:
    """Aggregates of all parts together, of which there must be at least one."""
    total: Aggregates | None = None
    for part in parts:
        total = part if total is None else total.merge(part)
    if total is None:
        raise DataError("there is nothing to merge")
    return total


def merged_strata(
    strata: Mapping[str, Mapping[str, Aggregates]],
) -> dict[str, Aggregates]:
    """Aggregates per variant, all its strata together, from variant -> stratum -> Aggregates."""
    return {variant: merged(parts.values()) for variant, parts in strata.items()}


def _transposed(columns: Sequence[str], rows: Iterable[Sequence[float]]) -> list[list[float]]:
    values: list[list[float]] = [[] for _ in columns]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(columns):
            raise DataError(f"row {number} has {len(row)} values for {len(columns)} columns")
        for column, value in zip(values, row, strict=True):
            column.append(value)
    return values
