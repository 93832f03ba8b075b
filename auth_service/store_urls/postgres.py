"""What DATABASE_URL says, as asyncpg takes it: libpq's options, and those of other drivers that hosters write into it.

asyncpg hands an option that it does not know to the server as a setting, and each connection is refused for it. So what
is here is its own, translated, or left out because it changes nothing; everything else stops the start.
"""

import os
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import quote, unquote, urlencode, urlsplit

from auth_service.store_urls.options import BadOption, as_bool, must_be_readable, read_options

REMEDY = (
    "write it as postgresql://user:password@host:5432/name, special characters of the password percent-encoded "
    "(@ is %40); a primary and its standbys as host:5432,host:5432"
)
PORT = 5432
_SCHEMES = frozenset({"postgresql", "postgres", "postgresql+asyncpg"})
_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+(?:%\w+)?)\]|(?P<name>[^\[\]:,\s]*))(?::(?P<port>\d{1,5}))?")
_TLS_VERSIONS = {f"TLSv1.{number}": ssl.TLSVersion[f"TLSv1_{number}"] for number in (2, 3)}
_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_MODE_OF = {"true": "require", "1": "require", "false": "disable", "0": "disable", "no-verify": "require"}
_FILES = ("passfile", "sslrootcert", "sslcert", "sslkey", "sslcrl")
_TLS_FILES = frozenset({"sslrootcert", "sslcert", "sslkey", "sslcrl", "sslpassword"})

# asyncpg's own names, with libpq's meaning.
_TAKEN = frozenset(
    {
        *("host", "port", "dbname", "user", "password", "passfile", "service"),
        *("sslmode", "sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version", *_TLS_FILES),
        *("target_session_attrs", "krbsrvname", "gsslib"),
    }
)
_TRANSLATED = frozenset({"ssl", "channel_binding", "options", "schema", "currentSchema", "search_path", "pgbouncer"})

_TIMEOUTS = "DATABASE_TIMEOUT_SECONDS counts"
_POOLS = "DATABASE_POOL_SIZE counts"
_PINGS = "a connection is tried before each use"
_CACHES = "the service keeps its own statements"
_NAME = "the service's connections are named auth-service"
_LEFT_OUT = {
    "connect_timeout": _TIMEOUTS,
    "socket_timeout": _TIMEOUTS,
    "statement_timeout": _TIMEOUTS,
    "tcp_user_timeout": _TIMEOUTS,
    "pool": _POOLS,
    "pool_size": _POOLS,
    "max_overflow": _POOLS,
    "pool_timeout": _POOLS,
    "pool_recycle": _POOLS,
    "connection_limit": _POOLS,
    "pool_pre_ping": _PINGS,
    "keepalives": _PINGS,
    "keepalives_idle": _PINGS,
    "keepalives_interval": _PINGS,
    "keepalives_count": _PINGS,
    "statement_cache_size": _CACHES,
    "prepared_statement_cache_size": _CACHES,
    "application_name": _NAME,
    "fallback_application_name": _NAME,
    "load_balance_hosts": "all hosts are asked at once",
    "sslcompression": "TLS is never compressed",
    "sslsni": "the host's name is always sent",
    "uselibpqcompat": "sslmode has libpq's meaning",
}
# Left out with these values; others ask for something that asyncpg cannot do.
_DEFAULTS = {
    "gssencmode": frozenset({"disable", "prefer"}),
    "gssdelegation": frozenset({"0"}),
    "sslcertmode": frozenset({"allow"}),
    "client_encoding": frozenset({"utf8", "utf-8", "unicode", "auto"}),
    "replication": frozenset({"false", "off", "no", "0"}),
}
_KNOWN = dict.fromkeys([*_TAKEN, *_TRANSLATED, *_LEFT_OUT, *_DEFAULTS])


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """`dsn`, `tls` and `server_settings` are for asyncpg.connect; `left_out` has the reason of each option that the
    service does without.
    """

    dsn: str = field(repr=False)
    hosts: tuple[tuple[str, int], ...]
    tls: ssl.SSLContext | None = None  # where the machine's own authorities verify: a dsn cannot say so
    server_settings: dict[str, str] = field(default_factory=dict, repr=False)
    left_out: dict[str, str] = field(default_factory=dict)
    says_pooler: bool = False  # by the option pgbouncer, as other drivers want it

    def __str__(self) -> str:
        """Where it is, without user or password."""
        return ", ".join(f"{host}:{port}" for host, port in self.hosts) or "localhost"


