"""Where we may connect: schemes, ports and addresses, so that a URL in a campaign reaches no host
inside our own network.

`ipaddress.is_private` misses NAT64, 6to4 and other forms that wrap an inner address, so the table
is our own. Source: IANA special-purpose address registries (IPv4 and IPv6), 2026-11.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from engine.core.errors import Refused

_REFUSED_V4: Final = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
            "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24",
            "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15",
            "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        ),
    )
)  # fmt: skip
_GLOBAL_V6: Final = ip_network("2000::/3")
"""All global unicast is here; what lies outside (::1, fc00::, fe80::, 64:ff9b::, ff00::) is not."""

_REFUSED_V6: Final = tuple(
    map(
        ip_network,
        (
            "2001::/23",  # Teredo, ORCHID, benchmarking and other protocol assignments
            "2001:db8::/32", "3fff::/20",  # documentation
            "2002::/16",  # 6to4: any IPv4 address inside
            "2620:4f:8000::/48",
        ),
    )
)  # fmt: skip


class EgressRefused(Refused):
    """The destination is not one we may connect to."""


class EgressRules(Struct, frozen=True):
    """What a client may reach. `allow_loopback` is for tests and local gateways, `allow_private`
    for a gateway that the operator named in antiphon.yaml: never for an address that a campaign,
    an event or an answer brought.

    `ports` None means any port.
    """

    schemes: tuple[str, ...] = ("https",)
    ports: tuple[int, ...] | None = (443,)
    allow_loopback: bool = False
    allow_private: bool = False


def check_url(url: str, *, rules: EgressRules) -> None:
    """Refuse a URL by its scheme, port, credentials or literal address.

    Raises:
        EgressRefused: Naming what was found and what is allowed, never the whole URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise EgressRefused("the address is not a URL") from None
    if parts.scheme not in rules.schemes:
        allowed = ", ".join(rules.schemes)
        raise EgressRefused(f'scheme "{parts.scheme}" is not allowed; allowed: {allowed}')
    if not host or parts.username is not None:
        raise EgressRefused("a URL has a host, and no user or password")
    port = port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    if rules.ports is not None and port not in rules.ports:
        raise EgressRefused(f"port {port} is not allowed; allowed: {list(rules.ports)}")
    try:
        address = ip_address(host)
    except ValueError:
        return  # a name: its addresses are checked when they are known
    check_address(str(address), rules=rules)


def check_address(address: str, *, rules: EgressRules) -> None:
    """Refuse an address that is not public.

    Raises:
        EgressRefused: If it is private, local, reserved, or wraps another address.
    """
    if rules.allow_private or is_public(address):
        return
    if not (rules.allow_loopback and _is_loopback(address)):
        raise EgressRefused("the host's address is not public; private networks are not reachable")


def is_public(address: str) -> bool:
    """Whether an IP address, as text, is one of the public internet."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False  # with a scope id (fe80::1%eth0), or no address at all
    if isinstance(parsed, IPv4Address):
        return not any(parsed in network for network in _REFUSED_V4)
    return parsed in _GLOBAL_V6 and not any(parsed in network for network in _REFUSED_V6)


def _is_loopback(address: str) -> bool:
    parsed: IPv4Address | IPv6Address = ip_address(address)
    return parsed == ip_address("::1") or parsed in ip_network("127.0.0.0/8")
