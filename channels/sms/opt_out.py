"""How to stop, said in the text message itself where the law asks for it.

Pure. A default, not advice: each row names why it is there, and the operator's setting wins.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from channels.addresses import phone_country
from channels.sms.senders import sender_kind

TEXTS: Final[Mapping[str, str]] = {
    "US": "Reply STOP to opt out",  # CTIA Messaging Principles 5.1.4
    "CA": "Reply STOP to opt out",  # CASL s. 6(2)(c)
    "GB": "Reply STOP to opt out",  # PECR regulation 22(3)(c)
    "AU": "Reply STOP to opt out",  # Spam Act 2003 s. 18
    "NZ": "Reply STOP to opt out",  # Unsolicited Electronic Messages Act 2007 s. 11
    "DE": "STOPP antworten zum Abmelden",  # UWG § 7(3) no. 4: in every message
    "AT": "STOPP antworten zum Abmelden",  # TKG 2021 § 174(4)
    "FR": "STOP pour se désabonner",  # CPCE art. L34-5
    "ES": "Responda BAJA para darse de baja",  # LSSI art. 21(2)
}
"""By the country of the number. ISO 3166 codes; elsewhere nothing is added."""

ANYWHERE: Final = "*"
"""The key of the setting that holds for countries it does not name."""

_SAYS_HOW: Final = re.compile(
    r"\b(?:STOPP?|ARR[EÊ]T|BAJA|UNSUBSCRIBE|QUIT)\b"
    r"|(?i:\bunsubscribe\b|\bopt[ -]?out\b|\babmelden\b|\bd[ée]sabonne|\bdarse de baja\b)"
)
"""A word to answer with is written in capitals; "stop by our shop" says nothing of the kind."""


def says_how_to_stop(text: str, *, unsubscribe_url: str = "") -> bool:
    """Whether a text already tells its reader how to get no more of them.

    >>> says_how_to_stop("Stop by our shop!"), says_how_to_stop("Sale! Txt STOP to end")
    (False, True)
    """
    has_link = bool(unsubscribe_url) and unsubscribe_url in text
    return has_link or _SAYS_HOW.search(text) is not None


def with_opt_out(
    text: str,
    *,
    to: str,
    sender: str | Sequence[str] = "",
    setting: Mapping[str, str] | None = None,
    unsubscribe_url: str = "",
) -> str:
    """A marketing text that says how to stop, once, where its country asks for it.

    Args:
        to: The person's number in E.164.
        sender: Who it is from. To a name nobody can answer, so nothing is said unless the
            setting says it.
        setting: The channel's `opt_out_text`: words by country, `*` for all others, "" for none.

    >>> with_opt_out("Sale!", to="+12125550123")
    'Sale!\\nReply STOP to opt out'
    """
    if says_how_to_stop(text, unsubscribe_url=unsubscribe_url):
        return text
    own, country = setting or {}, phone_country(to)
    words = own.get(country, own.get(ANYWHERE))
    if words is None:
        words = "" if _cannot_be_answered(sender) else TEXTS.get(country, "")
    return f"{text.rstrip()}\n{words}" if words else text


def _cannot_be_answered(sender: str | Sequence[str]) -> bool:
    senders = (sender,) if isinstance(sender, str) else sender
    try:
        return any(sender_kind(it) == "name" for it in senders if it)
    except ValueError:
        return True
