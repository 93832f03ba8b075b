"""The client's address behind listed proxies (EDG-1). Pure."""

import ipaddress
from collections.abc import Iterable, Sequence

from auth_service.config import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def client_address(peer: str, headers: Iterable[tuple[bytes, bytes]], proxies: Sequence[Network]) -> str | None:
    """The rightmost hop that is no listed proxy; the peer where a header is absent, junk, or not to be trusted."""
    own = nearest = _parse(peer)
    if own is None:
        return None
    hops = [hop for name, value in headers if name == b"x-forwarded-for" for hop in value.split(b",")]
    while hops and any(nearest in network for network in proxies):
        hop = _parse(hops.pop().decode("latin-1").strip())
        if hop is None:
            return str(own)
        nearest = hop
    return str(nearest)


def rate_limit_bucket(address: str | None) -> str:
    """One IPv4 address, or one IPv6 /64, which is what one subscriber has."""
    parsed = _parse(address or "")
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _parse(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        # A zone (fe80::1%eth0) is the peer's own text and no part of the address.
        return address.ipv4_mapped or ipaddress.IPv6Address(int(address))
    return address
