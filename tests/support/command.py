"""The `auth-service` command as a test runs it: in this process where quick, or as a process of its own."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from auth_service.cli import app
from auth_service.config import Settings
from tests.support.service_process import environment_of

SECONDS = 120
LOGGING = {"migrate", "relay"}  # they set up the log of their process, for good


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Of a list with --json."""
        assert self.code == 0, self.err
        rows: list[dict[str, Any]] = json.loads(self.out)
        return rows


class Command:
    """`await command("users", "list")`; `typed` is what it finds at its standard input."""

    def __init__(self, settings: Settings, **variables: str) -> None:
        self.environment = environment_of(settings) | variables

    async def __call__(self, *arguments: str, typed: str = "") -> Outcome:
        if arguments[0] in LOGGING:
            return await self.process(*arguments, typed=typed)
        # In a thread: the command runs an event loop of its own.
        result = await asyncio.to_thread(
            CliRunner().invoke, app, list(arguments), input=typed, env=self.environment, catch_exceptions=False
        )
        return Outcome(result.exit_code, result.stdout, result.stderr)

    async def process(self, *arguments: str, typed: str = "") -> Outcome:
        """The real thing, with its start and its exit code."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "auth_service", *arguments),
            env={**os.environ, **self.environment},
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        )
        out, err = await asyncio.wait_for(process.communicate(typed.encode()), SECONDS)
        assert process.returncode is not None
        return Outcome(process.returncode, out.decode(), err.decode())

    async def does(self, *arguments: str, typed: str = "") -> str:
        """For what must succeed: what it says."""
        outcome = await self(*arguments, typed=typed)
        assert outcome.code == 0, outcome.err
        return outcome.out

    async def refuses(self, *arguments: str, typed: str = "") -> str:
        """For what must be refused in words and with exit code 1: the words."""
        outcome = await self(*arguments, typed=typed)
        assert (outcome.code, outcome.out) == (1, ""), outcome
        return outcome.err
