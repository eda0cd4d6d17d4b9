"""What a provider reports of a message later, in our words."""

from typing import Any, Literal, TypeAlias

from msgspec import Struct, field

from engine.core.model.instants import Instant

EventKind: TypeAlias = Literal[
    "queued", "sent", "delivered", "deferred", "bounced", "undelivered", "rejected", "failed",
    "opened", "clicked", "displayed", "dismissed", "complained", "unsubscribed", "subscribed",
    "autoresponded", "inbound", "unknown",
]  # fmt: skip
"""django-anymail's tracking types, with `undelivered` (SMS), `displayed` and `dismissed`."""

BounceClass: TypeAlias = Literal["hard", "soft", "block", "message", "undetermined"]
"""hard: no such address, suppress. soft: try later. block: policy, never suppress the person.
message: our fault (size, encoding). undetermined: counted as soft."""


class DeliveryEvent(Struct, frozen=True):
    """A fact about a message that a provider reports, in our words; `raw` keeps theirs.

    `event_id` is what duplicates share. `is_machine` marks opens and clicks by scanners and
    privacy relays: recorded, never counted. `message` is our id, where the provider gives back
    our metadata; `provider_id` its own, as `Accepted` had it: one of them finds the message, and
    where both are there they must agree. `code` is the enhanced status or the vendor's own code.
    `text` is what a person wrote to us (`inbound`), from `recipient`; `url` what was clicked.
    """

    kind: EventKind
    message: int | None
    event_id: str
    at: Instant
    recipient: str | None = None
    reason: str = ""
    bounce_class: BounceClass | None = None
    is_machine: bool = False
    raw: dict[str, Any] = field(default_factory=dict)
    provider_id: str = ""
    code: str = ""
    text: str = ""
    url: str = ""
