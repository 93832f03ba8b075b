"""The producer; the only file that knows confluent-kafka, whose callbacks and threads stay in here."""

import asyncio
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from auth_service.config import Settings
from auth_service.core.errors import AppError
from auth_service.events.cloud_event import Message, Sent

log = structlog.get_logger(__name__)

SEND_SECONDS = 5.0
# Of this one message: another try would fail too, and others pass.
_REFUSALS = frozenset(
    {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG, KafkaError.INVALID_MSG_SIZE, KafkaError.INVALID_RECORD}
)


class BadKafkaOptions(AppError):
    detail = "KAFKA_OPTIONS has something that librdkafka does not take."


class CannotAsk(AppError):
    """`why` is librdkafka's name of the trouble, such as _TRANSPORT."""

    detail = "Kafka does not answer."

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why


class Kafka:
    """An idempotent producer with acks=all; one that has failed is to be replaced. Raises BadKafkaOptions.

    librdkafka waits for ever where a broker has come back without its memory of the producer; a new one is known.
    """

    def __init__(self, settings: Settings) -> None:
        assert settings.kafka_bootstrap is not None  # noqa: S101  nobody makes one without it
        options: dict[str, Any] = {
            "bootstrap.servers": settings.kafka_bootstrap,
            "client.id": "auth-service",
            "enable.idempotence": True,  # acks=all comes with it
            "message.timeout.ms": round(SEND_SECONDS * 1000),
            "socket.timeout.ms": round(SEND_SECONDS * 1000),
            "reconnect.backoff.max.ms": 1000,
            "linger.ms": 5,
            "log_level": 2,
            "error_cb": self._note,
            **settings.kafka_client_options,
        }
        self.why: str | None = None
        # It connects in a thread of its own, and to nothing yet if there is nothing.
        try:
            self._producer = Producer(options)
        except KafkaException:
            raise BadKafkaOptions from None  # its text may hold a value

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._close)  # it waits for threads of its own

    def _close(self) -> None:
        # What waits in it is not marked as sent: it comes again, from whoever publishes next.
        self._producer.purge()
        self._producer.flush(0)
        del self._producer

    async def send(self, messages: Sequence[Message]) -> list[Sent]:
        """What became of each, in at most a second more than SEND_SECONDS; in a thread, because flushing blocks."""
        return await asyncio.to_thread(self._send, messages)

    def _send(self, messages: Sequence[Message]) -> list[Sent]:
        producer = self._producer
        results = [Sent.FAILED] * len(messages)

        def settle(number: int, error: KafkaError | None, _message: object = None) -> None:
            results[number] = _judge(error)
            if error is not None:
                self._note(error)

        for number, message in enumerate(messages):
            try:
                producer.produce(
                    message.topic,
                    key=message.key,
                    value=message.value,
                    headers=list(message.headers),
                    on_delivery=partial(settle, number),
                )
            except KafkaException as error:
                settle(number, error.args[0])
            except BufferError:
                break  # the rest has failed, and comes again
        if producer.flush(SEND_SECONDS + 1):
            producer.purge()
            producer.flush(0)
        return results

    def _note(self, error: KafkaError) -> None:
        """Called by librdkafka from within flush; only the name: its text may hold addresses."""
        self.why = error.name()


async def list_topics(settings: Settings) -> set[str]:
    """Makes none. Raises BadKafkaOptions, or CannotAsk where no broker answers in SEND_SECONDS."""
    return await asyncio.to_thread(_list_topics, settings)


def _list_topics(settings: Settings) -> set[str]:
    options: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_bootstrap,
        "client.id": "auth-service doctor",
        "log_level": 2,
        "error_cb": lambda _error: None,  # else librdkafka writes to standard error
        **settings.kafka_client_options,
    }
    try:
        client = AdminClient(options)
    except KafkaException:
        raise BadKafkaOptions from None  # its text may hold a value
    try:
        return set(client.list_topics(timeout=SEND_SECONDS).topics)
    except KafkaException as error:
        raise CannotAsk(error.args[0].name()) from None


def _judge(error: KafkaError | None) -> Sent:
    if error is None:
        return Sent.ACKNOWLEDGED
    return Sent.REFUSED if error.code() in _REFUSALS else Sent.FAILED
