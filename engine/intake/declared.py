"""What a workspace declares of traits and events, in the form in which ingest checks it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from engine.core.model.instants import DAY, HOUR

if TYPE_CHECKING:
    from campaigns.schema import EventFile, PropertyForm
    from campaigns.workspace import Workspace


class Field(Struct, frozen=True):
    """One trait or property: its type (a key of `campaigns.comparisons.TYPES`) and its duties."""

    type: str = "string"
    is_required: bool = False
    is_pii: bool = False
    inside: dict[str, "Field"] = {}


ALWAYS_PII: Final[Mapping[str, Field]] = {
    "email": Field("email", is_pii=True),
    "phone": Field("phone", is_pii=True),
    "push_token": Field("string", is_pii=True),
}
"""Traits that are addresses: sealed even where nobody declared them."""


class Declared(Struct, frozen=True):
    """Everything ingest needs of a workspace.

    `traits` are by top-level name, `events` by event name and property. `channels` limits whose
    consent is understood; empty means any. `double` are the topics whose consent its person must
    confirm. Ages are microseconds.
    """

    traits: Mapping[str, Field] = field(default_factory=lambda: ALWAYS_PII)
    events: Mapping[str, dict[str, Field]] = {}
    channels: frozenset[str] = frozenset()
    zone: str = "UTC"
    trigger_age_max: int = DAY
    trigger_age_file_max: int = HOUR
    double: frozenset[str] = frozenset()


def declared(workspace: "Workspace") -> Declared:
    """Read a checked workspace. A dotted trait that is pii makes its whole top-level trait so."""
    settings = workspace.settings
    traits: dict[str, Field] = {}
    for path, form in settings.traits.items():
        name, _, rest = str(path).partition(".")
        found = Field("object" if rest else str(form.type), is_pii=bool(form.pii))
        before = traits.get(name)
        if before is not None and (before.is_pii or not found.is_pii):
            continue
        traits[name] = found
    for name, always in ALWAYS_PII.items():
        given = traits.get(name)
        traits[name] = Field(given.type, is_pii=True) if given else always
    return Declared(
        traits=traits,
        events={str(name): _properties(form) for name, form in workspace.events.items()},
        channels=frozenset(str(name) for name in settings.channels),
        zone=str(settings.zone),
        trigger_age_max=int(settings.max_trigger_age.api),
        trigger_age_file_max=int(settings.max_trigger_age.file),
        double=frozenset(
            str(name) for name, form in settings.topics.items() if form.opt_in == "double"
        ),
    )


def _properties(form: "EventFile | PropertyForm") -> dict[str, Field]:
    return {
        str(name): Field(
            str(each.type),
            is_required=bool(each.required),
            is_pii=bool(each.pii),
            inside=_properties(each),
        )
        for name, each in form.properties.items()
    }
