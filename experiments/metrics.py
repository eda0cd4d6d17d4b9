"""What is measured on each unit: a metric's declaration, and the caps that tame its tail."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import floor, isfinite
from typing import Literal

from experiments.errors import PlanError

Kind = Literal["proportion", "mean", "count", "ratio", "quantile"]
Role = Literal["primary", "secondary", "guardrail", "exploratory"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One quantity per unit of randomization.

    Attributes:
        name: Its key in results.
        kind: `proportion` (a unit did or did not: 0 or 1), `mean` (any number), `count` (a whole
            number from 0 on: the same sums, cautions of its own), `ratio` (sum of the numerator
            over sum of the denominator, such as revenue per order), or `quantile` (the value that a
            share `q` of the units do not exceed; it has `QuantileSums`, not Aggregates).
        column: Where a proportion, mean, count or quantile is found; the name if not given.
        numerator, denominator: Columns of a ratio.
        covariates: Columns measured before exposure; anything later biases the effect.
        cap_share: Values above this quantile of the non-zero values, pooled over variants, count
            as that quantile. Declared before the start, the same for every variant. Over *all*
            values, a sparse metric such as spend would be capped at 0.
        q: The share of a quantile, in (0, 1): 0.5 is the median.
        negative: `refuse` where a value below 0 must be a mistake, as in money that was paid.
        better: Which direction is good news.
        role: Its family: `primary` decides (corrected together), `secondary` is corrected for false
            discoveries, `guardrail` watches for harm.
        title, unit: For people: "Revenue within 7 days", "EUR".
    """

    name: str
    kind: Kind = "mean"
    column: str | None = None
    numerator: str | None = None
    denominator: str | None = None
    covariates: tuple[str, ...] = ()
    cap_share: float | None = None
    q: float | None = None
    negative: Literal["allow", "refuse"] = "allow"
    better: Literal["higher", "lower"] = "higher"
    role: Role = "primary"
    title: str | None = None
    unit: str | None = None

    def __post_init__(self) -> None:
        where = f"metric {self.name!r}"
        if not self.name:
            raise PlanError("a metric needs a name")
        if self.kind == "ratio":
            if not (self.numerator and self.denominator):
                raise PlanError(f"{where}: a ratio needs numerator= and denominator=")
            if self.column:
                raise PlanError(f"{where}: a ratio has no column=; it has numerator= and more")
        elif self.numerator or self.denominator:
            raise PlanError(f"{where}: numerator= and denominator= belong to kind=ratio only")
        if len(set(self.covariates)) != len(self.covariates):
            raise PlanError(f"{where}: covariates {', '.join(self.covariates)} repeat")
        if overlap := set(self.covariates) & set(self.sources):
            raise PlanError(
                f"{where}: {min(overlap)!r} is both outcome and covariate; a covariate is measured"
                " before exposure"
            )
        if self.cap_share is not None and not 0 < self.cap_share < 1:
            raise PlanError(f"{where}: cap {self.cap_share!r} is not a share between 0 and 1")
        if self.cap_share is not None and self.kind in ("proportion", "quantile"):
            raise PlanError(f"{where}: a {self.kind} needs no cap")
        self._check_quantile(where)

    def _check_quantile(self, where: str) -> None:
        if self.kind != "quantile":
            if self.q is not None:
                raise PlanError(f"{where}: q= belongs to kind=quantile only")
            return
        if self.q is None or not 0 < self.q < 1:
            raise PlanError(f"{where}: a quantile needs q= between 0 and 1, such as q=0.5")
        if self.covariates:
            raise PlanError(f"{where}: a quantile cannot be adjusted by covariates")

    @property
    def sources(self) -> tuple[str, ...]:
        """Columns of the data the outcome is made of."""
        if self.kind == "ratio":
            assert self.numerator
            assert self.denominator
            return (self.numerator, self.denominator)
        return (self.column or self.name,)

    @property
    def value_columns(self) -> tuple[str, ...]:
        """The same as columns of the aggregates: a capped one is another column than a plain one.

        >>> Metric(name="spend", cap_share=0.99).value_columns
        ('spend capped at p99',)
        """
        if self.cap_share is None:
            return self.sources
        return tuple(f"{name} capped at p{self.cap_share * 100:g}" for name in self.sources)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of the aggregates that the metric needs."""
        return self.value_columns + self.covariates

    @property
    def label(self) -> str:
        """Its title, or its name."""
        return self.title or self.name


def nonzero_cap(values: Iterable[float], *, share: float) -> float | None:
    """The `share` quantile of the values that are not 0; None if all are.

    Linear interpolation between order statistics (Hyndman and Fan's type 7, as numpy and DuckDB).

    >>> nonzero_cap([0, 0, 0, 0, 1, 2, 3], share=0.5)
    2.0
    """
    found = sorted(float(value) for value in values if value != 0 and isfinite(value))
    if not found:
        return None
    position = share * (len(found) - 1)
    below = floor(position)
    above = min(below + 1, len(found) - 1)
    return found[below] + (found[above] - found[below]) * (position - below)
