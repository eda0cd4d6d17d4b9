"""`{gte: 2}`, `mobile` and `[de, at]` -> tests of a value, typed by what is declared of it.

A comparison is read twice: its shape with the file (operators, numbers of operands), its operands
once the type of the compared value is known, because `zip: 01234` is text only if the zip is.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias, get_args

import re2
from pydantic import PlainValidator, WithJsonSchema

from campaigns import durations
from campaigns.forms import text_of
from campaigns.problems import advice
from campaigns.reading import Text, number, scalar, shorten
from engine.core.model.conditions import Comparison, Operator
from engine.core.model.instants import Instant, Scalar

OPERATORS: Final[tuple[Operator, ...]] = get_args(Operator)
ORDERED: Final = ("gt", "gte", "lt", "lte", "between")
TEXTUAL: Final = ("contains", "not_contains", "starts_with", "ends_with", "matches")
DATED: Final = ("before", "after", "within_last", "within_next", "anniversary_within")
SPANS: Final = ("within_last", "within_next", "anniversary_within")
LISTS: Final = ("in", "not_in", "between")
ALWAYS: Final = ("is", "is_not", "in", "not_in", "exists")

TYPES: Final = {
    "string": ALWAYS + TEXTUAL,
    "number": ALWAYS + ORDERED,
    "integer": ALWAYS + ORDERED,
    "boolean": ALWAYS,
    "date": ALWAYS + DATED,
    "datetime": ALWAYS + DATED,
    "email": ALWAYS + TEXTUAL,
    "phone": ALWAYS + TEXTUAL,
    "timezone": ALWAYS + TEXTUAL,
    "locale": ALWAYS + TEXTUAL,
    "list": ("contains", "not_contains", "exists"),
    "object": ("exists",),
}
"""The types a trait or property may be declared as, and what may be asked of each."""

IN_MAX: Final = 1000


@dataclass(frozen=True)
class Asked:
    """One operator and its operands as written."""

    operator: Operator
    operands: tuple[Text, ...]
    line: int


Asking: TypeAlias = tuple[Asked, ...]


def read_comparison(tree: Any) -> Asking:
    """The tests that a value must all pass.

    Raises:
        ValueError: For unknown operators and wrong numbers of operands.
    """
    if isinstance(tree, list):
        return (_asked(Text("in", line=getattr(tree, "line", 0)), tree),)
    if not isinstance(tree, dict):
        return (_asked(Text("is", line=getattr(tree, "line", 0)), tree),)
    if not tree:
        raise ValueError("an empty comparison asks nothing. Write a value, or {gte: 2}")
    return tuple(_asked(text_of(operator), operand) for operator, operand in tree.items())


def _asked(operator: Text, operand: Any) -> Asked:
    if operator not in OPERATORS:
        raise ValueError(f'"{shorten(operator)}" is not an operator.{advice(operator, OPERATORS)}')
    if operator in LISTS:
        if not isinstance(operand, list):
            raise ValueError(f"{operator} needs a list: {operator}: [a, b]")
        operands = tuple(text_of(item) for item in operand)
        if operator == "between" and len(operands) != 2:
            raise ValueError(f"between needs two numbers, low and high; here are {len(operands)}")
        if not operands:
            raise ValueError(f"{operator} needs at least one value")
        if len(operands) > IN_MAX:
            raise ValueError(f"{operator} takes at most {IN_MAX} values; here are {len(operands)}")
    elif isinstance(operand, dict | list):
        kind = "list" if isinstance(operand, list) else "mapping"
        raise ValueError(f"{operator} needs one value, not a {kind}")
    else:
        operands = (text_of(operand),)
    found: Operator = next(known for known in OPERATORS if known == operator)
    return Asked(found, operands, operator.line)


def compile_asked(
    asking: Asking, *, declared: str | None, midnight: Callable[[Any], Instant]
) -> tuple[Comparison, ...]:
    """The core's comparisons.

    Args:
        declared: The value's declared type, or None where nothing is declared.
        midnight: The instant at which a calendar date starts in the workspace's zone.
    Raises:
        ValueError: If an operand does not suit, or no value could pass all tests.
    """
    comparisons = tuple(
        Comparison(asked.operator, _operand(asked, declared=declared, midnight=midnight))
        for asked in asking
    )
    if reason := contradiction(comparisons):
        raise ValueError(reason)
    return comparisons


def spans_asked(asking: Asking) -> tuple[Comparison, ...]:
    """Comparisons whose operands are lengths of time (`duration: {gte: 2m}`)."""
    comparisons = []
    for asked in asking:
        if asked.operator not in (*ORDERED, "is"):
            raise ValueError(f"{asked.operator} cannot compare lengths of time. Use gte or lte")
        spans = tuple(durations.parse_span(text) for text in asked.operands)
        comparisons.append(Comparison(asked.operator, spans if len(spans) > 1 else spans[0]))
    if reason := contradiction(comparisons):
        raise ValueError(reason)
    return tuple(comparisons)


def counts_asked(asking: Asking) -> tuple[Comparison, ...]:
    """Comparisons of a number of things: whole, not below zero."""
    comparisons = []
    for asked in asking:
        if asked.operator not in (*ORDERED, "is", "is_not", "in", "not_in"):
            raise ValueError(f"{asked.operator} cannot compare a count. Use gte, lte or is")
        values = tuple(number(text) for text in asked.operands)
        for value in values:
            if not isinstance(value, int) or value < 0:
                raise ValueError(f"a count is a whole number from 0, not {value}")
        operand: Any = values if asked.operator in LISTS else values[0]
        comparisons.append(Comparison(asked.operator, operand))
    if reason := contradiction(comparisons):
        raise ValueError(reason)
    return tuple(comparisons)


def contradiction(comparisons: Iterable[Comparison]) -> str | None:
    """Why no value at all can pass, where that is cheap to see."""
    low: Any = None
    high: Any = None
    low_open = high_open = False
    exact: list[Any] = []
    must_exist, must_lack = False, False
    for comparison in comparisons:
        operator, operand = comparison.operator, comparison.operand
        if operator in ("gt", "gte") and (low is None or operand >= low):
            low, low_open = operand, operator == "gt"
        elif operator in ("lt", "lte") and (high is None or operand <= high):
            high, high_open = operand, operator == "lt"
        elif operator == "between":
            low = operand[0] if low is None else max(low, operand[0])
            high = operand[1] if high is None else min(high, operand[1])
        elif operator == "is":
            exact.append(operand)
        if operator == "exists":
            must_exist, must_lack = must_exist or operand, must_lack or not operand
        elif operator not in ("is_not", "not_in", "not_contains"):
            must_exist = True
    if must_exist and must_lack:
        return "nothing can match: a value that does not exist passes no other test"
    is_empty = low is not None and high is not None and low >= high
    if is_empty and (low > high or low_open or high_open):
        return f"nothing can match: no value is above {low} and below {high} at once"
    for value in exact:
        if isinstance(value, int | float) and not isinstance(value, bool):
            if (low is not None and value < low) or (high is not None and value > high):
                return f"nothing can match: {value} is outside the other limits"
        elif low is not None or high is not None:
            return "nothing can match: `is` some text and a number's limits at once"
    return None


def _operand(asked: Asked, *, declared: str | None, midnight: Callable[[Any], Instant]) -> Any:
    operator = asked.operator
    if declared is not None and operator not in TYPES[declared]:
        raise ValueError(
            f"{operator} cannot be asked of a {declared}.{advice(operator, TYPES[declared])}"
        )
    if operator == "exists":
        return _exists(asked.operands[0])
    if operator in SPANS:
        return durations.parse_span(asked.operands[0])
    if operator in ("before", "after"):
        return _instant(asked.operands[0], midnight)
    if operator in ORDERED:
        numbers = tuple(_number(operator, text) for text in asked.operands)
        if operator == "between" and numbers[0] > numbers[1]:
            raise ValueError(f"nothing can match: between needs the lower first, not {numbers}")
        return numbers if operator == "between" else numbers[0]
    if operator == "matches":
        return _pattern(asked.operands[0])
    values = tuple(_typed(text, declared, operator) for text in asked.operands)
    return values if operator in LISTS else values[0]


def _typed(text: Text, declared: str | None, operator: str) -> Scalar:
    """The operand by the declared type: here `zip: 01234` stays text and `size: 42` a number."""
    if operator in ("starts_with", "ends_with"):
        return str(text)
    if declared in (None, "list", "object"):
        return scalar(text)
    if text == "null" and not text.quoted:
        return None
    if declared in ("number", "integer"):
        return _number(declared, text)
    if declared == "boolean":
        if text.quoted or text not in ("true", "false"):
            raise ValueError(f'"{shorten(text)}" is not true or false, and the value is a boolean')
        return text == "true"
    return str(text)


def _number(what: str, text: Text) -> int | float:
    if text.quoted:
        raise ValueError(f'{what} needs a number; "{shorten(text)}" is quoted and so text')
    return number(text)


def _exists(text: Text) -> bool:
    if text.quoted or text not in ("true", "false"):
        raise ValueError(f'exists is true or false, not "{shorten(text)}"')
    return text == "true"


def _instant(text: Text, midnight: Callable[[Any], Instant]) -> Instant:
    on = durations.parse_date(text)
    return midnight(on) if on else durations.parse_instant(text)


def _pattern(text: Text) -> str:
    """RE2 only: it matches in time linear in the text, whatever the pattern."""
    if len(text) > 500:
        raise ValueError("the pattern is longer than 500 characters")
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(str(text), options=options)
    except re2.error as error:
        reason = error.args[0] if error.args else "it cannot be read"
        reason = reason.decode() if isinstance(reason, bytes) else reason
        raise ValueError(f'"{shorten(text)}" is not a pattern that RE2 reads: {reason}') from None
    return str(text)


def dump_comparison(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The mapping that reads back to these comparisons (spans and dates as text)."""
    dumped: dict[str, Any] = {}
    for comparison in comparisons:
        operator, operand = comparison.operator, comparison.operand
        if operator in SPANS:
            operand = durations.dump_span(operand)
        elif operator in ("before", "after"):
            operand = durations.dump_instant(operand)
        dumped[operator] = list(operand) if isinstance(operand, tuple) else operand
    return dumped


_VALUE = {"type": ["string", "number", "boolean", "null"]}
_VALUES = {"type": "array", "items": _VALUE, "minItems": 1}
_OPERAND_SCHEMAS: dict[str, Any] = {
    **dict.fromkeys(OPERATORS, _VALUE),
    "in": _VALUES,
    "not_in": _VALUES,
    "between": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
    "exists": {"type": "boolean"},
}

Compared: TypeAlias = Annotated[
    Asking,
    PlainValidator(read_comparison),
    WithJsonSchema(
        {
            "description": "a value (equal), a list (any of), or a map of operators",
            "anyOf": [
                _VALUE,
                _VALUES,
                {
                    "type": "object",
                    "properties": _OPERAND_SCHEMAS,
                    "additionalProperties": False,
                    "minProperties": 1,
                },
            ],
        }
    ),
]
