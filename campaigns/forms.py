"""The base of everything a user writes in YAML, and the scalars it is made of.

A form is a pydantic model whose keys are exactly the language's. Its scalars arrive as `Text`, so
that each form decides what its text means and every name still knows its line. Read next:
`condition_forms`, `step_forms`, `settings_forms`, `schema`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias, TypeVar, cast
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import core_schema

from campaigns import durations
from campaigns.problems import advice
from campaigns.reading import List, Map, Text, number, shorten
from engine.core.model.instants import Instant
from engine.core.model.steps import Duration

FormT = TypeVar("FormT", bound="Form")


class Form(BaseModel):
    """A mapping of the language. Unknown keys are errors; `line` is where it stands."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    _line: int = PrivateAttr(default=0)

    @property
    def line(self) -> int:
        return self._line

    @model_validator(mode="wrap")
    @classmethod
    def _remember_place(
        cls: type[FormT], data: Any, handler: Callable[[Any], FormT], info: ValidationInfo
    ) -> FormT:
        """Keep the line, and tell the wording of errors which form was tried on which mapping."""
        if info.context is not None:
            info.context["forms"][id(data)] = cls
        form = handler(data)
        form._line = getattr(data, "line", 0)
        return form


class Named(Form):
    """A file of the workspace: the key `KIND` says what it is and how it is called."""

    KIND: ClassVar[str]
    _file: str = PrivateAttr(default="")

    @property
    def file(self) -> str:
        return self._file

    @property
    def name(self) -> Text:
        """The value of that key (`campaign: abandoned-cart`)."""
        return cast(Text, getattr(self, self.KIND))


# --- scalars ------------------------------------------------------------------------------------


def text_of(value: Any) -> Text:
    """The scalar that stands here.

    Raises:
        ValueError: If a list or a mapping stands here.
    """
    if isinstance(value, Text):
        return value
    if isinstance(value, str):
        return Text(value, quoted=True)
    if isinstance(value, dict):
        raise ValueError("a mapping stands here; one value is needed")
    if isinstance(value, list):
        raise ValueError("a list stands here; one value is needed")
    return Text(str(value).lower() if isinstance(value, bool) else str(value))


def _read(function: Callable[[Text], Any], schema: dict[str, Any]) -> Any:
    """The pydantic annotation for a scalar that `function` reads from its text."""
    return (
        PlainValidator(lambda value: function(text_of(value))),
        WithJsonSchema(schema),
    )


_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_STEP_ID = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_PATH = re.compile(r"[^.\s{}]+(\.[^.\s{}]+)*")
_CURRENCY = re.compile(r"[A-Z]{3}")
_WHOLE = re.compile(r"-?[0-9]+")


def _slug(text: Text) -> Text:
    if not _SLUG.fullmatch(text):
        raise ValueError(
            f'"{shorten(text)}" cannot be a name. Use a-z, 0-9, - and _, at most 64: win-back'
        )
    return text


def _key(text: Text) -> Text:
    if not _KEY.fullmatch(text):
        raise ValueError(f'"{shorten(text)}" cannot be a name. Use letters, digits, - and _')
    return text


def _step_id(text: Text) -> Text:
    if not _STEP_ID.fullmatch(text):
        raise ValueError(
            f'"{shorten(text)}" cannot name a step. Start with a letter, then a-z, 0-9, - and _'
        )
    return text


def _event_name(text: Text) -> Text:
    if not text.strip() or len(text) > 200 or text != text.strip():
        raise ValueError("an event's name is 1 to 200 characters without spaces around it")
    return text


def _path(text: Text) -> Text:
    if not _PATH.fullmatch(text):
        raise ValueError(f'"{shorten(text)}" is not a path. Write names joined by dots')
    return text


def _words(text: Text) -> Text:
    return text


def _flag(text: Text) -> bool:
    if text.quoted or text not in ("true", "false"):
        raise ValueError(f'"{shorten(text)}" is not a yes or no. Write true or false')
    return text == "true"


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


def _zone(text: Text) -> Text:
    try:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}", text):
            raise ValueError
        ZoneInfo(text)
    except (ValueError, OSError, KeyError):
        raise ValueError(
            f'"{shorten(text)}" is not a time zone. Write an IANA name: Europe/Berlin'
        ) from None
    return text


def _zone_or_profile(text: Text) -> Text:
    return text if text == "profile" else _zone(text)


def _currency(text: Text) -> Text:
    if not _CURRENCY.fullmatch(text):
        raise ValueError(f'"{shorten(text)}" is not a currency. Write an ISO 4217 code: EUR')
    return text


def _quantile(text: Text) -> float:
    match = re.fullmatch(r"p(\d{2}(?:\.\d)?)", text)
    if not match or not float(match[1]) >= 50:
        raise ValueError(f'"{shorten(text)}" is not a quantile from p50 to p99.9. Write p99')
    return float(match[1]) / 100


