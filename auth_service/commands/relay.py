"""auth-service relay: brings events to Kafka and to webhooks in a process of its own."""

import asyncio
import signal

import typer

from auth_service.commands.running import read_settings
from auth_service.core.connections import open_resources
from auth_service.core.telemetry.log import configure_logging
from auth_service.core.upkeep import running


def relay() -> None:
    """Sends events to webhooks, and to Kafka with KAFKA_BOOTSTRAP, until it is stopped; as many at once as you like."""
    settings = read_settings()
    configure_logging(settings)
    kafka = "" if settings.kafka_bootstrap is None else "to Kafka and "
    typer.echo(f"publishing events {kafka}to webhooks", err=True)
    asyncio.run(_until_stopped())


async def _until_stopped() -> None:
    from auth_service.jobs import relay_jobs

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    # As in the service: Postgres may be away at the start and later, the jobs go on when it is back.
    async with open_resources(read_settings()) as resources, running(relay_jobs(resources)):
        await stopped.wait()
