"""Somebody at a terminal: a pseudo-terminal with the real command on it, read and typed at like a screen."""

import asyncio
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from auth_service.config import Settings
from tests.support.service_process import environment_of

SECONDS = 120


@dataclass
class Terminal:
    process: asyncio.subprocess.Process
    screen: asyncio.StreamReader
    keyboard: int
    shown: str = ""
    read_to: int = 0

    async def sees(self, words: str) -> None:
        """Waits for them, behind those that it saw before. The space behind a hidden prompt comes once the echo is off:
        what is typed before that is thrown away.
        """
        async with asyncio.timeout(SECONDS):
            while (found := self.shown.find(words, self.read_to)) < 0:
                try:
                    chunk = await self.screen.read(1024)
                except OSError:  # Linux's word for the end of a terminal
                    chunk = b""
                assert chunk, f"the end came before {words!r}: {self.shown}"
                self.shown += chunk.decode()
        self.read_to = found + len(words)

    def types(self, text: str) -> None:
        os.write(self.keyboard, f"{text}\n".encode())

    def interrupts(self) -> None:
        os.write(self.keyboard, b"\x03")

    async def code(self) -> int:
        """Its exit code; what it still had to say is in `shown`."""
        async with asyncio.timeout(SECONDS):
            code = await self.process.wait()
        try:
            while chunk := await asyncio.wait_for(self.screen.read(1024), 1):
                self.shown += chunk.decode()
        except (OSError, TimeoutError):
            pass  # nothing more is on the screen
        return code


@asynccontextmanager
async def at_terminal(settings: Settings, *arguments: str) -> AsyncIterator[Terminal]:
    outer, inner = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "auth_service", *arguments),
        env={**os.environ, **environment_of(settings), "NO_COLOR": "1", "TERM": "dumb"},
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
        preexec_fn=_takes_the_terminal,
    )
    os.close(inner)
    screen = asyncio.StreamReader()
    reading, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(screen), os.fdopen(os.dup(outer), "rb", buffering=0)
    )
    try:
        yield Terminal(process, screen, outer)
    finally:
        reading.close()
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        os.close(outer)


def _takes_the_terminal() -> None:
    """So that Ctrl-C reaches it, as it does from a shell; the tests themselves may run where it is ignored."""
    import fcntl
    import termios

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
