"""Firebase Cloud Messaging, HTTP v1: Android, and iPhones and browsers behind it.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import msgspec
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
    Throttled,
)
from channels.callbacks import Callback, Echo
from channels.calls import Answer, Call, Question, json_call
from channels.http_provider import GATEWAY, PUBLIC, HttpProvider
from channels.push.address import FcmTarget, fcm_target, mask_tokens
from channels.push.content import Push, apns_collapse_id, read_push, web_topic
from channels.push.google_token import AccessToken, service_account
from channels.receipts import receipt_of, retry_after_seconds
from channels.settings import check_filled, read_settings
from engine.core.errors import Unreadable, UsageError
from engine.core.model.instants import SECOND, Instant

BASE_URL: Final = "https://fcm.googleapis.com"
PAYLOAD_BYTES_MAX: Final = 4_096
QUOTA_SECONDS: Final = 60.0
"""To be waited after QUOTA_EXCEEDED that names no time."""

CAPABILITIES: Final = Capabilities(
    expires=True,
    bytes_max=PAYLOAD_BYTES_MAX,
    docs="https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode",
)

Fault = Literal["hard", "undetermined", "argument", "config", "throttled", "quota", "broken"]
ERRORS: Final[Mapping[str, Fault]] = {
    "UNREGISTERED": "hard",
    # With the account of another project it looks like this for everybody.
    "SENDER_ID_MISMATCH": "undetermined",
    "INVALID_ARGUMENT": "argument",
    "THIRD_PARTY_AUTH_ERROR": "config",
    "QUOTA_EXCEEDED": "quota",
    "UNAVAILABLE": "throttled",
    "INTERNAL": "broken",
}
"""https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode"""

_TARGETS: Final = ("message.token", "message.fid")
_NO_TOKEN: Final = "The registration token is not a valid FCM registration token"
"""https://firebase.google.com/docs/cloud-messaging/error-codes, example 2"""

_WORD: Final = re.compile(r"[A-Z_]{1,60}")


class FcmSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The channel's map in antiphon.yaml.

    Args:
        credentials: The service account's JSON: `${file:service-account.json}`.
        project: The project's id; the account's own if it is left out.
        android_channel: The notification channel on Android; it must exist in the app.
        validate_only: Google checks each message and delivers none.
        base_url: Another host than Google's for messages.
        token_url: Another address for access tokens than the account's file names.
        ca_file: Certificates to trust instead of the usual ones, for those hosts.
    """

    credentials: str
    project: str = ""
    android_channel: str = ""
    validate_only: bool = False
    base_url: str = ""
    token_url: str = ""
    ca_file: str | None = None

    def __repr__(self) -> str:
        return "FcmSettings(…)"  # there are secrets in it


class Fcm:
    """https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send"""

    name = "push.fcm"
    channel: Channel = "push"
    capabilities = CAPABILITIES

    def __init__(self, settings: FcmSettings, access: AccessToken, *, project: str) -> None:
        self._settings = settings
        self._access = access
        host = (settings.base_url or BASE_URL).rstrip("/")
        self._url = f"{host}/v1/projects/{quote(project, safe='')}/messages:send"

    def call(
        self, message: OutMessage, *, now: Instant
    ) -> Call | Receipt | Question[Call | Receipt]:
        try:
            target = fcm_target(message.to)
        except ValueError as error:
            return RefusedBy("recipient", "address", str(error))
        try:
            push = read_push(message, now=now)
            body = self._body(push, target, now=now)
        except ValueError as error:
            return RefusedBy("message", "content", str(error))
        held = self._access.held(now=now)

        def then(answer: Answer | None) -> Call | Receipt:
            return self._send(self._access.take(answer, now=now), body)

        if held is None:
            return Question(self._access.question(now=now), then)
        return self._send(held, body)

    def receipt(self, answer: Answer, *, now: Instant) -> Receipt:
        told = answer.json()
        if answer.is_ok:
            name = told.get("name")
            if not isinstance(name, str):
                return Ambiguous("Google's answer names no message")
            return Accepted(name)
        error = told.get("error")
        error = error if isinstance(error, dict) else {}
        code = _code(error)
        said = mask_tokens(str(error.get("message", "")))
        text = f"Google answered {answer.status} {code}: {said}"
        match ERRORS.get(code):
            case "hard":
                return RefusedBy("recipient", code, text, "hard")
            case "undetermined":
                return RefusedBy("recipient", code, text, "undetermined")
            case "argument" if _is_about_target(error):
                return RefusedBy("recipient", code, text, "hard")
            case "argument":
                return RefusedBy("message", code, text)
            case "config":
                return RefusedBy("config", code, text)
            case "quota":
                seconds = retry_after_seconds(answer.headers, now=now)
                return Throttled(QUOTA_SECONDS if seconds is None else seconds, text)
            case "throttled":
                return Throttled(retry_after_seconds(answer.headers, now=now), text)
        if answer.status == 401 and self._access.drop(now=now):
            return Throttled(None, f"{text}: asked for another access token")
        bare = Answer(answer.status, answer.headers, text.encode())
        return receipt_of(bare, now=now) or Ambiguous(text)

    def read_callback(self, callback: Callback, *, now: Instant) -> Echo:
        raise Unreadable("push.fcm reports nothing later; the app tells us, by events")

    def _send(self, token: str | Receipt, body: dict[str, Any]) -> Call | Receipt:
        if not isinstance(token, str):
            return token
        return json_call(self._url, body, headers={"Authorization": f"Bearer {token}"})

    def _body(self, push: Push, target: FcmTarget, *, now: Instant) -> dict[str, Any]:
        shown = _filled({"title": push.title, "body": push.body, "image": push.image})
        data = {**push.data, **_filled({"url": push.url})}
        for key in data:
            if key in ("from", "message_type") or key.startswith(("google", "gcm")):
                raise ValueError(f'"{key}" in data is a name that Google keeps for itself')
        size = len(msgspec.json.encode([shown, data]))
        if size > PAYLOAD_BYTES_MAX:
            found = f"the push has {size:,} bytes; at most {PAYLOAD_BYTES_MAX:,} are taken"
            raise ValueError(found)
        written: dict[str, Any] = {
            target.kind: target.value,
            "notification": shown,
            "data": data,
            "android": self._android(push),
            "apns": _apns(push, now=now),
            "webpush": _webpush(push),
        }
        return {"validate_only": self._settings.validate_only, "message": written}

    def _android(self, push: Push) -> dict[str, Any]:
        own = {"sound": push.sound, "channel_id": self._settings.android_channel}
        notification: dict[str, Any] = _filled(own)
        if push.badge is not None:
            notification["notification_count"] = push.badge
        priority, collapse = push.priority.upper(), push.collapse_key
        return {
            "ttl": f"{push.ttl_seconds}s",
            **_filled({"collapse_key": collapse, "priority": priority}),
            **({"notification": notification} if notification else {}),
        }


def _apns(push: Push, *, now: Instant) -> dict[str, Any]:
    headers = {"apns-expiration": str(now // SECOND + push.ttl_seconds if push.ttl_seconds else 0)}
    if push.priority:
        headers["apns-priority"] = "10" if push.priority == "high" else "5"
    if push.collapse_key:
        headers["apns-collapse-id"] = apns_collapse_id(push.collapse_key)
    aps: dict[str, Any] = _filled({"sound": push.sound})
    if push.badge is not None:
        aps["badge"] = push.badge
    if push.image:
        aps["mutable-content"] = 1
    picture = {"fcm_options": {"image": push.image}} if push.image else {}
    return {"headers": headers, "payload": {"aps": aps}, **picture}


def _webpush(push: Push) -> dict[str, Any]:
    told = {"Urgency": push.priority, "Topic": web_topic(push.collapse_key)}
    headers = {"TTL": str(push.ttl_seconds), **_filled(told)}
    link = {"fcm_options": {"link": push.url}} if push.url.startswith("https://") else {}
    return {"headers": headers, **link}


def _filled(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in texts.items() if text}


def _code(error: Mapping[str, Any]) -> str:
    """FCM's own code, which stands in a detail; Google's general one where there is none."""
    told = [detail.get("errorCode") for detail in _details(error)]
    words = [str(word) for word in (*told, error.get("status")) if word]
    return next((word for word in words if _WORD.fullmatch(word)), "")


def _is_about_target(error: Mapping[str, Any]) -> bool:
    """Whether the token is what is wrong, and not the message."""
    fields = [
        violation.get("field")
        for detail in _details(error)
        for violation in detail.get("fieldViolations") or ()
    ]
    if fields:
        return all(field in _TARGETS for field in fields)
    return str(error.get("message", "")).startswith(_NO_TOKEN)


def _details(error: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [detail for detail in error.get("details") or () if isinstance(detail, dict)]


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> HttpProvider:
    """FCM as antiphon.yaml sets it up.

    Raises:
        UsageError: The settings are wrong, or the credentials are none.
    """
    read = read_settings(FcmSettings, settings, channel=channel)
    check_filled(read, "credentials", channel=channel)
    account = service_account(read.credentials, channel=channel)
    project = read.project or account.project_id
    if not project:
        raise UsageError(f"channels.{channel}.project is missing, in credentials too")
    access = AccessToken(account, url=read.token_url, channel=channel)
    return HttpProvider(
        Fcm(read, access, project=project),
        now=now,
        rules=GATEWAY if read.base_url or read.token_url else PUBLIC,
        http2=True,
        ca_file=read.ca_file,
    )
