"""Messages shown on your own pages: in the page, as a banner or as a modal.

No vendor: `deliver` checks and cleans the page, and the outbox keeps it for its visitor in the
transaction that records it as sent. `engine.standing` gives it out (GET /v1/placements). Whatever
a template or a value brings, no script, form or frame of it reaches a visitor's page.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import nh3
from msgspec import Struct

from channels.base import (
    Accepted,
    Capabilities,
    Channel,
    Clock,
    OutMessage,
    Random,
    Receipt,
    RefusedBy,
)
from channels.callbacks import Callback, Echo
from channels.settings import read_settings
from channels.web.place import Place, read_place
from engine.core.errors import Unreadable, UsageError
from engine.core.model.gates import Placement
from engine.core.model.instants import DAY

BYTES_MAX: Final = 65_536
"""Of the cleaned page: it is answered to every visit until it ends."""
KEEP_DAYS_MAX: Final = 365

CAPABILITIES: Final = Capabilities(
    # One row by our message id, longer than any message waits to be tried again (72 h).
    idempotency_hours=96,
    reports=frozenset({"displayed", "clicked", "dismissed"}),
    expires=True,
    bytes_max=BYTES_MAX,
)

_TAGS: Final = frozenset(nh3.ALLOWED_TAGS) | {"button", "picture", "source"}
_EVERYWHERE: Final = {"class", "style", "title", "lang", "dir", "role", "aria-label", "aria-hidden"}
_ATTRIBUTES: Final[dict[str, set[str]]] = {
    **{tag: set(names) for tag, names in nh3.ALLOWED_ATTRIBUTES.items()},
    "*": _EVERYWHERE,
    "a": {"href", "hreflang", "target"},
    "button": {"type"},
    "img": {"alt", "height", "width", "src", "srcset", "sizes", "loading"},
    "source": {"srcset", "sizes", "media", "type"},
}
_STYLES: Final = {
    "align-items", "background-color", "border", "border-bottom", "border-collapse", "border-color",
    "border-left", "border-radius", "border-right", "border-spacing", "border-style", "border-top",
    "border-width", "color", "display", "flex", "flex-direction", "flex-wrap", "font",
    "font-family", "font-size", "font-style", "font-weight", "gap", "height", "justify-content",
    "letter-spacing", "line-height", "list-style", "margin", "margin-bottom", "margin-left",
    "margin-right", "margin-top", "max-height", "max-width", "min-height", "min-width", "opacity",
    "overflow", "padding", "padding-bottom", "padding-left", "padding-right", "padding-top",
    "text-align", "text-decoration", "text-transform", "vertical-align", "white-space", "width",
    "word-break",
}  # fmt: skip
"""Looks, not places: nothing that could lie over the rest of the page (position, z-index)."""
_URL_IN_STYLE: Final = re.compile(r"url\s*\(|expression\s*\(|\\", re.IGNORECASE)
_SCHEMES: Final = {"http", "https", "mailto", "tel"}
_SHOWN: Final = re.compile(r"<(?:img|picture|hr)\b", re.IGNORECASE)
_TAG: Final = re.compile(r"<[^>]*>")


class PlacementSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The channel's map in antiphon.yaml.

    Args:
        keep_days: How long a message waits for its visitor whose step says no `expires`, 1 to 365.
    """

    keep_days: int = 30


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> "WebPlacement":
    """The provider of stored web messages. It connects to nobody.

    Raises:
        UsageError: A setting is unknown or out of its range.
    """
    parsed = read_settings(PlacementSettings, settings, channel=channel)
    if not 1 <= parsed.keep_days <= KEEP_DAYS_MAX:
        raise UsageError(
            f"channels.{channel}.keep_days: found {parsed.keep_days}, allowed are 1 to "
            f"{KEEP_DAYS_MAX}"
        )
    return WebPlacement(parsed, now=now)


class WebPlacement:
    """Accepts what can be shown, with the row that will show it."""

    name = "web.placement"
    channel: Channel = "web"
    capabilities = CAPABILITIES

    def __init__(self, settings: PlacementSettings, *, now: Clock) -> None:
        self._keep = settings.keep_days * DAY
        self._now = now

    async def deliver(self, message: OutMessage) -> Receipt:
        now = self._now()
        try:
            place = read_place(message.data)
        except ValueError as error:
            return RefusedBy("message", "placement", str(error))
        page = cleaned(message.html)
        if not is_visible(page):
            why = "nothing is left to show: text or a picture is needed, and scripts are removed"
            return RefusedBy("message", "empty", why)
        size = len(page.encode())
        if size > BYTES_MAX:
            why = f"the page has {size:,} bytes; a placement takes {BYTES_MAX:,} at most"
            return RefusedBy("message", "too_long", why)
        return Accepted(f"placement-{message.id}", placement=self._kept(page, place, message, now))

    def _kept(self, page: str, place: Place, message: OutMessage, now: int) -> Placement:
        until = min(message.expires_at, now + self._keep)
        return Placement(place.placement, place.kind, place.priority, page, until)

    async def close(self) -> None:
        pass

    async def read_callback(self, callback: Callback) -> Echo:
        raise Unreadable(
            "web.placement takes no callbacks; what visitors do comes to /v1/placements/events"
        )


def cleaned(page: str) -> str:
    """HTML that may stand in any page: no scripts, forms, frames, or addresses of other kinds.

    >>> cleaned('<p onclick="x()">Hi <script>y()</script><a href="javascript:z()">you</a></p>')
    '<p>Hi <a rel="noopener noreferrer">you</a></p>'
    """
    return str(
        nh3.clean(
            page,
            tags=set(_TAGS),
            attributes=_ATTRIBUTES,
            attribute_filter=_without_addresses_in_style,
            filter_style_properties=_STYLES,
            url_schemes=_SCHEMES,
            link_rel="noopener noreferrer",
        )
    )


def _without_addresses_in_style(_tag: str, name: str, value: str) -> str | None:
    return None if name == "style" and _URL_IN_STYLE.search(value) else value


def is_visible(page: str) -> bool:
    """Whether a page shows anything: a text or a picture."""
    return bool(_SHOWN.search(page)) or bool(_TAG.sub("", page).replace("&nbsp;", " ").strip())
