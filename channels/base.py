"""The words every channel speaks: a message out, a receipt back, delivery events later.

A provider is a translation between these nouns and one vendor. It decides nothing: who may be
reached, when and how often is settled before a message gets here. Read next: `sandbox`, the
shortest provider; `http_provider`, what every vendor with an HTTP API is built on.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from msgspec import Struct, field

from channels.callbacks import Callback, Echo
from channels.delivery import BounceClass, EventKind
from engine.core.model.gates import Placement
from engine.core.model.instants import NEVER, Instant

Channel: TypeAlias = Literal["email", "sms", "push", "web", "webhook"]
"""`webhook` is the lane of webhook steps' calls, not a way to reach a person."""
Clock: TypeAlias = Callable[[], Instant]
"""Gives the present instant; the virtual clock of a simulation is one of these."""

Scope: TypeAlias = Literal["recipient", "message", "config", "account"]


class OutMessage(Struct, frozen=True):
    """One message to one address, fully rendered.

    `data` is the payload of push and web. `unsubscribe_url` makes an e-mail marketing: it gets the
    one-click headers of RFC 8058. `idempotency_key` is the same on every attempt.
    """

    id: int
    channel: Channel
    to: str
    subject: str = ""
    html: str = ""
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    from_: str = ""
    reply_to: str = ""
    campaign: str = ""
    topic: str = ""
    idempotency_key: str = ""
    unsubscribe_url: str = ""
    expires_at: Instant = NEVER
    metadata: dict[str, str] = field(default_factory=dict)


# --- the provider's immediate answer ------------------------------------------------------------


class Accepted(Struct, frozen=True, tag="accepted"):
    """The provider took responsibility; `provider_id` is its name for the message.

    `reply` is the JSON a webhook's receiver answered with, where its step wants it. `placement` is
    what our own store keeps for the visitor, where the provider is none but that store.
    """

    provider_id: str
    reply: str = ""
    placement: Placement | None = None


class RefusedBy(Struct, frozen=True, tag="refused"):
    """It will never take this. Faults of config and account pause the channel, not the person.

    `bounce` says what a refused recipient means for the address; None when it says nothing.
    `is_opt_out`: the person has said no at the vendor, and we have to remember it too.
    """

    scope: Scope
    code: str
    text: str
    bounce: BounceClass | None = None
    is_opt_out: bool = False


class Throttled(Struct, frozen=True, tag="throttled"):
    """Not now; nothing was sent. None seconds: the provider named no time.

    `scope` is what is busy: our `account` (so everybody waits), the recipient's `domain`, or this
    one `recipient`.
    """

    retry_after_seconds: float | None = None
    why: str = ""
    scope: Literal["account", "domain", "recipient"] = "account"


class NotSent(Struct, frozen=True, tag="not_sent"):
    """It failed before the message left us; a retry cannot be a duplicate."""

    why: str


class Ambiguous(Struct, frozen=True, tag="ambiguous"):
    """It failed after the message left us; a retry may be a duplicate."""

    why: str


Receipt: TypeAlias = Accepted | RefusedBy | Throttled | NotSent | Ambiguous


# --- what happened later ------------------------------------------------------------------------


class Capabilities(Struct, frozen=True):
    """What a provider can do and, as important, what it cannot.

    Each module holds its own as `CAPABILITIES`: `check` and the published matrix read it there.

    Args:
        idempotency_hours: How long it honours a key; 0: a retry after an ambiguous outcome may
            duplicate.
        reports: The delivery events it is able to send.
        webhook: How its callbacks prove where they come from: by a signature, by a secret that
            we chose (`webhook_token`), or it has none.
        receives: Whether what people answer comes back to us.
        expires: Whether it drops a message of its own accord when `expires_at` has passed.
        batch_max: The most messages its API takes in one call; we send one a call.
        bytes_max: The largest message it takes, 0 where no limit is documented.
        is_sandbox: It sends nothing.
        docs: The vendor's page that all this was read on.
    """

    idempotency_hours: int = 0
    reports: frozenset[EventKind] = frozenset()
    webhook: Literal["signed", "token", "none"] = "none"
    receives: bool = False
    expires: bool = False
    batch_max: int = 1
    bytes_max: int = 0
    is_sandbox: bool = False
    docs: str = ""


class Provider(Protocol):
    """One vendor on one channel. `deliver` never raises for what the vendor answers."""

    name: str
    channel: Channel
    capabilities: Capabilities

    async def deliver(self, message: OutMessage) -> Receipt: ...

    async def close(self) -> None: ...

    async def read_callback(self, callback: "Callback") -> "Echo":
        """What a callback says, if it is the vendor's.

        Raises:
            Forged, Unreadable: It is not, or nobody can read it.
        """
        ...


class Random(Protocol):
    """The one thing we need of a generator: a float in [0, 1)."""

    def random(self) -> float: ...


class OpenProvider(Protocol):
    """What a provider's module offers under the name `open_channel`."""

    def __call__(
        self,
        channel: Channel,
        settings: Mapping[str, Any],
        *,
        directory: Path,
        rng: Random,
        now: Clock,
    ) -> Provider: ...
