"""The part of an address that a mailbox provider goes by: its domain, and what we may keep of it.

Pure. A domain is personal where somebody has one of their own, so what is written down is a name
that very many people share, or `other`.
"""

from collections.abc import Collection
from typing import Final

OTHER: Final = "other"

SHARED: Final = frozenset({
    "163.com", "aol.com", "att.net", "bigpond.com", "bluewin.ch", "bol.com.br", "btinternet.com",
    "comcast.net", "cox.net", "free.fr", "freenet.de", "gmail.com", "gmx.at", "gmx.ch", "gmx.de",
    "gmx.net", "googlemail.com", "hotmail.co.uk", "hotmail.com", "hotmail.de", "hotmail.fr",
    "hotmail.it", "icloud.com", "interia.pl", "laposte.net", "libero.it", "live.com", "mac.com",
    "mail.ru", "me.com", "msn.com", "naver.com", "o2.pl", "onet.pl", "orange.fr", "outlook.com",
    "outlook.de", "proton.me", "protonmail.com", "qq.com", "rediffmail.com", "rocketmail.com",
    "sbcglobal.net", "seznam.cz", "sfr.fr", "sky.com", "t-online.de", "telenet.be", "terra.com.br",
    "uol.com.br", "verizon.net", "virgilio.it", "wanadoo.fr", "web.de", "wp.pl", "yahoo.co.jp",
    "yahoo.co.uk", "yahoo.com", "yahoo.com.br", "yahoo.de", "yahoo.fr", "yahoo.it", "yandex.ru",
    "ymail.com", "ziggo.nl",
})  # fmt: skip
"""Domains of large public mailbox providers."""


def domain_of(address: str) -> str:
    """The domain of an e-mail address in lower case, "" if it is none.

    >>> domain_of("Ada <ada@Example.COM>")
    'example.com'
    """
    _, at, domain = address.rpartition("@")
    return domain.strip("> ").rstrip(".").lower() if at else ""


def label_of(domain: str, *, named: Collection[str] = ()) -> str:
    """What may be kept of a domain: itself if many share it or antiphon.yaml names it.

    >>> label_of("gmail.com"), label_of("ada-lovelace.name"), label_of("")
    ('gmail.com', 'other', '')
    """
    return domain if not domain or domain in SHARED or domain in named else OTHER
