"""A data file (CSV, JSON lines, Parquet) read by DuckDB into sums, without loading its rows.

The file is checked as strictly as a campaign: what is not understood is refused with its row and
column, never guessed. Parquet is summed where it lies, in one scan of the columns in question; a
text file is parsed once. Read next: `datafile_format` for how each format is opened,
`datafile_units` for rows into units, `datafile_faults` for what is wrong with a row.
"""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import duckdb

from engine.core.errors import UsageError
from engine.readout.datafile_faults import Faults
from engine.readout.datafile_format import Source, explained, open_source, quoted
from engine.readout.datafile_layout import Layout
from engine.readout.datafile_predicting import predicted_metrics, with_predictions
from engine.readout.datafile_repair import repair
from engine.readout.datafile_rows import rows_of_units
from engine.readout.datafile_timing import crossovers, refuse_late_covariates
from engine.readout.datafile_units import Rolled, roll_up
from experiments.errors import DataError
from experiments.metrics import Metric
from experiments.sums.duckdb_statement import Table
from experiments.sums.duckdb_sums import BrokenRows, sum_units
from experiments.sums.unit_sums import Excluded, UnitRows, UnitSums

VARIANTS_MAX: Final = 50
"""More distinct values than this are an id or a number, not a variant."""
LEVELS_MAX: Final = 100
"""The same for a stratum and a dimension."""
FIRST_ROWS: Final = 100_000
"""Looked at before anything heavy, so that an id in a variant's place is refused at once."""
MEMORY_MAX: Final = "700MB"
"""For DuckDB; larger data spills to the disk."""


def sum_datafile(
    path: Path, *, layout: Layout, metrics: Sequence[Metric], mend: bool = False
) -> UnitSums:
    """Sums of a file's units per variant, and all else that its layout asks for.

    Args:
        mend: Read a damaged text file as far as it can be, and say what was left out.
    Raises:
        UsageError: Naming file, row or column, what was found and what is allowed.
    """
    with TemporaryDirectory(prefix="antiphon-") as spill:
        # Extensions are never fetched from the network.
        connection = duckdb.connect(
            config={
                "temp_directory": spill,
                "memory_limit": MEMORY_MAX,
                "autoinstall_known_extensions": False,
            }
        )
        try:
            if not mend:
                return _Reading(connection, open_source(connection, path), metrics, layout).sums()
            mended = repair(path, folder=Path(spill))
            source = replace(open_source(connection, mended.path), path=path)
            found = _Reading(connection, source, metrics, layout).sums()
            lines = Excluded(
                "have other fields than the header", "rows", mended.n_left_out, mended.n_lines
            )
            excluded = (lines, *found.excluded) if mended.n_left_out else found.excluded
            return replace(found, notes=(*mended.notes, *found.notes), excluded=excluded)
        except duckdb.Error as error:
            raise UsageError(explained(path, error)) from error
        except DataError as error:
            raise UsageError(f"{path}: {error}") from error
        finally:
            connection.close()


