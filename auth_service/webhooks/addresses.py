"""Where a webhook may lead: public addresses, and the private networks that the operator lists."""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from auth_service.config import Settings
from auth_service.setting_values import Network

if TYPE_CHECKING:
    import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
MOST_CHARACTERS = 2000
_EXAMPLE = "must be an address such as https://hooks.cinema.example/auth, without a fragment"
_NAME = re.compile(rb"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")

# The registries of special addresses (RFC 6890), written out: Python's is_global differs from version to version.
_SPECIAL_V4 = [
    ipaddress.IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
]
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_SPECIAL_V6 = [ipaddress.IPv6Network(item) for item in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# What clouds tell their machines, credentials included; not even a listed network opens these.
_METADATA = {
    ipaddress.ip_address(item)
    for item in ("169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254")
}


class Unreachable(Exception):
    """Nothing was sent; `code` is what the list of deliveries shows."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


def problem_of(url: str) -> str | None:
    """What is wrong with the form of an address that somebody wants to register."""
    try:
        parsed = _parsed(url)
    except ValueError:
        return _EXAMPLE
    if "@" in re.split(r"[/?#]", url.partition("//")[2], maxsplit=1)[0]:
        return "must not have a user or a password in it"
    good_port = parsed.port is None or 1 <= parsed.port <= 65535
    good_host = _NAME.fullmatch(parsed.raw_host) is not None
    return None if parsed.scheme in {"http", "https"} and good_host and good_port and "#" not in url else _EXAMPLE


def host_of(url: str) -> str:
    return _parsed(url).host


def refusal_of(settings: Settings, url: str) -> str | None:
    """A code for what these settings do not allow and can be known without asking the name service."""
    parsed = _parsed(url)
    if settings.production and parsed.scheme != "https":
        return "https_required"
    try:
        # As connecting reads it: 2130706433 and 0x7f.1 are addresses too.
        found = socket.getaddrinfo(parsed.raw_host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None  # a name
    return None if all(_allowed(settings, item[4][0]) for item in found) else "address_refused"


async def resolve(settings: Settings, url: str) -> Sequence[str]:
    """The addresses to connect to, and to nothing else: a second look-up could answer differently.

    Raises Unreachable. One address that is not allowed refuses all of a name's.
    """
    if refusal := refusal_of(settings, url):
        raise Unreachable(refusal)
    name = _parsed(url).raw_host
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unreachable("name_not_found") from None
    addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
    if not all(_allowed(settings, address) for address in addresses):
        raise Unreachable("address_refused")
    return addresses


def _parsed(url: str) -> "httpx.URL":
    """As it will be asked; raises ValueError."""
    import httpx  # not with the worker's start: webhooks.delivery says why

    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError("not a URL") from error


def _allowed(settings: Settings, text: str | int) -> bool:
    return is_allowed(ipaddress.ip_address(text), settings.webhook_networks)


def is_allowed(address: Address, listed: Sequence[Network]) -> bool:
    """IPv4 inside of IPv6, mapped or for NAT64, is judged as what it is."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address.ipv4_mapped
        if inner is not None:
            return is_allowed(inner, listed)
    if address in _METADATA:
        return False
    if any(address in network for network in listed):
        return True
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    return address in _PUBLIC_V6 and not any(address in network for network in _SPECIAL_V6)
