"""metrics/*.yaml as written: which number each unit has, from which events, over which time.

Or from which query of a warehouse: see `SourceForm`.
"""

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from campaigns.event_forms import MatchForm, Where
from campaigns.forms import (
    Currency,
    EventName,
    Form,
    Key,
    Named,
    Path,
    Shorthand,
    Slug,
    Span,
    Words,
    one_of,
)
from campaigns.number_scalars import Quantile

MEASURES: Final = (
    "happened", "count", "sum", "mean_per_event", "last", "distinct", "quantile", "retained",
    "funnel", "ratio",
)  # fmt: skip
OF_A_VALUE: Final = ("sum", "mean_per_event", "last", "distinct")
"""Measures that read a value; a quantile may."""
YES_OR_NO: Final = ("happened", "retained", "funnel")
"""Measures that are 0 or 1 for each unit."""
NOT_OF_ONE_UNIT: Final = ("quantile", "ratio", "mean_per_event")
"""Measures that only many units have together; a bandit cannot be read by them."""
FROM_A_WAREHOUSE: Final = ("happened", "count", "sum", "mean_per_event")
"""Measures that a sum over a query's rows gives; a ratio takes its two metrics from their files."""
STEPS_MAX: Final = 10
SPANS_MAX: Final = 5

Measure = Literal[
    "happened", "count", "sum", "mean_per_event", "last", "distinct", "quantile", "retained",
    "funnel", "ratio",
]  # fmt: skip


class MinusForm(MatchForm):
    value: Path | None = None


class RatioForm(Form):
    """One metric over another, such as revenue per order."""

    of: Slug
    to: Slug


class SourceForm(Form):
    """A query in a database of the user's: `source: {connection: warehouse, query: FILE}`.

    It yields `unit` and `value`, and `at` where a window is to be kept; several rows of a unit are
    added up. `unit` says what its units are: user (the default), anonymous, or traits.PATH.
    """

    connection: Key
    query: Words
    unit: Path | None = None


def _from_events(value: Any) -> Any:
    """`source: events` is the default."""
    return None if value == "events" else value


class MetricFile(Named):
    """One number per unit from its events, counted from its first exposure."""

    KIND: ClassVar = "metric"

    metric: Slug
    title: Words | None = None
    description: Words | None = None
    event: EventName | None = None
    where: Where = Field(default_factory=dict)
    measure: Annotated[Measure, BeforeValidator(one_of(*MEASURES))] = "happened"
    value: Path | None = None
    quantile: Quantile | None = None
    after: Span | None = None
    steps: list[MatchForm] = Field(default_factory=list, max_length=STEPS_MAX)
    ratio: RatioForm | None = None
    minus: MinusForm | None = None
    within: Span | None = None
    over: Annotated[Literal["period"] | None, BeforeValidator(one_of("period"))] = None
    winsorize: Quantile | None = None
    covariate: Span | None = None
    predicted_from: list[Span] = Field(default_factory=list, max_length=SPANS_MAX)
    better: Annotated[Literal["higher", "lower"], BeforeValidator(one_of("higher", "lower"))] = (
        "higher"
    )
    source: Annotated[
        SourceForm | None, Shorthand(_from_events, {"type": "string", "enum": ["events"]})
    ] = None
    currency: Currency | None = None

    @model_validator(mode="after")
    def _says_what_and_when(self) -> "MetricFile":
        if self.source is not None:
            self._check_source()
        self._check_what()
        self._check_value()
        self._check_when()
        if self.winsorize is not None and self.measure in YES_OR_NO:
            raise ValueError("winsorize means nothing where only 0 and 1 are possible")
        if self.winsorize is not None and self.measure == "quantile":
            raise ValueError("winsorize means nothing for a quantile, which no tail moves")
        if self.covariate is not None and self.measure == "quantile":
            raise ValueError("a quantile cannot be adjusted by a covariate. Delete it")
        self._check_prediction()
        if self.minus is not None and self.measure not in ("count", "sum"):
            raise ValueError("minus needs measure: sum or count")
        if self.minus is not None and (self.measure == "sum") != (self.minus.value is not None):
            raise ValueError("minus is measured like the metric: a sum needs minus.value too")
        return self

    def _check_prediction(self) -> None:
        if not self.predicted_from:
            return
        if self.covariate is not None:
            raise ValueError(
                "covariate takes one span as it is, predicted_from learns from several. Keep one"
            )
        if self.measure == "quantile":
            raise ValueError("a quantile cannot be adjusted by a prediction. Delete predicted_from")
        if self.source is not None:
            raise ValueError(
                "predicted_from needs each unit, and only sums leave a warehouse. Write covariate"
            )

    def _check_source(self) -> None:
        assert self.source is not None
        if self.measure == "ratio":
            raise ValueError("a ratio has no source of its own; its two metrics have. Delete it")
        if self.measure not in FROM_A_WAREHOUSE:
            raise ValueError(
                f"measure: {self.measure} needs every row, and only sums leave a warehouse. Let the"
                f" query yield what adds up, or read events. Allowed: {', '.join(FROM_A_WAREHOUSE)}"
            )
        for key in ("event", "where", "value", "minus"):
            if getattr(self, key):
                raise ValueError(
                    f"{key} belongs to events; here the query says which rows count, and what each"
                    " is worth in its column value. Delete it"
                )

    def _check_what(self) -> None:
        made_of_more = {"funnel": "steps", "ratio": "ratio"}
        for measure, key in made_of_more.items():
            is_given = bool(getattr(self, key))
            if self.measure == measure and not is_given:
                raise ValueError(
                    "measure: funnel needs its steps in order: steps: [{event: …}, {event: …}]"
                    if measure == "funnel"
                    else "measure: ratio needs two metrics: ratio: {of: revenue-7d, to: orders-7d}"
                )
            if self.measure != measure and is_given:
                raise ValueError(f"{key} belongs to measure: {measure}")
        if self.measure == "funnel" and len(self.steps) < 2:
            raise ValueError("a funnel has at least two steps. For one, write measure: happened")
        if self.measure in made_of_more and (self.event is not None or self.where):
            raise ValueError(
                f"measure: {self.measure} has no event of its own; its"
                f" {'steps' if self.measure == 'funnel' else 'two metrics'} have"
            )
        if self.measure not in made_of_more and self.event is None and self.source is None:
            raise ValueError("a metric counts events: event: Order Completed")

    def _check_value(self) -> None:
        if self.measure in OF_A_VALUE and self.value is None and self.source is None:
            raise ValueError(
                "measure: sum needs the value to add up: value: properties.revenue"
                if self.measure == "sum"
                else f"measure: {self.measure} needs a value to read: value: properties.revenue"
            )
        if self.measure not in (*OF_A_VALUE, "quantile") and self.value is not None:
            raise ValueError(f"measure: {self.measure} reads no value. Delete it, or sum it")
        if (self.measure == "quantile") != (self.quantile is not None):
            raise ValueError("measure: quantile needs to say which: quantile: p50 is the median")

    def _check_when(self) -> None:
        if self.measure == "ratio":
            if self.within is not None or self.over is not None:
                raise ValueError("a ratio counts when its two metrics do. Delete within and over")
            return
        if (self.within is None) == (self.over is None):
            raise ValueError("a metric counts for a time: within: 14d, or over: period")
        if (self.measure == "retained") != (self.after is not None):
            raise ValueError(
                "measure: retained asks whether it happened between two days: after: 7d and"
                " within: 14d; no other measure has after"
            )
        if self.after is not None and (self.within is None or self.after >= self.within):
            raise ValueError("after must end before within does: after: 7d, within: 14d")
