"""Follows the service's changes (GET /api/v1/changes), for as long as the client lives."""

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from auth_service_client.errors import AuthServiceError, InvalidToken, Unavailable
from auth_service_client.memory import Memory, boot_seconds
from auth_service_client.service_token import ServiceToken
from auth_service_client.transport import Transport, later, refusal

log = logging.getLogger("auth_service_client")
PATH = "/api/v1/changes"
SILENCE_SECONDS = 2.0  # the service speaks every quarter of a second
RENEW_SECONDS = 300.0  # clocks of two machines drift apart, so a stream does not live for ever
UNFIT_SECONDS = 3.0  # so long nothing was good by a stream that was told: another one may begin sooner after its asking
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0


@dataclass(frozen=True, slots=True)
class Event:
    """One of the stream (the HTML standard, section 9.2)."""

    kind: str
    data: dict[str, Any]
    position: str | None


class Stream:
    """Of one event loop; `run` is its task. `keys_changed` is called when the signing keys have."""

    def __init__(
        self, memory: Memory, transport: Transport, token: ServiceToken, keys_changed: Callable[[], None]
    ) -> None:
        self._memory, self._transport, self._token = memory, transport, token
        self._keys_changed = keys_changed
        self._position: str | None = None
        self._well = False

    async def run(self) -> None:
        """Until it is cancelled. What was cut is tried again, after a pause that is another one for each client."""
        failures = 0
        while True:
            self._well = False
            try:
                await self._follow()
                said = "the service ended it"
            except AuthServiceError as error:
                said = str(error)
            except Exception:  # whatever it is, the next stream may be well
                log.exception("the stream of changes cannot be followed")
                said = "see above"
            failures = 0 if self._well else failures + 1
            level = logging.INFO if failures == 0 else logging.WARNING
            log.log(level, "the stream of changes has ended (%s); answers are asked for meanwhile", said)
            longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2**failures)
            await asyncio.sleep(longest * random.uniform(0.2, 1))  # noqa: S311  no secret

    async def _follow(self) -> None:
        token = await self._token.get()
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        if self._position is not None:
            headers["Last-Event-ID"] = self._position
        lasts = RENEW_SECONDS * random.uniform(0.8, 1)  # noqa: S311  no secret
        asked_at = boot_seconds()
        async with self._transport.stream(PATH, headers, SILENCE_SECONDS) as answer:
            if answer.status_code != 200:
                await answer.aread()
                error = later(answer) if answer.status_code >= 500 else refusal(answer)
                if isinstance(error, InvalidToken):
                    self._token.forget(token)
                raise error
            good_at = boot_seconds()
            async for event in read_events(answer.aiter_lines()):
                try:
                    self._take(event, asked_at)
                except (KeyError, TypeError, AttributeError):
                    raise Unavailable("bad_stream", "the stream of changes is not the service's") from None
                now = boot_seconds()
                if self._memory.good:
                    self._well, good_at = True, now
                elif now - good_at > UNFIT_SECONDS:
                    raise Unavailable("late", "what the stream proves is older than the bound")
                if now - asked_at > lasts:
                    return

    def _take(self, event: Event, asked_at: float) -> None:
        """Raises Unavailable where it says nothing that can be true."""
        memory, data = self._memory, event.data
        if event.kind == "start" and not data["resumed"]:
            memory.distrust()
            self._keys_changed()
        elif event.kind == "change":
            if "all" in data or "keys" in data:
                self._keys_changed()
            if data.keys() & {"all", "keys", "roles"}:
                memory.clear()
            memory.forget(data.get("subjects", ()))
        elif event.kind == "beat" and not memory.prove(asked_at, data["at"] / 1000, data["time"]):
            raise Unavailable("clocks", "the clock of this machine does not run as the service's does")
        if event.position is not None:
            self._position = event.position


async def read_events(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
    """Raises Unavailable for what is no event of this stream."""
    kind, data, position = "", "", None
    async for line in lines:
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                kind = value
            elif name == "data":
                data += value
            elif name == "id":
                position = value
            continue
        if data:
            try:
                yield Event(kind, json.loads(data), position)
            except ValueError:
                raise Unavailable("bad_stream", "the stream of changes cannot be read") from None
        kind, data, position = "", "", None
