"""Everything a user writes in YAML, file by file, and its JSON Schema for editors.

`Settings` is antiphon.yaml; the others are told apart by their folder and named by their first
key. Read next: `load`, which reads files into these, and `compile`, which turns them into the
core's nouns.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic.json_schema import models_json_schema

from campaigns.condition_forms import ConditionForm
from campaigns.event_forms import MatchForm, Where
from campaigns.experiment_forms import ExperimentPlan, NamespaceForm, PlannedVariantForm
from campaigns.forms import (
    SHARE_SHORTHAND,
    EventName,
    Flag,
    Form,
    Key,
    Named,
    Path,
    Shorthand,
    Slug,
    Span,
    WallTime,
    Words,
    ZoneOrProfile,
    one_of,
)
from campaigns.metric_forms import MetricFile
from campaigns.migrate_forms import MigrateForm
from campaigns.model_forms import ClusterFile, ModelFile, ScoreFile, SendTimeFile, UpliftFile
from campaigns.number_scalars import Priority
from campaigns.person_forms import LocalTimeFacts
from campaigns.recommender_forms import RecommenderFile
from campaigns.settings_forms import HoldoutForm, SettingsForm, ValueType
from campaigns.step_forms import JourneyStep
from campaigns.step_scalars import DayOffset
from campaigns.trial_forms import TestFile


class PropertyForm(Form):
    """What one property of an event carries; `properties` declares what is inside it."""

    type: ValueType = "string"
    required: Flag = False
    pii: Flag = False
    title: Words | None = None
    properties: dict[Key, "PropertyForm"] = Field(default_factory=dict)


class EventFile(Named):
    KIND: ClassVar = "event"

    event: EventName
    title: Words | None = None
    description: Words | None = None
    properties: dict[Key, PropertyForm] = Field(default_factory=dict)


class SegmentFile(Named):
    KIND: ClassVar = "segment"

    segment: Slug
    title: Words | None = None
    description: Words | None = None
    when: ConditionForm


# --- campaigns ----------------------------------------------------------------------------------


class EventTriggerForm(Form):
    event: EventName
    where: Where = Field(default_factory=dict)
    key: Path | None = None


class SegmentChangeForm(Form):
    enter: Slug | None = None
    exit: Slug | None = None
    backfill: Annotated[Literal["none", "current"], BeforeValidator(one_of("none", "current"))] = (
        "none"
    )

    @model_validator(mode="after")
    def _is_one_change(self) -> "SegmentChangeForm":
        if (self.enter is None) == (self.exit is None):
            raise ValueError("a segment trigger names one change: enter: NAME or exit: NAME")
        if self.exit is not None and self.backfill == "current":
            raise ValueError("backfill: current needs enter: nobody is leaving right now")
        return self


class SegmentTriggerForm(Form):
    segment: SegmentChangeForm


def _named_segment(value: Any) -> Any:
    """`audience: {segment: vip}`, as a campaign says it, means `audience: vip`."""
    is_said_long = isinstance(value, Mapping) and set(value) == {"segment"}
    return value["segment"] if is_said_long else value


class ScheduleForm(Form):
    cron: Words
    zone: ZoneOrProfile | None = None
    audience: Annotated[
        Slug | None,
        Shorthand(
            _named_segment, {"type": "object", "properties": {"segment": {"type": "string"}}}
        ),
    ] = None


class ScheduleTriggerForm(Form):
    schedule: ScheduleForm


class DateForm(Form):
    """A date of each person's, with `every: year` its anniversaries."""

    trait: Path
    at: WallTime
    offset: DayOffset = 0
    every: Annotated[Literal["year"] | None, BeforeValidator(one_of("year"))] = None
    zone: ZoneOrProfile | None = None


class DateTriggerForm(Form):
    date: DateForm


class ApiTriggerForm(Form):
    """Started by a call of the API; `key` is a path of what the call brings."""

    api: Flag
    key: Path | None = None

    @model_validator(mode="after")
    def _is_meant(self) -> "ApiTriggerForm":
        if not self.api:
            raise ValueError("api: false triggers nothing. Write api: true")
        return self


TRIGGERS: Final = ("event", "segment", "schedule", "date", "api")
LATER_TRIGGERS: Final = ()


