"""Connections to the one Postgres that takes writes, of the hosts that DATABASE_URL lists (REL-3)."""

import asyncio
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any
from weakref import WeakSet

import asyncpg
import structlog
from asyncpg.connect_utils import SessionAttribute
from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from auth_service.core.stores.pulse import Pulse
from auth_service.store_urls.postgres import PostgresAddress

log = structlog.get_logger(__name__)

# How much longer the first look waits for the other hosts, once one has been found that takes writes.
FIRST_LOOK_SECONDS = 0.5
# The first eight digits of a WAL file's name; it rises with each promotion, at once and not with a checkpoint.
_TIMELINE = "SELECT ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int"

# In milliseconds, as it is set.
_LIMIT = "SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'"
# What a pooler hands on to the connection of the moment, PgBouncer of every version.
_POOLERS_KNOW = frozenset({"application_name", "timezone"})
_PROBE = "auth_service_probe"
_PROBED = "SELECT count(*) = 0 FROM pg_prepared_statements WHERE name = $1"

_NO_LONGER_PRIMARY = (asyncpg.ReadOnlySQLTransactionError, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError)

# Classes of SQLSTATE: connection, login, database, resources, operator; each has a class of errors of its own.
_USUAL_AT_THE_DOOR = frozenset({"08", "28", "3D", "53", "57"})


@dataclass(frozen=True, slots=True)
class _Found:
    connection: asyncpg.Connection
    host: str
    timeline: int


class OldTimeline(asyncpg.TargetServerAttributeNotMatched):
    """All that takes writes is a server from before a promotion that this process has seen."""


class IgnoresSettings(asyncpg.PostgresConnectionError):
    """Of a pooler that is not known as one: DATABASE_DIRECT_URL is missing."""


class NotLetIn(asyncpg.PostgresConnectionError):
    """Refused while connecting, with an error that stands for a mistake of ours anywhere else; it is the cause."""