def read_postgres_url(url: str) -> PostgresAddress:
    """Raises ValueError, whose text holds nothing of the URL but the name of an option."""
    try:
        return _read(url)
    except BadOption:
        raise
    except ValueError:
        raise ValueError(REMEDY) from None


def _read(url: str) -> PostgresAddress:
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or parts.fragment or parts.netloc.count("@") > 1:
        raise ValueError
    given = read_options(parts.query, _KNOWN)
    hosts = _hosts(parts.netloc.rpartition("@")[2], given)
    left_out = _left_out(given)
    server_settings = _server_settings(given)
    _check_target(given)
    on_sockets = any(host.startswith("/") for host, _ in hosts)
    mode = _tls_mode(given, left_out, may_be_socket=on_sockets or not hosts)
    for name in _FILES:
        if given.get(name) and not (name == "sslrootcert" and given[name] == "system"):
            must_be_readable(name, given[name])
    tls = _tls_context(mode, given) if mode in _MODES[3:] else None
    system = tls is not None and given.get("sslrootcert") == "system"
    kept = {name: value for name, value in given.items() if name in _TAKEN and value}
    if mode is not None:
        kept["sslmode"] = mode
    if system:
        kept = {name: value for name, value in kept.items() if name not in _TLS_FILES}
    netloc = parts.netloc
    if given.get("host") or given.get("port"):  # asyncpg would take the port in one of the two places only
        user = netloc.rpartition("@")[0]
        places = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in hosts)
        netloc = (f"{user}@" if user else "") + ("" if on_sockets else places)
        kept |= {"host": ",".join(host for host, _ in hosts), "port": ",".join(str(port) for _, port in hosts)}
        kept = {name: value for name, value in kept.items() if on_sockets or name not in {"host", "port"}}
    options = f"?{urlencode(kept, quote_via=quote)}" if kept else ""
    dsn = f"postgresql://{netloc}{parts.path}{options}"
    says_pooler = as_bool("pgbouncer", given.get("pgbouncer") or "false")
    return PostgresAddress(dsn, hosts, tls if system else None, server_settings, left_out, says_pooler)


def _hosts(listed: str, given: dict[str, str]) -> tuple[tuple[str, int], ...]:
    """`a:1,b` is two hosts; a path is the folder of a socket."""
    if listed and given.get("host"):
        raise BadOption("the option host names a second place: write all hosts before the name of the database")
    text = listed or given.get("host", "")
    hosts = [_host(item) for item in text.split(",")] if text else []
    ports = [int(port) for port in given["port"].split(",")] if given.get("port") else []
    if ports and len(ports) not in {1, len(hosts)}:
        raise BadOption("the option port has another number of ports than there are hosts")
    both = ((name, port, (ports * len(hosts))[number] if ports else PORT) for number, (name, port) in enumerate(hosts))
    found = tuple((name, port or default) for name, port, default in both)
    if not all(0 < port < 65536 for _, port in found):
        raise ValueError
    return found


def _host(text: str) -> tuple[str, int | None]:
    if text.startswith("/"):
        return text, None
    match = _HOST.fullmatch(text)
    if match is None or match["port"] == "0":
        raise ValueError
    name = match["v6"] or unquote(match["name"])
    if not name.startswith("/"):
        if not name:
            raise ValueError
        if match["v6"] is None:
            name.encode("idna")  # a UnicodeError is a ValueError; asyncpg would raise it with each connection
    return name, int(match["port"]) if match["port"] else None


def _left_out(given: dict[str, str]) -> dict[str, str]:
    for name, harmless in _DEFAULTS.items():
        if name in given and given[name].lower() not in harmless:
            raise BadOption(f"the option {name} asks for what asyncpg cannot do: leave it out")
    reasons = _LEFT_OUT | dict.fromkeys(_DEFAULTS, "that is so anyway")
    reasons["pgbouncer"] = "DATABASE_DIRECT_URL says so"
    return {name: reasons[name] for name in given if name in reasons}


