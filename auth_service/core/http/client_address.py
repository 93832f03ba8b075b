"""The client's address behind listed proxies (EDG-1). Pure, but for the one word about a hop that cannot be read."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import structlog

from auth_service.setting_values import Network

log = structlog.get_logger(__name__)
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# As Azure's gateways and others write a hop: 203.0.113.7:51234, [2001:db8::1]:443; RFC 7239 quotes it.
_WITH_PORT = re.compile(r'("?)(?:(\d[\d.]*\.\d+):\d{1,5}|\[([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)\](?::\d{1,5})?)\1')
LONGEST_HOP = 64
_warned = False


def client_address(peer: str, headers: Iterable[tuple[bytes, bytes]], proxies: Sequence[Network]) -> str | None:
    """The rightmost hop that is no listed proxy; the peer where a header is absent, junk, or not to be trusted."""
    own, written = _peer(peer)
    hops = [hop for name, value in headers if name == b"x-forwarded-for" for hop in value.split(b",")]
    if own is None or not hops:
        return written
    nearest = own
    while hops and any(nearest in network for network in proxies):
        hop = _parse_hop(hops.pop().decode("latin-1").strip())
        if hop is None:
            _warn()
            return written
        nearest = hop
    return str(nearest)


@lru_cache(maxsize=1024)
def _peer(peer: str) -> tuple[Address | None, str | None]:
    """With how it is written; the same proxies and clients come again and again."""
    parsed = _parse(peer)
    return parsed, None if parsed is None else str(parsed)


@lru_cache(maxsize=1024)
def rate_limit_bucket(address: str | None) -> str:
    """One IPv4 address, or one IPv6 /64, which is what one subscriber has."""
    parsed = _parse(address or "")
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _parse_hop(text: str) -> Address | None:
    """With or without a port. Bare colons are IPv6's own: what comes after the last one is no port."""
    plain = _parse(text)
    if plain is not None:
        return plain
    match = _WITH_PORT.fullmatch(text) if len(text) <= LONGEST_HOP else None
    return None if match is None else _parse(match[2] or match[3])


def _parse(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        # A zone (fe80::1%eth0) is the peer's own text and no part of the address.
        return address.ipv4_mapped or ipaddress.IPv6Address(int(address))
    return address


def _warn() -> None:
    """Once a process: the proxy writes the same with each request. Without the hop, which may be a client's text."""
    global _warned  # noqa: PLW0603
    if not _warned:
        _warned = True
        log.warning(
            "forwarded_hop_not_read",
            setting="TRUSTED_PROXIES",
            remedy="a listed proxy sends an X-Forwarded-For whose last hop is no address, so its clients share one; "
            "see what the proxy writes there, and that each proxy on the way is listed",
        )
