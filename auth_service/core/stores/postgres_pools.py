"""The two pools of connections to Postgres: of asyncpg for the hot paths, of SQLAlchemy for all else."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from time import monotonic
from types import TracebackType
from typing import Any, ClassVar

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlalchemy.util import await_only

from auth_service.core.stores.deadline import Deadline
from auth_service.core.stores.postgres import Primary, stays_read_only
from auth_service.core.stores.waiting import StoreSlots

BACKSTOP = 10  # times the deadline of a statement: asyncpg's own, which also counts what our loop was late by


class HotPool(asyncpg.Pool):
    """asyncpg's, which lets anybody wait for ever; `slots` do not. Its shortcuts have a Deadline of `timeout`."""

    def __init__(self, primary: Primary, slots: StoreSlots, size: int, *, timeout: float, **options: Any) -> None:
        super().__init__(
            connect=primary.connect,
            min_size=0,
            max_size=size,
            max_queries=50_000,
            loop=None,
            connection_class=asyncpg.Connection,
            record_class=asyncpg.Record,
            timeout=timeout,
            command_timeout=timeout,
            **options,
        )
        self._seconds = timeout
        self.slots = slots
        self.pulse = primary.pulse

    def acquire(self, *, timeout: float | None = None) -> "_Lent":  # type: ignore[override]
        """For `async with`."""
        return _Lent(self, timeout)

    async def release(self, connection: Any, **options: Any) -> None:
        """asyncpg does it in a task of its own, lest a cancellation comes between; where nothing is waited for, none
        can, and the task is an eighth of a statement.
        """
        driver = connection._con
        if options or driver is None or driver.is_in_transaction() or driver._protocol._is_cancelling():
            await super().release(connection, **options)
        else:
            driver._on_release()
            await connection._holder.release(None)

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        return await self._ask(asyncpg.Connection.fetch, query, *args, **options)

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        return await self._ask(asyncpg.Connection.fetchrow, query, *args, **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        return await self._ask(asyncpg.Connection.fetchval, query, *args, **options)

    async def execute(self, query: str, *args: Any, **options: Any) -> Any:
        return await self._ask(asyncpg.Connection.execute, query, *args, **options)

    async def _ask(self, way: Callable[..., Awaitable[Any]], query: str, *args: Any, **options: Any) -> Any:
        """Not by `acquire`: what it makes for each statement is a tenth of one."""
        connection, asked_at = await self.lend()
        try:
            async with Deadline(self._seconds):
                answer = await way(connection._con, query, *args, timeout=BACKSTOP * self._seconds, **options)
        except BaseException as error:
            await self.take_back(connection, asked_at, error)
            raise
        await self.take_back(connection, asked_at, None)
        return answer

    async def lend(self, timeout: float | None = None) -> tuple[Any, float]:  # noqa: ASYNC109
        """A connection, and when it was asked for; to be taken back."""
        await self.slots.take()
        asked_at = monotonic()
        try:
            return await self._acquire(timeout), asked_at  # type: ignore[attr-defined]
        except BaseException as error:
            self.slots.pass_on()
            await self._judge(asked_at, error)
            raise

    async def take_back(self, connection: Any, asked_at: float, error: BaseException | None) -> None:
        """`error`: with which its use ended."""
        try:
            driver = connection._con
            if driver is not None and stays_read_only(driver):
                driver.terminate()  # used once, so that what it is asked is not asked in vain
            await self.release(connection)
        finally:
            self.slots.pass_on()
            if error is None:
                self.pulse.beat()
            else:
                await self._judge(asked_at, error)

    async def _judge(self, asked_at: float, error: BaseException) -> None:
        if isinstance(error, TimeoutError):
            self.pulse.missed(asked_at, self.pulse.generation)
            if self.pulse.silent:
                await self.expire_connections()

    async def connect_all(self) -> None:
        """What a flood would have to connect first, in its own time. Raises the first failure."""
        async with AsyncExitStack() as held:  # one that was given back would be lent again
            while self.get_size() < self.get_max_size() and self.slots.free and not self.slots.waiting:
                if stays_read_only(await held.enter_async_context(self.acquire())):
                    raise asyncpg.ReadOnlySQLTransactionError("the server takes no writes")


class _Lent:
    def __init__(self, pool: HotPool, timeout: float | None) -> None:
        self._pool = pool
        self._timeout = timeout

    async def __aenter__(self) -> Any:
        self._connection, self._asked_at = await self._pool.lend(self._timeout)
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.take_back(self._connection, self._asked_at, error)


class SessionPool(AsyncAdaptedQueuePool):
    """SQLAlchemy's, whose own queue nobody comes to wait in: there are as many slots as connections."""

    slots: ClassVar[StoreSlots]

    def _do_get(self) -> ConnectionPoolEntry:
        await_only(self.slots.take())
        try:
            return super()._do_get()
        except BaseException:
            self.slots.pass_on()
            raise

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        try:
            super()._do_return_conn(record)
        finally:
            self.slots.pass_on()


def session_pool(slots: StoreSlots) -> type[SessionPool]:
    """SQLAlchemy makes its pool by class, and a new one with each `dispose`; it logs by the class's module."""
    return type("SessionPool", (SessionPool,), {"slots": slots, "__module__": AsyncAdaptedQueuePool.__module__})


async def driver_of(session: AsyncSession) -> Any:
    """The session's asyncpg connection, within its transaction."""
    raw = await (await session.connection()).get_raw_connection()
    driver: Any = raw.driver_connection
    if not driver.is_in_transaction():
        await session.execute(text("SELECT 1"))  # SQLAlchemy begins it with its first statement
    return driver


@asynccontextmanager
async def directly(session: AsyncSession) -> AsyncIterator[Any]:
    """As `driver_of`: for statements that are asked often, each a fifth of what it costs by SQLAlchemy."""
    driver = await driver_of(session)
    with _cut_if_late(driver):
        yield driver


@asynccontextmanager
async def lent_by(engine: AsyncEngine) -> AsyncIterator[Any]:
    """An asyncpg connection of SQLAlchemy's pool, without a transaction: for a lone statement that a flood may send,
    and that must not stand in the line of the hot paths.
    """
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        with _cut_if_late(driver):
            yield driver


@contextmanager
def _cut_if_late(driver: Any) -> Iterator[None]:
    """As the engine does with its own: after a timeout a rollback, and then a good-bye, would wait as long again."""
    try:
        yield
    except TimeoutError:
        driver.terminate()
        raise
