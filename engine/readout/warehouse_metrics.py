"""The sums of all metrics of a study, wherever they lie: our events, or warehouses by SQL.

Who was exposed goes to each warehouse as a temporary table; a statement per metric (one more for
each dimension, and for a cap) brings back sums, and they stand beside those of our events, of the
same units. A metric that cannot be read is missing, by name and with the reason; nothing else is.
Read next: `warehouse_statements`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from campaigns.metrics import MetricDefinition, WarehouseMetric
from engine.core.errors import UsageError
from engine.core.model.instants import Instant
from engine.readout.metric_sums import (
    NO_KEYS,
    Keys,
    MetricSums,
    Unit,
    analysed_metric,
    sum_metrics,
)
from engine.readout.warehouse_address import filled_address
from engine.readout.warehouse_statements import (
    Rows,
    assignment_of,
    oddities_statement,
    query_of,
    rows_of,
)
from engine.readout.warehouse_units import CLUSTER, keep_exposed, keep_ids
from engine.store.connection import Connection
from engine.store.elsewhere_kinds import Elsewhere, elsewhere, one_state
from experiments.errors import DataError
from experiments.metrics import Metric, Role
from experiments.sums.aggregates import Aggregates
from experiments.sums.statement import Query
from experiments.sums.unit_sums import Cap, UnitSums
from experiments.sums.warehouse import clusters_in_warehouse, sum_in_warehouse

Measured = Sequence[tuple[MetricDefinition, Role]]
Addresses = Mapping[str, str]
"""The address of each connection, by its name, as it is written or with its secrets."""


@dataclass(frozen=True)
class Missing:
    """A metric that could not be read.

    Attributes:
        why: A sentence without its full stop; it names the query or the connection.
    """

    name: str
    title: str
    role: Role
    why: str


@dataclass(frozen=True)
class _Part:
    """What a warehouse says of one metric, by the columns that the metric has in an analysis."""

    sums: UnitSums
    clusters: Mapping[str, Aggregates]
    dimensions: Mapping[str, Mapping[str, Mapping[str, Aggregates]]]
    notes: tuple[str, ...]


def sum_everywhere(
    connection: Connection,
    units: Sequence[Unit],
    metrics: Measured,
    *,
    addresses: Addresses,
    as_of: Instant,
    keys: Keys = NO_KEYS,
) -> tuple[MetricSums, tuple[Missing, ...]]:
    """Measure every unit on every metric that can be read, and say which cannot."""
    ours = [it for it in metrics if not isinstance(it[0], WarehouseMetric)]
    measured = sum_metrics(connection, units, ours, as_of=as_of, keys=keys)
    theirs: dict[str, list[tuple[WarehouseMetric, Role]]] = {}
    for definition, role in metrics:
        if isinstance(definition, WarehouseMetric):
            theirs.setdefault(definition.source.connection, []).append((definition, role))
    found: dict[str, _Part] = {}
    missing: list[Missing] = []
    said: list[str] = []
    for name, chosen in theirs.items():
        try:
            if name not in addresses:
                raise UsageError(f"antiphon.yaml has no connection {name} any more")
            where = f"connections.{name}"
            address = filled_address(addresses[name], where=where)
            with elsewhere(address, where=where) as there:
                asking = _Asking(connection, there, units, keys, as_of)
                for definition, role in chosen:
                    try:
                        found[definition.name] = asking.part_of(definition, role)
                    except (UsageError, DataError) as error:
                        missing.append(_missing(definition, role, str(error)))
                said += asking.notes
        except UsageError as error:
            missing += [_missing(*it, str(error)) for it in chosen if it[0].name not in found]
    whole = measured.sums
    for part in found.values():
        whole = _joined(whole, part)
    present = tuple(
        analysed_metric(*it)
        for it in metrics
        if it[0].name in found or not isinstance(it[0], WarehouseMetric)
    )
    notes = (*whole.notes, *dict.fromkeys(said))
    return replace(measured, metrics=present, sums=replace(whole, notes=notes)), tuple(missing)


def _missing(definition: MetricDefinition, role: Role, why: str) -> Missing:
    return Missing(definition.name, definition.title, role, why)


class _Asking:
    """One warehouse, asked for the sums of some units."""

    def __init__(
        self,
        connection: Connection,
        there: Elsewhere,
        units: Sequence[Unit],
        keys: Keys,
        as_of: Instant,
    ) -> None:
        self._connection, self._there = connection, there
        self._units, self._keys, self._as_of = units, keys, as_of
        self._ids: dict[str, str] = {}
        self._has_units = False
        self._refused = ""
        self.notes: list[str] = []

    def part_of(self, definition: WarehouseMetric, role: Role) -> _Part:
        """What is said of one metric.

        Raises:
            UsageError, DataError: If the query, or what it yields, is not as asked.
        """
        sides = definition.parts or (definition,)
        query_file = definition.source.query
        for side in sides:
            self._keep(side.source.unit)
        try:
            with one_state(self._there):
                return self._part(definition, analysed_metric(definition, role), sides)
        except (UsageError, DataError):
            raise
        except Exception as error:  # Three drivers, three trees of errors; all say what it was.
            raise UsageError(f"{query_file}: the warehouse refused: {_told(error)}") from error

    def _keep(self, kind: str) -> None:
        """The tables that a query needs, made once; what went wrong once is not tried again."""
        if self._refused:
            raise UsageError(self._refused)
        try:
            if not self._has_units:
                keep_exposed(self._there, self._units, self._keys)
                self._has_units = True
            if kind not in self._ids:
                number = len(self._ids)
                self._ids[kind], said = keep_ids(
                    self._there, self._connection, self._units, kind, number=number
                )
                self.notes += said
        except UsageError as error:
            self._refused = str(error)
            raise
        except Exception as error:  # As above.
            self._refused = f"the warehouse did not take who was exposed: {_told(error)}"
            raise UsageError(self._refused) from error

    def _part(
        self, definition: WarehouseMetric, metric: Metric, sides: Sequence[WarehouseMetric]
    ) -> _Part:
        rows = tuple(rows_of(self._there, it, self._ids[it.source.unit]) for it in sides)
        notes = [note for it in rows for note in self._oddities(it)]
        query = query_of(definition, rows)
        dimensions: dict[str, Mapping[str, Mapping[str, Aggregates]]] = {}
        whole: UnitSums | None = None
        for i, name in enumerate(self._keys.dimensions):
            found = self._summed(definition, query, by=f"d{i}")
            dimensions[name] = _by_level(found.strata, metric)
            whole = whole or found
        whole = whole or self._summed(definition, query, by=None)
        clusters: dict[str, Aggregates] = {}
        if self._keys.cluster is not None:
            clusters = clusters_in_warehouse(
                self._there.ask, assignment_of(definition, by=CLUSTER, as_of=self._as_of), query
            )
        return _Part(
            replace(
                whole,
                aggregates={it: _named(part, metric) for it, part in whole.aggregates.items()},
                caps=tuple(
                    Cap(metric.name, source, column, cap.limit, cap.share, {})
                    for cap, source, column in zip(
                        whole.caps, metric.sources, metric.value_columns, strict=False
                    )
                ),
            ),
            {variant: _named(part, metric) for variant, part in clusters.items()},
            dimensions,
            (*notes, *(_capped(metric, cap) for cap in whole.caps)),
        )

    def _summed(self, definition: WarehouseMetric, query: Query, *, by: str | None) -> UnitSums:
        assignment = assignment_of(definition, by=by, as_of=self._as_of)
        return sum_in_warehouse(self._there.ask, assignment, [query])

    def _oddities(self, rows: Rows) -> list[str]:
        """What is odd among the rows.

        Raises:
            UsageError: If none of them is about anybody.
        """
        metric, source = rows.metric, rows.metric.source
        ((n, n_empty, n_timeless, n_negative),) = self._there.ask(oddities_statement(rows))
        if not n:
            raise UsageError(
                f"{source.query}: none of its rows is about anybody exposed. Its column unit is"
                f" compared with {_unit_said(source.unit)}; unit under source says another"
            )
        said = []
        if n_empty:
            said.append(f"{n_empty:,} rows of {source.query} have no number and add nothing")
        if n_timeless:
            said.append(f"{n_timeless:,} rows of {source.query} have no instant and add nothing")
        if n_negative and metric.measure in ("sum", "mean_per_event"):
            said.append(
                f"{n_negative:,} rows of {source.query} have a value below 0, which pulls the sums"
                f" of {metric.name} down; right if they take money back"
            )
        if not rows.has_at:
            said.append(
                f"{source.query} yields no column at: all that it says of a unit counts, what was"
                " before the exposure included"
            )
        return said


def _unit_said(kind: str) -> str:
    return {"user": "the user id", "anonymous": "the anonymous id"}.get(kind, kind)


def _capped(metric: Metric, cap: Cap) -> str:
    return (
        f'"{metric.name}" is capped at {cap.limit:g}, the {cap.share:.4g} quantile of its non-zero'
        " values in all variants; how many units were above stays in the warehouse"
    )


def _told(error: Exception) -> str:
    return " ".join(str(error).split())


# --- put together -------------------------------------------------------------------------------


def _named(part: Aggregates, metric: Metric) -> Aggregates:
    """By the names of the metric; what comes behind them (the units of a cluster) keeps its own."""
    names = (*metric.value_columns, *metric.covariates)
    return replace(part, columns=(*names, *part.columns[len(names) :]))


def _by_level(
    strata: Mapping[str, Mapping[str, Aggregates]], metric: Metric
) -> dict[str, dict[str, Aggregates]]:
    """variant -> level into level -> variant."""
    found: dict[str, dict[str, Aggregates]] = {}
    for variant, levels in strata.items():
        for level, part in levels.items():
            found.setdefault(level, {})[variant] = _named(part, metric)
    return found


def _joined(whole: UnitSums, part: _Part) -> UnitSums:
    """The sums with the columns of one more metric."""
    return replace(
        whole,
        aggregates=_beside(whole.aggregates, part.sums.aggregates),
        dimensions={
            name: {
                level: _beside(arms, part.dimensions[name].get(level, {}))
                for level, arms in levels.items()
            }
            for name, levels in whole.dimensions.items()
        },
        clusters=_beside(whole.clusters, part.clusters),
        caps=(*whole.caps, *part.sums.caps),
        notes=(*whole.notes, *part.notes),
    )


def _beside(
    first: Mapping[str, Aggregates], second: Mapping[str, Aggregates]
) -> dict[str, Aggregates]:
    assert first.keys() == second.keys(), "the warehouse was given other units"
    return {variant: _side_by_side(part, second[variant]) for variant, part in first.items()}


def _side_by_side(first: Aggregates, second: Aggregates) -> Aggregates:
    """Columns of the same units; pairs across were not summed. What both have is the first's."""
    assert first.n == second.n, "the warehouse was given other units"
    columns = (*first.columns, *(it for it in second.columns if it not in first.columns))

    def moment(a: str, b: str) -> float | None:
        for part in (first, second):
            if a in part.columns and b in part.columns:
                return part.moments[part.columns.index(a)][part.columns.index(b)]
        return None

    def mean(column: str) -> float:
        part: Any = first if column in first.columns else second
        return float(part.means[part.columns.index(column)])

    return Aggregates(
        first.n,
        columns,
        tuple(map(mean, columns)),
        tuple(tuple(moment(a, b) for b in columns) for a in columns),
    )
