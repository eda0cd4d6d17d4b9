"""The segment language as written: one mapping a condition, its first word says of what kind."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Discriminator, Field, Tag

from campaigns.event_forms import EventForm, SequenceForm, SessionForm, Where
from campaigns.forms import Form, Slug
from campaigns.person_forms import (
    FORMS,
    ClusterForm,
    ConsentForm,
    DeviceForm,
    ListForm,
    LocalTimeForm,
    LocationForm,
    MessageForm,
    SampleForm,
    ScoreForm,
)


class TraitForm(Form):
    """Facts of the profile: `trait: {plan: pro, ltv: {gte: 100}}`; all must hold."""

    trait: Where = Field(min_length=1)


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


PERSONAL: Final = tuple(FORMS)
GROUPS: Final = ("all", "any", "none", "not")
CONDITIONS: Final = ("trait", "event", "sequence", "session", "segment", *PERSONAL, *GROUPS)


def condition_kind(value: Any) -> str | None:
    """The kind of condition that a mapping is, by its keys."""
    if isinstance(value, Mapping):
        return next((kind for kind in CONDITIONS if kind in value), None)
    if isinstance(value, Form):
        personal = (kind for kind, form in FORMS.items() if type(value) is form)
        return next(personal, type(value).__name__.removesuffix("Form").lower())
    return None


ConditionForm: TypeAlias = Annotated[
    Annotated[TraitForm, Tag("trait")]
    | Annotated[EventForm, Tag("event")]
    | Annotated[SequenceForm, Tag("sequence")]
    | Annotated[SessionForm, Tag("session")]
    | Annotated[SegmentForm, Tag("segment")]
    | Annotated[ConsentForm, Tag("consent")]
    | Annotated[SampleForm, Tag("sample")]
    | Annotated[ListForm, Tag("list")]
    | Annotated[LocalTimeForm, Tag("local_time")]
    | Annotated[DeviceForm, Tag("device")]
    | Annotated[LocationForm, Tag("location")]
    | Annotated[ScoreForm, Tag("score")]
    | Annotated[ClusterForm, Tag("cluster")]
    | Annotated[MessageForm, Tag("message")]
    | Annotated[AllForm, Tag("all")]
    | Annotated[AnyForm, Tag("any")]
    | Annotated[NoneForm, Tag("none")]
    | Annotated[NotForm, Tag("not")],
    Discriminator(condition_kind),
]

for _form in (AllForm, AnyForm, NoneForm, NotForm):
    _form.model_rebuild()
