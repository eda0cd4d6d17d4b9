"""metrics/*.yaml -> what reading them out needs: which events, which value, for how long."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from campaigns.compile import names_of
from campaigns.conditions import Conditions
from campaigns.problems import InvalidWorkspace, Problem
from campaigns.schema import MetricFile
from campaigns.workspace import Workspace
from engine.core.model import EventMatch


@dataclass(frozen=True)
class MetricDefinition:
    """One number per unit.

    Attributes:
        match: The events that count.
        value: The path that is summed (`("properties", "revenue")`); None unless `measure` is sum.
        minus: Events taken off again, with the path of their value.
        within: Microseconds from the unit's first exposure; None means over the whole period.
        winsorize: The quantile, in (0, 1), of non-zero values at which larger ones are cut.
        covariate: Microseconds before exposure in which the same quantity is the covariate.
    """

    name: str
    title: str
    match: EventMatch
    measure: Literal["happened", "count", "sum"]
    value: tuple[str, ...] | None
    minus: tuple[EventMatch, tuple[str, ...] | None] | None
    within: int | None
    winsorize: float | None
    covariate: int | None
    better: Literal["higher", "lower"]
    currency: str | None


def compile_metrics(workspace: Workspace) -> dict[str, MetricDefinition]:
    """Every metric of a checked workspace, by name."""
    problems: list[Problem] = []
    conditions = Conditions(
        workspace, names=names_of(workspace), blind=lambda *_: "", problems=problems
    )
    metrics = {name: compile_metric(conditions, form) for name, form in workspace.metrics.items()}
    if problems:
        raise InvalidWorkspace(problems)
    return metrics


def check_metrics(conditions: Conditions, metrics: Mapping[str, MetricFile]) -> None:
    """Report what is wrong with any metric."""
    currency = conditions.workspace.settings.currency
    for form in metrics.values():
        compile_metric(conditions, form)
        if form.currency is not None and form.currency != currency:
            ours = f"the workspace counts in {currency}" if currency else "antiphon.yaml names none"
            conditions.report(
                form.file,
                form.currency.line,
                str(form.currency),
                f'the metric "{form.name}" is in {form.currency}, but {ours}. Currencies are not '
                "converted in this version.",
            )


def compile_metric(conditions: Conditions, form: MetricFile) -> MetricDefinition:
    """One metric; what is wrong is reported to the conditions' problems."""
    if form.value is not None:
        conditions.check_path(form.event, form.value, form.file, numeric=True)
    minus = None
    if form.minus is not None:
        if form.minus.value is not None:
            conditions.check_path(form.minus.event, form.minus.value, form.file, numeric=True)
        minus = (
            conditions.match(form.minus.event, form.minus.where, form.file),
            tuple(form.minus.value.split(".")) if form.minus.value else None,
        )
    return MetricDefinition(
        name=str(form.name),
        title=str(form.title or form.name),
        match=conditions.match(form.event, form.where, form.file),
        measure=form.measure,
        value=tuple(form.value.split(".")) if form.value else None,
        minus=minus,
        within=form.within,
        winsorize=form.winsorize,
        covariate=form.covariate,
        better=form.better,
        currency=str(form.currency or conditions.workspace.settings.currency or "") or None,
    )
