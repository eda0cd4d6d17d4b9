"""antiphon.yaml: the workspace's channels, topics, traits, defaults, holdouts and layers."""

from typing import Annotated, Any, Final, Literal, TypeAlias, cast

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from campaigns.comparisons import TYPES
from campaigns.forms import (
    LIST_SHORTHAND,
    SHARE_SHORTHAND,
    CallRate,
    Currency,
    Flag,
    Form,
    Free,
    Key,
    Path,
    Share,
    Shorthand,
    Slug,
    Span,
    WallTime,
    Words,
    Zone,
    one_of,
)
from campaigns.learning_forms import LearningForm
from campaigns.number_scalars import CountMax
from campaigns.reading import Map, Text, plain
from campaigns.schedule_forms import ScheduledForm
from campaigns.sending_forms import Domain, LimitsForm, WarmUpForm
from engine.core.model.instants import HOUR, MINUTE

CHANNEL_KINDS: Final = ("email", "sms", "push", "web")
REDIRECTED_KINDS: Final = ("email", "sms", "push")
"""What web shows is bound to a visitor: there is no address that could stand in."""
ZONE_SOURCES: Final = ("trait", "device", "country", "workspace")

ValueType: TypeAlias = Annotated[str, BeforeValidator(one_of(*TYPES))]
ZoneSource: TypeAlias = Annotated[
    Literal["trait", "device", "country", "workspace"], BeforeValidator(one_of(*ZONE_SOURCES))
]


class ConsentForm(Form):
    """What an unknown consent means. There is no default: someone must have decided."""

    unknown: Annotated[Literal["refuse", "allow"], BeforeValidator(one_of("refuse", "allow"))]


class ConfirmForm(Form):
    """The message by which somebody confirms a consent: its template has `{{ confirm_url }}`."""

    channel: Slug
    template: Slug


class TopicForm(Form):
    """What people agree to. `titles` are by language; with `track` false neither opens nor clicks
    are counted; `opt_in: double` lets a consent count once its person has confirmed it."""

    title: Words | None = None
    titles: dict[Key, Words] = Field(default_factory=dict)
    transactional: Flag = False
    track: Flag = True
    opt_in: Annotated[Literal["single", "double"], BeforeValidator(one_of("single", "double"))] = (
        "single"
    )

    confirm: ConfirmForm | None = None

    @model_validator(mode="after")
    def _can_be_asked(self) -> "TopicForm":
        if self.confirm is not None and self.opt_in != "double":
            raise ValueError("confirm belongs to a topic with opt_in: double")
        if self.transactional and self.opt_in == "double":
            raise ValueError("nobody agrees to a transactional topic: opt_in does not fit it")
        return self


class TraitDeclaration(Form):
    type: ValueType = "string"
    pii: Flag = False
    purpose: Words | None = None
    title: Words | None = None


class ChannelForm(Form):
    """A channel and the provider's own settings, which the provider checks.

    `rate` is the most that its provider takes, as (calls, microseconds); `domains` the most for
    recipients of one domain. `backup` is another channel of its kind, called while this is down.
    """

    model_config = ConfigDict(extra="allow")
    provider: Slug = Field(default_factory=lambda: Text("sandbox"))
    kind: Annotated[
        Literal["email", "sms", "push", "web"] | None, BeforeValidator(one_of(*CHANNEL_KINDS))
    ] = None
    rate: CallRate | None = None
    backup: Slug | None = None
    domains: dict[Domain, CallRate] = Field(default_factory=dict)
    warm_up: WarmUpForm | None = None

    @property
    def is_room(self) -> bool:
        """Whether it writes to a team's chat, and not to the person that a message is about."""
        return self.provider == "chat"

    @property
    def settings(self) -> dict[str, Any]:
        """The provider's settings by name, `${env:…}` filled in."""
        return {str(name): plain(value) for name, value in (self.model_extra or {}).items()}


class QuietHoursForm(Form):
    from_: WallTime = Field(alias="from")
    to: WallTime

    @model_validator(mode="after")
    def _has_a_length(self) -> "QuietHoursForm":
        if self.from_ == self.to:
            raise ValueError("quiet hours that end when they start are none. Delete them")
        return self


TRIES_MOST: Final = 6
"""With more limits each is drawn by too few people to be told apart."""