def trigger_kind(value: Any) -> str | None:
    """The kind of trigger that a mapping is, by its keys."""
    if isinstance(value, Mapping):
        return next((kind for kind in TRIGGERS if kind in value), None)
    return None


TriggerForm: TypeAlias = Annotated[
    Annotated[EventTriggerForm, Tag("event")]
    | Annotated[SegmentTriggerForm, Tag("segment")]
    | Annotated[ScheduleTriggerForm, Tag("schedule")]
    | Annotated[DateTriggerForm, Tag("date")]
    | Annotated[ApiTriggerForm, Tag("api")],
    Discriminator(trigger_kind),
]


class AudienceForm(Form):
    """Who may enter; with `continuously`, who leaves it also leaves the journey."""

    segment: Slug
    continuously: Flag = False


REENTRY: Final = ("never", "after_exit", "after_gap")
WHILE_ACTIVE: Final = ("ignore", "restart", "parallel")


class ReentryForm(Form):
    when: Annotated[
        Literal["never", "after_exit", "after_gap"], BeforeValidator(one_of(*REENTRY))
    ] = "never"
    gap: Span | None = None
    while_active: Annotated[
        Literal["ignore", "restart", "parallel"], BeforeValidator(one_of(*WHILE_ACTIVE))
    ] = "ignore"

    @model_validator(mode="after")
    def _has_a_gap(self) -> "ReentryForm":
        if self.when == "after_gap" and self.gap is None:
            raise ValueError("when: after_gap needs the gap: gap: 7d")
        if self.when != "after_gap" and self.gap is not None:
            raise ValueError(f"gap means nothing with when: {self.when}. Write when: after_gap")
        return self


class GoalForm(Form):
    metric: Slug


STATES: Final = ("draft", "live", "paused", "archived")


class CampaignFile(Named):
    KIND: ClassVar = "campaign"

    campaign: Slug
    title: Words | None = None
    description: Words | None = None
    state: Annotated[
        Literal["draft", "live", "paused", "archived"], BeforeValidator(one_of(*STATES))
    ] = "live"
    programme: Slug | None = None
    trigger: TriggerForm
    audience: AudienceForm | None = None
    reentry: ReentryForm = Field(default_factory=ReentryForm)
    holdout: Annotated[HoldoutForm | None, SHARE_SHORTHAND] = None
    exit_when: MatchForm | None = None
    goal: GoalForm | None = None
    priority: Priority = 50
    topic: Slug | None = None
    when_capped: Annotated[Literal["defer", "drop"], BeforeValidator(one_of("defer", "drop"))] = (
        "defer"
    )
    send_window: LocalTimeFacts | None = None
    migrate: MigrateForm | None = None
    journey: list[JourneyStep] = Field(min_length=1)


class ExperimentFile(Named, ExperimentPlan):
    """An experiment apart from journeys: served to clients where its variants have values, else the
    plan of a step, which says what arms do."""

    KIND: ClassVar = "experiment"

    experiment: Slug
    title: Words | None = None
    hypothesis: Words | None = None
    variants: dict[Key, PlannedVariantForm] = Field(default_factory=dict)
    where: Where = Field(default_factory=dict)
    sticky: Flag = True
    programme: Slug | None = None
    seed: Words | None = None
    imported: Flag = False
    namespace: NamespaceForm | None = None

    @property
    def is_served(self) -> bool:
        """Whether clients ask for its value; else a journey has its step."""
        return any("value" in form.model_fields_set for form in self.variants.values())


FILES: Final[dict[str, type[Named]]] = {
    "events": EventFile,
    "segments": SegmentFile,
    "campaigns": CampaignFile,
    "experiments": ExperimentFile,
    "metrics": MetricFile,
    "tests": TestFile,
}
"""The form of the files in each folder that has but one."""

MODELS: Final = "models"
MODEL_FILES: Final[dict[str, type[ModelFile]]] = {
    form.KIND: form for form in (ClusterFile, ScoreFile, RecommenderFile, SendTimeFile, UpliftFile)
}
"""The forms of models/, by the first key of the file."""
FOLDERS: Final = (*FILES, MODELS)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of any one file of a workspace."""
    forms: list[type[Form]] = [SettingsForm, *FILES.values(), *MODEL_FILES.values()]
    references, schema = models_json_schema([(form, "validation") for form in forms], by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A file of an Antiphon workspace",
        "oneOf": [references[form, "validation"] for form in forms],
        **schema,
    }
