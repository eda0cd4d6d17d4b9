"""Exposures and events -> one row per unit and metric -> sums per variant, in DuckDB.

A unit's clock starts at its first exposure: an outcome counts events in (exposure, exposure +
within], the covariate those in (exposure - covariate, exposure]. The event that caused an exposure
is therefore never an outcome. Filters are the core's own, so that a metric and a segment can never
disagree about which events they mean; windows, caps and sums are SQL. Read next: `metric_columns`
for what each measure comes to, `metric_events` for how events get there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import duckdb
import numpy as np

from campaigns.metrics import MetricDefinition, PredictedMetric, WarehouseMetric
from engine.core.errors import UsageError
from engine.core.model.instants import Instant
from engine.readout.metric_columns import Column, columns_of, covariate_names, measure
from engine.readout.metric_events import Poured, pour
from engine.readout.predicting import add_predictions, past_columns, predicted_names
from engine.store.connection import Connection
from experiments.metrics import Kind, Metric, Role
from experiments.sums.duckdb_statement import Table
from experiments.sums.duckdb_sums import sum_units
from experiments.sums.unit_sums import UnitSums

__all__ = ["MetricSums", "Unit", "analysed_metric", "covariate_name", "outcomes", "sum_metrics"]

_KINDS: Final[dict[str, Kind]] = {
    "happened": "proportion",
    "retained": "proportion",
    "funnel": "proportion",
    "count": "count",
    "distinct": "count",
    "sum": "mean",
    "last": "mean",
    "mean_per_event": "ratio",
    "ratio": "ratio",
    "quantile": "quantile",
}


@dataclass(frozen=True)
class Unit:
    """One unit that was exposed: who, to what, when."""

    profile_id: int
    variant: str
    at: Instant


@dataclass(frozen=True)
class MetricSums:
    """What the units did.

    Attributes:
        metrics: The metrics as the analysis takes them, in the order given.
        sums: Aggregates per variant, over all their columns, and all else that was asked for.
        n_unreadable: Events whose value is missing or no number; they add nothing.
        n_negative: Events whose value is below 0, of metrics that have no `minus`: money that was
            paid cannot be; the notes of `sums` say which metric.
    """

    metrics: tuple[Metric, ...]
    sums: UnitSums
    n_unreadable: int
    n_negative: int = 0


@dataclass(frozen=True)
class Keys:
    """What units are grouped by beside their variant, one value a unit in the units' order.

    Attributes:
        dimensions: Each summed alone; known before exposure.
        stratum: For post-stratification.
        cluster: What units were randomized by.
    """

    dimensions: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    stratum: Sequence[str | None] | None = None
    cluster: Sequence[str | None] | None = None


NO_KEYS: Final = Keys()


def sum_metrics(
    connection: Connection,
    units: Sequence[Unit],
    metrics: Sequence[tuple[MetricDefinition, Role]],
    *,
    as_of: Instant,
    keys: Keys = NO_KEYS,
) -> MetricSums:
    """Measure every unit on every metric.

    Args:
        as_of: Nothing after it is seen; metrics without a window count until then.
    """
    definitions = [definition for definition, _ in metrics]
    with duckdb.connect() as lake:
        columns = [*columns_of(definitions), *past_columns(definitions)]
        _create(lake, units, keys)
        poured = pour(connection, lake, _people(units), columns, as_of=as_of)
        measure(lake, columns, as_of=as_of)
        predicted = add_predictions(lake, definitions, columns)
        translated = tuple(analysed_metric(definition, role) for definition, role in metrics)
        sums = sum_units(lake, _table(columns, keys, predicted), translated, gaps={})
    notes = (*sums.notes, *_cautions(poured))
    return MetricSums(
        translated, replace(sums, notes=notes), poured.n_unreadable, sum(poured.n_negative.values())
    )


def outcomes(
    connection: Connection,
    units: Sequence[Unit],
    definition: MetricDefinition,
    *,
    as_of: Instant,
) -> list[tuple[float, float]]:
    """(outcome, covariate) of each unit in the order given; the covariate 0 where there is none.

    Raises:
        UsageError: If the metric is a ratio, of which a unit has no number of its own, or lies in
            a warehouse.
    """
    _refuse_unless_of_units(definition)
    with duckdb.connect() as lake:
        columns = columns_of([definition])
        _create(lake, units, NO_KEYS)
        pour(connection, lake, _people(units), columns, as_of=as_of)
        measure(lake, columns, as_of=as_of)
        chosen = "v0, v1" if len(columns) > 1 else "v0, 0.0"
        return lake.execute(f"SELECT {chosen} FROM units ORDER BY place").fetchall()


def outcomes_side_by_side(
    connection: Connection,
    units: Sequence[Unit],
    definitions: Sequence[MetricDefinition],
    *,
    as_of: Instant,
) -> list[list[float]]:
    """What each unit comes to by each definition, in one reading of the events.

    Args:
        definitions: Each one number a unit, without a covariate.
    Raises:
        UsageError: As `outcomes`.
    """
    for definition in definitions:
        _refuse_unless_of_units(definition)
    with duckdb.connect() as lake:
        columns = columns_of(definitions)
        assert len(columns) == len(definitions)
        _create(lake, units, NO_KEYS)
        pour(connection, lake, _people(units), columns, as_of=as_of)
        measure(lake, columns, as_of=as_of)
        found = lake.execute("SELECT * FROM units ORDER BY place").fetchnumpy()
    return [found[f"v{i}"].tolist() for i in range(len(columns))]


def covariate_name(definition: MetricDefinition) -> str:
    """What the covariate of a metric is called in a readout; of a ratio, its numerator's."""
    return covariate_names(definition)[0]


