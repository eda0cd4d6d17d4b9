"""Conditions about events as written: how often, how much, when, in which order, in one visit."""

from typing import Annotated, Final, TypeAlias

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from campaigns.comparisons import Compared
from campaigns.forms import EventName, Form, Path, Span, text_of
from campaigns.reading import number
from campaigns.window_forms import WindowForm
from engine.core.conditions.aggregates import LIMIT_MAX
from engine.core.conditions.of_events import STEPS_MAX

MEASURES: Final = ("sum", "avg", "min", "max", "first", "last", "distinct")

Where: TypeAlias = dict[Path, Compared]
OnePath: TypeAlias = Annotated[Where, Field(min_length=1, max_length=1)]


def _limit(value: object) -> int:
    text = text_of(value)
    limit = number(text)
    if text.quoted or not isinstance(limit, int) or not 1 <= limit <= LIMIT_MAX:
        raise ValueError(f"the limit {text} is not a whole number from 1 to {LIMIT_MAX}")
    return limit


Limit: TypeAlias = Annotated[
    int,
    PlainValidator(_limit),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX}),
]


class MatchForm(Form):
    """Events of one name whose values pass: `event: Product Added`, `where: {...}`."""

    event: EventName
    where: Where = Field(default_factory=dict)


class FollowedForm(MatchForm):
    for_: Span = Field(alias="for")


class EventForm(WindowForm):
    """How often something happened (by default, at least once, ever), or what one of its
    properties comes to, or when it happened first or last."""

    event: EventName
    where: Where = Field(default_factory=dict)
    count: Compared | None = None
    not_followed_by: FollowedForm | None = None
    sum: OnePath | None = None
    avg: OnePath | None = None
    min: OnePath | None = None
    max: OnePath | None = None
    first: OnePath | None = None
    last: OnePath | None = None
    distinct: OnePath | None = None
    first_time: Compared | None = None
    last_time: Compared | None = None
    limit: Limit | None = None


class SequenceStepForm(MatchForm):
    """A step of a sequence; `gap` and `without` speak of the time since the step before."""

    gap: Span | None = None
    without: MatchForm | None = None


class SequenceForm(WindowForm):
    """Events in this order, all of them in the window."""

    sequence: list[SequenceStepForm] = Field(min_length=2, max_length=STEPS_MAX)
    limit: Limit | None = None


class SessionFacts(WindowForm):
    duration: Compared | None = None
    events: Compared | None = None
    count: Compared | None = None
    limit: Limit | None = None

    @model_validator(mode="after")
    def _is_bounded(self) -> "SessionFacts":
        if self.within is None and self.since is None and self.limit is None:
            raise ValueError(
                "a session needs a window: within: 2h, or since an instant. For all time say how "
                "many to remember: ever: true with limit: 512"
            )
        return self


class SessionForm(Form):
    session: SessionFacts
