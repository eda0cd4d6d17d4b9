"""Scalars that only models know: how many clusters, how stable, how long bought things stay hidden.

Each says what is allowed where it refuses. Read next: `model_forms`, `recommender_forms`.
"""

from collections.abc import Callable
from typing import Annotated, Final, TypeAlias

from pydantic import PlainValidator, WithJsonSchema

from campaigns.durations import parse_span
from campaigns.forms import text_of
from campaigns.reading import Text, number
from engine.core.model.instants import HOUR, SECOND

EVER: Final = 0
"""`purchased: ever`: whatever was bought is never shown again."""
CLUSTERS_MAX: Final = 50
BUDGET_MAX: Final = 6 * HOUR


def _whole(noun: str, least: int, most: int) -> Callable[[object], int]:
    """A reader of whole numbers from `least` to `most`."""

    def read(value: object) -> int:
        text = text_of(value)
        found = None if text.quoted else number(text)
        if not isinstance(found, int) or not least <= found <= most:
            raise ValueError(f"{text} is not {noun}: a whole number from {least} to {most:,}")
        return found

    return read


def _between(noun: str, least: float, most: float) -> Callable[[object], float]:
    """A reader of numbers from `least` to `most`."""

    def read(value: object) -> float:
        text = text_of(value)
        found = None if text.quoted else number(text)
        if found is None or not least <= found <= most:
            raise ValueError(f"{text} is not {noun}: a number from {least:g} to {most:g}")
        return float(found)

    return read


def _budget(value: object) -> int:
    span = parse_span(text_of(value))
    if not SECOND <= span <= BUDGET_MAX:
        raise ValueError("a search for settings takes 1s to 6h. Write budget: 60s")
    return span


def _purchased(value: object) -> int | None:
    text: Text = text_of(value)
    if text == "ever":
        return EVER
    if text == "never":
        return None
    try:
        return parse_span(text)
    except ValueError:
        raise ValueError(
            f'"{text}" does not say how long what was bought stays hidden. Write 30d, ever or never'
        ) from None


Clusters: TypeAlias = Annotated[
    int,
    PlainValidator(_whole("a number of clusters", 2, CLUSTERS_MAX)),
    WithJsonSchema({"type": "integer", "minimum": 2, "maximum": CLUSTERS_MAX}),
]
Stability: TypeAlias = Annotated[
    float,
    PlainValidator(_between("a stability", 0, 1)),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1}),
]
Hysteresis: TypeAlias = Annotated[
    int,
    PlainValidator(_whole("a number of refreshes", 1, 10)),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 10}),
]
Folds: TypeAlias = Annotated[
    int,
    PlainValidator(_whole("a number of folds", 1, 10)),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 10}),
]
TrainingBudget: TypeAlias = Annotated[
    int,
    PlainValidator(_budget),
    WithJsonSchema({"type": "string", "pattern": "^([0-9]+[smhdw])+$", "description": "60s 10m"}),
]
Number: TypeAlias = Annotated[
    float,
    PlainValidator(_between("a number here", -1e9, 1e9)),
    WithJsonSchema({"type": "number"}),
]
Percentile: TypeAlias = Annotated[
    float,
    PlainValidator(_between("a percentile", 0, 100)),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 100}),
]
Confidence: TypeAlias = Annotated[
    float,
    PlainValidator(_between("a confidence", 0, 1)),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1}),
]
HourOfDay: TypeAlias = Annotated[
    int,
    PlainValidator(_whole("an hour of the day", 0, 23)),
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": 23}),
]
LikingWeight: TypeAlias = Annotated[
    float,
    PlainValidator(_between("a weight", 0.001, 1_000)),
    WithJsonSchema({"type": "number", "minimum": 0.001, "maximum": 1_000}),
]
Money: TypeAlias = Annotated[
    float,
    PlainValidator(_between("an amount", 0, 1e9)),
    WithJsonSchema({"type": "number", "minimum": 0}),
]
Purchased: TypeAlias = Annotated[
    int | None,
    PlainValidator(_purchased),
    WithJsonSchema({"type": "string", "description": "30d, ever or never"}),
]
PerCategory: TypeAlias = Annotated[
    int,
    PlainValidator(_whole("a number of items", 1, 100)),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 100}),
]
Diversity: TypeAlias = Annotated[
    float,
    PlainValidator(_between("a diversity", 0, 0.9)),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 0.9}),
]
PopularityDamping: TypeAlias = Annotated[
    float,
    PlainValidator(_between("a damping", 0, 1)),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1}),
]
EventsAtLeast: TypeAlias = Annotated[
    int,
    PlainValidator(_whole("a number of events", 1, 1_000)),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 1_000}),
]
