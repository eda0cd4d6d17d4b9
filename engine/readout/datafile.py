"""A data file (CSV, JSON lines, Parquet) read by DuckDB into Aggregates, without loading its rows.

The file is checked as strictly as a campaign: what is not understood is refused with its row and
column, never guessed. Read next: `datafile_format` for how each format is opened,
`datafile_sums` for the sums themselves.
"""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import duckdb

from engine.core.errors import UsageError
from engine.readout.datafile_format import Source, explained, open_source, quoted
from engine.readout.datafile_sums import FileSums, sum_units
from experiments.metrics import Metric
from experiments.reporting.words import percent

VARIANTS_MAX = 50
"""More distinct values than this are an id or a number, not a variant."""

Rollup = Literal["max", "sum", "same"]


def sum_datafile(
    path: Path,
    *,
    variant: str,
    metrics: Sequence[Metric],
    unit: str | None = None,
    zero_filled: frozenset[str] = frozenset(),
) -> FileSums:
    """Aggregates of a file's units per variant.

    Args:
        variant: Column that names each unit's variant.
        unit: Column that identifies units; without it every row is one. Several rows of a unit are
            rolled up: a proportion's maximum, a mean's or ratio's sums; covariates must agree.
        zero_filled: Outcome columns in which an empty cell means 0.
    Raises:
        UsageError: Naming file, row or column, what was found and what is allowed.
    """
    with TemporaryDirectory(prefix="antiphon-") as spill:
        # Larger data than memory spills there; extensions are never fetched from the network.
        connection = duckdb.connect(
            config={
                "temp_directory": spill,
                "autoinstall_known_extensions": False,
            }
        )
        try:
            reading = _Reading(connection, open_source(connection, path), metrics, zero_filled)
            return reading.sums(variant=variant, unit=unit)
        except duckdb.Error as error:
            raise UsageError(explained(path, error)) from error
        finally:
            connection.close()


