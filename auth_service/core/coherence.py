"""Keeps what a worker has in memory true: it hears of every change, and a change is answered once all have heard it.

The stream is LISTEN and NOTIFY on a connection of its own: triggers tell of each change in its own transaction
(migration 0012), workers speak in between, and Postgres gives all of it to everybody in the order of the commits.
What follows from that order is in core.leases.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import structlog

from auth_service.config import Settings
from auth_service.core import leases
from auth_service.core.change_log import ChangeLog
from auth_service.core.errors import AppError, is_store_failure
from auth_service.core.leases import Leases, read_message
from auth_service.core.stores.postgres import Primary
from auth_service.core.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

CHANNEL = "auth_changes"
RESTART_SECONDS = 1.0
CONNECT_SECONDS = 5.0
_SPEAK = f"SELECT pg_notify('{CHANNEL}', $1)"
_NEVER = float("-inf")


def boot_seconds() -> float:
    """Goes on while the process is frozen or the machine asleep, and nobody can set it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class StreamLost(asyncpg.PostgresConnectionError):
    """A failure of a store like any other: the job tells of it and begins anew."""


class Coherence:
    """Of one worker; `run` is its job. While there is no stream, every change waits until all leases of before it
    have run out.
    """

    def __init__(self, primary: Primary, settings: Settings, metrics: Metrics) -> None:
        self._primary = primary
        self._timeout = settings.database_timeout_seconds
        self._off = settings.check_cache_bytes == 0
        self._grace = settings.check_grace_seconds
        self._waits = metrics.change_waits
        self._leases: Leases | None = None
        self._speak = asyncio.Event()
        self._askers: list[asyncio.Future[None]] = []
        self._asked: dict[int, list[asyncio.Future[None]]] = {}  # by the number of the message that asks for them
        self._forget: Callable[[], None] = lambda: None
        self._changed: Callable[[str], None] = lambda _what: None
        self.until = _NEVER  # by `boot_seconds`: what was kept may be answered until then
        self.log = ChangeLog()
        self.hearing = asyncio.Event()  # whether changes are heard of, so that something may be kept
        if self._off:
            self.hearing.set()

    def tell(self, changed: Callable[[str], None], forget: Callable[[], None]) -> None:
        """`changed` of what changed: `u:<id>` a subject, `r` what roles give or codes ask for, `k` the signing keys,
        `*` all. `forget` where changes may have been missed: nothing that was kept counts any more.
        """
        self._changed, self._forget = changed, forget

    def hears(self) -> bool:
        """Whether it has heard of every change that was answered. The stream alone does not say so: a worker that was
        frozen, or whose connection hangs, has one too.
        """
        return self._off or boot_seconds() < self.until

    async def settled(self) -> None:
        """Between a commit and its answer: after it no worker answers from what was before the commit. It takes a
        round trip to each worker, and SIT_OUT_SECONDS where one of them, or Postgres, cannot be heard.
        """
        if self._off:
            return
        began = time.perf_counter()
        if self._leases is None:
            self.until = _NEVER  # whatever the grace: Postgres takes writes
            await asyncio.sleep(leases.SIT_OUT_SECONDS)
        else:
            answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._askers.append(answer)
            self._speak.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(leases.SIT_OUT_SECONDS):
                    await answer
        self._waits.observe(time.perf_counter() - began)

    async def run(self) -> None:
        """Until it is cancelled; raises a store failure where the stream is lost."""
        if self._off:
            await asyncio.Event().wait()
        connection = await self._primary.connect(
            timeout=self._timeout,
            server_settings={
                "application_name": "auth-service changes",
                "synchronous_commit": "off",  # a message that a crash loses is one that nobody needs
                "timezone": "UTC",
            },
        )
        try:
            await self._take_part(connection)
        finally:
            connection.terminate()

    async def _take_part(self, connection: asyncpg.Connection) -> None:
        mine: Leases | None = None

        def hear(_connection: Any, _pid: int, _channel: str, text: object) -> None:
            if mine is not None:  # what was told before counts as what was there when it began
                self._hear(mine, str(text))

        connection.add_termination_listener(lambda _connection: self._speak.set())
        await asyncio.wait_for(connection.add_listener(CHANNEL, hear), self._timeout)
        timeline = self._primary.timeline
        mine = Leases(secrets.token_hex(6), boot_seconds(), leases.LEASE_SECONDS, leases.MARGIN_SECONDS)
        self._forget()
        self._leases, self.until = mine, _NEVER
        self.hearing.set()
        try:
            while not connection.is_closed() and self._primary.timeline == timeline:
                await self._say(connection, mine)
                with suppress(TimeoutError):
                    async with asyncio.timeout(leases.BEAT_SECONDS):
                        await self._speak.wait()
            raise StreamLost("the connection that tells of changes was lost")
        finally:
            self._leases = None
            self.hearing.clear()
            self.log.end()
            self._askers, self._asked = [], {}  # who waits is let go by its own time
            self.until = mine.held_until + self._grace
            if (task := asyncio.current_task()) is not None and task.cancelling():
                await self._leave(connection, mine)

    async def _say(self, connection: asyncpg.Connection, mine: Leases) -> None:
        self._speak.clear()
        askers, self._askers = self._askers, []
        message = mine.send(boot_seconds(), asks=bool(askers))
        if askers:
            self._asked[message.number] = askers
        try:
            await asyncio.wait_for(connection.execute(_SPEAK, str(message)), leases.LEASE_SECONDS)
        except TimeoutError:
            raise StreamLost("Postgres does not answer on the connection that tells of changes") from None

    async def _leave(self, connection: asyncpg.Connection, mine: Leases) -> None:
        """Nobody need wait for this worker any more."""
        self.until = _NEVER
        with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            message = str(mine.send(boot_seconds(), leaves=True))
            await asyncio.wait_for(connection.execute(_SPEAK, message), leases.BEAT_SECONDS)

    def _hear(self, mine: Leases, text: str) -> None:
        message = read_message(text)
        if message is None:
            self._changed(text)
            self.log.hear_change(text)
            return
        now = boot_seconds()
        mine.hear(message, now)
        if self._leases is not mine:
            return
        self.until = mine.held_until
        self.log.hear_message(message.worker, message.number)
        if message.worker == mine.me:
            self.log.prove(mine.held_until - mine.lease)
        if mine.owes:
            self._speak.set()
        if self._asked:
            self._let_go(mine)
            if message.number in self._asked and message.worker == mine.me:
                wakes_at = mine.wakes_at(message.number) or now  # when the last lease has run out
                asyncio.get_running_loop().call_later(wakes_at - now, self._let_go, mine)

    def _let_go(self, mine: Leases) -> None:
        """Whoever waits for what has become true."""
        now = boot_seconds()
        for number in [number for number in self._asked if mine.settled(number, now)]:
            for asker in self._asked.pop(number):
                if not asker.done():
                    asker.set_result(None)


@asynccontextmanager
async def sitting_out(primary: Primary, settings: Settings) -> AsyncIterator[None]:
    """For a process that is no worker, around what it does: where something changed meanwhile, it waits at the end
    until every lease of before has run out. Whether it was this process that changed it does not matter.
    """
    if settings.check_cache_bytes == 0:
        yield
        return
    told = asyncio.Event()
    try:
        connection = await primary.connect(timeout=min(settings.database_timeout_seconds, CONNECT_SECONDS))
        await connection.add_listener(CHANNEL, lambda *said: None if read_message(str(said[3])) else told.set())
    except Exception as error:
        if not is_store_failure(error):
            raise
        yield
        await asyncio.sleep(leases.SIT_OUT_SECONDS)
        return
    try:
        yield
    except AppError:
        told.set()  # a refusal may say that a try before, which was cut off, has worked
        raise
    finally:
        try:
            await connection.execute("SELECT 1", timeout=CONNECT_SECONDS)  # what was told before it is here then
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            told.set()  # perhaps, and nobody listened
        connection.terminate()
        if told.is_set():
            await asyncio.sleep(leases.SIT_OUT_SECONDS)
