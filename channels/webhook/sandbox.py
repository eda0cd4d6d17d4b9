"""A webhook lane that calls nobody and answers `{}`: what simulations and trials meet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from channels.base import (
    Accepted,
    Capabilities,
    Channel,
    Clock,
    OutMessage,
    Provider,
    Random,
    Receipt,
)
from channels.callbacks import Callback, Echo
from channels.webhook.http import KEY_HOURS
from engine.core.errors import Unreadable


class SandboxWebhooks:
    """Answers every call at once."""

    name = "webhook.sandbox"
    channel: Channel = "webhook"
    capabilities = Capabilities(idempotency_hours=KEY_HOURS, is_sandbox=True)

    async def deliver(self, message: OutMessage) -> Receipt:
        return Accepted("sandbox", reply="{}")

    async def close(self) -> None:
        pass

    async def read_callback(self, callback: Callback) -> Echo:
        raise Unreadable("webhook.sandbox: a step's webhook reports nothing later")


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> Provider:
    """The calls that a simulation makes."""
    return SandboxWebhooks()