def _refuse_unless_of_units(definition: MetricDefinition) -> None:
    if isinstance(definition, WarehouseMetric):
        raise UsageError(
            f'the metric "{definition.name}" lies in a warehouse, from which only sums come; what'
            " one unit did is not known here. Use a metric of events"
        )
    if _KINDS[definition.measure] == "ratio":
        raise UsageError(
            f'the metric "{definition.name}" is a ratio of sums over units; one unit has none'
        )


def _people(units: Sequence[Unit]) -> list[tuple[int, Instant]]:
    return [(unit.profile_id, unit.at) for unit in units]


def _create(lake: duckdb.DuckDBPyConnection, units: Sequence[Unit], keys: Keys) -> None:
    """The table `exposed`: place, unit, exposed, variant, and the keys."""
    # One thread: sums in one order, so that the same data give the same last digit every time.
    lake.execute("SET threads = 1")
    given = {
        "place": np.arange(len(units), dtype=np.int64),
        "unit": np.array([unit.profile_id for unit in units], dtype=np.int64),
        "exposed": np.array([unit.at for unit in units], dtype=np.int64),
    }
    texts: dict[str, Sequence[str | None]] = {"variant": [unit.variant for unit in units]}
    texts |= {f"d{i}": levels for i, levels in enumerate(keys.dimensions.values())}
    if keys.stratum is not None:
        texts["stratum"] = keys.stratum
    if keys.cluster is not None:
        texts["cluster"] = keys.cluster
    joins = ""
    for name, values in texts.items():
        # Words cross over once each, as numbers per unit.
        number = {word: i for i, word in enumerate(dict.fromkeys(values))}
        given[f"{name}_number"] = np.array([number[word] for word in values], dtype=np.int64)
        lake.execute(f"CREATE TABLE {name}_words (number BIGINT, {name} VARCHAR)")
        rows = [[i, word] for word, i in number.items()]
        if rows:
            lake.executemany(f"INSERT INTO {name}_words VALUES (?, ?)", rows)
        joins += f" JOIN {name}_words ON {name}_words.number = {name}_number"
    lake.register("given", given)
    lake.execute(
        f"CREATE TABLE exposed AS SELECT place, unit, exposed, {', '.join(texts)} FROM given{joins}"
    )
    lake.unregister("given")


def _table(columns: Sequence[Column], keys: Keys, predicted: Mapping[str, str]) -> Table:
    return Table(
        sql="(SELECT * FROM units JOIN exposed USING (place))",
        variant="variant",
        columns={column.name: f"v{i}" for i, column in enumerate(columns)} | dict(predicted),
        stratum="stratum" if keys.stratum is not None else None,
        dimensions={name: f"d{i}" for i, name in enumerate(keys.dimensions)},
        cluster="cluster" if keys.cluster is not None else None,
    )


def analysed_metric(it: MetricDefinition, role: Role) -> Metric:
    """A metric as the analysis takes it."""
    kind = _KINDS[it.measure]
    if it.minus is not None and kind == "count":
        kind = "mean"  # More may be taken off than there was.
    names = [column.name for column in columns_of([it]) if not column.is_covariate]
    return Metric(
        name=it.name,
        kind=kind,
        column=names[0] if kind != "ratio" else None,
        numerator=names[0] if kind == "ratio" else None,
        denominator=names[1] if kind == "ratio" else None,
        covariates=_covariates(it),
        cap_share=it.winsorize,
        q=it.quantile,
        better=it.better,
        role=role,
        title=it.title,
        unit=it.currency if _is_money(it) else None,
    )


def _covariates(it: MetricDefinition) -> tuple[str, ...]:
    if isinstance(it, PredictedMetric):
        return predicted_names(it)
    return covariate_names(it) if it.covariate is not None else ()


def _is_money(it: MetricDefinition) -> bool:
    if it.parts is not None:
        return _is_money(it.parts[0])
    return it.measure == "sum" or (
        it.measure in ("quantile", "last", "mean_per_event") and it.value is not None
    )


def _cautions(poured: Poured) -> list[str]:
    return [
        f"{n:,} events of {name} have a value below 0, which pulls its sums down; if they take"
        " money back, give them an event of their own and name it under minus"
        for name, n in poured.n_negative.items()
    ]
