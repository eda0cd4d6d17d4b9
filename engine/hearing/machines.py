"""Which opens and clicks are those of machines: scanners, privacy relays, previews of links.

Pure: what a request shows by itself (`sign_of`), and what only a message's clicks show together
(`reasons`). A machine's are recorded and never counted. Nothing here is certain: a careful scanner
passes for a person, which is why no journey should hang on one open.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from channels.tokens import TRAP
from engine.core.model.instants import SECOND, Instant

TOO_SOON: Final = 10 * SECOND
"""Nobody gets, opens, reads and follows a marketing mail within ten seconds."""
BURST: Final = 2 * SECOND
BURST_LINKS: Final = 3
"""So many different links of one message within two seconds: nobody reads like that."""
TRAP_SPAN: Final = 10 * SECOND
"""Around a visit of the link that no reader sees."""

WHOLE: Final[Mapping[str, str]] = {
    "": "no user agent",
    "mozilla/5.0": "Apple Mail Privacy Protection",
}
"""User agents that say just this. Gmail's and Yahoo's picture proxies are not here: they fetch when
somebody looks."""

WORDS: Final[Mapping[str, str]] = {
    "barracuda": "Barracuda",
    "bitdefender": "Bitdefender",
    "check point": "Check Point",
    "cloudmark": "Cloudmark",
    "fireeye": "FireEye",
    "forcepoint": "Forcepoint",
    "fortimail": "Fortinet",
    "fortinet": "Fortinet",
    "ironport": "Cisco IronPort",
    "kaspersky": "Kaspersky",
    "mcafee": "McAfee",
    "messagelabs": "Symantec",
    "microsoft office existence discovery": "Microsoft",
    "mimecast": "Mimecast",
    "proofpoint": "Proofpoint",
    "safelinks": "Microsoft Safe Links",
    "sophos": "Sophos",
    "symantec": "Symantec",
    "trend micro": "Trend Micro",
    "trendmicro": "Trend Micro",
    "zscaler": "Zscaler",
    "netcraft": "Netcraft",
    "urlscan": "urlscan",
    "virustotal": "VirusTotal",
    "bingpreview": "a preview",
    "facebookexternalhit": "a preview",
    "skypeuripreview": "a preview",
    "whatsapp/": "a preview",
    "crawler": "a crawler",
    "spider": "a crawler",
    "headlesschrome": "a program",
    "phantomjs": "a program",
    "python-requests": "a program",
    "python-urllib": "a program",
    "python-httpx": "a program",
    "aiohttp": "a program",
    "apache-httpclient": "a program",
    "curl/": "a program",
    "go-http-client": "a program",
    "java/": "a program",
    "libwww-perl": "a program",
    "node-fetch": "a program",
    "wget/": "a program",
}
"""What stands in the user agents of security vendors, previews and programs, in small letters."""

_BOT: Final = re.compile(r"(?<!cu)bot\b")
"""Googlebot, Slackbot, bingbot; a CUBOT is a telephone."""


class Click(Struct, frozen=True):
    """One visit of a message's link. `sign` is what its request showed of a machine."""

    link: int
    at: Instant
    sign: str = ""


def sign_of(method: str, agent: str) -> str:
    """What one request shows of a machine; "" for nothing.

    >>> sign_of("GET", "Mozilla/5.0"), sign_of("GET", "Mozilla/5.0 (iPhone) Mail/16")
    ('Apple Mail Privacy Protection', '')
    """
    if method == "HEAD":
        return "HEAD"
    told = agent.strip().lower()
    if told in WHOLE:
        return WHOLE[told]
    found = next((who for word, who in WORDS.items() if word in told), "")
    return found or ("a bot" if _BOT.search(told) else "")


def reasons(clicks: Sequence[Click], *, delivered_at: Instant | None) -> list[str]:
    """Why each click of one message is a machine's, in their order; "" for a person's.

    Args:
        clicks: All that came about the same time, in any order.
        delivered_at: When the mail arrived; None where haste shows nothing.
    """
    trapped = [it.at for it in clicks if it.link == TRAP]
    burst = _burst(clicks)
    return [_reason(it, trapped, burst, delivered_at) for it in clicks]


def _reason(
    it: Click, trapped: Sequence[Instant], burst: frozenset[Instant], delivered_at: Instant | None
) -> str:
    if it.link == TRAP:
        return "it followed a link that no reader sees"
    if it.sign:
        return it.sign
    if any(abs(it.at - at) <= TRAP_SPAN for at in trapped):
        return "beside it, a link that no reader sees was followed"
    if delivered_at is not None and it.at < delivered_at + TOO_SOON:
        return f"less than {TOO_SOON // SECOND} s after it arrived"
    if it.at in burst:
        return f"{BURST_LINKS} links within {BURST // SECOND} s"
    return ""


def _burst(clicks: Sequence[Click]) -> frozenset[Instant]:
    """The instants of clicks that belong to some span with too many different links."""
    ordered = sorted(clicks, key=lambda it: it.at)
    found: set[Instant] = set()
    for number, first in enumerate(ordered):
        near = [it for it in ordered[number:] if it.at <= first.at + BURST]
        if len({it.link for it in near}) >= BURST_LINKS:
            found.update(it.at for it in near)
    return frozenset(found)
