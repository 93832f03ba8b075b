"""What REDIS_URL says: one Redis, a master that Sentinels know, or a cluster."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from redis.asyncio.connection import parse_url

REMEDY = (
    "write it as redis://:password@host:6379/0, redis+sentinel://:password@host:26379,other:26379/0?service=name "
    "or redis+cluster://:password@host:6379,other:6379; rediss… for TLS, the password percent-encoded"
)
_HOST = r"(?:[A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?"
_SEVERAL = re.compile(
    rf"(?P<scheme>rediss?)\+(?P<kind>sentinel|cluster)://(?P<user>[^@/?#\s]*@)?(?P<hosts>{_HOST}(?:,{_HOST})*)"
    r"(?:/(?P<database>\d{0,4}))?(?:\?(?P<query>[^#\s]*))?"
)
_TLS_OPTIONS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"})
_SENTINEL_OPTIONS = frozenset({"service", "sentinel_password", "sentinel_username"})


class Kind(StrEnum):
    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """`options` are redis-py's for a connection to a node that holds data, `sentinel_options` for one to a Sentinel."""

    kind: Kind
    hosts: tuple[tuple[str, int], ...]
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    sentinel_options: dict[str, Any] = field(default_factory=dict, repr=False)
    service: str = ""

    def __str__(self) -> str:
        """Where it is, without user or password."""
        return ", ".join(f"{host}:{port}" for host, port in self.hosts)


def read_redis_url(url: str) -> RedisAddress:
    """Raises ValueError, whose text holds nothing of the URL."""
    several = _SEVERAL.fullmatch(url)
    try:
        return _single(url) if several is None else _several(several)
    except ValueError:
        raise ValueError(REMEDY) from None


def _single(url: str) -> RedisAddress:
    parts = urlsplit(url)
    if parts.scheme not in {"redis", "rediss"} or parts.port == 0 or not re.fullmatch(r"/?\d*", parts.path):
        raise ValueError
    return RedisAddress(Kind.SINGLE, ((parts.hostname or "localhost", parts.port or 6379),))


def _several(found: re.Match[str]) -> RedisAddress:
    kind = Kind(found["kind"])
    query = dict(parse_qsl(found["query"] or "", keep_blank_values=True, strict_parsing=bool(found["query"])))
    tls = found["scheme"] == "rediss"
    allowed = (_TLS_OPTIONS if tls else frozenset()) | (_SENTINEL_OPTIONS if kind is Kind.SENTINEL else frozenset())
    if not query.keys() <= allowed:
        raise ValueError
    of_sentinels = {name: query.pop(name) for name in _SENTINEL_OPTIONS if name in query}
    service = of_sentinels.pop("service", "")
    if kind is Kind.SENTINEL and not service:
        raise ValueError
    if kind is Kind.CLUSTER and int(found["database"] or 0) != 0:
        raise ValueError
    # redis-py reads user, password, database and the options for TLS, as it does for one host.
    plain = f"{found['scheme']}://{found['user'] or ''}host/{found['database'] or 0}?{urlencode(query)}"
    options: dict[str, Any] = {**parse_url(plain)}
    for name in ("host", "port", "connection_class", *(["db"] if kind is Kind.CLUSTER else [])):
        options.pop(name, None)
    transport = {"ssl": True, **{name: options[name] for name in _TLS_OPTIONS & options.keys()}} if tls else {}
    sentinel = {name.removeprefix("sentinel_"): value for name, value in of_sentinels.items()}
    default_port = 26379 if kind is Kind.SENTINEL else 6379
    hosts = tuple(_host(host, default_port) for host in found["hosts"].split(","))
    return RedisAddress(kind, hosts, options | transport, sentinel | transport, service)


def _host(text: str, default_port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if parts.port == 0 or parts.hostname is None:
        raise ValueError
    return parts.hostname, parts.port or default_port