class Primary:
    """No host or one: that server, whatever it is. Several: all are asked at once, so that one that is down,
    frozen or unreachable costs nothing, and the one that takes writes is taken.

    `pooled`: a pooler, of which each transaction may get another connection to the server. It takes no settings of
    ours but those that it knows itself, and what is prepared may be elsewhere a moment later. `has_sessions`: the
    operator says that connections are sessions, whatever becomes of settings that are sent at their start.
    """

    def __init__(self, address: PostgresAddress, *, pooled: bool = False, has_sessions: bool = False) -> None:
        self.pooled = pooled
        self._has_sessions = has_sessions
        self._prepares = True  # until it is seen that the pooler does not
        self._dsn = address.dsn
        self._hosts = address.hosts
        self._tls = {} if address.tls is None else {"ssl": address.tls}
        self._server_settings = address.server_settings
        self.pulse = Pulse()
        self._timeline = 0
        self._open: WeakSet[asyncpg.Connection] = WeakSet()

    @property
    def timeline(self) -> int:
        """It rises when a newer primary is found; 0 where only one host is listed."""
        return self._timeline

    async def connect(self, *_dsn: Any, **options: Any) -> asyncpg.Connection:
        """With asyncpg's options; raises what asyncpg raises. A killed primary that was started again takes writes
        too, and loses them: of two the newer timeline counts, and what was seen is never left for an older one.
        """
        asked_at = monotonic()
        # Ours last: what the URL asks of the server must not switch off our limits.
        server_settings = {**self._server_settings, **options.get("server_settings", {})}
        options = {**options, **self._tls, "server_settings": server_settings}
        try:
            if self.pooled:
                connection = await self._pooled(options)
            elif len(self._hosts) > 1:
                connection = await self._newest(options)
            else:
                connection = await self._checked(await asyncpg.connect(self._dsn, **options), options)
        except TimeoutError:
            self.pulse.missed(asked_at, self.pulse.generation)
            raise
        except (asyncpg.PostgresError, ValueError) as error:
            # A certificate that is not trusted is an OSError, and a ValueError besides.
            if isinstance(error, OSError) or str(getattr(error, "sqlstate", ""))[:2] in _USUAL_AT_THE_DOOR:
                raise
            raise NotLetIn("Postgres does not let us in") from error
        self.pulse.beat()
        self._open.add(connection)
        return connection

    async def answers(self, connection: asyncpg.Connection, seconds: float) -> bool:
        """Where it does not, in so long, the server is frozen: all connections are cut, used ones too. Else each would
        cost somebody a timeout, and to close it in good order another one.
        """
        if connection.is_closed() or stays_read_only(connection):
            return False
        older, asked_at = list(self._open), monotonic()
        try:
            await connection.execute("SELECT 1", timeout=seconds)
        except TimeoutError:
            self.pulse.missed(asked_at, self.pulse.generation)
            log.warning("postgres_frozen", connections=len(older))
            for one in older:
                one.terminate()
            return False
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        self.pulse.beat()
        return True

    def cut_all(self) -> None:
        """Of both pools, used ones too."""
        for connection in list(self._open):
            connection.terminate()

    async def _pooled(self, options: dict[str, Any]) -> asyncpg.Connection:
        known = {name: value for name, value in options["server_settings"].items() if name in _POOLERS_KNOW}
        options = {**options, "server_settings": known}
        connection: asyncpg.Connection
        if self._prepares:
            connection = await asyncpg.connect(self._dsn, **options)
            try:
                self._prepares = await prepares_everywhere(connection, options.get("timeout"))
            except BaseException:
                connection.terminate()
                raise
            if self._prepares:
                return connection
            connection.terminate()
        # asyncpg then sends a statement with each of its uses, in one go with its arguments.
        connection = await asyncpg.connect(self._dsn, **options, statement_cache_size=0)
        return connection

    async def _checked(self, connection: asyncpg.Connection, options: dict[str, Any]) -> asyncpg.Connection:
        """Raises IgnoresSettings where our limits do not hold: a pooler that was told to leave them out is in front,
        and might hand prepared statements of others to us.
        """
        wanted: dict[str, str] = options["server_settings"]
        limit, timeout = wanted.get("statement_timeout"), options.get("timeout")
        try:
            if limit is not None and await connection.fetchval(_LIMIT, timeout=timeout) != int(limit):
                if not self._has_sessions:
                    raise IgnoresSettings("the settings of a session are ignored")
                for setting in wanted.items():
                    await connection.execute("SELECT set_config($1, $2, false)", *setting, timeout=timeout)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _newest(self, options: dict[str, Any]) -> asyncpg.Connection:
        attempts = [asyncio.create_task(self._try(host, port, options)) for host, port in self._hosts]
        chosen = None
        try:
            chosen = await self._choose(attempts)
        finally:
            for attempt in attempts:
                attempt.cancel()
            for found in await asyncio.gather(*attempts, return_exceptions=True):
                if isinstance(found, _Found) and found is not chosen:
                    found.connection.terminate()
        if chosen.timeline > self._timeline:
            log.info("postgres_primary", host=chosen.host, timeline=chosen.timeline)
            self._timeline = chosen.timeline
            # They lead to the primary of before, which may be alive: what it says would be put into memory, and stay.
            self.cut_all()
        return chosen.connection

    async def _choose(self, attempts: list[asyncio.Task[_Found]]) -> _Found:
        pending, best = set(attempts), None
        while pending and (best is None or not self._timeline):
            patience = None if best is None else FIRST_LOOK_SECONDS
            done, pending = await asyncio.wait(pending, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            found = [attempt.result() for attempt in done if attempt.exception() is None]
            newest = max([*found, *([best] if best else [])], key=lambda one: one.timeline, default=None)
            best = newest if newest is not None and newest.timeline >= self._timeline else best
        if best is not None:
            return best
        failures = [attempt.exception() for attempt in attempts]
        if None in failures:
            log.warning("postgres_primary_is_old", known_timeline=self._timeline, remedy="stop it: docs/operations.md")
            raise OldTimeline("the only host that takes writes is from before a promotion")
        # A wrong password says more than a host that is down.
        raise next((one for one in failures if isinstance(one, asyncpg.PostgresError)), None) or failures[0]  # type: ignore[misc]

    async def _try(self, host: str, port: int, options: dict[str, Any]) -> _Found:
        connection = await asyncpg.connect(
            self._dsn, host=host, port=port, target_session_attrs=SessionAttribute.read_write, **options
        )
        try:
            await self._checked(connection, options)
            return _Found(connection, host, await connection.fetchval(_TIMELINE, timeout=options.get("timeout")))
        except BaseException:
            connection.terminate()
            raise


async def prepares_everywhere(connection: asyncpg.Connection, seconds: float | None) -> bool:
    """Whether the pooler prepares a statement by itself wherever it is used next, as PgBouncer 1.21 and newer with
    max_prepared_statements do. It has names of its own for that.
    """
    try:
        async with connection.transaction():
            probe = await connection.prepare(_PROBED, name=_PROBE, timeout=seconds)
            renamed = bool(await probe.fetchval(_PROBE, timeout=seconds))
            if not renamed:
                await connection.execute(f"DEALLOCATE {_PROBE}", timeout=seconds)
            return renamed
    except (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError):
        return False  # of somebody else


def stays_read_only(connection: asyncpg.Connection) -> bool:
    """Opened while the server took no writes, as before a planned change of places: it would not notice their return.
    Of Postgres 14 and newer, which tell it without being asked.
    """
    return not connection.is_closed() and bool(
        getattr(connection.get_settings(), "default_transaction_read_only", "off") == "on"
    )


def open_engine(primary: Primary, connect: dict[str, Any], *, ping_seconds: float, **options: Any) -> AsyncEngine:
    """Its connections are tried before each use; one that is dead takes along all that were opened before it, since
    they led to the same server.
    """
    connect_one = partial(primary.connect, **connect)

    def connected() -> Any:
        """Behind a pooler each statement is prepared anew, in its transaction and without a name."""
        unnamed = {"prepared_statement_cache_size": 0, "prepared_statement_name_func": str} if primary.pooled else {}
        return engine.sync_engine.dialect.dbapi.connect(async_creator_fn=connect_one, **unnamed)  # type: ignore[union-attr]

    engine = create_async_engine("postgresql+asyncpg://", creator=connected, **options)

    @event.listens_for(engine.sync_engine, "checkout")
    def _is_alive(adapted: Any, record: Any, _proxy: Any) -> None:
        if record.info.get("used") and not adapted.run_async(partial(primary.answers, seconds=ping_seconds)):
            raise InvalidatePoolError
        record.info["used"] = True  # SQLAlchemy empties it with each new connection

    @event.listens_for(engine.sync_engine, "handle_error")
    def _after_error(context: Any) -> None:
        error = context.original_exception
        if isinstance(error, TimeoutError) and context.connection is not None:
            # A rollback, and then a good-bye, would wait as long again.
            context.connection.connection.driver_connection.terminate()
            context.is_disconnect, context.invalidate_pool_on_disconnect = True, False
        elif isinstance(getattr(error, "__cause__", None), _NO_LONGER_PRIMARY):
            context.is_disconnect = True

    return engine


async def forget_doubtful(primary: Primary, pool: asyncpg.Pool, error: BaseException) -> None:
    """After a failure of Postgres: where it shows that the server may not be the primary any more, connections to it
    are not used again.
    """
    cause = getattr(getattr(error, "orig", None), "__cause__", None) or error  # SQLAlchemy wraps asyncpg's error twice
    if isinstance(cause, asyncpg.ReadOnlySQLTransactionError):
        primary.cut_all()
    elif isinstance(cause, (TimeoutError, *_NO_LONGER_PRIMARY)):
        await pool.expire_connections()
