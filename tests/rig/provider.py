"""Provider doubles that keep their own ledger: what really happened, whatever we believe.

At every call a double also looks into the database, through a connection of its own, for the
attempt row that must already be there (P4).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from channels.base import (
    Accepted,
    Ambiguous,
    Capabilities,
    Channel,
    NotSent,
    OutMessage,
    Receipt,
    RefusedBy,
    Throttled,
)
from channels.callbacks import Callback, Echo
from channels.delivery import DeliveryEvent, EventKind
from engine.core.model.instants import MINUTE, Instant

LIVES: Final[tuple[tuple[EventKind, ...], ...]] = (
    ("delivered",),
    ("delivered", "opened"),
    ("delivered", "opened", "clicked"),
    ("deferred", "delivered", "unknown"),
    ("bounced",),
    ("rejected", "failed"),
    ("delivered", "opened", "complained"),
)
"""What becomes of an accepted message, in the order in which it happens."""


@dataclass(frozen=True)
class Call:
    """One call as the provider saw it. `attempt` is the number of the attempt row found, or 0."""

    message: int
    channel: str
    to: str
    attempt: int
    is_accepted: bool
    reply: str
    at: Instant


@dataclass
class Ledger:
    """What all providers of one simulated world know; it survives every crash of ours."""

    calls: list[Call] = field(default_factory=list)
    accepted_keys: dict[str, str] = field(default_factory=dict)
    reports: dict[str, list[DeliveryEvent]] = field(default_factory=dict)


@dataclass
class Manners:
    """How often a provider answers what; the rest is accepted. Shares in [0, 1]."""

    refused: float = 0.05
    throttled: float = 0.05
    not_sent: float = 0.05
    ambiguous: float = 0.15
    hard_bounces: bool = True


class Double:
    """One provider. With `idempotency_hours` it honours keys; without it every call counts.

    Args:
        attempt_of: The newest attempt row of a message as committed, or 0.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        ledger: Ledger,
        manners: Manners,
        rng: random.Random,
        now: Callable[[], Instant],
        attempt_of: Callable[[int], int],
        idempotency_hours: int = 0,
    ) -> None:
        self.name = f"double-{channel}"
        self.channel = channel
        self.capabilities = Capabilities(idempotency_hours=idempotency_hours, is_sandbox=True)
        self._ledger = ledger
        self._manners = manners
        self._rng = rng
        self._now = now
        self._attempt_of = attempt_of

    async def deliver(self, message: OutMessage) -> Receipt:
        receipt, is_accepted = self._answer(message)
        self._ledger.calls.append(
            Call(
                message.id,
                message.channel,
                message.to,
                self._attempt_of(message.id),
                is_accepted,
                str(type(receipt).__struct_config__.tag),
                self._now(),
            )
        )
        return receipt

    def _answer(self, message: OutMessage) -> tuple[Receipt, bool]:
        manners, draw = self._manners, self._rng.random()
        if (draw := draw - manners.refused) < 0:
            if self.channel == "webhook":
                return RefusedBy("message", "http 400", "no"), False
            bounce = "hard" if manners.hard_bounces and self._rng.random() < 0.3 else "soft"
            return RefusedBy("recipient", "550", "no", bounce), False  # type: ignore[arg-type]
        if (draw := draw - manners.throttled) < 0:
            return Throttled(self._rng.choice((None, 2.0)), "slow down"), False
        if (draw := draw - manners.not_sent) < 0:
            return NotSent("connection refused"), False
        if draw - manners.ambiguous < 0:
            is_new = self._rng.random() < 0.5 and self._accept(message)
            return Ambiguous("reply lost"), is_new
        is_new = self._accept(message)
        reply = f'{{"of": {message.id}}}' if self.channel == "webhook" else ""
        return Accepted(self._ledger.accepted_keys[message.idempotency_key], reply=reply), is_new

    def _accept(self, message: OutMessage) -> bool:
        """Take the message; False if a key that we honour says we have it already."""
        keys = self._ledger.accepted_keys
        if self.capabilities.idempotency_hours and message.idempotency_key in keys:
            return False
        keys.setdefault(message.idempotency_key, f"p{len(keys)}")
        if self.channel != "webhook":
            self._report(message)
        return True

    def _report(self, message: OutMessage) -> None:
        """What will be reported of it later, in the order in which it happens."""
        at = self._now()
        kinds = list(self._rng.choice(LIVES))
        if not self._manners.hard_bounces:
            kinds = [kind for kind in kinds if kind not in ("bounced", "complained")]
        reports = self._ledger.reports.setdefault(self.name, [])
        for kind in kinds:
            at += self._rng.choice((0, self._rng.randrange(30 * MINUTE)))
            hard = "hard" if kind == "bounced" and self._rng.random() < 0.5 else None
            reports.append(
                DeliveryEvent(
                    kind=kind,
                    message=message.id,
                    event_id=f"e{len(reports)}",
                    at=at,
                    bounce_class=hard,  # type: ignore[arg-type]
                    is_machine=kind == "opened" and self._rng.random() < 0.2,
                )
            )

    async def close(self) -> None:
        pass

    async def read_callback(self, callback: Callback) -> Echo:
        raise AssertionError("the rig hands reports over as they are")
