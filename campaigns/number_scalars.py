"""Scalars that are numbers: shares in percent, weights, priorities, limits, quantiles.

Each says what is allowed where it refuses; a quoted number is text. Read next: `forms`.
"""

import re
from typing import Annotated, TypeAlias

from campaigns.forms import read_as
from campaigns.reading import Text, number, shorten

_WHOLE = re.compile(r"-?[0-9]+")


def _number(text: Text) -> float:
    if text.quoted:
        raise ValueError(f'"{shorten(text)}" is quoted and so text; a number is needed')
    return number(text)


def _whole(text: Text) -> int:
    value = _number(text)
    if isinstance(value, float):
        raise ValueError(f"{text} is not a whole number")
    return int(value)


def _percent(text: Text) -> float:
    percent = _number(text)
    if not 0 < percent <= 100:
        raise ValueError(f"{text} is not a percentage above 0 and up to 100. Write 10")
    return percent


def _degrees(text: Text) -> float:
    degrees = _number(text)
    if not -180 <= degrees <= 180:
        raise ValueError(f"{text} is not in degrees from -180 to 180. Write 52.52")
    return degrees


def _positive(text: Text) -> float:
    value = _number(text)
    if not value > 0:
        raise ValueError(f"{text} is not more than 0")
    return value


def _weight(text: Text) -> int:
    if not text.quoted and not _WHOLE.fullmatch(text):
        raise ValueError(
            f"the weight {shorten(text)} is not a whole number. Weights are parts of their sum and "
            "need not add up to anything: 1 and 1 are halves, 70 and 30 are 70% and 30%"
        )
    weight = _whole(text)
    if not 0 <= weight <= 1_000_000:
        raise ValueError(f"the weight {text} is not a whole number from 0 to 1000000")
    return weight


def _priority(text: Text) -> int:
    priority = _whole(text)
    if not 0 <= priority <= 100:
        raise ValueError(f"the priority {text} is not a whole number from 0 to 100")
    return priority


def _count_max(text: Text) -> int:
    count = _whole(text)
    if count < 1:
        raise ValueError(f"{text} is too few; the least is 1. To send nothing, pause the campaign")
    return count


def _alpha(text: Text) -> float:
    alpha = _number(text)
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha {text} is not between 0 and 0.5. The usual value is 0.05")
    return alpha


def _quantile(text: Text) -> float:
    match = re.fullmatch(r"p(\d{2}(?:\.\d)?)", text)
    if not match or not float(match[1]) >= 50:
        raise ValueError(f'"{shorten(text)}" is not a quantile from p50 to p99.9. Write p99')
    return float(match[1]) / 100


Percent: TypeAlias = Annotated[
    float, *read_as(_percent, {"type": "number", "exclusiveMinimum": 0, "maximum": 100})
]
Degrees: TypeAlias = Annotated[
    float, *read_as(_degrees, {"type": "number", "minimum": -180, "maximum": 180})
]
Positive: TypeAlias = Annotated[
    float, *read_as(_positive, {"type": "number", "exclusiveMinimum": 0})
]
Weight: TypeAlias = Annotated[int, *read_as(_weight, {"type": "integer", "minimum": 0})]
Priority: TypeAlias = Annotated[
    int, *read_as(_priority, {"type": "integer", "minimum": 0, "maximum": 100})
]
CountMax: TypeAlias = Annotated[int, *read_as(_count_max, {"type": "integer", "minimum": 1})]
Alpha: TypeAlias = Annotated[
    float, *read_as(_alpha, {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5})
]
Quantile: TypeAlias = Annotated[
    float, *read_as(_quantile, {"type": "string", "pattern": r"^p\d{2}(\.\d)?$"})
]
