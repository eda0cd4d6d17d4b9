"""What a table of units says, all of it sums: the one thing that every source hands to an analysis.

`UnitSums` is made by a file (`engine/readout/datafile`), the operational database
(`engine/readout/metric_sums`) and a warehouse (`statement`) alike. Whoever analyses
reads `aggregates` first, then what else was asked for:

    aggregates    variant -> Aggregates                        always
    strata        variant -> stratum -> Aggregates             where a stratum column was declared
    dimensions    dimension -> level -> variant -> Aggregates  each alone, no cross product
    clusters      variant -> Aggregates over clusters' sums    the same columns and CLUSTER_UNITS
    few_clusters  variant -> column -> each cluster's sum      where a variant has fewer than 20
    quantiles     metric -> variant -> QuantileSums            for metrics of kind quantile
    caps          what was cut, with both numbers to show      for metrics with cap_share
    excluded      who was left out, why, how many per variant  never silent
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.sums.aggregates import Aggregates
from experiments.sums.quantiles import QuantileSums

NO_LEVEL = "(none)"
"""The level of units whose stratum or dimension is empty."""


@dataclass(frozen=True)
class Cap:
    """A cap as it was applied.

    Attributes:
        metric: The metric's name.
        source: The plain column, which is among the aggregates too, uncapped.
        column: The capped column of the aggregates.
        limit: Larger values count as this one.
        share: The quantile of the non-zero values, pooled over variants, that gave it.
        n_above: Units above it, per variant.
    """

    metric: str
    source: str
    column: str
    limit: float
    share: float
    n_above: Mapping[str, int]


@dataclass(frozen=True)
class Excluded:
    """Units or rows that were left out.

    Attributes:
        why: In words, such as "appear in more than one variant".
        what: "units" or "rows".
        n: How many, each counted once.
        of: Among how many.
        n_by_variant: Per variant; a unit in two variants counts in both. Compare these shares with
            the weights: an exclusion that hits one variant more is itself a mismatch.
    """

    why: str
    what: str
    n: int
    of: int
    n_by_variant: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class UnitRows:
    """One entry a unit, in an order that is the same for the same data.

    Attributes:
        variant: Names, shape (n,).
        outcomes: By column of the data, float64 with NaN where empty.
        known: By column: numbers with NaN, or texts with "", for what is unknown.
    """

    variant: Any
    outcomes: Mapping[str, Any]
    known: Mapping[str, Any]


@dataclass(frozen=True)
class UnitSums:
    """What a source says; see the module for the shapes.

    Attributes:
        covariates_with_gaps: Covariates that are empty for some units: the pooled mean stands in,
            and the column `missing_column(covariate)` says where (Zhao and Ding 2022).
        notes: What was left out or assumed, in words, with counts.
        rows: The units themselves, only where a search for differing effects asked for them.
    """

    aggregates: dict[str, Aggregates]
    covariates_with_gaps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    strata: Mapping[str, Mapping[str, Aggregates]] = field(default_factory=dict)
    dimensions: Mapping[str, Mapping[str, Mapping[str, Aggregates]]] = field(default_factory=dict)
    clusters: Mapping[str, Aggregates] = field(default_factory=dict)
    few_clusters: Mapping[str, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)
    quantiles: Mapping[str, Mapping[str, QuantileSums]] = field(default_factory=dict)
    caps: tuple[Cap, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    rows: UnitRows | None = field(default=None, compare=False, repr=False)


def missing_column(covariate: str) -> str:
    """The column that says, by 0 or 1, where a covariate was missing."""
    return f"{covariate} missing"
