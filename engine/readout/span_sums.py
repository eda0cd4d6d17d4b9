"""What units did over some span of time, summed per variant, wherever the metric lies.

Of our events each unit's own outcome is known and summed here; of a warehouse only the sums come,
by the same windows in SQL. A unit's clock starts at the instant it is given with, which the caller
chooses: the first exposure, a period's beginning, the later of two. Read next: `assigned`,
`warehouse_metrics`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from campaigns.metrics import MetricDefinition, WarehouseMetric
from engine.core.errors import UsageError
from engine.core.model.instants import Instant
from engine.readout.assigned import (
    BEFORE,
    OUTCOME,
    check_adds_up,
    measured_with_past,
    span,
    sums_by_variant,
)
from engine.readout.metric_sums import NO_KEYS, Unit, outcomes_side_by_side
from engine.readout.warehouse_address import filled_address
from engine.readout.warehouse_statements import (
    Rows,
    assignment_of,
    oddities_statement,
    query_of,
    rows_of,
)
from engine.readout.warehouse_units import EXPOSED, keep_exposed, keep_ids
from engine.store.connection import Connection
from engine.store.elsewhere_kinds import Elsewhere, elsewhere, one_state
from experiments.errors import DataError
from experiments.sums.aggregates import Aggregates
from experiments.sums.statement import How, Query
from experiments.sums.warehouse import sum_in_warehouse

Addresses = Mapping[str, str]
_HOW: Final[Mapping[str, How]] = {"happened": "happened", "count": "sum", "sum": "sum"}


def span_sums(
    connection: Connection,
    units: Sequence[Unit],
    definition: MetricDefinition,
    variants: Sequence[str],
    *,
    addresses: Addresses,
    as_of: Instant,
    is_whole: bool = False,
) -> dict[str, Aggregates]:
    """`OUTCOME` of every unit from its instant on, and `BEFORE` where the metric has a covariate.

    Args:
        addresses: Of the warehouses, by connection.
        is_whole: Refuse a query that knows none of the units; of a part of them it may.
    Raises:
        UsageError: If a warehouse cannot be asked, or its query yields no instants.
    """
    columns = (OUTCOME,) if definition.covariate is None else (OUTCOME, BEFORE)
    if not isinstance(definition, WarehouseMetric):
        values, past = measured_with_past(connection, units, definition, as_of=as_of)
        found = {OUTCOME: values, **({} if past is None else {BEFORE: past})}
        return sums_by_variant(units, found, variants)

    check_adds_up(definition)

    def asked(there: Elsewhere, rows: Rows) -> dict[str, Aggregates]:
        if is_whole:
            _refuse_strangers(there, rows)
        assignment = assignment_of(definition, by=None, as_of=as_of)
        query = query_of(definition, (rows,))
        return dict(sum_in_warehouse(there.ask, assignment, [query]).aggregates)

    return _of_warehouse(connection, units, definition, variants, columns, addresses, asked)


def age_columns(
    connection: Connection,
    units: Sequence[Unit],
    definition: MetricDefinition,
    variants: Sequence[str],
    *,
    names: Sequence[str],
    length: int,
    addresses: Addresses,
    as_of: Instant,
) -> dict[str, Aggregates]:
    """A column for each span of `length` since a unit's instant, named in their order.

    Raises:
        UsageError: As `span_sums` does.
    """
    if not isinstance(definition, WarehouseMetric):
        spans = [
            replace(span(definition, (i + 1) * length), name=f"{i}", after=i * length)
            for i in range(len(names))
        ]
        values = outcomes_side_by_side(connection, units, spans, as_of=as_of) if units else ()
        columns = dict(zip(names, values or [[]] * len(names), strict=True))
        return sums_by_variant(units, columns, variants)
    whole = replace(
        definition, within=len(names) * length, winsorize=None, covariate=None
    )  # As `span`, but still known to lie in a warehouse.

    def asked(there: Elsewhere, rows: Rows) -> dict[str, Aggregates]:
        ages = [f"age{i}" for i in range(len(names))]
        parts = ", ".join(
            f"CASE WHEN r.at > e.exposed + {i * length} AND r.at <= e.exposed + {(i + 1) * length}"
            f" THEN r.value ELSE 0.0E0 END AS {age}"
            for i, age in enumerate(ages)
        )
        query = Query(
            name=definition.name,
            sql=f"SELECT r.unit, {parts}, r.at FROM ({rows.sql}) r"
            f" JOIN {EXPOSED} e ON e.place = r.unit",
            values=tuple(ages),
            how=_HOW[definition.measure],
            has_times=True,
        )
        assignment = assignment_of(whole, by=None, as_of=as_of)
        return dict(sum_in_warehouse(there.ask, assignment, [query]).aggregates)

    return _of_warehouse(connection, units, whole, variants, tuple(names), addresses, asked)


def _of_warehouse(
    connection: Connection,
    units: Sequence[Unit],
    definition: WarehouseMetric,
    variants: Sequence[str],
    columns: tuple[str, ...],
    addresses: Addresses,
    asked: Callable[[Elsewhere, Rows], dict[str, Aggregates]],
) -> dict[str, Aggregates]:
    """Ask with the units as a temporary table; a variant nobody is in has sums of nobody."""
    nobody = Aggregates.from_columns({name: [] for name in columns})
    if not units:
        return dict.fromkeys(variants, nobody)
    source = definition.source
    if source.connection not in addresses:
        raise UsageError(f"antiphon.yaml has no connection {source.connection} any more")
    where = f"connections.{source.connection}"
    with elsewhere(filled_address(addresses[source.connection], where=where), where=where) as there:
        try:
            keep_exposed(there, units, NO_KEYS)
            ids, _ = keep_ids(there, connection, units, source.unit, number=0)
            with one_state(there):
                rows = rows_of(there, definition, ids)
                if not rows.has_at:
                    raise UsageError(
                        f"{source.query}: the query yields no column at, so that nothing tells what"
                        " came after an exposure. Let it yield the instant of each row"
                    )
                found = asked(there, rows)
        except (UsageError, DataError):
            raise
        except Exception as error:  # Three drivers, three trees of errors; all say what it was.
            said = " ".join(str(error).split())
            raise UsageError(f"{source.query}: the warehouse refused: {said}") from error
    return {
        name: replace(found[name], columns=columns) if name in found else nobody
        for name in variants
    }


def _refuse_strangers(there: Elsewhere, rows: Rows) -> None:
    ((n, *_),) = there.ask(oddities_statement(rows))
    if not n:
        raise UsageError(
            f"{rows.metric.source.query}: none of its rows is about anybody exposed; unit under"
            " source says by which id it knows them"
        )
