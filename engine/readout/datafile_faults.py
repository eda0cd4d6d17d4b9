"""What is wrong with a file's values, said with the row it is in.

The sums themselves notice that something is wrong, for free: a value that is no number makes its
sum none, and each metric's rule is counted beside it. Only then is the file read again, to say
where.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import duckdb

from engine.core.errors import UsageError
from engine.readout.datafile_format import Source, quoted
from experiments.metrics import Metric
from experiments.sums.duckdb_sums import BrokenRows

_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_NUMERIC = frozenset({*_WHOLE, *(f"U{kind}" for kind in _WHOLE), "FLOAT", "DOUBLE"})
_RULES = {
    "proportion": ("{v} <> 0 AND {v} <> 1", "is a proportion: 0 or 1. Use kind=mean"),
    "count": ("{v} < 0 OR {v} <> floor({v})", "is a count: a whole number from 0 on."
              " Use kind=mean"),
    "negative": ("{v} < 0", "refuses values below 0 (money that was paid); put what was paid back"
                 " in a column of its own, or allow it by negative=allow"),
}  # fmt: skip


class Faults:
    """Finds the row behind what the sums noticed."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: Source,
        columns: Sequence[str],
        variant: str,
        unit: str | None,
    ) -> None:
        self.connection, self.source, self.columns = connection, source, columns
        self.has_units = unit is not None
        self.present = f"nullif(trim(CAST({quoted(variant)} AS VARCHAR)), '') IS NOT NULL"

    def number(self, column: str) -> str:
        """A column as DOUBLE: NULL where it is empty, NaN where it is text that is no number."""
        kind = self.source.types[column]
        name = quoted(column)
        if kind in ("VARCHAR", "JSON"):
            text = f"nullif(trim(CAST({name} AS VARCHAR)), '')"
            return (
                f"CASE WHEN {text} IS NULL THEN NULL ELSE coalesce(TRY_CAST({text} AS DOUBLE),"
                f" CASE lower({text}) WHEN 'true' THEN 1 WHEN 'false' THEN 0 END,"
                " 'nan'::DOUBLE) END"
            )
        if kind == "BOOLEAN":
            return f"CAST(CAST({name} AS INT) AS DOUBLE)"
        if kind not in _NUMERIC:
            raise UsageError(f'{self.source.path}: column "{column}" holds {kind}, not numbers')
        return name if kind == "DOUBLE" else f"CAST({name} AS DOUBLE)"

    def checks(self, metrics: Sequence[Metric], place: Mapping[str, str]) -> dict[str, str]:
        """Name -> condition that no row may meet."""
        found = {}
        for metric in metrics:
            for rule in (metric.kind, "negative" if metric.negative == "refuse" else ""):
                for column in metric.sources if rule in _RULES else ():
                    condition = _RULES[rule][0].format(v=place[column])
                    found[f"{rule} {metric.name} {column}"] = condition
        return found

    def refuse(self, error: BrokenRows, metrics: Sequence[Metric]) -> None:
        """Say which row; returns only if none is found, as where a sum of large values overflowed.

        Raises:
            UsageError: Naming row, column, what was found and what is allowed.
        """
        for column in error.not_finite:
            self._refuse_not_finite(column)
        for metric in metrics:
            for rule, (condition, allowed) in _RULES.items():
                for column in metric.sources:
                    if f"{rule} {metric.name} {column}" in error.broken:
                        self._refuse_rule(metric, column, condition, allowed)

    def refuse_empty(self, metric: Metric, column: str, n: int) -> NoReturn:
        """An outcome that is not there."""
        value = self.number(column)
        (row,) = self._first(f"{value} IS NULL", "row")[:1]
        raise UsageError(
            f'{self.source.path}: column "{column}" is empty in {n:,} units (first in row {row:,});'
            f" leaving them out would bias metric {metric.name!r}. Fill them, or say missing=zero"
            " in the metric if empty means 0"
        )

    def _refuse_not_finite(self, column: str) -> None:
        found = self._first(f"NOT isfinite({self.number(column)})", quoted(column))
        if found:
            row, text, n = found
            more = f" ({n:,} rows are like this)" if n > 1 else ""
            raise UsageError(
                f'{self.source.path}: row {row:,}, column "{column}" holds "{str(text)[:60]}",'
                f" which is not a finite number{more}"
            )

    def _refuse_rule(self, metric: Metric, column: str, condition: str, allowed: str) -> None:
        value = self.number(column)
        # NaN is greater than everything, and breaks rules too: it has a message of its own.
        self._refuse_not_finite(column)
        found = self._first(condition.format(v=f"({value})"), value)
        if not found and self.has_units:
            raise UsageError(
                f'{self.source.path}: the rows of a unit add up to a value of "{column}" that'
                f" {metric.name!r} refuses: it {allowed}"
            )
        row, number, n = found
        more = f" ({n:,} rows are like this)" if n > 1 else ""
        raise UsageError(
            f'{self.source.path}: row {row:,}, column "{column}" holds {number:g}, but'
            f" {metric.name!r} {allowed}{more}"
        )

    def _first(self, condition: str, shown: str) -> tuple[Any, ...]:
        """Row number, what it holds, and how many are like it."""
        rows = self.connection.execute(
            f"SELECT row, shown, count(*) OVER () FROM (SELECT *, {shown} AS shown FROM (SELECT *,"
            f" row_number() OVER () AS row FROM {self.source.sql})"
            f" WHERE {self.present} AND ({condition})) ORDER BY row LIMIT 1"
        ).fetchall()
        return rows[0] if rows else ()