def one_of(*words: str) -> Callable[[Any], Any]:
    """A reader for a fixed set of words: the text must be one of them."""

    def read(value: Any) -> Any:
        text = text_of(value)
        if text not in words:
            raise ValueError(f'"{shorten(text)}" is not allowed here.{advice(text, words)}')
        return str(text)

    return read


Slug: TypeAlias = Annotated[
    Text, *_read(_slug, {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"})
]
Key: TypeAlias = Annotated[
    Text, *_read(_key, {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,63}$"})
]
StepName: TypeAlias = Annotated[
    Text, *_read(_step_id, {"type": "string", "pattern": "^[a-z][a-z0-9_-]{0,63}$"})
]
EventName: TypeAlias = Annotated[
    Text, *_read(_event_name, {"type": "string", "minLength": 1, "maxLength": 200})
]
Path: TypeAlias = Annotated[Text, *_read(_path, {"type": "string"})]
Words: TypeAlias = Annotated[Text, *_read(_words, {"type": "string"})]
Flag: TypeAlias = Annotated[bool, *_read(_flag, {"type": "boolean"})]
Percent: TypeAlias = Annotated[
    float, *_read(_percent, {"type": "number", "exclusiveMinimum": 0, "maximum": 100})
]
Degrees: TypeAlias = Annotated[
    float, *_read(_degrees, {"type": "number", "minimum": -180, "maximum": 180})
]
Positive: TypeAlias = Annotated[float, *_read(_positive, {"type": "number", "exclusiveMinimum": 0})]
Weight: TypeAlias = Annotated[int, *_read(_weight, {"type": "integer", "minimum": 0})]
Priority: TypeAlias = Annotated[
    int, *_read(_priority, {"type": "integer", "minimum": 0, "maximum": 100})
]
CountMax: TypeAlias = Annotated[int, *_read(_count_max, {"type": "integer", "minimum": 1})]
Alpha: TypeAlias = Annotated[
    float, *_read(_alpha, {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5})
]
Zone: TypeAlias = Annotated[Text, *_read(_zone, {"type": "string"})]
ZoneOrProfile: TypeAlias = Annotated[
    Text, *_read(_zone_or_profile, {"type": "string", "description": '"profile" or an IANA name'})
]
Currency: TypeAlias = Annotated[
    Text, *_read(_currency, {"type": "string", "pattern": "^[A-Z]{3}$"})
]
Quantile: TypeAlias = Annotated[
    float, *_read(_quantile, {"type": "string", "pattern": r"^p\d{2}(\.\d)?$"})
]
Span: TypeAlias = Annotated[
    int,
    *_read(
        durations.parse_span,
        {"type": "string", "pattern": "^([0-9]+[smhdw])+$", "description": "30m 24h 7d 2w"},
    ),
]
AnyDuration: TypeAlias = Annotated[
    Duration,
    *_read(
        durations.parse_duration,
        {
            "type": "string",
            "pattern": "^(([0-9]+[smhdw])+|P([0-9]+Y)?([0-9]+M)?([0-9]+W)?([0-9]+D)?)$",
            "description": "30m 24h 7d, or calendar steps P1D P1M",
        },
    ),
]
WallTime: TypeAlias = Annotated[
    int,
    *_read(
        durations.parse_wall_time,
        {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"},
    ),
]
CallRate: TypeAlias = Annotated[
    tuple[int, int],
    *_read(
        durations.parse_rate,
        {"type": "string", "pattern": "^[0-9]{1,6}/[smhd]$", "description": "100/s 600/m 5000/h"},
    ),
]
Share: TypeAlias = Annotated[
    float,
    *_read(durations.parse_share, {"type": ["string", "number"], "description": "10% or 0.1"}),
]
When: TypeAlias = Annotated[
    Instant, *_read(durations.parse_instant, {"type": "string", "format": "date-time"})
]


def _tree(value: Any) -> Any:
    return value


Free: TypeAlias = Annotated[Any, PlainValidator(_tree), WithJsonSchema({})]
"""Any tree; whoever uses it says what it means."""

Weekday: TypeAlias = Annotated[
    Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
    BeforeValidator(one_of(*durations.WEEKDAYS)),
]


@dataclass(frozen=True)
class Shorthand:
    """An annotation: `expand` turns a shorter form into the full one; the JSON Schema has both."""

    expand: Callable[[Any], Any]
    schema: dict[str, Any]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [self.schema, handler(schema)]}


def _expanded_share(value: Any) -> Any:
    """`holdout: 10%` means `holdout: {share: 10%}`."""
    if isinstance(value, Text):
        mapping = Map(line=value.line)
        mapping["share"] = value
        mapping.key_lines["share"] = value.line
        return mapping
    return value


def _listed(value: Any) -> Any:
    """One value where a list may stand means a list of it."""
    if isinstance(value, Text):
        items = List(line=value.line)
        items.append(value)
        return items
    return value


SHARE_SHORTHAND: Final = Shorthand(_expanded_share, {"type": ["string", "number"]})
LIST_SHORTHAND: Final = Shorthand(_listed, {"type": "string"})

PII_OPERATORS: Final = ("is", "in", "exists")
