"""CUPAC for a data file: outcomes predicted from its columns of what was known beforehand.

Every unit is held in memory, and the table of units is made anew with a column per prediction.
Read next: `experiments.estimation.cupac_features`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import duckdb

from engine.readout.datafile_rows import UNITS_MAX
from experiments.errors import DataError
from experiments.estimation.cupac_features import predicted_name, predictions
from experiments.metrics import Metric, nonzero_cap

SEED: Final = 1
"""Of the lots that divide units into folds: the same data give the same report."""


def with_predictions(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    *,
    metrics: Sequence[Metric],
    columns: Mapping[str, str],
    features: Sequence[str],
) -> dict[str, str]:
    """Make the table `predicted` of a table of units: all it has, and p0, p1, ….

    Units are taken sorted by all they hold, so that the same data give the same folds however many
    threads read it.

    Args:
        columns: Outcomes' names -> their columns in the table of units.
        features: Names of its columns f0, f1, …, texts: numbers if all that is not empty is one.
    Returns:
        The covariates' names -> their columns in `predicted`.
    Raises:
        DataError: If there are too many units.
    """
    import numpy as np

    (n, *words) = connection.execute(
        "SELECT count(*)"
        + "".join(
            f", count_if(f{i} IS NOT NULL AND TRY_CAST(f{i} AS DOUBLE) IS NULL)"
            for i in range(len(features))
        )
        + f" FROM {sql}"
    ).fetchall()[0]
    if n > UNITS_MAX:
        raise DataError(
            f"predicting holds every unit in memory: {n:,} are more than {UNITS_MAX:,}. Predict in"
            " a program of your own, and give its column as a covariate"
        )
    connection.execute(
        f"CREATE TEMP TABLE sorted AS SELECT row_number() OVER () AS place, * FROM"
        f" (SELECT * FROM {sql} ORDER BY ALL)"
    )
    capped = _caps(metrics)
    chosen = [f"CAST({columns[name]} AS DOUBLE) AS y{i}" for i, name in enumerate(capped)]
    chosen += [
        f"coalesce(f{i}, '') AS f{i}" if is_text else f"TRY_CAST(f{i} AS DOUBLE) AS f{i}"
        for i, is_text in enumerate(words)
    ]
    found = connection.execute(
        f"SELECT place, {', '.join(chosen)} FROM sorted ORDER BY place"
    ).fetchnumpy()
    known = {
        name: np.asarray(found[f"f{i}"], dtype=str) if is_text else _numbers(found[f"f{i}"])
        for i, (name, is_text) in enumerate(zip(features, words, strict=True))
    }
    outcomes = []
    for i, share in enumerate(capped.values()):
        values = _numbers(found[f"y{i}"])
        limit = None if share is None else nonzero_cap(values.tolist(), share=share)
        outcomes.append(values if limit is None else np.minimum(values, limit))
    made = predictions(known, outcomes, rng=np.random.default_rng(SEED))
    connection.register(
        "made", {"place": found["place"], **{f"p{i}": it for i, it in enumerate(made)}}
    )
    connection.execute(
        "CREATE TEMP TABLE predicted AS SELECT * FROM sorted JOIN made USING (place)"
    )
    connection.unregister("made")
    return {predicted_name(name): f"p{i}" for i, name in enumerate(capped)}


def predicted_metrics(metrics: Sequence[Metric]) -> list[Metric]:
    """The metrics with the predictions of their outcomes among their covariates.

    A quantile has none: it is not adjusted.
    """
    return [
        it
        if it.kind == "quantile"
        else replace(it, covariates=(*it.covariates, *map(predicted_name, it.sources)))
        for it in metrics
    ]


def _caps(metrics: Sequence[Metric]) -> dict[str, float | None]:
    """Outcomes to predict -> the share at which they are cut, where every metric cuts them."""
    found: dict[str, float | None] = {}
    for it in metrics:
        for name in it.sources if it.kind != "quantile" else ():
            is_same = name not in found or found[name] == it.cap_share
            found[name] = it.cap_share if is_same else None
    return found


def _numbers(values: Any) -> Any:
    import numpy as np

    return np.ma.filled(np.ma.asarray(values).astype(float), np.nan)