class TriesForm(Form):
    """Limits of which each profile draws one; `control` is what the others are compared with."""

    try_: list[CountMax] = Field(alias="try")
    control: CountMax | None = None

    @model_validator(mode="after")
    def _compares(self) -> "TriesForm":
        limits = self.try_
        if len(set(limits)) < len(limits):
            twice = next(it for it in limits if limits.count(it) > 1)
            raise ValueError(f"the limit {twice} stands there twice. Delete one")
        if not 2 <= len(limits) <= TRIES_MOST:
            raise ValueError(
                f"from 2 to {TRIES_MOST} limits can be compared, and here stand {len(limits)}. "
                "Write try: [1, 2, 4]"
            )
        if self.control is not None and self.control not in limits:
            raise ValueError(
                f"the control {self.control} is none of the limits: {', '.join(map(str, limits))}"
            )
        return self

    @property
    def limits(self) -> tuple[int, ...]:
        """Ascending: the order in which they are written moves nobody."""
        return tuple(sorted(self.try_))

    @property
    def compared_with(self) -> int:
        """The control, or unsaid the middle one, of two the lower."""
        limits = self.limits
        return limits[(len(limits) - 1) // 2] if self.control is None else self.control


def _limit_kind(value: Any) -> str:
    return "try" if isinstance(value, Map | TriesForm) else "one"


class CapForm(Form):
    """At most `max` messages in any window of `per`, on one channel, one topic or overall.

    A cap that tries several limits is an experiment of its `name`.
    """

    name: Slug | None = None
    max: Annotated[
        Annotated[CountMax, Tag("one")] | Annotated[TriesForm, Tag("try")],
        Discriminator(_limit_kind),
    ]
    per: Span
    channel: Slug | None = None
    topic: Slug | None = None

    @model_validator(mode="after")
    def _has_a_name(self) -> "CapForm":
        if self.tries is not None and self.name is None:
            raise ValueError(
                "a cap that tries limits needs a name, by which its report is asked for: "
                "name: how-often"
            )
        return self

    @property
    def tries(self) -> TriesForm | None:
        """The limits that are tried, None where there is one for everybody."""
        return self.max if isinstance(self.max, TriesForm) else None

    @property
    def limit(self) -> int:
        """The one for everybody, or the control's."""
        return self.max.compared_with if isinstance(self.max, TriesForm) else self.max


class TestModeForm(Form):
    """Where messages really go while the workspace is tried out: nobody else is reached.

    `redirect` names one address for each kind of channel; `allow` the addresses that are reached as
    they are, `*@shop.example` for a whole domain. What fits neither is dropped and says so.
    """

    redirect: dict[Slug, Words] = Field(default_factory=dict)
    allow: list[Words] = Field(default_factory=list)

    @model_validator(mode="after")
    def _reaches_someone(self) -> "TestModeForm":
        if not self.redirect and not self.allow:
            raise ValueError("a test mode names where messages may go: redirect, allow, or both")
        for kind in self.redirect:
            if kind not in REDIRECTED_KINDS:
                kinds = ", ".join(REDIRECTED_KINDS)
                raise ValueError(f'"{kind}" cannot be redirected; redirect knows: {kinds}')
        return self


class HoldoutForm(Form):
    share: Share
    period: Words | None = None

    @model_validator(mode="after")
    def _leaves_someone(self) -> "HoldoutForm":
        if self.share >= 1:
            raise ValueError("a holdout of 100% keeps everyone silent. To stop, pause the campaign")
        return self


class ProgrammeForm(Form):
    title: Words | None = None
    holdout: Annotated[HoldoutForm | None, SHARE_SHORTHAND] = None


class LayerDeclaration(Form):
    title: Words | None = None


class SessionsForm(Form):
    gap: Span = 30 * MINUTE


class TriggerAgeForm(Form):
    """How old an event may be and still start a journey, by the way that it came in."""

    api: Span = 24 * HOUR
    file: Span = HOUR


def _both_ages(value: Any) -> Any:
    """`max_trigger_age: 6h` means the same for both ways in."""
    if not isinstance(value, Text):
        return value
    ages = Map(line=value.line)
    for way in ("api", "file"):
        ages[way] = value
        ages.key_lines[way] = value.line
    return ages


class SettingsForm(Form):
    zone: Zone = Field(default_factory=lambda: Text("UTC"))
    zones: Annotated[list[ZoneSource], LIST_SHORTHAND] = Field(
        default_factory=lambda: cast(list[ZoneSource], list(ZONE_SOURCES)), min_length=1
    )
    consent: ConsentForm
    topics: dict[Slug, TopicForm] = Field(default_factory=dict)
    traits: dict[Path, TraitDeclaration] = Field(default_factory=dict)
    channels: dict[Slug, ChannelForm] = Field(default_factory=dict)
    quiet_hours: QuietHoursForm | None = None
    caps: list[CapForm] = Field(default_factory=list)
    global_holdout: Annotated[HoldoutForm | None, SHARE_SHORTHAND] = None
    programmes: dict[Slug, ProgrammeForm] = Field(default_factory=dict)
    layers: dict[Slug, LayerDeclaration] = Field(default_factory=dict)
    sessions: SessionsForm = Field(default_factory=SessionsForm)
    currency: Currency | None = None
    collect: Span | None = None
    max_trigger_age: Annotated[TriggerAgeForm, Shorthand(_both_ages, {"type": "string"})] = Field(
        default_factory=TriggerAgeForm
    )
    connections: dict[Key, Free] = Field(default_factory=dict)
    test_mode: TestModeForm | None = None
    limits: LimitsForm = Field(default_factory=LimitsForm)
    schedules: dict[Slug, ScheduledForm] = Field(default_factory=dict)
    learning: LearningForm = Field(default_factory=LearningForm)
