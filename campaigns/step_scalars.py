"""Scalars that only steps and triggers know: rounds, offsets of days, names of answers."""

import re
from typing import Annotated, Final, TypeAlias

from pydantic import PlainValidator, WithJsonSchema

from campaigns.durations import parse_day_offset
from campaigns.forms import text_of
from campaigns.reading import Text, number, shorten

_SAVED = re.compile(r"[a-z][a-z0-9_]{0,39}")
ROUNDS_MAX: Final = 1_000
PICKS_MAX: Final = 50


def _times(text: Text) -> int:
    times = -1 if text.quoted else number(text)
    if isinstance(times, float) or not 1 <= times <= ROUNDS_MAX:
        raise ValueError(f"{text} is not a number of rounds. Write 1 to {ROUNDS_MAX}")
    return int(times)


def _pick_count(text: Text) -> int:
    count = -1 if text.quoted else number(text)
    if isinstance(count, float) or not 1 <= count <= PICKS_MAX:
        raise ValueError(f"{text} is not a number of picks. Write 1 to {PICKS_MAX}")
    return int(count)


def _saved_name(text: Text) -> Text:
    if not _SAVED.fullmatch(text):
        raise ValueError(
            f'"{shorten(text)}" cannot name an answer. Start with a letter, then a-z, 0-9 and _'
        )
    return text


Times: TypeAlias = Annotated[
    int,
    PlainValidator(lambda value: _times(text_of(value))),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": ROUNDS_MAX}),
]
PickCount: TypeAlias = Annotated[
    int,
    PlainValidator(lambda value: _pick_count(text_of(value))),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": PICKS_MAX}),
]
SavedName: TypeAlias = Annotated[
    Text,
    PlainValidator(lambda value: _saved_name(text_of(value))),
    WithJsonSchema({"type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$"}),
]
DayOffset: TypeAlias = Annotated[
    int,
    PlainValidator(lambda value: parse_day_offset(text_of(value))),
    WithJsonSchema({"type": "string", "pattern": "^[+-]?[0-9]+[dw]$", "description": "-7d 1w"}),
]
