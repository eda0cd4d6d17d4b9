"""How a workspace's log is read: its session gap, where zones come from, what its traits are."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field

from campaigns.declarations import ALWAYS_PII, pii_traits
from campaigns.settings_forms import ZONE_SOURCES
from campaigns.workspace import Workspace
from engine.core.model.instants import MINUTE

GAP: Final = 30 * MINUTE


class Reading(Struct, frozen=True):
    """What the workspace says that a reading of its log depends on.

    Attributes:
        session_gap: A longer silence ends a session; microseconds.
        zones: Where a person's zone comes from, best first.
        traits: The declared type of each trait; empty where the workspace declares none, and any
            may then be asked for.
        pii: Traits that no model may read.
    """

    session_gap: int = GAP
    zones: tuple[str, ...] = ZONE_SOURCES
    traits: Mapping[str, str] = field(default_factory=dict)
    pii: frozenset[str] = frozenset(ALWAYS_PII)


def reading_of(workspace: Workspace) -> Reading:
    """The reading of an applied workspace."""
    settings = workspace.settings
    return Reading(
        session_gap=settings.sessions.gap,
        zones=tuple(settings.zones),
        traits={str(name): str(form.type) for name, form in settings.traits.items()},
        pii=frozenset(pii_traits(workspace)),
    )
