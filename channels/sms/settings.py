"""What the settings of every SMS vendor share, and how its channel is opened.

A vendor's own Struct repeats the words for these in its docstring: docs are made from it.
"""

from msgspec import Struct, field

from channels.base import Clock, Provider
from channels.http_provider import GATEWAY, PUBLIC, HttpProvider, Vendor


class SmsSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each of them may hold. It never shows itself: there are secrets in it."""

    from_: str | list[str] = field(default="", name="from")
    callback_url: str = ""
    opt_out_text: dict[str, str] | None = None
    base_url: str = ""
    connections: int = 8

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


def open_vendor(vendor: Vendor, settings: SmsSettings, *, now: Clock) -> Provider:
    """The vendor on the wire; only a `base_url` that the operator wrote may be a private one."""
    rules = GATEWAY if settings.base_url else PUBLIC
    return HttpProvider(vendor, now=now, rules=rules, connections=settings.connections)
