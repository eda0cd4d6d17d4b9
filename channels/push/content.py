"""What a push template says -> one noun that each vendor translates (docs/channels.md).

Refuses what no vendor takes. A template's own keys are checked long before, see `key_problem`.
"""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, field

from channels.base import OutMessage
from engine.core.model.instants import NEVER, SECOND, Instant

KEYS: Final = (
    "title", "body", "url", "image", "badge", "sound", "collapse_key", "ttl", "priority", "data",
)  # fmt: skip
TTL_SECONDS_MAX: Final = 2_419_200
"""Four weeks: FCM's and most browsers' most, and our default."""

MESSAGE: Final = "antiphon_message"
"""Under this name the app finds our message id, to report what was displayed or opened."""

_TOPIC: Final = re.compile(r"[A-Za-z0-9_-]{0,32}")
_PRINTABLE: Final = re.compile(r"[ -~]{0,64}")
_SPAN: Final = re.compile(r"\s*(\d{1,9})\s*([smhdw]?)\s*")
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class Push(Struct, frozen=True):
    """A rendered push. `ttl_seconds` ends with the message's own `expires_at`; 0: now or never."""

    title: str
    body: str = ""
    url: str = ""
    image: str = ""
    badge: int | None = None
    sound: str = ""
    collapse_key: str = ""
    priority: Literal["", "high", "normal"] = ""
    ttl_seconds: int = TTL_SECONDS_MAX
    data: dict[str, str] = field(default_factory=dict)


def read_push(message: OutMessage, *, now: Instant) -> Push:
    """A message's payload, with our message id in its data.

    Keys that we do not know go to the app with `data`: templates of older versions had them.

    Raises:
        ValueError: A value cannot be what its key says, naming the key and what is allowed.
    """
    told = message.data
    data: dict[str, str] = {}
    own = told.get("data")
    if own is not None and not isinstance(own, Mapping):
        raise ValueError('"data" is a map of texts')
    others = {name: value for name, value in told.items() if name not in KEYS}
    for name, value in {**others, **(own or {})}.items():
        data[str(name)] = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    data[MESSAGE] = message.metadata.get("message") or str(message.id)
    title, priority = _text(told, "title"), _text(told, "priority")
    if not title:
        raise ValueError('"title" is empty')
    if priority not in ("", "high", "normal"):
        raise ValueError('"priority" is high or normal')
    return Push(
        title=title,
        body=_text(told, "body"),
        url=_text(told, "url"),
        image=_text(told, "image"),
        badge=_badge(told),
        sound=_text(told, "sound"),
        collapse_key=_text(told, "collapse_key"),
        priority=priority,  # type: ignore[arg-type]
        ttl_seconds=_ttl_seconds(told, message.expires_at, now=now),
        data=data,
    )


def key_problem(keys: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first key of a push template that no vendor knows, and what to write; None if all are.

    >>> key_problem({"title": "Hi", "imge": "https://x.example/a.png"})[0]
    'imge'
    """
    for key in keys:
        if key not in KEYS:
            near = get_close_matches(key, KEYS, n=1)
            end = f'. Did you mean "{near[0]}"?' if near else '; your app\'s own go into "data"'
            return key, f'"{key}" is not a key of a push; these are: {", ".join(KEYS)}{end}'
    return None


def web_topic(collapse_key: str) -> str:
    """The Topic of RFC 8030, 5.4: at most 32 letters of base64url; what is no such name is hashed.

    >>> web_topic("cart"), web_topic("cart of the week")
    ('cart', 'FXZQbJRcd_MGFdkpZB4novvpADGpXgS7')
    """
    return collapse_key if _TOPIC.fullmatch(collapse_key) else _digest(collapse_key)


def apns_collapse_id(collapse_key: str) -> str:
    """The apns-collapse-id: at most 64 bytes, fit for a header; what is not is hashed."""
    return collapse_key if _PRINTABLE.fullmatch(collapse_key) else _digest(collapse_key)


def _digest(text: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:24]).decode()


def _text(told: Mapping[str, Any], key: str) -> str:
    value = told.get(key)
    if value is None:
        return ""
    if not isinstance(value, str | int | float):
        raise ValueError(f'"{key}" is a text')
    return str(value).strip()


def _badge(told: Mapping[str, Any]) -> int | None:
    text = _text(told, "badge")
    if not text:
        return None
    if not re.fullmatch(r"\d{1,9}", text):
        raise ValueError('"badge" is a whole number, 0 to clear it')
    return int(text)


def _ttl_seconds(told: Mapping[str, Any], expires_at: Instant, *, now: Instant) -> int:
    text = _text(told, "ttl")
    found = _SPAN.fullmatch(text)
    if text and found is None:
        raise ValueError('"ttl" is a span, such as 30m, 4h or 2d')
    seconds = int(found[1]) * _SECONDS[found[2]] if found else TTL_SECONDS_MAX
    left = TTL_SECONDS_MAX if expires_at >= NEVER else (expires_at - now) // SECOND
    return max(0, min(seconds, left, TTL_SECONDS_MAX))
