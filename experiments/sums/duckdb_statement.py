"""The one statement that DuckDB answers with all sums of a table of units.

Sums are taken around a shift per column, close to its mean, so that an offset (milliseconds since
1970) costs no digits. Where the shift turns out to be far off for some variant or level, the same
statement is asked again with a shift per variant and Welford's recurrence in place of the products
(`stable`): slower, and right for any data. Read next: `duckdb_sums`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from experiments.sums.needs import Needs


@dataclass(frozen=True)
class Table:
    """A table of units in DuckDB, one row each; everything is SQL text.

    Attributes:
        sql: What to select from; rows without a variant are not in it.
        variant: The expression to group by; its text is the variant's name.
        columns: Column of the data -> expression, a DOUBLE, NULL where it is empty.
        stratum, dimensions, cluster: Expressions of text, NULL where empty.
        checks: Name -> condition that must hold for no row; the sums say how many rows break it.
    """

    sql: str
    variant: str
    columns: Mapping[str, str]
    stratum: str | None = None
    dimensions: Mapping[str, str] = field(default_factory=dict)
    cluster: str | None = None
    checks: Mapping[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """Expressions of what units are grouped by beside the variant."""
        return (*([self.stratum] if self.stratum else []), *self.dimensions.values())


@dataclass(frozen=True)
class Shifts:
    """What is subtracted from each column of the aggregates before it is summed.

    Attributes:
        common: One number a column.
        by_variant: Variant, as the table has it -> the same, where one number is not good enough.
    """

    common: tuple[float, ...]
    by_variant: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def of(self, variant: str) -> tuple[float, ...]:
        """A variant's shifts."""
        return self.by_variant.get(variant, self.common)


def sums_statement(
    table: Table,
    needs: Needs,
    *,
    shifts: Shifts,
    limits: Mapping[str, float],
    stable: bool = False,
) -> str:
    """One scan: per variant, or per variant and level of each key, the count and all sums.

    Returns:
        SQL whose rows are: which key grouped (0 for none, i + 1 for the i-th), the variant, the
        level, n, a count per check, a count above per cap, a sum per column, one per pair.
    """
    inner = [f"{table.variant} AS variant"]
    inner += [f"{key} AS k{i}" for i, key in enumerate(table.keys)]
    inner += [f"({condition}) AS c{i}" for i, condition in enumerate(table.checks.values())]
    inner += [
        f"({table.columns[cap.source]} > {number(limits[cap.column])}) AS a{i}"
        for i, cap in enumerate(needs.caps)
        if cap.column in limits
    ]
    inner += [
        f"{term} AS x{i}"
        for i, term in enumerate(terms(table, needs, shifts=shifts, limits=limits))
    ]
    above = [f"count_if(a{i})" if cap.column in limits else "0" for i, cap in enumerate(needs.caps)]
    sums = [f"count_if(c{i})" for i in range(len(table.checks))]
    sums += above
    if stable:
        sums += [f"fsum(x{i})" for i in range(len(needs.columns))]
        sums += [
            f"count(*) * var_pop(x{i})" if i == j else f"count(*) * covar_pop(x{i}, x{j})"
            for i, j in needs.pairs
        ]
    else:
        sums += [f"sum(x{i})" for i in range(len(needs.columns))]
        sums += [f"sum(x{i} * x{j})" for i, j in needs.pairs]
    named = "".join(f", {what} AS s{i}" for i, what in enumerate(sums))
    outer = "".join(f", s{i}" for i in range(len(sums)))
    source = f"(SELECT {', '.join(inner)} FROM {table.sql})"
    if not table.keys:
        return (
            f"SELECT 0, CAST(variant AS VARCHAR), NULL, n{outer} FROM (SELECT variant,"
            f" count(*) AS n{named} FROM {source} GROUP BY variant)"
        )
    sets = ", ".join(f"(variant, k{i})" for i in range(len(table.keys)))
    which = " ".join(f"WHEN grouping(k{i}) = 0 THEN {i + 1}" for i in range(len(table.keys)))
    level = " ".join(f"WHEN {i + 1} THEN k{i}" for i in range(len(table.keys)))
    keys = ", ".join(f"k{i}" for i in range(len(table.keys)))
    return (
        f"SELECT which, CAST(variant AS VARCHAR), CASE which {level} END, n{outer} FROM"
        f" (SELECT variant, {keys}, CASE {which} END AS which, count(*) AS n{named}"
        f" FROM {source} GROUP BY GROUPING SETS ({sets}))"
    )


def clusters_statement(
    table: Table, needs: Needs, *, limits: Mapping[str, float], means: Mapping[str, float]
) -> str:
    """Per variant the number of clusters, and mean and moments of their sums and sizes.

    Args:
        means: What stands in for an empty covariate.
    Returns:
        SQL whose rows are: the variant, how many clusters, a mean per column and one of the sizes,
        a moment per pair, one of each column with the size, one of the size with itself.
    """
    size = len(needs.columns)
    pairs = [*needs.pairs, *((i, size) for i in range(size)), (size, size)]
    means_sql = [f"favg(x{i})" for i in range(size + 1)]
    moments = [
        f"count(*) * var_pop(x{i})" if i == j else f"count(*) * covar_pop(x{i}, x{j})"
        for i, j in pairs
    ]
    each = cluster_rows_statement(table, needs, limits=limits, means=means)
    return (
        f"SELECT CAST(variant AS VARCHAR), count(*), {', '.join(means_sql + moments)}"
        f" FROM ({each}) GROUP BY variant"
    )


def cluster_rows_statement(
    table: Table, needs: Needs, *, limits: Mapping[str, float], means: Mapping[str, float]
) -> str:
    """Per cluster of a variant: variant, cluster, a sum per column x0, x1, … and at last its size.

    Args:
        means: What stands in for an empty covariate.
    """
    size = len(needs.columns)
    none = Shifts((0.0,) * size)
    chosen = terms(table, needs, shifts=none, limits=limits, stand_ins=means)
    inner = "".join(f", sum({term}) AS x{i}" for i, term in enumerate(chosen))
    return (
        f"SELECT {table.variant} AS variant, {table.cluster} AS cluster{inner},"
        f" CAST(count(*) AS DOUBLE) AS x{size} FROM {table.sql} GROUP BY 1, 2"
    )


def terms(
    table: Table,
    needs: Needs,
    *,
    shifts: Shifts,
    limits: Mapping[str, float],
    stand_ins: Mapping[str, float] | None = None,
) -> list[str]:
    """An expression per column of the aggregates, less its shift; capped, and filled where empty.

    Without `stand_ins` an empty covariate adds 0; `duckdb_sums` moves it to the pooled mean after.
    """
    found = []
    for place, (column, source) in enumerate(needs.columns.items()):
        term = table.columns[source]
        if column in needs.indicators:
            found.append(f"CAST({term} IS NULL AS DOUBLE)")
            continue
        if column in limits:
            term = f"least({term}, {number(limits[column])})"
        if shifts.by_variant:
            cases = " ".join(
                f"WHEN {literal(variant)} THEN {number(numbers[place])}"
                for variant, numbers in shifts.by_variant.items()
            )
            term = f"({term} - CASE CAST({table.variant} AS VARCHAR) {cases} END)"
        elif shifts.common[place]:
            term = f"({term} - {number(shifts.common[place])})"
        if column in needs.gaps:
            term = f"coalesce({term}, {number((stand_ins or {}).get(column, 0.0))})"
        found.append(term)
    return found


def literal(text: str) -> str:
    """Text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def number(value: float) -> str:
    """A float as SQL that reads back as the same float."""
    return f"{value!r}::DOUBLE"
