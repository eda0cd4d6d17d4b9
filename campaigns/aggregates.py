"""Aggregates of a property as written (`sum: {properties.revenue: {gte: 100}}`) -> the core's."""

from typing import Any, Final

from campaigns.comparisons import Asking, counts_asked
from campaigns.declarations import Declarations
from campaigns.event_forms import MEASURES, EventForm
from campaigns.matches import property_type
from campaigns.reading import Text
from engine.core.conditions.aggregates import LIMIT_MAX, ORDERED
from engine.core.conditions.counts import count_verdicts
from engine.core.conditions.units import compile_total_test
from engine.core.errors import CampaignError
from engine.core.model.conditions import (
    AggregateCondition,
    Comparison,
    Condition,
    EventMatch,
    Window,
)

LIMIT: Final = 1_000
NUMERIC: Final = ("sum", "avg", "min", "max")


def compile_measures(
    declarations: Declarations, form: EventForm, match: EventMatch, window: Window, file: str
) -> list[Condition]:
    """A condition for each measure of the form; what is wrong is reported."""
    found: list[Condition] = []
    limit = LIMIT if form.limit is None else form.limit
    measures = [measure for measure in MEASURES if getattr(form, measure) is not None]
    for measure in measures:
        ((path, asking),) = getattr(form, measure).items()
        comparisons = _compared(declarations, measure, form, path, asking, file)
        parts = tuple(str(path).split("."))
        found.append(AggregateCondition(match, _known(measure), parts, comparisons, window, limit))
        if measure == "distinct" and comparisons:
            _check_distinct(declarations, form, path, comparisons, limit, file)
    if form.limit is not None and measures and not any(_is_limited(one, form) for one in measures):
        declarations.report(
            file,
            form.line,
            "limit",
            f"{' and '.join(measures)} of all time remembers one value: `limit` bounds nothing "
            "here. Take it out.",
        )
    return found


def _known(measure: str) -> Any:
    return measure


def _is_limited(measure: str, form: EventForm) -> bool:
    return measure == "distinct" or form.within is not None


def _compared(
    declarations: Declarations, measure: str, form: EventForm, path: Text, asking: Asking, file: str
) -> tuple[Comparison, ...]:
    declared, is_pii = property_type(declarations, form.event, path, file)
    if is_pii:
        declarations.report(
            file,
            path.line,
            str(path),
            f'"{path}" is pii: it is not added up or remembered. Send what you need to compare as '
            "a property of its own.",
        )
        return ()
    if measure == "distinct":
        return declarations.tried(counts_asked, asking, file, path.line, measure)
    if measure in NUMERIC:
        return _numbers(declarations, measure, path, asking, declared, file)
    if "*" in path.split(".") or declared in ("list", "object"):
        declarations.report(
            file,
            path.line,
            str(path),
            f'{measure}: "{path}" leads to many values of one event. Name one, such as '
            "properties.products.0.price.",
        )
        return ()
    return declarations.asked(path, asking, declared, file)


def _numbers(
    declarations: Declarations,
    measure: str,
    path: Text,
    asking: Asking,
    declared: str | None,
    file: str,
) -> tuple[Comparison, ...]:
    if declared not in (None, "number", "integer"):
        declarations.report(
            file,
            path.line,
            str(path),
            f'{measure}: "{path}" is a {declared}; a number is needed.',
        )
        return ()
    allowed = [one for one in ORDERED if measure != "sum" or one != "exists"]
    for asked in asking:
        if asked.operator not in allowed:
            why = "the sum of nothing is 0, so there always is one. " * (asked.operator == "exists")
            declarations.report(
                file,
                asked.line or path.line,
                asked.operator,
                f"{measure}: {asked.operator} cannot compare it; {why}"
                f"Allowed: {', '.join(allowed)}.",
            )
            return ()
    comparisons = declarations.asked(path, asking, "number", file)
    if measure in ("sum", "avg"):
        try:
            compile_total_test(comparisons, is_mean=measure == "avg")
        except CampaignError as error:
            declarations.report(file, path.line, str(path), f"{error}")
            return ()
    return comparisons


def _check_distinct(
    declarations: Declarations,
    form: EventForm,
    path: Text,
    comparisons: tuple[Comparison, ...],
    limit: int,
    file: str,
) -> None:
    try:
        needed = len(count_verdicts(comparisons)) - 1
    except CampaignError as error:
        declarations.report(file, path.line, str(path), f"distinct: {error}")
        return
    if form.within is None and form.since is None and form.limit is None:
        declarations.report(
            file,
            path.line,
            "distinct",
            "distinct of all time needs a limit: how many different values to remember of each "
            f"person. Write limit: {min(max(needed, LIMIT), LIMIT_MAX)}, or within: 30d.",
        )
    elif needed > limit:
        declarations.report(
            file,
            path.line,
            "distinct",
            f"distinct compares with more than the {limit} values that are remembered. "
            f"Write limit: {needed}.",
        )
