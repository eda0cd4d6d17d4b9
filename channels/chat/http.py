"""A message to a room, by the incoming webhook of Slack, Mattermost, Discord or Teams.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/
https://developers.mattermost.com/integrate/webhooks/incoming/
https://discord.com/developers/docs/resources/webhook#execute-webhook
https://learn.microsoft.com/en-us/power-automate/teams/send-a-message-in-teams
The room stands in the URL, which the operator wrote: the message's own address is not used.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from msgspec import Struct

from channels.base import (
    Accepted,
    Ambiguous,
    Capabilities,
    Channel,
    Clock,
    OutMessage,
    Random,
    Receipt,
    RefusedBy,
)
from channels.callbacks import Callback, Echo
from channels.calls import Answer, Call, json_call
from channels.http_provider import GATEWAY, HttpProvider
from channels.push.content import Push, read_push
from channels.receipts import receipt_of
from channels.settings import check_filled, read_settings
from engine.core.errors import Unreadable, UsageError
from engine.core.model.instants import Instant

CAPABILITIES: Final = Capabilities(
    docs="https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/"
)
CHARS_MAX: Final[Mapping[str, int]] = {
    "slack": 40_000,
    "mattermost": 16_383,
    "discord": 2_000,
    "teams": 24_000,
}
"""What one message may have. Teams counts 28 kB of the whole card."""

CONNECTIONS: Final = 4
"""Slack takes one message a second from a webhook, others little more."""

Shape = Literal["slack", "mattermost", "discord", "teams"]


class ChatSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The channel's map in antiphon.yaml.

    Args:
        url: The room's webhook, a secret: `${env:SLACK_URL}`.
        shape: What it understands: slack, mattermost, discord or teams.
        base_url: A gateway that is called in place of that address's host.
        ca_file: Certificates to trust instead of the usual ones, for a server of one's own.
    """

    url: str
    shape: Shape = "slack"
    base_url: str = ""
    ca_file: str | None = None

    def __repr__(self) -> str:
        return "ChatSettings(…)"  # there are secrets in it


class Chat:
    """https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/"""

    name = "push.chat"
    channel: Channel = "push"
    capabilities = CAPABILITIES

    def __init__(self, settings: ChatSettings) -> None:
        self._shape: Shape = settings.shape
        self._url = settings.url
        if settings.base_url:
            path = re.sub(r"^https?://[^/]*", "", settings.url)
            self._url = settings.base_url.rstrip("/") + path

    def call(self, message: OutMessage, *, now: Instant) -> Call | Receipt:
        try:
            push = read_push(message, now=now)
        except ValueError as error:
            return RefusedBy("message", "content", str(error))
        size, most = sum(map(len, (push.title, push.body, push.url))), CHARS_MAX[self._shape]
        if size > most:
            found = f"the message has {size:,} characters; {self._shape} takes {most:,} at most"
            return RefusedBy("message", "too_long", found)
        return json_call(self._url, SHAPES[self._shape](push), headers={})

    def receipt(self, answer: Answer, *, now: Instant) -> Receipt:
        said = answer.text.strip()
        shown = said if _WORD.fullmatch(said) else ""  # nothing else of what a stranger says
        refused = receipt_of(Answer(answer.status, answer.headers, shown.encode()), now=now)
        if refused is not None:
            return refused
        if not _is_taken(self._shape, answer):
            # A page with status 200 is what a mistyped address gives.
            return Ambiguous(f"the answer is not one of {self._shape}; is the url a webhook's?")
        return Accepted(str(answer.json().get("id") or f"http {answer.status}"))

    def read_callback(self, callback: Callback, *, now: Instant) -> Echo:
        raise Unreadable("push.chat reports nothing later")


_WORD: Final = re.compile(r"[a-z_]{1,60}")
"""`invalid_payload`, `no_service`, `channel_is_archived` and the like."""


def _is_taken(shape: Shape, answer: Answer) -> bool:
    said = answer.body.strip()
    match shape:
        case "slack" | "mattermost":  # Rocket.Chat, which takes the same, answers in JSON
            return said == b"ok" or answer.json().get("success") is True
        case "discord":  # nobody else names the message, and it only with ?wait=true
            return answer.status == 204 or isinstance(answer.json().get("id"), str)
        case "teams":
            return answer.status == 202 or said == b"1"


def _slack(push: Push) -> dict[str, Any]:
    """Slack's markup cannot bear `&`, `<` and `>`: `<!channel>` would call everybody."""
    escaped = [
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        for text in (push.title.replace("*", "∗"), push.body, push.url)
    ]
    return {"text": _lines(f"*{escaped[0]}*", *escaped[1:]), "unfurl_links": False}


def _mattermost(push: Push) -> dict[str, Any]:
    return {"text": _hushed(_lines(f"**{push.title.replace('*', '∗')}**", push.body, push.url))}


def _discord(push: Push) -> dict[str, Any]:
    text = _lines(f"**{push.title.replace('*', '∗')}**", push.body, push.url)
    return {"content": text, "allowed_mentions": {"parse": []}}


def _teams(push: Push) -> dict[str, Any]:
    """An adaptive card, the only thing that workflows take."""
    texts: list[dict[str, Any]] = [
        {"type": "TextBlock", "text": push.title, "weight": "Bolder", "wrap": True}
    ]
    if push.body:
        texts.append({"type": "TextBlock", "text": push.body, "wrap": True})
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": texts,
    }
    if push.url:
        card["actions"] = [{"type": "Action.OpenUrl", "title": push.url[:80], "url": push.url}]
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}


SHAPES: Final[Mapping[Shape, Callable[[Push], dict[str, Any]]]] = {
    "slack": _slack,
    "mattermost": _mattermost,
    "discord": _discord,
    "teams": _teams,
}


def _lines(*texts: str) -> str:
    return "\n".join(text for text in texts if text)


def _hushed(text: str) -> str:
    """A person's name may not call the whole room."""
    return re.sub(r"@(?=(?:channel|all|here)\b)", "@\u200b", text, flags=re.IGNORECASE)


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> HttpProvider:
    """A room as antiphon.yaml sets it up. Its server may stand in the operator's own network.

    Raises:
        UsageError: The settings are wrong.
    """
    read = read_settings(ChatSettings, settings, channel=channel)
    check_filled(read, "url", channel=channel)
    if not read.url.startswith(("https://", "http://")):
        raise UsageError(f"channels.{channel}.url is not an address that begins with https://")
    return HttpProvider(
        Chat(read), now=now, rules=GATEWAY, connections=CONNECTIONS, ca_file=read.ca_file
    )
