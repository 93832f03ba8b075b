"""Whose address it is behind proxies, and whose bucket (EDG-1)."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from auth_service.core.http.client_address import client_address, rate_limit_bucket

PROXIES = tuple(ipaddress.ip_network(item) for item in ("10.0.0.0/8", "fd00::/8"))
PEER = "203.0.113.9"
PROXY = "10.0.0.1"

# peer, X-Forwarded-For headers from first to last, client
CASES = {
    "nothing forwarded": (PEER, [], PEER),
    "a stranger's header": (PEER, ["1.2.3.4"], PEER),
    "a stranger's header with a proxy in it": (PEER, ["1.2.3.4, 10.0.0.2"], PEER),
    "one proxy": (PROXY, ["1.2.3.4"], "1.2.3.4"),
    "one proxy, nothing forwarded": (PROXY, [], PROXY),
    "the client made hops up": (PROXY, ["6.6.6.6, 7.7.7.7, 1.2.3.4"], "1.2.3.4"),
    "the client claims to be behind a proxy": (PROXY, ["6.6.6.6, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
    "two proxies": (PROXY, ["6.6.6.6, 1.2.3.4, 10.9.9.9"], "1.2.3.4"),
    "nobody but proxies": (PROXY, ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
    "several headers are one list": (PROXY, ["6.6.6.6", "1.2.3.4", "10.0.0.2"], "1.2.3.4"),
    "several headers of a stranger": (PEER, ["6.6.6.6", "10.0.0.2"], PEER),
    "white space": (PROXY, ["  1.2.3.4\t ,  10.0.0.2 "], "1.2.3.4"),
    "IPv6": ("fd00::1", ["2001:db8::5"], "2001:db8::5"),
    "IPv6 in another spelling": ("fd00::1", ["2001:DB8:0:0:0:0:0:5"], "2001:db8::5"),
    "IPv4 in IPv6 is IPv4": (PROXY, ["::ffff:1.2.3.4"], "1.2.3.4"),
    "a proxy that comes as IPv4 in IPv6": ("::ffff:10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
    "the zone is cut": ("fe80::1%eth0", [], "fe80::1"),
    "the zone of a hop is cut": (PROXY, ["fe80::1%x' OR 1=1"], "fe80::1"),
    "empty": (PROXY, [""], PROXY),
    "comma only": (PROXY, [","], PROXY),
    "empty last hop": (PROXY, ["1.2.3.4,"], PROXY),
    "a name": (PROXY, ["localhost"], PROXY),
    "unknown, as RFC 7239 writes it": (PROXY, ["unknown"], PROXY),
    "with a port, as Azure's gateways write it": (PROXY, ["203.0.113.7:51234"], "203.0.113.7"),
    "IPv6 with a port": (PROXY, ["[2001:db8::1]:443"], "2001:db8::1"),
    "IPv6 in brackets": (PROXY, ["[2001:db8::1]"], "2001:db8::1"),
    "IPv6 in quotes, as RFC 7239 has it": (PROXY, ['"[2001:db8::1]"'], "2001:db8::1"),
    "IPv6 in quotes with a port": (PROXY, [' "[2001:db8::1]:443" '], "2001:db8::1"),
    "IPv4 in quotes with a port": (PROXY, ['"203.0.113.7:51234"'], "203.0.113.7"),
    "IPv6 without brackets keeps all its colons": (PROXY, ["2001:db8::1:443"], "2001:db8::1:443"),
    "IPv4 in IPv6 in brackets": (PROXY, ["[::ffff:1.2.3.4]:80"], "1.2.3.4"),
    "ports of proxies too": (PROXY, ["6.6.6.6:1, 1.2.3.4:5, 10.0.0.2:6"], "1.2.3.4"),
    "two ports": (PROXY, ["1.2.3.4:80:81"], PROXY),
    "a port without a number": (PROXY, ["1.2.3.4:"], PROXY),
    "a port of six digits": (PROXY, ["1.2.3.4:123456"], PROXY),
    "one quote": (PROXY, ['"[2001:db8::1]:443'], PROXY),
    "IPv4 in brackets": (PROXY, ["[1.2.3.4]:80"], PROXY),
    "a port after leading zeros": (PROXY, ["010.0.0.1:80"], PROXY),
    "a bracket that stays open": (PROXY, ["[" + ":" * 10_000], PROXY),
    "leading zeros": (PROXY, ["010.0.0.1"], PROXY),
    "a number": (PROXY, ["16909060"], PROXY),
    "too short": (PROXY, ["1.2.3"], PROXY),
    "a network": (PROXY, ["1.2.3.4/8"], PROXY),
    "quoted": (PROXY, ['"1.2.3.4"'], PROXY),
    "other digits": (PROXY, ["\u00b9.2.3.4"], PROXY),
    "junk behind which stands an address": (PROXY, ["1.2.3.4, junk"], PROXY),
    "junk that the second proxy got": (PROXY, ["1.2.3.4, junk, 10.0.0.2"], PROXY),
    "very long": (PROXY, ["1" * 10_000], PROXY),
    "junk seen by a proxy with a zone": ("fd00::1%eth0", ["junk"], "fd00::1"),
    "junk seen by a proxy as IPv4 in IPv6": ("::ffff:10.0.0.1", ["junk"], PROXY),
    "no peer": ("", ["1.2.3.4"], None),
    "a socket's name for a peer": ("/run/auth.sock", ["1.2.3.4"], None),
}


def _headers(values: list[str]) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"localhost"), *((b"x-forwarded-for", value.encode("latin-1")) for value in values)]


@pytest.mark.parametrize(("peer", "forwarded", "client"), CASES.values(), ids=CASES)
def test_edg_1_the_rightmost_hop_that_is_no_listed_proxy(peer: str, forwarded: list[str], client: str | None) -> None:
    assert client_address(peer, _headers(forwarded), PROXIES) == client


def test_edg_1_a_hop_that_cannot_be_read_is_told_once_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth_service.core.http.client_address._warned", False)
    with capture_logs() as logs:
        for header in ("203.0.113.7:51234", "", "one-canary", "two-canary"):
            client_address(PEER, _headers([header]), PROXIES)  # a stranger's
            client_address(PROXY, _headers([header]), PROXIES)
        client_address(PROXY, _headers([]), PROXIES)
    assert [(line["event"], line["setting"]) for line in logs] == [("forwarded_hop_not_read", "TRUSTED_PROXIES")]
    assert "canary" not in str(logs)


def test_edg_1_without_listed_proxies_nothing_is_believed() -> None:
    assert client_address("127.0.0.1", _headers(["1.2.3.4"]), ()) == "127.0.0.1"


@pytest.mark.parametrize("name", [b"forwarded", b"x-real-ip", b"true-client-ip", b"cf-connecting-ip", b"client-ip"])
def test_edg_1_no_other_header_counts(name: bytes) -> None:
    assert client_address(PROXY, [(name, b"1.2.3.4")], PROXIES) == PROXY


BUCKETS = {
    "an IPv4 address": ("1.2.3.4", "1.2.3.4"),
    "an IPv6 /64": ("2001:db8:1:2:aaaa:bbbb:cccc:dddd", "2001:db8:1:2::/64"),
    "the same /64": ("2001:db8:1:2::", "2001:db8:1:2::/64"),
    "the next /64": ("2001:db8:1:3::", "2001:db8:1:3::/64"),
    "IPv4 in IPv6": ("::ffff:1.2.3.4", "1.2.3.4"),
    "a zone": ("fe80::1%eth0", "fe80::/64"),
    "no address": (None, "None"),
    "junk": ("junk", "None"),
}


@pytest.mark.parametrize(("address", "bucket"), BUCKETS.values(), ids=BUCKETS)
def test_edg_1_buckets(address: str | None, bucket: str) -> None:
    assert rate_limit_bucket(address) == bucket


@given(st.binary(max_size=60), st.sampled_from([PEER, PROXY, "fd00::1%eth0", "::ffff:10.0.0.1"]))
def test_edg_1_any_header_gives_an_address(header: bytes, peer: str) -> None:
    client = client_address(peer, [(b"x-forwarded-for", header)], PROXIES)
    assert client is not None
    assert str(ipaddress.ip_address(client)) == client
    assert "%" not in client


@given(st.lists(st.ip_addresses(), max_size=5))
def test_edg_1_what_a_client_adds_on_the_left_changes_nothing(made_up: list[ipaddress.IPv4Address]) -> None:
    forwarded = ", ".join([*map(str, made_up), "198.51.100.7"])
    assert client_address(PROXY, _headers([forwarded]), PROXIES) == "198.51.100.7"
