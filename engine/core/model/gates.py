"""What the gate is asked about, and its three answers."""

from typing import Literal, TypeAlias

from msgspec import Struct

from engine.core.model.campaigns import Topic
from engine.core.model.conditions import LocalTimeCondition
from engine.core.model.instants import NEVER, Instant

PlacementKind: TypeAlias = Literal["in-page", "banner", "modal"]


class Placement(Struct, frozen=True):
    """A web message as it waits for its visitor: what is shown in which slot, and until when.

    Of two in one slot the higher `priority` comes first.
    """

    name: str
    kind: PlacementKind
    priority: int
    html: str
    expires_at: Instant


class Draft(Struct, frozen=True):
    """A message the gate is asked about."""

    campaign: str
    channel: str
    template: str
    topic: Topic
    priority: int
    when_capped: Literal["defer", "drop"] = "defer"
    expires_at: Instant = NEVER
    requires: tuple[str, ...] = ()
    send_window: LocalTimeCondition | None = None
    account: str | None = None

    @property
    def sent_by(self) -> str:
        """The name of the channel in antiphon.yaml."""
        return self.account or self.channel


class Allow(Struct, frozen=True, tag="allow"):
    pass


class Defer(Struct, frozen=True, tag="defer"):
    until: Instant
    why: str


class Drop(Struct, frozen=True, tag="drop"):
    why: str


Decision: TypeAlias = Allow | Defer | Drop