class _Reading:
    """One pass through one file: taken -> checked -> rolled up to table `units` -> summed."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: Source,
        metrics: Sequence[Metric],
        zero_filled: frozenset[str],
    ) -> None:
        self.connection, self.source, self.metrics = connection, source, metrics
        self.zero_filled = zero_filled
        self.notes: list[str] = []
        self.rollups = _rollups(metrics)
        self.columns = list(self.rollups)

    def sums(self, *, variant: str, unit: str | None) -> FileSums:
        for column in (variant, *([unit] if unit else []), *self.columns):
            self._must_exist(column)
        self._take(variant, unit)
        self._refuse_bad_numbers()
        self._leave_out(variant, unit)
        self._roll_up(unit)
        self._refuse_bad_outcomes()
        sums = sum_units(self.connection, self.metrics, self.columns)
        return replace(sums, notes=(*self.notes, *sums.notes))

    def _must_exist(self, column: str) -> None:
        names = list(self.source.types)
        if column not in names:
            near = get_close_matches(column, names, n=1, cutoff=0.5)
            hint = f' Did you mean "{near[0]}"?' if near else ""
            raise UsageError(
                f'{self.source.path}: there is no column "{column}"; columns are'
                f" {', '.join(names[:30])}{' …' if len(names) > 30 else ''}.{hint}"
            )

    def _take(self, variant: str, unit: str | None) -> None:
        """Only the columns in question, text as text beside its number, so errors can quote it."""
        chosen = [
            "row_number() OVER () AS row",
            f"{self._text(variant)} AS variant",
            f"{self._text(unit) if unit else 'NULL'} AS unit",
        ]
        for place, column in enumerate(self.columns):
            kind = self.source.types[column]
            if kind not in _NUMERIC and kind not in ("VARCHAR", "BOOLEAN", "JSON"):
                raise UsageError(f'{self.source.path}: column "{column}" holds {kind}, not numbers')
            chosen.append(f"{_number(quoted(column), kind)} AS v{place}")
            if kind in ("VARCHAR", "JSON"):
                chosen.append(f"{self._text(column)} AS t{place}")
        self._run(f"CREATE TEMP TABLE taken AS SELECT {', '.join(chosen)} FROM {self.source.sql}")
        if not self._value("SELECT count(*) FROM taken"):
            raise UsageError(f"{self.source.path}: the file has a header but no row")

    def _text(self, column: str) -> str:
        return f"nullif(trim(CAST({quoted(column)} AS VARCHAR)), '')"

    def _refuse_bad_numbers(self) -> None:
        for place, column in enumerate(self.columns):
            is_text = self.source.types[column] in ("VARCHAR", "JSON")
            bad = f"NOT isfinite(v{place})"
            if is_text:
                bad += f" OR (v{place} IS NULL AND t{place} IS NOT NULL)"
            shown = f"t{place}" if is_text else f"CAST(v{place} AS VARCHAR)"
            rows = self._rows(
                f"SELECT row, {shown}, count(*) OVER () FROM taken WHERE {bad} ORDER BY row LIMIT 1"
            )
            if rows:
                row, found, n = rows[0]
                more = f" ({n:,} rows are like this)" if n > 1 else ""
                raise UsageError(
                    f'{self.source.path}: row {row:,}, column "{column}" holds'
                    f' "{str(found)[:60]}", which is not a finite number{more}'
                )

    def _leave_out(self, variant: str, unit: str | None) -> None:
        """Drop, and count, the rows that belong to no variant, no unit, or a unit in two."""
        variants = self._rows(
            "SELECT variant, count(*) FROM taken WHERE variant IS NOT NULL GROUP BY 1 ORDER BY 1"
            f" LIMIT {VARIANTS_MAX + 1}"
        )
        if len(variants) > VARIANTS_MAX:
            raise UsageError(
                f'{self.source.path}: column "{variant}" has more than {VARIANTS_MAX} distinct'
                " values; is it the variant column?"
            )
        self._drop("variant IS NULL", f'have no "{variant}"')
        if unit is None:
            return
        self._drop("unit IS NULL", f'have no "{unit}"')
        total = self._value("SELECT count(DISTINCT unit) FROM taken")
        self._run(
            "CREATE TEMP TABLE mixed AS SELECT unit FROM taken"
            " GROUP BY unit HAVING count(DISTINCT variant) > 1"
        )
        if n := self._value("SELECT count(*) FROM mixed"):
            self._run("DELETE FROM taken WHERE unit IN (SELECT unit FROM mixed)")
            self.notes.append(
                f"{n:,} of {total:,} units ({percent(n / total)}) appear in more than one variant"
                " and were left out; find out why before trusting the result"
            )

    def _drop(self, condition: str, why: str) -> None:
        if n := self._value(f"SELECT count(*) FROM taken WHERE {condition}"):
            self._run(f"DELETE FROM taken WHERE {condition}")
            self.notes.append(f"{n:,} rows {why} and were left out")

    def _roll_up(self, unit: str | None) -> None:
        """One row a unit."""
        values = [
            f"coalesce(v{i}, 0)" if column in self.zero_filled else f"v{i}"
            for i, column in enumerate(self.columns)
        ]
        if unit is None:
            chosen = "".join(f", {value} AS v{i}" for i, value in enumerate(values))
            self._run(f"CREATE TEMP TABLE units AS SELECT variant, row{chosen} FROM taken")
            return
        repeated = self._value("SELECT count(*) - count(DISTINCT unit) FROM taken")
        chosen = ""
        for i, (column, value) in enumerate(zip(self.columns, values, strict=True)):
            wishes = self.rollups[column]
            if len(wishes) > 1 and repeated:
                raise UsageError(
                    f'{self.source.path}: column "{column}" is used as a proportion and as a sum,'
                    f" which differ where a unit has several rows ({repeated:,} rows); make one"
                    " row a unit, or two columns"
                )
            if "same" in wishes and repeated:
                self._refuse_changing_covariate(i, column, unit)
            # An empty cell among a unit's rows must not vanish in its sum.
            full = f"CASE WHEN count({value}) = count(*) THEN"
            rolled = "any_value" if "same" in wishes else min(wishes)
            chosen += f", {full if rolled != 'any_value' else ''} {rolled}({value})"
            chosen += f"{' END' if rolled != 'any_value' else ''} AS v{i}"
        self._run(
            f"CREATE TEMP TABLE units AS SELECT any_value(variant) AS variant, min(row) AS row"
            f"{chosen} FROM taken GROUP BY unit"
        )
        if repeated:
            self.notes.append(
                f"{repeated:,} further rows of units already seen were rolled up into their unit"
                " (proportions by maximum, others by sum)"
            )

    def _refuse_changing_covariate(self, place: int, column: str, unit: str) -> None:
        rows = self._rows(
            f"SELECT unit FROM taken GROUP BY unit HAVING min(v{place}) <> max(v{place})"
            " ORDER BY unit LIMIT 1"
        )
        if rows:
            raise UsageError(
                f'{self.source.path}: covariate "{column}" changes between the rows of {unit}'
                f' "{rows[0][0]}"; a covariate is one value, measured before the experiment'
            )

    def _refuse_bad_outcomes(self) -> None:
        for metric in self.metrics:
            for column in metric.sources:
                place = self.columns.index(column)
                rows = self._rows(
                    f"SELECT min(row), count(*) FROM units WHERE v{place} IS NULL"
                    " HAVING count(*) > 0"
                )
                if rows:
                    row, n = rows[0]
                    raise UsageError(
                        f'{self.source.path}: column "{column}" is empty in {n:,} units (first in'
                        f" row {row:,}); leaving them out would bias metric {metric.name!r}. Fill"
                        " them, or say missing=zero in the metric if empty means 0"
                    )
                if metric.kind == "proportion":
                    self._refuse_other_than_0_and_1(metric, column, place)

    def _refuse_other_than_0_and_1(self, metric: Metric, column: str, place: int) -> None:
        rows = self._rows(
            f"SELECT row, v{place} FROM units WHERE v{place} NOT IN (0, 1) ORDER BY row LIMIT 1"
        )
        if rows:
            row, found = rows[0]
            raise UsageError(
                f'{self.source.path}: row {row:,}, column "{column}" holds {found:g}, but'
                f" {metric.name!r} is a proportion: 0 or 1. Use kind=mean"
            )

    def _run(self, sql: str) -> None:
        self.connection.execute(sql)

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self.connection.execute(sql).fetchall())

    def _value(self, sql: str) -> Any:
        return self._rows(sql)[0][0]


_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_NUMERIC = frozenset({*_WHOLE, *(f"U{kind}" for kind in _WHOLE), "FLOAT", "DOUBLE"})


def _number(column: str, kind: str) -> str:
    if kind in ("VARCHAR", "JSON"):
        text = f"trim(CAST({column} AS VARCHAR))"
        return (
            f"CASE lower({text}) WHEN 'true' THEN 1 WHEN 'false' THEN 0"
            f" ELSE TRY_CAST({text} AS DOUBLE) END"
        )
    whole = f"CAST({column} AS INT)" if kind == "BOOLEAN" else column
    return f"CAST({whole} AS DOUBLE)"


def _rollups(metrics: Sequence[Metric]) -> dict[str, set[Rollup]]:
    """How several rows of a unit become one, per source column."""
    wishes: dict[str, set[Rollup]] = {}
    for metric in metrics:
        for source in metric.sources:
            rollup: Rollup = "max" if metric.kind == "proportion" else "sum"
            wishes.setdefault(source, set()).add(rollup)
        for covariate in metric.covariates:
            wishes.setdefault(covariate, set()).add("same")
    return wishes
