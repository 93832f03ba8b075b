"""Answers about sessions and devices."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from auth_service.core.schemas import Answer, Body, Typed
from auth_service.models import Device, Session
from auth_service.sessions.devices import is_trusted
from auth_service.sessions.user_agent import in_words

DeviceName = Annotated[str, Typed(1, 100)]


class SessionAnswer(Answer):
    """`browser` and `system` in words, by what the client says of itself; `current`: the one that asks."""

    id: UUID
    ip: str | None
    user_agent: str | None
    browser: str | None
    system: str | None
    device_id: UUID | None
    device_name: str | None
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    second_factor: bool
    current: bool


class SessionsAnswer(Answer):
    items: list[SessionAnswer]


class DeviceAnswer(Answer):
    """`trusted_until` only while it lies ahead; `current`: the one of the session that asks."""

    id: UUID
    name: str | None
    ip: str | None
    user_agent: str | None
    browser: str | None
    system: str | None
    created_at: datetime
    last_seen_at: datetime
    trusted_until: datetime | None
    current: bool


class DevicesAnswer(Answer):
    items: list[DeviceAnswer]


class DevicePatch(Body):
    name: DeviceName


def session_answer(row: Session, *, current: UUID) -> SessionAnswer:
    words = in_words(row.user_agent)
    return SessionAnswer(
        id=row.id,
        ip=None if row.ip is None else str(row.ip),
        user_agent=row.user_agent,
        browser=words.browser,
        system=words.system,
        device_id=row.device_id,
        device_name=row.device_name,
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        expires_at=row.expires_at,
        second_factor=row.second_factor_at is not None,
        current=row.id == current,
    )


def device_answer(row: Device, now: datetime, *, current: UUID | None) -> DeviceAnswer:
    words = in_words(row.user_agent)
    return DeviceAnswer(
        id=row.id,
        name=row.name,
        ip=None if row.ip is None else str(row.ip),
        user_agent=row.user_agent,
        browser=words.browser,
        system=words.system,
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        trusted_until=row.trusted_until if is_trusted(row.trusted_until, now) else None,
        current=row.id == current,
    )
