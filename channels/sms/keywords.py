"""What a person wants who answers a text message: stop, start or help, by the words they used.

Pure. When in doubt they want to stop: a message too few is cheaper than one that breaks the law.
Sources: 47 CFR 64.1200(a)(10); the default keywords of Twilio and AWS; CTIA's principles (2023).
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from channels.delivery import DeliveryEvent

Word = Literal["stop", "start", "help"]

CHARS_READ: Final = 1_000
"""Nobody opts out on the third page."""

WORDS: Final[Mapping[Word, Mapping[str, tuple[str, ...]]]] = {
    "stop": {
        "en": (
            "stop", "stopall", "stop all", "unsubscribe", "cancel", "end", "quit", "revoke",
            "optout", "opt-out", "opt out", "remove", "arret", "td",
        ),
        "de": ("stopp", "abmelden", "abbestellen", "austragen", "kundigen", "ende"),
        "fr": ("arret", "arreter", "desabonner", "desabonnement", "desinscrire", "resilier"),
        "es": ("alto", "baja", "cancelar", "parar", "detener"),
    },
    "start": {
        "en": ("start", "unstop", "yes"),
        "de": ("anmelden",),
        "fr": ("reprendre",),
        "es": ("alta", "reanudar"),
    },
    "help": {
        "en": ("help", "info"),
        "de": ("hilfe",),
        "fr": ("aide",),
        "es": ("ayuda",),
    },
}  # fmt: skip
"""Written without accents and in small letters, as messages are compared. English has the union
of what Twilio, AWS and the FCC name; the other languages are our addition."""

WHOLE_ONLY: Final = frozenset({"yes", "ende", "alta", "alto"})
"""Never as the first of several words: "yes, it arrived" is no consent, "Ende Mai" no refusal."""

_FREE: Final = re.compile(
    r"\b(?:stop|quit|cease)\b.{0,30}\b(?:text|sms|messag|contact|send|spam)"
    r"|\b(?:do not|dont|no more)\b.{0,20}\b(?:text|sms|messag|contact|send|spam)"
    r"|\bnever (?:text|sms|messag|contact|send|spam)"
    r"|\bunsubscribe\b|\b(?:opt|opting) (?:me )?out\b"
    r"|\b(?:take|remove|delete) me (?:off|from)\b|\bleave me alone\b"
    r"|\b(?:keine?|nicht) (?:\w+ ){0,3}(?:sms|nachricht|werbung|schreib|kontakt)\w*(?: mehr)?\b"
    r"|\babmelden\b|\baufhoren\b|\bhor(?:en sie|t)? auf\b"
    r"|\bdesabonne|\bdesinscri"
    r"|\bne (?:\w+ )?(?:plus|pas) (?:\w+ ){0,3}(?:recevoir|envoye|ecri|contact)"
    r"|\barretez\b|\bplus (?:de|aucun) (?:sms|message)"
    r"|\bdarme de baja\b|\bno (?:\w+ ){0,3}mas (?:\w+ )?(?:sms|mensaje|texto)"
    r"|\bdej(?:a|e|en) de (?:enviar|escribir|mandar)"
)
"""A refusal in a person's own words; each alternative is bounded, so it reads in linear time."""

_BUT_GO_ON: Final = re.compile(r"\b(?:do not|dont|never|please dont) stop\b|\bnicht aufhoren\b")


class Intent(Struct, frozen=True):
    """What a person wants. `is_free_text`: they used none of the words, so somebody may look."""

    word: Word
    is_free_text: bool = False


def intent_of(text: str) -> Intent | None:
    """What a message asks for; None for everything else that people write.

    A word counts alone or as the first of several.

    >>> intent_of(" STOP! "), intent_of("please stop texting me").is_free_text
    (Intent(word='stop', is_free_text=False), True)
    >>> intent_of("When does it arrive?")
    """
    plain = _plain(text)
    whole = plain.strip(" -")
    for word, language in _LOOKUP.items():
        if whole == word:
            return Intent(language)
    # Longest first, so that "opt out" is not read as a word of its own.
    for word, meaning in _LOOKUP.items():
        if word not in WHOLE_ONLY and whole.startswith(f"{word} "):
            return Intent(meaning)
    if _FREE.search(plain) and not _BUT_GO_ON.search(plain):
        return Intent("stop", is_free_text=True)
    return None


def intent_of_event(event: DeliveryEvent) -> Intent | None:
    """What an `inbound` event asks for: what its vendor understood first, then what it says.

    A vendor that knows the account's own keywords (Twilio's Advanced Opt-Out) has it in `code`.
    """
    if event.kind != "inbound":
        return None
    told = event.code.lower()
    if told in ("stop", "start", "help"):
        return Intent(told)  # type: ignore[arg-type]
    return intent_of(event.text)


def _plain(text: str) -> str:
    """Small letters without accents or punctuation, single spaces; hyphens stay."""
    folded = unicodedata.normalize("NFKD", text[:CHARS_READ].casefold())
    kept = (it for it in folded if not unicodedata.combining(it))
    # An apostrophe vanishes ("don't" is "dont"); everything else that is no letter parts words.
    spelled = "".join(
        "" if it in "'’`´" else it if it.isalnum() or it == "-" else " " for it in kept
    )
    return " ".join(spelled.split())


_LOOKUP: Final[Mapping[str, Word]] = dict(
    sorted(
        (
            (word, meaning)
            for meaning, languages in WORDS.items()
            for words in languages.values()
            for word in words
        ),
        key=lambda pair: -len(pair[0]),
    )
)
