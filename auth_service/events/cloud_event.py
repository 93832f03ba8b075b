"""Events as messages: CloudEvents 1.0 in JSON, and `new_user` as the plain document its consumers expect. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from auth_service.config import Settings
from auth_service.events.kinds import NewUser
from auth_service.events.positions import Positioned

TYPE_PREFIX = "auth."


@dataclass(frozen=True, slots=True)
class Message:
    topic: str
    key: str
    value: bytes
    headers: tuple[tuple[str, str], ...]


class Sent(StrEnum):
    """`acknowledged`: by all in-sync replicas. `failed`: nothing is known of it, it may arrive yet."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    FAILED = "failed"


def to_cloud_event(source: str, event: Positioned) -> dict[str, Any]:
    """In structured mode: one JSON object; `id` stays the same however often it is sent."""
    return {
        "specversion": "1.0",
        "id": str(event.id),
        "source": source,
        "type": TYPE_PREFIX + event.kind,
        "subject": event.key,
        "time": event.created_at,
        "datacontenttype": "application/json",
        "data": event.data,
    }


def to_message(settings: Settings, event: Positioned) -> Message:
    """`new_user` is in binary mode of the CloudEvents binding for Kafka: the attributes are headers."""
    cloud = to_cloud_event(settings.issuer, event)
    if event.kind != NewUser.kind:
        structured = (("content-type", "application/cloudevents+json; charset=UTF-8"),)
        return Message(settings.kafka_topic_events, event.key, orjson.dumps(cloud), structured)
    attributes = ("specversion", "id", "source", "type", "subject")
    headers = (
        ("content-type", "application/json"),
        *((f"ce_{name}", cloud[name]) for name in attributes),
        ("ce_time", event.created_at.isoformat()),
    )
    fields = ("user_id", "username", "full_name", "created_at")
    document = orjson.dumps({name: event.data[name] for name in fields})
    return Message(settings.kafka_topic_new_user, event.key, document, headers)
