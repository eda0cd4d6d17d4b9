"""What a context says of the device, the language and the zone; then its IP address is dropped.

Results are remembered by the bytes of the context: servers and devices send the same one again and
again.
"""

from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import Struct

from engine.core.errors import InvalidEvent
from engine.intake.validate import check_json, is_zone

REMEMBERED_BYTES_MAX: Final = 512
_any: Final = msgspec.json.Decoder()
_encoder: Final = msgspec.json.Encoder()

_MOBILE_SYSTEMS: Final = frozenset(
    {"iOS", "Android", "Windows Phone", "Windows Mobile", "BlackBerry OS", "KaiOS", "Firefox OS"}
)
_DESKTOP_SYSTEMS: Final = frozenset(
    {"Windows", "Mac OS X", "Linux", "Ubuntu", "Chrome OS", "Fedora", "Debian", "FreeBSD"}
)
_TABLETS: Final = ("iPad", "Kindle", "Tablet", "Tab ", "Galaxy Tab", "Pixel C")


class Device(Struct, frozen=True):
    """What a user agent tells. `type` is mobile, tablet, desktop, bot or ""."""

    type: str = ""
    os: str = ""
    browser: str = ""


class Context(Struct, frozen=True):
    """An event's context, enriched.

    `text` is its JSON without IP, traits and consent, which stand apart. `zone` is "" unless the
    sender's time zone exists.
    """

    text: str
    zone: str = ""
    traits: Any = None
    consent: Any = None
    consent_proof: Any = None


EMPTY: Final = Context("{}")


def enrich(raw: bytes) -> Context:
    """Enrich a context from the JSON text of one event.

    Raises:
        InvalidEvent: If it is no object or breaks a limit.
    """
    if len(raw) <= 4 and raw.strip() in (b"", b"{}", b"null"):
        return EMPTY
    return _remembered(raw) if len(raw) <= REMEMBERED_BYTES_MAX else _enrich(raw)


def _enrich(raw: bytes) -> Context:
    try:
        context = _any.decode(raw)
    except msgspec.MsgspecError as error:
        raise InvalidEvent(f"context: {error}", field="context") from None
    except UnicodeDecodeError:
        raise InvalidEvent("context: is not UTF-8", field="context") from None
    if not isinstance(context, dict):
        raise InvalidEvent("context: an object is required", field="context")
    check_json(raw, context, field="context")
    return enrich_values(context)


_remembered = lru_cache(maxsize=4096)(_enrich)


def enrich_values(context: dict[str, Any]) -> Context:
    """Enrich a decoded and checked context (changed in place)."""
    context.pop("ip", None)
    traits = context.pop("traits", None)
    consent = context.pop("consent", None)
    proof = context.pop("consentProof", None)
    agent = context.get("userAgent")
    if isinstance(agent, str) and agent:
        _describe_device(context, agent)
    locale = context.get("locale")
    if isinstance(locale, str):
        context["locale"] = tidy_locale(locale)
    zone = context.get("timezone")
    if zone is not None and not is_zone(zone):
        del context["timezone"]
        zone = ""
    return Context(_encoder.encode(context).decode(), zone or "", traits, consent, proof)


def _describe_device(context: dict[str, Any], agent: str) -> None:
    device = device_of(agent)
    given = context.get("device")
    if given is not None and not isinstance(given, dict):
        return
    told = {
        name: value
        for name, value in (("type", device.type), ("os", device.os), ("browser", device.browser))
        if value
    }
    if told or given:
        # What the app itself says of its device is surer than its user agent.
        context["device"] = {**told, **(given or {})}


@lru_cache(maxsize=8192)
def device_of(agent: str) -> Device:
    """What kind of device a user agent stands for; the same ones come again and again.

    >>> device_of("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15")
    Device(type='mobile', os='iOS', browser='Mobile Safari UI/WKWebView')
    """
    from ua_parser import parse

    found = parse(agent[:1000])
    system = found.os.family if found.os else ""
    browser = found.user_agent.family if found.user_agent else ""
    family = found.device.family if found.device else ""
    if family == "Spider":
        return Device("bot", system, browser)
    if any(word in family or word in agent for word in _TABLETS):
        kind = "tablet"
    elif system == "Android" and "Mobile" not in agent and "Mozilla" in agent:
        kind = "tablet"  # Google asks that Android browsers on phones, and only those, say Mobile
    elif system in _MOBILE_SYSTEMS:
        kind = "mobile"
    elif system in _DESKTOP_SYSTEMS:
        kind = "desktop"
    else:
        kind = ""
    return Device(kind, system, browser)


@lru_cache(maxsize=1024)
def tidy_locale(locale: str) -> str:
    """A locale in one spelling.

    >>> tidy_locale("de_de"), tidy_locale("EN"), tidy_locale("zh-hans-cn")
    ('de-DE', 'en', 'zh-Hans-CN')
    """
    parts = locale.replace("_", "-").split("-")
    tidy = [parts[0].lower()]
    for part in parts[1:]:
        tidy.append(part.upper() if len(part) == 2 else part.title() if len(part) == 4 else part)
    return "-".join(tidy)
