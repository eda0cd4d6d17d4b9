"""What units went through around their assignment: late covariates, crossed treatments."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import duckdb

from engine.core.errors import UsageError
from engine.readout.datafile_layout import Layout


def refuse_late_covariates(
    connection: duckdb.DuckDBPyConnection, path: Path, layout: Layout, columns: Sequence[str]
) -> None:
    """Whatever is measured after exposure may already be its consequence.

    Raises:
        UsageError: With how many rows of `taken` are like this.
    """
    for i, (covariate, when) in enumerate(layout.measured_at.items()):
        if layout.exposed_at is None:
            raise UsageError(
                f'"{covariate}" has a time, but no column says when units were exposed; name it too'
            )
        value = (
            f"v{columns.index(covariate)}"
            if covariate in columns
            else f"f{layout.predicting.index(covariate)}"
        )
        ((late, unknown),) = connection.execute(
            f"SELECT count_if(m{i} > exposed_at), count_if({value} IS NOT NULL AND"
            f" (m{i} IS NULL OR exposed_at IS NULL)) FROM taken"
        ).fetchall()
        if late or unknown:
            more = f" and has no time in {unknown:,}" if unknown else ""
            raise UsageError(
                f'{path}: covariate "{covariate}" was measured after exposure in {late:,} rows'
                f' ("{when}" is later than "{layout.exposed_at}"){more}; what exposure may have'
                " changed cannot adjust for it. Take the value from before"
            )


def crossovers(connection: duckdb.DuckDBPyConnection, layout: Layout) -> list[str]:
    """A note on who received what another variant was to receive; they stay as assigned."""
    if layout.received is None:
        return []
    rows = connection.execute(
        "SELECT CAST(variant AS VARCHAR), received, count(*) FROM taken WHERE variant IS NOT NULL"
        " GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2"
    ).fetchall()
    usual: dict[str, str | None] = {}
    for variant, received, _ in rows:
        usual.setdefault(variant, received)
    crossed = Counter[str]()
    for variant, received, n in rows:
        crossed[variant] += n if received != usual[variant] else 0
    if not (total := sum(crossed.values())):
        return []
    shares = ", ".join(f"{name} {n:,}" for name, n in crossed.items() if n)
    return [
        f'in {total:,} of {sum(row[2] for row in rows):,} rows "{layout.received}" is not what the'
        f" variant mostly received ({shares}). They count as assigned: to leave them out would"
        " compare other people on each side"
    ]
