"""CUPAC for an experiment's report: outcomes predicted from what units did before their exposure.

For each outcome and each span of `predicted_from`: the same quantity and the number of its events
in (exposure - span, exposure], and how long ago the last one was. A model that never saw the unit
turns them into one covariate. Read next: `experiments.estimation.cupac_features`.
"""

from collections.abc import Sequence
from typing import Any, Final

import duckdb
import numpy as np

from campaigns.metrics import MetricDefinition, PredictedMetric
from engine.core.model.instants import DAY
from engine.readout.metric_columns import Column, columns_of
from experiments.estimation.cupac_features import predicted_name, predictions
from experiments.metrics import nonzero_cap

SEED: Final = 1
"""Of the lots that divide units into folds: the same data give the same report."""


def predicted_names(it: PredictedMetric) -> tuple[str, ...]:
    """What the covariates are called: one for each of the outcome's columns, with its spans.

    The spans are in the name, so that a plan frozen by it cannot change them unseen.
    """
    days = ", ".join(f"{span / DAY:g}" for span in it.predicted_from)
    return tuple(f"{predicted_name(name)} from the {days} days before" for name in _outcomes(it))


def past_columns(definitions: Sequence[MetricDefinition]) -> list[Column]:
    """What is read of the time before exposure, for all metrics that predict."""
    return [column for it in definitions for column in _past(it)]


def add_predictions(
    lake: duckdb.DuckDBPyConnection,
    definitions: Sequence[MetricDefinition],
    columns: Sequence[Column],
) -> dict[str, str]:
    """Add a column per prediction to the table `units`.

    Args:
        columns: All that `units` has as v0, v1, …, those of `past_columns` among them.
    Returns:
        The covariates' names -> their columns in `units`.
    """
    chosen = [it for it in definitions if isinstance(it, PredictedMetric)]
    if not chosen:
        return {}
    place = {column.name: f"v{i}" for i, column in enumerate(columns)}
    found = lake.execute("SELECT * FROM units ORDER BY place").fetchnumpy()
    rng = np.random.default_rng(SEED)
    made: dict[str, str] = {}
    table: dict[str, Any] = {"place": np.asarray(found["place"])}
    for it in chosen:
        known = {column.name: _numbers(found[place[column.name]]) for column in _past(it)}
        outcomes = [
            _capped(_numbers(found[place[name]]), share=it.winsorize) for name in _outcomes(it)
        ]
        predicted = predictions(known, outcomes, rng=rng)
        for name, values in zip(predicted_names(it), predicted, strict=True):
            made[name] = f"p{len(made)}"
            table[made[name]] = values
    lake.register("predicted", table)
    lake.execute(
        "CREATE OR REPLACE TABLE units AS SELECT * FROM units JOIN predicted USING (place)"
        " ORDER BY place"
    )
    lake.unregister("predicted")
    return made


def _past(it: MetricDefinition) -> list[Column]:
    """Quantity and number of events per span, and the recency of the last within the longest."""
    if not isinstance(it, PredictedMetric):
        return []
    found = []
    for outcome in columns_of([it]):
        for span in it.predicted_from:
            before = f"{outcome.name} in the {span / DAY:g} days before"
            hows = [outcome.how] if outcome.how in ("funnel", "number") else [outcome.how, "number"]
            found += [
                Column(f"{before}: {how}", it.name, outcome.sources, how, -span, 0, True)
                for how in hows
            ]
        if outcome.how != "funnel":
            name = f"{outcome.name}: days since the last before"
            span = max(it.predicted_from)
            found.append(Column(name, it.name, outcome.sources, "recency", -span, 0, True))
    return found


def _outcomes(it: MetricDefinition) -> list[str]:
    return [column.name for column in columns_of([it])]


def _numbers(values: Any) -> Any:
    return np.ma.filled(np.ma.asarray(values).astype(float), np.nan)


def _capped(values: Any, *, share: float | None) -> Any:
    """What is judged is the capped value; the model learns to predict that."""
    limit = None if share is None else nonzero_cap(values.tolist(), share=share)
    return values if limit is None else np.minimum(values, limit)
