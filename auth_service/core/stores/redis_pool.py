"""Connections to Redis and the pool that lends them: a place in the line has its own limit, the dead are not lent."""

import asyncio
from time import monotonic
from typing import Any, ClassVar

from redis.asyncio.connection import AbstractConnection, Connection, ConnectionPool
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeout

from auth_service.core.stores.deadline import Deadline
from auth_service.core.stores.pulse import Pulse
from auth_service.core.stores.waiting import StoreSlots

_AS_TEXT = frozenset({str, int})  # written as `str` writes them; a float is not, and a bool is an error
AT_ONCE_BYTES = 32 * 1024  # half of what a transport takes before it lets writers wait


class _Watched(AbstractConnection):
    """Comes before one of redis-py's connections: its `socket_timeout` is a Deadline, and a store's pulse is felt."""

    pulse: ClassVar[Pulse]

    def __init__(self, *, socket_timeout: float, socket_connect_timeout: float | None = None, **kwargs: Any) -> None:
        super().__init__(socket_timeout=None, socket_connect_timeout=None, **kwargs)
        self._seconds = socket_timeout
        self._generation = 0

    def should_reconnect(self) -> bool:
        """Before each use and after it: also where the other side has closed it, or another one proved dead."""
        if self._reader is None or self._writer is None:
            return False
        return (
            self._generation != self.pulse.generation
            or self._reader.at_eof()
            or self._reader.exception() is not None
            or self._writer.is_closing()
            or bool(super().should_reconnect())  # type: ignore[no-untyped-call]
        )

    async def disconnect(self, nowait: bool = True, *args: Any, **kwargs: Any) -> None:
        """Without waiting for the other side, which may be frozen."""
        await super().disconnect(True, *args, **kwargs)

    async def _connect(self) -> None:
        generation, asked_at = self.pulse.generation, monotonic()
        try:
            async with Deadline(self._seconds):
                await super()._connect()  # type: ignore[no-untyped-call,safe-super]
        except TimeoutError:
            self.pulse.missed(asked_at, generation)
            raise
        self._generation = generation

    def pack_command(self, *args: Any) -> list[bytes]:
        """To the byte what redis-py's own makes, which joins all that it has anew for each argument."""
        if not all(type(arg) in _AS_TEXT for arg in args) or " " in args[0] or self.encoder.encoding != "utf-8":
            packed: list[bytes] = super().pack_command(*args)
            return packed
        texts = [str(arg).encode() for arg in args]
        return [b"*%d\r\n%b" % (len(texts), b"".join([b"$%d\r\n%b\r\n" % (len(text), text) for text in texts]))]

    async def send_packed_command(self, command: Any, *args: Any, **kwargs: Any) -> None:
        asked_at = monotonic()
        try:
            if self._takes_at_once(command):  # then nothing is waited for, and a deadline is a tenth of the whole
                await super().send_packed_command(command, *args, **kwargs)
                return
            async with Deadline(self._seconds):
                await super().send_packed_command(command, *args, **kwargs)
        except TimeoutError:
            self.pulse.missed(asked_at, self._generation)
            raise RedisTimeout("Redis did not take the command in time.") from None
        except RedisConnectionError as error:
            self._judge(error)
            raise

    def _takes_at_once(self, command: Any) -> bool:
        """Whether the transport has room for it, as it has for all that a request asks."""
        if self._writer is None or not isinstance(command, list):
            return False
        transport = self._writer.transport
        return sum(map(len, command)) + transport.get_write_buffer_size() < AT_ONCE_BYTES

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        asked_at = monotonic()
        try:
            async with Deadline(self._seconds):
                response = await super().read_response(*args, **kwargs)
        except TimeoutError:
            self.pulse.missed(asked_at, self._generation)
            raise RedisTimeout("Redis did not answer in time.") from None
        except RedisConnectionError as error:
            self._judge(error)
            raise
        self.pulse.beat()
        return response

    def _judge(self, error: RedisConnectionError) -> None:
        if type(error) is RedisConnectionError:  # the kinds of it are what a server answers, such as that it is loading
            self.pulse.distrust(self._generation)


def watched(connection_class: type[AbstractConnection], pulse: Pulse) -> type[Any]:
    """redis-py makes connections by class, so the pulse is the class's."""
    return type(f"Watched{connection_class.__name__}", (_Watched, connection_class), {"pulse": pulse})


class StorePool(ConnectionPool):
    def __init__(
        self,
        connection_class: type[AbstractConnection] = Connection,
        *,
        slots: StoreSlots,
        pulse: Pulse,
        **kwargs: Any,
    ) -> None:
        super().__init__(connection_class=watched(connection_class, pulse), **kwargs)
        self.slots = slots

    async def get_connection(self, *_command: Any, **_options: Any) -> AbstractConnection:
        await self.slots.take()
        try:
            connection = self.get_available_connection()  # type: ignore[no-untyped-call]
        except BaseException:  # REDIS_URL allows fewer than REDIS_POOL_SIZE
            self.slots.pass_on()
            raise
        return await self._lend(connection)

    async def _lend(self, connection: AbstractConnection) -> AbstractConnection:
        try:
            if connection.should_reconnect():  # type: ignore[no-untyped-call]
                await connection.disconnect()
            if not await _is_ready(connection):
                await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: AbstractConnection) -> None:
        """As redis-py's, but for its events and counts, which nobody here has asked for."""
        try:
            self._in_use_connections.remove(connection)
            try:
                if connection.should_reconnect():  # type: ignore[no-untyped-call]
                    await connection.disconnect()
            finally:
                self._available_connections.append(connection)
        finally:
            self.slots.pass_on()

    async def connect_all(self) -> None:
        """One after the other, and only while nobody waits for a turn. Raises the first failure."""
        while self.slots.free and not self.slots.waiting and (cold := self._cold()) is not None:
            await self.slots.take()  # there is one, so nothing comes between
            self._available_connections.remove(cold)
            self._in_use_connections.add(cold)
            await self.release(await self._lend(cold))

    def _cold(self) -> AbstractConnection | None:
        idle = self._available_connections
        for connection in idle:
            if not connection.is_connected or connection.should_reconnect():  # type: ignore[no-untyped-call]
                return connection
        if len(idle) + len(self._in_use_connections) < self.max_connections:
            idle.append(self.make_connection())  # type: ignore[no-untyped-call]
            return idle[-1]
        return None


async def _is_ready(connection: AbstractConnection) -> bool:
    """What `ensure_connection` looks for as well, but behind a connect that has nothing to do."""
    try:
        return connection.is_connected and not await connection.can_read()
    except RedisConnectionError:
        return False


class SentinelStorePool(SentinelConnectionPool, StorePool):
    """All who connect at once ask the Sentinels once, and do not wait for all of them one by one."""

    _discovery: asyncio.Task[Any] | None = None

    async def get_master_address(self) -> Any:
        if self._discovery is None or self._discovery.done():
            self._discovery = asyncio.create_task(super().get_master_address())  # type: ignore[no-untyped-call]
            self._discovery.add_done_callback(_seen)
        return await asyncio.shield(self._discovery)

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        try:
            async with Deadline(2 * self.connection_kwargs["socket_timeout"]):
                await super().ensure_connection(connection)
        except TimeoutError:
            raise RedisTimeout("No Sentinel led to a master in time.") from None


def _seen(discovery: "asyncio.Task[Any]") -> None:
    """Whoever waited for it may have gone."""
    if not discovery.cancelled():
        discovery.exception()
