"""metrics/*.yaml -> what reading them out needs: which events, which value, for how long."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import inf
from typing import Any, Final, Literal

from campaigns.compile import names_of
from campaigns.conditions import Conditions
from campaigns.metric_forms import YES_OR_NO, Measure, MetricFile, SourceForm
from campaigns.problems import InvalidWorkspace, Problem
from campaigns.workspace import Workspace
from engine.core.model.conditions import EventMatch


@dataclass(frozen=True)
class MetricDefinition:
    """One number per unit.

    Attributes:
        match: The events that count; of a funnel its first step's, of a ratio its numerator's.
        value: The path that is read (`("properties", "revenue")`); None where events are counted.
        minus: Events taken off again, with the path of their value.
        within: Microseconds from the unit's first exposure; None means over the whole period.
        winsorize: The quantile, in (0, 1), of non-zero values at which larger ones are cut.
        covariate: Microseconds before exposure in which the same quantity is the covariate.
        after: Microseconds from the exposure until events begin to count; only of `retained`.
        steps: Events that must happen in this order; only of `funnel`.
        quantile: Which one, in (0, 1); only of `quantile`.
        parts: Numerator and denominator; only of `ratio`.
    """

    name: str
    title: str
    match: EventMatch
    measure: Measure
    value: tuple[str, ...] | None
    minus: tuple[EventMatch, tuple[str, ...] | None] | None
    within: int | None
    winsorize: float | None
    covariate: int | None
    better: Literal["higher", "lower"]
    currency: str | None
    after: int = 0
    steps: tuple[EventMatch, ...] = ()
    quantile: float | None = None
    parts: tuple["MetricDefinition", "MetricDefinition"] | None = None

    @property
    def is_yes_or_no(self) -> bool:
        """Whether it is 0 or 1 for each unit."""
        return self.measure in YES_OR_NO


@dataclass(frozen=True)
class Source:
    """A query in a warehouse.

    Attributes:
        connection: Its name in antiphon.yaml; never its address.
        query: The file, which has `sql`.
        unit: What the query's units are: user, anonymous or traits.PATH.
    """

    connection: str
    query: str
    sql: str
    unit: str = "user"


@dataclass(frozen=True)
class WarehouseMetric(MetricDefinition):
    """A metric from SQL; `match` names no event. Of a ratio `source` is that of its numerator.

    A kind of its own, so that metrics of events are written into plans as they always were.
    """

    source: Source = field(kw_only=True)
    parts: tuple["WarehouseMetric", "WarehouseMetric"] | None = None


@dataclass(frozen=True)
class PredictedMetric(MetricDefinition):
    """A metric whose covariate is a prediction of it; a kind of its own for the same reason.

    Attributes:
        predicted_from: Microseconds before exposure, ascending: the spans that are learned from.
    """

    predicted_from: tuple[int, ...] = field(kw_only=True)


NO_EVENT: Final = EventMatch("")


def compile_metrics(workspace: Workspace) -> dict[str, MetricDefinition]:
    """Every metric of a checked workspace, by name."""
    problems: list[Problem] = []
    conditions = Conditions(
        workspace, names=names_of(workspace), blind=lambda *_: "", problems=problems
    )
    metrics = {
        str(name): found
        for name, form in workspace.metrics.items()
        if (found := compile_metric(conditions, form, workspace.metrics)) is not None
    }
    if problems:
        raise InvalidWorkspace(problems)
    return metrics


def check_metrics(conditions: Conditions, metrics: Mapping[str, MetricFile]) -> None:
    """Report what is wrong with any metric."""
    currency = conditions.workspace.settings.currency
    for form in metrics.values():
        compile_metric(conditions, form, metrics)
        if form.currency is not None and form.currency != currency:
            ours = f"the workspace counts in {currency}" if currency else "antiphon.yaml names none"
            conditions.report(
                form.file,
                form.currency.line,
                str(form.currency),
                f'the metric "{form.name}" is in {form.currency}, but {ours}. Currencies are not '
                "converted in this version.",
            )


def compile_metric(
    conditions: Conditions, form: MetricFile, metrics: Mapping[str, MetricFile]
) -> MetricDefinition | None:
    """One metric; what is wrong is reported to the conditions' problems.

    Args:
        metrics: All of them, among which a ratio finds its two.
    Returns:
        None if it is a ratio of what cannot be divided.
    """
    if form.measure == "ratio":
        return _ratio(conditions, form, metrics)
    steps = tuple(conditions.match(step.event, step.where, form.file) for step in form.steps)
    if form.event is not None and form.value is not None:
        is_number = form.measure != "distinct"
        conditions.check_path(form.event, form.value, form.file, numeric=is_number)
    minus = None
    if form.minus is not None:
        if form.minus.value is not None:
            conditions.check_path(form.minus.event, form.minus.value, form.file, numeric=True)
        minus = (
            conditions.match(form.minus.event, form.minus.where, form.file),
            tuple(form.minus.value.split(".")) if form.minus.value else None,
        )
    if form.source is not None:
        return _from_warehouse(conditions, form, form.source)
    found = MetricDefinition(
        name=str(form.name),
        title=str(form.title or form.name),
        match=(
            steps[0] if form.event is None else conditions.match(form.event, form.where, form.file)
        ),
        measure=form.measure,
        value=tuple(form.value.split(".")) if form.value else None,
        minus=minus,
        within=form.within,
        winsorize=form.winsorize,
        covariate=form.covariate,
        better=form.better,
        currency=_currency(conditions, form),
        after=form.after or 0,
        steps=steps,
        quantile=form.quantile,
    )
    return _predicted(found, form)


def _predicted(metric: MetricDefinition, form: MetricFile) -> MetricDefinition:
    """The metric as it is, or with its covariate to be learned."""
    spans = tuple(sorted({int(span) for span in form.predicted_from}))
    return PredictedMetric(**_values(metric), predicted_from=spans) if spans else metric


def _ratio(
    conditions: Conditions, form: MetricFile, metrics: Mapping[str, MetricFile]
) -> MetricDefinition | None:
    """A ratio of two metrics that are each a number per unit."""
    assert form.ratio is not None
    parts = []
    for name in (form.ratio.of, form.ratio.to):
        part = metrics.get(name)
        if part is None:
            # A metric whose own file is broken has a problem of its own.
            conditions.known("metric", name, conditions.names["metrics"], form.file)
            continue
        if part.measure in ("ratio", "quantile", "mean_per_event"):
            conditions.report(
                form.file,
                name.line,
                str(name),
                f'the ratio "{form.name}" divides sums over units, but "{name}" is measured as '
                f"{part.measure}. Divide metrics that are one number for each unit: happened, "
                "count, sum, last, distinct, retained or funnel.",
            )
            continue
        found = compile_metric(conditions, part, metrics)
        if found is not None:
            parts.append(found)
    if len(parts) < 2:
        return None
    windows = [inf if part.within is None else part.within for part in parts]
    ratio = MetricDefinition(
        name=str(form.name),
        title=str(form.title or form.name),
        match=parts[0].match,
        measure="ratio",
        value=None,
        minus=None,
        within=None if inf in windows else int(max(windows)),
        winsorize=form.winsorize,
        covariate=form.covariate,
        better=form.better,
        currency=_currency(conditions, form),
        parts=(parts[0], parts[1]),
    )
    first, second = parts
    match first, second:
        case WarehouseMetric(), WarehouseMetric():
            if form.predicted_from:
                conditions.report(
                    form.file,
                    form.ratio.of.line,
                    "predicted_from",
                    f'the ratio "{form.name}" lies in a warehouse, of which only sums come; a '
                    "prediction needs each unit. Delete predicted_from, or write covariate: 30d.",
                )
                return None
            if first.source.connection == second.source.connection:
                return WarehouseMetric(**_values(ratio), source=first.source)
        case _ if not any(isinstance(part, WarehouseMetric) for part in parts):
            return _predicted(ratio, form)
    places = " and ".join(f'"{part.name}" lies in {_place(part)}' for part in parts)
    conditions.report(
        form.file,
        form.ratio.of.line,
        str(form.ratio.of),
        f'the ratio "{form.name}" needs both sums of each unit in one place, but {places}. Take '
        "both from one connection, or both from events.",
    )
    return None


def _place(part: MetricDefinition) -> str:
    if isinstance(part, WarehouseMetric):
        return f'the connection "{part.source.connection}"'
    return "our events"


def _from_warehouse(
    conditions: Conditions, form: MetricFile, source: SourceForm
) -> WarehouseMetric:
    """Of a query that is not there the text is empty, and `warehouse_checks` has said so."""
    query = str(source.query)
    return WarehouseMetric(
        name=str(form.name),
        title=str(form.title or form.name),
        match=NO_EVENT,
        measure=form.measure,
        value=None,
        minus=None,
        within=form.within,
        winsorize=form.winsorize,
        covariate=form.covariate,
        better=form.better,
        currency=_currency(conditions, form),
        source=Source(
            str(source.connection),
            query,
            conditions.workspace.files.get(query, b"").decode("utf-8", "replace"),
            str(source.unit or "user"),
        ),
    )


def _values(metric: MetricDefinition) -> dict[str, Any]:
    return {each.name: getattr(metric, each.name) for each in fields(metric)}


def _currency(conditions: Conditions, form: MetricFile) -> str | None:
    return str(form.currency or conditions.workspace.settings.currency or "") or None
