"""Conditions about the person as written: what is known of them, not what they did.

`message` stands here too: it is about what we did to them.
"""

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from campaigns.comparisons import Compared
from campaigns.forms import (
    LIST_SHORTHAND,
    Form,
    Slug,
    Span,
    WallTime,
    Weekday,
    Words,
    ZoneOrProfile,
    one_of,
)
from campaigns.number_scalars import Degrees, Percent, Positive
from campaigns.window_forms import WindowForm

CONSENTS: Final = ("granted", "refused", "unknown")


class ConsentFacts(Form):
    channel: Slug
    topic: Slug
    is_: Annotated[Literal["granted", "refused", "unknown"], BeforeValidator(one_of(*CONSENTS))] = (
        Field(default="granted", alias="is")
    )


class ConsentForm(Form):
    """What is known of the consent to a topic on a channel: granted, refused or unknown."""

    consent: ConsentFacts


class SampleFacts(Form):
    percent: Percent
    salt: Words

    @model_validator(mode="after")
    def _is_salted(self) -> "SampleFacts":
        if not 1 <= len(self.salt) <= 64 or "|" in self.salt:
            raise ValueError(
                "a salt of 1 to 64 characters without | tells one sample from another. "
                "Write salt: spring"
            )
        return self


class SampleForm(Form):
    """A share of all profiles by their hash: `sample: {percent: 10, salt: spring}`."""

    sample: SampleFacts


class ListForm(Form):
    """Whoever stands in lists/NAME.csv."""

    list: Slug


class LocalTimeFacts(Form):
    from_: WallTime | None = Field(default=None, alias="from")
    to: WallTime | None = None
    days: Annotated[list[Weekday], LIST_SHORTHAND] = Field(default_factory=list)
    zone: ZoneOrProfile | None = None

    @model_validator(mode="after")
    def _says_when(self) -> "LocalTimeFacts":
        if (self.from_ is None) != (self.to is None):
            raise ValueError('from and to belong together. Write from: "18:00", to: "22:00"')
        if self.from_ is None and not self.days:
            raise ValueError('it says no time. Write from: "18:00", to: "22:00", or days: [sat]')
        if self.from_ is not None and self.from_ == self.to:
            raise ValueError("from and to are the same time. Leave both out for the whole day")
        return self


class LocalTimeForm(Form):
    """What clocks show where the person is; over midnight where `to` is before `from`."""

    local_time: LocalTimeFacts


class DeviceFacts(Form):
    type: Compared | None = None
    os: Compared | None = None
    browser: Compared | None = None
    model: Compared | None = None
    manufacturer: Compared | None = None
    name: Compared | None = None
    within: Span | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> "DeviceFacts":
        if not self.model_fields_set - {"within"}:
            raise ValueError("it asks nothing of the device. Write type: mobile, or os: iOS")
        return self


class DeviceForm(Form):
    """The device of the last event that told of one."""

    device: DeviceFacts


class NearFacts(Form):
    latitude: Degrees
    longitude: Degrees
    km: Positive

    @model_validator(mode="after")
    def _is_on_earth(self) -> "NearFacts":
        if abs(self.latitude) > 90:
            raise ValueError(f"latitude {self.latitude:g} is not between -90 and 90")
        return self


class LocationFacts(Form):
    country: Compared | None = None
    region: Compared | None = None
    city: Compared | None = None
    near: NearFacts | None = None
    within: Span | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> "LocationFacts":
        if not self.model_fields_set - {"within"}:
            raise ValueError("it asks nothing of the location. Write country: DE, or near: {…}")
        return self


class LocationForm(Form):
    """The location of the last event that told of one."""

    location: LocationFacts


class ScoreFacts(Form):
    model: Slug
    value: Compared | None = None
    percentile: Compared | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> "ScoreFacts":
        if self.value is None and self.percentile is None:
            raise ValueError(
                "it compares nothing. Write value: {gte: 0.8} or percentile: {gte: 90}"
            )
        return self


class ScoreForm(Form):
    """What the champion run of a model predicts: its value, its percentile in the run, or both."""

    score: ScoreFacts


class ClusterFacts(Form):
    model: Slug
    is_: Compared = Field(alias="is")
    confidence: Compared | None = None


class ClusterForm(Form):
    """The cluster that the champion run of a model put the person into."""

    cluster: ClusterFacts


REPORTS: Final = (
    "sent", "delivered", "opened", "clicked", "bounced", "complained", "unsubscribed", "replied",
    "deferred", "undelivered", "rejected", "failed",
)  # fmt: skip
ANY_CAMPAIGN: Final = "any"


class MessageFacts(WindowForm):
    sent: Slug | None = None
    delivered: Slug | None = None
    opened: Slug | None = None
    clicked: Slug | None = None
    bounced: Slug | None = None
    complained: Slug | None = None
    unsubscribed: Slug | None = None
    replied: Slug | None = None
    deferred: Slug | None = None
    undelivered: Slug | None = None
    rejected: Slug | None = None
    failed: Slug | None = None
    channel: Slug | None = None
    template: Slug | None = None
    count: Compared | None = None

    @model_validator(mode="after")
    def _is_one_report(self) -> "MessageFacts":
        if len(self.model_fields_set & set(REPORTS)) != 1:
            raise ValueError(
                f"it names one of {', '.join(REPORTS)}: opened: any, or opened: welcome"
            )
        return self

    @property
    def report(self) -> str:
        """Which of them it asks for."""
        return next(word for word in REPORTS if word in self.model_fields_set)


class MessageForm(Form):
    """How often a message of a campaign (or `any`) was delivered, opened, clicked, …"""

    message: MessageFacts


FORMS: Final[dict[str, type[Form]]] = {
    "consent": ConsentForm,
    "sample": SampleForm,
    "list": ListForm,
    "local_time": LocalTimeForm,
    "device": DeviceForm,
    "location": LocationForm,
    "score": ScoreForm,
    "cluster": ClusterForm,
    "message": MessageForm,
}
"""Every form of this module by the word that starts it."""
