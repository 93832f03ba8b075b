"""auth-service relay: publishes events to Kafka in a process of its own."""

import asyncio
import signal
from functools import partial

import typer

from auth_service.commands.running import BAD_SETTING, read_settings, stop
from auth_service.core.connections import open_resources
from auth_service.core.log import configure_logging
from auth_service.core.upkeep import Job, running


def relay() -> None:
    """Publishes events to Kafka until it is stopped; as many at once as you like."""
    settings = read_settings()
    if settings.kafka_bootstrap is None:
        stop("KAFKA_BOOTSTRAP is not set: there is nowhere to publish to.", BAD_SETTING)
    configure_logging(settings)
    typer.echo("publishing events", err=True)
    asyncio.run(_until_stopped())


async def _until_stopped() -> None:
    from auth_service.events.relay import RESTART_SECONDS, run_relay

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    # As in the service: Postgres may be away at the start and later, the job goes on when it is back.
    async with (
        open_resources(read_settings()) as resources,
        running([Job("relay", partial(run_relay, resources), RESTART_SECONDS, endless=True)]),
    ):
        await stopped.wait()