class _Reading:
    """One pass through one file: `taken` (typed) -> units -> sums."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: Source,
        metrics: Sequence[Metric],
        layout: Layout,
    ) -> None:
        self.connection, self.source, self.metrics = connection, source, metrics
        self.layout = layout
        named = [name for it in metrics for name in (*it.sources, *it.covariates)]
        self.columns = list(dict.fromkeys(named))
        self.faults = Faults(connection, source, self.columns, layout.variant, layout.unit)
        self.notes: list[str] = []
        self.excluded: list[Excluded] = []

    def sums(self) -> UnitSums:
        for column in (*self.layout.columns, *self.columns):
            self._must_exist(column)
        self._refuse_ids()
        self._take()
        refuse_late_covariates(self.connection, self.source.path, self.layout, self.columns)
        rolled = self._units()
        self.notes += crossovers(self.connection, self.layout)
        self._refuse_split_clusters(rolled)
        nulls = self._nulls(rolled)
        outcomes = {name: it for it in self.metrics for name in it.sources}
        for column, n in nulls.items():
            if n and column in outcomes:
                self.faults.refuse_empty(outcomes[column], column, n)
        gaps = {column: n for column, n in nulls.items() if column not in outcomes}
        try:
            found = self._summed(rolled, gaps)
        except BrokenRows as error:
            self.faults.refuse(error, self.metrics)
            raise
        return replace(
            found,
            notes=(*self.notes, *found.notes),
            excluded=(*self.excluded, *found.excluded),
            rows=self._rows(rolled),
        )

    def _summed(self, rolled: Rolled, gaps: dict[str, int]) -> UnitSums:
        table = self._table(rolled)
        if not self.layout.predicting:
            return sum_units(self.connection, table, self.metrics, gaps=gaps)
        made = with_predictions(
            self.connection,
            rolled.sql,
            metrics=self.metrics,
            columns=table.columns,
            features=self.layout.predicting,
        )
        table = replace(table, sql="predicted", columns={**table.columns, **made})
        return sum_units(self.connection, table, predicted_metrics(self.metrics), gaps=gaps)

    def _rows(self, rolled: Rolled) -> UnitRows | None:
        if not self.layout.explored:
            return None
        return rows_of_units(
            self.connection, rolled.sql, columns=self.columns, explored=self.layout.explored
        )

    def _must_exist(self, column: str) -> None:
        names = list(self.source.types)
        if column not in names:
            near = get_close_matches(column, names, n=1, cutoff=0.5)
            hint = f' Did you mean "{near[0]}"?' if near else ""
            raise UsageError(
                f'{self.source.path}: there is no column "{column}"; columns are'
                f" {', '.join(names[:30])}{' …' if len(names) > 30 else ''}.{hint}"
            )

    # --- what is there ---

    def _refuse_ids(self) -> None:
        """A variant, stratum or dimension has few values; the first rows mostly give it away."""
        for column, most in self._few():
            (n,) = self._row(
                f"SELECT count(DISTINCT {quoted(column)}) FROM (SELECT {quoted(column)}"
                f" FROM {self.source.sql} LIMIT {FIRST_ROWS})"
            )
            self._refuse_many(column, n, most)

    def _few(self) -> list[tuple[str, int]]:
        levels = [self.layout.stratum, *self.layout.dimensions]
        return [
            (self.layout.variant, VARIANTS_MAX),
            *((name, LEVELS_MAX) for name in levels if name is not None),
        ]

    def _refuse_many(self, column: str, n: int, most: int) -> None:
        if n > most:
            what = "the variant" if column == self.layout.variant else "a stratum or dimension"
            raise UsageError(
                f'{self.source.path}: column "{column}" has more than {most} distinct values; is'
                f" it {what} column?"
            )

    def _take(self) -> None:
        """Only the columns in question: typed, a text that is no number as NaN."""
        layout = self.layout
        chosen = [f"{self._key(layout.variant)} AS variant"]
        if layout.unit:
            chosen.append(f"{self._key(layout.unit)} AS unit")
        if layout.cluster:
            chosen.append(f"{self._text(layout.cluster)} AS cluster")
        if layout.stratum:
            chosen.append(f"{self._text(layout.stratum)} AS stratum")
        chosen += [f"{self._text(name)} AS d{i}" for i, name in enumerate(layout.dimensions)]
        chosen += [f"{self._text(name)} AS x{i}" for i, name in enumerate(layout.explored)]
        chosen += [f"{self._text(name)} AS f{i}" for i, name in enumerate(layout.predicting)]
        if layout.received:
            chosen.append(f"{self._text(layout.received)} AS received")
        if layout.exposed_at:
            chosen.append(f"{self._instant(layout.exposed_at)} AS exposed_at")
        chosen += [
            f"{self._instant(name)} AS m{i}" for i, name in enumerate(layout.measured_at.values())
        ]
        for place, column in enumerate(self.columns):
            value = self.faults.number(column)
            filled = f"coalesce({value}, 0)" if column in layout.zero_filled else value
            chosen.append(f"{filled} AS v{place}")
        kind = "VIEW" if self.source.is_columnar else "TABLE"
        self._run(f"CREATE TEMP {kind} taken AS SELECT {', '.join(chosen)} FROM {self.source.sql}")

    def _key(self, column: str) -> str:
        """As it is where it is no text: an integer is grouped by faster."""
        is_text = self.source.types[column] in ("VARCHAR", "JSON")
        if is_text and not self.source.is_columnar:
            return self._text(column)
        return quoted(column)

    def _text(self, column: str) -> str:
        return f"nullif(trim(CAST({quoted(column)} AS VARCHAR)), '')"

    def _instant(self, column: str) -> str:
        kind = self.source.types[column]
        if kind in ("VARCHAR", "JSON"):
            return f"CAST({self._text(column)} AS TIMESTAMPTZ)"
        return f"CAST({quoted(column)} AS {'TIMESTAMPTZ' if 'TIME' in kind else kind})"

    # --- rows into units ---

    def _units(self) -> Rolled:
        rows = self.connection.execute(
            f"SELECT CAST(variant AS VARCHAR), count(*) FROM taken GROUP BY 1 LIMIT {FIRST_ROWS}"
        ).fetchall()
        if not rows:
            raise UsageError(f"{self.source.path}: the file has a header but no row")
        n_rows = sum(n for _, n in rows)
        nameless = sum(n for name, n in rows if not (name or "").strip())
        named = {(name or "").strip() for name, _ in rows} - {""}
        self._refuse_many(self.layout.variant, len(named), VARIANTS_MAX)
        for column, most in self._few()[1:]:
            (n,) = self._row(
                f"SELECT approx_count_distinct({quoted(column)}) FROM {self.source.sql}"
            )
            # The count is good to a few percent; the first rows were counted exactly.
            self._refuse_many(column, n, 2 * most)
        condition = ""
        if nameless:
            condition = "nullif(trim(CAST(variant AS VARCHAR)), '') IS NOT NULL"
            self._exclude("rows", f'have no "{self.layout.variant}"', nameless, n_rows)
        if self.layout.unit is None:
            return Rolled(f"(FROM taken WHERE {condition})" if condition else "taken")
        rolled = roll_up(
            self.connection,
            path=self.source.path,
            columns=self.columns,
            metrics=self.metrics,
            keys=self._carried(),
            unit=self.layout.unit,
            unit_rows=self.layout.unit_rows,
            condition=condition,
        )
        self.notes += rolled.notes
        self.excluded += rolled.excluded
        return rolled

    def _carried(self) -> dict[str, str]:
        """What a unit brings along beside its values: column of `taken` -> its name."""
        carried = {f"d{i}": name for i, name in enumerate(self.layout.dimensions)}
        carried |= {f"x{i}": name for i, name in enumerate(self.layout.explored)}
        carried |= {f"f{i}": name for i, name in enumerate(self.layout.predicting)}
        if self.layout.stratum:
            carried["stratum"] = self.layout.stratum
        if self.layout.cluster:
            carried["cluster"] = self.layout.cluster
        return carried

    def _refuse_split_clusters(self, rolled: Rolled) -> None:
        """What was randomized lies in one variant; a cluster in two was not what was."""
        if not self.layout.cluster:
            return
        n, n_split = self._row(
            "SELECT count(*), count_if(n > 1) FROM (SELECT cluster, count(DISTINCT"
            f" trim(CAST(variant AS VARCHAR))) AS n FROM {rolled.sql}"
            " WHERE cluster IS NOT NULL GROUP BY cluster)"
        )
        if n_split:
            raise UsageError(
                f'{self.source.path}: {n_split:,} of {n:,} clusters of "{self.layout.cluster}" are'
                " in more than one variant: what was randomised? Name the column that was, or"
                " leave out --cluster where it was each unit by itself"
            )

    def _exclude(self, what: str, why: str, n: int, of: int) -> None:
        self.notes.append(f"{n:,} {what} {why} and were left out")
        self.excluded.append(Excluded(why=why, what=what, n=n, of=of))

    def _nulls(self, rolled: Rolled) -> dict[str, int]:
        """How many units have no value, per column; a Parquet file mostly says so itself."""
        if rolled.sql == "taken" and self.source.is_columnar and self._has_no_null():
            return {}
        counts = ", ".join(f"count(*) - count(v{i})" for i in range(len(self.columns)))
        return dict(zip(self.columns, self._row(f"SELECT {counts} FROM {rolled.sql}"), strict=True))

    def _has_no_null(self) -> bool:
        names = ", ".join("?" for _ in self.columns)
        found = self.connection.execute(
            "SELECT count(DISTINCT path_in_schema), sum(stats_null_count), count(stats_null_count)"
            f" = count(*) FROM parquet_metadata(?) WHERE path_in_schema IN ({names})",
            [str(self.source.path), *self.columns],
        ).fetchall()
        n_columns, n_nulls, is_known = found[0]
        return bool(n_columns == len(self.columns) and is_known and n_nulls == 0)

    def _table(self, rolled: Rolled) -> Table:
        place = {column: f"v{i}" for i, column in enumerate(self.columns)}
        return Table(
            sql=rolled.sql,
            variant="variant",
            columns=place,
            stratum="stratum" if self.layout.stratum else None,
            dimensions={name: f"d{i}" for i, name in enumerate(self.layout.dimensions)},
            cluster="cluster" if self.layout.cluster else None,
            checks=self.faults.checks(self.metrics, place),
        )

    def _run(self, sql: str) -> None:
        self.connection.execute(sql)

    def _row(self, sql: str) -> tuple[Any, ...]:
        (row,) = self.connection.execute(sql).fetchall()
        return tuple(row)
