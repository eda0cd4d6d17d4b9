"""The units of a file one by one, where sums do not do: for a search that divides them anew."""

from collections.abc import Sequence
from typing import Final

import duckdb

from experiments.errors import DataError
from experiments.sums.unit_sums import UnitRows

UNITS_MAX: Final = 2_000_000
"""Held in memory at once, some 100 bytes each and column."""


def rows_of_units(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    *,
    columns: Sequence[str],
    explored: Sequence[str],
) -> UnitRows:
    """Variant, values v0, v1, … and explored columns x0, x1, … of a table of units.

    A column is numbers if all that is not empty is; else it is texts. Rows come sorted by all they
    hold, so that the same data give the same order however many threads read it.

    Raises:
        DataError: If there are too many units.
    """
    (n, *words) = connection.execute(
        "SELECT count(*)"
        + "".join(
            f", count_if(x{i} IS NOT NULL AND TRY_CAST(x{i} AS DOUBLE) IS NULL)"
            for i in range(len(explored))
        )
        + f" FROM {sql}"
    ).fetchall()[0]
    if n > UNITS_MAX:
        raise DataError(
            f"exploring holds every unit in memory: {n:,} are more than {UNITS_MAX:,}. Explore a"
            " file with a random part of them"
        )
    values = [f"CAST(v{i} AS DOUBLE) AS v{i}" for i in range(len(columns))]
    known = [
        f"coalesce(x{i}, '') AS x{i}" if is_text else f"TRY_CAST(x{i} AS DOUBLE) AS x{i}"
        for i, is_text in enumerate(words)
    ]
    found = connection.execute(
        f"SELECT CAST(variant AS VARCHAR) AS variant, {', '.join([*values, *known])} FROM {sql}"
        " ORDER BY ALL"
    ).fetchnumpy()

    def column(name: str, *, is_text: bool) -> object:
        import numpy as np

        if is_text:
            return np.asarray(found[name], dtype=str)
        return np.ma.filled(np.ma.asarray(found[name]).astype(float), np.nan)

    return UnitRows(
        variant=column("variant", is_text=True),
        outcomes={it: column(f"v{i}", is_text=False) for i, it in enumerate(columns)},
        known={
            it: column(f"x{i}", is_text=bool(is_text))
            for i, (it, is_text) in enumerate(zip(explored, words, strict=True))
        },
    )
