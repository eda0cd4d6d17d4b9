"""Quantiles per variant in DuckDB: the values at a few ranks, out of one sort per metric.

A statement of its own, over columns that no sum reads: in a columnar file that is no second scan.
With clusters a first statement finds the quantiles, a second their design effects, and a third the
ranks that allow for them.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from experiments.errors import DataError
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates
from experiments.sums.duckdb_statement import Table, literal, number
from experiments.sums.quantiles import (
    AT_OR_BELOW,
    CLUSTER_UNITS,
    QuantileSums,
    Ranks,
    design_effect,
    ranks,
)

if TYPE_CHECKING:
    import duckdb

Z: Final = 1.959963984540054
"""Ranks lie this many standard errors apart: those of a 95 % interval, as published."""


def quantiles_of(
    connection: "duckdb.DuckDBPyConnection", table: Table, metrics: Sequence[Metric]
) -> dict[str, dict[str, QuantileSums]]:
    """Metric -> variant -> its quantile, for the metrics of kind quantile.

    Raises:
        DataError: If a value is not finite or empty.
    """
    wanted = [metric for metric in metrics if metric.kind == "quantile"]
    if not wanted:
        return {}
    sizes = _sizes(connection, table, wanted)
    plain = _read(connection, table, wanted, {(m.name, v): (n, 1.0) for m in wanted
                                              for v, n in sizes.items()})  # fmt: skip
    if table.cluster is None:
        return {name: {v: it[0] for v, it in found.items()} for name, found in plain.items()}
    clusters = _clusters(connection, table, wanted, plain)
    effects = {
        (metric.name, variant): (
            sizes[variant],
            design_effect(clusters[metric.name][variant], q=_q(metric)),
        )
        for metric in wanted
        for variant in sizes
    }
    wide = _read(connection, table, wanted, effects)
    return {
        metric.name: {
            variant: _with_clusters(found, deff, clusters[metric.name][variant].n)
            for variant, (found, deff) in wide[metric.name].items()
        }
        for metric in wanted
    }


def _q(metric: Metric) -> float:
    assert metric.q is not None
    return metric.q


def _sizes(
    connection: "duckdb.DuckDBPyConnection", table: Table, wanted: Sequence[Metric]
) -> dict[str, int]:
    columns = [table.columns[metric.sources[0]] for metric in wanted]
    checks = "".join(f", count_if({c} IS NULL OR NOT isfinite({c}))" for c in columns)
    sizes: dict[str, int] = {}
    for variant, n, *bad in connection.execute(
        f"SELECT CAST({table.variant} AS VARCHAR), count(*){checks} FROM {table.sql} GROUP BY 1"
    ).fetchall():
        sizes[variant] = n
        for metric, n_bad in zip(wanted, bad, strict=True):
            if n_bad:
                raise DataError(
                    f"column {metric.sources[0]!r} is empty or not finite for {n_bad:,} units;"
                    f" metric {metric.name!r} cannot leave them out"
                )
    return sizes


def _read(
    connection: "duckdb.DuckDBPyConnection",
    table: Table,
    wanted: Sequence[Metric],
    sizes: Mapping[tuple[str, str], tuple[int, float]],
) -> dict[str, dict[str, tuple[QuantileSums, float]]]:
    """The quantile and its neighbours, given each variant's size and design effect."""
    places = {
        (name, variant): ranks(n, q=_q(metric), z=Z, deff=deff)
        for (name, variant), (n, deff) in sizes.items()
        for metric in wanted
        if metric.name == name
    }
    lists: dict[str, list[str]] = {}
    starts: dict[tuple[str, str], int] = {}
    for (name, variant), place in places.items():
        shares = lists.setdefault(name, [])
        starts[name, variant] = len(shares)
        n = sizes[name, variant][0]
        # The first value whose share of the units reaches (rank - 1/2) / n is the one at the rank.
        for rank in (place.below, place.above, place.lower, place.upper):
            shares.append(number((rank - 0.5) / n))
    chosen = ", ".join(
        f"quantile_disc({table.columns[metric.sources[0]]}, [{', '.join(lists[metric.name])}])"
        for metric in wanted
    )
    rows = connection.execute(
        f"SELECT CAST(variant AS VARCHAR), values FROM (SELECT {table.variant} AS variant,"
        f" [{chosen}] AS values FROM {table.sql} GROUP BY 1)"
    ).fetchall()
    found: dict[str, dict[str, tuple[QuantileSums, float]]] = {m.name: {} for m in wanted}
    for variant, values in rows:
        for metric, numbers in zip(wanted, values, strict=True):
            key = (metric.name, variant)
            n, deff = sizes[key]
            four = numbers[starts[key] : starts[key] + 4]
            found[metric.name][variant] = _sums(metric, n, places[key], four, deff), deff
    return found


def _sums(metric: Metric, n: int, place: Ranks, values: Sequence[Any], deff: float) -> QuantileSums:
    below, above, lower, upper = map(float, values)
    return QuantileSums(
        n=n,
        q=_q(metric),
        value=below + (above - below) * place.weight,
        lower=lower,
        upper=upper,
        rank_lower=place.lower,
        rank_upper=place.upper,
        z=Z,
        deff=deff,
        is_cut=place.is_cut,
    )


def _with_clusters(found: QuantileSums, deff: float, n_clusters: int) -> QuantileSums:
    from dataclasses import replace

    return replace(found, deff=deff, n_clusters=n_clusters)


def _clusters(
    connection: "duckdb.DuckDBPyConnection",
    table: Table,
    wanted: Sequence[Metric],
    plain: Mapping[str, Mapping[str, tuple[QuantileSums, float]]],
) -> dict[str, dict[str, Aggregates]]:
    """Per variant, moments of the clusters' sizes and of how many units lie at or below."""
    inner = ""
    for i, metric in enumerate(wanted):
        cases = " ".join(
            f"WHEN CAST({table.variant} AS VARCHAR) = {literal(variant)}"
            f" THEN {table.columns[metric.sources[0]]} <= {number(found.value)}"
            for variant, (found, _) in plain[metric.name].items()
        )
        inner += f", CAST(count_if(CASE {cases} END) AS DOUBLE) AS b{i}"
    outer = "".join(
        f", avg(b{i}), avg(size), count(*) * var_pop(b{i}), count(*) * covar_pop(b{i}, size),"
        " count(*) * var_pop(size)"
        for i in range(len(wanted))
    )
    rows = connection.execute(
        f"SELECT CAST(variant AS VARCHAR), count(*){outer} FROM (SELECT {table.variant} AS variant,"
        f" {table.cluster} AS cluster, CAST(count(*) AS DOUBLE) AS size{inner}"
        f" FROM {table.sql} GROUP BY 1, 2) GROUP BY 1"
    ).fetchall()
    found: dict[str, dict[str, Aggregates]] = {metric.name: {} for metric in wanted}
    for variant, n, *values in rows:
        for i, metric in enumerate(wanted):
            below, size, own, both, sizes = values[5 * i : 5 * i + 5]
            found[metric.name][variant] = Aggregates(
                n, (AT_OR_BELOW, CLUSTER_UNITS), (below, size), ((own, both), (both, sizes))
            )
    return found