def _server_settings(given: dict[str, str]) -> dict[str, str]:
    settings = {name: given[name] for name in ("options", "search_path") if given.get(name)}
    for name in ("schema", "currentSchema"):
        if given.get(name):
            schema = given[name].replace('"', '""')
            settings["search_path"] = f'"{schema}"'
    return settings


def _check_target(given: dict[str, str]) -> None:
    if given.get("target_session_attrs", "any") not in {"any", "read-write", "primary"}:
        raise BadOption("the option target_session_attrs is read-write, primary or any: the service has to write")


def _tls_mode(given: dict[str, str], left_out: dict[str, str], *, may_be_socket: bool) -> str | None:
    """libpq's sslmode, or None for its default; may set `sslrootcert` to the machine's own authorities."""
    modes = {_MODE_OF.get(given[name].lower(), given[name]) for name in ("sslmode", "ssl") if given.get(name)}
    if len(modes) > 1:
        raise BadOption("the options sslmode and ssl contradict each other: leave ssl out")
    mode = modes.pop() if modes else None
    if mode is not None and mode not in _MODES:
        raise BadOption(f"the option sslmode is one of {', '.join(_MODES)}")
    binding = given.get("channel_binding", "prefer")
    if binding not in {"disable", "prefer", "require"}:
        raise BadOption("the option channel_binding is disable, prefer or require")
    if binding == "require":
        # asyncpg cannot bind the login to the TLS channel. What that protects from, somebody in between who passes the
        # login on, a verified certificate keeps out too.
        if mode == "disable" or may_be_socket:
            raise BadOption("the option channel_binding=require wants TLS, and the rest of the address none")
        mode = "verify-ca" if mode == "verify-ca" else "verify-full"
        left_out["channel_binding"] = "the server's certificate is verified instead: sslmode=verify-full"
    elif "channel_binding" in given:
        left_out["channel_binding"] = "the password is never sent as it is"
    if given.get("sslrootcert") == "system":
        if mode not in {None, "verify-full"}:
            raise BadOption("the option sslrootcert=system goes with sslmode=verify-full only")
        mode = "verify-full"
    if mode in {"verify-ca", "verify-full"} and not given.get("sslrootcert") and not _has_root_file():
        if mode == "verify-ca":  # any name that any public authority knows would do
            raise BadOption("the option sslmode=verify-ca needs sslrootcert, the file of your authority")
        given["sslrootcert"] = "system"
    if given.get("sslnegotiation") not in {None, "postgres", "direct"}:
        raise BadOption("the option sslnegotiation is postgres or direct")
    if given.get("sslnegotiation") == "direct" and mode not in _MODES[3:]:
        raise BadOption("the option sslnegotiation=direct needs sslmode=require, verify-ca or verify-full")
    return mode


def _has_root_file() -> bool:
    """Where libpq and asyncpg look by themselves."""
    return bool(os.environ.get("PGSSLROOTCERT")) or os.path.exists(os.path.expanduser("~/.postgresql/root.crt"))


def _tls_context(mode: str | None, given: dict[str, str]) -> ssl.SSLContext:
    """As asyncpg makes one; where files verify it does so with each connection, and this one only tries them."""
    system = given.get("sslrootcert") == "system"
    context = ssl.create_default_context() if system else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["postgresql"])
    for name in ("ssl_min_protocol_version", "ssl_max_protocol_version"):
        if given.get(name) and given[name] not in _TLS_VERSIONS:
            raise BadOption(f"the option {name} is TLSv1.2 or TLSv1.3")
    context.minimum_version = _TLS_VERSIONS[given.get("ssl_min_protocol_version") or "TLSv1.2"]
    if given.get("ssl_max_protocol_version"):
        context.maximum_version = _TLS_VERSIONS[given["ssl_max_protocol_version"]]
    for name in ("sslrootcert", "sslcrl"):
        if given.get(name) and not (name == "sslrootcert" and system):
            _try(name, partial(context.load_verify_locations, cafile=given[name]))
    if given.get("sslcrl"):
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    if given.get("sslcert"):
        password = given.get("sslpassword", "")
        _try(
            "sslcert", lambda: context.load_cert_chain(given["sslcert"], given.get("sslkey") or None, lambda: password)
        )
    return context


def _try(name: str, load: Callable[[], object]) -> None:
    try:
        load()
    except (ssl.SSLError, OSError):
        raise BadOption(f"the option {name} names a file that is no certificate, or none with this key") from None
