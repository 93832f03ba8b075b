"""uvicorn with a stop that no client notices, for one process and for workers (REL-7)."""

import asyncio
import gc
import multiprocessing
import os
import signal
import socket
import sys
from contextlib import suppress
from types import FrameType
from typing import Any

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import multiprocess

from auth_service.core.http.joined_writes import JoinedWrites

log = structlog.get_logger(__name__)

APP = "auth_service.main:create_app_from_environment"
LINGER_SECONDS = 1.0
FINISH_SECONDS = 24  # and with the lingering 25
YOUNG_OBJECTS = 10_000
_CLOSE = (b"connection", b"close")


class ServeConfig(uvicorn.Config):
    """What the workers are sent too."""

    def __init__(self, host: str, port: int, workers: int, drain_seconds: float) -> None:
        super().__init__(
            APP,
            factory=True,
            host=host,
            port=port,
            http=JoinedWrites,
            workers=workers,
            proxy_headers=False,  # the edge reads them, by TRUSTED_PROXIES
            server_header=False,
            log_config=None,
            access_log=False,
            h11_max_incomplete_event_size=32 * 1024,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=FINISH_SECONDS,
        )
        self.drain_seconds = drain_seconds

    def load_app(self) -> Any:
        """Without looking for garbage in what is imported: a sixth of a worker's start."""
        gc.disable()
        try:
            return super().load_app()
        finally:
            gc.enable()


class DrainingServer(uvicorn.Server):
    """The first signal: readiness fails, and requests are answered for `drain_seconds` more. Then nothing new is
    accepted, and what is in hand is finished. A second signal ends it at once.
    """

    config: ServeConfig

    def __init__(self, config: ServeConfig) -> None:
        super().__init__(config)
        self._asked = False
        self._stop_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Only notes the signal: what it may have interrupted could be the logging itself."""
        if not self._asked:
            self._asked = True
            self.should_exit = not self.started
        elif multiprocessing.parent_process() is None:
            self.should_exit = self.force_exit = True
        # A worker hears the first one twice: a terminal and systemd signal the whole group, then its supervisor does.

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What is there now stays: the collector need not look through it again, some tens of milliseconds each time.
        gc.collect()
        gc.freeze()
        # What a request or a batch of work needs is gone before it is looked through. With Python's own 700 it gets
        # among what stays, and all of that is looked through again and again: a worker answers nobody for 20 to 40 ms.
        gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])

    async def on_tick(self, counter: int) -> bool:
        now = asyncio.get_running_loop().time()
        if self._asked and self._stop_at is None:
            self._stop_at = now + self.config.drain_seconds
            self._drain()
        if self._stop_at is not None and now >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)

    def _drain(self) -> None:
        log.info("draining", seconds=self.config.drain_seconds)
        self.lifespan.state["draining"].set()
        # Each answer takes its connection out of the proxy's pool: none is left to be used just as it is closed.
        self.config.encoded_headers = [*self.config.encoded_headers, _CLOSE]
        self.server_state.default_headers.append(_CLOSE)  # the list that requests in hand have already

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        log.info("stopping", requests=len(self.server_state.tasks))
        if self.config.drain_seconds > 0:
            await self._stop_listening()
            # Whoever connected last has yet to send its request, and uvicorn takes that for an idle connection.
            await self._linger(min(LINGER_SECONDS, self.config.drain_seconds))
        await super().shutdown(sockets)
        log.info("stopped", cut=self.force_exit)

    async def _stop_listening(self) -> None:
        """Takes in all who wait in the kernel's queue, in the step that closes it: they would be reset."""
        loop = asyncio.get_running_loop()
        accepted: list[socket.socket] = []
        for server in self.servers:
            queues = [socket.socket(fileno=os.dup(listener.fileno())) for listener in server.sockets]
            server.close()  # ours are copies
            for queue in queues:
                with queue, suppress(BlockingIOError):
                    queue.setblocking(False)
                    while True:
                        accepted.append(queue.accept()[0])
        for connection in accepted:
            await loop.connect_accepted_socket(self._new_protocol, connection)

    def _new_protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    async def _linger(self, seconds: float) -> None:
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end and not self.force_exit:
            if not self.server_state.connections:
                return
            await asyncio.sleep(0.02)


class Worker(multiprocess.Process):
    config: ServeConfig

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = DrainingServer(self.config)
        return self._server


class Supervisor(multiprocess.Multiprocess):
    """Starts a worker that died again. Tells all of them to drain, and at a second signal kills them."""

    def terminate_all(self) -> None:
        super().terminate_all()
        # Open here, it would go on taking connections after the last worker has stopped.
        for listener in self.sockets:
            listener.close()

    def join_all(self) -> None:
        for worker in self.processes:
            while worker.process.is_alive():
                worker.process.join(0.1)
                if {signal.SIGINT, signal.SIGTERM} & set(self.signal_queue):
                    self.kill_all()

    def kill_all(self) -> None:
        for worker in self.processes:
            worker.process.kill()


def serve(host: str, port: int, workers: int, drain_seconds: float) -> None:
    """Until a signal has ended it. Exits with 3 where it could not start and with 1 where it was cut short."""
    config = ServeConfig(host, port, workers, drain_seconds)
    if workers > 1:
        multiprocess.Process = Worker  # type: ignore[misc]  # uvicorn has no option for it
        supervisor = Supervisor(config, sockets=[config.bind_socket()])
        supervisor.run()
        codes = [worker.exitcode for worker in supervisor.processes]
        cut = -signal.SIGKILL in codes
        failed = STARTUP_FAILURE in codes
    else:
        config.load_app()
        server = DrainingServer(config)
        server.run()
        cut, failed = server.force_exit, not server.started
    if failed or cut:
        sys.exit(STARTUP_FAILURE if failed else 1)
