"""What a store's failure means to an operator: the setting, what is wrong, and what to do.

In words of ours: Postgres' own may hold the user's name, a driver's the whole address (AUD-2).
"""

import errno
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    MovedError,
    NoPermissionError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeout
from redis.sentinel import MasterNotFoundError
from sqlalchemy.exc import DBAPIError

from auth_service.core.stores.postgres import IgnoresSettings, NotLetIn


@dataclass(frozen=True, slots=True)
class Trouble:
    """`problem` says of what `setting` leads to what it does: "refuses its user or password"."""

    setting: str
    problem: str
    fix: str


Fits = type[BaseException] | Callable[[BaseException], bool]
Reason = tuple[Fits, str, str]  # what it is for, the problem, the fix


def _has_no_way(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in {errno.EHOSTUNREACH, errno.ENETUNREACH}


def _wants_no_tls(error: BaseException) -> bool:
    return isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error)


def _is_no_redis(error: BaseException) -> bool:
    return isinstance(error, InvalidResponse | ConnectionResetError) or "closed by server" in str(error)


def _connects_in_vain(error: BaseException) -> bool:
    """Also how a Redis without TLS meets a handshake: it waits for the end of a line."""
    return isinstance(error, RedisTimeout) and "connecting" in str(error)


def _of_answer(words: str) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, ResponseError) and words in str(error)


_NO_HOST = ("has a host name that is unknown", "correct the host, or the DNS of this machine")
_NOTHING_LISTENS = ("is where nothing listens", "start the server, or correct host and port")
_SILENT = ("does not answer", "see whether the server hangs, or a firewall drops packets")
_NO_WAY = ("is at an address that cannot be reached from here", "correct the host, or the network of this machine")

_POSTGRES: tuple[Reason, ...] = (
    (asyncpg.UndefinedTableError, "has no schema yet", "run `auth-service migrate`"),
    (
        asyncpg.InvalidSchemaNameError,
        "has no schema of the name that its search_path says",
        "CREATE SCHEMA it, or leave the option out",
    ),
    (
        asyncpg.InvalidAuthorizationSpecificationError,
        "refuses its user or password",
        "correct user and password (percent-encoded), or allow this machine in pg_hba.conf",
    ),
    (
        asyncpg.InvalidCatalogNameError,
        "has no database of that name",
        "correct the name after the last /, or CREATE DATABASE it; then run `auth-service migrate`",
    ),
    (
        asyncpg.InsufficientPrivilegeError,
        "does not let its user do this",
        "make the user the owner of the database, or GRANT it CONNECT, and CREATE on the schema to migrate",
    ),
    (
        asyncpg.TooManyConnectionsError,
        "has no connection left",
        "raise max_connections, or lower DATABASE_POOL_SIZE or WORKERS",
    ),
    (
        asyncpg.CannotConnectNowError,
        "is starting, stopping or recovering",
        "wait until it takes connections; its log says more",
    ),
    (
        lambda error: "statement pooling mode" in str(error),
        "is a pooler in statement mode, which knows no transactions",
        "set pool_mode = transaction there",
    ),
    (
        asyncpg.ProtocolViolationError,
        "does not take the service's settings for a session: a pooler may be in front",
        "set DATABASE_DIRECT_URL to the server's own address",
    ),
    (
        IgnoresSettings,
        "ignores the service's settings for a session: a pooler is in front",
        "set DATABASE_DIRECT_URL to the server's own address",
    ),
    (
        asyncpg.TargetServerAttributeNotMatched,
        "leads to no server that takes writes",
        "list the primary too, and see whether it runs",
    ),
    (
        lambda error: isinstance(error, asyncpg.SyntaxOrAccessError | asyncpg.DataError),
        "does not take what the URL's options ask of it",
        "correct `options` and `search_path`, or leave them out",
    ),
    (
        asyncpg.ClientConfigurationError,
        "cannot be read together with the PG… variables of the environment",
        "correct or unset PGSSLMODE, PGTARGETSESSIONATTRS, PGPORT and the like",
    ),
    (
        ssl.SSLCertVerificationError,
        "shows a certificate that is not trusted here",
        "use the host name that it is for, and name its authority in sslrootcert; without one, the machine's count",
    ),
    (ssl.SSLError, "does not agree on TLS", "check the server's TLS, and sslmode, sslcert and sslkey of the URL"),
    (
        _wants_no_tls,
        "speaks no TLS, and sslmode asks for it",
        "switch TLS on at the server (ssl = on), or write sslmode=disable for a private network",
    ),
    (socket.gaierror, *_NO_HOST),
    (ConnectionRefusedError, *_NOTHING_LISTENS),
    (FileNotFoundError, "is a socket that does not exist", "start the server, or correct the folder and the port"),
    (
        PermissionError,
        "is a socket, or needs a file in ~/.postgresql, that this user may not open",
        "let the service's user read it, or set HOME to a folder of its own",
    ),
    (TimeoutError, *_SILENT),
    (_has_no_way, *_NO_WAY),
)
_REDIS: tuple[Reason, ...] = (
    (
        AuthenticationError,
        "wants a password, or another one",
        "write redis://user:password@host:6379/0 (percent-encoded); the user may be left out",
    ),
    (
        NoPermissionError,
        "forbids its user a command",
        "allow it: ACL SETUSER … ~auth:* &auth:* +@all -@dangerous +info",
    ),
    (BusyLoadingError, "is still reading its data", "wait until it has, see its log"),
    (MovedError, "is a node of a cluster", "write redis+cluster://…"),
    (
        _of_answer("cluster mode"),
        "is a node of a cluster, which has no numbered databases",
        "write redis+cluster://…, without a number",
    ),
    (
        _of_answer("DB index"),
        "has no database of that number",
        "write a lower one after the host, such as /0: the server's `databases` says how many there are, else 16",
    ),
    (
        ssl.SSLCertVerificationError,
        "shows a certificate that is not trusted here",
        "use the host name that it is for, and name its authority in ssl_ca_certs",
    ),
    (
        ssl.SSLError,
        "does not agree on TLS",
        "where the port speaks no TLS write redis:// instead of rediss://; else see ssl_certfile and the server",
    ),
    (
        _is_no_redis,
        "hangs up, or answers in another language than Redis",
        "where the port is for TLS write rediss:// instead of redis://; else correct host and port",
    ),
    (socket.gaierror, *_NO_HOST),
    (ConnectionRefusedError, *_NOTHING_LISTENS),
    (FileNotFoundError, "is a socket that does not exist", "start the server, or correct the path"),
    (PermissionError, "is a socket that this user may not open", "let the service's user into the group of the socket"),
    (
        _connects_in_vain,
        "does not let us connect in time",
        "see whether the server hangs or a firewall drops packets; with rediss://, whether the port speaks TLS at all",
    ),
    (lambda error: isinstance(error, RedisTimeout | TimeoutError), *_SILENT),
    (_has_no_way, *_NO_WAY),
    (
        MasterNotFoundError,
        "has Sentinels that name no master which answers",
        "see that they and the master run, and correct `service`",
    ),
    (RedisClusterException, "has no node that answers", "start the nodes, or correct hosts and ports"),
)


