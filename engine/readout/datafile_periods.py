"""A file of a switchback: rows in time into periods, each with its outcome and its treatment."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import duckdb

from engine.core.errors import UsageError
from engine.readout.datafile_format import Source, explained, open_source, quoted
from experiments.metrics import Metric

PERIODS_MAX: Final = 100_000


@dataclass(frozen=True)
class Periods:
    """One entry a period, in time: the mean outcome per metric, 1 where treated, rows.

    `late` has the rows of each period after the last that is read.
    """

    outcomes: dict[str, list[float]]
    treated: list[int]
    n_rows: list[int]
    late: dict[int, int] = field(default_factory=dict)


def read_periods(
    path: Path,
    *,
    time: str,
    seconds: int,
    variant: str,
    control: str,
    metrics: list[Metric],
    region: str | None = None,
    first: int | None = None,
    n_max: int | None = None,
) -> dict[str, Periods]:
    """Rows by region and period.

    Args:
        region: Column of what has coins of its own; None for one market, whose name is "".
        n_max: How many periods are read; None for all. Later rows are counted, whatever they hold.
        first: Second since 1970 in the first period; None for that of the earliest row.
    Raises:
        UsageError: Naming column and period, where a cell is empty, a period has no row or both
            treatments, or there are more than two variants.
    """
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as lake:
        try:
            source = open_source(lake, path)
            named = [time, variant, *(it.sources[0] for it in metrics)]
            _require(source, path, [*named, *filter(None, [region])])
            rows = lake.execute(
                _statement(source, time, seconds, variant, metrics, region, first)
            ).fetchall()
        except duckdb.Error as error:
            raise UsageError(explained(path, error)) from error
    if not rows:
        raise UsageError(f"{path}: the file has a header but no row")
    late: dict[str, dict[int, int]] = {}
    for name, at, _, n_rows, *_ in rows:
        if _is_late(at, n_max):
            its = late.setdefault(name, {})
            its[int(at)] = its.get(int(at), 0) + int(n_rows)
    rows = [row for row in rows if not _is_late(row[1], n_max)]
    if not rows:
        raise UsageError(f"{path}: all rows lie after the last period that was planned")
    arms = sorted({str(row[2] or "") for row in rows})
    if len(arms) > 2:
        raise UsageError(
            f'{path}: a switchback compares two variants, one of them "{control}"; column'
            f' "{variant}" holds {", ".join(map(repr, arms[:5]))}'
        )
    by_region: dict[str, list[Any]] = {}
    for name, *rest in rows:
        if region is not None and not name:
            raise UsageError(f'{path}: "{region}" is empty in {rest[2]:,} rows')
        by_region.setdefault(name, []).append(rest)
    found = {
        name: _checked(
            path if not name else f'{path}: region "{name}"', its, time=time, variant=variant,
            control=control, metrics=metrics, is_alone=region is None,
        )
        for name, its in by_region.items()
    }  # fmt: skip
    _refuse_ragged(path, found)
    return {name: replace(it, late=late.get(name, {})) for name, it in found.items()}


def _is_late(at: float | None, n_max: int | None) -> bool:
    return at is not None and n_max is not None and at >= n_max


def _refuse_ragged(path: Path, found: dict[str, Periods]) -> None:
    longest = max(len(it.treated) for it in found.values())
    for name, it in found.items():
        if len(it.treated) < longest:
            raise UsageError(
                f'{path}: region "{name}" has no row in period {len(it.treated)}; every region'
                f" needs all {longest:,} periods"
            )


def _statement(
    source: Source,
    time: str,
    seconds: int,
    variant: str,
    metrics: list[Metric],
    region: str | None,
    first: int | None,
) -> str:
    values = "".join(
        f", avg(TRY_CAST({quoted(name)} AS DOUBLE)),"
        f" count_if(NOT coalesce(isfinite(TRY_CAST({quoted(name)} AS DOUBLE)), false))"
        for name in (it.sources[0] for it in metrics)
    )
    begin = "min(period)" if first is None else f"any_value({first // seconds})"
    place = "''" if region is None else f"CAST({quoted(region)} AS VARCHAR)"
    # A time of day without a zone is UTC.
    moment = f"epoch(CAST(CAST({quoted(time)} AS VARCHAR) AS TIMESTAMP))"
    return (
        f"WITH r AS (SELECT *, floor({moment} / {seconds}) AS period FROM {source.sql}),"
        f" first AS (SELECT {begin} AS p0 FROM r)"
        f" SELECT {place} AS region, period - p0 AS at, CAST({quoted(variant)} AS VARCHAR) AS arm,"
        f" count(*){values} FROM r, first GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )


def _checked(
    path: Path | str,
    rows: list[Any],
    *,
    time: str,
    variant: str,
    control: str,
    metrics: list[Metric],
    is_alone: bool,
) -> Periods:
    names = sorted({str(row[1] or "") for row in rows})
    is_one_sided = not is_alone and len(names) == 1  # A region's few coins may all say the same.
    is_a_pair = len(names) == 2 and control in names
    if "" in names or not (is_a_pair or is_one_sided):
        raise UsageError(
            f'{path}: a switchback compares two variants, one of them "{control}"; column'
            f' "{variant}" holds {", ".join(map(repr, names[:5]))}'
        )
    found = Periods({it.name: [] for it in metrics}, [], [])
    for row in rows:
        if row[0] is None:
            raise UsageError(f'{path}: "{time}" is empty in {row[2]:,} rows')
        at = int(row[0])
        if at < 0:
            raise UsageError(
                f"{path}: {row[2]:,} rows lie before the first period that was planned"
            )
        if at >= PERIODS_MAX:
            raise UsageError(f"{path}: more than {PERIODS_MAX:,} periods; take longer ones")
        if at < len(found.treated):
            raise UsageError(
                f"{path}: period {at} has rows of both variants; it is treated as a whole or not"
                " at all. Is --period the length at which the coin was thrown?"
            )
        if at > len(found.treated):
            raise UsageError(
                f"{path}: period {len(found.treated)} has no row; a period without an outcome"
                " cannot be read. Take longer periods, or write its rows"
            )
        for place, it in enumerate(metrics):
            mean, n_bad = row[3 + 2 * place], row[4 + 2 * place]
            if n_bad:
                raise UsageError(f'{path}: "{it.sources[0]}" is no number in {n_bad:,} rows of'
                                 f" period {at}")  # fmt: skip
            found.outcomes[it.name].append(float(mean))
        found.treated.append(int(row[1] != control))
        found.n_rows.append(int(row[2]))
    return found


def _require(source: Source, path: Path, columns: list[str]) -> None:
    for column in columns:
        if column not in source.types:
            raise UsageError(
                f'{path}: there is no column "{column}"; columns are {", ".join(source.types)}'
            )
