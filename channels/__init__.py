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
    "email.ses": "channels.email.ses",
    "email.sendgrid": "channels.email.sendgrid",
    "email.mailgun": "channels.email.mailgun",
    "email.postmark": "channels.email.postmark",
    "email.resend": "channels.email.resend",
    "email.brevo": "channels.email.brevo",
    "email.sandbox": "channels.sandbox",
    "sms.twilio": "channels.sms.twilio",
    "sms.vonage": "channels.sms.vonage",
    "sms.sinch": "channels.sms.sinch",
    "sms.messagebird": "channels.sms.messagebird",
    "sms.aws": "channels.sms.aws",
    "sms.kannel": "channels.sms.kannel",
    "sms.plivo": "channels.sms.plivo",
    "sms.sandbox": "channels.sandbox",
    "push.sandbox": "channels.sandbox",
    "push.fcm": "channels.push.fcm",
    "push.apns": "channels.push.apns",
    "push.webpush": "channels.push.webpush",
    "push.chat": "channels.chat.http",
    "web.placement": "channels.web.placement",
    "web.sandbox": "channels.sandbox",
    "webhook.http": "channels.webhook.http",
    "webhook.sandbox": "channels.webhook.sandbox",
}

TOLD_WHERE: Final = frozenset({
    "sms.twilio", "sms.vonage", "sms.sinch", "sms.messagebird", "sms.kannel", "sms.plivo",
})  # fmt: skip
"""Providers that are told with every message where to report on it, as `callback_url`; of the
others an operator does so once, at the vendor."""


def open_provider(
    channel: str,
    provider: str,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
    callback_url: str = "",
) -> Provider:
    """The provider that antiphon.yaml names for a channel, ready to deliver.

    Args:
        settings: The channel's map in antiphon.yaml without `provider`.
        directory: Where a sandbox may write, as `directory/outbox`.
        callback_url: Our public address for this channel's callbacks, "" if there is none.
    Raises:
        UsageError: If there is no such provider, or it cannot work with these settings.
    """
    module = PROVIDERS.get(f"{channel}.{provider}")
    if module is None:
        raise UsageError(_unknown(channel, provider))
    if callback_url and f"{channel}.{provider}" in TOLD_WHERE:
        settings = {"callback_url": callback_url, **settings}
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
