"""Every provider on one screen. Modules are named as strings and imported on first use."""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

from channels.base import Channel, Clock, OpenProvider, Provider, Random
from engine.core.errors import UsageError

PROVIDERS: Final[dict[str, str]] = {
    "email.smtp": "channels.email.smtp",
    "email.sandbox": "channels.sandbox",
    "sms.sandbox": "channels.sandbox",
    "push.sandbox": "channels.sandbox",
    "web.sandbox": "channels.sandbox",
    "webhook.http": "channels.webhook.http",
    "webhook.sandbox": "channels.webhook.sandbox",
}


def open_provider(
    channel: str,
    provider: str,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> Provider:
    """The provider that antiphon.yaml names for a channel, ready to deliver.

    Args:
        settings: The channel's map in antiphon.yaml without `provider`.
        directory: Where a sandbox may write, as `directory/outbox`.
    Raises:
        UsageError: If there is no such provider, or it cannot work with these settings.
    """
    module = PROVIDERS.get(f"{channel}.{provider}")
    if module is None:
        raise UsageError(_unknown(channel, provider))
    opener = cast(OpenProvider, import_module(module).open_channel)
    return opener(cast(Channel, channel), settings, directory=directory, rng=rng, now=now)


def _unknown(channel: str, provider: str) -> str:
    channels = sorted({key.split(".")[0] for key in PROVIDERS})
    if channel not in channels:
        return f'there is no channel "{channel}"; channels are {_listed(channels, channel)}'
    offered = sorted(key.split(".")[1] for key in PROVIDERS if key.startswith(channel + "."))
    return f'"{provider}" is not a provider of {channel}; it has {_listed(offered, provider)}'


def _listed(names: list[str], wrong: str) -> str:
    near = get_close_matches(wrong, names, n=1)
    return ", ".join(names) + (f'. Did you mean "{near[0]}"?' if near else "")
