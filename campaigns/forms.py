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
from campaigns.reading import List, Map, Text, shorten
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


def read_as(function: Callable[[Text], Any], schema: dict[str, Any]) -> Any:
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


def one_of(*words: str) -> Callable[[Any], Any]:
    """A reader for a fixed set of words: the text must be one of them."""

    def read(value: Any) -> Any:
        text = text_of(value)
        if text not in words:
            raise ValueError(f'"{shorten(text)}" is not allowed here.{advice(text, words)}')
        return str(text)

    return read


Slug: TypeAlias = Annotated[
    Text, *read_as(_slug, {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"})
]
Key: TypeAlias = Annotated[
    Text, *read_as(_key, {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,63}$"})
]
StepName: TypeAlias = Annotated[
    Text, *read_as(_step_id, {"type": "string", "pattern": "^[a-z][a-z0-9_-]{0,63}$"})
]
EventName: TypeAlias = Annotated[
    Text, *read_as(_event_name, {"type": "string", "minLength": 1, "maxLength": 200})
]
Path: TypeAlias = Annotated[Text, *read_as(_path, {"type": "string"})]
Words: TypeAlias = Annotated[Text, *read_as(_words, {"type": "string"})]
Flag: TypeAlias = Annotated[bool, *read_as(_flag, {"type": "boolean"})]
Zone: TypeAlias = Annotated[Text, *read_as(_zone, {"type": "string"})]
ZoneOrProfile: TypeAlias = Annotated[
    Text, *read_as(_zone_or_profile, {"type": "string", "description": '"profile" or an IANA name'})
]
Currency: TypeAlias = Annotated[
    Text, *read_as(_currency, {"type": "string", "pattern": "^[A-Z]{3}$"})
]
Span: TypeAlias = Annotated[
    int,
    *read_as(
        durations.parse_span,
        {"type": "string", "pattern": "^([0-9]+[smhdw])+$", "description": "30m 24h 7d 2w"},
    ),
]
AnyDuration: TypeAlias = Annotated[
    Duration,
    *read_as(
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
    *read_as(
        durations.parse_wall_time,
        {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"},
    ),
]
CallRate: TypeAlias = Annotated[
    tuple[int, int],
    *read_as(
        durations.parse_rate,
        {"type": "string", "pattern": "^[0-9]{1,6}/[smhd]$", "description": "100/s 600/m 5000/h"},
    ),
]
Share: TypeAlias = Annotated[
    float,
    *read_as(durations.parse_share, {"type": ["string", "number"], "description": "10% or 0.1"}),
]
When: TypeAlias = Annotated[
    Instant, *read_as(durations.parse_instant, {"type": "string", "format": "date-time"})
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
