"""Clusters one by one, where they are so few that sums over them do not do.

What was randomized then is no person but a shop or a city, and there are a handful of them: a
randomization test assigns them anew, for which it needs each one's total and size. Read next:
`experiments.analysis.few_clusters`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from experiments.sums.aggregates import Aggregates
from experiments.sums.duckdb_statement import Table, cluster_rows_statement
from experiments.sums.needs import Needs
from experiments.sums.quantiles import CLUSTER_UNITS

if TYPE_CHECKING:
    import duckdb

FEW_CLUSTERS: Final = 20
"""Under so many in some variant its clusters are read one by one."""
CLUSTERS_AT_ONCE: Final = 2_000
"""A variant of more than this is no help to a test of few: no rows are taken then."""

ClusterRows = Mapping[str, tuple[float, ...]]
"""By column of the aggregates and `CLUSTER_UNITS`, a sum per cluster, in one order."""


def are_few(counts: Mapping[str, int]) -> bool:
    """Whether some variant has so few clusters that each of them matters."""
    return bool(counts) and (
        min(counts.values()) < FEW_CLUSTERS and max(counts.values()) <= CLUSTERS_AT_ONCE
    )


def rows_of_few(
    connection: "duckdb.DuckDBPyConnection",
    table: Table,
    needs: Needs,
    *,
    limits: Mapping[str, float],
    means: Mapping[str, float],
    clusters: Mapping[str, Aggregates],
) -> dict[str, ClusterRows]:
    """Per variant the clusters' sums, sorted, so that the same data give the same order.

    Args:
        limits, means: Of caps and of empty covariates, as for the sums over clusters.
        clusters: Those sums; nothing is read where they are of many clusters.
    """
    if not are_few({name: it.n for name, it in clusters.items()}):
        return {}
    names = (*needs.columns, CLUSTER_UNITS)
    sql = cluster_rows_statement(table, needs, limits=limits, means=means)
    gathered: dict[str, list[tuple[float, ...]]] = {}
    for variant, _, *values in connection.execute(sql).fetchall():
        gathered.setdefault(str(variant).strip(), []).append(tuple(map(float, values)))
    return {
        variant: dict(zip(names, zip(*sorted(rows), strict=True), strict=True))
        for variant, rows in sorted(gathered.items())
    }
