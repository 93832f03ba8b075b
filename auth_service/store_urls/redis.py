"""What REDIS_URL says: one Redis, a master that Sentinels know, or a cluster."""

import re
import ssl
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection

from auth_service.store_urls.options import BadOption, as_bool, must_be_readable, read_options

REMEDY = (
    "write it as redis://:password@host:6379/0, redis+sentinel://:password@host:26379,other:26379/0?service=name "
    "or redis+cluster://:password@host:6379,other:6379; rediss… for TLS, unix:///path?db=0 for a socket, "
    "the password percent-encoded"
)
_HOST = r"(?:[A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?"
_SEVERAL = re.compile(
    rf"(?P<scheme>rediss?)\+(?P<kind>sentinel|cluster)://(?P<user>[^@/?#\s]*@)?(?P<hosts>{_HOST}(?:,{_HOST})*)"
    r"(?:/(?P<database>\d{0,9}))?/?(?:\?(?P<query>[^#\s]*))?",
    re.IGNORECASE,
)
_TLS_OPTIONS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"})
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_VERIFY = {"none": "none", "cert_none": "none", "required": "required", "cert_required": "required"}
_SENTINEL_OPTIONS = frozenset({"service", "sentinel_password", "sentinel_username"})
_PLAIN = frozenset({"db", "username", "password", "client_name"})

_TIMEOUTS = "REDIS_TIMEOUT_MS counts"
_POOLS = "REDIS_POOL_SIZE counts"
_RETRIES = "nothing is ever sent twice"
_TEXTS = "the service reads answers in its own way"
_LEFT_OUT = {
    "socket_timeout": _TIMEOUTS,
    "socket_connect_timeout": _TIMEOUTS,
    "timeout": _TIMEOUTS,
    "max_connections": _POOLS,
    "retry": _RETRIES,
    "retry_on_timeout": _RETRIES,
    "retry_on_error": _RETRIES,
    "decode_responses": _TEXTS,
    "encoding": _TEXTS,
    "encoding_errors": _TEXTS,
    "protocol": "the client and the server agree on it",
    "health_check_interval": _RETRIES,
    "socket_keepalive": "a command that gets no answer ends its connection",
    "socket_read_size": _TEXTS,
    "family": "a host is asked at all its addresses",
}


