"""How a text message is counted and cut: GSM 03.38 or UCS-2, septets, parts.

Source: 3GPP TS 23.038 section 6.2.1 (alphabet) and TS 23.040 section 9.2.3.24 (user data header).
"""

from typing import Final, Literal

from msgspec import Struct

_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION: Final = frozenset("\f^{}\\[~]|€")
"""Each costs two septets: ESC and the character. The pair is never split."""

_UNITS: Final = {"gsm": (160, 153), "ucs2": (70, 67)}
"""Alone, and with the 6-byte header of a concatenated message."""

# Replacements a reader will not notice; never letters, whose accents carry meaning.
_PLAIN: Final = str.maketrans({
    "‘": "'", "’": "'", "‚": "'", "‛": "'", "′": "'", "`": "'", "´": "'",
    "“": '"', "”": '"', "„": '"', "‟": '"', "″": '"', "«": '"', "»": '"',
    "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "―": "-", "−": "-",
    "…": "...", "•": "-", "·": ".", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u2003": " ",
    "\u200b": "", "\u200c": "", "\u2060": "", "\ufeff": "", "\t": " ",
})  # fmt: skip

Encoding = Literal["gsm", "ucs2"]

CHARS_MAX: Final = 1_600
"""What Twilio and AWS take in one message, and more than any reader does: about ten parts."""


class SmsText(Struct, frozen=True):
    """A text as the carrier will send it. `units` are septets, or UTF-16 units for UCS-2.

    `forced_by` are the characters outside GSM 03.38, in order of appearance.
    """

    text: str
    encoding: Encoding
    units: int
    parts: tuple[str, ...]
    forced_by: str = ""


def measure(text: str, *, transliterate: bool = False) -> SmsText:
    """Count and cut a text message.

    Args:
        transliterate: First replace typographic quotes, dashes, spaces and dots by plain ones,
            where that makes the message cheaper.

    >>> measure("Grüße, 10 € off").encoding, measure("Grüße, 10 € off").units
    ('gsm', 16)
    """
    if transliterate:
        plain = measure(text.translate(_PLAIN))
        as_is = measure(text)
        return plain if len(plain.parts) < len(as_is.parts) or plain.encoding == "gsm" else as_is
    forced_by = "".join(dict.fromkeys(c for c in text if c not in _BASIC and c not in _EXTENSION))
    encoding: Encoding = "ucs2" if forced_by else "gsm"
    costs = [_cost(character, encoding) for character in text]
    units = sum(costs)
    alone, shared = _UNITS[encoding]
    parts = (text,) if units <= alone else _cut(text, costs, shared)
    return SmsText(text, encoding, units, parts, forced_by)


def _cost(character: str, encoding: Encoding) -> int:
    if encoding == "gsm":
        return 2 if character in _EXTENSION else 1
    return 2 if ord(character) > 0xFFFF else 1


def _cut(text: str, costs: list[int], room: int) -> tuple[str, ...]:
    """Greedy and by character: pairs of septets or surrogates are one character, so stay whole."""
    parts: list[str] = []
    start = used = 0
    for index, cost in enumerate(costs):
        if used + cost > room:
            parts.append(text[start:index])
            start, used = index, 0
        used += cost
    parts.append(text[start:])
    return tuple(parts)
