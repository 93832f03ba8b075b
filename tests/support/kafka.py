"""A real broker that can be stopped and started again, and a consumer of another library than the producer's."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from auth_service.embedded.kafka import start_kafka
from auth_service.embedded.server import EmbeddedServer
from tests.support.service_process import free_port

TOPICS = ("uploading_data", "auth.events")


@dataclass
class Broker:
    """What it holds is gone when it stops: read it before."""

    folder: Path
    port: int
    server: EmbeddedServer | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        self.server = await asyncio.to_thread(start_kafka, self.folder, self.port)

    async def stop(self) -> None:
        if self.server is not None:
            await asyncio.to_thread(self.server.stop)
            self.server = None

    @classmethod
    def at(cls, folder: Path) -> "Broker":
        return cls(folder, free_port())


@dataclass(frozen=True)
class Received:
    topic: str
    key: str
    id: str
    kind: str
    data: dict[str, Any]
    moment: float  # of time.monotonic, when it was read


class Reader:
    """All that came, in the order in which it came; of a key that is the order of its partition."""

    def __init__(self) -> None:
        self.events: list[Received] = []

    def first_of(self, key: str) -> list[Received]:
        """Without repetitions."""
        seen: dict[str, Received] = {}
        for event in self.events:
            if event.key == key:
                seen.setdefault(event.id, event)
        return list(seen.values())

    @property
    def ids(self) -> set[str]:
        return {event.id for event in self.events}

    async def until(self, happened: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline, f"only {len(self.events)} events came"
            await asyncio.sleep(0.02)


@asynccontextmanager
async def reading(broker: Broker, into: Reader | None = None) -> AsyncIterator[Reader]:
    """From the beginning of both topics."""
    reader = into or Reader()
    consumer = AIOKafkaConsumer(
        *TOPICS,
        bootstrap_servers=broker.address,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
        metadata_max_age_ms=500,
    )
    await consumer.start()

    async def read() -> None:
        async for message in consumer:
            reader.events.append(_received(message))

    task = asyncio.create_task(read())
    try:
        yield reader
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await consumer.stop()


def _received(message: ConsumerRecord) -> Received:
    headers = {name: value.decode() for name, value in message.headers}
    body = json.loads(message.value)
    key, moment = message.key.decode(), time.monotonic()
    if headers["content-type"].startswith("application/cloudevents+json"):
        return Received(message.topic, key, body["id"], body["type"].removeprefix("auth."), body["data"], moment)
    return Received(message.topic, key, headers["ce_id"], headers["ce_type"].removeprefix("auth."), body, moment)
