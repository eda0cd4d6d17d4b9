"""Several rows of a unit into one: repeats counted once or added up, never silently either.

A unit in two variants belongs to neither: it is left out, counted in all, and counted per variant,
because leaving out hits a small variant harder than a large one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from engine.core.errors import UsageError
from engine.readout.datafile_layout import UnitRows
from experiments.metrics import Metric
from experiments.reporting.words import percent
from experiments.sums.unit_sums import Excluded


@dataclass(frozen=True)
class Rolled:
    """A table with a row per unit, and what had to be left out."""

    sql: str
    notes: tuple[str, ...] = ()
    excluded: tuple[Excluded, ...] = ()


def roll_up(
    connection: duckdb.DuckDBPyConnection,
    *,
    path: Path,
    columns: Sequence[str],
    metrics: Sequence[Metric],
    keys: Mapping[str, str],
    unit: str,
    unit_rows: UnitRows,
    condition: str,
) -> Rolled:
    """Make the table `units` of `taken` (variant, unit, v0, v1, …) in one grouping.

    Args:
        keys: Columns of `taken` that must agree within a unit -> their names in the file.
        condition: Which rows count; empty for all.
    Raises:
        UsageError: If rows of a unit contradict each other.
    """
    chosen, must_agree = _chosen(path, columns, metrics, unit_rows)
    must_agree |= keys
    chosen |= {key: f"min({key})" for key in keys}
    agree = "".join(
        f", (min({key}) IS DISTINCT FROM max({key}) OR count({key}) NOT IN (0, count(*))) AS"
        f" differs_{key}"
        for key in must_agree
    )
    values = "".join(f", {sql} AS {name}" for name, sql in chosen.items())
    where = f"WHERE {condition}" if condition else ""
    connection.execute(
        "CREATE TEMP TABLE grouped AS SELECT unit, min(variant) AS variant, max(variant) AS last,"
        f" count(*) AS n_rows{values}{agree} FROM taken {where} GROUP BY unit"
    )
    one = "unit IS NOT NULL AND trim(CAST(unit AS VARCHAR)) <> ''"
    n_units, n_rows, n_mixed, nameless = _row(
        connection,
        f"SELECT count_if({one}), coalesce(sum(n_rows) FILTER (WHERE {one} AND variant = last), 0),"
        f" count_if({one} AND variant <> last),"
        f" coalesce(sum(n_rows) FILTER (WHERE NOT coalesce({one}, false)), 0) FROM grouped",
    )
    notes: list[str] = []
    excluded: list[Excluded] = []
    if nameless:
        notes.append(f'{nameless:,} rows have no "{unit}" and were left out')
        excluded.append(
            Excluded(f'have no "{unit}"', "rows", int(nameless), int(n_rows + nameless))
        )
    if n_mixed:
        by_variant = _mixed_by_variant(connection)
        shares = ", ".join(f"{name} {n:,}" for name, n in by_variant.items())
        notes.append(
            f"{n_mixed:,} of {n_units:,} units ({percent(n_mixed / n_units)}) appear in more than"
            " one variant and were left out; find out why before trusting the result"
            f" (seen in {shares}; if the variants are of unequal size, leaving out biases them)"
        )
        excluded.append(
            Excluded("appear in more than one variant", "units", n_mixed, n_units, by_variant)
        )
    repeated = int(n_rows) - (n_units - n_mixed)
    if repeated:
        outcomes = {column for metric in metrics for column in metric.sources}
        _refuse_different(connection, path, must_agree, outcomes, unit=unit, one=one)
        notes.append(
            f"{repeated:,} further rows of units already seen "
            + ("were counted once (proportions by maximum: it happened or it did not)"
               if unit_rows == "once" else
               "were rolled up into their unit (proportions by maximum, others by sum)")
        )  # fmt: skip
    return Rolled(f"(FROM grouped WHERE variant = last AND {one})", tuple(notes), tuple(excluded))


def _chosen(
    path: Path, columns: Sequence[str], metrics: Sequence[Metric], unit_rows: UnitRows
) -> tuple[dict[str, str], dict[str, str]]:
    """How each column is rolled up, and which must be the same in all rows of a unit."""
    chosen: dict[str, str] = {}
    must_agree: dict[str, str] = {}
    for place, column in enumerate(columns):
        name = f"v{place}"
        kinds = {metric.kind for metric in metrics if column in metric.sources}
        if not kinds or (unit_rows == "once" and kinds != {"proportion"}):
            # The greatest, among which NaN is the greatest of all: what is no number stays seen.
            chosen[name] = f"max({name})"
            must_agree[name] = column
            continue
        if "proportion" in kinds and len(kinds) > 1:
            raise UsageError(
                f'{path}: column "{column}" is used as a proportion and as a sum, which differ'
                " where a unit has several rows; make one row a unit, or two columns"
            )
        rolled = "max" if "proportion" in kinds else "sum"
        # An empty cell among a unit's rows must not vanish in its sum.
        chosen[name] = f"CASE WHEN count({name}) = count(*) THEN {rolled}({name}) END"
    return chosen, must_agree


def _mixed_by_variant(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    rows = connection.execute(
        "SELECT CAST(variant AS VARCHAR), count(DISTINCT unit) FROM taken WHERE unit IN"
        " (SELECT unit FROM grouped WHERE variant <> last) GROUP BY 1 ORDER BY 1"
    ).fetchall()
    return dict(rows)


def _refuse_different(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    must_agree: Mapping[str, str],
    outcomes: set[str],
    *,
    unit: str,
    one: str,
) -> None:
    for key, name in must_agree.items():
        n, first = _row(
            connection,
            f"SELECT count(*), min(CAST(unit AS VARCHAR)) FROM grouped WHERE differs_{key}"
            f" AND variant = last AND {one}",
        )
        if not n:
            continue
        is_outcome = name in outcomes
        what = "column" if is_outcome else "covariate" if key.startswith("v") else "key"
        more = f" (and of {n - 1:,} others)" if n > 1 else ""
        raise UsageError(
            f'{path}: {what} "{name}" changes between the rows of {unit} "{first}"{more}; '
            + (
                "a unit has one row. If its rows are to be added up, say --unit-rows sum"
                if is_outcome
                else "it is one value, measured before the experiment"
            )
        )


def _row(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    (row,) = connection.execute(sql).fetchall()
    return tuple(row)
