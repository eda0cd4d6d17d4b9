"""Parts of antiphon.yaml: how a channel sends beyond its rate, what pauses a campaign."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field, PlainValidator, WithJsonSchema

from campaigns.durations import parse_date, parse_rate
from campaigns.forms import Form, Share, Span, text_of
from campaigns.number_scalars import CountMax
from campaigns.reading import Text, shorten
from engine.core.model.instants import DAY, SECOND, Instant

EVERY_DOMAIN: Final = "*"
_DOMAIN: Final = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")


def _domain(value: Any) -> Text:
    text = text_of(value)
    if text != EVERY_DOMAIN and not _DOMAIN.fullmatch(text):
        raise ValueError(
            f'"{shorten(text)}" is not a domain. Write gmail.com in small letters, or "*" for '
            "every other"
        )
    return text


def _first_day(value: Any) -> Instant:
    text = text_of(value)
    day = parse_date(text)
    if day is None:
        raise ValueError(f'"{shorten(text)}" is not a day. Write 2026-12-01')
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * SECOND


def _daily(value: Any) -> int:
    text = text_of(value)
    calls, per = parse_rate(text)
    if per != DAY:
        raise ValueError(f'a warm-up goes by the day: write {calls}/d, not "{text}"')
    return calls


Domain: TypeAlias = Annotated[
    Text, PlainValidator(_domain), WithJsonSchema({"type": "string", "description": "gmail.com, *"})
]
FirstDay: TypeAlias = Annotated[
    Instant, PlainValidator(_first_day), WithJsonSchema({"type": "string", "format": "date"})
]
Daily: TypeAlias = Annotated[
    int,
    PlainValidator(_daily),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,6}/d$", "description": "50/d"}),
]


class WarmUpForm(Form):
    """The first days of a new domain or number: `start` messages, doubled every `doubles`."""

    from_: FirstDay = Field(alias="from")
    start: Daily
    doubles: Span = DAY


class LimitsForm(Form):
    """What pauses a campaign by itself: a share of complaints or hard bounces above these.

    `of` is how many messages must have gone out before a share means anything.
    """

    complaints: Share = 0.001
    hard_bounces: Share = 0.02
    of: CountMax = 1_000