class Kind(StrEnum):
    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """`options` are redis-py's for a connection to a node that holds data, `sentinel_options` for one to a Sentinel.
    `left_out` has the reason of each option that the service does without.
    """

    kind: Kind
    hosts: tuple[tuple[str, int], ...]
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    sentinel_options: dict[str, Any] = field(default_factory=dict, repr=False)
    service: str = ""
    left_out: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Where it is, without user or password."""
        return ", ".join(f"{host}:{port}" for host, port in self.hosts) or str(self.options.get("path"))


def read_redis_url(url: str) -> RedisAddress:
    """Raises ValueError, whose text holds nothing of the URL but the name of an option."""
    several = _SEVERAL.fullmatch(url)
    try:
        return _single(url) if several is None else _several(several)
    except BadOption:
        raise
    except ValueError:
        raise ValueError(REMEDY) from None


def _single(url: str) -> RedisAddress:
    parts = urlsplit(url)
    if parts.scheme not in {"redis", "rediss", "unix"} or parts.port == 0 or parts.fragment:
        raise ValueError
    given, left_out = _read(parts.query, tls=parts.scheme == "rediss")
    options = _user(parts.username, parts.password) | _plain(given)
    if parts.scheme == "unix":
        if parts.hostname or not parts.path.strip("/"):
            raise ValueError
        path = {"connection_class": UnixDomainSocketConnection, "path": unquote(parts.path)}
        return RedisAddress(Kind.SINGLE, (), options | path, left_out=left_out)
    database = re.fullmatch(r"/?(\d*)/?", parts.path)
    if database is None:
        raise ValueError
    options |= _database(database[1], given)
    if parts.scheme == "rediss":
        options |= {"connection_class": SSLConnection, **_tls(given)}
    host, port = _host(parts.netloc.rpartition("@")[2] or "localhost", 6379)
    return RedisAddress(Kind.SINGLE, ((host, port),), options | {"host": host, "port": port}, left_out=left_out)


def _several(found: re.Match[str]) -> RedisAddress:
    kind = Kind(found["kind"].lower())
    tls = found["scheme"].lower() == "rediss"
    given, left_out = _read(
        found["query"] or "", tls=tls, more=_SENTINEL_OPTIONS if kind is Kind.SENTINEL else frozenset()
    )
    service = given.get("service", "")
    if kind is Kind.SENTINEL and not service:
        raise ValueError
    user = urlsplit(f"//{found['user'] or ''}host")
    options = _user(user.username, user.password) | _plain(given)
    database = _database(found["database"] or "", given)
    if kind is Kind.SENTINEL:
        options |= {"db": 0} | database
    elif options.pop("db", 0) or database.get("db"):
        raise ValueError  # a cluster has no other
    transport = {"ssl": True, **_tls(given)} if tls else {}
    sentinel = {name.removeprefix("sentinel_"): given[name] for name in given if name.startswith("sentinel_")}
    default_port = 26379 if kind is Kind.SENTINEL else 6379
    hosts = tuple(_host(host, default_port) for host in found["hosts"].split(","))
    return RedisAddress(kind, hosts, options | transport, sentinel | transport, service, left_out)


def _read(query: str, *, tls: bool, more: frozenset[str] = frozenset()) -> tuple[dict[str, str], dict[str, str]]:
    known = _PLAIN | _TLS_OPTIONS | _LEFT_OUT.keys() | more
    given = read_options(query, dict.fromkeys(known))
    if not tls and (useless := sorted(_TLS_OPTIONS & given.keys())):
        raise BadOption(f"the option {useless[0]} is for TLS: write rediss instead of redis, or leave it out")
    return given, {name: _LEFT_OUT[name] for name in given if name in _LEFT_OUT}


def _user(name: str | None, password: str | None) -> dict[str, str]:
    both = {"username": name, "password": password}
    return {key: unquote(value) for key, value in both.items() if value}


def _plain(given: dict[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {name: given[name] for name in sorted(_PLAIN) if given.get(name)}
    if "db" in options:
        if not re.fullmatch(r"\d{1,9}", options["db"]):
            raise BadOption("the option db is a number")
        options["db"] = int(options["db"])
    return options


def _database(path: str, given: dict[str, str]) -> dict[str, int]:
    if not path:
        return {}
    if given.get("db", path) != path:
        raise BadOption("the option db is another number than the one after the host")
    return {"db": int(path)}


def _tls(given: dict[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {name: given[name] for name in sorted(_TLS_OPTIONS) if given.get(name)}
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = as_bool("ssl_check_hostname", options["ssl_check_hostname"])
    if "ssl_cert_reqs" in options:
        if options["ssl_cert_reqs"].lower() not in _VERIFY:
            raise BadOption("the option ssl_cert_reqs is required or none")
        options["ssl_cert_reqs"] = _VERIFY[options["ssl_cert_reqs"].lower()]
    for name in _TLS_FILES:
        if name in options:
            must_be_readable(name, options[name])
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if "ssl_ca_certs" in options:
            context.load_verify_locations(cafile=options["ssl_ca_certs"])
        if "ssl_certfile" in options:
            key, password = options.get("ssl_keyfile"), options.get("ssl_password", "")
            context.load_cert_chain(options["ssl_certfile"], key, lambda: password)
    except (ssl.SSLError, OSError):
        raise BadOption("an option of TLS names a file that is no certificate, or none with this key") from None
    return options


def _host(text: str, default_port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if parts.port == 0 or parts.hostname is None:
        raise ValueError
    if ":" not in parts.hostname:
        parts.hostname.encode("idna")  # a UnicodeError is a ValueError; redis-py would raise it with each connection
    return parts.hostname, parts.port or default_port