def trouble_of(error: BaseException) -> Trouble | None:
    """Of whichever store it is; None for a failure that says nothing of what an operator set."""
    if isinstance(error, RedisError | RedisClusterException):
        return _first("REDIS_URL", _REDIS, _chain(error))
    # What misses a file of ours names it, a socket does not.
    if isinstance(error, DBAPIError | asyncpg.PostgresError | asyncpg.InterfaceError) or (
        isinstance(error, OSError) and error.filename is None
    ):
        return _first("DATABASE_URL", _POSTGRES, [_of_asyncpg(error)])
    return None


def of_store(error: BaseException) -> Trouble:
    """Of a failure that is known to be a store's, in any case."""
    return of_redis(error) if isinstance(error, RedisError | RedisClusterException) else of_postgres(error)


def of_postgres(error: BaseException) -> Trouble:
    return _first("DATABASE_URL", _POSTGRES, [_of_asyncpg(error)]) or _other("DATABASE_URL", _of_asyncpg(error))


def of_redis(error: BaseException) -> Trouble:
    return _first("REDIS_URL", _REDIS, _chain(error)) or _other("REDIS_URL", error)


def _of_asyncpg(error: BaseException) -> BaseException:
    cause = getattr(getattr(error, "orig", None), "__cause__", None) or error  # SQLAlchemy wraps asyncpg's error twice
    return (cause.__cause__ or cause) if isinstance(cause, NotLetIn) else cause


def _chain(error: BaseException) -> list[BaseException]:
    """redis-py tells in its words only what the socket said; the error itself is what it was handling."""
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in chain:
        chain.append(at)
        at = at.__cause__ or at.__context__
    return chain


def _first(setting: str, reasons: tuple[Reason, ...], chain: list[BaseException]) -> Trouble | None:
    for fits, problem, fix in reasons:
        for error in chain:
            if isinstance(error, fits) if isinstance(fits, type) else fits(error):
                return Trouble(setting, f"{problem} ({type(error).__name__})", fix)
    return None


def _other(setting: str, error: BaseException) -> Trouble:
    return Trouble(setting, f"cannot be used ({type(error).__name__})", "see whether it runs, and what its log says")
