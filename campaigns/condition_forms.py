"""The segment language as written: one mapping a condition, its first word says of what kind."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from campaigns.comparisons import Compared
from campaigns.forms import EventName, Flag, Form, Path, Slug, Span, Words

LATER_CONDITIONS: Final = (
    "sequence", "local_time", "location", "device", "consent", "message", "cluster", "score",
    "sample", "list",
)  # fmt: skip
"""Kinds of the full language that this version does not have."""

LATER_AGGREGATES: Final = (
    "sum", "avg", "min", "max", "last", "first", "distinct", "first_time", "last_time", "limit",
)  # fmt: skip

Where: TypeAlias = dict[Path, Compared]


class MatchForm(Form):
    """Events of one name whose values pass: `event: Product Added`, `where: {...}`."""

    event: EventName
    where: Where = Field(default_factory=dict)


class WindowForm(Form):
    """Which times count: `within` a span before now and [`since`, `until`), or `ever`."""

    within: Span | None = None
    since: Words | None = None
    until: Words | None = None
    ever: Flag = False

    @model_validator(mode="after")
    def _is_bounded_or_ever(self) -> "WindowForm":
        bounded = self.since is not None or self.until is not None
        given = [
            word
            for word, is_given in (
                ("within", self.within is not None),
                ("since/until", bounded),
                ("ever", self.ever),
            )
            if is_given
        ]
        if self.ever and len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other. Keep one")
        return self


class TraitForm(Form):
    """Facts of the profile: `trait: {plan: pro, ltv: {gte: 100}}`; all must hold."""

    trait: Where = Field(min_length=1)


class FollowedForm(MatchForm):
    for_: Span = Field(alias="for")


class EventForm(WindowForm):
    """How often something happened: by default, at least once, ever."""

    event: EventName
    where: Where = Field(default_factory=dict)
    count: Compared | None = None
    not_followed_by: FollowedForm | None = None


class SessionFacts(WindowForm):
    duration: Compared | None = None
    events: Compared | None = None

    @model_validator(mode="after")
    def _is_bounded(self) -> "SessionFacts":
        if self.within is None and self.since is None:
            raise ValueError("a session needs a window: within: 2h, or since an instant")
        return self


class SessionForm(Form):
    session: SessionFacts


class SegmentForm(Form):
    """Whoever is in another segment."""

    segment: Slug


class AllForm(Form):
    all: list["ConditionForm"] = Field(min_length=1)


class AnyForm(Form):
    any: list["ConditionForm"] = Field(min_length=1)


class NoneForm(Form):
    none: list["ConditionForm"] = Field(min_length=1)


class NotForm(Form):
    not_: "ConditionForm" = Field(alias="not")


CONDITIONS: Final = ("trait", "event", "session", "segment", "all", "any", "none", "not")


def condition_kind(value: Any) -> str | None:
    """The kind of condition that a mapping is, by its keys."""
    if isinstance(value, Mapping):
        return next((kind for kind in CONDITIONS if kind in value), None)
    if isinstance(value, Form):
        return type(value).__name__.removesuffix("Form").lower()
    return None


ConditionForm: TypeAlias = Annotated[
    Annotated[TraitForm, Tag("trait")]
    | Annotated[EventForm, Tag("event")]
    | Annotated[SessionForm, Tag("session")]
    | Annotated[SegmentForm, Tag("segment")]
    | Annotated[AllForm, Tag("all")]
    | Annotated[AnyForm, Tag("any")]
    | Annotated[NoneForm, Tag("none")]
    | Annotated[NotForm, Tag("not")],
    Discriminator(condition_kind),
]

for _form in (AllForm, AnyForm, NoneForm, NotForm):
    _form.model_rebuild()
